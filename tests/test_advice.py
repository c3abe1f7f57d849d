"""The advice behind `do:` works: it is read in a message and followed, and the result is compared."""

import ast
import functools
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerasfx

pytestmark = pytest.mark.any_keras

X = np.random.default_rng(0).random((3, 4), "float32")
SEQUENCE = np.random.default_rng(0).random((3, 5, 4), "float32")


def net(call, base=keras.Model, **parts):
    """A model or layer whose `call` is `call(self, x)`, with some layers as attributes."""

    def initialized(self):
        base.__init__(self)
        for name, make in parts.items():
            setattr(self, name, make())

    return type("Net", (base,), {"__init__": initialized, "call": call})()


def part(call, **parts):
    """A model around a custom layer."""
    inner = functools.partial(net, call, layers.Layer, **parts)
    return net(lambda self, x: self.inner(x) + 1, inner=inner)


def prepare(model, inputs=None, **options):
    return kerasfx.prepare_model(model, keras.Input((4,)) if inputs is None else inputs, **options)


@dataclass(frozen=True)
class Advice:
    """Advice that a message gives.

    Attributes:
        hint: What stands behind `do:`, or the constant part of it.
        wrong: Raises the message, or returns a report with it.
        followed: Does as advised: gives a model and the one prepared from it.
    """

    hint: str
    wrong: Callable[[], Any]
    followed: Callable[[], tuple[Any, Any]]


def fixed(model_of, *inputs, **options):
    """Prepares a mended model."""

    def followed():
        model = model_of()
        return model, prepare(model, *inputs, **options)

    return followed


def reported(model_of, *inputs, **options):
    return lambda: str(kerasfx.report(prepare(model_of(), *inputs, **options)))


def refused(model_of, *inputs, **options):
    return lambda: prepare(model_of(), *inputs, **options)


def branched(value):
    return lambda self, x, training=None: value(self, x, training)


def sum_of_steps(self, x):
    return sum(x[:, t] for t in range(x.shape[1]))


def by_identity(self, x, training=None):
    return x * 2 if training is True else x


def by_truth(self, x, training=None):
    return x * 2 if training else x


def returns_object(self, x):
    return x, object()


def dropout():
    return layers.Dropout(0.5, seed=1)


def drops(self, x, training=None):
    return self.drop(x, training=training)


def scaled_kernel():
    """A model that puts a tensor in the place of the kernel of its layer."""

    def call(self, x):
        self.d._kernel = self.kernel * 2
        return self.d(x)

    model = net(call, d=built_dense)
    model.kernel = model.d._kernel
    return model


def built_dense():
    layer = layers.Dense(2, bias_initializer="ones")
    layer.build((None, 4))
    return layer


def seeds():
    return keras.random.SeedGenerator(3)


def long_or_short(self, x):
    return x * 2 if ops.shape(x)[1] > 4 else x


class Made(layers.Layer):
    """Cannot be made from what Keras writes down of it."""

    def __init__(self, function):
        super().__init__()
        self.function, self.lock = function, (x for x in ())

    def call(self, x):
        return self.function(x)

    def get_config(self):
        raise NotImplementedError


class OwnStep(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(2)

    def call(self, x):
        return self.dense(x)

    def train_step(self, *args):
        return super().train_step(*args)


def around_kept(layer):
    return net(lambda self, x: self.inner(x) + 1, inner=lambda: layer)


def compiled(model):
    model.compile("sgd", "mse")
    return model


OUTSIDE = keras.Input((4,))
FREE = functools.partial(keras.Input, (None, 4), name="x")

ADVICE = {
    "if on a tensor": Advice(
        "use ops.where, ops.logical_and/or/not or ops.cond instead of if/and/or/not",
        refused(lambda: net(lambda self, x: x if ops.sum(x) > 0 else -x)),
        fixed(lambda: net(lambda self, x: ops.where(ops.sum(x) > 0, x, -x))),
    ),
    "index from a tensor": Advice(
        "compute with the tensor itself: ops.take for an index, ops.where for a choice",
        refused(lambda: net(lambda self, x: x[:, int(ops.argmax(x[0]))])),
        fixed(lambda: net(lambda self, x: ops.take(x, ops.argmax(x[0]), axis=1))),
    ),
    "iteration over a free dimension": Advice(
        "use ops.map or ops.scan, or give the dimension a size in the inputs",
        refused(lambda: net(lambda self, x: ops.stack([row * 2 for row in x]))),
        fixed(lambda: net(lambda self, x: ops.map(lambda row: row * 2, x))),
    ),
    "draw of Python, in a layer of its own": Advice(
        "move this code into a layer of its own, which is then kept whole",
        refused(lambda: net(lambda self, x: x * random.random())),
        fixed(lambda: part(lambda self, x: x * random.random())),
    ),
    "draw of Python, kept": Advice(
        "keep the layer whole: leaves=['inner']",
        reported(lambda: part(lambda self, x: x * random.random())),
        fixed(lambda: part(lambda self, x: x * random.random()), leaves=["inner"]),
    ),
    "fit that leaves layers in inference": Advice(
        "def call(self, ..., training=None), and layer(x, training=training) for each of them",
        reported(lambda: net(lambda self, x: self.drop(x), drop=dropout)),
        fixed(lambda: net(drops, drop=dropout)),
    ),
    "function of NumPy": Advice(
        "call the function of the same name in keras.ops",
        refused(lambda: net(lambda self, x: np.exp(x))),
        fixed(lambda: net(lambda self, x: ops.exp(x))),
    ),
    "tensor into NumPy": Advice(
        "use the function of the same name in keras.ops instead of NumPy's",
        refused(lambda: net(lambda self, x: np.asarray(x) * 2)),
        fixed(lambda: net(lambda self, x: ops.convert_to_tensor(x) * 2)),
    ),
    "value of a weight": Advice(
        "use the weight itself, with the functions of keras.ops",
        refused(lambda: net(lambda self, x: x * float(self.dense.bias.numpy()[0]), dense=built_dense)),
        fixed(lambda: net(lambda self, x: x * self.dense.bias[0], dense=built_dense)),
    ),
    "value of a size: size in the inputs": Advice(
        "give the dimension a size in the inputs, or ",
        refused(lambda: net(sum_of_steps), FREE()),
        fixed(lambda: net(sum_of_steps), keras.Input((5, 4))),
    ),
    "value of a size: hints": Advice(
        'hints={"x": (2, 128, 4)} for a model of that size alone',
        refused(lambda: net(sum_of_steps), FREE()),
        fixed(lambda: net(sum_of_steps), FREE(), hints={"x": (2, 128, 4)}),
    ),
    "identity of training": Advice(
        "write `if training:`",
        refused(lambda: net(by_identity)),
        fixed(lambda: net(by_truth)),
    ),
    "draw of Python": Advice(
        "draw with keras.random and a SeedGenerator, or ",
        refused(lambda: net(lambda self, x: x * random.random())),
        fixed(lambda: net(lambda self, x: x * keras.random.uniform((), seed=self.seed), seed=seeds)),
    ),
    "output that is no tensor": Advice(
        "return tensors, in tuples, lists or dicts",
        refused(lambda: net(returns_object)),
        fixed(lambda: net(lambda self, x: {"x": x, "y": (x + 1, [x + 2])})),
    ),
    "shapes that do not fit": Advice(
        "check the shapes and dtypes of the inputs given to prepare_model",
        refused(lambda: net(lambda self, x: ops.matmul(x, ops.ones((5, 2))))),
        fixed(lambda: net(lambda self, x: ops.matmul(x, ops.ones((5, 2)))), keras.Input((5,))),
    ),
    "symbolic tensor from outside": Advice(
        "pass it to the model as an input",
        refused(lambda: net(lambda self, x: x + OUTSIDE)),
        fixed(lambda: net(lambda self, pair: pair[0] + pair[1]), [keras.Input((4,)), keras.Input((4,))]),
    ),
    "Python function of several arguments kept with its class": Advice(
        "let `call` take one dict or list, or leave keep_class out",
        lambda: kerasfx.prepare_model(
            net(lambda self, x, y: x + y),
            kerasfx.Inputs(keras.Input((4,)), keras.Input((4,))),
            keep_class=True,
        ),
        fixed(
            lambda: net(lambda self, pair: pair[0] + pair[1]),
            [keras.Input((4,)), keras.Input((4,))],
            keep_class=True,
        ),
    ),
    "layer kept with its class": Advice(
        "leave keep_class out: a layer has no ",
        lambda: prepare(net(lambda self, x: x + 1, layers.Layer), keep_class=True),
        fixed(lambda: net(lambda self, x: x + 1, layers.Layer)),
    ),
    "opened layer of a kept class": Advice(
        'if it is a layer, kerasfx.prepare_model(..., leaves=["inner"]) keeps it whole',
        lambda: prepare(part(lambda self, x: self.d(x) * 2, d=built_dense), keep_class=True).inner,
        lambda: (lambda model, prepared: (prepared.inner, (model, prepared))[1])(
            *fixed(
                lambda: part(lambda self, x: self.d(x) * 2, d=built_dense), keep_class=True, leaves=["inner"]
            )()
        ),
    ),
    "class instead of a model": Advice(
        "make an instance: Dense(...)",
        lambda: prepare(layers.Dense),
        fixed(lambda: layers.Dense(2)),
    ),
    "inputs that are not known": Advice(
        "kerasfx.prepare_model(model, keras.Input((64,)))",
        lambda: kerasfx.prepare_model(net(lambda self, x: x * 2)),
        fixed(lambda: net(lambda self, x: x * 2), keras.Input((64,))),
    ),
    "arguments that do not fit": Advice(
        "its signature is call(x)",
        refused(lambda: net(lambda self, x: x * 2), kerasfx.Inputs(X, flag=True)),
        fixed(lambda: net(lambda self, x: x * 2), kerasfx.Inputs(X)),
    ),
    "inputs without a tensor": Advice(
        "give one as keras.Input, array or shape",
        refused(lambda: net(lambda self, x=None: x), kerasfx.Inputs(x=2)),
        fixed(lambda: net(lambda self, x: x * 2), kerasfx.Inputs(X)),
    ),
    "value among the inputs": Advice(
        "for arguments that are Python values: kerasfx.Inputs(x, flag=True)",
        refused(lambda: net(lambda self, x, flag: x * 2 if flag else x), [X, True]),
        fixed(lambda: net(lambda self, x, flag: x * 2 if flag else x), kerasfx.Inputs(X, flag=True)),
    ),
    "example sizes": Advice(
        'prepare it for these: kerasfx.prepare_model(model, hints={"<input>": (2, 128)})',
        lambda: prepare(net(long_or_short), FREE(), hints={"x": (2, 3, 4)})(np.ones((2, 9, 4), "float32")),
        fixed(lambda: net(long_or_short), FREE(), hints={"x": (2, 9, 4)}),
    ),
    "layer that cannot be copied": Advice(
        'give Made a get_config() that makes it again, or use weights="share"',
        lambda: prepare(around_kept(Made(functools.partial(keras.ops.multiply, 2.0))), leaves=[Made]),
        fixed(
            lambda: around_kept(Made(functools.partial(keras.ops.multiply, 2.0))),
            leaves=[Made],
            weights="share",
        ),
    ),
    "a layer without its weight that is to stay whole": Advice(
        "leave it out of leaves=, or keep the layer around it whole",
        refused(scaled_kernel, leaves=["d"]),
        fixed(scaled_kernel),
    ),
    "steps of the class": Advice(
        "kerasfx.prepare_model(model, keep_class=True)",
        reported(lambda: OwnStep()),
        fixed(lambda: OwnStep(), keep_class=True),
    ),
    "a model that only trains what it holds": Advice(
        "hand over what it holds, one after the other: kerasfx.prepare_model(model.generator, ...)",
        lambda: prepare(net(keras.Model.call, generator=built_dense)),
        fixed(lambda: net(lambda self, x: self.d(x) * 2, d=built_dense)),
    ),
    "compile like one with steps of its own": Advice(
        "pass keep_class=True as well",
        lambda: prepare(compiled(OwnStep()), compile="like_original"),
        fixed(lambda: compiled(OwnStep()), compile="like_original", keep_class=True),
    ),
    "compile like one that is not compiled": Advice(
        "compile the original first, or leave compile= out and compile the result",
        lambda: prepare(net(lambda self, x: x), compile="like_original"),
        fixed(lambda: compiled(net(lambda self, x: self.d(x), d=built_dense)), compile="like_original"),
    ),
}


def message_of(wrong):
    try:
        return wrong()
    except Exception as error:  # whatever type says it
        return str(error)


@pytest.mark.parametrize("name", ADVICE)
def test_advice_works(name):
    advice = ADVICE[name]
    message = message_of(advice.wrong)
    assert isinstance(message, str)
    assert advice.hint in message.partition("do:")[2], message
    model, prepared = advice.followed()
    assert kerasfx.compare(model, prepared, gradients=False)


NOTHING_TO_DO = "asks the reader to look, or to do nothing"
ENVIRONMENT = "takes an environment with another backend or another Keras"
OF_ONE_BACKEND = "is given on one backend alone, beside whose tests it belongs"
FOR_PASSES = "is for the author of a pass, and tried beside the tests of passes and of computed weights"
OF_SOURCE = "is what tests/test_to_source.py is about"
OF_VIEWING = "is what tests/test_viewing.py is about"
NOT_YET = "is not followed in a test yet"

UNTRIED = {
    "check that the same call works on real tensors": NOTHING_TO_DO,
    "do not load this file": NOTHING_TO_DO,
    "did you mean": NOTHING_TO_DO,
    "please report this": NOTHING_TO_DO,
    "if the steps of keras.Model are wanted": NOTHING_TO_DO,
    "kerasfx.compare(model, prepared, inputs=...)": NOTHING_TO_DO,
    "its inputs are ": NOTHING_TO_DO,
    "keras.Input(": NOTHING_TO_DO,
    "do not keep tensors of an earlier call": NOTHING_TO_DO,
    "load the model with KERAS_BACKEND=": ENVIRONMENT,
    "load the model with the versions of Keras": ENVIRONMENT,
    "Load a model with the version of Keras": ENVIRONMENT,
    "write x = x + y, or ": OF_ONE_BACKEND,
    "compute a new tensor (torch.where": OF_ONE_BACKEND,
    "use the argument `training` of call, or ": OF_ONE_BACKEND,
    "create it with self.add_weight(...)": OF_ONE_BACKEND,
    "call the function of keras.ops that does the same": OF_ONE_BACKEND,
    "to do as the result does, call it once": OF_ONE_BACKEND,
    "into a layer with the dtype policy of the model": OF_ONE_BACKEND,
    "give the layer a compute_output_spec": "is what tests/test_leaves.py is about",
    ": training_in_fit=": "is what tests/test_training_in_fit.py is about",
    "let the layer be opened, or keep an enclosing layer whole": NOT_YET,
    "hand `training` on to each of them": NOT_YET,
    "let its `call` return tensors alone": NOT_YET,
    "give  a get_config() that makes it again": NOT_YET,
    "compile the original again": NOT_YET,
    "leave compile= out": NOT_YET,
    "if the model was prepared with options": NOT_YET,
    "pass input_layer=keras.Input(shape, dtype=...)": NOT_YET,
    "in the inputs, or example sizes for which it differs": NOT_YET,
    "kerasfx.prepare_model(original, mode=": "is what tests/test_modes.py is about",
    "for both: mode=": "is what tests/test_modes.py is about",
    "for a model of one mode alone: ": "is what tests/test_modes.py is about",
    "layer(x, training=training)": NOT_YET,
    "compute it with ops.shape(x)": NOT_YET,
    "pass `training` on to the layers": NOT_YET,
    "take it out of the model and apply it to the data": NOT_YET,
    "mend its get_config()": NOT_YET,
    "kerasfx.prepare_model(model, x) with arrays x that the model accepts": NOT_YET,
    "hold it, or the layer that has it, in an attribute": NOT_YET,
    "prepare the original for these shapes": NOT_YET,
    "correct it or leave it out": NOT_YET,
    '=["': NOT_YET,
    "kerasfx.Inputs(...) or the structure that `call` takes": NOT_YET,
    "for a free batch, let the code ask for it": NOT_YET,
    "mend them, or leave them out one by one to see which it is": FOR_PASSES,
    "leave the weight to functions, whose weights keep theirs": FOR_PASSES,
    'weights="copy", or leave out the pass that computes it': FOR_PASSES,
    "write the default into the signature: `def call(self, x, training=True)`": "is what other models "
    "of tests/test_bare_calls.py do",
    'weights="copy", or leave the weight to functions': FOR_PASSES,
    "copy before such changes": FOR_PASSES,
    "leave out the pass, or let it leave this alone": FOR_PASSES,
    "put it into the `call` of a keras.layers.Layer": "is followed in tests/test_errors.py",
    "write `def call": "is followed in tests/test_aimet.py",
    "keep the model inside whole": "is followed in tests/test_training_behaviour.py",
    "add_weight(..., autocast=False)": "is followed in tests/test_assigned_variables.py",
    "return the tensors alone, or a dict of them": NOT_YET,
    'training_in_fit="': NOT_YET,
    'mode="both" or ': NOT_YET,
    "do not call `fit`, or training=True": NOTHING_TO_DO,
    "kerasfx.to_source(kerasfx.prepare_model(model))": OF_SOURCE,
    "prepare the original without keep_class": OF_SOURCE,
    "say which tensor it goes with: .of(..., tied_to=x)": OF_SOURCE,
    "model.save(...), which keeps": OF_SOURCE,
    "prepare it first: kerasfx.plot(kerasfx.prepare_model(model))": OF_VIEWING,
    "let the name of the file end in one of": OF_VIEWING,
    "depth=1 shows the layers of the model": OF_VIEWING,
    "; or ": "joins what tests/test_viewing.py is about",
    "kerasfx.compare(original, model, by_layer=True)": OF_VIEWING,
    "apt install graphviz": OF_VIEWING,
    'pip install "kerasfx[plot]"': OF_VIEWING,
    "quantize what prepare_model returns with aimet_onnx": "is followed by `make aimet`",
}
"""Constant parts of advice that no test here follows, and why."""


def told_to_newcomers():
    """The advice of the messages that are written out in `tests/test_newcomers.py`."""
    text = Path(__file__).with_name("test_newcomers.py").read_text()
    return [line.split("do:", 1)[1] for line in text.splitlines() if "do:  " in line]


def advice_in_source():
    """The constant parts of every text that stands behind `do:`, with where it is written."""
    root = Path(kerasfx.__file__).parent
    # What is refused of an edit, and what to do then, is tried beside the verbs (tests/test_edits.py), and
    # what is to be typed at the command line in tests/test_cli.py.
    elsewhere = ("ir", "passes", "cli")
    files = [f for f in sorted(root.rglob("*.py")) if f.relative_to(root).parts[0] not in elsewhere]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            for hint in _hints(node):
                parts = [
                    x.value
                    for x in ast.walk(hint)
                    if isinstance(x, ast.Constant) and isinstance(x.value, str)
                ]
                if any(part.strip() for part in parts) and "do:" not in "".join(parts):
                    yield f"{file.relative_to(root)}:{node.lineno}", parts


def _hints(node):
    if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "hint":
        return [node.value]
    if not isinstance(node, ast.Call):
        return []
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    position = {"unsupported": 1, "Finding": 4, "note": 3}.get(name, len(node.args))
    return [*node.args[position : position + 1], *(k.value for k in node.keywords if k.arg == "hint")]


def test_all_advice_in_the_source_is_tried_or_accounted_for():
    told = [*(advice.hint for advice in ADVICE.values()), *told_to_newcomers()]
    assert len(told) + len(UNTRIED) > 50
    unknown = {
        where: parts
        for where, parts in advice_in_source()
        if not any(known in part for part in parts for known in (*told, *UNTRIED))
        and not any(part.strip() in hint for part in parts if len(part.strip()) > 3 for hint in told)
    }
    assert not unknown

"""Every way to fail says what, where (layer path, file and line), why, and what to type next.

A layer that misbehaves raises when it is the model; below one it stays whole and the report tells the
same. The offending lines below end in a marker, from which the tests find their numbers.
"""

import json
import os
import threading
import zipfile
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops
from predicting import predicted

import kerasfx
from kerasfx import errors

pytestmark = pytest.mark.any_keras

HERE = Path(__file__)


def line_of(marker: str) -> str:
    """`file:number` of the line of this file that ends in `# <- marker`."""
    lines = HERE.read_text().splitlines()
    [number] = [n for n, line in enumerate(lines, 1) if line.endswith(f"# <- {marker}")]
    return f"{HERE}:{number}"


class Quirk(keras.layers.Layer):
    """A layer with a weight, whose results have the shape of its input."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

    def compute_output_shape(self, shape):
        return shape


class Bool(Quirk):
    def call(self, x):
        return x * self.scale if ops.sum(x) > 0 else -x  # <- bool


class Int(Quirk):
    def call(self, x):
        return x * self.scale * int(ops.sum(x))  # <- int


class Float(Quirk):
    def call(self, x):
        return x * self.scale * float(ops.sum(x))  # <- float


class Len(Quirk):
    def call(self, x):
        return x * self.scale * len(x)  # <- len


class Iteration(Quirk):
    def call(self, x):
        return ops.stack([row * self.scale for row in x])  # <- iteration


class NumPy(Quirk):
    def call(self, x):
        return self.scale * ops.convert_to_tensor(np.tanh(np.asarray(x)))  # <- numpy


class WeightAsFloat(Quirk):
    def call(self, x):
        return x * float(self.scale.numpy())  # <- weight


class WeightAsArray(Quirk):
    def call(self, x):
        return x * np.asarray(self.scale)  # <- weight array


class WeightConverted(Quirk):
    def call(self, x):
        return x * ops.convert_to_numpy(self.scale)  # <- weight converted


class UnlikeModes(Quirk):
    def call(self, x, training=None):
        return x[:, :3] * self.scale if training else x


class SizeAsInt(Quirk):
    def call(self, x):
        return x * self.scale * int(ops.shape(x)[1])  # <- size


class SizeBranch(Quirk):
    def call(self, x):
        if ops.shape(x)[1] > 10:  # <- branch
            return x * self.scale
        return -x * self.scale


class Draw(Quirk):
    """A number that a graph would hold ever after."""

    def call(self, x):
        return x * self.scale * np.random.random()  # <- draw


class Inference(Quirk):
    def call(self, x):
        return ops.matmul(x * self.scale, ops.ones((7, 7)))  # <- inference


class NotATensor(keras.layers.Layer):
    def call(self, x):
        return {"out": x, "names": {"net"}}


class Own(keras.layers.Layer):
    def call(self, x):
        raise LookupError("the user's own words")  # <- own


@dataclass(frozen=True)
class Misuse:
    """A layer that a graph cannot represent, and what the message says.

    Attributes:
        layer: Its class.
        error: The class of the error.
        marker: Of the offending line.
        says: What is in the message.
        shape: Of the input, without the batch.
    """

    layer: type
    error: type
    marker: str
    says: tuple[str, ...]
    shape: tuple[int | None, ...] = (4,)


AS_PYTHON = errors.TensorAsPythonValueError
AS_WEIGHT = errors.WeightAsPythonValueError
AS_WEIGHT_SAYS = ("The value of the weight scale is read into NumPy", "keras.ops")
MISUSES = (
    Misuse(Bool, AS_PYTHON, "bool", ("bool() of the tensor", "ops.where")),
    Misuse(Int, AS_PYTHON, "int", ("int() of the tensor", "kept whole")),
    Misuse(Float, AS_PYTHON, "float", ("float() of the tensor", "kept whole")),
    Misuse(Len, AS_PYTHON, "len", ("len() or iteration of the tensor", "first dimension")),
    Misuse(Iteration, AS_PYTHON, "iteration", ("len() or iteration", "first dimension")),
    Misuse(NumPy, AS_PYTHON, "numpy", ("a NumPy array of the tensor", "keras.ops")),
    Misuse(WeightAsFloat, AS_WEIGHT, "weight", AS_WEIGHT_SAYS),
    Misuse(WeightAsArray, AS_WEIGHT, "weight array", AS_WEIGHT_SAYS),
    Misuse(WeightConverted, AS_WEIGHT, "weight converted", AS_WEIGHT_SAYS),
    Misuse(
        SizeAsInt,
        errors.SizeDecisionError,
        "size",
        ("the size is free", ".shape[1]", "give the dimension a size"),
        (None, 4),
    ),
    Misuse(Draw, errors.UnsupportedOperationError, "draw", ("`call` draws from numpy.random",)),
)
BROKEN = (
    Misuse(
        Inference,
        errors.OperationInferenceError,
        "inference",
        ("keras.ops.matmul(float32", "is refused", "check the shapes"),
    ),
)
SITES = {m.layer.__name__: m for m in (*MISUSES, *BROKEN)}


def place(misuse: Misuse, path: str) -> str:
    """Layer, file and line as messages write them."""
    return f"{path} ({misuse.layer.__name__}), {line_of(misuse.marker)}: "


def message_of(misuse: Misuse, model: keras.Layer, **options) -> str:
    """What `prepare_model` says about a model with a misuse in it."""
    with pytest.raises(misuse.error) as caught:
        kerasfx.prepare_model(model, keras.Input(misuse.shape), **options)
    assert isinstance(caught.value, errors.TraceError)
    return str(caught.value)


class Outer(keras.Model):
    """A model with one layer at `inner[0]`."""

    def __init__(self, layer):
        super().__init__(name="outer")
        self.before = keras.layers.Dense(4)
        self.inner = [layer]

    def call(self, x):
        return self.inner[0](self.before(x)) + 1.0


# --- Layers that a graph cannot represent ---------------------------------------------------------


@pytest.mark.parametrize("name", SITES)
def test_at_the_root_it_raises(name):
    """What, where, why and what to do, with the user's line."""
    misuse = SITES[name]
    text = message_of(misuse, misuse.layer(name="quirk"))
    for words in misuse.says:
        assert words in text
    assert f"where: {place(misuse, 'quirk')}" in text
    assert "do:    " in text


@pytest.mark.parametrize("misuse", MISUSES, ids=lambda m: m.layer.__name__)
def test_below_the_root_it_stays_whole(misuse):
    """The report says the same of the layer's path, and the result is equivalent."""
    model = Outer(misuse.layer())
    prepared = kerasfx.prepare_model(model, keras.Input(misuse.shape))
    [finding] = kerasfx.report(prepared).opaque
    text = str(finding)
    assert finding.path == "inner[0]"
    assert f"{misuse.layer.__name__} is kept whole" in text
    for words in misuse.says:
        assert words.replace(" scale", " inner[0].scale").replace(" count", " inner[0].count") in text
    assert place(misuse, "inner[0]") in text
    assert text.splitlines()[0] in str(kerasfx.report(prepared))
    comparison = kerasfx.compare(model, prepared, samples=1)
    assert comparison, str(comparison)


@pytest.mark.parametrize("misuse", MISUSES, ids=lambda m: m.layer.__name__)
def test_strict_refuses_it(misuse):
    """`strict=True` lists the layer with the same reason."""
    with pytest.raises(errors.OpaqueLayerError) as caught:
        kerasfx.prepare_model(Outer(misuse.layer()), keras.Input(misuse.shape), strict=True)
    text = str(caught.value)
    assert "1 layers of 'outer' would stay whole" in text
    assert f"inner[0]: {misuse.layer.__name__} is kept whole" in text
    assert place(misuse, "inner[0]") in text


def test_strict_lists_all_layers():
    """Both, not only the first."""
    inputs = keras.Input((4,))
    model = keras.Model(inputs, Float(name="second")(Draw(name="first")(inputs)))
    with pytest.raises(errors.OpaqueLayerError) as caught:
        kerasfx.prepare_model(model, strict=True)
    text = str(caught.value)
    assert "2 layers" in text
    assert text.index("first: Draw") < text.index("second: Float")
    assert line_of("draw") in text
    assert line_of("float") in text


def test_explain_lists_what_prepare_would_keep():
    """A dry run: the same findings, no model, no exception; also for a model that is refused."""
    report = kerasfx.explain(Outer(Draw()), keras.Input((4,)))
    assert [f.path for f in report.opaque] == ["inner[0]"]
    [refused] = kerasfx.explain(Bool(), keras.Input((4,))).opaque
    assert "bool() of the tensor" in str(refused)
    assert line_of("bool") in str(refused)


class Unknowable(keras.layers.Layer):
    """Keras cannot tell the shape of its result, which no enclosing layer would change.

    Not even on PyTorch, where Keras runs it on ones.
    """

    def call(self, x):
        return {0: x}[int(ops.sum(x))]  # <- unknowable


def test_a_layer_that_keras_cannot_infer_either_is_the_error():
    """It is refused with the first failure, not with Keras's."""
    with pytest.raises(errors.TensorAsPythonValueError) as caught:
        kerasfx.prepare_model(Outer(Unknowable()), keras.Input((4,)))
    assert f"inner[0] (Unknowable), {line_of('unknowable')}" in str(caught.value)


@pytest.mark.parametrize("model", [SizeBranch(), Outer(SizeBranch())], ids=["root", "below"])
def test_other_answer_about_a_free_size(model):
    """A branch on a size is taken for the sizes at hand; others are refused, never wrong."""
    prepared = kerasfx.prepare_model(model, keras.Input((None, 4)))
    assert kerasfx.report(prepared).opaque == []
    assert f".shape[1] > 10 is True ({line_of('branch')})" in str(kerasfx.report(prepared))
    np.testing.assert_allclose(predicted(prepared, x(20, 4)), predicted(model, x(20, 4)), rtol=1e-6)
    with pytest.raises(errors.SizeGuardError) as caught:
        prepared(x(5, 4))
    assert f".shape[1] > 10 is True ({line_of('branch')})" in str(caught.value)
    assert "prepare it for these" in str(caught.value)


def test_modes_that_return_unlike_results():
    """One graph cannot return two shapes: the layer stays whole, or is the error."""
    model = Outer(UnlikeModes())
    prepared = kerasfx.prepare_model(model, keras.Input((4,)))
    [finding] = kerasfx.report(prepared).opaque
    assert finding.path == "inner[0]"
    says = "Inference and training give results that cannot take each other's place"
    assert says in str(finding)
    assert kerasfx.compare(model, prepared, samples=1)
    with pytest.raises(errors.UnsupportedOperationError, match=says):
        kerasfx.prepare_model(UnlikeModes(), keras.Input((4,)))


def test_output_that_is_no_tensor():
    """The value, its type, and the model that returned it."""
    with pytest.raises(errors.OutputNotTensorError) as caught:
        kerasfx.prepare_model(NotATensor(name="quirk"), keras.Input((4,)))
    text = str(caught.value)
    assert "it returned {'net'} of type set" in text
    assert "where: quirk (NotATensor)" in text
    assert "return tensors, in tuples, lists or dicts" in text


# --- The user's own exception ----------------------------------------------------------------------


@pytest.mark.parametrize("built", [True, False])
def test_the_users_exception_comes_first(built):
    """Type and words are the user's; our note adds path, file and line, once."""
    model = Outer(Own())
    if built:
        model.before.build((None, 4))
        model.inner[0].built = model.built = True
    with pytest.raises(LookupError) as caught:
        kerasfx.prepare_model(model, keras.Input((4,)))
    assert not isinstance(caught.value, errors.KerasFxError)
    assert "the user's own words" in str(caught.value)
    [note] = caught.value.__notes__
    assert note.startswith("kerasfx was tracing the model when this was raised.")
    assert f"where: inner[0] (Own), {line_of('own')}: raise LookupError" in note
    assert "do:    check that the same call works on real tensors" in note


def test_the_users_exception_at_the_root():
    """The model has no path: its name stands there."""
    with pytest.raises(LookupError, match="own words") as caught:
        kerasfx.prepare_model(Own(name="mine"), keras.Input((4,)))
    assert f"where: mine (Own), {line_of('own')}" in caught.value.__notes__[0]


def raw_tanh(x):
    """A function of the backend itself, with a gradient of its own."""
    return keras.ops.custom_gradient(with_gradient)(x)


def with_gradient(x):
    """The hyperbolic tangent, and a gradient that only tells that it was called."""
    return keras.ops.tanh(x), lambda *args, upstream=None: 0.0 * (args[0] if args else upstream)


class RawBackend(Quirk):
    def call(self, x):
        return self.scale * raw_tanh(x)


def test_raw_backend_call_stays_whole():
    """What a graph of its inside would lose, or the backend says about a symbolic tensor, is the reason."""
    model = Outer(RawBackend())
    prepared = kerasfx.prepare_model(model, keras.Input((4,)))
    [finding] = kerasfx.report(prepared).opaque
    assert finding.path == "inner[0]"
    if keras.backend.backend() == "tensorflow":
        assert "a gradient of its own" in finding.what
    assert kerasfx.compare(model, prepared, samples=1)


# --- What is passed to prepare_model ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (keras.layers.Dense, "make an instance: Dense(...)"),
        (Outer, "make an instance: Outer(...)"),
        (raw_tanh, "of type function"),
        (None, "not None of type NoneType"),
        ("model.keras", "not 'model.keras' of type str"),
        (3, "not 3 of type int"),
    ],
    ids=["layer class", "model class", "function", "None", "str", "int"],
)
@pytest.mark.parametrize("function", [kerasfx.prepare_model, kerasfx.explain])
def test_no_model(function, model, says):
    with pytest.raises(errors.UnsupportedModelError) as caught:
        function(model, keras.Input((4,)))
    assert "takes a Keras model or layer" in str(caught.value)
    assert says in str(caught.value)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("function", [kerasfx.prepare_model, kerasfx.explain, kerasfx.trace])
def test_inputs_required(function):
    """The model is named and the line to type is shown."""
    with pytest.raises(errors.InputRequiredError) as caught:
        function(Outer(Quirk()))
    text = str(caught.value)
    assert "inputs of Outer 'outer' are not known" in text
    assert "kerasfx.prepare_model(model, keras.Input((64,)))" in text
    assert "kerasfx.Inputs(x, context=c)" in text
    assert isinstance(caught.value, ValueError)


def two_inputs(structure="list"):
    """A Functional model of two inputs with a custom layer in it."""
    a = keras.Input((4,), name="a")
    b = keras.Input((5,), name="b", dtype="int32")
    y = keras.layers.Dense(2)(Bool()(a)) + ops.cast(b[:, :2], "float32")
    return keras.Model([a, b] if structure == "list" else {"a": a, "b": b}, y, name="two")


def x(*shape, dtype="float32"):
    """An example array with a batch of 3."""
    return np.ones((3, *shape), dtype)


@pytest.mark.parametrize(
    ("structure", "inputs", "says"),
    [
        ("list", x(4), ("'two' takes 2 inputs, but input_layer holds 1", "'a'", "'b'")),
        ("list", [x(4)] * 3, ("takes 2 inputs, but input_layer holds 3",)),
        ("list", [x(4), x(6, dtype="int32")], ("'b' of shape (None, 5)", "(None, 6)")),
        ("list", [x(4), x(5, 1, dtype="int32")], ("'b' of shape (None, 5)", "(None, 5, 1)")),
        ("list", [x(4), x(5)], ("'b' of dtype int32", "has float32", 'x.astype("int32")')),
        ("dict", {"a": x(4), "c": x(5)}, ("keys ['a', 'b']", "['a', 'c']")),
        ("list", "tokens", ("input_layer holds 'tokens' of type str", "kerasfx.Inputs")),
        ("list", [x(4), object()], ("of type object", "an example array or a shape")),
        ("list", [], ("input_layer holds []",)),
    ],
    ids=["too few", "too many", "size", "rank", "dtype", "keys", "str", "object", "empty"],
)
def test_inputs_that_do_not_fit(structure, inputs, says):
    """They are refused before any work."""
    model = two_inputs(structure)
    with pytest.raises(errors.InputMismatchError) as caught:
        kerasfx.prepare_model(model, inputs)
    for words in says:
        assert words in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_arguments_that_call_does_not_take():
    """`kerasfx.Inputs` is bound to the signature of `call`, which is shown."""
    with pytest.raises(errors.InputMismatchError) as caught:
        kerasfx.prepare_model(Outer(Quirk()), kerasfx.Inputs(x(4), context=x(4)))
    assert "does not fit `Outer.call`" in str(caught.value)
    assert "context" in str(caught.value)
    assert "its signature is call(x)" in str(caught.value)


def test_arguments_without_a_tensor():
    with pytest.raises(errors.InputMismatchError, match="holds no tensor"):
        kerasfx.prepare_model(Outer(Quirk()), kerasfx.Inputs(True))


@pytest.mark.parametrize("function", [kerasfx.prepare_model, None])
def test_unknown_kind_of_weights(function):
    message = r'weights must be "copy" or "share", not \'clone\''
    if function is None:
        graph = kerasfx.trace(keras.layers.ReLU(), keras.Input((4,)))
        with pytest.raises(ValueError, match=message):
            kerasfx.emit(graph, weights="clone")
        return
    with pytest.raises(ValueError, match=message):
        function(keras.layers.ReLU(), keras.Input((4,)), weights="clone")


def test_report_of_a_model_that_was_not_prepared():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)], name="plain")
    with pytest.raises(ValueError, match="Sequential 'plain' has no report"):
        kerasfx.report(model)


# --- Layers that stay whole and cannot be copied ---------------------------------------------------


class Holding(Draw):
    """Its config cannot make it again, and what it holds cannot be copied."""

    def __init__(self, lock):
        super().__init__()
        self.lock = lock

    def get_config(self):
        raise NotImplementedError("no config for this one")


class Growing(Draw):
    """Made again from its config, it has another weight."""

    def __init__(self, size=1, **kwargs):
        super().__init__(**kwargs)
        self.size = size
        self.lock = threading.Lock()

    def set_size(self, size):
        """Another one than it was made with."""
        self.size = size
        return self

    def build(self, shape):
        self.scale = self.add_weight(shape=(self.size,), initializer="ones", name="scale")

    def get_config(self):
        return {**super().get_config(), "size": self.size + 3}


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: Holding(threading.Lock()), ("Holding", "no config for this one", "get_config()")),
        (
            lambda: Growing().set_size(4),
            ("Growing", "it has other weights", "[('scale', (4,)", "(7,)", "pickle"),
        ),
    ],
    ids=["no config", "other weights"],
)
def test_layer_that_cannot_be_copied(build, says):
    """The class, the reason, and two ways out; sharing the weights is one."""
    model = Outer(build())
    with pytest.raises(errors.NotCopyableError) as caught:
        kerasfx.prepare_model(model, keras.Input((4,)))
    text = str(caught.value)
    for words in (*says, 'weights="share"'):
        assert words in text
    shared = kerasfx.prepare_model(model, keras.Input((4,)), weights="share")
    assert kerasfx.compare(model, shared, samples=1)


# --- A wrong result is not returned ----------------------------------------------------------------


class Scale(Quirk):
    """A layer without fault."""

    def call(self, x):
        return x * self.scale


def freeze_parameters(graph):
    """A pass with the classic fault: a weight becomes a constant of its value."""
    for value in graph.parameters:
        array = keras.ops.convert_to_numpy(value.producer.variable.value).copy()
        graph.replace_uses(value, graph.add_constant(array))
    graph.parameters.clear()
    return True


def reverse_nodes(graph):
    """A pass that breaks an invariant of the graph."""
    graph.nodes.reverse()
    return True


def test_a_function_is_no_model_and_is_told_how_to_become_one():
    with pytest.raises(
        errors.UnsupportedModelError, match=r"put it into the `call` of a keras\.layers\.Layer"
    ):
        kerasfx.prepare_model(lambda x: x * 2.0, keras.Input((4,)))

    class Doubled(keras.layers.Layer):
        def call(self, x):
            return x * 2.0

    assert kerasfx.prepare_model(Doubled(), keras.Input((4,))).output_shape == (None, 4)


def test_a_refused_call_is_shown_with_all_that_it_was_called_with():
    class Wrong(keras.layers.Layer):
        def call(self, x):
            return keras.ops.concatenate([x, keras.ops.ones((2, 3))], axis=-1)

    with pytest.raises(errors.OperationInferenceError) as caught:
        kerasfx.prepare_model(Wrong(), keras.Input((None, 4), name="x"))
    shown = "keras.ops.concatenate([float32(x.shape[0], x.shape[1], 4), float32(2, 3)], axis=-1) is refused"
    notes = getattr(caught.value, "__notes__", [])
    assert shown in "\n".join([str(caught.value), *notes])


def test_frozen_weight_is_not_returned(monkeypatch):
    """Equal outputs are not enough: the check with perturbed weights names the first difference."""
    monkeypatch.setattr("kerasfx.passes.DEFAULT", [freeze_parameters])
    model = Outer(Scale())
    with pytest.raises(errors.NotEquivalentError) as caught:
        kerasfx.prepare_model(model, keras.Input((4,)))
    text = str(caught.value)
    assert "The model prepared from 'outer' differs from it and is not returned" in text
    assert "NOT equivalent: perturbed outputs" in text
    assert "'before'" in text
    assert "leaves=[...]" in text
    checks = {check.name: check.passed for check in caught.value.comparison.checks}
    assert checks["outputs"]
    assert not checks["perturbed outputs"]


def test_without_verify_the_oracle_still_finds_it(monkeypatch):
    monkeypatch.setattr("kerasfx.passes.DEFAULT", [freeze_parameters])
    inputs = keras.Input((4,))
    model = keras.Model(inputs, Scale(name="scaled")(inputs))
    prepared = kerasfx.prepare_model(model, verify=False)
    assert [f.path for f in kerasfx.report(prepared).of_kind("unused")] == ["scaled.scale"]
    assert not kerasfx.compare(model, prepared, samples=1)


def test_broken_graph_shows_the_neighbourhood(monkeypatch):
    monkeypatch.setattr("kerasfx.passes.DEFAULT", [reverse_nodes])
    with pytest.raises(errors.GraphError) as caught:
        kerasfx.prepare_model(Outer(keras.layers.ReLU()), keras.Input((4,)))
    text = str(caught.value)
    assert "The graph of 'outer' is broken" in text
    assert "before it is produced" in text
    assert "-> %" in text


# --- Files that were tampered with -----------------------------------------------------------------


def tampered(path: Path, old: str, new: str) -> Path:
    """A copy of a `.keras` file in whose config one function name is another."""
    result = path.with_name("tampered.keras")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(result, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                text = content.decode()
                assert json.dumps(old) in text
                content = text.replace(json.dumps(old), json.dumps(new)).encode()
            target.writestr(name, content)
    return result


@pytest.mark.parametrize(
    "function",
    ["os.system", "keras.utils.get_file", "keras.saving.load_model", "keras.ops.os.system", "eval"],
)
def test_file_that_names_another_function(function, tmp_path, monkeypatch):
    """It is refused by name and nothing is called."""
    called: list[object] = []
    monkeypatch.setattr(os, "system", called.append)
    monkeypatch.setattr(keras.utils, "get_file", called.append)
    inputs = keras.Input((4,))
    # Of a function without a class of its own; those that have one are no names in the file.
    call = {"arguments": [{"$tuple": [{"$tensor": 0}]}, {"$dict": []}]}
    output = {"shape": [None, 4], "dtype": "float32"}
    model = keras.Model(inputs, kerasfx.layers.Op("keras.ops.sin", output=output, **call)(inputs))
    model.save(tmp_path / "good.keras")
    assert keras.models.load_model(tmp_path / "good.keras") is not None
    bad = tampered(tmp_path / "good.keras", "keras.ops.sin", function)
    with pytest.raises(errors.UnknownFunctionError) as caught:
        keras.models.load_model(bad)
    assert f"{function} is no function that a recorded call may name" in str(caught.value)
    assert "only public functions of keras.ops" in str(caught.value)
    assert not called


def test_unknown_function_error_suggests_the_nearest():
    from kerasfx.runtime.layers import Op

    with pytest.raises(errors.UnknownFunctionError, match=r"keras\.ops\.matmul"):
        Op("keras.ops.matmull", [], None)

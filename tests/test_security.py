"""Files that were made to do harm: each is refused with an error of ours, before anything happens."""

import inspect
import json
import os
import time
import zipfile

import keras
import numpy as np
import pytest
from keras import ops

import kerasfx
from kerasfx.errors import UnknownFunctionError, UnsafeFileError
from kerasfx.runtime import codec, layers, safety
from kerasfx.runtime.functions import backend_functions, keras_functions, resolve
from kerasfx.runtime.functions.torch_names import words
from kerasfx.runtime.plain import Plain
from kerasfx.runtime.recorded import RecordedRegularizer

pytestmark = [pytest.mark.any_keras, pytest.mark.quick]

FLOAT = {"shape": [None, 4], "dtype": "float32"}
TENSOR = {"$tensor": 0}


def call(*args, **kwargs):
    """Encoded arguments, given in encoded form."""
    return [{"$tuple": list(args)}, {"$dict": [[k, v] for k, v in kwargs.items()]}]


def op(*args, function="keras.ops.multiply", output=FLOAT, **kwargs):
    return layers.Op, {"op": function, "arguments": call(*args, **kwargs), "output": output}


def dim(*expression):
    return op(TENSOR, {"$dim": list(expression)})


def array(items, shape, dtype="float32"):
    return op(TENSOR, {"$array": items, "shape": shape, "dtype": dtype})


def held(*slots, **config):
    """A function of a tensor and a weight of its layer."""
    cls, said = op(TENSOR, {"$tensor": 1})
    weight = {"name": "w", "shape": [4], **config}
    return cls, {**said, "weights": [[slot, weight] for slot in slots]}


def metric(class_name, module="keras.metrics", **config):
    serialized = {"module": module, "class_name": class_name, "config": config, "registered_name": None}
    return layers.UpdateMetric, {"metric": serialized}


def function(name, module="builtins"):
    """The serialized form of a function of Keras."""
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def nested(depth):
    x = 1
    for _ in range(depth):
        x = [x]
    return x


def body(name, *args):
    calls = [[name, call(*args)]]
    return {"$body": {"captured": [], "calls": calls, "result": {"$tensor": 0}}}


def condition(**changed):
    whole = {"sides": [{"$dim": ["axis", 0, 1]}, 4], "symbol": "==", "answer": True, "text": "t is 4"}
    return layers.CheckSizes, {"conditions": [{**whole, **changed}]}


SAVED_MODEL = {"module": "keras.layers", "class_name": "TFSMLayer", "config": {"filepath": "evil"}}

ATTACKS = {
    # Code and files by their names
    "function of the system": op(TENSOR, function="os.system"),
    "function that reads files": op("/etc/passwd", function="tf.io.read_file"),
    "function of JAX that reads files": op("/etc/passwd", function="jax.numpy.load"),
    "function of PyTorch that unpickles": op("evil.pt", function="torch.load"),
    "callback to Python": op(TENSOR, function="jax.pure_callback"),
    "function that makes objects": op(SAVED_MODEL, function="keras.activations.deserialize"),
    "function without a name": op(TENSOR, function=["keras.ops.abs"]),
    "function in a body": op(body("os.system", "true"), TENSOR, function="keras.ops.vectorized_map"),
    "class instead of a function": op(TENSOR, function="keras.random.SeedGenerator"),
    "attribute of a module": op({"$torch": ["dtype", "torch.hub"]}, function="keras.ops.abs")
    if keras.backend.backend() == "torch"
    else op({"$torch": "dtype"}),
    # Metrics that wrap functions, or are none
    "metric with a function": metric("MeanMetricWrapper", fn=function("TFSMLayer", "keras.layers")),
    "metric with a setter": metric("MeanMetricWrapper", fn=function("set_epsilon", "keras.config")),
    "metric with a function in its config": metric("Mean", name=function("TFSMLayer", "keras.layers")),
    "metric that is a layer": metric("TFSMLayer", module="keras.layers", filepath="evil"),
    "metric that is an attribute": metric("__builtins__"),
    "metric of another module": metric("Popen", module="subprocess", args="true"),
    "metric without a class": (layers.UpdateMetric, {"metric": "mean"}),
    "metric with too many thresholds": metric("AUC", num_thresholds=10**10),
    "metric with too many classes": metric("MeanIoU", num_classes=10**6),
    # Numbers, sizes and depths without bounds
    "power": dim("**", 10, ["**", 10, 9]),
    "power of a power": dim("**", ["**", ["**", 10, 100], 100], 100),
    "power of a float": dim("**", 1e300, 9),
    "root of a negative number": dim("**", -8, 0.5),
    "division by zero": dim("//", 1, 0),
    "whole part of no number": dim("floor", ["-", ["*", 1e308, 10], ["*", 1e308, 10]]),
    "string times number": dim("*", "a", 10**9),
    "list times number": dim("*", [[1]], 10**9),
    "unknown operator": dim("eval", "1"),
    "operator with too many operands": dim("+", 1, 2, 3),
    "axis by a word": dim("axis", 0, "shape"),
    "size of no tensor": dim("axis", 7, 0),
    "tensor by a word": op({"$tensor": "__class__"}),
    "tensor from the end": op({"$tensor": -1}),
    "tensor that is not there": op({"$tensor": 5}),
    "huge array": array([], [10**6, 10**9]),
    "array that is not as its shape says": array([1.0], [10**9]),
    "array of long strings": array(["a"], [1], "<U999999999"),
    "array of bytes of any layout": array([1.0], [1], "V999999999"),
    "array of lists": array([[1]], [1], "object"),
    "deep arguments": op(nested(5_000)),
    "deep size": dim("neg", *nested(3_000)),
    "deep result": op(TENSOR, output=nested(5_000)),
    "result with a huge shape": op(TENSOR, output={"shape": [10**40], "dtype": "float32"}),
    "result with an unknown dtype": op(TENSOR, output={"shape": [4], "dtype": "os"}),
    "two forms in one": op({"$tensor": 0, "$dim": 1}),
    "unknown form": op({"$eval": "1"}),
    "float of any text": op({"$float": "1" * 99}),
    # The other layers
    "huge weight": (layers.Parameter, {"shape": [10**6, 10**6, 10**6]}),
    "negative weight": (layers.Parameter, {"shape": [-1]}),
    "weight with a shape of words": (layers.Parameter, {"shape": "44"}),
    "weight with an unknown dtype": (layers.Parameter, {"shape": [1], "weight_dtype": {"a": 1}}),
    "weight with a layer as regularizer": (
        layers.Parameter,
        {"shape": [1], "regularizer": {"class_name": "kerasfx>DropMask", "config": {}, "module": "kerasfx"}},
    ),
    "weights in a word": (layers.Op, {**op(TENSOR)[1], "weights": "ab"}),
    "weights without slots": (layers.Op, {**op(TENSOR)[1], "weights": [[{"name": "w", "shape": []}]]}),
    "weight in a slot that is a word": held("__class__"),
    "weight in a slot that is not there": held(7),
    "weight in a slot before the first": held(-1),
    "weight in a slot without end": held(10**12),
    "huge weight of a function": held(1, shape=[10**6, 10**6, 10**6]),
    "weight of a function with an unknown dtype": held(1, dtype="os"),
    "weight of a function with a layer as constraint": held(
        1, constraint={"class_name": "kerasfx>DropMask", "config": {}, "module": "kerasfx"}
    ),
    "weight of a function with more than there is": held(1, initializer=SAVED_MODEL),
    "weight of a function that is hardly trained": held(1, trainable="no"),
    "constant of a function with an expression": held(1, value={"$dim": ["**", 10, ["**", 10, 9]]}),
    "huge constant": (layers.Constant, {"shape": [10**12, 10**12], "constant_dtype": "float32"}),
    "constant with an expression": (
        layers.Constant,
        {"shape": [], "constant_dtype": "float32", "value": {"$dim": ["**", 10, ["**", 10, 9]]}},
    ),
    "constant that is a number": (
        layers.Constant,
        {"shape": [], "constant_dtype": "float32", "value": 5},
    ),
    "seed that is none": (layers.DrawSeed, {"seed": {"a": 1}}),
    "generator from a config": (layers.DrawSeed, {"generator": SAVED_MODEL}),
    "message that is none": (layers.RefuseTraining, {"message": {"a": 1}}),
    "message of inference that is none": (layers.RefuseInference, {"message": ["a"]}),
    "a mode to wait in that is none": (layers.After, {"when": ["never"]}),
    "modes that are none": (layers.AddLoss, {"when": [{"a": 1}]}),
    "comparison by another name": condition(symbol="__import__"),
    "answer that is none": condition(answer="yes"),
    "text that is none": condition(text=["t"]),
    "three sides": condition(sides=[1, 2, 3]),
    "side that is a word": condition(sides=["a", 1]),
    "side without bounds": condition(sides=[{"$dim": ["**", 10, ["**", 10, 9]]}, 1]),
}


def model_around(cls, config):
    """A config of a Functional model with one layer, which takes a list or a lone tensor."""
    takes_list = cls in (layers.UpdateMetric, layers.CheckSizes, layers.AddLoss)
    x = ["input", 0, 0]
    inputs = [keras_tensor(x), keras_tensor(x)] if takes_list else keras_tensor(x)
    kwargs = {"arguments": call(), "when": None} if cls is layers.UpdateMetric else {}
    layer = {
        "module": "kerasfx.runtime.layers",
        "class_name": cls.__name__,
        "registered_name": f"kerasfx>{cls.__name__}",
        "config": {"name": "attack", **config},
        "name": "attack",
        "inbound_nodes": [{"args": [inputs], "kwargs": kwargs}],
    }
    source = {
        "module": "keras.layers",
        "class_name": "InputLayer",
        "config": {"batch_shape": [None, 4], "dtype": "float32", "sparse": False, "name": "input"},
        "registered_name": None,
        "name": "input",
        "inbound_nodes": [],
    }
    config = {"name": "m", "trainable": True, "layers": [source, layer]}
    config |= {"input_layers": x, "output_layers": ["attack", 0, 0]}
    module = "keras.src.models.functional"
    return {"module": module, "class_name": "Functional", "config": config, "registered_name": "Functional"}


def keras_tensor(history):
    config = {"shape": [None, 4], "dtype": "float32", "keras_history": history}
    return {"class_name": "__keras_tensor__", "config": config}


def written(config, path):
    """A `.keras` file with this config and no weights."""
    inputs = keras.Input((4,), name="input")
    keras.Model(inputs, keras.layers.ReLU(name="attack")(inputs)).save(path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return path


@pytest.fixture
def side_effects(monkeypatch):
    """What was done that no file may do."""
    done = []
    monkeypatch.setattr(os, "system", lambda *args: done.append(args))
    monkeypatch.setattr(keras.config, "set_epsilon", lambda *args: done.append(args))
    monkeypatch.setattr(keras.layers.TFSMLayer, "__init__", lambda *args, **kwargs: done.append(args))
    return done


class TestAttack:
    @pytest.mark.parametrize(("cls", "config"), ATTACKS.values(), ids=list(ATTACKS))
    def test_as_a_config(self, cls, config, side_effects):
        """It is refused when the layer is made, or at the latest when it is called; soon, and with reason."""
        began = time.monotonic()
        with pytest.raises(UnsafeFileError) as caught:
            cls.from_config({**config, "name": "attack"})(np.ones((1, 4), "float32"))
        assert time.monotonic() - began < 1
        assert not side_effects
        assert "do:" in str(caught.value)
        assert len(str(caught.value)) < 600

    # JSON of Python is not so deep; and Keras stops at a file whose weights are not there.
    SHALLOW = tuple(name for name, (_, c) in ATTACKS.items() if "deep" not in name and "weights" not in c)

    @pytest.mark.parametrize("name", SHALLOW[::4])
    def test_as_a_file(self, name, side_effects, tmp_path):
        cls, config = ATTACKS[name]
        path = written(model_around(cls, config), tmp_path / "model.keras")
        with pytest.raises(UnsafeFileError):
            keras.models.load_model(path)(np.ones((1, 4), "float32"))
        assert not side_effects


def test_no_layer_of_ours_is_forgotten():
    """Each class that a file can name is attacked above, or takes nothing from its config."""
    ours = {c for c in vars(layers).values() if isinstance(c, type) and issubclass(c, Plain)}
    without_config = {
        layers.ReadAssigned,
        layers.ReadHeld,
        layers.SelectByTraining,
        layers.AttachMask,
        layers.DropMask,
    }
    attacked = {cls for cls, _ in ATTACKS.values()}
    assert ours - {Plain} == without_config | attacked


@pytest.mark.parametrize(
    "arguments",
    [
        call("/tmp/evil", "serve"),
        call(TENSOR, sample_weight="serve"),
        call(body("keras.ops.abs", TENSOR)),
        call({"$tuple": [["serve"]]}),
        call({"$array": ["serve"], "shape": [1], "dtype": "<U5"}),
        call({"$scalar": ["serve"], "shape": [], "dtype": "str"}),
        call({"$slice": ["serve", None, None]}),
        ["serve", {}],
        {"$dict": []},
        nested(150),
    ],
)
def test_words_and_functions_as_arguments_of_a_metric(arguments):
    layer = layers.UpdateMetric(keras.metrics.Mean())
    x = keras.Input((4,))
    with pytest.raises(UnsafeFileError):
        layer([x, x], arguments=arguments)
    with pytest.raises(UnsafeFileError):
        layer([np.ones((1, 4), "float32")] * 2, arguments=arguments)


@pytest.mark.parametrize(
    "stranger",
    ["a word", keras.layers.ReLU(), keras.activations.relu, len, object()],
    ids=["word", "layer", "function", "builtin", "object"],
)
@pytest.mark.parametrize("kind", ["Op", "UpdateMetric", "CheckSizes"])
def test_other_things_than_tensors_in_their_places(kind, stranger):
    """Keras makes whatever a file has as an argument of a call, also a layer that runs a saved program."""
    x = np.ones((1, 4), "float32")
    if kind == "Op":
        branches = call(True, {"$tensor": 1}, {"$tensor": 1})
        layer, kwargs = layers.Op("keras.ops.cond", branches, FLOAT), {}
    elif kind == "UpdateMetric":
        layer = layers.UpdateMetric(keras.metrics.Mean())
        kwargs = {"arguments": call({"$tensor": 0}), "when": None}
    else:
        layer, kwargs = layers.CheckSizes(condition()[1]["conditions"]), {}
    with pytest.raises(UnsafeFileError, match="in the place of a tensor"):
        layer.call([x, stranger], **kwargs)


@pytest.mark.parametrize(
    "settings",
    [
        {"template": nested(500)},
        {"template": {"$tuple": [7]}},
        {"template": "0"},
        {"training_fixed_in": "names"},
        {"training_passed_to": [["a"]]},
        {"takes_training": {"a": 1}},
        {"training": "all"},
        {"training": {"abs": [{"fixed": "yes"}]}},
        {"mode": "any"},
    ],
)
def test_settings_of_our_functional(settings):
    x = keras.Input((4,))
    with pytest.raises(UnsafeFileError):
        kerasfx.runtime.functional.Functional(x, ops.abs(x), **settings)


def test_an_inner_model_that_keras_runs_while_it_loads(tmp_path, side_effects):
    """A `Pipeline` calls its layers for the shapes; what runs then is refused as well."""
    inner = model_around(*ATTACKS["metric with a setter"])
    layer = keras.layers.Pipeline([keras.layers.ReLU()])
    y = keras.Input((4,))
    outer = json.loads(json.dumps(keras.saving.serialize_keras_object(keras.Model(y, layer(y)))))
    outer["config"]["layers"][1]["config"]["layers"] = [inner]
    with pytest.raises(UnsafeFileError):
        keras.models.load_model(written(outer, tmp_path / "model.keras"))
    assert not side_effects


DOES_MORE = words(
    """io file files load save open read write callback py func call profile debug hub jit compile pickle eval
    exec session variable print seed manual global generator dlpack register enable disable restore config"""
)
"""Words in the names of functions that reach files, Python code or the state of the process."""

TAKES = words("fn func function callable callback cell body op path file filename fname handle")
"""Words in the names of parameters that take code or files."""

TAKING_BODIES = {
    "jax.lax.linalg.schur(select_callable)",
    "tf.signal.inverse_mdct(window_fn)",
    "tf.signal.inverse_stft(window_fn)",
    "tf.signal.inverse_stft_window_fn(forward_window_fn)",
    "tf.signal.mdct(window_fn)",
    "tf.signal.stft(window_fn)",
}
"""Functions of backends that can be given a list of calls."""

OUTSIDE = sorted(
    words(
        """jax.debug.print jax.debug.callback jax.experimental.io_callback jax.pure_callback jax.ffi.ffi_call
        jax.numpy.save jax.numpy.load jax.numpy.fromfile jax.numpy.frombuffer jax.numpy.from_dlpack
        jax.numpy.set_printoptions jax.numpy.vectorize jax.lax.custom_root jax.profiler.start_trace
        jax.nn.initializers.zeros jax.numpy.ufunc jax.export.deserialize torch.hub.load torch.save
        torch.compile torch.ops.load_library torch.from_file torch.Tensor.numpy torch.Tensor.set_
        torch.set_default_dtype torch.manual_seed torch.jit.load tf.io.write_file tf.raw_ops.WriteFile
        tf.random.set_seed tf.nn.fixed_unigram_candidate_sampler tf.image.__loader__"""
    )
)


def parameters(function):
    """The names of the parameters of a function, if it tells them."""
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return ()


class TestFunctions:
    def test_none_of_those_that_can_be_named_does_more_than_compute(self):
        """Walks all names of the running backend and of Keras, as a file could."""
        functions = {**dict(backend_functions.functions().values()), **keras_functions.functions()}
        assert len(functions) > 500
        parts = {n: set(n.rpartition(".")[2].split("_")) for n in functions}
        assert {
            n
            for n in functions
            if parts[n] & DOES_MORE and not n.endswith(("norm", "normalization", "affine_grid_generator"))
        } == set()
        assert {n for n, f in functions.items() if isinstance(f, type) or not callable(f)} == set()
        taking = {
            f"{n}({name})"
            for n, f in functions.items()
            for name in parameters(f)
            if TAKES & set(name.split("_"))
        }
        # What is no list of calls of these functions has no form in a file (`$body`).
        assert {t for t in taking if not t.startswith("keras.")} <= TAKING_BODIES

    @pytest.mark.parametrize(
        "name",
        OUTSIDE,
    )
    def test_none_of_these(self, name):
        with pytest.raises(UnknownFunctionError):
            resolve(name)

    def test_a_name_that_a_later_backend_adds_is_not_found(self, monkeypatch):
        """In none of the namespaces: what is not written out is not called, whatever it is."""
        modules = backend_functions.modules()
        assert modules
        for prefix, module in modules.items():
            monkeypatch.setattr(module, "write_everything", lambda x: x, raising=False)
            with pytest.raises(UnknownFunctionError):
                resolve(f"{prefix}.write_everything")

    def test_each_namespace_says_which_of_its_names_are_meant(self):
        """None is open, none says only what is not meant; and no name in it is misspelt or gone."""
        for backend, spaces in backend_functions._NAMESPACES.items():
            assert all(isinstance(space.allowed, frozenset) and space.allowed for space in spaces.values())
            if backend == keras.backend.backend():
                gone = {
                    f"{prefix}.{name}"
                    for prefix, space in spaces.items()
                    for name in space.allowed
                    if not hasattr(space.load(), name)
                }
                assert gone == set()


MADE_WITH = {
    "MeanIoU": {"num_classes": 3},
    "OneHotMeanIoU": {"num_classes": 3},
    "IoU": {"num_classes": 3, "target_class_ids": [0]},
    "OneHotIoU": {"num_classes": 3, "target_class_ids": [0]},
    "BinaryIoU": {"target_class_ids": [0, 1], "threshold": 0.5},
    "PrecisionAtRecall": {"recall": 0.5},
    "RecallAtPrecision": {"precision": 0.5},
    "SensitivityAtSpecificity": {"specificity": 0.5},
    "SpecificityAtSensitivity": {"sensitivity": 0.5},
    "AUC": {"num_thresholds": 50, "curve": "PR"},
    "Precision": {"thresholds": [0.25, 0.75], "class_id": 1},
    "F1Score": {"threshold": 0.5, "average": "macro"},
}


class TestHonestFile:
    @pytest.mark.parametrize("name", sorted(safety.METRICS))
    def test_every_metric_comes_back(self, name):
        made = getattr(keras.metrics, name)(**MADE_WITH.get(name, {}))
        layer = layers.UpdateMetric(made, name="m")
        config = json.loads(json.dumps(layer.get_config()))
        again = layers.UpdateMetric.from_config(config).metric
        assert type(again) is type(made)
        assert again.get_config() == made.get_config()
        assert [tuple(v.shape) for v in again.variables] == [tuple(v.shape) for v in made.variables]

    def test_the_list_of_metrics_is_that_of_keras(self):
        """All of its metrics but those that are no more than their arguments."""
        metrics = {
            name
            for name, c in vars(keras.metrics).items()
            if isinstance(c, type) and issubclass(c, keras.metrics.Metric)
        }
        assert metrics - safety.METRICS == {"Metric", "MeanMetricWrapper"}

    def test_regularizers_and_constraints_of_keras(self):
        settings = {
            "regularizer": keras.regularizers.L1L2(1e-3, 1e-2),
            "constraint": keras.constraints.MaxNorm(2.0),
        }
        layer = layers.Parameter([2, 3], name="p", **settings)
        again = layers.Parameter.from_config(json.loads(json.dumps(layer.get_config())))
        assert again.held.regularizer.get_config() == settings["regularizer"].get_config()
        assert again.held.constraint.get_config() == settings["constraint"].get_config()

    @pytest.mark.parametrize("kind", ["regularizer", "constraint"])
    def test_a_registered_class_of_the_users(self, kind):
        """`prepare_model` records it; a file that names it is loaded where it is registered."""
        base = {"regularizer": keras.regularizers.Regularizer, "constraint": keras.constraints.Constraint}
        mine = type(
            "Mine", (base[kind],), {"__call__": lambda self, x: ops.sum(x), "get_config": lambda self: {}}
        )
        keras.saving.register_keras_serializable("users_own")(mine)
        layer = layers.Parameter([2, 3], name="p", **{kind: mine()})
        again = layers.Parameter.from_config(json.loads(json.dumps(layer.get_config())))
        assert type(getattr(again.held, kind)) is mine

    @pytest.mark.parametrize(
        "body",
        [
            {"$body": 1},
            {"$body": {"captured": [], "calls": [["os.system", [[], {"$dict": []}]]], "result": 0}},
            {"$array": [1]},
        ],
    )
    def test_a_recorded_function_is_looked_at(self, body):
        with pytest.raises((UnsafeFileError, UnknownFunctionError)):
            RecordedRegularizer([{"shape": [2], "body": body}])

    def test_expressions_of_sizes_up_to_the_bounds(self):
        x = np.ones((2, 3), "float32")
        for expression, value in (
            (["**", ["axis", 0, 1], 4], 81),
            (["max", ["//", ["axis", 0, 0], 2], ["-", 7, ["axis", 0, 1]]], 4),
            (["**", 2, 500], 2**500),
        ):
            safety.require_arguments({"$dim": expression})
            assert codec.decode({"$dim": expression}, [x], lambda t, k: t.shape[k]) == value

    def test_what_cannot_be_loaded_is_not_recorded(self):
        """Arguments beyond the bounds keep the layer whole; they are not met by the one who loads it."""

        class Deep(keras.layers.Layer):
            def call(self, x):
                sizes = x.shape[1]
                for _ in range(150):
                    sizes = (sizes + 1) // 2 + 3
                return ops.broadcast_to(ops.sum(x), (sizes,)) if sizes else x

        with pytest.raises((kerasfx.errors.TraceError, UnsafeFileError)) as caught:
            kerasfx.prepare_model(Deep(), keras.Input((None,), name="x"), strict=True)
        assert "nested more than" in str(caught.value)

"""What was written for AIMET's `prepare_model` runs as it is, and without that function's limitations."""

import importlib
import importlib.util
import inspect
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers, ops
from predicting import predicted

import kerasfx.aimet
from kerasfx.aimet import __main__ as runner

SCRIPTS = Path(__file__).parent / "aimet_scripts"
NAME = "aimet_tensorflow.keras.model_preparer"

# Their scripts call TensorFlow, which is the backend that AIMET has.
of_tensorflow = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="scripts of TensorFlow")


def forget_the_names():
    for name in [n for n in sys.modules if n.partition(".")[0] == "aimet_tensorflow"]:
        del sys.modules[name]


@pytest.fixture(autouse=True)
def names_as_in_a_new_process():
    forget_the_names()
    yield
    forget_the_names()


@pytest.fixture
def prepare_model():
    """The function as a script for AIMET finds it."""
    return importlib.import_module(NAME).prepare_model


class Net(keras.Model):
    """Subclassed from the first layer on."""

    def __init__(self):
        super().__init__(name="net")
        self.dense = layers.Dense(3, bias_initializer="ones")

    def call(self, x):
        x = next(iter(keras.tree.flatten(x)))
        return self.dense(x) * 2.0


X = np.linspace(-1, 1, 12, dtype="float32").reshape(3, 4)


@pytest.mark.any_backend
@of_tensorflow
class TestScripts:
    """The two documented examples, as their readers would have written them."""

    def test_two_subclassed_layers_from_the_command_line(self):
        script = SCRIPTS / "two_subclassed_layers.py"
        command = [sys.executable, "-m", "kerasfx.aimet", str(script), "--epochs", "3"]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert "arguments: ['--epochs', '3']" in printed
        assert "outputs equal: True" in printed
        assert "weights: 657758 657758" in printed
        names = re.search("layers: (.*)", printed)[1].split()
        assert names.count("Embedding") == 2
        assert names.count("LayerNormalization") == 2
        assert not {"TokensAndPositions", "Block", "Sequential", "Functional"} & {*names}

    def test_functional_in_subclassed(self, monkeypatch, capsys):
        run(monkeypatch, SCRIPTS / "functional_in_subclassed.py")
        assert capsys.readouterr().out.splitlines() == [
            "outputs equal: True",
            "weights: 4225 4225",
            "layers: InputLayer Dense Dense",
        ]

    def test_a_training_without_default_is_refused_by_keras_and_the_message_says_what_to_change(
        self, monkeypatch
    ):
        script = SCRIPTS / "training_without_default.py"
        with pytest.raises(TypeError, match="missing a required argument: 'training'") as caught:
            run(monkeypatch, script)
        assert "\n".join(caught.value.__notes__) == (
            "`call(inputs, training, **kwargs)` was called without `training`: "
            "missing a required argument: 'training'.\n"
            f"  where: {script}:18: model = tf.keras.Model(inputs, Block()(inputs))\n"
            "  why:   tf.keras gave the layer its `training` then; "
            "Keras 3 asks for a default in the signature\n"
            "  do:    write `def call(self, inputs, training=None, **kwargs)`"
        )

    def test_the_message_is_right(self, monkeypatch, tmp_path):
        text = (SCRIPTS / "training_without_default.py").read_text()
        mended = text.replace("(self, inputs, training, **kwargs)", "(self, inputs, training=None, **kwargs)")
        assert mended != text
        (tmp_path / "mended.py").write_text(mended)
        run(monkeypatch, tmp_path / "mended.py")


def run(monkeypatch, *arguments):
    """As `python -m kerasfx.aimet` does in a process of its own."""
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    runner.main([str(a) for a in arguments])


@pytest.mark.once
class TestCommand:
    def test_a_script_finds_its_neighbours_and_is_the_main_module(self, monkeypatch, capsys, tmp_path):
        (tmp_path / "neighbour.py").write_text("NAME = 'neighbour'")
        script = tmp_path / "script.py"
        script.write_text(
            "import sys, neighbour\nprint(__name__, neighbour.NAME, sys.argv == [__file__, 'a'])"
        )
        run(monkeypatch, script, "a")
        sys.modules.pop("neighbour")
        assert capsys.readouterr().out == "__main__ neighbour True\n"

    def test_a_script_ends_as_it_wants_to(self, monkeypatch, tmp_path):
        (tmp_path / "script.py").write_text("raise SystemExit(3)")
        with pytest.raises(SystemExit) as caught:
            run(monkeypatch, tmp_path / "script.py")
        assert caught.value.code == 3

    @pytest.mark.parametrize("arguments", [(), ("--help",), ("no_such_script.py",)])
    def test_without_a_script_it_says_how_it_is_called(self, monkeypatch, arguments):
        with pytest.raises(SystemExit, match=r"usage: python -m kerasfx.aimet script.py"):
            run(monkeypatch, *arguments)


@pytest.mark.once
class TestTheName:
    def test_is_provided_where_aimet_is_absent(self, prepare_model):
        assert prepare_model is kerasfx.aimet.prepare_model
        assert "Provided by kerasfx.aimet" in sys.modules[NAME].__doc__

    def test_is_that_of_a_real_aimet_where_there_is_one(self, monkeypatch, tmp_path):
        package = tmp_path / "aimet_tensorflow" / "keras"
        package.mkdir(parents=True)
        (package.parent / "__init__.py").touch()
        (package / "__init__.py").touch()
        (package / "model_preparer.py").write_text("prepare_model = 'the real one'")
        monkeypatch.syspath_prepend(tmp_path)
        assert importlib.import_module(NAME).prepare_model == "the real one"

    def test_is_not_added_to_a_real_aimet_without_it(self, monkeypatch, tmp_path):
        (tmp_path / "aimet_tensorflow").mkdir()
        (tmp_path / "aimet_tensorflow" / "__init__.py").touch()
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(ModuleNotFoundError, match=r"^No module named 'aimet_tensorflow.keras'$"):
            importlib.import_module(NAME)

    @pytest.mark.parametrize(
        "line", ["import aimet_tensorflow.keras.quantsim", "from aimet_tensorflow.keras import quantsim"]
    )
    def test_of_another_module_is_refused_with_the_way_on(self, line):
        with pytest.raises(ModuleNotFoundError) as caught:
            exec(line)
        assert caught.value.name == "aimet_tensorflow"
        assert str(caught.value) == (
            "There is no aimet_tensorflow.keras.quantsim here.\n"
            "  why:   AIMET is not installed, and of its modules kerasfx provides "
            "aimet_tensorflow.keras.model_preparer alone\n"
            "  do:    quantize what prepare_model returns with aimet_onnx, by way of ONNX: see docs/aimet.md"
        )

    def test_is_provided_once(self):
        before = list(sys.meta_path)
        importlib.reload(kerasfx.aimet)
        assert sys.meta_path == before

    def test_comes_with_the_import_alone(self):
        assert "aimet" not in kerasfx.__all__
        assert importlib.util.find_spec("aimet_torch") is None


@pytest.mark.any_backend
class TestContract:
    def test_signature(self, prepare_model):
        signature = inspect.signature(prepare_model)
        assert list(signature.parameters) == ["original_model", "input_layer"]
        assert signature.parameters["input_layer"].default is None

    def test_inputs_that_nobody_knows_are_a_value_error(self, prepare_model):
        with pytest.raises(ValueError, match=r"The inputs of Net 'net' are not known") as caught:
            prepare_model(Net())
        assert "kerasfx.prepare_model(model, keras.Input((64,)))" in str(caught.value)

    @pytest.mark.parametrize(
        ("given", "call"),
        [
            (lambda: keras.Input((4,)), lambda x: x),
            (lambda: layers.InputLayer((4,)), lambda x: x),
            (lambda: [keras.Input((4,))], lambda x: [x]),
            (lambda: [layers.InputLayer((4,))], lambda x: [x]),
            (lambda: {"x": keras.Input((4,))}, lambda x: {"x": x}),
            (lambda: {"x": layers.InputLayer((4,))}, lambda x: {"x": x}),
        ],
        ids=["Input", "InputLayer", "list", "list_of_layers", "dict", "dict_of_layers"],
    )
    def test_forms_of_input_layer(self, prepare_model, given, call):
        model = Net()
        prepared = prepare_model(model, input_layer=given())
        np.testing.assert_array_equal(predicted(prepared, call(X)), predicted(model, call(X)))

    @pytest.mark.parametrize("once_more", [False, True])
    def test_a_flat_model_comes_back_as_another_with_the_same_weights(self, prepare_model, once_more):
        x = keras.Input((4,), name="x")
        model = keras.Model(x, layers.Dropout(0.5, seed=1)(layers.Dense(3, name="head")(x)))
        if once_more:
            model = prepare_model(model)
        prepared = prepare_model(model)
        assert prepared is not model
        assert [layer.name for layer in prepared.layers] == [layer.name for layer in model.layers]
        assert not {id(layer) for layer in prepared.layers} & {id(layer) for layer in model.layers}
        assert not {id(v) for v in prepared.variables} & {id(v) for v in model.variables}
        assert kerasfx.compare(model, prepared, samples=1).exact

    def test_the_weights_are_equal_and_those_of_the_original_stay_its_own(self, prepare_model):
        model = Net()
        model(X)
        before = [np.array(w) for w in model.get_weights()]
        prepared = prepare_model(model)
        for ours, theirs in zip(prepared.get_weights(), before, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        prepared.set_weights([w + 1 for w in before])
        for now, then in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(now, then)

    def test_what_does_not_fit_is_a_value_error(self, prepare_model):
        inputs = keras.Input((4,))
        model = keras.Model(inputs, Net()(inputs))
        with pytest.raises(ValueError, match=r"takes an input .* of shape \(None, 4\)"):
            prepare_model(model, keras.Input((5,)))

    def test_advice_about_training_inside_of_the_model(self, prepare_model):
        class Block(layers.Layer):
            def call(self, inputs, training):
                return inputs

        class Outer(keras.Model):
            def __init__(self):
                super().__init__()
                self.block = Block()

            def call(self, x):
                return self.block(x)

        with pytest.raises(TypeError) as caught:
            prepare_model(Outer(), keras.Input((4,)))
        [told] = [note for note in caught.value.__notes__ if "Keras 3 asks" in note]
        assert "where: " + __file__ in told
        assert told.endswith("do:    write `def call(self, inputs, training=None)`")


class PositionsOfAFixedCount(layers.Layer):
    """The input does not touch the positions."""

    def __init__(self):
        super().__init__()
        self.count = 5
        self.positions = layers.Embedding(5, 4)
        self.tokens = layers.Embedding(9, 4)

    def call(self, x, **kwargs):
        return self.tokens(x) + self.positions(ops.arange(0, self.count, 1))


class Residual(keras.Model):
    """A model in a model, with one ReLU for two places and a layer for none."""

    def __init__(self, filters):
        super().__init__()
        self.conv1, self.conv2 = (layers.Conv2D(filters, 3, padding="same") for _ in range(2))
        self.norm1, self.norm2 = (layers.BatchNormalization() for _ in range(2))
        self.relu = layers.ReLU()
        self.unused = layers.Dense(2)

    def call(self, inputs, training=False):
        x = self.relu(self.norm1(self.conv1(inputs), training=training))
        x = self.relu(self.norm2(self.conv2(x), training=training))
        return layers.add([x, inputs])


@pytest.mark.any_keras
class TestLimitationsThatAreGone:
    """Those that the documentation of AIMET lists; docs/aimet.md names these tests."""

    def test_a_subclassed_first_layer_needs_no_input_layer_where_the_model_was_called(self, prepare_model):
        model = Net()
        expected = predicted(model, X)
        np.testing.assert_array_equal(predicted(prepare_model(model), X), expected)

    def test_a_subclassed_first_layer_of_a_sequential_model_needs_none(self, prepare_model):
        model = keras.Sequential([keras.Input((4,)), Net()])
        assert [type(x).__name__ for x in prepare_model(model).layers][:2] == ["InputLayer", "Dense"]

    def test_arithmetic_becomes_layers(self, prepare_model):
        class Gated(keras.Model):
            def __init__(self):
                super().__init__()
                self.dense, self.gate = layers.Dense(4), layers.Dense(4)
                self.scale = self.add_weight(shape=(4,), initializer="ones")

            def call(self, x):
                y = self.dense(x) * ops.sigmoid(self.gate(x))
                return x + (y - 1.0) / 2.0 * self.scale

        model = Gated()
        prepared = prepare_model(model, keras.Input((4,)))
        assert all(isinstance(x, layers.Layer) for x in prepared.operations)
        assert kerasfx.compare(model, prepared, samples=1).exact

    def test_weights_that_the_input_does_not_touch_are_kept(self, prepare_model):
        inputs = keras.Input((5,), dtype="int32")
        model = keras.Model(inputs, PositionsOfAFixedCount()(inputs))
        prepared = prepare_model(model)
        assert prepared.count_params() == model.count_params() == (5 + 9) * 4
        # The oracle trains a step and moves every weight, positions included.
        assert kerasfx.compare(model, prepared, samples=1)

    def test_models_in_models_and_a_layer_that_is_used_twice(self, prepare_model):
        inputs = keras.Input((6, 6, 2))
        model = keras.Model(inputs, Residual(2)(inputs))
        prepared = prepare_model(model)
        relu = prepared.get_layer("residual_relu")
        assert len(relu._inbound_nodes) == 2
        assert [type(x).__name__ for x in prepared.layers].count("BatchNormalization") == 2
        assert kerasfx.compare(model, prepared, samples=1)

    def test_weights_are_checked_where_layers_are_not_used(self, prepare_model):
        model = Residual(2)
        model.unused.build((None, 4))
        prepared = prepare_model(model, keras.Input((6, 6, 2)))
        assert model.count_params() - prepared.count_params() == 4 * 2 + 2
        unused = {f.path for f in kerasfx.report(prepared).of_kind("unused")}
        assert unused == {"unused.kernel", "unused.bias"}
        assert kerasfx.compare(model, prepared, samples=1)


@pytest.mark.any_backend
class TestDifferences:
    """What AIMET's function does otherwise; docs/aimet.md lists it."""

    def test_relu6_stays(self, prepare_model):
        model = keras.Sequential([keras.Input((4,)), layers.ReLU(max_value=6.0)])
        assert prepare_model(model).layers[-1].max_value == 6.0

    def test_custom_layers_without_sublayers_are_opened(self, prepare_model):
        class Doubled(layers.Layer):
            def call(self, x):
                return x + x

        model = keras.Sequential([keras.Input((4,)), Doubled()])
        assert "Doubled" not in {type(x).__name__ for x in prepare_model(model).layers}

    def test_names_are_the_paths_of_the_layers(self, prepare_model):
        inputs = keras.Input((6, 6, 2))
        prepared = prepare_model(keras.Model(inputs, Residual(2)(inputs), name="cnn"))
        assert prepared.name == "cnn_prepared"
        assert [x.name for x in prepared.layers if "Conv" in type(x).__name__] == [
            "residual_conv1",
            "residual_conv2",
        ]


@pytest.mark.once
def test_the_page_names_tests_that_exist():
    text = (Path(__file__).parents[1] / "docs" / "aimet.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", text))
    assert len(named) > 8
    assert named <= set(re.findall(r"def (test_\w+)", Path(__file__).read_text()))

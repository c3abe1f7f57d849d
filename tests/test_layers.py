"""The registered layers: config and weights go round, sizes stay free, nothing else may be called."""

import re
import threading
import time

import keras
import numpy as np
import pytest
from fitting import JIT_COMPILE
from keras import ops
from keras.src.saving import object_registration
from predicting import predicted

import kerasfx.runtime.layers as fx
from kerasfx.errors import TrainingRefusedError, UnknownFunctionError
from kerasfx.ir import Input, Value
from kerasfx.ir.dims import Dim
from kerasfx.keras_api import registration
from kerasfx.runtime import function_layers
from kerasfx.runtime.function_layers import BY_NAME, TAKEN, class_for, layer_for
from kerasfx.runtime.held_weights import SMALL_CONSTANT, HeldWeight
from kerasfx.tracing.encoding import encode

pytestmark = pytest.mark.quick

X = Value("x", (), "float32", Input("x"))
ROWS, COLUMNS = (Dim.axis(X, k, (5, 7)) for k in (0, 1))


def op(name, *args, shape, dtype="float32", **kwargs):
    """An `Op` whose first slot is X."""
    output = {"shape": list(shape), "dtype": dtype}
    return fx.Op(name, encode([args, kwargs], [X].index), output)


def through_file(model, tmp_path):
    """The model, saved and loaded."""
    model.save(tmp_path / "model.keras")
    return keras.models.load_model(tmp_path / "model.keras")


def cloned(model):
    """The model, cloned, with its weights."""
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    return clone


def constant(array):
    """A `Constant` of the kind of the array."""
    held = HeldWeight.of_constant(array)
    return fx.Constant(held.shape, held.dtype, held.value)


EXAMPLES = {
    "Op": lambda: op("keras.ops.reshape", X, (-1, COLUMNS * 2), shape=(None, None)),
    "Parameter": lambda: fx.Parameter((4,), regularizer="l2", constraint="non_neg"),
    "small Constant": lambda: constant(np.arange(4, dtype="float32")),
    "large Constant": lambda: constant(np.arange(100, dtype="int32")),
    "ReadAssigned": lambda: fx.ReadAssigned(),
    "ReadHeld": lambda: fx.ReadHeld(),
    "AttachMask": lambda: fx.AttachMask(),
    "DropMask": lambda: fx.DropMask(),
    "DrawSeed": lambda: fx.DrawSeed(7),
    "SelectByTraining": lambda: fx.SelectByTraining(),
    "RefuseInference": lambda: fx.RefuseInference("refused"),
    "RefuseTraining": lambda: fx.RefuseTraining("refused"),
    "AddLoss": lambda: fx.AddLoss([None, True]),
    "UpdateMetric": lambda: fx.UpdateMetric(keras.metrics.Mean(name="mean")),
    "After": lambda: fx.After(),
    "CheckSizes": lambda: fx.CheckSizes(
        [{"sides": [{"$dim": ["axis", 0, 1]}, 4], "symbol": ">", "answer": True, "text": "x > 4"}]
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_config_goes_round(name):
    layer = EXAMPLES[name]()
    config = layer.get_config()
    again = type(layer).from_config(config)
    assert again.get_config() == config
    serialized = keras.saving.serialize_keras_object(layer)
    assert keras.saving.deserialize_keras_object(serialized).get_config() == config


def test_every_layer_is_registered_and_has_an_example():
    assert set(fx.__all__) == {name.split()[-1] for name in EXAMPLES}
    for name in (*fx.__all__, *BY_NAME):
        assert keras.saving.get_registered_object(f"kerasfx>{name}") is getattr(fx, name)


class TestMadeWhenAskedFor:
    """Keras finds the classes in what is registered, where they appear when someone asks."""

    def test_by_a_name(self):
        registered = keras.saving.get_custom_objects()
        assert "kerasfx>Tanh" in registered
        assert registered["kerasfx>Tanh"] is registered.get("kerasfx>Tanh") is fx.Tanh
        assert keras.saving.get_registered_name(fx.Tanh) == "kerasfx>Tanh"

    @pytest.mark.parametrize("name", ["kerasfx>Nothing", "another>Tanh", "Tanh", "kerasfx>", ">Tanh", ""])
    def test_no_other_names(self, name):
        registered = keras.saving.get_custom_objects()
        assert name not in registered
        assert registered.get(name, 1) == 1
        assert keras.saving.get_registered_object(name) is None
        with pytest.raises(KeyError):
            registered[name]

    def test_once_for_all_threads(self, monkeypatch):
        made, found = [], []
        classes = function_layers._Classes()
        start = threading.Barrier(8)

        def make(function, name):
            time.sleep(0.01)
            made.append(name)
            return object()

        def ask():
            start.wait()
            found.append(classes["Tanh"])

        monkeypatch.setattr(function_layers, "_named", make)
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert made == ["Tanh"]
        assert len(found) == 8
        assert len(set(found)) == 1

    def test_what_others_have_registered_stays(self, monkeypatch):
        registered = {"other>Thing": object}
        monkeypatch.setattr(object_registration, "GLOBAL_CUSTOM_OBJECTS", registered)
        registration.made_when_asked_for("kerasfx", BY_NAME)
        assert keras.saving.get_registered_object("other>Thing") is object
        assert keras.saving.get_registered_object("kerasfx>Tanh") is fx.Tanh


def test_no_layer_of_a_function_is_called_like_another():
    """Tools know layers by their names, and would take one of ours for the layer of Keras."""
    assert [name for name in BY_NAME if hasattr(keras.layers, name) or name in fx.__all__] == []
    assert {name[:-2] for name in BY_NAME if name[:-2] in TAKEN} == TAKEN


@pytest.mark.parametrize(
    ("function", "name"),
    [
        ("keras.ops.expand_dims", "ExpandDims"),
        ("keras.ops.add", "AddOp"),
        ("keras.random.normal", "RandomNormal"),
        ("keras.ops.image.resize", "ImageResize"),
        ("tf.math.cumsum", "TfMathCumsum"),
        ("jax.numpy.cumsum", "JaxNumpyCumsum"),
        ("torch.cumsum", "TorchCumsum"),
    ],
)
def test_the_layer_of_a_function_is_named_after_it(function, name):
    assert class_for(function) is getattr(fx, name)


def test_what_has_the_name_of_another_is_an_op():
    given = (encode([(), {}], lambda _: 0), None, [], "op")
    split, method = class_for("torch.tensor_split"), class_for("torch.Tensor.split")
    assert (split is None) != (method is None)
    assert type(layer_for("keras.ops.numpy.sum", *given)) is fx.Op
    assert type(layer_for("keras.ops.sum", *given)).__name__ == "Sum"


def test_no_layer_casts_its_inputs():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        layer = op("keras.ops.negative", X, shape=(None, 2))
        assert predicted(layer, np.ones((3, 2), "float32")).dtype == "float32"
    finally:
        keras.config.set_dtype_policy("float32")


class TestOp:
    @pytest.mark.parametrize(
        "name", ["os.system", "keras.ops.nothing", "keras.models.load_model", "keras.ops", "eval", ""]
    )
    def test_refuses_other_functions(self, name):
        with pytest.raises(UnknownFunctionError, match=re.escape(f"{name} is no function")):
            fx.Op(name, encode([(), {}], lambda _: 0), None)

    def test_refuses_other_functions_from_a_config(self):
        config = {**op("keras.ops.negative", X, shape=(None,)).get_config(), "op": "builtins.print"}
        with pytest.raises(UnknownFunctionError, match=r"builtins\.print is no function"):
            fx.Op.from_config(config)

    def test_with_one_tensor_takes_it_without_a_list(self):
        layer = op("keras.ops.add", X, 1.0, shape=(None, 2))
        np.testing.assert_array_equal(layer(np.ones((1, 2), "float32")), [[2.0, 2.0]])

    def test_with_one_tensor_used_twice(self):
        layer = op("keras.ops.multiply", X, X, shape=(None, 2))
        np.testing.assert_array_equal(layer(np.full((1, 2), 3.0, "float32")), [[9.0, 9.0]])

    def test_symbolic_output_has_the_given_shape_and_dtype(self):
        layer = op("keras.ops.cast", X, "int32", shape=(None, 3), dtype="int32")
        tensor = layer(keras.Input((3,)))
        assert (tensor.shape, tensor.dtype) == ((None, 3), "int32")

    @pytest.mark.parametrize("jit_compile", JIT_COMPILE)
    @pytest.mark.parametrize(
        ("make", "expected"),
        [
            (
                lambda: op("keras.ops.reshape", X, (ROWS * COLUMNS // 2, -1), shape=(None, None)),
                lambda x: x.reshape(x.shape[0] * x.shape[1] // 2, -1),
            ),
            (
                lambda: op("keras.ops.broadcast_to", X, (2, ROWS, COLUMNS), shape=(2, None, None)),
                lambda x: np.broadcast_to(x, (2, *x.shape)),
            ),
            (
                lambda: op(
                    "keras.ops.get_item", X, (slice(None), slice(COLUMNS // 2, None)), shape=(None, None)
                ),
                lambda x: x[:, x.shape[1] // 2 :],
            ),
            (
                lambda: op("keras.ops.tile", X, (1, abs(-COLUMNS) % 5 + 1), shape=(None, None)),
                lambda x: np.tile(x, (1, x.shape[1] % 5 + 1)),
            ),
            (
                lambda: op("keras.ops.arange", 0, COLUMNS, 2, shape=(None,), dtype="int32"),
                lambda x: np.arange(0, x.shape[1], 2),
            ),
        ],
        ids=["reshape", "broadcast_to", "get_item", "tile", "arange"],
    )
    def test_sizes_are_those_of_the_call(self, make, expected, jit_compile):
        x = keras.Input((None,), name="x")
        model = keras.Model(x, make()(x))
        model.compile(jit_compile=jit_compile)
        for shape in ((4, 6), (2, 10)):
            values = np.arange(np.prod(shape), dtype="float32").reshape(shape)
            np.testing.assert_array_equal(model.predict_on_batch(values), expected(values))


class TestParameter:
    def model(self, **kwargs):
        x = keras.Input((4,))
        layer = fx.Parameter((4,), **kwargs)
        model = keras.Model(x, keras.layers.Multiply()([x, x]) * layer(x))
        layer.weight.assign([1.0, 2.0, 3.0, 4.0])
        return model, layer

    def test_gives_its_weight(self, tmp_path):
        model, _ = self.model()
        x = np.ones((2, 4), "float32")
        for again in (model, through_file(model, tmp_path), cloned(model)):
            np.testing.assert_array_equal(predicted(again, x), [[1, 2, 3, 4]] * 2)

    def test_adds_the_loss_of_its_regularizer(self):
        model, _ = self.model(regularizer=keras.regularizers.L2(0.5))
        [loss] = model.losses
        assert float(keras.ops.convert_to_numpy(loss)) == pytest.approx(0.5 * (1 + 4 + 9 + 16))

    def test_holds_its_constraint_while_it_trains(self):
        model, layer = self.model(constraint="non_neg")
        model.compile(keras.optimizers.SGD(100.0), "mse")
        model.train_on_batch(np.ones((2, 4), "float32"), np.zeros((2, 4), "float32"))
        assert (keras.ops.convert_to_numpy(layer.weight) == 0).all()

    def test_may_be_frozen(self):
        model, _ = self.model(weight_trainable=False)
        assert model.trainable_weights == []
        assert len(model.non_trainable_weights) == 1

    def test_keeps_the_dtype_of_an_integer_weight(self):
        layer = fx.Parameter((2, 3), "int32", weight_trainable=False)
        layer.build()
        assert (layer.weight.dtype, predicted(layer, np.zeros(1)).dtype) == ("int32", "int32")


class TestConstant:
    ARRAYS = (
        np.array([1.5, np.inf, -np.inf, 0.1], "float32"),
        np.array(7, "int32"),
        np.array([[True, False]]),
        np.arange(100, dtype="float32"),
        np.arange(200, dtype="int32").reshape(2, 100),
        np.arange(100) % 2 == 0,
        np.zeros((0, 3), "float32"),
    )

    @pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype}{a.shape}")
    def test_survives_saving_and_cloning(self, array, tmp_path):
        x = keras.Input((4,))
        layer = constant(array)
        model = keras.Model(x, layer(x))
        if layer.weight is not None:
            layer.weight.assign(array)
        for again in (model, through_file(model, tmp_path), cloned(model)):
            found = ops.convert_to_numpy(again(np.ones((2, 4), "float32")))
            np.testing.assert_array_equal(found, array)
            assert found.dtype == array.dtype

    def test_a_large_one_is_not_in_the_config_and_not_trained(self):
        large = constant(np.zeros(1000, "float32"))
        large.build()
        assert large.get_config()["value"] is None
        assert (len(large.trainable_weights), len(large.non_trainable_weights)) == (0, 1)

    def test_a_small_one_has_no_weight(self):
        small = constant(np.zeros(SMALL_CONSTANT))
        small.build()
        assert small.weights == []


class TestMasks:
    @pytest.fixture
    def masked(self):
        ids = keras.Input((4,), dtype="int32", name="ids")
        return ids, keras.layers.Embedding(5, 3, mask_zero=True)(ids)

    IDS = np.array([[1, 2, 0, 0], [3, 4, 1, 0]])

    def mask_of(self, ids, tensor, tmp_path):
        """What a layer behind the tensor sees as mask; the same after saving."""
        model = keras.Model(ids, [tensor, keras.layers.GlobalAveragePooling1D()(tensor)])
        found = []
        for again in (model, through_file(model, tmp_path)):
            values, mean = map(ops.convert_to_numpy, again(self.IDS))
            found.append((values, mean))
        np.testing.assert_array_equal(found[0][1], found[1][1])
        return found[0]

    def test_are_dropped(self, masked, tmp_path):
        ids, h = masked
        values, mean = self.mask_of(ids, fx.DropMask()(h), tmp_path)
        np.testing.assert_allclose(mean, values.mean(1), rtol=1e-5)

    def test_are_attached(self, masked, tmp_path):
        ids, h = masked
        mask = ops.equal(ids, 1)
        values, mean = self.mask_of(ids, fx.AttachMask()([fx.DropMask()(h), mask]), tmp_path)
        expected = [(row[ids == 1]).mean(0) for row, ids in zip(values, self.IDS, strict=True)]
        np.testing.assert_allclose(mean, expected, rtol=1e-5)

    def test_do_not_pass_an_op(self, masked, tmp_path):
        ids, h = masked
        layer = op("keras.ops.multiply", X, 2.0, shape=(None, 4, 3))
        values, mean = self.mask_of(ids, layer(h), tmp_path)
        np.testing.assert_allclose(mean, values.mean(1), rtol=1e-5)


def test_draw_seed_draws_another_seed_at_each_call(tmp_path):
    x = keras.Input((4,))
    model = keras.Model(x, fx.DrawSeed(7)(x))
    loaded = through_file(model, tmp_path)
    draws = [tuple(ops.convert_to_numpy(model(np.ones((1, 4), "float32")))) for _ in range(3)]
    again = [tuple(ops.convert_to_numpy(loaded(np.ones((1, 4), "float32")))) for _ in range(3)]
    assert len(set(draws)) == 3
    assert draws == again


def test_a_loaded_draw_seed_goes_on_where_the_saved_one_was(tmp_path):
    x = keras.Input((4,))
    model = keras.Model(x, fx.DrawSeed(None)(x))
    batch = np.ones((1, 4), "float32")
    model(batch)
    loaded = through_file(model, tmp_path)
    np.testing.assert_array_equal(loaded(batch), model(batch))


def test_select_by_training_follows_the_mode(tmp_path):
    x = keras.Input((2,))
    model = keras.Model(x, fx.SelectByTraining()([x, -x]))
    values = np.ones((1, 2), "float32")
    for again in (model, through_file(model, tmp_path), cloned(model)):
        np.testing.assert_array_equal(again(values), values)
        np.testing.assert_array_equal(again(values, training=False), values)
        np.testing.assert_array_equal(again(values, training=True), -values)


def test_refuse_training_raises_in_training_alone(tmp_path):
    x = keras.Input((2,))
    model = keras.Model(x, fx.RefuseTraining("No such seed.")(x))
    values = np.ones((1, 2), "float32")
    for again in (model, through_file(model, tmp_path), cloned(model)):
        np.testing.assert_array_equal(again(values), values)
        with pytest.raises(TrainingRefusedError, match=r"No such seed\.(.|\n)*raises here in training"):
            again(values, training=True)


def test_update_metric_updates_in_its_mode(tmp_path):
    x = keras.Input((2,))
    arguments = encode([(X,), {}], lambda _: 0)
    y = fx.UpdateMetric(keras.metrics.Sum(name="sum"))([x, x], arguments=arguments, when=True)
    model = keras.Model(x, y)
    values = np.array([[1.0, 2.0]], "float32")
    for again in (model, through_file(model, tmp_path), cloned(model)):
        (metric,) = again.metrics
        metric.reset_state()
        for training, expected in ((False, 0.0), (True, 3.0), (True, 6.0)):
            np.testing.assert_array_equal(again(values, training=training), values)
            assert float(metric.result()) == expected


def test_add_loss_adds_in_its_mode(tmp_path):
    x = keras.Input((2,))
    losses = [op("keras.ops.sum", X, shape=())(x), op("keras.ops.max", X, shape=())(x)]
    model = keras.Model(x, fx.AddLoss([None, True])([x, *losses]))
    values = np.array([[1.0, 2.0]], "float32")
    for again in (model, through_file(model, tmp_path), cloned(model)):
        for training, expected in ((False, [3.0]), (True, [3.0, 2.0])):
            np.testing.assert_array_equal(again(values, training=training), values)
            assert [float(loss) for loss in again.losses] == expected

"""A built-in layer computes with something else than its weight, with which a copy of it would compute."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerasfx
from kerasfx import errors
from kerasfx.keras_api.builtins import is_whole_by_itself

X = np.random.default_rng(0).random((3, 4), "float32")


class Normalized(layers.Layer):
    """A weight-normalized Dense, whose kernel is put in its place at each call."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(4)

    def build(self, shape):
        self.dense.build(shape)
        self.direction = self.dense._kernel
        self.length = self.add_weight(shape=(4,), initializer="ones", name="length")

    def call(self, x):
        norm = ops.sqrt(ops.sum(ops.square(self.direction), axis=0))
        self.dense._kernel = self.length * self.direction / norm
        return self.dense(x)


class Frozen(layers.Layer):
    """A Dense with a constant for a kernel and no bias, which it was not made without."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(4, bias_initializer="ones")

    def build(self, shape):
        self.dense.build(shape)
        self.dense._kernel = ops.convert_to_tensor(3 * np.eye(4, dtype="float32"))
        self.dense.bias = None

    def call(self, x):
        return self.dense(x)


class ScaledCell(layers.Layer):
    """A GRU whose cell has another kernel than its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.gru = layers.GRU(2)

    def build(self, shape):
        self.gru.build((*shape, 1))
        self.of_cell = self.gru.cell.kernel

    def call(self, x):
        object.__setattr__(self.gru.cell, "kernel", 2 * self.of_cell)
        return self.gru(x[..., None])


def around(inner):
    """A model around a layer."""
    x = keras.Input((4,))
    return keras.Model(x, layers.Dense(2)(inner(x)))


@pytest.mark.any_keras
@pytest.mark.parametrize("weights", ["copy", "share"])
@pytest.mark.parametrize("cls", [Normalized, Frozen, ScaledCell])
def test_the_layer_is_opened(cls, weights):
    model = around(cls())
    prepared = kerasfx.prepare_model(model, weights=weights, verify=False)
    np.testing.assert_allclose(*map(ops.convert_to_numpy, (prepared(X), model(X))), rtol=1e-5)
    comparison = kerasfx.compare(model, prepared)
    assert comparison.equivalent, comparison
    assert not kerasfx.report(prepared).opaque


@pytest.mark.any_keras
@pytest.mark.any_backend
class TestStaysWhole:
    def test_with_the_layer_around_it(self):
        """`call` of that one puts in its place again what belongs there."""
        model = around(Normalized(name="inner"))
        prepared = kerasfx.prepare_model(model, leaves=["inner.dense"], verify=False)
        assert kerasfx.compare(model, prepared).equivalent
        (finding,) = kerasfx.report(prepared).opaque
        assert "Dense computes with something else than its weight kernel" in str(finding)

    def test_not_without(self):
        with pytest.raises(errors.UnsupportedOperationError, match="Dense computes with something else"):
            kerasfx.prepare_model(Normalized(), keras.Input((4,)), leaves=["dense"])


@pytest.mark.any_keras
@pytest.mark.any_backend
def test_no_layer_that_is_as_keras_made_it():
    nested = layers.RNN([layers.LSTMCell(2), layers.GRUCell(2)], stateful=True)
    nested(keras.Input(batch_shape=(2, 3, 4)))
    lora = layers.Dense(4)
    lora.build((None, 4))
    lora.enable_lora(2)
    quantized = layers.Dense(4)
    quantized.build((None, 4))
    quantized.quantize("int8")
    normalization = layers.Normalization()
    normalization.adapt(X)
    assert all(map(is_whole_by_itself, (nested, lora, quantized, normalization)))

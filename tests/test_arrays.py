"""Scalars of a half precision, which TensorFlow hands to NumPy in a form of their own."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerasfx
from kerasfx.keras_api.arrays import to_numpy

pytestmark = pytest.mark.any_keras

X = np.random.default_rng(0).random((4, 6), "float32")


class Scaled(layers.Layer):
    """Has a scalar for its weight, its loss and its factor."""

    def __init__(self):
        super().__init__(dtype="bfloat16")

    def build(self, shape):
        self.scale = self.add_weight(shape=(), initializer="ones")

    def call(self, x):
        half = ops.cast(0.5, x.dtype)
        self.add_loss(ops.mean(x))
        return x * self.scale * half


@pytest.mark.parametrize("shape", [(), (2,)])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "int32"])
def test_any_shape_and_dtype_becomes_an_array(shape, dtype):
    array = to_numpy(ops.ones(shape, dtype))
    assert array.dtype.name == dtype
    assert array.shape == shape
    assert (array == 1).all()


@pytest.mark.filterwarnings("error::kerasfx.UnverifiedWarning")
def test_a_model_with_such_scalars_is_prepared_and_compared():
    model = keras.Sequential([keras.Input((6,)), Scaled(), layers.Dense(3)])
    prepared = kerasfx.prepare_model(model)
    assert not kerasfx.report(prepared).opaque
    comparison = kerasfx.compare(model, prepared)
    assert comparison, comparison
    model.layers[0].scale.assign(3.0)
    assert not kerasfx.compare(model, prepared)
    kerasfx.copy_weights(model, prepared)
    assert kerasfx.compare(model, prepared)

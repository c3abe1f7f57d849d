"""A `tf.Variable` that a layer makes by hand: Keras does not train it, so neither does the result."""

import keras
import numpy as np
import pytest
from keras import layers
from zoo.case import floats

import kerasfx

if keras.backend.backend() != "tensorflow":
    pytest.skip("variables of TensorFlow", allow_module_level=True)

import tensorflow as tf


def ones():
    return tf.Variable(np.ones((4,), "float32"), name="scale")


class Module(tf.Module):
    def __init__(self):
        super().__init__()
        self.scale = ones()


class Attribute(layers.Layer):
    def __init__(self):
        super().__init__()
        self.scale = ones()

    def get(self):
        return self.scale


class InBuild(Attribute):
    def build(self, shape):
        self.scale = ones()


class InList(Attribute):
    def __init__(self):
        super().__init__()
        self.scales = [self.scale]

    def get(self):
        return self.scales[0]


class InDict(Attribute):
    def __init__(self):
        super().__init__()
        self.scales = {"scale": self.scale}

    def get(self):
        return self.scales["scale"]


class InModule(Attribute):
    def __init__(self):
        super().__init__()
        self.module = Module()

    def get(self):
        return self.module.scale


class Net(keras.Model):
    def __init__(self, layer):
        super().__init__()
        self.dense, self.layer = layers.Dense(4), layer

    def call(self, x):
        return self.dense(x) * self.layer.get()


@pytest.mark.parametrize("cls", [Attribute, InBuild, InList, InDict, InModule])
@pytest.mark.parametrize("run_eagerly", [False, True])
def test_fit_trains_what_it_trains_in_the_original(cls, run_eagerly):
    x, y = floats(8, 4), floats(8, 4, seed=1)
    model = Net(cls())
    model.layer.build((None, 4))
    model(x)
    prepared = kerasfx.prepare_model(model, keras.Input((4,)))
    (fixed,) = kerasfx.report(prepared).of_kind("fixed")
    assert "is no weight of the model, so that Keras does not train it" in str(fixed)
    for each in (model, prepared):
        each.compile("sgd", "mse", run_eagerly=run_eagerly)
        each.fit(x, y, epochs=3, shuffle=False, verbose=0)
    np.testing.assert_array_equal(model.layer.get().numpy(), np.ones((4,)))
    for ours, theirs in zip(model.variables, prepared.variables, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-6)

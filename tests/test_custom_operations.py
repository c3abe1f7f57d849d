"""Subclasses of `keras.Operation` of the user's are traced through, as layers are."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from zoo.case import floats

import kerasfx

pytestmark = pytest.mark.any_keras


class Gather(keras.Operation):
    """Sums over the neighbours of a node, as operations of graph networks do."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps
        self.norm = Norm()

    def call(self, x, edges=None):
        for _ in range(self.steps):
            x = self.norm(x + ops.matmul(edges, x), ops.shape(x)[1])
        return x

    def compute_output_spec(self, x, edges=None):
        return keras.KerasTensor(x.shape, x.dtype)


class Norm(keras.Operation):
    """An operation inside another, which takes a size."""

    def call(self, x, length):
        return x / ops.cast(length, x.dtype), length

    def __call__(self, x, length):
        return super().__call__(x, length)[0]


class Weighted(keras.Operation):
    """Scales by a variable of its own."""

    def __init__(self):
        super().__init__()
        self.scale = keras.Variable(np.full((4,), 0.5, "float32"), name="scale")

    def call(self, x):
        return x * self.scale


class Graph(keras.Model):
    def __init__(self, operation):
        super().__init__()
        self.dense, self.operation = layers.Dense(4), operation

    def call(self, x):
        x = self.dense(x)
        edges = ops.softmax(ops.matmul(x, ops.transpose(x, (0, 2, 1))))
        return self.operation(x, edges=edges)


class Looped(keras.Model):
    def __init__(self, operation):
        super().__init__()
        self.dense, self.operation = layers.Dense(4), operation

    def call(self, x):
        return ops.fori_loop(0, 20, lambda i, x: self.operation(x), self.dense(x))


def expect_opened(model, *sizes):
    prepared = kerasfx.prepare_model(model, keras.Input((None, 4), name="x"))
    assert not kerasfx.report(prepared).opaque
    for size in sizes:
        x = floats(*size, 4)
        np.testing.assert_allclose(*(ops.convert_to_numpy(f(x)) for f in (prepared, model)), rtol=1e-5)
    return prepared


def test_an_operation_of_functions_of_keras():
    expect_opened(Graph(Gather(2)), (2, 5), (3, 7))


def test_an_operation_in_a_loop():
    class Half(keras.Operation):
        def call(self, x):
            return x * 0.5

    expect_opened(Looped(Half()), (2, 5))


def test_an_operation_with_a_variable_that_keras_does_not_find():
    class Holding(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense, self.operation = layers.Dense(4), Weighted()

        def call(self, x):
            return self.operation(self.dense(x))

    prepared = expect_opened(Holding(), (2, 5))
    (warning,) = kerasfx.report(prepared).of_kind("warning")
    assert "scale: Keras does not find it, so that `fit` of the original does not train it" in str(warning)

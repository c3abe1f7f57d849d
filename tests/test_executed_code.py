"""Classes whose code stands in no module and in no file, and `call`s that are no plain functions."""

import functools

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerasfx
from kerasfx.errors import UnsupportedOperationError

pytestmark = pytest.mark.any_keras

CODE = """
import random
import keras, numpy as np

generator = np.random.default_rng(0)

class Inner(keras.layers.Layer):
    def __init__(self, wide=True):
        super().__init__()
        self.dense, self.wide = keras.layers.Dense(2), wide
    def call(self, x, training=None):
        y = self.dense(x)
        if training:
            y = 2 * y
        return keras.ops.exp(y) if self.wide else y

class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.inner = Inner()
    def call(self, x):
        return self.inner(x) + 1

class Draws(keras.Model):
    def call(self, x):
        return x * random.random()

class DrawsByGenerator(keras.Model):
    def call(self, x):
        return x * generator.random()
"""


def executed(name, **given):
    space = given
    exec(CODE, space)
    return space[name]()


def made(call, **members):
    """A model of a class that `type` makes."""

    def initialized(self):
        keras.Model.__init__(self)
        self.dense = layers.Dense(2)

    return type("Made", (keras.Model,), {"__init__": initialized, "call": call, **members})()


class Callable:
    """A `call` that is an object."""

    def __call__(self, x):
        return ops.relu(x)


def plus_one(call):
    @functools.wraps(call)
    def around(self, x):
        return call(self, x) + 1

    return around


def from_file(name):
    """A `call` whose code says that it stands in another file than it does."""
    space: dict = {}
    exec(compile("def call(self, x):\n    return self.dense(x) if self.built else x", name, "exec"), space)
    return space["call"]


MODELS = {
    "executed": lambda: executed("Net"),
    "executed as a module": lambda: executed("Net", __name__="no_such_module"),
    "by type": lambda: made(lambda self, x: self.dense(x)),
    "without a module": lambda: made(lambda self, x: self.dense(x), __module__=None),
    "partial method": lambda: made(functools.partialmethod(lambda self, x, f: self.dense(x) * f, f=2.0)),
    "decorated": lambda: made(plus_one(lambda self, x: self.dense(x))),
    "public function": lambda: made(staticmethod(ops.relu)),
    "builtin": lambda: made(staticmethod(abs)),
    "object": lambda: made(Callable()),
    "no such file": lambda: made(from_file("/no/such/file.py"), build=lambda self, shape: None),
    "another file": lambda: made(from_file(__file__), build=lambda self, shape: None),
}


@pytest.mark.parametrize("keep_class", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_code_without_a_module_is_prepared(name, keep_class):
    model = MODELS[name]()
    prepared = kerasfx.prepare_model(model, keras.Input((4,)), keep_class=keep_class)
    assert not kerasfx.report(prepared).opaque
    assert kerasfx.compare(model, prepared, gradients=False)


@pytest.mark.parametrize("name", ["Draws", "DrawsByGenerator"])
def test_draws_of_executed_code_are_refused(name):
    with pytest.raises(UnsupportedOperationError, match="draws from") as refusal:
        kerasfx.prepare_model(executed(name), keras.Input((4,)), verify=False)
    assert "prepare_model" not in str(refusal.value)


def test_call_of_an_object_is_not_that_of_the_class():
    """The `call` of an instance is not handed over with the class: it runs layers of the original."""
    model = made(lambda self, x: x)
    model.call = functools.partial(lambda owner, x: owner.dense(x), model)
    prepared = kerasfx.prepare_model(model, keras.Input((4,)), keep_class=True)
    assert "call" not in vars(prepared)
    assert kerasfx.compare(model, prepared)


def test_partial_of_a_layer_is_not_handed_over():
    model = made(lambda self, x: self.dense(x))
    model.apply_dense = functools.partial(model.dense)
    prepared = kerasfx.prepare_model(model, keras.Input((4,)), keep_class=True)
    with pytest.raises(AttributeError, match="refers to layers or weights of the original"):
        prepared.apply_dense(np.ones((1, 4)))

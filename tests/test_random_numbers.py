"""Random numbers of Python and NumPy in `call` are not frozen: the layer stays whole, and says why."""

import random
from random import uniform

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerasfx
from kerasfx.errors import UnsupportedOperationError

GENERATOR = np.random.default_rng(3)


@keras.saving.register_keras_serializable("random_numbers")
class Drawing(layers.Layer):
    """Draws as `how` says.

    Attributes:
        generator: One of its own.
    """

    def __init__(self, how, **kwargs):
        super().__init__(**kwargs)
        self.how = how
        self.generator = np.random.default_rng(0)
        self.python = random.Random(0)
        self.several = {"of numpy": [np.random.default_rng(1)]}

    def call(self, x):
        return x * DRAWS[self.how](self)

    def get_config(self):
        return {**super().get_config(), "how": self.how}


DRAWS = {
    "imported": lambda layer: uniform(0.0, 1.0),
    "unseeded": lambda layer: float(np.random.default_rng().random()),
    "one of several": lambda layer: float(layer.several["of numpy"][0].random()),
    "of the module": lambda layer: float(GENERATOR.random()),
    "numpy": lambda layer: np.random.normal(size=(4,)).astype("float32"),
    "python": lambda layer: random.random(),
    "generator": lambda layer: float(layer.generator.random()),
    "python generator": lambda layer: layer.python.uniform(0.0, 1.0),
    "stochastic depth": lambda layer: 0.0 if random.random() < 0.5 else 2.0,
}

SAYS = dict.fromkeys(DRAWS, "`call` draws from a generator of Python or NumPy.") | {
    "imported": "`call` draws from random.uniform.",
    "unseeded": "`call` draws from numpy.random.default_rng().",
    "numpy": "`call` draws from numpy.random.normal.",
    "python": "`call` draws from random.random.",
    "stochastic depth": "`call` draws from random.random.",
}


@pytest.mark.parametrize("how", DRAWS)
def test_a_draw_keeps_the_layer_whole(how):
    model = keras.Sequential([layers.Dense(4), Drawing(how), layers.Dense(3)])
    prepared = kerasfx.prepare_model(model, keras.Input((4,)), verify=False)
    (finding,) = kerasfx.report(prepared).opaque
    assert SAYS[how] in finding.what
    assert "draw with keras.random and a SeedGenerator" in finding.what
    assert "leaves=['drawing']" in finding.what
    assert [type(layer).__name__ for layer in prepared.layers[1:]] == ["Dense", "Drawing", "Dense"]


def test_only_the_layer_that_draws_stays_whole():
    class Outer(layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = Drawing("numpy")

        def call(self, x):
            return ops.tanh(self.inner(ops.sin(x)))

    prepared = kerasfx.prepare_model(keras.Sequential([Outer()]), keras.Input((4,)), verify=False)
    assert [f.path for f in kerasfx.report(prepared).opaque] == ["outer.inner"]
    assert len(prepared.layers) == 4


def test_a_draw_before_another_layer_is_seen():
    class Outer(layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(4)

        def call(self, x):
            scale = random.random()
            return self.dense(x) * scale

    found = kerasfx.explain(keras.Sequential([Outer()]), keras.Input((4,)))
    assert [f.path for f in found.opaque] == ["outer"]


def test_the_model_itself_cannot_draw():
    class Model(keras.Model):
        def call(self, x):
            return x + np.random.random()

    with pytest.raises(UnsupportedOperationError, match=r"`call` draws from numpy\.random\.random"):
        kerasfx.prepare_model(Model(), keras.Input((4,)))


@pytest.mark.parametrize("is_one_layer", [True, False])
def test_draws_of_layers_kept_whole_are_in_their_order(is_one_layer):
    """They share the random state of NumPy, and a Functional model runs by depth what does not wait."""

    class Draws(layers.Layer):
        def call(self, x):
            return x + np.random.uniform()

    class Net(layers.Layer):
        def __init__(self):
            super().__init__()
            self.first = Draws()
            self.second = self.first if is_one_layer else Draws()

        def call(self, x):
            late = self.first(x)
            return ops.tanh(self.second(self.second(x))) - 2.0 * late

    x = keras.Input((4,))
    model = keras.Model(x, Net()(x))
    prepared = kerasfx.prepare_model(model)
    assert len(kerasfx.report(prepared).opaque) == 2 - is_one_layer


def test_what_layers_kept_whole_count_is_in_its_order():
    counts = []

    class Counts(layers.Layer):
        def call(self, x):
            counts.append(0)
            return x + float(len(counts) + 0 * np.random.uniform())

    class Net(layers.Layer):
        def __init__(self):
            super().__init__()
            self.counts = Counts()

        def call(self, x):
            late = self.counts(x)
            return ops.tanh(self.counts(self.counts(x))) - 2.0 * late

    x = keras.Input((4,))
    model = keras.Model(x, Net()(x))
    prepared = kerasfx.prepare_model(model, verify=False)
    data = np.ones((2, 4), "float32")
    counts.clear()
    expected = keras.ops.convert_to_numpy(model(data))
    counts.clear()
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(prepared(data)), expected)


def test_what_keras_draws_is_no_draw():
    """Initializers, and layers made in `call`, take their seeds from Python's numbers."""

    class Lazy(layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(4)
            self.noise = layers.GaussianDropout(0.2)

        def build(self, shape):
            self.scale = self.add_weight(shape=shape[-1:], initializer="random_normal")

        def call(self, x):
            fresh = layers.Dropout(0.1)
            return fresh(self.noise(self.dense(x))) * self.scale

    prepared = kerasfx.prepare_model(keras.Sequential([Lazy()]), keras.Input((4,)), verify=False)
    assert kerasfx.report(prepared).opaque == []


def test_a_seeded_generator_of_the_call_is_a_constant():
    class Noise(layers.Layer):
        def call(self, x):
            return x + np.random.default_rng(0).random(4).astype("float32")

    prepared = kerasfx.prepare_model(keras.Sequential([Noise()]), keras.Input((4,)))
    assert kerasfx.report(prepared).opaque == []

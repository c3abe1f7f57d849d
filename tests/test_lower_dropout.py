"""Dropout by hand becomes `Dropout`, which draws what the code would have drawn."""

import keras
import numpy as np
import pytest
from keras import ops

import kerasfx


class Dropping(keras.layers.Layer):
    """A layer that drops as guides of Keras show it, after what a function does to its input."""

    def __init__(self, seed=7, noise_shape=None, before=lambda x: x):
        super().__init__()
        self.generator = keras.random.SeedGenerator(seed)
        self.noise_shape, self.before = noise_shape, before

    def drop(self, x):
        """Dropout, whatever the mode is."""
        return keras.random.dropout(x, 0.3, self.noise_shape, self.generator)

    def call(self, x, training=False):
        x = self.before(x)
        return self.drop(x) if training else x


class Again(Dropping):
    """Draws twice."""

    def call(self, x, training=False):
        return self.drop(ops.tanh(self.drop(x))) if training else x


class Always(Dropping):
    """Drops in inference, too."""

    def call(self, x, training=False):
        return self.drop(x)


class Scaled(Dropping):
    """Does something in inference."""

    def call(self, x, training=False):
        return self.drop(x) if training else x * 0.7


class Stack(keras.Model):
    """Layers one after the other, each with weights behind it."""

    def __init__(self, *parts):
        super().__init__(name="stack")
        self.parts = parts
        self.dense = [keras.layers.Dense(4) for _ in parts]

    def call(self, x, training=False):
        for part, dense in zip(self.parts, self.dense, strict=True):
            x = dense(part(x, training=training))
        return x


X = keras.Input((3, 4), name="x")


def kinds(model):
    """The classes of its layers, but for inputs."""
    return [type(layer).__name__ for layer in model.layers[1:]]


def test_is_replaced(tmp_path):
    model = Stack(Dropping(), Dropping(8, noise_shape=(2, 1, 4)), Dropping(9, before=ops.tanh))
    model.build((2, 3, 4))
    # Not as it was made: what was drawn before is not drawn again.
    model.parts[0].generator.next()
    x = keras.Input(batch_shape=(2, 3, 4), name="x")
    prepared = kerasfx.prepare_model(model, x)
    assert [k for k in kinds(prepared) if k.startswith("D")] == ["Dropout", "Dense"] * 3
    comparison = kerasfx.compare(model, prepared, samples=1)
    assert comparison.exact, str(comparison)
    ones = np.ones((2, 3, 4), "float32")
    a, b = (ops.convert_to_numpy(m(ones, training=True)) for m in (model, prepared))
    np.testing.assert_array_equal(a, b)
    # Home again.
    kerasfx.copy_weights(prepared, model)
    a, b = (ops.convert_to_numpy(part.generator.state) for part in model.parts[:2])
    assert list(a) == [7, 2]
    prepared.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(*(ops.convert_to_numpy(m(ones)) for m in (prepared, loaded)))
    dropout = next(layer for layer in loaded.layers if isinstance(layer, keras.layers.Dropout))
    assert (dropout.rate, dropout.seed) == (0.3, 7)


@pytest.mark.parametrize("part", [Again, Always, Scaled])
def test_is_left(part):
    model = Stack(part())
    prepared = kerasfx.prepare_model(model, X)
    assert "Dropout" not in kinds(prepared)
    assert kerasfx.compare(model, prepared, samples=1)


def test_two_calls_draw_from_one_generator():
    part = Dropping()
    model = Stack(part, part)
    prepared = kerasfx.prepare_model(model, X)
    assert "Dropout" not in kinds(prepared)
    assert kerasfx.compare(model, prepared, samples=1)


def test_without_a_seed():
    model = Stack(Dropping(None))
    prepared = kerasfx.prepare_model(model, X)
    assert kinds(prepared) == ["Dropout", "Dense"]
    comparison = kerasfx.compare(model, prepared, samples=1)
    assert comparison.exact, str(comparison)


@pytest.mark.any_backend
def test_a_generator_that_is_shared_stays_where_it_is():
    model = Stack(Dropping())
    prepared = kerasfx.prepare_model(model, X, weights="share")
    assert "Dropout" not in kinds(prepared)


@pytest.mark.any_backend
def test_behind_a_mask():
    ids = keras.Input((5,), dtype="int32", name="ids")
    h = Dropping(before=ops.tanh)(keras.layers.Embedding(7, 4, mask_zero=True)(ids))
    model = keras.Model(ids, keras.layers.SimpleRNN(2)(h))
    prepared = kerasfx.prepare_model(model)
    assert "Dropout" in kinds(prepared)
    assert kerasfx.compare(model, prepared, samples=1, gradients=False)

"""`associative_scan`: its function becomes a body that takes parts of any length."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from zoo.case import floats

import kerasfx

BACKEND = keras.backend.backend()


class Recurrence(layers.Layer):
    """A linear recurrence `h = a * h + b`, as state space models have it, with a weight in its function."""

    def __init__(self, scan=None, reverse=False):
        super().__init__()
        self.scan, self.reverse = scan, reverse

    def build(self, shape):
        self.decay = self.add_weight(shape=(shape[-1],), initializer="random_normal", name="decay")

    def call(self, x):
        decays = ops.broadcast_to(ops.sigmoid(self.decay), ops.shape(x))

        def combine(before, after):
            return before["a"] * after["a"], before["b"] * after["a"] + after["b"] + 0.0 * self.decay

        def named(before, after):
            return dict(zip("ab", combine(before, after), strict=True))

        scan = self.scan or ops.associative_scan
        return scan(named, {"a": decays, "b": x}, reverse=self.reverse, axis=1)["b"]


@pytest.mark.parametrize("reverse", [False, True])
def test_a_recurrence(reverse, tmp_path):
    layer = Recurrence(reverse=reverse)
    prepared = kerasfx.prepare_model(layer, keras.Input((7, 4), name="x"))
    assert not kerasfx.report(prepared).opaque
    prepared.save(tmp_path / "prepared.keras")
    loaded = keras.models.load_model(tmp_path / "prepared.keras")
    x = floats(3, 7, 4)
    for model in (prepared, loaded):
        np.testing.assert_allclose(*(ops.convert_to_numpy(f(x)) for f in (model, layer)), rtol=1e-5)


def test_a_cumulative_sum_of_a_free_length():
    class Sum(layers.Layer):
        def call(self, x):
            return ops.associative_scan(lambda a, b: a + b, x, axis=1)

    layer = Sum()
    prepared = kerasfx.prepare_model(layer, keras.Input((None, 4), name="x"))
    assert prepared.output_shape == (None, None, 4)
    for length in (5, 8):
        x = floats(2, length, 4)
        np.testing.assert_allclose(*(ops.convert_to_numpy(f(x)) for f in (prepared, layer)), rtol=1e-5)


@pytest.mark.skipif(BACKEND != "jax", reason="a function of JAX")
def test_that_of_jax():
    import jax

    layer = Recurrence(lambda f, elems, reverse, axis: jax.lax.associative_scan(f, elems, reverse, axis))
    prepared = kerasfx.prepare_model(layer, keras.Input((7, 4), name="x"))
    assert not kerasfx.report(prepared).opaque
    x = floats(3, 7, 4)
    np.testing.assert_allclose(*(ops.convert_to_numpy(f(x)) for f in (prepared, layer)), rtol=1e-5)

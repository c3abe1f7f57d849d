"""Nothing in a prepared model remembers the sizes it was traced with: each operator and function alone."""

import keras
import numpy as np
import pytest
from predicting import predicted
from zoo.sizes import FREE, sequences

import kerasfx

pytestmark = pytest.mark.any_keras

SIZES = ((2, 6), (3, 10))

GUARDED = ("image.resize",)
"""Keras itself asks whether the size is positive."""

NOT_IN_A_GRAPH = (
    "clip",
    "image.pad_images",
    "image.resize",
    "linspace",
    "logspace",
    "split at a size",
    "tri",
)
"""Functions of Keras that do not take a size that TensorFlow does not know, of the original either."""


def compiled(model):
    """`model` in one graph for all sizes on TensorFlow, compiled for each on JAX, as it is on PyTorch."""
    if keras.backend.backend() == "torch":
        return model
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(model, input_signature=[tf.TensorSpec([None, None, 4], "float32")])
    import jax

    return jax.jit(lambda x: model.stateless_call([], [], x)[0])


def outcome(function, x):
    """What a function returns; None if it raises."""
    try:
        return function(x)
    except Exception:
        return None


def expect_equal(ours, theirs):
    ours, theirs = (keras.ops.convert_to_numpy(x) for x in (ours, theirs))
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", FREE)
def test_sizes_stay_free(name, tmp_path):
    case = FREE[name]()
    prepared = kerasfx.prepare_model(case.model, case.free, verify=False)
    report = kerasfx.report(prepared)
    assert not report.opaque
    assert bool(report.of_kind("guard")) == (name in GUARDED)
    path = tmp_path / "prepared.keras"
    prepared.save(path)
    loaded = keras.models.load_model(path)
    in_a_graph = compiled(prepared)
    if keras.backend.backend() == "tensorflow" and name in NOT_IN_A_GRAPH:
        assert outcome(compiled(case.model), sequences(2, 6)) is None
        in_a_graph = prepared
    for sizes in SIZES:
        x = sequences(*sizes)
        expected = case.model(x)
        expect_equal(expected, prepared(x))
        expect_equal(expected, in_a_graph(x))
        expect_equal(expected, loaded(x))


def test_a_length_that_must_exceed_a_kernel_is_found_by_trying():
    class Speech(keras.Model):
        def __init__(self):
            super().__init__()
            self.first = keras.layers.Conv1D(2, 127, strides=64)
            self.second = keras.layers.Conv1D(2, 3)

        def call(self, x):
            return self.second(self.first(x)) * 2

    model = Speech()
    prepared = kerasfx.prepare_model(model, keras.Input((None, 1), name="wave"))
    assert prepared.input_shape == (None, None, 1)
    (found,) = kerasfx.report(prepared).of_kind("warning")
    assert "shorter inputs are refused, as in the original; it runs with lengths of {'wave': (768" in str(
        found
    )
    wave = np.random.default_rng(0).random((3, 500, 1), "float32")
    np.testing.assert_array_equal(predicted(prepared, wave), predicted(model, wave))

"""The other process runs what it can load, and says why it cannot load the rest."""

import keras
import numpy as np
import pytest
from loaded_elsewhere import (
    Elsewhere,
    ElsewhereError,
    load_structure,
    run_elsewhere,
    save_structure,
)
from predicting import predicted

pytestmark = [pytest.mark.any_keras, pytest.mark.any_backend]


class Unknown(keras.layers.Layer):
    """A class that only this process knows."""

    def call(self, x):
        return x + 1.0


@pytest.fixture
def batch():
    return np.random.default_rng(0).standard_normal((3, 4)).astype("float32")


def dense_model():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(5, "tanh"), keras.layers.Dense(2)])


def test_outputs_equal_to_the_bit(elsewhere, batch, tmp_path):
    model = dense_model()
    model.save(tmp_path / "model.keras")
    [output] = elsewhere.run(tmp_path / "model.keras", batch)
    expected = keras.ops.convert_to_numpy(model(batch, training=False))
    np.testing.assert_array_equal(output, expected)


def test_nested_inputs_flat_outputs(elsewhere, batch, tmp_path):
    inputs = {"a": keras.Input((4,), name="a"), "b": [keras.Input((4,), name="b")]}
    model = keras.Model(inputs, {"sum": inputs["a"] + inputs["b"][0], "same": inputs["a"]})
    model.save(tmp_path / "model.keras")
    outputs = elsewhere.run(tmp_path / "model.keras", {"a": batch, "b": [2 * batch]})
    np.testing.assert_array_equal(outputs[0], batch)  # flat dicts are ordered by key
    np.testing.assert_allclose(outputs[1], 3 * batch, rtol=1e-6)


def test_unknown_class_is_named(elsewhere, batch, tmp_path):
    model = keras.Sequential([keras.Input((4,)), Unknown()])
    model.save(tmp_path / "model.keras")
    with pytest.raises(ElsewhereError, match=r"imports only keras and kerasfx(.|\n)*Unknown"):
        elsewhere.run(tmp_path / "model.keras", batch)


def test_serves_on_after_an_error(elsewhere, batch, tmp_path):
    with pytest.raises(ElsewhereError, match=r"missing\.keras"):
        elsewhere.run(tmp_path / "missing.keras", batch)
    dense_model().save(tmp_path / "model.keras")
    assert elsewhere.run(tmp_path / "model.keras", batch)[0].shape == (3, 2)


def test_worker_imports_no_test_code(elsewhere):
    assert {"keras", "kerasfx", "numpy"} <= elsewhere.modules
    assert not {"pytest", "zoo", "examples", "keras_hub"} & elsewhere.modules


def test_own_process_on_another_backend(batch, tmp_path):
    model = dense_model()
    model.save(tmp_path / "model.keras")
    other = "jax" if keras.backend.backend() == "tensorflow" else "tensorflow"
    [output] = run_elsewhere(tmp_path / "model.keras", batch, backend=other)
    np.testing.assert_allclose(output, predicted(model, batch, training=False), rtol=1e-5, atol=1e-6)


def test_dead_worker_leaves_its_last_words():
    with pytest.raises(ElsewhereError, match=r"died with exit code(.|\n)*no_such_backend"):
        Elsewhere(backend="no_such_backend")


def test_a_dead_worker_is_replaced(elsewhere, batch, tmp_path):
    dense_model().save(tmp_path / "model.keras")
    elsewhere._process.kill()
    elsewhere._process.wait()
    assert elsewhere.run(tmp_path / "model.keras", batch)[0].shape == (3, 2)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int32", "bool"])
def test_structure_survives_the_file(dtype, tmp_path):
    array = keras.ops.convert_to_numpy(keras.ops.cast([[0, 1, 2]], dtype))
    structure = {"x": [array, None, (array[0], {})], "y": array[0, 0]}
    save_structure(tmp_path / "s.npz", structure)
    stored = load_structure(tmp_path / "s.npz")
    assert stored["x"][0].dtype == array.dtype
    assert (stored["x"][0] == array).all()
    assert stored["x"][1] is None
    assert stored["x"][2][1] == {}
    assert isinstance(stored["x"][2], tuple)

"""Training two models alike, and models that were made again from prepared ones."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kerasfx.handover.provenance import provenance_of

JIT_COMPILE = [False, pytest.param(True, marks=pytest.mark.any_keras)]
"""Values of `jit_compile`; the oldest Keras is slow in this on PyTorch, and is asked by other tests."""

WAYS_TO_MAKE_AGAIN = ["saved and loaded", "cloned"]


def losses_of_fit(model: keras.Model, data: tuple[np.ndarray, np.ndarray], jit_compile: bool = False) -> Any:
    """The loss of each of three epochs, in batches of four."""
    model.compile(keras.optimizers.SGD(0.01), "mse", jit_compile=jit_compile)
    return model.fit(*data, epochs=3, batch_size=4, shuffle=False, verbose=0).history["loss"]


def made_again(model: keras.Model, how: str, directory: Path | None = None) -> keras.Model:
    """A model with the same weights, made in one of `WAYS_TO_MAKE_AGAIN`."""
    if how == "cloned":
        again = keras.models.clone_model(model)
        again.set_weights(model.get_weights())
        return again
    assert directory is not None
    model.save(directory / "again.keras")
    return keras.models.load_model(directory / "again.keras")


def assert_trained_alike(prepared: keras.Model, expected: dict, found: dict, atol: float) -> None:
    """Histories under the same names, and the weights of `prepared` like those of its original."""
    assert list(expected) == list(found)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-6, err_msg=name)
    for v, w in provenance_of(prepared).variables:
        values = map(keras.ops.convert_to_numpy, (w, v))
        np.testing.assert_allclose(*values, rtol=1e-4, atol=atol, err_msg=v.path)

"""NumPy on traced tensors: operators are recorded, functions only where they are methods of the tensors."""

import keras
import numpy as np
import pytest
from zoo.case import floats

import kerasfx
from kerasfx.errors import TensorAsPythonValueError


def model_of(function):
    """A model whose own `call` is `function`."""

    class Model(keras.Model):
        def call(self, x):
            return function(x)

    return Model()


OPERATORS = {
    "array on the left": lambda x: np.arange(4.0, dtype="float32") * x,
    "scalar on the left": lambda x: np.float32(2.0) * x + np.float64(1.0),
    "comparison": lambda x: keras.ops.cast(np.zeros((1, 4), "float32") < x, "float32"),
    "size": lambda x: x / np.sqrt(x.shape[-1]) * np.prod(x.shape[1:]),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_and_sizes(name):
    if keras.backend.backend() == "torch" and name in ("array on the left", "comparison"):
        pytest.skip("PyTorch leaves these to NumPy, which its own gradients forbid")
    model, x = model_of(OPERATORS[name]), floats(3, 4)
    prepared = kerasfx.prepare_model(model, x)
    expected, found = (keras.ops.convert_to_numpy(m(x)) for m in (model, prepared))
    assert expected.dtype == found.dtype
    np.testing.assert_allclose(expected, found, rtol=1e-6)


FUNCTIONS = {
    "np.exp": lambda x: np.exp(x),
    "np.maximum": lambda x: np.maximum(x, 0.0),
    "np.concatenate": lambda x: np.concatenate([x, x]),
    "np.where": lambda x: np.where(x > 0, x, 0.0),
    "np.array": lambda x: np.array(x) * 2.0,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_refused_with_their_name(name):
    """They compute outside of the backend: no gradient, and no compiled model on TensorFlow and JAX."""
    with pytest.raises(TensorAsPythonValueError) as caught:
        kerasfx.prepare_model(model_of(FUNCTIONS[name]), floats(3, 4))
    assert "function of the same name in keras.ops" in str(caught.value)
    assert f"{name}(" in str(caught.value)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="methods that only arrays of JAX have")
def test_functions_that_call_a_method():
    """`np.mean(x)` is `x.mean()`, which JAX computes itself."""
    x = keras.Input((None, 4))
    model = keras.Model(x, model_of(lambda x: np.mean(x, axis=1) + np.sum(x, axis=1) * np.max(x))(x))
    prepared = kerasfx.prepare_model(model)
    numbers = floats(3, 5, 4)
    np.testing.assert_allclose(model(numbers), prepared(numbers), rtol=1e-5)

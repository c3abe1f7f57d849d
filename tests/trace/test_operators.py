"""What an operator gives between a tensor or a weight and what is no tensor: numbers, lists, arrays."""

import operator

import keras
import numpy as np
import pytest
from keras import ops

import kerasfx

pytestmark = pytest.mark.any_backend

BACKEND = keras.backend.backend()
OTHERS = {
    "array of float64": np.array([0.5, 1.5, 2.5]),
    "array of float32": np.array([0.5, 1.5, 2.5], "float32"),
    "array of int64": np.array([1, 2, 3]),
    "array of bool": np.array([True, True, True]),
    "array without axes": np.array(2.5),
    "whole array without axes": np.array(2),
    "float64": np.float64(1 / 3),
    "float32": np.float32(2.5),
    "int64": np.int64(2),
    "bool of NumPy": np.bool_(True),
    "list": [0.5, 1.5, 2.5],
    "list of whole numbers": [1, 2, 3],
    "tuple": (1.0, 2.0, 3.0),
    "number": 2.5,
    "whole number": 2,
    "truth value": True,
}
OPERATORS = [
    *("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"),
    *("eq", "ne", "lt", "ge", "and_", "or_", "xor"),
]


def combined(name, is_reflected, other):
    apply = getattr(operator, name)
    return (lambda x: apply(other, x)) if is_reflected else (lambda x: apply(x, other))


def calls_on(x):
    """The combinations that real tensors allow."""
    found = {}
    for what, other in OTHERS.items():
        for name in OPERATORS:
            for is_reflected in (False, True):
                # NumPy divides by itself here, in the last bit unlike PyTorch.
                if (BACKEND, what, name, is_reflected) == ("torch", "float32", "truediv", True):
                    continue
                call = combined(name, is_reflected, other)
                try:
                    result = call(x)
                # PyTorch and JAX raise errors of many kinds for what does not go together.
                except Exception:
                    continue
                # A weight on the right of an array is read by NumPy, and a list is repeated.
                if ops.is_tensor(result):
                    found[f"{name} {what}{' reflected' if is_reflected else ''}"] = call
    return found


class Operators(keras.Model):
    """All of them, of the input or of a weight."""

    def __init__(self, calls, weight=None):
        super().__init__()
        self.calls = list(calls.items())
        self.table = None if weight is None else self.add_weight((3,), dtype=weight, trainable=False)

    def call(self, x):
        return {name: call(x if self.table is None else self.table) for name, call in self.calls}


def bits_of(results):
    return {
        k: (keras.backend.standardize_dtype(v.dtype), ops.convert_to_numpy(v).astype("float64").tolist())
        for k, v in results.items()
    }


# Narrow ones where arrays count less than tensors; elsewhere Keras and the backend promote alike.
@pytest.mark.parametrize(
    "dtype", ["float32", "int32", *(["float16", "bfloat16", "uint8"] if BACKEND == "tensorflow" else [])]
)
def test_a_tensor(dtype):
    x = ops.cast(np.array([[1, 2, 3], [4, 5, 6]]), dtype)
    calls = calls_on(x)
    assert len(calls) > 100
    model = Operators(calls)
    prepared = kerasfx.prepare_model(model, keras.Input((3,), dtype=dtype), verify=False)
    assert bits_of(prepared(x)) == bits_of(model(x))


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_a_weight(dtype):
    """Keras computes by itself with a weight, on all backends: `&` is of truth values."""
    model = Operators({}, dtype)
    model.table.assign([1, 2, 3])
    model.calls = list(calls_on(model.table).items())
    assert len(model.calls) > 100
    x = np.ones((1, 3), "float32")
    prepared = kerasfx.prepare_model(model, x, verify=False)
    assert bits_of(prepared(x)) == bits_of(model(x))


def test_truth_values_times_numbers():
    """TensorFlow gives truth values, and compiles no such product."""

    class Masked(keras.Model):
        def call(self, x):
            return (x > 0) * x

    x = np.array([[1.0, -2.0, 3.0]], "float32")
    if BACKEND == "tensorflow":
        with pytest.raises(kerasfx.errors.TraceError, match=r"tf\.multiply"):
            kerasfx.prepare_model(Masked(), x)
        return
    model = Masked()
    prepared = kerasfx.prepare_model(model, x)
    assert kerasfx.compare(model, prepared, inputs=x)

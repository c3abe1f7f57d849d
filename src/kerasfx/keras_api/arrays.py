"""Tensors as arrays of NumPy."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np


def to_numpy(tensor: object) -> np.ndarray:
    """The values of a tensor, variable or array, in its own dtype.

    TensorFlow gives NumPy a scalar of bfloat16 or float8 that NumPy takes for no array; a vector it takes.
    """
    if isinstance(tensor, np.ndarray):
        return tensor
    if _is_narrow_scalar(tensor):
        tensor = keras.ops.reshape(tensor, (1,))
        return np.asarray(keras.ops.convert_to_numpy(tensor)).reshape(())
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def dtype_when_given(array: np.ndarray | np.generic) -> str:
    """The dtype that `array` has in a model: JAX has 64 bits only if it is told to (`jax_enable_x64`).

    Raises:
        ValueError: Keras has none for it.
    """
    dtype = keras.backend.standardize_dtype(array.dtype)
    if keras.backend.backend() != "jax":
        return dtype
    import jax

    return jax.dtypes.canonicalize_dtype(dtype).name


def _is_narrow_scalar(tensor: Any) -> bool:
    if keras.backend.backend() != "tensorflow" or tuple(getattr(tensor, "shape", (1,))) != ():
        return False
    return keras.backend.standardize_dtype(tensor.dtype).startswith(("bfloat", "float8"))


def same_bits(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether two arrays of numbers of one shape and dtype have the same bits, so that NaN equals itself."""
    ours, theirs = (np.ascontiguousarray(a).reshape(-1).view(np.uint8) for a in (x, y))
    # Eight bytes at a time, as far as there are eight.
    end = len(ours) - len(ours) % 8
    return len(ours) == len(theirs) and all(
        np.array_equal(a, b)
        for a, b in (
            (ours[:end].view(np.uint64), theirs[:end].view(np.uint64)),
            (ours[end:], theirs[end:]),
        )
    )


def largest_gap(x: np.ndarray, y: np.ndarray) -> float:
    """Largest absolute difference; infinite where only one of two numbers is finite."""
    x, y = in_double(x), in_double(y)
    # `inf - inf` would be NaN, although the two are equal.
    same = (x == y) | (np.isnan(x) & np.isnan(y))
    gaps = np.abs(np.where(same, 0, x) - np.where(same, 0, y))
    largest = float(gaps.max(initial=0.0))
    return largest if math.isfinite(largest) else math.inf


def in_double(values: np.ndarray) -> np.ndarray:
    """Numbers of any kind with the digits of `float64`."""
    return values.astype("complex128" if values.dtype.kind == "c" else "float64")

"""Tensors as arrays of NumPy."""

from __future__ import annotations

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


def _is_narrow_scalar(tensor: Any) -> bool:
    if keras.backend.backend() != "tensorflow" or tuple(getattr(tensor, "shape", (1,))) != ():
        return False
    return keras.backend.standardize_dtype(tensor.dtype).startswith(("bfloat", "float8"))

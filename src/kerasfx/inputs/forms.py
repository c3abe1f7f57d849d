"""The forms that an input is given in: `keras.Input`, an example array, a shape, structures of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

import keras
import numpy as np

from kerasfx.errors import InputMismatchError, describe
from kerasfx.inputs.no_input import ArrayLike, dtype_of, refuse, require_dense, require_sizes
from kerasfx.inputs.specs import InputSpec
from kerasfx.ir import identifier, leaves_of, shown


def specs_of(x: object, name: str, dtype: str | None = None) -> Any:
    """Turn a structure of inputs, arrays or shapes into one of `InputSpec`.

    Raises:
        InputMismatchError: Something in it is no input.
    """
    if is_shape(x):
        require_sizes(x)
        return InputSpec((None, *x[1:]), dtype or keras.config.floatx(), name, first=x[0])
    if _is_list_of_values(x):
        return _one(_array_of(x, dtype or _dtype_of_values(x)), name)
    if isinstance(x, dict) and x:
        return {k: specs_of(v, str(k), dtype) for k, v in x.items()}
    if isinstance(x, (list, tuple)) and x:
        items = [specs_of(v, f"{name}_{i}" if len(x) > 1 else name, dtype) for i, v in enumerate(x)]
        return type(x)(*items) if hasattr(x, "_fields") else type(x)(items)
    return _one(x, name)


def _one(x: object, name: str) -> Any:
    if isinstance(x, keras.layers.InputLayer):
        x = x.output
    if isinstance(x, keras.KerasTensor):
        return InputSpec(tuple(x.shape), x.dtype, given_name(x) or name)
    require_dense(x)
    if not is_tensor(x):
        refuse(x)
    shape = tuple(x.shape)
    if not shape:
        return InputSpec(shape, dtype_of(x), name, x)
    # One without a row is an example of its sizes alone.
    example = x if shape[0] != 0 else None
    return InputSpec((None, *shape[1:]), dtype_of(x), name, example, first=shape[0])


def given_name(tensor: keras.KerasTensor) -> str | None:
    """The name of a `keras.Input`, unless Keras made it up."""
    # Keras numbers them: they are others in the next process.
    automatic = ("keras_tensor", "input_layer")
    return None if tensor.name.startswith(automatic) else identifier(tensor.name)


def is_tensor(x: object) -> TypeGuard[ArrayLike]:
    """Whether `x` is a tensor of Keras or of the running backend, or an array of NumPy."""
    return isinstance(
        x, (keras.KerasTensor, keras.layers.InputLayer, np.ndarray, np.generic)
    ) or keras.ops.is_tensor(x)


def _is_list_of_values(x: object) -> bool:
    """Whether `x` is an array written as lists of numbers or strings; whole numbers alone are a shape."""
    is_list = isinstance(x, (tuple, list)) and len(x) > 0
    return is_list and all(isinstance(leaf, (float, str, bool)) for leaf in leaves_of(x))


def _array_of(values: object, dtype: str | None) -> np.ndarray:
    try:
        return np.asarray(values, dtype)
    except ValueError as error:
        raise InputMismatchError(
            describe(
                f"input_layer holds {shown(values)}, which is no array: its rows are not alike.",
                hint="numpy.array([...]) of rows of one length, padded where they are not",
            )
        ) from error


def _dtype_of_values(x: object) -> str | None:
    return keras.config.floatx() if isinstance(next(leaves_of(x)), float) else None


def is_shape(x: object) -> TypeGuard[Sequence[int | None]]:
    """Whether `x` is a tuple or list of whole numbers and None."""
    # `type`, because True is an int.
    return isinstance(x, (tuple, list)) and len(x) > 0 and all(d is None or type(d) is int for d in x)

"""What is given as an input and is none: said with what it is, and what to give instead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Protocol

import keras
import numpy as np

from kerasfx.errors import InputMismatchError, describe
from kerasfx.ir import shown
from kerasfx.keras_api import internals
from kerasfx.keras_api.arrays import dtype_when_given

FORMS = "an input is a keras.Input, a keras.layers.InputLayer, an example array or a shape"
PYTHON_VALUES = "for arguments that are Python values: kerasfx.Inputs(x, flag=True)"
RAGGED = "keras.utils.pad_sequences(x.to_list()), or x.to_tensor(): an array of rows of one length"


class ArrayLike(Protocol):
    """A tensor of Keras or of a backend, or a NumPy array."""

    @property
    def shape(self) -> Any:
        """Its sizes."""
        ...

    @property
    def dtype(self) -> Any:
        """Its dtype, in the words of who made it."""
        ...


AS_NUMBERS = "make it an array of numbers, or of strings alone"
BATCHES = "it gives batches, and an example is one of them"


def refuse(x: object) -> NoReturn:
    """Raise for what is no input.

    Raises:
        InputMismatchError: Always.
    """
    why, hint = next((advice for about in ABOUT if (advice := about(x))), (FORMS, PYTHON_VALUES))
    raise InputMismatchError(
        describe(f"input_layer holds {shown(x)} of type {type(x).__name__}.", why=why, hint=hint)
    )


def _about_number(x: object) -> tuple[str, str] | None:
    if type(x) is not int:
        return None
    why = f"{FORMS}; a batch size is not needed, since the batch is free"
    return why, f"a shape with the batch in front: (None, {x}) for rows of {x} numbers"


def _about_shape(x: object) -> tuple[str, str] | None:
    shape: Any = x if type(x).__name__ == "TensorShape" else getattr(x, "shape", None)
    dtype = getattr(x, "dtype", None)
    if hasattr(x, "__array__") or shape is None:
        return None
    try:
        sizes = tuple(None if d is None else int(d) for d in shape)
        said = "" if dtype is None else f", dtype={internals.standardize_dtype(dtype)!r}"
    # Whatever else has a `shape`.
    except (TypeError, ValueError):
        return None
    return FORMS, f"keras.Input(batch_shape={sizes}{said})"


def _about_data(x: object) -> tuple[str, str] | None:
    if isinstance(x, keras.utils.PyDataset):
        return BATCHES, "batch = data[0]; then batch[0] where it is (x, y)"
    is_one_value = isinstance(x, (str, bytes, set, frozenset, dict, list, tuple))
    if hasattr(x, "__array__") or is_one_value or not hasattr(x, "__iter__"):
        return None
    return BATCHES, "batch = next(iter(data)); then batch[0] where it is (x, y)"


def _about_other_array(x: object) -> tuple[str, str] | None:
    if not hasattr(x, "__array__"):
        return None
    try:
        array = np.asarray(x)
    # Of a library that nobody knows, or a tensor that has no values yet.
    except Exception:
        return None
    library = type(x).__module__.partition(".")[0]
    why = f"it is an array of {library}, and Keras runs on {keras.backend.backend()}"
    return why, f"numpy.asarray(x), which is {array.dtype} of shape {array.shape}"


ABOUT: tuple[Callable[[object], tuple[str, str] | None], ...] = (
    _about_number,
    _about_shape,
    _about_data,
    _about_other_array,
)
"""The first that knows what it is tells why it is no input, and what to do."""


def require_sizes(shape: Sequence[int | None]) -> None:
    """Refuse a shape with a negative size.

    Raises:
        InputMismatchError: There is one.
    """
    if any(d is not None and d < 0 for d in shape):
        free = tuple(None if d is not None and d < 0 else d for d in shape)
        what = f"input_layer holds the shape {tuple(shape)}."
        raise InputMismatchError(describe(what, why="a size that is free is None", hint=f"{free}"))


def require_dense(x: object) -> None:
    """Refuse a tensor whose rows are of different lengths.

    Raises:
        InputMismatchError: It is one.
    """
    if hasattr(x, "row_splits"):
        raise InputMismatchError(
            describe(
                f"input_layer holds a {type(x).__name__}.",
                why="a Functional model takes arrays, whose rows are of one length",
                hint=RAGGED,
            )
        )


def dtype_of(array: ArrayLike) -> str:
    """The name of the dtype of a tensor or array.

    Raises:
        InputMismatchError: Keras has none for it.
    """
    if not isinstance(array, (np.ndarray, np.generic)):
        return internals.standardize_dtype(array.dtype)
    if array.dtype.kind in "SU" or (array.dtype.kind == "O" and _is_text(array)):
        return "string"
    try:
        return dtype_when_given(array)
    except ValueError as error:
        raise InputMismatchError(_no_dtype(array)) from error


def _is_text(array: np.ndarray | np.generic) -> bool:
    return all(isinstance(x, (str, bytes)) for x in np.ravel(array))


def _no_dtype(array: np.ndarray | np.generic) -> str:
    what = f"input_layer holds an array of dtype {array.dtype}."
    if array.dtype.kind != "O":
        return describe(what, why="Keras has no such dtype", hint=AS_NUMBERS)
    items = sorted(np.ravel(array), key=_is_number)
    why = f"it holds Python objects, such as {shown(items[0])} of type {type(items[0]).__name__}"
    cast = f'x.astype("{keras.config.floatx()}")'
    return describe(what, why=why, hint=cast if _is_number(items[0]) else AS_NUMBERS)


def _is_number(x: object) -> bool:
    return isinstance(x, (int, float, np.number, np.bool_))

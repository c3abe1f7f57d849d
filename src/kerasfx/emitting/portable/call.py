"""A call that is to be said by operations of Keras, and what its arguments are."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasfx.emitting.portable.sizes import CannotBeSaidError, Sizes
from kerasfx.ir import Node, Value, leaves_of, map_leaves
from kerasfx.ir.dims import Dim, Size
from kerasfx.runtime.functions import resolve


@dataclass(frozen=True)
class Call:
    """A call that is to be said.

    Attributes:
        node: The node.
        tensor_of: The tensor of a Value, or the array of a constant.
        sizes: The tensors of sizes.
    """

    node: Node
    tensor_of: Callable[[Value], Any]
    sizes: Sizes

    @cached_property
    def given(self) -> dict[str, Any]:
        """The arguments by name, Values and sizes as they are in the graph."""
        bound = inspect.signature(resolve(str(self.node.target))).bind(*self.node.args, **self.node.kwargs)
        bound.apply_defaults()
        return bound.arguments

    def tensor(self, name: str) -> Any:
        """An argument, a tensor in the place of a Value."""
        return self.with_tensors(self.given[name])

    def with_tensors(self, structure: object) -> Any:
        """Tensors in the places of Values, and sizes as they are."""
        return map_leaves(lambda x: self.tensor_of(x) if isinstance(x, Value) else x, structure)

    def shape_of(self, name: str) -> tuple[Size, ...]:
        """The sizes of a tensor that is an argument."""
        x = self.given[name]
        return tuple(x.shape) if isinstance(x, Value) else tuple(np.shape(x))

    @property
    def result(self) -> Value:
        """The only result."""
        (value,) = self.node.results
        return value


Saying = Callable[[Call], Any]
"""What gives the results of a call on symbolic tensors."""


def plain(x: Any, sizes: Sizes, met: set[str]) -> Any:
    """An argument as a file can hold it, beside tensors of the dtypes `met`."""
    floats = [d for d in met if "float" in d]
    if isinstance(x, Dim):
        return ops.cast(sizes.number(x), floats[0]) if floats else sizes.number(x)
    if isinstance(x, np.generic) or (isinstance(x, np.ndarray) and not x.ndim):
        # A file keeps the number alone, which takes the dtype that it meets; so does an int among floats.
        others = met - {"bool", dtype_of(x)} - (set(floats) if "int" in dtype_of(x) else set())
        if others or ("float" in dtype_of(x) and not floats):
            raise CannotBeSaidError(f"a file does not keep the dtype of a number of {dtype_of(x)}")
        return x.item()
    if x is None or x is Ellipsis or isinstance(x, (bool, int, float, str, np.ndarray, keras.KerasTensor)):
        return x
    try:
        return keras.backend.standardize_dtype(x)
    except (ValueError, TypeError, AttributeError):
        raise CannotBeSaidError(f"a file cannot hold an argument of type {type(x).__name__}") from None


def asks_for_size(x: object) -> bool:
    """Whether a free size is among arguments."""
    return any(isinstance(part, Dim) for part in leaves_of(x))


def as_tuple(x: Any) -> tuple[Any, ...]:
    """A tuple of what is one or a list, or of itself."""
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


def dtype_of(x: Any) -> str:
    """The dtype of a tensor or array."""
    return keras.backend.standardize_dtype(x.dtype)


def may_be_same(a: Size, b: Size) -> bool:
    """Whether two free sizes are one in the examples: the model is to ask where it runs."""
    return isinstance(a, Dim) and isinstance(b, Dim) and a.hints == b.hints

"""Shapes as the code of a backend sees them, with a `Dim` for each free size."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from kerasfx.ir import leaves_of
from kerasfx.ir.dims import Dim, as_tensor


class TensorShape(tuple[Any, ...]):
    """What `x.shape` is on TensorFlow: a tuple with the methods of `tf.TensorShape`."""

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self)

    ndims = rank

    @property
    def dims(self) -> list[Any]:
        """The sizes."""
        return list(self)

    def as_list(self) -> list[Any]:
        """The sizes."""
        return list(self)

    def num_elements(self) -> Any:
        """Product of the sizes."""
        return math.prod(self)

    def is_fully_defined(self) -> bool:
        """True: a tensor that runs has a size for each axis."""
        return True

    def __getitem__(self, key: Any) -> Any:
        got = super().__getitem__(key)
        return type(self)(got) if isinstance(key, slice) else got

    def __add__(self, other: Iterable[Any]) -> TensorShape:  # pyright: ignore[reportIncompatibleMethodOverride]
        return type(self)((*self, *other))

    def __radd__(self, other: Iterable[Any]) -> TensorShape:
        return type(self)((*other, *self))

    concatenate = __add__

    def merge_with(self, other: Iterable[Any]) -> TensorShape:
        """Itself; of `set_shape`, which tells TensorFlow what the trace knows.

        Raises:
            ValueError: `other` has another size for an axis.
        """
        for own, given in zip(self, other, strict=True):
            if given is not None and own != given:
                raise ValueError(f"Shapes {list(self)} and {other} are not compatible.")
        return self


class KnownSize(int):
    """A known size from a `SizeVector`: an int that can be indexed as the scalar tensor that it is."""

    def __getitem__(self, key: Any) -> Any:
        import tensorflow as tf

        return tf.constant(int(self))[key]


class SizeVector(tuple[Any, ...]):
    """What `tf.shape(x)` gives: sizes that calculate element by element, as a tensor does."""

    dtype = "int32"

    @property
    def shape(self) -> TensorShape:
        """Its own shape."""
        return TensorShape((len(self),))

    def __getitem__(self, key: Any) -> Any:
        # An index that is a tensor takes from the vector as the tensor that it is at run time.
        if not isinstance(key, slice) and not is_size(key):
            return as_tensor(list(self))[key]
        got = super().__getitem__(key)
        if isinstance(key, slice):
            return SizeVector(got)
        return KnownSize(got) if type(got) is int else got

    def _with(self, function: Callable[..., Any], other: object, reflected: bool = False) -> Any:
        others = list(other) if isinstance(other, (tuple, list, np.ndarray)) else [other] * len(self)
        if not all(is_size(x) for x in others) or len(others) != len(self):
            return NotImplemented
        pairs = zip(others, self, strict=True) if reflected else zip(self, others, strict=True)
        return SizeVector(function(a, b) for a, b in pairs)

    def __add__(self, other: object) -> Any:
        return self._with(operator.add, other)

    def __radd__(self, other: object) -> Any:
        return self._with(operator.add, other, reflected=True)

    def __sub__(self, other: object) -> Any:
        return self._with(operator.sub, other)

    def __rsub__(self, other: object) -> Any:
        return self._with(operator.sub, other, reflected=True)

    def __mul__(self, other: object) -> Any:
        return self._with(operator.mul, other)

    def __rmul__(self, other: object) -> Any:
        return self._with(operator.mul, other, reflected=True)

    def __floordiv__(self, other: object) -> Any:
        return self._with(operator.floordiv, other)

    def __mod__(self, other: object) -> Any:
        return self._with(operator.mod, other)


def is_size(x: object) -> bool:
    """Whether `x` is a size, free or known."""
    return isinstance(x, Dim) or (isinstance(x, (int, np.integer)) and not isinstance(x, bool))


def are_sizes(structure: object) -> bool:
    """Whether every leaf of a structure is a size, one of them free."""
    leaves = list(leaves_of(structure))
    return all(map(is_size, leaves)) and any(isinstance(x, Dim) for x in leaves)

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

    def with_(self, function: Callable[..., Any], other: object, reflected: bool = False) -> Any:
        """The sizes that `function` gives of each and its partner in `other`, or NotImplemented."""
        others = list(other) if isinstance(other, (tuple, list, np.ndarray)) else [other] * len(self)
        if not all(is_size(x) for x in others) or len(others) != len(self):
            return NotImplemented
        pairs = zip(others, self, strict=True) if reflected else zip(self, others, strict=True)
        return SizeVector(function(a, b) for a, b in pairs)

    def tensor(self) -> Any:
        """The tensor that the vector is at run time."""
        import tensorflow as tf

        is_known = not any(isinstance(size, Dim) for size in self)
        return tf.constant(list(self), "int32") if is_known else as_tensor(list(self))

    def __neg__(self) -> Any:
        return -self.tensor()

    # By identity, as of tensors: `==` says nothing about two objects.
    __hash__ = object.__hash__


def _of_sizes(function: Callable[..., Any], reflected: bool) -> Callable[[SizeVector, Any], Any]:
    """An operator that gives sizes."""
    return lambda self, other: self.with_(function, other, reflected)


def _of_tensors(function: Callable[..., Any], reflected: bool) -> Callable[[SizeVector, Any], Any]:
    """An operator that gives no sizes."""

    def method(self: SizeVector, other: Any) -> Any:
        sides = self.tensor(), other.tensor() if isinstance(other, SizeVector) else other
        return function(*(sides[::-1] if reflected else sides))

    return method


for _name in ("add", "sub", "mul", "floordiv", "mod"):
    setattr(SizeVector, f"__{_name}__", _of_sizes(getattr(operator, _name), reflected=False))
for _name in ("add", "sub", "mul"):
    setattr(SizeVector, f"__r{_name}__", _of_sizes(getattr(operator, _name), reflected=True))
for _name in ("eq", "ne", "lt", "le", "gt", "ge", "pow", "truediv"):
    setattr(SizeVector, f"__{_name}__", _of_tensors(getattr(operator, _name), reflected=False))
for _name in ("pow", "truediv", "floordiv", "mod"):
    setattr(SizeVector, f"__r{_name}__", _of_tensors(getattr(operator, _name), reflected=True))


def larger(a: Any, b: Any) -> Any:
    """The larger size, of vectors one by one."""
    return _one_by_one(max, a, b)


def smaller(a: Any, b: Any) -> Any:
    """The smaller size, of vectors one by one."""
    return _one_by_one(min, a, b)


def _one_by_one(function: Callable[..., Any], a: Any, b: Any) -> Any:
    if isinstance(a, SizeVector):
        return a.with_(function, b)
    return b.with_(function, a, reflected=True) if isinstance(b, SizeVector) else function(a, b)


def has_vector(structure: object) -> bool:
    """Whether a `SizeVector` is in a structure."""
    if isinstance(structure, SizeVector):
        return True
    inner = list(structure.values()) if isinstance(structure, dict) else structure
    return isinstance(inner, (list, tuple)) and any(map(has_vector, inner))


def is_size(x: object) -> bool:
    """Whether `x` is a size, free or known."""
    return isinstance(x, Dim) or (isinstance(x, (int, np.integer)) and not isinstance(x, bool))


def are_sizes(structure: object) -> bool:
    """Whether every leaf of a structure is a size, one of them free or in a vector."""
    leaves = list(leaves_of(structure))
    return all(map(is_size, leaves)) and (any(isinstance(x, Dim) for x in leaves) or has_vector(structure))

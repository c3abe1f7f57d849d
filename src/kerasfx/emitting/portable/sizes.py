"""Free sizes said by operations of Keras.

`ops.shape(x)` is no node of a graph: on a symbolic tensor it gives None. But a vector of the length that a
size is can be computed: the sum over all other axes of no elements at all is zero, once for each place along
the axis, whatever the tensor holds. From the vector come the number, `arange`, and zeros of any shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from keras import ops

from kerasfx.ir import Value
from kerasfx.ir.dims import Dim, Size

FEW = 64
"""Zeros of at most this many elements stand in the file as an array."""


class CannotBeSaidError(Exception):
    """No operation of Keras says what a call does with a size; the text says what."""


class Sizes:
    """The tensors of the sizes in one model.

    Args:
        tensor_of: The tensor that a Value has become.
        known: The Values that are computed already, newest first.
    """

    def __init__(self, tensor_of: Callable[[Value], Any], known: Callable[[], Iterator[Value]]):
        self.tensor_of = tensor_of
        self.known = known
        self._vectors: dict[tuple[Value, int], Any] = {}

    def vector(self, size: Size) -> Any:
        """Zeros, int32, as many as the size is.

        Raises:
            CannotBeSaidError: It is computed in a way that no operation follows.
        """
        if not isinstance(size, Dim):
            return np.zeros(size, "int32")
        if size.op == "axis":
            return self._along(*size.args)
        same = self._axis_like(size)
        return self._along(*same.args) if same is not None else self._computed(size)

    def _along(self, value: Value, axis: int) -> Any:
        if (value, axis) not in self._vectors:
            x = self.tensor_of(value)
            others = tuple(i for i in range(len(value.shape)) if i != axis)
            if not others:
                vector = ops.zeros_like(x, dtype="int32")
            else:
                key = tuple(slice(None) if i == axis else slice(0, 0) for i in range(len(value.shape)))
                vector = ops.sum(ops.cast(ops.get_item(x, key), "int32"), axis=others)
            self._vectors[value, axis] = vector
        return self._vectors[value, axis]

    def _axis_like(self, size: Dim) -> Dim | None:
        """The axis of some tensor that is known to be as long."""
        axes = (d for value in self.known() for d in value.shape if isinstance(d, Dim))
        return next((d for d in axes if d.op == "axis" and d.same_as(size)), None)

    def _computed(self, size: Dim) -> Any:
        a: Any = size.args[0]
        b: Any = size.args[-1]
        if size.op == "+":
            return ops.concatenate([self.vector(a), self.vector(b)])
        if size.op == "-" and isinstance(b, int):
            return ops.get_item(self.vector(a), (slice(b, None),))
        if size.op == "*":
            return ops.reshape(self.zeros((a, b)), (-1,))
        if size.op == "//" and isinstance(b, int) and b > 0:
            return ops.get_item(self.vector(a), (slice(b - 1, None, b),))
        if size.op == "min" and isinstance(b, int):
            return ops.get_item(self.vector(a), (slice(0, b),))
        raise CannotBeSaidError(f"a length that is {size}")

    def number(self, size: Size) -> Any:
        """The size itself, int32 without axes.

        Raises:
            CannotBeSaidError: As `vector`, or it is no whole number.
        """
        if not isinstance(size, Dim):
            return size
        if not size.is_whole:
            raise CannotBeSaidError(f"{size}, which Python computes in double precision")
        return ops.sum(ops.add(self.vector(size), 1))

    def numbers(self, size: Size) -> Any:
        """0, 1, 2 and so on, int32, as many as the size is."""
        if not isinstance(size, Dim):
            return np.arange(size, dtype="int32")
        return ops.subtract(ops.cumsum(ops.add(self.vector(size), 1)), 1)

    def zeros(self, shape: Sequence[Size]) -> Any:
        """Zeros of this shape, int32."""
        found = None
        for axis, size in enumerate(shape):
            if isinstance(size, Dim):
                along = ops.reshape(self.vector(size), _along_axis(axis, -1, len(shape)))
                found = along if found is None else plus(found, along)
        fixed = [1 if isinstance(d, Dim) else d for d in shape]
        if found is None or int(np.prod(fixed)) <= FEW:
            array = np.zeros(fixed, "int32")
            return array if found is None else plus(found, array) if any(d != 1 for d in fixed) else found
        for axis, size in enumerate(fixed):
            found = ops.repeat(found, size, axis=axis) if size != 1 else found
        return found


def plus(x: Any, y: Any) -> Any:
    """The sum, broadcast: the `add` of Keras takes a `y` with one long axis for a bias on TensorFlow."""
    return ops.subtract(x, ops.negative(y))


def _along_axis(axis: int, size: int, rank: int) -> tuple[int, ...]:
    return tuple(size if i == axis else 1 for i in range(rank))

"""einops: its functions ask for a backend by the type of a tensor, and get one that records `keras.ops`.

The prepared model does not need einops. Nothing is registered there, so nothing is left behind.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras

from kerasfx.tracing.recorder import Args, Function, Kwargs, Recorder
from kerasfx.tracing.tensor import TracedTensor


def patches() -> Iterator[tuple[Any, str, Callable[..., Any]]]:
    """What is replaced while tracing: owner, name, `replacement(session, original, args, kwargs)`."""
    if "einops" not in sys.modules:
        return
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "einops" and "get_backend" in vars(module):
            yield module, "get_backend", _backend_of


def _backend_of(session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    (tensor,) = args
    if not issubclass(type(tensor), TracedTensor):
        return original(tensor)
    with session.pause():
        return _Recording(original(keras.ops.zeros(())))


class _Shape(tuple[Any, ...]):
    """einops caches what it works out for a shape, unless the shape has no hash."""

    __hash__ = None  # pyright: ignore[reportAssignmentType]


class _Recording:
    """The part of `einops._backends.AbstractBackend` that einops calls on a tensor.

    Args:
        own: What einops has for real tensors of the running backend.
    """

    def __init__(self, own: Any):
        self._own = own

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def is_float_type(self, x: TracedTensor) -> bool:
        return _is_float(x)

    def shape(self, x: TracedTensor) -> _Shape:
        return _Shape(x.value.shape)

    def reshape(self, x: TracedTensor, shape: Iterable[Any]) -> Any:
        return keras.ops.reshape(x, tuple(shape))

    def transpose(self, x: TracedTensor, axes: Iterable[int]) -> Any:
        return keras.ops.transpose(x, tuple(axes))

    def add_axes(self, x: TracedTensor, n_axes: int, pos2len: dict[int, Any]) -> Any:
        wide: Any = x
        for axis in pos2len:
            wide = keras.ops.expand_dims(wide, axis)
        return keras.ops.broadcast_to(wide, [pos2len.get(k, d) for k, d in enumerate(wide.value.shape)])

    def stack_on_zeroth_dimension(self, tensors: list[Any]) -> Any:
        return keras.ops.stack(tensors)

    def concat(self, tensors: list[Any], axis: int) -> Any:
        return keras.ops.concatenate(tensors, axis=axis)

    def reduce(self, x: TracedTensor, operation: str, axes: tuple[int, ...]) -> Any:
        # Integers are summed up in other dtypes by each backend.
        keeps_dtype = _is_float(x) or operation in ("min", "max")
        if keeps_dtype or (x.value.dtype == "bool" and operation in ("any", "all")):
            return getattr(keras.ops, operation)(x, axis=axes)
        return self._own.reduce(x, operation, axes)

    def einsum(self, pattern: str, *tensors: TracedTensor) -> Any:
        if all(_is_float(x) for x in tensors):
            return keras.ops.einsum(pattern, *tensors)
        return self._own.einsum(pattern, *tensors)


def _is_float(x: TracedTensor) -> bool:
    return "float" in keras.backend.standardize_dtype(x.dtype)

"""Calls that rearrange tensors, or make them, by sizes that are free.

Each gives the same elements as the call that it says, and the same gradients: it moves them, or chooses
between an element and zero.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kerasfx.emitting.portable.call import (
    Call,
    Saying,
    as_tuple,
    asks_for_size,
    dtype_of,
    may_be_same,
    plain,
)
from kerasfx.emitting.portable.sizes import CannotBeSaidError, plus
from kerasfx.ir import Value, leaves_of, map_leaves
from kerasfx.ir.dims import Dim, Size, is_one, is_same_size

# Shapes


def _reshape(call: Call) -> Any:
    x, before = call.tensor("x"), call.shape_of("x")
    # What is left for a -1 may be known.
    known = zip(as_tuple(call.given["newshape"]), call.result.shape, strict=True)
    shape = tuple(own if isinstance(own, int) else d for d, own in known)
    free = [i for i, d in enumerate(shape) if isinstance(d, Dim) or d == -1]
    target = tuple(-1 if i in free else d for i, d in enumerate(shape))
    if len(free) <= 1:
        return ops.reshape(x, target)
    if len(free) > 2 or not before or not may_be_same(shape[0], before[0]):
        return _by_rows(call, x, shape, free[-1] + 1)
    if not is_same_size(shape[0], before[0]):
        x = _if_as_long(x, call.sizes.vector(shape[0]), call.sizes.vector(before[0]))
    # It asks for the size of the first axis itself.
    return keras.layers.Reshape(target[1:], dtype=dtype_of(x) if "float" in dtype_of(x) else None)(x)


def _by_rows(call: Call, x: Any, shape: tuple[Size, ...], count: int) -> Any:
    """The rows of `x` in an arrangement of several free sizes, by their numbers."""
    lead = [call.result.shape[i] if d == -1 else d for i, d in enumerate(shape[:count])]
    lead = [d.origin() if isinstance(d, Dim) else d for d in lead]
    if any(isinstance(d, Dim) and any(v is call.result for v in d.values()) for d in lead):
        raise CannotBeSaidError("it leaves a size to be computed beside other free sizes")
    rows = ops.reshape(x, (-1, *shape[count:]))
    place: Any = None
    for axis, size in enumerate(lead):
        along = ops.reshape(call.sizes.numbers(size), tuple(-1 if i == axis else 1 for i in range(count)))
        place = along if place is None else plus(ops.multiply(place, call.sizes.number(size)), along)
    # Fails, as the reshape does, where the numbers of rows differ.
    first = ops.get_item(rows, (slice(None), *[slice(0, 0)] * (len(shape) - count)))
    counts = ops.cast(first, "int32")
    if len(shape) > count:
        counts = ops.sum(counts, axis=tuple(range(1, 1 + len(shape) - count)))
    return ops.take(rows, _if_as_long(place, ops.reshape(place, (-1,)), counts), axis=0)


def _if_as_long(x: Any, a: Any, b: Any) -> Any:
    """`x` itself; running it fails where two vectors are not of one length."""
    nothing = ops.sum(ops.get_item(ops.stack([a, b]), (slice(0, 0),)))
    return ops.where(ops.equal(nothing, 0), x, _zero_of(x))


def _zero_of(x: Any) -> Any:
    return False if dtype_of(x) == "bool" else 0 if "int" in dtype_of(x) else 0.0


def _broadcast_to(call: Call) -> Any:
    return _spread(call, call.tensor("x"), call.shape_of("x"), as_tuple(call.given["shape"]))


def _spread(call: Call, x: Any, before: tuple[Size, ...], shape: tuple[Size, ...]) -> Any:
    """`x` repeated along the axes that it has not, or of which it has one."""
    padded = (*[1] * (len(shape) - len(before)), *before)
    wanted = [1 if is_same_size(d, own) else d for d, own in zip(shape, padded, strict=True)]
    return ops.where(ops.equal(call.sizes.zeros(wanted), 0), x, _zero_of(x))


def _tile(call: Call) -> Any:
    before, repeats = call.shape_of("x"), as_tuple(call.given["repeats"])
    padded = (*[1] * (len(repeats) - len(before)), *before)
    repeats = (*[1] * (len(padded) - len(repeats)), *repeats)
    if any(not (is_one(d) or is_one(n)) for d, n in zip(padded, repeats, strict=True)):
        raise CannotBeSaidError("it repeats an axis of several elements beside a free number of times")
    shape = tuple(n if is_one(d) else d for d, n in zip(padded, repeats, strict=True))
    return _spread(call, call.tensor("x"), before, shape)


def _repeat(call: Call) -> Any:
    before, axis = call.shape_of("x"), call.given["axis"]
    if axis is None or not is_one(before[axis]):
        raise CannotBeSaidError("it repeats several elements a free number of times")
    shape = list(before)
    shape[axis] = call.given["repeats"]
    return _spread(call, call.tensor("x"), before, tuple(shape))


# New tensors


def _zeros(call: Call) -> Any:
    return ops.cast(call.sizes.zeros(as_tuple(call.given["shape"])), call.result.dtype)


def _ones(call: Call) -> Any:
    return ops.cast(ops.add(call.sizes.zeros(as_tuple(call.given["shape"])), 1), call.result.dtype)


def _arange(call: Call) -> Any:
    start, stop, step = (call.given[k] for k in ("start", "stop", "step"))
    start, stop = (0, start) if stop is None else (start, stop)
    is_plain = (
        isinstance(start, int) and start == 0 and (step is None or (isinstance(step, int) and step == 1))
    )
    if not is_plain or not isinstance(stop, Dim):
        raise CannotBeSaidError("its limits are free sizes, other than in arange(size)")
    return ops.cast(call.sizes.numbers(stop), call.result.dtype)


# Parts


def _slice(call: Call) -> Any:
    x, before = call.tensor("inputs"), call.shape_of("inputs")
    starts, shape = call.given["start_indices"], as_tuple(call.given["shape"])
    if any(isinstance(s, Value) for s in leaves_of(starts)):
        raise CannotBeSaidError("it takes a part by a free size, from a place that is computed")
    for axis, (start, size) in enumerate(zip(as_tuple(starts), shape, strict=True)):
        x = _part(call, x, before[axis], axis, start, size)
    return x


def _part(call: Call, x: Any, before: Size, axis: int, start: Size, size: Size) -> Any:
    """The elements along one axis, `size` of them from `start` on."""
    if isinstance(start, int) and start == 0 and is_same_size(size, before):
        return x
    if isinstance(start, int) and isinstance(size, int):
        return ops.get_item(x, (*[slice(None)] * axis, slice(start, start + size)))
    places = call.sizes.numbers(size)
    if isinstance(before, int) and isinstance(start, int):
        # Fails, as the slice does, where there are not as many: elsewhere JAX takes the last one again.
        cut = ops.get_item(places, (slice(0, before - start),))
        places = ops.get_item(ops.stack([cut, places]), (0,))
    elif not is_same_size(call.result.shape[axis], size):
        raise CannotBeSaidError("it takes a part by a free size, and nothing says that there are as many")
    return ops.take(x, ops.add(places, call.sizes.number(start)), axis=axis)


def get_item(call: Call) -> Any:
    """`keras.ops.get_item`, whose operation knows no new axes."""
    x, before, key = call.tensor("x"), call.shape_of("x"), as_tuple(call.given["key"])
    if not asks_for_size(key):
        return _with_new_axes(call, x, key)
    if not all(isinstance(k, slice) for k in key):
        raise CannotBeSaidError("it takes a part by a free size, beside another index")
    for axis, k in enumerate(key):
        if asks_for_size(k):
            start = 0 if k.start is None else k.start
            size = (before[axis] if k.stop is None else k.stop) - start
            if k.step not in (None, 1) or not is_same_size(size, call.result.shape[axis]):
                raise CannotBeSaidError("it takes a part by a free size, and nothing says how long that is")
            x = ops.take(x, ops.add(call.sizes.numbers(size), call.sizes.number(start)), axis=axis)
    plain = tuple(slice(None) if asks_for_size(k) else k for k in key)
    return x if all(k == slice(None) for k in plain) else ops.get_item(x, plain)


def _with_new_axes(call: Call, x: Any, key: tuple[Any, ...]) -> Any:
    """A part of `x`, and then the new axes for which there is a None in the key."""
    key = map_leaves(lambda k: plain(k, call.sizes, set()), call.with_tensors(key))
    taken = tuple(k for k in key if k is not None)
    if len(taken) < len(key) and not all(
        k is None or k is Ellipsis or isinstance(k, (int, slice)) for k in key
    ):
        raise CannotBeSaidError("it adds axes beside an index that is a tensor")
    x = ops.get_item(x, taken) if taken else x
    axes = [0 if isinstance(k, int) else 1 for k in key]
    new = [i for i, k in enumerate(key) if k is None]
    # Counted from the end where there is an Ellipsis before, so the last first.
    behind = [i for i in new if Ellipsis in key[:i]]
    for i in (i for i in new if i not in behind):
        x = ops.expand_dims(x, sum(axes[:i]))
    for i in reversed(behind):
        x = ops.expand_dims(x, -1 - sum(axes[i + 1 :]))
    return x


WITH_SIZES: dict[str, Saying] = {
    "keras.ops.reshape": _reshape,
    "keras.ops.broadcast_to": _broadcast_to,
    "keras.ops.tile": _tile,
    "keras.ops.repeat": _repeat,
    "keras.ops.zeros": _zeros,
    "keras.ops.ones": _ones,
    "keras.ops.arange": _arange,
    "keras.ops.slice": _slice,
}
"""How calls are said that ask for free sizes."""

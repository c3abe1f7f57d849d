"""Functions after which the numbers of a tensor are the same, in the same order.

On PyTorch a tensor may be a view that lies in memory in another order than that of its axes, or with gaps. A
function that copies puts it in order, and sums and products of what lies in order may differ in their last
bit from those of a view. So there a copy is left out only where what it copies lies in order already.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras

from kerasfx.ir import Node, Value
from kerasfx.passes.clean_up.same_numbers import argument, is_alike, moved

VIEWS = tuple(f"keras.ops.{name}" for name in ("expand_dims", "squeeze"))
COPIES = tuple(f"keras.ops.{name}" for name in ("copy", "ravel", "reshape"))
"""A reshape is a view where it can be one, and otherwise a copy."""

OF_ONE_SHAPE = tuple(f"keras.ops.{name}" for name in ("broadcast_to", "cast"))
"""They give the numbers of `x` in its order where they give its shape and dtype."""

PERMUTING = ("keras.ops.transpose", "keras.ops.swapaxes", "keras.ops.moveaxis")

FAR = 20
"""How many functions in a row are looked at: each of them asks about those before it."""

IN_ORDER = ("Dense", "Embedding")
"""Layers whose result lies in order, whatever they take."""


def keeps_order(node: Node) -> bool:
    """Whether a function gives the numbers of its first argument in their order, in whatever shape."""
    x = moved(node.outputs) if isinstance(node.outputs, Value) else None
    if x is None or node.function in (*VIEWS, *COPIES):
        return x is not None
    if node.function in OF_ONE_SHAPE:
        return is_alike(x, node.outputs)
    if node.function == "keras.ops.get_item":
        return takes_all(argument(node, 1, "key"))
    order = permutation(node)
    return order is not None and list(order) == sorted(order)


def is_view(node: Node) -> bool:
    """Whether the result of a function that keeps the order lies in memory as its first argument does."""
    return node.function in (*VIEWS, *PERMUTING, "keras.ops.get_item") or keras.backend.backend() != "torch"


def lies_in_order(value: Value, in_body: bool) -> bool:
    """Whether a tensor is known to lie in memory in the order of its axes, without gaps.

    Args:
        value: Any Value.
        in_body: Whether it is in the body of control flow, whose inputs may be any views.
    """
    if keras.backend.backend() != "torch":
        return True
    first = _first_in_memory(value)
    node = first.node
    if node is None:
        return first.is_known or not in_body
    return _is_product(node) or any(_is_of(node, name) for name in IN_ORDER)


def _is_product(node: Node) -> bool:
    """Whether it multiplies by a tensor of no more axes: by one of more, the result may be a view."""
    if node.function != "keras.ops.matmul":
        return False
    a, b = argument(node, 0, "x1"), argument(node, 1, "x2")
    return isinstance(a, Value) and isinstance(b, Value) and len(a.shape) >= len(b.shape)


def _first_in_memory(value: Value) -> Value:
    """What lies in order only if `value` does: functions that leave it so, or put it so, are passed by."""
    for _ in range(FAR):
        x = moved(value)
        if x is None or value.node is None or value.node.function not in (*VIEWS, *COPIES):
            break
        value = x
    return value


def _is_of(node: Node, name: str) -> bool:
    return node.calls_layer(getattr(keras.layers, name))


def takes_all(key: object) -> bool:
    """Whether a key takes everything, and at most makes new axes."""
    parts = key if isinstance(key, (tuple, list)) else (key,)
    return all(p is None or p is Ellipsis or _is_whole(p) for p in parts)


def _is_whole(part: object) -> bool:
    # Not `==`: of a size that is free it would be a question.
    return isinstance(part, slice) and all(x is None for x in (part.start, part.stop, part.step))


def permutation(node: Node) -> tuple[int, ...] | None:
    """For a function that permutes axes: which axis of its argument each axis of the result is."""
    x = moved(node.outputs) if isinstance(node.outputs, Value) else None
    if x is None or node.function not in PERMUTING:
        return None
    rank = len(x.shape)
    if node.function == "keras.ops.transpose":
        axes = argument(node, 1, "axes")
        return _whole(axes, rank) if axes is not None else tuple(reversed(range(rank)))
    if node.function == "keras.ops.swapaxes":
        pair = _whole([argument(node, 1, "axis1"), argument(node, 2, "axis2")], rank)
        return pair and swapped_axes(rank, *pair)
    source, destination = argument(node, 1, "source"), argument(node, 2, "destination")
    sources, targets = (_whole(x if isinstance(x, Sequence) else (x,), rank) for x in (source, destination))
    return None if sources is None or targets is None else moved_axes(rank, sources, targets)


def _whole(axes: object, rank: int) -> tuple[int, ...] | None:
    """Axes as numbers from 0 on, if they are ints."""
    if not isinstance(axes, Sequence) or not all(type(a) is int for a in axes):
        return None
    return tuple(a % rank for a in axes)


def swapped_axes(rank: int, a: int, b: int) -> tuple[int, ...]:
    """Which axis each axis is of a result in which two are swapped."""
    order = list(range(rank))
    order[a], order[b] = b, a
    return tuple(order)


def moved_axes(rank: int, sources: Sequence[int], targets: Sequence[int]) -> tuple[int, ...]:
    """Which axis each axis is of a result in which some are moved."""
    order = [a for a in range(rank) if a not in sources]
    for target, source in sorted(zip(targets, sources, strict=True)):
        order.insert(target, source)
    return tuple(order)

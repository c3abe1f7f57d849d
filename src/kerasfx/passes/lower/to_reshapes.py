"""Functions that only give elements another place to `Reshape`, `Flatten`, `Permute` and `RepeatVector`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from kerasfx.ir import Graph, Value
from kerasfx.ir.dims import Dim, Size, hint, is_one, is_same_size
from kerasfx.ir.match import Match, Pattern, any_
from kerasfx.passes.clean_up.order_in_memory import moved_axes, swapped_axes, takes_all
from kerasfx.passes.lower.plain_layers import X, computing, is_axis, moving
from kerasfx.passes.lower.rule import Replacement, Rule, lower
from kerasfx.passes.patterns import op


def to_reshapes(graph: Graph) -> bool:
    """Apply the rules of this family; returns whether any was."""
    return lower(graph, RULES)


# Reshape, and Flatten where one axis is left


def _reshape(graph: Graph, found: Match) -> Replacement | None:
    shape, result = found["shape"], found.root.results[0]
    if not isinstance(shape, (list, tuple)) or not all(isinstance(d, Dim) or type(d) is int for d in shape):
        return None
    if not shape or not result.shape or not _keeps_first(found["x"], result, shape):
        return None
    return _to_shape(found, result.shape)


def _keeps_first(x: Value, result: Value, shape: Sequence[Any]) -> bool:
    """Whether the first size of a new shape is that of `x` for all sizes."""
    first, *rest = shape
    if any(is_same_size(x.shape[0], size) for size in (first, result.shape[0])):
        return True
    known = [d for d in (*x.shape[1:], *result.shape[1:]) if isinstance(d, int)]
    if len(known) == len(x.shape) + len(result.shape) - 2:
        # As many elements on both sides, of which as many go to each of the first axis.
        return math.prod(x.shape[1:]) == math.prod(result.shape[1:]) > 0
    if isinstance(first, Dim) or first != -1 or not isinstance(x.shape[0], Dim):
        return False
    count = math.prod(rest)
    # What is left for the first axis is its size; a second -1 leaves that open.
    return hint(count) > 0 and x.shape[0].same_as(math.prod(x.shape) // count)


def _same_elements(graph: Graph, found: Match) -> Replacement | None:
    """For a function that takes axes of size 1 away, or puts some there."""
    x, result = found["x"], found.root.results[0]
    if not result.shape or not is_same_size(x.shape[0], result.shape[0]):
        return None
    sizes = [d for d in result.shape[1:] if not is_one(d)]
    kept = [d for d in x.shape[1:] if not is_one(d)]
    # A free size goes on in its place: the axes of size 1 are all that may be others.
    if len(sizes) != len(kept) or not all(map(is_same_size, kept, sizes)):
        return None
    return _to_shape(found, list(result.shape))


def _to_shape(found: Match, shape: Sequence[Size]) -> Replacement | None:
    target = tuple(-1 if isinstance(d, Dim) else d for d in shape[1:])
    x = found["x"]
    # One size follows from the number of elements.
    if target.count(-1) > 1 or 0 in target or not target:
        return None
    if len(target) == 1 and len(x.shape) > 2:
        # Said in full: what the layer takes for its default is a setting of the day.
        return moving(found, "Flatten", x, data_format="channels_last")
    return moving(found, "Reshape", x, target_shape=target)


def _indexed(graph: Graph, found: Match) -> Replacement | None:
    """`x[:, None]`: only new axes among whole ones."""
    return _same_elements(graph, found) if takes_all(found["key"]) else None


# Permute


def _transpose(graph: Graph, found: Match) -> Replacement | None:
    axes = found["axes"]
    return _permuted(found, axes) if axes is not None else None


def _swapped(graph: Graph, found: Match) -> Replacement | None:
    rank = len(found["x"].shape)
    return _permuted(found, swapped_axes(rank, found["a"] % rank, found["b"] % rank))


def _moved(graph: Graph, found: Match) -> Replacement | None:
    rank = len(found["x"].shape)
    sources, targets = ([a % rank for a in _listed(found[k])] for k in ("source", "target"))
    return _permuted(found, moved_axes(rank, sources, targets))


def _permuted(found: Match, axes: Sequence[int]) -> Replacement | None:
    x = found["x"]
    order = [a % len(x.shape) for a in axes]
    if len(order) < 2 or order[0] != 0:
        return None
    return moving(found, "Permute", x, dims=tuple(order[1:]))


def _listed(axes: Any) -> list[int]:
    return list(axes) if isinstance(axes, (list, tuple)) else [axes]


def _are_axes(axes: object) -> bool:
    return all(is_axis(a) for a in (axes if isinstance(axes, (list, tuple)) else [axes]))


# RepeatVector


def _repeat_vector(graph: Graph, found: Match) -> Replacement | None:
    x = found["x"]
    if len(x.shape) != 2 or found["axis"] not in (1, -2) or found["n"] < 1:
        return None
    return computing(found, "RepeatVector", x, n=found["n"])


def _is_count(n: object) -> bool:
    return type(n) is int


Build = Callable[[Graph, Match], Replacement | None]


def _rule(function: str, pattern: Pattern, build: Build, layer: str = "Reshape") -> Rule:
    return Rule(f"{function} to {layer}", (f"keras.ops.{function}",), pattern, build)


AXES = any_("axes", lambda axes: axes is None or _are_axes(axes))
VECTOR = op.expand_dims(X, any_("axis", is_axis))

RULES = [
    # Before the new axis is a Reshape.
    _rule("repeat", op.repeat(VECTOR, any_("n", _is_count), axis=1), _repeat_vector, "RepeatVector"),
    _rule("reshape", op.reshape(X, any_("shape")), _reshape),
    _rule("ravel", op.ravel(X), _same_elements),
    _rule("expand_dims", op.expand_dims(X, any_()), _same_elements),
    _rule("squeeze", op.squeeze(X, any_()), _same_elements),
    _rule("get_item", op.get_item(X, any_("key")), _indexed),
    _rule("transpose", op.transpose(X, AXES), _transpose, "Permute"),
    _rule("swapaxes", op.swapaxes(X, any_("a", is_axis), any_("b", is_axis)), _swapped, "Permute"),
    _rule(
        "moveaxis", op.moveaxis(X, any_("source", _are_axes), any_("target", _are_axes)), _moved, "Permute"
    ),
]

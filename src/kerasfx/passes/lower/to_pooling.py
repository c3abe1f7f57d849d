"""Means and maxima over the places of an image or a series to pooling layers.

The layers call the very functions: `ops.mean`, `ops.max`, `ops.max_pool` and their kin.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from kerasfx.ir import Graph
from kerasfx.ir.match import Match, Pattern, any_
from kerasfx.passes.lower.plain_layers import X, computing
from kerasfx.passes.lower.rule import Replacement, Rule, lower
from kerasfx.passes.patterns import op

RANKS = (3, 4, 5)
"""A batch, one to three axes of places, and channels."""


def to_pooling(graph: Graph) -> bool:
    """Apply the rules of this family; returns whether any was."""
    return lower(graph, RULES)


def _global_pooling(kind: str, found: Match) -> Replacement | None:
    x = found["x"]
    data_format = _layout_pooled(found["axis"], len(x.shape))
    if data_format is None:
        return None
    config = {"data_format": data_format, "keepdims": found["keepdims"]}
    return computing(found, f"Global{kind}Pooling{len(x.shape) - 2}D", x, **config)


def _layout_pooled(axis: Any, rank: int) -> str | None:
    """The layout of a tensor if all of its places are pooled, and nothing else.

    The layer for a series says one axis by an int, the others say a list, in order. Of a series the last
    axis is taken for channels: over these a mean is no pooling.
    """
    if rank not in RANKS or not _is_written_as_layers_do(axis, rank):
        return None
    axes = [a % rank for a in ([axis] if rank == 3 else axis)]
    if axes == list(range(1, rank - 1)):
        return "channels_last"
    return "channels_first" if rank > 3 and axes == list(range(2, rank)) else None


def _is_written_as_layers_do(axis: Any, rank: int) -> bool:
    if rank == 3:
        return type(axis) is int
    return isinstance(axis, (list, tuple)) and all(type(a) is int for a in axis)


def _pooling(kind: str, found: Match) -> Replacement | None:
    x, strides = found["x"], found["strides"]
    places = len(x.shape) - 2
    pool_size = _per_axis(found["size"], places)
    if len(x.shape) not in RANKS or pool_size is None:
        return None
    strides = pool_size if strides is None else _per_axis(strides, places)
    if strides is None or found["padding"].lower() not in ("valid", "same"):
        return None
    return computing(
        found,
        f"{kind}Pooling{places}D",
        x,
        pool_size=pool_size,
        strides=strides,
        padding=found["padding"].lower(),
        data_format=_layout(found),
    )


def _adaptive_pooling(kind: str, found: Match) -> Replacement | None:
    x = found["x"]
    size = _per_axis(found["size"], len(x.shape) - 2)
    if len(x.shape) not in RANKS or size is None:
        return None
    config = {"output_size": size, "data_format": _layout(found)}
    return computing(found, f"Adaptive{kind}Pooling{len(size)}D", x, **config)


def _per_axis(size: Any, places: int) -> tuple[int, ...] | None:
    """A positive size for each axis of places."""
    sizes = (size,) * places if type(size) is int else size
    is_said = isinstance(sizes, (list, tuple)) and all(type(s) is int and s > 0 for s in sizes)
    return tuple(sizes) if is_said and len(sizes) == places else None


def _layout(found: Match) -> str:
    """The layout in full: what it is by default is a setting of the day."""
    return found["layout"] or keras.config.image_data_format()


def _is_layout(x: object) -> bool:
    return x is None or x in ("channels_last", "channels_first")


SIZE, LAYOUT = any_("size"), any_("layout", _is_layout, "a layout")
KEPT = any_("keepdims", lambda x: isinstance(x, bool), "True or False")


def _rule(name: str, pattern: Pattern, build: Callable[[Match], Replacement | None], layer: str) -> Rule:
    return Rule(f"{name} to {layer}", (f"keras.ops.{name}",), pattern, lambda graph, found: build(found))


def _rules(kind: str, reduction: str, verb: str) -> list[Rule]:
    """The rules for `ops.<reduction>`, `ops.<verb>_pool` and `ops.adaptive_<verb>_pool`."""
    reduce, pool, adapt = reduction, f"{verb}_pool", f"adaptive_{verb}_pool"
    reduced = getattr(op, reduce)(X, axis=any_("axis"), keepdims=KEPT)
    pooled = getattr(op, pool)(
        X,
        SIZE,
        strides=any_("strides"),
        padding=any_("padding", lambda x: isinstance(x, str)),
        data_format=LAYOUT,
    )
    adapted = getattr(op, adapt)(X, SIZE, data_format=LAYOUT)
    return [
        _rule(reduce, reduced, lambda found: _global_pooling(kind, found), f"Global{kind}Pooling"),
        _rule(pool, pooled, lambda found: _pooling(kind, found), f"{kind}Pooling"),
        _rule(adapt, adapted, lambda found: _adaptive_pooling(kind, found), f"Adaptive{kind}Pooling"),
    ]


RULES = [*_rules("Average", "mean", "average"), *_rules("Max", "max", "max")]

"""Padding, cutting, repeating and resizing of places to `ZeroPadding`, `Cropping`, `UpSampling`, `Resizing`.

The layers call the very functions, but for `Cropping`: it refuses what is shorter than what it cuts off,
where a slice gives nothing. So it stands only where sizes are known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from kerasfx.ir import Graph, Value
from kerasfx.ir.build import FLOATS
from kerasfx.ir.dims import Dim, Size, is_same_size
from kerasfx.ir.match import Match, Pattern, any_, either
from kerasfx.passes.lower.plain_layers import INTEGERS, X, computing, is_axis, moving
from kerasfx.passes.lower.rule import Exact, Replacement, Rule, always, lower
from kerasfx.passes.patterns import op

RANKS = (3, 4, 5)

Pair = tuple[int, int]


def to_resizing(graph: Graph) -> bool:
    """Apply the rules of this family; returns whether any was."""
    return lower(graph, RULES)


def _per_place(pairs: Sequence[Pair], layouts: Sequence[str]) -> tuple[Any, dict[str, str]] | None:
    """What a layer is told of pairs, one for each axis of a tensor, and in which layout.

    None if something other than places, or nothing, is concerned.
    """
    concerned = [k for k, pair in enumerate(pairs) if pair != (0, 0)]
    if len(pairs) not in RANKS or not concerned or concerned[0] == 0:
        return None
    for layout in layouts:
        first = 1 if layout == "channels_last" else 2
        places = range(first, first + len(pairs) - 2)
        if set(concerned) <= set(places):
            chosen = tuple(pairs[k] for k in places)
            return chosen[0] if len(chosen) == 1 else chosen, {"data_format": layout}
    return None


LAYOUTS = ("channels_last", "channels_first")


# ZeroPadding


def _padding(graph: Graph, found: Match) -> Replacement | None:
    x, widths = found["x"], found["widths"]
    pairs = _pairs(widths, len(x.shape))
    told = _per_place(pairs, LAYOUTS) if pairs else None
    if told is None:
        return None
    padding, layout = told
    return computing(found, f"ZeroPadding{len(x.shape) - 2}D", x, padding=padding, **layout)


def _pairs(widths: Any, rank: int) -> list[Pair] | None:
    """The widths in front and behind, where they are said for each axis."""
    if not isinstance(widths, (list, tuple)) or len(widths) != rank:
        return None
    is_said = all(isinstance(w, (list, tuple)) and len(w) == 2 and all(map(_is_width, w)) for w in widths)
    return [(before, after) for before, after in widths] if is_said else None


def _is_width(n: object) -> bool:
    return type(n) is int and n >= 0


# Cropping


def _cropping(graph: Graph, found: Match) -> Replacement | None:
    x, key = found["x"], found["key"]
    parts = list(key) if isinstance(key, (list, tuple)) else [key]
    cut = [_cut_off(*pair) for pair in zip(_of_each_axis(parts, len(x.shape)), x.shape, strict=False)]
    pairs = [pair for pair in cut if pair is not None]
    told = _per_place(pairs, _layouts(x)) if len(pairs) == len(x.shape) else None
    if told is None:
        return None
    cropping, layout = told
    # That for a series has no argument for it.
    config = layout if len(x.shape) > 3 else {}
    return computing(found, f"Cropping{len(x.shape) - 2}D", x, cropping=cropping, **config)


def _picked(graph: Graph, found: Match) -> Replacement | None:
    """Indices among the parts of a key: all but these places are cut off, and the axes of size 1 go."""
    x, result = found["x"], found.root.results[0]
    parts = list(found["key"]) if isinstance(found["key"], (list, tuple)) else [found["key"]]
    if len(result.shape) < 2 or any(part is None for part in parts):
        return None
    each = _of_each_axis(parts, len(x.shape))
    if not any(type(part) is int for part in each) or type(each[0]) is int:
        return None
    pairs = [_cut_off(*pair) for pair in zip(map(_as_slice, each), x.shape, strict=True)]
    target = tuple(-1 if isinstance(d, Dim) else d for d in result.shape[1:])
    if None in pairs or target.count(-1) > 1 or x.dtype not in (*FLOATS, *INTEGERS):
        return None
    if any(pair != (0, 0) for pair in pairs):
        told = _per_place([pair for pair in pairs if pair], _layouts(x))
        if told is None:
            return None
        x = _cropped(graph, found, told)
    return moving(found, "Reshape", x, target_shape=target)


def _as_slice(part: Any) -> Any:
    """A part that takes what an index takes, and leaves the axis."""
    return slice(part, part + 1 if part != -1 else None) if type(part) is int else part


def _cropped(graph: Graph, found: Match, told: tuple[Any, dict[str, str]]) -> Value:
    x, root = found["x"], found.root
    config = {"cropping": told[0], "dtype": x.dtype, **(told[1] if len(x.shape) > 3 else {})}
    name = f"keras.layers.Cropping{len(x.shape) - 2}D"
    node = graph.make(name, x, like=root, wish=f"{root.name}_cropping", **config)
    graph.insert_before(root, node)
    return node.results[0]


def _layouts(x: Value) -> Sequence[str]:
    """In which layouts it may be cropped: the layer for a series knows one."""
    return LAYOUTS if len(x.shape) > 3 else LAYOUTS[:1]


def _of_each_axis(parts: list[Any], rank: int) -> list[Any]:
    """The parts of a key, one for each axis."""
    k = next((k for k, part in enumerate(parts) if part is Ellipsis), len(parts))
    before, after = parts[:k], parts[k + 1 :]
    return [*before, *[slice(None)] * (rank - len(before) - len(after)), *after]


def _cut_off(part: Any, size: Size) -> Pair | None:
    """How many elements a part of a key cuts off in front and behind; None if it does anything else."""
    if not isinstance(part, slice) or part.step not in (None, 1) or isinstance(part.step, bool):
        return None
    if part.start is None and part.stop is None:
        return 0, 0
    if not isinstance(size, int) or not all(n is None or type(n) is int for n in (part.start, part.stop)):
        return None
    start, stop, _ = part.indices(size)
    return (start, size - stop) if start < stop else None


# UpSampling


def _repeated(graph: Graph, found: Match) -> Replacement | None:
    x, rank = found["x"], len(found["x"].shape)
    times = {axis % rank: found[n] for axis, n in _repeats(found)}
    places = range(1, rank - 1)
    if rank not in RANKS or len(times) != len(list(_repeats(found))) or not set(times) <= set(places):
        return None
    size = tuple(times.get(k, 1) for k in places)
    # In full, where there is a choice: what it is by default is a setting of the day.
    config = {"size": size, "data_format": "channels_last"} if rank > 3 else {"size": size[0]}
    return computing(found, f"UpSampling{rank - 2}D", x, **config)


def _repeats(found: Match) -> Any:
    return ((found[f"axis{k}"], f"n{k}") for k in (1, 2) if f"axis{k}" in found)


def _is_in_order(found: Match) -> bool:
    """The layer repeats the rows first: else gradients are summed in another order."""
    rank = len(found["x"].shape)
    return found["axis1"] % rank < found["axis2"] % rank


def _is_count(n: object) -> bool:
    return type(n) is int and n > 0


def _repeat(x: Pattern, k: int) -> Pattern:
    return op.repeat(x, any_(f"n{k}", _is_count, "a count"), axis=any_(f"axis{k}", is_axis, "an axis"))


# Resizing


def _resized(graph: Graph, found: Match) -> Replacement | None:
    x, size = found["x"], found["size"]
    if len(x.shape) != 4 or not isinstance(size, (list, tuple)) or len(size) != 2:
        return None
    layout = found["layout"] or keras.config.image_data_format()
    how = found["interpolation"]
    if all(_is_count(s) for s in size):
        config = {"height": size[0], "width": size[1], "antialias": found["antialias"]}
        return computing(found, "Resizing", x, interpolation=how, data_format=layout, **config)
    factors = [_factor(s, d) for s, d in zip(size, x.shape[1:3], strict=True)]
    # For the other layout it would turn the image, and turn it back.
    if layout != "channels_last" or found["antialias"] or None in factors:
        return None
    return computing(
        found, "UpSampling2D", x, size=tuple(factors), interpolation=how, data_format="channels_last"
    )


def _is_resized_by_itself(found: Match) -> bool:
    """`UpSampling` repeats where Keras would take the nearest: gradients are summed in another order."""
    return found["interpolation"] != "nearest" or all(isinstance(s, int) for s in found["size"])


def _factor(new: Size, old: Size) -> int | None:
    """The number by which a size is multiplied, whatever it is."""
    if not isinstance(old, Dim) or not isinstance(new, Dim):
        known = isinstance(old, int) and isinstance(new, int) and old > 0 and new % old == 0
        return new // old if known and isinstance(new, int) and isinstance(old, int) else None
    numbers = (n for n in range(1, MOST + 1) if is_same_size(new, old * n))
    return next(numbers, None)


MOST = 16
"""Who resizes a free size by more than this is left alone."""

Build = Callable[[Graph, Match], Replacement | None]


def _rule(name: str, pattern: Pattern, build: Build, layer: str, is_exact: Exact = always) -> Rule:
    return Rule(f"{name} to {layer}", (f"keras.ops.{name}",), pattern, build, is_exact)


ZERO = either(any_(where=lambda x: x is None, what="None"), 0.0)

RULES = [
    _rule(
        "pad",
        op.pad(X, any_("widths"), mode="constant", constant_values=ZERO),
        _padding,
        "ZeroPadding",
    ),
    _rule("get_item", op.get_item(X, any_("key")), _cropping, "Cropping"),
    _rule("get_item", op.get_item(X, any_("key")), _picked, "Cropping and Reshape"),
    # Both axes before one of them.
    _rule("repeat", _repeat(_repeat(X, 1), 2), _repeated, "UpSampling", _is_in_order),
    _rule("repeat", _repeat(X, 1), _repeated, "UpSampling"),
    _rule(
        "image.resize",
        op.image.resize(
            X,
            any_("size"),
            interpolation=any_("interpolation", lambda x: isinstance(x, str)),
            antialias=any_("antialias", lambda x: isinstance(x, bool)),
            data_format=any_("layout", lambda x: x is None or isinstance(x, str)),
        ),
        _resized,
        "Resizing",
        _is_resized_by_itself,
    ),
]

"""Structures: tuples, lists, dicts and slices around what a call takes or gives."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

MAX_ITEM = 60
MAX_NUMBERS = 8
"""Of what is longer the text form shows the beginning, or the count."""


def map_leaves(function: Callable[[Any], Any], structure: object) -> Any:
    """Apply `function` to everything inside tuples, lists, dicts and slices."""
    if isinstance(structure, tuple):
        return _tuple_like(structure, [map_leaves(function, s) for s in structure])
    if isinstance(structure, list):
        return [map_leaves(function, s) for s in structure]
    if isinstance(structure, dict):
        return {k: map_leaves(function, s) for k, s in structure.items()}
    if isinstance(structure, slice):
        parts = (structure.start, structure.stop, structure.step)
        return slice(*(map_leaves(function, p) for p in parts))
    return function(structure)


def _tuple_like(given: tuple[object, ...], items: list[object]) -> tuple[object, ...]:
    kind: Any = type(given)
    if hasattr(given, "_fields"):
        return kind(*items)
    # What `torch.topk` returns is a tuple of a class of its own, made of a sequence like all of its kind.
    return kind(items) if hasattr(given, "n_sequence_fields") else tuple(items)


def leaves_of(structure: object) -> Iterator[Any]:
    """Yield what `map_leaves` visits, in its order."""
    found: list[Any] = []
    _collect(structure, found)
    return iter(found)


# Into a list and not from a generator in a generator: every look at a node asks for its leaves.
def _collect(structure: Any, found: list[Any]) -> None:
    if isinstance(structure, (tuple, list)):
        items = structure
    elif isinstance(structure, dict):
        items = structure.values()
    elif isinstance(structure, slice):
        items = (structure.start, structure.stop, structure.step)
    else:
        found.append(structure)
        return
    for item in items:
        if isinstance(item, _STRUCTURES):
            _collect(item, found)
        else:
            found.append(item)


_STRUCTURES = (tuple, list, dict, slice)


def shown(x: object, special: Callable[[object], str | None] = lambda _: None) -> str:
    """Write a structure for readers; `special` writes what it knows, and None for the rest."""

    def inner(part: object) -> str:
        return shown(part, special)

    text = special(x)
    if text is not None:
        return text
    if isinstance(x, (tuple, list)):
        left, right = "()" if isinstance(x, tuple) else "[]"
        comma = "," if isinstance(x, tuple) and len(x) == 1 else ""
        return f"{left}{', '.join(map(inner, x))}{comma}{right}"
    if isinstance(x, dict):
        return "{" + ", ".join(f"{k}: {inner(v)}" for k, v in x.items()) + "}"
    if isinstance(x, slice):
        parts = (x.start, x.stop) if x.step is None else (x.start, x.stop, x.step)
        return ":".join("" if p is None else inner(p) for p in parts)
    return _plain(x)


def _plain(x: object) -> str:
    if x is Ellipsis:
        return "..."
    if isinstance(x, (np.ndarray, np.generic)):  # their `repr` has many lines and changes with NumPy
        return f"array({shown_array(x)}, {x.dtype})" if x.shape else f"{x.dtype}({x.tolist()})"
    text = re.sub(r"\n\s*", " ", repr(x))
    # An address is another one in every process.
    if " at 0x" in text:
        text = f"<{type(x).__name__}>"
    return text if len(text) <= MAX_ITEM else f"{text[: MAX_ITEM - 3]}..."


def shown_array(array: np.ndarray | np.generic) -> str:
    """Few numbers as they are, many by their count."""
    return str(array.tolist()) if array.size <= MAX_NUMBERS else f"<{array.size} numbers>"


def identifier(path: str) -> str:
    """Turn `blocks[0].attention` into `blocks_0_attention`."""
    cleaned = "".join(c if c.isalnum() and c.isascii() else "_" for c in path.replace("]", ""))
    return cleaned.strip("_")

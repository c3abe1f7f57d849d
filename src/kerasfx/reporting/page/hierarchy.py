"""The layers of the original as a tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kerasfx.reporting.page.differences import Shown


@dataclass(eq=False)
class Part:
    """A layer of the original.

    Attributes:
        entry: What the report says of it.
        label: The end of its path, which the tree shows.
        parent: What it is a part of.
        level: How deep it is, 1 for the model.
        children: Its parts.
        layers: The names of the layers of the result that come from it and from its parts.
        difference: How far these are from the original.
    """

    entry: Mapping[str, Any]
    label: str
    parent: Part | None
    level: int
    children: list[Part] = field(default_factory=list)
    layers: set[str] = field(default_factory=set)
    difference: Shown | None = None


def parts_of(before: Sequence[Mapping[str, Any]]) -> list[Part]:
    """The parts of a model, each before its own: the rows of the tree."""
    roots: list[Part] = []
    by_path: dict[str | None, Part] = {}
    for entry in before:
        parent = by_path.get(entry["parent"])
        part = Part(entry, _label(entry), parent, parent.level + 1 if parent else 1)
        by_path[entry["path"]] = part
        (parent.children if parent else roots).append(part)
    return list(_in_order(roots))


def _label(entry: Mapping[str, Any]) -> str:
    path, parent = entry["path"], entry["parent"]
    inside = path.removeprefix(parent or "")
    return inside.removeprefix(".") or path or "(the model)"


def _in_order(parts: Iterable[Part]) -> Iterator[Part]:
    waiting = list(reversed(list(parts)))
    while waiting:
        part = waiting.pop()
        yield part
        waiting.extend(reversed(part.children))

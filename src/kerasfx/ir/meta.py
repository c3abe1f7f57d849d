"""Notes of passes on a node or a graph, found by their class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import TypeVar, cast

T = TypeVar("T")


class Meta:
    """A dictionary whose keys are dataclasses and whose values are their instances.

    Free strings would meet in the dark; a class has a home, a docstring, and fields that have types:

        @dataclass(frozen=True)
        class BitWidth:
            bits: int

        node.meta[BitWidth] = BitWidth(8)
        node.meta[BitWidth].bits
    """

    def __init__(self) -> None:
        self._notes: dict[type, object] = {}

    def __getitem__(self, key: type[T]) -> T:
        return cast(T, self._notes[key])

    def get(self, key: type[T]) -> T | None:
        """The note of that class, or None."""
        return cast("T | None", self._notes.get(key))

    def __setitem__(self, key: type[T], value: T) -> None:
        """Set the note of a class.

        Raises:
            TypeError: The key is no dataclass, or the value no instance of it.
        """
        if not (isinstance(key, type) and is_dataclass(key)):
            raise TypeError(f"A key of meta is a dataclass, not {key!r}: write meta[Note] = Note(...).")
        if not isinstance(value, key):
            kind = type(value).__name__
            raise TypeError(f"meta[{key.__name__}] is a {key.__name__}, not a {kind}: {value!r}.")
        self._notes[key] = value

    def __delitem__(self, key: type[object]) -> None:
        del self._notes[key]

    def __contains__(self, key: object) -> bool:
        return key in self._notes

    def __iter__(self) -> Iterator[type]:
        return iter(self._notes)

    def __len__(self) -> int:
        return len(self._notes)

    def __repr__(self) -> str:
        return f"Meta({', '.join(map(repr, self._notes.values()))})"

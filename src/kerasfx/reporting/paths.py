"""Many paths as few: `blocks[0].attention` to `blocks[11].attention` are `blocks[0..11].attention`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

SHOWN = 4
"""How many folded paths are listed."""

MODEL = "(the model)"
"""What stands in the place of the empty path."""


def folded(paths: Iterable[str]) -> str:
    """Paths in a few words; the rest is counted where they are too different to be folded."""
    once = list(dict.fromkeys(paths))
    found = _folded_names(_folded_numbers(once))
    shown = ", ".join(path or MODEL for path in found[:SHOWN])
    more = len(found) - SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def counted(paths: Sequence[str]) -> str:
    """Paths in a few words, and how many they are."""
    return f"{folded(paths)} ({len(paths)})" if len(paths) > 1 else folded(paths)


def _folded_numbers(paths: list[str]) -> list[str]:
    """One for those that differ in numbers alone, if they are all there are of these numbers."""
    groups: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for path in paths:
        parts = re.split(r"(\d+)", path)
        groups.setdefault(tuple(parts[::2]), []).append(tuple(parts[1::2]))
    return [path for words, numbers in groups.items() for path in _of_one_form(words, numbers)]


def _of_one_form(words: tuple[str, ...], numbers: list[tuple[str, ...]]) -> list[str]:
    columns = [list(dict.fromkeys(column)) for column in zip(*numbers, strict=True)]
    if math.prod(map(len, columns)) == len(numbers):
        return [_joined(words, list(map(_range, columns)))]
    # Folded by the last number, for each of the numbers before.
    heads: dict[tuple[str, ...], list[str]] = {}
    for *head, last in numbers:
        heads.setdefault(tuple(head), []).append(last)
    return [_joined(words, [*head, _range(lasts)]) for head, lasts in heads.items()]


def _joined(words: tuple[str, ...], numbers: list[str]) -> str:
    text = words[0]
    for number, word in zip(numbers, words[1:], strict=True):
        # Brackets are there already in a list; a name with a number has none.
        is_single = number.isdigit() or (text.endswith("[") and word.startswith("]"))
        text += (number if is_single else f"{{{number}}}") + word
    return text


def _range(numbers: list[str]) -> str:
    """`0..11`, or `0,2,5` where some are missing; `01..12` where they are written so."""
    found = sorted(numbers, key=int)
    between = range(int(found[0]), int(found[-1]) + 1)
    if len(found) > 2 and found == [str(number).zfill(len(found[0])) for number in between]:
        return f"{found[0]}..{found[-1]}"
    return ",".join(found)


def _folded_names(paths: list[str]) -> list[str]:
    """`dense.{kernel,bias}` for paths that differ in their last step alone."""
    groups: dict[str, list[str]] = {}
    for path in paths:
        head, _, last = path.rpartition(".")
        groups.setdefault(head, []).append(last)
    return [path for head, lasts in groups.items() for path in _of_one_parent(head, lasts)]


def _of_one_parent(head: str, lasts: list[str]) -> list[str]:
    if not head or len(lasts) == 1 or len(lasts) > SHOWN:
        return [f"{head}.{last}" if head else last for last in lasts]
    return [f"{head}.{{{','.join(lasts)}}}"]

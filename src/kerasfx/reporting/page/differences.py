"""How far each layer is from the original: a number, and one of a few colours for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

BOUNDS = (1e-7, 1e-6, 1e-5, 1e-3)
"""Below which difference a layer has the first colour, the second, and so on."""

CELLS = 240
"""How many layers the strip tells apart; of a larger model a cell is the worst of several."""


@dataclass(frozen=True)
class Shown:
    """A difference as the page shows it.

    Attributes:
        level: 0 for none, 1 to 5 by size, 6 where no number says it; a class of the style sheet.
        text: The number.
        within: Whether it is within tolerance.
        size: What differences are ordered by.
    """

    level: int
    text: str
    within: bool
    size: float

    @property
    def rank(self) -> tuple[bool, float]:
        """Larger for the worse."""
        return not self.within, self.size


def difference_by_layer(comparison: Mapping[str, Any] | None) -> dict[str, Shown]:
    """What a comparison that was made `by_layer` knows of each layer of the result."""
    return {found["layer"]: _shown(found) for found in (comparison or {}).get("layers", [])}


def _shown(found: Mapping[str, Any]) -> Shown:
    value = found["max_abs_difference"]
    if found["exact"]:
        return Shown(0, "exact", found["within"], 0.0)
    if value is None:
        return Shown(6, "not comparable", found["within"], float("inf"))
    return Shown(1 + sum(value >= bound for bound in BOUNDS), f"{value:.1e}", found["within"], value)


def of_several(found: Sequence[Shown | None]) -> Shown | None:
    """What is said of a part by its layers: the worst, or exact, and of how many that is known."""
    compared = [shown for shown in found if shown]
    largest = worst(compared)
    if largest and not largest.level and len(compared) < len(found):
        return replace(largest, text=f"exact, {len(compared)}/{len(found)}")
    return largest


def worst(found: Iterable[Shown | None]) -> Shown | None:
    """The worst of several, None when nothing was compared."""
    return max((shown for shown in found if shown), key=lambda shown: shown.rank, default=None)


def legend_of(comparison: Mapping[str, Any] | None) -> list[tuple[int, str]]:
    """The colours and what they stand for, when layers were compared."""
    if not (comparison or {}).get("layers"):
        return []
    below = [(level, f"< {bound:.0e}".replace("e-0", "e-")) for level, bound in enumerate(BOUNDS, start=1)]
    return [(0, "exact"), *below, (len(BOUNDS) + 1, "more"), (6, "not comparable")]


def strip_of(shown: Sequence[Shown | None]) -> list[tuple[int, int, Shown]]:
    """The cells of the strip in which something was compared: where, which layer is meant, how far it is."""
    cells = min(CELLS, len(shown))
    strip = []
    for cell in range(cells):
        first, end = len(shown) * cell // cells, len(shown) * (cell + 1) // cells
        found = worst(shown[first:end])
        if found:
            strip.append((cell, first + shown[first:end].index(found), found))
    return strip

"""How many layers of the prepared zoo are built-in, without and with lowering: `make zoo-layers`.

python -m benchmarks.zoo.layers hub_t5 bf_unet          some of the entries, on the backend of the day
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras

import kerasfx
from benchmarks.zoo import PACKAGE_OF, VISION, built, not_applicable
from benchmarks.zoo.example import Example
from benchmarks.zoo.verdict import aligned

OUTPUT = Path("build/zoo")

SIDE = ("layers", "built-in", "functions", "others", "built-in, %")
HEADER = ("entry", *SIDE, *(f"lowered: {name}" for name in SIDE))

GOALS = {"vision": 95, "all": 85}
"""The share of built-in layers, in percent, that lowering is for."""


@dataclass(frozen=True)
class Count:
    """The layers of a prepared model, or of several, without its inputs.

    Attributes:
        built_in: Layers of Keras.
        functions: Layers of kerasfx that call one function.
        others: What else is there: weights that are shared, masks put on or off, layers kept whole.
    """

    built_in: int
    functions: int
    others: int

    @property
    def layers(self) -> int:
        """All of them."""
        return self.built_in + self.functions + self.others

    @property
    def share(self) -> float:
        """The share of those that are built-in, in percent."""
        return 100 * self.built_in / self.layers if self.layers else 100.0

    def cells(self) -> tuple[str, ...]:
        """A side of a row, as `SIDE` says."""
        numbers = (self.layers, self.built_in, self.functions, self.others)
        return (*map(str, numbers), f"{self.share:.1f}")

    def __add__(self, other: Count) -> Count:
        return Count(
            self.built_in + other.built_in, self.functions + other.functions, self.others + other.others
        )


def counted(model: keras.Model) -> Count:
    """The layers of a prepared model by kind."""
    layers = [x for x in model.layers if not isinstance(x, keras.layers.InputLayer)]
    built_in = sum(type(x).__module__.startswith("keras.src.layers.") for x in layers)
    functions = sum(isinstance(x, kerasfx.layers.Op) for x in layers)
    return Count(built_in, functions, len(layers) - built_in - functions)


def counts(example: Example) -> tuple[Count, Count]:
    """The layers of what is prepared without lowering, and with it."""
    example.call({})
    before, after = (
        counted(kerasfx.prepare_model(example.model, example.input_layer(), lower=lower, verify=False))
        for lower in (False, True)
    )
    return before, after


def table(found: dict[str, tuple[Count, Count]]) -> str:
    """A row for each entry, and one for those of vision and for all, with the goals."""
    rows = [_row(entry, [pair]) for entry, pair in found.items()]
    groups = {"vision": [found[e] for e in VISION if e in found], "all": list(found.values())}
    totals = [_row(f"{name} (goal {GOALS[name]} %)", pairs) for name, pairs in groups.items()]
    return "\n".join(aligned([HEADER, ["---"] * len(HEADER), *rows, *totals]))


def _row(name: str, pairs: Sequence[tuple[Count, Count]]) -> tuple[str, ...]:
    sides = (_sum(pair[k] for pair in pairs) for k in (0, 1))
    return (name, *(cell for side in sides for cell in side.cells()))


def _sum(parts: Iterable[Count]) -> Count:
    return sum(parts, start=Count(0, 0, 0))


def main(entries: Sequence[str]) -> None:
    """Counts, and writes the table."""
    found: dict[str, tuple[Count, Count]] = {}
    working = [entry for entry in PACKAGE_OF if not not_applicable(entry, keras.backend.backend())]
    for entry in entries or working:
        keras.utils.set_random_seed(0)
        found[entry] = counts(built(entry))
        print(f"{entry:25} {found[entry][0].share:5.1f} % -> {found[entry][1].share:5.1f} %", flush=True)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    path = OUTPUT / f"layers-{keras.backend.backend()}.md"
    path.write_text(f"{table(found)}\n")
    print(f"\n{table(found)}\n\nwritten to {path}")


if __name__ == "__main__":
    main(sys.argv[1:])

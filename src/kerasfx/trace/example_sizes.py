"""The example sizes of a trace, and what to try when they do not fit together.

Free sizes are given unlike sizes axis by axis, so that they are not taken for one another. Some models want
inputs whose sizes fit: a mask of shape (batch, length, length), or a free size that meets a known one. Where
an op is refused for the first example sizes, others are tried, and what had to be fixed is reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

from kerasfx.dims import Dim
from kerasfx.errors import InputMismatchError, describe
from kerasfx.inputs import InputSpec
from kerasfx.ir import Input, leaves_of

BATCH_HINTS = (5, 7)
"""Example sizes of a free first dimension."""

Hints = Mapping[str, Sequence[int]]
"""Example sizes by input name."""

Axis = tuple[str, int]
"""Name of an input and number of an axis."""


@dataclass
class Clashes:
    """What a trace met.

    Attributes:
        refused: How many ops were refused for the example sizes.
        met: Free sizes of inputs that met a known size there, and that size.
        read: Free sizes of inputs whose number Python has read, and that number.
    """

    refused: int = 0
    met: dict[Axis, int] = field(default_factory=dict)
    read: dict[Axis, int] = field(default_factory=dict)

    def note_refused(self, operands: Any) -> None:
        """Note an op that was refused for these operands."""
        self.refused += 1
        shapes = [x.shape for x in leaves_of(operands) if hasattr(x, "shape")]
        for mine, theirs in permutations(shapes, 2):
            for free, known in zip(reversed(mine), reversed(theirs), strict=False):
                if isinstance(free, Dim) and isinstance(known, int) and known != 1 and free.op == "axis":
                    self.met.update((found, known) for found in input_axes(free))

    def note_read(self, dim: Dim) -> None:
        """Note that Python has read a number computed from free sizes."""
        for axis in dim.origin().axes():
            self.read.update((found, axis.hints[0]) for found in input_axes(axis))


def input_axes(dim: Dim) -> list[Axis]:
    """The axis of an input that `dim` is, if it is one."""
    origin = dim.origin()
    if origin.op != "axis" or not isinstance(origin.args[0].producer, Input):
        return []
    return [(origin.args[0].producer.name, origin.args[1])]


@dataclass(frozen=True)
class ExampleSizes:
    """Example sizes for the free sizes of all inputs.

    Attributes:
        hints: What the user gave.
        alike: Whether all lengths, of whatever axis, are the same.
        fixed: Free sizes that are known in the result, because nothing else fits.
    """

    hints: Hints
    alike: bool = False
    fixed: Mapping[Axis, int] = field(default_factory=dict)

    def fixed_axes(self, spec: InputSpec) -> dict[int, int]:
        """The axes of an input that have a fixed size, and that size."""
        return {k: n for (name, k), n in self.fixed.items() if name == spec.name}

    def of(self, spec: InputSpec) -> list[tuple[int, int]]:
        """A pair of sizes for each axis; a fixed one has two alike."""
        fixed = self.fixed_axes(spec)
        return [(fixed[k], fixed[k]) if k in fixed else pair for k, pair in enumerate(self._pairs(spec))]

    def _pairs(self, spec: InputSpec) -> list[tuple[int, int]]:
        """What was hinted; by default multiples of 32, which windows and strides divide."""
        if spec.name not in self.hints:
            batch = self._batch(spec)
            axes = [1 if self.alike else k for k in range(1, len(spec.shape))]
            return [batch, *((32 * (k + 2), 32 * (2 * k + 4)) for k in axes)]
        sizes = self.hints[spec.name]
        if len(sizes) != len(spec.shape):
            raise InputMismatchError(
                describe(f"hints for '{spec.name}' have {len(sizes)} sizes, its shape is {spec.shape}.")
            )
        # Twice the size keeps what divides it; a batch is seldom divided.
        return [(n, n + 2 if k == 0 else 2 * n) for k, n in enumerate(sizes)]

    def _batch(self, spec: InputSpec) -> tuple[int, int]:
        """That of an example, or of the other inputs: inputs of one call are seldom of unlike batches."""
        given = [spec.batch, *(sizes[0] for sizes in self.hints.values() if sizes)]
        # A batch of one would be broadcast, and is the wrong example of many.
        n = next((n for n in given if n is not None and n > 1), None)
        return BATCH_HINTS if n is None else (n, n + 2)


def attempts(inputs: list[InputSpec], hints: Hints, clashes: Clashes) -> Iterator[ExampleSizes]:
    """Yield example sizes to try in turn; `clashes` are those of the attempt before."""
    yield ExampleSizes(hints)
    if clashes.read:
        # What was computed from the number does not fit a second example.
        yield ExampleSizes(hints, fixed=dict(clashes.read))
    lengths = [(s.name, k) for s in inputs for k, d in enumerate(s.shape) if d is None and k > 0]
    hinted = {(name, k): hints[name][k] for name, k in lengths if name in hints}
    if hinted:
        yield ExampleSizes(hints, fixed={**clashes.read, **hinted})
    elif len({k for _, k in lengths}) > 1:
        yield ExampleSizes(hints, alike=True)
    met = {axis: n for axis, n in clashes.met.items() if axis in lengths}
    if met:
        yield ExampleSizes(hints, fixed={**clashes.read, **hinted, **met})

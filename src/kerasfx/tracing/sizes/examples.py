"""The example sizes of a trace, and what to try when they do not fit together.

Free sizes are given unlike sizes axis by axis, so that they are not taken for one another. Some models want
inputs whose sizes fit: a mask of shape (batch, length, length), or a free size that meets a known one. Where
an op is refused for the first example sizes, others are tried, and what had to be fixed is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import permutations
from typing import Any

from kerasfx.errors import InputMismatchError, describe
from kerasfx.inputs import InputSpec
from kerasfx.ir import Input, SourceLine, leaves_of
from kerasfx.ir.dims import COMPARISONS, Dim, Question
from kerasfx.tracing.sizes.guards import inputs_behind

BATCH_HINTS = (5, 7)
"""Example sizes of a free first dimension."""

MOST_TABLES = 3
"""How often example sizes are made shorter."""

LONGER = (8, 64)
"""How many times as long as usual the example sizes are where a model is refused with the usual ones."""

Hints = Mapping[str, Sequence[int]]
"""Example sizes by input name."""

Axis = tuple[str, int]
"""Name of an input and number of an axis."""


@dataclass(frozen=True)
class Seeming:
    """A size that is the same for all example sizes, and another one for other sizes.

    Attributes:
        name: Name of the Value.
        axis: Its axis.
        size: What it seems to be.
        others: The free sizes of inputs that it comes from, each with one for which it is another.
        source: The user's line.
    """

    name: str
    axis: int
    size: int
    others: Mapping[Axis, int]
    source: SourceLine | None


@dataclass(frozen=True)
class Refusal:
    """A call that was refused for the example sizes.

    Attributes:
        operands: Its arguments, positional and by keyword.
        infer: Infers its result for the sizes that a function gives, and raises where they do not fit.
        known: Shapes that it has to fit besides, those of a layer's weights.
    """

    operands: tuple[tuple[Any, ...], dict[str, Any]]
    infer: Callable[[Callable[[Any], Any]], Any]
    known: Sequence[tuple[Any, ...]] = ()


@dataclass
class Clashes:
    """What the attempts met.

    Attributes:
        refusals: The calls that the attempt at hand was refused.
        before: The example sizes tried before, each with the calls refused.
        met: Free sizes of inputs that met a known size there, and that size.
        cut: Free sizes of inputs that may be longer than what is cut at them, and the lengths of that.
        read: Free sizes of inputs whose number Python has read, and that number.
        seeming: The size that only seems to be known, if any.
        asked: What Python asked last about a free size.
    """

    refusals: list[Refusal] = field(default_factory=list)
    before: list[tuple[ExampleSizes, list[Refusal]]] = field(default_factory=list)
    met: dict[Axis, int] = field(default_factory=dict)
    cut: dict[Axis, set[int]] = field(default_factory=dict)
    read: dict[Axis, int] = field(default_factory=dict)
    seeming: Seeming | None = None
    asked: Question | None = None

    @property
    def is_clean(self) -> bool:
        """Whether the example sizes served."""
        return not self.refusals and self.seeming is None

    def start(self, sizes: ExampleSizes) -> None:
        """Note that a trace with these example sizes begins."""
        self.refusals, self.seeming, self.asked = [], None, None
        self.before.append((sizes, self.refusals))

    def with_free_sizes(self) -> list[tuple[ExampleSizes, list[Refusal]]]:
        """Of what was tried with all sizes free and unlike, the last and the first."""
        tried = [(sizes, found) for sizes, found in self.before if not sizes.fixed and not sizes.alike]
        return [*tried[:0:-1][:1], *tried[:1]]

    def note_refused(self, refusal: Refusal) -> None:
        """Note a call that was refused."""
        self.refusals.append(refusal)
        operands = refusal.operands
        self._note_cut(operands)
        shapes = [x.shape for x in leaves_of(operands) if hasattr(x, "shape")]
        for mine, theirs in permutations(shapes, 2):
            # From the end, where broadcasting begins; a 1 clashes with nothing.
            for free, known in zip(reversed(mine), reversed(theirs), strict=False):
                if isinstance(free, Dim) and isinstance(known, int) and known != 1 and free.op == "axis":
                    self.met.update((found, known) for found in input_axes(free))
                    self._note_limits(free, {known})

    def note_raised(self) -> None:
        """Note an exception, maybe the user's about sizes that are not equal, or no multiple."""
        question = self.asked
        if question is not None and question.symbol in ("==", "!="):
            sides = ((question.dim,), (question.other,))
            # In front: this ended the attempt, where a layer that refused another call may have stayed whole.
            self.refusals.insert(0, Refusal((sides, {}), partial(_require_other_answer, question), sides))

    def _note_cut(self, operands: Any) -> None:
        """A size among the arguments may be where a tensor of known sizes is cut."""
        leaves = list(leaves_of(operands))
        known = {n for x in leaves if hasattr(x, "shape") for n in x.shape if isinstance(n, int) and n > 1}
        for dim in leaves:
            for axis in dim.axes() if isinstance(dim, Dim) else ():
                self._note_limits(axis, known)

    def _note_limits(self, size: Dim, limits: set[int]) -> None:
        for axis, times in _sources(size):
            self.cut.setdefault(axis, set()).update(times * n for n in limits)

    def note_read(self, dim: Dim) -> None:
        """Note that Python has read a number computed from free sizes."""
        for axis in dim.origin().axes():
            self.read.update((found, axis.hints[0]) for found in input_axes(axis))


def _require_other_answer(question: Question, size: Callable[[Any], Any]) -> None:
    sides = size(question.dim), size(question.other)
    if COMPARISONS[question.symbol](*sides) == question.answer:
        raise ValueError(f"{question} is {question.answer} again")


def input_axes(dim: Dim) -> list[Axis]:
    """The axis of an input that `dim` is, if it is one."""
    origin = dim.origin()
    if origin.op != "axis" or not isinstance(origin.args[0].producer, Input):
        return []
    return [(origin.args[0].producer.name, origin.args[1])]


def _sources(dim: Dim) -> Iterator[tuple[Axis, int]]:
    """The lengths of inputs that `dim` is, or that it seems to be an equal part of, and in how many parts."""
    own = input_axes(dim)
    yield from ((axis, 1) for axis in own)
    for value in () if own else inputs_behind(dim):
        for k, length in enumerate(value.shape):
            # In as many parts for both sets of example sizes, as a length behind strides is.
            if k and isinstance(length, Dim) and all(d and not n % d for n, d in _pairs_of(length, dim)):
                times = {n // d for n, d in _pairs_of(length, dim)}
                yield from (((value.producer.name, k), n) for n in times if len(times) == 1)  # pyright: ignore


def _pairs_of(length: Dim, part: Dim) -> Iterator[tuple[Any, Any]]:
    return zip(length.hints, part.hints, strict=True)


@dataclass(frozen=True)
class ExampleSizes:
    """Example sizes for the free sizes of all inputs.

    Attributes:
        hints: What the user gave.
        alike: Whether all lengths, of whatever axis, are the same.
        fixed: Free sizes that are known in the result, because nothing else fits.
        tried: Free sizes with a pair of example sizes of their own.
        batch: The batch of an example, for the inputs that were given otherwise.
        times: How many times as long as usual the lengths are.
    """

    hints: Hints
    alike: bool = False
    fixed: Mapping[Axis, int] = field(default_factory=dict)
    tried: Mapping[Axis, tuple[int, int]] = field(default_factory=dict)
    batch: int | None = None
    times: int = 1

    def fixed_axes(self, spec: InputSpec) -> dict[int, int]:
        """The axes of an input that have a fixed size, and that size."""
        return {k: n for (name, k), n in self.fixed.items() if name == spec.name}

    def of(self, spec: InputSpec) -> list[tuple[int, int]]:
        """A pair of sizes for each axis; a fixed one has two alike."""
        own = {k: pair for (name, k), pair in self.tried.items() if name == spec.name}
        own |= {k: (n, n) for k, n in self.fixed_axes(spec).items()}
        return [own.get(k, pair) for k, pair in enumerate(self._pairs(spec))]

    def _pairs(self, spec: InputSpec) -> list[tuple[int, int]]:
        """What was hinted; by default multiples of 32, which windows and strides divide."""
        if spec.name not in self.hints:
            batch = self._batch(spec)
            axes = [1 if self.alike else k for k in range(1, len(spec.shape))]
            return [batch, *((32 * (k + 2) * self.times, 64 * (k + 2) * self.times) for k in axes)]
        sizes = self.hints[spec.name]
        if len(sizes) != len(spec.shape):
            raise InputMismatchError(
                describe(f"hints for '{spec.name}' have {len(sizes)} sizes, its shape is {spec.shape}.")
            )
        # Twice the size keeps what divides it; a batch is seldom divided.
        return [(n, n + 2 if k == 0 else 2 * n) for k, n in enumerate(sizes)]

    def _batch(self, spec: InputSpec) -> tuple[int, int]:
        """That of an example, or of the other inputs: inputs of one call are seldom of unlike batches."""
        given = [spec.batch, *(sizes[0] for sizes in self.hints.values() if sizes), self.batch]
        # A batch of one would be broadcast, and is the wrong example of many.
        n = next((n for n in given if n is not None and n > 1), None)
        return BATCH_HINTS if n is None else (n, n + 2)


def attempts(inputs: list[InputSpec], hints: Hints, clashes: Clashes) -> Iterator[ExampleSizes]:
    """Yield example sizes to try in turn; `clashes` are those of the attempt before."""
    sizes = ExampleSizes(hints, batch=next((s.batch for s in inputs if s.batch), None))
    yield sizes
    yield from _within_tables(inputs, sizes, clashes)
    if clashes.read:
        # What was computed from the number does not fit a second example.
        yield replace(sizes, fixed=dict(clashes.read))
    hinted = _hinted(inputs, hints)
    if hinted:
        yield replace(sizes, fixed={**clashes.read, **hinted})
    # Lengths of one and the same axis are alike from the start.
    elif len({k for _, k in lengths_of(inputs)}) > 1:
        yield replace(sizes, alike=True)


def fixed(inputs: list[InputSpec], hints: Hints, clashes: Clashes) -> Iterator[ExampleSizes]:
    """Yield example sizes with free sizes fixed as those that they met in all attempts before."""
    # As in the first attempt, but for what is fixed.
    sizes = clashes.before[0][0]
    hinted = _hinted(inputs, hints)
    met = {axis: n for axis, n in clashes.met.items() if axis in lengths_of(inputs)}
    if met:
        yield replace(sizes, fixed={**clashes.read, **hinted, **met})
    if clashes.seeming is not None:
        default = {(s.name, k): pair[0] for s in inputs for k, pair in enumerate(sizes.of(s))}
        shown = {axis: default[axis] for axis in clashes.seeming.others}
        yield replace(sizes, fixed={**clashes.read, **hinted, **shown})


def _hinted(inputs: list[InputSpec], hints: Hints) -> dict[Axis, int]:
    return {(name, k): hints[name][k] for name, k in lengths_of(inputs) if name in hints}


def longer(inputs: list[InputSpec], hints: Hints) -> Iterator[ExampleSizes]:
    """Yield longer example sizes: a window may be longer than what is tried first."""
    if any(name not in hints for name, _ in lengths_of(inputs)):
        for times in LONGER:
            yield ExampleSizes(hints, batch=next((s.batch for s in inputs if s.batch), None), times=times)


def lengths_of(inputs: list[InputSpec]) -> list[Axis]:
    """The free sizes of inputs that are no batch."""
    return [(s.name, k) for s in inputs for k, d in enumerate(s.shape) if d is None and k > 0]


def _within_tables(inputs: list[InputSpec], sizes: ExampleSizes, clashes: Clashes) -> Iterator[ExampleSizes]:
    """Sizes that do not reach the end of what is cut at them, as `table[:t]` does."""
    tried: dict[Axis, tuple[int, int]] = {}
    for _ in range(MOST_TABLES):
        found = _pairs_within(clashes, tried)
        free = {axis: pair for axis, pair in found.items() if axis in lengths_of(inputs)}
        if clashes.is_clean or not free.items() - tried.items():
            return
        tried |= free
        # The next attempt meets its own limits.
        clashes.cut.clear()
        yield replace(sizes, tried=dict(tried))


def _pairs_within(clashes: Clashes, tried: Mapping[Axis, tuple[int, int]]) -> dict[Axis, tuple[int, int]]:
    """Pairs of sizes at most as long as the longest table, if that is shorter than what was tried."""
    limits: Mapping[Axis, set[int]] = clashes.cut
    seeming = clashes.seeming
    if seeming is not None:
        # Up to 0 or 1 there are no two unlike lengths.
        limits = {axis: {seeming.size} - {0, 1} for axis in seeming.others}
    pairs = {}
    for axis, sizes in limits.items():
        shorter = [n for n in sizes if axis not in tried or n < tried[axis][1]]
        if shorter:
            pairs[axis] = _within(max(shorter))
    if seeming is not None:
        # A length that is not cut, but too short to show it: another that shows it.
        pairs = {axis: pairs.get(axis, (n, 2 * n)) for axis, n in seeming.others.items()}
    return pairs


def _within(limit: int) -> tuple[int, int]:
    """Unlike sizes up to `limit`, the longer a multiple of the shorter where that may matter."""
    return (limit // 2, limit) if limit > 3 else (limit - 1, limit)

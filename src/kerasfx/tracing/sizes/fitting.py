"""Example sizes that fit together, found where an op or layer refused the usual ones.

A mask behind two strided convolutions is added to an image of 4 x 4, one input must be four times as long as
another, a length must be a multiple of a window: the sizes that the op met are expressions of free sizes of
inputs. So these are varied until the sizes agree, by inferring shapes alone, and only what the op itself
takes is worth another trace.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations, islice, product
from typing import Any

from kerasfx.inputs import InputSpec
from kerasfx.ir import (
    Input,
    Node,
    Value,
    leaves_of,
    values_in,
)
from kerasfx.ir.build import Spec
from kerasfx.ir.dims import Dim, hint
from kerasfx.tracing.sizes.examples import (
    Axis,
    Clashes,
    ExampleSizes,
    Refusal,
    lengths_of,
)
from kerasfx.tracing.sizes.known import NotKnownError, specs_at

MOST_TRACES = 3
"""How often what was found is traced, from one set of example sizes on: behind one clash may be another."""

MOST_REFUSALS = 3
"""How many of the ops that a trace refused are looked at."""

MOST_CANDIDATES = 100
"""How many sizes an op is asked about."""

MOST_INFERRED = 5000
"""How many shapes are inferred in the search for the sizes of one op: a deep model takes long."""

LONGEST = 1 << 14
"""No length above is tried."""

Pairs = Mapping[Axis, tuple[int, int]]
"""Two example sizes for each free size of an input."""


def fitting(
    inputs: list[InputSpec], clashes: Clashes, undisturbed: Callable[[], AbstractContextManager[Any]]
) -> Iterator[ExampleSizes]:
    """Yield example sizes for which what was refused before is not.

    Args:
        inputs: The inputs of the model.
        clashes: What the attempts before met, and then what the one with the sizes yielded last met.
        undisturbed: Keeps the layers as they are while they are asked for their shapes.
    """
    for sizes, refusals in clashes.with_free_sizes():
        for _ in range(MOST_TRACES):
            with undisturbed():
                found = next(filter(None, (_fit(inputs, sizes, x) for x in refusals[:MOST_REFUSALS])), None)
            if found is None:
                break
            # What has to be the same number for both sets of sizes is known in the result.
            same = {axis: n for axis, (n, other) in sorted(found.items()) if n == other}
            unlike = {axis: pair for axis, pair in found.items() if axis not in same}
            sizes = replace(sizes, fixed={**sizes.fixed, **same}, tried={**sizes.tried, **unlike})
            yield sizes
            # By now these are of the trace with the sizes above.
            refusals = clashes.refusals


def _fit(inputs: list[InputSpec], sizes: ExampleSizes, refusal: Refusal) -> Pairs | None:
    # Hinted sizes are as the user wants them, and fixed ones have served already.
    free = [a for a in lengths_of(inputs) if a[0] not in sizes.hints and a not in sizes.fixed]
    given = {(s.name, k): pair for s in inputs for k, pair in enumerate(sizes.of(s))}
    fit = _Fit(refusal, given, free)
    return next(filter(fit.fits, islice(fit.candidates(), MOST_CANDIDATES)), None)


@dataclass
class _Budget:
    """What may be spent in a search.

    Attributes:
        left: How often yet.
    """

    left: int

    def spend(self) -> None:
        """Take one.

        Raises:
            NotKnownError: Nothing is left.
        """
        if not self.left:
            raise NotKnownError
        self.left -= 1


@dataclass(frozen=True)
class _Fit:
    """The search for sizes that one op or layer takes.

    Attributes:
        refusal: What it was called with.
        given: The example sizes for which it was refused.
        free: The free sizes that may be others.
        budget: How many shapes may be inferred yet.
    """

    refusal: Refusal
    given: Pairs
    free: list[Axis]
    budget: _Budget = field(default_factory=lambda: _Budget(MOST_INFERRED))

    def fits(self, change: Pairs) -> bool:
        """Whether the sizes of `change` are taken for what they are, and not for being long."""
        longer = {axis: (2 * n + 1, 2 * m + 1) for axis, (n, m) in change.items()}
        return self._is_taken(change) and not self._is_taken(longer)

    def _is_taken(self, change: Pairs) -> bool:
        """Whether both sets of example sizes are taken with this change."""
        try:
            for which in (0, 1):
                sizes = _Sizes({**self.given, **change}, which, self.budget)
                if 1 in (sizes.of(d) for shape in self.shapes for d in shape if isinstance(d, Dim)):
                    return False  # it would fit everywhere, being broadcast
                self.refusal.infer(sizes.of)
        except Exception:  # whatever Keras, the backend or a layer says to sizes that do not fit
            return False
        return True

    def candidates(self) -> Iterator[Pairs]:
        """Yield changes of example sizes: those after which sizes agree, and multiples."""
        # The likely ones first: each costs inferences, whose number is limited.
        meetings, across = list(self._aligned()), list(self._across())
        yield from self._least_fixed(meetings)
        yield from self._together(meetings)
        yield from self._multiples()
        yield from self._least_fixed(across)
        yield from self._least_fixed([*meetings, *across], alike=True)

    def _least_fixed(self, meetings: list[tuple[Any, Any]], alike: bool = False) -> list[Pairs]:
        """What makes two sizes agree each, those changes first that leave sizes free."""
        found = [x for a, b in meetings for x in self._solutions(a, b, alike=alike)]
        return sorted(found, key=lambda x: sum(n == m for n, m in x.values()))

    @cached_property
    def shapes(self) -> list[tuple[Any, ...]]:
        """The shapes that meet: those of the operands, then those of a layer's weights."""
        return [
            *(x.shape for x in leaves_of(self.refusal.operands) if isinstance(x, Value)),
            *self.refusal.known,
        ]

    @cached_property
    def varied(self) -> list[Axis]:
        """The free sizes that the operands depend on."""
        behind = _inputs_behind(_sizes_in(self.refusal.operands))
        return [axis for axis in self.free if axis in behind]

    def _groups(self, alike: bool) -> list[list[Axis]]:
        """What is changed at a time: one size, or all in the same way."""
        if alike:
            return [self.varied] if len(self.varied) > 1 else []
        return [[axis] for axis in self.varied]

    def _aligned(self) -> Iterator[tuple[Any, Any]]:
        """The sizes that agree where the op broadcasts, and the numbers of elements where it reshapes."""
        for mine, theirs in combinations(self.shapes, 2):
            yield from filter(_may_clash, zip(reversed(mine), reversed(theirs), strict=False))
        args, kwargs = self.refusal.operands
        for wanted in (*args, *kwargs.values()):
            if self.shapes and _is_shape(wanted):
                # What is reshaped is the first operand.
                yield from filter(_may_clash, [(math.prod(self.shapes[0]), math.prod(wanted))])

    def _across(self) -> Iterator[tuple[Any, Any]]:
        """The sizes of any two axes: one may be contracted with the other."""
        for mine, theirs in combinations(self.shapes, 2):
            yield from filter(_may_clash, product(reversed(mine), theirs))

    def _solutions(
        self, a: Any, b: Any, change: Pairs | None = None, *, alike: bool = False
    ) -> Iterator[Pairs]:
        """Yield changes, `change` among them, after which the sizes `a` and `b` are equal."""
        given = {**self.given, **(change or {})}
        for group in self._groups(alike):
            first, second = (_where_equal(_Sides(a, b, given, group, which, self.budget)) for which in (0, 1))
            if first is not None and second is not None:
                yield {**(change or {}), **dict.fromkeys(group, (first, second))}

    def _together(self, meetings: list[tuple[Any, Any]]) -> Iterator[Pairs]:
        """Yield the change after which all `meetings` agree, each solved after those before it."""
        change: Pairs = {}
        for a, b in meetings:
            given = {**self.given, **change}
            # No size varies in them, so that any number will do.
            sides = (_Sides(a, b, given, (), which, self.budget).at(0) for which in (0, 1))
            if not all(x is not None and x[0] == x[1] for x in sides):
                found = next(self._solutions(a, b, change), None)
                if found is None:
                    return
                change = found
        yield change

    def _multiples(self) -> Iterator[Pairs]:
        """Yield sizes that are multiples of the numbers that the op was given."""
        for times, group in product(self._numbers(), [*self._groups(False), *self._groups(True)]):
            first, second = zip(*(self.given[axis] for axis in group), strict=True)
            if times * max(second) <= LONGEST:
                yield {a: (times * n, times * m) for a, n, m in zip(group, first, second, strict=True)}

    def _numbers(self) -> list[int]:
        """The numbers above 1 among the sizes, and one that all of them divide (twos are there already)."""
        sizes = [*_sizes_in(self.refusal.operands), *leaves_of(self.refusal.operands)]
        found = {n for shape in self.shapes for n in shape} | {n for x in sizes for n in _constants(x)}
        numbers = sorted(n for n in found if type(n) is int and n > 1)
        return [*numbers, math.lcm(*(n // (n & -n) for n in numbers))]


def _may_clash(pair: tuple[Any, Any]) -> bool:
    """Whether two sizes are unlike for the example sizes and none of them is always broadcast."""
    a, b = pair
    return 1 not in (x for x in pair if type(x) is int) and any(hint(a, w) != hint(b, w) for w in (0, 1))


def _is_shape(x: Any) -> bool:
    is_sizes = isinstance(x, (tuple, list)) and all(type(d) is int or isinstance(d, Dim) for d in x)
    return is_sizes and not any(type(d) is int and d < 0 for d in x)


def _constants(size: Any) -> Iterator[int]:
    if type(size) is int:
        yield size
    elif isinstance(size, Dim) and size.op != "axis":
        yield from (n for arg in size.args for n in _constants(arg))


def _sizes_in(operands: Any) -> list[Dim]:
    """The free sizes among arguments, and those of the tensors there."""
    sizes = [*leaves_of(operands), *(d for v in values_in(operands) for d in v.shape)]
    return [d for d in sizes if isinstance(d, Dim)]


def _axes_of(sizes: list[Dim]) -> list[tuple[Value, int]]:
    return [axis.args for size in sizes for axis in size.origin().axes()]  # pyright: ignore


def _inputs_behind(sizes: list[Dim]) -> set[Axis]:
    """The axes of inputs that sizes are computed from."""
    waiting, seen, found = _axes_of(sizes), set(), set()
    while waiting:
        value, k = waiting.pop()
        node = value.producer
        if isinstance(node, Input):
            found.add((node.name, k))
        elif isinstance(node, Node) and node not in seen:
            seen.add(node)
            waiting += _axes_of(_sizes_in((node.args, node.kwargs)))
    return found


@dataclass(frozen=True)
class _Sides:
    """Two sizes that should be equal, as functions of a free size, or of some that are alike."""

    a: Any
    b: Any
    given: Pairs
    group: Sequence[Axis]
    which: int
    budget: _Budget

    def at(self, n: int) -> tuple[int, int] | None:
        """Both sizes, or None if the model does not take `n`."""
        sizes = _Sizes({**self.given, **dict.fromkeys(self.group, (n, n))}, self.which, self.budget)
        try:
            return sizes.of(self.a), sizes.of(self.b)
        except (NotKnownError, ArithmeticError):
            return None


def _where_equal(sides: _Sides) -> int | None:
    """The size for which both sides are equal, None if there is none; that in proportion is tried first."""
    n = sides.given[sides.group[0]][sides.which]
    here, there = sides.at(n), sides.at(2 * n)
    # Neither side moves, or one is empty: there is no proportion.
    if here is None or there is None or here == there or 0 in here:
        return None
    a, b = here
    for guess in (n * b // a, n * a // b):
        found = sides.at(guess) if 0 < guess <= LONGEST else None
        if found is not None and found[0] == found[1]:
            return guess
    # Sizes behind strides and windows go by steps: what is left is to look where one overtakes the other.
    return _least_equal(sides, n, there[0] - there[1] > a - b)


def _least_equal(sides: _Sides, n: int, rises: bool) -> int | None:
    def is_enough(m: int) -> bool:
        found = sides.at(m)
        return found is not None and (found[0] >= found[1] if rises else found[0] <= found[1])

    while not is_enough(n):
        n *= 2
        if n > LONGEST:
            return None
    # A length of 1 would fit everywhere, being broadcast.
    least = bisect_left(range(n + 1), True, lo=2, key=is_enough)
    found = sides.at(least)
    return least if found is not None and found[0] == found[1] else None


class _Sizes:
    """Sizes where those of the inputs are others than in the trace.

    Args:
        pairs: The free sizes of the inputs.
        which: Which of each pair.
        budget: How many shapes may be inferred yet.
    """

    def __init__(self, pairs: Pairs, which: int, budget: _Budget):
        self.pairs, self.which, self.budget = pairs, which, budget
        self.shapes: dict[Value, tuple[Any, ...]] = {}

    def of(self, x: Any) -> Any:
        """A Dim as a number; anything else comes back as it is.

        Raises:
            NotKnownError: It depends on data, or on a call that does not take these sizes.
        """
        if not isinstance(x, Dim):
            return x
        self._follow(_producers([x]))
        return x.origin().at(self._axis)

    def _axis(self, value: Value, k: int) -> int:
        if isinstance(value.producer, Node):
            size = self.shapes[value][k]
        else:
            size = self.pairs.get((str(value.name), k), (None, None))[self.which]
        if size is None:
            raise NotKnownError
        return size

    def _follow(self, waiting: list[Node]) -> None:
        """Infer the shapes of what nodes give, of those that they depend on first."""
        # No recursion: a model may be deeper than Python's stack.
        while waiting:
            node = waiting[-1]
            missing = [x for x in _producers(_sizes_in((node.args, node.kwargs))) if not self._knows(x)]
            waiting.extend(missing)
            if not missing:
                waiting.pop()
                self._infer(node)

    def _knows(self, node: Node) -> bool:
        return all(v in self.shapes for v in node.results)

    def _infer(self, node: Node) -> None:
        # It may have been waiting twice.
        if self._knows(node):
            return
        self.budget.spend()
        specs = [s for s in leaves_of(specs_at(node, self.of)) if isinstance(s, Spec)]
        self.shapes.update(zip(node.results, (s.shape for s in specs), strict=True))


def _producers(sizes: list[Dim]) -> list[Node]:
    """The nodes whose results have these sizes."""
    nodes = (value.producer for value, _ in _axes_of(sizes))
    return [x for x in dict.fromkeys(nodes) if isinstance(x, Node)]

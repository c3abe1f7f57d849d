"""When two expressions over sizes are one: polynomials over what arithmetic cannot look into.

An expression of ints is brought into the form `sum of int * product of atoms`; an atom is an axis of a
Value or an operation that is no polynomial (a remainder, a maximum, anything with floats). Equal forms
are equal for all sizes, so that `(t * 2) // 2`, `t + 1 - 1` and `t` need no question to Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Protocol

MOST_TERMS = 32
"""An expression that would have more terms than these is left an atom."""

MOST_POWER = 4


class Sized(Protocol):
    """An expression over sizes, `kerasfx.ir.dims.Dim`, which is built on its normal form."""

    @property
    def op(self) -> str:
        """The operation, or "axis"."""
        ...

    @property
    def args(self) -> tuple[Any, ...]:
        """Its operands."""
        ...


@dataclass(frozen=True)
class Atom:
    """Something that is no sum and no product of other sizes; compared by `key`, which holds no Dim."""

    key: Any
    dim: Any = field(compare=False)


Monomial = frozenset[tuple[Atom, int]]
"""Atoms with their powers."""

Terms = dict[Monomial, int]
"""Coefficients by monomial; none is zero, so that equal polynomials are equal dicts."""

CONSTANT: Monomial = frozenset()


def terms_of(dim: Sized) -> Terms:
    """The normal form of an expression whose operands have theirs."""
    rule = RULES.get(dim.op)
    if rule is not None and all(_is_whole(x) for x in (dim, *dim.args)):
        terms = rule(*map(_terms, dim.args))
        if terms is not None and len(terms) <= MOST_TERMS:
            return terms
    return {frozenset({(Atom(_key(dim), dim), 1)}): 1}


def constant(terms: Terms) -> int | None:
    """The number that a polynomial is for all sizes, or None."""
    return terms.get(CONSTANT, 0) if all(m == CONSTANT for m in terms) else None


def lone_atom(terms: Terms) -> Any:
    """The atom that a polynomial is, or None."""
    if list(terms.values()) != [1]:
        return None
    (monomial,) = terms
    powers = list(monomial)
    return powers[0][0].dim if len(powers) == 1 and powers[0][1] == 1 else None


def least(terms: Terms) -> int | None:
    """A number that a polynomial is never below, known where it only adds products of axes; or None."""
    rest = [(m, c) for m, c in terms.items() if m != CONSTANT]
    # Sizes are not negative, other atoms may be.
    only_adds = all(c > 0 and all(a.dim.op == "axis" for a, _ in m) for m, c in rest)
    return terms.get(CONSTANT, 0) if only_adds else None


def difference(a: Any, b: Any) -> Terms:
    """The polynomial `a - b` of two ints or Dims."""
    return _subtract(_terms(a), _terms(b))


def _is_whole(x: object) -> bool:
    return type(x) is int or type(getattr(x, "hints", (None,))[0]) is int


def _terms(x: Any) -> Terms:
    if type(x) is int:
        return {CONSTANT: x} if x else {}
    return x.terms


def _key(dim: Sized) -> Any:
    if dim.op == "axis":
        return dim.args
    return dim.op, *(_part_key(a) for a in dim.args)


def _part_key(x: Any) -> Any:
    # 1 and 1.0 are equal keys of different atoms.
    return (type(x).__name__, x) if isinstance(x, (int, float)) else frozenset(x.terms.items())


def _combine(pairs: Iterable[tuple[Monomial, int]]) -> Terms:
    total: Terms = {}
    for monomial, coefficient in pairs:
        total[monomial] = total.get(monomial, 0) + coefficient
    return {m: c for m, c in total.items() if c}


def _add(a: Terms, b: Terms) -> Terms:
    return _combine([*a.items(), *b.items()])


def _negate(a: Terms) -> Terms:
    return {m: -c for m, c in a.items()}


def _subtract(a: Terms, b: Terms) -> Terms:
    return _add(a, _negate(b))


def _multiply(a: Terms, b: Terms) -> Terms | None:
    if len(a) * len(b) > MOST_TERMS:
        return None
    return _combine((_joined(m, n), c * d) for (m, c), (n, d) in product(a.items(), b.items()))


def _joined(a: Monomial, b: Monomial) -> Monomial:
    powers = dict(a)
    for atom, power in b:
        powers[atom] = powers.get(atom, 0) + power
    return frozenset(powers.items())


def _power(a: Terms, b: Terms) -> Terms | None:
    exponent = constant(b)
    if exponent is None or not 0 <= exponent <= MOST_POWER:
        return None
    result: Terms | None = {CONSTANT: 1}
    for _ in range(exponent):
        result = _multiply(result, a) if result is not None else None
    return result


def _divided(a: Terms, b: Terms) -> tuple[Terms, Terms] | None:
    """Quotient and remainder of a division by one term; the remainder holds what it does not divide."""
    if len(b) != 1:
        return None
    ((by, coefficient),) = b.items()
    quotient: Terms = {}
    remainder: Terms = {}
    for monomial, c in a.items():
        rest = _without(monomial, by)
        if rest is None or c % coefficient:
            remainder[monomial] = c
        else:
            quotient[rest] = c // coefficient
    return quotient, remainder


def _without(monomial: Monomial, by: Monomial) -> Monomial | None:
    """`monomial / by`, or None where that is no monomial."""
    powers = dict(monomial)
    for atom, power in by:
        left = powers.pop(atom, 0) - power
        if left < 0:
            return None
        if left:
            powers[atom] = left
    return frozenset(powers.items())


def _floor_divide(a: Terms, b: Terms) -> Terms | None:
    parts = _divided(a, b)
    if parts is None or not parts[1]:
        return parts and parts[0]
    # floor(q + r / n) is q + floor(r / n) for every whole q; both numbers are known here.
    rest, number = constant(parts[1]), constant(b)
    if rest is None or number is None:
        return None
    return _add(parts[0], {CONSTANT: rest // number} if rest // number else {})


def _remainder(a: Terms, b: Terms) -> Terms | None:
    parts = _divided(a, b)
    if parts is None or not parts[1]:
        return None if parts is None else {}
    rest, number = constant(parts[1]), constant(b)
    if rest is None or number is None:
        return None
    return {CONSTANT: rest % number} if rest % number else {}


RULES: dict[str, Callable[..., Terms | None]] = {
    "+": _add,
    "-": _subtract,
    "*": _multiply,
    "neg": _negate,
    "**": _power,
    "//": _floor_divide,
    "%": _remainder,
}

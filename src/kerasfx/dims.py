"""Dimensions that are unknown until run time, and their arithmetic.

A `Dim` is an expression over *axes*: "axis k of that Value". It is deliberately not an `int`:
an `int` would be baked into the model in silence wherever Keras or a backend takes one.
Every `Dim` carries two hints, the sizes it takes for two different sets of input sizes; they answer
what Python asks (`if t % 2`), and each such question goes with its answer to the `decision` hook, which
records it or refuses.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kerasfx.ir import Value

OPERATORS: dict[str, Callable[..., Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
    "neg": operator.neg,
    "abs": operator.abs,
    "max": max,
    "min": min,
}

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Question:
    """What Python asks about a dimension, and the answer for the first set of example sizes.

    Attributes:
        dim: The dimension.
        symbol: A key of `COMPARISONS`, or `"int"`.
        other: What it is compared with.
        answer: True or False; for `"int"` the size.
    """

    dim: Dim
    symbol: str
    other: Any
    answer: Any

    def __str__(self) -> str:
        return f"int({self.dim})" if self.symbol == "int" else f"{self.dim} {self.symbol} {self.other}"


Decision = Callable[[Question], None]
"""Called when Python needs a fact about a dimension; it may raise."""

_decision: ContextVar[Decision | None] = ContextVar("kerasfx_dim_decision", default=None)


@contextmanager
def decisions_go_to(hook: Decision) -> Iterator[None]:
    """Report every Python decision about a dimension to `hook` while the block runs."""
    token = _decision.set(hook)
    try:
        yield
    finally:
        _decision.reset(token)


@dataclass(frozen=True, eq=False)
class Dim:
    """An unknown dimension: `op` applied to `args`, which are ints, Dims or, for "axis", (value, k).

    Attributes:
        op: `"axis"` or a key of `OPERATORS`.
        args: The operands.
        hints: The sizes under the two sets of example sizes; never used to compute a result.
    """

    op: str
    args: tuple[Any, ...]
    hints: tuple[int, int] = field(repr=False)

    @staticmethod
    def axis(value: Value, k: int, hints: tuple[int, int]) -> Dim:
        """The size of axis `k` of `value` at run time."""
        return Dim("axis", (value, k), hints)

    def values(self) -> Iterator[Value]:
        """Yield the Values whose run-time shapes this dimension is computed from."""
        if self.op == "axis":
            yield self.args[0]
            return
        for arg in self.args:
            if isinstance(arg, Dim):
                yield from arg.values()

    def substitute(self, mapping: Callable[[Value], Any]) -> Dim:
        """Return this expression with every Value replaced by `mapping(value)`."""
        if self.op == "axis":
            return Dim("axis", (mapping(self.args[0]), self.args[1]), self.hints)
        args = tuple(a.substitute(mapping) if isinstance(a, Dim) else a for a in self.args)
        return Dim(self.op, args, self.hints)

    def __str__(self) -> str:
        if self.op == "axis":
            value, k = self.args
            return f"{value.name}.shape[{k}]"
        if len(self.args) == 1 or self.op in ("max", "min"):
            return f"{self.op}({', '.join(map(str, self.args))})"
        return f"({f' {self.op} '.join(map(str, self.args))})"

    def __hash__(self) -> int:
        return hash((self.op, tuple(id(a) if self.op == "axis" else a for a in self.args)))

    def same_as(self, other: object) -> bool:
        """Whether both are one expression, so equal whatever the sizes are."""
        if not isinstance(other, Dim) or self.op != other.op or len(self.args) != len(other.args):
            return False
        return all(
            a.same_as(b) if isinstance(a, Dim) else (a is b or (type(a) is int and type(b) is int and a == b))
            for a, b in zip(self.args, other.args, strict=True)
        )

    def _decide(self, symbol: str, other: Any, answer: Any) -> Any:
        hook = _decision.get()
        if hook is not None:
            hook(Question(self, symbol, other, answer))
        return answer

    def __index__(self) -> int:
        return self._decide("int", None, self.hints[0])

    def __int__(self) -> int:
        return self.__index__()

    def __float__(self) -> float:
        return float(self.__index__())

    def __bool__(self) -> bool:
        if self.op == "axis":
            return True  # `x.shape[0] or ...`: a tensor without elements is no case to prepare for
        return self._decide("!=", 0, self.hints[0] != 0)

    def _compare(self, other: Any, symbol: str) -> Any:
        if not isinstance(other, (int, float, Dim)):
            return NotImplemented
        return self._decide(symbol, other, COMPARISONS[symbol](self.hints[0], hint(other)))

    def __eq__(self, other: object) -> Any:
        return True if self.same_as(other) else self._compare(other, "==")

    def __ne__(self, other: object) -> Any:
        return False if self.same_as(other) else self._compare(other, "!=")

    def __lt__(self, other: Any) -> bool:
        return self._compare(other, "<")

    def __le__(self, other: Any) -> bool:
        return self._compare(other, "<=")

    def __gt__(self, other: Any) -> bool:
        return self._compare(other, ">")

    def __ge__(self, other: Any) -> bool:
        return self._compare(other, ">=")

    def __add__(self, other: Any) -> Any:
        return self if _is_int(other, 0) else _apply("+", self, other)

    def __radd__(self, other: Any) -> Any:
        return self if _is_int(other, 0) else _apply("+", other, self)

    def __sub__(self, other: Any) -> Any:
        return self if _is_int(other, 0) else _apply("-", self, other)

    def __rsub__(self, other: Any) -> Any:
        return _apply("-", other, self)

    def __mul__(self, other: Any) -> Any:
        return self if _is_int(other, 1) else _apply("*", self, other)

    def __rmul__(self, other: Any) -> Any:
        return self if _is_int(other, 1) else _apply("*", other, self)

    def __floordiv__(self, other: Any) -> Any:
        return self if _is_int(other, 1) else _apply("//", self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return _apply("//", other, self)

    def __mod__(self, other: Any) -> Any:
        return _apply("%", self, other)

    def __rmod__(self, other: Any) -> Any:
        return _apply("%", other, self)

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self

    def __pow__(self, other: Any) -> Any:
        return self if _is_int(other, 1) else _apply("**", self, other)

    def __rpow__(self, other: Any) -> Any:
        return _apply("**", other, self)

    def __neg__(self) -> Dim:
        return _apply("neg", self)

    def __pos__(self) -> Dim:
        return self

    def __abs__(self) -> Dim:
        return _apply("abs", self)


Size = int | Dim


def hint(size: Any, which: int = 0) -> Any:
    """The example size number `which` (0 or 1) of a Dim; anything else comes back as it is."""
    return size.hints[which] if isinstance(size, Dim) else size


def _is_int(x: Any, number: int) -> bool:
    return type(x) is int and x == number


def _apply(op: str, *args: Any) -> Any:
    if not all(isinstance(a, Dim) or type(a) is int for a in args):
        return NotImplemented
    function = OPERATORS[op]
    hints = tuple(function(*(hint(a, which) for a in args)) for which in (0, 1))
    return Dim(op, args, hints)  # pyright: ignore[reportArgumentType]

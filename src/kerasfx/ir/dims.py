"""Dimensions that are unknown until run time, and their arithmetic.

A `Dim` is an expression over *axes*: "axis k of that Value". It is deliberately not an `int`:
an `int` would be baked into the model in silence wherever Keras or a backend takes one.
Every `Dim` carries two hints, the sizes it takes for two different sets of input sizes; they answer
what Python asks (`if t % 2`), and each such question goes with its answer to the `decision` hook, which
records it or refuses. What is true for all sizes (`t + 1 > t`) is no question.

A quotient `t / 2` or a root `t ** 0.5` is a number that depends on a size: also a `Dim`, with floats as
its hints.
"""

from __future__ import annotations

import functools
import math
import numbers
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

from kerasfx.ir import normal_form

OPERATORS: dict[str, Callable[..., Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
    "neg": operator.neg,
    "abs": operator.abs,
    "max": max,
    "min": min,
    "floor": math.floor,
    "ceil": math.ceil,
    "round": round,
}

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, eq=False)
class Question:
    """What Python asks about a dimension, and the answer for the first set of example sizes.

    Attributes:
        dim: The dimension.
        symbol: A key of `COMPARISONS`, or `"int"` or `"float"`: Python wants the number itself.
        other: What it is compared with.
        answer: True or False, or the number.
    """

    dim: Dim
    symbol: str
    other: Any
    answer: Any

    def __str__(self) -> str:
        if self.symbol in COMPARISONS:
            return f"{self.dim} {self.symbol} {self.other}"
        return f"{self.symbol}({self.dim})"


Decision = Callable[[Question], None]
"""Called when Python needs a fact about a dimension; it may raise."""

# Of a context and not global: threads trace at the same time.
_decision: ContextVar[Decision | None] = ContextVar("kerasfx_dim_decision", default=None)


@contextmanager
def decisions_go_to(hook: Decision) -> Iterator[None]:
    """Report every Python decision about a dimension to `hook` while the block runs."""
    token = _decision.set(hook)
    try:
        yield
    finally:
        _decision.reset(token)


_as_tensor: ContextVar[Callable[[Any], Any] | None] = ContextVar("kerasfx_dim_as_tensor", default=None)


@contextmanager
def sizes_become_tensors_by(hook: Callable[[Any], Any]) -> Iterator[None]:
    """Let `hook` make the tensor of a size, or of a list of sizes, that is used as one in the block."""
    token = _as_tensor.set(hook)
    try:
        yield
    finally:
        _as_tensor.reset(token)


def as_tensor(sizes: object) -> Any:
    """The tensor of a size or of a list of sizes.

    Raises:
        TypeError: No model is traced, or the sizes are ints on this backend.
    """
    hook = _as_tensor.get()
    if hook is None:
        raise TypeError("'int' object is not subscriptable")
    return hook(sizes)


class Shaped(Protocol):
    """What has axes: a Value of the graph, whose class is built on dimensions and not known here."""

    name: str

    @property
    def shape(self) -> tuple[Any, ...]:
        """One int or Dim for each axis."""
        ...


Method = Callable[..., Any]


def _operator(op: str) -> tuple[Method, Method]:
    """The methods for `size op other` and `other op size`."""
    return lambda self, other: _apply(op, self, other), lambda self, other: _apply(op, other, self)


@dataclass(frozen=True, eq=False, repr=False)
class Dim:
    """An unknown dimension: `op` applied to `args`, which are numbers, Dims or, for "axis", (value, k).

    Attributes:
        op: `"axis"` or a key of `OPERATORS`.
        args: The operands.
        hints: The sizes under the two sets of example sizes; never used to compute a result.
        equal: For an axis, the size of other Values that it equals for all sizes, if that is known.
    """

    op: str
    args: tuple[Any, ...]
    hints: tuple[Any, Any]
    equal: Dim | None = field(default=None)

    @staticmethod
    def axis(value: Shaped, k: int, hints: tuple[int, int], equal: Dim | None = None) -> Dim:
        """The size of axis `k` of `value` at run time."""
        return Dim("axis", (value, k), hints, equal)

    @functools.cached_property
    def terms(self) -> normal_form.Terms:
        """The normal form: equal for expressions that are equal for all sizes (not always found)."""
        return self.equal.terms if self.equal is not None else normal_form.terms_of(self)

    @property
    def is_whole(self) -> bool:
        """Whether it is a size, and not a float computed from sizes."""
        # An expression is of one kind for both sets of sizes.
        return type(self.hints[0]) is int

    @property
    def is_cut(self) -> bool:
        """Whether this is a length cut at a limit: its second example is one short of the limit."""
        return self.op == "axis" and self.hints[1] == self.hints[0] - 1

    def axes(self) -> Iterator[Dim]:
        """Yield the axes that this dimension is computed from, repeated as they occur."""
        if self.op == "axis":
            yield self
            return
        for arg in self.args:
            if isinstance(arg, Dim):
                yield from arg.axes()

    def values(self) -> Iterator[Any]:
        """Yield the Values whose run-time shapes this dimension is computed from."""
        return (axis.args[0] for axis in self.axes())

    def origin(self) -> Dim:
        """The same size, said by the earliest Values that are known to have it."""
        if self.op == "axis":
            return self.equal.origin() if self.equal is not None else self
        args = tuple(a.origin() if isinstance(a, Dim) else a for a in self.args)
        return Dim(self.op, args, self.hints)

    def at(self, size_of: Callable[[Any, int], int]) -> Any:
        """The number that it is where `size_of(value, k)` is the size of axis `k` of `value`."""
        if self.op == "axis":
            return size_of(*self.args)
        return OPERATORS[self.op](*(a.at(size_of) if isinstance(a, Dim) else a for a in self.args))

    def substitute(self, mapping: Callable[[Any], Any]) -> Dim:
        """Return this expression with every Value replaced by `mapping(value)`."""
        if self.op == "axis":
            return self._moved_to(mapping(self.args[0]))
        args = tuple(a.substitute(mapping) if isinstance(a, Dim) else a for a in self.args)
        return Dim(self.op, args, self.hints)

    def _moved_to(self, value: Any) -> Dim:
        k = self.args[1]
        own = value.shape[k] if k < len(value.shape) else None
        # A Value knows what its own sizes are equal to.
        return own if isinstance(own, Dim) else Dim.axis(value, k, self.hints)

    def __str__(self) -> str:
        if self.op == "axis":
            value, k = self.args
            return f"{value.name}.shape[{k}]"
        if len(self.args) == 1 or self.op in ("max", "min"):
            return f"{self.op}({', '.join(map(str, self.args))})"
        return f"({f' {self.op} '.join(map(str, self.args))})"

    def __repr__(self) -> str:
        return str(self)

    def __format__(self, spec: str) -> str:
        # Text is sound, but ":5d" is a format for the number, which is not known.
        is_of_text = not spec or spec[-1] == "s" or spec[-1] in "<>^0123456789"
        return format(str(self), spec) if is_of_text else str(self)

    def __hash__(self) -> int:
        # One for all, so that a dict or set asks `==` of two sizes, which is guarded if it is in doubt.
        return hash("kerasfx.Dim")

    def same_as(self, other: object) -> bool:
        """Whether both are one expression, so equal whatever the sizes are."""
        return isinstance(other, Dim) and self.is_whole == other.is_whole and self.terms == other.terms

    def _decide(self, symbol: str, other: object, answer: Any) -> Any:
        hook = _decision.get()
        if hook is not None:
            hook(Question(self, symbol, other, answer))
        return answer

    def __index__(self) -> int:
        if not self.is_whole:
            raise TypeError(f"{self} is a float and cannot be interpreted as an integer.")
        return self._decide("int", None, self.hints[0])

    def __int__(self) -> int:
        return self._decide("int", None, int(self.hints[0]))

    def __float__(self) -> float:
        return self._decide("float", None, float(self.hints[0]))

    @classmethod
    def __torch_function__(
        cls, function: object, types: object, args: object = (), kwargs: object = None
    ) -> Any:
        """Tells PyTorch to take such arguments; a mode of the trace sees the calls first."""
        return NotImplemented

    def __getitem__(self, key: object) -> Any:
        return as_tensor(self)[key]

    def __iter__(self) -> Iterator[Any]:
        # Without it, `__getitem__` would make Python iterate over indices.
        raise TypeError("'int' object is not iterable")

    def __bool__(self) -> bool:
        if self.op == "axis":
            return True  # `x.shape[0] or ...`: a tensor without elements is no case to prepare for
        return self._compare(0, "!=")

    def _compare(self, other: object, symbol: str) -> Any:
        if not _is_operand(other):
            return NotImplemented
        other = _plain(other)
        known = _known_comparison(self, other, symbol)
        if known is not None:
            return known
        return self._decide(symbol, other, COMPARISONS[symbol](self.hints[0], hint(other)))

    def __eq__(self, other: object) -> Any:
        # Asked first: what is one expression is no question.
        return True if self.same_as(other) else self._compare(other, "==")

    def __ne__(self, other: object) -> Any:
        return False if self.same_as(other) else self._compare(other, "!=")

    def __lt__(self, other: object) -> bool:
        return self._compare(other, "<")

    def __le__(self, other: object) -> bool:
        return self._compare(other, "<=")

    def __gt__(self, other: object) -> bool:
        return self._compare(other, ">")

    def __ge__(self, other: object) -> bool:
        return self._compare(other, ">=")

    __add__, __radd__ = _operator("+")
    __sub__, __rsub__ = _operator("-")
    __mul__, __rmul__ = _operator("*")
    __truediv__, __rtruediv__ = _operator("/")
    __floordiv__, __rfloordiv__ = _operator("//")
    __mod__, __rmod__ = _operator("%")
    __rpow__ = _operator("**")[1]

    def __neg__(self) -> Any:
        return _apply("neg", self)

    def __abs__(self) -> Any:
        return _apply("abs", self)

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self

    def __pow__(self, other: object) -> Any:
        # A negative power of an int is a float in Python, and an error in TensorFlow.
        return _apply("**", self, float(other) if type(other) is int and other < 0 else other)

    def __lshift__(self, other: Any) -> Any:
        return self * 2**other

    def __rshift__(self, other: Any) -> Any:
        return self // 2**other

    def __pos__(self) -> Dim:
        return self

    def __floor__(self) -> Any:
        return self._rounded("floor")

    def __ceil__(self) -> Any:
        return self._rounded("ceil")

    def __round__(self, ndigits: int | None = None) -> Any:
        if ndigits is not None:
            raise TypeError(f"round({self}, {ndigits}) is not known: the size is free.")
        return self._rounded("round")

    def _rounded(self, op: str) -> Any:
        return self if self.is_whole else _apply(op, self)

    def sqrt(self) -> Any:
        """The square root, for `np.sqrt`."""
        return self**0.5


Size = int | Dim


def hint(size: object, which: int = 0) -> Any:
    """The example size number `which` (0 or 1) of a Dim; anything else comes back as it is."""
    return size.hints[which] if isinstance(size, Dim) else size


def _is_operand(x: object) -> bool:
    return isinstance(x, (Dim, numbers.Real))


def _plain(x: Any) -> Any:
    """A NumPy scalar or a bool as the Python number that it is."""
    if isinstance(x, Dim) or type(x) in (int, float):
        return x
    # A hint of NumPy would round and overflow in another way than the sizes do.
    return int(x) if isinstance(x, numbers.Integral) else float(x)


def _known_comparison(dim: Dim, other: Any, symbol: str) -> bool | None:
    """The answer that is the same for all sizes, or None."""
    # A float rounds: what holds for polynomials need not hold for it.
    if not (dim.is_whole and (other.is_whole if isinstance(other, Dim) else type(other) is int)):
        return None
    apart = normal_form.difference(dim, other)
    number = normal_form.constant(apart)
    if number is not None:
        return COMPARISONS[symbol](number, 0)
    # At a difference of 0 only some comparisons have the answer that they have above it.
    above, below = normal_form.least(apart), normal_form.least(normal_form.difference(other, dim))
    if above is not None and (above > 0 or (above == 0 and symbol in (">=", "<"))):
        return COMPARISONS[symbol](1, 0)
    if below is not None and (below > 0 or (below == 0 and symbol in ("<=", ">"))):
        return COMPARISONS[symbol](-1, 0)
    return None


def _apply(op: str, *args: object) -> Any:
    # Python then asks the other operand, which may be a tensor.
    if not all(map(_is_operand, args)):
        return NotImplemented
    dim = _made(op, *map(_plain, args))
    number = normal_form.constant(dim.terms)
    if number is not None:
        return number
    atom = normal_form.lone_atom(dim.terms)
    if atom is not None:
        return _named_by(atom, args)
    # What a division leaves is shorter: `t * 2 * k // k` is `t * 2`.
    return _rebuilt(dim.terms) if op in ("//", "%") else dim


def _named_by(atom: Dim, args: tuple[Any, ...]) -> Dim:
    """The operand that the result is, or else the axis that it equals."""
    return next((a for a in args if isinstance(a, Dim) and a.terms == atom.terms), atom)


def _made(op: str, *args: object) -> Dim:
    function = OPERATORS[op]
    return Dim(op, args, tuple(function(*(hint(a, which) for a in args)) for which in (0, 1)))  # pyright: ignore


def _rebuilt(terms: normal_form.Terms) -> Any:
    """The expression of a polynomial that is neither a number nor an atom."""
    total: Any = 0
    for monomial, coefficient in terms.items():
        term: Any = coefficient
        # A set has no order, and the text of a size has to be the same in every process.
        for atom, power in sorted(monomial, key=lambda pair: str(pair[0].dim)):
            for _ in range(power):
                # `==` of a Dim would be a question.
                term = atom.dim if type(term) is int and term == 1 else _made("*", atom.dim, term)
        total = term if type(total) is int and total == 0 else _made("+", total, term)
    return total


def lesser(a: Size, b: Size) -> Size:
    """The lesser of two sizes, whichever it is for others; `min` of Python asks which it is."""
    return _apply("min", a, b) if isinstance(a, Dim) or isinstance(b, Dim) else min(a, b)


def greater(a: Size, b: Size) -> Size:
    """The greater of two sizes, whichever it is for others."""
    return _apply("max", a, b) if isinstance(a, Dim) or isinstance(b, Dim) else max(a, b)


def is_same_size(a: Size, b: Size) -> bool:
    """Whether two sizes are one: two numbers that are equal, or two free sizes that always are."""
    # `==` of two sizes would be a question that a trace writes down.
    if isinstance(a, Dim) or isinstance(b, Dim):
        return isinstance(a, Dim) and a.same_as(b)
    return a == b


def is_one(size: Size) -> bool:
    """Whether a size is known to be 1."""
    return isinstance(size, int) and size == 1

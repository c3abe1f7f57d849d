"""Weights that are computed from others when a model is made, written as ordinary arithmetic.

    folded = weight(kernel) * (weight(gamma) / sqrt(weight(variance) + epsilon))
    value = graph.computed(folded, wish="kernel")

An expression is evaluated with NumPy, floats in double precision and rounded once at the end, so that what
a pass folds is as near to the exact number as its dtype allows; one that only rearranges is exact anyway.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerasfx.errors import GraphError, NotInvertibleError, describe
from kerasfx.ir.program import Constant, Parameter, Producer, Value
from kerasfx.ir.structure import shown, shown_array

Read = Callable[[Value], np.ndarray]
"""Gives the present array of a parameter or constant."""


# Compared by identity: `==` of arrays and of variables has no truth value.
@dataclass(frozen=True, eq=False)
class Expression:
    """Arithmetic over weights.

    Attributes:
        shape: Of the result.
        dtype: Standard name: that of the weights, which all have one; "" for mere numbers.
    """

    # NumPy leaves `array * expression` to the expression, instead of one expression for each element.
    __array_ufunc__ = None

    shape: tuple[int, ...]
    dtype: str

    # What each kind of expression says

    def values(self) -> Iterator[Value]:
        """Yield the parameters and constants that it is computed from, as often as they occur."""
        raise NotImplementedError

    def substitute(self, mapping: Callable[[Value], Value]) -> Expression:
        """The same expression of other weights."""
        raise NotImplementedError

    def exactly(self, read: Read) -> np.ndarray:
        """The array, its floats in double precision."""
        raise NotImplementedError

    def back(self, array: np.ndarray, root: Expression) -> dict[Value, np.ndarray]:
        """What each parameter is where this part of `root` gives `array`."""
        raise NotImplementedError

    @property
    def only_moves(self) -> bool:
        """Whether each element of the result is an element of a weight, and no new number."""
        return False

    # What they share

    @property
    def parameters(self) -> list[Value]:
        """The parameters among `values()`, each once."""
        return [v for v in dict.fromkeys(self.values()) if isinstance(v.producer, Parameter)]

    @property
    def is_rearrangement(self) -> bool:
        """Whether every element of the result is exactly one element of a parameter, each once."""
        # As lists: a constant, or a weight that occurs twice, makes them differ.
        values = list(self.values())
        return self.only_moves and values == self.parameters

    def evaluate(self, read: Read) -> np.ndarray:
        """Compute the array; `read(value)` gives that of each parameter and constant."""
        return self.exactly(read).astype(dtype_of(self.dtype))

    def inverse(self, array: np.ndarray) -> dict[Value, np.ndarray]:
        """What each parameter has to be for the expression to give `array`.

        Raises:
            NotInvertibleError: It does not follow from the array; the message says why.
        """
        if array.shape != self.shape:
            raise not_invertible(self, f"the array has shape {array.shape} instead of {self.shape}")
        counts = Counter(v for v in self.values() if isinstance(v.producer, Parameter))
        for value, times in counts.items():
            # Each place would give it a value of its own.
            if times > 1:
                raise not_invertible(self, f"'{value.name}' occurs in it {times} times")
        found = self.back(_in_double(array), self)
        return {value: part.astype(dtype_of(value.dtype)) for value, part in found.items()}

    def __add__(self, other: Operand) -> Expression:
        return _arithmetic("+", self, other)

    def __radd__(self, other: Operand) -> Expression:
        return _arithmetic("+", other, self)

    def __sub__(self, other: Operand) -> Expression:
        return _arithmetic("-", self, other)

    def __rsub__(self, other: Operand) -> Expression:
        return _arithmetic("-", other, self)

    def __mul__(self, other: Operand) -> Expression:
        return _arithmetic("*", self, other)

    def __rmul__(self, other: Operand) -> Expression:
        return _arithmetic("*", other, self)

    def __truediv__(self, other: Operand) -> Expression:
        return _arithmetic("/", self, other)

    def __rtruediv__(self, other: Operand) -> Expression:
        return _arithmetic("/", other, self)

    def __neg__(self) -> Expression:
        return self * -1.0


Operand = Expression | Value | np.ndarray | float | int


@dataclass(frozen=True, eq=False)
class Computed(Producer):
    """Producer of a weight that is computed from others when the model is made."""

    expression: Expression

    def values(self) -> Iterator[Value]:
        """The parameters and constants of the expression."""
        return self.expression.values()

    def __str__(self) -> str:
        return f"computed {self.expression}"


@dataclass(frozen=True, eq=False)
class Leaf(Expression):
    """A parameter or constant of the graph."""

    value: Value

    def values(self) -> Iterator[Value]:
        """The weight itself."""
        yield self.value

    def substitute(self, mapping: Callable[[Value], Value]) -> Expression:
        """Another weight in its place."""
        return weight(mapping(self.value))

    def exactly(self, read: Read) -> np.ndarray:
        """The array that is read."""
        return _in_double(np.asarray(read(self.value)))

    def back(self, array: np.ndarray, root: Expression) -> dict[Value, np.ndarray]:
        """The array itself, for a parameter."""
        return {self.value: array} if isinstance(self.value.producer, Parameter) else {}

    @property
    def only_moves(self) -> bool:
        """It is the weight."""
        return True

    def __str__(self) -> str:
        return f"%{self.value.name}"


@dataclass(frozen=True, eq=False)
class Number(Expression):
    """A number, or an array of them, that a pass has written down."""

    array: np.ndarray

    def values(self) -> Iterator[Value]:
        """None."""
        return iter(())

    def substitute(self, mapping: Callable[[Value], Value]) -> Expression:
        """Itself."""
        return self

    def exactly(self, read: Read) -> np.ndarray:
        """The array."""
        return self.array

    def back(self, array: np.ndarray, root: Expression) -> dict[Value, np.ndarray]:
        """There is nothing to find."""
        return {}

    def __str__(self) -> str:
        return shown_array(self.array)


ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


@dataclass(frozen=True, eq=False)
class Arithmetic(Expression):
    """`left op right`, broadcast as NumPy does."""

    op: str
    left: Expression
    right: Expression

    def values(self) -> Iterator[Value]:
        """Those of both sides."""
        yield from self.left.values()
        yield from self.right.values()

    def substitute(self, mapping: Callable[[Value], Value]) -> Expression:
        """Both sides of other weights."""
        return _arithmetic(self.op, self.left.substitute(mapping), self.right.substitute(mapping))

    def exactly(self, read: Read) -> np.ndarray:
        """The result of the operator."""
        # Backends give inf and NaN without a word, too.
        with np.errstate(divide="ignore", invalid="ignore"):
            return ARITHMETIC[self.op](self.left.exactly(read), self.right.exactly(read))

    def back(self, array: np.ndarray, root: Expression) -> dict[Value, np.ndarray]:
        """Undo the side that is known, which is the one without parameters."""
        if self.left.parameters and self.right.parameters:
            raise not_invertible(root, f"both sides of '{self.op}' are to be found")
        wanted, known = (self.left, self.right) if self.left.parameters else (self.right, self.left)
        if not wanted.parameters:
            return {}
        if wanted.shape != self.shape:
            raise not_invertible(root, f"{wanted} of shape {wanted.shape} is repeated to {self.shape}")
        number = known.exactly(_constant_array)
        if self.op in "*/" and not np.all(number):
            raise not_invertible(root, f"{known} has zeros")
        return wanted.back(self._undone(array, number, wanted is self.left), root)

    def _undone(self, result: np.ndarray, known: np.ndarray, wants_left: bool) -> np.ndarray:
        if self.op == "+":
            return result - known
        if self.op == "*":
            return result / known
        if self.op == "-":
            return result + known if wants_left else known - result
        if wants_left:
            return result * known
        # `known / inf` was 0, and inf is what comes back.
        with np.errstate(divide="ignore"):
            return known / result

    def __str__(self) -> str:
        return f"({self.left} {self.op} {self.right})"


@dataclass(frozen=True, eq=False)
class OfOne(Expression):
    """Arithmetic over one operand."""

    operand: Expression

    def values(self) -> Iterator[Value]:
        """Those of the operand."""
        return self.operand.values()

    def substitute(self, mapping: Callable[[Value], Value]) -> Expression:
        """The same of other weights."""
        return replace(self, operand=self.operand.substitute(mapping))


@dataclass(frozen=True, eq=False)
class Moved(OfOne):
    """The elements of the operand at other places."""

    @property
    def only_moves(self) -> bool:
        """Where the operand does."""
        return self.operand.only_moves


FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1.0 / np.sqrt(x),
    "square": np.square,
    "exp": np.exp,
}


@dataclass(frozen=True, eq=False)
class Function(OfOne):
    """A function of each element."""

    name: str

    def exactly(self, read: Read) -> np.ndarray:
        """The function of the operand."""
        return FUNCTIONS[self.name](self.operand.exactly(read))

    def back(self, array: np.ndarray, root: Expression) -> dict[Value, np.ndarray]:
        """Not every number is a result of the function, so none is traced back."""
        if not self.operand.parameters:
            return {}
        raise not_invertible(root, f"{self.name} loses what its operand was")

    def __str__(self) -> str:
        return f"{self.name}({self.operand})"


@dataclass(frozen=True, eq=False)
class Reshaped(Moved):
    """The same elements in the same order in another shape."""

    def exactly(self, read: Read) -> np.ndarray:
        """The array in its shape."""
        return self.operand.exactly(read).reshape(self.shape)

    def back(self, array: np.ndarray, root: Expression) -> dict[Value, np.ndarray]:
        """The array in the shape of the operand."""
        return self.operand.back(array.reshape(self.operand.shape), root)

    def __str__(self) -> str:
        return f"reshape({self.operand}, {self.shape})"


@dataclass(frozen=True, eq=False)
class Transposed(Moved):
    """The same elements with the axes in another order."""

    axes: tuple[int, ...]

    def exactly(self, read: Read) -> np.ndarray:
        """The array with its axes in order."""
        return self.operand.exactly(read).transpose(self.axes)

    def back(self, array: np.ndarray, root: Expression) -> dict[Value, np.ndarray]:
        """The axes put back."""
        return self.operand.back(array.transpose(np.argsort(self.axes)), root)

    def __str__(self) -> str:
        return f"transpose({self.operand}, {self.axes})"


@dataclass(frozen=True, eq=False)
class Concatenated(Expression):
    """Weights one behind the other along an axis."""

    operands: tuple[Expression, ...]
    axis: int

    def values(self) -> Iterator[Value]:
        """Those of all operands."""
        for operand in self.operands:
            yield from operand.values()

    def substitute(self, mapping: Callable[[Value], Value]) -> Expression:
        """Other weights one behind the other."""
        return replace(self, operands=tuple(x.substitute(mapping) for x in self.operands))

    def exactly(self, read: Read) -> np.ndarray:
        """The arrays one behind the other."""
        return np.concatenate([x.exactly(read) for x in self.operands], self.axis)

    def back(self, array: np.ndarray, root: Expression) -> dict[Value, np.ndarray]:
        """The array in pieces."""
        ends = np.cumsum([x.shape[self.axis] for x in self.operands])[:-1]
        pieces = zip(self.operands, np.split(array, ends, self.axis), strict=True)
        return {v: part for x, piece in pieces for v, part in x.back(piece, root).items()}

    @property
    def only_moves(self) -> bool:
        """Where all operands do."""
        return all(x.only_moves for x in self.operands)

    def __str__(self) -> str:
        return f"concatenate([{', '.join(map(str, self.operands))}], {self.axis})"


def weight(x: Operand) -> Expression:
    """A weight of the graph, or a number, as an expression.

    Args:
        x: A parameter, constant or computed weight of a graph, an array, or a number.

    Raises:
        GraphError: It is a Value that is known only when the model is called, or something else, such as a
            variable, whose numbers of today would be taken.
    """
    if isinstance(x, Expression):
        return x
    if not isinstance(x, Value):
        _require_numbers(x)
        array = np.asarray(x, "float64" if isinstance(x, (int, float)) else None)
        return Number(array.shape, "", _in_double(array))
    # So no expression refers to a computed weight, and none has to be computed before another.
    if isinstance(x.producer, Computed):
        return x.producer.expression
    if not isinstance(x.producer, (Parameter, Constant)):
        raise GraphError(
            describe(
                f"'{x.name}' is no weight.",
                why="a weight is computed when the model is made, this value when it is called",
                hint="use graph.weight_of(node, name), graph.add_parameter or graph.add_constant",
            )
        )
    return Leaf(tuple(map(_known, x.shape)), x.dtype, x)


def is_trained(value: Value) -> bool:
    """Whether a weight is trained in the original, or is computed from one that is."""
    if isinstance(value.producer, Computed):
        return any(v.variable.trainable for v in value.producer.expression.parameters)
    return value.variable is not None and bool(value.variable.trainable)


def _require_numbers(x: object) -> None:
    is_array = isinstance(x, (np.ndarray, np.generic)) and x.dtype.kind not in "OUSMm"
    if not is_array and not isinstance(x, (int, float)):
        raise GraphError(
            describe(
                f"{_plain_name(x)} is no weight of the graph, no array and no number.",
                why="the numbers that it has today would be written into the model",
                hint='take a variable of the original by graph.weight_of(node, "gamma"), numbers as a NumPy '
                "array",
            )
        )


def _plain_name(x: object) -> str:
    path = getattr(x, "path", None)
    return f"{type(x).__name__} '{path}'" if isinstance(path, str) else shown(x)


def sqrt(x: Operand) -> Expression:
    """The square root of each element."""
    return _function("sqrt", x)


def rsqrt(x: Operand) -> Expression:
    """One divided by the square root of each element."""
    return _function("rsqrt", x)


def square(x: Operand) -> Expression:
    """The square of each element."""
    return _function("square", x)


def exp(x: Operand) -> Expression:
    """The exponential of each element."""
    return _function("exp", x)


def reshape(x: Operand, shape: Sequence[int]) -> Expression:
    """The elements of `x` in another shape, of which one size may be -1.

    Raises:
        GraphError: The number of elements is another.
    """
    operand = weight(x)
    try:
        # NumPy finds out a -1 and refuses the rest, on an array that takes no memory.
        found = np.broadcast_to(np.int8(0), operand.shape).reshape(tuple(shape)).shape
    except ValueError:
        raise GraphError(
            describe(
                f"{operand} has shape {operand.shape} and cannot be reshaped to {tuple(shape)}.",
                why="the numbers of elements differ",
            )
        ) from None
    return Reshaped(found, operand.dtype, operand)


def transpose(x: Operand, axes: Sequence[int] | None = None) -> Expression:
    """The axes of `x` in another order, reversed if none is given.

    Raises:
        GraphError: `axes` does not name each axis once.
    """
    operand = weight(x)
    rank = len(operand.shape)
    order = tuple(range(rank))[::-1] if axes is None else tuple(a + rank if a < 0 else a for a in axes)
    if sorted(order) != list(range(rank)):
        raise GraphError(describe(f"{operand} has shape {operand.shape} and cannot be transposed by {axes}."))
    return Transposed(tuple(operand.shape[a] for a in order), operand.dtype, operand, order)


def concatenate(xs: Sequence[Operand], axis: int = 0) -> Expression:
    """Weights one behind the other along `axis`.

    Raises:
        GraphError: Their shapes differ in another axis, or their dtypes.
    """
    operands = tuple(map(weight, xs))
    try:
        shape = np.concatenate([np.broadcast_to(np.int8(0), x.shape) for x in operands], axis).shape
    except ValueError as error:
        shapes = ", ".join(f"{x} of shape {x.shape}" for x in operands)
        raise GraphError(
            describe(f"These weights cannot be concatenated along axis {axis}: {shapes}.", why=str(error))
        ) from None
    # An axis that there is not has been refused by NumPy.
    return Concatenated(shape, _common_dtype(operands), operands, axis % len(shape))


def stack(xs: Sequence[Operand], axis: int = 0) -> Expression:
    """Weights of one shape along a new axis.

    Raises:
        GraphError: Their shapes or dtypes differ.
    """
    operands = list(map(weight, xs))
    rank = len(operands[0].shape) + 1 if operands else 0
    if not -rank <= axis < rank:
        raise GraphError(describe(f"{len(operands)} weights cannot be stacked along a new axis {axis}."))
    at = axis % rank
    return concatenate([reshape(x, (*x.shape[:at], 1, *x.shape[at:])) for x in operands], at)


def not_invertible(root: Expression, why: str) -> NotInvertibleError:
    """The error for a weight from which no parameter follows."""
    return NotInvertibleError(describe(f"{root} cannot be taken back to its weights.", why=why))


def dtype_of(name: str) -> np.dtype:
    """The NumPy dtype of a standard name; those that NumPy lacks are of `ml_dtypes`, which Keras imports."""
    return np.dtype(name or "float64")


def _known(size: object) -> int:
    assert isinstance(size, int), "the sizes of a weight are known"
    return size


def _in_double(array: np.ndarray) -> np.ndarray:
    is_whole = np.issubdtype(array.dtype, np.integer) or array.dtype == bool
    return array if is_whole else array.astype("float64")


def _constant_array(value: Value) -> np.ndarray:
    assert value.array is not None, "a side without parameters has constants alone"
    return value.array


def _function(name: str, x: Operand) -> Expression:
    operand = weight(x)
    return Function(operand.shape, operand.dtype, operand, name)


def _arithmetic(op: str, left: Operand, right: Operand) -> Expression:
    sides = weight(left), weight(right)
    try:
        shape = np.broadcast_shapes(*(x.shape for x in sides))
    except ValueError:
        first, second = sides
        raise GraphError(
            describe(
                f"{first} of shape {first.shape} and {second} of shape {second.shape} do not fit in '{op}'.",
                why="their shapes do not broadcast",
                hint="reshape one: kerasfx.ir.weights.reshape(x, (1, -1))",
            )
        ) from None
    return Arithmetic(shape, _common_dtype(sides), op, *sides)


def _common_dtype(operands: Sequence[Expression]) -> str:
    """The dtype that all have.

    Raises:
        GraphError: They have several.
    """
    # Mere numbers have none: they take that of the weights.
    dtypes = list(dict.fromkeys(x.dtype for x in operands if x.dtype))
    if len(dtypes) > 1:
        named = ", ".join(f"{x} of {x.dtype}" for x in operands if x.dtype)
        raise GraphError(
            describe(f"Weights of several dtypes are put together: {named}.", why="which one is meant?")
        )
    return dtypes[0] if dtypes else ""

"""Layers of functions by hand: `kerasfx.layers.Matmul.of(x, y)`, as the function itself is called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from kerasfx.errors import describe
from kerasfx.ir.structure import map_leaves
from kerasfx.keras_api import internals
from kerasfx.runtime import codec
from kerasfx.runtime.functions import resolve
from kerasfx.runtime.held_weights import HeldWeight


class Size:
    """A size of a tensor that is known when the model runs: an argument of a function in a layer.

    It is written `kerasfx.layers.size_of(x, axis)`, and may be computed with: `size_of(x, 1) * 2`.

    Args:
        op: "axis", or a word for an operator.
        operands: A tensor and an axis, or numbers and sizes.
    """

    def __init__(self, op: str, *operands: Any):
        self.op, self.operands = op, operands

    def encoded(self, slot_of: Callable[[object], int]) -> Any:
        """As `kerasfx.runtime.codec` reads it."""
        if self.op == "axis":
            tensor, axis = self.operands
            return ["axis", slot_of(tensor), axis]
        return [self.op, *(x.encoded(slot_of) if isinstance(x, Size) else x for x in self.operands)]

    def __add__(self, other: object) -> Size:
        return Size("+", self, other)

    def __radd__(self, other: object) -> Size:
        return Size("+", other, self)

    def __sub__(self, other: object) -> Size:
        return Size("-", self, other)

    def __rsub__(self, other: object) -> Size:
        return Size("-", other, self)

    def __mul__(self, other: object) -> Size:
        return Size("*", self, other)

    def __rmul__(self, other: object) -> Size:
        return Size("*", other, self)

    def __floordiv__(self, other: object) -> Size:
        return Size("//", self, other)

    def __rfloordiv__(self, other: object) -> Size:
        return Size("//", other, self)

    def __mod__(self, other: object) -> Size:
        return Size("%", self, other)

    def __rmod__(self, other: object) -> Size:
        return Size("%", other, self)

    def __truediv__(self, other: object) -> Size:
        return Size("/", self, other)

    def __rtruediv__(self, other: object) -> Size:
        return Size("/", other, self)

    def __neg__(self) -> Size:
        return Size("neg", self)


def size_of(tensor: keras.KerasTensor, axis: int) -> Size:
    """The size of an axis of `tensor` when the model runs, for an argument of a function in a layer."""
    return Size("axis", tensor, axis)


class _Slots:
    """The tensors and weights among arguments, each once, in the order in which they are met."""

    def __init__(self) -> None:
        self.found: list[Any] = []

    def __call__(self, x: object) -> int:
        for slot, known in enumerate(self.found):
            if known is x:
                return slot
        self.found.append(x)
        return len(self.found) - 1

    @property
    def weights(self) -> list[list[Any]]:
        """As a layer takes its weights."""
        return [[slot, x.config()] for slot, x in enumerate(self.found) if isinstance(x, HeldWeight)]

    @property
    def tensors(self) -> list[Any]:
        """What the layer is called with."""
        return [x for x in self.found if not isinstance(x, HeldWeight)]


@dataclass(frozen=True)
class Parts:
    """What a layer of a function is made of, and what it is called with.

    Attributes:
        arguments, output, weights: As the layer takes them.
        tensors: What it is called with.
    """

    arguments: Any
    output: Any
    weights: list[list[Any]]
    tensors: list[Any]


def parts_of(function: str, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any = None) -> Parts:
    """The parts of the layer that calls `function` with these arguments, which gives `output`."""
    slots = _Slots()
    arguments = _encoded([args, kwargs], slots)
    given = _specs(function, args, kwargs) if output is None else output
    return Parts(arguments, codec.encode_structure(given, _spec), slots.weights, slots.tensors)


def called(
    cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any], name: str | None, output: Any, tied_to: Any
) -> Any:
    """Make the layer of a function for these arguments, and call it.

    Raises:
        ValueError: There is no tensor among the arguments, and nothing that the layer is tied to.
    """
    parts = parts_of(cls.function, args, kwargs, output)
    layer = cls(parts.arguments, parts.output, parts.weights, **({} if name is None else {"name": name}))
    tensors = parts.tensors or ([] if tied_to is None else [tied_to])
    if not tensors:
        raise ValueError(
            describe(
                f"'{layer.name}' takes no tensor of the model.",
                why="a Functional model is made of what its inputs lead to",
                hint="say which tensor it goes with: .of(..., tied_to=x)",
            )
        )
    return layer(tensors[0] if len(tensors) == 1 else tensors)


def _encoded(x: Any, slots: _Slots) -> Any:
    if isinstance(x, (keras.KerasTensor, HeldWeight)):
        return {"$tensor": slots(x)}
    if isinstance(x, Size):
        return {"$dim": x.encoded(slots)}
    if isinstance(x, tuple):
        return {"$tuple": [_encoded(v, slots) for v in x]}
    if isinstance(x, list):
        return [_encoded(v, slots) for v in x]
    if isinstance(x, dict):
        return {"$dict": [[k, _encoded(v, slots)] for k, v in x.items()]}
    if isinstance(x, slice):
        return {"$slice": [_encoded(v, slots) for v in (x.start, x.stop, x.step)]}
    return codec.encode_plain(x)


def _specs(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a function gives for tensors without a history: nothing is recorded of the call."""

    def alone(x: Any) -> Any:
        is_tensor = isinstance(x, (keras.KerasTensor, HeldWeight))
        return keras.KerasTensor(tuple(x.shape), dtype=x.dtype) if is_tensor else x

    function = resolve(name)
    args, kwargs = map_leaves(alone, (args, kwargs))
    if name.startswith("keras."):
        return function(*args, **kwargs)
    return internals.backend_output_spec(function, *args, **kwargs)


def _spec(tensor: Any) -> Any:
    if tensor is None:
        return None
    return {"shape": list(tensor.shape), "dtype": keras.backend.standardize_dtype(tensor.dtype)}

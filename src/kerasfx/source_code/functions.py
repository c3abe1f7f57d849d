"""Layers of functions as `kerasfx.layers.Matmul.of(x, y)`, and functions of Keras as they are called."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from kerasfx.runtime import codec
from kerasfx.runtime.calling import Parts, Size, parts_of, size_of
from kerasfx.runtime.function_layers import Named
from kerasfx.runtime.functions import resolve
from kerasfx.runtime.held_weights import HeldWeight
from kerasfx.source_code import values
from kerasfx.source_code.constructors import Constructors
from kerasfx.source_code.graph import Call
from kerasfx.source_code.layout import Brackets, Expression, Text, call
from kerasfx.source_code.values import CannotBeWrittenError
from kerasfx.tracing import public_calls

KNOWN_OPERATORS = ("+", "-", "*", "/", "//", "%")


@dataclass(frozen=True)
class Arguments:
    """Writes the arguments of calls.

    Attributes:
        name_of: The variable of a symbolic tensor.
        objects: Writes objects of Keras.
    """

    name_of: Callable[[Any], Text]
    objects: Constructors

    def of(self, x: Any) -> Expression:
        """An argument."""
        if isinstance(x, keras.KerasTensor):
            return self.name_of(x)
        if isinstance(x, HeldWeight):
            return self._weight(x)
        if isinstance(x, Size):
            return self._size(x)
        if isinstance(x, (list, tuple)):
            return values.sequence(x, self.of)
        if isinstance(x, slice):
            return values.slice_of(x, self.of)
        if values.is_serialized(x):
            return self.objects.of(x)
        if isinstance(x, dict):
            return values.mapping(x, self.of)
        return values.literal(x)

    def _size(self, x: Size) -> Expression:
        if x.op == "axis":
            return call("kerasfx.layers.size_of", *map(self.of, x.operands))
        parts = [
            f"({self.of(p)})" if isinstance(p, Size) and p.op != "axis" else str(self.of(p))
            for p in x.operands
        ]
        if x.op == "neg":
            return Text(f"-{parts[0]}")
        if x.op not in KNOWN_OPERATORS:
            raise CannotBeWrittenError(f"the operator {x.op} on a size")
        return Text(f"{parts[0]} {x.op} {parts[1]}")

    def _weight(self, weight: HeldWeight) -> Expression:
        if weight.value is not None:
            array = codec.decode(weight.value, [], codec.size_of)
            if HeldWeight.of_constant(array).config() != weight.config():
                raise CannotBeWrittenError("a constant of another dtype than its numbers")
            return call("kerasfx.layers.HeldWeight.of_constant", values.literal(array))
        config = {k: x for k, x in weight.config().items() if (k, x) != ("dtype", "float32")}
        name, shape = self.of(config.pop("name")), self.of(tuple(config.pop("shape")))
        rest = {k: self.objects.of(x) for k, x in config.items()}
        return call("kerasfx.layers.HeldWeight", name, shape, **rest)

    def function_layer(self, each: Call) -> Brackets | None:
        """The call of a layer of a function, said as a call of the function; None where that cannot be."""
        layer = each.operation
        try:
            args, kwargs, extra = self._as_called(layer, each.needs)
            shown: dict[str, Any] = {k: self.of(x) for k, x in kwargs.items()}
            given = [self.of(x) for x in args]
        # With functions in its arguments, or what code cannot hold.
        except CannotBeWrittenError:
            return None
        if {"name", *EXTRA} & shown.keys():
            return None
        head = f"{values.named(type(layer))}.of"
        return call(head, *given, **shown, **extra, name=values.word(layer.name))

    def _as_called(self, layer: Named, tensors: list[Any]) -> tuple[Any, Any, dict[str, Expression]]:
        """The arguments of the function, and what else has to be said for the same layer."""
        config = layer.get_config()
        if set(config) - {"weights"} != USUAL or not layer.trainable:
            raise CannotBeWrittenError("more than a call of a function")
        args, kwargs = _decoded(config, tensors)
        for output in (None, codec.decode_structure(config["output"], _tensor)):
            parts = _parts(layer.function, args, kwargs, output)
            if parts and _is_same(parts, config, tensors):
                tied = {} if parts.tensors else {"tied_to": self.of(tensors[0])}
                return args, kwargs, {**tied, **({} if output is None else {"output": self._spec(output)})}
        raise CannotBeWrittenError("other arguments than those of a call")

    def _spec(self, spec: Any) -> Expression:
        if isinstance(spec, (list, tuple)):
            return values.sequence(spec, self._spec)
        if isinstance(spec, dict):
            return values.mapping(spec, self._spec)
        if spec is None:
            return Text("None")
        dtype = {} if spec.dtype == "float32" else {"dtype": values.word(spec.dtype)}
        return call("keras.KerasTensor", values.literal(tuple(spec.shape)), **dtype)

    def public_call(self, each: Call) -> Expression:
        """The call of a bare operation as that of the public function it stands for.

        Raises:
            CannotBeWrittenError: There is no such function.
        """
        found = public_calls.public_call(each.operation, each.args, each.kwargs)
        if found is None:
            raise CannotBeWrittenError("it is an operation of Keras that no public function makes")
        if found.name == "keras.ops.get_item":
            tensor, key = found.args
            return Text(f"{self.of(tensor)}[{self._index(key)}]")
        kwargs = {k: self.of(x) for k, x in _unusual(found).items()}
        return call(found.name, *map(self.of, found.args), **kwargs)

    def _index(self, key: Any) -> str:
        """What stands between the brackets of `x[...]`."""
        if isinstance(key, tuple) and key:
            return ", ".join(map(self._index, key)) + ("," if len(key) == 1 else "")
        if not isinstance(key, slice):
            return str(self.of(key))
        parts = (key.start, key.stop) if key.step is None else (key.start, key.stop, key.step)
        return ":".join("" if part is None else str(self.of(part)) for part in parts)


USUAL = {"name", "trainable", "arguments", "output"}
"""What the config of a layer of a function says."""


EXTRA = ("output", "tied_to")
"""What `of` takes besides the arguments of the function."""


def _decoded(config: dict[str, Any], tensors: list[Any]) -> Any:
    """The arguments of a function, with tensors, weights and sizes in them."""
    held = {slot: HeldWeight.from_config(x) for slot, x in config.get("weights", ())}
    rest = iter(tensors)
    slots = [held[i] if i in held else next(rest) for i in range(len(tensors) + len(held))]
    try:
        return codec.decode(config["arguments"], slots, size_of, _refused)
    # The largest of two sizes, which Python asks for and does not know.
    except TypeError as error:
        raise CannotBeWrittenError("a size that is computed by a function") from error


def _parts(function: str, args: Any, kwargs: Any, output: Any) -> Parts | None:
    try:
        return parts_of(function, args, kwargs, output)
    # Whatever Keras and the backend raise for shapes that they cannot infer.
    except Exception:
        return None


def _is_same(parts: Parts, config: dict[str, Any], tensors: list[Any]) -> bool:
    """Whether the parts are those of a config, and are called with these tensors."""
    expected = tensors if parts.tensors else []
    is_tied = bool(parts.tensors) or len(tensors) == 1
    is_same = len(parts.tensors) == len(expected) and all(map(operator.is_, parts.tensors, expected))
    made = (parts.arguments, parts.output, parts.weights)
    return is_tied and is_same and made == (config["arguments"], config["output"], config.get("weights", []))


def _refused(name: str) -> Callable[..., Any]:
    raise CannotBeWrittenError("a function among the arguments")


def _tensor(x: Any) -> Any:
    return x and keras.KerasTensor(x["shape"], dtype=x["dtype"])


def _unusual(found: public_calls.PublicCall) -> dict[str, Any]:
    """The keyword arguments of a function that are not its defaults."""
    parameters = inspect.signature(resolve(found.name)).parameters
    return {
        k: x
        for k, x in found.kwargs.items()
        if isinstance(x, keras.KerasTensor) or k not in parameters or parameters[k].default is not x
    }

"""A layer for each public function: `Matmul`, `Where`, `Split`, so that a summary says what a layer computes.

The classes are made from the lists of functions that a file may name, each when it is asked for. Their names
are those of the functions: `keras.ops.expand_dims` gives `ExpandDims`, `keras.random.normal` `RandomNormal`,
`tf.math.cumsum` `TfMathCumsum`. Where Keras has a layer of that name, which tools know by it and would take
for that, "Op" is put behind: `AddOp`, `ReshapeOp`.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from kerasfx.keras_api import eager_calls, registration
from kerasfx.runtime import calling, codec, safety
from kerasfx.runtime.functions import names, resolve
from kerasfx.runtime.functions.torch_names import words
from kerasfx.runtime.held_weights import HeldWeight
from kerasfx.runtime.plain import Plain, data_of

PACKAGE = "kerasfx"


@keras.saving.register_keras_serializable(PACKAGE)
class Op(Plain):
    """A call of a public function, such as `keras.ops.reshape`, as a layer.

    Args:
        op: Dotted name of the function: one of `kerasfx.runtime.functions`, no other is called.
        arguments: Its positional and keyword arguments, `kerasfx.tracing.encoding.encode([args, kwargs])`.
        output: `kerasfx.runtime.codec.encode_structure` of `{"shape": ..., "dtype": ...}`, None for free
            sizes.
        weights: The weights and constants among its tensors: for each `[slot, config of a HeldWeight]`.

    Call arguments:
        inputs: The tensors of `arguments` that are no weights, in the order of their slots; a lone tensor
            without a list. Any tensor, where there are none.

    Raises:
        UnknownFunctionError: `op` is no function of the allowed namespaces.
    """

    def __init__(
        self,
        op: str,
        arguments: object,
        output: object,
        weights: Sequence[Sequence[Any]] = (),
        **kwargs: object,
    ):
        super().__init__(**kwargs)
        safety.require(isinstance(op, str), "The function of an Op has no name.")
        self._function = resolve(op)
        safety.require_call(arguments)
        safety.require_structure(output, safety.require_spec)
        self.op = op
        self.arguments = arguments
        self.output_template = output
        self._held = {slot: HeldWeight.from_config(config) for slot, config in _pairs(weights)}
        # By slot, as text: Keras tracks variables in dictionaries of words.
        self._variables_by_slot: dict[str, Any] = {}

    @property
    def small_constants(self) -> dict[int, object]:
        """The constants that are kept in the config, by slot."""
        return {slot: weight.value for slot, weight in self._held.items() if weight.value is not None}

    def hold(self, slot: int, variable: keras.Variable) -> None:
        """Use a variable that is there already as a weight, in the place of one of the layer's own."""
        self._variables_by_slot[str(slot)] = variable

    def variable_at(self, slot: int) -> Any:
        """The variable of a weight, or None for a small constant."""
        return self._variables_by_slot.get(str(slot))

    @property
    def constants(self) -> list[Any]:
        """The variables of the large constants, which the original does not have."""
        return [self.variable_at(slot) for slot, weight in self._held.items() if weight.is_constant]

    def build(self, *args: object, **kwargs: object) -> None:
        for slot, weight in self._held.items():
            if weight.value is None and self.variable_at(slot) is None:
                self.hold(slot, weight.add_to(self))
        self.built = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if eager_calls.is_plain_call(self, args, kwargs):
            try:
                return self.call(*args)
            # Asked again below, it is raised with all that Keras says of a layer.
            except Exception:
                pass
        return super().__call__(*args, **kwargs)

    def call(self, inputs: object) -> Any:
        tensors = list(self._tensors(data_of(inputs)))
        args, kwargs = codec.decode(self.arguments, tensors, codec.size_of, resolve)
        return _without_none(self._function(*args, **kwargs))

    def _tensors(self, data: list[Any]) -> Iterator[Any]:
        """All tensors by slot: weights in their slots, data in what is left."""
        is_there = all(slot < len(data) + len(self._held) for slot in self._held)
        safety.require(is_there, "A weight of an Op has the slot of no tensor.")
        rest = iter(data)
        for slot in range(len(data) + len(self._held)):
            weight = self._held.get(slot)
            if weight is None:
                yield next(rest)
            else:
                variable = self.variable_at(slot)
                yield weight.constant() if variable is None else ops.convert_to_tensor(variable)

    def compute_output_spec(self, inputs: object) -> Any:
        # Asked for its refusal alone: a symbolic call comes first when a file is loaded.
        data_of(inputs)
        spec = codec.decode_structure(
            self.output_template, lambda x: x and keras.KerasTensor(x["shape"], dtype=x["dtype"])
        )
        return _without_none(spec)

    def get_config(self) -> dict[str, Any]:
        own: dict[str, Any] = {"op": self.op, "arguments": self.arguments, "output": self.output_template}
        if self._held:
            own["weights"] = [[slot, weight.config()] for slot, weight in self._held.items()]
        return {**super().get_config(), **own}


def _pairs(weights: object) -> Iterator[tuple[int, Any]]:
    is_list = isinstance(weights, (list, tuple)) and len(weights) <= safety.MAX_DEPTH
    safety.require(is_list, "The weights of an Op are no list.")
    for pair in weights if isinstance(weights, (list, tuple)) else ():
        is_pair = isinstance(pair, (list, tuple)) and len(pair) == 2 and type(pair[0]) is int
        safety.require(is_pair and 0 <= pair[0] <= 2 * safety.MAX_DEPTH, "A weight of an Op has no slot.")
        yield pair[0], pair[1]


def _without_none(results: object) -> Any:
    """`results` without what is None among them: a layer gives tensors."""
    if isinstance(results, (tuple, list)):
        return [_without_none(x) for x in results if x is not None]
    if isinstance(results, dict):
        return {k: _without_none(x) for k, x in results.items() if x is not None}
    return results


class Named(Op):
    """A call of the function that the class is named after; else an `Op`."""

    function: ClassVar[str]

    def __init__(self, arguments: object, output: object, weights: Sequence[Any] = (), **kwargs: object):
        super().__init__(self.function, arguments, output, weights, **kwargs)

    @classmethod
    def of(
        cls, *args: Any, name: str | None = None, output: Any = None, tied_to: Any = None, **kwargs: Any
    ) -> Any:
        """Make a layer and call it as the function is called: `kerasfx.layers.Matmul.of(x, y)`.

        Args:
            *args: The arguments of the function: symbolic tensors, a `HeldWeight` for each weight of the
                layer, `size_of(x, axis)` for sizes that the model knows when it runs, and plain values.
            name: Of the layer.
            output: The `keras.KerasTensor`s that the function gives, where Keras cannot find out.
            tied_to: Any tensor of the model, for a function that takes none.
            **kwargs: Further arguments of the function.

        Returns:
            What the layer gives.
        """
        return calling.called(cls, args, kwargs, name, output, tied_to)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["op"]
        return config


TAKEN = words(
    """Add Average BatchNormalization Concatenate Dot Identity LayerNormalization Maximum Minimum Multiply
    Reshape Softmax Subtract"""
)
"""The names of functions that are names of layers in some version of Keras, as a test knows."""


def _class_name(function: str) -> str:
    parts = function.removeprefix("keras.ops.").removeprefix("keras.").split(".")
    name = "".join(word[:1].upper() + word[1:] for part in parts for word in part.split("_"))
    return f"{name}Op" if name in TAKEN else name


def _named(function: str, name: str) -> type[Named]:
    about = {
        "function": function,
        "__module__": "kerasfx.runtime.layers",
        "__doc__": f"A call of `{function}` as a layer; see `kerasfx.layers.Op`.",
    }
    cls = type(name, (Named,), about)
    return keras.saving.register_keras_serializable(PACKAGE)(cls)


@functools.cache
def function_of() -> Mapping[str, str]:
    """The functions by the names of their classes: of two of one name, as `torch.Tensor.split`, the first."""
    first: dict[str, str] = {}
    for function in names():
        first.setdefault(_class_name(function), function)
    return first


class _Classes(Mapping[str, type[Named]]):
    """The classes by their names. Each is made when it is asked for: to make thousands takes time."""

    def __init__(self):
        self._made: dict[str, type[Named]] = {}
        # Two threads must not make two classes of one name.
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> type[Named]:
        if name not in self._made:
            function = function_of()[name]
            with self._lock:
                if name not in self._made:
                    self._made[name] = _named(function, name)
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in function_of()

    def __iter__(self) -> Iterator[str]:
        return iter(function_of())

    def __len__(self) -> int:
        return len(function_of())


BY_NAME = _Classes()
"""The class of each function, by its own name."""

registration.made_when_asked_for(PACKAGE, BY_NAME)


def class_for(function: str) -> type[Named] | None:
    """The class of a function, by the name that a trace writes down; None where it has none of its own."""
    name = _class_name(function)
    return BY_NAME[name] if function_of().get(name) == function else None


def layer_for(function: str, arguments: object, output: object, weights: Sequence[Any], name: str) -> Op:
    """The layer that calls a function: that of its class, or an `Op` where it has none."""
    cls = class_for(function)
    if cls is None:
        return Op(function, arguments, output, weights, name=name)
    return cls(arguments, output, weights, name=name)

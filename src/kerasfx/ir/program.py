"""The data of a program: Value, Node, and what holds them. The verbs are in `graph`.

A Node is one call, of a layer object or of a function named by a dotted string; its arguments keep the
structure that the user wrote, with Values in the places of tensors. Inputs, weights and constants are
Values whose producer is an `Input`, `Parameter`, `Constant` or `Computed` instead of a Node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerasfx.ir.dims import Dim, Size
from kerasfx.ir.meta import Meta
from kerasfx.ir.structure import leaves_of, map_leaves
from kerasfx.ir.targets import LayerCall, LayerSpec, Target
from kerasfx.ir.training import FOLLOWS, Training


class Producer:
    """What a Value comes from."""

    __slots__ = ()

    def values(self) -> Iterator[Value]:
        """The Values that it is computed from before the model is called."""
        return iter(())


@dataclass(frozen=True)
class Input(Producer):
    """Producer of a model input."""

    name: str


# Compared by identity: `==` of a Keras variable is an op.
@dataclass(frozen=True, eq=False)
class Parameter(Producer):
    """Producer of a variable's value: `variable` is the Keras variable of the original model."""

    variable: Any
    path: str


@dataclass(frozen=True, eq=False)
class Constant(Producer):
    """Producer of a constant: `array` is a NumPy array that nothing may write to."""

    array: np.ndarray


@dataclass(frozen=True)
class SourceLine:
    """A line of the user's code."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    @property
    def in_full(self) -> str:
        """The place and the line itself, where it is known: code that was executed from a string is not."""
        return f"{self}: {self.text}" if self.text else str(self)


class Value:
    """A typed edge.

    Attributes:
        name: Unique in its graph; how the text form refers to it.
        shape: One int or Dim for each axis.
        dtype: Standard name, such as `"float32"`.
        producer: The Node, Input, Parameter, Constant or Computed that it comes from.
        mask: The Value of the Keras mask that its producer attached to it, if any.
        users: The Nodes that take it, in order of first use (kept by Graph).
        program: The graph of an input, weight or constant (kept by Graph).
    """

    __slots__ = ("dtype", "mask", "name", "producer", "program", "shape", "users")

    def __init__(self, name: str, shape: tuple[Size, ...], dtype: str, producer: Producer):
        self.name = name
        self.shape = shape
        self.dtype = dtype
        self.producer = producer
        self.mask: Value | None = None
        self.users: dict[Node, None] = {}
        self.program: Program | None = None

    @property
    def node(self) -> Node | None:
        """The Node that it is a result of, or None for inputs, weights and constants."""
        return self.producer if isinstance(self.producer, Node) else None

    @property
    def variable(self) -> Any:
        """The variable of the original whose value it is, or None."""
        return self.producer.variable if isinstance(self.producer, Parameter) else None

    @property
    def array(self) -> np.ndarray | None:
        """The array of a constant, or None."""
        return self.producer.array if isinstance(self.producer, Constant) else None

    @property
    def is_known(self) -> bool:
        """Whether it is a weight or a constant, so that no call of the model gives it."""
        return not isinstance(self.producer, (Node, Input))

    @property
    def is_output(self) -> bool:
        """Whether it is among the outputs of its graph, or the mask that one carries."""
        program = self.node.program if self.node else self.program
        return program is not None and self in program.needed_by_outputs()

    @property
    def shown_shape(self) -> str:
        """The shape as a tuple for readers, without quotes around free sizes."""
        comma = "," if len(self.shape) == 1 else ""
        return f"({', '.join(map(str, self.shape))}{comma})"

    def __repr__(self) -> str:
        return f"<Value {self.name}: {self.dtype}{self.shown_shape}>"


class Node(Producer):
    """One call.

    Attributes:
        name: Unique in its graph.
        target: What is called.
        args, kwargs: As the user wrote them, Values in the places of tensors.
        weights: For a layer to be made (`LayerSpec`), where each of its weights comes from, by name.
        outputs: Structure of Values.
        path: Path of the layer, or of the innermost opened layer around an op; "" is the model itself.
        source: The user's line.
        implicit_masks: For a layer, the mask that Keras found attached to each tensor argument.
        after: Values that have to be computed before, although the call does not take them.
        training: Which `training` it gets.
        only_in: The value of `training` for which it is called, as one side of a branch, and which
            `training` that is; None for both.
        meta: Notes of passes, by class.
        program: The graph that it stands in (kept by Graph).
    """

    __slots__ = (
        "after",
        "args",
        "implicit_masks",
        "kwargs",
        "meta",
        "name",
        "only_in",
        "outputs",
        "path",
        "program",
        "source",
        "target",
        "training",
        "weights",
    )

    def __init__(
        self,
        name: str,
        target: Target | str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        path: str = "",
        source: SourceLine | None = None,
        weights: dict[str, Value] | None = None,
    ):
        self.name = name
        self.target = target
        self.args = args
        self.kwargs = kwargs
        self.path = path
        self.source = source
        self.weights = dict(weights or {})
        self.outputs: Any = None
        self.implicit_masks: dict[Value, Value | None] = {}
        self.after: tuple[Value, ...] = ()
        self.training: Training = FOLLOWS
        self.only_in: tuple[bool, Training] | None = None
        self.meta = Meta()
        self.program: Program | None = None

    # What it calls

    @property
    def function(self) -> str | None:
        """The dotted name of the function that it calls, or None for a layer or a change of state."""
        return self.target if isinstance(self.target, str) else None

    @property
    def layer(self) -> Any:
        """The layer object of the original model that it calls, or None."""
        return None if isinstance(self.target, str) else self.target.layer

    @property
    def call(self) -> LayerCall | None:
        """The target of a Node that calls a layer object of the original model, or None."""
        return self.target if isinstance(self.target, LayerCall) else None

    @property
    def spec(self) -> LayerSpec | None:
        """The layer to be made that it calls, or None."""
        return self.target if isinstance(self.target, LayerSpec) else None

    @property
    def callee(self) -> str | None:
        """The dotted name of the function, or of the layer to be made, that it calls, or None."""
        return self.spec.class_name if self.spec else self.function

    @property
    def stands_for(self) -> Node:
        """One of the nodes that call the same layer to be made; itself, where it is alone.

        Layers that are made alike of the very same weights are one layer, which is called several times:
        two would train apart. Those whose weights are arrays alone stay as many as the pass made: nothing
        says that arrays which are equal today are one weight.
        """
        if not any(_is_of_variables(v) for v in self.weights.values()):
            return self
        # A dict of Values is equal to another only if these are the same objects.
        alike = (n for v in self.weights.values() for n in v.users if n.weights == self.weights)
        return next((n for n in alike if n.target == self.target), self)

    def stand_where(self, other: Node) -> None:
        """Be a call at the same place of the user's code as `other`, in the same modes."""
        self.path, self.source = other.path, other.source
        self.training, self.only_in = other.training, other.only_in

    def calls(self, *names: str) -> bool:
        """Whether it calls one of these functions, or layers to be made: `node.calls("keras.ops.add")`."""
        return self.callee in names

    def calls_layer(self, cls: type) -> bool:
        """Whether it calls a layer of exactly this class, one of the original or one to be made."""
        return not isinstance(self.target, str) and self.target.is_of(cls)

    @property
    def settings(self) -> dict[str, Any]:
        """What is known of the config of the layer that it calls."""
        return {} if isinstance(self.target, str) else self.target.settings

    @property
    def variables(self) -> list[Any]:
        """The variables of the original that the target holds itself, seeds included."""
        return [] if isinstance(self.target, str) else self.target.variables

    @property
    def draws_seed(self) -> bool:
        """Whether its result is a seed."""
        return not isinstance(self.target, str) and self.target.draws_seed

    @property
    def changes_state(self) -> bool:
        """Whether it assigns a variable or updates a metric."""
        return not isinstance(self.target, str) and self.target.changes_state

    @property
    def acts_when(self) -> bool | None:
        """The value of `training` for which it changes a metric; None for both, and for anything else."""
        return None if isinstance(self.target, str) else self.target.when

    # What it takes and gives

    @property
    def inputs(self) -> tuple[Value, ...]:
        """Every Value that the call needs, without repetition.

        Those inside dimensions are included, weights, the masks that its arguments carry here alone,
        and `after`.
        """
        masks = foreign_masks(self.implicit_masks)
        taken = values_in((self.args, self.kwargs))
        # In order: the text form and the order of users follow it.
        return tuple(dict.fromkeys((*taken, *self.weights.values(), *masks, *self.after)))

    @property
    def bodies(self) -> list[Captures]:
        """The bodies of control flow among its arguments."""
        return [x for x in leaves_of((self.args, self.kwargs)) if isinstance(x, Captures)]

    @property
    def results(self) -> tuple[Value, ...]:
        """The output Values, flat."""
        return tuple(values_in(self.outputs))

    def __repr__(self) -> str:
        return f"<Node {self.name}>"


class Nodes(list[Node]):
    """The nodes of a graph in execution order; a loop over them may edit the graph.

    A loop visits the nodes that were there when it began, without those that were removed since.
    """

    def __init__(self, program: Program):
        super().__init__()
        self.program = program

    def __iter__(self) -> Iterator[Node]:
        present = list(super().__iter__())
        # Asked of each when its turn comes: the loop may have removed it.
        return (node for node in present if node.program is self.program)

    def __reversed__(self) -> Iterator[Node]:
        present = list(super().__iter__())[::-1]
        return (node for node in present if node.program is self.program)


class Program:
    """What a graph is made of.

    Attributes:
        name: Name of the original model.
        inputs: Structure of the input Values, as the prepared model is called.
        outputs: Structure of Values; None where the model returns None.
        output_masks: The mask that each output carries, where it is not the one of its producer.
        nodes: In execution order.
        takes_training: Whether `fit` passes `training` to the original.
        mode: `"inference"` or `"training"` for what the model does in that mode alone, else `"both"`.
        meta: Notes, by class.
    """

    def __init__(self, name: str = "model"):
        self.name = name
        self.inputs: Any = ()
        self.outputs: Any = ()
        self.nodes = Nodes(self)
        self.output_masks: dict[Value, Value | None] = {}
        self.takes_training = True
        self.mode = "both"
        self.meta = Meta()
        # By the `id` of the variable, which is not used again: the Value holds the variable.
        self._parameters: dict[int, Value] = {}
        self._constants: dict[Any, Value] = {}
        self._computed: list[Value] = []

    @property
    def headline(self) -> str:
        """The name, and how many nodes, inputs and outputs there are."""
        given = {
            "node": self.nodes,
            "input": list(values_in(self.inputs)),
            "output": list(values_in(self.outputs)),
        }
        counts = (f"{len(found)} {kind}{'' if len(found) == 1 else 's'}" for kind, found in given.items())
        return f"'{self.name}': {', '.join(counts)}"

    @property
    def parameters(self) -> list[Value]:
        """The weights that nodes take, one Value a variable."""
        return list(self._parameters.values())

    @property
    def constants(self) -> list[Value]:
        """The constant Values, one for equal arrays."""
        return list(self._constants.values())

    @property
    def computed_weights(self) -> list[Value]:
        """The weights that are computed from others when the model is made."""
        return list(self._computed)

    def variables_taken(self) -> set[int]:
        """The ids of the variables of the original that nodes hold or take."""
        return {*self._parameters, *(id(v) for node in self.nodes for v in node.variables)}

    def needed_by_outputs(self) -> set[Value]:
        """The outputs and the masks that they carry."""
        return {*values_in(self.outputs), *foreign_masks(self.output_masks)}


@dataclass(frozen=True)
class TakenBefore:
    """A note of what a graph held before passes: the ids of variables and of layers of the original."""

    variables: frozenset[int]
    layers: frozenset[int]


class Captures:
    """What stands among the arguments of a Node and takes Values from outside: a body of control flow."""

    program: Program
    captured: tuple[Value, ...]

    def with_captured(self, mapping: Callable[[Value], Any]) -> Captures:
        """The same, of other outer Values."""
        raise NotImplementedError


def foreign_masks(masks: dict[Value, Value | None]) -> list[Value]:
    """The masks that a value carries at a place although its producer did not attach them."""
    return [mask for value, mask in masks.items() if mask is not None and mask is not value.mask]


def map_values(function: Callable[[Value], Any], structure: object) -> Any:
    """Replace every Value of a structure, those inside dimensions and bodies included."""

    def leaf(x: object) -> object:
        if isinstance(x, Value):
            return function(x)
        if isinstance(x, Captures):
            return x.with_captured(function)
        return x.substitute(function) if isinstance(x, Dim) else x

    return map_leaves(leaf, structure)


def values_in(structure: object) -> Iterable[Value]:
    """Every Value of a structure, those inside dimensions and bodies included."""
    if isinstance(structure, Value):
        return (structure,)
    found: list[Value] = []
    for leaf in leaves_of(structure):
        if isinstance(leaf, Value):
            found.append(leaf)
        elif isinstance(leaf, Dim):
            found.extend(leaf.values())
        elif isinstance(leaf, Captures):
            found.extend(leaf.captured)
    return found


def _is_of_variables(value: Value) -> bool:
    """Whether a weight is a variable of the original, or is computed from one."""
    parts = (value, *value.producer.values())
    return any(isinstance(part.producer, Parameter) for part in parts)


def is_same(a: object, b: object) -> bool:
    """Whether two arguments are one: the same Value, or the same number, array or word."""
    if isinstance(a, (Value, Producer)) or isinstance(b, (Value, Producer)):
        return a is b
    if isinstance(a, Dim) or isinstance(b, Dim):
        # `==` of sizes would be a question that a trace writes down.
        return isinstance(a, Dim) and a.same_as(b)
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return type(a) is type(b) and np.array_equal(np.asarray(a), np.asarray(b))
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(is_same, a, b))
    # 1, 1.0 and True are equal, and mean different things to a call.
    return type(a) is type(b) and a == b

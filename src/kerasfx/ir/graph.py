"""The program: Value, Node, Graph. Imports neither Keras nor a backend.

A Graph is a list of Nodes in execution order. A Node is one call, of a layer object or of a function
named by a dotted string; its arguments keep the structure that the user wrote, with Values in the places
of tensors. Inputs, weights and constants are Values whose producer is an `Input`, `Parameter` or
`Constant` instead of a Node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from kerasfx.errors import GraphError
from kerasfx.ir.dims import Dim, Size


@dataclass(frozen=True)
class Input:
    """Producer of a model input."""

    name: str


@dataclass(frozen=True, eq=False)
class Parameter:
    """Producer of a variable's value: `variable` is the Keras variable of the original model."""

    variable: Any
    path: str


@dataclass(frozen=True, eq=False)
class Constant:
    """Producer of a constant: `array` is a NumPy array that nothing may write to."""

    array: Any


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


@dataclass(frozen=True)
class LayerSpec:
    """A layer to be made: what a pass puts where an op stood.

    Attributes:
        class_name: Public name, such as `"keras.layers.Add"`.
        config: Keyword arguments of its constructor.
    """

    class_name: str
    config: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class LayerCall:
    """The target of a Node that calls a layer object of the original model.

    Attributes:
        layer: The layer.
        opaque: Why a custom layer was kept whole; `None` for a layer that is a leaf anyway.
        config: Entries that replace those of the layer's config in a copy.
    """

    layer: Any
    opaque: str | None = None
    config: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class SeedDraw:
    """The target of a Node that draws from a seed generator; its result is a seed of shape (2,).

    The Node takes the previous draw from the same generator, if any, so that draws keep their order.

    Attributes:
        generator: The `keras.random.SeedGenerator`.
    """

    generator: Any


@dataclass(frozen=True, eq=False)
class Assignment:
    """The target of a Node that assigns a variable; it takes (x, new value, parameter) and gives x.

    Attributes:
        variable: The variable of the original model.
    """

    variable: Any


@dataclass(frozen=True, eq=False)
class MetricUpdate:
    """The target of a Node that updates a metric; it takes (x, arguments of the update) and gives x.

    Attributes:
        metric: The metric of the original model.
        when: The value of `training` for which it is updated; None for both.
    """

    metric: Any
    when: bool | None = None


@dataclass(frozen=True)
class Training:
    """Which `training` a call gets, where the model's own caller says something and where it does not.

    Attributes:
        fixed: What it gets whatever the model is called with; None if it follows the model. With
            `from_context` it is what a layer before has left in the context, where there is one.
        from_context: Whether it finds `training` in Keras's call context, because no `call` from that of the
            model downwards hands it on.
        bare: What it gets in a bare call, `model(x)`: the default of a `call` on the way to it, mostly None.
        alone: The same where `call` of the model runs outside of a call context, as in `fit` on JAX, and
            the call finds `training` there.
    """

    fixed: bool | None = None
    from_context: bool = False
    bare: bool | None = None
    alone: bool | None = None

    def of(self, said: Any, found: Any, is_outside: bool) -> Any:
        """What the call gets from a model called with `said` that finds `found` in the context, if any."""
        if self.fixed is not None:
            return self.alone if is_outside and self.from_context else self.fixed
        given = found if said is None or self.from_context else said
        unsaid = self.alone if is_outside and self.from_context else self.bare
        if given is None:
            return unsaid
        # While the model is traced itself, what it is given only stands for `training`.
        return given.or_default(unsaid) if hasattr(given, "or_default") else given


FOLLOWS = Training()
"""That of a call that gets what the model gets."""

ORDER = "order"
"""For what a layer waits that needs it only to come before, where it is computed at all."""

Target = LayerCall | LayerSpec | SeedDraw | Assignment | MetricUpdate | str


class Value:
    """A typed edge.

    Attributes:
        name: Unique in its graph; how the text form refers to it.
        shape: One int or Dim for each axis.
        dtype: Standard name, such as `"float32"`.
        producer: The Node, Input, Parameter or Constant that it comes from.
        mask: The Value of the Keras mask that its producer attached to it, if any.
        users: The Nodes that take it, in order of first use (kept by Graph).
    """

    __slots__ = ("dtype", "mask", "name", "producer", "shape", "users")

    def __init__(self, name: str, shape: tuple[Size, ...], dtype: str, producer: Any):
        self.name = name
        self.shape = shape
        self.dtype = dtype
        self.producer: Node | Input | Parameter | Constant = producer
        self.mask: Value | None = None
        self.users: dict[Node, None] = {}

    @property
    def shown_shape(self) -> str:
        """The shape as a tuple for readers, without quotes around free sizes."""
        comma = "," if len(self.shape) == 1 else ""
        return f"({', '.join(map(str, self.shape))}{comma})"

    def __repr__(self) -> str:
        return f"<Value {self.name}: {self.dtype}{self.shown_shape}>"


class Node:
    """One call.

    Attributes:
        name: Unique in its graph.
        target: What is called.
        args, kwargs: As the user wrote them, Values in the places of tensors.
        outputs: Structure of Values.
        path: Path of the layer, or of the innermost opened layer around an op; "" is the model itself.
        source: The user's line.
        implicit_masks: For a layer, the mask that Keras found attached to each tensor argument.
        after: Values that have to be computed before, although the call does not take them.
        training: Which `training` it gets.
        only_in: The value of `training` for which it is called, as one side of a branch, and which
            `training` that is; None for both.
    """

    __slots__ = (
        "after",
        "args",
        "implicit_masks",
        "kwargs",
        "name",
        "only_in",
        "outputs",
        "path",
        "source",
        "target",
        "training",
    )

    def __init__(
        self,
        name: str,
        target: Target,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        path: str = "",
        source: SourceLine | None = None,
    ):
        self.name = name
        self.target = target
        self.args = args
        self.kwargs = kwargs
        self.path = path
        self.source = source
        self.outputs: Any = None
        self.implicit_masks: dict[Value, Value | None] = {}
        self.after: tuple[Value, ...] = ()
        self.training = FOLLOWS
        self.only_in: tuple[bool, Training] | None = None

    @property
    def inputs(self) -> tuple[Value, ...]:
        """Every Value that the call needs, without repetition.

        Those inside dimensions are included, the masks that its arguments carry here alone, and `after`.
        """
        masks = foreign_masks(self.implicit_masks)
        return tuple(dict.fromkeys((*values_in((self.args, self.kwargs)), *masks, *self.after)))

    @property
    def results(self) -> tuple[Value, ...]:
        """The output Values, flat."""
        return tuple(values_in(self.outputs))

    def __repr__(self) -> str:
        return f"<Node {self.name}>"


class Graph:
    """The program.

    Invariants, enforced by `check()`:
        1. Names of Values are unique, and so are names of Nodes.
        2. A Node only takes Values that were produced before it (or inputs, parameters, constants).
        3. `value.users` are exactly the Nodes of the graph that take the value.
        4. Every result's producer is its Node; outputs are produced in the graph.
        5. A parameter stands for its variable once.

    Attributes:
        name: Name of the original model.
        inputs: Structure of the input Values, as the prepared model is called.
        outputs: Structure of Values; None where the model returns None.
        nodes: In execution order.
        parameters: The weights that ops read, one Value a variable.
        constants: The constant Values.
        takes_training: Whether `fit` passes `training` to the original.
        mode: `"inference"` or `"training"` for what the model does in that mode alone, else `"both"`.
    """

    def __init__(self, name: str = "model"):
        self.name = name
        self.inputs: Any = ()
        self.outputs: Any = ()
        self.nodes: list[Node] = []
        self.parameters: list[Value] = []
        self.constants: list[Value] = []
        self.output_masks: dict[Value, Value | None] = {}
        self.takes_training = True
        self.mode = "both"
        self._names: set[str] = set()
        self._copies: dict[str, int] = {}

    def called_layers(self) -> list[Any]:
        """The layer objects of the original model that Nodes call, each once."""
        targets = [n.target for n in self.nodes if isinstance(n.target, LayerCall)]
        return list({id(t.layer): t.layer for t in targets}.values())

    def unique_name(self, wish: str) -> str:
        """Return `wish`, or `wish_1`, `wish_2`..., and take it."""
        name = wish
        while name in self._names:
            self._copies[wish] = self._copies.get(wish, 0) + 1
            name = f"{wish}_{self._copies[wish]}"
        self._names.add(name)
        return name

    def add_input(self, name: str, shape: tuple[Size, ...], dtype: str) -> Value:
        """Add an input Value (the caller places it in `inputs`)."""
        return Value(self.unique_name(name), shape, dtype, Input(name))

    def add_parameter(self, variable: Any, path: str, shape: tuple[int, ...], dtype: str) -> Value:
        """Return the Value of `variable`, made at the first request."""
        for value in self.parameters:
            if value.producer.variable is variable:  # pyright: ignore[reportAttributeAccessIssue]
                return value
        wish = identifier(path) or "weight"
        value = Value(self.unique_name(wish), shape, dtype, Parameter(variable, path))
        self.parameters.append(value)
        return value

    def add_constant(self, array: Any, wish: str = "constant") -> Value:
        """Return the constant Value of a NumPy array, made at the first request for its contents."""
        for value in self.constants:
            if _same_array(value.producer.array, array):  # pyright: ignore[reportAttributeAccessIssue]
                return value
        producer = Constant(array)
        value = Value(self.unique_name(wish), tuple(array.shape), str(array.dtype), producer)
        self.constants.append(value)
        return value

    def append(self, node: Node) -> Node:
        """Put `node` last."""
        return self.insert(len(self.nodes), node)

    def insert(self, position: int, node: Node) -> Node:
        """Put `node` at `position` of `nodes`."""
        self.nodes.insert(position, node)
        self._names.update([node.name, *(v.name for v in node.results)])
        self._join_users(node)
        return node

    def set_arguments(
        self,
        node: Node,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        implicit_masks: dict[Value, Value | None] | None = None,
    ) -> None:
        """Replace the arguments of `node`, and the masks that they carry there, if any are given."""
        self._leave_users(node)
        node.args, node.kwargs = args, kwargs
        if implicit_masks is not None:
            node.implicit_masks = implicit_masks
        self._join_users(node)

    def set_mask(self, value: Value, mask: Value | None) -> None:
        """Replace the mask of `value`, also where a Node takes it with that mask."""
        former, users = value.mask, list(value.users)
        for node in users:
            self._leave_users(node)
        value.mask = mask
        for node in users:
            if value in node.implicit_masks and node.implicit_masks[value] is former:
                node.implicit_masks[value] = mask
            self._join_users(node)

    def set_after(self, node: Node, values: tuple[Value, ...]) -> None:
        """Let `node` wait for `values`."""
        self._leave_users(node)
        node.after = values
        self._join_users(node)

    def replace_uses(self, old: Value, new: Value) -> None:
        """Let every Node, output and mask that takes `old` take `new`."""

        def swap(value: Value) -> Value:
            return new if value is old else value

        for node in list(old.users):
            self._leave_users(node)
            node.args, node.kwargs = map_values(swap, (node.args, node.kwargs))
            node.implicit_masks = {swap(v): m and swap(m) for v, m in node.implicit_masks.items()}
            node.after = tuple(map(swap, node.after))
            self._join_users(node)
        self.outputs = map_values(swap, self.outputs)
        self.output_masks = {swap(v): m and swap(m) for v, m in self.output_masks.items()}

    def remove(self, node: Node) -> None:
        """Take `node` out.

        Raises:
            GraphError: One of its results is still used.
        """
        needed = self._needed_by_outputs()
        for value in node.results:
            if value.users or value in needed:
                users = ", ".join(n.name for n in value.users) or "the outputs"
                raise GraphError(
                    f"Node '{node.name}' cannot be removed: '{value.name}' is used by {users}.\n"
                    "Replace its uses first: graph.replace_uses(old, new)."
                )
        self._detach(node)
        self.nodes.remove(node)

    def truncate(self, length: int) -> None:
        """Forget all Nodes from position `length` on (used when a trace is taken back)."""
        for node in self.nodes[length:]:
            self._detach(node)
        del self.nodes[length:]

    def take(self, start: int) -> list[Node]:
        """Remove the Nodes from position `start` on and return them; nothing that stays may use them."""
        taken = self.nodes[start:]
        self.truncate(start)
        return taken

    def prune(self) -> bool:
        """Remove every Node, parameter and constant that no output needs. Returns whether any was."""
        needed = self.needed()
        dead = [node for node in self.nodes if needed.isdisjoint(node.results)]
        for node in reversed(dead):
            self._detach(node)
        self.nodes = [node for node in self.nodes if not needed.isdisjoint(node.results)]
        self.parameters = [v for v in self.parameters if v in needed]
        self.constants = [v for v in self.constants if v in needed]
        return bool(dead)

    def needed(
        self,
        besides: Iterable[Value] = (),
        takes: Callable[[Node], Iterable[Value]] = lambda node: node.inputs,
    ) -> set[Value]:
        """The Values that the outputs need, and those that the Values `besides` need.

        Args:
            besides: Further Values.
            takes: The inputs that a Node needs, where these are not all.
        """
        needed = {*self._needed_by_outputs(), *besides}
        for node in reversed(self.nodes):
            if not needed.isdisjoint(node.results):
                needed.update(takes(node))
        return needed

    def _needed_by_outputs(self) -> set[Value]:
        return {*values_in(self.outputs), *foreign_masks(self.output_masks)}

    def _join_users(self, node: Node) -> None:
        for value in node.inputs:
            value.users[node] = None

    def _leave_users(self, node: Node) -> None:
        for value in node.inputs:
            value.users.pop(node, None)

    def _detach(self, node: Node) -> None:
        self._leave_users(node)
        self._names.discard(node.name)
        self._names.difference_update(v.name for v in node.results)

    def check(self) -> Graph:
        """Verify the invariants of the class.

        Returns:
            The graph itself.

        Raises:
            GraphError: An invariant does not hold; the message shows the neighbourhood of the fault.
        """
        names: set[str] = set()
        known: set[Value] = set()
        for value in (*values_in(self.inputs), *self.parameters, *self.constants):
            self._claim(value.name, names, None)
            known.add(value)
        variables = [id(v.producer.variable) for v in self.parameters]  # pyright: ignore
        if len(set(variables)) != len(variables):
            self._fail("one variable has two parameters", None)
        node_names: set[str] = set()
        for node in self.nodes:
            self._claim(node.name, node_names, node)
            self._check_node(node, names, known)
        present = set(self.nodes)
        for value in known:
            self._check_users(value, present)
        for value in values_in(self.outputs):
            if value not in known:
                self._fail(f"output '{value.name}' is not produced in the graph", None)
        return self

    def _check_node(self, node: Node, names: set[str], known: set[Value]) -> None:
        for value in node.inputs:
            if value not in known:
                self._fail(f"'{node.name}' takes '{value.name}' before it is produced", node)
            if node not in value.users:
                self._fail(f"'{node.name}' is missing in the users of '{value.name}'", node)
        for value in node.results:
            if value.producer is not node:
                self._fail(f"'{value.name}' has a producer other than '{node.name}'", node)
            self._claim(value.name, names, node)
            known.add(value)

    def _check_users(self, value: Value, present: set[Node]) -> None:
        for user in value.users:
            if user not in present or value not in user.inputs:
                self._fail(f"'{value.name}' has '{user.name}' as a user, which does not take it", user)

    def _claim(self, name: str, names: set[str], node: Node | None) -> None:
        if name in names:
            self._fail(f"the name '{name}' is used twice", node)
        names.add(name)

    def _fail(self, fault: str, node: Node | None) -> None:
        from kerasfx.ir.text import neighbourhood

        where = f"\n{neighbourhood(self, node)}" if node else ""
        raise GraphError(f"The graph of '{self.name}' is broken: {fault}.{where}")

    def __str__(self) -> str:
        from kerasfx.ir.text import to_text

        return to_text(self)


@dataclass(frozen=True, eq=False)
class Body:
    """A function among the arguments of a Node: a branch of a `cond`, the body of a loop.

    It stands where the user's function stood. Its graph calls functions only, no layers.

    Attributes:
        graph: What it does; its inputs are the pair (arguments, captured), flat tuples of Values.
        captured: The Values of the outer graph that the function uses, in the order of the second tuple.
    """

    graph: Graph
    captured: tuple[Value, ...]

    def with_captured(self, mapping: Callable[[Value], Any]) -> Body:
        """The same function, of other outer Values."""
        return Body(self.graph, tuple(mapping(v) for v in self.captured))


def _same_array(a: Any, b: Any) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def foreign_masks(masks: dict[Value, Value | None]) -> list[Value]:
    """The masks that a value carries at a place although its producer did not attach them."""
    return [mask for value, mask in masks.items() if mask is not None and mask is not value.mask]


def map_leaves(function: Callable[[Any], Any], structure: Any) -> Any:
    """Apply `function` to everything inside tuples, lists, dicts and slices."""
    if isinstance(structure, tuple):
        items = [map_leaves(function, s) for s in structure]
        if hasattr(structure, "_fields"):
            return type(structure)(*items)
        # What `torch.topk` returns is a tuple of a class of its own, made of a sequence like all of its kind.
        return type(structure)(items) if hasattr(structure, "n_sequence_fields") else tuple(items)
    if isinstance(structure, list):
        return [map_leaves(function, s) for s in structure]
    if isinstance(structure, dict):
        return {k: map_leaves(function, s) for k, s in structure.items()}
    if isinstance(structure, slice):
        parts = (structure.start, structure.stop, structure.step)
        return slice(*(map_leaves(function, p) for p in parts))
    return function(structure)


def leaves_of(structure: Any) -> Iterator[Any]:
    """Yield what `map_leaves` visits, in its order."""
    if isinstance(structure, dict):
        structure = tuple(structure.values())
    if isinstance(structure, slice):
        structure = (structure.start, structure.stop, structure.step)
    if isinstance(structure, (tuple, list)):
        for item in structure:
            yield from leaves_of(item)
    else:
        yield structure


def map_values(function: Callable[[Value], Any], structure: Any) -> Any:
    """Replace every Value of a structure, those inside dimensions and bodies included."""

    def leaf(x: Any) -> Any:
        if isinstance(x, Value):
            return function(x)
        if isinstance(x, Body):
            return x.with_captured(function)
        return x.substitute(function) if isinstance(x, Dim) else x

    return map_leaves(leaf, structure)


def values_in(structure: Any) -> Iterable[Value]:
    """Yield every Value of a structure, those inside dimensions and bodies included."""
    for leaf in leaves_of(structure):
        if isinstance(leaf, Value):
            yield leaf
        elif isinstance(leaf, Dim):
            yield from leaf.values()
        elif isinstance(leaf, Body):
            yield from leaf.captured


def identifier(path: str) -> str:
    """Turn `blocks[0].attention` into `blocks_0_attention`."""
    cleaned = "".join(c if c.isalnum() and c.isascii() else "_" for c in path.replace("]", ""))
    return cleaned.strip("_")

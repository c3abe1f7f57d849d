"""The invariants of a graph, and what is said where one does not hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NoReturn

from kerasfx.errors import GraphError, describe
from kerasfx.ir.program import Captures, Node, Parameter, Program, Value, values_in
from kerasfx.ir.text import neighbourhood
from kerasfx.ir.weights import Computed

OURS = "kerasfx.layers."
"""Layers that a graph uses for itself; none has weights that a node names."""


def check(graph: Program) -> None:
    """Verify the invariants of `kerasfx.ir.Graph`.

    Raises:
        GraphError: One does not hold; the message shows the neighbourhood of the fault.
    """
    _Check(graph).run()


class _Check:
    def __init__(self, graph: Program):
        self.graph = graph
        self.names: set[str] = set()
        self.known: set[Value] = set()
        self.taken: dict[Node, tuple[Value, ...]] = {}

    def run(self) -> None:
        weights = (*self.graph.parameters, *self.graph.constants)
        for value in (*values_in(self.graph.inputs), *weights):
            self._claim(value.name, self.names, None)
            self.known.add(value)
        # `==` of variables is an op.
        variables = [id(v.variable) for v in self.graph.parameters]
        if len(set(variables)) != len(variables):
            self._fail("one variable has two parameters", None)
        # Behind the weights that they are computed from, in front of the nodes that take them.
        self._computed(self.graph.computed_weights)
        node_names: set[str] = set()
        for node in self.graph.nodes:
            self._claim(node.name, node_names, node)
            self._node(node)
        for value in self.known:
            self._users(value)
        for value in self.graph.needed_by_outputs():
            if value not in self.known:
                self._fail(f"output '{value.name}' is not produced in the graph", None)
        self._one_place_each()

    def _computed(self, values: Iterable[Value]) -> None:
        for value in values:
            self._claim(value.name, self.names, None)
            for part in value.producer.values():
                if part not in self.known:
                    fault = f"the weight '{value.name}' is computed from '{part.name}', which is not there"
                    self._fail(fault, None, hint="take it from graph.weight_of or graph.add_constant")
            self.known.add(value)

    def _node(self, node: Node) -> None:
        taken = self.taken[node] = node.inputs
        for value in taken:
            if value not in self.known:
                self._fail(f"'{node.name}' takes '{value.name}' before it is produced", node)
            if node not in value.users:
                self._fail(f"'{node.name}' is missing in the users of '{value.name}'", node)
        for value in node.results:
            if value.producer is not node:
                self._fail(f"'{value.name}' has a producer other than '{node.name}'", node)
            self._claim(value.name, self.names, node)
            self.known.add(value)
        self._weights(node)
        for body in node.bodies:
            self._body(node, body)

    def _body(self, node: Node, body: Captures) -> None:
        """A body is data in the config of a layer: it has room for calls of functions alone."""
        inner = body.program
        check(inner)
        layer = next((n for n in inner.nodes if n.function is None), None)
        own = next(iter((*inner.parameters, *inner.constants, *inner.computed_weights)), None)
        what = f"'{layer.name}', which is no function" if layer else f"the array '{own.name}'" if own else ""
        if what:
            self._fail(
                f"a body of '{node.name}' holds {what}",
                node,
                why="a body calls functions, of its arguments and of values that it captures from outside",
                hint="leave the node alone where graph.walk() gives another graph than the outer one",
            )

    def _weights(self, node: Node) -> None:
        if node.weights and node.spec is None:
            fault = f"'{node.name}' has weights of its own, but is no layer to be made"
            self._fail(fault, node, hint='graph.make("keras.layers...", x, weights={...})')
        if node.spec is None or node.spec.class_name.startswith(OURS):
            return
        slots = node.spec.slots
        if slots is None:
            self._fail(
                f"nobody looked which weights '{node.name}' has",
                node,
                why="weights that are not set would be random numbers",
                hint="make the node by graph.make, which makes its layer once",
            )
        unset = ", ".join(f"'{name}'" for name in slots if name not in node.weights)
        if unset:
            self._fail(
                f"'{node.name}' has weights that nobody set: {unset}",
                node,
                why="the layer would begin with random numbers",
                hint=f"graph.make(..., weights={{{', '.join(f'{n!r}: ...' for n in slots)}}})",
            )
        for name, value in node.weights.items():
            self._weight(node, name, value)

    def _weight(self, node: Node, name: str, value: Value) -> None:
        slots = (node.spec and node.spec.slots) or {}
        if name not in slots:
            has = ", ".join(f"'{n}'" for n in slots) or "none"
            self._fail(f"'{node.name}' has no weight '{name}'", node, why=f"its weights are: {has}")
        if isinstance(value.producer, Node):
            self._fail(
                f"the weight '{name}' of '{node.name}' is '{value.name}', a result of "
                f"'{value.producer.name}'",
                node,
                why="a layer takes weights when it is made, this value is known when the model is called",
                hint="compute it from weights: graph.computed(weight(...) * ...)",
            )
        slot = slots[name]
        if tuple(value.shape) != slot.shape or value.dtype != slot.dtype:
            self._fail(
                f"the weight '{name}' of '{node.name}' is {slot.dtype}{list(slot.shape)}, but "
                f"'{value.name}' is {value.dtype}[{', '.join(map(str, value.shape))}]",
                node,
                hint="change it in an expression (reshape, transpose of kerasfx.ir.weights), or the config "
                "of the layer",
            )

    def _one_place_each(self) -> None:
        """A variable that were two variables of the result would train apart in silence."""
        held: dict[int, dict[object, Node]] = defaultdict(dict)
        for node in self.graph.nodes:
            # A layer is one place, however often it is called.
            for variable in node.variables:
                held[id(variable)].setdefault(id(node.layer or variable), node)
        for value in self.graph.parameters:
            for user in value.users:
                if value in user.weights.values():
                    held[id(value.variable)].setdefault(id(user.stands_for), user)
                if value in values_in((user.args, user.kwargs)):
                    # All functions read one layer, `Parameter`.
                    held[id(value.variable)].setdefault("op", user)
        self._places_of_computed(held)
        for value in self.graph.parameters:
            places = list(held[id(value.variable)].values())
            if len(places) > 1:
                self._two_places(value, places)

    def _places_of_computed(self, held: dict[int, dict[object, Node]]) -> None:
        """A trained weight in another order is trained as well, as a variable of the layer that takes it."""
        for value in self.graph.computed_weights:
            if not isinstance(value.producer, Computed) or not value.producer.expression.is_rearrangement:
                continue
            for part in value.producer.expression.parameters:
                # Whoever gives no variable of Keras says nothing of training.
                if getattr(part.variable, "trainable", False):
                    for user in value.users:
                        held[id(part.variable)].setdefault(id(user.stands_for), user)

    def _two_places(self, value: Value, places: list[Node]) -> NoReturn:
        assert isinstance(value.producer, Parameter)
        first, second = (f"'{node.name}'" for node in places[:2])
        dead = next((n for n in places if not any(v.users or v.is_output for v in n.results)), None)
        if dead is not None:
            self._fail(
                f"the variable {value.producer.path} is held by {first} and by {second}, and nothing uses "
                f"'{dead.name}'",
                dead,
                why="they would be two variables of the result, which train apart",
                hint="graph.remove(node), or graph.prune() for all that nothing uses",
            )
        self._fail(
            f"the variable {value.producer.path} is held by {first} and by {second}",
            places[1],
            why="they would be two variables of the result, which train apart",
            hint="make layers that are alike, of the same weights (these are one layer, called by both; what "
            "graph.computed gives once is one weight), or leave the weight to functions",
        )

    def _users(self, value: Value) -> None:
        for user in value.users:
            if value not in self.taken.get(user, ()):
                self._fail(f"'{value.name}' has '{user.name}' as a user, which does not take it", user)

    def _claim(self, name: str, names: set[str], node: Node | None) -> None:
        if name in names:
            self._fail(f"the name '{name}' is used twice", node, hint="graph.unique_name(wish)")
        names.add(name)

    def _fail(self, fault: str, node: Node | None, why: str = "", hint: str = "") -> NoReturn:
        raise broken(self.graph, fault, node, why, hint)


def broken(graph: Program, fault: str, node: Node | None, why: str = "", hint: str = "") -> GraphError:
    """The error for an invariant that does not hold, with the neighbourhood of the node."""
    where = f"\n{neighbourhood(graph, node)}" if node else ""
    text = describe(f"The graph of '{graph.name}' is broken: {fault}.", why=why, hint=hint)
    return GraphError(f"{text}{where}")

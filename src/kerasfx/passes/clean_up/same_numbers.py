"""When one Value may take the place of another, so that not even the last bit of a gradient changes.

The gradient of a Value is the sum over those that take it, and a sum of three floats depends on their order.
Where an edit would let more than two gradients meet at a Value that met elsewhere before, it is left.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from kerasfx.ir import Graph, Node, Value, leaves_of, values_in
from kerasfx.ir.dims import is_same_size
from kerasfx.ir.program import Captures

MANY = 4
"""More gradients than may ever meet elsewhere."""


def with_gradient(graph: Graph) -> set[Value]:
    """The Values of a graph that may have a gradient: floats that depend on an input or a weight."""
    sources = (*values_in(graph.inputs), *graph.parameters, *graph.computed_weights)
    found = {v for v in sources if is_float(v)}
    for node in graph.nodes:
        is_held = node.function == "keras.ops.stop_gradient" or (
            node.function is not None and found.isdisjoint(_operands(node))
        )
        if not is_held:
            found.update(filter(is_float, node.results))
    return found


def is_float(value: Value) -> bool:
    """Whether a Value holds numbers that have a derivative."""
    return "float" in value.dtype or "complex" in value.dtype


def _operands(node: Node) -> list[Value]:
    """The Values whose numbers a call takes, without those of which it only takes a size."""
    found: list[Value] = []
    for x in leaves_of((node.args, node.kwargs)):
        if isinstance(x, Value):
            found.append(x)
        elif isinstance(x, Captures):
            found.extend(x.captured)
    return [*found, *node.weights.values()]


def uses(value: Value) -> int:
    """How many gradients meet at a Value, if each use gives one; `MANY` stands for more as well."""
    # No further than that: a mask or an input may have a thousand users.
    found = (x for user in value.users for x in _operands(user) if x is value)
    return min(sum(1 for _ in islice(found, MANY)) + value.is_output, MANY)


class Places:
    """What is asked of the Values of one graph, read off it at once.

    Args:
        graph: The graph, which is then edited by `take_place` and by arguments that are set.
        in_body: Whether it is the body of control flow.
    """

    def __init__(self, graph: Graph, in_body: bool):
        self.graph, self.in_body = graph, in_body
        self.with_gradient = with_gradient(graph)
        results = [v for node in graph.nodes for v in node.results]
        self._masks = {v.mask for v in (*values_in(graph.inputs), *results)}
        self._held = {id(v) for node in graph.nodes if node.layer is not None for v in node.variables}

    def sums_stay(self, x: Value, gained: int) -> bool:
        """Whether gradients are summed as before if one use of `x` becomes `gained` uses."""
        if x not in self.with_gradient:
            return True
        # A layer that holds the weight itself gives it a gradient, too.
        others = uses(x) - 1 + 2 * (id(x.variable) in self._held)
        return others == 0 or others + gained <= 2

    def is_lone(self, value: Value) -> bool:
        """Whether one call takes the numbers of a value, and nobody else asks anything of it."""
        return uses(value) == 1 and len(value.users) == 1 and value not in self._masks

    def may_take_place(self, old: Value, new: Value) -> bool:
        """Whether `new` can stand wherever `old` stands: sizes, outputs, masks, and sums of gradients."""
        return (
            is_alike(old, new)
            # What it masks keeps it.
            and old not in self._masks
            and (not old.is_output or _may_be_output(old, new))
            # A layer would find the mask that a function dropped, and a layer more would have to drop it.
            and (old.mask is new.mask or all(user.function for user in old.users))
        )

    def take_place(self, old: Value, new: Value) -> bool:
        """Let `new` stand where `old` stood, and remove the node of `old`, if no number changes."""
        if not self.may_take_place(old, new) or not self.sums_stay(new, uses(old)):
            return False
        assert old.node is not None
        self.graph.replace_uses(old, new)
        self.graph.remove(old.node)
        return True


Edit = Callable[[Places, Node], bool]


def edit_functions(graph: Graph, edit: Edit) -> bool:
    """Let `edit` see each call of a function that gives one result, those in bodies too.

    Returns:
        Whether any edit said that it changed something.
    """
    changed = False
    places: dict[Graph, Places] = {}
    for place, node in graph.walk():
        if node.program is place and is_plain(node):
            if place not in places:
                places[place] = Places(place, in_body=place is not graph)
            changed = edit(places[place], node) or changed
    return changed


def _may_be_output(old: Value, new: Value) -> bool:
    """Whether the model goes on to return a tensor of its own: no input, no weight, and none twice."""
    return new.node is not None and not new.is_output and new.mask is None and old.mask is None


def is_alike(a: Value, b: Value) -> bool:
    """Whether two Values have one dtype, and the same sizes for all inputs."""
    return a.dtype == b.dtype and len(a.shape) == len(b.shape) and all(map(is_same_size, a.shape, b.shape))


def would_pass_mask_on(x: Value, result: Value) -> bool:
    """Whether a move of `x` to where it was may hand a mask on that `result` lacks: JAX gives `x` itself."""
    return is_alike(x, result) and x.mask is not result.mask


def is_plain(node: Node) -> bool:
    """Whether a node calls a function, gives one result and waits for nothing."""
    return node.function is not None and isinstance(node.outputs, Value) and not node.after


def moved(value: Value) -> Value | None:
    """The Value whose numbers a function moves: its first argument, `x` in all of Keras."""
    node = value.node
    if node is None or not is_plain(node):
        return None
    found = node.args[0] if node.args else node.kwargs.get("x")
    return found if isinstance(found, Value) else None


def argument(node: Node, position: int, name: str, default: object = None) -> object:
    """An argument of a function, given by position or by name."""
    return node.args[position] if len(node.args) > position else node.kwargs.get(name, default)

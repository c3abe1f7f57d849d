"""Random edits of random graphs keep the invariants, or are refused and change nothing."""

from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from kerasfx.errors import GraphError
from kerasfx.ir import Graph, LayerSpec, Node, Slot, foreign_masks, values_in, weight
from kerasfx.ir.build import give_result_like
from kerasfx.ir.weights import transpose

VERBS = (
    "insert_before insert_after replace replace_by_one_that_is_there "
    "replace_uses replace_input replace_output remove computed prune"
)

numbers = st.integers(0, 999)
edits = st.lists(
    st.tuples(st.sampled_from(VERBS.split()), numbers, numbers, numbers), min_size=1, max_size=25
)


def pick(items: Any, number: int) -> Any:
    """One of some items."""
    return list(items)[number % len(list(items))]


class Editor:
    """A graph of functions and layers with masks, weights and two outputs, and what was taken out of it."""

    def __init__(self):
        self.graph = graph = Graph("net")
        x, y = (graph.add_input(name, (3, 3), "float32") for name in ("x", "y"))
        z = graph.add_input("z", (3, 2), "float32")
        graph.inputs = (x, y, z)
        for name in ("a", "b"):
            graph.add_parameter(object(), name, (3, 3), "float32")
        self.values = [x, y, z, *graph.parameters]
        for k in range(6):
            self.graph.append(self.node(k, k + 1, k))
        graph.outputs = [graph.nodes[3].outputs, {"last": graph.nodes[5].outputs}]
        graph.check()

    def node(self, first: int, second: int, kind: int) -> Node:
        """A node that is in no graph: a function, a layer that passes a mask on, or one with a weight."""
        graph = self.graph
        a, b = pick(self.values, first), pick(self.values, second)
        if kind % 3 == 0:
            node = Node(graph.unique_name("f"), "keras.ops.f", (a, [b]), {})
        elif kind % 3 == 1:
            node = Node(graph.unique_name("after"), LayerSpec("kerasfx.layers.After"), ([a, b],), {})
        else:
            spec = LayerSpec("keras.layers.Dense", {}, {"kernel": Slot((3, 3), "float32")})
            node = Node(graph.unique_name("dense"), spec, (a,), {})
            node.weights = {"kernel": graph.computed(weight(pick(graph.parameters, second)) + kind)}
        result = give_result_like(node, a)
        result.mask = (None, a.mask, b if b.dtype == "float32" else None)[kind // 3 % 3]
        self.values.append(result)
        return node

    def edit(self, verb: str, i: int, j: int, k: int) -> None:
        """Do it, whether it makes sense or not."""
        graph = self.graph
        anchor: Node = pick(graph.nodes, i)
        old, new = pick(self.values, j), pick(self.values, k)
        if verb in ("insert_before", "insert_after", "replace"):
            getattr(graph, verb)(anchor, self.node(j, k, i + j))
        elif verb == "replace_by_one_that_is_there":
            graph.replace(anchor, pick(graph.nodes, j))
        elif verb == "replace_uses":
            graph.replace_uses(old, new, except_=[n for n in old.users if new.node is n or n is anchor])
        elif verb == "replace_input":
            graph.replace_input(anchor, old, new)
        elif verb == "replace_output":
            graph.replace_output(old, new)
        elif verb == "remove":
            graph.remove(anchor)
        elif verb == "computed":
            graph.replace_uses(
                pick(graph.parameters, i), graph.computed(transpose(pick(graph.parameters, j)))
            )
        elif verb == "prune" and i % 4 == 0:
            graph.prune()

    def state(self) -> Any:
        """All that a refused edit must leave as it was."""
        graph = self.graph
        nodes = [(n, n.args, n.kwargs, n.weights, n.after, n.implicit_masks, n.path) for n in graph.nodes]
        users = [(v, list(v.users)) for v in self.values]
        weights = [(v, str(v.producer)) for v in graph.computed_weights]
        return str(graph), nodes, users, weights, graph.outputs, dict(graph.output_masks)


@pytest.mark.once
@hypothesis.settings(max_examples=8 * hypothesis.settings.default.max_examples)
@hypothesis.given(edits)
def test_random_edits_keep_the_invariants_or_change_nothing(plan):
    editor = Editor()
    for verb, *operands in plan:
        if not editor.graph.nodes or not editor.graph.parameters:
            break
        before, made = editor.state(), len(editor.values) + len(editor.graph.computed_weights)
        try:
            editor.edit(verb, *operands)
        except GraphError as error:
            message = str(error)
        else:
            message = ""
        if message:
            assert "\n" in message, "it says why, or where"
            # What the refused verb was to place was made before, and is in the text if it is a weight.
            if made == len(editor.values) + len(editor.graph.computed_weights):
                assert editor.state() == before
        editor.graph.check()
        assert_users_are_complete(editor.graph)


def assert_users_are_complete(graph: Graph) -> None:
    """What `check` cannot see: Values outside of the graph that believe to be used in it."""
    for node in graph.nodes:
        for value in (*values_in((node.args, node.kwargs)), *foreign_masks(node.implicit_masks)):
            assert node in value.users

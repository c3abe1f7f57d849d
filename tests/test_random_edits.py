"""Random edits of random graphs keep the invariants, or are refused and change nothing."""

from typing import Any

import hypothesis
import keras
import numpy as np
import pytest
from hypothesis import strategies as st

import kerasfx
from kerasfx.errors import GraphError
from kerasfx.ir import Graph, LayerSpec, Node, Slot, foreign_masks, values_in, weight
from kerasfx.ir.build import give_result_like
from kerasfx.ir.weights import transpose

pytestmark = [pytest.mark.any_keras, pytest.mark.any_backend]

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


class Net(keras.Model):
    """A layer, weights of functions, a mode, a free length."""

    def __init__(self):
        super().__init__(name="net")
        self.hidden = keras.layers.Dense(4, activation="tanh")
        self.drop = keras.layers.Dropout(0.5, seed=1)

    def build(self, shape):
        self.hidden.build(shape)
        self.kernel = self.add_weight(shape=(4, 3), name="kernel")
        self.bias = self.add_weight(shape=(3,), name="bias")

    def call(self, x, training=None):
        h = self.drop(self.hidden(x), training=training)
        return keras.ops.relu(keras.ops.matmul(h, self.kernel) + self.bias) + x[..., :3]


def through_identity(graph: Graph, node: Node) -> None:
    """Let what takes the result of a node take it through a layer that does nothing."""
    x = node.outputs
    layer = graph.insert_after(node, graph.make("keras.layers.Identity", x))
    graph.replace_uses(x, layer.outputs, except_=[layer])


def doubled_and_halved(graph: Graph, node: Node) -> None:
    """The same through two functions that undo each other."""
    x = node.outputs
    first = graph.insert_after(node, graph.make("keras.ops.multiply", x, 2.0))
    second = graph.insert_after(first, graph.make("keras.ops.multiply", first.outputs, 0.5))
    graph.replace_uses(x, second.outputs, except_=[first])


def said_otherwise(graph: Graph, node: Node) -> None:
    """Another function for relu, a layer with weights for matmul."""
    if node.calls("keras.ops.relu"):
        graph.replace(node, graph.make("keras.ops.maximum", *node.args, 0.0, like=node))
    elif node.calls("keras.ops.matmul") and node.args[1].variable is not None:
        x, kernel = node.args
        weights = {"kernel": transpose(transpose(kernel)) if kernel.users == {node: None} else kernel}
        dense = graph.make("keras.layers.Dense", x, weights=weights, like=node, units=3, use_bias=False)
        graph.replace(node, dense)


SAME = [through_identity, doubled_and_halved, said_otherwise]
rewrites = st.lists(st.tuples(st.sampled_from(SAME), numbers), min_size=3, max_size=8)


@hypothesis.settings(max_examples=max(2, hypothesis.settings.default.max_examples // 12))
@hypothesis.given(plan=rewrites)
def test_what_random_edits_left_the_same_is_the_same(plan, tmp_path_factory):
    keras.utils.set_random_seed(0)
    model, path = Net(), tmp_path_factory.mktemp("edited") / "edited.keras"
    traced = kerasfx.trace(model, keras.Input((None, 4)))
    for rewrite, number in plan:
        rewrite(traced.graph, pick(traced.graph.nodes, number))
        traced.graph.check()
    edited = kerasfx.emit(traced)
    assert kerasfx.compare(model, edited, samples=1)
    edited.save(path)
    x = np.float32(np.random.default_rng(0).normal(size=(2, 5, 4)))
    np.testing.assert_array_equal(keras.models.load_model(path).predict(x), edited.predict(x))
    for variable in edited.trainable_variables:
        variable.assign(variable * 1.5)
    kerasfx.copy_weights(edited, model)
    np.testing.assert_allclose(model.predict(x), edited.predict(x), rtol=1e-5, atol=1e-6)

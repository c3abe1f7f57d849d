"""The verbs that edit a graph: what they do, what they refuse, and that a refusal changes nothing."""

from dataclasses import dataclass

import numpy as np
import pytest

from kerasfx.errors import GraphError
from kerasfx.ir import (
    Body,
    Graph,
    LayerSpec,
    Node,
    Slot,
    Training,
    Value,
    weight,
)
from kerasfx.ir.build import give_result_like
from kerasfx.ir.dims import Dim
from kerasfx.ir.meta import Meta

pytestmark = pytest.mark.once


class Variable:
    """All that the IR knows of a Keras variable is its identity."""


def call(graph: Graph, name: str, *values, **kwargs) -> Node:
    """A node that is in no graph yet, with a result like its first argument."""
    node = Node(graph.unique_name(name), f"keras.ops.{name}", values, kwargs)
    give_result_like(node, values[0])
    return node


def line(*names: str, shape=(3, 4)) -> Graph:
    """A graph in which each op takes the result of the one before it."""
    graph = Graph("net")
    graph.inputs = value = graph.add_input("x", shape, "float32")
    for name in names:
        value = graph.append(call(graph, name, value)).outputs
    graph.outputs = value
    return graph


def named(graph: Graph, name: str) -> Node:
    """The node of that name."""
    return next(n for n in graph.nodes if n.name == name)


def names(graph: Graph) -> list[str]:
    """Those of the nodes, in order."""
    return [n.name for n in graph.nodes]


def refused(graph: Graph, edit) -> str:
    """The message of an edit that is refused; the graph is as it was before."""
    before = str(graph), names(graph), {n.name: list(n.outputs.users) for n in graph.nodes}
    with pytest.raises(GraphError) as caught:
        edit()
    assert (str(graph), names(graph), {n.name: list(n.outputs.users) for n in graph.nodes}) == before
    graph.check()
    return str(caught.value)


class TestInsert:
    def test_before_and_after_a_node(self):
        graph = line("relu", "exp")
        graph.insert_before(named(graph, "exp"), call(graph, "abs", named(graph, "relu").outputs))
        graph.insert_after(named(graph, "exp"), call(graph, "sin", named(graph, "exp").outputs))
        assert names(graph) == ["relu", "abs", "exp", "sin"]
        graph.check()

    def test_refuses_a_node_that_takes_what_comes_later(self):
        graph = line("relu", "exp")
        node = call(graph, "abs", named(graph, "exp").outputs)
        message = refused(graph, lambda: graph.insert_before(named(graph, "exp"), node))
        assert (
            "'abs' cannot be inserted in front of 'exp': it takes 'exp', which is produced later" in message
        )
        assert "-> %exp: float32[3, 4]" in message

    def test_refuses_a_node_that_is_in_a_graph(self):
        graph = line("relu", "exp")
        node = named(graph, "exp")
        message = refused(graph, lambda: graph.insert_after(named(graph, "relu"), node))
        assert "'exp' cannot be inserted behind 'relu': it is in a graph already" in message

    def test_refuses_an_anchor_of_another_graph(self):
        graph, other = line("relu"), line("exp")
        node = call(graph, "abs", graph.inputs)
        message = refused(graph, lambda: graph.insert_before(other.nodes[0], node))
        assert "'exp' is not in the graph of 'net'" in message
        assert "graph.walk() gives each node with the graph that it is in" in message

    def test_refuses_a_value_of_a_removed_node(self):
        graph = line("relu", "exp")
        relu = named(graph, "relu")
        graph.replace_uses(relu.outputs, graph.inputs)
        graph.remove(relu)
        node = call(graph, "abs", relu.outputs)
        message = refused(graph, lambda: graph.insert_before(named(graph, "exp"), node))
        assert "'relu' is not in this graph" in message


class TestWrongTypes:
    @pytest.mark.parametrize(
        "edit",
        [
            lambda graph, node: graph.replace(node, node.outputs),
            lambda graph, node: graph.replace_uses(node, node),
            lambda graph, node: graph.remove(node.outputs),
            lambda graph, node: graph.insert_before(node, node.outputs),
            lambda graph, node: graph.insert_after(node.outputs, node),
            lambda graph, node: graph.replace_output(node, node),
            lambda graph, node: graph.weight_of(node.outputs, "kernel"),
        ],
    )
    def test_a_node_is_not_its_value(self, edit):
        graph = line("relu", "exp")
        message = refused(graph, lambda: edit(graph, named(graph, "exp")))
        assert "node.outputs is the value that a node gives" in message

    def test_arguments_are_a_tuple_and_a_dict(self):
        graph = line("relu", "exp")
        node = named(graph, "exp")
        assert "a tuple and a dict" in refused(graph, lambda: graph.set_arguments(node, graph.inputs, {}))


def test_a_node_that_was_there_keeps_its_training():
    graph = line("relu", "exp")
    old = named(graph, "exp")
    twin = graph.insert_before(old, call(graph, "exp", *old.args))
    old.training, old.only_in = Training(fixed=True), (True, Training())
    graph.replace(old, twin)
    assert (twin.training, twin.only_in) == (Training(), None)


def test_nodes_backwards_leave_out_what_was_removed():
    graph = line("relu", "exp", "sin")
    seen = []
    for node in reversed(graph.nodes):
        seen.append(node.name)
        if node.name == "sin":
            graph.outputs = graph.inputs
            graph.remove(node)
            graph.remove(named(graph, "exp"))
    assert seen == ["sin", "relu"]


class TestReplaceUses:
    def test_leaves_out_what_it_is_told_to(self):
        graph = line("relu", "exp", "sin")
        relu = named(graph, "relu")
        doubled = graph.insert_after(relu, call(graph, "add", relu.outputs, relu.outputs))
        graph.replace_uses(relu.outputs, doubled.outputs, except_=[doubled])
        assert named(graph, "exp").args == (doubled.outputs,)
        assert doubled.args == (relu.outputs, relu.outputs)
        graph.check()

    def test_refuses_a_node_that_would_take_itself(self):
        graph = line("relu", "exp")
        relu = named(graph, "relu")
        doubled = graph.insert_after(relu, call(graph, "add", relu.outputs, relu.outputs))
        message = refused(graph, lambda: graph.replace_uses(relu.outputs, doubled.outputs))
        assert "'add' would take it before it is produced" in message
        assert "graph.replace_uses(old, new, except_=[add])" in message

    @pytest.mark.parametrize(
        ("shape", "dtype", "said"),
        [
            ((3, 5), "float32", "its shape is (3, 5) instead of (3, 4)"),
            ((3, 4), "float16", "its dtype is float16 instead of float32"),
        ],
    )
    def test_refuses_another_shape_or_dtype(self, shape, dtype, said):
        graph = line("relu", "exp")
        node = Node("cast", "keras.ops.cast", (graph.inputs,), {})
        node.outputs = Value("cast", shape, dtype, node)
        graph.insert_before(graph.nodes[0], node)
        assert said in refused(graph, lambda: graph.replace_uses(named(graph, "relu").outputs, node.outputs))

    def test_a_layer_goes_on_taking_the_mask_that_it_took(self):
        graph = line("relu", "exp")
        mask = graph.insert(0, call(graph, "not_equal", graph.inputs)).outputs
        relu = named(graph, "relu")
        relu.outputs.mask = mask
        layer = Node("lstm", LayerSpec("kerasfx.layers.After"), (relu.outputs,), {})
        give_result_like(layer, relu.outputs)
        graph.append(layer)
        graph.replace_uses(relu.outputs, graph.inputs, except_=[named(graph, "exp")])
        assert layer.implicit_masks == {graph.inputs: mask}
        assert layer in mask.users
        graph.check()

    def test_replaces_a_weight_inside_of_a_computed_one(self):
        graph = line("relu")
        first, second = (graph.add_parameter(Variable(), n, (4,), "float32") for n in ("a", "b"))
        value = graph.computed(weight(first) * 2.0)
        graph.replace_uses(first, second)
        assert str(value.producer) == "computed (%b * 2.0)"

    def test_refuses_a_result_inside_of_a_computed_weight(self):
        graph = line("relu")
        first = graph.add_parameter(Variable(), "a", (3, 4), "float32")
        graph.computed(weight(first) * 2.0)
        message = refused(graph, lambda: graph.replace_uses(first, named(graph, "relu").outputs))
        assert "'relu' is no weight" in message


class TestReplaceOutput:
    def test_changes_the_outputs_and_no_node(self):
        graph = line("relu", "exp")
        relu, exp = (named(graph, n).outputs for n in ("relu", "exp"))
        graph.outputs = {"a": relu, "b": exp}
        graph.output_masks = {relu: None, exp: None}
        graph.replace_output(relu, graph.inputs)
        assert graph.outputs == {"a": graph.inputs, "b": exp}
        assert named(graph, "exp").args == (relu,)
        assert (graph.inputs.is_output, exp.is_output, relu.is_output) == (True, True, False)

    def test_the_output_keeps_its_mask(self):
        graph = line("relu", "exp")
        mask = graph.insert(0, call(graph, "not_equal", graph.inputs)).outputs
        exp = named(graph, "exp").outputs
        exp.mask = mask
        graph.replace_output(exp, named(graph, "relu").outputs)
        assert graph.output_masks == {named(graph, "relu").outputs: mask}
        assert mask.is_output


class TestReplaceInput:
    def test_changes_one_node(self):
        graph = line("relu", "exp")
        both = graph.append(call(graph, "add", graph.inputs, graph.inputs))
        graph.replace_input(both, graph.inputs, named(graph, "exp").outputs)
        assert both.args == (named(graph, "exp").outputs,) * 2
        assert named(graph, "relu").args == (graph.inputs,)
        graph.check()


class TestReplace:
    def test_takes_the_place_and_what_it_was_not_told(self):
        graph = line("relu", "exp", "sin")
        old = named(graph, "exp")
        old.path, old.training, old.only_in = "block.act", Training(bare=True), (True, Training())
        graph.set_after(old, (graph.inputs,))
        new = graph.replace(old, call(graph, "tanh", *old.args))
        assert names(graph) == ["relu", "tanh", "sin"]
        assert named(graph, "sin").args == (new.outputs,)
        assert (new.path, new.training, new.only_in) == ("block.act", Training(bare=True), (True, Training()))
        assert new.after == (graph.inputs,)
        assert old.program is None
        graph.check()

    def test_one_that_is_in_the_graph_already(self):
        graph = line("relu", "exp", "sin")
        twin = graph.insert_after(named(graph, "relu"), call(graph, "exp", named(graph, "relu").outputs))
        graph.replace(named(graph, "exp"), twin)
        assert names(graph) == ["relu", "exp", "sin"]
        assert named(graph, "sin").args == (twin.outputs,)
        graph.check()

    def test_refuses_a_node_that_takes_what_it_replaces(self):
        graph = line("relu", "exp")
        old = named(graph, "relu")
        message = refused(graph, lambda: graph.replace(old, call(graph, "abs", old.outputs)))
        assert "'abs' cannot replace 'relu': it takes 'relu', which is produced later" in message

    def test_refuses_another_structure(self):
        graph = line("relu")
        new = call(graph, "split", graph.inputs)
        new.outputs = [new.outputs]
        message = refused(graph, lambda: graph.replace(named(graph, "relu"), new))
        assert "it gives ['result'] instead of result" in message

    def test_refuses_a_free_size_that_may_be_another(self):
        graph = Graph("net")
        graph.inputs = x = graph.add_input("x", (), "float32")
        x.shape = (Dim.axis(x, 0, (5, 7)), 4)
        graph.outputs = graph.append(call(graph, "relu", x)).outputs
        new = Node("nonzero", "keras.ops.nonzero", (x,), {})
        new.outputs = Value("nonzero", (), "float32", new)
        new.outputs.shape = (Dim.axis(new.outputs, 0, (5, 7)), 4)
        message = refused(graph, lambda: graph.replace(graph.nodes[0], new))
        assert "its shape is (nonzero.shape[0], 4) instead of (relu.shape[0], 4)" in message
        assert "graph.make(..., like=node)" in message

    @pytest.mark.parametrize(
        ("before", "after", "said"),
        [
            (True, False, "a mask would be lost: 'tanh' carries no mask, 'exp' carries 'not_equal'"),
            (False, True, "a mask would be added: 'tanh' carries 'not_equal', 'exp' carries no mask"),
        ],
    )
    def test_refuses_to_lose_or_to_add_a_mask(self, before, after, said):
        graph = line("relu", "exp")
        mask = graph.insert(0, call(graph, "not_equal", graph.inputs)).outputs
        old = named(graph, "exp")
        new = call(graph, "tanh", *old.args)
        old.outputs.mask, new.outputs.mask = (mask if has else None for has in (before, after))
        message = refused(graph, lambda: graph.replace(old, new))
        assert said in message
        assert "layers behind it (LSTM, attention, losses) use the mask" in message

    def test_the_size_of_what_was_replaced_is_known_as_before(self):
        graph = Graph("net")
        graph.inputs = x = graph.add_input("x", (), "float32")
        x.shape = (Dim.axis(x, 0, (5, 7)), 4)
        graph.append(call(graph, "relu", x))
        reshape = graph.append(
            call(graph, "reshape", graph.nodes[0].outputs, graph.nodes[0].outputs.shape[0])
        )
        graph.outputs = reshape.outputs
        new = graph.replace(graph.nodes[0], call(graph, "abs", x))
        assert reshape.args[1].same_as(x.shape[0])
        assert list(reshape.args[1].values()) == [new.outputs]


class TestWhileEditing:
    def test_a_loop_visits_what_was_there_and_is_there_still(self):
        graph = line("relu", "exp", "sin", "cos")
        visited = []
        for node in graph.nodes:
            visited.append(node.name)
            if node.name == "relu":
                sin = named(graph, "sin")
                graph.replace_uses(sin.outputs, sin.args[0])
                graph.remove(sin)
                graph.insert_after(node, call(graph, "abs", node.outputs))
        assert visited == ["relu", "exp", "cos"]
        assert names(graph) == ["relu", "abs", "exp", "cos"]

    def test_walk_goes_into_bodies_and_names_their_graph(self):
        inner, graph = line("exp"), line("relu")
        inner.inputs = ((inner.inputs,), ())
        loop = graph.append(call(graph, "map", graph.outputs, Body(inner, ())))
        found = [(g, n.name) for g, n in graph.walk()]
        assert found == [(graph, "relu"), (graph, "map"), (inner, "exp")]
        for g, node in graph.walk():
            if node.calls("keras.ops.exp"):
                g.replace(node, call(g, "tanh", *node.args))
        assert names(inner) == ["tanh"]
        graph.outputs = loop.outputs
        graph.check()

    @pytest.mark.parametrize("what", ["array", "layer"])
    def test_a_body_has_room_for_functions_alone(self, what):
        inner, graph = line("exp"), line("relu")
        inner.inputs = ((inner.inputs,), ())
        graph.append(call(graph, "map", graph.outputs, Body(inner, ())))
        if what == "array":
            inner.add_constant(np.zeros(100))
        else:
            inner.nodes[0].target = LayerSpec("keras.layers.Activation", {"activation": "exp"}, slots={})
        with pytest.raises(GraphError, match="a body of 'map' holds"):
            graph.check()


@dataclass(frozen=True)
class BitWidth:
    """What a pass may note."""

    bits: int


class TestMeta:
    def test_is_found_by_its_class(self):
        node = line("relu").nodes[0]
        node.meta[BitWidth] = BitWidth(8)
        assert node.meta[BitWidth].bits == 8
        assert (BitWidth in node.meta, list(node.meta), len(node.meta)) == (True, [BitWidth], 1)
        del node.meta[BitWidth]
        assert node.meta.get(BitWidth) is None

    @pytest.mark.parametrize(
        ("key", "value", "said"),
        [("bits", 8, "is a dataclass, not 'bits'"), (BitWidth, 8, "is a BitWidth, not a int: 8")],
    )
    def test_refuses_free_strings_and_other_values(self, key, value, said):
        with pytest.raises(TypeError, match=said):
            Meta()[key] = value


def spec(graph: Graph, slots: dict[str, Slot] | None, **weights: Value) -> Node:
    """A layer to be made, appended."""
    node = Node(graph.unique_name("dense"), LayerSpec("keras.layers.Dense", {}, slots), (graph.outputs,), {})
    node.weights = weights
    give_result_like(node, graph.outputs)
    return graph.append(node)


KERNEL = {"kernel": Slot((4, 4), "float32")}


class TestWeights:
    def kernel(self, graph: Graph, shape=(4, 4), dtype="float32") -> Value:
        return graph.add_parameter(Variable(), "dense.kernel", shape, dtype)

    def test_are_inputs_with_users_and_survive_pruning(self):
        graph = line("relu")
        kernel = self.kernel(graph)
        value = graph.computed(weight(kernel) * 2.0, "doubled")
        node = spec(graph, KERNEL, kernel=value)
        graph.outputs = node.outputs
        assert value in node.inputs
        assert list(value.users) == [node]
        graph.prune()
        assert (graph.parameters, graph.computed_weights) == ([kernel], [value])
        graph.check()
        assert "%doubled: float32[4, 4] = computed (%dense_kernel * 2.0)" in str(graph)
        assert "Dense()(%relu, weights={kernel: %doubled})" in str(graph)

    def test_that_nobody_needs_are_pruned(self):
        graph = line("relu")
        graph.computed(weight(self.kernel(graph)) * 2.0)
        graph.prune()
        assert (graph.parameters, graph.computed_weights) == ([], [])

    def test_are_replaced_as_other_values_are(self):
        graph = line("relu")
        first, second = self.kernel(graph), self.kernel(graph)
        node = spec(graph, KERNEL, kernel=first)
        graph.replace_uses(first, second)
        assert node.weights == {"kernel": second}
        assert (list(first.users), list(second.users)) == ([], [node])
        graph.check()

    def test_numbers_alone_are_a_constant(self):
        graph = line("relu")
        value = graph.computed(np.ones(3, "float32"))
        assert value in graph.constants
        assert graph.computed(np.ones(3, "float32")) is value

    def test_of_a_node_by_name(self):
        graph = line("relu")
        kernel = self.kernel(graph)
        node = spec(graph, KERNEL, kernel=kernel)
        assert graph.weight_of(node, "kernel") is kernel
        with pytest.raises(GraphError, match=r"'dense' has no weight 'bias'(.|\n)*it has: kernel"):
            graph.weight_of(node, "bias")

    @pytest.mark.parametrize(
        ("slots", "weights", "said"),
        [
            (None, {}, "nobody looked which weights 'dense' has"),
            (KERNEL, {}, "'dense' has weights that nobody set: 'kernel'"),
            (
                KERNEL,
                {"kernel": ((4, 4), "float32"), "gain": ((4,), "float32")},
                "'dense' has no weight 'gain'",
            ),
            (
                KERNEL,
                {"kernel": ((4, 5), "float32")},
                "is float32[4, 4], but 'dense_kernel' is float32[4, 5]",
            ),
            (
                KERNEL,
                {"kernel": ((4, 4), "float16")},
                "is float32[4, 4], but 'dense_kernel' is float16[4, 4]",
            ),
        ],
    )
    def test_check_refuses(self, slots, weights, said):
        graph = line("relu")
        spec(graph, slots, **{name: self.kernel(graph, *of) for name, of in weights.items()})
        with pytest.raises(GraphError) as caught:
            graph.check()
        assert said in str(caught.value)
        assert "-> %dense: float32[3, 4] = Dense()" in str(caught.value)

    def test_check_refuses_a_weight_that_a_call_gives(self):
        graph = line("relu", shape=(4, 4))
        spec(graph, KERNEL, kernel=graph.outputs)
        with pytest.raises(GraphError, match=r"is 'relu', a result of 'relu'(.|\n)*when the model is called"):
            graph.check()

    @pytest.mark.parametrize("other", ["layer", "function"])
    def test_check_refuses_a_variable_of_two_places(self, other):
        graph = line("relu")
        kernel = self.kernel(graph)
        spec(graph, KERNEL, kernel=kernel)
        if other == "layer":
            spec(graph, KERNEL, kernel=kernel).target = LayerSpec("keras.layers.Dense", {"units": 4}, KERNEL)
        else:
            graph.append(call(graph, "square", kernel))
        with pytest.raises(GraphError, match=r"the variable dense.kernel is held by 'dense' and by"):
            graph.check()

    def test_a_variable_of_two_places_may_be_computed_in_one(self):
        graph = line("relu")
        kernel = self.kernel(graph)
        spec(graph, KERNEL, kernel=kernel)
        spec(graph, KERNEL, kernel=graph.computed(weight(kernel) + 1.0))
        graph.check()


def test_equal_constants_are_one_and_nobody_can_change_it():
    graph, array = Graph(), np.arange(3)
    value = graph.add_constant(array)
    array[0] = 7
    assert graph.add_constant(np.arange(3)) is value
    assert graph.add_constant(array) is not value
    assert graph.add_constant(np.arange(3.0)) is not value
    assert value.array is not None
    with pytest.raises(ValueError, match="read-only"):
        value.array[0] = 1

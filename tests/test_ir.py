"""The IR: its invariants and its edit verbs."""

from collections import namedtuple

import numpy as np
import pytest

from kerasfx.errors import GraphError
from kerasfx.ir import (
    Graph,
    Input,
    Node,
    Value,
    leaves_of,
    map_leaves,
    map_values,
    values_in,
)
from kerasfx.ir.dims import Dim

pytestmark = pytest.mark.once

Pair = namedtuple("Pair", "left right")


class Variable:
    """All that the IR knows of a Keras variable is its identity."""


def op(graph: Graph, name: str, *args, masks=None, **kwargs) -> Value:
    """Appends a node with one result and returns that."""
    node = Node(name, f"keras.ops.{name}", args, kwargs)
    node.implicit_masks = dict(masks or {})
    node.outputs = Value(name, (3, 4), "float32", node)
    graph.append(node)
    return node.outputs


def line(*names: str) -> Graph:
    """A graph in which each op takes the result of the one before it."""
    graph = Graph("net")
    graph.inputs = value = graph.add_input("x", (3, 4), "float32")
    for name in names:
        value = op(graph, name, value)
    graph.outputs = value
    return graph


def named(graph: Graph, name: str) -> Node:
    """The node of that name."""
    return next(n for n in graph.nodes if n.name == name)


class TestCheck:
    def test_returns_the_graph(self):
        graph = line("relu", "exp")
        assert graph.check() is graph

    def test_refuses_a_name_of_two_values(self):
        graph = line("relu", "exp")
        named(graph, "exp").outputs.name = "relu"
        with pytest.raises(GraphError, match="the name 'relu' is used twice"):
            graph.check()

    def test_refuses_a_name_of_two_nodes(self):
        graph = line("relu", "exp")
        named(graph, "exp").name = "relu"
        with pytest.raises(GraphError, match="the name 'relu' is used twice"):
            graph.check()

    def test_refuses_a_value_taken_before_it_is_produced(self):
        graph = line("relu", "exp")
        graph.nodes.reverse()
        with pytest.raises(GraphError, match="'exp' takes 'relu' before it is produced"):
            graph.check()

    def test_refuses_a_mask_that_is_not_produced(self):
        graph = line("relu")
        stray = Value("stray", (3,), "bool", Input("stray"))
        op(graph, "lstm", graph.outputs, masks={graph.outputs: stray})
        with pytest.raises(GraphError, match="'lstm' takes 'stray' before it is produced"):
            graph.check()

    def test_refuses_a_user_that_is_missing(self):
        graph = line("relu", "exp")
        named(graph, "relu").outputs.users.clear()
        with pytest.raises(GraphError, match="'exp' is missing in the users of 'relu'"):
            graph.check()

    def test_refuses_a_user_that_does_not_take_the_value(self):
        graph = line("relu", "exp")
        graph.inputs.users[named(graph, "exp")] = None
        with pytest.raises(GraphError, match="'x' has 'exp' as a user, which does not take it"):
            graph.check()

    def test_refuses_a_user_that_left_the_graph(self):
        graph = line("relu", "exp")
        graph.outputs = named(graph, "relu").outputs
        graph.nodes.pop()
        with pytest.raises(GraphError, match="'relu' has 'exp' as a user, which does not take it"):
            graph.check()

    def test_refuses_a_result_of_another_producer(self):
        graph = line("relu", "exp")
        named(graph, "exp").outputs.producer = named(graph, "relu")
        with pytest.raises(GraphError, match="'exp' has a producer other than 'exp'"):
            graph.check()

    def test_refuses_an_output_that_is_not_produced(self):
        graph = line("relu")
        graph.outputs = [graph.outputs, Value("stray", (), "float32", Input("stray"))]
        with pytest.raises(GraphError, match="output 'stray' is not produced in the graph"):
            graph.check()

    def test_refuses_two_parameters_of_one_variable(self):
        graph, variable = line("relu"), Variable()
        graph.add_parameter(variable, "dense.kernel", (4,), "float32")
        twin = graph.add_parameter(Variable(), "dense.other", (4,), "float32")
        object.__setattr__(twin.producer, "variable", variable)
        with pytest.raises(GraphError, match="one variable has two parameters"):
            graph.check()

    def test_message_shows_the_neighbourhood(self):
        graph = line("relu", "exp", "tanh", "log", "sin")
        graph.nodes[1], graph.nodes[2] = graph.nodes[2], graph.nodes[1]
        with pytest.raises(GraphError) as caught:
            graph.check()
        assert str(caught.value) == (
            "The graph of 'net' is broken: 'tanh' takes 'exp' before it is produced.\n"
            "   %relu: float32[3, 4] = keras.ops.relu(%x)  # .\n"
            "-> %tanh: float32[3, 4] = keras.ops.tanh(%exp)  # .\n"
            "   %exp: float32[3, 4] = keras.ops.exp(%relu)  # .\n"
            "   %log: float32[3, 4] = keras.ops.log(%tanh)  # .\n"
            "   %sin: float32[3, 4] = keras.ops.sin(%log)  # ."
        )


class TestNames:
    def test_are_counted_up(self):
        graph = Graph()
        assert [graph.unique_name("a") for _ in range(3)] == ["a", "a_1", "a_2"]

    def test_are_free_again_after_a_removal(self):
        graph = line("relu")
        graph.outputs = graph.inputs
        graph.unique_name("relu")
        graph.remove(named(graph, "relu"))
        assert graph.unique_name("relu") == "relu"

    def test_a_parameter_is_named_by_its_path_and_made_once(self):
        graph, variable = Graph(), Variable()
        first = graph.add_parameter(variable, "blocks[0].scale", (4,), "float32")
        assert first.name == "blocks_0_scale"
        assert graph.add_parameter(variable, "elsewhere", (4,), "float32") is first

    def test_a_constant_has_the_shape_and_dtype_of_its_array(self):
        value = Graph().add_constant(np.ones((2, 3), "int8"))
        assert (value.name, value.shape, value.dtype) == ("constant", (2, 3), "int8")


class TestInsert:
    def test_puts_a_node_at_its_position_and_enters_it_as_a_user(self):
        graph = line("relu", "exp")
        node = Node("abs", "keras.ops.abs", (graph.inputs,), {})
        node.outputs = Value("abs", (3, 4), "float32", node)
        graph.insert(1, node)
        assert [n.name for n in graph.nodes] == ["relu", "abs", "exp"]
        assert list(graph.inputs.users) == [named(graph, "relu"), node]
        graph.check()

    def test_enters_the_user_of_a_value_inside_a_dim_a_slice_and_a_dict(self):
        graph = line("relu")
        x = graph.inputs
        size = Dim.axis(x, 0, (5, 7)) * 2
        for key in (size, slice(None, size), {"shape": (size, 4)}):
            taken = op(graph, graph.unique_name("take"), key)
            assert taken.producer.inputs == (x,)
            assert taken.producer in x.users


class TestSetArguments:
    def test_leaves_the_old_users_and_joins_the_new(self):
        graph = line("relu", "exp", "tanh")
        tanh, exp = named(graph, "tanh"), named(graph, "exp").outputs
        graph.set_arguments(tanh, (graph.inputs,), {"axis": 1})
        assert tanh.args == (graph.inputs,)
        assert tanh.kwargs == {"axis": 1}
        assert list(exp.users) == []
        assert list(graph.inputs.users) == [named(graph, "relu"), tanh]
        graph.check()


class TestReplaceUses:
    @pytest.mark.parametrize(
        "wrap",
        [
            lambda x: x,
            lambda x: [x, (x, 1)],
            lambda x: {"a": {"b": x}},
            lambda x: slice(None, x, 2),
            lambda x: Dim.axis(x, 0, (5, 7)) * 2 + 1,
            lambda x: {"shape": (1, slice(Dim.axis(x, 0, (5, 7)), None))},
            lambda x: Pair(x, Dim.axis(x, 1, (5, 7))),
        ],
        ids=["plain", "list", "dict", "slice", "dim", "dim in a slice", "namedtuple"],
    )
    def test_replaces_inside(self, wrap):
        graph = line("relu", "exp")
        relu = named(graph, "relu").outputs
        taken = op(graph, "take", wrap(relu), key=wrap(relu)).producer
        graph.replace_uses(relu, graph.inputs)
        assert set(values_in((taken.args, taken.kwargs))) == {graph.inputs}
        assert type(taken.args[0]) is type(wrap(relu))
        assert list(relu.users) == []
        graph.check()

    def test_replaces_a_mask_that_an_argument_carries(self):
        graph = line("relu")
        old, new = (op(graph, name, graph.inputs) for name in ("old", "new"))
        layer = op(graph, "lstm", graph.inputs, masks={graph.inputs: old}).producer
        graph.replace_uses(old, new)
        assert layer.implicit_masks == {graph.inputs: new}
        assert (list(old.users), list(new.users)) == ([], [layer])
        graph.check()

    def test_keeps_the_mask_of_an_argument_that_is_replaced(self):
        graph = line("relu", "exp")
        mask = op(graph, "mask", graph.inputs)
        relu = named(graph, "relu").outputs
        relu.mask = mask
        layer = op(graph, "lstm", relu, masks={relu: mask}).producer
        graph.replace_uses(relu, graph.inputs)
        assert layer.implicit_masks == {graph.inputs: mask}
        assert layer in mask.users
        graph.check()

    def test_replaces_in_the_outputs_and_in_their_masks(self):
        graph = line("relu", "exp")
        relu, exp = (named(graph, name).outputs for name in ("relu", "exp"))
        graph.outputs = {"a": exp, "b": [exp, None]}
        graph.output_masks = {exp: exp}
        graph.replace_uses(exp, relu)
        assert graph.outputs == {"a": relu, "b": [relu, None]}
        assert graph.output_masks == {relu: relu}

    def test_leaves_other_values_alone(self):
        graph = line("relu", "exp", "tanh")
        relu, exp = (named(graph, name).outputs for name in ("relu", "exp"))
        graph.replace_uses(exp, relu)
        assert named(graph, "exp").args == (relu,)
        assert named(graph, "tanh").args == (relu,)


class TestRemove:
    def test_takes_the_node_out_and_leaves_no_user_behind(self):
        graph = line("relu", "exp")
        graph.replace_uses(named(graph, "relu").outputs, graph.inputs)
        graph.remove(named(graph, "relu"))
        assert [n.name for n in graph.nodes] == ["exp"]
        assert list(graph.inputs.users) == [named(graph, "exp")]
        graph.check()

    def test_refuses_a_node_in_use_and_names_the_users(self):
        graph = line("relu", "exp")
        op(graph, "tanh", Dim.axis(named(graph, "relu").outputs, 0, (5, 7)))
        with pytest.raises(GraphError) as caught:
            graph.remove(named(graph, "relu"))
        assert str(caught.value) == (
            "'relu' cannot be removed: 'relu' is used by exp, tanh.\n"
            "  do:    replace its uses first: graph.replace_uses(old, new)\n"
            "-> %relu: float32[3, 4] = keras.ops.relu(%x)  # .\n"
            "   %exp: float32[3, 4] = keras.ops.exp(%relu)  # .\n"
            "   %tanh: float32[3, 4] = keras.ops.tanh(relu.shape[0])  # ."
        )

    def test_refuses_a_node_that_gives_an_output(self):
        graph = line("relu")
        with pytest.raises(GraphError, match="'relu' is used by the outputs"):
            graph.remove(named(graph, "relu"))

    def test_refuses_a_node_that_gives_a_mask(self):
        graph = line("relu")
        mask = op(graph, "mask", graph.inputs)
        op(graph, "lstm", graph.outputs, masks={graph.outputs: mask})
        with pytest.raises(GraphError, match="'mask' is used by lstm"):
            graph.remove(mask.producer)

    def test_refuses_a_node_that_gives_the_mask_of_an_output(self):
        graph = line("relu")
        mask = op(graph, "mask", graph.inputs)
        graph.output_masks = {graph.outputs: mask}
        with pytest.raises(GraphError, match="'mask' is used by the outputs"):
            graph.remove(mask.producer)


class TestPrune:
    def test_removes_what_no_output_needs(self):
        graph = line("relu", "exp")
        graph.add_parameter(Variable(), "unused", (4,), "float32")
        graph.add_constant(np.ones(3))
        op(graph, "second", op(graph, "first", graph.inputs))
        assert graph.prune()
        assert [n.name for n in graph.nodes] == ["relu", "exp"]
        assert (graph.parameters, graph.constants) == ([], [])
        assert list(graph.inputs.users) == [named(graph, "relu")]
        assert not graph.check().prune()

    def test_keeps_what_dims_slices_and_masks_need(self):
        graph = line("relu")
        weight = graph.add_parameter(Variable(), "weight", (4,), "float32")
        table = graph.add_constant(np.ones(3))
        sized, sliced = (op(graph, name, graph.inputs) for name in ("sized", "sliced"))
        masking, masked = op(graph, "masking", table), op(graph, "masked", weight)
        keys = {"shape": (Dim.axis(sized, 0, (5, 7)), 4), "key": slice(sliced, None)}
        last = op(graph, "last", graph.outputs, masks={graph.outputs: masking}, **keys)
        graph.outputs, graph.output_masks = last, {last: masked}
        assert not graph.prune()
        assert len(graph.nodes) == 6
        assert (graph.parameters, graph.constants) == ([weight], [table])

    def test_drops_a_mask_that_its_producer_attaches_anyway(self):
        graph = line("relu")
        mask = op(graph, "mask", graph.inputs)
        graph.outputs.mask = mask
        graph.output_masks = {graph.outputs: mask}
        assert graph.prune()
        assert [n.name for n in graph.nodes] == ["relu"]

    def test_the_first_node_may_be_what_no_output_needs(self):
        graph = Graph("net")
        graph.inputs = value = graph.add_input("x", (3, 4), "float32")
        op(graph, "unused", value)
        graph.outputs = op(graph, "exp", value)
        assert graph.prune()
        assert [node.name for node in graph.check().nodes] == ["exp"]


def test_truncate_forgets_the_last_nodes_and_their_names():
    graph = line("relu", "exp", "tanh")
    for node in graph.nodes:
        graph.unique_name(node.name)
    graph.outputs = named(graph, "relu").outputs
    graph.truncate(1)
    assert [n.name for n in graph.nodes] == ["relu"]
    assert list(graph.outputs.users) == []
    assert graph.unique_name("exp") == "exp"
    graph.check()


class TestStructures:
    STRUCTURE = ({"b": [1, Pair(2, slice(3, None, 4))], "a": (5,)}, 6)

    def test_map_leaves_keeps_every_kind(self):
        mapped = map_leaves(lambda x: x and 10 * x, self.STRUCTURE)
        assert mapped == ({"b": [10, Pair(20, slice(30, None, 40))], "a": (50,)}, 60)
        assert type(mapped[0]["b"][1]) is Pair
        assert list(mapped[0]) == ["b", "a"]

    def test_leaves_of_follows_the_order_of_map_leaves(self):
        visited = []
        map_leaves(visited.append, self.STRUCTURE)
        assert list(leaves_of(self.STRUCTURE)) == visited == [1, 2, 3, None, 4, 5, 6]

    def test_map_values_leaves_everything_else_alone(self):
        value = Value("x", (), "float32", Input("x"))
        other = Value("y", (), "float32", Input("y"))
        size = Dim.axis(value, 0, (5, 7))
        mapped = map_values(lambda _: other, [value, size, "x", None, 1.5])
        assert mapped[0] is other
        assert list(mapped[1].values()) == [other]
        assert mapped[2:] == ["x", None, 1.5]

"""Ops become built-in layers exactly where nothing else changes; golden texts, then the oracle."""

import keras
import numpy as np
import pytest
from keras import ops
from lowering import Call, Rule, call_with, f, fixed, half, lines
from predicting import predicted

import kerasfx
from kerasfx.ir import (
    Graph,
    LayerSpec,
    Node,
    Value,
)
from kerasfx.ir.dims import Dim
from kerasfx.passes import to_merges, to_reshapes, use_standard_layers

pytestmark = pytest.mark.any_keras


def lower(graph):
    """Put layers without weights where functions stand; returns whether any was."""
    changed = [each(graph) for each in (to_merges, to_reshapes, use_standard_layers)]
    return any(changed)


A, B = f(3, 4), f(3, 4)
FREE = f(None, 4)

RULES = {
    "add": Rule(lambda m, x, y: x + y, (A, B), "Add()([%x, %y])"),
    "subtract": Rule(lambda m, x, y: x - y, (A, B), "Subtract()([%x, %y])"),
    "subtract by name": Rule(lambda m, x, y: ops.subtract(x2=x, x1=y), (A, B), "Subtract()([%y, %x])"),
    "multiply": Rule(lambda m, x, y: x * y, (A, B), "Multiply()([%x, %y])"),
    "maximum": Rule(lambda m, x, y: ops.maximum(x, y), (A, B), "Maximum()([%x, %y])"),
    "minimum": Rule(lambda m, x, y: ops.minimum(x, y), (A, B), "Minimum()([%x, %y])"),
    "add to itself": Rule(lambda m, x: x + x, (A,), "Add()([%x, %x])"),
    "add, free sizes": Rule(lambda m, x: x + x, (FREE,), "Add()([%x, %x])"),
    "add, last axis broadcast": Rule(lambda m, x, y: x + y, (A, f(3, 1)), "Add()([%x, %y])"),
    "add, known batch": Rule(lambda m, x, y: x + y, (fixed(2, 4), fixed(2, 4)), "Add()([%x, %y])"),
    "add, float16": Rule(lambda m, x: half(x) + half(x), (A,), "Add()([%cast, %cast_1])"),
    "concatenate": Rule(
        lambda m, x, y: ops.concatenate([x, y], axis=-1),
        (A, f(3, 2)),
        "Concatenate(axis=-1)([%x, %y])",
    ),
    "concatenate, inner axis": Rule(
        lambda m, x, y: ops.concatenate([x, y, x], axis=1),
        (FREE, f(2, 4)),
        "Concatenate(axis=1)([%x, %y, %x])",
    ),
    "relu": Rule(lambda m, x: ops.relu(x), (A,), "ReLU()(%x)"),
    "softmax": Rule(lambda m, x: ops.softmax(x), (A,), "Softmax(axis=-1)(%x)"),
    "softmax, inner axis": Rule(lambda m, x: ops.softmax(x, axis=1), (A,), "Softmax(axis=1)(%x)"),
    "transpose": Rule(lambda m, x: ops.transpose(x, (0, 2, 1)), (A,), "Permute(dims=(2, 1))(%x)"),
    "transpose, free size": Rule(
        lambda m, x: ops.transpose(x, (0, 2, 1)), (FREE,), "Permute(dims=(2, 1))(%x)"
    ),
    "reshape": Rule(lambda m, x: ops.reshape(x, (-1, 12)), (A,), "Flatten(data_format='channels_last')(%x)"),
    "reshape, batch by size": Rule(
        lambda m, x: ops.reshape(x, (ops.shape(x)[0], 4, -1)), (A,), "Reshape(target_shape=(4, 3))(%x)"
    ),
    "reshape, one free size": Rule(
        lambda m, x: ops.reshape(x, (ops.shape(x)[0], ops.shape(x)[1], 2, 2)),
        (FREE,),
        "Reshape(target_shape=(-1, 2, 2))(%x)",
    ),
    "reshape, computed size": Rule(
        lambda m, x: ops.reshape(x, (ops.shape(x)[0], ops.shape(x)[1] * 4)),
        (FREE,),
        "Flatten(data_format='channels_last')(%x)",
    ),
    "gelu": Rule(lambda m, x: ops.gelu(x, approximate=False), (A,), "Activation(activation='gelu')(%x)"),
    **{
        name: Rule(
            lambda m, x, name=name: getattr(ops, name)(x), (A,), f"Activation(activation='{name}')(%x)"
        )
        for name in (
            "sigmoid",
            "tanh",
            "silu",
            "softplus",
            "softsign",
            "relu6",
            "hard_sigmoid",
            "selu",
            "elu",
        )
    },
}

REFUSALS = {
    "add a number": Rule(lambda m, x: x + 2.0, (A,), "keras.ops.add(%x, 2.0)"),
    "add an array": Rule(
        lambda m, x: x + np.float32([1, 2, 3, 4]),
        (A,),
        "keras.ops.add(%x, array([1.0, 2.0, 3.0, 4.0], float32))",
    ),
    "add a weight of another rank": Rule(lambda m, x: x + m.scale, (A,), "keras.ops.add(%x, %scale)"),
    "add tensors of another rank": Rule(
        lambda m, x, y: ops.add(x[:, :, 0], y[0]), (A, f(3)), "keras.ops.add(%get_item, %get_item_1)"
    ),
    "add vectors without a batch": Rule(
        lambda m, x: x + m.scale * m.scale, (A,), "keras.ops.multiply(%scale, %scale)"
    ),
    "add a free to a known batch": Rule(lambda m, x: x + m.table[None], (A,), "keras.ops.add(%x, %get_item)"),
    "concatenate the batch": Rule(
        lambda m, x, y: ops.concatenate([x, y], axis=0), (A, B), "keras.ops.concatenate([%x, %y], axis=0)"
    ),
    "concatenate weights": Rule(
        lambda m, x: x[:, :1] + ops.concatenate([m.scale[:2], m.scale[2:]]),
        (A,),
        "keras.ops.concatenate([%get_item_1, %get_item_2], axis=0)",
    ),
    "concatenate one": Rule(
        lambda m, x: ops.concatenate([x], axis=1), (A,), "keras.ops.concatenate([%x], axis=1)"
    ),
    "relu of ints": Rule(lambda m, x: ops.relu(x), (f(3, dtype="int32"),), "keras.ops.relu(%x)"),
    "relu of a weight": Rule(lambda m, x: x * ops.relu(m.table), (A,), "keras.ops.relu(%table)"),
    "gelu by tanh": Rule(lambda m, x: ops.gelu(x), (A,), "keras.ops.gelu(%x, approximate=True)"),
    "softmax of a weight": Rule(
        lambda m, x: x * ops.softmax(m.table), (A,), "keras.ops.softmax(%table, axis=-1)"
    ),
    "transpose the batch": Rule(
        lambda m, x: ops.transpose(x, (1, 0, 2)), (A,), "keras.ops.transpose(%x, axes=(1, 0, 2))"
    ),
    "transpose without axes": Rule(lambda m, x: ops.transpose(x), (A,), "keras.ops.transpose(%x)"),
    "reshape, other batch": Rule(
        lambda m, x: ops.reshape(x, (-1, 4)), (A,), "keras.ops.reshape(%x, newshape=(-1, 4))"
    ),
    "reshape, unknown batch": Rule(
        lambda m, x: ops.reshape(x, (-1, ops.shape(x)[1] * 2)),
        (FREE,),
        "keras.ops.reshape(%x, newshape=(-1, (x.shape[1] * 2)))",
    ),
    "reshape, batch that is computed": Rule(
        lambda m, x: ops.reshape(x, (ops.shape(x)[0] * 3, 4)),
        (A,),
        "keras.ops.reshape(%x, newshape=((x.shape[0] * 3), 4))",
    ),
    "reshape a weight": Rule(
        lambda m, x: x[:, :, 0] + ops.reshape(m.table[:1], (4,))[:3],
        (A,),
        "keras.ops.reshape(%get_item_1, newshape=(4,))",
    ),
}

ALL = {**RULES, **REFUSALS}


@pytest.mark.parametrize("name", RULES)
def test_is_replaced(name):
    rule = RULES[name]
    graph = kerasfx.trace(Call(rule.function), call_with(rule.inputs)).graph
    before = lines(graph)
    assert rule.after not in before
    assert lower(graph)
    after = lines(graph.check())
    assert rule.after in after
    assert len(after) == len(before)
    assert not lower(graph)


@pytest.mark.parametrize("name", REFUSALS)
def test_is_left(name):
    rule = REFUSALS[name]
    graph = kerasfx.trace(Call(rule.function), call_with(rule.inputs)).graph
    lower(graph)
    assert rule.after in lines(graph.check())


@pytest.mark.parametrize("name", ALL)
def test_means_the_same(name):
    rule = ALL[name]
    model = Call(rule.function)
    prepared = kerasfx.prepare_model(model, call_with(rule.inputs), verify=False)
    comparison = kerasfx.compare(model, prepared, samples=1)
    assert comparison, str(comparison)


def test_a_new_layer_keeps_the_dtype_of_its_node():
    rule = RULES["add, float16"]
    prepared = kerasfx.prepare_model(Call(rule.function), call_with(rule.inputs))
    assert prepared.layers[-1].compute_dtype == prepared.output.dtype == "float16"


# Nodes that a pass, not a trace, may write


def node_of(target, *args, **kwargs):
    """A graph of one node, with an input x of shape (?, 4)."""
    graph = Graph()
    x = graph.inputs = graph.add_input("x", (), "float32")
    x.shape = (Dim.axis(x, 0, (5, 7)), 4)
    node = Node("y", target, *(a(x) for a in args), {k: a(x) for k, a in kwargs.items()})
    node.outputs = graph.outputs = Value("y", x.shape, "float32", node)
    graph.append(node)
    return graph


@pytest.mark.parametrize(
    ("target", "args"),
    [
        ("keras.ops.reshape", lambda x: (x, (x.shape[0], x))),
        ("keras.ops.reshape", lambda x: (x, x)),
        ("keras.ops.reshape", lambda x: (x, ())),
        ("keras.ops.transpose", lambda x: (x, np.array([0, 1]))),
        ("keras.ops.concatenate", lambda x: (x, 1)),
        ("keras.ops.concatenate", lambda x: ([x, 1.0], 1)),
        ("keras.ops.concatenate", lambda x: ([x, x], None)),
        ("keras.ops.softmax", lambda x: (x, (0, 1))),
        ("keras.ops.relu", lambda x: (1.0,)),
        ("keras.ops.add", lambda x: (x, None)),
    ],
)
def test_unusual_arguments_are_left_alone(target, args):
    graph = node_of(target, args)
    assert not lower(graph)


def test_a_free_and_a_known_size_are_not_concatenated():
    graph = node_of("keras.ops.concatenate", lambda x: ([x, x], 1))
    known = graph.add_constant(np.zeros((3, 4), "float32"))
    graph.set_arguments(graph.nodes[0], ([graph.inputs, known], 1), {})
    assert not lower(graph)
    graph.set_arguments(graph.nodes[0], ([graph.inputs, graph.inputs], 1), {})
    assert lower(graph)


def test_what_has_no_rule_is_left_alone():
    graph = node_of("keras.ops.log", lambda x: (x,))
    assert not lower(graph)
    graph.nodes[0].target = LayerSpec("keras.layers.ReLU", {})
    assert not lower(graph)


# Masks


class Masked(keras.Model):
    """A recurrent layer behind a mask, with some function in between."""

    def __init__(self, between):
        super().__init__(name="masked")
        self.embed = keras.layers.Embedding(11, 4, mask_zero=True)
        self.position = keras.layers.Embedding(6, 4)
        self.between = between
        self.rnn = keras.layers.SimpleRNN(3)

    def call(self, ids):
        return self.rnn(self.between(self, self.embed(ids)))


BETWEEN = {
    "times 2": lambda m, h: h * 2.0,
    "plus position": lambda m, h: h + m.position(ops.arange(6)),
    "plus itself": lambda m, h: h + h,
    "relu": lambda m, h: ops.relu(h),
    "softmax": lambda m, h: ops.softmax(h),
    "reshape": lambda m, h: ops.reshape(ops.reshape(h, (-1, 3, 8)), (-1, 6, 4)),
    "layer": lambda m, h: keras.layers.ReLU()(h),
}
KEEPING = ("layer",)


@pytest.mark.parametrize("name", BETWEEN)
def test_masks_are_dropped_where_they_were(name):
    model = Masked(BETWEEN[name])
    x = np.array([[1, 2, 3, 0, 0, 0], [4, 5, 6, 7, 0, 0]])
    masked = predicted(model, x)
    everything = ops.ones((2, 6), bool)
    unmasked = predicted(lambda: model.rnn(model.between(model, model.embed(x)), mask=everything))
    assert np.allclose(masked, unmasked, atol=1e-4) is (name not in KEEPING)

    prepared = kerasfx.prepare_model(model, keras.Input((6,), dtype="int32"))
    comparison = kerasfx.compare(model, prepared, inputs=x, gradients=False)
    assert comparison, str(comparison)
    np.testing.assert_allclose(predicted(prepared, x), masked, atol=1e-6)


def test_lstm_behind_a_masked_embedding_times_two():
    ids = keras.Input((6,), dtype="int32", name="ids")
    h = keras.layers.Embedding(11, 4, mask_zero=True)(ids) * 2.0
    model = keras.Model(ids, keras.layers.LSTM(3)(h))
    prepared = kerasfx.prepare_model(model)
    comparison = kerasfx.compare(model, prepared, samples=1, gradients=False)
    assert comparison, str(comparison)
    assert {"DropMask", "Rescaling"} <= {type(layer).__name__ for layer in prepared.layers}

"""A compiled call of a prepared model has the operations of its original and of a twin written by hand."""

import re
from collections import Counter

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerasfx

BACKEND = keras.backend.backend()

pytestmark = [
    pytest.mark.any_keras,
    pytest.mark.skipif(BACKEND == "torch", reason="Keras on PyTorch compiles nothing by itself"),
]

BOOKKEEPING = ("Identity", "NoOp", "_Retval", "_Arg", "Placeholder", "Const")
"""Operations of TensorFlow that do no work: how many there are depends on the names of the tensors."""


def compiled_operations(model, x, training=False):
    """How many operations of each kind the backend runs for a call of a model, after its optimizer."""
    return {"jax": _of_jax, "tensorflow": _of_tensorflow}[BACKEND](model, x, training)


def _of_jax(model, x, training):
    import jax

    values = [[v.value for v in each] for each in (model.trainable_variables, model.non_trainable_variables)]

    @jax.jit
    def call(values, x):
        outputs, after = model.stateless_call(*values, x, training=training)
        return outputs, [new for old, new in zip(values[1], after, strict=True) if new is not old]

    text = call.lower(values, x).compile().as_text()
    found = re.findall(r"^\s*(?:ROOT )?\S+ = (?:\(.*?\)|\S+) ([a-z][\w-]*)\(", text, re.MULTILINE)
    # Weights that a side of the model does not use are still arguments.
    return Counter(kind for kind in found if kind != "parameter")


def _of_tensorflow(model, x, training):
    import tensorflow as tf
    from tensorflow.core.protobuf import config_pb2, meta_graph_pb2
    from tensorflow.python.grappler import tf_optimizer

    function = tf.function(lambda x: model(x, training=training), autograph=False)
    graph = function.get_concrete_function(x).graph
    wanted = [*(t.op.name for t in graph.outputs), *(op.name for op in graph.control_outputs)]
    meta = tf.compat.v1.train.export_meta_graph(graph_def=graph.as_graph_def(), graph=graph)
    meta.collection_def["train_op"].CopyFrom(
        meta_graph_pb2.CollectionDef(node_list=meta_graph_pb2.CollectionDef.NodeList(value=wanted))
    )
    config = config_pb2.ConfigProto()
    # However small it is.
    config.graph_options.rewrite_options.min_graph_nodes = -1
    optimized = tf_optimizer.OptimizeGraph(config, meta)
    return Counter(node.op for node in optimized.node if node.op not in BOOKKEEPING)


class Weights(layers.Layer):
    """A weight of its own that one function takes, one that several take, and a constant."""

    def build(self, shape):
        self.scale = self.add_weight(shape=shape[-1:], initializer="random_normal", name="scale")
        self.table = self.add_weight(shape=(shape[-1],) * 2, initializer="random_normal", name="table")

    def call(self, x):
        x = ops.tanh(x * self.scale) + np.float32([0.5])
        return ops.matmul(ops.matmul(x, self.table), ops.transpose(self.table))


class Counted(layers.Layer):
    """State that is read and assigned at each call."""

    def build(self, shape):
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False, name="calls")

    def call(self, x):
        self.calls.assign(self.calls + 1.0)
        return x * self.calls


class Sides(layers.Layer):
    """Another side in training."""

    def __init__(self):
        super().__init__()
        self.dense, self.other = layers.Dense(8), layers.Dense(8)

    def build(self, shape):
        self.dense.build(shape)
        self.other.build(shape)

    def call(self, x, training=False):
        return self.other(ops.exp(x)) if training else self.dense(x)


class Sizes(layers.Layer):
    """Decides by a size that is free, which the prepared model checks at each call."""

    def call(self, x):
        if ops.shape(x)[1] < 2:
            return x
        return ops.concatenate([x[:, 1:], x[:, :1]], axis=1)


class Masked(layers.Layer):
    """Puts a mask off and on again, and computes with it."""

    def __init__(self):
        super().__init__()
        self.supports_masking = True

    def call(self, x, mask=None):
        return ops.where(ops.expand_dims(mask, -1), x, 0.0) if mask is not None else x


class Losses(layers.Layer):
    """Adds a loss."""

    def call(self, x):
        self.add_loss(ops.mean(ops.square(x)))
        return ops.relu(x)


def twin_of(inner, shape):
    """The Functional model that somebody writes who keeps the layer."""
    x = keras.Input(shape)
    h = layers.Masking()(x) if isinstance(inner, Masked) else x
    return keras.Model(x, layers.Dense(4)(inner(layers.Dense(8)(h))))


CASES = {
    "weights": (Weights, (8,)),
    "state": (Counted, (8,)),
    "sides": (Sides, (8,)),
    "masks": (Masked, (3, 8)),
    "losses": (Losses, (8,)),
}
if BACKEND == "jax":  # Keras on TensorFlow cannot infer a layer that asks so
    CASES["sizes"] = (Sizes, (None, 8))


@pytest.mark.parametrize("name", CASES)
def test_a_compiled_call_has_the_operations_of_the_twin(name):
    make, shape = CASES[name]
    twin = twin_of(make(), shape)
    prepared = kerasfx.prepare_model(twin, verify=False)
    assert not any(type(layer) is make for layer in prepared.layers)
    x = ops.convert_to_tensor(np.ones([3 if n is None else n for n in (2, *shape)], "float32"))
    modes = (False, True) if name == "sides" else (False,)
    for training in modes:
        expected, got = (compiled_operations(model, x, training) for model in (twin, prepared))
        assert sum(expected.values()) > 2
        # TensorFlow says the same by a Reshape or an ExpandDims, and reads a variable once or twice.
        is_as_good = got == expected or (BACKEND == "tensorflow" and got.total() <= expected.total())
        assert is_as_good, (got - expected, expected - got)

"""`graph.make`: Keras is asked what a call gives, and does not notice."""

import random

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerasfx
from kerasfx.errors import GraphError
from kerasfx.ir import Graph, LayerCall, LayerSpec, Node, Slot, weight
from kerasfx.ir.dims import Dim
from kerasfx.ir.weights import transpose


class Net(keras.Model):
    """A mask that is passed on, one that ends; a free length; weights of functions; a loop."""

    def __init__(self):
        super().__init__()
        self.embed = layers.Embedding(10, 4, mask_zero=True)
        self.hidden = layers.Dense(6, activity_regularizer="l2")
        self.lstm = layers.LSTM(3)

    def build(self, shape):
        self.kernel = self.add_weight(shape=(4, 6), name="kernel")
        self.embed.build(shape)
        self.hidden.build((None, None, 4))
        self.lstm.build((None, None, 4))

    def call(self, tokens):
        h = self.embed(tokens)
        scores = ops.matmul(ops.relu(h), self.kernel)
        mapped = ops.vectorized_map(lambda row: ops.gelu(row), scores)
        return self.hidden(h), self.lstm(h), mapped


@pytest.fixture(scope="module")
def model() -> Net:
    return Net()


@pytest.fixture
def graph(model) -> Graph:
    return kerasfx.trace(model, keras.Input((None,), dtype="int32")).graph


def of(graph: Graph, name: str) -> Node:
    """The node of that name."""
    return next(n for n in graph.nodes if n.name == name)


def shown(node: Node) -> list[tuple[tuple[object, ...], str]]:
    """Shapes, with "?" for a free size, and dtypes."""
    return [(tuple("?" if isinstance(d, Dim) else d for d in v.shape), v.dtype) for v in node.results]


CALLS = {
    "a function": ("keras.ops.tanh", {}, (("?", "?", 4), "float32")),
    "another dtype": ("keras.ops.argmax", {"axis": -1}, (("?", "?"), "int32")),
    "a layer": ("keras.layers.Activation", {"activation": "tanh"}, (("?", "?", 4), "float32")),
    "a layer that pools": ("keras.layers.GlobalAveragePooling1D", {}, (("?", 4), "float32")),
    "a layer of another dtype": (
        "keras.layers.Activation",
        {"activation": "tanh", "dtype": "float16"},
        (("?", "?", 4), "float16"),
    ),
}


@pytest.mark.parametrize(("target", "config", "result"), CALLS.values(), ids=list(CALLS))
def test_results_are_those_of_keras(graph, target, config, result):
    node = graph.make(target, of(graph, "relu").outputs, **config)
    assert shown(node) == [result]
    graph.insert_after(of(graph, "relu"), node)
    graph.check()


def test_several_results(graph):
    node = graph.make("keras.ops.split", of(graph, "relu").outputs, 2, axis=-1, wish="halves")
    assert shown(node) == [(("?", "?", 2), "float32")] * 2
    assert [v.name for v in node.results] == ["halves.0", "halves.1"]


def test_sizes_that_agree_are_those_of_the_node_that_it_is_like(graph):
    old = of(graph, "relu")
    new = graph.make("keras.ops.maximum", old.args[0], 0.0, like=old)
    assert all(a.same_as(b) for a, b in zip(new.outputs.shape[:2], old.outputs.shape[:2], strict=True))
    graph.replace(old, new)
    assert (new.name, new.path, new.source) == (old.name, old.path, old.source)
    assert new.outputs.name == "relu"
    graph.check()


def test_masks_are_those_that_keras_attaches(graph):
    h = of(graph, "embed").outputs
    assert h.mask is not None
    dense = graph.make("keras.layers.Activation", h, activation="relu")
    pooled = graph.make("keras.layers.GlobalAveragePooling1D", h)
    op = graph.make("keras.ops.relu", h)
    assert (dense.outputs.mask, pooled.outputs.mask, op.outputs.mask) == (h.mask, None, None)


def test_a_mask_that_a_layer_makes_itself_is_refused(graph):
    before = str(graph)
    with pytest.raises(GraphError, match=r"Masking\(\) makes a mask of its own"):
        graph.make("keras.layers.Masking", of(graph, "relu").outputs)
    assert str(graph) == before


def test_a_replacement_that_adds_a_mask_is_refused(graph):
    old = of(graph, "relu")
    new = graph.make("keras.layers.ReLU", old.args[0])
    with pytest.raises(GraphError, match="a mask would be added: 'relu_1' carries 'embed_not_equal'"):
        graph.replace(old, new)


def test_what_is_made_like_a_function_takes_no_masks(graph):
    old = of(graph, "relu")
    new = graph.make("keras.layers.ReLU", old.args[0], like=old)
    assert graph.replace(old, new).outputs.mask is None
    assert "DropMask" in {type(x).__name__ for x in kerasfx.emit(graph).layers}


def test_a_layer_is_like_one_that_is_called(graph, model):
    old = of(graph, "hidden")
    new = graph.make(LayerCall(model.hidden), *old.args, like=old)
    assert (shown(new), new.outputs.mask) == (shown(old), old.outputs.mask)
    assert graph.replace(old, new).name == "hidden"
    graph.check()


SLOTS = {
    "Dense": ({"units": 3}, (2, 4), {"kernel": (4, 3), "bias": (3,)}),
    "EinsumDense": ({"equation": "ab,bc->ac", "output_shape": 3}, (2, 4), {"kernel": (4, 3)}),
    "Conv2D": ({"filters": 2, "kernel_size": 3, "use_bias": False}, (2, 8, 8, 4), {"kernel": (3, 3, 4, 2)}),
    "BatchNormalization": (
        {},
        (2, 4),
        dict.fromkeys(("gamma", "beta", "moving_mean", "moving_variance"), (4,)),
    ),
    "LSTM": ({"units": 2}, (2, 5, 4), {"kernel": (4, 8), "recurrent_kernel": (2, 8), "bias": (8,)}),
}


@pytest.mark.parametrize(("kind", "given"), SLOTS.items(), ids=list(SLOTS))
def test_the_weights_of_a_layer_are_known_by_name(graph, kind, given):
    config, shape, slots = given
    x = graph.add_constant(np.zeros(shape, "float32"))
    node = graph.make(f"keras.layers.{kind}", x, **config)
    assert {name: slot.shape for name, slot in node.spec.slots.items()} == slots
    assert all(s.trainable == ("moving" not in name) for name, s in node.spec.slots.items())


def test_the_weights_of_layers_inside_have_their_paths(graph):
    x = graph.add_constant(np.zeros((2, 5, 4), "float32"))
    node = graph.make("keras.layers.MultiHeadAttention", x, x, num_heads=1, key_dim=2)
    assert node.spec.slots["query/kernel"] == Slot((4, 1, 2), "float32")
    assert len(node.spec.slots) == 8


def test_weights_are_values_expressions_and_arrays(graph):
    matmul = of(graph, "matmul")
    x, kernel = matmul.args
    config = {"units": 6, "like": matmul}
    given = {"kernel": kernel, "bias": np.zeros(6, "float32")}
    node = graph.make("keras.layers.Dense", x, weights=given, **config)
    assert node.weights["kernel"] is kernel
    assert node.weights["bias"] in graph.constants
    turned = transpose(weight(graph.computed(transpose(kernel)))) * 1.0
    other = graph.make("keras.layers.Dense", x, weights={"kernel": turned}, use_bias=False, **config)
    assert other.weights["kernel"] in graph.computed_weights
    graph.replace(matmul, node)
    graph.check()


@pytest.mark.parametrize(
    ("compute", "dtype"),
    [("float32", "float32"), ("float16", "mixed_float16"), ("bfloat16", "mixed_bfloat16")],
)
def test_the_dtype_is_that_of_the_tensors_and_of_the_weights(graph, compute, dtype):
    x = graph.add_constant(np.zeros((2, 4), "float32"))
    half = graph.append(graph.make("keras.ops.cast", x, compute))
    kernel = graph.add_constant(np.zeros((4, 3), "float32"))
    node = graph.make("keras.layers.Dense", half.outputs, weights={"kernel": kernel}, units=3, use_bias=False)
    assert node.spec.config["dtype"] == dtype
    assert shown(node) == [((2, 3), compute)]
    graph.append(node)
    graph.check()


REFUSED = {
    "a config": (
        lambda g, x: g.make("keras.layers.Dense", x, units=-1),
        r"Dense\(units=-1\) cannot be called with \(float32\(relu.shape\[0\], relu.shape\[1\], 4\)\)",
    ),
    "shapes": (
        lambda g, x: g.make("keras.ops.matmul", x, np.zeros((5, 100))),
        "keras.ops.matmul cannot be called",
    ),
    "a free size that a weight would need": (
        lambda g, x: g.make("keras.layers.Dense", g.make("keras.ops.transpose", x).outputs, units=2),
        "free sizes are tried with two examples each",
    ),
    "a name": (lambda g, x: g.make("keras.ops.tanhh", x), "tanhh"),
    "a function of another package": (lambda g, x: g.make("os.system", x), "os.system"),
}


@pytest.mark.parametrize(("make", "said"), REFUSED.values(), ids=list(REFUSED))
def test_what_keras_refuses_leaves_the_graph_as_it_was(graph, make, said):
    before = str(graph)
    with pytest.raises(GraphError, match=said):
        make(graph, of(graph, "relu").outputs)
    assert str(graph) == before


def test_a_graph_made_by_hand_says_who_is_missing():
    graph = Graph("net")
    x = graph.add_input("x", (2,), "float32")
    with pytest.raises(
        GraphError, match=r"The graph of 'net' does not know what tanh gives(.|\n)*graph.inference"
    ):
        graph.make("keras.ops.tanh", x)


def test_inside_of_a_body(graph, model):
    inner, gelu = next((g, n) for g, n in graph.walk() if n.calls("keras.ops.gelu"))
    assert inner is not graph
    inner.replace(gelu, inner.make("keras.ops.tanh", *gelu.args, like=gelu))
    graph.check()
    tokens = np.array([[1, 2, 0]])
    emitted = kerasfx.emit(graph)(tokens)[2]
    kernel, table = (ops.convert_to_numpy(w) for w in (model.kernel, model.embed.embeddings))
    expected = np.tanh(np.maximum(table[tokens], 0) @ kernel)
    np.testing.assert_allclose(ops.convert_to_numpy(emitted), expected, rtol=1e-4, atol=1e-5)


def test_keras_does_not_notice(graph, model):
    h = of(graph, "embed").outputs
    name = layers.Dense(1).name
    state = random.getstate(), np.random.get_state()[1].tolist()
    losses, nodes = list(model.hidden.losses), list(model.hidden._inbound_nodes)
    graph.make("keras.layers.Dense", h, units=3)
    graph.make(LayerCall(model.hidden), h)
    tensor = keras.KerasTensor((1,)).name
    graph.make("keras.ops.reshape", h, (h.shape[0], h.shape[1], 2, 2))
    tensors = [int(name.rpartition("_")[2]) for name in (tensor, keras.KerasTensor((1,)).name) if "_" in name]
    assert tensors[-1] - tensors[0] <= 1
    assert (random.getstate(), np.random.get_state()[1].tolist()) == state
    assert (model.hidden.losses, model.hidden._inbound_nodes) == (losses, nodes)
    number = int(name.rpartition("_")[2]) if name != "dense" else 0
    assert layers.Dense(1).name == f"dense_{number + 1}"


def test_a_layer_that_says_by_hand_that_it_has_no_weights_is_found_out(graph):
    old = of(graph, "relu")
    new = graph.make("keras.layers.Dense", *old.args, units=4, like=old)
    new.target, new.outputs.mask = LayerSpec("keras.layers.Dense", {"units": 4}, slots={}), None
    graph.replace(old, new)
    graph.check()
    with pytest.raises(GraphError, match="it has kernel, bias; given are none"):
        kerasfx.emit(graph)


LIKELY_MISTAKES = {
    "no target of a call": lambda graph, x: graph.make(layers.ReLU, x),
    "cannot be called with the node 'relu'": lambda graph, x: graph.make("keras.ops.tanh", x.node),
    "like= takes the node": lambda graph, x: graph.make("keras.ops.tanh", x, like=x),
    "weights= takes a dict": lambda graph, x: graph.make("keras.layers.Dense", x, units=3, weights=[x]),
}


@pytest.mark.parametrize(("said", "make"), LIKELY_MISTAKES.items(), ids=list(LIKELY_MISTAKES))
def test_likely_mistakes_are_named(graph, said, make):
    with pytest.raises(GraphError) as caught:
        make(graph, of(graph, "relu").outputs)
    assert said in str(caught.value)


def test_a_variable_is_no_argument(graph, model):
    for target in ("keras.ops.matmul", "keras.layers.Dot"):
        with pytest.raises(GraphError, match="kernel is a variable"):
            graph.make(target, of(graph, "relu").outputs, model.kernel)


def test_the_name_of_a_layer_is_that_of_its_node(graph):
    node = graph.make("keras.layers.ReLU", of(graph, "relu").outputs, name="mine")
    assert node.name == "mine"
    assert "name" not in node.spec.config


def test_initializers_that_say_the_same_make_the_same_layer(graph):
    x = of(graph, "relu").outputs

    def dense(initializer):
        return graph.make("keras.layers.Dense", x, units=3, kernel_initializer=initializer).target

    assert dense(keras.initializers.Constant(1.0)) == dense(keras.initializers.Constant(1.0))
    assert dense(keras.initializers.Constant(1.0)) != dense(keras.initializers.Constant(2.0))

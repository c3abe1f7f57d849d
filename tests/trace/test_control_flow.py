"""Bodies: what they record, what they refuse, and what they look like in text and JSON."""

import json

import keras
import numpy as np
import pytest
from keras import ops

import kerasfx
from kerasfx.ir import Body
from kerasfx.runtime import codec
from kerasfx.runtime.functions import resolve
from kerasfx.tracing.encoding import encode

pytestmark = pytest.mark.quick


class Choose(keras.layers.Layer):
    """A layer of one `cond`, with a given branch."""

    def __init__(self, branch, **kwargs):
        super().__init__(**kwargs)
        self.branch = branch

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(), initializer="ones")
        self.seed = keras.random.SeedGenerator(1)

    def call(self, x):
        return ops.cond(ops.sum(x) > 0.0, lambda: self.branch(self, x), lambda: x)


def times_scale(layer, x):
    return x * layer.scale


def noisy(layer, x):
    return x + keras.random.normal((4,), seed=layer.seed)


def counting(layer, x):
    layer.scale.assign_add(1.0)
    return x * 2.0


def with_a_loss(layer, x):
    layer.add_loss(ops.sum(x))
    return x * 2.0


def traced(branch):
    """The node of the cond, and its graph."""
    inputs = keras.Input((4,), name="input")
    graph = kerasfx.trace(keras.Model(inputs, Choose(branch, name="choose")(inputs))).graph
    return graph, graph.nodes[-1]


def test_a_body_captures_weights_and_tensors():
    graph, node = traced(times_scale)
    body = node.args[1]
    assert isinstance(body, Body)
    assert [v.name for v in body.captured] == [graph.inputs.name, graph.parameters[0].name]
    assert set(node.inputs) >= set(body.captured)
    assert [n.target for n in body.graph.nodes] == ["keras.ops.multiply"]


def test_the_text_shows_what_a_body_captures():
    graph, _ = traced(times_scale)
    text = str(graph).partition("keras.ops.cond")[2]
    assert text.startswith("(%choose_greater, body(%input, %choose_scale), body(%input))")
    assert [line.partition("#")[0].rstrip() for line in text.splitlines()[1:]] == [
        "    body(%input: float32[?, 4], %choose_scale: float32[]):",
        "      %choose_multiply: float32[?, 4] = keras.ops.multiply(%input, %choose_scale)",
        "      return %choose_multiply",
        "    body(%input: float32[?, 4]):",
        "      return %input",
        "  return %choose_cond",
    ]


def test_a_body_survives_json():
    _, node = traced(times_scale)
    body = node.args[1]
    encoded = json.loads(json.dumps(encode(body, body.captured.index)))
    tensors = [ops.ones((2, 4)), ops.convert_to_tensor(3.0)]
    function = codec.decode(encoded, tensors, lambda tensor, axis: tensor.shape[axis], resolve)
    np.testing.assert_array_equal(ops.convert_to_numpy(function()), np.full((2, 4), 3.0))


def test_a_body_may_only_name_allowed_functions():
    _, node = traced(times_scale)
    body = node.args[1]
    encoded = encode(body, body.captured.index)
    encoded["$body"]["calls"][0][0] = "os.system"
    with pytest.raises(kerasfx.errors.UnknownFunctionError, match=r"os\.system is no function"):
        codec.decode(encoded, [None, None], lambda tensor, axis: 0, resolve)


@pytest.mark.parametrize("branch", [noisy, counting, with_a_loss])
def test_what_a_body_cannot_do_keeps_the_layer_whole(branch):
    inputs = keras.Input((4,))
    model = keras.Sequential([inputs, Choose(branch)])
    [finding] = kerasfx.explain(model).opaque
    assert "is kept whole: A body draws random numbers, asks about its sizes or changes state." in str(
        finding
    )
    assert "how often a body runs is known only when the model runs" in str(finding)


class Masked(keras.layers.Layer):
    """Chooses between two results, each of which may carry a mask, for a layer that looks at it."""

    def __init__(self, how, **kwargs):
        super().__init__(**kwargs)
        self.how = how
        self.dense = keras.layers.Dense(4)
        self.other = keras.layers.Embedding(7, 4, mask_zero=True)
        self.pool = keras.layers.GlobalAveragePooling1D()

    def call(self, x, tokens):
        handed = {
            "handed over": [self.dense, lambda v: v],
            "handed over, or none": [lambda v: v, lambda v: v * 2.0],
        }
        if self.how in handed:
            return self.pool(ops.switch(ops.cast(ops.mean(x) > 0.0, "int32"), handed[self.how], x))
        branches = {
            "the same mask": (lambda: self.dense(x), lambda: x),
            "a mask or none": (lambda: x * 2.0, lambda: x),
            "a mask made inside": (lambda: self.other(tokens), lambda: x),
        }
        chosen = ops.cond(ops.mean(x) > 0.0, *branches[self.how])
        return self.pool(chosen)


HANDED_OVER = "handed over", "handed over, or none"


@pytest.mark.parametrize("how", ["the same mask", "a mask or none", "a mask made inside", *HANDED_OVER])
def test_masks_of_what_branches_give(how):
    """Run eagerly, a branch gets and hands on the very tensors, with their masks, but on JAX."""
    tokens = keras.Input((5,), dtype="int32")
    model = keras.Model(tokens, Masked(how)(keras.layers.Embedding(7, 4, mask_zero=True)(tokens), tokens))
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    prepared = kerasfx.prepare_model(model)
    backend = keras.backend.backend()
    # Compiled, TensorFlow hands on none: only the layer itself does both.
    is_whole = backend == "tensorflow" or (
        backend == "torch" and how not in ("the same mask", HANDED_OVER[0])
    )
    assert bool(kerasfx.report(prepared).opaque) == is_whole
    for seed in range(4):
        data = np.random.default_rng(seed).integers(0, 7, size=(2, 5))
        data[:, 3:] = 0
        same = ops.convert_to_numpy(model(data)), ops.convert_to_numpy(prepared(data))
        np.testing.assert_allclose(*same, rtol=1e-5)

"""Activations, by a function of Keras or written out, become `Activation` and the layers of their names."""

import math

import keras
import numpy as np
import pytest
from keras import ops
from lowering import Call, call_with, f, lines

import kerasfx
from kerasfx.passes import to_activations, use_standard_layers
from kerasfx.passes.lower.rule import Lowering

pytestmark = pytest.mark.any_keras

BACKEND = keras.backend.backend()
EVERYWHERE = {"tensorflow", "jax", "torch"}


def erf(x):
    """One and the error function of a tensor, as GELU takes it."""
    return ops.erf(x / math.sqrt(2)) + 1.0


def relu6(x):
    """As hard_sigmoid takes it."""
    return ops.relu6(x + 3)


WRITTEN_OUT = {
    "mish": (lambda x: x * ops.tanh(ops.softplus(x)), "mish", EVERYWHERE),
    "mish by name": (keras.activations.mish, "mish", EVERYWHERE),
    "silu": (lambda x: ops.sigmoid(x) * x, "silu", {"jax"}),
    "gelu, half first": (lambda x: 0.5 * x * erf(x), "gelu", set()),
    "gelu, half of the error": (lambda x: x * (erf(x) * 0.5), "gelu", set()),
    "gelu, half last": (lambda x: x * erf(x) / 2, "gelu", set()),
    "gelu, product": (lambda x: x * 0.5 * (1 + ops.erf(x * 0.7071067811865475)), "gelu", set()),
    "hard_silu": (lambda x: x * (relu6(x) / 6), "hard_silu", {"tensorflow"}),
    "hard_silu, divided last": (lambda x: x * relu6(x) / 6, "hard_silu", set()),
    "hard_silu of hard_sigmoid": (lambda x: x * ops.hard_sigmoid(x), "hard_silu", {"tensorflow", "jax"}),
    "hard_sigmoid": (lambda x: relu6(x) / 6, "hard_sigmoid", {"tensorflow"}),
    "hard_sigmoid, multiplied": (lambda x: relu6(x) * (1 / 6), "hard_sigmoid", set()),
}
"""A function, the name of what it is, and the backends on which it gives the same bits."""

CALLS = {
    "gelu": (lambda x: ops.gelu(x, approximate=False), "Activation(activation='gelu')"),
    "leaky_relu": (lambda x: ops.leaky_relu(x, 0.3), "LeakyReLU(negative_slope=0.3)"),
    "leaky_relu, default": (ops.leaky_relu, "LeakyReLU(negative_slope=0.2)"),
    "elu": (lambda x: ops.elu(x, alpha=0.5), "ELU(alpha=0.5)"),
    "exp": (ops.exp, "Activation(activation='exponential')"),
    "log_softmax": (ops.log_softmax, "Activation(activation='log_softmax')"),
    **{
        name: (getattr(ops, name), f"Activation(activation='{name}')")
        for name in (
            *("hard_silu", "hard_tanh", "log_sigmoid", "celu", "squareplus", "soft_shrink", "hard_shrink"),
            *("tanh_shrink", "sparse_plus", "sparse_sigmoid", "sparsemax"),
        )
    },
}

LEFT = {
    "gelu by tanh, which Activation does not know": ops.gelu,
    "log_softmax of another axis": lambda x: ops.log_softmax(x, axis=1),
    "celu of another alpha": lambda x: ops.celu(x, alpha=0.5),
    "celu of another alpha, by position": lambda x: ops.celu(x, 0.5),
    "silu of another tensor": lambda x: ops.sigmoid(x) * ops.tanh(x),
    "gelu of another constant": lambda x: x * 0.5 * (1 + ops.erf(x / 1.5)),
    # Where operands are equal the gradients of relu are others.
    "relu by maximum": lambda x: ops.maximum(x, 0.0),
    "relu6 by minimum": lambda x: ops.minimum(ops.relu(x), 6.0),
    "relu6 by clip": lambda x: ops.clip(x, 0.0, 6.0),
    "a sigmoid that is needed as well": lambda x: (lambda y: x * y + y)(ops.sigmoid(x)),
}


def lowered(function, fast=False):
    """What each node calls after the passes."""
    graph = kerasfx.trace(Call(lambda m, x: function(x)), call_with([f(3, 4)])).graph
    graph.meta[Lowering] = Lowering(fast)
    for each in (to_activations, use_standard_layers):
        each(graph)
    return lines(graph.check())


@pytest.mark.parametrize("name", WRITTEN_OUT)
def test_what_is_written_out(name):
    function, activation, backends = WRITTEN_OUT[name]
    after = f"Activation(activation='{activation}')(%x)"
    assert (lowered(function) == [after]) == (BACKEND in backends)
    assert lowered(function, fast=True) == [after]


@pytest.mark.parametrize("name", CALLS)
def test_what_is_called(name):
    function, layer = CALLS[name]
    assert lowered(function) == [f"{layer}(%x)"]


@pytest.mark.parametrize("name", LEFT)
def test_is_left(name):
    calls = lowered(LEFT[name], fast=True)
    assert not [c for c in calls if "ReLU(max" in c or "Softmax" in c or "silu" in c]
    assert [c for c in calls if c.startswith("keras.ops.")]


def test_halves():
    # Compiled, a half has another gradient on JAX.
    for dtype, backends in (("bfloat16", {"jax"}), ("float16", set())):
        calls = lowered(lambda x, dtype=dtype: WRITTEN_OUT["silu"][0](ops.cast(x, dtype)))
        assert (calls[-1] == "Activation(activation='silu')(%cast)") == (BACKEND in backends)


class Stack(keras.Model):
    """Each function by itself, on the input times a weight of its own."""

    def __init__(self, functions):
        super().__init__(name="stack")
        self.parts = [Call(lambda m, x, each=each: each(x * m.scale)) for each in functions]

    def call(self, x):
        return [part(x) for part in self.parts]


def test_means_the_same(tmp_path):
    exact = [function for function, _, backends in WRITTEN_OUT.values() if BACKEND in backends]
    functions = exact + [function for function, _ in CALLS.values()]
    model = Stack(functions)
    prepared = kerasfx.prepare_model(model, f(None, 4))
    kinds = [type(layer).__name__ for layer in prepared.layers]
    assert kinds.count("Activation") == len(functions) - 3
    comparison = kerasfx.compare(model, prepared, samples=1)
    assert comparison.exact, str(comparison)
    prepared.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x = keras.random.normal((2, 3, 4), seed=0)
    for a, b in zip(loaded(x), prepared(x), strict=True):
        np.testing.assert_array_equal(*map(ops.convert_to_numpy, (a, b)))


def test_means_the_same_within_rounding():
    functions = [function for function, _, backends in WRITTEN_OUT.values() if BACKEND not in backends]
    model = Stack(functions)
    prepared = kerasfx.prepare_model(model, f(None, 4), lower="fast")
    kinds = [type(layer).__name__ for layer in prepared.layers]
    assert kinds.count("Activation") == len(functions)
    comparison = kerasfx.compare(model, prepared, samples=1)
    assert comparison, str(comparison)


def test_behind_a_mask():
    ids = keras.Input((5,), dtype="int32", name="ids")
    h = keras.layers.Embedding(7, 4, mask_zero=True)(ids)
    h = Call(lambda m, x: ops.leaky_relu(x) * ops.tanh(ops.softplus(ops.leaky_relu(x))))(h)
    model = keras.Model(ids, keras.layers.SimpleRNN(2)(h))
    prepared = kerasfx.prepare_model(model)
    assert "LeakyReLU" in [type(layer).__name__ for layer in prepared.layers]
    assert kerasfx.compare(model, prepared, samples=1, gradients=False)

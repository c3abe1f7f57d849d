"""Random small models: a graph of layers and ops inside nested custom layers, through the oracle.

`HYPOTHESIS_PROFILE=long` runs as many as a night holds. Every model is a tree of plans: a plan says what
a custom layer does to the tensors of shape (batch, time, 4) that it was given, step by step.
"""

from dataclasses import dataclass
from typing import Any

import hypothesis
import keras
import numpy as np
import pytest
from hypothesis import strategies as st
from keras import ops

import kerasfx

pytestmark = pytest.mark.any_keras

TIME, WIDTH = 6, 4
PROFILE = hypothesis.settings.default.max_examples
EXAMPLES = 15 if PROFILE <= 25 else PROFILE
"""Models take longer than other examples: fewer of them in the quick profile."""


@dataclass(frozen=True)
class Step:
    """One step: a key of `STEPS`, which tensors it takes (counted from the last), and a number."""

    kind: str
    a: int
    b: int
    number: int


@dataclass(frozen=True)
class Plan:
    """The steps of a custom layer; some of them run a plan of their own."""

    steps: tuple[Step, ...]
    inner: tuple["Plan", ...]


def _halves(layer, x, y, n):
    left, right = ops.split(x, 2, axis=-1)
    return ops.concatenate([right, left * 0.5], axis=-1)


def _swap(layer, x, y, n):
    z = ops.transpose(x, (0, 2, 1))
    return ops.transpose(ops.reshape(z, (-1, WIDTH, TIME)), [0, 2, 1])


def _free_reshape(layer, x, y, n):
    batch, time, width = ops.shape(x)
    z = ops.reshape(x, (batch * 2, time * width // 2))
    return ops.reshape(ops.tanh(z), (batch, time, width))


def _positions(layer, x, y, n):
    return x + layer.position(ops.arange(ops.shape(x)[1]))


def _slices(layer, x, y, n):
    k = n % (TIME - 1) + 1
    return ops.concatenate([x[:, k:], y[:, :k, ::-1]], axis=1)


def _slices_forwards(layer, x, y, n):
    k = n % (TIME - 1) + 1
    return ops.concatenate([x[:, k:], ops.flip(y[:, :k], axis=-1)], axis=1)


def _class_token(layer, x, y, n):
    token = ops.broadcast_to(layer.token, (ops.shape(x)[0], 1, WIDTH))
    return ops.concatenate([token, x], axis=1)[:, :-1, ...]


def _weight_norm(layer, x, y, n):
    return ops.matmul(x, layer.kernel / (ops.norm(layer.kernel) + 1.0)) + layer.token


def _attention(layer, x, y, n):
    scores = ops.softmax(ops.einsum("bik,bjk->bij", x, y) * 0.5)
    return ops.matmul(scores, y)


def _where(layer, x, y, n):
    return ops.where(x > y, x * layer.scale, -y)


STEPS = {
    "dense": lambda layer, x, y, n: layer.denses[n % 2](x),
    "norm": lambda layer, x, y, n: layer.norm(x),
    "batch norm": lambda layer, x, y, n: layer.batch_norm(x),
    "dropout": lambda layer, x, y, n: layer.drop(x),
    "conv": lambda layer, x, y, n: layer.conv(x),
    "rnn": lambda layer, x, y, n: layer.rnn(x),
    "activation": lambda layer, x, y, n: (ops.relu, ops.tanh, ops.sigmoid)[n % 3](x),
    "add": lambda layer, x, y, n: x + y,
    "subtract": lambda layer, x, y, n: 1.5 - x - y * 0.25,
    "multiply": lambda layer, x, y, n: x * ops.tanh(y),
    "scale": lambda layer, x, y, n: layer.scale * x,
    "constant": lambda layer, x, y, n: np.linspace(0, 1, WIDTH, dtype="float32") + x / (n + 1),
    "maximum": lambda layer, x, y, n: ops.maximum(x, y),
    "mean": lambda layer, x, y, n: x - ops.mean(y, axis=1, keepdims=True),
    "stack": lambda layer, x, y, n: ops.sum(ops.stack([x, y], axis=n % 3), axis=n % 3),
    "halves": _halves,
    "swap": _swap,
    "free reshape": _free_reshape,
    "positions": _positions,
    "slices": _slices,
    "class token": _class_token,
    "weight norm": _weight_norm,
    "attention": _attention,
    "where": _where,
    "inner": lambda layer, x, y, n: layer.inner[n % len(layer.inner)](x) if layer.inner else x,
    "inner of two": lambda layer, x, y, n: layer.inner[n % len(layer.inner)](x, y) if layer.inner else y,
}

if keras.backend.backend() == "torch":
    # Without what PyTorch itself refuses (see the zoo): an array on the left, a negative step.
    STEPS["constant"] = lambda layer, x, y, n: x / (n + 1) + ops.linspace(0, 1, WIDTH)
    STEPS["slices"] = _slices_forwards


class Random(keras.layers.Layer):
    """A custom layer that does what its plan says; it owns sublayers, weights and layers that it shares."""

    def __init__(self, plan: Plan, shared: Any, depth: int = 0):
        super().__init__()
        self.plan = plan
        self.denses = [keras.layers.Dense(WIDTH, activation="tanh"), shared]
        self.norm = keras.layers.LayerNormalization()
        self.batch_norm = keras.layers.BatchNormalization(momentum=0.5)
        self.drop = keras.layers.Dropout(0.5, seed=depth)
        self.conv = keras.layers.Conv1D(WIDTH, 3, padding="same")
        self.rnn = keras.layers.SimpleRNN(WIDTH, return_sequences=True)
        self.position = keras.layers.Embedding(TIME, WIDTH)
        self.inner = [Random(p, shared, depth + 1) for p in plan.inner]

    def build(self, *shapes):
        normal = keras.initializers.RandomNormal(0.5, 0.5, seed=1)
        self.scale = self.add_weight(shape=(WIDTH,), initializer=normal, name="scale")
        self.token = self.add_weight(shape=(1, 1, WIDTH), initializer=normal, name="token")
        self.kernel = self.add_weight(shape=(WIDTH, WIDTH), initializer=normal, name="kernel")
        self.built = True

    def call(self, x, other=None):
        tensors = [x if other is None else x * 0.5 + other]
        for step in self.plan.steps:
            a, b = (tensors[-1 - k % len(tensors)] for k in (step.a, step.b))
            tensors.append(STEPS[step.kind](self, a, b, step.number))
        return tensors[-1] + 0.1 * tensors[len(tensors) // 2]


class Model(keras.Model):
    """The random layer, behind an embedding that may mask or behind a float input."""

    def __init__(self, plan: Plan, head: str):
        super().__init__(name="random")
        shared = keras.layers.Dense(WIDTH, name="shared")
        self.head = head
        self.embed = keras.layers.Embedding(11, WIDTH, mask_zero=head == "masked")
        self.body = Random(plan, shared)
        self.pool = keras.layers.GlobalAveragePooling1D()
        self.last = shared

    def call(self, x):
        h = x if self.head == "float" else self.embed(x)
        skipped = self.pool(h)
        h = self.body(h)
        return {"pooled": self.last(self.pool(h)) + skipped, "all": [h, None]}


HEADS = ["float", "ids", "masked"]
if keras.backend.backend() == "torch" and keras.__version__.startswith("3.14."):
    # Its GlobalAveragePooling1D multiplies its input, another layer's as well, by the mask in place.
    HEADS.remove("masked")

steps = st.builds(
    Step, st.sampled_from(sorted(STEPS)), st.integers(0, 3), st.integers(0, 3), st.integers(0, 5)
)
several = st.lists(steps, min_size=1, max_size=6).map(tuple)
flat_plans = st.builds(Plan, several, st.just(()))
plans = st.recursive(
    flat_plans,
    lambda inner: st.builds(Plan, several, st.lists(inner, min_size=1, max_size=2).map(tuple)),
    max_leaves=3,
)


@hypothesis.settings(max_examples=EXAMPLES)
@hypothesis.given(plans, st.sampled_from(HEADS), st.sampled_from(["copy", "share"]))
def test_a_random_model_is_prepared_right(plan, head, weights):
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(1)
    model = Model(plan, head)
    if head == "float":
        given = keras.Input((TIME, WIDTH), name="x")
    else:
        given = keras.Input((TIME,), dtype="int32", name="x")
    prepared = kerasfx.prepare_model(model, given, weights=weights, strict=True)
    comparison = kerasfx.compare(model, prepared, samples=1)
    assert comparison, f"{comparison}\n{kerasfx.trace(model, given)}"
    custom = {type(layer).__name__ for layer in prepared.layers} & {"Random", "Model"}
    assert not custom

"""The table of what is opened and what stays whole, row by row."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from einops import rearrange
from keras import layers, ops

import kerasfx
from kerasfx.errors import TrainingRefusedError

pytestmark = pytest.mark.any_keras

PAGE = Path(__file__).parents[1] / "docs" / "what_stays_whole.md"
HEAD = "| what a custom layer does in `call` | today |"
OPENED, KEPT = "opened", "kept whole"
BACKEND = keras.backend.backend()

Builder = Callable[..., Any]
ROWS: dict[str, list[Builder]] = {}


def rows() -> dict[str, str]:
    """The rows of the table: what is done -> what becomes of it."""
    lines = PAGE.read_text().partition(HEAD)[2].splitlines()[2:]
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return dict(cells[: next((i for i, line in enumerate(lines) if not line.startswith("|")), None)])


def row(beginning: str, on: str = BACKEND):
    """Registers a `call(self, x)`, or a function that makes a layer, as an example of a row."""

    def register(call: Builder) -> Builder:
        ROWS.setdefault(beginning, [])
        if on == BACKEND:
            ROWS[beginning].append(call)
        return call

    return register


def layer(call: Builder, **members: Any) -> layers.Layer:
    """A custom layer with a dense one and some state, whose `call` is `call`."""

    def initialized(self):
        layers.Layer.__init__(self)
        self.dense = layers.Dense(4)
        self.scale = self.add_weight(shape=(4,), initializer="ones", name="scale")
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False, name="count")
        self.seeds = keras.random.SeedGenerator(1)
        for name, value in members.items():
            setattr(self, name, value)

    def shape_of(self, x):
        return keras.KerasTensor(x.shape, dtype=x.dtype)  # Keras infers no `if` on a tensor

    return type(
        "Custom", (layers.Layer,), {"__init__": initialized, "call": call, "compute_output_spec": shape_of}
    )()


class Net(keras.Model):
    """The layer, between others."""

    def __init__(self, inner):
        super().__init__()
        self.first, self.inner, self.last = layers.Dense(4), inner, layers.Dense(2)

    def call(self, x, training=None):
        takes = self.inner._call_has_training_arg
        return self.last(self.inner(self.first(x), **({"training": training} if takes else {})))


# What is opened


@row("arithmetic, `keras.ops`")
def arithmetic(self, x):
    return ops.tanh(self.dense(x) * self.scale) + x


@row("draws from `keras.random`")
def draws(self, x):
    return x + keras.random.normal(ops.shape(x), seed=self.seeds)


@row("draws from `keras.random`")
def assigns_and_loses(self, x):
    self.count.assign_add(1.0)
    self.add_loss(ops.mean(x**2))
    return x * self.count


@row("`if training:` (both sides")
def branches(self, x, training=None):
    return self.dense(x) if training else x


@row("`call(..., training=True)` by default")
def trains_by_default(self, x, training=True):
    return self.dense(x) if training else x


@row("`call(..., training=True)` by default")
def training_without_default(self, x, training):
    return self.dense(x) if training else x


class Double(keras.Operation):
    """An operation of one's own."""

    def call(self, x):
        return x * 2

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, dtype=x.dtype)


@row("numbers, sizes, None and dicts")
def calls_operation(self, x):
    return Double()(x)


@row("numbers, sizes, None and dicts")
def passes_values(self, x):
    found = Values()(x)
    assert found["none"] is None
    return found["x"] * found["number"] + ops.cast(found["size"], "float32")


class Values(layers.Layer):
    """Returns what is no tensor, too."""

    def call(self, x):
        return {"x": x, "number": 3, "size": ops.shape(x)[1], "none": None}


@row("training code that raises")
def raises_in_training(self, x, training=None):
    if training:
        x = x + keras.random.uniform((None, 1), seed=self.seeds)
    return x


@row("free dimensions as sizes")
def sizes(self, x):
    b, t = ops.shape(x)[0], ops.shape(x)[1]
    return ops.reshape(x, (b, t, 2, 2))[:, :, 0] + ops.cast(ops.arange(t), "float32")[None, :, None] / t


@row("Python comparisons of free dimensions")
def compares_sizes(self, x):
    return x * 2 if x.shape[1] > 3 else x


@row("`ops.cond`, `ops.while_loop`")
def loops(self, x):
    return ops.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y * 2), (0, x))[1]


@row("metrics of Keras updated")
def updates_metric(self, x):
    self.mean.update_state(ops.mean(x))
    return x


updates_metric.members = lambda: {"mean": keras.metrics.Mean(name="mean_of_x")}


@row("raw `tf.*` calls", on="tensorflow")
def raw_tensorflow(self, x):
    import tensorflow as tf

    return tf.math.softplus(tf.concat([x, x], -1))[..., :4]


@row("raw `jax.*` calls", on="jax")
def raw_jax(self, x):
    import jax

    return jax.nn.softplus(x.at[:, 0].add(1.0))


@row("raw `torch.*` calls", on="torch")
def raw_torch(self, x):
    import torch

    return torch.nn.functional.softplus(x).mul(2).add_(1)


@row("`einops`")
def rearranges(self, x):
    return rearrange(x, "b t (h c) -> b t (c h)", h=2)


@row("built-in wrappers around custom layers")
def wrapped():
    return layers.TimeDistributed(layer(lambda self, x: self.dense(x) * 2))


# What stays whole


@row("`if` on a tensor")
def branches_on_tensor(self, x):
    return x if ops.sum(x) > 0 else -x


@row("`if` on a tensor")
def loops_over_free_size(self, x):
    return x + sum(float(i) for i in range(x.shape[1]))


@row("`tf.custom_gradient`", on="tensorflow")
def custom_gradient(self, x):
    import tensorflow as tf

    return tf.custom_gradient(lambda y: (y * 1.0, lambda dy: dy * 2))(x)


@row("assigned `tf.Variable`s", on="tensorflow")
def assigns_variable(self, x):
    self.raw.assign(2.0)
    return x + self.raw


def _raw_variable():
    import tensorflow as tf

    return {"raw": tf.Variable(0.0)}


assigns_variable.members = _raw_variable


@row("metrics of other classes updated")
def reads_metric(self, x):
    self.mean.update_state(ops.mean(x))
    return x * self.mean.result()


reads_metric.members = updates_metric.members


@row("`training is True`")
def asks_by_identity(self, x, training=None):
    return x * 2 if training is True else x


@row("functions of JAX that make gradients", on="jax")
def makes_gradients(self, x):
    import jax

    return jax.grad(lambda y: (y**2).sum())(x)


@row("`torch.autograd.Function`", on="torch")
def autograd_function(self, x):
    import torch

    with torch.autocast("cpu"):
        return x * 2


@row("on PyTorch, memory that was changed", on="torch")
def reads_changed_memory(self, x):
    y = self.dense(x)
    z = y.view(-1)
    z += 1
    return y


@row("random numbers drawn from Python")
def draws_of_python(self, x):
    return x * random.random()


@row("`RNN` whose custom cell draws", on="torch")
@row("`RNN` whose custom cell draws", on="tensorflow")  # JAX itself refuses it
def drawing_cell():
    return layers.RNN(Cell(), return_sequences=True)


class Cell(layers.Layer):
    """Draws at each step."""

    state_size, output_size = 4, 4

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seeds = keras.random.SeedGenerator(1)

    def call(self, x, states):
        y = x + keras.random.normal(ops.shape(x), seed=self.seeds)
        return y, [y]


def made(example):
    arguments = example.__code__.co_argcount
    members = example.members() if hasattr(example, "members") else {}
    return example() if arguments == 0 else layer(example, **members)


@pytest.mark.parametrize("beginning", ROWS)
def test_row_is_true(beginning):
    [(_, becomes)] = [(k, v) for k, v in rows().items() if k.startswith(beginning)]
    for example in ROWS[beginning]:
        model = Net(made(example))
        prepared = kerasfx.prepare_model(model, keras.Input((None, 3)))
        assert bool(kerasfx.report(prepared).opaque) == (becomes == KEPT), example.__name__
        x = np.random.default_rng(0).random((2, 5, 3), "float32")
        if example is not raises_in_training:
            assert kerasfx.compare(model, prepared, inputs=x), example.__name__
            continue
        prepared(x)
        with pytest.raises(TrainingRefusedError):
            prepared(x, training=True)


def test_every_row_has_an_example():
    table = rows()
    assert set(table.values()) == {OPENED, KEPT}
    lacking = [what for what in table if not any(what.startswith(beginning) for beginning in ROWS)]
    assert not lacking

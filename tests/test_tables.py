"""A table that is cut at a free length does not fix that length, in whatever form it is cut."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from zoo.case import floats

import kerasfx

pytestmark = pytest.mark.any_keras

BACKEND = keras.backend.backend()
ROWS = 32
LENGTHS = (5, 9)


class Table(layers.Layer):
    """Gives rows of its table, which `function(table, t)` takes, to the features of a sequence."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def build(self, shape):
        self.table = self.add_weight(shape=(ROWS, 4), initializer="glorot_uniform", name="table")

    def call(self, x):
        return x + ops.sum(self.rows(x), axis=0)

    def rows(self, x):
        # JAX's own functions take no variable of Keras.
        table = self.table.value if BACKEND == "jax" else self.table
        return self.function(table, ops.shape(x)[1])


class Added(Table):
    """Adds its rows to those of the sequence."""

    def call(self, x):
        return x + self.rows(x)


FORMS = {
    "to": lambda table, t: table[:t],
    "to, in a tuple": lambda table, t: table[:t, :],
    "to, behind an ellipsis": lambda table, t: table[None, ..., :t, :][0],
    "beyond": lambda table, t: table[: t + 1],
    "from one": lambda table, t: table[1:t],
    "from": lambda table, t: table[t:],
    "from the end": lambda table, t: table[ROWS - t :],
    "the last": lambda table, t: table[-t:],
    "but the last": lambda table, t: table[:-t],
    "twice": lambda table, t: table[: 2 * t],
    "half": lambda table, t: table[: t // 2],
    "every other": lambda table, t: table[: 2 * t : 2],
    "two cuts": lambda table, t: table[:24][: t - 1],
    "of a function": lambda table, t: ops.sin(table)[:t],
    "take": lambda table, t: ops.take(table, ops.arange(t), axis=0),
    "slice": lambda table, t: ops.slice(table, (0, 0), (t, 4)),
    "split": lambda table, t: ops.split(table, [3, t], axis=0)[1],
    "strides": lambda table, t: ops.repeat(table, 16, axis=0)[:: t * 4],
    "minimum": lambda table, t: table[: ops.minimum(t, 24)] if BACKEND == "tensorflow" else table[:t],
}

if BACKEND == "tensorflow":
    import tensorflow as tf

    FORMS |= {
        "tf.slice": lambda table, t: tf.slice(table, [0, 0], [t, 4]),
        "tf.strided_slice": lambda table, t: tf.strided_slice(table, [0, 0], [t, 4]),
        "tf.gather": lambda table, t: tf.gather(table, tf.range(t)),
        "tf.split": lambda table, t: tf.split(table, [t, ROWS - t], axis=0)[0],
    }
elif BACKEND == "jax":
    import jax
    import jax.numpy as jnp

    FORMS |= {
        "lax.dynamic_slice": lambda table, t: jax.lax.dynamic_slice(table, (0, 0), (t, 4)),
        "lax.dynamic_slice_in_dim": lambda table, t: jax.lax.dynamic_slice_in_dim(table, 0, t),
        "lax.slice_in_dim": lambda table, t: jax.lax.slice_in_dim(table, 0, t),
        "lax.slice": lambda table, t: jax.lax.slice(table, (0, 0), (t, 4)),
        "jnp.take": lambda table, t: jnp.take(table, jnp.arange(t), axis=0),
        "jnp.split": lambda table, t: jnp.split(table, [t])[0],
    }
else:
    import torch

    FORMS |= {
        "narrow": lambda table, t: torch.narrow(table, 0, 0, t),
        "narrow, a method": lambda table, t: table.value.narrow(0, 0, t),
        "index_select": lambda table, t: torch.index_select(table, 0, torch.arange(t)),
        "torch.split": lambda table, t: torch.split(table, [t, ROWS - t])[0],
    }


def expect_free(layer):
    """The layer opened, with nothing fixed, and equal for lengths that are no example sizes."""
    prepared = kerasfx.prepare_model(layer, keras.Input((None, 4), name="x"))
    report = kerasfx.report(prepared)
    assert not [f for f in report.findings if f.kind in ("opaque", "fixed", "guard")]
    for length in LENGTHS:
        x = floats(2, length, 4)
        np.testing.assert_allclose(*(ops.convert_to_numpy(f(x)) for f in (prepared, layer)), rtol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_rows_up_to_a_free_length(form):
    expect_free(Table(FORMS[form]))


@pytest.mark.parametrize("form", ["to", "from the end", "the last", "slice", *list(FORMS)[-4:]])
def test_rows_that_are_added_to_a_sequence(form):
    expect_free(Added(FORMS[form]))


class Mean(keras.Model):
    """Divides the sum over the length by a number that it computes from a shape."""

    def __init__(self, part):
        super().__init__()
        self.part = part

    def call(self, x):
        y = self.part(x)
        return ops.sum(y, axis=1) / (y.shape[1] + 1)


class Cut(layers.Layer):
    """At most 32 steps; the graph does not see how, where it stays whole."""

    def call(self, x):
        return x[:, :32]


UNREACHED = {
    "a layer that stays whole": (Cut, (7, 40)),
    "a stride longer than the examples": (
        lambda: layers.Conv1D(4, 3, strides=256, padding="same"),
        (7, 600),
    ),
    "every 256th": (lambda: layers.Lambda(lambda x: x[:, ::256]), (7, 600)),
    "from the 256th on": (lambda: layers.Lambda(lambda x: x[:, 256:]), (300, 600)),
}


@pytest.mark.parametrize("name", UNREACHED)
def test_a_size_that_the_example_sizes_do_not_show_to_be_free(name):
    part, lengths = UNREACHED[name]
    model = Mean(part())
    prepared = kerasfx.prepare_model(model, keras.Input((None, 4), name="x"), leaves=["part"])
    assert not kerasfx.report(prepared).of_kind("fixed")
    for length in lengths:
        x = floats(2, length, 4)
        np.testing.assert_allclose(*(ops.convert_to_numpy(f(x)) for f in (prepared, model)), rtol=1e-5)


def test_tables_for_the_sides_of_an_image_behind_a_convolution():
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.patches = layers.Conv2D(4, 4, strides=4)
            self.rows = self.add_weight(shape=(14, 1, 4), name="rows")
            self.columns = self.add_weight(shape=(1, 14, 4), name="columns")

        def call(self, x):
            x = self.patches(x)
            _, height, width, _ = ops.shape(x)
            return x + self.rows[:height] + self.columns[:, :width]

    model = Model()
    prepared = kerasfx.prepare_model(model, keras.Input((None, None, 3), name="x"))
    assert not kerasfx.report(prepared).of_kind("fixed")
    x = floats(2, 16, 56, 3)
    np.testing.assert_allclose(*(ops.convert_to_numpy(f(x)) for f in (prepared, model)), rtol=1e-5)


def test_a_length_for_which_no_other_size_runs_is_fixed_and_told():
    class Model(keras.Model):
        def build(self, shape):
            self.table = self.add_weight(shape=(ROWS, 4), name="table")

        def call(self, x):
            return x + self.table

    prepared = kerasfx.prepare_model(Model(), keras.Input((None, 4), name="x"))
    (finding,) = kerasfx.report(prepared).of_kind("fixed")
    assert "x.shape[1] is 32 in the result" in str(finding)

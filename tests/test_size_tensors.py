"""A size that was made a tensor is the same size again wherever one is wanted."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from test_free_sizes import compiled, expect_equal
from zoo.sizes import Function, sequences

import kerasfx

pytestmark = pytest.mark.any_keras

BACKEND = keras.backend.backend()
SIZES = ((2, 6), (3, 10))


def twice(x, b, t):
    """A size, cast and doubled, as the length of a mask that meets the sequence."""
    n = ops.cast(t, "int32") * 2
    return x * ops.reshape(ops.ones((1, n, 1)), (1, n // 2, 2, 1))[:, :, 0]


FORMS = {
    "cast": lambda x, b, t: x * ops.ones((ops.cast(b, "int32"), 1, 1)),
    "cast and back": lambda x, b, t: x * ops.ones((ops.cast(ops.cast(b, "int16"), "int32"), 1, 1)),
    "arithmetic": twice,
    "sum of tensors": lambda x, b, t: (
        x * ops.ones((ops.cast(b, "int32") + ops.cast(t, "int32"), 1, 1))[: ops.cast(b, "int32")]
    ),
    "cut": lambda x, b, t: x[:, : ops.cast(t, "int32") - 1] * x[:, 1:],
    "cut at the most": lambda x, b, t: x[:, : ops.minimum(t, 8)] * ops.ones((1, ops.minimum(t, 8), 1)),
    "filled up": lambda x, b, t: ops.pad(x, [[0, 0], [0, ops.maximum(t, 8) - t], [0, 0]]),
    "arange": lambda x, b, t: x * ops.cast(ops.arange(ops.cast(t, "int32")), "float32")[:, None],
    "reshape": lambda x, b, t: ops.reshape(x, (ops.cast(b, "int32") * ops.cast(t, "int32"), 4)),
    "in a number": lambda x, b, t: x * ops.cast(ops.cast(t, "int32") // 2, "float32"),
    "stacked": lambda x, b, t: ops.stack([ops.cast(b, "int32"), ops.cast(t, "int32")]),
}

if BACKEND == "tensorflow":
    import tensorflow as tf

    def attention_mask(x, b, t):
        """As in the examples of keras.io."""
        batch, length = tf.shape(x)[0], tf.shape(x)[1]
        i, j = tf.range(length)[:, None], tf.range(length)
        mask = tf.reshape(tf.cast(i >= j, "float32"), [1, length, length])
        times = tf.concat([batch[..., tf.newaxis], tf.constant([1, 1], dtype=tf.int32)], 0)
        return tf.matmul(tf.tile(mask, times), x)

    FORMS |= {
        "newaxis": attention_mask,
        "None": lambda x, b, t: tf.tile(x[:1], tf.concat([tf.shape(x)[0][None], [1, 1]], 0)),
        "known size, newaxis": lambda x, b, t: x * tf.ones(tf.shape(x)[2][..., tf.newaxis]),
        "expand_dims": lambda x, b, t: tf.tile(
            x[:1], tf.concat([tf.expand_dims(tf.shape(x)[0], -1), [1, 1]], 0)
        ),
        "reshape of a size": lambda x, b, t: tf.tile(
            x[:1], tf.concat([tf.reshape(tf.shape(x)[0], [1]), tf.ones([2], tf.int32)], 0)
        ),
        "stack": lambda x, b, t: tf.reshape(x, tf.stack([tf.shape(x)[0], tf.shape(x)[1] * 2, 2])),
        "stack with -1": lambda x, b, t: tf.reshape(x, tf.stack([tf.shape(x)[0], -1])),
        "concat of parts": lambda x, b, t: tf.reshape(x, tf.concat([tf.shape(x)[:-1], [2, 2]], axis=0)),
        "part and newaxis": lambda x, b, t: x * tf.cast(tf.shape(x)[None, :2], "float32")[:, 1, None],
        "cast to int64": lambda x, b, t: tf.ones([tf.cast(tf.shape(x)[0], tf.int64), 2]),
        "cast of all": lambda x, b, t: tf.reshape(x, tf.cast(tf.shape(x), tf.int64)),
        "fill": lambda x, b, t: x * tf.fill(tf.shape(x)[:2], 2.0)[..., None],
        "float and back": lambda x, b, t: (
            x * tf.cast(tf.cast(tf.cast(tf.shape(x)[1], tf.float32) * 0.5, tf.int32), tf.float32)
        ),
        "cut at a float and back": lambda x, b, t: tf.reduce_sum(
            x[:, : tf.cast(tf.cast(tf.shape(x)[1], tf.float32) * 0.5, tf.int32)], 1
        ),
        "sequence_mask": lambda x, b, t: (
            x * tf.sequence_mask(tf.ones([tf.shape(x)[0]], tf.int32), tf.shape(x)[1], tf.float32)[..., None]
        ),
        "scatter": lambda x, b, t: tf.scatter_nd([[0], [1]], [1.0, 2.0], tf.shape(x)[1][None]),
        "gather of a shape": lambda x, b, t: tf.ones([tf.gather(tf.shape(x), 1), 2]),
    }


@pytest.mark.parametrize("form", FORMS)
def test_a_size_that_was_a_tensor(form):
    model = Function(FORMS[form])
    prepared = kerasfx.prepare_model(model, keras.Input((None, 4), name="x"))
    report = kerasfx.report(prepared)
    assert not [f for f in report.findings if f.kind in ("opaque", "fixed", "guard")]
    in_a_graph = compiled(prepared)
    for sizes in SIZES:
        x = sequences(*sizes)
        expected = model(x)
        expect_equal(expected, prepared(x))
        expect_equal(expected, in_a_graph(x))


class Endpoint(layers.Layer):
    """Lengths made of sizes, as in the example of keras.io that reads captchas."""

    def call(self, labels, scores):
        batch, length = ops.cast(ops.shape(labels)[0], "int32"), ops.cast(ops.shape(scores)[1], "int32")
        lengths = ops.squeeze(length * ops.ones((batch, 1), dtype="int32"), -1)
        known = ops.squeeze(ops.shape(labels)[1] * ops.ones((batch, 1), dtype="int32"), -1)
        self.add_loss(ops.mean(ops.ctc_loss(labels, scores, known, lengths)))
        return scores


def test_the_lengths_of_ctc():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense, self.endpoint = layers.Dense(5), Endpoint()

        def call(self, labels, x):
            return self.endpoint(labels, self.dense(x))

    model = Net()
    inputs = kerasfx.Inputs(keras.Input((4,), dtype="int32"), keras.Input((None, 3)))
    prepared = kerasfx.prepare_model(model, inputs)
    assert not kerasfx.report(prepared).opaque
    labels, x = np.array([[1, 2, 1, 3], [3, 2, 1, 4]]), sequences(2, 12)[..., :3]
    expect_equal(model(labels, x), prepared({"labels": labels, "x": x}))
    expect_equal(model.losses[0], prepared.losses[0])


@pytest.mark.skipif(BACKEND == "tensorflow", reason="a size is a tensor there")
def test_an_int_is_no_tensor():
    model = Function(lambda x, b, t: x * t[..., None])
    with pytest.raises(TypeError, match="not subscriptable"):
        model(sequences(2, 6))
    with pytest.raises(TypeError, match="not subscriptable"):
        kerasfx.prepare_model(model, keras.Input((None, 4)))

"""Raw TensorFlow: what the zoo cannot ask, because it is about the trace and not about a model."""

import subprocess
import sys

import keras
import numpy as np
import pytest

if keras.backend.backend() != "tensorflow":
    pytest.skip("raw TensorFlow", allow_module_level=True)

import tensorflow as tf

import kerasfx
from kerasfx.errors import TraceError
from kerasfx.tracing.patches import patched

pytestmark = pytest.mark.any_keras


def model_of(function):
    """A model whose `call` is a function."""

    class Net(keras.Model):
        def call(self, x):
            return function(x)

    return Net()


def targets(function):
    """What the nodes of a trace call."""
    return [n.target for n in kerasfx.trace(model_of(function), keras.Input((None, 4))).graph.nodes]


def test_nothing_is_left_behind():
    """Functions, operators and the dispatcher are TensorFlow's own before and after a trace."""
    from tensorflow.python.ops import gen_random_ops
    from tensorflow.python.util import dispatch

    owners = (tf, tf.nn, tf.math, tf.random, tf.Tensor, tf.GradientTape, dispatch, gen_random_ops)
    before = [dict(vars(owner)) for owner in owners]
    assert targets(lambda x: tf.nn.relu(x) + tf.random.normal((4,)))
    with pytest.raises(TraceError):
        targets(lambda x: tf.GradientTape().__enter__())
    assert patched() == ()
    for owner, attributes in zip(owners, before, strict=True):
        changed = [k for k, v in attributes.items() if vars(owner).get(k) is not v]
        assert [k for k in changed if not k.startswith("__")] == []


def test_the_dispatcher_is_inert_without_a_session():
    """What TensorFlow refuses, it refuses as ever."""
    with pytest.raises((TypeError, ValueError)):
        tf.nn.relu(object())


@pytest.mark.parametrize(
    "draw",
    [
        tf.random.Generator.from_seed(1).normal,
        tf.random.Generator.from_seed(1).uniform,
        lambda shape: tf.random.get_global_generator().normal(shape),
        tf.random.normal,
        tf.random.truncated_normal,
        tf.random.uniform,
        lambda shape: tf.experimental.numpy.random.randn(*shape),
        lambda shape: tf.raw_ops.RandomStandardNormal(shape=shape, dtype=tf.float32),
    ],
)
def test_a_draw_is_never_frozen(draw):
    """A function that draws and is reached in another way is refused, with the reason."""
    with pytest.raises(TraceError, match="would be frozen"):
        targets(lambda x: x + draw((4,)))


def test_sums_that_keras_takes_for_a_bias():
    """`+` broadcasts as TensorFlow does, at every size."""
    net = model_of(lambda x: tf.reshape(x, [1, 2, -1, 4]) + tf.zeros([tf.shape(x)[0], 1, 1, 1]))
    prepared = kerasfx.prepare_model(net, keras.Input((None, 4)), verify=False)
    for batch in (1, 2, 4):
        x = np.random.default_rng(0).standard_normal((batch, 6, 4)).astype("float32")
        np.testing.assert_array_equal(net(x), prepared(x))


VECTORS = {
    "flattened": lambda x: tf.reshape(x, [tf.shape(x)[0], tf.reduce_prod(tf.shape(x)[1:])]),
    "of known sizes": lambda x: tf.reshape(x, [-1, tf.reduce_prod(tf.shape(x)[2:]) + 0]),
    "equal": lambda x: tf.equal(tf.shape(x)[1:], [3, 4]),
    "not equal": lambda x: tf.not_equal([3, 4], tf.shape(x)[1:]),
    "compared": lambda x: (tf.shape(x) > 2, tf.shape(x) <= [2, 3, 4], tf.less(2, tf.shape(x))),
    "==": lambda x: (tf.shape(x) == [2, 3, 4], tf.shape(x)[2:] != [4]),
    "all": lambda x: tf.reduce_all(tf.shape(x) >= 2),
    "chosen by": lambda x: tf.where(tf.shape(x) > 3, 1, 2),
    "decided by": lambda x: x if tf.reduce_all(tf.shape(x)[2:] == [4]) else x * 2,
    "computed with": lambda x: (tf.shape(x) ** 2, tf.shape(x) / 2, -tf.shape(x), 12 // tf.shape(x)),
    "the rest": lambda x: (7 % tf.shape(x), 12 / tf.shape(x), tf.shape(x) == tf.shape(x * 2)),
    "the larger of known ones": lambda x: tf.zeros(tf.maximum(tf.shape(x)[2:], [3])),
    "the smaller of known ones": lambda x: tf.zeros(tf.minimum(3, tf.shape(x)[2:])),
}


@pytest.mark.parametrize("what", VECTORS)
def test_a_vector_of_sizes_computes_as_the_tensor_that_it_is(what):
    net = model_of(lambda x: tf.nest.flatten((x, VECTORS[what](x))))
    prepared = kerasfx.prepare_model(net, keras.Input((None, 4)))
    for shape in ((2, 3, 4), (5, 3, 4), (1, 6, 4)):
        x = np.random.default_rng(0).standard_normal(shape).astype("float32")
        for ours, theirs in zip(net(x), prepared(x), strict=True):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)


def test_plain_sums_are_those_of_keras():
    """Residuals, biases, masks of attention and numbers need no function of TensorFlow."""

    def residuals(x):
        scores = tf.einsum("bth,bsh->bts", x, x)[:, None]
        mask = tf.cast(x[:, None, None, :, 0] > 0, tf.float32)
        return x + x + 1.0, x + tf.constant([1.0, 2.0, 3.0, 4.0]), scores + mask

    assert "tf.add" not in targets(residuals)


def test_a_check_is_left_out_with_a_line():
    """The report says which."""
    prepared = kerasfx.prepare_model(
        model_of(lambda x: (tf.debugging.assert_less(x, 9e9), tf.tanh(x))[1]), keras.Input((4,))
    )
    [finding] = kerasfx.report(prepared).of_kind("dropped")
    assert "tf.debugging.assert_less is left out" in finding.what


def test_tensors_say_that_they_are_tensors():
    """Only to the user's code, and only of their own kind."""

    def gates(x):
        assert isinstance(x, tf.Tensor)
        assert isinstance(x, keras.KerasTensor)
        assert not isinstance(x, (tf.Variable, tf.RaggedTensor, np.ndarray))
        return tf.tanh(x)

    assert targets(gates) == ["keras.ops.tanh"]


IMPORTS_LATER = """
import keras, tensorflow as tf, kerasfx

class Net(keras.Model):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def build(self, shape):
        self.kernel = self.add_weight(shape=(3, 4, 4))

    def call(self, x):
        return self.function(x, self.kernel)

before = tf.nn
convolved = lambda x, kernel: before.conv1d(x, kernel, stride=1, padding="SAME")
print([n.target for n in kerasfx.trace(Net(convolved), keras.Input((6, 4))).graph.nodes])
from tensorflow.nn import relu
assert tf.nn is not before
for function in (convolved, lambda x, kernel: tf.nn.conv1d(relu(x), kernel, stride=1, padding="SAME")):
    print([n.target for n in kerasfx.trace(Net(function), keras.Input((6, 4))).graph.nodes])
"""


def test_a_module_of_tensorflow_that_is_imported_after_a_trace():
    """It takes the place of the one that was there; what calls the one or the other is recorded."""
    done = subprocess.run([sys.executable, "-c", IMPORTS_LATER], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    alone, again, both = done.stdout.splitlines()[-3:]
    assert "conv1d" in alone
    assert again == alone
    assert "conv1d" in both
    assert "relu" in both

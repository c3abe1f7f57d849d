"""Preparing a model leaves it, Keras and the process as they were, to the bit and to the node."""

import gc
import threading
from contextlib import nullcontext

import keras
import numpy as np
import pytest
from keras import ops
from snapshots import bits, differences, snapshot_of_model, snapshot_of_process

import kerasfx
from kerasfx.tracing.patches import patched

pytestmark = pytest.mark.quick


class Block(keras.layers.Layer):
    """A weight, built-in layers with state and seeds, and a residual sum."""

    def __init__(self, width):
        super().__init__()
        self.dense = keras.layers.Dense(width, activity_regularizer="l2")
        self.norm = keras.layers.BatchNormalization()
        self.dropout = keras.layers.Dropout(0.5)
        # Made in `build`, its tensor would be left in the graph in which TensorFlow builds models.
        self.regularizer = keras.regularizers.L1(0.01)

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", regularizer=self.regularizer)

    def call(self, x):
        return x + self.dropout(self.norm(self.dense(x))) * self.scale


class Net(keras.Model):
    """Blocks, one of them called twice, around a Functional model."""

    def __init__(self, width=4):
        super().__init__(name="net")
        inputs = keras.Input((width,))
        self.inner = keras.Model(inputs, keras.layers.Dense(width, "relu")(inputs))
        self.blocks = [Block(width), Block(width)]
        self.head = keras.layers.Dense(2)

    def call(self, x):
        for block in (*self.blocks, self.blocks[0]):
            x = self.inner(block(x))
        return self.head(x)


class Counted(keras.Model):
    """A model that counts its calls in an attribute, and keeps a number of the last."""

    def __init__(self):
        super().__init__(name="counted")
        self.dense = keras.layers.Dense(2)
        self.calls, self.rank = 0, -1.0

    def call(self, x):
        self.calls += 1
        self.rank = float(len(x.shape) + self.calls)
        return self.dense(x)


class Failing(keras.Model):
    """A model whose second block raises, after the first was traced."""

    def __init__(self):
        super().__init__(name="failing")
        self.block = Block(4)
        self.fails = True

    def call(self, x):
        x = self.block(x)
        if self.fails:
            raise LookupError("the user's own words")
        return x


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal((3, 4)).astype("float32")


@pytest.fixture
def net(x):
    """A built model."""
    model = Net()
    model(x)
    return model


def full_snapshot(model):
    """The model and the process."""
    return {**snapshot_of_model(model), **snapshot_of_process()}


class Remembering(keras.Model):
    """A model that remembers tables by length, the last shape, and what it has seen."""

    def __init__(self, stays_whole=False):
        super().__init__(name="remembering")
        self.dense = keras.layers.Dense(4)
        self.stays_whole = stays_whole
        self.tables, self.seen, self.last, self.parts, self.calls = {}, [], (0, 0, 0), [], 0

    # Else Keras itself would call it for shapes first, and leave what it gives in the tables.
    def build(self, shape):
        self.dense.build(shape)

    def call(self, x):
        length = x.shape[1]
        if length not in self.tables:
            self.tables[length] = ops.arange(length, dtype="float32")[:, None]
        self.calls += 1
        self.seen.append(length)
        self.last, self.parts = tuple(x.shape), [slice(0, x.shape[0]), slice(1, length)]
        scale = np.random.uniform(1, 1) if self.stays_whole else 1.0
        return self.dense(x) * scale + self.tables[length]


PREPARATIONS = {
    "prepare": lambda model, x: kerasfx.prepare_model(model, x),
    "verify off": lambda model, x: kerasfx.prepare_model(model, x, verify=False),
    "share": lambda model, x: kerasfx.prepare_model(model, x, weights="share"),
    "leaves": lambda model, x: kerasfx.prepare_model(model, x, leaves=["blocks[0]"]),
    "trace": lambda model, x: kerasfx.trace(model, x),
    "explain": lambda model, x: kerasfx.explain(model, x),
    "compare": lambda model, x: kerasfx.compare(
        model, kerasfx.prepare_model(model, x, verify=False), samples=1
    ),
}


@pytest.mark.parametrize("how", ["prepare", "verify off", "leaves", "trace", "explain", "compare"])
def test_built_model_is_untouched(how, net, x):
    """Variables, seeds, nodes, losses, every attribute, names, random states: all as before."""
    before = full_snapshot(net)
    kept = PREPARATIONS[how](net, x)
    assert differences(before, full_snapshot(net)) == []
    assert patched() == ()
    del kept


@pytest.mark.parametrize("how", ["prepare", "verify off", "trace", "compare"])
def test_a_cell_that_takes_its_masks_away_is_untouched(how):
    """Keras on TensorFlow notes the name of an attribute each time that it is set to None."""
    cell = keras.layers.LSTMCell(2, recurrent_dropout=0.2)
    model = keras.Sequential([keras.layers.RNN(cell)])
    model(np.ones((2, 3, 4), "float32"))
    before = snapshot_of_model(model)
    kept = PREPARATIONS[how](model, np.ones((2, 3, 4), "float32"))
    assert differences(before, snapshot_of_model(model)) == []
    del kept


@pytest.mark.parametrize("how", ["prepare", "verify off", "share", "explain", "trace"])
def test_calls_that_a_model_counts_are_those_of_the_user(how, x):
    model = Counted()
    model(x)
    before = model.calls, model.rank
    PREPARATIONS[how](model, x)
    assert (model.calls, model.rank) == before


@pytest.mark.parametrize("stays_whole", [False, True])
@pytest.mark.parametrize("how", ["prepare", "verify off", "share", "explain", "trace"])
def test_what_a_model_remembers_is_of_the_calls_of_the_user(how, stays_whole):
    """No tensor and no size of a trace stays in a table, a list or a tuple, nor a count of its calls."""
    model, x = Remembering(stays_whole), keras.Input((None, 4))
    model(np.ones((2, 3, 4), "float32"))
    # Of what stays whole Keras is asked for the shape of what it gives.
    wrapped = keras.Sequential([model]) if stays_whole else model
    wrapped(np.ones((2, 3, 4), "float32"))

    def remembered():
        tables = {k: np.array(v) for k, v in model.tables.items()}
        return str((tables, list(model.seen), model.last, list(model.parts), model.calls))

    before = remembered()
    kept = PREPARATIONS[how](wrapped, x)
    assert remembered() == before
    model(np.ones((2, 5, 4), "float32"))
    assert model.last == (2, 5, 4)
    assert set(model.tables) == {3, 5}
    del kept


def test_losses_of_an_earlier_call_stay(net, x):
    """What the last call of the user left in `losses` is still there."""
    net(x, training=True)
    losses = [keras.ops.convert_to_numpy(loss) for loss in net.losses]
    kerasfx.prepare_model(net, x)
    after = [keras.ops.convert_to_numpy(loss) for loss in net.losses]
    assert len(losses) > 2
    np.testing.assert_array_equal(losses, after)


def test_shared_weights_add_only_nodes(net, x):
    """`weights="share"`: the leaves get nodes in another graph, which is how Keras shares them."""
    before = full_snapshot(net)
    prepared = kerasfx.prepare_model(net, x, weights="share")
    changed = differences(before, full_snapshot(net))
    assert changed
    assert [c for c in changed if "bound_nodes" not in c and "bound nodes" not in c] == []
    shared = {id(layer) for layer in prepared.layers}
    used = [layer for layer in net._flatten_layers() if id(layer) in shared]
    assert {"dense", "batch_normalization"} <= {layer.name.rstrip("_0123456789") for layer in used}


def test_functional_original_keeps_its_nodes_under_share(x):
    """A Functional original computes and saves as before when its layers are shared."""
    inputs = keras.Input((4,))
    model = keras.Model(inputs, Block(4)(keras.layers.Dense(4)(inputs)))
    expected, config = bits_of(model(x)), model.get_config()
    kerasfx.prepare_model(model, weights="share")
    assert bits_of(model(x)) == expected
    assert str(model.get_config()) == str(config)


def bits_of(tensor):
    """A tensor to the bit."""
    return keras.ops.convert_to_numpy(tensor).tobytes()


def seeded_net():
    """The same unbuilt model at every call."""
    keras.utils.set_random_seed(3)
    return Net()


def test_unbuilt_model_gets_built_and_nothing_else(x):
    """It has the weights that a call of its user would have made, and no other change."""
    twin = seeded_net()
    twin(x)
    model = seeded_net()
    before = snapshot_of_process()
    kerasfx.prepare_model(model, x)
    assert model.built
    assert all(layer.built for layer in model._flatten_layers())
    assert [bits(v) for v in model.weights] == [bits(v) for v in twin.weights]
    for layer in model._flatten_layers():
        nodes = 1 if layer in model.inner.layers else 0  # those of its own graph
        assert len(layer._inbound_nodes) == nodes
        assert layer._losses == []
    assert snapshot_of_process()["names"] == before["names"]
    assert snapshot_of_process()["call context"] is None


class Folded(keras.Model):
    """TensorFlow does not know the last size where sizes are unknown, and Keras then calls the cell built."""

    def __init__(self, layer):
        super().__init__()
        self.recurrent = layer(4)

    def call(self, x):
        folded = ops.reshape(x, (-1, 4))
        return self.recurrent(ops.reshape(folded, (ops.shape(x)[0], ops.shape(x)[1], -1)))


@pytest.mark.parametrize("layer", [keras.layers.GRU, keras.layers.LSTM, keras.layers.SimpleRNN])
@pytest.mark.parametrize("length", [3, None, "array"])
def test_a_layer_that_keras_fails_to_build_symbolically_is_built(layer, length):
    x = np.random.default_rng(0).random((2, 3, 4), "float32")
    keras.utils.set_random_seed(3)
    twin = Folded(layer)
    twin(x)
    keras.utils.set_random_seed(3)
    model = Folded(layer)
    prepared = kerasfx.prepare_model(model, x if length == "array" else keras.Input((length, 4)))
    assert [bits(v) for v in model.weights] == [bits(v) for v in twin.weights]
    assert bits_of(prepared(x)) == bits_of(model(x)) == bits_of(twin(x))


class Normalized(keras.Model):
    """Keras computes the mean where it infers shapes, and has a tensor without value then."""

    def __init__(self):
        super().__init__()
        self.norm = keras.layers.Normalization(mean=[0.5, 1, 2, 3], variance=[1, 2, 3, 4])
        self.dense = keras.layers.Dense(2)

    def call(self, x):
        return self.dense(self.norm(x))


@pytest.mark.parametrize("as_array", [True, False])
def test_a_mean_that_keras_computes_symbolically_is_computed(as_array):
    x = np.ones((2, 4), "float32")
    model = Normalized()
    prepared = kerasfx.prepare_model(model, x if as_array else keras.Input((4,)))
    expected = model.dense((x - [0.5, 1, 2, 3]) / np.sqrt([1, 2, 3, 4]))
    assert bits_of(prepared(x)) == bits_of(model(x))
    np.testing.assert_allclose(*map(ops.convert_to_numpy, (model(x), expected)), rtol=1e-5)


@pytest.mark.parametrize("built", [True, False])
def test_model_whose_call_raises(built, x):
    """The error is the user's own, with our note; the model is as before."""
    model = Failing()
    if built:
        model.fails = False
        model(x)
        model.fails = True
    before = full_snapshot(model)
    with pytest.raises(LookupError) as caught:
        kerasfx.prepare_model(model, x)
    assert "the user's own words" in str(caught.value)
    [note] = caught.value.__notes__
    assert "kerasfx was tracing" in note
    assert patched() == ()
    after = full_snapshot(model)
    if built:
        assert differences(before, after) == []
        return
    assert after["call context"] is None
    assert after["names"] == before["names"]
    model.fails = False
    assert kerasfx.compare(model, kerasfx.prepare_model(model, x), samples=1)


def test_automatic_names_go_on_unshifted(net, x):
    """The next layer of the user gets the number it would have had."""
    number = int(keras.layers.Dense(1).name.rpartition("_")[2])
    for weights in ("copy", "share"):
        kerasfx.prepare_model(net, x, weights=weights)
    assert keras.layers.Dense(1).name == f"dense_{number + 1}"


def test_inside_a_call_context(x):
    """A model prepared by a layer that is being called does not disturb that call."""

    class Preparing(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.net = Net()
            self.net(x)
            self.dropout = keras.layers.Dropout(0.5)

        def call(self, inputs, training=None):
            kerasfx.prepare_model(self.net, x)
            return self.dropout(inputs)

    layer = Preparing()
    assert not np.array_equal(layer(x, training=True), x)
    np.testing.assert_array_equal(layer(x, training=False), x)


def prepared_in_thread(build, shape, results, barrier):
    """Builds and prepares a model when all threads are there."""
    try:
        model = build()
        barrier.wait(30)
        results.append((model, kerasfx.prepare_model(model, keras.Input(shape))))
    except Exception as error:
        results.append(error)


def convolutional():
    """Another model, of other layers and ranks."""

    class ConvNet(keras.Model):
        def __init__(self):
            super().__init__()
            self.conv = keras.layers.Conv2D(3, 2)
            self.scale = keras.layers.Dense(3)

        def call(self, x):
            y = ops.relu(self.conv(x))
            return ops.mean(self.scale(y) * 2.0, axis=(1, 2))

    return ConvNet()


@pytest.mark.parametrize("attempt", range(3))
def test_two_threads_prepare_while_a_third_calls(attempt, x):
    """Two right models; the third thread sees ordinary Keras all along."""
    outside = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4), keras.layers.ReLU()])
    expected, seen, stop = bits_of(outside(x)), [], threading.Event()
    results: list = []
    barrier = threading.Barrier(3)

    def call_on():
        try:
            barrier.wait(30)
            while not stop.is_set():
                seen.append(bits_of(outside(x)))
                seen.append(bits_of(ops.add(x, 1.0)))
        except Exception as error:
            seen.append(error)

    threads = [
        threading.Thread(target=prepared_in_thread, args=(Net, (4,), results, barrier)),
        threading.Thread(target=prepared_in_thread, args=(convolutional, (6, 5, 2), results, barrier)),
    ]
    caller = threading.Thread(target=call_on)
    for thread in (*threads, caller):
        thread.start()
    for thread in threads:
        thread.join(120)
    stop.set()
    caller.join(30)
    assert set(seen) == {expected, bits_of(ops.add(x, 1.0))}
    assert len(results) == 2
    for result in results:
        if isinstance(result, Exception):
            raise result
        comparison = kerasfx.compare(*result, samples=1, gradients=False)
        failed = {check.name for check in comparison.checks if not check.passed}
        # JAX's `fit` forgets the loss of the first call of a block that the original calls twice.
        forgets = keras.backend.backend() == "jax" and isinstance(result[0], Net)
        assert failed == ({"in fit"} if forgets else set())
    assert patched() == ()


class Keeping(keras.layers.Layer):
    """A layer that keeps tensors of its call."""

    def build(self, shape):
        self.scores = None
        self.kernel = self.add_weight(shape=(), initializer="ones")

    def call(self, x):
        self.scores = ops.tanh(x)
        self.parts = [x, self.scores]
        if ops.ndim(x) == 3:
            raise LookupError("the user's own words")
        return x * self.kernel


def test_no_tensor_of_the_trace_is_kept(x):
    """Not after an exception, either."""
    model = Keeping()
    model.build((None, 4))
    kerasfx.prepare_model(model, keras.Input((4,)), verify=False)
    with pytest.raises(LookupError):
        kerasfx.prepare_model(model, keras.Input((3, 4)))
    assert model.scores is None
    assert not hasattr(model, "parts")


def test_no_dropout_mask_of_the_trace_is_kept():
    """Where the loop of an RNN cannot be opened, its cell draws anew."""

    class Cell(keras.layers.LSTMCell):
        def __init__(self):
            super().__init__(4, dropout=0.5)
            self.after = keras.layers.Dropout(0.5)

        def call(self, inputs, states, training=False):
            h, states = super().call(inputs, states, training=training)
            return self.after(h, training=training), states

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.rnn = keras.layers.RNN(Cell())

        def call(self, x):
            return self.rnn(x)

    model = Net()
    assert kerasfx.report(kerasfx.prepare_model(model, keras.Input((3, 4)), verify=False)).opaque
    assert getattr(model.rnn.cell, "_dropout_mask", None) is None


class FrozenInCall(keras.Model):
    """Asks how many objects the garbage collector leaves alone, and raises where it is to."""

    def __init__(self, raises=False):
        super().__init__()
        self.dense, self.frozen, self.raises = keras.layers.Dense(2), [], raises

    def call(self, x):
        self.frozen.append(gc.get_freeze_count())
        if self.raises:
            raise ValueError("of the user's")
        return self.dense(x)


@pytest.mark.parametrize("raises", [False, True])
def test_the_garbage_collector_is_as_before(raises):
    model = FrozenInCall(raises)
    with pytest.raises(ValueError, match="of the user's") if raises else nullcontext():
        kerasfx.prepare_model(model, np.ones((2, 3), "float32"), verify=False)
    assert model.frozen[0] > 0
    assert gc.get_freeze_count() == 0
    assert gc.isenabled()


def test_what_the_user_froze_stays_frozen():
    model = FrozenInCall()
    gc.freeze()
    try:
        kerasfx.prepare_model(model, np.ones((2, 3), "float32"), verify=False)
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()

"""Weights go from the prepared model to the original and back, also through files, or not at all."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops
from predicting import predicted
from snapshots import bits, differences, snapshot_of_model

import kerasfx
from kerasfx.errors import WeightsMismatchError
from kerasfx.handover.provenance import provenance_of
from kerasfx.ir.weights import weight
from kerasfx.passes import any_, op, parameter, rewrite


class Block(keras.layers.Layer):
    """A weight of its own, statistics, a draw, and a Dense in a Sequential with an automatic name."""

    def __init__(self, width):
        super().__init__()
        self.mlp = keras.Sequential([keras.layers.Dense(width, "tanh"), keras.layers.Dense(width)])
        self.norm = keras.layers.BatchNormalization()
        self.seeds = keras.random.SeedGenerator(3)

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")
        self.mlp.build(shape)

    def call(self, x, training=None):
        y = self.norm(self.mlp(x), training=training) * self.scale
        if training:
            y = y + 0.1 * keras.random.normal(ops.shape(y), seed=self.seeds)
        return x + y


class Net(keras.Model):
    """Two equal blocks, a constant, and a weight that nothing depends on."""

    def __init__(self, width=4):
        super().__init__(name="net")
        self.blocks = [Block(width), Block(width)]
        self.dropout = keras.layers.Dropout(0.2, seed=1)
        self.head = keras.layers.Dense(1)
        self.spare = self.add_weight(shape=(2,), name="spare", trainable=False)
        self.table = np.linspace(0, 1, 100).reshape(4, 25).astype("float32")

    def call(self, x, training=None):
        for block in self.blocks:
            x = block(x, training=training)
        x = x + ops.mean(ops.matmul(x, self.table), axis=-1, keepdims=True)
        return self.head(self.dropout(x, training=training))


def data():
    random = np.random.default_rng(0)
    return random.standard_normal((8, 4)).astype("float32"), random.random((8, 1)).astype("float32")


def new_net(seed=0):
    keras.utils.set_random_seed(seed)
    net = Net()
    net(data()[0])
    return net


def trained(model):
    model.compile(keras.optimizers.SGD(0.05), "mse")
    model.fit(*data(), batch_size=4, epochs=2, verbose=0, shuffle=False)
    return model


def state(model):
    return [bits(v) for v in model.variables]


def assert_same(a, b):
    np.testing.assert_array_equal(predicted(a, data()[0]), predicted(b, data()[0]))


@pytest.fixture
def net():
    return new_net()


@pytest.fixture
def prepared(net):
    return kerasfx.prepare_model(net, data()[0])


def test_training_comes_home(net, prepared):
    """Weights, statistics and the states of seeds; what has no partner is named and left alone."""
    spare = bits(net.spare)
    result = kerasfx.copy_weights(trained(prepared), net)
    assert len(result.copied) == len(net.variables) - 1
    assert [v.path for v in result.left_in_target] == [net.spare.path]
    assert len(result.left_in_source) == 1  # the table
    assert not result.merged
    for v, w in provenance_of(prepared).variables:
        assert bits(v) == bits(w), v.path
    assert bits(net.spare) == spare
    assert_same(net, prepared)
    assert f"left as it was: {net.spare.path}" in str(result)


def test_training_goes_on_alike(net, prepared):
    """The states of seeds went along, too."""
    kerasfx.copy_weights(trained(prepared), net)
    losses = []
    for model in (net, prepared):
        model.compile(keras.optimizers.SGD(0.05), "mse")
        losses.append(model.fit(*data(), batch_size=4, epochs=2, verbose=0, shuffle=False).history["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_the_other_way(net, prepared):
    result = kerasfx.copy_weights(trained(net), prepared)
    assert [v.path for v in result.left_in_source] == [net.spare.path]
    assert_same(net, prepared)


def test_shared_weights_stay(net):
    shared = kerasfx.prepare_model(net, data()[0], weights="share")
    before = state(net)
    assert len(kerasfx.copy_weights(shared, net).copied) == len(net.variables) - 1
    assert state(net) == before


@pytest.mark.any_keras
@pytest.mark.parametrize("how", ["loaded", "cloned"])
@pytest.mark.parametrize("target", ["original", "rebuilt", "unbuilt", "prepared"])
def test_without_a_record(how, target, net, prepared, tmp_path):
    """It goes into the original, one built anew (with other automatic names), and what is prepared of it."""
    trained(prepared)
    if how == "loaded":
        prepared.save(tmp_path / "net.keras")
        source = keras.models.load_model(tmp_path / "net.keras")
    else:
        source = keras.models.clone_model(prepared)
        source.set_weights(prepared.get_weights())
    makes = {
        "original": lambda: net,
        "rebuilt": lambda: new_net(1),
        "unbuilt": Net,
        "prepared": lambda: kerasfx.prepare_model(new_net(2), data()[0]),
    }
    into = makes[target]()
    kerasfx.copy_weights(source, into)
    assert_same(source, into)
    assert_same(prepared, into)


def test_into_a_loaded_model(net, prepared, tmp_path):
    prepared.save(tmp_path / "net.keras")
    loaded = keras.models.load_model(tmp_path / "net.keras")
    kerasfx.copy_weights(trained(net), loaded)
    assert_same(net, loaded)


@pytest.mark.parametrize("home", [True, False])
def test_the_source_is_left_as_it_was(home, net, prepared, tmp_path):
    """Also an original that is prepared again to be understood."""
    trained(prepared).save(tmp_path / "net.keras")
    loaded = keras.models.load_model(tmp_path / "net.keras")
    source, target = (loaded, net) if home else (net, loaded)
    before = snapshot_of_model(source)
    kerasfx.copy_weights(source, target)
    assert differences(before, snapshot_of_model(source)) == []


class TwoArguments(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense, self.other = keras.layers.Dense(3), keras.layers.Dense(3)

    def call(self, x, context=None):
        return self.dense(x) + self.other(context)


def test_several_arguments(tmp_path):
    """A dict of inputs that are named like the arguments of `call` is taken for these."""
    x = np.ones((2, 4), "float32")
    model = TwoArguments()
    prepared = kerasfx.prepare_model(model, kerasfx.Inputs(x, context=2 * x))
    prepared.save(tmp_path / "m.keras")
    fresh = TwoArguments()
    kerasfx.copy_weights(keras.models.load_model(tmp_path / "m.keras"), fresh)
    np.testing.assert_array_equal(
        predicted(fresh, x, context=2 * x), predicted(prepared, {"x": x, "context": 2 * x})
    )


class Keeps(keras.layers.Layer):
    """Stays whole because of a draw from NumPy, with a layer inside."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(4)

    def build(self, shape):
        self.dense.build(shape)

    def call(self, x):
        return self.dense(x) + 0.0 * np.random.random()


class Whole(keras.Model):
    def __init__(self):
        super().__init__()
        self.first, self.keeps = keras.layers.Dense(4), Keeps()

    def call(self, x):
        return self.keeps(self.first(x))


@pytest.mark.parametrize("loaded", [False, True])
def test_layers_that_stay_whole(loaded, tmp_path):
    model = Whole()
    source = kerasfx.prepare_model(model, keras.Input((4,)), verify=False)
    for variable in source.variables:
        variable.assign(variable + 0.5)
    if loaded:
        source.save(tmp_path / "m.keras")
        source = keras.models.load_model(tmp_path / "m.keras", custom_objects={"Keeps": Keeps})
    result = kerasfx.copy_weights(source, model)
    assert len(result.copied) == 4
    assert sorted(state(model)) == sorted(state(source))


# --- Layers that were changed ----------------------------------------------------------------------


class Dense2(keras.Model):
    def __init__(self, width=8):
        super().__init__()
        self.first = keras.layers.Dense(width, name="first")
        self.second = keras.layers.Dense(2, name="second")

    def call(self, x):
        return self.second(ops.sin(self.first(x)))


def dense_net():
    model = Dense2()
    model(data()[0])
    return model


@pytest.mark.parametrize("through_file", [False, True])
@pytest.mark.parametrize("home", [True, False])
def test_a_quantized_layer_is_refused(through_file, home, tmp_path):
    """Rounded weights do not go into a float layer, nor the other way; no weight has moved."""
    model = dense_net()
    prepared = kerasfx.prepare_model(model, data()[0])
    prepared.get_layer("second").quantize("int8")
    if through_file:
        prepared.save(tmp_path / "q.keras")
        prepared = keras.models.load_model(tmp_path / "q.keras")
    pair = (prepared, model) if home else (model, prepared)
    before = [state(m) for m in pair]
    with pytest.raises(WeightsMismatchError, match=r"second'(?s:.)*int8(?s:.)*copy before quantizing"):
        kerasfx.copy_weights(*pair)
    assert [state(m) for m in pair] == before


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
def test_a_quantized_model_goes_into_its_loaded_copy(tmp_path):
    prepared = kerasfx.prepare_model(dense_net(), data()[0])
    prepared.quantize("int8")
    prepared.save(tmp_path / "q.keras")
    loaded = keras.models.load_model(tmp_path / "q.keras")
    for variable in loaded.variables:
        variable.assign(ops.zeros(variable.shape, variable.dtype))
    kerasfx.copy_weights(prepared, loaded)
    assert state(prepared) == state(loaded)


@pytest.mark.parametrize("through_file", [False, True])
def test_lora_deltas_are_merged(through_file, tmp_path):
    model = dense_net()
    prepared = kerasfx.prepare_model(model, data()[0])
    prepared.get_layer("first").enable_lora(2)
    trained_lora(prepared)
    expected = predicted(prepared, data()[0])
    if through_file:
        prepared.save(tmp_path / "lora.keras")
        prepared = keras.models.load_model(tmp_path / "lora.keras")
    result = kerasfx.copy_weights(prepared, model)
    assert [y for _, y in result.merged] == [model.first]
    np.testing.assert_allclose(predicted(model, data()[0]), expected, rtol=1e-5, atol=1e-6)


def trained_lora(model):
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(data()[0], np.ones((8, 2), "float32"), epochs=3, verbose=0)


def test_a_target_with_lora_deltas_is_refused():
    model = dense_net()
    prepared = kerasfx.prepare_model(model, data()[0])
    prepared.get_layer("first").enable_lora(2)
    before = state(prepared)
    with pytest.raises(WeightsMismatchError, match="lora_kernel_a' has no partner"):
        kerasfx.copy_weights(model, prepared)
    assert state(prepared) == before


def test_another_shape_is_refused_before_anything_is_written(tmp_path):
    """The last layer fits, the first does not: neither is written."""
    source = kerasfx.prepare_model(Dense2(8), data()[0])
    target = Dense2(5)
    target(data()[0])
    before = state(target)
    with pytest.raises(
        WeightsMismatchError, match=r"first/kernel' does not fit '.*/kernel'; nothing was copied"
    ):
        kerasfx.copy_weights(source, target)
    assert state(target) == before


class Dense3(Dense2):
    def call(self, x):
        return self.second(ops.cos(self.first(x)) * 2.0)


def test_another_graph_is_refused():
    prepared = kerasfx.prepare_model(dense_net(), data()[0])
    with pytest.raises(WeightsMismatchError, match=r"stands where '.*' has \w+(?s:.)*prepare the original"):
        kerasfx.copy_weights(prepared, Dense3())


class Flagged(keras.Model):
    def __init__(self):
        super().__init__()
        self.first, self.second = keras.layers.Dense(3), keras.layers.Dense(3)

    def call(self, x, swap=False):
        return self.second(self.first(x)) if not swap else self.first(self.second(x))


def test_what_was_prepared_with_options_goes_by_way_of_a_model_prepared_alike(tmp_path):
    """As the hint of the error says."""
    x = np.ones((2, 3), "float32")
    inputs = kerasfx.Inputs(x, swap=True)
    kerasfx.prepare_model(Flagged(), inputs).save(tmp_path / "m.keras")
    loaded, model = keras.models.load_model(tmp_path / "m.keras"), Flagged()
    kerasfx.copy_weights(loaded, kerasfx.prepare_model(model, inputs, weights="share"))
    np.testing.assert_array_equal(predicted(model, x, swap=True), predicted(loaded, {"x": x}))


# --- Another process -------------------------------------------------------------------------------

HOME = """
import sys, keras, numpy as np, kerasfx
sys.path.insert(0, {here!r})
from test_copy_weights import Net, data
from predicting import predicted
keras.layers.Dense(3), keras.Sequential()  # shift automatic names
net = Net()
kerasfx.copy_weights(keras.models.load_model({file!r}), net)
np.save({result!r}, predicted(net, data()[0]))
"""


@pytest.mark.any_keras
def test_home_in_another_process(prepared, tmp_path):
    """Where the original is built anew by its own code."""
    trained(prepared).save(tmp_path / "net.keras")
    script = HOME.format(
        here=str(Path(__file__).parent), file=str(tmp_path / "net.keras"), result=str(tmp_path / "y.npy")
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=300)
    np.testing.assert_allclose(
        np.load(tmp_path / "y.npy"), predicted(prepared, data()[0]), rtol=1e-5, atol=1e-6
    )


class Scaled(keras.Model):
    """Divides by a weight."""

    def __init__(self):
        super().__init__(name="scaled")
        self.std = self.add_weight(shape=(4,), initializer=keras.initializers.RandomUniform(0.5, 2.0))
        self.scale = keras.layers.Rescaling(2.0)
        self.last = keras.layers.Dense(2)

    def call(self, x):
        return self.last(self.scale(x / self.std))


def times_inverse(graph):
    """A pass after which a weight is another, and the graph has the form that it had."""
    pattern = op.true_divide(any_("x"), parameter("s"))

    def multiplied(graph, found):
        inverse = graph.computed(1.0 / weight(found["s"]))
        return graph.make("keras.ops.multiply", found["x"], inverse, like=found.root)

    return rewrite(graph, pattern, multiplied)


def scaled_otherwise(graph):
    """A pass after which the kernel holds what a layer before did."""
    scale = next(n for n in graph.nodes if isinstance(n.layer, keras.layers.Rescaling))
    last = next(n for n in graph.nodes if isinstance(n.layer, keras.layers.Dense))
    given = {"kernel": weight(graph.weight_of(last, "kernel")) * 2.0, "bias": graph.weight_of(last, "bias")}
    graph.replace(scale, graph.make("keras.layers.Rescaling", scale.args[0], scale=1.0, like=scale))
    graph.replace(last, graph.make("keras.layers.Dense", last.args[0], units=2, weights=given, like=last))
    return True


@pytest.mark.parametrize(
    ("edit", "stands"),
    [
        (times_inverse, "(TrueDivide|MultiplyOp) .* stands where"),
        (scaled_otherwise, "which has other settings"),
    ],
)
def test_weights_do_not_go_between_graphs_of_one_form_that_compute_other_things(edit, stands):
    model, x = Scaled(), np.ones((3, 4), "float32")
    model(x)
    prepared = kerasfx.prepare_model(model, x, passes=[edit], verify="inference")
    assert len(prepared.layers) == len(kerasfx.prepare_model(model, x).layers)
    cloned = keras.models.clone_model(prepared)
    before = [bits(v) for v in (*model.variables, *cloned.variables)]
    for ours, theirs in ((model, cloned), (cloned, model)):
        with pytest.raises(WeightsMismatchError, match=stands):
            kerasfx.copy_weights(ours, theirs)
    assert [bits(v) for v in (*model.variables, *cloned.variables)] == before
    assert kerasfx.copy_weights(cloned, prepared).copied


def test_a_layer_around_one_without_a_config_has_its_partner():
    class Inner(keras.layers.Layer):
        def build(self, shape):
            self.w = self.add_weight(shape=(4,))

        def get_config(self):
            raise NotImplementedError

        def call(self, x):
            return x * self.w

        def compute_output_shape(self, shape):
            return shape

    def around():
        x = keras.Input((3, 4))
        return keras.Model(x, keras.layers.TimeDistributed(Inner())(x))

    a, b = (kerasfx.prepare_model(around(), leaves=[keras.layers.TimeDistributed]) for _ in range(2))
    assert len(kerasfx.copy_weights(a, b).copied) == 1

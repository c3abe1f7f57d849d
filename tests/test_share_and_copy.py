"""`weights="copy"` gives an independent model, `weights="share"` the same variables; both keep all else."""

import keras
import numpy as np
import pytest
from keras import ops
from predicting import predicted, predicting
from snapshots import bits

import kerasfx
from kerasfx.handover.provenance import provenance_of


class Block(keras.layers.Layer):
    """A weight of its own and a Dense, in a residual sum."""

    def __init__(self, width):
        super().__init__()
        self.dense = keras.layers.Dense(width, name="inner")
        self.norm = keras.layers.BatchNormalization(name="norm")

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")

    def call(self, x, training=None):
        return x + self.norm(self.dense(x), training=training) * self.scale


class Net(keras.Model):
    """Two blocks whose inner layers have equal names.

    It hands `training` on by hand: otherwise `fit` would not run it in training mode, as it does
    run a Functional model (on JAX not even if only the `call` of the model took it).
    """

    def __init__(self):
        super().__init__(name="net")
        self.blocks = [Block(4), Block(4)]
        self.head = keras.layers.Dense(1, name="inner")

    def call(self, x, training=None):
        for block in self.blocks:
            x = block(x, training=training)
        return self.head(x)


class Tied(keras.Model):
    """The output projection is the embedding matrix."""

    def __init__(self):
        super().__init__(name="tied")
        self.embedding = keras.layers.Embedding(7, 4)
        self.dense = keras.layers.Dense(4)

    def call(self, ids):
        x = self.dense(self.embedding(ids))
        return ops.matmul(x, ops.transpose(self.embedding.embeddings))


@pytest.fixture
def data():
    """Inputs and targets."""
    random = np.random.default_rng(0)
    return random.standard_normal((8, 4)).astype("float32"), np.ones((8, 1), "float32")


@pytest.fixture
def net(data):
    """A built model."""
    model = Net()
    model(data[0])
    return model


def fit(model, data, rate=0.1):
    """One step of gradient descent."""
    model.compile(optimizer=keras.optimizers.SGD(rate), loss="mse")
    return model.fit(*data, batch_size=8, epochs=1, verbose=0, shuffle=False)


def weights_of(model):
    """The trained weights, to the bit."""
    return [bits(v) for v in model.trainable_variables]


# --- Copies are independent, shared weights are the same -------------------------------------------


@pytest.mark.parametrize("first", ["original", "prepared"])
def test_a_copy_trains_alone(first, net, data):
    """A step of one leaves the other as it was; a step of the other arrives at the same weights."""
    prepared = kerasfx.prepare_model(net, data[0])
    one, other = (net, prepared) if first == "original" else (prepared, net)
    start = {id(v): bits(v) for v in other.variables}
    fit(one, data)
    assert {id(v): bits(v) for v in other.variables} == start
    fit(other, data)
    assert {id(v): bits(v) for v in other.variables} != start
    for v, w in provenance_of(prepared).variables:
        np.testing.assert_allclose(*map(ops.convert_to_numpy, (v, w)), rtol=1e-4, atol=1e-5, err_msg=v.path)
    np.testing.assert_allclose(predicted(one, data[0]), predicted(other, data[0]), rtol=1e-4, atol=1e-4)


def test_a_copy_outlives_its_original(net, data):
    """Nothing of the copy belongs to the original: JAX gives the buffers of what it trains away."""
    prepared = kerasfx.prepare_model(net, data[0])
    expected = ops.convert_to_numpy(prepared(data[0]))
    for _ in range(2):
        fit(net, data)
    del net
    np.testing.assert_array_equal(predicted(prepared, data[0]), expected)
    fit(prepared, data)
    assert not np.array_equal(predicted(prepared, data[0]), expected)


def test_two_copies_are_independent(net, data):
    one, other = (kerasfx.prepare_model(net, data[0]) for _ in range(2))
    start = weights_of(other)
    fit(one, data)
    assert weights_of(other) == start
    assert sorted(weights_of(net)) == sorted(start)


@pytest.mark.parametrize("first", ["original", "prepared"])
def test_shared_variables_are_the_same_objects(first, net, data):
    """Training one moves the other; no byte was copied."""
    shared = kerasfx.prepare_model(net, data[0], weights="share")
    assert {id(v) for v in shared.variables} == {id(v) for v in net.variables}
    assert len(shared.trainable_variables) == len(net.trainable_variables)
    one, other = (net, shared) if first == "original" else (shared, net)
    before = ops.convert_to_numpy(other(data[0]))
    fit(one, data)
    after = ops.convert_to_numpy(other(data[0]))
    assert not np.array_equal(before, after)
    np.testing.assert_allclose(after, predicted(one, data[0]), rtol=1e-5, atol=1e-6)
    fit(other, data)


class Noisy(keras.Model):
    """Draws from a generator of its own."""

    def __init__(self):
        super().__init__(name="noisy")
        self.seeds = keras.random.SeedGenerator(3)

    def call(self, x):
        return x + keras.random.normal(ops.shape(x), seed=self.seeds)


def test_a_shared_generator_is_the_same_object(data):
    model = Noisy()
    shared = kerasfx.prepare_model(model, data[0], weights="share")
    assert [id(v) for v in shared.variables] == [id(model.seeds.state)]
    assert kerasfx.compare(model, shared, samples=1)


def test_shared_layers_are_the_same_objects(net, data):
    """A leaf whose name is free is the original's own object."""
    shared = kerasfx.prepare_model(net, data[0], weights="share")
    assert net.blocks[0].dense in shared.layers
    assert kerasfx.compare(net, shared, samples=1)


@pytest.mark.parametrize("weights", ["copy", "share"])
def test_equal_inner_names(weights, net, data):
    """Names come from the attribute path and are unique, and the report tells them."""
    prepared = kerasfx.prepare_model(net, data[0], weights=weights)
    names = [layer.name for layer in prepared.layers]
    assert len(set(names)) == len(names)
    assert prepared.name == "net_prepared"
    if weights == "copy":
        assert {"blocks_0_dense", "blocks_1_dense", "head", "blocks_0_multiply"} <= set(names)
        assert kerasfx.report(prepared).renamed["blocks[0].dense"] == "blocks_0_dense"
        assert bits(prepared.get_layer("blocks_1_dense").kernel) == bits(net.blocks[1].dense.kernel)


@pytest.mark.parametrize("weights", ["copy", "share"])
def test_preparing_twice_returns_the_same_object(weights, net, data):
    prepared = kerasfx.prepare_model(net, data[0], weights=weights)
    report = kerasfx.report(prepared)
    assert kerasfx.prepare_model(prepared) is prepared
    assert kerasfx.prepare_model(prepared, data[0]) is prepared
    assert kerasfx.report(prepared) is report
    assert prepared.name == "net_prepared"


def test_a_flat_model_comes_back_as_it_is():
    inputs = keras.Input((7,), dtype="int32")
    x = keras.layers.Embedding(9, 4, mask_zero=True)(inputs)
    model = keras.Model(inputs, keras.layers.LSTM(3)(x))
    assert kerasfx.prepare_model(model) is model
    assert kerasfx.report(model).unchanged
    assert "comes back unchanged" in str(kerasfx.report(model))


def test_a_loaded_prepared_model_is_flat_too(net, data, tmp_path):
    kerasfx.prepare_model(net, data[0]).save(tmp_path / "net.keras")
    loaded = keras.models.load_model(tmp_path / "net.keras")
    assert kerasfx.prepare_model(loaded) is loaded


# --- What layers are besides their weights ---------------------------------------------------------


def frozen_net(what, data):
    """A net of which one part is frozen."""
    model = Net()
    model(data[0])
    if what == "model":
        model.trainable = False
    elif what == "block":
        model.blocks[0].trainable = False
    elif what == "leaf":
        model.blocks[0].dense.trainable = False
    else:
        model.blocks[1].scale.trainable = False
    return model


@pytest.mark.parametrize("weights", ["copy", "share"])
@pytest.mark.parametrize("what", ["model", "block", "leaf", "weight"])
def test_frozen_parts_stay_frozen(what, weights, data):
    """The same variables are trained, and the frozen BatchNormalization keeps its statistics."""
    model = frozen_net(what, data)
    expected = {v.path for v in model.trainable_variables}
    prepared = kerasfx.prepare_model(model, data[0], weights=weights)
    pairs = provenance_of(prepared).variables
    trained = {id(w) for w in prepared.trainable_variables}
    assert {v.path for v, w in pairs if id(w) in trained} == expected
    assert len(prepared.trainable_variables) == len(expected)
    assert kerasfx.compare(model, prepared, samples=1)


class Regularized(keras.layers.Layer):
    """Regularizers and constraints on weights of its own and of built-in layers."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(
            4,
            kernel_regularizer=keras.regularizers.L2(0.1),
            bias_constraint="non_neg",
            activity_regularizer=keras.regularizers.L1(0.2),
            name="dense",
        )
        self.regularizer = keras.regularizers.L1(0.3)

    def build(self, shape):
        self.scale = self.add_weight(
            shape=(4,),
            initializer="ones",
            regularizer=self.regularizer,
            constraint=keras.constraints.MaxNorm(1.5),
            name="scale",
        )

    def call(self, x):
        return self.dense(x) * self.scale


@pytest.mark.parametrize("weights", ["copy", "share"])
def test_regularizers_and_constraints(weights, data, tmp_path):
    """They are kept, by the file as well, and cost the same."""
    inputs = keras.Input((4,))
    model = keras.Model(inputs, Regularized()(inputs))
    prepared = kerasfx.prepare_model(model, weights=weights)
    prepared.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    losses = [loss_of(m, data[0]) for m in (model, prepared, loaded)]
    assert losses[0] > 1
    np.testing.assert_allclose(losses[0], losses[1:], rtol=1e-6)
    for m in (prepared, loaded):
        [dense] = [x for x in m.layers if isinstance(x, keras.layers.Dense)]
        assert isinstance(dense.kernel.regularizer, keras.regularizers.L2)
        assert isinstance(dense.bias.constraint, keras.constraints.NonNeg)
        assert isinstance(dense.activity_regularizer, keras.regularizers.L1)
        [scale] = [v for v in m.trainable_variables if v.shape == (4,) and v is not dense.bias]
        assert isinstance(scale.regularizer, keras.regularizers.L1)
        assert isinstance(scale.constraint, keras.constraints.MaxNorm)
    assert kerasfx.compare(model, prepared, samples=1)


def loss_of(model, x):
    """All losses of a call, as a number."""
    with predicting():
        model(x, training=True)
        return float(sum(map(float, model.losses)))


class Mixed(keras.Model):
    """Layers of several dtype policies."""

    def __init__(self):
        super().__init__(name="mixed")
        self.first = keras.layers.Dense(4, dtype="mixed_float16", name="first")
        self.brain = keras.layers.Dense(4, dtype="mixed_bfloat16", name="brain")
        self.single = keras.layers.Dense(4, dtype="float32", name="single")

    def call(self, x):
        return self.single(self.brain(self.first(x)))


@pytest.mark.parametrize("weights", ["copy", "share"])
def test_dtype_policies(weights, data, tmp_path):
    """Each layer computes in its own dtype, also after loading."""
    prepared = kerasfx.prepare_model(Mixed(), data[0], weights=weights)
    prepared.save(tmp_path / "m.keras")
    for model in (prepared, keras.models.load_model(tmp_path / "m.keras")):
        policies = {x.name: x.dtype_policy.name for x in model.layers}
        assert policies["first"] == "mixed_float16"
        assert policies["brain"] == "mixed_bfloat16"
        assert policies["single"] == "float32"
        assert predicted(model, data[0]).dtype == "float32"


# --- Layers that stay whole and have no config ------------------------------------------------------


class Clipped(keras.layers.Layer):
    """Kept whole because of a draw from NumPy; Keras cannot make a config of the initializer."""

    def __init__(self, initializer):
        super().__init__()
        self.dense = keras.layers.Dense(4, kernel_initializer=initializer)
        self.dropout = keras.layers.Dropout(0.5)

    def build(self, shape):
        self.limit = self.add_weight(shape=(), initializer="ones", name="limit")
        self.limit.trainable = False

    def call(self, x, training=None):
        x = self.dropout(self.dense(x), training=training)
        return ops.minimum(x, self.limit) + 0.0 * np.random.random()


def test_a_layer_without_config_is_copied_as_it_is(data):
    """Into an independent layer, which knows nothing of the calls in the original model."""
    x = keras.Input((4,))
    model = keras.Model(x, keras.layers.Dense(1)(Clipped(keras.initializers.Orthogonal())(x)))
    prepared = kerasfx.prepare_model(model, verify=False)
    [copy] = [layer for layer in prepared.layers if isinstance(layer, Clipped)]
    [original] = [layer for layer in model.layers if isinstance(layer, Clipped)]
    assert kerasfx.compare(model, prepared, samples=1)
    assert len(copy._inbound_nodes) == 1
    assert not {id(v) for v in copy.variables} & {id(v) for v in original.variables}
    assert [v.trainable for v in copy.variables] == [v.trainable for v in original.variables]
    start = {id(v): bits(v) for v in model.variables}
    fit(prepared, data)
    assert {id(v): bits(v) for v in model.variables} == start


# --- One variable in two places --------------------------------------------------------------------


@pytest.mark.parametrize("weights", ["copy", "share"])
def test_tied_weights_stay_one(weights, tmp_path):
    """One variable after saving and loading, and one step of training moves it once."""
    ids = np.array([[1, 2, 3], [4, 5, 6]], "int32")
    targets = np.random.default_rng(0).standard_normal((2, 3, 7)).astype("float32")
    model = Tied()
    model(ids)
    prepared = kerasfx.prepare_model(model, ids, weights=weights)
    prepared.save(tmp_path / "tied.keras")
    loaded = keras.models.load_model(tmp_path / "tied.keras")
    for other in (prepared, loaded):
        assert len(other.trainable_variables) == len(model.trainable_variables) == 3
        assert len(other.variables) == len(model.variables)
    np.testing.assert_array_equal(predicted(prepared, ids), predicted(loaded, ids))
    models = [loaded, model] if weights == "share" else [loaded, model, prepared]
    for each in models:
        each.compile(optimizer=keras.optimizers.SGD(0.5), loss="mse")
        each.fit(ids, targets, batch_size=2, epochs=1, verbose=0)
    expected = ops.convert_to_numpy(model.embedding.embeddings)
    for each in models:
        [table] = [v for v in each.trainable_variables if tuple(v.shape) == (7, 4)]
        np.testing.assert_allclose(ops.convert_to_numpy(table), expected, rtol=1e-4, atol=1e-6)


# --- Weight files ----------------------------------------------------------------------------------


def test_weights_go_through_a_file(net, data, tmp_path):
    """`save_weights` of one prepared model, `load_weights` of another."""
    one = kerasfx.prepare_model(net, data[0])
    fit(one, data)
    one.save_weights(tmp_path / "net.weights.h5")
    other = kerasfx.prepare_model(net, data[0])
    assert weights_of(one) != weights_of(other)
    other.load_weights(tmp_path / "net.weights.h5")
    assert [bits(v) for v in one.weights] == [bits(v) for v in other.weights]
    np.testing.assert_array_equal(predicted(one, data[0]), predicted(other, data[0]))


def test_clone_and_set_weights(net, data):
    """What other tools do with a Functional model."""
    prepared = kerasfx.prepare_model(net, data[0])
    clone = keras.models.clone_model(prepared)
    clone.set_weights(prepared.get_weights())
    np.testing.assert_array_equal(predicted(clone, data[0]), predicted(prepared, data[0]))


def test_feature_extraction(net, data):
    """Any layer of the result can be an output."""
    prepared = kerasfx.prepare_model(net, data[0])
    middle = keras.Model(prepared.input, prepared.get_layer("blocks_0_norm").output)
    expected = predicted(net.blocks[0].norm, predicted(net.blocks[0].dense, data[0]))
    np.testing.assert_allclose(predicted(middle, data[0]), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("weights", ["share", "copy"])
def test_a_model_that_is_not_trained_keeps_the_flags_of_its_layers(weights):
    class Frozen(keras.Model):
        def __init__(self):
            super().__init__(trainable=False)
            self.dense = keras.layers.Dense(4)

        def call(self, x):
            return self.dense(x)

    model = Frozen()
    model(np.ones((2, 4), "float32"))
    prepared = kerasfx.prepare_model(model, weights=weights)
    assert not prepared.trainable
    assert not prepared.trainable_variables
    assert model.dense.trainable
    assert all(v.trainable for v in model.variables)


def test_a_refused_result_leaves_no_calls_in_layers_that_it_shared():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Dense(4)(inputs)))

    def wrong(graph):
        node = graph.nodes[0]
        graph.replace_uses(node.outputs, node.args[0])
        return True

    before = [len(x._inbound_nodes) + len(x._outbound_nodes) for x in model.layers]
    with pytest.raises(kerasfx.errors.NotEquivalentError):
        kerasfx.prepare_model(model, weights="share", passes=[wrong])
    assert [len(x._inbound_nodes) + len(x._outbound_nodes) for x in model.layers] == before
    assert model.layers[1].output is not None

"""The class of the original on top of the prepared graph: its steps, its methods, its attributes."""

import random

import keras
import numpy as np
import pytest
from fitting import assert_trained_alike
from keras import ops
from predicting import predicted
from snapshots import bits, differences, snapshot_of_model

import kerasfx
from kerasfx.errors import NotInPreparedModelError, UnsupportedModelError

pytestmark = pytest.mark.every_run


class Block(keras.layers.Layer):
    """Is opened."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(4, "tanh")

    def call(self, x):
        return x + self.dense(x)


def wave(x):
    return ops.sin(x)


class Distiller(keras.Model):
    """Learns from a teacher that `call` does not use, with a loss, a metric and settings of its own."""

    def __init__(self, teacher):
        super().__init__(name="distiller")
        self.teacher = teacher
        self.head = keras.layers.Dense(1)
        self.blocks = [Block(), Block()]
        self.dropout = keras.layers.Dropout(0.0)
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")
        self.spare = self.add_weight(shape=(), initializer="ones", name="spare", trainable=False)
        self.temperature = 3.0
        self.settings = {"rates": [0.1, 0.2]}
        self.tracker = keras.metrics.Mean(name="distance")
        self.activation = keras.layers.Dense(4, activation=wave)
        self.method = self.distance
        self.everything = [self.head, self.blocks[0]]

    def call(self, x, training=None):
        for block in self.blocks:
            x = block(x)
        x = self.activation(x)
        return self.head(self.dropout(x, training=training)) * self.scale

    def distance(self, x, y_pred):
        wanted = ops.stop_gradient(self.teacher(x))
        return ops.mean(ops.square(wanted - y_pred)) / self.temperature

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        distance = self.distance(x, y_pred)
        self.tracker.update_state(distance)
        own = super().compute_loss(x, y, y_pred, sample_weight, training=training)
        return own + distance + 0.1 * self.spare

    @property
    def metrics(self):
        return [self._loss_tracker, self.tracker]


def data():
    random = np.random.default_rng(0)
    return random.standard_normal((16, 4)).astype("float32"), random.random((16, 1)).astype("float32")


def distiller():
    keras.utils.set_random_seed(0)
    model = Distiller(keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)], name="teacher"))
    model.teacher.trainable = False
    model(data()[0])
    return model


def prepare(model, **options):
    return kerasfx.prepare_model(model, data()[0], keep_class=True, **options)


def fit(model, **settings):
    return model.fit(*data(), batch_size=4, epochs=2, verbose=0, shuffle=False, **settings).history


def assert_train_alike(model, prepared):
    for each in (model, prepared):
        each.compile(keras.optimizers.SGD(0.05), "mse")
    assert_trained_alike(prepared, fit(model), fit(prepared), atol=1e-6)


def test_a_loss_of_its_own():
    """Reads a metric, a setting, a teacher and a weight that `call` does not know."""
    model = distiller()
    prepared = prepare(model)
    assert isinstance(prepared, Distiller)
    assert isinstance(prepared, keras.Model)
    assert type(prepared).__name__ == "Functional"
    assert "compute_loss" not in str(kerasfx.report(prepared))
    assert not kerasfx.report(prepared).of_kind("unused")
    assert_train_alike(model, prepared)


@pytest.mark.parametrize("weights", ["copy", "share"])
def test_attributes_mean_what_they_meant(weights):
    model = distiller()
    prepared = prepare(model, weights=weights)
    assert prepared.temperature == 3.0
    assert prepared.head is prepared.get_layer(prepared.head.name)
    assert id(prepared.scale) in {id(v) for v in prepared.trainable_variables}
    assert len(prepared.variables) == len(model.variables)
    assert prepared.tracker is not model.tracker
    for name in ("teacher", "scale", "spare", "head"):
        assert (getattr(prepared, name) is getattr(model, name)) == (weights == "share"), name
    assert prepared.distance(data()[0], 0.0).shape == ()
    prepared.settings["rates"].append(0.3)
    assert model.settings == {"rates": [0.1, 0.2]}
    assert kerasfx.compare(model, prepared, samples=1)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("blocks", "Block 'block.*' was opened"),
        ("everything", "Block 'block.*' was opened"),
        ("activation", "was split: its activation is a layer of its own"),
        ("method", "refers to layers or weights of the original"),
    ],
)
def test_what_no_longer_exists_is_refused_when_it_is_read(name, why):
    prepared = prepare(distiller())
    with pytest.raises(
        NotInPreparedModelError, match=rf"self.{name}` is not part of(?s:.)*{why}(?s:.)*leaves="
    ):
        getattr(prepared, name)
    assert not hasattr(prepared, name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = prepared.nothing
    prepared.blocks = 1
    assert prepared.blocks == 1


def test_the_original_is_left_as_it_was():
    model = distiller()
    before = snapshot_of_model(model)
    prepared = prepare(model)
    assert differences(before, snapshot_of_model(model)) == []
    values = [bits(v) for v in model.variables]
    prepared.compile("sgd", "mse")
    fit(prepared)
    prepared.teacher.trainable_variables or prepared.teacher.variables[0].assign(
        prepared.teacher.variables[0] + 1
    )
    assert [bits(v) for v in model.variables] == values


def test_weights_come_home():
    """Also those that the graph does not use."""
    model = distiller()
    prepared = prepare(model)
    for variable in prepared.variables:
        variable.assign(variable + 0.5)
    result = kerasfx.copy_weights(prepared, model)
    assert not result.left_in_source
    assert not result.left_in_target
    for name in ("spare", "scale"):
        assert bits(getattr(model, name)) == bits(getattr(prepared, name))
    assert bits(model.teacher.variables[0]) == bits(prepared.teacher.variables[0])


# --- Steps -----------------------------------------------------------------------------------------


class Sampling(keras.layers.Layer):
    """Draws; stays opened, and is used by `call` alone."""

    def __init__(self):
        super().__init__()
        self.seeds = keras.random.SeedGenerator(1)

    def call(self, mean):
        return mean + 0.1 * keras.random.normal(ops.shape(mean), seed=self.seeds)


class VAE(keras.Model):
    """A training step of its own, with methods that call parts of the model."""

    def __init__(self):
        super().__init__(name="vae")
        self.encoder = keras.Sequential([keras.layers.Dense(3, "tanh"), keras.layers.Dense(2)])
        self.sampling = Sampling()
        self.decoder = keras.layers.Dense(4)
        self.loss_tracker = keras.metrics.Mean(name="loss")

    @property
    def metrics(self):
        return [self.loss_tracker]

    def encode(self, x):
        return self.encoder(x)

    def call(self, x, training=None):
        return self.decoder(self.sampling(self.encoder(x)))

    def losses_of(self, x, y_pred):
        return ops.mean(ops.square(x - y_pred)) + 0.1 * ops.mean(ops.square(self.encode(x)))

    def test_step(self, data):
        raise RuntimeError("not evaluated")

    if keras.backend.backend() == "tensorflow":

        def train_step(self, data):
            import tensorflow as tf

            x, _ = data
            with tf.GradientTape() as tape:
                loss = self.losses_of(x, self(x, training=True))
            gradients = tape.gradient(loss, self.trainable_weights)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
            self.loss_tracker.update_state(loss)
            return {"loss": self.loss_tracker.result()}

    elif keras.backend.backend() == "torch":

        def train_step(self, data):
            x, _ = data
            self.zero_grad()
            loss = self.losses_of(x, self(x, training=True))
            loss.backward()
            weights = self.trainable_weights
            self.optimizer.apply([w.value.grad for w in weights], weights)
            self.loss_tracker.update_state(loss)
            return {"loss": self.loss_tracker.result()}

    else:

        def compute_loss_and_updates(self, trained, other, x):
            y_pred, other = self.stateless_call(trained, other, x, training=True)
            with keras.StatelessScope(zip(self.trainable_variables, trained, strict=True)):
                loss = self.losses_of(x, y_pred)
            return loss, other

        def train_step(self, state, data):
            import jax

            trained, other, optimizer, metrics = state
            gradient_of = jax.value_and_grad(self.compute_loss_and_updates, has_aux=True)
            (loss, other), gradients = gradient_of(trained, other, data[0])
            trained, optimizer = self.optimizer.stateless_apply(optimizer, gradients, trained)
            metrics = self.loss_tracker.stateless_update_state(metrics, loss)
            logs = {"loss": self.loss_tracker.stateless_result(metrics)}
            return logs, (trained, other, optimizer, metrics)


def vae():
    keras.utils.set_random_seed(0)
    model = VAE()
    model(data()[0])
    return model


def test_a_step_of_its_own():
    """`leaves` keeps the layer whole that the step calls."""
    model = vae()
    prepared = prepare(model, leaves=["encoder"])
    assert_train_alike(model, prepared)
    np.testing.assert_allclose(
        *(ops.convert_to_numpy(ops.stop_gradient(m.encode(data()[0]))) for m in (model, prepared)), rtol=1e-5
    )


def test_a_step_that_calls_an_opened_layer_is_refused():
    prepared = prepare(vae())
    prepared.compile("sgd")
    with pytest.raises(NotInPreparedModelError, match=r'Sequential .* was opened(?s:.)*leaves=\["encoder"\]'):
        prepared.encode(data()[0])


def test_steps_are_dropped_by_default_and_the_report_says_so():
    prepared = kerasfx.prepare_model(vae(), data()[0])
    assert not isinstance(prepared, VAE)
    found = kerasfx.report(prepared).of_kind("dropped")
    assert [f.what for f in found] == [
        "`train_step` of VAE is not part of the result",
        "`test_step` of VAE is not part of the result",
    ]
    assert found[0].source.file == __file__
    assert "def train_step" in found[0].source.text
    assert "keep_class=True" in str(kerasfx.report(prepared))
    assert kerasfx.explain(vae(), data()[0]).of_kind("dropped") == found


def test_nothing_is_dropped_of_what_has_no_steps_of_its_own():
    for model in (Block(), OwnGraph(), keras.Sequential([keras.Input((4,)), Block()])):
        prepared = kerasfx.prepare_model(model, keras.Input((4,)))
        assert kerasfx.report(prepared).of_kind("dropped") == []


class OwnGraph(keras.Model):
    """Overrides what belongs to the graph."""

    def call(self, x):
        return x * 2.0

    def get_config(self):
        return {}


class Adversarial(keras.Model):
    """The prepared graph is the generator; the discriminator is used in the loss alone."""

    def __init__(self):
        super().__init__(name="adversarial")
        self.generator = keras.layers.Dense(4)
        self.twice = Twice()
        self.discriminator = keras.Sequential([Twice(), keras.layers.Dense(1)])

    def call(self, x):
        return self.twice(self.generator(x))

    def build(self, shape):
        self.discriminator.build(shape)
        self.generator.build(shape)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.mean(self.discriminator(y_pred)) - ops.mean(self.discriminator(self.twice(x)))


class Twice(keras.layers.Layer):
    """Has no state: it is opened, and its copy does the same."""

    def call(self, x):
        return x * 2.0


def test_weights_that_only_the_loss_trains():
    model = Adversarial()
    model(data()[0])
    prepared = prepare(model)
    assert len(prepared.trainable_variables) == len(model.trainable_variables) == 4
    assert_train_alike(model, prepared)


def test_a_layer_that_has_no_config_is_copied_as_it_is():
    class Odd(keras.layers.Layer):
        def __init__(self, function):
            super().__init__()
            self.function, self.dense = function, keras.layers.Dense(3)

        def call(self, x):
            return self.function(self.dense(x))

    class Taught(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense, self.teacher = keras.layers.Dense(3), Odd(ops.tanh)

        def build(self, shape):
            self.dense.build(shape)
            self.teacher(keras.ops.zeros((1, shape[-1])))

        def call(self, x):
            return self.dense(x)

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return ops.mean((self.teacher(x) - y_pred) ** 2)

    model = Taught()
    model(data()[0])
    assert_train_alike(model, prepare(model))


def test_like_original_needs_the_steps():
    """Compiled alike and trained by another step would be another training."""
    model = distiller()
    model.compile("adam", "mse")
    with pytest.raises(
        ValueError, match=r"`compute_loss` of Distiller is not part(?s:.)*pass keep_class=True"
    ):
        kerasfx.prepare_model(model, data()[0], compile="like_original")
    fit(model)
    prepared = prepare(model, compile="like_original")
    expected, found = fit(model), fit(prepared)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, err_msg=name)


class OwnCompile(keras.Model):
    """Takes a second optimizer, and overrides what belongs to the graph."""

    def __init__(self):
        super().__init__(name="own")
        self.dense = keras.layers.Dense(2)

    def compile(self, optimizer, second, **kwargs):
        super().compile(optimizer, **kwargs)
        self.second = keras.optimizers.get(second)

    def call(self, x):
        return self.dense(x) * 2.0

    def get_config(self):
        raise RuntimeError("not for the graph")


def test_a_compile_of_its_own(tmp_path):
    model = OwnCompile()
    model(data()[0])
    model.compile("sgd", "adam")
    prepared = prepare(model)
    with pytest.raises(NotInPreparedModelError, match="compile the prepared one"):
        _ = prepared.second
    prepared.compile("sgd", second="adam", loss="mse")
    assert isinstance(prepared.second, keras.optimizers.Adam)


# --- Other classes, files ----------------------------------------------------------------------------


@keras.saving.register_keras_serializable("tests")
class Named(keras.Model):
    """Made by the functional constructor."""

    def shout(self):
        return self.name.upper()

    def call(self, x):
        return super().call(x)


class Chain(keras.Sequential):
    """A subclass of Sequential."""

    def shout(self):
        return self.name.upper()


def test_subclasses_of_functional_and_sequential():
    inputs = keras.Input((4,))
    for model in (
        Named(inputs, Block()(inputs), name="named"),
        Chain([keras.Input((4,)), Block()], name="chain"),
    ):
        prepared = kerasfx.prepare_model(model, keep_class=True)
        assert prepared.shout() == model.name.upper() + "_PREPARED"
        assert "Add" in [type(layer).__name__ for layer in prepared.layers]
        np.testing.assert_array_equal(predicted(prepared, data()[0]), predicted(model, data()[0]))


def test_a_file_holds_the_graph_and_none_of_the_class(tmp_path, elsewhere):
    """It loads without the user's code; the weights go back into a model prepared with the class."""
    prepared = prepare(distiller())
    prepared.save(tmp_path / "m.keras")
    [output] = elsewhere.run(tmp_path / "m.keras", data()[0])
    np.testing.assert_array_equal(output, predicted(prepared, data()[0], training=False))
    prepared.spare.assign(7.0)
    prepared.save_weights(tmp_path / "m.weights.h5")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert type(loaded) is type(keras.Model(loaded.inputs, loaded.outputs))
    other = prepare(Distiller(keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])))
    assert len(kerasfx.copy_weights(loaded, other).left_in_target) == 3  # of the teacher, and `spare`
    np.testing.assert_array_equal(predicted(other, data()[0]), predicted(prepared, data()[0]))
    other.load_weights(tmp_path / "m.weights.h5")
    assert [bits(v) for v in other.variables] == [bits(v) for v in prepared.variables]


@pytest.mark.parametrize("weights", ["copy", "share"])
def test_functional_model_keeps_the_graph_that_was_prepared(weights):
    """Its own graph is in attributes, and no attribute of its class."""
    x = keras.Input((4,))
    model = keras.Model(x, Block()(x))
    prepared = kerasfx.prepare_model(model, keep_class=True, weights=weights, verify=False)
    assert kerasfx.compare(model, prepared)


def test_what_has_no_class_to_keep():
    with pytest.raises(UnsupportedModelError, match="is for models; Block is a layer"):
        kerasfx.prepare_model(Block(), keras.Input((4,)), keep_class=True)


class TwoArguments(keras.Model):
    def call(self, x, context=None):
        return x + context


def test_several_arguments():
    x = keras.Input((4,))
    with pytest.raises(UnsupportedModelError, match="`call` of TwoArguments takes several arguments"):
        kerasfx.prepare_model(TwoArguments(), kerasfx.Inputs(x, context=x), keep_class=True)


class DropsAlways(keras.Model):
    """Needs the Functional class of kerasfx: one layer always trains."""

    def __init__(self):
        super().__init__()
        self.drop, self.head = keras.layers.Dropout(0.4), keras.layers.Dense(2)

    def call(self, x):
        return self.head(self.drop(x, training=True))

    def train_step(self, *args):
        return super().train_step(*args)


def test_file_of_a_model_of_the_class_of_kerasfx_is_loaded(tmp_path):
    x = np.ones((2, 4), "float32")
    prepared = kerasfx.prepare_model(DropsAlways(), keras.Input((4,)), keep_class=True)
    prepared.compile("sgd", "mse")
    prepared.fit(x, x[:, :2], verbose=0)
    prepared.save(tmp_path / "kept.keras")
    loaded = keras.models.load_model(tmp_path / "kept.keras")
    for plain in (loaded, keras.models.clone_model(prepared)):
        assert type(plain) is kerasfx.runtime.functional.Functional
        assert np.ptp(predicted(plain, np.ones((32, 4), "float32")), axis=0).all()


def test_the_random_numbers_of_the_process_go_on():
    """What is copied beside the graph is made with initializers that draw their seeds."""

    class Spare(keras.Model):
        def __init__(self):
            super().__init__()
            normal = keras.initializers.RandomNormal()
            self.used = self.add_weight(shape=(4, 4), initializer=normal)
            self.spare = self.add_weight(shape=(4, 4), initializer=normal)

        def call(self, x):
            return ops.matmul(x, self.used)

    model = Spare()
    model(np.ones((2, 4), "float32"))
    before = random.getstate()
    kerasfx.prepare_model(model, keras.Input((4,)), keep_class=True, verify=False)
    assert random.getstate() == before

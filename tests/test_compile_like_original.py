"""A model that was compiled is prepared with the same losses, metrics and the state of its optimizer."""

import keras
import numpy as np
import pytest
from fitting import assert_trained_alike
from keras import ops
from snapshots import bits, differences, snapshot_of_model

import kerasfx
from kerasfx.handover.provenance import provenance_of
from kerasfx.ir.weights import concatenate
from kerasfx.passes import any_, op, parameter, rewrite

pytestmark = pytest.mark.every_run


class Net(keras.Model):
    """Its weights are made in another order than they are used in."""

    def __init__(self):
        super().__init__(name="net")
        self.last = keras.layers.Dense(1)
        self.first = keras.layers.Dense(6, "tanh")
        self.norm = keras.layers.BatchNormalization()
        self.scale = self.add_weight(shape=(6,), initializer="ones", name="scale")

    def call(self, x, training=None):
        return self.last(self.norm(self.first(x), training=training) * self.scale)


class Mixed(keras.Model):
    """Its layers compute in float16."""

    def __init__(self):
        super().__init__(name="mixed", dtype="mixed_float16")
        self.last = keras.layers.Dense(1, dtype="mixed_float16")
        self.first = keras.layers.Dense(6, "tanh", dtype="mixed_float16")
        self.twice = Twice(dtype="mixed_float16")

    def call(self, x):
        return self.last(self.twice(self.first(x)))


class Twice(keras.layers.Layer):
    """Something to open."""

    def call(self, x):
        return x * 2.0


class Two(keras.Model):
    """Two outputs."""

    def __init__(self):
        super().__init__(name="two")
        self.trunk, self.a, self.b = (keras.layers.Dense(n) for n in (4, 1, 2))

    def call(self, x):
        x = self.trunk(x)
        return {"a": self.a(x), "b": self.b(x)}


class Falling(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule of the user's own, which is not registered."""

    def __call__(self, step):
        return 0.1 / (1.0 + ops.cast(step, "float32"))

    def get_config(self):
        return {}


class Biased(keras.metrics.Metric):
    """A metric whose class has no `get_config`, and which holds a function."""

    def __init__(self, bias, function):
        super().__init__(name="biased")
        self.bias, self.function = bias, function
        self.total = self.add_weight(shape=(), initializer="zeros", name="total")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.total.assign(self.total + self.function(y_pred) + self.bias)

    def result(self):
        return ops.convert_to_tensor(self.total)


OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.05),
    "momentum": lambda: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "adam": lambda: keras.optimizers.Adam(0.01, amsgrad=True, clipnorm=1.0),
    "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1, clipvalue=0.5),
    "accumulated": lambda: keras.optimizers.SGD(0.05, momentum=0.5, gradient_accumulation_steps=3),
    "adafactor": lambda: keras.optimizers.Adafactor(0.01),
    "nadam": lambda: keras.optimizers.Nadam(0.01),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.01, momentum=0.5, centered=True),
    "scaled": lambda: keras.optimizers.LossScaleOptimizer(
        keras.optimizers.Adam(0.01), initial_scale=8.0, dynamic_growth_steps=3
    ),
    "schedule": lambda: keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)),
    "own schedule": lambda: keras.optimizers.SGD(Falling(), momentum=0.9),
}


def data():
    random = np.random.default_rng(0)
    return random.standard_normal((16, 4)).astype("float32"), random.random((16, 1)).astype("float32")


def fit(model, epochs=2):
    return model.fit(*data(), batch_size=4, epochs=epochs, verbose=0, shuffle=False).history


def net(**compiled):
    keras.utils.set_random_seed(0)
    model = Net()
    model(data()[0])
    model.compile(**{"optimizer": "adam", "loss": "mse", **compiled})
    return model


def prepare(model):
    return kerasfx.prepare_model(model, data()[0], compile="like_original")


def assert_go_on_alike(model, prepared):
    """Histories under the same names, weights, and the optimizers' state for each weight."""
    assert_trained_alike(prepared, fit(model), fit(prepared), atol=1e-5)


KINDS = ("adam", "adafactor", "scaled", "schedule")
"""Optimizers that keep their state in unlike ways: those that the oldest Keras is asked about."""


@pytest.mark.parametrize("stepped", [True, False])
@pytest.mark.parametrize(
    "name", [n if n in KINDS else pytest.param(n, marks=pytest.mark.any_keras) for n in OPTIMIZERS]
)
def test_fit_goes_on(name, stepped):
    model = net(optimizer=OPTIMIZERS[name]())
    if stepped:
        fit(model, epochs=1)
    prepared = prepare(model)
    assert type(prepared.optimizer) is type(model.optimizer)
    assert prepared.optimizer.built == stepped
    assert int(prepared.optimizer.iterations) == int(model.optimizer.iterations)
    assert_go_on_alike(model, prepared)


def test_a_moving_average_goes_on():
    """It is set by hand here: a second `fit` with it fails on JAX, in Keras itself."""
    model = net(optimizer=keras.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.9))
    model.optimizer.build(model.trainable_variables)
    for i, variable in enumerate(model.optimizer.variables[2:]):
        variable.assign(variable + 0.1 * i)
    assert_go_on_alike(model, prepare(model))


def test_the_order_of_weights_differs():
    """So that state handed on by position would go astray."""
    model = net()
    prepared = prepare(model)
    places = {id(w): i for i, w in enumerate(prepared.trainable_variables)}
    partners = {id(v): w for v, w in provenance_of(prepared).variables}
    order = [places[id(partners[id(v)])] for v in model.trainable_variables]
    assert order != sorted(order)


def test_the_models_are_independent():
    """Optimizers, metrics and counters are copies; preparing leaves the original as it was."""
    model = net(metrics=[keras.metrics.MeanAbsoluteError()])
    fit(model, epochs=1)
    before = snapshot_of_model(model), [bits(v) for v in model.optimizer.variables]
    prepared = prepare(model)
    fit(prepared)
    assert differences(before[0], snapshot_of_model(model)) == []
    assert [bits(v) for v in model.optimizer.variables] == before[1]
    ours, theirs = ({id(v) for m in x.metrics for v in m.variables} for x in (model, prepared))
    assert not ours & theirs


def test_what_was_changed_after_compiling():
    """A rate that was set by hand, and a counter."""
    model = net(optimizer=keras.optimizers.Adam(0.5))
    model.optimizer.learning_rate = 0.01
    model.optimizer.iterations.assign(100)
    prepared = prepare(model)
    assert float(prepared.optimizer.learning_rate) == pytest.approx(0.01)
    assert int(prepared.optimizer.iterations) == 100
    assert_go_on_alike(model, prepared)


def test_metrics():
    """By name, as objects that were updated, weighted, and of the user's own class."""
    biased = Biased(2.0, lambda x: ops.mean(x))
    model = net(metrics=["mae", keras.metrics.MeanSquaredError(name="m"), biased], weighted_metrics=["mse"])
    fit(model, epochs=1)
    prepared = prepare(model)
    assert float(biased.result()) != 0
    assert_go_on_alike(model, prepared)


def test_settings():
    model = net(run_eagerly=True, steps_per_execution=1, jit_compile=False)
    prepared = prepare(model)
    assert prepared.run_eagerly
    assert prepared.jit_compile is False
    if keras.backend.backend() == "torch":  # which refuses others when compiling
        return
    model = net(steps_per_execution=2)
    assert prepare(model).steps_per_execution == 2


def test_two_outputs_with_weights():
    model = Two()
    x = data()[0]
    model(x)
    y = {"a": np.ones((16, 1), "float32"), "b": np.ones((16, 2), "float32")}
    model.compile("adam", {"a": "mse", "b": "mae"}, loss_weights={"a": 2.0, "b": 0.5}, metrics={"b": ["mse"]})
    prepared = prepare(model)
    histories = [
        m.fit(x, y, epochs=3, batch_size=4, verbose=0, shuffle=False).history for m in (model, prepared)
    ]
    assert list(histories[0]) == list(histories[1])
    for name in histories[0]:
        np.testing.assert_allclose(histories[1][name], histories[0][name], rtol=1e-5)


def test_outputs_by_the_names_of_the_original():
    """A nested model is an output layer of the original, and its last layer one of the prepared model."""
    inputs = keras.Input((4,))
    head = keras.Sequential([Twice(), keras.layers.Dense(1)], name="head")
    model = keras.Model(inputs, [head(inputs), keras.layers.Dense(2, name="other")(inputs)])
    model.compile("sgd", {"head": "mse", "other": "mae"})
    prepared = kerasfx.prepare_model(model, compile="like_original")
    y = {"head": np.ones((16, 1), "float32"), "other": np.ones((16, 2), "float32")}
    histories = [m.fit(data()[0], y, verbose=0, shuffle=False).history for m in (model, prepared)]
    assert list(histories[0]) == list(histories[1])
    np.testing.assert_allclose(histories[0]["loss"], histories[1]["loss"], rtol=1e-5)


def test_mixed_float16():
    """The optimizer was wrapped for the policy of the original, and is not wrapped again."""
    model = Mixed()
    model(data()[0])
    model.compile("adam", "mse", run_eagerly=True)  # XLA rounds as it fuses
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    fit(model, epochs=1)
    prepared = prepare(model)
    assert isinstance(prepared.optimizer, keras.optimizers.LossScaleOptimizer)
    assert not isinstance(prepared.optimizer.inner_optimizer, keras.optimizers.LossScaleOptimizer)
    assert int(prepared.optimizer.step_counter) == int(model.optimizer.step_counter) > 0
    assert float(prepared.optimizer.dynamic_scale) == float(model.optimizer.dynamic_scale)
    assert_go_on_alike(model, prepared)


def test_shared_weights_have_an_optimizer_of_their_own():
    """State independent of that of the original, from the same point on."""
    model = net()
    fit(model, epochs=1)
    shared = kerasfx.prepare_model(model, data()[0], weights="share", compile="like_original")
    steps = int(model.optimizer.iterations)
    fit(shared, epochs=1)
    assert int(model.optimizer.iterations) == steps
    assert int(shared.optimizer.iterations) == 2 * steps


def test_saved_and_loaded(tmp_path):
    model = net()
    fit(model, epochs=1)
    prepared = prepare(model)
    prepared.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(fit(loaded)["loss"], fit(model)["loss"], rtol=1e-5)


# --- What is refused, before any work ----------------------------------------------------------------


def test_a_model_that_is_not_compiled():
    model = Net()
    with pytest.raises(ValueError, match=r"Net 'net' was not compiled(?s:.)*compile the original first"):
        kerasfx.prepare_model(model, data()[0], compile="like_original")
    assert not model.built


def test_another_value():
    with pytest.raises(ValueError, match='compile must be None or "like_original"'):
        kerasfx.prepare_model(net(), data()[0], compile=True)


class OwnCompile(Net):
    def compile(self, rate):
        super().compile(keras.optimizers.SGD(rate), "mse")


def test_a_compile_of_its_own():
    model = OwnCompile()
    model.compile(0.1)
    with pytest.raises(ValueError, match="OwnCompile has a `compile` of its own"):
        kerasfx.prepare_model(model, data()[0], compile="like_original")


class Forgetful(keras.optimizers.SGD):
    def __init__(self, learning_rate=0.01, power=1.0, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.power = power


def test_an_optimizer_whose_config_loses_a_setting():
    with pytest.raises(ValueError, match=r"Forgetful cannot be copied: its `power` is lost"):
        prepare(net(optimizer=Forgetful(power=2.0)))


def test_weights_frozen_since_the_optimizer_was_built():
    model = net()
    fit(model, epochs=1)
    model.first.trainable = False
    with pytest.raises(ValueError, match=r"made for other variables(?s:.)*compile the original again"):
        prepare(model)


class Affine(keras.Model):
    """Two weights side by side, which a pass can join."""

    def __init__(self):
        super().__init__(name="affine")
        self.q = self.add_weight(shape=(4, 3), name="q")
        self.k = self.add_weight(shape=(4, 5), name="k")
        self.b = self.add_weight(shape=(8,), initializer="ones", name="b")

    def call(self, x):
        return ops.concatenate([ops.matmul(x, self.q), ops.matmul(x, self.k)], axis=-1) + self.b


X, Y = np.random.default_rng(0).random((8, 4), "float32"), np.ones((8, 8), "float32")


def affine(optimizer):
    model = Affine()
    model(X)
    model.compile(optimizer, "mse")
    return model


def joined(graph):
    """The pass: one matrix for two."""
    pattern = op.concatenate(
        [op.matmul(any_("x"), parameter("q")), op.matmul(any_("x"), parameter("k"))], axis=any_()
    )

    def dense(graph, found):
        given = {"kernel": concatenate([found["q"], found["k"]], axis=1)}
        config = {"units": 8, "use_bias": False}
        return graph.make("keras.layers.Dense", found["x"], weights=given, like=found.root, **config)

    return rewrite(graph, pattern, dense)


@pytest.mark.parametrize("is_fitted", [False, True])
@pytest.mark.parametrize("passes", [(), (joined,)])
def test_what_is_excluded_from_weight_decay_stays_excluded(passes, is_fitted):
    optimizer = keras.optimizers.AdamW(0.01, weight_decay=5.0)
    optimizer.exclude_from_weight_decay(var_names=["b"])
    model = affine(optimizer)
    if is_fitted:
        model.fit(X, Y, verbose=0)
    before = dict(vars(optimizer).get("_exclude_from_weight_decay_cache", {}))
    prepared = kerasfx.prepare_model(model, X, passes=passes, compile="like_original")
    assert vars(optimizer).get("_exclude_from_weight_decay_cache", {}) == before
    for each in (model, prepared):
        each.fit(X, Y, epochs=3, shuffle=False, verbose=0)
    np.testing.assert_allclose(*(ops.convert_to_numpy(m(X)) for m in (model, prepared)), rtol=1e-5)


def test_a_weight_is_not_joined_of_what_decays_and_what_does_not():
    optimizer = keras.optimizers.AdamW(0.01, weight_decay=5.0)
    optimizer.exclude_from_weight_decay(var_names=["q"])
    with pytest.raises(ValueError, match="decays a part of what it is made of"):
        kerasfx.prepare_model(affine(optimizer), X, passes=[joined], compile="like_original")


@pytest.mark.parametrize(("name", "given"), [("SGD", {"clipnorm": 0.01}), ("Lamb", {}), ("Adafactor", {})])
def test_an_optimizer_that_looks_at_whole_weights_gets_none_that_were_joined(name, given):
    model = affine(getattr(keras.optimizers, name)(0.1, **given))
    with pytest.raises(ValueError, match="not step for each element by itself"):
        kerasfx.prepare_model(model, X, passes=[joined], compile="like_original")


@pytest.mark.skipif(not hasattr(keras.optimizers, "Muon"), reason="this Keras has no Muon")
@pytest.mark.parametrize("is_fitted", [False, True])
def test_muon_that_goes_by_paths_is_refused_where_paths_are_others(is_fitted):
    class Around(keras.Model):
        def __init__(self):
            super().__init__(name="around")
            self.first, self.last = keras.layers.Dense(4), keras.layers.Dense(8)

        def call(self, x):
            return self.last(self.first(x))

    model = Around()
    model(X)
    model.compile(keras.optimizers.Muon(0.05, exclude_layers=["^around"]), "mse")
    if is_fitted:
        model.fit(X, Y, verbose=0)
    with pytest.raises(ValueError, match="goes by the path of a weight"):
        kerasfx.prepare_model(model, X, compile="like_original")

"""What a prepared model does in training: branches, draws, assignments and losses of the original."""

import keras
import numpy as np
import pytest
from fitting import WAYS_TO_MAKE_AGAIN, losses_of_fit, made_again
from keras import ops
from predicting import predicted

import kerasfx
from kerasfx.errors import TrainingRefusedError
from kerasfx.handover.provenance import provenance_of

pytestmark = pytest.mark.every_run


class Everything(keras.layers.Layer):
    """Counts its calls, keeps a moving average, adds losses, and branches on `training`."""

    def __init__(self):
        super().__init__(activity_regularizer=keras.regularizers.L2(0.1))
        self.dense = keras.layers.Dense(4)
        self.norm = keras.layers.BatchNormalization()
        self.dropout = keras.layers.Dropout(0.5, seed=3)
        self.seeds = keras.random.SeedGenerator(7)

    def build(self, input_shape):
        add = self.add_weight
        self.count = add(shape=(), initializer="zeros", trainable=False, name="count")
        self.average = add(shape=(4,), initializer="zeros", trainable=False, name="average")

    def call(self, x, training=None):
        y = self.dense(x)
        self.count.assign_add(1.0)
        if training:
            self.average.assign(0.9 * self.average + 0.1 * ops.mean(y, axis=0))
            self.add_loss(ops.mean(y**2))
            y = self.dropout(self.norm(y))
            y = y + 0.1 * keras.random.normal(ops.shape(y), seed=self.seeds)
        else:
            y = y - self.average
        self.add_loss(0.5 * ops.mean(ops.abs(y)))
        return y * (1.0 + 0.01 * self.count)


class Regularized(keras.layers.Layer):
    """Calls a layer with an activity regularizer in training only."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(4, activity_regularizer="l2")

    def build(self, input_shape):
        self.dense.build(input_shape)

    def call(self, x, training=None):
        return self.dense(x) if training else x


def around(layer):
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = layer
            self.head = keras.layers.Dense(1)

        def call(self, x, training=None):
            return self.head(self.inner(x, training=training))

    return Net()


def data(width=5):
    rng = np.random.default_rng(0)
    return rng.random((8, width), "float32"), rng.random((8, 1), "float32")


def test_everything_is_opened_and_equal():
    model = around(Everything())
    prepared = kerasfx.prepare_model(model, keras.Input((5,)))
    assert not kerasfx.report(prepared).opaque
    comparison = kerasfx.compare(model, prepared)
    assert comparison, comparison


@pytest.mark.parametrize(
    ("jit_compile", "prepared_first"),
    [
        (False, False),
        (False, True),
        (True, True),
        # It is JAX whose compiled steps take the arrays of the other model; PyTorch needs a minute for each.
        *([] if keras.backend.backend() == "torch" else [(True, False)]),
    ],
)
def test_both_models_train_alike_in_either_order(jit_compile, prepared_first):
    model = around(Everything())
    prepared = kerasfx.prepare_model(model, keras.Input((5,)))
    order = [prepared, model] if prepared_first else [model, prepared]
    losses = {m.name: losses_of_fit(m, data(), jit_compile) for m in order}
    np.testing.assert_allclose(losses[prepared.name], losses[model.name], rtol=1e-5)
    for ours, theirs in provenance_of(prepared).variables:
        np.testing.assert_allclose(
            ops.convert_to_numpy(theirs), ops.convert_to_numpy(ours), rtol=1e-4, atol=1e-5
        )


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="only JAX trains by stateless_call")
def test_stateless_call_returns_the_same_state():
    model = around(Everything())
    prepared = kerasfx.prepare_model(model, keras.Input((5,)))
    x, _ = data()
    states = {}
    for m in (model, prepared):
        trained, others = ([v.value for v in vs] for vs in (m.trainable_variables, m.non_trainable_variables))
        outputs, after, losses = m.stateless_call(trained, others, x, training=True, return_losses=True)
        states |= {id(v): value for v, value in zip(m.non_trainable_variables, after, strict=True)}
        states |= {m.name: outputs, f"{m.name} losses": sum(losses)}
    np.testing.assert_array_equal(states[prepared.name], states[model.name])
    np.testing.assert_allclose(states[f"{prepared.name} losses"], states[f"{model.name} losses"], rtol=1e-6)
    changed = [(v, w) for v, w in provenance_of(prepared).variables if id(v) in states]
    assert len(changed) == len(model.non_trainable_variables) == 6
    for ours, theirs in changed:
        np.testing.assert_array_equal(states[id(theirs)], states[id(ours)])


def test_state_goes_on_after_saving(tmp_path):
    prepared = kerasfx.prepare_model(around(Everything()), keras.Input((5,)))
    losses_of_fit(prepared, data())
    prepared.save(tmp_path / "trained.keras")
    loaded = keras.models.load_model(tmp_path / "trained.keras")
    x, _ = data()
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), prepared.predict(x, verbose=0))


def test_inference_draws_nothing_where_only_training_does():
    layer = Everything()
    prepared = kerasfx.prepare_model(around(layer), keras.Input((5,)))
    states = [w for v, w in provenance_of(prepared).variables if v is layer.seeds.state]
    before = ops.convert_to_numpy(states[0]).copy()
    prepared(data()[0], training=False)
    np.testing.assert_array_equal(ops.convert_to_numpy(states[0]), before)
    prepared(data()[0], training=True)
    assert not np.array_equal(ops.convert_to_numpy(states[0]), before)


@pytest.mark.parametrize("way", ["prepared", *WAYS_TO_MAKE_AGAIN])
def test_an_activity_regularizer_on_one_side_acts_on_that_side(way, tmp_path):
    model = around(Regularized())
    prepared = kerasfx.prepare_model(model, keras.Input((4,)))
    assert not kerasfx.report(prepared).opaque
    assert kerasfx.compare(model, prepared)
    again = prepared if way == "prepared" else made_again(prepared, way, tmp_path)
    np.testing.assert_allclose(losses_of_fit(again, data(4)), losses_of_fit(model, data(4)), rtol=1e-5)


class Measured(keras.layers.Layer):
    """Updates a metric, and may ask what it says."""

    def __init__(self, reads=False):
        super().__init__()
        self.mean = keras.metrics.Mean(name="mean_of_inputs")
        self.reads = reads

    def call(self, x):
        self.mean.update_state(x)
        return x * self.mean.result() if self.reads else x * 2.0


# JAX has no place for a metric of a layer in the state that its `fit` hands to the model.
@pytest.mark.skipif(keras.backend.backend() == "jax", reason="the original cannot be fitted")
@pytest.mark.parametrize("jit_compile", [False, True])
def test_fit_reports_and_resets_a_metric_updated_in_call(jit_compile, tmp_path):
    model = around(Measured())
    prepared = kerasfx.prepare_model(model, keras.Input((5,)))
    prepared.save(tmp_path / "measured.keras")
    loaded = keras.models.load_model(tmp_path / "measured.keras")
    x, y = data()
    histories = []
    for m in (model, prepared, loaded):
        m.compile(keras.optimizers.SGD(0.01), "mse", jit_compile=jit_compile)
        histories.append(m.fit(x, y, epochs=2, batch_size=4, shuffle=False, verbose=0).history)
    for history in histories[1:]:
        assert list(history) == list(histories[0])
        np.testing.assert_allclose(history["mean_of_inputs"], [x.mean()] * 2, rtol=1e-5)


class MeasuredModel(keras.Model):
    """A model that updates a metric, to be called inside of another."""

    def __init__(self):
        super().__init__(name="measured")
        self.mean = keras.metrics.Mean(name="mean_of_inputs")
        self.dense = keras.layers.Dense(5)

    def call(self, x):
        self.mean.update_state(x)
        return self.dense(x)


def test_a_metric_that_fit_of_the_original_hides_is_told_of():
    """Keras shows none of a model inside of a model."""
    inputs = keras.Input((5,))
    model = keras.Model(inputs, MeasuredModel()(inputs))
    prepared = kerasfx.prepare_model(model)
    [told] = [f for f in kerasfx.report(prepared).of_kind("warning") if "does not show the metric" in f.what]
    assert "mean_of_inputs" in told.what
    path = told.hint.partition('leaves=["')[2].partition('"')[0]
    as_told = kerasfx.prepare_model(model, leaves=[path])
    x, _ = data()
    histories = []
    for m in (model, as_told):
        m.compile("sgd", "mse")
        histories.append(m.fit(x, x, epochs=2, verbose=0).history)
    assert histories[0] == histories[1]
    assert list(histories[0]) == ["loss"]


class Halving:
    """Computes in half precision, with a weight of its own."""

    def __init__(self, policy="mixed_float16"):
        super().__init__(dtype=policy)
        self.scale = self.add_weight(shape=(5,), initializer="ones", name="scale")
        self.dense = keras.layers.Dense(5, dtype=policy)

    def call(self, x):
        return self.dense(x) * self.scale


class Halved(Halving, keras.Model):
    pass


class HalvedLayer(Halving, keras.layers.Layer):
    pass


class LayersAlone(keras.Model):
    """They cast by themselves what they are called with."""

    def __init__(self):
        super().__init__(dtype="mixed_float16")
        self.dense = keras.layers.Dense(5, dtype="mixed_float16")

    def call(self, x):
        return self.dense(x)


class AroundHalved(keras.Model):
    def __init__(self):
        super().__init__(dtype="mixed_float16")
        self.inner = HalvedLayer()

    def call(self, x):
        return self.inner(x)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="the others cast in `fit` and `predict`")
def test_what_fit_and_predict_of_the_original_do_not_cast_is_told_of():
    x, _ = data()
    model, following = Halved(), AroundHalved()
    prepared, as_told = (kerasfx.prepare_model(m, x) for m in (model, following))
    [told] = [f for f in kerasfx.report(prepared).of_kind("warning") if "do not cast" in f.what]
    assert "do not cast scale to float16" in told.what
    assert "into a layer with the dtype policy of the model" in told.hint
    assert [m.predict(x, verbose=0).dtype for m in (model, prepared)] == ["float32", "float16"]
    # As it says.
    assert not kerasfx.report(as_told).of_kind("warning")
    assert kerasfx.compare(following, as_told, inputs=x)


@pytest.mark.parametrize("make", [LayersAlone, lambda: Halved(policy="float32")])
def test_nothing_is_told_where_fit_casts_alike(make):
    x, _ = data()
    model = make()
    prepared = kerasfx.prepare_model(model, x)
    assert not kerasfx.report(prepared).of_kind("warning")
    assert kerasfx.compare(model, prepared, inputs=x)


def test_a_metric_counts_on_from_where_it_was_and_alone():
    """The copy has a state of its own; tracing leaves nothing in either."""
    model = around(Measured())
    x, _ = data()
    model(x)
    before = float(model.inner.mean.count)
    prepared = kerasfx.prepare_model(model)
    (metric,) = prepared.metrics
    assert float(metric.count) == float(model.inner.mean.count) == before
    prepared(x)
    assert float(metric.count) == 2 * before
    assert float(model.inner.mean.count) == before


def test_a_metric_that_is_shared():
    model = around(Measured())
    prepared = kerasfx.prepare_model(model, keras.Input((5,)), weights="share")
    assert prepared.metrics[0] is model.inner.mean


def test_a_metric_read_in_call_keeps_the_layer_whole():
    model = around(Measured(reads=True))
    prepared = kerasfx.prepare_model(model, keras.Input((5,)), weights="share", verify=False)
    (finding,) = kerasfx.report(prepared).opaque
    assert "The state of a metric is read or assigned inside `call`: mean_of_inputs." in str(finding)


class Noise(keras.layers.Layer):
    """Draws from the seed generator of the process."""

    def call(self, x):
        return x + keras.random.normal(ops.shape(x))


def test_draws_without_a_generator_stay_draws():
    model = around(Noise())
    x, _ = data()
    model(x)
    keras.utils.set_random_seed(3)
    expected = ops.convert_to_numpy(keras.random.normal((3,)))
    keras.utils.set_random_seed(3)
    prepared = kerasfx.prepare_model(model, keras.Input((5,)))
    next_draw = keras.random.normal((3,))
    np.testing.assert_array_equal(ops.convert_to_numpy(next_draw), expected)  # preparing draws nothing
    assert not kerasfx.report(prepared).opaque
    assert kerasfx.compare(model, prepared)
    assert (predicted(prepared, x) != predicted(prepared, x)).all()


class Unshaped(keras.layers.Layer):
    """Draws noise for the batch that it was built for: None in a Functional model."""

    def __init__(self, inner=None):
        super().__init__()
        self.inner = inner

    def build(self, shape):
        self.noise_shape = (shape[0], 1)

    def call(self, x, training=None):
        if not training:
            return x
        x = x if self.inner is None else self.inner(x, training=training)
        return x * keras.random.uniform(self.noise_shape)


@pytest.mark.parametrize("build", [Unshaped, lambda: Unshaped(Unshaped())], ids=["alone", "nested"])
def test_what_raises_in_training_works_in_inference(build, tmp_path):
    """The original cannot be trained, nor can the result; both say so, and nothing is kept whole."""
    x = keras.Input((4,))
    model = keras.Model(x, keras.layers.Dense(2)(build()(keras.layers.Dense(4)(x))))
    prepared = kerasfx.prepare_model(model)
    report = kerasfx.report(prepared)
    assert report.opaque == []
    (finding,) = report.of_kind("warning")
    assert finding.path.startswith("unshaped")
    assert "cannot be trained, nor can the original: keras.random.uniform(shape=(None, 1)" in str(finding)
    prepared.save(tmp_path / "inference.keras")
    batch = np.ones((2, 4), "float32")
    for again in (prepared, keras.models.load_model(tmp_path / "inference.keras")):
        np.testing.assert_array_equal(predicted(again, batch), predicted(model, batch))
        with pytest.raises(TrainingRefusedError):
            again(batch, training=True)
    with pytest.raises(Exception, match="None"):
        model(batch, training=True)
    assert kerasfx.compare(model, prepared, samples=1)


def test_what_depends_on_the_inputs_is_no_reason_to_refuse_training():
    """The example sizes may be at fault: the layer stays whole."""

    class Picky(keras.layers.Layer):
        def call(self, x, training=None):
            return ops.reshape(x, (-1, 7, 100)) if training else x

    prepared = kerasfx.prepare_model(around(Picky()), keras.Input((4,)), verify=False)
    assert len(kerasfx.report(prepared).opaque) == 1


class RaisesInTraining(keras.layers.Layer):
    """Cannot be trained on real tensors, for a reason that tracing does not see."""

    def call(self, x, training=None):
        if training and not isinstance(x, keras.KerasTensor):
            raise RuntimeError("mine")
        return 2.0 * x


def test_an_original_that_cannot_be_trained_is_compared_in_inference():
    model = around(RaisesInTraining())
    prepared = kerasfx.prepare_model(model, keras.Input((5,)))
    (warning,) = (f.what for f in kerasfx.report(prepared).of_kind("warning"))
    assert warning.startswith("the original raises in training mode, RuntimeError: mine")
    comparison = kerasfx.compare(model, prepared)
    assert "only the original raises RuntimeError: mine" in str(comparison)

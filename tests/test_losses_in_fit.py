"""On JAX, `fit` clears losses of layers called outside of a call context; the prepared model keeps them."""

import keras
import numpy as np
import pytest
from fitting import WAYS_TO_MAKE_AGAIN, losses_of_fit, made_again
from keras import layers, ops

import kerasfx

pytestmark = pytest.mark.every_run

ON_JAX = keras.backend.backend() == "jax"


def dense():
    return layers.Dense(5, activity_regularizer=keras.regularizers.L2(0.1))


class Twice(layers.Layer):
    """Calls one layer with a loss twice."""

    def __init__(self):
        super().__init__()
        self.dense = dense()

    def call(self, x):
        return self.dense(self.dense(x))


class Adding(layers.Layer):
    """Adds a loss of its own, and one of a regularizer."""

    def __init__(self):
        super().__init__(activity_regularizer="l2")
        self.dense = layers.Dense(5)

    def call(self, x):
        y = self.dense(x)
        self.add_loss(ops.mean(y**2))
        return y


class Several(layers.Layer):
    """Calls several layers with losses."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = dense(), Adding(), dense()

    def call(self, x):
        return self.third(self.second(self.first(x)))


class Whole(Adding):
    """Stays whole on request."""


def around(layer, calls=1):
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner, self.head = layer, layers.Dense(1)

        def call(self, x):
            for _ in range(calls):
                x = self.inner(x)
            return self.head(x)

    model = Net()
    model(data()[0])
    return model


def data():
    """Ten samples: the last batch of four is smaller, and compiled anew."""
    rng = np.random.default_rng(0)
    return rng.random((10, 5), "float32"), rng.random((10, 1), "float32")


def warnings(prepared):
    return [f for f in kerasfx.report(prepared).of_kind("warning") if "forgets" in f.what]


@pytest.mark.parametrize("jit_compile", [False, True] if ON_JAX else [False])
@pytest.mark.parametrize("make", [Twice, Adding, Several, Whole])
def test_every_loss_is_trained_on(make, jit_compile):
    model = around(make())
    prepared = kerasfx.prepare_model(model, leaves=[Whole] if make is Whole else [])
    comparison = kerasfx.compare(model, prepared)
    assert comparison, comparison
    assert not warnings(prepared)
    ours, theirs = (losses_of_fit(m, data(), jit_compile) for m in (prepared, model))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize("how", WAYS_TO_MAKE_AGAIN)
def test_it_stays_so(how, tmp_path):
    model = around(Twice())
    again = made_again(kerasfx.prepare_model(model), how, tmp_path)
    ours, theirs = (losses_of_fit(m, data()) for m in (again, model))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


class EveryId(set):
    """The `id`s of losses of a step before, which those of this step happen to have, until it is cleared."""

    def __init__(self):
        super().__init__()
        self.is_cleared = False

    def __contains__(self, item):
        return not self.is_cleared or super().__contains__(item)

    def clear(self):
        super().clear()
        self.is_cleared = True


def test_a_loss_with_the_id_of_one_that_is_gone_is_not_forgotten():
    prepared = kerasfx.prepare_model(around(Several()))
    x, y = data()
    prepared.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=False)
    expected = prepared.train_on_batch(x, y)
    for layer in prepared.layers:
        layer._loss_ids = EveryId()
    np.testing.assert_allclose(prepared.train_on_batch(x, y), expected, rtol=1e-6)


@pytest.mark.parametrize("make", [dense, Adding, Several])
def test_what_fit_of_the_original_forgets_is_said(make):
    model = around(make(), calls=2)
    prepared = kerasfx.prepare_model(model)
    failed = [check.name for check in kerasfx.compare(model, prepared).checks if not check.passed]
    assert failed == (["in fit"] if ON_JAX else [])
    found = warnings(prepared)
    assert len(found) == ON_JAX
    if found:
        assert "inner" in found[0].what
        assert found[0].source.text == "x = self.inner(x)"


@pytest.mark.parametrize("takes_training", [False, True])
def test_a_layer_traced_for_both_modes_is_called_once(takes_training):
    class Choosing(layers.Layer):
        def call(self, x, training=None):
            y = 2.0 * x if training else x
            self.add_loss(ops.mean(y**2))
            return y

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = Choosing()

        def call(self, x, training=None):
            y = self.inner(x, training=training)
            return -y if takes_training and training else y

    model = Net()
    model(data()[0])
    assert not warnings(kerasfx.prepare_model(model))


@pytest.mark.skipif(not ON_JAX, reason="only JAX runs `call` outside of a call context")
def test_the_oracle_finds_a_model_that_forgets_losses(monkeypatch):
    monkeypatch.setattr("kerasfx.handover.training_in_fit.would_forget_losses", lambda graph: False)
    model = around(Twice())
    comparison = kerasfx.compare(model, kerasfx.prepare_model(model))
    assert [check.name for check in comparison.checks if not check.passed] == ["in fit"]

"""What no output depends on and counts all the same: losses, weights that are regularized, state."""

import functools
import sys

import keras
import numpy as np
import pytest
from fitting import losses_of_fit, made_again
from keras import layers, ops

import kerasfx
from kerasfx.comparing import verify
from kerasfx.errors import NotEquivalentError
from kerasfx.handover.provenance import provenance_of


def net(make, call):
    """A model with the layers that `make` gives, by name, and `call(self, x)`."""

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            for name, layer in make().items():
                setattr(self, name, layer)
            self.head = layers.Dense(2, kernel_regularizer="l2")

        def call(self, x):
            return self.head(call(self, x))

    return Net()


class Unread(layers.Layer):
    """Has two regularized weights, of which `call` reads one."""

    def __init__(self):
        super().__init__()
        self.regularizers = keras.regularizers.L1(0.1), keras.regularizers.L2(0.2)

    def build(self, shape):
        self.read, self.unread = (
            self.add_weight(shape=(4,), initializer="ones", regularizer=r, name=name)
            for r, name in zip(self.regularizers, ("read", "unread"), strict=True)
        )

    def call(self, x):
        return x * self.read


def assert_losses_alike(a, b):
    found, expected = (sorted(float(ops.convert_to_numpy(x)) for x in each.losses) for each in (a, b))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def built_dense(**kwargs):
    layer = layers.Dense(3, **kwargs)
    layer.build((None, 4))
    return layer


def called_for_nothing(self, x):
    self.other(x)
    return x


def not_called(self, x):
    return x


def frozen_dense():
    layer = built_dense(kernel_regularizer="l2")
    layer.trainable = False
    return layer


def set_on_layer_and_variable():
    """Keras counts the regularizer of the bias, and that of the kernel only in a copy from the config."""
    layer = built_dense()
    layer.kernel_regularizer = keras.regularizers.L2(0.1)
    layer.bias.regularizer = keras.regularizers.L1(0.1)
    layer.bias.assign([1.0, 2.0, 3.0])
    return layer


nested = {
    "dense": lambda: layers.Dense(3, activity_regularizer="l2"),
    "sequential": lambda: keras.Sequential([layers.Dense(3, activity_regularizer="l1"), layers.Dense(2)]),
    "regularization": lambda: layers.ActivityRegularization(l1=0.1),
}
LOSSES = {
    "kernel, called": (lambda: layers.Dense(3, kernel_regularizer="l2"), called_for_nothing, 2),
    "kernel, not called": (lambda: built_dense(kernel_regularizer="l2"), not_called, 2),
    "weights of a custom layer, one unread": (Unread, lambda self, x: self.other(x), 3),
    "weights of a custom layer, not needed": (Unread, called_for_nothing, 3),
    "not trained": (frozen_dense, not_called, 1),
    "set after building": (set_on_layer_and_variable, lambda self, x: self.other(x), 2),
    **{f"activity, {name}": (make, called_for_nothing, 2) for name, make in nested.items()},
}


@pytest.mark.filterwarnings("ignore:Gradients do not exist")  # said of weights that no loss depends on
@pytest.mark.parametrize("name", LOSSES)
def test_losses_without_an_output_are_those_of_the_original(name, tmp_path):
    make, call, count = LOSSES[name]
    model = net(lambda: {"other": make()}, call)
    x = np.random.default_rng(0).random((8, 4), "float32")
    model(x)  # Keras makes a regularizer that `build` names without values, while it traces
    prepared = kerasfx.prepare_model(model, keras.Input((4,)))
    for each in (model, prepared):
        each(x)
    assert len(model.losses) == count
    assert_losses_alike(prepared, model)
    assert kerasfx.compare(model, prepared)
    loaded = made_again(prepared, "saved and loaded", tmp_path)
    data = x, x[:, :2]
    expected = losses_of_fit(model, data)
    for each in (prepared, loaded):
        np.testing.assert_allclose(losses_of_fit(each, data), expected, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_regularized_weights_are_trained_alike():
    model = net(lambda: {"other": built_dense(kernel_regularizer="l2")}, not_called)
    prepared = kerasfx.prepare_model(model, keras.Input((4,)))
    x = np.ones((8, 4), "float32")
    before = keras.ops.convert_to_numpy(model.other.kernel)
    for each in (model, prepared):
        losses_of_fit(each, (x, x[:, :2]))
    partner = {id(v): w for v, w in provenance_of(prepared).variables}[id(model.other.kernel)]
    after = keras.ops.convert_to_numpy(model.other.kernel)
    assert not np.allclose(before, after)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(partner), after, rtol=1e-5)


def test_report_says_what_counts_without_an_output():
    model = net(lambda: {"other": built_dense(kernel_regularizer="l2")}, not_called)
    model.called = layers.Dense(3, activity_regularizer="l2")
    model.call = lambda x: (model.called(x), model.head(x))[1]
    report = str(kerasfx.report(kerasfx.prepare_model(model, keras.Input((4,)))))
    assert (
        "other.kernel: no output depends on it; the result has it, because its regularizer is a loss"
        in report
    )
    assert "called: no output depends on this call of Dense; the result makes it, for the losses" in report
    assert "other.bias: no output depends on it: the result does not have it" in report


def test_untracked_layer_has_no_losses():
    hidden = layers.Dense(4, kernel_regularizer="l2", activity_regularizer="l1")
    model = net(dict, lambda self, x: hidden(x))
    prepared = kerasfx.prepare_model(model, keras.Input((4,)))
    assert len(prepared.losses) == len(model.losses) == 1
    assert kerasfx.compare(model, prepared)


def test_state_moves_in_calls_for_nothing():
    seeds = keras.random.SeedGenerator(3)

    def call(self, x):
        self.norm(x * 3)
        self.drop(x)
        y = self.drop(self.norm(x)) + keras.random.normal(ops.shape(x), seed=seeds)
        keras.random.normal(ops.shape(x), seed=seeds)
        return y

    made = {"norm": layers.BatchNormalization(), "drop": layers.Dropout(0.5, seed=1)}
    model = net(lambda: {**made, "seeds": seeds}, call)
    prepared = kerasfx.prepare_model(model, keras.Input((4,)))
    assert kerasfx.compare(model, prepared)


@pytest.mark.parametrize("keep_class", [False, True])
def test_state_that_no_other_call_uses_moves(keep_class):
    def call(self, x):
        self.norm(x)
        keras.random.normal((2,), seed=self.seeds)
        return x

    made = {"norm": layers.BatchNormalization(), "seeds": keras.random.SeedGenerator(3)}
    model = net(lambda: made, call)
    prepared = kerasfx.prepare_model(model, keras.Input((4,)), keep_class=keep_class)
    assert not provenance_of(prepared).unused
    assert kerasfx.compare(model, prepared)


def test_state_moves_beside_an_output_whose_size_is_its_own():
    """What is computed of another tensor's size is no size that the waiting output could be given."""

    def call(self, x):
        self.metric.update_state(x)
        self.norm(x)
        longer = ops.concatenate([ops.tile(self.token, (ops.shape(x)[0], 1, 1)), x], axis=1)
        return longer[:, 1:] * 2.0

    def make():
        token = keras.Variable(np.ones((1, 1, 4), "float32"), name="token")
        return {"metric": keras.metrics.Mean(), "norm": layers.BatchNormalization(), "token": token}

    model = net(make, call)
    prepared = kerasfx.prepare_model(model, keras.Input((6, 4)))
    assert kerasfx.compare(model, prepared)


def test_call_without_effect_is_left_out():
    model = net(lambda: {"other": layers.Dense(3)}, called_for_nothing)
    prepared = kerasfx.prepare_model(model, keras.Input((4,)))
    assert [type(x).__name__ for x in prepared.layers] == ["InputLayer", "Dense"]


def test_class_that_is_kept_counts_once(tmp_path):
    model = net(lambda: {"other": built_dense(kernel_regularizer="l2")}, not_called)
    prepared = kerasfx.prepare_model(model, keras.Input((4,)), keep_class=True)
    assert len(prepared.losses) == 2
    assert prepared.get_layer("other_kernel").weight is prepared.other.kernel
    assert kerasfx.compare(model, prepared)
    prepared.other.kernel.assign(ops.ones((4, 3)))
    loaded = made_again(prepared, "saved and loaded", tmp_path)
    assert_losses_alike(loaded, prepared)


def without_regularizers(model):
    """A model prepared from `model` that lost what its weights add to the losses."""
    prepared = kerasfx.prepare_model(model, keras.Input((4,)))
    for variable in prepared.variables:
        variable.regularizer = None
    return prepared


@pytest.mark.parametrize(
    "ask", [kerasfx.compare, functools.partial(kerasfx.compare, gradients=False), verify]
)
def test_oracle_sees_a_lost_regularizer(ask):
    model = net(dict, not_called)
    comparison = ask(model, without_regularizers(model))
    assert not comparison
    assert "1 losses became 0" in str(comparison)


def test_lost_loss_is_not_returned(monkeypatch):
    monkeypatch.setattr(sys.modules["kerasfx.tracing.attempt"], "tie_unused", lambda session: None)
    model = net(lambda: {"other": built_dense(kernel_regularizer="l2")}, not_called)
    with pytest.raises(NotEquivalentError, match="2 losses became 1"):
        kerasfx.prepare_model(model, keras.Input((4,)))

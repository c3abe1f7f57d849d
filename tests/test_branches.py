"""Both sides of `if training:` come together where the `if` ends, and one of them runs."""

import keras
import numpy as np
import pytest
from fitting import WAYS_TO_MAKE_AGAIN, losses_of_fit, made_again
from keras import layers, ops
from predicting import predicted

import kerasfx
from kerasfx.errors import InferenceRefusedError, TrainingRefusedError

X = np.random.default_rng(0).random((4, 6), "float32")


class Draws(layers.Layer):
    """An opened layer that draws, and adds a loss."""

    def __init__(self):
        super().__init__()
        self.seeds = keras.random.SeedGenerator(5)

    def call(self, x):
        self.add_loss(ops.mean(x))
        return x + keras.random.normal(ops.shape(x), seed=self.seeds)


class Net(keras.Model):
    """Has what the functions below call."""

    def __init__(self, function):
        super().__init__(name="net")
        self.function = function
        self.noise = layers.GaussianNoise(0.5, seed=1)
        self.drop = layers.Dropout(0.3, seed=2)
        self.norm = layers.BatchNormalization(momentum=0.5)
        self.other = layers.BatchNormalization(momentum=0.5)
        self.draws, self.more = Draws(), Draws()
        self.more.seeds = self.draws.seeds
        self.masking, self.rnn = layers.Masking(), layers.LSTM(4)
        self.steps, self.pool = layers.LSTM(4, return_sequences=True), layers.GlobalAveragePooling1D()
        self.norm3 = layers.BatchNormalization(momentum=0.5)
        self.wide = layers.Dense(6, activation="relu")
        self.head = layers.Dense(3, activity_regularizer="l2")

    def call(self, x, training=None):
        return self.function(self, x, training)


def augmented(net, x, training):
    if training:
        x = net.noise(x, training=training)
    x = net.drop(net.norm(net.wide(x), training=training), training=training)
    return net.head(x)


def several(net, x, training):
    y = x
    if training:
        y = net.noise(x)
    x = net.norm(net.wide(x) + y)
    if not training:
        x = x * 2.0
    return net.head(net.drop(ops.concatenate([x, y, x], axis=-1)))


def both_sides(net, x, training):
    x = net.norm(net.noise(x)) if training else net.wide(x) - 1.0
    return net.head(net.other(net.draws(x)))


def one_argument_of_two(net, x, training):
    y = net.noise(x) if training else x
    return net.head(net.norm(ops.add(x, y)))


def draws_between(net, x, training):
    if training:
        x = net.draws(x)
    return net.head(net.more(net.norm(x)))


def masked(net, x, training):
    x = ops.reshape(x, (-1, 3, 2))
    x = net.masking(x)
    if training:
        x = net.noise(x)
    return net.head(net.rnn(net.norm3(x)))


def masked_otherwise(net, x, training):
    x = ops.reshape(x, (-1, 3, 2))
    mask = ops.any(x > 0.3, axis=-1)
    if training:
        mask = ops.logical_and(mask, ops.any(x > 0.6, axis=-1))
    return net.head(net.pool(net.norm3(net.steps(x, mask=mask)), mask=mask))


def masked_otherwise_before_a_branch(net, x, training):
    x = ops.reshape(x, (-1, 3, 2))
    mask = ops.any(x > 0.3, axis=-1)
    if training:
        mask = ops.logical_and(mask, ops.any(x > 0.6, axis=-1))
    x = net.steps(x, mask=mask)
    if training:
        x = net.noise(x)
    return net.head(net.pool(x))


def a_loss_of_each_mode(net, x, training):
    x = net.wide(x)
    if training:
        net.add_loss(ops.mean(x))
    else:
        net.add_loss(ops.sum(x))
    return net.head(x)


CALLS = (
    augmented,
    several,
    both_sides,
    one_argument_of_two,
    draws_between,
    masked,
    masked_otherwise,
    a_loss_of_each_mode,
)


def prepared_from(function):
    model = Net(function)
    model(X)
    prepared = kerasfx.prepare_model(model)
    assert not kerasfx.report(prepared).opaque
    return model, prepared


@pytest.mark.parametrize("function", CALLS)
def test_what_follows_is_called_once(function):
    model, prepared = prepared_from(function)
    comparison = kerasfx.compare(model, prepared)
    assert comparison, comparison
    head = prepared.get_layer("head")
    assert len(head._inbound_nodes) == 1


@pytest.mark.parametrize("way", WAYS_TO_MAKE_AGAIN)
@pytest.mark.parametrize("function", [augmented, several, masked_otherwise, masked_otherwise_before_a_branch])
def test_it_trains_alike_made_again(function, way, tmp_path):
    model, prepared = prepared_from(function)
    y = np.zeros((4, 3), "float32")
    again = made_again(prepared, way, tmp_path)
    np.testing.assert_allclose(losses_of_fit(again, (X, y)), losses_of_fit(model, (X, y)), rtol=1e-4)


class Counted(layers.Layer):
    """Counts the calls on real tensors."""

    calls = 0

    def call(self, x):
        type(self).calls += not isinstance(x, keras.KerasTensor)
        return x * 1.0


@pytest.mark.parametrize("training", [False, True, None])
def test_one_side_runs(training):
    counted = Counted()
    model = Net(lambda net, x, training: counted(net.head(x)) if training else net.head(x))
    model.counted = counted
    model(X)
    prepared = kerasfx.prepare_model(model, leaves=[Counted])
    Counted.calls = 0
    prepared(X) if training is None else prepared(X, training=training)
    assert Counted.calls == bool(training)


def test_nothing_of_the_other_side_is_compiled():
    counted = Counted()
    model = Net(lambda net, x, training: counted(net.head(x)) if training else net.head(x))
    model.counted = counted
    model(X)
    prepared = kerasfx.prepare_model(model, leaves=[Counted])
    Counted.calls = 0
    prepared.predict(X, verbose=0)
    assert Counted.calls == 0


def refuses(net, x, training):
    x = net.norm(net.wide(x), training=training)
    if training:
        raise NotImplementedError("Inference only.")
    return net.head(x)


def wants_training(net, x, training):
    if not training:
        raise ValueError("Training only.")
    return net.head(net.noise(x))


def wraps(net, x, training):
    if training:
        try:
            return float(ops.sum(x)) * x
        except Exception as error:
            raise ValueError("wrapped") from error
    return net.head(x)


class TestRaised:
    def test_in_training(self, tmp_path):
        model, prepared = prepared_from(refuses)
        (warning,) = [f for f in kerasfx.report(prepared).of_kind("warning") if "Inference only" in f.what]
        assert "cannot be trained" in warning.what
        assert 'raise NotImplementedError("Inference only.")' in warning.source.text
        comparison = kerasfx.compare(model, prepared)
        assert comparison, comparison
        for way in WAYS_TO_MAKE_AGAIN:
            again = made_again(prepared, way, tmp_path)
            np.testing.assert_allclose(predicted(again, X), predicted(model, X), rtol=1e-5)
            with pytest.raises(TrainingRefusedError, match="Inference only"):
                again(X, training=True)

    def test_in_inference(self):
        model = Net(wants_training)
        model(X, training=True)
        prepared = kerasfx.prepare_model(model, X)
        comparison = kerasfx.compare(model, prepared)
        assert comparison, comparison
        assert np.shape(prepared(X, training=True)) == (4, 3)
        for call in (lambda: prepared(X), lambda: prepared.predict(X, verbose=0)):
            with pytest.raises(InferenceRefusedError, match="Training only"):
                call()

    def test_while_something_else_is_handled(self):
        model = Net(refuses)
        model(X)
        try:
            raise LookupError("of nobody's concern here")
        except LookupError:
            prepared = kerasfx.prepare_model(model, X)
        np.testing.assert_allclose(predicted(prepared, X), predicted(model, X), rtol=1e-5)

    def test_what_cannot_be_traced_is_not_what_is_raised(self):
        model = Net(wraps)
        model(X)
        with pytest.raises(ValueError, match="wrapped"):
            kerasfx.prepare_model(model)

    def test_inside_a_layer_that_does_not_ask(self):
        class Inner(layers.Layer):
            def call(self, x):
                raise NotImplementedError("Not yet.")

        inner = Inner()
        model = Net(lambda net, x, training: inner(x) if training else net.head(x))
        model.inner = inner
        model(X)
        prepared = kerasfx.prepare_model(model)
        assert not kerasfx.report(prepared).opaque
        with pytest.raises(TrainingRefusedError, match="Not yet"):
            prepared(X, training=True)


def test_what_was_found_before_a_branch_stays_in_the_report():
    _, prepared = prepared_from(several)
    assert any("float32 is assumed" in f.what for f in kerasfx.report(prepared).of_kind("warning"))


@pytest.mark.parametrize("said", [True, 1, 1.0, np.True_], ids=repr)
def test_training_that_is_compared_with_a_number_is_asked(said):
    class Asks(keras.Model):
        def call(self, x, training=False):
            return x * 3.0 if training == said else x

    model = Asks()
    model(X)
    prepared = kerasfx.prepare_model(model, X)
    for training in (False, True):
        ours, theirs = (ops.convert_to_numpy(m(X, training=training)) for m in (model, prepared))
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("join", [layers.Add, layers.Average, layers.Concatenate], ids=lambda x: x.__name__)
def test_the_mask_of_a_layer_that_each_mode_makes_anew(join):
    """Keras computes the mask of its result behind it, from what both modes have in common."""

    class Joins(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding = layers.Embedding(9, 4, mask_zero=True)
            self.first, self.second = layers.LSTM(3), layers.LSTM(3)

        def call(self, ids, training=None):
            tokens = self.embedding(ids)
            x = join()([tokens, tokens])
            joined = self.first(x)
            x = x * 2.0
            if training:
                x = x + 1.0
            return joined, self.second(join()([x, x]))

    model, ids = Joins(), np.array([[1, 2, 0, 0], [3, 4, 5, 0]])
    model(ids)
    comparison = kerasfx.compare(model, kerasfx.prepare_model(model, ids))
    assert comparison, str(comparison)


def changed_alike(net, x, training):
    h = x * 1.0
    h += 0.5
    return (ops.tanh(h) if training else net.wide(h)), h


def changed_otherwise(net, x, training):
    h = x * 1.0
    if training:
        h += 0.5
    else:
        h += 0.7
    return h, net.head(h)


def changed_in_training(net, x, training):
    h = x * 1.0
    if training:
        h += 0.5
    return h, net.head(h)


def changed_again(net, x, training):
    h = x * 1.0
    h += 0.5
    y = h if training else net.wide(h)
    h += 1.0
    return y, h


@pytest.mark.parametrize("function", [changed_alike, changed_otherwise, changed_in_training, changed_again])
def test_what_is_changed_in_place_and_returned(function):
    """PyTorch changes the tensor; each side has its own by the time it returns it."""
    model = Net(function)
    for training in (False, True):
        model(X, training=training)
    prepared = kerasfx.prepare_model(model, X, verify=False)
    comparison = kerasfx.compare(model, prepared)
    assert comparison, str(comparison)

"""What acts in both modes and is used in one alone acts in both modes of the result as well."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerasfx


class StatisticsBeforeTheBranch(keras.Model):
    """The statistics move in every call that trains; their result is used in training alone."""

    def __init__(self):
        super().__init__()
        self.norm, self.dense = layers.BatchNormalization(), layers.Dense(3)

    def call(self, x, training=None):
        normed = self.norm(x, training=True)
        if training:
            x = normed
        return self.dense(x)


class DrawBeforeTheBranch(keras.Model):
    """Numbers are drawn in every call, and added in training alone."""

    def __init__(self):
        super().__init__()
        self.dense, self.seed = layers.Dense(3), keras.random.SeedGenerator(7)

    def call(self, x, training=None):
        noise = keras.random.normal(ops.shape(x), seed=self.seed)
        if training:
            x = x + noise
        return self.dense(x)


class ActivityBeforeTheBranch(keras.Model):
    """The activity of a layer is a loss of every call."""

    def __init__(self):
        super().__init__()
        self.side, self.dense = layers.Dense(4, activity_regularizer="l2"), layers.Dense(3)

    def call(self, x, training=None):
        side = self.side(x)
        if not training:
            x = x + side
        return self.dense(x)


class DrawForALossOfTraining(keras.Model):
    """Numbers are drawn in every call, for a loss that is added in training alone."""

    def __init__(self):
        super().__init__()
        self.dense, self.seed = layers.Dense(3), keras.random.SeedGenerator(7)

    def call(self, x, training=None):
        noise = keras.random.normal(ops.shape(x), seed=self.seed)
        if training:
            self.add_loss(ops.mean(x * noise))
        return self.dense(x)


class StatisticsForTheOtherSide(keras.Model):
    """The statistics move in training alone, where nothing takes their result, since inference returns it."""

    def __init__(self):
        super().__init__()
        self.norm, self.dense = layers.BatchNormalization(), layers.Dense(4)

    def call(self, x, training=None):
        h = self.norm(x, training=True) if training else x
        halved = h * 0.5
        return self.dense(x) if training else halved


class ActivityForTheOtherSide(keras.Model):
    """The activity of a layer is a loss of inference alone, where nothing takes its result."""

    def __init__(self):
        super().__init__()
        self.side, self.dense = layers.Dense(4, activity_regularizer="l2"), layers.Dense(4)

    def call(self, x, training=None):
        h = x if training else self.side(x)
        halved = h * 0.5
        return halved if training else self.dense(x)


class StatisticsThatAlwaysMove(keras.Model):
    """A fixed `training=True` on the side of inference, whose result nobody takes, or one side does."""

    def __init__(self):
        super().__init__()
        self.norm, self.other = (layers.BatchNormalization(momentum=0.5) for _ in range(2))
        self.noise, self.dense = layers.GaussianNoise(0.5, seed=1), layers.Dense(4)

    def call(self, x, training=None):
        if training:
            self.norm(x, training=True)
            x = self.noise(x)
        else:
            self.norm(x * 2.0, training=True)
            x = self.noise(self.other(x, training=True), training=True)
        return self.other(self.dense(x))


def state(model):
    return sorted(float(np.sum(ops.convert_to_numpy(v))) for v in model.non_trainable_variables)


@pytest.mark.parametrize(
    "make",
    [
        StatisticsBeforeTheBranch,
        DrawBeforeTheBranch,
        ActivityBeforeTheBranch,
        DrawForALossOfTraining,
        StatisticsForTheOtherSide,
        ActivityForTheOtherSide,
        StatisticsThatAlwaysMove,
    ],
)
def test_it_acts_in_each_kind_of_call(make):
    x = np.random.default_rng(0).standard_normal((5, 4)).astype("float32")
    net = make()
    net(x)
    prepared = kerasfx.prepare_model(net, x)
    assert not kerasfx.report(prepared).opaque
    for mode in ({}, {"training": False}, {"training": True}):
        outputs = [ops.convert_to_numpy(model(x, **mode)) for model in (net, prepared)]
        np.testing.assert_allclose(*outputs, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(state(net), state(prepared), rtol=1e-5)
        losses = [sum(float(ops.convert_to_numpy(x)) for x in model.losses) for model in (net, prepared)]
        np.testing.assert_allclose(*losses, rtol=1e-5)
    assert kerasfx.compare(net, prepared), str(kerasfx.compare(net, prepared))

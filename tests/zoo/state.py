"""Layers that remember, draw or measure, as users write them."""

import keras
from keras import layers, ops

from zoo.case import Case, around_one, case, floats


def net(layer, width=6):
    """A model that hands `training` to `layer`, between two Dense layers."""

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.first = layers.Dense(width)
            self.layer = layer
            self.last = layers.Dense(3)

        def call(self, x, training=None):
            return self.last(self.layer(self.first(x), training=training))

    return Net()


@case
def draws_with_a_number_for_a_seed():
    """The same draw at every call."""

    class Noise(layers.Layer):
        def call(self, x):
            return x + keras.random.normal(ops.shape(x), seed=4) * keras.random.uniform((6,), seed=3)

    return Case(net(Noise()), floats(3, 5))


@case
def variational_autoencoder():
    """A `Sampling` layer whose noise has the shape of the batch, and a divergence as a loss."""

    class Sampling(layers.Layer):
        def __init__(self):
            super().__init__()
            self.seed_generator = keras.random.SeedGenerator(5)

        def call(self, inputs):
            mean, log_variance = inputs
            batch, width = ops.shape(mean)[0], ops.shape(mean)[1]
            noise = keras.random.normal(shape=(batch, width), seed=self.seed_generator)
            return mean + ops.exp(0.5 * log_variance) * noise

    class Autoencoder(keras.Model):
        def __init__(self):
            super().__init__()
            self.mean, self.log_variance = layers.Dense(2), layers.Dense(2)
            self.sampling = Sampling()
            self.decoder = layers.Dense(5)

        def call(self, x):
            mean, log_variance = self.mean(x), self.log_variance(x)
            self.add_loss(-0.5 * ops.mean(1 + log_variance - mean**2 - ops.exp(log_variance)))
            return self.decoder(self.sampling([mean, log_variance]))

    return Case(Autoencoder(), floats(3, 5))


@case
def dropout_subclasses():
    """One drops in inference as well, the other scales what Dropout returns."""

    class Always(layers.Dropout):
        def call(self, x, training=None):
            return super().call(x, training=True)

    class Half(layers.Dropout):
        def call(self, x, training=False):
            return 0.5 * super().call(x, training=training)

    return Case(net(keras.Sequential([Always(0.3, seed=1), Half(0.4, seed=2)])), floats(3, 5))


@case
def batch_normalization_subclass():
    """A subclass adds to what BatchNormalization returns."""

    class Shifted(layers.BatchNormalization):
        def call(self, x, training=None, mask=None):
            return super().call(x, training=training) + 1.0

    return Case(net(Shifted()), floats(3, 5))


@case
def step_counter_that_changes_a_branch():
    """`ops.cond` asks a counter that goes up in training only."""

    class Warmup(layers.Layer):
        def build(self, input_shape):
            options = {"dtype": "int32", "initializer": "zeros", "trainable": False}
            self.step = self.add_weight(shape=(), name="step", **options)

        def call(self, x, training=None):
            if training:
                self.step.assign_add(1)
            return ops.cond(self.step < 1, lambda: x, lambda: x * 2.0)

    return Case(net(Warmup()), floats(3, 5), inert=("step",))


@case
def vector_quantizer():
    """A codebook that follows its input in training, a commitment loss, a straight-through gradient."""

    class Quantizer(layers.Layer):
        def build(self, input_shape):
            def state(name, *shape, initializer="zeros"):
                return self.add_weight(shape=shape, initializer=initializer, trainable=False, name=name)

            self.codes = state("codes", 6, 5, initializer=keras.initializers.RandomNormal(seed=1))
            self.counts = state("counts", 5, initializer="ones")
            self.sums = state("sums", 6, 5)

        def call(self, x, training=None):
            distances = ops.sum(self.codes**2, axis=0) - 2 * ops.matmul(x, self.codes)
            chosen = ops.one_hot(ops.argmin(distances, axis=1), 5)
            quantized = ops.matmul(chosen, ops.transpose(self.codes))
            if training:
                self.counts.assign(self.counts * 0.9 + 0.1 * ops.sum(chosen, axis=0))
                self.sums.assign(self.sums * 0.9 + 0.1 * ops.matmul(ops.transpose(x), chosen))
                self.codes.assign(self.sums / (self.counts + 1e-3))
            self.add_loss(ops.mean((ops.stop_gradient(quantized) - x) ** 2))
            return x + ops.stop_gradient(quantized - x)

    # What the codebook becomes in training is seen by the next call.
    return Case(net(Quantizer()), floats(3, 5), inert=("counts", "sums"))


@case
def spectral_normalization_by_hand():
    """A power iteration in training divides the kernel of a Dense by its largest singular value."""

    class Normalized(layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = layers.Dense(6)

        def build(self, input_shape):
            self.inner.build(input_shape)
            self.u = self.add_weight(shape=(1, 6), initializer=around_one(), trainable=False)

        def call(self, x, training=None):
            if training:
                kernel = self.inner.kernel
                v = ops.normalize(ops.matmul(self.u, ops.transpose(kernel)), axis=-1)
                u = ops.normalize(ops.matmul(v, kernel), axis=-1)
                self.u.assign(u)
                kernel.assign(kernel / ops.matmul(ops.matmul(v, kernel), ops.transpose(u)))
            return self.inner(x)

    return Case(net(Normalized()), floats(3, 5))


@case
def metrics_updated_in_call():
    """One metric is updated in both modes, by two calls; another in training, with a mask and weights."""

    class Measured(layers.Layer):
        def __init__(self):
            super().__init__()
            self.size = keras.metrics.Mean(name="size")
            self.error = keras.metrics.MeanSquaredError(name="error")

        def call(self, x, training=None):
            self.size.update_state(ops.abs(x))
            if training:
                self.error.update_state(x, x * 2, sample_weight=ops.abs(x[:, 0]))
            self.size.update_state(x)
            return x * 2.0

    return Case(net(Measured()), floats(3, 5))


@case
def metric_of_another_class():
    """A metric whose class is the user's keeps its layer whole."""

    class Total(keras.metrics.Metric):
        def __init__(self, name="total"):
            super().__init__(name=name)
            self.total = self.add_variable(shape=(), initializer="zeros", name="total")

        def update_state(self, x):
            self.total.assign_add(ops.sum(x))

        def result(self):
            return self.total

    @keras.saving.register_keras_serializable("zoo")
    class Totalled(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.total = Total()

        def call(self, x):
            self.total.update_state(x)
            return x * 2.0

    return Case(net(Totalled()), floats(3, 5), expect_opaque=("Totalled",))


@case
def training_by_default():
    """`training=True` is the default of a layer, in a model that passes none."""

    @keras.saving.register_keras_serializable("zoo")
    class Eager(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dropout = layers.Dropout(0.5, seed=2)

        def call(self, x, training=True):
            return self.dropout(x, training=training)

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.eager, self.dense = Eager(), layers.Dense(3)

        def call(self, x):
            return self.dense(self.eager(x))

    return Case(Net(), floats(3, 5))


@case
def training_is_true():
    """`training is True` asks about identity, which no stand-in can answer."""

    @keras.saving.register_keras_serializable("zoo")
    class Identity(layers.Layer):
        def call(self, x, training=None):
            return x * 2.0 if training is True else x

    return Case(net(Identity()), floats(3, 5), expect_opaque=("Identity",))


@case
def training_as_a_number():
    """`training` is an operand: cast, chosen by, counted with."""

    class Number(layers.Layer):
        def call(self, x, training=False):
            scale = 1 + int(bool(training))
            mode = training or False
            return ops.where(mode, x * 2.0, x) * scale + ops.cast(mode, "float32")

    return Case(net(Number()), floats(3, 5))

"""Training: the `training` argument, random draws, state, frozen layers, and losses."""

import keras
from keras import ops

from zoo.case import (
    VOCABULARY,
    Case,
    around_one,
    batch_normalization,
    case,
    floats,
    functional,
    layer_normalization,
    tokens,
)

# --- The argument --------------------------------------------------------------------------


@case
def training_forwarded():
    """`training` is an argument of every `call` and is handed on by hand."""

    class Block(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)
            self.bn = batch_normalization()
            self.dropout = keras.layers.Dropout(0.5)

        def call(self, x, training=None):
            return self.dropout(self.bn(self.dense(x), training=training), training=training)

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.block = Block()

        def call(self, x, training=None):
            return self.block(x, training=training)

    return Case(Outer(), floats(3, 5))


@case
def training_forwarded_positionally_with_a_false_default():
    """`call(self, x, training=False)`, and a block that gets it by position in `**options`."""

    class Block(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.dropout = keras.layers.Dropout(0.5)
            self.dense = keras.layers.Dense(4)

        def call(self, x, training=False):
            return self.dense(self.dropout(x, training=training))

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.block = Block()

        def call(self, x, training=False):
            options = {"training": training}
            return self.block(x, **options)

    return Case(Outer(), floats(3, 5))


@case
def training_from_the_context():
    """No `call` has a `training` argument: Keras finds it in the call context."""

    class Block(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.bn = batch_normalization()
            self.dropout = keras.layers.Dropout(0.5)

        def call(self, x):
            return self.dropout(self.bn(x))

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)
            self.block = Block()

        def call(self, x):
            return self.block(self.dense(x))

    return Case(Outer(), floats(3, 5))


@case
def training_fixed_to_true():
    """Monte Carlo dropout: `training=True` is written in `call`."""

    class MonteCarlo(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(8)
            self.always = keras.layers.Dropout(0.5, seed=1)
            self.sometimes = keras.layers.Dropout(0.5, seed=2)

        def call(self, x, training=None):
            return self.sometimes(self.always(self.dense(x), training=True), training=training)

    return Case(MonteCarlo(), floats(3, 5))


@case
def training_fixed_to_false():
    """Fine-tuning: a nested model is called with `training=False`."""
    inputs = keras.Input((5,))
    hidden = keras.layers.Dropout(0.5)(batch_normalization()(keras.layers.Dense(4)(inputs)))
    backbone = keras.Model(inputs, hidden)

    class FineTuned(keras.Model):
        def __init__(self):
            super().__init__()
            self.backbone = backbone
            self.dropout = keras.layers.Dropout(0.5)
            self.head = keras.layers.Dense(2)

        def call(self, x):
            return self.head(self.dropout(self.backbone(x, training=False)))

    return Case(FineTuned(), floats(3, 5))


@case
def training_fixed_in_a_functional_graph():
    """A Functional model was built with `layer(x, training=False)` on one of its nodes."""
    inputs = keras.Input((5,))
    hidden = batch_normalization()(inputs, training=False)
    hidden = keras.layers.Dropout(0.5)(hidden, training=True)
    outputs = keras.layers.Dropout(0.5)(keras.layers.Dense(4)(hidden))
    return Case(keras.Model(inputs, outputs), floats(3, 5), needs_input=False)


@case
def python_branch_on_training():
    """A Python `if training` adds a term in training only."""

    class Annealed(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)
            self.auxiliary = keras.layers.Dense(4)

        def build(self, input_shape):
            self.dense.build(input_shape)
            self.auxiliary.build(input_shape)

        def call(self, x, training=None):
            y = self.dense(x)
            if training:
                y = y + self.auxiliary(x)
            return y

    model = functional(Annealed(), floats(3, 5))
    return Case(model, floats(3, 5), needs_input=False)


@case
def sizes_asked_in_both_modes():
    """A branch on `training` in a layer that asks about the size of a result of its own."""

    class Padded(keras.layers.Layer):
        def call(self, x, training=None):
            joined = ops.concatenate([x, x], axis=1)
            x = joined if ops.shape(joined)[1] > 5 else x
            x = ops.exp(x) if training else ops.tanh(x)
            return x * ops.cast(ops.shape(x)[1], "float32")

    return Case(functional(Padded(), floats(3, 4, 2)), floats(3, 4, 2))


# --- Dropout and BatchNormalization --------------------------------------------------------


@case
def dropout_kinds():
    """Dropout with and without noise shape and seed, SpatialDropout, GaussianNoise."""

    class Noisy(keras.Model):
        def __init__(self):
            super().__init__()
            self.plain = keras.layers.Dropout(0.5)
            self.seeded = keras.layers.Dropout(0.5, seed=7)
            self.rows = keras.layers.Dropout(0.5, noise_shape=(None, 1, 4))
            self.spatial = keras.layers.SpatialDropout1D(0.5)
            self.gaussian = keras.layers.GaussianNoise(0.5)

        def call(self, x):
            return [self.plain(x), self.seeded(x), self.rows(x), self.gaussian(self.spatial(x))]

    return Case(Noisy(), floats(3, 7, 4))


@case
def dropouts_with_equal_seeds():
    """Two Dropout layers have the same seed and draw the same masks."""

    class SameSeed(keras.Model):
        def __init__(self):
            super().__init__()
            self.first = keras.layers.Dropout(0.5, seed=5)
            self.second = keras.layers.Dropout(0.5, seed=5)

        def call(self, x):
            return [self.first(x), self.second(x + 1.0)]

    return Case(SameSeed(), floats(3, 8))


@case
def dropout_of_rate_zero():
    """Dropout of rate 0 and a Dropout that is `None`: nothing to keep, nothing to break."""

    class NoDropout(keras.Model):
        def __init__(self):
            super().__init__()
            self.dropout = keras.layers.Dropout(0.0)
            self.other = None
            self.dense = keras.layers.Dense(4)

        def call(self, x):
            y = self.dropout(self.dense(x))
            return y if self.other is None else self.other(y)

    return Case(NoDropout(), floats(3, 5))


@case
def batch_normalization_in_both_modes():
    """Convolution and BatchNormalization with running statistics that are not trivial."""

    class ConvNet(keras.Model):
        def __init__(self):
            super().__init__()
            self.conv = keras.layers.Conv2D(4, 3)
            self.bn = batch_normalization(momentum=0.8)

        def call(self, x):
            return ops.relu(self.bn(self.conv(x)))

    return Case(ConvNet(), floats(3, 7, 6, 2))


@case
def dropout_called_for_a_short_and_for_a_long_way():
    """The second draw of a layer is on the longer way to the output, where Keras would compute it first."""

    class TwoWays(keras.Model):
        def __init__(self):
            super().__init__()
            self.dropout = keras.layers.Dropout(0.5, seed=3)
            self.first, self.second = keras.layers.Dense(4), keras.layers.Dense(5)

        def call(self, x, training=None):
            short = self.dropout(x, training=training)
            long = self.dropout(x + 1, training=training)
            return self.second(self.first(long)) + short

    return Case(TwoWays(), floats(3, 5))


@case
def batch_normalization_called_twice():
    """One BatchNormalization is called at two places: its statistics move twice."""

    class SharedStatistics(keras.Model):
        def __init__(self):
            super().__init__()
            self.bn = batch_normalization()
            self.dense = keras.layers.Dense(4)

        def call(self, x):
            return self.bn(self.dense(self.bn(x)) + x)

    return Case(SharedStatistics(), floats(3, 4))


@case
def batch_normalization_with_a_mask():
    """BatchNormalization leaves masked steps out of its statistics."""

    class MaskedStatistics(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding = keras.layers.Embedding(VOCABULARY, 4, mask_zero=True)
            self.bn = batch_normalization()

        def call(self, ids):
            return self.bn(self.embedding(ids))

    ids = tokens(3, 7)
    ids[:, 5:] = 0
    return Case(MaskedStatistics(), ids)


@case
def normalization_layers_with_statistics():
    """`Normalization` with fixed statistics, GroupNormalization, UnitNormalization."""

    class Normalizers(keras.Model):
        def __init__(self):
            super().__init__()
            self.fixed = keras.layers.Normalization(mean=[0.3] * 6, variance=[2.0] * 6)
            # Built while Keras traces on JAX, this layer would keep tracers.
            self.fixed.build((None, 7, 6))
            self.group = keras.layers.GroupNormalization(2, gamma_initializer=around_one())
            self.unit = keras.layers.UnitNormalization()

        def call(self, x):
            return self.unit(self.group(self.fixed(x)))

    return Case(Normalizers(), floats(3, 7, 6))


@case
def spectral_normalization():
    """The SpectralNormalization wrapper changes its vectors and its kernel in training."""

    class Discriminator(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.SpectralNormalization(keras.layers.Dense(6))

        def call(self, x):
            return self.dense(x)

    return Case(Discriminator(), floats(3, 4), inert=("vector_u",))


# --- Frozen sublayers ----------------------------------------------------------------------


@case
def frozen_sublayer():
    """A Dense has `trainable=False`, its neighbour has not."""

    class HalfFrozen(keras.Model):
        def __init__(self):
            super().__init__()
            self.frozen = keras.layers.Dense(4)
            self.frozen.trainable = False
            self.free = keras.layers.Dense(2)

        def call(self, x):
            return self.free(self.frozen(x))

    return Case(HalfFrozen(), floats(3, 5))


@case
def frozen_batch_normalization():
    """A frozen BatchNormalization runs in inference mode, also in training."""

    class FrozenStatistics(keras.Model):
        def __init__(self):
            super().__init__()
            self.bn = batch_normalization(trainable=False)
            self.free = batch_normalization()

        def call(self, x):
            return self.free(ops.tanh(self.bn(x)))

    return Case(FrozenStatistics(), floats(3, 4))


@case
def frozen_custom_block():
    """A custom block with its own weight and a Dropout is frozen as a whole."""

    class Block(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)
            self.bn = batch_normalization()
            self.dropout = keras.layers.Dropout(0.5)

        def build(self, input_shape):
            self.dense.build(input_shape)
            self.bn.build(input_shape)
            self.scale = self.add_weight(shape=(4,), initializer=around_one())

        def call(self, x):
            return self.dropout(self.bn(self.dense(x) * self.scale))

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.block = Block()
            self.block.trainable = False
            self.head = keras.layers.Dense(2)

        def call(self, x):
            return self.head(self.block(x))

    return Case(Outer(), floats(3, 4))


@case
def weight_that_is_not_trainable():
    """A custom layer owns one trainable weight and one that is not."""

    class Partly(keras.layers.Layer):
        def build(self, input_shape):
            self.free = self.add_weight(shape=(4,), initializer=around_one())
            self.fixed = self.add_weight(shape=(4,), initializer="random_normal", trainable=False)

        def call(self, x):
            return x * self.free + self.fixed

    return Case(functional(Partly(), floats(3, 4)), floats(3, 4), needs_input=False)


# --- Losses, regularizers, constraints -----------------------------------------------------


@case
def activity_regularizers():
    """Built-in layers with activity regularizers, and the ActivityRegularization layer."""

    class Sparse(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding = keras.layers.Embedding(VOCABULARY, 4, activity_regularizer="l2")
            self.dense = keras.layers.Dense(5, activity_regularizer=keras.regularizers.L1(0.1))
            self.activity = keras.layers.ActivityRegularization(l1=0.2, l2=0.3)

        def call(self, ids):
            return self.activity(self.dense(self.embedding(ids)))

    return Case(Sparse(), tokens(3, 7))


@case
def activity_regularizer_of_a_shared_layer():
    """A Dense with an activity regularizer is called twice: two losses."""

    class SharedLoss(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4, activity_regularizer=keras.regularizers.L2(0.1))

        def call(self, x):
            return self.dense(ops.tanh(self.dense(x)))

    return Case(SharedLoss(), floats(3, 4))


@case
def regularizers_and_constraints():
    """Weights of built-in and custom layers have regularizers and constraints."""

    class Regularized(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4, kernel_regularizer="l2", bias_constraint="non_neg")

        def build(self, input_shape):
            self.dense.build(input_shape)
            self.scale = self.add_weight(
                shape=(4,),
                initializer=around_one(),
                regularizer=keras.regularizers.L1(0.3),
                constraint=keras.constraints.MaxNorm(2.0),
            )

        def call(self, x):
            return self.dense(x) * self.scale

    return Case(functional(Regularized(), floats(3, 5)), floats(3, 5), needs_input=False)


@case
def functions_of_the_users_in_layers_of_keras():
    """Activations, regularizers and constraints are the user's, also inside of a wrapper."""

    class Around(keras.regularizers.Regularizer):
        def __call__(self, w):
            return 0.1 * ops.sum(ops.square(w - 1.0))

    class Within(keras.constraints.Constraint):
        def __call__(self, w):
            return ops.clip(w, -1.0, 1.0)

    def bent(x):
        return ops.tanh(x) * 0.5 + x

    class Foreign(keras.Model):
        def __init__(self):
            super().__init__()
            self.conv = keras.layers.Conv1D(
                4, 2, activation=bent, kernel_regularizer=Around(), bias_constraint=Within()
            )
            self.dense = keras.layers.Dense(3, activation=bent, activity_regularizer=Around())
            self.each = keras.layers.TimeDistributed(keras.layers.Dense(2, activation=bent))

        def call(self, x):
            return self.each(self.dense(self.conv(x)))

    return Case(Foreign(), floats(3, 4, 4))


@case
def loss_added_by_a_custom_layer():
    """A custom layer calls `self.add_loss` with a tensor of its input."""

    class Penalty(keras.layers.Layer):
        def build(self, input_shape):
            self.scale = self.add_weight(shape=(4,), initializer=around_one())

        def call(self, x):
            y = x * self.scale
            self.add_loss(0.1 * ops.mean(ops.square(y)))
            return y

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)
            self.penalty = Penalty()

        def call(self, x):
            return self.penalty(self.dense(x))

    return Case(Outer(), floats(3, 5))


# --- Random draws and state of custom layers -----------------------------------------------


@case
def random_draw_of_a_custom_layer():
    """A variational layer draws noise with its own SeedGenerator, in both modes."""

    class Sampling(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.generator = keras.random.SeedGenerator(11)

        def call(self, moments):
            mean, log_variance = moments
            noise = keras.random.normal(ops.shape(mean), seed=self.generator)
            return mean + ops.exp(0.5 * log_variance) * noise

    class Encoder(keras.Model):
        def __init__(self):
            super().__init__()
            self.mean = keras.layers.Dense(4)
            self.log_variance = keras.layers.Dense(4)
            self.sampling = Sampling()

        def call(self, x):
            return self.sampling((self.mean(x), self.log_variance(x)))

    return Case(Encoder(), floats(3, 5))


@case
def one_seed_generator_for_two_layers():
    """Two custom layers draw from one SeedGenerator, which advances between them."""

    class Noise(keras.layers.Layer):
        def __init__(self, generator):
            super().__init__()
            self.generator = generator

        def call(self, x):
            return x + keras.random.uniform(ops.shape(x), seed=self.generator)

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            generator = keras.random.SeedGenerator(17)
            self.first = Noise(generator)
            self.second = Noise(generator)
            self.dense = keras.layers.Dense(4)

        def call(self, x):
            return self.second(self.dense(self.first(x)))

    return Case(Outer(), floats(3, 5))


@case
def drop_path():
    """Stochastic depth: a custom layer drops whole rows, in training only."""

    class DropPath(keras.layers.Layer):
        def __init__(self, rate):
            super().__init__()
            self.rate = rate
            self.generator = keras.random.SeedGenerator(13)

        def call(self, x, training=None):
            if not training:
                return x
            shape = (ops.shape(x)[0],) + (1,) * (len(x.shape) - 1)
            kept = ops.floor(1.0 - self.rate + keras.random.uniform(shape, seed=self.generator))
            return x / (1.0 - self.rate) * kept

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)
            self.normalize = layer_normalization()
            self.drop_path = DropPath(0.5)

        def call(self, x):
            return x + self.drop_path(self.normalize(self.dense(x)))

    return Case(Outer(), floats(3, 7, 4))


@case
def state_updated_by_a_custom_layer():
    """A custom layer counts its calls and uses the count, in both modes."""

    class Counter(keras.layers.Layer):
        def build(self, input_shape):
            self.count = self.add_weight(shape=(), initializer="zeros", trainable=False)

        def call(self, x):
            self.count.assign_add(1.0)
            return x / self.count

    return Case(functional(Counter(), floats(3, 4)), floats(3, 4), needs_input=False)


@case
def moving_average_of_a_custom_layer():
    """A custom layer assigns a moving average of its input, in both modes."""

    class Centre(keras.layers.Layer):
        def build(self, input_shape):
            self.average = self.add_weight(
                shape=(input_shape[-1],), initializer="random_normal", trainable=False
            )

        def call(self, x):
            centred = x - self.average
            self.average.assign(0.9 * self.average + 0.1 * ops.mean(x, axis=0))
            return centred + self.average * 2.0

    return Case(functional(Centre(), floats(3, 4)), floats(3, 4), needs_input=False)

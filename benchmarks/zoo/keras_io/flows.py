"""Flows, mixture densities and adversarial pairs for data that is no image."""

from __future__ import annotations

import math

import keras
import numpy as np
from keras import layers, ops

from benchmarks.zoo.example import BATCH, Example, Tensor, normal


def coupling(width: int, dimensions: int) -> tuple[layers.Layer, layers.Layer]:
    """What a coupling layer scales and shifts by."""
    regularizer = keras.regularizers.L2(0.01)
    x = keras.Input((dimensions,))
    scale = shift = x
    for _ in range(2):
        scale = layers.Dense(width, activation="relu", kernel_regularizer=regularizer)(scale)
        shift = layers.Dense(width, activation="relu", kernel_regularizer=regularizer)(shift)
    scale = layers.Dense(dimensions, activation="tanh", kernel_regularizer=regularizer)(scale)
    shift = layers.Dense(dimensions, activation="linear", kernel_regularizer=regularizer)(shift)
    return keras.Model(inputs=x, outputs=[scale, shift])


class RealNVP(keras.Model):
    """Masked affine couplings, run backwards in training and forwards otherwise."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.masks = np.array([[0, 1], [1, 0]] * (number // 2), dtype="float32")
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.couplings = [coupling(8, 2) for _ in range(number)]

    @property
    def metrics(self):
        return [self.loss_tracker]

    def call(self, x, training=True):
        log_det = 0
        direction = -1 if training else 1
        for i in range(self.number)[::direction]:
            kept = x * self.masks[i]
            reversed_mask = 1 - self.masks[i]
            s, t = self.couplings[i](kept)
            s = s * reversed_mask
            t = t * reversed_mask
            gate = (direction - 1) / 2
            moved = x * ops.exp(direction * s) + direction * t * ops.exp(gate * s)
            x = moved * reversed_mask + kept
            log_det += gate * ops.sum(s, axis=1)
        return x, log_det

    def log_loss(self, data):
        y, log_det = self(data)
        log_prob = -0.5 * ops.sum(y**2, axis=-1) - math.log(2 * math.pi)
        return -ops.mean(log_prob + log_det)

    def train_step(self, data):
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = self.log_loss(data)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        self.loss_tracker.update_state(loss)
        return {"loss": self.loss_tracker.result()}

    def test_step(self, data):
        self.loss_tracker.update_state(self.log_loss(data))
        return {"loss": self.loss_tracker.result()}


def kio_real_nvp() -> Example:
    """generative/real_nvp."""
    return Example(RealNVP(4), (Tensor((BATCH, 2), normal()),))


class MixtureDensity(layers.Layer):
    """Means, positive deviations and mixing weights, side by side in one output."""

    def __init__(self, dimensions: int, mixtures: int) -> None:
        super().__init__()
        self.dimensions, self.mixtures = dimensions, mixtures
        with keras.name_scope("MDN"):
            self.mus = layers.Dense(mixtures * dimensions, name="mdn_mus")
            self.sigmas = layers.Dense(
                mixtures * dimensions,
                activation=lambda x: ops.elu(x) + 1 + keras.backend.epsilon(),
                name="mdn_sigmas",
            )
            self.pi = layers.Dense(mixtures, name="mdn_pi")

    def build(self, input_shape):
        for part in (self.mus, self.sigmas, self.pi):
            part.build(input_shape)
        super().build(input_shape)

    @property
    def trainable_weights(self):
        return self.mus.trainable_weights + self.sigmas.trainable_weights + self.pi.trainable_weights

    def call(self, x, mask=None):
        return layers.concatenate([self.mus(x), self.sigmas(x), self.pi(x)], name="mdn_outputs")


def mixture_loss(dimensions: int, mixtures: int):
    """The negative logarithm of the density."""

    def loss(true, outputs):
        mu, sigma, pi = ops.split(outputs, [mixtures * dimensions, 2 * mixtures * dimensions], axis=-1)
        logits = pi - ops.logsumexp(pi, axis=-1, keepdims=True)
        mu, sigma = (ops.reshape(a, (-1, mixtures, dimensions)) for a in (mu, sigma))
        z = (ops.expand_dims(true, 1) - mu) / sigma
        log_normal = ops.sum(-0.5 * z**2 - ops.log(sigma) - 0.5 * math.log(2 * math.pi), axis=-1)
        return -ops.logsumexp(logits + log_normal, axis=-1)

    return loss


def kio_mixture_density() -> Example:
    """keras_recipes/approximating_non_function_mappings."""
    model = keras.Sequential(
        [
            keras.Input((1,)),
            layers.Dense(16, activation="relu"),
            layers.Dense(16, activation="relu"),
            MixtureDensity(1, 3),
        ]
    )
    model.compile(loss=mixture_loss(1, 3), optimizer=keras.optimizers.Adam())
    return Example(model, (Tensor((BATCH, 1), normal()),), knows_inputs=True)


# Molecules from noise: generative/wgan-graphs

ATOMS, ATOM_KINDS, BOND_KINDS = 5, 4, 3


class RelationalGraphConvolution(layers.Layer):
    """One transformation of the neighbours for each kind of bond."""

    def __init__(
        self,
        units=8,
        activation="relu",
        use_bias=False,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units, self.use_bias = units, use_bias
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, input_shape):
        bonds, features = input_shape[0][1], input_shape[1][2]
        self.kernel = self.add_weight(
            shape=(bonds, features, self.units),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            trainable=True,
            name="W",
        )
        if self.use_bias:
            self.bias = self.add_weight(
                shape=(bonds, 1, self.units), initializer=self.bias_initializer, trainable=True, name="b"
            )
        self.built = True

    def call(self, inputs, training=False):
        adjacency, features = inputs
        x = ops.matmul(adjacency, features[:, None])
        x = ops.matmul(x, self.kernel)
        if self.use_bias:
            x += self.bias
        return self.activation(ops.sum(x, axis=1))


def graph_generator() -> keras.Model:
    z = keras.Input((6,))
    x = z
    for width in (12, 16):
        x = layers.Dropout(0.2)(layers.Dense(width, activation="tanh")(x))
    bonds = layers.Dense(BOND_KINDS * ATOMS * ATOMS)(x)
    bonds = layers.Reshape((BOND_KINDS, ATOMS, ATOMS))(bonds)
    bonds = (bonds + ops.transpose(bonds, (0, 1, 3, 2))) / 2
    bonds = layers.Softmax(axis=1)(bonds)
    atoms = layers.Reshape((ATOMS, ATOM_KINDS))(layers.Dense(ATOMS * ATOM_KINDS)(x))
    return keras.Model(z, [bonds, layers.Softmax(axis=2)(atoms)], name="Generator")


def graph_discriminator() -> keras.Model:
    adjacency = keras.Input((BOND_KINDS, ATOMS, ATOMS))
    features = keras.Input((ATOMS, ATOM_KINDS))
    x = features
    for units in (8, 8):
        x = RelationalGraphConvolution(units, use_bias=True, kernel_regularizer="l2")([adjacency, x])
    x = layers.GlobalAveragePooling1D()(x)
    x = layers.Dropout(0.2)(layers.Dense(16, activation="relu")(x))
    return keras.Model([adjacency, features], layers.Dense(1, dtype="float32")(x))


class GraphWGAN(keras.Model):
    """Generator and discriminator, with the discriminator's opinion of what the generator makes."""

    def __init__(self, generator, discriminator, steps=1, penalty=10.0):
        super().__init__()
        self.generator, self.discriminator = generator, discriminator
        self.steps, self.penalty = steps, penalty
        self.generator_metric = keras.metrics.Mean(name="loss_gen")

    def call(self, inputs, training=False):
        z, adjacency, features = inputs
        generated = self.generator(z, training=training)
        fake = self.discriminator(generated, training=training)
        real = self.discriminator([adjacency, features], training=training)
        self.add_loss(ops.mean(fake) - ops.mean(real))
        return {"fake": fake, "real": real, "generated": generated}

    def train_step(self, inputs):
        import tensorflow as tf

        z = tf.random.normal((tf.shape(inputs[0])[0], 6))
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(self.discriminator(self.generator(z, training=True)))
        variables = self.generator.trainable_weights
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        self.generator_metric.update_state(loss)
        return {"loss_gen": self.generator_metric.result()}


def kio_wgan_graphs() -> Example:
    """generative/wgan-graphs."""
    model = GraphWGAN(graph_generator(), graph_discriminator())
    inputs = [
        Tensor((BATCH, 6), normal()),
        Tensor((BATCH, BOND_KINDS, ATOMS, ATOMS), normal(1)),
        Tensor((BATCH, ATOMS, ATOM_KINDS), normal(2)),
    ]
    return Example(model, (inputs,))

"""Generators that are trained against a discriminator, by a step that holds them both.

The model of each entry is the generator; its own step puts it, or what was prepared from it, into the model
around, as users do.
"""

import keras
import numpy as np
from keras import layers, ops

from benchmarks.zoo.example import BATCH, LARGER_BATCH, Example, Tensor, integers, normal
from benchmarks.zoo.keras_io.generation import ON_TENSORFLOW, images


def fitted(model, *data):
    """The history of two steps of an epoch."""
    return model.fit(*data, batch_size=2, shuffle=False, verbose=0).history


def descent():
    return keras.optimizers.SGD(0.01)


def stepping(optimizer, tape, loss, model):
    """Gradient descent on the weights of one of the models."""
    gradients = tape.gradient(loss, model.trainable_weights)
    optimizer.apply_gradients(zip(gradients, model.trainable_weights, strict=True))


# Deep convolutional GAN


class Generator(keras.Model):
    """From a latent vector to an image, by transposed convolutions."""

    def __init__(self, side=4, width=8):
        super().__init__(name="generator")
        self.side, self.width = side, width
        self.dense = layers.Dense(side * side * width)
        self.steps = [layers.Conv2DTranspose(width, 4, strides=2, padding="same") for _ in range(2)]
        self.last = layers.Conv2D(3, 5, padding="same", activation="sigmoid")

    def call(self, z):
        x = ops.reshape(self.dense(z), (-1, self.side, self.side, self.width))
        for step in self.steps:
            x = ops.leaky_relu(step(x), negative_slope=0.2)
        return self.last(x)


def discriminator(channels, last=None, name="discriminator"):
    return keras.Sequential(
        [
            keras.Input((16, 16, channels)),
            layers.Conv2D(8, 4, strides=2, padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Flatten(),
            layers.Dense(1, activation=last),
        ],
        name=name,
    )


class Gan(keras.Model):
    """Trains the discriminator on real and generated images, then the generator against it."""

    def __init__(self, discriminator, generator, latent_dim):
        super().__init__()
        self.discriminator, self.generator, self.latent_dim = discriminator, generator, latent_dim
        self.seed_generator = keras.random.SeedGenerator(1337)

    def compile(self, d_optimizer, g_optimizer, loss_fn):
        super().compile()
        self.d_optimizer, self.g_optimizer, self.loss_fn = d_optimizer, g_optimizer, loss_fn
        self.d_loss_metric = keras.metrics.Mean(name="d_loss")
        self.g_loss_metric = keras.metrics.Mean(name="g_loss")

    @property
    def metrics(self):
        return [self.d_loss_metric, self.g_loss_metric]

    def latent(self, count):
        return keras.random.normal((count, self.latent_dim), seed=self.seed_generator)

    def train_step(self, real):
        import tensorflow as tf

        batch = ops.shape(real)[0]
        joined = ops.concatenate([self.generator(self.latent(batch)), real], axis=0)
        labels = ops.concatenate([ops.ones((batch, 1)), ops.zeros((batch, 1))], axis=0)
        labels += 0.05 * keras.random.uniform(ops.shape(labels), seed=self.seed_generator)
        with tf.GradientTape() as tape:
            d_loss = self.loss_fn(labels, self.discriminator(joined))
        stepping(self.d_optimizer, tape, d_loss, self.discriminator)
        latent, misleading = self.latent(batch), ops.zeros((batch, 1))
        with tf.GradientTape() as tape:
            g_loss = self.loss_fn(misleading, self.discriminator(self.generator(latent)))
        stepping(self.g_optimizer, tape, g_loss, self.generator)
        self.d_loss_metric.update_state(d_loss)
        self.g_loss_metric.update_state(g_loss)
        return {"d_loss": self.d_loss_metric.result(), "g_loss": self.g_loss_metric.result()}


def kio_dcgan() -> Example:
    """generative/dcgan_overriding_train_step."""

    def own_step(generator):
        gan = Gan(discriminator(3, "sigmoid"), generator, 8)
        gan.compile(descent(), descent(), keras.losses.BinaryCrossentropy())
        return fitted(gan, images(4, 16, 3))

    latent = Tensor((LARGER_BATCH, 8), normal())
    return Example(Generator(), (latent,), own_step=own_step if ON_TENSORFLOW else None)


# Conditional GAN


class ConditionalGenerator(keras.Model):
    """A generator that is told the class beside the noise, as a vector of zeros and a one."""

    def __init__(self, classes=3):
        super().__init__(name="conditional_generator")
        self.classes, self.inner = classes, Generator()

    def call(self, inputs):
        noise, labels = inputs
        return self.inner(ops.concatenate([noise, ops.one_hot(labels, self.classes)], axis=-1))


class ConditionalGan(Gan):
    """Hands the class to the discriminator as further channels of the image."""

    def train_step(self, data):
        import tensorflow as tf

        real, labels = data
        batch = ops.shape(real)[0]
        one_hot = ops.one_hot(labels, 3)
        channels = ops.repeat(one_hot[:, :, None, None], repeats=[16 * 16])
        channels = ops.reshape(channels, (-1, 16, 16, 3))
        fake = self.generator([self.latent(batch), labels])
        both = [ops.concatenate([x, channels], -1) for x in (fake, real)]
        wanted = ops.concatenate([ops.ones((batch, 1)), ops.zeros((batch, 1))], axis=0)
        with tf.GradientTape() as tape:
            d_loss = self.loss_fn(wanted, self.discriminator(ops.concatenate(both, axis=0)))
        stepping(self.d_optimizer, tape, d_loss, self.discriminator)
        with tf.GradientTape() as tape:
            fake = self.generator([self.latent(batch), labels])
            decision = self.discriminator(ops.concatenate([fake, channels], -1))
            g_loss = self.loss_fn(ops.zeros((batch, 1)), decision)
        stepping(self.g_optimizer, tape, g_loss, self.generator)
        self.d_loss_metric.update_state(d_loss)
        self.g_loss_metric.update_state(g_loss)
        return {"d_loss": self.d_loss_metric.result(), "g_loss": self.g_loss_metric.result()}


def kio_conditional_gan() -> Example:
    """generative/conditional_gan."""

    def own_step(generator):
        gan = ConditionalGan(discriminator(6), generator, 8)
        gan.compile(descent(), descent(), keras.losses.BinaryCrossentropy(from_logits=True))
        return fitted(gan, images(4, 16, 3), integers(3)((4,)))

    inputs = [Tensor((LARGER_BATCH, 8), normal()), Tensor((LARGER_BATCH,), integers(3))]
    return Example(ConditionalGenerator(), (inputs,), own_step=own_step if ON_TENSORFLOW else None)


# Wasserstein GAN with a penalty of gradients


class UpsamplingGenerator(keras.Model):
    """Blocks of upsampling, convolution and normalization; `training` goes from hand to hand."""

    def __init__(self):
        super().__init__(name="upsampling_generator")
        self.dense, self.first = layers.Dense(4 * 4 * 8, use_bias=False), layers.BatchNormalization()
        self.blocks = [self.block() for _ in range(2)]
        self.last = layers.Conv2D(3, 3, padding="same", activation="tanh")

    def block(self):
        parts = [
            layers.UpSampling2D((2, 2)),
            layers.Conv2D(8, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.LeakyReLU(0.2),
            layers.Dropout(0.3, seed=3),
        ]
        return parts

    def call(self, z, training=None):
        x = ops.leaky_relu(self.first(self.dense(z), training=training))
        x = ops.reshape(x, (-1, 4, 4, 8))
        for block in self.blocks:
            for layer in block:
                x = layer(x)
        return self.last(x)


class Wgan(Gan):
    """Several steps of the critic, whose gradient by its input is held at one, for each of the generator."""

    def penalty(self, batch, real, fake):
        import tensorflow as tf

        alpha = keras.random.uniform((batch, 1, 1, 1), seed=self.seed_generator)
        between = real + alpha * (fake - real)
        with tf.GradientTape() as tape:
            tape.watch(between)
            decision = self.discriminator(between, training=True)
        gradients = tape.gradient(decision, [between])[0]
        norm = ops.sqrt(ops.sum(ops.square(gradients), axis=[1, 2, 3]))
        return ops.mean((norm - 1.0) ** 2)

    def train_step(self, real):
        import tensorflow as tf

        batch = ops.shape(real)[0]
        for _ in range(2):
            latent = self.latent(batch)
            with tf.GradientTape() as tape:
                fake = self.generator(latent, training=True)
                wanted = [self.discriminator(x, training=True) for x in (fake, real)]
                d_loss = ops.mean(wanted[0]) - ops.mean(wanted[1])
                d_loss += 10.0 * self.penalty(batch, real, fake)
            stepping(self.d_optimizer, tape, d_loss, self.discriminator)
        latent = self.latent(batch)
        with tf.GradientTape() as tape:
            decision = self.discriminator(self.generator(latent, training=True), training=True)
            g_loss = -ops.mean(decision)
        stepping(self.g_optimizer, tape, g_loss, self.generator)
        return {"d_loss": d_loss, "g_loss": g_loss}


def kio_wgan_gp() -> Example:
    """generative/wgan_gp."""

    def own_step(generator):
        gan = Wgan(discriminator(3), generator, 8)
        gan.compile(descent(), descent(), None)
        return fitted(gan, images(4, 16, 3))

    latent = Tensor((LARGER_BATCH, 8), normal())
    return Example(UpsamplingGenerator(), (latent,), own_step=own_step if ON_TENSORFLOW else None)


# CycleGAN


class ReflectionPadding2D(layers.Layer):
    """Pads an image by what it reflects at its edges."""

    def __init__(self, padding=(1, 1), **kwargs):
        self.padding = tuple(padding)
        super().__init__(**kwargs)

    def call(self, x, mask=None):
        width, height = self.padding
        return ops.pad(x, [[0, 0], [height, height], [width, width], [0, 0]], mode="reflect")


class ResidualBlock(layers.Layer):
    """Two convolutions over reflected edges, each normalized within its channel."""

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        initializer = keras.initializers.RandomNormal(mean=0.0, stddev=0.02)
        gamma = keras.initializers.RandomNormal(mean=1.0, stddev=0.02)
        self.pads = [ReflectionPadding2D() for _ in range(2)]
        self.convolutions = [
            layers.Conv2D(filters, 3, use_bias=False, kernel_initializer=initializer) for _ in range(2)
        ]
        self.norms = [layers.GroupNormalization(groups=-1, gamma_initializer=gamma) for _ in range(2)]

    def call(self, inputs):
        x = inputs
        for i, (pad, convolution, norm) in enumerate(zip(self.pads, self.convolutions, self.norms)):  # noqa: B905
            x = norm(convolution(pad(x)))
            if i == 0:
                x = ops.relu(x)
        return layers.add([inputs, x])


def residual_generator(name):
    inputs = keras.Input((16, 16, 3), name=f"{name}_image")
    x = layers.Conv2D(4, 7, use_bias=False)(ReflectionPadding2D((3, 3))(inputs))
    x = layers.Activation("relu")(layers.GroupNormalization(groups=-1)(x))
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
    for _ in range(2):
        x = ResidualBlock(8)(x)
    x = layers.Conv2DTranspose(4, 3, strides=2, padding="same", use_bias=False)(x)
    x = layers.Conv2D(3, 7, padding="valid")(ReflectionPadding2D((3, 3))(x))
    return keras.Model(inputs, layers.Activation("tanh")(x), name=name)


class CycleGan(keras.Model):
    """Two generators, each the other's inverse, and two discriminators."""

    def __init__(self, g, f, x, y):
        super().__init__()
        self.g, self.f, self.x, self.y = g, f, x, y

    def compile(self, optimizers):
        super().compile()
        self.optimizers = optimizers
        self.same, self.like = keras.losses.MeanAbsoluteError(), keras.losses.MeanSquaredError()

    def call(self, inputs):
        return self.g(inputs[0]), self.f(inputs[1])

    def train_step(self, data):
        import tensorflow as tf

        x, y = data
        with tf.GradientTape(persistent=True) as tape:
            fake_y, fake_x = self.g(x, training=True), self.f(y, training=True)
            again = [
                self.same(x, self.f(fake_y, training=True)),
                self.same(y, self.g(fake_x, training=True)),
            ]
            itself = [self.same(y, self.g(y, training=True)), self.same(x, self.f(x, training=True))]
            fooled = [self.like(ops.ones_like(d), d) for d in (self.y(fake_y), self.x(fake_x))]
            g_loss = fooled[0] + 10.0 * again[1] + 5.0 * itself[0]
            f_loss = fooled[1] + 10.0 * again[0] + 5.0 * itself[1]
            d_losses = [
                self.of_discriminator(d, *z) for d, z in ((self.x, (x, fake_x)), (self.y, (y, fake_y)))
            ]
        models = (self.g, self.f, self.x, self.y)
        losses = (g_loss, f_loss, *d_losses)
        for optimizer, loss, model in zip(self.optimizers, losses, models, strict=True):
            stepping(optimizer, tape, loss, model)
        return dict(zip(("g", "f", "x", "y"), losses, strict=True))

    def of_discriminator(self, discriminator, real, fake):
        real, fake = discriminator(real), discriminator(fake)
        return (self.like(ops.ones_like(real), real) + self.like(ops.zeros_like(fake), fake)) * 0.5


def kio_cyclegan() -> Example:
    """generative/cyclegan."""

    def own_step(generator):
        others = residual_generator("f"), discriminator(3, name="x"), discriminator(3, name="y")
        gan = CycleGan(generator, *others)
        gan.compile([descent() for _ in range(4)])
        return fitted(gan, images(4, 16, 3), np.flip(images(4, 16, 3), axis=1).copy())

    image = Tensor((BATCH, 16, 16, 3), normal())
    own = own_step if ON_TENSORFLOW else None
    return Example(residual_generator("g"), (image,), knows_inputs=True, own_step=own)

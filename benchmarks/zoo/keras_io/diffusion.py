"""Models that take noise out of images, each with a copy of the network that follows it slowly."""

import math

import keras
import numpy as np
from keras import layers, ops

from benchmarks.zoo.example import (
    LARGER_BATCH,
    Axis,
    Example,
    Tensor,
    integers,
    normal,
    of_functional,
    positive,
)
from benchmarks.zoo.keras_io.generation import ON_TENSORFLOW, images

# Denoising diffusion implicit models


@keras.saving.register_keras_serializable()
def sinusoidal_embedding(x):
    frequencies = ops.exp(ops.linspace(ops.log(1.0), ops.log(1000.0), 4))
    angular_speeds = ops.cast(2.0 * math.pi * frequencies, "float32")
    return ops.concatenate([ops.sin(angular_speeds * x), ops.cos(angular_speeds * x)], axis=3)


def residual(width):
    def apply(x):
        shortcut = x if x.shape[3] == width else layers.Conv2D(width, kernel_size=1)(x)
        x = layers.BatchNormalization(center=False, scale=False)(x)
        x = layers.Conv2D(width, kernel_size=3, padding="same", activation="swish")(x)
        return layers.Add()([layers.Conv2D(width, kernel_size=3, padding="same")(x), shortcut])

    return apply


def ddim_network(name):
    noisy, variances = keras.Input((16, 16, 3), name="noisy"), keras.Input((1, 1, 1), name="variances")
    embedding = layers.Lambda(sinusoidal_embedding, output_shape=(1, 1, 8))(variances)
    embedding = layers.UpSampling2D(size=16, interpolation="nearest")(embedding)
    x = layers.Concatenate()([layers.Conv2D(8, kernel_size=1)(noisy), embedding])
    skips = []
    for width in (8, 12):
        x = residual(width)(x)
        skips.append(x)
        x = layers.AveragePooling2D(pool_size=2)(x)
    x = residual(16)(x)
    for width in (12, 8):
        x = layers.UpSampling2D(size=2, interpolation="bilinear")(x)
        x = residual(width)(layers.Concatenate()([x, skips.pop()]))
    x = layers.Conv2D(3, kernel_size=1, kernel_initializer="zeros", bias_initializer="ones")(x)
    return keras.Model([noisy, variances], x, name=name)


class DdimModel(keras.Model):
    """Normalizes images, adds noise to them, and trains the network to tell it."""

    def __init__(self, network, slow):
        super().__init__()
        self.normalizer = layers.Normalization()
        self.network, self.slow = network, slow
        self.seed_generator = keras.random.SeedGenerator(2)
        self.noise_loss_tracker = keras.metrics.Mean(name="n_loss")
        self.image_loss_tracker = keras.metrics.Mean(name="i_loss")

    @property
    def metrics(self):
        return [self.noise_loss_tracker, self.image_loss_tracker]

    def schedule(self, times):
        start, end = (ops.cast(ops.arccos(rate), "float32") for rate in (0.95, 0.02))
        angles = start + times * (end - start)
        return ops.sin(angles), ops.cos(angles)

    def denoise(self, noisy, noise_rates, signal_rates, training):
        network = self.network if training else self.slow
        noises = network([noisy, noise_rates**2], training=training)
        return noises, (noisy - noise_rates * noises) / signal_rates

    def noisy(self, images):
        images = self.normalizer(images, training=True)
        noises = keras.random.normal(ops.shape(images), seed=self.seed_generator)
        times = keras.random.uniform((ops.shape(images)[0], 1, 1, 1), seed=self.seed_generator)
        rates = self.schedule(times)
        return images, noises, rates[1] * images + rates[0] * noises, rates

    def train_step(self, images):
        import tensorflow as tf

        images, noises, noisy, rates = self.noisy(images)
        with tf.GradientTape() as tape:
            told_noises, told_images = self.denoise(noisy, *rates, training=True)
            noise_loss = self.loss(noises, told_noises)
            image_loss = self.loss(images, told_images)
        gradients = tape.gradient(noise_loss, self.network.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.network.trainable_weights, strict=True))
        self.noise_loss_tracker.update_state(noise_loss)
        self.image_loss_tracker.update_state(image_loss)
        for weight, slow in zip(self.network.weights, self.slow.weights, strict=True):
            slow.assign(0.999 * slow + (1 - 0.999) * weight)
        return {m.name: m.result() for m in self.metrics}

    def test_step(self, images):
        images, noises, noisy, rates = self.noisy(images)
        told_noises, told_images = self.denoise(noisy, *rates, training=False)
        self.noise_loss_tracker.update_state(self.loss(noises, told_noises))
        self.image_loss_tracker.update_state(self.loss(images, told_images))
        return {m.name: m.result() for m in self.metrics}


def kio_ddim() -> Example:
    """generative/ddim."""

    def own_step(network):
        model = DdimModel(network, keras.models.clone_model(network))
        model.slow.set_weights(network.get_weights())
        model.compile(optimizer=keras.optimizers.SGD(0.01), loss=keras.losses.mean_absolute_error)
        model.normalizer.adapt(images(4, 16, 3))
        trained = model.fit(images(4, 16, 3), batch_size=2, shuffle=False, verbose=0).history
        return trained, model.evaluate(images(4, 16, 3), batch_size=2, verbose=0)

    return of_functional(
        ddim_network("ddim"),
        values={"variances": positive(0.5)},
        own_step=own_step if ON_TENSORFLOW else None,
    )


# Denoising diffusion probabilistic models


def fan_out(scale):
    return keras.initializers.VarianceScaling(max(scale, 1e-10), mode="fan_avg", distribution="uniform")


class TimeEmbedding(layers.Layer):
    """Sines and cosines of the step of diffusion, with frequencies that the layer holds as a tensor."""

    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.half = width // 2
        emb = math.log(10000) / (self.half - 1)
        self.emb = ops.exp(ops.arange(self.half, dtype="float32") * -emb)

    def call(self, inputs):
        emb = ops.cast(inputs, "float32")[:, None] * self.emb[None, :]
        return ops.concatenate([ops.sin(emb), ops.cos(emb)], axis=-1)


class AttentionBlock(layers.Layer):
    """Attention between all pixels, by contractions."""

    def __init__(self, units, groups=4, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.norm = layers.GroupNormalization(groups=groups)
        self.query, self.key, self.value = (
            layers.Dense(units, kernel_initializer=fan_out(1.0)) for _ in range(3)
        )
        self.projection = layers.Dense(units, kernel_initializer=fan_out(0.0))

    def call(self, inputs):
        batch, height, width = (ops.shape(inputs)[i] for i in range(3))
        scale = ops.cast(self.units, "float32") ** (-0.5)
        inputs = self.norm(inputs)
        q, k, v = self.query(inputs), self.key(inputs), self.value(inputs)
        scores = ops.einsum("bhwc, bHWc->bhwHW", q, k) * scale
        scores = ops.reshape(scores, [batch, height, width, height * width])
        scores = ops.reshape(ops.nn.softmax(scores, -1), [batch, height, width, height, width])
        return inputs + self.projection(ops.einsum("bhwHW,bHWc->bhwc", scores, v))


def ddpm_block(width, activation=keras.activations.swish):
    def apply(inputs):
        x, t = inputs
        same = x.shape[3] == width
        skipped = x if same else layers.Conv2D(width, kernel_size=1, kernel_initializer=fan_out(1.0))(x)
        temb = layers.Dense(width, kernel_initializer=fan_out(1.0))(activation(t))[:, None, None, :]
        x = activation(layers.GroupNormalization(groups=4)(x))
        x = layers.Conv2D(width, kernel_size=3, padding="same", kernel_initializer=fan_out(1.0))(x)
        x = activation(layers.GroupNormalization(groups=4)(layers.Add()([x, temb])))
        x = layers.Conv2D(width, kernel_size=3, padding="same", kernel_initializer=fan_out(0.0))(x)
        return layers.Add()([x, skipped])

    return apply


def ddpm_network(name):
    image, time = keras.Input((None, None, 3), name="image"), keras.Input((), dtype="int64", name="time")
    x = layers.Conv2D(8, kernel_size=3, padding="same", kernel_initializer=fan_out(1.0))(image)
    temb = layers.Dense(16, "swish", kernel_initializer=fan_out(1.0))(TimeEmbedding(16)(time))
    temb = layers.Dense(16, kernel_initializer=fan_out(1.0))(temb)
    skips = [x]
    x = ddpm_block(8)([x, temb])
    skips.append(x)
    x = layers.Conv2D(8, kernel_size=3, strides=2, padding="same")(x)
    x = AttentionBlock(16)(ddpm_block(16)([x, temb]))
    x = layers.Conv2D(16, kernel_size=3, padding="same")(layers.UpSampling2D(2, interpolation="nearest")(x))
    for _ in range(2):
        x = ddpm_block(8)([layers.Concatenate(axis=-1)([x, skips.pop()]), temb])
    x = keras.activations.swish(layers.GroupNormalization(groups=4)(x))
    x = layers.Conv2D(3, (3, 3), padding="same", kernel_initializer=fan_out(0.0))(x)
    return keras.Model([image, time], x, name=name)


class DdpmModel(keras.Model):
    """Tells the noise of a random step; the rates of all steps are arrays of NumPy."""

    def __init__(self, network, slow, steps=10):
        super().__init__()
        self.network, self.slow, self.steps = network, slow, steps
        alphas = np.cumprod(1.0 - np.linspace(1e-4, 0.02, steps))
        self.signal = ops.convert_to_tensor(np.sqrt(alphas), "float32")
        self.noise = ops.convert_to_tensor(np.sqrt(1.0 - alphas), "float32")
        self.seed_generator = keras.random.SeedGenerator(4)

    def train_step(self, images):
        import tensorflow as tf

        count = ops.shape(images)[0]
        t = keras.random.randint((count,), 0, self.steps, dtype="int64", seed=self.seed_generator)
        with tf.GradientTape() as tape:
            noise = keras.random.normal(ops.shape(images), seed=self.seed_generator)
            rates = [ops.reshape(ops.take(x, t, axis=0), (-1, 1, 1, 1)) for x in (self.signal, self.noise)]
            told = self.network([rates[0] * images + rates[1] * noise, t], training=True)
            loss = self.loss(noise, told)
        gradients = tape.gradient(loss, self.network.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.network.trainable_weights, strict=True))
        for weight, slow in zip(self.network.weights, self.slow.weights, strict=True):
            slow.assign(0.9 * slow + 0.1 * weight)
        return {"loss": loss}


def kio_ddpm() -> Example:
    """generative/ddpm."""

    def own_step(network):
        model = DdpmModel(network, ddpm_network("slow"))
        model.slow.set_weights(network.get_weights())
        model.compile(loss=keras.losses.MeanSquaredError(), optimizer=keras.optimizers.SGD(0.01))
        return model.fit(images(4, 8, 3), batch_size=2, shuffle=False, verbose=0).history

    sides = Axis("height", 8, others=(4, 12)), Axis("width", 8, others=(4, 12))
    inputs = [
        Tensor((LARGER_BATCH, *sides, 3), normal()),
        Tensor((LARGER_BATCH,), integers(10, dtype="int64")),
    ]
    own = own_step if ON_TENSORFLOW else None
    return Example(ddpm_network("ddpm"), (inputs,), knows_inputs=True, own_step=own)

"""Models that make images, pixel by pixel or from codes."""

import keras
import numpy as np
from keras import layers, ops

from benchmarks.zoo.example import Example, normal, of_functional

ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
"""Where the steps of most examples work: they are written with `tf.GradientTape`."""


def images(rows: int, side: int, channels: int) -> np.ndarray:
    """Square images to train on."""
    return normal(1)((rows, side, side, channels))


# PixelCNN


class PixelConvolution(layers.Layer):
    """A convolution that does not see the pixels to come: `call` sets their part of the kernel to zero."""

    def __init__(self, mask_type, **settings):
        super().__init__()
        self.mask_type = mask_type
        self.convolution = layers.Conv2D(**settings)

    def build(self, input_shape):
        self.convolution.build(input_shape)
        height, width, *_ = self.convolution.kernel.shape
        mask = np.zeros(self.convolution.kernel.shape, "float32")
        mask[: height // 2] = 1.0
        mask[height // 2, : width // 2] = 1.0
        if self.mask_type == "B":
            mask[height // 2, width // 2] = 1.0
        self.mask = mask

    def call(self, inputs):
        self.convolution.kernel.assign(self.convolution.kernel * self.mask)
        return self.convolution(inputs)


class PixelBlock(layers.Layer):
    """A residual block around a masked convolution."""

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.before = layers.Conv2D(filters, 1, activation="relu")
        self.masked = PixelConvolution("B", filters=filters // 2, kernel_size=3, padding="same")
        self.after = layers.Conv2D(filters, 1, activation="relu")

    def call(self, inputs):
        x = self.before(inputs)
        x = self.masked(x)
        return layers.add([inputs, self.after(x)])


def kio_pixelcnn() -> Example:
    """generative/pixelcnn."""
    inputs = keras.Input((8, 8, 1))
    x = PixelConvolution("A", filters=8, kernel_size=7, activation="relu", padding="same")(inputs)
    for _ in range(2):
        x = PixelBlock(8)(x)
    x = PixelConvolution("B", filters=8, kernel_size=1, activation="relu", padding="valid")(x)
    outputs = layers.Conv2D(1, 1, activation="sigmoid", padding="valid")(x)
    return of_functional(keras.Model(inputs, outputs, name="pixelcnn"))


# VQ-VAE


class VectorQuantizer(layers.Layer):
    """The nearest of the code vectors, whose gradient goes to the input: straight through."""

    def __init__(self, count, width, beta=0.25, **kwargs):
        super().__init__(**kwargs)
        self.width, self.count, self.beta = width, count, beta
        self.codes = self.add_weight(shape=(width, count), initializer="random_uniform", name="codes")

    def call(self, x):
        shape = ops.shape(x)
        flat = ops.reshape(x, [-1, self.width])
        one_hot = ops.one_hot(self.nearest(flat), self.count)
        quantized = ops.reshape(ops.matmul(one_hot, ops.transpose(self.codes)), shape)
        commitment = ops.mean((ops.stop_gradient(quantized) - x) ** 2)
        codebook = ops.mean((quantized - ops.stop_gradient(x)) ** 2)
        self.add_loss(self.beta * commitment + codebook)
        return x + ops.stop_gradient(quantized - x)

    def nearest(self, flat):
        similarity = ops.matmul(flat, self.codes)
        distances = ops.sum(flat**2, axis=1, keepdims=True) + ops.sum(self.codes**2, axis=0) - 2 * similarity
        return ops.argmin(distances, axis=1)


class VqVaeTrainer(keras.Model):
    """Trains an autoencoder on the error of its images and on the losses that its layers add."""

    def __init__(self, vqvae, variance):
        super().__init__()
        self.vqvae, self.variance = vqvae, variance
        self.total = keras.metrics.Mean(name="loss")
        self.reconstruction = keras.metrics.Mean(name="reconstruction_loss")
        self.quantization = keras.metrics.Mean(name="vqvae_loss")

    @property
    def metrics(self):
        return [self.total, self.reconstruction, self.quantization]

    def train_step(self, x):
        import tensorflow as tf

        with tf.GradientTape() as tape:
            made = self.vqvae(x)
            reconstruction = ops.mean((x - made) ** 2) / self.variance
            total = reconstruction + sum(self.vqvae.losses)
        gradients = tape.gradient(total, self.vqvae.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.vqvae.trainable_variables, strict=True))
        self.total.update_state(total)
        self.reconstruction.update_state(reconstruction)
        self.quantization.update_state(sum(self.vqvae.losses))
        return {metric.name: metric.result() for metric in self.metrics}


def kio_vq_vae() -> Example:
    """generative/vq_vae."""
    image = keras.Input((16, 16, 1))
    x = layers.Conv2D(8, 3, activation="relu", strides=2, padding="same")(image)
    x = layers.Conv2D(8, 3, activation="relu", strides=2, padding="same")(x)
    encoder = keras.Model(image, layers.Conv2D(4, 1, padding="same")(x), name="encoder")
    code = keras.Input(encoder.output.shape[1:])
    x = layers.Conv2DTranspose(8, 3, activation="relu", strides=2, padding="same")(code)
    x = layers.Conv2DTranspose(8, 3, activation="relu", strides=2, padding="same")(x)
    decoder = keras.Model(code, layers.Conv2DTranspose(1, 3, padding="same")(x), name="decoder")
    quantized = VectorQuantizer(6, 4, name="vector_quantizer")(encoder(image))
    model = keras.Model(image, decoder(quantized), name="vq_vae")

    def own_step(vqvae):
        trainer = VqVaeTrainer(vqvae, variance=0.5)
        trainer.compile(keras.optimizers.SGD(0.01))
        return trainer.fit(images(4, 16, 1), batch_size=2, shuffle=False, verbose=0).history

    return of_functional(model, own_step=own_step if ON_TENSORFLOW else None)


# Variational autoencoder


class Sampling(layers.Layer):
    """Draws from a normal distribution, so that gradients pass."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(1337)

    def call(self, inputs):
        z_mean, z_log_var = inputs
        batch, width = ops.shape(z_mean)[0], ops.shape(z_mean)[1]
        epsilon = keras.random.normal(shape=(batch, width), seed=self.seed_generator)
        return z_mean + ops.exp(0.5 * z_log_var) * epsilon


class Vae(keras.Model):
    """Trains encoder and decoder on the error of the image and the divergence of the code."""

    def __init__(self, encoder, decoder, **kwargs):
        super().__init__(**kwargs)
        self.encoder, self.decoder = encoder, decoder
        self.trackers = [keras.metrics.Mean(name=n) for n in ("loss", "reconstruction_loss", "kl_loss")]

    @property
    def metrics(self):
        return self.trackers

    def train_step(self, data):
        import tensorflow as tf

        with tf.GradientTape() as tape:
            z_mean, z_log_var, z = self.encoder(data)
            error = keras.losses.binary_crossentropy(data, self.decoder(z))
            reconstruction = ops.mean(ops.sum(error, axis=(1, 2)))
            kl = -0.5 * (1 + z_log_var - ops.square(z_mean) - ops.exp(z_log_var))
            kl = ops.mean(ops.sum(kl, axis=1))
            total = reconstruction + kl
        gradients = tape.gradient(total, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        for tracker, value in zip(self.trackers, (total, reconstruction, kl), strict=True):
            tracker.update_state(value)
        return {tracker.name: tracker.result() for tracker in self.trackers}


def vae_decoder():
    latent = keras.Input((2,))
    x = layers.Reshape((4, 4, 4))(layers.Dense(4 * 4 * 4, activation="relu")(latent))
    x = layers.Conv2DTranspose(4, 3, activation="relu", strides=2, padding="same")(x)
    x = layers.Conv2DTranspose(1, 3, activation="sigmoid", strides=2, padding="same")(x)
    return keras.Model(latent, x, name="decoder")


def kio_vae() -> Example:
    """generative/vae: the encoder, which draws."""
    inputs = keras.Input((16, 16, 1))
    x = layers.Conv2D(4, 3, activation="relu", strides=2, padding="same")(inputs)
    x = layers.Conv2D(4, 3, activation="relu", strides=2, padding="same")(x)
    x = layers.Dense(8, activation="relu")(layers.Flatten()(x))
    z_mean, z_log_var = layers.Dense(2, name="z_mean")(x), layers.Dense(2, name="z_log_var")(x)
    z = Sampling()([z_mean, z_log_var])
    model = keras.Model(inputs, [z_mean, z_log_var, z], name="encoder")

    def own_step(encoder):
        vae = Vae(encoder, vae_decoder())
        vae.compile(optimizer=keras.optimizers.SGD(0.001))
        pixels = 1 / (1 + np.exp(-images(4, 16, 1)))
        return vae.fit(pixels, batch_size=2, shuffle=False, verbose=0).history

    return of_functional(model, own_step=own_step if ON_TENSORFLOW else None)

"""Waves made from spectrograms: a vocoder, and the voice apart from the music."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers, ops

from benchmarks.zoo.example import BATCH, Example, Tensor, normal, of_functional

# audio/melgan_spectrogram_inversion


class MelSpec(layers.Layer):
    """From a wave to a spectrogram in mels, scaled by its own largest value; not in training."""

    def __init__(self, frame_length=32, frame_step=8, fft_length=None, rate=800, mels=6, **kwargs):
        super().__init__(**kwargs)
        self.frame_length, self.frame_step = frame_length, frame_step
        self.fft_length = fft_length or frame_length
        self.rate, self.mels = rate, mels
        bins = self.fft_length // 2 + 1
        centres = np.linspace(0, bins - 1, mels + 2)
        distance = 1 - np.abs(np.arange(bins)[:, None] - centres[1:-1]) / (centres[1] - centres[0])
        self.mel_filterbank = np.maximum(distance, 0).astype("float32")

    def call(self, audio, training=True):
        if training:
            return audio
        real, imaginary = ops.stft(
            ops.squeeze(audio, -1), self.frame_length, self.frame_step, self.fft_length, window="hann"
        )
        magnitude = ops.sqrt(ops.square(real) + ops.square(imaginary) + 1e-12)
        mel = ops.matmul(ops.square(magnitude), self.mel_filterbank)
        decibel = 10.0 * ops.log(ops.maximum(mel, 1e-10)) / float(np.log(10.0))
        peak = ops.max(decibel, axis=(1, 2), keepdims=True)
        return ops.maximum(decibel, peak - 80.0)

    def get_config(self):
        config = super().get_config()
        return config | {"frame_length": self.frame_length, "frame_step": self.frame_step}


class WeightNormalized(layers.Wrapper):
    """A convolution whose kernel is a direction and a length: it is put in its place at each call."""

    def build(self, input_shape):
        super().build(input_shape)
        self.attribute = "_kernel" if hasattr(self.layer, "_kernel") else "kernel"
        self.v = getattr(self.layer, self.attribute)
        self.g = self.add_weight(shape=(self.v.shape[-1],), initializer="ones", name="g")

    def call(self, inputs):
        axes = tuple(range(len(self.v.shape) - 1))
        length = ops.sqrt(ops.sum(ops.square(self.v), axis=axes) + 1e-12)
        setattr(self.layer, self.attribute, self.g * self.v / length)
        return self.layer(inputs)


def residual_stack(x, filters):
    """Dilated convolutions of growing reach, each added to what came in."""
    for dilation in (1, 3, 9):
        y = layers.LeakyReLU()(x)
        y = WeightNormalized(layers.Conv1D(filters, 3, dilation_rate=dilation, padding="same"))(y)
        y = layers.LeakyReLU()(y)
        y = WeightNormalized(layers.Conv1D(filters, 3, dilation_rate=1, padding="same"))(y)
        x = layers.Add()([x, y])
    return x


def vocoder() -> keras.Model:
    mel = keras.Input((None, 6))
    x = WeightNormalized(layers.Conv1D(16, 7, padding="same"))(mel)
    for filters, stride in ((8, 4), (4, 2)):
        x = layers.LeakyReLU()(x)
        x = WeightNormalized(layers.Conv1DTranspose(filters, 2 * stride, stride, padding="same"))(x)
        x = residual_stack(x, filters)
    x = WeightNormalized(layers.Conv1D(1, 7, padding="same", activation="tanh"))(layers.LeakyReLU()(x))
    return keras.Model(mel, x)


def discriminator_block(wave):
    """All the features of a scale, for the matching of features."""
    x = WeightNormalized(layers.Conv1D(4, 15, 1, "same"))(wave)
    features = [x := layers.LeakyReLU()(x)]
    for filters, groups in ((8, 4), (8, 4)):
        x = WeightNormalized(layers.Conv1D(filters, 9, 4, "same", groups=groups))(x)
        features.append(x := layers.LeakyReLU()(x))
    features.append(WeightNormalized(layers.Conv1D(1, 3, 1, "same"))(x))
    return features


def judge_of_waves() -> keras.Model:
    """The features at two scales."""
    wave = keras.Input((None, 1))
    pooled = layers.AveragePooling1D(2)(wave)
    return keras.Model(wave, [discriminator_block(wave), discriminator_block(pooled)])


class MelGAN(keras.Model):
    """From the mels of a wave to a wave, whose features are to be those of the first."""

    def __init__(self, generator, discriminator, **kwargs):
        super().__init__(**kwargs)
        self.generator, self.discriminator = generator, discriminator
        self.mel = MelSpec()

    def call(self, wave, training=False):
        mel = self.mel(wave, training=False)
        made = self.generator(mel, training=training)
        real, fake = self.discriminator(wave), self.discriminator(made)
        matching = [
            ops.mean(ops.abs(r - f[:, : ops.shape(r)[1]][:, : ops.shape(f)[1]]))
            for scale_real, scale_fake in zip(real, fake, strict=True)
            for r, f in zip(scale_real[:-1], scale_fake[:-1], strict=True)
            if r.shape[1] == f.shape[1]
        ]
        for loss in matching:
            self.add_loss(loss)
        return made, [scale[-1] for scale in fake]


def kio_melgan() -> Example:
    """audio/melgan_spectrogram_inversion."""
    return Example(MelGAN(vocoder(), judge_of_waves()), (Tensor((BATCH, 96, 1), normal()),))


# audio/vocal_track_separation


def kio_vocal_separation() -> Example:
    """audio/vocal_track_separation."""
    width, length, frame, step = 4, 160, 32, 16

    def stft(inputs):
        """Both parts of the transform of each channel, side by side as channels."""
        flat = ops.reshape(ops.transpose(inputs, (0, 2, 1)), (-1, length))
        both = ops.stack(ops.stft(flat, frame, step, frame), axis=-1)
        both = ops.reshape(both, (-1, 2, *both.shape[1:]))
        both = ops.transpose(both, (0, 2, 3, 1, 4))
        return ops.reshape(both, (-1, *both.shape[1:3], 4))

    def inverse_stft(inputs):
        split = ops.reshape(inputs, (-1, *inputs.shape[1:3], 2, 2))
        flat = ops.reshape(ops.transpose(split, (0, 3, 1, 2, 4)), (-1, *inputs.shape[1:3], 2))
        wave = ops.istft((flat[..., 0], flat[..., 1]), frame, step, frame, length=length)
        return ops.transpose(ops.reshape(wave, (-1, 2, length)), (0, 2, 1))

    def tfc_tdf(x, filters):
        x = layers.Conv2D(filters, 1, use_bias=False)(x)
        y = x
        for _ in range(2):
            y = layers.BatchNormalization()(y)
            y = layers.Conv2D(filters, 3, padding="same", use_bias=False, activation="gelu")(y)
        z = layers.Permute((1, 3, 2))(y)
        z = layers.Dense(y.shape[2], use_bias=False)(layers.Dense(y.shape[2] // 2, activation="gelu")(z))
        return layers.Add()([x, y, layers.Permute((1, 3, 2))(z)])

    wave = keras.Input((length, 2))
    spectrum = layers.Lambda(stft, name="stft")(wave)
    x = skip = tfc_tdf(spectrum[:, :, :-1], width)
    x = layers.Conv2D(2 * width, 2, strides=2, padding="same")(x)
    x = layers.Conv2DTranspose(width, 2, strides=2, padding="same")(tfc_tdf(x, 2 * width))
    x = tfc_tdf(layers.Concatenate()([x[:, : skip.shape[1]], skip]), width)
    masks = layers.Conv2D(2 * 4, 1)(x)
    masks = ops.pad(masks, ((0, 0), (0, 0), (0, 1), (0, 0)))
    sources = [inverse_stft(m * spectrum) for m in ops.split(masks, 2, axis=-1)]
    return of_functional(keras.Model(wave, ops.stack(sources, axis=1)))

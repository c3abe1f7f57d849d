"""Classifiers of images that are no plain transformers: mixers, windows, involution, bags of instances."""

import keras
import numpy as np
from keras import layers, ops

from benchmarks.zoo.example import BATCH, LARGER_BATCH, Example, Tensor, normal, of_functional

# Mixers


class MixerLayer(layers.Layer):
    """Mixes tokens, then channels, each by an MLP."""

    def __init__(self, num_patches, width, dropout):
        super().__init__()
        self.tokens = self.mlp(num_patches, num_patches, dropout)
        self.channels = self.mlp(num_patches, width, dropout)
        self.normalize = layers.LayerNormalization(epsilon=1e-6)

    def mlp(self, inner, outer, dropout):
        return keras.Sequential([layers.Dense(inner, "gelu"), layers.Dense(outer), layers.Dropout(dropout)])

    def build(self, input_shape):
        return super().build(input_shape)

    def call(self, inputs):
        x = self.normalize(inputs)
        mixed = self.tokens(ops.transpose(x, axes=(0, 2, 1)))
        x = ops.transpose(mixed, axes=(0, 2, 1)) + inputs
        return x + self.channels(self.normalize(x))


class FourierLayer(layers.Layer):
    """Mixes by the real part of a Fourier transform, in which nothing is learned."""

    def __init__(self, width, dropout):
        super().__init__()
        self.ffn = keras.Sequential(
            [layers.Dense(width, "gelu"), layers.Dropout(dropout), layers.Dense(width)]
        )
        self.first, self.second = (layers.LayerNormalization(epsilon=1e-6) for _ in range(2))

    def call(self, inputs):
        real = inputs
        imaginary = ops.zeros_like(inputs)
        x = self.first(ops.fft2((real, imaginary))[0] + inputs)
        return self.second(self.ffn(x) + x)


class GatedLayer(layers.Layer):
    """Gates half of the channels by the other half, projected over the tokens."""

    def __init__(self, num_patches, width, dropout):
        super().__init__()
        self.before = keras.Sequential([layers.Dense(width * 2, "gelu"), layers.Dropout(dropout)])
        self.after = layers.Dense(width)
        self.spatial = layers.Dense(num_patches, bias_initializer="Ones")
        self.first, self.second = (layers.LayerNormalization(epsilon=1e-6) for _ in range(2))

    def gated(self, x):
        u, v = ops.split(x, indices_or_sections=2, axis=-1)
        v = ops.transpose(self.second(v), axes=(0, 2, 1))
        return u * ops.transpose(self.spatial(v), axes=(0, 2, 1))

    def call(self, inputs):
        x = self.before(self.first(inputs))
        return inputs + self.after(self.gated(x))


def classifier_of(blocks, name):
    inputs = keras.Input((16, 16, 3))
    x = keras.Sequential([layers.Normalization(mean=0.1, variance=2.0), layers.RandomFlip()])(inputs)
    x = layers.Reshape((16, 8))(layers.Conv2D(8, 4, strides=4, padding="valid")(x))
    x = x + layers.Embedding(16, 8)(ops.arange(start=0, stop=16, step=1))
    x = layers.GlobalAveragePooling1D()(keras.Sequential(blocks)(x))
    return of_functional(keras.Model(inputs, layers.Dense(3)(layers.Dropout(0.2)(x)), name=name))


def kio_mlp_mixer() -> Example:
    """vision/mlp_image_classification, the first of its three."""
    return classifier_of([MixerLayer(16, 8, 0.2) for _ in range(2)], "mlp_mixer")


def kio_image_fnet() -> Example:
    """vision/mlp_image_classification, the second."""
    return classifier_of([FourierLayer(8, 0.2) for _ in range(2)], "image_fnet")


def kio_image_gmlp() -> Example:
    """vision/mlp_image_classification, the third."""
    return classifier_of([GatedLayer(16, 8, 0.2) for _ in range(2)], "image_gmlp")


# Shifted windows


def into_windows(x, size):
    _, height, width, channels = x.shape
    x = ops.reshape(x, (-1, height // size, size, width // size, size, channels))
    return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, size, size, channels))


def out_of_windows(windows, size, height, width, channels):
    x = ops.reshape(windows, (-1, height // size, width // size, size, size, channels))
    return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, height, width, channels))


class WindowAttention(layers.Layer):
    """Attention within a window, with a learned bias for each relative place."""

    def __init__(self, width, window, heads, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.width, self.window, self.heads = width, window, heads
        self.scale = (width // heads) ** -0.5
        self.qkv, self.projection = layers.Dense(width * 3), layers.Dense(width)
        self.dropout = layers.Dropout(dropout)

    def build(self, input_shape):
        places = (2 * self.window - 1) ** 2
        self.bias_table = self.add_weight(
            shape=(places, self.heads), initializer=keras.initializers.RandomNormal(), name="bias_table"
        )
        grid = np.stack(np.meshgrid(np.arange(self.window), np.arange(self.window), indexing="ij"))
        flat = grid.reshape(2, -1)
        relative = (flat[:, :, None] - flat[:, None, :]).transpose(1, 2, 0) + self.window - 1
        index = relative[..., 0] * (2 * self.window - 1) + relative[..., 1]
        self.relative_index = keras.Variable(
            initializer=index, shape=index.shape, dtype="int", trainable=False, name="relative_index"
        )

    def call(self, x, mask=None):
        _, size, channels = x.shape
        qkv = ops.reshape(self.qkv(x), (-1, size, 3, self.heads, channels // self.heads))
        qkv = ops.transpose(qkv, (2, 0, 3, 1, 4))
        q, k, v = qkv[0], qkv[1], qkv[2]
        attention = (q * self.scale) @ ops.transpose(k, (0, 1, 3, 2))
        bias = ops.take(self.bias_table, ops.reshape(self.relative_index, (-1,)), axis=0)
        bias = ops.transpose(ops.reshape(bias, (size, size, -1)), (2, 0, 1))
        attention = attention + ops.expand_dims(bias, axis=0)
        if mask is not None:
            windows = mask.shape[0]
            mask = ops.cast(ops.expand_dims(ops.expand_dims(mask, axis=1), axis=0), "float32")
            attention = ops.reshape(attention, (-1, windows, self.heads, size, size)) + mask
            attention = ops.reshape(attention, (-1, self.heads, size, size))
        attention = self.dropout(keras.activations.softmax(attention, axis=-1))
        x = ops.transpose(attention @ v, (0, 2, 1, 3))
        return self.dropout(self.projection(ops.reshape(x, (-1, size, channels))))


class SwinBlock(layers.Layer):
    """Attention within windows that are shifted, if asked for, and an MLP."""

    def __init__(self, width, patches, heads, window=2, shift=0, dropout=0.1, **kwargs):
        super().__init__(**kwargs)
        self.patches, self.window, self.shift = patches, window, shift
        self.norm1, self.norm2 = (layers.LayerNormalization(epsilon=1e-5) for _ in range(2))
        self.attention = WindowAttention(width, window, heads, dropout)
        self.drop_path = layers.Dropout(dropout)
        self.mlp = keras.Sequential(
            [layers.Dense(2 * width), layers.Activation(keras.activations.gelu), layers.Dense(width)]
        )

    def build(self, input_shape):
        self.attention.build((None, self.window**2, input_shape[-1]))
        if self.shift == 0:
            self.mask = None
            return
        height, width = self.patches
        regions = np.zeros((1, height, width, 1))
        parts = (
            slice(0, -self.window),
            slice(-self.window, -self.shift),
            slice(-self.shift, None),
        )
        for i, rows in enumerate(parts):
            for j, columns in enumerate(parts):
                regions[:, rows, columns, :] = 3 * i + j
        windows = ops.reshape(into_windows(ops.convert_to_tensor(regions), self.window), [-1, self.window**2])
        mask = ops.expand_dims(windows, axis=1) - ops.expand_dims(windows, axis=2)
        mask = ops.where(mask != 0, -100.0, mask)
        mask = ops.where(mask == 0, 0.0, mask)
        self.mask = keras.Variable(initializer=mask, shape=mask.shape, trainable=False, name="mask")

    def call(self, x, training=False):
        height, width = self.patches
        channels = x.shape[-1]
        skipped = x
        x = ops.reshape(self.norm1(x), (-1, height, width, channels))
        shifted = ops.roll(x, shift=[-self.shift, -self.shift], axis=[1, 2]) if self.shift > 0 else x
        windows = ops.reshape(into_windows(shifted, self.window), (-1, self.window**2, channels))
        windows = self.attention(windows, mask=self.mask)
        windows = ops.reshape(windows, (-1, self.window, self.window, channels))
        x = out_of_windows(windows, self.window, height, width, channels)
        if self.shift > 0:
            x = ops.roll(x, shift=[self.shift, self.shift], axis=[1, 2])
        x = skipped + self.drop_path(ops.reshape(x, (-1, height * width, channels)), training=training)
        return x + self.drop_path(self.mlp(self.norm2(x)))


class PatchMerging(layers.Layer):
    """Four neighbours become one token."""

    def __init__(self, patches, width):
        super().__init__()
        self.patches, self.reduce = patches, layers.Dense(2 * width, use_bias=False)

    def call(self, x):
        height, width = self.patches
        _, _, channels = x.shape
        x = ops.reshape(x, (-1, height, width, channels))
        corners = x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]
        x = ops.concatenate(corners, axis=-1)
        return self.reduce(ops.reshape(x, (-1, (height // 2) * (width // 2), 4 * channels)))


def kio_swin_transformer() -> Example:
    """vision/swin_transformers."""
    inputs = keras.Input((4, 4, 12))  # patches, which the example cuts in its data pipeline
    x = layers.Dense(8)(layers.Reshape((16, 12))(inputs))
    x = x + layers.Embedding(16, 8)(ops.arange(16))
    x = SwinBlock(8, (4, 4), 2, shift=0)(x)
    x = SwinBlock(8, (4, 4), 2, shift=1)(x)
    x = layers.GlobalAveragePooling1D()(PatchMerging((4, 4), 8)(x))
    outputs = layers.Dense(3, activation="softmax")(x)
    return of_functional(keras.Model(inputs, outputs, name="swin"), batch=LARGER_BATCH)


# Involution


class Involution(layers.Layer):
    """A kernel for each pixel, made of that pixel, and shared by the channels; the kernel comes out too."""

    def __init__(self, channel, group_number, kernel_size, stride, reduction_ratio, name):
        super().__init__(name=name)
        self.channel, self.group_number = channel, group_number
        self.kernel_size, self.stride, self.reduction_ratio = kernel_size, stride, reduction_ratio

    def build(self, input_shape):
        _, height, width, channels = input_shape
        height, width = height // self.stride, width // self.stride
        self.stride_layer = (
            layers.AveragePooling2D(self.stride, self.stride, padding="same")
            if self.stride > 1
            else layers.Identity()
        )
        self.kernel_gen = keras.Sequential(
            [
                layers.Conv2D(self.channel // self.reduction_ratio, 1),
                layers.BatchNormalization(),
                layers.ReLU(),
                layers.Conv2D(self.kernel_size**2 * self.group_number, 1),
            ]
        )
        groups = channels // self.group_number
        area = self.kernel_size**2
        self.kernel_reshape = layers.Reshape((height, width, area, 1, self.group_number))
        self.patches_reshape = layers.Reshape((height, width, area, groups, self.group_number))
        self.output_reshape = layers.Reshape((height, width, channels))

    def call(self, x):
        kernel = self.kernel_reshape(self.kernel_gen(self.stride_layer(x)))
        patches = ops.image.extract_patches(
            x, size=self.kernel_size, strides=self.stride, dilation_rate=1, padding="same"
        )
        output = ops.sum(kernel * self.patches_reshape(patches), axis=3)
        return self.output_reshape(output), kernel


def kio_involution() -> Example:
    """vision/involution."""
    inputs = keras.Input((8, 8, 4))
    x = inputs
    for i, stride in enumerate((1, 2)):
        x, _ = Involution(4, 2, 3, stride, 2, f"inv_{i}")(x)
        x = layers.ReLU()(x)
    x = layers.Dense(8, activation="relu")(layers.Flatten()(x))
    model = keras.Model(inputs, layers.Dense(3)(x), name="involution")
    return of_functional(model, batch=LARGER_BATCH)


# Bags of instances


class BagAttention(layers.Layer):
    """One gated weight for each instance of a bag, which is a list of tensors."""

    def __init__(self, width, use_gated=False, **kwargs):
        super().__init__(**kwargs)
        self.width, self.use_gated = width, use_gated
        self.regularizer = keras.regularizers.get(keras.regularizers.L2(0.01))

    def build(self, input_shape):
        given = {"initializer": "glorot_uniform", "regularizer": self.regularizer, "trainable": True}
        features = input_shape[0][1]
        self.v = self.add_weight(shape=(features, self.width), name="v", **given)
        self.w = self.add_weight(shape=(self.width, 1), name="w", **given)
        self.u = self.add_weight(shape=(features, self.width), name="u", **given) if self.use_gated else None

    def call(self, inputs):
        scores = [self.score(instance) for instance in inputs]
        alpha = ops.softmax(ops.stack(scores), axis=0)
        return [alpha[i] for i in range(alpha.shape[0])]

    def score(self, instance):
        original = instance
        instance = ops.tanh(ops.tensordot(instance, self.v, axes=1))
        if self.use_gated:
            instance = instance * ops.sigmoid(ops.tensordot(original, self.u, axes=1))
        return ops.tensordot(instance, self.w, axes=1)


def kio_attention_mil() -> Example:
    """vision/attention_mil_classification."""
    inputs = [keras.Input((6, 6), name=f"instance_{i}") for i in range(3)]
    shared = layers.Dense(8, activation="relu"), layers.Dense(4, activation="relu")
    embeddings = [shared[1](shared[0](layers.Flatten()(x))) for x in inputs]
    alpha = BagAttention(8, use_gated=True, name="alpha")(embeddings)
    weighted = [layers.multiply([a, e]) for a, e in zip(alpha, embeddings, strict=True)]
    outputs = layers.Dense(2, activation="softmax")(layers.concatenate(weighted, axis=1))
    return of_functional(keras.Model(inputs, outputs, name="attention_mil"))


# Tokens that are learned


class TokenLearner(keras.Model):
    """Few tokens, each a map of attention over the image, among ordinary blocks of a transformer."""

    def __init__(self, tokens=2, width=8):
        super().__init__(name="token_learner")
        self.tokens, self.width = tokens, width
        self.patcher = layers.Conv2D(width, 4, strides=4)
        self.position = layers.Embedding(16, width)
        self.maps = keras.Sequential(
            [
                layers.Conv2D(tokens, 3, activation=keras.activations.gelu, padding="same", use_bias=False)
                for _ in range(3)
            ]
            + [layers.Conv2D(tokens, 3, activation="sigmoid", padding="same", use_bias=False)]
        )
        self.norms = {name: layers.LayerNormalization(epsilon=1e-6) for name in ("learner", "block", "mlp")}
        self.attention = layers.MultiHeadAttention(2, width, dropout=0.1)
        self.mlp = [layers.Dense(2 * width, keras.activations.gelu), layers.Dropout(0.1), layers.Dense(width)]
        self.head = layers.Dense(3, activation="softmax")

    def learned(self, x):
        side = int(x.shape[1] ** 0.5)
        x = ops.reshape(self.norms["learner"](x), (-1, side, side, self.width))
        maps = ops.transpose(ops.reshape(self.maps(x), (-1, side * side, self.tokens)), (0, 2, 1))
        x = ops.reshape(x, (-1, side * side, self.width))
        return ops.mean(maps[..., None] * x[:, None], axis=2)

    def call(self, images, training=False):
        x = ops.reshape(self.patcher(images), (-1, 16, self.width))
        x = self.learned(x + self.position(ops.arange(0, 16)))
        y = self.norms["block"](x)
        x = x + self.attention(y, y, training=training)
        y = self.norms["mlp"](x)
        for layer in self.mlp:
            y = layer(y)
        return self.head(ops.mean(x + y, axis=1))


def kio_token_learner() -> Example:
    """vision/token_learner."""
    return Example(TokenLearner(), (Tensor((BATCH, 16, 16, 3), normal()),))

"""Five models as users write them: subclassed, tiny, with random weights, and what to call them with.

example = EXAMPLES["decoder"]
model, x = example.build(), example.batch(4)
prepared = kerasfx.prepare_model(model, example.symbolic())
count_layers(prepared)  # {"built-in": 32, "kerasfx": 86}
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops


class ResidualBlock(keras.layers.Layer):
    """Two convolutions and what they are added to."""

    def __init__(self, filters: int, strides: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.conv1 = keras.layers.Conv2D(filters, 3, strides, padding="same", use_bias=False)
        self.norm1 = keras.layers.BatchNormalization()
        self.conv2 = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)
        self.norm2 = keras.layers.BatchNormalization()
        self.shortcut = keras.layers.Conv2D(filters, 1, strides) if strides > 1 else None

    def call(self, x, training=None):
        y = ops.relu(self.norm1(self.conv1(x), training=training))
        y = self.norm2(self.conv2(y), training=training)
        return ops.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class ResidualCNN(keras.Model):
    """A ResNet for images of 16x16, which are normalised already."""

    def __init__(self, classes: int = 10, **kwargs):
        super().__init__(**kwargs)
        self.stem = keras.layers.Conv2D(8, 3, padding="same", use_bias=False)
        self.norm = keras.layers.BatchNormalization()
        self.stages = [ResidualBlock(8), ResidualBlock(16, strides=2), ResidualBlock(16)]
        self.head = keras.layers.Dense(classes)

    def call(self, x, training=None):
        x = ops.relu(self.norm(self.stem(x), training=training))
        for stage in self.stages:
            x = stage(x, training=training)
        return self.head(ops.mean(x, axis=(1, 2)))


class TransformerBlock(keras.layers.Layer):
    """Attention and two dense layers, normalised before."""

    def __init__(self, dim: int, heads: int, rate: float = 0.1, **kwargs):
        super().__init__(**kwargs)
        self.norm1 = keras.layers.LayerNormalization(epsilon=1e-6)
        self.attention = keras.layers.MultiHeadAttention(heads, dim // heads)
        self.norm2 = keras.layers.LayerNormalization(epsilon=1e-6)
        self.expand = keras.layers.Dense(2 * dim)
        self.project = keras.layers.Dense(dim)
        self.dropout = keras.layers.Dropout(rate)

    def call(self, x, training=None):
        y = self.norm1(x)
        x = x + self.dropout(self.attention(y, y), training=training)
        y = self.project(ops.gelu(self.expand(self.norm2(x)), approximate=False))
        return x + self.dropout(y, training=training)


class VisionTransformer(keras.Model):
    """Patches, a class token, a table of positions; takes pixels from 0 to 255."""

    def __init__(self, dim: int = 32, size: int = 16, patch: int = 4, classes: int = 10, **kwargs):
        super().__init__(**kwargs)
        self.dim = dim
        self.patches = (size // patch) ** 2
        self.embed = keras.layers.Conv2D(dim, patch, strides=patch)
        self.class_token = self.add_weight(shape=(1, 1, dim), initializer="random_normal", name="class_token")
        self.positions = self.add_weight(
            shape=(1, self.patches + 1, dim), initializer="random_normal", name="positions"
        )
        self.blocks = [TransformerBlock(dim, heads=4) for _ in range(2)]
        self.norm = keras.layers.LayerNormalization(epsilon=1e-6)
        self.head = keras.layers.Dense(classes)

    def call(self, images, training=None):
        x = self.embed(images / 127.5 - 1.0)
        x = ops.reshape(x, (-1, self.patches, self.dim))
        token = ops.broadcast_to(self.class_token, (ops.shape(x)[0], 1, self.dim))
        x = ops.concatenate([token, x], axis=1) + self.positions
        for block in self.blocks:
            x = block(x, training=training)
        return self.head(self.norm(x)[:, 0])


class TextClassifier(keras.Model):
    """Tokens, where 0 is padding, and a recurrent layer that skips it."""

    def __init__(self, vocabulary: int = 100, dim: int = 16, classes: int = 4, **kwargs):
        super().__init__(**kwargs)
        self.dim = dim
        self.embed = keras.layers.Embedding(vocabulary, dim, mask_zero=True)
        self.dropout = keras.layers.Dropout(0.1)
        self.recurrent = keras.layers.Bidirectional(keras.layers.LSTM(16, return_sequences=True))
        self.pool = keras.layers.GlobalAveragePooling1D()
        self.hidden = keras.layers.Dense(32)
        self.head = keras.layers.Dense(classes)

    def call(self, tokens, training=None):
        x = self.embed(tokens) * self.dim**0.5
        x = self.pool(self.recurrent(self.dropout(x, training=training)))
        return self.head(ops.tanh(self.hidden(x)))


class RMSNorm(keras.layers.Layer):
    """Root mean square normalisation."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")

    def call(self, x):
        variance = ops.mean(ops.square(x), axis=-1, keepdims=True)
        return x * ops.rsqrt(variance + 1e-6) * self.scale


def rotate(x):
    """Rotary position embedding of `x`, `(batch, time, heads, dim)`."""
    time, dim = ops.shape(x)[1], x.shape[-1]
    frequencies = 10000.0 ** (-np.arange(0, dim, 2, dtype="float32") / dim)
    angles = ops.cast(ops.arange(time), "float32")[:, None] * frequencies[None, :]
    cos, sin = ops.cos(angles)[None, :, None, :], ops.sin(angles)[None, :, None, :]
    first, second = ops.split(x, 2, axis=-1)
    return ops.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


class Attention(keras.layers.Layer):
    """Causal attention with rotary positions."""

    def __init__(self, dim: int, heads: int, **kwargs):
        super().__init__(**kwargs)
        self.dim, self.heads = dim, heads

    def build(self, shape):
        split = (self.dim, self.heads, self.dim // self.heads)
        self.query = self.add_weight(shape=split, name="query")
        self.key = self.add_weight(shape=split, name="key")
        self.value = self.add_weight(shape=split, name="value")
        self.output_kernel = self.add_weight(shape=(self.dim, self.dim), name="output_kernel")

    def call(self, x):
        q = rotate(ops.einsum("btd,dhk->bthk", x, self.query))
        k = rotate(ops.einsum("btd,dhk->bthk", x, self.key))
        v = ops.einsum("btd,dhk->bthk", x, self.value)
        scores = ops.einsum("bqhk,bthk->bhqt", q, k) / (self.dim // self.heads) ** 0.5
        time = ops.shape(x)[1]
        scores = ops.where(ops.tril(ops.ones((time, time), "bool")), scores, -1e9)
        y = ops.einsum("bhqt,bthk->bqhk", ops.softmax(scores), v)
        return ops.matmul(ops.reshape(y, (-1, time, self.dim)), self.output_kernel)


class FeedForward(keras.layers.Layer):
    """SwiGLU."""

    def __init__(self, dim: int, hidden: int, **kwargs):
        super().__init__(**kwargs)
        self.dim, self.hidden = dim, hidden

    def build(self, shape):
        self.gate = self.add_weight(shape=(self.dim, self.hidden), name="gate")
        self.up = self.add_weight(shape=(self.dim, self.hidden), name="up")
        self.down = self.add_weight(shape=(self.hidden, self.dim), name="down")

    def call(self, x):
        return ops.matmul(ops.silu(ops.matmul(x, self.gate)) * ops.matmul(x, self.up), self.down)


class DecoderBlock(keras.layers.Layer):
    """Attention and feed-forward, normalised before."""

    def __init__(self, dim: int, heads: int, **kwargs):
        super().__init__(**kwargs)
        self.norm1, self.attention = RMSNorm(), Attention(dim, heads)
        self.norm2, self.feed_forward = RMSNorm(), FeedForward(dim, 2 * dim)

    def call(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.feed_forward(self.norm2(x))


class Decoder(keras.Model):
    """A language model in the style of Llama; `tied` uses the table of tokens as its head, too."""

    def __init__(self, vocabulary: int = 96, dim: int = 32, heads: int = 4, tied: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.embed = keras.layers.Embedding(vocabulary, dim)
        self.blocks = [DecoderBlock(dim, heads) for _ in range(2)]
        self.norm = RMSNorm()
        self.head = None if tied else keras.layers.Dense(vocabulary, use_bias=False)

    def call(self, tokens):
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        if self.head is None:
            return ops.matmul(x, ops.transpose(self.embed.embeddings))
        return self.head(x)


class HandwrittenMLP(keras.Model):
    """Each weight by `add_weight`, each layer by `matmul`."""

    def __init__(self, inputs: int = 16, hidden: int = 32, classes: int = 5, **kwargs):
        super().__init__(**kwargs)
        sizes = [inputs, hidden, hidden, classes]
        self.kernels = [
            self.add_weight(shape=s, initializer="glorot_uniform", name=f"kernel{i}")
            for i, s in enumerate(itertools.pairwise(sizes))
        ]
        self.biases = [
            self.add_weight(shape=(n,), initializer="random_normal", name=f"bias{i}")
            for i, n in enumerate(sizes[1:])
        ]

    def call(self, x):
        for kernel, bias in zip(self.kernels[:-1], self.biases[:-1], strict=True):
            x = ops.relu(ops.matmul(x, kernel) + bias)
        return ops.matmul(x, self.kernels[-1]) + self.biases[-1]


def _images(shape: tuple[int, ...]) -> np.ndarray:
    return _random().normal(size=shape).astype("float32")


def _pixels(shape: tuple[int, ...]) -> np.ndarray:
    return _random().integers(0, 256, shape).astype("float32")


def _tokens(shape: tuple[int, ...]) -> np.ndarray:
    return _random().integers(1, 90, shape).astype("int32")


def _padded(shape: tuple[int, ...]) -> np.ndarray:
    tokens = _tokens(shape)
    lengths = _random().integers(2, shape[1] + 1, shape[0])
    return np.where(np.arange(shape[1]) < lengths[:, None], tokens, 0).astype("int32")


def _random() -> np.random.Generator:
    return np.random.default_rng(0)


@dataclass(frozen=True)
class Example:
    """A model and what it takes.

    Attributes:
        make: Makes the model, which is not built yet.
        shape: Of one row of its input.
        values: Makes an input of a shape.
        classes: How many logits it gives, for each row or for each token.
        per_token: Whether it gives them for each token.
    """

    make: Callable[[], keras.Model]
    shape: tuple[int, ...]
    values: Callable[[tuple[int, ...]], np.ndarray]
    classes: int
    per_token: bool = False

    @property
    def dtype(self) -> str:
        return self.batch(1).dtype.name

    def build(self) -> keras.Model:
        """The model with the same random weights at every call."""
        keras.utils.set_random_seed(0)
        model = self.make()
        model(self.batch(2))
        _spread(model)
        return model

    def batch(self, rows: int) -> np.ndarray:
        return self.values((rows, *self.shape))

    def labels(self, rows: int) -> np.ndarray:
        """A class for each row, or for each token of the decoders."""
        shape = (rows, *self.shape) if self.per_token else (rows,)
        return _random().integers(0, self.classes, shape).astype("int32")

    def symbolic(self) -> keras.KerasTensor:
        """An input with any number of rows."""
        return keras.Input(self.shape, dtype=self.dtype, name="x")


def _spread(model: keras.Model) -> None:
    """Give statistics, scales and offsets other values than 0 and 1, as training does."""
    random = _random()
    for variable in model.variables:
        if len(variable.shape) == 1 and variable.dtype == "float32":
            noise = random.uniform(0.0, 0.2, variable.shape).astype("float32")
            variable.assign(ops.convert_to_numpy(variable) + noise)


EXAMPLES = {
    "residual_cnn": Example(ResidualCNN, (16, 16, 3), _images, 10),
    "vit": Example(VisionTransformer, (16, 16, 3), _pixels, 10),
    "text_classifier": Example(TextClassifier, (12,), _padded, 4),
    "decoder": Example(Decoder, (12,), _tokens, 96, per_token=True),
    "tied_decoder": Example(lambda: Decoder(tied=True), (12,), _tokens, 96, per_token=True),
    "mlp_by_hand": Example(HandwrittenMLP, (16,), _images, 5),
}
"""By name."""


def count_layers(model: keras.Model) -> dict[str, int]:
    """How many layers of a flat model are built-in, of kerasfx, and of anybody else."""
    counts = Counter(_kind(layer) for layer in model.layers)
    return {kind: counts[kind] for kind in ("built-in", "kerasfx", "other") if counts[kind]}


def _kind(layer: keras.layers.Layer) -> str:
    package = type(layer).__module__.partition(".")[0]
    return {"keras": "built-in", "kerasfx": "kerasfx"}.get(package, "other")

"""Models written twice: as a subclassed model, and by hand as the Functional model that says the same.

The twin is what somebody would write who had no `kerasfx`: standard layers, and a layer of their own where
Keras has none. Both have the same variables in the same order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers, ops


@dataclass(frozen=True)
class Written:
    """A model that was written twice.

    Attributes:
        original: Makes the subclassed model, which is not built.
        twin: Makes the Functional model.
        inputs: What both are called with: arrays of a batch of one.
        order: Where the weights of the twin stand among those of the original; None for the same order.
    """

    original: Callable[[], keras.Model]
    twin: Callable[[], keras.Model]
    inputs: Any
    order: tuple[int, ...] | None = None

    @property
    def symbolic(self) -> Any:
        """The symbolic inputs that say the same, of any batch size."""
        return keras.tree.map_structure(lambda x: keras.Input(x.shape[1:], dtype=str(x.dtype)), self.inputs)

    def made(self) -> tuple[keras.Model, keras.Model]:
        """Both, with the same weights.

        Raises:
            AssertionError: They are not twins.
        """
        original, twin = self.original(), self.twin()
        expected = ops.convert_to_numpy(original(self.inputs))
        sources = [original.weights[k] for k in self.order or range(len(original.weights))]
        for source, target in zip(sources, twin.weights, strict=True):
            # In an array of its own: on JAX `fit` and `predict` donate those of a model.
            target.assign(ops.copy(source.value))
        np.testing.assert_allclose(expected, ops.convert_to_numpy(twin(self.inputs)), rtol=1e-4, atol=1e-4)
        return original, twin


class Own(layers.Layer):
    """A weight that is added to tokens, or with `first` put before them; in a twin it stays a layer."""

    def __init__(self, shape: tuple[int, ...], first: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.shape, self.first = tuple(shape), first
        self.table = self.add_weight(shape=self.shape, initializer="random_normal", name="table")

    def build(self, input_shape: Any) -> None:
        self.built = True

    def call(self, x: Any) -> Any:
        if not self.first:
            return x + self.table
        return ops.concatenate([ops.broadcast_to(self.table, (ops.shape(x)[0], *self.shape[1:])), x], axis=1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, tokens, width = input_shape
        return batch, tokens + self.first, width

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "shape": self.shape, "first": self.first}


# Residual blocks


class Block(layers.Layer):
    """`x + Dense(relu(Dense(norm(x))))`."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = layers.LayerNormalization()
        self.expand = layers.Dense(2 * width, activation="relu")
        self.contract = layers.Dense(width)

    def call(self, x: Any) -> Any:
        return x + self.contract(self.expand(self.norm(x)))


class Blocks(keras.Model):
    """Residual blocks in a row."""

    def __init__(self, count: int, width: int):
        super().__init__(name="blocks")
        self.blocks = [Block(width) for _ in range(count)]

    def call(self, x: Any) -> Any:
        for block in self.blocks:
            x = block(x)
        return x


def twin_of_blocks(count: int, width: int) -> keras.Model:
    """The twin of `Blocks`."""
    x = start = keras.Input((width,))
    for _ in range(count):
        h = layers.LayerNormalization()(x)
        h = layers.Dense(2 * width, activation="relu")(h)
        x = layers.add([x, layers.Dense(width)(h)])
    return keras.Model(start, x)


def blocks(count: int, width: int = 32) -> Written:
    """Residual blocks in a row."""
    inputs = np.ones((1, width), "float32")
    return Written(lambda: Blocks(count, width), lambda: twin_of_blocks(count, width), inputs)


# Transformers


class Parts(layers.Layer):
    """What a block of a transformer is made of, in the order in which it runs."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0, norm_first: bool = True):
        super().__init__()
        if norm_first:
            self.norm_1 = layers.LayerNormalization(epsilon=1e-6)
        self.attention = layers.MultiHeadAttention(heads, width // heads)
        # Of attention, or of the whole block.
        self.norm_2 = layers.LayerNormalization(epsilon=1e-6)
        self.expand = layers.Dense(4 * width, activation="gelu")
        self.contract = layers.Dense(width)
        if not norm_first:
            self.norm_3 = layers.LayerNormalization(epsilon=1e-6)
        self.dropout = layers.Dropout(dropout)


class VisionBlock(Parts):
    """Norms before attention and before the dense layers."""

    def call(self, x: Any) -> Any:
        h = self.norm_1(x)
        x = x + self.dropout(self.attention(h, h))
        return x + self.dropout(self.contract(self.expand(self.norm_2(x))))


class TextBlock(Parts):
    """Norms behind attention and behind the dense layers."""

    def call(self, x: Any, mask: Any) -> Any:
        x = self.norm_2(x + self.dropout(self.attention(x, x, attention_mask=mask)))
        return self.norm_3(x + self.dropout(self.contract(self.expand(x))))


class VisionTransformer(keras.Model):
    """A ViT for square images."""

    def __init__(self, image: int, patch: int, width: int, heads: int, depth: int, classes: int):
        super().__init__(name="vit")
        self.patches = layers.Conv2D(width, patch, strides=patch)
        self.token = Own((1, 1, width), first=True)
        self.positions = Own((1, (image // patch) ** 2 + 1, width))
        self.blocks = [VisionBlock(width, heads) for _ in range(depth)]
        self.norm = layers.LayerNormalization(epsilon=1e-6)
        self.head = layers.Dense(classes)

    def call(self, images: Any) -> Any:
        x = self.patches(images)
        batch, _, _, width = ops.shape(x)
        x = self.positions(self.token(ops.reshape(x, (batch, -1, width))))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


def twin_of_vision(image: int, patch: int, width: int, heads: int, depth: int, classes: int) -> keras.Model:
    """The twin of `VisionTransformer`."""
    count = (image // patch) ** 2
    x = start = keras.Input((image, image, 3))
    x = layers.Reshape((count, width))(layers.Conv2D(width, patch, strides=patch)(x))
    x = Own((1, count + 1, width))(Own((1, 1, width), first=True)(x))
    for _ in range(depth):
        norm, attention = (
            layers.LayerNormalization(epsilon=1e-6),
            layers.MultiHeadAttention(heads, width // heads),
        )
        dropout, h = layers.Dropout(0.0), norm(x)
        x = layers.add([x, dropout(attention(h, h))])
        h = layers.LayerNormalization(epsilon=1e-6)(x)
        h = layers.Dense(width)(layers.Dense(4 * width, activation="gelu")(h))
        x = layers.add([x, dropout(h)])
    x = layers.LayerNormalization(epsilon=1e-6)(x)[:, 0]
    return keras.Model(start, layers.Dense(classes)(x))


def vision(image: int, *sizes: int) -> Written:
    """A vision transformer."""
    inputs = np.ones((1, image, image, 3), "float32")
    return Written(lambda: VisionTransformer(image, *sizes), lambda: twin_of_vision(image, *sizes), inputs)


class TextTransformer(keras.Model):
    """A BERT."""

    def __init__(self, vocabulary: int, length: int, width: int, heads: int, depth: int):
        super().__init__(name="bert")
        self.tokens = layers.Embedding(vocabulary, width)
        self.segments = layers.Embedding(2, width)
        self.positions = Own((1, length, width))
        self.norm = layers.LayerNormalization(epsilon=1e-12)
        self.dropout = layers.Dropout(0.1)
        self.blocks = [TextBlock(width, heads, 0.1, norm_first=False) for _ in range(depth)]
        self.pooler = layers.Dense(width, activation="tanh")

    def call(self, inputs: Any) -> Any:
        x = self.tokens(inputs["tokens"]) + self.segments(inputs["segments"])
        x = self.dropout(self.norm(self.positions(x)))
        mask = ops.expand_dims(inputs["padding"], 1)
        for block in self.blocks:
            x = block(x, mask)
        return self.pooler(x[:, 0])


KINDS = {"tokens": "int32", "segments": "int32", "padding": "bool"}
"""The inputs of a text."""


def twin_of_text(vocabulary: int, length: int, width: int, heads: int, depth: int) -> keras.Model:
    """The twin of `TextTransformer`."""
    start = {name: keras.Input((length,), dtype=dtype, name=name) for name, dtype in KINDS.items()}
    x = layers.add(
        [layers.Embedding(vocabulary, width)(start["tokens"]), layers.Embedding(2, width)(start["segments"])]
    )
    x = layers.LayerNormalization(epsilon=1e-12)(Own((1, length, width))(x))
    x, mask = layers.Dropout(0.1)(x), ops.expand_dims(start["padding"], 1)
    for _ in range(depth):
        dropout = layers.Dropout(0.1)
        h = layers.MultiHeadAttention(heads, width // heads)(x, x, attention_mask=mask)
        x = layers.LayerNormalization(epsilon=1e-6)(layers.add([x, dropout(h)]))
        h = layers.Dense(width)(layers.Dense(4 * width, activation="gelu")(x))
        x = layers.LayerNormalization(epsilon=1e-6)(layers.add([x, dropout(h)]))
    return keras.Model(start, layers.Dense(width, activation="tanh")(x[:, 0]))


def text(vocabulary: int, length: int, *sizes: int) -> Written:
    """A transformer for texts of one length."""
    inputs = {name: np.ones((1, length), dtype) for name, dtype in KINDS.items()}
    given = (vocabulary, length, *sizes)
    return Written(lambda: TextTransformer(*given), lambda: twin_of_text(*given), inputs)


MODELS: dict[str, Callable[[], Written]] = {
    "2 blocks": lambda: blocks(2),
    "10 blocks": lambda: blocks(10),
    "100 blocks": lambda: blocks(100),
    "200 blocks": lambda: blocks(200),
    "500 blocks": lambda: blocks(500),
    "2000 blocks": lambda: blocks(2000),
    "ViT-Base": lambda: vision(224, 16, 768, 12, 12, 1000),
    "BERT-Base": lambda: text(30522, 128, 768, 12, 12),
    "2 GB": lambda: blocks(8, 4096),
}
"""The models by name: transformers of real widths, and as many blocks as nobody has."""

"""The twins of two models of the demo: Functional models that say the same, written by hand."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from benchmarks.twins import Written
from examples import models


class Embedded(models.TokenAndPositionEmbedding):
    """Can be saved, as the layer of the demo cannot."""

    def __init__(self, length: int, vocabulary: int, width: int, **kwargs):
        super().__init__(length, vocabulary, width, **kwargs)
        self.sizes = {"length": length, "vocabulary": vocabulary, "width": width}

    def get_config(self):
        return {**super().get_config(), **self.sizes}


def twin_of_text(
    vocabulary: int = 20_000, length: int = 200, width: int = 32, heads: int = 2, hidden: int = 32
) -> keras.Model:
    """The twin of `text_classifier`: only the embedding of positions stays a layer of its own."""
    tokens = keras.Input((length,), dtype="int32", name="tokens")
    x = Embedded(length, vocabulary, width)(tokens)
    attended = layers.MultiHeadAttention(num_heads=heads, key_dim=width)(x, x)
    dense = layers.Dense(hidden, activation="relu"), layers.Dense(width)
    x = layers.LayerNormalization(epsilon=1e-6)(layers.add([x, layers.Dropout(0.1)(attended)]))
    forward = layers.Dropout(0.1)(dense[1](dense[0](x)))
    x = layers.LayerNormalization(epsilon=1e-6)(layers.add([x, forward]))
    x = layers.Dropout(0.1)(layers.GlobalAveragePooling1D()(x))
    x = layers.Dropout(0.1)(layers.Dense(20, activation="relu")(x))
    return keras.Model(tokens, layers.Dense(2, activation="softmax")(x))


def text() -> Written:
    """The text classifier of the demo."""
    # In the original both norms of the block stand behind its dense layers.
    order = (*range(10), 14, 15, 10, 11, 12, 13, *range(16, 22))
    return Written(models.text_classifier, twin_of_text, np.ones((1, 200), "int32"), order)


def twin_of_embedded(width: int = 16, classes: int = 10) -> keras.Model:
    """The twin of `embedded_classifier`."""
    features = keras.Input((64,))
    x = layers.Dense(32)(layers.Dense(width, activation="relu")(features))
    x = layers.ReLU()(layers.BatchNormalization()(x))
    return keras.Model(features, layers.Dense(classes, activation="softmax")(x))


def embedded() -> Written:
    """The classifier of the demo inside of another model."""
    return Written(models.embedded_classifier, twin_of_embedded, np.ones((1, 64), "float32"))

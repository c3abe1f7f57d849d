"""A script for AIMET, after the first example in its pages: two custom layers in a Functional model."""

import sys

import numpy as np
import tensorflow as tf
from aimet_tensorflow.keras.model_preparer import prepare_model

LENGTH, WORDS, WIDTH = 200, 20_000, 32


class TokensAndPositions(tf.keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.tokens = tf.keras.layers.Embedding(WORDS, WIDTH)
        self.positions = tf.keras.layers.Embedding(LENGTH, WIDTH)

    def call(self, x, **kwargs):
        length = tf.shape(x)[-1]
        places = self.positions(tf.range(start=0, limit=length, delta=1))
        return self.tokens(x) + places


class Block(tf.keras.layers.Layer):
    def __init__(self, rate=0.1):
        super(Block, self).__init__()  # noqa: UP008 (as it was written then)
        self.attention = tf.keras.layers.MultiHeadAttention(num_heads=2, key_dim=WIDTH)
        self.feed_forward = tf.keras.Sequential(
            [tf.keras.layers.Dense(WIDTH, activation="relu"), tf.keras.layers.Dense(WIDTH)]
        )
        self.norms = [tf.keras.layers.LayerNormalization(epsilon=1e-6) for _ in range(2)]
        self.dropouts = [tf.keras.layers.Dropout(rate) for _ in range(2)]

    def call(self, inputs, training=None, **kwargs):
        attended = self.dropouts[0](self.attention(inputs, inputs), training=training)
        x = self.norms[0](inputs + attended)
        return self.norms[1](x + self.dropouts[1](self.feed_forward(x), training=training))


inputs = tf.keras.layers.Input(shape=(LENGTH,))
x = Block()(TokensAndPositions()(inputs))
x = tf.keras.layers.GlobalAveragePooling1D()(x)
x = tf.keras.layers.Dropout(0.1)(x)
x = tf.keras.layers.Dense(20, activation="relu")(x)
outputs = tf.keras.layers.Dense(2, activation="softmax")(x)
model = tf.keras.Model(inputs=inputs, outputs=outputs)

texts = np.random.randint(0, WORDS, (4, LENGTH))
expected = model(texts)
prepared = prepare_model(model)
print("arguments:", sys.argv[1:])
print("outputs equal:", np.array_equal(prepared(texts), expected))
print("weights:", *(sum(tf.size(w).numpy() for w in m.trainable_weights) for m in (model, prepared)))
print("layers:", *[type(layer).__name__ for layer in prepared.layers])

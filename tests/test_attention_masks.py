"""Keras's attention takes the masks away from the tensors that it was given, for all that is called later."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerasfx

pytestmark = pytest.mark.any_keras

TOKENS = np.array([[1, 2, 3, 0], [4, 0, 0, 0], [1, 2, 3, 4]], "int32")


class Twice(keras.Model):
    """The second attention sees no padding any more."""

    def __init__(self):
        super().__init__()
        self.embedding = layers.Embedding(5, 4, mask_zero=True)
        self.first, self.second = layers.MultiHeadAttention(2, 3), layers.MultiHeadAttention(2, 3)

    def call(self, tokens):
        x = self.embedding(tokens)
        return self.first(x, x) + 2 * self.second(x, x)


class Decoder(keras.Model):
    """What was encoded is padded for the first layer alone; the mask of the tokens is lost on the way."""

    def __init__(self):
        super().__init__()
        self.embedding = layers.Embedding(5, 4, mask_zero=True)
        self.attentions = [layers.MultiHeadAttention(2, 3) for _ in range(4)]
        self.add, self.pool = layers.Add(), layers.GlobalAveragePooling1D()

    def call(self, tokens):
        encoded, x = self.embedding(tokens), self.embedding(ops.flip(tokens, axis=1))
        for to_itself, to_encoded in zip(self.attentions[::2], self.attentions[1::2], strict=True):
            x = self.add([x, to_itself(x, x)])
            x = self.add([x, to_encoded(x, encoded)])
        return self.pool(x)


class Masked(layers.Layer):
    """Says itself what the mask of its result is, after it was taken away."""

    def __init__(self):
        super().__init__()
        self.attention, self.add = layers.MultiHeadAttention(2, 3), layers.Add()
        self.supports_masking = True

    def call(self, x):
        return self.add([x, self.attention(x, x)])

    def compute_mask(self, x, mask=None):
        return mask


class Pooled(keras.Model):
    def __init__(self):
        super().__init__()
        self.embedding = layers.Embedding(5, 4, mask_zero=True)
        self.inner, self.pool = Masked(), layers.GlobalAveragePooling1D()

    def call(self, tokens):
        return self.pool(self.inner(self.embedding(tokens)))


class Before(keras.Model):
    """A Functional model would run the attention first: more layers follow it."""

    def __init__(self):
        super().__init__()
        self.embedding, self.other = layers.Embedding(5, 4, mask_zero=True), layers.Embedding(5, 4)
        self.attention, self.larger = layers.MultiHeadAttention(2, 3), layers.Maximum()
        self.after = [layers.Dense(4) for _ in range(3)]

    def call(self, tokens):
        x = self.embedding(tokens)
        larger, y = self.larger([x, self.other(tokens)]), self.attention(x, x)
        for dense in self.after:
            y = dense(y)
        return larger, y


@pytest.mark.parametrize("cls", [Twice, Decoder, Pooled, Before])
def test_is_the_same_model(cls):
    model = cls()
    expected = model(TOKENS)
    prepared = kerasfx.prepare_model(model, keras.Input((4,), dtype="int32"), verify=False)
    for ours, theirs in zip(keras.tree.flatten(prepared(TOKENS)), keras.tree.flatten(expected), strict=True):
        np.testing.assert_allclose(*map(ops.convert_to_numpy, (ours, theirs)), rtol=1e-5)
    comparison = kerasfx.compare(model, prepared, inputs=TOKENS)
    assert comparison.equivalent, comparison


def test_a_functional_model_hands_its_masks_on():
    """There each mask is an argument, which nothing takes away."""
    tokens = keras.Input((4,), dtype="int32")
    x = layers.Embedding(5, 4, mask_zero=True)(tokens)
    y = layers.MultiHeadAttention(2, 3)(x, x) + 2 * layers.MultiHeadAttention(2, 3)(x, x)
    model = keras.Model(tokens, layers.GlobalAveragePooling1D()(Masked()(y)))
    prepared = kerasfx.prepare_model(model, verify=False)
    comparison = kerasfx.compare(model, prepared, inputs=TOKENS)
    assert comparison.equivalent, comparison

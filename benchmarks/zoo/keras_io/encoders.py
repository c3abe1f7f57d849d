"""Encoders of text: of hidden words, and of two texts that are to be compared."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
from keras import layers, ops

from benchmarks.zoo.example import Axis, Example, integers, of_functional
from benchmarks.zoo.keras_io.text_classification import TokenAndPositionEmbedding, TransformerBlock

VOCABULARY, LONGEST, WIDTH, INNER, HEADS = 20, 16, 8, 16, 2

ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
"""Where the steps of most examples work: they are written with `tf.GradientTape`."""

# nlp/masked_language_modeling


class MaskedLanguageModel(keras.Model):
    """Functional by inheritance, with a step that weighs the words that were hidden."""

    loss_fn = keras.losses.SparseCategoricalCrossentropy(reduction=None)
    loss_tracker = keras.metrics.Mean(name="loss")

    def train_step(self, inputs):
        import tensorflow as tf

        features, labels, sample_weight = inputs
        with tf.GradientTape() as tape:
            predictions = self(features, training=True)
            loss = self.loss_fn(labels, predictions, sample_weight=sample_weight)
        variables = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        self.loss_tracker.update_state(loss, sample_weight=sample_weight)
        return {"loss": self.loss_tracker.result()}

    @property
    def metrics(self):
        return [self.loss_tracker]


def bert_block(query, key, value, i):
    attended = layers.MultiHeadAttention(HEADS, WIDTH // HEADS, name=f"encoder_{i}_attention")(
        query, key, value
    )
    attended = layers.Dropout(0.1, name=f"encoder_{i}_attention_dropout")(attended)
    attended = layers.LayerNormalization(epsilon=1e-6, name=f"encoder_{i}_attention_norm")(query + attended)
    ffn = keras.Sequential(
        [layers.Dense(INNER, activation="relu"), layers.Dense(WIDTH)], name=f"encoder_{i}_ffn"
    )
    output = layers.Dropout(0.1, name=f"encoder_{i}_ffn_dropout")(ffn(attended))
    return layers.LayerNormalization(epsilon=1e-6, name=f"encoder_{i}_ffn_norm")(attended + output)


def sinusoids(length, width):
    """A table of positions that is no weight of anything."""
    angles = np.arange(length)[:, None] / 10000 ** (2 * (np.arange(width)[None] // 2) / width)
    return np.where(np.arange(width) % 2, np.cos(angles), np.sin(angles)).astype("float32")


def kio_masked_language_model() -> Example:
    """nlp/masked_language_modeling."""
    inputs = layers.Input((8,), dtype="int64")
    words = layers.Embedding(VOCABULARY, WIDTH, name="word_embedding")(inputs)
    positions = layers.Embedding(8, WIDTH, name="position_embedding")
    positions.build(None)
    positions.set_weights([sinusoids(8, WIDTH)])
    x = words + positions(ops.arange(start=0, stop=8, step=1))
    for i in range(2):
        x = bert_block(x, x, x, i)
    outputs = layers.Dense(VOCABULARY, name="mlm_cls", activation="softmax")(x)
    model = MaskedLanguageModel(inputs, outputs, name="masked_bert_model")

    def own_step(model):
        model.compile(optimizer=keras.optimizers.SGD(0.01))
        words = integers(VOCABULARY, 3)((2, 8))
        weights = np.float32(integers(2, 4)((2, 8)))
        return model.train_on_batch(words, integers(VOCABULARY, 5)((2, 8)), weights, return_dict=True)

    example = of_functional(model, own_step=own_step if ON_TENSORFLOW else None)
    return replace(example, has_own_step=True)


# nlp/semantic_similarity_with_bert and nlp/sentence_embeddings_with_sbert


class MeanPooling(layers.Layer):
    """The mean of what is no padding."""

    def call(self, inputs, mask=None):
        embedded, padding_mask = inputs
        weights = ops.cast(padding_mask, embedded.dtype)[..., None]
        return ops.sum(embedded * weights, axis=1) / ops.maximum(ops.sum(weights, axis=1), 1e-9)


class RegressionSiamese(keras.Model):
    """Functional by its own `__init__`: both sentences go through the same encoder."""

    def __init__(self, encoder, **kwargs):
        sentences = keras.Input(shape=(2, None), dtype="int32", name="sentences")
        u, v = encoder(sentences[:, 0]), encoder(sentences[:, 1])
        cosine_similarity = ops.matmul(u, ops.transpose(v))
        super().__init__(inputs=sentences, outputs=cosine_similarity, **kwargs)
        self.encoder = encoder

    def get_encoder(self):
        return self.encoder


def kio_siamese_sentences() -> Example:
    """nlp/sentence_embeddings_with_sbert."""
    tokens = keras.Input((None,), dtype="int32")
    x = TransformerBlock(WIDTH, HEADS, INNER)(TokenAndPositionEmbedding(LONGEST, VOCABULARY, WIDTH)(tokens))
    pooled = MeanPooling()([x, ops.not_equal(tokens, 0)])
    normal = layers.UnitNormalization(axis=1)(pooled)
    return of_functional(RegressionSiamese(keras.Model(tokens, normal)))


def kio_similarity_bert() -> Example:
    """nlp/semantic_similarity_with_bert."""
    names = ("input_ids", "attention_masks", "token_type_ids")
    ids, mask, types = (layers.Input((None,), dtype="int32", name=n) for n in names)
    embedded = layers.Embedding(VOCABULARY, WIDTH)(ids) + layers.Embedding(2, WIDTH)(types)
    attended = layers.MultiHeadAttention(HEADS, WIDTH)(embedded, embedded, attention_mask=mask[:, None])
    x = layers.Bidirectional(layers.LSTM(6, return_sequences=True))(attended)
    pooled = [layers.GlobalAveragePooling1D()(x, mask=mask), layers.GlobalMaxPooling1D()(x)]
    x = layers.Dropout(0.3)(layers.concatenate(pooled))
    model = keras.Model([ids, mask, types], layers.Dense(3, activation="softmax")(x))
    time = Axis("time", 8)
    values = {"attention_masks": lambda s: np.minimum(integers(3)(s), 1), "token_type_ids": integers(2)}
    return of_functional(model, {"": (time,)}, values=values)

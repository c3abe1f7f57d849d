"""Models whose structure hides in `call()` methods, in the usual ways; those of AIMET are in `aimet.py`."""

import keras
from keras import layers, ops


class TokenAndPositionEmbedding(layers.Layer):
    """Embeds each token and its position: `(batch, length)` -> `(batch, length, width)`."""

    def __init__(self, length: int, vocabulary: int, width: int, **kwargs):
        super().__init__(**kwargs)
        self.tokens = layers.Embedding(vocabulary, width)
        self.positions = layers.Embedding(length, width)

    def call(self, tokens):
        positions = ops.arange(ops.shape(tokens)[-1])
        return self.tokens(tokens) + self.positions(positions)


class TransformerBlock(layers.Layer):
    """Attention and a feed-forward network, each with dropout, a residual sum and a norm."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float = 0.1, **kwargs):
        super().__init__(**kwargs)
        self.attention = layers.MultiHeadAttention(num_heads=heads, key_dim=width)
        self.feed_forward = keras.Sequential([layers.Dense(hidden, activation="relu"), layers.Dense(width)])
        self.attention_norm = layers.LayerNormalization(epsilon=1e-6)
        self.feed_forward_norm = layers.LayerNormalization(epsilon=1e-6)
        self.attention_dropout = layers.Dropout(dropout)
        self.feed_forward_dropout = layers.Dropout(dropout)

    def call(self, x):
        attended = self.attention_dropout(self.attention(x, x))
        x = self.attention_norm(x + attended)
        return self.feed_forward_norm(x + self.feed_forward_dropout(self.feed_forward(x)))


def text_classifier(
    vocabulary: int = 20_000, length: int = 200, width: int = 32, heads: int = 2, hidden: int = 32
) -> keras.Model:
    """A Functional model with two custom layers in it."""
    tokens = keras.Input((length,), dtype="int32", name="tokens")
    x = TokenAndPositionEmbedding(length, vocabulary, width)(tokens)
    x = TransformerBlock(width, heads, hidden)(x)
    x = layers.GlobalAveragePooling1D()(x)
    x = layers.Dropout(0.1)(x)
    x = layers.Dense(20, activation="relu")(x)
    x = layers.Dropout(0.1)(x)
    return keras.Model(tokens, layers.Dense(2, activation="softmax")(x), name="text_classifier")


class EmbeddedClassifier(keras.Model):
    """A subclassed model: a Dense of its own, then a Functional model that it was given."""

    def __init__(self, classifier: keras.Model, width: int = 16, **kwargs):
        super().__init__(**kwargs)
        self.embed = layers.Dense(width, activation="relu")
        self.classifier = classifier

    def call(self, x):
        return self.classifier(self.embed(x))


def embedded_classifier(width: int = 16, classes: int = 10) -> keras.Model:
    """A subclassed model around a Functional one; it is not built, call it on `(batch, any)`."""
    features = keras.Input((width,), name="features")
    x = layers.Dense(32)(features)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    scores = layers.Dense(classes, activation="softmax")(x)
    classifier = keras.Model(features, scores, name="classifier")
    return EmbeddedClassifier(classifier, width, name="embedded_classifier")


def bert_classifier() -> keras.Model:
    """A small BERT of keras-hub with random weights; nothing is downloaded."""
    import keras_hub

    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=100,
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        max_sequence_length=16,
    )
    return keras_hub.models.BertTextClassifier(
        backbone=backbone, num_classes=2, preprocessor=None, name="bert_classifier"
    )

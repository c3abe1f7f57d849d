"""The two examples in the documentation of AIMET's ModelPreparer, as written there: raw TensorFlow in `call`.

Keras 3 asks for a default of `training`, which tf.keras did not; nothing else is changed.
"""

import tensorflow as tf


class TokenAndPositionEmbedding(tf.keras.layers.Layer):
    """Embeds each token and its position."""

    def __init__(self, maxlen, vocab_size, embed_dim, **kwargs):
        super().__init__(**kwargs)
        self.token_emb = tf.keras.layers.Embedding(input_dim=vocab_size, output_dim=embed_dim)
        self.pos_emb = tf.keras.layers.Embedding(input_dim=maxlen, output_dim=embed_dim)

    def call(self, x, **kwargs):
        maxlen = tf.shape(x)[-1]
        positions = tf.range(start=0, limit=maxlen, delta=1)
        positions = self.pos_emb(positions)
        x = self.token_emb(x)
        return x + positions


class TransformerBlock(tf.keras.layers.Layer):
    """Attention and a feed-forward network."""

    def __init__(self, embed_dim, num_heads, ff_dim, rate=0.1, **kwargs):
        super().__init__(**kwargs)
        self.att = tf.keras.layers.MultiHeadAttention(num_heads=num_heads, key_dim=embed_dim)
        self.ffn = tf.keras.Sequential(
            [tf.keras.layers.Dense(ff_dim, activation="relu"), tf.keras.layers.Dense(embed_dim)]
        )
        self.layernorm1 = tf.keras.layers.LayerNormalization(epsilon=1e-6)
        self.layernorm2 = tf.keras.layers.LayerNormalization(epsilon=1e-6)
        self.dropout1 = tf.keras.layers.Dropout(rate)
        self.dropout2 = tf.keras.layers.Dropout(rate)

    def call(self, inputs, training=None, **kwargs):
        attn_output = self.att(inputs, inputs)
        attn_output = self.dropout1(attn_output, training=training)
        out1 = self.layernorm1(inputs + attn_output)
        ffn_output = self.ffn(out1)
        ffn_output = self.dropout2(ffn_output, training=training)
        return self.layernorm2(out1 + ffn_output)


def functional_with_custom_layers(
    vocab_size: int = 20_000, maxlen: int = 200, embed_dim: int = 32, num_heads: int = 2, ff_dim: int = 32
) -> tf.keras.Model:
    """The first example: a Functional model with two custom layers in it."""
    inputs = tf.keras.layers.Input(shape=(maxlen,))
    x = TokenAndPositionEmbedding(maxlen, vocab_size, embed_dim)(inputs)
    x = TransformerBlock(embed_dim, num_heads, ff_dim)(x)
    x = tf.keras.layers.GlobalAveragePooling1D()(x)
    x = tf.keras.layers.Dropout(0.1)(x)
    x = tf.keras.layers.Dense(20, activation="relu")(x)
    x = tf.keras.layers.Dropout(0.1)(x)
    outputs = tf.keras.layers.Dense(2, activation="softmax")(x)
    return tf.keras.Model(inputs=inputs, outputs=outputs, name="functional_with_custom_layers")


def get_classifier(inputs):
    """A Functional model on top of `inputs`."""
    x = tf.keras.layers.Dense(64, activation="relu")(inputs)
    x = tf.keras.layers.BatchNormalization()(x)
    outputs = tf.keras.layers.Dense(10, activation="softmax")(x)
    return tf.keras.Model(inputs=inputs, outputs=outputs)


class MyFunctionalModel(tf.keras.Model):
    """The second example: a subclassed model with a Dense and a Functional part."""

    def __init__(self, classifier, **kwargs):
        super().__init__(**kwargs)
        self.embedding = tf.keras.layers.Dense(64, activation="relu")
        self.classifier = classifier

    def call(self, x):
        return self.classifier(self.embedding(x))


def my_functional_model() -> tf.keras.Model:
    """An instance that is not built; prepare it with `input_layer=tf.keras.Input(shape=(64,))`."""
    classifier = get_classifier(tf.keras.Input(shape=(64,)))
    return MyFunctionalModel(classifier, name="my_functional_model")

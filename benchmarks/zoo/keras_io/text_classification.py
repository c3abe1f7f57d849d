"""What a text is about, and what its words are."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers, ops

from benchmarks.zoo.example import BATCH, TIME, Example, Tensor, integers, of_functional

VOCABULARY, LONGEST, WIDTH, INNER, HEADS = 20, 16, 8, 16, 2

TOKENS = Tensor((BATCH, TIME), integers(VOCABULARY))


class TransformerBlock(layers.Layer):
    """Attention and a feed-forward part, each with dropout and a sum."""

    def __init__(self, embed_dim, num_heads, ff_dim, rate=0.1):
        super().__init__()
        self.att = layers.MultiHeadAttention(num_heads=num_heads, key_dim=embed_dim)
        self.ffn = keras.Sequential([layers.Dense(ff_dim, activation="relu"), layers.Dense(embed_dim)])
        self.layernorm1 = layers.LayerNormalization(epsilon=1e-6)
        self.layernorm2 = layers.LayerNormalization(epsilon=1e-6)
        self.dropout1, self.dropout2 = layers.Dropout(rate), layers.Dropout(rate)

    def call(self, inputs, training=False):
        attended = self.dropout1(self.att(inputs, inputs), training=training)
        out = self.layernorm1(inputs + attended)
        return self.layernorm2(out + self.dropout2(self.ffn(out), training=training))


class TokenAndPositionEmbedding(layers.Layer):
    """A table for the tokens and one for where they are."""

    def __init__(self, maxlen, vocab_size, embed_dim):
        super().__init__()
        self.token_emb = layers.Embedding(input_dim=vocab_size, output_dim=embed_dim)
        self.pos_emb = layers.Embedding(input_dim=maxlen, output_dim=embed_dim)

    def call(self, x):
        positions = ops.arange(start=0, stop=ops.shape(x)[-1], step=1)
        return self.token_emb(x) + self.pos_emb(positions)


def kio_text_transformer() -> Example:
    """nlp/text_classification_with_transformer."""
    inputs = layers.Input(shape=(None,), dtype="int32")
    x = TokenAndPositionEmbedding(LONGEST, VOCABULARY, WIDTH)(inputs)
    x = TransformerBlock(WIDTH, HEADS, INNER)(x)
    x = layers.Dropout(0.1)(layers.GlobalAveragePooling1D()(x))
    x = layers.Dropout(0.1)(layers.Dense(8, activation="relu")(x))
    return of_functional(keras.Model(inputs, layers.Dense(2, activation="softmax")(x)))


# nlp/text_classification_with_switch_transformer


def load_balanced_loss(router_probs, expert_mask):
    """Grows when one expert gets more than the others."""
    num_experts = ops.shape(expert_mask)[-1]
    density = ops.mean(expert_mask, axis=0)
    density_proxy = ops.mean(router_probs, axis=0)
    return ops.mean(density_proxy * density) * ops.cast((num_experts**2), "float32")


class Router(layers.Layer):
    """Sends each token to one expert, as long as that has room."""

    def __init__(self, num_experts, expert_capacity):
        super().__init__()
        self.num_experts = num_experts
        self.route = layers.Dense(units=num_experts)
        self.expert_capacity = expert_capacity

    def call(self, inputs, training=False):
        router_logits = self.route(inputs)
        if training:
            router_logits += keras.random.uniform(
                shape=ops.shape(router_logits), minval=0.9, maxval=1.1, seed=3
            )
        router_probs = keras.activations.softmax(router_logits, axis=-1)
        expert_gate, expert_index = ops.top_k(router_probs, k=1)
        expert_mask = ops.one_hot(expert_index, self.num_experts)
        aux_loss = load_balanced_loss(router_probs, ops.squeeze(expert_mask, axis=1))
        self.add_loss(aux_loss)
        position_in_expert = ops.cast(ops.cumsum(expert_mask, axis=0) * expert_mask, "int32")
        expert_mask *= ops.cast(
            ops.less(ops.cast(position_in_expert, "int32"), self.expert_capacity), "float32"
        )
        expert_mask_flat = ops.sum(expert_mask, axis=-1)
        expert_gate *= expert_mask_flat
        combined = ops.expand_dims(
            expert_gate * expert_mask_flat * ops.squeeze(ops.one_hot(expert_index, self.num_experts), axis=1),
            axis=-1,
        ) * ops.one_hot(ops.max(position_in_expert, axis=-1), self.expert_capacity)
        dispatch = ops.cast(combined, "float32")
        return ops.cast(combined != 0, "float32"), dispatch


class Switch(layers.Layer):
    """Each expert transforms the tokens that it got; the number of tokens is known from the start."""

    def __init__(self, num_experts, embed_dim, ff_dim, num_tokens_per_batch, capacity_factor=1):
        super().__init__()
        self.num_experts, self.embed_dim = num_experts, embed_dim
        self.experts = [
            keras.Sequential([layers.Dense(ff_dim, activation="relu"), layers.Dense(embed_dim)])
            for _ in range(num_experts)
        ]
        self.expert_capacity = num_tokens_per_batch // self.num_experts
        self.router = Router(self.num_experts, self.expert_capacity)

    def call(self, inputs):
        shape = ops.shape(inputs)
        inputs = ops.reshape(inputs, [-1, self.embed_dim])
        dispatch_tensor, combine_tensor = self.router(inputs)
        expert_inputs = ops.einsum("ab,acd->cdb", inputs, dispatch_tensor)
        expert_inputs = ops.reshape(expert_inputs, [self.num_experts, self.expert_capacity, self.embed_dim])
        unstacked = ops.unstack(expert_inputs, axis=0)
        outputs = [self.experts[i](expert_input) for i, expert_input in enumerate(unstacked)]
        expert_outputs = ops.stack(outputs, axis=1)
        combined = ops.einsum("abc,xba->xc", expert_outputs, combine_tensor)
        return ops.reshape(combined, [shape[0], shape[1], self.embed_dim])


class SwitchBlock(layers.Layer):
    """A transformer block whose feed-forward part is given."""

    def __init__(self, embed_dim, num_heads, ffn, dropout_rate=0.1):
        super().__init__()
        self.att = layers.MultiHeadAttention(num_heads=num_heads, key_dim=embed_dim)
        self.ffn = ffn
        self.layernorm1 = layers.LayerNormalization(epsilon=1e-6)
        self.layernorm2 = layers.LayerNormalization(epsilon=1e-6)
        self.dropout1, self.dropout2 = layers.Dropout(dropout_rate), layers.Dropout(dropout_rate)

    def call(self, inputs, training=False):
        attended = self.dropout1(self.att(inputs, inputs), training=training)
        out = self.layernorm1(inputs + attended)
        return self.layernorm2(out + self.dropout2(self.ffn(out), training=training))


def kio_switch_transformer() -> Example:
    """nlp/text_classification_with_switch_transformer."""
    switch = Switch(3, WIDTH, INNER, num_tokens_per_batch=18)
    inputs = layers.Input(shape=(9,), dtype="int32")
    x = TokenAndPositionEmbedding(9, VOCABULARY, WIDTH)(inputs)
    x = SwitchBlock(WIDTH, HEADS, switch)(x)
    x = layers.Dropout(0.1)(layers.GlobalAveragePooling1D()(x))
    return of_functional(keras.Model(inputs, layers.Dense(2, activation="softmax")(x)))


# nlp/ner_transformers


class NERModel(keras.Model):
    """A tag for each token."""

    def __init__(self, num_tags, vocab_size, maxlen=32, embed_dim=WIDTH, num_heads=2, ff_dim=16):
        super().__init__()
        self.embedding_layer = TokenAndPositionEmbedding(maxlen, vocab_size, embed_dim)
        self.transformer_block = TransformerBlock(embed_dim, num_heads, ff_dim)
        self.dropout1 = layers.Dropout(0.1)
        self.ff = layers.Dense(ff_dim, activation="relu")
        self.dropout2 = layers.Dropout(0.1)
        self.ff_final = layers.Dense(num_tags, activation="softmax")

    def call(self, inputs, training=False):
        x = self.embedding_layer(inputs)
        x = self.transformer_block(x)
        x = self.dropout1(x, training=training)
        x = self.ff(x)
        x = self.dropout2(x, training=training)
        return self.ff_final(x)


class MaskedTokenLoss(keras.losses.Loss):
    """Padding has no say; the mean is over the tokens that are none."""

    def __init__(self, name="custom_ner_loss"):
        super().__init__(name=name)

    def call(self, y_true, y_pred):
        loss = ops.sparse_categorical_crossentropy(y_true, y_pred)
        mask = ops.cast(y_true > 0, dtype="float32")
        return ops.sum(loss * mask) / ops.sum(mask)


def kio_named_entities() -> Example:
    """nlp/ner_transformers."""

    def own_step(model):
        model.compile(keras.optimizers.SGD(0.01), loss=MaskedTokenLoss())
        tokens, tags = integers(VOCABULARY, 3)((2, 6)), integers(4, 4)((2, 6))
        return model.train_on_batch(tokens, tags, return_dict=True)

    return Example(NERModel(4, VOCABULARY), (TOKENS,), own_step=own_step)


def kio_span_extraction() -> Example:
    """nlp/text_extraction_with_bert."""
    ids, types, mask = (
        layers.Input((8,), dtype="int32", name=n) for n in ("input_ids", "token_type_ids", "attention_mask")
    )
    x = TokenAndPositionEmbedding(8, VOCABULARY, WIDTH)(ids) + layers.Embedding(2, WIDTH)(types)
    attended = layers.MultiHeadAttention(HEADS, WIDTH)(x, x, attention_mask=mask[:, None, :])
    x = layers.LayerNormalization()(x + attended)
    probabilities = []
    for name in ("start_logit", "end_logit"):
        logits = layers.Flatten()(layers.Dense(1, name=name, use_bias=False)(x))
        probabilities.append(layers.Activation(keras.activations.softmax)(logits))
    model = keras.Model(inputs=[ids, types, mask], outputs=probabilities)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=False)
    model.compile(optimizer=keras.optimizers.Adam(5e-5), loss=[loss, loss])
    return of_functional(model, values={"token_type_ids": integers(2)})


def kio_bidirectional_lstm() -> Example:
    """nlp/bidirectional_lstm_imdb, where zero is padding."""
    inputs = keras.Input(shape=(None,), dtype="int32")
    x = layers.Embedding(VOCABULARY, WIDTH, mask_zero=True)(inputs)
    x = layers.Bidirectional(layers.LSTM(6, return_sequences=True))(x)
    x = layers.Bidirectional(layers.LSTM(6))(x)
    return of_functional(keras.Model(inputs, layers.Dense(1, activation="sigmoid")(x)))


# Words go in: TensorFlow


def sentences(shape: tuple[int, ...]) -> np.ndarray:
    """Sentences of different lengths, with words that no vocabulary has, and an empty one."""
    known = np.array(["The cat sat, on the mat!", "a dog", "", "the dog barked at the unheard-of cat"])
    return known[np.arange(int(np.prod(shape))) % len(known)].reshape(shape)


def kio_text_end_to_end() -> Example:
    """nlp/pretrained_word_embeddings: from a string to classes."""
    vectorizer = layers.TextVectorization(max_tokens=12, output_sequence_length=20)
    vectorizer.adapt(np.array(["the cat sat on the mat", "the dog barked at a cat"]))
    tokens = keras.Input((None,), dtype="int64")
    table = np.random.RandomState(0).normal(size=(12, WIDTH)).astype("float32")
    embedding = layers.Embedding(12, WIDTH, trainable=False)
    embedding.build((1,))
    embedding.set_weights([table])
    x = embedding(tokens)
    for pool in (layers.MaxPooling1D(2), layers.GlobalMaxPooling1D()):
        x = pool(layers.Conv1D(8, 3, activation="relu")(x))
    x = layers.Dropout(0.5)(layers.Dense(8, activation="relu")(x))
    classifier = keras.Model(tokens, layers.Dense(4, activation="softmax")(x))
    strings = keras.Input(shape=(1,), dtype="string")
    model = keras.Model(strings, classifier(vectorizer(strings)))
    return Example(model, (Tensor((BATCH, 1), sentences),), knows_inputs=True)


def kio_multi_label() -> Example:
    """nlp/multi_label_classification: weights of words by how rare they are."""
    vectorizer = layers.TextVectorization(max_tokens=14, ngrams=2, output_mode="tf_idf")
    vectorizer.adapt(np.array(["the cat sat on the mat", "the dog barked at a cat"]))
    mlp = keras.Sequential([layers.Dense(8, "relu"), layers.Dense(8, "relu"), layers.Dense(5, "sigmoid")])
    model = keras.Sequential([keras.Input((), dtype="string"), vectorizer, mlp])
    return Example(model, (Tensor((BATCH,), sentences),), knows_inputs=True)

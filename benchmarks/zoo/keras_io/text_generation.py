"""Text that goes on, or becomes another: decoders, and encoders with decoders."""

from __future__ import annotations

import keras
from keras import layers, ops

from benchmarks.zoo.example import Axis, Example, of_functional

VOCABULARY, LONGEST, WIDTH, INNER, HEADS = 20, 16, 8, 16, 2

PAIR = {
    "encoder": (Axis("encoder_time", 8, others=(5, 12)),),
    "decoder": (Axis("decoder_time", 7, others=(4, 10)),),
}

# generative/text_generation_with_miniature_gpt


def causal_attention_mask(batch_size, n_dest, n_src, dtype):
    i, j = ops.arange(n_dest)[:, None], ops.arange(n_src)
    mask = ops.reshape(ops.cast(i >= j - n_src + n_dest, dtype), [1, n_dest, n_src])
    return ops.tile(mask, [batch_size, 1, 1])


class CausalBlock(layers.Layer):
    """Causal attention and a feed-forward part."""

    def __init__(self, embed_dim, num_heads, ff_dim, rate=0.1):
        super().__init__()
        self.att = layers.MultiHeadAttention(num_heads, embed_dim)
        self.ffn = keras.Sequential([layers.Dense(ff_dim, activation="relu"), layers.Dense(embed_dim)])
        self.layernorm1 = layers.LayerNormalization(epsilon=1e-6)
        self.layernorm2 = layers.LayerNormalization(epsilon=1e-6)
        self.dropout1, self.dropout2 = layers.Dropout(rate), layers.Dropout(rate)

    def call(self, inputs):
        shape = ops.shape(inputs)
        batch_size, seq_len = shape[0], shape[1]
        mask = causal_attention_mask(batch_size, seq_len, seq_len, "bool")
        attended = self.dropout1(self.att(inputs, inputs, attention_mask=mask))
        out = self.layernorm1(inputs + attended)
        return self.layernorm2(out + self.dropout2(self.ffn(out)))


class TokenAndPositionEmbedding(layers.Layer):
    """A table for the tokens and one for where they are."""

    def __init__(self, maxlen, vocab_size, embed_dim):
        super().__init__()
        self.token_emb = layers.Embedding(input_dim=vocab_size, output_dim=embed_dim)
        self.pos_emb = layers.Embedding(input_dim=maxlen, output_dim=embed_dim)

    def call(self, x):
        positions = ops.arange(0, ops.shape(x)[-1], 1)
        return self.token_emb(x) + self.pos_emb(positions)


def kio_miniature_gpt() -> Example:
    """generative/text_generation_with_miniature_gpt."""
    inputs = keras.Input((None,), dtype="int32")
    x = TokenAndPositionEmbedding(LONGEST, VOCABULARY, WIDTH)(inputs)
    x = CausalBlock(WIDTH, HEADS, INNER)(x)
    model = keras.Model(inputs, [layers.Dense(VOCABULARY)(x), x])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss=[loss, None])
    return of_functional(model)


# generative/text_generation_fnet


class FNetEncoder(layers.Layer):
    """The real part of a Fourier transform in two dimensions mixes the tokens."""

    def __init__(self, embed_dim, dense_dim, **kwargs):
        super().__init__(**kwargs)
        self.dense_proj = keras.Sequential(
            [layers.Dense(dense_dim, activation="relu"), layers.Dense(embed_dim)]
        )
        self.layernorm_1, self.layernorm_2 = layers.LayerNormalization(), layers.LayerNormalization()

    def call(self, inputs):
        zeros = ops.zeros_like(inputs)
        fft, _ = ops.fft2((inputs, zeros))
        x = self.layernorm_1(inputs + fft)
        return self.layernorm_2(x + self.dense_proj(x))


class MaskedPositionalEmbedding(layers.Layer):
    """Tokens and positions; zero is padding."""

    def __init__(self, sequence_length, vocab_size, embed_dim, **kwargs):
        super().__init__(**kwargs)
        self.token_embeddings = layers.Embedding(vocab_size, embed_dim)
        self.position_embeddings = layers.Embedding(sequence_length, embed_dim)

    def call(self, inputs):
        length = ops.shape(inputs)[-1]
        positions = ops.arange(0, length, 1)
        return self.token_embeddings(inputs) + self.position_embeddings(positions)

    def compute_mask(self, inputs, mask=None):
        return ops.not_equal(inputs, 0)


class CrossDecoder(layers.Layer):
    """Causal attention and attention to the encoder, with masks by hand."""

    def __init__(self, embed_dim, latent_dim, num_heads, **kwargs):
        super().__init__(**kwargs)
        self.attention_1 = layers.MultiHeadAttention(num_heads, embed_dim)
        self.attention_2 = layers.MultiHeadAttention(num_heads, embed_dim)
        self.dense_proj = keras.Sequential(
            [layers.Dense(latent_dim, activation="relu"), layers.Dense(embed_dim)]
        )
        self.layernorm_1, self.layernorm_2, self.layernorm_3 = (layers.LayerNormalization() for _ in range(3))
        self.add = layers.Add()
        self.supports_masking = True

    def call(self, inputs, mask=None):
        inputs, encoder_outputs = inputs
        causal_mask = self.get_causal_attention_mask(inputs)
        inputs_padding_mask, encoder_padding_mask = (None, None) if mask is None else mask
        attended, _ = self.attention_1(
            query=inputs,
            value=inputs,
            key=inputs,
            attention_mask=causal_mask,
            query_mask=inputs_padding_mask,
            return_attention_scores=True,
        )
        out_1 = self.layernorm_1(self.add([inputs, attended]))
        attended, _ = self.attention_2(
            query=out_1,
            value=encoder_outputs,
            key=encoder_outputs,
            query_mask=inputs_padding_mask,
            key_mask=encoder_padding_mask,
            return_attention_scores=True,
        )
        out_2 = self.layernorm_2(self.add([out_1, attended]))
        return self.layernorm_3(self.add([out_2, self.dense_proj(out_2)]))

    def compute_mask(self, inputs, mask=None):
        return None if mask is None else mask[0]

    def get_causal_attention_mask(self, inputs):
        shape = ops.shape(inputs)
        batch_size, length = shape[0], shape[1]
        mask = ops.cast(ops.arange(length)[:, None] >= ops.arange(length), dtype="int32")
        mask = ops.reshape(mask, (1, length, length))
        return ops.tile(mask, [batch_size, 1, 1])


def _encoder_decoder(encode) -> keras.Model:
    encoder_inputs = keras.Input((None,), dtype="int32", name="encoder_inputs")
    x = MaskedPositionalEmbedding(LONGEST, VOCABULARY, WIDTH)(encoder_inputs)
    encoder = keras.Model(encoder_inputs, encode(x))
    decoder_inputs = keras.Input((None,), dtype="int32", name="decoder_inputs")
    encoded = keras.Input((None, WIDTH), name="decoder_state_inputs")
    x = MaskedPositionalEmbedding(LONGEST, VOCABULARY, WIDTH)(decoder_inputs)
    x = CrossDecoder(WIDTH, INNER, HEADS)([x, encoded])
    x = layers.Dropout(0.5)(x)
    outputs = layers.Dense(VOCABULARY, activation="softmax")(x)
    decoder = keras.Model([decoder_inputs, encoded], outputs, name="outputs")
    model = keras.Model(
        {"encoder_inputs": encoder_inputs, "decoder_inputs": decoder_inputs},
        {"outputs": decoder([decoder_inputs, encoder(encoder_inputs)])},
        name="transformer",
    )
    model.compile("rmsprop", loss=keras.losses.SparseCategoricalCrossentropy(ignore_class=0))
    return model


def kio_text_generation_fnet() -> Example:
    """generative/text_generation_fnet."""
    return of_functional(_encoder_decoder(FNetEncoder(WIDTH, INNER)), PAIR)


# nlp/neural_machine_translation_with_transformer


class MaskedEncoder(layers.Layer):
    """Attention over what is no padding; the mask arrives by itself."""

    def __init__(self, embed_dim, dense_dim, num_heads, **kwargs):
        super().__init__(**kwargs)
        self.embed_dim, self.dense_dim, self.num_heads = embed_dim, dense_dim, num_heads
        self.attention = layers.MultiHeadAttention(num_heads, key_dim=embed_dim)
        self.dense_proj = keras.Sequential(
            [layers.Dense(dense_dim, activation="relu"), layers.Dense(embed_dim)]
        )
        self.layernorm_1, self.layernorm_2 = layers.LayerNormalization(), layers.LayerNormalization()
        self.supports_masking = True

    def call(self, inputs, mask=None):
        padding_mask = None if mask is None else ops.cast(mask[:, None, :], dtype="int32")
        attended = self.attention(query=inputs, value=inputs, key=inputs, attention_mask=padding_mask)
        projected = self.layernorm_1(inputs + attended)
        return self.layernorm_2(projected + self.dense_proj(projected))

    def get_config(self):
        config = super().get_config()
        return config | {
            "embed_dim": self.embed_dim,
            "dense_dim": self.dense_dim,
            "num_heads": self.num_heads,
        }


def kio_translation_transformer() -> Example:
    """nlp/neural_machine_translation_with_transformer."""
    return of_functional(_encoder_decoder(MaskedEncoder(WIDTH, INNER, HEADS)), PAIR)


def kio_lstm_seq2seq() -> Example:
    """nlp/lstm_seq2seq."""
    encoder_inputs = keras.Input((None, 6), name="encoder_inputs")
    _, state_h, state_c = layers.LSTM(8, return_state=True)(encoder_inputs)
    decoder_inputs = keras.Input((None, 5), name="decoder_inputs")
    lstm = layers.LSTM(8, return_sequences=True, return_state=True)
    outputs, _, _ = lstm(decoder_inputs, initial_state=[state_h, state_c])
    outputs = layers.Dense(5, activation="softmax")(outputs)
    model = keras.Model([encoder_inputs, decoder_inputs], outputs)
    model.compile("rmsprop", loss="categorical_crossentropy", metrics=["accuracy"])
    return of_functional(model, PAIR)


# nlp/parameter_efficient_finetuning_of_gpt2_with_lora


class LoraLayer(layers.Layer):
    """A frozen projection and a trained one of low rank beside it."""

    def __init__(self, original_layer, rank=4, alpha=32, trainable=False, **kwargs):
        config = original_layer.get_config()
        name = config["name"]
        kwargs.pop("name", None)
        super().__init__(name=name, trainable=trainable, **kwargs)
        self.rank, self.alpha = rank, alpha
        self._scale = alpha / rank
        self._num_heads = config["output_shape"][-2]
        self._hidden_dim = self._num_heads * config["output_shape"][-1]
        self.original_layer = original_layer
        self.original_layer.trainable = False
        self.A = layers.Dense(rank, use_bias=False, trainable=trainable, name="lora_A")
        self.B = layers.EinsumDense(
            "abc,cde->abde",
            output_shape=(None, self._num_heads, self._hidden_dim // self._num_heads),
            kernel_initializer="ones",
            trainable=trainable,
            name="lora_B",
        )

    def call(self, inputs):
        original_output = self.original_layer(inputs)
        if self.trainable:
            return original_output + self.B(self.A(inputs)) * self._scale
        return original_output


class LoraDecoder(layers.Layer):
    """A decoder whose query and value projections are wrapped after it was built."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.attention = layers.MultiHeadAttention(HEADS, WIDTH // HEADS)
        self.norm = layers.LayerNormalization(epsilon=1e-5)
        self.feed_forward = keras.Sequential([layers.Dense(INNER, activation="gelu"), layers.Dense(WIDTH)])

    def call(self, x):
        x = x + self.attention(x, x, use_causal_mask=True)
        return x + self.feed_forward(self.norm(x))


def kio_lora_gpt() -> Example:
    """nlp/parameter_efficient_finetuning_of_gpt2_with_lora."""
    inputs = keras.Input((None,), dtype="int32", name="token_ids")
    x = TokenAndPositionEmbedding(LONGEST, VOCABULARY, WIDTH)(inputs)
    decoders = [LoraDecoder(name=f"decoder_{i}") for i in range(2)]
    for decoder in decoders:
        x = decoder(x)
    model = keras.Model(inputs, layers.Dense(VOCABULARY)(x))
    for decoder in decoders:
        attention = decoder.attention
        attention._tracker.unlock()
        attention._query_dense = LoraLayer(attention._query_dense, trainable=True)
        attention._value_dense = LoraLayer(attention._value_dense, trainable=True)
        attention._tracker.lock()
    model(ops.zeros((1, 4), "int32"))
    for layer in model._flatten_layers():
        if not any(layer.name.startswith(part) for part in ("lora", "query", "value")) and not (
            list(layer._flatten_layers(include_self=False))
        ):
            layer.trainable = False
    return of_functional(model)

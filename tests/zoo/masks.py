"""Masks, attention and RNN: what Keras hands on beside the tensors."""

import keras
from keras import ops

from zoo.case import (
    VOCABULARY,
    Case,
    around_one,
    booleans,
    case,
    case_since_keras,
    floats,
    functional,
    layer_normalization,
    padded_tokens,
    tokens,
)

WIDE = keras.initializers.RandomNormal(stddev=1.0)


def masking_embedding(width=4):
    """An Embedding that masks zeros."""
    return keras.layers.Embedding(VOCABULARY, width, WIDE, mask_zero=True)


def padded_features(*shape):
    """Random features whose rows end in zeros."""
    return floats(*shape) * (padded_tokens(*shape[:2]) > 0)[..., None].astype("float32")


# --- Where masks come from and go ----------------------------------------------------------


@case
def embedding_that_masks_zero():
    """`Embedding(mask_zero=True)` feeds an LSTM in a subclassed model."""

    class Classifier(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding = masking_embedding()
            self.lstm = keras.layers.LSTM(5)

        def call(self, ids):
            return self.lstm(self.embedding(ids))

    return Case(Classifier(), padded_tokens(3, 7))


@case
def masking_layer():
    """`Masking` feeds a GRU and an average in a subclassed model."""

    class Classifier(keras.Model):
        def __init__(self):
            super().__init__()
            self.masking = keras.layers.Masking()
            self.gru = keras.layers.GRU(5, return_sequences=True)
            self.pool = keras.layers.GlobalAveragePooling1D()

        def call(self, x):
            return self.pool(self.gru(self.masking(x)))

    return Case(Classifier(), padded_features(3, 7, 4))


@case
def op_drops_the_mask():
    """An operator between Embedding and LSTM drops the mask, a layer would keep it."""

    class Dropping(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding = masking_embedding()
            self.lstm = keras.layers.LSTM(5)

        def call(self, ids):
            return self.lstm(self.embedding(ids) * 2.0)

    return Case(Dropping(), padded_tokens(3, 7))


@case
def builtin_layers_keep_the_mask():
    """Dropout, Dense, LayerNormalization and Add hand the mask on to an LSTM."""

    class Keeping(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding = masking_embedding()
            self.dense = keras.layers.Dense(4)
            self.normalize = layer_normalization()
            self.dropout = keras.layers.Dropout(0.5)
            self.add = keras.layers.Add()
            self.lstm = keras.layers.LSTM(5)

        def call(self, ids):
            x = self.embedding(ids)
            y = self.dropout(self.normalize(self.dense(x)))
            return self.lstm(self.add([x, y]))

    return Case(Keeping(), padded_tokens(3, 7))


@case
def custom_layer_that_supports_masking():
    """A custom layer has `supports_masking`: its mask goes on although it only uses ops."""

    class Transparent(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.supports_masking = True

        def build(self, input_shape):
            self.scale = self.add_weight(shape=(input_shape[-1],), initializer=around_one())

        def call(self, x):
            return x * self.scale

    inputs = keras.Input((7,), dtype="int32")
    x = Transparent()(masking_embedding()(inputs))
    model = keras.Model(inputs, keras.layers.LSTM(5)(x))
    return Case(model, padded_tokens(3, 7), needs_input=False)


@case
def custom_layer_that_takes_the_mask():
    """A custom layer has a `mask` argument, which Keras fills."""

    class MaskedMean(keras.layers.Layer):
        def call(self, x, mask=None):
            if mask is None:
                return ops.mean(x, axis=1)
            weights = ops.cast(mask, x.dtype)[..., None]
            return ops.sum(x * weights, axis=1) / ops.sum(weights, axis=1)

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding = masking_embedding()
            self.mean = MaskedMean()

        def call(self, ids):
            x = self.embedding(ids)
            return self.mean(x), self.mean(x + 1.0)

    return Case(Outer(), padded_tokens(3, 7))


@case
def custom_layer_with_compute_mask():
    """A custom layer makes a mask in `compute_mask`, for an LSTM behind it."""

    class MaskNegative(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(5)

        def call(self, x):
            return self.dense(x)

        def compute_mask(self, inputs, previous_mask=None):
            return inputs[..., 0] > -0.5

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.mask_negative = MaskNegative()
            self.lstm = keras.layers.LSTM(6)

        def call(self, x):
            return self.lstm(self.mask_negative(x))

    return Case(Outer(), floats(3, 7, 4))


@case
def custom_layer_with_a_mask_for_each_argument():
    """Keras fills `query_mask` and `value_mask` from the masks of two arguments."""

    class Compare(keras.layers.Layer):
        def call(self, query, value, query_mask=None, value_mask=None):
            scores = ops.matmul(query, ops.transpose(value, (0, 2, 1)))
            if value_mask is not None:  # Keras 3.5 builds without masks on JAX.
                scores = ops.where(value_mask[:, None, :], scores, -1e4)
            found = ops.matmul(ops.softmax(scores), value)
            if query_mask is not None:
                found = found * ops.cast(query_mask, found.dtype)[..., None]
            return found

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding = masking_embedding()
            self.compare = Compare()

        def call(self, inputs):
            return self.compare(self.embedding(inputs["q"]), value=self.embedding(inputs["v"]))

    return Case(Outer(), {"q": padded_tokens(3, 5), "v": padded_tokens(3, 7, seed=1)})


@case
def mask_through_a_block_that_does_not_support_it():
    """A block without `supports_masking` has sublayers that do: the mask ends at its door."""

    class Block(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)
            self.lstm = keras.layers.LSTM(4, return_sequences=True)

        def call(self, x):
            return ops.tanh(self.lstm(self.dense(x)))

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding = masking_embedding()
            self.block = Block()
            self.pool = keras.layers.GlobalAveragePooling1D()

        def call(self, ids):
            return self.pool(self.block(self.embedding(ids)))

    return Case(Outer(), padded_tokens(3, 7))


@case
def mask_through_nested_models():
    """The mask enters a nested Functional and a nested Sequential model, and leaves them."""
    inner_input = keras.Input((None, 4))
    inner = keras.Model(inner_input, keras.layers.Dense(5)(inner_input))
    tail = keras.Sequential([keras.layers.Dropout(0.5), keras.layers.LSTM(6)])

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding = masking_embedding()
            self.inner = inner
            self.tail = tail

        def call(self, ids):
            return self.tail(self.inner(self.embedding(ids)))

    return Case(Outer(), padded_tokens(3, 7))


# The Functional API of Keras 3.5 cannot run this model: its Concatenate fails on the masks.
@case_since_keras("3.12")
def mask_of_merged_tensors():
    """Concatenate along time joins two masks; Add combines two."""

    class Merging(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding = masking_embedding()
            self.concatenate = keras.layers.Concatenate(axis=1)
            self.add = keras.layers.Add()
            self.lstm = keras.layers.LSTM(5)

        def call(self, pair):
            left, right = self.embedding(pair[0]), self.embedding(pair[1])
            return self.lstm(self.concatenate([left, right])), self.lstm(self.add([left, right]))

    return Case(Merging(), [padded_tokens(3, 7), padded_tokens(3, 7, seed=1)])


@case
def explicit_mask_of_an_rnn():
    """An explicit mask, computed with ops, is given to an LSTM."""

    class Explicit(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding = keras.layers.Embedding(VOCABULARY, 4, WIDE)
            self.lstm = keras.layers.LSTM(5)

        def call(self, ids):
            return self.lstm(self.embedding(ids), mask=ops.not_equal(ids, 0))

    return Case(Explicit(), padded_tokens(3, 7))


@case
def explicit_mask_overrides_the_implicit_one():
    """An explicit mask is given where the tensor carries another one."""

    class Overriding(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding = masking_embedding()
            self.pool = keras.layers.GlobalAveragePooling1D()

        def call(self, ids):
            x = self.embedding(ids)
            return self.pool(x, mask=ops.less(ids, 6)) - self.pool(x)

    return Case(Overriding(), padded_tokens(3, 7))


@case
def mask_computed_by_the_embedding():
    """`embedding.compute_mask(ids)` is called by hand."""

    class ByHand(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding = masking_embedding()
            self.lstm = keras.layers.LSTM(5)

        def call(self, ids):
            mask = self.embedding.compute_mask(ids)
            return self.lstm(self.embedding(ids) + 1.0, mask=mask)

    return Case(ByHand(), padded_tokens(3, 7))


@case
def mask_as_an_input():
    """The mask is an input of the model, by keyword."""

    class TakesMask(keras.Model):
        def __init__(self):
            super().__init__()
            self.lstm = keras.layers.LSTM(5)

        def call(self, x, mask=None):
            return self.lstm(x, mask=mask)

    lengths = padded_tokens(3, 7) > 0
    return Case(TakesMask(), floats(3, 7, 4), {"mask": lengths})


@case
def mask_on_the_output():
    """The model's output carries a mask, which the loss would use."""
    inputs = keras.Input((7,), dtype="int32")
    model = keras.Model(inputs, keras.layers.Dense(5)(masking_embedding()(inputs)))
    return Case(model, padded_tokens(3, 7), needs_input=False)


# --- Attention -----------------------------------------------------------------------------


def attention(**options):
    """A MultiHeadAttention of two heads with a random bias."""
    return keras.layers.MultiHeadAttention(2, 5, bias_initializer="random_normal", **options)


@case
def attention_with_implicit_masks():
    """MultiHeadAttention gets the masks of query and value from an Embedding."""

    class SelfAttention(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding = masking_embedding()
            self.attention = attention()
            self.pool = keras.layers.GlobalAveragePooling1D()

        def call(self, ids):
            x = self.embedding(ids)
            return self.pool(self.attention(x, x))

    return Case(SelfAttention(), padded_tokens(3, 7), inert=("key/bias",))


@case
def attention_with_attention_mask():
    """MultiHeadAttention gets an `attention_mask` made from the token ids."""

    class SelfAttention(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding = keras.layers.Embedding(VOCABULARY, 4, WIDE)
            self.attention = attention()

        def call(self, ids):
            x = self.embedding(ids)
            mask = ops.not_equal(ids, 0)[:, None, :]
            return self.attention(x, x, attention_mask=mask)

    return Case(SelfAttention(), padded_tokens(3, 7), inert=("key/bias",))


@case
def attention_with_an_optional_mask_input():
    """A block hands its own optional mask on; the model takes it in a dict."""

    class Block(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.attention = attention()

        def call(self, x, attention_mask=None):
            if attention_mask is not None:
                attention_mask = ops.cast(attention_mask, "bool")[:, None, :]
            return x + self.attention(x, x, x, attention_mask=attention_mask)

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.blocks = [Block(), Block()]

        def call(self, inputs):
            x = self.blocks[0](inputs["x"], attention_mask=inputs["mask"])
            return self.blocks[1](x)

    example = {"x": floats(3, 7, 4), "mask": (padded_tokens(3, 7) > 0).astype("int32")}
    return Case(Outer(), example, inert=("key/bias",))


@case
def attention_with_causal_mask():
    """`use_causal_mask=True` together with the implicit mask."""

    class Causal(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding = masking_embedding()
            self.attention = attention(dropout=0.5)

        def call(self, ids):
            x = self.embedding(ids)
            return self.attention(x, x, use_causal_mask=True)

    return Case(Causal(), padded_tokens(3, 7), inert=("key/bias",))


@case
def attention_that_returns_scores():
    """`return_attention_scores=True` returns two tensors, both are used."""

    class Scores(keras.Model):
        def __init__(self):
            super().__init__()
            self.attention = attention()

        def call(self, x):
            y, scores = self.attention(x, x, return_attention_scores=True)
            return {"y": y, "scores": ops.mean(scores, axis=1)}

    return Case(Scores(), floats(3, 7, 4), inert=("key/bias",))


# The Functional API of Keras 3.5 cannot run this model: its MultiHeadAttention does not infer it.
@case_since_keras("3.7")
def cross_attention():
    """Query, value and key are three tensors, given out of order by keyword."""

    class Cross(keras.Model):
        def __init__(self):
            super().__init__()
            self.attention = attention(output_shape=8)

        def call(self, inputs):
            return self.attention(key=inputs["key"], query=inputs["q"], value=inputs["value"])

    example = {
        "q": floats(3, 5, 4),
        "value": floats(3, 7, 4, seed=1),
        "key": floats(3, 7, 6, seed=2),
    }
    return Case(Cross(), example, inert=("key/bias",))


@case
def attention_layers_without_heads():
    """`Attention` and `AdditiveAttention` take lists of tensors, one with a causal mask."""

    class TwoKinds(keras.Model):
        def __init__(self):
            super().__init__()
            self.dot = keras.layers.Attention(use_scale=True)
            self.additive = keras.layers.AdditiveAttention()

        def call(self, inputs):
            first = self.dot([inputs["q"], inputs["v"]], use_causal_mask=True)
            return first, self.additive([inputs["q"], inputs["v"], inputs["v"] * 2.0])

    return Case(TwoKinds(), {"q": floats(3, 5, 4), "v": floats(3, 7, 4, seed=1)})


@case_since_keras("3.15")
def attention_layer_with_a_list_of_masks():
    """`Attention` takes a list of masks, of which the first is `None`."""

    class Masked(keras.Model):
        def __init__(self):
            super().__init__()
            self.dot = keras.layers.Attention(use_scale=True)

        def call(self, inputs):
            return self.dot([inputs["q"], inputs["v"]], mask=[None, inputs["keep"]])

    example = {"q": floats(3, 5, 4), "v": floats(3, 7, 4, seed=1), "keep": booleans(3, 7)}
    return Case(Masked(), example)


@case
def attention_written_with_ops():
    """A hand-written causal multi-head attention: Dense, reshape, transpose, matmul."""

    class CausalSelfAttention(keras.layers.Layer):
        def __init__(self, width, heads):
            super().__init__()
            self.heads = heads
            self.qkv = keras.layers.Dense(3 * width, use_bias=False)
            self.project = keras.layers.Dense(width)
            self.dropout = keras.layers.Dropout(0.5)

        def call(self, x):
            batch, length, width = ops.shape(x)
            qkv = ops.reshape(self.qkv(x), (batch, length, 3, self.heads, width // self.heads))
            query, key, value = ops.unstack(ops.transpose(qkv, (2, 0, 3, 1, 4)), axis=0)
            scores = ops.matmul(query, ops.swapaxes(key, -1, -2)) / (width // self.heads) ** 0.5
            past = ops.arange(length)[:, None] >= ops.arange(length)[None, :]
            weights = ops.softmax(ops.where(past, scores, -1e9))
            mixed = ops.matmul(self.dropout(weights), value)
            mixed = ops.reshape(ops.transpose(mixed, (0, 2, 1, 3)), (batch, length, width))
            return self.project(mixed)

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.attention = CausalSelfAttention(6, 2)

        def call(self, x):
            return x + self.attention(x)

    return Case(Outer(), floats(3, 7, 6))


# --- RNN -----------------------------------------------------------------------------------


@case
def rnn_with_return_state():
    """`return_state=True` of LSTM and GRU: all states are outputs."""

    class States(keras.Model):
        def __init__(self):
            super().__init__()
            self.lstm = keras.layers.LSTM(5, return_sequences=True, return_state=True)
            self.gru = keras.layers.GRU(6, return_state=True)

        def call(self, x):
            sequence, hidden, cell = self.lstm(x)
            last, state = self.gru(sequence)
            return {"hidden": hidden, "cell": cell, "last": last, "state": state}

    return Case(States(), floats(3, 7, 4))


@case
def encoder_decoder_with_initial_state():
    """The states of an encoder are the `initial_state` of a decoder."""

    class EncoderDecoder(keras.Model):
        def __init__(self):
            super().__init__()
            self.source = masking_embedding()
            self.target = masking_embedding(6)
            self.encoder = keras.layers.LSTM(5, return_state=True)
            self.decoder = keras.layers.LSTM(5, return_sequences=True)

        def call(self, inputs):
            source, target = inputs
            _, *states = self.encoder(self.source(source))
            return self.decoder(self.target(target), initial_state=states)

    return Case(EncoderDecoder(), (padded_tokens(3, 7), padded_tokens(3, 8, seed=1)))


@case
def rnn_with_a_computed_initial_state():
    """The initial state of a GRU is a Dense of another input."""

    class Captioner(keras.Model):
        def __init__(self):
            super().__init__()
            self.state = keras.layers.Dense(5, activation="tanh")
            self.gru = keras.layers.GRU(5)

        def call(self, inputs):
            return self.gru(inputs["x"], initial_state=self.state(inputs["image"]))

    return Case(Captioner(), {"x": floats(3, 7, 4), "image": floats(3, 6, seed=1)})


@case
def rnn_of_stacked_cells():
    """`RNN` around a list of built-in cells with dropout."""

    class Stacked(keras.Model):
        def __init__(self):
            super().__init__()
            cells = [keras.layers.LSTMCell(5, dropout=0.5), keras.layers.GRUCell(6)]
            self.rnn = keras.layers.RNN(cells, return_sequences=True, go_backwards=True)

        def call(self, x):
            return self.rnn(x)

    return Case(Stacked(), floats(3, 7, 4))


@case
def bidirectional():
    """A masked Bidirectional LSTM with a summing merge, and one that concatenates."""

    class Both(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding = masking_embedding()
            self.first = keras.layers.Bidirectional(
                keras.layers.LSTM(5, return_sequences=True), merge_mode="sum"
            )
            self.second = keras.layers.Bidirectional(keras.layers.GRU(6))

        def call(self, ids):
            return self.second(self.first(self.embedding(ids)))

    return Case(Both(), padded_tokens(3, 7))


@case
def bidirectional_with_states():
    """A Bidirectional LSTM returns its states; another one starts from them."""

    class States(keras.Model):
        def __init__(self):
            super().__init__()
            self.first = keras.layers.Bidirectional(
                keras.layers.LSTM(5, return_sequences=True, return_state=True)
            )
            self.second = keras.layers.Bidirectional(keras.layers.LSTM(5), merge_mode=None)

        def call(self, x):
            sequence, *states = self.first(x)
            return self.second(sequence, initial_state=states)

    return Case(States(), floats(3, 7, 4))


@case
def time_distributed():
    """TimeDistributed around a built-in layer, with a mask."""

    class EveryFrame(keras.Model):
        def __init__(self):
            super().__init__()
            self.masking = keras.layers.Masking()
            self.frames = keras.layers.TimeDistributed(keras.layers.Dense(5))
            self.lstm = keras.layers.LSTM(6)

        def call(self, x):
            return self.lstm(self.frames(self.masking(x)))

    return Case(EveryFrame(), padded_features(3, 7, 4))


@case
def rnn_written_as_a_python_loop():
    """A custom layer steps a built-in cell in a Python loop over a static time axis."""

    class Unrolled(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.cell = keras.layers.GRUCell(5)

        def call(self, x):
            state = ops.zeros((ops.shape(x)[0], 5))
            outputs = []
            for step in range(x.shape[1]):
                output, state = self.cell(x[:, step], state)
                outputs.append(output)
            return ops.stack(outputs, axis=1)

    return Case(functional(Unrolled(), floats(3, 7, 4)), floats(3, 7, 4), needs_input=False)


@case
def token_sequence_without_masking():
    """The same Embedding and LSTM without `mask_zero`: no mask may appear."""
    inputs = keras.Input((7,), dtype="int32")
    x = keras.layers.Embedding(VOCABULARY, 4, WIDE)(inputs)
    model = keras.Model(inputs, keras.layers.LSTM(5)(x))
    return Case(model, tokens(3, 7), needs_input=False)

"""Masks that `call` reads, sets, computes or stops itself."""

import keras
from keras import ops
from keras.src import backend

from zoo.case import Builder, Case, around_one, case, floats, padded_tokens
from zoo.masks import masking_embedding, padded_features


def case_of_attributes(builder: Builder) -> Builder:
    """Like `case`, but for JAX, whose tensors take attributes only as long as nothing is compiled."""
    return builder if keras.backend.backend() == "jax" else case(builder)


class Tail(keras.Model):
    """An Embedding that masks, a layer in question, and an LSTM that uses the mask it finds."""

    def __init__(self, *middle):
        super().__init__()
        self.embedding = masking_embedding()
        self.middle = list(middle)
        self.lstm = keras.layers.LSTM(3)

    def call(self, ids):
        x = self.embedding(ids)
        for layer in self.middle:
            x = layer(x)
        return self.lstm(x)


def tail(*middle):
    """A case of `Tail`."""
    return Case(Tail(*middle), padded_tokens(3, 7))


@case
def mask_read_as_an_attribute():
    """`getattr(x, "_keras_mask", None)` as many published models have it."""

    class Mean(keras.layers.Layer):
        def call(self, x):
            mask = getattr(x, "_keras_mask", None)
            if mask is None:
                return ops.mean(x, axis=1)
            weights = ops.expand_dims(ops.cast(mask, x.dtype), -1)
            return ops.sum(x * weights, axis=1) / ops.sum(weights, axis=1)

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding, self.mean = masking_embedding(), Mean()

        def call(self, ids):
            return self.mean(self.embedding(ids))

    return Case(Net(), padded_tokens(3, 7))


@case
def mask_read_by_the_backends_function():
    """`keras.src.backend.get_keras_mask(x)` on a tensor with and one without a mask."""

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding = masking_embedding()

        def call(self, ids):
            x = self.embedding(ids)
            mask = backend.get_keras_mask(x)
            assert backend.get_keras_mask(x + 1.0) is None
            return ops.where(ops.expand_dims(mask, -1), x, -1.0)

    return Case(Net(), padded_tokens(3, 7))


@case_of_attributes
def mask_set_as_an_attribute():
    """`x._keras_mask = mask` for a layer behind."""

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4, bias_initializer="random_normal")
            self.lstm = keras.layers.LSTM(3)

        def call(self, x):
            y = self.dense(x)
            y._keras_mask = ops.any(ops.not_equal(x, 0.0), axis=-1)
            return self.lstm(y)

    return Case(Net(), padded_features(3, 7, 4))


@case
def mask_set_by_the_backends_function():
    """`set_keras_mask` on the result of an operator, in a custom layer that hands it on."""

    class Scale(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.supports_masking = True

        def build(self, shape):
            self.scale = self.add_weight(shape=(4,), initializer=around_one())

        def call(self, x):
            y = self.scale * x
            backend.set_keras_mask(y, backend.get_keras_mask(x))
            return y

    return tail(Scale())


@case_of_attributes
def mask_taken_off_by_hand():
    """`x._keras_mask = None`: the LSTM sees every step."""

    class Off(keras.layers.Layer):
        def call(self, x):
            y = x * 2.0
            y._keras_mask = None
            return y

    return tail(Off())


@case
def mask_stopped_by_compute_mask():
    """`compute_mask` returns None."""

    class Stop(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.supports_masking = True
            self.dense = keras.layers.Dense(4)

        def build(self, shape):
            self.dense.build(shape)

        def call(self, x):
            return self.dense(x)

        def compute_mask(self, inputs, previous_mask):
            return None

    return tail(Stop())


@case
def mask_changed_by_compute_mask():
    """`compute_mask` shortens the mask by a step, as `call` does with the sequence; a weight decides."""

    class Shorten(keras.layers.Layer):
        def build(self, shape):
            self.scale = self.add_weight(shape=(4,), initializer=around_one())

        def call(self, x, mask=None):
            return self.scale * x[:, 1:]

        def compute_mask(self, inputs, mask=None):
            return None if mask is None else ops.logical_and(mask[:, 1:], mask[:, :-1])

    return tail(Shorten())


@case
def mask_used_up_by_pooling():
    """GlobalAveragePooling1D uses the mask and hands none on, inside a custom layer with a Dense layer."""

    class Pool(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.pool, self.dense = keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(3)

        def build(self, shape):
            self.dense.build((None, 4))

        def call(self, x, mask=None):
            return self.dense(self.pool(x, mask=mask))

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding, self.pool = masking_embedding(), Pool()

        def call(self, ids):
            return self.pool(self.embedding(ids))

    return Case(Net(), padded_tokens(3, 7))


@case
def mask_of_two_outputs():
    """`compute_mask` gives one of two results a mask; both are used by recurrent layers."""

    class Both(keras.layers.Layer):
        def call(self, x):
            return x * 2.0, x - 1.0

        def compute_mask(self, inputs, mask=None):
            return [mask, None]

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding, self.both = masking_embedding(), Both()
            self.first, self.second = keras.layers.LSTM(3), keras.layers.GRU(3)

        def call(self, ids):
            a, b = self.both(self.embedding(ids))
            return self.first(a) + self.second(b)

    return Case(Net(), padded_tokens(3, 7))


@case
def mask_returned_as_a_tensor():
    """An opened layer returns the mask beside its result; it is given to the next by hand."""

    class Encode(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.embedding = masking_embedding()

        def build(self, shape):
            self.embedding.build(shape)

        def call(self, ids):
            return self.embedding(ids), self.embedding.compute_mask(ids)

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.encode, self.lstm = Encode(), keras.layers.LSTM(3)

        def call(self, ids):
            x, mask = self.encode(ids)
            return self.lstm(x * 2.0, mask=mask)

    return Case(Net(), padded_tokens(3, 7))


@case_of_attributes
def mask_that_call_returns_attached():
    """The mask that `call` sets is on the output of the model."""

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)

        def call(self, x):
            y = ops.tanh(self.dense(x))
            y._keras_mask = x[..., 0] > 0.0
            return y

    return Case(Net(), floats(3, 5, 4))


@case
def mask_through_residual_blocks():
    """Two custom blocks with a residual sum, LayerNormalization and Dropout; only one supports masking."""

    class Block(keras.layers.Layer):
        def __init__(self, supports_masking):
            super().__init__()
            self.supports_masking = supports_masking
            self.dense = keras.layers.Dense(4, bias_initializer="random_normal")
            self.norm, self.add = keras.layers.LayerNormalization(), keras.layers.Add()

        def build(self, shape):
            self.dense.build(shape)
            self.norm.build(shape)

        def call(self, x, mask=None):
            y = self.norm(self.dense(x))
            return y + x if mask is None else ops.where(ops.expand_dims(mask, -1), y, x)

    return tail(Block(True), Block(False))


@case
def mask_of_a_merged_pair():
    """A custom `compute_mask` of a list of inputs combines their masks."""

    class Merge(keras.layers.Layer):
        def call(self, inputs):
            return inputs[0] + inputs[1]

        def compute_mask(self, inputs, mask=None):
            first, second = mask
            return first if second is None else ops.logical_and(first, second)

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding, self.merge = masking_embedding(), Merge()
            self.lstm = keras.layers.LSTM(3, return_sequences=True)

        def call(self, inputs):
            a, b = (self.embedding(ids) for ids in inputs)
            return self.lstm(self.merge([self.merge([a, b]), b * 1.0]))

    return Case(Net(), (padded_tokens(3, 7), padded_tokens(3, 7, seed=1)[::-1].copy()))

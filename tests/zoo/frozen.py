"""Nothing frozen: where naive tracing turns a weight into a constant in silence."""

import keras
import numpy as np
from keras import ops

from zoo.case import (
    VOCABULARY,
    Case,
    around_one,
    case,
    case_since_keras,
    floats,
    functional,
    layer_normalization,
    tokens,
)

WIDE = keras.initializers.RandomNormal(stddev=1.0)

# --- A layer's own weights as arguments of ops ---------------------------------------------


@case
def class_token():
    """A class token is broadcast to the batch and put before the sequence."""

    class ClassToken(keras.layers.Layer):
        def build(self, input_shape):
            shape = (1, 1, input_shape[-1])
            self.token = self.add_weight(shape=shape, initializer="random_normal")

        def call(self, x):
            token = ops.broadcast_to(self.token, (ops.shape(x)[0], 1, x.shape[-1]))
            return ops.concatenate([token, x], axis=1)

    return Case(functional(ClassToken(), floats(3, 7, 4)), floats(3, 7, 4), needs_input=False)


@case
def class_token_by_tile():
    """A class token is tiled to the batch, and the result is read at index 0."""

    class Pooler(keras.Model):
        def __init__(self):
            super().__init__()
            self.token = self.add_weight(shape=(1, 1, 4), initializer="random_normal")
            self.mix = keras.layers.Conv1D(4, 3, padding="same")

        def call(self, x):
            tokens_of_batch = ops.tile(self.token, [ops.shape(x)[0], 1, 1])
            return self.mix(ops.concatenate([tokens_of_batch, x], axis=1))[:, 0]

    return Case(Pooler(), floats(3, 7, 4))


@case
def class_token_by_repeat():
    """A class token is repeated along the batch with `ops.repeat`."""

    class Repeated(keras.Model):
        def __init__(self):
            super().__init__()
            self.token = self.add_weight(shape=(1, 4), initializer="random_normal")

        def call(self, x):
            return x * ops.repeat(self.token, ops.shape(x)[0], axis=0)

    return Case(Repeated(), floats(3, 4))


@case
def position_table():
    """A table of positions is added: `x + self.positions`."""

    class Positions(keras.layers.Layer):
        def build(self, input_shape):
            self.positions = self.add_weight(shape=input_shape[1:], initializer="random_normal")

        def call(self, x):
            return x + self.positions

    return Case(functional(Positions(), floats(3, 7, 4)), floats(3, 7, 4), needs_input=False)


@case
def position_table_on_the_left():
    """A longer table of positions is sliced, and is the left operand."""

    class Positions(keras.Model):
        def __init__(self):
            super().__init__()
            self.positions = self.add_weight(shape=(9, 4), initializer="random_normal")

        def call(self, x):
            return self.positions[None, : ops.shape(x)[1]] + x

    return Case(Positions(), floats(3, 7, 4))


@case
def layer_scale():
    """Layer scale with the weight on the right: `x * self.gamma`."""

    class LayerScale(keras.layers.Layer):
        def build(self, input_shape):
            self.gamma = self.add_weight(shape=(input_shape[-1],), initializer=around_one())

        def call(self, x):
            return x * self.gamma

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)
            self.scale = LayerScale()

        def call(self, x):
            return x + self.scale(self.dense(x))

    return Case(Outer(), floats(3, 4))


@case
def layer_scale_on_the_left():
    """Layer scale with the weight on the left: `self.gamma * x`."""

    class LayerScale(keras.layers.Layer):
        def build(self, input_shape):
            self.gamma = self.add_weight(shape=(input_shape[-1],), initializer=around_one())

        def call(self, x):
            return self.gamma * x

    return Case(functional(LayerScale(), floats(3, 4)), floats(3, 4), needs_input=False)


@case
def matmul_plus_bias():
    """A hand-written dense layer: `ops.matmul(x, self.w) + self.b`."""

    class Linear(keras.layers.Layer):
        def __init__(self, units):
            super().__init__()
            self.units = units

        def build(self, input_shape):
            self.w = self.add_weight(shape=(input_shape[-1], self.units))
            self.b = self.add_weight(shape=(self.units,), initializer="random_normal")

        def call(self, x):
            return ops.matmul(x, self.w) + self.b

    class Perceptron(keras.Model):
        def __init__(self):
            super().__init__()
            self.first = Linear(8)
            self.second = Linear(2)

        def call(self, x):
            return self.second(ops.relu(self.first(x)))

    return Case(Perceptron(), floats(3, 4))


@case
def weight_as_the_first_argument_of_ops():
    """A weight is the first argument of `matmul`, `einsum`, `add` and `where`."""

    class First(keras.Model):
        def __init__(self):
            super().__init__()
            self.mixing = self.add_weight(shape=(6, 7), initializer="glorot_uniform")
            self.shift = self.add_weight(shape=(4,), initializer="random_normal")
            self.core = self.add_weight(shape=(4, 5), initializer="glorot_uniform")

        def call(self, x):
            y = ops.matmul(self.mixing, ops.add(self.shift, x))
            return ops.einsum("dk,btd->btk", self.core, y)

    return Case(First(), floats(3, 7, 4))


@case
def weights_in_a_list_of_an_op():
    """Weights only, and weights with tensors, are in the list that an op takes."""

    class InList(keras.Model):
        def __init__(self):
            super().__init__()
            self.left = self.add_weight(shape=(4, 5), initializer="random_normal")
            self.right = self.add_weight(shape=(4, 6), initializer="random_normal")

        def call(self, x):
            return ops.matmul(x, ops.concatenate([self.left, self.right], axis=1))

    return Case(InList(), floats(3, 4))


@case
def weights_kept_in_a_list_and_a_dict():
    """The weights of a custom layer are in a list and in a dict."""

    class Collected(keras.layers.Layer):
        def build(self, input_shape):
            self.scales = [self.add_weight(shape=(4,), initializer=around_one()) for _ in range(3)]
            self.named = {"shift": self.add_weight(shape=(4,), initializer="random_normal")}

        def call(self, x):
            for scale in self.scales:
                x = ops.tanh(x * scale)
            return x + self.named["shift"]

    return Case(functional(Collected(), floats(3, 4)), floats(3, 4), needs_input=False)


@case
def weight_that_is_a_scalar():
    """A learned temperature: `x / self.temperature` and `ops.exp(self.log_scale) * x`."""

    class Temperature(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.temperature = self.add_weight(shape=(), initializer=around_one())
            self.log_scale = self.add_weight(shape=(), initializer="random_normal")

        def call(self, x):
            return ops.exp(self.log_scale) * ops.softmax(x / self.temperature)

    return Case(functional(Temperature(), floats(3, 4)), floats(3, 4), needs_input=False)


@case
def weight_that_is_a_plain_variable():
    """The weight is a `keras.Variable` attribute, made without `add_weight`."""

    class Plain(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.scale = keras.Variable(np.linspace(0.5, 1.5, 4).astype("float32"), name="scale")

        def call(self, x):
            return ops.multiply(x, self.scale)

    return Case(functional(Plain(), floats(3, 4)), floats(3, 4), needs_input=False)


@case
def weight_read_as_a_tensor():
    """A weight is read as `.value`, by `convert_to_tensor`, `ops.cast`, and by slicing."""

    class Reading(keras.Model):
        def __init__(self):
            super().__init__()
            self.a = self.add_weight(shape=(4,), initializer=around_one())
            self.b = self.add_weight(shape=(4,), initializer="random_normal")
            self.c = self.add_weight(shape=(4,), initializer="random_normal")
            self.d = self.add_weight(shape=(2, 4), initializer="random_normal")

        def call(self, x):
            y = x * self.a.value + ops.convert_to_tensor(self.b)
            return y + ops.cast(self.c, x.dtype) + self.d[0] * self.d[1, :]

    return Case(Reading(), floats(3, 4))


@case
def weight_of_a_builtin_sublayer():
    """The kernel of a Dense is used without calling the Dense."""

    class Borrowed(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4, bias_initializer="random_normal")

        def build(self, input_shape):
            self.dense.build(input_shape)

        def call(self, x):
            return ops.matmul(x, ops.abs(self.dense.kernel)) - self.dense.bias

    return Case(Borrowed(), floats(3, 5))


# --- Values computed from weights alone ----------------------------------------------------


@case
def weight_normalisation():
    """The kernel is divided by its own norm and scaled by another weight."""

    class WeightNormalized(keras.layers.Layer):
        def build(self, input_shape):
            self.kernel = self.add_weight(shape=(input_shape[-1], 5))
            self.gain = self.add_weight(shape=(5,), initializer=around_one())

        def call(self, x):
            norm = ops.sqrt(ops.sum(ops.square(self.kernel), axis=0, keepdims=True))
            return ops.matmul(x, self.gain * self.kernel / norm)

    return Case(functional(WeightNormalized(), floats(3, 4)), floats(3, 4), needs_input=False)


@case
def weight_norm_by_linalg():
    """`ops.norm(self.kernel)` has a weight as its only argument."""

    class Normed(keras.Model):
        def __init__(self):
            super().__init__()
            self.kernel = self.add_weight(shape=(4, 5))

        def call(self, x):
            return ops.matmul(x, self.kernel) / ops.norm(self.kernel)

    return Case(Normed(), floats(3, 4))


@case
def weight_standardization():
    """A Conv2D subclass standardizes its kernel before the convolution."""

    class StandardizedConv(keras.layers.Conv2D):
        def call(self, inputs):
            mean = ops.mean(self.kernel, axis=(0, 1, 2))
            variance = ops.var(self.kernel, axis=(0, 1, 2))
            kernel = (self.kernel - mean) / ops.sqrt(variance + 1e-5)
            outputs = ops.conv(inputs, kernel, strides=1, padding="valid")
            return outputs + ops.reshape(self.bias, (1, 1, 1, self.filters))

    layer = StandardizedConv(4, 3, bias_initializer="random_normal")
    return Case(functional(layer, floats(3, 7, 6, 2)), floats(3, 7, 6, 2), needs_input=False)


@case
def softmax_of_a_weight():
    """A weighted sum of features, its weights the softmax of a weight."""

    class ScalarMix(keras.Model):
        def __init__(self):
            super().__init__()
            self.denses = [keras.layers.Dense(4) for _ in range(3)]
            self.mixture = self.add_weight(shape=(3,), initializer="random_normal")

        def call(self, x):
            shares = ops.unstack(ops.softmax(self.mixture))
            return sum(dense(x) * share for dense, share in zip(self.denses, shares, strict=True))

    return Case(ScalarMix(), floats(3, 5))


@case
def operators_on_weights_alone():
    """Operators with weights on both sides, unary ones, and numbers."""

    class WeightsAlone(keras.Model):
        def __init__(self):
            super().__init__()
            self.a = self.add_weight(shape=(4,), initializer=around_one())
            self.b = self.add_weight(shape=(4,), initializer=around_one())

        def call(self, x):
            scale = (self.a * self.b - 2.0) / (1.0 + self.b**2)
            return x * scale + abs(-self.a) - (self.a @ self.b)

    return Case(WeightsAlone(), floats(3, 4))


@case
def low_rank_update():
    """LoRA: a product of two weights is added to the kernel of a built-in layer."""

    class LowRank(keras.layers.Dense):
        def build(self, input_shape):
            super().build(input_shape)
            self.down = self.add_weight(shape=(input_shape[-1], 2), initializer="random_normal")
            self.up = self.add_weight(shape=(2, self.units), initializer="random_normal")

        def call(self, inputs):
            kernel = self.kernel + 0.5 * ops.matmul(self.down, self.up)
            return ops.matmul(inputs, kernel) + self.bias

    layer = LowRank(5, bias_initializer="random_normal")
    return Case(functional(layer, floats(3, 4)), floats(3, 4), needs_input=False)


@case
def weight_gathered_by_a_constant():
    """A relative position bias: a table of weights, gathered by constant indices."""

    class RelativeBias(keras.layers.Layer):
        def __init__(self, length):
            super().__init__()
            steps = np.arange(length)
            self.length = length
            self.index = steps[:, None] - steps[None, :] + length - 1

        def build(self, input_shape):
            self.table = self.add_weight(shape=(2 * self.length - 1,), initializer="random_normal")

        def call(self, scores):
            bias = ops.take(self.table, ops.reshape(self.index, (-1,)), axis=0)
            return scores + ops.reshape(bias, (self.length, self.length))

    return Case(functional(RelativeBias(5), floats(3, 5, 5)), floats(3, 5, 5), needs_input=False)


# --- Weights as arguments of layers --------------------------------------------------------


@case
def weight_as_the_input_of_a_layer():
    """A sublayer is called on a weight: `self.normalize(self.table)`."""

    class Prompt(keras.Model):
        def __init__(self):
            super().__init__()
            self.table = self.add_weight(shape=(7, 4), initializer="random_normal")
            self.normalize = layer_normalization()

        def call(self, x):
            return x + self.normalize(self.table)

    return Case(Prompt(), floats(3, 7, 4))


@case
def weight_as_the_second_argument_of_a_layer():
    """A weight and a number are handed to a custom layer by keyword."""

    class Mix(keras.layers.Layer):
        def call(self, x, table=None, factor=1.0):
            return ops.matmul(x, table) * factor

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.table = self.add_weight(shape=(4, 5))
            self.mix = Mix()

        def call(self, x):
            return self.mix(x, table=self.table, factor=0.5)

    return Case(Outer(), floats(3, 4))


@case
def weight_in_a_list_for_a_builtin_layer():
    """A broadcast weight and a tensor are merged by the built-in Concatenate."""

    class Merge(keras.Model):
        def __init__(self):
            super().__init__()
            self.token = self.add_weight(shape=(1, 1, 4), initializer="random_normal")
            self.concatenate = keras.layers.Concatenate(axis=1)

        def call(self, x):
            token = self.token + ops.zeros_like(x[:, :1])
            return self.concatenate([token, x])

    return Case(Merge(), floats(3, 7, 4))


@case
def learned_queries():
    """The queries of a MultiHeadAttention are a weight, broadcast to the batch."""

    class Resampler(keras.Model):
        def __init__(self):
            super().__init__()
            self.queries = self.add_weight(shape=(1, 5, 4), initializer=WIDE)
            self.attention = keras.layers.MultiHeadAttention(2, 3)

        def call(self, x):
            queries = ops.repeat(self.queries, ops.shape(x)[0], axis=0)
            return self.attention(queries, x)

    return Case(Resampler(), floats(3, 7, 4), inert=("key/bias",))


@case
def learned_initial_state():
    """The initial state of a GRU is a weight, broadcast to the batch."""

    class Learned(keras.Model):
        def __init__(self):
            super().__init__()
            self.state = self.add_weight(shape=(1, 5), initializer="random_normal")
            self.gru = keras.layers.GRU(5)

        def call(self, x):
            state = ops.broadcast_to(self.state, (ops.shape(x)[0], 5))
            return self.gru(x, initial_state=state)

    return Case(Learned(), floats(3, 7, 4))


@case
def weight_as_an_output():
    """A weight, and a value computed from weights alone, are outputs of the model."""

    class ReturnsWeight(keras.Model):
        def __init__(self):
            super().__init__()
            self.scale = self.add_weight(shape=(4,), initializer=around_one())

        def call(self, x):
            return {
                "scaled": x * self.scale,
                "scale": ops.convert_to_tensor(self.scale),
                "norm": ops.sum(ops.square(self.scale)),
            }

    return Case(ReturnsWeight(), floats(3, 4))


# --- Layers called on what does not depend on the inputs -----------------------------------


@case
def position_embedding_of_arange():
    """`self.pos_emb(ops.arange(n))`: an Embedding is called on a constant."""

    class Positions(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.pos_emb = keras.layers.Embedding(9, 4)

        def call(self, x):
            return x + self.pos_emb(ops.arange(ops.shape(x)[1]))

    return Case(functional(Positions(), floats(3, 7, 4)), floats(3, 7, 4), needs_input=False)


@case
def position_embedding_of_a_fixed_range():
    """The same with a fixed range, which is made in the constructor."""

    class Positions(keras.Model):
        def __init__(self):
            super().__init__()
            self.pos_emb = keras.layers.Embedding(7, 4)
            self.ids = np.arange(7, dtype="int32")[None]

        def call(self, x):
            return x + self.pos_emb(self.ids)

    return Case(Positions(), floats(3, 7, 4))


@case
def dense_on_a_constant_table():
    """A stack of Dense layers is called on a constant table of features."""

    class Hyper(keras.Model):
        def __init__(self):
            super().__init__()
            self.coordinates = floats(7, 2, seed=5)
            self.hidden = keras.layers.Dense(8, activation="tanh")
            self.bias = keras.layers.Dense(4)

        def call(self, x):
            return x + self.bias(self.hidden(self.coordinates))

    return Case(Hyper(), floats(3, 7, 4))


@case
def custom_layer_on_a_constant():
    """A custom layer with sublayers and a weight is called on `ops.eye(4)`."""

    class Kernel(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)

        def build(self, input_shape):
            self.dense.build(input_shape)
            self.shift = self.add_weight(shape=(4,), initializer="random_normal")

        def call(self, x):
            return ops.tanh(self.dense(x)) + self.shift

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.kernel = Kernel()

        def call(self, x):
            return ops.matmul(x, self.kernel(ops.eye(4)))

    return Case(Outer(), floats(3, 4))


@case
def dropout_on_a_constant():
    """Dropout is called on ones: no weights, but a draw at every call in training."""

    class DropColumns(keras.Model):
        def __init__(self):
            super().__init__()
            self.dropout = keras.layers.Dropout(0.5)

        def call(self, x):
            return x * self.dropout(ops.ones((1, 8)))

    return Case(DropColumns(), floats(3, 8))


@case
def layer_without_weights_on_a_constant():
    """Layers without weights are called on constants: their results are constants."""

    class Window(keras.Model):
        def __init__(self):
            super().__init__()
            self.softmax = keras.layers.Softmax()
            self.rescale = keras.layers.Rescaling(2.0, offset=-1.0)

        def call(self, x):
            return x * self.softmax(self.rescale(np.arange(4, dtype="float32")))

    return Case(Window(), floats(3, 4))


@case
def constant_that_meets_the_input_late():
    """A branch of constants and layers meets the input behind two layers only."""

    class Prototypes(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding = keras.layers.Embedding(6, 4)
            self.dense = keras.layers.Dense(4)
            self.encode = keras.layers.Dense(4)

        def call(self, x):
            prototypes = self.dense(self.embedding(ops.arange(6)))
            return ops.matmul(self.encode(x), ops.transpose(prototypes))

    return Case(Prototypes(), floats(3, 5))


# --- One variable in two places ------------------------------------------------------------


@case
def tied_embedding_projection():
    """The output projection is the transposed embedding matrix."""

    class LanguageModel(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding = keras.layers.Embedding(VOCABULARY, 4)
            self.dense = keras.layers.Dense(4)

        def call(self, ids):
            hidden = self.dense(self.embedding(ids))
            return ops.matmul(hidden, ops.transpose(self.embedding.embeddings))

    return Case(LanguageModel(), tokens(3, 7))


@case
def tied_projection_layer():
    """A custom layer holds an Embedding of another block and uses its matrix."""

    class Projection(keras.layers.Layer):
        def __init__(self, embedding):
            super().__init__()
            self.embedding = embedding

        def build(self, input_shape):
            self.bias = self.add_weight(shape=(VOCABULARY,), initializer="random_normal")

        def call(self, x):
            return ops.einsum("btd,vd->btv", x, self.embedding.embeddings) + self.bias

    inputs = keras.Input((7,), dtype="int32")
    embedding = keras.layers.Embedding(VOCABULARY, 4)
    hidden = keras.layers.Dense(4, activation="tanh")(embedding(inputs))
    model = keras.Model(inputs, Projection(embedding)(hidden))
    return Case(model, tokens(3, 7), needs_input=False)


@case
def one_variable_given_to_two_layers():
    """Two custom layers were given the same variable, one multiplies, one adds."""

    class Times(keras.layers.Layer):
        def __init__(self, weight):
            super().__init__()
            self.weight = weight

        def call(self, x):
            return x * self.weight

    class Plus(keras.layers.Layer):
        def __init__(self, weight):
            super().__init__()
            self.offset = weight

        def call(self, x):
            return self.offset + x

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            weight = keras.Variable(np.linspace(0.5, 1.5, 4).astype("float32"), name="weight")
            self.times = Times(weight)
            self.plus = Plus(weight)

        def call(self, x):
            return self.plus(ops.tanh(self.times(x)))

    return Case(Outer(), floats(3, 4))


@case
def builtin_kernel_used_in_two_places():
    """An autoencoder decodes with the transposed kernel of its Dense encoder."""

    class Autoencoder(keras.Model):
        def __init__(self):
            super().__init__()
            self.encoder = keras.layers.Dense(4, activation="tanh")
            self.bias = self.add_weight(shape=(6,), initializer="random_normal")

        def call(self, x):
            code = self.encoder(x)
            return ops.matmul(code, ops.transpose(self.encoder.kernel)) + self.bias

    return Case(Autoencoder(), floats(3, 6))


@case_since_keras("3.12")
def reversible_embedding():
    """The built-in ReversibleEmbedding is called forwards and backwards."""

    class LanguageModel(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding = keras.layers.ReversibleEmbedding(VOCABULARY, 4)

        def call(self, ids):
            return self.embedding(self.embedding(ids) * 2.0, reverse=True)

    return Case(LanguageModel(), tokens(3, 7))


# --- True constants ------------------------------------------------------------------------


@case
def constant_arrays():
    """NumPy arrays, lists and scalars from attributes, closures and `call` itself."""
    closed_over = floats(4, seed=3)

    class Constants(keras.Model):
        def __init__(self):
            super().__init__()
            self.table = floats(4, seed=4)
            self.mean = [0.485, 0.456, 0.406, 0.5]

        def call(self, x):
            y = (x - ops.array(self.mean)) * self.table + closed_over
            return ops.concatenate([y, y * np.float64(0.5)], axis=-1) + np.ones((8,), "float32")

    return Case(Constants(), floats(3, 4))


@case
def constant_tensor_of_the_constructor():
    """The constructor made a backend tensor with `ops.convert_to_tensor`."""

    class Holder(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.basis = ops.convert_to_tensor(floats(4, 5, seed=2))

        def call(self, x):
            return ops.matmul(x, self.basis)

    return Case(functional(Holder(), floats(3, 4)), floats(3, 4), needs_input=False)


@case
def constant_ranges():
    """`ops.arange(10)`, `ops.eye`, `ops.linspace` and a causal mask of fixed size."""

    class Ranges(keras.Model):
        def call(self, x):
            ramp = ops.cast(ops.arange(10), "float32") / 10.0
            causal = ops.tril(ops.ones((10, 10))) + ops.eye(10)
            return ops.matmul(x * ramp, causal) - ops.linspace(0.0, 1.0, 10)

    return Case(Ranges(), floats(3, 10))


@case
def constant_integers_and_booleans():
    """Constant indices, a constant bool mask and integer arithmetic between them."""

    class Discrete(keras.Model):
        def call(self, x):
            order = (ops.arange(4) + 1) % 4
            keep = np.array([True, False, True, True])
            return ops.where(keep, ops.take(x, order, axis=-1), 0.0)

    return Case(Discrete(), floats(3, 4))


@case
def constant_sinusoidal_table():
    """Sinusoidal positions, computed with NumPy from the static shape."""

    class Sinusoidal(keras.layers.Layer):
        def call(self, x):
            length, width = x.shape[1], x.shape[2]
            rates = 1.0 / 10000 ** (np.arange(width) // 2 * 2 / width)
            angles = np.arange(length)[:, None] * rates[None, :]
            table = np.where(np.arange(width) % 2 == 0, np.sin(angles), np.cos(angles))
            return x + table.astype("float32")

    return Case(functional(Sinusoidal(), floats(3, 7, 4)), floats(3, 7, 4), needs_input=False)


@case
def constant_rotary_table():
    """Rotary positions, computed with ops from constants, and applied to halves."""

    class Rotary(keras.layers.Layer):
        def call(self, x):
            length, half = ops.shape(x)[1], x.shape[2] // 2
            rates = ops.power(100.0, -ops.arange(half, dtype="float32") / half)
            angles = ops.outer(ops.arange(length, dtype="float32"), rates)
            left, right = x[..., :half], x[..., half:]
            cosine, sine = ops.cos(angles), ops.sin(angles)
            turned = [left * cosine - right * sine, right * cosine + left * sine]
            return ops.concatenate(turned, axis=-1)

    return Case(functional(Rotary(), floats(3, 7, 6)), floats(3, 7, 6), needs_input=False)


@case
def large_constant():
    """A constant of 20,000 numbers, which does not belong in a config."""

    class Projection(keras.Model):
        def __init__(self):
            super().__init__()
            self.basis = floats(20, 1000, seed=6)

        def call(self, x):
            return ops.mean(ops.cos(ops.matmul(x, self.basis)), axis=-1, keepdims=True)

    return Case(Projection(), floats(3, 20))


@case
def one_constant_used_twice():
    """One array is used in two blocks."""
    table = floats(4, seed=8)

    class Shift(keras.layers.Layer):
        def call(self, x):
            return ops.tanh(x + table)

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.first = Shift()
            self.second = Shift()

        def call(self, x):
            return self.second(self.first(x) * table)

    return Case(Outer(), floats(3, 4))

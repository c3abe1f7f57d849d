"""Built-in layers around layers of the user's: TimeDistributed, RNN, Bidirectional, wrappers."""

import keras
from keras import ops

from zoo.case import Case, around_one, batch_normalization, case, floats, functional, padded_tokens
from zoo.masks import masking_embedding, padded_features


class Gate(keras.layers.Layer):
    """A custom layer with a weight as left operand and a Dense layer."""

    def __init__(self, units=4, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.dense = keras.layers.Dense(units, bias_initializer="random_normal")

    def build(self, shape):
        self.dense.build(shape)
        self.scale = self.add_weight(shape=(self.units,), initializer=around_one(), name="scale")

    def call(self, x):
        return self.scale * ops.tanh(self.dense(x))

    def compute_output_shape(self, shape):
        return (*shape[:-1], self.units)


class Cell(keras.layers.Layer):
    """A custom cell with one state."""

    def __init__(self, units=5, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = units

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], self.units), name="kernel")
        self.recurrent = self.add_weight(shape=(self.units, self.units), name="recurrent")
        self.bias = self.add_weight(shape=(self.units,), initializer="random_normal", name="bias")

    def call(self, x, states):
        h = ops.tanh(ops.matmul(x, self.kernel) + ops.matmul(states[0], self.recurrent) + self.bias)
        return h, [h]


class TwoStates(keras.layers.Layer):
    """A custom cell of built-in layers, with two states; its output is neither of them."""

    state_size = (5, 3)
    output_size = 5

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = keras.layers.Dense(5, activation="tanh", bias_initializer="random_normal")
        self.second = keras.layers.Dense(3, activation="sigmoid", bias_initializer="random_normal")

    def build(self, shape):
        self.first.build((shape[0], shape[-1] + 3))
        self.second.build((shape[0], 5))

    def call(self, x, states):
        a, b = states
        a = self.first(ops.concatenate([x, b], axis=-1)) + 0.5 * a
        return 2.0 * a - 1.0, [a, self.second(a)]


class Around(keras.Model):
    """A model of layers, one after the other."""

    def __init__(self, *layers):
        super().__init__()
        self.parts = list(layers)

    def call(self, x):
        for layer in self.parts:
            x = layer(x)
        return x


# TimeDistributed


@case
def time_distributed_custom_layer():
    """A custom layer for each of a few steps."""
    return Case(Around(keras.layers.TimeDistributed(Gate())), floats(3, 5, 4))


@case
def time_distributed_custom_layer_of_free_length():
    """How many steps there are is free."""
    model = Around(keras.layers.TimeDistributed(Gate()))
    return Case(model, floats(3, 5, 4), free=keras.Input((None, 4)))


@case
def time_distributed_custom_layer_of_many_steps():
    """More steps than a graph should be unrolled for."""
    return Case(Around(keras.layers.TimeDistributed(Gate())), floats(2, 20, 4))


@case
def time_distributed_sequential_with_a_custom_layer():
    """A Sequential model of built-in layers and a custom one; its normalization is trained step by step."""
    inner = keras.Sequential([keras.layers.Dense(4), batch_normalization(), Gate(3), keras.layers.ReLU()])
    return Case(Around(keras.layers.TimeDistributed(inner)), floats(3, 5, 4))


@case
def time_distributed_functional_with_a_custom_layer():
    """A Functional model with a branch around the custom layer."""
    x = keras.Input((4,))
    inner = keras.Model(x, keras.layers.Add()([Gate()(x), keras.layers.Dense(4)(x)]))
    return Case(Around(keras.layers.TimeDistributed(inner)), floats(3, 5, 4))


@case
def time_distributed_model_of_builtin_layers():
    """A Sequential model of images: Keras alone can load it, so nothing has to be opened."""
    inner = keras.Sequential(
        [keras.layers.Conv2D(2, 3), keras.layers.Flatten(), keras.layers.Dense(3, activation="relu")]
    )
    return Case(Around(keras.layers.TimeDistributed(inner)), floats(2, 3, 5, 5, 1))


@case
def time_distributed_custom_layer_with_dropout():
    """Each step draws on its own."""
    inner = keras.Sequential([Gate(), keras.layers.Dropout(0.4, seed=3)])
    return Case(Around(keras.layers.TimeDistributed(inner)), floats(3, 5, 4))


@case
def time_distributed_custom_layer_with_a_mask():
    """The inner layer gets the mask of its step; the mask goes on to an LSTM."""

    class Masked(keras.layers.Layer):
        def call(self, x, mask=None):
            return x if mask is None else ops.where(ops.expand_dims(mask, -1), 2.0 * x, x - 1.0)

    return Case(
        Around(keras.layers.Masking(), keras.layers.TimeDistributed(Masked()), keras.layers.LSTM(3)),
        padded_features(3, 7, 4),
    )


@case
def time_distributed_layer_that_asks_for_training():
    """Training and inference differ inside of the distributed layer."""

    class ByMode(keras.layers.Layer):
        def build(self, shape):
            self.scale = self.add_weight(shape=(), initializer=around_one())

        def call(self, x, training=None):
            return x * self.scale if training else x - self.scale

    return Case(Around(keras.layers.TimeDistributed(ByMode())), floats(3, 4, 4))


@case
def time_distributed_in_time_distributed():
    """Words of sentences: the outer layer distributes an inner one with a custom layer."""
    inner = keras.layers.TimeDistributed(Gate(3))
    return Case(Around(keras.layers.TimeDistributed(inner)), floats(2, 3, 4, 4))


# Cells


@case
def rnn_of_a_custom_cell():
    """`RNN` around a custom cell, for a few steps."""
    return Case(Around(keras.layers.RNN(Cell())), floats(3, 6, 4))


@case
def rnn_of_a_custom_cell_of_free_length():
    """The length is free: the cell becomes the body of a scan."""
    model = Around(keras.layers.RNN(Cell(), return_sequences=True))
    return Case(model, floats(3, 6, 4), free=keras.Input((None, 4)))


@case
def rnn_of_a_custom_cell_of_many_steps():
    """More steps than a graph should be unrolled for, backwards."""
    model = Around(keras.layers.RNN(Cell(), return_sequences=True, go_backwards=True))
    return Case(model, floats(2, 20, 4))


@case
def rnn_of_a_cell_with_layers():
    """The cell is made of Dense layers and has two states; all results are outputs."""

    class States(keras.Model):
        def __init__(self):
            super().__init__()
            self.rnn = keras.layers.RNN(TwoStates(), return_sequences=True, return_state=True)

        def call(self, x):
            return self.rnn(x)

    return Case(States(), floats(3, 6, 4))


@case
def rnn_of_a_cell_with_layers_of_free_length():
    """The same where the length is free, with an initial state."""

    class States(keras.Model):
        def __init__(self):
            super().__init__()
            self.start = keras.layers.Dense(5), keras.layers.Dense(3)
            self.rnn = keras.layers.RNN(TwoStates(), return_sequences=True, return_state=True)

        def call(self, x):
            states = [start(ops.mean(x, axis=1)) for start in self.start]
            return self.rnn(x, initial_state=states)

    return Case(States(), floats(3, 6, 4), free=keras.Input((None, 4)))


def masked_rnn(**options):
    """A model that masks its features for an RNN of a custom cell."""
    return Around(keras.layers.Masking(), keras.layers.RNN(TwoStates(), **options))


@case
def rnn_of_a_custom_cell_with_a_mask():
    """A masked step keeps the states and repeats the output."""
    return Case(masked_rnn(return_sequences=True), padded_features(3, 7, 4))


@case
def rnn_of_a_custom_cell_with_a_mask_in_front():
    """The first steps are masked: there is no output to repeat yet."""
    features = padded_features(3, 7, 4)[:, ::-1].copy()
    return Case(masked_rnn(return_sequences=True), features)


@case
def rnn_of_a_custom_cell_with_a_mask_and_zeros():
    """A masked step gives zeros."""
    return Case(masked_rnn(return_sequences=True, zero_output_for_mask=True), padded_features(3, 7, 4))


@case
def rnn_of_a_custom_cell_with_a_mask_of_many_steps():
    """The mask goes through a scan, backwards."""
    return Case(masked_rnn(go_backwards=keras.backend.backend() != "jax"), padded_features(3, 20, 4))


@case
def rnn_of_a_custom_cell_unrolled():
    """`unroll=True` with a mask."""
    return Case(masked_rnn(unroll=True, return_sequences=True), padded_features(3, 7, 4))


@case
def rnn_of_stacked_custom_cells():
    """A list of cells, of which one is built-in, with states of unlike structure."""
    cells = [Cell(4), keras.layers.GRUCell(3, recurrent_dropout=0.2, seed=3), TwoStates()]
    return Case(Around(keras.layers.RNN(cells, return_sequences=True)), floats(3, 5, 4))


@case
def stacked_cells_and_an_lstm_cell_with_dropout():
    """A built-in cell with dropout beside a custom one draws one mask for all steps."""
    cells = [keras.layers.LSTMCell(4, dropout=0.3, seed=3), Cell(3)]
    return Case(Around(keras.layers.RNN(cells)), floats(3, 5, 4))


@case
def cell_that_changes_the_training():
    """The cell asks for the mode."""

    class Modal(Cell):
        def call(self, x, states, training=None):
            h, states = super().call(x, states)
            return (h * 2.0 if training else h), states

    return Case(Around(keras.layers.RNN(Modal())), floats(3, 5, 4))


@case
def rnn_of_a_subclassed_lstm_cell():
    """A subclass of `LSTMCell` with dropout changes what the cell gives."""

    class Scaled(keras.layers.LSTMCell):
        def call(self, inputs, states, training=False):
            h, states = super().call(inputs, states, training=training)
            return h * 0.5, states

    return Case(Around(keras.layers.RNN(Scaled(4, dropout=0.3, seed=3))), floats(3, 5, 4))


@case
def subclassed_lstm():
    """A subclass of `LSTM` with a `call` of its own, for any length."""

    class Residual(keras.layers.LSTM):
        def call(self, sequences, initial_state=None, mask=None, training=False):
            y = super().call(sequences, initial_state=initial_state, mask=mask, training=training)
            return sequences + y

    model = Around(Residual(4, return_sequences=True, dropout=0.3, seed=3))
    return Case(model, floats(3, 5, 4), free=keras.Input((None, 4)))


@case
def cell_with_dropout_inside():
    """A cell with a Dropout layer: how often it draws depends on the backend."""

    class Drops(Cell):
        def __init__(self):
            super().__init__()
            self.dropout = keras.layers.Dropout(0.3, seed=3)

        def call(self, x, states, training=None):
            h, states = super().call(x, states)
            return self.dropout(h, training=training), states

    # JAX lets no draw out of its loop.
    return Case(Around(keras.layers.RNN(Drops())), floats(3, 5, 4), expect_opaque=("RNN",))


# Bidirectional


@case
def bidirectional_custom_cell():
    """Both directions with a custom cell, a mask, and concatenated results."""

    class Tagger(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding = masking_embedding()
            self.both = keras.layers.Bidirectional(keras.layers.RNN(Configured(4), return_sequences=True))
            self.tags = keras.layers.Dense(3)

        def call(self, ids):
            return self.tags(self.both(self.embedding(ids)))

    return Case(Tagger(), padded_tokens(3, 7))


@keras.saving.register_keras_serializable("zoo")
class Configured(Cell):
    """A cell that can be copied, as Bidirectional does."""

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@case
def bidirectional_custom_rnn():
    """A subclass of `GRU` in both directions, of free length, with summed results."""

    @keras.saving.register_keras_serializable("zoo")
    class Scaled(keras.layers.GRU):
        def call(self, sequences, initial_state=None, mask=None, training=False):
            return 2.0 * super().call(sequences, initial_state=initial_state, mask=mask, training=training)

    both = keras.layers.Bidirectional(Scaled(4, return_sequences=True, dropout=0.3, seed=3), merge_mode="sum")
    return Case(Around(both), floats(3, 5, 4), free=keras.Input((None, 4)))


# Wrappers


@case
def spectral_normalization_in_a_custom_layer():
    """SpectralNormalization of a Dense layer, which it updates when it trains."""

    class Discriminator(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.SpectralNormalization(keras.layers.Dense(4))

        def build(self, shape):
            self.dense.build(shape)

        def call(self, x, training=None):
            return ops.tanh(self.dense(x, training=training))

    return Case(Around(Discriminator()), floats(3, 4))


@case
def spectral_normalization_of_a_custom_layer():
    """SpectralNormalization of a layer of the user's, which has a kernel."""

    class Project(keras.layers.Layer):
        def build(self, shape):
            self.kernel = self.add_weight(shape=(shape[-1], 4), name="kernel")

        def call(self, x):
            return ops.matmul(x, self.kernel)

    return Case(Around(keras.layers.SpectralNormalization(Project())), floats(3, 4))


@case
def custom_wrapper():
    """A `keras.layers.Wrapper` of the user's around a built-in layer and a custom one."""

    class Residual(keras.layers.Wrapper):
        def build(self, shape):
            super().build(shape)
            self.scale = self.add_weight(shape=(), initializer=around_one())

        def call(self, x):
            return x + self.scale * self.layer(x)

    return Case(Around(Residual(keras.layers.Dense(4)), Residual(Gate())), floats(3, 4))


@case
def convolutional_lstm_of_the_users():
    """A subclass of `ConvLSTM1D` with a `call` of its own."""

    class Scaled(keras.layers.ConvLSTM1D):
        def call(self, sequences, initial_state=None, mask=None, training=False):
            y = super().call(sequences, initial_state=initial_state, mask=mask, training=training)
            return 0.5 * y

    layer = Scaled(2, 3, padding="same", return_sequences=True, dropout=0.3, seed=3)
    return Case(functional(layer, floats(2, 3, 6, 1)), floats(2, 3, 6, 1), needs_input=False)

"""Series in time: of sensors, of roads, of brains."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers, ops

from benchmarks.zoo.example import BATCH, TIME, Axis, Example, Tensor, normal, of_functional

# timeseries/timeseries_traffic_forecasting

ROADS, HISTORY, HORIZON = 5, 6, 3


class GraphInfo:
    """The roads that lie next to each other."""

    def __init__(self, edges, num_nodes):
        self.edges, self.num_nodes = edges, num_nodes


class RoadConvolution(layers.Layer):
    """A weight of its own made in `__init__`, and messages along the roads."""

    def __init__(
        self,
        in_feat,
        out_feat,
        graph_info,
        aggregation_type="mean",
        combination_type="concat",
        activation=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.in_feat, self.out_feat, self.graph_info = in_feat, out_feat, graph_info
        self.aggregation_type, self.combination_type = aggregation_type, combination_type
        self.weight = self.add_weight(
            initializer=keras.initializers.GlorotUniform(),
            shape=(in_feat, out_feat),
            dtype="float32",
            trainable=True,
        )
        self.activation = layers.Activation(activation)

    def aggregate(self, neighbours):
        aggregation = {"sum": ops.segment_sum, "max": ops.segment_max}.get(self.aggregation_type)
        index, number = self.graph_info.edges[0], self.graph_info.num_nodes
        if aggregation:
            return aggregation(neighbours, index, num_segments=number)
        total = ops.segment_sum(neighbours, index, num_segments=number)
        count = ops.segment_sum(ops.ones((len(index),)), index, num_segments=number)
        return total / ops.reshape(ops.maximum(count, 1.0), (-1, 1, 1, 1))

    def compute_aggregated_messages(self, features):
        neighbours = ops.take(features, self.graph_info.edges[1], axis=0)
        return ops.matmul(self.aggregate(neighbours), self.weight)

    def update(self, nodes, aggregated):
        if self.combination_type == "concat":
            h = ops.concatenate([nodes, aggregated], axis=-1)
        elif self.combination_type == "add":
            h = nodes + aggregated
        else:
            raise ValueError(f"Invalid combination type: {self.combination_type}.")
        return self.activation(h)

    def call(self, features):
        nodes = ops.matmul(features, self.weight)
        return self.update(nodes, self.compute_aggregated_messages(features))


class LSTMGC(layers.Layer):
    """Convolutions over the roads, then an LSTM over time for each road."""

    def __init__(self, in_feat, out_feat, lstm_units, input_seq_len, output_seq_len, graph_info, **kwargs):
        super().__init__(**kwargs)
        self.graph_conv = RoadConvolution(in_feat, out_feat, graph_info, activation="relu")
        self.lstm = layers.LSTM(lstm_units, activation="relu")
        self.dense = layers.Dense(output_seq_len)
        self.input_seq_len, self.output_seq_len = input_seq_len, output_seq_len

    def call(self, inputs):
        inputs = ops.transpose(inputs, [2, 0, 1, 3])
        gcn_out = self.graph_conv(inputs)
        shape = ops.shape(gcn_out)
        num_nodes, batch_size, input_seq_len, out_feat = shape[0], shape[1], shape[2], shape[3]
        gcn_out = ops.reshape(gcn_out, (batch_size * num_nodes, input_seq_len, out_feat))
        lstm_out = self.lstm(gcn_out)
        dense_output = self.dense(lstm_out)
        output = ops.reshape(dense_output, (num_nodes, batch_size, self.output_seq_len))
        return ops.transpose(output, [1, 2, 0])


def kio_traffic_forecasting() -> Example:
    """timeseries/timeseries_traffic_forecasting."""
    adjacency = np.random.RandomState(0).uniform(size=(ROADS, ROADS)) > 0.5
    nodes, neighbours = np.where(adjacency)
    graph = GraphInfo(edges=(nodes, neighbours), num_nodes=ROADS)
    st_gcn = LSTMGC(1, 4, 6, HISTORY, HORIZON, graph)
    inputs = layers.Input((HISTORY, ROADS, 1))
    model = keras.models.Model(inputs, st_gcn(inputs))
    model.compile(optimizer=keras.optimizers.RMSprop(2e-4), loss=keras.losses.MeanSquaredError())
    return of_functional(model)


def kio_timeseries_transformer() -> Example:
    """timeseries/timeseries_classification_transformer."""
    inputs = x = keras.Input(shape=(20, 1))
    for _ in range(2):
        y = layers.MultiHeadAttention(key_dim=6, num_heads=2, dropout=0.25)(x, x)
        y = layers.Dropout(0.25)(y)
        res = x + layers.LayerNormalization(epsilon=1e-6)(y)
        y = layers.Conv1D(filters=4, kernel_size=1, activation="relu")(res)
        y = layers.Dropout(0.25)(y)
        y = layers.Conv1D(filters=inputs.shape[-1], kernel_size=1)(y)
        x = res + layers.LayerNormalization(epsilon=1e-6)(y)
    x = layers.GlobalAveragePooling1D(data_format="channels_last")(x)
    x = layers.Dropout(0.4)(layers.Dense(8, activation="relu")(x))
    return of_functional(keras.Model(inputs, layers.Dense(2, activation="softmax")(x)))


def kio_anomaly_detection() -> Example:
    """timeseries/timeseries_anomaly_detection."""
    model = keras.Sequential(
        [
            layers.Input(shape=(24, 1)),
            layers.Conv1D(filters=8, kernel_size=7, padding="same", strides=2, activation="relu"),
            layers.Dropout(rate=0.2),
            layers.Conv1D(filters=4, kernel_size=7, padding="same", strides=2, activation="relu"),
            layers.Conv1DTranspose(filters=4, kernel_size=7, padding="same", strides=2, activation="relu"),
            layers.Dropout(rate=0.2),
            layers.Conv1DTranspose(filters=8, kernel_size=7, padding="same", strides=2, activation="relu"),
            layers.Conv1DTranspose(filters=1, kernel_size=7, padding="same"),
        ]
    )
    return Example(model, (Tensor((BATCH, 24, 1), normal()),), knows_inputs=True)


# timeseries/eeg_bci_ssvepformer


class ComplexSpectrum(layers.Layer):
    """The real and the imaginary part of the spectrum within a band, behind each other."""

    def __init__(self, resolution, rate, low, high, **kwargs):
        super().__init__(**kwargs)
        self.size = round(rate / resolution)
        self.begin, self.end = int(low / resolution), int(high / resolution) + 1

    def call(self, x):
        real, imaginary = ops.rfft(x, fft_length=self.size)
        real, imaginary = real[..., self.begin : self.end], imaginary[..., self.begin : self.end]
        return ops.concatenate([real, imaginary], axis=-1)


class ChannelMixing(layers.Layer):
    """A dense layer over channels, by a product from the left."""

    def __init__(self, channels, drop_rate, **kwargs):
        super().__init__(**kwargs)
        self.norm, self.drop = layers.LayerNormalization(), layers.Dropout(drop_rate)
        self.mix = layers.EinsumDense("bij,ik->bkj", output_shape=(channels, None), bias_axes="k")

    def call(self, x):
        return x + self.drop(keras.activations.gelu(self.mix(self.norm(x))))


class ChannelMLP(layers.Layer):
    """A dense layer of its own for each channel, in a loop."""

    def __init__(self, channels, width, drop_rate, **kwargs):
        super().__init__(**kwargs)
        self.norm = layers.LayerNormalization()
        self.mlps = [
            keras.Sequential([layers.Dense(width, activation="gelu"), layers.Dropout(drop_rate)])
            for _ in range(channels)
        ]

    def call(self, x):
        rows = [mlp(row) for mlp, row in zip(self.mlps, ops.unstack(self.norm(x), axis=1), strict=True)]
        return x + ops.stack(rows, axis=1)


class SSVEPFormer(keras.Model):
    """The spectrum of each channel, mixed across channels and within them."""

    def __init__(self, channels=4, classes=3, drop_rate=0.5):
        super().__init__()
        self.spectrum = ComplexSpectrum(2.0, 64, 4, 20)
        self.combine = layers.Conv1D(2 * channels, 1, data_format="channels_last")
        self.norm, self.drop = layers.LayerNormalization(), layers.Dropout(drop_rate)
        width = 2 * (self.spectrum.end - self.spectrum.begin)
        self.encoder = [
            block
            for _ in range(2)
            for block in (ChannelMixing(2 * channels, drop_rate), ChannelMLP(2 * channels, width, drop_rate))
        ]
        self.head = keras.Sequential(
            [
                layers.Flatten(),
                layers.Dropout(drop_rate),
                layers.Dense(6 * classes),
                layers.LayerNormalization(),
                layers.Activation("gelu"),
                layers.Dense(classes),
            ]
        )

    def call(self, x):
        x = self.combine(ops.transpose(self.spectrum(x), (0, 2, 1)))
        x = self.drop(keras.activations.gelu(self.norm(ops.transpose(x, (0, 2, 1)))))
        for block in self.encoder:
            x = block(x)
        return self.head(x)


def kio_ssvepformer() -> Example:
    """timeseries/eeg_bci_ssvepformer."""
    return Example(SSVEPFormer(), (Tensor((BATCH, 4, 48), normal()),))


def kio_eeg_classification() -> Example:
    """timeseries/eeg_signal_classification."""
    inputs = x = keras.Input(shape=(64, 1))
    for filters in (4, 8, 16):
        x = layers.Conv1D(filters, kernel_size=3, strides=2, activation="relu", padding="same")(x)
        x = layers.BatchNormalization()(x)
    x = layers.Dropout(0.2)(layers.Flatten()(x))
    x = layers.Dense(16, activation="relu", kernel_regularizer=keras.regularizers.L2())(x)
    return of_functional(keras.Model(inputs, layers.Dense(3, activation="softmax")(x)))


def kio_weather_lstm() -> Example:
    """timeseries/timeseries_weather_forecasting."""
    inputs = keras.layers.Input(shape=(None, 4))
    outputs = keras.layers.Dense(1)(keras.layers.LSTM(8)(inputs))
    return of_functional(keras.Model(inputs, outputs), {"": (Axis("time", TIME.size),)})

"""Networks on graphs: whole graphs are constants of the model, molecules are lists of atoms and bonds."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers, ops

from benchmarks.zoo.example import BATCH, Axis, Example, Tensor, Values, integers, normal

NODES, FEATURES, CLASSES = 7, 5, 3


def edges(number: int = 12, seed: int = 0) -> np.ndarray:
    """Pairs of nodes."""
    return np.random.RandomState(seed).randint(0, NODES, size=(number, 2)).astype("int32")


def feed_forward(units: list[int], rate: float, name: str | None = None) -> keras.Sequential:
    parts = []
    for width in units:
        parts += [layers.BatchNormalization(), layers.Dropout(rate), layers.Dense(width, activation="gelu")]
    return keras.Sequential(parts, name=name)


class GraphConvolution(layers.Layer):
    """Prepares messages, sums them by node, and combines them with what the node was."""

    def __init__(self, units, rate=0.2, aggregation="mean", combination="concat", normalize=False, **kwargs):
        super().__init__(**kwargs)
        self.aggregation, self.combination, self.normalize = aggregation, combination, normalize
        self.prepare = feed_forward(units, rate)
        if self.combination == "gru":
            self.update_fn = layers.GRU(units[-1], return_sequences=True)
        else:
            self.update_fn = feed_forward(units, rate)

    def messages(self, neighbours, weights=None):
        messages = self.prepare(neighbours)
        return messages if weights is None else messages * ops.expand_dims(weights, -1)

    def aggregate(self, index, messages, nodes):
        number = ops.shape(nodes)[0]
        if self.aggregation == "sum":
            return ops.segment_sum(messages, index, num_segments=number)
        if self.aggregation == "mean":
            total = ops.segment_sum(messages, index, num_segments=number)
            count = ops.segment_sum(ops.ones_like(messages[:, :1]), index, num_segments=number)
            return total / ops.maximum(count, 1.0)
        if self.aggregation == "max":
            return ops.segment_max(messages, index, num_segments=number)
        raise ValueError(f"Invalid aggregation type: {self.aggregation}.")

    def update(self, nodes, aggregated):
        if self.combination == "gru":
            h = ops.stack([nodes, aggregated], axis=1)
        elif self.combination == "concat":
            h = ops.concatenate([nodes, aggregated], axis=1)
        else:
            h = nodes + aggregated
        result = self.update_fn(h)
        if self.combination == "gru":
            result = ops.unstack(result, axis=1)[-1]
        return keras.utils.normalize(result, axis=-1) if self.normalize else result

    def call(self, inputs):
        nodes, edges, weights = inputs
        index, neighbours = edges[0], edges[1]
        messages = self.messages(ops.take(nodes, neighbours, axis=0), weights)
        return self.update(nodes, self.aggregate(index, messages, nodes))


class GNNNodeClassifier(keras.Model):
    """The whole graph belongs to the model; it is asked about some of its nodes."""

    def __init__(self, graph_info, classes, units, combination="concat", **kwargs):
        super().__init__(**kwargs)
        features, edges, weights = graph_info
        self.node_features, self.edges, self.edge_weights = features, edges, weights
        if self.edge_weights is None:
            self.edge_weights = ops.ones(shape=edges.shape[1])
        self.edge_weights = self.edge_weights / ops.sum(self.edge_weights)
        self.preprocess = feed_forward(units, 0.2, name="preprocess")
        self.conv1 = GraphConvolution(units, aggregation="sum", combination=combination, name="conv1")
        self.conv2 = GraphConvolution(units, aggregation="mean", combination=combination, name="conv2")
        self.postprocess = feed_forward(units, 0.2, name="postprocess")
        self.compute_logits = layers.Dense(units=classes, name="logits")

    def call(self, input_node_indices):
        x = self.preprocess(self.node_features)
        x1 = self.conv1((x, self.edges, self.edge_weights))
        x = x1 + x
        x2 = self.conv2((x, self.edges, self.edge_weights))
        x = self.postprocess(x2 + x)
        return self.compute_logits(ops.take(x, input_node_indices, axis=0))


def _citations(combination: str) -> Example:
    graph = (ops.convert_to_tensor(normal()((NODES, FEATURES))), edges().T, None)
    model = GNNNodeClassifier(graph, CLASSES, [8, 8], combination)
    return Example(model, (Tensor((BATCH,), integers(NODES)),))


def kio_gnn_citations() -> Example:
    """graph/gnn_citations."""
    return _citations("concat")


def kio_gnn_citations_gru() -> Example:
    """graph/gnn_citations, with a GRU that combines."""
    return _citations("gru")


# graph/gat_node_classification


class GraphAttention(layers.Layer):
    """A softmax over the neighbours of each node."""

    def __init__(self, units, kernel_initializer="glorot_uniform", kernel_regularizer=None, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(input_shape[0][-1], self.units),
            trainable=True,
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            name="kernel",
        )
        self.kernel_attention = self.add_weight(
            shape=(self.units * 2, 1),
            trainable=True,
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            name="kernel_attention",
        )
        self.built = True

    def call(self, inputs):
        node_states, edges = inputs
        transformed = ops.matmul(node_states, self.kernel)
        expanded = ops.take(transformed, edges, axis=0)
        expanded = ops.reshape(expanded, (ops.shape(edges)[0], -1))
        scores = ops.leaky_relu(ops.matmul(expanded, self.kernel_attention))
        scores = ops.exp(ops.clip(ops.squeeze(scores, -1), -2, 2))
        sums = ops.segment_sum(scores, edges[:, 0], num_segments=ops.shape(node_states)[0])
        normalized = scores / ops.take(sums, edges[:, 0], axis=0)
        neighbours = ops.take(transformed, edges[:, 1], axis=0)
        return ops.segment_sum(
            neighbours * normalized[:, None], edges[:, 0], num_segments=ops.shape(node_states)[0]
        )


class MultiHeadGraphAttention(layers.Layer):
    """Several attentions, side by side or averaged."""

    def __init__(self, units, num_heads=2, merge_type="concat", **kwargs):
        super().__init__(**kwargs)
        self.merge_type = merge_type
        self.heads = [GraphAttention(units) for _ in range(num_heads)]

    def call(self, inputs):
        features, pairs = inputs
        outputs = [head([features, pairs]) for head in self.heads]
        if self.merge_type == "concat":
            merged = ops.concatenate(outputs, axis=-1)
        else:
            merged = ops.mean(ops.stack(outputs, axis=-1), axis=-1)
        return ops.relu(merged)


class GraphAttentionNetwork(keras.Model):
    """States and edges are attributes; `fit` gives indices and labels of nodes."""

    def __init__(self, node_states, edges, units, heads, number, classes, **kwargs):
        super().__init__(**kwargs)
        self.node_states, self.edges = node_states, edges
        self.preprocess = layers.Dense(units * heads, activation="relu")
        self.attention_layers = [MultiHeadGraphAttention(units, heads) for _ in range(number)]
        self.output_layer = layers.Dense(classes)

    def call(self, inputs):
        node_states, edges = inputs
        x = self.preprocess(node_states)
        for layer in self.attention_layers:
            x = layer([x, edges]) + x
        return self.output_layer(x)

    def train_step(self, data):
        import tensorflow as tf

        indices, labels = data
        with tf.GradientTape() as tape:
            outputs = self([self.node_states, self.edges])
            loss = self.compute_loss(y=labels, y_pred=tf.gather(outputs, indices))
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        return {"loss": loss}


def kio_gat_node_classification() -> Example:
    """graph/gat_node_classification."""
    states = ops.convert_to_tensor(normal()((NODES, FEATURES)))
    model = GraphAttentionNetwork(states, ops.convert_to_tensor(edges()), 4, 2, 2, CLASSES)
    nodes, number = Axis("batch", NODES, others=(NODES + 2, 2 * NODES)), Axis("edges", 12)
    return Example(model, ([Tensor((nodes, FEATURES), normal()), Tensor((number, 2), integers(NODES))],))


# graph/mpnn-molecular-graphs

BOND_FEATURES, UNITS = 4, 6


class EdgeNetwork(layers.Layer):
    """A bond makes the matrix by which the neighbour's state is multiplied."""

    def build(self, input_shape):
        self.atom_dim, self.bond_dim = input_shape[0][-1], input_shape[1][-1]
        self.kernel = self.add_weight(
            shape=(self.bond_dim, self.atom_dim * self.atom_dim),
            initializer="glorot_uniform",
            name="kernel",
        )
        self.bias = self.add_weight(shape=(self.atom_dim * self.atom_dim,), initializer="zeros", name="bias")
        self.built = True

    def call(self, inputs):
        atom_features, bond_features, pair_indices = inputs
        bonds = ops.matmul(bond_features, self.kernel) + self.bias
        bonds = ops.reshape(bonds, (-1, self.atom_dim, self.atom_dim))
        neighbours = ops.expand_dims(ops.take(atom_features, pair_indices[:, 1], axis=0), axis=-1)
        transformed = ops.squeeze(ops.matmul(bonds, neighbours), axis=-1)
        return ops.segment_sum(transformed, pair_indices[:, 0], num_segments=ops.shape(atom_features)[0])


class MessagePassing(layers.Layer):
    """Several steps of the same edge network and the same cell of a GRU."""

    def __init__(self, units, steps=3, **kwargs):
        super().__init__(**kwargs)
        self.units, self.steps = units, steps

    def build(self, input_shape):
        self.atom_dim = input_shape[0][-1]
        self.message_step = EdgeNetwork()
        self.pad_length = max(0, self.units - self.atom_dim)
        self.update_step = layers.GRUCell(self.atom_dim + self.pad_length)
        self.built = True

    def call(self, inputs):
        atom_features, bond_features, pair_indices = inputs
        updated = ops.pad(atom_features, [(0, 0), (0, self.pad_length)])
        for _ in range(self.steps):
            aggregated = self.message_step([updated, bond_features, pair_indices])
            updated, _ = self.update_step(aggregated, updated)
        return updated


class PartitionPadding(layers.Layer):
    """From the atoms of all molecules to one padded row of atoms for each, without the empty ones."""

    def __init__(self, batch_size, **kwargs):
        super().__init__(**kwargs)
        self.batch_size = batch_size

    def call(self, inputs):
        import tensorflow as tf

        atom_features, molecules = inputs
        parts = tf.dynamic_partition(atom_features, molecules, self.batch_size)
        counts = [tf.shape(part)[0] for part in parts]
        longest = tf.reduce_max(counts)
        stacked = tf.stack(
            [tf.pad(part, [(0, longest - count), (0, 0)]) for part, count in zip(parts, counts, strict=True)],
            axis=0,
        )
        filled = tf.squeeze(tf.where(tf.reduce_sum(stacked, (1, 2)) != 0), axis=-1)
        return tf.gather(stacked, filled, axis=0)


class TransformerReadout(layers.Layer):
    """Attention over the atoms of a molecule, where padding has no say, and their mean."""

    def __init__(self, num_heads=2, embed_dim=UNITS, dense_dim=8, batch_size=3, **kwargs):
        super().__init__(**kwargs)
        self.partition_padding = PartitionPadding(batch_size)
        self.attention = layers.MultiHeadAttention(num_heads, embed_dim)
        self.dense_proj = keras.Sequential(
            [layers.Dense(dense_dim, activation="relu"), layers.Dense(embed_dim)]
        )
        self.layernorm_1, self.layernorm_2 = layers.LayerNormalization(), layers.LayerNormalization()
        self.average_pooling = layers.GlobalAveragePooling1D()

    def call(self, inputs):
        import tensorflow as tf

        x = self.partition_padding(inputs)
        mask = tf.reduce_any(tf.not_equal(x, 0.0), axis=-1)[:, tf.newaxis, tf.newaxis, :]
        attended = self.attention(x, x, attention_mask=mask)
        projected = self.layernorm_1(x + attended)
        return self.average_pooling(self.layernorm_2(projected + self.dense_proj(projected)))


def molecules(shape: tuple[int, ...]) -> np.ndarray:
    """To which of three molecules each atom belongs."""
    return np.sort(np.arange(shape[0]) % 3).astype("int32")


def _mpnn(readout, molecule_values: Values) -> Example:
    atoms = keras.Input((FEATURES,), name="atom_features")
    bonds = keras.Input((BOND_FEATURES,), name="bond_features")
    pairs = keras.Input((2,), dtype="int32", name="pair_indices")
    molecule = keras.Input((), dtype="int32", name="molecule_indicator")
    x = MessagePassing(UNITS)([atoms, bonds, pairs])
    x = readout([x, molecule])
    x = layers.Dense(1, activation="sigmoid")(layers.Dense(8, activation="relu")(x))
    model = keras.Model([atoms, bonds, pairs, molecule], x)
    number, bonds = Axis("batch", 9, others=(8, 12)), Axis("bonds", 14)
    inputs = [
        Tensor((number, FEATURES), normal()),
        Tensor((bonds, BOND_FEATURES), normal(1)),
        Tensor((bonds, 2), integers(8)),
        Tensor((number,), molecule_values),
    ]
    return Example(model, (inputs,), knows_inputs=True)


def kio_mpnn_molecules() -> Example:
    """graph/mpnn-molecular-graphs."""
    return _mpnn(TransformerReadout(), molecules)


class SegmentReadout(layers.Layer):
    """The mean of the atoms of each molecule; every backend has what it needs."""

    def __init__(self, batch_size, **kwargs):
        super().__init__(**kwargs)
        self.batch_size = batch_size

    def call(self, inputs):
        atoms, molecule = inputs
        ones = ops.ones_like(atoms[:, :1])
        total, count = (ops.segment_sum(x, molecule, num_segments=self.batch_size) for x in (atoms, ones))
        return total / ops.maximum(count, 1.0)


def kio_mpnn_segments() -> Example:
    """graph/mpnn-molecular-graphs, read out by segments."""
    return _mpnn(SegmentReadout(3), molecules)

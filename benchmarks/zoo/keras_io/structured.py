"""Structured data: columns of words and numbers, looked up and normalized inside of the model."""

from __future__ import annotations

import math

import keras
import numpy as np
from keras import layers, ops

from benchmarks.zoo.example import BATCH, Example, Tensor, Values, integers, normal

NUMBERS = ("age", "hours")
WORDS = {"gender": ("female", "male"), "education": ("school", "college", "doctorate", "none")}


def words(vocabulary: tuple[str, ...], seed: int = 0) -> Values:
    """Words of a vocabulary, and one that it does not have."""
    known = np.array([*vocabulary, "unheard of"])
    return lambda shape: known[np.random.RandomState(seed).randint(0, len(known), size=shape)]


def columns(kind: str = "words") -> dict[str, Tensor]:
    """A tensor for each column; categories as words or as indices."""
    numbers = {name: Tensor((BATCH,), normal(i)) for i, name in enumerate(NUMBERS)}
    categories = {
        name: Tensor((BATCH,), words(v) if kind == "words" else integers(len(v), 2))
        for name, v in WORDS.items()
    }
    return {**numbers, **categories}


def inputs_for_words() -> dict[str, keras.KerasTensor]:
    return {
        **{name: keras.Input((), name=name, dtype="float32") for name in NUMBERS},
        **{name: keras.Input((), name=name, dtype="string") for name in WORDS},
    }


def encoded(inputs, use_embedding=False):
    """The inputs, each looked up and embedded or as one of several."""
    features = []
    for name, column in inputs.items():
        if name in WORDS:
            lookup = layers.StringLookup(
                vocabulary=list(WORDS[name]),
                mask_token=None,
                num_oov_indices=1,
                output_mode="int" if use_embedding else "binary",
            )
            if use_embedding:
                size = len(lookup.get_vocabulary())
                column = layers.Embedding(size, math.ceil(math.sqrt(size)))(lookup(column))
            else:
                column = lookup(ops.expand_dims(column, -1))
        else:
            column = ops.expand_dims(column, -1)
        features.append(column)
    return layers.concatenate(features)


def kio_wide_deep() -> Example:
    """structured_data/wide_deep_cross_networks: wide and deep."""
    inputs = inputs_for_words()
    wide = layers.BatchNormalization()(encoded(inputs))
    deep = encoded(inputs, use_embedding=True)
    for units in (8, 8):
        deep = layers.Dense(units)(deep)
        deep = layers.Dropout(0.1)(layers.ReLU()(layers.BatchNormalization()(deep)))
    outputs = layers.Dense(2, activation="softmax")(layers.concatenate([wide, deep]))
    return Example(keras.Model(inputs, outputs), (columns(),), knows_inputs=True)


class Cross(layers.Layer):
    """Each crossing multiplies what came in by a projection of what became of it."""

    def __init__(self, number, **kwargs):
        super().__init__(**kwargs)
        self.number = number

    def build(self, input_shape):
        self.projections = [layers.Dense(input_shape[-1]) for _ in range(self.number)]
        self.built = True

    def call(self, x0):
        cross = x0
        for projection in self.projections:
            cross = x0 * projection(cross) + cross
        return cross


def kio_deep_cross() -> Example:
    """structured_data/wide_deep_cross_networks: deep and cross."""
    inputs = inputs_for_words()
    x0 = encoded(inputs, use_embedding=True)
    cross = layers.BatchNormalization()(Cross(2)(x0))
    deep = layers.Dropout(0.1)(layers.Dense(8, activation="relu")(x0))
    outputs = layers.Dense(2, activation="softmax")(layers.concatenate([cross, deep]))
    return Example(keras.Model(inputs, outputs), (columns(),), knows_inputs=True)


# structured_data/structured_data_classification_from_scratch


def kio_lookup_and_normalization() -> Example:
    """structured_data/structured_data_classification_from_scratch."""
    inputs = {
        "age": keras.Input((1,), name="age"),
        "ca": keras.Input((1,), name="ca", dtype="int64"),
        "thal": keras.Input((1,), name="thal", dtype="string"),
    }
    normalizer = layers.Normalization(axis=None)
    normalizer.adapt(normal(5)((20, 1)))
    integer = layers.IntegerLookup(output_mode="binary")
    integer.adapt(np.arange(4)[:, None])
    string = layers.StringLookup(output_mode="multi_hot", num_oov_indices=2)
    string.adapt(np.array([["fixed"], ["normal"], ["reversible"]]))
    features = [normalizer(inputs["age"]), integer(inputs["ca"]), string(inputs["thal"])]
    x = layers.Dense(8, activation="relu")(layers.concatenate(features))
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(layers.Dropout(0.5)(x)))
    tensors = {
        "age": Tensor((BATCH, 1), normal()),
        "ca": Tensor((BATCH, 1), integers(6, dtype="int64")),
        "thal": Tensor((BATCH, 1), words(("fixed", "normal"))),
    }
    return Example(model, (tensors,), knows_inputs=True)


class Preprocessed(keras.Model):
    """What a FeatureSpace does, and a model after it, in one that takes a row as it is in the table."""

    def __init__(self):
        super().__init__()
        self.buckets = layers.Discretization(bin_boundaries=[-1.0, 0.0, 1.0], output_mode="one_hot")
        self.rescaling = layers.Normalization()
        self.rescaling.adapt(normal(5)((20, 1)))
        self.lookups = {
            name: layers.StringLookup(vocabulary=list(v), output_mode="int") for name, v in WORDS.items()
        }
        self.encodings = {
            name: layers.CategoryEncoding(len(v) + 1, output_mode="one_hot") for name, v in WORDS.items()
        }
        self.hashing = layers.Hashing(num_bins=5, output_mode="one_hot")
        self.crossing = layers.HashedCrossing(num_bins=6, output_mode="one_hot")
        self.dense = layers.Dense(8, activation="relu")
        self.dropout = layers.Dropout(0.5)
        self.classifier = layers.Dense(1, activation="sigmoid")

    def call(self, row, training=False):
        row = {name: ops.expand_dims(column, -1) for name, column in row.items()}
        parts = [self.buckets(row["age"]), self.rescaling(row["hours"])]
        for name, lookup in self.lookups.items():
            parts.append(self.encodings[name](lookup(row[name])))
        parts.append(self.hashing(row["education"]))
        parts.append(self.crossing((row["gender"], row["education"])))
        x = ops.concatenate([ops.cast(part, "float32") for part in parts], axis=-1)
        return self.classifier(self.dropout(self.dense(x), training=training))


def kio_feature_space() -> Example:
    """structured_data/structured_data_classification_with_feature_space."""
    return Example(Preprocessed(), (columns(),))


# structured_data/classification_with_grn_and_vsn


class GatedLinearUnit(layers.Layer):
    """A projection, and a second one that lets it pass."""

    def __init__(self, units):
        super().__init__()
        self.linear = layers.Dense(units)
        self.sigmoid = layers.Dense(units, activation="sigmoid")

    def call(self, inputs):
        return self.linear(inputs) * self.sigmoid(inputs)

    def compute_output_shape(self, input_shape):
        return input_shape


class GatedResidualNetwork(layers.Layer):
    """The projection is made in the first call, and only where the widths differ."""

    def __init__(self, units, dropout_rate):
        super().__init__()
        self.units = units
        self.elu_dense = layers.Dense(units, activation="elu")
        self.linear_dense = layers.Dense(units)
        self.dropout = layers.Dropout(dropout_rate)
        self.gated_linear_unit = GatedLinearUnit(units)
        self.layer_norm = layers.LayerNormalization()
        self.project = layers.Dense(units)

    def call(self, inputs):
        x = self.dropout(self.linear_dense(self.elu_dense(inputs)))
        if inputs.shape[-1] != self.units:
            inputs = self.project(inputs)
        return self.layer_norm(inputs + self.gated_linear_unit(x))


class VariableSelection(layers.Layer):
    """A network for each feature, and weights of the features from all of them."""

    def __init__(self, num_features, units, dropout_rate):
        super().__init__()
        self.units = units
        self.grns = [GatedResidualNetwork(units, dropout_rate) for _ in range(num_features)]
        self.grn_concat = GatedResidualNetwork(units, dropout_rate)
        self.softmax = layers.Dense(units=num_features, activation="softmax")

    def call(self, inputs):
        v = layers.concatenate(inputs)
        v = ops.expand_dims(self.softmax(self.grn_concat(v)), axis=-1)
        x = ops.stack([grn(column) for grn, column in zip(self.grns, inputs, strict=True)], axis=1)
        return ops.squeeze(ops.matmul(ops.transpose(v, axes=[0, 2, 1]), x), axis=1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0][0], self.units)


def indices_and_numbers() -> dict[str, keras.KerasTensor]:
    return {
        **{name: keras.Input((), name=name) for name in NUMBERS},
        **{name: keras.Input((), name=name, dtype="int32") for name in WORDS},
    }


def kio_grn_vsn() -> Example:
    """structured_data/classification_with_grn_and_vsn."""
    inputs = indices_and_numbers()
    features = [
        layers.Embedding(len(WORDS[name]), 6)(x) if name in WORDS else layers.Dense(6)(x[:, None])
        for name, x in inputs.items()
    ]
    x = VariableSelection(len(features), 6, 0.1)(features)
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(x))
    return Example(model, (columns("indices"),), knows_inputs=True)


# structured_data/tabtransformer


def kio_tab_transformer() -> Example:
    """structured_data/tabtransformer."""
    inputs, width = indices_and_numbers(), 4
    embedded = [layers.Embedding(len(v), width)(inputs[name]) for name, v in WORDS.items()]
    x = ops.stack(embedded, axis=1)
    column_embedding = layers.Embedding(len(WORDS), width)
    x = x + column_embedding(ops.arange(0, len(WORDS), 1))
    for _ in range(2):
        attended = layers.MultiHeadAttention(num_heads=2, key_dim=width, dropout=0.1)(x, x)
        x = layers.LayerNormalization(epsilon=1e-6)(layers.Add()([attended, x]))
        feed_forward = keras.Sequential(
            [layers.Dense(width, activation=keras.activations.gelu), layers.Dropout(0.1)]
        )
        x = layers.LayerNormalization(epsilon=1e-6)(layers.Add()([feed_forward(x), x]))
    numbers = layers.concatenate([inputs[name][:, None] for name in NUMBERS])
    x = layers.concatenate([layers.Flatten()(x), layers.LayerNormalization(epsilon=1e-6)(numbers)])
    mlp = [layers.BatchNormalization(), layers.Dense(8, activation="selu"), layers.Dropout(0.2)]
    outputs = layers.Dense(1, activation="sigmoid", name="sigmoid")(keras.Sequential(mlp, name="MLP")(x))
    model = keras.Model(inputs=inputs, outputs=outputs)
    return Example(model, (columns("indices"),), knows_inputs=True)


# structured_data/deep_neural_decision_forests


class NeuralDecisionTree(keras.Model):
    """Every sample goes to every leaf, with a probability; each tree sees some of the features."""

    def __init__(self, depth, num_features, used_features_rate, num_classes, seed):
        super().__init__()
        self.depth = depth
        self.num_leaves = 2**depth
        self.num_classes = num_classes
        used = int(num_features * used_features_rate)
        one_hot = np.eye(num_features)
        sampled = np.random.RandomState(seed).choice(num_features, used, replace=False)
        self.used_features_mask = ops.convert_to_tensor(one_hot[sampled], dtype="float32")
        self.pi = self.add_weight(
            initializer="random_normal", shape=[self.num_leaves, num_classes], trainable=True, name="pi"
        )
        self.decision_fn = layers.Dense(self.num_leaves, activation="sigmoid", name="decision")

    def call(self, features):
        batch_size = ops.shape(features)[0]
        features = ops.matmul(features, ops.transpose(self.used_features_mask))
        decisions = ops.expand_dims(self.decision_fn(features), axis=2)
        decisions = layers.concatenate([decisions, 1 - decisions], axis=2)
        mu = ops.ones([batch_size, 1, 1])
        begin, end = 1, 2
        for level in range(self.depth):
            mu = ops.reshape(mu, [batch_size, -1, 1])
            mu = ops.tile(mu, (1, 1, 2))
            mu = mu * decisions[:, begin:end, :]
            begin = end
            end = begin + 2 ** (level + 1)
        mu = ops.reshape(mu, [batch_size, self.num_leaves])
        return ops.matmul(mu, keras.activations.softmax(self.pi))


class NeuralDecisionForest(keras.Model):
    """The mean of several trees."""

    def __init__(self, num_trees, depth, num_features, used_features_rate, num_classes):
        super().__init__()
        self.num_classes = num_classes
        self.ensemble = []
        for seed in range(num_trees):
            self.ensemble.append(
                NeuralDecisionTree(depth, num_features, used_features_rate, num_classes, seed)
            )

    def call(self, inputs):
        batch_size = ops.shape(inputs)[0]
        outputs = ops.zeros([batch_size, self.num_classes])
        for tree in self.ensemble:
            outputs += tree(inputs)
        return outputs / len(self.ensemble)


def kio_decision_forest() -> Example:
    """structured_data/deep_neural_decision_forests."""
    inputs = inputs_for_words() if keras.backend.backend() == "tensorflow" else indices_and_numbers()
    if keras.backend.backend() == "tensorflow":
        features = encoded(inputs, use_embedding=True)
    else:
        features = ops.stack([ops.cast(x, "float32") for x in inputs.values()], axis=-1)
    features = layers.BatchNormalization()(features)
    forest = NeuralDecisionForest(3, 3, features.shape[1], 0.5, 2)
    model = keras.Model(inputs, forest(features))
    kind = "words" if keras.backend.backend() == "tensorflow" else "indices"
    return Example(model, (columns(kind),), knows_inputs=True)

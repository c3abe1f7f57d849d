"""Recommendation: users, items and what they did before."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers, ops

from benchmarks.zoo.example import BATCH, TIME, Example, Tensor, integers, normal

USERS, ITEMS, WIDTH = 7, 9, 6


class RecommenderNet(keras.Model):
    """A product of two embeddings, with a bias for each user and each item."""

    def __init__(self, num_users, num_items, embedding_size, **kwargs):
        super().__init__(**kwargs)
        embed = {
            "embeddings_initializer": "he_normal",
            "embeddings_regularizer": keras.regularizers.l2(1e-6),
        }
        self.user_embedding = layers.Embedding(num_users, embedding_size, **embed)
        self.user_bias = layers.Embedding(num_users, 1)
        self.item_embedding = layers.Embedding(num_items, embedding_size, **embed)
        self.item_bias = layers.Embedding(num_items, 1)

    def call(self, inputs):
        user_vector, user_bias = self.user_embedding(inputs[:, 0]), self.user_bias(inputs[:, 0])
        item_vector, item_bias = self.item_embedding(inputs[:, 1]), self.item_bias(inputs[:, 1])
        dot_user_item = ops.tensordot(user_vector, item_vector, 2)
        x = dot_user_item + user_bias + item_bias
        return ops.nn.sigmoid(x)


def kio_collaborative_filtering() -> Example:
    """structured_data/collaborative_filtering_movielens."""
    model = RecommenderNet(USERS, ITEMS, WIDTH)
    model.compile(loss=keras.losses.BinaryCrossentropy(), optimizer=keras.optimizers.Adam(0.001))
    return Example(model, (Tensor((BATCH, 2), integers(USERS)),))


# structured_data/movielens_recommendations_transformers


class BehaviourSequence(keras.Model):
    """The items that a user rated and the one to be rated, as one sequence with positions and ratings."""

    def __init__(self, length=4):
        super().__init__()
        self.length = length
        self.user = layers.Embedding(USERS, 4)
        genres = (np.random.RandomState(0).uniform(size=(ITEMS, 3)) > 0.5).astype("float32")
        self.genres = layers.Embedding(
            ITEMS, 3, embeddings_initializer=keras.initializers.Constant(0.0), trainable=False
        )
        self.genres.build((None,))
        self.genres.set_weights([genres])
        self.item = layers.Embedding(ITEMS, WIDTH, name="movie_embedding")
        self.item_with_genres = layers.Dense(WIDTH, activation="relu")
        self.position = layers.Embedding(length, WIDTH)
        self.attention = layers.MultiHeadAttention(num_heads=2, key_dim=WIDTH, dropout=0.1)
        self.dropout, self.norm = layers.Dropout(0.1), layers.LayerNormalization()
        self.activation = layers.LeakyReLU()
        self.feed_forward = layers.Dense(WIDTH)
        self.top = [
            [layers.Dense(units), layers.BatchNormalization(), layers.LeakyReLU(), layers.Dropout(0.1)]
            for units in (12, 8)
        ]
        self.rating = layers.Dense(1)

    def encode(self, items):
        return self.item_with_genres(ops.concatenate([self.item(items), self.genres(items)], axis=-1))

    def call(self, inputs, training=None):
        positions = self.position(ops.arange(self.length))
        ratings = ops.expand_dims(inputs["sequence_ratings"], axis=-1)
        sequence = (self.encode(inputs["sequence_movie_ids"]) + positions) * ratings
        x = ops.concatenate([sequence, self.encode(inputs["target_movie_id"])], axis=1)
        attended = self.dropout(self.attention(x, x, training=training), training=training)
        x1 = self.norm(layers.add([x, attended]))
        x2 = self.activation(x1)
        x = layers.add([x1, self.feed_forward(x2)])
        x = ops.concatenate([ops.reshape(x, (-1, x.shape[1] * WIDTH)), self.user(inputs["user_id"])], axis=1)
        for dense, norm, activation, dropout in self.top:
            x = dropout(activation(norm(dense(x), training=training)), training=training)
        return self.rating(x)


def kio_behaviour_sequence_transformer() -> Example:
    """structured_data/movielens_recommendations_transformers."""
    inputs = {
        "user_id": Tensor((BATCH,), integers(USERS)),
        "sequence_movie_ids": Tensor((BATCH, 4), integers(ITEMS)),
        "target_movie_id": Tensor((BATCH, 1), integers(ITEMS, 1)),
        "sequence_ratings": Tensor((BATCH, 4), normal()),
    }
    return Example(BehaviourSequence(), (inputs,))


# keras_rs: basic_retrieval


class Retrieval(keras.Model):
    """Two towers; the other items of the batch are what a user did not choose."""

    def __init__(self):
        super().__init__()
        self.user_model = keras.Sequential([layers.Embedding(USERS, WIDTH), layers.Dense(WIDTH, "relu")])
        self.candidate_model = keras.Sequential([layers.Embedding(ITEMS, WIDTH), layers.Dense(WIDTH)])
        self.loss_fn = keras.losses.CategoricalCrossentropy(from_logits=True, reduction="sum")

    def call(self, inputs):
        user = self.user_model(inputs["user_id"])
        if "movie_id" not in inputs:
            return user
        candidate = self.candidate_model(inputs["movie_id"])
        scores = ops.matmul(user, ops.transpose(candidate))
        return {"user": user, "candidate": candidate, "scores": scores}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        labels = ops.eye(ops.shape(y_pred["scores"])[0], dtype="float32")
        return self.loss_fn(labels, y_pred["scores"])


def kio_two_towers() -> Example:
    """keras_rs/examples/basic_retrieval."""

    def own_step(model):
        model.compile(keras.optimizers.SGD(0.01))
        batch = {"user_id": integers(USERS, 3)((4,)), "movie_id": integers(ITEMS, 4)((4,))}
        return model.train_on_batch(batch, return_dict=True)

    inputs = {"user_id": Tensor((BATCH,), integers(USERS)), "movie_id": Tensor((BATCH,), integers(ITEMS))}
    return Example(Retrieval(), (inputs,), own_step=own_step, has_own_step=True)


# keras_rs: sas_rec


class SequentialRecommender(keras.Model):
    """Causal attention over what a user saw; zero is padding, and items are scored by their embeddings."""

    def __init__(self, max_length=16, num_layers=2, dropout=0.2):
        super().__init__()
        self.num_layers = num_layers
        self.item_embedding = layers.Embedding(ITEMS + 1, WIDTH, mask_zero=True)
        self.position_embedding = layers.Embedding(max_length, WIDTH)
        self.dropout = layers.Dropout(dropout)
        self.attentions = [layers.MultiHeadAttention(2, WIDTH, dropout=dropout) for _ in range(num_layers)]
        self.norms = [(layers.LayerNormalization(), layers.LayerNormalization()) for _ in range(num_layers)]
        self.ffns = [
            keras.Sequential([layers.Dense(WIDTH, activation="relu"), layers.Dense(WIDTH)])
            for _ in range(num_layers)
        ]

    def call(self, inputs, training=False):
        item_ids, padding_mask = inputs["item_ids"], inputs["padding_mask"]
        x = self.item_embedding(item_ids)
        x = self.dropout(x + self.position_embedding(ops.arange(ops.shape(x)[1])), training=training)
        for i in range(self.num_layers):
            x *= ops.expand_dims(ops.cast(padding_mask, x.dtype), -1)
            first, second = self.norms[i]
            attended = self.attentions[i](
                first(x), x, attention_mask=padding_mask[:, None, :], use_causal_mask=True, training=training
            )
            x = x + attended
            x = x + self.ffns[i](second(x), training=training)
        result = {"item_sequence_embedding": x}
        if not training:
            last = x[:, -1]
            logits = ops.matmul(last, ops.transpose(self.item_embedding.embeddings))
            _, result["predictions"] = ops.top_k(logits, k=3)
        return result


def kio_sas_rec() -> Example:
    """keras_rs/examples/sas_rec."""
    inputs = {
        "item_ids": Tensor((BATCH, TIME), integers(ITEMS + 1)),
        "padding_mask": Tensor((BATCH, TIME), lambda shape: integers(2)(shape).astype(bool)),
    }
    # In training it returns no items: a model for each of the modes.
    return Example(SequentialRecommender(), (inputs,), options={"mode": "inference"})


# keras_rs: dlrm


class FeatureInteraction(layers.Layer):
    """Products of each pair of features: the part below the diagonal."""

    def call(self, features):
        stacked = ops.stack(features, axis=1)
        products = ops.einsum("bij,bkj->bik", stacked, stacked)
        rows, columns = np.tril_indices(len(features), -1)
        flat = ops.reshape(products, (-1, len(features) ** 2))
        return ops.take(flat, rows * len(features) + columns, axis=1)


class DLRM(keras.Model):
    """Numbers through one network, words from tables, then their products."""

    def __init__(self, tables):
        super().__init__()
        self.embedding_layers = {name: layers.Embedding(size, WIDTH) for name, size in tables.items()}
        self.bottom_mlp = keras.Sequential([layers.Dense(8, "relu"), layers.Dense(WIDTH, "relu")])
        self.interact = FeatureInteraction()
        self.top_mlp = keras.Sequential([layers.Dense(8, "relu"), layers.Dense(1, "sigmoid")])

    def call(self, inputs):
        dense = self.bottom_mlp(ops.log(ops.maximum(inputs["dense"], 0.0) + 1.0))
        embedded = [layer(inputs[name]) for name, layer in self.embedding_layers.items()]
        pooled = [ops.mean(x, axis=-2) if len(x.shape) == 3 else x for x in embedded]
        return self.top_mlp(ops.concatenate([self.interact([dense, *pooled]), dense], axis=-1))


def kio_dlrm() -> Example:
    """keras_rs/examples/dlrm."""
    inputs = {
        "dense": Tensor((BATCH, 5), normal()),
        "user": Tensor((BATCH,), integers(USERS)),
        "history": Tensor((BATCH, TIME), integers(ITEMS)),
    }
    return Example(DLRM({"user": USERS, "history": ITEMS}), (inputs,))

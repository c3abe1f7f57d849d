"""Recipes: layers with losses of their own, sampled weights, small tables, trainers around models."""

from __future__ import annotations

import keras
from keras import layers, ops

from benchmarks.zoo.example import BATCH, Example, Tensor, integers, normal, of_functional

# keras_recipes/endpoint_layer_pattern


class LogisticEndpoint(layers.Layer):
    """Takes the targets too, for the loss and the metric; gives probabilities."""

    def __init__(self, name=None):
        super().__init__(name=name)
        self.loss_fn = keras.losses.BinaryCrossentropy(from_logits=True)
        self.accuracy_metric = keras.metrics.BinaryAccuracy(name="accuracy")

    def call(self, logits, targets=None, sample_weight=None):
        if targets is not None:
            loss = self.loss_fn(targets, logits, sample_weight)
            self.add_loss(loss)
            self.accuracy_metric.update_state(targets, logits, sample_weight)
        return ops.softmax(logits)


def kio_endpoint_layer() -> Example:
    """keras_recipes/endpoint_layer_pattern."""
    inputs = keras.Input((8,), name="inputs")
    targets = keras.Input((4,), name="targets")
    logits = layers.Dense(4)(layers.Dense(8, activation="relu")(inputs))
    predictions = LogisticEndpoint(name="predictions")(logits, targets)
    model = keras.Model({"inputs": inputs, "targets": targets}, predictions)
    return of_functional(model, values={"targets": lambda s: integers(2)(s).astype("float32")})


# keras_recipes/antirectifier


class Antirectifier(layers.Layer):
    """Keeps what a ReLU would throw away, by the side of what it keeps."""

    def __init__(self, initializer="he_normal", **kwargs):
        super().__init__(**kwargs)
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape):
        output_dim = input_shape[-1]
        self.kernel = self.add_weight(
            shape=(output_dim * 2, output_dim), initializer=self.initializer, name="kernel", trainable=True
        )

    def call(self, inputs):
        inputs -= ops.mean(inputs, axis=-1, keepdims=True)
        pos, neg = ops.relu(inputs), ops.relu(-inputs)
        return ops.matmul(ops.concatenate([pos, neg], axis=-1), self.kernel)

    def get_config(self):
        return {**super().get_config(), "initializer": keras.initializers.serialize(self.initializer)}


def kio_antirectifier() -> Example:
    """keras_recipes/antirectifier."""
    parts = [layers.Dense(8), Antirectifier(), layers.Dense(8), Antirectifier(), layers.Dropout(0.5)]
    model = keras.Sequential([keras.Input((12,)), *parts, layers.Dense(3)])
    return Example(model, (Tensor((BATCH, 12), normal()),), knows_inputs=True)


# keras_recipes/bayesian_neural_networks


class DenseVariational(layers.Layer):
    """A kernel and a bias that are drawn anew at each call, and the divergence from the prior as a loss."""

    def __init__(self, units, kl_weight, activation=None, **kwargs):
        super().__init__(**kwargs)
        self.units, self.kl_weight = units, kl_weight
        self.activation = keras.activations.get(activation)
        self.seed_generator = keras.random.SeedGenerator(11)

    def build(self, input_shape):
        size = (input_shape[-1] + 1) * self.units
        self.loc = self.add_weight(shape=(size,), initializer="random_normal", name="loc")
        self.untransformed_scale = self.add_weight(
            shape=(size,), initializer=keras.initializers.Constant(-1.0), name="scale"
        )

    def call(self, inputs):
        scale = 1e-5 + ops.softplus(self.untransformed_scale)
        sampled = self.loc + scale * keras.random.normal(ops.shape(self.loc), seed=self.seed_generator)
        kl = ops.sum(-ops.log(scale) + 0.5 * (ops.square(scale) + ops.square(self.loc)) - 0.5)
        self.add_loss(self.kl_weight * kl)
        kernel = ops.reshape(sampled[: -self.units], (-1, self.units))
        return self.activation(ops.matmul(inputs, kernel) + sampled[-self.units :])


class IndependentNormal(layers.Layer):
    """Mean and deviation of what is predicted, and a sample of it in training."""

    def call(self, parameters, training=False):
        loc, scale = ops.split(parameters, 2, axis=-1)
        scale = ops.softplus(scale) + 1e-3
        drawn = loc + scale * keras.random.normal(ops.shape(loc), seed=5) if training else loc
        return {"mean": loc, "deviation": scale, "sample": drawn}


def kio_bayesian() -> Example:
    """keras_recipes/bayesian_neural_networks."""
    names = ("acidity", "sugar", "sulphates")
    inputs = {name: layers.Input(shape=(1,), name=name) for name in names}
    x = layers.BatchNormalization()(layers.concatenate(list(inputs.values())))
    for units in (6, 6):
        x = DenseVariational(units, kl_weight=0.1, activation="sigmoid")(x)
    model = keras.Model(inputs, IndependentNormal()(layers.Dense(2)(x)))
    return of_functional(model)


# keras_recipes/memory_efficient_embeddings


class QREmbedding(layers.Layer):
    """A row for the quotient times a row for the remainder."""

    def __init__(self, vocabulary_size, embedding_dim, num_buckets, name=None):
        super().__init__(name=name)
        self.num_buckets = num_buckets
        self.q_embeddings = layers.Embedding(num_buckets, embedding_dim)
        self.r_embeddings = layers.Embedding(num_buckets, embedding_dim)

    def call(self, embedding_index):
        quotient_index = ops.floor_divide(embedding_index, self.num_buckets)
        remainder_index = ops.floor_divide(embedding_index, 1) % self.num_buckets
        return self.q_embeddings(quotient_index) * self.r_embeddings(remainder_index)


class MDEmbedding(layers.Layer):
    """Blocks of tables of different widths; common words get the wide ones."""

    def __init__(self, blocks_vocabulary, blocks_embedding_dims, base_embedding_dim, name=None):
        super().__init__(name=name)
        self.num_blocks = len(blocks_vocabulary)
        block_of, index_in_block = [], []
        for block, size in enumerate(blocks_vocabulary):
            block_of += [block] * size
            index_in_block += list(range(size))
        total = len(block_of)
        self.block_of = self._table(total, block_of)
        self.index_in_block = self._table(total, index_in_block)
        self.block_embedding_encoders = [
            layers.Embedding(size, width)
            for size, width in zip(blocks_vocabulary, blocks_embedding_dims, strict=True)
        ]
        self.block_embedding_projectors = [
            layers.Dense(base_embedding_dim) if width != base_embedding_dim else None
            for width in blocks_embedding_dims
        ]
        self.base_embedding_dim = base_embedding_dim

    def _table(self, total, numbers):
        def initializer(shape, dtype=None):
            return ops.reshape(ops.convert_to_tensor(numbers, dtype), shape)

        return layers.Embedding(total, 1, embeddings_initializer=initializer, trainable=False)

    def call(self, input_index):
        block_index = ops.cast(ops.squeeze(self.block_of(input_index), axis=-1), "int32")
        embedding_index = ops.cast(ops.squeeze(self.index_in_block(input_index), axis=-1), "int32")
        result = ops.zeros((*ops.shape(input_index), self.base_embedding_dim))
        for i, encoder in enumerate(self.block_embedding_encoders):
            block_input = ops.where(ops.equal(block_index, i), embedding_index, 0)
            embedded = encoder(block_input)
            if self.block_embedding_projectors[i] is not None:
                embedded = self.block_embedding_projectors[i](embedded)
            result += ops.where(ops.expand_dims(ops.equal(block_index, i), -1), embedded, 0.0)
        return result


def kio_memory_efficient_embeddings() -> Example:
    """keras_recipes/memory_efficient_embeddings."""
    user = layers.Input(name="user_id", shape=(), dtype="int32")
    movie = layers.Input(name="movie_id", shape=(), dtype="int32")
    user_embedded = QREmbedding(12, 6, num_buckets=4, name="user_embedding")(user)
    movie_embedded = MDEmbedding([3, 4, 6], [6, 4, 2], 6, name="movie_embedding")(movie)
    logits = layers.Dot(axes=1, name="dot_similarity")([user_embedded, movie_embedded])
    model = keras.Model({"user_id": user, "movie_id": movie}, keras.activations.sigmoid(logits) * 5)
    return of_functional(model, values={"user_id": integers(12), "movie_id": integers(13)})


# keras_recipes/trainer_pattern


class MyTrainer(keras.Model):
    """A model around a model, with a step for both kinds of data."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.accuracy_metric = keras.metrics.CategoricalAccuracy(name="accuracy")

    def train_step(self, data):
        import tensorflow as tf

        x, y = data
        with tf.GradientTape() as tape:
            y_pred = self.model(x, training=True)
            loss = keras.losses.CategoricalCrossentropy()(y, y_pred)
        variables = self.model.trainable_weights
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        self.loss_tracker.update_state(loss)
        self.accuracy_metric.update_state(y, y_pred)
        return {metric.name: metric.result() for metric in self.metrics}

    @property
    def metrics(self):
        return [self.loss_tracker, self.accuracy_metric]


def kio_trainer_pattern() -> Example:
    """keras_recipes/trainer_pattern."""
    parts = [layers.Flatten(), Antirectifier(), layers.Dense(8, "relu"), layers.Dropout(0.2)]
    model = keras.Sequential([keras.Input((6, 6)), *parts, layers.Dense(3, "softmax")])

    def own_step(model):
        trainer = MyTrainer(model)
        trainer.compile(keras.optimizers.SGD(0.05))
        labels = keras.utils.to_categorical([0, 2, 1, 0], 3)
        data = (normal(3)((4, 6, 6)), labels)
        return trainer.fit(*data, batch_size=2, epochs=2, shuffle=False, verbose=0).history

    own_step = own_step if keras.backend.backend() == "tensorflow" else None
    return Example(model, (Tensor((BATCH, 6, 6), normal()),), knows_inputs=True, own_step=own_step)


# The guides custom_train_step_in_tensorflow, _in_jax, _in_torch


class CustomStep(keras.Model):
    """A step of its own for each backend, and layers that change their state in it."""

    def __init__(self):
        super().__init__()
        self.body = [layers.Dense(8), layers.BatchNormalization(), layers.Dropout(0.2, seed=4)]
        self.head = layers.Dense(1)
        self.loss_tracker = keras.metrics.Mean(name="loss")

    def call(self, x, training=None):
        dense, norm, dropout = self.body
        return self.head(dropout(ops.relu(norm(dense(x), training=training)), training=training))

    @property
    def metrics(self):
        return [self.loss_tracker]

    if keras.backend.backend() == "jax":

        def compute_loss_and_updates(self, trainable, non_trainable, x, y, training=False):
            y_pred, non_trainable = self.stateless_call(trainable, non_trainable, x, training=training)
            return ops.mean(ops.square(y - y_pred)), (y_pred, non_trainable)

        def train_step(self, state, data):
            import jax

            trainable, non_trainable, optimizer_variables, metrics_variables = state
            x, y = data
            grad_fn = jax.value_and_grad(self.compute_loss_and_updates, has_aux=True)
            (loss, (_, non_trainable)), grads = grad_fn(trainable, non_trainable, x, y, training=True)
            trainable, optimizer_variables = self.optimizer.stateless_apply(
                optimizer_variables, grads, trainable
            )
            metrics_variables = self.loss_tracker.stateless_update_state(metrics_variables, loss)
            logs = {"loss": self.loss_tracker.stateless_result(metrics_variables)}
            return logs, (trainable, non_trainable, optimizer_variables, metrics_variables)

    elif keras.backend.backend() == "torch":

        def train_step(self, data):
            import torch

            x, y = data
            self.zero_grad()
            loss = ops.mean(ops.square(y - self(x, training=True)))
            loss.backward()
            trainable_weights = list(self.trainable_weights)
            gradients = [v.value.grad for v in trainable_weights]
            with torch.no_grad():
                self.optimizer.apply(gradients, trainable_weights)
            self.loss_tracker.update_state(loss)
            return {"loss": self.loss_tracker.result()}

    else:

        def train_step(self, data):
            import tensorflow as tf

            x, y = data
            with tf.GradientTape() as tape:
                loss = ops.mean(ops.square(y - self(x, training=True)))
            variables = self.trainable_variables
            self.optimizer.apply(tape.gradient(loss, variables), variables)
            self.loss_tracker.update_state(loss)
            return {"loss": self.loss_tracker.result()}


def kio_custom_train_step() -> Example:
    """guides/custom_train_step_in_tensorflow, _in_jax and _in_torch."""

    def own_step(model):
        model.compile(keras.optimizers.Adam(0.01))
        data = (normal(3)((6, 4)), normal(4)((6, 1)))
        return model.fit(*data, batch_size=2, epochs=2, shuffle=False, verbose=0).history

    return Example(CustomStep(), (Tensor((BATCH, 4), normal()),), own_step=own_step, has_own_step=True)

"""A detector whose boxes are asked for by queries that it has learned."""

import math

import keras
import numpy as np
from keras import layers, ops

from benchmarks.zoo.example import BATCH, Axis, Example, Tensor, integers, normal


class SinePosition(layers.Layer):
    """Sines of the place of each pixel that is no padding, counted in both directions."""

    def __init__(self, width, temperature=10000.0, **kwargs):
        super().__init__(**kwargs)
        self.width, self.temperature = width, temperature

    def call(self, mask):
        seen = ops.cast(mask, "float32")
        halves = []
        for axis in (1, 2):
            places = ops.cumsum(seen, axis=axis)
            last = places[:, -1:, :] if axis == 1 else places[:, :, -1:]
            places = places / (last + 1e-6) * 2 * math.pi
            exponents = ops.arange(self.width // 2, dtype="float32")
            exponents = 2 * ops.floor(exponents / 2) / (self.width // 2)
            angles = places[..., None] / self.temperature**exponents
            pairs = ops.stack([ops.sin(angles[..., 0::2]), ops.cos(angles[..., 1::2])], axis=-1)
            halves.append(ops.reshape(pairs, (*ops.shape(pairs)[:3], self.width // 2)))
        return ops.concatenate(halves, axis=-1)


class EncoderBlock(layers.Layer):
    """Pixels attend to pixels; their places are added to queries and keys, not to the values."""

    def __init__(self, width, heads, **kwargs):
        super().__init__(**kwargs)
        self.attention = layers.MultiHeadAttention(heads, width // heads, dropout=0.1)
        self.feed_forward = keras.Sequential(
            [layers.Dense(2 * width, activation="relu"), layers.Dense(width)]
        )
        self.norms = [layers.LayerNormalization() for _ in range(2)]
        self.dropout = layers.Dropout(0.1)

    def call(self, x, position, seen, training=None):
        placed = x + position
        attended = self.attention(placed, x, placed, attention_mask=seen[:, None, :], training=training)
        x = self.norms[0](x + self.dropout(attended, training=training))
        return self.norms[1](x + self.dropout(self.feed_forward(x), training=training))


class DecoderBlock(layers.Layer):
    """Queries attend to each other, then to the pixels."""

    def __init__(self, width, heads, **kwargs):
        super().__init__(**kwargs)
        self.among, self.across = (layers.MultiHeadAttention(heads, width // heads) for _ in range(2))
        self.feed_forward = keras.Sequential(
            [layers.Dense(2 * width, activation="relu"), layers.Dense(width)]
        )
        self.norms = {name: layers.LayerNormalization() for name in ("among", "across", "after")}

    def call(self, targets, queries, memory, position, seen, training=None):
        placed = targets + queries
        x = self.norms["among"](targets + self.among(placed, targets, placed, training=training))
        attended = self.across(
            x + queries, memory, memory + position, attention_mask=seen[:, None, :], training=training
        )
        x = self.norms["across"](x + attended)
        return self.norms["after"](x + self.feed_forward(x))


class DetectionTransformer(keras.Model):
    """Gives classes and boxes of the last block, and those of the blocks before in a list."""

    def __init__(self, width=8, heads=2, queries=5, classes=3):
        super().__init__(name="detection_transformer")
        self.width, self.queries = width, queries
        self.stages = [
            layers.Conv2D(width, 3, strides=2, padding="same", activation="relu") for _ in range(2)
        ]
        self.project = layers.Conv2D(width, 1)
        self.position = SinePosition(width)
        self.query_embedding = layers.Embedding(queries, width)
        self.encoder = [EncoderBlock(width, heads) for _ in range(2)]
        self.decoder = [DecoderBlock(width, heads) for _ in range(2)]
        self.norm = layers.LayerNormalization()
        self.class_head = layers.Dense(classes + 1)
        self.box_head = [layers.Dense(width, "relu"), layers.Dense(width, "relu"), layers.Dense(4, "sigmoid")]

    def told(self, x):
        x = boxes = self.norm(x)
        for layer in self.box_head:
            boxes = layer(boxes)
        return {"classes": self.class_head(x), "boxes": boxes}

    def call(self, inputs, training=None):
        x, mask = inputs["image"], inputs["mask"]
        for stage in self.stages:
            x, mask = stage(x), mask[:, ::2, ::2]
        batch = ops.shape(x)[0]
        position = ops.reshape(self.position(mask), (batch, -1, self.width))
        memory = ops.reshape(self.project(x), (batch, -1, self.width))
        seen = ops.cast(ops.reshape(mask, (batch, -1)), "bool")
        for block in self.encoder:
            memory = block(memory, position, seen, training=training)
        queries = ops.repeat(self.query_embedding(ops.arange(self.queries))[None], batch, axis=0)
        targets, answers = ops.zeros_like(queries), []
        for block in self.decoder:
            targets = block(targets, queries, memory, position, seen, training=training)
            answers.append(self.told(targets))
        return {**answers[-1], "auxiliary": answers[:-1]}


def visible(shape):
    mask = np.ones(shape, "int32")
    mask[-1, :, -5:] = 0
    return mask


class DetectionLoss(keras.Model):
    """Trains on boxes that are already matched to the queries, in every block."""

    def __init__(self, detector):
        super().__init__(name="detection_loss")
        self.detector = detector

    def call(self, inputs, training=None):
        return self.detector(inputs, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        total = 0.0
        for answer in (y_pred, *y_pred["auxiliary"]):
            told = keras.losses.sparse_categorical_crossentropy(y["classes"], answer["classes"], True)
            is_object = ops.cast(y["classes"] > 0, "float32")[..., None]
            apart = ops.sum(is_object * ops.abs(y["boxes"] - answer["boxes"])) / ops.sum(is_object)
            total = total + ops.mean(told) + 5 * apart
        return total


def kio_detection_transformer() -> Example:
    """vision/object_detection_using_vision_transformer, with the queries and the masks of DETR."""

    def own_step(detector):
        model = DetectionLoss(detector)
        model.compile(optimizer=keras.optimizers.SGD(0.01))
        x = {"image": normal(1)((4, 16, 16, 3)), "mask": visible((4, 16, 16))}
        y = {"classes": 1 + integers(3)((4, 5)), "boxes": np.abs(normal(2)((4, 5, 4)))}
        return model.fit(x, y, batch_size=2, shuffle=False, verbose=0).history

    sides = Axis("height", 16, others=(8, 24)), Axis("width", 16, others=(12, 20))
    inputs = {"image": Tensor((BATCH, *sides, 3), normal()), "mask": Tensor((BATCH, *sides), visible)}
    return Example(DetectionTransformer(), (inputs,), own_step=own_step)

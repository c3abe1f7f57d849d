"""A layer whose `call` asks for `training`, as the first example of AIMET's documentation has it."""

import tensorflow as tf
from aimet_tensorflow.keras.model_preparer import prepare_model


class Block(tf.keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.dense = tf.keras.layers.Dense(8)
        self.dropout = tf.keras.layers.Dropout(0.1)

    def call(self, inputs, training, **kwargs):
        return inputs + self.dropout(self.dense(inputs), training=training)


inputs = tf.keras.Input(shape=(8,))
model = tf.keras.Model(inputs, Block()(inputs))
prepare_model(model)

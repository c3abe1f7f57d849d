"""A script for AIMET, after the second example in its pages: a Functional model in a subclassed one."""

import numpy as np
import tensorflow as tf
from aimet_tensorflow.keras.model_preparer import prepare_model

inputs = tf.keras.Input(shape=(64,))
outputs = tf.keras.layers.Dense(1, activation="sigmoid")(inputs)
classifier = tf.keras.Model(inputs=inputs, outputs=outputs)


class Net(tf.keras.Model):
    def __init__(self):
        super().__init__(name="net")
        self.dense = tf.keras.layers.Dense(64, activation="relu")
        self.classifier = classifier

    def call(self, inputs, **kwargs):
        return self.classifier(self.dense(inputs))


model = Net()
prepared = prepare_model(model, input_layer=tf.keras.Input(shape=(64,)))
batch = np.random.random((3, 64)).astype("float32")
print("outputs equal:", np.array_equal(prepared(batch), model(batch)))
print("weights:", *(sum(tf.size(w).numpy() for w in m.trainable_weights) for m in (model, prepared)))
print("layers:", *[type(layer).__name__ for layer in prepared.layers])

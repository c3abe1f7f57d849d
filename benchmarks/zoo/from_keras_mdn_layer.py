"""A mixture density network with the layer of keras-mdn-layer."""

import keras
import keras_mdn_layer

from benchmarks.zoo.example import LARGER_BATCH, Example, of_functional


def mdn_mixture() -> Example:
    x = keras.Input((4,))
    hidden = keras.layers.Dense(8, activation="tanh")(x)
    return of_functional(keras.Model(x, keras_mdn_layer.MDN(2, 3)(hidden)), batch=LARGER_BATCH)

"""The temporal convolutional network of keras-tcn."""

import keras
from tcn import TCN

from benchmarks.zoo.example import Example, of_functional


def tcn_sequence() -> Example:
    series = keras.Input((None, 3))
    network = TCN(
        6, 3, nb_stacks=2, dilations=(1, 2, 4), dropout_rate=0.1, use_layer_norm=True, return_sequences=True
    )
    return of_functional(keras.Model(series, keras.layers.Dense(1)(network(series))))

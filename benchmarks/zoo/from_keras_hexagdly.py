"""Convolutions on grids of hexagons by keras-hexagdly."""

import keras
import keras_hexagdly

from benchmarks.zoo.example import Example, of_functional


def hexagdly_network() -> Example:
    image = keras.Input((9, 8, 2))
    x = keras_hexagdly.Conv2d(4, kernel_size=2)(image)
    x = keras_hexagdly.MaxPool2d(pool_size=1, strides=2)(keras.ops.relu(x))
    return of_functional(keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(x))))

"""Splines on the edges: the Kolmogorov-Arnold layers of keras-efficient-kan."""

import keras
from keras_efficient_kan import KANLinear

from benchmarks.zoo.example import LARGER_BATCH, Example, of_functional


def kan_splines() -> Example:
    x = keras.Input((4,))
    return of_functional(keras.Model(x, KANLinear(2)(KANLinear(5, dropout=0.1)(x))), batch=LARGER_BATCH)

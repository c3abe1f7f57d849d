"""The GRU of mingru-keras, which needs no loop over time."""

import keras
from mingru_keras import MinGRU

from benchmarks.zoo.example import Example, of_functional


def mingru_stack() -> Example:
    tokens = keras.Input((8,), dtype="int32")
    x = keras.layers.Embedding(20, 6)(tokens)
    return of_functional(keras.Model(tokens, MinGRU(4)(MinGRU(6)(x))))

"""Legendre memory units of keras-lmu; one function each."""

import keras
import keras_lmu

from benchmarks.zoo.example import Example, of_functional


def lmu_recurrent() -> Example:
    series = keras.Input((None, 2))
    cell = keras.layers.SimpleRNNCell(4)
    memory = keras_lmu.LMU(2, 4, 8, cell, hidden_to_memory=True, input_to_hidden=True, return_sequences=True)
    return of_functional(keras.Model(series, memory(series)))


def lmu_by_fft() -> Example:
    """All time steps at once: the impulse response in the frequency domain."""
    series = keras.Input((12, 2))
    memory = keras_lmu.LMUFeedforward(2, 4, 8, keras.layers.Dense(4), return_sequences=True)
    return of_functional(keras.Model(series, memory(series)))

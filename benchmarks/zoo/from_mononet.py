"""Networks of mononet, monotonic in their inputs."""

import keras
from mononet.keras import MonoDense

from benchmarks.zoo.example import LARGER_BATCH, Example, of_functional


def mononet_dense() -> Example:
    x = keras.Input((4,))
    hidden = MonoDense(8, activation="relu")(x)
    return of_functional(keras.Model(x, MonoDense(1)(hidden)), batch=LARGER_BATCH)

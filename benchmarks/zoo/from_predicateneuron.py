"""Differentiable logic by predicateneuron."""

import keras
import predicateneuron.keras as predicates

from benchmarks.zoo.example import LARGER_BATCH, Example, of_functional


def predicate_pairs() -> Example:
    """A soft set operation of every two features."""
    x = keras.Input((4,))
    pairs = predicates.PredicateLayer()(keras.layers.Dense(4, activation="sigmoid")(x))
    return of_functional(keras.Model(x, keras.layers.Dense(1)(pairs)), batch=LARGER_BATCH)

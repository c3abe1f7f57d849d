"""Operators of a tensor with a NumPy array on the right, which PyTorch leaves to NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

import kerasfx

pytestmark = [
    pytest.mark.any_keras,
    pytest.mark.skipif(
        keras.backend.backend() != "torch", reason="the other backends compute these operators themselves"
    ),
]

WHOLE = np.arange(1, 5)
FRACTIONS = np.array([0.1, 0.2, 0.3, 0.4])
TRUTHS = np.array([True, False, True, True])
EXPRESSIONS = {
    "float and int64": lambda x: [x + WHOLE, x - WHOLE, x * WHOLE, x / WHOLE, x // WHOLE, x % WHOLE],
    "float and float64": lambda x: [x + FRACTIONS, x * FRACTIONS, x / FRACTIONS],
    "float and float32": lambda x: [x + FRACTIONS.astype("float32"), x @ np.ones((4, 2), "float32")],
    "int32 and int64": lambda x: [ops.cast(x, "int32") / WHOLE, ops.cast(x, "int32") // WHOLE],
    "bits": lambda x: [ops.cast(x, "int32") & WHOLE, ops.cast(x, "int32") ^ WHOLE],
    "truth": lambda x: [(x > 0) & TRUTHS, (x > 0) | TRUTHS, (x > 0) ^ TRUTHS],
    "equality": lambda x: [x == WHOLE.astype("float32")],
    "array over tensor": lambda x: [WHOLE / (ops.abs(x) + 1.0)],
}


class Computing(keras.Model):
    def __init__(self, expression):
        super().__init__()
        self.expression = expression
        self.weight = self.add_weight(shape=(4,), initializer="random_normal")

    def call(self, x):
        return [*self.expression(x), self.weight * WHOLE, self.weight + FRACTIONS]


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_results_are_those_of_numpy(name):
    """Dtypes too; a variable makes a tensor of the array itself."""
    model = Computing(EXPRESSIONS[name])
    prepared = kerasfx.prepare_model(model, keras.Input((4,)))
    comparison = kerasfx.compare(model, prepared)
    assert comparison, str(comparison)

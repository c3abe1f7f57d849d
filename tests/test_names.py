"""Names that Keras gives to the operations with which it makes masks, and that a model may have as well."""

import keras
import numpy as np
import pytest
from fitting import WAYS_TO_MAKE_AGAIN, made_again
from keras import layers, ops
from predicting import predicted

import kerasfx
from kerasfx.keras_api import internals

pytestmark = pytest.mark.any_backend

OPERATIONS = (
    "not_equal",
    "any",
    "logical_and",
    "logical_or",
    "cast",
    "expand_dims",
    "broadcast_to",
    "concatenate",
    "get_item",
    "ones_like",
    "not_equal_1",
)
TOKENS = np.array([[1, 2, 0, 0], [3, 0, 0, 0], [4, 5, 6, 7]])


class Clash(keras.Model):
    """Masks of every kind that Keras makes, beside layers and ops with the names of what makes them."""

    def __init__(self):
        super().__init__()
        self.embed, self.second = (layers.Embedding(9, 4, mask_zero=True) for _ in range(2))
        self.masking, self.concat = layers.Masking(), layers.Concatenate(axis=1)
        self.attention = layers.MultiHeadAttention(2, 2)
        self.gru, self.lstm = layers.GRU(4, return_sequences=True), layers.Bidirectional(layers.LSTM(3))
        for name in OPERATIONS:
            setattr(self, name, layers.Dense(4, name=name))

    def call(self, x):
        seen = ops.any(ops.not_equal(x, 0), -1, keepdims=True)
        y = self.concat([self.embed(x), self.second(x)])
        y = self.masking(self.gru(y))
        y = self.lstm(self.attention(y, y, use_causal_mask=True))
        y = ops.concatenate([y, ops.cast(seen, "float32")], -1)
        for name in OPERATIONS:
            y = getattr(self, name)(y)
        return y


class Masked(keras.Model):
    """The commonest text model."""

    def __init__(self):
        super().__init__()
        self.embed, self.gru = layers.Embedding(9, 3, mask_zero=True), layers.GRU(2)

    def call(self, x):
        return self.gru(self.embed(x))


@pytest.mark.parametrize("how", ["prepared", *WAYS_TO_MAKE_AGAIN])
def test_operations_of_keras_have_names_of_their_own(how, tmp_path):
    model = Clash()
    prepared = kerasfx.prepare_model(model, keras.Input((None,), dtype="int32", name="greater"))
    assert {"not_equal", "any", "cast"} & {op.name.rstrip("_1") for op in masks_of(prepared)}
    assert set(OPERATIONS) <= {layer.name for layer in prepared.layers}
    again = prepared if how == "prepared" else made_again(prepared, how, tmp_path)
    np.testing.assert_allclose(predicted(again, TOKENS), predicted(model, TOKENS), rtol=1e-5, atol=1e-6)


def masks_of(model):
    return internals.operations_of_keras(model.outputs)


@pytest.mark.parametrize("make", [Masked, Clash])
@pytest.mark.parametrize("how", WAYS_TO_MAKE_AGAIN)
def test_weights_of_masked_layers_come_home(make, how, tmp_path):
    model = make()
    prepared = kerasfx.prepare_model(model, keras.Input((None,), dtype="int32"))
    again = made_again(prepared, how, tmp_path)
    assert kerasfx.prepare_model(again) is again
    again.set_weights([w + 0.1 for w in again.get_weights()])
    copied = kerasfx.copy_weights(again, model)
    assert not copied.left_in_source
    assert not copied.left_in_target
    np.testing.assert_allclose(predicted(model, TOKENS), predicted(again, TOKENS), rtol=1e-5, atol=1e-6)

"""Names of layers, the same at each build, and of the operations with which Keras makes masks."""

import keras
import numpy as np
import pytest
from fitting import WAYS_TO_MAKE_AGAIN, made_again
from keras import layers, ops
from predicting import predicted

import kerasfx
from kerasfx.keras_api import internals
from kerasfx.keras_api.names import made_up_of

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


class Scaled(layers.Layer):
    """A Sequential in an attribute, weights without names, and a layer that is made in `call`."""

    def __init__(self):
        super().__init__()
        self.dense = keras.Sequential([layers.Dense(4), layers.Dense(4)])
        self.scale = self.add_weight(shape=(4,))
        self.offsets = [self.add_weight(shape=(4,)), self.add_weight(shape=(4,))]

    def call(self, x):
        return layers.add([self.dense(x) * self.scale + self.offsets[1], ops.exp(self.offsets[0] + x)])


def functional_of_unnamed_layers():
    x = keras.Input((4,))
    inner = keras.Sequential([layers.Dense(4), Scaled()])
    y = layers.Dense(4, name="head")(layers.Dense(4)(x))
    return keras.Model(x, inner(layers.Dense(4)(Scaled()(y))))


def test_a_model_has_the_same_names_at_each_build():
    first, second = (functional_of_unnamed_layers() for _ in range(2))
    assert [x.name for x in first.layers] != [x.name for x in second.layers]
    names = [[x.name for x in kerasfx.prepare_model(m, lower=False).layers] for m in (first, second)]
    assert names[0] == names[1]
    # No number is one of the process.
    stems = ("dense", "scaled_dense_dense", "sequential_scaled_dense_dense")
    assert {f"{stem}{i}" for stem in stems for i in ("", "_1")} <= set(names[0])
    assert {"head", "scaled_add"} <= set(names[0])
    # Weights live in the layers of functions, and go by the attribute that holds them.
    text = str(kerasfx.trace(first).graph)
    assert all(f"%{name}" in text for name in ("scaled_scale", "scaled_offsets_0", "scaled_offsets_1"))


def test_a_lone_layer_is_called_by_its_kind():
    layers.Dense(2)
    assert [n.name for n in kerasfx.trace(layers.Dense(2), keras.Input((4,))).graph.nodes] == ["dense"]


@pytest.mark.parametrize(
    ("name", "is_made_up"),
    [("dense", True), ("dense_12", True), ("dense_dense", False), ("dense_", False), ("my_dense_1", False)],
)
def test_a_name_is_made_up_of_the_kind_and_a_number(name, is_made_up):
    assert made_up_of(layers.Dense(1, name=name)) == ("dense" if is_made_up else "")


def test_a_name_that_was_given_is_not_given_again():
    layers.Dense(2)
    x = keras.Input((4,))
    model = keras.Model(x, layers.Activation("relu", name="dense")(layers.Dense(3)(x)))
    assert [n.name for n in kerasfx.trace(model).graph.nodes] == ["dense_1", "dense"]


def test_weights_without_names_and_attributes_are_counted():
    class Held(layers.Layer):
        def __init__(self):
            super().__init__()
            for _ in range(2):
                self.add_weight(shape=(4,), initializer="ones")

        def call(self, x):
            return x * self.weights[0] + self.weights[1]

    graph = kerasfx.trace(Held(), keras.Input((4,))).graph
    assert [p.name for p in graph.parameters] == ["variable", "variable_1"]


def test_a_selector_by_the_name_that_keras_made_up_is_told_the_path():
    layers.Dense(2)
    x = keras.Input((4,))
    unnamed = layers.Dense(2)
    with pytest.raises(kerasfx.errors.UnknownSelectorError) as raised:
        kerasfx.prepare_model(keras.Model(x, unnamed(x)), opened=[unnamed.name])
    assert f"the path of the layer '{unnamed.name}' is 'dense'" in str(raised.value)

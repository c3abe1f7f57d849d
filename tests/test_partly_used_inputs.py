"""Structures of inputs of which the model uses a part."""

import keras
import numpy as np
import pytest
from fitting import WAYS_TO_MAKE_AGAIN, made_again
from keras import layers

import kerasfx

pytestmark = pytest.mark.any_backend

X = np.random.default_rng(0).random((3, 4), "float32")


class Takes(keras.Model):
    """Uses some of its inputs, by what `pick` chooses."""

    def __init__(self, pick):
        super().__init__()
        self.dense, self.pick = layers.Dense(2), pick

    def call(self, inputs):
        return self.dense(self.pick(inputs))


def inner(inputs):
    return inputs["pair"][1]


STRUCTURES = {
    "list": (lambda xs: xs[1], [X + 1, X, X + 2]),
    "tuple": (lambda xs: xs[0], (X, X + 1)),
    "dict": (lambda xs: xs["b"], {"a": X + 1, "b": X}),
    "nested": (inner, {"pair": [X + 1, X], "rest": X + 2}),
}


@pytest.mark.parametrize("how", ["prepared", *WAYS_TO_MAKE_AGAIN])
@pytest.mark.parametrize("name", STRUCTURES)
def test_input_that_no_output_needs_is_taken_all_the_same(name, how, tmp_path):
    pick, inputs = STRUCTURES[name]
    model = Takes(pick)
    prepared = kerasfx.prepare_model(model, inputs)
    assert kerasfx.compare(model, prepared, inputs=inputs)
    again = prepared if how == "prepared" else made_again(prepared, how, tmp_path)
    found, expected = (keras.ops.convert_to_numpy(each(inputs)) for each in (again, model))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("used", ["both", "one"])
def test_list_is_taken_where_the_model_takes_a_dict(used):
    """By position; the prepared model takes what it was prepared with."""

    class Twice(layers.Layer):
        def call(self, x):
            return x * 2

    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    y = Twice()(a) + b if used == "both" else Twice()(a)
    model = keras.Model({"a": a, "b": b}, y)
    prepared = kerasfx.prepare_model(model, [X, X + 1])
    expected = keras.ops.convert_to_numpy(model({"a": X, "b": X + 1}))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(prepared([X, X + 1])), expected, rtol=1e-6)

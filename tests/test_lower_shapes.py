"""Merges and functions that move elements become built-in layers exactly where nothing else changes."""

import keras
import numpy as np
import pytest
from keras import ops
from lowering import Call, Rule, call_with, f, fixed, half, lowered

import kerasfx
from kerasfx.passes import to_merges, to_reshapes, use_standard_layers

pytestmark = pytest.mark.any_keras

PASSES = (to_merges, to_reshapes, use_standard_layers)

A, B, FREE = f(3, 4), f(3, 4), f(None, 4)
IDS = f(3, dtype="int32")
FLAT = "Flatten(data_format='channels_last')(%x)"

RULES = {
    # Merges
    "add, inner axis broadcast": Rule(lambda m, x, y: x + y, (A, f(1, 4)), "Add()([%x, %y])"),
    "add, both broadcast": Rule(lambda m, x, y: x + y, (f(3, 1), f(1, 4)), "Add()([%x, %y])"),
    "add a free size and a one": Rule(lambda m, x, y: x + y, (FREE, f(1, 4)), "Add()([%x, %y])"),
    "add vectors": Rule(
        lambda m, x, y: x[:, 0] * y[:, 0], (f(4), f(4)), "Multiply()([%get_item, %get_item_1])"
    ),
    "add ints": Rule(lambda m, x: x + x, (IDS,), "Add()([%x, %x])"),
    "add a half": Rule(lambda m, x: ops.add(x, half(x)), (A,), "Add()([%x, %cast])"),
    "multiply by ints": Rule(
        lambda m, x, y: ops.multiply(x, y), (A, f(3, 1, dtype="int32")), "Multiply()([%x, %y])"
    ),
    "half a sum": Rule(lambda m, x, y: (x + y) * 0.5, (A, B), "Average()([%x, %y])"),
    "a sum by two": Rule(lambda m, x, y: (x + y) / 2, (A, B), "Average()([%x, %y])"),
    "concatenate ints": Rule(
        lambda m, x: ops.concatenate([x, x], axis=1), (IDS,), "Concatenate(axis=1)([%x, %x])"
    ),
    "dot": Rule(lambda m, x, y: ops.matmul(x, y), (A, f(4, 2)), "Dot(axes=(2, 1))([%x, %y])"),
    "dot, free sizes": Rule(
        lambda m, x, y: ops.matmul(x, ops.transpose(y, (0, 2, 1))), (FREE, FREE), "Dot(axes=(2, 2))([%x, %y])"
    ),
    "stack and join": Rule(
        lambda m, x, y: ops.reshape(ops.stack([-x, y], axis=-2), (*ops.shape(x)[:-1], 8)),
        (f(None, 3, 4), f(None, 3, 4)),
        "Concatenate(axis=3)([%negative, %y])",
    ),
    # Other places for the same elements
    "reshape, two unknowns": Rule(
        lambda m, x: ops.reshape(x, (ops.shape(x)[0], ops.shape(x)[1], -1, 2)),
        (FREE,),
        "Reshape(target_shape=(-1, 2, 2))(%x)",
    ),
    "flatten": Rule(lambda m, x: ops.reshape(x, (ops.shape(x)[0], -1)), (A,), FLAT),
    "ravel of one row": Rule(lambda m, x: ops.reshape(x, (1, -1)), (fixed(1, 3, 4),), FLAT),
    "reshape ints": Rule(
        lambda m, x: ops.reshape(x, (-1, 2, 2)), (f(4, dtype="int32"),), "Reshape(target_shape=(2, 2))(%x)"
    ),
    "reshape bools": Rule(
        lambda m, x: ops.where(ops.reshape(x > 0, (-1, 4)), 1.0, 2.0),
        (f(2, 2),),
        "Flatten(data_format='channels_last')(%greater)",
    ),
    "reshape by the batch of another": Rule(
        lambda m, x, y: ops.reshape(x, (ops.shape(y)[0], -1, 2, 2)),
        (A, A),
        "Reshape(target_shape=(3, 2, 2))(%x)",
    ),
    "reshape a half": Rule(
        lambda m, x: ops.reshape(ops.split(x, 2, axis=-1)[1], (*ops.shape(x)[:2], 2, -1)),
        (FREE,),
        "Reshape(target_shape=(-1, 2, 1))(%split.1)",
    ),
    "reshape what is repeated": Rule(
        lambda m, x: ops.reshape(ops.repeat(x, 2, axis=1), (ops.shape(x)[0], 2 * ops.shape(x)[1], 2, 2)),
        (FREE,),
        "Reshape(target_shape=(-1, 2, 2))(%repeat)",
    ),
    "expand_dims": Rule(lambda m, x: ops.expand_dims(x, 1), (FREE,), "Reshape(target_shape=(1, -1, 4))(%x)"),
    "expand_dims of ints": Rule(
        lambda m, x: ops.expand_dims(x, -1), (f(None, dtype="int32"),), "Reshape(target_shape=(-1, 1))(%x)"
    ),
    "new axes": Rule(lambda m, x: x[:, None, ..., None], (f(4),), "Reshape(target_shape=(1, 4, 1))(%x)"),
    "squeeze": Rule(lambda m, x: ops.squeeze(x, 2), (f(3, 1, 4),), "Reshape(target_shape=(3, 4))(%x)"),
    "swapaxes": Rule(lambda m, x: ops.swapaxes(x, 1, -1), (FREE,), "Permute(dims=(2, 1))(%x)"),
    "moveaxis": Rule(
        lambda m, x: ops.moveaxis(x, (1, 2), (-1, 1)), (f(2, 3, 4),), "Permute(dims=(2, 3, 1))(%x)"
    ),
    "repeat a vector": Rule(
        lambda m, x: ops.repeat(ops.expand_dims(x, 1), 5, axis=1), (f(4),), "RepeatVector(n=5)(%x)"
    ),
}

REFUSALS = {
    "multiply by a batch of one": Rule(
        lambda m, x, y: x * y, (A, fixed(1, 3, 4)), "keras.ops.multiply(%x, %y)"
    ),
    "add behind new axes": Rule(
        lambda m, x, y: x + y, (fixed(4, 3, 4), fixed(3, 4)), "keras.ops.add(%x, %y)"
    ),
    "add bools": Rule(lambda m, x: ops.add(x > 0, x > 1), (A,), "keras.ops.add(%greater, %greater_1)"),
    "half a sum of ints": Rule(
        lambda m, x: ops.divide(ops.add(x, x), 2), (IDS,), "keras.ops.divide(%add, 2)"
    ),
    "a sum by three": Rule(lambda m, x, y: (x + y) / 3, (A, B), "keras.ops.true_divide(%add, 3)"),
    "matmul of heads": Rule(
        lambda m, x, y: ops.matmul(x, y), (f(2, 3, 4), f(2, 4, 3)), "keras.ops.matmul(%x, %y)"
    ),
    "matmul over a batch of one": Rule(
        lambda m, x, y: ops.matmul(x, y), (A, fixed(1, 4, 2)), "keras.ops.matmul(%x, %y)"
    ),
    "stack and interleave": Rule(
        lambda m, x, y: ops.reshape(ops.stack([x, y], axis=-1), (-1, 3, 8)),
        (A, B),
        "keras.ops.stack([%x, %y], axis=-1)",
    ),
    "two free sizes": Rule(
        lambda m, x: ops.expand_dims(x, 1), (f(None, None),), "keras.ops.expand_dims(%x, axis=1)"
    ),
    "a new first axis": Rule(lambda m, x: x[None], (A,), "keras.ops.get_item(%x, None)"),
    "an index": Rule(lambda m, x: x[:, None, 0], (A,), "keras.ops.get_item(%x, (:, None, 0))"),
    "squeeze the batch": Rule(
        lambda m, x: ops.squeeze(x, 0), (fixed(1, 3, 4),), "keras.ops.squeeze(%x, axis=0)"
    ),
    "swap the batch": Rule(
        lambda m, x: ops.swapaxes(x, 0, 1), (A,), "keras.ops.swapaxes(%x, axis1=0, axis2=1)"
    ),
    "move the batch": Rule(
        lambda m, x: ops.moveaxis(x, 1, 0), (A,), "keras.ops.moveaxis(%x, source=1, destination=0)"
    ),
    "a row becomes two": Rule(
        lambda m, x: ops.reshape(x, (-1, 6)), (A,), "keras.ops.reshape(%x, newshape=(-1, 6))"
    ),
    "the batch of another": Rule(
        lambda m, x, y: ops.reshape(x, (ops.shape(y)[0], -1, 2)),
        (FREE, A),
        "keras.ops.reshape(%x, newshape=(y.shape[0], -1, 2))",
    ),
    "repeat as often as there are rows": Rule(
        lambda m, x: ops.repeat(ops.expand_dims(x, 1), ops.shape(x)[0], axis=1),
        (f(4),),
        "keras.ops.repeat(%expand_dims, repeats=x.shape[0], axis=1)",
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_becomes_a_layer(name):
    before, after = lowered(RULES[name], *PASSES)
    assert RULES[name].after not in before
    assert RULES[name].after in after


@pytest.mark.parametrize("name", REFUSALS)
def test_stays_a_function(name):
    before, after = lowered(REFUSALS[name], *PASSES)
    assert REFUSALS[name].after in before
    assert REFUSALS[name].after in after


@pytest.mark.parametrize("name", RULES)
def test_gives_the_same_bits(name):
    rule = RULES[name]
    model = Call(rule.function)
    prepared = kerasfx.prepare_model(model, call_with(rule.inputs), verify=False)
    comparison = kerasfx.compare(model, prepared, samples=1)
    assert comparison.exact, str(comparison)


class Masked(keras.Model):
    """Merges and reshapes behind a mask, which an `LSTM` would use."""

    def __init__(self):
        super().__init__(name="masked")
        self.embed = keras.layers.Embedding(11, 4, mask_zero=True)
        self.rnn = keras.layers.SimpleRNN(3)

    def call(self, ids):
        h = self.embed(ids)
        h = h + ops.swapaxes(ops.tanh(ops.swapaxes(h, 1, 2)), 1, 2)
        return self.rnn(ops.reshape(h, (-1, 4, 6)))


def test_behind_a_mask_layers_are_called_without_it(tmp_path):
    model, x = Masked(), np.array([[1, 2, 3, 0, 0, 0], [4, 5, 6, 7, 0, 0]])
    prepared = kerasfx.prepare_model(model, keras.Input((6,), dtype="int32"))
    kinds = [type(layer).__name__ for layer in prepared.layers]
    assert {"Add", "Permute", "Reshape"} <= set(kinds)
    # One for all that take the tensor without its mask.
    assert kinds.count("DropMask") == 1
    assert kerasfx.compare(model, prepared, inputs=x, gradients=False).exact
    prepared.save(tmp_path / "masked.keras")
    loaded = keras.saving.load_model(tmp_path / "masked.keras")
    np.testing.assert_array_equal(*(ops.convert_to_numpy(m(x)) for m in (prepared, loaded)))


class Policies(keras.layers.Layer):
    """Merges of what a half and a float give, and of ints that the policy does not cast."""

    def call(self, x, ids):
        h = ops.concatenate([x, x * ops.cast(ids, x.dtype)], axis=-1)
        return ops.reshape(ops.swapaxes(h, 1, 2), (-1, 24)), ops.expand_dims(ids + ids, 2)


@pytest.mark.parametrize("policy", ["mixed_float16", "bfloat16"])
def test_the_policy_of_the_day_is_kept(policy):
    model = Policies(dtype=policy)
    inputs = kerasfx.Inputs(keras.Input((3, 4)), ids=keras.Input((3, 4), dtype="int32"))
    prepared = kerasfx.prepare_model(model, inputs)
    assert {"Multiply", "Concatenate", "Permute", "Flatten", "Add", "Reshape"} <= {
        type(layer).__name__ for layer in prepared.layers
    }
    assert kerasfx.compare(model, prepared, samples=1).exact

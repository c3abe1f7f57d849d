"""Arithmetic with numbers becomes `Rescaling`, to the bit, zeros with their signs included."""

import keras
import numpy as np
import pytest
from keras import ops
from lowering import Call, Rule, call_with, f, lowered

import kerasfx
from kerasfx.passes import to_rescaling

pytestmark = pytest.mark.any_keras

X = f(None, 4)

NOTHING = [-0.0] if keras.backend.backend() == "tensorflow" else -0.0


def rescaling(scale, offset, x="x"):
    return f"Rescaling(scale={scale}, offset={offset})(%{x})"


RULES = {
    "times": Rule(lambda m, x: x * 0.1, (X,), rescaling(0.1, NOTHING)),
    "times an int": Rule(lambda m, x: 3 * x, (X,), rescaling(3.0, NOTHING)),
    "times a root": Rule(lambda m, x: x * np.float32(0.5), (X,), rescaling(0.5, NOTHING)),
    "plus": Rule(lambda m, x: 1 + x, (X,), rescaling(1.0, 1.0)),
    "minus": Rule(lambda m, x: x - 0.3, (X,), rescaling(1.0, -0.3)),
    "minus x": Rule(lambda m, x: 1.0 - x, (X,), rescaling(-1.0, 1.0)),
    "by eight": Rule(lambda m, x: x / 8, (X,), rescaling(0.125, NOTHING)),
    "times and plus": Rule(lambda m, x: x * 2.0 + 0.1, (X,), rescaling(2.0, 0.1)),
    "minus twice": Rule(lambda m, x: 0.5 - (x - 1.0), (X,), rescaling(-1.0, 0.5, "subtract")),
}

REFUSALS = {
    "by three": Rule(lambda m, x: x / 3.0, (X,), "keras.ops.true_divide(%x, 3.0)"),
    "a number by": Rule(lambda m, x: ops.divide(2.0, x), (X,), "keras.ops.divide(2.0, %x)"),
    "plus next to nothing": Rule(lambda m, x: x + 1e-35, (X,), "keras.ops.add(%x, 1e-35)"),
    "ints": Rule(lambda m, x: x + 1, (f(3, dtype="int32"),), "keras.ops.add(%x, 1)"),
    "ints that become floats": Rule(
        lambda m, x: x * 0.5, (f(3, dtype="int32"),), "keras.ops.multiply(%x, 0.5)"
    ),
    "a half times a tenth": Rule(
        lambda m, x: ops.multiply(ops.cast(x, "float16"), 0.1), (X,), "keras.ops.multiply(%cast, 0.1)"
    ),
    "more than a half holds": Rule(
        lambda m, x: ops.add(ops.cast(x, "float16"), 1e6), (X,), "keras.ops.add(%cast, 1000000.0)"
    ),
    "infinity": Rule(lambda m, x: x - float("inf"), (X,), "keras.ops.subtract(%x, inf)"),
    "a weight": Rule(lambda m, x: x * (1.0 + m.scale), (X,), "keras.ops.add(1.0, %scale)"),
}


@pytest.mark.parametrize("name", RULES)
def test_becomes_a_layer(name):
    before, after = lowered(RULES[name], to_rescaling)
    assert RULES[name].after not in before
    assert RULES[name].after in after


@pytest.mark.parametrize("name", REFUSALS)
def test_stays_a_function(name):
    before, after = lowered(REFUSALS[name], to_rescaling)
    assert REFUSALS[name].after in before
    assert REFUSALS[name].after in after


class All(keras.layers.Layer):
    """Every rule, one after the other; a half times what a half holds."""

    def call(self, x):
        results = [rule.function(None, x) for rule in RULES.values()]
        return [*results, ops.multiply(ops.cast(x, "float16"), -0.25)]


def bits(model, x):
    results = [ops.convert_to_numpy(y) for y in model(x)]
    return [y.view("int16" if y.dtype == "float16" else "int32") for y in results]


def test_gives_the_same_bits(tmp_path):
    # TensorFlow keeps this tensor, and takes it for that of -0.0.
    ops.convert_to_tensor(0.0)
    model = All()
    prepared = kerasfx.prepare_model(model, X)
    assert sum(isinstance(layer, keras.layers.Rescaling) for layer in prepared.layers) == len(RULES) + 2
    assert kerasfx.compare(model, prepared, samples=1).exact
    x = np.array([[[0.0, -0.0, 1e-40, -3.0], [7.1, -1e-38, 0.1, 1e30]]], "float32")
    prepared.save(tmp_path / "all.keras")
    loaded = keras.saving.load_model(tmp_path / "all.keras")
    for a, b, c in zip(bits(model, x), bits(prepared, x), bits(loaded, x), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)


def test_a_sign_is_a_factor_where_no_number_is_taken_for_zero():
    _, after = lowered(Rule(lambda m, x: -x, (X,), ""), to_rescaling)
    is_torch = keras.backend.backend() == "torch"
    assert (rescaling(-1.0, NOTHING) in after) == is_torch
    assert ("keras.ops.negative(%x)" in after) != is_torch


def test_a_quotient_is_a_product_for_the_fast():
    model = Call(REFUSALS["by three"].function)
    prepared = kerasfx.prepare_model(model, call_with([X]), lower="fast")
    assert [type(layer).__name__ for layer in prepared.layers] == ["InputLayer", "Rescaling"]
    assert "divide to Rescaling" in str(kerasfx.report(prepared))

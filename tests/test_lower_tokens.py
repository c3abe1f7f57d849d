"""A weight that each row of a batch gets is one layer, however it is written."""

import keras
import numpy as np
import pytest
from keras import ops
from lowering import Call, Rule, call_with, f, fixed, lowered

import kerasfx
from kerasfx.passes import to_tokens

pytestmark = pytest.mark.any_keras

X = f(5, 4)


def rows(x):
    return ops.shape(x)[0]


def in_front(token):
    """A model that puts a token in front of the others."""
    return lambda m, x: ops.concatenate([token(m, x), x], axis=1)


VECTOR = "keras.ops.broadcast_to(%scale, shape=(x.shape[0], 1, 4))"
TABLE = "keras.ops.broadcast_to(%table, shape=(x.shape[0], 3, 4))"

RULES = {
    "tile": Rule(in_front(lambda m, x: ops.tile(m.scale[None, None], (rows(x), 1, 1))), (X,), VECTOR),
    "tile, expanded": Rule(
        in_front(lambda m, x: ops.tile(ops.expand_dims(m.table, 0), [rows(x), 1, 1])), (X,), TABLE
    ),
    "repeat": Rule(
        in_front(lambda m, x: ops.repeat(ops.reshape(m.scale, (1, 1, 4)), rows(x), axis=0)), (X,), VECTOR
    ),
    "broadcast": Rule(
        in_front(lambda m, x: ops.broadcast_to(m.table[None, :, :], (rows(x), 3, 4))), (X,), TABLE
    ),
}

REFUSALS = {
    "three times": Rule(
        in_front(lambda m, x: ops.tile(m.scale[None, None], (rows(x), 3, 1))),
        (X,),
        "keras.ops.tile(%get_item, repeats=(x.shape[0], 3, 1))",
    ),
    "turned": Rule(
        in_front(lambda m, x: ops.tile(m.table[None, ::-1], (rows(x), 1, 1))),
        (X,),
        "keras.ops.tile(%get_item, repeats=(x.shape[0], 1, 1))",
    ),
    "in other rows": Rule(
        lambda m, x: ops.concatenate([ops.tile(ops.reshape(m.table, (1, 4, 3)), (rows(x), 1, 1)), x], axis=1),
        (f(5, 3),),
        "keras.ops.tile(%reshape, repeats=(x.shape[0], 1, 1))",
    ),
    "a known batch": Rule(
        in_front(lambda m, x: ops.tile(m.scale[None, None], (2, 1, 1))),
        (fixed(2, 5, 4),),
        "keras.ops.tile(%get_item, repeats=(2, 1, 1))",
    ),
    "what is no weight": Rule(
        in_front(lambda m, x: ops.tile((m.scale * 2.0)[None, None], (rows(x), 1, 1))),
        (X,),
        "keras.ops.tile(%get_item, repeats=(x.shape[0], 1, 1))",
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_becomes_one_function(name):
    before, after = lowered(RULES[name], to_tokens)
    assert RULES[name].after not in before
    assert len(after) == len(before) - 1
    assert RULES[name].after in after


@pytest.mark.parametrize("name", REFUSALS)
def test_stays_as_it_is(name):
    before, after = lowered(REFUSALS[name], to_tokens)
    assert REFUSALS[name].after in before
    assert after == before


@pytest.mark.parametrize("name", RULES)
def test_is_one_layer_that_holds_the_weight(name, tmp_path):
    model = Call(RULES[name].function)
    prepared = kerasfx.prepare_model(model, call_with([X]))
    assert [type(layer).__name__ for layer in prepared.layers] == ["InputLayer", "BroadcastTo", "Concatenate"]
    assert len(prepared.layers[1].trainable_weights) == 1
    assert kerasfx.compare(model, prepared, samples=1).exact
    prepared.save(tmp_path / "token.keras")
    x = {"x": np.ones((3, 5, 4), "float32")}
    loaded = keras.saving.load_model(tmp_path / "token.keras")
    np.testing.assert_array_equal(*(ops.convert_to_numpy(m(x)) for m in (prepared, loaded)))

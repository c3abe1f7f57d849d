"""Inputs in another structure than `call` takes, and models whose code fixes the batch."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from predicting import predicted

import kerasfx
from kerasfx.errors import InputMismatchError

pytestmark = pytest.mark.any_keras


class Block(layers.Layer):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, x):
        return self.dense(x) * 2


class Base(keras.Model):
    def __init__(self):
        super().__init__()
        self.first, self.second = Block(), Block()

    def both(self, one, two):
        return self.first(one) - self.second(two)


class TakesDict(Base):
    def call(self, inputs):
        return self.both(inputs["one"], inputs["alpha"])


class TakesList(Base):
    def call(self, inputs):
        one, two = inputs
        return self.both(one, two)


class TakesAny(Base):
    def call(self, *args):
        return self.both(*args)


class TakesTwo(Base):
    def call(self, one, alpha):
        return self.both(one, alpha)


class TakesNames(Base):
    def call(self, **inputs):
        return self.both(inputs["one"], inputs["alpha"])


def functional():
    inputs = {"one": keras.Input((4,), name="one"), "alpha": keras.Input((5,), name="alpha")}
    return keras.Model(inputs, Block()(inputs["one"]) - Block()(inputs["alpha"]))


ONE, TWO = (np.random.default_rng(k).random((2, 4 + k), "float32") for k in range(2))
LIST, DICT = [ONE, TWO], {"one": ONE, "alpha": TWO}
NAMED = [keras.Input((4,), name="one"), keras.Input((5,), name="alpha")]
LAYERS = [layers.InputLayer((4,), name="one"), layers.InputLayer((5,), name="alpha")]


def built(cls, *args, **kwargs):
    model = cls()
    model(*args, **kwargs)
    return model


@pytest.mark.parametrize(
    ("make", "given", "call"),
    [
        (functional, LIST, lambda m: m(DICT)),
        (functional, NAMED, lambda m: m(DICT)),
        (lambda: built(TakesDict, DICT), LIST, lambda m: m(DICT)),
        (TakesDict, NAMED, lambda m: m(DICT)),
        (TakesDict, LAYERS, lambda m: m(DICT)),
        (TakesDict, dict(zip(DICT, LAYERS, strict=True)), lambda m: m(DICT)),
        (lambda: built(TakesList, LIST), DICT, lambda m: m(LIST)),
        (TakesList, DICT, lambda m: m(LIST)),
        (TakesList, LAYERS, lambda m: m(LIST)),
        (TakesList, [ONE, keras.Input((5,))], lambda m: m(LIST)),
        (TakesAny, LIST, lambda m: m(*LIST)),
        (TakesAny, tuple(NAMED), lambda m: m(*LIST)),
        (TakesAny, kerasfx.Inputs(*LAYERS), lambda m: m(*LIST)),
        (TakesTwo, LIST, lambda m: m(*LIST)),
        (TakesTwo, DICT, lambda m: m(*LIST)),
        (TakesNames, DICT, lambda m: m(**DICT)),
        (TakesNames, kerasfx.Inputs(**DICT), lambda m: m(**DICT)),
    ],
)
@pytest.mark.filterwarnings("ignore:.*`build\\(\\)` was called on layer")
def test_inputs_are_brought_into_the_structure_that_call_takes(make, given, call):
    model = make()
    prepared = kerasfx.prepare_model(model, given)
    is_dict = isinstance(given, dict) or isinstance(prepared.input, dict)
    inputs = dict(zip(prepared.input, LIST, strict=True)) if is_dict else type(prepared.input)(LIST)
    np.testing.assert_array_equal(predicted(prepared, inputs), predicted(call, model))
    if not isinstance(given, kerasfx.Inputs):
        assert isinstance(prepared.input, type(given))


def test_what_was_assumed_of_the_structure_is_reported():
    found = str(kerasfx.report(kerasfx.prepare_model(TakesDict(), NAMED)))
    assert "the list is passed as a dict by the names ['one', 'alpha']" in found


def test_what_fits_in_no_structure_is_refused_with_the_first_reason():
    with pytest.raises(InputMismatchError, match="indices must be integers") as raised:
        kerasfx.prepare_model(TakesDict(), LIST)
    assert isinstance(raised.value.__cause__, TypeError)


# A batch that the code fixes


class Tokens(keras.Model):
    """Works for four sentences of six words."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(8)

    def call(self, x):
        return ops.reshape(self.dense(ops.reshape(x, (24, 8))), (-1, 6, 8))


class Stateful(keras.Model):
    def __init__(self):
        super().__init__()
        self.gru = layers.GRU(3, stateful=True)

    def call(self, x):
        return self.gru(x)


class Rows(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(8)

    def call(self, x):
        return ops.stack([self.dense(x[k]) for k in range(x.shape[0])])


SENTENCES = np.random.default_rng(0).random((4, 6, 8), "float32")


@pytest.mark.parametrize(
    ("cls", "how"),
    [
        *((cls, how) for cls in (Tokens, Stateful) for how in ("example", "hints", "input")),
        (Rows, "example"),  # With hints its length is answered and checked, as any number that is read.
    ],
)
def test_the_batch_of_an_example_is_tried_as_a_fixed_one(cls, how):
    model = cls()
    free = keras.Input((6, 8), name="x")
    given = {"example": SENTENCES, "hints": free, "input": keras.Input(batch_shape=(4, 6, 8))}[how]
    hints = {"x": (4, 6, 8)} if how == "hints" else None
    prepared = kerasfx.prepare_model(model, given, hints=hints)
    assert prepared.input_shape == (4, 6, 8)
    found = [str(f) for f in kerasfx.report(prepared).of_kind("fixed")]
    assert len(found) == (how != "input")
    assert all("the batch is fixed at 4, that of the example or of hints=" in f for f in found)
    assert kerasfx.compare(model, prepared).equivalent


@pytest.mark.parametrize("cls", [Tokens, Stateful])
def test_without_an_example_the_way_out_is_named(cls):
    with pytest.raises((ValueError, TypeError)) as raised:
        kerasfx.prepare_model(cls(), keras.Input((6, 8)))
    told = "\n".join([str(raised.value), *getattr(raised.value, "__notes__", ())])
    assert "do:    if the model works for one batch alone" in told
    assert "keras.Input(batch_shape=(4, ...))" in told


def test_a_batch_that_can_stay_free_stays_free():
    prepared = kerasfx.prepare_model(Block(), SENTENCES)
    assert prepared.input_shape == (None, 6, 8)
    assert not kerasfx.report(prepared).of_kind("fixed")


def test_a_part_that_fixes_the_batch_is_kept_whole_rather_than_that_all_is_fixed():
    class Around(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = Counting()

        def call(self, x):
            return self.inner(x) * 2

    class Counting(layers.Layer):
        def call(self, x):
            return ops.stack([x[k] for k in range(x.shape[0])])

        def compute_output_shape(self, shape):
            return shape

    prepared = kerasfx.prepare_model(Around(), SENTENCES)
    assert prepared.input_shape == (None, 6, 8)
    assert len(kerasfx.report(prepared).opaque) == 1

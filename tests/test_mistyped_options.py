"""A selector or a name that matches nothing is refused, with what it was probably meant to be."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerasfx
from kerasfx.errors import InputMismatchError, UnknownSelectorError

pytestmark = pytest.mark.once


class Block(layers.Layer):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(4)

    def call(self, x):
        return self.dense(x) * 2


class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.block = Block()

    def call(self, tokens):
        return self.block(tokens)


def message(error, **options):
    with pytest.raises(error) as raised:
        kerasfx.prepare_model(Net(), keras.Input((4,)), **options)
    return str(raised.value)


@pytest.mark.parametrize("argument", ["leaves", "opened"])
@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("blokc", "the nearest are: block"),
        ("blokc.dense", "the nearest are: block.dense, block"),
        ("*.dens", "the nearest are: block.dense"),
        ("zzz", "there are: block, block.dense"),
        (layers.Conv2D, "there are: Block, Dense"),
        (layers.DepthwiseConv1D, "has DepthwiseConv1D, which matches no layer below the model"),
        (lambda layer: False, "has <lambda>, which matches no layer below the model"),
        ("Block", "=[Block] for a class, without quotes"),
    ],
)
def test_a_selector_that_matches_nothing(argument, selector, expected):
    found = message(UnknownSelectorError, **{argument: [selector]})
    assert expected in found
    assert f"{argument}= has " in found


def test_a_layer_is_no_selector():
    model = Net()
    with pytest.raises(UnknownSelectorError, match=r'leaves=\["block"\]'):
        kerasfx.prepare_model(model, keras.Input((4,)), leaves=[model.block])


def test_the_right_ones_are_taken_alone_or_in_a_list():
    for selector in ("block", "b*", Block, lambda layer: isinstance(layer, Block)):
        for leaves in (selector, [selector]):
            prepared = kerasfx.prepare_model(Net(), keras.Input((4,)), leaves=leaves)
            assert kerasfx.report(prepared).of_kind("kept"), selector


def test_a_layer_inside_one_that_stays_whole_is_matched():
    prepared = kerasfx.prepare_model(Net(), keras.Input((4,)), leaves=["block", "block.dense"])
    assert [f.path for f in kerasfx.report(prepared).of_kind("kept")] == ["block"]


def test_a_typo_is_named_where_the_trace_fails_for_it():
    class Branching(layers.Layer):
        def call(self, x):
            return x if ops.sum(x) > 0 else -x

    class Around(Net):
        def __init__(self):
            super().__init__()
            self.branching = Branching()

        def call(self, x):
            y = self.branching(x)
            return y if ops.sum(y) > 0 else -y

    with pytest.raises(UnknownSelectorError, match="the nearest are: branching") as raised:
        kerasfx.prepare_model(Around(), keras.Input((4,)), leaves=["branchign"])
    assert isinstance(raised.value.__cause__, kerasfx.errors.TensorAsPythonValueError)


def test_hints_for_an_input_that_does_not_exist():
    found = message(InputMismatchError, hints={"token": (2, 4)})
    assert "hints= has 'token', and the model has no such input" in found
    assert "its inputs are: tokens" in found
    assert 'do:    hints={"tokens": (2, 4)}' in found


def test_hints_of_another_rank():
    assert "hints for 'tokens' have 3 sizes" in message(InputMismatchError, hints={"tokens": (2, 4, 4)})


@pytest.mark.parametrize("function", [kerasfx.explain, kerasfx.trace])
def test_explain_and_trace_refuse_them_as_well(function):
    with pytest.raises(UnknownSelectorError):
        function(Net(), np.ones((2, 4), "float32"), leaves=["blokc"])

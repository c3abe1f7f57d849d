"""Activations that become functions behind their layers."""

import keras
import pytest

import kerasfx
from kerasfx.errors import NotEquivalentError, PassError
from kerasfx.passes import split_activations
from kerasfx.passes.legalize.split_activations import FUNCTIONS


def prepared_of(model, **options):
    return kerasfx.prepare_model(model, passes=[split_activations], **options)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_is_the_function_of_its_name(name):
    x = keras.Input((4,))
    model = keras.Model(x, keras.layers.Dense(3, activation=name)(x))
    prepared = prepared_of(model)
    assert kerasfx.compare(model, prepared)
    assert prepared.get_layer("dense").activation is keras.activations.linear


def test_only_those_that_are_named():
    x = keras.Input((4,))
    h = keras.layers.Dense(3, activation="gelu")(x)
    graph = kerasfx.trace(keras.Model(x, keras.layers.Dense(3, activation="tanh")(h))).graph
    assert split_activations(graph, ["gelu"])
    assert [node.function for node in graph.check().nodes] == [None, "keras.ops.gelu", None]
    assert not split_activations(graph, ["gelu"])


@pytest.mark.parametrize("weights", ["copy", "share"])
def test_a_layer_that_is_called_twice(weights):
    x = keras.Input((4,))
    dense = keras.layers.Dense(4, activation="tanh", name="twice")
    model = keras.Model(x, dense(dense(x)))
    prepared = prepared_of(model, weights=weights)
    assert kerasfx.compare(model, prepared)
    assert dense.activation is keras.activations.tanh
    assert len(prepared.weights) == 2


def test_a_mask_that_only_layers_hand_on_keeps_the_layer():
    x = keras.Input((5,), dtype="int32")
    h = keras.layers.Embedding(7, 4, mask_zero=True)(x)
    h = keras.layers.Dense(4, activation="gelu")(h)
    model = keras.Model(x, keras.layers.LSTM(3)(h))
    assert not split_activations(kerasfx.trace(model).graph)
    assert kerasfx.compare(model, prepared_of(model))


def test_what_an_activity_regularizer_is_about_stays_in_the_layer():
    x = keras.Input((4,))
    dense = keras.layers.Dense(3, activation="gelu", activity_regularizer="l2")
    model = keras.Model(x, dense(x))
    graph = kerasfx.trace(model).graph
    assert not split_activations(graph)


def test_what_is_no_last_step_stays_in_the_layer():
    x = keras.Input((5, 4))
    graph = kerasfx.trace(keras.Model(x, keras.layers.LSTM(3)(x))).graph
    assert not split_activations(graph)


def test_other_names_are_refused():
    graph = kerasfx.trace(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])).graph
    with pytest.raises(PassError, match=r"\['leaky'\] are not functions of keras.ops alone"):
        split_activations(graph, ["leaky", "gelu"])


def test_the_first_difference_is_not_at_the_layer_that_lost_its_activation():
    def wrong(graph):
        split_activations(graph, ["tanh"])
        (node,) = [n for n in graph.nodes if n.target == "keras.ops.tanh"]
        node.target = "keras.ops.sin"
        return True

    x = keras.Input((4,))
    h = keras.layers.Dense(3, activation="tanh", name="first")(x)
    model = keras.Model(x, keras.layers.Dense(3, name="second")(h))
    with pytest.raises(NotEquivalentError, match="at layer 'second'"):
        kerasfx.prepare_model(model, passes=[wrong])

"""Built-in layers that step a layer of the user's: when they are opened, and what is said when not."""

import keras
import numpy as np
import pytest
from keras import ops
from zoo.wrappers import Around, Cell, Configured, Gate, TwoStates

import kerasfx
from kerasfx.ir import LayerCall


class Drawing(Cell):
    """A cell that draws."""

    def __init__(self):
        super().__init__()
        self.dropout = keras.layers.Dropout(0.5, seed=1)

    def call(self, x, states, training=None):
        h, states = super().call(x, states)
        return self.dropout(h, training=training), states


class Function(keras.layers.Layer):
    """A layer without `get_config`, made with what Keras cannot write down."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x) * float(ops.sum(x))

    def compute_output_shape(self, shape):
        return shape


def prepared(layer, *shape):
    """The report of a model of `layer` that takes this shape."""
    return kerasfx.prepare_model(Around(layer), keras.Input(shape), verify=False)


def test_a_short_loop_keeps_its_layers():
    graph = kerasfx.trace(Around(keras.layers.RNN(TwoStates())), keras.Input((3, 4))).graph
    called = [node.path for node in graph.nodes if isinstance(node.target, LayerCall)]
    assert called == ["parts[0].cell.first", "parts[0].cell.second"] * 2 + ["parts[0].cell.first"]


@pytest.mark.parametrize("length", [None, 17])
def test_any_other_loop_is_a_body(length):
    graph = kerasfx.trace(Around(keras.layers.RNN(Cell())), keras.Input((length, 4))).graph
    assert "keras.ops.scan" in [node.target for node in graph.nodes]


def test_the_result_takes_any_length(tmp_path):
    model = Around(
        keras.layers.TimeDistributed(Gate()), keras.layers.RNN(Configured(), return_sequences=True)
    )
    result = kerasfx.prepare_model(model, keras.Input((None, 4)))
    result.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for length in (1, 4, 30):
        x = np.random.default_rng(0).standard_normal((2, length, 4)).astype("float32")
        expected = keras.ops.convert_to_numpy(model(x))
        for other in (result, loaded):
            np.testing.assert_allclose(keras.ops.convert_to_numpy(other(x)), expected, rtol=1e-5, atol=1e-6)


def test_a_layer_that_keras_can_load_stays_a_leaf():
    inner = keras.Sequential([keras.layers.Dense(3)])
    model = prepared(keras.layers.TimeDistributed(inner), 5, 4)
    assert [type(x) for x in model.layers[1:]] == [keras.layers.TimeDistributed]
    assert not kerasfx.report(model).opaque


def test_a_functional_model_of_one_is_not_flat():
    x = keras.Input((3, 4))
    model = keras.Model(x, keras.layers.RNN(Cell())(x))
    assert "RNN" not in {type(layer).__name__ for layer in kerasfx.prepare_model(model).layers}


@pytest.mark.parametrize("length", [3, None])
def test_a_cell_that_draws_stays_whole(length):
    [finding] = kerasfx.report(prepared(keras.layers.RNN(Drawing()), length, 4)).opaque
    text = str(finding)
    assert "parts[0]: RNN is kept whole: it holds layers that need code of other modules: Drawing" in text
    assert "it could not be opened: A" in text
    assert "draws random numbers" in text
    assert "why: " in text


def test_what_keeps_an_inner_layer_from_being_opened_is_told_with_its_line():
    [finding] = kerasfx.report(prepared(keras.layers.TimeDistributed(Function(ops.tanh)), 3, 4)).opaque
    text = str(finding)
    assert "need code of other modules: Function" in text
    assert "parts[0].layer (Function)" in text
    assert "test_recurrence.py" in text


def test_what_cannot_be_saved_is_told_before():
    [finding] = kerasfx.report(prepared(keras.layers.TimeDistributed(Function(lambda x: x)), 3, 4)).opaque
    assert finding.hint.startswith("give Function a get_config() before saving the model")


def test_a_wrapper_may_be_the_model():
    layer = keras.layers.TimeDistributed(Function(ops.tanh))
    [finding] = kerasfx.report(kerasfx.prepare_model(layer, keras.Input((3, 4)), verify=False)).opaque
    assert "TimeDistributed is kept whole" in str(finding)


@pytest.mark.parametrize("length", [3, None])
def test_an_activation_of_other_code_in_a_recurrent_layer(length):
    model = Around(keras.layers.GRU(4, activation=lambda x: ops.tanh(x) * 0.5))
    result = kerasfx.prepare_model(model, keras.Input((length, 4)))
    assert not kerasfx.report(result).opaque
    assert kerasfx.compare(model, result, samples=1)


@pytest.mark.parametrize("layer", [keras.layers.TimeDistributed, keras.layers.RNN])
def test_leaves_still_keep_it_whole(layer):
    inner = Configured() if layer is keras.layers.RNN else keras.layers.Dense(3)
    model = kerasfx.prepare_model(Around(layer(inner)), keras.Input((3, 4)), leaves=[layer])
    assert layer in {type(x) for x in model.layers}


def test_states_that_stay():
    """`stateful=True`: a call begins where the one before ended, in the result as well."""
    x = keras.Input(batch_shape=(3, 5, 4))
    model = keras.Model(x, keras.layers.RNN(Cell(), stateful=True)(x))
    result = kerasfx.prepare_model(model)
    given = np.ones((3, 5, 4), "float32")
    first, second = (keras.ops.convert_to_numpy(result(given)) for _ in range(2))
    assert not np.allclose(first, second)
    for expected in (first, second):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(model(given)), expected, rtol=1e-5, atol=1e-6)


class AroundGru(keras.layers.Layer):
    """A cell around one of Keras's, which on PyTorch adds in place, traced for both modes."""

    def __init__(self):
        super().__init__()
        self.state_size = 2
        self.cell = keras.layers.GRUCell(2)

    def call(self, x, states, training=None):
        return self.cell(x, states, training=training)


class OfCells(keras.Model):
    def __init__(self, cells):
        super().__init__()
        self.recurrent = keras.layers.RNN(cells)

    def call(self, x):
        return self.recurrent(x) * 2.0


@pytest.mark.any_backend
@pytest.mark.parametrize("make", [AroundGru, lambda: [AroundGru(), keras.layers.GRUCell(3)]])
def test_a_cell_of_keras_in_one_of_the_user(make):
    model = OfCells(make())
    prepared = kerasfx.prepare_model(model, keras.Input((None, 3)))
    assert not kerasfx.report(prepared).opaque
    assert kerasfx.compare(model, prepared)

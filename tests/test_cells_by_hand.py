"""Cells of recurrent layers that `call` steps by itself, with a free batch and states of other origins."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from zoo.case import floats

import kerasfx

pytestmark = pytest.mark.any_keras

CELLS = {
    "SimpleRNNCell": (lambda: layers.SimpleRNNCell(4), 1),
    "GRUCell": (lambda: layers.GRUCell(4), 1),
    "LSTMCell": (lambda: layers.LSTMCell(4), 2),
    "StackedRNNCells": (lambda: layers.StackedRNNCells([layers.LSTMCell(4), layers.GRUCell(4)]), None),
}


class Steps(keras.Model):
    """Two steps of a cell."""

    def __init__(self, cell, states):
        super().__init__()
        self.cell, self.states = cell, states

    def call(self, x):
        batch = ops.shape(x)[0]
        if self.states is None:
            states = self.cell.get_initial_state(batch)
        else:
            states = [ops.zeros((batch, 4))] * self.states
        for step in (0, 1):
            y, states = self.cell(x[:, step], states)
        return y


class Messages(keras.Model):
    """A graph network: the states are nodes, the inputs sums of messages along edges."""

    def __init__(self):
        super().__init__()
        self.dense, self.update = layers.Dense(8), layers.GRUCell(8)

    def call(self, nodes, edges):
        state = self.dense(nodes)
        for _ in range(2):
            messages = ops.take(state, edges[:, 1], axis=0)
            received = ops.segment_sum(messages, edges[:, 0], num_segments=ops.shape(nodes)[0])
            state, _ = self.update(received, state)
        return state


@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("name", CELLS)
def test_steps_of_a_cell(name, built):
    make, states = CELLS[name]
    model = Steps(make(), states)
    if built:
        model(floats(2, 5, 3))
    prepared = kerasfx.prepare_model(model, keras.Input((None, 3), name="x"))
    assert not kerasfx.report(prepared).opaque
    for sizes in ((2, 5), (3, 7)):
        x = floats(*sizes, 3)
        np.testing.assert_allclose(*(ops.convert_to_numpy(f(x)) for f in (prepared, model)), rtol=1e-5)


def test_states_of_nodes_and_sums_of_messages():
    model = Messages()
    nodes, edges = floats(6, 5), np.array([[0, 1], [2, 3], [5, 4], [2, 1]], "int32")
    prepared = kerasfx.prepare_model(model, kerasfx.Inputs(nodes, edges))
    assert not kerasfx.report(prepared).opaque
    expected = ops.convert_to_numpy(model(nodes, edges))
    got = ops.convert_to_numpy(prepared({"nodes": nodes, "edges": edges}))
    np.testing.assert_allclose(got, expected, rtol=1e-5)

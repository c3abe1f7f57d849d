"""The oracle makes the values of weights one after the other where a model has many."""

import weakref

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerasfx
from kerasfx.comparing import states, verify
from kerasfx.comparing.run import run
from kerasfx.comparing.states import perturbed, present_state
from kerasfx.prepare import prepare_model

pytestmark = pytest.mark.any_keras


@pytest.fixture
def one_by_one(monkeypatch):
    monkeypatch.setattr(states, "AT_ONCE", 0)


class Loops(keras.Model):
    """Reads its weights in a loop of the backend and behind it, updates one, and adds a loss of one."""

    def __init__(self, factor=1.0):
        super().__init__(name="loops")
        self.dense = layers.Dense(4, kernel_regularizer="l2")
        self.norm = layers.BatchNormalization()
        self.factor = factor

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(4, 4), name="kernel")
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False, name="calls")
        super().build(input_shape)

    def call(self, x):
        x = self.norm(self.dense(x))
        self.calls.assign(self.calls + self.factor)
        rows = ops.map(lambda row: ops.matmul(row, self.kernel) * self.factor, x)
        return ops.matmul(rows, self.kernel)


def loops(factor=1.0, like=None):
    model = Loops(factor)
    model(np.zeros((2, 3, 4), "float32"))
    if like is not None:
        model.set_weights(like.get_weights())
    return model


@pytest.mark.usefixtures("one_by_one")
def test_values_made_one_by_one_give_the_same_verdict():
    model = loops()
    prepared = prepare_model(model, keras.Input((3, 4)), verify=False)
    found = kerasfx.compare(model, prepared, batch_sizes=(2,), samples=1)
    assert found, found
    other = loops(factor=1.5, like=model)
    found = verify(other, prepared, variables=zip(other.weights, prepared.weights, strict=True))
    assert {c.name for c in found.checks if not c.passed} >= {"outputs", "perturbed outputs"}


def test_values_made_one_by_one_are_those_made_at_once(monkeypatch):
    model = loops()
    x, before = np.ones((2, 3, 4), "float32"), model.get_weights()

    def results():
        state = perturbed(present_state(model.variables), seed=1)
        found = run(model, x, state, training=True)
        assert {id(v) for v in (model.calls, *model.norm.non_trainable_variables)} <= found.assigned
        return [ops.convert_to_numpy(t) for t in (found.outputs, *(t for _, t in found.state.values()))]

    at_once = results()
    monkeypatch.setattr(states, "AT_ONCE", 0)
    for expected, got in zip(at_once, results(), strict=True):
        np.testing.assert_array_equal(expected, got)
    for expected, got in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(expected, got)


@pytest.mark.usefixtures("one_by_one")
def test_few_perturbed_weights_are_there_at_a_time(monkeypatch):
    chain = keras.Sequential([keras.Input((8,)), *(layers.Dense(8) for _ in range(12))])
    copy = keras.models.clone_model(chain)
    copy.set_weights(chain.get_weights())
    seen, most = [], []
    on = states._Noise.on

    def counted(noise, values):
        found = on(noise, values)
        seen.append(weakref.ref(found))
        most.append(sum(x() is not None for x in seen))
        return found

    monkeypatch.setattr(states._Noise, "on", counted)
    assert verify(chain, copy, variables=zip(chain.variables, copy.variables, strict=True))
    # Of each weight by either model, while that before it is still in use.
    assert len(seen) == 48
    assert max(most) <= 4


def test_the_noise_of_each_weight_is_its_own():
    alike = [keras.Variable(np.ones((300, 300), "float32")) for _ in range(2)]
    first, second = (ops.convert_to_numpy(x) for _, x in perturbed(present_state(alike), seed=0).values())
    assert not np.array_equal(first, second)
    assert len(np.unique(first)) > 0.95 * first.size
    assert first.std() == pytest.approx(0.2, rel=0.02)

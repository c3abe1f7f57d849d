"""What `trace` returns, and what a model of `emit` knows of its original."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import ops

import kerasfx
from kerasfx.tracing.traced import Origin

pytestmark = pytest.mark.any_backend


class Opaque(keras.layers.Layer):
    def call(self, x):
        return x if ops.sum(x) > 0 else -x

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)


class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(3)
        self.drop = keras.layers.Dropout(0.5)
        self.norm = keras.layers.BatchNormalization()

    def build(self, shape):
        self.scale = self.add_weight(shape=(3,), initializer="ones", name="scale")
        self.forgotten = self.add_weight(shape=(2,), name="forgotten")
        self.dense.build((None, 4))
        self.norm.build((None, 3))

    def call(self, inputs, training=None):
        a, b = inputs["a"], inputs["b"]
        return {"out": self.norm(self.drop(self.dense(a + b)), training=training) * self.scale}


def inputs():
    return {"b": keras.Input((4,), name="b"), "a": keras.Input((4,), name="a")}


def batch(seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(5, 4)).astype("float32") for name in "ab"}


def out_of(model):
    return ops.convert_to_numpy(model(batch())["out"])


@pytest.fixture
def net():
    keras.utils.set_random_seed(0)
    return Net()


def test_it_shows_its_graph_and_stays_as_it_is(net):
    traced = kerasfx.trace(net, inputs())
    assert isinstance(traced, kerasfx.Traced)
    assert str(traced) == str(traced.graph)
    assert traced.origin.model is net
    assert traced.graph.meta[Origin] is traced.origin
    assert traced.findings == traced.origin.findings
    with pytest.raises(dataclasses.FrozenInstanceError):
        traced.graph = None


def test_what_was_found_is_part_of_it():
    traced = kerasfx.trace(keras.Sequential([keras.Input((4,)), Opaque(name="odd")]))
    assert [f.kind for f in traced.findings] == ["opaque"]


@pytest.mark.parametrize("of_graph", [False, True], ids=["traced", "graph"])
def test_what_is_emitted_compares_and_reports_as_what_is_prepared(net, of_graph):
    traced = kerasfx.trace(net, inputs())
    emitted = kerasfx.emit(traced.graph if of_graph else traced)
    prepared = kerasfx.prepare_model(net, inputs())
    comparison = kerasfx.compare(net, emitted)
    assert comparison
    assert not [note for note in comparison.notes if "guess" in note]
    ours, theirs = kerasfx.report(emitted), kerasfx.report(prepared)
    assert (ours.opened, ours.findings) == (theirs.opened, theirs.findings)
    assert {n: x.path for n, x in ours.layers.items()} == {n: x.path for n, x in theirs.layers.items()}
    assert [f.path for f in ours.of_kind("unused")] == ["forgotten"]


def test_what_is_emitted_takes_weights_both_ways(net):
    emitted = kerasfx.emit(kerasfx.trace(net, inputs()))
    net.scale.assign(np.array([1.0, 2.0, 3.0]))
    assert kerasfx.copy_weights(net, emitted)
    np.testing.assert_allclose(out_of(emitted), out_of(net), rtol=1e-5, atol=1e-6)
    emitted.get_layer("dense").kernel.assign(np.ones((4, 3)))
    assert kerasfx.copy_weights(emitted, net)
    np.testing.assert_allclose(out_of(net), out_of(emitted), rtol=1e-5, atol=1e-6)


def test_a_difference_of_what_is_emitted_is_found(net):
    traced = kerasfx.trace(net, inputs())
    multiply = next(n for n in traced.graph.nodes if n.target == "keras.ops.multiply")
    multiply.target = "keras.ops.add"
    assert not kerasfx.compare(net, kerasfx.emit(traced))


def test_an_original_that_does_not_train_gives_a_model_that_does_not(net):
    net.trainable = False
    assert not kerasfx.emit(kerasfx.trace(net, inputs())).trainable


def test_a_graph_made_by_hand_has_no_original(net):
    graph = kerasfx.trace(net, inputs()).graph
    del graph.meta[Origin]
    with pytest.raises(ValueError, match="has no report"):
        kerasfx.report(kerasfx.emit(graph))


def test_large_examples_are_not_kept(monkeypatch, net):
    monkeypatch.setattr("kerasfx.handover.linking.KEPT_EXAMPLE", 10)
    emitted = kerasfx.emit(kerasfx.trace(net, batch()))
    assert emitted._kerasfx_provenance.examples is None


class Stepping(keras.Model):
    def call(self, x):
        return x * 2.0

    def train_step(self, *arguments):
        raise NotImplementedError


def test_what_is_emitted_says_which_steps_it_lacks():
    emitted = kerasfx.emit(kerasfx.trace(Stepping(), keras.Input((4,))))
    (dropped,) = kerasfx.report(emitted).of_kind("dropped")
    assert "train_step" in dropped.what
    with pytest.warns(UserWarning, match="train_step"):
        emitted.compile("sgd", "mse")

"""A weight or constant that one function takes lives in its layer, and nothing hangs on the model's input."""

import keras
import numpy as np
import pytest
from keras import ops

import kerasfx

RNG = np.random.default_rng(0)
TABLE = RNG.standard_normal((5, 100)).astype("float32")


class Block(keras.layers.Layer):
    """A weight that is used once, one that is used twice, and constants, small and large."""

    def __init__(self, shared, **kwargs):
        super().__init__(**kwargs)
        self.shared = shared

    def build(self, shape):
        self.w = self.add_weight(shape=(shape[-1],), name="w", regularizer="l2", constraint="non_neg")
        self.cold = self.add_weight(shape=(shape[-1],), name="cold", trainable=False)

    def call(self, x):
        x = ops.sin(x * self.w) + self.cold
        x = ops.add(ops.cumsum(x * self.shared, axis=1), TABLE)
        return x - ops.softmax(self.shared * 2.0)


class Net(keras.Model):
    def build(self, shape):
        self.shared = self.add_weight(shape=(100,), name="shared")
        self.blocks = [Block(self.shared, name=f"block{i}") for i in range(3)]
        for block in self.blocks:
            block.build(shape)
        self.built = True

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        return x


@pytest.fixture(scope="module")
def net():
    model = Net()
    model.build((None, 5, 100))
    for v in model.variables:
        v.assign(RNG.uniform(0.5, 1.5, v.shape))
    return model


@pytest.mark.parametrize("weights", ["copy", "share"])
def test_is_the_same_model(net, weights, tmp_path):
    prepared = kerasfx.prepare_model(net, keras.Input((5, 100)), weights=weights, lower=False)
    comparison = kerasfx.compare(net, prepared)
    assert comparison.exact, comparison
    parameters = [x for x in prepared.layers if isinstance(x, kerasfx.layers.Parameter)]
    assert [tuple(x.weight.shape) for x in parameters] == [(100,)]
    assert sorted(tuple(v.shape) for v in prepared.trainable_variables) == [(100,)] * 4
    if weights == "share":
        assert {id(v) for v in net.trainable_variables} == {id(v) for v in prepared.trainable_variables}
    prepared.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    x = RNG.standard_normal((2, 5, 100)).astype("float32")
    np.testing.assert_array_equal(*(ops.convert_to_numpy(m(x)) for m in (net, loaded)))
    assert len(loaded.losses) == len(net.losses) == 3
    assert [v.trainable for v in loaded.variables] == [v.trainable for v in prepared.variables]


def test_weights_come_home_from_a_clone(net):
    prepared = kerasfx.prepare_model(net, keras.Input((5, 100)), lower=False)
    clone = keras.models.clone_model(prepared)
    clone.set_weights([v + 1.0 for v in prepared.get_weights()])
    other = Net()
    other.build((None, 5, 100))
    kerasfx.copy_weights(clone, other)
    for ours, theirs in zip(net.trainable_variables, other.trainable_variables, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(ours) + 1.0, ops.convert_to_numpy(theirs))


def test_it_can_be_cut_at_every_tensor_of_a_block(net):
    prepared = kerasfx.prepare_model(net, keras.Input((5, 100)), lower=False)
    x = RNG.standard_normal((2, 5, 100)).astype("float32")
    ends = [n for n in (layer.name for layer in prepared.layers) if n.startswith("block") and "multiply" in n]
    assert len(ends) >= 6
    for name in ends[:2]:
        inner = prepared.get_layer(name).output
        head, tail = keras.Model(prepared.input, inner), keras.Model(inner, prepared.output)
        np.testing.assert_array_equal(*(ops.convert_to_numpy(y) for y in (tail(head(x)), prepared(x))))


def test_what_takes_weights_alone_hangs_on_what_takes_it():
    class Scaled(keras.layers.Layer):
        def build(self, shape):
            self.w = self.add_weight(shape=(4,), name="w", initializer="ones")

        def call(self, x):
            x = ops.tanh(x)
            return x * ops.softmax(self.w * 2.0)

    prepared = kerasfx.prepare_model(Scaled(), keras.Input((4,)), lower=False)
    tanh = next(x for x in prepared.layers if "tanh" in x.name)
    tail = keras.Model(tanh.output, prepared.output)
    x = np.ones((2, 4), "float32")
    np.testing.assert_array_equal(*(ops.convert_to_numpy(y) for y in (tail(np.tanh(x)), np.tanh(x) * 0.25)))


def test_an_output_may_be_a_weight():
    class Gives(keras.Model):
        def build(self, shape):
            self.w = self.add_weight(shape=(4,), name="w")
            self.built = True

        def call(self, x):
            return x * 2.0, ops.exp(self.w), self.w + 0.0

    class GivesAlone(keras.Model):
        def build(self, shape):
            self.w = self.add_weight(shape=(4,), name="w")
            self.built = True

        def call(self, x):
            return x * 2.0, ops.convert_to_tensor(self.w)

    for model in (Gives(), GivesAlone()):
        prepared = kerasfx.prepare_model(model, keras.Input((4,)))
        assert kerasfx.compare(model, prepared).exact


def test_a_large_constant_has_no_partner_in_the_original(net, tmp_path):
    """A file does not say from what it was made: the constant's variable must not be taken for a weight."""
    prepared = kerasfx.prepare_model(net, keras.Input((5, 100)), lower=False)
    prepared.save(tmp_path / "m.keras")
    comparison = kerasfx.compare(net, keras.models.load_model(tmp_path / "m.keras"))
    assert comparison.exact, comparison

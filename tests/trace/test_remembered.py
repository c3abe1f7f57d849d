"""A trace infers calls that are alike once, and takes no two calls for alike that are not."""

import keras
import numpy as np
import pytest
from keras import ops

import kerasfx
from kerasfx.ir import Value
from kerasfx.ir.dims import Dim
from kerasfx.ir.program import Input
from kerasfx.tracing import inference
from kerasfx.tracing.remembered import Memory, said

pytestmark = pytest.mark.any_keras


def value(*shape, dtype="float32"):
    return Value("x", shape, dtype, Input("x"))


def free(first, second):
    return Dim.axis(value(3), 0, (first, second))


@pytest.fixture
def memory():
    return Memory()


@pytest.fixture
def inferred(monkeypatch):
    """What was asked for, and not remembered."""
    asked = []
    for name in ("infer_call", "infer_layer"):
        infer = getattr(inference, name)
        monkeypatch.setattr(inference, name, lambda f, *rest, infer=infer: asked.append(f) or infer(f, *rest))
    return asked


def built(layer, *shape):
    layer.build((None, *shape))
    return layer


def dtypes(memory, function, *calls):
    return [memory.of_call(function, args, {})[0].dtype for args in calls]


class TestFunctions:
    def test_alike(self, memory, inferred):
        for _ in range(3):
            assert memory.of_call(ops.tanh, (value(2, 3),), {})[0].shape == (2, 3)
        assert inferred == [ops.tanh]

    def test_numbers_that_are_equal(self, memory):
        """True, 1 and 1.0 have one hash."""
        x = value(2, dtype="int32")
        whole, real = dtypes(memory, ops.add, (x, 1), (x, 1.0))
        assert (whole, real.startswith("float")) == ("int32", True)
        flag = value(2, dtype="bool")
        assert dtypes(memory, ops.add, (flag, True), (flag, 1)) == ["bool", "int32"]
        assert dtypes(memory, ops.add, (flag, 1), (flag, True)) == ["int32", "bool"]
        assert len({said(x) for x in (1, 1.0, True, 1 + 0j, "1", b"1", np.int32(1), np.float32(1))}) == 8
        assert said(0.0) != said(-0.0)
        assert said(float("nan")) == said(float("nan"))

    def test_structures_that_are_equal(self):
        kinds = ((1, 2), [1, 2], (1, 2.0), slice(1, 2), {1: 2}, {2: 1}, {True: 2}, np.array([1, 2]))
        assert len(set(map(said, kinds))) == len(kinds)
        assert said(np.zeros(2, "int32")) != said(np.zeros(1, "int64"))

    def test_numbers_in_arrays(self):
        assert said(np.array([0, 1])) != said(np.array([1, 0]))

    def test_free_sizes(self, memory):
        """They are not what they are called, but their examples."""
        for first, second in ((3, 5), (3, 7), (4, 5)):
            specs = memory.of_call(ops.tanh, (value(free(first, second)),), {})
            assert [s.shape for s in specs] == [(first,), (second,)]
        assert [s.shape for s in memory.of_call(ops.tanh, (value(3),), {})] == [(3,)]

    def test_sizes_among_the_arguments(self, memory):
        for first, second in ((2, 3), (2, 1)):
            specs = memory.of_call(ops.reshape, (value(6), (free(first, second), -1)), {})
            assert [s.shape for s in specs] == [(first, 6 // first), (second, 6 // second)]

    def test_what_surrounds_a_call(self, memory):
        x = value(2, dtype="int32")
        before = keras.config.floatx()
        (usual,) = dtypes(memory, ops.one_hot, (x, 3))
        try:
            keras.config.set_floatx("float16")
            (half,) = dtypes(memory, ops.one_hot, (x, 3))
        finally:
            keras.config.set_floatx(before)
        assert (usual, half) == ("float32", "float16")

    def test_where_channels_are(self, memory):
        image, before = (value(1, 4, 6, 8),), keras.config.image_data_format()
        shapes = {}
        try:
            for chosen in ("channels_last", "channels_first"):
                keras.config.set_image_data_format(chosen)
                shapes[chosen] = memory.of_call(ops.max_pool, (*image, 2), {})[0].shape
        finally:
            keras.config.set_image_data_format(before)
        assert shapes == {"channels_last": (1, 2, 3, 8), "channels_first": (1, 4, 3, 4)}

    def test_what_fails_is_asked_again(self, memory, inferred):
        for _ in range(2):
            with pytest.raises(Exception, match=r"(?s)."):
                memory.of_call(ops.reshape, (value(6), (4,)), {})
        assert len(inferred) == 2

    def test_what_is_not_known(self, memory, inferred):
        """A function among the arguments may give anything."""
        for _ in range(2):
            memory.of_call(lambda x, f: f(x), (value(2), ops.tanh), {})
        assert len(inferred) == 2


class TestLayers:
    def test_alike(self, memory, inferred):
        for _ in range(3):
            layer = built(keras.layers.Dense(4, "relu"), 3)
            assert memory.of_layer(layer, (value(2, 3),), {})[0].shape == (2, 4)
        assert len(inferred) == 1

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (lambda: keras.layers.Dense(4), lambda: keras.layers.Dense(5)),
            (lambda: keras.layers.Dense(4), lambda: keras.layers.Dense(4, dtype="float16")),
            (lambda: keras.layers.Dense(4), lambda: keras.layers.Dense(4, dtype="mixed_float16")),
            (lambda: keras.layers.Embedding(9, 4), lambda: keras.layers.Embedding(9, 5)),
            (lambda: keras.layers.Reshape((3, 1)), lambda: keras.layers.Reshape((1, 3))),
            (lambda: keras.layers.Permute((1,)), lambda: keras.layers.Flatten()),
            (lambda: keras.layers.LSTM(2), lambda: keras.layers.LSTM(3)),
        ],
    )
    def test_unlike(self, memory, one, other):
        def shapes(layer, remembered):
            shape = (2, 3, 3) if isinstance(layer, keras.layers.RNN) else (2, 3)
            layer.build((None, *shape[1:]))
            infer = remembered.of_layer if remembered else inference.infer_layer
            return infer(layer, (value(*shape),), {})

        for make in (one, other, one):
            assert shapes(make(), memory) == shapes(make(), None)

    def test_one_that_says_something_else(self, memory):
        """What is set on a layer object is no part of its config."""
        usual, other = built(keras.layers.Dense(4), 3), built(keras.layers.Dense(4), 3)
        other.compute_output_spec = lambda x: keras.KerasTensor((2, 7))
        shapes = [memory.of_layer(layer, (value(2, 3),), {})[0].shape for layer in (usual, other)]
        assert shapes == [(2, 4), (2, 7)]

    def test_one_of_the_user(self, memory):
        class Growing(keras.layers.Dense):
            calls = 0

            def compute_output_spec(self, x):
                Growing.calls += 1
                return keras.KerasTensor((2, Growing.calls))

        layer = built(Growing(4), 3)
        assert [memory.of_layer(layer, (value(2, 3),), {})[0].shape[1] for _ in range(2)] == [1, 2]


class Block(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(3)

    def call(self, x):
        return x + self.dense(ops.tanh(x))


class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.blocks = [Block() for _ in range(6)]

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        return x


def test_of_a_network(inferred):
    """Of six blocks as many calls are inferred as of one."""
    result = kerasfx.prepare_model(Net(), keras.Input((3,)), verify=False)
    assert len(result.layers) == 19
    assert [f for f in inferred if f is ops.tanh or f is ops.add] == [ops.tanh, ops.add]
    assert len(inferred) < 6

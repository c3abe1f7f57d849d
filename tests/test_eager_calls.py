"""A layer of a function runs at once where Keras has nothing to ask; where it has, it is asked."""

import contextlib

import keras
import numpy as np
import pytest
from keras import ops

import kerasfx
from kerasfx.keras_api import eager_calls
from kerasfx.keras_api.replacing import Replaced, replace

pytestmark = pytest.mark.any_keras

BACKEND = keras.backend.backend()


@pytest.fixture
def layer():
    """The layer of a function, built."""
    return flat(lambda x: ops.flip(x, axis=1)).layers[-1]


def flat(call):
    """A prepared model of what is not built into Keras."""
    cls = type("Net", (keras.layers.Layer,), {"call": lambda self, x: call(x)})
    return kerasfx.prepare_model(cls(), keras.Input((4,)), lower=False, verify=False)


@pytest.fixture
def asked(monkeypatch):
    """The layers of which Keras was asked."""
    with looked_at() as found:
        calls = keras.Layer.__call__, keras.Operation.__call__
        monkeypatch.setattr(eager_calls, "_calls_of_keras", calls)
        yield found


@contextlib.contextmanager
def looked_at():
    """Collects the layers whose `Layer.__call__` runs."""
    found = []
    original = keras.Layer.__call__

    def call(self, *args, **kwargs):
        found.append(self)
        return original(self, *args, **kwargs)

    with Replaced(lambda: replace(keras.Layer, "__call__", call)):
        yield found


def tensor(shape=(2, 4)):
    return ops.convert_to_tensor(np.arange(np.prod(shape), dtype="float32").reshape(shape))


def test_a_tensor_goes_to_the_function_at_once(layer, asked):
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(tensor())), [[3, 2, 1, 0], [7, 6, 5, 4]])
    assert asked == []


def test_so_do_several(asked):
    two = flat(lambda x: ops.cross(x[:, :3], x[:, 1:])).layers[-1]
    xs = [tensor((2, 3)), tensor((2, 3)) * 2 + 1]
    del asked[:]
    assert ops.shape(two(xs)) == (2, 3)
    assert asked == []


class TestKerasIsAsked:
    def test_where_a_call_is_symbolic(self, layer, asked):
        assert isinstance(layer(keras.KerasTensor((None, 4))), keras.KerasTensor)
        assert asked == [layer]

    def test_about_what_is_no_tensor_yet(self, layer, asked):
        layer(np.ones((2, 4), "float32"))
        assert asked == [layer]

    def test_where_weights_are_cast(self, layer, asked):
        with keras.src.backend.AutocastScope("float16"):
            layer(tensor())
        assert asked == [layer]

    def test_where_outputs_are_punished(self, layer, asked):
        layer.activity_regularizer = keras.regularizers.L2(1.0)
        layer(tensor())
        assert asked == [layer]
        assert len(layer.losses) == 1

    def test_about_what_is_wrong(self, layer):
        with pytest.raises(Exception, match=r"Exception encountered when calling Flip"):
            layer(tensor((4,)))

    def test_where_somebody_looks(self, layer):
        with looked_at() as found:
            layer(tensor())
        assert found == [layer]

    @pytest.mark.skipif(BACKEND == "torch", reason="nothing is compiled by itself")
    def test_where_a_call_is_compiled(self, layer, asked):
        if BACKEND == "jax":
            import jax

            jax.jit(layer)(tensor())
        else:
            import tensorflow as tf

            tf.function(layer)(tensor())
        assert asked == [layer]

    @pytest.mark.skipif(BACKEND != "torch", reason="hooks of PyTorch")
    @pytest.mark.parametrize("where", ["layer", "all modules"])
    def test_where_a_hook_of_torch_waits(self, layer, where):
        import torch

        found = []
        register = {
            "layer": layer.register_forward_hook,
            "all modules": torch.nn.modules.module.register_module_forward_hook,
        }[where]
        handle = register(lambda module, args, output: found.append(module))
        layer(tensor())
        handle.remove()
        assert layer in found


def test_layers_of_functions_are_differentiated_as_before():
    """A weight among the arguments of a function is trained by a step of `fit`."""

    class Scaled(keras.Model):
        def build(self, shape):
            self.scale = self.add_weight(shape=(4,), initializer="ones")

        def call(self, x):
            return ops.flip(x * self.scale, axis=1)

    model = Scaled()
    model(tensor())
    prepared = kerasfx.prepare_model(model, keras.Input((4,)), lower=False)
    assert kerasfx.compare(model, prepared)
    for each in (model, prepared):
        # JAX does not multiply an array of NumPy with what it differentiates.
        each.compile("sgd", "mse", run_eagerly=BACKEND != "jax")
        each.fit(np.ones((2, 4), "float32"), np.zeros((2, 4), "float32"), verbose=0)
    trained = [ops.convert_to_numpy(m.trainable_variables[0]) for m in (model, prepared)]
    np.testing.assert_array_equal(*trained)
    assert not np.array_equal(trained[0], np.ones(4))

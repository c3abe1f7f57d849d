"""Layers with LoRA, quantized layers and dtype policies keep mode, variables and numbers."""

import keras
import numpy as np
import pytest
from predicting import predicted
from zoo.case import VOCABULARY, floats, tokens

import kerasfx

# What Keras says of layers that it has no such mode for, an InputLayer for one.
pytestmark = [
    pytest.mark.any_keras,
    pytest.mark.filterwarnings("ignore:Layer .* does not have a .quantize. method:UserWarning"),
    pytest.mark.filterwarnings("ignore:Invalid quantization mode:UserWarning"),
]

LAYERS = {
    "Dense": lambda: keras.layers.Dense(8, bias_initializer="random_normal"),
    "EinsumDense": lambda: keras.layers.EinsumDense("abc,cd->abd", (None, 8), bias_axes="d"),
    "Embedding": lambda: keras.layers.Embedding(VOCABULARY, 8),
}


class Scaled(keras.layers.Layer):
    """A custom layer around a built-in one."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def build(self, shape):
        self.inner.build(shape)

    def call(self, x):
        return self.inner(x) * 2.0


class Net(keras.Model):
    """A custom layer and a Dense layer."""

    def __init__(self, inner):
        super().__init__()
        self.block, self.head = Scaled(inner), keras.layers.Dense(3, bias_initializer="random_normal")

    def call(self, x):
        return self.head(self.block(x))


def called(name):
    """A model around the layer of this name, and what it was called with."""
    keras.utils.set_random_seed(1)
    inner = LAYERS[name]()
    x = tokens(3, 5) if name == "Embedding" else floats(3, 5, 8)
    model = Net(inner)
    model(x)
    return model, x


def use_lora(layer):
    """Give `layer` LoRA weights that matter."""
    layer.enable_lora(2)
    weight = layer.lora_embeddings_b if isinstance(layer, keras.layers.Embedding) else layer.lora_kernel_b
    weight.assign(np.random.default_rng(1).standard_normal(weight.shape))


def prepared(model, x):
    """The model prepared from `model`, with the layer in question; the oracle calls them equivalent."""
    result = kerasfx.prepare_model(model, x)
    assert not kerasfx.report(result).opaque
    comparison = kerasfx.compare(model, result, inputs=x, samples=1)
    assert comparison, str(comparison)
    [layer] = [layer for layer in result.layers if type(layer) is type(model.block.inner)][:1]
    assert len(layer.variables) == len(model.block.inner.variables)
    return result, layer


def expect_equal_when_loaded(result, x, path):
    result.save(path / "model.keras")
    loaded = keras.models.load_model(path / "model.keras")
    np.testing.assert_array_equal(predicted(loaded, x), predicted(result, x))


@pytest.mark.parametrize("name", LAYERS)
def test_lora(name, tmp_path):
    model, x = called(name)
    use_lora(model.block.inner)
    result, layer = prepared(model, x)
    assert layer.lora_rank == 2
    assert layer.lora_enabled
    expect_equal_when_loaded(result, x, tmp_path)


# Packed alike on each backend, as the einsum is in int8.
INT4 = pytest.param("EinsumDense", "int4", marks=pytest.mark.any_backend)
MODES = [*((name, "int8") for name in LAYERS), INT4, ("Dense", "float8")]


@pytest.mark.parametrize(("name", "mode"), MODES)
def test_quantized_before(name, mode, tmp_path):
    model, x = called(name)
    model.quantize(mode)
    result, layer = prepared(model, x)
    assert layer.quantization_mode == model.block.inner.quantization_mode
    assert result.layers[-1].quantization_mode == mode
    expect_equal_when_loaded(result, x, tmp_path)


@pytest.mark.parametrize("name", LAYERS)
def test_quantized_before_with_lora(name):
    """Saving is left out: Keras merges the LoRA weights into the integers then, and rounds, in any model."""
    model, x = called(name)
    model.quantize("int8")
    use_lora(model.block.inner)
    _, layer = prepared(model, x)
    assert (layer.quantization_mode, layer.lora_rank) == ("int8", 2)


@pytest.mark.parametrize(("name", "mode"), MODES[:-1])
def test_quantized_afterwards(name, mode):
    """The result can be quantized as the original can."""
    model, x = called(name)
    result = kerasfx.prepare_model(model, x)
    for each in (model, result):
        each.quantize(mode)
    np.testing.assert_array_equal(predicted(result, x), predicted(model, x))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "int8_from_float32"])
def test_dtype_policies_stay(policy, tmp_path):
    inner = keras.layers.Dense(8, dtype=policy)
    model, x = Net(inner), floats(3, 5, 8)
    model(x)
    result, layer = prepared(model, x)
    assert layer.dtype_policy.name == inner.dtype_policy.name
    expect_equal_when_loaded(result, x, tmp_path)


def test_shared_weights_share_the_mode():
    model, x = called("Dense")
    model.quantize("int8")
    result = kerasfx.prepare_model(model, x, weights="share")
    np.testing.assert_array_equal(predicted(result, x), predicted(model, x))
    assert model.block.inner in result.layers

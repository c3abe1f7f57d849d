"""What normalizes by hand, or by a function of Keras, becomes a normalization layer."""

import keras
import pytest
from keras import ops
from lowering import lines

import kerasfx
from kerasfx.passes import to_normalizations
from kerasfx.passes.lower.rule import Lowering

BACKEND = keras.backend.backend()
EPS = 1e-5


class Call(keras.Model):
    """A model whose `call` is a function of it and x: `w` and `b` are weights of the last axis."""

    def __init__(self, function, dtype=None, **of_weights):
        super().__init__(name="net", dtype=dtype)
        self.function = function
        self.of_weights = of_weights

    def build(self, shape):
        for k, name in enumerate("wb"):
            initializer = keras.initializers.RandomUniform(0.5, 1.5, seed=k)
            weight = self.add_weight((shape[-1],), initializer, name=name, **self.of_weights)
            setattr(self, name, weight)

    def call(self, x):
        return self.function(self, x)


def squares(x):
    """Mean of the squares, and epsilon."""
    return ops.mean(ops.square(x), axis=-1, keepdims=True) + EPS


def single(x):
    """In float32."""
    return ops.cast(x, "float32")


def statistics(x, axis=-1):
    """Mean, and variance raised by epsilon."""
    mean, variance = ops.moments(x, axes=[axis], keepdims=True)
    return mean, variance + EPS


def as_keras(m, x):
    """Layer normalization in the steps of Keras."""
    mean, variance = statistics(x)
    inverse = ops.rsqrt(variance) * m.w
    return x * inverse + (-mean * inverse + m.b)


def layer_norm(m, x):
    """Layer normalization as papers write it."""
    mean, variance = statistics(x)
    return (x - mean) / ops.sqrt(variance) * m.w + m.b


def by_differences(m, x):
    """The same, of the squares of differences."""
    centered = x - ops.mean(x, axis=-1, keepdims=True)
    variance = ops.mean(centered**2, axis=-1, keepdims=True)
    return m.b + m.w * centered * ops.rsqrt(variance + EPS)


def by_var(m, x):
    """The same by `var`, without weights."""
    return (x - ops.mean(x, -1, keepdims=True)) / ops.sqrt(ops.var(x, -1, keepdims=True) + EPS)


def in_single(m, x):
    """A half that is normalized in float32."""
    h = single(x)
    return ops.cast(h * ops.rsqrt(squares(h)) * single(m.w), x.dtype)


def as_llama(m, x):
    """A half that is normalized in float32, and scaled as a half."""
    h = single(x)
    return m.w * ops.cast(h * ops.rsqrt(squares(h)), x.dtype)


RMS = "RMSNormalization(epsilon=1e-05)(%x, weights={scale: %w})"
LAYER_NORM = "LayerNormalization(epsilon=1e-05)(%x, weights={gamma: %w, beta: %b})"

EXACT = {
    "rms": (lambda m, x: x * ops.rsqrt(squares(x)) * m.w, RMS),
    "rms, weight first": (lambda m, x: m.w * (x * ops.rsqrt(squares(x))), RMS),
    "rms function": (lambda m, x: ops.rms_normalization(x, m.w, epsilon=EPS), RMS),
    "rms function, default": (
        lambda m, x: ops.rms_normalization(x, m.w),
        "RMSNormalization(epsilon=1e-07)(%x, weights={scale: %w})",
    ),
    "layer norm function": (lambda m, x: ops.layer_normalization(x, m.w, m.b, epsilon=EPS), LAYER_NORM),
    "layer norm function, no beta": (
        lambda m, x: ops.layer_normalization(x, gamma=m.w, epsilon=EPS),
        "LayerNormalization(epsilon=1e-05, center=False)(%x, weights={gamma: %w})",
    ),
    "layer norm function, two axes": (
        lambda m, x: ops.layer_normalization(x, axis=(1, 2), epsilon=EPS) * m.w,
        "LayerNormalization(epsilon=1e-05, axis=[1, 2], scale=False, center=False)(%x)",
    ),
    "unit": (lambda m, x: ops.normalize(x, axis=-1), "UnitNormalization(axis=2)(%x)"),
}
FAST = {
    "rms, root": (lambda m, x: x / ops.sqrt(squares(x)) * m.w, RMS),
    "rms, one over root": (
        lambda m, x: x * (1.0 / ops.sqrt(squares(x))) * m.w,
        RMS,
    ),
    "rms, product": (
        lambda m, x: x * ops.rsqrt(ops.mean(x * x, axis=-1, keepdims=True) + EPS) * m.w,
        RMS,
    ),
    "rms, scale first": (lambda m, x: x * (ops.rsqrt(squares(x)) * m.w), RMS),
    "layer norm": (layer_norm, LAYER_NORM),
    "layer norm, differences": (by_differences, LAYER_NORM),
    "layer norm, var": (by_var, "LayerNormalization(epsilon=1e-05, scale=False, center=False)(%x)"),
    "unit, division": (
        lambda m, x: x / ops.maximum(ops.norm(x, axis=-1, keepdims=True), 1e-12),
        "UnitNormalization(axis=2)(%x)",
    ),
}
LEFT = {
    "mean of the batch": lambda m, x: x * ops.rsqrt(ops.mean(ops.square(x), 0, keepdims=True) + EPS) * m.w,
    "another axis": lambda m, x: x * ops.rsqrt(ops.mean(ops.square(x), 1, keepdims=True) + EPS) * m.w,
    "squares of something else": lambda m, x: x * ops.rsqrt(squares(ops.tanh(x))) * m.w,
    "one plus the weight": lambda m, x: x * ops.rsqrt(squares(x)) * (1.0 + m.w),
    "scaled by a result": lambda m, x: x * ops.rsqrt(squares(x)) * ops.tanh(x),
    "a part is used elsewhere": lambda m, x: (lambda r: x * r * m.w + r)(ops.rsqrt(squares(x))),
    "epsilon beside the root": lambda m, x: x / (ops.sqrt(squares(x)) + EPS) * m.w,
    "no epsilon under the norm": lambda m, x: x / ops.norm(x, axis=-1, keepdims=True),
    "a weight that is used elsewhere": lambda m, x: x * ops.rsqrt(squares(x)) * m.w + m.w,
    "layer norm of an inner axis": lambda m, x: (x - statistics(x, 1)[0]) / ops.sqrt(statistics(x, 1)[1]),
    "unit of two axes": lambda m, x: ops.normalize(x, axis=-1, order=1),
}


def lowered(function, fast=False, dtype=None, shape=(None, 3, 4), **of_weights):
    """What each node calls after the pass, and whether it changed anything."""
    model = Call(function, dtype, **of_weights)
    x = keras.Input(batch_shape=shape, dtype=model.compute_dtype, name="x")
    graph = kerasfx.trace(model, x).graph
    graph.meta[Lowering] = Lowering(fast)
    changed = to_normalizations(graph)
    graph.check()
    assert not to_normalizations(graph)
    return lines(graph), changed


@pytest.mark.any_keras
@pytest.mark.parametrize("name", EXACT)
def test_is_replaced(name):
    function, after = EXACT[name]
    assert after in lowered(function)[0]
    assert lowered(function, shape=(None, None, 4))[1] or "axes" in name


@pytest.mark.any_keras
@pytest.mark.parametrize("name", FAST)
def test_is_replaced_by_fast_alone(name):
    function, after = FAST[name]
    assert not lowered(function)[1]
    assert after in lowered(function, fast=True)[0]


@pytest.mark.any_keras
@pytest.mark.parametrize("name", LEFT)
def test_is_left(name):
    assert not lowered(LEFT[name], fast=True)[1]


@pytest.mark.any_keras
def test_the_steps_of_keras_are_those_of_the_layer_where_it_takes_them():
    assert lowered(as_keras)[1] == (BACKEND != "torch")


@pytest.mark.any_keras
@pytest.mark.parametrize("dtype", ["float16", "mixed_bfloat16"])
def test_a_half_is_normalized_in_float32(dtype):
    plain = EXACT["rms"][0]
    assert not lowered(plain, fast=True, dtype=dtype)[1]
    assert any(line.startswith("RMSNormalization") for line in lowered(in_single, dtype=dtype)[0])
    assert not lowered(as_llama, dtype=dtype)[1]
    assert any(line.startswith("RMSNormalization") for line in lowered(as_llama, True, dtype=dtype)[0])


@pytest.mark.any_keras
def test_a_rounded_weight_is_none_of_a_layer_that_does_not_round():
    function = EXACT["layer norm function"][0]
    # LayerNormalization reads its weights in float32 whatever the policy is.
    assert not lowered(function, dtype="mixed_float16")[1]
    assert lowered(function, dtype="mixed_float16", autocast=False)[1]
    assert lowered(function, dtype="float16")[1]


@pytest.mark.any_keras
def test_a_layer_without_regularizers_does_not_take_a_weight_that_has_one():
    assert not lowered(EXACT["rms function"][0], regularizer="l2")[1]
    assert lowered(EXACT["layer norm function"][0], regularizer="l2")[1]


class Stack(keras.Model):
    """All spellings one after the other, each a residual."""

    def __init__(self, functions, dtype=None):
        super().__init__(name="stack", dtype=dtype)
        self.parts = [Call(f, dtype) for f in functions]

    def call(self, x):
        # `fit` on JAX calls it without the cast that a layer does.
        x = ops.cast(x, self.compute_dtype)
        for part in self.parts:
            x = x + part(x)
        return x


@pytest.mark.parametrize("dtype", [None, "mixed_bfloat16"])
def test_means_the_same(dtype, tmp_path):
    steps = () if BACKEND == "torch" else (as_keras,)
    functions = [*(f for f, _ in EXACT.values()), in_single, *steps]
    if dtype:
        # Of functions that stay, gradients in halves are summed in another order, lowered or not.
        functions = [EXACT["rms function"][0], in_single]
    model = Stack(functions, dtype)
    prepared = kerasfx.prepare_model(model, keras.Input((3, 4)))
    kinds = [type(layer).__name__ for layer in prepared.layers]
    assert kinds.count("RMSNormalization") == (2 if dtype else 5)
    comparison = kerasfx.compare(model, prepared, samples=1)
    assert comparison.exact, str(comparison)
    prepared.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x = keras.random.normal((2, 3, 4), seed=0)
    assert ops.convert_to_numpy(ops.all(loaded(x) == prepared(x)))


def test_means_the_same_within_rounding():
    model = Stack([f for f, _ in FAST.values()])
    prepared = kerasfx.prepare_model(model, keras.Input((None, 4)), lower="fast")
    comparison = kerasfx.compare(model, prepared, samples=1)
    assert comparison, str(comparison)
    assert len(kerasfx.report(prepared).of_kind("inexact")) == 3


@pytest.mark.any_keras
def test_behind_a_mask():
    ids = keras.Input((5,), dtype="int32", name="ids")
    h = Call(EXACT["rms"][0])(keras.layers.Embedding(7, 4, mask_zero=True)(ids))
    model = keras.Model(ids, keras.layers.SimpleRNN(2)(h))
    prepared = kerasfx.prepare_model(model)
    assert "RMSNormalization" in [type(layer).__name__ for layer in prepared.layers]
    assert kerasfx.compare(model, prepared, samples=1, gradients=False)

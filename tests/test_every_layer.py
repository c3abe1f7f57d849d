"""Every layer of Keras, in every form it can have, is prepared, copied, saved and loaded with all it holds.

The list is held against `keras.layers`: a layer that Keras adds has no case here, and the first test fails.
Several layers share a model, one next to the other, because preparing takes longer than computing.
"""

import inspect
import json

import keras
import numpy as np
import pytest
from keras import ops
from predicting import predicted

import kerasfx
from kerasfx.errors import UnsupportedOperationError
from kerasfx.keras_api.foreign import KINDS

# What Keras does inside of some layers, on JAX and on PyTorch.
pytestmark = [
    pytest.mark.any_backend,
    *(
        pytest.mark.filterwarnings(f"ignore:.*{what}:UserWarning")
        for what in ("dtype int64 requested", "Tensor.T is deprecated")
    ),
]
L = keras.layers
BACKEND = keras.backend.backend()
random = np.random.default_rng(0)
FLAT = random.standard_normal((2, 4)).astype("float32")
STEPS = random.standard_normal((2, 6, 4)).astype("float32")
IMAGE = random.random((2, 8, 8, 3)).astype("float32")
VOLUME = random.standard_normal((2, 4, 4, 4, 2)).astype("float32")
CLIPS = random.standard_normal((2, 3, 4, 4, 2)).astype("float32")
SCANS = random.standard_normal((2, 3, 4, 4, 4, 1)).astype("float32")
SOUND = random.standard_normal((2, 256)).astype("float32")
IDS = np.array([[1, 2, 3, 0], [4, 1, 0, 0]], "int32")

PICTURES = [
    *(L.AugMix, L.AutoContrast, L.RandAugment, L.RandomGrayscale),
    *(L.RandomColorJitter, L.RandomElasticTransform, L.RandomErasing, L.RandomFlip, L.RandomGaussianBlur),
    *(L.RandomInvert, L.RandomPerspective, L.RandomShear, L.Solarization, L.CutMix, L.MixUp),
]
OF_FACTOR = [
    *(L.RandomBrightness, L.RandomContrast, L.RandomHue, L.RandomPosterization, L.RandomRotation),
    *(L.RandomSaturation, L.RandomSharpness, L.RandomColorDegeneration),
]
POOLING = [
    *(L.AveragePooling1D, L.MaxPooling1D, L.AveragePooling2D, L.MaxPooling2D),
    *(L.AveragePooling3D, L.MaxPooling3D, L.GlobalAveragePooling1D, L.GlobalMaxPooling1D),
    *(L.GlobalAveragePooling2D, L.GlobalMaxPooling2D, L.GlobalAveragePooling3D, L.GlobalMaxPooling3D),
]
ADAPTIVE = [
    *(L.AdaptiveAveragePooling1D, L.AdaptiveMaxPooling1D, L.AdaptiveAveragePooling2D),
    *(L.AdaptiveMaxPooling2D, L.AdaptiveAveragePooling3D, L.AdaptiveMaxPooling3D),
]
BY_RANK = {"1D": STEPS, "2D": IMAGE, "3D": VOLUME}

CASES = [
    *((cls, {}, IMAGE) for cls in PICTURES),
    *((cls, {"factor": 3 if cls is L.RandomPosterization else 0.5}, IMAGE) for cls in OF_FACTOR),
    *((cls, {"pool_size": 2}, BY_RANK[cls.__name__[-2:]]) for cls in POOLING[:6]),
    *((cls, {}, BY_RANK[cls.__name__[-2:]]) for cls in POOLING[6:]),
    *((cls, {"output_size": 2}, BY_RANK[cls.__name__[-2:]]) for cls in ADAPTIVE),
    *((cls, {}, [STEPS, STEPS + 1]) for cls in (L.Add, L.Average, L.Concatenate, L.Maximum, L.Minimum)),
    *((cls, {}, [STEPS, STEPS + 1]) for cls in (L.Multiply, L.Subtract)),
    *((cls, {}, [STEPS, STEPS + 1]) for cls in (L.Attention, L.AdditiveAttention)),
    *((cls, {}, FLAT) for cls in (L.ELU, L.Flatten, L.Identity, L.LeakyReLU, L.PReLU, L.ReLU, L.Softmax)),
    *((cls, {"rate": 0.5}, FLAT) for cls in (L.AlphaDropout, L.Dropout, L.GaussianDropout)),
    *((getattr(L, f"SpatialDropout{d}"), {"rate": 0.5}, x) for d, x in BY_RANK.items()),
    *((getattr(L, f"Cropping{d}"), {"cropping": 1}, x) for d, x in BY_RANK.items()),
    *((getattr(L, f"ZeroPadding{d}"), {"padding": 1}, x) for d, x in BY_RANK.items()),
    *((getattr(L, f"UpSampling{d}"), {"size": 2}, x) for d, x in BY_RANK.items()),
    *((getattr(L, f"Conv{d}"), {"filters": 2, "kernel_size": 2}, x) for d, x in BY_RANK.items()),
    *((getattr(L, f"Conv{d}Transpose"), {"filters": 2, "kernel_size": 2}, x) for d, x in BY_RANK.items()),
    *((getattr(L, f"DepthwiseConv{d}"), {"kernel_size": 2}, BY_RANK[d]) for d in ("1D", "2D")),
    *((getattr(L, f"SeparableConv{d}"), {"filters": 2, "kernel_size": 2}, BY_RANK[d]) for d in ("1D", "2D")),
    (L.ConvLSTM1D, {"filters": 1, "kernel_size": 2}, CLIPS[:, :, 0]),
    (L.ConvLSTM2D, {"filters": 1, "kernel_size": 2}, CLIPS),
    (L.ConvLSTM3D, {"filters": 1, "kernel_size": 2}, SCANS),
    (L.Activation, {"activation": "tanh"}, FLAT),
    (L.ActivityRegularization, {"l2": 0.1}, FLAT),
    (L.BatchNormalization, {}, FLAT),
    (L.Bidirectional, {"layer": lambda: L.LSTM(2, return_sequences=True)}, STEPS),
    (L.CenterCrop, {"height": 4, "width": 4}, IMAGE),
    (L.ContrastLimitedAdaptiveHistogramEqualization, {"tile_grid_size": (2, 2)}, 255 * IMAGE),
    (L.CategoryEncoding, {"num_tokens": 6, "output_mode": "count"}, IDS),
    (L.Dense, {"units": 3}, FLAT),
    (L.Discretization, {"bin_boundaries": [-0.5, 0.5]}, FLAT),
    (L.Dot, {"axes": 1}, [FLAT, FLAT + 1]),
    (L.EinsumDense, {"equation": "abc,cd->abd", "output_shape": (None, 3), "bias_axes": "d"}, STEPS),
    (L.Embedding, {"input_dim": 5, "output_dim": 3}, IDS),
    (L.GRU, {"units": 3}, STEPS),
    (L.GaussianNoise, {"stddev": 0.1}, FLAT),
    (L.GroupNormalization, {"groups": 2}, FLAT),
    (L.GroupQueryAttention, {"head_dim": 2, "num_query_heads": 2, "num_key_value_heads": 1}, (STEPS, STEPS)),
    (L.LSTM, {"units": 3}, STEPS),
    (L.LayerNormalization, {}, FLAT),
    (L.Masking, {}, STEPS),
    (L.MelSpectrogram, {"fft_length": 64, "num_mel_bins": 4}, SOUND),
    (L.MultiHeadAttention, {"num_heads": 2, "key_dim": 2}, (STEPS, STEPS)),
    (L.Normalization, {"mean": 0.5, "variance": 2.0}, FLAT),
    (L.Permute, {"dims": (2, 1)}, STEPS),
    (L.Pipeline, {"layers": lambda: [L.Rescaling(2.0), L.RandomFlip(seed=1)]}, IMAGE),
    (L.RMSNormalization, {}, FLAT),
    (L.RNN, {"cell": lambda: L.GRUCell(2)}, STEPS),
    (L.RNN, {"cell": lambda: [L.LSTMCell(2), L.SimpleRNNCell(3)]}, STEPS),
    (L.RandomCrop, {"height": 4, "width": 4}, IMAGE),
    (L.RandomZoom, {"height_factor": 0.2}, IMAGE),
    (L.RandomTranslation, {"height_factor": 0.2, "width_factor": 0.2}, IMAGE),
    (L.RepeatVector, {"n": 2}, FLAT),
    (L.Rescaling, {"scale": 2.0}, FLAT),
    (L.Reshape, {"target_shape": (2, 2)}, FLAT),
    (L.Resizing, {"height": 4, "width": 4}, IMAGE),
    (L.ReversibleEmbedding, {"input_dim": 5, "output_dim": 3}, IDS),
    (L.STFTSpectrogram, {"frame_length": 32, "frame_step": 16, "fft_length": 32}, SOUND[:, :, None]),
    (L.SimpleRNN, {"units": 3}, STEPS),
    (L.SpectralNormalization, {"layer": lambda: L.Dense(3)}, FLAT),
    (L.TimeDistributed, {"layer": lambda: L.Dense(3)}, STEPS),
    (L.UnitNormalization, {}, FLAT),
]
"""Class, arguments (functions are called), inputs: a list is one argument, a tuple are several."""

OF_OTHER_TESTS = {
    *(L.StringLookup, L.IntegerLookup, L.TextVectorization, L.Hashing),  # test_copying.py
    L.Equalization,
}
WITHOUT_A_CASE = {
    *(L.TFSMLayer, L.JaxLayer, L.FlaxLayer, L.TorchModuleWrapper),
    *(L.HashedCrossing, L.MaxNumBoundingBoxes),
}
"""Around code of a backend, or not of tensors of numbers: no one has written one yet."""
INSIDE_OTHERS = {L.GRUCell, L.LSTMCell, L.SimpleRNNCell, L.StackedRNNCells}
NOT_WHOLE = {L.Layer, L.Lambda, L.InputLayer, L.InputSpec, L.Wrapper}
"""Base classes, what is no layer, and a layer around a function of the user's, which is opened."""


def test_no_layer_of_keras_is_forgotten():
    """A class that is in none of the lists of this file needs a case."""
    of_keras = {x for x in vars(L).values() if isinstance(x, type)}
    known = {cls for cls, *_ in CASES} | OF_OTHER_TESTS | WITHOUT_A_CASE | INSIDE_OTHERS | NOT_WHOLE
    assert of_keras - known == set()


# --- Models of many layers -------------------------------------------------------------------------


def made(cls, given, **more):
    """A layer of a case."""
    return cls(
        **{k: v() if getattr(v, "__name__", "") == "<lambda>" else v for k, v in given.items()}, **more
    )


class Side(keras.Model):
    """Layers side by side, each with inputs of its own."""

    def __init__(self, parts):
        super().__init__(name="side")
        self.parts = parts

    def call(self, inputs, training=None):
        found = {}
        for i, part in enumerate(self.parts):
            x = inputs[f"x{i}"]
            kwargs = {"training": training} if "training" in inspect.signature(part.call).parameters else {}
            found[f"y{i}"] = part(*x, **kwargs) if isinstance(x, tuple) else part(x, **kwargs)
        return found


def side_by_side(cases, **more):
    """A model of layers that have been used, and its inputs."""
    inputs = {f"x{i}": x for i, (*_, x) in enumerate(cases)}
    model = Side([made(cls, given, **more) for cls, given, _ in cases])
    for part, x in zip(model.parts, inputs.values(), strict=True):
        part(*x) if isinstance(x, tuple) else part(x)
    model(inputs)
    disturb(model)
    predicted(model, inputs, training=True)
    return model, inputs


def disturb(model):
    """Give every float weight another value than it began with."""
    for v in model.variables:
        if "float" in v.dtype:
            v.assign(v.value * 1.25 + 0.05)


def check(model, inputs, tmp_path, exact=True, stateful=False):
    """Both ways to prepare, and what a file gives back, compute what the original does, to the bit."""
    kinds = [type(part).__name__ for part in model.parts]
    expected = outcome(model, inputs)
    for weights in ("copy", "share"):
        prepared = kerasfx.prepare_model(model, inputs, weights=weights, verify=False)
        file = tmp_path / f"{weights}.keras"
        prepared.save(file)
        for name, each in ((weights, prepared), ("loaded", keras.models.load_model(file))):
            found = outcome(each, inputs)
            for i, kind in enumerate(kinds):
                same(found[f"y{i}"], expected[f"y{i}"], f"{kind}, {name}", exact)
            np.testing.assert_allclose(found["losses"], expected["losses"], rtol=1e-5, err_msg=name)
        assert len(prepared.trainable_weights) == len(model.trainable_weights)
    return prepared


def outcome(model, inputs):
    outputs = dict(predicted(model, inputs, training=False))
    return outputs | {"losses": sum(float(ops.convert_to_numpy(x)) for x in model.losses)}


def same(found, expected, what, exact):
    exact = exact and BACKEND != "torch"  # its kernels for matrices depend on where the arrays lie
    for a, b in zip(keras.tree.flatten(found), keras.tree.flatten(expected), strict=True):
        if exact or not np.issubdtype(b.dtype, np.floating):
            np.testing.assert_array_equal(a, b, err_msg=what)
        else:
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6, err_msg=what)


CHUNK = 13
CHUNKS = [CASES[i : i + CHUNK] for i in range(0, len(CASES), CHUNK)]
WEIGHTED = [case for case in CASES if set(inspect.signature(case[0]).parameters) & {"kernel_initializer"}]
WEIGHTED += [case for case in CASES if case[0] in (L.BatchNormalization, L.Embedding, L.PReLU)]


@pytest.mark.parametrize("cases", CHUNKS, ids=[chunk[0][0].__name__ for chunk in CHUNKS])
def test_a_layer_that_was_used(cases, tmp_path):
    check(*side_by_side(cases), tmp_path)


def test_a_layer_that_is_frozen(tmp_path):
    """As a whole, or some of its weights."""
    model, inputs = side_by_side(WEIGHTED)
    for part in model.parts[::2]:
        part.trainable = False
    for part in model.parts[1::2]:
        part.trainable_variables[0].trainable = False
    check(model, inputs, tmp_path)


QUANTIZED = [
    case for case in CASES if case[0] in (L.Dense, L.EinsumDense, L.Embedding, L.ReversibleEmbedding)
]
WITH_LORA = [case for case in CASES if hasattr(case[0], "enable_lora")]


@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_a_quantized_layer(mode, tmp_path):
    model, inputs = side_by_side(QUANTIZED)
    for part in model.parts:
        part.quantize(mode)
    check(model, inputs, tmp_path)


def test_a_layer_with_lora(tmp_path):
    """A file holds the sum of a kernel and its deltas, so what it gives back is equal within rounding."""
    model, inputs = side_by_side(WITH_LORA)
    for part in model.parts:
        part.enable_lora(2)
    disturb(model)
    check(model, inputs, tmp_path, exact=False)


# --- Functions of the user's in every argument that takes one ---------------------------------------


class Mine(keras.initializers.Initializer):
    def __call__(self, shape, dtype=None, **kwargs):
        return 0.5 * ops.ones(shape, dtype)


class Ortho(keras.regularizers.Regularizer):
    """Depends on the shape, and needs an array that is too large for a config."""

    def __call__(self, x):
        x = ops.reshape(x, (-1, x.shape[-1]))
        gram = ops.matmul(ops.transpose(x), x)
        return 0.1 * ops.sum(ops.square(gram - ops.eye(x.shape[-1], dtype=x.dtype)))


class Activity(keras.regularizers.Regularizer):
    def __call__(self, x):
        return 0.1 * ops.mean(ops.square(x))


class Clip(keras.constraints.Constraint):
    def __call__(self, w):
        return ops.clip(w, -1, 1)


FUNCTIONS = {
    "activation": ops.gelu,
    "initializer": Mine(),
    "regularizer": Ortho(),
    "constraint": Clip(),
}


def of_the_user(cls):
    """The arguments of `cls` that take a function, each with one of the user's."""
    names = inspect.signature(cls).parameters
    given = {k: FUNCTIONS[kind] for k in names for kind in KINDS if k.endswith(kind)}
    return given | {k: Activity() for k in given if k == "activity_regularizer"}


FOREIGN = [(cls, {**given, **of_the_user(cls)}, x) for cls, given, x in CASES if of_the_user(cls)]


@pytest.mark.any_keras
@pytest.mark.parametrize("part", range(4))
def test_a_layer_with_functions_of_the_user(part, tmp_path):
    """What the file holds names none of them; activations become nodes, the others are recorded."""
    cases = FOREIGN[part::4]
    model, inputs = side_by_side(cases)
    prepared = check(model, inputs, tmp_path, exact=False)
    assert __name__ not in json.dumps(prepared.get_config(), default=str)
    assert kerasfx.report(prepared).of_kind("warning") == []


# --- What is not in the list -----------------------------------------------------------------------


def test_a_layer_that_no_functional_model_can_hold():
    """Keras itself says "part of a cycle"."""
    with pytest.raises(UnsupportedOperationError, match="cannot stand in any Functional model") as caught:
        kerasfx.prepare_model(Side([L.Equalization()]), {"x0": IMAGE})
    assert "where: parts[0]" in str(caught.value)


STATEFUL = [
    (L.SimpleRNN, {"units": 2}, STEPS),
    (L.GRU, {"units": 2}, STEPS),
    (L.LSTM, {"units": 2}, STEPS),
    (L.ConvLSTM2D, {"filters": 1, "kernel_size": 2}, CLIPS),
    (L.RNN, {"cell": lambda: [L.GRUCell(2), L.LSTMCell(3)]}, STEPS),
    (L.Bidirectional, {"layer": lambda: L.GRU(2, stateful=True)}, STEPS),
]


def test_a_recurrent_layer_with_a_state():
    """It goes on where the original is, call by call; a file holds no states, as that of Keras."""
    cases = [(c, g if c is L.Bidirectional else {**g, "stateful": True}, x) for c, g, x in STATEFUL]
    model, inputs = side_by_side(cases)
    symbolic = {k: keras.Input(batch_shape=x.shape, name=k) for k, x in inputs.items()}
    prepared = kerasfx.prepare_model(model, symbolic)
    shared = kerasfx.prepare_model(model, symbolic, weights="share")
    calls = [predicted(each, inputs) for each in (model, model, prepared, prepared)]
    same(calls[2:], calls[:2], "copied", exact=True)
    again = kerasfx.prepare_model(model, symbolic)
    same(predicted(shared, inputs), predicted(again, inputs), "shared", exact=True)

"""What layers hand to each other beside tensors, and what becomes of it among the outputs of the model."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from zoo.case import floats

import kerasfx
from kerasfx.comparing.measure import Tolerance, structure_difference
from kerasfx.errors import OutputNotTensorError

pytestmark = pytest.mark.any_keras

BACKEND = keras.backend.backend()
FREE = keras.Input((None, None, 3), name="x")


def images(*sizes):
    return floats(2, *sizes, 3)


class Patches(layers.Layer):
    """Tokens, and what the caller needs to know of them."""

    def __init__(self, told):
        super().__init__()
        self.told = told
        self.project = layers.Conv2D(4, 3, 2, padding="same")

    def call(self, x, training=None):
        x = self.project(x)
        batch, height, width, channels = ops.shape(x)
        tokens = ops.reshape(x, (batch, height * width, channels))
        return self.told(tokens, height, width, training)


class Net(keras.Model):
    def __init__(self, told, use):
        super().__init__()
        self.patches, self.use = Patches(told), use
        self.head = layers.Conv2D(2, 1)

    def call(self, x):
        tokens, height, width, scale = self.use(self.patches(x))
        return self.head(ops.reshape(tokens, (-1, height, width, 4))) * scale


def by_mode(tokens, height, width, training):
    """The same sizes and words from both sides of `if training:`."""
    if training:
        return tokens * 2.0, (height, width), {"scale": 3, "name": "net"}
    return tokens, (height, width), {"scale": 3, "name": "net"}


TOLD = {
    "sizes": (lambda x, h, w, training: (x, h, w), lambda got: (*got, 1)),
    "a number": (lambda x, h, w, training: (x, h, w, 0.5), lambda got: got),
    "a bool": (
        lambda x, h, w, training: (x, h, w, True),
        lambda got: (*got[:3], 2.0 if got[3] else 1.0),
    ),
    "a word": (
        lambda x, h, w, training: {"x": x, "sizes": (h, w), "scale": "double"},
        lambda got: (got["x"], *got["sizes"], {"double": 2.0}[got["scale"]]),
    ),
    "None and a dtype": (
        lambda x, h, w, training: (x, None, x.dtype, [h, w]),
        lambda got: (ops.cast(got[0], got[2]), *got[3], 1 if got[1] is None else 2),
    ),
    "an object": (
        lambda x, h, w, training: (x, slice(h, w)),
        lambda got: (got[0], got[1].start, got[1].stop, 1),
    ),
    "of both modes": (by_mode, lambda got: (got[0], *got[1], got[2]["scale"])),
}


@pytest.mark.parametrize("told", TOLD)
def test_anything_passes_between_opened_layers(told):
    model = Net(*TOLD[told])
    prepared = kerasfx.prepare_model(model, FREE)
    assert not kerasfx.report(prepared).opaque
    for sizes in ((6, 6), (8, 10)):
        for options in ({}, {"training": True}):
            got = [ops.convert_to_numpy(f(images(*sizes), **options)) for f in (model, prepared)]
            np.testing.assert_allclose(*got, rtol=1e-5, atol=1e-6)


def test_modes_that_return_unlike_numbers_to_a_model_that_makes_them_alike():
    def unlike(tokens, height, width, training):
        return (tokens, height, width, 2 if training else 1)

    model = Net(unlike, lambda got: got)
    prepared = kerasfx.prepare_model(model, FREE)
    x = np.random.default_rng(0).random((2, 5, 7, 3)).astype("float32")
    for training in (False, True):
        outputs = [ops.convert_to_numpy(f(x, training=training)) for f in (model, prepared)]
        np.testing.assert_allclose(*outputs, rtol=1e-5, atol=1e-6)


class Returning(keras.Model):
    def __init__(self, function):
        super().__init__()
        self.function, self.dense = function, layers.Dense(3)

    def call(self, x):
        return self.function(self.dense(x), x)


OUTPUTS = {
    "a size": (lambda y, x: (y, ops.shape(x)[1]), "int32"),
    "a computed size": (lambda y, x: [y, ops.shape(x)[1] // 2 + 1], "int32"),
    "a number": (lambda y, x: (y, 7), "int32"),
    "a float": (lambda y, x: (y, 0.5), "float32"),
    "a bool": (lambda y, x: {"y": y, "z": True}, "bool"),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_number_among_the_outputs_becomes_a_tensor(name, tmp_path):
    function, dtype = OUTPUTS[name]
    model = Returning(function)
    prepared = kerasfx.prepare_model(model, keras.Input((None, 4), name="x"))
    prepared.save(tmp_path / "prepared.keras")
    loaded = keras.models.load_model(tmp_path / "prepared.keras")
    x = floats(2, 6, 4)
    expected = keras.tree.flatten(model(x))[1]
    for result in (prepared, loaded):
        got = keras.tree.flatten(result(x))[1]
        assert (keras.backend.standardize_dtype(got.dtype), got.shape) == (dtype, ())
        assert ops.convert_to_numpy(got) == expected
    if BACKEND == "tensorflow":
        # What Keras itself makes of it where the model runs in a graph.
        ours, theirs = (keras.tree.flatten(m.predict(x, verbose=0))[1] for m in (prepared, model))
        assert (ours, ours.dtype) == (theirs, theirs.dtype)


@pytest.mark.parametrize("name", ["a word", "a dtype"])
def test_what_no_tensor_holds_is_left_out_and_told(name):
    model = Returning(lambda y, x: {"y": y, "z": "net" if name == "a word" else x.dtype})
    prepared = kerasfx.prepare_model(model, keras.Input((None, 4), name="x"))
    assert prepared(floats(2, 6, 4))["z"] is None
    (finding,) = kerasfx.report(prepared).of_kind("dropped")
    assert "of `call`, which is no tensor: the result has None in its place" in str(finding)


def test_the_oracle_tells_a_wrong_number_from_the_right_one():
    def differs(reference, other):
        return not structure_difference((0, reference), (0, other), Tolerance()).within

    assert not differs(7, np.int32(7))
    assert not differs("net", None)
    for reference, other in ((7, np.int32(8)), (7, np.float32(7)), (7, None), ("net", "ten"), (True, 1)):
        assert differs(reference, other)


class Kept(layers.Layer):
    """Cannot be opened, and returns a number."""

    def call(self, x):
        return x * float(np.exp(0.0)), 3 if ops.sum(x) is None else 4


def test_a_layer_that_is_kept_whole_must_not_return_numbers():
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.kept = Kept()

        def call(self, x):
            y, n = self.kept(x)
            return y * n

    with pytest.raises(OutputNotTensorError, match="Kept stays whole and returns 4"):
        kerasfx.prepare_model(Model(), keras.Input((4,)), leaves=["kept"])
    assert not kerasfx.report(kerasfx.prepare_model(Model(), keras.Input((4,)))).opaque

"""Newcomers' mistakes: each has a message of a few lines that says what, why and what to type.

The texts are written out, since they are read. What they advise is followed at the end.
"""

import dataclasses
import os
import subprocess
import sys
import textwrap
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import kerasfx
from kerasfx import errors
from kerasfx.runtime.functional import Functional

pytestmark = pytest.mark.any_keras

LINES = 8
"""Of the longest message that a newcomer reads."""

X = np.ones((2, 4), "float32")
IMAGES = np.ones((2, 8, 8, 3), "float32")


class Mlp(keras.Model):
    def __init__(self):
        super().__init__(name="mlp")
        self.dense = layers.Dense(3)

    def call(self, x):
        return self.dense(x)


class Twice(layers.Layer):
    """What keeps a Functional model from being flat already."""

    def call(self, x):
        return x * 2.0


class Forgetful(keras.Model):
    def __init__(self):
        pass

    def call(self, x):
        return x


def functional(*shapes, keys=None):
    """A Functional model with a custom layer in it."""
    inputs = [keras.Input(shape, name=name) for shape, name in zip(shapes, keys or "ab", strict=False)]
    y = sum(Twice()(layers.Flatten()(x))[:, :2] for x in inputs)
    return keras.Model(dict(zip(keys, inputs, strict=True)) if keys else inputs, y, name="net")


def prepared():
    """A model and the one prepared from it."""
    model = Mlp()
    return model, kerasfx.prepare_model(model, X, verify=False)


def of_package(package, **members):
    """An object of a package that is not installed here."""
    return type("Thing", (), {"__module__": package, **members})()


def message(call, error):
    """What `call` raises, once it is seen that it is short."""
    with pytest.raises(error) as raised:
        call()
    text = "\n".join([str(raised.value), *getattr(raised.value, "__notes__", [])])
    assert len(text.splitlines()) <= LINES, text
    return text


@dataclasses.dataclass(frozen=True)
class Mistake:
    """Something that a newcomer types, and what is said."""

    call: Callable[[], Any]
    error: type[Exception]
    says: str


def check(mistake):
    assert message(mistake.call, mistake.error) == textwrap.dedent(mistake.says).strip("\n")


NO_MODEL = errors.UnsupportedModelError
NO_INPUT = errors.InputMismatchError

# --- Something else in the place of the model ------------------------------------------------------

SUBJECTS = {
    "class": Mistake(
        lambda: kerasfx.trace(keras.layers.ReLU, X),
        NO_MODEL,
        """
        trace takes a Keras model or layer, not <class 'keras.src.layers.activations.relu.ReLU'> of type type.
          do:    make an instance: ReLU(...)
        """,
    ),
    "file": Mistake(
        lambda: kerasfx.prepare_model("net.keras", X),
        NO_MODEL,
        """
        prepare_model takes a Keras model or layer, not 'net.keras' of type str.
          do:    model = keras.saving.load_model('net.keras')
        """,
    ),
    "file of weights": Mistake(
        lambda: kerasfx.copy_weights(Path("net.weights.h5"), Mlp()),
        NO_MODEL,
        """
        copy_weights takes a Keras model or layer, not PosixPath('net.weights.h5') of type PosixPath.
          why:   such a file holds weights and no model
          do:    make the model and build it, then model.load_weights('net.weights.h5')
        """,
    ),
    "name": Mistake(
        lambda: kerasfx.explain("resnet", X),
        NO_MODEL,
        """
        explain takes a Keras model or layer, not 'resnet' of type str.
          why:   a name is no model
          do:    make or load the model, then kerasfx.explain(model, ...)
        """,
    ),
    "exchanged": Mistake(
        lambda: kerasfx.prepare_model(X, Mlp()),
        NO_MODEL,
        """
        prepare_model takes a Keras model or layer, not array([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]], \
float32) of type ndarray.
          why:   the model comes first, and behind it what it is called with
          do:    kerasfx.prepare_model(model, x)
        """,
    ),
    "tf_keras": Mistake(
        lambda: kerasfx.prepare_model(of_package("tf_keras.src.models", __call__=lambda self, x: x), X),
        NO_MODEL,
        """
        prepare_model takes a Keras model or layer, not <Thing> of type Thing.
          why:   it is a model of tf_keras (Keras 2), which kerasfx does not support yet
          do:    kerasfx.prepare_model(model, ...) with the Keras model that it was made from
        """,
    ),
    "scikit-learn": Mistake(
        lambda: kerasfx.prepare_model(of_package("sklearn.linear_model"), X),
        NO_MODEL,
        """
        prepare_model takes a Keras model or layer, not <Thing> of type Thing.
          why:   it is a model of scikit-learn, and kerasfx reads the `call` of Keras models
          do:    kerasfx.prepare_model(model, ...) with the Keras model that it was made from
        """,
    ),
    "layers": Mistake(
        lambda: kerasfx.prepare_model([layers.ReLU(name="relu")], X),
        NO_MODEL,
        """
        prepare_model takes a Keras model or layer, not [<ReLU name=relu, built=True>] of type list.
          do:    if one is called after the other: keras.Sequential([...])
        """,
    ),
    "output": Mistake(
        lambda: kerasfx.prepare_model(keras.KerasTensor((None, 2), name="y")),
        NO_MODEL,
        """
        prepare_model takes a Keras model or layer, not <KerasTensor shape=(None, 2), dtype=float32, \
sparse=False... of type KerasTensor.
          why:   it is the output of layers
          do:    keras.Model(inputs, outputs)
        """,
    ),
    "History": Mistake(
        lambda: kerasfx.prepare_model(of_package("keras.callbacks", model=Mlp()), X),
        NO_MODEL,
        """
        prepare_model takes a Keras model or layer, not <Thing> of type Thing.
          do:    it has the model as an attribute: `.model`
        """,
    ),
    "without super().__init__()": Mistake(
        lambda: kerasfx.prepare_model(Forgetful(), X),
        NO_MODEL,
        """
        `Forgetful.__init__` did not call that of Keras.
          why:   a layer is none before `super().__init__()` has run
          do:    super().__init__() as the first line of `Forgetful.__init__`
        """,
    ),
    "emit of a model": Mistake(
        lambda: kerasfx.emit(layers.ReLU(name="relu")),
        TypeError,
        """
        emit takes what kerasfx.trace returns, or a Graph, not <ReLU name=relu, built=True> of type ReLU.
          do:    kerasfx.emit(kerasfx.trace(model, x)), or kerasfx.prepare_model(model, x), which does both
        """,
    ),
    "emit of something": Mistake(
        lambda: kerasfx.emit("graph"),
        TypeError,
        """
        emit takes what kerasfx.trace returns, or a Graph, not 'graph' of type str.
          do:    kerasfx.emit(kerasfx.trace(model, x))
        """,
    ),
    "compare with a file": Mistake(
        lambda: kerasfx.compare("net.keras", layers.ReLU()),
        TypeError,
        """
        kerasfx.compare compares two Keras models or layers, but argument `a` is 'net.keras' of type str. \
Pass the original first, then the prepared model: kerasfx.compare(model, prepared).
          do:    model = keras.saving.load_model('net.keras')
        """,
    ),
    "compare the other way round": Mistake(
        lambda: kerasfx.compare(*reversed(prepared())),
        errors.NoSampleError,
        """
        kerasfx.compare was given the prepared model first.
          why:   'mlp_prepared' was prepared from 'mlp'
          do:    kerasfx.compare(model, prepared)
        """,
    ),
    "compare on a keras.Input": Mistake(
        lambda: kerasfx.compare(*prepared(), keras.Input((4,))),
        errors.NoSampleError,
        """
        kerasfx.compare calls both models, and a keras.Input holds no values. Pass arrays: \
kerasfx.compare(a, b, inputs=x); without inputs= it makes random ones.
        """,
    ),
}


@pytest.mark.once
@pytest.mark.parametrize("name", SUBJECTS)
def test_no_model(name):
    check(SUBJECTS[name])


@pytest.mark.any_keras
def test_a_module_of_pytorch():
    """It can be a layer where Keras runs on PyTorch, and as such it goes through."""
    if keras.backend.backend() != "torch":
        module = of_package("torch.nn", __call__=lambda self, x: x)
        assert message(lambda: kerasfx.prepare_model(module, X), NO_MODEL).endswith(
            "do:    kerasfx.prepare_model(model, ...) with the Keras model that it was made from"
        )
        return
    import torch

    module = torch.nn.Linear(4, 3)
    assert message(lambda: kerasfx.prepare_model(module, X), NO_MODEL).endswith(
        "  why:   it is a module of PyTorch, and kerasfx reads the `call` of Keras models\n"
        "  do:    wrap it: kerasfx.prepare_model(keras.layers.TorchModuleWrapper(module), x)"
    )
    wrapped = keras.layers.TorchModuleWrapper(module)
    assert kerasfx.compare(wrapped, kerasfx.prepare_model(wrapped, X), samples=1)


# --- Something else in the place of the inputs -----------------------------------------------------


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return X, X[:, 0]


def of(given):
    return lambda: kerasfx.prepare_model(Mlp(), given)


FORMS = "an input is a keras.Input, a keras.layers.InputLayer, an example array or a shape"
INPUTS = {
    "batch size": Mistake(
        of(32),
        NO_INPUT,
        f"""
        input_layer holds 32 of type int.
          why:   {FORMS}; a batch size is not needed, since the batch is free
          do:    a shape with the batch in front: (None, 32) for rows of 32 numbers
        """,
    ),
    "number": Mistake(
        of(1.5),
        NO_INPUT,
        f"""
        input_layer holds 1.5 of type float.
          why:   {FORMS}
          do:    for arguments that are Python values: kerasfx.Inputs(x, flag=True)
        """,
    ),
    "generator": Mistake(
        of(x for x in [(X, X)]),
        NO_INPUT,
        """
        input_layer holds <generator> of type generator.
          why:   it gives batches, and an example is one of them
          do:    batch = next(iter(data)); then batch[0] where it is (x, y)
        """,
    ),
    "PyDataset": Mistake(
        of(Batches()),
        NO_INPUT,
        """
        input_layer holds <Batches> of type Batches.
          why:   it gives batches, and an example is one of them
          do:    batch = data[0]; then batch[0] where it is (x, y)
        """,
    ),
    "specification": Mistake(
        of(of_package("tensorflow", shape=(None, 4), dtype="float32")),
        NO_INPUT,
        f"""
        input_layer holds <Thing> of type Thing.
          why:   {FORMS}
          do:    keras.Input(batch_shape=(None, 4), dtype='float32')
        """,
    ),
    "size -1": Mistake(
        of((-1, 4)),
        NO_INPUT,
        """
        input_layer holds the shape (-1, 4).
          why:   a size that is free is None
          do:    (None, 4)
        """,
    ),
    "objects": Mistake(
        of(np.array([[1.0, 2, 3, None]], object)),
        NO_INPUT,
        """
        input_layer holds an array of dtype object.
          why:   it holds Python objects, such as None of type NoneType
          do:    make it an array of numbers, or of strings alone
        """,
    ),
    "numbers as objects": Mistake(
        of(np.array([[1.0, 2, 3, 4]], object)),
        NO_INPUT,
        """
        input_layer holds an array of dtype object.
          why:   it holds Python objects, such as 1.0 of type float
          do:    x.astype("float32")
        """,
    ),
    "dates": Mistake(
        of(np.array([["2026-11-29"]], "datetime64[D]")),
        NO_INPUT,
        """
        input_layer holds an array of dtype datetime64[D].
          why:   Keras has no such dtype
          do:    make it an array of numbers, or of strings alone
        """,
    ),
    "rows of two lengths": Mistake(
        of([[1.0, 2.0], [3.0]]),
        NO_INPUT,
        """
        input_layer holds [[1.0, 2.0], [3.0]], which is no array: its rows are not alike.
          do:    numpy.array([...]) of rows of one length, padded where they are not
        """,
    ),
    "ragged tensor": Mistake(
        of(of_package("tensorflow", row_splits=[0, 2, 3])),
        NO_INPUT,
        """
        input_layer holds a Thing.
          why:   a Functional model takes arrays, whose rows are of one length
          do:    keras.utils.pad_sequences(x.to_list()), or x.to_tensor(): an array of rows of one length
        """,
    ),
}


@pytest.mark.once
@pytest.mark.parametrize("name", INPUTS)
def test_no_input(name):
    check(INPUTS[name])


@pytest.mark.any_keras
def test_an_array_of_another_library():
    """Of any that NumPy can read: pandas, or a backend that is not the one that runs."""
    table = of_package("pandas.core.frame", __array__=lambda self, dtype=None, copy=None: X)
    assert message(of(table), NO_INPUT) == (
        "input_layer holds <Thing> of type Thing.\n"
        f"  why:   it is an array of pandas, and Keras runs on {keras.backend.backend()}\n"
        "  do:    numpy.asarray(x), which is float32 of shape (2, 4)"
    )
    assert kerasfx.prepare_model(Mlp(), np.asarray(table)).input_shape == (None, 4)


@pytest.mark.once
def test_numbers_that_may_be_shapes_are_taken_for_shapes_and_it_is_said():
    prepared = kerasfx.prepare_model(Mlp(), [[2, 3, 4]])
    assert [x.shape for x in prepared.inputs] == [(None, 3, 4)]
    [said] = [str(f) for f in kerasfx.report(prepared).findings if "is taken for" in f.what]
    assert said == (
        "(the model): [[2, 3, 4]] is taken for shapes of inputs\n"
        "  do:    numpy.array(...) where these are the numbers of an example"
    )
    assert not kerasfx.trace(Mlp(), [(2, 3, 4)]).origin.call.findings[1:]


def test_an_array_without_rows_is_an_example_of_its_sizes():
    prepared = kerasfx.prepare_model(Mlp(), X[:0])
    assert prepared.input_shape == (None, 4)


# --- Inputs that a Functional model does not take --------------------------------------------------

FITTING = {
    "shape without the batch": Mistake(
        lambda: kerasfx.prepare_model(functional((8, 8, 3)), (8, 8, 3)),
        NO_INPUT,
        """
        'net' takes an input 'a' of shape (None, 8, 8, 3), but input_layer has (None, 8, 3) in its place.
          why:   (8, 8, 3) has no batch: its first size, 8, is taken for it
          do:    the batch in front, None since it is free: (None, 8, 8, 3)
        """,
    ),
    "array without the batch": Mistake(
        lambda: kerasfx.prepare_model(functional((8, 8, 3)), IMAGES[0]),
        NO_INPUT,
        """
        'net' takes an input 'a' of shape (None, 8, 8, 3), but input_layer has (None, 8, 3) in its place.
          why:   (8, 8, 3) has no batch: its first size, 8, is taken for it
          do:    x[None] for one example, or an array of several
        """,
    ),
    "keras.Input with the batch": Mistake(
        lambda: kerasfx.prepare_model(functional((8, 3)), keras.Input((2, 8, 3))),
        NO_INPUT,
        """
        'net' takes an input 'a' of shape (None, 8, 3), but input_layer has (None, 2, 8, 3) in its place.
          why:   without the 2 it fits: keras.Input puts the batch in front of a shape by itself
          do:    keras.Input((8, 3))
        """,
    ),
    "another rank": Mistake(
        lambda: kerasfx.prepare_model(functional((8, 8, 3)), keras.Input((64,))),
        NO_INPUT,
        """
        'net' takes an input 'a' of shape (None, 8, 8, 3), but input_layer has (None, 64) in its place.
          do:    keras.Input((8, 8, 3))
        """,
    ),
    "images of whole numbers": Mistake(
        lambda: kerasfx.prepare_model(functional((8, 8, 3)), IMAGES.astype("uint8")),
        NO_INPUT,
        """
        'net' takes an input 'a' of dtype float32, but input_layer has uint8 in its place.
          do:    x.astype("float32")
        """,
    ),
    "missing key": Mistake(
        lambda: kerasfx.prepare_model(functional((4,), (4,), keys=["a", "b"]), {"a": X}),
        NO_INPUT,
        """
        'net' takes the keys ['a', 'b'], but input_layer has ['a'].
          why:   'b' is missing
          do:    {"a": ..., "b": ...}
        """,
    ),
    "key too many": Mistake(
        lambda: kerasfx.prepare_model(
            functional((4,), (4,), keys=["a", "b"]), {"a": X, "b": X, "zzzz": X, "yyyy": X}
        ),
        NO_INPUT,
        """
        'net' takes the keys ['a', 'b'], but input_layer has ['a', 'b', 'yyyy', 'zzzz'].
          why:   'yyyy', 'zzzz' are unknown
          do:    {"a": ..., "b": ...}
        """,
    ),
    "misspelled key": Mistake(
        lambda: kerasfx.prepare_model(
            functional((4,), (4,), keys=["image", "tokens"]), {"image": X, "token": X}
        ),
        NO_INPUT,
        """
        'net' takes the keys ['image', 'tokens'], but input_layer has ['image', 'token'].
          why:   'tokens' is missing, 'token' is unknown, 'token' is perhaps 'tokens'
          do:    {"image": ..., "tokens": ...}
        """,
    ),
}


@pytest.mark.once
@pytest.mark.parametrize("name", FITTING)
def test_not_what_a_functional_model_takes(name):
    check(FITTING[name])


# --- Inputs with which a model raises --------------------------------------------------------------


class Images(keras.Model):
    def __init__(self):
        super().__init__(name="images")
        self.conv = layers.Conv2D(2, 3, name="conv")

    def call(self, x):
        return self.conv(x)  # <- conv


class OfKeys(keras.Model):
    def __init__(self):
        super().__init__(name="keys")
        self.dense = layers.Dense(3)

    def call(self, x):
        return self.dense(x["image"]) + self.dense(x["mask"])  # <- keys


class OfNumbered(keras.Model):
    def __init__(self):
        super().__init__(name="numbered")

    def call(self, x):
        return x["mask_1"] + x["mask_2"]  # <- numbered


class OfItems(keras.Model):
    def call(self, x):
        a, b = x  # <- items
        return a + b


class OfArguments(keras.Model):
    def call(self, x, context, *, scale, training=None):
        return x + context * scale


class OfRows(keras.Model):
    """It refuses by itself what is no row of seven."""

    def __init__(self):
        super().__init__(name="rows")
        self.dense = layers.Dense(3)

    def call(self, x):
        if len(x.shape) != 2:  # <- rank
            raise ValueError("this net wants rows")  # <- rows
        return self.dense(x)  # <- dense


class Lookup(keras.Model):
    """What it misses is no key of its inputs."""

    def __init__(self):
        super().__init__(name="lookup")
        self.scales = {"large": 2.0}

    def call(self, x):
        return x["image"] * self.scales["small"]  # <- lookup


def line_of(marker):
    """`file:number: text` of the line of this file that ends in `# <- marker`."""
    lines = Path(__file__).read_text().splitlines()
    [number] = [n for n, line in enumerate(lines, 1) if line.endswith(f"# <- {marker}")]
    return f"{__file__}:{number}: {lines[number - 1].strip()}"


RAISING = {
    "shape without the batch": Mistake(
        lambda: kerasfx.prepare_model(Images(), (8, 8, 3)),
        NO_INPUT,
        f"""
        Images 'images' cannot be called with the inputs given.
          where: conv (Conv2D), {line_of("conv")}
          why:   ValueError: Input 0 with name 'None' of layer 'conv' is incompatible with the layer: \
expected min_ndim=4, found ndim=3. Full shape received: (None, 8, 3)
          given: x: float32(None, 8, 3)
          tried: the first size of (8, 8, 3) is taken for the batch; with the batch in front, \
(None, 8, 8, 3), it goes through
          do:    the batch in front, None since it is free: (None, 8, 8, 3)
        """,
    ),
    "array without the batch": Mistake(
        lambda: kerasfx.trace(Images(), IMAGES[0]),
        NO_INPUT,
        f"""
        Images 'images' cannot be called with the inputs given.
          where: conv (Conv2D), {line_of("conv")}
          why:   ValueError: Input 0 with name 'None' of layer 'conv' is incompatible with the layer: \
expected min_ndim=4, found ndim=3. Full shape received: (None, 8, 3)
          given: x: float32(None, 8, 3)
          tried: the first size of (8, 8, 3) is taken for the batch; with the batch in front, \
(None, 8, 8, 3), it goes through
          do:    x[None] for one example, or an array of several
        """,
    ),
    "keras.Input with the batch": Mistake(
        lambda: kerasfx.explain(Images(), keras.Input((2, 8, 8, 3))),
        NO_INPUT,
        f"""
        Images 'images' cannot be called with the inputs given.
          where: conv (Conv2D), {line_of("conv")}
          why:   ValueError: Kernel shape must have the same length as input, but received kernel of \
shape (3, 3, 3, 2) and input of shape (None, 2, 8, 8, 3).
          given: x: float32(None, 2, 8, 8, 3)
          tried: without the 2, (None, 8, 8, 3), it goes through: the batch is there already
          do:    keras.Input((8, 8, 3))
        """,
    ),
    "missing key": Mistake(
        lambda: kerasfx.prepare_model(OfKeys(), {"image": X}),
        NO_INPUT,
        f"""
        OfKeys 'keys' cannot be called with the inputs given.
          where: keys (OfKeys), {line_of("keys")}
          why:   KeyError: 'mask'
          given: image: float32(None, 4)
          tried: with a 'mask' in the dict it gets further
          do:    {{"image": ..., "mask": ...}}
        """,
    ),
    "misspelled key": Mistake(
        lambda: kerasfx.prepare_model(OfKeys(), {"image": X, "masks": X}),
        NO_INPUT,
        f"""
        OfKeys 'keys' cannot be called with the inputs given.
          where: keys (OfKeys), {line_of("keys")}
          why:   KeyError: 'mask'
          given: image: float32(None, 4), masks: float32(None, 4)
          tried: with 'mask' in the place of 'masks' it goes through
          do:    {{"image": ..., "mask": ...}}
        """,
    ),
    "missing key that is much like another": Mistake(
        lambda: kerasfx.prepare_model(OfNumbered(), {"mask_1": X}),
        NO_INPUT,
        f"""
        OfNumbered 'numbered' cannot be called with the inputs given.
          where: numbered (OfNumbered), {line_of("numbered")}
          why:   KeyError: 'mask_2'
          given: mask_1: float32(None, 4)
          tried: with a 'mask_2' in the dict it gets further
          do:    {{"mask_1": ..., "mask_2": ...}}
        """,
    ),
    "a dict with which a layer of Keras raises": Mistake(
        lambda: kerasfx.prepare_model(layers.Conv2D(2, 3, name="conv"), {"a": (None, 4)}),
        ValueError,
        """
        Input 0 with name 'None' of layer 'conv' is incompatible with the layer: expected min_ndim=4, \
found ndim=2. Full shape received: (None, 4)
        kerasfx was tracing the model when this was raised.
          where: conv (Conv2D)
          given: a: float32(None, 4)
          do:    check that the same call works on real tensors of these shapes and dtypes
        """,
    ),
    "list for a dict": Mistake(
        lambda: kerasfx.prepare_model(OfKeys(), [X, X]),
        NO_INPUT,
        f"""
        OfKeys 'keys' cannot be called with the inputs given.
          where: keys (OfKeys), {line_of("keys")}
          why:   TypeError: list indices must be integers or slices, not str
          given: x_0: float32(None, 4), x_1: float32(None, 4)
          tried: with a dict of 'image' and 'mask' it goes through
          do:    {{"image": ..., "mask": ...}}
        """,
    ),
    "inputs with targets": Mistake(
        lambda: kerasfx.prepare_model(OfRows(), (X, X[:, 0])),
        NO_INPUT,
        f"""
        OfRows 'rows' cannot be called with the inputs given.
          where: rows (OfRows), {line_of("rank")}
          why:   AttributeError: 'tuple' object has no attribute 'shape'
          given: x_0: float32(None, 4), x_1: float32(None,)
          tried: with the first of the 2 alone it goes through
          do:    the inputs alone, without targets or weights of samples
        """,
    ),
    "one for several arguments": Mistake(
        lambda: kerasfx.prepare_model(OfArguments(name="net"), X),
        NO_INPUT,
        """
        OfArguments 'net' cannot be called with the inputs given.
          where: net (OfArguments)
          why:   call(x, context, *, scale, training=None) needs context, scale as well
          given: x: float32(None, 4)
          do:    kerasfx.Inputs(x, context=..., scale=...), as what it is called with
        """,
    ),
    "one for a list": Mistake(
        lambda: kerasfx.prepare_model(OfItems(name="net"), keras.Input((4,))),
        errors.TensorAsPythonValueError,
        f"""
        len() or iteration of the tensor x (float32, shape (x.shape[0], 4)) is not known while tracing.
          where: net (OfItems), {line_of("items")}
          why:   its first dimension is not known yet
          do:    use ops.map or ops.scan, or give the dimension a size in the inputs
          tried: with a list of 2 such tensors it goes through
          do:    [x, y], if it is to get 2
        """,
    ),
    "three for two": Mistake(
        lambda: kerasfx.prepare_model(OfItems(name="net"), [X, X, X]),
        ValueError,
        f"""
        too many values to unpack (expected 2)
        kerasfx was tracing the model when this was raised.
          where: net (OfItems), {line_of("items")}
          given: x_0: float32(None, 4), x_1: float32(None, 4), x_2: float32(None, 4)
          do:    check that the same call works on real tensors of these shapes and dtypes
        """,
    ),
    "what the model refuses itself": Mistake(
        lambda: kerasfx.prepare_model(OfRows(), (4,)),
        ValueError,
        f"""
        this net wants rows
        kerasfx was tracing the model when this was raised.
          where: rows (OfRows), {line_of("rows")}
          given: x: float32(None,)
          tried: the first size of (4,) is taken for the batch; with the batch in front, (None, 4), \
it goes through
          do:    the batch in front, None since it is free: (None, 4)
        """,
    ),
    "what has nothing to do with the inputs": Mistake(
        lambda: kerasfx.prepare_model(Lookup(), {"image": X}),
        KeyError,
        f"""
        'small'
        kerasfx was tracing the model when this was raised.
          where: lookup (Lookup), {line_of("lookup")}
          given: image: float32(None, 4)
          do:    check that the same call works on real tensors of these shapes and dtypes
        """,
    ),
    "strings for numbers": Mistake(
        lambda: kerasfx.prepare_model(OfRows(), np.array([["a", "b"]])),
        NO_INPUT,
        f"""
        Dense takes numbers, and gets the strings of x.
          where: dense (Dense), {line_of("dense")}
          do:    x.astype("float32") for numbers that are written as text; \
a StringLookup or TextVectorization in front of it for words
        """,
    ),
}


@pytest.mark.any_keras
@pytest.mark.parametrize("name", RAISING)
def test_inputs_with_which_a_model_raises(name):
    check(RAISING[name])


def frames_of(error):
    """The files of the frames that Python prints, the cause's included."""
    causes = [error.__cause__] if error.__cause__ else []
    return [f.filename for e in (*causes, error) for f in traceback.extract_tb(e.__traceback__)]


@pytest.mark.any_keras
def test_the_frames_of_keras_are_left_out():
    """As Keras does it: where it shows them, we do."""
    with pytest.raises(NO_INPUT) as raised:
        kerasfx.prepare_model(Images(), (8, 8, 3))
    assert isinstance(raised.value.__cause__, ValueError)
    assert raised.value.__cause__.__traceback__ is not None
    assert len(frames_of(raised.value)) <= 7
    with pytest.raises(ValueError, match="wants rows") as refused:
        kerasfx.prepare_model(OfRows(), (4,))
    assert len(frames_of(refused.value)) <= 6
    keras.config.disable_traceback_filtering()
    try:
        with pytest.raises(NO_INPUT) as raised:
            kerasfx.prepare_model(Images(), (8, 8, 3))
        assert len(frames_of(raised.value)) > 20
    finally:
        keras.config.enable_traceback_filtering()


@pytest.mark.any_backend
@pytest.mark.any_keras
def test_what_is_tried_builds_nothing_that_the_user_did_not_name():
    """The `mask` may be of another shape than the `image`, and the next call says of which."""

    class OfUnlike(OfKeys):
        def __init__(self):
            super().__init__()
            self.other = layers.Dense(3)

        def call(self, x):
            return self.dense(x["image"]) + self.other(x["mask"])

    model = OfUnlike()
    with pytest.raises(NO_INPUT, match="with a 'mask' in the dict it gets further"):
        kerasfx.prepare_model(model, {"image": X})
    assert not model.other.built


@pytest.mark.any_backend
def test_an_example_that_the_model_itself_refuses():
    """There are no random strings to compare on; what is told is what the model said to those given."""
    words = layers.StringLookup(vocabulary=["a", "b"], num_oov_indices=0, name="words")
    inputs = keras.Input((1,), dtype="string")
    model = keras.Model(inputs, Twice()(keras.ops.cast(words(inputs), "float32")), name="net")
    with pytest.warns(kerasfx.UnverifiedWarning, match="The original 'net' raises on every input") as warned:
        kerasfx.prepare_model(model, np.array([["c"]]))
    assert "inputs of shape (1, 1)" in str(warned[0].message)
    assert warned[0].filename == __file__


# --- Options ---------------------------------------------------------------------------------------

OPTIONS = {
    "nearly a word": Mistake(
        lambda: kerasfx.prepare_model(Mlp(), X, weights="shared"),
        ValueError,
        """
        weights must be "copy" or "share", not 'shared'.
          do:    weights="share"
        """,
    ),
    "upper case": Mistake(
        lambda: kerasfx.explain(Mlp(), X, mode="Inference"),
        ValueError,
        """
        mode must be "both" or "inference" or "training", not 'Inference'.
          do:    mode="inference"
        """,
    ),
    "mode of trace": Mistake(
        lambda: kerasfx.trace(Mlp(), X, mode="train"),
        ValueError,
        """
        mode must be "both" or "inference" or "training", not 'train'.
          do:    mode="training"
        """,
    ),
    "array": Mistake(
        lambda: kerasfx.prepare_model(Mlp(), X, names=np.zeros(2)),
        ValueError,
        """
        names must be "path" or "original", not array([0., 0.]).
        """,
    ),
    "misspelled name": Mistake(
        lambda: kerasfx.prepare_model(Mlp(), X, leafs=["dense"]),
        TypeError,
        """
        prepare_model has no argument leafs.
          do:    leaves=...
        """,
    ),
    "name as in Keras": Mistake(
        lambda: kerasfx.prepare_model(Mlp(), input_shape=(None, 4)),
        TypeError,
        """
        prepare_model has no argument input_shape.
          do:    input_layer=...
        """,
    ),
    "name of nothing": Mistake(
        lambda: kerasfx.copy_weights(Mlp(), Mlp(), zzzz=True),
        TypeError,
        """
        copy_weights has no argument zzzz.
          why:   it has source, target
        """,
    ),
    "hints without names": Mistake(
        lambda: kerasfx.prepare_model(Mlp(), X, hints=(2, 4)),
        NO_INPUT,
        """
        hints= is a dict of sizes by the names of inputs, not (2, 4).
          do:    hints={"x": (2, ...)}
        """,
    ),
    "hints of one size": Mistake(
        lambda: kerasfx.prepare_model(Mlp(), X, hints={"x": 2}),
        NO_INPUT,
        """
        hints= is a dict of sizes by the names of inputs, not {x: 2}.
          do:    hints={"x": (2, ...)}
        """,
    ),
    "no selector": Mistake(
        lambda: kerasfx.explain(Mlp(), X, leaves=3),
        errors.UnknownSelectorError,
        """
        leaves= holds 3 of type int.
          why:   a selector is a class, a pattern of paths or a predicate
          do:    leaves=["encoder", MyLayer], a path and a class
        """,
    ),
    "inputs one by one": Mistake(
        lambda: kerasfx.prepare_model(Mlp(), X, X),
        TypeError,
        """
        prepare_model takes 2 arguments by place (original_model, input_layer), and was given 3.
          do:    the inputs of several arguments in one: kerasfx.Inputs(a, b)
        """,
    ),
}


@pytest.mark.once
@pytest.mark.parametrize("name", OPTIONS)
def test_no_such_option(name):
    check(OPTIONS[name])


@pytest.mark.any_keras
def test_inside_of_a_function_that_is_compiled():
    model = Mlp()
    model(X)
    backend = keras.backend.backend()
    if backend == "torch":  # `torch.compile` runs such a function as it is
        return
    compiled = __import__(backend).jit if backend == "jax" else __import__(backend).function(autograph=False)

    def step(x):
        kerasfx.prepare_model(model, x)
        return x

    with pytest.raises((TypeError, NotImplementedError), match=r"(?i)numpy") as raised:
        compiled(step)(X)
    assert (
        "kerasfx.prepare_model was called inside of a function that is being compiled.\n"
        "  why:   tensors have no values there, and weights are read and written\n"
        "  do:    call prepare_model outside, and what it returns inside"
    ) in raised.value.__notes__


# --- The prepared model ----------------------------------------------------------------------------


def test_the_class_that_is_kept_has_its_name():
    kept = kerasfx.prepare_model(Mlp(), X, keep_class=True)
    assert repr(kept) == "<Mlp as Functional name=mlp_prepared, built=True>"
    assert type(kept).__name__ == "Functional"  # by which Keras saves it


class Frozen(keras.Model):
    """Its result is of the class of kerasfx: a layer has a `training` of its own."""

    def __init__(self):
        super().__init__(name="frozen")
        self.first, self.norm = layers.Dense(4), layers.BatchNormalization()

    def call(self, x):
        return self.norm(self.first(x), training=False)


@pytest.mark.any_backend
@pytest.mark.any_keras
def test_weights_of_the_original_in_a_file(tmp_path):
    """They do not fit; the way that is named is gone here."""
    model = Frozen()
    prepared = kerasfx.prepare_model(model, X)
    model.first.bias.assign(np.ones(4))
    model.save_weights(tmp_path / "model.weights.h5")
    skipped = pytest.warns(UserWarning, match="Skipping nested container")
    with pytest.raises(ValueError, match="could not be loaded") as raised, skipped:
        prepared.load_weights(tmp_path / "model.weights.h5")
    [note] = raised.value.__notes__
    assert note == (
        "A file of weights fits the model that wrote it; the layers of a prepared model are not "
        "named as those of its original.\n"
        "  do:    for weights of the original: original.load_weights(path), "
        "then kerasfx.copy_weights(original, prepared)"
    )
    other = Frozen()
    other(X)
    other.load_weights(tmp_path / "model.weights.h5")
    kerasfx.copy_weights(other, prepared)
    assert kerasfx.compare(model, prepared, X, samples=1)
    prepared.save_weights(tmp_path / "prepared.weights.h5")
    prepared.load_weights(tmp_path / "prepared.weights.h5")


@pytest.mark.any_keras
def test_a_key_too_many_moves_no_other_one():
    """A model of the class of kerasfx takes what it needs, by the key; Keras's own would go by order."""

    class OfTwo(Frozen):
        def call(self, x):
            return super().call(x["a"] - 2.0 * x["b"])

    model = OfTwo()
    prepared = kerasfx.prepare_model(model, {"a": X, "b": X})
    assert type(prepared) is Functional
    given = {"a": X, "aa": 5 * X, "b": 3 * X}
    np.testing.assert_array_equal(prepared.predict(given, verbose=0), model.predict(given, verbose=0))


# --- The advice, followed --------------------------------------------------------------------------

FOLLOWED = {
    "a shape with the batch in front": lambda: prepare(Images(), (None, 8, 8, 3)),
    "one example with a batch": lambda: prepare(Images(), IMAGES[0][None]),
    "keras.Input without the batch": lambda: prepare(Images(), keras.Input((8, 8, 3))),
    "all keys": lambda: prepare(OfKeys(), {"image": X, "mask": X}),
    "all arguments": lambda: prepare(OfArguments(), kerasfx.Inputs(X, context=X, scale=2.0)),
    "a list": lambda: prepare(OfItems(), [X, X]),
    "inputs without targets": lambda: prepare(OfRows(), (X, X[:, 0])[0]),
    "a batch of a data set": lambda: prepare(Mlp(), next(iter([(X, X[:, 0])]))[0]),
    "a batch of a PyDataset": lambda: prepare(Mlp(), Batches()[0][0]),
    "rows as a shape": lambda: prepare(Mlp(), (None, 32)),
    "objects as numbers": lambda: prepare(Mlp(), np.array([[1.0, 2, 3, 4]], object).astype("float32")),
    "text as numbers": lambda: prepare(OfRows(), np.array([["1", "2"]]).astype("float32")),
    "rows of one length": lambda: prepare(Mlp(), np.array([[1.0, 2.0], [3.0, 0.0]])),
    "images as numbers": lambda: prepare(functional((8, 8, 3)), IMAGES.astype("uint8").astype("float32")),
    "layers one after the other": lambda: prepare(keras.Sequential([layers.ReLU(), Twice()]), X),
    "an output with its inputs": lambda: prepare(functional((4,)), None),
    "emit of a trace": lambda: kerasfx.emit(kerasfx.trace(Mlp(), X)),
}


def prepare(model, inputs, **options):
    return kerasfx.prepare_model(model, inputs, verify=False, **options)


@pytest.mark.once
@pytest.mark.parametrize("name", FOLLOWED)
def test_what_is_advised_works(name):
    assert isinstance(FOLLOWED[name](), keras.Model)


@pytest.mark.any_backend
@pytest.mark.any_keras
def test_a_file_is_loaded_as_it_is_said(tmp_path):
    functional((4,)).save(tmp_path / "net.keras")
    loaded = keras.saving.load_model(tmp_path / "net.keras", custom_objects={"Twice": Twice})
    assert [x.shape for x in prepare(loaded, None).inputs] == [(None, 4)]


# --- Keras 2 ---------------------------------------------------------------------------------------


@pytest.mark.once
def test_keras_2(tmp_path):
    (tmp_path / "keras.py").write_text('__version__ = "2.15.0"')
    path = os.pathsep.join([str(tmp_path), str(Path(kerasfx.__file__).parents[1])])
    code = [sys.executable, "-c", "import kerasfx"]
    found = subprocess.run(code, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert found.stderr.endswith(
        "ImportError: kerasfx is for Keras 3, and this is Keras 2.15.0.\n"
        "  why:   layers of Keras 2, tf_keras among them, are not supported yet\n"
        '  do:    pip install "keras>=3.14", and load the model with it\n'
    )

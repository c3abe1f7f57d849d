"""What is handed over as the model and is none: said with what it is, and what to hand over instead."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import keras

from kerasfx.errors import UnsupportedModelError, describe
from kerasfx.ir import shown
from kerasfx.keras_api.internals import Layer, attributes

CALLING = ("prepare_model", "trace", "explain")
"""The functions that look at what the model computes."""

EXCHANGED = "{function}(model, x)"
MADE_FROM = "{function}(model, ...) with the Keras model that it was made from"
OTHERS = {
    "tf_keras": "it is a model of tf_keras (Keras 2), which kerasfx does not support yet",
    "torch": "it is a module of PyTorch, and kerasfx reads the `call` of Keras models",
    "tensorflow": "it is an object of TensorFlow, as a loaded SavedModel is, and holds no layers of Keras",
    "onnx": "it is a graph of ONNX, and kerasfx reads the `call` of Keras models",
    "sklearn": "it is a model of scikit-learn, and kerasfx reads the `call` of Keras models",
    "jax": "it is an object of JAX, and kerasfx reads the `call` of Keras models",
    "flax": "it is a module of Flax, and kerasfx reads the `call` of Keras models",
}
"""By the package of its class, or of one that this derives from."""


class Advice(NamedTuple):
    """What a message says besides what happened."""

    why: str = ""
    hint: str = ""


def require_model(model: object, function: str, other: object = None) -> None:
    """Refuse what is no Keras model or layer.

    Args:
        model: What the user handed over as the model.
        function: The function that was called, as `"prepare_model"`.
        other: The argument behind it, which is the model where the two were exchanged.

    Raises:
        UnsupportedModelError: It is none, or its `__init__` did not call that of Keras, or it is to be called
            and has no `call`.
    """
    if isinstance(model, Layer):
        _require_initialized(model)
        return _require_call(model, function) if function in CALLING else None
    what = f"{function} takes a Keras model or layer, not {shown(model)} of type {type(model).__name__}."
    raise UnsupportedModelError(no_model(what, model, function, other))


def no_model(what: str, model: object, function: str, other: object = None) -> str:
    """The message `what` about something that is no model, with what it is and what to hand over instead."""
    if isinstance(other, Layer):
        found = Advice("the model comes first, and behind it what it is called with", EXCHANGED)
    else:
        found = next((advice for about in ABOUT if (advice := about(model))), Advice())
    return describe(what, why=found.why, hint=found.hint.format(function=f"kerasfx.{function}"))


def _require_initialized(model: Layer) -> None:
    if not hasattr(model, "built"):
        name = type(model).__name__
        raise UnsupportedModelError(
            describe(
                f"`{name}.__init__` did not call that of Keras.",
                why="a layer is none before `super().__init__()` has run",
                hint=f"super().__init__() as the first line of `{name}.__init__`",
            )
        )


def _require_call(model: Layer, function: str) -> None:
    """Refuse what only trains the models that it holds, as many a GAN does."""
    if getattr(model.call, "__func__", None) not in (keras.Model.call, Layer.call):
        return
    name = type(model).__name__
    held = [name for name, x in attributes(model).items() if isinstance(x, Layer)]
    part = f"model.{held[0]}" if held else "model.part"
    raise UnsupportedModelError(
        describe(
            f"{name} has no `call`.",
            why="what is prepared is what `call` computes; a `train_step` of its own is no part of that",
            hint=f"hand over what it holds, one after the other: kerasfx.{function}({part}, ...); "
            f"then make {name} of what comes back",
        )
    )


def _about_class(model: object) -> Advice | None:
    if not (isinstance(model, type) and issubclass(model, Layer)):
        return None
    return Advice(hint=f"make an instance: {model.__name__}(...)")


def _about_file(model: object) -> Advice | None:
    if not isinstance(model, (str, os.PathLike)):
        return None
    name = os.fspath(model)
    if str(name).endswith(".weights.h5"):
        way = f"make the model and build it, then model.load_weights({name!r})"
        return Advice("such a file holds weights and no model", way)
    if Path(str(name)).suffix in (".keras", ".h5", ".hdf5"):
        return Advice(hint=f"model = keras.saving.load_model({name!r})")
    return Advice("a name is no model", "make or load the model, then {function}(model, ...)")


def _about_other_package(model: object) -> Advice | None:
    kind = model if isinstance(model, type) else type(model)
    package = next((p for p in _packages(kind) if p in OTHERS), None)
    if package is None:
        return None
    if package == "torch" and keras.backend.backend() == "torch" and callable(model):
        return Advice(OTHERS[package], "wrap it: {function}(keras.layers.TorchModuleWrapper(module), x)")
    return Advice(OTHERS[package], MADE_FROM)


def _packages(kind: type) -> Iterator[str]:
    yield from (base.__module__.partition(".")[0] for base in kind.__mro__)


def _about_output(model: object) -> Advice | None:
    is_output = isinstance(model, keras.KerasTensor)
    return Advice("it is the output of layers", "keras.Model(inputs, outputs)") if is_output else None


def _about_layers(model: object) -> Advice | None:
    if not (isinstance(model, (list, tuple)) and model and all(isinstance(x, Layer) for x in model)):
        return None
    return Advice(hint="if one is called after the other: keras.Sequential([...])")


def _about_holder(model: object) -> Advice | None:
    # The History that `fit` returns, callbacks, wrappers of other libraries.
    held = getattr(model, "model", None)
    return Advice(hint="it has the model as an attribute: `.model`") if isinstance(held, Layer) else None


def _about_function(model: object) -> Advice | None:
    way = "put it into the `call` of a keras.layers.Layer, which holds the weights that it uses"
    return Advice(hint=way) if callable(model) else None


ABOUT: tuple[Callable[[object], Advice | None], ...] = (
    _about_class,
    _about_file,
    _about_other_package,
    _about_output,
    _about_layers,
    _about_holder,
    _about_function,
)
"""The first that knows what it is tells."""

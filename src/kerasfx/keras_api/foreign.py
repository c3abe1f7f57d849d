"""What a layer was given that is code of other modules: activations, initializers and their kin.

A file names such code. A process without it cannot load the file, or the name means another function there.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import keras

from kerasfx.keras_api import internals

KINDS = ("activation", "initializer", "regularizer", "constraint")
"""How the arguments of Keras's layers end that take a function, which `keras.activations` and so on read."""


def given_to(layer: keras.Layer, kind: str) -> dict[str, Any]:
    """The attributes of `layer` itself that hold code of other modules of that kind."""
    return {k: x for k, x in vars(layer).items() if k.endswith(kind) and not is_of_keras(x, kind)}


def is_given_any(layer: keras.Layer) -> bool:
    """Whether `layer` or a layer inside it was given code of other modules."""
    return any(given_to(x, kind) for x in internals.all_layers(layer) for kind in KINDS)


def functions_of(layer: keras.Layer) -> list[Any]:
    """The functions of other modules that a built-in layer holds besides: how to split a text, for one."""
    held = [x for k, x in vars(layer).items() if inspect.isroutine(x) and not k.endswith(KINDS)]
    # Keras puts a wrapper of `build`, which is a method of kerasfx in its layers, into each instance.
    return [x for x in held if not _module(x).startswith(("keras.", "kerasfx."))]


def activation_of(layer: keras.Layer) -> Any:
    """The activation of a built-in layer if a file does not give it back, or None."""
    found = (getattr(layer, name, None) for name in ("activation", "recurrent_activation"))
    return next((x for x in found if not is_of_keras(x, "activation")), None)


def is_of_keras(x: object, kind: str) -> bool:
    """Whether a file that names `x` gives `x` again where there is only Keras.

    A function has to come back by its name: `keras.ops.gelu` is written down as "gelu", which Keras reads as
    `keras.activations.gelu`, another function.
    """
    if x is None or isinstance(x, str):
        return True
    if not _module(x).startswith(("keras.", "kerasfx.")):
        return False
    return _comes_back(x, kind) if inspect.isroutine(x) else True


def _module(x: object) -> str:
    is_named = inspect.isroutine(x) or isinstance(x, type)
    return internals.module_of(x if is_named else type(x))


def _comes_back(function: Callable[..., Any], kind: str) -> bool:
    reader: Any = getattr(keras, f"{kind}s")
    try:
        return reader.get(reader.serialize(function)) is function
    # What Keras raises where a name means nothing to it, or something of another kind.
    except (ValueError, TypeError, AttributeError):
        return False


def shown(x: object) -> str:
    """The name of a function, or of the class of an object."""
    return getattr(x, "__qualname__", None) or type(x).__name__


def regularized_like(layer: keras.Layer, x: object) -> Iterator[Any]:
    """The variables of `layer` that have `x` for their regularizer or constraint."""
    return (v for v in layer.variables if v.regularizer is x or v.constraint is x)

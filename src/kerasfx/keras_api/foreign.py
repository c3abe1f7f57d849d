"""What a layer was given that is code of other modules: activations, initializers and their kin.

A file names such code. A process without it cannot load the file, or the name means another function there.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import keras

from kerasfx.keras_api import internals

KINDS = ("activation", "initializer", "regularizer", "constraint")
"""How the arguments of Keras's layers end that take a function, which `keras.activations` and so on read."""


def given_to(layer: keras.Layer) -> list[Any]:
    """What `layer` and the layers inside it were given that is code of other modules."""
    named = ((k, x) for each in internals.all_layers(layer) for k, x in vars(each).items())
    return [x for k, x in named if k.endswith(KINDS) and not is_of_keras(x, kind_of(k))]


def kind_of(attribute: str) -> str:
    """Which of `KINDS` an attribute holds, one of which its name ends with."""
    return next(kind for kind in KINDS if attribute.endswith(kind))


def functions_of(layer: keras.Layer) -> list[Any]:
    """The functions of other modules that a built-in layer holds besides: how to split a text, for one."""
    # `callable` says no to most, and fast.
    routines = ((k, x) for k, x in vars(layer).items() if callable(x) and inspect.isroutine(x))
    held = [x for k, x in routines if not k.endswith(KINDS)]
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
    if not inspect.isroutine(x):
        return True
    # What a name means that was registered may be another thing now.
    is_registered = keras.saving.get_registered_object(x.__name__) is not None
    return (_comes_back if is_registered else _is_named_in_keras)(x, kind)


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


_is_named_in_keras = functools.lru_cache(maxsize=1024)(_comes_back)


def shown(x: object) -> str:
    """The name of a function, or of the class of an object."""
    return getattr(x, "__qualname__", None) or type(x).__name__


def regularized_like(layer: keras.Layer, x: object) -> Iterator[Any]:
    """The variables of `layer` that have `x` for their regularizer or constraint."""
    return (v for v in layer.variables if v.regularizer is x or v.constraint is x)

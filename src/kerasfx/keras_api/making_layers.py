"""Making many layers of Keras without asking the same again for each.

| private name | relied on for | since |
|---|---|---|
| `inspect` in `keras.src.layers.layer` and `keras.src.ops.operation` | asking for signatures | 3.0 |
| `Layer.__setattr__`, `Layer._tracker` | numbers, words, functions... are set like any attribute | 3.0 |
| `backend.is_tensor`, `backend.core.is_tensor` | what Keras asks of initializers, policies, ... | 3.0 |

A layer asks for the signatures of its constructor, `call`, `build` and `compute_output_shape` when it is made
and built, which are those of its class; it looks at each attribute, of which none but layers, variables,
metrics, seeds and what may hold them are tracked; and TensorFlow looks for the methods of a tensor in what is
none.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import keras
from keras.src import backend
from keras.src.backend import config
from keras.src.layers import layer as layer_module
from keras.src.ops import operation as operation_module

from kerasfx.keras_api.internals import Layer, module_of
from kerasfx.keras_api.replacing import Replaced, replace

UNTRACKED = frozenset({type(None), bool, int, float, str})
"""The types, and no subclass of them, of values that no layer tracks."""

NO_STATE = (
    "keras.src.initializers.",
    "keras.src.dtype_policies.",
    "keras.src.layers.input_spec",
    "keras.src.backend.common.keras_tensor",
)
"""How the modules of Keras begin whose objects no layer tracks, and which are no tensors of the backend."""


def quickly() -> Replaced:
    """Let layers be made as fast as can be in the block."""
    return Replaced(_replace)


def _replace() -> None:
    remembering = SimpleNamespace(
        **{**vars(inspect), "signature": _signature, "getfullargspec": _argument_names}
    )
    for module in (layer_module, operation_module):
        replace(module, "inspect", remembering)
    if keras.backend.backend() == "tensorflow":
        modules: tuple[ModuleType, ...] = backend, backend.core
        for module in modules:
            replace(module, "is_tensor", _asking_of_unknown(module.is_tensor))
    # NNX, which JAX can have, keeps a record of its own.
    if not config.is_nnx_enabled():
        replace(Layer, "__setattr__", _setting(Layer.__setattr__))


# Signatures


def _signature(function: Callable[..., Any], **options: Any) -> inspect.Signature:
    method = function
    # What Keras puts in the place of `build`; a wrapper may say its signature itself.
    if type(function) is FunctionType and "__signature__" not in vars(function):
        method = vars(function).get("__wrapped__", function)
    is_bound = type(method) is MethodType
    plain = method.__func__ if is_bound else method
    if options or not _is_of_keras(plain):
        return inspect.signature(function, **options)
    return _signature_of(plain, is_bound)


def _argument_names(function: Callable[..., Any]) -> inspect.FullArgSpec:
    return _argument_names_of(function) if _is_of_keras(function) else inspect.getfullargspec(function)


def _is_of_keras(function: object) -> bool:
    """Whether a function is a plain one of Keras or of ours: it lives as long as the process anyway."""
    if type(function) is not FunctionType or not module_of(function).startswith(("keras.src.", "kerasfx.")):
        return False
    return not (function.__dict__.keys() & {"__wrapped__", "__signature__"})


@functools.lru_cache(maxsize=2048)
def _signature_of(function: Any, is_bound: bool) -> inspect.Signature:
    return inspect.signature(MethodType(function, object()) if is_bound else function)


@functools.lru_cache(maxsize=2048)
def _argument_names_of(function: Any) -> inspect.FullArgSpec:
    return inspect.getfullargspec(function)


# Attributes


def _setting(original: Callable[[Layer, str, Any], None]) -> Callable[[Layer, str, Any], None]:
    # For as long as the block lasts: what classes have is not asked again for each of their layers.
    is_free = functools.cache(_is_free)

    def set_(layer: Layer, name: str, value: Any) -> None:
        cls: Any = type(layer)
        if _is_untracked(type(value)) and is_free(cls, name) and _is_plain(layer, name):
            layer.__dict__[name] = value
        else:
            original(layer, name, value)

    return set_


def _is_free(cls: type, name: str) -> bool:
    """Whether an attribute of layers of a class is what their dict says, and nothing of the class."""
    # What classes of the user's do when an attribute is looked for, nobody knows.
    return module_of(cls).startswith(("keras.src.", "kerasfx.")) and not hasattr(cls, name)


def _is_plain(layer: keras.Layer, name: str) -> bool:
    """Whether an attribute of `layer` is an entry of its dict alone, and nothing is tracked by its name."""
    own = vars(layer)
    if "_tracker" not in own:
        return False
    # PyTorch keeps parameters and modules beside the dict.
    return _is_untracked(type(own[name])) if name in own else not hasattr(layer, name)


def _is_untracked(cls: type) -> bool:
    return cls in UNTRACKED or cls in (FunctionType, inspect.Signature) or _has_no_state(cls)


@functools.lru_cache(maxsize=2048)
def _has_no_state(cls: type) -> bool:
    return module_of(cls).startswith(NO_STATE)


# Tensors


def _asking_of_unknown(is_tensor: Callable[[object], bool]) -> Callable[[object], bool]:
    def asked(x: object) -> bool:
        return not _has_no_state(type(x)) and is_tensor(x)

    return asked

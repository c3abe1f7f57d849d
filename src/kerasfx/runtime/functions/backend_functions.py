"""The functions of TensorFlow, JAX and PyTorch that a node may name.

A `.keras` file that names a function may call it while it is loaded, so only pure functions of tensors are
found, by lists of their names: nothing that reads or writes files, changes global state, takes code or
compiles. A name is the way to a function as documented, `tf.math.cumsum`.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from kerasfx.errors import UnknownFunctionError, describe
from kerasfx.runtime.functions import jax_names, tensorflow_names, torch_names
from kerasfx.runtime.functions.array_updates import NAMES as ARRAY_UPDATES


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


@dataclass(frozen=True)
class _Namespace:
    """Some functions of a module.

    Attributes:
        module: Where they are.
        allowed: Their names.
    """

    module: str
    allowed: frozenset[str]

    def functions(self) -> Iterator[tuple[str, Callable[..., Any]]]:
        """Yield names and functions."""
        module = self.load()
        for name in sorted(self.allowed):
            function = getattr(module, name, None)
            # A class would be made, and might keep state; what is listed may also be missing in this version.
            if callable(function) and not isinstance(function, type):
                yield name, function

    def load(self) -> Any:
        """The module. Submodules of TensorFlow are attributes, not modules that can be imported."""
        path, _, rest = self.module.partition(".")
        module = importlib.import_module(path)
        for step in rest.split(".") if rest else ():
            path = f"{path}.{step}"
            module = getattr(module, step, None) or importlib.import_module(path)
        return module


_TF_RANDOM_WITHOUT_DRAW = frozenset(("fold_in", "split"))
_TF_DRAWS = _words(
    """image.random_brightness image.random_contrast image.random_crop image.random_flip_left_right
    image.random_flip_up_down image.random_hue image.random_jpeg_quality image.random_saturation
    image.sample_distorted_bounding_box nn.dropout nn.fractional_avg_pool nn.fractional_max_pool
    nn.nce_loss nn.sampled_softmax_loss"""
)

_NAMESPACES: dict[str, dict[str, _Namespace]] = {
    "tensorflow": {
        k: _Namespace(k.replace("tf", "tensorflow", 1), v) for k, v in tensorflow_names.NAMES.items()
    },
    "torch": {
        "torch": _Namespace("torch", torch_names.FUNCTIONS),
        "torch.nn.functional": _Namespace("torch.nn.functional", torch_names.NN),
        "torch.Tensor": _Namespace("torch.Tensor", torch_names.METHODS),
        "torch.linalg": _Namespace("torch.linalg", torch_names.LINALG),
        "torch.fft": _Namespace("torch.fft", torch_names.FFT),
        "torch.special": _Namespace("torch.special", torch_names.SPECIAL),
        "torch.updated": _Namespace("kerasfx.runtime.functions.torch_updates", frozenset(("set_item",))),
    },
    "jax": {
        **{k: _Namespace(k, v) for k, v in jax_names.NAMES.items()},
        "jax.Array.at": _Namespace("kerasfx.runtime.functions.array_updates", _words(ARRAY_UPDATES)),
    },
}


def is_known_namespace(name: str) -> bool:
    """Whether `name` is that of a function in one of the namespaces, of whatever backend."""
    return any(name.rpartition(".")[0] in spaces for spaces in _NAMESPACES.values())


def names() -> Iterator[str]:
    """The names of the functions of all backends; nothing is imported."""
    for spaces in _NAMESPACES.values():
        for prefix, space in spaces.items():
            yield from (f"{prefix}.{name}" for name in sorted(space.allowed))


def draws(name: str) -> bool:
    """Whether a function draws from the random state of the backend, so that each call differs."""
    if name in torch_names.DRAWS:
        return True
    namespace, _, function_name = name.removeprefix("tf.").removeprefix("compat.v1.").rpartition(".")
    if namespace == "random":
        return not function_name.startswith("stateless") and function_name not in _TF_RANDOM_WITHOUT_DRAW
    return f"{namespace}.{function_name}" in _TF_DRAWS


def resolve(name: str) -> Callable[..., Any]:
    """Returns the function of the running backend with that name.

    Args:
        name: For example `tf.math.cumsum`.

    Raises:
        UnknownFunctionError: It belongs to another backend, or to no namespace of pure functions of
            tensors. Nothing is imported to find out.
    """
    backend = keras.backend.backend()
    namespace, _, function_name = name.rpartition(".")
    owner = next((b for b, spaces in _NAMESPACES.items() if namespace in spaces), None)
    if owner is not None and owner != backend:
        raise UnknownFunctionError(
            describe(
                f"{name} is a function of another backend than the running one, {backend}.",
                why="the model calls a function that keras.ops lacks",
                hint=f"load the model with KERAS_BACKEND={owner}",
            )
        )
    space = _NAMESPACES.get(backend, {}).get(namespace)
    function = (
        getattr(space.load(), function_name, None) if space and function_name in space.allowed else None
    )
    if function is None or isinstance(function, type) or not callable(function):
        raise UnknownFunctionError(
            describe(
                f"{name} is no function that a recorded call may name.",
                why="only pure functions of tensors are called, of the namespaces that kerasfx lists",
                hint="load the model with the versions of Keras and its backend that saved it",
            )
        )
    return function


@functools.cache
def functions() -> Mapping[str, tuple[str, Callable[..., Any]]]:
    """Every name of a function of the running backend: its shortest name, and the function."""
    spaces = _NAMESPACES.get(keras.backend.backend(), {})
    shortest: dict[int, str] = {}
    found: dict[str, tuple[str, Callable[..., Any]]] = {}
    for prefix, space in spaces.items():
        for name, function in space.functions():
            # The namespaces begin with the shortest: a function that is in several has the name of the first.
            best = shortest.setdefault(id(function), f"{prefix}.{name}")
            found[f"{prefix}.{name}"] = best, function
    return found


def modules() -> Mapping[str, Any]:
    """The modules of the running backend whose functions are known, by the prefix of the names."""
    return {prefix: space.load() for prefix, space in _NAMESPACES.get(keras.backend.backend(), {}).items()}

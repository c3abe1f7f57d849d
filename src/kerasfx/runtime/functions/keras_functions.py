"""The functions of Keras that a node may name: those of `keras.ops` and `keras.random`, and activations."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import keras

from kerasfx.errors import UnknownFunctionError, describe
from kerasfx.keras_api import internals, operations


def resolve(name: str) -> Callable[..., Any]:
    """Returns the public Keras function of that dotted name.

    Args:
        name: For example `keras.ops.matmul`, `keras.ops.image.resize`, `keras.random.normal`.

    Raises:
        UnknownFunctionError: Keras exports no function of that name under `keras.ops`,
            `keras.random` or `keras.activations`. Nothing is ever imported to find out.
    """
    known = functions()
    if name not in known:
        similar = difflib.get_close_matches(str(name), known, n=1)
        hint = f"did you mean {similar[0]}? " if similar else ""
        raise UnknownFunctionError(
            describe(
                f"{name} is no function that a recorded call may name (Keras {keras.__version__}).",
                why="only public functions of keras.ops, keras.random and keras.activations are called, "
                "and those of the backends that kerasfx lists",
                hint=f"{hint}Load a model with the version of Keras that saved it.",
            )
        )
    return known[name]


@functools.cache
def functions() -> Mapping[str, Callable[..., Any]]:
    """Every function a recorded call may name, the short name of each first."""
    namespaces = {
        "keras.ops": keras.ops,
        "keras.ops.image": keras.ops.image,
        "keras.ops.linalg": keras.ops.linalg,
        "keras.ops.nn": keras.ops.nn,
        "keras.ops.numpy": keras.ops.numpy,
        "keras.random": keras.random,
    }
    found = {
        f"{prefix}.{name}": value
        for prefix, namespace in namespaces.items()
        for name, value in vars(namespace).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }
    found |= {name: _taking_a_given_seed(f) for name, f in found.items() if name.startswith("keras.random.")}
    # Not `get` and `deserialize`, which turn a string into any registered object.
    activations = {
        f"keras.activations.{name}": value
        for name, value in vars(keras.activations).items()
        if inspect.isfunction(value) and operations.is_activation(value)
    }
    return MappingProxyType({**found, **activations})


class _GivenSeed(keras.random.SeedGenerator):
    """A seed that was drawn before, where a random function wants a generator."""

    def __init__(self, seed: object) -> None:
        # Without the constructor of Keras, which would make a variable for the seed.
        self._seed = seed
        internals.say_seeded(self)

    def next(self, ordered: bool = True) -> Any:
        return self._seed


def _taking_a_given_seed(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` of `keras.random`, whose `seed` may also be a drawn seed: a tensor of shape (2,)."""

    @functools.wraps(function)
    def call(*args: object, seed: object = None, **kwargs: object) -> Any:
        is_usual = seed is None or isinstance(seed, (int, keras.random.SeedGenerator))
        return function(*args, seed=seed if is_usual else _GivenSeed(seed), **kwargs)

    return call

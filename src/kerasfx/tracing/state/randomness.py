"""Random numbers of Python and NumPy that `call` draws: a graph would hold the same ones ever after.

The functions of `random` and `numpy.random` are refused where the user's code calls them, which also leaves
their states alone and serves several threads. A generator object cannot be replaced: the states of those that
the layer or its module hold are compared.
"""

from __future__ import annotations

import functools
import inspect
import random
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import keras
import numpy as np

from kerasfx.errors import UnsupportedOperationError, describe
from kerasfx.ir import leaves_of
from kerasfx.tracing.bindings import Bindings
from kerasfx.tracing.recorder import Args, Function, Kwargs, Recorder
from kerasfx.tracing.where import called_by_user, source_line

_READ_ONLY = ("getstate", "get_state", "get_bit_generator")

_GENERATORS = (np.random.Generator, np.random.RandomState, random.Random)


def patches() -> Iterator[tuple[Any, str, Function]]:
    """What is replaced while tracing: owner, name, `replacement(session, original, args, kwargs)`."""
    yield np.random, "default_rng", _unseeded
    for module in (random, np.random):
        for name, _ in _drawing_functions(module):
            yield module, name, functools.partial(_draw, f"{module.__name__}.{name}")
    # What modules of users have imported from these.
    for binding in _bindings():
        if binding.module is not random:
            yield binding.module, binding.name, functools.partial(_draw, _names()[id(binding.value)])


@functools.cache
def _names() -> dict[int, str]:
    """Names by the ids of the functions that draw."""
    modules = (random, np.random)
    return {id(f): f"{m.__name__}.{name}" for m in modules for name, f in _drawing_functions(m)}


@functools.cache
def _bindings() -> Bindings:
    return Bindings(_names())


def _drawing_functions(module: ModuleType) -> list[tuple[str, Any]]:
    """The methods of the generator of the process that a module has as functions."""
    return [
        (name, value)
        for name, value in vars(module).items()
        if isinstance(getattr(value, "__self__", None), _GENERATORS) and name not in _READ_ONLY
    ]


def _draw(name: str, session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    # Keras takes the seeds of initializers from Python's numbers.
    if session.in_user_code and called_by_user():
        raise _refusal(session, f"`call` draws from {name}.", session.locate(source_line()))
    return original(*args, **kwargs)


def _unseeded(session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    if all(x is None for x in (*args, *kwargs.values())):
        return _draw("numpy.random.default_rng()", session, original, args, kwargs)
    return original(*args, **kwargs)


@contextmanager
def refusing_draws(session: Recorder, layer: keras.Layer) -> Iterator[None]:
    """Raise at the end of the block where the code in it drew from a generator of its own.

    Raises:
        UnsupportedOperationError: It did.
    """
    # Also in the lists and dicts that a layer holds.
    held = [*leaves_of(list(vars(layer).values())), *_globals_of(layer).values()]
    before = [(g, _state_of(g)) for g in held if isinstance(g, _GENERATORS)]
    yield
    if any(_state_of(g) != state for g, state in before):
        raise _refusal(session, "`call` draws from a generator of Python or NumPy.", session.locate(None))


def _globals_of(layer: keras.Layer) -> dict[str, Any]:
    """The globals that `call` of `layer` reads, also of code that was executed outside of any module."""
    call = getattr(layer.call, "__func__", layer.call)
    call = inspect.unwrap(call) if inspect.isfunction(call) else call
    return getattr(call, "__globals__", {})


def _state_of(generator: Any) -> str:
    if isinstance(generator, random.Random):
        return str(generator.getstate())
    # What NumPy prints may be shortened, and unlike states would look alike.
    with np.printoptions(threshold=10_000):
        if isinstance(generator, np.random.Generator):
            return str(generator.bit_generator.state)
        return str(generator.get_state())


def _refusal(session: Recorder, what: str, where: str) -> UnsupportedOperationError:
    return UnsupportedOperationError(
        describe(
            what,
            where=where,
            why="the prepared model would have the same random numbers at each call",
            hint=f"draw with keras.random and a SeedGenerator, or {session.keep_hint()}",
        )
    )

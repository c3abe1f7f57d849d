"""Functions of the backend itself, `tf.*`, `jax.*` and `torch.*`, called in the user's code.

One `Dialect` a backend says which of its functions have a twin in `keras.ops` (`*_twins.py`) and which calls
are no op. Everything else in the namespaces of `kerasfx.runtime.functions` is recorded under its own name.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from kerasfx.runtime.functions import backend_functions
from kerasfx.tracing.native import calls
from kerasfx.tracing.recorder import Dialect, Patch


@functools.cache
def dialect() -> Dialect:
    """That of the running backend."""
    # Imported here because each of them imports its backend, and no other need be there.
    backend = keras.backend.backend()
    if backend == "tensorflow":
        from kerasfx.tracing.native.tensorflow import TensorFlow

        return TensorFlow()
    if backend == "jax":
        from kerasfx.tracing.native.jax import Jax

        return Jax()
    from kerasfx.tracing.native.torch import Torch

    return Torch()


def patches() -> Iterator[Patch]:
    """What is replaced while tracing in the backend itself.

    Owner, name, `replacement(session, original, args, kwargs)`.
    """
    yield from dialect().patches()
    yield from _of_namespaces()


def watched() -> Iterator[object]:
    """The modules and classes in which `patches` finds its places."""
    yield from backend_functions.modules().values()
    yield from dialect().watched()


def _of_namespaces() -> Iterator[Patch]:
    # `from tensorflow.nn import relu` puts another module in the place of `tf.nn`, at any time; who has the
    # first one still calls that.
    first, now = _modules_at_first(), backend_functions.modules()
    for name, (canonical, _) in backend_functions.functions().items():
        prefix, _, attribute = name.rpartition(".")
        if canonical in patched_names():
            for module in {id(m): m for m in (first[prefix], now[prefix])}.values():
                yield module, attribute, functools.partial(calls.call, canonical)


@functools.cache
def _modules_at_first() -> Mapping[str, Any]:
    return backend_functions.modules()


@functools.cache
def patched_names() -> frozenset[str]:
    """The names of the functions that are replaced wherever they are found."""
    patched = dialect().patched
    return frozenset(calls.names().values()) if patched is None else patched

"""Functions of the backend itself, `tf.*`, `jax.*` and `torch.*`, called in the user's code.

One file a backend says which of its functions have a twin in `keras.ops` and which calls are no op.
Everything else in the namespaces of `kerasfx.runtime.functions` is recorded under its own name.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import ModuleType
from typing import Any

import keras

from kerasfx.errors import TraceError
from kerasfx.ir import leaves_of, map_leaves
from kerasfx.keras_api.replacing import undone
from kerasfx.runtime.functions import backend_functions
from kerasfx.tracing.bindings import Bindings
from kerasfx.tracing.control.training_flag import is_flag
from kerasfx.tracing.native.twins import Twin
from kerasfx.tracing.public_calls import PublicCall
from kerasfx.tracing.recorder import Recorder, current

LIBRARIES = (
    "tensorflow",
    "jax",
    "jaxlib",
    "torch",
    "keras",
    "tf_keras",
    "numpy",
    "scipy",
    "einops",
    "kerasfx",
)
"""Packages whose modules keep the functions that they imported: no code of users is in them."""


@functools.cache
def dialect() -> ModuleType:
    """The module of this package for the running backend."""
    return importlib.import_module(f"{__name__}.{keras.backend.backend()}")


def patches() -> Iterator[tuple[Any, str, Callable[..., Any]]]:
    """What is replaced while tracing: owner, name, `replacement(session, original, args, kwargs)`."""
    yield from dialect().patches()
    yield from _of_namespaces()
    for binding in _bindings():
        if not is_library(binding.module_name):
            name = _names()[id(binding.value)]
            yield binding.module, binding.name, functools.partial(call, name)
    yield from importlib.import_module(f"{__name__}.einops").patches()


@functools.cache
def _of_namespaces() -> list[tuple[Any, str, Callable[..., Any]]]:
    replacements = []
    for name, (canonical, _) in backend_functions.functions().items():
        prefix, _, attribute = name.rpartition(".")
        if canonical in _patched_names():
            module = backend_functions.modules()[prefix]
            replacements.append((module, attribute, functools.partial(call, canonical)))
    return replacements


@functools.cache
def _patched_names() -> set[str]:
    return set(getattr(dialect(), "PATCHED", None) or _names().values())


@functools.cache
def _bindings() -> Bindings:
    return Bindings({key for key, name in _names().items() if name in _patched_names()})


def is_library(module_name: str) -> bool:
    """Whether a module belongs to a package that keeps what it imported: no user wrote it."""
    return module_name.partition(".")[0] in LIBRARIES


@functools.cache
def _names() -> dict[int, str]:
    """Names by the ids of functions, and of those that decorators wrapped: a dispatcher sees these."""
    names: dict[int, str] = {}
    for name, function in backend_functions.functions().values():
        while function is not None:
            names.setdefault(id(function), name)
            function = getattr(function, "__wrapped__", None)
    return names


def name_of(function: Callable[..., Any]) -> str | None:
    """The name of a known function of the backend."""
    return _names().get(id(function))


def call(name: str, session: Recorder, original: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Stand in for the function `name`."""
    if not session.in_user_code:
        return original(*args, **kwargs)
    args, kwargs = _arguments(session, (args, kwargs))
    draws = name in dialect().DRAWS
    if not (draws or session.is_traced((args, kwargs))):
        return original(*args, **kwargs)
    result = dialect().special(session, name, original, args, kwargs)
    if result is not NotImplemented:
        return result
    specs = session.infer_op(name, args, kwargs)
    twin = _twin(name, original)
    same = twin and twin.call(original, args, kwargs)
    same = same and dialect().exact(same)
    if same and _gives(session, same, specs):
        result = session.record_op(same.name, same.args, same.kwargs)
    else:
        result = session.record_op(name, args, kwargs)
    dialect().recorded(session, result)
    return result


def followed(function: Any) -> Any:
    """`function`, recorded where a session is when it is one of the backend, or a partial of one."""
    if isinstance(function, functools.partial):
        inner = followed(function.func)
        is_known = inner is not function.func
        return functools.partial(inner, *function.args, **function.keywords) if is_known else function
    name = name_of(function)
    if name is None:
        return function

    @functools.wraps(function)
    def recorded(*args: Any, **kwargs: Any) -> Any:
        session = current()
        return function(*args, **kwargs) if session is None else call(name, session, function, args, kwargs)

    return recorded


@contextmanager
def following_attributes(layer: Any) -> Iterator[None]:
    """Record what `layer` calls by its attributes: `self.act = jax.nn.gelu`, also in lists and dicts.

    What other threads find there meanwhile does what the function does.
    """
    replaced: list[tuple[Any, Any, Any, Any]] = []

    def put_back() -> None:
        for holder, key, value, instead in replaced:
            if _is_there(holder, key, instead):  # and not what the code has put there since
                _put(holder, key, value)

    with undone(put_back):
        for holder, key, value in list(_held_functions(vars(layer), depth=1)):
            instead = followed(value)
            if instead is not value:
                replaced.append((holder, key, value, instead))
                _put(holder, key, instead)
        yield


def _is_there(holder: Any, key: Any, value: Any) -> bool:
    is_key = key in holder if isinstance(holder, dict) else key < len(holder)
    return is_key and holder[key] is value


def _held_functions(holder: Any, depth: int) -> Iterator[tuple[Any, Any, Any]]:
    for key, value in list(holder.items() if isinstance(holder, dict) else enumerate(holder)):
        if depth and isinstance(value, (dict, list)):
            yield from _held_functions(value, depth - 1)
        elif callable(value):
            yield holder, key, value


def _put(holder: Any, key: Any, value: Any) -> None:
    """Without Keras noticing, which tracks lists and dicts of layers."""
    if isinstance(holder, dict):
        dict.__setitem__(holder, key, value)
    else:
        list.__setitem__(holder, key, value)


def operator(session: Recorder, op: str, args: tuple[Any, ...]) -> Any:
    """Record an operator, said as a function of `keras.ops` where that is what it means on this backend."""
    name = dialect().operator_function(op, args) if session.in_user_code else None
    if name is None:
        return session.record_op(f"keras.ops.{op}", args, {})
    return call(name, session, backend_functions.resolve(name), args, {})


def _arguments(session: Recorder, structure: Any) -> Any:
    """Arguments as they are recorded."""

    def leaf(x: Any) -> Any:
        # A function needs to know the mode, which `bool` asks for.
        return bool(x) if is_flag(x) else dialect().argument(x)

    # Sizes are kept in tuples of their own class, which a copy would lose.
    is_same = all(leaf(x) is x for x in leaves_of(structure))
    return structure if is_same else map_leaves(leaf, structure)


def in_place(tensor: Any, op: str, args: tuple[Any, ...]) -> Any:
    """`x += y` or `x[key] = value` on a backend whose tensors change, or NotImplemented."""
    change = getattr(dialect(), "change_in_place", None) if tensor.session.in_user_code else None
    return NotImplemented if change is None else change(tensor, op, *args)


def finished(session: Recorder, results: Any) -> Any:
    """The results of a Node as the user's code gets them."""
    change = getattr(dialect(), "finished", None)
    return results if change is None else change(session, results)


def context(session: Recorder) -> AbstractContextManager[None]:
    """What the backend needs while a model is traced."""
    context = getattr(dialect(), "context", None)
    return nullcontext() if context is None else context(session)


def _twin(name: str, function: Callable[..., Any]) -> Twin | None:
    return dialect().twin(name, function)


def _gives(session: Recorder, twin: PublicCall, specs: Any) -> bool:
    """Whether the twin takes these arguments and gives results of these shapes and dtypes."""
    try:
        return session.infer_op(twin.name, twin.args, twin.kwargs) == specs
    except TraceError:
        return False

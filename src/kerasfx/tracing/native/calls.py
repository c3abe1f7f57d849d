"""A call of a function of the backend, wherever it was seen: recorded under its name or as its twin."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kerasfx.errors import TraceError
from kerasfx.ir import leaves_of, map_leaves
from kerasfx.keras_api.replacing import undone
from kerasfx.runtime.functions import backend_functions
from kerasfx.tracing.control.training_flag import is_flag
from kerasfx.tracing.native.sizes import has_vector
from kerasfx.tracing.public_calls import PublicCall
from kerasfx.tracing.recorder import Arguments, Function, Keywords, Recorder, Structure, current

Holder = dict[Any, Any] | list[Any]
"""What holds functions: the attributes of a layer, a list or a dict in them."""


@functools.cache
def names() -> dict[int, str]:
    """Names by the ids of functions, and of those that decorators wrapped: a dispatcher sees these."""
    found: dict[int, str] = {}
    for name, function in backend_functions.functions().values():
        while function is not None:
            found.setdefault(id(function), name)
            function = getattr(function, "__wrapped__", None)
    return found


def name_of(function: object) -> str | None:
    """The name of a known function of the backend."""
    return names().get(id(function))


def call(name: str, session: Recorder, original: Function, args: Arguments, kwargs: Keywords) -> Any:
    """Stand in for the function `name`."""
    if not session.in_user_code:
        return original(*args, **kwargs)
    args, kwargs = _arguments(session, (args, kwargs))
    is_traced = name in session.dialect.draws or session.is_traced((args, kwargs))
    of_sizes = has_vector((args, kwargs))
    if is_traced or of_sizes:
        result = session.dialect.special(session, name, original, args, kwargs)
        if result is not NotImplemented:
            return result
    if not is_traced:
        # A vector of known sizes as a plain tuple.
        args, kwargs = map_leaves(lambda x: x, (args, kwargs)) if of_sizes else (args, kwargs)
        return original(*args, **kwargs)
    # The twin is taken where it gives the same shapes and dtypes; that the numbers agree was tested.
    specs = session.infer_op(name, args, kwargs)
    twin = session.dialect.twin(name, original)
    same = None if twin is None else twin.call(original, args, kwargs)
    same = None if same is None else session.dialect.exact(same)
    if same and _gives(session, same, specs):
        result = session.record_op(same.name, same.args, same.kwargs)
    else:
        result = session.record_op(name, args, kwargs)
    session.dialect.recorded(session, result)
    return result


def followed(function: Function) -> Function:
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
def following_attributes(layer: object) -> Iterator[None]:
    """Record what `layer` calls by its attributes: `self.act = jax.nn.gelu`, also in lists and dicts.

    What other threads find there meanwhile does what the function does.
    """
    replaced: list[tuple[Holder, Any, Function, Function]] = []

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


def _is_there(holder: Holder, key: Any, value: Function) -> bool:
    is_key = key in holder if isinstance(holder, dict) else key < len(holder)
    return is_key and holder[key] is value


def _held_functions(holder: Holder, depth: int) -> Iterator[tuple[Holder, Any, Function]]:
    for key, value in list(holder.items() if isinstance(holder, dict) else enumerate(holder)):
        if depth and isinstance(value, (dict, list)):
            yield from _held_functions(value, depth - 1)
        elif callable(value):
            yield holder, key, value


def _put(holder: Holder, key: Any, value: Function) -> None:
    """Without Keras noticing, which tracks lists and dicts of layers."""
    if isinstance(holder, dict):
        dict.__setitem__(holder, key, value)
    else:
        list.__setitem__(holder, key, value)


def operator(session: Recorder, op: str, args: Arguments) -> Any:
    """Record an operator, said as a function of `keras.ops` where that is what it means on this backend."""
    if session.in_user_code:
        session.dialect.check_operands(session, args)
        name = session.dialect.operator_function(op, args)
        if name is not None:
            return call(name, session, backend_functions.resolve(name), args, {})
    return session.record_op(f"keras.ops.{op}", args, {})


def _arguments(session: Recorder, structure: Structure) -> Any:
    """Arguments as they are recorded."""

    def leaf(x: Structure) -> Structure:
        # A function needs to know the mode, which `bool` asks for.
        return bool(x) if is_flag(x) else session.dialect.argument(x)

    # Sizes are kept in tuples of their own class, which a copy would lose.
    is_same = all(leaf(x) is x for x in leaves_of(structure))
    return structure if is_same else map_leaves(leaf, structure)


def _gives(trace: Recorder, twin: PublicCall, specs: list[Any]) -> bool:
    """Whether the twin takes these arguments and gives results of these shapes and dtypes."""
    try:
        return trace.infer_op(twin.name, twin.args, twin.kwargs) == specs
    except TraceError:
        return False

"""Branches and loops of JAX, said as those of `keras.ops`, whose functions become bodies."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from keras import ops

from kerasfx.tracing.control.bodies import as_keras, require_none_of
from kerasfx.tracing.recorder import Function

WITHOUT_MEANING = frozenset(("unroll", "batch_size", "_split_transpose"))
"""Arguments that change how a loop runs and not what it gives."""


def patches() -> Iterator[tuple[Any, str, Callable[..., Any]]]:
    """What is replaced while tracing: owner, name, `replacement(session, original, args, kwargs)`."""
    import jax

    for name, says in TWINS.items():
        yield jax.lax, name, functools.partial(as_keras, f"jax.lax.{name}", says, WITHOUT_MEANING)


def _cond(
    pred: object, true_fun: Function, false_fun: Function, operands: Iterable[object] = (), **rest: object
) -> Any:
    require_none_of(rest)
    return ops.cond(pred, lambda: true_fun(*operands), lambda: false_fun(*operands))


def _switch(
    index: object, branches: Iterable[Function], operands: Iterable[object] = (), **rest: object
) -> Any:
    require_none_of(rest)
    return ops.switch(index, list(branches), *operands)


def _while_loop(cond_fun: Function, body_fun: Function, init_val: object) -> Any:
    # JAX carries one structure, Keras a tuple of variables.
    result: Any = ops.while_loop(cond_fun, lambda v: (body_fun(v),), (init_val,))
    return result[0]


def _fori_loop(lower: object, upper: object, body_fun: Function, init_val: object) -> Any:
    return ops.fori_loop(lower, upper, body_fun, init_val)


def _map(f: Function, xs: object) -> Any:
    return ops.map(f, xs)


def _scan(f: Function, init: object, xs: object = None, length: object = None, reverse: bool = False) -> Any:
    return ops.scan(f, init, xs, length=length, reverse=reverse)


def _associative_scan(fn: Function, elems: object, reverse: bool = False, axis: int = 0) -> Any:
    return ops.associative_scan(fn, elems, reverse=reverse, axis=axis)


TWINS: dict[str, Callable[..., Any]] = {
    "associative_scan": _associative_scan,
    "cond": _cond,
    "switch": _switch,
    "while_loop": _while_loop,
    "fori_loop": _fori_loop,
    "map": _map,
    "scan": _scan,
}

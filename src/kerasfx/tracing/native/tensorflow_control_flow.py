"""Branches and loops of TensorFlow, said as those of `keras.ops`, whose functions become bodies."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from keras import ops

from kerasfx.tracing.control.bodies import NoTwinError, as_keras, require_none_of
from kerasfx.tracing.recorder import Function

WITHOUT_MEANING = frozenset(
    ("back_prop", "fallback_to_while_loop", "name", "parallel_iterations", "strict", "swap_memory", "warn")
)
"""Arguments that change how a loop runs and not what it gives."""


def patches() -> Iterator[tuple[Any, str, Callable[..., Any]]]:
    """What is replaced while tracing: owner, name, `replacement(session, original, args, kwargs)`."""
    import tensorflow as tf

    for owner in (tf, tf.compat.v1):
        for name, says in TWINS.items():
            yield owner, name, functools.partial(as_keras, f"tf.{name}", says, WITHOUT_MEANING)


def _cond(pred: object, true_fn: Function, false_fn: Function, **rest: object) -> Any:
    require_none_of(rest)
    return ops.cond(pred, true_fn, false_fn)


def _case(pred_fn_pairs: Sequence[tuple[object, Function]], default: object = None, **rest: object) -> Any:
    require_none_of(rest)
    if default is None:
        raise NoTwinError("no default")
    (pred, function), *others = pred_fn_pairs
    otherwise = functools.partial(_case, others, default) if others else default
    return ops.cond(pred, function, otherwise)


def _switch_case(branch_index: Any, branch_fns: Sequence[Function], **rest: object) -> Any:
    require_none_of(rest)
    if not all(map(callable, branch_fns)):
        raise NoTwinError("numbered branches")
    # Any index that is out of range means the last branch; `ops.switch` takes the nearest.
    last = len(branch_fns) - 1
    return ops.switch(ops.where(branch_index < 0, last, branch_index), list(branch_fns))


def _while_loop(
    cond: Function,
    body: Function,
    loop_vars: Any,
    maximum_iterations: object = None,
    **rest: object,
) -> Any:
    require_none_of(rest)
    kind = type(loop_vars)
    result: Any = ops.while_loop(cond, lambda *v: tuple(body(*v)), tuple(loop_vars), maximum_iterations)
    return kind(*result) if hasattr(kind, "_fields") else kind(result)


def _map_fn(fn: Function, elems: object, **rest: object) -> Any:
    # What the function gives is found by tracing it.
    require_none_of({k: v for k, v in rest.items() if k not in ("dtype", "fn_output_signature")})
    return ops.map(fn, elems)


def _vectorized_map(fn: Function, elems: object, **rest: object) -> Any:
    require_none_of(rest)
    return ops.vectorized_map(fn, elems)


def _scan(
    fn: Function, elems: object, initializer: object = None, reverse: bool = False, **rest: object
) -> Any:
    require_none_of(rest)
    # TensorFlow would begin with the first element, which need not be of the kind of a state.
    if initializer is None:
        raise NoTwinError("no initializer")
    result: Any = ops.scan(_with_result(fn), initializer, elems, reverse=reverse)
    return result[1]


def _foldl(fn: Function, elems: object, initializer: object = None, **rest: object) -> Any:
    require_none_of(rest)
    if initializer is None:
        raise NoTwinError("no initializer")
    result: Any = ops.scan(_with_result(fn), initializer, elems)
    return result[0]


def _with_result(fn: Function) -> Any:
    """`fn(state, element)`, which gives the next state, as a step of `ops.scan`."""

    def step(state: object, element: object) -> Any:
        state = fn(state, element)
        return state, state

    return step


TWINS: dict[str, Callable[..., Any]] = {
    "cond": _cond,
    "case": _case,
    "switch_case": _switch_case,
    "while_loop": _while_loop,
    "map_fn": _map_fn,
    "vectorized_map": _vectorized_map,
    "scan": _scan,
    "foldl": _foldl,
}

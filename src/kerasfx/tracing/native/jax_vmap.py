"""Functions made by `jax.vmap`, said as `keras.ops.vectorized_map`, wherever and whenever they were made."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

from keras import ops

from kerasfx.tracing.native.calls import followed
from kerasfx.tracing.recorder import Args, Function, Kwargs, Recorder
from kerasfx.tracing.tensor import TracedTensor

_made_in_call: ContextVar[bool] = ContextVar("kerasfx_vmap_made_in_call", default=False)
"""Whether a function runs that `call` itself made, which may refer to tensors that are no arguments."""


def patches() -> Iterator[tuple[Any, str, Callable[..., Any]]]:
    """What is replaced while tracing: owner, name, `replacement(session, original, args, kwargs)`.

    The steps of a call are private to JAX. Without them a layer that calls such functions stays whole.
    """
    import jax
    from jax._src import api, linear_util
    from jax._src.interpreters import batching

    yield jax, "vmap", _vmap
    if "_mapped_axis_size" in vars(api) and {"batch", "is_vmappable"} <= vars(batching).keys():
        yield linear_util, "wrap_init", _wrap_init
        yield batching, "is_vmappable", _is_vmappable
        yield api, "_mapped_axis_size", _axis_size
        yield batching, "batch", _batch


def _vmap(session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    made = original(*args, **kwargs)
    if not session.in_user_code:
        return made

    def mapped(*arguments: Any, **options: object) -> Any:
        token = _made_in_call.set(True)
        try:
            return made(*arguments, **options)
        finally:
            _made_in_call.reset(token)

    return mapped


def _wrap_init(session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    """Let a function of JAX, or a partial of one, that was handed to `vmap` be recorded."""
    function, *rest = args
    if session.in_user_code and getattr(kwargs.get("debug_info"), "traced_for", "") == "vmap":
        function = followed(function)
    return original(function, *rest, **kwargs)


def _is_vmappable(session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> bool:
    """JAX asks no more about an argument that knows by itself what its elements are."""
    return isinstance(args[0], TracedTensor) or original(*args, **kwargs)


def _axis_size(session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    """The number of elements, which `vectorized_map` compares by itself."""
    _, _, values, axes, *_ = args
    if not session.in_user_code or not session.is_traced(values):
        return original(*args, **kwargs)
    sizes = [x.shape[k] for x, k in zip(values, axes, strict=True) if k is not None]
    return sizes[0] if sizes else original(*args, **kwargs)


def _batch(session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    """Stand in for the step that calls a flat function on all elements at once."""
    made = original(*args, **kwargs)
    function, axis, axes, axes_of_results, *_ = args

    def call(*flat: Any) -> Any:
        is_recorded = session.in_user_code and (_made_in_call.get() or session.is_traced(flat))
        if not is_recorded:
            return made.call_wrapped(*flat)
        if isinstance(axis.name, (str, tuple)):
            raise session.unsupported(f"jax.vmap is given a name of its axis, {axis.name!r}.")
        results = _over_first_axes(function.call_wrapped, flat, axes)
        wanted: Any = axes_of_results() if callable(axes_of_results) else axes_of_results
        if not all(isinstance(k, int) for k in wanted):
            raise session.unsupported("jax.vmap gives a result without an axis of the elements (out_axes).")
        results = [_moved(x, 0, k) for x, k in zip(results, list(wanted), strict=True)]
        # Since it may add up results, JAX says along which axes it put them.
        return (results, wanted) if "sum_match" in inspect.signature(original).parameters else results

    return SimpleNamespace(call_wrapped=call)


def _over_first_axes(
    function: Callable[..., Any], flat: Sequence[Any], axes: Sequence[int | None]
) -> list[Any]:
    given = list(zip(flat, axes, strict=True))
    elements = tuple(_moved(x, k, 0) for x, k in given if k is not None)

    def body(rows: Any) -> Any:
        # A function that runs inside was perhaps made elsewhere: its own arguments tell.
        token = _made_in_call.set(False)
        try:
            remaining = iter(rows)
            results = function(
                *(x if k is None else next(remaining) for x, k in zip(flat, axes, strict=True))
            )
        finally:
            _made_in_call.reset(token)
        return [x if hasattr(x, "shape") else ops.convert_to_tensor(x) for x in results]

    results: Any = ops.vectorized_map(body, elements)
    return list(results)


def _moved(x: Any, source: int, destination: int) -> Any:
    return x if source == destination else ops.moveaxis(x, source, destination)

"""Other ways to call a model with the inputs given, tried where it refuses the first.

A list may stand for the arguments of `call`, or for a dict of the names that its inputs have; and the batch,
which is free otherwise, may be a number in the code.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import keras

from kerasfx.errors import UnsupportedOperationError, describe
from kerasfx.inputs import CallSpec, InputSpec
from kerasfx.ir import Graph, leaves_of
from kerasfx.ir.dims import Dim
from kerasfx.keras_api.internals import all_layers, has_graph
from kerasfx.reporting import Finding
from kerasfx.tracing.sizes.examples import Hints

WAY_OUT = (
    "if the model works for one batch alone, say which: keras.Input(batch_shape=(4, ...)), an example array "
    "of that batch, or hints= with it"
)


def other_calls(model: keras.Layer, spec: CallSpec, hints: Hints, error: Exception) -> Iterator[CallSpec]:
    """Yield other ways to call `model`, which raised `error` when it was called as `spec` says."""
    yield from _other_structures(model, spec)
    fixed = _with_fixed_batch(spec, hints, error)
    if fixed is not None:
        yield fixed


def require_batch_of_states(graph: Graph) -> None:
    """Refuse a recurrent layer that keeps a state for each row of a batch that is free, as Keras does.

    Raises:
        UnsupportedOperationError: There is one.
    """
    for node in graph.nodes:
        layer = node.layer
        is_stateful = layer is not None and any(getattr(x, "stateful", False) for x in all_layers(layer))
        if is_stateful and any(isinstance(v.shape[0], Dim) for v in node.inputs if v.shape):
            raise UnsupportedOperationError(
                describe(
                    f"{type(layer).__name__} is stateful, and the batch is free.",
                    where=f"{node.path}, {node.source}",
                    why="it keeps a state for each row of the batch",
                    hint=WAY_OUT,
                )
            )


def may_be_about_the_batch(spec: CallSpec, error: Exception) -> bool:
    """Whether a batch of its own might be what the model wants."""
    # By its words: neither Keras nor a backend nor a user has a class for such errors.
    told = str(error).lower()
    is_free = any(x.shape[:1] == (None,) for x in leaves_of(spec.struct))
    return is_free and WAY_OUT not in str(error) and ("batch" in told or "reshape" in told)


def _other_structures(model: keras.Layer, spec: CallSpec) -> Iterator[CallSpec]:
    # A Functional model takes one structure for another by itself.
    if spec.kwargs or len(spec.args) != 1 or has_graph(model):
        return
    (given,) = spec.args
    signature = inspect.signature(model.call)
    if isinstance(given, (list, tuple)):
        if _binds(signature, tuple(given), {}):
            yield _as(spec, tuple(given), {}, "the items of the list are the arguments of `call`")
        if all(isinstance(x, InputSpec) for x in given):
            by_name = {x.name: x for x in given}
            yield _as(spec, (by_name,), {}, f"the list is passed as a dict by the names {list(by_name)}")
    if isinstance(given, dict):
        if all(isinstance(k, str) for k in given) and _binds(signature, (), given):
            yield _as(spec, (), given, "the items of the dict are the arguments of `call`")
        yield _as(
            spec, (list(given.values()),), {}, f"the dict is passed as a list, in the order {list(given)}"
        )


def _binds(signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def _as(spec: CallSpec, args: tuple[Any, ...], kwargs: dict[str, Any], what: str) -> CallSpec:
    hint = "kerasfx.Inputs(...) or the structure that `call` takes, where that is not what was meant"
    return replace(
        spec, args=args, kwargs=kwargs, findings=(*spec.findings, Finding("warning", "", what, hint=hint))
    )


def _with_fixed_batch(spec: CallSpec, hints: Hints, error: Exception) -> CallSpec | None:
    """The call with the batch of the examples, or of the hints, if there is one."""
    inputs = [x for x in leaves_of(spec.struct) if x.shape[:1] == (None,)]
    batches = {x.name: hints[x.name][0] if hints.get(x.name) else x.batch for x in inputs}
    known = next((n for n in batches.values() if n), None)
    if known is None:
        return None

    def fix(x: InputSpec) -> InputSpec:
        is_free = x.shape[:1] == (None,)
        return replace(x, shape=(batches[x.name] or known, *x.shape[1:])) if is_free else x

    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    what = (
        f"the batch is fixed at {known}, that of the example or of hints=, because the model is refused with "
        f"a free one: {type(error).__name__}: {lines[0] if lines else ''}"
    )
    hint = "for a free batch, let the code ask for it: ops.shape(x)[0]"
    found = Finding("fixed", "", what, hint=hint)
    return replace(spec.changed(fix), findings=(*spec.findings, found))

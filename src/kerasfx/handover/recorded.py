"""Regularizers and constraints of other modules, recorded as the functions that they call.

Keras calls them with a variable, or an activity regularizer with a result. What they then compute is a body
like that of a `cond`: data in the config of the layer, which a process without their class can run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

import keras

from kerasfx.ir import Body, values_in
from kerasfx.keras_api import foreign, internals
from kerasfx.runtime.codec import NotEncodableError
from kerasfx.runtime.recorded import RecordedConstraint, RecordedRegularizer
from kerasfx.tracing import trace
from kerasfx.tracing.encoding import encode

Shape = tuple[int | None, ...]


class NotRecordableError(Exception):
    """A regularizer or constraint does more than to call functions of its argument."""


class _Probe(keras.layers.Layer):
    """A layer around a function of one tensor."""

    def __init__(self, function: Callable[[Any], Any]):
        super().__init__()
        self.function = function

    def call(self, x: Any) -> Any:
        return self.function(x)


def recorded(function: object, kind: str, arguments: Iterable[tuple[Shape, str]]) -> Any:
    """What stands for a regularizer or constraint in a file.

    Args:
        function: The object.
        kind: "regularizer" or "constraint".
        arguments: Shapes, None being a free size, and dtypes of the tensors that it is called with.

    Raises:
        NotRecordableError: It needs more than the functions that it calls.
    """
    # Each shape once: a layer may have many weights of one.
    cases = [_case(function, shape, dtype) for shape, dtype in dict.fromkeys(arguments)]
    if not cases:
        raise NotRecordableError("kerasfx does not see what it is called with")
    return {"regularizer": RecordedRegularizer, "constraint": RecordedConstraint}[kind](cases)


def _case(function: object, shape: Shape, dtype: str) -> dict[str, Any]:
    try:
        return {"shape": list(shape), "body": _body(function, shape, dtype)}
    except _LargeArrayError:
        # `ops.eye(w.shape[-1])` is an array of known size, and a call where the size is free.
        free = (None,) * len(shape)
        return {"shape": list(free), "body": _body(function, free, dtype, {"x": shape})}


class _LargeArrayError(NotRecordableError):
    """A body uses an array that is no part of a config."""


def _body(function: object, shape: Shape, dtype: str, hints: dict[str, Any] | None = None) -> Any:
    attributes = dict(getattr(function, "__dict__", {}))
    try:
        with internals.fresh_names():
            x = keras.Input(batch_shape=shape, dtype=dtype, name="x")
            graph = trace(_Probe(cast("Callable[[Any], Any]", function)), x, hints=hints).graph
    except Exception as error:  # whatever the code of the user raises
        raise NotRecordableError(" ".join(str(error).split())) from error
    finally:
        # It may have kept what it was called with, a tensor of the trace.
        if attributes:
            vars(function).clear()
            vars(function).update(attributes)
    if graph.parameters or any(node.function is None for node in graph.nodes):
        raise NotRecordableError("it reads variables, draws, or asks about sizes that are free")
    # As a body has them: arguments, and nothing captured.
    graph.inputs = ((graph.inputs,), ())
    if not any(values_in(graph.outputs)):
        raise NotRecordableError("its result does not depend on what it is called with")
    try:
        return encode(Body(graph, ()), lambda value: 0)
    except (KeyError, NotEncodableError) as error:
        raise _LargeArrayError("it uses an array that is too large for a config") from error


def argument_of(variable: keras.Variable) -> tuple[Shape, str]:
    """What the regularizer and the constraint of a variable are called with."""
    return tuple(variable.shape), variable.dtype


def not_recorded(x: object, kind: str, error: NotRecordableError) -> tuple[str, str]:
    """What to tell of a function that stays code of its module, and what to do about it."""
    cls = x if isinstance(x, type) else type(x)
    what = f"its {kind} {foreign.shown(x)} stays code of {cls.__module__}, which a file needs: {error}"
    return what, (
        f"put @keras.saving.register_keras_serializable() on {cls.__name__}, and import it before "
        "loading the file"
    )

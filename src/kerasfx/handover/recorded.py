"""Regularizers and constraints of other modules, recorded as the functions that they call.

Keras calls them with a variable, or an activity regularizer with a result. What they then compute is a body
like that of a `cond`: data in the config of the layer, which a process without their class can run.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras

from kerasfx.errors import describe
from kerasfx.ir import Body, values_in
from kerasfx.keras_api import foreign, internals
from kerasfx.runtime import codec, safety
from kerasfx.runtime.functions import resolve
from kerasfx.runtime.layers import _Plain, _size_of
from kerasfx.tracing import trace

Shape = tuple[int | None, ...]


class NotRecordableError(Exception):
    """A regularizer or constraint does more than to call functions of its argument."""


class _Recorded:
    """A function of one tensor that was recorded for arguments of some shapes.

    Args:
        cases: For each shape `{"shape": with None for free sizes, "body": an encoded body}`.

    Raises:
        UnsafeFileError: They are something else; they may come from a file.
    """

    def __init__(self, cases: list[dict[str, Any]]):
        safety.require_shallow(cases)
        safety.require(isinstance(cases, list), "A recorded function has no list of cases.")
        for case in cases:
            is_case = isinstance(case, dict) and case.keys() == {"shape", "body"}
            is_case = is_case and isinstance(case["body"], dict) and case["body"].keys() == {"$body"}
            safety.require(is_case, "A recorded function has no shape or no body.")
            safety.require_shape(case["shape"], may_be_free=True)
            safety.require_arguments(case["body"])
        self.cases = cases

    def __call__(self, x: Any) -> Any:
        shape = tuple(x.shape)
        case = next((c for c in self.cases if _fits(shape, c["shape"])), None)
        if case is None:
            known = [tuple(c["shape"]) for c in self.cases]
            raise ValueError(
                describe(
                    f"A recorded function is called with a tensor of shape {shape}.",
                    why=f"it was recorded for {known}",
                    hint="prepare the original for these shapes, or give the layer a regularizer "
                    "or constraint of Keras",
                )
            )
        return codec.decode(case["body"], [], _size_of, resolve)(keras.ops.convert_to_tensor(x))

    def get_config(self) -> dict[str, Any]:
        return {"cases": self.cases}


def _fits(shape: Shape, wanted: list[int | None]) -> bool:
    return len(shape) == len(wanted) and all(
        None in (a, b) or a == b for a, b in zip(shape, wanted, strict=True)
    )


@keras.saving.register_keras_serializable("kerasfx")
class RecordedRegularizer(_Recorded, keras.regularizers.Regularizer):
    """A regularizer as the functions that it calls."""


@keras.saving.register_keras_serializable("kerasfx")
class RecordedConstraint(_Recorded, keras.constraints.Constraint):
    """A constraint as the functions that it calls."""


class _Probe(_Plain):
    """A layer around a function of one tensor."""

    def __init__(self, function: Any):
        super().__init__()
        self.function = function

    def call(self, x: Any) -> Any:
        return self.function(x)


def recorded(function: Any, kind: str, arguments: Iterable[tuple[Shape, str]]) -> Any:
    """What stands for a regularizer or constraint in a file.

    Args:
        function: The object.
        kind: "regularizer" or "constraint".
        arguments: Shapes, None being a free size, and dtypes of the tensors that it is called with.

    Raises:
        NotRecordableError: It needs more than the functions that it calls.
    """
    cases = [_case(function, shape, dtype) for shape, dtype in dict.fromkeys(arguments)]
    if not cases:
        raise NotRecordableError("kerasfx does not see what it is called with")
    return {"regularizer": RecordedRegularizer, "constraint": RecordedConstraint}[kind](cases)


def _case(function: Any, shape: Shape, dtype: str) -> dict[str, Any]:
    try:
        return {"shape": list(shape), "body": _body(function, shape, dtype)}
    except _LargeArrayError:
        # `ops.eye(w.shape[-1])` is an array of known size, and a call where the size is free.
        free = (None,) * len(shape)
        return {"shape": list(free), "body": _body(function, free, dtype, {"x": shape})}


class _LargeArrayError(NotRecordableError):
    """A body uses an array that is no part of a config."""


def _body(function: Any, shape: Shape, dtype: str, hints: dict[str, Any] | None = None) -> Any:
    attributes = dict(getattr(function, "__dict__", {}))
    try:
        with internals.fresh_names():
            x = keras.Input(batch_shape=shape, dtype=dtype, name="x")
            graph = trace(_Probe(function), x, hints=hints).graph
    except Exception as error:  # whatever the code of the user raises
        raise NotRecordableError(" ".join(str(error).split())) from error
    finally:
        if attributes:
            vars(function).clear()
            vars(function).update(attributes)
    if graph.parameters or any(not isinstance(node.target, str) for node in graph.nodes):
        raise NotRecordableError("it reads variables, draws, or asks about sizes that are free")
    graph.inputs = ((graph.inputs,), ())
    if not any(values_in(graph.outputs)):
        raise NotRecordableError("its result does not depend on what it is called with")
    try:
        return codec.encode(Body(graph, ()), lambda value: 0)
    except (KeyError, codec.NotEncodableError) as error:
        raise _LargeArrayError("it uses an array that is too large for a config") from error


def argument_of(variable: Any) -> tuple[Shape, str]:
    """What the regularizer and the constraint of a variable are called with."""
    return tuple(variable.shape), variable.dtype


def not_recorded(x: Any, kind: str, error: NotRecordableError) -> tuple[str, str]:
    """What to tell of a function that stays code of its module, and what to do about it."""
    cls = x if isinstance(x, type) else type(x)
    what = f"its {kind} {foreign.shown(x)} stays code of {cls.__module__}, which a file needs: {error}"
    return what, (
        f"put @keras.saving.register_keras_serializable() on {cls.__name__}, and import it before "
        "loading the file"
    )

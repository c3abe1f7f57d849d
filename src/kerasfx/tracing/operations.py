"""Calls of public functions, recorded as nodes."""

from __future__ import annotations

from functools import partial
from typing import Any

import keras
import numpy as np

from kerasfx.errors import OperationInferenceError, TraceError, UnsafeFileError, describe
from kerasfx.ir import Node, Value, identifier, map_leaves, values_in
from kerasfx.ir.dims import Dim
from kerasfx.ir.structure import shown
from kerasfx.keras_api import internals
from kerasfx.passes.clean_up.order_in_memory import keeps_order
from kerasfx.passes.clean_up.same_numbers import is_alike, moved
from kerasfx.runtime import codec, functions, safety
from kerasfx.tracing import inference, public_calls
from kerasfx.tracing.arguments import argument_of
from kerasfx.tracing.encoding import encode
from kerasfx.tracing.recorder import Arguments, Keywords, Trace
from kerasfx.tracing.sizes.examples import Refusal
from kerasfx.tracing.sizes.tensors import sizes_again
from kerasfx.tracing.tensor import TracedTensor, mask_value
from kerasfx.tracing.where import source_line

RANK = "keras.ops.ndim"
"""Known while tracing, for any tensor; on JAX its result looks like a tensor."""

CONVERSIONS = ("keras.ops.cast", "keras.ops.convert_to_tensor")


def record_operation(trace: Trace, operation: keras.Operation, args: Arguments, kwargs: Keywords) -> Any:
    """Record the call of a `keras.Operation` as that of the public function it stands for."""
    call = public_calls.public_call(operation, args, kwargs)
    if call is None:
        raise trace.unsupported(
            f"{type(operation).__name__} cannot be recorded as a call of a public function."
        )
    return record_op(trace, call.name, call.args, call.kwargs)


def record_op(trace: Trace, name: str, args: Arguments, kwargs: Keywords) -> Any:
    """Record a call of the public function `name`."""
    if name == RANK:
        tensor: Any = (*args, *kwargs.values())[0]
        return len(tensor.shape)
    if name in CONVERSIONS:
        name, args, kwargs = _as_cast(name, args, kwargs)
        if not name:
            return args[0]
    given = args[0] if args else kwargs.get("x")
    args, kwargs = _as_recorded(trace, name, args, kwargs)
    _require_encodable(trace, name, args, kwargs)
    line = source_line()
    specs = _infer(trace, name, args, kwargs)
    if isinstance(specs[0], (int, float)):
        return _number(trace, name, specs)
    short = name.rpartition(".")[2]
    wish = f"{identifier(trace.path)}_{short}" if trace.path else short
    node = Node(wish, name, args, kwargs, trace.path, line)
    result = trace.finish(node, specs)
    if name in trace.dialect.giving_back and _is_masked(given) and _moves_nothing(node):
        trace.graph.remove(node)
        return given
    return result


def _is_masked(x: object) -> bool:
    return isinstance(x, TracedTensor) and mask_value(x) is not None


def _moves_nothing(node: Node) -> bool:
    """Whether a function gives its first argument in the same order, shape and dtype."""
    x = moved(node.outputs) if isinstance(node.outputs, Value) else None
    return x is not None and is_alike(x, node.outputs) and keeps_order(node)


def infer_op(trace: Trace, name: str, args: Arguments, kwargs: Keywords) -> list[Any]:
    """What a call of the function `name` would give; nothing is recorded."""
    return _infer(trace, name, *_as_recorded(trace, name, args, kwargs))


def _as_recorded(
    trace: Trace, name: str, args: Arguments, kwargs: Keywords
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return map_leaves(argument_of(trace, name), sizes_again(trace.sizes_held, name, args, dict(kwargs)))


def _as_cast(name: str, args: Arguments, kwargs: Keywords) -> tuple[str, Arguments, Keywords]:
    """Say a conversion of a traced tensor as a cast; "" for one that gives the tensor itself back.

    On real tensors a conversion to the same dtype returns the same object, with its mask.
    """
    values: dict[str, Any] = {**dict(zip(("x", "dtype"), args, strict=False)), **kwargs}
    x, dtype = values["x"], values.get("dtype")
    if not isinstance(x, TracedTensor):
        return name, args, kwargs
    dtype = x.value.dtype if dtype is None else internals.standardize_dtype(dtype)
    return ("" if dtype == x.value.dtype else "keras.ops.cast"), (x, dtype), {}


def _infer(trace: Trace, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    call = functions.resolve(name), args, inference.without_draw(name, kwargs)
    try:
        with trace.pause():
            return trace.memory.of_call(*call)
    # It says by itself what is wrong, and where.
    except TraceError:
        raise
    except Exception as error:  # whatever Keras and the backend raise for arguments that do not fit
        infer = partial(inference.specs_of_call, *call)
        raise refused(trace, name, Refusal((args, kwargs), infer), error) from error


def _require_encodable(trace: Trace, name: str, args: Arguments, kwargs: Keywords) -> None:
    # Here, and not when the model is saved: here the user's line is known.
    try:
        safety.require_arguments(encode([args, kwargs], lambda _: 0))
    except UnsafeFileError as error:
        raise trace.unsupported(f"{name} is called with what no saved model may hold: {error}") from None
    except codec.NotEncodableError as error:
        raise trace.unsupported(f"{name} is called with {error}, which a saved model cannot hold.") from None


def _number(trace: Trace, name: str, specs: list[Any]) -> int | float:
    """What a function returns that gives a Python number, such as `ops.ndim`."""
    if specs[0] != specs[-1]:
        raise trace.unsupported(
            f"{name} returns a Python number that depends on a free size.",
            "compute it with ops.shape(x)",
        )
    return specs[0]


def refused(trace: Trace, name: str, call: Refusal, error: Exception) -> OperationInferenceError:
    """The error for a function that does not take its arguments."""
    trace.clashes.note_refused(call)
    arguments = call.operands
    return OperationInferenceError(
        describe(
            f"{name}({_typed(*arguments)}) is refused: {error}",
            where=trace.locate(source_line()),
            hint="check the shapes and dtypes of the inputs given to prepare_model; a size that is "
            "free there stands for any, and is tried with example sizes (set them with hints=)",
        ),
        # Also where there are none: no size is to blame, and the original is refused in the same way.
        always=all(_is_draw(v) for v in values_in(arguments)),
    )


def _typed(args: Arguments, kwargs: Keywords) -> str:
    """The arguments of a call: tensors and arrays by dtype and shape, the rest as it was written."""

    def special(x: object) -> str | None:
        if isinstance(x, np.ndarray) and x.size > 1:
            return f"{x.dtype}{x.shape}"
        if isinstance(x, Dim):
            return str(x)
        return f"{x.dtype}{x.shown_shape}" if isinstance(x, Value) else None

    named = [f"{name}={shown(x, special)}" for name, x in kwargs.items()]
    return ", ".join([*(shown(x, special) for x in args), *named])


def _is_draw(value: Value) -> bool:
    """Whether `value` is a seed: no size of the inputs is in it."""
    return value.node is not None and value.node.draws_seed

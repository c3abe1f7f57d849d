"""The arguments of a call in the user's code, as the Values, numbers and arrays that a node holds."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from kerasfx.ir import Value, identifier, leaves_of
from kerasfx.ir.dims import Dim
from kerasfx.keras_api import internals
from kerasfx.keras_api.arrays import to_numpy
from kerasfx.runtime import codec
from kerasfx.tracing.control.training_flag import is_flag
from kerasfx.tracing.native import memory
from kerasfx.tracing.recorder import Structure, Trace
from kerasfx.tracing.state import variables
from kerasfx.tracing.tensor import TracedTensor
from kerasfx.tracing.where import source_line

INLINE_SIZE = 64
"""Constants with at most this many elements stay in the arguments of an op."""


def is_traced(structure: Structure) -> bool:
    """Whether a call with these arguments has to be recorded."""
    return any(_has_no_value_yet(x) for x in leaves_of(structure))


def _has_no_value_yet(x: object) -> bool:
    is_symbolic = isinstance(x, (keras.KerasTensor, Dim)) or internals.is_variable(x)
    return is_symbolic or (_is_array(x) and internals.is_raw_variable(x))


def argument_of(trace: Trace, function: str) -> Callable[[object], object]:
    """How what is given to a public function is written down."""
    if function.startswith("torch."):
        # PyTorch's functions take no arrays of NumPy, and its own dtypes instead of names.
        return lambda x: layer_argument(trace, x)
    return lambda x: codec.without_torch(_argument(trace, x, INLINE_SIZE))


def layer_argument(trace: Trace, x: object) -> object:
    """What stands for `x` among the arguments of a layer: a Value for any tensor."""
    return _argument(trace, x, inline=0)


def _argument(trace: Trace, x: object, inline: int) -> object:
    """What stands for `x` in a node: a Value for a tensor, a weight, or a constant of more than `inline`."""
    x = x.decided() if is_flag(x) else x
    if isinstance(x, TracedTensor):
        return _value_now(trace, x)
    if internals.is_variable(x):
        return _argument(trace, variables.parameter(trace, x), inline)
    if isinstance(x, keras.KerasTensor):
        raise trace.unsupported(
            f"A symbolic tensor from outside the trace is used: {x!r}.",
            "pass it to the model as an input",
        )
    if isinstance(x, np.generic) or not _is_array(x):
        return trace.dialect.argument(x)
    owner = _variable_of(trace, x)
    if owner is not None:
        return _argument(trace, variables.parameter(trace, owner), inline)
    array = _frozen(trace, x)
    if array.size > inline:
        return _constant(trace, array)
    # Within a tuple, PyTorch takes numbers and no arrays.
    return array if array.shape else array[()]


def _value_now(trace: Trace, tensor: TracedTensor) -> Value:
    if tensor.session is not trace:
        raise trace.unsupported(
            f"The tensor {tensor.value.name} belongs to another trace.",
            "do not keep tensors of an earlier call in attributes",
        )
    memory.require_current(trace, tensor.value)
    return variables.held(trace, tensor.value)


def _variable_of(trace: Trace, x: object) -> keras.Variable | None:
    """The Keras variable whose value is the variable `x` of the backend, or None."""
    if not internals.is_raw_variable(x):
        return None
    # By identity: a weight with equal numbers is another one.
    return next((v for v in trace.root.variables if internals.raw_value(v) is x), None)


def _frozen(trace: Trace, x: object) -> np.ndarray:
    """The numbers that an array, or a variable that is no weight, has now."""
    if internals.is_raw_variable(x):
        trace.note(
            "fixed",
            f"{type(x).__name__} {getattr(x, 'name', '')} is no weight of the model, so that Keras does "
            "not train it: the prepared model has its present value",
            source_line(),
            "create it with self.add_weight(...) if it is to be trained or changed",
        )
    with trace.pause():
        # A copy, because the user's code may go on to change its array.
        return np.array(to_numpy(x))


def _constant(trace: Trace, array: np.ndarray) -> Value:
    array.flags.writeable = False
    path = trace.path
    return trace.graph.add_constant(array, f"{identifier(path)}_constant" if path else "constant")


def _is_array(x: object) -> bool:
    return isinstance(x, np.ndarray) or keras.ops.is_tensor(x)

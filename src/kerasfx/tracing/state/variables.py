"""Weights, seeds and their changes: what is read and assigned while `call` runs."""

from __future__ import annotations

import keras

from kerasfx.errors import StateUpdateError, describe
from kerasfx.ir import LayerSpec, Node, SeedDraw, Value, identifier
from kerasfx.ir.build import Spec, specs_like
from kerasfx.keras_api import internals
from kerasfx.tracing.recorder import Structure, Tensor, Trace
from kerasfx.tracing.where import source_line

READ_ASSIGNED = LayerSpec("kerasfx.layers.ReadAssigned")
READ_HELD = LayerSpec("kerasfx.layers.ReadHeld")

ONLY_UPDATED = (
    "a prepared model updates metrics of Keras, whose state `fit` resets, and does nothing else with them"
)


LOST = "on PyTorch the original loses what it assigns to {path}, cast to {dtype} here; the result keeps it"


def parameter(trace: Trace, variable: keras.Variable) -> Tensor:
    """The tensor that stands for a variable, cast as Keras would cast it here."""
    value = trace.effects.reads.get(id(variable)) or parameter_value(trace, variable)
    tensor = trace.tensor_of(value)
    dtype = _cast_to(variable, value.dtype)
    return tensor if dtype is None else trace.record_op("keras.ops.cast", (tensor,), {"dtype": dtype})


def _cast_to(variable: keras.Variable, present: str) -> str | None:
    """The dtype that Keras casts a variable to where the code runs now, or None."""
    dtype = internals.autocast_dtype()
    is_cast = dtype not in (None, present) and internals.is_autocast(variable) and _is_float(present)
    return dtype if is_cast else None


def parameter_value(trace: Trace, variable: keras.Variable) -> Value:
    """The Value of a variable as it is when the model is called.

    Raises:
        StateUpdateError: It belongs to a metric.
    """
    path = trace.paths.of_variable(variable)
    if id(variable) in trace.of_metrics:
        raise refused_metric(trace, f"The state of a metric is read or assigned inside `call`: {path}.")
    return trace.graph.add_parameter(variable, path, tuple(variable.shape), internals.stored_dtype(variable))


def refused_metric(trace: Trace, what: str) -> StateUpdateError:
    """The error for what `call` does with a metric besides updating it."""
    where, hint = trace.locate(source_line()), trace.keep_hint()
    return StateUpdateError(describe(what, where=where, why=ONLY_UPDATED, hint=hint))


def assign(trace: Trace, variable: keras.Variable, new_value: Structure) -> Tensor:
    """Record that `call` assigns a variable: what reads it from now on reads the new value.

    Returns:
        The tensor that was assigned; as in Keras, gradients pass through it whatever the backend.
    """
    kwargs = {"dtype": internals.stored_dtype(variable)}
    tensor = trace.record_op("keras.ops.convert_to_tensor", (new_value,), kwargs)
    if tuple(tensor.value.shape) != tuple(variable.shape):
        raise ValueError(
            f"{trace.paths.of_variable(variable)} has shape {tuple(variable.shape)} and cannot be "
            f"assigned a value of shape {tensor.value.shown_shape}."
        )
    value = parameter_value(trace, variable)
    dtype = _cast_to(variable, value.dtype)
    if dtype and keras.backend.backend() == "torch":
        # Keras copies the new numbers into `variable.value`, which then is a cast copy.
        what = LOST.format(path=trace.paths.of_variable(variable), dtype=dtype)
        trace.note("warning", what, source_line(), "add_weight(..., autocast=False)")
    trace.effects.assigned[id(variable)] = tensor.value
    trace.effects.reads[id(variable)] = _read_back(trace, value, tensor.value)
    return tensor


def _read_back(trace: Trace, old: Value, new: Value) -> Value:
    """What is read of a weight that was assigned; only floats have gradients, which may go elsewhere."""
    if not _is_float(old.dtype):
        return new
    return _call_own(trace, f"{old.name}_assigned", READ_ASSIGNED, [new, old])


def held(trace: Trace, value: Value) -> Value:
    """`value`, or what it gives by now if it is the value of a weight that was assigned since."""
    variable = getattr(value.producer, "variable", None)
    # Of a Value that is no parameter this is the id of None, which no variable has.
    if id(variable) not in trace.effects.reads:
        return value
    now = trace.effects.reads[id(variable)]
    return _call_own(trace, f"{value.name}_held", READ_HELD, [value, now])


def _call_own(trace: Trace, name: str, target: LayerSpec, values: list[Value]) -> Value:
    """Record the call of one of our own layers, whose result is like the first of `values`."""
    node = Node(name, target, (values,), {}, trace.path, source_line())
    return trace.finish(node, specs_like(values[0])).value


def draw_seed(trace: Trace, generator: keras.random.SeedGenerator) -> Tensor:
    """Record a draw from a seed generator."""
    before = trace.effects.last_draw.get(id(generator))
    name = f"{identifier(trace.path)}_seed" if trace.path else "seed"
    # A draw takes the one before as an argument, so that they stay in order.
    after = (before,) if before else ()
    node = Node(name, SeedDraw(generator), after, {}, trace.path, source_line())
    state = generator.state
    tensor = trace.finish(node, [Spec(tuple(state.shape), internals.stored_dtype(state))])
    trace.effects.last_draw[id(generator)] = tensor.value
    return tensor


def _is_float(dtype: str) -> bool:
    return "float" in dtype

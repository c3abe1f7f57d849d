"""Tensors that are changed in place.

The same tensor object stands for a new Value from then on. Everything that may share its memory, a view of
it or what it is a view of, would have changed as well: it must not be read any more.
"""

from __future__ import annotations

from collections.abc import Iterable

from kerasfx.errors import UnsupportedOperationError
from kerasfx.ir import (
    Node,
    Value,
    leaves_of,
)
from kerasfx.keras_api import internals
from kerasfx.runtime.functions.torch_names import words
from kerasfx.tracing.recorder import Recorder
from kerasfx.tracing.tensor import TracedTensor
from kerasfx.tracing.where import source_line

FRESH_FUNCTIONS = words(
    """add subtract sub multiply mul true_divide divide div floor_divide mod remainder power pow negative
    neg matmul bmm mm maximum minimum exp log log1p expm1 sqrt rsqrt square sin cos tan tanh sigmoid
    relu gelu silu elu leaky_relu softmax log_softmax softplus erf where concatenate cat stack sum mean
    max min prod cumsum argmax argmin equal not_equal less less_equal greater greater_equal eq ne lt le
    gt ge logical_and logical_or logical_not zeros ones full arange eye zeros_like ones_like full_like
    copy clone take one_hot tril triu clip clamp cast layer_norm conv conv1d conv2d conv3d linear
    scaled_dot_product_attention set_item rand randn rand_like randn_like dropout normal embedding
    masked_fill gather scatter scatter_add index_select batch_normalization layer_normalization dot
    tensordot conv_transpose depthwise_conv separable_conv max_pool average_pool normalize slice_update
    scatter_update isnan isinf isfinite rms_norm group_norm"""
)
"""Functions whose result shares memory with no argument."""

FRESH_LAYERS = frozenset(
    [
        "BatchNormalization",
        "Conv1D",
        "Conv2D",
        "Conv3D",
        "Dense",
        "EinsumDense",
        "Embedding",
        "LayerNormalization",
        "MultiHeadAttention",
    ]
)


def overwrite(session: Recorder, tensor: TracedTensor, new: TracedTensor) -> TracedTensor:
    """Let `tensor` be `new` from now on; returns it.

    Raises:
        UnsupportedOperationError: `tensor` is a weight or a constant, or `new` does not fit into it.
    """
    old = tensor.value
    if old.is_known or old in session.effects.unsure:
        raise _error(session, f"{old.name}, a weight, a constant or a view of one, is changed in place.")
    if tuple(new.value.shape) != tuple(old.shape):
        raise _error(session, f"{old.name} is changed in place to a value of another shape.")
    if new.value.dtype != old.dtype:
        new = session.record_op("keras.ops.cast", (new, old.dtype), {})
    shared = _sharing_memory(old)
    if any(v.is_known for v in shared):
        raise _error(session, f"{old.name}, a view of a weight or constant, is changed in place.")
    # In the original the change reaches the loss, which is read when the step is done.
    if shared & {loss.value for loss in session.effects.losses}:
        raise _error(session, f"{old.name}, which is part of an added loss, is changed in place.")
    # The tensor itself goes on as the new Value: other names for its memory are stale, it is not.
    for value in shared - {old}:
        session.effects.stale[value] = (*session.effects.stale.get(value, ()), (old, source_line()))
    session.effects.overwritten[old] = new.value
    return tensor


def any_shared(values: Iterable[Value]) -> bool:
    """Whether two of `values` may share memory, or be one."""
    found: set[Value] = set()
    for value in values:
        shared = _sharing_memory(value)
        if not found.isdisjoint(shared):
            return True
        found |= shared
    return False


def give_up(session: Recorder, values: list[Value], readers: Iterable[Value]) -> None:
    """Let nothing read `values` any more: a loop begins with them and changes them in place.

    Raises:
        UnsupportedOperationError: Two of them share memory, or one with a weight, a constant or one of
            `readers`, which the loop goes on reading.
    """
    shared = {v for value in values for v in _sharing_memory(value)}
    is_kept = any(v.is_known for v in shared)
    if is_kept or any_shared(values) or not shared.isdisjoint(readers):
        raise _error(session, "A loop changes memory in place that is read elsewhere.")
    for value in shared:
        changes = session.effects.stale.get(value, ())
        session.effects.stale[value] = (*changes, (value, source_line()))


def require_current(session: Recorder, value: Value) -> None:
    """Refuse to read what another name for the same memory has changed.

    Raises:
        UnsupportedOperationError: `value` is not what the tensor would be at run time.
    """
    if value in session.effects.stale:
        raise _error(
            session,
            f"{value.name} is read after memory that it may share was changed in place, in "
            f"{session.effects.stale[value][0][1]}.",
        )


def put_back(session: Recorder, tensor: TracedTensor, part: TracedTensor) -> None:
    """Let `tensor` be read again after `part = tensor[key]` was changed, which is about to be `tensor[key]`.

    This is what Python makes of `tensor[key] *= 2`.
    """
    effects, changed = session.effects, [part.first_value]
    while changed[-1] in effects.overwritten:
        changed.append(effects.overwritten[changed[-1]])
    # Only if nothing but the part has made it stale: a change by a third name still counts.
    if all(cause in changed for cause, _ in effects.stale.get(tensor.value, ())):
        effects.stale.pop(tensor.value, None)


def retire(session: Recorder, part: TracedTensor) -> None:
    """Refuse to read a view that was put back: a later change of the whole would change it."""
    session.effects.stale[part.value] = ((part.value, source_line()),)


def _sharing_memory(value: Value) -> set[Value]:
    """`value` and what may be a view of it, or what it may be a view of."""
    found: set[Value] = set()
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if value in found:
            continue
        found.add(value)
        # Both ways: two views of one tensor share memory with each other as well.
        calls = [value.producer, *value.users]
        waiting += [
            v for node in calls if isinstance(node, Node) and not _is_fresh(node) for v in _touched(node)
        ]
    return found


def _touched(node: Node) -> list[Value]:
    arguments = [x for x in leaves_of((node.args, node.kwargs)) if isinstance(x, Value)]
    return [*arguments, *node.results]


def _is_fresh(node: Node) -> bool:
    layer = node.layer
    if layer is not None:
        return internals.module_of(type(layer)).startswith("keras.") and type(layer).__name__ in FRESH_LAYERS
    function = (node.function or "").rpartition(".")[2]
    # Of one operand, `einsum` may be a transposed view.
    return function in FRESH_FUNCTIONS or (function == "einsum" and len(_touched(node)) > 2)


def _error(session: Recorder, what: str) -> UnsupportedOperationError:
    hint = f"write x = x + y, or {session.keep_hint()}"
    why = "on PyTorch `x += y` and the like change everything that shares the memory of x"
    return session.unsupported(what, hint, why)

"""Tensors of integers that hold sizes: what they hold is remembered, so that they can be sizes again.

`n = ops.cast(ops.shape(x)[0], "int64")` is a tensor, and `ops.ones((n, 1))` has the batch of `x` still.
Only what is exact in integers is followed; a size that went through floats is one that depends on data.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kerasfx.ir import (
    Node,
    Value,
    leaves_of,
    map_leaves,
)
from kerasfx.ir.dims import greater, lesser
from kerasfx.runtime import functions
from kerasfx.tracing.native.sizes import are_sizes
from kerasfx.tracing.recorder import Args, Function, Held, Kwargs
from kerasfx.tracing.tensor import TracedTensor

_NAMES = """
    M N begin depth dims indices_or_sections k key length limit maxlen maxlength minlength multiples newshape
    num num_classes num_cols num_columns num_repeats num_rows num_segments output_shape pad_width paddings
    repeats reps shape size size_splits sizes slice_sizes start start_indices stop target_shape
"""
SIZES = frozenset(_NAMES.split())
"""Parameters of functions that take sizes."""

RANGES = ("keras.ops.arange", "tf.range", "jax.numpy.arange", "torch.arange")
"""Functions whose result has the dtype of the tensors that they are given as limits."""


WIDE = ("int16", "int32", "int64", "uint16", "uint32", "uint64")
"""Integers that hold sizes; one of eight bits wraps around at 128 or 256, and then is no size."""


def sizes_again(sizes: Held, name: str, args: Args, kwargs: Kwargs) -> tuple[Any, Any]:
    """The arguments of a function, where it wants sizes with those that the tensors given hold."""
    held = [x for x in leaves_of((args, kwargs)) if _held(sizes, x) is not None]
    if not held:
        return args, kwargs
    try:
        bound = inspect.signature(functions.resolve(name)).bind(*args, **kwargs)
    # A call that does not fit is refused where its result is inferred.
    except (TypeError, ValueError):
        return args, kwargs
    given = {k: _again(sizes, v) if k in SIZES else v for k, v in bound.arguments.items()}
    bound.arguments.update(given)
    kwargs = bound.kwargs
    if name in RANGES and "dtype" not in bound.arguments:
        kwargs = {**kwargs, "dtype": held[0].value.dtype}
    return bound.args, kwargs


def _held(sizes: Held, x: object) -> np.ndarray | None:
    return sizes.get(x.value) if type(x) is TracedTensor else None


def _again(sizes: Held, structure: object) -> Any:
    def leaf(x: object) -> Any:
        held = _held(sizes, x)
        return x if held is None else held.tolist()

    return map_leaves(leaf, structure)


def note_sizes(sizes: Held, node: Node) -> None:
    """Remember what the result of `node` holds, if that is a number of sizes."""
    result = node.outputs
    rule = RULES.get(node.function or "")
    if rule is None or not isinstance(result, Value) or result.dtype not in WIDE or len(result.shape) > 1:
        return
    try:
        args, kwargs = map_leaves(lambda x: _as_array(sizes, x), (node.args, node.kwargs))
        held = np.asarray(rule(*args, **kwargs), dtype=object)
    except (KeyError, TypeError, ValueError, IndexError):  # an argument holds no sizes, or has no place
        return
    if held.shape == result.shape and are_sizes(held.reshape(-1).tolist()):
        sizes[result] = held


def _as_array(sizes: Held, x: object) -> Any:
    return sizes[x] if isinstance(x, Value) else x


def _array(x: object) -> np.ndarray:
    if isinstance(x, np.ndarray):
        return x
    array = np.empty(np.shape(x) if isinstance(x, (list, tuple)) else (), dtype=object)
    array[...] = x
    return array


def _first(x: object, *args: Any, **kwargs: Any) -> Any:
    return _array(x)


def _elementwise(function: Callable[[Any, Any], Any]) -> Function:
    def rule(x1: object, x2: object) -> Any:
        pairs = np.broadcast(_array(x1), _array(x2))
        values = [function(a, b) for a, b in pairs]
        return _array(values).reshape(pairs.shape)

    return rule


def _reshape(x: object, newshape: Any) -> Any:
    return _array(x).reshape(newshape)


def _get_item(x: object, key: Any) -> Any:
    return _array(x)[key]


def _expand_dims(x: object, axis: Any) -> Any:
    return np.expand_dims(_array(x), axis)


def _squeeze(x: object, axis: Any = None) -> Any:
    return np.squeeze(_array(x), axis)


def _flip(x: object, axis: Any = None) -> Any:
    return np.flip(_array(x), axis)


def _stack(x: Any, axis: Any = 0) -> Any:
    return np.stack([_array(v) for v in x], axis)


def _concatenate(xs: Any, axis: Any = -1) -> Any:
    return np.concatenate([_array(v) for v in xs], axis)


RULES: Mapping[str, Function] = {
    **{f"keras.ops.{n}": _first for n in ("cast", "convert_to_tensor", "copy", "stop_gradient")},
    "keras.ops.add": _elementwise(operator.add),
    "keras.ops.subtract": _elementwise(operator.sub),
    "keras.ops.multiply": _elementwise(operator.mul),
    "keras.ops.floor_divide": _elementwise(operator.floordiv),
    "keras.ops.mod": _elementwise(operator.mod),
    "keras.ops.minimum": _elementwise(lesser),
    "keras.ops.maximum": _elementwise(greater),
    "keras.ops.reshape": _reshape,
    "keras.ops.get_item": _get_item,
    "keras.ops.expand_dims": _expand_dims,
    "keras.ops.squeeze": _squeeze,
    "keras.ops.flip": _flip,
    "keras.ops.stack": _stack,
    "keras.ops.concatenate": _concatenate,
}
"""What a function of sizes gives, as that of NumPy on arrays of objects."""

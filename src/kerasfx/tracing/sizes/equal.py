"""Which free sizes of a result equal sizes that are known already, for all inputs.

Without this, the length behind a `Dense` would be another unknown than the length in front of it, and
`ops.reshape(x, (b, t, 8, -1))` could not be seen to keep the batch. Only what holds for all sizes is said:
a result whose example sizes merely agree may be cut at a limit that the examples do not reach.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from kerasfx.ir import (
    Node,
    Value,
    leaves_of,
)
from kerasfx.ir.dims import Dim, Size, hint
from kerasfx.keras_api.builtins import (
    builtin_class,
)

ALONE = """
    abs absolute arccos arccosh arcsin arcsinh arctan arctanh argsort cast ceil celu clip conj conjugate
    convert_to_tensor copy cos cosh cumprod cumsum elu erf erfinv exp exp2 expm1 flip floor full_like gelu
    glu hard_sigmoid hard_silu hard_tanh imag isfinite isinf isnan l2_normalize layer_normalization
    leaky_relu log log10 log1p log2 log_sigmoid log_softmax logical_not nan_to_num negative normalize
    ones_like real reciprocal relu relu6 rms_normalization roll round rsqrt selu sigmoid sign silu sin sinh
    softmax softplus softsign sort sparsemax sqrt square squareplus stop_gradient swish tan tanh tanh_shrink
    tril triu zeros_like
"""
BROADCAST = """
    add arctan2 bitwise_and bitwise_or bitwise_xor divide divide_no_nan equal floor_divide greater
    greater_equal isclose less less_equal logaddexp logical_and logical_or logical_xor maximum minimum mod
    multiply not_equal power subtract true_divide where
"""
AXES = """
    all amax amin any argmax argmin associative_scan average average_pool batch_normalization conv
    count_nonzero depthwise_conv dot dot_product_attention einsum expand_dims inner logsumexp matmul max
    max_pool mean median min moveaxis prod separable_conv squeeze stack std sum swapaxes take
    take_along_axis tensordot top_k transpose unstack var
"""
SIZED = """
    broadcast_to empty eye full identity one_hot ones tri zeros
"""
KEEPING = frozenset(
    [f"keras.ops.{name}" for name in f"{ALONE} {BROADCAST} {AXES} {SIZED}".split()]
    + [f"keras.random.{name}" for name in ("normal", "uniform", "truncated_normal", "randint", "dropout")]
)
"""Functions each of whose result sizes is always the same size of an operand, or one that is given; for
convolutions, which shorten by a number and divide, equality for both example sizes says so."""

CHANGING = ("Flatten", "Lambda", "Reshape", "FlaxLayer", "JaxLayer", "TFSMLayer", "TorchModuleWrapper")
"""Built-in layers whose result sizes are no linear functions of one size each."""


def equal_sizes(node: Node) -> Callable[[int, tuple[Any, Any]], Dim | None]:
    """Tell which size an axis of a new Node's result equals: `(axis, its example sizes) -> Dim or None`."""
    rule = RULES.get(node.function or "")
    if rule is not None and node.args:
        exact = rule(node)
        return lambda k, _: exact[k] if k < len(exact) and isinstance(exact[k], Dim) else None
    found = _by_hints(node) if _keeps_sizes(node) else {}
    return lambda _, hints: found.get(hints)


def _keeps_sizes(node: Node) -> bool:
    if node.function:
        return node.function in KEEPING
    if node.call:
        cls = builtin_class(type(node.layer))
        return cls is not None and node.call.opaque is None and cls.__name__ not in CHANGING
    return node.spec is not None and node.spec.class_name.rpartition(".")[2] not in CHANGING


def _by_hints(node: Node) -> dict[tuple[Any, Any], Dim]:
    """The sizes of the operands by example sizes, without those that two unlike sizes share."""
    groups: dict[tuple[Any, Any], list[Dim]] = defaultdict(list)
    for dim in _operand_sizes(node):
        # Two sizes that differ by one do not say which line a layer's sizes lie on.
        if node.function or not dim.is_cut:
            groups[dim.hints].append(dim)
    if any(1 in hints for hints in groups):  # it may be broadcast
        return {}
    return {hints: dims[0] for hints, dims in groups.items() if all(map(dims[0].same_as, dims))}


def _operand_sizes(node: Node) -> Iterator[Dim]:
    for leaf in leaves_of((node.args, node.kwargs)):
        sizes = leaf.shape if isinstance(leaf, Value) else (leaf,)
        yield from (d for d in sizes if isinstance(d, Dim) and d.is_whole)


def _argument(node: Node, position: int, *names: str) -> Any:
    if len(node.args) > position:
        return node.args[position]
    return next((node.kwargs[n] for n in names if n in node.kwargs), None)


def _arange(node: Node) -> list[Any]:
    limits = [node.kwargs.get(k) for k in ("stop", "step")]
    is_plain = len(node.args) == 1 and all(x is None or (type(x) is int and x == 1) for x in limits[1:])
    return [node.args[0]] if is_plain and limits[0] is None else []


def cut_axes(node: Node) -> set[int]:
    """The axes of a result that are a free length cut at a limit: `x[:, :512]` may be shorter than 512."""
    if node.target != "keras.ops.get_item":
        return set()
    return {k for k, (size, key) in enumerate(_parts(node)) if isinstance(size, Dim) and key != slice(None)}


def _get_item(node: Node) -> list[Any]:
    """Sizes of a part: kept by `:`, unknown where a slice has a limit."""
    return [size if key == slice(None) else None for size, key in _parts(node)]


def _parts(node: Node) -> list[tuple[Any, Any]]:
    """For each axis of a part the size that it is taken of (None: a new axis), and the slice."""
    x, key = node.args[0], _argument(node, 1, "key")
    keys = list(key) if isinstance(key, tuple) else [key]
    # `type(k) is int`, since True as an index is a mask.
    if any(not (k is None or k is Ellipsis or type(k) is int or isinstance(k, (slice, Dim))) for k in keys):
        return []
    taken = sum(1 for k in keys if k is not None and k is not Ellipsis)
    rest: list[Any] = [slice(None)] * (len(x.shape) - taken)
    at = keys.index(Ellipsis) if Ellipsis in keys else len(keys)
    sizes = iter(x.shape)
    result: list[tuple[Any, Any]] = []
    for k in [*keys[:at], *rest, *keys[at + 1 :]]:
        size = None if k is None else next(sizes)
        if k is None or isinstance(k, slice):
            result.append((size, k))
    return result


def _reshape(node: Node) -> list[Any]:
    x, shape = node.args[0], _argument(node, 1, "newshape", "shape")
    shape = list(shape) if isinstance(shape, (list, tuple)) else [shape]
    if any(isinstance(d, Value) for d in shape):  # TensorFlow takes tensors for sizes
        return []
    # The type first: `d == -1` may be a question about a free size.
    unknown = [k for k, d in enumerate(shape) if type(d) is int and d == -1]
    if unknown:
        others = math.prod(d for k, d in enumerate(shape) if k not in unknown)
        # Keras has checked that the division leaves no rest.
        shape[unknown[0]] = math.prod(x.shape) // others if hint(others) else None
    return shape


def _concatenate(node: Node) -> list[Any]:
    tensors, axis = node.args[0], _argument(node, 1, "axis")
    if not all(isinstance(x, Value) for x in tensors):
        return []
    first, axis = tensors[0], (-1 if axis is None else axis)
    sizes: list[Size] = list(first.shape)
    sizes[axis] = sum(x.shape[axis] for x in tensors)
    return sizes


def _split(node: Node) -> list[Any]:
    """Sizes of each part: all but that of the axis along which it is split."""
    x, axis = node.args[0], _argument(node, 2, "axis")
    if not isinstance(x, Value):
        return []
    axis = (0 if axis is None else axis) % len(x.shape)
    return [None if k == axis else size for k, size in enumerate(x.shape)]


def _repeat(node: Node) -> list[Any]:
    x, times, axis = node.args[0], _argument(node, 1, "repeats"), _argument(node, 2, "axis")
    if not isinstance(x, Value) or axis is None:
        return []
    is_plain = type(times) is int or isinstance(times, Dim)
    return [
        size if k != axis % len(x.shape) else size * times if is_plain else None
        for k, size in enumerate(x.shape)
    ]


def _like_first(node: Node) -> list[Size]:
    x = node.args[0]
    return list(x.shape) if isinstance(x, Value) else []


RULES: dict[str, Callable[[Node], list[Any]]] = {
    "keras.ops.arange": _arange,
    "keras.ops.concatenate": _concatenate,
    "keras.ops.get_item": _get_item,
    "keras.ops.repeat": _repeat,
    "keras.ops.reshape": _reshape,
    "keras.ops.scatter_update": _like_first,
    "keras.ops.slice_update": _like_first,
    "keras.ops.split": _split,
    "torch.updated.set_item": _like_first,
}

"""Replace an op by the built-in layer that computes the same, where nothing else changes.

Each rule looks at one node and gives the layer and its input, or None. A rule must not change a number,
a dtype, a mask or a shape: layers pass masks on where ops drop them, merging layers expand dimensions
where ops broadcast, and most layers do not take an input whose first dimension is not the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from kerasfx.ir import (
    Graph,
    LayerSpec,
    Node,
    Value,
    leaves_of,
)
from kerasfx.ir.dims import Dim, Size, hint

Replacement = tuple[LayerSpec, Any]
Rule = Callable[[Node], Replacement | None]

MERGES = {
    "keras.ops.add": "keras.layers.Add",
    "keras.ops.subtract": "keras.layers.Subtract",
    "keras.ops.multiply": "keras.layers.Multiply",
    "keras.ops.maximum": "keras.layers.Maximum",
    "keras.ops.minimum": "keras.layers.Minimum",
}
ACTIVATIONS = (
    "sigmoid",
    "tanh",
    "silu",
    "softplus",
    "softsign",
    "elu",
    "selu",
    "relu6",
    "hard_sigmoid",
)


def use_standard_layers(graph: Graph) -> bool:
    """Apply the rules to every op of `graph`; returns whether any did."""
    changed = False
    for node in graph.nodes:
        rule = RULES.get(node.function or "")
        if rule is None or not _is_plain(node):
            continue
        replacement = rule(node)
        if replacement is None:
            continue
        node.target, tensors = replacement
        graph.set_arguments(node, (tensors,), {})
        changed = True
    return changed


def _is_plain(node: Node) -> bool:
    """Whether all tensors are of one float dtype and none carries a mask."""
    # Not those of which only a size is asked.
    values = [*(x for x in leaves_of((node.args, node.kwargs)) if isinstance(x, Value)), *node.results]
    dtypes = {v.dtype for v in values}
    return len(dtypes) == 1 and "float" in dtypes.pop() and all(v.mask is None for v in values)


def _layer(node: Node, class_name: str, **config: Any) -> LayerSpec:
    return LayerSpec(class_name, {**config, "dtype": node.results[0].dtype}, slots={})


def _arguments(node: Node, *names: str) -> dict[str, Any]:
    """The arguments by name, positional ones named in order."""
    return {**dict(zip(names, node.args, strict=False)), **node.kwargs}


def _merge(node: Node) -> Replacement | None:
    arguments = _arguments(node, "x1", "x2")
    a, b = arguments.pop("x1", None), arguments.pop("x2", None)
    if arguments or not isinstance(a, Value) or not isinstance(b, Value):
        return None
    # A merging layer reads its output shape off both operands and takes a size for known although the
    # other operand's is free.
    if len(a.shape) < 2 or not _agree_but(a, b, axis=-1) or not _broadcast(a.shape[-1], b.shape[-1]):
        return None
    return _layer(node, MERGES[str(node.target)]), [a, b]


def _concatenate(node: Node) -> Replacement | None:
    arguments = _arguments(node, "xs", "axis")
    tensors, axis = arguments["xs"], arguments.get("axis", -1)
    if not isinstance(tensors, (list, tuple)) or len(tensors) < 2:
        return None
    if not all(isinstance(x, Value) for x in tensors) or not isinstance(axis, int):
        return None
    first, *others = tensors
    # A layer expects the batch first, and leaves it alone.
    if not _has_batch(first) or axis % len(first.shape) == 0:
        return None
    if any(not _agree_but(first, x, axis % len(first.shape)) for x in others):
        return None
    return _layer(node, "keras.layers.Concatenate", axis=axis), list(tensors)


def _agree_but(a: Value, b: Value, axis: int) -> bool:
    """Whether the shapes agree but for `axis`; a free size agrees with a free size alone."""
    if len(a.shape) != len(b.shape):
        return False
    axis %= len(a.shape)
    pairs = [p for k, p in enumerate(zip(a.shape, b.shape, strict=True)) if k != axis]
    return all(_agree(m, n) for m, n in pairs)


def _agree(m: Size, n: Size) -> bool:
    if isinstance(m, Dim) or isinstance(n, Dim):
        return isinstance(m, Dim) and isinstance(n, Dim)
    return m == n


def _broadcast(m: Size, n: Size) -> bool:
    return _agree(m, n) or (isinstance(m, int) and isinstance(n, int) and 1 in (m, n))


def _has_batch(value: Value) -> bool:
    return len(value.shape) >= 2 and isinstance(value.shape[0], Dim)


def _reshape(node: Node) -> Replacement | None:
    arguments = _arguments(node, "x", "newshape")
    x, shape = arguments["x"], arguments.get("newshape", arguments.get("shape"))
    if not isinstance(x, Value) or not _has_batch(x) or not isinstance(shape, (list, tuple)):
        return None
    rest = list(shape[1:])
    is_known = all(isinstance(d, Dim) or type(d) is int for d in rest)
    if not rest or not is_known or not _keeps_batch(x, shape[0], rest):
        return None
    # One size follows from the number of elements.
    target = tuple(-1 if isinstance(d, Dim) else d for d in rest)
    if target.count(-1) > 1:
        return None
    return _layer(node, "keras.layers.Reshape", target_shape=target), x


def _keeps_batch(x: Value, first: Any, rest: list[Any]) -> bool:
    """Whether the first dimension of the new shape is that of `x` for all sizes."""
    batch = x.shape[0]
    assert isinstance(batch, Dim)
    if isinstance(first, Dim) and batch.same_as(first):
        return True
    if not isinstance(first, Dim) and first != -1:
        return False
    count = math.prod(rest)
    # What is left for the first dimension is the batch; a second -1 leaves that open.
    return hint(count) > 0 and batch.same_as(math.prod(x.shape) // count)


def _transpose(node: Node) -> Replacement | None:
    arguments = _arguments(node, "x", "axes")
    x, axes = arguments["x"], arguments.get("axes")
    if not isinstance(x, Value) or not _has_batch(x) or not isinstance(axes, (list, tuple)):
        return None
    axes = [a % len(x.shape) for a in axes]
    if axes[0] != 0:
        return None
    return _layer(node, "keras.layers.Permute", dims=tuple(axes[1:])), x


def _unary(class_name: str, **config: Any) -> Rule:
    def rule(node: Node) -> Replacement | None:
        arguments = _arguments(node, "x")
        x = arguments.pop("x")
        if arguments.get("alpha") == 1.0:  # of elu; Activation knows no other
            del arguments["alpha"]
        if arguments or not isinstance(x, Value) or not _has_batch(x):
            return None
        return _layer(node, class_name, **config), x

    return rule


def _softmax(node: Node) -> Replacement | None:
    arguments = _arguments(node, "x", "axis")
    x, axis = arguments["x"], arguments.get("axis", -1)
    if not isinstance(x, Value) or not _has_batch(x) or not isinstance(axis, int):
        return None
    return _layer(node, "keras.layers.Softmax", axis=axis), x


RULES: dict[str, Rule] = {
    **dict.fromkeys(MERGES, _merge),
    **{f"keras.ops.{a}": _unary("keras.layers.Activation", activation=a) for a in ACTIVATIONS},
    "keras.ops.concatenate": _concatenate,
    "keras.ops.relu": _unary("keras.layers.ReLU"),
    "keras.ops.reshape": _reshape,
    "keras.ops.softmax": _softmax,
    "keras.ops.transpose": _transpose,
}

"""Replace an op by the built-in layer that computes the same, where nothing else changes.

Each rule looks at one node and gives the layer and its input, or None. A rule must not change a number,
a dtype, a mask or a shape: layers pass masks on where ops drop them, merging layers expand dimensions
where ops broadcast, and most layers do not take an input whose first dimension is not the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kerasfx.ir import (
    Graph,
    LayerSpec,
    Node,
    Value,
    leaves_of,
)
from kerasfx.ir.dims import Dim

Replacement = tuple[LayerSpec, Any]
Rule = Callable[[Node], Replacement | None]

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


def _has_batch(value: Value) -> bool:
    return len(value.shape) >= 2 and isinstance(value.shape[0], Dim)


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


def _gelu(node: Node) -> Replacement | None:
    """The exact form; the layer knows no other."""
    arguments = _arguments(node, "x", "approximate")
    x = arguments["x"]
    if arguments.get("approximate") is not False or not isinstance(x, Value) or not _has_batch(x):
        return None
    return _layer(node, "keras.layers.Activation", activation="gelu"), x


RULES: dict[str, Rule] = {
    **{f"keras.ops.{a}": _unary("keras.layers.Activation", activation=a) for a in ACTIVATIONS},
    "keras.ops.relu": _unary("keras.layers.ReLU"),
    "keras.ops.gelu": _gelu,
    "keras.ops.softmax": _softmax,
}

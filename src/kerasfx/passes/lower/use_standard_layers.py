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
from kerasfx.passes.lower.difference import Replacement
from kerasfx.passes.lower.rule import Lowering, become

Rule = Callable[[Node], Replacement | None]

KNOWN = """
    sigmoid tanh silu softplus softsign elu selu relu6 hard_sigmoid hard_silu hard_tanh log_sigmoid celu
    squareplus soft_shrink hard_shrink tanh_shrink sparse_plus sparse_sigmoid sparsemax log_softmax
"""
"""Functions that `Activation` knows by the same name."""

USUAL = {"alpha": 1.0, "b": 4, "threshold": 0.5, "axis": -1}
"""What `Activation`, which knows no arguments, calls these functions with."""


def use_standard_layers(graph: Graph) -> bool:
    """Apply the rules to every op of `graph`; returns whether any did."""
    changed, lowering = False, graph.meta.get(Lowering) or Lowering()
    for node in graph.nodes:
        rule = RULES.get(node.function or "")
        if rule is None or not _is_plain(node):
            continue
        replacement = rule(node)
        if replacement is None or lowering.closes(replacement[0], node):
            continue
        become(graph, node, replacement)
        changed = True
    return changed


def _is_plain(node: Node) -> bool:
    """Whether all tensors are of one float dtype, and the user has put no mask on the result."""
    # Not those of which only a size is asked.
    values = [*(x for x in leaves_of((node.args, node.kwargs)) if isinstance(x, Value)), *node.results]
    dtypes = {v.dtype for v in values}
    return len(dtypes) == 1 and "float" in dtypes.pop() and all(v.mask is None for v in node.results)


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
        is_usual = all(given == USUAL.get(name) for name, given in arguments.items())
        if not is_usual or len(node.args) > 1 or not isinstance(x, Value) or not _has_batch(x):
            return None
        return _layer(node, class_name, **config), x

    return rule


def _gelu(node: Node) -> Replacement | None:
    arguments = _arguments(node, "x", "approximate")
    # `Activation` knows the exact form alone, which is not that of `ops.gelu(x)`.
    is_exact = arguments.get("approximate", True) is False
    return _of(node, arguments["x"], "Activation", activation="gelu") if is_exact else None


def _of_number(class_name: str, name: str, usual: float) -> Rule:
    """A layer for a function of a tensor and a number that may not be negative."""

    def rule(node: Node) -> Replacement | None:
        arguments = _arguments(node, "x", name)
        number = arguments.get(name, usual)
        is_number = isinstance(number, (int, float)) and not isinstance(number, bool) and number >= 0
        return _of(node, arguments["x"], class_name, **{name: number}) if is_number else None

    return rule


def _elu(node: Node) -> Replacement | None:
    usual = _unary("keras.layers.Activation", activation="elu")
    return usual(node) or _of_number("ELU", "alpha", 1.0)(node)


def _of(node: Node, x: object, class_name: str, **config: Any) -> Replacement | None:
    is_tensor = isinstance(x, Value) and _has_batch(x)
    return (_layer(node, f"keras.layers.{class_name}", **config), x) if is_tensor else None


def _softmax(node: Node) -> Replacement | None:
    arguments = _arguments(node, "x", "axis")
    x, axis = arguments["x"], arguments.get("axis", -1)
    if not isinstance(x, Value) or not _has_batch(x) or not isinstance(axis, int):
        return None
    return _layer(node, "keras.layers.Softmax", axis=axis), x


RULES: dict[str, Rule] = {
    **{f"keras.ops.{a}": _unary("keras.layers.Activation", activation=a) for a in KNOWN.split()},
    "keras.ops.exp": _unary("keras.layers.Activation", activation="exponential"),
    "keras.ops.elu": _elu,
    "keras.ops.gelu": _gelu,
    "keras.ops.leaky_relu": _of_number("LeakyReLU", "negative_slope", 0.2),
    "keras.ops.relu": _unary("keras.layers.ReLU"),
    "keras.ops.softmax": _softmax,
}

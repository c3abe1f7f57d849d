"""Let the activation of a layer be a function behind it, so that a pass meets each activation in one form."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from kerasfx.errors import PassError, describe
from kerasfx.ir import Graph, Node, Value
from kerasfx.keras_api.builtins import applies_activation_last

FUNCTIONS: dict[str, dict[str, Any]] = {
    "elu": {},
    "gelu": {"approximate": False},
    "hard_sigmoid": {},
    "relu": {},
    "relu6": {},
    "selu": {},
    "sigmoid": {},
    "silu": {},
    "softplus": {},
    "softsign": {},
    "tanh": {},
}
"""Activations that are functions of `keras.ops`, each with the arguments that it hands on."""


def split_activations(graph: Graph, names: Iterable[str] = tuple(FUNCTIONS)) -> bool:
    """Turn `Dense(activation="gelu")` into `Dense` and `keras.ops.gelu`; returns whether any was.

    A layer with an activity regularizer, or with a mask that no node of the graph computes, stays as it is.

    Args:
        graph: The graph, which is edited; the bodies of control flow hold no layers.
        names: Which activations.

    Raises:
        PassError: A name is none of `FUNCTIONS`.
    """
    wanted = set(names)
    unknown = sorted(wanted - set(FUNCTIONS))
    if unknown:
        hint = f"take of: {', '.join(FUNCTIONS)}"
        raise PassError(describe(f"{unknown} are not functions of keras.ops alone.", hint=hint))
    # Found before any is split: what replaces them is new.
    nodes = [node for node in graph.nodes if _activation_last(node) in wanted]
    for node in nodes:
        _split(graph, node, str(_activation_last(node)))
    return bool(nodes)


def _activation_last(node: Node) -> object:
    """The name of the activation that a layer applies to its result, if nothing follows it."""
    call = node.call
    if call is None or call.opaque or not applies_activation_last(call.layer):
        return None
    # An activity regularizer is about what the activation gives.
    has_regularizer = call.layer.activity_regularizer is not None
    activation = node.settings.get("activation")
    is_free = not has_regularizer and _keeps_mask(node)
    return activation if isinstance(activation, str) and is_free else None


def _keeps_mask(node: Node) -> bool:
    """Whether what takes the result finds its mask without the layer, which hands it on itself."""
    mask = node.outputs.mask if isinstance(node.outputs, Value) else None
    return mask is None or mask.node is None or mask.node.program is node.program


def _split(graph: Graph, node: Node, name: str) -> None:
    call = node.call
    assert call is not None
    node.target = replace(call, config={**call.config, "activation": "linear"})
    function = graph.make(f"keras.ops.{name}", node.outputs, **FUNCTIONS[name])
    function.stand_where(node)
    graph.insert_after(node, function)
    graph.replace_uses(node.outputs, function.outputs, except_=[function])

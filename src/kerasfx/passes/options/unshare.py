"""One layer for each call, where a layer holds nothing."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from kerasfx.ir import Graph, LayerCall, Node
from kerasfx.keras_api.builtins import is_builtin
from kerasfx.keras_api.internals import all_layers
from kerasfx.reporting import Finding

HINT = "quantizers that take one call for each layer want two layers in the model itself, or none of this one"


def unshare(graph: Graph) -> list[Finding]:
    """Let each call of a layer without weights, seeds and other state be one of a layer of its own.

    Args:
        graph: The graph, which is edited.

    Returns:
        The layers that stay one although they are called several times, and why.
    """
    calls: dict[int, list[Node]] = defaultdict(list)
    for node in graph.nodes:
        if node.call is not None:
            calls[id(node.layer)].append(node)
        elif node.spec is not None:
            calls[id(node.stands_for)].append(node)
    findings = []
    for nodes in calls.values():
        why = _why_shared(nodes[0])
        if len(nodes) > 1 and why:
            findings.append(_stays(nodes, why))
        elif len(nodes) > 1:
            for number, node in enumerate(nodes):
                assert isinstance(node.target, LayerCall)
                node.target = replace(node.target, copy=number)
    return findings


def _why_shared(node: Node) -> str:
    """Why the calls of a layer have to be of one layer; "" where they need not."""
    if node.call is None:
        return "has weights"
    layer = node.call.layer
    if layer.weights:
        return "has weights"
    if layer.variables:
        return "has a seed or other state"
    # What a class of the user's keeps, nobody knows.
    parts = all_layers(layer)
    return "" if all(is_builtin(type(x)) for x in parts) else "is of a class that may keep something"


def _stays(nodes: list[Node], why: str) -> Finding:
    first = nodes[0]
    kind = type(first.layer).__name__ if first.layer is not None else first.name
    what = f"{kind} is called {len(nodes)} times and stays one layer: it {why}"
    return Finding("shared", first.path, what, first.source, HINT)

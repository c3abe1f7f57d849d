"""ReLU where ReLU6 stood: quantizers find a limit themselves. What lies above 6 becomes another number."""

from __future__ import annotations

import keras

from kerasfx.ir import Graph, Node, values_in
from kerasfx.passes.options import activations
from kerasfx.reporting import Finding


def replace_relu6(graph: Graph) -> list[Finding]:
    """Put ReLU where the graph has ReLU6, in bodies of control flow too.

    Args:
        graph: The graph, which is edited.

    Returns:
        Which were replaced, and which could not be.
    """
    found = activations.calls_of(graph, "relu6")
    found += [(graph, node) for node in graph.nodes if _is_limited(node)]
    for place, node in found:
        _replace(place, node)
    findings = [activations.replaced(node, "ReLU instead of ReLU6") for _, node in found]
    return findings + activations.left(graph, _has_relu6, "ReLU6")


def _is_limited(node: Node) -> bool:
    return node.calls_layer(keras.layers.ReLU) and node.settings.get("max_value") == 6


def _replace(graph: Graph, node: Node) -> None:
    if node.function is not None:
        node.target = "keras.ops.relu"
        return
    (x,) = values_in((node.args, node.kwargs))
    slope, threshold = (node.settings.get(key) or 0.0 for key in ("negative_slope", "threshold"))
    new = graph.make("keras.layers.ReLU", x, like=node, negative_slope=slope, threshold=threshold)
    graph.replace(node, new)


def _has_relu6(layer: keras.layers.Layer) -> bool:
    is_limited = isinstance(layer, keras.layers.ReLU) and layer.max_value == 6
    return is_limited or activations.has_activation(layer, keras.activations.relu6)

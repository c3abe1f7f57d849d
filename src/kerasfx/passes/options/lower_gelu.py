"""The exact GELU by `erf`, which ONNX has: TensorFlow writes it by `erfc`, which ONNX has not."""

from __future__ import annotations

import math

import keras

from kerasfx.ir import Graph, Node, Value, values_in
from kerasfx.passes.clean_up.same_numbers import argument
from kerasfx.passes.options import activations
from kerasfx.reporting import Finding


def lower_gelu(graph: Graph) -> list[Finding]:
    """Put `0.5 * x * (1 + erf(x / sqrt(2)))` where the graph has the exact GELU, in bodies too.

    Args:
        graph: The graph, which is edited.

    Returns:
        Which were replaced, and which could not be.
    """
    found = [(place, node) for place, node in activations.calls_of(graph, "gelu") if _is_exact(node)]
    for place, node in found:
        _replace(place, node)
    findings = [activations.replaced(node, "GELU by erf, which rounds in other places") for _, node in found]
    return findings + activations.left(graph, _has_gelu, "GELU")


def _is_exact(node: Node) -> bool:
    return node.function is None or argument(node, 1, "approximate", True) is False


def _replace(graph: Graph, node: Node) -> None:
    def call(name: str, *args: object) -> Value:
        made = graph.make(f"keras.ops.{name}", *args, wish=f"{node.name}_{name}")
        made.stand_where(node)
        graph.insert_before(node, made)
        return made.outputs

    x = next(iter(values_in((node.args, node.kwargs))))
    inside = call("add", call("erf", call("multiply", x, 1 / math.sqrt(2))), 1.0)
    half = call("multiply", x, 0.5)
    graph.replace(node, graph.make("keras.ops.multiply", half, inside, like=node))


def _has_gelu(layer: keras.layers.Layer) -> bool:
    return activations.has_activation(layer, keras.activations.gelu)

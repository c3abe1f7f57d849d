"""Where a graph applies an activation, and where it cannot be taken apart from what a layer does besides."""

from __future__ import annotations

from collections.abc import Callable

import keras

from kerasfx.ir import Graph, Node
from kerasfx.keras_api.internals import all_layers
from kerasfx.passes.legalize.split_activations import split_activations
from kerasfx.reporting import Finding

Layer = keras.layers.Layer


def calls_of(graph: Graph, name: str) -> list[tuple[Graph, Node]]:
    """The calls that apply an activation and do nothing else, each with its graph.

    Layers that apply it last are split.
    """
    split_activations(graph, [name])
    return [(place, node) for place, node in graph.walk() if _applies(node, name)]


def _applies(node: Node, name: str) -> bool:
    is_layer = node.calls_layer(keras.layers.Activation) and node.settings.get("activation") == name
    return is_layer or node.function == f"keras.ops.{name}"


def replaced(node: Node, what: str) -> Finding:
    """What the report says of a call that was replaced."""
    return Finding("replaced", node.path, f"{node.name}: {what}", node.source)


def left(graph: Graph, has_it: Callable[[Layer], bool], what: str) -> list[Finding]:
    """What the report says of layers that stay as they are, although they have an activation inside."""
    layers = {id(n.layer): n for n in graph.nodes if n.layer is not None and any(map(has_it, _parts(n)))}
    return [
        Finding("warning", n.path, f"{type(n.layer).__name__} keeps the {what} inside of it", n.source)
        for n in layers.values()
    ]


def _parts(node: Node) -> list[Layer]:
    # Of a layer that was split the graph calls one without the activation.
    return [] if "activation" in node.call.config else all_layers(node.layer)  # pyright: ignore


def has_activation(layer: Layer, activation: object) -> bool:
    """Whether a layer applies an activation of Keras."""
    return any(getattr(layer, name, None) is activation for name in ("activation", "recurrent_activation"))

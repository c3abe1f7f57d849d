"""A depthwise and a pointwise convolution where a separable one stood: quantizers know the two."""

from __future__ import annotations

from typing import Any

import keras

from kerasfx.ir import Graph, Node
from kerasfx.reporting import Finding

SEPARABLE = {keras.layers.SeparableConv1D: "1D", keras.layers.SeparableConv2D: "2D"}
OF_DEPTHWISE = ("kernel_size", "strides", "padding", "depth_multiplier", "data_format", "dilation_rate")
OF_POINTWISE = ("filters", "data_format", "activation", "use_bias")


def split_separable(graph: Graph) -> list[Finding]:
    """Put `DepthwiseConv` and `Conv`, which compute the same, where the graph calls `SeparableConv`.

    Args:
        graph: The graph, which is edited; the bodies of control flow hold no layers.

    Returns:
        Those that stay, and why.
    """
    findings = []
    for node in graph.nodes:
        if node.call is None or type(node.layer) not in SEPARABLE:
            continue
        why = _why_whole(node)
        if why:
            what = f"{type(node.layer).__name__} stays whole: {why}"
            findings.append(Finding("warning", node.path, what, node.source))
        else:
            _split(graph, node)
    return findings


def _why_whole(node: Node) -> str:
    if node.layer.activity_regularizer is not None:
        return "it has an activity regularizer"
    if node.settings["data_format"] == "channels_first" and keras.backend.backend() == "tensorflow":
        return "TensorFlow has a convolution of channels that come first on GPUs alone"
    return "" if isinstance(node.settings["activation"], str) else "its activation is of no name"


def _split(graph: Graph, node: Node) -> None:
    rank, settings = SEPARABLE[type(node.layer)], node.settings
    policy: dict[str, Any] = {"dtype": node.layer.dtype_policy.name}
    depthwise = graph.make(
        f"keras.layers.DepthwiseConv{rank}",
        *node.args,
        weights={"kernel": graph.weight_of(node, "depthwise_kernel")},
        wish=f"{node.name}_depthwise",
        use_bias=False,
        **policy,
        **{key: settings[key] for key in OF_DEPTHWISE},
    )
    depthwise.stand_where(node)
    graph.insert_before(node, depthwise)
    names = {"kernel": "pointwise_kernel", **({"bias": "bias"} if settings["use_bias"] else {})}
    pointwise = graph.make(
        f"keras.layers.Conv{rank}",
        depthwise.outputs,
        weights={ours: graph.weight_of(node, theirs) for ours, theirs in names.items()},
        like=node,
        kernel_size=1,
        **policy,
        **{key: settings[key] for key in OF_POINTWISE},
    )
    graph.replace(node, pointwise)

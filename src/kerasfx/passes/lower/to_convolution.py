"""Convolutions with weights, and a bias: the layers of their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from kerasfx.ir import Graph, Node
from kerasfx.ir.match import Match, Pattern, any_, either
from kerasfx.passes.lower.rule import Rule, always, lower
from kerasfx.passes.lower.to_dense import bias_is_added
from kerasfx.passes.lower.weighted import (
    comes_from_inputs,
    computes_alike,
    make,
    sizes_of,
    weight,
    weights_of,
)
from kerasfx.passes.patterns import is_tensor, op

X, BIAS = any_("x", is_tensor, "a tensor"), weight("bias")
BIASES = either(BIAS, op.reshape(BIAS, any_("shape of bias")).shared())
HOW = ("strides", "padding", "data_format", "dilation_rate")
GIVEN = {name: any_(name) for name in HOW}

CONV = op.conv(X, weight("kernel"), **GIVEN)
DEPTHWISE = op.depthwise_conv(X, weight("kernel"), **GIVEN)
SEPARABLE = op.separable_conv(X, weight("depthwise"), weight("pointwise"), **GIVEN)
TRANSPOSE = op.conv_transpose(X, weight("kernel"), output_padding=any_("output_padding"), **GIVEN)

Layers = tuple[type[keras.layers.Layer], ...]
CONVS: Layers = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
DEPTHWISE_CONVS: Layers = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
SEPARABLE_CONVS: Layers = (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)
TRANSPOSES: Layers = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)


def to_convolution(graph: Graph) -> bool:
    """Replace convolutions with weights by their layers; returns whether any was."""
    return lower(graph, RULES)


def _conv(graph: Graph, found: Match) -> Node | None:
    *size, channels, filters = sizes_of(found["kernel"])
    # The function finds out the groups.
    groups, rest = divmod(_channels(found) or 0, channels)
    if not groups or rest:
        return None
    return _made(graph, found, CONVS, filters, size, {"filters": filters, "groups": groups}, kernel="kernel")


def _depthwise(graph: Graph, found: Match) -> Node | None:
    *size, channels, multiplier = sizes_of(found["kernel"])
    config = {"depth_multiplier": multiplier}
    return _made(graph, found, DEPTHWISE_CONVS, channels * multiplier, size, config, kernel="kernel")


def _separable(graph: Graph, found: Match) -> Node | None:
    *size, _, multiplier = sizes_of(found["depthwise"])
    filters = sizes_of(found["pointwise"])[-1]
    config = {"depth_multiplier": multiplier, "filters": filters}
    names = {"depthwise_kernel": "depthwise", "pointwise_kernel": "pointwise"}
    return _made(graph, found, SEPARABLE_CONVS, filters, size, config, **names)


def _transpose(graph: Graph, found: Match) -> Node | None:
    *size, filters, _ = sizes_of(found["kernel"])
    padding = found["output_padding"]
    config = {"filters": filters, "output_padding": padding if padding is None else _all(padding, len(size))}
    return _made(graph, found, TRANSPOSES, filters, size, config, kernel="kernel")


def _made(
    graph: Graph,
    found: Match,
    layers: Layers,
    filters: int,
    size: list[int],
    config: dict[str, Any],
    **names: str,
) -> Node | None:
    rank, has_bias = len(size), "bias" in found
    is_known = len(layers) >= rank > 0 and len(found["x"].shape) == rank + 2
    if not is_known or not computes_alike(found, *names.values(), *(["bias"] if has_bias else [])):
        return None
    if not isinstance(found["data_format"], str) or found["padding"] not in ("same", "valid"):
        return None
    if (has_bias and not _is_bias(found, filters, rank)) or not comes_from_inputs(found["x"]):
        return None
    config |= {"kernel_size": tuple(size), "padding": found["padding"], "data_format": found["data_format"]}
    config |= {name: _all(found[name], rank) for name in ("strides", "dilation_rate")}
    config = {key: given for key, given in config.items() if given != _usual(key, rank)}
    weights, use_bias = weights_of(found, **names, bias="bias"), {} if has_bias else {"use_bias": False}
    return make(graph, found, layers[rank - 1], found["x"], weights=weights, **use_bias, **config)


def _usual(key: str, rank: int) -> object:
    """What the layers take for an argument that is not given."""
    ones = dict.fromkeys(("strides", "dilation_rate"), (1,) * rank)
    return {"padding": "valid", "groups": 1, "depth_multiplier": 1, **ones}.get(key)


def _channels(found: Match) -> int | None:
    """The number of channels of the tensor."""
    size = found["x"].shape[1 if found["data_format"] == "channels_first" else -1]
    return size if isinstance(size, int) else None


def _all(given: Any, rank: int) -> tuple[int, ...]:
    """A number for each axis."""
    return (given,) * rank if isinstance(given, int) else tuple(given)


def _is_bias(found: Match, filters: int, rank: int) -> bool:
    """Whether one number is added to each channel, in the shape in which the layer adds it, too."""
    if sizes_of(found["bias"]) != (filters,):
        return False
    is_last = found["data_format"] == "channels_last"
    if "shape of bias" not in found:
        return is_last
    wanted = (1,) * (rank + 1) + (-1,) if is_last else (1, -1) + (1,) * rank
    shape = tuple(found["shape of bias"])
    return shape in (wanted, tuple(filters if d == -1 else d for d in wanted))


def _rules(
    name: str, function: str, pattern: Pattern, build: Callable[[Graph, Match], Node | None]
) -> list[Rule]:
    return [
        Rule(
            f"{function} and add to {name}",
            ("keras.ops.add",),
            op.add(pattern.named("product"), BIASES),
            build,
            bias_is_added,
        ),
        Rule(f"{function} to {name}", (f"keras.ops.{function}",), pattern, build, always),
    ]


RULES = [
    *_rules("Conv", "conv", CONV, _conv),
    *_rules("DepthwiseConv", "depthwise_conv", DEPTHWISE, _depthwise),
    *_rules("SeparableConv", "separable_conv", SEPARABLE, _separable),
    *_rules("ConvTranspose", "conv_transpose", TRANSPOSE, _transpose),
]

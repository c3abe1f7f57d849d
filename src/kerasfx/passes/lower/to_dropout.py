"""`if training: x = keras.random.dropout(x, rate, seed=generator)`: `Dropout`, whose draws are the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import keras

from kerasfx.ir import Graph, LayerSpec, Node, SeedDraw, Value
from kerasfx.ir.match import Functions, Match, Pattern, Refuse, any_, layer
from kerasfx.passes.lower.rule import Lowering, Rule, lower
from kerasfx.passes.lower.weighted import comes_from_inputs, name_for
from kerasfx.passes.patterns import is_tensor
from kerasfx.runtime.layers import SelectByTraining

random = Functions("keras.random", keras.random)


def _draw(name: str) -> Pattern:
    """A seed that is drawn in training, the first of its generator; `named` sees that it is the last one."""

    def tries(x: object, found: Match, no: Refuse) -> Iterator[Match]:
        node = x.node if isinstance(x, Value) else None
        if (
            node is None
            or not isinstance(node.target, SeedDraw)
            or node.inputs
            or not node.kwargs.get("when")
        ):
            return no(found, "the seed is no only draw of a generator")
        yield replace(found, nodes=(*found.nodes, node))

    return Pattern(tries).named(name)


X = any_("x", is_tensor, "a tensor")
DROPPED = random.dropout(X, any_("rate"), noise_shape=any_("noise_shape"), seed=_draw("draw"))
BY_MODE = layer(SelectByTraining, [X, DROPPED])


def to_dropout(graph: Graph) -> bool:
    """Replace dropout by hand by `Dropout`; returns whether any was."""
    return lower(graph, RULES)


def _dropout(graph: Graph, found: Match) -> Node | None:
    x, rate, generator = found["x"], found["rate"], found["draw"].target.generator
    lowering = graph.meta.get(Lowering)
    # The state of the layer's own generator takes the place of that of the original.
    if lowering is not None and lowering.shares:
        return None
    is_rate = isinstance(rate, float) and 0.0 < rate < 1.0
    if (
        not is_rate
        or "float" not in x.dtype
        or not _is_shape(found["noise_shape"])
        or not comes_from_inputs(x)
    ):
        return None
    config: dict[str, Any] = {"rate": rate, "seed": generator.get_config()["seed"], "dtype": x.dtype}
    if found["noise_shape"] is not None:
        config["noise_shape"] = tuple(found["noise_shape"])
    spec = LayerSpec("keras.layers.Dropout", config, generator=generator)
    return graph.make(spec, x, like=found.root, wish=name_for(found, spec.class_name))


def _is_shape(noise_shape: object) -> bool:
    return noise_shape is None or all(type(size) is int for size in noise_shape)  # pyright: ignore


RULES = [Rule("dropout by hand to Dropout", ("kerasfx.layers.SelectByTraining",), BY_MODE, _dropout)]

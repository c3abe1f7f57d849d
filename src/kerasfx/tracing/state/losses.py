"""Which calls add losses."""

from __future__ import annotations

from collections.abc import Callable

import keras

from kerasfx.ir import Node
from kerasfx.keras_api import internals
from kerasfx.keras_api.builtins import builtin_class
from kerasfx.passes.legalize.tie_to_outputs import ADD_LOSS


def adds_losses(node: Node) -> bool:
    """Whether `node` adds a loss, or may: what a custom layer does is not known."""
    if node.spec:
        return node.calls(ADD_LOSS) or bool(node.spec.config.get("activity_regularizer"))
    return node.layer is not None and adds_inside(node.layer, lambda x: builtin_class(type(x)) is None)


def adds_inside(layer: keras.Layer, adds_itself: Callable[[keras.Layer], bool]) -> bool:
    """Whether a layer in `layer` has an activity regularizer, or adds losses itself."""
    parts = internals.all_layers(layer)
    return any(x.activity_regularizer is not None or adds_itself(x) for x in parts)

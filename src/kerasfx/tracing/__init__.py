"""Trace: run the user's `call` methods once on symbolic tensors and write down what they do.

`search` finds the call and the example sizes with which the model can be traced, `attempt` makes one such
trace, `patches` lets it see what happens, and a `session` records it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from kerasfx.inputs import call_spec, public, require_model, require_one_of
from kerasfx.runtime import modes
from kerasfx.tracing.layers.policy import Selector, WholePolicy
from kerasfx.tracing.search import run_trace
from kerasfx.tracing.sizes.examples import Hints
from kerasfx.tracing.traced import Traced

__all__ = ["Hints", "run_trace", "trace"]


@public
def trace(
    model: keras.Layer,
    input_layer: Any = None,
    *,
    leaves: Sequence[Selector] = (),
    opened: Sequence[Selector] = (),
    mode: modes.Mode = modes.BOTH,
    hints: Hints | None = None,
) -> Traced:
    """Trace `model` into a graph and leave it as it was (an unbuilt model gets built).

    Args:
        model: A Keras model or layer.
        input_layer: What it is called with, as for `prepare_model`.
        leaves: Layers that stay whole: classes, patterns of paths, predicates.
        opened: Layers that are opened although they are built-in.
        mode: `"inference"` or `"training"` for what the model does in that mode alone.
        hints: Example sizes by input name, `{"tokens": (2, 128)}`, for Python code that asks about free
            sizes.

    Returns:
        The checked graph, what was found and where it comes from; `print` it to see the graph.

    Raises:
        UnsupportedModelError: `model` is no Keras model or layer.
        ValueError: `mode` is none.
        InputRequiredError: The inputs are not known.
        TraceError: The model itself does something that a graph cannot represent.
    """
    require_model(model, "trace", input_layer)
    require_one_of(mode=(mode, modes.MODES))
    spec = call_spec(model, input_layer)
    return run_trace(model, spec, WholePolicy.of(leaves, opened), hints, mode)

"""Where `fit` and `predict` compute in another dtype than a call, on JAX.

Keras runs the model's own `call` in them (`Layer.stateless_call`) and not `Layer.__call__`, which casts what
the model is called with, and its own weights, to the dtype that its policy computes in. The result has each
cast in its graph.
"""

from __future__ import annotations

import keras

from kerasfx.ir import Graph, Input, Node, Parameter, Value
from kerasfx.reporting import Finding


def findings(graph: Graph, root: keras.layers.Layer) -> list[Finding]:
    """What the user should know about the dtypes of `fit` and `predict`."""
    if keras.backend.backend() != "jax" or not isinstance(root, keras.Model):
        return []
    dtype = root.compute_dtype
    casts = [node for node in graph.nodes if node.calls("keras.ops.cast") and _is_of_root(node, dtype)]
    felt = [node for node in casts if any(_is_felt(value, dtype) for value in node.results)]
    if not felt:
        return []
    names = ", ".join(dict.fromkeys(node.inputs[0].name for node in felt))
    call = f"{type(root).__name__}.call"
    what = (
        f"`fit` and `predict` of the original do not cast {names} to {dtype} by themselves, as a call does: "
        f"Keras on JAX runs {call} alone in them; those of the result compute as a call does"
    )
    hint = f"move what {call} does into a layer with the dtype policy of the model, and call that there"
    return [Finding("warning", "", what, felt[0].source, hint)]


def _is_of_root(cast: Node, dtype: str) -> bool:
    """Whether the model itself casts an input or a weight to `dtype`."""
    return not cast.path and dtype in cast.args and isinstance(cast.inputs[0].producer, (Input, Parameter))


def _is_felt(value: Value, dtype: str) -> bool:
    """Whether anything takes a cast value but layers that would cast it themselves."""
    layers = [node.layer for node in value.users]
    return not value.users or any(x is None or not x.autocast or x.compute_dtype != dtype for x in layers)

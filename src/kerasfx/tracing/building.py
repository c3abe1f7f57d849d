"""What Keras says to a call that a pass makes: shapes, dtypes, masks, and the weights of a new layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import keras

from kerasfx.ir import (
    LayerSpec,
    Node,
    SeedDraw,
    Slot,
    Value,
    leaves_of,
    map_values,
    values_in,
    weights_by_name,
)
from kerasfx.ir.build import Inferred, MadeMask, Spec, specs_like
from kerasfx.ir.dims import Dim, hint
from kerasfx.keras_api import internals
from kerasfx.keras_api.random_state import random_state_kept
from kerasfx.runtime import functions
from kerasfx.runtime.layers import class_named
from kerasfx.tracing import inference
from kerasfx.tracing.encoding import encode
from kerasfx.tracing.recorder import Memory
from kerasfx.tracing.sizes.equal import cut_axes, equal_sizes


class KerasInference:
    """The `kerasfx.ir.build.Inference` that asks Keras, in a way that leaves no trace there.

    Args:
        memory: What calls gave that are like others.
    """

    def __init__(self, memory: Memory):
        self._memory = memory

    def infer(self, node: Node) -> Inferred:
        """What `node` would give.

        Raises:
            Exception: Whatever Keras, or the user's layer, says to such a call.
        """
        known = _of_function(node, self._memory) if node.function else _of_target(node, self._memory)
        return replace(known, equal=equal_sizes(node), cut=frozenset(cut_axes(node)))


def _of_function(node: Node, memory: Memory) -> Inferred:
    assert node.function is not None
    _require_no_variables(node)
    # What a file cannot hold is refused now, where the pass is at fault.
    encode((node.args, node.kwargs), lambda value: 0)
    kwargs = inference.without_draw(node.function, node.kwargs)
    with internals.fresh_names(), internals.no_call_context():
        return Inferred(memory.of_call(functions.resolve(node.function), node.args, kwargs))


def _require_no_variables(node: Node) -> None:
    for x in leaves_of((node.args, node.kwargs)):
        if isinstance(x, keras.Variable):
            raise ValueError(
                f"{x.path} is a variable, and a call takes Values: graph.weight_of(node, ...) or "
                "graph.add_parameter gives that of a weight"
            )


def _of_target(node: Node, memory: Memory) -> Inferred:
    if node.spec or node.layer:
        with _leaving_no_trace():
            if node.spec:
                return _of_new_layer(node, node.spec, memory)
            return _of_layer(node, node.layer, memory)
    if isinstance(node.target, SeedDraw):
        state = node.target.generator.state
        return Inferred([Spec(tuple(state.shape), str(state.dtype))])
    first = node.args[0]
    return Inferred(specs_like(first), (first.mask,))


@contextmanager
def _leaving_no_trace() -> Iterator[None]:
    with internals.fresh_names(), internals.no_call_context(), random_state_kept():
        yield


def _of_new_layer(node: Node, spec: LayerSpec, memory: Memory) -> Inferred:
    _require_no_variables(node)
    layer = class_named(spec.class_name)(**spec.config)
    layer.add_weight = partial(_with_zeros, layer.add_weight)
    # First, since the call builds the layer: its weights are asked for below.
    masks = _masks(node, layer)
    weights = weights_by_name(layer)
    slots = {n: Slot(tuple(v.shape), str(v.dtype), bool(v.trainable)) for n, v in weights.items()}
    return Inferred(memory.of_layer(layer, node.args, node.kwargs), masks, slots, _config_of(layer))


def _config_of(layer: keras.layers.Layer) -> dict[str, Any]:
    try:
        config = layer.get_config()
    except Exception:  # code of the user's may lie inside, as a cell in an RNN; then nothing is known
        return {}
    # Its name is that of today, the node has one of its own.
    return {key: x for key, x in config.items() if key != "name"}


def _with_zeros(add_weight: Callable[..., keras.Variable], *args: object, **kwargs: object) -> keras.Variable:
    """`add_weight` of a layer that is thrown away: initializers of big weights take long."""
    return add_weight(*args, **{**kwargs, "initializer": "zeros"} if len(args) < 2 else kwargs)


def _of_layer(node: Node, layer: keras.layers.Layer, memory: Memory) -> Inferred:
    # Another object with the same state: a symbolic call writes itself down in the layer.
    alias = internals.alias_of(layer, type(layer), layer.name)
    with internals.calls_forgotten(lambda: internals.all_layers(layer)):
        masks = _masks(node, alias)
        return Inferred(memory.of_layer(alias, node.args, node.kwargs), masks)


def _masks(node: Node, layer: keras.layers.Layer) -> tuple[Value | MadeMask | None, ...]:
    """The masks that the results of a call carry; the layer is built by it, and tried with all sizes."""
    values = list(values_in((node.args, node.kwargs)))
    is_free = any(isinstance(d, Dim) for v in values for d in v.shape)
    masks = _called(node, layer, 0)
    if is_free:
        _called(node, layer, 1)
    return masks


def _called(node: Node, layer: keras.layers.Layer, which: int) -> tuple[Value | MadeMask | None, ...]:
    tensors: dict[Value, keras.KerasTensor] = {}

    def tensor(value: Value) -> keras.KerasTensor:
        if value not in tensors:
            tensors[value] = _symbolic(value, which)
            mask = node.implicit_masks.get(value, value.mask)
            if mask is not None:
                internals.set_mask(tensors[value], tensor(mask))
        return tensors[value]

    args, kwargs = map_values(tensor, (node.args, node.kwargs))
    results = leaves_of(layer(*args, **kwargs))
    of_tensor = {id(t): v for v, t in tensors.items()}
    masks = [internals.mask_of(x) for x in results]
    return tuple(m if m is None else of_tensor.get(id(m), MadeMask()) for m in masks)


def _symbolic(value: Value, which: int) -> Any:
    return keras.KerasTensor(tuple(hint(d, which) for d in value.shape), dtype=value.dtype)

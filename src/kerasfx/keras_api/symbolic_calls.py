"""A symbolic call of a layer, without what `Layer.__call__` does in vain where nothing special is asked.

`called` makes what `layer(x)` makes, by the methods of Keras that `Layer.__call__` would ask: the layer is
built from the same `CallSpec`, says shapes, dtypes and masks itself, and Keras's own `Node` records the call.
Left out is what has no effect on symbolic tensors, or none under the conditions that are asked first: casting
what has the right dtype, scopes that are not open, a context of the call that nobody reads, texts for errors.

| private name | relied on for | since |
|---|---|---|
| `Layer._maybe_build(CallSpec)`, `_open_name_scope` | building as in a call | 3.0 |
| `CallSpec(signature, call_context_args, args, kwargs)`, `Layer._call_signature` | the same | 3.11 |
| `Layer._call_context_args` | that `training` is all that a layer reads of what is around | 3.11 |
| `Layer._assert_input_compatibility` | refusing what does not fit | 3.0 |
| `Layer._set_mask_metadata` | the masks of what is returned | 3.0 |
| `Layer._convert_input_args` | when nothing is cast | 3.0 |
| `Layer._called`, `_parent_path` | what a call leaves behind | 3.0 |
| `Node(operation, call_args, call_kwargs, outputs)` | recording the call | 3.0 |
"""

from __future__ import annotations

from typing import Any

import keras
from keras.src.layers.layer import CallSpec
from keras.src.ops.node import Node

from kerasfx.keras_api.internals import (
    Layer,
    autocast_dtype,
    casts,
    default_of_training,
    is_in_call_context,
    mask_of,
    module_of,
    takes_mask,
    takes_training,
)

_call_of_keras = Layer.__call__


def called(layer: Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What `layer(*args, **kwargs)` gives for symbolic tensors."""
    if kwargs or len(args) != 1 or not (_is_ordinary(layer) and _is_as_it_wants(args[0], layer)):
        return layer(*args, **kwargs)
    (x,) = args
    _built(layer, x)
    no_mask = keras.tree.map_structure(lambda _: None, x)
    training = default_of_training(layer) if takes_training(layer) else None
    given = {} if training is None else {"training": training}
    if takes_mask(layer):
        given["mask"] = no_mask
    outputs = layer.compute_output_spec(x, **given)
    layer.built = True
    if layer.supports_masking:
        layer._set_mask_metadata(x, outputs, no_mask)
    Node(
        operation=layer, call_args=args, call_kwargs=given if _keeps_given(layer, x) else {}, outputs=outputs
    )
    return outputs


def _keeps_given(layer: Layer, x: Any) -> bool:
    """Whether Keras's node holds the `mask` and `training` that nobody wrote: where it converts nothing."""
    is_one = isinstance(x, keras.KerasTensor) and x.dtype == layer.input_dtype
    return is_one or not layer._convert_input_args


def _is_ordinary(layer: Layer) -> bool:
    """Whether a call of `layer` is one of Keras's, in which nothing around matters."""
    cls = type(layer)
    module = module_of(cls)
    is_of_keras = cls.__call__ is Layer.__call__ and module.startswith("keras.src.layers.")
    return (
        (is_of_keras or module.startswith("kerasfx.runtime."))
        # Patched, it may be looked at.
        and Layer.__call__ is _call_of_keras
        and layer._call_context_args == {"training"}
        and layer.compute_dtype == layer.variable_dtype
        and autocast_dtype() is None
        and not is_in_call_context()
        and keras.distribution.distribution() is None
    )


def _is_as_it_wants(x: object, layer: Layer) -> bool:
    """Whether `x` is a symbolic tensor or several, without masks, that `layer` does not cast."""
    tensors: Any = x if isinstance(x, (list, tuple)) and x else [x]
    return all(
        isinstance(t, keras.KerasTensor) and mask_of(t) is None and not casts(layer, t) for t in tensors
    )


def _built(layer: Layer, x: object) -> None:
    layer._called = True
    layer._assert_input_compatibility(x)
    if layer.built and layer._parent_path is not None:
        return
    # It also notes where the layer is called first.
    with layer._open_name_scope():
        if not layer.built:
            layer._maybe_build(CallSpec(layer._call_signature, layer._call_context_args, (x,), {}))

"""A call of an op's layer with tensors that have values, without what `Layer.__call__` does in vain there.

A layer that neither casts, masks, builds nor knows `training` has nothing to ask before its `call`, and to
ask takes longer than most ops: 100 microseconds on TensorFlow and JAX, 150 on PyTorch.

| private name | relied on for | since |
|---|---|---|
| `EagerTensor` of TensorFlow | telling a tensor with a value from one of a graph | 2.0 |
| `Layer._remat_mode` | that nothing is computed again in the backward pass | 3.9 |
| `Module._forward_hooks`, `_forward_pre_hooks` of PyTorch | that nobody looks at the call | 2.0 |
| `Module._backward_hooks`, `_backward_pre_hooks`, `_has_any_global_hook` | the same | 2.0 |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from kerasfx.keras_api.internals import Layer, Operation, autocast_dtype

_calls_of_keras = Layer.__call__, Operation.__call__


def is_plain_call(layer: Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether `Layer.__call__` would do nothing but run the `call` of such a layer."""
    if kwargs or len(args) != 1 or not layer.built:
        return False
    tensors = args[0] if isinstance(args[0], (list, tuple)) else args
    return (
        len(tensors) > 0
        and all(map(_has_value, tensors))
        # Patched, they may be looked at.
        and (Layer.__call__, Operation.__call__) == _calls_of_keras
        and layer.activity_regularizer is None
        and getattr(layer, "_remat_mode", None) is None
        and autocast_dtype() is None
        and keras.distribution.distribution() is None
        and not _is_watched(layer)
    )


def _backend() -> tuple[Callable[[object], bool], Callable[[Any], bool]]:
    """Whether something is a tensor with a value, and whether somebody watches the calls of a layer."""
    if keras.backend.backend() == "tensorflow":
        # Not `type(tf.constant(0))`: that settles which devices there are.
        from tensorflow.python.framework.ops import EagerTensor

        return lambda x: isinstance(x, EagerTensor), lambda layer: False
    if keras.backend.backend() == "jax":
        from jax import Array
        from jax.core import Tracer

        return lambda x: isinstance(x, Array) and not isinstance(x, Tracer), lambda layer: False
    import torch
    from torch.jit._trace import is_tracing
    from torch.nn.modules.module import _has_any_global_hook

    def is_watched(layer: Any) -> bool:
        before = layer._forward_pre_hooks or layer._backward_pre_hooks
        hooks = before or layer._forward_hooks or layer._backward_hooks or _has_any_global_hook()
        return bool(hooks) or torch.compiler.is_compiling() or is_tracing()

    # Subclasses stand for something else, as for what is being traced.
    return lambda x: type(x) in (torch.Tensor, torch.nn.Parameter), is_watched


_has_value, _is_watched = _backend()

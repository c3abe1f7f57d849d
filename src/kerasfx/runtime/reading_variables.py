"""How gradients go through a variable that was assigned and then read, on each backend.

On TensorFlow and PyTorch a variable is a place: reading it gives its gradient to the variable, whatever was
assigned. On JAX, and on any backend in a `keras.StatelessScope`, what is read is the tensor assigned.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kerasfx.keras_api import internals


def variables_are_places() -> bool:
    """Whether reading a variable gives what is in a place, and no tensor that it was assigned."""
    return keras.backend.backend() != "jax" and not internals.in_stateless_scope()


def read_assigned(new_value: object, weight: object) -> Any:
    """What is read of a weight that was assigned: the new value, with the gradient of the backend."""
    return _read_from_place(new_value, weight) if variables_are_places() else ops.copy(new_value)


@ops.custom_gradient
def _read_from_place(new_value: object, weight: object) -> Any:
    def gradient(*arguments: object, upstream: object = None) -> tuple[Any, Any]:
        # Keras passes the upstream gradient by name on PyTorch and alone on TensorFlow.
        upstream = arguments[0] if upstream is None else upstream
        return ops.zeros_like(upstream), upstream

    return ops.copy(new_value), gradient

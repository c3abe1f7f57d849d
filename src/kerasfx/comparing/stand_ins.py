"""Stand-ins for the variables of a model: what trains a model on TensorFlow and PyTorch works on variables.

In a `keras.StatelessScope` a variable that was assigned gives the very tensor that it was assigned, and the
gradient goes on through it. `fit` has no such scope on these backends. So that it can be done as `fit` does
it without writing to a model, its variables get others of the backend inside for a while.
"""

from collections.abc import Collection, Iterable
from typing import Any

import keras

Held = Iterable[tuple[keras.Variable, Any]]
"""Variables of Keras, with variables of the backend."""


def stand_ins(values: Held, trained: Collection[int]) -> list[tuple[keras.Variable, Any]]:
    """New variables of the backend.

    Args:
        values: Variables, and the value (a tensor of its shape) for each.
        trained: `id`s of the variables by which there are gradients.
    """
    make = {"tensorflow": _tensorflow, "torch": _torch}[keras.backend.backend()]
    return [(v, make(value, id(v) in trained)) for v, value in values]


def _tensorflow(value: Any, is_trained: bool) -> Any:
    import tensorflow as tf

    return tf.Variable(value, trainable=is_trained, dtype=value.dtype)


def _torch(value: Any, is_trained: bool) -> Any:
    import torch

    return torch.nn.Parameter(value.detach().clone(), requires_grad=is_trained)

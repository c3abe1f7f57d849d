"""Which classes and functions are operations, activations and optimizers of Keras, by their modules.

| private name | relied on for | since |
|---|---|---|
| `keras.src.ops.*` | an operation class and its function share a module and a name | 3.0 |
| `keras.src.backend.torch.optimizers.*` | classes that Keras puts below the public ones on PyTorch | 3.0 |
| `keras.src.activations.activations.ReLU` | `keras.activations.relu` is an operation of its own | 3.0 |
"""

from __future__ import annotations

from collections.abc import Callable

from kerasfx.keras_api.internals import module_of

_OPERATIONS = "keras.src.ops."
_ACTIVATIONS = "keras.src.activations.activations"


def is_of_keras(cls: type) -> bool:
    """Whether a class of operations is one of those behind `keras.ops`."""
    return module_of(cls).startswith(_OPERATIONS)


def is_relu(cls: type) -> bool:
    """Whether a class of operations is the one of `keras.activations.relu`."""
    return (module_of(cls), cls.__name__) == (_ACTIVATIONS, "ReLU")


def is_activation(function: Callable[..., object]) -> bool:
    """Whether a function in `keras.activations` is an activation, and no reader of names."""
    return module_of(function) == _ACTIVATIONS


def public_optimizer(optimizer: object) -> type:
    """The class by which the user knows an optimizer: on PyTorch Keras puts its own below it."""
    return next(c for c in type(optimizer).__mro__ if not module_of(c).startswith("keras.src.backend."))

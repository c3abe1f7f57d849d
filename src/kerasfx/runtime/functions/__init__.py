"""The function that a recorded call names: one of Keras, or one of the backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from kerasfx.runtime.functions import backend_functions, keras_functions


def resolve(name: str) -> Callable[..., Any]:
    """Returns the function that a node or a saved `Op` layer calls.

    Args:
        name: For example `keras.ops.matmul`, `tf.math.cumsum`.

    Raises:
        UnknownFunctionError: No namespace of pure functions of tensors holds it.
    """
    if backend_functions.is_known_namespace(name):
        return backend_functions.resolve(name)
    return keras_functions.resolve(name)


def names() -> Iterator[str]:
    """Every name that a recorded call has, of each backend; of those that mean one function of Keras one."""
    seen: set[int] = set()
    for name, function in keras_functions.functions().items():
        if id(function) not in seen:
            yield name
        seen.add(id(function))
    yield from backend_functions.names()

"""Gradients: the only part of the oracle that speaks to a backend."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import keras

Loss = Callable[[Sequence[Any]], Any]


def value_and_gradient(loss: Loss, values: Sequence[Any]) -> tuple[Any, list[Any]]:
    """A scalar function of tensors and its gradient, as dense tensors.

    Args:
        loss: Takes tensors like `values`, returns a float tensor of shape ().
        values: Float tensors of any shapes.

    Returns:
        The loss, and one tensor per value, of its shape and dtype; zeros where the loss does not
        depend on it.

    Raises:
        NotImplementedError: The backend of Keras has no gradients.
    """
    backend = keras.backend.backend()
    if backend not in _GRADIENTS:
        raise NotImplementedError(f"The Keras backend '{backend}' has no gradients.")
    return _GRADIENTS[backend](loss, list(values))


def gradient_by_variables(loss: Callable[[], Any], variables: Sequence[Any]) -> list[Any]:
    """The gradient of what `loss` gives, a float tensor of shape (), by variables of the backend.

    Returns:
        One dense tensor for each; zeros where the loss does not depend on it.
    """
    return _BY_VARIABLES[keras.backend.backend()](loss, list(variables))


def without_gradients() -> contextlib.AbstractContextManager[Any]:
    """A block in which nothing is recorded for gradients, as in `predict`.

    Only PyTorch records when nobody asks for it, and refuses to hand such tensors to NumPy.
    """
    if keras.backend.backend() != "torch":
        return contextlib.nullcontext()
    import torch

    return torch.no_grad()


def _tensorflow(loss: Loss, values: list[Any]) -> tuple[Any, list[Any]]:
    import tensorflow as tf

    # By the values that stand in for variables alone.
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(values)
        result = loss(values)
    return result, _dense_gradients(tape, result, values)


def _by_tensorflow_variables(loss: Callable[[], Any], variables: list[Any]) -> list[Any]:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        result = loss()
    return _dense_gradients(tape, result, variables)


def _dense_gradients(tape: Any, result: Any, sources: list[Any]) -> list[Any]:
    import tensorflow as tf

    found = tape.gradient(result, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    # The gradient of an embedding table is a sparse IndexedSlices.
    return [tf.convert_to_tensor(g) for g in found]


def _jax(loss: Loss, values: list[Any]) -> tuple[Any, list[Any]]:
    import jax

    return jax.value_and_grad(loss)(values)


def _torch(loss: Loss, values: list[Any]) -> tuple[Any, list[Any]]:
    watched = [value.detach().clone().requires_grad_() for value in values]
    result = loss(watched)
    return result, _by_torch_tensors(result, watched)


def _by_torch_parameters(loss: Callable[[], Any], variables: list[Any]) -> list[Any]:
    return _by_torch_tensors(loss(), variables)


def _by_torch_tensors(result: Any, sources: list[Any]) -> list[Any]:
    import torch

    # A loss that depends on none of them; PyTorch refuses to be asked.
    if not result.requires_grad:
        return [torch.zeros_like(v) for v in sources]
    found = torch.autograd.grad(result, sources, allow_unused=True)
    return [torch.zeros_like(v) if g is None else g for v, g in zip(sources, found, strict=True)]


_GRADIENTS = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
_BY_VARIABLES = {"tensorflow": _by_tensorflow_variables, "torch": _by_torch_parameters}

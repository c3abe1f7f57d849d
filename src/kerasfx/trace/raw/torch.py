"""Functions of this backend are not recorded yet: a layer that calls one on a tensor stays whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras

DRAWS: frozenset[str] = frozenset()


def twin(name: str, function: Callable[..., Any]) -> None:
    """How to say `function` with `keras.ops`, or None."""


def special(session: Any, name: str, original: Any, args: Any, kwargs: Any) -> Any:
    """The result of a call that is no op, or NotImplemented."""
    return NotImplemented


def patches() -> Iterator[tuple[Any, str, Callable[..., Any]]]:
    """What else is replaced while tracing."""
    return iter(())


def shape(sizes: tuple[Any, ...]) -> tuple[Any, ...]:
    """What `x.shape` is."""
    return sizes


def dtype(name: str) -> Any:
    """What `x.dtype` is."""
    return keras.backend.standardize_dtype(name)


def attribute(tensor: Any, name: str) -> Any:
    """What an attribute of the backend's tensors is for a tensor of the trace."""
    raise AttributeError(name)

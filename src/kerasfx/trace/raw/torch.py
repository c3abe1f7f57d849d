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


def operator_function(op: str, args: tuple[Any, ...]) -> str | None:
    """The backend's function for an operator that does not mean `keras.ops.<op>`, or None."""
    return None


def exact(call: Any) -> Any:
    """A call of a twin that means what the function means for every size, or None."""
    return call


def argument(x: Any) -> Any:
    """What is recorded for an argument of a function."""
    return x


def patches() -> Iterator[tuple[Any, str, Callable[..., Any]]]:
    """What else is replaced while tracing."""
    return iter(())


def shape(sizes: tuple[Any, ...]) -> tuple[Any, ...]:
    """What `x.shape` is."""
    return sizes


def dtype(name: str) -> Any:
    """What `x.dtype` is."""
    return keras.backend.standardize_dtype(name)


def tensor_class() -> type | None:
    """What `isinstance` takes a tensor of the trace for in the user's code, besides its own class."""
    return None


def attribute(tensor: Any, name: str) -> Any:
    """What an attribute of the backend's tensors is for a tensor of the trace."""
    raise AttributeError(name)

"""Tensors that `call` keeps in attributes of its layer: those of a trace must not stay in the original."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kerasfx.trace.tensor import TracedTensor


@contextmanager
def tensors_forgotten(layers: Callable[[], list[Any]]) -> Iterator[None]:
    """Give attributes that the block makes refer to tensors of a trace back what they were before."""
    before = {id(x): (x, dict(vars(x))) for x in layers()}
    try:
        yield
    finally:
        for layer in layers():
            _, attributes = before.get(id(layer), (layer, {}))
            _forget(vars(layer), attributes)


def _forget(now: dict[str, Any], before: dict[str, Any]) -> None:
    for name in [name for name, value in now.items() if _holds_traced(value)]:
        if name in before:
            now[name] = before[name]
        else:
            del now[name]


def _holds_traced(value: Any) -> bool:
    items = (
        value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else [value]
    )
    return any(type(x) is TracedTensor for x in items)

"""Tensors that `call` keeps in attributes of its layer: those of a trace must not stay in the original."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from kerasfx.keras_api import internals
from kerasfx.keras_api.replacing import undone
from kerasfx.tracing.tensor import TracedTensor

Attributes = dict[int, tuple[Any, dict[str, Any]]]
"""The attributes of layers, by the ids of the layers, which are kept alive."""

_NUMBERS = (int, float)
_MAY_HOLD = (TracedTensor, dict, list, tuple)


@contextmanager
def tensors_forgotten(model: keras.Layer) -> Iterator[Attributes]:
    """Give attributes that the block makes refer to tensors of a trace back what they were before.

    Numbers as well, in layers that were built before: a call that counts itself was no call of the user's.

    Yields:
        What they were.
    """
    before = {id(x): (x, dict(vars(x))) for x in internals.all_layers(model)}
    # All layers of then: `call` may have made some.
    with (
        undone(lambda: forget(internals.all_layers(model), before)),
        undone(lambda: _put_back_numbers(before)),
    ):
        yield before


def _put_back_numbers(before: Attributes) -> None:
    for layer, attributes in before.values():
        now = vars(layer) if attributes.get("built") else {}
        for name, value in attributes.items():
            if type(value) in _NUMBERS and type(now.get(name)) in _NUMBERS and now[name] != value:
                now[name] = value


def forget(layers: Iterable[Any], before: Attributes, made_by: Container[Any] | None = None) -> None:
    """Do so for the tensors that certain nodes made, or for all."""
    for layer in layers:
        now, attributes = vars(layer), before.get(id(layer), (layer, {}))[1]
        found = [(name, value) for name, value in now.items() if isinstance(value, _MAY_HOLD)]
        for name in [name for name, value in found if _holds_traced(value, made_by)]:
            if name in attributes:
                now[name] = attributes[name]
            else:
                del now[name]


def _holds_traced(value: object, made_by: Container[Any] | None) -> bool:
    items = (
        value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else [value]
    )
    return any(type(x) is TracedTensor and (made_by is None or x.value.producer in made_by) for x in items)

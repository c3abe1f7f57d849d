"""What `call` keeps in attributes of its layer: of a trace nothing of that stays in the original."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras

from kerasfx.keras_api import internals
from kerasfx.keras_api.kept_items import (
    Items,
    fill,
    is_data,
    is_structure,
    items_of,
    parts_of,
    put_items_back,
)
from kerasfx.keras_api.making_layers import UNTRACKED
from kerasfx.keras_api.replacing import undone
from kerasfx.tracing.tensor import TracedTensor


@dataclass(frozen=True)
class Kept:
    """The attributes of a layer.

    Attributes:
        layer: The layer.
        attributes: By name.
        items: What was in the lists and dicts that the code of the user keeps, by name.
    """

    layer: Any
    attributes: dict[str, Any]
    items: Items


Attributes = dict[int, Kept]
"""The attributes of layers, by the ids of the layers, which are kept alive."""

_MISSING = object()


@contextmanager
def attributes_put_back(model: keras.Layer) -> Iterator[Attributes]:
    """Give attributes that the block makes refer to tensors and sizes of a trace back what they were before.

    In layers that were built before numbers as well, and structures of plain data: a call that counts itself,
    or remembers the last shape, was no call of the user's. True, False, None and words stay as the call has
    left them: they may say what layers were made.

    Yields:
        What they were.
    """
    before = {id(x): _kept(x) for x in internals.all_layers(model)}
    # All layers of then: `call` may have made some.
    with (
        undone(lambda: forget(internals.all_layers(model), before)),
        undone(lambda: _put_back_data(before)),
    ):
        yield before


def _kept(layer: Any) -> Kept:
    return Kept(layer, dict(vars(layer)), items_of(layer))


def _put_back_data(before: Attributes) -> None:
    for kept in before.values():
        now = vars(kept.layer) if kept.attributes.get("built") else {}
        for name, value in kept.attributes.items():
            present = now.get(name, _MISSING)
            if present is value or type(value) in _WORDS:
                continue
            if is_data(value) and is_data(present) and type(present) not in _WORDS:
                now[name] = value
        if now:
            put_items_back(kept.layer, kept.attributes, kept.items)


_WORDS = frozenset({type(None), bool, str})


def forget(layers: Iterable[Any], before: Attributes, made_by: Container[Any] | None = None) -> None:
    """Do so for the tensors that certain nodes made, or for all that is of a trace."""
    for layer in layers:
        kept = before.get(id(layer))
        now, attributes = vars(layer), kept.attributes if kept else {}
        items = kept.items if kept else {}
        for name, value in [(k, x) for k, x in now.items() if type(x) not in UNTRACKED]:
            is_old = attributes.get(name, _MISSING) is value
            if (is_old and name not in items) or not _is_of_trace(value, made_by):
                continue
            if is_old:
                fill(value, _without(value, made_by))
            elif name in attributes:
                now[name] = attributes[name]
            else:
                del now[name]


def _without(x: Any, made_by: Container[Any] | None) -> Any:
    """The items of a list or dict that are not of the trace."""
    if isinstance(x, dict):
        return {k: v for k, v in x.items() if not _is_of_trace((k, v), made_by)}
    return [v for v in x if not _is_of_trace(v, made_by)]


def _is_of_trace(x: object, made_by: Container[Any] | None) -> bool:
    """Whether `x` is or holds a tensor that certain nodes made, or what is worth nothing behind the trace."""
    if type(x) in UNTRACKED:
        return False
    if type(x) is TracedTensor:
        return made_by is None or x.value.producer in made_by
    if made_by is None and internals.module_of(type(x)).startswith(("kerasfx.tracing.", "kerasfx.ir.")):
        return True
    if is_structure(x):
        return any(_is_of_trace(part, made_by) for part in parts_of(x))
    # What the backend gave where a layer was asked for the shapes of its results.
    return made_by is None and keras.ops.is_tensor(x) and internals.is_left_over(x)

"""Lists and dicts in which the code of a user keeps what it has seen: tables by length, what was counted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from kerasfx.keras_api import internals
from kerasfx.keras_api.making_layers import UNTRACKED

Items = dict[str, Any]
"""Copies of the lists and dicts of a layer, by the names of the attributes."""


def items_of(layer: keras.Layer) -> Items:
    """What is in the lists and dicts that the class of `layer` keeps, where that is no class of Keras's."""
    if internals.module_of(type(layer)).startswith("keras.src."):
        return {}
    found = internals.unlike_other_layers(layer)
    return {name: x.copy() for name, x in found.items() if _goes_by_its_items(x)}


def _goes_by_its_items(x: object) -> bool:
    """Whether `x` is a list or dict with no more to it than what is in it, as Keras's own kinds are."""
    return isinstance(x, (list, dict)) and internals.module_of(type(x)).startswith(("builtins", "keras.src."))


def put_items_back(layer: keras.Layer, attributes: dict[str, Any], items: Items) -> None:
    """Let the lists and dicts of `layer` hold data as before; what had or has layers in it stays as it is.

    Args:
        layer: The layer.
        attributes: Its attributes of then: a list that took the place of another is not looked at.
        items: What `items_of` gave then.
    """
    for name, before in items.items():
        value = vars(layer).get(name)
        if value is attributes[name] and is_data(value) and is_data(before):
            fill(value, before)


def fill(value: Any, items: Any) -> None:
    """Let a list or dict hold other items."""
    # Past the methods of Keras's lists, which would track what is in them once more.
    if isinstance(value, dict):
        dict.clear(value)
        dict.update(value, items)
    else:
        list.__setitem__(value, slice(None), items)


def is_data(x: object) -> bool:
    """Whether `x` is numbers, words, tensors or a structure of these: no layer, variable or unknown thing."""
    if type(x) in UNTRACKED or isinstance(x, (np.ndarray, np.generic, keras.KerasTensor)):
        return True
    # Sizes of a trace, ours or one of JAX.
    if internals.module_of(type(x)).startswith(("kerasfx.ir.", "jax.")):
        return True
    if is_structure(x):
        return all(map(is_data, parts_of(x)))
    return keras.ops.is_tensor(x) and not internals.is_raw_variable(x)


def is_structure(x: object) -> bool:
    """Whether `x` is a list, tuple, dict or slice."""
    return isinstance(x, (list, tuple, dict, slice))


def parts_of(x: Any) -> Iterable[Any]:
    """What is in a structure, the keys of a dict included."""
    if isinstance(x, dict):
        return (*x.keys(), *x.values())
    return (x.start, x.stop, x.step) if isinstance(x, slice) else x

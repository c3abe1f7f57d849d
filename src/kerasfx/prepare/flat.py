"""Models that are flat already."""

from __future__ import annotations

import keras

from kerasfx.emitting.telling import flat_already
from kerasfx.keras_api import alone, foreign, internals
from kerasfx.keras_api.builtins import is_builtin, is_whole_by_itself
from kerasfx.prepare.wanted import Wanted
from kerasfx.reporting import attach, report, was_prepared


def comes_back(original: keras.layers.Layer, wanted: Wanted) -> bool:
    """Whether `original` is what is wanted, and can be returned as it is; it has a report then."""
    if not wanted.is_plain:
        return False
    if wanted.portable and not (is_functional(original) and not alone.needed_in(original)):
        return False
    # One that holds layers kept whole is what `strict` refuses.
    if was_prepared(original) and not (wanted.strict and report(original).opaque):
        return True
    if is_flat(original):
        attach(original, flat_already(original))
        return True
    return False


def is_flat(model: keras.layers.Layer) -> bool:
    """Whether `model` is a Functional model of layers that Keras and kerasfx alone can load."""
    return is_functional(model) and all(
        is_builtin(type(op)) and is_whole_by_itself(op) and not foreign.given_to(op)
        for op in internals.operations_but_masks(model)
    )


def is_functional(model: keras.layers.Layer) -> bool:
    """Whether `model` is a Functional model, and of no class of the user's."""
    return type(model).__name__ == "Functional" and isinstance(model, internals.Functional)

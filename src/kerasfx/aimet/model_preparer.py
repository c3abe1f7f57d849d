"""`prepare_model` with the signature and the contract of AIMET's."""

from __future__ import annotations

import keras

from kerasfx import prepare
from kerasfx.aimet.advice import advised
from kerasfx.ir import Graph
from kerasfx.reporting import was_prepared


def prepare_model(original_model: keras.Model, input_layer: object = None) -> keras.Model:
    """Turn a Keras model into an equivalent flat Functional model, as AIMET's function of this name does.

    Args:
        original_model: The model; it is left as it was (an unbuilt one gets built).
        input_layer: An `InputLayer` or `keras.Input`, or a list or dict of them. Needed where the model
            itself is subclassed and was never called. Whatever `kerasfx.prepare_model` takes is taken, too.

    Returns:
        A Functional model with copies of the weights, never `original_model` itself.

    Raises:
        ValueError: The inputs are not known, or `input_layer` does not fit the model.
        TypeError: `original_model` is no Keras model or layer, or its code is refused by Keras 3.
        KerasFxError: Whatever else `kerasfx.prepare_model` raises.
    """
    with advised():
        return prepare.prepare_model(original_model, input_layer, passes=_passes(original_model))


def _passes(model: keras.Model) -> tuple:
    """What makes `kerasfx.prepare_model` give another model where it would give the same: a pass."""
    comes_back = was_prepared(model) or prepare.is_flat(model)
    return (leave_as_it_is,) if comes_back else ()


def leave_as_it_is(graph: Graph) -> bool:
    """A pass that changes nothing."""
    return False

"""The weights and constants that functions take: what makes the variable of each, and what it is given."""

from __future__ import annotations

from typing import Any, cast

import keras

from kerasfx.emitting import weights
from kerasfx.emitting.making import Making
from kerasfx.handover import recorded
from kerasfx.handover.placement import assign_array, hand_over
from kerasfx.ir import Computed, Constant, Node, Parameter, Value
from kerasfx.ir.weights import is_trained
from kerasfx.keras_api.builtins import WEIGHT_KINDS
from kerasfx.runtime.held_weights import HeldWeight

Known = Parameter | Computed | Constant
"""Who gives a Value that no node results in."""


class WeightsOfFunctions:
    """Describes weights for the config of a layer, and gives its variables their values.

    Args:
        making: The model in the making.
    """

    def __init__(self, making: Making):
        self.making = making

    def describe(self, value: Value, user: Node) -> HeldWeight:
        """What makes the variable of a weight, or the constant itself where it is small.

        Args:
            value: The weight or constant.
            user: A node that takes it, to say where it is.
        """
        producer = cast(Known, value.producer)
        if isinstance(producer, Constant):
            return HeldWeight.of_constant(producer.array)
        if isinstance(producer, Parameter):
            variable = producer.variable
            called_with = [recorded.argument_of(variable)]
            given = {
                kind: self.making.loadable(getattr(variable, kind), kind, called_with, producer.path)
                for kind in WEIGHT_KINDS
            }
            return HeldWeight.of_variable(variable, variable.name, **given)
        own: dict[str, Any] = {
            kind: weights.own_of(value, value.name, kind, user, self.making) for kind in WEIGHT_KINDS
        }
        shape = [n for n in value.shape if isinstance(n, int)]
        return HeldWeight(value.name, shape, value.dtype, is_trained(value), **own)

    def give(self, own: keras.Variable, value: Value) -> None:
        """Give the variable of a weight its value, and note where that comes from."""
        producer, record = value.producer, self.making.record
        if isinstance(producer, Constant):
            assign_array(own, producer.array)
            record.constants.append(own)
        elif isinstance(producer, Parameter):
            if not self.making.share:
                hand_over(own, producer.variable)
            record.variables.append((producer.variable, own))
        else:
            weights.compute(own, value, self.making)

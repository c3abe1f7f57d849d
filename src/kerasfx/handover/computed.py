"""Weights of a prepared model that are computed from weights of the original."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from kerasfx.ir import Constant, Parameter, Value
from kerasfx.ir.weights import Expression

ReadVariable = Callable[[keras.Variable], np.ndarray]
"""Gives an array for a variable of the original: its value, its gradient, its slot in an optimizer."""


@dataclass(frozen=True, eq=False)
class ComputedWeight:
    """A variable of the prepared model that is computed from variables of the original.

    Attributes:
        variable: The variable of the prepared model.
        expression: How it is computed, over Values that are in no graph.
    """

    variable: keras.Variable
    expression: Expression

    @classmethod
    def of(cls, variable: keras.Variable, expression: Expression) -> ComputedWeight:
        """What is remembered of `variable`: the graph, and with it the original, may go."""
        known: dict[Value, Value] = {}

        def alone(value: Value) -> Value:
            if value not in known:
                known[value] = Value(value.name, value.shape, value.dtype, value.producer)
            return known[value]

        return cls(variable, expression.substitute(alone))

    @property
    def originals(self) -> list[keras.Variable]:
        """The variables of the original that it is computed from."""
        return [v.producer.variable for v in self.expression.parameters if isinstance(v.producer, Parameter)]

    @property
    def trains_alike(self) -> bool:
        """Whether each of its elements is one element of a variable of the original, each once.

        Then a step of gradient descent does the same to both, and state for each element goes along.
        """
        return self.expression.is_rearrangement

    def value(self, read: ReadVariable) -> np.ndarray:
        """What it is where the variables of the original are what `read` gives."""
        return self.expression.evaluate(lambda value: array_of(value, read))

    def inverse(self, array: np.ndarray) -> list[tuple[keras.Variable, np.ndarray]]:
        """What the variables of the original have to be for it to be `array`.

        Raises:
            NotInvertibleError: That does not follow.
        """
        found = self.expression.inverse(array)
        return [(v.producer.variable, x) for v, x in found.items() if isinstance(v.producer, Parameter)]

    def now_in(self, variable: keras.Variable) -> ComputedWeight:
        """The same of a model in which another variable stands for this one."""
        return ComputedWeight(variable, self.expression)

    def __str__(self) -> str:
        return str(self.expression)


def array_of(value: Value, read: ReadVariable) -> np.ndarray:
    """The array of a parameter, by `read`, or of a constant."""
    if isinstance(value.producer, Parameter):
        return read(value.producer.variable)
    assert isinstance(value.producer, Constant)
    return value.producer.array

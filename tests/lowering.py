"""Models of one function each, for the tests of lowering, and the line that each becomes."""

from collections.abc import Callable
from dataclasses import dataclass

import keras
from keras import ops

import kerasfx


class Call(keras.Model):
    """A model whose `call` is a function; `scale` is a weight of shape (4,), `table` of (3, 4)."""

    def __init__(self, function):
        super().__init__(name="net")
        self.function = function

    def build(self, shape):
        self.scale = self.add_weight(shape=(4,), initializer="ones", name="scale")
        self.table = self.add_weight(shape=(3, 4), initializer="ones", name="table")

    def call(self, x, y=None):
        return self.function(self, x) if y is None else self.function(self, x, y)


@dataclass(frozen=True)
class Rule:
    """A function, the inputs that it is called with, and the line that stands for it in the end."""

    function: Callable
    inputs: tuple
    after: str


def f(*shape, dtype="float32"):
    """An input with a free batch."""
    return keras.Input(shape, dtype=dtype)


def half(x):
    """The tensor in float16."""
    return ops.cast(x, "float16")


def fixed(*shape):
    """An input whose batch is known."""
    return keras.Input(batch_shape=shape)


def call_with(inputs):
    """The inputs as `prepare_model` takes them, named x and y."""
    named = [
        keras.Input(batch_shape=t.shape, dtype=t.dtype, name=n) for t, n in zip(inputs, "xy", strict=False)
    ]
    return kerasfx.Inputs(*named)


def lowered(rule, *passes):
    """The graph of a rule before and after the passes, as lines."""
    graph = kerasfx.trace(Call(rule.function), call_with(rule.inputs)).graph
    before = lines(graph)
    for each in passes:
        each(graph)
    return before, lines(graph.check())


def lines(graph):
    """What each node calls, without types and comments."""
    found = [line.strip() for line in str(graph).splitlines() if line.startswith("  %")]
    return [line.partition(" = ")[2].partition("  #")[0] for line in found]

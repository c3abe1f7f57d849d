"""The walk that makes a model of nothing but Keras, or says which nodes prevent it."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kerasfx.emitting.making import Tensors
from kerasfx.emitting.portable import obstacles
from kerasfx.emitting.portable.call import Call
from kerasfx.emitting.portable.functions import say
from kerasfx.emitting.portable.sizes import Sizes
from kerasfx.emitting.walk import Walk
from kerasfx.ir import Graph, Node, Value, leaves_of
from kerasfx.keras_api import alone, internals
from kerasfx.reporting import Finding

LONGEST = 800
"""Keras walks a graph by recursion, one Python frame for each call of a chain; the usual limit is 1,000."""

TOO_DEEP = f"more than {LONGEST} calls follow one another, too many for Keras to load them"


class PortableWalk(Walk):
    """A walk whose functions are Keras's own operations.

    Raises:
        NotPortableError: A node prevents it; that is asked before any layer is made.
    """

    def __init__(self, graph: Graph, share: bool, training_in_fit: str):
        super().__init__(graph, share, training_in_fit)
        obstacles.require_none(graph, obstacles.of_graph(graph, self.rules))
        self.sizes = Sizes(self._tensor, lambda: reversed(list(self.tensors)))
        # By `id`, for as long as they live.
        self.named: dict[int, Any] = {}

    def results_of(self, node: Node) -> Tensors:
        """The results of a node, of which a function is an operation."""
        if node.function is None:
            return super().results_of(node)
        outputs = say(Call(node, self._argument, self.sizes))
        for x in leaves_of(outputs):
            self._name(x, node.name)
        return outputs

    def _argument(self, value: Value) -> Any:
        """What stands for a Value in a call of a function: a constant is the array itself."""
        return self._tensor(value) if value.array is None else value.array

    def _with_mask(self, value: Value, expected: Value | None) -> Any:
        tensor = self._tensor(value)
        if expected is value.mask:
            return tensor
        if (value, expected) not in self.masked:
            # The result of an operation carries no mask; to attach one is an obstacle.
            self.masked[value, expected] = self._name(ops.copy(tensor), f"{value.name}_unmasked")
        return self.masked[value, expected]

    def _name(self, tensor: Any, wish: str) -> Any:
        """The same tensor, whose operation has a name of the graph."""
        operation = internals.call_that_made(tensor).operation
        if id(operation) not in self.named:
            self.named[id(operation)] = operation
            operation.name = self.making.name(wish)
        return tensor

    def _rename_masks(self, outputs: list[Any]) -> None:
        """Give the operations that stand for no node of the graph names that nothing else has."""
        for operation in internals.operations_of_keras(outputs):
            if id(operation) not in self.named:
                operation.name = self.making.name(operation.name)

    def _model(self, inputs: Tensors, outputs: Tensors, name: str) -> keras.Model:
        flat = [t for t in leaves_of(outputs) if t is not None]
        self._rename_masks(flat)
        if alone.longest_chain(flat) > LONGEST:
            obstacles.require_none(self.graph, [obstacles.of_name(None, "", TOO_DEEP)])
        model = keras.Model(inputs, outputs, name=name)
        obstacles.require_none(self.graph, self._lost(model))
        return model

    def _lost(self, model: keras.Model) -> list[Finding]:
        """What no file gives back: a net under what `obstacles.of_graph` knows."""
        by_name = {node.name: node for node in self.graph.nodes}
        lost = [(x.name, alone.why_lost(x)) for x in internals.operations_but_masks(model)]
        return [obstacles.of_name(by_name.get(name), name, why) for name, why in lost if why]

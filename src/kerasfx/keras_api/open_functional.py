"""Keras's Functional model, whose way through its graph a subclass may go itself.

| private name | relied on for | since |
|---|---|---|
| `Functional._run_through_graph` | symbolic calls, and `call` itself, go through the graph by it | 3.0 |
| `Functional._standardize_inputs` | inputs of any form as the flat list that the graph begins with | 3.0 |
| `Functional._inputs_struct` | the keys that it takes, where it takes a dict | 3.0 |
| `Functional._outputs_struct` | the structure of the outputs | 3.0 |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from kerasfx.keras_api.internals import Functional

CallFunction = Callable[..., Any]


class OpenFunctional(Functional):
    """A Functional model in which methods without an underscore stand for those of Keras."""

    def flat_inputs(self, inputs: object) -> list[Any]:
        """Inputs of any form that the model takes, as the flat list that its graph begins with."""
        struct = self._inputs_struct
        if isinstance(struct, dict) and isinstance(inputs, dict) and struct.keys() <= inputs.keys():
            # Keras goes by order, and one key too many would move those behind it.
            inputs = {key: inputs[key] for key in struct}
        return self._standardize_inputs(inputs)

    def packed(self, outputs: list[Any]) -> Any:
        """Flat outputs in the structure of the model."""
        return keras.tree.pack_sequence_as(self._outputs_struct, outputs)

    def through_graph(self, inputs: object, operation_fn: CallFunction, call_fn: CallFunction | None) -> Any:
        """Make each call of the graph, with `operation_fn(operation)` or by `call_fn(operation, ...)`."""
        return super()._run_through_graph(inputs, operation_fn=operation_fn, call_fn=call_fn)

    def _run_through_graph(
        self,
        inputs: object,
        operation_fn: CallFunction = lambda operation: operation,
        call_fn: CallFunction | None = None,
    ) -> Any:
        return self.through_graph(inputs, operation_fn, call_fn)

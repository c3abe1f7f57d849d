"""Which `training` the calls of a model get: what is written down beside Keras's own graph."""

from __future__ import annotations

from typing import Any

import keras

from kerasfx.handover import training_in_fit as fit
from kerasfx.ir import FOLLOWS, Graph, LayerCall, Node, Training
from kerasfx.keras_api import internals, symbolic_calls
from kerasfx.runtime import modes


class TrainingRules:
    """The rules for the calls of one graph.

    Attributes:
        takes_training: Whether `fit` tells the model that it trains.
        trains_when_bare: Whether something may train in a bare call of the model.
        needed: Whether Keras's own Functional model would not do.
    """

    def __init__(self, graph: Graph, training_in_fit: str):
        is_left_out = training_in_fit == fit.AS_ORIGINAL
        self._not_trained = {id(node) for node in fit.not_trained_by_fit(graph)} if is_left_out else set()
        self._hiding = {id(layer) for layer in fit.reached_by_context_alone(graph)}
        self.trains_when_bare = fit.trains_when_bare(graph)
        self.takes_training = graph.takes_training or not self._not_trained
        self.needed = any(map(self.deviates, graph.nodes))

    def deviates(self, node: Node) -> bool:
        """Whether Keras's own Functional model cannot give the call of a node its `training`."""
        is_hidden = self._hides(node) or (self.trains_when_bare and fit.hides(node))
        return is_hidden or self.is_left_out(node) or fit.needs_rule(node)

    def is_left_out(self, node: Node) -> bool:
        """Whether `fit` leaves what a node calls in inference."""
        return id(node) in self._not_trained

    def call(self, layer: keras.layers.Layer, node: Node, args: Any, kwargs: dict[str, Any]) -> Any:
        """Call `layer` for `node`, and write down which `training` it gets.

        Where some layer trains in a bare call, each call names the `training` that it gets in one: Keras
        hands what it finds there on only if the model was told nothing.
        """
        # What the user wrote in the call goes before all else, as in Keras.
        fixed = kwargs.get("training") if isinstance(node.target, LayerCall) else None
        rule = node.training if fixed is None else Training(fixed=fixed)
        # It gets what the model gets, unless it is to be left in inference.
        if rule.from_context and not self.is_left_out(node):
            rule = Training(rule.fixed, bare=rule.bare)
        if self.trains_when_bare and fixed is None and internals.takes_training(layer):
            kwargs = {**kwargs, "training": rule.bare if rule.fixed is None else rule.fixed}
        outputs = symbolic_calls.called(layer, args, kwargs)
        if self.needed and (rule != FOLLOWS or self.trains_when_bare or self._hides(node)):
            modes.set_rule(outputs, rule)
        return outputs

    def _hides(self, node: Node) -> bool:
        return isinstance(node.target, LayerCall) and id(node.target.layer) in self._hiding

"""The layer that a node calls: a copy of the original's, that layer itself, or one that a pass wants."""

from __future__ import annotations

from typing import Any

import keras

from kerasfx.emitting import weights
from kerasfx.emitting.making import Making, Tensors, shapes_of, static_shape
from kerasfx.emitting.training import TrainingRules
from kerasfx.errors import UnsupportedOperationError, describe
from kerasfx.handover import copying, recorded
from kerasfx.handover.placement import hand_over
from kerasfx.handover.recorded import Shape
from kerasfx.ir import LayerCall, LayerSpec, Node, Value, leaves_of, map_values
from kerasfx.keras_api import foreign, internals
from kerasfx.keras_api.builtins import builtin_class, how_to_save, is_whole_by_itself
from kerasfx.keras_api.initial_values import begin_as
from kerasfx.reporting import Finding
from kerasfx.runtime.layers import class_named

Pairs = list[tuple[keras.Variable, keras.Variable]]


class LayerMaker:
    """Makes the layer of a node at its first call, and calls it."""

    def __init__(self, making: Making, rules: TrainingRules):
        self.making = making
        self.rules = rules
        self.calls_of: dict[int, list[Node]] = {}
        for node in making.graph.nodes:
            self.calls_of.setdefault(id(node.layer), []).append(node)

    def of_spec(self, node: Node, args: Any, kwargs: Any) -> Tensors:
        """Call the layer that a pass put there."""
        assert isinstance(node.target, LayerSpec)
        made = self.making.made
        key = id(node.stands_for)
        with begin_as(weights.begun_for(node, self.making)) as begun:
            layer = made.get(key) or self._made_of_spec(node.target, node)
            outputs = self.rules.call(layer, node, args, kwargs)
        # Behind its first call, which builds it.
        if key not in made:
            made[key] = layer
            weights.give(layer, node, self.making, begun)
            self._note_seeds(layer, node.target.generator)
        return _new_tensors(node, layer, outputs, (args, kwargs))

    def of_original(self, node: Node, args: Any, kwargs: Any) -> Tensors:
        """Call what stands for a layer of the original."""
        assert isinstance(node.target, LayerCall)
        layer, outputs = self._called(node.target, node, args, kwargs)
        return _new_tensors(node, layer, outputs, (args, kwargs))

    def _called(
        self, target: LayerCall, node: Node, args: Any, kwargs: Any
    ) -> tuple[keras.layers.Layer, Tensors]:
        original: keras.layers.Layer = target.layer
        if target.key in self.making.made:
            layer = self.making.made[target.key]
            return layer, self._call(layer, node, args, kwargs)
        if self.making.share:
            layer = self._shared(target, node)
            outputs = self._call(layer, node, args, kwargs)
            pairs = [(v, v) for v in original.variables]
        else:
            layer, outputs, pairs = self._copied(target, node, args, kwargs)
        self.making.remember(target, layer, pairs)
        return layer, outputs

    def _call(self, layer: keras.layers.Layer, node: Node, args: Any, kwargs: Any) -> Tensors:
        if not isinstance(node.target, LayerCall) or node.target.opaque is None:
            return self.rules.call(layer, node, args, kwargs)
        try:
            return self.rules.call(layer, node, args, kwargs)
        except Exception:
            # Keras cannot infer every custom layer with free sizes; the trace knows the result.
            with internals.output_spec_is(layer, map_values(_spec, node.outputs)):
                return self.rules.call(layer, node, args, kwargs)

    # A layer that a pass wants

    def _note_seeds(self, layer: keras.layers.Layer, generator: keras.random.SeedGenerator | None) -> None:
        """Note the seeds of a layer, or let its generator go on from that of the original."""
        seeds = [s for x in internals.all_layers(layer) for s in internals.seeds(x)]
        if generator is None:
            self.making.record.seeds += seeds
            return
        (own,) = seeds
        hand_over(own, generator.state)
        self.making.record.variables.append((generator.state, own))

    def _made_of_spec(self, target: LayerSpec, node: Node) -> keras.layers.Layer:
        # The constructor would put a layer of the original, whole, into the new one.
        config = {key: copying.with_own_layers(x) for key, x in target.config.items()}
        regularizer = config.get("activity_regularizer")
        if regularizer is not None:
            found = self.making.loadable(regularizer, "regularizer", shapes_of(node), node.path)
            is_known = foreign.is_of_keras(found, "regularizer")
            config["activity_regularizer"] = keras.regularizers.serialize(found) if is_known else found
        cls = class_named(target.class_name)
        config |= weights.config_of(node, cls, self.making)
        return cls(name=self.making.name(node.name), **config)

    # A copy, or the layer itself

    def _copied(
        self, target: LayerCall, node: Node, args: Any, kwargs: Any
    ) -> tuple[keras.layers.Layer, Tensors, Pairs]:
        """A complete copy of a layer, the results of its call, and the pairs of their variables."""
        original, reasons = target.layer, []
        source = self._as_file_can_hold_it(target, node)
        config = {} if builtin_class(type(original)) else _serialized(target.config)
        for how, make in copying.ways_to_make(original, self.making.name(node.name), source, config):
            try:
                with begin_as(copying.begun_as(original)) as begun:
                    copy = make()
                    if not is_whole_by_itself(original):
                        copying.build_alike(original, copy)
                    outputs = self._call(copy, node, args, kwargs)
                pairs = copying.hand_over_state(original, copy, begun)
            except Exception as error:  # constructors, configs, `build` and `call` are code of the user's
                reasons.append(copying.reason(how, error))
                continue
            self._warn_of_file(original, node, reasons)
            return copy, outputs, pairs
        shared = self._can_be_shared(target, node, args, kwargs)
        raise copying.cannot_be_copied(original, node.path, target.opaque, reasons, shared)

    def _warn_of_file(self, layer: keras.layers.Layer, node: Node, reasons: list[str]) -> None:
        """Say of a copy that was not made from its config why a file of it will not be loaded."""
        if reasons and builtin_class(type(layer)) is None and not how_to_save(layer):
            what = f"{type(layer).__name__} cannot be loaded from a file: {reasons[0]}"
            self.making.tell([Finding("warning", node.path, what, hint="mend its get_config()")])

    def _can_be_shared(self, target: LayerCall, node: Node, args: Any, kwargs: Any) -> bool:
        """Whether the way out that an error names would work."""
        try:
            self._call(self._shared(target, node), node, args, kwargs)
        except Exception:  # the `call` of the user
            return False
        return True

    def _shared(self, target: LayerCall, node: Node) -> keras.layers.Layer:
        layer = target.layer
        cls = builtin_class(type(layer)) or type(layer)
        source = self._as_file_can_hold_it(target, node)
        # Else Keras would have two layers of one name, or a file would name code of the user's.
        if layer.name not in self.making.names and cls is type(layer) and source is layer:
            self.making.names.add(layer.name)
            return layer
        return internals.alias_of(source, cls, self.making.name(node.name))

    def _as_file_can_hold_it(self, target: LayerCall, node: Node) -> keras.layers.Layer:
        # All calls: an activity regularizer has a case for each shape.
        results = [r for n in self.calls_of[id(target.layer)] for r in shapes_of(n)]
        changes = {key: _replacing(target.layer, key, x, results) for key, x in target.config.items()}
        layer, remarks = copying.loadable(target.layer, results, changes)
        self.making.tell(copying.remark(node.path, layer, said) for said in remarks)
        return layer


def _replacing(layer: keras.layers.Layer, key: str, value: Any, results: list[tuple[Shape, str]]) -> object:
    """What an entry of `LayerCall.config` stands for: an activation, or a regularizer."""
    if key == "activation":
        return keras.activations.get(value)
    of_weights = [recorded.argument_of(v) for v in layer.variables if v.regularizer is value]
    called_with = results if key == "activity_regularizer" else of_weights
    return copying.loadable_function(value, "regularizer", called_with)[0]


def _new_tensors(node: Node, layer: keras.layers.Layer, outputs: Tensors, inputs: object) -> Tensors:
    """Refuse a layer whose symbolic result is its input, as that of `Equalization` is in Keras 3.15.

    Raises:
        UnsupportedOperationError: It is; to Keras the tensor then comes from itself.
    """
    given = {id(x) for x in leaves_of(inputs)}
    if any(id(x) in given for x in leaves_of(outputs) if x is not None):
        raise UnsupportedOperationError(
            describe(
                f"{type(layer).__name__} cannot stand in any Functional model of Keras.",
                where=node.path,
                why="its `compute_output_spec` returns the input tensor itself",
                hint="take it out of the model and apply it to the data, in the pipeline that feeds it",
            )
        )
    return outputs


def _serialized(config: dict[str, Any]) -> dict[str, object]:
    """Entries of `LayerCall.config` as a config has them."""
    return {k: x if isinstance(x, str) else keras.regularizers.serialize(x) for k, x in config.items()}


def _spec(value: Value) -> keras.KerasTensor:
    return keras.KerasTensor(static_shape(value), dtype=value.dtype)

"""One walk over the nodes of a graph that calls layers on `keras.Input`s."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import keras

from kerasfx.emitting.held import WeightsOfFunctions
from kerasfx.emitting.layer_calls import LayerMaker
from kerasfx.emitting.making import Making, Tensors, static_shape
from kerasfx.emitting.telling import told
from kerasfx.emitting.training import TrainingRules
from kerasfx.handover import provenance
from kerasfx.handover import training_in_fit as fit
from kerasfx.handover.placement import hand_over
from kerasfx.ir import (
    Assignment,
    Graph,
    LayerCall,
    LayerSpec,
    MetricUpdate,
    Node,
    SeedDraw,
    Value,
    leaves_of,
    map_leaves,
    map_values,
    values_in,
)
from kerasfx.ir.dims import hint
from kerasfx.keras_api import internals, symbolic_calls
from kerasfx.progress import begins, logs, step
from kerasfx.runtime import codec, functional, layers, modes
from kerasfx.runtime.function_layers import layer_for
from kerasfx.tracing.encoding import encode

TRIES = 5_000
"""Keras loads a file in rounds over the layers that are left: as many as one layer has calls that wait for
others. So often it may try a layer in vain, at a millisecond each; it bounds the calls of a weight."""


class Walk:
    """The walk, and the tensor that each Value has become.

    Args:
        graph: The graph, which was checked.
        share: Whether the model is made of the layers and variables of the original.
        training_in_fit: One of `training_in_fit.CHOICES`.
    """

    def __init__(self, graph: Graph, share: bool, training_in_fit: str):
        self.graph = graph
        self.making = Making(graph, share)
        self.rules = TrainingRules(graph, training_in_fit)
        self.layers = LayerMaker(self.making, self.rules)
        self.weights = WeightsOfFunctions(self.making)
        self.tensors: dict[Value, Any] = {}
        self.weight_layers: dict[Value, Any] = {}
        self.known: dict[Value, _Ties] = {}
        self.max_ties = max(TRIES // max(len(graph.nodes), 1), 1)
        self._anchor: Any = None
        self.masked: dict[tuple[Value, Value | None], Any] = {}
        self.masked_for: dict[tuple[Value, Node], Any] = {}

    def run(self, name: str) -> keras.Model:
        """The model, which knows where it comes from."""
        inputs = map_values(self._input, self.graph.inputs)
        self._anchor = first = next(iter(self.tensors.values()))
        begins("emit", "nodes", len(self.graph.nodes))
        for node in self.graph.nodes:
            step()
            # What takes weights alone waits for who takes it: what that one takes beside it is what ties both
            # to the graph. On an input of the model they would keep it from being cut in two.
            taken = next((self.tensors[v] for v in node.inputs if v in self.tensors), None)
            if taken is not None:
                self._anchor = taken
                self._call(node)
        self._anchor = first
        outputs = map_leaves(self._output, self.graph.outputs)
        model = self._model(inputs, outputs, name)
        record = self.making.record
        record.sizes = {v.name: tuple(map(hint, v.shape)) for v in values_in(self.graph.inputs)}
        record.layers_of_result = told(model, self.making)
        provenance.attach(model, record)
        logs.emit.info("'%s': %d layers", model.name, len(model.layers))
        return model

    def _call(self, node: Node) -> None:
        results = self.results_of(node)
        self.making.note(node, results)
        self.tensors.update(_paired(node.outputs, results))

    def results_of(self, node: Node) -> Tensors:
        """Call what a node calls."""
        return CALLS[type(node.target)](self, node)

    # The model

    def _input(self, value: Value) -> Any:
        if value not in self.tensors:
            shape = static_shape(value)
            self.tensors[value] = keras.Input(batch_shape=shape, dtype=value.dtype, name=value.name)
        return self.tensors[value]

    def _output(self, value: Value | None) -> Any:
        if value is None:
            return None
        return self._with_mask(value, self.graph.output_masks.get(value, value.mask))

    def _model(self, inputs: Tensors, outputs: Tensors, name: str) -> keras.Model:
        flat = [t for t in leaves_of(outputs) if t is not None]
        self._rename_masks(flat)
        settings: dict[str, Any] = {}
        if self.graph.mode != modes.BOTH:
            settings["mode"] = self.graph.mode
        if not self.rules.takes_training:
            settings["takes_training"] = False
        # Keras takes no None among outputs, and unpacks a list of one.
        is_lone = isinstance(outputs, (list, tuple)) and len(outputs) == 1
        if is_lone or len(flat) < sum(1 for _ in leaves_of(outputs)):
            count = iter(range(len(flat)))
            indices = map_leaves(lambda t: None if t is None else next(count), outputs)
            settings["template"], outputs = codec.encode_structure(indices), flat
        is_plain = not (settings or self.rules.needed or fit.would_forget_losses(self.graph))
        if is_plain and len(self.graph.nodes) <= functional.SAFE_DEPTH:
            return keras.Model(inputs, outputs, name=name)
        return functional.Functional(inputs, outputs, name=name, **settings)

    def _rename_masks(self, outputs: list[Any]) -> None:
        """Give the operations with which Keras makes masks, and which it names itself, names of their own."""
        for operation in internals.operations_of_keras(outputs):
            operation.name = self.making.name(operation.name)

    # Nodes

    def call_function(self, node: Node) -> Tensors:
        """Call a function by its name, in a layer that holds the weights which nothing else takes."""
        # With those that it only waits for: Keras has no other way to say it.
        values = list(node.inputs)
        held = {slot: v for slot, v in enumerate(values) if self._is_held(v)}
        arguments = encode([node.args, node.kwargs], values.index)
        output = codec.encode_structure(node.outputs, _result_spec)
        said = {v: self.weights.describe(v, node) for v in held.values()}
        weights = [[slot, said[v].config()] for slot, v in held.items()]
        layer = layer_for(str(node.target), arguments, output, weights, self.making.name(node.name))
        self._give(layer, held)
        tensors = [self._tensor(v) for v in values if v not in said] or [self._anchor]
        return symbolic_calls.called(layer, (tensors[0] if len(tensors) == 1 else tensors,), {})

    def _is_held(self, value: Value) -> bool:
        """Whether a weight or constant lives in the layer of the one node that takes it."""
        return value.is_known and len(value.users) == 1 and not value.is_output and not _is_assigned(value)

    def _give(self, layer: layers.Op, held: dict[int, Value]) -> None:
        if self.making.share:
            for slot, value in held.items():
                if value.variable is not None:
                    layer.hold(slot, value.variable)
        layer.build()
        for slot, value in held.items():
            own = layer.variable_at(slot)
            if own is not None:
                self.weights.give(own, value)

    def assign(self, node: Node) -> Tensors:
        """Assign a weight of the graph."""
        x, new_value, parameter = node.args
        # Makes its layer, if nothing has read the weight yet.
        self._tensor(parameter)
        layer = self.weight_layers[parameter]
        return layer([self._with_mask(x, x.mask), self._tensor(new_value)], update=True)

    def draw(self, node: Node) -> Tensors:
        """Draw a seed."""
        generator = cast(SeedDraw, node.target).generator
        making = self.making
        if id(generator) not in making.made:
            # By what it started from; where it is now is handed over, or shared.
            own = generator if making.share else None
            layer = layers.DrawSeed(generator.get_config()["seed"], own, name=making.name(node.name))
            if not making.share:
                hand_over(layer.generator.state, generator.state)
            making.record.variables.append((generator.state, layer.generator.state))
            making.made[id(generator)] = layer
        before = [self._tensor(v) for v in node.inputs]
        args = (before[0] if before else self._anchor,)
        return self.rules.call(making.made[id(generator)], node, args, node.kwargs)

    def update_metric(self, node: Node) -> Tensors:
        """Update a metric."""
        target, making = cast(MetricUpdate, node.target), self.making
        metric = target.metric
        if id(metric) not in making.made:
            # No class of the user's is among these: a graph updates those of Keras that a file may name.
            copy = metric if making.share else type(metric).from_config(metric.get_config())
            making.made[id(metric)] = layers.UpdateMetric(copy, name=making.name(node.name))
            making.transfer_metric(metric, copy)
        x, *args = node.args
        values = list(values_in((args, node.kwargs)))
        arguments = encode([args, node.kwargs], values.index)
        tensors = [self._with_mask(v, _mask_at(node, v)) for v in values]
        kwargs = {"arguments": arguments, "when": target.when}
        given = ([self._with_mask(x, x.mask), *tensors],)
        return self.rules.call(making.made[id(metric)], node, given, kwargs)

    def call_new_layer(self, node: Node) -> Tensors:
        """Call a layer that a pass wants."""
        return self.layers.of_spec(node, *self._arguments(node))

    def call_layer(self, node: Node) -> Tensors:
        """Call what stands for a layer of the original."""
        if not internals.takes_masks_away(node.layer):
            return self.layers.of_original(node, *self._arguments(node))
        args, kwargs = map_values(lambda v: self._to_be_unmasked(v, node), (node.args, node.kwargs))
        return self.layers.of_original(node, args, kwargs)

    def _arguments(self, node: Node) -> tuple[Any, Any]:
        return map_values(lambda v: self._with_mask(v, _mask_at(node, v)), (node.args, node.kwargs))

    # Values

    def _tensor(self, value: Value) -> Any:
        if value not in self.tensors:
            if value.is_known:
                return self._known(value)
            # A node that takes weights alone, and whose turn it is now that something takes it.
            assert value.node is not None
            self._call(value.node)
        return self.tensors[value]

    def _known(self, value: Value) -> Any:
        """The tensor of a weight that several nodes take, tied to what this one takes beside it."""
        if value not in self.weight_layers:
            self.weight_layers[value] = self._weight_layer(value)
            self.known[value] = _Ties(self.weight_layers[value], len(value.users), self.max_ties)
        tensor = self.known[value].to(self._anchor)
        self.making.note(value, tensor)
        if _is_assigned(value):
            # Where it is read says whether that is before it is assigned.
            self.tensors[value] = tensor
        return tensor

    def _weight_layer(self, value: Value) -> layers.Parameter | layers.Constant:
        # An output alone may take it.
        user = next(iter(value.users), Node(value.name, "the outputs", (), {}))
        name, said = self.making.name(value.name), self.weights.describe(value, user)
        if value.array is not None:
            layer = layers.Constant(said.shape, said.dtype, said.value, name=name)
        else:
            layer = layers.Parameter.of(said, name, _is_assigned(value))
        if self.making.share and value.variable is not None:
            layer.weight = value.variable
        layer.build()
        if layer.weight is not None:
            self.weights.give(layer.weight, value)
        return layer

    def _with_mask(self, value: Value, expected: Value | None) -> Any:
        """The tensor of `value`, carrying the mask that it carried in the original at this place."""
        tensor = self._tensor(value)
        if expected is value.mask:
            return tensor
        # One layer for all places where the tensor carries this mask.
        key = (value, expected)
        if key not in self.masked:
            if expected is None:
                layer = layers.DropMask(name=self.making.name(f"{value.name}_unmasked"))
                self.masked[key] = layer(tensor)
                self.making.note(value, self.masked[key])
            else:
                self.masked[key] = self._masked(value, expected)
        return self.masked[key]

    def _masked(self, value: Value, mask: Value) -> Any:
        """A tensor of its own with the elements of `value` and this mask."""
        layer = layers.AttachMask(name=self.making.name(f"{value.name}_masked"))
        tensor = layer([self._tensor(value), self._tensor(mask)])
        self.making.note(value, tensor)
        return tensor

    def _to_be_unmasked(self, value: Value, node: Node) -> Any:
        """The tensor of `value` for the layer of `node`, which takes its mask away for all who run later.

        A Functional model runs by depth, so that those may be run later who come first in the original.
        """
        mask = _mask_at(node, value)
        others = [user for user in value.users if user is not node and user.layer is not None]
        if mask is None or all(_mask_at(user, value) is None for user in others):
            return self._with_mask(value, mask)
        if (value, node) not in self.masked_for:
            self.masked_for[value, node] = self._masked(value, mask)
        return self.masked_for[value, node]


@dataclass
class _Ties:
    """The calls of the layer of a weight, each tied to another tensor.

    Attributes:
        layer: The layer.
        users: How many nodes take the weight; an output alone may.
        most: How many calls there may be.
        calls: The calls, by the `id` of what they are tied to.
        last: The last call.
    """

    layer: layers.Parameter | layers.Constant
    users: int
    most: int
    calls: dict[int, Any] = field(default_factory=dict)
    last: Any = None

    def to(self, anchor: Any) -> Any:
        """The weight, tied to a tensor, or to one before it where there are more users than calls."""
        if id(anchor) not in self.calls:
            # What is after a tie in the graph may take it as well.
            if len(self.calls) % max(-(-self.users // self.most), 1) == 0:
                self.last = self.layer(anchor)
            self.calls[id(anchor)] = self.last
        return self.calls[id(anchor)]


CALLS: dict[type, Callable[[Walk, Node], Tensors]] = {
    str: Walk.call_function,
    LayerCall: Walk.call_layer,
    LayerSpec: Walk.call_new_layer,
    SeedDraw: Walk.draw,
    Assignment: Walk.assign,
    MetricUpdate: Walk.update_metric,
}
"""How a node is emitted, by the kind of its target."""


def _is_assigned(parameter: Value) -> bool:
    return any(isinstance(node.target, Assignment) for node in parameter.users)


def _result_spec(value: Value | None) -> Any:
    return value and {"shape": list(static_shape(value)), "dtype": value.dtype}


def _paired(values: object, tensors: Any) -> Iterator[tuple[Value, Any]]:
    """Each Value of a structure with its tensor; dicts go by key, whose order Keras may change."""
    if isinstance(values, dict):
        for key, inner in values.items():
            yield from _paired(inner, tensors[key])
    elif isinstance(values, (list, tuple)):
        # A layer that calls a function leaves out what is None.
        given = values if len(values) == len(tensors) else [v for v in values if v is not None]
        for inner, tensor in zip(given, tensors, strict=True):
            yield from _paired(inner, tensor)
    elif values is not None:
        yield cast(Value, values), tensors


def _mask_at(node: Node, value: Value) -> Value | None:
    """The mask that `value` carries where `node` takes it."""
    return node.implicit_masks.get(value, value.mask)

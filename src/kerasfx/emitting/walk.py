"""One walk over the nodes of a graph that calls layers on `keras.Input`s."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import keras

from kerasfx.emitting import weights
from kerasfx.emitting.layer_calls import LayerMaker
from kerasfx.emitting.making import Making, Tensors, static_shape
from kerasfx.emitting.training import TrainingRules
from kerasfx.handover import provenance, recorded
from kerasfx.handover import training_in_fit as fit
from kerasfx.handover.placement import hand_over
from kerasfx.ir import (
    Assignment,
    Computed,
    Constant,
    Graph,
    LayerCall,
    LayerSpec,
    MetricUpdate,
    Node,
    Parameter,
    SeedDraw,
    Value,
    leaves_of,
    map_leaves,
    map_values,
    values_in,
)
from kerasfx.ir.dims import hint
from kerasfx.keras_api import internals
from kerasfx.runtime import codec, functional, layers, modes
from kerasfx.tracing.encoding import encode


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
        self.tensors: dict[Value, Any] = {}
        self.parameters: dict[Value, layers.Parameter] = {}
        self.masked: dict[tuple[Value, Value | None], Any] = {}

    def run(self, name: str) -> keras.Model:
        """The model, which knows where it comes from."""
        inputs = map_values(self._input, self.graph.inputs)
        for node in self.graph.nodes:
            outputs = CALLS[type(node.target)](self, node)
            self.tensors.update(_paired(node.outputs, outputs))
        outputs = map_leaves(self._output, self.graph.outputs)
        model = self._model(inputs, outputs, name)
        record = self.making.record
        record.sizes = {v.name: tuple(map(hint, v.shape)) for v in values_in(self.graph.inputs)}
        provenance.attach(model, record)
        return model

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
        """Call a function by its name, in a layer."""
        # With those that it only waits for: Keras has no other way to say it.
        values = list(node.inputs)
        arguments = encode([node.args, node.kwargs], values.index)
        output = codec.encode_structure(node.outputs, _result_spec)
        layer = layers.Op(str(node.target), arguments, output, name=self.making.name(node.name))
        tensors = [self._tensor(v) for v in values] or [self._anchor()]
        return layer(tensors[0] if len(tensors) == 1 else tensors)

    def assign(self, node: Node) -> Tensors:
        """Assign a weight of the graph."""
        x, new_value, parameter = node.args
        # Makes its layer, if nothing has read the weight yet.
        self._tensor(parameter)
        layer = self.parameters[parameter]
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
        args = (before[0] if before else self._anchor(),)
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
        masks = node.implicit_masks
        tensors = [self._with_mask(v, masks.get(v, v.mask)) for v in values]
        kwargs = {"arguments": arguments, "when": target.when}
        given = ([self._with_mask(x, x.mask), *tensors],)
        return self.rules.call(making.made[id(metric)], node, given, kwargs)

    def call_new_layer(self, node: Node) -> Tensors:
        """Call a layer that a pass wants."""
        return self.layers.of_spec(node, *self._arguments(node))

    def call_layer(self, node: Node) -> Tensors:
        """Call what stands for a layer of the original."""
        return self.layers.of_original(node, *self._arguments(node))

    def _arguments(self, node: Node) -> tuple[Any, Any]:
        masks = node.implicit_masks
        return map_values(lambda v: self._with_mask(v, masks.get(v, v.mask)), (node.args, node.kwargs))

    # Values

    def _tensor(self, value: Value) -> Any:
        if value not in self.tensors:
            self.tensors[value] = WEIGHTS[type(value.producer)](self, value)(self._anchor())
        return self.tensors[value]

    def _anchor(self) -> Any:
        """Any tensor, for what takes none and has to stand in the graph."""
        return next(iter(self.tensors.values()))

    def parameter(self, value: Value) -> layers.Parameter:
        """The layer of a variable that functions read."""
        assert isinstance(value.producer, Parameter)
        variable, making = value.producer.variable, self.making
        name = making.name(value.name)
        given = {
            kind: making.loadable(
                getattr(variable, kind), kind, [recorded.argument_of(variable)], value.producer.path
            )
            for kind in ("regularizer", "constraint")
        }
        layer = layers.Parameter.of(variable, name, _is_assigned(value), making.share, **given)
        if not making.share:
            hand_over(layer.weight, variable)
        making.record.variables.append((variable, layer.weight))
        self.parameters[value] = layer
        return layer

    def computed(self, value: Value) -> layers.Parameter:
        """The layer of a computed weight that functions read."""
        # Any of them, to say where it is.
        making, user = self.making, next(iter(value.users))
        regularizer, constraint = (
            weights.own_of(value, value.name, kind, user, making) for kind in weights.WEIGHT_KINDS
        )
        layer = layers.Parameter(
            list(value.shape),
            value.dtype,
            weights.is_trained(value),
            regularizer,
            constraint,
            name=making.name(value.name),
        )
        layer.build()
        weights.compute(layer.weight, value, making)
        return layer

    def constant(self, value: Value) -> layers.Constant:
        """The layer of a constant that functions read."""
        array = value.array
        assert array is not None
        layer = layers.Constant.of(array, self.making.name(value.name))
        if layer.weight is not None:
            self.making.record.constants.append(layer.weight)
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
            else:
                layer = layers.AttachMask(name=self.making.name(f"{value.name}_masked"))
                self.masked[key] = layer([tensor, self._tensor(expected)])
        return self.masked[key]


CALLS: dict[type, Callable[[Walk, Node], Tensors]] = {
    str: Walk.call_function,
    LayerCall: Walk.call_layer,
    LayerSpec: Walk.call_new_layer,
    SeedDraw: Walk.draw,
    Assignment: Walk.assign,
    MetricUpdate: Walk.update_metric,
}
"""How a node is emitted, by the kind of its target."""


WEIGHTS: dict[type, Callable[[Walk, Value], keras.layers.Layer]] = {
    Parameter: Walk.parameter,
    Computed: Walk.computed,
    Constant: Walk.constant,
}
"""The layer that gives a Value which no node results in, by its producer."""


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

"""Graph -> Functional: one walk that calls layers on `keras.Input`s."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from typing import Any

import keras

from kerasfx.errors import UnsupportedOperationError, describe
from kerasfx.handover import (
    copying,
    provenance,
    recorded,
)
from kerasfx.handover import (
    training_in_fit as fit,
)
from kerasfx.handover.placement import hand_over, made_for
from kerasfx.ir import (
    FOLLOWS,
    Assignment,
    Graph,
    LayerCall,
    LayerSpec,
    MetricUpdate,
    Node,
    Parameter,
    SeedDraw,
    Training,
    Value,
    leaves_of,
    map_leaves,
    map_values,
    values_in,
)
from kerasfx.ir.dims import Dim, hint
from kerasfx.keras_api import foreign, internals
from kerasfx.keras_api.builtins import (
    builtin_class,
    how_to_save,
    is_plain_leaf,
)
from kerasfx.reporting import Finding
from kerasfx.runtime import (
    codec,
    functional,
    layers,
    modes,
)
from kerasfx.tracing.patches import installed


def emit(
    graph: Graph, *, weights: str = "copy", name: str | None = None, training_in_fit: str = fit.AS_ORIGINAL
) -> keras.Model:
    """Make the Functional model that `graph` describes.

    Args:
        graph: A graph of `kerasfx.trace`, edited or not.
        weights: `"copy"` for an independent model, `"share"` for one made of the original's layer
            objects and variables, without copying a byte.
        name: Name of the model; `<name of the original>_prepared` by default, with its mode if it has one.
        training_in_fit: `"as_original"` for a model whose `fit` leaves in inference mode what that of the
            original does, `"always"` for one whose `fit` trains every layer.

    Returns:
        A Functional model.

    Raises:
        GraphError: The graph breaks an invariant.
        NotCopyableError: A layer that is kept whole cannot be made again from its config.
        ValueError: `weights` or `training_in_fit` is none of these.
    """
    require_one_of(weights=(weights, ("copy", "share")), training_in_fit=(training_in_fit, fit.CHOICES))
    graph.check()
    with (
        internals.fresh_names(),
        internals.no_call_context(),
        internals.calls_forgotten(
            lambda: [x for layer in graph.called_layers() for x in internals.all_layers(layer)]
        ),
        copying.random_state_kept(),
        made_for(_variables_of(graph)),
        installed() if _will_record(graph) else nullcontext(),
    ):
        emitter = _Emitter(graph, weights == "share", training_in_fit)
        suffix = "" if graph.mode == modes.BOTH else f"_{graph.mode}"
        return emitter.run(name or f"{graph.name}_prepared{suffix}")


def _variables_of(graph: Graph) -> Iterator[Any]:
    yield from (p.producer.variable for p in graph.parameters)  # pyright: ignore
    yield from (v for layer in graph.called_layers() for v in layer.variables)


def _will_record(graph: Graph) -> bool:
    """Whether regularizers or constraints will be traced: it takes time to put the patches on for each."""
    given = [getattr(v, kind) for v in _variables_of(graph) for kind in ("regularizer", "constraint")]
    return any(not foreign.is_of_keras(x, "regularizer") for x in given)


def require_one_of(**arguments: tuple[Any, tuple[Any, ...]]) -> None:
    """Refuse an argument, given with its choices, that is none of them.

    Raises:
        ValueError: It is none.
    """
    for name, (value, choices) in arguments.items():
        if value not in choices:
            allowed = " or ".join("None" if c is None else f'"{c}"' for c in choices)
            raise ValueError(f"{name} must be {allowed}, not {value!r}.")


class _Emitter:
    def __init__(self, graph: Graph, share: bool, training_in_fit: str):
        self.graph = graph
        self.share = share
        is_left_out = training_in_fit == fit.AS_ORIGINAL
        self.not_trained = {id(node) for node in fit.not_trained_by_fit(graph)} if is_left_out else set()
        self.hiding = {id(layer) for layer in fit.reached_by_context_alone(graph)}
        self.trains_when_bare = fit.trains_when_bare(graph)
        self.needs_rules = bool(self.not_trained or self.hiding) or fit.needs_rules(graph)
        self.tensors: dict[Value, Any] = {}
        self.made: dict[int, Any] = {}
        self.parameters: dict[Value, Any] = {}
        self.names: set[str] = {v.name for v in values_in(graph.inputs)}
        self.record = provenance.Provenance()
        self.masked: dict[tuple[Value, Value | None], Any] = {}
        self.calls_of: dict[int, list[Node]] = {}
        for node in graph.nodes:
            self.calls_of.setdefault(id(getattr(node.target, "layer", None)), []).append(node)

    def run(self, name: str) -> keras.Model:
        inputs = map_values(self._input, self.graph.inputs)
        for node in self.graph.nodes:
            self._emit_node(node)
        outputs = map_leaves(self._output, self.graph.outputs)
        model = self._model(inputs, outputs, name)
        self.record.sizes = {v.name: tuple(map(hint, v.shape)) for v in values_in(self.graph.inputs)}
        provenance.attach(model, self.record)
        return model

    # The model

    def _input(self, value: Value) -> Any:
        if value not in self.tensors:
            shape = _static(value)
            self.tensors[value] = keras.Input(batch_shape=shape, dtype=value.dtype, name=value.name)
        return self.tensors[value]

    def _output(self, value: Value | None) -> Any:
        if value is None:
            return None
        return self._with_mask(value, self.graph.output_masks.get(value, value.mask))

    def _model(self, inputs: Any, outputs: Any, name: str) -> keras.Model:
        flat = [t for t in leaves_of(outputs) if t is not None]
        # Keras takes no None among outputs, and unpacks a list of one.
        is_lone = isinstance(outputs, (list, tuple)) and len(outputs) == 1
        needs_template = is_lone or len(flat) < sum(1 for _ in leaves_of(outputs))
        depth = len(self.graph.nodes)
        settings: dict[str, Any] = {}
        if self.graph.mode != modes.BOTH:
            settings["mode"] = self.graph.mode
        if self.not_trained and not self.graph.takes_training:
            settings["takes_training"] = False
        self._rename_masks(flat)
        if needs_template:
            count = iter(range(len(flat)))
            indices = map_leaves(lambda t: None if t is None else next(count), outputs)
            settings["template"], outputs = codec.encode_structure(indices), flat
        is_plain = not (settings or self.needs_rules or fit.would_forget_losses(self.graph))
        if is_plain and depth <= functional.SAFE_DEPTH:
            return keras.Model(inputs, outputs, name=name)
        return functional.Functional(inputs, outputs, name=name, **settings)

    def _rename_masks(self, outputs: list[Any]) -> None:
        """Give the operations with which Keras makes masks, and which it names itself, names of their own."""
        for operation in internals.operations_of_keras(outputs):
            operation.name = self._name(operation.name)

    # Nodes

    def _emit_node(self, node: Node) -> None:
        if isinstance(node.target, str):
            outputs = self._call_op(node)
        elif isinstance(node.target, SeedDraw):
            outputs = self._draw(node, node.target.generator)
        elif isinstance(node.target, Assignment):
            outputs = self._assign(node)
        elif isinstance(node.target, MetricUpdate):
            outputs = self._update_metric(node, node.target)
        else:
            outputs = self._call_layer(node)
        self.tensors.update(_paired(node.outputs, outputs))

    def _call_op(self, node: Node) -> Any:
        values = list(node.inputs)
        arguments = codec.encode([node.args, node.kwargs], values.index)
        output = codec.encode_structure(node.outputs, _result_spec)
        layer = layers.Op(str(node.target), arguments, output, name=self._name(node.name))
        tensors = [self._tensor(v) for v in values] or [self._anchor()]
        return layer(tensors[0] if len(tensors) == 1 else tensors)

    def _assign(self, node: Node) -> Any:
        x, new_value, parameter = node.args
        self._tensor(parameter)
        layer = self.parameters[parameter]
        return layer([self._with_mask(x, x.mask), self._tensor(new_value)], update=True)

    def _draw(self, node: Node, generator: Any) -> Any:
        if id(generator) not in self.made:
            layer = layers.DrawSeed(
                generator.get_config()["seed"],
                generator if self.share else None,
                name=self._name(node.name),
            )
            if not self.share:
                hand_over(layer.generator.state, generator.state)
            self.record.variables.append((generator.state, layer.generator.state))
            self.made[id(generator)] = layer
        before = [self._tensor(v) for v in node.inputs]
        args = (before[0] if before else self._anchor(),)
        return self._told(node, self.made[id(generator)], args, node.kwargs)

    def _update_metric(self, node: Node, target: MetricUpdate) -> Any:
        metric = target.metric
        if id(metric) not in self.made:
            copy = metric if self.share else type(metric).from_config(metric.get_config())
            self.made[id(metric)] = layers.UpdateMetric(copy, name=self._name(node.name))
            self._transfer_metric(metric, copy)
        layer = self.made[id(metric)]
        x, *args = node.args
        values = list(values_in((args, node.kwargs)))
        arguments = codec.encode([args, node.kwargs], values.index)
        masks = node.implicit_masks
        tensors = [self._with_mask(v, masks.get(v, v.mask)) for v in values]
        kwargs = {"arguments": arguments, "when": target.when}
        return self._told(node, layer, ([self._with_mask(x, x.mask), *tensors],), kwargs)

    def _call_layer(self, node: Node) -> Any:
        masks = node.implicit_masks
        args, kwargs = map_values(
            lambda v: self._with_mask(v, masks.get(v, v.mask)), (node.args, node.kwargs)
        )
        layer, outputs = self._layer_called(node, args, kwargs)
        _require_new_tensors(node, layer, outputs, (args, kwargs))
        return outputs

    def _layer_called(self, node: Node, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """The layer of a node, made at its first call, and the results of the call."""
        target = node.target
        if isinstance(target, LayerSpec):
            layer = self._made_of_spec(target, node)
            return layer, self._call(layer, node, args, kwargs)
        assert isinstance(target, LayerCall)
        if id(target.layer) in self.made:
            layer = self.made[id(target.layer)]
            return layer, self._call(layer, node, args, kwargs)
        if self.share:
            layer = self._shared(target, node)
            outputs = self._call(layer, node, args, kwargs)
            pairs = [(v, v) for v in target.layer.variables]
        else:
            layer, outputs, pairs = self._copied(target, node, args, kwargs)
        self._remember(target.layer, layer, pairs)
        return layer, outputs

    def _made_of_spec(self, target: LayerSpec, node: Node) -> Any:
        config = dict(target.config)
        regularizer = config.get("activity_regularizer")
        if regularizer is not None:
            found = self._loadable(regularizer, "regularizer", _results(node), node)
            is_known = foreign.is_of_keras(found, "regularizer")
            config["activity_regularizer"] = keras.regularizers.serialize(found) if is_known else found
        return _public_class(target.class_name)(name=self._name(node.name), **config)

    def _copied(self, target: LayerCall, node: Node, args: Any, kwargs: Any) -> tuple[Any, Any, Any]:
        """A complete copy of a layer, the results of its call, and the pairs of their variables."""
        original, reasons = target.layer, []
        source = self._as_file_can_hold_it(target, node)
        config = {} if builtin_class(type(original)) else _serialized(target.config)
        for how, make in copying.ways_to_make(original, self._name(node.name), source, config):
            try:
                copy = make()
                if not is_plain_leaf(original):
                    copying.build_alike(original, copy)
                outputs = self._call(copy, node, args, kwargs)
                pairs = copying.hand_over_state(original, copy)
            except Exception as error:  # constructors, configs, `build` and `call` are code of the user's
                reasons.append(copying.reason(how, error))
                continue
            self._warn_of_file(original, node, reasons)
            return copy, outputs, pairs
        shared = self._can_be_shared(target, node, args, kwargs)
        raise copying.cannot_be_copied(original, node.path, target.opaque, reasons, shared)

    def _warn_of_file(self, layer: Any, node: Node, reasons: list[str]) -> None:
        """Say of a copy that was not made from its config why a file of it will not be loaded."""
        if reasons and builtin_class(type(layer)) is None and not how_to_save(layer):
            what = f"{type(layer).__name__} cannot be loaded from a file: {reasons[0]}"
            self._tell([Finding("warning", node.path, what, hint="mend its get_config()")])

    def _can_be_shared(self, target: LayerCall, node: Node, args: Any, kwargs: Any) -> bool:
        """Whether the way out that an error names would work."""
        try:
            self._call(self._shared(target, node), node, args, kwargs)
        except Exception:  # the `call` of the user
            return False
        return True

    def _as_file_can_hold_it(self, target: LayerCall, node: Node) -> Any:
        results = [r for n in self.calls_of[id(target.layer)] for r in _results(n)]
        changes = {key: self._replacing(target.layer, key, x, results) for key, x in target.config.items()}
        layer, remarks = copying.loadable(target.layer, results, changes)
        self._tell(copying.remark(node.path, layer, said) for said in remarks)
        return layer

    def _replacing(self, layer: Any, key: str, value: Any, results: list[Any]) -> Any:
        """What an entry of `LayerCall.config` stands for: an activation, or a regularizer."""
        if key == "activation":
            return keras.activations.get(value)
        of_weights = [recorded.argument_of(v) for v in layer.variables if v.regularizer is value]
        called_with = results if key == "activity_regularizer" else of_weights
        return copying.loadable_function(value, "regularizer", called_with)[0]

    def _loadable(self, x: Any, kind: str, called_with: list[Any], node: Any) -> Any:
        found, remarks = copying.loadable_function(x, kind, called_with)
        self._tell(Finding("warning", node.path, what, hint=hint) for what, hint in remarks)
        return found

    def _tell(self, findings: Iterable[Finding]) -> None:
        self.record.findings += [f for f in dict.fromkeys(findings) if f not in self.record.findings]

    def _call(self, layer: Any, node: Node, args: Any, kwargs: Any) -> Any:
        if not isinstance(node.target, LayerCall) or node.target.opaque is None:
            return self._told(node, layer, args, kwargs)
        try:
            return self._told(node, layer, args, kwargs)
        except Exception:
            # Keras cannot infer every custom layer with free sizes; the trace knows the result.
            with internals.output_spec_is(layer, map_values(_spec, node.outputs)):
                return self._told(node, layer, args, kwargs)

    def _told(self, node: Node, layer: Any, args: Any, kwargs: Any) -> Any:
        """Call `layer`, and write down which `training` it gets.

        Where some layer trains in a bare call, each call names the `training` that it gets in one: Keras
        hands what it finds there on only if the model was told nothing.
        """
        fixed = kwargs.get("training") if isinstance(node.target, LayerCall) else None
        rule = node.training if fixed is None else Training(fixed=fixed)
        if rule.from_context and id(node) not in self.not_trained:
            rule = Training(rule.fixed, bare=rule.bare)
        if self.trains_when_bare and fixed is None and internals.takes_training(layer):
            kwargs = {**kwargs, "training": rule.bare if rule.fixed is None else rule.fixed}
        outputs = layer(*args, **kwargs)
        if self.needs_rules and (rule != FOLLOWS or self.trains_when_bare or self._hides(node)):
            modes.set_rule(outputs, rule)
        return outputs

    def _hides(self, node: Node) -> bool:
        return isinstance(node.target, LayerCall) and id(node.target.layer) in self.hiding

    def _shared(self, target: LayerCall, node: Node) -> Any:
        layer = target.layer
        cls = builtin_class(type(layer)) or type(layer)
        source = self._as_file_can_hold_it(target, node)
        if layer.name not in self.names and cls is type(layer) and source is layer:
            self.names.add(layer.name)
            return layer
        return internals.alias_of(source, cls, self._name(node.name))

    def _remember(self, original: Any, layer: Any, pairs: list[tuple[Any, Any]]) -> None:
        self.made[id(original)] = layer
        self.record.layers.append((original, layer))
        self.record.variables.extend(pairs)
        for ours, theirs in zip(*map(internals.metrics_of_layers, (original, layer)), strict=True):
            self._transfer_metric(ours, theirs)

    def _transfer_metric(self, original: Any, copy: Any) -> None:
        pairs = list(zip(original.variables, copy.variables, strict=True))
        for source, target in pairs if not self.share else ():
            hand_over(target, source)
        self.record.metrics.extend(pairs)

    # Values

    def _tensor(self, value: Value) -> Any:
        if value not in self.tensors:
            make = self._parameter if isinstance(value.producer, Parameter) else self._constant
            self.tensors[value] = make(value)(self._anchor())
        return self.tensors[value]

    def _anchor(self) -> Any:
        return next(iter(self.tensors.values()))

    def _parameter(self, value: Value) -> Any:
        variable = value.producer.variable  # pyright: ignore[reportAttributeAccessIssue]
        name = self._name(value.name)
        given = {
            kind: self._loadable(
                getattr(variable, kind), kind, [recorded.argument_of(variable)], value.producer
            )
            for kind in ("regularizer", "constraint")
        }
        layer = layers.Parameter.of(variable, name, self._is_assigned(value), self.share, **given)
        if not self.share:
            hand_over(layer.weight, variable)
        self.record.variables.append((variable, layer.weight))
        self.parameters[value] = layer
        return layer

    def _is_assigned(self, parameter: Value) -> bool:
        return any(isinstance(node.target, Assignment) for node in parameter.users)

    def _constant(self, value: Value) -> Any:
        array = value.producer.array  # pyright: ignore[reportAttributeAccessIssue]
        layer = layers.Constant.of(array, self._name(value.name))
        if layer.weight is not None:
            self.record.constants.append(layer.weight)
        return layer

    def _with_mask(self, value: Value, expected: Value | None) -> Any:
        """The tensor of `value`, carrying the mask that it carried in the original at this place."""
        tensor = self._tensor(value)
        if expected is value.mask:
            return tensor
        key = (value, expected)
        if key not in self.masked:
            if expected is None:
                layer = layers.DropMask(name=self._name(f"{value.name}_unmasked"))
                self.masked[key] = layer(tensor)
            else:
                layer = layers.AttachMask(name=self._name(f"{value.name}_masked"))
                self.masked[key] = layer([tensor, self._tensor(expected)])
        return self.masked[key]

    def _name(self, wish: str) -> str:
        name, count = wish or "layer", 0
        while name in self.names:
            count += 1
            name = f"{wish}_{count}"
        self.names.add(name)
        return name


def _require_new_tensors(node: Node, layer: Any, outputs: Any, inputs: Any) -> None:
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


def _result_spec(value: Value | None) -> Any:
    return value and {"shape": list(_static(value)), "dtype": value.dtype}


def _paired(values: Any, tensors: Any) -> Iterator[tuple[Value, Any]]:
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
        yield values, tensors


def _serialized(config: dict[str, Any]) -> dict[str, Any]:
    """Entries of `LayerCall.config` as a config has them."""
    return {k: x if isinstance(x, str) else keras.regularizers.serialize(x) for k, x in config.items()}


def _results(node: Node) -> list[tuple[Any, str]]:
    """Shapes and dtypes of what a node gives."""
    return [(_static(v), v.dtype) for v in values_in(node.outputs)]


def _spec(value: Value) -> keras.KerasTensor:
    return keras.KerasTensor(_static(value), dtype=value.dtype)


def _static(value: Value) -> tuple[int | None, ...]:
    return tuple(None if isinstance(d, Dim) else d for d in value.shape)


def _public_class(name: str) -> Any:
    found: Any = {"keras": keras, "kerasfx": None}[name.partition(".")[0]]
    if found is None:
        return getattr(layers, name.rpartition(".")[2])
    for part in name.split(".")[1:]:
        found = getattr(found, part)
    return found

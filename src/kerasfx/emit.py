"""Graph -> Functional: one walk that calls layers on `keras.Input`s."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import keras
import numpy as np

from kerasfx import codec, fit, functional, layers, modes, provenance
from kerasfx import keras_internals as internals
from kerasfx.dims import Dim, hint
from kerasfx.errors import NotCopyableError, describe
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
from kerasfx.placement import hand_over, made_for
from kerasfx.replacing import undone
from kerasfx.trace.leaves import builtin_class, is_builtin


def emit(
    graph: Graph, *, weights: str = "copy", name: str | None = None, training_in_fit: str = fit.AS_ORIGINAL
) -> keras.Model:
    """Make the Functional model that `graph` describes.

    Args:
        graph: A graph of `kerasfx.trace`, edited or not.
        weights: `"copy"` for an independent model, `"share"` for one made of the original's layer
            objects and variables, without copying a byte.
        name: Name of the model; `<name of the original>_prepared` by default.
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
        _global_random_state(),
        made_for(_variables_of(graph)),
    ):
        emitter = _Emitter(graph, weights == "share", training_in_fit)
        return emitter.run(name or f"{graph.name}_prepared")


def _variables_of(graph: Graph) -> Iterator[Any]:
    yield from (p.producer.variable for p in graph.parameters)  # pyright: ignore
    yield from (v for layer in graph.called_layers() for v in layer.variables)


def require_one_of(**arguments: tuple[Any, tuple[Any, ...]]) -> None:
    """Refuse an argument, given with its choices, that is none of them.

    Raises:
        ValueError: It is none.
    """
    for name, (value, choices) in arguments.items():
        if value not in choices:
            allowed = " or ".join("None" if c is None else f'"{c}"' for c in choices)
            raise ValueError(f"{name} must be {allowed}, not {value!r}.")


@contextmanager
def _global_random_state() -> Iterator[None]:
    """Give the random states back: initializers of copies draw their seeds from Python's and NumPy's."""
    python, numpy_state = random.getstate(), np.random.get_state()
    with (
        undone(lambda: random.setstate(python)),
        undone(lambda: np.random.set_state(numpy_state)),
        internals.backend_random_state(),
    ):
        yield


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
        layer, transfer = self._layer(node)
        masks = node.implicit_masks
        args, kwargs = map_values(
            lambda v: self._with_mask(v, masks.get(v, v.mask)), (node.args, node.kwargs)
        )
        outputs = self._call(layer, node, args, kwargs)
        if transfer is not None:
            transfer()
        return outputs

    def _call(self, layer: Any, node: Node, args: Any, kwargs: Any) -> Any:
        if not isinstance(node.target, LayerCall) or node.target.opaque is None:
            return self._told(node, layer, args, kwargs)
        if not self.share:
            _build_alike(node.target.layer, layer)
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
            kwargs = {**kwargs, "training": rule.bare}
        outputs = layer(*args, **kwargs)
        if self.needs_rules and (rule != FOLLOWS or self.trains_when_bare or self._hides(node)):
            modes.set_rule(outputs, rule)
        return outputs

    def _hides(self, node: Node) -> bool:
        return isinstance(node.target, LayerCall) and id(node.target.layer) in self.hiding

    def _layer(self, node: Node) -> tuple[Any, Callable[[], None] | None]:
        target = node.target
        if isinstance(target, LayerSpec):
            cls = _public_class(target.class_name)
            return cls(name=self._name(node.name), **target.config), None
        assert isinstance(target, LayerCall)
        key = id(target.layer)
        if key in self.made:
            return self.made[key], None
        original = target.layer
        layer = self._shared(target, node) if self.share else self._copy(target, node)
        self.made[key] = layer
        self.record.layers.append((original, layer))
        return layer, lambda: self._transfer(original, layer)

    def _copy(self, target: LayerCall, node: Node) -> Any:
        cls = builtin_class(type(target.layer)) or type(target.layer)
        name = self._name(node.name)
        try:
            return cls.from_config({**cls.get_config(target.layer), **target.config, "name": name})
        except Exception as error:
            with suppress(Exception):
                return _made_without_config(target.layer, name)
            raise NotCopyableError(
                describe(
                    f"{cls.__name__} at {node.path} is kept whole and cannot be copied: {error}",
                    why=target.opaque or "it was asked to stay whole",
                    hint=f'give {cls.__name__} a get_config() that makes it again, or use weights="share"',
                )
            ) from error

    def _shared(self, target: LayerCall, node: Node) -> Any:
        layer = target.layer
        cls = builtin_class(type(layer)) or type(layer)
        if layer.name not in self.names and cls is type(layer) and "activation" not in target.config:
            self.names.add(layer.name)
            return layer
        alias = internals.alias_of(layer, cls, self._name(node.name))
        if "activation" in target.config:
            alias.activation = keras.activations.get(target.config["activation"])
        return alias

    def _transfer(self, original: Any, copy: Any) -> None:
        """Hand the weights of a layer over, now that its copy is built."""
        pairs = list(corresponding(original, copy))
        if not self.share:
            _match_trainable(original, copy)
            for source, target in pairs:
                target.trainable = source.trainable
                hand_over(target, source)
        self.record.variables.extend(pairs)
        for ours, theirs in zip(*map(internals.metrics_of_layers, (original, copy)), strict=True):
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
        layer = layers.Parameter.of(variable, name, self._is_assigned(value), self.share)
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


def _made_without_config(layer: Any, name: str) -> Any:
    """A layer like `layer`, whose class has no usable `get_config`."""
    with suppress(Exception):
        return _made_alike(layer, name)
    return internals.deep_copy(layer, name)


def _made_alike(layer: Any, name: str) -> Any:
    """A layer made with the constructor arguments of `layer`.

    A class without `get_config` and without `**kwargs` in its constructor cannot take the config that
    Keras writes for it, which holds `trainable` and `dtype`.

    Raises:
        NotCopyableError: The arguments are not known.
    """
    arguments = internals.constructor_arguments(layer)
    if arguments is None:
        if not is_builtin(type(layer)):
            raise NotCopyableError(f"{type(layer).__name__} does not keep what it was made with.")
        # `Identity` has no config of its own, and Keras loses what it was made with.
        return type(layer)(name=name, dtype=layer.dtype_policy.name, trainable=layer.trainable)
    copy = type(layer)(**arguments)
    copy.name = name
    copy.dtype_policy = layer.dtype_policy
    return copy


def copy_beside_graph(layer: Any) -> Any:
    """A copy of a layer that stands in no graph of ours, with the same weights and name.

    Raises:
        NotCopyableError: It cannot be made again.
    """
    with (
        internals.fresh_names(),
        internals.no_call_context(),
        _global_random_state(),
        made_for(layer.variables),
    ):
        try:
            copy = _made_again(layer)
            _build_alike(layer, copy)
        except Exception as error:
            raise NotCopyableError(
                f"{type(layer).__name__} '{layer.name}' cannot be copied: {error}"
            ) from error
    pairs = list(corresponding(layer, copy))
    _match_trainable(layer, copy)
    for source, target in pairs:
        target.trainable = source.trainable
        hand_over(target, source)
    return copy


def _made_again(layer: Any) -> Any:
    if internals.has_graph(layer):
        return keras.models.clone_model(layer)
    try:
        return type(layer).from_config(layer.get_config())
    except Exception:
        return _made_without_config(layer, layer.name)


def corresponding(a: Any, b: Any) -> Iterator[tuple[Any, Any]]:
    """Pair the variables of two layers that the same code made from one config.

    The pairs follow the structure: own state of a layer in the order in which its code made it, then its
    sublayers; names, shapes and dtypes must agree. A layer that was quantized made its state in another order
    than one that begins so.

    Raises:
        NotCopyableError: They do not.
    """
    ours, theirs = internals.own_state(a), internals.own_state(b)
    if len({kind_of(v) for v in ours}) == len(ours):
        ours, theirs = sorted(ours, key=kind_of), sorted(theirs, key=kind_of)
    below = internals.sublayers(a), internals.sublayers(b)
    same = list(map(kind_of, ours)) == list(map(kind_of, theirs))
    if not same or len(below[0]) != len(below[1]):
        raise NotCopyableError(
            describe(
                f"{type(a).__name__} '{a.name}' cannot be copied: made again from its config, it has "
                f"other weights.",
                why=f"it has {list(map(kind_of, ours))}, its copy {list(map(kind_of, theirs))}",
                hint='use weights="share"',
            )
        )
    yield from zip(ours, theirs, strict=True)
    for x, y in zip(*below, strict=True):
        yield from corresponding(x, y)


def kind_of(variable: Any) -> tuple[str, tuple[int, ...], str]:
    """What a variable has in common with its copy: the name it was given, shape and dtype."""
    stem = variable.name.rstrip("0123456789").rstrip("_")  # automatic names are numbered
    return stem, tuple(variable.shape), variable.dtype


def _build_alike(original: Any, copy: Any) -> None:
    """Build the parts of `copy` that are built in `original`, for the same shapes."""
    for x, y in zip(internals.all_layers(original), internals.all_layers(copy), strict=False):
        config = x.get_build_config() if x.built and not y.built else None
        if config:
            y.build_from_config(config)


def _spec(value: Value) -> keras.KerasTensor:
    return keras.KerasTensor(_static(value), dtype=value.dtype)


def _match_trainable(original: Any, copy: Any) -> None:
    for x, y in zip(internals.all_layers(original), internals.all_layers(copy), strict=True):
        if x.trainable != y.trainable:
            y.trainable = x.trainable


def _static(value: Value) -> tuple[int | None, ...]:
    return tuple(None if isinstance(d, Dim) else d for d in value.shape)


def _public_class(name: str) -> Any:
    found: Any = {"keras": keras, "kerasfx": None}[name.partition(".")[0]]
    if found is None:
        return getattr(layers, name.rpartition(".")[2])
    for part in name.split(".")[1:]:
        found = getattr(found, part)
    return found

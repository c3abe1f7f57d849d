"""The class of the original for a prepared model: its own steps, methods and attributes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Hashable, Iterator
from typing import Any, cast

import keras

from kerasfx.errors import (
    NotCopyableError,
    NotInPreparedModelError,
    UnsupportedModelError,
    describe,
)
from kerasfx.handover.copying import copy_beside_graph, reachable
from kerasfx.handover.placement import hand_over
from kerasfx.handover.provenance import Provenance
from kerasfx.inputs import CallSpec
from kerasfx.ir import Graph
from kerasfx.keras_api import internals
from kerasfx.runtime.held_weights import HeldWeight
from kerasfx.runtime.layers import Parameter
from kerasfx.tracing.state.unused import counted_alone

GRAPH = (
    "__init__",
    "__call__",
    "call",
    "build",
    "compute_mask",
    "compute_output_shape",
    "compute_output_spec",
    "get_config",
    "from_config",
    "get_build_config",
    "build_from_config",
    "layers",
    "get_layer",
)
"""Members that belong to the graph: those of the prepared model, whatever the original's class says."""


def require_one_argument(original: keras.Model, spec: CallSpec) -> None:
    """Refuse a model whose own methods would call the prepared model in another way than it is called.

    Raises:
        UnsupportedModelError: It is no model, or its `call` takes several arguments.
    """
    if not isinstance(original, keras.Model):
        raise UnsupportedModelError(
            describe(
                f"keep_class=True is for models; {type(original).__name__} is a layer.",
                hint="leave keep_class out: a layer has no train_step or compile to keep",
            )
        )
    if len(spec.args) != 1 or spec.kwargs or spec.args[0] is not spec.struct:
        raise UnsupportedModelError(
            describe(
                f"keep_class=True: `call` of {type(original).__name__} takes several arguments.",
                why="the prepared model takes one dict of them, which the methods of the class do not know",
                hint="let `call` take one dict or list, or leave keep_class out",
            )
        )


def keep_class(
    original: keras.Model, prepared: keras.Model, graph: Graph, record: Provenance, share: bool
) -> None:
    """Let `prepared` be of the class of `original` as well, with the attributes of `original`.

    Attributes mean what they meant: layers and weights are those of the prepared model, layers that its
    graph does not use and metrics are copies. What does not exist in the prepared model is refused when it
    is read.
    """
    attributes = _Attributes(original, prepared, graph, record, share)
    kinds = cast("tuple[Hashable, Hashable]", (type(prepared), type(original)))
    prepared.__class__ = _joined(*kinds)
    internals.look_at_methods_again(prepared)
    # A Functional model has its graph in attributes, and so has the original if it is one.
    of_graph = {*GRAPH, *vars(prepared)}
    for name, value in internals.own_attributes(original).items():
        if name not in of_graph:
            attributes.hand_over(name, value)
    internals.track_besides_graph(prepared, attributes.kept)
    object.__setattr__(prepared, "_kerasfx_refused", attributes.refused)


# One class for each pair: models that were prepared alike are of one class.
@functools.cache
def _joined(graph_class: type, user_class: type) -> type:
    """A class with the graph of the one and the methods of the other.

    It bears the names under which Keras saves models of `graph_class`: the file needs no code of the user.
    What is made of it from a graph alone, by `clone_model` for one, is a model of `graph_class`.
    """

    def of_graph(cls: type, *args: object, **kwargs: object) -> Any:
        return graph_class(*args, **kwargs)

    # A class that derives from the graph's has it already; with that in front of it there is no MRO.
    bases = (user_class,) if issubclass(user_class, graph_class) else (graph_class, user_class)
    members = {name: inspect.getattr_static(graph_class, name) for name in GRAPH}
    made = type(graph_class.__name__, bases, {**members, "__new__": of_graph, "__getattr__": _refuse})
    # Keras names a class in a file by its module and name.
    made.__module__ = graph_class.__module__
    made.__repr__ = functools.partialmethod(_named, user_class.__name__)  # pyright: ignore
    made.__doc__ = f"A Functional model with the methods of {user_class.__qualname__}."
    internals.save_as(made, graph_class)
    return made


def _named(self: Any, user_class: str) -> str:
    """As Keras writes a layer, with the class of the user's, whose methods it has."""
    return f"<{user_class} as {type(self).__name__} name={self.name}, built={self.built}>"


def _refuse(self: Any, name: str) -> Any:
    refused = vars(self).get("_kerasfx_refused", {})
    if name in refused:
        raise NotInPreparedModelError(refused[name])
    # PyTorch finds layers this way.
    found = getattr(keras.Model, "__getattr__", None)
    if found is None:
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
    return found(self, name)


Owned = keras.layers.Layer | keras.random.SeedGenerator
"""What has variables of its own and belongs to one model."""


class _RefusedError(Exception):
    """A value that the prepared model cannot have, and why."""


class _EditedError(_RefusedError):
    """A pass has taken it out of the model."""


class _Attributes:
    """Finds for each attribute of the original what stands for it in the prepared model."""

    def __init__(
        self, original: keras.Model, prepared: keras.Model, graph: Graph, record: Provenance, share: bool
    ):
        self.original = original
        self.prepared = prepared
        self.record = record
        self.share = share
        self.refused: dict[str, str] = {}
        calls = [n.call for n in graph.nodes if n.call]
        self.changed = {id(call.layer) for call in calls if "activation" in call.config}
        self.layers = {id(x): y for x, y in record.layers}
        self.variables = {id(v): w for v, w in record.variables}
        self.new = {id(w): layer for layer, variables in record.new_layers for w in variables}
        self.computed = {id(v): c for c in record.computed for v in c.originals}
        made = {layer.name: layer for layer in prepared.layers}
        alone = {key: v.name for key, v in counted_alone(graph).items() if key not in self.computed}
        self.counted_alone = {key: made[name] for key, name in alone.items() if name in made}
        self.used = record.carried() - set(self.counted_alone)
        state = [*internals.all_layers(original), *original.variables]
        # A model that shares weights may lead to those of the original.
        self.of_original = set() if share else set(map(id, state))
        drawing = [layer.generator for layer in prepared.layers if hasattr(layer, "generator")]
        self.generators = {id(g.state): g for g in drawing}
        self.copies: dict[int, object] = {}
        self.kept: list[object] = []

    def hand_over(self, name: str, value: object) -> None:
        """Set the attribute `name` of the prepared model, or note why it cannot have it."""
        try:
            found = self.of(value)
        except _RefusedError as reason:
            self.refused[name] = describe(
                f"`self.{name}` is not part of the prepared model.",
                why=str(reason),
                hint="leave out the pass, or let it leave this alone"
                if isinstance(reason, _EditedError)
                else f'if it is a layer, kerasfx.prepare_model(..., leaves=["{name}"]) keeps it whole',
            )
        else:
            object.__setattr__(self.prepared, name, found)  # it is tracked already, or will be in `kept`

    def of(self, value: object) -> Any:
        """What stands for `value`.

        Raises:
            _RefusedError: Nothing does.
        """
        if value is self.original:
            return self.prepared
        if isinstance(value, internals.Layer):
            return self._layer(value)
        if internals.is_variable(value):
            return self._variable(value)
        if isinstance(value, keras.random.SeedGenerator):
            return self._generator(value)
        if isinstance(value, keras.metrics.Metric):
            return self._metric(value)
        if isinstance(value, keras.optimizers.Optimizer):
            raise _RefusedError("an optimizer belongs to one model; compile the prepared one")
        return self._container(value) if isinstance(value, (list, tuple, dict)) else self._other(value)

    def _layer(self, layer: keras.layers.Layer) -> Any:
        kind = f"{type(layer).__name__} '{layer.name}'"
        # First: the layer in the graph lacks the activation, although it stands for this one.
        if id(layer) in self.changed:
            raise _RefusedError(f"{kind} was split: its activation is a layer of its own")
        if id(layer) in self.layers:
            return self.layers[id(layer)]
        successor = next((self.new[id(w)] for w in self._partners(layer) if id(w) in self.new), None)
        if successor is not None:
            raise _EditedError(
                f"a pass has put {type(successor).__name__} '{successor.name}' where {kind} was"
            )
        if self._is_in_graph(layer):
            raise _RefusedError(f"{kind} was opened: the prepared model has the layers inside it")
        return self._copied(layer)

    def _partners(self, layer: keras.layers.Layer) -> Iterator[keras.Variable]:
        """The variables of the prepared model that the own ones of `layer` have become, or gone into."""
        for key in map(id, internals.own_state(layer)):
            if key in self.variables:
                yield self.variables[key]
            if key in self.computed:
                yield self.computed[key].variable

    def _is_in_graph(self, layer: keras.layers.Layer) -> bool:
        inside = internals.all_layers(layer)
        return any(id(x) in self.layers for x in inside) or any(id(v) in self.used for v in layer.variables)

    def _variable(self, variable: keras.Variable) -> Any:
        found = self.variables.get(id(variable))
        if found is not None:
            return found
        if id(variable) in self.computed:
            weight = self.computed[id(variable)]
            what = f"a pass has computed '{weight.variable.path}' from it, which is {weight}"
            raise _EditedError(f"the weight '{variable.path}' is no more: {what}")
        return self._variable_of_its_own(variable)

    def _generator(self, generator: keras.random.SeedGenerator) -> Any:
        # A generator that draws in the graph is held by a `DrawSeed`.
        state = self.variables.get(id(generator.state))
        return self._copied(generator) if state is None else self.generators[id(state)]

    def _metric(self, metric: keras.metrics.Metric) -> Any:
        """A copy also where weights are shared: each model counts for itself."""
        # Refused before it is copied: the copy would go on using what it refers to.
        for part in vars(metric).values():
            self._other(part)
        if id(metric) not in self.copies:
            self.copies[id(metric)] = internals.copy_of_metric(metric)
            self.kept.append(self.copies[id(metric)])
        return self.copies[id(metric)]

    def _copied(self, value: Owned) -> Any:
        """The copy of what the graph does not use; the value itself if weights are shared."""
        if id(value) not in self.copies:
            made = value if self.share else _copy(value)
            self.copies[id(value)] = made
            self.kept.append(made)
            if isinstance(value, internals.Layer) and isinstance(made, internals.Layer):
                self.record.layers.append((value, made))
                inside = zip(internals.all_layers(value), internals.all_layers(made), strict=True)
                self.layers.update({id(x): y for x, y in inside})
            self._count_once(_state(value), _state(made))
            self._remember(_state(value), _state(made))
        return self.copies[id(value)]

    def _variable_of_its_own(self, variable: keras.Variable) -> Any:
        """A variable inside a layer: a file of weights has it, and one without the class does not mind."""
        layer = Parameter.of(HeldWeight.of_variable(variable, "weight"), variable.name)
        if self.share:
            layer.weight = variable
        layer.build()
        if not self.share:
            hand_over(layer.weight, variable)
        self.kept.append(layer)
        self._remember([variable], [layer.weight])
        return layer.weight

    def _count_once(self, ours: list[Any], theirs: list[Any]) -> None:
        """Let weights that the graph has for the sake of their regularizer be those of the copies."""
        copies = {id(v): w for v, w in zip(ours, theirs, strict=True) if id(v) in self.counted_alone}
        for key, copy in copies.items():
            internals.exchange_weight(self.counted_alone.pop(key), copy)
        self.record.variables[:] = [p for p in self.record.variables if id(p[0]) not in copies]

    def _remember(self, ours: list[Any], theirs: list[Any]) -> None:
        self.record.variables.extend(zip(ours, theirs, strict=True))
        self.variables.update({id(v): w for v, w in zip(ours, theirs, strict=True)})

    def _container(self, value: list[object] | tuple[object, ...] | dict[object, object]) -> object:
        self._refuse_partly(value)
        if isinstance(value, dict):
            return {k: self.of(v) for k, v in value.items()}
        items = [self.of(v) for v in value]
        # A named tuple takes its fields one by one.
        if isinstance(value, tuple):
            return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
        return items

    def _refuse_partly(self, value: object) -> None:
        """Refuse a container before anything in it is copied."""
        for x in reachable(value):
            is_opened = isinstance(x, internals.Layer) and id(x) not in self.layers and self._is_in_graph(x)
            if is_opened or id(x) in self.changed:
                self._layer(x)

    def _other(self, value: object) -> Any:
        """`value` itself, unless it would lead to the layers and weights of the original."""
        if any(id(x) in self.of_original for x in reachable(value)):
            raise _RefusedError(f"the {type(value).__name__} refers to layers or weights of the original")
        return value


def _copy(value: Owned) -> Owned:
    if not isinstance(value, internals.Layer):
        return internals.copy_of_generator(value)
    try:
        return copy_beside_graph(value)
    except NotCopyableError as error:
        raise _RefusedError(str(error)) from error


def _state(value: Owned) -> list[keras.Variable]:
    return value.variables if isinstance(value, internals.Layer) else [value.state]

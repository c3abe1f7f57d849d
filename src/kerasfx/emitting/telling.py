"""What the report says of each layer of a result: what it is, where it comes from, and why it is there."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace

import keras

from kerasfx.emitting.making import Making, static_shape
from kerasfx.handover.hierarchy import AS_IT_WAS, as_it_was
from kerasfx.ir import Assignment, MetricUpdate, Node, Parameter, SeedDraw, SourceLine, Value
from kerasfx.keras_api import internals
from kerasfx.keras_api.names import public_module
from kerasfx.passes.notes import InsteadOf, PutBy, called
from kerasfx.reporting import Report, ResultLayer
from kerasfx.runtime import layers
from kerasfx.tracing.traced import Origin

Place = Node | Value

SERVICES: dict[type, str] = {
    layers.AddLoss: "adds a loss that `call` of the original adds",
    layers.After: "lets an output wait for what no output depends on and counts all the same",
    layers.AttachMask: "puts the mask on that the tensor carries there in the original",
    layers.CheckSizes: "checks the answers about free sizes that the model was prepared for",
    layers.DropMask: "takes the mask off that the tensor does not carry there in the original",
    layers.ReadAssigned: "reads a weight that was assigned",
    layers.ReadHeld: "reads a weight as it was before it was assigned",
    layers.RefuseInference: "raises in inference, as the original does",
    layers.RefuseTraining: "raises in training, as the original does",
    layers.SelectByTraining: "chooses between the two sides of an `if training:`",
}
"""What layers of kerasfx do that call no function of the original."""

READS = ("kerasfx.layers.ReadAssigned", "kerasfx.layers.ReadHeld")

PASSES = {
    "replace_relu6": "put there by replace_relu6=True",
    "replace_separable_conv": "put there by replace_separable_conv=True",
    "lower_gelu": 'put there by lower_gelu="erf"',
    "weights_as_tables": "the table of a weight that functions take (portable=True)",
}
"""What to say of what some passes put there, by their names."""

SHOWN = 4
"""How many functions or lines a sentence names."""


def told(model: keras.Model, making: Making) -> list[ResultLayer]:
    """What the report says of each layer and each operation of `model`, in the order in which they run."""
    shown = _shown(model)
    takes = _taken(model, shown)
    origin = making.graph.meta.get(Origin)
    kept = {f.path for f in origin.findings if f.kind == "kept"} if origin else set()
    return [_told(x, making.stands_for.get(x.name, []), takes, kept) for x in shown]


def flat_already(model: keras.Model) -> Report:
    """The report of a flat model that comes back as it was."""
    before, shown = as_it_was(model), _shown(model)
    takes = _taken(model, shown)
    paths = {name: x.path for x in before for name in x.layers if x.parent == ""}
    found = [_told(x, [], takes, set()) for x in shown]
    layers = {x.name: replace(x, path=paths.get(x.name, ""), why=AS_IT_WAS) for x in found}
    return Report(model.name, layers=layers, unchanged=True, before=before, result=model.name)


def _shown(model: keras.Model) -> list[keras.Operation]:
    """The layers and operations of a model, without those that only compute implicit masks."""
    needed = {id(x) for x in internals.operations_but_masks(model)}
    return [x for x in model.operations if id(x) in needed or isinstance(x, keras.layers.Layer)]


def _taken(model: keras.Model, shown: Iterable[keras.Operation]) -> dict[str, list[str]]:
    """The names of the layers among `shown` whose results each layer takes."""
    takes: dict[str, list[str]] = {}
    names = {x.name for x in shown}
    for node in internals.nodes_of(model):
        givers = (internals.operation_behind(x).name for x in node.input_tensors)
        takes.setdefault(node.operation.name, []).extend(name for name in givers if name in names)
    return takes


def _told(
    operation: keras.Operation, places: list[Place], takes: dict[str, list[str]], kept: set[str]
) -> ResultLayer:
    node = next((p for p in places if isinstance(p, Node)), None)
    # A layer that gives a weight may assign it as well, and hands on what it was called with.
    values = [p for p in places if isinstance(p, Value)]
    values = values or [v for p in places if isinstance(p, Node) for v in p.results]
    weights = operation.weights if isinstance(operation, keras.layers.Layer) else []
    return ResultLayer(
        operation.name,
        type(operation).__name__,
        public_module(type(operation)),
        _path(places),
        _kind(operation, node, kept),
        *_given(operation, values),
        sum(math.prod(v.shape) for v in weights),
        tuple(dict.fromkeys(takes.get(operation.name, ()))),
        node.source if node else _line_of_user(places),
        _why(operation, places, kept),
        tuple(dict.fromkeys(path for p in places if isinstance(p, Node) for path in _inside(p))),
    )


def _inside(node: Node) -> Iterator[str]:
    """The paths of the layers whose calls lie in bodies of control flow."""
    for body in node.bodies:
        for inner in body.program.nodes:
            yield inner.path
            yield from _inside(inner)


def _given(operation: keras.Operation, values: list[Value]) -> tuple[str, str]:
    """The shapes and dtypes of what is given, each once; what stands for no Value is asked itself."""
    given = [(str(static_shape(v)), v.dtype) for v in values]
    if not given:
        first = internals.calls_of(operation)[0]
        given = [(str(tuple(x.shape)), str(x.dtype)) for x in first.output_tensors]
    return tuple(", ".join(dict.fromkeys(each)) for each in zip(*given, strict=True))  # pyright: ignore


def _path(places: list[Place]) -> str:
    for place in places:
        if isinstance(place, Node):
            return place.path
        if isinstance(place.producer, Parameter):
            return place.producer.path
        # A constant, or what is computed from weights: it is where it is taken.
        for user in place.users:
            return user.path
    return ""


def _line_of_user(places: Iterable[Place]) -> SourceLine | None:
    """The line of the first node that takes one of the weights."""
    users = (user for p in places if isinstance(p, Value) for user in p.users)
    return next((u.source for u in users if u.source), None)


def _kind(operation: keras.Operation, node: Node | None, kept: set[str]) -> str:
    if isinstance(operation, keras.layers.InputLayer):
        return "input"
    if isinstance(operation, (layers.Parameter, layers.Constant)):
        return "weight"
    if node is not None and node.call is not None:
        return "kept" if node.path in kept else "whole" if node.call.opaque else "layer"
    is_standard = public_module(type(operation)) == "keras.layers"
    return "layer" if is_standard else "function"


# Why


def _why(operation: keras.Operation, places: list[Place], kept: set[str]) -> str:
    if isinstance(operation, keras.layers.InputLayer):
        return "an input of the model"
    nodes = [p for p in places if isinstance(p, Node)]
    service = SERVICES.get(type(operation))
    if service is not None and not any(n.meta.get(PutBy) for n in nodes):
        return service
    if isinstance(operation, (layers.Parameter, layers.Constant)):
        return _why_weight(operation, places)
    if not nodes:
        return "Keras makes it for the operation that takes it"
    times = f", called {len(nodes)} times" if len(nodes) > 1 else ""
    # Two functions of one weight may be one layer: each call has a reason of its own.
    whys = _listed([_why_node(node, type(operation).__name__, kept) for node in nodes])
    return f"{whys}{times}"


def _why_weight(layer: keras.layers.Layer, places: list[Place]) -> str:
    value = next((p for p in places if isinstance(p, Value)), None)
    what = "constant" if isinstance(layer, layers.Constant) else "weight"
    takers = value.users if value is not None else ()
    users = list(dict.fromkeys(called(u) for u in takers if not _is_of_assignment(u)))
    is_assigned = any(isinstance(p, Node) and isinstance(p.target, Assignment) for p in places)
    assigned = " and assigned" if is_assigned else ""
    if users:
        return f"a {what} taken by {_listed(users)}{assigned}"
    return f"a {what} that is assigned" if is_assigned else f"a {what} that is an output"


def _is_of_assignment(node: Node) -> bool:
    """Whether a node takes a weight only because it is assigned: no function of the user's takes it there."""
    is_reading = node.spec is not None and node.spec.class_name in READS
    return is_reading or isinstance(node.target, Assignment)


def _why_node(node: Node, class_name: str, kept: set[str]) -> str:
    if node.call is not None:
        return _why_layer(node, kept)
    if isinstance(node.target, SeedDraw):
        return f"draws a seed from a generator of the original{_at([node.source])}"
    if isinstance(node.target, MetricUpdate):
        return f"updates the metric '{node.target.metric.name}'{_at([node.source])}"
    instead, put = node.meta.get(InsteadOf), node.meta.get(PutBy)
    if instead is not None and (put is None or put.is_ours):
        return _why_lowered(instead, class_name)
    if put is not None and (put.name in PASSES or not put.is_ours):
        return _why_put(put, instead)
    if node.function is not None:
        return f"{node.function}{_at([node.source])}"
    made = f"put there by the pass `{put.name}`" if put else "put there while tracing"
    return f"{made}{_at([node.source])}"


def _why_layer(node: Node, kept: set[str]) -> str:
    assert node.call is not None
    if node.path in kept:
        return "kept whole on request (leaves=)"
    if node.call.opaque:
        return f"kept whole: {node.call.opaque.splitlines()[0]}"
    return "a built-in layer of the original"


def _why_lowered(note: InsteadOf, class_name: str) -> str:
    names = _listed([name for name, _ in note.calls])
    at = _at([line for _, line in note.calls])
    by = f", which the pass `{_listed(list(note.passes))}` put there" if note.passes else ""
    return f"{names}{at} lowered to {class_name}{by}"


def _why_put(put: PutBy, instead: InsteadOf | None) -> str:
    by = PASSES.get(put.name, f"put there by the pass `{put.name}`")
    if instead is None:
        return by
    names, lines = zip(*instead.calls, strict=True)
    return f"{by} instead of {_listed(list(names))}{_at(lines)}"


def _at(lines: Iterable[SourceLine | None]) -> str:
    """` at net.py:12`, or nothing where no line is known."""
    found = list(dict.fromkeys(f"{os.path.basename(x.file)}:{x.line}" for x in lines if x))
    return f" at {_listed(found)}" if found else ""


def _listed(names: list[str]) -> str:
    """`a, b and c`, the last ones counted where there are many."""
    shown = list(_counted(names))
    return f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else "".join(shown)


def _counted(names: list[str]) -> Iterator[str]:
    once = list(dict.fromkeys(names))
    yield from once[: SHOWN if len(once) > SHOWN + 1 else None]
    if len(once) > SHOWN + 1:
        yield f"{len(once) - SHOWN} more"

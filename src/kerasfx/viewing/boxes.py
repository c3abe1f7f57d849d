"""What a picture of a model shows: a box for each call, in groups that are the layers of the original."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any

import keras

from kerasfx import reporting
from kerasfx.errors import UnsupportedModelError, describe
from kerasfx.ir import Graph, LayerCall, Node, Value, values_in
from kerasfx.ir.dims import Dim
from kerasfx.ir.text import target_name
from kerasfx.keras_api import internals
from kerasfx.keras_api.builtins import is_builtin
from kerasfx.runtime.function_layers import Op
from kerasfx.source_code.graph import Call, calls_of

Group = tuple[str, ...]
"""The names of the layers around something, the outermost first."""

WEIGHTS = ("Parameter", "Constant")


@dataclass(frozen=True)
class Edge:
    """What a box takes.

    Attributes:
        source: The key of the box that gives it.
        output: Which of its results.
        shape: Its shape, as text.
    """

    source: str
    output: int
    shape: str


@dataclass(frozen=True)
class Box:
    """A call, or a group of calls that is shown as one.

    Attributes:
        key: What edges know it by.
        name: Of the layer or node.
        class_name: The class of the layer, or the function.
        group: The layers of the original that it is in.
        kind: A key of `kerasfx.reporting.records.KINDS_OF_LAYERS`, or "group".
        shapes, dtypes: Of what it gives, as text.
        parameters: How many numbers its weights hold.
        edges: What it takes.
        path: Of the layer of the original that it comes from, where that is known.
        source: The user's line, as text.
        why: Why it is there.
    """

    key: str
    name: str
    class_name: str
    group: Group
    kind: str
    shapes: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    parameters: int = 0
    edges: tuple[Edge, ...] = ()
    path: str = ""
    source: str = ""
    why: str = ""

    @property
    def shape(self) -> str:
        """The shapes, one after the other."""
        return ", ".join(self.shapes)

    @property
    def dtype(self) -> str:
        """The dtypes, each once."""
        return ", ".join(dict.fromkeys(self.dtypes))


@dataclass(frozen=True)
class Picture:
    """All boxes, in the order in which they run.

    Attributes:
        name: Of the model or graph.
        boxes: The boxes.
        results: What it gives: keys of boxes, each with which of its results.
        classes: The class of the layer of the original that a group is, where it is known.
    """

    name: str
    boxes: tuple[Box, ...]
    results: tuple[tuple[str, int], ...]
    classes: dict[Group, str] = field(default_factory=dict)


def picture_of(shown: object) -> Picture:
    """The boxes of a Functional or Sequential model, or of a graph.

    Raises:
        UnsupportedModelError: It is something else, or a model that was not built.
    """
    if isinstance(shown, Graph):
        return _of_graph(shown)
    if _has_calls(shown):
        return _of_model(shown)
    name = getattr(shown, "name", shown)
    raise UnsupportedModelError(
        describe(
            f"There is no picture of '{name}' of class {type(shown).__name__}.",
            why="the calls of graphs, and of Functional and Sequential models that are built, are known",
            hint="prepare it first: kerasfx.plot(kerasfx.prepare_model(model))",
        )
    )


def _has_calls(model: Any) -> bool:
    if isinstance(model, keras.Sequential):
        return internals.input_of_sequential(model) is not None
    return isinstance(model, internals.Functional)


def folded(picture: Picture, depth: int | None) -> Picture:
    """The same with one box for each group that is inside of `depth` - 1 others, and all that is in it."""
    if depth is None:
        return picture
    at = {box.key: box.group[:depth] for box in picture.boxes if len(box.group) >= depth}
    keys = {key: f"group {'/'.join(group)}" for key, group in at.items()}
    found: dict[str, Box] = {}
    for box in picture.boxes:
        key = keys.get(box.key, box.key)
        edges = [replace(e, source=keys.get(e.source, e.source)) for e in box.edges]
        edges = [e for e in edges if e.source != key]
        if key == box.key:
            found[key] = replace(box, edges=tuple(edges))
        else:
            found[key] = _joined(found.get(key), box, at[box.key], key, edges, picture.classes)
    for key, given in _given_by(picture, keys).items():
        shapes, dtypes = zip(*given, strict=True)
        found[key] = replace(found[key], shapes=shapes, dtypes=dtypes)
    return replace(picture, boxes=tuple(found.values()))


def _joined(
    before: Box | None, box: Box, group: Group, key: str, edges: list[Edge], classes: dict[Group, str]
) -> Box:
    if before is None:
        path = ".".join(group)
        before = Box(key, path, classes.get(group, "group"), group[:-1], "group", path=path)
    # One arrow for each box that something comes from.
    known = {e.source for e in before.edges}
    more = [e for i, e in enumerate(edges) if e.source not in known | {x.source for x in edges[:i]}]
    return replace(before, parameters=before.parameters + box.parameters, edges=(*before.edges, *more))


def _given_by(picture: Picture, keys: dict[str, str]) -> dict[str, list[tuple[str, str]]]:
    """The shapes and dtypes of what leaves each group, in the order in which it is made."""
    leaving = set(picture.results)
    for box in picture.boxes:
        own = keys.get(box.key)
        leaving |= {(e.source, e.output) for e in box.edges if own is None or keys.get(e.source) != own}
    found: dict[str, list[tuple[str, str]]] = {}
    for box in picture.boxes:
        for i, told in enumerate(zip(box.shapes, box.dtypes, strict=True)):
            if box.key in keys and (box.key, i) in leaving:
                found.setdefault(keys[box.key], []).append(told)
    return found


# Models


def _of_model(model: Any) -> Picture:
    report = reporting.report(model) if reporting.was_prepared(model) else reporting.Report(model.name)
    opened = {x.path: x.class_name for x in report.before if x.became == "opened"}
    reader = _Reader(report.layers, opened)
    results = tuple(reader.read(model, (), []))
    classes = {tuple(path.split(".")): name for path, name in opened.items() if path}
    boxes = tuple(_with_weights_placed(reader.boxes))
    return Picture(model.name, boxes, results, {**classes, **reader.classes})


class _Reader:
    """Reads the calls of a model, and of models inside of it."""

    def __init__(self, records: dict[str, reporting.ResultLayer], opened: dict[str, str]):
        self.records, self.opened = records, opened
        self.boxes: list[Box] = []
        self.classes: dict[Group, str] = {}
        self.makers: dict[int, tuple[str, int]] = {}
        self.keys: Counter[str] = Counter()

    def read(self, model: Any, group: Group, given: list[Any]) -> list[tuple[str, int]]:
        """Add the boxes of a model that is called with tensors; return what makes its results."""
        for i, tensor in enumerate(model.inputs):
            if given:
                self.makers[id(tensor)] = self.makers[id(given[i])]
            else:
                self._add(Call(internals.call_that_made(tensor).operation, (), {}, [tensor], []), group)
        for call in calls_of(model, {}):
            self._call(call, group)
        return [self.makers[id(t)] for t in model.outputs]

    def _call(self, call: Call, group: Group) -> None:
        layer = call.operation
        if not (isinstance(layer, keras.Model) and _has_calls(layer)):
            self._add(call, group)
            return
        inside = (*group, layer.name)
        self.classes[inside] = type(layer).__name__
        # The tensors of another call of the same model are made anew.
        for tensor, maker in zip(call.outputs, self.read(layer, inside, call.needs), strict=True):
            self.makers[id(tensor)] = maker

    def _add(self, call: Call, group: Group) -> None:
        operation, record = call.operation, self.records.get(call.operation.name)
        kind = _kind(operation) if record is None else record.kind
        wish = "/".join((*group, operation.name))
        self.keys[wish] += 1
        # A weight is called to be tied to one tensor or another, and stays the weight that it is.
        is_tied = kind == "weight" and not call.kwargs
        key = wish if self.keys[wish] == 1 or is_tied else f"{wish} ({self.keys[wish]})"
        for i, tensor in enumerate(call.outputs):
            self.makers[id(tensor)] = (key, i)
        if is_tied and self.keys[wish] > 1:
            return
        box = Box(
            key,
            operation.name,
            type(operation).__name__,
            group or self._group_of(record),
            kind,
            tuple(_shape(t.shape) for t in call.outputs),
            tuple(t.dtype for t in call.outputs),
            operation.count_params() if isinstance(operation, keras.layers.Layer) and operation.built else 0,
            () if is_tied else tuple(Edge(*self.makers[id(t)], _shape(t.shape)) for t in call.needs),
        )
        self.boxes.append(box if record is None else _with_record(box, record))

    def _group_of(self, record: reporting.ResultLayer | None) -> Group:
        if record is None:
            return ()
        path = record.path if record.path in self.opened else record.path.rpartition(".")[0]
        return tuple(path.split(".")) if path else ()


def _with_record(box: Box, record: reporting.ResultLayer) -> Box:
    source = str(record.source) if record.source else ""
    return replace(box, path=record.path, source=source, why=record.why)


def _kind(operation: Any) -> str:
    if isinstance(operation, keras.layers.InputLayer):
        return "input"
    if not isinstance(operation, keras.layers.Layer) or isinstance(operation, Op):
        return "function"
    if not is_builtin(type(operation)):
        return "whole"
    return "weight" if type(operation).__name__ in WEIGHTS else "layer"


def _with_weights_placed(boxes: list[Box]) -> Iterator[Box]:
    """The boxes, weights in the innermost group around all that take them."""
    groups: dict[str, list[Group]] = {}
    for box in boxes:
        for edge in box.edges:
            groups.setdefault(edge.source, []).append(box.group)
    for box in boxes:
        is_placed = box.kind == "weight" and box.key in groups
        yield replace(box, group=_common(groups[box.key])) if is_placed else box


def _common(groups: list[Group]) -> Group:
    """The groups that are around all of these."""
    levels = zip(*groups, strict=False)
    return tuple(level[0] for level in takewhile(lambda level: len(set(level)) == 1, levels))


def _shape(shape: tuple[Any, ...]) -> str:
    return f"({', '.join('None' if d is None or isinstance(d, Dim) else str(d) for d in shape)})"


# Graphs


def _of_graph(graph: Graph) -> Picture:
    makers: dict[Value, tuple[str, int]] = {}
    boxes = []
    weights = (*graph.parameters, *graph.constants, *graph.computed_weights)
    for kind, values in (("input", tuple(values_in(graph.inputs))), ("weight", weights)):
        for value in values:
            makers[value] = (f"%{value.name}", 0)
            size = 0 if kind == "input" else math.prod(int(d) for d in value.shape)
            about = (value.name, type(value.producer).__name__, (), kind, (_shape(value.shape),))
            boxes.append(Box(f"%{value.name}", *about, (value.dtype,), size))
    for node in graph.nodes:
        boxes.append(_of_node(node, makers))
        makers.update({value: (node.name, i) for i, value in enumerate(node.results)})
    results = tuple(makers[value] for value in values_in(graph.outputs))
    return Picture(graph.name, tuple(_with_weights_placed(boxes)), results)


def _of_node(node: Node, makers: dict[Value, tuple[str, int]]) -> Box:
    layer = node.target.layer if isinstance(node.target, LayerCall) else None
    path = node.path.rpartition(".")[0] if layer is not None else node.path
    kept = "layer" if is_builtin(type(layer)) else "whole"
    return Box(
        node.name,
        node.name,
        target_name(node) if layer is None else type(layer).__name__,
        tuple(path.split(".")) if path else (),
        "function" if layer is None else kept,
        tuple(_shape(v.shape) for v in node.results),
        tuple(v.dtype for v in node.results),
        edges=tuple(Edge(*makers[v], _shape(v.shape)) for v in node.inputs if v in makers),
        path=node.path,
        source=str(node.source) if node.source else "",
    )

"""The layers of the original, and what became of each: the half of the report that stands on the left."""

from __future__ import annotations

import inspect
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras

from kerasfx.ir import Graph, Node, SourceLine
from kerasfx.ir.program import TakenBefore
from kerasfx.keras_api.internals import own_state
from kerasfx.keras_api.names import public_module
from kerasfx.reporting import OriginalLayer, ResultLayer
from kerasfx.tracing.traced import Origin
from kerasfx.tracing.where import Paths, line_of_user

AS_IT_WAS = "it is there as it was"

Names = Mapping[int, list[str]]
"""The names of the layers of the result that stand for a layer of the original or hold what has become of a
variable of it, by the `id` of that."""


def original_layers(
    origin: Origin,
    graph: Graph,
    names: Names | None = None,
    result: Sequence[ResultLayer] = (),
    carried: Collection[int] = (),
) -> list[OriginalLayer]:
    """What became of the model and of each layer below it, in the order of a table of contents.

    Args:
        origin: The original.
        graph: What it became.
        names: The names of the layers of the result that stand for one, or hold a variable, of the original.
        result: The layers of the result; none, where none was made.
        carried: The `id`s of the variables of the original that the result has in some way.
    """
    return list(_Hierarchy(origin, graph, names or {}, result, carried).walk())


def refused(model: keras.layers.Layer, why: str) -> OriginalLayer:
    """What is said of a model that cannot be prepared."""
    return _record("", model, None, "whole", why, line_of_user(_call_of(model)))


def as_it_was(model: keras.layers.Layer) -> list[OriginalLayer]:
    """What is said of the layers of a flat model that comes back as it was: each stands for itself."""
    below = Paths(model).below()
    found = [_record("", model, None, "opened", "it is flat already")]
    waiting = [(path, layer, "", (layer.name,)) for path, layer in reversed(below.get("", ()))]
    while waiting:
        path, layer, parent, names = waiting.pop()
        found.append(_record(path, layer, parent, "layer", AS_IT_WAS, layers=names))
        waiting += [(p, x, path, names) for p, x in reversed(below.get(path, ())) if p != path]
    return found


class _Hierarchy:
    def __init__(
        self,
        origin: Origin,
        graph: Graph,
        names: Names,
        result: Sequence[ResultLayer],
        carried: Collection[int],
    ):
        self.origin, self.names, self.carried = origin, names, carried
        self.below = origin.paths.below()
        self.kept = {f.path for f in origin.findings if f.kind == "kept"}
        self.inputs = {layer.name for layer in result if layer.kind == "input"}
        # An input belongs to the model, unless that has a layer of its own for it.
        own = self.inputs & {layer.name for _, layer in self.below.get("", ())}
        self.at = _by_path([x for x in result if x.name not in own], origin)
        self.calls: dict[int, list[Node]] = {}
        for node in graph.nodes:
            if node.call is not None:
                self.calls.setdefault(id(node.layer), []).append(node)
        note = graph.meta.get(TakenBefore)
        self.called_before = note.layers if note else frozenset(self.calls)
        self.variables = graph.variables_taken()

    def walk(self) -> Iterator[OriginalLayer]:
        """The records, each before those of the layers inside of it."""
        waiting: list[tuple[str, Any, str | None, OriginalLayer | None]] = [
            ("", self.origin.model, None, None)
        ]
        while waiting:
            path, layer, parent, whole = waiting.pop()
            record = self._inside(path, layer, parent, whole) if whole else self._record(path, layer, parent)
            yield record
            if record.became in ("layer", "kept", "whole", "unused", "dropped"):
                whole = whole or record
            inside = [(p, x, path, whole) for p, x in self.below.get(path, ()) if p != path]
            waiting.extend(reversed(inside))

    def _inside(self, path: str, layer: Any, parent: str | None, whole: OriginalLayer) -> OriginalLayer:
        """A layer that lies in one that is one layer of the result, or none, unless it is called besides."""
        is_used = whole.became in ("unused", "dropped") and self._holds_used(layer)
        if id(layer) in self.calls or path in self.origin.opened or is_used:
            return self._record(path, layer, parent)
        why = f"inside of '{whole.path or self.origin.model.name}', which is {_IS[whole.became]}"
        return _record(path, layer, parent, whole.became, why, layers=whole.layers)

    def _record(self, path: str, layer: Any, parent: str | None) -> OriginalLayer:
        calls = self.calls.get(id(layer), [])
        if calls:
            return self._called(path, layer, parent, calls)
        at = tuple(x.name for x in self.at.get(path, ()))
        if path in self.origin.opened:
            line = line_of_user(_call_of(layer))
            return _record(path, layer, parent, "opened", "its `call` was traced through", line, at)
        if parent == "" and layer.name in self.inputs:
            return _record(path, layer, parent, "layer", "an input of the model", layers=(layer.name,))
        if isinstance(layer, keras.layers.InputLayer):
            return _record(path, layer, parent, "opened", "an input: what comes in takes its place")
        if at:
            found = self.at[path]
            became = "layer" if any(x.kind == "layer" for x in found) else "opened"
            classes = ", ".join(dict.fromkeys(x.class_name for x in found))
            why = "; ".join([f"replaced by {classes}", *dict.fromkeys(x.why for x in found)])
            return _record(path, layer, parent, became, why, found[0].source, at)
        if self._holds_used(layer):
            names = [name for v in own_state(layer) for name in self.names.get(id(v), ())]
            why = "its weights are taken without a call of it"
            return _record(path, layer, parent, "opened", why, layers=tuple(dict.fromkeys(names)))
        if id(layer) in self.called_before:
            return _record(path, layer, parent, "dropped", "a pass has taken it out")
        why = "no output depends on it"
        if any(id(v) in self.carried for v in layer.variables):
            why += "; the result holds a copy of it beside its graph (keep_class=True)"
        return _record(path, layer, parent, "unused", why)

    def _holds_used(self, layer: Any) -> bool:
        """Whether a function takes a variable that belongs to the layer itself."""
        return any(id(v) in self.variables for v in own_state(layer))

    def _called(self, path: str, layer: Any, parent: str | None, calls: list[Node]) -> OriginalLayer:
        first = calls[0]
        assert first.call is not None
        if path in self.kept:
            became, why = "kept", "kept whole on request (leaves=)"
        elif first.call.opaque:
            became, why = "whole", first.call.opaque.splitlines()[0]
        else:
            became, why = "layer", "a built-in layer"
        if len(calls) > 1:
            why += f"; called {len(calls)} times"
        # Behind the layer itself: what puts its calls in order, or the masks of its results.
        names = (*self.names.get(id(layer), ()), *(x.name for x in self.at.get(path, ())))
        names = tuple(dict.fromkeys(names))
        return _record(path, layer, parent, became, why, first.source, names)


def _by_path(result: Iterable[ResultLayer], origin: Origin) -> dict[str, list[ResultLayer]]:
    """The layers of the result by the path of that of the original which they come from."""
    found: dict[str, list[ResultLayer]] = {}
    for layer in result:
        # The path of a weight goes one step further than that of its layer.
        is_of_weight = layer.kind == "weight" and layer.path not in origin.opened
        path = layer.path.rpartition(".")[0] if is_of_weight else layer.path
        for each in dict.fromkeys((path, *layer.inside)):
            found.setdefault(each, []).append(layer)
    return found


_IS = {
    "layer": "one layer",
    "kept": "kept whole on request",
    "whole": "kept whole",
    "unused": "unused",
    "dropped": "taken out",
}


def _record(
    path: str,
    layer: Any,
    parent: str | None,
    became: str,
    why: str,
    source: SourceLine | None = None,
    layers: tuple[str, ...] = (),
) -> OriginalLayer:
    cls = type(layer)
    count = sum(math.prod(v.shape) for v in layer.weights)
    return OriginalLayer(path, cls.__name__, public_module(cls), parent, became, count, source, why, layers)


def _call_of(layer: Any) -> Any:
    return getattr(inspect.unwrap(type(layer).call), "__code__", None)

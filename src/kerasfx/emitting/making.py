"""A model in the making: its names, the layers made so far, and the record of where they come from."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import keras

from kerasfx.handover import copying
from kerasfx.handover.placement import hand_over
from kerasfx.handover.provenance import Provenance
from kerasfx.handover.recorded import Shape
from kerasfx.ir import Graph, LayerCall, Node, Value, leaves_of, values_in
from kerasfx.ir.dims import Dim
from kerasfx.keras_api import internals
from kerasfx.reporting import Finding
from kerasfx.tracing.traced import Origin

Tensors = object
"""A structure of symbolic tensors."""


class Making:
    """What everything that makes layers for one model shares.

    Attributes:
        graph: What the model is made of.
        share: Whether it is made of the layers and variables of the original.
        names: The names that are taken.
        record: Where the model comes from.
        made: The layer that stands for a layer of the original, by `LayerCall.key`, or for a generator or
            metric, by the `id` of that.
        stands_for: What each layer or operation of the result, by its name, is called for: nodes, or the
            one Value that it gives.
    """

    def __init__(self, graph: Graph, share: bool):
        self.graph = graph
        self.share = share
        self.names = {v.name for v in values_in(graph.inputs)}
        self.record = Provenance()
        self.made: dict[object, keras.layers.Layer] = {}
        self.stands_for: dict[str, list[Node | Value]] = {}

    @functools.cached_property
    def of_original(self) -> set[int]:
        """The `id`s of the variables of the original, to which nothing may be written."""
        origin = self.graph.meta.get(Origin)
        known = [v for layer in self.graph.called_layers() for v in layer.variables]
        known += [v.variable for v in self.graph.parameters]
        return set(map(id, [*known, *(origin.model.variables if origin else ())]))

    def name(self, wish: str) -> str:
        """`wish`, or `wish_1`, `wish_2`..., which is taken from then on."""
        name, count = wish or "layer", 0
        while name in self.names:
            count += 1
            name = f"{wish}_{count}"
        self.names.add(name)
        return name

    def note(self, place: Node | Value, tensors: Tensors) -> None:
        """Note that what gives `tensors` is called for a node, or gives a Value."""
        given = [x for x in leaves_of(tensors) if x is not None]
        for name in dict.fromkeys(internals.operation_behind(x).name for x in given):
            self.stands_for.setdefault(name, []).append(place)

    def tell(self, findings: Iterable[Finding]) -> None:
        """Let the report say something, once."""
        known = self.record.findings
        known += [f for f in dict.fromkeys(findings) if f not in known]

    def loadable(self, x: object, kind: str, called_with: list[tuple[Shape, str]], path: str) -> object:
        """A regularizer or constraint as a file can hold it; the report says where none can."""
        found, remarks = copying.loadable_function(x, kind, called_with)
        self.tell(Finding("warning", path, what, hint=hint) for what, hint in remarks)
        return found

    def remember(
        self,
        call: LayerCall,
        layer: keras.layers.Layer,
        pairs: list[tuple[keras.Variable, keras.Variable]],
    ) -> None:
        """Note that `layer` stands for what `call` calls, and which of their variables are pairs."""
        original = call.layer
        self.made[call.key] = layer
        self.record.layers.append((original, layer))
        self.record.variables.extend(pairs)
        for ours, theirs in zip(*map(internals.metrics_of_layers, (original, layer)), strict=True):
            self.transfer_metric(ours, theirs)

    def transfer_metric(self, original: keras.metrics.Metric, copy: keras.metrics.Metric) -> None:
        """Give the copy of a metric the state of the original, and note the pairs of their variables."""
        pairs = list(zip(original.variables, copy.variables, strict=True))
        for source, target in pairs if not self.share else ():
            hand_over(target, source)
        self.record.metrics.extend(pairs)


def shapes_of(node: Node) -> list[tuple[Shape, str]]:
    """Shapes and dtypes of what a node gives, None being a free size."""
    return [(static_shape(v), v.dtype) for v in node.results]


def static_shape(value: Value) -> Shape:
    """The shape of a Value as Keras writes it, None being a free size."""
    return tuple(None if isinstance(d, Dim) else d for d in value.shape)

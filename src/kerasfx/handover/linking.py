"""Tell a model that was emitted where it comes from: for `compare`, `copy_weights` and `report`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import keras

from kerasfx.handover import training_in_fit as fit
from kerasfx.handover.hierarchy import original_layers
from kerasfx.handover.provenance import Provenance, known_provenance
from kerasfx.inputs import CallSpec
from kerasfx.ir import Graph, leaves_of, map_leaves
from kerasfx.ir.program import TakenBefore
from kerasfx.keras_api import internals
from kerasfx.keras_api.arrays import to_numpy
from kerasfx.passes.lower.rule import Lowering
from kerasfx.reporting import Finding, Report, attach
from kerasfx.tracing.traced import Origin

NOT_NEEDED = "no output depends on it: the result does not have it"

KEPT_EXAMPLE = 2**22
"""How many numbers an example may have to be kept, as a copy, as long as the prepared model lives."""


def link(
    prepared: keras.Model, graph: Graph, origin: Origin, training_in_fit: str, dropped: Sequence[Finding] = ()
) -> Report:
    """Let `prepared`, made of `graph`, know its original.

    Returns:
        Its report, which says all that is known of it, `dropped` included.
    """
    original, record = origin.model, known_provenance(prepared)
    record.remember(original)
    # Without the examples, which would live as long as the model.
    record.call = _caller(origin.call.changed(lambda x: replace(x, example=None)))
    record.examples = _kept(origin.call.examples())
    carried = record.carried()
    record.unused = [v for v in original.variables if id(v) not in carried]
    lowering = graph.meta.get(Lowering)
    findings = [
        *origin.findings,
        *record.findings,
        *(lowering.findings() if lowering else ()),
        *about_fit(graph, origin, training_in_fit),
        *dropped,
        *_about_variables(graph, origin, record),
    ]
    # The flag of the model alone: each layer inside has its own, and may be one of the original.
    if not original.trainable:
        internals.freeze_as_whole(prepared)
    layers, names = record.layers_of_result, _names(prepared, record)
    report = Report(
        graph.name,
        origin.opened,
        {layer.name: layer for layer in layers},
        findings,
        before=original_layers(origin, graph, names, layers, carried),
        result=prepared.name,
        mode=graph.mode,
    )
    attach(prepared, report)
    return report


def _names(prepared: keras.Model, record: Provenance) -> dict[int, list[str]]:
    """The names of the layers that stand for one, or hold what has become of a variable, of the original."""
    holders = {id(v): layer.name for layer in prepared.layers for v in layer.variables}
    pairs = [(ours, theirs.name) for ours, theirs in record.layers]
    pairs += [(ours, holders[id(own)]) for ours, own in record.went_into() if id(own) in holders]
    names: dict[int, list[str]] = {}
    for ours, name in pairs:
        names.setdefault(id(ours), []).append(name)
    return names


def about_fit(graph: Graph, origin: Origin, training_in_fit: str) -> list[Finding]:
    """What the user should know of `fit`."""
    found = (
        fit.finding(graph, training_in_fit, origin.model),
        fit.hidden_metrics(graph, origin.model),
        fit.forgotten_losses(origin.calls_of_model, origin.adding_losses, origin.model),
    )
    return [finding for finding in found if finding]


def would_be_unused(graph: Graph, origin: Origin) -> list[Finding]:
    """The variables of the original that a model of the graph would not have."""
    taken = graph.variables_taken()
    unused = [v for v in origin.model.variables if id(v) not in taken]
    return [Finding("unused", origin.paths.of_variable(v), NOT_NEEDED) for v in unused]


def _about_variables(graph: Graph, origin: Origin, record: Provenance) -> Iterator[Finding]:
    note = graph.meta.get(TakenBefore)
    before = note.variables if note else frozenset()
    for variable in record.unused:
        what = NOT_NEEDED
        if id(variable) in before:
            what = "a pass has taken it out: the result does not have it"
        yield Finding("unused", origin.paths.of_variable(variable), what)
    # A variable that a plain object holds is in the trace, and Keras does not find it.
    known = {id(v) for v in origin.model.variables}
    for variable in (v for v, _ in record.variables if v.trainable and id(v) not in known):
        what = f"{variable.name}: Keras does not find it, so that `fit` of the original does not train it; "
        hint = "hold it, or the layer that has it, in an attribute of a layer; or set its trainable = False"
        path = origin.paths.of_variable(variable)
        yield Finding("warning", path, f"{what}that of the result does", hint=hint)


def _kept(examples: Any) -> Any:
    """Copies of small examples, for `compare`; None for large ones, which would live with the model."""
    arrays = [x for x in leaves_of(examples) if x is not None]
    is_small = bool(arrays) and sum(math.prod(x.shape) for x in arrays) <= KEPT_EXAMPLE
    return map_leaves(lambda x: to_numpy(x).copy(), examples) if is_small else None


def _caller(spec: CallSpec) -> Callable[..., Any]:
    """A function that calls the original with inputs in the structure of the prepared model."""

    def call(model: keras.layers.Layer, inputs: Any) -> Any:
        # In the order in which Keras flattens: dicts by sorted keys.
        specs = keras.tree.flatten(spec.struct)
        by_spec = dict(zip(map(id, specs), keras.tree.flatten(inputs), strict=True))
        args, kwargs = map_leaves(lambda x: by_spec.get(id(x), x), (spec.args, spec.kwargs))
        return model(*args, **kwargs)

    return call

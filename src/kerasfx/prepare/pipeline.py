"""The pipeline: trace the original, edit the graph, make a model of it, compare the two."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import keras

from kerasfx import passes as graph_passes
from kerasfx.emitting import make_model
from kerasfx.errors import OpaqueLayerError
from kerasfx.handover.compiled import compile_like
from kerasfx.handover.keep_class import keep_class as take_class
from kerasfx.handover.keep_class import require_one_argument
from kerasfx.handover.left_out import warn_when_used
from kerasfx.handover.linking import link
from kerasfx.handover.placement import made_for
from kerasfx.handover.provenance import known_provenance
from kerasfx.inputs import CallSpec
from kerasfx.keras_api import internals
from kerasfx.keras_api.random_state import random_state_kept
from kerasfx.keras_api.replacing import undone
from kerasfx.passes.legalize.weights_as_tables import weights_as_tables
from kerasfx.prepare.verifying import NOT_COMPARED, Compared, Unverified, verified
from kerasfx.prepare.wanted import Wanted
from kerasfx.reporting import Clock, Finding, Report, was_prepared
from kerasfx.runtime import modes
from kerasfx.tracing import run_trace
from kerasfx.tracing.state.leftovers import attributes_put_back
from kerasfx.tracing.traced import Traced

TRAINS_ALL_THE_SAME = "Keras's own Functional model, which is for inference, does not refuse to be trained"
SAW_NO_FUNCTION = "it was prepared before: passes saw no function in it, but layers of kerasfx that hold them"


@dataclass(frozen=True)
class Result:
    """What `prepare_model` has made.

    Attributes:
        model: The model.
        unverified: Why nobody knows whether it is right; None where it was compared, or was not to be.
    """

    model: keras.Model
    unverified: Unverified | None


@dataclass
class _Edited:
    """What was done to a graph.

    Attributes:
        changed_by: The passes of the user's that changed it.
        findings: What the report says of it.
    """

    changed_by: Sequence[str]
    findings: list[Finding] = field(default_factory=list)


@contextmanager
def old_objects_left_alone() -> Iterator[None]:
    """Let Python's garbage collector not look through what was there before: it takes a third of the time.

    Preparing makes many objects that stay, which sets it off again and again. What is made in the block is
    collected as ever.
    """
    # What others froze would be thawed with it.
    if gc.get_freeze_count():
        yield
        return
    with undone(gc.unfreeze):
        gc.freeze()
        yield


def prepared_as(wanted: Wanted, original: keras.layers.Layer, spec: CallSpec, clock: Clock) -> Result:
    """Make the model that is wanted of `original`, called as `spec` says."""
    if wanted.keep_class:
        require_one_argument(original, spec)
    # Here and not in a function of its own: what the model's code raises shows each frame on its way.
    traced = run_trace(original, spec, wanted.policy, wanted.hints, wanted.mode)
    clock.ends("trace")
    if wanted.strict:
        _refuse_opaque(traced)
    edited = _edited(wanted, traced)
    clock.ends("passes")
    compared = NOT_COMPARED
    if wanted.options.change_numbers:
        if wanted.verify:
            compared = _verified_before(wanted, traced, edited)
            clock.ends("verify")
        edited.findings += wanted.options.replace(traced.graph)
    dropped = wanted.left_out_of(original)
    # Only calls on a model that is returned stay with layers that it shares, and nothing that the calls keep.
    with (
        internals.calls_undone_if_refused(internals.all_layers(original) if wanted.shares else []),
        attributes_put_back(original) if wanted.shares else nullcontext(),
    ):
        prepared, report = _made(wanted, traced, dropped)
        clock.ends("emit")
        if wanted.verify and not wanted.options.change_numbers:
            compared = verified(prepared, traced.origin, wanted.verify, wanted.passes, edited.changed_by)
            clock.ends("verify")
        if wanted.compile:
            with made_for(original.variables):
                compile_like(original, prepared, known_provenance(prepared))
    if dropped:
        warn_when_used(original, prepared)
    _complete(report, [*edited.findings, *compared.findings], compared, clock)
    return Result(prepared, compared.unverified)


def _refuse_opaque(traced: Traced) -> None:
    opaque = [f for f in traced.findings if f.kind == "opaque"]
    if opaque:
        lines = "\n".join(f"  {f}" for f in opaque)
        raise OpaqueLayerError(f"{len(opaque)} layers of '{traced.graph.name}' would stay whole:\n{lines}")


def _edited(wanted: Wanted, traced: Traced) -> _Edited:
    """Run the passes of the user's, ours, and the options that change no number."""
    graph, origin = traced.graph, traced.origin
    wanted.options.name(graph)
    edited = _Edited(graph_passes.run(graph, wanted.passes))
    asked_open = origin.opened if wanted.opened else {}
    graph_passes.run_default(graph, wanted.lower, origin.model, wanted.shares, asked_open)
    if wanted.portable:
        graph_passes.run(graph, [weights_as_tables])
    edited.findings += wanted.options.rearrange(graph)
    if wanted.portable and wanted.mode != modes.BOTH:
        hint = "do not call `fit`, or training=True"
        edited.findings.append(Finding("warning", "", TRAINS_ALL_THE_SAME, hint=hint))
    if wanted.passes and was_prepared(origin.model):
        what = f"{SAW_NO_FUNCTION}; prepare the original with passes=[...]"
        edited.findings.append(Finding("warning", "", what))
    return edited


def _verified_before(wanted: Wanted, traced: Traced, edited: _Edited) -> Compared:
    """Compare the model that would be returned if no option changed its numbers.

    Of one that differs by as much as the user takes, a comparison would prove nothing.
    """
    before = make_model(
        traced.graph, "copy", training_in_fit=wanted.training_in_fit, portable=wanted.portable
    )
    link(before, traced.graph, traced.origin, wanted.training_in_fit)
    compared = verified(before, traced.origin, wanted.verify, wanted.passes, edited.changed_by)
    return compared.before_replacing()


def _made(wanted: Wanted, traced: Traced, dropped: Sequence[Finding]) -> tuple[keras.Model, Report]:
    """Make the model of the graph, of the class of the original where that is wanted, and link the two."""
    graph, original = traced.graph, traced.origin.model
    prepared = make_model(
        graph, wanted.weights, training_in_fit=wanted.training_in_fit, portable=wanted.portable
    )
    if wanted.keep_class:
        # What it copies beside the graph lies where the originals lie, and draws seeds for values of its own.
        with made_for(original.variables), random_state_kept():
            take_class(original, prepared, graph, known_provenance(prepared), wanted.shares)
    return prepared, link(prepared, graph, traced.origin, wanted.training_in_fit, dropped)


def _complete(report: Report, findings: Sequence[Finding], compared: Compared, clock: Clock) -> None:
    report.findings.extend(findings)
    report.comparison = compared.data
    report.seconds, report.phases = clock.total, clock.phases

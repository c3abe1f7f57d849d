"""prepare_model: the pipeline, readable in one screen."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras

from kerasfx.comparing import verify as quick_compare
from kerasfx.comparing.checks import NOT_TRAINABLE, NOTHING_FINITE
from kerasfx.emitting import emit, require_one_of
from kerasfx.errors import (
    NotEquivalentError,
    OpaqueLayerError,
    TraceError,
    UnsupportedModelError,
    UnverifiedWarning,
    describe,
)
from kerasfx.handover import provenance
from kerasfx.handover import training_in_fit as fit
from kerasfx.handover.compiled import compile_like, require_compiled
from kerasfx.handover.keep_class import keep_class as take_class
from kerasfx.handover.keep_class import require_one_argument
from kerasfx.handover.left_out import dropped_methods, warn_when_used
from kerasfx.handover.placement import made_for
from kerasfx.inputs import CallSpec, call_spec
from kerasfx.ir import leaves_of, map_leaves
from kerasfx.keras_api import foreign, internals
from kerasfx.keras_api.arrays import to_numpy
from kerasfx.keras_api.builtins import (
    is_builtin,
    is_plain_leaf,
)
from kerasfx.passes import lower
from kerasfx.reporting import (
    Finding,
    Report,
    attach,
    report,
    was_prepared,
)
from kerasfx.runtime import modes
from kerasfx.runtime.layers import Op
from kerasfx.tracing import Hints, run_trace
from kerasfx.tracing.layers.leaves import (
    LeafPolicy,
    Selector,
)
from kerasfx.tracing.session import Session

KEPT_EXAMPLE = 2**22
"""How many numbers an example may have to be kept, as a copy, as long as the prepared model lives."""


def prepare_model(
    original_model: Any,
    input_layer: Any = None,
    *,
    leaves: Sequence[Selector] = (),
    opened: Sequence[Selector] = (),
    weights: str = "copy",
    training_in_fit: str = fit.AS_ORIGINAL,
    mode: modes.Mode = modes.BOTH,
    compile: str | None = None,
    keep_class: bool = False,
    strict: bool = False,
    verify: bool = True,
    hints: Hints | None = None,
) -> keras.Model:
    """Turn a Keras model into an equivalent flat Functional model.

    Args:
        original_model: A model or layer; it is left as it was (an unbuilt one gets built).
        input_layer: What it is called with: a `keras.Input`, an InputLayer, an example array (its first
            dimension is the batch and is free in the result) or a shape, or any list, tuple or dict of
            them. `kerasfx.Inputs(x, context=c)` for a `call` with several arguments. Not needed for
            Functional and Sequential models, nor for models that were built.
        leaves: Layers that stay whole: classes, patterns of paths (`"encoder.*.rotary"`), predicates.
        opened: Built-in layers that are opened, by the same selectors.
        weights: `"copy"` for an independent model; `"share"` for the same layer objects and variables.
        training_in_fit: What `fit` does with layers that the `fit` of the original leaves in inference mode,
            because `training` does not reach them (the report warns of these): `"as_original"` leaves them
            there, `"always"` trains them.
        mode: `"both"`, or `"inference"` or `"training"` for a model of that mode alone, where one graph
            cannot hold what the original does in the two. It is named after its mode, is what the original
            is in a call with `training=False` or `training=True`, and raises `OtherModeError` if it is
            called for the other: `fit` needs `"training"`, `predict` and `evaluate` `"inference"`.
        compile: `"like_original"` compiles the result with the loss, the metrics and a copy of the optimizer
            of the original, its state included, so that `fit` goes on as that of the original would.
        keep_class: The result is of the class of the original, too: its `train_step`, its other methods and
            its attributes work on. What no longer exists, such as an opened layer, is refused when read.
        strict: Raise instead of keeping a custom layer whole.
        verify: Compare the result with the original before it is returned: on the example arrays given as
            `input_layer`, and on random ones besides. Where the original accepts none of them, an
            `UnverifiedWarning` says so.
        hints: Example sizes by input name, `{"tokens": (2, 128)}`. Python code that asks about a free size
            is answered for these, and the result checks the answers whenever it is called. Code that reads
            the number (`range(t)`) is answered, too; the result then works for this size alone.

    Returns:
        A Functional model named `<name>_prepared`, or `<name>_prepared_inference`; `kerasfx.report` tells
        how it came to be. A model that is flat already comes back unchanged, if it is for both modes.

    Raises:
        UnsupportedModelError: `original_model` is no Keras model or layer, or with `keep_class` no model of
            one argument.
        InputRequiredError: The inputs are not known.
        InputMismatchError: `input_layer` does not fit the model.
        TraceError: The model itself cannot be represented.
        OpaqueLayerError: `strict`, and a custom layer had to be kept whole.
        NotEquivalentError: `verify`, and the result differs.
        ValueError: An option has no such value, or the original is not compiled or its optimizer cannot be
            copied although the result is to be compiled alike.
    """
    start = time.perf_counter()
    _require_model(original_model)
    require_one_of(
        weights=(weights, ("copy", "share")),
        training_in_fit=(training_in_fit, fit.CHOICES),
        mode=(mode, modes.MODES),
        compile=(compile, (None, "like_original")),
    )
    dropped = () if keep_class else dropped_methods(original_model)
    if compile:
        require_compiled(original_model, dropped)
    if not (leaves or opened) and mode == modes.BOTH:
        if was_prepared(original_model) and not (strict and report(original_model).opaque):
            return original_model
        if is_flat(original_model):
            attach(original_model, Report(original_model.name, unchanged=True))
            return original_model
    spec = call_spec(original_model, input_layer)
    if keep_class:
        require_one_argument(original_model, spec)
    session = run_trace(original_model, spec, LeafPolicy.of(leaves, opened), hints, mode)
    if strict:
        _refuse_opaque(session)
    lower(session.graph)
    prepared = emit(session.graph, weights=weights, training_in_fit=training_in_fit)
    session.findings.extend(_record(prepared).findings)
    about_fit = (
        fit.finding(session.graph, training_in_fit, original_model),
        fit.forgotten_losses(session.calls_of_model, session.adding_losses, original_model),
    )
    session.findings.extend(found for found in about_fit if found)
    if keep_class:
        with made_for(original_model.variables):
            take_class(original_model, prepared, session.graph, _record(prepared), weights == "share")
    session.findings.extend(dropped)
    _connect(original_model, prepared, session.call_spec or spec, session)
    if verify:
        _verify(original_model, prepared, session)
    _let_large_examples_go(_record(prepared))
    if compile:
        with made_for(original_model.variables):
            compile_like(original_model, prepared, _record(prepared).variables)
    if dropped:
        warn_when_used(original_model, prepared)
    attach(prepared, _report(session, prepared, time.perf_counter() - start))
    return prepared


def explain(
    model: Any,
    input_layer: Any = None,
    *,
    leaves: Sequence[Selector] = (),
    opened: Sequence[Selector] = (),
    mode: modes.Mode = modes.BOTH,
    hints: Hints | None = None,
) -> Report:
    """List everything that `prepare_model` would open, keep or warn about, without making a model.

    Args:
        model: A Keras model or layer.
        input_layer: What it is called with, as for `prepare_model`.
        leaves: Layers that stay whole, as for `prepare_model`.
        opened: Built-in layers that are opened, as for `prepare_model`.
        mode: The mode, as for `prepare_model`.
        hints: Example sizes, as for `prepare_model`.

    Returns:
        A report; `print` it.

    Raises:
        UnsupportedModelError, InputRequiredError, InputMismatchError: As `prepare_model`.
    """
    _require_model(model)
    require_one_of(mode=(mode, modes.MODES))
    spec = call_spec(model, input_layer)
    try:
        session = run_trace(model, spec, LeafPolicy.of(leaves, opened), hints, mode)
    except TraceError as error:
        return Report(model.name, findings=[Finding("opaque", "", str(error))])
    return Report(model.name, session.opened, findings=[*session.findings, *dropped_methods(model)])


def is_flat(model: Any) -> bool:
    """Whether `model` is a Functional model of layers that Keras and kerasfx alone can load."""
    is_functional = type(model).__name__ == "Functional" and isinstance(model, internals.Functional)
    return is_functional and all(
        is_builtin(type(op)) and is_plain_leaf(op) and not foreign.is_given_any(op)
        for op in internals.operations_but_masks(model)
    )


def _require_model(model: Any) -> None:
    if isinstance(model, internals.Layer):
        return
    is_class = isinstance(model, type) and issubclass(model, internals.Layer)
    raise UnsupportedModelError(
        describe(
            f"prepare_model takes a Keras model or layer, not {model!r} of type {type(model).__name__}.",
            hint=f"make an instance: {model.__name__}(...)" if is_class else "",
        )
    )


def _refuse_opaque(session: Session) -> None:
    opaque = [f for f in session.findings if f.kind == "opaque"]
    if opaque:
        lines = "\n".join(f"  {f}" for f in opaque)
        raise OpaqueLayerError(f"{len(opaque)} layers of '{session.root.name}' would stay whole:\n{lines}")


def _connect(original: Any, prepared: Any, spec: CallSpec, session: Session) -> None:
    """Tell the prepared model where it comes from."""
    record = _record(prepared)
    record.remember(original)
    record.call = _caller(spec.changed(lambda x: replace(x, example=None)))
    record.examples = spec.examples()
    paired = {id(v) for v, _ in record.variables}
    record.unused = [v for v in original.variables if id(v) not in paired]
    for variable in record.unused:
        what = "no output depends on it: the result does not have it"
        session.findings.append(Finding("unused", session.paths.of_variable(variable), what))
    known = {id(v) for v in original.variables}
    for variable in (v for v, _ in record.variables if v.trainable and id(v) not in known):
        what = f"{variable.name}: Keras does not find it, so that `fit` of the original does not train it; "
        hint = "hold it, or the layer that has it, in an attribute of a layer; or set its trainable = False"
        path = session.paths.of_variable(variable)
        session.findings.append(Finding("warning", path, f"{what}that of the result does", hint=hint))
    if not original.trainable:
        prepared.trainable = False


def _record(prepared: Any) -> provenance.Provenance:
    record = provenance.provenance_of(prepared)
    assert record is not None
    return record


def _caller(spec: CallSpec) -> Any:
    """A function that calls the original with inputs in the structure of the prepared model."""

    def call(model: Any, inputs: Any) -> Any:
        by_spec = dict(zip(map(id, _leaves(spec.struct)), keras.tree.flatten(inputs), strict=True))
        args, kwargs = map_leaves(lambda x: by_spec.get(id(x), x), (spec.args, spec.kwargs))
        return model(*args, **kwargs)

    return call


def _leaves(struct: Any) -> list[Any]:
    """In the order in which Keras flattens: dicts by sorted keys."""
    return keras.tree.flatten(struct)


def _verify(original: Any, prepared: Any, session: Session) -> None:
    try:
        # Both sides of `if training:` became one graph: it has to be right in either mode.
        comparison = quick_compare(original, prepared, training=bool(session.rules_asked))
    except ValueError as error:
        _warn_unverified(session, str(error))
        return
    if NOTHING_FINITE in comparison.notes:
        _warn_unverified(session, NOTHING_FINITE)
    told = [note for note in comparison.notes if note.startswith(NOT_TRAINABLE)]
    session.findings += [Finding("warning", "", note) for note in told]
    if not comparison:
        raise NotEquivalentError(
            describe(
                f"The model prepared from '{original.name}' differs from it and is not returned."
                f"\n{comparison}",
                where=comparison.first_difference or "",
                hint="please report this; meanwhile keep the layer that is named whole (leaves=[...])",
            ),
            comparison,
        )


def _let_large_examples_go(record: provenance.Provenance) -> None:
    """Keep copies of small examples for `compare`, and none of large ones."""
    arrays = [x for x in leaves_of(record.examples) if x is not None]
    is_small = bool(arrays) and sum(math.prod(x.shape) for x in arrays) <= KEPT_EXAMPLE
    record.examples = map_leaves(lambda x: to_numpy(x).copy(), record.examples) if is_small else None


def _warn_unverified(session: Session, why: str) -> None:
    """Say, and write into the report, that nobody knows whether the result is right."""
    what = f"the result was not compared with the original: {why}"
    hint = (
        "kerasfx.prepare_model(model, x) with arrays x that the model accepts, in the place of keras.Input; "
        "or kerasfx.compare(model, prepared, inputs=x) now"
    )
    found = Finding("warning", "", what, hint=hint)
    session.findings.append(found)
    warnings.warn(f"{session.root.name}: {what}\n  do:    {hint}", UnverifiedWarning, stacklevel=4)


def _report(session: Session, prepared: Any, seconds: float) -> Report:
    paths = {n.name: n.path for n in session.graph.nodes}
    paths |= {v.name: v.producer.path for v in session.graph.parameters}  # pyright: ignore
    layers = {x.name: (paths.get(x.name, ""), _kind(x)) for x in prepared.layers}
    return Report(session.root.name, session.opened, layers, session.findings, seconds)


def _kind(layer: Any) -> str:
    return f"Op {layer.op}" if isinstance(layer, Op) else type(layer).__name__

"""prepare_model: the pipeline, readable in one screen."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras

from kerasfx import passes as graph_passes
from kerasfx.comparing import Comparison
from kerasfx.comparing import verify as quick_compare
from kerasfx.comparing.checks import IN_INFERENCE, NOT_FINITE, NOT_TRAINABLE, NOTHING_FINITE
from kerasfx.emitting import make_model
from kerasfx.emitting.telling import flat_already
from kerasfx.errors import (
    NoSampleError,
    NotEquivalentError,
    OpaqueLayerError,
    TraceError,
    UnverifiedWarning,
    describe,
)
from kerasfx.handover import provenance
from kerasfx.handover import training_in_fit as fit
from kerasfx.handover.compiled import compile_like, require_compiled
from kerasfx.handover.hierarchy import original_layers, refused
from kerasfx.handover.keep_class import keep_class as take_class
from kerasfx.handover.keep_class import require_one_argument
from kerasfx.handover.left_out import dropped_methods, warn_when_used
from kerasfx.handover.linking import about_fit, link, would_be_unused
from kerasfx.handover.placement import made_for
from kerasfx.inputs import call_spec, public, require_model, require_one_of
from kerasfx.keras_api import alone, foreign, internals
from kerasfx.keras_api.builtins import (
    is_builtin,
    is_whole_by_itself,
)
from kerasfx.passes.legalize.weights_as_tables import weights_as_tables
from kerasfx.passes.options import GELU, NAMES, Options
from kerasfx.progress import CHOICES, make_way, shown
from kerasfx.reporting import (
    BEFORE_REPLACING,
    Clock,
    Finding,
    Report,
    attach,
    report,
    was_prepared,
)
from kerasfx.runtime import modes
from kerasfx.tracing import Hints, run_trace
from kerasfx.tracing.layers.policy import (
    Selector,
    WholePolicy,
)
from kerasfx.tracing.traced import Origin, Traced


@public
def prepare_model(
    original_model: keras.layers.Layer,
    input_layer: object = None,
    *,
    leaves: Sequence[Selector] = (),
    opened: Sequence[Selector] = (),
    weights: str = "copy",
    training_in_fit: str = fit.AS_ORIGINAL,
    mode: modes.Mode = modes.BOTH,
    compile: str | None = None,
    keep_class: bool = False,
    strict: bool = False,
    passes: Sequence[graph_passes.Pass] = (),
    lower: bool | str = True,
    unshare: bool = False,
    names: str = "path",
    replace_separable_conv: bool = False,
    replace_relu6: bool = False,
    lower_gelu: str | None = None,
    portable: bool = False,
    verify: bool | str = True,
    hints: Hints | None = None,
    progress: bool | None = None,
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
        passes: Functions that edit the graph, as `kerasfx.trace` gives it, and return whether they did; they
            run in this order, before those of `kerasfx.passes.DEFAULT`.
        lower: Put built-in layers where functions of the model compute the same bits: a `Dense` where it
            multiplies by a weight and adds another. `False` leaves each function a layer of its own, but for
            those without which every number is the same: identities, reshapes in a row, masks made twice;
            `"fast"` takes layers, too, that may differ in the last bit, and the report says by how much.
        unshare: A layer without weights and state that is called several times becomes one for each call, as
            quantizers ask for. Layers with weights, seeds or a class of the user's stay one: the report lists
            them.
        names: What the layers of the result are called: `"path"` after where they are (`blocks_0_proj`), or
            `"original"` as the user called them, where no two layers and no other part of the model have the
            name; the others go by their paths. A number that Keras made up is no name.
        replace_separable_conv: Put a depthwise and a pointwise convolution, which compute the same, where the
            model has a separable one; the report lists those for which Keras has no such two.
        replace_relu6: Put ReLU where the model has ReLU6. What lies above 6 becomes another number, so that
            what is compared is the model before; the report lists the layers.
        lower_gelu: `"erf"` writes the exact GELU by `erf`, which TensorFlow writes by `erfc`, for which ONNX
            has no operation. The last digits change: what is compared is the model before.
        portable: Make a model whose file Keras loads alone, on any backend: functions become operations of
            Keras, and weights that they take are the tables of `Embedding` layers.
        verify: Compare the result with the original before it is returned: on the example arrays given as
            `input_layer`, and on random ones besides, and as thoroughly as `kerasfx.compare` does if there
            are `passes`. Where the original accepts none of them, an `UnverifiedWarning` says
            so. `"inference"` is for passes that are right in inference only: nothing compares training.
        hints: Example sizes by input name, `{"tokens": (2, 128)}`. Python code that asks about a free size
            is answered for these, and the result checks the answers whenever it is called. Code that reads
            the number (`range(t)`) is answered, too; the result then works for this size alone.
        progress: Show how far it has come. `None` shows a bar on a terminal and in a notebook if it takes
            longer than a second, and nothing in a CI or where Keras was asked for quiet
            (`keras.config.disable_interactive_logging()`); `True` shows it at once, in lines on the standard
            error where there is no terminal; `False` nothing. For a log see `logging.getLogger("kerasfx")`.

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
        NotPortableError: `portable`, and nodes prevent it; the message lists them.
        NotEquivalentError: `verify`, and the result differs.
        PassError: One of `passes` is no function, or returns no answer. What a pass raises itself, and the
            GraphError for a graph that it broke, has a note that names the pass.
        ValueError: An option has no such value, or `portable` stands beside `keep_class`; or the original is
            not compiled or its optimizer cannot be copied although the result is to be compiled alike.
    """
    clock = Clock()
    require_model(original_model, "prepare_model", input_layer)
    require_one_of(
        weights=(weights, ("copy", "share")),
        training_in_fit=(training_in_fit, fit.CHOICES),
        mode=(mode, modes.MODES),
        compile=(compile, (None, "like_original")),
        lower=(lower, graph_passes.LOWER),
        unshare=(unshare, (True, False)),
        names=(names, NAMES),
        replace_separable_conv=(replace_separable_conv, (True, False)),
        replace_relu6=(replace_relu6, (True, False)),
        lower_gelu=(lower_gelu, GELU),
        portable=(portable, (False,) if keep_class else (True, False)),
        verify=(verify, (True, False, modes.INFERENCE)),
        progress=(progress, CHOICES),
    )
    graph_passes.require_passes(passes)
    options = Options(unshare, names, replace_separable_conv, replace_relu6, lower_gelu)
    dropped = () if keep_class else dropped_methods(original_model)
    if compile:
        require_compiled(original_model, dropped)
    if not (leaves or opened or passes or options.are_any) and mode == modes.BOTH:
        # One that holds layers kept whole is what `strict` refuses.
        is_as_asked = not portable or (is_functional(original_model) and not alone.needed_in(original_model))
        if was_prepared(original_model) and is_as_asked and not (strict and report(original_model).opaque):
            return original_model
        if is_flat(original_model) and is_as_asked:
            attach(original_model, flat_already(original_model))
            return original_model
    with shown(progress, original_model.name):
        spec = call_spec(original_model, input_layer)
        if keep_class:
            require_one_argument(original_model, spec)
        traced = run_trace(original_model, spec, WholePolicy.of(leaves, opened), hints, mode)
        clock.ends("trace")
        if strict:
            _refuse_opaque(traced)
        options.name(traced.graph)
        changed = graph_passes.run(traced.graph, passes)
        asked_open = traced.origin.opened if opened else {}
        graph_passes.run_default(traced.graph, lower, traced.origin.model, weights == "share", asked_open)
        if portable:
            graph_passes.run(traced.graph, [weights_as_tables])
        about_options = list(options.rearrange(traced.graph))
        if portable and mode != modes.BOTH:
            what = "Keras's own Functional model, which is for inference, does not refuse to be trained"
            about_options.append(Finding("warning", "", what, hint="do not call `fit`, or training=True"))
        asked = _modes_to_compare(verify, bool(passes), traced.origin)
        clock.ends("passes")
        compared = _Compared()
        if options.change_numbers:
            if verify:
                before = _before(traced, training_in_fit, portable)
                compared = _verify(before, traced.origin, asked, bool(passes), changed).before_replacing()
                clock.ends("verify")
            about_options += options.replace(traced.graph)
        # Only calls on a model that is returned stay with layers that it shares.
        shared = internals.all_layers(original_model) if weights == "share" else []
        with internals.calls_undone_if_refused(shared):
            prepared = make_model(traced.graph, weights, training_in_fit=training_in_fit, portable=portable)
            record = _record(prepared)
            if keep_class:
                # What it copies beside the graph lies where the originals lie.
                with made_for(original_model.variables):
                    take_class(original_model, prepared, traced.graph, record, weights == "share")
            found = link(prepared, traced.graph, traced.origin, training_in_fit, dropped)
            clock.ends("emit")
            if verify and not options.change_numbers:
                compared = _verify(prepared, traced.origin, asked, bool(passes), changed)
                clock.ends("verify")
            found.findings.extend([*about_options, *compared.findings])
            found.comparison = compared.data
            if compile:
                with made_for(original_model.variables):
                    compile_like(original_model, prepared, record)
        if passes and was_prepared(original_model):
            what = (
                "it was prepared before: passes saw no function in it, but layers of kerasfx that hold them"
            )
            found.findings.append(Finding("warning", "", f"{what}; prepare the original with passes=[...]"))
        if dropped:
            warn_when_used(original_model, prepared)
        found.seconds, found.phases = clock.total, clock.phases
        return prepared


@public
def explain(
    model: keras.layers.Layer,
    input_layer: object = None,
    *,
    leaves: Sequence[Selector] = (),
    opened: Sequence[Selector] = (),
    mode: modes.Mode = modes.BOTH,
    hints: Hints | None = None,
    progress: bool | None = None,
) -> Report:
    """List everything that `prepare_model` would open, keep or warn about, without making a model.

    Args:
        model: A Keras model or layer.
        input_layer: What it is called with, as for `prepare_model`.
        leaves: Layers that stay whole, as for `prepare_model`.
        opened: Built-in layers that are opened, as for `prepare_model`.
        mode: The mode, as for `prepare_model`.
        hints: Example sizes, as for `prepare_model`.
        progress: Show how far it has come, as for `prepare_model`.

    Returns:
        A report; `print` it.

    Raises:
        UnsupportedModelError, InputRequiredError, InputMismatchError: As `prepare_model`.
    """
    require_model(model, "explain", input_layer)
    require_one_of(mode=(mode, modes.MODES), progress=(progress, CHOICES))
    spec = call_spec(model, input_layer)
    if not (leaves or opened) and mode == modes.BOTH and is_flat(model):
        return replace(flat_already(model), result=None)
    try:
        with shown(progress, model.name):
            traced = run_trace(model, spec, WholePolicy.of(leaves, opened), hints, mode)
    except TraceError as error:
        finding = Finding("opaque", "", str(error))
        return Report(model.name, findings=[finding], before=[refused(model, str(error))])
    origin, graph = traced.origin, traced.graph
    findings = [
        *origin.findings,
        *about_fit(graph, origin, fit.AS_ORIGINAL),
        *dropped_methods(model),
        *would_be_unused(graph, origin),
    ]
    before = original_layers(origin, graph)
    functions = sum(node.layer is None for node in graph.nodes)
    calls = {"layer": len(graph.called_layers()), "function": functions}
    return Report(model.name, origin.opened, findings=findings, before=before, mode=mode, graph=calls)


def is_flat(model: keras.layers.Layer) -> bool:
    """Whether `model` is a Functional model of layers that Keras and kerasfx alone can load."""
    return is_functional(model) and all(
        is_builtin(type(op)) and is_whole_by_itself(op) and not foreign.is_given_any(op)
        for op in internals.operations_but_masks(model)
    )


def is_functional(model: keras.layers.Layer) -> bool:
    """Whether `model` is a Functional model, and of no class of the user's."""
    return type(model).__name__ == "Functional" and isinstance(model, internals.Functional)


def _refuse_opaque(traced: Traced) -> None:
    opaque = [f for f in traced.findings if f.kind == "opaque"]
    if opaque:
        lines = "\n".join(f"  {f}" for f in opaque)
        raise OpaqueLayerError(f"{len(opaque)} layers of '{traced.graph.name}' would stay whole:\n{lines}")


def _record(prepared: keras.Model) -> provenance.Provenance:
    record = provenance.provenance_of(prepared)
    assert record is not None
    return record


def _modes_to_compare(verify: bool | str, has_passes: bool, origin: Origin) -> tuple[str, ...]:
    """Inference, and training where one graph was made of both modes or passes of the user's ran."""
    if verify == modes.INFERENCE or not (origin.branches_on_training or has_passes):
        return (modes.INFERENCE,)
    return (modes.INFERENCE, modes.TRAINING)


def _before(traced: Traced, training_in_fit: str, portable: bool) -> keras.Model:
    """The model that would be returned if no option changed its numbers.

    Of one that differs by as much as the user takes, a comparison would prove nothing.
    """
    before = make_model(traced.graph, "copy", training_in_fit=training_in_fit, portable=portable)
    link(before, traced.graph, traced.origin, training_in_fit)
    return before


@dataclass(frozen=True)
class _Compared:
    """What the report says of a comparison.

    Attributes:
        findings: What the user should know of it.
        data: What it says itself, or None where nothing was compared.
    """

    findings: tuple[Finding, ...] = ()
    data: dict[str, Any] | None = None

    def before_replacing(self) -> _Compared:
        """The same of a comparison of what the result was before an option changed its numbers."""
        if self.data is None:
            return self
        return replace(self, data={**self.data, "notes": [*self.data["notes"], BEFORE_REPLACING]})


def _verify(
    prepared: keras.Model, origin: Origin, asked: tuple[str, ...], thorough: bool, changed: Sequence[str]
) -> _Compared:
    """Raise if the result differs from its original; return what the report says of the comparison.

    Args:
        prepared: The result.
        origin: The original, and how it was called.
        asked: The modes to compare.
        thorough: Whether passes of the user's ran.
        changed: The passes of the user's that changed the graph.
    """
    original, record = origin.model, _record(prepared)
    # All of them while it is compared; the record keeps copies of small ones alone.
    kept, record.examples = record.examples, origin.call.examples()
    try:
        is_bare = origin.none_test is not None
        comparison = quick_compare(original, prepared, modes=asked, thorough=thorough, bare=is_bare)
    # The oracle found no inputs that the original accepts.
    except NoSampleError as error:
        return _Compared((_unverified(original, str(error)),))
    finally:
        record.examples = kept
    is_empty = NOTHING_FINITE in comparison.notes
    findings = [_unverified(original, NOTHING_FINITE)] if is_empty else []
    told = [note for note in comparison.notes if note.startswith(NOT_TRAINABLE) or NOT_FINITE in note]
    findings += [Finding("warning", "", note) for note in told]
    if not comparison:
        raise NotEquivalentError(_differs(origin, comparison, changed), comparison)
    return _Compared(tuple(findings), None if is_empty else comparison.to_dict())


def _differs(origin: Origin, comparison: Comparison, changed: Sequence[str]) -> str:
    """What to tell of a result that differs: it is our fault, or that of passes that changed the graph."""
    hint = "please report this; meanwhile keep the layer that is named whole (leaves=[...])"
    why = ""
    if origin.none_test and [c.name for c in comparison.checks if not c.passed] == ["bare call"]:
        why = f"in a bare call alone `training` is None: {origin.none_test.in_full}"
        hint = "write the default into the signature: `def call(self, x, training=True)`"
    if changed:
        why = f"these passes changed the graph: {', '.join(changed)}"
        hint = "mend them, or leave them out one by one to see which it is"
        if not any(c.name in IN_INFERENCE and not c.passed for c in comparison.checks):
            hint += '; verify="inference" if they are meant to be right in inference only'
    return describe(
        f"The model prepared from '{origin.model.name}' differs from it and is not returned.\n{comparison}",
        where=comparison.first_difference or "",
        why=why,
        hint=hint,
    )


def _unverified(original: keras.layers.Layer, why: str) -> Finding:
    """Say, and write into the report, that nobody knows whether the result is right."""
    what = f"the result was not compared with the original: {why}"
    hint = (
        "kerasfx.prepare_model(model, x) with arrays x that the model accepts, in the place of keras.Input; "
        "or kerasfx.compare(model, prepared, inputs=x) now"
    )
    make_way()
    # The fifth frame is the caller of `prepare_model`, which stands behind what `public` makes of it.
    warnings.warn(f"{original.name}: {what}\n  do:    {hint}", UnverifiedWarning, stacklevel=5)
    return Finding("warning", "", what, hint=hint)

"""Trace: run the user's `call` methods once on symbolic tensors and write down what they do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from itertools import chain
from typing import Any

import keras

from kerasfx.errors import (
    InputMismatchError,
    UnknownSelectorError,
    UnsupportedOperationError,
    describe,
)
from kerasfx.inputs import CallSpec, call_spec
from kerasfx.ir import (
    Graph,
    leaves_of,
)
from kerasfx.keras_api import internals
from kerasfx.passes.legalize.keep_call_order import keep_call_order
from kerasfx.reporting import Finding
from kerasfx.runtime import modes
from kerasfx.tracing import native as raw
from kerasfx.tracing.layers import reading
from kerasfx.tracing.layers.calls import says_training
from kerasfx.tracing.layers.leaves import (
    LeafPolicy,
    Selector,
    require_matches,
)
from kerasfx.tracing.model_inputs import arguments_of_call
from kerasfx.tracing.model_outputs import masks_of, output_values
from kerasfx.tracing.other_calls import (
    WAY_OUT,
    may_be_about_the_batch,
    other_calls,
    require_batch_of_states,
)
from kerasfx.tracing.patches import installed
from kerasfx.tracing.session import Session
from kerasfx.tracing.sizes.examples import (
    Clashes,
    ExampleSizes,
    Hints,
    attempts,
    fixed,
    longer,
)
from kerasfx.tracing.sizes.fitting import fitting
from kerasfx.tracing.sizes.guards import check_early
from kerasfx.tracing.sizes.known import only_seems_known, seeming_size
from kerasfx.tracing.state.leftovers import tensors_forgotten
from kerasfx.tracing.state.tying import tie_to_outputs
from kerasfx.tracing.state.unused import tie_unused
from kerasfx.tracing.traced import Origin, Traced
from kerasfx.tracing.where import Paths


def trace(
    model: Any,
    input_layer: Any = None,
    *,
    leaves: Sequence[Selector] = (),
    opened: Sequence[Selector] = (),
    mode: modes.Mode = modes.BOTH,
    hints: Hints | None = None,
) -> Traced:
    """Trace `model` into a graph and leave it as it was (an unbuilt model gets built).

    Args:
        model: A Keras model or layer.
        input_layer: What it is called with, as for `prepare_model`.
        leaves: Layers that stay whole: classes, patterns of paths, predicates.
        opened: Layers that are opened although they are built-in.
        mode: `"inference"` or `"training"` for what the model does in that mode alone.
        hints: Example sizes by input name, `{"tokens": (2, 128)}`, for Python code that asks about free
            sizes.

    Returns:
        The checked graph, what was found and where it comes from; `print` it to see the graph.

    Raises:
        InputRequiredError: The inputs are not known.
        TraceError: The model itself does something that a graph cannot represent.
    """
    spec = call_spec(model, input_layer)
    return run_trace(model, spec, LeafPolicy.of(leaves, opened), hints, mode)


def run_trace(
    model: Any, spec: CallSpec, policy: LeafPolicy, hints: Hints | None = None, mode: str = modes.BOTH
) -> Traced:
    """Trace `model`, called as `spec` says, with `hints` as example sizes, for a mode or both.

    Raises:
        InputMismatchError: `hints` names no input of the model.
        UnknownSelectorError: A selector of `policy` matches nothing.
    """
    _require_known_names(spec, hints or {})
    try:
        session = _trace_as_called(model, spec, policy, hints or {}, mode)
    except Exception as error:
        # What failed may be what a mistyped selector was meant to keep whole.
        _require_matches(policy, Paths(model), error)
        raise
    _require_matches(policy, session.paths)
    return _result(session, spec)


def _result(session: Session, spec: CallSpec) -> Traced:
    origin = Origin(
        session.root,
        session.call_spec or spec,
        tuple(session.findings),
        session.opened,
        session.paths,
        branches_on_training=bool(session.decisions.asked),
        calls_of_model=tuple(session.calls_of_model),
        adding_losses=frozenset(session.adding_losses),
    )
    session.graph.meta[Origin] = origin
    return Traced(session.graph, origin)


def _require_known_names(spec: CallSpec, hints: Hints) -> None:
    known = [x.name for x in leaves_of(spec.struct)]
    for name in hints:
        if name not in known:
            nearest = get_close_matches(str(name), known, 1) or known[:1]
            raise InputMismatchError(
                describe(
                    f"hints= has '{name}', and the model has no such input.",
                    why=f"its inputs are: {', '.join(known)}",
                    hint=f'hints={{"{nearest[0]}": {tuple(hints[name])}}}',
                )
            )


def _require_matches(policy: LeafPolicy, paths: Paths, cause: Exception | None = None) -> None:
    try:
        require_matches(policy, paths.below_root())
    except UnknownSelectorError as error:
        raise error from cause


def _trace_as_called(model: Any, spec: CallSpec, policy: LeafPolicy, hints: Hints, mode: str) -> Session:
    """Trace the call that `spec` says or, where the model refuses it, another that it may mean."""
    try:
        return _trace_with_sizes(model, spec, policy, hints, mode)
    except Exception as error:
        for other in other_calls(model, spec, hints, error):
            session = _attempt(model, other, policy, hints, mode)
            if session is not None:
                return session
        if may_be_about_the_batch(spec, error):
            error.add_note(f"  do:    {WAY_OUT}")
        raise


def _attempt(model: Any, spec: CallSpec, policy: LeafPolicy, hints: Hints, mode: str) -> Session | None:
    try:
        return _trace_with_sizes(model, spec, policy, hints, mode)
    except Exception:  # The user's code may raise anything; what it raised first is what is shown.
        return None


def _trace_with_sizes(model: Any, spec: CallSpec, policy: LeafPolicy, hints: Hints, mode: str) -> Session:
    """Trace with one set of example sizes after another, until one serves."""
    clashes = Clashes()
    outcomes: list[Session | Exception] = []
    inputs = list(leaves_of(spec.struct))
    fitted = fitting(inputs, clashes, partial(_undisturbed, model))
    for sizes in chain(attempts(inputs, hints, clashes), fitted, fixed(inputs, hints, clashes)):
        clashes.start(sizes)
        try:
            session = _trace_until_settled(model, spec, policy.afresh(), sizes, clashes, mode)
            clashes.seeming = session.seeming_size
            outcomes.append(session if clashes.seeming is None else only_seems_known(clashes.seeming))
        except Exception as error:
            clashes.note_raised()
            outcomes.append(error)
        if clashes.is_clean:
            break
    sessions = [x for x in outcomes if isinstance(x, Session)]
    if not sessions:
        error = next(x for x in outcomes if isinstance(x, Exception))
        return _trace_with_longer_sizes(model, spec, policy, hints, mode, error)
    return sessions[-1] if clashes.is_clean else sessions[0]


@contextmanager
def _undisturbed(model: Any) -> Iterator[None]:
    """Leave no names, calls or tensors in `model` where its layers are asked for shapes."""
    with (
        internals.fresh_names(),
        internals.calls_forgotten(lambda: internals.all_layers(model)),
        tensors_forgotten(model),
    ):
        yield


def _trace_with_longer_sizes(
    model: Any, spec: CallSpec, policy: LeafPolicy, hints: Hints, mode: str, error: Exception
) -> Session:
    """Trace with longer lengths, or raise `error`, what the usual ones gave."""
    inputs = list(leaves_of(spec.struct))
    for sizes in longer(inputs, hints):
        try:
            session = _trace_until_settled(model, spec, policy.afresh(), sizes, Clashes(), mode)
        except Exception:  # The user's code may raise anything; what it raised first is what is shown.
            continue
        if session.seeming_size is not None:
            continue
        tried = {x.name: tuple(pair[0] for pair in sizes.of(x)[1:]) for x in inputs if None in x.shape[1:]}
        why = _first_line(error)
        what = f"shorter inputs are refused, as in the original; it runs with lengths of {tried}: {why}"
        session.findings.append(Finding("warning", "", what))
        return session
    raise error


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


def _trace_until_settled(
    model: Any, spec: CallSpec, policy: LeafPolicy, sizes: ExampleSizes, clashes: Clashes, mode: str
) -> Session:
    while True:
        kept_before = set(policy.kept)
        session = _trace_once(model, spec, policy, sizes, clashes, mode)
        shared = shared_with_leaves(session.graph)
        if not shared:
            session.graph.check()
            return session
        if not any(id(x) in policy.kept and id(x) not in kept_before for x in shared):
            _open_instead(session, shared)
        # Otherwise a layer was opened for one call and kept whole for a later one: now it is kept for all.


def _open_instead(session: Session, layers: list[Any]) -> None:
    """Open leaves whose weights are used elsewhere, too: a weight has one place in the result."""
    for layer in layers:
        path = session.paths.of_layer(layer, "")
        if id(layer) in session.policy.forced_open or session.policy.is_kept(layer, path):
            raise UnsupportedOperationError(
                describe(
                    f"A weight of {type(layer).__name__}, which stays whole, is also used elsewhere.",
                    where=path,
                    why="a weight has one place in the prepared model",
                    hint="let the layer be opened, or keep an enclosing layer whole",
                )
            )
        session.policy.forced_open.add(id(layer))


def shared_with_leaves(graph: Graph) -> list[Any]:
    """The layers of a graph with a weight that an op or another layer uses as well."""
    owner: dict[int, Any] = {id(v.variable): None for v in graph.parameters}
    owner |= {id(v): None for node in graph.nodes if node.draws_seed for v in node.variables}
    clashes: list[Any] = []
    for layer in graph.called_layers():
        for variable in layer.variables:
            other = owner.setdefault(id(variable), layer)
            if other is not layer:
                clashes += [x for x in (layer, other) if x is not None]
    return list({id(x): x for x in clashes}.values())


def _trace_once(
    model: Any, spec: CallSpec, policy: LeafPolicy, sizes: ExampleSizes, clashes: Clashes, mode: str
) -> Session:
    session = Session(model, policy, sizes.hints, clashes, mode)
    session.call_spec = spec
    if mode != modes.BOTH:
        session.findings.append(_one_mode_alone(mode))
    session.findings.extend(spec.findings)
    with (
        installed(),
        internals.fresh_names(),
        internals.calls_forgotten(lambda: internals.all_layers(model)),
        tensors_forgotten(model) as session.attributes_before,
        session.recording(),
        raw.context(session),
        internals.call_context(session.decisions.training),
    ):
        _run(session, model, spec, sizes)
        session.seeming_size = seeming_size(session)
    check_early(session.graph, session.effects.guards)
    session.findings.extend(dict.fromkeys(guard.finding for guard in session.effects.guards))
    session.findings.extend(reading.findings(session.read, session.opened))
    session.graph.prune()
    require_batch_of_states(session.graph)
    _note_fit(session.graph, model)
    keep_call_order(session.graph)
    return session


def _one_mode_alone(mode: str) -> Finding:
    other = modes.TRAINING if mode == modes.INFERENCE else modes.INFERENCE
    what = f"the result is for {mode} alone: it refuses to be called for {other}"
    return Finding("fixed", "", what, hint='for both: mode="both"')


def _note_fit(graph: Graph, model: Any) -> None:
    """Write down whether `fit` passes `training` to `model`; there is no fitting of a mere layer."""
    is_model = isinstance(model, keras.Model)
    graph.takes_training = internals.takes_training(model) or not is_model
    for node in graph.nodes:
        if not is_model:
            node.training = replace(node.training, from_context=False)


def _run(session: Session, model: Any, spec: CallSpec, sizes: ExampleSizes) -> None:
    args, kwargs = arguments_of_call(session, spec, sizes)
    if internals.requires_training(model) and not says_training(model, args, kwargs):
        kwargs = {**kwargs, "training": session.decisions.training}
    outputs = model(*args, **kwargs)
    session.graph.outputs = output_values(session, outputs)
    session.graph.output_masks = masks_of(outputs)
    tie_to_outputs(session)
    tie_unused(session)

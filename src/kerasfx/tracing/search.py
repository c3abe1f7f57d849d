"""The search for a call and for example sizes with which a model can be traced.

What a model takes is not always what it was said to take, and free sizes may have to fit together. So one
call after another is tried, each with one set of example sizes after another, until a trace serves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from functools import partial
from itertools import chain

import keras

from kerasfx.errors import InputMismatchError, UnknownSelectorError, describe, first_line
from kerasfx.inputs import CallSpec
from kerasfx.ir import leaves_of, shown
from kerasfx.keras_api import internals
from kerasfx.progress import logs
from kerasfx.reporting import Finding
from kerasfx.runtime import modes
from kerasfx.tracing.attempt import Request, trace_with
from kerasfx.tracing.layers.policy import WholePolicy, require_matches
from kerasfx.tracing.other_calls import other_calls
from kerasfx.tracing.refused import explained
from kerasfx.tracing.session import Session
from kerasfx.tracing.sizes.examples import Clashes, Hints, attempts, fixed, longer
from kerasfx.tracing.sizes.fitting import fitting
from kerasfx.tracing.sizes.known import only_seems_known
from kerasfx.tracing.state.leftovers import attributes_put_back
from kerasfx.tracing.traced import Origin, Traced
from kerasfx.tracing.where import Paths


def run_trace(
    model: keras.Layer,
    spec: CallSpec,
    policy: WholePolicy,
    hints: Hints | None = None,
    mode: str = modes.BOTH,
) -> Traced:
    """Trace `model`, called as `spec` says, with `hints` as example sizes, for a mode or both.

    Raises:
        InputMismatchError: `hints` names no input of the model.
        UnknownSelectorError: A selector of `policy` matches nothing.
    """
    _require_known_names(spec, hints or {})
    request = Request(model, spec, policy, hints or {}, mode)
    try:
        session = _as_called(request)
    except Exception as error:
        # What failed may be what a mistyped selector was meant to keep whole.
        _require_matches(policy, Paths(model), error)
        failure = explained(model, spec, error, partial(_raised, request))
    else:
        _require_matches(policy, session.paths)
        return _result(session, spec)
    raise failure


def _result(session: Session, spec: CallSpec) -> Traced:
    origin = Origin(
        session.root,
        session.call_spec or spec,
        tuple(session.findings),
        session.opened,
        session.paths,
        branches_on_training=bool(session.decisions.asked),
        none_test=session.decisions.none_test,
        calls_of_model=tuple(session.calls_of_model),
        adding_losses=frozenset(session.adding_losses),
    )
    session.graph.meta[Origin] = origin
    # As text, since a handler that keeps records would keep the model.
    logs.trace.info("%s", repr(session.graph))
    return Traced(session.graph, origin)


def _require_known_names(spec: CallSpec, hints: Hints) -> None:
    known = [x.name for x in leaves_of(spec.struct)]
    if not isinstance(hints, Mapping) or not all(isinstance(v, (list, tuple)) for v in hints.values()):
        what = f"hints= is a dict of sizes by the names of inputs, not {shown(hints)}."
        sizes = ", ".join(f'"{name}": (2, ...)' for name in known)
        raise InputMismatchError(describe(what, hint=f"hints={{{sizes}}}"))
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


def _require_matches(policy: WholePolicy, paths: Paths, cause: Exception | None = None) -> None:
    if next(iter(policy.selectors()), None) is None:  # to list all layers takes time
        return
    try:
        require_matches(policy, paths.below_root())
    except UnknownSelectorError as error:
        raise error from cause


def _as_called(request: Request) -> Session:
    """Trace the call that is asked for or, where the model refuses it, another that it may mean."""
    try:
        return _with_sizes(request)
    except Exception as error:
        for other in other_calls(request.model, request.call, request.hints, error):
            session = _attempted(request.called(other))
            if session is not None:
                return session
        raise


def _attempted(request: Request) -> Session | None:
    """The trace of a call that may be meant, or None."""
    try:
        return _with_sizes(request)
    except Exception:
        # The user's code gets here what it was perhaps never meant for, so that it can raise anything, and a
        # TypeError in a line of ours as well. What it said to the call asked for is what the user sees.
        return None


def _raised(request: Request, other: CallSpec) -> Exception | None:
    """What another call raises; None if it works."""
    try:
        _with_sizes(request.called(other))
    # As in `_attempted`.
    except Exception as error:
        return error
    return None


def _with_sizes(request: Request) -> Session:
    """Trace with one set of example sizes after another, until one serves."""
    clashes = Clashes()
    outcomes: list[Session | Exception] = []
    inputs = list(leaves_of(request.call.struct))
    fitted = fitting(inputs, clashes, partial(_undisturbed, request.model))
    # From what leaves most sizes free to what fixes them; each sees what the attempts before it met.
    for sizes in chain(
        attempts(inputs, request.hints, clashes), fitted, fixed(inputs, request.hints, clashes)
    ):
        clashes.start(sizes)
        try:
            session = trace_with(request, sizes, clashes)
            clashes.seeming = session.seeming_size
            outcomes.append(session if clashes.seeming is None else only_seems_known(clashes.seeming))
        except Exception as error:
            # Raised below, unless other sizes serve: that is how sizes are found that fit.
            clashes.note_raised()
            outcomes.append(error)
        if clashes.is_clean:
            break
    sessions = [x for x in outcomes if isinstance(x, Session)]
    if not sessions:
        error = next(x for x in outcomes if isinstance(x, Exception))
        return _with_longer_sizes(request, error)
    # Where no sizes served, the first that ran: later attempts fix sizes, or have them alike.
    return sessions[-1] if clashes.is_clean else sessions[0]


@contextmanager
def _undisturbed(model: keras.Layer) -> Iterator[None]:
    """Leave no names, calls or tensors in `model` where its layers are asked for shapes."""
    with (
        internals.fresh_names(),
        internals.calls_forgotten(lambda: internals.all_layers(model)),
        attributes_put_back(model),
    ):
        yield


def _with_longer_sizes(request: Request, error: Exception) -> Session:
    """Trace with longer lengths, or raise `error`, what the usual ones gave."""
    inputs = list(leaves_of(request.call.struct))
    for sizes in longer(inputs, request.hints):
        try:
            session = trace_with(request, sizes, Clashes())
        except Exception:  # As in `_attempted`: the first error is the one to show.
            continue
        if session.seeming_size is not None:
            continue
        tried = {x.name: tuple(pair[0] for pair in sizes.of(x)[1:]) for x in inputs if None in x.shape[1:]}
        why = first_line(error)
        what = f"shorter inputs are refused, as in the original; it runs with lengths of {tried}: {why}"
        session.findings.append(Finding("warning", "", what))
        return session
    raise error

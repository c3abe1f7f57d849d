"""How a layer is called while tracing: it is opened in a frame of its own, or else stays whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import keras

from kerasfx.errors import (
    KerasFxError,
    TensorAsPythonValueError,
    TrainingBranchError,
    UnsupportedOperationError,
    describe,
)
from kerasfx.ir import (
    leaves_of,
)
from kerasfx.keras_api import internals
from kerasfx.keras_api.builtins import (
    builtin_class,
    is_whole_by_itself,
)
from kerasfx.progress import logs, step
from kerasfx.runtime.modes import BOTH
from kerasfx.tracing import inference
from kerasfx.tracing.control.branches import UnlikeStructuresError, raises_in_the_original, trace_both_modes
from kerasfx.tracing.control.training_flag import TrainingFlag, is_flag
from kerasfx.tracing.layers.frames import Frame, ModelCall
from kerasfx.tracing.layers.reading import (
    identity_test_of_training,
    none_test_of_training,
    values_branched_on,
)
from kerasfx.tracing.layers.whole import record_whole, regularized
from kerasfx.tracing.native import memory
from kerasfx.tracing.native.calls import following_attributes
from kerasfx.tracing.recorder import Args, Function, Kwargs
from kerasfx.tracing.session import Session
from kerasfx.tracing.state.leftovers import forget
from kerasfx.tracing.state.randomness import refusing_draws
from kerasfx.tracing.tensor import TracedTensor, mask_value
from kerasfx.tracing.where import failing_line, fault_of_ours, source_line

NOT_RECOMPUTED = "the result keeps in memory what the original computes again in the backward pass"


def call_layer(
    session: Session,
    original: Function,
    layer: keras.Layer,
    args: Args,
    kwargs: Kwargs,
) -> Any:
    """Run `Layer.__call__` inside a frame; a custom layer that cannot be opened is kept whole."""
    step(id(layer))
    parent = session.frames[-1].path if session.frames else ""
    path = session.paths.of_layer(layer, parent) if session.frames else ""
    is_kept = id(layer) in session.policy.kept
    # Selectors are about layers below the model, which itself stays whole only where nothing else is left.
    is_whole = (
        session.policy.stays_whole(layer, path) if session.frames else is_kept or is_whole_by_itself(layer)
    )
    is_whole = is_whole and not session.in_body
    frame = _frame(session, layer, path, is_whole, args, kwargs)
    found = internals.training_of_context()
    # What is found is kept, since this changes it: whatever is tried after a failure begins with the same.
    _settle_training(session, layer, args, kwargs)
    try:
        with session.framed(frame):
            if internals.is_recomputed(layer):
                session.note("dropped", f"RematScope: {NOT_RECOMPUTED}")
            outputs = original(layer, *args, **kwargs)
            if is_whole:
                _note_masks(session, frame, outputs)
            _note_call_of_model(session, frame)
            return outputs
    except Exception as error:
        _name_layer(session, frame, error)
        may_fork = isinstance(error, TrainingBranchError) and not is_whole
        if not may_fork and not _may_keep(session, frame, error):
            raise
        # Tried again outside of this block: what fails then was not raised while this was handled, which is
        # how a `raise` of the user's is told from one that passes on ours.
        failure = error
    _take_back(session, frame)
    internals.set_training_of_context(found)
    if isinstance(failure, TrainingBranchError):
        try:
            with session.decisions.forking(layer):
                again = partial(call_layer, session, original, layer, args, kwargs)
                outputs = trace_both_modes(session, again)
            return regularized(session, frame, outputs)
        except Exception as error:
            failure = error
            _take_back(session, frame)
            internals.set_training_of_context(found)
        if isinstance(failure, UnlikeStructuresError) and session.frames:
            # What the layer around it makes of them in each mode may be alike.
            raise TrainingBranchError(str(failure)) from failure
        if not _may_keep(session, frame, failure):
            raise failure
    return _call_kept(session, original, frame, failure)


def _settle_training(session: Session, layer: keras.Layer, args: Args, kwargs: Kwargs) -> None:
    """Let the call context hold what `layer` finds there, as far as the mode is not known while tracing.

    Keras passes on what the context holds, and takes the default of `call` if that is None. While tracing it
    holds a flag and never None, so that the flag has to know of the default.
    """
    found = internals.training_of_context()
    if _is_left_for_a_while(session, found) and not says_training(layer, args, kwargs):
        found = TrainingFlag(session, from_context=True, fixed=found)
    if not is_flag(found):
        return
    if len(session.frames) == 1:
        # What was handed to one layer does not reach the next one by itself.
        found = found.left_to_next()
    if internals.takes_training(layer) and not says_training(layer, args, kwargs):
        found = found.or_default(internals.default_of_training(layer))
    internals.set_training_of_context(found)


def _is_left_for_a_while(session: Session, found: object) -> bool:
    """Whether a layer before, called with a fixed `training`, left it for the layer that `call` calls next.

    On JAX `fit` and `predict` run `call` of a model outside of a call context, where nothing is left.
    """
    is_direct = isinstance(found, bool) and len(session.frames) == 1 and session.graph.mode == BOTH
    return is_direct and keras.backend.backend() == "jax" and isinstance(session.root, keras.Model)


def says_training(layer: keras.Layer, args: Args, kwargs: Kwargs) -> bool:
    """Whether a call of `layer` with these arguments names `training` itself."""
    names = internals.parameters_of_call(layer)
    return "training" in kwargs or "training" in names[: len(args)]


def operation_of_graph(operation: keras.Layer, training: TrainingFlag) -> Any:
    """What a Functional model hands to one of its calls: in a bare call, what Keras recorded for the call."""

    def call(*args: Any, **kwargs: Any) -> Any:
        found = internals.training_of_context()
        if "training" in kwargs:
            unsaid = kwargs["training"]
        elif is_flag(found):
            unsaid = found.rule.bare
        else:
            unsaid = found
        if unsaid is None and "training" not in kwargs:
            unsaid = internals.default_of_training(operation)
        return operation(*args, **{**kwargs, "training": training.or_default(unsaid)})

    return call


def _note_call_of_model(session: Session, frame: Frame) -> None:
    is_traced_again = frame.layer is session.decisions.forked_layer and session.decisions.answer
    # Of a layer that is traced for each mode, the call for training is the same call once more.
    if len(session.frames) == 2 and not is_traced_again:
        session.calls_of_model.append(ModelCall(frame.layer, frame.path, source_line()))


def run_call(session: Session, layer: keras.Layer, args: Args, kwargs: Kwargs) -> Any:
    """Stand in for `Operation.__call__` of a layer: record it whole, or run its `call`."""
    frame = session.frame
    if frame.layer is not layer:
        # Called without `Layer.__call__` in front, it is part of the layer around it.
        return layer.call(*args, **kwargs)
    if frame.is_whole:
        outputs = record_whole(session, frame, kwargs)
        internals.take_masks_away(layer, args, kwargs)
        return outputs
    if len(session.frames) == 1:
        args = tuple(map(_as_argument_of_model, args))
        kwargs = {k: _as_argument_of_model(v) for k, v in kwargs.items()}
    outputs = _run(session, frame, inference.call_of(layer), args, kwargs)
    # Of a layer that is traced for each mode, the chosen result is regularized.
    return outputs if layer is session.decisions.forked_layer else regularized(session, frame, outputs)


def run_inside(session: Session, layer: keras.Layer, args: Args, kwargs: Kwargs) -> Any:
    """Run the `call` of a layer which the layer around it calls directly, without `Layer.__call__`."""
    path = session.paths.of_layer(layer, session.frame.path)
    frame = _frame(session, layer, path, False, args, kwargs)
    with session.framed(frame):
        return _run(session, frame, layer.call, args, kwargs)


def _run(session: Session, frame: Frame, call: Function, args: Args, kwargs: Kwargs) -> Any:
    _require_readable(session, frame)
    if len(session.frames) == 1:
        # The model itself may be run once more, for its other mode.
        session.calls_of_model.clear()
    kind = type(frame.layer).__name__
    if frame.path not in session.opened:
        logs.trace.debug("%s (%s) is opened", frame.path or session.root.name, kind)
    session.opened.setdefault(frame.path, kind)
    session.read += values_branched_on(frame.layer, frame.path)
    with (
        session.user_code(),
        following_attributes(frame.layer),
        _naming_numpy(session),
        refusing_draws(session, frame.layer),
    ):
        return _checked_outputs(session, call(*args, **kwargs))


def _frame(
    session: Session,
    layer: keras.Layer,
    path: str,
    is_whole: bool,
    args: Args,
    kwargs: Kwargs,
) -> Frame:
    start, effects = len(session.graph.nodes), session.effects.copy()
    return Frame(layer, path, is_whole, start, effects, tuple(session.findings), args, kwargs)


def _require_readable(session: Session, frame: Frame) -> None:
    """Refuse a `call` to which a `training` that is not known yet means something else than a known one.

    Raises:
        UnsupportedOperationError: It asks `training is True`.
    """
    session.decisions.none_test = session.decisions.none_test or none_test_of_training(type(frame.layer))
    line = identity_test_of_training(type(frame.layer))
    if line is not None:
        raise UnsupportedOperationError(
            describe(
                "`call` asks whether `training` is True, by identity.",
                where=session.locate(line),
                why="Python cannot be asked that about a value that is not known yet",
                hint="write `if training:`",
            )
        )


def _as_argument_of_model(x: object) -> Any:
    """From the `call` of the model on, who gets `training` got it by hand."""
    return x.handed_to_model() if is_flag(x) else x


@contextmanager
def _naming_numpy(session: Session) -> Iterator[None]:
    """Say it plainly where NumPy refuses a tensor."""
    try:
        yield
    except TypeError as error:
        if "__array_ufunc__" not in str(error):
            raise
        raise TensorAsPythonValueError(
            describe(
                "A function of NumPy is called on a tensor of the model.",
                where=session.locate(failing_line(error)),
                why="NumPy computes it outside of the backend: no gradient, and no compiled model",
                hint="call the function of the same name in keras.ops",
            )
        ) from error


def _may_keep(session: Session, frame: Frame, error: Exception) -> bool:
    """Whether the failing layer of `frame` can stay whole instead."""
    is_root = not session.frames and builtin_class(type(frame.layer)) is None
    is_forked = frame.layer is session.decisions.forked_layer
    is_final = getattr(error, "kerasfx_final", False) or _cannot_train(session, error)
    made = {v for node in session.graph.nodes[frame.start :] for v in node.results}
    changes_outside = set(session.effects.overwritten) - set(frame.effects.overwritten) - made
    # Kept whole, a layer would change a tensor in place that the nodes around it take as it was.
    return not (frame.is_whole or is_root or is_forked or is_final or session.in_body or changes_outside)


def _cannot_train(session: Session, error: Exception) -> bool:
    """Whether `error` tells that what is traced for training raises in the original as well."""
    return session.decisions.answer is not None and raises_in_the_original(error)


def _name_layer(session: Session, frame: Frame, error: Exception) -> None:
    """Write into `error` which layer raised it, for what is told of it in the end."""
    # By the innermost layer: the same exception passes through all those around it.
    if not hasattr(error, "kerasfx_layer"):
        where = f"{frame.path or session.root.name} ({type(frame.layer).__name__})"
        error.kerasfx_layer = where  # pyright: ignore[reportAttributeAccessIssue]


def _take_back(session: Session, frame: Frame) -> None:
    """Forget what was recorded since the call of the layer of `frame` began."""
    # First, since the nodes tell which tensors in attributes are of this call.
    forget(internals.all_layers(frame.layer), session.attributes_before, session.graph.nodes[frame.start :])
    session.graph.truncate(frame.start)
    session.effects = frame.effects.copy()
    session.opened = {p: c for p, c in session.opened.items() if not _is_below(p, frame.path)}
    session.findings = list(frame.findings)


def _call_kept(session: Session, original: Function, frame: Frame, failure: Exception) -> Any:
    reason = _reason(failure)
    logs.trace.debug("%s (%s) stays whole: %s", frame.path, type(frame.layer).__name__, reason)
    session.policy.keep(frame.layer, reason)
    try:
        return call_layer(session, original, frame.layer, frame.args, frame.kwargs)
    except Exception as error:  # whatever Keras or the user's code raises where it infers the result
        # Keras cannot infer the whole layer either, so no enclosing layer would do better, and what the
        # user should see first is the first failure.
        if _says(failure) not in _says(error):
            failure.add_note(_kept_neither(session, frame, error))
        failure.kerasfx_final = True  # pyright: ignore[reportAttributeAccessIssue]
        raise failure from None


def _kept_neither(session: Session, frame: Frame, error: Exception) -> str:
    kind = f"{frame.path or session.root.name} ({type(frame.layer).__name__})"
    return describe(f"{kind} could not be kept whole either.", why=f"asked for its result: {_says(error)}")


def _says(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _reason(failure: Exception) -> str:
    """Why a layer cannot be opened: what its own code does, or a fault of ours."""
    what = str(failure).strip() or type(failure).__name__
    line = None if isinstance(failure, KerasFxError) else fault_of_ours(failure)
    if line is None:
        return what
    kind = type(failure).__name__
    return f"kerasfx itself failed on it, which is a fault to report: {kind}: {what} ({line}: {line.text})"


def _note_masks(session: Session, frame: Frame, outputs: object) -> None:
    """Remember the masks that a layer kept whole attached to its results."""
    for tensor in leaves_of(outputs):
        # What a layer only hands back has the mask that it came with.
        if isinstance(tensor, TracedTensor) and tensor.value.producer is frame.node:
            tensor.value.mask = mask_value(tensor)


def _checked_outputs(session: Session, outputs: object) -> Any:
    """What `call` of an opened layer returned: tensors that are current, and whatever else it likes."""
    for leaf in leaves_of(outputs):
        if isinstance(leaf, TracedTensor):
            memory.require_current(session, leaf.value)
    return outputs


def _is_below(path: str, parent: str) -> bool:
    return path == parent or path.startswith((f"{parent}.", f"{parent}["))

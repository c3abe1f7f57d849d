"""What the user gets where a model raises while it is traced: whose fault it is, as far as that is known.

An error of the user's own code goes on as it is, with a note. Where another call was tried and works, the
inputs are the mistake, and the error says so. Of the frames only those of the user are left.
"""

from __future__ import annotations

import traceback
from types import TracebackType

import keras

from kerasfx.errors import (
    InputMismatchError,
    KerasFxError,
    OperationInferenceError,
    TensorAsPythonValueError,
    describe,
    first_line,
)
from kerasfx.inputs import CallSpec, InputSpec
from kerasfx.ir import leaves_of
from kerasfx.tracing.mistakes import Mistake, Raised, mistake_in, several_instead
from kerasfx.tracing.other_calls import WAY_OUT, may_be_about_the_batch
from kerasfx.tracing.where import failing_line, fault_of_ours, is_of_the_user, raised_by_user

MANY = 4
"""Of more inputs than these the message names the first."""


def explained(model: keras.layers.Layer, spec: CallSpec, error: Exception, raised: Raised) -> Exception:
    """The exception for the user, of `error`, which `model` raised when it was called as `spec` says.

    Args:
        model: The model.
        spec: How it was called.
        error: What it raised.
        raised: What another call raises, or None.
    """
    if isinstance(error, KerasFxError) and not isinstance(error, OperationInferenceError):
        _add_hint(spec, error, raised)
        return _shortened(error)
    mistake = None if fault_of_ours(error) else mistake_in(model, spec, error, raised)
    if mistake is None and isinstance(error, KerasFxError):
        _add_hint(spec, error, raised)
        return _shortened(error)
    if mistake is None and getattr(error, "kerasfx_wanted_whole", False):
        return _not_inferred(model, error)
    if mistake is None or raised_by_user(error):
        error.add_note(_note(model, spec, error, mistake))
        return _shortened(error)
    found = InputMismatchError(
        describe(
            f"{type(model).__name__} '{model.name}' cannot be called with the inputs given.",
            where=_where(model, error),
            why=mistake.why or _first_line(error),
            given=_given(spec),
            tried=mistake.tried,
            hint=mistake.hint,
        )
    )
    found.__cause__ = _shortened(error)
    return found


def _not_inferred(model: keras.layers.Layer, error: Exception) -> Exception:
    """The error for a layer that the user wants whole, and of which Keras cannot tell what it gives."""
    found = OperationInferenceError(
        describe(
            "Keras cannot infer what a layer gives that is to stay whole: its `call` raises there.",
            where=_where(model, error),
            why=str(error).rstrip().splitlines()[-1],
            hint="give the layer a compute_output_spec, or leave it out of leaves=",
        )
    )
    found.__cause__ = _shortened(error)
    return found


def _add_hint(spec: CallSpec, error: Exception, raised: Raised) -> None:
    """What one of our own errors, which says what and where, may not know of the inputs."""
    is_iterated = isinstance(error, TensorAsPythonValueError) and "iteration" in str(error)
    mistake = several_instead(spec, raised) if is_iterated else None
    if mistake is not None:
        error.add_note(f"  tried: {mistake.tried}\n  do:    {mistake.hint}")
    elif may_be_about_the_batch(spec, error):
        error.add_note(f"  do:    {WAY_OUT}")


def _note(model: keras.layers.Layer, spec: CallSpec, error: Exception, mistake: Mistake | None) -> str:
    hint = "check that the same call works on real tensors of these shapes and dtypes"
    if mistake is not None:
        hint = mistake.hint
    elif may_be_about_the_batch(spec, error):
        hint = WAY_OUT
    return describe(
        "kerasfx was tracing the model when this was raised.",
        where=_where(model, error),
        given=_given(spec),
        tried=mistake.tried if mistake else "",
        hint=hint,
    )


def _where(model: keras.layers.Layer, error: Exception) -> str:
    line = failing_line(error)
    layer = getattr(error, "kerasfx_layer", "") or f"{model.name} ({type(model).__name__})"
    return f"{layer}, {line.in_full}" if line else layer


def _first_line(error: Exception) -> str:
    # The message of our own begins with the operation, and goes on with where and why.
    return str(error).splitlines()[0] if isinstance(error, KerasFxError) else first_line(error)


def _given(spec: CallSpec) -> str:
    inputs = [x for x in leaves_of(spec.struct) if isinstance(x, InputSpec)]
    more = f" and {len(inputs) - MANY} more" if len(inputs) > MANY else ""
    return ", ".join(f"{x.name}: {x.dtype}{x.shape}" for x in inputs[:MANY]) + more


def _shortened(error: Exception) -> Exception:
    """`error` with the frames of the user's code and the last one, as Keras does it."""
    is_wanted = keras.config.is_traceback_filtering_enabled() and not fault_of_ours(error)
    return error.with_traceback(_of_user(error.__traceback__)) if is_wanted else error


def _of_user(found: TracebackType | None) -> TracebackType | None:
    frames = list(traceback.walk_tb(found))
    kept: TracebackType | None = None
    for k, (frame, line) in reversed(list(enumerate(frames))):
        if k == len(frames) - 1 or is_of_the_user(frame):
            kept = TracebackType(kept, frame, frame.f_lasti, line)
    return kept

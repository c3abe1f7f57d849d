"""The outputs of the model itself, which are tensors: what `call` returns beside tensors becomes one.

A size or a number becomes the scalar that Keras makes of it where TensorFlow runs the model in a graph. A
word or a dtype, which no tensor holds, is left out. Between layers that are opened anything may pass.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from kerasfx.errors import OutputNotTensorError, describe
from kerasfx.ir import Value, leaves_of, map_leaves, values_in
from kerasfx.ir.dims import Dim
from kerasfx.keras_api import internals
from kerasfx.tracing.native.sizes import SizeVector
from kerasfx.tracing.recorder import Structure
from kerasfx.tracing.session import Session
from kerasfx.tracing.tensor import TracedTensor, mask_value


def output_values(session: Session, outputs: object) -> Any:
    """The outputs of the model as a structure of Values, with None for what is left out.

    Raises:
        OutputNotTensorError: One is nothing that a tensor holds, or there is no tensor at all.
    """
    values = map_leaves(lambda x: _value(session, x), _with_vectors(session, outputs))
    if any(True for _ in values_in(values)):
        return values
    raise _refusal(session, outputs, "it returned no tensor")


def masks_of(outputs: Structure) -> dict[Value, Value | None]:
    """The mask attached to each output of the model."""
    return {t.value: mask_value(t) for t in leaves_of(outputs) if isinstance(t, TracedTensor)}


def _with_vectors(session: Session, outputs: Any) -> Any:
    """What `tf.shape` gave is one tensor, although it is a tuple while tracing."""
    if isinstance(outputs, SizeVector):
        return session.as_tensor(list(outputs))
    if isinstance(outputs, dict):
        return {k: _with_vectors(session, v) for k, v in outputs.items()}
    if type(outputs) in (list, tuple):
        return type(outputs)(_with_vectors(session, v) for v in outputs)
    return outputs


def _value(session: Session, x: object) -> Value | None:
    if isinstance(x, (bool, int, float, complex, Dim)):
        x = session.as_tensor(x)
    elif isinstance(x, np.generic):
        # JAX has no 64 bits, and TensorFlow makes a tensor of the number's own dtype.
        x = session.as_tensor(x.item()) if keras.backend.backend() == "jax" else np.asarray(x)
    elif _is_left_out(x):
        what = f"the output {x!r} of `call`, which is no tensor: the result has None in its place"
        session.note("dropped", what)
        return None
    value = session.value_of(x)
    if value is not None and not isinstance(value, Value):
        raise _refusal(session, x, f"it returned {x!r} of type {type(x).__name__}")
    return value


def _is_left_out(x: object) -> bool:
    if isinstance(x, (str, bytes, np.dtype)):
        return True
    try:
        internals.standardize_dtype(x)
    except (ValueError, TypeError, AttributeError):
        return False
    return x is not None and not hasattr(x, "shape")


def _refusal(session: Session, outputs: object, what: str) -> OutputNotTensorError:
    return OutputNotTensorError(
        describe(
            f"`call` of the model returned what a Functional model cannot: {what}.",
            where=session.locate(None) or f"{session.root.name} ({type(session.root).__name__})",
            why="its outputs are tensors (or numbers, sizes and None among tensors)",
            hint="return tensors, in tuples, lists or dicts",
        )
    )

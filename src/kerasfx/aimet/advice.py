"""What to change in code that tf.keras took and Keras 3 refuses."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from kerasfx.errors import describe
from kerasfx.tracing.where import failing_line

_REFUSED = "missing a required argument: 'training'"
"""What Keras 3 says, in the words of `inspect`."""


@contextmanager
def advised() -> Iterator[None]:
    """Attach advice to an error of Keras 3 about a `training` without a default."""
    try:
        yield
    except TypeError as error:
        if _REFUSED in str(error) and not any(_REFUSED in note for note in getattr(error, "__notes__", ())):
            error.add_note(_advice(error))
        raise


def _advice(error: TypeError) -> str:
    signature = _refused_signature(error)
    line = failing_line(error)
    return describe(
        f"`call{signature}` was called without `training`: {_REFUSED}.",
        where=line.in_full if line else "",
        why="tf.keras gave the layer its `training` then; Keras 3 asks for a default in the signature",
        hint=f"write `def call{_mended(signature)}`",
    )


def _refused_signature(error: TypeError) -> inspect.Signature:
    """The signature that refused its arguments."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        found = frame.f_locals.get("self")
        if isinstance(found, inspect.Signature):
            return found
    return inspect.Signature([_parameter("inputs"), _parameter("training")])


def _mended(signature: inspect.Signature) -> inspect.Signature:
    """The same with a default of `training`, and with `self`."""
    given = [p.replace(default=None) if p.name == "training" else p for p in signature.parameters.values()]
    return inspect.Signature([_parameter("self"), *given])


def _parameter(name: str) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD)

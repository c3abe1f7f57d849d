"""The steps of the original's class that a prepared model lacks, and a warning where it does without."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Iterator
from typing import Any

import keras

from kerasfx.errors import describe
from kerasfx.ir import SourceLine
from kerasfx.keras_api import internals
from kerasfx.reporting import Finding
from kerasfx.tracing.where import line_at

PREDICTION = ("predict", "predict_step", "make_predict_function")

TRAINING = (
    "compile",
    "fit",
    "evaluate",
    "train_step",
    "test_step",
    "compute_loss",
    "compute_metrics",
    "make_train_function",
    "make_test_function",
)

USES = {"compile": TRAINING, "predict": PREDICTION}
"""Method of a prepared model -> the steps of the original that matter from there on."""

KEEP_CLASS = "kerasfx.prepare_model(model, keep_class=True)"


def dropped_methods(model: keras.layers.Layer) -> list[Finding]:
    """A finding for each method of the user's that a prepared model does not have."""
    return [
        Finding("dropped", "", f"`{name}` of {owner} is not part of the result", line, KEEP_CLASS)
        for name, owner, line in _own_steps(model)
    ]


def warn_when_used(original: keras.layers.Layer, prepared: keras.layers.Layer) -> None:
    """Let `prepared` warn, once, when it is compiled or predicts without the steps of `original`."""
    steps = [name for name, _, _ in _own_steps(original)]
    for use, concerned in USES.items():
        lacking = [f"`{name}`" for name in steps if name in concerned]
        if lacking:
            _warn_at(prepared, use, _message(original, prepared, lacking))


def _message(original: keras.layers.Layer, prepared: keras.layers.Layer, lacking: list[str]) -> str:
    return describe(
        f"'{prepared.name}' does not have {', '.join(lacking)} of {type(original).__name__}: "
        "it may be trained or used in another way.",
        why="a prepared model is the graph of `call`, with the steps of keras.Model",
        hint=f"{KEEP_CLASS}; if the steps of keras.Model are wanted, there is nothing to do",
    )


def _warn_at(prepared: keras.layers.Layer, name: str, message: str) -> None:
    method = getattr(prepared, name)

    @functools.wraps(method)
    def warning(*args: object, **kwargs: object) -> Any:
        object.__delattr__(prepared, name)  # once
        warnings.warn(message, stacklevel=2)
        return method(*args, **kwargs)

    # In no file and no clone, and nothing that Keras tracks.
    object.__setattr__(prepared, name, warning)


def _own_steps(model: keras.layers.Layer) -> Iterator[tuple[str, str, SourceLine | None]]:
    """Name, owner and line of each step that the user's code defines for `model`."""
    if not isinstance(model, keras.Model):
        return
    for name in (*TRAINING, *PREDICTION):
        owner = next(c for c in type(model).__mro__ if name in vars(c))
        if name in vars(model):
            yield name, type(model).__name__, _line(vars(model)[name])
        elif not internals.module_of(owner).startswith("keras."):
            yield name, owner.__name__, _line(vars(owner)[name])


def _line(member: object) -> SourceLine | None:
    code = getattr(inspect.unwrap(member), "__code__", None) if callable(member) else None
    return line_at(code.co_filename, code.co_firstlineno) if code else None

"""What every public function says of arguments that it has not, and of where it is called."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from difflib import get_close_matches
from typing import ParamSpec, TypeVar

from kerasfx.errors import describe
from kerasfx.keras_api.running import is_being_compiled

P = ParamSpec("P")
R = TypeVar("R")

MEANT = {
    "x": "input_layer",
    "input": "input_layer",
    "inputs": "input_layer",
    "input_shape": "input_layer",
    "examples": "input_layer",
    "model": "original_model",
    "training": "mode",
}
"""Arguments of functions of Keras, and what they are called here."""


def public(function: Callable[P, R]) -> Callable[P, R]:
    """Let `function` tell which argument was meant, where it is called with one that it has not.

    Python names the argument, and before 3.13 no other. What fails while TensorFlow or JAX compile the code
    around the call gets a note that says so.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def told(*args: P.args, **kwargs: P.kwargs) -> R:
        _require_known(function.__name__, signature, len(args), list(kwargs))
        try:
            return function(*args, **kwargs)
        except Exception as error:
            if is_being_compiled():
                error.add_note(_compiled(function.__name__))
            raise

    return told


def _compiled(name: str) -> str:
    return describe(
        f"kerasfx.{name} was called inside of a function that is being compiled.",
        why="tensors have no values there, and weights are read and written",
        hint=f"call {name} outside, and what it returns inside",
    )


def _require_known(name: str, signature: inspect.Signature, positional: int, keywords: list[str]) -> None:
    """Refuse arguments that a function has not.

    Raises:
        TypeError: There are some.
    """
    by_place = [p for p in signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    unknown = next((k for k in keywords if k not in signature.parameters), None)
    if unknown is not None:
        meant = _meant(unknown, signature)
        why = "" if meant else f"it has {', '.join(signature.parameters)}"
        raise TypeError(describe(f"{name} has no argument {unknown}.", why=why, hint=meant))
    if positional > len(by_place):
        names = ", ".join(p.name for p in by_place)
        what = f"{name} takes {len(by_place)} arguments by place ({names}), and was given {positional}."
        is_of_inputs = by_place[-1].name == "input_layer"
        hint = "the inputs of several arguments in one: kerasfx.Inputs(a, b)" if is_of_inputs else ""
        raise TypeError(describe(what, hint=hint))


def _meant(unknown: str, signature: inspect.Signature) -> str:
    known = list(signature.parameters)
    meant = MEANT.get(unknown)
    found = [meant] if meant in known else get_close_matches(unknown, known, 1, 0.5)
    return f"{found[0]}=..." if found else ""

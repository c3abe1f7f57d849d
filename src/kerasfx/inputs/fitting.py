"""Whether the inputs given are those that a Functional or Sequential model takes, before any work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any

import keras
import numpy as np

from kerasfx.errors import InputMismatchError, describe
from kerasfx.inputs.specs import InputSpec
from kerasfx.ir import leaves_of, map_leaves
from kerasfx.keras_api import internals

Shape = tuple[int | None, ...]


def check_against(model: keras.layers.Layer, struct: object) -> None:
    """Refuse inputs that a Functional or Sequential model cannot take.

    Raises:
        InputMismatchError: They are of another structure, or one is of another shape or dtype.
    """
    known = internals.input_structure(model)
    if known is None:
        return
    if isinstance(known, dict) and isinstance(struct, dict) and set(known) != set(struct):
        raise InputMismatchError(
            describe(
                f"'{model.name}' takes the keys {sorted(known)}, but input_layer has {sorted(struct)}.",
                why=of_keys(set(known), set(struct)),
                hint="{" + ", ".join(f'"{key}": ...' for key in known) + "}",
            )
        )
    expected, given = list(leaves_of(known)), list(leaves_of(struct))
    if len(expected) != len(given):
        raise InputMismatchError(
            describe(
                f"'{model.name}' takes {len(expected)} inputs, but input_layer holds {len(given)}.",
                hint=f"its inputs are {_shown(known)}",
            )
        )
    for ours, theirs in zip(_flat(struct), _flat(known), strict=True):
        _check_one(model, ours, theirs)


def of_keys(wanted: set[str], given: set[str]) -> str:
    """Say which keys of a dict are missing, which are too many, and which is probably which."""
    missing, strange = sorted(wanted - given), sorted(given - wanted)
    parts = [f"{_quoted(missing)} missing"] if missing else []
    parts += [f"{_quoted(strange)} unknown"] if strange else []
    pairs = [(key, nearest(key, missing)) for key in strange]
    parts += [f"'{key}' is perhaps '{found}'" for key, found in pairs if found]
    return ", ".join(parts)


def nearest(key: str, keys: Iterable[str]) -> str | None:
    """The key that was probably meant, in another case or with a letter more or less."""
    by_case = {str(k).lower(): k for k in keys}
    found = get_close_matches(key.lower(), by_case, 1, 0.5)
    return by_case[found[0]] if found else None


def _quoted(keys: list[str]) -> str:
    return ", ".join(f"'{key}'" for key in keys) + (" is" if len(keys) == 1 else " are")


def _flat(structure: object) -> Iterator[Any]:
    """The leaves in the order of keys, as Keras flattens."""
    if isinstance(structure, dict):
        structure = [structure[k] for k in sorted(structure)]
    if isinstance(structure, (list, tuple)):
        for item in structure:
            yield from _flat(item)
    else:
        yield structure


def _check_one(model: keras.layers.Layer, ours: InputSpec, theirs: keras.KerasTensor) -> None:
    takes = f"'{model.name}' takes an input '{theirs.name}'"
    if not _fits(ours.shape, theirs.shape):
        why, hint = _about_batch(ours, theirs.shape)
        what = f"{takes} of shape {theirs.shape}, but input_layer has {ours.shape} in its place."
        raise InputMismatchError(describe(what, why=why, hint=hint))
    if ("float" in ours.dtype) != ("float" in theirs.dtype):
        what = f"{takes} of dtype {theirs.dtype}, but input_layer has {ours.dtype} in its place."
        is_array = isinstance(ours.example, np.ndarray)
        said = f'x.astype("{theirs.dtype}")' if is_array else _as_input(theirs.shape[1:], theirs.dtype)
        raise InputMismatchError(describe(what, hint=said))


def _fits(ours: Shape, theirs: Shape) -> bool:
    # All but the batch, which is free in the result.
    return len(ours) == len(theirs) and all(
        a == b or b is None for a, b in zip(ours[1:], theirs[1:], strict=True)
    )


def _about_batch(ours: InputSpec, shape: Shape) -> tuple[str, str]:
    """Why an input does not fit, if it is for the batch, and what does."""
    if _fits((None, ours.first, *ours.shape[1:]), shape):
        what = f"{(ours.first, *ours.shape[1:])} has no batch: its first size, {ours.first}, is taken for it"
        return what, with_batch(ours)
    if _fits((None, *ours.shape[2:]), shape):
        what = (
            f"without the {ours.shape[1]} it fits: keras.Input puts the batch in front of a shape by itself"
        )
        return what, _as_input(ours.shape[2:], ours.dtype)
    return "", _as_input(shape[1:], ours.dtype)


def with_batch(given: InputSpec) -> str:
    """What to type for an input that was given without its batch."""
    if given.example is not None:
        return "x[None] for one example, or an array of several"
    return f"the batch in front, None since it is free: {(None, given.first, *given.shape[1:])}"


def _as_input(shape: Shape, dtype: str) -> str:
    said = "" if dtype == keras.config.floatx() else f", dtype={dtype!r}"
    return f"keras.Input({shape}{said})"


def _shown(struct: object) -> Any:
    return map_leaves(lambda t: (t.name, t.shape, t.dtype), struct)

"""Mistakes in what a model is called with, found by trying: the call without the mistake works."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from kerasfx.inputs import CallSpec, InputSpec, nearest, with_batch
from kerasfx.ir import leaves_of
from kerasfx.tracing.where import failing_line, fault_of_ours

SECONDS = 5.0
"""After which nothing more is tried: a large model takes long to raise, and its user waits."""

Raised = Callable[[CallSpec], Exception | None]
"""What a call raises, or None if it works."""


@dataclass(frozen=True)
class Mistake:
    """What is wrong with a call.

    Attributes:
        tried: What was tried, and what came of it.
        hint: What to type.
        why: What is wrong, where nothing had to be tried.
    """

    tried: str
    hint: str
    why: str = ""


def mistake_in(model: keras.layers.Layer, spec: CallSpec, error: Exception, raised: Raised) -> Mistake | None:
    """The mistake that made `model` raise `error` when it was called as `spec` says, or None.

    Args:
        model: The model.
        spec: The call.
        error: What it raised.
        raised: Makes another call. Nothing is tried that builds a layer for sizes that the user did not name.
    """
    missing = _missing_argument(model, spec)
    if missing is not None:
        return missing
    renamed = _misspelled(spec, error)
    if renamed is not None and raised(renamed[0]) is None:
        return renamed[1]
    found = _missing_keys(spec, error, raised) or _no_dict(spec, error, raised)
    if found is not None:
        return found
    start = time.perf_counter()
    for other, mistake in _others(spec, error):
        if time.perf_counter() - start > SECONDS:
            return None
        if raised(other) is None:
            return mistake
    return None


def _others(spec: CallSpec, error: Exception) -> Iterator[tuple[CallSpec, Mistake]]:
    """Calls without a mistake that may have been made, from what happens most often."""
    for find in (_without_batch, _with_two_batches, _more_than_inputs, _other_dtype):
        found = find(spec, error)
        if found is not None:
            yield found


def _missing_argument(model: keras.layers.Layer, spec: CallSpec) -> Mistake | None:
    signature = inspect.signature(model.call)
    try:
        bound = signature.bind_partial(*spec.args, **spec.kwargs)
    # Too many: Python's own message says so.
    except TypeError:
        return None
    required = [
        p.name
        for p in signature.parameters.values()
        if p.default is p.empty
        and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        and p.name not in bound.arguments
    ]
    if not required or required == ["training"]:
        return None
    given = [*(_name_of(x, k) for k, x in enumerate(spec.args)), *(f"{k}={k}" for k in spec.kwargs)]
    arguments = ", ".join([*given, *(f"{name}=..." for name in required)])
    why = f"call{signature} needs {', '.join(required)} as well"
    return Mistake("", f"kerasfx.Inputs({arguments}), as what it is called with", why)


def _name_of(argument: object, position: int) -> str:
    return argument.name if isinstance(argument, InputSpec) else f"x{position}"


def _missing_keys(spec: CallSpec, error: Exception, raised: Raised) -> Mistake | None:
    """The keys that `call` reads from its dict of inputs and that are not there."""
    given = _only_argument(spec)
    if not isinstance(given, dict):
        return None
    missing: list[str] = []
    last: Exception | None = error
    while (key := _key_of(last)) is not None and key not in given and key not in missing:
        missing.append(key)
        # None is what Keras lets pass, and builds nothing of.
        last = raised(CallSpec(({**given, **dict.fromkeys(missing)},), {}, given))
    # The same again: it is the key of another dict. What fails outside of `call` proves nothing either.
    if missing and (_key_of(last) in missing or not (last is None or _is_in_call(last))):
        missing.pop()
    if not missing:
        return None
    return Mistake(f"with a '{missing[0]}' in the dict it gets further", _dict_of([*given, *missing]))


def _no_dict(spec: CallSpec, error: Exception, raised: Raised) -> Mistake | None:
    """The keys of the dict that `call` takes, where it was given something else."""
    given = _only_argument(spec)
    # In the words of Python for a list, and of an operation for a tensor.
    said = f"{error} {error.__cause__}"
    if isinstance(given, dict) or not any(word in said for word in ("indices", "get_item", "index")):
        return None
    arrays = list(leaves_of(given))
    keys: dict[str, Any] = {}
    last = raised(_of_one({}))
    while (key := _key_of(last)) is not None and key not in keys:
        keys[key] = replace(arrays[min(len(keys), len(arrays) - 1)], name=key)
        last = raised(_of_one(dict(keys)))
    if not keys or _key_of(last) in keys or not (last is None or _is_in_call(last)):
        return None
    outcome = "gets further" if last else "goes through"
    return Mistake(f"with a dict of {' and '.join(map(repr, keys))} it {outcome}", _dict_of(keys))


def _dict_of(keys: Iterable[str]) -> str:
    return "{" + ", ".join(f'"{key}": ...' for key in keys) + "}"


def _is_in_call(error: Exception) -> bool:
    return failing_line(error) is not None and not fault_of_ours(error)


def _key_of(error: Exception | None) -> str | None:
    key = error.args[0] if isinstance(error, KeyError) and error.args else None
    return key if isinstance(key, str) else None


def _misspelled(spec: CallSpec, error: Exception) -> tuple[CallSpec, Mistake] | None:
    given, wanted = _only_argument(spec), _key_of(error)
    if not isinstance(given, dict) or wanted is None or wanted in given:
        return None
    key = nearest(wanted, given)
    if key is None:
        return None
    renamed = {wanted if k == key else k: x for k, x in given.items()}
    return _of_one(renamed), Mistake(
        f"with '{wanted}' in the place of '{key}' it goes through", _dict_of(renamed)
    )


def _without_batch(spec: CallSpec, error: Exception) -> tuple[CallSpec, Mistake] | None:
    lacking = [x for x in _inputs(spec) if x.first is not None]
    if not lacking:
        return None
    shapes = ", ".join(str(_with_batch_in_front(x).shape) for x in lacking)
    first = lacking[0]
    taken = f"the first size of {(first.first, *first.shape[1:])} is taken for the batch"
    tried = f"{taken}; with the batch in front, {shapes}, it goes through"
    return spec.changed(_with_batch_in_front), Mistake(tried, with_batch(first))


def _with_batch_in_front(x: InputSpec) -> InputSpec:
    if x.first is None:
        return x
    return replace(x, shape=(None, x.first, *x.shape[1:]), example=None, first=None)


def _with_two_batches(spec: CallSpec, error: Exception) -> tuple[CallSpec, Mistake] | None:
    doubled = [x for x in _inputs(spec) if x.first is None and x.shape[:1] == (None,) and len(x.shape) > 1]
    if not doubled:
        return None

    def without(x: InputSpec) -> InputSpec:
        return replace(x, shape=(None, *x.shape[2:])) if any(x is y for y in doubled) else x

    first = doubled[0]
    tried = (
        f"without the {first.shape[1]}, {without(first).shape}, it goes through: the batch is there already"
    )
    return spec.changed(without), Mistake(tried, f"keras.Input({first.shape[2:]})")


def _more_than_inputs(spec: CallSpec, error: Exception) -> tuple[CallSpec, Mistake] | None:
    given = _only_argument(spec)
    if not isinstance(given, (list, tuple)) or len(given) not in (2, 3):
        return None
    tried = f"with the first of the {len(given)} alone it goes through"
    return _of_one(given[0]), Mistake(tried, "the inputs alone, without targets or weights of samples")


def several_instead(spec: CallSpec, raised: Raised) -> Mistake | None:
    """What a model that iterates over its only input may want: several in the place of one."""
    given = _only_argument(spec)
    if not isinstance(given, InputSpec):
        return None
    for n in (2, 3):
        if raised(_of_one([replace(given, name=f"{given.name}_{i}") for i in range(n)])) is None:
            hint = f"[{', '.join('xyz'[:n])}], if it is to get {n}"
            return Mistake(f"with a list of {n} such tensors it goes through", hint)
    return None


def _other_dtype(spec: CallSpec, error: Exception) -> tuple[CallSpec, Mistake] | None:
    floatx = keras.config.floatx()
    others = [x for x in _inputs(spec) if x.dtype != "string" and not keras.backend.is_float_dtype(x.dtype)]
    if not others:
        return None

    def as_float(x: InputSpec) -> InputSpec:
        return replace(x, dtype=floatx, example=None) if any(x is y for y in others) else x

    first = others[0]
    hint = f"keras.Input({first.shape[1:]}), which is of {floatx}"
    if isinstance(first.example, np.ndarray):
        hint = f'x.astype("{floatx}")'
    return spec.changed(as_float), Mistake(f"with {floatx} instead of {first.dtype} it goes through", hint)


def _inputs(spec: CallSpec) -> list[InputSpec]:
    return [x for x in leaves_of(spec.struct) if isinstance(x, InputSpec)]


def _only_argument(spec: CallSpec) -> Any:
    return spec.args[0] if len(spec.args) == 1 and not spec.kwargs else None


def _of_one(argument: Any) -> CallSpec:
    return CallSpec((argument,), {}, argument)

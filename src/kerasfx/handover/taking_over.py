"""What `copy_weights` writes, variable by variable and layer by layer; all of it is checked first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np

from kerasfx.errors import NotInvertibleError, WeightsMismatchError, describe
from kerasfx.handover.computed import ComputedWeight
from kerasfx.handover.copying import kind_of
from kerasfx.handover.correspondence import Correspondence
from kerasfx.handover.placement import assign, assign_array
from kerasfx.keras_api import internals
from kerasfx.keras_api.arrays import to_numpy


@dataclass(frozen=True)
class Step:
    """One thing to do once everything was checked, and the variables that it deals with."""

    run: Callable[[], None]
    sources: tuple[keras.Variable, ...]
    targets: tuple[keras.Variable, ...]
    merges: tuple[tuple[keras.layers.Layer, keras.layers.Layer], ...] = ()
    is_computed: bool = False


def steps_between(known: Correspondence) -> list[Step]:
    """The steps that give what belongs together the values of the first of each pair.

    Raises:
        WeightsMismatchError: A pair of variables or layers does not fit, or a weight that was computed when
            the model was made does not say what it was computed from.
    """
    steps = [_between_variables(v, w) for v, w in known.variables]
    steps += [step for x, y in known.layers for step in _between_layers(x, y)]
    # A layer whose LoRA deltas are merged has more variables than its partner.
    pairs = [(v, w) for step in steps for v, w in zip(step.sources, step.targets, strict=False)]
    taken_home: TakenHome = {id(w): (v, partial(to_numpy, v)) for v, w in pairs}
    steps += [_computed_again(weight) for weight in known.computed]
    return steps + [_taken_back(weight, taken_home) for weight in known.computed_back]


def _computed_again(weight: ComputedWeight) -> Step:
    """Compute a weight of the prepared model from those of the original."""
    # Now, and not in the step: what cannot be computed is found before anything is written.
    array = weight.value(to_numpy)
    return Step(
        lambda: assign_array(weight.variable, array),
        tuple(weight.originals),
        (weight.variable,),
        is_computed=True,
    )


TakenHome = dict[int, tuple[keras.Variable, Callable[[], np.ndarray]]]
"""By the `id` of a variable of the original: which variable gives it a value, and which."""


def _taken_back(weight: ComputedWeight, taken_home: TakenHome) -> Step:
    """Find what the weights of the original are that a weight of the prepared model was computed from.

    Args:
        weight: The weight.
        taken_home: What gives variables of the original a value already; further ones are noted here.
    """
    try:
        found = weight.inverse(to_numpy(weight.variable))
    except NotInvertibleError as error:
        names = ", ".join(f"'{v.path}'" for v in weight.originals)
        raise _mismatch(
            f"'{weight.variable.path}' was computed from {names} when the model was made",
            str(error),
            "train the original, or the model that is prepared without this pass",
        ) from error
    for variable, array in found:
        # Bound by a default: the name goes on to the next pair.
        other, known = taken_home.setdefault(id(variable), (weight.variable, lambda array=array: array))
        # To the bit, so that NaN is itself.
        if known().tobytes() != array.tobytes():
            raise _mismatch(
                f"'{variable.path}' would be given other values by '{other.path}' than by "
                f"'{weight.variable.path}'",
                "it became both, and the two have been trained apart, or rounded apart",
            )

    def assign_all() -> None:
        for variable, array in found:
            assign_array(variable, array)

    return Step(assign_all, (weight.variable,), tuple(v for v, _ in found), is_computed=True)


def _between_variables(source: keras.Variable, target: keras.Variable) -> Step:
    if kind_of(source)[1:] != kind_of(target)[1:]:
        raise _mismatch(
            f"'{source.path}' does not fit '{target.path}'",
            f"{_shown(source)} and {_shown(target)}",
            "both models must have the weights that the code of the original makes",
        )
    return Step(lambda: assign(target, source), (source,), (target,))


def _between_layers(source: keras.layers.Layer, target: keras.layers.Layer) -> Iterator[Step]:
    """The steps for two layers that the same code made, and for the layers inside them."""
    ours, theirs = internals.own_state(source), internals.own_state(target)
    # Quantizing and LoRA add variables, or change their meaning under the same names.
    if _names(ours) == _names(theirs) and _is_quantized(source) == _is_quantized(target):
        yield from map(_between_variables, ours, theirs)
    else:
        yield _merge(source, target)
    if isinstance(target, keras.layers.Normalization):
        # It computes with tensors made of its variables, as Keras makes them when it loads weights.
        yield Step(target.finalize_state, (), ())
    below = internals.sublayers(source), internals.sublayers(target)
    if len(below[0]) != len(below[1]):
        raise _mismatch(
            f"'{source.name}' does not fit '{target.name}'",
            f"{len(below[0])} and {len(below[1])} layers inside",
        )
    for x, y in zip(*below, strict=True):
        yield from _between_layers(x, y)


def _merge(source: keras.layers.Layer, target: keras.layers.Layer) -> Step:
    """Kernel and LoRA deltas of `source` as one kernel, by the methods with which Keras saves layers."""
    _refuse_quantized(source, target)
    if not getattr(source, "lora_enabled", False) or getattr(target, "lora_enabled", False):
        raise _unlike(source, target)
    saved, expected = _saved(source), _saved(target)
    if {k: np.shape(v) for k, v in saved.items()} != {k: np.shape(v) for k, v in expected.items()}:
        raise _unlike(source, target)
    return Step(
        lambda: target.load_own_variables(saved),
        tuple(internals.own_state(source)),
        tuple(internals.own_state(target)),
        ((source, target),),
    )


def _saved(layer: keras.layers.Layer) -> dict[str, np.ndarray]:
    store: dict[str, Any] = {}
    layer.save_own_variables(store)
    return {key: np.array(to_numpy(value)) for key, value in store.items()}


def _refuse_quantized(source: keras.layers.Layer, target: keras.layers.Layer) -> None:
    modes = [_is_quantized(x) for x in (source, target)]
    if modes[0] != modes[1]:
        raise _mismatch(
            f"'{source.name}' does not fit '{target.name}'",
            f"{type(source).__name__} is quantized as {modes[0]}, its partner as {modes[1]}",
            "rounded weights do not go back: copy before quantizing, or quantize both models",
        )


def _is_quantized(layer: keras.layers.Layer) -> str | None:
    return getattr(layer, "quantization_mode", None)


def _unlike(source: keras.layers.Layer, target: keras.layers.Layer) -> WeightsMismatchError:
    ours, theirs = internals.own_state(source), internals.own_state(target)
    names = _names(theirs)
    lone = [v for v in ours if kind_of(v)[0] not in names] or [
        w for w in theirs if kind_of(w)[0] not in _names(ours)
    ]
    return _mismatch(
        f"'{source.name}' does not fit '{target.name}': '{(lone or ours or theirs)[0].path}' has no partner",
        f"they have {list(map(_shown, ours))} and {list(map(_shown, theirs))}",
        "a layer may have LoRA deltas in the source alone; other changes of layers cannot be copied",
    )


def _mismatch(what: str, why: str, hint: str = "") -> WeightsMismatchError:
    return WeightsMismatchError(describe(f"{what}; nothing was copied.", why=why, hint=hint))


def _names(variables: list[Any]) -> list[str]:
    return [kind_of(v)[0] for v in variables]


def _shown(variable: keras.Variable) -> str:
    return f"{variable.name} {variable.dtype}{tuple(variable.shape)}"

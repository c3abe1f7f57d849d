"""copy_weights: trained weights of a prepared model come home, or go the other way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kerasfx.errors import WeightsMismatchError, describe
from kerasfx.handover.copying import kind_of
from kerasfx.handover.correspondence import correspondence
from kerasfx.handover.placement import assign
from kerasfx.keras_api import internals
from kerasfx.keras_api.arrays import to_numpy


@dataclass(frozen=True)
class CopiedWeights:
    """What `copy_weights` did; `print` it.

    Attributes:
        copied: Pairs (variable of the source, variable of the target).
        merged: Pairs (layer of the source, layer of the target) whose LoRA deltas were added to the kernel.
        left_in_source: Variables of the source without partner: no output depends on them, or they hold
            constants.
        left_in_target: Variables of the target without partner, which keep their values.
    """

    copied: tuple[tuple[Any, Any], ...]
    merged: tuple[tuple[Any, Any], ...] = ()
    left_in_source: tuple[Any, ...] = ()
    left_in_target: tuple[Any, ...] = ()

    def __str__(self) -> str:
        lines = [f"{len(self.copied)} variables copied"]
        lines += [f"  LoRA merged: '{x.name}' into '{y.name}'" for x, y in self.merged]
        lines += [f"  without partner, not copied: {v.path}" for v in self.left_in_source]
        lines += [f"  without partner, left as it was: {v.path}" for v in self.left_in_target]
        return "\n".join(lines)


@dataclass(frozen=True)
class _Step:
    """One thing to do once everything was checked, and the variables that it deals with."""

    run: Callable[[], None]
    sources: tuple[Any, ...]
    targets: tuple[Any, ...]
    merges: tuple[tuple[Any, Any], ...] = ()


def copy_weights(source: Any, target: Any) -> CopiedWeights:
    """Give the variables of `target` the values of those of `source`.

    One is a model and the other was prepared from it, or from a model of the same code; a prepared model
    may also have been loaded from a file or cloned. Without a record of the process that prepared it, the
    original is prepared again, and the two graphs are compared call by call. Everything is checked before
    the first weight is written. Weights, statistics and the states of seeds are copied; optimizers are not.
    LoRA deltas are merged into the kernel, as Keras does when it saves.

    Args:
        source: The model to copy from.
        target: The model to copy to.

    Returns:
        What was copied, and which variables have no partner and were left alone.

    Raises:
        WeightsMismatchError: The models do not belong together, or a pair of variables or layers does not
            fit (shapes, dtypes, a quantized layer and a float one). Nothing was copied.
        InputRequiredError: An original has to be prepared, and its inputs are not known.
        TraceError: An original has to be prepared, and cannot be.
    """
    if source is target:
        return CopiedWeights(tuple((v, v) for v in source.variables))
    known = correspondence(source, target)
    steps = [_between_variables(v, w) for v, w in known.variables]
    steps += [step for x, y in known.layers for step in _between_layers(x, y)]
    for step in steps:
        step.run()
    return _summary(source, target, steps)


def _summary(source: Any, target: Any, steps: list[_Step]) -> CopiedWeights:
    taken = {id(v) for step in steps for v in step.sources}
    given = {id(w) for step in steps for w in step.targets}
    return CopiedWeights(
        tuple(
            (v, w)
            for step in steps
            if not step.merges
            for v, w in zip(step.sources, step.targets, strict=True)
        ),
        tuple(pair for step in steps for pair in step.merges),
        tuple(v for v in source.variables if id(v) not in taken),
        tuple(w for w in target.variables if id(w) not in given),
    )


def _between_variables(source: Any, target: Any) -> _Step:
    if kind_of(source)[1:] != kind_of(target)[1:]:
        raise _mismatch(
            f"'{source.path}' does not fit '{target.path}'",
            f"{_shown(source)} and {_shown(target)}",
            "both models must have the weights that the code of the original makes",
        )
    return _Step(lambda: assign(target, source), (source,), (target,))


def _between_layers(source: Any, target: Any) -> Iterator[_Step]:
    """The steps for two layers that the same code made, and for the layers inside them."""
    ours, theirs = internals.own_state(source), internals.own_state(target)
    if _names(ours) == _names(theirs) and _is_quantized(source) == _is_quantized(target):
        yield from map(_between_variables, ours, theirs)
    else:
        yield _merge(source, target)
    if isinstance(target, keras.layers.Normalization):
        # It computes with tensors made of its variables, as Keras makes them when it loads weights.
        yield _Step(target.finalize_state, (), ())
    below = internals.sublayers(source), internals.sublayers(target)
    if len(below[0]) != len(below[1]):
        raise _mismatch(
            f"'{source.name}' does not fit '{target.name}'",
            f"{len(below[0])} and {len(below[1])} layers inside",
        )
    for x, y in zip(*below, strict=True):
        yield from _between_layers(x, y)


def _merge(source: Any, target: Any) -> _Step:
    """Kernel and LoRA deltas of `source` as one kernel, by the methods with which Keras saves layers."""
    _refuse_quantized(source, target)
    if not getattr(source, "lora_enabled", False) or getattr(target, "lora_enabled", False):
        raise _unlike(source, target)
    saved, expected = _saved(source), _saved(target)
    if {k: np.shape(v) for k, v in saved.items()} != {k: np.shape(v) for k, v in expected.items()}:
        raise _unlike(source, target)
    return _Step(
        lambda: target.load_own_variables(saved),
        tuple(internals.own_state(source)),
        tuple(internals.own_state(target)),
        ((source, target),),
    )


def _saved(layer: Any) -> dict[str, np.ndarray]:
    store: dict[str, Any] = {}
    layer.save_own_variables(store)
    return {key: np.array(to_numpy(value)) for key, value in store.items()}


def _refuse_quantized(source: Any, target: Any) -> None:
    modes = [_is_quantized(x) for x in (source, target)]
    if modes[0] != modes[1]:
        raise _mismatch(
            f"'{source.name}' does not fit '{target.name}'",
            f"{type(source).__name__} is quantized as {modes[0]}, its partner as {modes[1]}",
            "rounded weights do not go back: copy before quantizing, or quantize both models",
        )


def _is_quantized(layer: Any) -> str | None:
    return getattr(layer, "quantization_mode", None)


def _unlike(source: Any, target: Any) -> WeightsMismatchError:
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


def _shown(variable: Any) -> str:
    return f"{variable.name} {variable.dtype}{tuple(variable.shape)}"

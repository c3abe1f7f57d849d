"""Compiling a prepared model like its original, so that `fit` goes on where the original was."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import keras

from kerasfx.errors import describe
from kerasfx.handover.placement import hand_over
from kerasfx.keras_api import internals
from kerasfx.reporting import Finding

Pairs = Iterable[tuple[Any, Any]]
"""Pairs (variable of the original, variable of the prepared model)."""


def require_compiled(original: Any, dropped: Sequence[Finding] = ()) -> None:
    """Refuse a model that the prepared one would not train like.

    Args:
        original: The model.
        dropped: Its methods that the prepared model will not have.

    Raises:
        ValueError: The model was not compiled, has a `compile` of its own or steps that are dropped.
    """
    if not getattr(original, "compiled", False) or getattr(original, "optimizer", None) is None:
        raise ValueError(
            describe(
                f"{type(original).__name__} '{original.name}' was not compiled with an optimizer.",
                why='compile="like_original" takes its loss, its metrics and its optimizer over',
                hint="compile the original first, or leave compile= out and compile the result",
            )
        )
    if internals.compile_arguments(original) is None:
        raise ValueError(
            describe(
                f"{type(original).__name__} has a `compile` of its own, whose arguments are not known.",
                hint="leave compile= out and compile the result yourself",
            )
        )
    if dropped:
        raise ValueError(
            describe(
                f"{type(original).__name__} is not trained by its loss alone: {dropped[0].what}.",
                where=str(dropped[0].source or ""),
                hint="pass keep_class=True as well",
            )
        )


def compile_like(original: Any, prepared: Any, pairs: Pairs) -> None:
    """Compile `prepared` as `original` is compiled, with the state of its optimizer.

    Losses are the same objects; metrics and the optimizer are copies, whose state moves alone from then on.
    The metrics begin as at the start of an epoch.

    Raises:
        ValueError: The optimizer cannot be copied, or trains other variables than the prepared model.
    """
    arguments: Any = internals.compile_arguments(original)
    metrics = {k: _own_metrics(arguments[k]) for k in ("metrics", "weighted_metrics")}
    settings = {k: getattr(original, k) for k in ("run_eagerly", "steps_per_execution", "jit_compile")}
    optimizer = _copy_of_optimizer(original.optimizer)
    _continue_state(original.optimizer, optimizer, prepared, {id(v): w for v, w in pairs})
    # The optimizer was wrapped for loss scaling already, if it was to be. Losses and metrics may be given
    # by the names that the original has for its outputs.
    names = prepared.output_names
    prepared.output_names = getattr(original, "output_names", None)
    try:
        prepared.compile(
            optimizer,
            loss=arguments["loss"],
            loss_weights=arguments["loss_weights"],
            auto_scale_loss=False,
            **metrics,
            **settings,
        )
    finally:
        prepared.output_names = names


def _own_metrics(metrics: Any) -> Any:
    """`metrics` with a copy of each metric, at the beginning of an epoch."""
    made: dict[int, Any] = {}

    def own(x: Any) -> Any:
        if not isinstance(x, keras.metrics.Metric):
            return x
        if id(x) not in made:
            made[id(x)] = internals.copy_of_metric(x)
            made[id(x)].reset_state()
        return made[id(x)]

    return None if metrics is None else keras.tree.map_structure(own, metrics)


def _copy_of_optimizer(optimizer: Any) -> Any:
    """An optimizer with the settings of `optimizer` and no state."""
    config = optimizer.get_config()
    if "inner_optimizer" in config:
        inner = _copy_of_optimizer(optimizer.inner_optimizer)
        return type(optimizer)(**{**config, "inner_optimizer": inner})
    schedule = internals.learning_rate_schedule(optimizer)
    if schedule is not None:
        config["learning_rate"] = schedule  # it has no state, and may be of the user's own class
    copy = type(optimizer).from_config(config)
    lost = [k for k, v in _settings(optimizer).items() if _settings(copy).get(k) != v]
    if lost:
        raise ValueError(
            describe(
                f"The optimizer {type(optimizer).__name__} cannot be copied: its `{lost[0]}` is lost.",
                why="an optimizer made from get_config() of the original has another value",
                hint=f"give {type(optimizer).__name__} a get_config() that makes it again",
            )
        )
    return copy


def _settings(optimizer: Any) -> dict[str, Any]:
    plain = (bool, int, float, str, type(None))
    return {k: v for k, v in vars(optimizer).items() if isinstance(v, plain) and k != "built"}


def _continue_state(source: Any, target: Any, prepared: Any, partners: dict[int, Any]) -> None:
    """Build `target` for the variables of `prepared`, and give it the state of `source`."""
    trained = internals.trained_by(source)
    if source.built:
        _require_same_variables(source, trained, prepared, partners)
        target.build(prepared.trainable_variables)
    place = {id(partners[id(v)]): i for i, v in enumerate(trained) if id(v) in partners}
    order = [place[id(w)] for w in internals.trained_by(target)]
    for ours, theirs in _levels(source, target):
        _copy_state(ours, theirs, order)


def _require_same_variables(source: Any, trained: list[Any], prepared: Any, partners: dict[int, Any]) -> None:
    kept = {id(partners[id(v)]) for v in trained if id(v) in partners}
    wanted = {id(w): w for w in prepared.trainable_variables}
    other = [w for key, w in wanted.items() if key not in kept]
    other += [v for v in trained if id(v) in partners and id(partners[id(v)]) not in wanted]
    if other:
        raise ValueError(
            describe(
                f"The optimizer {source.name} was made for other variables than the model trains: "
                f"'{other[0].path}' is trained by one of them alone.",
                why="`trainable` was changed since the original was compiled",
                hint="compile the original again, or leave compile= out and compile the result",
            )
        )


def _levels(source: Any, target: Any) -> list[tuple[Any, Any]]:
    """The optimizers and those inside them."""
    inner = getattr(source, "inner_optimizer", None)
    below = [] if inner is None else _levels(inner, target.inner_optimizer)
    return [(source, target), *below]


def _copy_state(source: Any, target: Any, order: list[int]) -> None:
    """What is kept for each variable goes by variable (`order`), the counters and rates go in order."""
    slots = internals.optimizer_slots(source), internals.optimizer_slots(target)
    for name, ours in slots[0].items():
        for place, theirs in zip(order, slots[1][name], strict=True):
            if theirs is not None:
                hand_over(theirs, ours[place])
    for ours, theirs in zip(*map(_beside_slots, (source, target), slots), strict=True):
        hand_over(theirs, ours)


def _beside_slots(optimizer: Any, slots: dict[str, list[Any]]) -> list[Any]:
    """The state that is not kept for each variable."""
    inner = getattr(optimizer, "inner_optimizer", None)
    other = {id(v) for values in slots.values() for v in values}
    other |= {id(v) for v in inner.variables} if inner is not None else set()
    rest = [v for v in optimizer.variables if id(v) not in other]
    large = [v for v in rest if len(v.shape)]
    if large:
        raise ValueError(
            describe(
                f"The state of the optimizer {type(optimizer).__name__} cannot be copied: it is not known "
                f"to which weight '{large[0].path}' belongs.",
                why="state for each weight is kept in lists with one entry for each",
                hint="leave compile= out and compile the result",
            )
        )
    return rest

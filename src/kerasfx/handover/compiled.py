"""Compiling a prepared model like its original, so that `fit` goes on where the original was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from kerasfx.errors import describe
from kerasfx.handover.computed import ComputedWeight
from kerasfx.handover.placement import assign_array, hand_over
from kerasfx.handover.provenance import Provenance, VariablePair
from kerasfx.keras_api import internals
from kerasfx.keras_api.arrays import to_numpy
from kerasfx.keras_api.operations import public_optimizer
from kerasfx.reporting import Finding

ELEMENTWISE = tuple(
    getattr(keras.optimizers, name)
    for name in (
        "Adadelta",
        "Adagrad",
        "Adam",
        "AdamW",
        "Adamax",
        "Ftrl",
        "Lion",
        "LossScaleOptimizer",
        "Nadam",
        "RMSprop",
        "SGD",
    )
)
"""Optimizers that step for each element by itself, unless they clip by norm."""

BY_NORM = (keras.optimizers.Lamb,)
"""Optimizers that look at norms of whole weights besides."""


def require_compiled(original: keras.layers.Layer, dropped: Sequence[Finding] = ()) -> None:
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


def compile_like(original: keras.Model, prepared: keras.Model, record: Provenance) -> None:
    """Compile `prepared` as `original` is compiled, with the state of its optimizer.

    Losses are the same objects; metrics and the optimizer are copies, whose state moves alone from then on.
    The metrics begin as at the start of an epoch. What the optimizer keeps for each weight goes along with
    it, also where a pass has rearranged weights.

    Raises:
        ValueError: The optimizer cannot be copied, trains other variables than the prepared model, or has
            state for weights from which a pass has computed others.
    """
    arguments: Any = internals.compile_arguments(original)
    metrics = {k: _own_metrics(arguments[k]) for k in ("metrics", "weighted_metrics")}
    settings = {k: getattr(original, k) for k in ("run_eagerly", "steps_per_execution", "jit_compile")}
    optimizer = _copy_of_optimizer(original.optimizer)
    trained = _trained_pairs(original, record)
    _require_alike(original.optimizer, optimizer, trained, record)
    _exclude_alike(original.optimizer, optimizer, trained)
    _continue_state(original.optimizer, optimizer, prepared, record)
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


def _own_metrics(metrics: object) -> object:
    """`metrics` with a copy of each metric, at the beginning of an epoch."""
    made: dict[int, Any] = {}

    def own(x: object) -> object:
        if not isinstance(x, keras.metrics.Metric):
            return x
        if id(x) not in made:
            made[id(x)] = internals.copy_of_metric(x)
            made[id(x)].reset_state()
        return made[id(x)]

    return None if metrics is None else keras.tree.map_structure(own, metrics)


def _copy_of_optimizer(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """An optimizer with the settings of `optimizer` and no state."""
    config = optimizer.get_config()
    if "inner_optimizer" in config:
        # As the outer one: the config alone would lose a schedule of a class of the user's.
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


def _settings(optimizer: keras.optimizers.Optimizer) -> dict[str, Any]:
    # What `get_config` forgets shows among these; the copy alone is not built yet.
    plain = (bool, int, float, str, type(None))
    return {k: v for k, v in vars(optimizer).items() if isinstance(v, plain) and k != "built"}


def _trained_pairs(original: keras.Model, record: Provenance) -> list[VariablePair]:
    """What is trained in the original, with what it has become or gone into."""
    trained = set(map(id, original.trainable_variables))
    return [(v, w) for v, w in record.went_into() if id(v) in trained]


def _exclude_alike(
    source: keras.optimizers.Optimizer, target: keras.optimizers.Optimizer, trained: list[VariablePair]
) -> None:
    """Exclude from weight decay what is excluded in the original: no config says it, and names change."""
    for ours, theirs in _levels(source, target):
        decayed = {id(w): internals.uses_weight_decay(ours, v) for v, w in trained}
        split = [w for v, w in trained if internals.uses_weight_decay(ours, v) != decayed[id(w)]]
        if split:
            raise _trains_otherwise(
                source, split[0].path, "the optimizer decays a part of what it is made of, and a part not"
            )
        excluded = [w for _, w in trained if not decayed[id(w)]]
        if excluded:
            theirs.exclude_from_weight_decay(var_list=excluded)


def _require_alike(
    source: keras.optimizers.Optimizer,
    target: keras.optimizers.Optimizer,
    trained: list[VariablePair],
    record: Provenance,
) -> None:
    """Refuse an optimizer that would step in another way: for weights rearranged, or of another name.

    Raises:
        ValueError: It would.
    """
    moved = {id(v) for v, _ in trained}
    for ours, theirs in _levels(source, target):
        for weight in record.computed:
            is_trained = weight.trains_alike and any(id(v) in moved for v in weight.originals)
            if is_trained and not _steps_alike(ours, weight):
                why = f"the weight is {weight}, and this optimizer does not step for each element by itself"
                raise _trains_otherwise(source, weight.variable.path, why)
        for v, w in trained:
            if internals.takes_for_no_matrix(ours, v) != internals.takes_for_no_matrix(theirs, w):
                why = f"the optimizer goes by the path of a weight, which is '{v.path}' in the original"
                raise _trains_otherwise(source, w.path, why)


def _steps_alike(optimizer: keras.optimizers.Optimizer, weight: ComputedWeight) -> bool:
    """Whether an optimizer steps for a rearranged weight as for what it was rearranged from."""
    # The norm of a weight stays what it is if its elements change places.
    cls = public_optimizer(optimizer)
    goes_by_norm = optimizer.clipnorm is not None or cls in BY_NORM
    return cls in (*ELEMENTWISE, *BY_NORM) and not (goes_by_norm and len(set(map(id, weight.originals))) > 1)


def _trains_otherwise(optimizer: keras.optimizers.Optimizer, path: str, why: str) -> ValueError:
    return ValueError(
        describe(
            f"The optimizer {optimizer.name} would train '{path}' in another way than the original.",
            why=why,
            hint="leave compile= out and compile the result",
        )
    )


def _continue_state(
    source: keras.optimizers.Optimizer,
    target: keras.optimizers.Optimizer,
    prepared: keras.Model,
    record: Provenance,
) -> None:
    """Build `target` for the variables of `prepared`, and give it the state of `source`."""
    trained = internals.trained_by(source)
    if source.built:
        # Refused before anything is built.
        _require_same_variables(source, trained, prepared, record)
        target.build(prepared.trainable_variables)
    place = {id(v): i for i, v in enumerate(trained)}
    ways: dict[int, Way] = {id(w): _Same(place[id(v)]) for v, w in record.variables if id(v) in place}
    # Only a rearrangement has state for each element; others were refused above.
    ways |= {id(c.variable): _Rearranged(c, place) for c in record.computed if c.trains_alike}
    order = [ways[id(w)] for w in internals.trained_by(target)]
    for ours, theirs in _levels(source, target):
        _copy_state(ours, theirs, order)


@dataclass(frozen=True)
class _Same:
    """The slots of a variable are those of the variable at a place in the original's optimizer."""

    place: int

    def give(self, target: keras.Variable, slots: list[keras.Variable]) -> None:
        """Give a slot its value."""
        hand_over(target, slots[self.place])


@dataclass(frozen=True)
class _Rearranged:
    """The slots of a variable are rearranged as the variable is."""

    weight: ComputedWeight
    place: dict[int, int]

    def give(self, target: keras.Variable, slots: list[keras.Variable]) -> None:
        """Give a slot its value: only optimizers that step for each element are let through."""
        sources = {id(v): slots[self.place[id(v)]] for v in self.weight.originals}
        assign_array(target, self.weight.value(lambda v: to_numpy(sources[id(v)])))


Way = _Same | _Rearranged
"""How the slots of a variable of the prepared model come from those of the original."""


def _require_same_variables(
    source: keras.optimizers.Optimizer,
    trained: list[keras.Variable],
    prepared: keras.Model,
    record: Provenance,
) -> None:
    wanted = {id(w): w for w in prepared.trainable_variables}
    present = set(map(id, trained))
    for weight in record.computed:
        is_trained = id(weight.variable) in wanted
        if any(id(v) in present for v in weight.originals) or is_trained:
            _require_rearranged(source, weight, present if is_trained else set())
    partners = {id(v): w for v, w in record.went_into()}
    kept = {id(partners[id(v)]) for v in trained if id(v) in partners}
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


def _require_rearranged(
    source: keras.optimizers.Optimizer, weight: ComputedWeight, trained: set[int]
) -> None:
    """Refuse a computed weight for which the state of the optimizer says nothing."""
    if not weight.trains_alike or not all(id(v) in trained for v in weight.originals):
        raise ValueError(
            describe(
                f"The state of the optimizer {source.name} says nothing of '{weight.variable.path}'.",
                why=f"a pass has computed this weight, {weight}, and it does not train as these do",
                hint="leave compile= out and compile the result",
            )
        )


def _levels(
    source: keras.optimizers.Optimizer, target: keras.optimizers.Optimizer
) -> list[tuple[keras.optimizers.Optimizer, keras.optimizers.Optimizer]]:
    """The optimizers and those inside them."""
    inner = getattr(source, "inner_optimizer", None)
    below = [] if inner is None else _levels(inner, target.inner_optimizer)
    return [(source, target), *below]


def _copy_state(
    source: keras.optimizers.Optimizer, target: keras.optimizers.Optimizer, order: list[Way]
) -> None:
    """What is kept for each variable goes by variable (`order`), the counters and rates go in order."""
    slots = internals.optimizer_slots(source), internals.optimizer_slots(target)
    for name, ours in slots[0].items():
        for way, theirs in zip(order, slots[1][name], strict=True):
            if theirs is not None:
                way.give(theirs, ours)
    for ours, theirs in zip(*map(_beside_slots, (source, target), slots), strict=True):
        hand_over(theirs, ours)


def _beside_slots(
    optimizer: keras.optimizers.Optimizer, slots: dict[str, list[keras.Variable]]
) -> list[keras.Variable]:
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

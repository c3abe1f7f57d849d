"""Which `training` each call of a prepared model gets, and which calls a mode needs.

What a call gets is written on the tensors that it gives (`kerasfx_training`), because a node of Keras can
only name arguments that the layer takes, and the numbers of nodes change in a clone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import keras

from kerasfx.errors import OtherModeError, describe
from kerasfx.ir.training import FOLLOWS, Training
from kerasfx.keras_api import internals
from kerasfx.runtime import safety

Mode = Literal["both", "inference", "training"]
MODES = BOTH, INFERENCE, TRAINING = "both", "inference", "training"

RULES = "training"
FORMER_RULES = FIXED, FROM_CONTEXT, PASSED = (
    "training_fixed_in",
    "training_from_context",
    "training_passed_to",
)
SAVED = (RULES, *FORMER_RULES)
"""What a saved model says about `training`; the last three are those of earlier versions."""

CHOOSING, LOSSES, METRIC, AFTER = "SelectByTraining", "AddLoss", "UpdateMetric", "After"
"""The layers of `kerasfx.runtime.layers` that do not need all of their inputs in each mode."""


@dataclass(frozen=True)
class Given:
    """What a model was called with.

    Attributes:
        said: Its argument `training`.
        found: What the call context holds.
        is_outside: Whether it runs outside of a call context.
    """

    said: Any
    found: Any
    is_outside: bool

    def to(self, rule: Training | None) -> Any:
        """What a call of that rule gets."""
        return (rule or FOLLOWS).of(self.said, self.found, self.is_outside)


def require(mode: str | None, training: object, name: str) -> None:
    """Refuse that a model of one mode is called in the other.

    Raises:
        OtherModeError: It is.
    """
    if mode is None or training is None or bool(training) == (mode == TRAINING):
        return
    other = INFERENCE if mode == TRAINING else TRAINING
    raise OtherModeError(
        describe(
            f"'{name}' was prepared for {mode} alone, and is called for {other}.",
            why=f"with mode={mode!r} it has nothing of what the original does in {other} (`fit` calls it "
            "with training=True, `predict` and `evaluate` with training=False)",
            hint=f'kerasfx.prepare_model(original, mode="{other}"), or call it as prepared(x)',
        )
    )


def rule_of(node: Any) -> Training | None:
    """What `training` the call of a node of Keras gets, if it does not simply follow the model."""
    # One result stands for the call: no two calls give the same tensor.
    return getattr(node.outputs[0], "kerasfx_training", None)


def set_rule(outputs: object, rule: Training) -> None:
    """Write down which `training` the call that gave `outputs` gets."""
    keras.tree.flatten(outputs)[0].kerasfx_training = rule


def copy_rule(source: object, target: object) -> None:
    """Let a call that is made again get what the first one gets."""
    rule = getattr(source, "kerasfx_training", None)
    if rule is not None and isinstance(target, keras.KerasTensor):
        set_rule(target, rule)


def _by_layer(nodes: Iterable[Any]) -> dict[str, list[Any]]:
    """The calls of each layer, in the order in which Keras saves them."""
    found: dict[str, list[Any]] = defaultdict(list)
    # A file lists the calls of a layer by their numbers, which nodes by depth do not follow.
    order = {id(n): i for node in nodes for i, n in enumerate(internals.calls_of(node.operation))}
    for node in sorted(nodes, key=lambda n: order[id(n)]):
        found[node.operation.name].append(node)
    return found


def read(nodes: Iterable[Any]) -> dict[str, Any]:
    """The rules of calls as JSON: for each layer that has any, those of all its calls."""
    found = {name: [rule_of(n) for n in own] for name, own in _by_layer(list(nodes)).items()}
    return {
        name: [None if rule is None else _plain(rule) for rule in rules]
        for name, rules in found.items()
        if any(rules)
    }


def _plain(rule: Training) -> dict[str, bool]:
    # What is as usual is left out: a file says it once for each call.
    return {k: v for k, v in asdict(rule).items() if v != getattr(Training, k)}


def require_sound(saved: dict[str, Any]) -> None:
    """Refuse what is no rules, in the config of a model, which may come from a file.

    Raises:
        UnsafeFileError: It is not.
    """
    for name in FORMER_RULES:
        names = saved.get(name) or ()
        is_list = isinstance(names, (list, tuple)) and all(isinstance(x, str) for x in names)
        safety.require(is_list, f"{name} is no list of names of layers.")
    rules = saved.get(RULES) or {}
    safety.require(isinstance(rules, dict), "training is no dict of layers.")
    for each in rules.values():
        is_list = isinstance(each, (list, tuple)) and all(x is None or isinstance(x, dict) for x in each)
        safety.require(is_list and all(map(_is_rule, filter(None, each))), "training holds other things.")


def _is_rule(rule: dict[str, Any]) -> bool:
    return set(rule) <= set(asdict(FOLLOWS)) and all(x is None or type(x) is bool for x in rule.values())


def renamed(saved: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """What a saved model says about `training`, of layers that have other names by now."""

    def by_new_name(said: Any) -> Any:
        if isinstance(said, dict):
            return {names.get(name, name): rules for name, rules in said.items()}
        return [names.get(name, name) for name in said or ()]

    return {key: by_new_name(said) for key, said in saved.items()}


def write(nodes: Iterable[Any], saved: dict[str, Any]) -> None:
    """Put the rules of a saved model, of this or an earlier version, on its tensors."""
    calls = _by_layer(list(nodes))
    for name, rules in (saved.get(RULES) or {}).items():
        # A file may name calls that there are not.
        for node, rule in zip(calls.get(name, ()), rules, strict=False):
            if rule is not None:
                set_rule(node.outputs, Training(**rule))
    # Earlier versions knew layers alone, and no calls.
    for name in saved.get(FROM_CONTEXT) or ():
        for node in calls.get(name, ()):
            set_rule(node.outputs, Training(from_context=True))
    for name in saved.get(FIXED) or ():
        for node in calls.get(name, ()):
            set_rule(node.outputs, Training(fixed=bool(node.arguments.kwargs.get("training"))))


def planned(model: Any, given: Given) -> list[Any]:
    """The calls that are needed for what the model was called with, in order.

    Of the two sides of an `if training:` only one is: the other has nothing to do, and may cost much.
    """
    # Past `__setattr__`: Keras would track the dict and what is in it.
    plans = vars(model).setdefault("_kerasfx_plans", {})
    # While the model is traced itself, what stands for `training` is another object each time.
    if not all(x is None or isinstance(x, bool) for x in (given.said, given.found)):
        return list(_needed(model, given))
    if given not in plans:
        plans[given] = list(_needed(model, given))
    return plans[given]


def _needed(model: keras.Model, given: Given) -> Iterator[Any]:
    needed = {id(x) for x in model.outputs}
    kept = []
    for node in reversed(internals.nodes_of(model)):
        if any(id(x) in needed for x in node.outputs):
            kept.append(node)
            needed.update(map(id, _inputs_needed(node, given)))
    return reversed(kept)


def _inputs_needed(node: Any, given: Given) -> list[Any]:
    """The tensors without which the call of `node` is not what it should be in this mode."""
    tensors = list(node.input_tensors)
    training = given.to(rule_of(node))
    # Only a bool decides now; of anything else both sides may be wanted.
    if training is not None and not isinstance(training, bool):
        return tensors
    when = getattr(node.operation, "when", node.arguments.kwargs.get("when"))
    places = needed_at(_kind(node.operation), len(tensors), when, bool(training))
    return [tensors[i] for i in places]


def needed_at(kind: str, count: int, when: object, training: bool) -> list[int]:
    """The places of the tensors that a layer needs in one mode, of `count` that it takes.

    Args:
        kind: The name of its class.
        count: How many tensors it takes; where it passes one on, that is the first.
        when: The mode in which it acts (`UpdateMetric`), or that of each tensor but the first; None for both.
        training: The mode.
    """
    if kind == CHOOSING:
        return [1 if training else 0]
    if kind == METRIC:
        return list(range(count if _acts(when, training) else 1))
    if kind in (LOSSES, AFTER) and isinstance(when, (list, tuple)):
        return [0, *(i for i, w in enumerate(when, 1) if _acts(w, training))]
    return list(range(count))


def _acts(when: object, training: bool) -> bool:
    return when is None or when == training


def _kind(operation: object) -> str:
    cls = type(operation)
    # The user may have a class of that name.
    return cls.__name__ if cls.__module__ == "kerasfx.runtime.layers" else ""


def filled(node: Any, known: dict[int, Any]) -> tuple[Any, Any]:
    """The arguments of the call of `node`; what is not needed is replaced by something that is known."""
    given = [known[id(x)] for x in node.input_tensors if id(x) in known]
    if len(given) == len(node.input_tensors):
        return node.arguments.fill_in(known)
    return node.arguments.fill_in({**{id(x): given[0] for x in node.input_tensors}, **known})

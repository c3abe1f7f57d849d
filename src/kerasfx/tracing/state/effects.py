"""What a `call` does besides returning results: draws, assignments, losses."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field, fields, replace
from typing import Any

from kerasfx.ir import (
    FOLLOWS,
    MetricUpdate,
    Node,
    SourceLine,
    Training,
    Value,
    identifier,
    map_values,
)
from kerasfx.keras_api import internals
from kerasfx.keras_api.builtins import (
    builtin_class,
)
from kerasfx.tracing.sizes.guards import Guard

ADD_LOSS = "kerasfx.layers.AddLoss"
SELECT = "kerasfx.layers.SelectByTraining"


@dataclass(frozen=True)
class AddedLoss:
    """A loss, the value of `training` for which it is added (None for both), and which `training` that is."""

    value: Value
    when: bool | None = None
    training: Training = FOLLOWS

    def of(self, same: dict[Value, Value]) -> AddedLoss:
        """The same loss, by the Value that its own was found to equal."""
        return replace(self, value=same.get(self.value, self.value))


@dataclass(frozen=True)
class MetricCall:
    """One call of `update_state`.

    Attributes:
        metric: The metric of the original.
        args, kwargs: What it is called with, Values in the places of tensors.
        masks: Each of these Values with the mask that its tensor carries.
        path: Path of the layer that calls it.
        source: The user's line.
        when: The value of `training` for which it is called; None for both.
        training: Which `training` that is.
    """

    metric: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    masks: dict[Value, Value | None]
    path: str
    source: SourceLine | None
    when: bool | None = None
    training: Training = FOLLOWS

    def of(self, same: dict[Value, Value]) -> MetricCall:
        """The same call, with the Values that those of it were found to equal."""
        args, kwargs = map_values(lambda v: same.get(v, v), (self.args, self.kwargs))
        masks = {same.get(v, v): m and same.get(m, m) for v, m in self.masks.items()}
        return replace(self, args=args, kwargs=kwargs, masks=masks)

    def node(self, x: Value) -> Node:
        """The node that makes this call and gives `x` back."""
        target = MetricUpdate(self.metric, self.when)
        name = f"{identifier(self.path)}_{self.metric.name}" if self.path else self.metric.name
        node = Node(name, target, (x, *self.args), self.kwargs, self.path, self.source)
        node.implicit_masks = dict(self.masks)
        node.training = self.training
        return node


@dataclass
class Effects:
    """What was done so far.

    Attributes:
        last_draw: Seed generator (its id) -> the last draw from it.
        assigned: Variable (its id) -> the Value that it was assigned last.
        reads: Variable (its id) -> the Value that reading it gives since it was assigned: the same numbers,
            but gradients take the way of the backend.
        losses: The losses.
        metric_calls: The updates of metrics.
        guards: What was asked about free sizes.
        overwritten: Value -> the Value that its tensor has since it was changed in place.
        stale: Value that shared the memory -> where that happened.
        unsure: Values whose tensor may be another one's, so that it cannot be changed in place.
    """

    last_draw: dict[int, Value] = field(default_factory=dict)
    assigned: dict[int, Value] = field(default_factory=dict)
    reads: dict[int, Value] = field(default_factory=dict)
    losses: list[AddedLoss] = field(default_factory=list)
    metric_calls: list[MetricCall] = field(default_factory=list)
    guards: list[Guard] = field(default_factory=list)
    overwritten: dict[Value, Value] = field(default_factory=dict)
    stale: dict[Value, Any] = field(default_factory=dict)
    unsure: set[Value] = field(default_factory=set)

    def now(self, value: Value) -> Value:
        """What the tensor of `value` is by now."""
        while value in self.overwritten:
            value = self.overwritten[value]
        return value

    def changed(self) -> set[Value]:
        """The Values whose tensors were changed in place, under this or another name."""
        return {*self.overwritten, *self.stale}

    def forget_changes_since(self, before: Effects) -> None:
        """Know of no more changes in place than `before` did."""
        self.overwritten, self.stale = dict(before.overwritten), dict(before.stale)
        self.unsure = set(before.unsure)

    def copy(self) -> Effects:
        """The same effects, to come back to."""
        return Effects(**{f.name: copy(getattr(self, f.name)) for f in fields(self)})


def adds_losses(node: Node) -> bool:
    """Whether `node` adds a loss, or may: what a custom layer does is not known."""
    if node.spec:
        return node.calls(ADD_LOSS) or bool(node.spec.config.get("activity_regularizer"))
    return node.layer is not None and adds_inside(node.layer, lambda x: builtin_class(type(x)) is None)


def adds_inside(layer: Any, adds_itself: Callable[[Any], bool]) -> bool:
    """Whether a layer in `layer` has an activity regularizer, or adds losses itself."""
    parts = internals.all_layers(layer)
    return any(x.activity_regularizer is not None or adds_itself(x) for x in parts)

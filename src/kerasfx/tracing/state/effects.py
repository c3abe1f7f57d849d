"""What a `call` does besides returning results: draws, assignments, losses."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field, fields
from typing import Any

from kerasfx.ir import Value
from kerasfx.passes.legalize.tie_to_outputs import AddedLoss, MetricCall, StateChanges
from kerasfx.tracing.sizes.guards import Guard

SELECT = "kerasfx.layers.SelectByTraining"
AFTER = "kerasfx.layers.After"


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

    def changes_of(self, same: dict[Value, Value]) -> Effects:
        """The changes in place alone, by the Values that those of them were found to equal."""

        def of(value: Value) -> Value:
            return same.get(value, value)

        return Effects(
            overwritten={of(old): of(new) for old, new in self.overwritten.items()},
            stale={of(v): tuple((of(cause), line) for cause, line in why) for v, why in self.stale.items()},
            unsure=set(map(of, self.unsure)),
        )

    def forget_changes_since(self, before: Effects) -> None:
        """Know of no more changes in place than `before` did."""
        self.overwritten, self.stale = dict(before.overwritten), dict(before.stale)
        self.unsure = set(before.unsure)

    def copy(self) -> Effects:
        """The same effects, to come back to."""
        return Effects(**{f.name: copy(getattr(self, f.name)) for f in fields(self)})

    def to_be_tied(self) -> StateChanges:
        """What a Functional model would not do by itself."""
        return StateChanges(dict(self.assigned), tuple(self.losses), tuple(self.metric_calls))

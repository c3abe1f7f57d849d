"""What a `call` does besides returning results: draws, assignments, losses."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from kerasfx.ir import (
    FOLLOWS,
    Assignment,
    Graph,
    LayerCall,
    LayerSpec,
    Node,
    Training,
    Value,
    map_leaves,
    values_in,
)
from kerasfx.keras_api import internals
from kerasfx.keras_api.builtins import (
    builtin_class,
)
from kerasfx.tracing.inference import specs_like
from kerasfx.tracing.sizes.guards import Guard
from kerasfx.tracing.state.metrics import MetricCall

if TYPE_CHECKING:
    from kerasfx.tracing.session import Session

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
    target = node.target
    if isinstance(target, LayerSpec):
        return target.class_name == ADD_LOSS or bool(target.config.get("activity_regularizer"))
    is_call = isinstance(target, LayerCall)
    return is_call and adds_inside(target.layer, lambda x: builtin_class(type(x)) is None)


def adds_inside(layer: Any, adds_itself: Callable[[Any], bool]) -> bool:
    """Whether a layer in `layer` has an activity regularizer, or adds losses itself."""
    parts = internals.all_layers(layer)
    return any(x.activity_regularizer is not None or adds_itself(x) for x in parts)


def tie_to_outputs(session: Session) -> None:
    """Put assignments and losses on the way to an output: a Functional model runs nothing else."""
    graph, effects = session.graph, session.effects
    output = next(iter(values_in(graph.outputs)), None)
    if output is None:
        return
    tied = output
    parameters = {id(v.producer.variable): v for v in graph.parameters}  # pyright: ignore
    for key, new_value in effects.assigned.items():
        parameter = parameters[key]
        target = Assignment(parameter.producer.variable)  # pyright: ignore
        node = Node(f"{parameter.name}_update", target, (tied, new_value, parameter), {})
        tied = _finished(session, node, tied)
    for call in effects.metric_calls:
        tied = _finished(session, call.node(tied), tied)
    for training, losses in _by_training(effects.losses).items():
        target = LayerSpec(ADD_LOSS, {"when": [loss.when for loss in losses]})
        node = Node("add_loss", target, ([tied, *(loss.value for loss in losses)],), {})
        node.training = training
        tied = _finished(session, node, tied)
    tie_instead(graph, output, tied)


def tie_instead(graph: Graph, output: Value, tied: Value) -> None:
    """Let `tied`, which has the numbers of `output`, be the output of `graph` in its place."""
    if tied is output:
        return
    graph.outputs = map_leaves(lambda v: tied if v is output else v, graph.outputs)
    graph.output_masks[tied] = graph.output_masks.pop(output, None)


def _by_training(losses: list[AddedLoss]) -> dict[Training, list[AddedLoss]]:
    """The losses, by which `training` says whether they are added; those of both modes go with any."""
    rules = dict.fromkeys(x.training for x in losses if x.when is not None)
    first = next(iter(rules), FOLLOWS)
    found: dict[Training, list[AddedLoss]] = {}
    for x in losses:
        found.setdefault(first if x.when is None else x.training, []).append(x)
    return found


def _finished(session: Session, node: Node, like: Value) -> Value:
    result: Any = session.finish(node, specs_like(like))
    return result.value

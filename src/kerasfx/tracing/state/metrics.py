"""Metrics that `call` updates: each update becomes a node, tied to an output."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import keras

from kerasfx.errors import StateUpdateError, describe
from kerasfx.ir import (
    FOLLOWS,
    MetricUpdate,
    Node,
    SourceLine,
    Training,
    Value,
    identifier,
    leaves_of,
    map_leaves,
    map_values,
)
from kerasfx.keras_api import internals
from kerasfx.tracing.tensor import TracedTensor
from kerasfx.tracing.where import source_line

if TYPE_CHECKING:
    from kerasfx.tracing.session import Session


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


def patches() -> Iterator[tuple[Any, str, Any]]:
    """What is replaced while tracing: owner, name, `replacement(session, original, args, kwargs)`.

    The classes, not the metrics: those are the user's, and other threads may update them meanwhile.
    """
    waiting: list[type] = [keras.metrics.Metric]
    seen: set[type] = set()
    while waiting:
        cls = waiting.pop()
        if cls not in seen:
            seen.add(cls)
            waiting += cls.__subclasses__()
            if "update_state" in vars(cls):
                yield cls, "update_state", _update


def refusal(session: Session, what: str, hint: str) -> StateUpdateError:
    """The error for what `call` does with a metric besides updating it."""
    why = (
        "a prepared model updates metrics of Keras, whose state `fit` resets, and does nothing else with them"
    )
    return StateUpdateError(describe(what, where=session.locate(source_line()), why=why, hint=hint))


def _update(session: Session, original: Any, args: Any, kwargs: Any) -> Any:
    metric, *args = args
    if not any(x is metric for x in internals.metrics_of_layers(session.root)):
        return original(metric, *args, **kwargs)
    if not _is_of_keras(metric):
        what = f"A metric of the class {type(metric).__name__} is updated inside `call`: '{metric.name}'."
        raise refusal(session, what, session.keep_hint())
    tensors = [x for x in leaves_of((args, kwargs)) if isinstance(x, TracedTensor)]
    masks = {x.value: session.mask_value(x) for x in tensors}
    args, kwargs = map_leaves(session.value_of, (tuple(args), kwargs))
    call = MetricCall(metric, args, kwargs, masks, session.frame.path, source_line())
    session.effects.metric_calls.append(call)
    return None


def _is_of_keras(metric: Any) -> bool:
    """Whether a process without the user's code can make such a metric."""
    wraps_a_function = type(metric) is keras.metrics.MeanMetricWrapper
    return internals.module_of(type(metric)).startswith("keras.") and not wraps_a_function

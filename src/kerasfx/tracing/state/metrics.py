"""Metrics that `call` updates: each update becomes a node, tied to an output."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from kerasfx.ir import (
    leaves_of,
    map_leaves,
)
from kerasfx.keras_api import internals
from kerasfx.passes.legalize.tie_to_outputs import MetricCall
from kerasfx.tracing.recorder import Args, Function, Kwargs
from kerasfx.tracing.session import Session
from kerasfx.tracing.state.variables import refused_metric
from kerasfx.tracing.tensor import TracedTensor, mask_value
from kerasfx.tracing.where import source_line


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


def _update(session: Session, original: Function, args: Args, kwargs: Kwargs) -> Any:
    metric, *given = args
    # A metric of something else is none of the model's, and updated for real.
    if not any(x is metric for x in internals.metrics_of_layers(session.root)):
        return original(metric, *given, **kwargs)
    if not _is_of_keras(metric):
        what = f"A metric of the class {type(metric).__name__} is updated inside `call`: '{metric.name}'."
        raise refused_metric(session, what)
    tensors = [x for x in leaves_of((given, kwargs)) if isinstance(x, TracedTensor)]
    masks = {x.value: mask_value(x) for x in tensors}
    values, by_name = map_leaves(session.value_of, (tuple(given), kwargs))
    call = MetricCall(metric, values, by_name, masks, session.frame.path, source_line())
    session.effects.metric_calls.append(call)
    return None


def _is_of_keras(metric: keras.Metric) -> bool:
    """Whether a process without the user's code can make such a metric."""
    # It holds a function, which may be the user's.
    wraps_a_function = type(metric) is keras.metrics.MeanMetricWrapper
    return internals.module_of(type(metric)).startswith("keras.") and not wraps_a_function

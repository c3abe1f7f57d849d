"""Put what `call` does besides returning results on the way to an output.

A Functional model runs nothing that no output depends on. So an output passes through one node after the
other that assigns a variable, updates a metric or adds losses, and that gives the output back as it is. The
trace writes down what there is to do: `graph.meta[StateChanges]`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import keras

from kerasfx.ir import (
    FOLLOWS,
    Assignment,
    Graph,
    LayerSpec,
    MetricUpdate,
    Node,
    SourceLine,
    Training,
    Value,
    identifier,
    map_values,
    values_in,
)
from kerasfx.ir.build import give_result_like

ADD_LOSS = "kerasfx.layers.AddLoss"


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

    metric: keras.Metric
    args: tuple[object, ...]
    kwargs: dict[str, object]
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
        """The node that makes this call and gives `x` back, still without a result."""
        target = MetricUpdate(self.metric, self.when)
        name = f"{identifier(self.path)}_{self.metric.name}" if self.path else self.metric.name
        node = Node(name, target, (x, *self.args), self.kwargs, self.path, self.source)
        node.implicit_masks = dict(self.masks)
        node.training = self.training
        return node


@dataclass(frozen=True)
class StateChanges:
    """What is done in each call of the model, and no output depends on.

    Attributes:
        assigned: Variable (its id) -> the Value that it is assigned.
        losses: The losses that are added.
        metric_calls: The updates of metrics.
    """

    assigned: Mapping[int, Value] = field(default_factory=dict)
    losses: tuple[AddedLoss, ...] = ()
    metric_calls: tuple[MetricCall, ...] = ()


def tie_to_outputs(graph: Graph) -> bool:
    """Let the first output wait for the changes of state that are noted; returns whether there are any."""
    changes = graph.meta.get(StateChanges)
    output = next(iter(values_in(graph.outputs)), None)
    if changes is None or output is None:
        return False
    # So that they are tied once, whoever runs the pass again.
    del graph.meta[StateChanges]
    tied = output
    for making in _nodes(graph, changes):
        node = making(tied)
        node.name = graph.unique_name(identifier(node.name))
        tied = give_result_like(node, tied)
        # The nodes carry no mask on: the one of the output is given to the last of them, as to any output.
        tied.mask = None
        graph.append(node)
    if tied is not output:
        graph.replace_output(output, tied)
    return tied is not output


def _nodes(graph: Graph, changes: StateChanges) -> Iterator[Callable[[Value], Node]]:
    """For each change what makes the node that brings it about and gives its argument back."""
    parameters = {id(value.variable): value for value in graph.parameters}
    for key, new_value in changes.assigned.items():
        yield partial(_assigning, parameters[key], new_value)
    for call in changes.metric_calls:
        yield call.node
    for training, losses in _by_training(changes.losses).items():
        yield partial(_adding, losses, training)


def _assigning(parameter: Value, new_value: Value, x: Value) -> Node:
    target = Assignment(parameter.variable)
    return Node(f"{parameter.name}_update", target, (x, new_value, parameter), {})


def _adding(losses: list[AddedLoss], training: Training, x: Value) -> Node:
    target = LayerSpec(ADD_LOSS, {"when": [loss.when for loss in losses]})
    node = Node("add_loss", target, ([x, *(loss.value for loss in losses)],), {})
    node.training = training
    return node


def _by_training(losses: tuple[AddedLoss, ...]) -> dict[Training, list[AddedLoss]]:
    """The losses, by which `training` says whether they are added; those of both modes go with any."""
    rules = dict.fromkeys(x.training for x in losses if x.when is not None)
    # A call that adds losses of one mode can add those of both, so one layer less is needed.
    first = next(iter(rules), FOLLOWS)
    found: dict[Training, list[AddedLoss]] = {}
    for x in losses:
        found.setdefault(first if x.when is None else x.training, []).append(x)
    return found

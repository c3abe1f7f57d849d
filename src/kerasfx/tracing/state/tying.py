"""What `call` does besides returning results is put on the way to an output."""

from __future__ import annotations

from typing import Any

from kerasfx.ir import FOLLOWS, Assignment, Graph, LayerSpec, Node, Training, Value, map_leaves, values_in
from kerasfx.ir.build import specs_like
from kerasfx.tracing.recorder import Recorder
from kerasfx.tracing.state.effects import ADD_LOSS, AddedLoss


def tie_to_outputs(session: Recorder) -> None:
    """Put assignments and losses on the way to an output: a Functional model runs nothing else."""
    graph, effects = session.graph, session.effects
    output = next(iter(values_in(graph.outputs)), None)
    if output is None:
        return
    tied = output
    parameters = {id(v.variable): v for v in graph.parameters}
    for key, new_value in effects.assigned.items():
        parameter = parameters[key]
        target = Assignment(parameter.variable)
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


def _finished(session: Recorder, node: Node, like: Value) -> Value:
    result: Any = session.finish(node, specs_like(like))
    return result.value

"""What no output depends on and acts all the same: it waits on the way to an output, or it would be lost.

Keras counts the regularizers of every trained weight that a model has, also of layers whose result is
unused or that `call` never calls. A call with an unused result adds its losses, and moves statistics and
seeds, which a later call or a method of the class may use. So does one that is made in a mode which does not
use its result, of two sides of an `if training:`, of which the result runs one.
"""

from __future__ import annotations

from typing import Any

import keras

from kerasfx.ir import (
    FOLLOWS,
    Graph,
    LayerSpec,
    MetricUpdate,
    Node,
    Training,
    Value,
    values_in,
)
from kerasfx.ir.build import give_result_like
from kerasfx.keras_api import internals
from kerasfx.passes.legalize.tie_to_outputs import ADD_LOSS
from kerasfx.reporting import Finding
from kerasfx.runtime import modes
from kerasfx.runtime.functions.backend_functions import draws
from kerasfx.tracing.session import Session
from kerasfx.tracing.state.effects import AFTER, SELECT
from kerasfx.tracing.state.losses import adds_losses
from kerasfx.tracing.state.variables import parameter_value


def tie_unused(session: Session) -> None:
    """Let an output wait for the calls and the weights that count without one; the report says which."""
    graph = session.graph
    # Any one will do: a Functional model computes them all.
    output = next(iter(values_in(graph.outputs)), None)
    if output is None:
        return
    calls = _acting(graph)
    session.findings.extend(_about_call(n) for n in calls if (n.layer is not None or n.spec))
    calls += _acting_in_vain(graph)
    # By mode: one `After` for all would run each of them in both.
    groups: dict[tuple[bool | None, Training], list[Value]] = {}
    for node in calls:
        groups.setdefault(node.only_in or (None, FOLLOWS), []).append(node.results[0])
    waited_for = [v for values in groups.values() for v in values]
    lost = [_regularized(session, v) for v in _lost_weights(session, waited_for)]
    if lost:
        groups.setdefault((None, FOLLOWS), []).extend(lost)
    tied = output
    for (mode, training), values in groups.items():
        tied = _waiting(session, tied, values, mode, training)
    if tied is not output:
        graph.replace_output(output, tied)


def _waiting(session: Session, x: Value, values: list[Value], mode: bool | None, training: Training) -> Value:
    """`x`, once `values` are computed, which they are in `mode` alone, if any."""
    config = {} if mode is None else {"when": [mode] * len(values)}
    node = Node("counted", LayerSpec(AFTER, config), ([x, *values],), {})
    node.name = session.graph.unique_name(node.name)
    node.training = training
    if mode is not None:
        # The layer whose code chooses.
        node.path = values[0].node.path.rpartition(".")[0] if values[0].node else ""
    # The very sizes of `x`, whatever can be told of them by the other values.
    tied = give_result_like(node, x)
    session.graph.append(node)
    return tied


def regularizers_that_count(layer: keras.Layer, is_tracked: bool) -> dict[str, Any]:
    """The regularizers of a layer kept whole, by name in its config, where Keras counts others than it says.

    Keras counts those that the variables have, if the layer is tracked. One that is set later on a layer
    that is built is in its config all the same, and one that is set on a variable is not.
    """
    expected = {f"{v.name}_regularizer": v.regularizer for v in internals.own_state(layer)}
    if not is_tracked:
        expected = {**dict.fromkeys(expected), "activity_regularizer": None}
    said = {key: getattr(layer, key) for key in expected if hasattr(layer, key)}
    return {key: expected[key] for key in said if said[key] is not expected[key]}


def counted_alone(graph: Graph) -> dict[int, Value]:
    """The parameters that no output depends on, by the id of their variable."""
    found = {id(v.variable): v for v in graph.parameters}
    return {key: v for key, v in found.items() if all(_only_waits(node, v) for node in v.users)}


def _only_waits(node: Node, value: Value) -> bool:
    return node.calls(AFTER) and node.args[0][0] is not value


def _acting(graph: Graph) -> list[Node]:
    """The calls that no output needs, and that do more than to return a result."""
    needed = graph.needed()
    return [n for n in graph.nodes if n.results and needed.isdisjoint(n.results) and _acts(n)]


def _acting_in_vain(graph: Graph) -> list[Node]:
    """The calls that do more than to return a result, which a mode that makes them does not use."""
    every = graph.needed()
    needed = {training: _needed_in(graph, training) for training in (False, True)}

    def is_in_vain(node: Node) -> bool:
        made_in = needed if node.only_in is None else node.only_in[:1]
        return any(needed[mode].isdisjoint(node.results) for mode in made_in)

    return [n for n in graph.nodes if not every.isdisjoint(n.results) and is_in_vain(n) and _acts(n)]


def _needed_in(graph: Graph, training: bool) -> set[Value]:
    return graph.needed(takes=lambda node: _taken_in(node, training))


def _taken_in(node: Node, training: bool) -> list[Value]:
    """The inputs that `node` needs in one mode: of its tensors those that the model will run for it then."""
    if isinstance(node.target, MetricUpdate):
        kind, when = modes.METRIC, node.target.when
        tensors = [node.args[0], *values_in((node.args[1:], node.kwargs))]
    elif node.calls(SELECT, ADD_LOSS, AFTER) and node.spec:
        kind, when = node.spec.class_name.rpartition(".")[2], node.spec.config.get("when")
        tensors = list(node.args[0])
    else:
        return list(node.inputs)
    needed = {tensors[i] for i in modes.needed_at(kind, len(tensors), when, training)}
    # What is among the inputs without being one of the tensors comes along in both modes.
    return [v for v in node.inputs if v in needed or v not in tensors]


def _acts(node: Node) -> bool:
    return _counts(node) or _moves_state(node)


def _counts(node: Node) -> bool:
    """Whether the call of `node` adds a loss, or its layer has a weight that is one."""
    return adds_losses(node) or (node.layer is not None and any(v.regularizer for v in node.variables))


def _moves_state(node: Node) -> bool:
    """Whether the call of `node` draws, or its layer has statistics or draws."""
    if node.layer is None:
        return node.draws_seed or (node.function is not None and draws(node.function))
    layers = internals.all_layers(node.layer)
    return any(internals.seeds(x) or internals.state_but_seeds(x) for x in layers)


def _lost_weights(session: Session, waited_for: list[Value]) -> list[Any]:
    """The variables with a regularizer that the graph has nowhere."""
    graph = session.graph
    # No output needs these calls yet, but one is about to wait for them, with the weights that they have.
    needed = graph.needed(waited_for)
    present = {id(v.variable) for v in graph.parameters if v in needed}
    for node in graph.nodes:
        if node.layer is not None and not needed.isdisjoint(node.results):
            present.update(map(id, node.variables))
    return [v for v in session.root.variables if v.regularizer is not None and id(v) not in present]


def _regularized(session: Session, variable: keras.Variable) -> Value:
    what = "no output depends on it; the result has it, because its regularizer is a loss"
    session.findings.append(Finding("unused", session.paths.of_variable(variable), what))
    return parameter_value(session, variable)


def _about_call(node: Node) -> Finding:
    kind = type(node.layer).__name__ if node.layer is not None else "the layer"
    reason = "losses" if _counts(node) else "state"
    what = f"no output depends on this call of {kind}; the result makes it, for the {reason}"
    return Finding("unused", node.path, what, node.source)

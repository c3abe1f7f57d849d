"""Trace: run the user's `call` methods once on symbolic tensors and write down what they do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kerasfx import keras_internals as internals
from kerasfx.errors import UnsupportedOperationError, describe
from kerasfx.inputs import CallSpec, InputSpec, call_spec
from kerasfx.ir import Graph, SeedDraw, map_leaves
from kerasfx.trace.effects import tie_to_outputs
from kerasfx.trace.leaves import LeafPolicy, Selector
from kerasfx.trace.patches import installed
from kerasfx.trace.session import Session

BATCH_HINTS = (5, 7)
"""Example sizes of a free first dimension."""


def trace(
    model: Any,
    input_layer: Any = None,
    *,
    leaves: Sequence[Selector] = (),
    opened: Sequence[Selector] = (),
) -> Graph:
    """Trace `model` into a graph and leave it as it was (an unbuilt model gets built).

    Args:
        model: A Keras model or layer.
        input_layer: What it is called with, as for `prepare_model`.
        leaves: Layers that stay whole: classes, patterns of paths, predicates.
        opened: Layers that are opened although they are built-in.

    Returns:
        A checked graph; `print(graph)` shows it.

    Raises:
        InputRequiredError: The inputs are not known.
        TraceError: The model itself does something that a graph cannot represent.
    """
    spec = call_spec(model, input_layer)
    return run_trace(model, spec, LeafPolicy(tuple(leaves), tuple(opened))).graph


def run_trace(model: Any, spec: CallSpec, policy: LeafPolicy) -> Session:
    """Trace `model`, called as `spec` says.

    Returns:
        The session: its graph, what was opened, what was found.
    """
    while True:
        session = _trace_once(model, spec, policy)
        clashes = shared_with_leaves(session.graph)
        if not clashes:
            return session
        _open_instead(session, clashes)


def _open_instead(session: Session, layers: list[Any]) -> None:
    """Open leaves whose weights are used elsewhere, too: a weight has one place in the result."""
    for layer in layers:
        path = session.paths.of_layer(layer, "")
        if id(layer) in session.policy.forced_open or session.policy.is_kept(layer, path):
            raise UnsupportedOperationError(
                describe(
                    f"A weight of {type(layer).__name__}, which stays whole, is also used elsewhere.",
                    where=path,
                    why="a weight has one place in the prepared model",
                    hint="let the layer be opened, or keep an enclosing layer whole",
                )
            )
        session.policy.forced_open.add(id(layer))


def shared_with_leaves(graph: Graph) -> list[Any]:
    """The layers of a graph with a weight that an op or another layer uses as well."""
    owner: dict[int, Any] = {id(v.producer.variable): None for v in graph.parameters}  # pyright: ignore
    owner |= {id(n.target.generator.state): None for n in graph.nodes if isinstance(n.target, SeedDraw)}
    clashes: list[Any] = []
    for layer in graph.called_layers():
        for variable in layer.variables:
            other = owner.setdefault(id(variable), layer)
            if other is not layer:
                clashes += [x for x in (layer, other) if x is not None]
    return list({id(x): x for x in clashes}.values())


def _trace_once(model: Any, spec: CallSpec, policy: LeafPolicy) -> Session:
    session = Session(model, policy)
    session.findings.extend(spec.findings)
    with (
        installed(),
        internals.fresh_names(),
        internals.calls_forgotten(lambda: internals.all_layers(model)),
        session.recording(),
        internals.call_context(session.training),
    ):
        _run(session, model, spec)
    session.graph.prune()
    session.graph.check()
    return session


def _run(session: Session, model: Any, spec: CallSpec) -> None:
    made: dict[int, Any] = {}

    def make(x: Any) -> Any:
        if not isinstance(x, InputSpec):
            return x
        if id(x) not in made:
            made[id(x)] = session.input_tensor(x.name, x.shape, x.dtype, _hints(x.shape))
        return made[id(x)]

    struct = map_leaves(make, spec.struct)
    args, kwargs = map_leaves(make, (spec.args, spec.kwargs))
    session.graph.inputs = map_leaves(lambda t: t.value, struct)
    outputs = model(*args, **kwargs)
    session.graph.outputs = map_leaves(session.value_of, outputs)
    session.graph.output_masks = session.masks_of(outputs)
    tie_to_outputs(session)


def _hints(shape: tuple[int | None, ...]) -> list[tuple[int, int]]:
    """Example sizes by axis: multiples of 32, which windows and strides divide."""
    return [BATCH_HINTS, *((32 * (k + 2), 32 * (2 * k + 5)) for k in range(1, len(shape)))]

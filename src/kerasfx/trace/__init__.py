"""Trace: run the user's `call` methods once on symbolic tensors and write down what they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kerasfx import keras_internals as internals
from kerasfx.errors import InputMismatchError, UnsupportedOperationError, describe
from kerasfx.inputs import CallSpec, InputSpec, call_spec
from kerasfx.ir import Graph, SeedDraw, map_leaves
from kerasfx.passes.keep_call_order import keep_call_order
from kerasfx.trace.effects import tie_to_outputs
from kerasfx.trace.guards import check_early
from kerasfx.trace.leaves import LeafPolicy, Selector
from kerasfx.trace.patches import installed
from kerasfx.trace.session import Session

BATCH_HINTS = (5, 7)
"""Example sizes of a free first dimension."""

Hints = Mapping[str, Sequence[int]]
"""Example sizes by input name."""


def trace(
    model: Any,
    input_layer: Any = None,
    *,
    leaves: Sequence[Selector] = (),
    opened: Sequence[Selector] = (),
    hints: Hints | None = None,
) -> Graph:
    """Trace `model` into a graph and leave it as it was (an unbuilt model gets built).

    Args:
        model: A Keras model or layer.
        input_layer: What it is called with, as for `prepare_model`.
        leaves: Layers that stay whole: classes, patterns of paths, predicates.
        opened: Layers that are opened although they are built-in.
        hints: Example sizes by input name, `{"tokens": (2, 128)}`, for Python code that asks about free
            sizes.

    Returns:
        A checked graph; `print(graph)` shows it.

    Raises:
        InputRequiredError: The inputs are not known.
        TraceError: The model itself does something that a graph cannot represent.
    """
    spec = call_spec(model, input_layer)
    return run_trace(model, spec, LeafPolicy(tuple(leaves), tuple(opened)), hints).graph


def run_trace(model: Any, spec: CallSpec, policy: LeafPolicy, hints: Hints | None = None) -> Session:
    """Trace `model`, called as `spec` says, with `hints` as example sizes.

    Returns:
        The session: its graph, what was opened, what was found.
    """
    while True:
        session = _trace_once(model, spec, policy, hints or {})
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


def _trace_once(model: Any, spec: CallSpec, policy: LeafPolicy, hints: Hints) -> Session:
    session = Session(model, policy, hints)
    session.findings.extend(spec.findings)
    with (
        installed(),
        internals.fresh_names(),
        internals.calls_forgotten(lambda: internals.all_layers(model)),
        session.recording(),
        internals.call_context(session.training),
    ):
        _run(session, model, spec, hints)
    check_early(session.graph, session.effects.guards)
    session.findings.extend(dict.fromkeys(guard.finding for guard in session.effects.guards))
    session.graph.prune()
    keep_call_order(session.graph)
    session.graph.check()
    return session


def _run(session: Session, model: Any, spec: CallSpec, hints: Hints) -> None:
    made: dict[int, Any] = {}

    def make(x: Any) -> Any:
        if not isinstance(x, InputSpec):
            return x
        if id(x) not in made:
            made[id(x)] = session.input_tensor(x.name, x.shape, x.dtype, _hints(x, hints))
        return made[id(x)]

    struct = map_leaves(make, spec.struct)
    args, kwargs = map_leaves(make, (spec.args, spec.kwargs))
    session.graph.inputs = map_leaves(lambda t: t.value, struct)
    outputs = model(*args, **kwargs)
    session.graph.outputs = map_leaves(session.value_of, outputs)
    session.graph.output_masks = session.masks_of(outputs)
    tie_to_outputs(session)


def _hints(spec: InputSpec, given: Hints) -> list[tuple[int, int]]:
    """A pair of example sizes for each axis; by default multiples of 32, which windows and strides divide."""
    if spec.name not in given:
        rank = len(spec.shape)
        return [BATCH_HINTS, *((32 * (k + 2), 32 * (2 * k + 4)) for k in range(1, rank))]
    sizes = given[spec.name]
    if len(sizes) != len(spec.shape):
        raise InputMismatchError(
            describe(f"hints for '{spec.name}' have {len(sizes)} sizes, its shape is {spec.shape}.")
        )
    # Twice the size keeps what divides it; a batch is seldom divided.
    return [(n, n + 2 if k == 0 else 2 * n) for k, n in enumerate(sizes)]

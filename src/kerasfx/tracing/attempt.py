"""One attempt: the model is traced with certain example sizes until every weight has one place."""

from __future__ import annotations

from dataclasses import dataclass, replace

import keras

from kerasfx.errors import UnsupportedOperationError, describe
from kerasfx.inputs import CallSpec
from kerasfx.ir import Graph
from kerasfx.keras_api import internals
from kerasfx.passes.legalize.keep_call_order import keep_call_order
from kerasfx.passes.legalize.tie_to_outputs import StateChanges, tie_to_outputs
from kerasfx.progress import begins
from kerasfx.reporting import Finding
from kerasfx.runtime import modes
from kerasfx.tracing.layers import casting, reading
from kerasfx.tracing.layers.calls import says_training
from kerasfx.tracing.layers.policy import WholePolicy
from kerasfx.tracing.model_inputs import arguments_of_call
from kerasfx.tracing.model_outputs import masks_of, output_values
from kerasfx.tracing.other_calls import require_batch_of_states
from kerasfx.tracing.patches import installed
from kerasfx.tracing.session import Session
from kerasfx.tracing.sizes.examples import Clashes, ExampleSizes, Hints
from kerasfx.tracing.sizes.guards import check_early
from kerasfx.tracing.sizes.known import seeming_size
from kerasfx.tracing.state.leftovers import attributes_put_back
from kerasfx.tracing.state.unused import tie_unused


@dataclass(frozen=True)
class Request:
    """What is to be traced.

    Attributes:
        model: The model or layer.
        call: How it is called.
        policy: Which layers stay whole.
        hints: Example sizes that the user gave.
        mode: A mode, or both.
    """

    model: keras.Layer
    call: CallSpec
    policy: WholePolicy
    hints: Hints
    mode: str

    def called(self, other: CallSpec) -> Request:
        """The same for another call."""
        return replace(self, call=other)


def trace_with(request: Request, sizes: ExampleSizes, clashes: Clashes) -> Session:
    """Trace with the example sizes given, and again with other layers opened where weights are shared."""
    # What could not be opened with other sizes may be with these.
    policy = request.policy.afresh()
    while True:
        kept_before = set(policy.kept)
        session = _trace_once(request, policy, sizes, clashes)
        shared = _sharing_weights(session.graph)
        if not shared:
            session.graph.check()
            return session
        if not any(id(x) in policy.kept and id(x) not in kept_before for x in shared):
            _open_instead(session, shared)
        # Otherwise a layer was opened for one call and kept whole for a later one: now it is kept for all.


def _open_instead(session: Session, layers: list[keras.Layer]) -> None:
    """Open layers kept whole whose weights are used elsewhere: a weight has one place in the result."""
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


def _sharing_weights(graph: Graph) -> list[keras.Layer]:
    """The layers of a graph with a weight that an op or another layer uses as well."""
    # None is an op: it cannot be opened any further, the layer that shares its weight can.
    owner: dict[int, keras.Layer | None] = {id(v.variable): None for v in graph.parameters}
    owner |= {id(v): None for node in graph.nodes if node.draws_seed for v in node.variables}
    clashes: list[keras.Layer] = []
    for layer in graph.called_layers():
        for variable in layer.variables:
            other = owner.setdefault(id(variable), layer)
            if other is not layer:
                clashes += [x for x in (layer, other) if x is not None]
    return list({id(x): x for x in clashes}.values())


def _trace_once(request: Request, policy: WholePolicy, sizes: ExampleSizes, clashes: Clashes) -> Session:
    model = request.model
    begins("trace", "layers", len(internals.all_layers(model)))
    session = Session(model, policy, sizes.hints, clashes, request.mode)
    session.call_spec = request.call
    if request.mode != modes.BOTH:
        session.findings.append(_one_mode_alone(request.mode))
    session.findings.extend(request.call.findings)
    with (
        installed(),
        internals.fresh_names(),
        internals.calls_forgotten(lambda: internals.all_layers(model)),
        attributes_put_back(model) as session.attributes_before,
        session.recording(),
        session.dialect.context(session),
        internals.call_context(session.decisions.training),
    ):
        _call_model(session, request.call, sizes)
        # Still inside: layers are asked for shapes, and what that leaves in them is put back with the rest.
        session.seeming_size = seeming_size(session)
    _finish_graph(session)
    return session


def _one_mode_alone(mode: str) -> Finding:
    other = modes.TRAINING if mode == modes.INFERENCE else modes.INFERENCE
    what = f"the result is for {mode} alone: it refuses to be called for {other}"
    return Finding("fixed", "", what, hint='for both: mode="both"')


def _call_model(session: Session, call: CallSpec, sizes: ExampleSizes) -> None:
    model, graph = session.root, session.graph
    args, kwargs = arguments_of_call(session, call, sizes)
    # A `training` without a default has to be given, and by the caller of the result it will be.
    if internals.requires_training(model) and not says_training(model, args, kwargs):
        kwargs = {**kwargs, "training": session.decisions.training}
    outputs = model(*args, **kwargs)
    graph.outputs, graph.output_masks = output_values(session, outputs), masks_of(outputs)
    graph.meta[StateChanges] = session.effects.to_be_tied()
    tie_to_outputs(graph)
    tie_unused(session)


def _finish_graph(session: Session) -> None:
    graph = session.graph
    check_early(graph, session.effects.guards)
    session.findings.extend(dict.fromkeys(guard.finding for guard in session.effects.guards))
    session.findings.extend(reading.findings(session.read, session.opened))
    # Before the next checks: they are about what the result has.
    graph.prune()
    session.findings.extend(casting.findings(graph, session.root))
    require_batch_of_states(graph)
    _note_fit(graph, session.root)
    keep_call_order(graph)


def _note_fit(graph: Graph, model: keras.Layer) -> None:
    """Write down whether `fit` passes `training` to `model`; there is no fitting of a mere layer."""
    is_model = isinstance(model, keras.Model)
    graph.takes_training = internals.takes_training(model) or not is_model
    for node in graph.nodes if not is_model else ():
        node.training = replace(node.training, from_context=False)

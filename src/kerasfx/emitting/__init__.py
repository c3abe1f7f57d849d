"""Graph -> Functional: `emit`, and the walk, the layers and their weights beneath it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import keras

from kerasfx.emitting.portable.walk import PortableWalk
from kerasfx.emitting.walk import Walk
from kerasfx.emitting.weights import require_shareable
from kerasfx.errors import describe
from kerasfx.handover import training_in_fit as fit
from kerasfx.handover.left_out import dropped_methods, warn_when_used
from kerasfx.handover.linking import link
from kerasfx.handover.placement import made_for
from kerasfx.inputs import public, require_one_of
from kerasfx.ir import Graph, shown
from kerasfx.keras_api import foreign, internals
from kerasfx.keras_api.initial_values import followed
from kerasfx.keras_api.making_layers import quickly
from kerasfx.keras_api.random_state import random_state_kept
from kerasfx.runtime import modes
from kerasfx.tracing.patches import installed
from kerasfx.tracing.traced import Origin, Traced


@public
def emit(
    traced: Traced | Graph,
    *,
    weights: str = "copy",
    name: str | None = None,
    training_in_fit: str = fit.AS_ORIGINAL,
) -> keras.Model:
    """Make the Functional model that a graph describes.

    Args:
        traced: What `kerasfx.trace` returned, or its graph alone, edited or not. The model knows the original
            that it was traced from: `compare`, `report` and `copy_weights` take it as they take the result of
            `prepare_model`. A graph that was made by hand has no original.
        weights: `"copy"` for an independent model, `"share"` for one made of the original's layer
            objects and variables, without copying a byte.
        name: Name of the model; `<name of the original>_prepared` by default, with its mode if it has one.
        training_in_fit: `"as_original"` for a model whose `fit` leaves in inference mode what that of the
            original does, `"always"` for one whose `fit` trains every layer.

    Returns:
        A Functional model.

    Raises:
        TypeError: `traced` is neither.
        GraphError: The graph breaks an invariant, or a layer of a pass cannot keep what its weights have in
            the original: being trained or not, a regularizer, a constraint.
        NotCopyableError: A layer that is kept whole cannot be made again from its config.
        ValueError: `weights` or `training_in_fit` is none of these, or weights are to be shared of which a
            pass computes some.
    """
    _require_graph(traced)
    graph = traced.graph if isinstance(traced, Traced) else traced
    model = make_model(graph, weights, name, training_in_fit)
    # A graph that was made by hand has none.
    origin = graph.meta.get(Origin)
    if origin is not None:
        dropped = dropped_methods(origin.model)
        link(model, graph, origin, training_in_fit, dropped)
        if dropped:
            warn_when_used(origin.model, model)
    return model


def _require_graph(traced: object) -> None:
    if isinstance(traced, (Traced, Graph)):
        return
    hint = "kerasfx.emit(kerasfx.trace(model, x))"
    if isinstance(traced, internals.Layer):
        hint += ", or kerasfx.prepare_model(model, x), which does both"
    what = f"emit takes what kerasfx.trace returns, or a Graph, not {shown(traced)}"
    raise TypeError(describe(f"{what} of type {type(traced).__name__}.", hint=hint))


def make_model(
    graph: Graph,
    weights: str,
    name: str | None = None,
    training_in_fit: str = fit.AS_ORIGINAL,
    portable: bool = False,
) -> keras.Model:
    """Make a model as `emit` does, and leave to the caller what it should know of its original."""
    require_one_of(weights=(weights, ("copy", "share")), training_in_fit=(training_in_fit, fit.CHOICES))
    graph.check()
    # Before any layer is made.
    if weights == "share":
        require_shareable([v for node in graph.nodes for v in node.inputs])
    with (
        internals.fresh_names(),
        internals.no_call_context(),
        internals.calls_forgotten(
            lambda: [x for layer in graph.called_layers() for x in internals.all_layers(layer)]
        ),
        random_state_kept(),
        made_for(_variables_of(graph)),
        followed(),
        quickly(),
        installed() if _will_record(graph) else nullcontext(),
    ):
        walk = (PortableWalk if portable else Walk)(graph, weights == "share", training_in_fit)
        suffix = "" if graph.mode == modes.BOTH else f"_{graph.mode}"
        return walk.run(name or f"{graph.name}_prepared{suffix}")


def _variables_of(graph: Graph) -> Iterator[keras.Variable]:
    yield from (p.producer.variable for p in graph.parameters)  # pyright: ignore
    yield from (v for layer in graph.called_layers() for v in layer.variables)


def _will_record(graph: Graph) -> bool:
    """Whether regularizers or constraints will be traced: it takes time to put the patches on for each."""
    given = [getattr(v, kind) for v in _variables_of(graph) for kind in ("regularizer", "constraint")]
    return any(not foreign.is_of_keras(x, "regularizer") for x in given)

"""Where `fit` does not do what a call with `training=True` does.

It leaves layers in inference: `training` does not reach every layer that wants it.
Keras calls a subclassed model whose `call` has no `training` argument without it, so that a Dropout
inside never drops in `fit`, although it does in `model(x, training=True)`. On JAX, `fit` runs the model's
`call` outside of Keras's call context (`Layer.stateless_call`), so that only those layers train to which
`call` hands `training` on. A plain Functional model trains all of its layers.

It forgets losses, on JAX: outside of a call context each layer clears, when it is called, the losses that it
and the layers inside added before. The result adds them all, as the other backends do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

import keras

from kerasfx.ir import Graph, MetricUpdate, Node
from kerasfx.keras_api import internals
from kerasfx.keras_api.builtins import (
    builtin_class,
)
from kerasfx.reporting import Finding
from kerasfx.tracing.control.branches import depends_on_mode
from kerasfx.tracing.layers.frames import ModelCall
from kerasfx.tracing.state.losses import adds_inside, adds_losses

CHOICES = AS_ORIGINAL, ALWAYS = "as_original", "always"

RATES = ("rate", "stddev", "dropout", "_dropout", "recurrent_dropout")
"""What a built-in layer calls the strength of its noise."""

SHOWN = 3


def not_trained_by_fit(graph: Graph) -> list[Node]:
    """The nodes that act in training, and that `fit` of the original leaves in inference."""
    # There `fit` runs `Layer.__call__`, whose context tells every layer below.
    if graph.takes_training and keras.backend.backend() != "jax":
        return []
    return [node for node in graph.nodes if node.training.from_context and _acts(node)]


def reached_by_context_alone(graph: Graph) -> list[Any]:
    """The layers kept whole whose `call` has no `training`, and hides layers that want it.

    A Functional model passes them nothing, so that on JAX `fit` would leave them in inference.
    """
    layers = [n.layer for n in graph.nodes if n.layer is not None and not n.training.from_context]
    return [x for x in layers if not internals.takes_training(x) and acts_in_training(x)]


def trains_when_bare(graph: Graph) -> bool:
    """Whether something may train in a bare call of the model."""
    return any(_trains_when_bare(node) for node in graph.nodes)


def _trains_when_bare(node: Node) -> bool:
    if node.training.bare or node.training.fixed or node.kwargs.get("training"):
        return True
    layers = internals.all_layers(node.layer) if node.layer is not None else []
    return any(map(internals.trains_by_default, layers))


def needs_rule(node: Node) -> bool:
    """Whether its call fixes `training`, or does what one side of `if training:` asks for."""
    is_fixed = node.layer is not None and "training" in node.kwargs
    return is_fixed or bool(node.training.fixed is not None or node.only_in or depends_on_mode(node))


def hides(node: Node) -> bool:
    """Whether it calls a layer whose `call` has no `training`, around layers that want it."""
    if node.layer is None or internals.takes_training(node.layer):
        return False
    return acts_in_training(node.layer)


def acts_in_training(layer: keras.layers.Layer) -> bool:
    """Whether `layer` may do something else in training: it draws, updates its state, or is custom."""
    return any(map(_acts_itself, internals.all_layers(layer)))


def would_forget_losses(graph: Graph) -> bool:
    """Whether several calls add losses, of which Keras's own Functional model may forget some on JAX."""
    return sum(map(adds_losses, graph.nodes)) > 1


def finding(graph: Graph, training_in_fit: str, root: keras.layers.Layer) -> Finding | None:
    """What the user should know about `fit`, or None."""
    nodes = [node for node in not_trained_by_fit(graph) if not _trains_by_default(node)]
    if not nodes:
        return None
    names = list(dict.fromkeys(node.path or node.name for node in nodes))
    shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    why = "hands no `training` on to it" if graph.takes_training else "takes no `training`"
    same = (
        "so does that of the result" if training_in_fit == AS_ORIGINAL else "that of the result trains them"
    )
    call = f"{type(root).__name__}.call"
    what = f"`fit` of the original leaves {shown} in inference mode, because {call} {why}; {same}"
    line = "def call(self, ..., training=None), and layer(x, training=training) for each of them"
    other = ALWAYS if training_in_fit == AS_ORIGINAL else AS_ORIGINAL
    wish = "train them as they are" if other == ALWAYS else "do as the original does"
    source = next((node.source for node in nodes if node.source), None)
    return Finding("warning", "", what, source, f'{line}; to {wish}: training_in_fit="{other}"')


def hidden_metrics(graph: Graph, root: keras.layers.Layer) -> Finding | None:
    """What the user should know about metrics that `fit` of the original does not show, or None.

    Keras shows none of a model inside of the model that is trained; the result has no model inside.
    """
    if not isinstance(root, keras.Model):
        return None
    shown = {id(metric) for metric in root.metrics}
    updates = [(n, n.target.metric) for n in graph.nodes if isinstance(n.target, MetricUpdate)]
    hidden = [(node, metric) for node, metric in updates if id(metric) not in shown]
    if not hidden:
        return None
    names = ", ".join(dict.fromkeys(metric.name for _, metric in hidden))
    does = "shows it"
    if keras.backend.backend() == "jax":
        does = "raises, since Keras on JAX updates no metric of `call` in `fit`"
    what = (
        f"`fit` of the original does not show the metric {names}, which a model inside of it updates; "
        f"that of the result {does}"
    )
    node = hidden[0][0]
    return Finding("warning", "", what, node.source, f'keep the model inside whole: leaves=["{node.path}"]')


def forgotten_losses(
    calls: Iterable[ModelCall], adding: Collection[int], root: keras.layers.Layer
) -> Finding | None:
    """What the user should know about losses that `fit` of the original forgets, or None.

    Args:
        calls: The calls that `call` of the original makes itself.
        adding: The `id`s of the layers whose own code adds losses.
        root: The original.
    """
    if keras.backend.backend() != "jax":
        return None
    counts = Counter(id(call.layer) for call in calls)
    again = [c for c in calls if counts[id(c.layer)] > 1 and adds_inside(c.layer, lambda x: id(x) in adding)]
    if not again:
        return None
    paths = ", ".join(dict.fromkeys(call.path for call in again))
    what = (
        f"`fit` of the original forgets what {paths} adds to the losses in all calls but the last, because "
        f"Keras on JAX clears the losses of a layer that {type(root).__name__}.call calls again; "
        "the result adds them all"
    )
    hint = (
        "to do as the result does, call it once on ops.concatenate([a, b]), or in a layer around both calls"
    )
    return Finding("warning", "", what, again[-1].source, hint)


def _acts(node: Node) -> bool:
    if node.layer is None:
        return depends_on_mode(node)
    return "training" not in node.kwargs and acts_in_training(node.layer)


def _trains_by_default(node: Node) -> bool:
    return node.layer is not None and internals.trains_by_default(node.layer)


def _acts_itself(layer: keras.layers.Layer) -> bool:
    if not internals.takes_training(layer):
        return False
    # Nobody knows what code of the user's does with it.
    if builtin_class(type(layer)) is None:
        return True
    rates = [vars(layer)[name] for name in RATES if isinstance(vars(layer).get(name), (int, float))]
    # A Dropout of rate 0 has a generator and draws nothing.
    draws = bool(internals.seeds(layer)) and (not rates or any(rates))
    return draws or bool(internals.state_but_seeds(layer))

"""What prevents a file that Keras loads alone: each node, why, and what to type."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras

from kerasfx.emitting.making import static_shape
from kerasfx.emitting.portable.call import Call
from kerasfx.emitting.portable.functions import say
from kerasfx.emitting.portable.sizes import CannotBeSaidError, Sizes
from kerasfx.emitting.training import TrainingRules
from kerasfx.errors import NotPortableError
from kerasfx.handover import training_in_fit as fit
from kerasfx.ir import Graph, Node, SeedDraw, Value, leaves_of, values_in
from kerasfx.keras_api.builtins import builtin_class, custom_parts
from kerasfx.reporting import Finding
from kerasfx.runtime import modes

INFERENCE = 'mode="inference"'
OURS = "kerasfx.layers."
OWN_TRAINING = "Keras's Functional model gives it the `training` of the model, and not its own"
OF_LAYERS = {
    "CheckSizes": (
        "it checks the answer about a free size",
        "give the axes fixed sizes: keras.Input((16, 8))",
    ),
    "AddLoss": ("no layer of Keras adds a loss that is computed", f"{INFERENCE}, or compute it in `loss`"),
    "SelectByTraining": ("it gives one tensor in training and another in inference", INFERENCE),
    "RefuseTraining": ("it raises in training", INFERENCE),
    "RefuseInference": ("it raises in inference", ""),
}
"""Why a layer of ours is needed, and what to do, by its name."""


def require_none(graph: Graph, found: Sequence[Finding]) -> None:
    """Refuse a graph of which something prevents a portable file.

    Raises:
        NotPortableError: Something does; each is listed.
    """
    # Of what many nodes of one layer have in common, the first.
    once = list({(each.path, each.what): each for each in reversed(found)}.values())[::-1]
    if once:
        lines = "\n".join(f"  {line}" for each in once for line in str(each).splitlines())
        what = f"'{graph.name}' cannot be a model that Keras loads alone"
        raise NotPortableError(f"{what}; this prevents it:\n{lines}", tuple(once))


def of_graph(graph: Graph, rules: TrainingRules) -> list[Finding]:
    """All that is known to prevent a portable file, before anything is made."""
    trial = _Trial()
    found = [each for node in graph.nodes for each in _of_node(node, rules, trial, graph.mode)]
    return [*found, *_of_whole(graph, rules)]


def of_name(node: Node | None, name: str, why: str) -> Finding:
    """What prevents it in a layer that was made, for `node` or beside the nodes."""
    return Finding("warning", node.path if node else name, f"{name}: {why}", node.source if node else None)


def _of_whole(graph: Graph, rules: TrainingRules) -> Iterator[Finding]:
    outputs = list(leaves_of(graph.outputs))
    if None in outputs or (isinstance(graph.outputs, (list, tuple)) and len(outputs) == 1):
        hint = "return the tensors alone, or a dict of them"
        yield Finding("warning", "", "Keras's Functional model gives no None and no list of one", None, hint)
    if graph.mode == modes.TRAINING:
        hint = f'mode="both" or {INFERENCE}'
        yield Finding("warning", "", "Keras's Functional model is for no mode alone", None, hint)
    if fit.would_forget_losses(graph):
        yield Finding("warning", "", "Keras's Functional model may forget losses of several calls on JAX")


def _of_node(node: Node, rules: TrainingRules, trial: _Trial, mode: str) -> Iterator[Finding]:
    for what, hint in _said_of(node, trial):
        yield Finding("warning", node.path, f"{node.name}: {what}", node.source, hint)
    # In a model for inference each call is one for inference, and so is that of the model, a bare one too.
    is_of_mode = mode == modes.INFERENCE and not rules.trains_when_bare
    is_of_mode = is_of_mode and False in (node.training.fixed, node.kwargs.get("training"))
    if rules.deviates(node) and not is_of_mode:
        hint = f'training_in_fit="{fit.ALWAYS}"' if rules.is_left_out(node) else INFERENCE
        yield Finding("warning", node.path, OWN_TRAINING, node.source, hint)


def _said_of(node: Node, trial: _Trial) -> Iterator[tuple[str, str]]:
    if isinstance(node.target, SeedDraw):
        yield "a generator of the model's own draws numbers", "a layer of Keras that draws, such as Dropout"
    elif node.changes_state:
        yield "it changes a state, which no layer of Keras does", "do it in train_step"
    elif node.bodies:
        yield f"{node.function} has bodies, which no file of Keras holds", ""
    elif node.after:
        yield "it waits for another call, which Keras's Functional model does not know", ""
    elif node.function is not None:
        yield from trial.of_function(node)
    elif node.layer is not None and (builtin_class(type(node.layer)) is None or custom_parts(node.layer)):
        yield (
            f"{type(node.layer).__name__} is kept whole, and is no layer of Keras",
            "see kerasfx.explain(model)",
        )
    elif node.spec and node.spec.class_name.startswith(OURS):
        name = node.spec.class_name.removeprefix(OURS)
        yield OF_LAYERS.get(name, (f"it is a kerasfx.layers.{name}", ""))
    if node.function is None and any(m not in (None, v.mask) for v, m in node.implicit_masks.items()):
        yield "it takes a mask that is not that of its tensor, which no layer of Keras attaches", ""


class _Trial:
    """Says each function on tensors that come from nowhere."""

    def __init__(self) -> None:
        self.tensors: dict[Value, Any] = {}
        self.sizes = Sizes(self.tensor, lambda: reversed(list(self.tensors)))

    def tensor(self, value: Value) -> Any:
        """The tensor of a Value, or the array of a constant."""
        if value.array is not None:
            return value.array
        if value not in self.tensors:
            self.tensors[value] = keras.KerasTensor(static_shape(value), dtype=value.dtype)
        return self.tensors[value]

    def of_function(self, node: Node) -> Iterator[tuple[str, str]]:
        """What prevents a function, and what to do."""
        for value in values_in((node.args, node.kwargs)):
            if value.is_known and (value.array is None or not value.array.ndim):
                yield f"no layer of Keras holds the {value.dtype}{value.shown_shape} {value.name}", ""
        try:
            say(Call(node, self.tensor, self.sizes))
        except CannotBeSaidError as error:
            yield f"{node.function}: {error}", "functions of keras.ops, or fixed sizes in keras.Input"

"""Both sides of `if training:`: a layer traced once for each mode, and the two traces merged into one.

What both modes do alike is kept once. What only one mode does is kept without the means to act in the
other: layers of the inference side are called with `training=False`, draws happen in their mode alone.
Where the results differ, a `SelectByTraining` layer chooses when the model is called.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from kerasfx import codec
from kerasfx import keras_internals as internals
from kerasfx.dims import Dim, hint
from kerasfx.errors import OperationInferenceError, UnsupportedOperationError, describe
from kerasfx.ir import (
    Body,
    Graph,
    LayerCall,
    LayerSpec,
    MetricUpdate,
    Node,
    SeedDraw,
    Value,
    map_leaves,
    map_values,
)
from kerasfx.report import Finding
from kerasfx.trace.effects import ADD_LOSS, Effects
from kerasfx.trace.inference import specs_like
from kerasfx.trace.leaves import builtin_class
from kerasfx.trace.tensor import TracedTensor
from kerasfx.trace.training_flag import asked_context_alone

if TYPE_CHECKING:
    from kerasfx.trace.session import Session

MODAL_LAYERS = (ADD_LOSS, "kerasfx.layers.RefuseTraining", "kerasfx.layers.SelectByTraining")
"""The layers that do something else in training, because the user's Python code did."""


def trace_both_modes(session: Session, run: Callable[[], Any]) -> Any:
    """Call `run`, which traces one layer, for inference and for training.

    Returns:
        The layer's results: those of both modes where they are the same, otherwise a choice.

    Raises:
        TraceError: The two modes cannot be merged.
    """
    start = len(session.graph.nodes)
    with session.noting_flags() as asked:
        results = _trace_both_modes(session, run)
    for node in session.graph.nodes[start:]:
        if depends_on_mode(node) and asked_context_alone(asked):
            node.training_from_context = True
    return results


def depends_on_mode(node: Node) -> bool:
    """Whether `node` does what one side of `if training:` asks for."""
    if isinstance(node.target, SeedDraw):
        return "when" in node.kwargs
    if isinstance(node.target, MetricUpdate):
        return node.target.when is not None
    return isinstance(node.target, LayerSpec) and node.target.class_name in MODAL_LAYERS


def _trace_both_modes(session: Session, run: Callable[[], Any]) -> Any:
    graph, before = session.graph, session.effects.copy()
    start = len(graph.nodes)
    with session.deciding(False):
        inference = run()
    middle = len(graph.nodes)
    in_inference, session.effects = session.effects, before.copy()
    try:
        with session.deciding(True):
            training = run()
    except OperationInferenceError as error:
        if not error.always:
            raise
        graph.truncate(middle)
        session.effects = in_inference
        return _refusing_training(session, inference, error)
    made = {v for node in graph.nodes[start:] for v in node.results}
    overwritten = {**in_inference.overwritten, **session.effects.overwritten}
    from_outside = set(overwritten) - set(before.overwritten) - made
    same = _merge(graph, start, middle)
    in_training = session.effects
    _merge_effects(session, before, in_inference, same)
    for value in from_outside:
        chosen = _choose_value(session, in_inference.now(value), in_training.now(value), same)
        session.effects.overwritten[value] = chosen
    return _choose(session, inference, training, same)


def _refusing_training(session: Session, inference: Any, error: OperationInferenceError) -> Any:
    """The results of inference, which are not to be had in training, where the original raises."""
    what = str(error).splitlines()[0]
    path = _path(session)
    session.findings.append(Finding("warning", path, f"it cannot be trained, nor can the original: {what}"))
    target = LayerSpec("kerasfx.layers.RefuseTraining", {"message": what})

    def refusing(x: Any) -> Any:
        value = session.value_of(x)
        if not isinstance(value, Value):
            return x
        node = Node(f"{value.name}_in_inference", target, (value,), {}, path)
        result = session.finish(node, specs_like(value))
        result.value.mask = value.mask
        internals.set_mask(result, internals.mask_of(x))
        return result

    return map_leaves(refusing, inference)


def _path(session: Session) -> str:
    """Path of the layer that is traced for both modes."""
    return session.paths.of_layer(session.forked_layer, session.frame.path if session.frames else "")


def _merge_effects(
    session: Session, before: Effects, in_inference: Effects, same: dict[Value, Value]
) -> None:
    """Let the session go on with the effects of both modes."""
    in_training = session.effects
    draws = {k: same.get(v, v) for k, v in in_training.last_draw.items()}
    session.effects = before.copy()
    session.effects.guards = [*in_inference.guards, *(g.of(same) for g in in_training.guards)]
    session.effects.last_draw = {**in_inference.last_draw, **draws}
    for effects in (in_inference, in_training):
        session.effects.overwritten |= effects.overwritten
        session.effects.stale |= effects.stale
        session.effects.unsure |= effects.unsure
    parameters = {id(v.producer.variable): v for v in session.graph.parameters}  # pyright: ignore
    for name in ("assigned", "reads"):
        now, first, second = (getattr(effects, name) for effects in (before, in_inference, in_training))
        for key in {**first, **second}:
            unchanged = now.get(key, parameters[key])
            both = (first.get(key, unchanged), second.get(key, unchanged))
            getattr(session.effects, name)[key] = _choose_value(session, *both, same)
    for name in ("losses", "metric_calls"):
        count = len(getattr(before, name))
        first, second = (getattr(effects, name)[count:] for effects in (in_inference, in_training))
        getattr(session.effects, name).extend(_of_both(first, [x.of(same) for x in second]))


def _of_both(first: list[Any], second: list[Any]) -> Iterator[Any]:
    """What is done in inference and what is done in training; each says when, if it is not in both."""
    yield from (x if x in second else replace(x, when=False) for x in first)
    yield from (replace(x, when=True) for x in second if x not in first)


def _merge(graph: Graph, start: int, middle: int) -> dict[Value, Value]:
    """Drop the nodes of the training trace that the inference trace has, too.

    Returns:
        Value of a dropped node -> the Value that it equals.
    """
    first, second = graph.nodes[start:middle], graph.nodes[middle:]
    waiting: dict[Any, list[Node]] = defaultdict(list)
    for node in first:
        waiting[_key(node)].append(node)
    same: dict[Value, Value] = {}
    only_training: list[Node] = []
    graph.truncate(middle)
    for node in second:
        _rename(node, same)
        twins = waiting[_key(node)]
        if twins:
            same.update(dict(zip(node.results, twins.pop(0).results, strict=True)))
        else:
            only_training.append(graph.append(node))
    for node in (n for twins in waiting.values() for n in twins):
        _confine(graph, node, training=False)
    for node in only_training:
        _confine(graph, node, training=True)
    return same


def _rename(node: Node, same: dict[Value, Value]) -> None:
    def swap(value: Value) -> Value:
        return same.get(value, value)

    node.args, node.kwargs = map_values(swap, (node.args, node.kwargs))
    node.implicit_masks = {swap(v): m and swap(m) for v, m in node.implicit_masks.items()}
    for value in node.results:
        value.mask = value.mask and swap(value.mask)
        value.shape = map_values(swap, value.shape)


def _key(node: Node) -> Any:
    """Equal for calls that compute the same."""
    target: Any = node.target
    if isinstance(target, LayerCall):
        target = ("layer", id(target.layer))
    elif isinstance(target, SeedDraw):
        target = ("draw", id(target.generator))
    elif isinstance(target, LayerSpec):
        target = ("layer", target.class_name, _frozen(target.config))
    masks = tuple((id(v), id(m)) for v, m in node.implicit_masks.items())
    return target, _frozen(node.args), _frozen(node.kwargs), masks


def _frozen(x: Any) -> Any:
    if isinstance(x, dict):
        return "dict", tuple((k, _frozen(v)) for k, v in x.items())
    if isinstance(x, (list, tuple)):
        return type(x).__name__, tuple(map(_frozen, x))
    if isinstance(x, slice):
        return "slice", _frozen((x.start, x.stop, x.step))
    if isinstance(x, (np.ndarray, np.generic)):
        return type(x).__name__, str(x.dtype), x.shape, x.tobytes()
    if isinstance(x, Dim):
        return "dim", x.op, _frozen(x.args)
    if isinstance(x, Body):
        return "body", json.dumps(codec.encode(x, x.captured.index)), _frozen(x.captured)
    is_plain = x is None or isinstance(x, (bool, int, float, complex, str))
    return (type(x).__name__, x) if is_plain else id(x)


def _confine(graph: Graph, node: Node, training: bool) -> None:
    """Keep a node of one mode from acting in the other."""
    target = node.target
    if isinstance(target, SeedDraw):
        graph.set_arguments(node, node.args, {"when": training})
        return
    fault = _acts_in_both_modes(target)
    if fault:
        raise UnsupportedOperationError(
            describe(
                f"A layer is called in one mode only and {fault}.",
                where=f"{node.path}, {node.source}",
                why="in the prepared model it is called in both modes, and one result is chosen",
            )
        )
    if not isinstance(target, LayerCall):
        return
    if not training and _trains_differently(target.layer):
        graph.set_arguments(node, node.args, {**node.kwargs, "training": False})


def _trains_differently(layer: Any) -> bool:
    """Whether what `layer` does may depend on `training`: it draws, updates its state, or is custom."""
    if not internals.takes_training(layer):
        return False
    is_custom = any(builtin_class(type(x)) is None for x in internals.all_layers(layer))
    return is_custom or bool(layer.non_trainable_variables)


def _acts_in_both_modes(target: Any) -> str:
    """What a layer does besides returning a result, whatever `training` is; "" for nothing."""
    if isinstance(target, LayerSpec):
        return "has an activity regularizer" if "activity_regularizer" in target.config else ""
    if not isinstance(target, LayerCall):
        return ""
    if any(x.activity_regularizer is not None for x in internals.all_layers(target.layer)):
        return "has an activity regularizer"
    is_custom = builtin_class(type(target.layer)) is None
    return "has a state of its own" if is_custom and target.layer.non_trainable_variables else ""


def _choose(session: Session, inference: Any, training: Any, same: dict[Value, Value]) -> Any:
    if isinstance(inference, dict) and isinstance(training, dict) and list(inference) == list(training):
        return {k: _choose(session, inference[k], training[k], same) for k in inference}
    is_list = isinstance(inference, (list, tuple)) and type(inference) is type(training)
    if is_list and len(inference) == len(training):
        items = [_choose(session, a, b, same) for a, b in zip(inference, training, strict=True)]
        return type(inference)(*items) if hasattr(inference, "_fields") else type(inference)(items)
    if _same_python_value(inference, training, same):
        return inference
    return _choose_tensor(session, inference, training, same)


def _same_python_value(inference: Any, training: Any, same: dict[Value, Value]) -> bool:
    """Whether both modes return the same number, size, word or other thing that is no tensor."""
    if isinstance(inference, Dim) and isinstance(training, Dim):
        return inference.same_as(map_values(lambda v: same.get(v, v), training))
    if type(inference) is not type(training) or isinstance(
        inference, (TracedTensor, np.ndarray, keras.Variable)
    ):
        return False
    is_plain = isinstance(inference, (bool, int, float, complex, str, bytes, np.generic))
    return inference == training if is_plain else inference is training


def _choose_tensor(session: Session, inference: Any, training: Any, same: dict[Value, Value]) -> Any:
    values = [session.value_of(x) for x in (inference, training)]
    if any(not isinstance(v, Value) for v in values):
        raise _unlike(session, f"one returns {inference!r} where the other returns {training!r}")
    a, b = values
    mask, other = (internals.mask_of(x) for x in (inference, training))
    if _masked(mask, same) is not _masked(other, same):
        raise _unlike(session, "they return different masks")
    if same.get(b, b) is a:
        return inference
    chosen = session.tensor_of(_choose_value(session, a, b, same))
    if mask is not None:
        internals.set_mask(chosen, mask)
    return chosen


def _choose_value(session: Session, inference: Value, training: Value, same: dict[Value, Value]) -> Value:
    a, b = (same.get(v, v) for v in (inference, training))
    if a is b:
        return a
    if a.dtype != b.dtype or list(map(hint, a.shape)) != list(map(hint, b.shape)):
        raise _unlike(session, f"one returns {a!r}, the other {b!r}")
    target = LayerSpec("kerasfx.layers.SelectByTraining")
    node = Node(f"{b.name}_by_mode", target, ([a, b],), {}, _path(session))
    return session.finish(node, specs_like(a)).value


def _masked(mask: Any, same: dict[Value, Value]) -> Value | None:
    value = getattr(mask, "value", None)
    return same.get(value, value) if isinstance(value, Value) else None


def _unlike(session: Session, why: str) -> UnsupportedOperationError:
    return UnsupportedOperationError(
        describe(
            "Inference and training give results that cannot take each other's place.",
            where=session.locate(None),
            why=why,
            hint=session.keep_hint(),
        )
    )

"""Both sides of `if training:`: a layer traced once for each mode, and the two traces merged into one.

What both modes do alike is kept once. What only one mode does is kept without the means to act in the
other: layers of the inference side are called with `training=False`, draws happen in their mode alone.
Where the results differ, a `SelectByTraining` layer chooses when the model is called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import keras
import numpy as np

from kerasfx.errors import KerasFxError, UnsupportedOperationError, describe
from kerasfx.ir import (
    Graph,
    LayerSpec,
    Node,
    Training,
    Value,
    map_leaves,
    map_values,
)
from kerasfx.ir.build import specs_like
from kerasfx.ir.dims import Dim
from kerasfx.keras_api import internals
from kerasfx.passes.legalize.tie_to_outputs import ADD_LOSS
from kerasfx.reporting import Finding
from kerasfx.tracing.control.merging import Merge, fit, path_of_fork, select
from kerasfx.tracing.control.training_flag import is_flag
from kerasfx.tracing.session import Session
from kerasfx.tracing.state.effects import AFTER, SELECT, Effects
from kerasfx.tracing.tensor import TracedTensor
from kerasfx.tracing.where import failing_line, raised_by_user

MODAL_LAYERS = (
    "kerasfx.layers.RefuseInference",
    "kerasfx.layers.RefuseTraining",
    SELECT,
)
"""The layers that do something else in training, because the user's Python code did."""


class UnlikeStructuresError(UnsupportedOperationError):
    """The two modes of a layer return unlike structures; the layer around it may still make one of them."""


@dataclass(frozen=True)
class _Side:
    """What one mode did: its results, its effects, what it left in the call context."""

    results: Any
    effects: Effects
    left: object


def trace_both_modes(session: Session, run: Callable[[], Any]) -> Any:
    """Call `run`, which traces one layer, for inference and for training.

    Returns:
        The layer's results: those of both modes where they are the same, otherwise a choice.

    Raises:
        TraceError: The two modes cannot be merged.
    """
    graph, before, found = session.graph, session.effects.copy(), internals.training_of_context()
    start = len(graph.nodes)
    sides: dict[bool, _Side] = {}
    asked: dict[bool, set[Training]] = {}
    refused: dict[bool, Exception] = {}
    middle = start
    # Inference first: its nodes stay where they are, and those of training are held against them.
    for mode in (False, True):
        session.effects, middle = before.copy(), len(graph.nodes)
        # Each mode begins with what the layer found, not with what the other has left.
        internals.set_training_of_context(found)
        try:
            with session.decisions.deciding(mode) as asked[mode]:
                results = run()
            sides[mode] = _Side(results, session.effects, internals.training_of_context())
        except Exception as error:
            # One mode may raise, if the original raises there as well; with both nothing is left to prepare.
            if refused or not raises_in_the_original(error):
                raise
            graph.truncate(middle)
            refused[mode] = error
    rule = _rule(session, asked[False], asked[True])
    if refused:
        return _refusing(session, start, sides, refused, rule)
    results = _merged(session, start, middle, before, sides[False], sides[True], rule)
    internals.set_training_of_context(_left(session, sides, rule))
    # Last, since choices are recorded while results are merged.
    _follow(graph, start, rule)
    return results


def _rule(session: Session, in_inference: set[Training], in_training: set[Training]) -> Training:
    """Which `training` decides between the two traces, from the rules that were asked in each.

    Raises:
        UnsupportedOperationError: Neither trace is what a bare call of the original does.
    """
    from_context = all(rule.from_context for rule in in_inference | in_training)
    bare = _bare(in_inference, in_training, "bare")
    if bare is None:
        raise UnsupportedOperationError(
            describe(
                "In a call without `training`, some of these layers are in training and others in inference.",
                where=session.locate(None),
                why="the defaults of `training` in their `call`s differ",
                hint="hand `training` on to each of them: layer(x, training=training)",
            )
        )
    return Training(None, from_context, bare, _bare(in_inference, in_training, "alone"))


def _bare(in_inference: set[Training], in_training: set[Training], name: str) -> bool | None:
    """The trace that does what nobody's saying anything does; None if neither does."""
    # A trace gave one answer to all questions. In a bare call each has its own, which may be unlike.
    if not any(getattr(rule, name) for rule in in_inference):
        return False
    return True if all(getattr(rule, name) for rule in in_training) else None


def _left(session: Session, sides: dict[bool, _Side], rule: Training) -> Any:
    """What the call context holds for the next layer."""
    first, second = sides[False].left, sides[True].left
    truths = [mode if _follows(side.left) else bool(side.left) for mode, side in sides.items()]
    if truths == [False, True]:
        # In a bare call it is the trace for training that runs, so that its flag says what is left.
        if rule.bare and _follows(second):
            return second
        return first if _follows(first) else session.decisions.training
    if truths[0] == truths[1]:
        return truths[0]
    raise session.unsupported("Layers behind this one would find `training` turned round.")


def _follows(left: object) -> bool:
    return is_flag(left) and left.rule.fixed is None


def _follow(graph: Graph, start: int, rule: Training) -> None:
    for node in graph.nodes[start:]:
        if depends_on_mode(node):
            node.training = rule


def depends_on_mode(node: Node) -> bool:
    """Whether `node` does what one side of `if training:` asks for."""
    if node.draws_seed:
        return "when" in node.kwargs
    if node.spec and node.calls(AFTER):
        return any(isinstance(when, bool) for when in node.spec.config.get("when") or ())
    return node.acts_when is not None or node.calls(*MODAL_LAYERS, ADD_LOSS)


def _merged(
    session: Session, start: int, middle: int, before: Effects, first: _Side, second: _Side, rule: Training
) -> Any:
    """The results and effects of both modes, as those of one graph."""
    graph = session.graph
    made = {v for node in graph.nodes[start:] for v in node.results}
    overwritten = {**first.effects.overwritten, **second.effects.overwritten}
    # Tensors that were there before and changed on one side: from now on they are a choice as well.
    from_outside = set(overwritten) - set(before.overwritten) - made
    # Those that each side made, as they are by now: once merged, a change on one side would be that of both.
    inference, training = (
        map_leaves(partial(_as_now, session, side, made), side.results) for side in (first, second)
    )
    same = Merge(session, start, middle, rule).run()
    session.effects = second.effects
    _merge_effects(session, before, first.effects, same, rule)
    # What one side alone changed is in its results already, and not what the other's tensor is.
    in_training = second.effects.changes_of(same)
    for value in made & session.effects.overwritten.keys():
        if first.effects.now(value) is not in_training.now(value):
            del session.effects.overwritten[value]
    for value in from_outside:
        chosen = _choose_value(session, first.effects.now(value), second.effects.now(value), same)
        session.effects.overwritten[value] = chosen
    return _choose(session, inference, training, same)


def _as_now(session: Session, side: _Side, made: set[Value], x: object) -> Any:
    if not isinstance(x, TracedTensor) or not {x.first_value} <= made & side.effects.overwritten.keys():
        return x
    tensor, mask = session.tensor_of(side.effects.now(x.first_value)), internals.mask_of(x)
    if mask is not None:
        internals.set_mask(tensor, mask)
    return tensor


def raises_in_the_original(error: Exception) -> bool:
    """Whether `error` tells that the original raises as well: its own code does, or the backend always."""
    return raised_by_user(error) or bool(getattr(error, "always", False))


def _refusing(
    session: Session, start: int, sides: dict[bool, _Side], refused: dict[bool, Exception], rule: Training
) -> Any:
    """The results of one mode, which are not to be had in the other, where the original raises."""
    [(mode, side)], [error] = sides.items(), refused.values()
    is_ours = isinstance(error, KerasFxError)
    # Further lines of ours are advice to someone whose model was refused.
    what = str(error).splitlines()[0] if is_ours else f"{type(error).__name__}: {error}"
    path = path_of_fork(session)
    can = "be trained" if mode is False else "be used for inference"
    session.findings.append(
        Finding("warning", path, f"it cannot {can}, nor can the original: {what}", failing_line(error))
    )
    session.effects = side.effects
    internals.set_training_of_context(side.left)
    name = "RefuseInference" if mode else "RefuseTraining"
    target = LayerSpec(f"kerasfx.layers.{name}", {"message": what})

    def refusing(x: object) -> Any:
        value = session.value_of(x)
        if not isinstance(value, Value):
            return x
        node = Node(f"{value.name}_in_{'training' if mode else 'inference'}", target, (value,), {}, path)
        result = session.finish(node, specs_like(value))
        result.value.mask = value.mask
        internals.set_mask(result, internals.mask_of(x))
        return result

    results = map_leaves(refusing, side.results)
    _follow(session.graph, start, rule)
    return results


def _merge_effects(
    session: Session, before: Effects, in_inference: Effects, same: dict[Value, Value], rule: Training
) -> None:
    """Let the session go on with the effects of both modes."""
    in_training = session.effects
    # A node of training that was merged is gone; what spoke of its Values speaks of their partners.
    draws = {k: same.get(v, v) for k, v in in_training.last_draw.items()}
    session.effects = before.copy()
    session.effects.guards = [*in_inference.guards, *(g.of(same) for g in in_training.guards)]
    session.effects.last_draw = {**in_inference.last_draw, **draws}
    for effects in (in_inference, in_training.changes_of(same)):
        session.effects.overwritten |= effects.overwritten
        session.effects.stale |= effects.stale
        session.effects.unsure |= effects.unsure
    parameters = {id(v.variable): v for v in session.graph.parameters}
    for name in ("assigned", "reads"):
        now, first, second = (getattr(effects, name) for effects in (before, in_inference, in_training))
        for key in {**first, **second}:
            # For a mode without the assignment: what was assigned before, or else the weight itself.
            unchanged = now.get(key, parameters[key])
            both = (first.get(key, unchanged), second.get(key, unchanged))
            getattr(session.effects, name)[key] = _choose_value(session, *both, same)
    for name in ("losses", "metric_calls"):
        # What was there before the layer was called is in both.
        count = len(getattr(before, name))
        first, second = (getattr(effects, name)[count:] for effects in (in_inference, in_training))
        getattr(session.effects, name).extend(_of_both(first, [x.of(same) for x in second], rule))


def _of_both(first: list[Any], second: list[Any], rule: Training) -> Iterator[Any]:
    """What is done in inference and what is done in training; each says when, if it is not in both."""
    yield from (x if x in second else replace(x, when=False, training=rule) for x in first)
    yield from (replace(x, when=True, training=rule) for x in second if x not in first)


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


def _same_python_value(inference: object, training: object, same: dict[Value, Value]) -> bool:
    """Whether both modes return the same number, size, word or other thing that is no tensor."""
    if isinstance(inference, Dim) and isinstance(training, Dim):
        return inference.same_as(map_values(lambda v: same.get(v, v), training))
    # 1, 1.0 and True are equal, and not the same to the code that gets them.
    if type(inference) is not type(training) or isinstance(
        inference, (TracedTensor, np.ndarray, keras.Variable)
    ):
        return False
    is_plain = isinstance(inference, (bool, int, float, complex, str, bytes, np.generic))
    return inference == training if is_plain else inference is training


def _choose_tensor(session: Session, inference: object, training: object, same: dict[Value, Value]) -> Any:
    values = [session.value_of(x) for x in (inference, training)]
    if any(not isinstance(v, Value) for v in values):
        why = f"inference returns {_shown(inference)} where training returns {_shown(training)}"
        raise UnlikeStructuresError(str(_unlike(session, why)))
    a, b = values
    mask, other = (internals.mask_of(x) for x in (inference, training))
    if _masked(mask, same) is not _masked(other, same):
        raise _unlike(session, "they return different masks")
    # The very tensor, with whatever Keras has attached to it.
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
    if not fit(a, b):
        raise _unlike(session, f"one returns {a!r}, the other {b!r}")
    return select(session, a, b)


def _masked(mask: object, same: dict[Value, Value]) -> Value | None:
    value = getattr(mask, "value", None)
    return same.get(value, value) if isinstance(value, Value) else None


def _unlike(session: Session, why: str) -> UnsupportedOperationError:
    return UnsupportedOperationError(
        describe(
            "Inference and training give results that cannot take each other's place.",
            where=session.locate(None) or session.root.name,
            why=why,
            hint='for a model of one mode alone: prepare_model(..., mode="inference"), or "training"',
        )
    )


def _shown(x: object) -> str:
    """A structure as the user wrote it, without the names of ours."""
    if isinstance(x, (list, tuple, dict)):
        return f"a {type(x).__name__} of {len(x)}"
    return "a tensor" if isinstance(x, TracedTensor) else repr(x)

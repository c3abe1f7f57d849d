"""Both sides of `if training:`: a layer traced once for each mode, and the two traces merged into one.

What both modes do alike is kept once. What only one mode does is kept without the means to act in the
other: layers of the inference side are called with `training=False`, draws happen in their mode alone.
Where the results differ, a `SelectByTraining` layer chooses when the model is called.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Any

import keras
import numpy as np

from kerasfx.errors import KerasFxError, UnsupportedOperationError, describe
from kerasfx.ir import (
    Body,
    Graph,
    Input,
    LayerSpec,
    Node,
    Training,
    Value,
    leaves_of,
    map_leaves,
    map_values,
    values_in,
)
from kerasfx.ir.build import specs_like
from kerasfx.ir.dims import Dim, hint
from kerasfx.keras_api import internals
from kerasfx.keras_api.builtins import (
    builtin_class,
)
from kerasfx.passes.legalize.tie_to_outputs import ADD_LOSS
from kerasfx.reporting import Finding
from kerasfx.tracing.control.training_flag import is_flag
from kerasfx.tracing.encoding import encode
from kerasfx.tracing.session import Session
from kerasfx.tracing.state.effects import SELECT, Effects
from kerasfx.tracing.tensor import TracedTensor
from kerasfx.tracing.where import failing_line, raised_by_user

MODAL_LAYERS = (
    "kerasfx.layers.RefuseInference",
    "kerasfx.layers.RefuseTraining",
    SELECT,
)
"""The layers that do something else in training, because the user's Python code did."""

_ANY = Value("", (), "", Input(""))
"""Stands for any Value."""


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
    for mode in (False, True):
        session.effects, middle = before.copy(), len(graph.nodes)
        internals.set_training_of_context(found)
        try:
            with session.decisions.deciding(mode) as asked[mode]:
                results = run()
            sides[mode] = _Side(results, session.effects, internals.training_of_context())
        except Exception as error:
            if refused or not raises_in_the_original(error):
                raise
            graph.truncate(middle)
            refused[mode] = error
    rule = _rule(session, asked[False], asked[True])
    if refused:
        return _refusing(session, start, sides, refused, rule)
    results = _merged(session, start, middle, before, sides[False], sides[True], rule)
    internals.set_training_of_context(_left(session, sides, rule))
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
    if not any(getattr(rule, name) for rule in in_inference):
        return False
    return True if all(getattr(rule, name) for rule in in_training) else None


def _left(session: Session, sides: dict[bool, _Side], rule: Training) -> Any:
    """What the call context holds for the next layer."""
    first, second = sides[False].left, sides[True].left
    truths = [mode if _follows(side.left) else bool(side.left) for mode, side in sides.items()]
    if truths == [False, True]:
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
    return node.acts_when is not None or node.calls(*MODAL_LAYERS, ADD_LOSS)


def _merged(
    session: Session, start: int, middle: int, before: Effects, first: _Side, second: _Side, rule: Training
) -> Any:
    """The results and effects of both modes, as those of one graph."""
    graph = session.graph
    made = {v for node in graph.nodes[start:] for v in node.results}
    overwritten = {**first.effects.overwritten, **second.effects.overwritten}
    from_outside = set(overwritten) - set(before.overwritten) - made
    same = _Merge(session, start, middle, rule).run()
    session.effects = second.effects
    _merge_effects(session, before, first.effects, same, rule)
    for value in from_outside:
        chosen = _choose_value(session, first.effects.now(value), second.effects.now(value), same)
        session.effects.overwritten[value] = chosen
    return _choose(session, first.results, second.results, same)


def raises_in_the_original(error: Exception) -> bool:
    """Whether `error` tells that the original raises as well: its own code does, or the backend always."""
    return raised_by_user(error) or bool(getattr(error, "always", False))


def _refusing(
    session: Session, start: int, sides: dict[bool, _Side], refused: dict[bool, Exception], rule: Training
) -> Any:
    """The results of one mode, which are not to be had in the other, where the original raises."""
    [(mode, side)], [error] = sides.items(), refused.values()
    is_ours = isinstance(error, KerasFxError)
    what = str(error).splitlines()[0] if is_ours else f"{type(error).__name__}: {error}"
    path = _path(session)
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


def _path(session: Session) -> str:
    """Path of the layer that is traced for both modes."""
    return session.paths.of_layer(session.decisions.forked_layer, session.path)


def _merge_effects(
    session: Session, before: Effects, in_inference: Effects, same: dict[Value, Value], rule: Training
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
    parameters = {id(v.variable): v for v in session.graph.parameters}
    for name in ("assigned", "reads"):
        now, first, second = (getattr(effects, name) for effects in (before, in_inference, in_training))
        for key in {**first, **second}:
            unchanged = now.get(key, parameters[key])
            both = (first.get(key, unchanged), second.get(key, unchanged))
            getattr(session.effects, name)[key] = _choose_value(session, *both, same)
    for name in ("losses", "metric_calls"):
        count = len(getattr(before, name))
        first, second = (getattr(effects, name)[count:] for effects in (in_inference, in_training))
        getattr(session.effects, name).extend(_of_both(first, [x.of(same) for x in second], rule))


def _of_both(first: list[Any], second: list[Any], rule: Training) -> Iterator[Any]:
    """What is done in inference and what is done in training; each says when, if it is not in both."""
    yield from (x if x in second else replace(x, when=False, training=rule) for x in first)
    yield from (replace(x, when=True, training=rule) for x in second if x not in first)


class _Merge:
    """Two traces as one: what both do is done once, what they compute differently is chosen between.

    A call that both traces make, of the same layer or function at the same line, takes a choice where its
    arguments differ. So the sides of an `if training:` come together where the `if` ends.
    """

    def __init__(self, session: Session, start: int, middle: int, rule: Training):
        self.session = session
        self.graph = session.graph
        self.start, self.middle = start, middle
        self.rule = rule
        self.same: dict[Value, Value] = {}
        self.chosen: dict[tuple[Value, Value], Value] = {}

    def run(self) -> dict[Value, Value]:
        """Merge the nodes from `start` to `middle`, of inference, with those behind, of training.

        Returns:
            Value of a dropped node -> the Value that it equals.
        """
        first, second = self.graph.nodes[self.start : self.middle], self.graph.nodes[self.middle :]
        partners = _partners(first, second)
        waiting: dict[Any, list[Node]] = defaultdict(list)
        for node in first:
            waiting[_key(node)].append(node)
        merged: dict[Node, Node] = {}
        self.graph.truncate(self.middle)
        for node in second:
            _rename(node, self.same)
            twin = self._twin(node, waiting[_key(node)], partners.get(node), set(merged.values()))
            if twin is not None:
                merged[node] = twin
                self.same.update(zip(node.results, twin.results, strict=True))
                if self.rule.bare:
                    twin.training = node.training
        self._put_in_order(first, second, merged)
        for node in first:
            if node not in merged.values():
                _confine(self.graph, node, False, self.rule)
        for node in second:
            if node not in merged:
                _confine(self.graph, node, True, self.rule)
        return self.same

    def _twin(self, node: Node, twins: list[Node], partner: Node | None, taken: set[Node]) -> Node | None:
        """The node of inference that does what `node` does, or can be made to."""
        free = [x for x in twins if x not in taken]
        if free:
            return partner if partner in free else free[0]
        if partner is None or partner in taken or not self._join(partner, node):
            return None
        return partner

    def _join(self, a: Node, b: Node) -> bool:
        """Let `a` take a choice where its arguments are not those of `b`, if there can be one."""
        pairs = dict.fromkeys(zip(_values(a), _values(b), strict=True))
        masks = {(x, y): (_mask_at(a, x), _mask_at(b, y)) for x, y in pairs}
        of_results = [(x.mask, y.mask) for x, y in zip(a.results, b.results, strict=True)]
        every = [*pairs, *masks.values(), *of_results, *zip(a.results, b.results, strict=True)]
        if not all(_fit(x, y) for x, y in every) or not _is_one_to_one(a, b):
            return False
        theirs = iter(list(leaves_of((b.args, b.kwargs))))
        args, kwargs = map_leaves(lambda x: self._joined(x, next(theirs)), (a.args, a.kwargs))
        carried = None
        if a.implicit_masks or any(x is not y for x, y in masks.values()):
            carried = {self._choice(*pair): self._choice(*mask) for pair, mask in masks.items()}
        self.graph.set_arguments(a, args, kwargs, carried)
        swap = {x: self._choice(x, y) for x, y in pairs}
        for value, (x, y) in zip(a.results, of_results, strict=True):
            self.graph.set_mask(value, self._choice(x, y))
            value.shape = map_values(lambda v: swap.get(v, v), value.shape)
        return True

    def _joined(self, x: object, y: object) -> Any:
        if isinstance(x, Value):
            return self._choice(x, y)
        chosen = {v: self._choice(v, w) for v, w in zip(values_in(x), values_in(y), strict=True)}
        return map_values(chosen.__getitem__, x)

    def _choice(self, a: Any, b: Any) -> Any:
        if a is b:
            return a
        if (a, b) not in self.chosen:
            self.chosen[a, b] = _select(self.session, a, b)
        return self.chosen[a, b]

    def _put_in_order(self, first: list[Node], second: list[Node], merged: dict[Node, Node]) -> None:
        """Let both traces keep their order, and every node follow those that it needs."""
        taken = self.graph.take(self.start)
        wish, rest = [], iter(first)
        for node in second:
            if node not in merged:
                wish.append(node)
            elif merged[node] not in wish:
                wish += _up_to(merged[node], rest)
        pending = dict.fromkeys([*wish, *rest, *taken])
        for node in _sorted(pending):
            self.graph.append(node)


def _up_to(last: Node, nodes: Iterator[Node]) -> Iterator[Node]:
    """The next of `nodes` up to `last`."""
    for node in nodes:
        yield node
        if node is last:
            return


def _sorted(nodes: Iterable[Node]) -> list[Node]:
    """`nodes` in their order, but each behind those whose results it takes."""
    pending, placed = set(nodes), dict[Node, None]()
    for wanted in nodes:
        stack = [wanted]
        while stack:
            node = stack[-1]
            producers = [v.producer for v in node.inputs if v.producer in pending]
            missing = [p for p in producers if p not in placed]
            if missing:
                stack.extend(missing)  # pyright: ignore[reportArgumentType]
                continue
            placed[stack.pop()] = None
    return list(placed)


def _partners(first: list[Node], second: list[Node]) -> dict[Node, Node]:
    """Node of `second` -> the node of `first` that makes the same call, in the same order in both."""
    signatures = [list(map(_signature, nodes)) for nodes in (first, second)]
    matcher = SequenceMatcher(None, *signatures, autojunk=False)
    found: dict[Node, Node] = {}
    for i, k, size in matcher.get_matching_blocks():
        found.update(zip(second[k : k + size], first[i : i + size], strict=True))
    return found


def _signature(node: Node) -> Any:
    """Equal for calls of one thing at one line that differ in the Values they take alone."""
    arguments = map_values(lambda v: _ANY, (node.args, node.kwargs))
    return _target(node), _frozen(arguments), node.path, node.source, _fixed(node)


def _fixed(node: Node) -> bool | None:
    """The `training` that a layer before left to `node`, if it does something with it."""
    layer = node.layer
    is_heard = layer is not None and (internals.takes_training(layer) or internals.sublayers(layer))
    return node.training.fixed if is_heard else None


def _values(node: Node) -> list[Value]:
    return list(values_in((node.args, node.kwargs)))


def _mask_at(node: Node, value: Value) -> Value | None:
    """The mask that `value` carries as an argument of `node`."""
    return node.implicit_masks.get(value, value.mask)


def _is_one_to_one(a: Node, b: Node) -> bool:
    """Whether no Value inside one size, or captured by one function, stands for two of the other node."""
    leaves = zip(leaves_of((a.args, a.kwargs)), leaves_of((b.args, b.kwargs)), strict=True)
    inside = [(x, y) for x, y in leaves if not isinstance(x, Value)]
    pairs = [set(zip(values_in(x), values_in(y), strict=True)) for x, y in inside]
    return all(len({v for v, _ in found}) == len(found) for found in pairs)


def _fit(a: Value | None, b: Value | None) -> bool:
    """Whether one may stand in the place of the other."""
    if a is b:
        return True
    if a is None or b is None:
        return False
    return a.dtype == b.dtype and list(map(hint, a.shape)) == list(map(hint, b.shape))


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
    masks = tuple((id(v), id(m)) for v, m in node.implicit_masks.items())
    return _target(node), _frozen(node.args), _frozen(node.kwargs), masks, _fixed(node)


def _target(node: Node) -> Any:
    if node.layer is not None:
        return "layer", id(node.layer)
    if node.draws_seed:
        return "draw", *map(id, node.variables)
    return ("layer", node.spec.class_name, _frozen(node.spec.config)) if node.spec else node.target


def _frozen(x: object) -> Any:
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
        return "body", json.dumps(encode(x, x.captured.index)), _frozen(x.captured)
    is_plain = x is None or isinstance(x, (bool, int, float, complex, str))
    return (type(x).__name__, x) if is_plain else id(x)


def _confine(graph: Graph, node: Node, training: bool, rule: Training) -> None:
    """Keep a node of one mode from acting in the other."""
    node.only_in = training, rule
    if node.draws_seed:
        graph.set_arguments(node, node.args, {"when": training})
        return
    if _has_own_state(node.layer):
        raise UnsupportedOperationError(
            describe(
                "A layer is called in one mode only and has a state of its own.",
                where=f"{node.path}, {node.source}",
                why="nothing says in which modes it changes its state",
            )
        )
    if node.layer is not None and not training and _trains_differently(node.layer):
        graph.set_arguments(node, node.args, {**node.kwargs, "training": False})


def _trains_differently(layer: keras.Layer) -> bool:
    """Whether what `layer` does may depend on `training`: it draws, updates its state, or is custom."""
    if not internals.takes_training(layer):
        return False
    is_custom = any(builtin_class(type(x)) is None for x in internals.all_layers(layer))
    return is_custom or bool(layer.non_trainable_variables)


def _has_own_state(layer: keras.layers.Layer | None) -> bool:
    """Whether a custom layer that stays whole has a state, which it may change whatever `training` is."""
    if layer is None or builtin_class(type(layer)) is not None:
        return False
    return bool(layer.non_trainable_variables)


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
    if not _fit(a, b):
        raise _unlike(session, f"one returns {a!r}, the other {b!r}")
    return _select(session, a, b)


def _select(session: Session, a: Value, b: Value) -> Value:
    """The Value that is `a` in inference and `b` in training."""
    target = LayerSpec(SELECT)
    node = Node(f"{b.name}_by_mode", target, ([a, b],), {}, _path(session))
    return session.finish(node, specs_like(a)).value


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

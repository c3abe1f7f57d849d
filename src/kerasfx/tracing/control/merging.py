"""Two traces of one layer, of inference and of training, as one: what both do is done once."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from typing import Any

import keras
import numpy as np

from kerasfx.errors import UnsupportedOperationError, describe
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
from kerasfx.tracing.encoding import encode
from kerasfx.tracing.session import Session
from kerasfx.tracing.state.effects import SELECT

_ANY = Value("", (), "", Input(""))
"""Stands for any Value."""


class Merge:
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
        # The nodes of training come back one by one, unless they turn out to be there already.
        self.graph.truncate(self.middle)
        for node in second:
            _rename(node, self.same)
            twin = self._twin(node, waiting[_key(node)], partners.get(node), set(merged.values()))
            if twin is not None:
                merged[node] = twin
                self.same.update(zip(node.results, twin.results, strict=True))
                # A bare call runs the side of training, so its rule is the one to keep.
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
        # Each is taken once, or two equal draws of training would become one.
        free = [x for x in twins if x not in taken]
        if free:
            # Any that computes the same will do; the one that the alignment found keeps the order of both.
            return partner if partner in free else free[0]
        if partner is None or partner in taken or not self._join(partner, node):
            return None
        return partner

    def _join(self, a: Node, b: Node) -> bool:
        """Let `a` take a choice where its arguments are not those of `b`, if there can be one."""
        pairs = dict.fromkeys(zip(_values(a), _values(b), strict=True))
        # Masks that come with arguments are no arguments themselves, and chosen between all the same.
        masks = {(x, y): (_mask_at(a, x), _mask_at(b, y)) for x, y in pairs}
        of_results = [(x.mask, y.mask) for x, y in zip(a.results, b.results, strict=True)]
        every = [*pairs, *masks.values(), *of_results, *zip(a.results, b.results, strict=True)]
        if not all(fit(x, y) for x, y in every) or not _is_one_to_one(a, b):
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
            # Sizes are said by the arguments, which are choices by now.
            value.shape = map_values(lambda v: swap.get(v, v), value.shape)
        return True

    def _joined(self, x: object, y: object) -> Any:
        if isinstance(x, Value):
            return self._choice(x, y)
        chosen = {v: self._choice(v, w) for v, w in zip(values_in(x), values_in(y), strict=True)}
        return map_values(chosen.__getitem__, x)

    def _choice(self, a: Any, b: Any) -> Any:
        # A mask may be that of a node which came before, and was dropped since.
        b = self.same.get(b, b)
        if a is b:
            return a
        if (a, b) not in self.chosen:
            self.chosen[a, b] = select(self.session, a, b)
        return self.chosen[a, b]

    def _put_in_order(self, first: list[Node], second: list[Node], merged: dict[Node, Node]) -> None:
        """Let both traces keep their order, and every node follow those that it needs."""
        taken = self.graph.take(self.start)
        # In the order of training, with what inference alone does in front of the next call of both.
        wish, rest = [], iter(first)
        for node in second:
            if node not in merged:
                wish.append(node)
            elif merged[node] not in wish:
                wish += _up_to(merged[node], rest)
        pending = dict.fromkeys([*wish, *rest, *taken])
        for node in pending:
            # What its results carry may have come behind it: masks are computed after what they mask.
            _rename(node, self.same)
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
        # No recursion: a chain may be deeper than Python's stack.
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
    # `autojunk` ignores what occurs often, as the calls of a deep model do.
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


def fit(a: Value | None, b: Value | None) -> bool:
    """Whether one may stand in the place of the other."""
    if a is b:
        return True
    if a is None or b is None:
        return False
    return a.dtype == b.dtype and _examples(a) == _examples(b)


def _examples(value: Value) -> list[tuple[int | float, ...]]:
    """Both example sizes of each axis: a free size may be like a known one for the first."""
    return [(hint(d, 0), hint(d, 1)) for d in value.shape]


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
        # By its bytes: `==` of arrays is another array, and a NaN equals nothing.
        return type(x).__name__, str(x.dtype), x.shape, x.tobytes()
    if isinstance(x, Dim):
        return "dim", x.op, _frozen(x.args)
    if isinstance(x, Body):
        return "body", json.dumps(encode(x, x.captured.index)), _frozen(x.captured)
    is_plain = x is None or isinstance(x, (bool, int, float, complex, str))
    # With the type, since 1, 1.0 and True are equal.
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
    trains = node.kwargs.get("training", node.training.fixed)
    if node.layer is not None and not training and not trains and _trains_differently(node.layer):
        # Keras's own Functional class runs both sides in both modes: in training, this one must not act.
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


def select(session: Session, a: Value, b: Value) -> Value:
    """The Value that is `a` in inference and `b` in training."""
    target = LayerSpec(SELECT)
    node = Node(f"{b.name}_by_mode", target, ([a, b],), {}, path_of_fork(session))
    return session.finish(node, specs_like(a)).value


def path_of_fork(session: Session) -> str:
    """Path of the layer that is traced for both modes."""
    return session.paths.of_layer(session.decisions.forked_layer, session.path)

"""Whether a built-in layer can have the weights that a rule found: else they stay with functions.

A weight has one place in the result. It is trained or not, it may have a regularizer and a constraint, and
a layer says all of that in its config or not at all.
"""

from __future__ import annotations

import inspect
from collections.abc import Container, Iterator, Sequence

from kerasfx.ir import Node, Value
from kerasfx.ir.match import Match
from kerasfx.ir.weights import Computed, is_trained
from kerasfx.keras_api.builtins import ELEMENTWISE, WEIGHT_KINDS, arguments_for
from kerasfx.runtime.layers import class_named


def can_hold(node: Node, never_trained: Container[int] = ()) -> bool:
    """Whether the layer of `node`, of `graph.make`, can keep what its weights are in the original.

    Args:
        node: The node.
        never_trained: The ids of variables that are not trained whatever `trainable` of their layer is.
    """
    slots = (node.spec.slots if node.spec else None) or {}
    moving = (name for name in node.weights if slots[name].trainable)
    if any(id(v.variable) in never_trained for name in moving for v in _sources(node.weights[name])):
        return False
    trained = {name: is_trained(value) for name, value in node.weights.items()}
    if any(trained[name] and not slots[name].trainable for name in trained):
        return False
    # Keras saves `trainable` for a whole layer.
    if len({trained[name] for name in trained if slots[name].trainable}) > 1:
        return False
    arguments = inspect.signature(class_named(node.spec.class_name)).parameters if node.spec else {}
    return all(
        _has_argument(node, name, kind, arguments)
        for name, value in node.weights.items()
        for kind in WEIGHT_KINDS
        if _brings(value, kind)
    )


def _brings(value: Value, kind: str) -> bool:
    return any(getattr(v.variable, kind, None) is not None for v in _sources(value))


def _sources(value: Value) -> list[Value]:
    """The weight itself, or those that it is computed from."""
    return value.producer.expression.parameters if isinstance(value.producer, Computed) else [value]


def _has_argument(node: Node, name: str, kind: str, arguments: Container[str]) -> bool:
    """Whether the constructor has an argument for it, which no other weight of the layer would get, too."""
    value = node.weights[name]
    if isinstance(value.producer, Computed):
        found = [getattr(v.variable, kind) for v in _sources(value)]
        # What asks where in the weight an element lies does not go along, nor to others than its own.
        if (
            len(found) > 1
            or not isinstance(found[0], ELEMENTWISE)
            or not value.producer.expression.is_rearrangement
        ):
            return False
    key = next((k for k in arguments_for(name, kind) if k in arguments), None)
    others = (k for other in node.weights if other != name for k in arguments_for(other, kind))
    return key is not None and key not in others


def parameters_of(found: Match) -> Iterator[Value]:
    """The weights of the original that the matched calls take."""
    return (
        v for v in dict.fromkeys(x for node in found.nodes for x in node.inputs) if v.variable is not None
    )


def with_all_users(founds: Sequence[Match]) -> list[Match]:
    """Those whose weights nothing but them needs: a weight has one place, one layer or the functions."""
    left = list(founds)
    while True:
        gone = _dying(left)
        torn = {id(f) for f in left if any(u not in gone for p in parameters_of(f) for u in p.users)}
        if not torn:
            return left
        left = [f for f in left if id(f) not in torn]


def _dying(founds: Sequence[Match]) -> set[Node]:
    """The nodes that go when each match is replaced."""
    gone = {found.root for found in founds}
    inner = {node for found in founds for node in found.nodes[1:]} - gone
    while True:
        more = {n for n in inner if all(u in gone for v in n.results for u in v.users) and not _is_asked(n)}
        if not more:
            return gone
        gone |= more
        inner -= more


def _is_asked(node: Node) -> bool:
    return any(v.is_output for v in node.results)


def key_of(node: Node) -> tuple[object, ...]:
    """What two nodes of `graph.make` have in common that call one layer, if their targets are alike, too."""
    return tuple((name, *_said(value)) for name, value in node.weights.items())


def _said(value: Value) -> tuple[object, ...]:
    # A weight that is rearranged for each call anew is one weight; the names in its text are unique.
    if isinstance(value.producer, Computed) and value.producer.expression.is_rearrangement:
        return (str(value.producer.expression),)
    return (id(value),)

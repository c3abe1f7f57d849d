"""A weight that each row of a batch gets, as a class token, to one `broadcast_to`, however it is written.

No layer of Keras does that. One function holds the weight, so that it is one layer in the result.
"""

from __future__ import annotations

from typing import Any

from kerasfx.ir import Graph, Node, Value
from kerasfx.ir.dims import Dim, is_one
from kerasfx.ir.match import Match, any_, either, parameter
from kerasfx.passes.clean_up.order_in_memory import takes_all
from kerasfx.passes.lower.rule import Rule, lower
from kerasfx.passes.patterns import op


def to_tokens(graph: Graph) -> bool:
    """Apply the rules of this family; returns whether any was."""
    return lower(graph, RULES)


def _tiled(graph: Graph, found: Match) -> Node | None:
    repeats = found["repeats"]
    if not isinstance(repeats, (list, tuple)) or len(repeats) != len(found.root.results[0].shape):
        return None
    return _broadcast(graph, found, repeats[0]) if all(map(_is_once, repeats[1:])) else None


def _is_once(n: object) -> bool:
    return type(n) is int and n == 1


def _repeated(graph: Graph, found: Match) -> Node | None:
    return _broadcast(graph, found, found["times"])


def _broadcast_already(graph: Graph, found: Match) -> Node | None:
    shape = found["shape"]
    # As it is written is as it is to be, but for what lies between.
    if len(found.nodes) < 2 or not isinstance(shape, (list, tuple)):
        return None
    return _broadcast(graph, found, shape[0])


def _broadcast(graph: Graph, found: Match, rows: Any) -> Node | None:
    """The weight for as many rows, where each row is the weight itself."""
    weight, result = found["weight"], found.root.results[0]
    rest = result.shape[1:]
    if not isinstance(rows, Dim) or not _is_one_row(found) or not all(isinstance(d, int) for d in rest):
        return None
    own = (
        weight.shape[1:]
        if len(weight.shape) == len(result.shape) and is_one(weight.shape[0])
        else weight.shape
    )
    inserted = len(rest) - len(own)
    if inserted < 0 or tuple(own) != tuple(rest[inserted:]) or not all(map(is_one, rest[:inserted])):
        return None
    return graph.make("keras.ops.broadcast_to", weight, shape=(rows, *rest), like=found.root)


def _is_one_row(found: Match) -> bool:
    """Whether what is tiled, repeated or broadcast has the rank of the result, and one row."""
    x, result = found.root.args[0], found.root.results[0]
    return isinstance(x, Value) and len(x.shape) == len(result.shape) and is_one(x.shape[0])


WEIGHT = parameter("weight")
ROW = either(
    WEIGHT,
    op.expand_dims(WEIGHT, any_()),
    op.reshape(WEIGHT, any_()),
    op.get_item(WEIGHT, any_("key", takes_all, "new axes")),
)

RULES = [
    Rule("tile to broadcast_to", ("keras.ops.tile",), op.tile(ROW, any_("repeats")), _tiled),
    Rule("repeat to broadcast_to", ("keras.ops.repeat",), op.repeat(ROW, any_("times"), axis=0), _repeated),
    Rule(
        "broadcast_to of a row",
        ("keras.ops.broadcast_to",),
        op.broadcast_to(ROW, any_("shape")),
        _broadcast_already,
    ),
]

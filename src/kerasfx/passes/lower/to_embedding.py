"""Rows of a weight by their numbers: `Embedding`.

What is out of range is as it was: the layer calls the very function. So `one_hot(ids) @ W`, which gives zeros
there, is a `Dense`; and `W[ids]`, which JAX clips, an `Embedding` on PyTorch alone, where both raise.
"""

from __future__ import annotations

import keras

from kerasfx.ir import Graph, LayerSpec, Node, Value
from kerasfx.ir.build import HALVES
from kerasfx.ir.match import Match, any_, either
from kerasfx.passes.lower.rule import Rule, lower
from kerasfx.passes.lower.weighted import (
    comes_from_inputs,
    is_mixed,
    make,
    name_for,
    sizes_of,
    weight,
)
from kerasfx.passes.patterns import is_tensor, op

IDS = ("int32", "int64")
"""Dtypes of numbers of rows that the layer takes as they are."""


def _is_ids(x: object) -> bool:
    return is_tensor(x) and isinstance(x, Value) and x.dtype in IDS


NUMBERS = any_("ids", _is_ids, "a tensor of int32 or int64")
TABLE = weight("table")
ROWS = op.take(TABLE, NUMBERS, axis=any_("axis"))
BY_INDEX = op.get_item(TABLE, NUMBERS)

X = any_("x", is_tensor, "a tensor")
LOGITS = op.matmul(X, either(op.transpose(TABLE), op.transpose(TABLE, axes=[1, 0])).shared())
REVERSIBLE = "keras.layers.ReversibleEmbedding"


def to_embedding(graph: Graph) -> bool:
    """Replace what takes rows of a weight by `Embedding`; returns whether any was.

    A table that gives the logits as well, `matmul(x, transpose(table))`, is one weight of one
    `ReversibleEmbedding`, which is called both ways.
    """
    return lower(graph, RULES)


def _embedding(graph: Graph, found: Match) -> Node | None:
    if not _takes_rows(found):
        return None
    rows, width = sizes_of(found["table"])
    weights = {"embeddings": found["table"]}
    config: dict[str, object] = {"input_dim": rows, "output_dim": width}
    dtype = found.root.results[0].dtype
    if is_mixed(found, "table"):
        config["dtype"] = f"mixed_{dtype}"
    return make(graph, found, keras.layers.Embedding, found["ids"], weights=weights, **config)


def _reversible(graph: Graph, found: Match) -> Node | None:
    table = found["table"]
    is_alike = found.root.results[0].dtype == table.dtype and not is_mixed(found, "table")
    if not is_alike or not _is_tied(table):
        return None
    x = found.captures.get("x")
    if not (_is_multiplied(x, table) if x else _takes_rows(found)):
        return None
    rows, width = sizes_of(table)
    layer = LayerSpec(REVERSIBLE, {"input_dim": rows, "output_dim": width, "dtype": table.dtype})
    given = {"weights": {"embeddings": table}, "like": found.root, "wish": name_for(found, REVERSIBLE)}
    return graph.make(layer, x, reverse=True, **given) if x else graph.make(layer, found["ids"], **given)


def _is_multiplied(x: Value, table: Value) -> bool:
    return len(x.shape) >= 2 and len(table.shape) == 2 and x.dtype == table.dtype and comes_from_inputs(x)


def _is_tied(table: Value) -> bool:
    """Whether rows of a table are taken, and something is multiplied by it; one may be a layer by now."""
    ways = ("keras.ops.take", "keras.ops.transpose")
    return all(any(node.calls(way, REVERSIBLE) for node in table.users) for way in ways)


def _takes_rows(found: Match) -> bool:
    ids, is_first_axis = found["ids"], "axis" not in found or found["axis"] == 0
    is_table = len(found["table"].shape) == 2 and len(ids.shape) >= 1
    return is_first_axis and is_table and _computes_alike(found) and comes_from_inputs(ids)


def _computes_alike(found: Match) -> bool:
    compute = found.root.results[0].dtype
    own = str(found["table"].dtype)
    if not is_mixed(found, "table"):
        return own == compute and "float" in compute
    return own == "float32" and compute in HALVES


def _adds_up_alike(found: Match) -> bool:
    """Whether gradients of equal rows are added in one dtype: the layer casts what it has taken."""
    return not is_mixed(found, "table")


RULES = [
    Rule(
        "take and matmul with one table to ReversibleEmbedding",
        ("keras.ops.take", "keras.ops.matmul"),
        either(ROWS, LOGITS),
        _reversible,
        _adds_up_alike,
    ),
    Rule("take to Embedding", ("keras.ops.take",), ROWS, _embedding, _adds_up_alike),
]
if keras.backend.backend() == "torch":
    # Elsewhere it does something else with numbers out of range.
    RULES.append(Rule("get_item to Embedding", ("keras.ops.get_item",), BY_INDEX, _embedding, _adds_up_alike))

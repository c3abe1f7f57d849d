"""Rows of a weight by their numbers: `Embedding`.

What is out of range is as it was: the layer calls the very function. So `one_hot(ids) @ W`, which gives zeros
there, is a `Dense`; and `W[ids]`, which JAX clips, an `Embedding` on PyTorch alone, where both raise.
"""

from __future__ import annotations

import keras

from kerasfx.ir import Graph, Node, Value
from kerasfx.ir.match import Match, any_
from kerasfx.passes.lower.rule import Rule, lower
from kerasfx.passes.lower.weighted import (
    comes_from_inputs,
    is_mixed,
    is_tensor,
    make,
    op,
    sizes_of,
    weight,
)

IDS = ("int32", "int64")
"""Dtypes of numbers of rows that the layer takes as they are."""


def _is_ids(x: object) -> bool:
    return is_tensor(x) and isinstance(x, Value) and x.dtype in IDS


NUMBERS = any_("ids", _is_ids, "a tensor of int32 or int64")
TABLE = weight("table")
ROWS = op.take(TABLE, NUMBERS, axis=any_("axis"))
BY_INDEX = op.get_item(TABLE, NUMBERS)


def to_embedding(graph: Graph) -> bool:
    """Replace what takes rows of a weight by `Embedding`; returns whether any was."""
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


def _takes_rows(found: Match) -> bool:
    ids, is_first_axis = found["ids"], "axis" not in found or found["axis"] == 0
    is_table = len(found["table"].shape) == 2 and len(ids.shape) >= 1
    return is_first_axis and is_table and _computes_alike(found) and comes_from_inputs(ids)


def _computes_alike(found: Match) -> bool:
    compute = found.root.results[0].dtype
    own = str(found["table"].dtype)
    if not is_mixed(found, "table"):
        return own == compute and "float" in compute
    return own == "float32" and compute in ("float16", "bfloat16")


def _adds_up_alike(found: Match) -> bool:
    """Whether gradients of equal rows are added in one dtype: the layer casts what it has taken."""
    return not is_mixed(found, "table")


RULES = [
    Rule("take to Embedding", ("keras.ops.take",), ROWS, _embedding, _adds_up_alike),
]
if keras.backend.backend() == "torch":
    # Elsewhere it does something else with numbers out of range.
    RULES.append(Rule("get_item to Embedding", ("keras.ops.get_item",), BY_INDEX, _embedding, _adds_up_alike))

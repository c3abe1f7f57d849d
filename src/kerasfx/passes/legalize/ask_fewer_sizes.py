"""Say -1 in a reshape for its only size that is not known: then no size is needed at run time."""

from __future__ import annotations

from typing import Any

from kerasfx.ir import Graph, Node
from kerasfx.ir.dims import Dim


def ask_fewer_sizes(graph: Graph) -> bool:
    """Let the reshapes of `graph` find out a lone unknown size; returns whether any did."""
    changed = False
    for node in graph.nodes:
        shape = _newshape(node) if node.target == "keras.ops.reshape" else None
        if isinstance(shape, (list, tuple)) and _knows_all_but_one(shape):
            found = tuple(-1 if isinstance(d, Dim) else d for d in shape)
            graph.set_arguments(node, (node.args[0],), {"newshape": found})
            changed = True
    return changed


def _newshape(node: Node) -> Any:
    return node.args[1] if len(node.args) == 2 else node.kwargs.get("newshape")


def _knows_all_but_one(shape: Any) -> bool:
    known = [d for d in shape if type(d) is int and d > 0]
    return len(known) == len(shape) - 1 and any(isinstance(d, Dim) for d in shape)

"""A reshape of a reshape is one."""

from __future__ import annotations

from typing import Any

from kerasfx.ir import Graph, Node, Value, map_leaves, values_in
from kerasfx.ir.dims import Dim
from kerasfx.passes.clean_up.order_in_memory import is_view, keeps_order, lies_in_order
from kerasfx.passes.clean_up.same_numbers import Places, edit_functions, moved, would_pass_mask_on

RESHAPES = ("keras.ops.reshape", "keras.ops.ravel")


def join_reshapes(graph: Graph) -> bool:
    """Reshape at once what only gets another shape before; returns whether anything was.

    Args:
        graph: The graph, which is edited, and so are the bodies of control flow.
    """
    return edit_functions(graph, _join)


def _join(places: Places, node: Node) -> bool:
    middle = moved(node.outputs) if node.function in RESHAPES else None
    first = middle.node if middle else None
    if middle is None or first is None or not keeps_order(first):
        return False
    x = moved(middle)
    assert x is not None
    args, kwargs = _of(x, middle, node)
    if not _is_known(places.graph, middle, (args, kwargs)) or not places.sums_stay(x, 1):
        return False
    if not (is_view(first) or lies_in_order(x, places.in_body)):
        return False
    if would_pass_mask_on(x, node.outputs):
        return False
    # Its sizes may have been asked for where nothing says them otherwise, or somebody else takes it.
    if not places.is_lone(middle):
        return False
    places.graph.set_arguments(node, args, kwargs)
    places.graph.remove(first)
    return True


def _of(x: Value, middle: Value, node: Node) -> Any:
    """The arguments of a reshape, of `x` instead of `middle`, with sizes of what was there before."""

    def leaf(part: object) -> object:
        if part is middle:
            return x
        return part.origin() if isinstance(part, Dim) else part

    return map_leaves(leaf, (node.args, node.kwargs))


def _is_known(graph: Graph, middle: Value, arguments: object) -> bool:
    """Whether nothing is asked of `middle`, or of what an edit took away before."""
    return all(v is not middle and (v.is_known or _is_in(graph, v)) for v in values_in(arguments))


def _is_in(graph: Graph, value: Value) -> bool:
    return (value.node.program if value.node else value.program) is graph

"""A cast of a cast is one, where the first loses nothing."""

from __future__ import annotations

from kerasfx.ir import Graph, Node, Value
from kerasfx.ir.build import FLOATS
from kerasfx.passes.clean_up.order_in_memory import lies_in_order
from kerasfx.passes.clean_up.same_numbers import Places, argument, edit_functions, moved

CAST = "keras.ops.cast"

WIDER = {
    "float16": ("float32", "float64"),
    "bfloat16": ("float32", "float64"),
    "float32": ("float64",),
    "float64": (),
    "int8": ("int16", "int32", "int64", "float32", "float64"),
    "uint8": ("int16", "int32", "int64", "uint16", "uint32", "float32", "float64"),
    "int16": ("int32", "int64", "float32", "float64"),
    "uint16": ("int32", "int64", "uint32", "float32", "float64"),
    "int32": ("int64", "float64"),
    "uint32": ("int64", "float64"),
}
"""The dtypes that hold every number of another."""


def join_casts(graph: Graph) -> bool:
    """Cast at once what is cast twice; returns whether anything was.

    `float16 -> float32 -> float16` is the number itself, `float32 -> float16 -> float32` is not. Gradients
    go the way back, and there nothing may be lost either: `float16 -> float32 -> float64` rounds the
    gradient twice, and stays where there is one.

    Args:
        graph: The graph, which is edited, and so are the bodies of control flow.
    """
    return edit_functions(graph, _join)


def _join(places: Places, node: Node) -> bool:
    middle = moved(node.outputs) if node.function == CAST else None
    first = middle.node if middle else None
    if middle is None or first is None or first.function != CAST or not places.is_lone(middle):
        return False
    x = moved(middle)
    if x is None or not _loses_nothing(x, middle, node.outputs, node.outputs in places.with_gradient):
        return False
    # A cast makes a copy of a view that has gaps.
    if not lies_in_order(x, places.in_body) or not _cast_at_once(places, node, x):
        return False
    places.graph.remove(first)
    return True


def _cast_at_once(places: Places, node: Node, x: Value) -> bool:
    if x.dtype == node.outputs.dtype:
        return places.take_place(node.outputs, x)
    if not places.sums_stay(x, 1):
        return False
    places.graph.set_arguments(node, (x, argument(node, 1, "dtype")), {})
    return True


def _loses_nothing(x: Value, middle: Value, result: Value, has_gradient: bool) -> bool:
    first, second, third = x.dtype, middle.dtype, result.dtype
    if first == "bool":
        return True
    if second not in WIDER.get(first, ()):
        return False
    if first == third:
        return True
    # What becomes of a number that does not fit an integer is another thing on each way.
    are_floats = first in FLOATS and third in FLOATS
    return are_floats and (not has_gradient or second in (third, *WIDER[third]))

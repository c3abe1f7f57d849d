"""A transpose of a transpose is one."""

from __future__ import annotations

from kerasfx.ir import Graph, Node
from kerasfx.passes.clean_up.order_in_memory import permutation
from kerasfx.passes.clean_up.same_numbers import Places, edit_functions, moved, would_pass_mask_on

TRANSPOSE = "keras.ops.transpose"


def join_transposes(graph: Graph) -> bool:
    """Permute axes at once that are permuted twice; returns whether any were.

    What is in its old order again is an identity, which `remove_identities` leaves out.

    Args:
        graph: The graph, which is edited, and so are the bodies of control flow.
    """
    return edit_functions(graph, _join)


def _join(places: Places, node: Node) -> bool:
    second = permutation(node)
    middle = moved(node.outputs)
    first = permutation(middle.node) if middle and middle.node else None
    if second is None or first is None or middle is None or middle.node is None:
        return False
    x = moved(middle)
    if x is None or not places.is_lone(middle) or not places.sums_stay(x, 1):
        return False
    if would_pass_mask_on(x, node.outputs):
        return False
    former = middle.node
    node.target = TRANSPOSE
    places.graph.set_arguments(node, (x,), {"axes": tuple(first[axis] for axis in second)})
    places.graph.remove(former)
    return True

"""Leave out functions that give back what they take: a reshape to the same shape, an axis put in and out."""

from __future__ import annotations

from kerasfx.ir import Graph, Node
from kerasfx.passes.clean_up.order_in_memory import FAR, is_view, keeps_order, lies_in_order
from kerasfx.passes.clean_up.same_numbers import Places, edit_functions, is_alike, moved


def remove_identities(graph: Graph) -> bool:
    """Let what takes the result of an identity take its argument; returns whether any was left out.

    An identity is a function, or several in a row that nothing else takes, after which numbers, order,
    shape and dtype are the same. `x + 0.0` is none (it turns -0.0 into 0.0), and neither is `x * 1.0`
    (TensorFlow and JAX turn the smallest numbers into zeros where they compute).

    Args:
        graph: The graph, which is edited, and so are the bodies of control flow.
    """
    return edit_functions(graph, _leave_out)


def _leave_out(places: Places, node: Node) -> bool:
    row: list[Node] = []
    step: Node | None = node
    while step is not None and keeps_order(step) and (not row or places.is_lone(step.outputs)):
        if len(row) == FAR:
            break
        row.append(step)
        x = moved(step.outputs)
        assert x is not None
        if is_alike(node.outputs, x) and (all(map(is_view, row)) or lies_in_order(x, places.in_body)):
            return _replace(places, row)
        step = x.node
    return False


def _replace(places: Places, row: list[Node]) -> bool:
    x = moved(row[-1].outputs)
    assert x is not None
    if not places.take_place(row[0].outputs, x):
        return False
    # From the outside in: what is removed frees what it took.
    for node in row[1:]:
        places.graph.remove(node)
    return True

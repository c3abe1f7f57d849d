"""Take away what no output needs."""

from __future__ import annotations

from kerasfx.ir import Body, Graph


def remove_unused(graph: Graph) -> bool:
    """Remove each node, weight and constant that no output needs; returns whether there were nodes.

    Args:
        graph: The graph, which is edited, and so are the bodies of control flow.
    """
    bodies = [b.graph for _, node in graph.walk() for b in node.bodies if isinstance(b, Body)]
    changed = False
    for place in (*bodies, graph):
        changed = place.prune() or changed
    return changed

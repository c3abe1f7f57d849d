"""Let the calls of one layer with a state follow each other as in the original.

A Functional model runs its nodes by depth, and nodes of one depth in no promised order. Where a layer that
draws or keeps statistics is called twice and neither call needs the other's result, the second is made
to: its input passes through an `After` layer that also takes the first call's result. Functions of the
backend that draw share the backend's one random state; an op waits for a result without taking it.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

from kerasfx.ir import (
    ORDER,
    Graph,
    LayerSpec,
    Node,
    values_in,
)
from kerasfx.ir.build import give_result_like
from kerasfx.runtime.functions.backend_functions import draws


def keep_call_order(graph: Graph) -> bool:
    """Order the calls of stateful layers and draws in `graph`; returns whether any needed it."""
    calls: dict[int, list[Node]] = defaultdict(list)
    for node in graph.nodes:
        if node.layer is not None and node.layer.non_trainable_variables:
            calls[id(node.layer)].append(node)
    changed = False
    for nodes in calls.values():
        for before, after in pairwise(nodes):
            if not _needs(after, before):
                _order(graph, before, after)
                changed = True
    return _order_draws(graph) or changed


def _order_draws(graph: Graph) -> bool:
    changed = False
    for before, after in pairwise(n for n in graph.nodes if n.function and draws(n.function)):
        if not _needs(after, before):
            # One result stands for the call.
            graph.set_after(after, before.results[:1])
            changed = True
    return changed


def _needs(after: Node, before: Node) -> bool:
    """Whether the inputs of `after` are computed from a result of `before`."""
    waiting, seen = list(after.inputs), set()
    while waiting:
        value = waiting.pop()
        if value.producer is before:
            return True
        if value.node and value not in seen:
            waiting.extend(value.node.inputs)
        seen.add(value)
    return False


def _order(graph: Graph, before: Node, after: Node) -> None:
    # Any of its tensors: all of them have to be there before it is called.
    first = next(iter(values_in((after.args, after.kwargs))))
    node = Node(
        f"{after.name}_in_order",
        LayerSpec("kerasfx.layers.After", {"when": [ORDER]}),
        ([first, before.results[0]],),
        {},
    )
    node.name = graph.unique_name(node.name)
    node.path, node.source = after.path, after.source
    ordered = give_result_like(node, first)
    graph.insert_before(after, node)
    graph.replace_input(after, first, ordered)

"""Let calls with a state follow each other as in the original.

A Functional model runs its nodes by depth, and nodes of one depth in no promised order. Where a layer that
draws or keeps statistics is called twice and neither call needs the other's result, the second is made
to: its input passes through an `After` layer that also takes the first call's result. Functions of the
backend that draw share the backend's one random state; an op waits for a result without taking it. Custom
layers that could not be opened may share anything (the random state of NumPy, a counter), with each other
and with these.
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
from kerasfx.keras_api.builtins import builtin_class, custom_parts
from kerasfx.runtime.functions.backend_functions import draws


def keep_call_order(graph: Graph) -> bool:
    """Order the calls of stateful and unopened layers, and draws; returns whether any needed it."""
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
    return _order_what_shares(graph) or changed


def _order_what_shares(graph: Graph) -> bool:
    """Order the calls that share a state which no variable holds."""
    changed = False
    for before, after in pairwise(filter(_may_share, graph.nodes)):
        if _needs(after, before):
            continue
        if after.function is None:
            _order(graph, before, after)
        else:
            # One result stands for the call.
            graph.set_after(after, before.results[:1])
        changed = True
    return changed


def _may_share(node: Node) -> bool:
    if node.function is not None:
        return draws(node.function)
    if node.call is None or node.call.opaque is None or not node.results:
        return False
    return builtin_class(type(node.layer)) is None or bool(custom_parts(node.layer))


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

"""A rule of lowering: a pattern of functions, and the built-in layer that computes the same.

A rule must not change a number, a dtype, a mask or a shape, in inference and in training. Where it could
only change the last bit it is not exact: it is applied under `lower="fast"` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from kerasfx.ir import Graph, LayerSpec, Node, Value
from kerasfx.ir.match import Match, Pattern

Replacement = tuple[LayerSpec, Any]
"""A layer without weights and what it takes: it is called where the function of the root was called."""

Exact = Callable[[Match], bool]


def always(found: Match) -> bool:
    """The layer calls the very functions that were found, on every backend."""
    return True


def never(found: Match) -> bool:
    """The layer computes the same in another order: the last bit may differ."""
    return False


@dataclass(frozen=True)
class Rule:
    """What to look for, and what to put there.

    Attributes:
        name: What messages call it: "matmul to Dense".
        roots: The functions that the outermost call of the pattern may be: only these nodes are tried.
        pattern: What to look for.
        build: `build(graph, found)` gives the Node of `graph.make` or the Value that takes the place of
            `found.root`, or a `Replacement`, or None to leave it.
        is_exact: Whether what was found gives the same bits, in its dtype, on the backend of the day.
    """

    name: str
    roots: tuple[str, ...]
    pattern: Pattern
    build: Callable[[Graph, Match], Node | Value | Replacement | None]
    is_exact: Exact = always


@dataclass
class Lowering:
    """What `prepare_model(lower=...)` asks for, and what was done: a note in `graph.meta`.

    Attributes:
        fast: Whether rules are applied that may change the last bit.
        inexact: For each such rule that was applied, its name, the node, and the largest difference.
    """

    fast: bool = False
    inexact: list[tuple[str, Node, float]] = field(default_factory=list)


def lower(graph: Graph, rules: Sequence[Rule]) -> bool:
    """Apply rules, one after the other over the whole graph, but not to bodies, which hold no layers.

    Returns:
        Whether any was applied.
    """
    changed = False
    for rule in rules:
        for node in [n for n in graph.nodes if n.function in rule.roots]:
            # An edit may have taken it away.
            found = rule.pattern.match(node) if node.program is graph else None
            if found is not None and _apply(graph, rule, found):
                changed = True
    return changed


def _apply(graph: Graph, rule: Rule, found: Match) -> bool:
    lowering = graph.meta.get(Lowering) or Lowering()
    is_exact = rule.is_exact(found)
    if not (is_exact or lowering.fast):
        return False
    new = rule.build(graph, found)
    if new is None or (isinstance(new, Node) and not _is_alike(found.root, new)):
        return False
    if isinstance(new, Node):
        graph.replace(found.root, new)
    elif isinstance(new, Value):
        graph.replace_uses(_only_result(found.root), new)
        graph.remove(found.root)
    else:
        found.root.target, tensors = new
        graph.set_arguments(found.root, (tensors,), {})
    # From the outside in: what is removed frees what it took.
    for node in found.nodes[1:]:
        if node.program is graph and not any(v.users or v.is_output for v in node.results):
            graph.remove(node)
    return True


def _is_alike(old: Node, new: Node) -> bool:
    """Whether the results carry the same masks: layers pass on what functions drop."""
    return [v.mask for v in old.results] == [v.mask for v in new.results]


def _only_result(node: Node) -> Value:
    (result,) = node.results
    return result

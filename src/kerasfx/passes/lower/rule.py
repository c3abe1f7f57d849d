"""A rule of lowering: a pattern of functions, and the built-in layer that computes the same.

A rule must not change a number, a dtype, a mask or a shape, in inference and in training. Where it could
only change the last bit it is not exact: it is applied under `lower="fast"` alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from kerasfx.ir import Computed, Graph, LayerSpec, Node, Value, values_in
from kerasfx.ir.build import masks_like
from kerasfx.ir.match import Match, Pattern
from kerasfx.passes.clean_up.same_numbers import is_alike
from kerasfx.passes.lower.difference import NotMeasurableError, Replacement, largest_difference
from kerasfx.passes.lower.held import can_hold, key_of, parameters_of, with_all_users
from kerasfx.passes.notes import InsteadOf
from kerasfx.progress import logs
from kerasfx.reporting import Finding

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
        roots: What the outermost call of the pattern may be, a function or a layer that the trace has put
            there: only these nodes are tried.
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
        shares: Whether the result takes the variables of the original as they are, none rearranged.
        never_trained: The ids of variables of the original that setting `trainable` does not make train.
        opened: The class of each layer that was opened, by its path, if the user asked for any: what was
            to be opened does not become a layer of its class again.
        inexact: For each such rule that was applied, its name, the node, and the largest difference.
    """

    fast: bool = False
    shares: bool = False
    never_trained: frozenset[int] = frozenset()
    opened: Mapping[str, str] = field(default_factory=dict)
    inexact: list[tuple[str, Node, float]] = field(default_factory=list)

    def closes(self, spec: LayerSpec, node: Node) -> bool:
        """Whether the layer would be the one that the user wanted opened, and that a node comes from."""
        return self.opened.get(node.path) == spec.class_name.rpartition(".")[2]

    def findings(self) -> list[Finding]:
        """What the report says of rules that are not exact: each once, with all places."""
        return [self._finding(name) for name in dict.fromkeys(name for name, _, _ in self.inexact)]

    def _finding(self, name: str) -> Finding:
        found = [(node, gap) for rule, node, gap in self.inexact if rule == name]
        node, largest = max(found, key=lambda pair: pair[1])
        places = ", ".join(dict.fromkeys(n.path or "the model" for n, _ in found))
        what = f"{name}, {len(found)} times: {largest:.1e} at most on random numbers, in {places}"
        return Finding("inexact", node.path, what, node.source)


def lower(graph: Graph, rules: Sequence[Rule]) -> bool:
    """Apply rules, one after the other over the whole graph, but not to bodies, which hold no layers.

    Returns:
        Whether any was applied.
    """
    changed = False
    calls = _calls(graph)
    for rule in rules:
        found = dict(place for root in rule.roots for place in calls.get(root, ()))
        if found and _Application(graph, rule).run([found[place] for place in sorted(found)]):
            changed, calls = True, _calls(graph)
    return changed


def _calls(graph: Graph) -> dict[str, list[tuple[int, Node]]]:
    """The nodes of a graph by the function, or the layer to be made, that they call, each with its place."""
    found: dict[str, list[tuple[int, Node]]] = defaultdict(list)
    for place, node in enumerate(graph.nodes):
        if node.callee is not None:
            found[node.callee].append((place, node))
    return found


class _Application:
    """One rule, and the graph that it is applied to."""

    def __init__(self, graph: Graph, rule: Rule):
        self.graph, self.rule = graph, rule
        self.lowering = graph.meta.get(Lowering) or Lowering()
        self.weights: dict[tuple[object, ...], dict[str, Value]] = {}

    def run(self, candidates: Sequence[Node]) -> bool:
        """Apply it wherever it may be applied: to some of the nodes that call one of its roots."""
        founds = [found for node in candidates if (found := self._found(node))]
        changed = False
        for root in [f.root for f in self._whole(with_all_users(founds))]:
            # An edit may have taken it away.
            found = self._found(root) if root.program is self.graph else None
            changed |= found is not None and self._apply(found)
        return changed

    def _found(self, node: Node) -> Match | None:
        found = self.rule.pattern.match(node)
        is_wanted = found is not None and (self.lowering.fast or self.rule.is_exact(found))
        return found if is_wanted else None

    def _whole(self, founds: list[Match]) -> list[Match]:
        """Without those that share a weight with another, unless both would become one layer."""
        groups: dict[Value, list[Match]] = defaultdict(list)
        for found in founds:
            for parameter in parameters_of(found):
                groups[parameter].append(found)
        torn = {id(f) for group in groups.values() if not self._become_one(group) for f in group}
        return [f for f in founds if id(f) not in torn]

    def _become_one(self, group: list[Match]) -> bool:
        if len(group) < 2:
            return True
        made = [new for new in map(self._tried, group) if isinstance(new, Node)]
        is_one = len(made) == len(group) and len(set(map(key_of, made))) == 1
        return is_one and all(new.target == made[0].target for new in made)

    def _tried(self, found: Match) -> Node | Value | Replacement | None:
        """What would be put there; the graph is left as it was."""
        before = self.graph.nodes[:]
        with self.graph.nothing_added():
            new = self._built(found)
            self._forget(before)
        return new

    def _built(self, found: Match) -> Node | Value | Replacement | None:
        new = self.rule.build(self.graph, found)
        if self._closes(new, found.root):
            return None
        # A mask that the user has put on the result of a function is put there by that function alone.
        if isinstance(new, tuple) and any(v.mask is not None for v in found.root.results):
            return None
        return None if isinstance(new, Node) and not self._may_stand(new, found.root) else new

    def _closes(self, new: Node | Value | Replacement | None, old: Node) -> bool:
        target = new.target if isinstance(new, Node) else new[0] if isinstance(new, tuple) else None
        return isinstance(target, LayerSpec) and self.lowering.closes(target, old)

    def _may_stand(self, new: Node, old: Node) -> bool:
        """Whether the layer means what the function does to its weights and to all that takes its results."""
        is_moved = any(isinstance(value.producer, Computed) for value in new.weights.values())
        return (
            _is_alike(old, new)
            and can_hold(new, self.lowering.never_trained)
            and not (is_moved and self.lowering.shares)
        )

    def _forget(self, before: list[Node]) -> None:
        """Take out what `build` has inserted."""
        for node in reversed(self._new(before)):
            self.graph.remove(node)

    def _new(self, before: list[Node]) -> list[Node]:
        there = set(before)
        return [n for n in self.graph.nodes if n not in there]

    def _apply(self, found: Match) -> bool:
        graph, before = self.graph, self.graph.nodes[:]
        new = self._built(found)
        if new is None or not self._is_noted(found, new, before):
            self._forget(before)
            return False
        logs.passes.debug("%s at %s (%s)", self.rule.name, found.root.name, found.root.source)
        note = InsteadOf.of(found.nodes)
        if isinstance(new, Node):
            if new.weights:
                # One layer is called several times: what is computed for one call is no other weight.
                new.weights = self.weights.setdefault(key_of(new), new.weights)
            graph.replace(found.root, new)
            new.meta[InsteadOf] = note
        elif isinstance(new, Value):
            graph.replace_uses(_only_result(found.root), new)
            graph.remove(found.root)
        else:
            become(graph, found.root, new)
            found.root.meta[InsteadOf] = note
        # From the outside in: what is removed frees what it took.
        for node in found.nodes[1:]:
            if node.program is graph and not any(v.users or v.is_output for v in node.results):
                graph.remove(node)
        return True

    def _is_noted(self, found: Match, new: Node | Value | Replacement, before: list[Node]) -> bool:
        """Write down how far the new is from the old, if it may be; False if nobody can tell."""
        if self.rule.is_exact(found):
            return True
        try:
            gap = largest_difference(self.graph, found, new, self._new(before))
        except NotMeasurableError:
            return False
        self.lowering.inexact.append((self.rule.name, found.root, gap))
        return True


def become(graph: Graph, node: Node, new: Replacement) -> None:
    """Let a node that calls a function call a layer, with tensors that carry no mask, as for a function."""
    target, tensors = new
    masks = masks_like(node, set(values_in(tensors)))
    node.meta[InsteadOf] = InsteadOf.of([node])
    node.target = target
    graph.set_arguments(node, (tensors,), {}, masks)


def _is_alike(old: Node, new: Node) -> bool:
    """Whether dtypes and sizes agree, and masks: layers pass on what functions drop."""
    pairs = zip(old.results, new.results, strict=True)
    return all(a.mask is b.mask and is_alike(a, b) for a, b in pairs)


def _only_result(node: Node) -> Value:
    (result,) = node.results
    return result

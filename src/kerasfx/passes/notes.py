"""Notes on nodes: which pass has put them there, and what stood there before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kerasfx.ir import Graph, Node, SourceLine


@dataclass(frozen=True)
class PutBy:
    """A note on a node that a pass has made, or given another target.

    Attributes:
        name: The name of the pass.
        is_ours: Whether it is one that `prepare_model` runs by itself.
    """

    name: str
    is_ours: bool


@dataclass(frozen=True)
class InsteadOf:
    """A note on a node that stands where a pattern was found.

    Attributes:
        calls: What was called there, in order of execution, each with the user's line.
        passes: The passes of the user's that had put some of it there.
    """

    calls: tuple[tuple[str, SourceLine | None], ...]
    passes: tuple[str, ...] = ()

    @classmethod
    def of(cls, nodes: Iterable[Node]) -> InsteadOf:
        """The note for what stands in the place of nodes, the last one first."""
        found = list(nodes)[::-1]
        put = [note.name for n in found if (note := n.meta.get(PutBy)) and not note.is_ours]
        # What stood in the place of others stands for these.
        calls = [call for n in found for call in _calls(n)]
        return cls(tuple(calls), tuple(dict.fromkeys(put)))


def _calls(node: Node) -> Iterable[tuple[str, SourceLine | None]]:
    note = node.meta.get(InsteadOf)
    return note.calls if note else ((called(node), node.source),)


def called(node: Node) -> str:
    """What a node calls, in a word: `matmul`, `Dense`."""
    if node.function is not None:
        return node.function.rpartition(".")[2]
    if node.spec is not None:
        return node.spec.class_name.rpartition(".")[2]
    return type(node.layer).__name__ if node.layer is not None else type(node.target).__name__


class Watch:
    """What a graph looked like before a pass ran, or when the last one was noted.

    Args:
        graph: The graph.
    """

    def __init__(self, graph: Graph):
        self._graph = graph
        self._before = self._targets()

    def _targets(self) -> dict[Node, object]:
        # The nodes themselves: the id of one that is gone may come to be another's.
        return {node: node.target for node in self._graph.nodes}

    def note(self, name: str, is_ours: bool) -> None:
        """Note on each node that is new, or has another target, that the pass of this name did it."""
        for node in self._graph.nodes:
            if self._before.get(node) is not node.target:
                node.meta[PutBy] = PutBy(name, is_ours)
        self._before = self._targets()

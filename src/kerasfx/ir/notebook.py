"""A graph in a notebook: its text, folded by the paths of the layers, and nothing that is not in the text."""

from __future__ import annotations

from html import escape
from itertools import groupby

from kerasfx.ir.program import Node, Program
from kerasfx.ir.text import header_of, lines_of, return_of, weight_lines

OPEN = 80
"""A graph of so many nodes is unfolded, parts included."""

MOST_NODES = 10_000
"""More would make the notebook a file of megabytes."""

_TEXT = "margin:0;overflow-x:auto"
_PART = "margin-left:1em"

Placed = tuple[list[str], list[str]]
"""The names of the layers around a node, and the lines of the node."""


def to_html(graph: Program, headline: str, most: int = MOST_NODES) -> str:
    """HTML of `graph` below a headline, with `most` nodes; a layer around nodes is a part that folds.

    The nodes are in execution order, so that a layer which others interrupt is several parts.
    """
    shown = [(_around(node), lines_of(node)) for node in list(graph.nodes)[:most]]
    more, is_open = len(graph.nodes) - len(shown), len(graph.nodes) <= OPEN
    parts = [
        _text([header_of(graph)]),
        _weights(weight_lines(graph)),
        *_folded(shown, 0, is_open),
        _text([f"  and {more} more: print(graph)"] if more else []),
        _text([return_of(graph)]),
    ]
    return _details(headline, "".join(parts), is_open)


def _around(node: Node) -> list[str]:
    """The names of the layers in which a node stands; a layer that is called is itself none of them."""
    names = node.path.split(".") if node.path else []
    return names if isinstance(node.target, str) else names[:-1]


def _weights(lines: list[str]) -> str:
    return _details(f"{len(lines)} weights and constants", _text(lines), is_open=False) if lines else ""


def _folded(nodes: list[Placed], depth: int, is_open: bool) -> list[str]:
    def name(placed: Placed) -> str:
        return placed[0][depth] if len(placed[0]) > depth else ""

    return [_part(name, list(run), depth, is_open) for name, run in groupby(nodes, name)]


def _part(name: str, nodes: list[Placed], depth: int, is_open: bool) -> str:
    if not name:
        return _text([line for _, lines in nodes for line in lines])
    count = f"{name}: {len(nodes)} node{'s' if len(nodes) > 1 else ''}"
    return _details(count, "".join(_folded(nodes, depth + 1, is_open)), is_open)


def _details(summary: str, inside: str, is_open: bool) -> str:
    state = " open" if is_open else ""
    return f'<details{state} style="{_PART}"><summary>{escape(summary)}</summary>{inside}</details>'


def _text(lines: list[str]) -> str:
    """One element however many lines: thousands of them stay usable."""
    return f'<pre style="{_TEXT}">{escape(chr(10).join(lines), quote=False)}</pre>' if lines else ""

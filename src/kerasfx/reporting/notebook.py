"""The report in a notebook: the headline and a table of findings, which needs nothing beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from kerasfx.reporting.findings import KINDS, Finding
from kerasfx.reporting.grouping import Group, grouped

ROWS = 5
"""How many groups of one kind are shown."""

_CELL = "text-align:left;vertical-align:top;padding:2px 8px"
_TEXT = f"{_CELL};white-space:pre-wrap"


def shown(head: str, findings: Iterable[Finding], tail: Sequence[str]) -> str:
    """HTML of a report: a line, what was found, and what to do next."""
    rows = "".join(_rows(findings))
    titles = "".join(f'<th style="{_CELL}">{title}</th>' for title in ("layer", "what", "do"))
    table = f"<table><thead><tr>{titles}</tr></thead><tbody>{rows}</tbody></table>" if rows else ""
    below = "".join(f"<div>{escape(line)}</div>" for line in tail)
    return f"<div><strong>{escape(head)}</strong>{table}{below}</div>"


def _rows(findings: Iterable[Finding]) -> Iterator[str]:
    for kind, groups in grouped(findings).items():
        title = escape(KINDS.get(kind, kind))
        yield f'<tr><th colspan="3" scope="rowgroup" style="{_CELL}">{title}</th></tr>'
        yield from map(_row, groups[:ROWS])
        more = sum(len(g.findings) for g in groups[ROWS:])
        if more:
            where = f'and {more} more: <code>report.of_kind("{escape(kind)}")</code>'
            yield f'<tr><td colspan="3" style="{_CELL}">{where}</td></tr>'


def _row(group: Group) -> str:
    first = group.first
    cells = map(escape, (group.counted, f"{first.what}{first.at}", first.hint))
    return "".join(["<tr>", *(f'<td style="{_TEXT}">{cell}</td>' for cell in cells), "</tr>"])

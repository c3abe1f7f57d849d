"""A comparison in a notebook: a small table that needs nothing beside it and is read in light and dark."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

COLORS = {"exact": "#1a7f37", "within": "#0a58ca", "DIFFERENT": "#b42318"}
"""By the first word of a verdict: what stands behind its white letters, whatever is around them."""

MOST_ROWS = 200
"""How many layers are listed."""

Row = tuple[str, str, str]
"""What was compared, the verdict, and what is to say of it."""

_CELL = "text-align:left;vertical-align:top;padding:2px 8px"
_BADGE = "color:#fff;border-radius:3px;padding:1px 6px;white-space:nowrap"


def shown_checks(headline: str, checks: Iterable[Row], remarks: Iterable[str] = ()) -> str:
    """HTML of the answers to some questions, below a headline and above remarks."""
    below = "".join(f"<div>{escape(remark)}</div>" for remark in remarks)
    return f"<div><strong>{escape(headline)}</strong>{_table('check', checks)}{below}</div>"


def shown_layers(headline: str, layers: list[Row]) -> str:
    """HTML of layers, to be unfolded below a headline."""
    more = len(layers) - MOST_ROWS
    left = f"<div>and {more} more: <code>comparison.layers</code></div>" if more > 0 else ""
    table = _table("layer", layers[:MOST_ROWS]) if layers else ""
    return f"<details><summary>{escape(headline)}</summary>{table}{left}</details>"


def _table(of: str, rows: Iterable[Row]) -> str:
    head = "".join(f'<th style="{_CELL}">{title}</th>' for title in (of, "verdict", "detail"))
    body = "".join(f"<tr>{_cells(row)}</tr>" for row in rows)
    return f'<table style="color:inherit"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _cells(row: Row) -> str:
    name, verdict, detail = row
    color = COLORS[verdict.partition(" ")[0]]
    badge = f'<span style="background:{color};{_BADGE}">{escape(verdict)}</span>'
    return "".join(f'<td style="{_CELL}">{cell}</td>' for cell in (escape(name), badge, escape(detail)))

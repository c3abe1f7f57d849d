"""The report as a text that fits a screen: a headline, then what to act on, the worst first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import indent

from kerasfx.reporting.findings import KINDS, Finding
from kerasfx.reporting.grouping import Group, grouped

LINES = 40
"""How many lines a text has at most."""

GROUPS = 5
"""How many groups of one kind are shown."""

LONGEST = 12
"""How many lines of one finding are shown."""

FEW = 3
"""How many findings that ask nothing of the user are shown one by one."""

CALM = ("kept", "fixed")
"""Kinds of findings that are as the user wrote them; one with a hint is shown all the same."""


def screen(head: str, findings: Iterable[Finding], tail: Sequence[str]) -> str:
    """The text of a report: a line, what was found, and what to do next; at most `LINES` lines."""
    kinds = list(grouped(findings).items())
    lines: list[str] = []
    for number, (kind, groups) in enumerate(kinds):
        # One line stays for each kind behind it.
        room = LINES - 1 - len(tail) - len(lines) - (len(kinds) - number - 1)
        lines += _of_kind(kind, groups, room)
    return "\n".join([head, *lines, *(f"  {line}" for line in tail)])


def _of_kind(kind: str, groups: list[Group], room: int) -> list[str]:
    """A title and the groups of a kind, as many as there is room for."""
    title = KINDS.get(kind, kind)
    count = sum(len(g.findings) for g in groups)
    in_short = [f'  {title}: {count}, report.of_kind("{kind}")']
    is_calm = kind in CALM and not any(g.first.hint for g in groups)
    if is_calm and len(groups) > FEW:
        return in_short
    lines = [f"  {title}:"]
    for number, group in enumerate(groups):
        is_last = number == len(groups) - 1
        # Advice that the next one repeats is given there.
        text = group.what if not is_last and groups[number + 1].hint == group.hint else group.text
        new = _clipped(indent(text, "    ").splitlines())
        if number == GROUPS or len(lines) + len(new) + (not is_last) > room:
            more = sum(len(g.findings) for g in groups[number:])
            return [*lines, f'    and {more} more: report.of_kind("{kind}")'] if number else in_short
        lines += new
    return lines


def _clipped(lines: list[str]) -> list[str]:
    return lines if len(lines) <= LONGEST else [*lines[: LONGEST - 1], "      ..."]

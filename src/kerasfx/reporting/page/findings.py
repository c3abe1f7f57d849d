"""What the user should know, alike things told once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kerasfx.reporting.findings import KINDS

URGENT = ("opaque", "warning")
"""What to act on; the rest is good to know."""


@dataclass(frozen=True)
class Group:
    """Findings of one kind.

    Attributes:
        title: What they have in common.
        urgent: Whether to act on them.
        entries: What happened and what to do about it, with all the findings of which that is true.
    """

    title: str
    urgent: bool
    entries: list[list[Mapping[str, Any]]]

    @property
    def number(self) -> int:
        """How many findings there are."""
        return sum(map(len, self.entries))


def groups_of(findings: Sequence[Mapping[str, Any]]) -> list[Group]:
    """The findings by kind, the urgent ones first."""
    kinds: list[str] = list(dict.fromkeys(finding["kind"] for finding in findings))
    ordered = sorted(kinds, key=lambda kind: kind not in URGENT)
    return [
        Group(KINDS.get(kind, kind), kind in URGENT, _alike([f for f in findings if f["kind"] == kind]))
        for kind in ordered
    ]


def _alike(findings: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    entries: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for finding in findings:
        entries.setdefault((finding["what"], finding["hint"]), []).append(finding)
    return list(entries.values())

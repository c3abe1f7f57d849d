"""What the user should know, alike things told once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kerasfx.ir import SourceLine
from kerasfx.reporting.findings import KINDS, Finding
from kerasfx.reporting.grouping import Group, grouped

URGENT = ("opaque", "warning")
"""What to act on; the rest is good to know."""


@dataclass(frozen=True)
class Topic:
    """The findings of one kind.

    Attributes:
        title: What they have in common.
        urgent: Whether to act on them.
        groups: Those that say the same together.
    """

    title: str
    urgent: bool
    groups: list[Group]

    @property
    def heading(self) -> str:
        """The title and how many findings there are."""
        number = sum(len(group.findings) for group in self.groups)
        return f"{self.title[0].upper()}{self.title[1:]} ({number})"


def topics_of(findings: Sequence[Mapping[str, Any]]) -> list[Topic]:
    """The findings by kind, the worst first."""
    found = grouped(map(_finding, findings))
    return [Topic(KINDS.get(kind, kind), kind in URGENT, groups) for kind, groups in found.items()]


def _finding(data: Mapping[str, Any]) -> Finding:
    source = SourceLine(**data["source"]) if data["source"] else None
    return Finding(**{**data, "source": source})

"""Findings that say the same are said once, with all their places."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from kerasfx.ir import identifier
from kerasfx.reporting.findings import KINDS, Finding
from kerasfx.reporting.paths import counted


@dataclass(frozen=True)
class Group:
    """Findings that say the same of several layers.

    Attributes:
        findings: At least one.
    """

    findings: tuple[Finding, ...]

    @property
    def first(self) -> Finding:
        """The finding whose words are shown."""
        return self.findings[0]

    @property
    def counted(self) -> str:
        """The places of all of them, folded, and how many they are."""
        return counted([f.path for f in self.findings])

    @property
    def what(self) -> str:
        """What is found, and where."""
        return f"{self.counted}: {self.first.what}{self.first.at}"

    @property
    def hint(self) -> str:
        """What to do about it."""
        return self.first.hint

    @property
    def text(self) -> str:
        """What is found, where, and what to do."""
        return f"{self.what}\n  do:    {self.hint}" if self.hint else self.what


def grouped(findings: Iterable[Finding]) -> dict[str, list[Group]]:
    """The groups of each kind, the worst kind first; kinds without any are left out."""
    found: dict[str, dict[object, list[Finding]]] = {kind: {} for kind in KINDS}
    for finding in findings:
        found.setdefault(finding.kind, {}).setdefault(_key(finding), []).append(finding)
    groups = {kind: [Group(tuple(x)) for x in alike.values()] for kind, alike in found.items()}
    return {kind: of_kind for kind, of_kind in groups.items() if of_kind}


def _key(finding: Finding) -> object:
    """What findings have in common that say the same of different layers."""
    return _impersonal(finding.what, finding.path), finding.source, _impersonal(finding.hint, finding.path)


def _impersonal(text: str, path: str) -> str:
    """A text without the name of the layer that it is about."""
    if not path:
        return text
    # Tensors are called after the layer, too: "blocks_0_add" in "blocks[0]".
    names = "|".join(map(re.escape, {path, identifier(path)}))
    return re.sub(rf"(?<![A-Za-z0-9])({names})(?![A-Za-z0-9])", "*", text)

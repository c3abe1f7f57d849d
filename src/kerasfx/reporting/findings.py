"""A finding: one thing that the user should know."""

from __future__ import annotations

from dataclasses import dataclass

from kerasfx.ir import SourceLine
from kerasfx.reporting.paths import MODEL
from kerasfx.reporting.records import Data, in_short, source_data

KINDS = {
    "opaque": "kept whole, because they could not be opened",
    "kept": "kept whole on request",
    "warning": "warnings",
    "inexact": 'layers that may differ from the original in the last bit (lower="fast")',
    "replaced": "replaced as asked; their numbers are others than those of the original",
    "shared": "called several times, and one layer all the same",
    "guard": "answers about free sizes, checked whenever the model is called",
    "fixed": "values read while tracing, fixed in the result",
    "dropped": "left out of the result",
    "unused": "what no output depends on",
}
"""The kinds of findings, the worst first, each with its title."""


@dataclass(frozen=True, repr=False)
class Finding:
    """One thing that the user should know.

    Attributes:
        kind: A key of `KINDS`.
        path: Path of the layer.
        what: What happened.
        source: The user's line.
        hint: What to do about it.
    """

    kind: str
    path: str
    what: str
    source: SourceLine | None = None
    hint: str = ""

    @property
    def at(self) -> str:
        """The user's line, in brackets."""
        return f" ({self.source})" if self.source else ""

    def __str__(self) -> str:
        hint = f"\n  do:    {self.hint}" if self.hint else ""
        return f"{self.path or MODEL}: {self.what}{self.at}{hint}"

    def __repr__(self) -> str:
        return f"<Finding {self.kind}: {in_short(str(self))}>"

    def to_dict(self) -> Data:
        """The finding as data for JSON."""
        return {
            "kind": self.kind,
            "path": self.path,
            "what": self.what,
            "source": source_data(self.source),
            "hint": self.hint,
        }

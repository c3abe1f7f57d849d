"""What is said about one entry on one backend, and the table of all that was said."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

YES = "yes"
NOT_APPLICABLE = "n/a"

CAUSE_LENGTH = 400

COLUMNS = (
    "entry",
    "right",
    "layers",
    "opaque",
    "equal",
    "lost",
    "unused",
    "batch",
    "length",
    "loads",
    "own step",
    "seconds",
)


@dataclass
class Verdict:
    """The answers about one prepared model.

    Attributes:
        entry: Name of the entry.
        backend: Name of the backend.
        error: Why there is no prepared model; empty when there is one.
        seconds: Time that `prepare_model` took, its verification included.
        layers: Number of layers of the prepared model.
        opaque: The custom layers that were kept whole, each with the reason.
        exact: Whether `kerasfx.compare` found everything equal bit for bit.
        exact_uncompiled: Whether it did so only where nothing was compiled.
        difference: The largest difference it saw.
        different: The checks of it that failed.
        lost: Variables of the original that are missing though outputs depend on them, or that the
            report does not name.
        unused: Number of variables that are missing because no output depends on them.
        batch_free: `YES`, or what happens at another batch size.
        length_free: The same for every other free size at which the original works, or `NOT_APPLICABLE`.
        loads: `YES`, or what happens in a process without the package.
        own_step: `YES`, or how training by a `train_step` of the example's own differs, or `NOT_APPLICABLE`.
    """

    entry: str
    backend: str
    error: str = ""
    seconds: float = 0.0
    layers: int = 0
    opaque: list[str] = field(default_factory=list)
    exact: bool = False
    exact_uncompiled: bool = False
    difference: float = math.inf
    different: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    unused: int = 0
    batch_free: str = ""
    length_free: str = ""
    loads: str = ""
    own_step: str = NOT_APPLICABLE

    @property
    def causes(self) -> list[str]:
        """Everything that is not right, the first cause first; empty when all is."""
        if self.error:
            return [self.error]
        found = [
            *(f"opaque: {x}" for x in self.opaque),
            *(f"differs: {x}" for x in self.different),
            *(f"lost: {x}" for x in self.lost),
        ]
        if self.batch_free != YES:
            found.append(f"batch: {self.batch_free}")
        if self.length_free not in (YES, NOT_APPLICABLE):
            found.append(f"length: {self.length_free}")
        if self.loads != YES:
            found.append(f"loads: {self.loads}")
        if self.own_step not in (YES, NOT_APPLICABLE):
            found.append(f"own step: {self.own_step}")
        return found

    @property
    def right(self) -> bool:
        """Whether there is nothing to complain about."""
        return not self.causes

    @property
    def summary(self) -> str:
        """`"right"`, or the first cause."""
        return "right" if self.right else self.causes[0]

    @property
    def in_short(self) -> str:
        """How equal, and how long it took; `"NO"` where anything is not right."""
        return f"{self._equal()}, {self.seconds:.1f} s" if self.right else "NO"

    def as_json(self) -> dict[str, Any]:
        """The fields, as JSON can hold them."""
        fields = asdict(self)
        return {**fields, "difference": self.difference if math.isfinite(self.difference) else None}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Verdict:
        """The inverse of `as_json`."""
        difference = fields["difference"]
        return cls(**{**fields, "difference": math.inf if difference is None else difference})

    def cells(self) -> tuple[str, ...]:
        """A row of the table, as `COLUMNS` says."""
        if self.error:
            return (self.entry, "NO", "error", *[""] * (len(COLUMNS) - 3))
        return (
            self.entry,
            YES if self.right else "NO",
            str(self.layers),
            str(len(self.opaque)),
            self._equal(),
            str(len(self.lost)),
            str(self.unused),
            _short(self.batch_free),
            _short(self.length_free),
            _short(self.loads),
            _short(self.own_step),
            f"{self.seconds:.1f}",
        )

    def _equal(self) -> str:
        if self.different:
            return "NO"
        if self.exact_uncompiled:
            return "uncompiled"
        return "exact" if self.exact else f"{self.difference:.1e}"


def _short(answer: str) -> str:
    return answer if answer in (YES, NOT_APPLICABLE) else "NO"


def side_by_side(by_backend: Mapping[str, Sequence[Verdict]]) -> str:
    """One table for all backends, their totals, and the first cause of each failure."""
    header = ["entry", *by_backend]
    rows = [[v[0].entry, *(x.in_short for x in v)] for v in zip(*by_backend.values(), strict=True)]
    totals = [f"{sum(v.right for v in verdicts)} of {len(verdicts)}" for verdicts in by_backend.values()]
    table = aligned([header, ["---"] * len(header), *rows, ["right", *totals]])
    wrong = [v for verdicts in by_backend.values() for v in verdicts if not v.right]
    failures = [f"- `{v.entry}` on {v.backend}: {v.summary[:CAUSE_LENGTH]}" for v in wrong]
    return "\n".join([*table, "", *failures] if failures else table)


def as_markdown(backend: str, verdicts: Sequence[Verdict]) -> str:
    """The total of one backend, its table, and the first cause of each failure."""
    right = sum(v.right for v in verdicts)
    failures = [f"- `{v.entry}`: {v.summary[:CAUSE_LENGTH]}" for v in verdicts if not v.right]
    lines = [
        f"### {backend}: {right} of {len(verdicts)} right",
        "",
        *aligned([COLUMNS, ["---"] * len(COLUMNS), *(v.cells() for v in verdicts)]),
    ]
    return "\n".join([*lines, "", *failures] if failures else lines)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table in Markdown."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [f"| {' | '.join(c.ljust(w) for c, w in zip(row, widths, strict=True))} |" for row in rows]

"""What is said about one entry on one backend, and the table of all that was said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

YES = "yes"
NOT_APPLICABLE = "n/a"

COLUMNS = (
    "entry",
    "of",
    "right",
    "layers",
    "built-in, %",
    "opaque",
    "equal",
    "lost",
    "unused",
    "batch",
    "length",
    "loads",
    "own step",
    "seconds",
    "MiB",
    "time",
)


@dataclass
class Verdict:
    """The answers about one prepared model.

    Attributes:
        entry: Name of the entry.
        backend: Name of the backend.
        not_applicable: Why the original does not work on this backend; empty when it does.
        error: Why there is no prepared model; empty when there is one.
        seconds: Processor time that `prepare_model` took, its verification included.
        mebibytes: The most memory that the process held meanwhile, above what it held with the original.
        relative_time: The time of a compiled call of the prepared model by that of the original; None where
            the original does not compile.
        layers: Number of layers of the prepared model.
        built_in: How many of them are layers of Keras, in percent.
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
        loads: `YES`, or what happens in a process without the package; empty when nobody asked yet.
        own_step: `YES`, or how training by a `train_step` of the example's own differs, or `NOT_APPLICABLE`.
        compiles: `YES`, or how a compiled call of the prepared model fails where the original compiles.
        versions: The versions of all that the verdict depends on, that of the entry's package last.
    """

    entry: str
    backend: str
    not_applicable: str = ""
    error: str = ""
    seconds: float = 0.0
    mebibytes: float = 0.0
    relative_time: float | None = None
    layers: int = 0
    built_in: float = 0.0
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
    compiles: str = YES
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def causes(self) -> list[str]:
        """Everything that is not right, the first cause first; empty when all is."""
        if self.not_applicable or self.error:
            return [self.not_applicable or self.error]
        found = [
            *(f"opaque: {x}" for x in self.opaque),
            *(f"differs: {x}" for x in self.different),
            *(f"lost: {x}" for x in self.lost),
        ]
        if self.batch_free not in (YES, NOT_APPLICABLE):
            found.append(f"batch: {self.batch_free}")
        if self.length_free not in (YES, NOT_APPLICABLE):
            found.append(f"length: {self.length_free}")
        if self.loads != YES:
            found.append(f"loads: {self.loads}")
        if self.compiles != YES:
            found.append(f"compiled: {self.compiles}")
        if self.own_step not in (YES, NOT_APPLICABLE):
            found.append(f"own step: {self.own_step}")
        return found

    @property
    def right(self) -> bool:
        """Whether there is nothing to complain about."""
        return not self.causes

    @property
    def whole(self) -> bool:
        """Whether a model came out in which no custom layer is kept whole."""
        return not (self.not_applicable or self.error or self.opaque)

    @property
    def equal(self) -> bool:
        """Whether a model came out that does what the original does, at most rounding apart."""
        return not (self.not_applicable or self.error or self.different)

    @property
    def summary(self) -> str:
        """`"right"`, or the first cause."""
        return "right" if self.right else self.causes[0]

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
        head = (f"`{self.entry}`", self._package())
        if self.not_applicable or self.error:
            words = (NOT_APPLICABLE, "") if self.not_applicable else ("NO", "error")
            return (*head, *words, *[""] * (len(COLUMNS) - len(head) - len(words)))
        return (
            *head,
            YES if self.right else "NO",
            str(self.layers),
            f"{self.built_in:.0f}",
            str(len(self.opaque)),
            self._equal(),
            str(len(self.lost)),
            str(self.unused),
            _short(self.batch_free),
            _short(self.length_free),
            _short(self.loads),
            _short(self.own_step),
            f"{self.seconds:.1f}",
            f"{self.mebibytes:.0f}",
            self._time(),
        )

    def _time(self) -> str:
        if self.compiles != YES:
            return "NO"
        return "" if self.relative_time is None else f"{self.relative_time:.2f}"

    def _package(self) -> str:
        """The package of the original with its version, where it is not an example of the benchmarks' own."""
        own = list(self.versions.items())[3:]
        return " ".join(own[0]) if own else ""

    def _equal(self) -> str:
        if self.different:
            return "NO"
        if self.exact_uncompiled:
            return "uncompiled"
        return "exact" if self.exact else f"{self.difference:.1e}"


def _short(answer: str) -> str:
    return answer if answer in (YES, NOT_APPLICABLE) else "NO"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table in Markdown."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [f"| {' | '.join(c.ljust(w) for c, w in zip(row, widths, strict=True))} |" for row in rows]

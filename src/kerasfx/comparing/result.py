"""What a comparison found: one `Check` per question, a `Comparison` for all of them."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from kerasfx.comparing.measure import Difference
from kerasfx.comparing.notebook import Row, shown_checks, shown_layers
from kerasfx.reporting import PROVES_NOTHING

SHOWN = 10
"""How many layers that are not equal a printed comparison lists."""


@dataclass(frozen=True, repr=False)
class Check:
    """The answer to one question about two models.

    Attributes:
        name: What was asked, for example `"perturbed outputs"`.
        passed: Whether all differences were within tolerance.
        exact: Whether everything was equal bit for bit.
        max_abs_difference: The largest difference of two numbers; infinite when the things
            compared differ in structure, shape, dtype or in where they are not finite.
        detail: What was looked at, or what differs and where.
    """

    name: str
    passed: bool
    exact: bool
    max_abs_difference: float
    detail: str = ""

    @property
    def verdict(self) -> str:
        """`exact`, `within 1.2e-07` or `DIFFERENT`."""
        return _verdict(self.exact, self.passed, self.max_abs_difference)

    @property
    def row(self) -> Row:
        """The question, the verdict and the detail."""
        return self.name, self.verdict, self.detail

    def __repr__(self) -> str:
        return f"<Check '{self.name}': {self.verdict}>"

    def _repr_html_(self) -> str:
        return shown_checks("", [self.row])

    def to_dict(self) -> dict[str, Any]:
        """All of it in what JSON knows; a difference that is not finite is None."""
        return {
            **asdict(self),
            "max_abs_difference": _finite(self.max_abs_difference),
            "verdict": self.verdict,
        }


@dataclass(frozen=True, repr=False)
class LayerDifference:
    """How far a layer of the prepared model is from that of the original which it stands for.

    Attributes:
        layer: Name of the layer of the prepared model.
        path: Path of that of the original, `"encoder.blocks[0].proj"`; None if no attribute leads to it.
        max_abs_difference: The largest difference of two numbers of their outputs, of all calls; infinite
            when structure, shape or dtype differ, or where they are not finite.
        relative: The same relative to the largest magnitude of the original's output.
        exact: Whether all outputs are equal bit for bit.
        within: Whether they are equal within tolerance.
        reason: What differs; "" if nothing does.
    """

    layer: str
    path: str | None
    max_abs_difference: float
    relative: float
    exact: bool
    within: bool
    reason: str = ""

    def __repr__(self) -> str:
        return f"<LayerDifference '{self.layer}': {self.verdict}>"

    @property
    def verdict(self) -> str:
        """`exact`, `within 1.2e-07` or `DIFFERENT`."""
        return _verdict(self.exact, self.within, self.max_abs_difference)

    @property
    def row(self) -> Row:
        """The layer, the verdict and what differs."""
        return self.layer, self.verdict, self.reason

    def to_dict(self) -> dict[str, Any]:
        """All of it in what JSON knows; a difference that is not finite is None."""
        numbers = {name: _finite(getattr(self, name)) for name in ("max_abs_difference", "relative")}
        return {**asdict(self), **numbers}


@dataclass(frozen=True, repr=False)
class Comparison:
    """The outcome of `kerasfx.compare`; true when the two models are equivalent.

    Attributes:
        a: Name of the original model.
        b: Name of the prepared model.
        checks: The checks in the order in which they ran.
        notes: What the reader should know to judge the checks, such as how variables were paired.
        first_difference: Where the models part, in words; None when their outputs agree.
        layers: How far corresponding layers are apart, in order of execution (one that is called several
            times stands where it differs first), in one run of which a note
            tells; empty unless `compare` was asked `by_layer`.
    """

    a: str
    b: str
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()
    first_difference: str | None = None
    layers: tuple[LayerDifference, ...] = ()

    @property
    def equivalent(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    @property
    def exact(self) -> bool:
        """Whether every check passed without the difference of a single bit."""
        return self.equivalent and all(check.exact for check in self.checks)

    @property
    def proves_nothing(self) -> bool:
        """Whether no output had a number to compare, so that it is true and nobody knows."""
        return self.equivalent and PROVES_NOTHING in self.notes

    @property
    def max_abs_difference(self) -> float:
        """The largest difference any check saw."""
        return max((check.max_abs_difference for check in self.checks), default=0.0)

    def to_dict(self) -> dict[str, Any]:
        """All of it in what JSON knows; a difference that is not finite is None."""
        return {
            "a": self.a,
            "b": self.b,
            "equivalent": self.equivalent,
            "exact": self.exact,
            "max_abs_difference": _finite(self.max_abs_difference),
            "first_difference": self.first_difference,
            "notes": list(self.notes),
            "checks": [check.to_dict() for check in self.checks],
            "layers": [layer.to_dict() for layer in self.layers],
        }

    def __bool__(self) -> bool:
        """Same as `equivalent`."""
        return self.equivalent

    def __repr__(self) -> str:
        return f"<Comparison: {self.headline}>"

    def _repr_html_(self) -> str:
        remarks = [f"first difference: {self.first_difference}"] if self.first_difference else []
        remarks += [f"note: {note}" for note in self.notes]
        checks = shown_checks(self.headline, (check.row for check in self.checks), remarks)
        if not self.layers:
            return checks
        return checks + shown_layers(self._headline_of_layers, [x.row for x in self.unequal_layers])

    def __str__(self) -> str:
        """A table with one line per check, then the first difference, the layers and the notes."""
        rows = [("check", "verdict", "detail"), *(check.row for check in self.checks)]
        lines = [self.headline, *_aligned(rows)]
        if self.first_difference:
            lines.append(f"first difference: {self.first_difference}")
        if self.layers:
            lines += self._lines_of_layers()
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    @property
    def headline(self) -> str:
        """The verdict in a line."""
        if self.proves_nothing:
            return f"'{self.a}' and '{self.b}' were not compared: {PROVES_NOTHING}"
        if self.exact:
            return f"'{self.a}' and '{self.b}' are equivalent, bit for bit"
        if self.equivalent:
            return f"'{self.a}' and '{self.b}' are equivalent within rounding"
        failed = ", ".join(check.name for check in self.checks if not check.passed)
        return f"'{self.a}' and '{self.b}' are NOT equivalent: {failed}"

    @property
    def unequal_layers(self) -> list[LayerDifference]:
        """The layers that are not equal bit for bit.

        First those that differ, in order of execution, so that the first is where it begins; then the others,
        the largest difference first.
        """
        within = [x for x in self.layers if x.within and not x.exact]
        return [x for x in self.layers if not x.within] + sorted(within, key=lambda x: -x.relative)

    @property
    def _headline_of_layers(self) -> str:
        count = len(self.layers)
        return f"{count - len(self.unequal_layers)} of {count} corresponding layers equal bit for bit"

    def _lines_of_layers(self) -> list[str]:
        unequal = self.unequal_layers
        lines = [self._headline_of_layers, *_aligned([x.row for x in unequal[:SHOWN]])]
        more = len(unequal) - SHOWN
        return [*lines, f"  and {more} more: comparison.layers"] if more > 0 else lines


def _verdict(exact: bool, within: bool, by: float) -> str:
    if not within:
        return "DIFFERENT"
    return "exact" if exact else f"within {by:.1e}"


def _aligned(rows: list[Row]) -> list[str]:
    # The details come last, and may be as long as they are.
    name, verdict = (max((len(row[column]) for row in rows), default=0) for column in (0, 1))
    return [f"  {r[0]:<{name}}  {r[1]:<{verdict}}  {r[2]}".rstrip() for r in rows]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def format_difference(value: float) -> str:
    """A difference in two digits, or words where no number says it."""
    return f"{value:.2g}" if math.isfinite(value) else "not comparable"


def as_check(name: str, total: Difference, looked_at: str) -> Check:
    """A check from the worst difference it saw, or from what it looked at if there is none."""
    return Check(name, total.within, total.exact, total.largest, total.reason or looked_at)

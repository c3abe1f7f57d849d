"""What a comparison found: one `Check` per question, a `Comparison` for all of them."""

import math
from dataclasses import dataclass

from kerasfx.comparing.measure import Difference


@dataclass(frozen=True)
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
        if not self.passed:
            return "DIFFERENT"
        return "exact" if self.exact else f"within {self.max_abs_difference:.1e}"


@dataclass(frozen=True)
class Comparison:
    """The outcome of `kerasfx.compare`; true when the two models are equivalent.

    Attributes:
        a: Name of the original model.
        b: Name of the prepared model.
        checks: The checks in the order in which they ran.
        notes: What the reader should know to judge the checks, such as how variables were paired.
        first_difference: Where the models part, in words; None when their outputs agree.
    """

    a: str
    b: str
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()
    first_difference: str | None = None

    @property
    def equivalent(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    @property
    def exact(self) -> bool:
        """Whether every check passed without the difference of a single bit."""
        return self.equivalent and all(check.exact for check in self.checks)

    @property
    def max_abs_difference(self) -> float:
        """The largest difference any check saw."""
        return max((check.max_abs_difference for check in self.checks), default=0.0)

    def __bool__(self) -> bool:
        """Same as `equivalent`."""
        return self.equivalent

    def __str__(self) -> str:
        """A table with one line per check, then the first difference and the notes."""
        lines = [self._headline(), *self._table()]
        if self.first_difference:
            lines.append(f"first difference: {self.first_difference}")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def _headline(self) -> str:
        if self.exact:
            return f"'{self.a}' and '{self.b}' are equivalent, bit for bit"
        if self.equivalent:
            return f"'{self.a}' and '{self.b}' are equivalent within rounding"
        failed = ", ".join(check.name for check in self.checks if not check.passed)
        return f"'{self.a}' and '{self.b}' are NOT equivalent: {failed}"

    def _table(self) -> list[str]:
        rows = [("check", "verdict", "detail")]
        rows += [(check.name, check.verdict, check.detail) for check in self.checks]
        # The details come last, and may be as long as they are.
        name, verdict = (max(len(row[column]) for row in rows) for column in (0, 1))
        return [f"  {r[0]:<{name}}  {r[1]:<{verdict}}  {r[2]}".rstrip() for r in rows]


def format_difference(value: float) -> str:
    """A difference in two digits, or words where no number says it."""
    return f"{value:.2g}" if math.isfinite(value) else "not comparable"


def as_check(name: str, total: Difference, looked_at: str) -> Check:
    """A check from the worst difference it saw, or from what it looked at if there is none."""
    return Check(name, total.within, total.exact, total.largest, total.reason or looked_at)

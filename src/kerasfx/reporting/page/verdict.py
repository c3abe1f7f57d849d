"""Whether the result is the same as the original, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Verdict:
    """The first thing to be read.

    Attributes:
        kind: `equal`, `within`, `differs` or `unknown`; a class of the style sheet.
        mark: A sign for it, since colour alone says nothing to many.
        words: The verdict.
        detail: What it rests on, or what it leaves open.
    """

    kind: str
    mark: str
    words: str
    detail: str


EXPLAINED = "Nothing was made that could be compared; this is what prepare_model would do."


def verdict_of(record: Mapping[str, Any]) -> Verdict:
    """What the comparison says, and what it cannot say."""
    comparison = record["comparison"]
    if record["result"] is None:
        return Verdict("unknown", "○", "explained, not made", EXPLAINED)
    if record["unchanged"]:
        return Verdict("equal", "=", "unchanged", "The model was flat already and came back as it was.")
    if comparison is None or not comparison["checks"]:
        return Verdict("unknown", "?", "not compared", "Nobody has compared the result with the original.")
    return _compared(comparison, _replaced(record))


def _compared(comparison: Mapping[str, Any], replaced: str) -> Verdict:
    checks = comparison["checks"]
    failed = [check["name"] for check in checks if not check["passed"]]
    if failed:
        return Verdict(
            "differs", "≠", "differs", f"{len(failed)} of {_checks(checks)} failed: {', '.join(failed)}."
        )
    trained = any("training" in check["name"] for check in checks)
    mode, but = ("", replaced) if trained else (" in inference", f" Training was not compared.{replaced}")
    if comparison["exact"]:
        return Verdict("equal", "=", f"equal bit for bit{mode}", f"{_checks(checks)}, no bit differs.{but}")
    largest = max((check["max_abs_difference"] or 0.0 for check in checks), default=0.0)
    detail = f"{_checks(checks)}; the largest difference is {largest:.1e}.{but}"
    return Verdict("within", "≈", f"equal within rounding{mode}", detail)


def _checks(checks: list[Mapping[str, Any]]) -> str:
    return f"{len(checks)} check{'' if len(checks) == 1 else 's'}"


def _replaced(record: Mapping[str, Any]) -> str:
    """What was replaced as asked, which was done after the comparison."""
    number = sum(finding["kind"] == "replaced" for finding in record["findings"])
    what = "1 layer was" if number == 1 else f"{number} layers were"
    return f" Compared before {what} replaced as asked, which changes numbers." if number else ""

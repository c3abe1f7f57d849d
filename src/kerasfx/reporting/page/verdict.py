"""The first thing to be read: whether it goes through, and whether the result is the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kerasfx.reporting.verdict import BOTH, PROVES_NOTHING, compares_training, says_nothing, verdict


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


def is_refused(record: Mapping[str, Any]) -> bool:
    """Whether `explain` found that the model itself cannot be prepared."""
    before = record["before"]
    return record["result"] is None and bool(before) and before[0]["became"] == "whole"


def verdict_of(record: Mapping[str, Any]) -> Verdict:
    """What the comparison says, and what it cannot say."""
    if is_refused(record):
        return Verdict(
            "differs", "✕", "cannot be prepared as it is", "Nothing can be made that would be compared."
        )
    if record["result"] is None:
        return Verdict("unknown", "○", "explained, not made", "This is what prepare_model would do.")
    if record["unchanged"]:
        return Verdict("equal", "=", "unchanged", "The model was flat already and came back as it was.")
    comparison = record["comparison"]
    if comparison is None or says_nothing(comparison):
        why = "Nobody has compared the result with the original."
        if comparison and PROVES_NOTHING in comparison["notes"]:
            why = PROVES_NOTHING.capitalize() + "."
        return Verdict("unknown", "?", "not compared", why)
    words = verdict(comparison, record["mode"])
    kind, mark = ("equal", "=") if comparison["exact"] else ("within", "≈")
    if not comparison["equivalent"]:
        kind, mark = "differs", "≠"
    return Verdict(kind, mark, words, _detail(comparison, record["mode"]))


def _detail(comparison: dict[str, Any], mode: str) -> str:
    checks = comparison["checks"]
    asked = f"{len(checks)} check{'' if len(checks) == 1 else 's'}"
    failed = [check["name"] for check in checks if not check["passed"]]
    if failed:
        said = f"{len(failed)} of {asked} failed: {', '.join(failed)}."
    elif comparison["exact"]:
        said = f"{asked}, no bit differs."
    else:
        largest = max(check["max_abs_difference"] or 0.0 for check in checks)
        said = f"{asked}; the largest difference is {largest:.1e}."
    is_open = mode == BOTH and not compares_training(comparison)
    return f"{said} Training was not compared." if is_open else said

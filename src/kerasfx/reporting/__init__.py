"""What was opened, kept, renamed and lowered, and why: as records, and as a text."""

from __future__ import annotations

from kerasfx.reporting.clock import Clock
from kerasfx.reporting.findings import KINDS, Finding
from kerasfx.reporting.records import OriginalLayer, ResultLayer
from kerasfx.reporting.reports import Report, attach, report, was_prepared
from kerasfx.reporting.verdict import BEFORE_REPLACING, PROVES_NOTHING

__all__ = [
    "BEFORE_REPLACING",
    "KINDS",
    "PROVES_NOTHING",
    "Clock",
    "Finding",
    "OriginalLayer",
    "Report",
    "ResultLayer",
    "attach",
    "report",
    "was_prepared",
]

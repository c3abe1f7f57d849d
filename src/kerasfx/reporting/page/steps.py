"""How to go on, by what became of the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kerasfx.reporting.page.verdict import is_refused

Step = tuple[str, str]
"""What for, and what to type."""

COMPARE = "comparison = kerasfx.compare(original, prepared, by_layer=True)"
SHOW = 'kerasfx.report(prepared).to_html("report.html", comparison=comparison)'


def steps_of(record: Mapping[str, Any]) -> list[Step]:
    """What to do next, the most pressing first."""
    if is_refused(record):
        return [("Mend what is said beside this, then look again", "kerasfx.explain(model)")]
    if record["result"] is None and record["unchanged"]:
        return []
    if record["result"] is None:
        return [("Make it, and compare it with the original", "prepared = kerasfx.prepare_model(model)")]
    return [*_proof(record), *_use(record)]


def _proof(record: Mapping[str, Any]) -> list[Step]:
    comparison = record["comparison"]
    if record["unchanged"]:
        return []
    if comparison is None:
        return [("Compare it with the original before you use it", f"{COMPARE}\n{SHOW}")]
    if comparison["equivalent"] and (comparison["exact"] or comparison["layers"]):
        return []
    if comparison["equivalent"]:
        return [("See which layers round otherwise", f"{COMPARE}\n{SHOW}")]
    beyond = [found for found in comparison["layers"] if not found["within"]]
    if not beyond:
        return [("Do not use the result; find the layer where they part", f"{COMPARE}\n{SHOW}")]
    path = beyond[0]["path"] or "..."
    return [
        (
            "Do not use the result; keep whole what differs",
            f"kerasfx.prepare_model(original, leaves=[{path!r}])",
        )
    ]


def _use(record: Mapping[str, Any]) -> list[Step]:
    if record["comparison"] and not record["comparison"]["equivalent"]:
        return []
    code = ("Read it as code", "print(kerasfx.to_source(prepared))")
    if record["unchanged"]:
        return [code]
    whole = any(layer["kind"] in ("kept", "whole") for layer in record["layers"])
    loads = (
        "`import kerasfx` and what stays whole load it" if whole else "`import kerasfx` is all that loads it"
    )
    home = ("Bring weights home after training", "kerasfx.copy_weights(prepared, original)")
    return [(f"Keep it; {loads}", 'prepared.save("prepared.keras")'), home, code]

"""What the page shows: the dict of a report, put in words, in order and beside the differences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kerasfx.reporting.page.differences import (
    CELLS,
    Shown,
    difference_by_layer,
    legend_of,
    of_several,
    strip_of,
)
from kerasfx.reporting.page.findings import topics_of
from kerasfx.reporting.page.hierarchy import Part, parts_of
from kerasfx.reporting.page.steps import steps_of
from kerasfx.reporting.page.verdict import verdict_of

Record = Mapping[str, Any]


MARKS = {
    "kept": "kept",
    "whole": "whole",
    "unused": "unused",
    "dropped": "left out",
    "input": "input",
    "weight": "weight",
}
"""What is said of a row, beside its colour."""

CHUNK = 64
"""How many rows a browser takes up or leaves alone at a time, by whether they are to be seen."""

LONG = 600
"""From how many rows on it does so."""


def compared(record: Record, comparison: Record) -> Record:
    """The record with another comparison of the same models.

    Raises:
        ValueError: The comparison is of another model, about which the page would say what is not true.
    """
    names = {layer["name"] for layer in record["layers"]}
    others = [found["layer"] for found in comparison["layers"] if found["layer"] not in names]
    if comparison["b"] != record["result"] or others:
        which = f" with a layer {others[0]!r}" if others else ""
        raise ValueError(
            f"The comparison is of '{comparison['a']}' and '{comparison['b']}'{which}; "
            f"this is the report of '{record['result']}'.\n"
            "  do:    comparison=kerasfx.compare(original, prepared, by_layer=True)"
        )
    return {**record, "comparison": comparison}


def view_of(record: Record) -> dict[str, Any]:
    """What the template needs to know."""
    differences = difference_by_layer(record["comparison"])
    parts = parts_of(record["before"])
    for part in reversed(parts):
        part.layers.update(part.entry["layers"], *(child.layers for child in part.children))
        part.difference = of_several([differences.get(name) for name in part.layers])
    shown = [differences.get(layer["name"]) for layer in record["layers"]]
    return {
        "record": record,
        "verdict": verdict_of(record),
        "facts": _facts(record),
        "phases": _phases(record["seconds"]),
        "topics": topics_of(record["findings"]),
        "steps": steps_of(record),
        "parts": parts,
        "rows": list(zip(record["layers"], shown, strict=True)),
        "first_beyond": _first_beyond(record, differences),
        "legend": legend_of(record["comparison"]),
        "strip": strip_of(shown) if any(found and found.level for found in shown) else [],
        "missing": None in shown,
        "cells": min(CELLS, len(shown)),
        "chunk": CHUNK,
        "long": len(parts) + len(shown) > LONG,
        "marks": MARKS,
        "filters": _filters(record),
        "data": _data(record, parts),
    }


def _first_beyond(record: Record, differences: Mapping[str, Shown]) -> str | None:
    """The first layer that runs and is not within tolerance."""
    names = (layer["name"] for layer in record["layers"])
    return next((name for name in names if name in differences and not differences[name].within), None)


def _facts(record: Record) -> list[str]:
    """The figures below the name of the model."""
    became = [entry["became"] for entry in record["before"]]
    others = (("whole", "could not be opened"), ("kept", "kept on request"), ("unused", "unused"))
    facts = [f"{became.count(name):,} {words}" for name, words in others if name in became]
    whole = next((entry["parameters"] for entry in record["before"] if entry["parent"] is None), 0)
    return [_made(record, became.count("opened")), *facts, _counted(whole, "parameter")]


def _made(record: Record, opened: int) -> str:
    """`42 layers from 7 opened`, or what would be."""
    if record["result"] is None:
        graph = " and ".join(_counted(number, noun) for noun, number in record["graph"].items())
        return f"{opened:,} to be opened" + (f", in a graph of {graph}" if graph else "")
    # A portable model has operations beside its layers.
    operations = sum(x["kind"] == "function" and x["module"] == "keras.ops" for x in record["layers"])
    made = _counted(len(record["layers"]) - operations, "layer")
    made += f" and {_counted(operations, 'operation')}" if operations else ""
    return made if record["unchanged"] else f"{made} from {opened:,} opened"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _phases(seconds: Mapping[str, float]) -> list[tuple[str, float, float, float]]:
    """Name, seconds, beginning and width (of 100) of each phase, for a bar."""
    phases = [(name, value) for name, value in seconds.items() if name != "total" and value]
    whole = sum(value for _, value in phases)
    bars, start = [], 0.0
    for name, value in phases:
        width = 100 * value / whole
        bars.append((name, value, round(start, 2), round(width, 2)))
        start += width
    return bars


def _filters(record: Record) -> list[tuple[str, str, int]]:
    """Name, words and number of rows of each filter; one that would show nothing is not offered."""
    became = [entry["became"] for entry in record["before"]]
    differences = (record["comparison"] or {}).get("layers", [])
    filters = [
        ("kept", "Kept whole", became.count("kept") + became.count("whole")),
        ("function", "Functions", sum(layer["kind"] == "function" for layer in record["layers"])),
        ("inexact", "Not exact", sum(not difference["exact"] for difference in differences)),
        ("differs", "Differs", sum(not difference["within"] for difference in differences)),
        ("unused", "Unused", became.count("unused") + became.count("dropped")),
    ]
    return [found for found in filters if found[2]]


def _data(record: Record, parts: list[Part]) -> dict[str, Any]:
    """What the page needs to follow a layer from one side to the other, in the order of its rows."""
    rows = {id(part): row for row, part in enumerate(parts)}
    differences = (record["comparison"] or {}).get("layers", [])
    return {
        "before": [{**part.entry, "up": rows.get(id(part.parent), -1)} for part in parts],
        "after": record["layers"],
        "differences": {difference["layer"]: difference for difference in differences},
    }

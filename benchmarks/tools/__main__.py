"""Runs each tool on each model, in a process of its own, and writes the table.

python -m benchmarks.tools --environments tools-keras=~/.cache/.../bin/python tools-onnx=... tools-litert=...
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.tools.models import EXAMPLES
from benchmarks.tools.rows import ROWS, Row
from benchmarks.tools.subject import SIDES, first_words
from benchmarks.tools.table import Cells, as_markdown

CELLS = Path("build/tools/cells.json")
TABLE = Path("benchmarks/tools.md")


def cell(row: Row, model: str, python: str, seconds: float) -> dict[str, str]:
    """The outcome by side; a side that gave none has the last words of the process."""
    command = [python, "-m", "benchmarks.tools.cell", row.title, model]
    environment = {**os.environ, "KERAS_BACKEND": row.backend}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=environment)
        lines, last = done.stdout.splitlines(), f"the process ended with {done.returncode}"
    except subprocess.TimeoutExpired as expired:
        lines = (expired.stdout or b"").decode().splitlines()
        last = f"no outcome after {seconds:.0f} s"
    given = [json.loads(line) for line in lines if line.startswith('{"side"')]
    found = {each["side"]: each["outcome"] for each in given}
    return {side: found.get(side, last) for side in SIDES}


def run(
    rows: Sequence[Row], models: Sequence[str], pythons: dict[str, str], jobs: int, seconds: float
) -> Cells:
    """The outcome of each cell by row, model and side; each is announced when it is known."""
    asked = [(row, model) for row in rows for model in row.models if model in models]

    def one(which: tuple[Row, str]) -> dict[str, str]:
        row, model = which
        outcome = cell(row, model, pythons[row.environment], seconds)
        for side in SIDES:
            print(f"{row.title:32} {model:16} {side:9} {first_words(outcome[side], 120)}", flush=True)
        return outcome

    with ThreadPoolExecutor(jobs) as pool:
        outcomes = list(pool.map(one, asked))
    return {f"{row.title}/{model}": o for (row, model), o in zip(asked, outcomes, strict=True)}


def arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tools", description=__doc__)
    parser.add_argument("--environments", nargs="+", required=True, metavar="NAME=PYTHON")
    parser.add_argument(
        "--rows", nargs="*", default=[], metavar="WORD", help="those whose title has one of these"
    )
    parser.add_argument("--models", nargs="*", choices=list(EXAMPLES), default=[], metavar="MODEL")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--seconds", type=float, default=600, help="time limit of one process")
    return parser.parse_args(given)


def versions(pythons: dict[str, str]) -> dict[str, str]:
    """What is installed in each environment, as `pip freeze` says it."""
    asked = "keras|tensorflow|torch|numpy|qkeras|hls4ml|netron|shap|onnx|aimet|tf2onnx|ai-edge"
    found = {}
    for name, python in pythons.items():
        frozen = subprocess.run([python, "-m", "pip", "freeze"], capture_output=True, text=True, check=True)
        lines = [
            line for line in frozen.stdout.splitlines() if line.lower().startswith(tuple(asked.split("|")))
        ]
        found[name] = ", ".join(line.replace("==", " ").split(" @ ")[0] for line in lines)
    return found


def main(given: Sequence[str]) -> int:
    options = arguments(given)
    pythons = dict(each.split("=", 1) for each in options.environments)
    chosen = [row for title, row in ROWS.items() if any(word in title for word in options.rows or [""])]
    rows = [row for row in chosen if row.environment in pythons]
    known: Cells = json.loads(CELLS.read_text()) if CELLS.exists() else {}
    models = options.models or list(EXAMPLES)
    known |= run(rows, models, pythons, options.jobs, options.seconds)
    CELLS.parent.mkdir(parents=True, exist_ok=True)
    CELLS.write_text(json.dumps(known, indent=1))
    TABLE.write_text(as_markdown(known, versions(pythons)))
    print(f"\nwritten to {TABLE}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

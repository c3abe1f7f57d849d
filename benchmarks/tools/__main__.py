"""Runs each tool on each model, a process for each tool, and writes the table.

python -m benchmarks.tools --environments tools-keras=~/.cache/.../bin/python tools-onnx=... tools-litert=...
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from benchmarks.tools.models import EXAMPLES
from benchmarks.tools.rows import ROWS, Row
from benchmarks.tools.subject import SIDES, first_words
from benchmarks.tools.table import Cells, as_markdown, key

CELLS = Path("build/tools/cells.json")
TABLE = Path("benchmarks/tools.md")


def ask(row: Row, models: Sequence[str], python: str, seconds: float) -> Cells:
    """The outcomes of a row; where one is missing there are the last words of the process."""
    command = [python, "-m", "benchmarks.tools.cell", row.title, *models]
    environment = {**os.environ, "KERAS_BACKEND": row.backend}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=environment)
        lines, last = done.stdout.splitlines(), f"the process ended with {done.returncode}"
    except subprocess.TimeoutExpired as expired:
        lines = (expired.stdout or b"").decode().splitlines()
        last = f"no outcome after {seconds:.0f} s"
    given = [json.loads(line) for line in lines if line.startswith('{"model"')]
    found = {(each["model"], each["side"]): each["outcome"] for each in given}
    return {key(row, model): {side: found.get((model, side), last) for side in SIDES} for model in models}


def run(rows: Sequence[Row], options: argparse.Namespace, pythons: dict[str, str]) -> None:
    """Ask each row, and write the table whenever one has answered."""
    known: Cells = json.loads(CELLS.read_text()) if CELLS.exists() else {}
    installed = versions(pythons)

    def one(row: Row) -> Cells:
        models = [model for model in row.models if model in (options.models or EXAMPLES)]
        return ask(row, models, pythons[row.environment], options.seconds) if models else {}

    with ThreadPoolExecutor(options.jobs) as pool:
        for answer in as_completed([pool.submit(one, row) for row in rows]):
            for title, outcome in answer.result().items():
                for side in SIDES:
                    print(f"{title:45} {side:9} {first_words(outcome[side], 120)}", flush=True)
            known |= answer.result()
            CELLS.parent.mkdir(parents=True, exist_ok=True)
            CELLS.write_text(json.dumps(known, indent=1))
            TABLE.write_text(as_markdown(known, installed))


def arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tools", description=__doc__)
    parser.add_argument("--environments", nargs="+", required=True, metavar="NAME=PYTHON")
    parser.add_argument(
        "--rows", nargs="*", default=[], metavar="WORD", help="those whose title has one of these"
    )
    parser.add_argument("--models", nargs="*", choices=list(EXAMPLES), default=[], metavar="MODEL")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--seconds", type=float, default=3600, help="time limit of one process")
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
    run(rows, options, pythons)
    print(f"\nwritten to {TABLE}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

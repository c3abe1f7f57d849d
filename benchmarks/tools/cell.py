"""Runs one tool on models, on both sides, and prints an outcome a line as JSON.

python -m benchmarks.tools.cell "quantize int8" decoder vit
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
import warnings
from pathlib import Path

import keras

from benchmarks.tools.rows import ROWS, Row
from benchmarks.tools.subject import SIDES, Subject, first_words


def outcome(row: Row, model: str, side: str) -> str:
    """What the tool says, or the first words of its error."""
    with tempfile.TemporaryDirectory() as folder:
        subject = Subject(model, side, Path(folder), opened=row.opened)
        try:
            subject.model  # noqa: B018 (an error of preparing is no answer of the tool)
        except Exception as error:
            return f"NOT PREPARED: {first_words(str(error))}"
        try:
            return row.run(subject)
        # Whatever a tool raises is its answer.
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            print(message, file=sys.stderr)
            return f"refused: {first_words(message)}"


def main(row: str, *models: str) -> None:
    warnings.simplefilter("ignore")
    for model, side in itertools.product(models, SIDES):
        keras.utils.clear_session(free_memory=False)
        found = outcome(ROWS[row], model, side)
        print(json.dumps({"model": model, "side": side, "outcome": found}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

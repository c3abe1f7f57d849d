"""The outcomes as Markdown: a table a model."""

from __future__ import annotations

from benchmarks.tools.models import EXAMPLES
from benchmarks.tools.rows import ROWS, Row
from benchmarks.tools.subject import SIDES

Cells = dict[str, dict[str, str]]
"""Outcomes by side, by `key(row, model)`."""


def key(row: Row, model: str) -> str:
    """How a cell is found again."""
    return f"{row.title}/{model}"


HEAD = """# What other tools make of subclassed models, and of the same models prepared

    make tools                                    # all of it
    make tools TOOLS="hls4ml netron" MODELS=vit   # rows by words of their titles, models by name

Written by `make tools`. The models are those of `benchmarks/tools/models.py`: tiny, with random weights. Each
tool runs in a process of its own, on the CPU: on the model as its author wrote it, built and
called, and on `kerasfx.prepare_model(model, keras.Input(...))`.

- *refused* is followed by the first words of the error.
- A row that a section lacks is not for that model, or was not run when this was written.
- *error* is the largest difference that quantization makes, *differs by* that to the model itself, both
  relative to the largest output.
- A percentage is the share of the model's weights that lies in what the tool reached.
- *file loads*: saved after the tool's work, loaded in a process that has `import keras, kerasfx` and not the
  user's classes, with equal outputs (else their difference is said).
- Keras 3.15.1 loads no file with gptq or awq, not even of a Functional model of its Dense and EinsumDense;
  nor one of a MultiHeadAttention in int8, hence the rows with it opened.
"""


def as_markdown(cells: Cells, versions: dict[str, str]) -> str:
    """Everything that was measured, a section for each model."""
    sections = [HEAD, *(_section(model, cells) for model in EXAMPLES), "## Versions\n"]
    lines = [f"- `requirements/{name}.txt`: {found}" for name, found in versions.items()]
    return "\n".join([*sections, *lines, ""])


def _section(model: str, cells: Cells) -> str:
    lines = [f"## {model}\n", "| | original | prepared |", "|---|---|---|"]
    for title, row in ROWS.items():
        found = cells.get(key(row, model))
        if found:
            lines.append(f"| {title} | {' | '.join(found[side].replace('|', '/') for side in SIDES)} |")
    return "\n".join([*lines, ""])

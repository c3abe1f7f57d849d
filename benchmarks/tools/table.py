"""The outcomes as Markdown: a table a model."""

from __future__ import annotations

from benchmarks.tools.models import EXAMPLES
from benchmarks.tools.rows import ROWS
from benchmarks.tools.subject import SIDES

Cells = dict[str, dict[str, str]]
"""Outcomes by side, by "row/model"."""

HEAD = """# What other tools make of subclassed models, and of the same models prepared

    make tools                                    # all of it
    make tools TOOLS="hls4ml netron" MODELS=vit   # rows by words of their titles, models by name

Written by `make tools`. The models are those of `benchmarks/tools/models.py`: tiny, with random weights. Each
tool runs on each model in a process of its own, on the CPU: on the model as its author wrote it, built and
called, and on `kerasfx.prepare_model(model, keras.Input(...))`.

- *refused* is followed by the first words of the error.
- *error* is the largest difference that quantization makes, *differs by* that to the model itself, both
  relative to the largest output.
- A percentage is the share of the model's weights that lies in what the tool reached.
- *file loads*: saved after the tool's work, loaded in a process that has `import keras, kerasfx` and not the
  user's classes, with equal outputs (else their difference is said).
"""


def as_markdown(cells: Cells, versions: dict[str, str]) -> str:
    """Everything that was measured, a section for each model."""
    sections = [HEAD, *(_section(model, cells) for model in EXAMPLES), "## Versions\n"]
    lines = [f"- `requirements/{name}.txt`: {found}" for name, found in versions.items()]
    return "\n".join([*sections, *lines, ""])


def _section(model: str, cells: Cells) -> str:
    lines = [f"## {model}\n", "| | original | prepared |", "|---|---|---|"]
    for title in ROWS:
        found = cells.get(f"{title}/{model}")
        if found:
            lines.append(f"| {title} | {' | '.join(found[side].replace('|', '/') for side in SIDES)} |")
    return "\n".join([*lines, ""])

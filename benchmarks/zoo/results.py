"""What the zoo found last, entry by entry: kept as a file, and written as `benchmarks/results.md`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.zoo import PACKAGE_OF
from benchmarks.zoo.verdict import COLUMNS, Verdict, aligned

KEPT = Path(__file__).with_name("results.jsonl")
PAGE = Path(__file__).parents[1] / "results.md"

GOALS = {"tensorflow": 95, "jax": 95, "torch": 90}
"""How many of the entries are to be opened whole and equal, in percent."""

NAMES = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}

TOTALS = (
    "backend",
    "entries",
    "n/a",
    "right",
    "right, %",
    "whole, %",
    "whole and equal, %",
    "goal, %",
    "whole and same bits, %",
)

CAUSE_LENGTH = 400

Verdicts = Mapping[str, Sequence[Verdict]]
"""Verdicts by backend."""

INTRODUCTION = """# What the zoo found

Written by `make zoo`; a run with `ENTRIES=` or `BACKENDS=` renews its own rows alone. Third-party models,
tiny and with random weights, judged in processes of ten:

- *of*: the package of the original; empty for the models of `zoo/keras_io/`, written anew after examples of
  keras.io;
- *right*: nothing in the row is amiss; *n/a* where the original itself does not work on this backend;
- *layers*, *built-in, %*: layers of the prepared model, and how many of them are layers of Keras;
- *opaque*: custom layers that stayed whole;
- *equal*: whether `kerasfx.compare` found the same bits (*exact*) or else the largest difference;
  *uncompiled*: the same bits under `jax.disable_jit()`, where XLA compiles a part of one model alone and
  rounds otherwise;
- *lost*: weights that are missing; *unused*: those that no output depends on;
- *batch*, *length*: whether other batch sizes and, where the original takes them, other lengths give its
  results;
- *loads*: whether a process that cannot import the package loads it with equal outputs;
- *own step*: whether a class with a `train_step` of its own trains both alike;
- *seconds*, *MiB*: processor time of `prepare_model` with its verification (on JAX, what was compiled in an
  earlier run is remembered), and the most memory of the process meanwhile above what it held with the
  original built;
- *time*: processor time of a compiled call (`tf.function`, `jax.jit`; eager on PyTorch) of the prepared
  model by that of the original, the median of calls in turn: below 1 is faster. These models are tiny, so
  it is the number of operations and arguments that shows. Empty where the original does not compile,
  *NO* where it does and the prepared model does not.
"""


def read(path: Path = KEPT) -> list[Verdict]:
    """The verdicts of earlier runs."""
    if not path.exists():
        return []
    return [Verdict.from_json(json.loads(line)) for line in path.read_text().splitlines()]


def renewed(kept: Iterable[Verdict], found: Iterable[Verdict]) -> list[Verdict]:
    """The verdicts found in place of those kept, in the order of the entries, without those gone."""
    latest = {(v.backend, v.entry): v for v in (*kept, *found)}
    return [latest[b, e] for b in NAMES for e in PACKAGE_OF if (b, e) in latest]


def write(found: Iterable[Verdict], kept: Path = KEPT, page: Path = PAGE) -> list[Verdict]:
    """Renew the file and the page; returns all verdicts that are known then."""
    verdicts = renewed(read(kept), found)
    kept.write_text("".join(f"{json.dumps(v.as_json())}\n" for v in verdicts))
    page.write_text(as_markdown(verdicts))
    return verdicts


def as_markdown(verdicts: Iterable[Verdict]) -> str:
    """The page: a summary, and the table of each backend with the first cause of each failure."""
    by_backend: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        by_backend.setdefault(verdict.backend, []).append(verdict)
    sections = [section(backend, found) for backend, found in by_backend.items()]
    return "\n".join([INTRODUCTION, summary(by_backend), *sections])


def summary(by_backend: Verdicts) -> str:
    """A row for each backend, in percent of the originals that work on it."""
    header = (
        "backend",
        "entries",
        "n/a",
        "right",
        "right, %",
        "whole, %",
        "whole and equal, %",
        "goal, %",
        "same bits, %",
    )
    rows = [_totals(backend, verdicts) for backend, verdicts in by_backend.items()]
    return "\n".join([*aligned([header, ["---"] * len(header), *rows]), ""])


def _totals(backend: str, verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    working = [v for v in verdicts if not v.not_applicable]

    def share(of: Iterable[bool]) -> str:
        return f"{100 * sum(of) / len(working):.1f}" if working else ""

    return (
        NAMES[backend],
        str(len(verdicts)),
        str(len(verdicts) - len(working)),
        str(sum(v.right for v in working)),
        share(v.right for v in working),
        share(v.whole for v in working),
        share(v.whole and v.equal for v in working),
        str(GOALS[backend]),
        share(v.whole and v.exact for v in working),
    )


def section(backend: str, verdicts: Sequence[Verdict]) -> str:
    """The table of one backend, and why whatever is not right is not."""
    working = [v for v in verdicts if not v.not_applicable]
    wrong = [f"- `{v.entry}`: {v.summary[:CAUSE_LENGTH]}" for v in working if not v.right]
    elsewhere = [f"- `{v.entry}`, n/a: {v.not_applicable}" for v in verdicts if v.not_applicable]
    lines = [
        f"## {NAMES[backend]}: {sum(v.right for v in working)} of {len(working)} right",
        "",
        _versions(working),
        "",
        *aligned([COLUMNS, ["---"] * len(COLUMNS), *(v.cells() for v in verdicts)]),
        "",
    ]
    return "\n".join([*lines, *wrong, *elsewhere, ""] if wrong or elsewhere else lines)


def _versions(verdicts: Iterable[Verdict]) -> str:
    """Python, Keras, and the backend; several versions where not all rows are of one run."""
    seen: dict[str, dict[str, None]] = {}
    for verdict in verdicts:
        for name, version in list(verdict.versions.items())[:3]:
            seen.setdefault(name, {})[version] = None
    return ", ".join(f"{name} {' and '.join(numbers)}" for name, numbers in seen.items())

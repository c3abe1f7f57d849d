"""What `import kerasfx` takes when Keras is there already; prints a Markdown table.

python benchmarks/importing.py                     every backend that is installed
python benchmarks/importing.py tensorflow          one of them

Each run is a process of its own, and the backends take turns: what else the machine does falls on all.
"""

import importlib.util
import json
import os
import statistics
import subprocess
import sys

RUNS = 9
BACKENDS = ("tensorflow", "jax", "torch")
COLUMNS = (
    ("backend", "{backend}"),
    ("processor, ms: median", "{median:.0f}"),
    ("least", "{least:.0f}"),
    ("modules", "{modules}"),
    ("classes of functions", "{classes}"),
    ("what takes longest, ms", "{longest}"),
)

MEASURED = """
import json, sys, time
import keras
before = time.process_time()
import kerasfx
milliseconds = 1000 * (time.process_time() - before)
from kerasfx.runtime import function_layers
print(json.dumps({
    "milliseconds": milliseconds,
    "modules": sum(1 for name in sys.modules if name.partition(".")[0] == "kerasfx"),
    "classes": len(function_layers.Named.__subclasses__()),
}))
"""


def measure(backend: str) -> dict[str, float]:
    """One import, in a process of its own."""
    return json.loads(_run(backend, MEASURED).stdout.splitlines()[-1])


def longest(backend: str) -> str:
    """The three modules of kerasfx that take longest themselves, by `-X importtime`."""
    lines = _run(backend, "import keras, kerasfx", "-X", "importtime").stderr.splitlines()
    parts = [line.removeprefix("import time:").split("|") for line in lines if line.count("|") == 2]
    times = {name.strip(): int(own) / 1000 for own, _, name in parts if own.strip().isdigit()}
    ours = sorted((-time, name) for name, time in times.items() if name.partition(".")[0] == "kerasfx")
    return ", ".join(f"{name} {-time:.1f}" for time, name in ours[:3])


def _run(backend: str, code: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *options, "-c", code]
    environment = {**os.environ, "KERAS_BACKEND": backend}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment)


def row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main(arguments: list[str]) -> None:
    """Measures the backends by turns and prints what they took."""
    backends = arguments or [name for name in BACKENDS if importlib.util.find_spec(name)]
    for backend in backends:  # the first import compiles the files, and is not counted
        measure(backend)
    found: dict[str, list[dict[str, float]]] = {backend: [] for backend in backends}
    for _ in range(RUNS):
        for backend in backends:
            found[backend].append(measure(backend))
    print(f"`import kerasfx` after `import keras`, {RUNS} runs of each\n")
    print(row([title for title, _ in COLUMNS]))
    print(row(["---"] * len(COLUMNS)))
    for backend, runs in found.items():
        times = [run["milliseconds"] for run in runs]
        told = {"median": statistics.median(times), "least": min(times), "longest": longest(backend)}
        print(row([cell.format(backend=backend, **runs[0], **told) for _, cell in COLUMNS]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

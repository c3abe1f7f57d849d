"""How much memory `prepare_model` takes beyond that of the original; prints a Markdown table. Linux alone.

python -m benchmarks.memory                         every case, each in a process of its own
python -m benchmarks.memory share ViT-Base          one case, in this process, as JSON

The peak belongs to a process and to what it has done since the kernel was told to forget the last one. Beside
it stands how many bytes went through NumPy, all together and in the largest array.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

MEBIBYTE = 2**20

CASES = (
    ("copy", "500 blocks"),
    ("share", "500 blocks"),
    ("copy", "ViT-Base"),
    ("copy verified", "ViT-Base"),
    ("share", "ViT-Base"),
    ("share verified", "ViT-Base"),
    ("copy", "BERT-Base"),
    ("share", "BERT-Base"),
    ("share", "2 GB"),
)

COLUMNS = (
    "model",
    "prepared",
    "weights, MiB",
    "peak beyond the original, MiB",
    "of the weights, %",
    "through NumPy, MiB",
    "largest array, MiB",
)

GOALS = (
    "Goals: at most 105 % for a copy, below 1 % for what is shared; 200 MiB for 2 GB of weights, no array of "
    "which is ever in NumPy."
)


def in_status(key: str) -> float:
    """A size in MiB that the kernel tells of this process."""
    for text in Path("/proc/self/status").read_text().splitlines():
        if text.startswith(f"{key}:"):
            return int(text.split()[1]) / 1024
    raise KeyError(key)


def forget_peak() -> None:
    """Give memory that nobody holds back to the kernel, and let the peak be what is left."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


@contextmanager
def through_numpy() -> Iterator[list[int]]:
    """Collects the bytes of all that is made a NumPy array of in the block."""
    from keras.src import backend

    found: list[int] = []
    original = backend.convert_to_numpy

    def stand_in(x: Any) -> Any:
        array = original(x)
        found.append(array.nbytes)
        return array

    modules = [m for m in list(sys.modules.values()) if isinstance(m, ModuleType)]
    places = [m for m in modules if vars(m).get("convert_to_numpy") is original]
    for module in places:
        vars(module)["convert_to_numpy"] = stand_in
    try:
        yield found
    finally:
        for module in places:
            vars(module)["convert_to_numpy"] = original


def measure(how: str, name: str) -> dict[str, float]:
    """The peak of one `prepare_model`, in MiB."""
    import kerasfx
    from benchmarks import twins

    weights, _, verified = how.partition(" ")
    options: dict[str, Any] = {"weights": weights, "verify": bool(verified)}
    # One-time costs of Keras and of the backend belong to nobody.
    small = twins.MODELS["2 blocks"]()
    kerasfx.prepare_model(small.original(), small.symbolic, **options)
    written = twins.MODELS[name]()
    original = written.original()
    original(written.inputs)

    forget_peak()
    before = in_status("VmRSS")
    with through_numpy() as arrays:
        prepared = kerasfx.prepare_model(original, written.symbolic, **options)
    peak = in_status("VmHWM") - before
    assert prepared.count_params() == original.count_params()
    return {
        # All of them are float32.
        "weights": 4 * original.count_params() / MEBIBYTE,
        "peak": peak,
        "arrays": sum(arrays) / MEBIBYTE,
        "largest": max(arrays, default=0) / MEBIBYTE,
    }


def measured_elsewhere(how: str, name: str) -> dict[str, float]:
    """`measure` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.memory", how, name]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def main(arguments: list[str]) -> None:
    """Measures one case as JSON, or all of them as a table."""
    if arguments:
        print(json.dumps(measure(*arguments)))
        return
    print(f"Peak memory of `prepare_model` on {os.environ.get('KERAS_BACKEND', 'the default backend')}\n")
    print(line(COLUMNS))
    print(line(["---"] * len(COLUMNS)))
    for how, name in CASES:
        found = measured_elsewhere(how, name)
        share = 100 * found["peak"] / found["weights"]
        cells = (found["weights"], found["peak"], share, found["arrays"], found["largest"])
        print(line([name, how, *(f"{x:.1f}" for x in cells)]), flush=True)
    print(f"\n{GOALS}")


if __name__ == "__main__":
    main(sys.argv[1:])

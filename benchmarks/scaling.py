"""Time and peak memory of `prepare_model` as models grow; prints a Markdown table.

python benchmarks/scaling.py                      every case
python benchmarks/scaling.py blocks 50            one case, in this process, as JSON
"""

import gc
import json
import os
import resource
import subprocess
import sys
import time

CASES = (
    ("blocks", 10),
    ("blocks", 50),
    ("blocks", 200),
    ("dense", 100),
    ("dense", 1000),
    ("dense", 3000),
)
COLUMNS = (
    ("model", "{name}"),
    ("layers after", "{layers}"),
    ("prepare, s", "{seconds:.2f}"),
    ("per block, ms", "{milliseconds_each:.1f}"),
    ("peak memory, MiB", "{mebibytes:.0f}"),
    ("with verify, s", "{seconds_verified:.2f}"),
)


def residual_blocks(count: int):
    """A subclassed model of `count` blocks `x + Dense(relu(Dense(x)))`, all custom layers."""
    import keras

    class Block(keras.layers.Layer):
        def __init__(self, width: int):
            super().__init__()
            self.norm = keras.layers.LayerNormalization()
            self.expand = keras.layers.Dense(2 * width, activation="relu")
            self.contract = keras.layers.Dense(width)

        def call(self, x):
            return x + self.contract(self.expand(self.norm(x)))

    class Blocks(keras.Model):
        def __init__(self):
            super().__init__(name="blocks")
            self.blocks = [Block(32) for _ in range(count)]

        def call(self, x):
            for block in self.blocks:
                x = block(x)
            return x

    return Blocks()


def dense_chain(count: int):
    """A subclassed model that calls `count` Dense layers in a row."""
    import keras

    class Chain(keras.Model):
        def __init__(self):
            super().__init__(name="chain")
            self.steps = [keras.layers.Dense(8) for _ in range(count)]

        def call(self, x):
            for step in self.steps:
                x = step(x)
            return x

    return Chain()


def peak_mebibytes() -> float:
    """The most memory that this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def measure(kind: str, count: int) -> dict[str, object]:
    """Prepares one model, without and with verification."""
    import keras
    import numpy as np

    import kerasfx

    build, width = {"blocks": (residual_blocks, 32), "dense": (dense_chain, 8)}[kind]
    # A first model, so that one-time costs of the backend are not counted.
    kerasfx.prepare_model(build(2), keras.Input((width,)))

    model = build(count)
    model(np.zeros((1, width), "float32"))
    gc.collect()
    before = peak_mebibytes()
    start = time.perf_counter()
    prepared = kerasfx.prepare_model(model, keras.Input((width,)), verify=False)
    seconds = time.perf_counter() - start
    mebibytes = peak_mebibytes() - before

    start = time.perf_counter()
    kerasfx.prepare_model(model, keras.Input((width,)))
    return {
        "name": f"{kind} x {count}",
        "layers": len(prepared.layers),
        "seconds": seconds,
        "milliseconds_each": 1000 * seconds / count,
        "mebibytes": mebibytes,
        "seconds_verified": time.perf_counter() - start,
    }


def measure_elsewhere(kind: str, count: int) -> dict[str, object]:
    """`measure` in a process of its own."""
    command = [sys.executable, __file__, kind, str(count)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main(arguments: list[str]) -> None:
    """Measures one case as JSON, or all of them as a table."""
    if arguments:
        kind, count = arguments
        print(json.dumps(measure(kind, int(count))))
        return
    print(f"`prepare_model` on {os.environ.get('KERAS_BACKEND', 'the default backend')}\n")
    print(row([title for title, _ in COLUMNS]))
    print(row(["---"] * len(COLUMNS)))
    for kind, count in CASES:
        result = measure_elsewhere(kind, count)
        print(row([cell.format(**result) for _, cell in COLUMNS]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

"""How long `prepare_model` takes beside cloning the model's hand-written twin; prints a Markdown table.

python -m benchmarks.speed                          every model, each in a process of its own
python -m benchmarks.speed "100 blocks" ViT-Base    some of them

What is compared runs in turns in one process; each number is a median. Ratios are of processor time, which
other processes disturb least; those of wall time stand behind them.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

REPEATS = {"10 blocks": 9, "100 blocks": 5, "200 blocks": 5, "500 blocks": 3, "2000 blocks": 1}
"""How often each is measured, where it is not `USUAL`; 2,000 blocks are many by themselves."""

USUAL = 5

SLOW = 3
"""How often what compiles is measured at most."""

NAMES = (*REPEATS, "ViT-Base", "BERT-Base")

GOALS = {"copy": 1.0, "share": 0.2, "verify": 1.0, "growth": 1.3}

COLUMNS = (
    "model",
    "clone, s",
    "copy, s",
    f"copy / clone (goal {GOALS['copy']})",
    "wall",
    f"share / clone (goal {GOALS['share']})",
    "wall",
    "layers as they are / clone",
    "forward, s",
    "compile, s",
    "verify, s",
    f"verify / (2 forward + compile) (goal {GOALS['verify']})",
)


@dataclass(frozen=True)
class Seconds:
    """How long something took.

    Attributes:
        processor: The time of all threads of the process.
        wall: What a clock on the wall says.
    """

    processor: float
    wall: float


def timed(run: Callable[[], object]) -> Seconds:
    """The time of one call, with no garbage of an earlier one."""
    gc.collect()
    processor, wall = time.process_time(), time.perf_counter()
    result = run()
    seconds = Seconds(time.process_time() - processor, time.perf_counter() - wall)
    del result
    return seconds


def median(found: list[Seconds]) -> Seconds:
    """The median of both."""
    return Seconds(statistics.median(s.processor for s in found), statistics.median(s.wall for s in found))


def compiled(model: Any, inputs: Any) -> object:
    """Compile a call of `model` and run it; PyTorch compiles nothing by itself."""
    import keras

    def call(x: Any) -> Any:
        return model(x, training=False)

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(call, autograph=False).get_concrete_function(inputs)(*keras.tree.flatten(inputs))
    if keras.backend.backend() == "jax":
        import jax

        variables = model.trainable_variables, model.non_trainable_variables
        values = [[v.value for v in each] for each in variables]
        return jax.jit(lambda *given: model.stateless_call(*given, training=False)[0])(*values, inputs)
    return call(inputs)


def cloned(twin: Any) -> Any:
    """What a copy is measured by."""
    import keras

    clone = keras.models.clone_model(twin)
    clone.set_weights(twin.get_weights())
    return clone


def called_again(twin: Any) -> Any:
    """The twin made once more of its own layers: what sharing takes at least, if nothing had to be traced."""
    import keras

    return keras.models.clone_model(twin, clone_function=lambda layer: layer)


def measure(name: str) -> dict[str, Any]:
    """The medians of one model, in seconds."""
    import keras

    import kerasfx
    from benchmarks import twins

    # One-time costs of Keras and of the backend belong to nobody.
    written = twins.MODELS["2 blocks"]()
    small, twin = written.made()
    for weights in ("copy", "share"):
        kerasfx.prepare_model(small, written.symbolic, weights=weights)
    cloned(twin)

    written = twins.MODELS[name]()
    original, twin = written.made()
    # Of the batch size that verification has.
    inputs = keras.tree.map_structure(lambda x: keras.ops.repeat(x, 2, axis=0), written.inputs)

    def prepare(**options: Any) -> Callable[[], object]:
        return lambda: kerasfx.prepare_model(original, written.symbolic, **options)

    runs = {
        "clone": lambda: cloned(twin),
        "again": lambda: called_again(twin),
        "copy": prepare(verify=False),
        "share": prepare(verify=False, weights="share"),
        "verified": prepare(),
        "forward": lambda: original(inputs, training=False),
        "compiled": lambda: compiled(twin, inputs),
    }
    found: dict[str, list[Seconds]] = {key: [] for key in runs}
    for turn in range(REPEATS.get(name, USUAL)):
        for key, run in runs.items():
            if turn < SLOW or key not in ("verified", "compiled"):
                found[key].append(timed(run))
    return {key: vars(median(each)) for key, each in found.items()}


def measured_elsewhere(names: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What `measure` finds of each model in a process of its own."""
    for name in names:
        command = [sys.executable, "-m", "benchmarks.speed", "--one", name]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        yield name, json.loads(done.stdout.splitlines()[-1])


def row_of(name: str, found: dict[str, Any]) -> list[str]:
    """The cells of one model."""
    keys = ("clone", "again", "copy", "share", "verified", "forward", "compiled")
    clone, again, copy, share, verified, forward, compiled = (Seconds(**found[key]) for key in keys)
    extra = verified.processor - copy.processor
    compilation = max(compiled.processor - forward.processor, 0.0)
    return [
        name,
        f"{clone.processor:.2f}",
        f"{copy.processor:.2f}",
        f"{copy.processor / clone.processor:.2f}",
        f"{copy.wall / clone.wall:.2f}",
        f"{share.processor / clone.processor:.2f}",
        f"{share.wall / clone.wall:.2f}",
        f"{again.processor / clone.processor:.2f}",
        f"{forward.processor:.3f}",
        f"{compilation:.3f}",
        f"{extra:.2f}",
        f"{extra / (2 * forward.processor + compilation):.2f}",
    ]


def growth(found: dict[str, dict[str, Any]]) -> Iterator[str]:
    """How the time of one block grows from 200 blocks to 2,000."""
    if {"200 blocks", "2000 blocks"} <= found.keys():
        for key in ("clone", "copy", "share", "verified"):
            few, many = (found[f"{n} blocks"][key]["processor"] / n for n in (200, 2000))
            yield f"{key} {many / few:.2f}"


def line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def main(arguments: list[str]) -> None:
    """Measures one model as JSON, or some as a table."""
    if arguments[:1] == ["--one"]:
        print(json.dumps(measure(arguments[1])))
        return
    backend = os.environ.get("KERAS_BACKEND", "the default backend")
    print(f"Seconds of processor time on {backend}, beside `clone_model` and `set_weights` of the twin\n")
    print(line(COLUMNS))
    print(line(["---"] * len(COLUMNS)))
    found: dict[str, dict[str, Any]] = {}
    for name, each in measured_elsewhere(arguments or list(NAMES)):
        found[name] = each
        print(line(row_of(name, each)), flush=True)
    if told := ", ".join(growth(found)):
        print(f"\nTime of a block of 2,000 over that of one of 200 (goal {GOALS['growth']}): {told}")


if __name__ == "__main__":
    main(sys.argv[1:])

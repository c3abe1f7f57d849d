"""How fast a prepared model runs beside its original and its hand-written twin; prints Markdown tables.

python -m benchmarks.running                          every model, each in a process of its own
python -m benchmarks.running "10 blocks" demo_text    some of them

What is compared runs in turns in one process; each number is a median of processor time, divided by that of
the original or of the twin. Models of the zoo have no twin; those of packages that are not installed are
left out, and the last line says so.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

WRITTEN = ("10 blocks", "100 blocks", "ViT", "BERT", "demo_text", "demo_embedded")
"""Models that have a twin."""

ZOO = (
    "hub_bert_classifier",
    "hub_deberta_v3",
    "hub_gpt2_causal_lm",
    "hub_mixtral_moe",
    "hub_whisper",
    "hub_vit_classifier",
    "hub_segformer",
    "hub_vae",
    "rs_dlrm",
    "bf_set_transformer",
)

QUESTIONS = ("eager", "compiled", "train", "predict", "compile", "bytes", "load")
GOALS = {"eager": 1.0, "compiled": 1.0, "compile": 1.1, "load": 1.0}
"""Of the twin's."""

BATCH = 8
SAMPLE = 0.01
"""Seconds that a sample takes at least: what is faster is repeated."""

SAMPLES, FEW = 15, 3
"""How many samples are taken; few of what is slow."""

Run = Callable[[], object]


@dataclass(frozen=True)
class Subject:
    """A model and what it is called with.

    Attributes:
        model: The model.
        args, kwargs: Of its call: tensors.
        is_saved: Whether Keras can load it from a file without classes of the user's.
    """

    model: Any
    args: Any
    kwargs: Any
    is_saved: bool = False

    @property
    def takes_one(self) -> bool:
        """Whether `fit` and `predict` can call it."""
        import keras

        return len(self.args) == 1 and not self.kwargs and isinstance(self.model, keras.Model)


def tensors(inputs: Any) -> Any:
    """`inputs`, arrays, as tensors of a batch of `BATCH`."""
    import keras
    import numpy as np

    return keras.tree.map_structure(
        lambda x: keras.ops.convert_to_tensor(np.repeat(x, BATCH, axis=0)), inputs
    )


def written(name: str) -> Any:
    """The models that are written twice, at a size at which what is around the numbers counts."""
    from benchmarks import twins, twins_of_demo

    known = {
        "ViT": lambda: twins.vision(32, 8, 64, 4, 4, 10),
        "BERT": lambda: twins.text(1000, 32, 64, 4, 4),
        "demo_text": twins_of_demo.text,
        "demo_embedded": twins_of_demo.embedded,
    }
    return {**twins.MODELS, **known}[name]()


def subjects_of(name: str) -> dict[str, Subject]:
    """The prepared model, its original, and its twin if there is one."""
    import keras

    import kerasfx

    if name in ZOO:
        from benchmarks.zoo import MODULE_OF

        example = getattr(importlib.import_module(MODULE_OF[name]), name)()
        # As users have: models that were called.
        example.call({})
        prepared = kerasfx.prepare_model(
            example.model, example.input_layer(), verify=False, **example.options
        )
        inputs = keras.tree.map_structure(keras.ops.convert_to_tensor, example.prepared_inputs({}))
        return {
            "prepared": Subject(prepared, (inputs,), {}, is_saved=True),
            "original": Subject(example.model, *example.tensors({}), is_saved=example.knows_inputs),
        }
    pair = written(name)
    original, twin = pair.made()
    args = (tensors(pair.inputs),)
    prepared = kerasfx.prepare_model(original, pair.symbolic, verify=False)
    return {
        "prepared": Subject(prepared, args, {}, is_saved=True),
        "original": Subject(original, args, {}),
        "twin": Subject(twin, args, {}, is_saved=True),
    }


# What is asked


def eager(subject: Subject) -> Run:
    """A call as one types it."""
    import keras

    if keras.backend.backend() == "torch":
        import torch

        def call() -> Any:
            with torch.no_grad():
                return subject.model(*subject.args, **subject.kwargs)

        return call
    return lambda: subject.model(*subject.args, **subject.kwargs)


def compiled(subject: Subject) -> Run | None:
    """A call compiled by `tf.function` or `jax.jit`; Keras on PyTorch compiles nothing by itself."""
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        function = tf.function(lambda: subject.model(*subject.args, **subject.kwargs), autograph=False)
        return lambda: function()
    if backend == "jax":
        import jax

        model = subject.model
        values = [
            [v.value for v in each] for each in (model.trainable_variables, model.non_trainable_variables)
        ]
        function = jax.jit(lambda values, args, kwargs: model.stateless_call(*values, *args, **kwargs)[0])
        return lambda: jax.block_until_ready(function(values, subject.args, subject.kwargs))
    return None


def compilation(subject: Subject) -> Run | None:
    """Compiling a call, and the first run of what was compiled."""

    def run() -> object:
        import keras

        if keras.backend.backend() == "jax":
            import jax

            jax.clear_caches()
        call = compiled(subject)
        return call and call()

    return run if compiled(subject) else None


def training(subject: Subject) -> Run | None:
    """A step of training on a batch, with SGD."""
    import keras
    import numpy as np

    if not subject.takes_one:
        return None
    model, x = subject.model, keras.tree.map_structure(_array, subject.args[0])
    y = keras.tree.map_structure(lambda t: np.zeros(t.shape, "float32"), eager(subject)())
    # Of a model with one output or many; keras.losses need to know which.
    model.compile(optimizer=keras.optimizers.SGD(1e-6), loss="mse")
    return lambda: model.train_on_batch(x, y)


def prediction(subject: Subject) -> Run | None:
    """`predict` of four batches."""
    import keras
    import numpy as np

    # Some classes of packages have another, which does less or more than Keras's.
    if not subject.takes_one or type(subject.model).predict is not keras.Model.predict:
        return None
    x = keras.tree.map_structure(lambda t: np.repeat(_array(t), 4, axis=0), subject.args[0])
    rows = len(keras.tree.flatten(x)[0]) // 4
    return lambda: subject.model.predict(x, batch_size=rows, verbose=0)


def _array(tensor: Any) -> Any:
    import keras

    return keras.ops.convert_to_numpy(tensor)


def loading(path: Path) -> Run:
    """Reading a saved model; that of a twin may name a layer that somebody wrote for it."""
    import keras

    from benchmarks import twins, twins_of_demo

    own = {cls.__name__: cls for cls in (twins.Own, twins_of_demo.Embedded)}
    return lambda: keras.models.load_model(path, custom_objects=own, compile=False)


# Measuring


def in_turns(runs: dict[str, Run], samples: int) -> dict[str, float]:
    """The medians of what is run in turns; empty if one of them fails, as code of others may."""
    try:
        for run in runs.values():
            run()
            run()
    except Exception as error:
        print(f"  not measured: {type(error).__name__}: {error}"[:200], file=sys.stderr)
        return {}
    counts = {key: max(1, round(SAMPLE / max(seconds(run, 1), 1e-5))) for key, run in runs.items()}
    found: dict[str, list[float]] = {key: [] for key in runs}
    for turn in range(samples):
        # What comes first in a turn meets what the last one left in the caches of the processor.
        order = list(runs.items())
        for key, run in order[turn % len(order) :] + order[: turn % len(order)]:
            # Whole models, which are garbage by now, are nobody's time.
            if samples == FEW:
                gc.collect()
            found[key].append(seconds(run, counts[key]))
    return {key: statistics.median(each) for key, each in found.items()}


def seconds(run: Run, count: int) -> float:
    """The processor time of one of `count` calls in a row."""
    # Garbage is that of the whole process, and looked for when the many models in it say so.
    gc.disable()
    try:
        start = time.process_time()
        for _ in range(count):
            run()
        return (time.process_time() - start) / count
    finally:
        gc.enable()


def measure(name: str) -> dict[str, dict[str, float]]:
    """For each question the median of each subject, where it could be asked of all of them."""
    import keras

    subjects = subjects_of(name)
    if keras.backend.backend() == "torch":
        import torch

        # Threads that wait for work take the time of processors, more than a small model does.
        torch.set_num_threads(1)

    def asked(make: Callable[[Subject], Run | None], samples: int = SAMPLES) -> dict[str, float]:
        runs: dict[str, Run] = {}
        for key, subject in subjects.items():
            run = make(subject)
            if run is None:
                return {}
            runs[key] = run
        gc.collect()
        return in_turns(runs, samples)

    found = {
        "eager": asked(eager),
        "compiled": asked(compiled),
        "compile": asked(compilation, FEW),
        "predict": asked(prediction),
    }
    # Last: it changes the weights.
    found["train"] = asked(training)
    return {**found, **saved(subjects)}


def saved(subjects: dict[str, Subject]) -> dict[str, dict[str, float]]:
    """The size of a file of each that can be saved, and the time to load it."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {key: Path(folder) / f"{key}.keras" for key, subject in subjects.items() if subject.is_saved}
        for key, path in paths.items():
            # A compiled model has the state of its optimizer in its file.
            subjects[key].model.compiled = False
            subjects[key].model.save(path)
        sizes = {key: float(path.stat().st_size) for key, path in paths.items()}
        return {"bytes": sizes, "load": in_turns({k: loading(p) for k, p in paths.items()}, FEW)}


# Tables


def measured_elsewhere(names: list[str]) -> Iterator[tuple[str, dict[str, dict[str, float]]]]:
    """What `measure` finds of each model in a process of its own."""
    for name in names:
        command = [sys.executable, "-m", "benchmarks.running", "--one", name]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            print(f"{name} failed", file=sys.stderr)
        else:
            yield name, json.loads(done.stdout.splitlines()[-1])


def cells(found: dict[str, dict[str, float]], other: str) -> Iterator[str]:
    """The ratio of the prepared model to another, for each question."""
    for question in QUESTIONS:
        times = found.get(question, {})
        has_both = {"prepared", other} <= times.keys()
        yield f"{times['prepared'] / times[other]:.2f}" if has_both else ""


def line(texts: Any) -> str:
    return f"| {' | '.join(texts)} |"


def is_installed(name: str) -> bool:
    """Whether the package that a model of the zoo comes from can be imported."""
    from benchmarks.zoo import PACKAGE_OF

    return name not in ZOO or importlib.util.find_spec(PACKAGE_OF[name]) is not None


def main(arguments: list[str]) -> None:
    """Measures one model as JSON, or some as a table."""
    if arguments[:1] == ["--one"]:
        print(json.dumps(measure(arguments[1])))
        return
    backend = os.environ.get("KERAS_BACKEND", "the default backend")
    print(f"Processor time of the prepared model by that of the other, on {backend}\n")
    goals = [f"{q} (goal {GOALS[q]})" if q in GOALS else q for q in QUESTIONS]
    print(line(("model", "by", *goals)))
    print(line(["---"] * (2 + len(goals))))
    names = arguments or [*WRITTEN, *ZOO]
    for name, found in measured_elsewhere([n for n in names if is_installed(n)]):
        for other in ("twin", "original"):
            if any(other in times for times in found.values()):
                print(line((name, other, *cells(found, other))), flush=True)
    left_out = [n for n in names if not is_installed(n)]
    if left_out:
        print(f"\nNot installed here, and left out: {', '.join(left_out)}")


if __name__ == "__main__":
    main(sys.argv[1:])

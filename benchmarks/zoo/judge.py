"""The judgement of one prepared model: is it equal to the original, whole, and free of the original's code?

python -m benchmarks.zoo.judge hub_t5          judges one entry in this process, as JSON
"""

from __future__ import annotations

import inspect
import json
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import keras
import numpy as np

import kerasfx
from benchmarks.zoo import PACKAGE_OF, blocked_for, built
from benchmarks.zoo.cost import peak_above_present, relative_time
from benchmarks.zoo.example import Axis, Example, Sizes
from benchmarks.zoo.layers import counted
from benchmarks.zoo.loader import Loader
from benchmarks.zoo.own_step import trained_alike
from benchmarks.zoo.verdict import NOT_APPLICABLE, YES, Verdict
from kerasfx.comparing.measure import Difference, Tolerance, structure_difference
from kerasfx.handover.provenance import provenance_of
from kerasfx.tracing.where import Paths

Prepare = Callable[..., keras.Model]


def judge(name: str, example: Example, directory: Path, prepare: Prepare = kerasfx.prepare_model) -> Verdict:
    """Prepares the model of `example` and asks every question about the result that one process can answer.

    Args:
        name: Name of the entry.
        example: The model and its inputs.
        directory: Where the prepared model is saved, for `Loader.ask`.
        prepare: What to judge.
    """
    verdict = Verdict(name, keras.backend.backend())
    example.call({})
    _prepare_once()
    start = time.process_time()
    try:
        prepared, verdict.mebibytes = peak_above_present(
            lambda: prepare(example.model, example.input_layer(), **example.options)
        )
    except Exception as error:
        verdict.error = _shown(error)
        return verdict
    verdict.seconds = time.process_time() - start
    _judge_layers(verdict, prepared)
    _judge_variables(verdict, example, prepared)
    _compare(verdict, example, prepared)
    verdict.batch_free = _equal_at(example, prepared, "batch")
    verdict.length_free = _equal_at_lengths(example, prepared)
    _measure_time(verdict, example, prepared)
    verdict.loads = save(example, prepared, directory)
    verdict.own_step = _equal_after_own_step(example, prepare)  # last: it trains the original
    return verdict


def _prepare_once() -> None:
    """What the first call imports and compiles is not to be counted for the model that comes first."""
    kerasfx.prepare_model(keras.Sequential([keras.layers.Dense(1)]), keras.Input((1,)))


def _judge_layers(verdict: Verdict, prepared: keras.Model) -> None:
    verdict.layers = len(prepared.layers)
    verdict.built_in = counted(prepared).share
    verdict.opaque = [_one_line(finding) for finding in kerasfx.report(prepared).opaque]


def _judge_variables(verdict: Verdict, example: Example, prepared: keras.Model) -> None:
    if prepared is example.model:  # it is flat already, and comes back as it is
        return
    record = provenance_of(prepared)
    # What is flat already comes back as it is.
    kept = {id(v) for v, _ in record.variables} if record else {id(v) for v in prepared.variables}
    dropped = [v for v in example.model.variables if id(v) not in kept]
    named = {finding.path for finding in kerasfx.report(prepared).of_kind("unused")}
    paths = Paths(example.model)
    unnamed = [v for v in dropped if paths.of_variable(v) not in named]
    is_proven = not dropped or _without_influence(example, dropped)
    verdict.lost = [v.path for v in (unnamed if is_proven else dropped)]
    verdict.unused = len(dropped) - len(verdict.lost)


def _without_influence(example: Example, variables: list[keras.Variable]) -> bool:
    """Whether the outputs of the original stay bit for bit the same when all of `variables` change."""
    changed = [(v, keras.ops.add(v.value, keras.ops.ones_like(v.value))) for v in variables]
    takes_training = "training" in inspect.signature(example.model.call).parameters
    return all(
        _difference(*(_outcome(example, mapping, mode) for mapping in ([], changed))).exact
        for mode in ({}, {"training": True})[: 1 + takes_training]
    )


def _outcome(example: Example, mapping: list[Any], mode: dict[str, bool]) -> Any:
    """Outputs and losses with other values of some variables; the message where the original raises."""
    keras.utils.set_random_seed(0)
    try:
        with keras.StatelessScope(state_mapping=mapping):
            return example.call({}, **mode), list(example.model.losses)
    except Exception as error:
        return _shown(error)


def _compare(verdict: Verdict, example: Example, prepared: keras.Model) -> None:
    try:
        comparison = kerasfx.compare(example.model, prepared, inputs=example.prepared_inputs({}))
    except Exception as error:
        verdict.different = [_shown(error)]
        return
    verdict.exact = comparison.exact
    verdict.difference = comparison.max_abs_difference
    verdict.different = [f"{c.name}: {c.detail}" for c in comparison.checks if not c.passed]
    if verdict.different and _exact_uncompiled(example, prepared):
        verdict.different, verdict.exact_uncompiled = [], True


def _exact_uncompiled(example: Example, prepared: keras.Model) -> bool:
    """Whether the models agree bit for bit where JAX compiles no part of either.

    Where one holds a part in a `cond` or a loop and the other does not, XLA fuses it in one alone and rounds
    differently, which a normalization of nearly equal numbers can magnify beyond any tolerance.
    """
    if keras.backend.backend() != "jax":
        return False
    import jax

    with jax.disable_jit():
        inputs = example.prepared_inputs({})
        return kerasfx.compare(example.model, prepared, inputs=inputs, gradients=False).exact


def _measure_time(verdict: Verdict, example: Example, prepared: keras.Model) -> None:
    try:
        verdict.relative_time = relative_time(example, prepared)
    except Exception as error:
        verdict.compiles = _shown(error)


def _difference(expected: Any, received: Any) -> Difference:
    return structure_difference(expected, received, Tolerance())


def _equal_at(example: Example, prepared: keras.Model, axis: str) -> str:
    """Whether both models agree at each other size of an axis that the original accepts."""
    accepted = [found for a in example.axes() if a.name == axis for found in _accepted(example, a)]
    for sizes, expected in accepted:
        try:
            keras.utils.set_random_seed(0)
            found = _difference(expected, prepared(example.prepared_inputs(sizes)))
        except Exception as error:
            return f"{sizes}: {_shown(error)}"
        if not found.within:
            return f"{sizes}: {found.reason}"
    return YES if accepted else NOT_APPLICABLE


def _accepted(example: Example, axis: Axis) -> Iterator[tuple[Sizes, Any]]:
    """Sizes at which the original works, with what it returns."""
    for size in axis.tried():
        sizes = {axis.name: size}
        # Layers of images draw in such a call, on PyTorch from the state of the process.
        keras.utils.set_random_seed(0)
        try:
            expected = example.call(sizes)
        except Exception:  # it has no such freedom: nothing to compare
            continue
        yield sizes, expected


def _equal_at_lengths(example: Example, prepared: keras.Model) -> str:
    answers = [_equal_at(example, prepared, a.name) for a in example.axes() if a.name != "batch"]
    failures = [a for a in answers if a not in (YES, NOT_APPLICABLE)]
    if failures:
        return failures[0]
    return YES if YES in answers else NOT_APPLICABLE


def _equal_after_own_step(example: Example, prepare: Prepare) -> str:
    if example.own_step is None:
        return NOT_APPLICABLE
    try:
        found = trained_alike(example, prepare)
    except Exception as error:
        return _shown(error)
    return YES if found.within else found.reason


def save(example: Example, prepared: keras.Model, directory: Path) -> str:
    """Write what `loaded.py` reads: the model, its inputs, and what it returns for them.

    Returns:
        Why the model cannot be saved; empty when it can.
    """
    directory.mkdir(parents=True, exist_ok=True)
    try:
        prepared.save(directory / "prepared.keras")
    except Exception as error:
        return f"saving: {_shown(error)}"
    inputs = example.prepared_inputs({})
    np.savez(directory / "inputs.npz", *keras.tree.flatten(inputs))
    # Layers of images draw in a call that says nothing of training, and Keras's file holds no such state.
    np.savez(directory / "expected.npz", *_flat(prepared(inputs, training=False)))
    return ""


def _flat(outputs: Any) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(x) for x in keras.tree.flatten(outputs) if x is not None]


def _shown(error: BaseException) -> str:
    return _one_line(f"{type(error).__name__}: {error}")


def _one_line(text: Any) -> str:
    """`text` without line breaks, colours of a terminal and the place where packages are installed."""
    return re.sub(r"\S*/site-packages/|\x1b\[\d*m", "", " ".join(str(text).split()))


def versions(package: str) -> dict[str, str]:
    """The versions of all that a verdict depends on, that of the entry's own package last."""
    of_backend = {"tensorflow": "tensorflow-cpu"}.get(keras.backend.backend(), keras.backend.backend())
    distributions = metadata.packages_distributions().get(package, [])
    named = {name: metadata.version(name) for name in (of_backend, *distributions)}
    return {"Python": platform.python_version(), "keras": keras.__version__, **named}


def judge_entry(name: str, directory: Path) -> Verdict:
    """Builds and judges one entry."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    if keras.backend.backend() == "torch":
        import torch

        # bayesflow turns gradients off for the process, and with it for who comes behind.
        torch.set_grad_enabled(True)
    try:
        verdict = judge(name, built(name), directory)
    except Exception as error:
        verdict = Verdict(name, keras.backend.backend(), error=_shown(error))
    verdict.versions = versions(PACKAGE_OF[name])
    return verdict


def judge_as_asked() -> None:
    """Answer a line `[NAME, DIRECTORY]` with a verdict; what to load stays in the directory for who asks."""
    # What libraries print must not come between the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        name, directory = json.loads(line)
        print(json.dumps(judge_entry(name, Path(directory)).as_json()), file=answers, flush=True)


def main(name: str = "") -> None:
    """Judges one entry and prints the verdict as the last line; without one, those that it is asked for."""
    if not name:
        judge_as_asked()
        return
    with tempfile.TemporaryDirectory() as directory:
        verdict = judge_entry(name, Path(directory))
        if not verdict.error and not verdict.loads:
            loader = Loader(os.environ)
            verdict.loads = loader.ask(Path(directory), [blocked_for(name)])
            loader.close()
    print(json.dumps(verdict.as_json()))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""What a prepared model costs: memory while it is made, and the time of a compiled call."""

from __future__ import annotations

import contextlib
import gc
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from benchmarks.zoo.example import Example

Call = Callable[[], object]

WARM_UP = 3
SECONDS = 0.5
"""How long each pair of calls is repeated."""


def peak_above_present(function: Callable[[], Any]) -> tuple[Any, float]:
    """What `function` returns, and how many MiB more than now the process held at most meanwhile."""
    gc.collect()
    before = _forget_peak()
    result = function()
    return result, max(0.0, _peak() - before)


def _forget_peak() -> float:
    """Where the system can, let the peak count from now on; returns what it is now, in MiB."""
    # Where this is not Linux, or not allowed, it is the peak since the start of the process.
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> float:
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def relative_time(example: Example, prepared: keras.Model) -> float | None:
    """The processor time of a call of the prepared model by that of the original, both compiled.

    With `jax.jit` on JAX, `tf.function` on TensorFlow, eagerly and without gradients on PyTorch.

    Returns:
        The ratio of the medians of calls in turn, or None where the original cannot be compiled.
    """
    args, kwargs = example.tensors({})
    inputs = keras.tree.map_structure(keras.ops.convert_to_tensor, example.prepared_inputs({}))
    try:
        original = _compiled(example.model, args, kwargs)
        original()
    except Exception:  # its own code is the user's, and may not compile
        return None
    times: tuple[list[float], list[float]] = ([], [])
    calls = (original, _compiled(prepared, (inputs,), {}))
    for call in calls * WARM_UP:
        call()
    end = time.perf_counter() + 2 * SECONDS
    while time.perf_counter() < end or len(times[0]) < WARM_UP:
        for call, taken in zip(calls, times, strict=True):
            start = time.process_time()
            call()
            taken.append(time.process_time() - start)
    return statistics.median(times[1]) / statistics.median(times[0])


def _compiled(model: keras.Layer, args: Any, kwargs: Any) -> Call:
    return {"jax": _by_jax, "tensorflow": _by_tensorflow, "torch": _by_torch}[keras.backend.backend()](
        model, args, kwargs
    )


def _taking_tensors(args: Any, kwargs: Any) -> tuple[list[Any], Callable[[Any], tuple[Any, Any]]]:
    """The tensors among arguments, and what puts others in their places."""
    leaves = keras.tree.flatten((args, kwargs))
    places = [k for k, x in enumerate(leaves) if keras.ops.is_tensor(x)]

    def filled(tensors: Any) -> tuple[Any, Any]:
        given = dict(zip(places, tensors, strict=True))
        return keras.tree.pack_sequence_as(
            (args, kwargs), [given.get(k, leaf) for k, leaf in enumerate(leaves)]
        )

    return [leaves[k] for k in places], filled


def _by_jax(model: keras.Layer, args: Any, kwargs: Any) -> Call:
    import jax

    tensors, filled = _taking_tensors(args, kwargs)
    weights = [[v.value for v in vs] for vs in (model.trainable_variables, model.non_trainable_variables)]

    @jax.jit
    def call(weights: Any, tensors: Any) -> Any:
        args, kwargs = filled(tensors)
        return model.stateless_call(*weights, *args, **kwargs)

    return lambda: jax.block_until_ready(call(weights, tensors))


def _by_tensorflow(model: keras.Layer, args: Any, kwargs: Any) -> Call:
    import tensorflow as tf

    tensors, filled = _taking_tensors(args, kwargs)

    @tf.function
    def call(*tensors: Any) -> Any:
        args, kwargs = filled(tensors)
        return model(*args, **kwargs)

    return lambda: call(*tensors)


def _by_torch(model: keras.Layer, args: Any, kwargs: Any) -> Call:
    import torch

    def call() -> Any:
        with torch.no_grad():
            return model(*args, **kwargs)

    return call

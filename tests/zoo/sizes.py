"""Every operator on a free size, and every function that takes one, each alone in a model.

`FREE` maps a name to a builder of a `Case` whose batch and length are free: `case.free` is what to
prepare it with, and `sequences(batch, length)` makes inputs of any size. These cases have a test of
their own (`tests/test_free_sizes.py`), because the question is the same for all: no trace of the sizes
seen while tracing.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from zoo.case import Builder, Case, floats

FREE: dict[str, Builder] = {}

WIDTH = 4


def sequences(batch: int, length: int) -> np.ndarray:
    """Random sequences of features."""
    return floats(batch, length, WIDTH, seed=batch)


@keras.saving.register_keras_serializable("zoo")
class Function(keras.Model):
    """A model whose `call` is a function of `x`, its batch `b` and its length `t`."""

    def __init__(self, function: Callable[..., Any]):
        super().__init__()
        self.function = function

    def call(self, x):
        batch, length, _ = ops.shape(x)
        return self.function(x, batch, length)


def add(name: str, function: Callable[..., Any]) -> None:
    """Registers a case of one function `(x, b, t) -> tensor`."""

    def build() -> Case:
        keras.utils.set_random_seed(1)
        free = keras.Input((None, WIDTH), name="x")
        return Case(Function(function), sequences(2, 6), free=free)

    if name in FREE:
        raise ValueError(f"There are two cases named {name}.")
    FREE[name] = build


NUMBERS: dict[str, Callable[[Any, Any], Any]] = {
    "t + 1": lambda b, t: t + 1,
    "1 + t": lambda b, t: 1 + t,
    "b + t": lambda b, t: b + t,
    "t - 1": lambda b, t: t - 1,
    "9 - t": lambda b, t: 9 - t,
    "t - b": lambda b, t: t - b,
    "t * 3": lambda b, t: t * 3,
    "3 * t": lambda b, t: 3 * t,
    "b * t": lambda b, t: b * t,
    "t // 4": lambda b, t: t // 4,
    "60 // t": lambda b, t: 60 // t,
    "t // b": lambda b, t: t // b,
    "t % 4": lambda b, t: t % 4,
    "61 % t": lambda b, t: 61 % t,
    "t % b": lambda b, t: t % b,
    "t ** 2": lambda b, t: t**2,
    "2 ** b": lambda b, t: 2**b,
    "t ** b": lambda b, t: t**b,
    "-t": lambda b, t: -t,
    "+t": lambda b, t: +t,
    "abs(-t)": lambda b, t: abs(-t),
    "t << 1": lambda b, t: t << 1,
    "t >> 1": lambda b, t: t >> 1,
    "divmod(t, 4)": lambda b, t: sum(divmod(t, 4)),
    "divmod(61, t)": lambda b, t: sum(divmod(61, t)),
    "sum of a shape": lambda b, t: sum((b, t, 4)),
    "math.prod of a shape": lambda b, t: math.prod((b, t, 4)),
    "np.prod of a shape": lambda b, t: np.prod((b, t, 4)),
    "np.sum of a shape": lambda b, t: np.sum((b, t, 4)),
    "np.int64 * t": lambda b, t: np.int64(3) * t,
    "np.float32 * t": lambda b, t: np.float32(0.5) * t,
    "t / 2": lambda b, t: t / 2,
    "2 / t": lambda b, t: 2 / t,
    "b / t": lambda b, t: b / t,
    "t / 2 + b": lambda b, t: t / 2 + b,
    "t * 0.5": lambda b, t: t * 0.5,
    "t ** 0.5": lambda b, t: t**0.5,
    "t ** -0.5": lambda b, t: t**-0.5,
    "t ** -1": lambda b, t: t**-1,
    "np.sqrt(t)": lambda b, t: np.sqrt(t),
    "round(t / 4)": lambda b, t: round(t / 4),
    "round(t)": lambda b, t: round(t),
    "math.ceil(t / 4)": lambda b, t: math.ceil(t / 4),
    "math.floor(t / 4)": lambda b, t: math.floor(t / 4),
    "math.ceil(t * 0.3)": lambda b, t: math.ceil(t * 0.3),
    "dict of sizes": lambda b, t: {t + 1: b, "other": t}[1 + t],
    "max(t, 0)": lambda b, t: max(t, 0),
    "min of one": lambda b, t: min(t + 1, t),
}
"""Operators; each result is a number that tensors are computed with."""

for _name, _number in NUMBERS.items():
    add(_name, lambda x, b, t, number=_number: x * number(b, t))

RESULTS: dict[str, Callable[[Any, Any, Any], Any]] = {
    # Numbers among tensors
    "x + n": lambda x, b, t: x + t,
    "n - x": lambda x, b, t: t - x,
    "x / n": lambda x, b, t: x / t,
    "n / x": lambda x, b, t: t / x,
    "x > n": lambda x, b, t: ops.cast(x * 10 > t, "float32"),
    "x ** n": lambda x, b, t: x**b,
    "cast": lambda x, b, t: x / ops.cast(t, "float32"),
    "cast to the dtype of x": lambda x, b, t: x * ops.cast(t, x.dtype),
    "cast of a quotient": lambda x, b, t: x * ops.cast(t / 4, x.dtype),
    "sqrt of cast": lambda x, b, t: x / ops.sqrt(ops.cast(t, x.dtype)),
    "rsqrt of cast": lambda x, b, t: x * ops.rsqrt(ops.cast(t, x.dtype)),
    "convert_to_tensor": lambda x, b, t: x * ops.cast(ops.convert_to_tensor(t), x.dtype),
    "convert_to_tensor with dtype": lambda x, b, t: x * ops.convert_to_tensor(t, dtype="float32"),
    "convert_to_tensor of a quotient": lambda x, b, t: x * ops.convert_to_tensor(t / 2),
    "convert_to_tensor of a shape": lambda x, b, t: ops.convert_to_tensor((b, t, 2)),
    "stack of sizes": lambda x, b, t: ops.stack([b, t]),
    "maximum of sizes": lambda x, b, t: x * ops.cast(ops.maximum(b, t), "float32"),
    "multiply by a size": lambda x, b, t: ops.multiply(x, t),
    "ops.shape of a result": lambda x, b, t: ops.ones(ops.shape(x[:, 1:])),
    "shape of a result": lambda x, b, t: ops.ones((x[:, 1:] * 2.0).shape),
    "clip": lambda x, b, t: ops.clip(x * 10, 0, t),
    # Shapes
    "reshape merges": lambda x, b, t: ops.reshape(x, (b * t, WIDTH)),
    "reshape splits": lambda x, b, t: ops.reshape(x, (b, t, 2, WIDTH // 2)),
    "reshape halves": lambda x, b, t: ops.reshape(x, (b, t // 2, 2 * WIDTH)),
    "reshape with -1": lambda x, b, t: ops.reshape(x, (b, -1)),
    "reshape with a product": lambda x, b, t: ops.reshape(x, (b, t * WIDTH)),
    "reshape to a list": lambda x, b, t: ops.reshape(x, [-1, t, 2, 2]),
    "reshape method": lambda x, b, t: (
        x.reshape((b, t * 2, 2)) if hasattr(x, "value") else ops.reshape(x, (b, t * 2, 2))
    ),
    "reshape by shape arithmetic": lambda x, b, t: ops.reshape(x, (*x.shape[:-1], 2, 2)),
    "broadcast_to": lambda x, b, t: ops.broadcast_to(x[:1, :1], (b, t, WIDTH)),
    "tile": lambda x, b, t: ops.tile(x[:, :1], (1, t, 1)),
    "tile by a shape": lambda x, b, t: ops.tile(ops.ones((1, 1, 2)), (b, t, 1)),
    "repeat": lambda x, b, t: ops.repeat(x[:, :1], t, axis=1),
    "zeros": lambda x, b, t: ops.zeros((b, t, 2)),
    "zeros of a tuple of shape": lambda x, b, t: ops.zeros((*x.shape[:2], 3), dtype=x.dtype),
    "ones": lambda x, b, t: ops.ones((t, t)),
    "full": lambda x, b, t: ops.full((b, t), 2.5),
    "full with a size": lambda x, b, t: ops.full((b, 2), t),
    "empty times zero": lambda x, b, t: ops.shape(ops.empty((b, t)))[1] * x,
    "zeros_like": lambda x, b, t: ops.zeros_like(x) + t,
    "eye": lambda x, b, t: ops.eye(t),
    "eye of two sizes": lambda x, b, t: ops.eye(t, b),
    "identity": lambda x, b, t: ops.identity(t),
    "tri": lambda x, b, t: ops.tri(t, t + 1, k=1),
    "tril": lambda x, b, t: ops.tril(ops.ones((t, t))),
    "triu with a size": lambda x, b, t: ops.triu(ops.ones((t, t)), k=t - 3),
    "arange": lambda x, b, t: ops.arange(t),
    "arange with bounds": lambda x, b, t: ops.arange(1, t + 1, 2, dtype="float32"),
    "arange down": lambda x, b, t: ops.arange(t - 1, -1, -1),
    "linspace": lambda x, b, t: ops.linspace(0.0, 1.0, t),
    "linspace to a size": lambda x, b, t: ops.linspace(0, t, 5),
    "logspace": lambda x, b, t: ops.logspace(0.0, 1.0, t),
    "one_hot": lambda x, b, t: ops.one_hot(ops.arange(t), t),
    "meshgrid": lambda x, b, t: ops.stack(ops.meshgrid(ops.arange(t), ops.arange(b), indexing="ij")),
    # Parts
    "slice with sizes": lambda x, b, t: x[:, : t // 2],
    "slice from a size": lambda x, b, t: x[:, t // 2 :],
    "slice from behind": lambda x, b, t: x[:, -(t // 2) :],
    "slice with a step": lambda x, b, t: x[:, : t - 1 : 2],
    "index by a size": lambda x, b, t: x[:, t - 1],
    "ops.slice": lambda x, b, t: ops.slice(x, (0, 1, 0), (b, t - 1, WIDTH)),
    "ops.slice from a size": lambda x, b, t: ops.slice(x, (0, t - 2, 0), (b, 2, WIDTH)),
    "slice_update": lambda x, b, t: ops.slice_update(x, (0, t - 1, 0), ops.ones((b, 1, WIDTH))),
    "pad": lambda x, b, t: ops.pad(x, ((0, 0), (0, t), (0, 0))),
    "pad to a multiple": lambda x, b, t: ops.pad(x, ((0, 0), (0, -t % 4), (0, 0))),
    "split": lambda x, b, t: ops.concatenate(ops.split(x, 2, axis=1)[::-1], axis=-1),
    "split at a size": lambda x, b, t: ops.concatenate(ops.split(x, [t // 2 - 1], axis=1)[::-1], axis=1),
    "take": lambda x, b, t: ops.take(x, t - 1, axis=1),
    "take several": lambda x, b, t: ops.take(x, [0, t - 1], axis=1),
    "take an arange": lambda x, b, t: ops.take(x, ops.arange(t) // 2, axis=1),
    "roll": lambda x, b, t: ops.roll(x, t // 2, axis=1),
    "image.resize": lambda x, b, t: ops.image.resize(x[..., None], (t // 2, 6)),
    "image.pad_images": lambda x, b, t: ops.image.pad_images(
        x[..., None], top_padding=1, left_padding=0, target_height=t + 3, target_width=WIDTH
    ),
    "segment_sum": lambda x, b, t: ops.segment_sum(x[0], ops.arange(t) // 2, num_segments=t),
    "fori_loop is unrolled": lambda x, b, t: sum(x * i for i in range(x.shape[-1])),
    # Draws
    "random.normal": lambda x, b, t: keras.random.normal((b, t), seed=3),
    "random.uniform": lambda x, b, t: keras.random.uniform((b, t, 2), seed=3),
    "random.uniform to a size": lambda x, b, t: keras.random.uniform((b, t), maxval=t, seed=3),
    "random.randint": lambda x, b, t: keras.random.randint((b, t), 0, t, seed=3),
    "random.truncated_normal": lambda x, b, t: keras.random.truncated_normal((t,), seed=3),
    "random.dropout noise_shape": lambda x, b, t: keras.random.dropout(x, 0.5, noise_shape=(b, t, 1), seed=3),
    # Around
    "causal mask": lambda x, b, t: ops.expand_dims(ops.arange(t), 1) >= ops.expand_dims(ops.arange(t), 0),
    "mean by hand": lambda x, b, t: ops.sum(x, axis=1) / t,
    "windows": lambda x, b, t: ops.transpose(ops.reshape(x, (b, t // 2, 2, WIDTH)), (0, 2, 1, 3)),
    "heads": lambda x, b, t: ops.reshape(
        ops.transpose(ops.reshape(x, (b, t, 2, 2)), (0, 2, 1, 3)), (b * 2, t, 2)
    ),
    "einsum then sizes": lambda x, b, t: ops.reshape(ops.einsum("btd,bsd->bts", x, x), (b, t * t)),
    "f-string": lambda x, b, t: x if f"{t}" and f"{t:>9}" and str(t) and repr(t) else -x,
    "sorted": lambda x, b, t: ops.ones(sorted((t, t + 1, t - 1))),
    "the same questions": lambda x, b, t: x if x.shape[1] == t and (t * 2) // 2 == t and t >= 0 else -x,
}
"""Functions that take sizes, and sizes among tensors."""

for _name, _function in RESULTS.items():
    add(_name, _function)

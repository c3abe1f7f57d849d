"""What a zoo case is, and the parts that the cases share."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

BATCH = 3
VOCABULARY = 11


@dataclass(frozen=True)
class Case:
    """A model with one difficulty, and how it is called.

    The model is called as `model(inputs, **call_kwargs)`. It may be unbuilt.

    Attributes:
        model: The model to prepare.
        inputs: NumPy arrays, batch first, in the structure that the model is called with.
        call_kwargs: Further keyword arguments of `call`: arrays and Python values.
        needs_input: False where `prepare_model(model)` must work without `input_layer`.
        expect_opaque: Class names of the layers that are expected to stay whole.
        unused: The number of weights in `model.weights` that `call` does not use.
        inert: Endings of the paths of weights that `call` uses, but that cannot change a
            result, such as the bias of attention keys (softmax does not see a shift).
        free: What to prepare the model with, where more than the batch is free.
        untracked: Layers that `call` uses and that Keras does not track, so that
            `model.weights` lacks their weights.
    """

    model: keras.Model
    inputs: Any
    call_kwargs: Mapping[str, Any] = field(default_factory=dict)
    needs_input: bool = True
    expect_opaque: tuple[str, ...] = ()
    unused: int = 0
    inert: tuple[str, ...] = ()
    free: Any = None
    untracked: tuple[keras.layers.Layer, ...] = ()


Builder = Callable[[], Case]

ALL: dict[str, Builder] = {}

REFUSED: dict[str, tuple[Builder, str]] = {}
"""The cases that the running backend itself refuses, each with what it says."""


def case(builder: Builder) -> Builder:
    """Registers a builder under its own name; building is the same at every call."""

    @functools.wraps(builder)
    def build_with_fixed_seed() -> Case:
        keras.utils.set_random_seed(1)
        return builder()

    if builder.__name__ in {**ALL, **REFUSED}:
        raise ValueError(f"The zoo has two cases named {builder.__name__}.")
    ALL[builder.__name__] = build_with_fixed_seed
    return build_with_fixed_seed


def case_refused_by(backend: str, says: str) -> Callable[[Builder], Builder]:
    """Like `case`, but on `backend` calling the model raises, which a test of the zoo proves.

    Args:
        backend: The backend that cannot run the model.
        says: A regular expression found in the exception that the call raises there.
    """

    def register(builder: Builder) -> Builder:
        built = case(builder)
        if keras.backend.backend() == backend:
            REFUSED[builder.__name__] = ALL.pop(builder.__name__), says
        return built

    return register


def case_since_keras(version: str, on: str | None = None) -> Callable[[Builder], Builder]:
    """Like `case`, but only where Keras is at least as new as `version`; `on` one backend, or all."""
    is_asked = on is None or keras.backend.backend() == on
    present = _numbers(keras.__version__) >= _numbers(version) or not is_asked
    return case if present else lambda builder: builder


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


def floats(*shape: int, dtype: str = "float32", seed: int = 0) -> np.ndarray:
    """Random normal numbers."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def positives(*shape: int, seed: int = 0) -> np.ndarray:
    """Random numbers between 0.5 and 1.5."""
    return np.random.default_rng(seed).uniform(0.5, 1.5, shape).astype("float32")


def integers(*shape: int, below: int, dtype: str = "int32", seed: int = 0) -> np.ndarray:
    """Random integers from 0 to `below` - 1."""
    return np.random.default_rng(seed).integers(0, below, shape).astype(dtype)


def booleans(*shape: int, seed: int = 0) -> np.ndarray:
    """Random truth values, both of them in every row."""
    values = np.random.default_rng(seed).random(shape) < 0.5
    values[:, 0] = True
    values[:, -1] = False
    return values


def tokens(*shape: int, seed: int = 0) -> np.ndarray:
    """Random token ids; none is zero."""
    return integers(*shape, below=VOCABULARY - 1, seed=seed) + 1


def padded_tokens(*shape: int, seed: int = 0) -> np.ndarray:
    """Random token ids whose rows end in zeros, each row in another number of them."""
    ids = tokens(*shape, seed=seed)
    for row in range(shape[0]):
        ids[row, shape[1] - 1 - row :] = 0
    return ids


def around_one(*, low: float = 0.5, high: float = 1.5) -> keras.initializers.Initializer:
    """An initializer for scales: positive, and no two values alike."""
    return keras.initializers.RandomUniform(low, high)


def batch_normalization(**options: Any) -> keras.layers.BatchNormalization:
    """A BatchNormalization with no trivial weight or statistic."""
    return keras.layers.BatchNormalization(
        gamma_initializer=around_one(),
        beta_initializer="random_normal",
        moving_mean_initializer=keras.initializers.RandomNormal(stddev=0.5),
        moving_variance_initializer=around_one(),
        **options,
    )


def layer_normalization(**options: Any) -> keras.layers.LayerNormalization:
    """A LayerNormalization with no trivial weight."""
    return keras.layers.LayerNormalization(
        gamma_initializer=around_one(), beta_initializer="random_normal", **options
    )


def keras_input(example: np.ndarray) -> keras.KerasTensor:
    """The `keras.Input` that accepts an example array at any batch size."""
    return keras.Input(example.shape[1:], dtype=example.dtype.name)


def functional(call: Callable[[Any], Any], example: Any) -> keras.Model:
    """A Functional model of one layer (or function) around the example's structure."""
    inputs = keras.tree.map_structure(keras_input, example)
    return keras.Model(inputs, call(inputs))

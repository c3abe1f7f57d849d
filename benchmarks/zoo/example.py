"""A model together with what it is called with, for any sizes of its free axes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

import kerasfx

Values = Callable[[tuple[int, ...]], np.ndarray]
"""Makes an array of a shape."""

Sizes = Mapping[str, int]
"""Sizes by the names of axes."""

OwnStep = Callable[[keras.Model], Any]
"""Trains a model by a `train_step` of the example's own, and returns the logs."""


@dataclass(frozen=True)
class Axis:
    """An axis of free size, by a name that all tensors of this size share.

    Attributes:
        name: Unique within an example.
        size: The usual size.
        others: Sizes that are tried, too; the model need not accept all of them.
    """

    name: str
    size: int
    others: tuple[int, ...] = ()

    def tried(self) -> tuple[int, ...]:
        """The other sizes, by default a shorter one and a longer one."""
        return self.others or tuple(n for n in (self.size // 2, self.size + 3) if n)


BATCH = Axis("batch", 2, others=(1, 5))
LARGER_BATCH = Axis("batch", 4, others=(1, 5))
TIME = Axis("time", 8)


@dataclass(frozen=True)
class Tensor:
    """An argument that is a tensor: its shape, and the values of an example."""

    shape: tuple[Axis | int, ...]
    values: Values

    def array(self, sizes: Sizes) -> np.ndarray:
        """An example; axes that `sizes` does not name have their usual size."""
        return self.values(tuple(sizes.get(d.name, d.size) if isinstance(d, Axis) else d for d in self.shape))

    def symbolic(self) -> keras.KerasTensor:
        """A `keras.Input` in which every `Axis` is free."""
        shape = tuple(None if isinstance(d, Axis) else d for d in self.shape)
        dtype = self.array({}).dtype
        return keras.Input(batch_shape=shape, dtype="string" if dtype.kind == "U" else str(dtype))


@dataclass(frozen=True)
class Example:
    """A model and the arguments of its call.

    Attributes:
        model: A model or layer.
        args: Its positional arguments: structures of `Tensor`, or Python values.
        kwargs: Its keyword arguments.
        knows_inputs: Whether the model itself says what it takes (it is Functional).
        own_step: Trains what stands for `model`; None where the example leaves that to Keras.
        options: What `prepare_model` has to be told besides.
        has_own_step: Whether that step is of the class of `model`, and not of a model around it.
    """

    model: keras.Layer
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    knows_inputs: bool = False
    own_step: OwnStep | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    has_own_step: bool = False

    def call(self, sizes: Sizes, **options: Any) -> Any:
        """What the model returns for its example inputs of these sizes; `options` go to its call."""
        args, kwargs = self.tensors(sizes)
        return self.model(*args, **kwargs, **options)

    def tensors(self, sizes: Sizes) -> tuple[Any, Any]:
        """The arguments of `call`: positional ones, and those with names."""
        return self._mapped(lambda t: keras.ops.convert_to_tensor(t.array(sizes)))

    def input_layer(self) -> Any:
        """What `prepare_model` has to be told about the inputs."""
        if self.knows_inputs:
            return None
        args, kwargs = self._mapped(Tensor.symbolic)
        return args[0] if self._takes_one else kerasfx.Inputs(*args, **kwargs)

    def prepared_inputs(self, sizes: Sizes) -> Any:
        """The same example as `call`, as a prepared model takes it."""
        args, kwargs = self._mapped(lambda t: t.array(sizes))
        if self._takes_one:
            return args[0]
        arguments = inspect.signature(self.model.call).bind(*args, **kwargs).arguments
        return {k: v for k, v in arguments.items() if isinstance(v, (np.ndarray, dict, list, tuple))}

    def axes(self) -> tuple[Axis, ...]:
        """The free axes, each once."""
        tensors = _tensors((self.args, self.kwargs))
        return tuple(dict.fromkeys(d for t in tensors for d in t.shape if isinstance(d, Axis)))

    @property
    def _takes_one(self) -> bool:
        return len(self.args) == 1 and not self.kwargs

    def _mapped(self, function: Callable[[Tensor], Any]) -> tuple[Any, Any]:
        def leaf(x: Any) -> Any:
            return function(x) if isinstance(x, Tensor) else x

        return keras.tree.map_structure(leaf, (self.args, self.kwargs))


def _tensors(structure: Any) -> Iterator[Tensor]:
    return (x for x in keras.tree.flatten(structure) if isinstance(x, Tensor))


def of_functional(
    model: keras.Model,
    lengths: Mapping[str, Sequence[Axis | int]] | None = None,
    values: Mapping[str, Values] | None = None,
    batch: Axis = BATCH,
    own_step: OwnStep | None = None,
) -> Example:
    """A Functional model with example inputs for each of its own.

    Args:
        model: The model.
        lengths: Which axes stand for the free sizes after the batch, by a part of the input's name (the
            first that fits); a number where the model takes no other size. `TIME` for all by default.
        values: Values by input name, where those by kind are not good enough.
        batch: The first axis of every input.
        own_step: See `Example`.
    """
    lengths = lengths or {"": (TIME,)}

    def tensor(x: keras.KerasTensor) -> Tensor:
        axes = iter(next(axes for part, axes in lengths.items() if part in x.name))
        shape = (batch, *(next(axes) if d is None else d for d in x.shape[1:]))
        return Tensor(shape, (values or {}).get(x.name) or _values_like(x))

    inputs = keras.tree.map_structure(tensor, model.input)
    knows_inputs = not any(isinstance(d, int) for axes in lengths.values() for d in axes)
    return Example(model, (inputs,), knows_inputs=knows_inputs, own_step=own_step)


def _values_like(x: keras.KerasTensor) -> Values:
    """Values that suit the name and the dtype of an input."""
    if "mask" in x.name and not keras.backend.is_float_dtype(x.dtype):
        return padding(x.dtype)
    if "segment" in x.name:
        return integers(2, dtype=x.dtype)
    is_token = x.name.endswith("token_ids")
    if is_token or keras.backend.is_int_dtype(x.dtype):
        return integers(20, dtype=x.dtype)
    return normal()


def normal(seed: int = 0) -> Values:
    """Normally distributed float32 numbers."""
    return lambda shape: np.random.RandomState(seed).normal(size=shape).astype("float32")


def positive(scale: float = 1.0, seed: int = 0) -> Values:
    """Absolute values of normally distributed float32 numbers."""
    return lambda shape: np.abs(normal(seed)(shape)) * np.float32(scale)


def integers(high: int, seed: int = 0, dtype: str = "int32") -> Values:
    """Integers from 0 to below `high`."""
    return lambda shape: np.random.RandomState(seed).randint(0, high, size=shape).astype(dtype)


def ones(dtype: str = "float32") -> Values:
    """Ones."""
    return lambda shape: np.ones(shape, dtype)


def padding(dtype: str = "int32") -> Values:
    """A padding mask: ones, but zeros for the last two time steps of the last row."""

    def values(shape: tuple[int, ...]) -> np.ndarray:
        mask = np.ones(shape, dtype)
        mask[-1, ..., -2:] = 0
        return mask

    return values

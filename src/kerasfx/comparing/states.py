"""Values of the variables of a model, each made when it is asked for: no second copy of all the weights."""

from __future__ import annotations

import functools
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kerasfx.handover.placement import placed_like
from kerasfx.keras_api.arrays import to_numpy
from kerasfx.keras_api.internals import raw_value
from kerasfx.keras_api.running import outside_of_graphs

AT_ONCE = 2**22
"""Up to so many numbers are there at the same time; more are made one variable after the other."""

_PART = 2**15

ValueOf = Callable[[keras.Variable], Any]


class State(Mapping[int, tuple[keras.Variable, Any]]):
    """A value (a tensor of the variable's shape and dtype) for each variable, by `id(variable)`.

    Args:
        variables: The variables.
        value_of: Makes the value of one of them.
    """

    def __init__(self, variables: Iterable[keras.Variable], value_of: ValueOf):
        self.variables = {id(v): v for v in variables}
        self.value = value_of

    def __getitem__(self, key: int) -> tuple[keras.Variable, Any]:
        variable = self.variables[key]
        return variable, self.value(variable)

    def __contains__(self, key: object) -> bool:
        # Without it a Mapping would make the value.
        return key in self.variables

    def __iter__(self) -> Iterator[int]:
        return iter(self.variables)

    def __len__(self) -> int:
        return len(self.variables)

    @functools.cached_property
    def size(self) -> int:
        """How many numbers it has."""
        return sum(math.prod(v.shape) for v in self.variables.values())

    def with_values(self, values: Mapping[int, Any]) -> State:
        """The same, but for the variables whose `id`s are among `values`."""
        return State(self.variables.values(), lambda v: values[id(v)] if id(v) in values else self.value(v))

    def reader(self) -> ValueOf:
        """What gives the values during a run, None for a variable without one.

        The code of a model may read a weight inside of a loop that is being compiled, and again behind it.
        """
        if self.size <= AT_ONCE:
            values = {key: value for key, (_, value) in self.items()}
            return lambda variable: values.get(id(variable))

        def read(variable: keras.Variable) -> Any:
            if id(variable) not in self.variables:
                return None
            with outside_of_graphs(variable):
                return self.value(variable)

        return read


class Scope(keras.StatelessScope):
    """A scope in which variables have the values of a state; what is assigned in it stands apart."""

    def __init__(self, state: State):
        super().__init__(collect_losses=True)
        self._state = state

    def __enter__(self) -> Scope:
        self._read = self._state.reader()
        return super().__enter__()

    def assigned(self) -> dict[int, Any]:
        """What variables of the state were assigned last, by their `id`, where that is another tensor."""
        found = {key: value for key, value in self.state_mapping.items() if key in self._state}
        return {k: value for k, value in found.items() if value is not self._read(self._state.variables[k])}

    def get_current_value(self, variable: keras.Variable) -> Any:
        """The value that was assigned last, or that of the state; None leaves the variable its own."""
        if id(variable) in self.state_mapping:
            return super().get_current_value(variable)
        return self._read(variable)


def present_state(variables: Iterable[keras.Variable]) -> State:
    """The values that variables have when they are asked for, in tensors that no model can write to."""
    return State(variables, _VALUE_OF[keras.backend.backend()])


def _read_of_tensorflow(variable: keras.Variable) -> Any:
    import tensorflow as tf

    # It shares the memory until the variable is assigned, which then takes another.
    return tf.convert_to_tensor(raw_value(variable))


_VALUE_OF: dict[str, ValueOf] = {
    "tensorflow": _read_of_tensorflow,
    # An array of JAX never changes: its variables come to hold others.
    "jax": raw_value,
    "torch": lambda variable: keras.ops.copy(raw_value(variable)),
}


def perturbed(state: State, seed: int) -> State:
    """A state with noise on every float variable, each its own.

    Integers, booleans and seeds stay. What has no negative values, such as a variance, stays so.
    """
    places = {key: place for place, key in enumerate(state)}
    noises: dict[int, _Noise] = {}

    def noisy(variable: keras.Variable) -> Any:
        value = state.value(variable)
        if not keras.backend.is_float_dtype(variable.dtype):
            return value
        # NumPy has no noise in the narrow dtypes.
        array = to_numpy(value).astype("float32", copy=False)
        key = id(variable)
        # Once: of other memory the same sum may be rounded otherwise.
        if key not in noises:
            # Each its own: of equal weights that stay equal, it would not show that they were swapped.
            noises[key] = _Noise.for_(array, (seed, places[key]))
        tensor = keras.ops.convert_to_tensor(noises[key].on(array), dtype=variable.dtype)
        return placed_like(value, tensor)

    return State(state.variables.values(), _Latest(noisy))


class _Latest:
    """Keeps the values that were made last: a loop reads the weights of its cell at each step."""

    def __init__(self, value_of: ValueOf):
        self._value_of = value_of
        self._kept: OrderedDict[int, Any] = OrderedDict()
        self._size = 0

    def __call__(self, variable: keras.Variable) -> Any:
        key = id(variable)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        size = math.prod(variable.shape)
        while self._kept and self._size + size > AT_ONCE:
            self._size -= math.prod(self._kept.popitem(last=False)[1].shape)
        self._kept[key] = self._value_of(variable)
        self._size += size
        return self._kept[key]


@dataclass(frozen=True)
class _Noise:
    """Noise at a fifth of the size of values; zeros get a tenth of a usual initializer's.

    The floor makes weights visible that are next to zero, such as a layer scale of 1e-5, and is
    small for large kernels, so that deep models do not overflow.

    Attributes:
        scale: Its standard deviation.
        stays_positive: Whether no value becomes negative.
        seed: What it is drawn from.
    """

    scale: float
    stays_positive: bool
    seed: tuple[int, int]

    @classmethod
    def for_(cls, values: np.ndarray, seed: tuple[int, int]) -> _Noise:
        """That for an array of float32."""
        fan_in = max(1, values.size // max(1, values.shape[-1] if values.ndim else 1))
        flat = values.reshape(-1)
        size = math.sqrt(float(np.dot(flat, flat)) / max(1, values.size))
        scale = max(0.2 * size, 0.1 / math.sqrt(fan_in))
        return cls(scale, bool(values.min(initial=0.0) >= 0), seed)

    def on(self, values: np.ndarray) -> np.ndarray:
        """`values`, an array of float32, with the noise."""
        # Uniform, which is drawn in a quarter of the time of normal, and is as much each number's own.
        random, width = np.random.default_rng(self.seed), np.float32(self.scale * math.sqrt(12))
        noisy = np.empty(values.shape, np.float32)
        given, made = values.reshape(-1), noisy.reshape(-1)
        # By parts that stay in the cache of the processor.
        noise = np.empty(min(values.size, _PART), np.float32)
        for start in range(0, values.size, _PART):
            part = noise[: values.size - start]
            random.random(out=part, dtype=np.float32)
            part -= np.float32(0.5)
            part *= width
            np.add(given[start : start + _PART], part, out=made[start : start + _PART])
        return np.abs(noisy, out=noisy) if self.stays_positive else noisy

"""Random numbers of Python and NumPy that `call` draws: a graph would hold the same ones ever after."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from kerasfx.errors import UnsupportedOperationError


class FrozenDrawError(UnsupportedOperationError):
    """`call` drew random numbers that Keras does not know of."""


class RandomWatch:
    """Tells draws of the user's code from those of Keras, which seeds initializers by Python's numbers."""

    def __init__(self) -> None:
        self._expected: list[Any] = []

    @contextmanager
    def forgiving(self) -> Iterator[None]:
        """Whatever is drawn while the block runs is not the user's."""
        before = _global_state()
        yield
        after = _global_state()
        self._expected = [after if expected == before else expected for expected in self._expected]

    @contextmanager
    def refusing(self, layer: Any, message: str) -> Iterator[None]:
        """Raise at the end of the block where the code in it drew, with the numbers taken back.

        Raises:
            FrozenDrawError: The code drew from Python, NumPy or a generator that `layer` holds.
        """
        own = {id(g): (g, _state_of(g)) for g in vars(layer).values() if isinstance(g, _GENERATORS)}
        self._expected.append(_global_state())
        try:
            yield
        finally:
            expected = self._expected.pop()
        drew = _global_state() != expected
        _put_back(expected)
        if drew or any(_state_of(g) != before for g, before in own.values()):
            raise FrozenDrawError(message)


_GENERATORS = (np.random.Generator, np.random.RandomState, random.Random)


def _global_state() -> Any:
    kind, keys, *rest = np.random.get_state()
    return random.getstate(), kind, np.asarray(keys).tobytes(), *rest


def _put_back(state: Any) -> None:
    of_python, kind, keys, *rest = state
    if random.getstate() != of_python:
        random.setstate(of_python)
    if _global_state()[1:] != state[1:]:
        np.random.set_state((kind, np.frombuffer(keys, np.uint32), *rest))


def _state_of(generator: Any) -> str:
    if isinstance(generator, random.Random):
        return str(generator.getstate())
    with np.printoptions(threshold=10_000):
        if isinstance(generator, np.random.Generator):
            return str(generator.bit_generator.state)
        return str(generator.get_state())

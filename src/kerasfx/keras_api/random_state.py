"""Random states that are given back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from kerasfx.keras_api import internals
from kerasfx.keras_api.replacing import undone


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Give the random states back: initializers of layers draw their seeds from Python's and NumPy's."""
    python, numpy_state = random.getstate(), np.random.get_state()
    with (
        undone(lambda: random.setstate(python)),
        undone(lambda: np.random.set_state(numpy_state)),
        internals.backend_random_state(),
    ):
        yield

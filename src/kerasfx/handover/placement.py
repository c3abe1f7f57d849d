"""The values of variables and the devices they lie on: copied there, without a detour over the host."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import copy
from typing import Any

import keras
import numpy as np

from kerasfx.keras_api import internals
from kerasfx.keras_api.replacing import undone


def assign(target: keras.Variable, source: keras.Variable) -> None:
    """Give `target` the value of `source`, in an array of its own that lies where that of `target` lay."""
    target.assign(placed_like(target.value, internals.array_of_its_own(source)))


def assign_array(target: keras.Variable, array: np.ndarray) -> None:
    """Give `target` the numbers of a NumPy array of its shape, where it lay."""
    value = keras.ops.convert_to_tensor(array, dtype=target.dtype)
    target.assign(placed_like(target.value, value))


def hand_over(target: keras.Variable, source: keras.Variable) -> None:
    """Give `target`, which was made for `source`, its value, in an array of its own, and its layout.

    Only if `source` has no layout, `target` keeps the one that the distribution gave it.
    """
    layout = internals.layout_of(source)
    if layout is not None:
        internals.set_layout(target, layout)
    target.assign(internals.array_of_its_own(source))


def placed_like(present: Any, array: Any) -> Any:
    """`array` on the devices on which `present`, an array of the same shape, lies."""
    # Elsewhere `assign` copies into the place of the variable.
    if keras.backend.backend() != "jax" or array.sharding.is_equivalent_to(present.sharding, array.ndim):
        return array
    import jax

    return jax.device_put(array, present.sharding)


@contextmanager
def made_for(originals: Iterable[keras.Variable]) -> Iterator[None]:
    """Let the variables made in the block lie on the devices of `originals`, whose copies they will be."""
    known = list(originals)
    with _strategy_scope(known), _layouts_by_shape(known):
        yield


def _strategy_scope(variables: list[keras.Variable]) -> AbstractContextManager[Any]:
    """The scope of the `tf.distribute.Strategy` that `variables` were made in, if there is one."""
    raw = map(internals.raw_value, variables)
    strategies = [v.distribute_strategy for v in raw if hasattr(v, "distribute_strategy")]
    return strategies[0].scope() if strategies else nullcontext()


@contextmanager
def _layouts_by_shape(originals: list[keras.Variable]) -> Iterator[None]:
    """Let variables begin with a layout of one of `originals` of their shape; `hand_over` sets the right one.

    A distribution goes by paths, and a copy has others: what is sharded would first be made in one piece.
    """
    layouts = {tuple(v.shape): internals.layout_of(v) for v in originals}
    distribution: Any = keras.distribution.distribution()
    if distribution is None or not any(layouts.values()):
        yield
        return
    stand_in = copy(distribution)
    stand_in.get_variable_layout = lambda variable: (
        layouts.get(tuple(variable.shape)) or distribution.get_variable_layout(variable)
    )
    # Of this thread: each has a distribution of its own.
    with undone(lambda: keras.distribution.set_distribution(distribution)):
        keras.distribution.set_distribution(stand_in)
        yield

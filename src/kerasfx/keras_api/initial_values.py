"""Variables that begin as copies of others, instead of random numbers that are overwritten at once.

| private name | relied on for | since |
|---|---|---|
| `Variable._initialize_with_initializer(initializer)` | where a variable gets its first value | 3.0 |

The initializer of the layer stays what it is, in its config too; it is not called.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from kerasfx.keras_api.internals import array_of_its_own, in_stateless_scope, layout_of, uncast
from kerasfx.keras_api.replacing import Replaced, replace, undone

_thread = threading.local()


class Begun:
    """The variables that began as copies in a block, as long as nobody has assigned them.

    Args:
        kind_of: What tells which variable is for which source.
        sources: The variables that are copied, by their kinds, in the order in which the copies are made.
        kept: Whether the copies stay; else they need no memory of their own.
    """

    def __init__(
        self,
        kind_of: Callable[[Any], Hashable],
        sources: Iterable[tuple[Hashable, Any]] = (),
        kept: bool = True,
    ):
        self._kind_of = kind_of
        # PyTorch assigns in place, whatever else holds the memory.
        self._is_own = kept or keras.backend.backend() == "torch"
        self._waiting: dict[Hashable, list[Any]] = {}
        for kind, source in sources:
            self._waiting.setdefault(kind, []).append(source)
        # With the variable itself, so that no other has its `id`.
        self._sources: dict[int, tuple[Any, Any]] = {}

    def has_value_of(self, target: keras.Variable, source: keras.Variable) -> bool:
        """Whether `target` began as a copy of `source` and was not assigned."""
        return self._sources.get(id(target), (None, None))[1] is source

    def begin(self, variable: Any, make: Callable[[Any], None], initializer: Any) -> None:
        """Let `make` give a variable its first value, by the initializer where nothing of its kind waits."""
        waiting = self._waiting.get(self._kind_of(variable))
        if not waiting or in_stateless_scope() or layout_of(waiting[0]) is not None:
            make(initializer)
            return
        source = waiting.pop(0)
        # As it is stored, whatever the layer around computes in.
        with uncast():
            make(lambda *_, **__: array_of_its_own(source) if self._is_own else source.value)
        self._sources[id(variable)] = variable, source

    def forget(self, variable: object) -> None:
        """Somebody assigns a variable."""
        self._sources.pop(id(variable), None)


@contextmanager
def begin_as(begun: Begun) -> Iterator[Begun]:
    """Let the variables that are made in the block, in this thread, begin as `begun` says."""
    before = getattr(_thread, "begun", None)
    with undone(lambda: setattr(_thread, "begun", before)):
        _thread.begun = begun
        yield begun


def followed() -> Replaced:
    """Let `begin_as` take effect in the block, which may hold many of them."""
    return Replaced(_replace_first_values)


def _replace_first_values() -> None:
    cls: Any = keras.Variable
    original, assign = cls._initialize_with_initializer, cls.assign

    def begin(variable: Any, initializer: Any) -> None:
        begun = getattr(_thread, "begun", None)
        if begun is None or keras.distribution.distribution() is not None:
            original(variable, initializer)
        else:
            begun.begin(variable, lambda given: original(variable, given), initializer)

    def assigned(variable: Any, value: Any) -> Any:
        begun = getattr(_thread, "begun", None)
        if begun is not None:
            begun.forget(variable)
        return assign(variable, value)

    replace(cls, "_initialize_with_initializer", begin)
    replace(cls, "assign", assigned)

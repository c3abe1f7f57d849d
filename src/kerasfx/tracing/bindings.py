"""Which globals of loaded modules are bound to given objects.

Every trace asks, and thousands of modules are loaded: a module is searched again only when it has more or
fewer globals than before. The one in which a notebook or a script runs is always searched.
"""

from __future__ import annotations

import sys
from collections.abc import Container, Iterator
from types import ModuleType
from typing import Any, NamedTuple

LIBRARIES = (
    "tensorflow",
    "jax",
    "jaxlib",
    "torch",
    "keras",
    "tf_keras",
    "numpy",
    "scipy",
    "einops",
    "kerasfx",
)
"""Packages whose modules keep the functions that they imported: no code of users is in them."""

_HAVE_NONE = frozenset(LIBRARIES) - {"keras", "kerasfx"}
"""Packages that no function of Keras is imported into."""

_sizes: dict[str, tuple[Any, int]] = {}
_changed: list[str] = []


def look_again() -> None:
    """Find out which modules were loaded or changed since the last time."""
    for name, module in list(sys.modules.items()):
        known, size_before = _sizes.get(name, (None, 0))
        if known is module and size_before == _NOT_SEARCHED:
            continue
        size = len(getattr(module, "__dict__", ()))
        # The module as well as its size: a name may be imported anew.
        if known is not module or size != size_before or name == "__main__":
            is_searched = name.partition(".")[0] not in _HAVE_NONE
            _sizes[name] = module, size if is_searched else _NOT_SEARCHED
            if is_searched:
                _changed.append(name)


_NOT_SEARCHED = -1


def is_library(module_name: str) -> bool:
    """Whether a module belongs to a package that keeps what it imported: no user wrote it."""
    return module_name.partition(".")[0] in LIBRARIES


class Binding(NamedTuple):
    """A global.

    Attributes:
        module: Its module.
        module_name: The name under which the module is loaded.
        name: Its own name.
        value: What it is bound to.
    """

    module: ModuleType
    module_name: str
    name: str
    value: Any


class Bindings:
    """The globals that are bound to some objects, as of the last `look_again`.

    Args:
        ids: The ids of the objects, which the caller keeps alive.
        in_keras: Whether those of Keras and kerasfx count, or of modules of users alone.
    """

    def __init__(self, ids: Container[int], in_keras: bool = False):
        self._ids = ids
        self._in_keras = in_keras
        self._found: dict[str, list[Binding]] = {}
        self._searched = 0

    def __iter__(self) -> Iterator[Binding]:
        for module_name in dict.fromkeys(_changed[self._searched :]):
            if self._in_keras or not is_library(module_name):
                self._search(module_name, sys.modules.get(module_name))
        self._searched = len(_changed)
        for bindings in self._found.values():
            # A global may be bound to something else by now, and their number does not tell.
            yield from (b for b in bindings if vars(b.module).get(b.name) is b.value)

    def _search(self, module_name: str, module: Any) -> None:
        self._found.pop(module_name, None)
        if not isinstance(module, ModuleType):
            return
        found = [
            Binding(module, module_name, name, value)
            for name, value in list(vars(module).items())
            if id(value) in self._ids
        ]
        if found:
            self._found[module_name] = found

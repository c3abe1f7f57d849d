"""Replacing attributes of modules and classes for a while, and putting things back whatever interrupts it.

Ctrl-C, or another exception from outside, may fall between any two steps. So a change is written down before
it is made, undoing may be repeated, and it is repeated until it is done; the interrupt is raised then. Where
an interrupt falls between a `with` statement and its `__exit__`, the block is closed when the last reference
to it goes, which the traceback of the interrupt holds.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

MISSING: Any = object()
"""What stands for an attribute that its owner did not have."""

ATTEMPTS = 100
"""So many interrupts may fall into undoing something before the last of them is let through."""

# Also taken by whoever frees a block that was not closed, which may be within another.
_lock = threading.RLock()
_open: dict[int, Callable[[], None]] = {}
"""The installers of the blocks that are open, by the number of the block."""
_groups: list[tuple[Callable[[], None], int]] = []
"""The installers whose replacements are in place, and how many others are below them."""
installed: list[tuple[Any, str, Any]] = []
"""What is replaced now: owner, name, and what was there before."""
_numbers = itertools.count()


def replace(owner: object, name: str, value: object) -> None:
    """Set an attribute of a module or class, from within an installer of `Replaced`."""
    installed.append((owner, name, vars(owner).get(name, MISSING)))
    setattr(owner, name, value)


class Replaced:
    """Keeps what `install` replaces in place while a `with` block runs.

    Blocks may overlap, in several threads as well. All is put back in the reverse order, and stays in place
    as long as something above it does: what is put in a place has to behave as what was there in threads that
    have opened no block.

    Args:
        install: Calls `replace`.
    """

    def __init__(self, install: Callable[[], None]):
        self.install = install
        self.number = next(_numbers)

    def __enter__(self) -> None:
        try:
            # Directly behind it stands what releases it again, whatever is interrupted: no `try`.
            with _lock:
                _open[self.number] = self.install
                _close_unused(list(_open.values()))
                if all(install is not self.install for install, _ in _groups):
                    _groups.append((self.install, len(installed)))
                    self.install()
        except BaseException:
            completed(self._close)
            raise

    def __exit__(self, *_: object) -> None:
        completed(self._close)

    def __del__(self) -> None:
        if getattr(self, "number", None) in _open:
            completed(self._close)

    def _close(self) -> None:
        with _lock:
            _close_unused([install for number, install in _open.items() if number != self.number])
            _open.pop(self.number, None)


def _close_unused(used: Collection[Callable[[], None]]) -> None:
    """Put back what the last groups replaced, up to one that is in use."""
    while _groups and _groups[-1][0] not in used:
        _put_back(_groups[-1][1])
        _groups.pop()


def _put_back(count: int) -> None:
    """Put back all but the first `count` of what is replaced."""
    while len(installed) > count:
        entry = owner, name, original = installed[-1]
        if original is not MISSING:
            setattr(owner, name, original)
        elif name in vars(owner):
            delattr(owner, name)
        if installed and installed[-1] is entry:
            installed.pop()


@contextmanager
def undone(undo: Callable[[], object]) -> Iterator[None]:
    """Run `undo`, which may run again, at the end of the block until it is done; then raise what interrupted.

    What is to be undone is done inside the block.
    """
    try:
        yield
    finally:
        # No call outside of `try`: interrupts fall behind calls.
        interrupt, left = None, ATTEMPTS
        while left:
            try:
                undo()
                left = 0
            except BaseException as error:
                interrupt, left = error, left - 1
        if interrupt is not None:
            raise interrupt


def completed(undo: Callable[[], object]) -> None:
    """Run `undo`, which may run again, until it is done; then raise what interrupted it."""
    with undone(undo):
        pass

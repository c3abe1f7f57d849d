"""Functions of the backend where code of users has imported them by name: `from torch import zeros`."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from kerasfx.tracing.bindings import Bindings
from kerasfx.tracing.native import calls, dialect, einops, patched_names
from kerasfx.tracing.recorder import Patch


def patches() -> Iterator[Patch]:
    """What is replaced while tracing: owner, name, `replacement(session, original, args, kwargs)`."""
    for binding in _bindings():
        name = calls.names()[id(binding.value)]
        yield binding.module, binding.name, functools.partial(calls.call, name)
    yield from dialect().patches_of_users()
    yield from einops.patches()


@functools.cache
def _bindings() -> Bindings:
    return Bindings({key for key, name in calls.names().items() if name in patched_names()})

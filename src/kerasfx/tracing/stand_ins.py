"""What stands in the places that a trace sees: made once, and again when someone changed what was there.

There are thousands, and to make them takes longer than to trace a small model.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kerasfx.keras_api.replacing import MISSING
from kerasfx.tracing.recorder import Patch, Replacement, current

Place = tuple[int, str]
"""The id of a module or class, and the name of an attribute there."""


class Stand:
    """An attribute of a module or class, and what stands there while a trace is open.

    Attributes:
        owner: The module or class.
        name: The attribute.
        before: What is there without a trace; `MISSING` for nothing.
        now: What stands there.
    """

    __slots__ = ("before", "name", "now", "owner")

    def __init__(self, owner: object, name: str, before: object, now: object):
        self.owner, self.name, self.before, self.now = owner, name, before, now


Stands = dict[Place, Stand]


class StandIns:
    """The stand-ins for patches that are the same for every trace.

    They are made anew where a place of theirs holds something else than when they were made, or where
    what is looked through to find the places does.

    Args:
        patches: Yields the patches. Where several are for one place, each stands in front of those before.
        watched: Yields the modules and classes that `patches` looks through.
    """

    def __init__(self, patches: Callable[[], Iterable[Patch]], watched: Callable[[], Iterable[object]]):
        self._patches = patches
        self._watched = watched
        self._made: Stands = {}
        self._looked_through: list[object] = []

    def now(self) -> Stands:
        """The stand-ins for what is there now, while nothing is patched."""
        found = [x for owner in self._watched() for x in (owner, *vars(owner).values())]
        if not (_are_same(found, self._looked_through) and all(map(_is_as_before, self._made.values()))):
            self._made = stand_ins_for(self._patches(), {})
            self._looked_through = found
        return self._made


def _are_same(a: list[object], b: list[object]) -> bool:
    return len(a) == len(b) and all(x is y for x, y in zip(a, b, strict=True))


def _is_as_before(stand: Stand) -> bool:
    return vars(stand.owner).get(stand.name, MISSING) is stand.before


def stand_ins_for(patches: Iterable[Patch], below: Mapping[Place, Stand]) -> Stands:
    """The stand-ins for `patches`, in front of those that are `below`."""
    made: Stands = {}
    for owner, name, replacement in patches:
        place = id(owner), name
        under = made.get(place) or below.get(place)
        before = vars(owner).get(name, MISSING)
        stands = _stand_in(owner, name, under.now if under else before, replacement)
        made[place] = Stand(owner, name, before, stands)
    return made


def _stand_in(owner: object, name: str, kept: Any, replacement: Replacement | property) -> Any:
    if isinstance(replacement, property):
        return replacement
    # What a class lacks it inherits; what a module lacks it takes from the builtins.
    inherited = owner if isinstance(owner, type) else builtins
    original = getattr(inherited, name) if kept is MISSING else kept
    original = original.__func__ if isinstance(original, classmethod) else original

    def stand_in(*args: Any, **kwargs: Any) -> Any:
        session = current()
        if session is None:
            return original(*args, **kwargs)
        return replacement(session, original, args, kwargs)

    # Not `functools.wraps`: there are thousands.
    stand_in.__wrapped__ = original  # pyright: ignore[reportFunctionMemberAccess]
    stand_in.__name__ = name
    return classmethod(stand_in) if isinstance(kept, classmethod) else stand_in

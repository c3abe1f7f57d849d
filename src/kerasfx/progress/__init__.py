"""How far work has come: a bar on a terminal or in a notebook, lines for `logging`, and else nothing.

    with shown(progress, model.name):      # whoever is called by the user
        begins("trace", "layers", total)   # whoever does the work, and need not know who asked
        step()

There is no thread and no timer: what is drawn is drawn by the thread that works, within `step`. What is open
is known to the context that opened it (`contextvars`), so that other threads draw nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from kerasfx.keras_api.replacing import undone
from kerasfx.progress.displays import display_for
from kerasfx.progress.meter import Meter

CHOICES = (None, True, False)
"""The values of `progress`: where somebody looks on, everywhere, nowhere."""

_open: ContextVar[Meter | None] = ContextVar("kerasfx_progress", default=None)


@contextmanager
def shown(progress: bool | None, title: str) -> Iterator[None]:
    """Show how far the work of the block has come; the bar is gone when the block ends, however it ends.

    Within another such block nothing happens: its work is a part of that one's.

    Args:
        progress: One of `CHOICES`. None shows a bar on a terminal and in a notebook, if the work takes longer
            than a second; True at once, and lines on the standard error where there is neither; False
            nothing.
        title: The name of what is worked on.
    """
    if _open.get() is not None:
        yield
        return
    meter = Meter(title, display_for(progress))
    with undone(lambda: _open.set(None)), undone(meter.end):
        _open.set(meter)
        yield


def begins(phase: str, unit: str, total: int) -> None:
    """Say that a phase of the work begins, which ends the one before.

    Args:
        phase: Its name, such as `"trace"`.
        unit: What there are so many of, such as `"layers"`.
        total: How many steps there will be; more may come.
    """
    meter = _open.get()
    if meter is not None:
        meter.begins(phase, unit, total)


def step(key: object = None) -> None:
    """Say that one more is done; of steps with the same key, which is no None, the first counts."""
    meter = _open.get()
    if meter is not None:
        meter.step(key)


def make_way() -> None:
    """Take the bar from its line, before something else is written there; the next step draws it again."""
    meter = _open.get()
    if meter is not None:
        meter.make_way()

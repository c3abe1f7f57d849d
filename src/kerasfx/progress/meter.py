"""What is known of work that is done: the phase, the steps, the time; and when to draw it."""

from __future__ import annotations

import time
from collections.abc import Callable

from kerasfx.progress.displays import Display, State

_drawing: dict[str, Meter] = {}
"""The one that draws, if any: two bars on one terminal would write over each other."""


TIMES = 100
"""So many times as long as drawing took nothing is drawn, however slow a terminal is."""


class Meter:
    """Counts steps, and draws them now and then.

    Args:
        title: The name of what is worked on.
        display: Where to draw; None for nowhere.
    """

    def __init__(self, title: str, display: Display | None):
        self._display = display
        self._state = State(title)
        self._start = time.perf_counter()
        # Work that is done by then shows nothing.
        self._next = self._start + (display.wait if display else 0.0)
        self._counted: set[object] = set()

    def begins(self, phase: str, unit: str, total: int) -> None:
        """Begin a phase, which ends the one before."""
        if self._display is None:
            return
        self._end_phase()
        self._counted.clear()
        self._state = State(self._state.title, phase, unit, total)
        # Whoever looks on sees at once what takes so long now.
        if self._draws or time.perf_counter() >= self._next:
            self._draw()

    def step(self, key: object = None) -> None:
        """Count a step, once for a key that is no None."""
        if self._display is None or key in self._counted:
            return
        if key is not None:
            self._counted.add(key)
        self._state.done += 1
        if time.perf_counter() >= self._next:
            self._draw()

    def make_way(self) -> None:
        """Leave the line to something else, until the next step."""
        if self._display is not None and self._draws:
            self._shown(self._display.make_way)
            self._next = time.perf_counter()

    def end(self) -> None:
        """Take down what is shown; may be called again."""
        self._end_phase()
        if self._display is not None and self._draws:
            self._shown(self._display.end)
        self._display = None
        if self._draws:
            _drawing.clear()

    @property
    def _draws(self) -> bool:
        return _drawing.get("") is self

    def _end_phase(self) -> None:
        if self._display is not None and self._draws and self._state.phase:
            self._state.seconds = time.perf_counter() - self._start
            self._shown(lambda: self._display and self._display.end_phase(self._state))

    def _draw(self) -> None:
        # In one step, for two threads.
        if self._display is None or _drawing.setdefault("", self) is not self:
            return
        begin = time.perf_counter()
        self._state.seconds = begin - self._start
        self._shown(lambda: self._display and self._display.draw(self._state))
        end = time.perf_counter()
        self._next = end + max(self._display.every if self._display else 0.0, TIMES * (end - begin))

    def _shown(self, draw: Callable[[], object]) -> None:
        try:
            draw()
        except OSError:  # the terminal is gone, which is no reason to stop working
            self._display = None

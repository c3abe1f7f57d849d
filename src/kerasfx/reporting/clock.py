"""How long each phase took."""

from __future__ import annotations

import time

from kerasfx.progress import logs


class Clock:
    """Adds up the seconds of phases that follow one another.

    Attributes:
        phases: The seconds of each phase so far.
    """

    def __init__(self):
        self.phases: dict[str, float] = {}
        self._start = self._last = time.perf_counter()

    def ends(self, phase: str) -> None:
        """Say that a phase ends here, which began where the one before it ended."""
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        self.phases[phase] = self.phases.get(phase, 0.0) + seconds
        logs.prepare.info("%s took %.2f s", phase, seconds)

    @property
    def total(self) -> float:
        """The seconds since the clock was started."""
        return time.perf_counter() - self._start

"""A process beside the judges that loads what they saved."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

SECONDS = 300


class Loader:
    """Asks `loaded.py` about one saved model after the other.

    One process serves many models, since importing a backend takes longer than loading a tiny model. It
    starts when it is first asked, and anew when it ended or was silent for too long.
    """

    def __init__(self, environment: Mapping[str, str]):
        self._environment = environment
        self._process: subprocess.Popen[str] | None = None

    def ask(self, directory: Path, blocked: Sequence[str]) -> str:
        """`"yes"` when the model saved in `directory` gives what is expected there, or what is wrong.

        Args:
            directory: Holds what `judge.save` wrote.
            blocked: Packages that cannot be imported meanwhile.
        """
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        too_late = threading.Timer(SECONDS, process.kill)
        too_late.start()
        try:
            process.stdin.write(f"{json.dumps([str(directory), list(blocked)])}\n")
            process.stdin.flush()
            line = process.stdout.readline()
        finally:
            too_late.cancel()
        return json.loads(line) if line else f"loading: the process ended with {process.wait()}"

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            with self._process as process:
                process.kill()
            self._process = None

    def _running(self) -> subprocess.Popen[str]:
        if self._process is not None and self._process.poll() is not None:
            self.close()
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(Path(__file__).with_name("loaded.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=dict(self._environment),
            )
        return self._process

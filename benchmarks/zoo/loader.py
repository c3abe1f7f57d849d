"""Processes beside this one that answer line by line: importing a backend takes longer than a tiny model."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SECONDS = 300


class Helper:
    """A process that gets a line of JSON for each question, and answers with one.

    It starts when it is first asked, and anew when it ended or was silent for too long.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], seconds: float = SECONDS):
        self._command = command
        self._environment = environment
        self._seconds = seconds
        self._process: subprocess.Popen[str] | None = None

    def ask(self, question: object) -> Any:
        """The answer.

        Raises:
            ChildProcessError: The process ended without one, or had to be ended.
        """
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        too_late = threading.Timer(self._seconds, process.kill)
        too_late.start()
        try:
            process.stdin.write(f"{json.dumps(question)}\n")
            process.stdin.flush()
            line = process.stdout.readline()
        finally:
            too_late.cancel()
        if not line:
            raise ChildProcessError(f"the process ended with {process.wait()}")
        return json.loads(line)

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
                [sys.executable, *self._command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=dict(self._environment),
            )
        return self._process


class Loader:
    """Asks `loaded.py` about one saved model after the other."""

    def __init__(self, environment: Mapping[str, str]):
        self._helper = Helper(["-P", str(Path(__file__).with_name("loaded.py"))], environment)

    def ask(self, directory: Path, blocked: Sequence[str]) -> str:
        """`"yes"` when the model saved in `directory` gives what is expected there, or what is wrong.

        Args:
            directory: Holds what `judge.save` wrote.
            blocked: Packages that cannot be imported meanwhile.
        """
        try:
            return self._helper.ask([str(directory), list(blocked)])
        except ChildProcessError as error:
            return f"loading: {error}"

    def close(self) -> None:
        """Ends the process."""
        self._helper.close()

"""Judges every entry on every backend, each in a process of its own, and writes `benchmarks/results.md`.

python -m benchmarks.zoo --entries hub_t5 bf_unet --backends tensorflow jax --jobs 2
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from benchmarks.zoo import PACKAGE_OF, blocked_for, not_applicable, results
from benchmarks.zoo.loader import Loader
from benchmarks.zoo.verdict import Verdict


class Judges:
    """Judges entries on one backend, several at a time.

    Each thread has a `Loader` of its own for as long as the backend is judged.
    """

    def __init__(self, backend: str, seconds: float):
        self._backend = backend
        self._seconds = seconds
        self._environment = {**os.environ, "KERAS_BACKEND": backend}
        self._loaders: list[Loader] = []
        self._of_thread = threading.local()

    def verdict(self, entry: str) -> Verdict:
        """The verdict on one entry, from a process of its own."""
        reason = not_applicable(entry, self._backend)
        if reason:
            return Verdict(entry, self._backend, not_applicable=reason)
        with tempfile.TemporaryDirectory() as name:
            verdict = self._judged(entry, name)
            if not verdict.error and not verdict.loads:
                verdict.loads = self._loader().ask(Path(name), [blocked_for(entry)])
        return verdict

    def close(self) -> None:
        """Ends the loaders."""
        for loader in self._loaders:
            loader.close()

    def _judged(self, entry: str, directory: str) -> Verdict:
        command = [sys.executable, "-m", "benchmarks.zoo.judge", entry, directory]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=self._seconds, env=self._environment
            )
        except subprocess.TimeoutExpired:
            return self._failed(entry, f"no verdict after {self._seconds:.0f} s")
        if done.returncode:
            last_words = (done.stderr.strip().splitlines() or [""])[-1]
            return self._failed(entry, f"the process ended with {done.returncode}: {last_words[:300]}")
        return Verdict.from_json(json.loads(done.stdout.splitlines()[-1]))

    def _failed(self, entry: str, error: str) -> Verdict:
        return Verdict(entry, self._backend, error=error)

    def _loader(self) -> Loader:
        if not hasattr(self._of_thread, "loader"):
            self._of_thread.loader = Loader(self._environment)
            self._loaders.append(self._of_thread.loader)
        return self._of_thread.loader


def judge_all(backend: str, entries: Sequence[str], jobs: int, seconds: float) -> list[Verdict]:
    """The verdicts on one backend; each is announced and written down when it is known."""
    judges = Judges(backend, seconds)
    found = []
    try:
        with ThreadPoolExecutor(jobs) as pool:
            for future in as_completed([pool.submit(judges.verdict, entry) for entry in entries]):
                verdict = future.result()
                found.append(verdict)
                word = "n/a: " if verdict.not_applicable else ""
                print(f"{backend:10} {verdict.entry:25} {word}{verdict.summary[:160]}", flush=True)
                results.write([verdict])
    finally:
        judges.close()
    return found


def arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zoo", description=__doc__)
    parser.add_argument("--entries", nargs="*", choices=list(PACKAGE_OF), default=[], metavar="NAME")
    parser.add_argument("--backends", nargs="+", default=["tensorflow", "jax"])
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--seconds", type=float, default=600, help="time limit of one process")
    return parser.parse_args(given)


def main(given: Sequence[str]) -> int:
    options = arguments(given)
    entries = options.entries or list(PACKAGE_OF)
    found = [v for b in options.backends for v in judge_all(b, entries, options.jobs, options.seconds)]
    known = results.read()
    by_backend = {b: [v for v in known if v.backend == b] for b in options.backends}
    print(f"\n{results.summary(by_backend)}\nwritten to {results.PAGE}")
    return 0 if all(v.right or v.not_applicable for v in found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

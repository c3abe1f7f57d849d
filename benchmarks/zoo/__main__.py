"""Judges every entry on every backend, in processes beside this one, and writes `benchmarks/results.md`.

python -m benchmarks.zoo --entries hub_t5 bf_unet --backends tensorflow jax --jobs 2
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from benchmarks.zoo import PACKAGE_OF, blocked_for, not_applicable, results
from benchmarks.zoo.loader import Helper, Loader
from benchmarks.zoo.verdict import Verdict

AT_MOST = 10
"""How many entries one process judges: what it imported and compiled serves them all."""


class Judges:
    """Judges entries on one backend, several at a time.

    Each thread has processes of its own for as long as the backend is judged: one that judges, and one that
    loads what it saved.
    """

    def __init__(self, backend: str, seconds: float):
        self._backend = backend
        self._seconds = seconds
        self._environment = {**os.environ, "KERAS_BACKEND": backend}
        self._of_thread = threading.local()
        self._pairs: list[tuple[Helper, Loader]] = []

    def verdict(self, entry: str) -> Verdict:
        """The verdict on one entry."""
        reason = not_applicable(entry, self._backend)
        if reason:
            return Verdict(entry, self._backend, not_applicable=reason)
        judge, loader = self._pair()
        with tempfile.TemporaryDirectory() as directory:
            try:
                verdict = Verdict.from_json(judge.ask([entry, directory]))
            except ChildProcessError as error:
                return Verdict(
                    entry, self._backend, error=f"no verdict within {self._seconds:.0f} s: {error}"
                )
            if not verdict.error and not verdict.loads:
                verdict.loads = loader.ask(Path(directory), [blocked_for(entry)])
        return verdict

    def close(self) -> None:
        """Ends the processes."""
        for judge, loader in self._pairs:
            judge.close()
            loader.close()

    def _pair(self) -> tuple[Helper, Loader]:
        mine = self._of_thread
        if not hasattr(mine, "pair"):
            judge = Helper(["-m", "benchmarks.zoo.judge"], self._environment, self._seconds)
            mine.pair, mine.judged = (judge, Loader(self._environment)), 0
            self._pairs.append(mine.pair)
        mine.judged += 1
        if mine.judged % AT_MOST == 0:
            mine.pair[0].close()
        return mine.pair


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
    parser.add_argument("--seconds", type=float, default=600, help="time limit of one verdict")
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

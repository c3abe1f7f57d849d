"""Judges every entry on every backend, each in a process of its own, and prints one table.

python -m benchmarks.zoo --entries hub_t5 bf_unet --backends tensorflow jax --jobs 2
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from benchmarks.zoo import PACKAGE_OF
from benchmarks.zoo.verdict import Verdict, as_markdown, side_by_side

OUTPUT = Path("build/zoo")


def judged_elsewhere(entry: str, backend: str, seconds: float) -> Verdict:
    """The verdict on one entry, from a process of its own."""
    command = [sys.executable, "-m", "benchmarks.zoo.judge", entry]
    environment = {**os.environ, "KERAS_BACKEND": backend}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=environment)
    except subprocess.TimeoutExpired:
        return Verdict(entry, backend, error=f"no verdict after {seconds:.0f} s")
    if done.returncode:
        last_words = (done.stderr.strip().splitlines() or [""])[-1]
        return Verdict(entry, backend, error=f"the process ended with {done.returncode}: {last_words[:300]}")
    return Verdict.from_json(json.loads(done.stdout.splitlines()[-1]))


def judge_all(backend: str, entries: Sequence[str], jobs: int, seconds: float) -> list[Verdict]:
    """The verdicts on one backend; each is announced and written down when it is known."""
    verdicts: dict[str, Verdict] = {}
    with ThreadPoolExecutor(jobs) as pool:
        running = [pool.submit(judged_elsewhere, entry, backend, seconds) for entry in entries]
        for future in as_completed(running):
            verdict = future.result()
            verdicts[verdict.entry] = verdict
            print(f"{backend:10} {verdict.entry:25} {verdict.summary[:160]}", flush=True)
            write(backend, [verdicts[entry] for entry in entries if entry in verdicts])
    return [verdicts[entry] for entry in entries]


def write(backend: str, verdicts: Sequence[Verdict]) -> None:
    """Write the verdicts on one backend as Markdown and as JSON."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / f"{backend}.md").write_text(f"{as_markdown(backend, verdicts)}\n")
    (OUTPUT / f"{backend}.json").write_text(json.dumps([v.as_json() for v in verdicts], indent=1))


def arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zoo", description=__doc__)
    parser.add_argument("--entries", nargs="*", choices=list(PACKAGE_OF), default=[], metavar="NAME")
    parser.add_argument("--backends", nargs="+", default=["tensorflow", "jax"])
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--seconds", type=float, default=1800, help="time limit of one process")
    return parser.parse_args(given)


def main(given: Sequence[str]) -> int:
    options = arguments(given)
    entries = options.entries or list(PACKAGE_OF)
    by_backend = {b: judge_all(b, entries, options.jobs, options.seconds) for b in options.backends}
    table = side_by_side(by_backend)
    (OUTPUT / "summary.md").write_text(f"{table}\n")
    print(f"\n{table}\n\nwritten to {OUTPUT}, with a table of every answer for each backend")
    return 0 if all(v.right for verdicts in by_backend.values() for v in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

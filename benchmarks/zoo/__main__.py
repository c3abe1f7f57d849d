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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.zoo import PACKAGE_OF
from benchmarks.zoo.verdict import Verdict, as_markdown

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


def judge_all(entries: Sequence[str], backends: Sequence[str], jobs: int, seconds: float) -> list[Verdict]:
    """The verdicts, backend by backend; each is announced when it is known."""

    def one(backend: str, entry: str) -> Verdict:
        verdict = judged_elsewhere(entry, backend, seconds)
        said = "right" if verdict.right else verdict.causes[0]
        print(f"{backend:10} {entry:25} {said[:160]}", flush=True)
        return verdict

    with ThreadPoolExecutor(jobs) as pool:
        running = [pool.submit(one, backend, entry) for backend in backends for entry in entries]
        return [future.result() for future in running]


def arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zoo", description=__doc__)
    parser.add_argument("--entries", nargs="*", choices=list(PACKAGE_OF), default=[], metavar="NAME")
    parser.add_argument("--backends", nargs="+", default=["tensorflow", "jax"])
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--seconds", type=float, default=900, help="time limit of one process")
    return parser.parse_args(given)


def main(given: Sequence[str]) -> int:
    options = arguments(given)
    entries = options.entries or list(PACKAGE_OF)
    verdicts = judge_all(entries, options.backends, options.jobs, options.seconds)
    table = as_markdown(verdicts)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / "table.md").write_text(f"{table}\n")
    (OUTPUT / "verdicts.json").write_text(json.dumps([v.as_json() for v in verdicts], indent=1))
    print(f"\n{table}\n\nwritten to {OUTPUT}/table.md and verdicts.json")
    return 0 if all(v.right for v in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

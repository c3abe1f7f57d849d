"""Many random models: counted, stopped and continued, and each new fault made small."""

import collections
import contextlib
import gc
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import keras

from tests.random_models.judging import (
    FAULT,
    ORIGINAL_REFUSED,
    VERDICTS,
    Asked,
    Verdict,
    asked_of,
    judge,
)
from tests.random_models.plans import Plan, numbered
from tests.random_models.shrinking import shrunk

CHUNK = 25
"""How many models are judged between two lines of the record."""

SECONDS_A_MODEL = 180
"""Longer than this none should take, on a busy machine either."""

MEGABYTES = 3000
"""With more the process is to end; what JAX has compiled it never gives back whole."""

TRIES = 60
"""How many smaller plans are judged of a fault."""


@dataclass
class Campaign:
    """Models from `first` on, one after another.

    Attributes:
        seed: Decides the models together with their numbers.
        folder: Where the record is kept: one line a chunk, and one for each fault.
    """

    seed: int
    folder: Path
    counts: collections.Counter[str] = field(default_factory=collections.Counter)
    reasons: collections.Counter[tuple[str, str]] = field(default_factory=collections.Counter)
    seconds: float = 0.0

    @property
    def record(self) -> Path:
        """The file that says which models were judged and what came of them."""
        return self.folder / f"{keras.backend.backend()}-{self.seed}.jsonl"

    @property
    def faults(self) -> Path:
        """The file of the faults, with their plans."""
        return self.folder / f"{keras.backend.backend()}-{self.seed}-faults.jsonl"

    def run(self, first: int, models: int, shrink: bool = True) -> bool:
        """Judge the models from the first that was not judged yet up to a number.

        Returns:
            Whether all were judged, and not the memory that this process may take used up.
        """
        # Between two chunks it is looked for garbage, and not all the while.
        gc.set_threshold(100_000, 50, 100)
        self.folder.mkdir(parents=True, exist_ok=True)
        for start in range(max(first, self._continued()), models, CHUNK):
            numbers = range(start, min(start + CHUNK, models))
            began = time.process_time()
            verdicts = [self._judged(number, shrink) for number in numbers]
            self._count(verdicts, time.process_time() - began, numbers.stop)
            gc.collect()
            print(self.line(numbers.stop), flush=True)
            if _megabytes() > MEGABYTES:
                return numbers.stop == models
        return True

    def _continued(self) -> int:
        """Take over what the record says; the number that comes next."""
        done = 0
        if self.record.exists():
            for line in self.record.read_text().splitlines():
                chunk = json.loads(line)
                done = chunk["done"]
                self.counts.update(chunk["counts"])
                self.reasons.update({tuple(key): n for key, n in chunk["reasons"]})
                self.seconds += chunk["seconds"]
        return done

    def _judged(self, number: int, shrink: bool) -> Verdict:
        plan, asked = numbered(self.seed, number), asked_of(number)
        with kernels_kept():
            verdict = judge_in_time(plan, asked)
        if verdict.kind == FAULT:
            is_new = not self.reasons[verdict.sign]
            small = plan
            if shrink and is_new:
                small = shrunk(plan, lambda p: judge_in_time(p, asked).sign == verdict.sign, TRIES)
            self._tell(number, verdict, small)
        elif verdict.kind == ORIGINAL_REFUSED:
            print(f"  {number} original refused: {verdict.reason}", flush=True)
        self.reasons[verdict.sign] += 1
        return verdict

    def _tell(self, number: int, verdict: Verdict, plan: Plan) -> None:
        print(f"FAULT {number}: {verdict.reason}\n  {reproduction(plan)}", flush=True)
        line = {
            "number": number,
            "reason": verdict.reason,
            "plan": plan.to_json(),
            "detail": verdict.detail[-3000:],
        }
        with self.faults.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def _count(self, verdicts: list[Verdict], seconds: float, done: int) -> None:
        counts = collections.Counter(verdict.kind for verdict in verdicts)
        reasons = collections.Counter(verdict.sign for verdict in verdicts if verdict.reason)
        self.counts.update(counts)
        self.seconds += seconds
        chunk = {"done": done, "counts": counts, "reasons": list(reasons.items()), "seconds": seconds}
        with self.record.open("a") as file:
            file.write(json.dumps(chunk) + "\n")

    def line(self, done: int) -> str:
        """What came of the models so far, in one line."""
        parts = ", ".join(f"{self.counts[kind]} {kind}" for kind in VERDICTS)
        return (
            f"{done} models on {keras.backend.backend()}: {parts}; {self.seconds / max(1, done):.2f} s each"
        )

    def table(self) -> str:
        """The reasons with their numbers, the most frequent first."""
        rows = [f"{n:7d}  {kind}: {reason}" for (kind, reason), n in self.reasons.most_common() if reason]
        return "\n".join(rows)


@contextlib.contextmanager
def kernels_kept() -> Iterator[None]:
    """On TensorFlow, set seeds without throwing all kernels away, which takes a third of the time.

    That is right for models that do not draw by TensorFlow's own stateful functions, as no random one does:
    the state of such a draw lies in its kernel.
    """
    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf
    from tensorflow.python.eager.context import context

    def set_seed(seed: int) -> None:
        vars(context()).update(_seed=seed, _rng=random.Random(seed))

    original = tf.random.set_seed
    tf.random.set_seed = set_seed
    try:
        yield
    finally:
        tf.random.set_seed = original


def reproduction(plan: Plan) -> str:
    """The line that judges a plan again."""
    return f"KERAS_BACKEND={keras.backend.backend()} python -m tests.random_models --plan '{plan.to_json()}'"


def judge_in_time(plan: Plan, asked: Asked) -> Verdict:
    """The verdict on a plan; to hang is a fault."""
    try:
        with _at_most(SECONDS_A_MODEL):
            return judge(plan, asked)
    except TimeoutError:
        return Verdict(FAULT, f"takes longer than {SECONDS_A_MODEL} s")


@contextlib.contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    def ring(number: int, frame: FrameType | None) -> None:
        raise TimeoutError

    previous = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


def _megabytes() -> int:
    """The memory that the process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20

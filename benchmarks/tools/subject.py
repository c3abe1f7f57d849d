"""One side of one cell: a model, as the user has it or prepared, and what a tool's module asks of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import keras
import numpy as np

import kerasfx
from benchmarks.tools.models import EXAMPLES, Example

SIDES = ("original", "prepared")


@dataclass
class Subject:
    """A model that a tool is given.

    Attributes:
        name: Of the example.
        side: One of `SIDES`.
        folder: Where files go.
        opened: Built-in layers that are opened while preparing.
    """

    name: str
    side: str
    folder: Path
    opened: tuple[type, ...] = ()

    @property
    def example(self) -> Example:
        return EXAMPLES[self.name]

    @property
    def is_prepared(self) -> bool:
        return self.side == "prepared"

    @cached_property
    def model(self) -> keras.Model:
        """The original, built, or the prepared model."""
        original = self.example.build()
        if not self.is_prepared:
            return original
        return kerasfx.prepare_model(original, self.example.symbolic(), opened=self.opened)

    @cached_property
    def x(self) -> np.ndarray:
        return self.example.batch(4)

    def outputs(self, model: keras.Model | None = None) -> np.ndarray:
        """What a model gives for `x`; by default this one."""
        return keras.ops.convert_to_numpy((model or self.model)(self.x))

    def loads_elsewhere(self, model: keras.Model) -> str:
        """What becomes of a saved model in a process that has not seen the code of the user."""
        file = self.folder / "model.keras"
        model.save(file)
        np.save(self.folder / "x.npy", self.x)
        script = Path(__file__).with_name("loaded.py")
        environment = {**os.environ, "PYTHONPATH": str(Path(kerasfx.__file__).parents[1])}
        done = subprocess.run(
            [sys.executable, "-P", str(script), str(self.folder)],
            capture_output=True,
            text=True,
            env=environment,
            cwd=self.folder,
        )
        if done.returncode:
            return f"file does not load: {first_words(done.stderr.strip().splitlines()[-1])}"
        difference = largest_difference(self.outputs(model), np.load(self.folder / "outputs.npy"))
        return f"file loads{'' if difference == 0 else f', differs by {difference:.1e}'}"


def largest_difference(expected: np.ndarray, found: np.ndarray) -> float:
    """Relative to the largest expected; infinite where shapes differ or something is not finite."""
    if expected.shape != found.shape or not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(expected - found).max() / np.abs(expected).max())


def first_words(text: str, length: int = 100) -> str:
    """The beginning of a message, in one line, without the names of folders that are made for each run."""
    words = re.sub(rf"{re.escape(tempfile.gettempdir())}\S*/", "", " ".join(text.split()))
    return words if len(words) <= length else f"{words[:length]}..."


def leaf_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Layers that hold no others, also those inside of others: what Keras's own tools walk over."""
    return [layer for layer in model._flatten_layers() if len(list(layer._flatten_layers())) == 1]


def share(part: int, whole: int) -> str:
    """A percentage."""
    return f"{100 * part / whole:.0f} %"

"""Which `training` is traced: both, one alone, or one after the other; and which code asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from kerasfx.ir import SourceLine, Training
from kerasfx.tracing.control.training_flag import TrainingFlag


class Decisions:
    """What Python code that asks whether the model trains is told.

    Args:
        training: What the call context holds: a flag that stands for both modes, or the one that is traced.

    Attributes:
        training: The same.
        asked: The rules of the flags whose truth was asked.
        answer: The mode that is traced at present, while a layer is traced for one after the other.
        forked_layer: The layer that is traced so, if any.
        none_test: A line that asks whether `training` is None, as it is in a bare call alone.
    """

    def __init__(self, training: TrainingFlag | bool):
        self.training = training
        self.asked: set[Training] = set()
        self.answer: bool | None = None
        self.forked_layer: keras.Layer | None = None
        self.none_test: SourceLine | None = None

    @contextmanager
    def forking(self, layer: keras.Layer) -> Iterator[None]:
        """While `layer` is traced once for each mode."""
        saved, self.forked_layer = self.forked_layer, layer
        try:
            yield
        finally:
            self.forked_layer = saved

    @contextmanager
    def deciding(self, training: bool) -> Iterator[set[Training]]:
        """Answer Python code that asks whether the model trains; gives the rules asked for in the block."""
        saved, self.asked = self.asked, set()
        # Not saved, as it is never nested: while there is an answer no flag asks for two traces.
        self.answer = training
        try:
            yield self.asked
        finally:
            self.answer = None
            # All that was asked, also by layers inside: the model then branches on `training`.
            self.asked = self.asked | saved

"""What user code sees in the place of `training`."""

from __future__ import annotations

from typing import TypeGuard

import numpy as np

from kerasfx.errors import TrainingBranchError, describe
from kerasfx.ir import Training
from kerasfx.tracing.recorder import Recorder
from kerasfx.tracing.where import source_line

_TOLD_BEFORE = (
    "Python asks here for the `training` that a layer before was told; on JAX, `fit` and `predict` of the "
    "original do not find it, those of the result do"
)


class TrainingFlag:
    """Stands for `training` while tracing: whether the model trains is not known yet.

    Args:
        session: The trace.
        from_context: Whether it is what Keras's call context holds, rather than the argument of the model.
        bare: What it is in a bare call, `model(x)`.
        alone: The same where `call` of the model runs outside of a call context.
        fixed: What a layer before has left in the context, whatever the model is called with, if any.
    """

    def __init__(
        self,
        session: Recorder,
        *,
        from_context: bool,
        bare: object = None,
        alone: object = None,
        fixed: bool | None = None,
    ):
        self._session = session
        self.rule = Training(fixed, from_context, _truth(bare), _truth(alone))

    def or_default(self, default: object) -> TrainingFlag:
        """The same flag for a `call` with a default, which Keras takes where nobody has said anything."""
        rule = self.rule
        bare, alone = (default if x is None else x for x in (rule.bare, rule.alone))
        if default is None or (bare, alone) == (rule.bare, rule.alone):
            return self
        return TrainingFlag(
            self._session, from_context=rule.from_context, bare=bare, alone=alone, fixed=rule.fixed
        )

    def handed_to_model(self) -> TrainingFlag:
        """The same flag as an argument of `call` of the model: who gets it from there got it by hand."""
        # Without `alone`, which is about what is found in the context.
        return TrainingFlag(self._session, from_context=False, bare=self.rule.bare)

    def left_to_next(self) -> TrainingFlag:
        """The same flag for the next layer that the model calls, which finds it in the context."""
        return TrainingFlag(self._session, from_context=True, bare=self.rule.bare, fixed=self.rule.fixed)

    def __bool__(self) -> bool:
        if not self._session.in_user_code:
            return bool(self.rule.fixed)
        return self.decided()

    def decided(self) -> bool:
        """The mode for which the layer is traced at present.

        Raises:
            TrainingBranchError: It is traced for both; the layer is traced again then, for each mode.
        """
        # A layer before was told it, so the answer is known; only JAX's `fit` and `predict` do not find it.
        if self.rule.fixed is not None:
            self._session.note("warning", _TOLD_BEFORE, source_line(), "layer(x, training=training)")
            return self.rule.fixed
        answer = self._session.training_asked(self.rule)
        if answer is not None:
            return answer
        line = source_line()
        raise TrainingBranchError(
            describe(
                "Python branches on `training`, so inference and training run different code.",
                where=self._session.locate(line),
                why="the prepared model is one graph for both modes",
                hint=f"pass `training` on to the layers, or {self._session.keep_hint()}",
            )
        )

    def __eq__(self, other: object) -> bool:
        # `training == 1` asks for the mode as `training == True` does.
        is_number = isinstance(other, (bool, int, float, np.bool_, np.number))
        return bool(bool(self) == other) if is_number else self is other

    def __hash__(self) -> int:
        return id(self)


def is_flag(x: object) -> TypeGuard[TrainingFlag]:
    """Whether `x` stands for `training`."""
    return isinstance(x, TrainingFlag)


def _truth(x: object) -> bool | None:
    return None if x is None else bool(x)

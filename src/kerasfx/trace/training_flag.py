"""What user code sees in the place of `training`."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, TypeGuard

from kerasfx.errors import TrainingBranchError, describe
from kerasfx.trace.where import source_line

if TYPE_CHECKING:
    from kerasfx.trace.session import Session


class TrainingFlag:
    """Stands for `training` while tracing: whether the model trains is not known yet.

    Args:
        session: The trace.
        from_context: Whether it is what Keras's call context holds, rather than the argument of the model.
    """

    def __init__(self, session: Session, *, from_context: bool):
        self._session = session
        self.from_context = from_context

    def __bool__(self) -> bool:
        return self._session.in_user_code and self.decided()

    def decided(self) -> bool:
        """The mode for which the layer is traced at present.

        Raises:
            TrainingBranchError: It is traced for both; the layer is traced again then, for each mode.
        """
        self._session.flags_asked.add(self)
        if self._session.mode_decided is not None:
            return self._session.mode_decided
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
        return bool(self) == other if isinstance(other, bool) else self is other

    def __hash__(self) -> int:
        return id(self)


def is_flag(x: Any) -> TypeGuard[TrainingFlag]:
    """Whether `x` stands for `training`."""
    return isinstance(x, TrainingFlag)


def asked_context_alone(flags: Collection[TrainingFlag]) -> bool:
    """Whether Python code asked if the model trains, and only Keras's call context."""
    return bool(flags) and all(flag.from_context for flag in flags)

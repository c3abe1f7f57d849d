"""Which `training` a call gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ORDER = "order"
"""For what a layer waits that needs it only to come before, where it is computed at all."""


@dataclass(frozen=True)
class Training:
    """Which `training` a call gets, where the model's own caller says something and where it does not.

    Attributes:
        fixed: What it gets whatever the model is called with; None if it follows the model. With
            `from_context` it is what a layer before has left in the context, where there is one.
        from_context: Whether it finds `training` in Keras's call context, because no `call` from that of the
            model downwards hands it on.
        bare: What it gets in a bare call, `model(x)`: the default of a `call` on the way to it, mostly None.
        alone: The same where `call` of the model runs outside of a call context, as in `fit` on JAX, and
            the call finds `training` there.
    """

    fixed: bool | None = None
    from_context: bool = False
    bare: bool | None = None
    alone: bool | None = None

    def of(self, said: object, found: object, is_outside: bool) -> Any:
        """What the call gets from a model called with `said` that finds `found` in the context, if any."""
        if self.fixed is not None:
            return self.alone if is_outside and self.from_context else self.fixed
        given: Any = found if said is None or self.from_context else said
        unsaid = self.alone if is_outside and self.from_context else self.bare
        if given is None:
            return unsaid
        # While the model is traced itself, what it is given only stands for `training`.
        return given.or_default(unsaid) if hasattr(given, "or_default") else given


FOLLOWS = Training()
"""That of a call that gets what the model gets."""

"""Compare a result with its original before it is returned, and tell what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras

from kerasfx.comparing import Comparison
from kerasfx.comparing import verify as quick_compare
from kerasfx.comparing.checks import IN_INFERENCE, NOT_FINITE, NOT_TRAINABLE
from kerasfx.errors import NoSampleError, NotEquivalentError, describe
from kerasfx.handover.provenance import known_provenance
from kerasfx.reporting import BEFORE_REPLACING, PROVES_NOTHING, Finding
from kerasfx.runtime import modes
from kerasfx.tracing.traced import Origin

WITH_ARRAYS = (
    "kerasfx.prepare_model(model, x) with arrays x that the model accepts, in the place of keras.Input; "
    "or kerasfx.compare(model, prepared, inputs=x) now"
)


@dataclass(frozen=True)
class Unverified:
    """That nobody knows whether the result is right.

    Attributes:
        why: Why it was not compared.
    """

    why: str

    @property
    def what(self) -> str:
        """What the user is told."""
        return f"the result was not compared with the original: {self.why}"

    @property
    def told(self) -> str:
        """The same with what to do about it."""
        return f"{self.what}\n  do:    {WITH_ARRAYS}"

    @property
    def finding(self) -> Finding:
        """What the report says of it."""
        return Finding("warning", "", self.what, hint=WITH_ARRAYS)


@dataclass(frozen=True)
class Compared:
    """What became of a comparison.

    Attributes:
        findings: What the user should know of it.
        data: What it says itself, or None where nothing was compared.
        unverified: Why nothing was compared although it was to be.
    """

    findings: tuple[Finding, ...] = ()
    data: dict[str, Any] | None = None
    unverified: Unverified | None = None

    def before_replacing(self) -> Compared:
        """The same of a comparison of what the result was before an option changed its numbers."""
        if self.data is None:
            return self
        return replace(self, data={**self.data, "notes": [*self.data["notes"], BEFORE_REPLACING]})


NOT_COMPARED = Compared()
"""Where nothing was to be compared."""


def verified(
    prepared: keras.Model,
    origin: Origin,
    verify: bool | str,
    passes: Sequence[object],
    changed_by: Sequence[str],
) -> Compared:
    """Compare the result with its original.

    Args:
        prepared: The result.
        origin: The original, and how it was called.
        verify: The argument of `prepare_model`.
        passes: The passes of the user's; where there are some, all is compared.
        changed_by: Those that changed the graph.

    Raises:
        NotEquivalentError: They differ.
    """
    asked = _modes_to_compare(verify, bool(passes), origin)
    record = known_provenance(prepared)
    # All of them while it is compared; the record keeps copies of small ones alone.
    kept, record.examples = record.examples, origin.call.examples()
    try:
        comparison = quick_compare(
            origin.model,
            prepared,
            modes=asked,
            thorough=bool(passes),
            bare=origin.none_test is not None,
        )
    # The oracle found no inputs that the original accepts.
    except NoSampleError as error:
        return _not_compared(str(error))
    finally:
        record.examples = kept
    if not comparison:
        raise NotEquivalentError(_differs(origin, comparison, changed_by), comparison)
    told = [note for note in comparison.notes if note.startswith(NOT_TRAINABLE) or NOT_FINITE in note]
    findings = tuple(Finding("warning", "", note) for note in told)
    if PROVES_NOTHING in comparison.notes:
        return _not_compared(PROVES_NOTHING, findings)
    return Compared(findings, comparison.to_dict())


def _modes_to_compare(verify: bool | str, has_passes: bool, origin: Origin) -> tuple[str, ...]:
    """Inference, and training where one graph was made of both modes or passes of the user's ran."""
    if verify == modes.INFERENCE or not (origin.branches_on_training or has_passes):
        return (modes.INFERENCE,)
    return (modes.INFERENCE, modes.TRAINING)


def _not_compared(why: str, findings: Sequence[Finding] = ()) -> Compared:
    unverified = Unverified(why)
    return Compared((unverified.finding, *findings), None, unverified)


def _differs(origin: Origin, comparison: Comparison, changed_by: Sequence[str]) -> str:
    """What to tell of a result that differs: it is our fault, or that of passes that changed the graph."""
    hint = "please report this; meanwhile keep the layer that is named whole (leaves=[...])"
    why = ""
    if origin.none_test and [c.name for c in comparison.checks if not c.passed] == ["bare call"]:
        why = f"in a bare call alone `training` is None: {origin.none_test.in_full}"
        hint = "write the default into the signature: `def call(self, x, training=True)`"
    if changed_by:
        why = f"these passes changed the graph: {', '.join(changed_by)}"
        hint = "mend them, or leave them out one by one to see which it is"
        if not any(c.name in IN_INFERENCE and not c.passed for c in comparison.checks):
            hint += '; verify="inference" if they are meant to be right in inference only'
    return describe(
        f"The model prepared from '{origin.model.name}' differs from it and is not returned.\n{comparison}",
        where=comparison.first_difference or "",
        why=why,
        hint=hint,
    )

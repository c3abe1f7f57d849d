"""How a prepared model corresponds to its original: variables, layers, and how to call both alike."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kerasfx.reporting import Finding


@dataclass
class Provenance:
    """The correspondence of a prepared model and its original.

    Attributes:
        variables: Pairs (variable of the original, variable of the prepared model).
        metrics: Such pairs of the state of metrics that `call` updates, which Keras counts apart.
        unused: Variables of the original that no output depends on.
        constants: Variables of the prepared model that hold constants.
        layers: Pairs (layer of the original, layer of the prepared model), in order of execution.
        sizes: Shape of each input, by name, with the sizes that it was traced with.
        examples: The arrays that the model was prepared with, in the structure of its inputs, or None.
        findings: What the user should know of how the layers were made.
        call: `call(model, inputs)` calls the original with inputs in the structure of the prepared model.
    """

    variables: list[tuple[Any, Any]] = field(default_factory=list)
    metrics: list[tuple[Any, Any]] = field(default_factory=list)
    unused: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    layers: list[tuple[Any, Any]] = field(default_factory=list)
    sizes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    examples: Any = None
    findings: list[Finding] = field(default_factory=list)
    call: Callable[..., Any] = field(default=lambda model, inputs, **kwargs: model(inputs, **kwargs))
    _original: Any = None

    @property
    def original(self) -> Any:
        """The original model, or None once it is gone."""
        return self._original() if self._original is not None else None

    def remember(self, original: Any) -> None:
        """Refer to the original, without keeping it alive."""
        self._original = weakref.ref(original)


def attach(model: Any, provenance: Provenance) -> None:
    """Remember `provenance` with `model`."""
    object.__setattr__(model, "_kerasfx_provenance", provenance)


def provenance_of(model: Any) -> Provenance | None:
    """The provenance of a model that `emit` or `prepare_model` made in this process, or None."""
    return getattr(model, "_kerasfx_provenance", None)

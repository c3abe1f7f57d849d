"""How a prepared model corresponds to its original: variables, layers, and how to call both alike."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras

from kerasfx.handover.computed import ComputedWeight
from kerasfx.reporting import Finding, ResultLayer

VariablePair = tuple[keras.Variable, keras.Variable]
"""A variable of the original, and that of the prepared model which stands for it."""


@dataclass
class Provenance:
    """The correspondence of a prepared model and its original.

    Attributes:
        variables: Pairs (variable of the original, variable of the prepared model).
        computed: Variables of the prepared model that are computed from variables of the original.
        metrics: Such pairs of the state of metrics that `call` updates, which Keras counts apart.
        unused: Variables of the original that no output depends on.
        constants: Variables of the prepared model that hold constants.
        layers: Pairs (layer of the original, layer of the prepared model), in order of execution.
        new_layers: Layers that a pass has put into the graph, with the variables that each was made with.
        seeds: The states of the generators that such layers draw with.
        sizes: Shape of each input, by name, with the sizes that it was traced with.
        examples: The arrays that the model was prepared with, in the structure of its inputs, or None.
        layers_of_result: What the report says of each layer of the prepared model.
        findings: What the user should know of how the layers were made.
        call: `call(model, inputs)` calls the original with inputs in the structure of the prepared model.
        is_found_out: The model was loaded, and found to be what preparing the original gives.
    """

    variables: list[VariablePair] = field(default_factory=list)
    computed: list[ComputedWeight] = field(default_factory=list)
    metrics: list[VariablePair] = field(default_factory=list)
    unused: list[keras.Variable] = field(default_factory=list)
    constants: list[keras.Variable] = field(default_factory=list)
    layers: list[tuple[keras.layers.Layer, keras.layers.Layer]] = field(default_factory=list)
    new_layers: list[tuple[keras.layers.Layer, list[keras.Variable]]] = field(default_factory=list)
    seeds: list[keras.Variable] = field(default_factory=list)
    sizes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    examples: Any = None
    layers_of_result: list[ResultLayer] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    call: Callable[..., Any] = field(default=lambda model, inputs, **kwargs: model(inputs, **kwargs))
    is_found_out: bool = False
    _original: weakref.ref[keras.layers.Layer] | None = None

    @property
    def original(self) -> keras.layers.Layer | None:
        """The original model, or None once it is gone."""
        return self._original() if self._original is not None else None

    def remember(self, original: keras.layers.Layer) -> None:
        """Refer to the original, without keeping it alive."""
        self._original = weakref.ref(original)

    def went_into(self) -> list[VariablePair]:
        """The variables of the original, each with what it has become or gone into."""
        return [*self.variables, *((v, c.variable) for c in self.computed for v in c.originals)]

    def carried(self) -> set[int]:
        """The `id`s of the variables of the original that the prepared model has, or is computed from."""
        return {id(v) for v, _ in self.went_into()}


def attach(model: keras.layers.Layer, provenance: Provenance) -> None:
    """Remember `provenance` with `model`."""
    object.__setattr__(model, "_kerasfx_provenance", provenance)


def provenance_of(model: object) -> Provenance | None:
    """The provenance of a model that `emit` or `prepare_model` made in this process, or None."""
    return getattr(model, "_kerasfx_provenance", None)


def known_provenance(made: keras.Model) -> Provenance:
    """The provenance of a model that was just made, which has one."""
    record = provenance_of(made)
    assert record is not None
    return record

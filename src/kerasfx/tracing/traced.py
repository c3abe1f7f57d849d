"""What `trace` returns: the graph, and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import keras

from kerasfx.inputs import CallSpec
from kerasfx.ir import Graph, SourceLine
from kerasfx.reporting import Finding
from kerasfx.tracing.layers.frames import ModelCall
from kerasfx.tracing.where import Paths


@dataclass(frozen=True, eq=False, repr=False)
class Origin:
    """The model that a graph was traced from, and how; `graph.meta[Origin]`.

    `emit` reads it, so that a model which it makes compares, reports and takes weights as the result of
    `prepare_model` does, whatever passes did to the graph before.

    Attributes:
        model: The original.
        call: How it was called.
        findings: What the user should know of the trace.
        opened: Path -> class name of each layer whose `call` was traced through.
        paths: The paths of its layers and variables.
        branches_on_training: Whether Python code asked for the mode, so that two traces became one graph.
        none_test: A line of code that asks whether `training` is None, which tells a bare call from others.
        calls_of_model: The calls of layers that `call` of the model makes itself.
        adding_losses: The ids of those that add a loss.
    """

    model: keras.layers.Layer
    call: CallSpec
    findings: tuple[Finding, ...]
    opened: dict[str, str]
    paths: Paths
    branches_on_training: bool
    none_test: SourceLine | None
    calls_of_model: tuple[ModelCall, ...]
    adding_losses: frozenset[int]

    def __repr__(self) -> str:
        return (
            f"<Origin '{self.model.name}': {len(self.opened)} layers opened, {len(self.findings)} findings>"
        )


@dataclass(frozen=True, eq=False, repr=False)
class Traced:
    """The result of a trace; `print` it to see the graph.

    The record itself stays as it is; its graph is there to be edited.

    Attributes:
        graph: A checked graph.
        origin: Where it comes from; `graph.meta[Origin]` is the same.
    """

    graph: Graph
    origin: Origin

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What the user should know: layers that stay whole, values that were read, warnings."""
        return self.origin.findings

    def __str__(self) -> str:
        return str(self.graph)

    def __repr__(self) -> str:
        return f"<Traced {self.graph.headline}, {self._count}>"

    @property
    def _count(self) -> str:
        return f"{len(self.findings)} finding{'' if len(self.findings) == 1 else 's'}"

    def _repr_html_(self) -> str:
        found = "".join(f"<li>{escape(str(each))}</li>" for each in self.findings)
        listed = f"<details><summary>{self._count}</summary><ul>{found}</ul></details>"
        return self.graph._repr_html_() + (listed if found else "")

"""The report of a prepared model, and where it is kept."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import keras

from kerasfx.reporting import page
from kerasfx.reporting.findings import Finding
from kerasfx.reporting.notebook import shown
from kerasfx.reporting.paths import counted
from kerasfx.reporting.records import Data, OriginalLayer, ResultLayer
from kerasfx.reporting.screen import LINES, screen
from kerasfx.reporting.verdict import BOTH, verdict
from kerasfx.version import __version__

CLASSES = 8
"""How many classes of layers that would be opened are listed."""

STAYS = ("layer", "kept", "whole")
"""What a layer became that is a layer of the result."""


class Compared(Protocol):
    """What a page needs of a `kerasfx.Comparison`."""

    def to_dict(self) -> Data:
        """All of it as data for JSON."""
        ...


@dataclass(repr=False)
class Report:
    """How a prepared model came to be; `print` it.

    Attributes:
        model: Name of the original model.
        opened: Path -> class name of each layer whose `call` was traced through.
        layers: Name -> record of each layer of the result, in the order in which they run.
        findings: Everything the user should know.
        seconds: Time that `prepare_model` took, 0 for a model of `emit`.
        unchanged: The model was flat already and came back as it was.
        before: What became of the model and of each layer below it, those around others first.
        result: Name of the prepared model; None where none was made.
        phases: The seconds of each phase: `"trace"`, `"passes"`, `"emit"`, `"verify"`.
        comparison: What `Comparison.to_dict` says, where the result was compared.
        mode: The mode that the result is for, or `"both"`.
        graph: How many layers and functions the traced graph calls, where no model was made of it.
    """

    model: str
    opened: dict[str, str] = field(default_factory=dict)
    layers: dict[str, ResultLayer] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0
    unchanged: bool = False
    before: list[OriginalLayer] = field(default_factory=list)
    result: str | None = None
    phases: dict[str, float] = field(default_factory=dict)
    comparison: Data | None = None
    mode: str = BOTH
    graph: dict[str, int] = field(default_factory=dict)

    def of_kind(self, kind: str) -> list[Finding]:
        """The findings of one kind (a key of `KINDS`)."""
        return [f for f in self.findings if f.kind == kind]

    @property
    def opaque(self) -> list[Finding]:
        """The custom layers that had to be kept whole."""
        return self.of_kind("opaque")

    @property
    def renamed(self) -> dict[str, str]:
        """Path of each layer that stays a layer -> its name in the result, where the two differ."""
        stay = {x.path for x in self.before if x.became in STAYS} if not self.unchanged else ()
        renamed: dict[str, str] = {}
        for layer in self.layers.values():
            if layer.kind in STAYS and layer.path in stay and layer.path != layer.name:
                renamed.setdefault(layer.path, layer.name)
        return renamed

    def to_dict(self) -> Data:
        """All of it as data for JSON."""
        root = self.before[0] if self.before else None
        return {
            "kerasfx": __version__,
            "keras": keras.__version__,
            "backend": keras.backend.backend(),
            "model": self.model,
            "class": root.class_name if root else "",
            "result": self.result,
            "unchanged": self.unchanged,
            "seconds": {"total": self.seconds, **self.phases},
            "before": [x.to_dict() for x in self.before],
            "layers": [x.to_dict() for x in self.layers.values()],
            "findings": [x.to_dict() for x in self.findings],
            "renamed": self.renamed,
            "comparison": self.comparison,
            "mode": self.mode,
            "graph": dict(self.graph),
        }

    def to_html(
        self, path: str | os.PathLike[str] | None = None, *, comparison: Compared | None = None
    ) -> str:
        """The report as a page for a browser: one file that asks the network for nothing.

        It shows the layers of the original and those of the result side by side, where each comes from and
        why, and how far it is from the original.

        Args:
            path: Where to write it as well, `"report.html"`.
            comparison: A comparison to show in the place of the report's own, as by
                `kerasfx.compare(original, prepared, by_layer=True)`.

        Raises:
            ValueError: `path` does not end in `.html`, or `comparison` is of another model.
            OSError: No file can be written to `path`.
            ImportError: Jinja2 is not installed.
        """
        target = None if path is None else Path(path)
        if target:
            page.refuse_unwritable(target)
        record = self.to_dict()
        if comparison is not None:
            record = page.compared(record, comparison.to_dict())
        text = page.render(record)
        if target:
            page.write(text, target)
        return text

    @property
    def is_refused(self) -> bool:
        """Whether `explain` found that the model itself cannot be prepared."""
        return self.result is None and bool(self.before) and self.before[0].became == "whole"

    @property
    def headline(self) -> str:
        """All of it in a line."""
        if self.unchanged:
            return f"'{self.model}' is flat already and comes back unchanged."
        if self.is_refused:
            return f"'{self.model}' cannot be prepared as it is"
        if self.result is None:
            return f"'{self.model}': {self._planned()}, nothing was made"
        seconds = [f"{self.seconds:.1f} s"] if self.seconds else []
        judged = verdict(self.comparison, self.mode)
        parts = [f"{self._counted()} from {len(self.opened)} opened", self._kept(), judged, *seconds]
        return f"'{self.model}': {', '.join(parts)}"

    def _counted(self) -> str:
        """`42 layers`; a portable model has operations beside them."""
        operations = sum(x.kind == "function" and x.module == "keras.ops" for x in self.layers.values())
        layers = _number(len(self.layers) - operations, "layer")
        return f"{layers} and {_number(operations, 'operation')}" if operations else layers

    def _planned(self) -> str:
        """What would be done: `2 layers would be opened, 1 kept whole, in a graph of 8 layers`."""
        would = f"{_number(len(self.opened), 'layer')} would be opened, {self._kept()}"
        calls = [_number(count, kind) for kind, count in self.graph.items()]
        return f"{would}, in a graph of {' and '.join(calls)}" if calls else would

    def _kept(self) -> str:
        kept = [(len(self.opaque), "kept whole"), (len(self.of_kind("kept")), "kept whole on request")]
        return ", ".join(f"{count} {what}" for count, what in kept if count) or "none kept whole"

    def __str__(self) -> str:
        return self.headline if self.unchanged else screen(self.headline, self._shown(), self._next())

    def __repr__(self) -> str:
        return f"<Report {self.headline}>"

    def _repr_html_(self) -> str:
        return shown(self.headline, self._shown(), self._next())

    def _shown(self) -> list[Finding]:
        """The findings to be listed; why a model is refused stands below the headline itself."""
        return [] if self.unchanged or self.is_refused else self.findings

    def _next(self) -> list[str]:
        """What would be opened, or where to go from here."""
        if self.unchanged:
            return []
        if self.is_refused:
            return [line for finding in self.findings for line in finding.what.splitlines()][: LINES - 1]
        if self.result is None:
            return ["would be opened:", *self._by_class()] if self.opened else []
        all_layers = f"report.layers has all {_number(len(self.layers), 'layer')}"
        return [f'{all_layers}, report.to_html("report.html") shows them beside those of the original']

    def _by_class(self) -> list[str]:
        """Which layers would be opened, those of one class in a line."""
        classes: dict[str, list[str]] = {}
        for path, class_name in self.opened.items():
            classes.setdefault(class_name, []).append(path)
        lines = [f"  {counted(paths)}: {class_name}" for class_name, paths in classes.items()]
        more = len(lines) - CLASSES
        return lines if more <= 0 else [*lines[:CLASSES], f"  and {more} more classes: report.opened"]


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def attach(model: keras.layers.Layer, report: Report) -> None:
    """Remember `report` with `model`."""
    object.__setattr__(model, "_kerasfx_report", report)


def was_prepared(model: keras.layers.Layer) -> bool:
    """Whether `prepare_model` or `emit` made `model` of another in this process."""
    return hasattr(model, "_kerasfx_report")


def report(prepared: object) -> Report:
    """The report of a model that `prepare_model` or `emit` made in this process.

    Raises:
        ValueError: `prepared` was not made here of another model (a loaded model has no report).
    """
    found = getattr(prepared, "_kerasfx_report", None)
    if found is None:
        name = getattr(prepared, "name", prepared)
        raise ValueError(
            f"{type(prepared).__name__} '{name}' has no report: it was not made by kerasfx.prepare_model or "
            "kerasfx.emit in this process, and files hold no reports.\n"
            "  do:    kerasfx.report(kerasfx.prepare_model(original, inputs)); or write it beside the file "
            "when you save: json.dump(kerasfx.report(prepared).to_dict(), file)"
        )
    return found

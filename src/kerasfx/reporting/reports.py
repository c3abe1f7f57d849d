"""The report of a prepared model, and where it is kept."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import indent
from typing import Protocol

import keras

from kerasfx.reporting import page
from kerasfx.reporting.findings import KINDS, Finding
from kerasfx.reporting.records import Data, OriginalLayer, ResultLayer
from kerasfx.version import __version__

BEFORE_REPLACING = "what was compared is the model before layers were replaced as asked"
"""A note of a comparison: the option itself changes numbers."""

STAYS = ("layer", "kept", "whole")
"""What a layer became that is a layer of the result."""


class Compared(Protocol):
    """What a page needs of a `kerasfx.Comparison`."""

    def to_dict(self) -> Data:
        """All of it as data for JSON."""
        ...


@dataclass
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

    def __str__(self) -> str:
        if self.unchanged:
            return f"'{self.model}' is flat already and comes back unchanged."
        head = (
            f"'{self.model}': {len(self.layers)} layers after opening {len(self.opened)}, "
            f"{len(self.opaque)} kept whole, {self.seconds:.1f} s"
        )
        return "\n".join([head, *self._opened_lines(), *self._finding_lines(), *self._layer_lines()])

    def _opened_lines(self) -> list[str]:
        if not self.opened:
            return []
        items = [f"    {path or '(the model)'}: {kind}" for path, kind in self.opened.items()]
        return ["  opened:", *items]

    def _finding_lines(self) -> list[str]:
        lines = []
        for kind, title in KINDS.items():
            found = self.of_kind(kind)
            if found:
                lines += [f"  {title}:", *(indent(str(f), "    ") for f in found)]
        return lines

    def _layer_lines(self) -> list[str]:
        if not self.layers:
            return []
        width = max(map(len, self.layers))
        items = [
            f"    {n:<{width}}  {x.class_name}  <- {x.path or '(the model)'}" for n, x in self.layers.items()
        ]
        return ["  layers:", *items]


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
        raise ValueError(
            f"{type(prepared).__name__} '{getattr(prepared, 'name', prepared)}' has no report: it was not "
            "made by kerasfx.prepare_model or kerasfx.emit in this process (reports are not saved to files)."
        )
    return found

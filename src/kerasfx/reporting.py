"""What was opened, kept, renamed and lowered, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from textwrap import indent

import keras

from kerasfx.ir import SourceLine

KINDS = {
    "opaque": "kept whole, because they could not be opened",
    "kept": "kept whole on request",
    "warning": "warnings",
    "inexact": 'layers that may differ from the original in the last bit (lower="fast")',
    "replaced": "replaced as asked; their numbers are others than those of the original",
    "shared": "called several times, and one layer all the same",
    "guard": "answers about free sizes, checked whenever the model is called",
    "fixed": "values read while tracing, fixed in the result",
    "dropped": "left out of the result",
    "unused": "what no output depends on",
}


@dataclass(frozen=True)
class Finding:
    """One thing that the user should know.

    Attributes:
        kind: A key of `KINDS`.
        path: Path of the layer.
        what: What happened.
        source: The user's line.
        hint: What to do about it.
    """

    kind: str
    path: str
    what: str
    source: SourceLine | None = None
    hint: str = ""

    def __str__(self) -> str:
        where = f" ({self.source})" if self.source else ""
        hint = f"\n  do:    {self.hint}" if self.hint else ""
        return f"{self.path or '(the model)'}: {self.what}{where}{hint}"


@dataclass
class Report:
    """How a prepared model came to be; `print` it.

    Attributes:
        model: Name of the original model.
        opened: Path -> class name of each layer whose `call` was traced through.
        layers: Name in the prepared model -> (path in the original, what it is).
        findings: Everything the user should know.
        seconds: Time that `prepare_model` took, 0 for a model of `emit`.
        unchanged: The model was flat already and came back as it was.
    """

    model: str
    opened: dict[str, str] = field(default_factory=dict)
    layers: dict[str, tuple[str, str]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0
    unchanged: bool = False

    def of_kind(self, kind: str) -> list[Finding]:
        """The findings of one kind (a key of `KINDS`)."""
        return [f for f in self.findings if f.kind == kind]

    @property
    def opaque(self) -> list[Finding]:
        """The custom layers that had to be kept whole."""
        return self.of_kind("opaque")

    @property
    def renamed(self) -> dict[str, str]:
        """Original path -> name in the prepared model, where the two differ."""
        return {path: name for name, (path, _) in self.layers.items() if path and path != name}

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
        items = [f"    {n:<{width}}  {k}  <- {p or '(the model)'}" for n, (p, k) in self.layers.items()]
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

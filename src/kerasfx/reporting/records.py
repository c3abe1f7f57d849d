"""What a report knows of each layer: of those of the original, and of those of the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kerasfx.ir import SourceLine

Data = dict[str, Any]
"""What `json` can write."""

BECAME = {
    "opened": "its `call` was traced through",
    "layer": "a built-in layer that is a layer of the result",
    "kept": "kept whole on request",
    "whole": "kept whole, because it could not be opened",
    "dropped": "taken out by a pass",
    "unused": "no output depends on it",
}
"""What a layer of the original may have become."""

KINDS_OF_LAYERS = {
    "input": "an input",
    "layer": "a standard layer",
    "function": "a layer or an operation that calls a function",
    "weight": "a weight or a constant that several functions take",
    "kept": "a layer kept whole on request",
    "whole": "a layer kept whole, because it could not be opened",
}
"""The kinds of layers of a result."""


@dataclass(frozen=True, repr=False)
class OriginalLayer:
    """A layer of the original model, and what became of it.

    Attributes:
        path: How it is reached from the model: `"blocks[0].attention"`; `""` is the model itself.
        class_name: Its class.
        module: The module of its class, as it is imported: `"keras.layers"`.
        parent: The path of the layer around it; None for the model itself.
        became: A key of `BECAME`.
        parameters: How many numbers its weights hold, those of the layers inside of it included.
        source: The user's line that calls it, or where the `call` of an opened layer is defined.
        why: Why it became that.
        layers: The names of the layers of the result that come from it, those of its sub-layers not included.
    """

    path: str
    class_name: str
    module: str
    parent: str | None
    became: str
    parameters: int
    source: SourceLine | None = None
    why: str = ""
    layers: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<OriginalLayer '{self.path}': {self.class_name}, {self.became}>"

    def to_dict(self) -> Data:
        """The record as data for JSON."""
        return {
            "path": self.path,
            "class": self.class_name,
            "module": self.module,
            "parent": self.parent,
            "became": self.became,
            "parameters": self.parameters,
            "source": source_data(self.source),
            "why": self.why,
            "layers": list(self.layers),
        }


@dataclass(frozen=True, repr=False)
class ResultLayer:
    """A layer of the result, or an operation of a portable one.

    Attributes:
        name: Its name.
        class_name: Its class.
        module: The module of its class, as it is imported: `"keras.layers"`, `"kerasfx.layers"`.
        path: The path of the layer of the original that it comes from; `""` for the model itself.
        kind: A key of `KINDS_OF_LAYERS`.
        shape: The shape of what it gives, None for free sizes: `"(None, 8)"`; several one after the other.
        dtype: The dtype of what it gives.
        parameters: How many numbers its weights hold.
        inputs: The names of the layers whose results it takes.
        source: The user's line that it comes from.
        why: Why it is there, in a sentence.
        inside: The paths of the layers that it calls in the bodies of control flow: of a loop, of a branch.
    """

    name: str
    class_name: str
    module: str
    path: str
    kind: str
    shape: str
    dtype: str
    parameters: int = 0
    inputs: tuple[str, ...] = ()
    source: SourceLine | None = None
    why: str = ""
    inside: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<ResultLayer '{self.name}': {self.class_name} {self.shape}, {in_short(self.why)}>"

    def to_dict(self) -> Data:
        """The record as data for JSON."""
        return {
            "name": self.name,
            "class": self.class_name,
            "module": self.module,
            "path": self.path,
            "kind": self.kind,
            "shape": self.shape,
            "dtype": self.dtype,
            "parameters": self.parameters,
            "inputs": list(self.inputs),
            "source": source_data(self.source),
            "why": self.why,
            "inside": list(self.inside),
        }


def source_data(source: SourceLine | None) -> Data | None:
    """A line of the user's as data for JSON."""
    return source and {"file": source.file, "line": source.line, "text": source.text}


def in_short(text: str, longest: int = 100) -> str:
    """The first line of a text, cut where it is long."""
    first = text.partition("\n")[0]
    return first if len(first) <= longest and first == text else f"{first[: longest - 3].rstrip()}..."

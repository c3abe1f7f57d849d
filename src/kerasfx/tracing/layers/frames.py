"""What is known of the layers whose calls are being traced."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import keras

from kerasfx.ir import Node, SourceLine
from kerasfx.reporting import Finding
from kerasfx.tracing.state.effects import Effects


@dataclass
class Frame:
    """A layer whose call is being traced.

    Attributes:
        layer: The layer.
        path: Its path.
        is_whole: Whether it stays whole.
        start: How many nodes the graph had before the call.
        effects, findings: Those of the session before the call.
        args, kwargs: What it is called with.
        node: Its call in the graph, if it stays whole.
    """

    layer: keras.Layer
    path: str
    is_whole: bool
    start: int
    effects: Effects
    findings: tuple[Finding, ...]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    node: Node | None = None


@dataclass(frozen=True)
class ModelCall:
    """A call of a layer by `call` of the model itself.

    Attributes:
        layer: The layer.
        path: Its path.
        source: The user's line.
    """

    layer: keras.Layer
    path: str
    source: SourceLine | None

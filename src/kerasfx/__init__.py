"""Turns any Keras model into an equivalent, flat Functional model.

To import it registers the layers that saved models name, and no more: the rest is imported when it is used.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING

from kerasfx.errors import UntestedKerasWarning, UnverifiedWarning
from kerasfx.version import __version__ as __version__

if TYPE_CHECKING:
    from kerasfx import errors, ir, passes
    from kerasfx.comparing import Comparison, compare
    from kerasfx.emitting import emit
    from kerasfx.inputs import Inputs
    from kerasfx.ir import Graph, Node, Value
    from kerasfx.prepare import explain, prepare_model
    from kerasfx.reporting import Report, report
    from kerasfx.runtime import layers
    from kerasfx.source_code import to_source
    from kerasfx.tracing import trace
    from kerasfx.tracing.traced import Traced
    from kerasfx.viewing import plot, to_model_explorer
    from kerasfx.weights import CopiedWeights, copy_weights

__all__ = [
    "Comparison",
    "CopiedWeights",
    "Graph",
    "Inputs",
    "Node",
    "Report",
    "Traced",
    "UntestedKerasWarning",
    "UnverifiedWarning",
    "Value",
    "compare",
    "copy_weights",
    "emit",
    "errors",
    "explain",
    "ir",
    "layers",
    "passes",
    "plot",
    "prepare_model",
    "report",
    "to_model_explorer",
    "to_source",
    "trace",
]

HOMES = {
    "Comparison": "comparing",
    "CopiedWeights": "weights",
    "Graph": "ir",
    "Inputs": "inputs",
    "Node": "ir",
    "Report": "reporting",
    "Traced": "tracing.traced",
    "Value": "ir",
    "compare": "comparing",
    "copy_weights": "weights",
    "emit": "emitting",
    "explain": "prepare",
    "layers": "runtime",
    "plot": "viewing",
    "prepare_model": "prepare",
    "report": "reporting",
    "to_model_explorer": "viewing",
    "to_source": "source_code",
    "trace": "tracing",
}
"""The module of each name that is imported when it is first asked for."""


def __getattr__(name: str) -> object:
    if name in HOMES:
        found = getattr(importlib.import_module(f"kerasfx.{HOMES[name]}"), name)
    elif name in __all__:
        found = importlib.import_module(f"kerasfx.{name}")
    else:
        raise AttributeError(f"module 'kerasfx' has no attribute {name!r}")
    # So that it is asked for once.
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _is_the_command() -> bool:
    """Whether Python was started to run the command `kerasfx`, which imports Keras itself, once it has to.

    Without this `kerasfx --help` would take the seconds that Keras takes. Nothing else depends on it: where a
    start of the command is not recognized, Keras is imported here, as for everybody else.
    """
    # `python -m kerasfx a b`: while Python looks for a module, sys.argv is ["-m", "a", "b"] (so documented),
    # and sys.orig_argv ends in "kerasfx", "a", "b".
    if sys.argv[:1] == ["-m"]:
        return sys.orig_argv[-len(sys.argv)] == __name__
    # The script that pip makes; on Windows it is kerasfx.exe.
    script = os.path.basename("".join(sys.argv[:1]))
    return script.removesuffix(".exe") == __name__


if not _is_the_command():
    importlib.import_module("kerasfx.runtime").warn_if_untested()

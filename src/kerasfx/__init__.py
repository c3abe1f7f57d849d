"""Turns any Keras model into an equivalent, flat Functional model.

To import it registers the layers that saved models name, and no more: the rest is imported when it is used.
"""

from __future__ import annotations

import importlib
import re
import warnings
from typing import TYPE_CHECKING

import keras

from kerasfx.errors import UntestedKerasWarning, UnverifiedWarning
from kerasfx.runtime import layers
from kerasfx.version import __version__ as __version__

if TYPE_CHECKING:
    from kerasfx import errors, ir, passes
    from kerasfx.comparing import Comparison, compare
    from kerasfx.emitting import emit
    from kerasfx.inputs import Inputs
    from kerasfx.ir import Graph, Node, Value
    from kerasfx.prepare import explain, prepare_model
    from kerasfx.reporting import Report, report
    from kerasfx.tracing import trace
    from kerasfx.tracing.traced import Traced
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
    "prepare_model",
    "report",
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
    "prepare_model": "prepare",
    "report": "reporting",
    "trace": "tracing",
}
"""The module of each name that is imported when it is first asked for."""

TESTED = ("3.14.0", "3.15.1")
"""The oldest and the newest Keras that the tests run on."""


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


def _warn_if_untested(version: str) -> None:
    """Warn of a Keras that nobody has tried: what kerasfx replaces in it may have moved."""
    if not _minor(TESTED[0]) <= _minor(version) <= _minor(TESTED[1]):
        warnings.warn(
            f"kerasfx was tested with Keras {TESTED[0]} to {TESTED[1]}, and this is Keras {version}.\n"
            "  why:   it records calls inside of Keras, by names that another version may have changed\n"
            "  do:    keep verify=True, which compares each result with its original; or install "
            f'"keras<={TESTED[1]}"',
            UntestedKerasWarning,
            stacklevel=3,
        )


def _minor(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


_warn_if_untested(keras.__version__)

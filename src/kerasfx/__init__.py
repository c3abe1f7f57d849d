"""Turns any Keras model into an equivalent, flat Functional model."""

from kerasfx.compare import Comparison, compare
from kerasfx.emit import emit
from kerasfx.errors import UnverifiedWarning
from kerasfx.handover.weights import CopiedWeights, copy_weights
from kerasfx.inputs import Inputs
from kerasfx.ir import Graph
from kerasfx.prepare import explain, prepare_model
from kerasfx.report import Report, report
from kerasfx.runtime import layers  # noqa: F401  (registers the layers that saved models name)
from kerasfx.trace import trace

__version__ = "0.1.0"
__all__ = [
    "Comparison",
    "CopiedWeights",
    "Graph",
    "Inputs",
    "Report",
    "UnverifiedWarning",
    "compare",
    "copy_weights",
    "emit",
    "explain",
    "prepare_model",
    "report",
    "trace",
]

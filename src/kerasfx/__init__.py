"""Turns any Keras model into an equivalent, flat Functional model."""

from kerasfx.comparing import Comparison, compare
from kerasfx.emitting import emit
from kerasfx.errors import UnverifiedWarning
from kerasfx.inputs import Inputs
from kerasfx.ir import Graph
from kerasfx.prepare import explain, prepare_model
from kerasfx.reporting import Report, report
from kerasfx.runtime import layers  # noqa: F401  (registers the layers that saved models name)
from kerasfx.tracing import trace
from kerasfx.tracing.traced import Traced
from kerasfx.weights import CopiedWeights, copy_weights

__version__ = "0.1.0"
__all__ = [
    "Comparison",
    "CopiedWeights",
    "Graph",
    "Inputs",
    "Report",
    "Traced",
    "UnverifiedWarning",
    "compare",
    "copy_weights",
    "emit",
    "explain",
    "prepare_model",
    "report",
    "trace",
]

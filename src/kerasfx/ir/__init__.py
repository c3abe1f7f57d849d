"""The program as a library: Value, Node, Graph. Imports neither Keras nor a backend.

value    a typed edge                      Value, Input, Parameter, Constant, Computed
node     one call                          Node; its target: a function's name or one of `targets`
graph    the program and its edit verbs    Graph, Body
weights  arithmetic that is done once      Expression, weight
"""

from kerasfx.ir.graph import Body, Graph
from kerasfx.ir.meta import Meta
from kerasfx.ir.program import (
    Constant,
    Input,
    Node,
    Parameter,
    Producer,
    SourceLine,
    Value,
    foreign_masks,
    map_values,
    values_in,
)
from kerasfx.ir.structure import identifier, leaves_of, map_leaves, shown
from kerasfx.ir.targets import (
    Assignment,
    LayerCall,
    LayerSpec,
    MetricUpdate,
    SeedDraw,
    Slot,
    Target,
    weights_by_name,
)
from kerasfx.ir.training import FOLLOWS, ORDER, Training
from kerasfx.ir.weights import Computed, Expression, weight

__all__ = [
    "FOLLOWS",
    "ORDER",
    "Assignment",
    "Body",
    "Computed",
    "Constant",
    "Expression",
    "Graph",
    "Input",
    "LayerCall",
    "LayerSpec",
    "Meta",
    "MetricUpdate",
    "Node",
    "Parameter",
    "Producer",
    "SeedDraw",
    "Slot",
    "SourceLine",
    "Target",
    "Training",
    "Value",
    "foreign_masks",
    "identifier",
    "leaves_of",
    "map_leaves",
    "map_values",
    "shown",
    "values_in",
    "weight",
    "weights_by_name",
]

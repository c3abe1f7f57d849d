"""Call nodes as the user called their layers."""

from __future__ import annotations

from collections import Counter

from kerasfx.ir import Graph
from kerasfx.keras_api.names import made_up_of


def use_original_names(graph: Graph) -> bool:
    """Give the first call of each layer the name of the layer; returns whether any got one.

    Names that Keras made up stay out, and so do those that two layers have, or that something else has in
    this graph: such nodes are called by their paths.

    Args:
        graph: The graph, which is edited.
    """
    layers = graph.called_layers()
    count = Counter(layer.name for layer in layers)
    wanted = {id(x): x.name for x in layers if count[x.name] == 1 and not made_up_of(x)}
    changed = False
    for node in graph.nodes:
        name = wanted.pop(id(node.layer), None) if node.layer is not None else None
        if name is not None and name != node.name:
            changed = graph.rename(node, name) or changed
    return changed

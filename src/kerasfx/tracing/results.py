"""The results of a call, as Values of its node and as the tensors that user code goes on with."""

from __future__ import annotations

from typing import Any

from kerasfx.ir import Node, identifier, leaves_of, map_leaves
from kerasfx.ir.build import Inferred, give_results
from kerasfx.tracing.recorder import Trace
from kerasfx.tracing.sizes.equal import cut_axes, equal_sizes
from kerasfx.tracing.sizes.tensors import note_sizes


def finish(trace: Trace, node: Node, specs: list[Any]) -> Any:
    """Give `node` its results, append it, and return the tensors that stand for them.

    Args:
        trace: The trace.
        node: A node without results.
        specs: The structure of its results in `Spec`s, for each set of example sizes that matters.
    """
    node.name = trace.graph.unique_name(identifier(node.name))
    if len({sum(1 for _ in leaves_of(s)) for s in specs}) > 1:
        raise trace.unsupported(f"{node.name} has a number of results that depends on a free size.")
    give_results(node, Inferred(specs, equal=equal_sizes(node), cut=frozenset(cut_axes(node))))
    trace.graph.append(node)
    note_sizes(trace.sizes_held, node)
    results = map_leaves(lambda v: None if v is None else trace.tensor_of(v), node.outputs)
    return trace.dialect.finished(trace, results)

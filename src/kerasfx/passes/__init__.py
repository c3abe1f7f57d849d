"""Passes: functions `Graph -> changed`, one file each."""

from __future__ import annotations

from kerasfx.ir import Graph
from kerasfx.passes.legalize.ask_fewer_sizes import ask_fewer_sizes
from kerasfx.passes.lower.use_standard_layers import use_standard_layers


def lower(graph: Graph) -> bool:
    """Run all passes that bring a graph nearer to standard layers."""
    changed = False
    for run in PASSES:
        changed |= run(graph)
        graph.check()
    return changed


PASSES = (use_standard_layers, ask_fewer_sizes)

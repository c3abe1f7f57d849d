"""A graph as data for JSON, and the part of it that is inside of one layer."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from kerasfx.cli.usage import WrongUsage
from kerasfx.ir import Graph, Node, Value, values_in
from kerasfx.ir.text import target_name
from kerasfx.reporting.records import source_data


def nodes_in(graph: Graph, path: str) -> list[Node]:
    """The nodes of the layer at `path`, and of the layers in it.

    Raises:
        WrongUsage: There are none.
    """
    found = [node for node in graph.nodes if _is_in(node.path, path)]
    if not found:
        near = get_close_matches(path, _paths(graph), n=3, cutoff=0.5)
        raise WrongUsage(
            f"--layer {path}: no layer of '{graph.name}' with this path was called.",
            hint=f"did you mean {' or '.join(near)}?" if near else "the paths stand behind # in kerasfx show",
        )
    return found


def _is_in(path: str, layer: str) -> bool:
    return path == layer or path.startswith((f"{layer}.", f"{layer}["))


def _paths(graph: Graph) -> list[str]:
    """The paths of the layers, and of those around them."""
    paths: dict[str, None] = {}
    for node in graph.nodes:
        parts = node.path.split(".")
        paths |= {".".join(parts[:i]): None for i in range(1, len(parts) + 1)}
    return list(paths)


def graph_data(graph: Graph, nodes: Sequence[Node]) -> dict[str, Any]:
    """The graph with some of its nodes, or all, as data for JSON; a free size is None."""
    weights = (*graph.parameters, *graph.constants, *graph.computed_weights)
    return {
        "graph": graph.name,
        "mode": graph.mode,
        "inputs": [_value(v) for v in values_in(graph.inputs)],
        "weights": [{**_value(v), "kind": _kind(v), "path": _path(v)} for v in weights],
        "nodes": [_node(node) for node in nodes],
        "outputs": [v.name for v in values_in(graph.outputs)],
    }


def _node(node: Node) -> dict[str, Any]:
    return {
        "name": node.name,
        "target": target_name(node),
        "path": node.path,
        "inputs": [v.name for v in node.inputs],
        "outputs": [_value(v) for v in node.results],
        "source": source_data(node.source),
    }


def _value(value: Value) -> dict[str, Any]:
    shape = [size if isinstance(size, int) else None for size in value.shape]
    return {"name": value.name, "shape": shape, "dtype": value.dtype}


def _kind(value: Value) -> str:
    return type(value.producer).__name__.lower()


def _path(value: Value) -> str | None:
    return getattr(value.producer, "path", None)

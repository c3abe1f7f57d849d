"""Graph -> stable text, and a node in its neighbourhood."""

from __future__ import annotations

from typing import Any

from kerasfx.ir import (
    Assignment,
    Body,
    Graph,
    LayerCall,
    LayerSpec,
    MetricUpdate,
    Node,
    SeedDraw,
    Value,
    leaves_of,
    values_in,
)
from kerasfx.ir.dims import Dim

NEIGHBOURS = 3
MAX_ITEM = 60


def to_text(graph: Graph) -> str:
    """Write `graph`, one line for each node; equal graphs give equal texts in every process."""
    inputs = ", ".join(_typed(v) for v in values_in(graph.inputs))
    lines = [f"graph {graph.name}({inputs}):"]
    lines += [f"  {_typed(v)} = parameter {v.producer.path}" for v in graph.parameters]  # pyright: ignore
    lines += [f"  {_typed(v)} = constant {_array(v.producer.array)}" for v in graph.constants]  # pyright: ignore
    lines += _calls(graph)
    return "\n".join(lines)


def _calls(graph: Graph) -> list[str]:
    """The nodes and the result; the bodies that a node takes follow it, indented."""
    lines: list[str] = []
    for node in graph.nodes:
        lines.append(f"  {line_of(node)}")
        for body in leaves_of((node.args, node.kwargs)):
            if isinstance(body, Body):
                arguments, captured = body.graph.inputs
                names = ", ".join(_typed(v) for v in (*arguments, *captured))
                lines += [f"    {line}" for line in (f"body({names}):", *_calls(body.graph))]
    return [*lines, f"  return {_structure(graph.outputs)}"]


def line_of(node: Node) -> str:
    """Write one node: results, target, arguments, and the user's line as a comment."""
    results = ", ".join(_typed(v) for v in node.results)
    arguments = [_structure(a) for a in node.args]
    arguments += [f"{k}={_structure(a)}" for k, a in node.kwargs.items()]
    waits = f" after {', '.join(map(_structure, node.after))}" if node.after else ""
    comment = f"{waits}  # {node.path or '.'}"
    if node.source:
        comment += f", {node.source.file.rpartition('/')[2]}:{node.source.line}"
    return f"{results} = {target_name(node)}({', '.join(arguments)}){comment}"


def target_name(node: Node) -> str:
    """Name what a node calls.

    `Dense 'encoder.proj'` is a layer of the model, `Permute(dims=(2, 1))` one that a pass makes, and
    `keras.ops.add` a function.
    """
    target = node.target
    if isinstance(target, LayerCall):
        kind = "opaque " if target.opaque else ""
        return f"{kind}{type(target.layer).__name__} '{node.path}'"
    if isinstance(target, SeedDraw):
        return "draw_seed"
    if isinstance(target, Assignment):
        return "assign"
    if isinstance(target, MetricUpdate):
        return f"update_metric '{target.metric.name}'"
    if isinstance(target, LayerSpec):
        config = ", ".join(f"{k}={_structure(v)}" for k, v in target.config.items() if k != "dtype")
        return f"{target.class_name.rpartition('.')[2]}({config})"
    return target


def neighbourhood(graph: Graph, node: Node) -> str:
    """Write `node` between the nodes around it, marked with an arrow."""
    position = graph.nodes.index(node) if node in graph.nodes else len(graph.nodes)
    around = graph.nodes[max(0, position - NEIGHBOURS) : position + NEIGHBOURS + 1]
    return "\n".join(f"{'->' if n is node else '  '} {line_of(n)}" for n in around)


def _typed(value: Value) -> str:
    sizes = ", ".join("?" if isinstance(d, Dim) else str(d) for d in value.shape)
    return f"%{value.name}: {value.dtype}[{sizes}]"


def _structure(x: Any) -> str:
    if isinstance(x, Value):
        return f"%{x.name}"
    if isinstance(x, Dim):
        return str(x)
    if isinstance(x, Body):
        return f"body({', '.join(f'%{v.name}' for v in x.captured)})"
    if isinstance(x, (tuple, list)):
        left, right = "()" if isinstance(x, tuple) else "[]"
        comma = "," if isinstance(x, tuple) and len(x) == 1 else ""
        return f"{left}{', '.join(map(_structure, x))}{comma}{right}"
    if isinstance(x, dict):
        return "{" + ", ".join(f"{k}: {_structure(v)}" for k, v in x.items()) + "}"
    if isinstance(x, slice):
        parts = (x.start, x.stop) if x.step is None else (x.start, x.stop, x.step)
        return ":".join("" if p is None else _structure(p) for p in parts)
    return _plain(x)


def _plain(x: Any) -> str:
    if x is Ellipsis:
        return "..."
    if hasattr(x, "tolist"):  # a NumPy array or scalar, whose repr has many lines and changes with NumPy
        return f"array({_array(x)}, {x.dtype})" if x.shape else f"{x.dtype}({x.tolist()})"
    text = repr(x)
    if " at 0x" in text:
        text = f"<{type(x).__name__}>"
    return text if len(text) <= MAX_ITEM else f"{text[: MAX_ITEM - 3]}..."


def _array(array: Any) -> str:
    if array.size <= 8:
        return str(array.tolist())
    return f"<{array.size} numbers>"

"""Graph -> stable text, and a node in its neighbourhood."""

from __future__ import annotations

from kerasfx.ir.dims import Dim
from kerasfx.ir.program import Captures, Constant, Node, Parameter, Program, Value, values_in
from kerasfx.ir.structure import shown, shown_array

NEIGHBOURS = 3


def to_text(graph: Program) -> str:
    """Write `graph`, one line for each node; equal graphs give equal texts in every process."""
    return "\n".join([header_of(graph), *weight_lines(graph), *_calls(graph)])


def header_of(graph: Program) -> str:
    """Write the first line: name and inputs."""
    return f"graph {graph.name}({', '.join(_typed(v) for v in values_in(graph.inputs))}):"


def weight_lines(graph: Program) -> list[str]:
    """Write the weights and constants, one line for each."""
    weights = (*graph.parameters, *graph.constants, *graph.computed_weights)
    return [f"  {_typed(value)} = {_source(value)}" for value in weights]


def return_of(graph: Program) -> str:
    """Write the last line: the outputs."""
    return f"  return {_structure(graph.outputs)}"


def _source(value: Value) -> str:
    producer = value.producer
    if isinstance(producer, Parameter):
        return f"parameter {producer.path}"
    if isinstance(producer, Constant):
        return f"constant {shown_array(producer.array)}"
    return str(producer)


def _calls(graph: Program) -> list[str]:
    return [*(line for node in graph.nodes for line in lines_of(node)), return_of(graph)]


def lines_of(node: Node) -> list[str]:
    """Write one node with the bodies that it takes, which follow it, indented."""
    lines = [f"  {line_of(node)}"]
    for body in node.bodies:
        arguments, captured = body.program.inputs
        names = ", ".join(_typed(v) for v in (*arguments, *captured))
        lines += [f"    {line}" for line in (f"body({names}):", *_calls(body.program))]
    return lines


def line_of(node: Node) -> str:
    """Write one node: results, target, arguments, and the user's line as a comment."""
    results = ", ".join(_typed(v) for v in node.results)
    arguments = [_structure(a) for a in node.args]
    arguments += [f"{k}={_structure(a)}" for k, a in node.kwargs.items()]
    if node.weights:
        arguments.append(f"weights={_structure(node.weights)}")
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
    return node.target if isinstance(node.target, str) else node.target.text(node.path)


def neighbourhood(graph: Program, node: Node) -> str:
    """Write `node` between the nodes around it, marked with an arrow."""
    nodes = graph.nodes
    position = nodes.index(node) if node in nodes else len(nodes)
    around = [*nodes[max(0, position - NEIGHBOURS) : position + NEIGHBOURS + 1]]
    if node not in nodes:
        around.append(node)
    return "\n".join(f"{'->' if n is node else '  '} {line_of(n)}" for n in around)


def _typed(value: Value) -> str:
    sizes = ", ".join("?" if isinstance(d, Dim) else str(d) for d in value.shape)
    return f"%{value.name}: {value.dtype}[{sizes}]"


def _structure(x: object) -> str:
    return shown(x, _value)


def _value(x: object) -> str | None:
    if isinstance(x, Value):
        return f"%{x.name}"
    if isinstance(x, Dim):
        return str(x)
    if isinstance(x, Captures):
        return f"body({', '.join(f'%{v.name}' for v in x.captured)})"
    return None

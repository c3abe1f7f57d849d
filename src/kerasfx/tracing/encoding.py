"""Arguments of Nodes as JSON, for the config of a layer; `runtime/codec.py` reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kerasfx.ir import Body, Value, values_in
from kerasfx.ir.dims import Dim
from kerasfx.runtime.codec import encode_plain


def encode(x: Any, slot: Callable[[Value], int]) -> Any:
    """Turn arguments into JSON; `slot(value)` is the number of the tensor that stands for a Value.

    Raises:
        NotEncodableError: Something inside is no plain value.
    """
    if isinstance(x, Value):
        return {"$tensor": slot(x)}
    if isinstance(x, Dim):
        return {"$dim": _encode_dim(x, slot)}
    if isinstance(x, Body):
        return {"$body": _encode_body(x, slot)}
    if isinstance(x, tuple):
        return {"$tuple": [encode(v, slot) for v in x]}
    if isinstance(x, list):
        return [encode(v, slot) for v in x]
    if isinstance(x, dict):
        return {"$dict": [[k, encode(v, slot)] for k, v in x.items()]}
    if isinstance(x, slice):
        return {"$slice": [encode(v, slot) for v in (x.start, x.stop, x.step)]}
    return encode_plain(x)


def _encode_body(body: Body, slot: Callable[[Value], int]) -> Any:
    """Its Values are numbered: arguments, captured ones, then the results of its calls in order."""
    known = {v: i for i, v in enumerate(values_in(body.graph.inputs))}
    calls = []
    for node in body.graph.nodes:
        calls.append([str(node.target), encode([node.args, node.kwargs], known.__getitem__)])
        known.update({v: len(known) + i for i, v in enumerate(node.results)})
    return {
        "captured": [slot(v) for v in body.captured],
        "calls": calls,
        "result": encode(body.graph.outputs, known.__getitem__),
    }


def _encode_dim(dim: Any, slot: Callable[[Value], int]) -> Any:
    if not isinstance(dim, Dim):
        return dim
    if dim.op == "axis":
        return ["axis", slot(dim.args[0]), dim.args[1]]
    return [dim.op, *(_encode_dim(a, slot) for a in dim.args)]

"""The results of a call, as Values of its node and as the tensors that user code goes on with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from kerasfx.ir import Node, Value, identifier, leaves_of, map_leaves
from kerasfx.ir.dims import Dim
from kerasfx.tracing import native
from kerasfx.tracing.inference import Spec
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
    names = _names(trace, node, _count(trace, node, specs))
    second = iter(leaves_of(specs[-1]))
    known, cut = equal_sizes(node), cut_axes(node)

    def make(spec: Spec | None) -> Value | None:
        other, name = next(second), next(names)
        if spec is None:
            return None
        value = Value(name, (), spec.dtype, node)
        pairs = enumerate(zip(spec.shape, other.shape, strict=True))
        value.shape = tuple(
            _size(value, k, _cut(pair) if k in cut else pair, partial(known, k)) for k, pair in pairs
        )
        return value

    node.outputs = map_leaves(make, specs[0])
    trace.graph.append(node)
    note_sizes(trace.sizes_held, node)
    results = map_leaves(lambda v: None if v is None else trace.tensor_of(v), node.outputs)
    return native.finished(trace, results)


def _count(trace: Trace, node: Node, specs: list[Any]) -> int:
    counts = [sum(1 for _ in leaves_of(s)) for s in specs]
    if counts[0] != counts[-1]:
        raise trace.unsupported(f"{node.name} has a number of results that depends on a free size.")
    return counts[0]


def _names(trace: Trace, node: Node, count: int) -> Iterator[str]:
    node.name = trace.graph.unique_name(identifier(node.name))
    return iter([node.name] if count == 1 else [f"{node.name}.{i}" for i in range(count)])


Pair = tuple[int | None, int | None]
"""The size of an axis under both sets of example sizes; None if it depends on the data."""


def _cut(pair: Pair) -> Pair:
    """A pair that differs, for a size that only the limit at which it is cut makes the same."""
    a, b = pair
    return (a, a - 1) if a is not None and a == b and a > 1 else pair


def _size(value: Value, k: int, pair: Pair, known: Callable[[Pair], Dim | None]) -> int | Dim:
    """Axis `k` of a result, which is free unless its two example sizes are alike."""
    a, b = pair
    if a is not None and a == b:
        return a
    # A size that depends on the data has no example sizes of its own.
    return Dim.axis(value, k, (a or 11, b or 13), known(pair))

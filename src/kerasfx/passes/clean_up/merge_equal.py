"""Compute once what is computed twice."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from kerasfx.ir import Graph, Node, Value, leaves_of
from kerasfx.ir.dims import Dim
from kerasfx.passes.clean_up.same_numbers import Places, edit_functions

NUMBERS = (int, float, complex, str)


def merge_equal(graph: Graph) -> bool:
    """Merge equal calls of functions, such as the mask that each block makes; returns whether any were.

    Equal are calls of one function with equal arguments that carry no gradient: masks, positions, tables of
    sines. Where gradients flow, a sum of what comes back from two branches is not, to the last bit, what
    comes back from one that is used twice. The first stays, with its name.

    Args:
        graph: The graph, which is edited, and so are the bodies of control flow.
    """
    firsts: dict[Hashable, list[Node]] = {}

    def edit(places: Places, node: Node) -> bool:
        if not _is_mergeable(places, node):
            return False
        alike = firsts.setdefault(_key(places, node), [])
        for first in alike:
            if _is_same(first, node):
                return places.take_place(node.outputs, first.outputs)
        alike.append(node)
        return False

    return edit_functions(graph, edit)


def _is_mergeable(places: Places, node: Node) -> bool:
    # What draws is none of `keras.ops`.
    is_pure = str(node.function).startswith("keras.ops.") and not node.bodies
    return is_pure and node.outputs not in places.with_gradient and not node.outputs.is_output


def _key(places: Places, node: Node) -> Hashable:
    """What equal calls have in common, and most others do not."""
    return id(places.graph), node.function, node.outputs.dtype, tuple(map(_leaf_key, _leaves(node)))


def _leaves(node: Node) -> list[Any]:
    return list(leaves_of((node.args, node.kwargs)))


def _leaf_key(x: object) -> Hashable:
    if isinstance(x, Value):
        return id(x)
    # Or a thousand slices of one tensor would each be compared with all before.
    return type(x).__name__, repr(x) if isinstance(x, NUMBERS) else None


def _is_same(a: Node, b: Node) -> bool:
    is_called_alike = (a.only_in, a.training) == (b.only_in, b.training)
    return is_called_alike and _is_equal(a.args, b.args) and _is_equal(a.kwargs, b.kwargs)


def _is_equal(a: object, b: object) -> bool:
    """Whether two structures of arguments are one: 1 is neither 1.0 nor True, and 0.0 is not -0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_is_equal, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(map(_is_equal, a.values(), b.values()))
    if isinstance(a, slice) and isinstance(b, slice):
        return _is_equal((a.start, a.stop, a.step), (b.start, b.stop, b.step))
    if isinstance(a, (np.ndarray, np.generic)) and isinstance(b, (np.ndarray, np.generic)):
        return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    if isinstance(a, Dim):
        return a.same_as(b)
    # NaN is not equal to itself, and its text is.
    return a is b or (isinstance(a, NUMBERS) and repr(a) == repr(b))

"""Compute small constants once, when the model is made."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from kerasfx.ir import Graph, Node, Value, leaves_of, map_values, values_in
from kerasfx.ir.graph import INLINE_SIZE
from kerasfx.passes.clean_up.same_numbers import Places, edit_functions
from kerasfx.runtime import functions


def _named(names: str) -> frozenset[str]:
    return frozenset(f"keras.ops.{name}" for name in names.split())


MOVING = _named(
    """arange broadcast_to concatenate convert_to_tensor copy expand_dims eye flip full full_like get_item
    ones ones_like repeat reshape roll squeeze stack swapaxes tile transpose tri tril triu where zeros
    zeros_like"""
)
"""Functions that move numbers, or make such as are written there."""

COMPUTING = _named(
    """absolute add cast divide equal greater greater_equal less less_equal logical_and logical_not logical_or
    maximum minimum multiply negative not_equal sqrt square subtract true_divide"""
)
"""Functions whose result is rounded once: the same number op by op, compiled, or vectorized.

Of `exp` or `sin` each way has its own last bit, and so has a sum of three.
"""

DTYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "float32", "float64")
"""What is computed in a half, a compiler may compute in float32."""

SMALL, LARGE = 1e-15, 1e15
"""Between these nothing comes near the numbers that TensorFlow and JAX take for zero, run op by op."""


def fold_constants(graph: Graph) -> bool:
    """Put the constants that functions of constants give in their places; returns whether any was.

    Only small ones are, of at most `INLINE_SIZE` numbers, so that no file grows by it.

    Args:
        graph: The graph, which is edited, and so are the bodies of control flow.
    """
    return edit_functions(graph, _fold)


def _fold(places: Places, node: Node) -> bool:
    array = _array_of(node) if _is_foldable(node) else None
    if array is None:
        return False
    return places.take_place(node.outputs, places.graph.add_constant(array, node.name))


def _is_foldable(node: Node) -> bool:
    taken = list(values_in((node.args, node.kwargs)))
    return (
        node.function in MOVING | COMPUTING
        and not node.bodies
        and all(v.array is not None for v in taken)
        and all(v.dtype in DTYPES for v in (*taken, node.outputs))
        and _is_small(node.outputs)
        and (node.function in MOVING or all(map(_is_moderate, leaves_of((node.args, node.kwargs)))))
        and _has_whole_steps(node)
        and not _is_to_integer(node)
    )


def _is_small(value: Value) -> bool:
    sizes = [d for d in value.shape if isinstance(d, int)]
    return len(sizes) == len(value.shape) and int(np.prod(sizes)) <= INLINE_SIZE


def _is_moderate(x: object) -> bool:
    """Whether no number of an argument is so small or large that what is computed may be flushed."""
    numbers = x.array if isinstance(x, Value) else x
    if not isinstance(numbers, (int, float, np.ndarray, np.generic)):
        return True
    size = np.abs(np.asarray(numbers, "float64"))
    return bool(np.all((size == 0) | ((size > SMALL) & (size < LARGE))))


def _has_whole_steps(node: Node) -> bool:
    """Whether a range goes by whole steps: others are added up in one way or the other."""
    return node.function != "keras.ops.arange" or not any(
        isinstance(x, float) and not x.is_integer() for x in leaves_of((node.args, node.kwargs))
    )


def _is_to_integer(node: Node) -> bool:
    """Whether floats become integers: what does not fit is another number on each way."""
    return node.function == "keras.ops.cast" and not (
        "float" in node.outputs.dtype or all(_is_whole(v) for v in values_in((node.args, node.kwargs)))
    )


def _is_whole(value: Value) -> bool:
    return "float" not in value.dtype


def _array_of(node: Node) -> np.ndarray | None:
    """What the call gives, unless it is another thing than the graph says."""
    args, kwargs = map_values(lambda v: v.array, (node.args, node.kwargs))
    with keras.device("cpu"):
        result: Any = functions.resolve(str(node.function))(*args, **kwargs)
    array: Any = keras.ops.convert_to_numpy(result)
    is_expected = (str(array.dtype), array.shape) == (node.outputs.dtype, tuple(node.outputs.shape))
    # On PyTorch a view may lie in memory in another order than an array that is read from a file.
    return array if is_expected and array.flags.c_contiguous else None

"""Layers without weights in the place of functions: what dtypes and sizes they take as functions do.

A layer casts floats to its own dtype and leaves integers alone; its result has, to Keras, the dtype that
the layer computes in, but for layers that only move elements.
"""

from __future__ import annotations

from typing import Any

from kerasfx.ir import LayerSpec, Value
from kerasfx.ir.build import FLOATS
from kerasfx.ir.dims import Dim, Size
from kerasfx.ir.match import Match, any_
from kerasfx.passes.lower.rule import Replacement
from kerasfx.passes.patterns import is_tensor

INTEGERS = ("uint8", "uint16", "uint32", "int16", "int32", "int64")
"""Those that name a policy; "int8" is a way to quantize."""

X = any_("x", lambda x: is_tensor(x) and len(x.shape) > 0)
"""A tensor, and no weight or constant."""


def computing(found: Match, class_name: str, tensors: Any, **config: Any) -> Replacement | None:
    """A layer that computes in the dtype of what was found, or None if no layer does."""
    dtype = found.root.results[0].dtype
    if dtype not in FLOATS + INTEGERS:
        return None
    return LayerSpec(f"keras.layers.{class_name}", {**config, "dtype": dtype}, slots={}), tensors


def moving(found: Match, class_name: str, x: Value, **config: Any) -> Replacement | None:
    """A layer that gives what it takes in another shape, whatever the dtype is."""
    # Of other dtypes than floats it casts nothing.
    dtype = x.dtype if x.dtype in FLOATS else "float32"
    if "float" in x.dtype and x.dtype != dtype:
        return None
    return LayerSpec(f"keras.layers.{class_name}", {**config, "dtype": dtype}, slots={}), x


def agree(m: Size, n: Size) -> bool:
    """Whether both are one known size, or both are free."""
    if isinstance(m, Dim) or isinstance(n, Dim):
        return isinstance(m, Dim) and isinstance(n, Dim)
    return m == n


def is_axis(axis: object) -> bool:
    """Whether an argument is the number of an axis."""
    return type(axis) is int

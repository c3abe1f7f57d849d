"""A tensor times a number, plus a number, to `Rescaling`.

The layer always multiplies and adds. Where nothing is added it adds `-0.0`, the one number that leaves every
other as it is: `-0.0 + 0.0` is `0.0`. TensorFlow keeps the tensors of plain numbers and gives that of `0.0`
for it, so there it is said in a list. Multiplied by 1 a number stays what it is, but TensorFlow and JAX take
the least ones, below the normal range, for 0: what is added after that must be too large to notice.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from ml_dtypes import bfloat16

from kerasfx.ir import Graph
from kerasfx.ir.build import FLOATS, HALVES
from kerasfx.ir.match import Match, Pattern, any_
from kerasfx.passes.lower.plain_layers import X, computing
from kerasfx.passes.lower.rule import Exact, Replacement, Rule, always, lower
from kerasfx.passes.patterns import op

NOTHING = -0.0

KINDS: dict[str, Any] = {
    "float16": np.float16,
    "bfloat16": bfloat16,
    "float32": np.float32,
    "float64": np.float64,
}


def to_rescaling(graph: Graph) -> bool:
    """Apply the rules of this family; returns whether any was."""
    return lower(graph, RULES)


def _is_number(x: object) -> bool:
    """Whether it is a finite number."""
    if isinstance(x, (bool, np.bool_)) or not isinstance(x, (int, float, np.floating, np.integer)):
        return False
    return math.isfinite(x)


def _rescaled(found: Match, scale: float, offset: float) -> Replacement | None:
    x, dtype = found["x"], found.root.results[0].dtype
    if x.dtype != dtype or dtype not in FLOATS:
        return None
    if not all(_is_read_alike(n, dtype) for n in (scale, offset)):
        return None
    is_lost = offset == 0 and math.copysign(1, offset) < 0 and keras.backend.backend() == "tensorflow"
    return computing(found, "Rescaling", x, scale=scale, offset=[offset] if is_lost else offset)


def _is_read_alike(number: float, dtype: str) -> bool:
    """Whether functions compute with the number that the layer has: PyTorch rounds none to a half."""
    with np.errstate(over="ignore"):
        own = float(np.asarray(number).astype(KINDS[dtype]))
    return math.isfinite(own) and (dtype not in HALVES or own == number)


def _scaled(graph: Graph, found: Match) -> Replacement | None:
    return _rescaled(found, float(found["scale"]), NOTHING)


def _scaled_and_moved(graph: Graph, found: Match) -> Replacement | None:
    return _rescaled(found, float(found["scale"]), float(found["offset"]))


def _moved(graph: Graph, found: Match) -> Replacement | None:
    return _moved_by(found, 1.0, float(found["offset"]))


def _moved_back(graph: Graph, found: Match) -> Replacement | None:
    return _moved_by(found, 1.0, -float(found["offset"]))


def _turned(graph: Graph, found: Match) -> Replacement | None:
    return _moved_by(found, -1.0, float(found["offset"]))


def _moved_by(found: Match, sign: float, offset: float) -> Replacement | None:
    return _rescaled(found, sign, offset) if offset == 0 or abs(offset) > NOTICED else None


NOTICED = 2.0**-100
"""Whoever is added to a larger number than this and is below the normal range is lost in rounding."""


def _negated(graph: Graph, found: Match) -> Replacement | None:
    return _rescaled(found, -1.0, NOTHING)


def _divided(graph: Graph, found: Match) -> Replacement | None:
    divisor = float(found["scale"])
    return _rescaled(found, 1 / divisor, NOTHING) if divisor else None


def _is_power_of_two(found: Match) -> bool:
    """A product by its inverse is the quotient."""
    return abs(math.frexp(float(found["scale"]))[0]) == 0.5


def _is_torch(found: Match) -> bool:
    return keras.backend.backend() == "torch"


def _rule(names: tuple[str, ...], pattern: Pattern, build: Any, is_exact: Exact = always) -> Rule:
    roots = tuple(f"keras.ops.{name}" for name in names)
    return Rule(f"{names[0]} to Rescaling", roots, pattern, build, is_exact)


SCALE, OFFSET = any_("scale", _is_number, "a number"), any_("offset", _is_number, "a number")
SCALED = op.multiply(X, SCALE)

RULES = [
    # Before the product is one itself.
    _rule(("add",), op.add(SCALED, OFFSET), _scaled_and_moved),
    _rule(("multiply",), SCALED, _scaled),
    _rule(("add",), op.add(X, OFFSET), _moved),
    _rule(("subtract",), op.subtract(X, OFFSET), _moved_back),
    _rule(("subtract",), op.subtract(OFFSET, X), _turned),
    _rule(("negative",), op.negative(X), _negated, _is_torch),
    _rule(("divide", "true_divide"), op.divide(X, SCALE), _divided, _is_power_of_two),
]

"""Activations that are written out, as `x * tanh(softplus(x))`: `Activation`.

`maximum(x, 0)` and `minimum(relu(x), 6)` stay: where both operands are equal, as behind a dropout they often
are, the backends do not agree with `relu` on the gradient, and that is no rounding.
"""

from __future__ import annotations

import math

import keras

from kerasfx.ir import Graph, LayerSpec
from kerasfx.ir.dims import Dim
from kerasfx.ir.match import Match, Pattern, any_, either
from kerasfx.passes.lower.difference import Replacement
from kerasfx.passes.lower.rule import Exact, Rule, always, lower, never
from kerasfx.passes.patterns import is_tensor, op

X = any_("x", is_tensor, "a tensor")

ROOT = math.sqrt(2.0)
ERF = op.add(1.0, op.erf(either(op.divide(X, ROOT), op.multiply(X, 1.0 / ROOT))))
HALF = either(op.multiply(0.5, X), op.divide(X, 2.0))
GELU = either(
    op.multiply(HALF, ERF),
    op.multiply(X, either(op.multiply(0.5, ERF), op.divide(ERF, 2.0))),
    op.divide(op.multiply(X, ERF), 2.0),
    op.multiply(0.5, op.multiply(X, ERF)),
)
RELU6 = op.relu6(op.add(X, 3.0))
SIXTH = op.divide(RELU6, 6.0)


def to_activations(graph: Graph) -> bool:
    """Replace activations that are written out by `Activation`; returns whether any was."""
    return lower(graph, RULES)


def _is_tensorflow(found: Match) -> bool:
    """There the function is the very same steps."""
    return keras.backend.backend() == "tensorflow"


def _is_jax(found: Match) -> bool:
    """There it is the same steps as well, which it compiles: a half has another gradient then."""
    return keras.backend.backend() == "jax" and found["x"].dtype != "float16"


def _is_not_torch(found: Match) -> bool:
    """PyTorch has a kernel for it."""
    return _is_tensorflow(found) or _is_jax(found)


def _rule(activation: str, pattern: Pattern, is_exact: Exact) -> Rule:
    def build(graph: Graph, found: Match) -> Replacement | None:
        x, result = found["x"], found.root.results[0]
        if x.dtype != result.dtype or "float" not in x.dtype or not isinstance(x.shape[0], Dim):
            return None
        config = {"activation": activation, "dtype": x.dtype}
        return LayerSpec("keras.layers.Activation", config, slots={}), x

    return Rule(f"{activation} written out to Activation", ROOTS, pattern, build, is_exact)


ROOTS = tuple(f"keras.ops.{name}" for name in ("multiply", "divide", "true_divide"))

RULES = [
    _rule("mish", op.multiply(X, op.tanh(op.softplus(X))), always),
    _rule("silu", op.multiply(X, op.sigmoid(X)), _is_jax),
    _rule("gelu", GELU, never),
    _rule("hard_silu", op.multiply(X, SIXTH), _is_tensorflow),
    _rule("hard_silu", op.multiply(X, op.hard_sigmoid(X)), _is_not_torch),
    _rule(
        "hard_silu",
        either(op.divide(op.multiply(X, RELU6), 6.0), op.multiply(X, op.multiply(RELU6, 1 / 6))),
        never,
    ),
    _rule("hard_sigmoid", SIXTH, _is_tensorflow),
    _rule("hard_sigmoid", op.multiply(RELU6, 1 / 6), never),
]

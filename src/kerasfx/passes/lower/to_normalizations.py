"""Arithmetic that normalizes, and the functions that do, into `RMSNormalization` and its kin.

Keras computes in float32 whatever its layers are given, so that a half is normalized as they do where code
casts it to float32 and back. What is equal to the bit was measured: docs/lowering.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from kerasfx.ir import Graph, Node, Value
from kerasfx.ir.build import HALVES
from kerasfx.ir.dims import Dim
from kerasfx.ir.match import Match, Pattern, any_, either
from kerasfx.passes.lower.rule import Exact, Rule, lower, never
from kerasfx.passes.patterns import op

Build = Callable[[Graph, Match], Node | None]


def to_normalizations(graph: Graph) -> bool:
    """Put normalization layers where functions normalize; returns whether any was."""
    return lower(graph, RULES)


# What the patterns are made of


def _is_number(x: object) -> bool:
    return isinstance(x, (int, float)) and not isinstance(x, bool)


def _is_axes(x: object) -> bool:
    axes = x if isinstance(x, (list, tuple)) else [x]
    return bool(axes) and all(type(a) is int for a in axes)


def _is_weight(x: object) -> bool:
    return isinstance(x, Value) and x.variable is not None


X, M = any_("x"), any_("axis", _is_axes, "one axis or several")
EPSILON = any_("epsilon", _is_number, "a number")


def _weight(name: str) -> Pattern:
    """A weight as code reads it, which may be cast twice: to the dtype of its layer, and to float32."""
    own = any_(name, _is_weight, "a weight")
    once = op.cast(own, any_()).shared().named(f"cast of {name}")
    return either(own, once, op.cast(once, any_()).shared().named(f"cast back of {name}"))


def _divided(x: Pattern, y: Pattern) -> Pattern:
    """`x` over the square root of `y`, in words that do not give the same bits."""
    root = op.sqrt(y)
    inverse = either(
        op.divide(1.0, root), op.reciprocal(root), op.multiply(op.reciprocal(root), 1.0), op.power(y, -0.5)
    )
    return either(op.multiply(x, inverse), op.divide(x, root))


def _by_rsqrt(x: Pattern, y: Pattern) -> Pattern:
    return op.multiply(x, op.rsqrt(y))


def _to_half(x: Pattern) -> Pattern:
    return op.cast(x, any_("half", lambda dtype: dtype in HALVES, "a half"))


def _any_square(x: Pattern) -> Pattern:
    return either(op.square(x), op.multiply(x, x), op.power(x, 2))


CAST = op.cast(X, "float32").shared().named("cast of x")


# RMSNormalization


def _mean_of(square: Pattern) -> Pattern:
    return op.add(op.mean(square, axis=M, keepdims=True), EPSILON)


def _rms_exactly(h: Pattern) -> Pattern:
    square = either(op.square(h), op.power(h, any_("power", lambda p: type(p) is int and p == 2, "2")))
    return op.multiply(_by_rsqrt(h, _mean_of(square)), _weight("scale"))


def _rms(h: Pattern) -> Pattern:
    mean = _mean_of(_any_square(h))
    normalized = either(_by_rsqrt(h, mean), _divided(h, mean))
    scale = _weight("scale")
    return either(op.multiply(normalized, scale), op.multiply(h, op.multiply(op.rsqrt(mean), scale)))


def _rms_then_half(h: Pattern) -> Pattern:
    """As in Llama: a half is normalized in float32, and scaled as a half."""
    mean = _mean_of(_any_square(h))
    return op.multiply(_to_half(either(_by_rsqrt(h, mean), _divided(h, mean))), _weight("scale"))


def _rms_layer(graph: Graph, found: Match) -> Node | None:
    x = found["x"]
    if not (_takes(found, x) and _is_last_axis(found["axis"], x) and _fits(found, "scale", x, is_cast=True)):
        return None
    weights = {"scale": found["scale"]}
    return _made(graph, found, "RMSNormalization", weights, epsilon=_epsilon(found))


def _is_square(found: Match) -> bool:
    """A power of TensorFlow is no product."""
    return "power" not in found or keras.backend.backend() != "tensorflow"


# LayerNormalization


def _centered(h: Pattern, mean: Pattern) -> Pattern:
    return op.subtract(h, mean).shared()


def _statistics(h: Pattern) -> list[tuple[Pattern, Pattern]]:
    """Mean and variance in each of their spellings."""
    moments = op.moments(h, axes=M, keepdims=True, synchronized=any_())
    mean = op.mean(h, axis=M, keepdims=True).shared()
    difference = _centered(h, mean)
    return [
        (moments.result(0), moments.result(1)),
        (mean, op.var(h, axis=M, keepdims=True)),
        (mean, op.mean(_any_square(difference), axis=M, keepdims=True)),
    ]


def _standardized(h: Pattern, scale: Callable[[Pattern], Pattern] = lambda difference: difference) -> Pattern:
    ways = []
    for mean, variance in _statistics(h):
        difference, raised = scale(_centered(h, mean)), op.add(variance, EPSILON)
        ways += [_by_rsqrt(difference, raised), _divided(difference, raised)]
    return either(*ways)


GAMMA, BETA = _weight("gamma"), _weight("beta")


def _scaled(h: Pattern) -> Pattern:
    """Scaled at the end, or before it is divided."""
    early = _standardized(h, lambda difference: op.multiply(difference, GAMMA))
    return either(op.multiply(_standardized(h), GAMMA), early)


def _as_keras(h: Pattern, mean: Pattern, variance: Pattern) -> Pattern:
    """In the very steps of `keras.ops.layer_normalization`."""
    inverse = op.multiply(op.rsqrt(op.add(variance, EPSILON)), GAMMA).shared()
    return op.add(op.multiply(h, inverse), op.add(op.multiply(op.negative(mean), inverse), BETA))


def _layer_norm(graph: Graph, found: Match) -> Node | None:
    x = found["x"]
    weights = {name: found[name] for name in ("gamma", "beta") if name in found}
    axes = _axes(found["axis"], x)
    if not _takes(found, x) or not all(_fits(found, name, x, is_cast=False) for name in weights):
        return None
    # On PyTorch Keras hands other axes than the last ones to a function that knows the last ones alone.
    if axes != tuple(range(len(x.shape)))[-len(axes) :] or (weights and len(axes) > 1):
        return None
    config: dict[str, Any] = {"axis": list(axes)} if len(axes) > 1 else {}
    config |= {name: False for name, w in (("scale", "gamma"), ("center", "beta")) if w not in weights}
    return _made(graph, found, "LayerNormalization", weights, epsilon=_epsilon(found), **config)


def _is_not_torch(found: Match) -> bool:
    """PyTorch has a function of its own for it."""
    return keras.backend.backend() != "torch"


def _is_jax(found: Match) -> bool:
    """On TensorFlow the gradient of `var` is another than that of `moments`."""
    return keras.backend.backend() == "jax"


# Functions that are called by name


def _optional(name: str) -> Pattern:
    return either(any_(where=lambda x: x is None, what="None"), _weight(name))


def _is_epsilon(x: object) -> bool:
    return x is None or _is_number(x)


EPSILON_OR_NONE = any_("epsilon", _is_epsilon, "a number")
RMS_CALL = op.rms_normalization(X, scale=_weight("scale"), axis=M, epsilon=EPSILON_OR_NONE)
LAYER_NORM_CALL = op.layer_normalization(
    X,
    gamma=_optional("gamma"),
    beta=_optional("beta"),
    axis=M,
    epsilon=EPSILON_OR_NONE,
    rms_scaling=any_(where=lambda x: not x, what="False"),
)
UNIT_CALL = op.normalize(
    X, axis=M, order=2, epsilon=any_(where=lambda x: x is None or x == 1e-12, what="the default")
)
UNIT = op.divide(X, op.maximum(op.norm(X, axis=M, keepdims=True), 1e-12))


def _unit_layer(graph: Graph, found: Match) -> Node | None:
    x = found["x"]
    axes = _axes(found["axis"], x)
    if not _takes(found, x) or len(axes) != 1:
        return None
    return _made(graph, found, "UnitNormalization", {}, axis=axes[0])


# What a layer asks


def _takes(found: Match, x: Value) -> bool:
    """Whether a layer can stand there: a batch first, which is not normalized, and one dtype."""
    result = found.root.results[0]
    is_alike = x.dtype == result.dtype and "float" in x.dtype and len(x.shape) == len(result.shape)
    return (
        is_alike
        and len(x.shape) >= 2
        and isinstance(x.shape[0], Dim)
        and 0 not in _axes(found["axis"], x)
        # Functions in halves round each step.
        and (x.dtype not in HALVES or "cast of x" in found or found.root.calls(*CALLS))
    )


CALLS = tuple(f"keras.ops.{name}" for name in ("rms_normalization", "layer_normalization", "normalize"))


def _axes(axis: int | Sequence[int], x: Value) -> tuple[int, ...]:
    rank = len(x.shape)
    return tuple(sorted(a % rank for a in ([axis] if isinstance(axis, int) else axis)))


def _is_last_axis(axis: int | Sequence[int], x: Value) -> bool:
    return _axes(axis, x) == (len(x.shape) - 1,)


def _fits(found: Match, name: str, x: Value, is_cast: bool) -> bool:
    """Whether the layer would read the weight as code does.

    Args:
        found: What was found.
        name: The name of the weight.
        x: What is normalized.
        is_cast: Whether a layer with a mixed policy reads it as a half, or in float32 as it is.
    """
    weight, size = found[name], x.shape[-1]
    if not isinstance(size, int) or tuple(weight.shape) != (size,):
        return False
    rounded = [found[key] for key in (f"cast of {name}", f"cast back of {name}") if key in found]
    is_rounded = weight.dtype == "float32" and any(n.results[0].dtype in HALVES for n in rounded)
    if x.dtype == weight.dtype:
        return not is_rounded
    return x.dtype in HALVES and weight.dtype == "float32" and is_rounded == is_cast


def _epsilon(found: Match) -> float:
    given = found["epsilon"]
    return keras.config.epsilon() if given is None else given


def _made(graph: Graph, found: Match, name: str, weights: dict[str, Value], **config: Any) -> Node:
    return graph.make(f"keras.layers.{name}", found["x"], weights=weights, like=found.root, **config)


MULTIPLY, ADD, DIVIDE, CAST_CALL = (f"keras.ops.{n}" for n in ("multiply", "add", "true_divide", "cast"))
QUOTIENT = (MULTIPLY, DIVIDE, "keras.ops.divide")
RMS = "mean of squares and root to RMSNormalization"
LAYER_NORM = "mean, variance and root to LayerNormalization"


def _rules(kind: str, h: Pattern, cast: Callable[[Pattern], Pattern], root: str) -> list[Rule]:
    """The rules for arithmetic over `h`, the result of which is cast where `root` says so."""

    def rule(
        name: str, roots: tuple[str, ...], pattern: Pattern, build: Build, is_exact: Exact = never
    ) -> Rule:
        return Rule(name + kind, (root,) if root else roots, cast(pattern), build, is_exact)

    (mean, variance), (own_mean, own_variance), _ = _statistics(h)
    scaled = _scaled(h)
    return [
        rule(RMS, (MULTIPLY,), _rms_exactly(h), _rms_layer, _is_square),
        rule(RMS, (MULTIPLY,), _rms(h), _rms_layer),
        rule(LAYER_NORM, (ADD,), _as_keras(h, mean, variance), _layer_norm, _is_not_torch),
        rule(LAYER_NORM, (ADD,), _as_keras(h, own_mean, own_variance), _layer_norm, _is_jax),
        rule(LAYER_NORM, (ADD,), op.add(scaled, BETA), _layer_norm),
        rule(LAYER_NORM, QUOTIENT, scaled, _layer_norm),
        rule(LAYER_NORM, QUOTIENT, _standardized(h), _layer_norm),
    ]


RULES = [
    Rule("rms_normalization to its layer", (CALLS[0],), RMS_CALL, _rms_layer),
    Rule("layer_normalization to its layer", (CALLS[1],), LAYER_NORM_CALL, _layer_norm),
    Rule("normalize to UnitNormalization", (CALLS[2],), UNIT_CALL, _unit_layer),
    *_rules("", X, lambda result: result, ""),
    *_rules(", in float32", CAST, _to_half, CAST_CALL),
    Rule(f"{RMS}, scaled as a half", (MULTIPLY,), _rms_then_half(CAST), _rms_layer, never),
    Rule("division by the norm to UnitNormalization", QUOTIENT, UNIT, _unit_layer, never),
]

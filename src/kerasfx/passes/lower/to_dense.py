"""A product with a matrix of weights, and a bias: `Dense`."""

from __future__ import annotations

import keras

from kerasfx.ir import Graph, Node
from kerasfx.ir.match import Match, any_, either
from kerasfx.ir.weights import transpose
from kerasfx.passes.lower.rule import Rule, lower, never
from kerasfx.passes.lower.weighted import (
    comes_from_inputs,
    computes_alike,
    make,
    sizes_of,
    weight,
    weights_of,
)
from kerasfx.passes.patterns import is_tensor, op

X, KERNEL, BIAS = any_("x", is_tensor, "a tensor"), weight("kernel"), weight("bias")

PRODUCT = either(
    op.matmul(X, KERNEL),
    op.dot(X, KERNEL),
    op.tensordot(X, KERNEL, axes=any_("axes")),
).named("product")
TURNED = either(
    op.matmul(X, either(op.transpose(KERNEL), op.transpose(KERNEL, axes=[1, 0])).shared()),
    op.matmul(X, op.swapaxes(KERNEL, any_("first"), any_("second")).shared()),
)


def to_dense(graph: Graph) -> bool:
    """Replace products with a matrix of weights by `Dense`; returns whether any was."""
    return lower(graph, RULES)


def _dense(graph: Graph, found: Match) -> Node | None:
    if not _is_product(found):
        return None
    (_, units), weights = sizes_of(found["kernel"]), weights_of(found, kernel="kernel", bias="bias")
    if "bias" in weights and sizes_of(found["bias"]) != (units,):
        return None
    use_bias = {} if "bias" in weights else {"use_bias": False}
    return make(graph, found, keras.layers.Dense, found["x"], weights=weights, units=units, **use_bias)


def _turned(graph: Graph, found: Match) -> Node | None:
    axes = {found[name] for name in ("first", "second") if name in found}
    if not _is_product(found) or axes not in (set(), {0, 1}, {-1, -2}):
        return None
    kernel = transpose(found["kernel"])
    config = {"weights": {"kernel": kernel}, "units": kernel.shape[1], "use_bias": False}
    return make(graph, found, keras.layers.Dense, found["x"], **config)


def _is_product(found: Match) -> bool:
    """Whether it is over the last axis of a tensor that has more than this one."""
    x = found["x"]
    names = [name for name in ("kernel", "bias") if name in found]
    is_matrix = len(x.shape) >= 2 and len(found["kernel"].shape) == 2
    axes = found.captures.get("axes", 1)
    return (
        is_matrix
        and axes in _axes_of_product(len(x.shape))
        and computes_alike(found, *names)
        and comes_from_inputs(x)
    )


def _axes_of_product(rank: int) -> list[object]:
    """How `tensordot` may be told to sum over the last axis of a tensor and the first of a matrix."""
    pairs = [(a, b) for a in (rank - 1, -1) for b in (0, -2)]
    spelled = [kind((a, b)) for a, b in pairs for kind in (tuple, list)]
    return [1, *spelled, *([[a], [b]] for a, b in pairs), *(((a,), (b,)) for a, b in pairs)]


def bias_is_added(found: Match) -> bool:
    """Whether the bias is the second operand: TensorFlow's `BiasAdd` sums in an order of its own."""
    root = found.root
    first = root.args[0] if root.args else root.kwargs["x1"]
    return keras.backend.backend() != "tensorflow" or first in found["product"].results


def _sums_alike(found: Match) -> bool:
    """Whether the function sums as `matmul` does: of more than matrices TensorFlow knows two ways."""
    is_matmul = found["product"].calls("keras.ops.matmul") or len(found["x"].shape) == 2
    return is_matmul or keras.backend.backend() != "tensorflow"


def _sums_and_adds_alike(found: Match) -> bool:
    return _sums_alike(found) and bias_is_added(found)


PRODUCTS = ("keras.ops.matmul", "keras.ops.dot", "keras.ops.tensordot")

RULES = [
    Rule("matmul and add to Dense", ("keras.ops.add",), op.add(PRODUCT, BIAS), _dense, _sums_and_adds_alike),
    Rule("matmul to Dense", PRODUCTS, PRODUCT, _dense, _sums_alike),
    # To the backends the other matrix is another product: the order of its sums changes.
    Rule("matmul with a transposed weight to Dense", ("keras.ops.matmul",), TURNED, _turned, never),
]

"""`einsum` of a tensor and a weight, and a bias: `EinsumDense`; a weight for each of several products."""

from __future__ import annotations

import re

import keras

from kerasfx.ir import Graph, Node, Value
from kerasfx.ir.match import Match, any_
from kerasfx.passes.lower.rule import Rule, lower, never
from kerasfx.passes.lower.to_dense import bias_is_added
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
EINSUM = op.einsum(any_("equation", lambda x: isinstance(x, str)), X, KERNEL).named("product")
EQUATION = re.compile(r"(\.\.\.)?([a-zA-Z]+),([a-zA-Z]+)->(\.\.\.)?([a-zA-Z]+)")


def to_einsum_dense(graph: Graph) -> bool:
    """Replace products over named axes with a weight by `EinsumDense`; returns whether any was."""
    return lower(graph, RULES)


def _einsum_dense(graph: Graph, found: Match) -> Node | None:
    equation = found["equation"].replace(" ", "")
    return _made(graph, found, equation)


def _is_without_spaces(found: Match) -> bool:
    """Whether the layer, which takes no spaces, computes by the same text: Keras knows some by their text."""
    return " " not in found["equation"] or keras.backend.backend() != "tensorflow"


def _batch_of_products(graph: Graph, found: Match) -> Node | None:
    rank, kernel = len(found["x"].shape), found["kernel"]
    if not 3 <= len(kernel.shape) < rank:
        return None
    # The axes in front of the last two are those of the products.
    batch, between = "abcdefgh"[: rank - 2], "stuvwxyz"[: len(kernel.shape) - 2]
    free, own = batch[: rank - len(kernel.shape)], between
    if sizes_of(kernel)[:-2] != tuple(found["x"].shape[len(free) : -2]):
        return None
    return _made(graph, found, f"{free}{own}mi,{own}io->{free}{own}mo")


def _made(graph: Graph, found: Match, equation: str) -> Node | None:
    parts, x, names = EQUATION.fullmatch(equation), found["x"], [n for n in ("kernel", "bias") if n in found]
    if parts is None or not computes_alike(found, *names) or not comes_from_inputs(x):
        return None
    before, taken, own, behind, given = parts.groups()
    if before != behind or not _keeps_batch(before, taken, own, given) or not _is_summed(taken, own, given):
        return None
    if len(taken) + bool(before) > len(x.shape) or (not before and len(taken) != len(x.shape)):
        return None
    sizes = _sizes(found, taken, own)
    free = given if before else given[1:]
    config = {"equation": equation, "output_shape": tuple(sizes[letter] for letter in free)}
    if "bias" in found:
        axes = _bias_axes(sizes_of(found["bias"]), free, sizes)
        if axes is None:
            return None
        config["bias_axes"] = axes
    weights = weights_of(found, kernel="kernel", bias="bias")
    return make(graph, found, keras.layers.EinsumDense, x, weights=weights, **config)


def _keeps_batch(before: str | None, taken: str, own: str, given: str) -> bool:
    """Whether the first axis is that of the tensor: the layer leaves it as it is."""
    return bool(before) or (taken[0] == given[0] and given[0] not in own)


def _is_summed(taken: str, own: str, given: str) -> bool:
    """Whether each letter stands once in each part, and a sum is over axes of both."""
    is_once = all(len(set(part)) == len(part) for part in (taken, own, given))
    summed = set(taken) - set(given)
    return is_once and summed <= set(own) and set(own) <= set(taken) | set(given) and bool(summed)


def _sizes(found: Match, taken: str, own: str) -> dict[str, int | None]:
    x: Value = found["x"]
    sizes: dict[str, int | None] = {
        letter: size if isinstance(size, int) else None
        for letter, size in zip(taken, x.shape[-len(taken) :], strict=True)
    }
    return {**sizes, **dict(zip(own, sizes_of(found["kernel"]), strict=True))}


def _bias_axes(bias: tuple[int, ...], free: str, sizes: dict[str, int | None]) -> str | None:
    """The letters of the axes of a bias, which is the last of the result; None if it is no bias."""
    letters = free[len(free) - len(bias) :] if 0 < len(bias) <= len(free) else ""
    axes = "".join(letter for letter, size in zip(letters, bias, strict=False) if sizes[letter] == size)
    given = tuple(sizes[letter] if letter in axes else 1 for letter in letters)
    return axes if letters and axes[:1] == letters[0] and given == bias else None


RULES = [
    Rule(
        "einsum and add to EinsumDense",
        ("keras.ops.add",),
        op.add(EINSUM, BIAS),
        _einsum_dense,
        lambda found: bias_is_added(found) and _is_without_spaces(found),
    ),
    Rule("einsum to EinsumDense", ("keras.ops.einsum",), EINSUM, _einsum_dense, _is_without_spaces),
    # What multiplies matrices one by one sums in another order than `einsum`.
    Rule(
        "matmul of many to EinsumDense",
        ("keras.ops.matmul",),
        op.matmul(X, KERNEL),
        _batch_of_products,
        never,
    ),
]

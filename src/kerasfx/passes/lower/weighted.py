"""What the rules have in common whose layer takes weights: patterns of weights, and what may be a layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from kerasfx.errors import GraphError
from kerasfx.ir import Graph, Node, Value
from kerasfx.ir.build import HALVES
from kerasfx.ir.match import Match, Pattern, any_, either, parameter
from kerasfx.ir.structure import identifier
from kerasfx.ir.weights import Operand
from kerasfx.passes.patterns import op


def weight(name: str) -> Pattern:
    """A variable of the original, as it is or cast, as a policy casts weights.

    A constant is none: as a weight of a layer it would be trained as soon as someone sets `model.trainable`.
    """
    own = parameter(name)
    # Where several take what is cast once, gradients are added before they are cast: a layer casts for each.
    cast = op.cast(own, any_(f"dtype of {name}"))
    return either(own, cast, op.convert_to_tensor(own).shared(), op.convert_to_tensor(cast))


def computes_alike(found: Match, *weights: str, x: str = "x") -> bool:
    """Whether a layer computes in the dtype in which the functions do.

    All is of one float dtype, but for weights of float32 that are cast to a half: so does a mixed policy.

    Args:
        found: What was found.
        *weights: The names of the weights.
        x: The name of the tensor.
    """
    compute = found.root.results[0].dtype
    own = {str(found[name].dtype) for name in weights}
    read = {_dtype_read(found, name) for name in weights}
    is_alone = len(own) == 1 and read == {compute} == {found[x].dtype} and "float" in compute
    return is_alone and (own == {compute} or (own == {"float32"} and compute in HALVES))


def is_mixed(found: Match, name: str) -> bool:
    """Whether a weight is cast before it is used."""
    return str(found[name].dtype) != _dtype_read(found, name)


def _dtype_read(found: Match, name: str) -> str:
    given = found[f"dtype of {name}"] if f"dtype of {name}" in found else found[name].dtype
    return keras.backend.standardize_dtype(given)


def comes_from_inputs(value: Value) -> bool:
    """Whether a value depends on an input of the model, by its sizes at least."""
    waiting, seen = [value], set[Value]()
    while waiting:
        value = waiting.pop()
        if value.node is None and not value.is_known:
            return True
        if value.node is not None and value not in seen:
            seen.add(value)
            waiting.extend(value.node.inputs)
    return False


def sizes_of(x: Any) -> tuple[int, ...]:
    """The shape of a weight."""
    return tuple(int(d) for d in x.shape)


def make(
    graph: Graph, found: Match, layer: type[keras.layers.Layer], *args: object, **given: object
) -> Node | None:
    """The call of a layer that takes the place of what was found, or None where the layer refuses it.

    Args:
        graph: The graph.
        found: What was found.
        layer: A class of `keras.layers`.
        *args: What it is called with.
        **given: `weights`, and arguments of the constructor.
    """
    name = f"keras.layers.{layer.__name__}"
    try:
        return graph.make(name, *args, like=found.root, wish=name_for(found, name), **given)
    except GraphError:
        # A layer refuses what functions do: a convolution with strides and dilation, for one.
        return None


def name_for(found: Match, class_name: str) -> str:
    """As functions are called: by the path of the custom layer, and what is called there."""
    kind, path = class_name.rpartition(".")[2], found.root.path
    name = "einsum_dense" if kind == "EinsumDense" else kind.lower()
    return f"{identifier(path)}_{name}" if path else name


def weights_of(found: Match, **names: str) -> Mapping[str, Operand]:
    """The weights of a layer, each by the name under which it was found."""
    return {name: found[own] for name, own in names.items() if own in found}

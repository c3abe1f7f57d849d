"""The one place where the results of a node are made: from what somebody knows of Keras.

`graph.make` asks an `Inference` what a call would give; the trace knows it already. Both give the node its
results here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from kerasfx.errors import GraphError, describe
from kerasfx.ir.dims import Dim, Size, hint
from kerasfx.ir.program import Node, Value, values_in
from kerasfx.ir.structure import identifier, leaves_of, map_leaves
from kerasfx.ir.targets import LayerSpec, Slot, Target

LAYERS = ("keras.layers.", "kerasfx.layers.")
"""A dotted name that begins so is that of a layer to be made, any other that of a function."""

HALVES = ("float16", "bfloat16")
FLOATS = (*HALVES, "float32", "float64")


@dataclass(frozen=True)
class Spec:
    """Shape and dtype of one result under one set of example sizes.

    Attributes:
        shape: None for a size that depends on the data.
        dtype: Standard name.
    """

    shape: tuple[int | None, ...]
    dtype: str


def specs_like(value: Value) -> list[Any]:
    """The specs, for both sets of example sizes, of a result of the shape and dtype of `value`."""
    return [Spec(tuple(hint(d, which) for d in value.shape), value.dtype) for which in (0, 1)]


@dataclass(frozen=True)
class MadeMask:
    """A mask that the call computes, and that is no mask of its arguments."""


def equals_nothing(axis: int, hints: tuple[Any, Any]) -> Dim | None:
    """Nothing is known of the free sizes of a result."""
    return None


@dataclass(frozen=True)
class Inferred:
    """What a call gives.

    Attributes:
        specs: One structure of `Spec` for each set of example sizes that matters, one or two.
        masks: The mask of each result, flat: that of an argument, none, or one that the call makes.
        slots: The weights of a layer to be made.
        settings: Its config, what its constructor was not told included.
        equal: Which size an axis of the results equals: `(axis, its example sizes) -> Dim or None`.
        cut: Axes whose length is cut at a limit.
    """

    specs: Sequence[Any]
    masks: tuple[Value | MadeMask | None, ...] = ()
    slots: Mapping[str, Slot] | None = None
    settings: Mapping[str, Any] | None = None
    equal: Callable[[int, tuple[Any, Any]], Dim | None] = equals_nothing
    cut: frozenset[int] = field(default_factory=frozenset)


class Inference(Protocol):
    """Who knows what a call gives: the side of the house that knows Keras."""

    def infer(self, node: Node) -> Inferred:
        """What `node`, which has no results yet, would give.

        Raises:
            Exception: Whatever Keras says to such a call.
        """
        ...


def give_results(node: Node, known: Inferred) -> None:
    """Make the Values that `node`, which has its name, results in.

    A size is free where the two example sizes differ.

    Raises:
        GraphError: The number of results is another for other sizes.
    """
    counts = [sum(1 for _ in leaves_of(s)) for s in known.specs]
    if counts[0] != counts[-1]:
        raise GraphError(describe(f"'{node.name}' has a number of results that depends on a free size."))
    names = iter([node.name] if counts[0] == 1 else [f"{node.name}.{i}" for i in range(counts[0])])
    second = iter(leaves_of(known.specs[-1]))

    def make(spec: Spec | None) -> Value | None:
        other, name = next(second), next(names)
        if spec is None:
            return None
        value = Value(name, (), spec.dtype, node)
        pairs = zip(spec.shape, other.shape, strict=True)
        value.shape = tuple(_size(value, k, pair, known) for k, pair in enumerate(pairs))
        return value

    node.outputs = map_leaves(make, known.specs[0])


def give_result_like(node: Node, value: Value) -> Value:
    """Let `node`, which hands `value` on, give a result of its sizes, dtype and mask."""

    def same(axis: int, hints: tuple[Any, Any]) -> Dim | None:
        size = value.shape[axis]
        return size if isinstance(size, Dim) else None

    give_results(node, Inferred(specs_like(value), equal=same))
    node.outputs.mask = value.mask
    return node.outputs


def _size(value: Value, k: int, pair: tuple[int | None, int | None], known: Inferred) -> Size:
    """Axis `k` of a result, which is free unless its two example sizes are alike."""
    a, b = pair
    if k in known.cut and a is not None and a == b and a > 1:
        # Both examples reach the limit; one short of it is the sign of a length that is cut (`Dim.is_cut`).
        b = a - 1
    if a is not None and a == b:
        return a
    # A size that depends on the data has no hints of its own.
    return Dim.axis(value, k, (a or 11, b or 13), known.equal(k, (a, b)))


def take_over(node: Node, like: Node) -> None:
    """Let the free sizes of the results equal those of the node that it is made to replace."""
    # Other results than those of `like` are refused when it is replaced.
    for value, old in zip(node.results, like.results, strict=False):
        if len(value.shape) == len(old.shape):
            value.shape = tuple(
                _taken(value, k, *pair) for k, pair in enumerate(zip(value.shape, old.shape, strict=True))
            )


def _taken(value: Value, k: int, own: Size, old: Size) -> Size:
    if isinstance(own, Dim) and isinstance(old, Dim) and own.hints == old.hints:
        return Dim.axis(value, k, old.hints, old)
    return own


def masks_like(like: Node, taken: set[Value]) -> dict[Value, Value | None]:
    """The masks with which a node takes Values that is made in the place of `like`: a function takes none."""
    if like.function is not None:
        return {v: None for v in taken if v.mask is not None}
    return {v: m for v, m in like.implicit_masks.items() if v in taken}


def give_masks(node: Node, masks: Sequence[Value | MadeMask | None], like: Node | None) -> None:
    """Write down the masks of the results.

    Raises:
        GraphError: The layer makes a mask of its own, which nobody has written down.
    """
    olds = like.results if like else ()
    # Whoever knows of no masks gives none.
    for i, (value, mask) in enumerate(zip(node.results, masks, strict=False)):
        if isinstance(mask, MadeMask):
            mask = _same_made_mask(node, like, olds[i].mask if i < len(olds) else None)
        value.mask = mask


def _same_made_mask(node: Node, like: Node | None, mask: Value | None) -> Value:
    """The mask that `like` makes, if `node` calls a layer of the same class."""
    is_same = node.spec and like and _kind(like) == _kind(node)
    if is_same and mask is not None:
        return mask
    raise GraphError(
        describe(
            f"{target_text(node.target)} makes a mask of its own.",
            why="the graph holds masks as values, and nobody has written this one down",
            hint="leave nodes alone whose arguments carry masks: value.mask is None",
        )
    )


def _kind(node: Node) -> str:
    if node.layer:
        return type(node.layer).__name__
    return node.spec.class_name.rpartition(".")[2] if node.spec else ""


def require_callable_parts(target: object, arguments: object, weights: object, like: object) -> None:
    """Refuse what `graph.make` cannot be meant to get.

    Raises:
        GraphError: The target is no name, something among the arguments is a Node, or the like.
    """
    if not isinstance(target, (str, Target)):
        name = getattr(target, "__name__", type(target).__name__)
        raise GraphError(
            describe(
                f"{name} is no target of a call.",
                why="a graph says by a public name what is called, or by a target such as a LayerSpec",
                hint='graph.make("keras.layers.Dense", x, units=8), graph.make("keras.ops.tanh", x)',
            )
        )
    node = next((x for x in leaves_of(arguments) if isinstance(x, Node)), None)
    if node is not None:
        what = f"{target_text(target)} cannot be called with the node '{node.name}'."
        raise GraphError(
            describe(what, why="a call takes values", hint="node.outputs is the value that it gives")
        )
    if like is not None and not isinstance(like, Node):
        what = f"like= takes the node that is to be replaced, not a {type(like).__name__}."
        raise GraphError(describe(what, hint="value.node, found.root"))
    is_layer = not isinstance(target, str) or target.startswith(LAYERS)
    if is_layer and weights is not None and not isinstance(weights, Mapping):
        what = f"weights= takes a dict of weights by name, not a {type(weights).__name__}."
        raise GraphError(describe(what, hint='weights={"kernel": kernel, "bias": bias}'))


def target_of(target: Target | str, config: dict[str, Any]) -> tuple[Target | str, dict[str, Any]]:
    """The target that `graph.make` is given, and what is left of the keywords for the call."""
    if isinstance(target, str) and target.startswith(LAYERS):
        return LayerSpec(target, config), {}
    return target, config


def with_dtype(target: Target | str, node: Node, like: Node | None) -> Target | str:
    """A layer of Keras that says in which dtype it computes, whatever the policy of the day is."""
    if (
        not isinstance(target, LayerSpec)
        or "dtype" in target.config
        or not target.class_name.startswith(LAYERS[0])
    ):
        return target
    candidates = [*values_in((node.args, node.kwargs)), *(like.results if like else ())]
    weights = [v.dtype for v in node.weights.values() if "float" in v.dtype]
    compute = next((v.dtype for v in candidates if "float" in v.dtype), next(iter(weights), None))
    if compute is None:
        return target
    # A half that is computed with a float32 weight: the policy casts.
    is_mixed = compute in HALVES and "float32" in weights
    return replace(target, config={**target.config, "dtype": f"mixed_{compute}" if is_mixed else compute})


def target_text(target: Target | str, path: str = "") -> str:
    """A target for messages."""
    return target if isinstance(target, str) else target.text(path)


def name_of(node: Node) -> str:
    """A name for a node that has none: `Conv2D` gives conv2d, `keras.ops.tanh` gives tanh."""
    said = node.callee or target_text(node.target, node.path)
    return identifier(said.rpartition(".")[2]).lower()

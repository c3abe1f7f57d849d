"""Functions of two or more tensors to merging layers: `Add`, `Multiply`, `Average`, `Dot`, `Concatenate`."""

from __future__ import annotations

from kerasfx.ir import Graph, Value
from kerasfx.ir.build import FLOATS
from kerasfx.ir.dims import is_one, is_same_size
from kerasfx.ir.match import Match, Pattern, any_, constant, either
from kerasfx.passes.lower.plain_layers import INTEGERS, agree, computing, is_axis
from kerasfx.passes.lower.rule import Replacement, Rule, lower
from kerasfx.passes.patterns import is_tensor, op

MERGES = {
    "add": "Add",
    "subtract": "Subtract",
    "multiply": "Multiply",
    "maximum": "Maximum",
    "minimum": "Minimum",
}


def to_merges(graph: Graph) -> bool:
    """Apply the rules of this family; returns whether any was."""
    return lower(graph, RULES)


def _tensor(name: str) -> Pattern:
    return any_(name, is_tensor)


def _merge(class_name: str, graph: Graph, found: Match) -> Replacement | None:
    return _merged(found, class_name, [found["a"], found["b"]])


def _merged(found: Match, class_name: str, tensors: list[Value]) -> Replacement | None:
    if not _have_kinds_of(found.root.results[0], tensors) or not _are_merged_alike(tensors):
        return None
    return computing(found, class_name, tensors)


def _have_kinds_of(result: Value, tensors: list[Value]) -> bool:
    """Whether the layer converts as the function does: integers by the function, floats to the result's."""
    if result.dtype in FLOATS:
        return all(x.dtype in FLOATS + INTEGERS for x in tensors)
    return result.dtype in INTEGERS and all(x.dtype in INTEGERS for x in tensors)


def _are_merged_alike(tensors: list[Value]) -> bool:
    """Whether a merging layer broadcasts as the function does, and knows the sizes of its result.

    It never broadcasts the first axis, takes for it what it knows of any operand, and puts new axes
    behind it.
    """
    first, *others = tensors
    shapes = [x.shape for x in others]
    if not first.shape or any(len(s) != len(first.shape) or not agree(s[0], first.shape[0]) for s in shapes):
        return False
    pairs = [p for s in shapes for p in zip(first.shape[1:], s[1:], strict=True)]
    return all(agree(m, n) or is_one(m) or is_one(n) for m, n in pairs)


def _average(graph: Graph, found: Match) -> Replacement | None:
    # Half a sum of integers is a float of another size on each backend.
    if {x.dtype for x in (found["a"], found["b"])} != {found.root.results[0].dtype}:
        return None
    return _merged(found, "Average", [found["a"], found["b"]])


def _dot(axes: tuple[int, int], graph: Graph, found: Match) -> Replacement | None:
    a, b = found["a"], found["b"]
    if not (len(a.shape) == len(b.shape) == 3 and a.dtype == b.dtype and a.dtype in FLOATS):
        return None
    # The layer takes no batch of one for many, and compares what it knows of the sizes that are summed.
    if not agree(a.shape[0], b.shape[0]) or not agree(a.shape[axes[0]], b.shape[axes[1]]):
        return None
    return computing(found, "Dot", [a, b], axes=axes)


def _concatenate(graph: Graph, found: Match) -> Replacement | None:
    tensors, axis = found["tensors"], found["axis"]
    if not all(isinstance(x, Value) and not x.is_known for x in tensors):
        return None
    first, *others = tensors
    rank = len(first.shape)
    # A layer expects the batch first, and leaves it alone.
    if rank < 2 or axis % rank == 0 or {x.dtype for x in tensors} != {found.root.results[0].dtype}:
        return None
    if any(not _agree_but(first, x, axis % rank) for x in others):
        return None
    return computing(found, "Concatenate", list(tensors), axis=axis)


def _stacked(graph: Graph, found: Match) -> Replacement | None:
    """Tensors side by side on a new axis, which is joined with the one behind it: they are concatenated."""
    tensors, result = found["tensors"], found.root.results[0]
    if not all(isinstance(x, Value) and not x.is_known for x in tensors):
        return None
    shape = tensors[0].shape
    axis = found["axis"] % (len(shape) + 1)
    if not 0 < axis < len(shape) == len(result.shape) or {x.dtype for x in tensors} != {result.dtype}:
        return None
    wanted = [size * len(tensors) if k == axis else size for k, size in enumerate(shape)]
    if not all(map(is_same_size, wanted, result.shape)):
        return None
    return computing(found, "Concatenate", list(tensors), axis=axis)


def _agree_but(a: Value, b: Value, axis: int) -> bool:
    """Whether the shapes agree but for `axis`; a free size agrees with a free size alone."""
    pairs = list(zip(a.shape, b.shape, strict=False))
    return len(a.shape) == len(b.shape) and all(agree(*p) for k, p in enumerate(pairs) if k != axis)


def _rule_of(function: str, class_name: str) -> Rule:
    pattern = getattr(op, function)(_tensor("a"), _tensor("b"))
    return Rule(
        f"{function} to {class_name}",
        (f"keras.ops.{function}",),
        pattern,
        lambda graph, found: _merge(class_name, graph, found),
    )


SUM = op.add(_tensor("a"), _tensor("b"))
HALF = either(op.divide(SUM, constant(2.0, rtol=0.0)), op.multiply(SUM, constant(0.5, rtol=0.0)))
"""A half is exact: multiplied by 0.5 or divided by 2 it is the same."""


def _batch_product(pattern: Pattern, axes: tuple[int, int], name: str) -> Rule:
    return Rule(name, ("keras.ops.matmul",), pattern, lambda graph, found: _dot(axes, graph, found))


TENSORS = any_("tensors", lambda x: isinstance(x, (list, tuple)) and len(x) > 1)
MATRIX, TURNED = _tensor("a"), op.transpose(_tensor("b"), either((0, 2, 1), (0, -1, -2)))

RULES = [
    # Before the sum itself is an Add.
    *(
        Rule(f"{name} to Average", (f"keras.ops.{root}",), HALF, _average)
        for name, root in (
            ("half a sum", "multiply"),
            ("a sum by 2", "true_divide"),
            ("a sum by 2", "divide"),
        )
    ),
    *(_rule_of(function, class_name) for function, class_name in MERGES.items()),
    _batch_product(op.matmul(MATRIX, TURNED), (2, 2), "matmul of a transposed tensor to Dot"),
    _batch_product(op.matmul(MATRIX, _tensor("b")), (2, 1), "matmul to Dot"),
    Rule(
        "concatenate to Concatenate",
        ("keras.ops.concatenate",),
        op.concatenate(TENSORS, any_("axis", is_axis)),
        _concatenate,
    ),
    Rule(
        "stack to Concatenate",
        ("keras.ops.reshape",),
        op.reshape(op.stack(TENSORS, any_("axis", is_axis)), any_()),
        _stacked,
    ),
]

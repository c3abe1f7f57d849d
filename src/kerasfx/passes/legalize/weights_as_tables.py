"""Let built-in layers hold the weights and large constants that functions take.

A file that Keras loads alone has no layer for a mere weight. An `Embedding` that looks up each of its rows
gives its table as it is, to the bit, with the gradient that the weight has. What it looks up has to depend on
some tensor: a number that is zero whatever the tensor holds, the sum of no elements of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kerasfx.ir import Graph, Node, Value
from kerasfx.ir.build import FLOATS
from kerasfx.ir.program import values_in
from kerasfx.ir.weights import Operand, reshape
from kerasfx.keras_api.arrays import to_numpy
from kerasfx.runtime.held_weights import SMALL_CONSTANT

EXACT_IN_FLOAT32 = 2**24


def weights_as_tables(graph: Graph) -> bool:
    """Replace each weight and large constant that a call takes by the result of an `Embedding`."""
    tables, changed = _Tables(graph), False
    for value in [*graph.parameters, *graph.computed_weights, *graph.constants]:
        users = [node for node in graph.nodes if takes(node, value)]
        if not (users or value.is_output) or not _wants_table(value, users):
            continue
        table = tables.of(value, users[0] if users else None)
        for user in users:
            graph.replace_input(user, value, table)
        if value.is_output:
            graph.replace_output(value, table)
        changed = True
    return changed


def takes(node: Node, value: Value) -> bool:
    """Whether `value` is an argument of the call, and not only a weight of the layer."""
    return any(v is value for v in values_in((node.args, node.kwargs)))


def _wants_table(value: Value, users: list[Node]) -> bool:
    """Whether an `Embedding` is to hold it: a constant beside tensors may stand in the calls themselves."""
    is_small = value.array is not None and value.array.size <= SMALL_CONSTANT
    return _can_be_table(value) and not (is_small and stands_in_calls(value, users))


def stands_in_calls(value: Value, users: list[Node]) -> bool:
    """Whether a constant may be an array among the arguments: functions alone take it, beside some tensor.

    A file keeps the dtype of an array, but not of one without axes.
    """
    if value.array is None or not value.array.ndim or value.is_output:
        return False
    return all(n.function and any(not v.is_known for v in values_in((n.args, n.kwargs))) for n in users)


def _can_be_table(value: Value) -> bool:
    """Whether an `Embedding` can hold it: on PyTorch it holds floats alone, and these round large numbers."""
    sizes = [d for d in value.shape if isinstance(d, int)]
    if len(sizes) < len(value.shape) or not all(sizes):
        return False
    array = _array_of(value)
    if value.dtype in FLOATS or array is None:
        return value.dtype in FLOATS
    return array.dtype.kind in "biu" and bool(np.all(np.abs(array.astype("float64")) <= EXACT_IN_FLOAT32))


def _array_of(value: Value) -> np.ndarray | None:
    """The array of a constant, or of a weight of integers that nothing trains: it is fixed."""
    variable = value.variable
    if variable is None or variable.trainable or any(node.changes_state for node in value.users):
        return value.array
    return to_numpy(variable)


class _Tables:
    """Makes tables in one graph.

    Attributes:
        zeros: The zero behind each tensor on which a table hangs.
    """

    def __init__(self, graph: Graph):
        self.graph = graph
        self.zeros: dict[Value, Value] = {}

    def of(self, value: Value, user: Node | None) -> Value:
        """The result of a layer that is `value`, in front of `user` or, without one, at the end."""
        sizes = [int(str(d)) for d in value.shape]
        columns = sizes[-1] if sizes else 1
        rows = int(np.prod(sizes, dtype=int)) // columns
        is_float = value.dtype in FLOATS
        shape = (rows, columns)
        held: Operand = value if sizes == [*shape] else reshape(value, shape)
        if not is_float:
            array = _array_of(value)
            assert array is not None
            held = array.astype("float32").reshape(shape)
        zero = self._zero(self._anchor(user))
        indices = self._put(
            user, "keras.ops.add", zero, np.arange(rows, dtype="int32"), wish=f"{value.name}_rows"
        )
        table = self._put(
            user,
            "keras.layers.Embedding",
            indices,
            weights={"embeddings": held},
            wish=value.name,
            input_dim=rows,
            output_dim=columns,
            dtype=value.dtype if is_float else "float32",
        )
        if sizes != [*shape]:
            table = self._put(user, "keras.ops.reshape", table, tuple(sizes), wish=f"{value.name}_reshaped")
        if not is_float:
            table = self._put(user, "keras.ops.cast", table, value.dtype, wish=f"{value.name}_cast")
        return table

    def _zero(self, anchor: Value) -> Value:
        """An int32 that is zero, computed behind `anchor` from none of its elements."""
        if anchor not in self.zeros:
            wish, behind = f"{anchor.name}_nothing", anchor.node
            x = anchor
            for name, *rest in [
                *([] if anchor.shape else [("reshape", (1,))]),
                ("get_item", (slice(0, 0),)),
                ("cast", "int32"),
                ("sum",),
            ]:
                node = self.graph.make(f"keras.ops.{name}", x, *rest, wish=wish)
                self.graph.insert_after(behind, node) if behind else self.graph.insert(0, node)
                x, behind = node.outputs, node
            self.zeros[anchor] = x
        return self.zeros[anchor]

    def _anchor(self, user: Node | None) -> Value:
        """The tensor that the table hangs on: what `user` takes besides, or the newest one in front of it."""
        nodes = list(self.graph.nodes)
        before = nodes if user is None else nodes[: nodes.index(user)]
        fixed = self._fixed(before)
        known = [v for node in before if node.only_in is None for v in node.results]
        given = [*values_in((user.args, user.kwargs))] if user else []
        inputs = list(values_in(self.graph.inputs))
        return next(v for v in [*given, *reversed(known), *inputs] if _can_be_anchor(v) and v not in fixed)

    def _fixed(self, nodes: list[Node]) -> set[Value]:
        """What is computed from weights and tables alone, so that a model has no reason to be cut there."""
        fixed: set[Value] = set()
        for node in nodes:
            if all(v.is_known or v in fixed for v in values_in((node.args, node.kwargs))):
                fixed.update(node.results)
        return fixed | set(self.zeros.values())

    def _put(self, user: Node | None, target: str, *args: object, **kwargs: Any) -> Value:
        node = self.graph.make(target, *args, **kwargs)
        self.graph.insert_before(user, node) if user else self.graph.append(node)
        return node.outputs


def _can_be_anchor(value: Value) -> bool:
    return not value.is_known and value.dtype not in ("string", "object")

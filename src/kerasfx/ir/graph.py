"""Graph: the program and the verbs that edit it. Imports neither Keras nor a backend."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from kerasfx.errors import GraphError, describe
from kerasfx.ir import build, checks
from kerasfx.ir.dims import Dim, Size, decisions_go_to, is_same_size
from kerasfx.ir.notebook import to_html
from kerasfx.ir.program import (
    Captures,
    Constant,
    Input,
    Node,
    Parameter,
    Program,
    Value,
    map_values,
    values_in,
)
from kerasfx.ir.structure import identifier, map_leaves, shown
from kerasfx.ir.targets import LayerSpec, Target
from kerasfx.ir.text import line_of, neighbourhood, to_text
from kerasfx.ir.training import FOLLOWS
from kerasfx.ir.weights import Computed, Expression, Leaf, Operand, weight

INLINE_SIZE = 64
"""Constants with at most this many elements stay among the arguments of a function."""


class Graph(Program):
    """The program, and the verbs that edit it.

    Invariants, enforced by `check()`:
        1. Names of Values are unique, and so are names of Nodes.
        2. A Node only takes Values that were produced before it (or inputs, weights, constants).
        3. `value.users` are exactly the Nodes of the graph that take the value.
        4. Every result's producer is its Node; outputs are produced in the graph.
        5. A variable has one place: it is a parameter once, and one layer or the functions hold it.
        6. A layer to be made has each of its weights, of the right shape and dtype.

    A verb that cannot be carried out raises GraphError and leaves the graph as it was.

    Attributes:
        inference: Who tells `make` what a call gives.
    """

    def __init__(self, name: str = "model", inference: build.Inference | None = None):
        super().__init__(name)
        self.inference = inference
        self._names: set[str] = set()
        self._copies: dict[str, int] = {}

    def called_layers(self) -> list[Any]:
        """The layer objects of the original model that Nodes call, each once."""
        layers = [n.layer for n in self.nodes if n.layer is not None]
        # By `id`: a layer of the user's may define `==`.
        return list({id(layer): layer for layer in layers}.values())

    def walk(self) -> Iterator[tuple[Graph, Node]]:
        """Yield each Node with its graph, those in the bodies of control flow included.

        The nodes are those that were there when the walk began; either graph may be edited meanwhile.
        """
        for node in self.nodes:
            yield self, node
            for body in node.bodies:
                if isinstance(body, Body):
                    yield from body.graph.walk()

    # Names and Values that no Node gives

    def unique_name(self, wish: str) -> str:
        """Return `wish`, or `wish_1`, `wish_2`..., and take it."""
        # The count goes on where it stood: a graph may have a thousand `add`s.
        name = wish
        while name in self._names:
            self._copies[wish] = self._copies.get(wish, 0) + 1
            name = f"{wish}_{self._copies[wish]}"
        self._names.add(name)
        return name

    def add_input(self, name: str, shape: tuple[Size, ...], dtype: str) -> Value:
        """Add an input Value (the caller places it in `inputs`)."""
        return self._own(Value(self.unique_name(name), shape, dtype, Input(name)))

    def add_parameter(self, variable: Any, path: str, shape: tuple[int, ...], dtype: str) -> Value:
        """Return the Value of `variable`, made at the first request."""
        if id(variable) not in self._parameters:
            name = self.unique_name(identifier(path) or "weight")
            value = self._own(Value(name, shape, dtype, Parameter(variable, path)))
            self._parameters[id(variable)] = value
        return self._parameters[id(variable)]

    def add_constant(self, array: np.ndarray, wish: str = "constant") -> Value:
        """Return the constant Value of a NumPy array, made at the first request for its contents."""
        key = _contents(array)
        if key not in self._constants:
            # The key says what it holds now: nobody may write to it later.
            if array.flags.writeable:
                array = array.copy()
                array.flags.writeable = False
            name = self.unique_name(wish)
            value = Value(name, tuple(array.shape), str(array.dtype), Constant(array))
            self._constants[key] = self._own(value)
        return self._constants[key]

    def computed(self, expression: Operand, wish: str = "weight") -> Value:
        """The Value of a weight that is computed from others when the model is made.

        Args:
            expression: Arithmetic over weights of this graph, see `kerasfx.ir.weights`; a mere weight
                gives its own Value, and numbers a constant.
            wish: Its name, if it is free.
        """
        if isinstance(expression, np.ndarray):
            return self.add_constant(expression, wish)
        # The same Value is the same weight: a copy would be one more variable of the result.
        if isinstance(expression, Value) and any(v is expression for v in self._computed):
            return expression
        found = weight(expression)
        if isinstance(found, Leaf):
            return found.value
        # Numbers alone are known already.
        if not any(True for _ in found.values()):
            return self.add_constant(found.evaluate(_no_weight), wish)
        value = self._own(Value(self.unique_name(wish), found.shape, found.dtype, Computed(found)))
        self._computed.append(value)
        return value

    def weight_of(self, node: Node, name: str) -> Value:
        """The weight of a layer that `node` calls: a parameter of the original, or what the node was given.

        Args:
            node: A node that calls a layer.
            name: Name of the layer's variable: "kernel", "bias", "gamma", or "query/kernel" inside of one.

        Raises:
            GraphError: It calls no layer, or one without such a weight; the message names those it has.
        """
        _require(Node, "takes a node", node)
        variables: dict[str, Any] = node.call.weights if node.call else {}
        if name in node.weights:
            return node.weights[name]
        if name in variables:
            variable = variables[name]
            path = f"{node.path}.{name.replace('/', '.')}" if node.path else name
            return self.add_parameter(variable, path, tuple(variable.shape), str(variable.dtype))
        has = ", ".join((*node.weights, *variables)) or "none"
        raise GraphError(
            describe(f"'{node.name}' has no weight '{name}'.", where=line_of(node), why=f"it has: {has}")
        )

    def _own(self, value: Value) -> Value:
        value.program = self
        return value

    # Making Nodes

    def make(
        self,
        target: Target | str,
        *args: object,
        weights: Mapping[str, Operand] | object = None,
        like: Node | None = None,
        wish: str = "",
        **config: object,
    ) -> Node:
        """Make a Node with its results: shapes, dtypes, masks and weights are those that Keras says.

        It is in no graph yet: `insert_before`, `insert_after` or `replace` puts it there.

            dense = graph.make("keras.layers.Dense", x, weights={"kernel": k, "bias": b}, units=8, like=old)
            tanh = graph.make("keras.ops.tanh", x)

        Args:
            target: Public name of a layer or of a function, or a target such as a `LayerSpec`.
            *args: What it is called with, Values in the places of tensors.
            weights: For a layer, where each of its weights comes from, by name: a Value of a weight, an
                expression over weights, or an array. For a function an argument like others.
            like: The node that it is made to replace. It gives name, path, source line and dtype, the
                masks that its arguments carried, and free sizes that agree with those of the results.
            wish: Its name, if it is free; `name`, for a layer, is the same.
            **config: Arguments of the layer's constructor, or of the function.

        Raises:
            GraphError: Keras refuses the call; or the layer makes a mask that the graph does not hold.
        """
        build.require_callable_parts(target, (args, config), weights, like)
        with self._nothing_added_if_refused():
            found, kwargs = build.target_of(target, config)
            if isinstance(found, LayerSpec) and "name" in found.config:
                # A constructor is told how the layer is called: that is the name of the node.
                wish = wish or str(found.config["name"] or "")
                found = replace(found, config={k: x for k, x in found.config.items() if k != "name"})
            if weights is not None and isinstance(found, str):
                # Of a function, such as `average`, it is an argument like others.
                weights, kwargs = None, {**kwargs, "weights": weights}
            named = cast(Mapping[str, Operand], weights or {})
            given = {name: self.computed(x, name.rpartition("/")[2]) for name, x in named.items()}
            arguments, kwargs = map_leaves(self._argument, (args, kwargs))
            node = Node("", found, arguments, kwargs, weights=given)
            if like is not None:
                node.path, node.source = like.path, like.source
                node.implicit_masks = build.masks_like(like, set(values_in((arguments, kwargs))))
            node.target = build.with_dtype(found, node, like)
            known = self._inferred(node)
            if isinstance(node.target, LayerSpec):
                # {} is a layer without weights; None would say that nobody looked.
                made = dict(known.settings or {})
                node.target = replace(node.target, slots=dict(known.slots or {}), made=made)
            node.name = self.unique_name(wish or (like.name if like else build.name_of(node)))
            build.give_results(node, known)
            self._names.update(v.name for v in node.results)
            if like is not None:
                build.take_over(node, like)
            build.give_masks(node, known.masks, like)
        return node

    def _argument(self, x: object) -> object:
        """An argument of a call: arrays of some size are constants of the graph."""
        return self.add_constant(x) if isinstance(x, np.ndarray) and x.size > INLINE_SIZE else x

    def _inferred(self, node: Node) -> build.Inferred:
        if self.inference is None:
            raise GraphError(
                describe(
                    f"The graph of '{self.name}' does not know what {build.name_of(node)} gives.",
                    why="it was made by hand, so that nobody asks Keras for it",
                    hint="take a graph of kerasfx.trace, or set graph.inference",
                )
            )
        try:
            # Sizes are asked for both examples: no question of Keras is one of the pass.
            with decisions_go_to(lambda question: None):
                return self.inference.infer(node)
        except Exception as error:
            what = build.target_text(node.target, node.path)
            taken = ", ".join(f"{v.dtype}{v.shown_shape}" for v in values_in((node.args, node.kwargs)))
            raise GraphError(
                describe(
                    f"{what} cannot be called with ({taken}).",
                    where=node.path,
                    why=str(error).strip() or type(error).__name__,
                    hint="free sizes are tried with two examples each, and every size has to do",
                )
            ) from error

    @contextmanager
    def _nothing_added_if_refused(self) -> Iterator[None]:
        saved = self._added()
        try:
            yield
        # An interrupt as well: the names of half a node would stay taken.
        except BaseException:
            self._names, self._copies, self._constants, self._computed = saved
            raise

    @contextmanager
    def nothing_added(self) -> Iterator[None]:
        """Forget names, constants and computed weights of what the block makes, to see what it would be."""
        saved = self._added()
        try:
            yield
        finally:
            self._names, self._copies, self._constants, self._computed = saved

    def _added(self) -> tuple[set[str], dict[str, int], dict[Any, Value], list[Value]]:
        return self._names.copy(), self._copies.copy(), self._constants.copy(), list(self._computed)

    def rename(self, node: Node, name: str) -> bool:
        """Call `node`, and its results, otherwise; returns False where the name is taken."""
        self._position(node)
        if name in self._names:
            return False
        self._call(node, name)
        return True

    # Placing Nodes

    def append(self, node: Node) -> Node:
        """Put `node` last."""
        return self.insert(len(self.nodes), node)

    def insert(self, position: int, node: Node) -> Node:
        """Put `node` at `position` of `nodes`."""
        self.nodes.insert(position, node)
        node.program = self
        self._names.update([node.name, *(v.name for v in node.results)])
        self._join_users(node)
        return node

    def insert_before(self, anchor: Node, node: Node) -> Node:
        """Put `node` in front of `anchor`.

        Raises:
            GraphError: It is in a graph already, or takes what is not known there.
        """
        return self._insert_new(self._position(anchor), node, f"in front of '{anchor.name}'")

    def insert_after(self, anchor: Node, node: Node) -> Node:
        """Put `node` behind `anchor`.

        Raises:
            GraphError: It is in a graph already, or takes what is not known there.
        """
        return self._insert_new(self._position(anchor) + 1, node, f"behind '{anchor.name}'")

    def _insert_new(self, position: int, node: Node, where: str) -> Node:
        _require(Node, "a node is inserted", node)
        if node.program is not None:
            raise self._refused(
                f"'{node.name}' cannot be inserted {where}: it is in a graph already.",
                node,
                hint="make another by graph.make",
            )
        self._require_known(node.inputs, position, f"'{node.name}' cannot be inserted {where}", node)
        return self.insert(position, node)

    def remove(self, node: Node) -> None:
        """Take `node` out.

        Raises:
            GraphError: One of its results is still used.
        """
        position, needed = self._position(node), self.needed_by_outputs()
        for value in node.results:
            if value.users or value in needed:
                users = ", ".join(n.name for n in value.users) or "the outputs"
                raise self._refused(
                    f"'{node.name}' cannot be removed: '{value.name}' is used by {users}.",
                    node,
                    hint="replace its uses first: graph.replace_uses(old, new)",
                )
        self._detach(node)
        del self.nodes[position]

    def truncate(self, length: int) -> None:
        """Forget all Nodes from position `length` on (used when a trace is taken back)."""
        for node in self.nodes[length:]:
            self._detach(node)
        del self.nodes[length:]

    def take(self, start: int) -> list[Node]:
        """Remove the Nodes from position `start` on and return them; nothing that stays may use them."""
        taken = self.nodes[start:]
        self.truncate(start)
        return taken

    # Changing what Nodes take

    def set_arguments(
        self,
        node: Node,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        implicit_masks: dict[Value, Value | None] | None = None,
    ) -> None:
        """Replace the arguments of `node`, and the masks that they carry there, if any are given."""
        if not isinstance(args, tuple) or not isinstance(kwargs, dict):
            raise GraphError(
                describe(
                    f"'{node.name}' cannot be given {args!r} and {kwargs!r} as arguments.",
                    why="they are a tuple and a dict, as in a call",
                    hint="graph.set_arguments(node, (x,), {})",
                )
            )
        # Its inputs are read off arguments and masks: it leaves by the old ones and joins by the new ones.
        self._leave_users(node)
        node.args, node.kwargs = args, kwargs
        if implicit_masks is not None:
            node.implicit_masks = implicit_masks
        self._join_users(node)

    def set_mask(self, value: Value, mask: Value | None) -> None:
        """Replace the mask of `value`, also where a Node takes it with that mask."""
        # A node takes a mask that its argument does not carry itself, so its inputs change with `value.mask`.
        former, users = value.mask, list(value.users)
        for node in users:
            self._leave_users(node)
        value.mask = mask
        for node in users:
            if value in node.implicit_masks and node.implicit_masks[value] is former:
                node.implicit_masks[value] = mask
            self._join_users(node)

    def set_after(self, node: Node, values: tuple[Value, ...]) -> None:
        """Let `node` wait for `values`."""
        self._leave_users(node)
        node.after = values
        self._join_users(node)

    def replace_uses(self, old: Value, new: Value, except_: Iterable[Node] = ()) -> None:
        """Let every Node, output, mask and computed weight that takes `old` take `new`.

        A layer that took `old` with its mask takes `new` with the same mask, whatever `new` carries.

        Args:
            old: What is taken now.
            new: What is taken from now on.
            except_: Nodes that go on taking `old`, such as the one that makes `new` of it.

        Raises:
            GraphError: Their shapes or dtypes differ, or a Node would take `new` before it is produced.
        """
        _require(Value, "uses of a value are replaced by another value", old, new)
        if old is new:
            return
        kept = set(except_)
        users = [node for node in old.users if node not in kept]
        what = f"'{new.name}' cannot take the place of '{old.name}'"
        self._require_alike(old, new, what)
        self._require_in_graph(new, what)
        self._require_before(users, new, what)
        self._require_masks(users, old, new, what)
        self._require_output_mask(old, new, what)
        # Before anything is changed, for an expression refuses what is no weight.
        expressions = self._expressions_with(old, new)
        for node in users:
            self._swap_in(node, old, new)
        for value, expression in expressions:
            value.producer = Computed(expression)
        self.replace_output(old, new)

    def replace_input(self, node: Node, old: Value, new: Value) -> None:
        """Let one Node take `new` where it takes `old`, with the mask that `old` carried there.

        Raises:
            GraphError: Their shapes or dtypes differ, or `new` is produced later.
        """
        self._position(node)
        _require(Value, "an input is replaced by a value", old, new)
        what = f"'{node.name}' cannot take '{new.name}' instead of '{old.name}'"
        self._require_alike(old, new, what, node)
        self._require_in_graph(new, what, node)
        self._require_before([node], new, what)
        self._require_masks([node], old, new, what)
        self._swap_in(node, old, new)

    def replace_output(self, old: Value, new: Value) -> None:
        """Let the outputs of the graph that were `old` be `new`, with the masks that they carried.

        Raises:
            GraphError: Their shapes or dtypes differ, or `new` is not in this graph.
        """

        def swap(value: Value) -> Value:
            return new if value is old else value

        _require(Value, "an output is replaced by a value", old, new)
        what = f"'{new.name}' cannot be an output in the place of '{old.name}'"
        self._require_alike(old, new, what)
        self._require_in_graph(new, what)
        self._require_output_mask(old, new, what)
        masks = {swap(v): m and swap(m) for v, m in self.output_masks.items()}
        # The output goes on with the mask of `old`, which `new` does not carry by itself.
        is_given = any(v is old for v in values_in(self.outputs))
        if is_given and old not in self.output_masks and old.mask is not new.mask:
            masks[new] = old.mask
        self.outputs, self.output_masks = map_values(swap, self.outputs), masks

    def replace(self, old: Node, new: Node) -> Node:
        """Let `new` do what `old` does: its results take the places of those of `old`, which is removed.

        What `new` does not say itself it inherits: path, source line, training, mode and what it waits for;
        and the name of `old`, if `new` was made like it.

        Args:
            old: A node of this graph.
            new: A node that gives results of the same structure, shapes, dtypes and masks; it is put where
                `old` stands if it is in no graph yet.

        Raises:
            GraphError: Something does not agree; the message says what, as which mask is lost.
        """
        _require(Node, "a node replaces a node", old, new)
        position, what = self._position(old), f"'{new.name}' cannot replace '{old.name}'"
        if new is old:
            return new
        pairs = self._paired(old, new, what)
        # One that stands in the graph has what it takes; only what it inherits may come too late.
        placed = new.program is not None
        self._require_known(
            old.after if placed else new.inputs, self._position(new) if placed else position, what, new
        )
        for ours, theirs in pairs:
            self._require_alike(ours, theirs, what, old)
            self._require_same_mask(ours, theirs, what, old)
            if new.program is not None:
                self._require_before(list(ours.users), theirs, what)
        self._inherit(old, new)
        if new.program is None:
            self.insert(position, new)
        for ours, theirs in pairs:
            self.replace_uses(ours, theirs)
        self.remove(old)
        # Now that `old` is gone its name is free.
        self._take_name(old, new)
        return new

    def _inherit(self, old: Node, new: Node) -> None:
        # `after` is among what it takes.
        is_placed = new.program is not None
        if is_placed:
            self._leave_users(new)
        new.path = new.path or old.path
        new.source = new.source or old.source
        # One that was there already goes on with what it does.
        if not is_placed:
            new.training = old.training if new.training == FOLLOWS else new.training
            new.only_in = new.only_in or old.only_in
        new.after = tuple(dict.fromkeys((*new.after, *old.after)))
        if is_placed:
            self._join_users(new)

    def _take_name(self, old: Node, new: Node) -> None:
        """Call `new`, and its results, as `old` was called, if it was made like it and so is `old_1`."""
        stem, _, number = new.name.rpartition("_")
        if stem != old.name or not number.isdigit():
            return
        self._call(new, old.name)

    def _call(self, node: Node, name: str) -> None:
        renamed = {v: v.name.replace(node.name, name, 1) for v in node.results}
        self._names.difference_update([node.name, *(v.name for v in renamed)])
        node.name = name
        for value, new in renamed.items():
            value.name = new
        self._names.update([name, *renamed.values()])

    def _swap_in(self, node: Node, old: Value, new: Value) -> None:
        def swap(value: Value) -> Value:
            return new if value is old else value

        # Before the arguments change, off which it is read.
        mask = _mask_taken(node, old)
        self._leave_users(node)
        node.args, node.kwargs = map_values(swap, (node.args, node.kwargs))
        node.weights = {name: swap(v) for name, v in node.weights.items()}
        masks = {swap(v): m and swap(m) for v, m in node.implicit_masks.items()}
        # Written down only where `new` does not carry it anyway.
        if mask is not new.mask and not isinstance(mask, _NotTaken):
            masks[new] = mask and swap(mask)
        node.implicit_masks = masks
        node.after = tuple(map(swap, node.after))
        self._join_users(node)

    def _expressions_with(self, old: Value, new: Value) -> list[tuple[Value, Expression]]:
        """The computed weights that take `old`, each with the expression that takes `new`."""
        found = []
        for value in self._computed:
            assert isinstance(value.producer, Computed)
            if any(v is old for v in value.producer.values()):
                expression = value.producer.expression.substitute(lambda v: new if v is old else v)  # pyright: ignore
                found.append((value, expression))
        return found

    # What a verb requires

    def _position(self, node: Node) -> int:
        _require(Node, "a place in a graph is a node", node)
        if node.program is not self:
            raise GraphError(
                describe(
                    f"'{node.name}' is not in the graph of '{self.name}'.",
                    where=line_of(node),
                    why="it was removed, was never inserted, or is in the body of another node",
                    hint="graph.walk() gives each node with the graph that it is in",
                )
            )
        return self.nodes.index(node)

    def _require_known(self, values: Iterable[Value], position: int, what: str, node: Node) -> None:
        """Refuse Values that are not produced before a position."""
        before = set(self.nodes[:position])
        for value in values:
            self._require_in_graph(value, what, node)
            if value.node is not None and value.node not in before:
                raise self._refused(f"{what}: it takes '{value.name}', which is produced later.", value.node)

    def _require_in_graph(self, value: Value, what: str, node: Node | None = None) -> None:
        holder = value.node.program if value.node else value.program
        if holder is not self:
            raise self._refused(
                f"{what}: '{value.name}' is not in this graph.",
                node,
                why="it was removed, pruned because nobody took it, never inserted, or is in another graph",
                hint="insert its node first: graph.insert_before(anchor, node)",
            )

    def _require_before(self, users: list[Node], value: Value, what: str) -> None:
        if value.node is None or not users:
            return
        position = self._position(value.node)
        before = set(self.nodes[: position + 1])
        for user in users:
            if user in before:
                raise self._refused(
                    f"{what}: '{user.name}' would take it before it is produced.",
                    user,
                    hint=f"leave the node out: graph.replace_uses(old, new, except_=[{user.name}])",
                )

    def _require_masks(self, users: list[Node], old: Value, new: Value, what: str) -> None:
        """Refuse to let a layer carry on with a mask that is not there any more, or not yet."""
        for user in users:
            mask = _mask_taken(user, old)
            # A value may be its own mask, which then becomes `new` as well.
            if isinstance(mask, Value) and mask is not new.mask and mask is not old:
                self._require_in_graph(mask, f"{what} in '{user.name}'", user)
                self._require_before([user], mask, what)

    def _require_output_mask(self, old: Value, new: Value, what: str) -> None:
        mask = self.output_masks.get(old, old.mask)
        if mask is not None and mask is not new.mask and any(v is old for v in values_in(self.outputs)):
            self._require_in_graph(mask, what)

    def _require_alike(self, old: Value, new: Value, what: str, node: Node | None = None) -> None:
        if old.dtype != new.dtype:
            raise self._refused(
                f"{what}: its dtype is {new.dtype} instead of {old.dtype}.",
                node or new.node,
                why=f"what takes '{old.name}' was made for that",
            )
        if len(old.shape) != len(new.shape) or not all(map(is_same_size, old.shape, new.shape)):
            are_free = any(isinstance(d, Dim) for d in new.shape)
            raise self._refused(
                f"{what}: its shape is {new.shown_shape} instead of {old.shown_shape}.",
                node or new.node,
                why=f"what takes '{old.name}' was made for that",
                hint="graph.make(..., like=node) takes over free sizes that are equal" if are_free else "",
            )

    def _require_same_mask(self, old: Value, new: Value, what: str, node: Node) -> None:
        if old.mask is new.mask:
            return
        ours, theirs = (f"'{m.name}'" if m else "no mask" for m in (old.mask, new.mask))
        verb = "lost" if new.mask is None else "added" if old.mask is None else "changed"
        raise self._refused(
            f"{what}: a mask would be {verb}: '{new.name}' carries {theirs}, '{old.name}' carries {ours}.",
            node,
            why="layers behind it (LSTM, attention, losses) use the mask",
            hint="leave nodes alone whose mask the replacement treats otherwise: value.mask",
        )

    def _paired(self, old: Node, new: Node, what: str) -> list[tuple[Value, Value]]:
        if _shape_of(old.outputs) != _shape_of(new.outputs):
            raise self._refused(
                f"{what}: it gives {_shape_of(new.outputs)} instead of {_shape_of(old.outputs)}.",
                old,
                why="results are matched by their structure",
            )
        return list(zip(old.results, new.results, strict=True))

    def _refused(self, what: str, node: Node | None, why: str = "", hint: str = "") -> GraphError:
        text = describe(what, why=why, hint=hint)
        return GraphError(f"{text}\n{neighbourhood(self, node)}" if node else text)

    # What is needed

    def prune(self) -> bool:
        """Remove every Node, weight and constant that no output needs. Returns whether any was."""
        needed = self.needed()
        dead = [node for node in self.nodes if needed.isdisjoint(node.results)]
        # Before any is detached: a loop over the nodes knows by the first which program they are of.
        kept = [node for node in self.nodes if not needed.isdisjoint(node.results)]
        for node in reversed(dead):
            self._detach(node)
        self.nodes[:] = kept
        for value in (*self.parameters, *self.constants, *self._computed):
            value.program = self if value in needed else None
        self._computed = [v for v in self._computed if v.program is self]
        self._parameters = {k: v for k, v in self._parameters.items() if v.program is self}
        self._constants = {k: v for k, v in self._constants.items() if v.program is self}
        return bool(dead)

    def needed(
        self,
        besides: Iterable[Value] = (),
        takes: Callable[[Node], Iterable[Value]] = lambda node: node.inputs,
    ) -> set[Value]:
        """The Values that the outputs need, and those that the Values `besides` need.

        Args:
            besides: Further Values.
            takes: The inputs that a Node needs, where these are not all.
        """
        needed = {*self.needed_by_outputs(), *besides}
        for node in reversed(self.nodes):
            if not needed.isdisjoint(node.results):
                needed.update(takes(node))
        # Once is enough: an expression is over parameters and constants alone.
        needed.update(part for value in self._computed if value in needed for part in value.producer.values())
        return needed

    def _join_users(self, node: Node) -> None:
        for value in node.inputs:
            value.users[node] = None

    def _leave_users(self, node: Node) -> None:
        for value in node.inputs:
            value.users.pop(node, None)

    def _detach(self, node: Node) -> None:
        self._leave_users(node)
        node.program = None
        self._names.discard(node.name)
        self._names.difference_update(v.name for v in node.results)

    def check(self) -> Graph:
        """Verify the invariants of the class.

        Returns:
            The graph itself.

        Raises:
            GraphError: An invariant does not hold; the message shows the neighbourhood of the fault.
        """
        checks.check(self)
        return self

    def __str__(self) -> str:
        return to_text(self)

    def __repr__(self) -> str:
        return f"<Graph {self.headline}>"

    def _repr_html_(self) -> str:
        return to_html(self, f"graph {self.headline}")


@dataclass(frozen=True, eq=False)
class Body(Captures):
    """A function among the arguments of a Node: a branch of a `cond`, the body of a loop.

    It stands where the user's function stood. Its graph calls functions only, no layers.

    Attributes:
        graph: What it does; its inputs are the pair (arguments, captured), flat tuples of Values.
        captured: The Values of the outer graph that the function uses, in the order of the second tuple.
    """

    graph: Graph
    captured: tuple[Value, ...]

    @property
    def program(self) -> Program:
        """The graph."""
        return self.graph

    def with_captured(self, mapping: Callable[[Value], Any]) -> Body:
        """The same function, of other outer Values."""
        return Body(self.graph, tuple(mapping(v) for v in self.captured))


def _require(kind: type, what: str, *given: object) -> None:
    """Refuse what is no Node, or no Value, where one is meant: one is easily written for the other."""
    for x in given:
        if not isinstance(x, kind):
            raise GraphError(
                describe(
                    f"{shown(x)} of type {type(x).__name__} is no {kind.__name__}.",
                    why=what,
                    hint="node.outputs is the value that a node gives, value.node the node behind a value",
                )
            )


class _NotTaken:
    """Says of a mask that its value is no argument of the call."""


def _mask_taken(node: Node, value: Value) -> Value | _NotTaken | None:
    """The mask with which a layer takes a value among its arguments."""
    if value in node.implicit_masks:
        return node.implicit_masks[value]
    is_taken = node.function is None and any(v is value for v in values_in((node.args, node.kwargs)))
    return value.mask if is_taken else _NotTaken()


def _contents(array: np.ndarray) -> tuple[str, tuple[int, ...], bytes]:
    """What equal arrays have in common: the hash is made once for each array that is added."""
    data = np.ascontiguousarray(array)
    # Zeros of all dtypes and shapes have the same bytes.
    return str(array.dtype), tuple(array.shape), hashlib.blake2b(data.tobytes(), digest_size=16).digest()


def _no_weight(value: Value) -> np.ndarray:
    raise AssertionError("an expression without weights reads none")


def _shape_of(outputs: object) -> Any:
    """The structure of results, for comparison and for messages."""
    return map_leaves(lambda x: None if x is None else "result", outputs)

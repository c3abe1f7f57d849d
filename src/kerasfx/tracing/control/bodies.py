"""Functions that take functions: the branches of a `cond`, the bodies of loops, become bodies of the graph.

A body calls functions only. The layers called in it are opened, built-in ones too; weights and tensors from
outside are captured. Whatever else a body does (draw, assign, add a loss) cannot be told apart from doing it
once, so the layer around stays whole.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import keras

from kerasfx.errors import UnsupportedOperationError, describe
from kerasfx.ir import (
    Body,
    Graph,
    Node,
    Value,
    leaves_of,
    map_leaves,
    map_values,
    values_in,
)
from kerasfx.ir.dims import Dim, hint
from kerasfx.keras_api import internals
from kerasfx.tracing.bindings import Bindings
from kerasfx.tracing.native import memory
from kerasfx.tracing.native.twins import arguments_of
from kerasfx.tracing.recorder import Args, Function, Kwargs, Recorder, Tensor
from kerasfx.tracing.sizes.examples import Refusal
from kerasfx.tracing.state.effects import Effects
from kerasfx.tracing.tensor import TracedTensor
from kerasfx.tracing.where import source_line

UNROLLED = 16
"""A loop of at most so many steps, whose number is known, is unrolled: the layers in it stay layers."""


def patches() -> Iterator[tuple[Any, str, Function]]:
    """What is replaced while tracing: owner, name, `replacement(session, original, args, kwargs)`."""
    for binding in _bindings():
        if binding.name in RECORDERS:
            yield binding.module, binding.name, functools.partial(_stand_in, RECORDERS[binding.name])


@functools.cache
def _bindings() -> Bindings:
    return Bindings({id(getattr(keras.ops, name)) for name in RECORDERS}, in_keras=True)


def _stand_in(
    recorder: Function,
    session: Recorder,
    original: Function,
    args: Args,
    kwargs: Kwargs,
) -> Any:
    given = arguments_of(original, args, kwargs)
    if not session.in_user_code or given is None:
        return original(*args, **kwargs)
    # By name: a recorder has the parameters of its function in `keras.ops`.
    return recorder(session, **{name: value for name, (value, _) in given.items()})


class NoTwinError(Exception):
    """A function of the backend is called in a way that `keras.ops` has no place for."""


def require_none_of(rest: dict[str, Any]) -> None:
    """Refuse arguments without a place.

    Raises:
        NoTwinError: There are any.
    """
    if rest:
        raise NoTwinError(", ".join(rest))


def as_keras(
    name: str,
    says: Function,
    without_meaning: frozenset[str],
    session: Recorder,
    original: Function,
    args: Args,
    kwargs: Kwargs,
) -> Any:
    """Stand in for a function of the backend that takes functions: `says` calls that of `keras.ops`.

    Args:
        name: Name of the function.
        says: Takes its arguments that are not the defaults, by keyword.
        without_meaning: Arguments that change how it runs and not what it gives.
        session: The trace.
        original: The function.
        args: Its positional arguments.
        kwargs: Its keyword arguments.

    Raises:
        UnsupportedOperationError: `keras.ops` cannot say it.
    """
    given = arguments_of(original, args, kwargs)
    if not session.in_user_code or given is None:
        return original(*args, **kwargs)
    # Only what the caller chose has to have a place in `keras.ops`.
    values = {k: v for k, (v, is_default) in given.items() if not (is_default or k in without_meaning)}
    try:
        return says(**values)
    except NoTwinError as error:
        raise UnsupportedOperationError(
            describe(
                f"{name} is called with {error}.",
                where=session.locate(source_line()),
                why="only what keras.ops can say of it is recorded",
                hint=session.keep_hint(),
            )
        ) from None


def cond(session: Recorder, pred: Any, true_fn: Any, false_fn: Any, name: str = "keras.ops.cond") -> Any:
    """Record `cond`; a predicate that is known now takes its branch."""
    # Only one branch would ever run, and layers in it may stay layers.
    if not session.is_traced(pred):
        return true_fn() if pred else false_fn()
    masks: list[list[Any]] = [[], []]
    bodies = body_of(session, true_fn, (), masks[0]), body_of(session, false_fn, (), masks[1])
    _require_alike(session, name, *bodies)
    return _with_masks(session, session.record_op(name, (pred, *bodies), {}), masks)


UNLIKE = "the branches give results of unlike shapes"


def _require_alike(session: Recorder, name: str, one: Body, other: Body) -> None:
    """TensorFlow gives unlike results of branches an unknown shape; they do not fit what comes after."""
    results = list(values_in(one.graph.outputs)), list(values_in(other.graph.outputs))
    # If one gives more than the other, the backend says so when the call is inferred.
    for a, b in zip(*results, strict=False):
        if any([hint(d, i) for d in a.shape] != [hint(d, i) for d in b.shape] for i in (0, 1)):
            refusal = Refusal(((a, b), {}), functools.partial(_infer_alike, a, b))
            raise session.refused(name, refusal, ValueError(UNLIKE))


def _infer_alike(a: Value, b: Value, size: Callable[[Any], Any]) -> None:
    if [size(d) for d in a.shape] != [size(d) for d in b.shape]:
        raise ValueError(UNLIKE)


def _switch(session: Recorder, index: Any, branches: Any, operands: Any) -> Any:
    masks: list[list[Any]] = [[] for _ in branches]
    bodies = [
        body_of(session, branch, operands, found) for branch, found in zip(branches, masks, strict=True)
    ]
    return _with_masks(session, session.record_op("keras.ops.switch", (index, bodies, *operands), {}), masks)


def _with_masks(session: Recorder, results: Any, masks: list[list[Any]]) -> Any:
    """The results of branches with the masks that all give: run eagerly, one hands on its very tensors.

    Raises:
        UnsupportedOperationError: The predicate chooses the mask, or there is one on TensorFlow, whose
            compiled calls lose it.
    """
    backend = keras.backend.backend()
    # JAX makes new tensors in either case.
    if backend == "jax":
        return results
    for result, (mask, *others) in zip(leaves_of(results), zip(*masks, strict=False), strict=False):
        is_one = all(getattr(x, "value", x) is getattr(mask, "value", mask) for x in others)
        if not is_one or (mask is not None and backend == "tensorflow"):
            why = "which mask the result carries is known only when the model runs"
            raise session.unsupported("The branches give tensors with masks.", why=why)
        if mask is not None:
            internals.set_mask(result, mask)
    return results


def while_loop(session: Recorder, cond: Any, body: Any, loop_vars: Any, maximum_iterations: Any) -> Any:
    """Record `while_loop`."""
    # A Python number is a tensor as well from the second step on.
    loop_vars = map_leaves(session.as_tensor, loop_vars)
    arguments = tuple(loop_vars) if isinstance(loop_vars, (tuple, list)) else (loop_vars,)
    # Before the bodies are recorded: the Values of a tensor that one of them changes cannot be read then.
    loop_vars = map_leaves(session.value_of, loop_vars)
    bodies = body_of(session, cond, arguments), body_of(session, body, arguments, may_change=True)
    options = {"maximum_iterations": maximum_iterations}
    return session.record_op("keras.ops.while_loop", (*bodies, loop_vars), options)


def _fori_loop(session: Recorder, lower: Any, upper: Any, body_fun: Any, init_val: Any) -> Any:
    if type(lower) is type(upper) is int and upper - lower <= UNROLLED:
        # Constants: nothing is to be recorded for them.
        with session.pause():
            counters = [keras.ops.convert_to_tensor(i, "int32") for i in range(lower, upper)]
        return functools.reduce(lambda state, i: body_fun(i, state), counters, init_val)
    init_val = map_leaves(session.as_tensor, init_val)
    counter = keras.KerasTensor((), "int32")
    # Before the body, as in `while_loop`.
    start = map_leaves(session.value_of, init_val)
    body = body_of(session, body_fun, (counter, init_val), may_change=True)
    return session.record_op("keras.ops.fori_loop", (lower, upper, body, start), {})


def map_over(session: Recorder, f: Any, xs: Any) -> Any:
    """Record `map`."""
    body = body_of(session, f, (map_leaves(_element, xs),))
    return session.record_op("keras.ops.map", (body, xs), {})


def vectorized_map(session: Recorder, function: Any, elements: Any) -> Any:
    """Record `vectorized_map`."""
    body = body_of(session, function, (map_leaves(_element, elements),))
    return session.record_op("keras.ops.vectorized_map", (body, elements), {})


def _scan(session: Recorder, f: Any, init: Any, xs: Any, length: Any, reverse: Any, unroll: Any) -> Any:
    init = map_leaves(session.as_tensor, init)
    body = body_of(session, f, (init, None if xs is None else map_leaves(_element, xs)))
    options = {"length": length, "reverse": reverse, "unroll": unroll}
    return session.record_op("keras.ops.scan", (body, init, xs), options)


def _associative_scan(session: Recorder, f: Any, elems: Any, reverse: Any, axis: Any) -> Any:
    """Record `associative_scan`, whose function is applied to parts of any length."""
    part = map_leaves(lambda x: _Part(x, axis), elems)
    body = body_of(session, f, (part, part))
    return session.record_op("keras.ops.associative_scan", (body, elems), {"reverse": reverse, "axis": axis})


RECORDERS: dict[str, Function] = {
    "cond": cond,
    "switch": _switch,
    "while_loop": while_loop,
    "fori_loop": _fori_loop,
    "map": map_over,
    "vectorized_map": vectorized_map,
    "scan": _scan,
    "associative_scan": _associative_scan,
}


class _Element:
    """What a body gets of a tensor that is gone through along its first axis."""

    def __init__(self, shape: tuple[Any, ...], dtype: str):
        self.shape, self.dtype = shape, dtype


class _Part:
    """What a body gets of a tensor of which it is given parts along an axis."""

    def __init__(self, x: object, axis: int):
        whole = _element(x, drop=0)
        shape: list[Any] = list(whole.shape)
        shape[axis] = None
        self.shape, self.dtype = tuple(shape), whole.dtype


PART_HINTS = (4, 6)
"""Example lengths of a part."""


def _element(x: Any, drop: int = 1) -> Any:
    shape = x.value.shape if isinstance(x, TracedTensor) else tuple(x.shape)
    dtype = x.value.dtype if isinstance(x, TracedTensor) else internals.standardize_dtype(x.dtype)
    return _Element(shape[drop:], dtype)


def body_of(
    session: Recorder,
    function: Function,
    arguments: Any,
    masks: list[Any] | None = None,
    *,
    may_change: bool = False,
) -> Body:
    """Run `function` on tensors like `arguments` and write down what it does.

    Args:
        session: The trace.
        function: The user's function.
        arguments: A tuple of structures of tensors (only their shapes and dtypes matter).
        masks: Takes the mask of each result, flat, None where it has none.
        may_change: Whether it may change them in place, because they are what it is called with first.
            They must not be read any more then.

    Raises:
        UnsupportedOperationError: It does more than calling functions of tensors.
    """
    graph, before = session.graph, session.effects.copy()
    start = len(graph.nodes)
    tensors = map_leaves(lambda x: x if x is None else _parameter(session, x), arguments)
    flat = [t.value for t in keras.tree.flatten(tensors) if t is not None]
    if masks is not None and keras.backend.backend() != "jax":
        _hand_on_masks(arguments, tensors)
    with session.inside_body():
        result = function(*tensors)
        outputs = map_leaves(lambda x: _result(session, x), result)
    nodes = graph.nodes[start:]
    own = {*flat, *(v for node in nodes for v in node.results)}
    if masks is not None:
        masks += (_outer_mask(x, own) for x in leaves_of(result))
    changed = set(session.effects.changed()) - set(before.changed())
    _require_no_effect(session, before, own, changed)
    changes_arguments = not changed.isdisjoint(flat)
    if changes_arguments and (not may_change or memory.any_shared(values_in(outputs))):
        raise _unsupported(session, "A body changes in place what may be read elsewhere.")
    # What the body changed is its own affair, but for its arguments, which are given up below.
    session.effects.forget_changes_since(before)
    body = _closed(session, flat, graph.take(start), outputs)
    if changes_arguments:
        given = [t.value for t in keras.tree.flatten(arguments) if isinstance(t, TracedTensor)]
        memory.give_up(session, given, body.captured)
    return body


def _hand_on_masks(arguments: Any, tensors: Any) -> None:
    """A branch is called with the very tensors, unless JAX makes new ones."""
    for x, tensor in zip(leaves_of(arguments), leaves_of(tensors), strict=True):
        mask = internals.mask_of(x)
        if mask is not None:
            internals.set_mask(tensor, mask)


def _outer_mask(x: object, own: set[Value]) -> Any:
    """The mask of a result of a body; for one that the body has made an object that is no other."""
    mask = internals.mask_of(x)
    return object() if getattr(mask, "value", None) in own else mask


def _require_no_effect(session: Recorder, before: Effects, own: set[Value], changed: set[Value]) -> None:
    """A body may ask about sizes from outside, which is checked there, and change tensors of its own."""
    asked = session.effects.guards[len(before.guards) :]
    inside = any(v in own for guard in asked for v in values_in(guard.sizes()))
    effects = session.effects.copy()
    effects.forget_changes_since(before)
    # Questions about sizes were looked at above; whatever else differs is an effect.
    if inside or changed - own or replace(effects, guards=before.guards) != before:
        raise _unsupported(session, "A body draws random numbers, asks about its sizes or changes state.")


def _parameter(session: Recorder, x: Any) -> Tensor:
    shape = x.value.shape if isinstance(x, TracedTensor) else tuple(x.shape)
    dtype = x.value.dtype if isinstance(x, TracedTensor) else internals.standardize_dtype(x.dtype)
    value = session.graph.add_input("argument", (), dtype)
    value.shape = tuple(Dim.axis(value, k, PART_HINTS) if d is None else d for k, d in enumerate(shape))
    return session.tensor_of(value)


def _result(session: Recorder, x: object) -> Any:
    is_plain = x is None or isinstance(x, (bool, int, float))
    return x if is_plain else session.value_of(x)


def _closed(session: Recorder, parameters: list[Value], nodes: list[Node], outputs: object) -> Body:
    """A body whose outer Values are replaced by inputs of its own."""
    for node in nodes:
        if node.function is None:
            raise _unsupported(session, f"A body does something that is no function: {node.name}.")
    own = {*parameters, *(v for node in nodes for v in node.results)}
    used = [v for n in nodes for v in n.inputs] + list(values_in(outputs))
    # Each once and in order: a saved body knows them by their numbers.
    captured = tuple(dict.fromkeys(v for v in used if v not in own))
    graph = Graph(session.graph.name, session.graph.inference)
    inner = {v: _inner(graph, v) for v in captured}
    graph.inputs = (tuple(parameters), tuple(inner.values()))

    def swap(value: Value) -> Value:
        return inner.get(value, value)

    for value in parameters:
        value.program = graph
    for node in nodes:
        node.args, node.kwargs = map_values(swap, (node.args, node.kwargs))
        graph.append(node)
    graph.outputs = map_values(swap, outputs)
    return Body(graph.check(), captured)


def _inner(graph: Graph, outer: Value) -> Value:
    """What stands for a captured Value inside: it has sizes of its own."""
    value = graph.add_input(outer.name, (), outer.dtype)
    value.shape = tuple(
        Dim.axis(value, k, d.hints) if isinstance(d, Dim) else d for k, d in enumerate(outer.shape)
    )
    return value


def _unsupported(session: Recorder, what: str) -> UnsupportedOperationError:
    return session.unsupported(what, why="how often a body runs is known only when the model runs")

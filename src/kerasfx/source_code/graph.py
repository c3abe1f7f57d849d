"""The calls of a Functional model, in an order in which a person could have made them."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import keras

from kerasfx.keras_api import internals
from kerasfx.keras_api.builtins import is_builtin
from kerasfx.runtime.function_layers import Op


@dataclass(frozen=True, eq=False)
class Call:
    """A call of a layer or operation.

    Attributes:
        operation: The layer or operation.
        args, kwargs: What it is called with, without masks that tensors carry by themselves.
        outputs: The symbolic tensors that it gives, in one list.
        needs: The symbolic tensors that it takes.
    """

    operation: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: list[Any]
    needs: list[Any]


def calls_of(model: keras.Model, ranks: dict[str, int]) -> list[Call]:
    """The calls that lead from the inputs to the outputs of a Functional model.

    Each comes after what it needs and after the call before of the same layer, since Keras counts them;
    beyond that they are as near as can be to their `ranks`, by name, or else one branch after the other.
    """
    found = _found(model)
    place = {id(node): ranks.get(node.operation.name, i) for i, node in enumerate(found)}
    after = _followers(found)
    waiting = {id(n): 0 for n in found}
    for follower in (f for fs in after.values() for f in fs):
        waiting[id(follower)] += 1
    number = {id(node): i for i, node in enumerate(found)}
    ready = [(place[id(n)], number[id(n)]) for n in found if not waiting[id(n)]]
    heapq.heapify(ready)
    result = []
    while ready:
        _, i = heapq.heappop(ready)
        result.append(found[i])
        for follower in after[id(found[i])]:
            waiting[id(follower)] -= 1
            if not waiting[id(follower)]:
                heapq.heappush(ready, (place[id(follower)], number[id(follower)]))
    return [_call(node) for node in result]


def _found(model: keras.Model) -> list[Any]:
    """Keras's nodes behind the outputs, each after those that it needs, a branch at a time."""
    inputs = {id(t) for t in model.inputs}
    done: dict[int, Any] = {}
    waiting = [(t, False) for t in reversed(model.outputs)]
    while waiting:
        tensor, is_ready = waiting.pop()
        node = internals.call_that_made(tensor).node
        if id(tensor) in inputs or id(node) in done:
            continue
        if is_ready:
            done[id(node)] = node
        else:
            waiting.append((tensor, True))
            waiting.extend((t, False) for t in reversed(_needs(node)))
    return list(done.values())


def _followers(nodes: list[Any]) -> dict[int, list[Any]]:
    """For each node those that have to come after it."""
    makers = {id(t): node for node in nodes for t in node.outputs}
    found: dict[int, list[Any]] = defaultdict(list)
    own: dict[int, list[Any]] = defaultdict(list)
    for node in nodes:
        for maker in {id(makers[id(t)]): makers[id(t)] for t in _needs(node) if id(t) in makers}.values():
            found[id(maker)].append(node)
        own[id(node.operation)].append(node)
    for calls in own.values():
        order = {id(n): i for i, n in enumerate(internals.calls_of(calls[0].operation))}
        calls.sort(key=lambda n: order[id(n)])
        for first, second in pairwise(calls):
            found[id(first)].append(second)
    return found


def _needs(node: Any) -> list[Any]:
    return _tensors((node.arguments.args, _told(node)))


def _tensors(x: Any) -> list[Any]:
    return [t for t in keras.tree.flatten(x) if isinstance(t, keras.KerasTensor)]


def _told(node: Any) -> dict[str, Any]:
    """The keyword arguments of a call, without those that Keras fills in where none is given."""
    args = node.arguments.args
    kwargs = {k: x for k, x in node.arguments.kwargs.items() if x is not None}
    if kwargs.get("training") is False and not _trains_by_default(node.operation):
        del kwargs["training"]
    carried = [m for m in map(internals.mask_of, _tensors((args, kwargs))) if m is not None]
    return {k: x for k, x in kwargs.items() if not (k.endswith("mask") and _is_carried(x, carried))}


def _is_carried(mask: Any, carried: list[Any]) -> bool:
    """Whether a mask, or each of several, is one that a tensor of the call carries by itself."""
    given = [m for m in keras.tree.flatten(mask) if m is not None]
    are_symbolic = all(isinstance(m, keras.KerasTensor) for m in given)
    return are_symbolic and all(any(internals.is_made_alike(m, own) for own in carried) for m in given)


def _trains_by_default(operation: Any) -> bool:
    return isinstance(operation, keras.layers.Layer) and internals.trains_by_default(operation)


def _call(node: Any) -> Call:
    return Call(node.operation, node.arguments.args, _told(node), node.outputs, _needs(node))


def structure_of(call: Call) -> Any:
    """What the call returns, with the position of each tensor in `outputs` as leaves; None if unknown."""
    if len(call.outputs) == 1 and _gives_a_tensor(call.operation):
        return 0
    count = iter(range(len(call.outputs)))
    try:
        spec = call.operation.compute_output_spec(*call.args, **call.kwargs)
    # A layer of anybody's, which may want more than it was called with.
    except Exception:
        return None
    return keras.tree.map_structure(lambda _: next(count), spec)


def _gives_a_tensor(operation: Any) -> bool:
    return is_builtin(type(operation)) and not isinstance(operation, Op)


def in_two_places(model: keras.Model) -> Iterator[tuple[keras.layers.Layer, str]]:
    """The layers that have weights of another one, or stand in two models, each with what is so."""
    owners: dict[int, tuple[str, keras.Model]] = {}
    waiting, seen = [model], {id(model)}
    while waiting:
        outer = waiting.pop()
        for layer in _layers(outer):
            is_model = isinstance(layer, (internals.Functional, keras.Sequential))
            if is_model and id(layer) not in seen:
                waiting.append(layer)
                seen.add(id(layer))
            for part in [layer] if is_model else [layer, *layer.variables]:
                name, where = owners.setdefault(id(part), (layer.name, outer))
                if where is not outer and part is layer and layer.variables:
                    yield layer, f"'{name}' is in '{where.name}' and in '{outer.name}'"
                if where is outer and name != layer.name:
                    yield layer, f"'{layer.name}' has a weight of '{name}'"


def _layers(model: keras.Model) -> list[Any]:
    operations = (
        model.layers if isinstance(model, keras.Sequential) else internals.operations_but_masks(model)
    )
    return [x for x in operations if isinstance(x, keras.layers.Layer)]

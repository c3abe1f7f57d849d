"""How far what a rule puts there is from what it found, on random numbers of the example sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kerasfx.ir import Graph, LayerSpec, Node, Value, map_leaves
from kerasfx.ir.dims import Dim, hint
from kerasfx.ir.match import Match
from kerasfx.ir.program import Captures
from kerasfx.ir.structure import leaves_of
from kerasfx.ir.targets import weights_by_name
from kerasfx.ir.weights import Computed
from kerasfx.keras_api import internals
from kerasfx.keras_api.arrays import largest_gap, to_numpy
from kerasfx.keras_api.random_state import random_state_kept
from kerasfx.runtime import functions
from kerasfx.runtime.layers import class_named

Replacement = tuple[LayerSpec, Any]
"""A layer without weights and what it takes: it is called where the function of the root was called."""


class NotMeasurableError(Exception):
    """A node is none that can be run by itself, as a layer of the user's."""


def largest_difference(
    graph: Graph, found: Match, new: Node | Value | Replacement, helpers: Sequence[Node] = ()
) -> float:
    """The largest absolute difference of the results, infinite where shapes differ or one alone is finite.

    The weights are those of the original; what else the calls take is drawn from a normal distribution.

    Args:
        graph: The graph, in which what was found still stands.
        found: What was found.
        new: What takes its place, and is in no graph yet.
        helpers: Nodes that were inserted for it, in order.

    Raises:
        NotMeasurableError: A node cannot be run by itself, or takes what the matched calls do not take.
    """
    matched = set(found.nodes)
    with internals.fresh_names(), internals.no_call_context(), random_state_kept():
        run = _Run()
        for node in (n for n in graph.nodes if n in matched):
            run.node(node)
        old = [run.tensors[v] for v in found.root.results]
        run.draws = False
        for node in helpers:
            run.node(node)
        results = _results(run, new)
    return max(_gap(a, b) for a, b in zip(map(to_numpy, old), map(to_numpy, results), strict=True))


def _results(run: _Run, new: Node | Value | Replacement) -> list[Any]:
    if isinstance(new, Node):
        run.node(new)
        return [run.tensors[v] for v in new.results]
    if isinstance(new, Value):
        return [run.value(new)]
    spec, tensors = new
    return list(leaves_of(_called(spec, {}, run.filled(((tensors,), {})))))


def _gap(a: np.ndarray, b: np.ndarray) -> float:
    return largest_gap(a, b) if a.shape == b.shape and a.dtype == b.dtype else math.inf


class _Run:
    """Runs nodes one after the other.

    Attributes:
        tensors: What is known by now: what the calls take, and what they give.
        draws: Whether a Value that is not known yet gets random numbers.
    """

    def __init__(self) -> None:
        self.tensors: dict[Value, Any] = {}
        self.draws = True
        self._random = np.random.default_rng(0)

    def node(self, node: Node) -> None:
        """Run one call."""
        arguments = self.filled((node.args, node.kwargs))
        if node.function is not None:
            args, kwargs = arguments
            results = functions.resolve(node.function)(*args, **kwargs)
        elif node.spec is not None:
            results = _called(node.spec, {n: self.array(v) for n, v in node.weights.items()}, arguments)
        else:
            raise NotMeasurableError(node.name)
        self.tensors.update(zip(node.results, leaves_of(results), strict=True))

    def filled(self, arguments: Any) -> Any:
        """Arguments with tensors and example sizes in their places."""
        return map_leaves(self._leaf, arguments)

    def _leaf(self, x: object) -> Any:
        if isinstance(x, Captures):
            raise NotMeasurableError("a body")
        return self.value(x) if isinstance(x, Value) else hint(x) if isinstance(x, Dim) else x

    def value(self, value: Value) -> Any:
        """The tensor of a Value."""
        if value not in self.tensors:
            self.tensors[value] = keras.ops.convert_to_tensor(self.array(value), dtype=value.dtype)
        return self.tensors[value]

    def array(self, value: Value) -> np.ndarray:
        """The array of a weight, or random numbers."""
        if isinstance(value.producer, Computed):
            return value.producer.expression.evaluate(self.array)
        if value.variable is not None:
            return to_numpy(value.variable)
        return self._drawn(value) if value.array is None else value.array

    def _drawn(self, value: Value) -> np.ndarray:
        if not self.draws:
            raise NotMeasurableError(f"{value.name} is taken, which was not")
        numbers = self._random.standard_normal([hint(d) for d in value.shape])
        if "float" in value.dtype or "complex" in value.dtype:
            return to_numpy(keras.ops.cast(numbers, value.dtype))
        # Of integers that index something, 0 is the one that is valid.
        return (numbers > 0).astype(bool) if value.dtype == "bool" else np.zeros(numbers.shape, value.dtype)


def _called(spec: LayerSpec, weights: dict[str, np.ndarray], arguments: Any) -> Any:
    """The results of a layer that is made, given its weights and called."""
    args, kwargs = arguments
    layer = class_named(spec.class_name)(**spec.config)
    # The first call builds it.
    results = layer(*args, **kwargs)
    for name, variable in weights_by_name(layer).items():
        variable.assign(weights[name])
    return layer(*args, **kwargs) if weights else results

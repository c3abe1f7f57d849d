"""Sizes of results that only seem to be known, because the example sizes do not reach the others.

A table of 32 rows cut at a free length, `table[:t]`, has 32 rows for both sets of example sizes where these
are longer. So the finished graph is gone through with other lengths of its inputs, and every size that it
says to be known has to come out again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kerasfx.errors import SizeDecisionError, describe
from kerasfx.ir import (
    Input,
    Node,
    Value,
    leaves_of,
    values_in,
)
from kerasfx.ir.build import Spec
from kerasfx.ir.dims import COMPARISONS, Dim, Question
from kerasfx.runtime import functions
from kerasfx.tracing import inference
from kerasfx.tracing.session import Session
from kerasfx.tracing.sizes.equal import KEEPING
from kerasfx.tracing.sizes.examples import Seeming

Shapes = dict[Value, tuple[Any, ...]]

PROBES: tuple[Callable[[int, Dim], int], ...] = (
    lambda k, length: 2 * k + 1,
    lambda k, length: 8 * (k + 1),
    lambda k, length: 4 * max(length.hints),
)
"""Other sizes for axis `k` of an input: few, some, many."""


class NotKnownError(Exception):
    """A call does not take the sizes at hand, or a size is that of such a call's result."""


def seeming_size(session: Session) -> Seeming | None:
    """The first size in the graph that is not as it says for other lengths of the inputs, or None."""
    lengths = [d for v in values_in(session.graph.inputs) for d in v.shape[1:] if isinstance(d, Dim)]
    with session.pause():
        found = (_Probe(session, size).run() for size in (PROBES if lengths else ()))
        return next((x for x in found if x is not None), None)


def only_seems_known(size: Seeming) -> SizeDecisionError:
    """The error for a size that no example sizes show to be free."""
    names = ", ".join(sorted({name for name, _ in size.others}))
    return SizeDecisionError(
        describe(
            f"{size.name}.shape[{size.axis}] is {size.size} for the example sizes, and another for others.",
            where=str(size.source or ""),
            why="a result that says it is known would be wrong for these",
            hint=f"give the sizes of {names} in the inputs, or example sizes for which it differs (hints=)",
        )
    )


class _Probe:
    """The shapes of all Values for other sizes of the inputs, as far as the calls take them."""

    def __init__(self, session: Session, size: Callable[[int, Dim], int]):
        graph = session.graph
        self.graph, self.guards = graph, session.effects.guards
        self.shapes: Shapes = {v: v.shape for v in (*graph.parameters, *graph.constants)}
        for value in values_in(graph.inputs):
            sizes = enumerate(value.shape)
            self.shapes[value] = tuple(
                d if isinstance(d, int) else (size(k, d) if k else d.hints[0]) for k, d in sizes
            )

    def run(self) -> Seeming | None:
        """The first size that is not as the graph says, if Python would have gone the same way."""
        for node in self.graph.nodes:
            try:
                wrong = self._follow(node)
            except NotKnownError:
                # No fault: these sizes are only tried. What follows from the result is not known either.
                continue
            if wrong is not None:
                # With another answer Python would have gone another way, and the graph is not of these sizes.
                return wrong if all(self._holds(guard.question) for guard in self.guards) else None
        return None

    def size(self, x: object) -> Any:
        """A Dim as a number."""
        return x.at(self._axis) if isinstance(x, Dim) else x

    def _axis(self, value: Value, k: int) -> int:
        if value not in self.shapes:
            raise NotKnownError
        return self.shapes[value][k]

    def _holds(self, question: Question) -> bool:
        """Whether Python would get the answer that it got; what is not known yet was not asked before."""
        try:
            sides = self.size(question.dim), self.size(question.other)
        except NotKnownError:
            return True
        return COMPARISONS[question.symbol](*sides) == question.answer

    def _follow(self, node: Node) -> Seeming | None:
        """Note the shapes of the results; returns a size that is not as the graph says."""
        if _is_known_by_rule(node):
            for value in node.results:
                self.shapes[value] = tuple(self.size(_rule(d)) for d in value.shape)
            return None
        specs = [s for s in leaves_of(self._specs(node)) if isinstance(s, Spec)]
        for value, spec in zip(node.results, specs, strict=True):
            for k, (said, size) in enumerate(zip(value.shape, spec.shape, strict=True)):
                if isinstance(said, int) and size is not None and said != size:
                    return Seeming(str(value.name), k, said, self._inputs_behind(value), node.source)
            # A layer kept whole may not know all of its sizes, even of known ones.
            if None not in spec.shape:
                self.shapes[value] = spec.shape
        return None

    def _specs(self, node: Node) -> Any:
        if any(v not in self.shapes for v in values_in((node.args, node.kwargs))):
            raise NotKnownError
        return specs_at(node, self.size)

    def _inputs_behind(self, value: Value) -> dict[tuple[str, int], int]:
        """The free lengths of inputs that `value` is computed from, and what they are here."""
        waiting, seen = [value], set()
        while waiting:
            one = waiting.pop()
            if one not in seen:
                seen.add(one)
                waiting.extend(one.node.inputs if one.node else ())
        return {
            (v.producer.name, k): self.shapes[v][k]
            for v in seen
            if isinstance(v.producer, Input)
            for k, d in enumerate(v.shape)
            if k and isinstance(d, Dim)
        }


def specs_at(node: Node, size: inference.SizeOf) -> Any:
    """What a node gives for the sizes that `size` says, a structure of `Spec`.

    Raises:
        NotKnownError: It does not take these sizes, or is no call that can be asked.
    """
    try:
        if node.function:
            kwargs = inference.without_draw(node.function, node.kwargs)
            return inference.specs_of_call(functions.resolve(node.function), node.args, kwargs, size)
        if node.layer is not None:
            return inference.specs_of_layer(node.layer, node.args, node.kwargs, size)
    except Exception as error:  # whatever Keras, the backend or a layer says to sizes that do not fit
        raise NotKnownError from error
    raise NotKnownError


def _rule(size: object) -> Any:
    return size.equal if isinstance(size, Dim) and size.op == "axis" else size


def _is_known_by_rule(node: Node) -> bool:
    """Whether no size of the results was found by looking at example sizes."""
    if node.layer is not None or (node.function and node.function not in KEEPING):
        return False
    sizes = [_rule(d) for v in node.results for d in v.shape]
    return None not in sizes

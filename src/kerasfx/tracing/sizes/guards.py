"""What Python asked about free sizes: the answers, and the checks that repeat the questions at run time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from kerasfx.errors import describe
from kerasfx.ir import (
    Graph,
    Input,
    LayerSpec,
    Node,
    SourceLine,
    Value,
    map_leaves,
    map_values,
    values_in,
)
from kerasfx.ir.build import give_result_like
from kerasfx.ir.dims import COMPARISONS, Dim, Question
from kerasfx.reporting import Finding
from kerasfx.tracing.encoding import encode


@dataclass(frozen=True, eq=False)
class Guard:
    """A question about a free size, whose answer must be the same whenever the model is called.

    Attributes:
        question: The comparison with its answer.
        path: Path of the layer whose code asked.
        source: The line that asked.
        wanted: The number that Python wanted, as text, if it was no comparison that it asked for.
    """

    question: Question
    path: str
    source: SourceLine | None
    wanted: str = ""

    def __str__(self) -> str:
        return f"{self.question} is {self.question.answer}"

    @property
    def finding(self) -> Finding:
        """What the report says."""
        if not self.wanted:
            return Finding("guard", self.path, str(self), self.source)
        what = f"{self.wanted} is read; the result works for {self.question} alone, as hints= says"
        return Finding("fixed", self.path, what, self.source)

    def sizes(self) -> list[Any]:
        """Both sides of the comparison, said by the earliest Values."""
        sides = (self.question.dim, self.question.other)
        return [side.origin() if isinstance(side, Dim) else side for side in sides]

    def of(self, same: dict[Value, Value]) -> Guard:
        """The same guard, of the Values that those of it were found to equal."""
        question = self.question
        dim, other = map_values(lambda v: same.get(v, v), (question.dim, question.other))
        return replace(self, question=replace(question, dim=dim, other=other))

    def condition(self, values: list[Value]) -> dict[str, Any]:
        """The comparison for a `CheckSizes` layer that takes `values`."""
        return {
            "sides": [encode(side, values.index) for side in self.sizes()],
            "symbol": self.question.symbol,
            "answer": self.question.answer,
            "text": f"{self} ({self.source or self.path})",
        }


def guards_for(question: Question, path: str, source: SourceLine | None) -> list[Guard]:
    """The guards that make the answer to `question` right; a number that is read fixes the sizes."""
    if question.symbol in COMPARISONS:
        return [Guard(question, path, source)]
    # A float may come out otherwise on another machine, the sizes that it is computed from may not.
    sizes = [question.dim] if question.dim.is_whole else list(question.dim.axes())
    return [Guard(Question(d, "==", d.hints[0], True), path, source, str(question)) for d in sizes]


def may_answer(question: Question, hinted: set[str]) -> bool:
    """Whether Python may have the answer: any comparison's, and a number where the user gave the sizes.

    Args:
        question: What Python asks.
        hinted: Names of the inputs whose sizes the user gave.
    """
    names = {_input_name(v) for v in inputs_behind(question.dim)}
    # A size that comes from no input depends on data, which no hint fixes.
    return question.symbol in COMPARISONS or bool(names and names <= hinted)


def refusal(question: Question, where: str, keep: str) -> str:
    """What to say to code that wants the number; `keep` says how to keep its layer whole."""
    sizes = ", ".join(f'"{_input_name(v)}": {_offered(v)}' for v in inputs_behind(question.dim))
    hints = f"hints={{{sizes}}} for a model of that size alone, or " if sizes else ""
    stays_free = " (t ** 0.5, t / 2 and ops.cast(t, dtype) stay free)" if question.symbol == "float" else ""
    return describe(
        f"Python asks for {question}, and the size is free.",
        where=where,
        why=f"the value for the example sizes ({question.answer}) would be wrong for others{stays_free}",
        hint=f"{hints}give the dimension a size in the inputs, or {keep}",
    )


def _offered(value: Value) -> tuple[int, ...]:
    return tuple((2 if k == 0 else 128) if isinstance(d, Dim) else d for k, d in enumerate(value.shape))


def _input_name(value: Value) -> str:
    assert isinstance(value.producer, Input)
    return value.producer.name


def inputs_behind(dim: Dim) -> Iterator[Value]:
    """Yield the inputs with free sizes that a size comes from."""
    waiting, seen = list(dim.origin().values()), set()
    while waiting:
        value = waiting.pop()
        if value in seen:
            continue
        seen.add(value)
        if value.node:
            waiting.extend(value.node.inputs)
        elif isinstance(value.producer, Input) and any(isinstance(d, Dim) for d in value.shape):
            yield value


def fixed_sizes(value: Value, sizes: dict[int, int]) -> Node:
    """A check that some axes of an input have the sizes given, which its result has for certain."""
    guards = [Guard(Question(_axis(value, k, n), "==", n, True), value.name, None) for k, n in sizes.items()]
    shape = [sizes.get(k, None if isinstance(d, Dim) else d) for k, d in enumerate(value.shape)]
    config = {"conditions": [g.condition([value]) for g in guards], "shape": shape}
    return Node(f"{value.name}_fixed", LayerSpec("kerasfx.layers.CheckSizes", config), ([value, value],), {})


def _axis(value: Value, k: int, n: int) -> Dim:
    return Dim.axis(value, k, (n, n))


def check_early(graph: Graph, guards: list[Guard]) -> None:
    """Put `CheckSizes` layers in front of everything that uses the tensors whose sizes were asked about."""
    groups: dict[Value | None, list[Guard]] = defaultdict(list)
    needed = graph.needed()
    # Code in a loop, or in one layer after the other, asks the same again.
    for guard in {str(g): g for g in guards}.values():
        groups[_anchor(graph, guard, needed)].append(guard)
    for anchor, group in groups.items():
        _insert_check(graph, anchor, group)


def _anchor(graph: Graph, guard: Guard, needed: set[Value]) -> Value | None:
    """The Value that the check holds back: the last of those asked about, if an output needs it."""
    values = list(values_in(guard.sizes()))
    last = max(_position(graph, v) for v in values)
    # A check of inputs alone may hold back any of them.
    inputs = values_in(graph.inputs) if last < 0 else ()
    candidates = [v for v in values if _position(graph, v) == last]
    return next((v for v in (*candidates, *inputs) if v in needed), None)


def _position(graph: Graph, value: Value) -> int:
    # Inputs, and weights, are there before all nodes.
    return graph.nodes.index(value.node) if value.node else -1


def _insert_check(graph: Graph, anchor: Value | None, guards: list[Guard]) -> None:
    # Where no output needs what was asked about, the check holds back an output instead.
    held = next(iter(values_in(graph.outputs))) if anchor is None else anchor
    values = list(dict.fromkeys(v for g in guards for v in values_in(g.sizes())))
    conditions = [g.condition(values) for g in guards]
    target = LayerSpec("kerasfx.layers.CheckSizes", {"conditions": conditions})
    node = Node(graph.unique_name(f"{held.name}_check_sizes"), target, ([held, *values],), {})
    checked = give_result_like(node, held)
    if anchor is None:
        graph.append(node)
        graph.outputs = map_leaves(lambda v: checked if v is held else v, graph.outputs)
        graph.output_masks[checked] = graph.output_masks.pop(held, None)
    else:
        graph.insert(_position(graph, anchor) + 1, node)
        graph.replace_uses(anchor, checked, except_=[node])

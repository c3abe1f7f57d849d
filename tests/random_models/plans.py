"""A model as plain data: which steps the layers take, in which style, and how the model is prepared.

A step names no tensors, but says how far back to look for some that fit it, and one that finds none is left
out. So each plan is a model, and one with any part removed as well, which is what makes plans shrink.
"""

import dataclasses
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.random_models.options import OPTIONS
from tests.random_models.steps import KINDS_BY_FIELD

INPUTS = ("flat", "sequence", "free", "tokens", "masked", "pair", "dict", "keyword", "image", "words")
"""The forms of the inputs: shapes and dtypes, what is free, and how they are handed over."""

FIELDS = sorted(KINDS_BY_FIELD)

TOPS = ("model", "layer", "functional")
"""What is prepared: a subclassed model, a layer alone, or a Functional model around one."""


@dataclass(frozen=True)
class Step:
    """One step of a layer.

    Attributes:
        kind: The field of the step and its name.
        a: How far back the search for the first tensor begins.
        b: The same for the second.
        number: Chooses among the ways in which the step can be written.
    """

    kind: str
    a: int = 0
    b: int = 0
    number: int = 0


@dataclass(frozen=True)
class Block:
    """A custom layer: its steps, the layers that these may call, and numbers that choose its style."""

    steps: tuple[Step, ...] = ()
    inner: tuple["Block", ...] = ()
    owns: int = 0
    style: int = 0
    returns: int = 0


@dataclass(frozen=True)
class Plan:
    """A model, and how it is prepared."""

    body: Block
    inputs: str = "flat"
    top: str = "model"
    is_built: bool = True
    is_given_arrays: bool = False
    lower: bool | str = True
    weights: str = "copy"
    option: str = ""

    def to_json(self) -> str:
        """The plan in one line."""
        return json.dumps(_as_lists(self), separators=(",", ":"))


def from_json(line: str) -> Plan:
    """The plan that a line says."""
    body, *options = json.loads(line)
    return Plan(_block(body), *options)


def _as_lists(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return [_as_lists(getattr(value, field.name)) for field in dataclasses.fields(value)]
    return [_as_lists(x) for x in value] if isinstance(value, tuple) else value


def _block(value: list[Any]) -> Block:
    steps, inner, *numbers = value
    return Block(tuple(Step(*step) for step in steps), tuple(map(_block, inner)), *numbers)


Choose = Callable[[int], int]
"""`choose(n)` is a number below n, and 0 the simplest."""


def drawn(choose: Choose) -> Plan:
    """A plan, by whoever chooses: Hypothesis, or random numbers alone."""
    body = _drawn_block(choose, depth=0)
    inputs, top = INPUTS[choose(len(INPUTS))], TOPS[choose(len(TOPS))]
    is_built, is_given_arrays = not choose(2), choose(4) == 3
    lower, weights = (True, False, "fast")[choose(3)], ("copy", "share")[choose(2)]
    # One in two is prepared without any.
    names = [*OPTIONS, *[""] * len(OPTIONS)]
    option = names[choose(len(names))]
    # It is for models of one argument.
    if option == "class" and (top == "layer" or inputs == "keyword"):
        option = ""
    return Plan(body, inputs, top, is_built, is_given_arrays, lower, weights, option)


def _drawn_block(choose: Choose, depth: int) -> Block:
    inner = tuple(_drawn_block(choose, depth + 1) for _ in range(choose(3) if depth < 2 else 0))
    steps = tuple(_drawn_step(choose) for _ in range(1 + choose((7, 4, 3)[depth])))
    return Block(steps, inner, choose(6), choose(24), choose(6))


def _drawn_step(choose: Choose) -> Step:
    # By field first: some have few steps and are no rarer for it.
    field = FIELDS[choose(len(FIELDS))]
    names = sorted(KINDS_BY_FIELD[field])
    return Step(f"{field}.{names[choose(len(names))]}", choose(4), choose(4), choose(12))


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Plans, as Hypothesis chooses."""
    return drawn(lambda n: draw(st.integers(0, n - 1)))


def numbered(seed: int, number: int) -> Plan:
    """The plan of a number, which depends on nothing else but the seed."""
    return drawn(random.Random(f"{seed} {number}").randrange)

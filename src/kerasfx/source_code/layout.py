"""Expressions of Python, and how they are laid out: as ruff and black would lay them out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

WIDTH = 88
"""The length of a line, which is that of ruff and black where nobody says another."""

STEP = "    "


@dataclass(frozen=True)
class Text:
    """An expression that stays on one line.

    Attributes:
        text: The expression.
    """

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Brackets:
    """Items between brackets: a call, a list, a tuple or a dict.

    Attributes:
        head: What stands before the bracket, as what is called.
        items: Each with what stands before it: `name=`, `"key": ` or nothing.
        pair: The brackets.
    """

    head: Expression
    items: tuple[tuple[str, Expression], ...]
    pair: str = "()"

    def __str__(self) -> str:
        inside = ", ".join(f"{before}{x}" for before, x in self.items)
        is_lone = self.pair == "()" and len(self.items) == 1 and str(self.head) == ""
        return f"{self.head}{self.pair[0]}{inside}{',' if is_lone else ''}{self.pair[1]}"


Expression = Text | Brackets

NOTHING = Text("")


def call(head: Expression | str, *args: Expression, **kwargs: Expression) -> Brackets:
    """A call."""
    items = [("", x) for x in args] + [(f"{k}=", x) for k, x in kwargs.items()]
    return Brackets(Text(head) if isinstance(head, str) else head, tuple(items))


def lines(expression: Expression, before: str = "", after: str = "", indent: str = STEP) -> Iterator[str]:
    """The lines of an expression between two texts.

    What fits on a line is on one; otherwise each item has a line of its own, with a comma behind it, which
    tells formatters to leave it so.
    """
    flat = f"{indent}{before}{expression}{after}"
    if len(flat) <= WIDTH or isinstance(expression, Text) or not expression.items:
        yield flat
    elif before.endswith(" = ") and len(f"{indent}{before}{_first(expression)}") > WIDTH:
        yield f"{indent}{before}("
        yield from lines(expression, indent=indent + STEP)
        yield f"{indent})"
    elif isinstance(expression.head, Brackets) and expression.head.items:
        *first, last = _spread(expression.head, before, "", indent)
        yield from first
        rest = Brackets(Text(last.strip()), expression.items, expression.pair)
        yield from lines(rest, "", after, indent)
    else:
        yield from _spread(expression, before, after, indent)


def _first(expression: Brackets) -> str:
    """What stands on the first line of an expression that takes several."""
    head = expression.head
    return _first(head) if isinstance(head, Brackets) and head.items else f"{head}{expression.pair[0]}"


def _spread(expression: Brackets, before: str, after: str, indent: str) -> Iterator[str]:
    yield f"{indent}{before}{expression.head}{expression.pair[0]}"
    for name, item in expression.items:
        yield from lines(item, name, ",", indent + STEP)
    yield f"{indent}{expression.pair[1]}{after}"

"""What the source of `call` says that running it does not: values that it branches on."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from kerasfx.ir import SourceLine
from kerasfx.trace.where import line_at

Function = Callable[..., Any]

PLAIN = (bool, int, float, str, type(None))
TESTS = (ast.If, ast.IfExp, ast.While)


@dataclass(frozen=True)
class Reading:
    """An attribute that decides which code runs.

    Attributes:
        name: As it is written: `"self.use_bias"`.
        attributes: The attributes to follow from the layer.
        source: The line.
    """

    name: str
    attributes: tuple[str, ...]
    source: SourceLine


def values_branched_on(layer: Any) -> Iterator[tuple[Reading, Any]]:
    """The attributes of `layer` that its `call` branches on, and their values: numbers, words or None."""
    for reading in _readings(type(layer)):
        try:
            value = functools.reduce(getattr, reading.attributes, layer)
        except Exception:  # a property may raise, and its line may never run
            continue
        if isinstance(value, PLAIN):
            yield reading, value


@functools.cache
def identity_test_of_training(cls: type) -> SourceLine | None:
    """The line where the `call` of `cls` asks `training is True`, or `is False`; None if there is none."""
    for function, tree in _functions(cls):
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare) and _is_identity_test(node):
                return _line(function, node)
    return None


def _is_identity_test(node: ast.Compare) -> bool:
    sides = [node.left, *node.comparators]
    asks = any(isinstance(op, (ast.Is, ast.IsNot)) for op in node.ops)
    about_training = any(isinstance(x, ast.Name) and x.id == "training" for x in sides)
    return asks and about_training and any(isinstance(getattr(x, "value", None), bool) for x in sides)


@functools.cache
def _readings(cls: type) -> tuple[Reading, ...]:
    found: dict[Reading, None] = {}
    for function, tree in _functions(cls):
        owner = next(iter(inspect.signature(function).parameters), "")
        tests = [node.test for node in ast.walk(tree) if isinstance(node, TESTS)]
        for node in (x for test in tests for x in ast.walk(test)):
            chain = _chain(node, owner)
            if chain:
                found[Reading(".".join(("self", *chain)), chain, _line(function, node))] = None
    longer = {r.attributes[:-1] for r in found}
    return tuple(r for r in found if r.attributes not in longer)


def _functions(cls: type) -> Iterator[tuple[Function, ast.AST]]:
    """`call` and the methods that it calls, each with its syntax tree; without those of Keras."""
    names, seen = ["call"], {"call"}
    while names:
        function: Any = getattr(cls, names.pop(), None)
        function = inspect.unwrap(function) if callable(function) else None
        tree = _tree(function)
        if tree is None:
            continue
        yield function, tree
        for node in ast.walk(tree):
            chain = _chain(node.func, "self") if isinstance(node, ast.Call) else ()
            if len(chain) == 1 and chain[0] not in seen:
                seen.add(chain[0])
                names.append(chain[0])


def _tree(function: Any) -> ast.AST | None:
    is_users = inspect.isfunction(function) and not function.__module__.startswith("keras.")
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function))) if is_users else None
    except (OSError, SyntaxError, TypeError):  # no source, or not a statement of its own, as a lambda
        return None


def _chain(node: ast.AST, owner: str) -> tuple[str, ...]:
    """`("a", "b")` for `self.a.b`, else nothing."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return tuple(reversed(names)) if isinstance(node, ast.Name) and node.id == owner else ()


def _line(function: Any, node: Any) -> SourceLine:
    return line_at(function.__code__.co_filename, function.__code__.co_firstlineno + node.lineno - 1)

"""What the source of `call` says that running it does not: values that it branches on."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
import tokenize
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import keras

from kerasfx.ir import SourceLine
from kerasfx.keras_api.internals import module_of
from kerasfx.reporting import Finding
from kerasfx.tracing.where import line_at

Function = Callable[..., Any]

PLAIN = (bool, int, float, str, type(None))
TESTS = (ast.If, ast.IfExp, ast.While)


@dataclass(frozen=True)
class Reading:
    """What decides which code runs: an attribute, or that a tensor is symbolic.

    Attributes:
        name: As it is written: `"self.use_bias"`, `"isinstance(x, keras.KerasTensor)"`.
        attributes: The attributes to follow from the layer; none for a tensor.
        source: The line.
    """

    name: str
    attributes: tuple[str, ...]
    source: SourceLine


class Read(NamedTuple):
    """An attribute that the layer at `path`, of the class `kind`, branched on, and its value."""

    path: str
    kind: str
    reading: Reading
    value: Any


@dataclass(frozen=True)
class _Source:
    """What is to be known of the source of a `call`, and of the methods that it calls."""

    readings: tuple[Reading, ...]
    identity_test: SourceLine | None
    none_test: SourceLine | None


# By class, which it does not keep alive.
_sources: WeakKeyDictionary[type, _Source] = WeakKeyDictionary()


def values_branched_on(layer: keras.Layer, path: str) -> Iterator[Read]:
    """The attributes that `call` of `layer` branches on, if their values are numbers, words or None."""
    for reading in _source(type(layer)).readings:
        try:
            # A tensor of the trace is symbolic, and one of a model that runs is not.
            value = not reading.attributes or functools.reduce(getattr, reading.attributes, layer)
        except Exception:  # a property may raise, and its line may never run
            continue
        if isinstance(value, PLAIN):
            yield Read(path, type(layer).__name__, reading, value)


def findings(read: Iterable[Read], opened: Collection[str]) -> Iterator[Finding]:
    """A line for each attribute and value that decided which code runs in the layers that were opened."""
    paths: dict[tuple[Any, ...], list[str]] = {}
    for path, kind, reading, value in read:
        if path in opened:
            # With the type, since 1, 1.0 and True are equal.
            paths.setdefault((kind, reading, type(value), value), []).append(path)
    for (kind, reading, _, value), where in paths.items():
        others = len(set(where)) - 1
        also = f", also in {others} more {kind}" if others else ""
        yield Finding("fixed", where[0], f"{reading.name} is {value!r}{also}", reading.source)


def identity_test_of_training(cls: type) -> SourceLine | None:
    """The line where the `call` of `cls` asks `training is True`, or `is False`; None if there is none."""
    return _source(cls).identity_test


def none_test_of_training(cls: type) -> SourceLine | None:
    """The line where the `call` of `cls` asks `training is None`; None if there is none.

    What stands for `training` while tracing is never None: code that runs in a bare call alone is not seen.
    """
    return _source(cls).none_test


def _source(cls: type) -> _Source:
    if cls not in _sources:
        functions = list(_functions(cls))
        _sources[cls] = _Source(
            _readings(functions), _test_of(functions, _is_identity_test), _test_of(functions, _is_none_test)
        )
    return _sources[cls]


def _test_of(
    functions: list[tuple[Function, ast.AST]], is_meant: Callable[[ast.Compare], bool]
) -> SourceLine | None:
    for function, tree in functions:
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare) and is_meant(node):
                return _line(function, node)
    return None


def _is_identity_test(node: ast.Compare) -> bool:
    sides = [node.left, *node.comparators]
    asks = any(isinstance(op, (ast.Is, ast.IsNot)) for op in node.ops)
    return asks and _names_training(sides) and any(isinstance(getattr(x, "value", None), bool) for x in sides)


def _is_none_test(node: ast.Compare) -> bool:
    sides = [node.left, *node.comparators]
    return _names_training(sides) and any(isinstance(x, ast.Constant) and x.value is None for x in sides)


def _names_training(sides: list[ast.expr]) -> bool:
    return any(isinstance(x, ast.Name) and x.id == "training" for x in sides)


def _readings(functions: list[tuple[Function, ast.AST]]) -> tuple[Reading, ...]:
    found: dict[Reading, None] = {}
    for function, tree in functions:
        owner = next(iter(inspect.signature(function).parameters), "")
        tests = [node.test for node in ast.walk(tree) if isinstance(node, TESTS)]
        for node in (x for test in tests for x in ast.walk(test)):
            chain = _chain(node, owner)
            if chain:
                found[Reading(".".join(("self", *chain)), chain, _line(function, node))] = None
            if _asks_for_symbolic(node):
                found[Reading(ast.unparse(node), (), _line(function, node))] = None
    # The `self.a` in `self.a.b` is no reading of its own.
    longer = {r.attributes[:-1] for r in found if len(r.attributes) > 1}
    return tuple(r for r in found if r.attributes not in longer)


def _asks_for_symbolic(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    called = ast.unparse(node.func).rpartition(".")[2]
    is_isinstance = called == "isinstance" and "KerasTensor" in ast.unparse(node.args[-1])
    return is_isinstance or called == "is_keras_tensor"


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
    is_users = inspect.isfunction(function) and not module_of(function).startswith("keras.")
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function))) if is_users else None
    # No source, or not that of the function, or not a statement of its own, as a lambda.
    except (OSError, SyntaxError, TypeError, ValueError, tokenize.TokenError):
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

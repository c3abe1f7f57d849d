"""Patterns: what a pass looks for, written as the calls that it is.

    dense = op.add(op.matmul(any_("x"), parameter("kernel")), parameter("bias"))
    for graph, found in dense.find(graph):
        found["x"], found["kernel"], found.root

A pattern of a call means what the call means: an argument that it leaves out has its default. What is found
inside is used by nothing else, unless `shared()` says that it may be, so that a pass can take it away.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

import numpy as np

from kerasfx.ir.graph import Graph
from kerasfx.ir.program import Node, Value, is_same
from kerasfx.ir.structure import shown

ORDERLESS = "add multiply maximum minimum equal not_equal logical_and logical_or logical_xor"
COMMUTATIVE = frozenset(f"keras.ops.{name}" for name in ORDERLESS.split())
SAME = {f"keras.ops.{a}": f"keras.ops.{b}" for a, b in (("true_divide", "divide"), ("abs", "absolute"))}
"""Functions that have two names: Python's `/` is the first, what an author of a pass writes the second."""

RTOL = 1e-6
"""A constant of float32 is this near to the number that its author meant."""

Predicate = Callable[[Any], bool]
Args = tuple[object, ...]
Kwargs = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Match:
    """What a pattern found: `match["x"]` is the Value or number of that name, or the Node of a call.

    Attributes:
        captures: What has a name.
        nodes: The Nodes of the pattern's calls, that of the outermost first.
        shared: Those that others may use.
    """

    captures: dict[str, Any] = field(default_factory=dict)
    nodes: tuple[Node, ...] = ()
    shared: frozenset[Node] = frozenset()

    @property
    def root(self) -> Node:
        """The Node of the outermost call."""
        return self.nodes[0]

    def __getitem__(self, name: str) -> Any:
        return self.captures[name]

    def __contains__(self, name: str) -> bool:
        return name in self.captures


Refuse = Callable[[Match, str], None]
"""Is told what was found until a part did not fit, and why that did not."""
Tries = Callable[[Any, Match, Refuse], Iterator[Match]]
"""Yields each way in which something fits, added to what was found before."""


@dataclass(frozen=True, eq=False)
class Pattern:
    """What a pass looks for; `op`, `layer`, `any_`, `parameter`, `constant` and `either` make one."""

    tries: Tries

    def match(self, node: Node, no: Refuse = lambda found, why: None) -> Match | None:
        """What is found if the outermost call is `node`, or None."""
        # Where one way uses what others use as well, another may not.
        return next((found for found in self.tries(node, Match(), no) if _is_alone(found, no)), None)

    def why_not(self, node: Node) -> str:
        """Why the pattern does not fit `node`, of the attempt that came furthest; "" where it fits."""
        reasons: list[tuple[int, str]] = []
        found = self.match(node, lambda found, why: reasons.append((len(found.nodes), why)))
        return "" if found else max(reasons, key=lambda reason: reason[0])[1]

    def find(self, graph: Graph) -> Iterator[tuple[Graph, Match]]:
        """Yield what is found, in bodies too, each with the graph that it is in, which may be edited."""
        for place, node in graph.walk():
            # What an edit took away since the walk began is in no graph.
            found = self.match(node) if node.program is place else None
            if found is not None:
                yield place, found

    def named(self, name: str) -> Pattern:
        """The same, and what fits gets a name: a Node if it is a call. What has one name is one thing."""

        def tries(x: object, found: Match, no: Refuse) -> Iterator[Match]:
            for way in self.tries(x, found, no):
                # The node of a call is noted before those inside of it.
                thing = way.nodes[len(found.nodes)] if len(way.nodes) > len(found.nodes) else x
                if name not in way or is_same(way[name], thing):
                    yield replace(way, captures={**way.captures, name: thing})
                else:
                    no(way, f"{_shown(thing)} is not {_shown(way[name])}, which is '{name}' as well")

        return Pattern(tries)

    def shared(self) -> Pattern:
        """The same call, and others may use its result."""

        def tries(x: object, found: Match, no: Refuse) -> Iterator[Match]:
            for way in self.tries(x, found, no):
                yield replace(way, shared=way.shared | set(way.nodes[len(found.nodes) :][:1]))

        return Pattern(tries)

    def result(self, k: int) -> Pattern:
        """The result number `k` of a call that gives several."""

        def tries(x: object, found: Match, no: Refuse) -> Iterator[Match]:
            node = x.node if isinstance(x, Value) else None
            if node is not None and k < len(node.results) and node.results[k] is x:
                yield from self.tries(node, found, no)
            else:
                no(found, f"{_shown(x)} is not result {k} of a call")

        return Pattern(tries)


def any_(name: str = "", where: Predicate = lambda x: True, what: str = "what `where` asks for") -> Pattern:
    """Any Value or argument, or what `where` is true for: `any_("x", lambda x: len(x.shape) == 2)`."""

    def tries(x: object, found: Match, no: Refuse) -> Iterator[Match]:
        if _holds(where, x):
            yield found
        else:
            no(found, f"{_shown(x)} is not {what}")

    return Pattern(tries).named(name) if name else Pattern(tries)


def _holds(where: Predicate, x: object) -> bool:
    """Whether `where` is true: it may ask a number or a flag for what only Values have."""
    try:
        return bool(where(x))
    except (AttributeError, TypeError):
        if isinstance(x, Value):
            raise
        return False


def parameter(name: str = "", where: Predicate = lambda x: True) -> Pattern:
    """The Value of a variable of the original."""
    return any_(name, lambda x: getattr(x, "variable", None) is not None and where(x), "a parameter")


def constant(near: float | None = None, name: str = "", rtol: float = RTOL) -> Pattern:
    """A number or array that is known, each element near to a number: `constant(0.5)`."""

    def is_near(x: object) -> bool:
        array = x.array if isinstance(x, Value) else x
        if not isinstance(array, (int, float, np.ndarray, np.generic)):
            return False
        numbers = np.asarray(array)
        # `allclose` of nothing is true.
        return near is None or bool(numbers.size and np.allclose(numbers, near, rtol, atol=0.0))

    return any_(name, is_near, "a constant" if near is None else f"the constant {near}")


def either(*patterns: object) -> Pattern:
    """The first pattern that fits; with an optional part, that first: `either(op.add(h, bias), h)`."""

    def tries(x: object, found: Match, no: Refuse) -> Iterator[Match]:
        for pattern in patterns:
            yield from _pattern(pattern).tries(x, found, no)

    return Pattern(tries)


class Functions:
    """Patterns of calls of the functions of a module, by their names: `op.matmul(x, kernel)`."""

    def __init__(self, path: str, module: ModuleType):
        self._path, self._module = path, module

    def __getattr__(self, name: str) -> Any:
        function, path = getattr(self._module, name), f"{self._path}.{name}"
        if isinstance(function, ModuleType):
            return Functions(path, function)
        return lambda *args, **kwargs: _call_of(path, inspect.signature(function), args, kwargs)


def _call_of(
    path: str, signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Pattern:
    wanted = _bound(signature, args, kwargs)

    def tries(x: object, found: Match, no: Refuse) -> Iterator[Match]:
        node = _node(x)
        if node is None or _one_name(node.function) != _one_name(path):
            return no(found, f"{_shown(x)} does not come from {path}")
        given = _bound(signature, node.args, node.kwargs)
        # In front of the arguments: `why_not` goes by how many calls were found.
        found = replace(found, nodes=(*found.nodes, node))
        yield from _all([*wanted.values()], [*given.values()], found, no)
        # The user has written one of the two.
        if path in COMMUTATIVE:
            first, second, *rest = given.values()
            yield from _all([*wanted.values()], [second, first, *rest], found, no)

    return Pattern(tries)


def _one_name(function: str | None) -> str | None:
    return SAME.get(function, function) if function else None


def layer(cls: type, *args: object, **config: object) -> Pattern:
    """A call of a layer of exactly this class with these tensors and nothing else: no mask, no other mode.

    Args:
        cls: The class, `keras.layers.Dense`.
        args: What it takes.
        config: What entries of its config have to be; `any_("name")` captures one.
    """

    def tries(x: object, found: Match, no: Refuse) -> Iterator[Match]:
        node = _node(x)
        if node is None or not node.calls_layer(cls):
            return no(found, f"{_shown(x)} does not come from a {cls.__name__}")
        found = replace(found, nodes=(*found.nodes, node))
        # None is what a call has anyway.
        besides = [n for n, given in node.kwargs.items() if given is not None and not _is_mode(node, n)]
        if besides:
            return no(found, f"'{node.name}' is called with {', '.join(besides)}, too")
        try:
            settings = node.settings if config else {}
        except Exception as error:  # `get_config` may be code of the user's
            return no(found, f"the config of '{node.name}' is not known: {error}")
        entries = [settings.get(name) for name in config]
        yield from _all([*args, *config.values()], [*node.args, *entries], found, no)

    return Pattern(tries)


def _is_mode(node: Node, name: str) -> bool:
    """Whether an argument is `training`, and says what the graph, which is for one mode, says anyway."""
    modes = {"training": True, "inference": False}
    given = modes.get(node.program.mode) if node.program else None
    return name == "training" and given is not None and node.kwargs[name] is given


def _bound(signature: inspect.Signature, args: Args, kwargs: Kwargs) -> dict[str, Any]:
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.arguments


def _node(x: object) -> Node | None:
    """The Node itself, or that of which a Value is the whole result."""
    node = x.node if isinstance(x, Value) else x
    return node if isinstance(node, Node) and (node is x or node.outputs is x) else None


def _all(patterns: Sequence[object], xs: Sequence[object], found: Match, no: Refuse) -> Iterator[Match]:
    """Yield each way in which all fit, one after the other."""
    if len(patterns) != len(xs):
        return no(found, f"{_shown(xs)} is not {len(patterns)} things")
    if not patterns:
        yield found
        return
    for way in _pattern(patterns[0]).tries(xs[0], found, no):
        yield from _all(patterns[1:], xs[1:], way, no)


def _pattern(x: object) -> Pattern:
    if isinstance(x, Pattern):
        return x
    # A bool is an int, and stands for a flag and no number.
    if isinstance(x, (int, float)) and not isinstance(x, bool):
        return constant(x)
    if isinstance(x, dict):
        is_dict = any_(where=lambda y: isinstance(y, dict) and y.keys() == x.keys(), what=f"a dict of {[*x]}")
        return Pattern(
            lambda y, found, no: (
                w
                for f in is_dict.tries(y, found, no)
                for w in _all(list(x.values()), [y[key] for key in x], f, no)
            )
        )
    if isinstance(x, (list, tuple)):
        is_list = any_(where=lambda y: isinstance(y, (list, tuple)), what="a list")
        return Pattern(
            lambda y, found, no: (
                w for f in is_list.tries(y, found, no) for w in _all(list(x), list(y), f, no)
            )
        )
    return any_(where=lambda y: is_same(x, y), what=_shown(x))


def _is_alone(found: Match, no: Refuse) -> bool:
    """Whether what lies inside is used by nothing else."""
    for node in (n for n in found.nodes[1:] if n not in found.shared):
        users = [u.name for v in node.results for u in v.users if u not in found.nodes]
        if users or any(v.is_output for v in node.results):
            no(found, f"'{node.name}' is used by {', '.join(users) or 'the outputs'}, too")
            return False
    return True


def _shown(x: object) -> str:
    return shown(x, lambda part: f"%{part.name}" if isinstance(part, (Value, Node)) else None)

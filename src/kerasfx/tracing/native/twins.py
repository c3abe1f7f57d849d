"""Says a call of a backend's function as that of the `keras.ops` function that means the same.

The prepared model then runs and loads on every backend. A twin is only proposed here: the caller takes it
if shapes and dtypes of the results agree, and `tests/trace/test_*twins.py` compares the numbers of each.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kerasfx.runtime.functions.keras_functions import resolve
from kerasfx.tracing.public_calls import PublicCall
from kerasfx.tracing.recorder import Arguments, Function, Keywords


@dataclass(frozen=True)
class Twin:
    """How the arguments of a function go over to its twin.

    Attributes:
        name: Name of the twin.
        parameters: Parameter of the function -> parameter of the twin; any other parameter of the function
            has to have its default.
        instead_of_none: Values for the twin where the function takes None.
        added: Further arguments of the twin.
        seen_in_result: Parameters of the function that only say which dtype the result has. The caller
            compares it.
        signature: That of the function, where Python knows none.
    """

    name: str
    parameters: Mapping[str, str]
    instead_of_none: Mapping[str, Any] = field(default_factory=dict)
    added: Mapping[str, Any] = field(default_factory=dict)
    seen_in_result: frozenset[str] = frozenset()
    signature: inspect.Signature | None = None

    def call(self, function: Function, args: Arguments, kwargs: Keywords) -> PublicCall | None:
        """The call of the twin, or None where the arguments have no place in it."""
        given = arguments_of(self.signature or function, args, kwargs)
        if given is None or not self._takes(given):
            return None
        values = dict(self.added)
        for own, theirs in self.parameters.items():
            if own in given:
                value = given[own][0]
                values[theirs] = self.instead_of_none.get(own) if value is None else value
        return _spelled(self.name, values)

    def _takes(self, given: Mapping[str, tuple[Any, bool]]) -> bool:
        # TensorFlow's functions take a name for the op, which says nothing about the result.
        known = {*self.parameters, *self.seen_in_result, "name"}
        return all(own in known or is_default for own, (_, is_default) in given.items())


def arguments_of(
    function: Function | inspect.Signature, args: Arguments, kwargs: Keywords
) -> dict[str, tuple[Any, bool]] | None:
    """The arguments of a call by parameter, defaults filled in, each with whether it is the default.

    None where the call does not fit the signature or `function` has none.
    """
    try:
        signature = function if isinstance(function, inspect.Signature) else inspect.signature(function)
        bound = signature.bind(*args, **kwargs)
    except (TypeError, ValueError):
        return None
    # Before the defaults are filled in: a default that was written out may be an object of its own.
    explicit = set(bound.arguments)
    bound.apply_defaults()
    return {
        name: (value, name not in explicit or _is_default(value, signature.parameters[name]))
        for name, value in bound.arguments.items()
    }


def _is_default(value: object, parameter: inspect.Parameter) -> bool:
    default = parameter.default
    if parameter.kind is parameter.VAR_POSITIONAL:
        return not value
    if value is default:
        return True
    kinds = {type(value), type(default)}
    # 1 and 1.0 say the same; True and 1 need not.
    return ((len(kinds) == 1 and kinds <= {str, bool}) or kinds <= {int, float}) and value == default


def _spelled(name: str, values: dict[str, Any]) -> PublicCall:
    """Required arguments by position, the others by keyword, without a None that is the default."""
    args: list[Any] = []
    for parameter in inspect.signature(resolve(name)).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            args.extend(values.pop(parameter.name, ()))
        elif parameter.default is parameter.empty and parameter.name in values:
            args.append(values.pop(parameter.name))
        elif parameter.name in values and values[parameter.name] is parameter.default is None:
            del values[parameter.name]
    return PublicCall(name, tuple(args), values)


@dataclass(frozen=True)
class Rule:
    """A twin that takes more than other names of arguments.

    Attributes:
        say: A function with the parameters of the backend's that gives the call of `keras.ops`, or None where
            the arguments have no place in it.
    """

    say: Callable[..., PublicCall | None]

    def call(self, function: Function, args: Arguments, kwargs: Keywords) -> PublicCall | None:
        """The call of the twin, or None where the arguments have no place in it."""
        try:
            bound = inspect.signature(self.say).bind(*args, **kwargs)
        # The binding alone is tried: a TypeError in a rule itself would be a fault of ours.
        except TypeError:
            return None
        return self.say(*bound.args, **bound.kwargs)


@dataclass(frozen=True)
class Table:
    """What a backend's functions are in `keras.ops`.

    Attributes:
        twins: By name; None for a function that means something else than its namesake.
        namesakes: Namespaces whose other functions are those of the same name, with the same parameters.
    """

    twins: Mapping[str, Twin | Rule | None]
    namesakes: frozenset[str] = frozenset()

    def twin(self, name: str, function: Function) -> Twin | Rule | None:
        """How to say the function of that name, or None."""
        # The table first: it may say that a namesake means something else.
        if name in self.twins:
            return self.twins[name]
        space, _, own = name.rpartition(".")
        return same_named(function, f"keras.ops.{own}") if space in self.namesakes else None

    def renamed(self, name_of: Callable[[str], str]) -> Table:
        """The same table by other names of the functions."""
        return Table({name_of(name): twin for name, twin in self.twins.items()}, self.namesakes)


_LINE = re.compile(r"(?P<names>[\w. *]+?) *(?P<signature>\(.*\))? = (?P<twin>\S+) *(?P<parameters>.*)")


def read(text: str, rules: Mapping[str, Callable[..., PublicCall | None]] | None = None) -> Table:
    """Read a table of lines such as `tf.reduce_sum = sum input_tensor:x axis keepdims`.

        tf.sin tf.cos = * x                  several functions; `*` is a twin of the function's own name
        torch.erf (input) = * input:x        with the parameters of functions of which Python knows none
        torch.flatten = @flatten             a rule: the function of that name says the call
        jax.numpy.* = *                      every other function there is its namesake in keras.ops
        jax.numpy.take = -                   but this one means something else

    A parameter is `own:theirs`, or one name where both are called alike; `own:theirs=0` gives 0 where the
    function is given None, `+theirs=0` always, and `own:-` only says which dtype the result has. Any other
    parameter has to have its default.
    """
    twins: dict[str, Twin | Rule | None] = {}
    namesakes = set()
    for line in filter(None, (line.partition("#")[0].strip() for line in text.splitlines())):
        found = _LINE.fullmatch(line)
        assert found is not None, line
        for name in found["names"].split():
            if name.endswith(".*"):
                namesakes.add(name.removesuffix(".*"))
            else:
                twins[name] = _read_twin(name, found, rules or {})
    return Table(twins, frozenset(namesakes))


def _read_twin(
    name: str, line: re.Match[str], rules: Mapping[str, Callable[..., PublicCall | None]]
) -> Twin | Rule | None:
    twin = line["twin"]
    if twin == "-":
        return None
    if twin.startswith("@"):
        return Rule(rules[twin.removeprefix("@")])
    own = name.rpartition(".")[2] if twin == "*" else twin
    signature = _signature(line["signature"]) if line["signature"] else None
    return _twin(f"keras.ops.{own}", line["parameters"].split(), signature)


@functools.cache
def _signature(text: str) -> inspect.Signature:
    """The signature that is written as in a `def`; its defaults are numbers, words, True, False and None."""
    function = ast.parse(f"def f{text}: pass").body[0]
    assert isinstance(function, ast.FunctionDef)
    given = function.args
    defaults = [*[None] * (len(given.args) - len(given.defaults)), *given.defaults, *given.kw_defaults]
    kinds = [inspect.Parameter.POSITIONAL_OR_KEYWORD] * len(given.args)
    kinds += [inspect.Parameter.KEYWORD_ONLY] * len(given.kwonlyargs)
    parameters = [
        inspect.Parameter(
            argument.arg, kind, default=inspect.Parameter.empty if d is None else ast.literal_eval(d)
        )
        for argument, kind, d in zip([*given.args, *given.kwonlyargs], kinds, defaults, strict=True)
    ]
    return inspect.Signature(parameters)


def _twin(name: str, parameters: list[str], signature: inspect.Signature | None) -> Twin:
    mapping, instead, added, in_result = {}, {}, {}, set()
    for text in parameters:
        pair, _, value = text.partition("=")
        own, _, theirs = pair.partition(":")
        if own.startswith("+"):
            added[own[1:]] = int(value)
        elif theirs == "-":
            in_result.add(own)
        else:
            mapping[own] = theirs or own
            if value:
                instead[own] = int(value)
    return Twin(name, mapping, instead, added, frozenset(in_result), signature)


@functools.cache
def same_named(function: Function, name: str) -> Twin | None:
    """The twin of a function whose name and parameters `keras.ops` has taken over from NumPy, or None.

    Parameters correspond by name, and by position where neither name occurs on the other side.
    """
    try:
        own = list(inspect.signature(function).parameters.values())
        theirs = list(inspect.signature(resolve(name)).parameters.values())
    # No such function in `keras.ops`, or none of which Python knows the signature.
    except (TypeError, ValueError, LookupError):
        return None
    names = {p.name for p in own}, {p.name for p in theirs}
    mapping = {p.name: p.name for p in own if p.name in names[1]}
    for a, b in zip(own, theirs, strict=False):
        if _stand_alike(a, b) and a.name not in names[1] and b.name not in names[0]:
            mapping[a.name] = b.name
    return Twin(name, mapping)


def _stand_alike(a: inspect.Parameter, b: inspect.Parameter) -> bool:
    """Whether the parameters of one place are given alike; `a` may be positional only."""
    return b.kind in (a.kind, b.POSITIONAL_OR_KEYWORD) and a.kind in (b.kind, a.POSITIONAL_ONLY)

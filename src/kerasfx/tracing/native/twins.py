"""Says a call of a backend's function as that of the `keras.ops` function that means the same.

The prepared model then runs and loads on every backend. A twin is only proposed here: the caller takes it
if shapes and dtypes of the results agree, and `tests/trace/test_twins.py` compares the numbers.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kerasfx.runtime.functions.keras_functions import resolve
from kerasfx.tracing.public_calls import PublicCall


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
    """

    name: str
    parameters: Mapping[str, str]
    instead_of_none: Mapping[str, Any] = field(default_factory=dict)
    added: Mapping[str, Any] = field(default_factory=dict)
    seen_in_result: frozenset[str] = frozenset()

    def call(self, function: Callable[..., Any], args: Any, kwargs: Any) -> PublicCall | None:
        """The call of the twin, or None where the arguments have no place in it."""
        given = arguments_of(function, args, kwargs)
        if given is None or not self._takes(given):
            return None
        values = dict(self.added)
        for own, theirs in self.parameters.items():
            if own in given:
                value = given[own][0]
                values[theirs] = self.instead_of_none.get(own) if value is None else value
        return _spelled(self.name, values)

    def _takes(self, given: Mapping[str, tuple[Any, bool]]) -> bool:
        known = {*self.parameters, *self.seen_in_result, "name"}
        return all(own in known or is_default for own, (_, is_default) in given.items())


def arguments_of(function: Callable[..., Any], args: Any, kwargs: Any) -> dict[str, tuple[Any, bool]] | None:
    """The arguments of a call by parameter, defaults filled in, each with whether it is the default.

    None where the call does not fit the signature or `function` has none.
    """
    try:
        signature = inspect.signature(function)
        bound = signature.bind(*args, **kwargs)
    except (TypeError, ValueError):
        return None
    explicit = set(bound.arguments)
    bound.apply_defaults()
    return {
        name: (value, name not in explicit or _is_default(value, signature.parameters[name]))
        for name, value in bound.arguments.items()
    }


def _is_default(value: Any, parameter: inspect.Parameter) -> bool:
    default = parameter.default
    if parameter.kind is parameter.VAR_POSITIONAL:
        return not value
    if value is default:
        return True
    return type(value) is type(default) and isinstance(value, (str, int, float, bool)) and value == default


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


def parse(table: str) -> dict[str, Twin]:
    """Read lines such as `tf.reduce_sum = sum input_tensor:x axis keepdims`.

    Several functions may share a line; `*` is a twin of the function's own name. A parameter is
    `own:theirs`, or one name where both are called alike; `own:theirs=0` gives 0 where the function is
    given None, `+theirs=0` always, and `own:-` only says which dtype the result has.
    """
    twins = {}
    for line in filter(None, map(str.strip, table.splitlines())):
        names, _, rest = line.partition(" = ")
        twin, *parameters = rest.split()
        for name in names.split():
            # "*" stands for the function's own name.
            own = name.rpartition(".")[2] if twin == "*" else twin
            twins[name] = _twin(f"keras.ops.{own}", parameters)
    return twins


def _twin(name: str, parameters: list[str]) -> Twin:
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
    return Twin(name, mapping, instead, added, frozenset(in_result))


@functools.cache
def same_named(function: Callable[..., Any], name: str) -> Twin | None:
    """The twin of a function whose name and parameters `keras.ops` has taken over from NumPy, or None.

    Parameters correspond by name, and by position where neither name occurs on the other side.
    """
    try:
        own = list(inspect.signature(function).parameters.values())
        theirs = list(inspect.signature(resolve(name)).parameters.values())
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

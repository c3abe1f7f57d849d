"""Copies of layers: config, build, variables, and the state that is no variable.

A layer is made again from its config where that gives the same layer, else from the arguments it was made
with, else object by object. A copy is complete before anyone uses it, or it is not used.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from operator import itemgetter
from types import BuiltinMethodType, CellType, FunctionType, MethodType, ModuleType
from typing import Any

import keras

from kerasfx.errors import NotCopyableError, describe
from kerasfx.handover import recorded
from kerasfx.handover.placement import hand_over, made_for
from kerasfx.keras_api import foreign, internals
from kerasfx.keras_api.builtins import (
    builtin_class,
    is_builtin,
)
from kerasfx.keras_api.initial_values import Begun
from kerasfx.keras_api.making_layers import UNTRACKED
from kerasfx.keras_api.random_state import random_state_kept
from kerasfx.reporting import Finding

Way = tuple[str, Callable[[], Any]]
"""How a copy is made, in words, and what makes it."""

Kind = tuple[str, tuple[int, ...], str]
"""What a variable has in common with its copy: the name it was given, shape and dtype."""

# Ways to make a layer again


def ways_to_make(
    layer: keras.layers.Layer,
    name: str,
    source: keras.layers.Layer | None = None,
    config: dict[str, Any] | None = None,
) -> list[Way]:
    """The ways to make a layer like `layer`, best first; each may raise whatever the class raises.

    Args:
        layer: The original.
        name: The name of the copy.
        source: What the config comes from, if not from `layer`: see `loadable`.
        config: Entries that replace those of the config.
    """
    # The config of a model is made of those of its layers, of which one may have none.
    if isinstance(layer, (internals.Functional, keras.Sequential)):
        return [("layer by layer", lambda: _named(_copy_of_model(layer), name))]
    given = layer if source is None else source
    return [
        ("from its config", lambda: _from_config(given, name, config or {})),
        ("from its constructor arguments", lambda: _made_alike(layer, name)),
        ("object by object", lambda: _deep_copy(given, name)),
    ]


def with_own_layers(value: object) -> Any:
    """`value` with a copy, which has no weights yet, of each layer in it: what the constructor of one takes.

    Raises:
        NotCopyableError: A layer cannot be made again.
    """
    if isinstance(value, internals.Layer):
        what = f"{type(value).__name__} '{value.name}', which a pass gives to another layer,"
        return _first(ways_to_make(value, value.name), lambda copy: copy, what)
    if isinstance(value, dict):
        return {key: with_own_layers(x) for key, x in value.items()}
    if type(value) is tuple:
        return tuple(with_own_layers(x) for x in value)
    return [with_own_layers(x) for x in value] if type(value) is list else value


def _from_config(layer: keras.layers.Layer, name: str, config: dict[str, Any]) -> Any:
    cls = builtin_class(type(layer)) or type(layer)
    with keras.saving.custom_object_scope(_classes_given_to(layer)):
        # As the built-in base has it: a subclass may leave out what its own constructor sets.
        return cls.from_config({**cls.get_config(layer), **config, "name": name})


def _classes_given_to(layer: keras.layers.Layer) -> dict[str, Any]:
    """The classes that the config names and that may be in no module where Keras looks."""
    given = foreign.given_to(layer)
    return {x.__name__ if inspect.isroutine(x) else type(x).__name__: _named_by_file(x) for x in given}


def _named_by_file(x: object) -> Any:
    return x if inspect.isroutine(x) else type(x)


def _made_alike(layer: keras.layers.Layer, name: str) -> Any:
    """A layer made with the constructor arguments of `layer`.

    A class without `get_config` and without `**kwargs` in its constructor cannot take the config that
    Keras writes for it, which holds `trainable` and `dtype`.

    Raises:
        NotCopyableError: The arguments are not known.
    """
    arguments = internals.constructor_arguments(layer)
    if arguments is None:
        if not is_builtin(type(layer)):
            raise NotCopyableError("Keras did not keep them")
        # `Identity` has no config of its own, and Keras loses what it was made with.
        return type(layer)(name=name, dtype=layer.dtype_policy.name, trainable=layer.trainable)
    copy = _named(type(layer)(**arguments), name)
    # A constructor without `**kwargs` takes none.
    copy.dtype_policy = layer.dtype_policy
    return copy


def _deep_copy(layer: keras.layers.Layer, name: str) -> Any:
    """A copy of `layer` as it is.

    Raises:
        NotCopyableError: A function that it holds would go on using the layers of the original.
    """
    models = [x for x in internals.all_layers(layer)[1:] if internals.has_graph(x)]
    stand_ins: dict[int, Any] = {}
    for model in models:
        # One inside of another was copied with that.
        if id(model) not in stand_ins:
            copy = _copy_of_model(model)
            _complete(model, copy)
            pairs = zip(internals.all_layers(model), internals.all_layers(copy), strict=True)
            stand_ins |= {id(x): y for x, y in pairs}
            stand_ins |= {id(v): w for v, w in zip(model.variables, copy.variables, strict=True)}
    copy = internals.deep_copy(layer, name, stand_ins)
    ours = {id(x) for x in internals.all_layers(layer)} | {id(v) for v in layer.variables}
    for part in internals.all_layers(copy):
        for key, value in internals.attributes_of_class(part).items():
            if any(id(x) in ours for x in reachable(value)):
                raise NotCopyableError(f"`self.{key}` holds a function that refers to the original")
    return copy


def _copy_of_model(model: keras.Model) -> Any:
    """A Functional or Sequential model made of copies of the layers of `model`."""
    return keras.models.clone_model(model, clone_function=lambda x: made_again(x, x.name))


def made_again(layer: keras.layers.Layer, name: str) -> Any:
    """A layer made in the first way that gives one; it may be unbuilt and has values of its own.

    Raises:
        NotCopyableError: None does.
    """
    return _first(ways_to_make(layer, name), lambda copy: copy, f"{type(layer).__name__} '{layer.name}'")


def _first(ways: list[Way], use: Callable[[Any], Any], what: str) -> Any:
    reasons: list[str] = []
    for how, make in ways:
        try:
            return use(make())
        except Exception as error:  # constructors, configs and `build` are code of the user's
            reasons.append(reason(how, error))
    raise NotCopyableError(f"{what} cannot be copied: {'; '.join(reasons)}")


def reason(how: str, error: Exception) -> str:
    """Why a way to make a layer failed, in one line."""
    says = " ".join(str(error).split()) or type(error).__name__
    return f"{how}: {says}"


def _named(layer: keras.layers.Layer, name: str) -> Any:
    layer.name = name
    return layer


# What makes it the same layer


def build_alike(original: keras.layers.Layer, copy: keras.layers.Layer) -> None:
    """Build `copy` and the layers inside it as those of `original` were built.

    A layer is built before the layers inside it, which its `build` may make.
    """
    if original.built and not copy.built and internals.has_own_build(original):
        config = original.get_build_config()
        if config:
            copy.build_from_config(config)
    for x, y in zip(internals.sublayers(original), internals.sublayers(copy), strict=False):
        build_alike(x, y)


def begun_as(original: keras.layers.Layer) -> Begun:
    """How the variables of a copy begin: as those of `original`, where no code of the user's is in it."""
    parts = internals.all_layers(original)
    is_ours = all(builtin_class(type(x)) for x in parts)
    return Begun(kind_of, ((kind_of(v), v) for x in parts for v in internals.own_state(x)) if is_ours else ())


def hand_over_state(
    original: keras.layers.Layer, copy: keras.layers.Layer, begun: Begun | None = None
) -> list[tuple[Any, Any]]:
    """Give a built copy all that `original` holds.

    Args:
        original: The original.
        copy: Its copy.
        begun: Which variables of the copy have their values already.

    Returns:
        The pairs of their variables.

    Raises:
        NotCopyableError: They have other variables, or a layer in common.
    """
    ours, theirs = internals.all_layers(original), internals.all_layers(copy)
    _require_none_in_common(ours, theirs)
    pairs = list(corresponding(original, copy))
    # Layers before variables: `layer.trainable = ...` sets that of all inside.
    for x, y in zip(ours, theirs, strict=True):
        if x.trainable != y.trainable:
            y.trainable = x.trainable
    for source, target in pairs:
        target.trainable = source.trainable
        if begun is None or not begun.has_value_of(target, source):
            hand_over(target, source)
    for x, y in zip(ours, theirs, strict=True):
        _hand_over_attributes(x, y)
    return pairs


def _require_none_in_common(ours: list[Any], theirs: list[Any]) -> None:
    """Refuse a copy whose constructor has taken a layer of the original: they would share it."""
    known = set(map(id, ours))
    common = next((x for x in theirs if id(x) in known), None)
    if common is not None:
        raise NotCopyableError(
            f"its constructor takes '{common.name}' of the original, which it does not make"
        )


def _hand_over_attributes(original: keras.layers.Layer, copy: keras.layers.Layer) -> None:
    """Give `copy` the values that `original` holds in attributes and that no config has to hold.

    Such are the tensors with which an adapted `Normalization` computes, the tables of lookups, the bounds of
    a `Discretization`, and the states of a recurrent layer, variables that Keras does not track.
    """
    tracked = set(map(id, internals.own_state(original)))
    for name, value in internals.attributes_of_class(original).items():
        present = vars(copy).get(name)
        if type(value) in UNTRACKED and type(present) in UNTRACKED:
            copy.__dict__[name] = value
            continue
        parts, theirs = list(_parts(value)), list(_parts(present))
        untracked = [x for x in parts if internals.is_variable(x) and id(x) not in tracked]
        if untracked and len(parts) == len(theirs) and all(map(internals.is_variable, theirs)):
            for source, target in zip(parts, theirs, strict=True):
                hand_over(target, source)
        elif parts and all(map(internals.is_value, (*parts, *theirs))):
            # Past `__setattr__`, which would track what is in it.
            copy.__dict__[name] = _copied_value(value)


def _parts(x: object) -> Iterator[Any]:
    """What is inside lists, tuples and dicts, or `x` itself."""
    if isinstance(x, (list, tuple)):
        for item in x:
            yield from _parts(item)
    elif isinstance(x, dict):
        yield from _parts(list(x.values()))
    else:
        yield x


def _copied_value(x: object) -> Any:
    if isinstance(x, tuple):
        items = map(_copied_value, x)
        return type(x)(*items) if hasattr(x, "_fields") else tuple(items)
    if isinstance(x, list):
        return list(map(_copied_value, x))
    if isinstance(x, dict):
        return {k: _copied_value(v) for k, v in x.items()}
    return internals.value_of_its_own(x)


def corresponding(a: keras.layers.Layer, b: keras.layers.Layer) -> Iterator[tuple[Any, Any]]:
    """Pair the variables of two layers that the same code made from one config.

    The pairs follow the structure: own state of a layer in the order in which its code made it, then its
    sublayers; names, shapes and dtypes must agree. A layer that was quantized made its state in another order
    than one that begins so.

    Raises:
        NotCopyableError: They do not.
    """
    ours, theirs = _by_kind(internals.own_state(a)), _by_kind(internals.own_state(b))
    below = internals.sublayers(a), internals.sublayers(b)
    kinds = [kind for kind, _ in ours], [kind for kind, _ in theirs]
    same = kinds[0] == kinds[1]
    if not same or len(below[0]) != len(below[1]):
        classes = [type(x).__name__ for x in below[0]], [type(x).__name__ for x in below[1]]
        shown = classes if same else kinds
        raise NotCopyableError(
            f"it has other {'weights' if not same else 'layers'} ('{a.name}' has {shown[0]}, "
            f"its copy {shown[1]})"
        )
    yield from ((x, y) for (_, x), (_, y) in zip(ours, theirs, strict=True))
    for x, y in zip(*below, strict=True):
        yield from corresponding(x, y)


def _by_kind(variables: list[Any]) -> list[tuple[Kind, Any]]:
    """Variables with their kinds, in the order of these; in their own where two have one kind."""
    found = [(kind_of(v), v) for v in variables]
    # Then only the order tells them apart.
    is_unique = len({kind for kind, _ in found}) == len(found)
    return sorted(found, key=itemgetter(0)) if is_unique else found


def kind_of(variable: keras.Variable) -> Kind:
    """What a variable has in common with its copy: the name it was given, shape and dtype."""
    return kind_called(variable.name, variable)


def kind_called(name: str, variable: keras.Variable) -> Kind:
    """The kind of a variable like `variable` by the name of `name`."""
    stem = name.rstrip("0123456789").rstrip("_")  # automatic names are numbered
    return stem, tuple(variable.shape), variable.dtype


# A layer as a file can hold it


def loadable(
    layer: keras.layers.Layer, results: list[Any], changes: dict[str, Any]
) -> tuple[Any, list[tuple[str, str]]]:
    """A built-in `layer`, or an alias of it whose config needs no code of other modules.

    The alias has the state of `layer`. Its initializers are Keras's own, since the values exist; regularizers
    and constraints are recorded.

    Args:
        layer: The layer.
        results: Shapes and dtypes of what it returns, which an activity regularizer is called with.
        changes: Attributes that are to be others anyway.

    Returns:
        The layer or alias, and for each thing that stays code of other modules what to say and what to do.
    """
    cls = builtin_class(type(layer))
    if cls is None or not (changes or foreign.given_to(layer)):
        return layer, []
    made, remarks = dict(changes), []
    for name, value in internals.attributes(layer).items():
        if name not in changes:
            found, said = _loadable_attribute(layer, cls, name, value, results)
            remarks += said
            if found is not value:
                made[name] = found
    if not made:
        return layer, remarks
    # The original is left as it is.
    alias = internals.alias_of(layer, cls, layer.name)
    vars(alias).update(made)
    return alias, remarks


def _loadable_attribute(
    layer: keras.layers.Layer, cls: type, name: str, value: object, results: list[Any]
) -> tuple[Any, list[tuple[str, str]]]:
    if isinstance(value, internals.Layer):
        return loadable(value, [], {})
    if isinstance(value, (list, tuple)) and any(isinstance(x, internals.Layer) for x in value):
        pairs = [loadable(x, [], {}) if isinstance(x, internals.Layer) else (x, []) for x in value]
        is_changed = any(x is not y for x, (y, _) in zip(value, pairs, strict=True))
        return [y for y, _ in pairs] if is_changed else value, [r for _, said in pairs for r in said]
    kind = next((k for k in foreign.KINDS if name.endswith(k)), None)
    if kind is None or kind == "activation" or foreign.is_of_keras(value, kind):
        return value, []
    if kind == "initializer":
        return _default_initializer(cls, name), []
    is_own = name != "activity_regularizer"
    called_with = (
        map(recorded.argument_of, foreign.regularized_like(layer, value)) if is_own else iter(results)
    )
    return loadable_function(value, kind, list(called_with))


def loadable_function(x: object, kind: str, called_with: list[Any]) -> tuple[Any, list[tuple[str, str]]]:
    """A regularizer or constraint as a file can hold it, or itself with what to say about it."""
    if foreign.is_of_keras(x, kind):
        return x, []
    try:
        return recorded.recorded(x, kind, called_with), []
    except recorded.NotRecordableError as error:
        return x, [recorded.not_recorded(x, kind, error)]


def _default_initializer(cls: type, attribute: str) -> Any:
    parameter = inspect.signature(cls).parameters.get(attribute.lstrip("_"))
    default = None if parameter is None else parameter.default
    return keras.initializers.get(default if isinstance(default, str) else "glorot_uniform")


def remark(path: str, layer: keras.layers.Layer, said: tuple[str, str]) -> Finding:
    """What the report says of something in a layer that stays code of other modules."""
    return Finding("warning", path, f"{type(layer).__name__}: {said[0]}", hint=said[1])


# A copy that stands in no graph


def copy_beside_graph(layer: keras.layers.Layer) -> Any:
    """A copy of a layer that stands in no graph of ours, with the same weights and name.

    Raises:
        NotCopyableError: It cannot be made again.
    """

    def complete(copy: keras.layers.Layer) -> Any:
        _complete(layer, copy)
        return copy

    with (
        internals.fresh_names(),
        internals.no_call_context(),
        random_state_kept(),
        made_for(layer.variables),
    ):
        return _first(ways_to_make(layer, layer.name), complete, f"{type(layer).__name__} '{layer.name}'")


def _complete(original: keras.layers.Layer, copy: keras.layers.Layer) -> None:
    build_alike(original, copy)
    hand_over_state(original, copy)


def cannot_be_copied(
    layer: keras.layers.Layer, path: str, why_whole: str | None, reasons: list[str], shared: bool
) -> Exception:
    """The error for a layer of which no way gives a copy; `shared` says whether sharing it works."""
    kind = type(layer).__name__
    return NotCopyableError(
        describe(
            f"{kind} at {path} is kept whole and cannot be copied.",
            why="; ".join([why_whole or "it was asked to stay whole", *reasons]),
            hint=f"give {kind} a get_config() that makes it again"
            + (', or use weights="share"' if shared else ""),
        )
    )


# What an object leads to


def reachable(value: object) -> Iterator[Any]:
    """`value` and what it holds: in attributes, in containers, in the closure of a function."""
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        x = waiting.pop()
        if id(x) in seen:
            continue
        seen.add(id(x))
        yield x
        waiting.extend(_held(x))


def _held(x: object) -> list[Any]:
    # Not looked into: a library leads to everything, and of layers and variables only the `id` is asked.
    package = internals.module_of(type(x)).partition(".")[0]
    is_closed = isinstance(x, (type, ModuleType, internals.Layer)) or internals.is_variable(x)
    if is_closed or package in ("tensorflow", "jax", "jaxlib", "torch", "numpy"):
        return []
    if isinstance(x, dict):
        return list(x.values())
    if isinstance(x, (list, tuple, set)):
        return list(x)
    if isinstance(x, (MethodType, BuiltinMethodType)):
        return [x.__self__]
    if isinstance(x, functools.partial):
        return [x.func, *x.args, *x.keywords.values()]
    if isinstance(x, FunctionType):
        cells = [c for c in x.__closure__ or () if c != CellType()]  # an empty cell has no contents
        return [*(c.cell_contents for c in cells), *(x.__defaults__ or ())]
    return list(getattr(x, "__dict__", {}).values())

"""Does code make the same model? It is run, and what it makes is compared part by part."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import keras
import numpy as np

from kerasfx.keras_api import internals
from kerasfx.keras_api.arrays import to_numpy
from kerasfx.keras_api.random_state import random_state_kept
from kerasfx.source_code import values


def built_by(code: str) -> keras.Model:
    """The model that the code of a module builds."""
    module: dict[str, Any] = {"__name__": "kerasfx_source"}
    with random_state_kept(), internals.fresh_names():
        exec(compile(code, "<kerasfx.to_source>", "exec"), module)
        return module["build"]()


def first_difference(model: keras.Model, made: keras.Model) -> str:
    """What differs first between two models that should be alike but for their numbers; "" for nothing."""
    if type(model) is not type(made):
        return f"the class is {type(made).__name__}, and was {type(model).__name__}"
    ours, theirs = (_described(m.get_config()) for m in (model, made))
    found = chain(
        _differences(ours, theirs, ""), _in_variables(model, made), _in_what_was_adapted(model, made)
    )
    return next(found, "")


def _described(x: Any, names: dict[str, str] | None = None) -> Any:
    """A config without what is another one each time: names of operations, and shapes of building."""
    if isinstance(x, dict) and isinstance(x.get("layers"), list) and "input_layers" in x:
        names = _names(x["layers"])
    if isinstance(x, dict):
        x = _call_as_given(x) if x.keys() == {"args", "kwargs"} else x
        return {k: _described(v, names) for k, v in x.items() if k != "build_config"}
    if isinstance(x, (list, tuple)):
        return [_described(v, names) for v in x]
    return (names or {}).get(x, x) if isinstance(x, str) else x


def _call_as_given(call: dict[str, Any]) -> dict[str, Any]:
    """A call without arguments that Keras writes down in some calls where nobody gives them.

    `training=False` is written down or not, and gives way to that of the model. (Where a layer is called with
    True if nobody says so, it is True that is written down.)
    """
    told = {k: x for k, x in call["kwargs"].items() if x is not None and (k, x) != ("training", False)}
    return {**call, "kwargs": told}


def _names(layers: list[dict[str, Any]]) -> dict[str, str]:
    """New names for operations that are no layers: Keras counts them in the process."""
    own = [x["name"] for x in layers if internals.is_module_of_keras_itself(x.get("module") or "")]
    return {name: f"operation {i}" for i, name in enumerate(own)}


def _differences(a: Any, b: Any, where: str) -> Iterator[str]:
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        for key in a:
            yield from _differences(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            place = x.get("name", i) if isinstance(x, dict) else i
            yield from _differences(x, y, f"{where}[{place}]")
    elif isinstance(a, list) and isinstance(b, list):
        yield f"{where.strip('.')} has {len(b)} parts, and had {len(a)}"
    elif not values.is_same(a, b):
        yield f"{where.strip('.')} is {b!r:.200}, and was {a!r:.200}"


def _in_variables(model: keras.Model, made: keras.Model) -> Iterator[str]:
    ours, theirs = (list(map(_about, m.variables)) for m in (model, made))
    if len(ours) != len(theirs):
        yield f"there are {len(theirs)} variables, and were {len(ours)}"
    for a, b in zip(ours, theirs, strict=False):
        if a != b:
            yield f"a variable is {b}, and was {a}"


def _in_what_was_adapted(model: keras.Model, made: keras.Model) -> Iterator[str]:
    """Vocabularies and statistics, which neither a config nor `set_weights` gives to a layer."""
    for a, b in zip(internals.all_layers(model), internals.all_layers(made), strict=False):
        if hasattr(a, "get_vocabulary") and a.get_vocabulary() != b.get_vocabulary():
            yield f"the vocabulary of '{a.name}' was adapted, and code does not reach it"
        if isinstance(a, keras.layers.Normalization) and not _is_same_normalization(a, b):
            yield f"the statistics of '{a.name}' were adapted, and code does not reach them"


def _is_same_normalization(a: keras.layers.Normalization, b: Any) -> bool:
    pairs = ((getattr(a, x, None), getattr(b, x, None)) for x in ("mean", "variance"))
    # Without numbers before it is built.
    return all(x is y is None or np.array_equal(to_numpy(x), to_numpy(y)) for x, y in pairs)


def _about(variable: keras.Variable) -> str:
    trained = "trained" if variable.trainable else "not trained"
    return f"{variable.name} {tuple(variable.shape)} {variable.dtype} {trained}"

"""What calls give, inferred once for calls that are alike: a network calls the same functions many times.

Kept by a trace and its graph, and no longer. What is not known to be all that a result depends on (a function
or an object of someone else's among the arguments, say) is not remembered: it is inferred each time.
"""

from __future__ import annotations

import inspect
from collections.abc import Hashable, Iterator
from typing import Any

import keras
import numpy as np

from kerasfx.ir import Value
from kerasfx.ir.dims import Dim
from kerasfx.keras_api import internals
from kerasfx.keras_api.builtins import is_builtin
from kerasfx.tracing import inference, native
from kerasfx.tracing.recorder import Args, Function, Kwargs

MOST = 4096
"""So many calls are remembered; in a graph with more kinds of them the others are inferred each time."""

Key = tuple[Hashable, ...]


class Memory:
    """The results of calls, as `kerasfx.tracing.inference` finds them."""

    def __init__(self):
        self._known: dict[Key, list[Any]] = {}

    def of_call(self, function: Function, args: Args, kwargs: Kwargs) -> list[Any]:
        """What `infer_call` gives: results of a public function of Keras or the backend."""
        key = _key_of_call(function, args, kwargs)
        found = None if key is None else self._known.get(key)
        return found or self._remember(key, inference.infer_call(function, args, kwargs))

    def of_layer(self, layer: keras.Layer, args: Args, kwargs: Kwargs) -> list[Any]:
        """What `infer_layer` gives: results of a layer."""
        key = _key_of_layer(layer, args, kwargs)
        found = None if key is None else self._known.get(key)
        return found or self._remember(key, inference.infer_layer(layer, args, kwargs))

    def _remember(self, key: Key | None, specs: list[Any]) -> list[Any]:
        if key is not None and len(self._known) < MOST:
            self._known[key] = specs
        return specs


class _UnknownError(Exception):
    """Of something it is not known what of it a result may depend on."""


def _key_of_call(function: Function, args: Args, kwargs: Kwargs) -> Key | None:
    """All that the result of a call depends on, or None."""
    try:
        return function, said((args, kwargs)), _around()
    except _UnknownError:
        return None


def _key_of_layer(layer: keras.Layer, args: Args, kwargs: Kwargs) -> Key | None:
    if not is_builtin(type(layer)):
        return None
    try:
        return type(layer), tuple(_state_of(layer)), said((args, kwargs)), _around()
    except _UnknownError:
        return None


def _around() -> Hashable:
    """What results depend on that no argument tells."""
    config = keras.config.floatx(), keras.config.image_data_format(), internals.autocast_dtype()
    return config, native.dialect().around()


def said(x: object) -> Hashable:
    """All that a call can tell of `x`: 1 is neither 1.0 nor True, 0.0 not -0.0, and a tensor has no numbers.

    Raises:
        _UnknownError: It is something else than a Value, a number, a word, an array, or a structure of these.
    """
    kind = type(x)
    if isinstance(x, Value):
        return kind, x.dtype, tuple(map(said, x.shape))
    if isinstance(x, Dim):
        # What is inferred gets the example sizes alone, of one that is cut another one.
        return kind, *map(said, x.hints), x.is_cut
    if x is None or x is Ellipsis or kind in (bool, int, str, bytes):
        return kind, x
    if kind in (float, complex):
        return kind, repr(x)
    return kind, _said_in_parts(x)


def _said_in_parts(x: Any) -> Hashable:
    kind = type(x)
    # Keras makes lists and dicts of its own of those that a layer holds.
    is_plain = kind in (tuple, list, dict) or internals.module_of(kind).startswith("keras.")
    if is_plain and isinstance(x, (tuple, list)):
        return tuple(map(said, x))
    if is_plain and isinstance(x, dict):
        return tuple((said(k), said(v)) for k, v in x.items())
    if kind is slice:
        return said(x.start), said(x.stop), said(x.step)
    if (kind is np.ndarray or isinstance(x, np.generic)) and not x.dtype.hasobject:
        # By the name as well: dtypes that NumPy does not know itself are written alike.
        return x.dtype.name, x.dtype.str, x.shape, x.tobytes()
    raise _UnknownError


FOR_VALUES = ("initializer", "regularizer", "constraint")
"""Endings of attributes that are about the values of weights: those of a built layer are there."""


def _state_of(layer: keras.Layer) -> Iterator[Hashable]:
    """All of a built-in layer on which the shapes and dtypes of its results may depend."""
    yield layer.built
    policy = layer.dtype_policy
    yield policy.name if type(policy) in _POLICIES else said(policy)
    for name, x in internals.attributes_of_class(layer).items():
        if internals.is_variable(x):
            yield name, tuple(x.shape), internals.stored_dtype(x), internals.is_autocast(x)
        elif name == "activation" and inspect.isfunction(x) and internals.module_of(x).startswith("keras."):
            yield name, x
        elif not (layer.built and name.endswith(FOR_VALUES)):
            yield name, said(x)


_POLICIES = (keras.dtype_policies.FloatDTypePolicy, keras.dtype_policies.DTypePolicy)
"""Those that say no more than their name does."""

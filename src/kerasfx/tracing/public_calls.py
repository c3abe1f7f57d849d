"""Says a private Keras operation as a call of the public function that makes it.

While a model is traced Keras hands over private objects: `Reshape(newshape)` applied
to a tensor. A graph that kept them would break with the next Keras release, so each is
turned into the public call that means the same, `keras.ops.reshape(x, newshape=...)`.

The translation is derived, not listed: in every Keras release an operation class and
its function share a module and a name (`BitwiseAnd`, `bitwise_and`), constructor
arguments are stored under their own names, and these names, with those of `call`, are
the function's parameters. The few exceptions are the tables at the top. Whatever does
not fit this pattern is refused: a missing node is reported, a wrong one is not.

Where Keras's own symbolic and eager paths disagree (`Quantile.call` drops `method`), the
public function wins, because that is what the user's model computes on real tensors.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from kerasfx.keras_api import operations
from kerasfx.keras_api.internals import backend_module
from kerasfx.runtime.functions import keras_functions

_BACKEND_NAMESPACES = ("numpy", "nn", "core", "math", "linalg", "image")

_FUNCTION_OF_CLASS = {
    "BatchNorm": "batch_normalization",
    "LayerNorm": "layer_normalization",
    "RMSNorm": "rms_normalization",
}

# (class, parameter of the operation) -> parameter of the function, where they differ.
_RENAMED_PARAMETERS = {("Stack", "xs"): "x"}  # Keras 3.5

# Constructor parameters that leave no attribute of their own and need none.
_UNUSED_PARAMETERS = {
    "Cross": {"axis"},  # `axis` only sets axisa, axisb and axisc, which are stored
    "FFT": {"axis"},  # Keras 3.5: accepted, never used
}

# Constructors that turn `axis=1` into `axis=[1]`, which some JAX functions reject.
_WRAPPED_AXES = frozenset(("axis", "source", "destination"))

# `istft` hands `length` to its operation since this version; before, the user's value is lost.
_ISTFT_KEEPS_LENGTH = (3, 14)

# Backend functions that differ from the public one only in how arguments are spelled.
_RESPELLED_BACKEND_FUNCTIONS = {
    "cholesky",
    "cholesky_inverse",
    "custom_gradient",
    "det",
    "dot",
    "eig",
    "eigh",
    "inv",
    "lu_factor",
    "multi_hot",
    "unfold",
}

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True)
class PublicCall:
    """A call of a public Keras function: `resolve(name)(*args, **kwargs)`.

    Attributes:
        name: Dotted name of the function, for example `keras.ops.reshape`.
        args: Positional arguments. Symbolic tensors stay where the operation had them, also
            inside lists and slices; they can be constructor arguments too (`clip` limits).
        kwargs: Keyword arguments. All are spelled out, so that a changed default cannot change
            the meaning; only `None` is left out where it is the default.
    """

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def public_call(
    operation: keras.Operation, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> PublicCall | None:
    """Returns the public call that computes what `operation(*args, **kwargs)` computes.

    Args:
        operation: The operation whose `symbolic_call` was intercepted.
        args: Positional arguments of that call.
        kwargs: Keyword arguments of that call.

    Returns:
        The call, or `None` when the operation is not one of `keras.ops`, holds a callable
        (`cond`, `scan`, `vectorized_map`, ...) or cannot be told exactly.
    """
    cls = type(operation)
    if operations.is_relu(cls):
        return _relu_call(operation, *args, **kwargs)
    # Tested before the cache sees the class, which would keep a user's class alive.
    if not operations.is_of_keras(cls):
        return None
    recipe = _recipe(cls)
    stored = _stored_values(operation, recipe) if recipe else None
    if recipe is None or stored is None:
        return None
    called = _called_values(recipe, args, kwargs)
    if _holds_callable([stored, called]):
        return None
    if cls.__name__ == "Cross":
        stored = _with_one_axis(stored)
    return recipe.spell(stored, called)


@functools.cache
def public_name(function_name: str, namespace: str) -> str | None:
    """Returns the public function that means the same as a backend function.

    Args:
        function_name: Name of a function of that module of the backend.
        namespace: `numpy`, `nn`, `core`, `math`, `linalg` or `image`.

    Returns:
        A name for `resolve`, or `None`. The arguments mean the same position by position. They are
        spelled alike too, but for a few functions whose tensor is called `a` in one and `x` in the
        other: pass the leading tensors by position.
    """
    if namespace not in _BACKEND_NAMESPACES:
        return None
    name = f"keras.ops.image.{function_name}" if namespace == "image" else f"keras.ops.{function_name}"
    public = keras_functions.functions().get(name)
    private = getattr(backend_module(namespace), function_name, None)
    if public is None or not callable(private):
        return None
    if function_name in _RESPELLED_BACKEND_FUNCTIONS or _starts_like(private, public):
        return name
    return None


@dataclass(frozen=True)
class _Recipe:
    """How the calls of one operation class are said publicly; derived once per class.

    Invariant: every parameter of the function gets its value from the operation, and every
    parameter of the operation is one of the function.
    """

    class_name: str
    name: str
    function: inspect.Signature
    constructor: tuple[str, ...]
    call: inspect.Signature

    def parameter(self, own_name: str) -> str:
        """Returns the function's name for a parameter of the operation."""
        return _RENAMED_PARAMETERS.get((self.class_name, own_name), own_name)

    def is_complete(self) -> bool:
        """Tells whether the invariant holds."""
        own = {self.parameter(name) for name in (*self.constructor, *self.call.parameters)}
        theirs = set(self.function.parameters) - _UNUSED_PARAMETERS.get(self.class_name, set())
        open_ended = any(p.kind is p.VAR_KEYWORD for p in self.function.parameters.values())
        missing = {name for name in theirs - own if self.function.parameters[name].kind not in _VARIADIC}
        return not missing and (open_ended or own <= theirs)

    def spell(self, stored: dict[str, Any], called: dict[str, Any]) -> PublicCall:
        """Orders values as a reader of the function's documentation would write them.

        Tensors the function requires come first by position, everything else by keyword; a function
        with `*operands` takes all that precedes them by position.
        """
        rest = {**stored, **called}
        positional: list[Any] = []
        for parameter in self._positional(called):
            value = rest.pop(parameter.name)
            positional.extend(value if parameter.kind is parameter.VAR_POSITIONAL else [value])
        keywords = {p.name: rest.pop(p.name) for p in self.function.parameters.values() if p.name in rest}
        keywords.update(rest)
        return PublicCall(self.name, tuple(positional), self._without_defaults(keywords))

    def _positional(self, called: Mapping[str, Any]) -> Iterator[inspect.Parameter]:
        parameters = list(self.function.parameters.values())
        variadic = [i for i, p in enumerate(parameters) if p.kind is p.VAR_POSITIONAL]
        if variadic:
            yield from parameters[: variadic[0] + 1]
            return
        for parameter in parameters:
            if parameter.name not in called or parameter.default is not parameter.empty:
                return
            yield parameter

    def _without_defaults(self, keywords: dict[str, Any]) -> dict[str, Any]:
        # Only None: it means "not given" in every Keras version, other defaults may change.
        defaults = {p.name: p.default for p in self.function.parameters.values()}
        return {k: v for k, v in keywords.items() if not (v is None and defaults.get(k, ...) is None)}


@functools.cache
def _recipe(cls: type[keras.Operation]) -> _Recipe | None:
    """Derives the recipe of an operation class; `None` when there is no faithful one."""
    name = _function_name(cls)
    if name is None:
        return None
    recipe = _Recipe(
        class_name=cls.__name__,
        name=name,
        function=inspect.signature(keras_functions.resolve(name)),
        constructor=_constructor_parameters(cls),
        call=_call_signature(cls),
    )
    return recipe if recipe.is_complete() else None


def _function_name(cls: type) -> str | None:
    """Finds the function of the same module and name: `RGBToHSV` is `rgb_to_hsv`."""
    function_name = _FUNCTION_OF_CLASS.get(cls.__name__, cls.__name__)
    return _functions_by_squashed_name().get((cls.__module__, _squashed(function_name)))


@functools.cache
def _functions_by_squashed_name() -> Mapping[tuple[str, str], str]:
    names: dict[tuple[str, str], str] = {}
    for name, function in keras_functions.functions().items():
        names.setdefault((function.__module__, _squashed(name.rpartition(".")[2])), name)
    return names


def _squashed(name: str) -> str:
    return name.replace("_", "").lower()


def _constructor_parameters(cls: type[keras.Operation]) -> tuple[str, ...]:
    """Names the parameters that configure the class, each stored under its own name."""
    if cls.__init__ is keras.Operation.__init__:
        return ()
    parameters = _without_self(inspect.signature(cls.__init__)).parameters.values()
    unused = {"name", *_UNUSED_PARAMETERS.get(cls.__name__, ())}
    return tuple(p.name for p in parameters if p.kind not in _VARIADIC and p.name not in unused)


def _call_signature(cls: type[keras.Operation]) -> inspect.Signature:
    # Before Keras 3.12 `BatchNorm` infers its output but has no `call`.
    method = cls.compute_output_spec if cls.call is keras.Operation.call else cls.call
    return _without_self(inspect.signature(method))


def _without_self(signature: inspect.Signature) -> inspect.Signature:
    return signature.replace(parameters=list(signature.parameters.values())[1:])


def _stored_values(operation: keras.Operation, recipe: _Recipe) -> dict[str, Any] | None:
    """Returns the constructor's arguments by the function's names, `None` when one is lost."""
    attributes = vars(operation)
    if any(name not in attributes for name in recipe.constructor) or _has_lost_argument(operation):
        return None
    return {recipe.parameter(name): _unwrapped(name, attributes[name]) for name in recipe.constructor}


def _with_one_axis(axes: dict[str, Any]) -> dict[str, Any]:
    """The axes of `cross` as its one `axis` where they are equal: PyTorch takes no others."""
    axis, *others = axes.values()
    return {"axis": axis} if axis != -1 and others == [axis, axis] else axes


def _unwrapped(name: str, value: Any) -> Any:
    return value[0] if name in _WRAPPED_AXES and isinstance(value, list) and len(value) == 1 else value


def _has_lost_argument(operation: Any) -> bool:
    """Tells whether what the user passed can no longer be read off the operation."""
    if type(operation).__name__ == "ISTFT":
        version = tuple(int(part) for part in keras.__version__.split(".")[:2])
        return version < _ISTFT_KEEPS_LENGTH and operation.length is None
    if type(operation).__name__ == "GaussianBlur":
        # The operation replaces None by the configured format. The function does not: run eagerly,
        # only TensorFlow takes None for channels last.
        tensorflow = keras.backend.backend() == "tensorflow"
        none_means = "channels_last" if tensorflow else "channels_first"
        return operation.data_format == keras.config.image_data_format() != none_means
    return False


def _called_values(recipe: _Recipe, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the call's arguments by the function's names, its `**kwargs` flattened."""
    bound = recipe.call.bind(*args, **kwargs)
    bound.apply_defaults()
    values: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        if recipe.call.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            values.update(value)
        else:
            values[recipe.parameter(name)] = value
    if recipe.class_name == "GetItem" and isinstance(values["key"], list):
        values["key"] = tuple(values["key"])  # as `GetItem.call` reads it; `get_item` does not
    return values


def _holds_callable(value: Any) -> bool:
    """Tells whether a function or layer is among the arguments; a dtype given as type is none."""
    if isinstance(value, Mapping):
        return any(_holds_callable(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        return any(_holds_callable(item) for item in value)
    return callable(value) and not isinstance(value, type)


def _relu_call(operation: Any, x: Any) -> PublicCall:
    """Says `keras.activations.relu`, an operation of its own."""
    stored = {k: getattr(operation, k) for k in ("negative_slope", "max_value", "threshold")}
    if stored == {"negative_slope": 0.0, "max_value": None, "threshold": 0.0}:
        return PublicCall("keras.ops.relu", (x,), {})
    return PublicCall("keras.activations.relu", (x,), stored)


def _starts_like(private: Callable[..., Any], public: Callable[..., Any]) -> bool:
    """Tells whether the public function's first parameters are those of the backend's."""
    own = [p for p in inspect.signature(private).parameters.values() if p.kind is not p.VAR_KEYWORD]
    theirs = list(inspect.signature(public).parameters.values())[: len(own)]
    return len(own) == len(theirs) and all(map(_means_the_same, own, theirs))


def _means_the_same(private: inspect.Parameter, public: inspect.Parameter) -> bool:
    # A required argument is always given, and a public default of None leaves the choice to the
    # backend, so only two different values can change the meaning of a call.
    open_choices = (private.default, inspect.Parameter.empty, None)
    undisputed = private.default is private.empty or public.default in open_choices
    return private.name == public.name and private.kind == public.kind and undisputed

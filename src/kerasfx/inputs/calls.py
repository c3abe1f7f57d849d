"""How a model is called, found from what `prepare_model` was given."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import keras

from kerasfx.errors import InputMismatchError, describe
from kerasfx.inputs.fitting import check_against
from kerasfx.inputs.forms import is_shape, is_tensor, specs_of
from kerasfx.inputs.known import from_model
from kerasfx.inputs.specs import CallSpec, Inputs, InputSpec
from kerasfx.ir import leaves_of, shown
from kerasfx.keras_api import internals
from kerasfx.reporting import Finding


def call_spec(model: keras.layers.Layer, input_layer: object) -> CallSpec:
    """Find out how `model` is called.

    Raises:
        InputRequiredError: Nothing is known about the inputs.
        InputMismatchError: `input_layer` is of no known form, or does not fit the model.
    """
    if isinstance(input_layer, Inputs):
        return _from_arguments(model, input_layer)
    if input_layer is None:
        return from_model(model)
    struct = specs_of(input_layer, _default_name(model))
    struct, taken = _as_taken(model, struct)
    check_against(model, taken)
    return CallSpec((taken,), {}, struct, _shapes_like_values(input_layer))


def _is_list_of_sizes(x: object) -> bool:
    # A None makes it a shape and nothing else.
    return isinstance(x, list) and is_shape(x) and None not in x


def _shapes_like_values(given: object) -> tuple[Finding, ...]:
    """What to tell of `[[1, 2, 3]]`, which could be the shape of one input, and an array that is one."""
    if not (isinstance(given, list) and given and all(map(_is_list_of_sizes, given))):
        return ()
    what = f"{shown(given)} is taken for shapes of inputs"
    return (Finding("warning", "", what, hint="numpy.array(...) where these are the numbers of an example"),)


def _as_taken(model: keras.layers.Layer, struct: object) -> tuple[Any, Any]:
    """The inputs as given, and as the model takes them: a list for a dict by order, and vice versa.

    A Functional model says what it takes, another one if it was built.
    """
    known = internals.input_structure(model)
    if known is None and model.built:
        known = next(iter((internals.known_input_shapes(model) or {}).values()), None)
    if isinstance(known, dict) and isinstance(struct, (list, tuple)) and len(known) == len(struct):
        named = [_named(x, str(key)) for x, key in zip(struct, known, strict=True)]
        return type(struct)(named), dict(zip(known, named, strict=True))
    if isinstance(known, (list, tuple)) and isinstance(struct, dict) and len(known) == len(struct):
        return struct, list(struct.values())
    return struct, struct


def _named(spec: object, name: str) -> Any:
    return replace(spec, name=name) if isinstance(spec, InputSpec) else spec


def _from_arguments(model: keras.layers.Layer, inputs: Inputs) -> CallSpec:
    try:
        bound = inspect.signature(model.call).bind(*inputs.args, **inputs.kwargs)
    except TypeError as error:
        raise InputMismatchError(
            describe(
                f"kerasfx.Inputs does not fit `{type(model).__name__}.call`: {error}.",
                hint=f"its signature is call{inspect.signature(model.call)}",
            )
        ) from error
    names = _argument_names(bound)
    args = tuple(_argument(a, n) for a, n in zip(inputs.args, names, strict=False))
    kwargs = {k: _argument(v, k) for k, v in inputs.kwargs.items()}
    positional = dict(zip(names, args, strict=False))
    struct = {k: v for k, v in {**positional, **kwargs}.items() if _has_spec(v)}
    if not struct:
        raise InputMismatchError(
            describe("kerasfx.Inputs holds no tensor.", hint="give one as keras.Input, array or shape")
        )
    return CallSpec(args, kwargs, struct)


def _argument_names(bound: inspect.BoundArguments) -> list[str]:
    """The names of the arguments in order; those of `*xs` are `xs_0`, `xs_1`..."""
    names: list[str] = []
    for name, value in bound.arguments.items():
        is_variadic = bound.signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL
        names += [f"{name}_{i}" for i in range(len(value))] if is_variadic else [name]
    return names


def _argument(x: object, name: str) -> Any:
    if not _holds_tensors(x):
        return x
    specs = specs_of(x, name)
    # Keras wants the key of a dict of inputs to be the name of the input.
    return replace(specs, name=name) if isinstance(specs, InputSpec) else specs


def _holds_tensors(x: object) -> bool:
    return is_shape(x) or any(is_tensor(leaf) for leaf in leaves_of(x))


def _has_spec(x: object) -> bool:
    return any(isinstance(leaf, InputSpec) for leaf in leaves_of(x))


def _default_name(model: keras.layers.Layer) -> str:
    parameters = list(inspect.signature(model.call).parameters)
    return parameters[0] if parameters and parameters[0] not in ("args", "self") else "input"

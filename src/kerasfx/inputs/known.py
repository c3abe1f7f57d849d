"""What a model says of its inputs: a Functional or Sequential one, or one that was built."""

from __future__ import annotations

import inspect
from dataclasses import replace

import keras

from kerasfx.errors import InputRequiredError, describe
from kerasfx.inputs.forms import given_name, specs_of
from kerasfx.inputs.specs import CallSpec
from kerasfx.keras_api import internals
from kerasfx.reporting import Finding


def from_model(model: keras.layers.Layer) -> CallSpec:
    """How `model` is called, as it says itself.

    Raises:
        InputRequiredError: It does not.
    """
    struct = internals.input_structure(model)
    if struct is None and isinstance(model, keras.Sequential) and model.built:
        struct = internals.input_of_sequential(model)
    if struct is not None:
        specs = specs_of(struct, "input")
        if isinstance(model, keras.Sequential) and _may_be_built_by_data(model, struct):
            specs = replace(specs, shape=(None, *specs.shape[1:]))
        return CallSpec((specs,), {}, specs)
    return _from_build_shapes(model)


def _may_be_built_by_data(model: keras.layers.Layer, tensor: keras.KerasTensor) -> bool:
    """Whether the batch of a Sequential model may be only that of the data it was first called with."""
    is_stateful = any(getattr(layer, "stateful", False) for layer in internals.all_layers(model))
    return given_name(tensor) is None and not is_stateful


def _from_build_shapes(model: keras.layers.Layer) -> CallSpec:
    shapes = internals.known_input_shapes(model) if model.built else None
    if not shapes or any(s is None for s in shapes.values()):
        raise InputRequiredError(_required_message(model))
    names = [k.removesuffix("_shape") for k in shapes]
    values = [specs_of(s, n, dtype=model.input_dtype) for s, n in zip(shapes.values(), names, strict=True)]
    finding = Finding(
        "warning",
        "",
        f"Keras keeps the shapes but not the dtypes of the inputs; {model.input_dtype} is assumed",
        hint="keras.Input(shape, dtype=...) as input_layer, or --input None,128:int32, if not so",
    )
    # Its name is then not known: "input_shape" may be that of any argument.
    if len(values) == 1:
        _require_one_argument(model)
        return CallSpec((values[0],), {}, values[0], (finding,))
    signature = list(inspect.signature(model.call).parameters)
    arguments = {n: v for n, v in zip(names, values, strict=True) if n in signature}
    return CallSpec((), arguments, dict(arguments), (finding,))


def _require_one_argument(model: keras.layers.Layer) -> None:
    """Keras keeps the shape of the first argument alone if `build` does not name the others."""
    try:
        inspect.signature(model.call).bind(None)
    except TypeError as error:
        why = f"Keras kept the shape of one argument, and `call` takes more: {error}"
        raise InputRequiredError(_required_message(model, why)) from error


def _required_message(
    model: keras.layers.Layer, why: str = "it is no Functional or Sequential model and was not built yet"
) -> str:
    return describe(
        f"The inputs of {type(model).__name__} '{model.name}' are not known.",
        why=why,
        hint="say what it is called with, for example\n"
        "         kerasfx.prepare_model(model, keras.Input((64,)))            # one tensor\n"
        '         kerasfx.prepare_model(model, {"a": keras.Input((64,)), ...})  # a structure of them\n'
        "         kerasfx.prepare_model(model, kerasfx.Inputs(x, context=c))   # several arguments",
    )

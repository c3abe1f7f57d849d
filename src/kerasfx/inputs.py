"""What a model is called with: the forms that `input_layer` takes, brought into one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeGuard

import keras
import numpy as np

from kerasfx.errors import InputMismatchError, InputRequiredError, describe
from kerasfx.ir import identifier, leaves_of, map_leaves
from kerasfx.keras_api import internals
from kerasfx.reporting import Finding


class ArrayLike(Protocol):
    """A tensor of Keras or of a backend, or a NumPy array."""

    @property
    def shape(self) -> Any:
        """Its sizes."""
        ...

    @property
    def dtype(self) -> Any:
        """Its dtype, in the words of who made it."""
        ...


class Inputs:
    """The arguments of a `call` that takes several: `kerasfx.Inputs(x, context=c, inverse=True)`.

    Tensors (given as `keras.Input`, example array or shape, or structures of them) become inputs of the
    prepared model, which is called with a dict of them keyed by argument name; Python values are fixed.
    """

    def __init__(self, *args: object, **kwargs: object):
        self.args = args
        self.kwargs = kwargs


@dataclass(frozen=True)
class InputSpec:
    """One input.

    Attributes:
        shape: With None for free sizes.
        dtype: As a string.
        name: The name that it should get.
        example: The array that it was given as, or None.
    """

    shape: tuple[int | None, ...]
    dtype: str
    name: str
    # `==` of arrays has no truth value.
    example: Any = field(default=None, compare=False, repr=False)

    @property
    def batch(self) -> int | None:
        """The batch of the example."""
        return np.shape(self.example)[0] if np.ndim(self.example) else None


@dataclass(frozen=True)
class CallSpec:
    """How the model is called.

    Attributes:
        args, kwargs: The arguments, with an `InputSpec` in the place of each tensor.
        struct: The structure with which the prepared model is called, of the same `InputSpec` objects.
        findings: What the user should know about how it was found.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    struct: Any
    findings: tuple[Finding, ...] = ()

    def changed(self, change: Callable[[InputSpec], InputSpec]) -> CallSpec:
        """The same call of other inputs, one made by `change` for each."""
        # By `id`: the specs of the arguments and of the structure are the same objects.
        made: dict[int, InputSpec] = {}

        def swap(x: object) -> Any:
            return made.setdefault(id(x), change(x)) if isinstance(x, InputSpec) else x

        args, kwargs, struct = map_leaves(swap, (self.args, self.kwargs, self.struct))
        return replace(self, args=args, kwargs=kwargs, struct=struct)

    def examples(self) -> Any:
        """The arrays in the structure of the inputs, or None if one of these was given otherwise."""
        given = all(x.example is not None for x in leaves_of(self.struct))
        return map_leaves(lambda x: x.example, self.struct) if given else None


def call_spec(model: keras.layers.Layer, input_layer: object) -> CallSpec:
    """Find out how `model` is called.

    Raises:
        InputRequiredError: Nothing is known about the inputs.
        InputMismatchError: `input_layer` is of no known form, or does not fit the model.
    """
    if isinstance(input_layer, Inputs):
        return _from_arguments(model, input_layer)
    if input_layer is None:
        return _from_model(model)
    struct = _specs(input_layer, _default_name(model))
    struct, taken = _as_taken(model, struct)
    _check_against(model, taken)
    return CallSpec((taken,), {}, struct)


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
    specs = _specs(x, name)
    # Keras wants the key of a dict of inputs to be the name of the input.
    return replace(specs, name=name) if isinstance(specs, InputSpec) else specs


def _holds_tensors(x: object) -> bool:
    return _is_shape(x) or any(_is_tensor(leaf) for leaf in leaves_of(x))


def _has_spec(x: object) -> bool:
    return any(isinstance(leaf, InputSpec) for leaf in leaves_of(x))


def _from_model(model: keras.layers.Layer) -> CallSpec:
    struct = internals.input_structure(model)
    if struct is None and isinstance(model, keras.Sequential) and model.built:
        struct = internals.input_of_sequential(model)
    if struct is not None:
        specs = _specs(struct, "input")
        if isinstance(model, keras.Sequential) and _may_be_built_by_data(model, struct):
            specs = replace(specs, shape=(None, *specs.shape[1:]))
        return CallSpec((specs,), {}, specs)
    return _from_build_shapes(model)


def _may_be_built_by_data(model: keras.layers.Layer, tensor: keras.KerasTensor) -> bool:
    """Whether the batch of a Sequential model may be only that of the data it was first called with."""
    is_stateful = any(getattr(layer, "stateful", False) for layer in internals.all_layers(model))
    return _given_name(tensor) is None and not is_stateful


def _from_build_shapes(model: keras.layers.Layer) -> CallSpec:
    shapes = internals.known_input_shapes(model) if model.built else None
    if not shapes or any(s is None for s in shapes.values()):
        raise InputRequiredError(_required_message(model))
    names = [k.removesuffix("_shape") for k in shapes]
    values = [_specs(s, n, dtype=model.input_dtype) for s, n in zip(shapes.values(), names, strict=True)]
    finding = Finding(
        "warning",
        "",
        f"Keras keeps the shapes but not the dtypes of the inputs; {model.input_dtype} is assumed",
        hint="pass input_layer=keras.Input(shape, dtype=...) where that is not so",
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


def _check_against(model: keras.layers.Layer, struct: object) -> None:
    """Refuse inputs that a Functional or Sequential model cannot take, before any work."""
    known = internals.input_structure(model)
    if known is None:
        return
    expected, given = list(leaves_of(known)), list(leaves_of(struct))
    if len(expected) != len(given):
        raise InputMismatchError(
            describe(
                f"'{model.name}' takes {len(expected)} inputs, but input_layer holds {len(given)}.",
                hint=f"its inputs are {_shown(known)}",
            )
        )
    if isinstance(known, dict) and isinstance(struct, dict) and set(known) != set(struct):
        raise InputMismatchError(
            describe(f"'{model.name}' takes the keys {sorted(known)}, but input_layer has {sorted(struct)}.")
        )
    for ours, theirs in zip(_flat(struct), _flat(known), strict=True):
        _check_one(model, ours, theirs)


def _flat(structure: object) -> Iterator[Any]:
    """The leaves in the order of keys, as Keras flattens."""
    if isinstance(structure, dict):
        structure = [structure[k] for k in sorted(structure)]
    if isinstance(structure, (list, tuple)):
        for item in structure:
            yield from _flat(item)
    else:
        yield structure


def _check_one(model: keras.layers.Layer, ours: InputSpec, theirs: keras.KerasTensor) -> None:
    # All but the batch, which is free in the result.
    fits = len(ours.shape) == len(theirs.shape) and all(
        a == b or b is None for a, b in zip(ours.shape[1:], theirs.shape[1:], strict=True)
    )
    if not fits:
        raise InputMismatchError(
            describe(
                f"'{model.name}' takes an input '{theirs.name}' of shape {theirs.shape}, "
                f"but input_layer has {ours.shape} in its place.",
            )
        )
    if ("float" in ours.dtype) != ("float" in theirs.dtype):
        raise InputMismatchError(
            describe(
                f"'{model.name}' takes an input '{theirs.name}' of dtype {theirs.dtype}, "
                f"but input_layer has {ours.dtype} in its place.",
                hint=f"keras.Input({theirs.shape[1:]}, dtype={theirs.dtype!r})",
            )
        )


def _shown(struct: object) -> Any:
    return map_leaves(lambda t: (t.name, t.shape, t.dtype), struct)


def _default_name(model: keras.layers.Layer) -> str:
    parameters = list(inspect.signature(model.call).parameters)
    return parameters[0] if parameters and parameters[0] not in ("args", "self") else "input"


def _specs(x: object, name: str, dtype: str | None = None) -> Any:
    """Turn a structure of inputs, arrays or shapes into one of `InputSpec`."""
    if _is_shape(x):
        return InputSpec((None, *x[1:]), dtype or keras.config.floatx(), name)
    if _is_list_of_values(x):
        return _one(np.asarray(x, dtype or _dtype_of_values(x)), name)
    if isinstance(x, dict) and x:
        return {k: _specs(v, str(k), dtype) for k, v in x.items()}
    if isinstance(x, (list, tuple)) and x:
        items = [_specs(v, f"{name}_{i}" if len(x) > 1 else name, dtype) for i, v in enumerate(x)]
        return type(x)(*items) if hasattr(x, "_fields") else type(x)(items)
    return _one(x, name)


def _one(x: object, name: str) -> Any:
    if isinstance(x, keras.layers.InputLayer):
        x = x.output
    if isinstance(x, keras.KerasTensor):
        return InputSpec(tuple(x.shape), x.dtype, _given_name(x) or name)
    if _is_tensor(x):
        shape = tuple(x.shape)
        free = (None, *shape[1:]) if shape else shape
        return InputSpec(free, _dtype_of(x), name, x)
    raise InputMismatchError(
        describe(
            f"input_layer holds {x!r} of type {type(x).__name__}.",
            why="an input is a keras.Input, a keras.layers.InputLayer, an example array or a shape",
            hint="for arguments that are Python values: kerasfx.Inputs(x, flag=True)",
        )
    )


def _dtype_of(array: ArrayLike) -> str:
    is_text = isinstance(array, (np.ndarray, np.generic)) and array.dtype.kind in "OSU"
    return "string" if is_text else internals.standardize_dtype(array.dtype)


def _given_name(tensor: keras.KerasTensor) -> str | None:
    """The name of a `keras.Input`, unless Keras made it up."""
    # Keras numbers them: they are others in the next process.
    automatic = ("keras_tensor", "input_layer")
    return None if tensor.name.startswith(automatic) else identifier(tensor.name)


def _is_tensor(x: object) -> TypeGuard[ArrayLike]:
    return isinstance(
        x, (keras.KerasTensor, keras.layers.InputLayer, np.ndarray, np.generic)
    ) or keras.ops.is_tensor(x)


def _is_list_of_values(x: object) -> bool:
    """Whether `x` is an array written as lists of numbers or strings; whole numbers alone are a shape."""
    is_list = isinstance(x, (tuple, list)) and len(x) > 0
    return is_list and all(isinstance(leaf, (float, str, bool)) for leaf in leaves_of(x))


def _dtype_of_values(x: object) -> str | None:
    return keras.config.floatx() if isinstance(next(leaves_of(x)), float) else None


def _is_shape(x: object) -> TypeGuard[Sequence[int | None]]:
    # `type`, because True is an int.
    return isinstance(x, (tuple, list)) and len(x) > 0 and all(d is None or type(d) is int for d in x)

"""Shapes and dtypes of results, found by asking Keras for two sets of example sizes.

Where both answers agree the size is known; where they differ it is a new `Dim`, "axis k of that Value".
Asking with sizes instead of None serves code that cannot handle None, and finds the sizes that Keras
loses although they are known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import NoneType
from typing import Any

import keras

from kerasfx.errors import OutputNotTensorError, describe
from kerasfx.ir import (
    Body,
    Value,
    leaves_of,
    map_leaves,
    values_in,
)
from kerasfx.ir.build import Spec
from kerasfx.ir.dims import Dim, hint
from kerasfx.keras_api import internals
from kerasfx.keras_api.internals import standardize_dtype
from kerasfx.runtime import codec, functions
from kerasfx.tracing.encoding import encode
from kerasfx.tracing.recorder import Args, Function, Kwargs

SizeOf = Callable[[Any], Any]
"""The number for a Dim; anything else comes back as it is."""

UNCUT = 2
"""The second set of example sizes, with lengths that reach the limit at which they are cut."""


def infer_call(function: Function, args: Args, kwargs: Kwargs) -> list[Any]:
    """Results of a public function, as the backend itself computes them.

    Returns:
        One structure of `Spec` for each set of example sizes that matters.
    """
    return _for_both(partial(specs_of_call, function, args, kwargs), (args, kwargs))


def specs_of_call(function: Function, args: Args, kwargs: Kwargs, size: SizeOf) -> Any:
    """Results of a public function for the sizes that `size` gives, a structure of `Spec`."""
    tensors: list[Any] = []
    template = example((args, kwargs), size, tensors)

    def call(*flat: Any) -> Any:
        call_args, call_kwargs = map_leaves(lambda x: _filled(x, flat), template)
        return function(*call_args, **call_kwargs)

    if function is keras.ops.slice:
        # Its shape is an argument; PyTorch would cut what is too long for the example sizes.
        return _specs(call(*tensors))
    specs = _specs(_as_backend_or_keras_says(call, tensors))
    if not tensors and any(None in s.shape for s in leaves_of(specs) if isinstance(s, Spec)):
        # TensorFlow loses the sizes of some functions of Python numbers, `tf.linspace` for one.
        specs = _specs(call())
    return specs


def _as_backend_or_keras_says(call: Function, tensors: list[Any]) -> Any:
    """The backend knows best, but some functions of old Keras only run on real tensors."""
    try:
        return internals.backend_output_spec(call, *tensors)
    except Exception as error:
        try:
            return call(*tensors)
        except Exception:
            # What the backend says is what the user sees on real tensors.
            raise error from None


def without_draw(name: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments that take nothing from the seed generator of the process."""
    unseeded = name.startswith("keras.random.") and kwargs.get("seed", 0) is None
    return {**kwargs, "seed": 0} if unseeded else dict(kwargs)


def infer_layer(layer: keras.Layer, args: Args, kwargs: Kwargs) -> list[Any]:
    """Results of a layer, as its `compute_output_spec` says."""
    return _for_both(partial(specs_of_layer, layer, args, kwargs), (args, kwargs))


def specs_of_layer(layer: keras.Layer, args: Args, kwargs: Kwargs, size: SizeOf) -> Any:
    """Results of a layer for the sizes that `size` gives, a structure of `Spec`."""
    tensors: list[Any] = []
    template = example((args, kwargs), size, tensors)
    tensors = [internals.cast_for(layer, x) for x in tensors]
    call_args, call_kwargs = map_leaves(lambda x: tensors[x.index] if isinstance(x, _Slot) else x, template)
    with internals.weights_cast_for(layer):
        try:
            specs = _specs(layer.compute_output_spec(*call_args, **call_kwargs))
        except NotImplementedError:
            # `TorchModuleWrapper` has a method that only raises this.
            return _specs(internals.backend_output_spec(call_of(layer), *call_args, **call_kwargs))
        said = [s for s in leaves_of(specs) if isinstance(s, Spec)]
        if all(None not in s.shape for s in said) and not _is_of_another_call(layer, said, tensors):
            return specs
        # Some built-in layers, `EinsumDense` for one, lose sizes that the backend knows.
        return _specs(internals.backend_output_spec(call_of(layer), *call_args, **call_kwargs))


def _is_of_another_call(layer: keras.Layer, said: list[Spec], tensors: list[Any]) -> bool:
    """Whether a layer says what it gave when it was built, as an `EinsumDense` of Keras 3.14 does."""
    return isinstance(layer, keras.layers.EinsumDense) and said[0].shape[0] != tensors[0].shape[0]


def python_values_of(layer: keras.Layer, args: Args, kwargs: Kwargs) -> list[Any]:
    """What `call` of a layer returns that is no tensor, for the first example sizes; not a None that is all.

    Keras itself does not say so: JAX makes a tensor of a number where it infers shapes.
    """
    tensors: list[Any] = []
    template = example((args, kwargs), partial(_example_size, 0), tensors)
    found: list[Any] = []

    def call(*flat: Any) -> list[Any]:
        call_args, call_kwargs = map_leaves(lambda x: _filled(x, flat), template)
        results = list(leaves_of(call_of(layer)(*call_args, **call_kwargs)))
        is_nothing = all(x is None for x in results)
        found[:] = [x for x in results if not is_nothing and isinstance(x, (NoneType, bool, int, float, str))]
        return [x for x in results if keras.ops.is_tensor(x)]

    # What a layer says to these arguments is told where it is inferred.
    with suppress(Exception), internals.weights_cast_for(layer):
        internals.backend_output_spec(call, *(internals.cast_for(layer, x) for x in tensors))
    return found


def call_of(layer: keras.Layer) -> Function:
    """What `Layer.__call__` runs: `call`, or what takes its place in a quantized layer."""
    is_quantized = getattr(layer, "quantization_mode", None) is not None
    return layer.quantized_call if is_quantized else layer.call


@dataclass(frozen=True)
class _Slot:
    index: int


@dataclass(frozen=True)
class _BodySlots:
    """A body that captures the tensors of these slots."""

    body: Body
    slots: tuple[_Slot, ...]


def _filled(x: object, tensors: Any) -> Any:
    if isinstance(x, _Slot):
        return tensors[x.index]
    return _callable(x, tensors) if isinstance(x, _BodySlots) else x


def _callable(x: _BodySlots, tensors: Any) -> Function:
    """The body as the function that a saved model makes of it."""
    encoded = encode(x.body, x.body.captured.index)
    captured = [tensors[s.index] for s in x.slots]
    return codec.decode(encoded, captured, lambda tensor, axis: tensor.shape[axis], functions.resolve)


def example(structure: object, size: SizeOf, tensors: list[Any]) -> Any:
    """Replace Values by slots, their tensors of example sizes being appended to `tensors`."""

    def leaf(x: object) -> Any:
        if isinstance(x, Body):
            return _BodySlots(x, tuple(leaf(v) for v in x.captured))
        if not isinstance(x, Value):
            return size(x)
        tensors.append(keras.KerasTensor([size(d) for d in x.shape], dtype=x.dtype))
        return _Slot(len(tensors) - 1)

    return map_leaves(leaf, structure)


def _example_size(which: int, size: Any) -> Any:
    is_whole_again = which == UNCUT and isinstance(size, Dim) and size.is_cut
    return hint(size, 0 if is_whole_again else min(which, 1))


def _for_both(specs_for: Callable[[SizeOf], Any], structure: object) -> list[Any]:
    def run(which: int) -> Any:
        return specs_for(partial(_example_size, which))

    first, free = run(0), _free_sizes(structure)
    if not free:
        return [first]
    try:
        return [first, run(1)]
    except Exception:
        if not any(d.is_cut for d in free):
            raise
        # The op takes lengths that reach the limit alone, and refuses others when the model runs, too.
        return [first, run(UNCUT)]


def _free_sizes(structure: object) -> list[Dim]:
    sizes = [d for value in values_in(structure) for d in value.shape]
    return [d for d in (*sizes, *leaves_of(structure)) if isinstance(d, Dim)]


def _specs(result: Any) -> Any:
    def leaf(x: Any) -> Any:
        if x is None or isinstance(x, (int, float)):
            return x
        if hasattr(x, "shape") and hasattr(x, "dtype"):
            return Spec(tuple(x.shape), standardize_dtype(x.dtype))
        raise OutputNotTensorError(
            describe(f"A call returned {x!r} of type {type(x).__name__}, which is not a tensor.")
        )

    return map_leaves(leaf, result)

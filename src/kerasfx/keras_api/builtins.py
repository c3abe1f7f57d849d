"""Which layers are Keras's own: those that Keras and this package can load by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from kerasfx.keras_api import foreign
from kerasfx.keras_api.internals import all_layers, module_of, replaced_weights

_HARMLESS = {
    "__init__",
    "get_config",
    "from_config",
    "__doc__",
    "__module__",
    "__qualname__",
    "__annotations__",
}
# What Python itself writes down, some of it since 3.13.
_HARMLESS |= {
    "__static_attributes__",
    "__firstlineno__",
    "__classcell__",
    "__dict__",
    "__weakref__",
}

WEIGHT_KINDS = ("regularizer", "constraint")
"""What a weight may have besides its value, by the name of its attribute."""

ELEMENTWISE = (
    keras.regularizers.L1,
    keras.regularizers.L2,
    keras.regularizers.L1L2,
    keras.constraints.NonNeg,
)
"""Regularizers and constraints that do not ask where in the weight an element lies."""


TAKES_NUMBERS = (
    "keras.src.layers.convolutional.",
    "keras.src.layers.core.dense",
    "keras.src.layers.core.einsum_dense",
    "keras.src.layers.core.embedding",
    "keras.src.layers.normalization.",
    "keras.src.layers.rnn.gru",
    "keras.src.layers.rnn.lstm",
    "keras.src.layers.rnn.simple_rnn",
)
"""Modules of layers that refuse strings when they run, on each backend, and say nothing before."""


def takes_numbers_alone(cls: type) -> bool:
    """Whether a layer of class `cls` refuses strings when it runs."""
    found = builtin_class(cls)
    return found is not None and module_of(found).startswith(TAKES_NUMBERS)


def is_builtin(cls: type) -> bool:
    """Whether `cls` is a layer class of Keras or of kerasfx that can be loaded by its name."""
    # The class of a `Lambda` is found by its name, the code in it is not.
    return (
        module_of(cls).startswith(("keras.src.layers.", "kerasfx.runtime.layers"))
        and cls is not keras.layers.Lambda
    )


def builtin_class(cls: type) -> type | None:
    """The built-in class that a layer of class `cls` behaves as, or None.

    It is `cls` itself or, for a subclass that only adds a constructor or a config, its built-in base.
    """
    for base in cls.__mro__:
        if is_builtin(base):
            return base
        if set(vars(base)) - _HARMLESS - {n for n in vars(base) if n.startswith("_abc_")}:
            return None
    return None


def is_container(layer: keras.Layer) -> bool:
    """Whether `layer` is a model: it only arranges other layers."""
    return isinstance(layer, keras.Model)


def applies_activation_last(layer: keras.Layer) -> bool:
    """Whether the result of `layer` is its activation applied to what it would give without one."""
    return isinstance(layer, ACTIVATION_LAST)


def custom_parts(layer: keras.Layer) -> list[Any]:
    """The layers inside a built-in layer (a wrapper, an RNN) that need code of the user's."""
    inside = all_layers(layer)[1:]
    return [x for x in inside if _is_custom(x) or _is_regularized(x) or foreign.activation_of(x)]


def _is_regularized(layer: keras.Layer) -> bool:
    """Whether code of other modules gives a loss for what `layer`, inside another one, returns."""
    return not foreign.is_of_keras(layer.activity_regularizer, "regularizer")


def _is_custom(layer: keras.Layer) -> bool:
    """Whether the class of `layer` is of other code; models of layers are Keras's own."""
    cls = type(layer)
    return builtin_class(cls) is None and not module_of(cls).startswith("keras.src.models.")


def how_to_save(layer: keras.Layer) -> str:
    """What the user has to do before a model with `layer` in it can be saved; "" for nothing."""
    # Innermost first: a layer fails for what lies inside of it.
    for part in reversed(all_layers(layer)):
        try:
            part.get_config()
        except Exception as error:
            reason = " ".join(str(error).split())
            return f"give {type(part).__name__} a get_config() before saving the model: {reason}"
    return ""


def computes_with_others(layer: keras.Layer) -> list[Any]:
    """The weights of `layer`, or of a layer in it, in whose place the user's code has put something else.

    `layer.kernel = scale * direction / length`, in `call` or before: what Keras makes of the config of such a
    layer computes with the weight.
    """
    return [v for x in all_layers(layer) for v in replaced_weights(x)]


def is_whole_by_itself(layer: keras.Layer) -> bool:
    """Whether `layer` stays whole unless someone asks otherwise: Keras alone can load it, and it is no model.

    A layer stays whole as well if just its activation, which it applies last, is of other code.
    """
    if is_container(layer) or builtin_class(type(layer)) is None or custom_parts(layer):
        return False
    if computes_with_others(layer):
        return False
    return applies_activation_last(layer) or not foreign.activation_of(layer)


ACTIVATION_LAST = (
    keras.layers.Conv1D,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3D,
    keras.layers.Conv3DTranspose,
    keras.layers.Dense,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.EinsumDense,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)


def arguments_for(name: str, kind: str) -> Iterator[str]:
    """How a constructor may call the regularizer or constraint of the weight `name`.

    That of "recurrent_kernel" is `recurrent_regularizer`, that of the "kernel" of a depthwise convolution is
    `depthwise_regularizer`.
    """
    last = name.rpartition("/")[2]
    yield f"{last}_{kind}"
    yield f"{last.removesuffix('_kernel')}_{kind}"
    if last == "kernel":
        yield f"depthwise_{kind}"

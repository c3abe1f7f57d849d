"""A layer that stays whole: its call is one node, with the arguments that the user gave it."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

import keras

from kerasfx.errors import (
    InputMismatchError,
    OutputNotTensorError,
    UnsupportedOperationError,
    describe,
)
from kerasfx.ir import (
    FOLLOWS,
    LayerCall,
    LayerSpec,
    Node,
    Training,
    Value,
    identifier,
    leaves_of,
    map_leaves,
)
from kerasfx.ir.build import specs_like
from kerasfx.keras_api import foreign, internals
from kerasfx.keras_api.builtins import (
    applies_activation_last,
    builtin_class,
    computes_with_others,
    custom_parts,
    how_to_save,
    is_builtin,
    takes_numbers_alone,
)
from kerasfx.tracing import inference
from kerasfx.tracing.arguments import layer_argument
from kerasfx.tracing.control.training_flag import is_flag
from kerasfx.tracing.layers.frames import Frame
from kerasfx.tracing.native.calls import followed
from kerasfx.tracing.recorder import Args, Function, Kwargs
from kerasfx.tracing.session import Session
from kerasfx.tracing.sizes.examples import Refusal
from kerasfx.tracing.state.unused import regularizers_that_count
from kerasfx.tracing.tensor import TracedTensor, mask_value
from kerasfx.tracing.where import name_of, source_line

STRINGS = (
    'x.astype("float32") for numbers that are written as text; '
    "a StringLookup or TextVectorization in front of it for words"
)


def record_whole(session: Session, frame: Frame, populated: dict[str, Any]) -> Any:
    """Record the call of the layer of `frame`; `populated` is what Keras passes it by keyword."""
    layer = frame.layer
    _require_own_weights(session, layer)
    user_args, user_kwargs = _arguments_given(session, frame, populated)
    args, kwargs = map_leaves(partial(layer_argument, session), (user_args, user_kwargs))
    _require_numbers(session, layer, (args, kwargs))
    with session.pause():
        # Masks and `training` that Keras filled in are for the inference alone: the result finds its own.
        plain = {k: v for k, v in populated.items() if k not in frame.kwargs}
        masks = map_leaves(partial(layer_argument, session), _without_flag(plain))
        all_kwargs = {**masks, **_without_flag(kwargs)}
        _require_tensors(session, layer, args, all_kwargs)
        try:
            specs = session.memory.of_layer(layer, args, all_kwargs)
        except Exception as error:
            if frame.is_whole and builtin_class(type(layer)) is None:
                error.kerasfx_wanted_whole = True  # pyright: ignore[reportAttributeAccessIssue]
            infer = partial(inference.specs_of_layer, layer, args, all_kwargs)
            # Whatever a layer says to sizes that do not fit: the next attempt needs to know the call.
            session.clashes.note_refused(_refusal(layer, args, kwargs, infer))
            raise
        _build_for_training(layer, args, all_kwargs)
    activation = _split_activation(session, frame)
    config: dict[str, Any] = {"activation": "linear"} if activation else {}
    config |= regularizers_that_count(layer, session.is_tracked(layer))
    if activation and layer.activity_regularizer is not None:
        config["activity_regularizer"] = None  # it is about what the activation gives
    target = LayerCall(layer, _why_kept(session, frame), config)
    node = Node(frame.path or name_of(layer), target, args, kwargs, frame.path, source_line())
    node.training = _rule(layer)
    for tensor in leaves_of((user_args, user_kwargs)):
        if isinstance(tensor, TracedTensor):
            node.implicit_masks[tensor.value] = mask_value(tensor)
    frame.node = node
    outputs = session.finish(node, specs)
    if activation is None:
        return outputs
    with session.user_code():
        outputs = followed(activation)(outputs)
    # Keras adds up the losses of tracked layers, and no others.
    return regularized(session, frame, outputs) if session.is_tracked(layer) else outputs


def _build_for_training(layer: keras.Layer, args: Args, kwargs: Kwargs) -> None:
    """Let a layer of the user's build what it calls in training alone, as one that is opened does."""
    is_whole = is_builtin(type(layer)) or all(x.built for x in internals.all_layers(layer))
    if is_whole or not internals.takes_training(layer):
        return
    # Code of the user's, which need not run in training.
    with suppress(Exception), internals.call_context(True):
        inference.infer_layer(layer, args, {**kwargs, "training": True})


def _require_own_weights(session: Session, layer: keras.Layer) -> None:
    """Refuse a built-in layer that computes with something else than the weights of a copy of it."""
    others = computes_with_others(layer) if builtin_class(type(layer)) is not None else []
    if others:
        raise UnsupportedOperationError(
            describe(
                f"{type(layer).__name__} computes with something else than its weight {others[0].name}.",
                where=session.locate(source_line()),
                why="it is to stay whole, and what Keras makes of its config computes with the weight",
                hint="leave it out of leaves=, or keep the layer around it whole",
            )
        )


def _refusal(layer: keras.Layer, args: Args, kwargs: Kwargs, infer: Function) -> Refusal:
    """What met in the call: its operands, the weights, and the sizes that the layer was made with."""
    wanted = [(args[0].shape[0], *layer.target_shape)] if isinstance(layer, keras.layers.Reshape) else []
    return Refusal(((*args, *wanted), kwargs), infer, [tuple(v.shape) for v in layer.variables])


def _require_numbers(session: Session, layer: keras.Layer, given: object) -> None:
    """Refuse strings for a layer that tells their shape as that of numbers, and raises when it runs."""
    text = next((x for x in leaves_of(given) if isinstance(x, Value) and x.dtype == "string"), None)
    if text is None or not takes_numbers_alone(type(layer)):
        return
    error = InputMismatchError(
        describe(
            f"{type(layer).__name__} takes numbers, and gets the strings of {text.name}.",
            where=session.locate(source_line()),
            hint=STRINGS,
        )
    )
    # Nor would the layers around it run.
    error.kerasfx_final = True  # pyright: ignore[reportAttributeAccessIssue]
    raise error


def _require_tensors(session: Session, layer: keras.Layer, args: Args, kwargs: Kwargs) -> None:
    """Refuse to keep a custom layer whole that returns numbers: a flat model would hand tensors on."""
    if builtin_class(type(layer)) is not None:
        return
    values = inference.python_values_of(layer, args, kwargs)
    if values:
        raise OutputNotTensorError(
            describe(
                f"{type(layer).__name__} stays whole and returns {values[0]!r}, which is no tensor.",
                where=session.locate(source_line()),
                why="a layer of a Functional model gives tensors alone",
                hint="let its `call` return tensors alone, or keep the layer around it whole",
            )
        )


def _rule(layer: keras.Layer) -> Training:
    """Which `training` the call of a layer kept whole gets, from what the context holds inside of it."""
    found = internals.training_of_context()
    if is_flag(found):
        return found.rule
    # The layers inside find what the context holds, here a mode that is known.
    hides_layers = not internals.takes_training(layer) and internals.sublayers(layer)
    return Training(fixed=bool(found)) if hides_layers else FOLLOWS


def _split_activation(session: Session, frame: Frame) -> Any:
    """The activation that becomes nodes of its own, because it is a function of other code."""
    layer = frame.layer
    is_free = builtin_class(type(layer)) is not None and not session.policy.is_kept(layer, frame.path)
    return foreign.activation_of(layer) if is_free and applies_activation_last(layer) else None


def _arguments_given(session: Session, frame: Frame, populated: dict[str, Any]) -> tuple[Any, Any]:
    """What the user passed; plus `training` where an enclosing call fixed it."""
    kwargs = {
        k: v
        for k, v in frame.kwargs.items()
        # Keras puts the implicit mask in the place of a mask that is None.
        if not is_flag(v) and not (v is None and k.endswith("mask"))
    }
    args = tuple(a for a in frame.args if not is_flag(a))
    given = populated.get("training", kwargs.get("training"))
    if internals.takes_training(frame.layer) and not is_flag(given):
        if not any(map(is_flag, frame.args)):
            kwargs["training"] = bool(given)
    elif "training" in kwargs and not internals.takes_training(frame.layer):
        del kwargs["training"]
    return args, kwargs


def _why_kept(session: Session, frame: Frame) -> str | None:
    layer = frame.layer
    if session.policy.is_requested(layer, frame.path):
        session.note("kept", f"{type(layer).__name__} stays whole on request")
        return None
    reason = session.policy.kept.get(id(layer))
    if builtin_class(type(layer)) is not None:
        part = _foreign_part(session, frame)
        if part is None:
            return None
        reason = f"{part}, and it could not be opened: {reason}" if reason else part
    reason = reason or "it is a custom layer"
    session.note("opaque", f"{type(layer).__name__} is kept whole: {reason}", hint=how_to_save(layer))
    return reason


def _foreign_part(session: Session, frame: Frame) -> str | None:
    """What keeps a built-in layer from being loaded without the user's code, or None."""
    parts = custom_parts(frame.layer)
    if parts:
        names = ", ".join(sorted({type(p).__name__ for p in parts}))
        return f"it holds layers that need code of other modules: {names}"
    activation = foreign.activation_of(frame.layer)
    if activation is not None and not _split_activation(session, frame):
        return f"a file does not give its activation {foreign.shown(activation)} back"
    functions = foreign.functions_of(frame.layer)
    return f"it holds {foreign.shown(functions[0])}, a function of other code" if functions else None


def regularized(session: Session, frame: Frame, outputs: object) -> Any:
    """`outputs` through layers that only bear the activity regularizer of an opened one."""
    regularizer = frame.layer.activity_regularizer
    if regularizer is None:
        return outputs
    config = {"activity_regularizer": regularizer}
    return map_leaves(lambda x: _through_identity(session, x, config, frame.path), outputs)


def _through_identity(session: Session, x: object, config: dict[str, Any], path: str) -> Any:
    if not isinstance(x, TracedTensor):
        return x
    config = {**config, "dtype": x.value.dtype}
    target = LayerSpec("keras.layers.Identity", config, slots={})
    node = Node(f"{identifier(path)}_activity_regularizer", target, (x.value,), {}, path)
    result = session.finish(node, specs_like(x.value))
    result.value.mask = x.value.mask
    internals.set_mask(result, internals.mask_of(x))
    return result


def _without_flag(structure: object) -> Any:
    return map_leaves(lambda x: False if is_flag(x) else x, structure)

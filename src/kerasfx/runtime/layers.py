"""The few registered layers that Keras lacks: an op, a weight, a constant, a mask put on or off.

A prepared model is loaded with Keras and kerasfx alone: `import kerasfx` registers these classes. What they
are made and called with may come from a file that nobody has read, so each asks `safety` first.
"""

from __future__ import annotations

# Not `Any` from it: that is the layer of `keras.ops.any`.
import typing
from collections.abc import Iterable, Sequence

import keras
from keras import ops

from kerasfx.errors import (
    InferenceRefusedError,
    SizeGuardError,
    TrainingRefusedError,
    describe,
)
from kerasfx.ir.dims import COMPARISONS
from kerasfx.ir.training import ORDER
from kerasfx.runtime import codec, safety
from kerasfx.runtime.calling import size_of as size_of
from kerasfx.runtime.function_layers import BY_NAME, Op
from kerasfx.runtime.held_weights import CONSTANT, HeldWeight, require_constant
from kerasfx.runtime.plain import Plain, acts, data_of
from kerasfx.runtime.reading_variables import read_assigned, variables_are_places

__all__ = [
    "AddLoss",
    "After",
    "AttachMask",
    "CheckSizes",
    "Constant",
    "DrawSeed",
    "DropMask",
    "Op",
    "Parameter",
    "ReadAssigned",
    "ReadHeld",
    "RefuseInference",
    "RefuseTraining",
    "SelectByTraining",
    "UpdateMetric",
]


def __getattr__(name: str) -> type[Op]:
    """The layer of a function, by the name of its class: there are thousands of them."""
    if name in BY_NAME:
        return BY_NAME[name]
    raise AttributeError(f"kerasfx.layers has no {name!r}")


@keras.saving.register_keras_serializable("kerasfx")
class Parameter(Plain):
    """A weight of the graph; its output is the weight itself, without a batch axis.

    Args:
        shape, weight_dtype: Of the weight.
        weight_trainable: Whether the weight is trained.
        regularizer, constraint: Of the weight.
        assigned: Whether the model assigns the weight. What is read then is a copy: PyTorch assigns in place.

    Call arguments:
        inputs: Any tensor of the model; it only ties the layer to the graph. To assign the weight,
            `[x, new value]`; the result is `x` then.
        update: Whether to assign the weight.
    """

    def __init__(
        self,
        shape: Sequence[int],
        weight_dtype: str = "float32",
        weight_trainable: bool = True,
        regularizer: object = None,
        constraint: object = None,
        assigned: bool = False,
        **kwargs: object,
    ):
        super().__init__(**kwargs)
        safety.require_shape(shape)
        safety.require_dtype(weight_dtype)
        self.assigned = assigned
        held = HeldWeight("weight", tuple(shape), weight_dtype, weight_trainable, regularizer, constraint)
        self.held = held.with_objects()
        self.weight: typing.Any = None

    @classmethod
    def of(cls, weight: HeldWeight, name: str, assigned: bool = False) -> Parameter:
        """A layer for a weight, which it does not have yet."""
        given = (weight.shape, weight.dtype, weight.trainable, weight.regularizer, weight.constraint)
        return cls(*given, assigned, name=name)

    def build(self, input_shape: object = None) -> None:
        if self.weight is None:
            self.weight = self.held.add_to(self)
        self.built = True

    def call(self, inputs: typing.Any, update: bool = False) -> typing.Any:
        if not update:
            return ops.copy(self.weight) if self.assigned else ops.convert_to_tensor(self.weight)
        x, new_value = inputs
        self.weight.assign(new_value)
        return ops.copy(x)

    def compute_output_spec(self, inputs: typing.Any, update: bool = False) -> typing.Any:
        if update:
            return keras.KerasTensor(inputs[0].shape, dtype=inputs[0].dtype)
        return keras.KerasTensor(self.held.shape, dtype=self.held.dtype)

    def get_config(self) -> dict[str, typing.Any]:
        own = {
            "shape": list(self.held.shape),
            "weight_dtype": self.held.dtype,
            "weight_trainable": self.held.trainable,
            "regularizer": keras.regularizers.serialize(self.held.regularizer),
            "constraint": keras.constraints.serialize(self.held.constraint),
            "assigned": self.assigned,
        }
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("kerasfx")
class ReadAssigned(Plain):
    """What is read of a weight after it was assigned: the new value, with the gradient of the backend.

    On TensorFlow and PyTorch reading a variable gives its gradient to the variable, and none to what it was
    assigned. On JAX, and on any backend in a `keras.StatelessScope`, the new value itself is read, so that
    the gradient goes on through it. The layer does what the backend does on which it runs.

    Call arguments:
        inputs: `[new value, weight as it was before]`, of one shape and float dtype.
    """

    def call(self, inputs: Sequence[typing.Any]) -> typing.Any:
        return read_assigned(*inputs)

    def compute_output_spec(self, inputs: Sequence[keras.KerasTensor]) -> typing.Any:
        return keras.KerasTensor(inputs[0].shape, dtype=inputs[0].dtype)


@keras.saving.register_keras_serializable("kerasfx")
class ReadHeld(Plain):
    """What `before = weight.value` gives after the weight was assigned.

    On TensorFlow and PyTorch it is the variable itself and gives what it is by now; on JAX, and on any
    backend in a `keras.StatelessScope`, it is the value that was read.

    Call arguments:
        inputs: `[value that was read, what reading the weight gives now]`, of one shape and dtype.
    """

    def call(self, inputs: Sequence[typing.Any]) -> typing.Any:
        before, now = inputs
        return ops.copy(now if variables_are_places() else before)

    def compute_output_spec(self, inputs: Sequence[keras.KerasTensor]) -> typing.Any:
        return keras.KerasTensor(inputs[0].shape, dtype=inputs[0].dtype)


@keras.saving.register_keras_serializable("kerasfx")
class Constant(Plain):
    """A constant of the graph, without a batch axis.

    A small one is kept in the config. A large one is a variable that is not trained, so that it is saved
    with the weights and survives `clone_model` followed by `set_weights`.

    Args:
        shape, constant_dtype: Of the constant.
        value: Encoded array (`kerasfx.runtime.codec.encode_plain`), or None for a large one.

    Call arguments:
        inputs: Any tensor of the model; it only ties the layer to the graph.
    """

    def __init__(self, shape: Sequence[int], constant_dtype: str, value: typing.Any = None, **kwargs: object):
        super().__init__(**kwargs)
        safety.require_shape(shape)
        safety.require_dtype(constant_dtype)
        require_constant(value)
        self.held = HeldWeight(CONSTANT, tuple(shape), constant_dtype, trainable=False, value=value)
        self.weight: typing.Any = None

    def build(self, input_shape: object = None) -> None:
        if self.held.value is None and self.weight is None:
            self.weight = self.held.add_to(self)
        self.built = True

    def call(self, inputs: object) -> typing.Any:
        if self.weight is not None:
            return ops.convert_to_tensor(self.weight)
        return self.held.constant()

    def compute_output_spec(self, inputs: object) -> typing.Any:
        return keras.KerasTensor(self.held.shape, dtype=self.held.dtype)

    def get_config(self) -> dict[str, typing.Any]:
        own = {
            "shape": list(self.held.shape),
            "constant_dtype": self.held.dtype,
            "value": self.held.value,
        }
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("kerasfx")
class DrawSeed(Plain):
    """Draws a seed, an integer tensor of shape (2,), at each call.

    The state of its generator is saved with the weights, so that a loaded model goes on drawing where the
    saved one was; Keras's own layers start again.

    Args:
        seed: What the generator starts from.
        generator: The generator, if it is not to be one of the layer's own.

    Call arguments:
        inputs: The draw before, or for the first any tensor of the model; it only fixes the order.
        when: The value of `training` for which to draw; None draws in both modes. In the other mode the
            generator is left alone and the result is zero.
        training: The mode.
    """

    def __init__(
        self,
        seed: int | None = None,
        generator: keras.random.SeedGenerator | None = None,
        **kwargs: object,
    ):
        super().__init__(**kwargs)
        is_seed = seed is None or type(seed) is int
        safety.require(is_seed, "A DrawSeed starts from something else than a number.")
        is_generator = generator is None or isinstance(generator, keras.random.SeedGenerator)
        safety.require(is_generator, "A DrawSeed draws from something else than a generator.")
        self.generator = generator or keras.random.SeedGenerator(seed)

    def call(self, inputs: object, when: bool | None = None, training: object = None) -> typing.Any:
        if acts(when, training):
            return self.generator.next()
        return ops.zeros(self.generator.state.shape, dtype=self.generator.state.dtype)

    def compute_output_spec(
        self, inputs: object, when: bool | None = None, training: object = None
    ) -> typing.Any:
        state = self.generator.state
        return keras.KerasTensor(state.shape, dtype=state.dtype)

    def save_own_variables(self, store: typing.Any) -> None:
        store["state"] = ops.convert_to_numpy(self.generator.state)

    def load_own_variables(self, store: typing.Any) -> None:
        self.generator.state.assign(store["state"])

    def get_config(self) -> dict[str, typing.Any]:
        return {**super().get_config(), "seed": self.generator.get_config()["seed"]}


@keras.saving.register_keras_serializable("kerasfx")
class SelectByTraining(Plain):
    """Gives the first of its inputs in inference and the second in training: both sides of an `if`.

    Call arguments:
        inputs: `[in_inference, in_training]`, of one shape and dtype.
        training: The mode.
    """

    def call(self, inputs: Sequence[typing.Any], training: object = None) -> typing.Any:
        return ops.copy(inputs[1] if training else inputs[0])

    def compute_output_spec(self, inputs: Sequence[keras.KerasTensor], training: object = None) -> typing.Any:
        return keras.KerasTensor(inputs[0].shape, dtype=inputs[0].dtype)


@keras.saving.register_keras_serializable("kerasfx")
class RefuseTraining(Plain):
    """Gives its input back in inference and raises in training, as the original does.

    Args:
        message: What the original raises.

    Call arguments:
        inputs: Any tensor; its mask passes.
        training: The mode.

    Raises:
        TrainingRefusedError: In training.
    """

    refuses = True
    error: typing.Any = TrainingRefusedError

    def __init__(self, message: str, **kwargs: object):
        super().__init__(**kwargs)
        safety.require(isinstance(message, str), "The message of a RefuseTraining is no text.")
        self.message = message

    def call(self, inputs: object, training: object = None) -> typing.Any:
        if bool(training) == self.refuses:
            mode = "training" if self.refuses else "inference"
            why = f"the model that this one was prepared from raises here in {mode}"
            raise self.error(describe(self.message, why=why))
        return ops.copy(inputs)

    def compute_mask(self, inputs: object, previous_mask: object = None) -> typing.Any:
        return previous_mask

    def compute_output_spec(self, inputs: keras.KerasTensor, training: object = None) -> typing.Any:
        return keras.KerasTensor(inputs.shape, dtype=inputs.dtype)

    def get_config(self) -> dict[str, typing.Any]:
        return {**super().get_config(), "message": self.message}


@keras.saving.register_keras_serializable("kerasfx")
class RefuseInference(RefuseTraining):
    """Gives its input back in training and raises in inference, as the original does.

    Call arguments:
        inputs: Any tensor; its mask passes.
        training: The mode.

    Raises:
        InferenceRefusedError: In inference.
    """

    refuses = False
    error: typing.Any = InferenceRefusedError


@keras.saving.register_keras_serializable("kerasfx")
class AddLoss(Plain):
    """Gives its first input back and adds the others to the losses of the model.

    Args:
        when: For each loss the value of `training` for which it is added, None for both.

    Call arguments:
        inputs: `[x, loss, ...]`.
        training: The mode.
    """

    def __init__(self, when: Iterable[bool | None], **kwargs: object):
        super().__init__(**kwargs)
        self.when = list(when)
        safety.require_modes(self.when)

    def call(self, inputs: Sequence[typing.Any], training: object = None) -> typing.Any:
        x, *losses = inputs
        for loss, when in zip(losses, self.when, strict=True):
            if acts(when, training):
                self.add_loss(loss)
        return ops.copy(x)

    def compute_output_spec(self, inputs: Sequence[keras.KerasTensor], training: object = None) -> typing.Any:
        return keras.KerasTensor(inputs[0].shape, dtype=inputs[0].dtype)

    def get_config(self) -> dict[str, typing.Any]:
        return {**super().get_config(), "when": self.when}


@keras.saving.register_keras_serializable("kerasfx")
class UpdateMetric(Plain):
    """Gives its first input back and updates a metric with the others.

    Args:
        metric: A `keras.metrics.Metric`, or the serialized form of one of `kerasfx.runtime.safety.METRICS`.

    Call arguments:
        inputs: `[x, tensor, ...]`.
        arguments: Encoded `[args, kwargs]` of `update_state`, the tensors by their number.
        when: The value of `training` for which the metric is updated, None for both.
        training: The mode.
    """

    def __init__(self, metric: object, **kwargs: object):
        super().__init__(**kwargs)
        is_made = isinstance(metric, keras.metrics.Metric)
        self.metric: typing.Any = metric if is_made else safety.metric_of(metric)

    def call(
        self, inputs: object, arguments: object, when: bool | None = None, training: object = None
    ) -> typing.Any:
        x, *tensors = data_of(inputs)
        # Arguments of calls come from the file as well, and pass by no constructor.
        if acts(when, training):
            safety.require_metric_arguments(arguments)
            args, kwargs = codec.decode(arguments, tensors, codec.size_of)
            self.metric.update_state(*args, **kwargs)
        return ops.copy(x)

    def compute_output_spec(
        self,
        inputs: Sequence[keras.KerasTensor],
        arguments: object,
        when: object = None,
        training: object = None,
    ) -> typing.Any:
        safety.require_metric_arguments(arguments)
        safety.require_modes([when])
        data_of(inputs)
        return keras.KerasTensor(inputs[0].shape, dtype=inputs[0].dtype)

    def get_config(self) -> dict[str, typing.Any]:
        return {**super().get_config(), "metric": keras.saving.serialize_keras_object(self.metric)}


@keras.saving.register_keras_serializable("kerasfx")
class CheckSizes(Plain):
    """Gives its first input back, if the sizes of the others are such as the model was prepared for.

    Args:
        conditions: Each `{"sides": two encoded sizes, "symbol": a comparison, "answer": whether it
            holds, "text": what to say}`.
        shape: The shape of the result, where the conditions make sizes known; None for that of the input.

    Call arguments:
        inputs: `[x, tensor, ...]`, the tensors in the order of the slots of the sizes.

    Raises:
        SizeGuardError: A comparison has another answer than it had while tracing.
    """

    def __init__(
        self, conditions: Iterable[typing.Any], shape: Sequence[int | None] | None = None, **kwargs: object
    ):
        super().__init__(**kwargs)
        for condition in conditions:
            safety.require_condition(condition)
        if shape is not None:
            safety.require_shape(shape, may_be_free=True)
        self.conditions = list(conditions)
        self.shape = None if shape is None else list(shape)

    def call(self, inputs: object) -> typing.Any:
        x, *tensors = data_of(inputs)
        for condition in self.conditions:
            sides = (codec.decode(side, tensors, codec.size_of) for side in condition["sides"])
            holds = COMPARISONS[condition["symbol"]](*sides)
            x = _if_holds(x, holds == condition["answer"], condition["text"])
        # Only tensors of TensorFlow have sizes that they do not know.
        if self.shape is not None and hasattr(x, "set_shape"):
            x.set_shape(self.shape)
        return ops.copy(x)

    def compute_mask(self, inputs: object, previous_mask: object = None) -> typing.Any:
        return previous_mask[0] if isinstance(previous_mask, (list, tuple)) else None

    def compute_output_spec(self, inputs: Sequence[keras.KerasTensor]) -> typing.Any:
        return keras.KerasTensor(self.shape or inputs[0].shape, dtype=inputs[0].dtype)

    def get_config(self) -> dict[str, typing.Any]:
        return {**super().get_config(), "conditions": self.conditions, "shape": self.shape}


def _if_holds(x: typing.Any, holds: typing.Any, text: str) -> typing.Any:
    """Give `x` back if `holds`, and fail otherwise before anything can use it."""
    message = describe(
        f"The model was prepared for sizes for which {text}, and is called with others.",
        hint='prepare it for these: kerasfx.prepare_model(model, hints={"<input>": (2, 128)})',
    )
    if not hasattr(holds, "graph"):
        if not holds:
            raise SizeGuardError(message)
        return x
    # Only TensorFlow has sizes that are not known before the model runs.
    import tensorflow as tf

    with tf.control_dependencies([tf.debugging.Assert(holds, [message])]):
        # XLA leaves assertions out, and refuses an impossible reshape.
        shape = tf.shape(x)
        return tf.ensure_shape(tf.reshape(x, tf.where(holds, shape, tf.zeros_like(shape))), x.shape)


@keras.saving.register_keras_serializable("kerasfx")
class AttachMask(Plain):
    """Gives its first input back, carrying its second input as its Keras mask.

    Call arguments:
        inputs: `[x, mask]`.
    """

    def call(self, inputs: Sequence[typing.Any]) -> typing.Any:
        # A copy: Keras writes the mask onto what is returned, and others take the input.
        return ops.copy(inputs[0])

    def compute_mask(self, inputs: Sequence[typing.Any], previous_mask: object = None) -> typing.Any:
        return inputs[1]

    def compute_output_spec(self, inputs: Sequence[keras.KerasTensor]) -> typing.Any:
        return keras.KerasTensor(inputs[0].shape, dtype=inputs[0].dtype)


@keras.saving.register_keras_serializable("kerasfx")
class After(Plain):
    """Gives its first input back, with its mask, once its other inputs are computed.

    Args:
        when: For each result to wait for the value of `training` for which it is computed, None for both,
            "order" for one that only has to come before if it is computed at all. None for all of them.

    Call arguments:
        inputs: `[x, result to wait for, ...]`.
        training: The mode.
    """

    def __init__(self, when: Iterable[bool | str | None] | None = None, **kwargs: object):
        super().__init__(**kwargs)
        self.when = None if when is None else list(when)
        safety.require_modes([x for x in self.when or () if x != ORDER])

    def call(self, inputs: Sequence[typing.Any], training: object = None) -> typing.Any:
        return ops.copy(inputs[0])

    def compute_mask(self, inputs: object, previous_mask: object = None) -> typing.Any:
        return previous_mask[0] if isinstance(previous_mask, (list, tuple)) else None

    def compute_output_spec(self, inputs: Sequence[keras.KerasTensor], training: object = None) -> typing.Any:
        return keras.KerasTensor(inputs[0].shape, dtype=inputs[0].dtype)

    def get_config(self) -> dict[str, typing.Any]:
        return {**super().get_config(), "when": self.when}


@keras.saving.register_keras_serializable("kerasfx")
class DropMask(Plain):
    """Gives its input back without its Keras mask."""

    def call(self, inputs: object) -> typing.Any:
        # A copy: the mask is an attribute of the input.
        return ops.copy(inputs)

    def compute_output_spec(self, inputs: keras.KerasTensor) -> typing.Any:
        return keras.KerasTensor(inputs.shape, dtype=inputs.dtype)


def class_named(name: str) -> type[keras.layers.Layer]:
    """The class of a layer by its public name, of Keras or of `kerasfx.layers`."""
    # The classes of this module are `kerasfx.layers` to the user.
    if name.partition(".")[0] == "kerasfx":
        last = name.rpartition(".")[2]
        return BY_NAME.get(last) or globals()[last]
    found: typing.Any = keras
    for part in name.split(".")[1:]:
        found = getattr(found, part)
    return found

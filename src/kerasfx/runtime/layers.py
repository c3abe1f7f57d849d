"""The few registered layers that Keras lacks: an op, a weight, a constant, a mask put on or off.

A prepared model is loaded with Keras and kerasfx alone: `import kerasfx` registers these classes. What they
are made and called with may come from a file that nobody has read, so each asks `safety` first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasfx.errors import (
    InferenceRefusedError,
    SizeGuardError,
    TrainingRefusedError,
    describe,
)
from kerasfx.ir.dims import COMPARISONS, Size
from kerasfx.ir.training import ORDER
from kerasfx.runtime import codec, safety
from kerasfx.runtime.functions import resolve
from kerasfx.runtime.reading_variables import read_assigned, variables_are_places

SMALL_CONSTANT = 64
"""Constants with at most this many elements are kept in the config, larger ones with the weights."""


class _Plain(keras.layers.Layer):
    """A layer that neither casts its inputs nor passes masks on, as an op on tensors does neither."""

    def __init__(self, **kwargs: Any):
        # Whatever policy is given: an op does not cast.
        kwargs.pop("dtype", None)
        super().__init__(dtype="float32", autocast=False, **kwargs)
        # Else Keras warns of each mask that goes no further.
        self.supports_masking = True

    def build(self, *args: object, **kwargs: object) -> None:
        # For a layer without a `build` of its own Keras runs `call` to build it.
        self.built = True

    def compute_mask(self, inputs: object, previous_mask: object = None) -> Any:
        return None

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        # It is the same for all, and no argument of theirs.
        config.pop("dtype")
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        # Keras's own makes an object of whatever is given as `dtype`, and a TypeError of all errors.
        safety.require_shallow(config)
        return cls(**config)


@keras.saving.register_keras_serializable("kerasfx")
class Op(_Plain):
    """A call of a public function, such as `keras.ops.reshape`, as a layer.

    Args:
        op: Dotted name of the function: one of `kerasfx.runtime.functions`, no other is called.
        arguments: Its positional and keyword arguments, `kerasfx.tracing.encoding.encode([args, kwargs])`.
        output: `kerasfx.runtime.codec.encode_structure` of `{"shape": ..., "dtype": ...}`, None for free
            sizes.

    Call arguments:
        inputs: The tensors of `arguments`, in the order of their slots; a lone tensor without a list.

    Raises:
        UnknownFunctionError: `op` is no function of the allowed namespaces.
    """

    def __init__(self, op: str, arguments: object, output: object, **kwargs: object):
        super().__init__(**kwargs)
        safety.require(isinstance(op, str), "The function of an Op has no name.")
        self._function = resolve(op)
        safety.require_call(arguments)
        safety.require_structure(output, safety.require_spec)
        self.op = op
        self.arguments = arguments
        self.output_template = output

    def call(self, inputs: object) -> Any:
        args, kwargs = codec.decode(self.arguments, _data(inputs), codec.size_of, resolve)
        return _without_none(self._function(*args, **kwargs))

    def compute_output_spec(self, inputs: object) -> Any:
        # Asked for its refusal alone: a symbolic call comes first when a file is loaded.
        _data(inputs)
        spec = codec.decode_structure(
            self.output_template, lambda x: x and keras.KerasTensor(x["shape"], dtype=x["dtype"])
        )
        return _without_none(spec)

    def get_config(self) -> dict[str, Any]:
        own = {"op": self.op, "arguments": self.arguments, "output": self.output_template}
        return {**super().get_config(), **own}


def _data(inputs: object) -> list[Any]:
    """The inputs of a layer, in a list: tensors, or numbers in their places."""
    tensors = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    safety.require_data(tensors)
    return tensors


def _acts(when: bool | None, training: object) -> bool:
    """Whether something is done in this mode that is to be done when `training` is `when`, or always."""
    # Where nobody says `training`, it is inference.
    return when is None or when == bool(training)


def _without_none(results: object) -> Any:
    """`results` without what is None among them: a layer gives tensors."""
    if isinstance(results, (tuple, list)):
        return [_without_none(x) for x in results if x is not None]
    if isinstance(results, dict):
        return {k: _without_none(x) for k, x in results.items() if x is not None}
    return results


@keras.saving.register_keras_serializable("kerasfx")
class Parameter(_Plain):
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
        shape: Sequence[Size],
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
        self.weight_shape = tuple(shape)
        self.weight_dtype = weight_dtype
        self.weight_trainable = weight_trainable
        self.regularizer = safety.require_kind(
            keras.regularizers.get(regularizer), keras.regularizers.Regularizer, regularizer
        )
        self.constraint = safety.require_kind(
            keras.constraints.get(constraint), keras.constraints.Constraint, constraint
        )
        self.weight: Any = None

    @classmethod
    def of(
        cls, variable: keras.Variable, name: str, assigned: bool = False, share: bool = False, **given: object
    ) -> Parameter:
        """A layer for `variable`, with one of its own that has no value yet or, to `share`, with that one.

        Its `regularizer` and `constraint` are those of the variable, unless others are `given`.
        """
        layer = cls(
            list(variable.shape),
            variable.dtype,
            variable.trainable,
            given.get("regularizer", variable.regularizer),
            given.get("constraint", variable.constraint),
            assigned,
            name=name,
        )
        # Before `build`, which then makes none of its own.
        if share:
            layer.weight = variable
        layer.build()
        return layer

    def build(self, input_shape: object = None) -> None:
        if self.weight is None:
            # What a clone begins with: matrices of zeros would not train.
            is_matrix = len(self.weight_shape) > 1 and "float" in self.weight_dtype
            self.weight = self.add_weight(
                shape=self.weight_shape,
                dtype=self.weight_dtype,
                initializer="glorot_uniform" if is_matrix else "zeros",
                trainable=self.weight_trainable,
                autocast=False,
                regularizer=self.regularizer,
                constraint=self.constraint,
                name="weight",
            )
        self.built = True

    def call(self, inputs: Any, update: bool = False) -> Any:
        if not update:
            return ops.copy(self.weight) if self.assigned else ops.convert_to_tensor(self.weight)
        x, new_value = inputs
        self.weight.assign(new_value)
        return ops.copy(x)

    def compute_output_spec(self, inputs: Any, update: bool = False) -> Any:
        if update:
            return keras.KerasTensor(inputs[0].shape, dtype=inputs[0].dtype)
        return keras.KerasTensor(self.weight_shape, dtype=self.weight_dtype)

    def get_config(self) -> dict[str, Any]:
        own = {
            "shape": list(self.weight_shape),
            "weight_dtype": self.weight_dtype,
            "weight_trainable": self.weight_trainable,
            "regularizer": keras.regularizers.serialize(self.regularizer),
            "constraint": keras.constraints.serialize(self.constraint),
            "assigned": self.assigned,
        }
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("kerasfx")
class ReadAssigned(_Plain):
    """What is read of a weight after it was assigned: the new value, with the gradient of the backend.

    On TensorFlow and PyTorch reading a variable gives its gradient to the variable, and none to what it was
    assigned. On JAX, and on any backend in a `keras.StatelessScope`, the new value itself is read, so that
    the gradient goes on through it. The layer does what the backend does on which it runs.

    Call arguments:
        inputs: `[new value, weight as it was before]`, of one shape and float dtype.
    """

    def call(self, inputs: Sequence[Any]) -> Any:
        return read_assigned(*inputs)

    def compute_output_spec(self, inputs: Sequence[keras.KerasTensor]) -> Any:
        return keras.KerasTensor(inputs[0].shape, dtype=inputs[0].dtype)


@keras.saving.register_keras_serializable("kerasfx")
class ReadHeld(_Plain):
    """What `before = weight.value` gives after the weight was assigned.

    On TensorFlow and PyTorch it is the variable itself and gives what it is by now; on JAX, and on any
    backend in a `keras.StatelessScope`, it is the value that was read.

    Call arguments:
        inputs: `[value that was read, what reading the weight gives now]`, of one shape and dtype.
    """

    def call(self, inputs: Sequence[Any]) -> Any:
        before, now = inputs
        return ops.copy(now if variables_are_places() else before)

    def compute_output_spec(self, inputs: Sequence[keras.KerasTensor]) -> Any:
        return keras.KerasTensor(inputs[0].shape, dtype=inputs[0].dtype)


@keras.saving.register_keras_serializable("kerasfx")
class Constant(_Plain):
    """A constant of the graph, without a batch axis.

    A small one is kept in the config. A large one is a variable that is not trained, so that it is saved
    with the weights and survives `clone_model` followed by `set_weights`.

    Args:
        shape, constant_dtype: Of the constant.
        value: Encoded array (`kerasfx.runtime.codec.encode_plain`), or None for a large one.

    Call arguments:
        inputs: Any tensor of the model; it only ties the layer to the graph.
    """

    def __init__(self, shape: Sequence[int], constant_dtype: str, value: Any = None, **kwargs: object):
        super().__init__(**kwargs)
        safety.require_shape(shape)
        safety.require_dtype(constant_dtype)
        is_array = isinstance(value, dict) and "$array" in value
        safety.require(value is None or is_array, "The value of a Constant is no array.")
        safety.require_arguments(value)
        self.constant_shape = tuple(shape)
        self.constant_dtype = constant_dtype
        self.value = value
        self.weight: Any = None

    @classmethod
    def of(cls, array: np.ndarray, name: str) -> Constant:
        """A constant that holds `array`."""
        small = array.size <= SMALL_CONSTANT
        layer = cls(
            list(array.shape),
            keras.backend.standardize_dtype(array.dtype),
            codec.encode_plain(array) if small else None,
            name=name,
        )
        layer.build()
        # There is a variable for it only once the layer is built.
        if not small:
            layer.weight.assign(array)
        return layer

    def build(self, input_shape: object = None) -> None:
        if self.value is None and self.weight is None:
            self.weight = self.add_weight(
                shape=self.constant_shape,
                dtype=self.constant_dtype,
                initializer="zeros",
                trainable=False,
                autocast=False,
                name="constant",
            )
        self.built = True

    def call(self, inputs: object) -> Any:
        if self.weight is not None:
            return ops.convert_to_tensor(self.weight)
        array = codec.decode(self.value, [], codec.size_of)
        return ops.convert_to_tensor(array, dtype=self.constant_dtype)

    def compute_output_spec(self, inputs: object) -> Any:
        return keras.KerasTensor(self.constant_shape, dtype=self.constant_dtype)

    def get_config(self) -> dict[str, Any]:
        own = {
            "shape": list(self.constant_shape),
            "constant_dtype": self.constant_dtype,
            "value": self.value,
        }
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("kerasfx")
class DrawSeed(_Plain):
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

    def call(self, inputs: object, when: bool | None = None, training: object = None) -> Any:
        if _acts(when, training):
            return self.generator.next()
        return ops.zeros(self.generator.state.shape, dtype=self.generator.state.dtype)

    def compute_output_spec(self, inputs: object, when: bool | None = None, training: object = None) -> Any:
        state = self.generator.state
        return keras.KerasTensor(state.shape, dtype=state.dtype)

    def save_own_variables(self, store: Any) -> None:
        store["state"] = ops.convert_to_numpy(self.generator.state)

    def load_own_variables(self, store: Any) -> None:
        self.generator.state.assign(store["state"])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.generator.get_config()["seed"]}


@keras.saving.register_keras_serializable("kerasfx")
class SelectByTraining(_Plain):
    """Gives the first of its inputs in inference and the second in training: both sides of an `if`.

    Call arguments:
        inputs: `[in_inference, in_training]`, of one shape and dtype.
        training: The mode.
    """

    def call(self, inputs: Sequence[Any], training: object = None) -> Any:
        return ops.copy(inputs[1] if training else inputs[0])

    def compute_output_spec(self, inputs: Sequence[keras.KerasTensor], training: object = None) -> Any:
        return keras.KerasTensor(inputs[0].shape, dtype=inputs[0].dtype)


@keras.saving.register_keras_serializable("kerasfx")
class RefuseTraining(_Plain):
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
    error: Any = TrainingRefusedError

    def __init__(self, message: str, **kwargs: object):
        super().__init__(**kwargs)
        safety.require(isinstance(message, str), "The message of a RefuseTraining is no text.")
        self.message = message

    def call(self, inputs: object, training: object = None) -> Any:
        if bool(training) == self.refuses:
            mode = "training" if self.refuses else "inference"
            why = f"the model that this one was prepared from raises here in {mode}"
            raise self.error(describe(self.message, why=why))
        return ops.copy(inputs)

    def compute_mask(self, inputs: object, previous_mask: object = None) -> Any:
        return previous_mask

    def compute_output_spec(self, inputs: keras.KerasTensor, training: object = None) -> Any:
        return keras.KerasTensor(inputs.shape, dtype=inputs.dtype)

    def get_config(self) -> dict[str, Any]:
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
    error: Any = InferenceRefusedError


@keras.saving.register_keras_serializable("kerasfx")
class AddLoss(_Plain):
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

    def call(self, inputs: Sequence[Any], training: object = None) -> Any:
        x, *losses = inputs
        for loss, when in zip(losses, self.when, strict=True):
            if _acts(when, training):
                self.add_loss(loss)
        return ops.copy(x)

    def compute_output_spec(self, inputs: Sequence[keras.KerasTensor], training: object = None) -> Any:
        return keras.KerasTensor(inputs[0].shape, dtype=inputs[0].dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "when": self.when}


@keras.saving.register_keras_serializable("kerasfx")
class UpdateMetric(_Plain):
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
        self.metric: Any = metric if is_made else safety.metric_of(metric)

    def call(
        self, inputs: object, arguments: object, when: bool | None = None, training: object = None
    ) -> Any:
        x, *tensors = _data(inputs)
        # Arguments of calls come from the file as well, and pass by no constructor.
        if _acts(when, training):
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
    ) -> Any:
        safety.require_metric_arguments(arguments)
        safety.require_modes([when])
        _data(inputs)
        return keras.KerasTensor(inputs[0].shape, dtype=inputs[0].dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "metric": keras.saving.serialize_keras_object(self.metric)}


@keras.saving.register_keras_serializable("kerasfx")
class CheckSizes(_Plain):
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
        self, conditions: Iterable[Any], shape: Sequence[int | None] | None = None, **kwargs: object
    ):
        super().__init__(**kwargs)
        for condition in conditions:
            safety.require_condition(condition)
        if shape is not None:
            safety.require_shape(shape, may_be_free=True)
        self.conditions = list(conditions)
        self.shape = None if shape is None else list(shape)

    def call(self, inputs: object) -> Any:
        x, *tensors = _data(inputs)
        for condition in self.conditions:
            sides = (codec.decode(side, tensors, codec.size_of) for side in condition["sides"])
            holds = COMPARISONS[condition["symbol"]](*sides)
            x = _if_holds(x, holds == condition["answer"], condition["text"])
        # Only tensors of TensorFlow have sizes that they do not know.
        if self.shape is not None and hasattr(x, "set_shape"):
            x.set_shape(self.shape)
        return ops.copy(x)

    def compute_mask(self, inputs: object, previous_mask: object = None) -> Any:
        return previous_mask[0] if isinstance(previous_mask, (list, tuple)) else None

    def compute_output_spec(self, inputs: Sequence[keras.KerasTensor]) -> Any:
        return keras.KerasTensor(self.shape or inputs[0].shape, dtype=inputs[0].dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "conditions": self.conditions, "shape": self.shape}


def _if_holds(x: Any, holds: Any, text: str) -> Any:
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
class AttachMask(_Plain):
    """Gives its first input back, carrying its second input as its Keras mask.

    Call arguments:
        inputs: `[x, mask]`.
    """

    def call(self, inputs: Sequence[Any]) -> Any:
        # A copy: Keras writes the mask onto what is returned, and others take the input.
        return ops.copy(inputs[0])

    def compute_mask(self, inputs: Sequence[Any], previous_mask: object = None) -> Any:
        return inputs[1]

    def compute_output_spec(self, inputs: Sequence[keras.KerasTensor]) -> Any:
        return keras.KerasTensor(inputs[0].shape, dtype=inputs[0].dtype)


@keras.saving.register_keras_serializable("kerasfx")
class After(_Plain):
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

    def call(self, inputs: Sequence[Any], training: object = None) -> Any:
        return ops.copy(inputs[0])

    def compute_mask(self, inputs: object, previous_mask: object = None) -> Any:
        return previous_mask[0] if isinstance(previous_mask, (list, tuple)) else None

    def compute_output_spec(self, inputs: Sequence[keras.KerasTensor], training: object = None) -> Any:
        return keras.KerasTensor(inputs[0].shape, dtype=inputs[0].dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "when": self.when}


@keras.saving.register_keras_serializable("kerasfx")
class DropMask(_Plain):
    """Gives its input back without its Keras mask."""

    def call(self, inputs: object) -> Any:
        # A copy: the mask is an attribute of the input.
        return ops.copy(inputs)

    def compute_output_spec(self, inputs: keras.KerasTensor) -> Any:
        return keras.KerasTensor(inputs.shape, dtype=inputs.dtype)


def class_named(name: str) -> type[keras.layers.Layer]:
    """The class of a layer by its public name, of Keras or of `kerasfx.layers`."""
    # The classes of this module are `kerasfx.layers` to the user.
    if name.partition(".")[0] == "kerasfx":
        return globals()[name.rpartition(".")[2]]
    found: Any = keras
    for part in name.split(".")[1:]:
        found = getattr(found, part)
    return found

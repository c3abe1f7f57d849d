"""One class for each way to fail; the docstring is the user's page.

Every message says what happened, where (layer path, file and line of the user's code), why, and what to
type next. An exception of the user's own code is never rebuilt: it is shown first and ours is attached
to it as a note.
"""

from __future__ import annotations

import re
from typing import Any


class KerasFxError(Exception):
    """Base class of all errors that kerasfx raises itself."""


class GraphError(KerasFxError):
    """A graph does not hold the invariants of `kerasfx.ir.Graph`.

    It is raised by `Graph.check()` after an edit, and by a verb of `Graph` that cannot be carried out, which
    then leaves the graph as it was; it shows the neighbourhood of the fault. Where a pass of yours broke the
    graph, a note names it. In a graph that nobody edited it is a bug of kerasfx.

    >>> import keras, kerasfx
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> graph = kerasfx.trace(model).graph
    >>> graph.remove(graph.nodes[0])
    Traceback (most recent call last):
    ...
    kerasfx.errors.GraphError: ...
    """


class NotInvertibleError(KerasFxError):
    """A weight that a pass computed from others does not tell what those were.

    It is raised where weights go back to the original model, as by `copy_weights(prepared, original)`: a
    transposed kernel goes home, a product of two weights does not.
    """


class PassError(KerasFxError, TypeError):
    """What is given as a pass is none: it is no function, or returns something other than True or False.

    >>> import keras, kerasfx
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> kerasfx.passes.run(kerasfx.trace(model).graph, [lambda graph: None])
    Traceback (most recent call last):
    ...
    kerasfx.errors.PassError: ...

    >>> kerasfx.passes.run(kerasfx.trace(model).graph, [lambda graph: False])
    []
    """


class InputRequiredError(KerasFxError, ValueError):
    """The inputs of the model are not known.

    A subclassed model that was never called holds neither the shapes nor the dtypes of its inputs:

    >>> import keras, kerasfx
    >>> class Net(keras.Model):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.dense = keras.layers.Dense(2)
    ...     def call(self, x):
    ...         return self.dense(x)
    >>> kerasfx.prepare_model(Net())
    Traceback (most recent call last):
    ...
    kerasfx.errors.InputRequiredError: ...

    Say what it is called with:

    >>> kerasfx.prepare_model(Net(), keras.Input((64,))).output_shape
    (None, 2)
    """


class InputMismatchError(KerasFxError, ValueError):
    """The `input_layer` is no input, or does not fit the model: another structure, shape or dtype.

    >>> import keras, kerasfx
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> kerasfx.prepare_model(model, "tokens")
    Traceback (most recent call last):
    ...
    kerasfx.errors.InputMismatchError: ...

    >>> kerasfx.prepare_model(model, keras.Input((4,))).output_shape
    (None, 2)

    Where a model does not say what it takes, and raises, it is called in other ways. If one of them goes
    through, the message says which; what the model raised is the `__cause__`. A shape without its batch:

    >>> class Net(keras.Model):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.dense = keras.layers.Dense(2)
    ...     def call(self, x):
    ...         return self.dense(x)
    >>> kerasfx.prepare_model(Net(), (4,))
    Traceback (most recent call last):
    ...
    kerasfx.errors.InputMismatchError: ...

    >>> kerasfx.prepare_model(Net(), (None, 4)).output_shape
    (None, 2)
    """


class UnknownSelectorError(KerasFxError, ValueError):
    """A selector in `leaves=` or `opened=` matches no layer below the model; the message lists the nearest.

    >>> import keras, kerasfx
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="head")])
    >>> kerasfx.prepare_model(model, opened=["haed"])
    Traceback (most recent call last):
    ...
    kerasfx.errors.UnknownSelectorError: ...

    Paths are those that the report shows:

    >>> kerasfx.prepare_model(model, opened=["head"]).output_shape
    (None, 2)
    """


class UnsupportedModelError(KerasFxError, TypeError):
    """What was passed as a model is no Keras model or layer.

    With `keep_class=True` also what is no model, or one whose `call` takes several arguments.
    A function is no model: it does not say which weights it uses. Put it into the `call` of a layer.
    A model without a `call`, which only trains the models that it holds, computes nothing: hand over these.

    >>> import keras, kerasfx
    >>> kerasfx.prepare_model(keras.layers.Dense)
    Traceback (most recent call last):
    ...
    kerasfx.errors.UnsupportedModelError: ...

    >>> kerasfx.prepare_model(keras.layers.Dense(2), keras.Input((4,))).output_shape
    (None, 2)
    """


class SourceError(KerasFxError, ValueError):
    """No code that builds the same model can be written.

    The model is of a class of the user's, or holds something that code cannot name:

    >>> import keras, kerasfx
    >>> class Net(keras.Model):
    ...     def call(self, x):
    ...         return keras.ops.relu(x)
    >>> net = Net(name="net")
    >>> kerasfx.to_source(net)
    Traceback (most recent call last):
    ...
    kerasfx.errors.SourceError: ...

    Prepare it:

    >>> code = kerasfx.to_source(kerasfx.prepare_model(net, keras.Input((4,), name="x")))
    >>> print(code.splitlines()[-2].strip())
    relu = keras.layers.ReLU(name="relu")(x)
    """


class TraceError(KerasFxError):
    """A custom layer does something that the graph cannot represent.

    The smallest enclosing custom layer is then kept whole (opaque) and the report says why. The error
    itself is raised when that layer is the model, or with `strict=True` (as `OpaqueLayerError`).
    """


class TensorAsPythonValueError(TraceError, TypeError):
    """`bool`, `int`, `float` or `len` of a tensor whose value is not known while tracing.

    >>> import keras, kerasfx
    >>> class Net(keras.Model):
    ...     def call(self, x):
    ...         return x if keras.ops.sum(x) > 0 else -x
    >>> kerasfx.prepare_model(Net(), keras.Input((4,)))
    Traceback (most recent call last):
    ...
    kerasfx.errors.TensorAsPythonValueError: ...

    Let the tensor decide:

    >>> class Net(keras.Model):
    ...     def call(self, x):
    ...         return keras.ops.where(keras.ops.sum(x) > 0, x, -x)
    >>> kerasfx.prepare_model(Net(), keras.Input((4,))).output_shape
    (None, 4)
    """


class WeightAsPythonValueError(TraceError, TypeError):
    """The value of a weight is read into NumPy or Python, where training could not reach it any more.

    >>> import keras, kerasfx
    >>> class Scale(keras.layers.Layer):
    ...     def build(self, shape):
    ...         self.scale = self.add_weight(shape=())
    ...     def call(self, x):
    ...         return x * float(self.scale.numpy())
    >>> kerasfx.prepare_model(Scale(), keras.Input((4,)))
    Traceback (most recent call last):
    ...
    kerasfx.errors.WeightAsPythonValueError: ...

    Use the weight itself: `x * self.scale`.
    """


class SizeDecisionError(TraceError, TypeError):
    """Python asks for the value of a dimension that is free: `int(t)`, `range(t)`, `math.sqrt(t)`.

    A comparison (`if t > 4:`) is answered for the example sizes and checked whenever the prepared model
    is called (`SizeGuardError`); a value would make the model work for one size only.

    >>> import keras, kerasfx
    >>> class Net(keras.Model):
    ...     def call(self, x):
    ...         return sum(x[:, t] for t in range(x.shape[1]))
    >>> kerasfx.prepare_model(Net(), keras.Input((None, 4), name="x"))
    Traceback (most recent call last):
    ...
    kerasfx.errors.SizeDecisionError: ...

    Say that it is meant for one size, with `hints`, or give the dimension a size in the inputs
    (`keras.Input((3, 4))`), or keep the layer whole (`leaves=[...]`):

    >>> prepared = kerasfx.prepare_model(Net(), keras.Input((None, 4), name="x"), hints={"x": (2, 3, 4)})
    >>> prepared.output_shape
    (None, 4)
    """


class SizeGuardError(KerasFxError, ValueError):
    """A prepared model is called with sizes for which the original would take another way.

    While tracing, Python asked about a free size (`if ops.shape(x)[1] > 16:`) and was answered for the
    example sizes. The prepared model checks at each call that the answer is still the same.
    Prepare another model for other sizes: `prepare_model(model, hints={"tokens": (2, 128)})`.
    """


class TrainingBranchError(TraceError, TypeError):
    """Python code branches on `training`, and what the two modes give cannot become one graph.

    A layer that branches is traced once for each mode, and the two are put together; this is raised where
    that fails. Pass `training` on to the layers (`self.dropout(x, training=training)`), keep the layer whole,
    or prepare one mode alone: `prepare_model(..., mode="inference")`.
    """


class UnsupportedOperationError(TraceError, TypeError):
    """A layer does something that no node of a graph can say exactly; the message says what and where.

    Such as a function of a backend of which nobody has said what it is, one that is called with arguments
    that a saved model could not hold, random numbers that are not drawn by Keras, or layers whose order or
    mode the graph cannot keep.

    >>> import keras, kerasfx, numpy as np
    >>> class Noisy(keras.layers.Layer):
    ...     def call(self, x):
    ...         return x + np.random.normal(size=(4,)).astype("float32")
    >>> kerasfx.prepare_model(Noisy(), keras.Input((4,)))
    Traceback (most recent call last):
    ...
    kerasfx.errors.UnsupportedOperationError: ...

    Numbers that are drawn where the model runs are part of it:

    >>> class Noisy(keras.layers.Layer):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.seed = keras.random.SeedGenerator(1)
    ...     def call(self, x):
    ...         return x + keras.random.normal((4,), seed=self.seed)
    >>> kerasfx.prepare_model(Noisy(), keras.Input((4,))).output_shape
    (None, 4)
    """


class StateUpdateError(TraceError, TypeError):
    """`call` changes a state that the prepared model would not have, or not in the same order.

    That is a metric that is read inside `call`, or is updated there and not of a class of Keras; a
    `tf.Variable` that is no weight of the model; or on PyTorch a tensor that is changed in place and comes
    from outside of the call. Keep what changes in `self.add_weight(...)` and change it with `assign`, update
    metrics in `train_step`, or keep the layer whole: `leaves=[...]`.
    """


class OutputNotTensorError(TraceError, TypeError):
    """The model, or a layer that is kept whole, returns something that no tensor can hold.

    Numbers and sizes among the outputs of the model become tensors, words and dtypes are left out with a line
    in the report, and between layers that are opened anything may pass.

    >>> import keras, kerasfx
    >>> class Net(keras.Model):
    ...     def call(self, x):
    ...         return {"out": x, "names": {"net"}}
    >>> kerasfx.prepare_model(Net(), keras.Input((4,)))
    Traceback (most recent call last):
    ...
    kerasfx.errors.OutputNotTensorError: ...
    """


class OperationInferenceError(TraceError, ValueError):
    """Keras or the backend refuses an operation for the shapes and dtypes at hand.

    The exception of Keras is shown first and this one's text is attached to it as a note.

    Attributes:
        always: It would be refused whatever the inputs are, since no tensor is among its arguments.
    """

    def __init__(self, message: str, always: bool = False):
        super().__init__(message)
        self.always = always


class TrainingRefusedError(KerasFxError, RuntimeError):
    """A prepared model is called in training mode, in which its original raises as well.

    `prepare_model` warned of it: what a layer does under `if training:` raises itself, or is refused by the
    backend whatever the inputs are. In inference the model works. Mend the layer and prepare the model again.
    """


class InferenceRefusedError(KerasFxError, RuntimeError):
    """A prepared model is called in inference mode, in which its original raises as well.

    `prepare_model` warned of it: what a layer does where it does not train raises. In training the model
    works.
    """


class OtherModeError(KerasFxError, RuntimeError):
    """A model that was prepared for one mode alone is called in the other.

    >>> import keras, kerasfx, numpy as np
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5)])
    >>> prepared = kerasfx.prepare_model(model, mode="inference")
    >>> prepared(np.ones((1, 4)), training=True)
    Traceback (most recent call last):
    ...
    kerasfx.errors.OtherModeError: ...

    Call it without `training`, or prepare the other mode, or both (`mode="both"`):

    >>> prepared(np.ones((1, 4))).shape == (1, 4)
    True
    """


class OpaqueLayerError(KerasFxError):
    """`strict=True`, and a custom layer had to be kept whole; the message lists each with its reason."""


class NotCopyableError(KerasFxError, TypeError):
    """A layer that is kept whole cannot be copied, because its config does not make it again.

    Write `get_config()` for its class, or share its weights: `prepare_model(..., weights="share")`.
    """


class NotInPreparedModelError(KerasFxError, AttributeError):
    """A model prepared with `keep_class=True` lacks an attribute that its original has.

    A layer that was opened no longer exists: the prepared model has the layers inside it. Keep it whole with
    `prepare_model(..., leaves=["encoder"])` if the methods of the class call it.
    """


class NotPortableError(KerasFxError):
    """`portable=True`, and Keras alone could not load the result; the message lists what prevents it.

    >>> import keras, kerasfx
    >>> class Net(keras.Model):
    ...     def call(self, x):
    ...         return keras.ops.map(keras.ops.sin, x)
    >>> kerasfx.prepare_model(Net(), keras.Input((4,)), portable=True)
    Traceback (most recent call last):
    ...
    kerasfx.errors.NotPortableError: ...

    Say it by functions of `keras.ops` alone, or do without `portable=True`:

    >>> class Net(keras.Model):
    ...     def call(self, x):
    ...         return keras.ops.sin(x)
    >>> kerasfx.prepare_model(Net(), keras.Input((4,)), portable=True).output_shape
    (None, 4)

    Attributes:
        obstacles: The findings that the message lists.
    """

    def __init__(self, message: str, obstacles: tuple[Any, ...] = ()):
        super().__init__(message)
        self.obstacles = obstacles


class WeightsMismatchError(KerasFxError, ValueError):
    """`copy_weights` cannot tell which weight belongs to which, or a pair does not fit; nothing was copied.

    >>> import keras, kerasfx
    >>> small = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> large = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> kerasfx.copy_weights(small, large)
    Traceback (most recent call last):
    ...
    kerasfx.errors.WeightsMismatchError: ...
    """


class NoSampleError(KerasFxError, ValueError):
    """`compare` has no inputs to compare two models with: none fit, or the original raises on all of them."""


class NotEquivalentError(KerasFxError):
    """The prepared model differs from the original; it is not returned.

    The message names the first node at which the models part, and the comparison is in `.comparison`.
    """

    def __init__(self, message: str, comparison: Any = None):
        super().__init__(message)
        self.comparison = comparison


class UnsafeFileError(KerasFxError, ValueError):
    """The config of a saved model holds what `kerasfx` never writes, and would not be safe to use.

    A `.keras` file may come from anybody. It may name functions and metrics of a list, and hold data:
    numbers of bounded size, nested to a bounded depth, tensors where tensors are expected. See
    `docs/security.md`.

    >>> import keras, kerasfx
    >>> config = {"module": "keras.layers", "class_name": "TFSMLayer", "config": {"filepath": "model"}}
    >>> kerasfx.layers.UpdateMetric.from_config({"metric": config})
    Traceback (most recent call last):
    ...
    kerasfx.errors.UnsafeFileError: ...

    Do not use such a file unless you know who made it. If you made it, prepare the model again and save it:

    >>> config = keras.saving.serialize_keras_object(keras.metrics.Mean())
    >>> kerasfx.layers.UpdateMetric.from_config({"metric": config}).metric.name
    'mean'
    """


class UnverifiedWarning(UserWarning):
    """`prepare_model` could not compare its result with the original, for want of inputs that it accepts.

    Results are compared on the arrays given as `input_layer`, and on random ones besides. There are no random
    strings, and random integers may make no sense to a model that takes labels, lengths or indices. Give it
    an example of what the model is called with, and the result is compared on that:

    >>> import keras, kerasfx, numpy as np
    >>> class Total(keras.Model):
    ...     def call(self, inputs):
    ...         values, group = inputs
    ...         return keras.ops.segment_sum(values, group, num_segments=2)
    >>> values, group = np.ones((4, 3), "float32"), np.array([0, 0, 1, 1], "int32")
    >>> kerasfx.prepare_model(Total(), [values, group]).output_shape
    (2, 3)

    `kerasfx.compare(model, prepared, inputs=x)` compares a result later, and
    `warnings.simplefilter("error", kerasfx.UnverifiedWarning)` lets none pass that was not compared.
    """


class UntestedKerasWarning(UserWarning):
    """The Keras that is installed is newer, or older, than those that kerasfx was tested with.

    It works all the same unless that Keras changed what kerasfx builds on, and `prepare_model` compares each
    result with its original before it returns it. The warning is given once, when kerasfx is imported;
    `warnings.simplefilter("ignore", UserWarning)` in front of the import silences it.
    """


class UnknownFunctionError(UnsafeFileError):
    """A saved model names a function that kerasfx does not call.

    A `.keras` file may name the public functions of `keras.ops`, `keras.random` and `keras.activations`, and
    those functions of the running backend that kerasfx lists: pure functions of tensors.
    """


def describe(
    what: str, *, where: str = "", why: str = "", given: str = "", tried: str = "", hint: str = ""
) -> str:
    """Compose a message: what happened, then indented lines for where, why and what to do."""
    lines = [what]
    parts = {"where": where, "why": why, "given": given, "tried": tried, "do": hint}
    for label, text in parts.items():
        if text:
            lines.append(f"  {label + ':':<7}{text}")
    return "\n".join(lines)


_KERAS_PREFIX = "Exception encountered when calling"
_STYLE = re.compile(r"\x1b\[\d+m")


def first_line(error: BaseException | None) -> str:
    """The type of an exception and the first line of its message, past the prefix of Keras."""
    lines = [line.strip() for line in _STYLE.sub("", str(error)).splitlines()]
    told = [line for line in lines if line and not line.startswith(_KERAS_PREFIX)]
    return f"{type(error).__name__}: {told[0][:160] if told else ''}"

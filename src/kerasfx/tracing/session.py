"""One trace: the graph that grows, what is known while it does, and how functions are recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import keras
import numpy as np

from kerasfx.errors import (
    OperationInferenceError,
    SizeDecisionError,
    StateUpdateError,
    TraceError,
    UnsafeFileError,
    UnsupportedOperationError,
    describe,
)
from kerasfx.inputs import CallSpec
from kerasfx.ir import (
    Graph,
    LayerSpec,
    Node,
    SeedDraw,
    SourceLine,
    Training,
    Value,
    identifier,
    leaves_of,
    map_leaves,
    values_in,
)
from kerasfx.ir.dims import (
    COMPARISONS,
    Dim,
    Question,
    decisions_go_to,
    sizes_become_tensors_by,
)
from kerasfx.keras_api import internals
from kerasfx.keras_api.arrays import to_numpy
from kerasfx.reporting import Finding
from kerasfx.runtime import codec, functions, safety
from kerasfx.runtime.modes import BOTH, INFERENCE, TRAINING
from kerasfx.tracing import inference, public_calls, recorder
from kerasfx.tracing import native as raw
from kerasfx.tracing.control.training_flag import TrainingFlag, is_flag
from kerasfx.tracing.layers.frames import Frame, ModelCall
from kerasfx.tracing.layers.leaves import (
    LeafPolicy,
)
from kerasfx.tracing.layers.reading import Read
from kerasfx.tracing.native import memory
from kerasfx.tracing.sizes.equal import cut_axes, equal_sizes
from kerasfx.tracing.sizes.examples import Clashes, Refusal, Seeming
from kerasfx.tracing.sizes.guards import (
    fixed_sizes,
    guards_for,
    may_answer,
    refusal,
)
from kerasfx.tracing.sizes.tensors import note_sizes, sizes_again
from kerasfx.tracing.state.effects import AddedLoss, Effects
from kerasfx.tracing.state.leftovers import Attributes
from kerasfx.tracing.tensor import TracedTensor
from kerasfx.tracing.where import Paths, asked_for_a_warning, source_line

INLINE_SIZE = 64
"""Constants with at most this many elements stay in the arguments of an op."""

RANK = "keras.ops.ndim"
"""Known while tracing, for any tensor; on JAX its result looks like a tensor."""

CONVERSIONS = ("keras.ops.cast", "keras.ops.convert_to_tensor")

ONLY_UPDATED = (
    "a prepared model updates metrics of Keras, whose state `fit` resets, and does nothing else with them"
)

READ_ASSIGNED = LayerSpec("kerasfx.layers.ReadAssigned")
READ_HELD = LayerSpec("kerasfx.layers.ReadHeld")


def current() -> Session | None:
    """The session that records on this thread, or None (also while it is paused)."""
    return cast("Session | None", recorder.current())  # there is no other recorder than a session


class Session:
    """Records what user code does into a `Graph`.

    Args:
        root: The model.
        policy: Which layers stay whole.
        hinted: Names of the inputs whose sizes the user gave.
        clashes: Notes the ops that are refused for the example sizes.
    """

    def __init__(
        self, root: Any, policy: LeafPolicy, hinted: Iterable[str] = (), clashes: Clashes | None = None
    ):
        self.graph = Graph(root.name)
        self.policy = policy
        self.paths = Paths(root)
        self.call_spec: CallSpec | None = None
        self.root = root
        self.hinted = set(hinted)
        self.clashes = clashes or Clashes()
        self.findings: list[Finding] = []
        self.attributes_before: Attributes = {}
        self.read: list[Read] = []
        self.opened: dict[str, str] = {}
        self.training: Any = TrainingFlag(self, from_context=True)
        self.rules_asked: set[Training] = set()
        self.calls_of_model: list[ModelCall] = []
        self.adding_losses: set[int] = set()
        self.frames: list[Frame] = []
        self.effects = Effects()
        self.paused = False
        self.in_user_code = False
        self.mode_decided: bool | None = None
        self.forked_layer: Any = None
        self.in_body = False
        self.sizes_held: dict[Value, np.ndarray] = {}
        self.seeming_size: Seeming | None = None
        self.may_be_weak: dict[int, Value] = {}
        self._tracked: dict[int, Any] = {}
        self.of_metrics = {id(v) for metric in internals.metrics_of_layers(root) for v in metric.variables}

    @property
    def dialect(self) -> recorder.TensorDialect:
        """That of the running backend."""
        return cast(recorder.TensorDialect, raw.dialect())

    @property
    def frame(self) -> Frame:
        """The innermost frame."""
        return self.frames[-1]

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Make this the session of the thread."""
        with (
            recorder.recording_into(self),
            decisions_go_to(self._answer),
            sizes_become_tensors_by(self.sizes_as_tensor),
        ):
            yield

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Let Keras work as if nothing were traced."""
        saved = self.paused, self.in_user_code
        self.paused, self.in_user_code = True, False
        try:
            with internals.no_call_context():
                yield
        finally:
            self.paused, self.in_user_code = saved

    @contextmanager
    def mode(self, in_user_code: bool) -> Iterator[None]:
        """Say whose code runs: the user's sees dimensions where Keras's sees None."""
        saved = self.in_user_code
        self.in_user_code = in_user_code
        try:
            yield
        finally:
            self.in_user_code = saved

    def locate(self, line: SourceLine | None) -> str:
        """Say where: the path and class of the layer, the user's file and line."""
        if not self.frames:
            return str(line or "")
        layer = f"{self.frame.path or self.root.name} ({type(self.frame.layer).__name__})"
        return f"{layer}, {line.in_full}" if line else layer

    def is_tracked(self, layer: Any) -> bool:
        """Whether Keras counts `layer` among those of the model."""
        if id(layer) not in self._tracked:
            self._tracked = {id(x): x for x in internals.all_layers(self.root)}
        return id(layer) in self._tracked

    def keep_hint(self) -> str:
        """Say how to keep the innermost layer whole."""
        path = self.frame.path if self.frames else ""
        if path:
            return f"keep the layer whole: leaves=[{path!r}]"
        return "move this code into a layer of its own, which is then kept whole"

    # Frames and modes

    def trace_only(self, mode: str) -> None:
        """Trace one mode: Python code that asks whether the model trains gets that answer."""
        self.graph.mode = mode
        if mode == BOTH:
            return
        self.training = mode == TRAINING
        other = "training" if mode == INFERENCE else "inference"
        what = f"the result is for {mode} alone: it refuses to be called for {other}"
        self.findings.append(Finding("fixed", "", what, hint='for both: mode="both"'))

    @contextmanager
    def framed(self, frame: Frame) -> Iterator[None]:
        """Let `frame` be the innermost; Keras's code runs first, that of the user below it."""
        self.frames.append(frame)
        try:
            with self.mode(in_user_code=False):
                yield
        finally:
            self.frames.pop()

    @contextmanager
    def forking(self, layer: Any) -> Iterator[None]:
        """While `layer` is traced once for each mode."""
        saved, self.forked_layer = self.forked_layer, layer
        try:
            yield
        finally:
            self.forked_layer = saved

    @contextmanager
    def inside_body(self) -> Iterator[None]:
        """While a body is recorded every layer is opened, and none can be kept whole."""
        saved = self.in_body
        self.in_body = True
        try:
            yield
        finally:
            self.in_body = saved

    @contextmanager
    def noting_rules(self) -> Iterator[set[Training]]:
        """Give the rules of `training` whose truth is asked in the block."""
        saved, self.rules_asked = self.rules_asked, set()
        try:
            yield self.rules_asked
        finally:
            self.rules_asked = self.rules_asked | saved

    def training_asked(self, rule: Training) -> bool | None:
        """Note that Python asks for the `training` that `rule` says; returns the answer, if there is one."""
        self.rules_asked.add(rule)
        return self.mode_decided

    @contextmanager
    def deciding(self, training: bool) -> Iterator[None]:
        """Answer Python code that asks whether the model trains."""
        self.mode_decided = training
        try:
            yield
        finally:
            self.mode_decided = None

    def decided(self, x: Any) -> Any:
        """`x`, or the mode that is traced at present if it stands for `training`."""
        return x.decided() if is_flag(x) else x

    # Ops

    def record_operation(self, operation: Any, args: Any, kwargs: Any) -> Any:
        """Record the call of a `keras.Operation` as that of the public function it stands for."""
        call = public_calls.public_call(operation, args, kwargs)
        if call is None:
            raise self.unsupported(
                f"{type(operation).__name__} cannot be recorded as a call of a public function."
            )
        return self.record_op(call.name, call.args, call.kwargs)

    def record_op(self, name: str, args: Any, kwargs: Any) -> Any:
        """Record a call of the public function `name`."""
        if name == RANK:
            return len((*args, *kwargs.values())[0].shape)
        if name in CONVERSIONS:
            name, args, kwargs = _as_cast(name, args, kwargs)
            if not name:
                return args[0]
        args, kwargs = sizes_again(self.sizes_held, name, args, kwargs)
        args, kwargs = map_leaves(self._argument_of(name), (args, kwargs))
        self._require_encodable(name, args, kwargs)
        line = source_line()
        specs = self._infer(name, args, kwargs)
        if isinstance(specs[0], (int, float)):
            return self._number(name, specs)
        short = name.rpartition(".")[2]
        path = self.frame.path if self.frames else ""
        wish = f"{identifier(path)}_{short}" if path else short
        return self.finish(Node(wish, name, args, kwargs, path, line), specs)

    def infer_op(self, name: str, args: Any, kwargs: Any) -> list[Any]:
        """What a call of the function `name` would give; nothing is recorded."""
        args, kwargs = sizes_again(self.sizes_held, name, args, kwargs)
        args, kwargs = map_leaves(self._argument_of(name), (args, kwargs))
        return self._infer(name, args, kwargs)

    def _infer(self, name: str, args: Any, kwargs: Any) -> list[Any]:
        call = functions.resolve(name), args, without_draw(name, kwargs)
        try:
            with self.pause():
                return inference.infer_call(*call)
        except TraceError:
            raise
        except Exception as error:
            infer = partial(inference.specs_of_call, *call)
            raise self.refused(name, Refusal((args, kwargs), infer), error) from error

    def _require_encodable(self, name: str, args: Any, kwargs: Any) -> None:
        try:
            safety.require_arguments(codec.encode([args, kwargs], lambda _: 0))
        except UnsafeFileError as error:
            raise self.unsupported(f"{name} is called with what no saved model may hold: {error}") from None
        except codec.NotEncodableError as error:
            raise self.unsupported(
                f"{name} is called with {error}, which a saved model cannot hold."
            ) from None

    def _number(self, name: str, specs: list[Any]) -> Any:
        """A function that returns a Python number, such as `ops.ndim`."""
        if specs[0] != specs[-1]:
            raise self.unsupported(
                f"{name} returns a Python number that depends on a free size.",
                "compute it with ops.shape(x)",
            )
        return specs[0]

    def refused(self, name: str, call: Refusal, error: Exception) -> Exception:
        """The error for a function that does not take its arguments."""
        self.clashes.note_refused(call)
        arguments = call.operands
        shown = ", ".join(f"{v.dtype}{v.shown_shape}" for v in leaves_of(arguments) if isinstance(v, Value))
        return OperationInferenceError(
            describe(
                f"{name}({shown}) is refused: {error}",
                where=self.locate(source_line()),
                hint="check the shapes and dtypes of the inputs given to prepare_model; a size that is "
                "free there stands for any, and is tried with example sizes (set them with hints=)",
            ),
            always=all(_is_draw(v) for v in values_in(arguments)),
        )

    def traced(self, x: Any) -> TracedTensor:
        """A tensor of the trace for a constant, or for a variable of the backend."""
        return self.tensor_of(self.as_layer_argument(x))

    def as_tensor(self, x: Any) -> Any:
        """`x` as a tensor of the trace, a Python number converted as Keras would; None stays None."""
        if x is None or isinstance(x, TracedTensor):
            return x
        return self.record_op("keras.ops.convert_to_tensor", (x,), {})

    def sizes_as_tensor(self, size: Any) -> Any:
        """A size, or a list of sizes, as the tensor that it is on TensorFlow.

        Raises:
            TypeError: The backend runs eagerly, so that it is an int.
        """
        if keras.backend.backend() != "tensorflow":
            raise TypeError("'int' object is not subscriptable")
        return self.as_tensor(size)

    def is_traced(self, structure: Any) -> bool:
        """Whether a call with these arguments has to be recorded."""
        return any(_has_no_value_yet(x) for x in leaves_of(structure))

    def note(self, kind: str, what: str, source: SourceLine | None = None, hint: str = "") -> None:
        """Add a finding about the innermost layer, once."""
        finding = Finding(kind, self.frame.path if self.frames else "", what, source, hint)
        if finding not in self.findings:
            self.findings.append(finding)

    def draw_seed(self, generator: Any) -> Any:
        """Record a draw from a `keras.random.SeedGenerator`."""
        before = self.effects.last_draw.get(id(generator))
        path = self.frame.path
        name = f"{identifier(path)}_seed" if path else "seed"
        node = Node(name, SeedDraw(generator), (before,) if before else (), {}, path, source_line())
        state = generator.state
        tensor = self.finish(node, [inference.Spec(tuple(state.shape), internals.stored_dtype(state))])
        self.effects.last_draw[id(generator)] = tensor.value
        return tensor

    def parameter(self, variable: Any) -> Any:
        """The tensor that stands for a variable, cast as Keras would cast it here."""
        value = self.effects.reads.get(id(variable)) or self.parameter_value(variable)
        tensor = self.tensor_of(value)
        dtype = internals.autocast_dtype()
        if (
            dtype is None
            or not internals.is_autocast(variable)
            or not _is_float(value.dtype)
            or dtype == value.dtype
        ):
            return tensor
        return self.record_op("keras.ops.cast", (tensor,), {"dtype": dtype})

    def parameter_value(self, variable: Any) -> Value:
        """The Value of a variable as it is when the model is called.

        Raises:
            StateUpdateError: It belongs to a metric.
        """
        path = self.paths.of_variable(variable)
        if id(variable) in self.of_metrics:
            what = f"The state of a metric is read or assigned inside `call`: {path}."
            raise self.refused_metric(what)
        dtype = internals.stored_dtype(variable)
        return self.graph.add_parameter(variable, path, tuple(variable.shape), dtype)

    def refused_metric(self, what: str) -> StateUpdateError:
        """The error for what `call` does with a metric besides updating it."""
        where, hint = self.locate(source_line()), self.keep_hint()
        return StateUpdateError(describe(what, where=where, why=ONLY_UPDATED, hint=hint))

    def assign(self, variable: Any, new_value: Any) -> Any:
        """Record that `call` assigns a variable: what reads it from now on reads the new value.

        Returns:
            The tensor that was assigned; as in Keras, gradients pass through it whatever the backend.
        """
        kwargs = {"dtype": internals.stored_dtype(variable)}
        tensor = self.record_op("keras.ops.convert_to_tensor", (new_value,), kwargs)
        if tuple(tensor.value.shape) != tuple(variable.shape):
            raise ValueError(
                f"{self.paths.of_variable(variable)} has shape {tuple(variable.shape)} and cannot be "
                f"assigned a value of shape {tensor.value.shown_shape}."
            )
        parameter = self.parameter_value(variable)
        self.effects.assigned[id(variable)] = tensor.value
        self.effects.reads[id(variable)] = self._read_back(parameter, tensor.value)
        return tensor

    def _read_back(self, parameter: Value, new_value: Value) -> Value:
        """What is read of a weight that was assigned; only floats have gradients, which may go elsewhere."""
        if not _is_float(parameter.dtype):
            return new_value
        return self._call_own(f"{parameter.name}_assigned", READ_ASSIGNED, [new_value, parameter])

    def _held(self, value: Value) -> Value:
        """`value`, or what it gives by now if it is the value of a weight that was assigned since."""
        variable = getattr(value.producer, "variable", None)
        if id(variable) not in self.effects.reads:
            return value
        return self._call_own(f"{value.name}_held", READ_HELD, [value, self.effects.reads[id(variable)]])

    def _call_own(self, name: str, target: LayerSpec, values: list[Value]) -> Value:
        """Record the call of one of our own layers, whose result is like the first of `values`."""
        path = self.frame.path if self.frames else ""
        node = Node(name, target, (values,), {}, path, source_line())
        return self.finish(node, inference.specs_like(values[0])).value

    def add_losses(self, layer: Any, losses: Any) -> None:
        """Record losses that `call` of `layer` adds."""
        self.adding_losses.add(id(layer))
        self.effects.losses += [AddedLoss(self.value_of(x)) for x in leaves_of(losses)]

    def operator(self, op: str, args: recorder.Arguments) -> Any:
        """Record an operator of Python, which `keras.ops.<op>` is to Keras."""
        return raw.operator(self, op, args)

    def change_in_place(self, tensor: Any, op: str, args: recorder.Arguments) -> Any:
        """`x += y` or `x[key] = value` on a backend whose tensors change, or NotImplemented."""
        return raw.in_place(tensor, op, args)

    # Values

    def input_tensor(self, name: str, shape: tuple[Any, ...], dtype: str, hints: Any) -> TracedTensor:
        """A tensor for a model input; None in `shape` becomes a Dim with the pair at that axis of `hints`."""
        value = self.graph.add_input(name, (), dtype)
        value.shape = tuple(Dim.axis(value, k, hints[k]) if d is None else d for k, d in enumerate(shape))
        return self.tensor_of(value)

    def with_fixed_sizes(self, tensor: TracedTensor, sizes: dict[int, int]) -> TracedTensor:
        """`tensor` behind a check that some axes have the sizes given, which are known from then on."""
        node = fixed_sizes(tensor.value, sizes)
        for k, n in sizes.items():
            what = f"{tensor.value.name}.shape[{k}] is {n} in the result: other sizes tried do not fit"
            self.findings.append(Finding("fixed", "", what))
        first, second = inference.specs_like(tensor.value)
        shape = [sizes.get(k, d) for k, d in enumerate(first.shape)]
        other = [sizes.get(k, d) for k, d in enumerate(second.shape)]
        dtype = tensor.value.dtype
        return self.finish(node, [inference.Spec(tuple(s), dtype) for s in (shape, other)])

    def value_of(self, x: Any) -> Any:
        """The Value of an output of the model; None stays None."""
        return None if x is None else self.as_layer_argument(x)

    def mask_value(self, tensor: TracedTensor) -> Value | None:
        """The mask that `tensor` carries."""
        return _value_of(internals.mask_of(tensor))

    def masks_of(self, outputs: Any) -> dict[Value, Value | None]:
        """The mask attached to each output of the model."""
        tensors = [t for t in leaves_of(outputs) if isinstance(t, TracedTensor)]
        return {t.value: self.mask_value(t) for t in tensors}

    def as_layer_argument(self, x: Any) -> Any:
        """What stands for `x` among the arguments of a layer: a Value for any tensor."""
        return self._argument(x, inline=0)

    def _argument_of(self, function: str) -> Callable[[Any], Any]:
        # PyTorch's functions take no arrays of NumPy, and its own dtypes instead of names.
        return self.as_layer_argument if function.startswith("torch.") else self._as_op_argument

    def _as_op_argument(self, x: Any) -> Any:
        return codec.without_torch(self._argument(x, inline=INLINE_SIZE))

    def _argument(self, x: Any, inline: int) -> Any:
        """What stands for `x` in a Node: a Value for a tensor, a weight or a constant of some size."""
        x = self.decided(x)
        if isinstance(x, TracedTensor):
            memory.require_current(self, self._own(x).value)
            return self._held(x.value)
        if internals.is_variable(x):
            return self._argument(self.parameter(x), inline)
        if isinstance(x, keras.KerasTensor):
            raise self.unsupported(
                f"A symbolic tensor from outside the trace is used: {x!r}.",
                "pass it to the model as an input",
            )
        if isinstance(x, np.generic) or not _is_array(x):
            return raw.dialect().argument(x)
        owner = self._variable_of(x)
        if owner is not None:
            return self._argument(self.parameter(owner), inline)
        if internals.is_raw_variable(x):
            self.note(
                "fixed",
                f"{type(x).__name__} {getattr(x, 'name', '')} is no weight of the model, so that Keras does "
                "not train it: the prepared model has its present value",
                source_line(),
                "create it with self.add_weight(...) if it is to be trained or changed",
            )
        with self.pause():
            array = np.array(to_numpy(x))
        if array.size > inline:
            return self._constant(array)
        # Within a tuple, PyTorch takes numbers and no arrays.
        return array if array.shape else array[()]

    def _variable_of(self, x: Any) -> Any:
        """The Keras variable whose value is the variable `x` of the backend, or None."""
        if not internals.is_raw_variable(x):
            return None
        return next((v for v in self.root.variables if internals.raw_value(v) is x), None)

    def unsupported(self, what: str, hint: str = "", why: str = "") -> UnsupportedOperationError:
        """The error for something in the user's code; the usual hint is to keep the layer whole."""
        where, hint = self.locate(source_line()), hint or self.keep_hint()
        return UnsupportedOperationError(describe(what, where=where, why=why, hint=hint))

    def _own(self, tensor: TracedTensor) -> TracedTensor:
        if tensor.session is not self:
            raise self.unsupported(
                f"The tensor {tensor.value.name} belongs to another trace.",
                "do not keep tensors of an earlier call in attributes",
            )
        return tensor

    def _constant(self, array: np.ndarray) -> Value:
        array.flags.writeable = False
        path = self.frame.path if self.frames else ""
        return self.graph.add_constant(array, f"{identifier(path)}_constant" if path else "constant")

    def finish(self, node: Node, specs: list[Any]) -> Any:
        """Give `node` its results, append it, and return the tensors that stand for them."""
        second = iter(leaves_of(specs[-1]))
        counts = [sum(1 for _ in leaves_of(s)) for s in specs]
        if counts[0] != counts[-1]:
            raise self.unsupported(f"{node.name} has a number of results that depends on a free size.")
        names = self._result_names(node, counts[0])
        known, cut = equal_sizes(node), cut_axes(node)

        def make(spec: Any) -> Any:
            other, name = next(second), next(names)
            if spec is None:
                return None
            value = Value(name, (), spec.dtype, node)
            pairs = zip(spec.shape, other.shape, strict=True)
            value.shape = tuple(_size(value, k, pair, known, is_cut=k in cut) for k, pair in enumerate(pairs))
            return value

        node.outputs = map_leaves(make, specs[0])
        self.graph.append(node)
        note_sizes(self.sizes_held, node)
        results = map_leaves(lambda v: None if v is None else self.tensor_of(v), node.outputs)
        return raw.finished(self, results)

    def _result_names(self, node: Node, count: int) -> Iterator[str]:
        node.name = self.graph.unique_name(identifier(node.name))
        return iter([node.name] if count == 1 else [f"{node.name}.{i}" for i in range(count)])

    def tensor_of(self, value: Value) -> TracedTensor:
        """A tensor that stands for `value`."""
        return TracedTensor(value, self)

    def _answer(self, question: Question) -> None:
        """Record the answer to a question about a free size as a guard, or refuse to answer."""
        line = source_line()
        if asked_for_a_warning():
            return
        if not may_answer(question, self.hinted):
            raise SizeDecisionError(refusal(question, self.locate(line), self.keep_hint()))
        if question.symbol not in COMPARISONS:
            self.clashes.note_read(question.dim)
        path = self.frame.path if self.frames else ""
        self.clashes.asked = question
        self.effects.guards += guards_for(question, path, line)


def _size(value: Value, k: int, pair: Any, known: Callable[..., Dim | None], is_cut: bool) -> Any:
    """Axis `k` of a result, which is free unless its two example sizes are alike."""
    a, b = pair
    if is_cut and a is not None and a == b and a > 1:
        b = a - 1
    if a == b is not None:
        return a
    # A size that depends on the data has no hints of its own.
    return Dim.axis(value, k, (a or 11, b or 13), known(k, (a, b)))


def _as_cast(name: str, args: Any, kwargs: Any) -> tuple[str, Any, Any]:
    """Say a conversion of a traced tensor as a cast; "" for one that gives the tensor itself back.

    On real tensors a conversion to the same dtype returns the same object, with its mask.
    """
    values = {**dict(zip(("x", "dtype"), args, strict=False)), **kwargs}
    x, dtype = values["x"], values.get("dtype")
    if not isinstance(x, TracedTensor):
        return name, args, kwargs
    dtype = x.value.dtype if dtype is None else internals.standardize_dtype(dtype)
    return ("" if dtype == x.value.dtype else "keras.ops.cast"), (x, dtype), {}


def _has_no_value_yet(x: Any) -> bool:
    is_symbolic = isinstance(x, (keras.KerasTensor, Dim)) or internals.is_variable(x)
    return is_symbolic or (_is_array(x) and internals.is_raw_variable(x))


def without_draw(name: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments that take nothing from the seed generator of the process."""
    unseeded = name.startswith("keras.random.") and kwargs.get("seed", 0) is None
    return {**kwargs, "seed": 0} if unseeded else kwargs


def _is_draw(value: Value) -> bool:
    """Whether `value` is a seed: no size of the inputs is in it."""
    return isinstance(value.producer, Node) and isinstance(value.producer.target, SeedDraw)


def _value_of(tensor: Any) -> Value | None:
    return tensor.value if isinstance(tensor, TracedTensor) else None


def _is_float(dtype: str) -> bool:
    return "float" in dtype


def _is_array(x: Any) -> bool:
    return isinstance(x, np.ndarray) or keras.ops.is_tensor(x)

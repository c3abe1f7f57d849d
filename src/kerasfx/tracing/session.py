"""One trace: the graph that grows, what is known while it does, and how functions are recorded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import keras
import numpy as np

from kerasfx.errors import (
    OperationInferenceError,
    SizeDecisionError,
    UnsupportedOperationError,
    describe,
)
from kerasfx.inputs import CallSpec
from kerasfx.ir import (
    Graph,
    Node,
    SourceLine,
    Training,
    Value,
)
from kerasfx.ir.dims import (
    COMPARISONS,
    Question,
    decisions_go_to,
    sizes_become_tensors_by,
)
from kerasfx.keras_api import internals
from kerasfx.reporting import Finding
from kerasfx.runtime.modes import BOTH, TRAINING
from kerasfx.tracing import arguments, native, operations, recorder, results
from kerasfx.tracing.building import KerasInference
from kerasfx.tracing.control.decisions import Decisions
from kerasfx.tracing.control.training_flag import TrainingFlag
from kerasfx.tracing.layers.frames import Frame, ModelCall
from kerasfx.tracing.layers.policy import (
    WholePolicy,
)
from kerasfx.tracing.layers.reading import Read
from kerasfx.tracing.native import calls
from kerasfx.tracing.recorder import Arguments, Keywords, Structure
from kerasfx.tracing.remembered import Memory
from kerasfx.tracing.sizes.examples import Clashes, Refusal, Seeming
from kerasfx.tracing.sizes.guards import (
    guards_for,
    may_answer,
    refusal,
)
from kerasfx.tracing.state.effects import Effects
from kerasfx.tracing.state.leftovers import Attributes
from kerasfx.tracing.tensor import TracedTensor
from kerasfx.tracing.where import Paths, asked_for_a_warning, source_line


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
        mode: The mode that is traced, or both.
    """

    def __init__(
        self,
        root: keras.Layer,
        policy: WholePolicy,
        hinted: Iterable[str] = (),
        clashes: Clashes | None = None,
        mode: str = BOTH,
    ):
        self.memory: recorder.Memory = Memory()
        self.graph = Graph(root.name, KerasInference(self.memory))
        self.graph.mode = mode
        both = TrainingFlag(self, from_context=True)
        self.decisions = Decisions(both if mode == BOTH else mode == TRAINING)
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
        self.calls_of_model: list[ModelCall] = []
        self.adding_losses: set[int] = set()
        self.frames: list[Frame] = []
        self.effects = Effects()
        self.paused = False
        self.in_user_code = False
        self.in_body = False
        self.sizes_held: dict[Value, np.ndarray] = {}
        self.seeming_size: Seeming | None = None
        self.may_be_weak: dict[int, Value] = {}
        self._tracked: dict[int, keras.Layer] = {}
        self.of_metrics = {id(v) for metric in internals.metrics_of_layers(root) for v in metric.variables}

    @property
    def dialect(self) -> recorder.Dialect:
        """That of the running backend."""
        return native.dialect()

    @property
    def frame(self) -> Frame:
        """The innermost frame."""
        return self.frames[-1]

    @property
    def path(self) -> str:
        """The path of the innermost layer; "" for the model itself, and outside of any call."""
        return self.frame.path if self.frames else ""

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
        # What Keras computes meanwhile is its own code, to which a free size is None.
        self.paused, self.in_user_code = True, False
        try:
            # It must neither find the `training` of the call that is traced, nor leave one there.
            with internals.no_call_context():
                yield
        finally:
            self.paused, self.in_user_code = saved

    @contextmanager
    def user_code(self) -> Iterator[None]:
        """While code of the user runs, which sees free sizes where that of Keras sees None."""
        with self._code_of(user=True):
            yield

    @contextmanager
    def keras_code(self) -> Iterator[None]:
        """While code of Keras runs."""
        with self._code_of(user=False):
            yield

    @contextmanager
    def _code_of(self, user: bool) -> Iterator[None]:
        saved, self.in_user_code = self.in_user_code, user
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

    def is_tracked(self, layer: keras.Layer) -> bool:
        """Whether Keras counts `layer` among those of the model."""
        # Layers may be made while `call` runs, so an unknown one is looked for again. Those found are kept
        # alive, or an id might come to be another's.
        if id(layer) not in self._tracked:
            self._tracked = {id(x): x for x in internals.all_layers(self.root)}
        return id(layer) in self._tracked

    def keep_hint(self) -> str:
        """Say how to keep the innermost layer whole."""
        if self.path:
            return f"keep the layer whole: leaves=[{self.path!r}]"
        return "move this code into a layer of its own, which is then kept whole"

    # Frames

    @contextmanager
    def framed(self, frame: Frame) -> Iterator[None]:
        """Let `frame` be the innermost; Keras's code runs first, that of the user below it."""
        self.frames.append(frame)
        try:
            with self.keras_code():
                yield
        finally:
            self.frames.pop()

    @contextmanager
    def inside_body(self) -> Iterator[None]:
        """While a body is recorded every layer is opened, and none can be kept whole."""
        saved = self.in_body
        self.in_body = True
        try:
            yield
        finally:
            self.in_body = saved

    def training_asked(self, rule: Training) -> bool | None:
        """Note that Python asks for the `training` that `rule` says; returns the answer, if there is one."""
        self.decisions.asked.add(rule)
        return self.decisions.answer

    # Recording: each of these jobs has a file of its own

    def record_op(self, name: str, args: Arguments, kwargs: Keywords) -> Any:
        """Record a call of the public function `name`; returns the tensors of its results."""
        return operations.record_op(self, name, args, kwargs)

    def infer_op(self, name: str, args: Arguments, kwargs: Keywords) -> list[Any]:
        """What a call of the function `name` would give; nothing is recorded."""
        return operations.infer_op(self, name, args, kwargs)

    def finish(self, node: Node, specs: list[Any]) -> Any:
        """Give `node` its results, append it, and return the tensors that stand for them."""
        return results.finish(self, node, specs)

    def operator(self, op: str, args: Arguments) -> Any:
        """Record an operator of Python, which `keras.ops.<op>` is to Keras."""
        return calls.operator(self, op, args)

    def change_in_place(self, tensor: TracedTensor, op: str, args: Arguments) -> Any:
        """`x += y` or `x[key] = value` on a backend whose tensors change, or NotImplemented."""
        return self.dialect.in_place(tensor, op, args) if self.in_user_code else NotImplemented

    # Tensors and Values

    def is_traced(self, structure: Structure) -> bool:
        """Whether a call with these arguments has to be recorded."""
        return arguments.is_traced(structure)

    def tensor_of(self, value: Value) -> TracedTensor:
        """A tensor that stands for `value`."""
        return TracedTensor(value, self)

    def traced(self, x: Structure) -> TracedTensor:
        """A tensor of the trace for a constant, or for a variable of the backend."""
        value = arguments.layer_argument(self, x)
        assert isinstance(value, Value)
        return self.tensor_of(value)

    def as_tensor(self, x: Structure) -> Any:
        """`x` as a tensor of the trace, a Python number converted as Keras would; None stays None."""
        if x is None or isinstance(x, TracedTensor):
            return x
        return self.record_op("keras.ops.convert_to_tensor", (x,), {})

    def value_of(self, x: Structure) -> Any:
        """The Value of a tensor, a weight or a constant; None stays None."""
        return None if x is None else arguments.layer_argument(self, x)

    # Sizes

    def sizes_as_tensor(self, size: Structure) -> Any:
        """A size, or a list of sizes, as the tensor that it is on TensorFlow.

        Raises:
            TypeError: The backend runs eagerly, so that it is an int.
        """
        if keras.backend.backend() != "tensorflow":
            raise TypeError("'int' object is not subscriptable")
        return self.as_tensor(size)

    def _answer(self, question: Question) -> None:
        """Record the answer to a question about a free size as a guard, or refuse to answer."""
        line = source_line()
        # Whether Keras warns changes no result: there is nothing to guard.
        if asked_for_a_warning():
            return
        if not may_answer(question, self.hinted):
            raise SizeDecisionError(refusal(question, self.locate(line), self.keep_hint()))
        if question.symbol not in COMPARISONS:
            # A number that was read holds for these sizes alone; a later attempt may fix them.
            self.clashes.note_read(question.dim)
        # If the user's code raises next, it may be because of this answer.
        self.clashes.asked = question
        self.effects.guards += guards_for(question, self.path, line)

    # What is said of it

    def note(self, kind: str, what: str, source: SourceLine | None = None, hint: str = "") -> None:
        """Add a finding about the innermost layer, once."""
        finding = Finding(kind, self.path, what, source, hint)
        if finding not in self.findings:
            self.findings.append(finding)

    def unsupported(self, what: str, hint: str = "", why: str = "") -> UnsupportedOperationError:
        """The error for something in the user's code; the usual hint is to keep the layer whole."""
        where, hint = self.locate(source_line()), hint or self.keep_hint()
        return UnsupportedOperationError(describe(what, where=where, why=why, hint=hint))

    def refused(self, name: str, call: Refusal, error: Exception) -> OperationInferenceError:
        """The error for a function that does not take its arguments."""
        return operations.refused(self, name, call, error)

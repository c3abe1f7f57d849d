"""What the recorders of single things need of the trace that they record into.

Patches, tensors, flags, bodies of control flow and the dialects of the backends know a `Recorder`. The one
that there is, `Session`, imports them and not the other way round.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

import keras
import numpy as np

from kerasfx.errors import UnsupportedOperationError
from kerasfx.ir import Graph, Node, SourceLine, Training, Value
from kerasfx.ir.dims import Dim
from kerasfx.keras_api.replacing import undone
from kerasfx.tracing.layers.frames import Frame
from kerasfx.tracing.public_calls import PublicCall
from kerasfx.tracing.sizes.examples import Clashes, Refusal
from kerasfx.tracing.state.effects import Effects
from kerasfx.tracing.where import Paths

Structure = object
"""Anything: tensors, numbers and the like, in tuples, lists and dicts or alone."""

Arguments = tuple[Structure, ...]
Keywords = Mapping[str, Structure]

Function = Callable[..., Any]
"""A function that was written elsewhere: by the user, in Keras or in the backend."""

Args = tuple[Any, ...]
"""What such a function is given by position; only it knows what they are."""

Kwargs = dict[str, Any]
"""What it is given by name."""

Size = int | Dim


Held = dict[Value, np.ndarray]
"""The tensors that hold sizes, and these as an array of objects."""


class Tensor(Protocol):
    """A tensor of the trace, seen from below.

    Attributes:
        first_value: The Value that it stood for at first.
    """

    first_value: Value

    @property
    def value(self) -> Value:
        """The Value that it stands for now."""
        ...

    def __getitem__(self, key: Any, /) -> Any: ...


class Twin(Protocol):
    """How a function of the backend is said as one of `keras.ops`."""

    def call(self, function: Function, args: Arguments, kwargs: Keywords) -> PublicCall | None:
        """The call of the twin, or None where the arguments have no place in it."""
        ...


class Dialect:
    """What differs between the backends in what the user's code does with tensors.

    Each backend has a subclass (`native/`) that says what differs there; what it leaves out is as here.

    Attributes:
        draws: Names of the functions that draw anew at each call, whatever their arguments are.
        giving_back: Names of the functions that give their first argument itself, and with it the mask that
            it carries, where they move nothing.
        patched: Names of the functions that are replaced while tracing, because nothing else sees their
            calls; None for all.
    """

    draws: frozenset[str] = frozenset()
    giving_back: frozenset[str] = frozenset()
    patched: frozenset[str] | None = None

    # How a tensor looks to the user's code

    def tensor_class(self) -> type | None:
        """What `isinstance` takes a tensor of the trace for, besides its own class."""
        return None

    def shape(self, sizes: tuple[Size, ...]) -> tuple[Size, ...]:
        """What `x.shape` is."""
        return sizes

    def dtype(self, name: str) -> Any:
        """What `x.dtype` is."""
        return name

    def attribute(self, tensor: Any, name: str) -> Any:
        """What an attribute that a tensor of Keras lacks is for a tensor of the trace.

        Raises:
            AttributeError: Tensors of the backend lack it as well.
        """
        raise AttributeError(name)

    # Operators

    def operand(self, op: str, dtype: str, x: Structure) -> Structure:
        """The other side of an operator as the backend takes it: to most a NumPy scalar is a number.

        Args:
            op: The operator, as a function of `keras.ops` is called.
            dtype: That of the tensor.
            x: What the code of the user has on the other side.
        """
        return x.item() if isinstance(x, np.generic) else x

    def check_operands(self, session: Recorder, args: Arguments) -> None:
        """Refuse an operator whose result depends on more than the trace knows."""

    def operator_function(self, op: str, args: Arguments) -> str | None:
        """The backend's function for an operator that does not mean `keras.ops.<op>`, or None."""
        return None

    def in_place(self, tensor: Any, op: str, args: Arguments) -> Any:
        """`x += y` or `x[key] = value` where tensors change, or NotImplemented."""
        return NotImplemented

    # Calls of the backend's functions

    def argument(self, x: Structure) -> Structure:
        """What is recorded for an argument of a function."""
        return x

    def special(
        self, session: Recorder, name: str, original: Function, args: Arguments, kwargs: Keywords
    ) -> Any:
        """The result of a call that is no op, or NotImplemented."""
        return NotImplemented

    def twin(self, name: str, function: Function) -> Twin | None:
        """How to say the function of that name with `keras.ops`, or None."""
        return None

    def exact(self, call: PublicCall) -> PublicCall | None:
        """A call of a twin that means what the function means for these tensors, or None."""
        return call

    def recorded(self, session: Recorder, result: Structure) -> None:
        """Called with what a recorded function of the backend gave."""

    def finished(self, session: Recorder, results: Structure) -> Any:
        """The results of a Node as the user's code gets them."""
        return results

    # The whole trace

    def around(self) -> Hashable:
        """What shapes and dtypes of results depend on besides the arguments of a call."""
        return ()

    def context(self, session: Recorder) -> AbstractContextManager[None]:
        """What is open while a model is traced."""
        return nullcontext()

    def patches(self) -> Iterator[Patch]:
        """What is replaced in the backend while tracing besides the functions of the namespaces."""
        return iter(())

    def watched(self) -> Iterator[object]:
        """The modules and classes that `patches` looks through."""
        return iter(())

    def patches_of_users(self) -> Iterator[Patch]:
        """What is replaced while tracing in modules that were loaded since."""
        return iter(())


class Recorder(Protocol):
    """A trace that is being made.

    Attributes:
        graph: What is recorded.
        effects: What was done so far besides returning results.
        paused: Whether Keras works as if nothing were traced.
        in_user_code: Whether the code that runs is the user's; otherwise it is Keras's.
        may_be_weak: Values that JAX may have as numbers without a dtype of their own, by their ids.
    """

    graph: Graph
    effects: Effects
    paused: bool
    in_user_code: bool
    may_be_weak: dict[int, Value]

    @property
    def dialect(self) -> Dialect:
        """That of the running backend."""
        ...

    @property
    def frame(self) -> Frame:
        """The innermost layer whose call is traced."""
        ...

    @property
    def path(self) -> str:
        """Its path; "" for the model itself, and outside of any call."""
        ...

    # Recording

    def record_op(self, name: str, args: Arguments, kwargs: Keywords) -> Any:
        """Record a call of the public function `name`; returns the tensors of its results."""
        ...

    def infer_op(self, name: str, args: Arguments, kwargs: Keywords) -> list[Any]:
        """What a call of the function `name` would give; nothing is recorded."""
        ...

    def finish(self, node: Node, specs: list[Any]) -> Any:
        """Give `node` its results, append it, and return the tensors that stand for them."""
        ...

    def operator(self, op: str, args: Arguments) -> Any:
        """Record an operator of Python, which `keras.ops.<op>` is to Keras."""
        ...

    def change_in_place(self, tensor: Any, op: str, args: Arguments) -> Any:
        """`x += y` or `x[key] = value` on a backend whose tensors change, or NotImplemented."""
        ...

    # Tensors and Values

    def is_traced(self, structure: Structure) -> bool:
        """Whether a call with these arguments has to be recorded."""
        ...

    def tensor_of(self, value: Value) -> Tensor:
        """A tensor that stands for `value`."""
        ...

    def traced(self, x: Structure) -> Tensor:
        """A tensor of the trace for a constant, or for a variable of the backend."""
        ...

    def as_tensor(self, x: Structure) -> Any:
        """`x` as a tensor of the trace, a Python number converted as Keras would; None stays None."""
        ...

    def value_of(self, x: Structure) -> Any:
        """The Value of a tensor or constant; None stays None."""
        ...

    # What is said of it

    def training_asked(self, rule: Training) -> bool | None:
        """Note that Python asks for the `training` that `rule` says; returns the answer, if there is one."""
        ...

    def note(self, kind: str, what: str, source: SourceLine | None = None, hint: str = "") -> None:
        """Add a finding about the innermost layer, once."""
        ...

    def locate(self, line: SourceLine | None) -> str:
        """Say where: the path and class of the layer, the user's file and line."""
        ...

    def keep_hint(self) -> str:
        """Say how to keep the innermost layer whole."""
        ...

    def unsupported(self, what: str, hint: str = "", why: str = "") -> UnsupportedOperationError:
        """The error for something in the user's code; the usual hint is to keep the layer whole."""
        ...

    def refused(self, name: str, call: Refusal, error: Exception) -> Exception:
        """The error for a function that does not take its arguments."""
        ...

    # Blocks

    def pause(self) -> AbstractContextManager[None]:
        """Let Keras work as if nothing were traced."""
        ...

    def inside_body(self) -> AbstractContextManager[None]:
        """While a body is recorded every layer is opened, and none can be kept whole."""
        ...


class Memory(Protocol):
    """What calls give, inferred once for calls that are alike."""

    def of_call(self, function: Function, args: Args, kwargs: Kwargs, /) -> list[Any]:
        """The results of a public function, a structure of `Spec` for each set of example sizes."""
        ...

    def of_layer(self, layer: keras.Layer, args: Args, kwargs: Kwargs, /) -> list[Any]:
        """The results of a layer, in the same form."""
        ...


class Trace(Recorder, Protocol):
    """A trace as its own jobs see it: what it knows of the model and of sizes besides.

    Attributes:
        root: The model.
        paths: Where its layers and variables are.
        of_metrics: The variables of metrics, by their ids.
        sizes_held: The tensors that hold sizes, and these.
        clashes: Notes the ops that are refused for the example sizes.
        memory: What calls gave that are like others.
    """

    root: keras.Layer
    paths: Paths
    of_metrics: set[int]
    sizes_held: Held
    clashes: Clashes
    memory: Memory


Replacement = Callable[[Any, Function, Args, Kwargs], Any]
"""`replacement(trace, original, args, kwargs)`: what runs in the place of `original`."""

Patch = tuple[object, str, Any]
"""Owner, name, and the `Replacement` or property that stands there while a trace is open."""


class _OfThread(threading.local):
    recorder: Recorder | None = None


_of_thread = _OfThread()


def current() -> Recorder | None:
    """The trace that is made on this thread, or None (also while it is paused)."""
    recorder = _of_thread.recorder
    return None if recorder is None or recorder.paused else recorder


@contextmanager
def recording_into(recorder: Recorder) -> Iterator[None]:
    """Let `recorder` be the trace of this thread."""
    saved = _of_thread.recorder
    with undone(lambda: setattr(_of_thread, "recorder", saved)):
        _of_thread.recorder = recorder
        yield

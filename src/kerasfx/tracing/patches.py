"""The places that see everything while a trace is open, and how they are put back.

Patches are installed when the first session of the process opens and removed when the last one closes
(`kerasfx.keras_api.replacing`). Each looks for the session of its own thread and, without one, is the
original. Most are the same for every trace: these stand-ins are made once (`stand_ins.py`).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import keras
import numpy as np

from kerasfx.errors import WeightAsPythonValueError, describe
from kerasfx.ir import leaves_of
from kerasfx.ir.dims import Dim
from kerasfx.keras_api import internals, replacing
from kerasfx.keras_api.replacing import Replaced, replace
from kerasfx.passes.legalize.tie_to_outputs import AddedLoss
from kerasfx.tracing import native, public_calls
from kerasfx.tracing.bindings import Bindings, look_again
from kerasfx.tracing.control import bodies as control_flow
from kerasfx.tracing.control import loops as recurrence
from kerasfx.tracing.control.training_flag import is_flag
from kerasfx.tracing.layers import calls as layer_calls
from kerasfx.tracing.layers.calls import NOT_RECOMPUTED
from kerasfx.tracing.native import imported
from kerasfx.tracing.native.calls import following_attributes
from kerasfx.tracing.operations import record_operation
from kerasfx.tracing.recorder import Args, Function, Kwargs, Patch, Replacement
from kerasfx.tracing.session import Session, current
from kerasfx.tracing.stand_ins import StandIns, stand_ins_for
from kerasfx.tracing.state import metrics, randomness, variables
from kerasfx.tracing.tensor import OF_VARIABLES, OPERATOR_NAMES, TracedTensor, is_operand
from kerasfx.tracing.where import source_line

_installed = replacing.installed


def patched() -> tuple[str, ...]:
    """The names that are patched now; empty when no trace is open."""
    return tuple(f"{getattr(owner, '__name__', owner)}.{name}" for owner, name, _ in _installed)


def installed() -> Replaced:
    """Keep the patches in place while a `with` block runs."""
    return Replaced(_install)


def _install() -> None:
    # First, since the patches below ask which modules have imported what by its name.
    look_again()
    alike = _alike_for_all.now()
    for stand in (*alike.values(), *stand_ins_for(_looked_for(), alike).values()):
        replace(stand.owner, stand.name, stand.now)


def _of_libraries() -> Iterator[Patch]:
    """What is the same for every trace, unless someone changes Keras or the backend."""
    yield from _of_calls()
    yield from _of_variables()
    yield from _of_backend()
    yield from recurrence.patches()
    yield from native.patches()


def _looked_for() -> Iterator[Patch]:
    """What depends on the modules that were loaded, and on the classes that users have made."""
    yield from _of_core()
    for module in _modules_of_keras_with(internals.any_symbolic_tensors):
        # `Layer.__call__` asks in order to add a Node to its layer, which a trace must not do.
        in_layer = module.__name__ == internals.Layer.__module__
        yield module, "any_symbolic_tensors", _never if in_layer else _any_symbolic
    for each in (control_flow, imported, randomness, metrics):
        yield from each.patches()


def _watched() -> Iterator[object]:
    """What holds the places of `_of_libraries`, as far as these are found by looking through it."""
    yield from (internals.backend_module(name) for name in (*NAMESPACES, "random"))
    yield from internals.variable_classes()
    yield from native.watched()


_alike_for_all = StandIns(_of_libraries, _watched)


# Calls of layers and operations


def _of_calls() -> Iterator[Patch]:
    yield internals.Layer, "__call__", _layer_call
    yield internals.Layer, internals.BUILDS, _maybe_build
    yield internals.Layer, internals.COMPUTES_MASKS, _set_mask_metadata
    yield internals.Layer, "add_loss", _add_loss
    yield internals.functional, "operation_fn", _operation_of_graph
    yield internals.Operation, "__call__", _operation_call
    yield internals.Operation, "symbolic_call", _symbolic_call
    # With filtering on, Keras rebuilds exceptions of the user's code and loses their lines.
    yield internals.traceback_utils, "is_traceback_filtering_enabled", _never


def _modules_of_keras_with(function: Function) -> list[ModuleType]:
    """The modules of Keras, but for those of the backend, that have imported `function` by its name."""
    bindings = [b for b in _bindings_of(function) if b.name == function.__name__]
    return [b.module for b in bindings if internals.is_module_of_keras_itself(b.module_name)]


@functools.cache
def _bindings_of(function: Function) -> Bindings:
    return Bindings({id(function)}, in_keras=True)


def _layer_call(session: Session, original: Function, args: Args, kwargs: Kwargs) -> Any:
    layer, *rest = args
    return layer_calls.call_layer(session, original, layer, tuple(rest), kwargs)


def _maybe_build(session: Session, original: Function, args: Args, kwargs: Kwargs) -> Any:
    layer, call_spec = args
    if layer.built:
        return None
    # An eager call forgives what cannot be built beforehand: `call` itself will build it.
    call_spec.eager = True
    with session.pause(), internals.failed_builds_forgotten(layer):
        return original(*args, **kwargs)


def _set_mask_metadata(session: Session, original: Function, args: Args, kwargs: Kwargs) -> Any:
    with session.user_code():
        return original(*args, **kwargs)


def _add_loss(session: Session, original: Function, args: Args, kwargs: Kwargs) -> None:
    layer, losses = args[0], kwargs.get("loss", args[-1])
    session.adding_losses.add(id(layer))
    session.effects.losses += [AddedLoss(session.value_of(x)) for x in leaves_of(losses)]


def _operation_of_graph(session: Session, original: Function, args: Args, kwargs: Kwargs) -> Any:
    (operation,), training = args, kwargs.get("training")
    # A layer without the argument is told as well, for those behind it, which find it in the context.
    if not (is_flag(training) and isinstance(operation, internals.Layer)):
        return original(*args, **kwargs)
    return layer_calls.operation_of_graph(operation, training)


def _operation_call(session: Session, original: Function, args: Args, kwargs: Kwargs) -> Any:
    operation, *rest = args
    if isinstance(operation, internals.Layer):
        return layer_calls.run_call(session, operation, tuple(rest), kwargs)
    if not _is_traced((rest, kwargs)):
        return original(*args, **kwargs)
    if isinstance(operation, keras.Function):
        return operation.call(*rest, **kwargs)
    return _recorded(session, operation, tuple(rest), kwargs)


def _symbolic_call(session: Session, original: Function, args: Args, kwargs: Kwargs) -> Any:
    operation, *rest = args
    return _recorded(session, operation, tuple(rest), kwargs)


def _recorded(session: Session, operation: Any, args: Args, kwargs: Kwargs) -> Any:
    """One of Keras's own operations is a node; the `call` of any other is traced through, as a layer's is."""
    if type(operation).__module__.partition(".")[0] == "keras":
        return record_operation(session, operation, args, kwargs)
    with session.user_code(), following_attributes(operation):
        return operation.call(*args, **kwargs)


def _any_symbolic(session: Session, original: Function, args: Args, kwargs: Kwargs) -> bool:
    return _is_traced((args, kwargs))


def _never(session: Session, original: Function, args: Args, kwargs: Kwargs) -> bool:
    return False


def _is_traced(structure: object) -> bool:
    return any(
        isinstance(x, (keras.KerasTensor, Dim)) or internals.is_variable(x) for x in leaves_of(structure)
    )


# Variables


def _of_variables() -> Iterator[Patch]:
    for cls in internals.variable_classes():
        if "value" in vars(cls):
            yield cls, "value", _value_property(vars(cls)["value"])
        for name in OPERATOR_NAMES:
            if name in vars(cls):
                yield cls, name, functools.partial(_variable_operator, name)
        for name in ("numpy", "__array__"):
            if name in vars(cls):
                yield cls, name, _variable_as_array
        if "assign" in vars(cls):
            yield cls, "assign", _assign


def _value_property(original: property) -> property:
    read = original.fget
    assert read is not None

    def value(variable: keras.Variable) -> Any:
        session = current()
        if session is not None:
            return variables.parameter(session, variable)
        # On PyTorch Keras leaves this out where it infers shapes.
        return internals.autocast(variable, read(variable))

    return property(value, original.fset, original.fdel, original.__doc__)


def _variable_operator(name: str, session: Session, original: Function, args: Args, kwargs: Kwargs) -> Any:
    variable, *rest = args
    tensor = variables.parameter(session, variable)
    if name not in OF_VARIABLES:
        return getattr(tensor, name)(*rest, **kwargs)
    # With two sides Keras computes by itself, whatever a tensor's own operator does.
    other: Any
    [other], (op, is_reflected) = rest, OF_VARIABLES[name]
    if not is_operand(other):
        return NotImplemented
    if _is_of_numbers(other):
        array: Any = keras.ops.convert_to_tensor(other)
        # Written down as a number, its dtype would not count.
        other = array if array.shape else session.traced(array)
    sides = (other, tensor) if is_reflected else (tensor, other)
    if session.in_user_code:
        session.dialect.check_operands(session, sides)
    return session.record_op(f"keras.ops.{op}", sides, {})


def _is_of_numbers(x: object) -> bool:
    """Whether `x` is what NumPy makes an array of, but no number of Python's."""
    if isinstance(x, (list, tuple)):
        return all(isinstance(leaf, (int, float, np.generic)) for leaf in leaves_of(x))
    return isinstance(x, (np.ndarray, np.generic))


def _variable_as_array(session: Session, original: Function, args: Args, kwargs: Kwargs) -> Any:
    path = session.paths.of_variable(args[0])
    raise WeightAsPythonValueError(
        describe(
            f"The value of the weight {path} is read into NumPy.",
            where=session.locate(source_line()),
            why="it would be frozen in the prepared model",
            hint="use the weight itself, with the functions of keras.ops",
        )
    )


def _assign(session: Session, original: Function, args: Args, kwargs: Kwargs) -> Any:
    variable, value = (*args, *kwargs.values())
    return variables.assign(session, variable, value)


# Functions of the backend that Keras calls without an Operation

NAMESPACES = ("core", "numpy", "nn", "math", "linalg", "image")


def _of_backend() -> Iterator[Patch]:
    for namespace in NAMESPACES:
        module = internals.backend_module(namespace)
        for name in _functions(module):
            if name not in CORE and public_calls.public_name(name, namespace):
                yield module, name, functools.partial(_backend_function, namespace, name)
    yield keras.random.SeedGenerator, "next", _next_seed
    random = internals.backend_module("random")
    for name in _functions(random):
        if hasattr(keras.random, name):
            yield random, name, functools.partial(_random_function, name)


def _functions(module: ModuleType) -> list[str]:
    return [
        name
        for name, x in vars(module).items()
        if callable(x) and not isinstance(x, type) and getattr(x, "__module__", "") == module.__name__
    ]


def _decided(x: object) -> object:
    """`x`, or the mode that is traced at present if it stands for `training`."""
    return x.decided() if is_flag(x) else x


CORE: dict[str, Replacement] = {}


def _core(function: Replacement) -> Replacement:
    CORE[function.__name__.lstrip("_")] = function
    return function


@_core
def _cast(session: Session, original: Function, args: Args, kwargs: Kwargs) -> Any:
    given = list(map(_decided, args))
    if not _is_traced(given[:1]):
        return original(*given, **kwargs)
    return _as_tensor(session, given[0], kwargs.get("dtype", given[1] if len(given) > 1 else None))


@_core
def _convert_to_tensor(session: Session, original: Function, args: Args, kwargs: Kwargs) -> Any:
    given = list(map(_decided, args))
    x = given[0] if given else kwargs["x"]
    if not _is_traced((x,)):
        return original(*given, **kwargs)
    return _as_tensor(session, x, kwargs.get("dtype", given[1] if len(given) > 1 else None))


PLAIN = frozenset((type(None), bool, int, float, str))
"""Classes of what is no tensor on any backend."""


@_core
def _is_tensor(session: Session, original: Function, args: Args, kwargs: Kwargs) -> bool:
    if isinstance(args[0], TracedTensor):
        # What the code would see at run time; Keras's own code expects a symbolic tensor here.
        return session.in_user_code
    # TensorFlow takes long to find out; Keras asks it of each argument of each layer.
    if type(args[0]) in PLAIN or is_flag(args[0]):
        return False
    return original(*args, **kwargs)


@_core
def _convert_to_numpy(session: Session, original: Function, args: Args, kwargs: Kwargs) -> Any:
    x = args[0]
    if isinstance(x, TracedTensor):
        raise x.no_array()
    if internals.is_variable(x):
        return _variable_as_array(session, original, args, kwargs)
    return original(*args, **kwargs)


@_core
def _remat(session: Session, original: Function, args: Args, kwargs: Kwargs) -> Any:
    """A function that is not computed again in the backward pass: equal numbers, more memory."""
    if not session.in_user_code:
        return original(*args, **kwargs)
    session.note("dropped", f"keras.remat: {NOT_RECOMPUTED}", source_line())
    return args[0]


@_core
def _shape(session: Session, original: Function, args: Args, kwargs: Kwargs) -> Any:
    return args[0].shape if _is_traced(args[:1]) else original(*args, **kwargs)


def _of_core() -> Iterator[Patch]:
    """The functions that code of Keras imports by name, in each module that did."""
    core = internals.backend_module("core")
    for name, replacement in CORE.items():
        original = vars(core).get(name)
        if original is None:  # `remat` is younger than the oldest Keras that is tried
            continue
        for module in (core, *_modules_of_keras_with(original)):
            yield module, name, replacement


def _as_tensor(session: Session, x: object, dtype: object) -> Any:
    if internals.is_variable(x):
        x = variables.parameter(session, x)
    return session.record_op("keras.ops.convert_to_tensor", (x,), {"dtype": dtype})


def _backend_function(
    namespace: str,
    name: str,
    session: Session,
    original: Function,
    args: Args,
    kwargs: Kwargs,
) -> Any:
    if not _is_traced((args, kwargs)):
        return original(*args, **kwargs)
    public = public_calls.public_name(name, namespace)
    return session.record_op(public or name, args, kwargs)


def _random_function(name: str, session: Session, original: Function, args: Args, kwargs: Kwargs) -> Any:
    bound = inspect.signature(original).bind(*args, **kwargs).arguments
    options = bound.pop("kwargs", {})
    seed = bound.pop("seed", None)
    if isinstance(seed, keras.random.SeedGenerator):
        seed = variables.draw_seed(session, seed)
    return session.record_op(f"keras.random.{name}", (), {**bound, **options, "seed": seed})


def _next_seed(session: Session, original: Function, args: Args, kwargs: Kwargs) -> Any:
    generator, ordered = args[0], kwargs.get("ordered", args[1] if len(args) > 1 else True)
    if not ordered:
        # The generator that unseeded calls share; it is drawn from at run time.
        return None
    return variables.draw_seed(session, generator)

"""TensorFlow: twins of its functions in `keras.ops`, and calls that are no op."""

from __future__ import annotations

import functools
import importlib
import inspect
import math
import operator
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import accumulate
from types import ModuleType
from typing import Any

import keras
import numpy as np

from kerasfx.errors import StateUpdateError, describe
from kerasfx.ir import leaves_of, map_leaves
from kerasfx.ir.dims import Dim
from kerasfx.keras_api.arrays import to_numpy
from kerasfx.runtime.functions import backend_functions
from kerasfx.tracing.native import tensorflow_control_flow
from kerasfx.tracing.native.calls import call, name_of
from kerasfx.tracing.native.sizes import (
    KnownSize,
    SizeVector,
    TensorShape,
    are_sizes,
    is_size,
    larger,
    smaller,
)
from kerasfx.tracing.native.tensorflow_twins import TABLE
from kerasfx.tracing.native.twins import Table, arguments_of
from kerasfx.tracing.public_calls import PublicCall
from kerasfx.tracing.recorder import (
    Args,
    Arguments,
    Dialect,
    Function,
    Keywords,
    Kwargs,
    Patch,
    Recorder,
    Twin,
)
from kerasfx.tracing.tensor import OPERATOR_NAMES, TracedTensor
from kerasfx.tracing.where import source_line


@functools.cache
def _table() -> Table:
    """The twins by the names that functions are recorded under, of which a function has one."""
    functions = backend_functions.functions()
    return TABLE.renamed(lambda name: functions[name][0])


DRAWS = frozenset(name for name, _ in backend_functions.functions().values() if backend_functions.draws(name))
"""Functions that draw anew at each call, whatever their arguments are."""

SIZE_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "tf.add": operator.add,
    "tf.subtract": operator.sub,
    "tf.multiply": operator.mul,
    "tf.math.floordiv": operator.floordiv,
    "tf.math.floormod": operator.mod,
    "tf.maximum": larger,
    "tf.minimum": smaller,
    "tf.equal": operator.eq,
    "tf.not_equal": operator.ne,
    "tf.less": operator.lt,
    "tf.less_equal": operator.le,
    "tf.greater": operator.gt,
    "tf.greater_equal": operator.ge,
    "tf.reduce_prod": math.prod,
    "tf.reduce_sum": sum,
}
"""What functions of sizes give, as functions of Python: a size stays a size."""

CHECKS = {
    "tf.debugging.assert_equal": operator.eq,
    "tf.debugging.assert_none_equal": operator.ne,
    "tf.debugging.assert_less": operator.lt,
    "tf.debugging.assert_less_equal": operator.le,
    "tf.debugging.assert_greater": operator.gt,
    "tf.debugging.assert_greater_equal": operator.ge,
}


OF_NARROW_DTYPES = frozenset({"mod", "bitwise_and", "bitwise_or", "bitwise_xor"})
"""Operators whose result Keras widens where a narrow dtype meets a number."""

COMPUTED_IN_FLOAT32 = frozenset(f"keras.ops.{name}" for name in ("mean", "moments", "std", "var"))
"""Functions that Keras computes in float32 where its arguments have 16 bits, as TensorFlow does not."""


def _is_sum(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    """Whether `keras.ops.add` of these shapes is their sum whatever the free sizes are.

    On TensorFlow it calls `tf.nn.bias_add` where all sizes of `b` but one are 1 and that one is the size
    of axis 1 or -1 of `a`, even if broadcasting would put it at another axis.
    """
    if len(a) < 2:
        return True
    for axis, size in enumerate(b):
        others = b[:axis] + b[axis + 1 :]
        is_vector = all(isinstance(n, Dim) or n == 1 for n in others) and not _is_one(size, others)
        if is_vector and not _is_bias_where_it_is_added(a, size, others, len(b), len(b) - axis):
            return False
    return True


def _is_bias_where_it_is_added(
    a: tuple[Any, ...], size: Any, ones: tuple[Any, ...], rank: int, from_end: int
) -> bool:
    def may_equal(n: Any) -> bool:
        return not _is_one(n, ones) and (_same_size(size, n) or isinstance(size, Dim) or isinstance(n, Dim))

    if rank > len(a):
        return not (may_equal(a[1]) or may_equal(a[-1]))
    if from_end == 1:
        return len(a) == 2 or _same_size(size, a[-1]) or not may_equal(a[1])
    return not may_equal(a[-1]) and (from_end == len(a) - 1 or not may_equal(a[1]))


def _is_one(size: Any, ones: Any) -> bool:
    return (isinstance(size, int) and size == 1) or any(_same_size(size, n) for n in ones)


def _same_size(m: Any, n: Any) -> bool:
    if isinstance(m, Dim) and isinstance(n, Dim):
        return m.hints == n.hints  # for both sets of example sizes
    return isinstance(m, int) and isinstance(n, int) and m == n


def _sizes_of(x: Any) -> tuple[Any, ...]:
    if isinstance(x, TracedTensor):
        return x.value.shape
    return () if is_size(x) else tuple(x.shape if hasattr(x, "shape") else np.shape(x))


def _dtype_of(x: Any) -> str:
    if isinstance(x, TracedTensor):
        return x.value.dtype
    return keras.backend.standardize_dtype(x.dtype) if hasattr(x, "dtype") else type(x).__name__


def _shape(session: Recorder, original: Function, given: dict[str, Any]) -> Any:
    x = given["input"]
    return SizeVector(x.value.shape) if isinstance(x, TracedTensor) else NotImplemented


def _size(session: Recorder, original: Function, given: dict[str, Any]) -> Any:
    x = given["input"]
    return math.prod(x.value.shape) if isinstance(x, TracedTensor) else NotImplemented


def _rank(session: Recorder, original: Function, given: dict[str, Any]) -> Any:
    x = given["input"]
    return x.ndim if isinstance(x, TracedTensor) else NotImplemented


def _same_sizes(session: Recorder, original: Function, given: dict[str, Any]) -> Any:
    """Conversions of sizes to integers, which keep them sizes."""
    x, *_ = given.values()
    dtype = given.get("dtype")
    # In any other dtype a number may come out otherwise, so that it is a tensor then.
    is_integer = dtype is None or keras.backend.standardize_dtype(dtype) in ("int32", "int64")
    if not (are_sizes(x) and is_integer):
        return NotImplemented
    return x if is_size(x) else SizeVector(x)


def _concat(session: Recorder, original: Function, given: dict[str, Any]) -> Any:
    values = given["values"]
    if not isinstance(values, (list, tuple)):
        return NotImplemented
    parts = [_size_list(v) for v in values]
    return SizeVector(leaves_of(parts)) if None not in parts and are_sizes(parts) else NotImplemented


def _size_list(x: Any) -> list[Any] | None:
    """The sizes in a vector of them, or None; a tensor that is no part of the trace has a value."""
    if isinstance(x, (list, tuple)):
        return list(x) if all(map(is_size, x)) else None
    if type(x) is TracedTensor or not isinstance(x, _tensor_class()):
        return None
    array = np.asarray(x)
    return array.tolist() if array.ndim == 1 and array.dtype.kind == "i" else None


def _tensor_class() -> type:
    import tensorflow as tf

    return tf.Tensor


def _expand_dims(session: Recorder, original: Function, given: dict[str, Any]) -> Any:
    size, axis = given["input"], given["axis"]
    return SizeVector([size]) if isinstance(size, Dim) and axis in (0, -1) else NotImplemented


def _stack(session: Recorder, original: Function, given: dict[str, Any]) -> Any:
    values = given["values"]
    is_list = isinstance(values, (list, tuple)) and all(map(is_size, values))
    return SizeVector(values) if is_list and are_sizes(values) else NotImplemented


def _unstack(session: Recorder, original: Function, given: dict[str, Any]) -> Any:
    return list(given["value"]) if isinstance(given["value"], SizeVector) else NotImplemented


def _gather(session: Recorder, original: Function, given: dict[str, Any]) -> Any:
    sizes, i = given["params"], given["indices"]
    return sizes[i] if isinstance(sizes, SizeVector) and isinstance(i, int) else NotImplemented


def _split(session: Recorder, original: Function, given: dict[str, Any]) -> Any:
    sections = given["num_or_size_splits"]
    if isinstance(sections, (list, tuple)):
        if not all(is_size(n) for n in sections) or any(n == -1 for n in sections if isinstance(n, int)):
            return NotImplemented
        # TensorFlow says how long the pieces are, Keras where to cut.
        sections = list(accumulate(sections))[:-1]
    elif not isinstance(sections, int):
        return NotImplemented
    return session.record_op("keras.ops.split", (given["value"], sections), {"axis": given["axis"]})


def _pad(session: Recorder, original: Function, given: dict[str, Any]) -> Any:
    paddings, mode = given["paddings"], given["mode"].lower()
    if not isinstance(paddings, (list, tuple)) or not isinstance(given["constant_values"], (int, float)):
        return NotImplemented
    # Keras refuses the option in any other mode.
    options = {"constant_values": given["constant_values"]} if mode == "constant" else {}
    pairs = [tuple(p) for p in paddings]
    return session.record_op("keras.ops.pad", (given["tensor"], pairs), {"mode": mode, **options})


SPECIAL: dict[str, Callable[..., Any]] = {
    "tf.shape": _shape,
    "tf.size": _size,
    "tf.rank": _rank,
    "tf.cast": _same_sizes,
    "tf.convert_to_tensor": _same_sizes,
    "tf.identity": _same_sizes,
    "tf.concat": _concat,
    "tf.expand_dims": _expand_dims,
    "tf.stack": _stack,
    "tf.unstack": _unstack,
    "tf.gather": _gather,
    "tf.split": _split,
    "tf.pad": _pad,
}


@functools.cache
def _variable_classes() -> tuple[type, ...]:
    """Each method is replaced on the class that has it; `object`, the last, has what all classes share."""
    import tensorflow as tf

    return type(tf.Variable(tf.zeros(()))).__mro__[:-1]


def _modules_that_draw() -> list[ModuleType]:
    names = ("gen_random_ops", "gen_stateful_random_ops", "gen_candidate_sampling_ops")
    return [importlib.import_module(f"tensorflow.python.ops.{name}") for name in names]


def _patches_below_the_api() -> Iterator[Patch]:
    """What sees calls that no name of the API leads to, in TensorFlow's own modules.

    - `dispatch.dispatch(op, args, kwargs)` is asked when a function fails on arguments that it does not
      know. (A registered `GlobalOpDispatcher` is asked by it, and cannot be taken off again.)
    - The generated functions below every draw.
    - What `tf.custom_gradient` and `tf.recompute_grad` run.
    """
    import tensorflow as tf

    yield importlib.import_module("tensorflow.python.util.dispatch"), "dispatch", _dispatched
    for module in _modules_that_draw():
        for function in sorted(vars(module)):
            if inspect.isfunction(vars(module)[function]) and function[0].islower():
                yield module, function, _refuse_unseen_draw
    module = importlib.import_module("tensorflow.python.ops.custom_gradient")
    for name in ("_eager_mode_decorator", "_graph_mode_decorator"):
        yield module, name, _refuse_own_gradient
    yield tf.GradientTape, "__enter__", _refuse_own_gradient


def _dispatched(session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    function, function_args, function_kwargs = args
    name = name_of(function)
    # A dispatcher is given the function inside of the decorators, which `name_of` knows, too.
    if name is None or not session.in_user_code or not session.is_traced((function_args, function_kwargs)):
        return original(*args, **kwargs)
    return call(name, session, function, function_args, function_kwargs)


def _refuse_unseen_draw(session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    if not session.in_user_code:
        return original(*args, **kwargs)
    raise session.unsupported(f"A draw ({original.__name__}) would be frozen: no recorded function makes it.")


def _refuse_own_gradient(session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    if not session.in_user_code:
        return original(*args, **kwargs)
    raise session.unsupported("The code has a gradient of its own, or computes one: a graph would lose it.")


def _is_tensor(session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> bool:
    return isinstance(args[0], TracedTensor) or original(*args, **kwargs)


def _no_control_dependencies(session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    # What is recorded runs in the order of the graph, and checks are not recorded.
    return nullcontext() if session.in_user_code else original(*args, **kwargs)


def _dropped(name: str, session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    """Check sizes now (the answer is guarded); leave other checks out, with a line in the report."""
    if not session.in_user_code or not any(isinstance(x, TracedTensor) for x in leaves_of((args, kwargs))):
        # The comparison is guarded where it holds; where it does not, TensorFlow says so.
        sizes = [x for x in args if is_size(x)]
        if name in CHECKS and are_sizes(sizes) and CHECKS[name](*sizes[:2]):
            return None
        # TensorFlow takes what can be indexed for a list.
        args, kwargs = map_leaves(lambda x: int(x) if isinstance(x, KnownSize) else x, (args, kwargs))
        return original(*args, **kwargs)
    session.note("dropped", f"{name} is left out of the prepared model", source_line())
    # The only check that gives something: its tensor.
    return next(iter((*args, *kwargs.values()))) if name.endswith("assert_all_finite") else None


def _inlined(session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    function, *rest = args
    if not session.in_user_code:
        return original(*args, **kwargs)
    # A `tf.function` would trace into a graph of TensorFlow's own, which is one opaque call.
    return function.python_function(*rest, **kwargs)


def _operator(name: str, session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    """An operator of a constant or variable, of which one side may be traced."""
    if not session.in_user_code:
        return original(*args, **kwargs)
    own, *others = args
    # Reading a variable is recorded whatever is on the other side: its value is no constant.
    is_variable = hasattr(own, "assign")
    if not is_variable and not session.is_traced(others):
        return original(*args, **kwargs)
    return getattr(session.traced(own), name)(*others)


def _read(session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    return session.traced(args[0]) if session.in_user_code else original(*args, **kwargs)


def _refuse_assign(session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    if not session.in_user_code:
        return original(*args, **kwargs)
    raise StateUpdateError(
        describe(
            f"The tf.Variable {args[0].name} is assigned, and it is no weight of the model.",
            where=session.locate(source_line()),
            hint=f"create it with self.add_weight(...), or {session.keep_hint()}",
        )
    )


class TensorFlow(Dialect):
    """TensorFlow: twins of its functions in `keras.ops`, and calls that are no op."""

    draws = DRAWS
    giving_back = frozenset(f"keras.ops.{name}" for name in ("expand_dims", "moveaxis", "swapaxes"))

    def tensor_class(self) -> type:
        """What `isinstance` takes a tensor of the trace for in the user's code, besides its own class."""
        return _tensor_class()

    def shape(self, sizes: tuple[Any, ...]) -> TensorShape:
        """What `x.shape` is."""
        return TensorShape(sizes)

    def dtype(self, name: str) -> Any:
        """What `x.dtype` is."""
        import tensorflow as tf

        return tf.as_dtype(name)

    def attribute(self, tensor: TracedTensor, name: str) -> Any:
        """What an attribute of `tf.Tensor` is for a tensor of the trace."""
        if name == "get_shape":
            return lambda: tensor.shape
        if name == "set_shape":
            return tensor.shape.merge_with  # pyright: ignore[reportAttributeAccessIssue]
        if name == "numpy":
            return tensor.__array__
        raise AttributeError(f"'Tensor' object has no attribute '{name}'")

    def operand(self, op: str, dtype: str, x: Any) -> object:
        """The other side of an operator, which TensorFlow makes a tensor of the same dtype."""
        import tensorflow as tf

        keeps_dtype = op in OF_NARROW_DTYPES or (op == "true_divide" and "int" in dtype)
        is_number = isinstance(x, (int, float)) and not isinstance(x, np.generic)
        if dtype == "string" or (is_number and not keeps_dtype):
            return x
        if not all(isinstance(leaf, (int, float, np.ndarray, np.generic)) for leaf in leaves_of(x)):
            return x
        array = to_numpy(tf.convert_to_tensor(x, dtype))
        # A number is part of more patterns than an array.
        return array if array.ndim or keeps_dtype else array.item()

    def operator_function(self, op: str, args: tuple[Any, ...]) -> str | None:
        """The function for an operator that does not mean `keras.ops.<op>`, or None."""
        dtypes = [_dtype_of(x) for x in args]
        # Of truth values and numbers TensorFlow makes truth values, but not of Python's.
        if op == "multiply" and any(
            d == "bool" and hasattr(x, "dtype") for d, x in zip(dtypes, args, strict=True)
        ):
            return "tf.multiply"
        # Of integers TensorFlow makes float64, and Keras its own default.
        if op == "true_divide" and not any("float" in d or "complex" in d for d in dtypes):
            return "tf.truediv"
        if op == "add" and not _is_sum(*map(_sizes_of, args)):
            return "tf.add"
        return None

    def argument(self, x: object) -> object:
        """What is recorded for an argument of a function."""
        import tensorflow as tf

        if isinstance(x, KnownSize):
            return int(x)
        return x.as_list() if isinstance(x, tf.TensorShape) else x

    def special(
        self, session: Recorder, name: str, original: Function, args: Arguments, kwargs: Keywords
    ) -> Any:
        """The result of a call that is no op, or NotImplemented."""
        given = arguments_of(original, args, kwargs)
        values = {k: v for k, (v, _) in given.items()} if given else {}
        result = SPECIAL[name](session, original, values) if name in SPECIAL and values else NotImplemented
        if result is not NotImplemented:
            return result
        # None is what was not given, as the axis of a sum.
        sizes = {k: v for k, v in values.items() if k != "name" and v is not None}
        if name in SIZE_FUNCTIONS and are_sizes(list(sizes.values())):
            found = SIZE_FUNCTIONS[name](*sizes.values())
            return KnownSize(found) if type(found) is int else found
        return NotImplemented

    def twin(self, name: str, function: Function) -> Twin | None:
        """How to say `function` with `keras.ops`, or None."""
        return _table().twin(name, function)

    def exact(self, call: PublicCall) -> PublicCall | None:
        """A call of a twin that means what the function means for every size, or None."""
        x, *others = call.args
        if call.name in COMPUTED_IN_FLOAT32 and _dtype_of(x) in ("float16", "bfloat16"):
            return None
        if call.name != "keras.ops.add":
            return call
        [y] = others
        if _is_sum(_sizes_of(x), _sizes_of(y)):
            return call
        # The other way round the sum is the same, and `bias_add` looks at the other side.
        return PublicCall(call.name, (y, x), call.kwargs) if _is_sum(_sizes_of(y), _sizes_of(x)) else None

    def patches(self) -> Iterator[Patch]:
        """What is replaced while tracing besides the functions of the namespaces."""
        import tensorflow as tf

        for owner in (tf, tf.compat.v1):
            yield owner, "is_tensor", _is_tensor
            yield owner, "control_dependencies", _no_control_dependencies
            for name in ("Assert", "print"):
                yield owner, name, functools.partial(_dropped, f"tf.{name}")
        for owner in (tf.debugging, tf, tf.compat.v1, tf.compat.v1.debugging):
            for name in sorted(n for n in dir(owner) if n.startswith(("assert_", "Assert"))):
                yield owner, name, functools.partial(_dropped, f"tf.debugging.{name}")
        yield type(tf.function(lambda: None)), "__call__", _inlined
        operators = {name: functools.partial(_operator, name) for name in sorted(OPERATOR_NAMES)}
        methods = {**operators, **dict.fromkeys(("value", "read_value"), _read)}
        methods |= dict.fromkeys(("assign", "assign_add", "assign_sub"), _refuse_assign)
        for owner, replacements in ((tf.Tensor, operators), *((cls, methods) for cls in _variable_classes())):
            for name in replacements.keys() & vars(owner).keys():
                yield owner, name, replacements[name]
        yield from tensorflow_control_flow.patches()
        yield from _patches_below_the_api()

    def watched(self) -> Iterator[object]:
        """The modules and classes that `patches` looks through."""
        import tensorflow as tf

        yield from (tf.debugging, tf, tf.compat.v1, tf.compat.v1.debugging, tf.Tensor)
        yield from _variable_classes()
        yield from _modules_that_draw()

"""JAX: twins of its functions in `keras.ops`, methods of its arrays, and calls that are no op."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from kerasfx.errors import UnsupportedOperationError, describe
from kerasfx.ir import (
    Value,
    leaves_of,
    map_leaves,
    values_in,
)
from kerasfx.ir.dims import Dim
from kerasfx.runtime.functions import backend_functions
from kerasfx.tracing.native import jax_control_flow, jax_vmap
from kerasfx.tracing.native.calls import call, name_of
from kerasfx.tracing.native.jax_twins import TABLE
from kerasfx.tracing.native.twins import arguments_of
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
    current,
)
from kerasfx.tracing.tensor import TracedTensor
from kerasfx.tracing.where import source_line


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TRANSFORMS = _words("pmap grad value_and_grad jacfwd jacrev hessian")
"""Functions of `jax` that take functions."""

TAKE_FUNCTIONS = _words(
    """cond switch scan while_loop fori_loop map associative_scan custom_root custom_linear_solve reduce
    reduce_window platform_dependent"""
)
"""Functions of `jax.lax` that take functions."""

METHODS = _words(
    """all any argmax argmin argpartition argsort astype choose clip compress conj conjugate copy cumprod
    cumsum diagonal dot max mean min nonzero prod ptp ravel repeat reshape round searchsorted sort squeeze
    std sum swapaxes take trace transpose var"""
)
"""Methods of arrays that are functions of `jax.numpy`."""

PROPERTIES = {"T": "transpose", "mT": "matrix_transpose", "real": "real", "imag": "imag"}
"""Properties of arrays that are functions of `jax.numpy`."""


# Attributes of arrays


def _call(name: str, tensor: TracedTensor, *args: Any, **kwargs: Any) -> Any:
    """Call the function `name` as the user's code would."""
    canonical, function = backend_functions.functions()[name]
    return call(canonical, tensor.session, function, (tensor, *args), kwargs)


def _method(name: str, tensor: TracedTensor, *args: Any, **kwargs: Any) -> Any:
    if name == "transpose" and args:
        args = (_one_tuple(args),)
    return _call(f"jax.numpy.{name}", tensor, *args, **kwargs)


def _one_tuple(args: tuple[Any, ...]) -> Any:
    return args[0] if len(args) == 1 and not isinstance(args[0], int) else args


@dataclass(frozen=True)
class _At:
    """`x.at`, and with an index `x.at[index]`."""

    tensor: TracedTensor
    index: tuple[Any, ...] = ()

    def __getitem__(self, index: Any) -> _At:
        return _At(self.tensor, (index,))

    def __getattr__(self, name: str) -> Any:
        if f"jax.Array.at.{name}" not in backend_functions.functions() or not self.index:
            raise AttributeError(name)
        return functools.partial(_call, f"jax.Array.at.{name}", self.tensor, *self.index)


@dataclass(frozen=True)
class _AtOfConstant:
    """`x.at[index]` of an array of JAX, which meets tensors of the trace: `jnp.zeros(n).at[i].add(x)`."""

    session: Recorder
    array: Any
    helper: Any
    index: tuple[Any, ...] = ()

    def __getitem__(self, index: Any) -> _AtOfConstant:
        return _AtOfConstant(self.session, self.array, self.helper, (index,))

    def __getattr__(self, name: str) -> Any:
        def updated(*args: Any, **kwargs: Any) -> Any:
            [index] = self.index
            helper = self.helper
            if self.session.is_traced((index, args, kwargs)):
                helper = _At(cast(TracedTensor, self.session.traced(self.array)))
            return getattr(helper[index], name)(*args, **kwargs)

        return updated if self.index else getattr(self.helper, name)


def _at_of_constant(original: property) -> property:
    read = original.fget
    assert read is not None

    def at(array: Any) -> Any:
        session, helper = current(), read(array)
        if session is None or not session.in_user_code:
            return helper
        return _AtOfConstant(session, array, helper)

    return property(at, doc=original.__doc__)


def _refused(wanted: str) -> Callable[[TracedTensor], Any]:
    def refuse(tensor: TracedTensor) -> Any:
        raise tensor.no_python_value(wanted)

    return lambda tensor: lambda *args: refuse(tensor)


OWN_ATTRIBUTES: dict[str, Callable[[TracedTensor], Any]] = {
    "at": _At,
    "size": lambda x: math.prod(x.shape),
    "flatten": lambda x: functools.partial(_call, "jax.numpy.ravel", x),
    # Those that may be weak are refused where it matters.
    "weak_type": lambda x: False,
    "itemsize": lambda x: x.dtype.itemsize,
    "block_until_ready": lambda x: lambda: x,
    "item": _refused("item()"),
    "tolist": _refused("tolist()"),
}


# Functions that are no op, or whose arguments have to be said otherwise


STRONGER = {"float32": ("float16", "bfloat16"), "int32": ("int8", "int16", "uint8", "uint16", "uint32")}
"""Dtypes that win against a weakly typed tensor of this dtype, and lose against any other."""


def _refuse_weak(session: Recorder, structure: object) -> None:
    """Refuse to mix dtypes where JAX may look at more than the dtypes.

    `jnp.where(x > 0, 1.0, 0.0)` is a weakly typed float32: times a float16 it gives float16.
    """
    tensors = [x for x in leaves_of(structure) if isinstance(x, TracedTensor)]
    dtypes = {str(getattr(x, "dtype", "")) for x in leaves_of(structure)}
    for tensor in tensors:
        stronger = STRONGER.get(tensor.value.dtype, ())
        if dtypes.intersection(stronger) and _may_be_weak(session, tensor.value):
            raise session.unsupported(
                f"A tensor made from Python numbers, {tensor.value.name} ({tensor.value.dtype}), meets "
                "another dtype: its own does not count on JAX.",
            )


def _may_be_weak(session: Recorder, value: Value) -> bool:
    """Whether `value` comes from functions of JAX and from no tensor of its own dtype."""
    node = value.node
    # An input, a layer or a cast gives a dtype of its own, which counts.
    if node is None or node.function in (None, "keras.ops.cast"):
        return False
    inputs = [v for v in values_in((node.args, node.kwargs)) if v.dtype == value.dtype]
    from_jax = id(value) in session.may_be_weak or bool(inputs)
    return from_jax and all(_may_be_weak(session, v) for v in inputs)


@functools.cache
def _class_of_arrays() -> type:
    import jax.numpy as jnp

    return type(jnp.zeros(()))


def _ufunc_class() -> Any:
    import jax.numpy as jnp

    return jnp.ufunc


def _with_signature(function: Function) -> Callable[..., Any]:
    """The call of a `jnp.ufunc`, whose own signature is `*args`."""
    if function.nin == 1:
        return lambda x: function(x)
    return lambda x1, x2: function(x1, x2)


def _plain(session: Recorder, x: object) -> Any:
    """An argument as a saved model can hold it."""
    if isinstance(x, (type, np.dtype)):
        return _dtype_name(x)
    if not isinstance(x, _array_class()) or isinstance(x, TracedTensor):
        return x
    return _raw_key(session, x) if _is_typed_key(x) else _number_of(x)


def _dtype_name(x: object) -> Any:
    import jax

    try:
        return jax.dtypes.canonicalize_dtype(x).name
    # A class that is no dtype.
    except TypeError:
        return x


def _number_of(x: Any) -> Any:
    """A number that was made an array keeps to the dtype of the other side, as the number does."""
    is_number = isinstance(x, _array_class()) and getattr(x, "weak_type", False) and x.ndim == 0
    # A tracer of JAX has no number yet.
    return x.item() if is_number and not isinstance(x, (TracedTensor, _tracer_class())) else x


def _is_typed_key(x: Any) -> bool:
    import jax
    import jax.numpy as jnp

    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _raw_key(session: Recorder, key: Any) -> Any:
    """The numbers of a key, which draw as the key does where its algorithm is the default one."""
    import jax

    if isinstance(key, _tracer_class()) or key.dtype != jax.random.key(0).dtype:
        raise session.unsupported(f"A random key of dtype {key.dtype} cannot be held by a saved model.")
    return jax.random.key_data(key)


def _array_class() -> Any:
    import jax

    return jax.Array


def _tracer_class() -> Any:
    import jax.core

    return jax.core.Tracer


def _shape_of(session: Recorder, given: dict[str, Any]) -> Any:
    x = given["a"]
    return x.shape if isinstance(x, TracedTensor) and given.get("axis") is None else NotImplemented


def _size_of(session: Recorder, given: dict[str, Any]) -> Any:
    x, axis = given["a"], given.get("axis")
    if not isinstance(x, TracedTensor):
        return NotImplemented
    return math.prod(x.shape) if axis is None else math.prod(x.shape[a] for a in _axes(axis))


def _axes(axis: Any) -> tuple[int, ...]:
    return tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)


def _ndim_of(session: Recorder, given: dict[str, Any]) -> Any:
    x = given["a"]
    return x.ndim if isinstance(x, TracedTensor) else NotImplemented


def _converted(session: Recorder, given: dict[str, Any]) -> Any:
    x, *_ = given.values()
    wanted = given.get("dtype", given.get("new_dtype"))
    # Without another dtype a size stays a size.
    if isinstance(x, Dim) and wanted is None:
        return x
    if not isinstance(x, TracedTensor) or given.get("ndmin"):
        return NotImplemented
    dtype = x.dtype.name if wanted is None else _dtype_name(wanted)
    if np.issubdtype(x.dtype, np.complexfloating):
        return NotImplemented
    return session.record_op("keras.ops.cast", (x, dtype), {})


def _copied(session: Recorder, given: dict[str, Any]) -> Any:
    """`jnp.array` gives another array, without the mask, unless it is told not to copy."""
    result = _converted(session, given)
    is_same = isinstance(result, TracedTensor) and result is given["object"]
    return session.tensor_of(result.value) if is_same and given.get("copy") is not False else result


def _result_type(session: Recorder, given: dict[str, Any]) -> Any:
    import jax.numpy as jnp

    return jnp.result_type(*(x.dtype if isinstance(x, TracedTensor) else x for x in given["args"]))


def _is_complex(session: Recorder, given: dict[str, Any]) -> Any:
    x, *_ = given.values()
    return np.issubdtype(x.dtype, np.complexfloating) if isinstance(x, TracedTensor) else NotImplemented


def _is_real(session: Recorder, given: dict[str, Any]) -> Any:
    answer = _is_complex(session, given)
    return answer if answer is NotImplemented else not answer


def _is_scalar(session: Recorder, given: dict[str, Any]) -> Any:
    x = given["element"]
    return x.ndim == 0 if isinstance(x, TracedTensor) else NotImplemented


SPECIAL: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "jax.numpy.shape": _shape_of,
    "jax.numpy.size": _size_of,
    "jax.numpy.ndim": _ndim_of,
    "jax.numpy.array": _copied,
    "jax.numpy.asarray": _converted,
    "jax.numpy.astype": _converted,
    "jax.lax.convert_element_type": _converted,
    "jax.numpy.result_type": _result_type,
    "jax.numpy.iscomplexobj": _is_complex,
    "jax.numpy.isrealobj": _is_real,
    "jax.numpy.isscalar": _is_scalar,
}


# What is replaced while tracing beside the functions of the namespaces


@dataclass(frozen=True)
class _Inlined:
    outputs: Any


def _jit_patches() -> Iterator[Patch]:
    """The two steps of a call of a jitted function on arguments that are new to it.

    They are private to JAX. Without them a layer that calls jitted functions on tensors stays whole.
    """
    from jax._src import pjit

    if "_infer_params" in vars(pjit) and "_run_python_pjit" in vars(pjit):
        yield pjit, "_infer_params", _infer_or_inline
        yield pjit, "_run_python_pjit", _run_unless_inlined


def _infer_or_inline(session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    function, _, call_args, call_kwargs = args
    if not session.in_user_code or not session.is_traced((call_args, call_kwargs)):
        return original(*args, **kwargs)
    # By what `jit` was applied to, since JAX hands that over and not the jitted function.
    known = _jitted_functions().get(id(function))
    if known:
        name, jitted = known
        return _Inlined(call(name, session, jitted, call_args, call_kwargs)), []
    # Not one that is listed: JAX itself refuses the traced tensor, and the layer stays whole.
    if _is_of_jax(function):
        return original(*args, **kwargs)
    return _Inlined(function(*call_args, **call_kwargs)), []


def _run_unless_inlined(session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    if not isinstance(args[0], _Inlined):
        return original(*args, **kwargs)
    # In the order in which JAX takes it apart; without an executable it keeps no fast path for the next
    # call, which would not come by here.
    jaxpr = SimpleNamespace(effects=(), consts=())
    return args[0].outputs, [], None, [], jaxpr, None, None, []


@functools.cache
def _jitted_functions() -> dict[int, tuple[str, Any]]:
    """What `jax.jit` was applied to (its id) -> name and function, of the functions of JAX."""
    functions = backend_functions.functions().values()
    return {id(f.__wrapped__): (name, f) for name, f in functions if hasattr(f, "_fun")}  # pyright: ignore


def _is_of_jax(function: Function) -> bool:
    return (getattr(function, "__module__", None) or "").partition(".")[0] == "jax"


def _custom_gradient(kind: str, session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    function, *rest = args
    if not session.in_user_code or not session.is_traced((rest, kwargs)):
        return original(*args, **kwargs)
    # One of JAX itself is recorded by its name, and keeps its gradient.
    name = name_of(function)
    if name:
        return call(name, session, function, tuple(rest), kwargs)
    raise session.unsupported(f"{_title(function)} has a gradient of its own (jax.{kind}).")


def _ufunc(session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    function, *rest = args
    name = name_of(function)
    if name is None or not session.in_user_code or not session.is_traced((rest, kwargs)):
        return original(*args, **kwargs)
    return call(name, session, function, tuple(rest), kwargs)


def _scalar_type(session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    # `jnp.float32(x)` is a conversion.
    cls, *rest = args
    if not session.in_user_code or not rest or not isinstance(rest[0], TracedTensor):
        return original(*args, **kwargs)
    return _call("jax.numpy.asarray", rest[0], dtype=cls.dtype.name)


def _item_of_constant(session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    # `table[ids]`, where only the index is traced.
    array, key = args
    if not session.in_user_code or not session.is_traced(key):
        return original(*args, **kwargs)
    return session.traced(array)[key]


def _broadcast_shapes(session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    if not any(isinstance(d, Dim) for d in leaves_of(args)):
        return original(*args, **kwargs)
    rank = max(map(len, args))
    padded = [(1,) * (rank - len(s)) + tuple(s) for s in args]
    return tuple(functools.reduce(_broadcast, sizes) for sizes in zip(*padded, strict=True))


def _broadcast(a: Any, b: Any) -> Any:
    # The type first: `a == 1` may be a question about a free size.
    if isinstance(a, int) and a == 1:
        return b
    if (isinstance(b, int) and b == 1) or a == b:
        return a
    raise ValueError(f"Incompatible sizes for broadcasting: {a} and {b}")


def _rounded(session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    rounded = original(*args, **kwargs)
    is_whole = session.in_user_code and not kwargs and args[1:] in ((), (None,))
    # As of a number of Python, where no digits are asked for.
    return session.record_op("keras.ops.cast", (rounded, "int32"), {}) if is_whole else rounded


def _positive(session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    """`+x` is another array, without the mask."""
    return session.tensor_of(args[0].value) if session.in_user_code else original(*args, **kwargs)


def _same(session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    # Where a tensor lies is left to Keras.
    is_ours = session.in_user_code and session.is_traced(args[:1])
    return args[0] if is_ours else original(*args, **kwargs)


def _dropped(session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    if not session.in_user_code or not session.is_traced((args, kwargs)):
        return original(*args, **kwargs)
    session.note("dropped", "jax.debug.print is left out of the prepared model", source_line())
    return None


def _checkpoint(session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    """What `call` checkpoints is recorded as it is: the values and gradients are the same."""
    made = original(*args, **kwargs)
    if not session.in_user_code or not args:
        return made
    return lambda *a, **k: (args[0] if session.is_traced((a, k)) else made)(*a, **k)


def _transform(name: str, session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    made = original(*args, **kwargs)
    if not session.in_user_code:
        return made
    # Refused when it gets a tensor of the model; of numbers it may compute whatever it likes.
    return lambda *a, **k: _refuse_traced(f"A function made by {name}", session, made, a, k)


def _refuse_traced(what: str, session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    if session.in_user_code and session.is_traced((args, kwargs)):
        raise session.unsupported(f"{what} is called on a tensor, and takes functions that are not recorded.")
    return original(*args, **kwargs)


def _title(function: Function) -> str:
    return getattr(function, "__name__", None) or str(function)


class UnseenAttributeError(UnsupportedOperationError, AttributeError):
    """An AttributeError lets `hasattr` say no."""


class Jax(Dialect):
    """JAX: twins of its functions in `keras.ops`, methods of its arrays, and calls that are no op.

    No function draws: what `jax.random` gives is a function of its key.
    """

    giving_back = frozenset(f"keras.ops.{name}" for name in ("get_item", "reshape", "transpose"))

    def tensor_class(self) -> type:
        """What `isinstance` takes a tensor of the trace for, besides its own class."""
        return _class_of_arrays()

    def dtype(self, name: str) -> Any:
        """What `x.dtype` is."""
        import jax

        return jax.dtypes.canonicalize_dtype(name)

    def attribute(self, tensor: TracedTensor, name: str) -> Any:
        """What an attribute of `jax.Array` is for a tensor of the trace."""
        if name in METHODS:
            return functools.partial(_method, name, tensor)
        if name in PROPERTIES:
            return _call(f"jax.numpy.{PROPERTIES[name]}", tensor)
        if name in OWN_ATTRIBUTES:
            return OWN_ATTRIBUTES[name](tensor)
        if hasattr(_class_of_arrays(), name):
            keep = tensor.session.keep_hint()
            raise UnseenAttributeError(
                describe(
                    f"{name} of the tensor {tensor.value.name} is not recorded.",
                    where=tensor.session.locate(source_line()),
                    why="the code asks for it, or a function of JAX that is not recorded",
                    hint=f"call the function of keras.ops that does the same, or {keep}",
                )
            )
        raise AttributeError(f"'Array' object has no attribute '{name}'")

    def operand(self, op: str, dtype: str, x: object) -> object:
        """The other side of an operator. Unlike a Python number, a NumPy scalar has a dtype on JAX."""
        return _number_of(x)

    def check_operands(self, session: Recorder, args: Arguments) -> None:
        """Refuse weakly typed tensors where it matters."""
        _refuse_weak(session, args)

    def special(
        self, session: Recorder, name: str, original: Function, args: Arguments, kwargs: Keywords
    ) -> Any:
        """The result of a call that is no op, or NotImplemented."""
        plain_args, plain_kwargs = map_leaves(functools.partial(_plain, session), (args, kwargs))
        _refuse_weak(session, (plain_args, plain_kwargs))
        if any(
            a is not b
            for a, b in zip(leaves_of((args, kwargs)), leaves_of((plain_args, plain_kwargs)), strict=True)
        ):
            # From the start: inference and the twin have to see these arguments.
            return call(name, session, original, plain_args, plain_kwargs)
        if isinstance(original, _ufunc_class()):
            return call(name, session, _with_signature(original), args, kwargs)
        given = arguments_of(original, args, kwargs) if name in SPECIAL else None
        return SPECIAL[name](session, {k: v for k, (v, _) in given.items()}) if given else NotImplemented

    def twin(self, name: str, function: Function) -> Twin | None:
        """How to say `function` with `keras.ops`, or None."""
        return TABLE.twin(name, function)

    def recorded(self, session: Recorder, result: object) -> None:
        """Remember the results of functions of JAX, which may be weakly typed."""
        for tensor in leaves_of(result):
            if isinstance(tensor, TracedTensor):
                # With the Value, whose id is its own as long as it lives.
                session.may_be_weak[id(tensor.value)] = tensor.value

    def around(self) -> Hashable:
        """What shapes and dtypes of results depend on besides the arguments of a call."""
        import jax

        config: Any = jax.config
        return config.jax_enable_x64, config.jax_numpy_dtype_promotion, config.jax_numpy_rank_promotion

    def patches(self) -> Iterator[Patch]:
        """What is replaced while tracing besides the functions of the namespaces."""
        import jax
        import jax.numpy as jnp

        yield from _jit_patches()
        for cls in (jax.custom_jvp, jax.custom_vjp):
            yield cls, "__call__", functools.partial(_custom_gradient, cls.__name__)
        yield jnp.ufunc, "__call__", _ufunc
        yield type(jnp.float32), "__call__", _scalar_type
        arrays = type(jnp.ones(()))
        yield arrays, "__getitem__", _item_of_constant
        yield arrays, "at", _at_of_constant(vars(arrays)["at"])
        yield TracedTensor, "__round__", _rounded
        yield TracedTensor, "__pos__", _positive
        yield jnp, "broadcast_shapes", _broadcast_shapes
        for owner, name in ((jax, "device_put"), (jax, "block_until_ready")):
            yield owner, name, _same
        yield jax.debug, "print", _dropped
        for name in ("checkpoint", "remat"):
            yield jax, name, _checkpoint
        for name in sorted(TRANSFORMS):
            yield jax, name, functools.partial(_transform, f"jax.{name}")
        for name in sorted(TAKE_FUNCTIONS):
            yield jax.lax, name, functools.partial(_refuse_traced, f"jax.lax.{name}")
        # Behind the refusals, so that they stand in front of these: what `keras.ops` can say is recorded.
        yield from jax_control_flow.patches()
        yield from jax_vmap.patches()

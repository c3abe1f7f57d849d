"""PyTorch: its functions and the methods of its tensors, as a mode of PyTorch itself sees them called."""

from __future__ import annotations

import contextlib
import functools
import importlib
import math
import sys
import weakref
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kerasfx.errors import StateUpdateError, describe
from kerasfx.ir import leaves_of, map_leaves
from kerasfx.ir.dims import Dim
from kerasfx.keras_api import internals
from kerasfx.runtime.functions import backend_functions, torch_names
from kerasfx.runtime.functions.torch_names import words
from kerasfx.tracing.bindings import Bindings
from kerasfx.tracing.native import memory
from kerasfx.tracing.native.calls import call
from kerasfx.tracing.native.sizes import is_size
from kerasfx.tracing.native.torch_twins import TABLE, as_torch_spells, loses_precision
from kerasfx.tracing.native.twins import arguments_of
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
    current,
)
from kerasfx.tracing.tensor import BINARY, OPERATOR_NAMES, TracedTensor
from kerasfx.tracing.where import source_line

# `import torch` means this very module to a type checker without PyTorch.
torch: Any = importlib.import_module("torch")

PATCHED = frozenset(
    f"torch.{name}"
    for name in [
        "zeros",
        "ones",
        "full",
        "eye",
        "arange",
        "linspace",
        "rand",
        "randn",
        "randint",
        "randperm",
        "normal",
    ]
)
"""Functions that take several sizes: PyTorch refuses a `Dim` among them before its mode is asked."""

PATCHED_METHODS = words("expand new_zeros new_ones")
"""Methods that take several sizes, called on a tensor that is a constant."""


class Size(tuple[Any, ...]):
    """What `x.shape` is: a tuple with the method of `torch.Size`."""

    def numel(self) -> Any:
        """Product of the sizes."""
        return math.prod(self)

    def __getitem__(self, key: Any) -> Any:
        got = super().__getitem__(key)
        return Size(got) if isinstance(key, slice) else got

    def __add__(self, other: Any) -> Size:  # pyright: ignore[reportIncompatibleMethodOverride]
        return Size((*self, *other))


OPERATORS = {
    "add": "torch.add",
    "subtract": "torch.sub",
    "multiply": "torch.mul",
    "matmul": "torch.matmul",
    "true_divide": "torch.true_divide",
    "floor_divide": "torch.floor_divide",
    "mod": "torch.remainder",
    "power": "torch.pow",
    "equal": "torch.eq",
    "not_equal": "torch.ne",
    "less": "torch.lt",
    "less_equal": "torch.le",
    "greater": "torch.gt",
    "greater_equal": "torch.ge",
}


# Seeing the calls


class _Mode(torch.overrides.TorchFunctionMode):
    """Sees every call of a function of PyTorch on this thread."""

    def __init__(self, session: Recorder):
        super().__init__()
        self._session = session
        self._made: dict[int, weakref.ref[Any]] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._session.paused or not self._session.in_user_code:
            return func(*args, **kwargs)
        result = self._called(func, args, kwargs)
        for leaf in leaves_of(result):
            if isinstance(leaf, torch.Tensor):
                # With a reference that does not keep it: its id may be another tensor's later.
                self._made[id(leaf)] = weakref.ref(leaf)
        return result

    def _called(self, function: Function, args: Args, kwargs: Kwargs) -> Any:
        session = self._session
        if _works_in_place(function):
            return _call_in_place(session, function, args, kwargs, self._is_made_here)
        name = name_of(function)
        if name is None:
            return _unlisted(session, function, args, kwargs)
        return call(name, session, function, args, kwargs)

    def _is_made_here(self, tensor: object) -> bool:
        known = self._made.get(id(tensor))
        return known is not None and known() is tensor


@functools.cache
def _names() -> dict[Any, str]:
    """PyTorch hands over functions that are equal to those of its modules, not always the same objects."""
    return {function: name for name, function in backend_functions.functions().values()}


def name_of(function: object) -> str | None:
    """The name that a function is recorded under, or None."""
    return _names().get(function)


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _refuse_what_is_no_function(session: Recorder, name: str, kwargs: Keywords) -> None:
    for option, what in (("out", "writes into another tensor"), ("generator", "draws from a generator")):
        if kwargs.get(option) is not None:
            raise session.unsupported(f"{name} {what} ({option}=).")


def _unlisted(session: Recorder, function: Function, args: Args, kwargs: Kwargs) -> Any:
    """A function that is not recorded: one that gives no tensor, or an attribute or operator of a weight."""
    own = getattr(function, "__name__", "")
    attribute_name = getattr(getattr(function, "__self__", None), "__name__", "") if own == "__get__" else ""
    first = args[0] if args else None
    is_traced = any(isinstance(x, (TracedTensor, Dim)) for x in leaves_of((args, kwargs)))
    is_weight = not is_traced and isinstance(first, torch.Tensor) and session.is_traced(first)
    if is_weight and (attribute_name in ATTRIBUTES or own in METHODS or own in OPERATOR_NAMES):
        if attribute_name in UNCHANGED_BY_TRAINING or own in UNCHANGED_BY_TRAINING:
            return function(*args, **kwargs)
        got = getattr(session.traced(first), attribute_name or own)
        return got if attribute_name else got(*args[1:], **kwargs)
    if is_traced and own == "__getitem__":
        return session.record_op("keras.ops.get_item", args, kwargs)
    if is_traced and isinstance(first, TracedTensor) and own in METHODS:
        return METHODS[own](session, *args, **kwargs)
    if is_traced:
        raise session.unsupported(f"{torch.overrides.resolve_name(function) or function} is not recorded.")
    return function(*args, **kwargs)


# Calls that are no op


def _special_nn(session: Recorder, name: str, original: Function, args: Arguments, kwargs: Keywords) -> Any:
    given = {k: v for k, (v, _) in (arguments_of(original, args, kwargs) or {}).items()}
    if given.get("max_norm") is not None:
        raise session.unsupported(f"{name} changes its weight (max_norm=).")
    inplace = given.pop("inplace", False)
    if "dropout" in name and not given.get("training", True):
        return given["input"]
    if inplace:
        result = call(name, session, original, (), {**given, "inplace": False})
        return memory.overwrite(session, given["input"], result)
    return NotImplemented


def _to(session: Recorder, x: object, *args: Any, **kwargs: Any) -> Any:
    """`x.to(...)`: a cast; the device stays that of Keras."""
    wanted = kwargs.get("dtype")
    for given in (*args, *kwargs.values()):
        if isinstance(given, torch.dtype):
            wanted = given
        elif isinstance(given, (TracedTensor, torch.Tensor)):
            wanted = given.dtype
        elif isinstance(given, (str, torch.device)):
            _require_own_device(session, given)
    # `x.to(dtype, non_blocking, copy)`.
    copies = kwargs.get("copy", False) or (len(args) > 2 and args[2] is True)
    result = x if wanted is None else session.record_op("keras.ops.cast", (x, wanted), {})
    return session.record_op("keras.ops.copy", (x,), {}) if copies and result is x else result


def _require_own_device(session: Recorder, given: Any) -> None:
    if torch.device(given).type != internals.torch_device().type:
        raise session.unsupported(f"A tensor is moved to the device {given}.")


def _as_tensor(session: Recorder, data: object, dtype: object = None, device: object = None) -> Any:
    if not isinstance(data, TracedTensor):
        return NotImplemented
    return data if dtype is None else session.record_op("keras.ops.cast", (data, dtype), {})


def _new_tensor(session: Recorder, data: object, dtype: object = None, **options: object) -> Any:
    """`torch.tensor(x)` copies a tensor and cuts its gradient."""
    if not isinstance(data, TracedTensor):
        return NotImplemented
    copy = session.record_op("keras.ops.copy", (data,), {})
    return _as_tensor(session, session.record_op("keras.ops.stop_gradient", (copy,), {}), dtype)


def _one_hot(session: Recorder, tensor: object, num_classes: object = -1) -> Any:
    if is_size(num_classes) and isinstance(num_classes, int) and num_classes < 0:
        raise session.unsupported("F.one_hot without num_classes has a size that depends on the data.")
    return NotImplemented


def _where(session: Recorder, condition: object, *others: object, **kwargs: object) -> Any:
    if not others and not kwargs:
        raise session.unsupported("torch.where(condition) has a size that depends on the data.")
    return NotImplemented


def _repeat_interleave(
    session: Recorder, x: object, repeats: object = None, *args: object, **kwargs: object
) -> Any:
    if not is_size(repeats) and kwargs.get("output_size") is None:
        raise session.unsupported("torch.repeat_interleave has a size that depends on the data.")
    return NotImplemented


def _pieces(session: Recorder, name: str, original: Function, args: Arguments, kwargs: Keywords) -> Any:
    """A tuple of tensors, where `keras.ops` gives a list; their number is one of the trace."""
    x, sections, dim = _split_arguments(_short(name), *args, **kwargs)
    if _short(name) != "chunk" and is_size(sections) and isinstance(x.shape[dim], Dim):
        raise session.unsupported("A free size is split into pieces, whose number is not known.")
    found = session.dialect.twin(name, original)
    said = None if found is None else found.call(original, args, kwargs)
    if not said or _flat(session, said.name, said.args, said.kwargs) != _flat(session, name, args, kwargs):
        return NotImplemented
    return tuple(session.record_op(said.name, said.args, said.kwargs))


def _flat(session: Recorder, name: str, args: Arguments, kwargs: Keywords) -> list[Any]:
    # Leaf by leaf: one gives a tuple and the other a list.
    return [list(leaves_of(specs)) for specs in session.infer_op(name, args, kwargs)]


def _split_arguments(name: str, *args: Any, **kwargs: Any) -> tuple[Any, Any, int]:
    """Tensor, sizes and axis of `split(x, 2)`, `chunk(x, 2)` and `unbind(x)`."""
    dim = kwargs.pop("dim", 0)
    x, *rest = (*args, *kwargs.values())
    if name == "unbind":
        return x, 1, rest[0] if rest else dim
    return x, rest[0], rest[1] if len(rest) > 1 else dim


SPECIAL: dict[str, Callable[..., Any]] = {
    "to": _to,
    "tensor": _new_tensor,
    "one_hot": _one_hot,
    "where": _where,
    "repeat_interleave": _repeat_interleave,
}


# Methods and attributes of tensors


def _method(
    session: Recorder, name: str, own: Function, tensor: TracedTensor, *args: object, **kwargs: object
) -> Any:
    return call(name, session, own, (tensor, *args), kwargs)


def _call(session: Recorder, name: str, *args: object, **kwargs: object) -> Any:
    """Record a function of PyTorch; inside its mode, a plain call would not be seen."""
    return call(f"torch.{name}", session, getattr(torch, name), args, kwargs)


def _method_in_place(
    session: Recorder, own: Function, tensor: TracedTensor, *args: object, **kwargs: object
) -> Any:
    # It is a tensor of the trace, of which nobody asks where it was made.
    return _call_in_place(session, own, (tensor, *args), kwargs, lambda x: False)


def _size(session: Recorder, x: TracedTensor, dim: int | None = None) -> Any:
    return x.shape if dim is None else x.shape[dim]


def _cast_to(name: str) -> Callable[..., Any]:
    return lambda session, x, memory_format=None: session.record_op("keras.ops.cast", (x, name), {})


def _type(session: Recorder, x: TracedTensor, dtype: object = None, **options: object) -> Any:
    if not isinstance(dtype, torch.dtype):
        raise session.unsupported("x.type() with or to the name of a class is not recorded.")
    return _to(session, x, dtype)


def _contiguous(session: Recorder, x: TracedTensor, memory_format: object = None) -> Any:
    # The tensor itself or a copy: that depends on how it lies in memory, which the trace does not know.
    session.effects.unsure.add(x.value)
    return x


def _device_number() -> int:
    device = internals.torch_device()
    return -1 if device.type == "cpu" else device.index or 0


def _own_device(session: Recorder, x: TracedTensor, *args: object, **kwargs: object) -> Any:
    if internals.torch_device().type != "cpu":
        raise session.unsupported("A tensor is moved to the CPU.")
    return x


def _transposed(session: Recorder, x: TracedTensor) -> Any:
    return session.record_op("keras.ops.transpose", (x,), {})


def _matrix_transposed(session: Recorder, x: TracedTensor) -> Any:
    return session.record_op("keras.ops.swapaxes", (x, -2, -1), {})


def _detached(session: Recorder, x: TracedTensor) -> Any:
    return session.record_op("keras.ops.stop_gradient", (x,), {})


def _part(name: str) -> Callable[..., Any]:
    return lambda session, x: session.record_op(f"keras.ops.{name}", (x,), {})


METHODS: dict[str, Callable[..., Any]] = {
    "size": _size,
    "dim": lambda session, x: x.ndim,
    "ndimension": lambda session, x: x.ndim,
    "numel": lambda session, x: math.prod(x.shape),
    "nelement": lambda session, x: math.prod(x.shape),
    "element_size": lambda session, x: x.dtype.itemsize,
    "is_floating_point": lambda session, x: x.dtype.is_floating_point,
    "is_complex": lambda session, x: x.dtype.is_complex,
    "is_tensor": lambda session, x: True,
    "get_device": lambda session, x: _device_number(),
    "contiguous": _contiguous,
    "cpu": _own_device,
    "type": _type,
    "type_as": lambda session, x, other: _to(session, x, other.dtype),
    "as_tensor": _as_tensor,
    "asarray": _as_tensor,
    "empty_like": lambda session, x, **options: _call(session, "zeros_like", x, **options),
    "new_tensor": lambda session, x, data, dtype=None, **options: torch.tensor(data, dtype=dtype or x.dtype),
    "new_empty": lambda session, x, *size, **options: x.new_zeros(*size, **options),
    **{
        name: _cast_to(dtype)
        for name, dtype in {
            "float": "float32",
            "double": "float64",
            "half": "float16",
            "bfloat16": "bfloat16",
            "int": "int32",
            "long": "int64",
            "short": "int16",
            "char": "int8",
            "byte": "uint8",
            "bool": "bool",
        }.items()
    },
}

ATTRIBUTES: dict[str, Callable[..., Any]] = {
    "device": lambda session, x: internals.torch_device(),
    "is_cuda": lambda session, x: internals.torch_device().type == "cuda",
    "is_cpu": lambda session, x: internals.torch_device().type == "cpu",
    "layout": lambda session, x: torch.strided,
    "itemsize": lambda session, x: x.dtype.itemsize,
    "is_sparse": lambda session, x: False,
    "is_quantized": lambda session, x: False,
    "is_meta": lambda session, x: False,
    "is_nested": lambda session, x: False,
    "T": _transposed,
    "mT": _matrix_transposed,
    "data": _detached,
    "real": _part("real"),
    "imag": _part("imag"),
}

UNCHANGED_BY_TRAINING = words(
    """size dim ndimension numel nelement element_size is_floating_point is_complex is_tensor get_device
    device is_cuda is_cpu layout itemsize is_sparse is_quantized is_meta is_nested"""
)
"""What a weight may be asked with the answer being kept."""

PYTHON_VALUES = frozenset(("item", "tolist", "numpy"))


# In place


def _works_in_place(function: Function) -> bool:
    name = getattr(function, "__name__", "")
    return (
        name == "__setitem__"
        or (name.endswith("_") and not name.startswith("_"))
        or name in IN_PLACE_OPERATORS
    )


IN_PLACE_OPERATORS = {
    f"__i{n}__": n for n in ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor"]
}

SHAPE_IN_PLACE = frozenset(
    ["squeeze_", "unsqueeze_", "transpose_", "t_", "swapaxes_", "swapdims_", "resize_", "set_", "detach_"]
)


def _call_in_place(
    session: Recorder, function: Function, args: Args, kwargs: Kwargs, is_made_here: Callable[[Any], bool]
) -> Any:
    """A function that changes its first argument."""
    target, *others = args or (kwargs.get("input"),)
    name = function.__name__
    if isinstance(target, TracedTensor):
        new = _value_in_place(session, name, target, others, kwargs)
        return memory.overwrite(session, target, new)
    # What `call` made itself it may fill as well, but with no draw: that would be frozen.
    is_local = is_made_here(target) and name.rstrip("_") not in IN_PLACE_DRAWS
    if is_local and not session.is_traced((args, kwargs)):
        return function(*args, **kwargs)
    raise StateUpdateError(
        describe(
            f"{name} changes a tensor in place that is no result of this call of the model.",
            where=session.locate(source_line()),
            why="neither its old nor its new value may be kept in the prepared model",
            hint="compute a new tensor (torch.where, torch.cat, x + y), keep state in self.add_weight(...) "
            f"and change it with assign, or {session.keep_hint()}",
        )
    )


IN_PLACE_DRAWS = words("uniform normal exponential random bernoulli cauchy geometric log_normal")


def _value_in_place(
    session: Recorder, name: str, target: TracedTensor, others: list[Any], kwargs: Kwargs
) -> Any:
    """What `target` is afterwards."""
    if name == "__setitem__":
        return set_item(session, target, *others)
    if name in IN_PLACE_OPERATORS:
        return getattr(target, f"__{IN_PLACE_OPERATORS[name]}__")(*others)
    own = name.rstrip("_")
    if name in SHAPE_IN_PLACE or own in IN_PLACE_DRAWS:
        raise session.unsupported(f"{name} is not recorded.")
    if own == "zero":
        return _call(session, "zeros_like", target)
    if own == "fill":
        return _call(session, "full_like", target, *others)
    if own == "copy":
        source = session.as_tensor(others[0])
        source = session.record_op("keras.ops.broadcast_to", (source, target.shape), {})
        # Broadcasting gives a view, and `copy_` none.
        return session.record_op("keras.ops.copy", (source,), {})
    function = getattr(torch.Tensor, own, None) or getattr(torch.nn.functional, own, None)
    recorded = name_of(function)
    if recorded is None or function is None:
        raise session.unsupported(f"{name} is not recorded.")
    return call(recorded, session, function, (target, *others), kwargs)


def set_item(session: Recorder, target: TracedTensor, key: object, value: object) -> Any:
    """What `target` is after `target[key] = value`."""
    whole, own_key = value.taken_from if isinstance(value, TracedTensor) else (None, None)
    # `target[key] *= 2` changes a view, and assigns it then. Python evaluates the key of such a line once, so
    # that it is the same object.
    part = value if isinstance(value, TracedTensor) and whole is target.value and own_key is key else None
    if part is not None:
        memory.put_back(session, target, part)
    result = session.record_op("torch.updated.set_item", (target, key, value), {})
    if part is not None:
        memory.retire(session, part)
    return result


# Places that PyTorch's mode does not see


@functools.cache
def _bindings() -> Bindings:
    """Modules of users that may ask whether something is a tensor of PyTorch."""
    return Bindings({id(torch), id(torch.Tensor)})


def _isinstance(session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> bool:
    x, classes = args
    if isinstance(x, classes) or type(x) is not TracedTensor or not session.in_user_code:
        return isinstance(x, classes)
    # The class itself: a traced tensor is no `Parameter`, and of no other subclass.
    return any(c is torch.Tensor for c in leaves_of(classes))


def _is_tensor(session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> bool:
    return isinstance(args[0], TracedTensor) or original(*args, **kwargs)


def _refuse_function(session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    function, *rest = args
    if session.in_user_code and session.is_traced((rest, kwargs)):
        raise session.unsupported(f"{function.__name__} is a torch.autograd.Function with its own gradient.")
    return original(*args, **kwargs)


def _call_module(session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    module, *rest = args
    is_raw = not isinstance(module, keras.Layer) and session.is_traced((rest, kwargs))
    if session.in_user_code and is_raw and not _has_no_state(module):
        raise session.unsupported(f"The torch module {type(module).__name__} is called.")
    return original(*args, **kwargs)


def _refuse_seeding(name: str, session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    if session.in_user_code:
        raise session.unsupported(f"torch.{name} sets what later draws start from.")
    return original(*args, **kwargs)


def _training(layer: object) -> bool:
    """`layer.training`, which PyTorch's `train()` and `eval()` set and Keras's `training` does not."""
    session = current()
    if session is not None and session.in_user_code:
        hint = f"use the argument `training` of call, or {session.keep_hint()}"
        raise session.unsupported("The attribute self.training of a module of PyTorch is read.", hint)
    return vars(layer).get("training", True)


def _set_training(layer: object, mode: bool) -> None:
    vars(layer)["training"] = mode


def _has_no_state(module: Any) -> bool:
    """Whether `forward` of a module of PyTorch itself is a function of its argument and its parameters."""
    own = all(internals.module_of(type(m)).startswith("torch.nn.modules.") for m in module.modules())
    changes = any(word in type(m).__name__ for m in module.modules() for word in STATEFUL_MODULES)
    return own and not changes and not any(True for _ in module.buffers())


STATEFUL_MODULES = words("Dropout RReLU RNN LSTM GRU MultiheadAttention Transformer Fractional")
"""Parts of the names of modules that draw, or choose other code for inference."""


def _own_method(name: str, session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    if not session.in_user_code:
        return original(*args, **kwargs)
    return _method(session, f"torch.Tensor.{name}", getattr(torch.Tensor, name), *args, **kwargs)


def _get_item(session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    keys = leaves_of(args[1])
    if session.in_user_code and any(isinstance(k, TracedTensor) and k.value.dtype == "bool" for k in keys):
        raise session.unsupported("x[mask] has a size that depends on the data.")
    result = original(*args, **kwargs)
    if session.in_user_code and isinstance(result, TracedTensor):
        # For `x[key] += y`, which Python ends with `x[key] = ...` (see `set_item`).
        result.taken_from = args[0].value, args[1]
    return result


def _reflected_division(session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    x, number = args
    if not session.in_user_code or not isinstance(number, (int, float, np.ndarray)):
        return original(*args, **kwargs)
    # As PyTorch computes it, which is not the division to the last bit.
    return _call(session, "reciprocal", x) * number


def _empty(session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    # Any value will do; zeros can be said with keras.ops.
    return torch.zeros(*args, **kwargs) if session.in_user_code else original(*args, **kwargs)


def _converted(session: Recorder, original: Function, args: Args, kwargs: Kwargs) -> Any:
    if session.in_user_code and args and isinstance(args[0], TracedTensor):
        return _as_tensor(session, *args, **kwargs)
    return original(*args, **kwargs)


@dataclass(frozen=True)
class _Respelled:
    """A twin of a function that may be given arguments by NumPy's names."""

    twin: Twin

    def call(self, function: Function, args: Arguments, kwargs: Keywords) -> PublicCall | None:
        """The call of the twin, or None where the arguments have no place in it."""
        return self.twin.call(function, args, as_torch_spells(kwargs))


class Torch(Dialect):
    """PyTorch: its functions and the methods of its tensors, seen by a mode of PyTorch.

    A tensor of the trace has no class of PyTorch's: its own code would take it for one of its own, and crash.
    """

    draws = torch_names.DRAWS
    giving_back = frozenset({"keras.ops.expand_dims"})
    patched = PATCHED

    def shape(self, sizes: tuple[Any, ...]) -> Size:
        """What `x.shape` is."""
        return Size(sizes)

    def dtype(self, name: str) -> Any:
        """What `x.dtype` is."""
        return getattr(torch, name)

    def attribute(self, tensor: TracedTensor, name: str) -> Any:
        """What an attribute of PyTorch's tensors is for a tensor of the trace."""
        session = tensor.session
        if name in ATTRIBUTES:
            return ATTRIBUTES[name](session, tensor)
        if name in METHODS:
            return functools.partial(METHODS[name], session, tensor)
        recorded, own = backend_functions.functions().get(f"torch.Tensor.{name}", (None, None))
        if recorded is not None and own is not None:
            return functools.partial(_method, session, recorded, own, tensor)
        own = getattr(torch.Tensor, name, None)
        if own is None:
            raise AttributeError(f"'Tensor' object has no attribute '{name}'")
        if name in PYTHON_VALUES:
            raise tensor.no_python_value(f"{name}()")
        if _works_in_place(own):
            return functools.partial(_method_in_place, session, own, tensor)
        raise session.unsupported(f"The attribute {name} of a tensor is not recorded.")

    def operand(self, op: str, dtype: str, x: object) -> object:
        """The other side of an operator, to which a truth value of NumPy's is a broken number."""
        if isinstance(x, np.bool_) and op in BINARY.values():
            return float(x)
        return super().operand(op, dtype, x)

    def operator_function(self, op: str, args: tuple[Any, ...]) -> str | None:
        """PyTorch's function for an operator, where both sides are what it takes."""
        takes_all = all(isinstance(x, (TracedTensor, torch.Tensor, int, float, complex, Dim)) for x in args)
        return OPERATORS.get(op) if takes_all else None

    def in_place(self, tensor: TracedTensor, op: str, args: Arguments) -> Any:
        """`x += y` and `x[key] = y`, which change the memory of `x`."""
        session = tensor.session
        new = set_item(session, tensor, *args) if op == "set_item" else getattr(tensor, f"__{op}__")(*args)
        return memory.overwrite(session, tensor, new)

    def argument(self, x: Any) -> object:
        """What is recorded for an argument of a function."""
        return tuple(x) if isinstance(x, torch.Size) else x

    def special(
        self, session: Recorder, name: str, original: Function, args: Arguments, kwargs: Keywords
    ) -> Any:
        """The result of a call that is no op, or NotImplemented."""
        _refuse_what_is_no_function(session, name, kwargs)
        short = _short(name)
        if short in SPECIAL:
            return SPECIAL[short](session, *args, **kwargs)
        if short in ("split", "chunk", "unbind"):
            return _pieces(session, name, original, args, kwargs)
        if name.startswith("torch.nn.functional."):
            return _special_nn(session, name, original, args, kwargs)
        return NotImplemented

    def twin(self, name: str, function: Function) -> Twin | None:
        """How to say `function` with `keras.ops`, or None."""
        if name == "torch.Tensor.where" or name.split(".")[1] in ("linalg", "fft", "updated"):
            return None  # of other arguments
        found = TABLE.twin(f"torch.{_short(name)}", function)
        return None if found is None else _Respelled(found)

    def exact(self, call: PublicCall) -> PublicCall | None:
        """A call of a twin in which no Python number is rounded that PyTorch takes as it is, or None."""
        return None if loses_precision(call) else call

    def finished(self, session: Recorder, results: object) -> Any:
        """Results recorded under `torch.no_grad()` pass no gradient on."""
        # Looked at with each result, since entering a block is no call that a mode sees.
        if torch.is_autocast_enabled(internals.torch_device().type):
            raise session.unsupported("torch.autocast changes the dtypes of a block.")
        if torch.is_grad_enabled():
            return results

        def cut(x: Any) -> Any:
            is_cut = not isinstance(x, TracedTensor) or "float" not in x.value.dtype
            # What is cut already ends here, or recording the cut would ask for the next one.
            is_cut = is_cut or getattr(x.value.producer, "target", None) == "keras.ops.stop_gradient"
            return x if is_cut else session.record_op("keras.ops.stop_gradient", (x,), {})

        return map_leaves(cut, results)

    @contextlib.contextmanager
    def context(self, session: Recorder) -> Iterator[None]:
        """While a model is traced: calls are seen, compiled functions run as they are, nothing is drawn."""
        with contextlib.ExitStack() as stack:
            # Compiled functions hide their calls. What nobody has imported cannot have compiled one.
            if "torch._dynamo" in sys.modules:
                stack.enter_context(torch.compiler.set_stance("force_eager"))
            stack.enter_context(internals.backend_random_state())
            # Only what `call` itself cuts is to be cut, not what a caller under `no_grad` would.
            stack.enter_context(torch.enable_grad())
            stack.enter_context(_Mode(session))
            yield

    def around(self) -> Hashable:
        """What shapes and dtypes of results depend on besides the arguments of a call."""
        kind = internals.torch_device().type
        is_cast = torch.is_autocast_enabled(kind)
        return torch.get_default_dtype(), torch.get_autocast_dtype(kind) if is_cast else None

    def patches(self) -> Iterator[Patch]:
        """What is replaced while tracing besides the functions of the namespaces."""
        yield torch, "is_tensor", _is_tensor
        yield torch.autograd.Function, "apply", _refuse_function
        yield torch.nn.Module, "__call__", _call_module
        for name in PATCHED_METHODS:
            yield torch.Tensor, name, functools.partial(call, f"torch.Tensor.{name}")
        # Tensors of Keras have these two; those of PyTorch take other arguments.
        for name in ("reshape", "squeeze"):
            yield TracedTensor, name, functools.partial(_own_method, name)
        yield TracedTensor, "__getitem__", _get_item
        yield TracedTensor, "__rtruediv__", _reflected_division
        for name in ("manual_seed", "seed", "set_rng_state"):
            for owner in (torch, torch.random):
                yield owner, name, functools.partial(_refuse_seeding, name)
        yield keras.Layer, "training", property(_training, _set_training)
        yield torch, "empty", _empty
        for name in ("as_tensor", "asarray"):
            yield torch, name, _converted

    def patches_of_users(self) -> Iterator[Patch]:
        """What is replaced while tracing in modules that were loaded since."""
        # Each module once, however many of its names are bound to them.
        asking = {b.module_name: b.module for b in _bindings()}
        for module in asking.values():
            yield module, "isinstance", _isinstance

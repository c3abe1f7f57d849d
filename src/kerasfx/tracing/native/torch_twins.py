"""The functions of PyTorch that `keras.ops` has as well.

PyTorch's functions have no signature that Python knows, so each twin is a function with PyTorch's parameters
that returns the call of `keras.ops`, or None where the arguments have no place in it. One twin serves
`torch.permute`, `Tensor.permute` and a function of that name in `torch.nn.functional`.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from kerasfx.ir import leaves_of
from kerasfx.ir.dims import Dim
from kerasfx.keras_api.internals import standardize_dtype
from kerasfx.tracing.native.sizes import is_size
from kerasfx.tracing.public_calls import PublicCall

Said = PublicCall | None


@dataclass(frozen=True)
class TorchTwin:
    """A function with the parameters of PyTorch's that gives the call of `keras.ops`."""

    say: Callable[..., Said]

    def call(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Said:
        """The call of the twin, or None where the arguments have no place in it."""
        try:
            bound = inspect.signature(self.say).bind(*args, **_as_torch_spells(kwargs))
        except TypeError:
            return None
        said = self.say(*bound.args, **bound.kwargs)
        return None if said is None or _loses_precision(said) else said


TWINS: dict[str, TorchTwin] = {}
"""Twins by the last part of the name."""

_NUMPY_SPELLINGS = {"axis": "dim", "keepdims": "keepdim", "x": "input", "x2": "other"}


def _as_torch_spells(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {_NUMPY_SPELLINGS.get(k, k): v for k, v in kwargs.items()}


_EXACT_IN = {
    "float64": np.float32,
    "complex128": np.float32,
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
}
"""What Keras rounds a Python number to at most, before it meets a tensor of that dtype."""


def _loses_precision(said: PublicCall) -> bool:
    """Whether a Python number, of which Keras makes a tensor, is rounded where PyTorch takes it as it is."""
    leaves = list(leaves_of((said.args, said.kwargs)))
    dtypes = {standardize_dtype(x.dtype) for x in leaves if hasattr(x, "dtype")}
    kinds = [_EXACT_IN[d] for d in dtypes & set(_EXACT_IN)]
    numbers = [x for x in leaves if type(x) is float and math.isfinite(x)]
    with np.errstate(over="ignore"):
        return any(float(kind(x)) != x for kind in kinds for x in numbers)


def _call(name: str, *args: Any, **kwargs: Any) -> PublicCall:
    return PublicCall(f"keras.ops.{name}", args, kwargs)


def _twin(*names: str) -> Callable[[Callable[..., Said]], Callable[..., Said]]:
    def register(say: Callable[..., Said]) -> Callable[..., Said]:
        TWINS.update(dict.fromkeys(names, TorchTwin(say)))
        return say

    return register


def _dtype(dtype: Any) -> str:
    # `import torch` means this package's module to a type checker without PyTorch.
    default = importlib.import_module("torch").get_default_dtype
    return standardize_dtype(default() if dtype is None else dtype)


def _sizes(sizes: tuple[Any, ...]) -> tuple[Any, ...]:
    """`f(2, 3)` and `f((2, 3))` mean the same."""
    is_one = len(sizes) == 1 and isinstance(sizes[0], (tuple, list))
    return tuple(sizes[0]) if is_one else sizes


# Functions of one tensor, and of two


def _unary(name: str, input: Any) -> Said:
    return _call(name, input)


def _binary(name: str, input: Any, other: Any) -> Said:
    return _call(name, input, other)


_UNARY = """abs:absolute absolute acos:arccos arccos acosh:arccosh arccosh asin:arcsin arcsin asinh:arcsinh
    arcsinh atan:arctan arctan atanh:arctanh arctanh ceil conj cos cosh erf erfinv exp exp2 expm1 floor
    imag isfinite isinf isnan log log10 log1p log2 logical_not neg:negative negative real reciprocal
    rsqrt sigmoid sign sin sinh sqrt square tan tanh trunc softsign relu relu6 selu hardtanh:hard_tanh
    tanhshrink:tanh_shrink logsigmoid:log_sigmoid deg2rad angle isneginf isposinf isreal
    bitwise_not clone:copy detach:stop_gradient"""
for _pair in _UNARY.split():
    _own, _, _theirs = _pair.partition(":")
    TWINS[_own] = TorchTwin(functools.partial(_unary, _theirs or _own))

_BINARY = """bitwise_and bitwise_or bitwise_xor eq:equal ge:greater_equal greater greater_equal gt:greater
    le:less_equal less less_equal logical_and logical_or logical_xor lt:less matmul maximum minimum
    mul:multiply multiply ne:not_equal not_equal remainder:mod true_divide bmm:matmul mm:matmul mv:matmul
    floor_divide arctan2 atan2:arctan2 logaddexp dot outer kron inner heaviside hypot gcd lcm"""
for _pair in _BINARY.split():
    _own, _, _theirs = _pair.partition(":")
    TWINS[_own] = TorchTwin(functools.partial(_binary, _theirs or _own))


@_twin("add")
def _add(input: Any, other: Any, *, alpha: Any = 1) -> Said:
    return _call("add", input, other) if _is(alpha, 1) else None


@_twin("sub", "subtract")
def _sub(input: Any, other: Any, *, alpha: Any = 1) -> Said:
    return _call("subtract", input, other) if _is(alpha, 1) else None


@_twin("div", "divide")
def _div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Said:
    name = {None: "true_divide", "floor": "floor_divide"}.get(rounding_mode)
    return None if name is None else _call(name, input, other)


@_twin("pow")
def _pow(input: Any, exponent: Any) -> Said:
    # PyTorch computes some powers by numbers in other ways than a power by a tensor.
    if _is(exponent, 2):
        return _call("square", input)
    return None if isinstance(exponent, (int, float)) else _call("power", input, exponent)


def _is(x: Any, number: int) -> bool:
    return isinstance(x, (int, float)) and x == number


@_twin("round")
def _round(input: Any, *, decimals: int = 0) -> Said:
    return _call("round", input) if decimals == 0 else None


@_twin("clamp", "clip")
def _clamp(input: Any, min: Any = None, max: Any = None) -> Said:
    return None if min is None or max is None else _call("clip", input, min, max)


@_twin("where")
def _where(condition: Any, input: Any, other: Any) -> Said:
    return _call("where", condition, input, other)


@_twin("masked_fill")
def _masked_fill(input: Any, mask: Any, value: Any) -> Said:
    # -inf is -inf in every dtype.
    return _call("where", mask, value, input)


@_twin("einsum")
def _einsum(equation: str, *operands: Any) -> Said:
    flat = operands[0] if len(operands) == 1 and isinstance(operands[0], (list, tuple)) else operands
    return _call("einsum", equation, *flat) if isinstance(equation, str) else None


# Reductions

_COMPUTED_OTHERWISE = {"mean": ("float64",), "prod": ("float16", "bfloat16")}
"""Dtypes that Keras computes in another one."""


def _is_any(x: Any, *dtypes: str) -> bool:
    return standardize_dtype(x.dtype) in dtypes


def _reduction(name: str) -> Callable[..., Said]:
    def say(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Said:
        dim = None if dim in ((), []) else dim
        keeps_all = dim is None and keepdim
        if dtype is not None or keeps_all or _is_any(input, *_COMPUTED_OTHERWISE.get(name, ())):
            return None
        return _call(name, input, axis=dim, keepdims=keepdim)

    return say


for _own, _theirs in (("sum", "sum"), ("mean", "mean"), ("amax", "max"), ("amin", "min"), ("prod", "prod")):
    _twin(_own)(_reduction(_theirs))
for _own in ("all", "any"):
    _twin(_own)(_reduction(_own))


@_twin("logsumexp")
def _logsumexp(input: Any, dim: Any, keepdim: bool = False) -> Said:
    return _call("logsumexp", input, axis=dim, keepdims=keepdim)


@_twin("max")
def _max(input: Any, other: Any = None) -> Said:
    return _extreme("max", input, other)


@_twin("min")
def _min(input: Any, other: Any = None) -> Said:
    return _extreme("min", input, other)


def _extreme(name: str, input: Any, other: Any) -> Said:
    if other is None:
        return _call(name, input)
    return _call(f"{name}imum", input, other) if hasattr(other, "dtype") else None


def _spread(name: str) -> Callable[..., Said]:
    def say(
        input: Any, dim: Any = None, unbiased: bool = True, keepdim: bool = False, *, correction: int = 1
    ) -> Said:
        return _call(name, input, axis=dim, keepdims=keepdim) if not (unbiased and correction) else None

    return say


_twin("var")(_spread("var"))
_twin("std")(_spread("std"))


@_twin("cumsum")
def _cumsum(input: Any, dim: int, *, dtype: Any = None) -> Said:
    return _call("cumsum", input, axis=dim) if dtype is None else None


@_twin("cumprod")
def _cumprod(input: Any, dim: int, *, dtype: Any = None) -> Said:
    return _call("cumprod", input, axis=dim) if dtype is None else None


# Shapes


@_twin("view", "reshape")
def _reshape(input: Any, *shape: Any) -> Said:
    shape = _sizes(shape)
    return _call("reshape", input, shape) if all(map(is_size, shape)) else None


@_twin("view_as", "reshape_as")
def _reshape_as(input: Any, other: Any) -> Said:
    return _call("reshape", input, tuple(other.shape))


@_twin("flatten")
def _flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Said:
    sizes = tuple(input.shape)
    first, last = start_dim % len(sizes), end_dim % len(sizes)
    return _call("reshape", input, (*sizes[:first], math.prod(sizes[first : last + 1]), *sizes[last + 1 :]))


@_twin("unflatten")
def _unflatten(input: Any, dim: int, sizes: Any) -> Said:
    own = tuple(input.shape)
    if any(isinstance(n, str) for n in leaves_of(sizes)):
        return None
    k = dim % len(own)
    return _call("reshape", input, (*own[:k], *sizes, *own[k + 1 :]))


@_twin("permute")
def _permute(input: Any, *dims: Any) -> Said:
    return _call("transpose", input, axes=_sizes(dims))


@_twin("transpose", "swapaxes", "swapdims")
def _transpose(input: Any, dim0: int, dim1: int) -> Said:
    return _call("swapaxes", input, axis1=dim0, axis2=dim1)


@_twin("t")
def _t(input: Any) -> Said:
    return _call("transpose", input) if len(input.shape) == 2 else None


@_twin("movedim", "moveaxis")
def _movedim(input: Any, source: Any, destination: Any) -> Said:
    return _call("moveaxis", input, source=source, destination=destination)


@_twin("unsqueeze")
def _unsqueeze(input: Any, dim: int) -> Said:
    return _call("expand_dims", input, axis=dim)


@_twin("squeeze")
def _squeeze(input: Any, dim: Any = None) -> Said:
    dims = (dim,) if isinstance(dim, int) else dim
    if dims is None or any(not _is(input.shape[d], 1) for d in dims):
        return None  # PyTorch leaves other axes alone
    return _call("squeeze", input, axis=dim)


@_twin("broadcast_to", "expand")
def _expand(input: Any, *size: Any) -> Said:
    size, own = _sizes(size), tuple(input.shape)
    new = len(size) - len(own)
    full = (own[k - new] if k >= new and _is(n, -1) else n for k, n in enumerate(size))
    return _call("broadcast_to", input, tuple(full))


@_twin("expand_as")
def _expand_as(input: Any, other: Any) -> Said:
    return _call("broadcast_to", input, tuple(other.shape))


@_twin("repeat", "tile")
def _tile(input: Any, *repeats: Any) -> Said:
    repeats = _sizes(repeats)
    return _call("tile", input, repeats) if all(map(is_size, repeats)) else None


@_twin("repeat_interleave")
def _repeat_interleave(input: Any, repeats: Any, dim: int | None = None) -> Said:
    return _call("repeat", input, repeats, axis=dim) if is_size(repeats) else None


@_twin("cat", "concat", "concatenate")
def _cat(tensors: Any, dim: int = 0) -> Said:
    return _call("concatenate", list(tensors), axis=dim)


@_twin("stack")
def _stack(tensors: Any, dim: int = 0) -> Said:
    return _call("stack", list(tensors), axis=dim)


@_twin("split")
def _split(input: Any, split_size_or_sections: Any, dim: int = 0) -> Said:
    sections, size = split_size_or_sections, input.shape[dim]
    if isinstance(sections, (list, tuple)):
        ends = np.cumsum(sections[:-1]).tolist() if not _has_free(sections) else None
        return _call("split", input, ends, axis=dim) if ends else None
    if isinstance(size, Dim) or isinstance(sections, Dim):
        return None
    ends = list(range(sections, size, sections))
    return _call("split", input, ends, axis=dim) if ends else None


@_twin("chunk")
def _chunk(input: Any, chunks: int, dim: int = 0) -> Said:
    size = input.shape[dim]
    return None if isinstance(size, Dim) else _split(input, -(-size // chunks), dim)


def _has_free(structure: Any) -> bool:
    return any(isinstance(x, Dim) for x in leaves_of(structure))


@_twin("unbind")
def _unbind(input: Any, dim: int = 0) -> Said:
    size = input.shape[dim]
    return None if isinstance(size, Dim) else _call("unstack", input, num=size, axis=dim)


@_twin("flip")
def _flip(input: Any, *dims: Any) -> Said:
    return _call("flip", input, axis=_sizes(dims))


@_twin("roll")
def _roll(input: Any, shifts: Any, dims: Any = None) -> Said:
    return _call("roll", input, shifts, axis=dims)


@_twin("tril")
def _tril(input: Any, diagonal: int = 0) -> Said:
    return _call("tril", input, k=diagonal)


@_twin("triu")
def _triu(input: Any, diagonal: int = 0) -> Said:
    return _call("triu", input, k=diagonal)


@_twin("diagonal")
def _diagonal(input: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Said:
    return _call("diagonal", input, offset=offset, axis1=dim1, axis2=dim2)


@_twin("index_select")
def _index_select(input: Any, dim: int, index: Any) -> Said:
    return _call("take", input, index, axis=dim)


@_twin("take_along_dim")
def _take_along_dim(input: Any, indices: Any, dim: int | None = None) -> Said:
    return _call("take_along_axis", input, indices, axis=dim)


# Activations


@_twin("softmax")
def _softmax(input: Any, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> Said:
    return _call("softmax", input, axis=dim) if isinstance(dim, int) and dtype is None else None


@_twin("log_softmax")
def _log_softmax(input: Any, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> Said:
    is_plain = isinstance(dim, int) and dtype is None
    return _call("log_softmax", input, axis=dim) if is_plain and not _is_any(input, "float16") else None


@_twin("gelu")
def _gelu(input: Any, *, approximate: str = "none") -> Said:
    return _call("gelu", input, approximate=approximate == "tanh")


@_twin("silu")
def _silu(input: Any, inplace: bool = False) -> Said:
    return _call("silu", input)


for _own in ("relu", "relu6", "selu"):
    TWINS[_own] = TorchTwin(lambda input, inplace=False, _name=_own: _call(_name, input))


@_twin("elu")
def _elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Said:
    return _call("elu", input, alpha=alpha)


@_twin("celu")
def _celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Said:
    return _call("celu", input, alpha=alpha)


@_twin("leaky_relu")
def _leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Said:
    return _call("leaky_relu", input, negative_slope=negative_slope)


@_twin("softplus")
def _softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Said:
    return _call("softplus", input) if _is(beta, 1) and _is(threshold, 20) else None


@_twin("glu")
def _glu(input: Any, dim: int = -1) -> Said:
    return _call("glu", input, axis=dim)


# New tensors


@_twin("zeros")
def _zeros(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Said:
    return _call("zeros", _sizes(size), dtype=_dtype(dtype)) if not requires_grad else None


@_twin("ones")
def _ones(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Said:
    return _call("ones", _sizes(size), dtype=_dtype(dtype)) if not requires_grad else None


@_twin("full")
def _full(size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Said:
    if dtype is None and not isinstance(fill_value, float):
        return None
    return _call("full", tuple(size), fill_value, dtype=_dtype(dtype))


@_twin("eye")
def _eye(n: Any, m: Any = None, *, dtype: Any = None, device: Any = None) -> Said:
    return _call("eye", n, n if m is None else m, dtype=_dtype(dtype))


@_twin("arange")
def _arange(start: Any, end: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None) -> Said:
    start, end = (0, start) if end is None else (start, end)
    if not all(map(is_size, (start, end, step))):
        return None
    return _call("arange", start, end, step, dtype="int64" if dtype is None else _dtype(dtype))


@_twin("zeros_like")
def _zeros_like(input: Any, *, dtype: Any = None, device: Any = None) -> Said:
    return _call("zeros_like", input, **_dtype_option(dtype))


@_twin("ones_like")
def _ones_like(input: Any, *, dtype: Any = None, device: Any = None) -> Said:
    return _call("ones_like", input, **_dtype_option(dtype))


@_twin("full_like")
def _full_like(input: Any, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Said:
    return _call("full_like", input, fill_value, **_dtype_option(dtype))


def _dtype_option(dtype: Any) -> dict[str, str]:
    return {} if dtype is None else {"dtype": _dtype(dtype)}


@_twin("new_zeros")
def _new_zeros(input: Any, *size: Any, dtype: Any = None, device: Any = None) -> Said:
    return _call("zeros", _sizes(size), dtype=_dtype(input.dtype if dtype is None else dtype))


@_twin("new_ones")
def _new_ones(input: Any, *size: Any, dtype: Any = None, device: Any = None) -> Said:
    return _call("ones", _sizes(size), dtype=_dtype(input.dtype if dtype is None else dtype))

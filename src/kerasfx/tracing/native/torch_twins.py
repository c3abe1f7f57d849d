"""What functions of PyTorch are in `keras.ops` (the notation: `twins.read`).

PyTorch's functions have no signature that Python knows, so each line gives one. One twin serves
`torch.permute`, `Tensor.permute` and a function of that name in `torch.nn.functional`. A rule has PyTorch's
parameters and returns the call of `keras.ops`, or None where the arguments have no place in it.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, cast

import ml_dtypes
import numpy as np

from kerasfx.ir import leaves_of
from kerasfx.ir.dims import Dim
from kerasfx.keras_api.internals import standardize_dtype
from kerasfx.tracing.native.sizes import is_size
from kerasfx.tracing.native.twins import read
from kerasfx.tracing.public_calls import PublicCall
from kerasfx.tracing.recorder import Keywords

Said = PublicCall | None


class Tensor(Protocol):
    """What the rules ask of a tensor, traced or not."""

    shape: tuple[Any, ...]
    dtype: Any


RULES: dict[str, Callable[..., Said]] = {}
"""The functions that a line of the table names by `@`."""


def _rule(say: Callable[..., Said]) -> Callable[..., Said]:
    RULES[say.__name__.removeprefix("_")] = say
    return say


_NUMPY_SPELLINGS = {"axis": "dim", "keepdims": "keepdim", "x": "input", "x2": "other"}


def as_torch_spells(kwargs: Keywords) -> Keywords:
    """Named arguments by the names of PyTorch's parameters; its functions take NumPy's as well."""
    return {_NUMPY_SPELLINGS.get(k, k): v for k, v in kwargs.items()}


_EXACT_IN = {
    "float64": np.float32,
    "complex128": np.float32,
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
}
"""What Keras rounds a Python number to at most, before it meets a tensor of that dtype."""


def loses_precision(said: PublicCall) -> bool:
    """Whether a Python number, of which Keras makes a tensor, is rounded where PyTorch takes it as it is."""
    leaves = list(leaves_of((said.args, said.kwargs)))
    dtypes = {standardize_dtype(x.dtype) for x in leaves if hasattr(x, "dtype")}
    kinds = [_EXACT_IN[d] for d in dtypes & set(_EXACT_IN)]
    numbers = [x for x in leaves if type(x) is float and math.isfinite(x)]
    with np.errstate(over="ignore"):
        return any(float(kind(x)) != x for kind in kinds for x in numbers)


def _call(name: str, *args: object, **kwargs: object) -> PublicCall:
    return PublicCall(f"keras.ops.{name}", args, kwargs)


def _dtype(dtype: object) -> str:
    # `import torch` means this package's module to a type checker without PyTorch.
    default = importlib.import_module("torch").get_default_dtype
    return standardize_dtype(default() if dtype is None else dtype)


def _sizes(sizes: tuple[object, ...]) -> tuple[Any, ...]:
    """`f(2, 3)` and `f((2, 3))` mean the same."""
    is_one = len(sizes) == 1 and isinstance(sizes[0], (tuple, list))
    return tuple(cast(Sequence[object], sizes[0])) if is_one else sizes


# Arithmetic


@_rule
def _div(input: Tensor, other: object, *, rounding_mode: str | None = None) -> Said:
    name = {None: "true_divide", "floor": "floor_divide"}.get(rounding_mode)
    return None if name is None else _call(name, input, other)


@_rule
def _pow(input: Tensor, exponent: object) -> Said:
    # PyTorch computes some powers by numbers in other ways than a power by a tensor.
    if _is(exponent, 2):
        return _call("square", input)
    return None if isinstance(exponent, (int, float)) else _call("power", input, exponent)


def _is(x: object, number: int) -> bool:
    return isinstance(x, (int, float)) and x == number


@_rule
def _clamp(input: Tensor, min: object = None, max: object = None) -> Said:
    # Keras wants both limits.
    return None if min is None or max is None else _call("clip", input, min, max)


@_rule
def _einsum(equation: str, *operands: object) -> Said:
    flat = operands[0] if len(operands) == 1 and isinstance(operands[0], (list, tuple)) else operands
    # PyTorch also takes lists of axes in the place of an equation.
    return _call("einsum", equation, *flat) if isinstance(equation, str) else None


# Reductions

_COMPUTED_OTHERWISE = {"mean": ("float64",), "prod": ("float16", "bfloat16")}
"""Dtypes that Keras computes in another one."""


def _is_any(x: Tensor, *dtypes: str) -> bool:
    return standardize_dtype(x.dtype) in dtypes


def _reduction(name: str) -> Callable[..., Said]:
    def say(input: Tensor, dim: object = None, keepdim: bool = False, *, dtype: object = None) -> Said:
        # `dim=()` means all axes to PyTorch, and none to Keras.
        dim = None if dim in ((), []) else dim
        keeps_all = dim is None and keepdim
        if dtype is not None or keeps_all or _is_any(input, *_COMPUTED_OTHERWISE.get(name, ())):
            return None
        return _call(name, input, axis=dim, keepdims=keepdim)

    return say


RULES |= {theirs: _reduction(theirs) for theirs in ("sum", "mean", "max", "min", "prod", "all", "any")}


@_rule
def _greatest(input: Tensor, other: object = None) -> Said:
    return _extreme("max", input, other)


@_rule
def _smallest(input: Tensor, other: object = None) -> Said:
    return _extreme("min", input, other)


def _extreme(name: str, input: Tensor, other: object) -> Said:
    if other is None:
        return _call(name, input)
    # A number is an axis, along which PyTorch gives the indices as well.
    return _call(f"{name}imum", input, other) if hasattr(other, "dtype") else None


def _spread(name: str) -> Callable[..., Said]:
    def say(
        input: Tensor,
        dim: object = None,
        unbiased: bool = True,
        keepdim: bool = False,
        *,
        correction: int = 1,
    ) -> Said:
        # Keras divides by n alone.
        return _call(name, input, axis=dim, keepdims=keepdim) if not (unbiased and correction) else None

    return say


RULES |= {"var": _spread("var"), "std": _spread("std")}


# Shapes


@_rule
def _reshape(input: Tensor, *shape: object) -> Said:
    shape = _sizes(shape)
    return _call("reshape", input, shape) if all(map(is_size, shape)) else None


@_rule
def _reshape_as(input: Tensor, other: Tensor) -> Said:
    return _call("reshape", input, tuple(other.shape))


@_rule
def _flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Said:
    sizes = tuple(input.shape)
    first, last = start_dim % len(sizes), end_dim % len(sizes)
    if first == last:
        # The tensor itself, which is what a conversion to its dtype gives.
        return _call("convert_to_tensor", input)
    return _call("reshape", input, (*sizes[:first], math.prod(sizes[first : last + 1]), *sizes[last + 1 :]))


@_rule
def _unflatten(input: Tensor, dim: int, sizes: Sequence[object]) -> Said:
    own = tuple(input.shape)
    if any(isinstance(n, str) for n in leaves_of(sizes)):
        return None
    k = dim % len(own)
    return _call("reshape", input, (*own[:k], *sizes, *own[k + 1 :]))


@_rule
def _permute(input: Tensor, *dims: object) -> Said:
    return _call("transpose", input, axes=_sizes(dims))


@_rule
def _t(input: Tensor) -> Said:
    return _call("transpose", input) if len(input.shape) == 2 else None


@_rule
def _squeeze(input: Tensor, dim: int | tuple[int, ...] | None = None) -> Said:
    dims = (dim,) if isinstance(dim, int) else dim
    if dims is None or any(not _is(input.shape[d], 1) for d in dims):
        return None  # PyTorch leaves other axes alone
    return _call("squeeze", input, axis=dim)


@_rule
def _expand(input: Tensor, *size: object) -> Said:
    size, own = _sizes(size), tuple(input.shape)
    new = len(size) - len(own)
    # -1 keeps a size.
    full = (own[k - new] if k >= new and _is(n, -1) else n for k, n in enumerate(size))
    return _call("broadcast_to", input, tuple(full))


@_rule
def _expand_as(input: Tensor, other: Tensor) -> Said:
    return _call("broadcast_to", input, tuple(other.shape))


@_rule
def _tile(input: Tensor, *repeats: object) -> Said:
    repeats = _sizes(repeats)
    return _call("tile", input, repeats) if all(map(is_size, repeats)) else None


@_rule
def _repeat_interleave(input: Tensor, repeats: object, dim: int | None = None) -> Said:
    return _call("repeat", input, repeats, axis=dim) if is_size(repeats) else None


@_rule
def _split(input: Tensor, split_size_or_sections: Any, dim: int = 0) -> Said:
    sections, size = split_size_or_sections, input.shape[dim]
    if isinstance(sections, (list, tuple)):
        ends = np.cumsum(sections[:-1]).tolist() if not _has_free(sections) else None
        return _call("split", input, ends, axis=dim) if ends else None
    if isinstance(size, Dim) or isinstance(sections, Dim):
        return None
    ends = list(range(sections, size, sections))
    # Keras wants somewhere to cut; one piece is left to PyTorch.
    return _call("split", input, ends, axis=dim) if ends else None


@_rule
def _chunk(input: Tensor, chunks: int, dim: int = 0) -> Said:
    size = input.shape[dim]
    # Rounded up, as PyTorch does: the last piece may be shorter.
    return None if isinstance(size, Dim) else _split(input, -(-size // chunks), dim)


def _has_free(structure: object) -> bool:
    return any(isinstance(x, Dim) for x in leaves_of(structure))


@_rule
def _unbind(input: Tensor, dim: int = 0) -> Said:
    size = input.shape[dim]
    return None if isinstance(size, Dim) else _call("unstack", input, num=size, axis=dim)


@_rule
def _flip(input: Tensor, *dims: object) -> Said:
    return _call("flip", input, axis=_sizes(dims))


# Activations


@_rule
def _softmax(input: Tensor, dim: object = None, _stacklevel: int = 3, dtype: object = None) -> Said:
    # Without an axis PyTorch chooses one by the rank.
    return _call("softmax", input, axis=dim) if isinstance(dim, int) and dtype is None else None


@_rule
def _log_softmax(input: Tensor, dim: object = None, _stacklevel: int = 3, dtype: object = None) -> Said:
    is_plain = isinstance(dim, int) and dtype is None
    return _call("log_softmax", input, axis=dim) if is_plain and not _is_any(input, "float16") else None


@_rule
def _gelu(input: Tensor, *, approximate: str = "none") -> Said:
    return _call("gelu", input, approximate=approximate == "tanh")


# New tensors


@_rule
def _zeros(*size: object, dtype: object = None, device: object = None, requires_grad: bool = False) -> Said:
    return _call("zeros", _sizes(size), dtype=_dtype(dtype)) if not requires_grad else None


@_rule
def _ones(*size: object, dtype: object = None, device: object = None, requires_grad: bool = False) -> Said:
    return _call("ones", _sizes(size), dtype=_dtype(dtype)) if not requires_grad else None


@_rule
def _full(size: Iterable[object], fill_value: object, *, dtype: object = None, device: object = None) -> Said:
    # Of an integer PyTorch makes integers, Keras floats.
    if dtype is None and not isinstance(fill_value, float):
        return None
    return _call("full", tuple(size), fill_value, dtype=_dtype(dtype))


@_rule
def _eye(n: object, m: object = None, *, dtype: object = None, device: object = None) -> Said:
    return _call("eye", n, n if m is None else m, dtype=_dtype(dtype))


@_rule
def _arange(
    start: object, end: object = None, step: object = 1, *, dtype: object = None, device: object = None
) -> Said:
    start, end = (0, start) if end is None else (start, end)
    if not all(map(is_size, (start, end, step))):
        return None
    return _call("arange", start, end, step, dtype="int64" if dtype is None else _dtype(dtype))


@_rule
def _zeros_like(input: Tensor, *, dtype: object = None, device: object = None) -> Said:
    return _call("zeros_like", input, **_dtype_option(dtype))


@_rule
def _ones_like(input: Tensor, *, dtype: object = None, device: object = None) -> Said:
    return _call("ones_like", input, **_dtype_option(dtype))


@_rule
def _full_like(input: Tensor, fill_value: object, *, dtype: object = None, device: object = None) -> Said:
    return _call("full_like", input, fill_value, **_dtype_option(dtype))


def _dtype_option(dtype: object) -> dict[str, str]:
    return {} if dtype is None else {"dtype": _dtype(dtype)}


@_rule
def _new_zeros(input: Tensor, *size: object, dtype: object = None, device: object = None) -> Said:
    return _call("zeros", _sizes(size), dtype=_dtype(input.dtype if dtype is None else dtype))


@_rule
def _new_ones(input: Tensor, *size: object, dtype: object = None, device: object = None) -> Said:
    return _call("ones", _sizes(size), dtype=_dtype(input.dtype if dtype is None else dtype))


TABLE = read(
    """
    torch.absolute torch.arccos torch.arccosh torch.arcsin torch.arcsinh (input) = * input:x
    torch.arctan torch.arctanh torch.ceil torch.conj torch.cos torch.cosh torch.erf (input) = * input:x
    torch.erfinv torch.exp torch.exp2 torch.expm1 torch.floor torch.imag (input) = * input:x
    torch.isfinite torch.isinf torch.isnan torch.log torch.log10 torch.log1p (input) = * input:x
    torch.log2 torch.logical_not torch.negative torch.real torch.reciprocal (input) = * input:x
    torch.rsqrt torch.sigmoid torch.sign torch.sin torch.sinh torch.sqrt (input) = * input:x
    torch.square torch.tan torch.tanh torch.trunc torch.softsign (input) = * input:x
    torch.deg2rad torch.angle torch.isneginf torch.isposinf (input) = * input:x
    torch.isreal torch.bitwise_not (input) = * input:x
    torch.abs (input) = absolute input:x
    torch.acos (input) = arccos input:x
    torch.acosh (input) = arccosh input:x
    torch.asin (input) = arcsin input:x
    torch.asinh (input) = arcsinh input:x
    torch.atan (input) = arctan input:x
    torch.atanh (input) = arctanh input:x
    torch.neg (input) = negative input:x
    torch.hardtanh (input) = hard_tanh input:x
    torch.tanhshrink (input) = tanh_shrink input:x
    torch.logsigmoid (input) = log_sigmoid input:x
    torch.clone (input) = copy input:x
    torch.detach (input) = stop_gradient input:variable
    torch.greater torch.greater_equal torch.less torch.less_equal (input, other) = * input:x1 other:x2
    torch.logical_and torch.logical_or torch.logical_xor (input, other) = * input:x1 other:x2
    torch.matmul torch.maximum torch.minimum torch.multiply (input, other) = * input:x1 other:x2
    torch.not_equal torch.true_divide torch.floor_divide (input, other) = * input:x1 other:x2
    torch.arctan2 torch.logaddexp torch.dot torch.outer torch.kron (input, other) = * input:x1 other:x2
    torch.inner torch.heaviside torch.hypot torch.gcd torch.lcm (input, other) = * input:x1 other:x2
    torch.eq (input, other) = equal input:x1 other:x2
    torch.ge (input, other) = greater_equal input:x1 other:x2
    torch.gt (input, other) = greater input:x1 other:x2
    torch.le (input, other) = less_equal input:x1 other:x2
    torch.lt (input, other) = less input:x1 other:x2
    torch.mul (input, other) = multiply input:x1 other:x2
    torch.ne (input, other) = not_equal input:x1 other:x2
    torch.remainder (input, other) = mod input:x1 other:x2
    torch.bmm torch.mm torch.mv (input, other) = matmul input:x1 other:x2
    torch.atan2 (input, other) = arctan2 input:x1 other:x2
    torch.bitwise_and torch.bitwise_or torch.bitwise_xor (input, other) = * input:x other:y
    torch.add (input, other, *, alpha=1) = add input:x1 other:x2
    torch.sub torch.subtract (input, other, *, alpha=1) = subtract input:x1 other:x2
    torch.round (input, *, decimals=0) = round input:x
    torch.where (condition, input, other) = where condition input:x1 other:x2
    torch.masked_fill (input, mask, value) = where mask:condition value:x1 input:x2
    torch.logsumexp (input, dim, keepdim=False) = logsumexp input:x dim:axis keepdim:keepdims
    torch.cumsum torch.cumprod (input, dim, *, dtype=None) = * input:x dim:axis
    torch.transpose torch.swapaxes torch.swapdims (input, dim0, dim1) = swapaxes input:x dim0:axis1 dim1:axis2
    torch.movedim torch.moveaxis (input, source, destination) = moveaxis input:x source destination
    torch.unsqueeze (input, dim) = expand_dims input:x dim:axis
    torch.cat torch.concat torch.concatenate (tensors, dim=0) = concatenate tensors:xs dim:axis
    torch.stack (tensors, dim=0) = stack tensors:x dim:axis
    torch.roll (input, shifts, dims=None) = roll input:x shifts:shift dims:axis
    torch.tril torch.triu (input, diagonal=0) = * input:x diagonal:k
    torch.diagonal (input, offset=0, dim1=0, dim2=1) = * input:x offset dim1:axis1 dim2:axis2
    torch.index_select (input, dim, index) = take input:x index:indices dim:axis
    torch.take_along_dim (input, indices, dim=None) = take_along_axis input:x indices dim:axis
    torch.relu torch.relu6 torch.selu torch.silu (input, inplace=False) = * input:x
    torch.elu torch.celu (input, alpha=1.0, inplace=False) = * input:x alpha
    torch.leaky_relu (input, negative_slope=0.01, inplace=False) = * input:x negative_slope
    torch.softplus (input, beta=1.0, threshold=20.0) = * input:x
    torch.glu (input, dim=-1) = * input:x dim:axis
    torch.div torch.divide = @div
    torch.pow = @pow
    torch.clamp torch.clip = @clamp
    torch.einsum = @einsum
    torch.max = @greatest
    torch.min = @smallest
    torch.view torch.reshape = @reshape
    torch.view_as torch.reshape_as = @reshape_as
    torch.flatten = @flatten
    torch.unflatten = @unflatten
    torch.permute = @permute
    torch.t = @t
    torch.squeeze = @squeeze
    torch.broadcast_to torch.expand = @expand
    torch.expand_as = @expand_as
    torch.repeat torch.tile = @tile
    torch.repeat_interleave = @repeat_interleave
    torch.split = @split
    torch.chunk = @chunk
    torch.unbind = @unbind
    torch.flip = @flip
    torch.softmax = @softmax
    torch.log_softmax = @log_softmax
    torch.gelu = @gelu
    torch.zeros = @zeros
    torch.ones = @ones
    torch.full = @full
    torch.eye = @eye
    torch.arange = @arange
    torch.zeros_like = @zeros_like
    torch.ones_like = @ones_like
    torch.full_like = @full_like
    torch.new_zeros = @new_zeros
    torch.new_ones = @new_ones
    torch.sum = @sum
    torch.mean = @mean
    torch.amax = @max
    torch.amin = @min
    torch.prod = @prod
    torch.all = @all
    torch.any = @any
    torch.var = @var
    torch.std = @std
    """,
    RULES,
)

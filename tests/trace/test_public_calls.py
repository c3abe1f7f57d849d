"""Every operation Keras can hand over while tracing, said publicly and computed both ways.

The table below names each function of `keras.ops` with arguments that reach all its parameters. A
Keras version that adds a function, or an operation class, fails here by name until it is added.
"""

import importlib
import inspect
import operator
import types
from dataclasses import dataclass, replace

import keras
import numpy as np
import pytest

from kerasfx.errors import UnknownFunctionError
from kerasfx.runtime.functions.keras_functions import resolve
from kerasfx.tracing.public_calls import (
    PublicCall,
    public_call,
    public_name,
)

NEWEST_KERAS = (3, 15)  # the version whose functions the table names completely
KERAS = tuple(int(part) for part in keras.__version__.split(".")[:2])
BACKEND = keras.backend.backend()


@dataclass(frozen=True, eq=False)
class Tensor:
    """Stands for a tensor in the table; made symbolic for tracing, concrete for computing."""

    shape: tuple
    kind: str = "float"
    dtype: str = "float32"

    def symbolic(self):
        return keras.KerasTensor(self.shape, self.dtype)

    def concrete(self, seed):
        rng = np.random.default_rng(seed)
        return keras.ops.convert_to_tensor(self._values(rng).astype(self.dtype))

    def _values(self, rng):
        if self.kind == "positive_definite":
            root = rng.uniform(-1, 1, self.shape)
            return root @ np.swapaxes(root, -1, -2) + 2 * np.eye(self.shape[-1])
        if self.kind == "triangular":
            return np.tril(rng.uniform(1, 2, self.shape))
        if self.kind == "holes":
            values = rng.uniform(-2, 2, self.shape)
            return np.where(rng.uniform(size=self.shape) < 0.3, np.nan, values)
        if self.kind == "nan":
            return np.full(self.shape, np.nan)
        if self.kind == "non_finite":
            return rng.choice([np.nan, np.inf, -np.inf, 0.5], self.shape)
        if self.kind == "complex":
            return rng.uniform(-2, 2, self.shape) + 1j * rng.uniform(-2, 2, self.shape)
        low, high = RANGES[self.kind]
        whole = self.kind in ("int", "image", "sorted_int", "bool")
        values = rng.integers(low, high, self.shape) if whole else rng.uniform(low, high, self.shape)
        return np.sort(values, axis=-1) if self.kind.startswith("sorted") else values


RANGES = {
    "float": (-2, 2),
    "unit": (0.05, 0.95),
    "large": (1.0, 3.0),
    "sorted": (-2, 2),
    "int": (0, 4),
    "sorted_int": (0, 3),
    "image": (0, 256),
    "bool": (0, 2),
}


def f(*shape, dtype="float32"):
    return Tensor(shape, "float", dtype)


def unit(*shape):
    return Tensor(shape, "unit")


def large(*shape):
    return Tensor(shape, "large")


def holes(*shape):
    return Tensor(shape, "holes")


def non_finite(*shape):
    return Tensor(shape, "non_finite")


def ordered(*shape):
    return Tensor(shape, "sorted")


def spd(*shape):
    return Tensor(shape, "positive_definite")


def lower(*shape):
    return Tensor(shape, "triangular")


def i(*shape, dtype="int32"):
    return Tensor(shape, "int", dtype)


def segments(*shape):
    return Tensor(shape, "sorted_int", "int32")


def b(*shape):
    return Tensor(shape, "bool", "bool")


def c(*shape):
    return Tensor(shape, "complex", "complex64")


def image(*shape):
    return Tensor(shape, "image", "uint8")


@dataclass(frozen=True, eq=False)
class Case:
    """One call of a function of `keras.ops`.

    Attributes:
        eager_only: Why `operation.call` does not compute what the public function computes. Such a
            call is compared with the function alone, which is what an untraced model runs.
        backends: Where the call works at all.
        since: The first Keras in which it works, where that is not told by the signature.
        values: False for tensors that are not initialised, or differ between equal calls.
    """

    name: str
    args: tuple
    kwargs: dict
    eager_only: str = ""
    backends: tuple = ("tensorflow", "jax", "torch")
    since: tuple = (3, 0)
    values: bool = True

    @property
    def writes(self):
        """Tells whether the function writes into its arguments."""
        return BACKEND == "torch" and self.name == "image.affine_transform"

    def exists(self):
        """Tells whether the installed Keras has the function with these arguments."""
        function = PUBLIC.get(self.name)
        if function is None or self.since > KERAS or BACKEND not in self.backends:
            return False
        parameters = inspect.signature(function).parameters
        return all(name in parameters for name in self.kwargs) or takes_any_keyword(parameters)


def takes_any_keyword(parameters):
    return any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def public_functions():
    """The functions of `keras.ops` by the part of their name behind `keras.ops.`."""
    spaces = {"": keras.ops, "image.": keras.ops.image}
    return {
        prefix + name: value
        for prefix, space in spaces.items()
        for name, value in vars(space).items()
        if isinstance(value, types.FunctionType) and not name.startswith("_")
    }


PUBLIC = public_functions()


def call(name, *args, **kwargs):
    return Case(name, args, kwargs)


def since(version, *cases):
    return [replace(case, since=version) for case in cases]


def each(names, *args, **kwargs):
    return [call(name, *args, **kwargs) for name in names.split()]


TENSORFLOW = ("tensorflow",)
JAX = ("jax",)
NOT_JAX = ("tensorflow", "torch")
NOT_TENSORFLOW = ("jax", "torch")
NOT_TORCH = ("tensorflow", "jax")
ONE_AXIS = "the operation names three axes, and PyTorch knows only `axis`" * (BACKEND == "torch")
UNHASHABLE = "the operation hands `axis=[1]` to a function that JAX compiles" * (BACKEND == "jax")

ELEMENTWISE = [
    *each("abs absolute fabs angle arcsinh arctan cbrt ceil conj conjugate copy cos", f(2, 3)),
    *each("cosh deg2rad rad2deg exp exp2 expm1 floor i0 isfinite isinf isnan", f(2, 3)),
    replace(call("imag", f(2, 3)), backends=NOT_TORCH),
    *each("isneginf isposinf isreal negative real reciprocal sign signbit sin sinc", f(2, 3)),
    *each("sinh square tan tanh trunc erf erfc ravel size ndim nonzero", f(2, 3)),
    *each("fliplr flipud zeros_like ones_like", f(2, 3)),
    *since((3, 6), call("stop_gradient", f(2, 3))),
    *each("log log10 log1p log2 sqrt rsqrt arccos arcsin arctanh erfinv", unit(2, 3)),
    *each("arccosh", large(2, 3)),
    *each("abs square negative sign sqrt isnan copy ravel nonzero", i(2, 3)),
    *since((3, 6), *each("angle conj conjugate imag real isreal view_as_real", c(2, 3))),
    *each("logical_not", b(2, 3)),
    *each("bitwise_invert bitwise_not", i(2, 3)),
    *each("add subtract multiply divide true_divide divide_no_nan", f(2, 3), f(2, 3)),
    *each("maximum minimum fmax fmin arctan2 hypot heaviside logaddexp", f(2, 3), f(3)),
    *each("logaddexp2 nextafter floor_divide mod fmod", f(2, 3), large(2, 3)),
    *each("equal not_equal greater greater_equal less less_equal", i(2, 3), i(2, 3)),
    *each("add subtract multiply divide true_divide maximum minimum", f(2, 3), i(2, 3)),
    *each("add subtract multiply divide floor_divide mod power maximum less equal", i(2, 3), 2),
    *each("add subtract multiply divide floor_divide power minimum greater", 2.5, large(2, 3)),
    *each("logical_and logical_or logical_xor", b(2, 3), b(2, 3)),
    *each("bitwise_and bitwise_or bitwise_xor bitwise_left_shift", i(2, 3), i(2, 3)),
    *each("bitwise_right_shift left_shift right_shift gcd lcm", i(2, 3), i(2, 3)),
    call("power", unit(2, 3), f(2, 3)),
    call("ldexp", f(2, 3), i(2, 3)),
]

ACTIVATIONS = [
    *each("relu relu6 sigmoid sparse_sigmoid softplus softsign sparse_plus silu swish", f(2, 4)),
    *each("log_sigmoid hard_sigmoid hard_silu hard_swish selu tanh_shrink hard_tanh", f(2, 4)),
    *each("soft_shrink hard_shrink squareplus leaky_relu elu gelu celu glu", f(2, 4)),
    *each("softmax log_softmax sparsemax", f(2, 4)),
    call("soft_shrink", f(2, 4), threshold=0.25),
    call("hard_shrink", f(2, 4), threshold=0.25),
    call("squareplus", f(2, 4), b=2),
    call("leaky_relu", f(2, 4), negative_slope=0.1),
    call("elu", f(2, 4), alpha=0.5),
    call("celu", f(2, 4), alpha=0.5),
    call("gelu", f(2, 4), approximate=False),
    call("glu", f(4, 3), axis=0),
    call("threshold", f(2, 4), 0.5, 9.0),
    call("threshold", f(2, 4), threshold=-0.5, default_value=3.0),
    call("softmax", f(2, 4), axis=0),
    call("log_softmax", f(2, 4), axis=0),
    call("sparsemax", f(2, 4), axis=-1),
    *[
        replace(case, eager_only="the function rewrites a tuple of axes, the operation does not")
        for case in each("softmax log_softmax", f(2, 3, 4), axis=(1, 2))
    ],
]

REDUCTIONS = [
    *each("sum mean max min amax amin prod std var median ptp argmax argmin", f(2, 3)),
    *each("logsumexp norm count_nonzero cumsum cumprod", f(2, 3)),
    *each("sum mean max min amax amin prod std var median ptp", f(2, 3), axis=1, keepdims=True),
    *each("sum mean max min amax amin std var ptp", f(2, 3, 4), axis=(0, 2)),
    # On PyTorch before, the second axis is counted in a tensor that has lost the first.
    replace(call("prod", f(2, 3, 4), axis=(0, 2)), since=(3, 15) if BACKEND == "torch" else (3, 0)),
    *each("argmax argmin logsumexp", f(2, 3), axis=-1, keepdims=True),
    *each("nansum nanmean nanmax nanmin nanprod nanstd nanvar nanmedian", holes(3, 4)),
    *each("nansum nanmean nanmax nanmin nanprod nanstd", holes(4, 5), axis=1, keepdims=True),
    *each("nanvar nanmedian", holes(4, 5), axis=1, keepdims=True),
    *each("nanargmax nanargmin", holes(4, 5)),
    *each("nanargmax nanargmin", holes(4, 5), axis=1, keepdims=True),
    *each("nancumsum nancumprod", holes(3, 4)),
    *each("nancumsum nancumprod", holes(3, 4), axis=1, dtype="float16"),
    *each("all any", b(2, 3)),
    *each("all any", b(2, 3), axis=1, keepdims=True),
    call("max", f(2, 3), axis=0, initial=1.0),
    call("min", f(2, 3), axis=0, initial=-1.0),
    call("sum", i(2, 3), axis=[0]),
    call("mean", i(2, 3), axis=0),
    call("median", f(2, 4), axis=(0, 1)),
    call("prod", i(2, 3), axis=0, dtype="float32"),
    call("count_nonzero", i(3, 3), axis=1),
    call("cumsum", f(2, 3), axis=1, dtype="float16"),
    call("cumprod", i(2, 3), axis=0, dtype="float32"),
    call("average", f(2, 3)),
    call("average", f(2, 3), axis=1, weights=unit(2, 3)),
    replace(call("average", f(2, 3), axis=0, weights=np.array([0.25, 0.75], "float32")), backends=NOT_TORCH),
    *[
        call(f"{nan}{name}", *args)
        for nan, x in (("", f(4, 5)), ("nan", holes(4, 5)))
        for name, q in (("quantile", 0.3), ("percentile", 30.0))
        for args in ([x, q], [x, [q, q / 2]])
    ],
    replace(call("quantile", f(4, 5), unit(2), axis=1, keepdims=True), eager_only=UNHASHABLE),
    call("percentile", f(4, 5), 30.0, axis=1, method="lower", keepdims=True),
    call("nanquantile", holes(4, 6), 0.4, axis=1, method="higher", keepdims=True),
    call("nanpercentile", holes(4, 6), 40.0, axis=1, method="nearest", keepdims=True),
    replace(
        call("quantile", f(4, 5), 0.3, axis=1, method="lower"),
        eager_only="`Quantile.call` drops `method`",
    ),
    call("moments", f(2, 3), axes=[0]),
    call("moments", f(2, 3, 4), axes=(0, 2), keepdims=True, synchronized=False),
    replace(call("norm", f(2, 3), ord=1, axis=1, keepdims=True), eager_only=UNHASHABLE),
    call("norm", f(2, 3), ord="fro", axis=(0, 1)),
    call("norm", f(3, 3), ord="nuc", axis=(-2, -1)),
    replace(call("norm", f(2, 3), ord=np.inf, axis=0), eager_only=UNHASHABLE),
    call("normalize", f(2, 3)),
    call("normalize", f(2, 3), axis=0, order=3),
    call("normalize", f(2, 3), axis=0, order=1, epsilon=99.0),
    call("logdet", spd(2, 3, 3)),
    call("slogdet", spd(3, 3)),
    call("trapezoid", f(2, 4)),
    call("trapezoid", f(2, 4), dx=0.5, axis=0),
    call("trapezoid", f(2, 4), x=np.array([0.0, 1.0, 3.0, 4.0], "float32")),
    call("corrcoef", f(3, 5)),
    call("correlate", f(5), f(3)),
    call("correlate", f(5), f(3), mode="same"),
    call("bincount", i(6)),
    call("bincount", i(6), weights=np.arange(6, dtype="float32"), minlength=8),
    replace(call("bincount", i(6), minlength=5, sparse=True), backends=TENSORFLOW),
    *[
        replace(case, eager_only="`Histogram.call` looks for backend.math.histogram")
        for case in [call("histogram", f(8)), call("histogram", f(8), bins=4, range=(-1.0, 1.0))]
    ],
]

SHAPES = [
    call("reshape", f(2, 6), (3, 4)),
    call("reshape", f(2, 6), newshape=[4, -1]),
    call("reshape", f(2, 6), -1),
    call("transpose", f(2, 3, 4)),
    call("transpose", f(2, 3, 4), axes=(2, 0, 1)),
    call("moveaxis", f(2, 3, 4), 0, -1),
    call("moveaxis", f(2, 3, 4), source=(0, 1), destination=[2, 0]),
    call("swapaxes", f(2, 3, 4), 0, axis2=2),
    call("expand_dims", f(2, 3), 1),
    call("expand_dims", f(2, 3), axis=-1),
    call("squeeze", f(2, 1, 3, 1)),
    call("squeeze", f(2, 1, 3, 1), axis=1),
    call("broadcast_to", f(1, 3), (2, 3)),
    call("flip", f(2, 3)),
    call("flip", f(2, 3), axis=1),
    call("roll", f(2, 3), 1),
    call("roll", f(2, 3), shift=2, axis=1),
    call("rot90", f(2, 3, 4)),
    call("rot90", f(2, 3, 4), k=3, axes=(1, 2)),
    call("tile", f(2, 3), 2),
    call("tile", f(2, 3), repeats=(2, 1)),
    call("repeat", f(2, 3), 2),
    call("repeat", f(2, 3), repeats=np.array([1, 2]), axis=0),
    call("pad", f(4), 1),
    call("pad", f(4), (1, 2), mode="reflect"),
    call("pad", f(2, 3), [[0, 1], [2, 0]], constant_values=5.0),
    call("pad", f(2, 3), ((0, 1), (2, 0)), mode="symmetric"),
    call("concatenate", [f(2, 3), f(1, 3)]),
    call("concatenate", (f(2, 3), f(2, 1)), axis=-1),
    call("concatenate", [f(2, 3), np.ones((2, 2), "float32")], axis=1),
    call("append", f(2, 3), f(1, 3)),
    call("append", f(2, 3), f(1, 3), axis=0),
    call("stack", [f(2, 3), f(2, 3)]),
    call("stack", (f(2, 3), f(2, 3)), axis=1),
    call("stack", f(2, 3), axis=1),
    *each("hstack vstack dstack", [f(2, 3), f(2, 3)]),
    *each("dsplit hsplit vsplit", f(2, 2, 4), 2),
    *each("dsplit hsplit vsplit", f(4, 4, 4), [1, 3]),
    call("split", f(4, 3), 2),
    call("split", f(4, 5), [1, 3], axis=1),
    call("array_split", f(5, 3), 2),
    call("array_split", f(4, 5), indices_or_sections=3, axis=1),
    call("unstack", f(2, 3)),
    call("unstack", f(2, 3), num=3, axis=1),
    call("meshgrid", f(2), f(3)),
    call("meshgrid", f(2), f(3), f(4), indexing="ij"),
    *each("diag diagflat", f(3)),
    *each("diag diagflat", f(3), k=1),
    *each("tril triu", f(3, 4)),
    *each("tril triu", f(3, 4), k=-1),
    call("diag", f(3, 3), k=-1),
    *each("diagonal trace", f(3, 4)),
    *each("diagonal trace", f(3, 4, 2), offset=1, axis1=1, axis2=0),
    call("diff", f(3, 4)),
    call("diff", f(3, 4), n=2, axis=0),
    call("vander", f(3)),
    call("vander", f(3), N=4, increasing=True),
    call("rearrange", f(2, 3, 4), "a b c -> c (a b)"),
    call("rearrange", f(2, 6, 4), "a (b d) c -> a d (b c)", b=2),
    call("fold", f(2, 12, 9), (4, 4), 2),
    call("fold", f(2, 12, 4), output_size=(5, 5), kernel_size=(2, 2), dilation=2, stride=2),
    call("fold", f(2, 12, 9), (2, 2), 2, padding=1),
    call("unfold", f(2, 3, 4, 4), 2),
    call("unfold", f(2, 3, 5, 5), kernel_size=(2, 2), dilation=2, padding=1, stride=2),
    *each("depth_to_space space_to_depth", f(1, 2, 2, 4), 2),
    *each("depth_to_space space_to_depth", f(1, 4, 2, 2), block_size=2, data_format="channels_first"),
]

INDEXING = [
    call("get_item", f(3, 4), 1),
    call("get_item", f(3, 4), (slice(None), slice(1, None, 2))),
    call("get_item", f(3, 4), (..., None, 0)),
    call("get_item", f(5, 4), (slice(None), i())),
    replace(call("get_item", f(5, 4), i(2)), backends=NOT_TENSORFLOW),
    call("take", f(3, 4), i(2)),
    call("take", f(5, 4), [0, 2], axis=1),
    call("take", np.ones((4, 2), "float32"), i(2, 3), axis=0),
    call("take_along_axis", f(4, 3), i(4, 3), axis=0),
    call("take_along_axis", f(5), i(2)),
    call("where", b(2, 3), f(2, 3), f(2, 3)),
    call("where", b(2, 3), f(2, 3), 0.0),
    call("where", b(2, 3), x1=1, x2=f(2, 3)),
    call("where", b(2, 3)),
    call("select", [b(2, 3), b(3)], [f(2, 3), f(3)]),
    call("select", [b(2, 3), b(3)], [f(2, 3), f(3)], default=4.0),
    call("clip", f(2, 3), -0.5, 0.5),
    call("clip", f(2, 3), f(3), x_max=1.5),
    call("nan_to_num", non_finite(3, 4)),
    call("nan_to_num", non_finite(3, 4), nan=1.0, posinf=2.0, neginf=-2.0),
    *each("sort argsort", f(3, 4)),
    *each("sort argsort", f(3, 4), axis=0),
    call("argpartition", f(3, 4), 1),
    call("argpartition", f(3, 4), kth=2, axis=0),
    call("top_k", f(3, 4), 2),
    call("top_k", f(3, 4), k=2, sorted=False),
    call("in_top_k", i(3), f(3, 5), 2),
    call("in_top_k", i(3), f(3, 5), k=1),
    call("searchsorted", ordered(5), f(3)),
    call("searchsorted", segments(5), i(3), side="right"),
    call("digitize", f(2, 3), np.array([-1.0, 0.0, 1.0], "float32")),
    call("unique", i(6)),
    call("unique", i(6), return_index=True, return_inverse=True, return_counts=True),
    call("unique", i(4, 3), axis=0, size=6, fill_value=9),
    call("unique", i(6), sorted=False),
    call("isin", i(2, 3), i(2)),
    call("isin", i(2, 3), [1, 2], assume_unique=True, invert=True),
    call("unravel_index", i(3), (2, 3)),
    call("unravel_index", i(3), shape=[3, 2]),
    call("scatter", i(3, 1), f(3, 2), (5, 2)),
    call("scatter", i(3, 1), values=f(3), shape=[4]),
    call("scatter_update", f(4, 2), [[0], [2]], f(2, 2)),
    call("scatter_update", f(4, 2), i(2, 1), f(2, 2), reduction="add"),
    call("scatter_update", f(4, 2), [[0], [2]], f(2, 2), reduction="MAX"),
    call("slice", f(4, 5), [1, 2], (2, 3)),
    call("slice", f(4, 5), start_indices=i(2), shape=[1, 2]),
    call("slice_update", f(4, 5), [1, 2], f(2, 2)),
    *[
        replace(case, backends=NOT_JAX)
        for case in each("segment_sum segment_max segment_min segment_prod", f(5, 2), segments(5))
    ],
    *each("segment_sum segment_max segment_min segment_prod", f(5, 2), i(5), num_segments=6),
    *[
        replace(case, backends=backends)
        for backends, extra in ((NOT_TENSORFLOW, {"num_segments": 4}), (NOT_JAX, {}))
        for case in each("segment_sum segment_max", f(5, 2), segments(5), sorted=True, **extra)
        + each("segment_min segment_prod", f(5, 2), segments(5), sorted=True, **extra)
    ],
    *each("isclose allclose", f(2, 3), f(2, 3)),
    *each("isclose allclose", f(2, 3), large(2, 3), rtol=2.5, atol=2.5, equal_nan=True),
    call("allclose", unit(2), unit(2), rtol=9.0),
    call("allclose", unit(2), unit(2), atol=9.0),
    call("allclose", np.full(2, np.nan, "float32"), Tensor((2,), "nan"), equal_nan=True),
    call("isclose", np.full(2, np.nan, "float32"), Tensor((2,), "nan"), equal_nan=True),
]

CREATION = [
    *since(
        (3, 12),
        call("arange", i()),
        call("arange", 0, i(), 1),
        call("arange", i(), 9, 2, dtype="float32"),
        call("full", (2, 3), f()),
        call("full", shape=[2, 3], fill_value=f(), dtype="float16"),
    ),
    call("linspace", f(), 3.0),
    replace(call("linspace", f(2), f(2), num=4, endpoint=False, dtype="float16", axis=1), backends=NOT_TORCH),
    call("linspace", f(2), f(2), num=4, endpoint=False, dtype="float16"),
    call("linspace", f(2), f(2), num=4, retstep=True),
    *each("logspace geomspace", unit(), 3.0),
    *each("logspace geomspace", unit(), large(), num=4, endpoint=False, dtype="float16"),
    replace(call("logspace", unit(2), large(2), num=4, axis=1), backends=NOT_TORCH),
    replace(call("geomspace", unit(2), large(2), num=4, axis=1), backends=JAX),
    call("logspace", unit(2), large(2), num=3, base=2),
    call("full_like", f(2, 3), 2),
    call("full_like", f(2, 3), f(), dtype="int32"),
    *each("zeros_like ones_like", f(2, 3), dtype="int32"),
    replace(call("empty_like", f(2, 3)), values=False),
    replace(call("empty_like", f(2, 3), dtype="int32"), values=False),
    call("array", f(2, 3)),
    call("array", f(2, 3), dtype="float16"),
    call("view", f(2, 3), dtype="int32"),
    call("view", f(2, 4), dtype="int16"),
    *since(
        (3, 7),
        call("convert_to_tensor", f(2, 3)),
        call("convert_to_tensor", f(2, 3), dtype="float16", sparse=False),
        call("convert_to_tensor", f(2, 3), ragged=False),
    ),
    call("cast", f(2, 3), "int32"),
    call("cast", f(2, 3), dtype=np.float16),
    call("saturate_cast", f(2, 3), "uint8"),
    call("one_hot", i(3), 4),
    call("one_hot", i(3), num_classes=4, axis=0, dtype="int32"),
    replace(call("one_hot", i(3), 4, sparse=True), backends=TENSORFLOW),
    call("multi_hot", i(2, 3), 5),
    call("multi_hot", i(2, 3), num_classes=5, axis=0, dtype="int32"),
    call("multi_hot", i(2, 3), num_tokens=4),
    replace(
        call("multi_hot", i(2, 3), 5, sparse=True),
        eager_only="`MultiHot.call` drops `sparse`",
        backends=TENSORFLOW,
    ),
    call("round", f(2, 3)),
    call("round", f(2, 3), decimals=1),
]

PRODUCTS = [
    *each("matmul dot", f(2, 3), f(3, 4)),
    *each("matmul dot", i(2, 3), i(3, 4)),
    *each("inner", f(2, 3), f(4, 3)),
    *each("outer vdot", f(3), f(3)),
    *each("kron", f(2, 3), f(3, 2)),
    *each("cross", f(2, 3), f(2, 3)),
    replace(call("cross", f(3, 2), f(3, 2), axis=0), eager_only=ONE_AXIS),
    replace(call("cross", f(3, 2), f(2, 3), axisa=0, axisb=1, axisc=0), backends=NOT_TORCH),
    call("tensordot", f(2, 3, 4), f(3, 4, 5)),
    call("tensordot", f(2, 3, 4), f(4, 5), axes=1),
    call("tensordot", f(2, 3, 4), f(4, 3), axes=[[1, 2], [1, 0]]),
    call("einsum", "ab,bc->ac", f(2, 3), f(3, 4)),
    call("einsum", "ii->i", f(3, 3)),
    call("einsum", "ab,bc,cd", f(2, 3), f(3, 4), np.ones((4, 2), "float32")),
    *each("cholesky inv det eig eigh lu_factor svd", spd(3, 3)),
    call("cholesky", spd(3, 3), upper=True),
    call("cholesky_inverse", f(3, 3), upper=True),
    *each("cholesky_inverse pinv matrix_rank qr", spd(3, 3)),
    call("pinv", f(4, 3), rcond=0.9),
    call("matrix_rank", f(4, 3), tol=2.5),
    call("qr", f(4, 3), mode="complete"),
    call("svd", f(4, 3), full_matrices=False),
    *since((3, 15), call("svd", f(4, 3), full_matrices=False, compute_uv=False)),
    call("solve", spd(3, 3), f(3, 2)),
    call("solve", spd(3, 3), b=f(3)),
    call("solve_triangular", lower(3, 3), f(3, 2), lower=True),
    call("solve_triangular", spd(3, 3), f(3, 2)),
    # On PyTorch two equal calls differ in the last bits.
    replace(call("lstsq", f(4, 3), f(4)), values=BACKEND != "torch"),
    replace(call("lstsq", f(4, 3), f(4, 2), rcond=0.9), values=BACKEND != "torch"),
    call("cdist", f(2, 3), f(4, 3)),
    call("dot_product_attention", f(1, 3, 2, 4), f(1, 5, 2, 4), f(1, 5, 2, 4)),
    call(
        "dot_product_attention",
        f(1, 3, 2, 4),
        f(1, 3, 2, 4),
        f(1, 3, 2, 4),
        bias=f(1, 2, 3, 3),
        scale=0.3,
        is_causal=True,
        flash_attention=False,
    ),
    call(
        "dot_product_attention",
        f(1, 3, 2, 4),
        f(1, 3, 2, 4),
        f(1, 3, 2, 4),
        mask=b(1, 1, 3, 3),
    ),
]

CHANNELS_FIRST = {"data_format": "channels_first"}
NETWORKS = [
    replace(call("max_pool", f(1, 4, 4, 2), 2), backends=NOT_JAX),
    call("max_pool", f(1, 5, 5, 2), (2, 3), strides=1, padding="SAME", data_format="channels_last"),
    replace(call("average_pool", f(1, 4, 4, 2), 2), backends=NOT_JAX),
    call("average_pool", f(1, 5, 2), pool_size=3, strides=2, padding="same"),
    *each("adaptive_max_pool adaptive_average_pool", f(1, 6, 6, 2), 3),
    *each(
        "adaptive_max_pool adaptive_average_pool",
        f(1, 2, 6, 6),
        output_size=(2, 3),
        **CHANNELS_FIRST,
    ),
    call("conv", f(1, 5, 5, 2), f(3, 3, 2, 4)),
    call("conv", f(1, 5, 5, 2), f(3, 3, 2, 4), 2, padding="SAME", data_format="channels_last"),
    call("conv", f(1, 7, 2), f(3, 2, 4), dilation_rate=2),
    call("depthwise_conv", f(1, 5, 5, 2), f(3, 3, 2, 1)),
    call("depthwise_conv", f(1, 5, 5, 2), f(3, 3, 2, 2), strides=(2, 2), padding="same"),
    call("depthwise_conv", f(1, 7, 7, 2), kernel=f(3, 3, 2, 1), dilation_rate=2),
    call("separable_conv", f(1, 5, 5, 2), f(3, 3, 2, 1), f(1, 1, 2, 4)),
    call("separable_conv", f(1, 5, 5, 2), f(3, 3, 2, 1), f(1, 1, 2, 4), strides=2, padding="same"),
    call("separable_conv", f(1, 7, 7, 2), f(3, 3, 2, 1), f(1, 1, 2, 4), dilation_rate=2),
    *[
        replace(case, eager_only="`ConvTranspose.call` swaps `padding` and `output_padding`")
        for case in [
            call("conv_transpose", f(1, 4, 4, 2), f(3, 3, 5, 2), strides=2),
            call("conv_transpose", f(1, 4, 4, 2), f(3, 3, 5, 2), 2, padding="same", output_padding=0),
            replace(
                call("conv_transpose", f(1, 4, 2), f(3, 5, 2), 1, dilation_rate=2), backends=NOT_TENSORFLOW
            ),
            replace(
                call("conv_transpose", f(1, 2, 4), f(3, 5, 2), strides=2, **CHANNELS_FIRST),
                backends=NOT_TENSORFLOW,
            ),
        ]
    ],
    # TensorFlow has no channels first on the CPU.
    *[
        replace(case, backends=NOT_TENSORFLOW)
        for case in [
            *each("max_pool average_pool", f(1, 2, 4, 4), 2, 2, "valid", **CHANNELS_FIRST),
            call("conv", f(1, 2, 5, 5), f(3, 3, 2, 4), **CHANNELS_FIRST),
            call("depthwise_conv", f(1, 2, 5, 5), f(3, 3, 2, 1), **CHANNELS_FIRST),
            call("separable_conv", f(1, 2, 5, 5), f(3, 3, 2, 1), f(1, 1, 2, 4), **CHANNELS_FIRST),
        ]
    ],
    *[
        replace(case, eager_only="`BatchNorm` has no `call`" * (KERAS < (3, 12)))
        for case in [
            call("batch_normalization", f(2, 3), f(3), unit(3), -1),
            call("batch_normalization", f(2, 3), f(3), unit(3), 1, f(3), scale=f(3), epsilon=0.1),
        ]
    ],
    call("layer_normalization", f(2, 3)),
    call("layer_normalization", f(2, 3, 4), f(3, 4), beta=f(3, 4), axis=(1, 2), epsilon=0.1),
    call("layer_normalization", f(2, 3), gamma=f(3), rms_scaling=True),
    call("rms_normalization", f(2, 3)),
    replace(call("rms_normalization", f(2, 3), scale=f(2, 1), axis=0, epsilon=0.1), backends=NOT_TORCH),
    call("binary_crossentropy", unit(2, 3), unit(2, 3)),
    call("binary_crossentropy", unit(2, 3), f(2, 3), from_logits=True),
    call("categorical_crossentropy", unit(2, 3), unit(2, 3)),
    call("categorical_crossentropy", unit(2, 3), f(2, 3), from_logits=True, axis=0),
    call("sparse_categorical_crossentropy", i(2), unit(2, 5)),
    call("sparse_categorical_crossentropy", i(2), f(2, 5), from_logits=True, axis=-1),
    call("ctc_loss", i(2, 3), f(2, 5, 6), np.array([2, 3]), np.array([5, 4])),
    call("ctc_loss", i(2, 3), f(2, 5, 6), np.array([2, 3]), np.array([5, 4]), mask_index=5),
    call("ctc_decode", f(2, 5, 6), np.array([5, 4])),
    call("ctc_decode", f(2, 5, 6), np.array([5, 4]), merge_repeated=False, mask_index=5),
    replace(  # JAX compiles this one for 16 seconds
        call("ctc_decode", f(2, 5, 6), np.array([5, 4]), "beam_search", beam_width=4, top_paths=2),
        backends=NOT_JAX,
        since=(3, 15) if BACKEND == "torch" else (3, 0),
    ),
    call("psnr", unit(2, 3), unit(2, 3), 1.0),
    call("psnr", unit(2, 3), f(2, 3), max_val=2),
    call("polar", f(2, 3), f(2, 3)),
]

SIGNALS = [
    *each("fft fft2", (f(4, 8), f(4, 8))),
    *each("ifft2", (f(4, 8), f(4, 8))),
    call("rfft", f(2, 8)),
    call("rfft", f(2, 8), fft_length=16),
    call("irfft", (f(2, 5), f(2, 5))),
    call("irfft", (f(2, 5), f(2, 5)), fft_length=6),
    call("extract_sequences", f(2, 8), 4, 2),
    call("extract_sequences", f(2, 8), sequence_length=3, sequence_stride=1),
    call("stft", f(2, 16), 8, 4, 8),
    call("stft", f(2, 16), 6, 3, fft_length=8, window="hamming", center=False),
    replace(
        call("view_as_complex", f(3, 2)),
        eager_only="`ViewAsComplex.call` multiplies by 1j, which TensorFlow rejects",
    ),
    replace(
        call("view_as_complex", f(3, 2, dtype="float64")),
        eager_only="the function gives complex64, the operation complex128",
        backends=NOT_JAX,
    ),
    *since(
        (3, 14),
        call("istft", (f(1, 5, 5), f(1, 5, 5)), 8, 4, 8),
        call("istft", (f(1, 5, 5), f(1, 5, 5)), 8, 4, 8, 14),
        call("istft", (f(1, 5, 5), f(1, 5, 5)), 6, 3, 8, length=10, window="hamming", center=False),
    ),
]

IMAGES = [
    *each("image.rgb_to_grayscale image.rgb_to_hsv image.hsv_to_rgb", unit(1, 4, 4, 3)),
    *each("image.rgb_to_grayscale image.rgb_to_hsv", unit(1, 3, 4, 4), **CHANNELS_FIRST),
    replace(call("image.extract_patches", f(1, 3, 6, 6), 2, **CHANNELS_FIRST), backends=NOT_TENSORFLOW),
    *each("image.hsv_to_rgb", unit(1, 3, 4, 4), **CHANNELS_FIRST),
    call("image.resize", f(1, 4, 4, 3), (6, 5)),
    call("image.resize", image(1, 4, 4, 3), [6, 5], interpolation="bicubic", antialias=True),
    call("image.resize", f(1, 3, 4, 6), (5, 5), crop_to_aspect_ratio=True, **CHANNELS_FIRST),
    call("image.resize", f(4, 6, 3), size=(5, 5), pad_to_aspect_ratio=True, fill_value=2.0),
    call("image.resize", f(4, 6, 3), (3, 3), interpolation="nearest", fill_mode="constant"),
    call("image.affine_transform", f(1, 4, 4, 3), f(1, 8)),
    call("image.affine_transform", f(1, 4, 4, 3), f(1, 8), fill_mode="reflect"),
    call(
        "image.affine_transform",
        f(1, 3, 4, 4),
        f(1, 8),
        interpolation="nearest",
        fill_mode="constant",
        fill_value=1,
        **CHANNELS_FIRST,
    ),
    call("image.extract_patches", f(1, 6, 6, 3), 2),
    call("image.extract_patches", f(1, 6, 6, 3), (2, 3), strides=1, padding="same"),
    call("image.extract_patches", f(1, 6, 6, 3), 2, strides=(1, 1), dilation_rate=2),
    replace(call("image.extract_patches", f(1, 4, 4, 4, 2), (2, 2, 2)), since=(3, 13)),
    call("image.extract_patches_3d", f(1, 4, 4, 4, 2), 2),
    call("image.extract_patches_3d", f(4, 4, 4, 2), (2, 1, 2), strides=1, padding="same"),
    call("image.map_coordinates", f(4, 5), unit(2, 6), 1),
    call("image.map_coordinates", f(4, 5), f(2, 6), order=0, fill_mode="nearest"),
    # TensorFlow in Keras 3.5 fails outside the image.
    *since((3, 15), call("image.map_coordinates", f(4, 5), f(2, 6), order=1, fill_value=1)),
    call("image.pad_images", f(1, 4, 4, 3), 1, 2, target_height=8, target_width=9),
    call("image.pad_images", f(4, 4, 3), 1, 2, 3, 0),
    call(
        "image.pad_images",
        f(3, 4, 4),
        bottom_padding=1,
        right_padding=2,
        target_height=6,
        target_width=8,
        **CHANNELS_FIRST,
    ),
    call("image.crop_images", f(1, 4, 5, 3), 1, 2, target_height=2, target_width=1),
    call("image.crop_images", f(4, 5, 3), 1, 2, 0, 1),
    call(
        "image.crop_images",
        f(3, 4, 5),
        bottom_cropping=1,
        right_cropping=2,
        target_height=2,
        target_width=2,
        **CHANNELS_FIRST,
    ),
    call("image.perspective_transform", f(1, 4, 4, 3), large(1, 4, 2), f(1, 4, 2)),
    call(
        "image.perspective_transform",
        f(1, 3, 4, 4),
        large(1, 4, 2),
        f(1, 4, 2),
        interpolation="nearest",
        fill_value=1,
        **CHANNELS_FIRST,
    ),
    replace(call("image.gaussian_blur", f(1, 5, 5, 3), sigma=(0.5, 2.0)), backends=TENSORFLOW),
    call("image.gaussian_blur", f(1, 3, 5, 5), (5, 3), sigma=(0.5, 2.0), **CHANNELS_FIRST),
    # On PyTorch it does not look at its seed.
    replace(call("image.elastic_transform", f(1, 5, 5, 3), seed=7), values=BACKEND != "torch"),
    replace(
        call(
            "image.elastic_transform",
            f(1, 3, 5, 5),
            alpha=3.0,
            sigma=2.0,
            interpolation="nearest",
            fill_mode="constant",
            fill_value=1.0,
            seed=7,
            **CHANNELS_FIRST,
        ),
        values=BACKEND != "torch",
    ),
    call("image.scale_and_translate", f(4, 4, 2), (6, 6, 2), large(2), f(2), (0, 1), "linear"),
    call(
        "image.scale_and_translate",
        f(6, 6, 2),
        output_shape=(3, 3, 2),
        scale=unit(2),
        translation=f(2),
        spatial_dims=(0, 1),
        method="cubic",
        antialias=False,
    ),
    call("image.sobel_edges", f(1, 5, 5, 3)),
    call("image.sobel_edges", f(1, 3, 5, 5), **CHANNELS_FIRST),
    call("image.ssim", unit(1, 12, 12, 3), unit(1, 12, 12, 3)),
    call("image.ssim", unit(1, 12, 12, 1), f(1, 12, 12, 1), max_val=2.0, k1=0.02, k2=0.05),
    call("image.ssim", unit(1, 8, 8, 1), unit(1, 8, 8, 1), filter_size=5, filter_sigma=0.5),
    call("image.ssim", unit(1, 1, 12, 13), unit(1, 1, 12, 13), **CHANNELS_FIRST),
]

TABLE = [
    *ELEMENTWISE,
    *ACTIVATIONS,
    *REDUCTIONS,
    *SHAPES,
    *INDEXING,
    *CREATION,
    *PRODUCTS,
    *NETWORKS,
    *SIGNALS,
    *IMAGES,
]
CASES = [case for case in TABLE if case.exists()]

_SIZES = "takes sizes, never tensors"
_WINDOW = "refuses symbolic tensors"
_PYTHON = "answers a Python question about the symbolic tensor"
NEVER_AN_OPERATION = {
    **dict.fromkeys(["empty", "eye", "identity", "ones", "tri", "zeros"], _SIZES),
    **dict.fromkeys(["bartlett", "blackman", "hamming", "hanning", "kaiser"], _WINDOW),
    **dict.fromkeys(["shape", "dtype", "is_tensor", "convert_to_numpy"], _PYTHON),
    **dict.fromkeys(["custom_gradient", "vectorize"], "wraps a Python function"),
}


def increment(x):
    return x + 1


def step(carry, x):
    return carry + x, carry


HOLDING_CALLABLES = [
    call("associative_scan", operator.add, f(3, 2)),
    call("cond", b(), lambda: 1, lambda: 2),
    call("fori_loop", 0, 3, lambda index, x: x + 1, f(2)),
    call("jvp", increment, [f(2)], [f(2)]),
    call("map", increment, f(3, 2)),
    call("scan", step, f(2), f(3, 2)),
    call("switch", 0, [increment, increment], f(2)),
    *since(
        (3, 12),
        call("vectorized_map", increment, f(3, 2)),
        call("while_loop", lambda x: True, increment, [f(2)]),
    ),
]
REFUSED_CASES = [case for case in HOLDING_CALLABLES if case.exists()]

# Classes of keras.src.ops that no public function makes, in the newest Keras.
NEVER_MADE = {
    "SegmentReduction": "abstract",
    **dict.fromkeys(["Abs", "Conj"], "the function makes its base class instead"),
}


def table_id(case):
    return f"{case.name}-{'-'.join(case.kwargs)}" if case.kwargs else case.name


def map_leaves(function, value):
    """Applies `function` to the leaves of lists, tuples, dicts and slices."""
    if isinstance(value, dict):
        return {key: map_leaves(function, item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map_leaves(function, item) for item in value)
    if isinstance(value, slice):
        return slice(*(map_leaves(function, x) for x in (value.start, value.stop, value.step)))
    return function(value)


class Traced:
    """The arguments of a case, symbolic and concrete, and the translation between them."""

    def __init__(self, copying=False):
        self.copying = copying
        self.concrete_of = {}

    def symbolic(self, value):
        return map_leaves(self._make_symbolic, value)

    def concrete(self, value):
        return map_leaves(self._make_concrete, value)

    def _make_concrete(self, leaf):
        if id(leaf) not in self.concrete_of:
            return leaf
        tensor = self.concrete_of[id(leaf)][1]
        return keras.ops.copy(tensor) if self.copying else tensor

    def _make_symbolic(self, leaf):
        if not isinstance(leaf, Tensor):
            return leaf
        tensor = leaf.symbolic()
        self.concrete_of[id(tensor)] = (tensor, leaf.concrete(seed=len(self.concrete_of)))
        return tensor


@pytest.fixture
def intercepted(monkeypatch):
    """Collects the operations called on symbolic tensors; unlike the tracer it infers nothing."""
    calls = []

    def symbolic_call(operation, *args, **kwargs):
        calls.append((operation, args, kwargs))
        return keras.KerasTensor(())

    monkeypatch.setattr(keras.Operation, "symbolic_call", symbolic_call)
    return calls


def assert_same(actual, expected, values=True):
    """Asserts the same structure, types, dtypes and bits."""
    assert type(actual) is type(expected)
    if isinstance(expected, (list, tuple)):
        assert len(actual) == len(expected)
        for one, other in zip(actual, expected, strict=True):
            assert_same(one, other, values)
        return
    one, other = as_array(actual), as_array(expected)
    assert (one.dtype, one.shape) == (other.dtype, other.shape)
    assert not values or one.tobytes() == other.tobytes()


def as_array(value):
    return np.ascontiguousarray(keras.ops.convert_to_numpy(value))


def converted(intercepted):
    """Returns the one intercepted call and what it was translated to."""
    assert len(intercepted) == 1, [type(operation).__name__ for operation, _, _ in intercepted]
    operation, args, kwargs = intercepted[0]
    public = public_call(operation, args, kwargs)
    assert isinstance(public, PublicCall), f"{type(operation).__name__} was refused"
    return operation, args, kwargs, public


@pytest.mark.filterwarnings("ignore:You passed `rms_scaling=True`")
@pytest.mark.filterwarnings("ignore:The newshape argument of jax.numpy.reshape")  # Keras 3.5
@pytest.mark.filterwarnings("ignore:Using torch.cross without specifying the dim arg:UserWarning")
@pytest.mark.filterwarnings("ignore:Tensor.T is deprecated on 0-D tensors:UserWarning")
@pytest.mark.filterwarnings("ignore:The use of `x.T` on tensors of dimension other than 2:UserWarning")
@pytest.mark.parametrize("case", CASES, ids=table_id)
def test_public_call_computes_what_the_operation_computes(case, intercepted):
    traced = Traced(copying=case.writes)
    symbolic_args, symbolic_kwargs = traced.symbolic(case.args), traced.symbolic(case.kwargs)
    PUBLIC[case.name](*symbolic_args, **symbolic_kwargs)
    operation, args, kwargs, public = converted(intercepted)

    result = resolve(public.name)(*traced.concrete(public.args), **traced.concrete(public.kwargs))

    direct = PUBLIC[case.name](*traced.concrete(symbolic_args), **traced.concrete(symbolic_kwargs))
    assert_same(result, direct, case.values)
    if not case.eager_only:
        make_stored_tensors_concrete(operation, traced)
        expected = operation.call(*traced.concrete(args), **traced.concrete(kwargs))
        assert_same(result, expected, case.values)


# `gaussian_blur` without a data format runs, but cannot be told: see its own test.
LEFT_OUT = [c for c in TABLE if BACKEND == "torch" not in c.backends and c.name != "image.gaussian_blur"]


@pytest.mark.parametrize("case", LEFT_OUT, ids=table_id)
def test_a_call_that_is_left_out_is_refused_by_pytorch(case):
    """The user's code fails as well."""
    traced = Traced()
    symbolic_args, symbolic_kwargs = traced.symbolic(case.args), traced.symbolic(case.kwargs)
    with pytest.raises(Exception, match=r"\w"):
        PUBLIC[case.name](*traced.concrete(symbolic_args), **traced.concrete(symbolic_kwargs))


def make_stored_tensors_concrete(operation, traced):
    """Replaces symbolic constructor arguments, which `operation.call` cannot compute with."""
    for name, value in list(vars(operation).items()):
        if isinstance(value, keras.KerasTensor):
            setattr(operation, name, traced.concrete(value))


ARITHMETIC = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow"]
COMPARISONS = ["lt", "le", "gt", "ge", "ne"]
OPERATORS = {
    **{name: (getattr(operator, name), f(2, 3), large(2, 3)) for name in ARITHMETIC + COMPARISONS},
    **{name: (getattr(operator, name), b(2, 3), b(2, 3)) for name in ("and_", "or_", "xor")},
    **{name: (getattr(operator, name), f(2, 3)) for name in ("neg", "abs")},
    "invert": (operator.invert, b(2, 3)),
    "matmul": (operator.matmul, f(2, 3), f(3, 2)),
    "radd": (lambda x: 2 + x, f(2, 3)),
    "rsub": (lambda x: 2 - x, f(2, 3)),
    "rmul": (lambda x: 2.5 * x, f(2, 3)),
    "rtruediv": (lambda x: 1 / x, large(2, 3)),
    "rfloordiv": (lambda x: 7 // x, large(2, 3)),
    "rmod": (lambda x: 7 % x, large(2, 3)),
    "rpow": (lambda x: 2**x, f(2, 3)),
    "rmatmul": (lambda x: x.__rmatmul__(np.ones((4, 2), "float32")), f(2, 3)),
    "rand": (lambda x: True & x, b(2, 3)),
    "ror": (lambda x: False | x, b(2, 3)),
    "rxor": (lambda x: True ^ x, b(2, 3)),
    "round": (round, f(2, 3)),
    "round_digits": (lambda x: round(x, 1), f(2, 3)),
    "item": (lambda x: x[0], f(2, 3)),
    "item_slices": (lambda x: x[..., None, ::2], f(2, 3)),
    "item_list": (lambda x: x[[0, slice(1, 3)]], f(2, 3)),
    "item_tensor": (lambda x, index: x[..., index], f(3, 4), i()),
    "item_tensor_in_slice": (lambda x, n: x[:n], f(4, 3), i()),
    "method_reshape": (lambda x: x.reshape((3, 2)), f(2, 3)),
    "method_squeeze": (lambda x: x.squeeze(1), f(2, 1, 3)),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operator_is_a_public_call(name, intercepted):
    function, *tensors = OPERATORS[name]
    traced = Traced()
    function(*traced.symbolic(tensors))
    operation, args, kwargs, public = converted(intercepted)

    result = resolve(public.name)(*traced.concrete(public.args), **traced.concrete(public.kwargs))

    assert_same(result, operation.call(*traced.concrete(args), **traced.concrete(kwargs)))


def operation_classes():
    """The operation classes defined in `keras.src.ops`, by name."""
    modules = {importlib.import_module(f.__module__) for f in PUBLIC.values()}
    return {
        name: value
        for module in modules
        for name, value in vars(module).items()
        if inspect.isclass(value)
        and issubclass(value, keras.Operation)
        and value.__module__ == module.__name__
    }


def test_every_public_function_is_in_the_table():
    named = {case.name for case in TABLE + HOLDING_CALLABLES} | set(NEVER_AN_OPERATION)
    assert set(PUBLIC) - named == set()


@pytest.mark.skipif(KERAS < NEWEST_KERAS, reason="the table also names newer functions")
def test_every_entry_of_the_table_exists():
    assert [table_id(c) for c in TABLE if not c.exists() and BACKEND in c.backends] == []
    assert set(NEVER_AN_OPERATION) <= set(PUBLIC)


@pytest.mark.skipif(KERAS < NEWEST_KERAS, reason="older functions call the backend directly")
@pytest.mark.filterwarnings("ignore:You passed `rms_scaling=True`")
def test_every_operation_class_is_made_by_the_table(intercepted):
    for case in CASES + REFUSED_CASES:
        traced = Traced()
        PUBLIC[case.name](*traced.symbolic(case.args), **traced.symbolic(case.kwargs))
    made = {type(operation).__name__ for operation, _, _ in intercepted}
    assert set(operation_classes()) - made - set(NEVER_MADE) == set()


@pytest.mark.parametrize("case", REFUSED_CASES, ids=table_id)
def test_operations_holding_callables_are_refused(case, intercepted):
    traced = Traced()
    PUBLIC[case.name](*traced.symbolic(case.args), **traced.symbolic(case.kwargs))
    operation, args, kwargs = intercepted[0]
    assert public_call(operation, args, kwargs) is None


@pytest.mark.parametrize("name", NEVER_AN_OPERATION)
def test_functions_outside_the_table_make_no_operation(name, intercepted):
    if name in PUBLIC and NEVER_AN_OPERATION[name] == _PYTHON and name != "convert_to_numpy":
        PUBLIC[name](f(2, 3).symbolic())
    assert intercepted == []


class UsersOperation(keras.Operation):
    def call(self, x):
        return x

    def compute_output_spec(self, x):
        return x


def softmax_operation(intercepted):
    keras.ops.softmax(f(2, 3).symbolic(), axis=0)
    return intercepted[-1]


def test_operations_of_others_are_refused(intercepted):
    _, args, kwargs = softmax_operation(intercepted)
    assert public_call(UsersOperation(), args, kwargs) is None


def test_subclasses_of_keras_operations_are_refused(intercepted):
    operation, args, kwargs = softmax_operation(intercepted)
    subclass = type("Softmax", (type(operation),), {"__module__": "users.module"})
    assert public_call(subclass(axis=0), args, kwargs) is None


def test_operations_that_lost_a_constructor_argument_are_refused(intercepted):
    operation, args, kwargs = softmax_operation(intercepted)
    assert public_call(operation, args, kwargs) is not None
    del operation.axis
    assert public_call(operation, args, kwargs) is None


def test_quantizer_operations_are_refused(intercepted):
    quantizers = importlib.import_module("keras.src.quantizers.quantizers")
    if not hasattr(quantizers, "FakeQuantWithMinMaxVars"):
        pytest.skip("this Keras has no quantizer operations")
    quantizers.fake_quant_with_min_max_vars(f(2, 3).symbolic(), -1.0, 1.0)
    assert public_call(*intercepted[-1]) is None


@pytest.mark.skipif(KERAS >= (3, 14), reason="`length` reaches the operation")
def test_istft_is_refused_where_keras_forgets_its_length(intercepted):
    spectrum = (f(1, 5, 5).symbolic(), f(1, 5, 5).symbolic())
    keras.ops.istft(spectrum, 8, 4, 8, length=14)
    assert public_call(*intercepted[-1]) is None


@pytest.mark.skipif("image.gaussian_blur" not in PUBLIC, reason="this Keras has no gaussian_blur")
def test_gaussian_blur_is_refused_where_keras_hides_the_data_format(intercepted):
    keras.ops.image.gaussian_blur(f(1, 5, 5, 3).symbolic())
    assert (public_call(*intercepted[-1]) is None) == (BACKEND != "tensorflow")


RELU_ARGUMENTS = {
    "plain": ({}, "keras.ops.relu"),
    "six": ({"max_value": 6}, "keras.activations.relu"),
    "slope": ({"negative_slope": 0.25}, "keras.activations.relu"),
    "clipped": ({"max_value": 2.0}, "keras.activations.relu"),
    "threshold": ({"threshold": 0.5}, "keras.activations.relu"),
    "slope_and_six": ({"negative_slope": 0.25, "max_value": 6}, "keras.activations.relu"),
}


@pytest.mark.parametrize("name", RELU_ARGUMENTS)
def test_the_relu_activation_is_a_public_call(name, intercepted):
    arguments, expected = RELU_ARGUMENTS[name]
    traced = Traced()
    keras.activations.relu(traced.symbolic(f(2, 5)), **arguments)
    operation, args, kwargs = intercepted[0]
    public = public_call(operation, args, kwargs)
    assert public.name == expected
    result = resolve(public.name)(*traced.concrete(public.args), **public.kwargs)
    assert_same(result, operation.call(*traced.concrete(args)))


SPELLINGS = {
    "tensors come first": (
        lambda x: keras.ops.sum(x, 1, keepdims=True),
        PublicCall("keras.ops.sum", ("x",), {"axis": 1, "keepdims": True}),
    ),
    "what precedes *operands comes first": (
        lambda x: keras.ops.einsum("ab,bc", x, x),
        PublicCall("keras.ops.einsum", ("ab,bc", "x", "x"), {}),
    ),
    "arguments with a default come by keyword": (
        lambda x: keras.ops.where(True, 0.0, x),
        PublicCall("keras.ops.where", (True,), {"x1": 0.0, "x2": "x"}),
    ),
    "image functions keep their namespace": (
        lambda x: keras.ops.image.rgb_to_grayscale(x),
        PublicCall("keras.ops.image.rgb_to_grayscale", ("x",), {"data_format": "channels_last"}),
    ),
    "a list key is read as the operation reads it": (
        lambda x: x[[0, slice(1, None)]],
        PublicCall("keras.ops.get_item", ("x", (0, slice(1, None))), {}),
    ),
    "a tensor among the constructor's arguments": (
        lambda x: keras.ops.clip(x, x, 1.0),
        PublicCall("keras.ops.clip", ("x",), {"x_min": "x", "x_max": 1.0}),
    ),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_spelling(name, intercepted):
    function, expected = SPELLINGS[name]
    x = f(3, 3).symbolic()
    function(x)
    public = public_call(*intercepted[0])
    written = map_leaves(lambda leaf: "x" if leaf is x else leaf, [public.args, public.kwargs])
    assert PublicCall(public.name, *written) == expected


@pytest.mark.parametrize(
    "name",
    [
        "keras.ops.matmul",
        "keras.ops.numpy.matmul",
        "keras.ops.image.resize",
        "keras.ops.nn.relu",
        "keras.ops.linalg.norm",
        "keras.random.normal",
    ],
)
def test_resolve_finds_public_functions(name):
    namespace, _, function_name = name.rpartition(".")
    function = getattr(operator.attrgetter(namespace[6:])(keras), function_name)
    assert inspect.unwrap(resolve(name)) is function


def test_a_random_function_takes_a_drawn_seed():
    generator = keras.random.SeedGenerator(3)
    expected = keras.random.normal((4,), seed=keras.random.SeedGenerator(3))
    drawn = resolve("keras.random.normal")((4,), seed=generator.next())
    np.testing.assert_array_equal(drawn, expected)


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "keras.utils.get_file",
        "keras.ops",
        "keras.ops.nn",
        "keras.ops.__init__",
        "keras.ops.matmul.__globals__",
        "keras.ops.numpy.np.load",
        "keras.src.ops.numpy.matmul",
        "keras.random.SeedGenerator",
        "keras.activations.get",
        "keras.activations.deserialize",
        "matmul",
        "",
    ],
)
def test_resolve_refuses_everything_else(name):
    with pytest.raises(UnknownFunctionError, match="is no function that a recorded call may name"):
        resolve(name)


def test_resolve_suggests_the_nearest_name():
    with pytest.raises(UnknownFunctionError, match=r"did you mean keras\.ops\.matmul\?"):
        resolve("keras.ops.matmull")


@pytest.mark.parametrize(
    ("function_name", "namespace", "expected"),
    [
        ("zeros", "numpy", "keras.ops.zeros"),
        ("relu", "nn", "keras.ops.relu"),
        ("tanh", "nn", "keras.ops.tanh"),
        ("cast", "core", "keras.ops.cast"),
        ("convert_to_tensor", "core", "keras.ops.convert_to_tensor"),
        ("segment_sum", "math", "keras.ops.segment_sum"),
        ("norm", "linalg", "keras.ops.norm"),
        ("det", "linalg", "keras.ops.det"),
        ("resize", "image", "keras.ops.image.resize"),
        ("compute_output_spec", "core", None),
        ("device_scope", "core", None),
        ("resize", "numpy", None),
        ("matmul", "random", None),
        ("no_such_function", "numpy", None),
    ],
)
def test_public_name(function_name, namespace, expected):
    assert public_name(function_name, namespace) == expected


def test_every_backend_function_with_a_public_namesake_is_found():
    backend = importlib.import_module("keras.src.backend")
    missing = []
    for name, function in PUBLIC.items():
        namespace = function.__module__.rpartition(".")[2]
        bare = name.removeprefix("image.")
        exists = hasattr(getattr(backend, namespace, None), bare)
        if exists and public_name(bare, namespace) != f"keras.ops.{name}":
            missing.append(name)
    assert missing == []

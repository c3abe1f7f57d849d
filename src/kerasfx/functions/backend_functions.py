"""The functions of TensorFlow, JAX and PyTorch that a node may name.

A `.keras` file that names a function calls it when it is loaded, so only pure functions of tensors are
found: those of the namespaces listed here, less what reads or writes files, changes global state, takes
code or compiles. A name is the way to a function as documented, `tf.math.cumsum`.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from kerasfx.errors import UnknownFunctionError, describe
from kerasfx.functions import torch_names
from kerasfx.functions.array_updates import NAMES as ARRAY_UPDATES


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TF_FUNCTIONS = _words(
    """abs acos acosh add add_n approx_top_k argmax argmin argsort as_string asin asinh atan atan2 atanh
    batch_to_space bitcast boolean_mask broadcast_dynamic_shape broadcast_to cast clip_by_global_norm
    clip_by_norm clip_by_value complex concat conv convert_to_tensor cos cosh cumsum divide
    dynamic_partition dynamic_stitch edit_distance eig eigvals einsum ensure_shape equal exp expand_dims
    extract_volume_patches eye fftnd fill fingerprint floor gather gather_nd greater greater_equal
    guarantee_const histogram_fixed_width histogram_fixed_width_bins identity identity_n ifftnd irfftnd
    less less_equal linspace logical_and logical_not logical_or matmul matrix_square_root maximum meshgrid
    minimum multiply negative norm not_equal one_hot ones ones_like pad parallel_stack pow
    random_index_shuffle range rank realdiv reduce_all reduce_any reduce_logsumexp reduce_max reduce_mean
    reduce_min reduce_prod reduce_sum repeat required_space_to_batch_paddings reshape reverse
    reverse_sequence rfftnd roll round saturate_cast scalar_mul scatter_nd searchsorted sequence_mask shape
    shape_n sigmoid sign sin sinh size slice sort space_to_batch space_to_batch_nd split sqrt square squeeze
    stack stop_gradient strided_slice subtract tan tanh tensor_scatter_nd_add tensor_scatter_nd_max
    tensor_scatter_nd_min tensor_scatter_nd_sub tensor_scatter_nd_update tensordot tile transpose truediv
    truncatediv truncatemod unique unique_with_counts unravel_index unstack where zeros zeros_like"""
)

_TF_V1_FUNCTIONS = (_TF_FUNCTIONS - _words("eig eigvals")) | _words(
    """accumulate_n batch_gather batch_to_space_nd betainc ceil check_numerics cholesky conj cross cumprod
    depth_to_space diag diag_part digamma div div_no_nan erf erfc expm1 extract_image_patches
    fake_quant_with_min_max_args fake_quant_with_min_max_vars fft fft2d fft3d floor_div floordiv floormod
    ifft ifft2d ifft3d igamma igammac imag invert_permutation is_finite is_inf is_nan lbeta lgamma log log1p
    log_sigmoid logical_xor matrix_band_part matrix_determinant matrix_diag matrix_diag_part matrix_inverse
    matrix_set_diag matrix_solve matrix_transpose matrix_triangular_solve mod polygamma qr random_gamma
    random_normal random_poisson random_shuffle random_uniform real reciprocal reverse_v2 rint rsqrt
    scatter_nd segment_max segment_mean segment_min segment_prod segment_sum self_adjoint_eig
    self_adjoint_eigvals setdiff1d space_to_depth squared_difference svd tensor_scatter_add
    tensor_scatter_sub tensor_scatter_update to_double to_float to_int32 to_int64 trace
    truncated_normal unsorted_segment_max unsorted_segment_mean unsorted_segment_min unsorted_segment_prod
    unsorted_segment_sqrt_n unsorted_segment_sum where_v2 zeta"""
)


_TF_RAW_OPS = _words(
    """Abs AccumulateNV2 Acos Acosh Add AddN AddV2 AdjustContrastv2 AdjustHue AdjustSaturation All Angle Any
    ApproximateEqual ArgMax ArgMin Asin Asinh Atan Atan2 Atanh AvgPool AvgPool3D BatchMatMul BatchMatMulV2
    BatchMatMulV3 BatchToSpace BatchToSpaceND BesselI0e BesselI1e Betainc BiasAdd BiasAddGrad Bincount
    Bitcast BitwiseAnd BitwiseOr BitwiseXor BroadcastArgs BroadcastTo Bucketize Cast Ceil Cholesky
    ClipByValue Complex ComplexAbs Concat ConcatV2 Conj ConjugateTranspose Conv2D Conv2DBackpropFilter
    Conv2DBackpropInput Conv3D Cos Cosh CropAndResize Cross Cumprod Cumsum CumulativeLogsumexp
    DepthToSpace DepthwiseConv2dNative Diag DiagPart Digamma Dilation2D Div DivNoNan Einsum Elu EnsureShape
    Equal Erf Erfc Erfinv Exp ExpandDims Expm1 ExtractImagePatches FFT FFT2D FFT3D
    FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel Fill Floor FloorDiv
    FloorMod FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 Gather GatherNd GatherV2 Greater GreaterEqual
    HSVToRGB IFFT IFFT2D IFFT3D IRFFT IRFFT2D IRFFT3D Identity IdentityN Igamma Igammac Imag InTopKV2 Inv
    InvertPermutation IsFinite IsInf IsNan L2Loss LRN LeakyRelu LeftShift Less LessEqual Lgamma LinSpace Log
    Log1p LogSoftmax LogicalAnd LogicalNot LogicalOr MatMul MatrixBandPart MatrixDeterminant MatrixDiag
    MatrixDiagPart MatrixDiagPartV3 MatrixDiagV3 MatrixInverse MatrixSetDiag MatrixSetDiagV3 MatrixSolve
    MatrixTriangularSolve Max MaxPool MaxPool3D MaxPoolV2 Maximum Mean Min Minimum MirrorPad Mod Mul MulNoNan
    Neg NextAfter NotEqual OneHot OnesLike Pack Pad PadV2 Polygamma Pow PreventGradient Prod Qr
    QuantizeAndDequantizeV2 QuantizeAndDequantizeV4 RFFT RFFT2D RFFT3D RGBToHSV Range Rank Real RealDiv
    Reciprocal Relu Relu6 Reshape ResizeArea ResizeBicubic ResizeBilinear ResizeNearestNeighbor Reverse
    ReverseSequence ReverseV2 RightShift Rint Roll Round Rsqrt ScaleAndTranslate ScatterNd
    SegmentMax SegmentMean SegmentMin SegmentProd SegmentSum Select SelectV2 SelfAdjointEigV2 Selu Shape
    ShapeN Sigmoid Sign Sin Sinh Size Slice Softmax SoftmaxCrossEntropyWithLogits Softplus Softsign
    SpaceToBatch SpaceToBatchND SpaceToDepth SparseSoftmaxCrossEntropyWithLogits Split SplitV Sqrt Square
    SquaredDifference Squeeze StopGradient StridedSlice Sub Sum Svd Tan Tanh TensorScatterAdd
    TensorScatterMax TensorScatterMin TensorScatterSub TensorScatterUpdate Tile TopK TopKV2 Transpose
    TruncateDiv TruncateMod Unpack UnsortedSegmentMax UnsortedSegmentMin UnsortedSegmentProd
    UnsortedSegmentSum Where Xdivy Xlog1py Xlogy ZerosLike Zeta"""
)


@dataclass(frozen=True)
class _Namespace:
    """Some functions of a module.

    Attributes:
        module: Where they are.
        allowed: Their names; all public ones if None.
        denied: Names that are not among them.
    """

    module: str
    allowed: frozenset[str] | None = None
    denied: frozenset[str] = frozenset()

    def functions(self) -> Iterator[tuple[str, Callable[..., Any]]]:
        """Yield names and functions."""
        module = self.load()
        for name in sorted(self.allowed or dir(module)):
            function = getattr(module, name, None)
            if self.holds(name) and callable(function) and not isinstance(function, type):
                yield name, function

    def holds(self, name: str) -> bool:
        """Whether `name` may be called."""
        is_allowed = not name.startswith("_") if self.allowed is None else name in self.allowed
        return is_allowed and name not in self.denied

    def load(self) -> Any:
        """The module. Submodules of TensorFlow are attributes, not modules that can be imported."""
        path, _, rest = self.module.partition(".")
        module = importlib.import_module(path)
        for step in rest.split(".") if rest else ():
            path = f"{path}.{step}"
            module = getattr(module, step, None) or importlib.import_module(path)
        return module


_TF_DENIED = _words(
    """bidirectional_dynamic_rnn create_rng_state dynamic_rnn experimental_enable_numpy_behavior
    fixed_unigram_candidate_sampler get_global_generator get_seed raw_rnn set_global_generator
    set_random_seed set_seed static_bidirectional_rnn static_rnn static_state_saving_rnn
    with_space_to_batch"""
)
"""Functions of the namespaces below that change a global state, read a file (a sampler's `vocab_file`) or
take functions."""
_TF_RANDOM_WITHOUT_DRAW = frozenset(("fold_in", "split"))
_TF_DRAWS = _words(
    """image.random_brightness image.random_contrast image.random_crop image.random_flip_left_right
    image.random_flip_up_down image.random_hue image.random_jpeg_quality image.random_saturation
    image.sample_distorted_bounding_box nn.dropout nn.fractional_avg_pool nn.fractional_max_pool
    nn.nce_loss nn.sampled_softmax_loss"""
)

_JNP_DENIED = _words(
    """load save savez fromfile frombuffer fromiter fromstring from_dlpack fromfunction frompyfunc vectorize
    apply_along_axis apply_over_axes piecewise set_printoptions get_printoptions printoptions array_repr
    array_str can_cast isdtype issubdtype iterable promote_types einsum_path broadcast_shapes
    fill_diagonal place put"""
)
"""What reads or writes files or foreign memory, takes functions, sets how arrays are printed, gives no
tensor or, as `jnp.place`, tries to change its argument."""

_LAX_FUNCTIONS = _words(
    """abs acos acosh add approx_max_k approx_min_k argmax argmin asin asinh atan atan2 atanh batch_matmul
    bessel_i0e bessel_i1e betainc bitcast_convert_type bitwise_and bitwise_not bitwise_or bitwise_xor
    broadcast broadcast_in_dim broadcast_to_rank broadcasted_iota cbrt ceil clamp clz collapse complex
    concatenate conj conv conv_general_dilated conv_general_dilated_local conv_general_dilated_patches
    conv_transpose conv_with_general_padding convert_element_type cos cosh cumlogsumexp cummax cummin
    cumprod cumsum digamma div dot dot_general dynamic_index_in_dim dynamic_slice dynamic_slice_in_dim
    dynamic_update_index_in_dim dynamic_update_slice dynamic_update_slice_in_dim eq erf erf_inv erfc exp
    exp2 expand_dims expm1 fft floor full full_like ge gt igamma igammac imag index_in_dim index_take
    integer_pow iota is_finite le lgamma log log1p logistic lt max min mul ne neg nextafter
    optimization_barrier pad polygamma population_count pow real reciprocal reduce_and reduce_max
    reduce_min reduce_or reduce_precision reduce_prod reduce_sum reduce_xor rem reshape rev round rsqrt
    select select_n shift_left shift_right_arithmetic shift_right_logical sign sin sinh slice slice_in_dim
    sort sort_key_val split sqrt square squeeze stop_gradient sub tan tanh tile top_k transpose zeta"""
)

_JAX_RANDOM_DENIED = _words("PRNGKey clone key key_data key_dtype key_impl wrap_key_data")
"""Typed keys are no tensors that a model could hand on."""

_SCIPY = "fft linalg ndimage signal special stats"
_DISTRIBUTIONS = (
    "bernoulli beta betabinom binom cauchy chi2 dirichlet expon gamma gennorm geom gumbel_l gumbel_r "
    "laplace logistic multinomial multivariate_normal nbinom norm pareto poisson t truncnorm uniform "
    "vonmises wrapcauchy"
)

_NAMESPACES: dict[str, dict[str, _Namespace]] = {
    "tensorflow": {
        "tf": _Namespace("tensorflow", _TF_FUNCTIONS),
        **{
            f"tf.{name}": _Namespace(f"tensorflow.{name}", denied=_TF_DENIED)
            for name in ("math", "nn", "linalg", "image", "signal", "bitwise", "strings", "sets")
        },
        "tf.random": _Namespace("tensorflow.random", denied=_TF_DENIED),
        "tf.quantization": _Namespace("tensorflow.quantization"),
        "tf.debugging": _Namespace("tensorflow.debugging", frozenset(("check_numerics",))),
        "tf.raw_ops": _Namespace("tensorflow.raw_ops", _TF_RAW_OPS),
        "tf.experimental.numpy": _Namespace("tensorflow.experimental.numpy", denied=_TF_DENIED),
        "tf.compat.v1": _Namespace("tensorflow.compat.v1", _TF_V1_FUNCTIONS),
        **{
            f"tf.compat.v1.{name}": _Namespace(f"tensorflow.compat.v1.{name}", denied=_TF_DENIED)
            for name in ("math", "nn", "linalg", "image", "signal", "bitwise")
        },
        "tf.compat.v1.random": _Namespace("tensorflow.compat.v1.random", denied=_TF_DENIED),
    },
    "torch": {
        "torch": _Namespace("torch", torch_names.FUNCTIONS),
        "torch.nn.functional": _Namespace("torch.nn.functional", torch_names.NN),
        "torch.Tensor": _Namespace("torch.Tensor", torch_names.METHODS),
        "torch.linalg": _Namespace("torch.linalg", torch_names.LINALG),
        "torch.fft": _Namespace("torch.fft", torch_names.FFT),
        "torch.special": _Namespace("torch.special", torch_names.SPECIAL),
        "torch.updated": _Namespace("kerasfx.functions.torch_updates", frozenset(("set_item",))),
    },
    "jax": {
        "jax.numpy": _Namespace("jax.numpy", denied=_JNP_DENIED),
        "jax.numpy.linalg": _Namespace("jax.numpy.linalg"),
        "jax.numpy.fft": _Namespace("jax.numpy.fft"),
        "jax.nn": _Namespace("jax.nn", denied=frozenset(("get_scaled_dot_general_config",))),
        "jax.lax": _Namespace("jax.lax", _LAX_FUNCTIONS),
        "jax.lax.linalg": _Namespace("jax.lax.linalg"),
        "jax.image": _Namespace("jax.image"),
        "jax.random": _Namespace("jax.random", denied=_JAX_RANDOM_DENIED),
        **{f"jax.scipy.{n}": _Namespace(f"jax.scipy.{n}", denied=_words("funm")) for n in _SCIPY.split()},
        **{f"jax.scipy.stats.{n}": _Namespace(f"jax.scipy.stats.{n}") for n in _DISTRIBUTIONS.split()},
        "jax.Array.at": _Namespace("kerasfx.functions.array_updates", _words(ARRAY_UPDATES)),
    },
}


def is_known_namespace(name: str) -> bool:
    """Whether `name` is that of a function in one of the namespaces, of whatever backend."""
    return any(name.rpartition(".")[0] in spaces for spaces in _NAMESPACES.values())


def draws(name: str) -> bool:
    """Whether a function draws from the random state of the backend, so that each call differs."""
    if name in torch_names.DRAWS:
        return True
    namespace, _, function_name = name.removeprefix("tf.").removeprefix("compat.v1.").rpartition(".")
    if namespace == "random":
        return not function_name.startswith("stateless") and function_name not in _TF_RANDOM_WITHOUT_DRAW
    return f"{namespace}.{function_name}" in _TF_DRAWS


def resolve(name: str) -> Callable[..., Any]:
    """Returns the function of the running backend with that name.

    Args:
        name: For example `tf.math.cumsum`.

    Raises:
        UnknownFunctionError: It belongs to another backend, or to no namespace of pure functions of
            tensors. Nothing is imported to find out.
    """
    backend = keras.backend.backend()
    namespace, _, function_name = name.rpartition(".")
    owner = next((b for b, spaces in _NAMESPACES.items() if namespace in spaces), None)
    if owner is not None and owner != backend:
        raise UnknownFunctionError(
            describe(
                f"{name} is a function of another backend than the running one, {backend}.",
                why="the model calls a function that keras.ops lacks",
                hint=f"load the model with KERAS_BACKEND={owner}",
            )
        )
    space = _NAMESPACES.get(backend, {}).get(namespace)
    function = getattr(space.load(), function_name, None) if space and space.holds(function_name) else None
    if function is None or isinstance(function, type) or not callable(function):
        raise UnknownFunctionError(
            describe(
                f"{name} is no function that a recorded call may name.",
                why="only pure functions of tensors are called, of the namespaces that kerasfx lists",
                hint="load the model with the versions of Keras and its backend that saved it",
            )
        )
    return function


@functools.cache
def functions() -> Mapping[str, tuple[str, Callable[..., Any]]]:
    """Every name of a function of the running backend: its shortest name, and the function."""
    spaces = _NAMESPACES.get(keras.backend.backend(), {})
    shortest: dict[int, str] = {}
    found: dict[str, tuple[str, Callable[..., Any]]] = {}
    for prefix, space in spaces.items():
        for name, function in space.functions():
            best = shortest.setdefault(id(function), f"{prefix}.{name}")
            found[f"{prefix}.{name}"] = best, function
    return found


@functools.cache
def modules() -> Mapping[str, Any]:
    """The modules of the running backend whose functions are known, by the prefix of the names."""
    return {prefix: space.load() for prefix, space in _NAMESPACES.get(keras.backend.backend(), {}).items()}

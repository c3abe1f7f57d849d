"""The names of PyTorch's functions that a node may name.

Written out, because a namespace of PyTorch holds more than pure functions of tensors: what loads and saves,
compiles, sets a state, takes code. Left out as well are functions whose results have sizes that depend on
the data, that return something else than tensors, and all that work in place.
"""


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


FUNCTIONS = words(
    """abs absolute acos acosh adaptive_avg_pool1d adaptive_max_pool1d add addbmm addcdiv addcmul addmm
    addmv addr adjoint affine_grid_generator all alpha_dropout amax amin aminmax angle any arange arccos
    arccosh arcsin arcsinh arctan arctan2 arctanh argmax argmin argsort asin asinh atan atan2 atanh
    atleast_1d atleast_2d atleast_3d avg_pool1d baddbmm bartlett_window bernoulli bilinear
    binary_cross_entropy_with_logits bitwise_and bitwise_left_shift bitwise_not bitwise_or
    bitwise_right_shift bitwise_xor blackman_window block_diag bmm broadcast_tensors broadcast_to
    bucketize cartesian_prod cat cdist ceil celu chain_matmul channel_shuffle cholesky cholesky_inverse
    cholesky_solve chunk clamp clamp_max clamp_min clip clone column_stack combinations complex concat
    concatenate conj conj_physical constant_pad_nd conv1d conv2d conv3d conv_tbc conv_transpose1d
    conv_transpose2d conv_transpose3d convolution copysign corrcoef cos cosh cosine_embedding_loss
    cosine_similarity count_nonzero cov cross ctc_loss cummax cummin cumprod cumsum cumulative_trapezoid
    deg2rad det detach diag diag_embed diagflat diagonal diagonal_scatter diff digamma dist div divide
    dot dropout dsplit dstack einsum embedding eq erf erfc erfinv exp exp2 expm1 eye
    fake_quantize_per_channel_affine fake_quantize_per_tensor_affine feature_alpha_dropout
    feature_dropout fix flatten flip fliplr flipud float_power floor floor_divide fmax fmin fmod frac
    frexp frobenius_norm full full_like gather gcd ge geqrf ger gradient greater greater_equal
    grid_sampler grid_sampler_2d grid_sampler_3d group_norm gt hamming_window hann_window hardshrink
    heaviside hinge_embedding_loss histc histogram histogramdd hsplit hstack hypot i0 igamma igammac
    imag index_add index_copy index_fill index_put index_reduce index_select inner inverse isclose
    isfinite isin isinf isnan isneginf isposinf isreal istft kaiser_window kl_div kron kthvalue
    layer_norm lcm ldexp le lerp less less_equal lgamma linspace log log10 log1p log2 log_softmax
    logaddexp logaddexp2 logcumsumexp logdet logical_and logical_not logical_or logical_xor logit
    logspace logsumexp lt lu_solve lu_unpack margin_ranking_loss masked_fill masked_scatter matmul
    matrix_exp matrix_power max max_pool1d max_pool1d_with_indices max_pool2d max_pool3d maximum mean
    median meshgrid min minimum mm mode moveaxis movedim msort mul multinomial multiply mv mvlgamma
    nan_to_num nanmean nanmedian nanquantile nansum narrow native_channel_shuffle native_group_norm
    native_layer_norm ne neg negative nextafter nonzero_static norm norm_except_dim normal not_equal
    ones ones_like orgqr ormqr outer pairwise_distance pdist permute pinverse pixel_shuffle
    pixel_unshuffle poisson_nll_loss polar polygamma positive pow prelu prod qr quantile rad2deg rand
    rand_like randint randint_like randn randn_like randperm ravel real reciprocal relu remainder renorm
    repeat_interleave reshape resolve_conj resolve_neg rms_norm roll rot90 round row_stack rsqrt rsub
    scalar_tensor scatter scatter_add scatter_reduce searchsorted select select_scatter selu sgn sigmoid
    sign signbit sin sinc sinh slice_scatter slogdet softmax sort split split_with_sizes sqrt square
    squeeze stack std std_mean stft sub subtract sum svd swapaxes swapdims t take take_along_dim tan
    tanh tensor tensor_split tensordot threshold tile topk trace transpose trapezoid trapz
    triangular_solve tril tril_indices triplet_margin_loss triu triu_indices true_divide trunc unbind
    unflatten unravel_index unsqueeze vander var
    var_mean vdot view_as_complex view_as_real vsplit vstack where xlogy zeros zeros_like"""
)

NN = words(
    """adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d
    adaptive_max_pool1d_with_indices adaptive_max_pool2d adaptive_max_pool2d_with_indices
    adaptive_max_pool3d adaptive_max_pool3d_with_indices affine_grid alpha_dropout avg_pool1d avg_pool2d
    avg_pool3d bilinear binary_cross_entropy binary_cross_entropy_with_logits celu channel_shuffle
    conv1d conv2d conv3d conv_tbc conv_transpose1d conv_transpose2d conv_transpose3d
    cosine_embedding_loss cosine_similarity cross_entropy ctc_loss dropout dropout1d dropout2d dropout3d
    elu embedding feature_alpha_dropout fold fractional_max_pool2d fractional_max_pool2d_with_indices
    fractional_max_pool3d fractional_max_pool3d_with_indices gaussian_nll_loss gelu glu grid_sample
    group_norm gumbel_softmax hardshrink hardsigmoid hardswish hardtanh hinge_embedding_loss huber_loss
    interpolate kl_div l1_loss layer_norm leaky_relu linear local_response_norm log_softmax logsigmoid
    lp_pool1d lp_pool2d lp_pool3d margin_ranking_loss max_pool1d max_pool1d_with_indices max_pool2d
    max_pool2d_with_indices max_pool3d max_pool3d_with_indices max_unpool1d max_unpool2d max_unpool3d
    mish mse_loss multi_head_attention_forward multi_margin_loss multilabel_margin_loss
    multilabel_soft_margin_loss native_channel_shuffle nll_loss normalize one_hot pad pairwise_distance
    pdist pixel_shuffle pixel_unshuffle poisson_nll_loss prelu relu relu6 rms_norm
    scaled_dot_product_attention selu sigmoid silu smooth_l1_loss soft_margin_loss softmax softmin
    softplus softshrink softsign tanh tanhshrink threshold triplet_margin_loss unfold upsample
    upsample_bilinear upsample_nearest"""
)

METHODS = words(
    """abs absolute acos acosh add addbmm addcdiv addcmul addmm addmv addr adjoint all amax amin aminmax
    angle any arccos arccosh arcsin arcsinh arctan arctan2 arctanh argmax argmin argsort asin asinh atan
    atan2 atanh baddbmm bernoulli bitwise_and bitwise_left_shift bitwise_not bitwise_or
    bitwise_right_shift bitwise_xor bmm broadcast_to ceil cholesky cholesky_inverse cholesky_solve chunk
    clamp clamp_max clamp_min clip clone conj conj_physical copysign corrcoef cos cosh count_nonzero cov
    cross cummax cummin cumprod cumsum deg2rad det detach diag diag_embed diagflat diagonal
    diagonal_scatter diff digamma dist div divide dot dsplit eq erf erfc erfinv exp exp2 expand
    expand_as expm1 fix flatten flip fliplr flipud float_power floor floor_divide fmax fmin fmod frac
    frexp gather gcd ge geqrf ger greater greater_equal gt hardshrink heaviside histc histogram hsplit
    hypot i0 igamma igammac index_add index_copy index_fill index_put index_reduce index_select inner
    inverse isclose isfinite isinf isnan isneginf isposinf isreal istft kron kthvalue lcm ldexp le lerp
    less less_equal lgamma log log10 log1p log2 log_softmax logaddexp logaddexp2 logcumsumexp logdet
    logical_and logical_not logical_or logical_xor logit logsumexp lt lu_solve masked_fill
    masked_scatter matmul matrix_exp matrix_power max maximum mean median min minimum mm mode moveaxis
    movedim msort mul multinomial multiply mv mvlgamma nan_to_num nanmean nanmedian nanquantile nansum
    narrow ne neg negative new_full new_ones new_zeros nextafter nonzero_static norm not_equal orgqr
    ormqr outer permute pinverse polygamma positive pow prelu prod qr quantile rad2deg ravel reciprocal
    relu remainder renorm repeat repeat_interleave reshape reshape_as resolve_conj resolve_neg roll
    rot90 round rsqrt scatter scatter_add scatter_reduce select select_scatter sgn sigmoid sign signbit
    sin sinc sinh slice_scatter slogdet softmax sort split split_with_sizes sqrt square squeeze std stft
    sub subtract sum sum_to_size svd swapaxes swapdims t take take_along_dim tan tanh tensor_split tile
    to topk trace transpose triangular_solve tril triu true_divide trunc unbind unflatten unfold
    unsqueeze var vdot view view_as vsplit where xlogy"""
)

LINALG = words(
    """cholesky cholesky_ex cond cross det diagonal eig eigh eigvals eigvalsh householder_product inv
    inv_ex ldl_factor ldl_factor_ex ldl_solve lstsq lu_factor lu_factor_ex lu_solve matmul matrix_exp
    matrix_norm matrix_power matrix_rank multi_dot norm pinv qr slogdet solve solve_ex solve_triangular
    svd svdvals tensorinv tensorsolve vander vecdot vector_norm"""
)

FFT = words(
    """fft fft2 fftfreq fftn fftshift hfft hfft2 hfftn ifft ifft2 ifftn ifftshift ihfft ihfft2 ihfftn irfft
    irfft2 irfftn rfft rfft2 rfftfreq rfftn"""
)

SPECIAL = words(
    """airy_ai bessel_j0 bessel_j1 bessel_y0 bessel_y1 chebyshev_polynomial_t chebyshev_polynomial_u
    chebyshev_polynomial_v chebyshev_polynomial_w digamma entr erf erfc erfcx erfinv exp2 expit expm1
    gammainc gammaincc gammaln hermite_polynomial_h hermite_polynomial_he i0 i0e i1 i1e
    laguerre_polynomial_l legendre_polynomial_p log1p log_ndtr log_softmax logit logsumexp
    modified_bessel_i0 modified_bessel_i1 modified_bessel_k0 modified_bessel_k1 multigammaln ndtr ndtri
    polygamma psi round scaled_modified_bessel_k0 scaled_modified_bessel_k1
    shifted_chebyshev_polynomial_t shifted_chebyshev_polynomial_u shifted_chebyshev_polynomial_v
    shifted_chebyshev_polynomial_w sinc softmax spherical_bessel_j0 xlog1py xlogy zeta"""
)

DRAWS = words(
    """torch.alpha_dropout torch.bernoulli torch.dropout torch.feature_alpha_dropout torch.feature_dropout
    torch.multinomial torch.normal torch.rand torch.rand_like torch.randint torch.randint_like torch.randn
    torch.randn_like torch.randperm torch.nn.functional.alpha_dropout torch.nn.functional.dropout
    torch.nn.functional.dropout1d torch.nn.functional.dropout2d torch.nn.functional.dropout3d
    torch.nn.functional.feature_alpha_dropout torch.nn.functional.fractional_max_pool2d
    torch.nn.functional.fractional_max_pool2d_with_indices torch.nn.functional.fractional_max_pool3d
    torch.nn.functional.fractional_max_pool3d_with_indices torch.nn.functional.gumbel_softmax
    torch.nn.functional.multi_head_attention_forward torch.nn.functional.scaled_dot_product_attention
    torch.Tensor.bernoulli torch.Tensor.multinomial"""
)
"""Those that draw from PyTorch's random state, some of them only if asked to."""

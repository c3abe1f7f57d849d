"""The names of JAX's functions that a node may name, for the namespaces that hold others as well.

Written out, so that a function that a later JAX adds is not called by a file before someone has read what it
does. Left out are functions that read or write files or foreign memory (`load`, `frombuffer`, `from_dlpack`),
take functions (`vectorize`, `piecewise`), set how arrays are printed, give no tensor or, as `place`, try to
change their argument, and those of typed keys, which are no tensors that a model could hand on.
"""

from kerasfx.runtime.functions.torch_names import words

NAMES: dict[str, frozenset[str]] = {
    "jax.numpy": words(
        """abs absolute acos acosh add all allclose amax amin angle any append arange arccos arccosh arcsin
        arcsinh arctan arctan2 arctanh argmax argmin argpartition argsort argwhere around array
        array_equal array_equiv array_split asarray asin asinh astype atan atan2 atanh
        atleast_1d atleast_2d atleast_3d average bartlett bincount bitwise_and bitwise_count
        bitwise_invert bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor
        blackman block broadcast_arrays broadcast_to cbrt ceil choose clip column_stack compress
        concat concatenate conj conjugate convolve copy copysign corrcoef correlate cos cosh
        count_nonzero cov cross cumprod cumsum cumulative_prod cumulative_sum deg2rad degrees
        delete diag diag_indices diag_indices_from diagflat diagonal diff digitize divide divmod
        dot dsplit dstack ediff1d einsum empty empty_like equal exp exp2 expand_dims expm1
        extract eye fabs flatnonzero flip fliplr flipud float_power floor floor_divide fmax fmin
        fmod frexp full full_like gcd geomspace gradient greater greater_equal hamming hanning
        heaviside histogram histogram2d histogram_bin_edges histogramdd hsplit hstack hypot i0
        identity imag indices inner insert interp intersect1d invert isclose iscomplex
        iscomplexobj isfinite isin isinf isnan isneginf isposinf isreal isrealobj isscalar ix_
        kaiser kron lcm ldexp left_shift less less_equal lexsort linspace log log10 log1p log2
        logaddexp logaddexp2 logical_and logical_not logical_or logical_xor logspace matmul
        matrix_transpose matvec max maximum mean median meshgrid min minimum mod modf moveaxis
        multiply nan_to_num nanargmax nanargmin nancumprod nancumsum nanmax nanmean nanmedian
        nanmin nanpercentile nanprod nanquantile nanstd nansum nanvar ndim negative nextafter
        nonzero not_equal ones ones_like outer packbits pad partition percentile permute_dims
        poly polyadd polyder polydiv polyfit polyint polymul polysub polyval positive pow power
        prod ptp put_along_axis quantile rad2deg radians ravel ravel_multi_index real reciprocal
        remainder repeat reshape resize result_type right_shift rint roll rollaxis roots rot90
        round searchsorted select setdiff1d setxor1d shape sign signbit sin sinc sinh size sort
        sort_complex spacing split sqrt square squeeze stack std subtract sum swapaxes take
        take_along_axis tan tanh tensordot tile trace transpose trapezoid tri tril tril_indices
        tril_indices_from trim_zeros triu triu_indices triu_indices_from true_divide trunc
        union1d unique unique_all unique_counts unique_inverse unique_values unpackbits
        unravel_index unstack unwrap vander var vdot vecdot vecmat vsplit vstack where zeros
        zeros_like"""
    ),
    "jax.numpy.linalg": words(
        """cholesky cond cross det diagonal eig eigh eigvals eigvalsh inv lstsq matmul matrix_norm
        matrix_power matrix_rank matrix_transpose multi_dot norm outer pinv qr slogdet solve svd
        svdvals tensordot tensorinv tensorsolve trace vecdot vector_norm"""
    ),
    "jax.numpy.fft": words(
        """fft fft2 fftfreq fftn fftshift hfft ifft ifft2 ifftn ifftshift ihfft irfft irfft2 irfftn rfft
        rfft2 rfftfreq rfftn"""
    ),
    "jax.nn": words(
        """celu dot_product_attention elu gelu glu hard_sigmoid hard_silu hard_swish hard_tanh identity
        leaky_relu log1mexp log_sigmoid log_softmax logmeanexp logsumexp mish one_hot relu relu6
        scaled_dot_general scaled_matmul selu sigmoid silu soft_sign softmax softplus
        sparse_plus sparse_sigmoid squareplus standardize swish tanh"""
    ),
    "jax.lax": words(
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
    ),
    "jax.lax.linalg": words(
        """cholesky cholesky_update eig eigh hessenberg householder_product lu lu_pivots_to_permutation
        ormqr qdwh qr schur svd symmetric_product triangular_solve tridiagonal tridiagonal_solve"""
    ),
    "jax.ops": words("""segment_max segment_min segment_prod segment_sum"""),
    "jax.image": words("""resize scale_and_translate"""),
    "jax.random": words(
        """ball bernoulli beta binomial bits categorical cauchy chisquare choice dirichlet
        double_sided_maxwell exponential f fold_in gamma generalized_normal geometric gumbel
        laplace loggamma logistic lognormal maxwell multinomial multivariate_normal normal
        orthogonal pareto permutation poisson rademacher randint rayleigh split t triangular
        truncated_normal uniform wald weibull_min"""
    ),
    "jax.scipy.fft": words("""dct dctn idct idctn"""),
    "jax.scipy.linalg": words(
        """block_diag cho_factor cho_solve cholesky circulant companion convolution_matrix det dft eigh
        eigh_tridiagonal expm expm_frechet fiedler fiedler_companion hadamard hankel helmert
        hessenberg hilbert inv invhilbert invpascal leslie lu lu_factor lu_solve pascal polar qr
        qr_multiply rsf2csf schur solve solve_sylvester solve_triangular sqrtm svd toeplitz"""
    ),
    "jax.scipy.ndimage": words("""map_coordinates"""),
    "jax.scipy.signal": words(
        """convolve convolve2d correlate correlate2d csd detrend fftconvolve istft stft welch"""
    ),
    "jax.scipy.special": words(
        """bernoulli bessel_jn beta betainc betaln boxcox boxcox1p comb dawsn digamma entr erf erfc erfcx
        erfinv exp1 expi expit expn factorial fresnel gamma gammainc gammaincc gammaln gammasgn
        hyp1f1 hyp2f1 i0 i0e i1 i1e kl_div log_ndtr log_softmax loggamma logit logsumexp
        multigammaln ndtr ndtri owens_t poch polygamma rel_entr sici softmax spence sph_harm_y
        wofz xlog1py xlogy zeta"""
    ),
    "jax.scipy.stats": words("""mode rankdata sem"""),
    "jax.scipy.stats.bernoulli": words("""cdf logpmf pmf ppf"""),
    "jax.scipy.stats.beta": words("""cdf logcdf logpdf logsf pdf sf"""),
    "jax.scipy.stats.betabinom": words("""logpmf pmf"""),
    "jax.scipy.stats.binom": words("""logpmf pmf"""),
    "jax.scipy.stats.cauchy": words("""cdf isf logcdf logpdf logsf pdf ppf sf"""),
    "jax.scipy.stats.chi2": words("""cdf logcdf logpdf logsf pdf sf"""),
    "jax.scipy.stats.dirichlet": words("""logpdf pdf"""),
    "jax.scipy.stats.expon": words("""cdf logcdf logpdf logsf pdf ppf sf"""),
    "jax.scipy.stats.gamma": words("""cdf logcdf logpdf logsf pdf sf"""),
    "jax.scipy.stats.gennorm": words("""cdf logpdf pdf"""),
    "jax.scipy.stats.geom": words("""logpmf pmf"""),
    "jax.scipy.stats.gumbel_l": words("""cdf logcdf logpdf logsf pdf ppf sf"""),
    "jax.scipy.stats.gumbel_r": words("""cdf logcdf logpdf logsf pdf ppf sf"""),
    "jax.scipy.stats.laplace": words("""cdf logpdf pdf"""),
    "jax.scipy.stats.logistic": words("""cdf isf logpdf pdf ppf sf"""),
    "jax.scipy.stats.multinomial": words("""logpmf pmf"""),
    "jax.scipy.stats.multivariate_normal": words("""logpdf pdf"""),
    "jax.scipy.stats.nbinom": words("""logpmf pmf"""),
    "jax.scipy.stats.norm": words("""cdf isf logcdf logpdf logsf pdf ppf sf"""),
    "jax.scipy.stats.pareto": words("""cdf logcdf logpdf logsf pdf ppf sf"""),
    "jax.scipy.stats.poisson": words("""cdf entropy logpmf pmf"""),
    "jax.scipy.stats.t": words("""logpdf pdf"""),
    "jax.scipy.stats.truncnorm": words("""cdf logcdf logpdf logsf pdf sf"""),
    "jax.scipy.stats.uniform": words("""cdf logpdf pdf ppf"""),
    "jax.scipy.stats.vonmises": words("""logpdf pdf"""),
    "jax.scipy.stats.wrapcauchy": words("""logpdf pdf"""),
}

"""The names of TensorFlow's functions that a node may name, for the namespaces that hold others as well.

Written out, so that a function that a later TensorFlow adds is not called by a file before someone has read
what it does. Left out are functions that change a global state (`set_seed`), read a file
(`fixed_unigram_candidate_sampler`) or take functions (`dynamic_rnn`).
"""

from kerasfx.runtime.functions.torch_names import words

FUNCTIONS = words(
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

V1_FUNCTIONS = (FUNCTIONS - words("eig eigvals")) | words(
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


RAW_OPS = words(
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

NAMES: dict[str, frozenset[str]] = {
    "tf": FUNCTIONS,
    "tf.math": words(
        """abs accumulate_n acos acosh add add_n angle approx_max_k approx_min_k argmax argmin asin asinh
        atan atan2 atanh bessel_i0 bessel_i0e bessel_i1 bessel_i1e betainc bincount ceil
        confusion_matrix conj cos cosh count_nonzero cumprod cumsum cumulative_logsumexp digamma
        divide divide_no_nan equal erf erfc erfcinv erfinv exp expm1 floor floordiv floormod
        greater greater_equal igamma igammac imag in_top_k invert_permutation is_finite is_inf
        is_nan is_non_decreasing is_strictly_increasing l2_normalize lbeta less less_equal
        lgamma log log1p log_sigmoid log_softmax logical_and logical_not logical_or logical_xor
        maximum minimum mod multiply multiply_no_nan ndtri negative nextafter not_equal
        polygamma polyval pow real reciprocal reciprocal_no_nan reduce_all reduce_any
        reduce_euclidean_norm reduce_logsumexp reduce_max reduce_mean reduce_min reduce_prod
        reduce_std reduce_sum reduce_variance rint round rsqrt scalar_mul segment_max
        segment_mean segment_min segment_prod segment_sum sigmoid sign sin sinh sobol_sample
        softmax softplus softsign sqrt square squared_difference subtract tan tanh top_k truediv
        unsorted_segment_max unsorted_segment_mean unsorted_segment_min unsorted_segment_prod
        unsorted_segment_sqrt_n unsorted_segment_sum xdivy xlog1py xlogy zero_fraction zeta"""
    ),
    "tf.nn": words(
        """all_candidate_sampler approx_max_k approx_min_k atrous_conv2d atrous_conv2d_transpose avg_pool
        avg_pool1d avg_pool2d avg_pool3d batch_norm_with_global_normalization
        batch_normalization bias_add collapse_repeated compute_accidental_hits
        compute_average_loss conv1d conv1d_transpose conv2d conv2d_transpose conv3d
        conv3d_transpose conv_transpose convolution crelu ctc_beam_search_decoder
        ctc_greedy_decoder ctc_loss ctc_unique_labels depth_to_space depthwise_conv2d
        depthwise_conv2d_backprop_filter depthwise_conv2d_backprop_input dilation2d dropout elu
        embedding_lookup embedding_lookup_sparse erosion2d fractional_avg_pool
        fractional_max_pool gelu in_top_k isotonic_regression l2_loss l2_normalize leaky_relu
        learned_unigram_candidate_sampler local_response_normalization log_poisson_loss
        log_softmax lrn max_pool max_pool1d max_pool2d max_pool3d max_pool_with_argmax moments
        nce_loss normalize_moments pool relu relu6 safe_embedding_lookup_sparse
        sampled_softmax_loss scale_regularization_loss selu separable_conv2d sigmoid
        sigmoid_cross_entropy_with_logits silu softmax softmax_cross_entropy_with_logits
        softplus softsign space_to_batch space_to_depth sparse_softmax_cross_entropy_with_logits
        sufficient_statistics swish tanh top_k weighted_cross_entropy_with_logits
        weighted_moments zero_fraction"""
    ),
    "tf.linalg": words(
        """adjoint band_part banded_triangular_solve cholesky cholesky_solve cross det diag diag_part eig
        eigh eigh_tridiagonal eigvals eigvalsh einsum expm eye global_norm inv l2_normalize
        logdet logm lstsq lu lu_matrix_inverse lu_reconstruct lu_solve matmul matrix_rank
        matrix_transpose matvec norm normalize pinv qr set_diag slogdet solve sqrtm svd
        tensor_diag tensor_diag_part tensordot trace triangular_solve tridiagonal_matmul
        tridiagonal_solve"""
    ),
    "tf.image": words(
        """adjust_brightness adjust_contrast adjust_gamma adjust_hue adjust_jpeg_quality adjust_saturation
        central_crop combined_non_max_suppression convert_image_dtype crop_and_resize
        crop_to_bounding_box decode_and_crop_jpeg decode_bmp decode_gif decode_image decode_jpeg
        decode_jxl decode_png decode_webp draw_bounding_boxes encode_jpeg encode_png
        extract_glimpse extract_jpeg_shape extract_patches flip_left_right flip_up_down
        generate_bounding_box_proposals grayscale_to_rgb hsv_to_rgb image_gradients is_jpeg
        non_max_suppression non_max_suppression_overlaps non_max_suppression_padded
        non_max_suppression_with_scores pad_to_bounding_box per_image_standardization psnr
        random_brightness random_contrast random_crop random_flip_left_right random_flip_up_down
        random_hue random_jpeg_quality random_saturation resize resize_with_crop_or_pad
        resize_with_pad rgb_to_grayscale rgb_to_hsv rgb_to_yiq rgb_to_yuv rot90
        sample_distorted_bounding_box sobel_edges ssim ssim_multiscale
        stateless_random_brightness stateless_random_contrast stateless_random_crop
        stateless_random_flip_left_right stateless_random_flip_up_down stateless_random_hue
        stateless_random_jpeg_quality stateless_random_saturation
        stateless_sample_distorted_bounding_box total_variation transpose yiq_to_rgb yuv_to_rgb"""
    ),
    "tf.signal": words(
        """dct fft fft2d fft3d fftnd fftshift frame hamming_window hann_window idct ifft ifft2d ifft3d
        ifftnd ifftshift inverse_mdct inverse_stft inverse_stft_window_fn irfft irfft2d irfft3d
        irfftnd kaiser_bessel_derived_window kaiser_window linear_to_mel_weight_matrix mdct
        mfccs_from_log_mel_spectrograms overlap_and_add rfft rfft2d rfft3d rfftnd stft
        vorbis_window"""
    ),
    "tf.bitwise": words("""bitwise_and bitwise_or bitwise_xor invert left_shift right_shift"""),
    "tf.strings": words(
        """as_string bytes_split format join length lower ngrams reduce_join regex_full_match regex_replace
        split strip substr to_hash_bucket to_hash_bucket_fast to_hash_bucket_strong to_number
        unicode_decode unicode_decode_with_offsets unicode_encode unicode_script unicode_split
        unicode_split_with_offsets unicode_transcode unsorted_segment_join upper"""
    ),
    "tf.sets": words("""difference intersection size union"""),
    "tf.random": words(
        """all_candidate_sampler categorical fold_in gamma learned_unigram_candidate_sampler
        log_uniform_candidate_sampler normal poisson shuffle split stateless_binomial
        stateless_categorical stateless_gamma stateless_normal
        stateless_parameterized_truncated_normal stateless_poisson stateless_truncated_normal
        stateless_uniform truncated_normal uniform uniform_candidate_sampler"""
    ),
    "tf.quantization": words(
        """dequantize fake_quant_with_min_max_args fake_quant_with_min_max_args_gradient
        fake_quant_with_min_max_vars fake_quant_with_min_max_vars_gradient
        fake_quant_with_min_max_vars_per_channel
        fake_quant_with_min_max_vars_per_channel_gradient quantize quantize_and_dequantize
        quantize_and_dequantize_v2 quantized_concat"""
    ),
    "tf.debugging": words("check_numerics"),
    "tf.raw_ops": RAW_OPS,
    "tf.experimental.numpy": words(
        """abs absolute add all allclose amax amin angle any append arange arccos arccosh arcsin arcsinh
        arctan arctan2 arctanh argmax argmin argsort around array array_equal asanyarray asarray
        ascontiguousarray atleast_1d atleast_2d atleast_3d average bitwise_and bitwise_not
        bitwise_or bitwise_xor broadcast_arrays broadcast_to cbrt ceil clip compress concatenate
        conj conjugate copy cos cosh count_nonzero cross cumprod cumsum deg2rad diag
        diag_indices diagflat diagonal diff divide divmod dot dsplit dstack einsum empty
        empty_like equal exp exp2 expand_dims expm1 eye fabs finfo fix flatten flip fliplr
        flipud float_power floor floor_divide full full_like gcd geomspace greater greater_equal
        heaviside hsplit hstack hypot identity imag inner isclose iscomplex iscomplexobj
        isfinite isinf isnan isneginf isposinf isreal isrealobj isscalar issubdtype ix_ kron lcm
        less less_equal linspace log log10 log1p log2 logaddexp logaddexp2 logical_and
        logical_not logical_or logical_xor logspace matmul max maximum mean meshgrid min minimum
        mod moveaxis multiply nanmean nanprod nansum ndim negative nextafter nonzero not_equal
        ones ones_like outer pad polyval positive power prod promote_types ptp rad2deg ravel
        real reciprocal remainder repeat reshape result_type roll rot90 round select shape sign
        signbit sin sinc sinh size sort split sqrt square squeeze stack std subtract sum
        swapaxes take take_along_axis tan tanh tensordot tile trace transpose tri tril triu
        true_divide vander var vdot vsplit vstack where zeros zeros_like"""
    ),
    "tf.compat.v1": V1_FUNCTIONS,
    "tf.compat.v1.math": words(
        """abs accumulate_n acos acosh add add_n angle approx_max_k approx_min_k argmax argmin asin asinh
        atan atan2 atanh bessel_i0 bessel_i0e bessel_i1 bessel_i1e betainc bincount ceil
        confusion_matrix conj cos cosh count_nonzero cumprod cumsum cumulative_logsumexp digamma
        divide divide_no_nan equal erf erfc erfcinv erfinv exp expm1 floor floordiv floormod
        greater greater_equal igamma igammac imag in_top_k invert_permutation is_finite is_inf
        is_nan is_non_decreasing is_strictly_increasing l2_normalize lbeta less less_equal
        lgamma log log1p log_sigmoid log_softmax logical_and logical_not logical_or logical_xor
        maximum minimum mod multiply multiply_no_nan ndtri negative nextafter not_equal
        polygamma polyval pow real reciprocal reciprocal_no_nan reduce_all reduce_any
        reduce_euclidean_norm reduce_logsumexp reduce_max reduce_mean reduce_min reduce_prod
        reduce_std reduce_sum reduce_variance rint round rsqrt scalar_mul segment_max
        segment_mean segment_min segment_prod segment_sum sigmoid sign sin sinh sobol_sample
        softmax softplus softsign sqrt square squared_difference subtract tan tanh top_k truediv
        unsorted_segment_max unsorted_segment_mean unsorted_segment_min unsorted_segment_prod
        unsorted_segment_sqrt_n unsorted_segment_sum xdivy xlog1py xlogy zero_fraction zeta"""
    ),
    "tf.compat.v1.nn": words(
        """all_candidate_sampler approx_max_k approx_min_k atrous_conv2d atrous_conv2d_transpose avg_pool
        avg_pool1d avg_pool2d avg_pool3d avg_pool_v2 batch_norm_with_global_normalization
        batch_normalization bias_add collapse_repeated compute_accidental_hits
        compute_average_loss conv1d conv1d_transpose conv2d conv2d_backprop_filter
        conv2d_backprop_input conv2d_transpose conv3d conv3d_backprop_filter
        conv3d_backprop_filter_v2 conv3d_transpose conv_transpose convolution crelu
        ctc_beam_search_decoder ctc_beam_search_decoder_v2 ctc_greedy_decoder ctc_loss
        ctc_loss_v2 ctc_unique_labels depth_to_space depthwise_conv2d
        depthwise_conv2d_backprop_filter depthwise_conv2d_backprop_input depthwise_conv2d_native
        depthwise_conv2d_native_backprop_filter depthwise_conv2d_native_backprop_input
        dilation2d dropout elu embedding_lookup embedding_lookup_sparse erosion2d
        fractional_avg_pool fractional_max_pool fused_batch_norm in_top_k l2_loss l2_normalize
        leaky_relu learned_unigram_candidate_sampler local_response_normalization
        log_poisson_loss log_softmax log_uniform_candidate_sampler lrn max_pool max_pool1d
        max_pool2d max_pool3d max_pool_v2 max_pool_with_argmax moments nce_loss
        normalize_moments pool quantized_avg_pool quantized_conv2d quantized_max_pool
        quantized_relu_x relu relu6 relu_layer safe_embedding_lookup_sparse sampled_softmax_loss
        scale_regularization_loss selu separable_conv2d sigmoid
        sigmoid_cross_entropy_with_logits silu softmax softmax_cross_entropy_with_logits
        softmax_cross_entropy_with_logits_v2 softplus softsign space_to_batch space_to_depth
        sparse_softmax_cross_entropy_with_logits sufficient_statistics swish tanh top_k
        uniform_candidate_sampler weighted_cross_entropy_with_logits weighted_moments xw_plus_b
        zero_fraction"""
    ),
    "tf.compat.v1.linalg": words(
        """adjoint band_part cholesky cholesky_solve cross det diag diag_part eigh eigh_tridiagonal
        eigvalsh einsum expm eye global_norm inv l2_normalize logdet logm lstsq lu
        lu_matrix_inverse lu_reconstruct lu_solve matmul matrix_rank matrix_transpose matvec
        norm normalize pinv qr set_diag slogdet solve sqrtm svd tensor_diag tensor_diag_part
        tensordot trace transpose triangular_solve tridiagonal_matmul tridiagonal_solve"""
    ),
    "tf.compat.v1.image": words(
        """adjust_brightness adjust_contrast adjust_gamma adjust_hue adjust_jpeg_quality adjust_saturation
        central_crop combined_non_max_suppression convert_image_dtype crop_and_resize
        crop_to_bounding_box decode_and_crop_jpeg decode_bmp decode_gif decode_image decode_jpeg
        decode_jxl decode_png decode_webp draw_bounding_boxes encode_jpeg encode_png
        extract_glimpse extract_image_patches extract_jpeg_shape extract_patches flip_left_right
        flip_up_down generate_bounding_box_proposals grayscale_to_rgb hsv_to_rgb image_gradients
        is_jpeg non_max_suppression non_max_suppression_overlaps non_max_suppression_padded
        non_max_suppression_with_scores pad_to_bounding_box per_image_standardization psnr
        random_brightness random_contrast random_crop random_flip_left_right random_flip_up_down
        random_hue random_jpeg_quality random_saturation resize resize_area resize_bicubic
        resize_bilinear resize_image_with_crop_or_pad resize_image_with_pad resize_images
        resize_nearest_neighbor resize_with_crop_or_pad rgb_to_grayscale rgb_to_hsv rgb_to_yiq
        rgb_to_yuv rot90 sample_distorted_bounding_box sobel_edges ssim ssim_multiscale
        total_variation transpose transpose_image yiq_to_rgb yuv_to_rgb"""
    ),
    "tf.compat.v1.signal": words(
        """dct fft fft2d fft3d fftnd fftshift frame hamming_window hann_window idct ifft ifft2d ifft3d
        ifftnd ifftshift inverse_mdct inverse_stft inverse_stft_window_fn irfft irfft2d irfft3d
        irfftnd kaiser_bessel_derived_window kaiser_window linear_to_mel_weight_matrix mdct
        mfccs_from_log_mel_spectrograms overlap_and_add rfft rfft2d rfft3d rfftnd stft
        vorbis_window"""
    ),
    "tf.compat.v1.bitwise": words("""bitwise_and bitwise_or bitwise_xor invert left_shift right_shift"""),
    "tf.compat.v1.random": words(
        """all_candidate_sampler categorical fold_in gamma learned_unigram_candidate_sampler
        log_uniform_candidate_sampler multinomial normal poisson shuffle split
        stateless_binomial stateless_categorical stateless_gamma stateless_multinomial
        stateless_normal stateless_parameterized_truncated_normal stateless_poisson
        stateless_truncated_normal stateless_uniform truncated_normal uniform
        uniform_candidate_sampler"""
    ),
}

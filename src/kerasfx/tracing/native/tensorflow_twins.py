"""What functions of TensorFlow are in `keras.ops` (the notation: `twins.read`)."""

from __future__ import annotations

from kerasfx.tracing.native.twins import read

TABLE = read("""
    tf.experimental.numpy.* = *
    tf.abs = absolute x
    tf.acos = arccos x
    tf.acosh = arccosh x
    tf.asin = arcsin x
    tf.asinh = arcsinh x
    tf.atan = arctan x
    tf.atanh = arctanh x
    tf.cos tf.cosh tf.exp tf.floor tf.negative tf.sigmoid tf.sign tf.sin tf.sinh tf.sqrt tf.square = * x
    tf.tan tf.tanh = * x
    tf.math.erf tf.math.expm1 tf.math.log tf.math.log1p tf.math.reciprocal tf.math.rsqrt = * x
    tf.math.ceil tf.math.conj = * x
    tf.math.imag tf.math.real = * input:x
    tf.math.is_finite = isfinite x
    tf.math.is_inf = isinf x
    tf.math.is_nan = isnan x
    tf.add tf.divide tf.equal tf.greater tf.greater_equal tf.less tf.less_equal tf.logical_and = * x:x1 y:x2
    tf.logical_or tf.maximum tf.minimum tf.multiply tf.not_equal tf.subtract = * x:x1 y:x2
    tf.math.logical_xor = * x:x1 y:x2
    tf.logical_not = * x
    tf.pow = power x:x1 y:x2
    tf.truediv tf.realdiv = true_divide x:x1 y:x2
    tf.math.floordiv = floor_divide x:x1 y:x2
    tf.math.floormod = mod x:x1 y:x2
    tf.atan2 = arctan2 y:x1 x:x2
    tf.matmul = matmul a:x1 b:x2
    tf.einsum = einsum equation:subscripts inputs:operands
    tf.tensordot = tensordot a:x1 b:x2 axes
    tf.reduce_all = all input_tensor:x axis keepdims
    tf.reduce_any = any input_tensor:x axis keepdims
    tf.reduce_logsumexp = logsumexp input_tensor:x axis keepdims
    tf.reduce_max = max input_tensor:x axis keepdims
    tf.reduce_mean = mean input_tensor:x axis keepdims
    tf.reduce_min = min input_tensor:x axis keepdims
    tf.reduce_prod = prod input_tensor:x axis keepdims
    tf.reduce_sum = sum input_tensor:x axis keepdims
    tf.math.reduce_std = std input_tensor:x axis keepdims
    tf.math.reduce_variance = var input_tensor:x axis keepdims
    tf.cumsum tf.math.cumprod = * x axis
    tf.argmax tf.argmin = * input:x axis:axis=0 output_type:-
    tf.cast = * x dtype
    tf.clip_by_value = clip t:x clip_value_min:x_min clip_value_max:x_max
    tf.convert_to_tensor = * value:x dtype
    tf.identity = copy input:x
    tf.stop_gradient = * input:variable
    tf.broadcast_to = * input:x shape
    tf.concat = concatenate values:xs axis
    tf.expand_dims tf.squeeze = * input:x axis
    tf.repeat = * input:x repeats axis
    tf.reshape = * tensor:x shape:newshape
    tf.reverse = flip tensor:x axis
    tf.roll = * input:x shift axis
    tf.stack = * values:x axis
    tf.tile = * input:x multiples:repeats
    tf.transpose = * a:x perm:axes
    tf.unstack = * value:x num axis
    tf.where = * condition x:x1 y:x2
    tf.gather = take params:x indices axis:axis=0
    tf.one_hot = * indices:x depth:num_classes axis:axis=-1 dtype
    tf.eye = * num_rows:N num_columns:M dtype
    tf.fill = full dims:shape value:fill_value
    tf.linspace = * start stop num axis
    tf.ones tf.zeros = * shape dtype
    tf.ones_like tf.zeros_like = * input:x dtype
    tf.range = arange start limit:stop delta:step dtype
    tf.linalg.cholesky tf.linalg.det tf.linalg.inv = * input:x
    tf.linalg.trace = * x
    tf.nn.elu tf.nn.relu tf.nn.selu tf.nn.softsign = * features:x
    tf.nn.relu6 tf.nn.softplus = * features:x
    tf.nn.gelu = * features:x approximate
    tf.nn.leaky_relu tf.compat.v1.nn.leaky_relu = * features:x alpha:negative_slope
    tf.nn.log_softmax tf.nn.softmax = * logits:x axis:axis=-1
    tf.nn.moments = * x axes keepdims
    tf.nn.silu = silu features:x
    tf.math.top_k = * input:x k sorted
    tf.nn.embedding_lookup = take params:x ids:indices +axis=0
""")

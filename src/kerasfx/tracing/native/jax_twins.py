"""What functions of JAX are in `keras.ops` (the notation: `twins.read`)."""

from __future__ import annotations

from kerasfx.tracing.native.twins import read

TABLE = read("""
    jax.numpy.* jax.nn.* = *
    jax.numpy.take jax.numpy.take_along_axis = -     # an index outside gives NaN on JAX
    jax.numpy.histogram = -                          # keras.ops.histogram takes one axis
    jax.numpy.identity jax.nn.identity = -           # keras.ops.identity makes a matrix
    jax.numpy.abs = absolute x
    jax.numpy.acos = arccos x
    jax.numpy.acosh = arccosh x
    jax.numpy.amax = max a:x axis keepdims
    jax.numpy.amin = min a:x axis keepdims
    jax.numpy.asin = arcsin x
    jax.numpy.asinh = arcsinh x
    jax.numpy.atan = arctan x
    jax.numpy.atanh = arctanh x
    jax.numpy.clip = clip arr:x min:x_min max:x_max
    jax.numpy.concat = concatenate arrays:xs axis
    jax.numpy.empty = zeros shape dtype
    jax.numpy.empty_like = zeros_like prototype:x dtype
    jax.numpy.permute_dims = transpose a:x axes
    jax.numpy.pow = power x1 x2
    jax.numpy.round jax.numpy.around = round a:x decimals
    jax.lax.stop_gradient = * x:variable
    jax.lax.rsqrt jax.lax.erf = * x
    jax.lax.top_k = * operand:x k
""")

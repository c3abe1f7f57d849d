"""Raw TensorFlow in `call`, as models for tf.keras are written. Only run on that backend."""

import functools

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from tensorflow import math as tfm
from tensorflow.nn import relu as imported_relu

from zoo.case import VOCABULARY, Case, around_one, case, floats, integers, positives, tokens


def shape_list(x):
    """Sizes of `x`, the static ones as Python numbers, as in the TensorFlow models of transformers."""
    static = x.shape.as_list()
    dynamic = tf.shape(x)
    return [dynamic[i] if s is None else s for i, s in enumerate(static)]


def free(call, example, *fixed):
    """A Functional model around a layer, whose every axis is free but the last and those of `fixed`."""

    def symbolic(array):
        kept = {array.ndim - 1, *fixed}
        shape = [n if k in kept else None for k, n in enumerate(array.shape)][1:]
        return keras.Input(shape, dtype=array.dtype.name)

    inputs = keras.tree.map_structure(symbolic, example)
    return keras.Model(inputs, call(inputs))


def free_case(layer, example, *fixed, **options):
    """A case of a layer in a Functional model with free sizes."""
    return Case(free(layer, example, *fixed), example, needs_input=False, **options)


# --- Shapes and sizes ----------------------------------------------------------------------


@case
def tf_token_and_position_embedding():
    """`tf.range` up to `tf.shape(x)[-1]`, embedded and added: the first example of AIMET."""

    class TokenAndPositionEmbedding(layers.Layer):
        def __init__(self, maxlen, vocab_size, embed_dim, **kwargs):
            super().__init__(**kwargs)
            self.token_emb = layers.Embedding(input_dim=vocab_size, output_dim=embed_dim)
            self.pos_emb = layers.Embedding(input_dim=maxlen, output_dim=embed_dim)

        def call(self, x, **kwargs):
            maxlen = tf.shape(x)[-1]
            positions = tf.range(start=0, limit=maxlen, delta=1)
            positions = self.pos_emb(positions)
            x = self.token_emb(x)
            return x + positions

    inputs = keras.Input((None,), dtype="int32")
    model = keras.Model(inputs, TokenAndPositionEmbedding(512, VOCABULARY, 4)(inputs))
    return Case(model, tokens(3, 7), needs_input=False)


@case
def tf_shape_list_and_split_heads():
    """`shape_list(x)`: static sizes where known, `tf.shape` elsewhere; heads are split by it."""

    class SplitHeads(layers.Layer):
        def call(self, x):
            b, t, h = shape_list(x)
            x = tf.reshape(x, (b, t, 2, h // 2))
            x = tf.transpose(x, perm=[0, 2, 1, 3])
            return tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [b, -1, h]) * x.shape[1]

    return free_case(SplitHeads(), floats(3, 5, 8))


@case
def tf_reshape_with_minus_one():
    """`tf.reshape(x, [-1, tf.shape(x)[1], h])`, with sizes of another axis, and `[-1]`."""

    class Reshapes(layers.Layer):
        def call(self, x):
            y = tf.reshape(x, [-1, tf.shape(x)[1], 2, 4])
            z = tf.reshape(y, tf.stack([tf.shape(x)[0], tf.shape(x)[1] * 2, 4]))
            return tf.reshape(z, tf.shape(x)), tf.reshape(x, [-1])

    return free_case(Reshapes(), floats(3, 5, 8))


@case
def tf_shape_concat_and_slices():
    """`tf.concat([tf.shape(x)[:-1], [2, 4]], axis=0)` as a shape."""

    class Fold(layers.Layer):
        def call(self, x):
            shape = tf.shape(x)
            y = tf.reshape(x, tf.concat([shape[:-1], [2, 4]], axis=0))
            batch, length = tf.unstack(shape)[:2]
            return tf.reshape(y, tf.concat([[batch * length], shape[-1:]], 0))

    return free_case(Fold(), floats(3, 5, 8))


@case
def tf_static_shape_methods():
    """`x.shape.rank`, `x.get_shape()`, `as_list()`, `x.shape[1:].as_list()`, `len(x.shape)`."""

    class Static(layers.Layer):
        def call(self, x):
            last = x.get_shape().as_list()[-1]
            assert x.shape.rank == len(x.shape) == x.get_shape().ndims == x.shape.ndims == 3
            assert isinstance(x.shape[1:].as_list(), list)
            assert x.shape[-1:].num_elements() == last
            perm = [*range(1, x.shape.rank), 0]
            return tf.transpose(x, perm) / tf.cast(last, x.dtype)

    return free_case(Static(), floats(3, 5, 8))


@case
def tf_size_and_rank():
    """`tf.size(x)`, `tf.rank(x)` and a mean by hand."""

    class Mean(layers.Layer):
        def call(self, x):
            n = tf.cast(tf.size(x), tf.float32)
            return x - tf.reduce_sum(x) / n + tf.cast(tf.rank(x), x.dtype)

    return free_case(Mean(), floats(3, 5, 8))


@case
def tf_tensor_shape_objects():
    """`tf.TensorShape`, `set_shape` and `tf.ensure_shape` tell static sizes."""

    class Shaped(layers.Layer):
        def call(self, x):
            y = tf.ensure_shape(x * 2.0, [None, None, 8])
            y.set_shape([None, None, 8])
            assert y.shape[-1:] == tf.TensorShape([8])
            return tf.ensure_shape(y + 1.0, tf.TensorShape([None, None, 8]))

    return free_case(Shaped(), floats(3, 5, 8))


@case
def tf_tile_to_the_batch():
    """A weight is tiled to the batch by `tf.tile(w, [tf.shape(x)[0], 1, 1])` and put before the sequence."""

    class ClassToken(layers.Layer):
        def build(self, input_shape):
            self.token = self.add_weight(shape=(1, 1, input_shape[-1]), initializer="random_normal")

        def call(self, x):
            batch_size = tf.shape(x)[0]
            token = tf.tile(self.token, [batch_size, 1, 1])
            other = tf.broadcast_to(self.token, [batch_size, 1, x.shape[-1]])
            return tf.concat([tf.cast(token, x.dtype), x, other], axis=1)

    return free_case(ClassToken(), floats(3, 5, 8))


@case
def tf_fill_zeros_ones_of_dynamic_size():
    """`tf.zeros`, `tf.ones`, `tf.fill` and `tf.eye` of sizes that are free."""

    class Fills(layers.Layer):
        def call(self, x):
            b, t = tf.shape(x)[0], tf.shape(x)[1]
            pad = tf.zeros((b, 1, x.shape[-1]), dtype=x.dtype)
            y = tf.concat([pad, x, tf.ones([b, 1, 8])], axis=1)
            return y, x + tf.fill([t, 8], 0.5) + tf.matmul(tf.eye(t), x), tf.zeros_like(x) + tf.ones_like(x)

    return free_case(Fills(), floats(3, 5, 8))


@case
def tf_sizes_in_arithmetic():
    """Sizes are added, divided and compared by functions of `tf`, and scale a tensor."""

    class Arithmetic(layers.Layer):
        def call(self, x):
            t = tf.shape(x)[1]
            half = tf.maximum(t // 2, 1)
            scale = tf.math.rsqrt(tf.cast(t, tf.float32)) + tf.sqrt(float(x.shape[-1]))
            return x[:, :half] * scale, x[:, tf.subtract(t, 1)], tf.math.reduce_prod(tf.shape(x)[1:]) + 1

    return free_case(Arithmetic(), floats(3, 6, 8))


@case
def tf_size_as_a_result():
    """Sizes become tensors: they are cast, stacked and divided with a tensor."""

    class Sizes(layers.Layer):
        def call(self, x):
            n = tf.cast(tf.shape(x), "float32")
            per_row = tf.reduce_sum(x, axis=[1, 2]) / n[1]
            return per_row, x / tf.cast(tf.shape(x)[1], x.dtype), x * tf.constant(2.0) ** 2

    return free_case(Sizes(), floats(3, 5, 8))


# --- Attention and masks -------------------------------------------------------------------


@case
def tf_attention_mask_by_a_large_number():
    """`tf.cast((1.0 - mask) * -1e9, x.dtype)` with new axes, as in BERT."""

    class Attend(layers.Layer):
        def __init__(self):
            super().__init__()
            self.query, self.key, self.value = (layers.Dense(8) for _ in range(3))

        def call(self, inputs):
            x, mask = inputs
            q, k, v = self.query(x), self.key(x), self.value(x)
            scores = tf.matmul(q, k, transpose_b=True)
            scores = scores / tf.math.sqrt(tf.cast(shape_list(k)[-1], tf.float32))
            mask = tf.cast(mask[:, tf.newaxis, :], x.dtype)
            scores += tf.cast((1.0 - mask) * -1e9, x.dtype)
            return tf.matmul(tf.nn.softmax(scores, axis=-1), v)

    return Case(
        keras.Model(
            inputs := [keras.Input((None, 8)), keras.Input((None,), dtype="int32")], Attend()(inputs)
        ),
        [floats(3, 5, 8), np.array([[1, 1, 1, 1, 0], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]], "int32")],
        needs_input=False,
        inert=("dense_1/bias", "key/bias"),
    )


@case
def tf_causal_mask_by_band_part():
    """`tf.linalg.band_part(tf.ones((n, n)), -1, 0)` for a free length."""

    class Causal(layers.Layer):
        def call(self, x):
            n = tf.shape(x)[1]
            mask = tf.linalg.band_part(tf.ones((n, n)), -1, 0)
            scores = tf.einsum("bth,bsh->bts", x, x)
            scores = tf.where(tf.cast(mask, tf.bool), scores, scores.dtype.min)
            return tf.einsum("bts,bsh->bth", tf.nn.softmax(scores), x)

    return free_case(Causal(), floats(3, 5, 8))


@case
def tf_causal_mask_by_range():
    """The causal mask of keras-io: `tf.range(n)[:, None] >= tf.range(n) - n + n`, tiled to the batch."""

    class Causal(layers.Layer):
        def causal_attention_mask(self, batch_size, n_dest, n_src, dtype):
            i = tf.range(n_dest)[:, None]
            j = tf.range(n_src)
            m = i >= j - n_src + n_dest
            mask = tf.reshape(tf.cast(m, dtype), [1, n_dest, n_src])
            mult = tf.concat([tf.expand_dims(batch_size, -1), tf.constant([1, 1], dtype=tf.int32)], 0)
            return tf.tile(mask, mult)

        def call(self, x):
            input_shape = tf.shape(x)
            mask = self.causal_attention_mask(input_shape[0], input_shape[1], input_shape[1], tf.float32)
            return tf.matmul(mask, x)

    return free_case(Causal(), floats(3, 5, 8))


@case
def tf_sequence_mask():
    """`tf.sequence_mask(lengths, maxlen)` with a free maximal length, as a weight of a mean."""

    class MaskedMean(layers.Layer):
        def call(self, inputs):
            x, lengths = inputs
            mask = tf.sequence_mask(lengths[:, 0], maxlen=tf.shape(x)[1], dtype=x.dtype)[:, :, None]
            return tf.reduce_sum(x * mask, axis=1) / tf.reduce_sum(mask, axis=1)

    x = [keras.Input((None, 4)), keras.Input((1,), dtype="int32")]
    example = [floats(3, 5, 4), integers(3, 1, below=3) + 1]
    return Case(keras.Model(x, MaskedMean()(x)), example, needs_input=False)


@case
def tf_relative_position_bias():
    """T5: clipped relative positions are bucketed by logarithms and embedded."""

    class RelativeBias(layers.Layer):
        def __init__(self):
            super().__init__()
            self.embed = layers.Embedding(8, 2)

        def call(self, x):
            n = shape_list(x)[1]
            distance = tf.abs(tf.range(n)[None, :] - tf.range(n)[:, None])
            is_small = tf.math.less(distance, 4)
            large = 4 + tf.cast(tf.math.log(tf.cast(distance, tf.float32) / 4 + 1e-6) * 2.0, tf.int32)
            bucket = tf.where(is_small, distance, tf.minimum(large, 7))
            bias = tf.expand_dims(tf.transpose(self.embed(bucket), [2, 0, 1]), axis=0)
            return tf.einsum("bhts,bsd->btdh", bias + tf.zeros([tf.shape(x)[0], 1, 1, 1]), x)

    return free_case(RelativeBias(), floats(3, 6, 4))


@case
def tf_sinusoidal_positions():
    """Angles from `tf.range` of a free length, `tf.pow`, `tf.sin` and `tf.cos`, interleaved."""

    class Positions(layers.Layer):
        def call(self, x):
            length, width = tf.shape(x)[1], x.shape[-1]
            position = tf.cast(tf.range(length), tf.float32)[:, tf.newaxis]
            i = tf.range(0, width, 2, dtype=tf.float32)
            angle = position / tf.pow(10000.0, i / width)
            encoding = tf.stack([tf.sin(angle), tf.cos(angle)], axis=-1)
            return x + tf.reshape(encoding, [1, length, width])

    return free_case(Positions(), floats(3, 5, 8))


@case
def tf_rotary_embedding():
    """Rotary embedding: even and odd channels by strided slices, stacked again."""

    class Rotary(layers.Layer):
        def call(self, x):
            t = tf.shape(x)[1]
            frequency = 1.0 / (10000.0 ** (tf.range(0, 8, 2, dtype=tf.float32) / 8))
            angle = tf.einsum("i,j->ij", tf.range(t, dtype=tf.float32), frequency)
            sin, cos = tf.sin(angle)[None], tf.cos(angle)[None]
            even, odd = x[..., ::2], x[..., 1::2]
            turned = tf.stack([even * cos - odd * sin, even * sin + odd * cos], axis=-1)
            return tf.reshape(turned, tf.shape(x))

    return free_case(Rotary(), floats(3, 5, 8))


# --- Gather, scatter, indices --------------------------------------------------------------


@case
def tf_gather_with_batch_dims():
    """`tf.gather(x, indices, batch_dims=1)`, along an axis, and of a weight."""

    class Gathers(layers.Layer):
        def build(self, shapes):
            self.table = self.add_weight(shape=(5, 4), initializer="random_normal")

        def call(self, inputs):
            x, i = inputs
            return tf.gather(x, i, batch_dims=1), tf.gather(x, [2, 0], axis=-1), tf.gather(self.table, i)

    x = [keras.Input((None, 4)), keras.Input((2,), dtype="int32")]
    example = [floats(3, 5, 4), integers(3, 2, below=5)]
    return Case(keras.Model(x, Gathers()(x)), example, needs_input=False)


@case
def tf_gather_nd():
    """`tf.gather_nd` of pairs of row and column, the rows made by `tf.range`."""

    class LastToken(layers.Layer):
        def call(self, inputs):
            x, last = inputs
            rows = tf.range(tf.shape(x)[0])
            return tf.gather_nd(x, tf.stack([rows, last[:, 0]], axis=1))

    x = [keras.Input((None, 4)), keras.Input((1,), dtype="int32")]
    example = [floats(3, 5, 4), integers(3, 1, below=5)]
    return Case(keras.Model(x, LastToken()(x)), example, needs_input=False)


@case
def tf_scatter():
    """`tf.scatter_nd` and `tf.tensor_scatter_nd_update`/`_add`."""

    class Scatters(layers.Layer):
        def call(self, x):
            t = tf.shape(x)[1]
            y = tf.transpose(x, [1, 0, 2])
            onto = tf.scatter_nd([[0], [2]], y[:2], tf.shape(y))
            changed = tf.tensor_scatter_nd_update(y, [[1]], y[:1] * 2.0)
            added = tf.tensor_scatter_nd_add(y, tf.reshape(t - 1, [1, 1]), y[:1])
            return onto, changed, added

    return free_case(Scatters(), floats(3, 5, 4))


@case
def tf_one_hot_and_argmax():
    """Hard assignment: `tf.one_hot(tf.argmax(x, axis=-1), depth)`, with other values and axis."""

    class Hard(layers.Layer):
        def call(self, x):
            i = tf.argmax(x, axis=-1, output_type=tf.int32)
            soft = tf.one_hot(i, 8, on_value=0.9, off_value=0.1 / 7, dtype=tf.float32)
            return tf.one_hot(tf.argmax(x, -1), depth=8), soft, tf.one_hot(i, 8, axis=1), tf.argmin(x)

    return free_case(Hard(), floats(3, 5, 8))


@case
def tf_top_k_and_sort():
    """`tf.math.top_k` as a tuple and by its fields, `tf.sort`, `tf.argsort`, `tf.nn.in_top_k`."""

    class Best(layers.Layer):
        def call(self, x):
            values, indices = tf.math.top_k(x, k=3)
            best = tf.nn.top_k(x, 2, sorted=True)
            ranks = tf.argsort(x, axis=-1, direction="DESCENDING")
            return values, indices, best.values, best.indices, tf.sort(x, axis=1), ranks

    return free_case(Best(), floats(3, 5, 8))


@case
def tf_boolean_mask():
    """`tf.boolean_mask` and `tf.where` with one argument give sizes that depend on the data."""

    class Selected(layers.Layer):
        def call(self, x):
            mask = tf.reduce_sum(x, axis=-1) > 0.0
            positive = tf.boolean_mask(x, mask)
            where = tf.where(mask)
            return tf.reduce_mean(positive, axis=0), tf.reduce_sum(where), tf.gather_nd(x, where)

    return free_case(Selected(), floats(3, 5, 4))


@case
def tf_where_with_three_arguments():
    """`tf.where(condition, x, y)`, with numbers and broadcasting, and safe division."""

    class Choose(layers.Layer):
        def call(self, x):
            safe = tf.where(tf.abs(x) < 0.1, tf.ones_like(x), x)
            return tf.where(x > 0, x, 0.0), tf.where(x > 0, 1, 0), tf.math.divide_no_nan(1.0, safe)

    return free_case(Choose(), floats(3, 5, 4))


@case
def tf_segment_functions():
    """`tf.math.segment_sum` and `tf.math.unsorted_segment_mean`, a message passing of a graph network."""

    class Message(layers.Layer):
        def call(self, inputs):
            x, ids = inputs
            flat = tf.reshape(x, [-1, 4])
            target = tf.reshape(ids, [-1]) % 6
            summed = tf.math.unsorted_segment_mean(flat, target, num_segments=6)
            return summed, tf.math.segment_sum(flat[:4], tf.constant([0, 0, 1, 2]))

    x = [keras.Input((None, 4)), keras.Input((None,), dtype="int32")]
    example = [floats(3, 5, 4), integers(3, 5, below=6)]
    return Case(keras.Model(x, Message()(x)), example, needs_input=False)


@case
def tf_meshgrid():
    """`tf.meshgrid` of two ranges, a coordinate channel of a free size."""

    class Coordinates(layers.Layer):
        def call(self, x):
            _, h, w, _ = tf.unstack(tf.shape(x))
            ys, xs = tf.meshgrid(tf.linspace(0.0, 1.0, h), tf.linspace(0.0, 1.0, w), indexing="ij")
            grid = tf.stack([ys, xs], -1)[None]
            return tf.concat([x, tf.tile(grid, [tf.shape(x)[0], 1, 1, 1])], -1)

    return free_case(Coordinates(), floats(3, 5, 6, 2))


@case
def tf_stack_and_unstack():
    """`tf.unstack`, `tf.stack`, `tf.split` by number and by sizes, iteration over the results."""

    class Parts(layers.Layer):
        def call(self, x):
            a, *_, d = tf.unstack(x, axis=-1)
            left, right = tf.split(x, 2, axis=-1)
            small, large = tf.split(x, [1, -1], axis=2)
            both = tf.split(x, num_or_size_splits=[1, 3], axis=2)
            return tf.stack([a, d], axis=1), left * right, tf.add_n([left, right]), small + large, both

    return free_case(Parts(), floats(3, 5, 4))


@case
def tf_slices_and_strides():
    """`tf.slice`, `tf.strided_slice`, `tf.roll`, `tf.reverse` and slices by sizes."""

    class Slices(layers.Layer):
        def call(self, x):
            t = tf.shape(x)[1]
            first = tf.slice(x, [0, 0, 0], [-1, 2, 3])
            strided = tf.strided_slice(x, [0, 1, 0], [2, 4, 4], [1, 2, 1])
            return first, strided, tf.roll(x, shift=1, axis=1), tf.reverse(x, [1]), x[:, 1 : t - 1, ::-1]

    return free_case(Slices(), floats(3, 6, 4))


@case
def tf_pad():
    """`tf.pad` with lists, a tensor of paddings, reflection and a free amount."""

    class Pads(layers.Layer):
        def call(self, x):
            t = tf.shape(x)[1]
            causal = tf.pad(x, [[0, 0], [2, 0], [0, 0]])
            mirrored = tf.pad(x, tf.constant([[0, 0], [1, 1], [0, 0]]), mode="REFLECT")
            return causal, mirrored, tf.pad(x, [[0, 0], [0, t % 4], [0, 0]], constant_values=-1.0)

    return free_case(Pads(), floats(3, 6, 4))


@case
def tf_space_and_depth():
    """`tf.nn.depth_to_space`, `tf.nn.space_to_depth` and window partition as in Swin."""

    class Windows(layers.Layer):
        def call(self, x):
            _, height, width, channels = x.get_shape().as_list()
            windows = tf.reshape(x, shape=(-1, height // 2, 2, width // 2, 2, channels))
            windows = tf.transpose(windows, (0, 1, 3, 2, 4, 5))
            windows = tf.reshape(windows, shape=(-1, 2, 2, channels))
            return windows, tf.nn.depth_to_space(x, 2), tf.nn.space_to_depth(x, block_size=2)

    return free_case(Windows(), floats(3, 4, 6, 4), 1, 2)


# --- Linear algebra, reductions, arithmetic ------------------------------------------------


@case
def tf_matmul_and_operators():
    """`tf.matmul` with its options, `@`, `tf.linalg.matmul`, `tf.tensordot`, `tf.linalg.matvec`."""

    class Products(layers.Layer):
        def build(self, shape):
            self.kernel = self.add_weight(shape=(4, 4), initializer="random_normal")

        def call(self, x):
            a = tf.matmul(x, self.kernel, transpose_b=True)
            b = tf.tensordot(x, self.kernel, axes=1)
            c = tf.tensordot(x, self.kernel, axes=[[2], [1]])
            d = tf.linalg.matmul(x, x, adjoint_a=True)
            return a + b + c + x @ self.kernel, d, tf.linalg.matvec(self.kernel, x)

    return free_case(Products(), floats(3, 5, 4))


@case
def tf_reductions():
    """Every reduction, with axes positive, negative, in lists and absent, with and without `keepdims`."""

    class Reductions(layers.Layer):
        def call(self, x):
            return [
                tf.reduce_mean(x, axis=-1, keepdims=True),
                tf.reduce_sum(x, [1, 2]),
                tf.reduce_max(x, axis=1),
                tf.reduce_min(x, axis=[-1]),
                tf.reduce_prod(x, -1),
                tf.reduce_any(x > 1, axis=1),
                tf.reduce_all(x > -9, axis=None),
                tf.reduce_logsumexp(x, axis=-1),
                tf.math.reduce_std(x, axis=1),
                tf.math.reduce_variance(x, axis=-1, keepdims=True),
                tf.math.reduce_euclidean_norm(x, axis=-1),
                tf.math.count_nonzero(x, axis=1),
            ]

    return free_case(Reductions(), floats(3, 5, 4))


@case
def tf_norms_and_clipping():
    """`tf.norm`, `tf.math.l2_normalize`, `tf.clip_by_norm`, `tf.clip_by_value`, `tf.linalg.normalize`."""

    class Norms(layers.Layer):
        def call(self, x):
            unit, length = tf.linalg.normalize(x, axis=-1)
            squash = tf.square(length) / (1.0 + tf.square(length))
            return [
                tf.norm(x, axis=-1),
                tf.norm(x, ord=1, axis=[1, 2], keepdims=True),
                tf.nn.l2_normalize(x, -1),
                tf.math.l2_normalize(x, axis=1),
                tf.clip_by_norm(x, 1.0),
                tf.clip_by_value(x, -1.0, 1.0),
                tf.clip_by_global_norm([x, unit], 2.0)[0],
                squash * unit,
            ]

    return free_case(Norms(), floats(3, 5, 4))


@case
def tf_cumulative():
    """`tf.cumsum` with its options, `tf.math.cumprod`, `tf.math.cumulative_logsumexp`."""

    class Cumulative(layers.Layer):
        def call(self, x):
            return [
                tf.cumsum(x, axis=1),
                tf.cumsum(x, 1, exclusive=True),
                tf.math.cumsum(x, axis=-1, reverse=True),
                tf.math.cumprod(x, axis=1),
                tf.math.cumulative_logsumexp(x, axis=1),
            ]

    return free_case(Cumulative(), floats(3, 5, 4))


@case
def tf_linalg():
    """`tf.linalg.inv`, `cholesky`, `det`, `trace`, `diag`, `diag_part`, `solve`, `triangular_solve`."""

    class Algebra(layers.Layer):
        def call(self, x):
            square = tf.matmul(x, x, transpose_b=True) + 2.0 * tf.eye(tf.shape(x)[1])
            root = tf.linalg.cholesky(square)
            return [
                tf.linalg.inv(square),
                tf.linalg.logdet(square),
                tf.linalg.det(square),
                tf.linalg.trace(square),
                tf.linalg.diag(tf.linalg.diag_part(square)),
                tf.linalg.solve(square, x),
                tf.linalg.triangular_solve(root, x, lower=True),
                tf.linalg.cross(x[..., :3], x[..., 1:]),
            ]

    return free_case(Algebra(), floats(3, 5, 4))


@case
def tf_math_functions():
    """Functions of `tf.math` that keras.ops has, and some that it lacks."""

    class Functions(layers.Layer):
        def call(self, x):
            y = tf.abs(x) + 0.5
            return [
                tf.math.log(y) + tf.math.log1p(y) + tf.math.expm1(x) + tf.exp(x),
                tf.math.softplus(x) + tf.math.erf(x) + tf.math.sigmoid(x) + tf.tanh(x),
                tf.math.lgamma(y) + tf.math.digamma(y) + tf.math.xlogy(x, y),
                tf.math.squared_difference(x, y) + tf.math.atan2(x, y) + tf.math.reciprocal(y),
                tf.round(x) + tf.floor(x) + tf.math.ceil(x) + tf.sign(x) + tf.math.rint(x),
                tf.math.log_sigmoid(x) + tf.math.floormod(x, 0.7) + tf.math.pow(y, 1.5),
                tf.math.is_nan(x) | tf.math.logical_not(tf.math.is_finite(x)) ^ (x > 0),
                tf.math.polyval([1.0, x, y], x) + tf.math.multiply_no_nan(x, y),
            ]

    return free_case(Functions(), floats(3, 5, 4))


@case
def tf_operators_with_a_constant_on_the_left():
    """A `tf.constant`, a `tf.Variable` and a weight stand on either side of every operator."""

    class Left(layers.Layer):
        def __init__(self):
            super().__init__()
            self.constant = tf.constant(positives(4))
            self.variable = tf.Variable(positives(4, seed=1), trainable=False)

        def build(self, shape):
            self.scale = self.add_weight(shape=(4,), initializer=around_one())

        def call(self, x):
            c, v, s = self.constant, self.variable, self.scale
            return [
                c + x - c * x / c + (x - c),
                v + x - v * x / v + (x - v),
                c**x + x**c + v**x + (c // x) + (c % x) + (x // v) + (x % v),
                (c > x) & (v < x) | (c == x) ^ (v != x),
                s * c + v * s - tf.constant(1.0) / s,
                tf.constant([[1.0] * 4]) @ tf.transpose(x, [0, 2, 1]),
                -v + abs(v) * x,
                v[1:] * x[..., 1:] + c[:3] * x[..., :3],
            ]

    return free_case(Left(), positives(3, 5, 4, seed=2))


@case
def tf_function_as_an_argument_of_keras_ops():
    """Results of `tf` go through `keras.ops` and back, with arrays and Python numbers between them."""

    class Mixed(layers.Layer):
        def call(self, x):
            y = keras.ops.relu(tf.subtract(x, 0.5)) + np.float32(2.0)
            y = tf.multiply(keras.ops.concatenate([y, tf.square(x)], axis=-1), np.arange(8, dtype="float32"))
            return tf.add(1.0, keras.ops.mean(y, axis=1)), tf.maximum(0.0, y), tf.constant(2.0) * y

    return free_case(Mixed(), floats(3, 5, 4))


@case
def tf_add_weight_in_functions():
    """A weight is an argument of `tf` functions, first, second and in a list."""

    class Weights(layers.Layer):
        def build(self, shape):
            self.kernel = self.add_weight(shape=(shape[-1], 4), initializer="random_normal")
            self.bias = self.add_weight(shape=(4,), initializer="random_normal")

        def call(self, x):
            unit = tf.nn.l2_normalize(self.kernel, axis=0)
            y = tf.nn.bias_add(tf.matmul(x, unit), self.bias)
            penalty = tf.reduce_sum(tf.square(tf.convert_to_tensor(self.kernel)))
            return y + penalty, tf.concat([self.kernel, self.bias[None]], axis=0), tf.identity(self.bias)

    return free_case(Weights(), floats(3, 5, 8))


# --- tf.nn ---------------------------------------------------------------------------------


@case
def tf_nn_conv2d_with_a_weight():
    """`tf.nn.conv2d` with a weight, depthwise, pooled; weights are standardized by `tf.nn.moments`."""

    class Convolve(layers.Layer):
        def build(self, shape):
            self.kernel = self.add_weight(shape=(3, 3, 2, 4), initializer="random_normal")
            self.depthwise = self.add_weight(shape=(3, 3, 4, 1), initializer="random_normal")

        def call(self, x):
            mean, variance = tf.nn.moments(self.kernel, axes=[0, 1, 2], keepdims=True)
            kernel = (self.kernel - mean) / tf.sqrt(variance + 1e-5)
            y = tf.nn.conv2d(x, kernel, strides=1, padding="SAME")
            y = tf.nn.depthwise_conv2d(y, self.depthwise, strides=[1, 1, 1, 1], padding="VALID")
            return tf.nn.max_pool2d(y, 2, 2, "VALID"), tf.nn.avg_pool2d(y, ksize=2, strides=1, padding="SAME")

    return free_case(Convolve(), floats(3, 8, 8, 2))


@case
def tf_nn_conv1d_and_transpose():
    """`tf.nn.conv1d`, `tf.nn.atrous_conv2d`, and `tf.nn.conv2d_transpose` with a dynamic output shape."""

    class Convolve(layers.Layer):
        def build(self, shape):
            self.kernel = self.add_weight(shape=(3, 4, 4), initializer="random_normal")
            self.up = self.add_weight(shape=(3, 3, 2, 4), initializer="random_normal")

        def call(self, x):
            y = tf.nn.conv1d(x, self.kernel, stride=1, padding="SAME", dilations=2)
            image = tf.expand_dims(y, 1)
            b, h, w = tf.shape(image)[0], tf.shape(image)[1], tf.shape(image)[2]
            up = tf.nn.conv2d_transpose(image, self.up, [b, 2 * h, 2 * w, 2], strides=2, padding="SAME")
            return y, up

    return free_case(Convolve(), floats(3, 6, 4))


@case
def tf_nn_moments():
    """Instance normalization by `tf.nn.moments`, and `tf.nn.batch_normalization` with weights."""

    class InstanceNorm(layers.Layer):
        def build(self, shape):
            self.scale = self.add_weight(shape=shape[-1:], initializer=around_one())
            self.offset = self.add_weight(shape=shape[-1:], initializer="random_normal")

        def call(self, x):
            mean, variance = tf.nn.moments(x, axes=[1, 2], keepdims=True)
            inv = tf.math.rsqrt(variance + 1e-5)
            whole = tf.nn.batch_normalization(x, mean, variance, self.offset, self.scale, 1e-3)
            return self.scale * (x - mean) * inv + self.offset, whole

    return free_case(InstanceNorm(), floats(3, 5, 6, 4))


@case
def tf_nn_activations():
    """Every activation of `tf.nn`."""

    class Activations(layers.Layer):
        def call(self, x):
            return [
                tf.nn.relu(x)
                + tf.nn.relu6(x)
                + tf.nn.elu(x)
                + tf.nn.selu(x)
                + tf.nn.crelu(x, axis=-1)[..., :4],
                tf.nn.leaky_relu(x) + tf.nn.leaky_relu(x, alpha=0.3),
                tf.nn.gelu(x) + tf.nn.gelu(x, approximate=True),
                tf.nn.silu(x) + tf.nn.swish(x) + tf.nn.silu(x, beta=1.5),
                tf.nn.softmax(x) + tf.nn.log_softmax(x, axis=1) + tf.nn.softmax(x, axis=1),
                tf.nn.softplus(x) + tf.nn.softsign(x) + tf.nn.sigmoid(x) + tf.nn.tanh(x),
            ]

    return free_case(Activations(), floats(3, 5, 4))


@case
def tf_nn_losses():
    """Losses of `tf.nn` are computed in `call`, returned and added by `add_loss`."""

    class Losses(layers.Layer):
        def call(self, x):
            labels = tf.stop_gradient(tf.nn.softmax(2.0 * x))
            entropy = tf.nn.softmax_cross_entropy_with_logits(labels=labels, logits=x)
            sparse = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.argmax(labels, -1), x)
            self.add_loss(tf.reduce_mean(entropy))
            return sparse, tf.nn.sigmoid_cross_entropy_with_logits(labels, x), tf.nn.l2_loss(x)

    return free_case(Losses(), floats(3, 5, 4))


@case
def tf_nn_embedding_lookup():
    """`tf.nn.embedding_lookup` of a weight, and tied logits with `transpose_b`."""

    class Tied(layers.Layer):
        def build(self, shape):
            self.table = self.add_weight(shape=(VOCABULARY, 4), initializer="random_normal")

        def call(self, ids):
            x = tf.nn.embedding_lookup(self.table, ids) * tf.sqrt(tf.cast(4, tf.float32))
            return tf.matmul(x, self.table, transpose_b=True)

    inputs = keras.Input((None,), dtype="int32")
    return Case(keras.Model(inputs, Tied()(inputs)), tokens(3, 7), needs_input=False)


# --- tf.image and tf.signal ----------------------------------------------------------------


@case
def tf_image_resize():
    """`tf.image.resize` by several methods, to fixed sizes and to twice a free size."""

    class Resize(layers.Layer):
        def call(self, x):
            h, w = tf.shape(x)[1], tf.shape(x)[2]
            return [
                tf.image.resize(x, (4, 4)),
                tf.image.resize(x, [h * 2, w * 2], method=tf.image.ResizeMethod.NEAREST_NEIGHBOR),
                tf.image.resize(x, tf.shape(x)[1:3] // 2, method="bicubic", antialias=True),
                tf.image.resize_with_pad(x, 6, 9),
            ]

    return free_case(Resize(), floats(3, 6, 8, 2))


@case
def tf_image_colours():
    """Colour functions of `tf.image`, flips, crops and `ssim`."""

    class Colours(layers.Layer):
        def call(self, x):
            grey = tf.image.rgb_to_grayscale(x)
            return [
                grey,
                tf.image.adjust_contrast(x, 2.0),
                tf.image.adjust_brightness(x, 0.1),
                tf.image.per_image_standardization(x),
                tf.image.central_crop(x, 0.5),
                tf.image.flip_left_right(x) + tf.image.flip_up_down(x),
                tf.image.total_variation(x),
                tf.image.ssim(x, tf.image.flip_left_right(x), max_val=1.0, filter_size=3),
            ]

    return free_case(Colours(), positives(3, 12, 12, 3) / 2, 1, 2)


@case
def tf_image_extract_patches():
    """Patches of a ViT by `tf.image.extract_patches`, reshaped to a free number of them."""

    class Patches(layers.Layer):
        def __init__(self, patch_size):
            super().__init__()
            self.patch_size = patch_size

        def call(self, images):
            batch_size = tf.shape(images)[0]
            patches = tf.image.extract_patches(
                images=images,
                sizes=[1, self.patch_size, self.patch_size, 1],
                strides=[1, self.patch_size, self.patch_size, 1],
                rates=[1, 1, 1, 1],
                padding="VALID",
            )
            patch_dims = patches.shape[-1]
            return tf.reshape(patches, [batch_size, -1, patch_dims])

    return free_case(Patches(2), floats(3, 6, 8, 2))


@case
def tf_signal():
    """Mel spectrogram: `tf.signal.stft`, its absolute value, `linear_to_mel_weight_matrix`, `mfccs`."""

    class Mel(layers.Layer):
        def call(self, x):
            spectrum = tf.abs(tf.signal.stft(x, frame_length=32, frame_step=16, fft_length=32))
            mel = tf.signal.linear_to_mel_weight_matrix(8, spectrum.shape[-1], 8000, 80.0, 3600.0)
            energies = tf.math.log(tf.tensordot(spectrum, mel, 1) + 1e-2)
            return tf.signal.mfccs_from_log_mel_spectrograms(energies)[..., :5], spectrum

    inputs = keras.Input((None,))
    return Case(keras.Model(inputs, Mel()(inputs)), floats(3, 96), needs_input=False)


@case
def tf_signal_fft():
    """FNet: the real part of `tf.signal.fft2d` of complex numbers; `rfft`, `irfft`, `dct`, `frame`."""

    class Fourier(layers.Layer):
        def call(self, x):
            mixed = tf.math.real(tf.signal.fft2d(tf.cast(x, tf.complex64)))
            half = tf.signal.rfft(x)
            back = tf.signal.irfft(half * tf.complex(0.5, 0.0))
            return mixed, tf.math.imag(half), back, tf.signal.dct(x), tf.signal.frame(x, 2, 1, axis=1)

    return free_case(Fourier(), floats(3, 5, 8))


# --- Random draws --------------------------------------------------------------------------


@case
def tf_random_vae_sampling():
    """The Sampling layer of a VAE: `tf.random.normal(shape=(batch, dim))`."""

    class Sampling(layers.Layer):
        def call(self, inputs):
            z_mean, z_log_var = inputs
            batch = tf.shape(z_mean)[0]
            dim = tf.shape(z_mean)[1]
            epsilon = tf.random.normal(shape=(batch, dim))
            return z_mean + tf.exp(0.5 * z_log_var) * epsilon

    class Encoder(keras.Model):
        def __init__(self):
            super().__init__()
            self.mean, self.log_var, self.sampling = layers.Dense(2), layers.Dense(2), Sampling()

        def call(self, x):
            z_mean, z_log_var = self.mean(x), self.log_var(x)
            return z_mean, z_log_var, self.sampling((z_mean, z_log_var))

    return Case(Encoder(), floats(3, 4))


@case
def tf_random_stochastic_depth():
    """`tf.floor(keep + tf.random.uniform([tf.shape(x)[0], 1, 1]))` in training."""

    class StochasticDepth(layers.Layer):
        def __init__(self, drop_prop):
            super().__init__()
            self.drop_prob = drop_prop

        def call(self, x, training=None):
            if training:
                keep_prob = 1 - self.drop_prob
                shape = (tf.shape(x)[0],) + (1,) * (len(x.shape) - 1)
                random_tensor = keep_prob + tf.random.uniform(shape, 0, 1)
                random_tensor = tf.floor(random_tensor)
                return (x / keep_prob) * random_tensor
            return x

    return free_case(StochasticDepth(0.4), floats(3, 5, 4))


@case
def tf_random_draws_follow_each_other():
    """Two draws of equal arguments differ; the deeper of them comes first, and `tf.nn.dropout` last."""

    class Noise(layers.Layer):
        def call(self, x):
            first = tf.square(tf.random.normal(tf.shape(x)))
            deep = tf.exp(tf.tanh(first))
            second = tf.random.normal(tf.shape(x))
            return x + deep, x + second, tf.nn.dropout(x, rate=0.5), tf.random.uniform([2, 3]) + x[:1, :1, :3]

    return free_case(Noise(), floats(3, 5, 4))


@case
def tf_random_without_tensors():
    """Draws of fixed size: no tensor of the model is among their arguments."""

    class Fixed(layers.Layer):
        def call(self, x):
            noise = tf.random.truncated_normal((4,), stddev=0.5) + tf.random.uniform((4,), maxval=2.0)
            return x * noise + tf.random.normal([], mean=1.0)

    return free_case(Fixed(), floats(3, 5, 4))


@case
def tf_random_stateless():
    """Stateless functions of `tf.random` with a seed that is part of the code."""

    class Stateless(layers.Layer):
        def call(self, x):
            fixed = tf.random.stateless_normal((4,), seed=[1, 2])
            free_size = tf.random.stateless_uniform(tf.shape(x), seed=(3, 4))
            return x + fixed * free_size

    return free_case(Stateless(), floats(3, 5, 4))


@case
def tf_random_through_another_name():
    """A drawing function that module patches do not see is not frozen: the layer stays whole."""
    draw = [tf.random.normal]

    class Hidden(layers.Layer):
        def call(self, x):
            return x + draw[0]((4,))

    return free_case(Hidden(), floats(3, 5, 4), expect_opaque=("Hidden",))


# --- Gradients -----------------------------------------------------------------------------


@case
def tf_stop_gradient_vector_quantizer():
    """The VQ-VAE of keras-io: nearest code, straight-through estimator, losses, tied codebook."""

    class VectorQuantizer(layers.Layer):
        def __init__(self, num_embeddings, embedding_dim, beta=0.25, **kwargs):
            super().__init__(**kwargs)
            self.embedding_dim, self.num_embeddings, self.beta = embedding_dim, num_embeddings, beta

        def build(self, shape):
            self.embeddings = self.add_weight(
                shape=(self.embedding_dim, self.num_embeddings), initializer="random_normal"
            )

        def get_code_indices(self, flattened):
            similarity = tf.matmul(flattened, self.embeddings)
            distances = (
                tf.reduce_sum(flattened**2, axis=1, keepdims=True)
                + tf.reduce_sum(self.embeddings**2, axis=0)
                - 2 * similarity
            )
            return tf.argmin(distances, axis=1)

        def call(self, x):
            input_shape = tf.shape(x)
            flattened = tf.reshape(x, [-1, self.embedding_dim])
            encodings = tf.one_hot(self.get_code_indices(flattened), self.num_embeddings)
            quantized = tf.matmul(encodings, self.embeddings, transpose_b=True)
            quantized = tf.reshape(quantized, input_shape)
            commitment = tf.reduce_mean((tf.stop_gradient(quantized) - x) ** 2)
            codebook = tf.reduce_mean((quantized - tf.stop_gradient(x)) ** 2)
            self.add_loss(self.beta * commitment + codebook)
            return x + tf.stop_gradient(quantized - x)

    return free_case(VectorQuantizer(6, 4), floats(3, 5, 4))


@case
def tf_straight_through_sign():
    """A binary layer: the sign forwards, the clipped identity backwards, without a custom gradient."""

    class Binary(layers.Layer):
        def build(self, shape):
            self.kernel = self.add_weight(shape=(4, 4), initializer="random_normal")

        def call(self, x):
            soft = tf.clip_by_value(self.kernel, -1.0, 1.0)
            hard = soft + tf.stop_gradient(tf.sign(self.kernel) - soft)
            return tf.matmul(x, hard) + tf.reduce_sum(soft)

    return free_case(Binary(), floats(3, 5, 4))


@case
def tf_custom_gradient_is_kept_whole():
    """A function with a custom gradient would lose it in a graph of its inside."""

    @tf.custom_gradient
    def clip_gradient(x):
        return tf.identity(x), lambda dy: tf.clip_by_value(dy, -0.1, 0.1)

    class ClipGradient(layers.Layer):
        def call(self, x):
            return clip_gradient(x) * 2.0

    return free_case(ClipGradient(), floats(3, 5, 4), expect_opaque=("ClipGradient",))


@case
def tf_custom_gradient_of_a_closure_is_kept_whole():
    """A function with a custom gradient that takes its tensor from outside, and no argument."""

    class Reverse(layers.Layer):
        def call(self, x):
            @tf.custom_gradient
            def reverse():
                return tf.tanh(x), lambda dy: ()

            return reverse() + x

    return free_case(Reverse(), floats(3, 5, 4), expect_opaque=("Reverse",))


@case
def tf_recompute_grad_is_kept_whole():
    """`tf.recompute_grad` is a custom gradient."""

    class Recompute(layers.Layer):
        def call(self, x):
            return tf.recompute_grad(lambda y: tf.tanh(y) * 2.0)(x)

    return free_case(Recompute(), floats(3, 5, 4), expect_opaque=("Recompute",))


@case
def tf_gradient_tape_is_kept_whole():
    """The gradient of an inner function is computed in `call`."""

    class Gradient(layers.Layer):
        def call(self, x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = tf.reduce_sum(tf.square(x) * x)
            return tape.gradient(y, x)

    return free_case(Gradient(), floats(3, 5, 4), expect_opaque=("Gradient",))


# --- Dtypes and mixed precision ------------------------------------------------------------


@case
def tf_dtypes():
    """`x.dtype == tf.float32`, `x.dtype.is_floating`, `.min`, `.max`, `tf.as_dtype`, `.name`."""

    class Dtypes(layers.Layer):
        def call(self, x):
            assert x.dtype == tf.float32 == x.dtype.base_dtype
            assert x.dtype.is_floating
            assert not x.dtype.is_integer
            large = tf.float16.max if x.dtype == tf.float16 else x.dtype.max
            y = tf.cast(x > 0, x.dtype) * tf.cast(tf.argmax(x, -1), x.dtype)[..., None]
            return y + tf.constant(1.0, dtype=x.dtype), tf.minimum(x, large), tf.cast(x, x.dtype.name)

    return free_case(Dtypes(), floats(3, 5, 4))


@case
def tf_mixed_precision():
    """`tf.cast(x, self.compute_dtype)` and a float16 branch of a layer in mixed precision."""

    class Mixed(layers.Layer):
        def build(self, shape):
            self.kernel = self.add_weight(shape=(4, 4), initializer="random_normal")

        def call(self, x):
            assert x.dtype == tf.float16
            y = tf.matmul(x, tf.cast(self.kernel, x.dtype))
            y = tf.nn.softmax(tf.cast(y, tf.float32))
            return tf.cast(y, self.compute_dtype), tf.cast(self.kernel, self.variable_dtype)

    return free_case(Mixed(dtype="mixed_float16"), floats(3, 5, 4))


@case
def tf_integer_arithmetic():
    """Integers are divided, shifted, compared and looked at as bits."""

    class Integers(layers.Layer):
        def call(self, ids):
            even = tf.equal(ids % 2, 0)
            bits = tf.bitwise.bitwise_and(tf.bitwise.right_shift(ids[..., None], tf.range(4)), 1)
            return [
                tf.where(even, ids // 2, 3 * ids + 1),
                bits,
                tf.math.floordiv(ids, 3) + tf.cast(tf.not_equal(ids, 0), ids.dtype),
                ids / 2,
                tf.truediv(ids, 4),
                tf.math.mod(ids, 5),
                tf.cast(ids, tf.float32) * 0.5,
                tf.math.cumsum(tf.cast(even, tf.int32), axis=1) * tf.cast(even, tf.int32),
            ]

    inputs = keras.Input((None,), dtype="int32")
    return Case(keras.Model(inputs, Integers()(inputs)), tokens(3, 7), needs_input=False)


# --- How functions are reached -------------------------------------------------------------


@case
def tf_functions_in_attributes():
    """Functions of `tf` are kept in attributes, lists, dicts, partials and closures."""
    table = {"gelu": functools.partial(tf.nn.gelu, approximate=True), "square": tf.math.square}
    steps = [tf.nn.relu, lambda x: tf.reduce_sum(x, axis=-1), tf.nn.elu]
    from_closure = tf.nn.softplus

    class Reached(layers.Layer):
        def __init__(self):
            super().__init__()
            self.act = tf.nn.leaky_relu
            self.reduce = tf.math.reduce_mean

        def call(self, x):
            y = self.act(x) + table["gelu"](x) + table["square"](x)
            for step in (steps[0], steps[2]):
                y = step(y)
            return self.reduce(y, axis=1), steps[1](y), from_closure(y)

    return free_case(Reached(), floats(3, 5, 4))


@case
def tf_functions_imported_by_name():
    """`from tensorflow.nn import relu`, `from tensorflow import math`, a local import."""

    class Imported(layers.Layer):
        def call(self, x):
            from tensorflow import transpose

            return imported_relu(x) + tfm.tanh(x), transpose(tfm.reduce_sum(x, axis=1))

    return free_case(Imported(), floats(3, 5, 4))


@case
def tf_functions_as_activations():
    """`Dense(activation=tf.nn.swish)` and other layers that are given a function of `tf`."""

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden = layers.Dense(8, activation=tf.nn.swish)
            self.act = layers.Activation(tf.nn.gelu)
            self.out = layers.Dense(2, activation=tf.math.tanh)

        def call(self, x):
            return self.out(self.act(self.hidden(x)))

    return Case(Net(), floats(3, 4))


@case
def tf_private_functions_of_a_library():
    """Code that imports TensorFlow's own modules, as addons did."""
    from tensorflow.python.ops import array_ops, math_ops

    class Private(layers.Layer):
        def call(self, x):
            y = math_ops.reduce_mean(math_ops.square(x), axis=-1, keepdims=True)
            return array_ops.concat([x, math_ops.rsqrt(y + 1.0)], axis=-1)

    return free_case(Private(), floats(3, 5, 4))


@case
def tf_function_decorated_helpers():
    """`@tf.function` on a helper, on a method, and around a lambda."""

    @tf.function
    def helper(x, factor=2.0):
        return tf.tanh(x) * factor

    class Decorated(layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(4)
            self.wrapped = tf.function(lambda x: x + 1.0)

        @tf.function(reduce_retracing=True)
        def inner(self, x, scale):
            return self.dense(x) * scale

        def call(self, x):
            return helper(self.inner(x, 3.0), factor=0.5) + self.wrapped(x)

    return free_case(Decorated(), floats(3, 5, 4))


@case
def tf_function_on_call():
    """`call` itself is a `tf.function`."""

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(4)

        @tf.function
        def call(self, x):
            return tf.nn.relu(self.dense(x))

    return Case(Net(), floats(3, 4))


@case
def tf_module_helper():
    """A `tf.Module` computes with constants; it is no layer and Keras does not see inside."""

    class Filter(tf.Module):
        def __init__(self):
            super().__init__()
            self.kernel = tf.constant([[[0.25]], [[0.5]], [[0.25]]])

        @tf.Module.with_name_scope
        def __call__(self, x):
            return tf.nn.conv1d(x, self.kernel, stride=1, padding="SAME")

    class Smooth(layers.Layer):
        def __init__(self):
            super().__init__()
            self.filter = Filter()

        def call(self, x):
            return self.filter(x)

    return free_case(Smooth(), floats(3, 5, 1))


@case
def tf_name_scopes_and_control_dependencies():
    """`tf.name_scope`, `tf.control_dependencies([tf.debugging.assert_...])`, `name=` everywhere."""

    class Named(layers.Layer):
        def call(self, x):
            with tf.name_scope("attention"), tf.device("/cpu:0"):
                y = tf.multiply(x, 2.0, name="twice")
            check = tf.debugging.assert_all_finite(y, "finite")
            with tf.control_dependencies([tf.debugging.assert_greater(tf.shape(x)[1], 0), check]):
                return tf.identity(y, name="checked")

    return free_case(Named(), floats(3, 5, 4))


@case
def tf_debugging():
    """Checks of values and shapes, `tf.print`, `tf.Assert`, `tf.debugging.check_numerics`."""

    class Checked(layers.Layer):
        def call(self, x):
            tf.debugging.assert_rank(x, 3)
            tf.debugging.assert_equal(tf.shape(x)[-1], 4, message="width")
            tf.debugging.assert_type(x, tf.float32)
            tf.debugging.assert_shapes([(x, ("b", "t", 4))])
            tf.debugging.assert_less(x, 1e9)
            tf.Assert(tf.reduce_all(x < 1e9), [x])
            tf.print("mean", tf.reduce_mean(x), output_stream="file:///dev/null")
            return tf.debugging.check_numerics(tf.tanh(x), "tanh")

    return free_case(Checked(), floats(3, 5, 4))


@case
def tf_is_tensor_gates():
    """`tf.is_tensor(x)` and `isinstance(x, tf.Tensor)` choose the code that runs on real tensors."""

    class Gates(layers.Layer):
        def call(self, x):
            y = tf.tanh(x) if tf.is_tensor(x) else x
            if not isinstance(x, (tf.Tensor, np.ndarray)):
                raise TypeError(f"{type(x)} is no tensor")
            if isinstance(x, (tf.RaggedTensor, tf.SparseTensor, tf.Variable)):
                return y
            return y * 3.0

    return free_case(Gates(), floats(3, 5, 4))


@case
def tf_cond_of_a_python_value():
    """`tf.cond` of a Python value, of a comparison of a size, and of `training`."""

    class Conditional(layers.Layer):
        def __init__(self):
            super().__init__()
            self.scale = True

        def call(self, x, training=None):
            y = tf.cond(tf.constant(self.scale), lambda: x * 2.0, lambda: x)
            return tf.cond(tf.shape(x)[-1] > 3, true_fn=lambda: tf.tanh(y), false_fn=lambda: y)

    return free_case(Conditional(), floats(3, 5, 4))


@case
def tf_cond_of_training():
    """`tf.cond(training, ...)`, and `tf.keras.backend.in_train_phase` by hand."""

    class Phase(layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(4)

        def call(self, x, training=False):
            x = self.dense(x)
            return tf.cond(tf.cast(training, tf.bool), lambda: tf.nn.relu(x), lambda: tf.nn.sigmoid(x))

    return free_case(Phase(), floats(3, 5, 4))


# --- Variables -----------------------------------------------------------------------------


@case
def tf_variable_attributes():
    """A `tf.Variable` is read by `read_value()`, `value()`, `tf.identity` and functions."""

    class Variables(layers.Layer):
        def __init__(self):
            super().__init__()
            self.offset = tf.Variable(floats(4), name="offset", trainable=False)

        def call(self, x):
            y = x + self.offset.read_value() - self.offset.value() * 0.5
            return tf.add(self.offset, y), tf.concat([tf.identity(self.offset)[None, None], y[:1, :1]], 0)

    return free_case(Variables(), floats(3, 5, 4))


@case
def tf_variable_that_counts_is_kept_whole():
    """A `tf.Variable` that is assigned in `call` is no weight of the model."""

    class Counter(layers.Layer):
        def __init__(self):
            super().__init__()
            self.count = tf.Variable(0.0, trainable=False)

        def call(self, x):
            self.count.assign(tf.reduce_max(x) * 0.0)
            return x + self.count

    return free_case(Counter(), floats(3, 5, 4), expect_opaque=("Counter",))


@case
def tf_assigned_weight():
    """A weight of `add_weight` is assigned a result of `tf`: a moving average."""

    class Average(layers.Layer):
        def build(self, shape):
            self.mean = self.add_weight(shape=(4,), initializer="zeros", trainable=False)

        def call(self, x):
            batch_mean = tf.reduce_mean(x, axis=[0, 1])
            self.mean.assign(0.9 * self.mean + 0.1 * batch_mean)
            return tf.subtract(x, self.mean)

    return free_case(Average(), floats(3, 5, 4))


# --- Other parts of TensorFlow -------------------------------------------------------------


@case
def tf_raw_ops():
    """`tf.raw_ops` take their arguments by keyword."""

    class Raw(layers.Layer):
        def call(self, x):
            y = tf.raw_ops.AddV2(x=x, y=1.0)
            return tf.raw_ops.Relu(features=y), tf.raw_ops.Mul(x=tf.raw_ops.Tanh(x=x), y=x)

    return free_case(Raw(), floats(3, 5, 4))


@case
def tf_compat_v1():
    """Names of TensorFlow 1: `keep_dims`, `tf.compat.v1.layers`-free code, `tf.compat.v1.where`."""

    class Old(layers.Layer):
        def call(self, x):
            tf1 = tf.compat.v1
            mean = tf1.reduce_mean(x, axis=-1, keep_dims=True)
            y = tf1.matrix_band_part(tf1.matmul(x, x, transpose_b=True), -1, 0)
            y = tf1.nn.softmax(tf1.to_float(y), dim=-1)
            return (
                tf1.div(x - mean, 2.0),
                tf1.where(x > 0, x, -x),
                tf1.log(1.0 + tf1.squared_difference(x, 1)),
                y,
            )

    return free_case(Old(), floats(3, 5, 4))


@case
def tf_keras_backend():
    """The names of `tf.keras.backend` that Keras 3 still has."""

    class Old(layers.Layer):
        def call(self, x):
            K = keras.src.legacy.backend
            y = K.expand_dims(K.sum(x, axis=-1), -1) + K.mean(x, axis=1, keepdims=True)
            y = K.concatenate([K.relu(y, max_value=1.0), K.square(x)], axis=-1)
            y = K.reshape(y, (-1, K.shape(x)[1], 2, 4)) / K.cast_to_floatx(3)
            return K.permute_dimensions(y, (0, 2, 1, 3)), K.l2_normalize(x, -1), K.clip(x, -1, 1)

    return free_case(Old(), floats(3, 5, 4))


@case
def tf_keras_backend_products():
    """`K.batch_dot`, `K.dot`, `K.softmax`, `K.int_shape`, `K.epsilon`: an attention by hand."""

    class Attention(layers.Layer):
        def build(self, shape):
            self.kernel = self.add_weight(shape=(shape[-1], 1), initializer="random_normal")

        def call(self, x):
            K = keras.src.legacy.backend
            score = K.softmax(K.squeeze(tf.tanh(K.dot(x, self.kernel)), -1))
            context = K.sum(x * K.expand_dims(score), axis=1)
            return context / (K.sum(K.abs(context)) + keras.backend.epsilon()), K.batch_flatten(x[:, :2])

    return free_case(Attention(), floats(3, 5, 4))


@case
def tf_experimental_numpy():
    """`tf.experimental.numpy` in the place of NumPy."""
    tnp = tf.experimental.numpy

    class Numpy(layers.Layer):
        def call(self, x):
            y = tnp.concatenate([tnp.maximum(x, 0.0), tnp.swapaxes(tnp.swapaxes(x, 1, 2), 1, 2)], axis=-1)
            return tnp.mean(y, axis=1), tnp.einsum("btd,bsd->bts", y, y), tnp.abs(x[:, :4])

    return free_case(Numpy(), floats(3, 5, 4))


@case
def tf_experimental_quantization():
    """`tf.quantization.fake_quant_with_min_max_vars` with weights as its range."""

    class FakeQuant(layers.Layer):
        def build(self, shape):
            self.low = self.add_weight(shape=(), initializer=keras.initializers.Constant(-1.0))
            self.high = self.add_weight(shape=(), initializer=keras.initializers.Constant(1.0))

        def call(self, x):
            y = tf.quantization.fake_quant_with_min_max_vars(x, self.low, self.high, num_bits=4)
            return y + tf.quantization.fake_quant_with_min_max_args(x, -2, 2)

    return free_case(FakeQuant(), floats(3, 5, 4))


@case
def tf_py_function_is_kept_whole():
    """`tf.numpy_function` calls Python, which no saved graph can name."""

    class Python(layers.Layer):
        def call(self, x):
            y = tf.numpy_function(lambda a: np.tanh(a), [x], tf.float32, stateful=False)
            return tf.ensure_shape(y, [None, None, 4])

        def compute_output_shape(self, input_shape):
            return input_shape

    return free_case(Python(), floats(3, 5, 4), expect_opaque=("Python",))


@case
def tf_ragged_is_kept_whole():
    """A ragged tensor is no dense tensor of the graph."""

    class Ragged(layers.Layer):
        def call(self, x):
            lengths = tf.fill([tf.shape(x)[0]], 2)
            ragged = tf.RaggedTensor.from_tensor(x, lengths=lengths)
            return tf.reduce_mean(ragged, axis=1)

    return free_case(Ragged(), floats(3, 5, 4), expect_opaque=("Ragged",))


@case
def tf_sparse_is_kept_whole():
    """A sparse tensor is made and multiplied in `call`."""

    class Sparse(layers.Layer):
        def call(self, x):
            flat = tf.reshape(x, [-1, 4])
            sparse = tf.sparse.from_dense(tf.nn.relu(flat))
            return tf.sparse.sparse_dense_matmul(sparse, tf.eye(4))

    return free_case(Sparse(), floats(3, 5, 4), expect_opaque=("Sparse",))


@case
def tf_lookup_table_is_kept_whole():
    """A `tf.lookup` table is a resource outside the graph."""

    class Lookup(layers.Layer):
        def __init__(self):
            super().__init__()
            keys, values = tf.range(VOCABULARY), tf.range(VOCABULARY) * 10
            init = tf.lookup.KeyValueTensorInitializer(keys, values)
            self.table = tf.lookup.StaticHashTable(init, default_value=-1)

        def call(self, ids):
            return tf.cast(self.table.lookup(ids), tf.float32) * 0.5

    inputs = keras.Input((None,), dtype="int32")
    model = keras.Model(inputs, Lookup()(inputs))
    return Case(model, tokens(3, 7), needs_input=False, expect_opaque=("Lookup",))


@case
def tf_while_loop_and_map_fn():
    """`tf.while_loop` and `tf.map_fn` take functions of tensors."""

    class Loop(layers.Layer):
        def call(self, x):
            doubled = tf.map_fn(lambda row: row * 2.0, x)
            return tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, tf.tanh(y)), [0, doubled])[1]

    return free_case(Loop(), floats(3, 5, 4))

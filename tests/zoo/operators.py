"""Ops: operators, slicing, the `keras.ops` namespaces, and dtypes."""

import keras
import numpy as np
from keras import ops

from zoo.case import (
    Case,
    around_one,
    batch_normalization,
    booleans,
    case,
    case_refused_by,
    case_since_keras,
    floats,
    functional,
    integers,
    layer_normalization,
    positives,
)


class Weighted(keras.Model):
    """A model with one weight of shape (4,), between 0.5 and 1.5."""

    def __init__(self):
        """Makes the weight."""
        super().__init__()
        self.weight = self.add_weight(shape=(4,), initializer=around_one())


# --- Operators -----------------------------------------------------------------------------


@case
def operators_on_two_tensors():
    """Every arithmetic operator with a tensor on both sides."""

    class TwoTensors(keras.Model):
        def call(self, pair):
            a, b = pair
            return [a + b, a - b, a * b, a / b, a // b, a % b, a**b, -a, abs(b - a)]

    return Case(TwoTensors(), [positives(3, 4), positives(3, 4, seed=1)])


@case
def operators_with_a_variable_on_the_right():
    """Every arithmetic operator with a variable on the right."""

    class VariableRight(Weighted):
        def call(self, x):
            w = self.weight
            return [x + w, x - w, x * w, x / w, x // w, x % w, x**w]

    return Case(VariableRight(), positives(3, 4))


@case
def operators_with_a_variable_on_the_left():
    """Every arithmetic operator with a variable on the left, which answers it first."""

    class VariableLeft(Weighted):
        def call(self, x):
            w = self.weight
            return [w + x, w - x, w * x, w / x, w // x, w % x, w**x]

    return Case(VariableLeft(), positives(3, 4))


@case
def operators_with_an_array_on_the_right():
    """Every arithmetic operator with a NumPy array on the right."""
    array = positives(4, seed=1)

    class ArrayRight(keras.Model):
        def call(self, x):
            return [x + array, x - array, x * array, x / array, x // array, x % array, x**array]

    return Case(ArrayRight(), positives(3, 4))


@case_refused_by("torch", "Concatenation operation is not implemented for NumPy arrays")
def operators_with_an_array_on_the_left():
    """Every arithmetic operator with a NumPy array on the left, which may answer it first."""
    array = positives(4, seed=1)

    class ArrayLeft(keras.Model):
        def call(self, x):
            return [array + x, array - x, array * x, array / x, array // x, array % x, array**x]

    return Case(ArrayLeft(), positives(3, 4))


@case
def operators_with_a_number_on_the_right():
    """Every arithmetic operator with an int, a float or a NumPy scalar on the right."""

    class NumberRight(keras.Model):
        def call(self, x):
            half = np.float32(0.5)
            return [x + 2, x - 0.5, x * 3, x / half, x // 0.3, x % 0.7, x**2, x**-0.5]

    return Case(NumberRight(), positives(3, 4))


@case
def operators_with_a_number_on_the_left():
    """Every arithmetic operator with an int or a float on the left."""

    class NumberLeft(keras.Model):
        def call(self, x):
            return [2 + x, 1 - x, 3.0 * x, 1 / x, 2.0 // x, 3 % x, 2.0**x]

    return Case(NumberLeft(), positives(3, 4))


@case
def comparison_operators():
    """Every comparison, with tensors, a number and a variable."""

    class Comparisons(Weighted):
        def call(self, pair):
            a, b = pair
            answers = [a < b, a <= b, a > 1.0, a >= 1.1, a == b, a != b, self.weight > a]
            return ops.stack([ops.cast(answer, "float32") for answer in answers], axis=1)

    return Case(Comparisons(), [positives(3, 4), positives(3, 4, seed=1)])


@case_refused_by("torch", "not supported between instances of 'Tensor' and 'numpy.ndarray'")
def comparison_with_an_array():
    """Comparisons with a NumPy array on the right."""
    array = np.full((4,), 1.1, "float32")

    class Thresholds(keras.Model):
        def call(self, x):
            return [ops.cast(answer, "float32") for answer in (x >= array, x < array)]

    return Case(Thresholds(), positives(3, 4))


@case
def logical_operators():
    """`&`, `|`, `^` and `~` on truth values."""

    class Logic(keras.Model):
        def call(self, pair):
            a, b = pair
            return [a & b, a | b, a ^ b, ~a, a & np.array([True, False, True, False])]

    return Case(Logic(), [booleans(3, 4), booleans(3, 4, seed=1)])


@case
def matmul_operator():
    """`@` with a tensor, a variable and an array, on either side."""

    class MatrixProducts(keras.Model):
        def __init__(self):
            super().__init__()
            self.right = self.add_weight(shape=(5, 6), initializer="random_normal")
            self.left = self.add_weight(shape=(7, 4), initializer="random_normal")

        def call(self, x):
            table = floats(6, 2, seed=1)
            product = self.left @ (x @ self.right) @ table
            return product @ ops.transpose(product, (0, 2, 1))

    return Case(MatrixProducts(), floats(3, 4, 5))


@case
def augmented_assignment():
    """`+=`, `-=`, `*=` and `/=` on local tensors."""

    class Augmented(Weighted):
        def call(self, x):
            y = ops.tanh(x)
            y += x
            y *= self.weight
            y -= 1.0
            y /= 2
            return y + x

    return Case(Augmented(), floats(3, 4))


@case
def builtin_functions_of_python():
    """`sum`, `abs`, `round` and `pow` of Python on tensors."""

    class Builtins(Weighted):
        def call(self, x):
            return pow(sum([x, abs(x), x * self.weight]), 2)

    return Case(Builtins(), floats(3, 4))


@case
def broadcasting_of_different_ranks():
    """NumPy broadcasting aligns the last axes; the merge layers of Keras align the first."""

    class Broadcasting(keras.Model):
        def __init__(self):
            super().__init__()
            self.row = self.add_weight(shape=(3,), initializer="random_normal")

        def call(self, x):
            means = ops.mean(x, axis=0)
            return x + means * self.row - ops.max(x)

    return Case(Broadcasting(), floats(3, 3, 3))


# --- Slicing -------------------------------------------------------------------------------


@case
def slicing_with_steps_and_negative_indices():
    """Slices with steps, negative starts and stops, negative indices."""

    class Steps(keras.Model):
        def call(self, x):
            return [x[:, ::2], x[:, -3:], x[:, :-2, 1], x[:, -1], x[:, 1:6:3]]

    return Case(Steps(), floats(3, 7, 4))


@case_refused_by("torch", "step must be greater than zero")
def slicing_backwards():
    """Slices with negative steps."""

    class Backwards(keras.Model):
        def call(self, x):
            return [x[:, 4:1:-1], x[:, ::-1]]

    return Case(Backwards(), floats(3, 7, 4))


@case
def slicing_with_ellipsis_and_newaxis():
    """Slices with `...`, `None` and `np.newaxis`."""

    class Ellipses(keras.Model):
        def call(self, x):
            return [x[..., 0], x[:, None, ..., 1:], x[..., np.newaxis], x[:, :, None, :] * 2.0]

    return Case(Ellipses(), floats(3, 7, 4))


@case
def slicing_by_a_tensor_index():
    """A scalar tensor, computed from the input, is an index."""

    class TensorIndex(keras.Model):
        def call(self, x):
            index = ops.cast(ops.argmax(ops.sum(x, axis=(0, 2))), "int32")
            return x[:, index]

    return Case(TensorIndex(), floats(3, 7, 4))


@case
def gathering_by_a_tensor_of_indices():
    """`ops.take` and `ops.take_along_axis` with indices from another input."""

    class Gather(keras.Model):
        def __init__(self):
            super().__init__()
            self.table = self.add_weight(shape=(9, 4), initializer="random_normal")

        def call(self, inputs):
            rows = ops.take(self.table, inputs["ids"], axis=0)
            order = ops.argsort(inputs["x"], axis=-1)
            return rows * ops.take_along_axis(inputs["x"], order, axis=-1)[:, None]

    return Case(Gather(), {"x": floats(3, 4), "ids": integers(3, 5, below=9)})


@case
def iterating_over_an_unstacked_tensor():
    """Python unpacks and loops over `ops.unstack` along a static axis."""

    class Unstacked(keras.Model):
        def __init__(self):
            super().__init__()
            self.cell = keras.layers.Dense(4, activation="tanh")

        def call(self, x):
            state = ops.zeros_like(x[:, 0])
            for step in ops.unstack(x, axis=1):
                state = self.cell(step + state)
            return state

    return Case(Unstacked(), floats(3, 5, 4))


@case
def slice_at_a_constant_tensor():
    """The start is a tuple of a constant tensor and a number."""

    class Sliced(keras.Model):
        def call(self, x):
            start = ops.convert_to_tensor(8, "int32") // 4
            return ops.slice(x, (0, start, 1), (ops.shape(x)[0], 2, 3))

    return Case(Sliced(), floats(3, 5, 4))


# --- The namespaces of keras.ops -----------------------------------------------------------


@case
def ops_core():
    """`keras.ops.core`: scatter, slice, stop_gradient, shape, cast and their kin."""

    class Core(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)

        def call(self, x):
            y = self.dense(x)
            first = ops.slice(y, (0, 1), (3, 2))
            updated = ops.slice_update(ops.zeros((5, 4)), (0, 0), y[:3])
            scattered = ops.scatter(np.array([[0], [2], [4]]), y, (6, 4))
            replaced = ops.scatter_update(updated, np.array([[1], [0]]), y[:2])
            joined = ops.concatenate([updated, scattered, replaced], axis=0)
            kept = ops.stop_gradient(x) * ops.convert_to_tensor([[0.5]])
            return ops.sum(joined) + ops.sum(first) + kept

    class TakesThree(keras.Model):
        def __init__(self):
            super().__init__()
            self.core = Core()

        def call(self, x):
            return x + self.core(ops.concatenate([x, x, x], axis=0)[:3])[:1]

    return Case(TakesThree(), floats(3, 5))


@case
def ops_control_flow_on_arguments():
    """`ops.cond`, `fori_loop`, `while_loop`, `map`, `vectorized_map` with pure functions."""

    class ControlFlow(keras.layers.Layer):
        def call(self, x):
            chosen = ops.cond(ops.sum(x) > 0.0, lambda: x * 2.0, lambda: x - 1.0)
            looped = ops.fori_loop(0, 3, lambda index, y: y * 0.5 + 1.0, x)
            (until,) = ops.while_loop(lambda y: ops.max(y) < 9.0, lambda y: (y * 2.0,), (x,))
            mapped = ops.map(lambda row: row - ops.mean(row), x)
            vectorized = ops.vectorized_map(lambda row: row / ops.max(ops.abs(row)), x)
            return [chosen, looped, until, mapped, vectorized]

    model = functional(ControlFlow(), positives(3, 4))
    return Case(model, positives(3, 4), needs_input=False)


@case
def ops_scan_over_a_weight():
    """The body of `ops.scan` uses a weight of its layer."""

    class Decay(keras.layers.Layer):
        def build(self, input_shape):
            self.decay = self.add_weight(shape=(input_shape[-1],), initializer=around_one(low=0.2))

        def call(self, x):
            def step(state, row):
                state = state * self.decay + row
                return state, state

            steps = ops.transpose(x, (1, 0, 2))
            _, states = ops.scan(step, ops.zeros_like(steps[0]), steps)
            return ops.transpose(states, (1, 0, 2))

    model = functional(Decay(), floats(3, 5, 4))
    return Case(model, floats(3, 5, 4), needs_input=False)


@case
def ops_elementwise():
    """`keras.ops.numpy`: elementwise functions of one and two arguments."""

    class Elementwise(Weighted):
        def call(self, x):
            w = self.weight
            terms = [
                ops.exp(-x),
                ops.log1p(ops.square(x)),
                ops.sqrt(ops.abs(x)) - ops.sign(x),
                ops.arctan2(x, w),
                ops.maximum(x, w) - ops.minimum(x, 0.5),
                ops.where(x > 0, x * w, 0.1 * x),
                ops.clip(x, -0.5, 0.5) + ops.floor(x) + ops.round(x),
                ops.logaddexp(x, w) + ops.power(ops.abs(x), w),
                ops.nan_to_num(ops.reciprocal(x)),
            ]
            return ops.stack(terms, axis=1)

    return Case(Elementwise(), floats(3, 4))


@case
def ops_reductions():
    """`keras.ops.numpy`: reductions with axes, `keepdims` and cumulated forms."""

    class Reductions(keras.Model):
        def call(self, x):
            centred = x - ops.mean(x, axis=(1, 2), keepdims=True)
            return {
                "sum": ops.sum(centred, axis=-1),
                "extremes": ops.max(x, axis=1) - ops.min(x, axis=1),
                "spread": ops.std(x, axis=1) + ops.var(x, axis=1),
                "all": ops.cast(ops.all(x > -1.0, axis=-1) | ops.any(x > 1.0, axis=-1), "int32"),
                "cumulated": ops.cumsum(x, axis=1) + ops.cumprod(x, axis=-1),
                "median": ops.median(x, axis=-1) + ops.quantile(x, 0.3, axis=-1),
                "index": ops.argmax(x, axis=-1) - ops.argmin(x, axis=-1),
            }

    return Case(Reductions(), floats(3, 5, 4))


@case
def ops_shape_manipulation():
    """`keras.ops.numpy`: reshape, transpose, tile, repeat, pad, roll, flip, stack."""

    class Shapes(keras.Model):
        def call(self, x):
            heads = ops.reshape(x, (-1, 6, 2, 2))
            heads = ops.transpose(heads, (0, 2, 1, 3))
            swapped = ops.moveaxis(ops.swapaxes(heads, 1, 2), -1, 1)
            return [
                swapped,
                ops.tile(x, (1, 2, 1)),
                ops.repeat(x, 3, axis=-1),
                ops.pad(x, ((0, 0), (1, 2), (0, 0))),
                ops.roll(x, 1, axis=1) + ops.flip(x, axis=1),
                ops.squeeze(ops.expand_dims(x, 1), 1),
                ops.hstack([x, x * 2.0]),
                ops.stack([x, -x], axis=2),
            ]

    return Case(Shapes(), floats(3, 6, 4))


@case
def ops_shape_arithmetic():
    """Sizes are computed in Python from `ops.shape(x)` and `x.shape`, batch included."""

    class SplitHeads(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(8)

        def call(self, x):
            batch, length, _ = ops.shape(x)
            width = self.dense(x).shape[-1]
            heads = ops.reshape(self.dense(x), (batch, length, 2, width // 2))
            heads = ops.transpose(heads, (0, 2, 1, 3))
            return ops.reshape(heads, (batch * 2, length, width // 2))[:batch] / width**0.5

    return Case(SplitHeads(), floats(3, 5, 4))


@case
def ops_contractions():
    """`keras.ops.numpy`: matmul, einsum, tensordot, dot, outer with weights."""

    class Contractions(keras.Model):
        def __init__(self):
            super().__init__()
            self.kernel = self.add_weight(shape=(4, 6), initializer="glorot_uniform")
            self.core = self.add_weight(shape=(4, 2, 5), initializer="glorot_uniform")

        def call(self, x):
            scores = ops.einsum("btd,bsd->bts", x, ops.matmul(x, self.kernel)[..., :4])
            cores = ops.einsum("btd,dhk->bhtk", x, self.core)
            product = ops.tensordot(x, self.kernel, axes=[[2], [0]])
            return ops.matmul(scores, product), cores, ops.dot(x, self.kernel)

    return Case(Contractions(), floats(3, 5, 4))


@case
def ops_sorting_and_searching():
    """`keras.ops.numpy`: sort, argsort, searchsorted, digitize, bincount, take."""

    class Sorting(keras.Model):
        def call(self, x):
            bins = ops.linspace(-1.0, 1.0, 5)
            return {
                "sorted": ops.sort(x, axis=-1),
                "order": ops.argsort(x, axis=-1),
                "digitized": ops.digitize(x, np.array([-0.5, 0.0, 0.5])),
                "bucket": ops.searchsorted(bins, ops.reshape(x, (-1,))) * 2,
            }

    class KeepsBatch(keras.Model):
        def __init__(self):
            super().__init__()
            self.sorting = Sorting()

        def call(self, x):
            found = self.sorting(x)
            return {**found, "bucket": ops.reshape(found["bucket"], ops.shape(x))}

    return Case(KeepsBatch(), floats(3, 4))


@case
def ops_creation_like_a_tensor():
    """`zeros_like`, `ones_like`, `full_like`, and creation from a size of the input."""

    class Creation(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)

        def call(self, x):
            length = ops.shape(x)[1]
            y = ops.ones_like(x) * 0.5 + ops.full_like(x, 2.0) + ops.zeros_like(x)
            ramp = ops.cast(ops.arange(length), x.dtype) / ops.cast(length, x.dtype)
            causal = ops.tril(ops.ones((length, length)))
            return ops.matmul(causal, self.dense(y + x)) * ramp[None, :, None]

    return Case(Creation(), floats(3, 5, 4))


@case
def ops_nn():
    """`keras.ops.nn`: activations, one_hot, normalisation, pooling, convolution."""

    class NeuralOps(keras.Model):
        def __init__(self):
            super().__init__()
            self.kernel = self.add_weight(shape=(3, 4, 6), initializer="glorot_uniform")

        def call(self, x):
            y = ops.conv(x, self.kernel, strides=1, padding="same")
            y = ops.gelu(y, approximate=False) + ops.silu(y) + ops.leaky_relu(y, 0.3)
            y = ops.average_pool(y, 2, strides=1, padding="valid")
            codes = ops.one_hot(ops.argmax(y, axis=-1), 6)
            return ops.softmax(y, axis=-1) + ops.log_softmax(y, axis=1) + codes

    return Case(NeuralOps(), floats(3, 7, 4))


@case
def ops_math():
    """`keras.ops.math`: logsumexp, rsqrt, erf, top_k, segment_sum, fft."""

    class Mathematics(keras.Model):
        def call(self, x):
            values, indices = ops.top_k(x, 2)
            real, imaginary = ops.rfft(x)
            return {
                "logsumexp": ops.logsumexp(x, axis=-1, keepdims=True),
                "norm": x * ops.rsqrt(ops.sum(ops.square(x), axis=-1, keepdims=True) + 1e-3),
                "erf": ops.erf(x),
                "top": (values, indices),
                "spectrum": ops.sqrt(ops.square(real) + ops.square(imaginary)),
            }

    return Case(Mathematics(), floats(3, 6))


@case
def ops_linalg():
    """`keras.ops.linalg`: cholesky, solve, inv, det, norm, eigh, qr, svd."""

    class LinearAlgebra(keras.Model):
        def __init__(self):
            super().__init__()
            self.metric = self.add_weight(shape=(4, 4), initializer="random_normal")

        def call(self, x):
            gram = ops.matmul(x, ops.transpose(x, (0, 2, 1))) + 3.0 * ops.eye(4)
            gram = gram + ops.square(self.metric @ ops.transpose(self.metric))
            values, _ = ops.linalg.eigh(gram)
            q, r = ops.linalg.qr(gram)
            return {
                "cholesky": ops.linalg.cholesky(gram),
                "solved": ops.linalg.solve(gram, x),
                "inverse": ops.linalg.inv(gram),
                "determinant": ops.linalg.det(gram),
                "eigenvalues": values,
                "product": ops.matmul(q, r),
                "singular": ops.linalg.svd(x, full_matrices=False)[1],
                "norm": ops.linalg.norm(x, axis=-1),
            }

    return Case(LinearAlgebra(), floats(3, 4, 5))


@case
def ops_image():
    """`keras.ops.image`: resize, pad, crop, grayscale, patches."""

    class Images(keras.Model):
        def __init__(self):
            super().__init__()
            self.conv = keras.layers.Conv2D(3, 1)

        def call(self, x):
            y = ops.image.resize(self.conv(x), (10, 12), interpolation="bilinear")
            y = ops.image.pad_images(y, top_padding=1, left_padding=2, target_height=12, target_width=14)
            grey = ops.image.rgb_to_grayscale(y)
            patches = ops.image.extract_patches(grey, size=(4, 7))
            return patches, ops.image.crop_images(
                y, top_cropping=1, left_cropping=2, target_height=5, target_width=6
            )

    return Case(Images(), positives(3, 8, 9, 3))


@case
def ops_as_attributes_and_objects():
    """Ops are called through attributes, aliases, and `keras.activations`."""

    class Aliases(keras.Model):
        def __init__(self):
            super().__init__()
            self.activation = keras.activations.get("gelu")
            self.op = ops.tanh
            self.dense = keras.layers.Dense(4)

        def call(self, x):
            return self.op(keras.activations.relu(self.activation(self.dense(x)), max_value=2.0))

    return Case(Aliases(), floats(3, 5))


@case
def ops_with_tensors_as_keywords():
    """Ops get their tensors by keyword, and inside lists next to constants."""

    class Keywords(Weighted):
        def call(self, x):
            row = ops.concatenate([x, np.ones((1, 4), "float32")], axis=0)
            total = ops.add(x2=x, x1=self.weight)
            return ops.multiply(x1=total, x2=ops.sum(axis=0, x=row))

    return Case(Keywords(), floats(3, 4))


@case_since_keras("3.15")
def ops_of_a_mixed_list():
    """`ops.concatenate` and `ops.stack` take tensors, variables and arrays in one list."""

    class Mixed(Weighted):
        def call(self, x):
            stacked = ops.stack([ops.mean(x, axis=0), self.weight, floats(4, seed=1)])
            return ops.matmul(x, ops.transpose(stacked))

    return Case(Mixed(), floats(3, 4))


@case
def rank_as_a_python_number():
    """`ops.ndim` decides in Python which axes there are, of a tensor and of a weight."""

    class Ranked(Weighted):
        def call(self, x):
            axes = [1] * (ops.ndim(x) - ops.ndim(self.weight) or 7)
            return ops.reshape(self.weight, (*axes, 4)) * x

    return Case(Ranked(), floats(3, 5, 4))


# --- Ops that return several tensors -------------------------------------------------------


@case
def ops_returning_several_tensors():
    """`split`, `unstack`, `moments`, `meshgrid`: some results are used, some are not."""

    class Several(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(12)

        def call(self, x):
            query, key, _ = ops.split(self.dense(x), 3, axis=-1)
            head, *_, tail = ops.unstack(x, axis=1)
            mean, variance = ops.moments(x, axes=[1])
            left, right = ops.split(key, [1], axis=-1)
            return query * left + ops.sum(right), head - tail, mean / (variance + 1.0)

    return Case(Several(), floats(3, 5))


@case
def op_returning_several_tensors_as_outputs():
    """The tuple that `ops.top_k` returns is the model's output."""

    class Top(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(7)

        def call(self, x):
            return ops.top_k(self.dense(x), k=2)

    return Case(Top(), floats(3, 5))


# --- Dtypes --------------------------------------------------------------------------------


@case
def dtype_casts():
    """Casts to int, bool, float16 and back, and `convert_to_tensor` with a dtype."""

    class Casts(Weighted):
        def call(self, x):
            whole = ops.cast(x * 3.0, "int32")
            positive = ops.cast(x > 0, x.dtype)
            half = ops.cast(ops.cast(x, "float16") + 1.0, "float32")
            truth = ops.cast(ops.cast(whole, "bool"), self.compute_dtype)
            as_tensor = ops.convert_to_tensor(self.weight, dtype="float32")
            return ops.cast(whole // 2, "float32") + positive * half + truth * as_tensor

    return Case(Casts(), floats(3, 4))


@case
def integer_arithmetic():
    """Integer inputs, integer constants, and integer outputs."""

    class Integers(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding = keras.layers.Embedding(9, 4)

        def call(self, ids):
            shifted = (ids + 1) % 9
            return self.embedding(shifted * 2 // 2), ops.sum(shifted, axis=-1), ids == 3

    return Case(Integers(), integers(3, 5, below=9))


@case
def int64_and_uint8_inputs():
    """A dict of an int64 tensor and a uint8 image."""

    class SmallIntegers(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding = keras.layers.Embedding(9, 2)
            self.conv = keras.layers.Conv2D(2, 3)

        def call(self, inputs):
            image = ops.cast(inputs["image"], "float32") / 255.0
            return self.conv(image) + self.embedding(inputs["label"])[:, None, None, :]

    image = integers(3, 7, 6, 3, below=256, dtype="uint8")
    return Case(SmallIntegers(), {"image": image, "label": integers(3, below=9, dtype="int64")})


@case
def bool_input():
    """A bool input chooses between a tensor and a weight."""

    class Choice(Weighted):
        def call(self, inputs):
            x, keep = inputs
            # On JAX, Keras does not run `ops.where` with a Variable as such.
            chosen = ops.where(keep, x, ops.convert_to_tensor(self.weight))
            return chosen + ops.cast(ops.logical_not(keep), "float32")

    return Case(Choice(), [floats(3, 4), booleans(3, 4)])


@case
def float16_input():
    """A float16 input is cast to float32 on entry."""

    class FromHalf(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)

        def call(self, x):
            return self.dense(x * 1.001)

    return Case(FromHalf(), floats(3, 5, dtype="float16"))


@case
def float16_input_of_a_functional_model():
    """A Functional model with a float16 input, a custom float16 layer and a float32 head."""

    class HalfScale(keras.layers.Layer):
        def build(self, input_shape):
            self.scale = self.add_weight(shape=(input_shape[-1],), initializer=around_one())

        def call(self, x):
            return x * self.scale + 0.001

    inputs = keras.Input((5,), dtype="float16")
    hidden = HalfScale(dtype="float16")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(4, dtype="float32")(hidden))
    return Case(model, floats(3, 5, dtype="float16"), needs_input=False)


@case
def layer_without_autocast():
    """A custom layer has `autocast=False`: it sees the dtype that it is given."""

    class AsGiven(keras.layers.Layer):
        def __init__(self):
            super().__init__(autocast=False)

        def call(self, x):
            return x * 2 + ops.ones((5,), dtype=x.dtype)

    class Outer(keras.Model):
        def __init__(self):
            super().__init__(autocast=False)
            self.inner = AsGiven()
            self.dense = keras.layers.Dense(4)

        def call(self, x):
            y = self.inner(x)
            return y, self.dense(y)

    return Case(Outer(), floats(3, 5, dtype="float16"))


def mixed_precision_block(policy):
    """A block with its own weights under a mixed precision policy, and a float32 head."""

    class MixedBlock(keras.layers.Layer):
        def __init__(self):
            super().__init__(dtype=policy)
            self.dense = keras.layers.Dense(4, dtype=policy)
            self.normalize = layer_normalization(dtype=policy)

        def build(self, input_shape):
            self.scale = self.add_weight(shape=(4,), initializer=around_one())

        def call(self, x):
            return x + self.scale * self.normalize(self.dense(x))

    class MixedModel(keras.Model):
        def __init__(self):
            super().__init__(dtype=policy)
            self.block = MixedBlock()
            self.head = keras.layers.Dense(2, dtype="float32")

        def call(self, x):
            return self.head(self.block(x) * 3.0)

    return MixedModel()


@case
def mixed_float16():
    """Weights in float32, arithmetic in float16, the custom weight cast on reading."""
    return Case(mixed_precision_block("mixed_float16"), floats(3, 4))


@case
def mixed_bfloat16():
    """Weights in float32, arithmetic in bfloat16, the custom weight cast on reading."""
    return Case(mixed_precision_block("mixed_bfloat16"), floats(3, 4))


@case
def mixed_precision_of_one_layer():
    """Inside a float32 model one custom layer and one built-in layer are mixed_float16."""

    class HalfPower(keras.layers.Layer):
        def build(self, input_shape):
            self.power = self.add_weight(shape=(input_shape[-1],), initializer=around_one())

        def call(self, x):
            return ops.abs(x) ** self.power

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.first = keras.layers.Dense(4)
            self.power = HalfPower(dtype="mixed_float16")
            self.second = keras.layers.Dense(5, dtype="mixed_float16")
            self.bn = batch_normalization(dtype="mixed_float16")

        def call(self, x):
            return self.bn(self.second(self.power(self.first(x))))

    return Case(Outer(), floats(3, 6))


@case
def weight_of_another_dtype():
    """A mixed_float16 layer owns a float32 weight with `autocast=False` and an int table."""

    class OwnDtypes(keras.layers.Layer):
        def build(self, input_shape):
            self.scale = self.add_weight(
                shape=(input_shape[-1],), initializer=around_one(), dtype="float32", autocast=False
            )
            self.order = self.add_weight(shape=(4,), initializer=_descending, dtype="int32", trainable=False)

        def call(self, x):
            scaled = ops.cast(x, "float32") * self.scale
            return ops.cast(ops.take(scaled, self.order, axis=-1), self.compute_dtype)

    layer = OwnDtypes(dtype="mixed_float16")
    return Case(functional(layer, floats(3, 4)), floats(3, 4), needs_input=False)


def _descending(shape, dtype=None):
    return ops.cast(ops.flip(ops.arange(shape[0])), dtype)


@case_since_keras("3.12")
def ops_of_newer_keras():
    """Ops that older Keras lacks: `layer_normalization`, `rms_normalization`, `unfold`."""

    class Newer(Weighted):
        def call(self, x):
            y = ops.layer_normalization(x, gamma=self.weight, beta=None)
            return y + ops.rms_normalization(x, scale=self.weight)

    return Case(Newer(), floats(3, 4))

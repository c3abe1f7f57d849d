"""Python that goes through a tensor whose length is known: loops, unpacking, zip."""

import keras
from keras import ops

from zoo.case import Case, around_one, case, floats


class Weighted(keras.layers.Layer):
    """A layer with a weight for each feature."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer=around_one(), name="scale")


class Net(keras.Model):
    """A model of one layer: TensorFlow iterates over tensors only where it runs op by op."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def call(self, x):
        return self.layer(x)


def of_layer(layer, *shape):
    """A case of one layer."""
    return Case(Net(layer), floats(*shape))


@case
def unpacked_split():
    """`q, k, v = ops.split(...)` of a projection."""

    class Attend(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.project = keras.layers.Dense(12, use_bias=False)

        def build(self, shape):
            self.project.build(shape)

        def call(self, x):
            q, k, v = ops.split(self.project(x), 3, axis=-1)
            scores = ops.softmax(ops.matmul(q, ops.transpose(k, (0, 2, 1))) / 2.0)
            return ops.matmul(scores, v)

    return of_layer(Attend(), 3, 5, 4)


@case
def unpacked_with_a_star():
    """`first, *rest = ops.unstack(x)` and `*rest, last` of a tensor itself."""

    class Star(Weighted):
        def call(self, x):
            first, *rest = ops.unstack(self.scale * x, axis=1)
            *others, last = ops.transpose(x, (1, 0, 2))
            return first + sum(rest) + last - sum(others)

    return of_layer(Star(), 3, 4, 5)


@case
def loop_over_the_static_length():
    """`for t in range(x.shape[1])` with a state, and what it gives in a list."""

    class Steps(Weighted):
        def call(self, x):
            state, states = ops.zeros_like(x[:, 0]), []
            for t in range(x.shape[1]):
                state = ops.tanh(self.scale * state + x[:, t])
                states.append(state)
            return ops.stack(states, axis=1)

    return of_layer(Steps(), 3, 5, 4)


@case
def loop_over_rows():
    """`for row in x`, `enumerate`, `reversed` and a comprehension over a tensor without a free first axis."""

    class Rows(Weighted):
        def call(self, x):
            rows = ops.transpose(x, (1, 0, 2))
            total = ops.zeros_like(rows[0])
            for row in rows:
                total = total + self.scale * row
            for i, row in enumerate(rows):
                total = total - i * row
            return total + max(len(rows), 2) * sum(row * row for row in rows)

    return of_layer(Rows(), 3, 5, 4)


@case
def zipped_tensors():
    """`zip` of unstacked tensors, of a tensor with a weight, and of two weights."""

    class Zip(keras.layers.Layer):
        def build(self, shape):
            self.scales = self.add_weight(shape=(3, 4), initializer=around_one(), name="scales")
            self.shifts = self.add_weight(shape=(3, 4), initializer="random_normal", name="shifts")

        def call(self, x):
            total = ops.zeros_like(x[:, 0])
            scales, shifts = (ops.convert_to_tensor(w) for w in (self.scales, self.shifts))
            for part, scale, shift in zip(
                ops.unstack(x, axis=1), ops.unstack(scales), shifts * 1.0, strict=True
            ):
                total = total + scale * part + shift
            return total

    return of_layer(Zip(), 3, 3, 4)


@case
def loop_over_a_weight():
    """A weight, as a tensor, is gone through by its rows and unpacked."""

    class Kernel(keras.layers.Layer):
        def build(self, shape):
            self.kernel = self.add_weight(shape=(3, shape[-1]), initializer="random_normal", name="kernel")
            self.pair = self.add_weight(shape=(2, shape[-1]), initializer=around_one(), name="pair")

        def call(self, x):
            rows = ops.unstack(ops.convert_to_tensor(self.kernel))
            a, b = ops.unstack(ops.convert_to_tensor(self.pair))
            return ops.stack([ops.sum(row * x, axis=-1) for row in rows], axis=-1) * (a + b)[:3]

    return of_layer(Kernel(), 3, 4)


@case
def nested_unpacking():
    """Results of layers that return several tensors are unpacked in nested patterns."""

    class Several(Weighted):
        def call(self, x):
            a, b = ops.split(self.scale * x, 2, axis=-1)
            return (a, (b, a + b)), {"sum": a - b}

    class Unpack(keras.Model):
        def __init__(self):
            super().__init__()
            self.several = Several()

        def call(self, x):
            (a, (b, *rest)), named = self.several(x)
            mean, variance = ops.moments(x, axes=-1, keepdims=True)
            return a * b + rest[0] * named["sum"] + mean / (variance + 1.0)

    return Case(Unpack(), floats(3, 4))


@case
def list_of_a_tensor():
    """`list(x)`, `tuple(x)`, `x[-1]`, `len(x)`, `sorted` by index and slices of the list."""

    class Listed(Weighted):
        def call(self, x):
            rows = list(ops.transpose(self.scale * x, (1, 0, 2)))
            pairs = tuple(ops.transpose(x, (1, 0, 2)))
            return ops.concatenate(rows[1:] + rows[:1], axis=-1) * pairs[-1][:, :1] + float(len(pairs))

    return of_layer(Listed(), 3, 4, 5)


@case
def map_and_next():
    """`map`, `next(iter(x))`, and `sum` with a start."""

    class Mapped(Weighted):
        def call(self, x):
            rows = ops.transpose(x, (1, 0, 2))
            first = next(iter(rows))
            return sum(map(ops.square, rows), self.scale * first) + rows[len(rows) - 1]

    return of_layer(Mapped(), 3, 4, 5)


@case
def loop_over_windows():
    """Slices at steps of the static length, of which the last is shorter."""

    class Windows(Weighted):
        def call(self, x):
            length = x.shape[1]
            means = [ops.mean(x[:, i : i + 3], axis=1) for i in range(0, length, 3)]
            return self.scale * ops.stack(means, axis=1)

    return of_layer(Windows(), 3, 7, 4)

"""Branches and loops of keras.ops, whose functions become bodies of the graph."""

import keras
from keras import ops

from zoo.case import Case, around_one, case, floats, functional, positives


@case
def cond_of_layers():
    """Both branches call layers; one of the layers is called outside as well."""

    class Choose(keras.Model):
        def __init__(self):
            super().__init__()
            self.shared = keras.layers.Dense(4)
            self.other = keras.layers.Dense(4, activation="tanh")

        def call(self, x):
            y = self.shared(x)
            return ops.cond(ops.sum(y) > 0.0, lambda: self.shared(y) * 2.0, lambda: self.other(y))

    return Case(Choose(), floats(3, 4))


@case
def cond_with_a_custom_layer_inside():
    """A branch calls a layer of the user's, with a weight as left operand."""

    class Scale(keras.layers.Layer):
        def build(self, input_shape):
            self.scale = self.add_weight(shape=(input_shape[-1],), initializer=around_one())

        def call(self, x):
            return self.scale * x

    class Choose(keras.Model):
        def __init__(self):
            super().__init__()
            self.scale = Scale()

        def call(self, x):
            first = ops.cond(ops.max(x) > 0.5, lambda: self.scale(x), lambda: x)
            return ops.cond(ops.max(x) > 100.0, lambda: {"y": x}, lambda: {"y": first})["y"]

    return Case(Choose(), floats(3, 4))


@case
def cond_inside_cond():
    """A body captures what the body around it computed."""

    class Nested(keras.layers.Layer):
        def call(self, x):
            def outer():
                y = x * 2.0
                return ops.cond(ops.min(y) < 0.0, lambda: y + 1.0, lambda: y - 1.0)

            return ops.cond(ops.sum(x) > -1e9, outer, lambda: x)

    return Case(functional(Nested(), floats(3, 4)), floats(3, 4), needs_input=False)


@case
def cond_of_a_free_size():
    """The predicate compares a free size with the contents of a tensor; branches use the size."""

    class BySize(keras.layers.Layer):
        def call(self, x):
            batch = ops.shape(x)[0]
            mean = ops.sum(x, axis=0) / ops.cast(batch, "float32")
            return ops.cond(
                ops.sum(mean) > 0.0, lambda: ops.broadcast_to(mean, (batch, 4)), lambda: ops.zeros((batch, 4))
            )

    return Case(functional(BySize(), floats(3, 4)), floats(3, 4), needs_input=False)


@case
def cond_of_a_python_value():
    """The predicate is an attribute: the branch is chosen while tracing."""

    class Fixed(keras.layers.Layer):
        flag = False

        def call(self, x):
            return ops.cond(self.flag, lambda: x * 2.0, lambda: x - 1.0)

    return Case(functional(Fixed(), floats(3, 4)), floats(3, 4), needs_input=False)


@case
def switch_with_operands():
    """`ops.switch` hands tensors to the branch it takes."""

    class Pick(keras.layers.Layer):
        def build(self, input_shape):
            self.kernel = self.add_weight(shape=(4, 4), initializer="random_normal")

        def call(self, x):
            index = ops.cast(ops.sum(x) < 1e9, "int32")
            branches = [lambda a, b: a + b, lambda a, b: ops.matmul(a, self.kernel), lambda a, b: a - b]
            return ops.switch(index, branches, x, x * 2.0)

    return Case(functional(Pick(), floats(3, 4)), floats(3, 4), needs_input=False)


@case
def while_loop_with_a_counter():
    """The loop variables are a Python number and a tensor; the body uses a weight."""

    class Iterate(keras.layers.Layer):
        def build(self, input_shape):
            self.kernel = self.add_weight(shape=(4, 4), initializer="random_normal")

        def call(self, x):
            def step(i, y):
                return i + 1, ops.tanh(ops.matmul(y, self.kernel)) + x

            return ops.while_loop(lambda i, y: i < 3, step, (0, x))[1]

    # Its gradient does not exist on JAX, whose while loops only go forward.
    return Case(functional(Iterate(), floats(3, 4)), floats(3, 4), needs_input=False)


@case
def fori_loop_of_a_few_steps():
    """A short loop is unrolled: layers stay layers, and Dropout may draw in it where the backend lets it."""

    class Repeat(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4, activation="tanh")
            # Its state would leave JAX's loop as a tracer.
            self.dropout = keras.layers.Dropout(0.0 if keras.backend.backend() == "jax" else 0.3, seed=1)

        def call(self, x):
            def step(i, y):
                return self.dropout(self.dense(y)) + ops.cast(i, "float32") * x

            return ops.fori_loop(0, 3, step, x)

    return Case(Repeat(), floats(3, 4))


@case
def fori_loop_with_a_dense_layer():
    """A built-in layer that is called in a long loop is opened, its weights are captured."""

    class Repeat(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4, activation="tanh")

        def build(self, input_shape):
            self.dense.build(input_shape)

        def call(self, x):
            return ops.fori_loop(0, 20, lambda i, y: self.dense(y) + 0.01 * ops.cast(i, "float32"), x)

    return Case(Repeat(), floats(3, 4))


@case
def map_of_a_structure():
    """The function of `ops.map` takes and gives dicts."""

    class Rows(keras.layers.Layer):
        def call(self, x):
            mapped = ops.map(lambda r: {"s": r["a"] * r["b"], "m": ops.mean(r["a"])}, {"a": x, "b": x + 1.0})
            return mapped["s"] + mapped["m"][:, None]

    return Case(functional(Rows(), positives(3, 4)), positives(3, 4), needs_input=False)


@case
def vectorized_map_over_a_weight():
    """The mapped function multiplies with a weight."""

    class Rows(keras.layers.Layer):
        def build(self, input_shape):
            self.kernel = self.add_weight(shape=(4, 5), initializer="random_normal")

        def call(self, x):
            return ops.vectorized_map(lambda row: ops.matmul(ops.expand_dims(row, 0), self.kernel)[0], x)

    return Case(functional(Rows(), floats(3, 4)), floats(3, 4), needs_input=False)


@case
def scan_with_layers():
    """A recurrent layer by `ops.scan`, with two built-in layers in its body."""

    class Recurrent(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.state = keras.layers.Dense(4)
            self.gate = keras.layers.Dense(4, activation="sigmoid")

        def build(self, input_shape):
            self.state.build((None, 4))
            self.gate.build((None, 4))

        def call(self, x):
            def step(h, row):
                h = self.gate(row) * ops.tanh(self.state(h) + row)
                return h, h * 2.0

            rows = ops.transpose(x, (1, 0, 2))
            h, out = ops.scan(step, ops.zeros_like(rows[0]), rows)
            return ops.concatenate([h, ops.sum(out, axis=0)], axis=-1)

    return Case(functional(Recurrent(), floats(3, 5, 4)), floats(3, 5, 4), needs_input=False)


@case
def loop_beside_a_training_branch():
    """The loop is the same in both modes; the Dense layer after the branch is called once in each."""

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)

        def call(self, x, training=None):
            y = ops.fori_loop(0, 20, lambda i, y: ops.tanh(y) + x, x)
            if training:
                y = y * 2.0
            return self.dense(y)

    return Case(Net(), floats(3, 4))

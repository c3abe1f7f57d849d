"""Branches and loops of TensorFlow."""

import keras
import tensorflow as tf

from zoo.case import Case, case, floats, functional, positives


class Weighted(keras.layers.Layer):
    """A layer with a square matrix."""

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(4, 4), initializer="random_normal")


@case
def tf_cond():
    """`tf.cond` of a tensor; one branch uses a weight."""

    class Choose(Weighted):
        def call(self, x):
            return tf.cond(tf.reduce_sum(x) > -1e9, lambda: tf.matmul(x, self.kernel), lambda: x)

    return Case(functional(Choose(), floats(3, 4)), floats(3, 4), needs_input=False)


@case
def tf_case_and_switch_case():
    """`tf.case` with two predicates, `tf.switch_case` with an index out of range."""

    class Choose(Weighted):
        def call(self, x):
            total = tf.reduce_sum(x)
            pairs = [(total > 1e9, lambda: x * 2.0), (total > -1e9, lambda: tf.matmul(x, self.kernel))]
            y = tf.case(pairs, default=lambda: x)
            index = tf.cast(total > 1e9, tf.int32) - 1
            return tf.switch_case(index, [lambda: y + 1.0, lambda: y * 3.0])

    return Case(functional(Choose(), floats(3, 4)), floats(3, 4), needs_input=False)


@case
def tf_while_loop():
    """`tf.while_loop` with a counter and a tensor."""

    class Iterate(Weighted):
        def call(self, x):
            def body(i, y):
                return [tf.add(i, 1), tf.tanh(tf.matmul(y, self.kernel)) + x]

            _, y = tf.while_loop(lambda i, y: tf.less(i, 3), body, [tf.constant(0), x])
            return y

    return Case(functional(Iterate(), floats(3, 4)), floats(3, 4), needs_input=False)


@case
def tf_map_fn_and_vectorized_map():
    """The mapped functions use a weight and give another dtype."""

    class Rows(Weighted):
        def call(self, x):
            y = tf.map_fn(lambda row: tf.linalg.matvec(self.kernel, row), x)
            z = tf.map_fn(lambda row: tf.cast(tf.argmax(row), tf.int32), x, fn_output_signature=tf.int32)
            v = tf.vectorized_map(lambda row: row / tf.reduce_max(row), x)
            return y + v + tf.cast(z, tf.float32)[:, tf.newaxis]

    return Case(functional(Rows(), positives(3, 4)), positives(3, 4), needs_input=False)


@case
def tf_scan_and_foldl():
    """A recurrence by `tf.scan`, its end by `tf.foldl`."""

    class Recurrent(Weighted):
        def call(self, x):
            rows = tf.transpose(x, [1, 0, 2])
            start = tf.zeros_like(rows[0])

            def step(state, row):
                return tf.tanh(tf.matmul(state, self.kernel) + row)

            states = tf.scan(step, rows, initializer=start)
            return tf.transpose(states, [1, 0, 2])[:, -1] + tf.foldl(step, rows, initializer=start)

    return Case(functional(Recurrent(), floats(3, 5, 4)), floats(3, 5, 4), needs_input=False)


@case
def tf_while_loop_over_a_tensor_array():
    """A `tf.TensorArray` is no tensor: the layer stays whole."""

    class Collect(keras.layers.Layer):
        def call(self, x):
            array = tf.TensorArray(tf.float32, size=3)
            loop = tf.while_loop(lambda i, a: i < 3, lambda i, a: (i + 1, a.write(i, x * 2.0)), (0, array))
            return tf.reduce_sum(loop[1].stack(), axis=0)

    model = functional(Collect(), floats(3, 4))
    return Case(model, floats(3, 4), needs_input=False, expect_opaque=("Collect",))

"""Functions with a gradient of their own, and calls that save memory in training."""

import keras
from keras import ops

from zoo.case import Case, around_one, case, floats, functional


@case
def gradient_of_the_users():
    """`ops.custom_gradient`: the gradient is the user's code, so the layer stays whole."""

    @ops.custom_gradient
    def clipped(x):
        def grad(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            return ops.clip(upstream, -0.01, 0.01)

        return x * 2.0, grad

    class Clip(keras.layers.Layer):
        def call(self, x):
            return clipped(x)

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)
            self.clip = Clip()

        def call(self, x):
            return self.clip(self.dense(x))

    return Case(Net(), floats(3, 4), expect_opaque=("Clip",))


@case
def stopped_gradient():
    """The gradient stops in one of two branches, whose weight is on the left."""

    class Stop(keras.layers.Layer):
        def build(self, shape):
            self.scale = self.add_weight(shape=(4,), initializer=around_one())
            self.other = self.add_weight(shape=(4,), initializer=around_one())

        def call(self, x):
            return self.scale * x + ops.stop_gradient(ops.tanh(self.other * x)) * x

    return Case(functional(Stop(), floats(3, 4)), floats(3, 4), needs_input=False)


@case
def straight_through():
    """Rounding whose gradient is that of the identity."""

    class Round(keras.layers.Layer):
        def call(self, x):
            return x + ops.stop_gradient(ops.round(x) - x)

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense, self.round = keras.layers.Dense(4), Round()

        def call(self, x):
            return self.round(self.dense(x))

    return Case(Net(), floats(3, 4))


@case
def rematerialized_function():
    """`keras.remat` of a function of the layer."""

    class Block(keras.layers.Layer):
        def build(self, shape):
            self.kernel = self.add_weight(shape=(4, 4))

        def call(self, x):
            return keras.remat(lambda y: ops.tanh(ops.matmul(y, self.kernel)))(x) + x

    return Case(functional(Block(), floats(3, 4)), floats(3, 4), needs_input=False)


class Residual(keras.layers.Layer):
    """A layer of another one."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(4, activation="tanh", bias_initializer="random_normal")

    def build(self, shape):
        self.dense.build(shape)

    def call(self, x):
        return x + self.dense(x)


@case
def layers_made_in_a_remat_scope():
    """Custom and built-in layers that are computed again in the backward pass."""

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            with keras.RematScope(mode="full"):
                self.blocks = [Residual(), Residual()]
                self.dense = keras.layers.Dense(3)

        def call(self, x):
            for block in self.blocks:
                x = block(x)
            return self.dense(x)

    return Case(Net(), floats(3, 4))

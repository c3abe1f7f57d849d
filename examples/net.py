# net.py
import keras
from keras import ops


class Block(keras.layers.Layer):
    def __init__(self, width):
        super().__init__()
        self.norm = keras.layers.LayerNormalization()
        self.dense = keras.layers.Dense(width)
        self.scale = self.add_weight((width,), "ones", name="scale")

    def call(self, x):
        return x + self.scale * ops.relu(self.dense(self.norm(x)))


class Net(keras.Model):
    def __init__(self, width=8):
        super().__init__()
        self.blocks = [Block(width), Block(width)]
        self.kernel = self.add_weight((width, 3), name="kernel")
        self.bias = self.add_weight((3,), "zeros", name="bias")

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        return ops.matmul(ops.mean(x, axis=1), self.kernel) + self.bias

# net.py
import keras
from keras import ops


class Block(keras.layers.Layer):
    def __init__(self, width):
        super().__init__()
        self.norm, self.dense = keras.layers.LayerNormalization(), keras.layers.Dense(width)
        self.scale = self.add_weight(shape=(width,), initializer="ones", name="scale")

    def call(self, x):
        return x + self.scale * ops.relu(self.dense(self.norm(x)))


class Net(keras.Model):
    def __init__(self, width=8):
        super().__init__()
        self.blocks = [Block(width), Block(width)]
        self.kernel = self.add_weight(shape=(width, 3), name="kernel")
        self.bias = self.add_weight(shape=(3,), initializer="zeros", name="bias")

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        return ops.matmul(ops.mean(x, axis=1), self.kernel) + self.bias

"""Message passing by keras-geometric; one function each."""

from keras_geometric import layers

from benchmarks.zoo.example import Axis, Example, Tensor, integers, normal

NODES = Axis("batch", 6, others=(8, 9))
INPUTS = [Tensor((NODES, 5), normal()), Tensor((2, Axis("edges", 10, others=(7, 13))), integers(6))]


def geometric_attention() -> Example:
    return Example(layers.GATv2Conv(4, heads=2, dropout=0.1), (INPUTS,))


def geometric_isomorphism() -> Example:
    return Example(layers.GINConv(4, mlp_hidden=[8], train_eps=True), (INPUTS,))

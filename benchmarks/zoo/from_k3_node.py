"""Graph networks of k3-node; one function each. The nodes of all graphs stand behind one another."""

from k3_node import layers, models

from benchmarks.zoo.example import Axis, Example, Tensor, integers, normal

NODES = Axis("batch", 6, others=(8, 9))
EDGES = Axis("edges", 10, others=(7, 13))

FEATURES = Tensor((NODES, 5), normal())
EDGE_INDEX = Tensor((2, EDGES), integers(6))


def k3n_gat() -> Example:
    """Attention along the edges, with features of these."""
    layer = layers.GATConv(5, 4, heads=2, edge_dim=3)
    return Example(layer, (FEATURES, EDGE_INDEX), {"edge_attr": Tensor((EDGES, 3), normal(seed=1))})


def k3n_hypergraph() -> Example:
    layer = layers.HypergraphConv(5, 4)
    return Example(layer, (FEATURES, EDGE_INDEX), {"num_edges": 6})


def k3n_light_gcn() -> Example:
    """Ranks pairs of users and items."""
    pairs = Tensor((2, Axis("batch", 4, others=(1, 5))), integers(9, seed=1))
    return Example(models.LightGCN(10, 6, num_layers=2), (Tensor((2, EDGES), integers(9)), pairs))


def k3n_schnet() -> Example:
    """Finds the neighbours of each of six atoms itself."""
    model = models.SchNet(hidden_channels=8, num_filters=8, num_interactions=2, num_gaussians=6, cutoff=5.0)
    return Example(model, (Tensor((6,), integers(10)), Tensor((6, 3), normal())))

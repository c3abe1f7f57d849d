"""Graph networks of molecules from kgcnn, which pad and pack the atoms themselves; one function each."""

import numpy as np
from kgcnn.literature import PAiNN, Schnet

from benchmarks.zoo.example import Axis, Example, Values, integers, normal, of_functional

ATOMS, EDGES = Axis("atoms", 4), Axis("edges", 6)
LENGTHS = {"node": (ATOMS,), "edge": (EDGES,), "total": ()}


def _fixed(number: int) -> Values:
    return lambda shape: np.full(shape, number, "int64")


VALUES = {
    "node_number": integers(9, dtype="int64"),
    "node_coordinates": normal(),
    "edge_indices": integers(3, dtype="int64"),
    "total_nodes": _fixed(3),
    "total_edges": _fixed(5),
}


def kgcnn_schnet() -> Example:
    model = Schnet.make_model(
        input_node_embedding={"input_dim": 10, "output_dim": 8},
        interaction_args={"units": 8, "use_bias": True, "activation": "swish", "cfconv_pool": "scatter_sum"},
        depth=2,
        gauss_args={"bins": 5, "distance": 4, "offset": 0.0, "sigma": 0.4},
        last_mlp={"use_bias": [True, True], "units": [8, 8], "activation": ["swish", "swish"]},
        output_mlp={"use_bias": [True, True], "units": [8, 1], "activation": ["swish", "linear"]},
    )
    return of_functional(model, LENGTHS, VALUES)


def kgcnn_painn() -> Example:
    """Equivariant: vectors of each atom turn with the molecule."""
    model = PAiNN.make_model(
        input_node_embedding={"input_dim": 10, "output_dim": 8},
        equiv_initialize_kwargs={"dim": 3, "method": "zeros", "units": 8},
        bessel_basis={"num_radial": 4, "cutoff": 5.0, "envelope_exponent": 5},
        conv_args={"units": 8, "cutoff": None, "conv_pool": "scatter_sum"},
        update_args={"units": 8, "add_eps": False},
        depth=2,
        output_mlp={"use_bias": [True, True], "units": [8, 1], "activation": ["swish", "linear"]},
    )
    return of_functional(model, LENGTHS, VALUES)

"""Operators and physics of keras-sciml; one function each."""

from keras_sciml import models

from benchmarks.zoo.example import LARGER_BATCH, Axis, Example, Tensor, normal

POINTS = Axis("points", 7)


def sciml_fourier_operator() -> Example:
    """The same for any grid: keeps the lowest frequencies of each direction."""
    grid = Tensor(
        (LARGER_BATCH, Axis("height", 8, others=(10,)), Axis("width", 12, others=(9,)), 2), normal()
    )
    return Example(models.FNO2D(modes=3, width=4, depth=2, out_channels=1, projection_dim=8), (grid,))


def sciml_deep_o_net() -> Example:
    """A function, given at sensors, evaluated at points."""
    model = models.DeepONet(
        latent_dim=6, branch_input_dim=5, trunk_input_dim=2, hidden_layers=2, hidden_units=8
    )
    sensors, points = Tensor((LARGER_BATCH, 5), normal()), Tensor((POINTS, 2), normal(seed=1))
    return Example(model, ([sensors, points],))


def sciml_pinn() -> Example:
    model = models.PINN(hidden_layers=2, hidden_units=8, use_fourier_features=True, fourier_dim=4)
    return Example(model, (Tensor((LARGER_BATCH, 2), normal()),))

"""Layers of keras-proba that know how uncertain they are; one function each."""

import keras
from keras_proba import layers

from benchmarks.zoo.example import BATCH, LARGER_BATCH, Example, Tensor, normal, of_functional


def proba_gaussian_process() -> Example:
    """Random features, and the covariance of the posterior, which training updates."""
    layer = layers.RandomFeatureGaussianProcess(3, num_inducing=8)
    return Example(layer, (Tensor((LARGER_BATCH, 5), normal()),))


def proba_variational() -> Example:
    """Draws its weights in every call, and adds their divergence to the loss."""
    x = keras.Input((5,))
    hidden = layers.DenseReparameterization(6, activation="relu")(x)
    return of_functional(keras.Model(x, layers.DenseReparameterization(2)(hidden)), batch=LARGER_BATCH)


def proba_spectral() -> Example:
    """Bounds the norm of a convolution by power iterations."""
    x = keras.Input((6, 6, 2))
    wrapped = layers.SpectralNormalizationConv2D(keras.layers.Conv2D(3, 3, padding="same"))
    return of_functional(keras.Model(x, wrapped(x)), batch=BATCH)


def proba_mixture() -> Example:
    x = keras.Input((5,))
    hidden = keras.layers.Dense(8, activation="tanh")(x)
    head = layers.MixtureGaussianHead(num_components=3, units=2)
    return of_functional(keras.Model(x, head(hidden)), batch=LARGER_BATCH)

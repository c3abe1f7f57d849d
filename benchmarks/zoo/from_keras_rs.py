"""Recommenders made of the layers of keras-rs; one function each."""

import keras
from keras_rs import layers

from benchmarks.zoo.example import LARGER_BATCH, Example, integers, normal, of_functional, positive


def rs_dcn_v2() -> Example:
    features = crossed = keras.Input((8,))
    for _ in range(3):
        crossed = layers.FeatureCross(projection_dim=4)(features, crossed)
    return of_functional(keras.Model(features, keras.layers.Dense(1)(crossed)), batch=LARGER_BATCH)


def rs_dlrm() -> Example:
    dense = keras.Input((8,))
    categories = [keras.Input((), dtype="int32", name=f"category_{i}") for i in range(3)]
    embedded = [keras.layers.Embedding(10, 6)(x) for x in categories]
    features = [keras.layers.Dense(6)(dense), *embedded]
    joined = keras.layers.Concatenate()([layers.DotInteraction()(features), features[0]])
    return of_functional(
        keras.Model([dense, *categories], keras.layers.Dense(1)(joined)),
        values={f"category_{i}": integers(10, seed=i) for i in range(3)},
        batch=LARGER_BATCH,
    )


def rs_bruteforce_retrieval() -> Example:
    """The best five of 30 candidates, which are weights."""
    query = keras.Input((8,))
    candidates = normal()((30, 8))
    return of_functional(
        keras.Model(query, layers.BruteForceRetrieval(candidates, k=5)(query)), batch=LARGER_BATCH
    )


def rs_embed_reduce() -> Example:
    ids = keras.Input((5,), dtype="int32", name="ids")
    weights = keras.Input((5,), name="weights")
    reduced = layers.EmbedReduce(10, 4, combiner="sqrtn")(ids, weights)
    return of_functional(
        keras.Model([ids, weights], reduced),
        values={"ids": integers(10), "weights": positive()},
        batch=LARGER_BATCH,
    )

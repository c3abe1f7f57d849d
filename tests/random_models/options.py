"""What a model is prepared with, beside what every one is: the arguments that a user gives some of."""

from typing import Any

import keras

from kerasfx.passes import any_, op, rewrite, split_activations
from tests.random_models.values import MODULE

BUILT_IN = (keras.layers.Dense, keras.layers.LayerNormalization, keras.layers.MultiHeadAttention)


def is_inner(layer: keras.Layer) -> bool:
    """Whether a layer is of the first class that the module of a model has beside that of the model."""
    return type(layer).__module__ == MODULE and type(layer).__name__ == "Inner1"


def is_built_in(layer: keras.Layer) -> bool:
    """Whether a layer is one of those built-in ones that are told to be opened."""
    return type(layer) in BUILT_IN


def as_sums(graph: Any) -> bool:
    """A pass of a user's: differences become sums, and activations layers of their own, to the bit."""
    pattern = op.subtract(any_("x", _is_float), any_("y", _is_float))
    changed = split_activations(graph, ["relu", "tanh"])
    return rewrite(graph, pattern, _sum) or changed


def _is_float(value: Any) -> bool:
    return value.dtype == "float32"


def _sum(graph: Any, found: Any) -> Any:
    negative = graph.make("keras.ops.negative", found["y"])
    graph.insert_before(found.root, negative)
    return graph.make("keras.ops.add", found["x"], negative.outputs, like=found.root)


OPTIONS: dict[str, dict[str, Any]] = {
    "": {},
    "names": {"names": "original"},
    "unshare": {"unshare": True},
    "inference": {"mode": "inference"},
    "training": {"mode": "training"},
    "class": {"keep_class": True},
    "portable": {"portable": True},
    "leaves": {"leaves": [is_inner]},
    "opened": {"opened": [is_built_in]},
    "passes": {"passes": [as_sums]},
}
"""The arguments of `prepare_model` beside those of every model, by a word."""


def options_of(word: str, layers: list[keras.Layer]) -> dict[str, Any]:
    """The arguments of a word, without selectors that match none of the layers: these are refused."""
    options = OPTIONS[word]
    selectors = [select for key in ("leaves", "opened") for select in options.get(key, ())]
    return options if all(any(map(select, layers)) for select in selectors) else {}

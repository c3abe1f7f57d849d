"""Training by a `train_step` of the example's own: does the prepared model learn what the original learns?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from benchmarks.zoo.example import Example
from kerasfx.comparing.measure import (
    EQUAL,
    Difference,
    Tolerance,
    structure_difference,
    tensor_difference,
    worst,
)
from kerasfx.handover.provenance import provenance_of

# Updates carry the rounding of gradients, as they may in `kerasfx.compare`.
TOLERANCE = Tolerance(factor=10.0)


def trained_alike(example: Example, prepare: Callable[..., keras.Model]) -> Difference:
    """Trains the prepared model and then the original, and compares logs and weights.

    A model that is flat already comes back as it is, and learns what it learns.
    """
    options = {**example.options, **({"keep_class": True} if example.has_own_step else {})}
    prepared = prepare(example.model, example.input_layer(), **options)
    if prepared is example.model:
        return EQUAL
    received, expected = (_logs(example, model) for model in (prepared, example.model))
    logs = structure_difference(expected, received, TOLERANCE, path="logs")
    pairs = provenance_of(prepared).variables
    return worst([logs, *(tensor_difference(v.path, v, w, TOLERANCE) for v, w in pairs)])


def _logs(example: Example, model: keras.Model) -> Any:
    keras.utils.set_random_seed(0)
    # Keras tells them as numbers of Python, which would have to be equal to the bit.
    return keras.tree.map_structure(np.float32, example.own_step(model))

"""What a layer may do, by field.

A step is a function of the writer of the layer, one or two tensors and a number that chooses among the ways
to write it. It returns a tensor, or None, having written nothing, if the tensors are none for it.
"""

import keras

from tests.random_models.steps import (
    arithmetic,
    calling,
    control,
    parts,
    python,
    shapes,
    state,
    training,
)
from tests.random_models.steps.native import NATIVE

_MODULES = (arithmetic, shapes, parts, training, state, control, python, calling)

KINDS_BY_FIELD = {
    module.__name__.rpartition(".")[2]: {step.__name__: step for step in module.STEPS} for module in _MODULES
} | {"native": NATIVE[keras.backend.backend()]}
"""Each step by its field and its name; those of `native` are the running backend's."""

KINDS = {f"{field}.{name}": step for field, steps in KINDS_BY_FIELD.items() for name, step in steps.items()}

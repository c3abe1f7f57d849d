"""What the patterns of passes and rules are written with."""

from __future__ import annotations

import keras

from kerasfx.ir import Value
from kerasfx.ir.match import Functions

op = Functions("keras.ops", keras.ops)
"""Patterns of the functions of `keras.ops`: `op.add(any_("x"), 1.0)`."""


def is_tensor(x: object) -> bool:
    """Whether an argument is computed when the model is called: no weight, no constant."""
    return isinstance(x, Value) and not x.is_known

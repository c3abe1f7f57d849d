"""Regularizers and constraints whose calls of functions were recorded: what a file has in their place."""

from __future__ import annotations

from typing import Any

import keras

from kerasfx.errors import describe
from kerasfx.runtime import codec, safety
from kerasfx.runtime.functions import resolve

Shape = tuple[int | None, ...]


class _Recorded:
    """A function of one tensor that was recorded for arguments of some shapes.

    Args:
        cases: For each shape `{"shape": with None for free sizes, "body": an encoded body}`.

    Raises:
        UnsafeFileError: They are something else; they may come from a file.
    """

    def __init__(self, cases: list[dict[str, Any]]):
        safety.require_shallow(cases)
        safety.require(isinstance(cases, list), "A recorded function has no list of cases.")
        for case in cases:
            is_case = isinstance(case, dict) and case.keys() == {"shape", "body"}
            is_case = is_case and isinstance(case["body"], dict) and case["body"].keys() == {"$body"}
            safety.require(is_case, "A recorded function has no shape or no body.")
            safety.require_shape(case["shape"], may_be_free=True)
            safety.require_arguments(case["body"])
        self.cases = cases

    def __call__(self, x: Any) -> Any:
        shape = tuple(x.shape)
        # One object may be the regularizer of several weights.
        case = next((c for c in self.cases if _fits(shape, c["shape"])), None)
        if case is None:
            known = [tuple(c["shape"]) for c in self.cases]
            raise ValueError(
                describe(
                    f"A recorded function is called with a tensor of shape {shape}.",
                    why=f"it was recorded for {known}",
                    hint="prepare the original for these shapes, or give the layer a regularizer "
                    "or constraint of Keras",
                )
            )
        return codec.decode(case["body"], [], codec.size_of, resolve)(keras.ops.convert_to_tensor(x))

    def get_config(self) -> dict[str, Any]:
        return {"cases": self.cases}


def _fits(shape: Shape, wanted: list[int | None]) -> bool:
    return len(shape) == len(wanted) and all(
        None in (a, b) or a == b for a, b in zip(shape, wanted, strict=True)
    )


@keras.saving.register_keras_serializable("kerasfx")
class RecordedRegularizer(_Recorded, keras.regularizers.Regularizer):
    """A regularizer as the functions that it calls."""


@keras.saving.register_keras_serializable("kerasfx")
class RecordedConstraint(_Recorded, keras.constraints.Constraint):
    """A constraint as the functions that it calls."""

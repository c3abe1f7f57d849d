"""A weight or constant that a layer holds beside what it computes, and how its config says what it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasfx.runtime import codec, safety

SMALL_CONSTANT = 64
"""Constants with at most this many elements are kept in the config, larger ones with the weights."""

CONSTANT = "constant"
"""The name of the variable of a large constant."""


@dataclass(frozen=True)
class HeldWeight:
    """What makes a weight: a clone begins with another value of the same kind.

    Attributes:
        name: Of the variable, in its layer.
        shape, dtype: Of the weight.
        trainable: Whether it is trained.
        regularizer, constraint: Objects of Keras, their configs, or None.
        value: A small constant, encoded (`kerasfx.runtime.codec.encode_plain`); it is no variable.
        is_constant: Whether the original has no such variable: it is where a large constant is kept.
    """

    name: str
    shape: Sequence[int]
    dtype: str = "float32"
    trainable: bool = True
    regularizer: Any = None
    constraint: Any = None
    value: Any = None
    is_constant: bool = False

    @classmethod
    def of_variable(cls, variable: keras.Variable, name: str, **given: object) -> HeldWeight:
        """A weight like a variable; its `regularizer` and `constraint` may be others, that are `given`."""
        kinds: dict[str, Any] = {
            kind: given.get(kind, getattr(variable, kind)) for kind in ("regularizer", "constraint")
        }
        return cls(name, tuple(variable.shape), str(variable.dtype), bool(variable.trainable), **kinds)

    @classmethod
    def of_constant(cls, array: np.ndarray) -> HeldWeight:
        """A constant that holds `array`, which is given to its variable if it is a large one."""
        value = codec.encode_plain(array) if array.size <= SMALL_CONSTANT else None
        dtype = keras.backend.standardize_dtype(array.dtype)
        return cls(
            CONSTANT, list(array.shape), dtype, trainable=False, value=value, is_constant=value is None
        )

    @classmethod
    def from_config(cls, config: Any) -> HeldWeight:
        """The weight that a config describes.

        Raises:
            UnsafeFileError: It describes none.
        """
        is_one = isinstance(config, dict) and set(config) <= set(cls.__dataclass_fields__)
        safety.require(is_one and isinstance(config.get("name"), str), "A held weight is none.")
        safety.require_shape(config.get("shape"))
        safety.require_dtype(config.get("dtype", "float32"))
        for flag in ("trainable", "is_constant"):
            is_flag = isinstance(config.get(flag, True), bool)
            safety.require(is_flag, f"'{flag}' of a weight is true or false, and nothing else.")
        require_constant(config.get("value"))
        return cls(**config).with_objects()

    def with_objects(self) -> HeldWeight:
        """The same, with a regularizer and a constraint that are objects.

        Raises:
            UnsafeFileError: What stands there is something else.
        """
        regularizer = safety.require_kind(
            keras.regularizers.get(self.regularizer), keras.regularizers.Regularizer, self.regularizer
        )
        constraint = safety.require_kind(
            keras.constraints.get(self.constraint), keras.constraints.Constraint, self.constraint
        )
        return replace(self, shape=tuple(self.shape), regularizer=regularizer, constraint=constraint)

    def config(self) -> dict[str, Any]:
        """What `from_config` reads; what is usual is left out."""
        said = {
            "trainable": self.trainable,
            "regularizer": keras.regularizers.serialize(self.regularizer),
            "constraint": keras.constraints.serialize(self.constraint),
            "value": self.value,
            "is_constant": self.is_constant,
        }
        usual = {field.name: field.default for field in fields(self)}
        told = {key: x for key, x in said.items() if x != usual[key]}
        return {"name": self.name, "shape": list(self.shape), "dtype": self.dtype, **told}

    def add_to(self, layer: keras.layers.Layer) -> keras.Variable:
        """Make the variable in a layer."""
        # What a clone begins with: matrices of zeros would not train.
        is_matrix = len(self.shape) > 1 and "float" in self.dtype and self.trainable
        return layer.add_weight(
            shape=self.shape,
            dtype=self.dtype,
            initializer="glorot_uniform" if is_matrix else "zeros",
            trainable=self.trainable,
            autocast=False,
            regularizer=self.regularizer,
            constraint=self.constraint,
            name=self.name,
        )

    def constant(self) -> Any:
        """The tensor of a small constant."""
        array = codec.decode(self.value, [], codec.size_of)
        return ops.convert_to_tensor(array, dtype=self.dtype)


def require_constant(value: object) -> None:
    """Refuse what is neither an encoded array nor None.

    Raises:
        UnsafeFileError: It is neither.
    """
    is_array = isinstance(value, dict) and "$array" in value
    safety.require(value is None or is_array, "The value of a constant is no array.")
    safety.require_arguments(value)

"""What the layers of kerasfx have in common."""

from __future__ import annotations

from typing import Any

import keras

from kerasfx.runtime import safety


class Plain(keras.layers.Layer):
    """A layer that neither casts its inputs nor passes masks on, as an op on tensors does neither."""

    def __init__(self, **kwargs: Any):
        # Whatever policy is given: an op does not cast.
        kwargs.pop("dtype", None)
        super().__init__(dtype="float32", autocast=False, **kwargs)
        # Else Keras warns of each mask that goes no further.
        self.supports_masking = True

    def build(self, *args: object, **kwargs: object) -> None:
        # For a layer without a `build` of its own Keras runs `call` to build it.
        self.built = True

    def compute_mask(self, inputs: object, previous_mask: object = None) -> Any:
        return None

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        # It is the same for all, and no argument of theirs.
        config.pop("dtype")
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        # Keras's own makes an object of whatever is given as `dtype`, and a TypeError of all errors.
        safety.require_shallow(config)
        return cls(**config)


def data_of(inputs: object) -> list[Any]:
    """The inputs of a layer, in a list: tensors, or numbers in their places."""
    tensors = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    safety.require_data(tensors)
    return tensors


def acts(when: bool | None, training: object) -> bool:
    """Whether something is done in this mode that is to be done when `training` is `when`, or always."""
    # Where nobody says `training`, it is inference.
    return when is None or when == bool(training)

"""The nouns: one input, and a call of the model with several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from kerasfx.ir import leaves_of, map_leaves
from kerasfx.reporting import Finding


class Inputs:
    """The arguments of a `call` that takes several: `kerasfx.Inputs(x, context=c, inverse=True)`.

    Tensors (given as `keras.Input`, example array or shape, or structures of them) become inputs of the
    prepared model, which is called with a dict of them keyed by argument name; Python values are fixed.
    """

    def __init__(self, *args: object, **kwargs: object):
        self.args = args
        self.kwargs = kwargs


@dataclass(frozen=True)
class InputSpec:
    """One input.

    Attributes:
        shape: With None for free sizes.
        dtype: As a string.
        name: The name that it should get.
        example: The array that it was given as, or None.
        first: The first size of the array or shape that it was given as, which is taken for the batch.
    """

    shape: tuple[int | None, ...]
    dtype: str
    name: str
    # `==` of arrays has no truth value.
    example: Any = field(default=None, compare=False, repr=False)
    first: int | None = field(default=None, compare=False, repr=False)

    @property
    def batch(self) -> int | None:
        """The batch of the example."""
        return np.shape(self.example)[0] if np.ndim(self.example) else None


@dataclass(frozen=True)
class CallSpec:
    """How the model is called.

    Attributes:
        args, kwargs: The arguments, with an `InputSpec` in the place of each tensor.
        struct: The structure with which the prepared model is called, of the same `InputSpec` objects.
        findings: What the user should know about how it was found.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    struct: Any
    findings: tuple[Finding, ...] = ()

    def changed(self, change: Callable[[InputSpec], InputSpec]) -> CallSpec:
        """The same call of other inputs, one made by `change` for each."""
        # By `id`: the specs of the arguments and of the structure are the same objects.
        made: dict[int, InputSpec] = {}

        def swap(x: object) -> Any:
            return made.setdefault(id(x), change(x)) if isinstance(x, InputSpec) else x

        args, kwargs, struct = map_leaves(swap, (self.args, self.kwargs, self.struct))
        return replace(self, args=args, kwargs=kwargs, struct=struct)

    def examples(self) -> Any:
        """The arrays in the structure of the inputs, or None if one of these was given otherwise."""
        given = all(x.example is not None for x in leaves_of(self.struct))
        return map_leaves(lambda x: x.example, self.struct) if given else None

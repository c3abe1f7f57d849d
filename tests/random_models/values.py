"""The tensors of a model whose code is being written."""

from dataclasses import dataclass, replace

MODULE = "made_at_random"
"""The module that the code of a model is."""

BATCH, TIME = "b", "t"
"""The sizes that may be free, as entries of a shape; the others are numbers."""

Dims = tuple[int | str, ...]


@dataclass(frozen=True)
class Value:
    """A tensor: the name that the code has for it, its shape and its dtype."""

    name: str
    shape: Dims
    dtype: str = "float32"

    def __str__(self) -> str:
        return self.name

    @property
    def rank(self) -> int:
        """The number of axes, the batch among them."""
        return len(self.shape)

    @property
    def width(self) -> int:
        """The size of the last axis; 0 if it is free, or the batch."""
        last = self.shape[-1] if self.shape else 0
        return last if isinstance(last, int) else 0

    @property
    def is_float(self) -> bool:
        """Whether one can compute with it as with numbers of the usual kind."""
        return self.dtype == "float32"

    @property
    def is_batched(self) -> bool:
        """Whether its first axis is the batch, and no other is."""
        return self.shape[:1] == (BATCH,) and BATCH not in self.shape[1:]

    @property
    def is_features(self) -> bool:
        """Whether it is a batch of floats with a last axis that layers take for features."""
        return self.is_float and self.is_batched and self.rank > 1 and self.width > 0

    @property
    def is_sequence(self) -> bool:
        """Whether it has the axes batch, time, features."""
        return self.is_features and self.rank == 3

    @property
    def is_static(self) -> bool:
        """Whether all but the batch is known."""
        return self.is_batched and all(isinstance(dim, int) for dim in self.shape[1:])

    def of_shape(self, shape: Dims) -> "Value":
        """The same with another shape."""
        return replace(self, shape=shape)


def broadcast(x: Dims, y: Dims) -> Dims | None:
    """The shape of `x + y`, or None where the two do not go together whatever the free sizes are."""
    longer = max(len(x), len(y))
    pairs = zip((1,) * (longer - len(x)) + x, (1,) * (longer - len(y)) + y, strict=True)
    shape: list[int | str] = []
    for i, j in pairs:
        if i != j and 1 not in (i, j):
            return None
        shape.append(j if i == 1 else i)
    return tuple(shape)

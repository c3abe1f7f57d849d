"""How far two structures of tensors are apart, and how far they may be."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kerasfx.keras_api.arrays import in_double, largest_gap, same_bits, to_numpy

# Largest difference allowed, relative to the largest magnitude in the reference tensor.
# The two half precisions: four units in the last place.
_RELATIVE = {"float64": 1e-12, "float32": 1e-5, "float16": 4 * 2.0**-10, "bfloat16": 4 * 2.0**-7}
_ABSOLUTE = 1e-6


@dataclass(frozen=True)
class Tolerance:
    """How far two tensors may be apart when they are not equal bit for bit.

    Attributes:
        relative: Allowed difference relative to the largest magnitude of the reference;
            None takes a default by dtype, 0.0 demands equal numbers.
        precision: The coarsest float dtype the original computes in. A float32 result of
            float16 arithmetic carries float16 rounding.
        factor: Multiplies everything; gradients are allowed ten times as much.
        unit: The magnitude at which the absolute part of the default is meant. Gradients have no
            natural unit, so theirs is the largest gradient of the model.
    """

    relative: float | None = None
    precision: str = "float32"
    factor: float = 1.0
    unit: float = 1.0

    def allowed(self, magnitude: float, dtype: str) -> float:
        """The largest difference from a tensor of this largest magnitude that passes; 0 for non-floats."""
        if "float" not in dtype and "complex" not in dtype:
            return 0.0
        if self.relative is not None:
            return self.factor * self.relative * magnitude
        # The coarser of the two: float32 that was computed in halves carries their rounding.
        relative = max(_RELATIVE.get(dtype, 1e-5), _RELATIVE.get(self.precision, 1e-5))
        return self.factor * (relative * magnitude + _ABSOLUTE * self.unit)


@dataclass(frozen=True)
class Difference:
    """Two things compared: equal to the bit, equal within tolerance, or neither and why.

    Attributes:
        exact: Whether every bit is equal.
        within: Whether they are equal within tolerance.
        largest: The largest difference of two numbers; infinite where none can be given.
        reason: What differs.
        relative: `largest` relative to the largest magnitude of the reference.
    """

    exact: bool = True
    within: bool = True
    largest: float = 0.0
    reason: str = ""
    relative: float = 0.0


EQUAL = Difference()


def unlike(reason: str) -> Difference:
    """The difference of two things of another kind, for which no number can be given."""
    return Difference(exact=False, within=False, largest=math.inf, reason=reason, relative=math.inf)


def worst(differences: Iterable[Difference]) -> Difference:
    """All differences as one: it carries the reason of the gravest, the first among equals."""
    found = list(differences) or [EQUAL]
    # Structure and shape are infinite, so they come before any number.
    gravest = max(found, key=lambda d: (not d.within, d.largest, not d.exact))
    return Difference(
        exact=all(d.exact for d in found),
        within=all(d.within for d in found),
        largest=max(d.largest for d in found),
        reason=gravest.reason,
        relative=max(d.relative for d in found),
    )


def leaves(structure: object, path: str = "output") -> Iterator[tuple[str, Any]]:
    """Yields (path, leaf) of nested dicts, lists and tuples; None is a leaf."""
    if isinstance(structure, Mapping):
        # As Keras flattens; keys may be of kinds that do not compare.
        for key in sorted(structure, key=str):
            yield from leaves(structure[key], f"{path}[{key!r}]")
    elif isinstance(structure, list | tuple):
        for index, item in enumerate(structure):
            yield from leaves(item, f"{path}[{index}]")
    else:
        yield path, structure


def skeleton(structure: object) -> str:
    """The structure in one line, tensors as `*`: `{'logits': *, 'states': [*, None]}`."""
    if isinstance(structure, Mapping):
        items = (f"{key!r}: {skeleton(structure[key])}" for key in sorted(structure, key=str))
        return "{" + ", ".join(items) + "}"
    if isinstance(structure, list):
        return "[" + ", ".join(map(skeleton, structure)) + "]"
    if isinstance(structure, tuple):
        named = "" if type(structure) is tuple else type(structure).__name__
        return f"{named}(" + ", ".join(map(skeleton, structure)) + ")"
    return "*" if is_tensor(structure) else repr(structure)


def is_tensor(leaf: object) -> bool:
    """Whether a leaf holds numbers: a backend tensor, a KerasTensor, a variable or an array."""
    return keras.ops.is_tensor(leaf) or isinstance(
        leaf, keras.KerasTensor | keras.Variable | np.ndarray | np.generic
    )


def structure_difference(
    reference: Any, other: Any, tolerance: Tolerance, path: str = "output"
) -> Difference:
    """Compares two nested structures: containers, None, Python values and every tensor.

    A number of `reference` may be a tensor in `other`, and a word or dtype None: a Functional model, whose
    outputs are tensors, can give nothing else.
    """
    reference = _as_tensors(reference, other)
    if skeleton(reference) != skeleton(other):
        return unlike(f"structure {skeleton(reference)} became {skeleton(other)}")
    pairs = zip(leaves(reference, path), leaves(other, path), strict=True)
    return worst(tensor_difference(where, x, y, tolerance) for (where, x), (_, y) in pairs)


def _as_tensors(reference: Any, other: Any) -> Any:
    """`reference` with the Python values that `other` has as tensors, or left out, said likewise."""
    if isinstance(reference, Mapping) and isinstance(other, Mapping):
        return {k: _as_tensors(v, other.get(k, v)) for k, v in reference.items()}
    for kind in (list, tuple):
        if type(reference) is type(other) is kind and len(reference) == len(other):
            return kind(map(_as_tensors, reference, other))
    if isinstance(reference, bool | int | float | complex | np.generic) and is_tensor(other):
        value = reference.item() if isinstance(reference, np.generic) else reference
        dtype = dtype_of(other) if isinstance(reference, np.generic) else None
        return keras.ops.convert_to_tensor(value, dtype)
    is_left_out = other is None and isinstance(reference, str | bytes | np.dtype | type(_backend_dtype()))
    return None if is_left_out else reference


def _backend_dtype() -> Any:
    """A dtype as the running backend has them."""
    return keras.ops.ones(()).dtype


def tensor_difference(where: str, reference: Any, other: Any, tolerance: Tolerance) -> Difference:
    """Compares two leaves, in this order: kind, dtype, shape, bits, numbers.

    Args:
        where: The name of the leaf in messages.
        reference: A tensor of any shape and dtype, None, or a Python value.
        other: What should equal it.
        tolerance: How far floats may be apart. Other dtypes must be equal.
    """
    if not (is_tensor(reference) and is_tensor(other)):
        equal = type(reference) is type(other) and (is_tensor(reference) or reference == other)
        return EQUAL if equal else unlike(f"{where}: {_kind(reference)} became {_kind(other)}")
    dtypes = [dtype_of(x) for x in (reference, other)]
    if dtypes[0] != dtypes[1]:
        return unlike(f"{where}: dtype {dtypes[0]} became {dtypes[1]}")
    x, y = to_numpy(reference), to_numpy(other)
    if x.shape != y.shape:
        return unlike(f"{where}: shape {x.shape} became {y.shape}")
    return EQUAL if _same_bits(x, y) else _number_difference(where, x, y, dtypes[0], tolerance)


def _kind(leaf: object) -> str:
    return "a tensor" if is_tensor(leaf) else repr(leaf)


def _same_bits(x: np.ndarray, y: np.ndarray) -> bool:
    # Strings are arrays of pointers; their bytes say nothing.
    return np.array_equal(x, y) if x.dtype.kind in "OSU" else same_bits(x, y)


def _number_difference(
    where: str, x: np.ndarray, y: np.ndarray, dtype: str, tolerance: Tolerance
) -> Difference:
    if x.dtype.kind in "OSU":
        return unlike(f"{where}: strings differ")
    largest, magnitude = largest_gap(x, y), largest_magnitude(x)
    if math.isinf(largest):
        return unlike(f"{where}: NaN or infinite in other places")
    allowed = tolerance.allowed(magnitude, dtype)
    reason = f"{where}: differs by {largest:.2g} (allowed {allowed:.2g})"
    # Of zeros no share can be said.
    relative = largest / magnitude if magnitude else (math.inf if largest else 0.0)
    return Difference(False, largest <= allowed, largest, reason, relative)


def largest_magnitude(values: np.ndarray) -> float:
    """The largest finite absolute value in an array of any shape; 0.0 if there is none."""
    magnitudes = np.abs(in_double(values))
    return float(magnitudes[np.isfinite(magnitudes)].max(initial=0.0))


def finite_share(values: np.ndarray) -> float:
    """The share of finite numbers in an array of any shape; 1.0 when it is empty."""
    return float(np.isfinite(in_double(values)).mean()) if values.size else 1.0


def dtype_of(tensor: Any) -> str:
    """The name of a dtype as Keras spells it; `string` for every kind of string."""
    kind = getattr(tensor.dtype, "kind", "")
    return "string" if kind in ("O", "S", "U") else keras.backend.standardize_dtype(tensor.dtype)

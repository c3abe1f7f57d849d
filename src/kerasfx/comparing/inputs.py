"""Random inputs that a model accepts: its own names, shapes and dtypes, sensible ranges."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kerasfx.comparing.measure import leaves, skeleton
from kerasfx.errors import NoSampleError
from kerasfx.keras_api.arrays import to_numpy
from kerasfx.keras_api.internals import all_layers, calls_that_take

Range = tuple[int, int]

LENGTHS = ((8, 12), (32, 48), (128, 160))
"""Pairs of lengths for unknown dimensions; later ones are for models that refuse short inputs."""

_BINARY_NAMES = ("mask", "padding", "segment", "token_type")

NO_INPUTS = (
    "kerasfx.compare cannot make inputs for '{b}', because it is not a Functional model and so "
    "does not say what it takes. Pass example inputs: kerasfx.compare(a, b, inputs=x)."
)
WRONG_STRUCTURE = (
    "The inputs given to kerasfx.compare do not have the structure that '{b}' takes.\n"
    "  '{b}' takes: {expected}\n"
    "  received:    {received}\n"
    "Pass them as you would call the prepared model: kerasfx.compare(a, b, inputs=x) with b(x)."
)
WRONG_SHAPE = (
    "The input '{name}' given to kerasfx.compare has shape {received}, but '{b}' takes {expected} "
    "there. Pass an array of that shape, the first dimension being the batch."
)
NO_VALUES = (
    "kerasfx.compare calls both models, and a keras.Input holds no values. Pass arrays: "
    "kerasfx.compare(a, b, inputs=x); without inputs= it makes random ones."
)
NO_ROWS = (
    "The inputs given to kerasfx.compare hold no rows: one has shape {received}. Pass arrays with the batch "
    "first, of one row or more."
)
UNKNOWN_RANGE = (
    "kerasfx.compare got a range for '{name}', but '{b}' has no such input. Its inputs are: "
    "{known}. Use one of these names: ranges={{'{first}': (0, 10)}}."
)
UNSUPPORTED_DTYPE = (
    "kerasfx.compare cannot make random values of dtype {dtype} for the input '{name}' of '{b}'. "
    "Pass example inputs: kerasfx.compare(a, b, inputs=x)."
)


class UnfitInputsError(NoSampleError):
    """Inputs do not have the structure or the shapes that a model takes."""


class NoRandomValuesError(NoSampleError):
    """There are no random values of a dtype."""


@dataclass(frozen=True)
class Slot:
    """One input of a model: name, shape (None: free), dtype, and the range if it is an integer."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    range: Range = (0, 10)


@dataclass(frozen=True)
class Sample:
    """Inputs for one call of both models, and how to name them in a message."""

    inputs: Any
    label: str


def input_structure(model: keras.Layer) -> Any:
    """The symbolic inputs of a Functional or Sequential model as it takes them, or None."""
    try:
        if isinstance(model, keras.Sequential):
            return model.inputs[0]
        return model.input
    # What Keras raises for a model that has no symbolic inputs.
    except (AttributeError, ValueError):
        return None


def slots_of(model: keras.Layer, ranges: Mapping[str, Range] | None = None) -> list[Slot]:
    """The inputs of a Functional model, flattened in Keras's order.

    Args:
        model: A Functional or Sequential model.
        ranges: Half-open ranges of integer inputs by input name; the others are found.

    Raises:
        ValueError: `ranges` names an input that the model does not have.
    """
    tensors = keras.tree.flatten(input_structure(model))
    known = [tensor.name for tensor in tensors]
    for name in ranges or ():
        if name not in known:
            raise ValueError(
                UNKNOWN_RANGE.format(name=name, b=model.name, known=", ".join(known), first=known[0])
            )
    return [_slot(tensor, (ranges or {}).get(tensor.name)) for tensor in tensors]


def _slot(tensor: keras.KerasTensor, given: Range | None) -> Slot:
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    found = given or (integer_range(tensor) if _is_integer(dtype) else (0, 10))
    return Slot(tensor.name, tuple(tensor.shape), dtype, found)


def _is_integer(dtype: str) -> bool:
    return "int" in dtype


LEAST = 2
"""How many rows and steps a random sample has at least."""


def integer_range(tensor: keras.KerasTensor) -> Range:
    """The integers that every embedding accepts that a symbolic integer tensor reaches.

    Args:
        tensor: A KerasTensor of an integer dtype, any shape.

    Returns:
        A half-open range; without an embedding (0, 2) for masks and segments, else (0, 10).
    """
    limits = list(_limits(tensor))
    # By their names: nothing else tells a mask from a token.
    if any(word in tensor.name.lower() for word in _BINARY_NAMES):
        limits.append(2)
    return 0, max(1, min(limits, default=10))


def _limits(start: keras.KerasTensor) -> Iterator[int]:
    """Follows a tensor through everything that keeps it an integer, or casts it."""
    waiting, seen = [start], {id(start)}
    while waiting:
        tensor = waiting.pop()
        for node in calls_that_take(tensor):
            yield from _limits_of_node(node)
            # A Sequential casts the indices of its Embedding.
            is_cast = _called(node.operation) == "cast"
            fresh = [t for t in node.outputs if (is_cast or _is_integer(t.dtype)) and id(t) not in seen]
            seen |= {id(t) for t in fresh}
            waiting += fresh


def _called(operation: Any) -> str:
    """The function of `keras.ops` that an operation is of."""
    # A layer `Op` names it, and an operation of Keras has its class name.
    name = getattr(operation, "op", type(operation).__name__)
    return str(name).lower().rsplit(".", 1)[-1]


def _limits_of_node(node: Any) -> Iterator[int]:
    operation = node.operation
    if _called(operation) == "take":
        tables = [t for t in node.arguments.keras_tensors if not _is_integer(t.dtype)]
        yield from (table.shape[0] or LEAST for table in tables if table.shape)
    if isinstance(operation, keras.Layer):
        for layer in all_layers(operation):
            if isinstance(layer, keras.layers.Embedding):
                yield layer.input_dim
            elif isinstance(layer, keras.layers.CategoryEncoding):
                yield layer.num_tokens


def random_samples(
    model: keras.Layer,
    slots: Sequence[Slot],
    *,
    batch_sizes: Sequence[int],
    lengths: Sequence[int],
    count: int,
    seed: int,
    padding: float = 0.0,
) -> list[Sample]:
    """Random inputs, `count` for each batch size, in the structure that the model takes.

    Args:
        model: The Functional model that the slots belong to.
        slots: Its inputs.
        batch_sizes: Sizes of the first dimension, where it is free.
        lengths: Sizes of the other free dimensions, one for each batch size (repeated in turn).
        count: How many samples for each batch size.
        seed: Same seed, same samples.
        padding: The value that marks a padded time step of a float input.

    Raises:
        NoRandomValuesError: An input has a dtype for which there are none.
    """
    random = np.random.default_rng(seed)
    free = any(dim is None for slot in slots for dim in slot.shape[1:])
    samples = []
    for index, batch in enumerate(batch_sizes):
        length = lengths[index % len(lengths)]
        label = f"batch {batch}, length {length}" if free else f"batch {batch}"
        for number in range(count):
            drawn = [_draw(slot, batch, length, random, padding, model.name) for slot in slots]
            inputs = keras.tree.pack_sequence_as(input_structure(model), drawn)
            samples.append(Sample(inputs, f"{label}, sample {number + 1}"))
    return samples


def _draw(
    slot: Slot, batch: int, length: int, random: np.random.Generator, padding: float, owner: str
) -> np.ndarray:
    # All free lengths alike: they mostly mean the same.
    free = [batch, *[length] * len(slot.shape)]
    shape = [free[axis] if dim is None else dim for axis, dim in enumerate(slot.shape)]
    if slot.dtype == "bool":
        return _padded(random.random(shape) < 0.75, 0, rank=2)
    if _is_integer(slot.dtype):
        values = random.integers(*slot.range, size=shape).astype(slot.dtype)
        # 0 stands for padding only where it is in the range.
        return _padded(values, 0, rank=2) if slot.range[0] <= 0 else values
    if not keras.backend.is_float_dtype(slot.dtype):
        raise NoRandomValuesError(UNSUPPORTED_DTYPE.format(dtype=slot.dtype, name=slot.name, b=owner))
    values = _padded(random.standard_normal(shape).astype("float32"), padding, rank=3)
    return to_numpy(keras.ops.convert_to_tensor(values, dtype=slot.dtype))


def _padded(values: np.ndarray, padding: float, rank: int) -> np.ndarray:
    """Pads the ends of all rows but the first, the later the more, if these are sequences.

    Without padding no mask would ever be False: in a vocabulary of 20000 a random 0 is rare.
    """
    if values.ndim == rank and values.shape[1] > 1:
        quarter = max(1, values.shape[1] // 4)
        for row in range(1, len(values)):
            values[row, max(1, values.shape[1] - quarter * row) :] = padding
    return values


def given_samples(model: keras.Layer, inputs: object, seed: int) -> list[Sample]:
    """The user's inputs, and once more with one row added and all rows shuffled.

    Args:
        model: The model that takes them.
        inputs: Nested structure of arrays, tensors or None, batch first.
        seed: Decides the order of the rows.

    Raises:
        UnfitInputsError: The inputs do not have the structure or the shapes that the model takes.
    """
    given = Sample(inputs, "the inputs given")
    for _, leaf in leaves(inputs):
        if leaf is not None and np.shape(leaf)[:1] == (0,):
            raise UnfitInputsError(NO_ROWS.format(received=np.shape(leaf)))
    structure = input_structure(model)
    if structure is None:
        return [given]
    slots = _matched(model, structure, inputs)
    arrays = [leaf for _, leaf in leaves(inputs) if leaf is not None]
    if any(slot.shape[:1] != (None,) for slot in slots) or not _have_one_batch(arrays):
        return [given]
    rows = len(arrays[0])
    # One row more: a batch that was fixed shows.
    order = np.random.default_rng(seed).permutation(rows + 1) % rows
    more = keras.tree.map_structure(lambda leaf: None if leaf is None else to_numpy(leaf)[order], inputs)
    return [given, Sample(more, f"the inputs given, rows shuffled, batch {rows + 1}")]


def fits(model: keras.Layer, inputs: object) -> bool:
    """Whether `inputs` have the structure and the shapes that a Functional model takes."""
    structure = input_structure(model)
    try:
        return structure is not None and bool(_matched(model, structure, inputs))
    except UnfitInputsError:
        return False


def _have_one_batch(arrays: list[Any]) -> bool:
    """Whether the arrays may be shuffled together; nodes and edges of a graph may not."""
    return len({np.shape(x)[0] for x in arrays}) == 1


def ranges_of(model: keras.Layer, inputs: object) -> dict[str, Range]:
    """The half-open range of the values in each integer input, by name of the input; inputs as above."""
    tensors, arrays = (keras.tree.flatten(x) for x in (input_structure(model), inputs))
    known = {t.name: to_numpy(x) for t, x in zip(tensors, arrays, strict=True) if _is_integer(t.dtype)}
    return {name: (int(x.min()), int(x.max()) + 1) for name, x in known.items() if x.size}


def _matched(model: keras.Layer, structure: object, inputs: object) -> list[Slot]:
    """The slots of a model, after it was seen that the inputs fit them."""
    if any(isinstance(x, keras.KerasTensor) for x in keras.tree.flatten(inputs)):
        raise UnfitInputsError(NO_VALUES)
    expected, received = (keras.tree.flatten(x) for x in (structure, inputs))
    if _loose(structure) != _loose(inputs) or len(expected) != len(received):
        raise UnfitInputsError(
            WRONG_STRUCTURE.format(b=model.name, expected=skeleton(structure), received=skeleton(inputs))
        )
    slots = slots_of(model)
    for slot, leaf in zip(slots, received, strict=True):
        if leaf is not None and not _fits(np.shape(leaf), slot.shape):
            raise UnfitInputsError(
                WRONG_SHAPE.format(name=slot.name, received=np.shape(leaf), b=model.name, expected=slot.shape)
            )
    return slots


def _loose(structure: object) -> str:
    """The skeleton, with None (an optional input) like a tensor, lists like tuples."""
    line = skeleton(keras.tree.map_structure(lambda _: None, structure))
    return line.replace("[", "(").replace("]", ")")


def _fits(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    return len(shape) == len(expected) and all(
        wanted in (None, size) for size, wanted in zip(shape, expected, strict=True)
    )


def padding_value(model: keras.Layer) -> float:
    """The value that marks padding for the first `Masking` layer in a model; 0.0 without one."""
    masking = (x for x in all_layers(model) if isinstance(x, keras.layers.Masking))
    return next((float(layer.mask_value) for layer in masking), 0.0)

"""The weights of a SavedModel of TensorFlow, for a model that code makes anew.

A SavedModel holds variables and a program, and no layers. Its variables are paired with those of the model
one to one, or nothing is loaded; then the program runs, and the model has to give what it gives.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasfx.cli.usage import WrongUsage
from kerasfx.errors import UnverifiedWarning
from kerasfx.ir import leaves_of
from kerasfx.keras_api.arrays import to_numpy
from kerasfx.tracing.where import Paths

SHOWN = 8
"""Variables that a message lists."""

_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
_BESIDE = re.compile(r"(.*variables|_?optimizer|save_counter|keras_api)\.|.*seed_generator|save_counter$")
"""What lies beside the weights: lists of variables, the optimizer, random states."""

_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


@dataclass(frozen=True)
class Stored:
    """A variable of a SavedModel.

    Attributes:
        key: By which attributes it is reached: `"blocks/0/dense/_kernel"`.
        name: What it was called: `"net/dense/kernel"`.
        array: Its value.
    """

    key: str
    name: str
    array: np.ndarray

    def __str__(self) -> str:
        return f"{self.name or self.key} {self.array.shape}"


def load_saved_model(model: Any, folder: Path) -> None:
    """Give `model`, which is built, the weights of a SavedModel.

    Raises:
        WrongUsage: The two do not belong together one to one, or do not compute the same.
    """
    if keras.config.backend() != "tensorflow":
        raise WrongUsage(
            f"--weights {folder}: a SavedModel is read by TensorFlow.", hint="--backend tensorflow"
        )
    stored = _read(folder)
    pairs = _by_path(model, stored) or _by_name(model, stored) or _in_order(model, stored)
    if pairs is None:
        raise _do_not_fit(model, stored, folder)
    for variable, one in pairs:
        variable.assign(one.array)
    _require_same_results(model, folder)


Pairs = list[tuple[keras.Variable, Stored]]


def _read(folder: Path) -> list[Stored]:
    import tensorflow as tf
    from tensorflow.core.protobuf.trackable_object_graph_pb2 import (  # pyright: ignore
        TrackableObjectGraph,
    )

    checkpoint = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
    graph = TrackableObjectGraph.FromString(checkpoint.get_tensor(_GRAPH))
    names = {each.checkpoint_key: each.full_name for node in graph.nodes for each in node.attributes}
    keys = [key for key in checkpoint.get_variable_to_shape_map() if key.endswith(_VALUE)]
    return [
        Stored(key.removesuffix(_VALUE), names.get(key, "").partition(":")[0], checkpoint.get_tensor(key))
        for key in sorted(keys)
    ]


def _by_path(model: Any, stored: Sequence[Stored]) -> Pairs | None:
    """By the attributes that lead to each, as `tf.saved_model.save(model)` writes them."""
    paths = Paths(model)
    # `blocks[0].dense.kernel`, which is blocks/0/dense/_kernel there.
    ours = {paths.of_variable(v).replace("[", ".").replace("]", ""): v for v in _weights_of(model)}
    theirs = {re.sub(r"(^|/)_", r"\1", one.key).replace("/", "."): one for one in stored}
    return _paired(ours, theirs)


def _by_name(model: Any, stored: Sequence[Stored]) -> Pairs | None:
    """By what each is called, where no two are called alike."""
    listed = _listed(stored) or stored
    return _paired({v.path: v for v in _weights_of(model)}, {one.name: one for one in listed})


def _paired(ours: dict[str, keras.Variable], theirs: dict[str, Stored]) -> Pairs | None:
    if set(ours) != {name for name in theirs if name in ours or not _BESIDE.match(name)}:
        return None
    pairs = [(variable, theirs[name]) for name, variable in ours.items()]
    return pairs if all(_fit(*pair) for pair in pairs) else None


def _in_order(model: Any, stored: Sequence[Stored]) -> Pairs | None:
    """By their order, as `model.export` lists them, if last names and shapes agree."""
    listed, ours = _listed(stored), list(model.variables)
    if len(listed) != len(ours):
        return None
    pairs = list(zip(ours, listed, strict=True))
    fits = all(_fit(v, one) and v.name == one.name.rpartition("/")[2] for v, one in pairs)
    return pairs if fits else None


def _listed(stored: Sequence[Stored]) -> list[Stored]:
    """The variables in the list of this name."""
    by_key = {one.key: one for one in stored}
    found = []
    for i in count():
        if f"variables/{i}" not in by_key:
            return found
        found.append(by_key[f"variables/{i}"])
    return found


def _fit(variable: keras.Variable, one: Stored) -> bool:
    return tuple(variable.shape) == one.array.shape


def _weights_of(model: Any) -> list[keras.Variable]:
    """The variables but the states of random generators, which not every SavedModel holds."""
    return [v for v in model.variables if not v.path.endswith("seed_generator_state")]


def _do_not_fit(model: Any, stored: Sequence[Stored], folder: Path) -> WrongUsage:
    ours = [f"{v.path} {tuple(v.shape)}" for v in model.variables]
    theirs = [str(one) for one in _listed(stored) or stored if not one.key.startswith("_all_variables")]
    return WrongUsage(
        f"--weights {folder}: its variables are not those of '{model.name}' one to one; none was loaded.\n"
        f"{_in_lines('of the model', ours)}\n{_in_lines('of the SavedModel', theirs)}",
        why="they are paired by attributes, by names, or by their order with last names and shapes",
        hint="the code and its arguments (--arg) with which the SavedModel was made",
    )


def _in_lines(whose: str, names: Sequence[str]) -> str:
    more = [f"    and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return "\n".join([f"  {whose} ({len(names)}):", *(f"    {name}" for name in names[:SHOWN]), *more])


def _require_same_results(model: Any, folder: Path) -> None:
    """Run the program that lies beside the variables: alike shapes alone prove nothing.

    Raises:
        WrongUsage: The model gives something else.
    """
    difference = None
    try:
        difference = _difference(model, folder)
    # Whatever the program or the model raises for inputs that were made up.
    except Exception as error:
        why = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        what = f"the weights of {folder} fit by name and shape, but were not tried: it was not run ({why})"
        warnings.warn(what, UnverifiedWarning, stacklevel=2)
    if difference is not None and not difference < TOLERANCE:
        raise WrongUsage(
            f"--weights {folder}: with its weights '{model.name}' computes something else than it.",
            why=f"on random inputs the results differ by {difference:.1e} of the largest",
            hint="the code with which the SavedModel was made: weights of one shape may have changed places",
        )


TOLERANCE = 1e-3
"""Relative to the largest result; weights in each other's place make more, compiled functions less."""


def _difference(model: Any, folder: Path) -> float:
    """The largest difference of the results on random inputs, relative to the largest result."""
    import tensorflow as tf

    program = tf.saved_model.load(str(folder)).signatures["serving_default"]
    specs = program.structured_input_signature[1]
    arrays = {name: _example(spec) for name, spec in specs.items()}
    theirs = program(**{name: tf.constant(array) for name, array in arrays.items()})
    (given,) = arrays.values()
    ours = [to_numpy(x) for x in leaves_of(model(given))]
    # They are called output_0, output_1...
    results = [to_numpy(theirs[name]) for name in sorted(theirs, key=lambda n: (len(n), n))]
    largest = max(float(np.max(np.abs(x))) for x in results)
    if [x.shape for x in ours] != [x.shape for x in results]:
        return float("inf")
    return max(float(np.max(np.abs(x - y))) for x, y in zip(ours, results, strict=True)) / (largest or 1.0)


def _example(spec: Any) -> np.ndarray:
    """Random numbers for an input; whole ones are 0 and 1, which every table has."""
    shape = [2, *(8 if size is None else size for size in spec.shape[1:])]
    draws = np.random.default_rng(0)
    dtype = spec.dtype.as_numpy_dtype
    return (draws.integers(0, 2, shape) if spec.dtype.is_integer else draws.standard_normal(shape)).astype(
        dtype
    )

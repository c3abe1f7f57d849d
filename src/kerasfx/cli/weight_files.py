"""`--weights`: a file with the weights of a model that code makes anew."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import h5py

from kerasfx.cli.saved_models import load_saved_model
from kerasfx.cli.usage import WrongUsage
from kerasfx.tracing import trace

FORMS = "a .weights.h5 file, a .keras file, or the folder of a SavedModel"


def load_weights(model: Any, inputs: Any, path: Path) -> None:
    """Build `model` and give it the weights of a file.

    Raises:
        WrongUsage: There is no such file, or it does not hold the weights of this model.
    """
    if not path.exists():
        raise WrongUsage(f"--weights {path}: there is no such file.")
    if path.is_dir() and (path / "saved_model.pb").exists():
        build(model, inputs)
        return load_saved_model(model, path)
    if not path.name.endswith((".weights.h5", ".keras")):
        raise WrongUsage(f"--weights {path}: no weights are read from that.", hint=FORMS)
    build(model, inputs)
    try:
        model.load_weights(path)
    # The last two come of a .keras file that is none.
    except (ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
        told = [line for line in str(error).splitlines() if line.strip()]
        what = f"--weights {path}: it does not fit '{model.name}'."
        raise WrongUsage(what, why="\n         ".join(told[:2])) from None
    _require_all_taken(model, path)


def build(model: Any, inputs: Any) -> None:
    """Have the variables of a model made, which those of a subclassed model are when it is first called.

    Raises:
        InputRequiredError: It was not built, and nothing says what it is called with.
    """
    if not model.built:
        trace(model, inputs)


def _require_all_taken(model: Any, path: Path) -> None:
    """Refuse a file of a larger model, of which Keras takes a part in silence.

    Raises:
        WrongUsage: It holds weights for which the model has no place.
    """
    with tempfile.TemporaryDirectory() as folder:
        # What of a model is in a file is Keras's to say.
        own = Path(folder, "own.weights.h5")
        model.save_weights(own)
        stored, has = _number_of_weights(path), _number_of_weights(own)
    if stored > has:
        raise WrongUsage(
            f"--weights {path}: it holds {stored} weights, and one of '{model.name}' would hold {has}.",
            why="Keras loads a part of a larger model without a word",
            hint="the code and its arguments (--arg) with which the file was made",
        )


def _number_of_weights(path: Path) -> int:
    """How many arrays a file holds, without those of the optimizer."""
    source = io.BytesIO(zipfile.ZipFile(path).read("model.weights.h5")) if path.suffix == ".keras" else path
    names: list[str] = []
    with h5py.File(source, "r") as file:
        # `visititems` goes on as long as None is returned.
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return sum(not name.startswith("optimizer/") for name in names)

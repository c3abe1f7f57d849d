"""`--weights`: a file with the weights of a model that code makes anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kerasfx.cli.usage import WrongUsage
from kerasfx.tracing import trace

FORMS = "a .weights.h5 file, a .keras file or a SavedModel"


def load_weights(model: Any, inputs: Any, path: Path) -> None:
    """Build `model` and give it the weights of a file.

    Raises:
        WrongUsage: There is no such file, or it does not hold the weights of this model.
    """
    if not path.exists():
        raise WrongUsage(f"--weights {path}: there is no such file.")
    build(model, inputs)
    if not path.name.endswith((".weights.h5", ".keras")):
        raise WrongUsage(f"--weights {path}: no weights are read from that.", hint=FORMS)
    try:
        model.load_weights(path)
    except ValueError as error:
        raise WrongUsage(f"--weights {path}: it does not fit '{model.name}'.", why=str(error)) from None


def build(model: Any, inputs: Any) -> None:
    """Have the variables of a model made, which those of a subclassed model are when it is first called.

    Raises:
        InputRequiredError: It was not built, and nothing says what it is called with.
    """
    if not model.built:
        trace(model, inputs)

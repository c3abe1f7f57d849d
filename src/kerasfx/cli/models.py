"""The model that was typed: a file, or a function, class or object of a module."""

from __future__ import annotations

import argparse
import ast
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from kerasfx.cli import model_files
from kerasfx.cli.example_inputs import arranged, read_inputs
from kerasfx.cli.objects import named_module, named_object
from kerasfx.cli.usage import WrongUsage
from kerasfx.cli.weight_files import load_weights
from kerasfx.errors import UnsupportedModelError
from kerasfx.inputs import no_model
from kerasfx.weights import inputs_like

FILES = (".keras", ".h5", ".hdf5")
FORMS = "net.keras, or module:name, or path/to/models.py:name"


@dataclass(frozen=True)
class Subject:
    """A model, and what it is called with.

    Attributes:
        model: The model or layer.
        inputs: As `prepare_model` takes them; None where nothing was typed.
        is_new: Whether its weights are those that it was made with.
    """

    model: Any
    inputs: Any
    is_new: bool = False


def subject_of(asked: argparse.Namespace, compiled: bool = False, like: Any = None) -> Subject:
    """Load or make the model that was typed, with its weights, and read its inputs.

    Args:
        asked: What was typed.
        compiled: Whether loss, metrics and optimizer of a file are wanted, too.
        like: A model that is called with the same, where nothing was typed.

    Raises:
        WrongUsage: What was typed is no model, or does not belong together.
    """
    is_made = not _is_file(asked.model)
    if asked.weights and not is_made:
        raise WrongUsage(
            f"--weights {asked.weights}: {asked.model} has weights already.",
            hint="leave out --weights, or name the code that makes the model: my_models:build",
        )
    if asked.factory_arguments and not is_made and _is_file(getattr(asked, "other", asked.model)):
        raise WrongUsage(f"--arg {asked.factory_arguments[0]}: {asked.model} is a model already.")
    given = read_inputs(asked.inputs)
    model = model_of(asked.model, asked, compiled)
    inputs = arranged(given, model)
    if inputs is None and like is not None:
        inputs = inputs_like(model, like)
    if asked.weights:
        load_weights(model, inputs, Path(asked.weights))
    return Subject(model, inputs, is_new=is_made and not asked.weights)


def model_of(typed: str, asked: argparse.Namespace, compiled: bool = False) -> Any:
    """The model itself, which may not be built yet.

    Raises:
        WrongUsage: What was typed is no model.
    """
    imported = [named_module(name) for name in asked.imports]
    if not _is_file(typed):
        return _made(typed, asked.factory_arguments)
    path = Path(typed)
    _require_file(path)
    return model_files.load(path, imported, asked.unsafe, compiled)


def _is_file(typed: str) -> bool:
    return typed.endswith(FILES) or ":" not in typed


def _require_file(path: Path) -> None:
    """Refuse what Keras cannot load, and say what can be typed instead.

    Raises:
        WrongUsage: It is no saved model.
    """
    if not path.exists():
        raise WrongUsage(f"There is no file {path}.", hint=f"a model is {FORMS}")
    if path.is_dir():
        is_saved_model = (path / "saved_model.pb").exists()
        raise WrongUsage(
            f"{path} is a {'SavedModel' if is_saved_model else 'folder'}, from which Keras makes no model.",
            why="a SavedModel holds weights and a program of TensorFlow, but no layers"
            if is_saved_model
            else "",
            hint=f"name the code that makes the model: my_models:build --weights {path}"
            if is_saved_model
            else f"a model is {FORMS}",
        )
    if path.name.endswith(".weights.h5"):
        raise WrongUsage(
            f"{path} holds weights, and no model.",
            hint=f"name the code that makes the model: my_models:build --weights {path}",
        )
    if not path.name.endswith(FILES):
        raise WrongUsage(f"{path} is no saved model.", hint=f"a model is {FORMS}")


def _made(typed: str, arguments: Sequence[str]) -> Any:
    module, _, name = typed.rpartition(":")
    if not module or not name:
        raise WrongUsage(f"{typed} names no model.", hint=f"a model is {FORMS}")
    found = named_object(module, name)
    given = dict(_argument(each) for each in arguments)
    if callable(found) and not isinstance(found, keras.Layer):
        _require_arguments(typed, found, given)
        found = found(**given)
    elif given:
        raise WrongUsage(f"--arg: {typed} is a model already, and takes no arguments.")
    if not isinstance(found, keras.Layer):
        raise _no_model(typed, found)
    return found


def _argument(typed: str) -> tuple[str, Any]:
    name, equals, value = typed.partition("=")
    if not equals or not name.isidentifier():
        raise WrongUsage(f"--arg {typed}: that is no argument.", hint="--arg width=8")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        # A word.
        return name, value


def _require_arguments(typed: str, found: Any, given: dict[str, Any]) -> None:
    """Refuse a call that cannot be, before the code of the user runs."""
    try:
        signature = inspect.signature(found)
    except ValueError:
        # Functions written in C have none.
        return
    try:
        signature.bind(**given)
    except TypeError as error:
        raise WrongUsage(
            f"{typed}{signature} cannot be called: {error}.",
            hint="--arg NAME=VALUE for each argument, or a function that makes the model with none",
        ) from None


def _no_model(typed: str, found: object) -> Exception:
    if found is None:
        return WrongUsage(f"{typed} gave None, and no model.", hint="does the function `return` the model?")
    kind = f"{type(found).__module__}.{type(found).__name__}".removeprefix("builtins.")
    return UnsupportedModelError(
        no_model(f"{typed} gave {kind}, which is no Keras model or layer.", found, "prepare_model")
    )

"""`--input`: what a model is called with, as sizes or as arrays of a file."""

from __future__ import annotations

import inspect
import re
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasfx.cli.usage import WrongUsage
from kerasfx.inputs import Inputs
from kerasfx.ir import leaves_of
from kerasfx.keras_api import internals

FORMS = "sizes, batch first: --input None,128:int32, --input x=None,28,28,3; or a file: --input batch.npz"
_SIZES = re.compile(r"(?P<sizes>(?:None|\?|\d+)(?:,(?:None|\?|\d+))*),?(?::(?P<dtype>\w+))?")
_NUMBERED = re.compile(r"arr_\d+")
"""The names that `numpy.savez` gives to arrays that were given none."""


@dataclass(frozen=True)
class Given:
    """One input as it was typed.

    Attributes:
        name: Its name, or "".
        value: A `keras.Input` or an array.
    """

    name: str
    value: Any


def read_inputs(typed: Sequence[str]) -> list[Given]:
    """Read the values of `--input`.

    Raises:
        WrongUsage: One of them is in no known form, or a file cannot be read.
    """
    return [given for each in typed for given in _read(each)]


def _read(typed: str) -> list[Given]:
    # A file may be called so.
    name, value = ("", typed) if Path(typed).exists() or "=" not in typed else typed.split("=", 1)
    if value.endswith((".npz", ".npy")):
        return _from_file(Path(value), name)
    found = _SIZES.fullmatch(value.replace(" ", "").strip("()"))
    if not found:
        raise WrongUsage(f"--input {typed}: what is '{value}'?", hint=FORMS)
    sizes = [None if s in ("None", "?") else int(s) for s in found["sizes"].split(",")]
    return [Given(name, _symbolic(typed, name, sizes, found["dtype"]))]


def _symbolic(typed: str, name: str, sizes: list[int | None], dtype: str | None) -> Any:
    try:
        # The first is the batch, which is free in a prepared model.
        return keras.Input(tuple(sizes[1:]), dtype=dtype, name=name or None)
    except (ValueError, TypeError) as error:
        raise WrongUsage(f"--input {typed}: {error}", hint=FORMS) from None


def _from_file(path: Path, name: str) -> list[Given]:
    if not path.exists():
        raise WrongUsage(f"--input {path}: there is no such file.", hint=FORMS)
    try:
        # NumPy leaves a file open that it cannot read.
        with path.open("rb") as file:
            read = np.load(file, allow_pickle=False)
            arrays = {"": read} if isinstance(read, np.ndarray) else {key: read[key] for key in read.files}
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise WrongUsage(f"--input {path}: NumPy does not read it: {error}.", hint=FORMS) from None
    except ValueError as error:
        raise WrongUsage(
            f"--input {path}: NumPy does not read it: {str(error).rstrip('.')}.",
            why="arrays of Python objects are programs, which are not run",
            hint="save words as np.array(words, dtype=str), and other arrays with a dtype of numbers",
        ) from None
    if not name:
        return [Given("" if _NUMBERED.fullmatch(key) else key, array) for key, array in arrays.items()]
    if len(arrays) != 1:
        raise WrongUsage(
            f"--input {name}={path}: the file holds {len(arrays)} arrays, named {', '.join(arrays)}.",
            hint=f"--input {path}, if these are the names of the inputs",
        )
    return [Given(name, array) for array in arrays.values()]


def arranged(given: Sequence[Given], model: keras.Layer) -> Any:
    """The inputs as `prepare_model` takes them for `model`; None where nothing was given.

    Names are those of the inputs of a Functional model or of the arguments of `call`, or else keys of a dict.

    Raises:
        WrongUsage: The names are not those of a Functional model, or one stands there twice.
    """
    if not given:
        return None
    named = {x.name: x.value for x in given if x.name}
    twice = [name for name, count in Counter(x.name for x in given if x.name).items() if count > 1]
    if twice:
        raise WrongUsage(f"--input {twice[0]}=...: that name was given twice.", hint="each input once")
    unnamed = [x.value for x in given if not x.name]
    known = internals.input_structure(model)
    if known is not None:
        return _as_known(named, unnamed, known, model.name)
    return _as_called(named, unnamed, model)


def _as_known(named: dict[str, Any], unnamed: list[Any], known: Any, model: str) -> Any:
    """In the structure of the inputs of a Functional model."""
    if not named:
        return unnamed[0] if len(unnamed) == 1 else unnamed
    keys = list(known) if isinstance(known, dict) else [tensor.name for tensor in leaves_of(known)]
    if unnamed or set(named) != set(keys):
        # One input needs no name.
        if len(named) == len(keys) == 1 and not unnamed:
            keys = list(named)
        else:
            raise WrongUsage(
                f"The inputs of '{model}' are {', '.join(keys)}, and not {', '.join(named)}.",
                hint=" ".join(f"--input {key}=..." for key in keys),
            )
    if isinstance(known, dict):
        return dict(zip(known, (named[key] for key in keys), strict=True))
    values = [named[key] for key in keys]
    return values if isinstance(known, (list, tuple)) else values[0]


def _as_called(named: dict[str, Any], unnamed: list[Any], model: keras.Layer) -> Any:
    """In the arguments of `call`."""
    arguments, takes_any_number = _arguments_of(model)
    if not named:
        if len(unnamed) == 1:
            return unnamed[0]
        return Inputs(*unnamed) if takes_any_number or len(unnamed) <= len(arguments) else unnamed
    if not unnamed:
        if not set(named) <= set(arguments):
            return named
        # The prepared model of one argument is called with that, and not with a dict.
        if len(arguments) == 1:
            return named[arguments[0]]
    return Inputs(*unnamed, **named)


def _arguments_of(model: keras.Layer) -> tuple[list[str], bool]:
    """The names of the arguments of `call` that may be tensors, and whether it takes any number of them."""
    parameters = inspect.signature(model.call).parameters.values()
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    names = [p.name for p in parameters if p.kind not in variadic and p.name not in ("training", "mask")]
    return names, any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters)

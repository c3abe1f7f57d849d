"""Saved models: what a `.keras` file names, and loading one."""

from __future__ import annotations

import inspect
import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import keras

from kerasfx.cli.usage import WrongUsage
from kerasfx.errors import KerasFxError, first_line

KNOWN_TO_ALL = ("keras", "kerasfx", "builtins")
"""The packages whose classes every process finds that imports `keras` and `kerasfx`."""


@dataclass(frozen=True)
class Named:
    """A class or function of the user's that a file names.

    Attributes:
        name: Its name.
        module: The module that it was defined in when the file was saved, or "".
        registered: The name that it was registered with, or "".
    """

    name: str
    module: str
    registered: str

    def __str__(self) -> str:
        return f"{self.name} (of {self.module})" if self.module else self.name


def names_in(path: Path) -> list[Named]:
    """The classes and functions that a `.keras` file names, and that neither Keras nor kerasfx has."""
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
    return list(dict.fromkeys(_named_in(config)))


def _named_in(config: Any) -> Iterator[Named]:
    if isinstance(config, list):
        for item in config:
            yield from _named_in(item)
    if not isinstance(config, dict):
        return
    if isinstance(config.get("class_name"), str) and "config" in config:
        module, registered = str(config.get("module") or ""), str(config.get("registered_name") or "")
        is_function = config["class_name"] == "function"
        name = str(config["config"]) if is_function else config["class_name"]
        is_ours = registered.startswith("kerasfx>")
        if not is_ours and module.partition(".")[0] not in KNOWN_TO_ALL and (module or registered):
            yield Named(name, module, registered)
    for value in config.values():
        yield from _named_in(value)


def load(path: Path, imported: Sequence[ModuleType], unsafe: bool, compiled: bool) -> Any:
    """Load a saved model.

    Args:
        path: A `.keras` file, or an `.h5` file of Keras 2.
        imported: The modules whose classes the file may name, registered or not.
        unsafe: Whether it may hold Python code.
        compiled: Whether loss, metrics and optimizer are wanted, too.

    Raises:
        WrongUsage: It is no saved model, or names classes that are not known here.
    """
    what_else = _what_else_it_is(path) if path.suffix == ".keras" else ""
    if what_else:
        raise WrongUsage(f"{path} is no .keras file.", why=what_else)
    given = {name: found for module in imported for name, found in _defined_in(module)}
    try:
        return keras.saving.load_model(path, custom_objects=given, compile=compiled, safe_mode=not unsafe)
    except KerasFxError:
        raise
    # Keras raises what comes: each is told as it is, where nothing better can be said.
    except Exception as error:
        if "safe_mode" in str(error) or "unsafe" in str(error):
            raise _holds_code(path) from None
        is_named = path.suffix == ".keras" and "locate" in str(error)
        missing = _not_found(path, given) if is_named else []
        if missing:
            raise _needs(path, missing) from None
        raise _not_loaded(path, error) from error


def _what_else_it_is(path: Path) -> str:
    """What a file is that is no saved model; "" for one."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            has_config = "config.json" in archive.namelist()
        return "" if has_config else "it is a zip archive without config.json"
    begin = path.read_bytes()[:40]
    if begin.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS, whose file was not fetched: git lfs pull"
    if begin.startswith(b"\x89HDF"):
        return "it is an HDF5 file: Keras wants .h5 for a model, .weights.h5 for weights"
    return "it is no zip archive"


def _defined_in(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """The classes and functions of a module itself."""
    for name, found in vars(module).items():
        if (inspect.isclass(found) or inspect.isfunction(found)) and found.__module__ == module.__name__:
            yield name, found


def _not_found(path: Path, given: dict[str, Any]) -> list[Named]:
    registered = keras.saving.get_custom_objects()
    return [x for x in names_in(path) if x.name not in given and x.registered not in registered]


def _holds_code(path: Path) -> WrongUsage:
    return WrongUsage(
        f"{path} holds Python code (a Lambda layer), which is not run.",
        why="such code may do anything on this machine",
        hint="--unsafe, if you know who made the file",
    )


def _needs(path: Path, missing: list[Named]) -> WrongUsage:
    modules = list(dict.fromkeys(x.module for x in missing if x.module))
    hints = [f"--import {_module_to_type(module)}" for module in modules] or ["--import MODULE"]
    return WrongUsage(
        f"{path} needs classes that are not imported: {', '.join(map(str, missing))}.",
        hint=" ".join(dict.fromkeys(hints)),
    )


def _module_to_type(module: str) -> str:
    return "SCRIPT.py, the file that was run when the model was saved" if module == "__main__" else module


def _not_loaded(path: Path, error: Exception) -> WrongUsage:
    # Around what happened Keras puts advice and the whole config.
    happened = re.split(r"(?:Exception|Error) encountered(?: during deserialization)?: ", str(error))[-1]
    return WrongUsage(
        f"Keras does not load {path}.",
        why=happened.partition("\n")[0] if len(happened) < len(str(error)) else first_line(error),
        hint=f"name the code that makes the model, and take its weights: my_models:Net --weights {path}",
    )

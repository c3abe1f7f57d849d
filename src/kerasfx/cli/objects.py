"""Modules and objects that are named at the command line: `package.module`, `my_models.py`, `module:name`."""

from __future__ import annotations

import importlib
import os
import sys
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from kerasfx.cli.usage import WrongUsage


def named_module(name: str) -> ModuleType:
    """Import a module by its name, or by the path of its file; the current directory is searched as well.

    Raises:
        WrongUsage: There is none. What the module raises itself is let through.
    """
    if name.endswith(".py"):
        return _from_file(Path(name))
    _search(os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # Another one is missing where the module imports it.
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise
        raise _no_module(name, error.name) from None


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise WrongUsage(
            f"There is no file {path}.", hint="the path of a Python file, or the name of a module"
        )
    _search(str(path.resolve().parent))
    module = importlib.import_module(path.stem)
    if not _is_at(module, path):
        raise WrongUsage(
            f"{path} cannot be imported as '{path.stem}'.",
            why=f"there is another module of this name: {module.__file__ or 'a part of Python'}",
            hint="give the file another name",
        )
    return module


def _is_at(module: ModuleType, path: Path) -> bool:
    return module.__file__ is not None and Path(module.__file__).resolve() == path.resolve()


def _search(folder: str) -> None:
    """Have modules of `folder` found, and first."""
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _no_module(name: str, missing: str) -> WrongUsage:
    hint = "go to the folder that holds it, or name its file: path/to/my_models.py"
    if os.path.exists(f"{missing}.py") or os.path.isdir(missing):
        hint = "a module is named with dots and without .py"
    return WrongUsage(
        f"There is no module '{missing}'.", why=f"searched {os.getcwd()} and sys.path", hint=hint
    )


def named_object(module_name: str, name: str) -> Any:
    """What a module calls `name`, which may be dotted: a method of a class.

    Raises:
        WrongUsage: There is no such module, or it has no such name.
    """
    found: Any = named_module(module_name)
    for part in name.split("."):
        if not hasattr(found, part):
            raise _no_name(module_name, name, part, found)
        found = getattr(found, part)
    return found


def _no_name(module_name: str, name: str, part: str, searched: Any) -> WrongUsage:
    names = [n for n in vars(searched) if not n.startswith("_")] if hasattr(searched, "__dict__") else []
    near = get_close_matches(part, names, n=3, cutoff=0.6)
    return WrongUsage(
        f"{module_name} has no '{name}'.",
        where=str(getattr(searched, "__file__", "") or ""),
        hint=f"did you mean {' or '.join(near)}?"
        if near
        else "a function, a class or a model of that module",
    )

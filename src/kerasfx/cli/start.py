"""From what was typed to the work: the backend, Keras, loggers and warnings, and the errors at the end."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import TextIO

from kerasfx.cli.usage import WRONG, YES, WrongUsage
from kerasfx.version import __version__

BACKENDS = ("tensorflow", "jax", "torch")


def run(asked: argparse.Namespace) -> int:
    """Do what was typed, and return the exit code."""
    if asked.version:
        print(_versions())
        return YES
    try:
        _import_keras(asked.backend)
    except WrongUsage as error:
        print(error, file=sys.stderr)
        return WRONG
    # These import Keras.
    from kerasfx.cli import commands, failures

    try:
        with _warnings_in_short(), _lines_of_loggers(asked.verbose), _only_results_on_stdout(asked) as out:
            return commands.COMMANDS[asked.command](asked, out)
    except BrokenPipeError:
        raise
    # Whatever it is: `failures` says so, and whose fault it is. A `sys.exit()` in the code of the model would
    # end this process with 0, as if all were well.
    except (Exception, SystemExit) as error:
        return failures.tell(error, asked.debug)


def _versions() -> str:
    """The versions of what takes part, without importing any of it."""
    from importlib.metadata import PackageNotFoundError, version

    lines = [f"kerasfx {__version__}"]
    for package in ("keras", "tensorflow", "tensorflow-cpu", "jax", "torch"):
        with contextlib.suppress(PackageNotFoundError):
            lines.append(f"{package} {version(package)}")
    return "\n".join(lines)


def _import_keras(backend: str | None) -> None:
    """Import Keras and what registers our layers, on the backend that was asked for.

    Raises:
        WrongUsage: It is not installed, or Keras runs on another one already.
    """
    if backend:
        os.environ["KERAS_BACKEND"] = backend
    # Its notes about processors; they are shown to who asks for them.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        keras = importlib.import_module("keras")
    except ImportError as error:
        raise _cannot_import(error) from None
    # What Keras says of a backend that it does not know.
    except ValueError as error:
        raise WrongUsage(
            f"Keras cannot be imported: {error}",
            why="KERAS_BACKEND, or ~/.keras/keras.json, has that name",
            hint=f"--backend {BACKENDS[0]} (or {', '.join(BACKENDS[1:])})",
        ) from None
    running = keras.config.backend()
    if backend and running != backend:
        raise WrongUsage(
            f"Keras runs on {running} in this process already.", hint=f"leave out --backend {backend}"
        )
    # What a file may name is registered by its import; `import kerasfx` leaves that to us.
    from kerasfx import runtime

    runtime.warn_if_untested()


def _cannot_import(error: ImportError) -> WrongUsage:
    missing = (error.name or "").partition(".")[0]
    installed = [name for name in BACKENDS if importlib.util.find_spec(name)]
    if missing not in BACKENDS:
        return WrongUsage(
            f"Keras cannot be imported: {error}", hint="pip install keras" if missing == "keras" else ""
        )
    choice = f"--backend {installed[0]}" if installed else "pip install tensorflow-cpu (or jax, or torch)"
    return WrongUsage(
        f"The backend {missing} is not installed.",
        why=f"installed: {', '.join(installed) or 'none of ' + ', '.join(BACKENDS)}",
        hint=choice,
    )


@contextlib.contextmanager
def _warnings_in_short() -> Iterator[None]:
    """Show our own warnings without the line of ours that gives them."""
    from kerasfx.errors import UntestedKerasWarning, UnverifiedWarning

    with warnings.catch_warnings():
        as_python_does = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: object, **more: object) -> None:
            if issubclass(category, (UnverifiedWarning, UntestedKerasWarning)):
                print(f"warning: {message}", file=sys.stderr)
            else:
                as_python_does(message, category, *place, **more)  # pyright: ignore

        warnings.showwarning = show
        yield


@contextlib.contextmanager
def _lines_of_loggers(wanted: bool) -> Iterator[None]:
    """Write the lines of our loggers to stderr."""
    logger, handler = logging.getLogger("kerasfx"), logging.StreamHandler(sys.stderr)
    before = logger.level
    if wanted:
        handler.setFormatter(logging.Formatter("%(relativeCreated)6d ms  %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


@contextlib.contextmanager
def _only_results_on_stdout(asked: argparse.Namespace) -> Iterator[TextIO]:
    """Give stdout to the results alone; what the code of the model prints goes to stderr."""
    out = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        yield out

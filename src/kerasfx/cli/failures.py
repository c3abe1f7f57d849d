"""What is told of an error, and with which exit code the command ends."""

from __future__ import annotations

import sys
import sysconfig
import traceback
from pathlib import Path

from kerasfx import errors
from kerasfx.cli.usage import BUG, NO, USERS_CODE, WRONG, WrongUsage
from kerasfx.tracing.where import fault_of_ours, is_of_the_user

ANSWERS_NO = (
    errors.NotCopyableError,
    errors.NotEquivalentError,
    errors.NotPortableError,
    errors.OpaqueLayerError,
    errors.TraceError,
)
"""Errors about models that can be read, and cannot be prepared as asked."""

_TYPED_INPUTS = """\
  do:    --input None,64                                      sizes, batch first
         --input tokens=None,128:int32 --input mask=None,128  several, by name
         --input batch.npz                                    example arrays"""

_OURS = str(Path(errors.__file__).parent)
_PYTHON = sysconfig.get_path("stdlib")
_LIBRARIES = ("h5py", "numpy", "ml_dtypes", "rich", "absl")
"""Packages that Keras calls, and that are no model's code."""

SHOWN_FRAMES = 10
"""How many frames are shown from the beginning and from the end; a recursion without end has a thousand."""


def tell(error: Exception | SystemExit, debug: bool) -> int:
    """Say on stderr what happened, and return the exit code."""
    code = code_of(error)
    if debug:
        traceback.print_exception(error)
    else:
        print(_told(error, code), file=sys.stderr)
    return code


def code_of(error: Exception | SystemExit) -> int:
    """The exit code for an error."""
    # Of a file that cannot be compiled there is no frame.
    if isinstance(error, (SystemExit, SyntaxError)):
        return USERS_CODE
    if isinstance(error, ANSWERS_NO):
        return NO
    if isinstance(error, errors.GraphError) or fault_of_ours(error) is not None:
        return BUG
    if isinstance(error, (WrongUsage, errors.KerasFxError)):
        return WRONG
    return USERS_CODE if _users_frames(error) else WRONG


def _told(error: Exception | SystemExit, code: int) -> str:
    if isinstance(error, errors.InputRequiredError):
        return f"{error.args[0].partition('  do: ')[0]}{_TYPED_INPUTS}"
    if isinstance(error, errors.InputMismatchError):
        return f"{_with_notes(error)}\n  typed: --input NAME=SIZES for each, NAME that of an argument or key"
    if code != BUG and (isinstance(error, (WrongUsage, errors.KerasFxError)) or _is_meant(error)):
        return _with_notes(error)
    if code == USERS_CODE:
        return _of_the_users_code(error)
    return _of_ours(error) if code == BUG else _of_others(error)


def _is_meant(error: BaseException) -> bool:
    """Whether it is a `ValueError` of ours about an argument, say of `compile=`."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return isinstance(error, (ValueError, TypeError)) and last.filename.startswith(_OURS)


def _with_notes(error: BaseException) -> str:
    return "\n".join([str(error), *getattr(error, "__notes__", ())])


def _of_the_users_code(error: BaseException) -> str:
    """The exception as Python shows it, with the frames of the user's files alone."""
    shown = [_frame(frame) for frame in _users_frames(error)]
    if len(shown) > 2 * SHOWN_FRAMES:
        left_out = f"  ... {len(shown) - 2 * SHOWN_FRAMES} frames between them ..."
        shown = [*shown[:SHOWN_FRAMES], left_out, *shown[-SHOWN_FRAMES:]]
    last = f"{type(error).__name__}: {_with_notes(error)}"
    if isinstance(error, SyntaxError):
        # With the file, the line and a mark below it.
        last = "".join(traceback.format_exception_only(error)).rstrip()
    heading = "The code of the model raised an exception:"
    return "\n".join([heading, *shown, last, "  more:  --debug shows all frames"])


def _frame(frame: traceback.FrameSummary) -> str:
    place = f"  {frame.filename}:{frame.lineno} in {frame.name}"
    return f"{place}\n      {frame.line}" if frame.line else place


def _of_others(error: BaseException) -> str:
    return f"{type(error).__name__}: {_with_notes(error)}\n  more:  --debug shows where it was raised"


def _of_ours(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return errors.describe(
        f"kerasfx failed, and should not have. {type(error).__name__}: {_with_notes(error)}",
        where=f"{last.filename}:{last.lineno} in {last.name}",
        hint="please report this, with what --debug shows",
    )


def _users_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """The frames of the code of the model, outermost first."""
    theirs = [is_of_the_user(frame) for frame, _ in traceback.walk_tb(error.__traceback__)]
    frames = traceback.extract_tb(error.__traceback__)
    found = [frame for frame, is_theirs in zip(frames, theirs, strict=True) if is_theirs]
    return [frame for frame in found if not _is_of_a_library(frame.filename)]


def _is_of_a_library(file: str) -> bool:
    path = Path(file)
    if "site-packages" in path.parts:
        package = path.parts[path.parts.index("site-packages") + 1]
        return package in _LIBRARIES
    # Compiled modules of NumPy name their files from its folder on.
    return file.startswith(_PYTHON) or path.parts[0] in _LIBRARIES

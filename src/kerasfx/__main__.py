"""`python -m kerasfx`, and what the script `kerasfx` calls."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

from kerasfx.cli.arguments import parse
from kerasfx.cli.start import run
from kerasfx.cli.usage import BROKEN_PIPE, BUG, INTERRUPTED


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what was typed.

    Args:
        arguments: What stands behind `kerasfx`; by default that of this process.

    Returns:
        The exit code (`kerasfx.cli.usage`).
    """
    try:
        code = _code(arguments)
        # Here, and not when the process ends, where nobody catches what it raises. A closed one is None.
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # What is left is written nowhere when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # pyright: ignore
        return BROKEN_PIPE
    # Python would end with 1, which is an answer here.
    except Exception:
        traceback.print_exc()
        return BUG


def _code(arguments: Sequence[str] | None) -> int:
    try:
        asked = parse(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
    return run(asked)


if __name__ == "__main__":
    sys.exit(main())

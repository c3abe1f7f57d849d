"""`python -m kerasfx.aimet script.py [arguments]` runs a script that was written for AIMET."""

from __future__ import annotations

import os
import runpy
import sys

# It provides the names.
import kerasfx.aimet  # noqa: F401
from kerasfx.aimet.advice import advised

USAGE = "usage: python -m kerasfx.aimet script.py [arguments of the script]"


def main(arguments: list[str]) -> None:
    """Run a script as Python would, with the names of AIMET's modules provided where AIMET is absent.

    Args:
        arguments: The script, and what it finds in `sys.argv`.

    Raises:
        SystemExit: No script is given, or there is none.
    """
    if not arguments or arguments[0].startswith("-"):
        sys.exit(USAGE)
    if not os.path.exists(arguments[0]):
        sys.exit(f"{USAGE}\nThere is no file {arguments[0]!r}.")
    sys.argv = arguments
    if not sys.flags.safe_path:
        # The folder of the script, in the place of that in which `python -m` was typed.
        sys.path[0] = os.path.dirname(os.path.abspath(arguments[0]))
    with advised():
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])

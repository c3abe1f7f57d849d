"""Exit codes, and the error that says that what was typed cannot be done."""

from __future__ import annotations

from kerasfx.errors import describe

YES = 0
NO = 1
"""Models differ, a layer stays whole under `--strict`, the model cannot be prepared as asked."""
WRONG = 2
"""Wrong usage or input; `argparse` ends with it, too."""
USERS_CODE = 3
"""The code of the model raised."""
BUG = 70
"""Of kerasfx; EX_SOFTWARE of sysexits.h."""
INTERRUPTED = 130
BROKEN_PIPE = 141
"""Nobody reads what is printed, as in `kerasfx show net.keras | head`; 128 and the number of SIGPIPE."""


class WrongUsage(Exception):  # noqa: N818 - it says what is wrong
    """What was typed cannot be done; the message says why, and what to type."""

    def __init__(self, what: str, *, where: str = "", why: str = "", hint: str = ""):
        super().__init__(describe(what, where=where, why=why, hint=hint))

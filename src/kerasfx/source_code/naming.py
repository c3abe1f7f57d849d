"""Names of variables: valid, one for each thing, and none that hides a word of Python."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable


class Names:
    """The names that are taken in a function.

    Args:
        taken: Names of modules and functions.
    """

    def __init__(self, taken: Iterable[str]):
        self._taken = {*taken, *vars(builtins), *keyword.kwlist, *keyword.softkwlist}

    def new(self, wish: str) -> str:
        """A name like `wish` that nothing else has: with `_` or a number behind it, where that is taken."""
        stem = name = identifier(wish)
        if name in vars(builtins) or keyword.iskeyword(name) or keyword.issoftkeyword(name):
            stem = name = f"{name}_"
        count = 1
        while name in self._taken:
            count += 1
            name = f"{stem.rstrip('_')}_{count}"
        self._taken.add(name)
        return name


def identifier(wish: str) -> str:
    """A valid name that is like `wish`: `blocks.0/proj` gives `blocks_0_proj`."""
    name = re.sub(r"\W", "_", wish, flags=re.ASCII) or "x"
    return f"_{name}" if name[0].isdigit() else name

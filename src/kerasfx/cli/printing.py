"""What is printed: text, coloured on a terminal, or JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

STYLES = {
    r"(?m)DIFFERENT|NOT equivalent|kept whole": "bold red",
    r"(?m)^  [\w ]+?  (exact)\b": "green",
    r"(?m)equal bit for bit|bit for bit": "green",
    r"(?m)^ *do: ": "bold cyan",
    r"(?m)#.*$": "dim",
}
"""Patterns of what stands out, by how."""


def print_text(text: str, out: TextIO) -> None:
    """Print a text as it is; on a terminal what stands out has a colour (rich knows NO_COLOR)."""
    console = Console(file=out, highlight=False, soft_wrap=True)
    styled = Text(text)
    if console.is_terminal:
        for pattern, style in STYLES.items():
            styled.highlight_regex(pattern, style)
    console.print(styled)


def print_json(data: Mapping[str, Any], out: TextIO) -> None:
    """Print data, with what no JSON has (`nan`, infinities) refused."""
    print(json.dumps(data, indent=2, allow_nan=False), file=out)

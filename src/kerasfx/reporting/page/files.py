"""Where the page goes: asked before it is made, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

SUFFIXES = (".html", ".htm")


def refuse_unwritable(path: Path) -> None:
    """Say so when no page can be written to `path`, before any work is done.

    Raises:
        ValueError: It does not end in `.html`, so that it may be the file of a model.
        FileNotFoundError: Its folder does not exist.
        IsADirectoryError: It is a folder.
        PermissionError: Nothing may be written into its folder.
    """
    if path.is_dir():
        raise IsADirectoryError(_refusal(path, "it is a folder", f"to_html({str(path / 'report.html')!r})"))
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(
            _refusal(path, "it does not end in .html", f"to_html({str(path.with_suffix('.html'))!r})")
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(_refusal(path, "its folder does not exist", f"mkdir -p {path.parent}"))
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(_refusal(path, "its folder may not be written to", 'to_html("report.html")'))


def _refusal(path: Path, why: str, do: str) -> str:
    return f"The page cannot be written to {str(path)!r}: {why}.\n  do:    {do}"


def write(page: str, path: Path) -> None:
    """Write the page; a reader sees the file as it was or as it is to be, never half of it."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(page.encode("utf-8"))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)

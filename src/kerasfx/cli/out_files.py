"""Files that are written: nothing is written over, and what is there is whole."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kerasfx.cli.usage import WrongUsage


def require_writable(typed: str, suffix: str | tuple[str, ...], force: bool, source: str = "") -> Path:
    """Refuse a file that cannot be written, before any work.

    Args:
        typed: The path.
        suffix: How it has to end, or the ends that it may have.
        force: Whether a file that is there may be written over.
        source: The file of the model, which is never written over.

    Raises:
        WrongUsage: It cannot be written.
    """
    path = Path(typed)
    ends = (suffix,) if isinstance(suffix, str) else suffix
    if path.suffix not in ends:
        raise WrongUsage(
            f"{typed}: the file has to end in {', '.join(ends)}.", hint=f"{path.with_suffix(ends[0])}"
        )
    if not path.parent.is_dir():
        raise WrongUsage(f"{typed}: there is no folder {path.parent}.", hint=f"mkdir -p {path.parent}")
    if path.exists() and source and os.path.exists(source) and path.samefile(source):
        raise WrongUsage(f"{typed}: that is the original, which is never written over.", hint="another name")
    if path.is_dir():
        raise WrongUsage(f"{typed}: that is a folder.", hint=f"{path / ('model' + ends[0])}")
    if path.exists() and not force:
        raise WrongUsage(f"{typed}: that file is there already.", hint="another name, or --force")
    if not os.access(path.parent, os.W_OK):
        raise WrongUsage(f"{typed}: nothing can be written in {path.parent}.")
    return path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A file beside `path` that takes its place at the end, and is gone where an exception comes instead."""
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        os.chmod(beside, 0o666 & ~_umask())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _umask() -> int:
    """What new files of this process may not be; it can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask

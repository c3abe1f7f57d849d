"""Pages of the documentation as programs: each block runs, and shows what it really gives.

A block `python` may be followed by a block `output`, what it prints, or `error`, what it raises; `...` in
these stands for any text. `python -m tests.pages docs/get_started.md` writes in what is not so.
"""

import contextlib
import io
import linecache
import os
import re
import sys
import tempfile
import types
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```(python|output|error)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block of code, and what is shown behind it.

    Attributes:
        line: The line of the page in front of the code.
        code: What runs.
        kind: "output" or "error", or "" if nothing is shown.
        shown: What is shown.
        where: From where to where in the page that is.
    """

    line: int
    code: str
    kind: str = ""
    shown: str = ""
    where: tuple[int, int] = (0, 0)


def blocks_of(text: str) -> Iterator[Block]:
    """The blocks of code of a page."""
    found = list(BLOCK.finditer(text))
    for block, after in zip(found, [*found[1:], None], strict=True):
        if block[1] != "python":
            continue
        line = text[: block.start()].count("\n") + 1
        if after is None or after[1] == "python":
            yield Block(line, block[2])
        else:
            yield Block(line, block[2], after[1], after[2], after.span(2))


def run(block: Block, names: dict[str, Any], file: str = "model.py") -> tuple[str, str]:
    """What a block gives: ("output", what it prints) or ("error", the exception with its notes).

    Lines are numbered from the beginning of the block, as one reads it, and a class finds its source.
    """
    linecache.cache[file] = (len(block.code), None, block.code.splitlines(keepends=True), file)
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), warnings.catch_warnings():
            if block.kind == "error":  # what it warns of before it fails is not the point
                warnings.simplefilter("ignore")
            exec(compile(block.code, file, "exec"), names)
    except Exception as error:
        said = [f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])]
        return "error", "\n".join(said).rstrip() + "\n"
    return "output", "\n".join(line.rstrip() for line in printed.getvalue().splitlines()) + "\n"


def is_shown(shown: str, given: str) -> bool:
    """Whether this is what a page shows, `...` standing for any text."""
    parts = map(re.escape, shown.strip().split("..."))
    return re.fullmatch(".*".join(parts), given.strip(), re.DOTALL) is not None


def faults(page: Path) -> Iterator[tuple[Block, str, str]]:
    """Runs a page in the current directory: each block that gives something else than is shown, and what."""
    # A module that can be imported by its name, as code of users is.
    module = sys.modules["model"] = types.ModuleType("model")
    try:
        for block in blocks_of(page.read_text()):
            kind, given = run(block, vars(module))
            expected = block.kind or "output"
            if kind != expected or (block.kind and not is_shown(block.shown, given)):
                yield block, kind, given
    finally:
        del sys.modules["model"]


def write(page: Path) -> int:
    """Writes into a page what its blocks give; the number of blocks that were not so."""
    text, found = page.read_text(), list(faults(page))
    for block, kind, given in reversed(found):
        print(f"{page}:{block.line}: {kind}\n{given}")
        if block.kind:
            start, end = block.where
            head = text.rindex("```", 0, start)
            text = text[:head] + f"```{kind}\n{given}" + text[end:]
    page.write_text(text)
    return len(found)


if __name__ == "__main__":
    import keras

    pages = [Path(name).resolve() for name in sys.argv[1:]] or sorted(DOCS.glob("*.md"))
    for each in pages:
        keras.utils.clear_session()
        keras.utils.set_random_seed(0)
        with tempfile.TemporaryDirectory() as directory:
            os.chdir(directory)
            print(each.name, write(each))

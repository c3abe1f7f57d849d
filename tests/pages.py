"""Pages of the documentation as programs: each block runs, and shows what it really gives.

A block `python` may be followed by a block `output`, what it prints, or `error`, what it raises. If its first
line is a comment with a name, it is a file of that name as well. A block `console` holds commands of kerasfx
with what they print. In what is shown `...` stands for any text, and seconds are not compared.

`python -m tests.pages docs/get_started.md` writes into a page what is not so.
"""

import contextlib
import importlib
import io
import linecache
import os
import re
import shlex
import sys
import tempfile
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import keras

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```(python|output|error|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\w+\.py)\n")
COMMAND = re.compile(r"^\$ (.*(?:\\\n.*)*)\n", re.MULTILINE)
SECONDS = re.compile(r"\d+\.\d+ s\b")
MODULE = "model"
WIDTH = {"COLUMNS": "100"}


@dataclass(frozen=True)
class Block:
    """A block of code or of commands, and what is shown behind it.

    Attributes:
        line: The line of the page in front of it.
        code: What runs.
        kind: "output", "error" or "console", or "" if nothing is shown.
        shown: What is shown; for commands they and what each prints.
        where: From where to where in the page that is.
    """

    line: int
    code: str
    kind: str = ""
    shown: str = ""
    where: tuple[int, int] = (0, 0)


def blocks_of(text: str) -> Iterator[Block]:
    """The blocks of a page that run."""
    found = list(BLOCK.finditer(text))
    for block, after in zip(found, [*found[1:], None], strict=True):
        line = text[: block.start()].count("\n") + 1
        if block[1] == "console":
            yield Block(line, block[2], "console", block[2], block.span(2))
        elif block[1] == "python" and after is not None and after[1] in ("output", "error"):
            yield Block(line, block[2], after[1], after[2], after.span(2))
        elif block[1] == "python":
            yield Block(line, block[2])


def run(block: Block, names: dict[str, Any]) -> tuple[str, str]:
    """What a block gives: what it prints as "output", or an "error" with its notes, or all of a "console"."""
    if block.kind == "console":
        return "console", transcript(block.code)
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), warnings.catch_warnings():
            if block.kind == "error":  # what it warns of before it fails is not the point
                warnings.simplefilter("ignore")
            exec(_compiled(block), names)
    except Exception as error:
        said = [f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])]
        return "error", _tidy("\n".join(said))
    return "output", _tidy(printed.getvalue())


def _compiled(block: Block) -> types.CodeType:
    """The code, with lines numbered from the beginning of the block and its text for who looks for it."""
    named = FILE.match(block.code)
    if named:
        Path(named[1]).write_text(block.code)
    # Each block is another file, so that a class of one that is above finds its lines.
    file = os.path.join(os.getcwd(), named[1] if named else f"block_{block.line}/{MODULE}.py")
    linecache.cache[file] = (len(block.code), None, block.code.splitlines(keepends=True), file)
    return compile(block.code, file, "exec")


def transcript(commands: str) -> str:
    """Each command with what it prints, in the current directory."""
    return "".join(f"$ {found[1]}\n{_tidy(_printed(found[1]))}" for found in COMMAND.finditer(commands))


def _printed(command: str) -> str:
    words = shlex.split(command.replace("\\\n", " "))
    assert words[0] == "kerasfx", f"nobody runs this: {command}"
    main: Callable[[list[str]], int] = importlib.import_module("kerasfx.__main__").main
    printed = io.StringIO()
    # As wide as a page.
    with (
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
        mock.patch.dict(os.environ, WIDTH),
    ):
        code = main(words[1:])
    # Each command is a process of its own, in which names begin anew.
    keras.utils.clear_session(free_memory=False)
    return printed.getvalue() + (f"(exit code {code})\n" if code else "")


def _tidy(printed: str) -> str:
    here = re.sub(rf"{re.escape(os.getcwd())}/(block_\d+/)?", "", printed)
    return "\n".join(line.rstrip() for line in here.strip("\n").splitlines()) + "\n"


def is_shown(shown: str, given: str) -> bool:
    """Whether this is what a page shows."""
    shown, given = (SECONDS.sub("0.0 s", text.strip()) for text in (shown, given))
    return re.fullmatch(".*".join(map(re.escape, shown.split("..."))), given, re.DOTALL) is not None


def faults(page: Path) -> Iterator[tuple[Block, str, str]]:
    """Runs a page in the current directory: each block that gives something else than is shown, and what."""
    known = set(sys.modules)
    # A module that can be imported by its name, as code of users is.
    module = sys.modules[MODULE] = types.ModuleType(MODULE)
    sys.path.insert(0, os.getcwd())
    try:
        for block in blocks_of(page.read_text()):
            kind, given = run(block, vars(module))
            expected = block.kind or "output"
            if kind != expected or (block.kind and not is_shown(block.shown, given)):
                yield block, kind, given
    finally:
        sys.path.remove(os.getcwd())
        for name in [MODULE, *_imported_from_here(set(sys.modules) - known)]:
            sys.modules.pop(name, None)


def _imported_from_here(names: set[str]) -> list[str]:
    """Those of the modules that are files which a page wrote."""
    return [name for name in names if str(getattr(sys.modules[name], "__file__", "")).startswith(os.getcwd())]


def write(page: Path) -> int:
    """Writes into a page what its blocks give; the number of blocks that were not so."""
    text, found = page.read_text(), list(faults(page))
    for block, kind, given in reversed(found):
        print(f"{page}:{block.line}: {kind}\n{given}")
        if block.kind:
            start, end = block.where
            text = text[: text.rindex("```", 0, start)] + f"```{kind}\n{given}" + text[end:]
    page.write_text(text)
    return len(found)


if __name__ == "__main__":
    pages = [Path(name).resolve() for name in sys.argv[1:]] or sorted(DOCS.glob("*.md"))
    for each in pages:
        keras.utils.clear_session()
        keras.utils.set_random_seed(0)
        with tempfile.TemporaryDirectory() as directory:
            os.chdir(directory)
            print(each.name, write(each))

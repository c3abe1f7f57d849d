"""The page on writing a pass: each of its blocks runs, and each error is the one that it shows."""

import re
from pathlib import Path

import keras
import pytest

pytestmark = pytest.mark.any_keras

PAGE = Path(__file__).parents[1] / "docs" / "writing_a_pass.md"
BLOCKS = re.findall(r"^```(python|error)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def blocks():
    """Each block of code, with the error that is shown behind it, or None."""
    for k, (kind, text) in enumerate(BLOCKS):
        if kind == "python":
            follows = BLOCKS[k + 1] if k + 1 < len(BLOCKS) else ("", "")
            line = PAGE.read_text()[: PAGE.read_text().index(text)].count("\n")
            yield line, text, follows[1] if follows[0] == "error" else None


def matches(shown, error):
    """Whether the page shows this error, `...` standing for any text."""
    parts = map(re.escape, shown.strip().split("..."))
    text = "\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])])
    return re.fullmatch(".*".join(parts), text.strip(), re.DOTALL)


def test_every_block_does_as_the_page_says():
    keras.utils.set_random_seed(0)
    names = {"__name__": "page"}
    shown = 0
    for line, text, error in blocks():
        # Lines are numbered as in the page, and a class finds its source there.
        code = compile("\n" * line + text, str(PAGE), "exec")
        if error is None:
            exec(code, names)
            continue
        shown += 1
        with pytest.raises(Exception) as caught:  # noqa: PT011 (the page says which)
            exec(code, names)
        assert matches(error, caught.value), f"line {line}: {type(caught.value).__name__}: {caught.value}"
    assert shown == 4

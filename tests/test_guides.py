"""The pages of the documentation: each block runs, and prints or raises what the page shows."""

import logging
import re

import keras
import pytest
from pages import DOCS, Block, blocks_of, faults, is_shown, run

# What pages show is of Keras and ours; where backends differ, other tests ask.
pytestmark = [pytest.mark.any_backend, pytest.mark.any_keras]

# Run by tests of their own: as doctests, by test_writing_a_pass.py and by test_aimet.py.
ELSEWHERE = ("lowering.md", "writing_a_pass.md", "aimet.md")
PAGES = sorted(
    page.relative_to(DOCS).as_posix()
    for page in DOCS.rglob("*.md")
    if page.name not in ELSEWHERE and re.search("^```(python|console)", page.read_text(), re.MULTILINE)
)
# What these show is of TensorFlow; `make test BACKENDS=jax` runs the others.
PAGES = [
    page
    for page in PAGES
    if keras.backend.backend() == "tensorflow" or "import tensorflow" not in (DOCS / page).read_text()
]


@pytest.fixture(autouse=True)
def loggers_as_before():
    """A page shows how they are turned on."""
    root, ours = logging.getLogger(), logging.getLogger("kerasfx")
    before = root.level, ours.level, list(root.handlers)
    yield
    root.setLevel(before[0])
    ours.setLevel(before[1])
    root.handlers[:] = before[2]


@pytest.mark.parametrize("page", PAGES)
def test_every_block_gives_what_the_page_shows(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    found = [f"{page}:{block.line}: {kind}\n{given}" for block, kind, given in faults(DOCS / page)]
    assert not found, "\n".join(found)


def test_a_page_that_shows_something_else_is_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "```python\nx = 1\nprint(x + 1)\n```\n\n```output\n3\n```\n"
        "```python\nprint('a b c')\n```\n```output\na ... c\n```\n"
        "```python\n\nprint(1 / 0)\n```\n```error\nZeroDivisionError: ...\n```\n"
        "```python\nprint(x)\n```\n```error\nZeroDivisionError\n```\n"
        "```python\nname\n```\n"
    )
    assert [(block.line, kind, given) for block, kind, given in faults(page)] == [
        (1, "output", "2\n"),
        (22, "output", "1\n"),
        (28, "error", "NameError: name 'name' is not defined\n"),
    ]
    assert [block.kind for block in blocks_of(page.read_text())] == ["output", "output", "error", "error", ""]
    assert run(Block(0, "print(1)\n"), {}) == ("output", "1\n")
    assert not is_shown("a ... d", "a b c")

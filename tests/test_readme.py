"""The README: each block runs and gives what it shows, and what it names is there."""

import re
from pathlib import Path

import keras
import pytest
from pages import BLOCK, faults

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
LINK = re.compile(r"(?:\]\(|src=\")(?!\w+:)([^)#\s\"]+)")


@pytest.mark.any_keras
@pytest.mark.any_backend
def test_every_block_gives_what_it_shows(tmp_path, monkeypatch):
    """As `net.py` lies in the folder where the commands are typed, and in which Python is started."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    keras.utils.set_random_seed(0)
    found = [f"README.md:{block.line}: {kind}\n{given}" for block, kind, given in faults(README)]
    assert not found, "\n".join(found)
    assert {"flat.keras", "report.html", "prepared.keras"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.once
def test_the_file_that_it_shows_is_the_one_of_the_examples():
    shown = [block[2] for block in BLOCK.finditer(README.read_text()) if block[2].startswith("# net.py")]
    assert shown == [(ROOT / "examples" / "net.py").read_text()]


@pytest.mark.once
def test_what_it_links_to_is_there():
    links = LINK.findall(README.read_text())
    assert [link for link in links if not (ROOT / link).exists()] == []
    assert {f"docs/images/{name}.png" for name in ("before", "after", "report")} <= set(links)


@pytest.mark.once
def test_it_names_no_target_that_make_does_not_have():
    targets = set(re.findall(r"`make ([a-z-]+)", README.read_text()))
    rules = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert targets
    assert targets <= rules

"""The notebooks of `examples/` run, and what is committed of them came from that code."""

import re
from pathlib import Path

import nbformat
import pytest

from examples import notebooks

pytestmark = pytest.mark.once

NOTEBOOKS = {path.stem: path for path in notebooks.notebooks()}
OF_A_MACHINE = "|".join(
    [
        *map(re.escape, {str(Path.home()), str(notebooks.__file__).rpartition("/examples/")[0]}),
        r"/home/|/tmp/|/Users/|site-packages|ipykernel|0x[0-9a-f]{6,}|\d\d:\d\d:\d\d",
    ]
)


def texts(notebook):
    """What the outputs say, but for the pictures."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            yield output.get("text", "")
            yield from (text for kind, text in output.get("data", {}).items() if kind != "image/png")


def kinds(notebook):
    """The kinds of the outputs of each cell."""
    return [
        [(output.output_type, sorted(output.get("data", {}))) for output in cell.get("outputs", [])]
        for cell in notebook.cells
    ]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_runs_from_a_clean_kernel(name):
    """Its own asserts hold, and it shows what the committed one shows."""
    committed = nbformat.read(NOTEBOOKS[name], as_version=4)
    assert kinds(notebooks.run(NOTEBOOKS[name])) == kinds(committed)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_what_is_committed(name):
    """All cells in order, no error or warning, nothing of a machine, the outputs of this code, and small."""
    notebook = nbformat.read(NOTEBOOKS[name], as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert notebook.metadata.code_hash == notebooks.code_hash(notebook), "make notebooks"
    for output in (output for cell in code for output in cell.outputs):
        assert output.output_type != "error"
        assert output.get("name") != "stderr", output.text
    assert [found for text in texts(notebook) for found in re.findall(OF_A_MACHINE, text)] == []
    assert any("assert" in cell.source for cell in code)
    assert NOTEBOOKS[name].stat().st_size < 300_000


def test_there_are_notebooks():
    assert NOTEBOOKS

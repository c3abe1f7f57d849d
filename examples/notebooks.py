"""Runs the notebooks of this folder and writes their outputs back: `make notebooks`.

python -m examples.notebooks             # all of them
python -m examples.notebooks grad_cam    # those whose names have the word

A notebook is run from a clean kernel, in an empty folder, on the backend that it names itself.
"""

import argparse
import hashlib
import os
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent
SECONDS_PER_CELL = 300

# What a kernel notes in the outputs and the metadata that says when and where it ran.
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
LANGUAGE = {"name": "python"}


def notebooks(word: str = "") -> list[Path]:
    """The notebooks of this folder, those whose names have the word."""
    return [path for path in sorted(FOLDER.glob("*.ipynb")) if word in path.stem]


def run(path: Path) -> nbformat.NotebookNode:
    """Run a notebook from a clean kernel.

    Returns:
        The notebook with its outputs, as it is written back.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell raised, such as by an `assert`.
    """
    notebook = nbformat.read(path, as_version=4)
    paths = [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    # Nobody looks on: a bar would be among the outputs wherever a cell takes longer than a second.
    environment = {**os.environ, "CI": "true", "PYTHONHASHSEED": "0"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    with tempfile.TemporaryDirectory() as empty:
        client = NotebookClient(
            notebook,
            extra_arguments=["--log-level=ERROR"],
            timeout=SECONDS_PER_CELL,
            kernel_name="python3",
            record_timing=False,
            resources={"metadata": {"path": empty}},
        )
        client.execute(env=environment)
    return cleaned(notebook)


def code_hash(notebook: nbformat.NotebookNode) -> str:
    """Stands in a notebook that was run: outputs of another code are told by it."""
    code = "\0".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def cleaned(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook with nothing in it that changes from one run or machine to another."""
    metadata = {"kernelspec": KERNEL, "language_info": LANGUAGE, "code_hash": code_hash(notebook)}
    notebook.metadata = nbformat.from_dict(metadata)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({})
        for output in cell.get("outputs", []):
            if "metadata" in output:
                output.metadata = nbformat.from_dict({})
    return notebook


def main() -> int:
    """Runs what the command line names."""
    parser = argparse.ArgumentParser(description="Runs the notebooks and writes their outputs back.")
    parser.add_argument("word", nargs="?", default="", help="of the names of the notebooks to run")
    for path in notebooks(parser.parse_args().word):
        start = time.perf_counter()
        nbformat.write(run(path), path)
        size = path.stat().st_size / 1024
        print(f"{path.relative_to(ROOT)}: {time.perf_counter() - start:.0f} s, {size:.0f} KB")
    return 0


if __name__ == "__main__":
    sys.exit(main())

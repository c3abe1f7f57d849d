"""The documentation site builds without a warning, and lists what is public."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sphinx.util.inventory import InventoryFile

import kerasfx

# `make test` asks once, on the newest Keras: what builds the site is not in the environment of the oldest.
pytestmark = [pytest.mark.any_backend, pytest.mark.any_keras]

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Where `make docs` built the site: all of it anew, on the backend that is imported fastest."""
    built = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-n",
        "-b",
        "html",
        "docs",
        str(built),
    ]
    run = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "KERAS_BACKEND": "jax"}, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return built


@pytest.fixture(scope="module")
def documented(site):
    """The names in the API reference."""
    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    return {name for kind in inventory.data if kind.startswith("py:") for name in inventory.data[kind]}


def test_what_is_public_is_in_the_reference(documented):
    public = {f"kerasfx.{name}" for name in kerasfx.__all__} - {"kerasfx.ir"}
    assert public <= documented | {name.replace(".errors.", ".") for name in documented}
    assert {f"kerasfx.layers.{name}" for name in kerasfx.layers.__all__} <= documented


def test_each_error_is_in_the_reference(documented):
    kinds = {
        name
        for name, x in vars(kerasfx.errors).items()
        if isinstance(x, type) and x.__module__ == "kerasfx.errors"
    }
    assert {f"kerasfx.errors.{name}" for name in kinds} <= documented


def test_each_page_can_be_reached(site):
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    assert all((site / page).exists() for page in pages)

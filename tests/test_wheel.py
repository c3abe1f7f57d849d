"""The wheel, made of this checkout and installed into an environment of its own, used from another folder."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]


def done(*arguments, cwd, **environment):
    """A finished process that knows nothing of the checkout."""
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(
        [str(a) for a in arguments],
        cwd=cwd,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel; neither made nor installed over the network."""
    folder = tmp_path_factory.mktemp("wheel")
    built = done(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    assert built.returncode == 0, built.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The folder of programs of an environment with the wheel, which finds Keras in that of the tests."""
    folder = tmp_path_factory.mktemp("environment")
    made = done(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    assert made.returncode == 0, made.stderr
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", folder)
    added = done(*pip, "install", "--no-index", "--no-deps", "--quiet", wheel, cwd=folder)
    assert added.returncode == 0, added.stderr
    own = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    (own / "keras.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "bin"


def test_the_wheel_holds_all_that_lies_in_the_package(wheel):
    sources = ROOT / "src"
    files = [f for f in sources.rglob("*") if f.is_file() and "__pycache__" not in f.parts]
    held = set(zipfile.ZipFile(wheel).namelist())
    assert {f.relative_to(sources).as_posix() for f in files} <= held
    assert {"kerasfx/py.typed", "kerasfx/reporting/page/page.html.j2"} <= held


def test_help_comes_without_keras(installed, tmp_path):
    # What is imported is written to stderr.
    shown = done(installed / "kerasfx", "--help", cwd=tmp_path, PYTHONPROFILEIMPORTTIME="1")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("usage: kerasfx COMMAND MODEL [options]")
    imported = {line.rpartition("|")[2].strip() for line in shown.stderr.splitlines()}
    assert "kerasfx.cli.arguments" in imported
    assert not {name for name in imported if name.partition(".")[0] in ("keras", "numpy", "rich")}


MODEL = """
import keras


class Net(keras.Model):
    def call(self, x):
        return keras.ops.roll(x, 1) + 1.0
"""

LOADS = """
import keras, kerasfx
print(kerasfx.__file__)
print(keras.saving.load_model("flat.keras").name)
"""


def test_the_program_prepares_a_model_of_the_folder_in_which_it_is_typed(installed, tmp_path):
    (tmp_path / "nets.py").write_text(MODEL)
    asked = ("prepare", "nets:Net", "--input", "None,4", "-o", "flat.keras")
    prepared = done(installed / "kerasfx", *asked, cwd=tmp_path)
    assert prepared.returncode == 0, prepared.stderr
    assert "saved: flat.keras" in prepared.stdout
    loaded = done(installed / "python", "-c", LOADS, cwd=tmp_path)
    assert loaded.returncode == 0, loaded.stderr
    where, name = loaded.stdout.splitlines()
    assert Path(where).is_relative_to(installed.parent)
    assert name == "net_prepared"

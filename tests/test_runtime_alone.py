"""A saved model is loaded and run by one room of the house: nothing that prepares models is imported."""

import ast
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

import kerasfx

pytestmark = pytest.mark.any_backend

SOURCES = Path(kerasfx.__file__).parent
RUNTIME = sorted((SOURCES / "runtime").rglob("*.py"))
KERAS_API = sorted((SOURCES / "keras_api").rglob("*.py"))
ALLOWED = ("kerasfx.runtime", "kerasfx.keras_api", "kerasfx.errors")
LEAVES_OF_THE_GRAPH = ("kerasfx.ir.dims", "kerasfx.ir.structure", "kerasfx.ir.training")


def imports_of(path):
    """The modules of ours that a file imports anywhere."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith("kerasfx"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kerasfx"):
            yield node.module


@pytest.mark.parametrize("path", RUNTIME, ids=lambda p: str(p.relative_to(SOURCES)))
def test_the_room_imports_what_lies_below_it(path):
    assert [m for m in imports_of(path) if not m.startswith(ALLOWED + LEAVES_OF_THE_GRAPH)] == []


@pytest.mark.parametrize("path", KERAS_API, ids=lambda p: p.name)
def test_private_keras_lies_at_the_bottom(path):
    assert [m for m in imports_of(path) if not m.startswith(("kerasfx.keras_api", "kerasfx.errors"))] == []


class Everything(keras.layers.Layer):
    """Needs an op, a weight, a constant, a guard of sizes, a loss, a draw, both modes and a body."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), name="scale", regularizer=Halves())
        self.seed = keras.random.SeedGenerator(1)

    def call(self, x, training=None):
        if x.shape[1] > 100:
            x = x[:, :100]
        x = x * self.scale + np.arange(4 * 100, dtype="float32").reshape(100, 4)[:1]
        x = x + keras.ops.cond(keras.ops.sum(x) > 0, lambda: x, lambda: -x)
        self.add_loss(keras.ops.mean(x))
        return x + keras.random.normal(keras.ops.shape(x), seed=self.seed) if training else x


class Halves(keras.regularizers.Regularizer):
    def __call__(self, weight):
        return keras.ops.sum(weight) / 2.0


FILES = {"path": ".keras", "inputs": ".npy", "outputs": ".npy"}

LOADS = """
import sys, types
if {stubbed}:  # the package without its face
    package = types.ModuleType("kerasfx")
    package.__path__ = [{sources!r}]
    sys.modules["kerasfx"] = package
import kerasfx.runtime
import keras, numpy as np
model = keras.models.load_model({path!r})
result = model(np.load({inputs!r}))
np.save({outputs!r}, keras.ops.convert_to_numpy(result))
rooms = {{name.split(".")[1] for name in sys.modules if name.startswith("kerasfx.")}}
print(sorted(rooms))
"""


def test_a_file_is_loaded_by_the_room_alone(tmp_path):
    """In a process of its own: the numbers are those of the prepared model, and no other room is there."""
    prepared = kerasfx.prepare_model(Everything(), keras.Input((None, 4), name="x"))
    assert {type(x).__name__ for x in prepared.layers} >= {
        "Cond",
        "MultiplyOp",
        "AddLoss",
        "SelectByTraining",
    }
    x = np.random.default_rng(0).standard_normal((2, 5, 4)).astype("float32")
    files = {
        k: str(tmp_path / v) for k, v in {"path": "m.keras", "inputs": "x.npy", "outputs": "y.npy"}.items()
    }
    prepared.save(files["path"])
    np.save(files["inputs"], x)
    code = LOADS.format(stubbed=True, sources=str(SOURCES), **files)
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert ast.literal_eval(done.stdout) == ["errors", "ir", "keras_api", "runtime"]
    np.testing.assert_array_equal(np.load(files["outputs"]), keras.ops.convert_to_numpy(prepared(x)))


FORMER_MODULES = {
    "kerasfx.runtime.layers": "kerasfx.layers",
    "kerasfx.runtime.functional": "kerasfx.functional",
    "kerasfx.runtime.recorded": "kerasfx.handover.recorded",
}


def test_a_file_that_was_saved_before_the_modules_moved(tmp_path):
    """Keras goes by the registered names, `kerasfx>Op`; the modules in a file may be gone."""
    prepared = kerasfx.prepare_model(Everything(), keras.Input((None, 4), name="x"))
    prepared.save(tmp_path / "new.keras")
    with (
        zipfile.ZipFile(tmp_path / "new.keras") as new,
        zipfile.ZipFile(tmp_path / "old.keras", "w") as old,
    ):
        for entry in new.namelist():
            text = new.read(entry)
            for now, before in FORMER_MODULES.items():
                assert entry != "config.json" or now == "kerasfx.runtime.functional" or now.encode() in text
                text = text.replace(json.dumps(now).encode(), json.dumps(before).encode())
            old.writestr(entry, text)
    loaded = keras.models.load_model(tmp_path / "old.keras")
    x = np.ones((2, 5, 4), "float32")
    np.testing.assert_array_equal(*(keras.ops.convert_to_numpy(m(x)) for m in (loaded, prepared)))


BESIDES_KERAS = """
import sys
import keras
before = set(sys.modules)
import kerasfx
from kerasfx.runtime import function_layers
packages = [name.partition(".")[0] for name in set(sys.modules) - before]
print(packages.count("kerasfx"))
print(sorted(set(packages) - {"kerasfx", "keras"} - sys.stdlib_module_names))
print(len(function_layers.Named.__subclasses__()))
"""


@pytest.mark.once
def test_importing_makes_little():
    """Not timed, counted: what an import reads and makes beyond Keras, which the whole process waits for."""
    found = subprocess.run(
        [sys.executable, "-c", BESIDES_KERAS], capture_output=True, text=True, check=True, env=os.environ
    )
    modules, others, classes = found.stdout.splitlines()
    assert int(modules) < 50
    assert others == "[]"
    assert classes == "0"

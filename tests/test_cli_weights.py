"""`--weights`: files and SavedModels, of the model and of others."""

import sys

import numpy as np
import pytest

from kerasfx.__main__ import main

pytestmark = [pytest.mark.any_backend, pytest.mark.any_keras]

MODELS = """
import keras
from keras import layers


class Tower(keras.Model):
    def __init__(self, depth=2, backwards=False):
        super().__init__(name="tower")
        self.steps = [layers.Dense(4) for _ in range(depth)]
        self.norm = layers.BatchNormalization()
        self.drop = layers.Dropout(0.3)
        self.backwards = backwards

    def call(self, x):
        for step in self.steps[::-1] if self.backwards else self.steps:
            x = step(x)
        return self.drop(self.norm(x))
"""
FILES = ("tower.weights.h5", "tower.keras", "exported", "saved")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the code of a model, and its weights in each form."""
    path = tmp_path_factory.mktemp("towers")
    (path / "towers.py").write_text(MODELS)
    sys.path.insert(0, str(path))
    # Runs of other backends collect this module, too.
    import tensorflow as tf
    import towers

    model = towers.Tower()
    model(np.ones((1, 4), "float32"))
    draws = np.random.default_rng(0)
    for variable in model.variables[:8]:
        variable.assign(draws.uniform(0.5, 1.5, variable.shape))
    model.save_weights(path / FILES[0])
    model.save(path / FILES[1])
    model.export(path / FILES[2], verbose=False)
    tf.saved_model.save(model, str(path / FILES[3]))
    model_outputs = model(np.ones((1, 4), "float32")).numpy()
    np.save(path / "outputs.npy", model_outputs)
    yield path
    sys.path.remove(str(path))
    sys.modules.pop("towers")


@pytest.fixture
def typed(folder, monkeypatch, capsys):
    """What the command says of the model with weights: exit code, stderr."""
    monkeypatch.chdir(folder)

    def call(*arguments):
        code = main(
            ["prepare", "towers:Tower", "--input", "None,4", *arguments, "-o", "out.keras", "--force", "-q"]
        )
        return code, capsys.readouterr().err

    return call


@pytest.mark.parametrize("file", FILES)
def test_the_model_has_the_weights_of_the_file(folder, typed, file):
    import keras

    assert typed("--weights", file) == (0, "")
    outputs = keras.saving.load_model(folder / "out.keras")(np.ones((1, 4), "float32")).numpy()
    np.testing.assert_allclose(outputs, np.load(folder / "outputs.npy"), rtol=1e-5)


@pytest.mark.parametrize(("file", "depth"), [(FILES[0], 3), *((file, 1) for file in FILES)])
def test_weights_of_another_model_are_refused(typed, file, depth):
    code, err = typed("--weights", file, "--arg", f"depth={depth}")
    assert code == 2
    assert err.startswith(f"--weights {file}: it")
    assert "'tower'" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("folder_of", ["exported", "saved"])
def test_a_saved_model_has_to_compute_what_the_code_computes(typed, folder_of):
    code, err = typed("--weights", folder_of, "--arg", "backwards=True")
    assert code == 2
    assert "'tower' computes something else than it" in err


def test_the_variables_that_do_not_belong_together_are_listed(typed):
    err = typed("--weights", "exported", "--arg", "depth=1")[1]
    assert "of the model (7):" in err
    assert "    tower/dense/kernel (4, 4)" in err
    assert "of the SavedModel (9):" in err
    assert "    and 1 more" in err


def test_a_saved_model_alone_is_no_model(folder, typed, capsys):
    assert main(["explain", "exported"]) == 2
    assert (
        "do:    name the code that makes the model: my_models:build --weights exported"
        in capsys.readouterr().err
    )


def test_weights_for_a_file_that_has_some_are_refused(folder, typed, capsys):
    assert main(["explain", "tower.keras", "--import", "towers", "--weights", "tower.weights.h5"]) == 2
    assert "leave out --weights" in capsys.readouterr().err


def test_a_class_that_no_file_can_hold_is_made_by_its_code(folder, typed, capsys):
    assert main(["explain", "tower.keras", "--import", "towers"]) == 2
    err = capsys.readouterr().err
    assert "why:   Tower.__init__() got an unexpected keyword argument 'trainable'" in err
    assert "my_models:Net --weights tower.keras" in err

"""The command line: what it answers, what it refuses and how, and with which exit code."""

import inspect
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
from kerasfx.__main__ import main
from kerasfx.cli.options import ELSEWHERE, OPTIONS
from kerasfx.handover.training_in_fit import CHOICES
from kerasfx.passes import LOWER
from kerasfx.passes.options import GELU, NAMES
from kerasfx.runtime.modes import MODES

pytestmark = [pytest.mark.any_backend, pytest.mark.any_keras]

MODELS = """
import keras
import numpy as np
from keras import layers, ops


class Block(layers.Layer):
    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.dense = layers.Dense(width)

    def build(self, shape):
        self.scale = self.add_weight(shape=(self.width,), initializer="uniform", name="scale")

    def call(self, x):
        return x + self.scale * ops.relu(self.dense(x))

    def get_config(self):
        return {**super().get_config(), "width": self.width}


class Net(keras.Model):
    def __init__(self, width=8, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.blocks = [Block(width), Block(width)]

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        return x

    def get_config(self):
        return {**super().get_config(), "width": self.width}


class Two(keras.Model):
    def call(self, x, context):
        return x + context


class Rolls(layers.Layer):
    def call(self, x):
        return ops.roll(x, 1)


class OfDict(keras.Model):
    def call(self, inputs):
        return inputs["a"] - inputs["b"]


class Sign(layers.Layer):
    def call(self, x):
        return x if ops.sum(x) > 0 else -x


class Noise(layers.Layer):
    def call(self, x):
        return x + np.random.normal(size=(4,)).astype("float32")


class HoldsNoise(keras.Model):
    def __init__(self):
        super().__init__()
        self.noise = Noise()

    def call(self, x):
        return self.noise(x) * 2.0


class Raises(keras.Model):
    def call(self, x):
        raise RuntimeError("the code of the model")


def flat():
    x = keras.Input((3,))
    return keras.Model(x, layers.Dense(2)(x), name="flat")


def functional():
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    return keras.Model([a, b], ops.subtract(a, b), name="functional")


def nothing():
    print("printed by the model")


def printing():
    print("printed by the model")
    return functional()


def interrupted():
    raise KeyboardInterrupt


def changed(graph):
    return False


answer = 42
ready = functional()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with modules of a user's, a saved model and what is prepared from it."""
    path = tmp_path_factory.mktemp("user")
    (path / "users_models.py").write_text(MODELS)
    (path / "broken.py").write_text("import keras\n\nx = 1 / 0\n")
    (path / "misses.py").write_text("import no_such_package\n")
    return path


@pytest.fixture(autouse=True)
def here(folder, monkeypatch):
    """The test stands in the folder, and the modules there are forgotten at its end."""
    monkeypatch.chdir(folder)
    before = list(sys.path)
    yield
    sys.path[:] = before
    for name in ("users_models", "broken", "misses", "drops"):
        sys.modules.pop(name, None)


@pytest.fixture
def typed(capsys):
    """What the command says: exit code, stdout, stderr."""

    def call(*arguments):
        code = main([str(a) for a in arguments])
        return code, *capsys.readouterr()

    return call


NET = ("users_models:Net", "--input", "None,8")


def saved(folder, typed):
    """The saved model, made once."""
    path = folder / "net.keras"
    if not path.exists():
        sys.path.insert(0, str(folder))
        import users_models

        net = users_models.Net(name="net")
        net(np.zeros((1, 8), "float32"))
        net.save(path)
        net.save_weights(folder / "net.weights.h5")
        assert typed("prepare", "net.keras", "--import", "users_models", "-o", "flat.keras", "-q") == (
            0,
            "",
            "",
        )
    return path


# What is answered


def test_explain_lists_what_is_opened(typed):
    code, out, err = typed("explain", *NET)
    assert (code, err) == (0, "")
    assert "blocks[0,1] (2): Block" in out


def test_explain_says_that_a_flat_model_would_stay_as_it_is(typed):
    code, out, _ = typed("explain", "users_models:flat")
    assert (code, out) == (0, "'flat' is flat already and comes back unchanged.\n")


def test_explain_says_no_where_the_model_itself_cannot_be_prepared(typed):
    code, out, _ = typed("explain", "users_models:Sign", "--input", "None,4")
    assert code == 1
    assert "users_models.py" in out


def test_explain_strict_says_no_where_a_layer_stays_whole(typed):
    asked = ("explain", "users_models:HoldsNoise", "--input", "None,4")
    assert typed(*asked)[0] == 0
    assert typed(*asked, "--strict")[0] == 1


def test_prepare_saves_what_loads_alone_and_says_so(folder, typed):
    code, out, err = typed("prepare", *NET, "-o", "made.keras")
    assert (code, err) == (0, "")
    assert "kerasfx report users_models:Net -o report.html, with the same options, shows each of them" in out
    assert "its weights are those that users_models:Net made" in out
    assert "saved: made.keras (loaded again; `import keras, kerasfx` is all that it needs)" in out
    loaded = keras.saving.load_model(folder / "made.keras")
    assert loaded.output_shape == (None, 8)
    assert not list(folder.glob(".made*"))


def test_prepare_names_what_a_file_needs_where_a_layer_stays_whole(typed):
    code, out, err = typed("prepare", "users_models:HoldsNoise", "--input", "None,4", "-o", "whole.keras")
    assert code == 0, err
    assert "loaded again, with what stayed whole: Noise (of users_models)" in out


def test_prepare_strict_writes_nothing_where_a_layer_stays_whole(folder, typed):
    code, out, err = typed(
        "prepare", "users_models:HoldsNoise", "--input", "None,4", "-o", "no.keras", "--strict"
    )
    assert (code, out) == (1, "")
    assert "would stay whole" in err
    assert not (folder / "no.keras").exists()


def test_compare_tells_equal_models_from_others(folder, typed):
    saved(folder, typed)
    code, out, _ = typed("compare", "net.keras", "flat.keras", "--import", "users_models")
    assert code == 0
    assert "are equivalent" in out
    code, out, err = typed("compare", "users_models:Net", "flat.keras", "--no-gradients")
    assert code == 1
    assert "NOT equivalent" in out
    assert "--weights FILE" in err


def test_compare_is_not_misled_by_weights_that_are_equal(folder, typed):
    sys.path.insert(0, str(folder))
    import users_models

    net = users_models.Net(name="net")
    net(np.zeros((1, 8), "float32"))
    for variable in net.variables:
        variable.assign(np.full(variable.shape, 0.5))
    net.save("equal.keras")
    asked = ("prepare", "equal.keras", "--import", "users_models", "-o", "equal_flat.keras", "-q")
    assert typed(*asked)[0] == 0
    asked = ("compare", "equal.keras", "equal_flat.keras", "--import", "users_models", "--by-layer")
    code, out, _ = typed(*asked)
    assert (code, "note: variables were paired" in out) == (0, False), out
    # A model of other options is compared as well, by what its weights look like.
    asked = (
        "prepare",
        "net.keras",
        "--import",
        "users_models",
        "-o",
        "other.keras",
        "--leaves",
        "users_models:Block",
    )
    saved(folder, typed)
    assert typed(*asked)[0] == 0
    asked = ("compare", "net.keras", "other.keras", "--import", "users_models", "--no-gradients")
    code, out, _ = typed(*asked)
    assert (code, "note: variables were paired" in out) == (0, True), out


def test_weights_of_a_file_make_code_the_saved_model(folder, typed):
    saved(folder, typed)
    for file in ("net.weights.h5", "net.keras"):
        asked = ("compare", "users_models:Net", "flat.keras", "--weights", file, "--no-gradients", "-q")
        assert typed(*asked) == (0, "", "")


def test_compare_takes_arrays(folder, typed):
    saved(folder, typed)
    np.savez(folder / "batch.npz", np.ones((3, 8), "float32"))
    asked = ("compare", "net.keras", "flat.keras", "--import", "users_models", "--no-gradients")
    code, out, _ = typed(*asked, "--inputs", "batch.npz", "--mode", "inference")
    assert code == 0, out


def test_show_prints_the_graph_or_a_layer_of_it(typed):
    code, out, err = typed("show", *NET)
    assert (code, err) == (0, "")
    assert out.startswith("graph net(%x: float32[?, 8]):")
    code, part, _ = typed("show", *NET, "--layer", "blocks[1]")
    assert part.splitlines() == [line.strip() for line in out.splitlines() if "# blocks[1]" in line]


def test_show_gives_the_graph_as_json(typed):
    code, out, _ = typed("show", *NET, "--layer", "blocks[0].dense", "--json")
    data = json.loads(out)
    assert code == 0
    assert data["inputs"] == [{"name": "x", "shape": [None, 8], "dtype": "float32"}]
    (node,) = data["nodes"]
    assert (node["target"], node["path"]) == ("Dense 'blocks[0].dense'", "blocks[0].dense")
    assert node["source"]["text"] == "return x + self.scale * ops.relu(self.dense(x))"


def test_show_gives_the_code_of_the_prepared_model(typed):
    code, out, err = typed("show", *NET, "--source")
    assert (code, err) == (0, "")
    assert "def build()" in out
    compile(out, "net.py", "exec")


def test_show_draws_the_graph_and_writes_it_for_model_explorer(folder, typed):
    assert typed("show", *NET, "--plot", "net.dot", "--depth", "1") == (0, "written: net.dot\n", "")
    assert "blocks[0]" in (folder / "net.dot").read_text()
    assert typed("show", *NET, "--model-explorer", "explored.json") == (0, "written: explored.json\n", "")
    assert json.loads((folder / "explored.json").read_text())["graphs"]


def test_json_is_alone_on_stdout_whatever_the_model_prints(typed):
    code, out, err = typed("show", "users_models:printing", "--json")
    assert code == 0
    assert json.loads(out)["graph"] == "functional"
    assert err == "printed by the model\n"


def test_models_are_files_classes_functions_and_objects(folder, typed):
    saved(folder, typed)
    for model in ("users_models:ready", "users_models:functional", "users_models.py:functional"):
        assert typed("show", model, "-q")[0] == 0
    assert typed("show", "net.keras", "--import", "users_models.py")[0] == 0
    _, out, _ = typed("show", "users_models:Net", "--arg", "width=4", "--input", "None,4")
    assert "float32[?, 4]" in out


INPUTS = [
    (
        ("users_models:Two", "--input", "None,4", "--input", "None,4"),
        "x: float32[?, 4], %context: float32[?, 4]",
    ),
    (("users_models:Two", "--input", "context=2,4", "--input", "x=?,4"), "x: float32[?, 4]"),
    (("users_models:OfDict", "--input", "a=None,4:int32", "--input", "b=None,4:int32"), "%b: int32[?, 4]"),
    (("users_models:functional",), "%a: float32[?, 3], %b: float32[?, 3]"),
    (
        ("users_models:functional", "--input", "b=2,3", "--input", "a=2,3"),
        "%a: float32[?, 3], %b: float32[?, 3]",
    ),
]


@pytest.mark.parametrize(("arguments", "graph"), INPUTS)
def test_inputs_go_where_their_names_say(typed, arguments, graph):
    code, out, err = typed("show", *arguments)
    assert (code, err) == (0, "")
    assert graph in out.splitlines()[0]


def test_arrays_are_inputs(folder, typed):
    x = np.zeros((2, 4), "int32")
    np.savez(folder / "pair.npz", a=x, b=x)
    np.save(folder / "x.npy", x)
    assert "%a: int32[?, 4]" in typed("show", "users_models:OfDict", "--inputs", "pair.npz")[1]
    asked = ("show", "users_models:OfDict", "--input", "a=x.npy", "--input", "b=2,4:int32")
    assert "%a: int32[?, 4]" in typed(*asked)[1]


# What is refused


REFUSED = {
    ("explain", "nope.keras"): "There is no file nope.keras.",
    ("explain", "."): ". is a folder, from which Keras makes no model.",
    ("explain", "users_models.py"): "users_models.py is no saved model.",
    ("explain", "users_models:Nett"): "users_models has no 'Nett'.",
    ("explain", "user_models:Net"): "There is no module 'user_models'.",
    ("explain", "nope.py:Net"): "There is no file nope.py.",
    ("explain", "users_models:nothing"): "users_models:nothing gave None, and no model.",
    (
        "explain",
        "users_models:answer",
    ): "users_models:answer gave int, which is no Keras model or layer.",
    ("explain", "users_models:Block"): "cannot be called: missing a required argument: 'width'.",
    ("explain", "users_models:Net"): "The inputs of Net 'net' are not known.",
    ("explain", "users_models:ready", "--arg", "width=2"): "is a model already, and takes no arguments.",
    ("explain", "users_models:Net", "--arg", "width"): "--arg width: that is no argument.",
    ("explain", *NET[:2], "None,x"): "--input None,x: what is 'None,x'?",
    ("explain", *NET[:2], "None,8:flaot32"): "--input None,8:flaot32: ",
    ("explain", *NET[:2], "x.npz"): "--input x.npz: there is no such file.",
    (
        "explain",
        "users_models:ready",
        "--input",
        "x=2,3",
        "--input",
        "b=2,3",
    ): "The inputs of 'functional' are a, b",
    ("explain", *NET, "--leaves", "blok*"): "leaves",
    ("explain", *NET, "--hints", "x"): "--hints x: example sizes are whole numbers of one input.",
    ("show", *NET, "--layer", "block[0]"): "--layer block[0]: no layer of 'net' with this path was called.",
    ("prepare", *NET, "-o", "net.h5"): "net.h5: the file has to end in .keras.",
    ("prepare", *NET, "-o", "no.keras", "--portable", "--keep-class"): "exclude each other.",
    ("prepare", *NET, "-o", "no.keras", "--compile", "like_original"): "was not compiled with an optimizer.",
    ("prepare", *NET, "-o", "no.keras", "--lower", "slow"): "Argument --lower: invalid choice: 'slow'",
    ("explian", "net.keras"): "invalid choice: 'explian'",
    ("explain", "users_models:Two", "--input", "None,4"): "typed: --input NAME=SIZES",
    ("show", *NET, "--json", "--source"): "--source and --json exclude each other.",
    ("show", *NET, "--plot", "net.jpg"): "net.jpg: the file has to end in .png, .svg, .pdf, .dot.",
    ("show", *NET, "--plot", "zero.dot", "--depth", "0"): "depth=0 shows nothing.",
    ("show", *NET, "--depth", "2"): "--depth is that of a picture.",
    ("show", *NET, "--input", "x=2,8", "--input", "x=2,4"): "--input x=...: that name was given twice.",
    ("prepare", *NET, "-o", "no/flat.keras"): "no/flat.keras: there is no folder no.",
    (
        "prepare",
        *NET,
        "-o",
        "out.keras",
        "--passes",
        "changed",
    ): "a pass is a function, written as module:function.",
    ("prepare", *NET, "-o", "out.keras", "--weights", "nope.h5"): "--weights nope.h5: there is no such file.",
}


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_wrong_usage_is_told_in_a_few_lines(typed, arguments):
    code, out, err = typed(*arguments)
    assert (code, out) == (2, "")
    assert REFUSED[arguments] in err
    assert "Traceback" not in err
    assert len(err.splitlines()) < 7
    assert err.count("  do: ") <= 1


def test_nothing_is_written_over(folder, typed):
    saved(folder, typed)
    before = (folder / "flat.keras").read_bytes()
    code, _, err = typed("prepare", *NET, "-o", "flat.keras")
    assert (code, (folder / "flat.keras").read_bytes()) == (2, before)
    assert "flat.keras: that file is there already." in err
    asked = ("prepare", "net.keras", "--import", "users_models", "-o", "net.keras", "--force")
    assert "that is the original, which is never written over" in typed(*asked)[2]


def test_a_file_says_which_module_it_needs(folder, typed):
    saved(folder, typed)
    sys.modules.pop("users_models", None)
    sys.path.remove(str(folder)) if str(folder) in sys.path else None
    code, _, err = typed("explain", "net.keras")
    assert code == 2
    assert "net.keras needs classes that are not imported: Net (of users_models)" in err
    assert "do:    --import users_models" in err


def test_what_is_no_model_file_is_told(folder, typed):
    (folder / "lfs.keras").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    (folder / "h5.keras").write_bytes(b"\x89HDF\r\n\x1a\n")
    assert "git lfs pull" in typed("explain", "lfs.keras")[2]
    assert "it is an HDF5 file" in typed("explain", "h5.keras")[2]


def test_weights_are_no_model(folder, typed):
    saved(folder, typed)
    assert "my_models:build --weights net.weights.h5" in typed("explain", "net.weights.h5")[2]


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        (("explain", "users_models:Raises", "--input", "None,4"), "in call"),
        (("explain", "broken:Net"), "broken.py:3 in <module>"),
        (("explain", "misses:Net"), "misses.py:1 in <module>"),
    ],
)
def test_what_the_code_of_the_model_raises_is_shown_with_its_own_frames(typed, arguments, place):
    code, out, err = typed(*arguments)
    assert (code, out) == (3, ""), err
    assert place in err
    assert "kerasfx/cli" not in err
    assert "Traceback" not in err
    assert "Traceback" in typed(*arguments, "--debug")[2]


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import sys; sys.exit(0)", "SystemExit: 0"),
        ("import argparse; argparse.ArgumentParser().parse_args(['x'])", "SystemExit: 2"),
        ("def net() = 3", "this_code.py"),
        ("def net():\n    return net()", "frames between them"),
    ],
)
def test_code_that_ends_or_never_ends_is_no_success(folder, typed, code, told):
    (folder / "this_code.py").write_text(code)
    try:
        code, out, err = typed("explain", "this_code.py:net")
    finally:
        sys.modules.pop("this_code", None)
    assert (code, out) == (3, "")
    assert told in err
    assert len(err.splitlines()) < 60


def test_broken_files_are_told(folder, typed):
    saved(folder, typed)
    for name, files in {"zip": {}, "json": {"config.json": "{", "metadata.json": "{}"}}.items():
        with zipfile.ZipFile(folder / f"{name}.keras", "w") as archive:
            archive.writestr("model.weights.h5", "")
            for file, text in files.items():
                archive.writestr(file, text)
    (folder / "part.npz").write_bytes(b"PK\x03\x04")
    (folder / "nothing.npy").write_bytes(b"")
    (folder / "folder.npz").mkdir(exist_ok=True)
    (folder / "part.keras").write_bytes((folder / "net.keras").read_bytes()[:1000])
    np.save(folder / "no_rows.npy", np.zeros((0, 8), "float32"))
    compared = ("compare", "net.keras", "flat.keras", "--import", "users_models")
    asked = {
        (
            "explain",
            "zip.keras",
        ): "zip.keras is no .keras file.\n  why:   it is a zip archive",
        ("explain", "json.keras"): "Keras does not load json.keras.\n  why:   JSONDecodeError",
        ("explain", "net.keras", "--import", "users_models", "--arg", "width=4"): "is a model already.",
        ("explain", *NET, "--input", "part.npz"): "part.npz: NumPy does not read it",
        ("explain", *NET, "--input", "nothing.npy"): "nothing.npy: NumPy does not read it",
        ("explain", *NET, "--input", "folder.npz"): "folder.npz: NumPy does not read it",
        ("explain", *NET, "--weights", "part.keras"): "part.keras: it does not fit 'net",
        ("explain", *NET, "--weights", "zip.keras"): "zip.keras: it does not fit 'net",
        (*compared, "--inputs", "no_rows.npy"): "hold no rows: one has shape (0, 8).",
        (*compared, "--seed", "-1"): "-1 is no whole number from 0 on",
    }
    for arguments, message in asked.items():
        code, out, err = typed(*arguments)
        assert (code, out) == (2, ""), (arguments, err)
        assert message in err


def test_models_with_dropout_are_compared_by_their_files(folder, typed):
    (folder / "drops.py").write_text(DROPS)
    sys.path.insert(0, str(folder))
    import drops

    net = drops.Drops(name="drops")
    net(np.zeros((1, 4), "float32"))
    net.save("drops.keras")
    assert typed("prepare", "drops.keras", "--import", "drops", "-o", "drops_flat.keras", "-q")[0] == 0
    code, out, _ = typed("compare", "drops.keras", "drops_flat.keras", "--import", "drops")
    assert (code, "note: variables were paired" in out) == (0, False), out
    assert "note: random states differ, and were not compared" in out


DROPS = """
import keras


class Drops(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.drop, self.dense = keras.layers.Dropout(0.5), keras.layers.Dense(2)

    def call(self, x):
        return self.dense(self.drop(x))
"""


def test_argparse_refuses_with_the_same_code(typed):
    assert typed("explain")[0] == 2
    assert typed("explian", "x")[0] == 2
    assert typed()[0] == 2
    assert typed("prepare", *NET)[0] == 2


# The table of options


def test_every_option_of_prepare_model_can_be_typed():
    offered = {option.parameter for option in OPTIONS} | set(ELSEWHERE)
    parameters = set(inspect.signature(kerasfx.prepare_model).parameters)
    assert offered == parameters


@pytest.mark.parametrize("function", [kerasfx.trace, kerasfx.explain])
def test_what_is_traced_takes_these(function):
    traced = {option.parameter for option in OPTIONS if option.traces}
    assert traced == set(inspect.signature(function).parameters) - {"model", "input_layer", "progress"}


CHOSEN = {"mode": MODES, "lower": LOWER, "names": NAMES, "lower_gelu": GELU, "training_in_fit": CHOICES}


@pytest.mark.parametrize("parameter", CHOSEN)
def test_choices_are_those_of_prepare_model(parameter):
    (option,) = (option for option in OPTIONS if option.parameter == parameter)
    assert {option.made(word) for word in option.choices} == set(CHOSEN[parameter]) - {None}


def test_options_reach_prepare_model(folder, typed):
    code, out, err = typed(
        *("prepare", *NET, "-o", "optioned.keras", "--leaves", "blocks*0*", "--leaves", "users_models:Block"),
        *(
            "--lower",
            "false",
            "--passes",
            "users_models:changed",
            "--hints",
            "x=2,8",
            "--verify",
            "inference",
        ),
    )
    assert (code, err) == (0, "")
    assert "stayed whole: Block (of users_models)" in out


# Processes


def command(*arguments, folder, stdout=subprocess.PIPE, **environment):
    """A process of `python -m kerasfx`."""
    sources = str(Path(kerasfx.__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-m", "kerasfx", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": sources, **environment},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


WITHOUT_KERAS = """
import sys
sys.modules["keras"] = None  # to import it raises
sys.argv = ["kerasfx", *sys.argv[1:]]
from kerasfx.__main__ import main
sys.exit(main())
"""


@pytest.mark.parametrize("arguments", [["--help"], ["prepare", "--help"], ["--version"], ["prepare"], []])
def test_help_needs_no_keras(folder, arguments):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_KERAS, *arguments],
        env={**os.environ, "PYTHONPATH": str(Path(kerasfx.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == (0 if set(arguments) & {"--help", "--version"} else 2), done.stderr
    assert "kerasfx" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_report_writes_a_page_with_the_differences_of_the_layers(folder, typed):
    code, out, err = typed("report", *NET, "-o", "net.html")
    assert (code, err) == (0, "")
    assert "are equivalent" in out
    assert out.endswith("written: net.html\n")
    page = (folder / "net.html").read_text()
    assert "blocks_0_dense" in page
    assert "net.html: that file is there already." in typed("report", *NET, "-o", "net.html")[2]


def test_reports_and_comparisons_are_data(folder, typed):
    saved(folder, typed)
    data = json.loads(typed("explain", *NET, "--json")[1])
    assert (data["model"], data["result"]) == ("net", None)
    asked = ("compare", "net.keras", "flat.keras", "--import", "users_models", "--no-gradients", "--json")
    code, out, _ = typed(*asked)
    assert (code, json.loads(out)["equivalent"]) == (0, True)
    data = json.loads(typed("prepare", *NET, "-o", "data.keras", "--json")[1])
    assert data["result"] == f"{data['model']}_prepared"


@pytest.mark.parametrize(
    ("started", "is_the_command"),
    [
        (("kerasfx", "--help"), True),
        (("/venv/bin/kerasfx", "prepare", "net.keras"), True),
        ((r"kerasfx.exe",), True),
        (("python", "-m", "kerasfx"), True),
        (("python", "-X", "dev", "-m", "kerasfx", "show", "kerasfx"), True),
        (("python", "-m", "mypackage.train", "kerasfx"), False),
        (("python", "-m", "kerasfx.aimet", "script.py"), False),
        (("python", "-m", "pytest", "kerasfx"), False),
        (("train.py", "kerasfx"), False),
        (("kerasfx_tools",), False),
        (("-c",), False),
        (("",), False),
        ((), False),
    ],
)
def test_a_start_of_the_command_is_known(monkeypatch, started, is_the_command):
    # While Python looks for the module of `-m`, sys.argv begins with "-m".
    behind = started.index("-m") + 2 if "-m" in started else 0
    monkeypatch.setattr(sys, "orig_argv", list(started))
    monkeypatch.setattr(sys, "argv", ["-m", *started[behind:]] if behind else list(started))
    assert kerasfx._is_the_command() is is_the_command


def test_help_of_a_module_comes_without_keras(folder):
    done = command("prepare", "--help", folder=folder, PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
    assert "kerasfx prepare net.keras -o flat.keras" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "kerasfx.cli.arguments" in imported
    assert "keras" not in imported


def test_a_file_that_names_our_layers_loads_at_the_command_line(folder, typed):
    typed("prepare", "users_models:Rolls", "--input", "None,4", "-o", "rolls.keras")
    shown = command("show", "rolls.keras", folder=folder)
    assert shown.returncode == 0, shown.stderr
    assert "Roll 'roll'" in shown.stdout


def test_nobody_reads_on(folder):
    read, write = os.pipe()
    os.close(read)
    # Where each line is written at once, argparse goes on when one is not taken, and ends with 0.
    done = command("--help", folder=folder, PYTHONUNBUFFERED="", stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_an_interrupt_ends_it(typed):
    assert typed("show", "users_models:interrupted") == (130, "", "interrupted\n")


def test_colours_are_for_terminals(typed, monkeypatch):
    assert "\x1b" not in typed("show", *NET)[1]
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[2m" in typed("show", *NET)[1]


def test_a_bug_of_ours_is_called_so(typed, monkeypatch):
    def broken(*_, **__):
        return {}["missing"]

    broken.__code__ = broken.__code__.replace(co_filename=str(Path(kerasfx.__file__).parent / "here.py"))
    monkeypatch.setattr("kerasfx.cli.commands.trace", broken)
    code, out, err = typed("show", *NET)
    assert (code, out) == (70, "")
    assert "kerasfx failed, and should not have. KeyError: 'missing'" in err
    assert "do:    please report this" in err


def test_a_backend_that_keras_does_not_know_is_told(folder):
    done = command("explain", "x.keras", folder=folder, KERAS_BACKEND="tensorfow", stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Unable to import backend : tensorfow" in done.stderr
    assert "do:    --backend tensorflow (or jax, torch)" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_stdout_is_no_answer_no(monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    assert main(["--version"]) == 0


def test_what_nobody_caught_is_no_answer(monkeypatch, capsys):
    monkeypatch.setattr("kerasfx.__main__.parse", lambda _: {}["bug"])
    assert main(["show", "x"]) == 70
    assert "KeyError" in capsys.readouterr().err


def test_a_backend_that_is_not_there_is_told(folder):
    hides = (
        "import sys; sys.modules['torch'] = None; sys.argv = ['kerasfx', 'show', 'x', '--backend', 'torch']; "
    )
    code = f"{hides} from kerasfx.__main__ import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("The backend torch is not installed.\n")

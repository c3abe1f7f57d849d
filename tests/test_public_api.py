"""The public surface: listed once, documented, with the signatures that were promised."""

import ast
import builtins
import importlib
import inspect
import re
import subprocess
import sys
import types
from pathlib import Path

import keras
import pytest

import kerasfx
import kerasfx.errors

pytestmark = pytest.mark.any_backend

PUBLIC = (
    "Comparison",
    "CopiedWeights",
    "Graph",
    "Inputs",
    "Node",
    "Report",
    "Traced",
    "UntestedKerasWarning",
    "UnverifiedWarning",
    "Value",
    "compare",
    "copy_weights",
    "emit",
    "errors",
    "explain",
    "ir",
    "layers",
    "passes",
    "plot",
    "prepare_model",
    "report",
    "to_model_explorer",
    "to_source",
    "trace",
)
MODULES = ("errors", "ir", "layers", "passes")
FUNCTIONS = [name for name in PUBLIC if inspect.isfunction(getattr(kerasfx, name))]


def test_all_is_exactly_this():
    assert tuple(kerasfx.__all__) == PUBLIC


def test_nothing_else_is_public():
    names = {
        n
        for n in dir(kerasfx)
        if not n.startswith("_") and not isinstance(getattr(kerasfx, n), types.ModuleType)
    }
    assert names - {"annotations"} == {*PUBLIC} - {*MODULES} | {"HOMES", "TYPE_CHECKING"}


def test_everything_is_where_it_is_said_to_be():
    assert {n for n in PUBLIC if isinstance(getattr(kerasfx, n), types.ModuleType)} == {*MODULES}
    for name, home in kerasfx.HOMES.items():
        assert getattr(kerasfx, name) is getattr(importlib.import_module(f"kerasfx.{home}"), name)


def test_what_type_checkers_see_is_what_there_is():
    tree = ast.parse(Path(kerasfx.__file__).read_text())
    imports = [x for x in ast.walk(tree) if isinstance(x, ast.ImportFrom) and "kerasfx" in str(x.module)]
    seen = {alias.name: str(x.module) for x in imports for alias in x.names}
    assert set(seen) == {*PUBLIC, "__version__"}
    assert {n: f"kerasfx.{home}" for n, home in kerasfx.HOMES.items()}.items() <= seen.items()


def test_another_name_is_refused():
    with pytest.raises(AttributeError, match="module 'kerasfx' has no attribute 'prepair_model'"):
        kerasfx.prepair_model  # noqa: B018


def in_another_process(code):
    """What Python prints for `code` in a new process."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def test_importing_it_imports_no_more_than_files_need(tmp_path):
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save(tmp_path / "plain.keras")
    kerasfx.prepare_model(Shifted(), keras.Input((4,))).save(tmp_path / "prepared.keras")
    code = f"""
import sys, keras, kerasfx
model = keras.saving.load_model({str(tmp_path / "prepared.keras")!r})
print(type(model).__name__, sorted({{n.split(".")[1] for n in sys.modules if n.startswith("kerasfx.")}}))
"""
    found = in_another_process(code)
    assert "Functional ['errors', 'ir', 'keras_api', 'runtime', 'version']" in found


class Shifted(keras.layers.Layer):
    def call(self, x):
        return keras.ops.roll(x, 1) + 1.0


@pytest.mark.parametrize("version", ["3.16.0", "4.0.0.dev1", "3.13.2"])
def test_another_keras_than_those_tested_is_warned_of_once(version):
    code = f"""
import warnings, keras
keras.__version__ = {version!r}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import kerasfx
    import kerasfx.passes
    kerasfx.prepare_model
told = [w for w in caught if w.category is kerasfx.UntestedKerasWarning]
print(len(told), told[0].message)
"""
    found = in_another_process(code)
    assert f"1 kerasfx was tested with Keras 3.14.0 to 3.15.1, and this is Keras {version}." in found


def test_the_keras_of_the_tests_is_not_warned_of():
    assert "1" in in_another_process(
        "import warnings; warnings.simplefilter('error', UserWarning); import kerasfx; print(1)"
    )


def test_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+", kerasfx.__version__)


def test_signature_of_prepare_model():
    signature = inspect.signature(kerasfx.prepare_model)
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    shown = signature.replace(parameters=bare, return_annotation=inspect.Signature.empty)
    assert str(shown) == (
        "(original_model, input_layer=None, *, leaves=(), opened=(), "
        "weights='copy', training_in_fit='as_original', mode='both', compile=None, keep_class=False, "
        "strict=False, passes=(), lower=True, unshare=False, names='path', "
        "replace_separable_conv=False, replace_relu6=False, lower_gelu=None, portable=False, "
        "verify=True, hints=None, progress=None)"
    )
    assert signature.return_annotation == "keras.Model"


@pytest.mark.parametrize("name", ["trace", "explain"])
def test_trace_and_explain_take_what_prepare_model_takes(name):
    prepare = inspect.signature(kerasfx.prepare_model).parameters
    for parameter in list(inspect.signature(getattr(kerasfx, name)).parameters.values())[1:]:
        same = prepare[parameter.name]
        assert (parameter.default, parameter.kind) == (same.default, same.kind)


@pytest.mark.parametrize("name", PUBLIC)
def test_everything_is_documented(name):
    doc = inspect.getdoc(getattr(kerasfx, name))
    assert doc
    assert doc.splitlines()[0].rstrip().endswith(".")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_argument_the_result_and_the_errors_are_documented(name):
    function = getattr(kerasfx, name)
    doc, signature = inspect.getdoc(function), inspect.signature(function)
    missing = [p for p in signature.parameters if not re.search(rf"\b{p}\b", doc.partition("\n")[2])]
    # `report` says what its one argument is in its first line.
    assert missing == [] or name == "report"
    assert name == "report" or "Args:" in doc
    assert name == "report" or "Returns:" in doc
    assert "Raises:" in doc


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_error_that_is_documented_exists(name):
    raised = re.findall(r"\b([A-Z]\w+Error)\b", inspect.getdoc(getattr(kerasfx, name)))
    assert raised
    assert all(hasattr(kerasfx.errors, n) or hasattr(builtins, n) for n in raised)


def classes_of(module):
    """The public classes that a module defines."""
    found = [x for n, x in vars(module).items() if isinstance(x, type) and not n.startswith("_")]
    return [x for x in found if x.__module__ == module.__name__]


@pytest.mark.parametrize("cls", classes_of(kerasfx.errors), ids=lambda c: c.__name__)
def test_every_error_is_ours_and_has_a_page(cls):
    assert issubclass(cls, (kerasfx.errors.KerasFxError, UserWarning))
    assert inspect.getdoc(cls)


@pytest.mark.parametrize("cls", classes_of(kerasfx.layers), ids=lambda c: c.__name__)
def test_every_layer_documents_its_call(cls):
    doc = inspect.getdoc(cls)
    assert "Call arguments:" in doc or cls is kerasfx.layers.DropMask

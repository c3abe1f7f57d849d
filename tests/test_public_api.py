"""The public surface: listed once, documented, with the signatures that were promised."""

import inspect
import re
import types

import pytest

import kerasfx
import kerasfx.errors

pytestmark = pytest.mark.any_backend

PUBLIC = (
    "Comparison",
    "CopiedWeights",
    "Graph",
    "Inputs",
    "Report",
    "Traced",
    "UnverifiedWarning",
    "compare",
    "copy_weights",
    "emit",
    "explain",
    "prepare_model",
    "report",
    "trace",
)
FUNCTIONS = [name for name in PUBLIC if inspect.isfunction(getattr(kerasfx, name))]


def test_all_is_exactly_this():
    assert tuple(kerasfx.__all__) == PUBLIC


def test_nothing_else_is_public():
    names = {
        n for n, x in vars(kerasfx).items() if not n.startswith("_") and not isinstance(x, types.ModuleType)
    }
    assert names == set(PUBLIC)


def test_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+", kerasfx.__version__)


def test_signature_of_prepare_model():
    signature = inspect.signature(kerasfx.prepare_model)
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    shown = signature.replace(parameters=bare, return_annotation=inspect.Signature.empty)
    assert str(shown) == (
        "(original_model, input_layer=None, *, leaves=(), opened=(), "
        "weights='copy', training_in_fit='as_original', mode='both', compile=None, keep_class=False, "
        "strict=False, passes=(), verify=True, hints=None)"
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
    builtin = {"ValueError": ValueError, "TypeError": TypeError}
    assert raised
    assert all(hasattr(kerasfx.errors, n) or n in builtin for n in raised)


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

"""Every case of the zoo is prepared faithfully, as a user sees it.

Each case is prepared once and asked: is the result flat, is every variable there, does the oracle call
it equivalent, was the original left alone, and does a process without the user's code compute the same
bits from the file. TensorFlow is asked everything of every case. On JAX, where differentiating a model
compiles it anew, the optimizer step is left to the topics that are about weights and training; the
others differ in what is computed forwards, and that is compared on JAX as well.
"""

import functools
import inspect
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pytest
from loaded_elsewhere import ElsewhereError
from predicting import predicting
from snapshots import differences, snapshot_of_model, snapshot_of_process
from zoo import ALL, IGNORED_WARNINGS, Case
from zoo.case import BATCH

import kerasfx
from kerasfx.handover import provenance
from kerasfx.keras_api.internals import operations_but_masks

# A Functional model converts its inputs to their dtypes, and JAX has no int64.
NO_INT64 = "ignore:Explicitly requested dtype int64:UserWarning"
pytestmark = [pytest.mark.filterwarnings(warning) for warning in (*IGNORED_WARNINGS, NO_INT64)]

NAMES = sorted(ALL)
GRADIENTS_ON_JAX = ("zoo.structure", "zoo.frozen", "zoo.training", "zoo.state")

NO_DERIVATIVE = {
    # It has none of `slice_update` and of a dilated convolution on a CPU.
    "tensorflow": ("ops_core", "tf_nn_conv1d_and_transpose"),
    "jax": (),
    # It has none of `//`, and leaves `tensor @ array` to NumPy.
    "torch": (
        "matmul_operator",
        "operators_with_a_variable_on_the_left",
        "operators_with_a_variable_on_the_right",
    ),
}[keras.backend.backend()]
"""The cases whose original model the backend cannot differentiate."""


# JAX's `fit` and `predict` run the model's `call` alone: without the cast of the inputs that calling the
# model makes, and so that a layer forgets the losses of its call before.
UNLIKE_IN_FIT = (
    {
        "float16_input": {"in fit", "bare call"},
        "activity_regularizer_of_a_shared_layer": {"in fit"},
    }
    if keras.backend.backend() == "jax"
    else {}
)


@dataclass(frozen=True)
class Prepared:
    """A case and the model prepared from it.

    Attributes:
        name: Name of the case.
        case: The case.
        topic: The module of the zoo that it is in.
        model: What `prepare_model` returned.
        inputs: The inputs of the case in the structure that `model` takes.
        changes: What preparing changed outside the model.
    """

    name: str
    case: Case
    topic: str
    model: keras.Model
    inputs: Any
    changes: tuple[str, ...]


def prepare_arguments(case: Case) -> tuple[Any, ...]:
    """The arguments of `prepare_model` after the model."""
    if case.free is not None:
        return (case.free,)
    if case.call_kwargs:
        return (kerasfx.Inputs(case.inputs, **case.call_kwargs),)
    return (case.inputs,) if case.needs_input else ()


def inputs_of_prepared(case: Case) -> Any:
    """The inputs of a case as the prepared model takes them."""
    if not case.call_kwargs:
        return case.inputs
    first = next(iter(inspect.signature(case.model.call).parameters))
    tensors = {
        name: value
        for name, value in case.call_kwargs.items()
        if any(isinstance(leaf, np.ndarray) for leaf in keras.tree.flatten(value))
    }
    return {first: case.inputs, **tensors}


@functools.cache
def prepare(name: str) -> Prepared:
    """A case of the zoo, prepared; verified by the tests and not by `prepare_model`."""
    case = ALL[name]()
    was_built = case.model.built
    before = snapshot_of_process()
    model = kerasfx.prepare_model(case.model, *prepare_arguments(case), verify=False)
    changes = differences(before, snapshot_of_process())
    if not was_built:  # its initializers draw their seeds from Python's random numbers
        changes = [line for line in changes if not line.startswith("python random")]
    return Prepared(name, case, ALL[name].__module__, model, inputs_of_prepared(case), tuple(changes))


def as_parameter(name: str) -> Any:
    """A case of the zoo as a parameter of a test, marked if it is about functions of the backend."""
    is_raw = ALL[name].__module__.startswith("zoo.raw_")
    return pytest.param(name, marks=[pytest.mark.raw] if is_raw else [])


@pytest.fixture(params=map(as_parameter, NAMES))
def prepared(request) -> Prepared:
    """Every case of the zoo, prepared."""
    return prepare(request.param)


def is_standard(layer: keras.Layer) -> bool:
    """Whether Keras and kerasfx alone can load a layer, and it is no model."""
    own_module = type(layer).__module__
    is_known = own_module.startswith("keras.src.layers.") or own_module == "kerasfx.runtime.layers"
    return is_known and not isinstance(layer, keras.Model | keras.layers.Lambda)


def outputs_of(model: keras.Model, inputs: Any, **kwargs: Any) -> Any:
    """The outputs in inference; the model stays as it is."""
    with predicting(), keras.StatelessScope([(v, v.value) for v in model.variables]):
        return model(inputs, **kwargs, training=False)


def numbers(outputs: Any) -> list[np.ndarray]:
    """The tensors of a structure, flat, in NumPy."""
    flat = keras.tree.flatten(outputs)
    return [keras.ops.convert_to_numpy(leaf) for leaf in flat if leaf is not None]


def test_result_is_functional_and_flat(prepared):
    """Only standard layers, except those that the case expects to stay whole."""
    assert isinstance(prepared.model, keras.Model)
    assert type(prepared.model).__name__ == "Functional"
    whole = {type(x).__name__ for x in prepared.model.layers if not is_standard(x)}
    expected = set(prepared.case.expect_opaque)
    assert whole <= expected
    opaque = kerasfx.report(prepared.model).opaque
    assert {f.what.split()[0] for f in opaque} == expected
    assert not [f for f in opaque if "kerasfx itself failed" in f.what]
    assert all(isinstance(op, keras.Layer) for op in operations_but_masks(prepared.model))


def test_preparing_again_changes_nothing(prepared):
    """What is flat comes back as it is."""
    report = kerasfx.report(prepared.model)
    assert kerasfx.prepare_model(prepared.model) is prepared.model
    assert kerasfx.report(prepared.model) is report


def test_no_variable_is_lost(prepared):
    """Every variable of the original is in the result, or is reported as unused."""
    if prepared.model is prepared.case.model:  # it is flat already
        assert prepared.case.unused == 0
        return
    record = provenance.provenance_of(prepared.model)
    assert len(record.unused) == prepared.case.unused
    assert len(kerasfx.report(prepared.model).of_kind("unused")) == prepared.case.unused
    accounted = {id(v) for v, _ in record.variables} | {id(v) for v in record.unused}
    untracked = [v for layer in prepared.case.untracked for v in layer.variables]
    assert accounted == {id(v) for v in (*prepared.case.model.variables, *untracked)}
    partners = {id(w) for _, w in record.variables} | {id(w) for w in record.constants}
    assert partners == {id(w) for w in prepared.model.variables}


def test_result_is_equivalent(prepared):
    """The oracle finds no difference, at another batch size than that of the inputs of the case."""
    gradients = keras.backend.backend() != "jax" or prepared.topic in GRADIENTS_ON_JAX
    comparison = kerasfx.compare(
        prepared.case.model, prepared.model, batch_sizes=(BATCH - 1,), samples=1, gradients=gradients
    )
    failed = {check.name for check in comparison.checks if not check.passed}
    assert failed == UNLIKE_IN_FIT.get(prepared.name, set()), str(comparison)
    has_step = "optimizer step" in {check.name for check in comparison.checks}
    assert has_step is (gradients and prepared.name not in NO_DERIVATIVE), str(comparison)


def test_outputs_on_the_inputs_of_the_case(prepared):
    """Structure, dtypes and numbers of the outputs, without any help of the oracle."""
    case = prepared.case
    expected = outputs_of(case.model, case.inputs, **case.call_kwargs)
    outputs = outputs_of(prepared.model, prepared.inputs)
    keras.tree.assert_same_structure(expected, outputs)
    for ours, theirs in zip(numbers(expected), numbers(outputs), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours.astype("complex64"), theirs.astype("complex64"), rtol=1e-5, atol=1e-6)


def test_nothing_happens_to_the_original(prepared):
    """Tracing a built model again changes neither it nor the process."""
    assert prepared.changes == ()
    case = prepared.case
    before = snapshot_of_model(case.model, *case.untracked), snapshot_of_process()
    kerasfx.trace(case.model, *prepare_arguments(case))
    after = snapshot_of_model(case.model, *case.untracked), snapshot_of_process()
    assert [differences(b, a) for b, a in zip(before, after, strict=True)] == [[], []]


def test_loads_without_the_users_code(prepared, elsewhere, tmp_path):
    """A process that never saw the user's classes computes the same bits.

    Where a custom layer had to stay whole, that process says which class it lacks.
    """
    path = tmp_path / "prepared.keras"
    prepared.model.save(path)
    if prepared.case.expect_opaque:
        with pytest.raises(ElsewhereError, match="Could not locate class"):
            elsewhere.run(path, prepared.inputs)
        return
    outputs = elsewhere.run(path, prepared.inputs)
    expected = numbers(outputs_of(prepared.model, prepared.inputs))
    for ours, theirs in zip(expected, outputs, strict=True):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        np.testing.assert_array_equal(ours, theirs)

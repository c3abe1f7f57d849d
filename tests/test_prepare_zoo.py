"""Every case of the zoo is prepared faithfully, as a user sees it.

Each case is prepared once and asked everything, in one test whose failures name the question: is the result
flat, is every variable there, does the oracle call it equivalent, was the original left alone, and does a
process without the user's code compute the same bits from the file.

TensorFlow is asked everything of every case. On the other backends and on the oldest Keras the optimizer
step is left to the topics that are about weights, training and gradients, and what `fit` and `predict` do to
those in which Keras itself does something for a backend; the others differ in what is computed forwards, and
that is compared there as well. On the oldest Keras what is ours alone is not asked again: TensorFlow is asked
the topics of Keras's own and the quick cases of the others, JAX and PyTorch the topics of Keras's own.
"""

import inspect
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from loaded_elsewhere import Elsewhere, ElsewhereError
from predicting import predicting
from snapshots import differences, snapshot_of_model, snapshot_of_process
from zoo import ALL, IGNORED_WARNINGS, REFUSED, Case
from zoo.case import BATCH

import kerasfx
from kerasfx.comparing import Comparison, Options, compare_models, pairing_of
from kerasfx.comparing.inputs import ranges_of
from kerasfx.handover import provenance
from kerasfx.keras_api.internals import operations_but_masks

# A Functional model converts its inputs to their dtypes, and JAX has no int64.
NO_INT64 = "ignore:Explicitly requested dtype int64:UserWarning"
pytestmark = [pytest.mark.filterwarnings(warning) for warning in (*IGNORED_WARNINGS, NO_INT64)]

NAMES = sorted(ALL)
IS_OLDEST = keras.__version__.startswith("3.14.")
BACKEND = keras.backend.backend()
ABOUT_WEIGHTS = ("zoo.structure", "zoo.frozen", "zoo.training", "zoo.state", "zoo.gradients", "zoo.raw_torch")
"""The topics whose cases are asked for an optimizer step where not all are."""

ABOUT_KERAS = ("zoo.masks", "zoo.training", "zoo.state", "zoo.structure")
"""The topics in which Keras's layers do something of their own for a backend."""

QUICK = """
keyword_tensor_at_the_top star_kwargs output_nested output_with_none dict_out_of_a_layer_kept_whole
cond_with_a_custom_layer_inside while_loop_with_a_counter fori_loop_with_a_dense_layer einops_attention
class_token weight_normalisation tied_embedding_projection constant_arrays large_constant
stopped_gradient loop_over_the_static_length zipped_tensors
op_drops_the_mask custom_layer_with_compute_mask attention_with_implicit_masks mask_on_the_output
mask_set_as_an_attribute mask_changed_by_compute_mask
operators_with_an_array_on_the_left slicing_with_ellipsis_and_newaxis ops_shape_arithmetic dtype_casts
float16_input mixed_float16
dropout_subclasses step_counter_that_changes_a_branch metrics_updated_in_call
dropout_called_twice dense_called_twice siamese_subclassed_submodel subclass_in_functional
names_that_collide_when_flattened unused_sublayer builtin_subclass_that_only_presets layer_without_get_config
training_forwarded training_fixed_to_true python_branch_on_training dropout_kinds
batch_normalization_in_both_modes batch_normalization_called_twice frozen_sublayer frozen_batch_normalization
activity_regularizers regularizers_and_constraints loss_added_by_a_custom_layer
one_seed_generator_for_two_layers moving_average_of_a_custom_layer
dropout_called_for_a_short_and_for_a_long_way
time_distributed_custom_layer custom_wrapper
"""
"""Cases of each topic that cost little, for `make test-quick`."""

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
}[BACKEND]
"""The cases whose original model the backend cannot differentiate."""


# JAX's `fit` and `predict` run the model's `call` alone: without the cast of the inputs that calling the
# model makes, and so that a layer forgets the losses of its call before.
UNLIKE_IN_FIT = (
    {
        "float16_input": {"in fit", "bare call"},
        "activity_regularizer_of_a_shared_layer": {"in fit"},
    }
    if BACKEND == "jax"
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
        changes: What preparing changed outside of the model and, if that was built before, in it.
        is_asked: Whether `changes` tell of the model, too.
    """

    name: str
    case: Case
    topic: str
    model: keras.Model
    inputs: Any
    changes: tuple[str, ...]
    is_asked: bool

    @cached_property
    def outputs(self) -> Any:
        """What the prepared model computes from the inputs of the case."""
        return outputs_of(self.model, self.inputs)


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


def prepare(name: str) -> Prepared:
    """A case of the zoo, prepared; verified by the tests and not by `prepare_model`."""
    case = ALL[name]()
    was_built = case.model.built
    own = snapshot_of_model(case.model, *case.untracked) if was_built else {}
    before = snapshot_of_process()
    model = kerasfx.prepare_model(case.model, *prepare_arguments(case), verify=False)
    changes = differences(before, snapshot_of_process())
    is_asked = was_built and model is not case.model
    if is_asked:
        changes += differences(own, snapshot_of_model(case.model, *case.untracked))
    if not was_built:  # its initializers draw their seeds from Python's random numbers
        changes = [line for line in changes if not line.startswith("python random")]
    return Prepared(
        name, case, ALL[name].__module__, model, inputs_of_prepared(case), tuple(changes), is_asked
    )


def as_parameter(name: str) -> Any:
    """A case of the zoo as a parameter of a test, marked by where the answers can differ."""
    topic, is_quick = ALL[name].__module__, name in QUICK.split()
    marks = []
    if topic in ABOUT_KERAS:
        marks = [pytest.mark.every_run]
    elif topic.startswith("zoo.raw_") or not is_quick:
        marks = [pytest.mark.any_keras]
    return pytest.param(name, marks=[*marks, *([pytest.mark.quick] if is_quick else [])])


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


def result_is_functional_and_flat(prepared: Prepared) -> None:
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
    # The oracle would take the number of rows that the result allows.
    assert all(tensor.shape[:1] == (None,) for tensor in prepared.model.inputs)


def preparing_again_changes_nothing(prepared: Prepared) -> None:
    """What is flat comes back as it is."""
    report = kerasfx.report(prepared.model)
    assert kerasfx.prepare_model(prepared.model) is prepared.model
    assert kerasfx.report(prepared.model) is report


def no_variable_is_lost(prepared: Prepared) -> None:
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


def questions_of_the_oracle(prepared: Prepared) -> Options:
    """What the oracle is asked of a case on this backend and this Keras."""
    topic = prepared.topic
    asks_everything = BACKEND == "tensorflow" and not IS_OLDEST
    is_thorough = asks_everything or topic in ABOUT_KERAS or topic.startswith("zoo.raw_")
    is_thorough |= prepared.name in UNLIKE_IN_FIT
    has_gradients = topic in ABOUT_WEIGHTS and (is_thorough or not IS_OLDEST)
    # JAX compiles everything anew for another batch size, and only its own functions can object to one.
    batch_size = BATCH if BACKEND == "jax" and topic != "zoo.raw_jax" else BATCH - 1
    return Options(
        batch_sizes=(batch_size,),
        samples=1,
        fit=is_thorough,
        bare=is_thorough,
        gradients=asks_everything or has_gradients,
    )


def compared_on_random_inputs(prepared: Prepared, options: Options) -> Comparison:
    """The oracle on one sample; its integers lie where those of the case lie."""
    models = prepared.case.model, prepared.model
    pairing = pairing_of(*models)
    ranges = {} if pairing.examples is None else ranges_of(prepared.model, pairing.examples)
    return compare_models(*models, replace(pairing, examples=None), options, ranges=ranges)


def result_is_equivalent(prepared: Prepared) -> None:
    """The oracle finds no difference, on random inputs and at another batch size than that of the case.

    What the inputs of the case themselves give is asked by `outputs_on_the_inputs_of_the_case`.
    """
    asked = questions_of_the_oracle(prepared)
    comparison = compared_on_random_inputs(prepared, asked)
    failed = {check.name for check in comparison.checks if not check.passed}
    assert failed == UNLIKE_IN_FIT.get(prepared.name, set()), str(comparison)
    has_step = "optimizer step" in {check.name for check in comparison.checks}
    assert has_step is (asked.gradients and prepared.name not in NO_DERIVATIVE), str(comparison)


def outputs_on_the_inputs_of_the_case(prepared: Prepared) -> None:
    """Structure, dtypes and numbers of the outputs, without any help of the oracle."""
    case = prepared.case
    expected = outputs_of(case.model, case.inputs, **case.call_kwargs)
    outputs = prepared.outputs
    keras.tree.assert_same_structure(expected, outputs)
    for ours, theirs in zip(numbers(expected), numbers(outputs), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours.astype("complex64"), theirs.astype("complex64"), rtol=1e-5, atol=1e-6)


def nothing_happens_to_the_original(prepared: Prepared) -> None:
    """Preparing a built model, or tracing it again, changes neither it nor the process."""
    assert prepared.changes == ()
    if prepared.is_asked:
        return
    case = prepared.case
    before = snapshot_of_model(case.model, *case.untracked), snapshot_of_process()
    kerasfx.trace(case.model, *prepare_arguments(case))
    after = snapshot_of_model(case.model, *case.untracked), snapshot_of_process()
    assert [differences(b, a) for b, a in zip(before, after, strict=True)] == [[], []]


def loads_without_the_users_code(prepared: Prepared, elsewhere: Elsewhere, path: Path) -> None:
    """A process that never saw the user's classes computes the same bits.

    Where a custom layer had to stay whole, that process says which class it lacks.
    """
    prepared.model.save(path)
    if prepared.case.expect_opaque:
        with pytest.raises(ElsewhereError, match="Could not locate class"):
            elsewhere.run(path, prepared.inputs)
        return
    outputs = elsewhere.run(path, prepared.inputs)
    expected = numbers(prepared.outputs)
    for ours, theirs in zip(expected, outputs, strict=True):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        np.testing.assert_array_equal(ours, theirs)


QUESTIONS = (
    result_is_functional_and_flat,
    no_variable_is_lost,
    result_is_equivalent,
    *(
        ()
        if IS_OLDEST
        else (
            preparing_again_changes_nothing,
            outputs_on_the_inputs_of_the_case,
            nothing_happens_to_the_original,
        )
    ),
)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="some cases are not on every backend")
def test_quick_cases_exist():
    """No name among the quick ones is mistyped, or of a case that is gone."""
    assert set(QUICK.split()) <= {*ALL, *REFUSED}


@pytest.mark.parametrize("name", [as_parameter(name) for name in NAMES])
def test_case(name, subtests, elsewhere, tmp_path):
    """Every question is asked, whether or not another one fails."""
    prepared = prepare(name)
    for question in QUESTIONS:
        with subtests.test(question.__name__):
            question(prepared)
    with subtests.test(loads_without_the_users_code.__name__):
        loads_without_the_users_code(prepared, elsewhere, tmp_path / "prepared.keras")

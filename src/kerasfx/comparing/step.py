"""One step of gradient descent in both models, stateless and as `fit` takes it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from kerasfx.comparing import measure
from kerasfx.comparing.gradients import gradient_by_variables, value_and_gradient
from kerasfx.comparing.inputs import Sample
from kerasfx.comparing.measure import (
    Difference,
    Tolerance,
    tensor_difference,
    unlike,
    worst,
)
from kerasfx.comparing.pairing import is_trained, trained_ids
from kerasfx.comparing.result import Check, as_check
from kerasfx.comparing.run import (
    Call,
    Run,
    call_directly,
    run,
    with_stand_ins,
)
from kerasfx.comparing.states import State
from kerasfx.comparing.subjects import Subjects
from kerasfx.errors import first_line
from kerasfx.handover.computed import ComputedWeight
from kerasfx.keras_api.arrays import to_numpy
from kerasfx.keras_api.internals import raw_value

_NAME = "optimizer step"
_LEARNING_RATE = 0.01
_TRACED = (
    "no optimizer step: '{a}' computes something else while it is differentiated (a loss of "
    "{traced:.6g} instead of {plain:.6g}); on JAX, Keras 3.5 loses the masks of traced tensors"
)
_NOT_ALIKE = (
    "'{path}' does not train like what it was computed from, {weight}: a model that is right in inference "
    'alone is compared by kerasfx.compare(a, b, modes=("inference",))'
)
_ASSIGNS_OTHERS = (
    "no optimizer step as `fit` takes it: '{a}' assigns variables that Keras does not count among its own, "
    "and comparing must not change them"
)


def step_check(subjects: Subjects, sample: Sample, seed: int) -> tuple[list[Check], list[str]]:
    """One step of gradient descent in both models, in training mode with equal seeds.

    Returns:
        The check, or a note why there is none.
    """
    trained = _trained(subjects)
    # First: a step with such weights differs for certain, and says less.
    unlike_ones = list(_not_trained_alike(subjects))
    if unlike_ones:
        return [as_check(_NAME, worst(unlike_ones), "")], []
    if not trained:
        return [as_check(_NAME, measure.EQUAL, "nothing is trained")], []
    states = subjects.alike(subjects.own_states[0])
    ours = _Descent(subjects.a, sample, states[0], subjects.pairing.call, seed)
    theirs = _Descent(subjects.b, sample, states[1], call_directly, seed)
    try:
        loss, gradients = ours.gradients(_sources(trained))
    except Exception as error:
        return [], [f"no optimizer step: the original has no gradients: {first_line(error)}"]
    try:
        _, others = theirs.gradients([each.target for each in trained])
    except Exception as error:
        raised = unlike(f"only the prepared model raises {first_line(error)}")
        return [as_check(_NAME, raised, "")], []
    total = worst(_differences(subjects.tolerance, trained, states, gradients, others))
    # Only of a difference: finding out takes another run.
    note = None if total.within else _changed_by_tracing(subjects, ours, loss)
    if note:
        return [], [note]
    in_fit, notes = _difference_in_fit(subjects, ours, theirs, trained)
    return [as_check(_NAME, worst([total, in_fit]), f"{len(trained)} gradients and updated weights")], notes


@dataclass(frozen=True)
class _Trained:
    """A variable of the prepared model that is trained, and what of the original trains alike.

    Attributes:
        target: The variable of the prepared model.
        sources: Its partner, or the variables that it is a rearrangement of.
        weight: How it is rearranged; None for a partner.
    """

    target: keras.Variable
    sources: tuple[keras.Variable, ...]
    weight: ComputedWeight | None = None

    @property
    def path(self) -> str:
        """How it is called in messages."""
        return self.sources[0].path if self.weight is None else self.target.path

    def expected(self, read: Callable[[keras.Variable], Any]) -> Any:
        """What a tensor for `target` should be, where `read` gives those for its sources."""
        if self.weight is None:
            return read(self.sources[0])
        return self.weight.value(lambda v: to_numpy(read(v)))


def _trained(subjects: Subjects) -> list[_Trained]:
    trained = trained_ids(subjects.a)
    pairing = subjects.pairing
    # A weight that has two partners is a fault that another check names.
    unique = {id(v): _Trained(w, (v,)) for v, w in pairing.variables if is_trained(v, trained)}
    found = [
        each
        for each in unique.values()
        if keras.backend.is_float_dtype(each.sources[0].dtype)
        and tuple(each.sources[0].shape) == tuple(each.target.shape)
    ]
    alike = [weight for weight in pairing.computed if weight.trains_alike]
    return found + [
        _Trained(weight.variable, tuple(weight.originals), weight)
        for weight in alike
        if all(is_trained(v, trained) for v in weight.originals)
    ]


def _sources(trained: Sequence[_Trained]) -> list[keras.Variable]:
    """The variables of the original whose gradients are asked for, each once."""
    return list({id(v): v for each in trained for v in each.sources}.values())


def _not_trained_alike(subjects: Subjects) -> Iterator[Difference]:
    """The computed weights with which a step does something else than with what they are computed from."""
    of_a, of_b = trained_ids(subjects.a), trained_ids(subjects.b)
    for weight in subjects.pairing.computed:
        is_any = is_trained(weight.variable, of_b) or any(is_trained(v, of_a) for v in weight.originals)
        if is_any and not weight.trains_alike:
            yield unlike(_NOT_ALIKE.format(path=weight.variable.path, weight=weight))


def _difference_in_fit(
    subjects: Subjects, ours: "_Descent", theirs: "_Descent", trained: list[_Trained]
) -> tuple[Difference, list[str]]:
    """What a step differs by that is taken as `fit` takes it, with variables that are really assigned.

    On JAX it is taken in a `StatelessScope`, as the step before was.

    Returns:
        The difference, and notes.
    """
    if keras.backend.backend() == "jax":
        return measure.EQUAL, []
    if ours.assigns_others():
        return measure.EQUAL, [_ASSIGNS_OTHERS.format(a=subjects.a.name)]
    try:
        gradients = ours.gradients_by_variables(_sources(trained))
    except Exception as error:
        why = f"the original raises {first_line(error)}"
        return measure.EQUAL, [f"no optimizer step as `fit` takes it: {why}"]
    try:
        others = theirs.gradients_by_variables([each.target for each in trained])
    except Exception as error:
        return unlike(f"in fit, only the prepared model raises {first_line(error)}"), []
    states = ours.state, theirs.state
    found = worst(_differences(subjects.tolerance, trained, states, gradients, others))
    return replace(found, reason=f"in fit, {found.reason}" if found.reason else ""), []


@dataclass(frozen=True)
class _Descent:
    """The loss of a model on one sample as a function of its weights."""

    model: keras.Layer
    sample: Sample
    state: State
    call: Call
    seed: int

    def loss(self, replaced: Mapping[int, Any]) -> Any:
        """The total loss, a float32 tensor of shape (), with some variables replaced."""
        state = self.state.with_values(replaced)
        result = run(
            self.model, self.sample.inputs, state, training=True, call=self.call, differentiable=True
        )
        return _total_loss(result, self.seed)

    def assigns_others(self) -> bool:
        """Whether the model assigns variables that Keras does not count among its own."""
        result = run(self.model, self.sample.inputs, self.state, training=True, call=self.call)
        return result.assigns_others

    def gradients_by_variables(self, variables: Sequence[keras.Variable]) -> list[Any]:
        """The gradients of the loss by each of the variables, which are assigned where the model does so."""

        def loss() -> Any:
            mode = {"training": True, "differentiable": True, "stateless": False}
            result = run(self.model, self.sample.inputs, self.state, call=self.call, **mode)
            return _total_loss(result, self.seed)

        with with_stand_ins(self.model, self.state, variables):
            return gradient_by_variables(loss, [raw_value(v) for v in variables])

    def gradients(self, variables: Sequence[keras.Variable]) -> tuple[Any, list[Any]]:
        """The loss and its gradient by each of the variables."""

        def loss(values: Sequence[Any]) -> Any:
            return self.loss({id(v): value for v, value in zip(variables, values, strict=True)})

        return value_and_gradient(loss, [self.state.value(v) for v in variables])


def _changed_by_tracing(subjects: Subjects, descent: _Descent, traced: Any) -> str | None:
    plain = descent.loss({})
    if tensor_difference("loss", plain, traced, subjects.tolerance).within:
        return None
    return _TRACED.format(a=subjects.a.name, traced=float(traced), plain=float(plain))


def _total_loss(result: Run, seed: int) -> Any:
    """Every float output weighted by fixed random numbers, plus the losses of the model."""
    total = keras.ops.zeros(())
    for index, (_, leaf) in enumerate(measure.leaves(result.outputs)):
        if measure.is_tensor(leaf) and keras.backend.is_float_dtype(
            keras.backend.standardize_dtype(leaf.dtype)
        ):
            # Random weights: in a plain sum gradients may cancel, as those of a softmax do.
            random = np.random.default_rng((seed, index))
            weights = keras.ops.convert_to_tensor(random.standard_normal(tuple(leaf.shape)).astype("float32"))
            values: Any = keras.ops.cast(leaf, "float32")
            total += keras.ops.mean(values * weights)
    for loss in result.losses:
        total += keras.ops.cast(keras.ops.sum(loss), "float32")
    return total


def _differences(
    tolerance: Tolerance,
    trained: Sequence[_Trained],
    states: tuple[State, State],
    ours: list[Any],
    theirs: list[Any],
) -> Iterator[Difference]:
    # A small gradient is the difference of large terms, and carries their rounding.
    largest = max(measure.largest_magnitude(to_numpy(g)) for g in ours)
    loose = replace(tolerance, factor=10.0, unit=largest)
    gradients = {id(v): g for v, g in zip(_sources(trained), ours, strict=True)}
    for each, h in zip(trained, theirs, strict=True):
        g = each.expected(lambda v: gradients[id(v)])
        yield tensor_difference(f"gradient of '{each.path}'", g, h, loose)
        stepped = each.expected(lambda v: _stepped(v, states[0], gradients[id(v)]))
        own = _stepped(each.target, states[1], h)
        yield tensor_difference(f"'{each.path}' after a step", stepped, own, tolerance)


def _stepped(variable: keras.Variable, state: State, gradient: Any) -> Any:
    value = state.value(variable) - _LEARNING_RATE * gradient
    return variable.constraint(value) if variable.constraint else value

"""The questions asked of two models, and how each is answered."""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import keras
import numpy as np

from kerasfx.comparing import measure
from kerasfx.comparing.by_layer import calls_in, compared_layers
from kerasfx.comparing.inputs import Range, Sample
from kerasfx.comparing.locate import first_of
from kerasfx.comparing.measure import (
    Difference,
    Tolerance,
    tensor_difference,
    unlike,
    worst,
)
from kerasfx.comparing.pairing import (
    Pairing,
    check_variables,
    computed_in,
)
from kerasfx.comparing.result import Check, Comparison, LayerDifference, as_check
from kerasfx.comparing.run import Run, attempt
from kerasfx.comparing.states import perturbed
from kerasfx.comparing.step import step_check
from kerasfx.comparing.subjects import (
    Options,
    Outcome,
    Subjects,
    admitted,
    require_built,
    tolerance_for,
)
from kerasfx.errors import first_line
from kerasfx.keras_api.arrays import to_numpy
from kerasfx.keras_api.internals import all_layers, trains_by_default
from kerasfx.progress import begins, logs
from kerasfx.reporting import PROVES_NOTHING
from kerasfx.runtime.modes import BOTH, INFERENCE

_NON_DETERMINISTIC = (
    "'{a}' differs from itself in two equal calls ({reason}): it draws random numbers or holds "
    "state that Keras does not know, so it equals no model"
)

IN_INFERENCE = ("variables", "outputs", "perturbed outputs", "inference updates", "bare call", "masks")
"""The checks that do not depend on training."""
IN_PREDICT = "in predict"
NOT_FINITE = "NaN or infinite wherever it was compared"
NOT_TRAINABLE = "the original raises in training mode"


def compare_models(
    a: keras.Layer,
    b: keras.Layer,
    pairing: Pairing,
    options: Options,
    *,
    inputs: object = None,
    ranges: Mapping[str, Range] | None = None,
) -> Comparison:
    """Compares two models whose correspondence is known; see `kerasfx.compare`.

    Raises:
        TypeError: `a` or `b` is not a Keras layer or model.
        ValueError: A model is not built, or there are no inputs that the original accepts.
    """
    require_built(a=a, b=b)
    subjects = Subjects(a, b, pairing, tolerance_for(a, options.tolerance), not options.inference)
    begins("verify", "runs", options.expected_runs)
    kept, notes = admitted(subjects, options, inputs, ranges)
    plain, noisy, trained = _outcomes(subjects, kept, options)
    if options.training_may_raise:
        errors = [o.a.error for o in trained if _raises_alone(o)]
        trained = [o for o in trained if not _raises_alone(o)]
        notes += [f"{NOT_TRAINABLE}, {first_line(e)}, and was compared in inference" for e in errors]
    # What is not asked is said, for the table shows only what was.
    if not _asks_losses(subjects, options):
        notes += [f"losses were not compared: {what}" for what in pairing.lost_regularizers]
    checks = [
        check_variables(a, b, pairing),
        _check("outputs", plain, _outputs_difference, subjects.tolerance),
        _check("perturbed outputs", noisy, _outputs_difference, subjects.tolerance),
        *_inference_checks(subjects, noisy),
        *_training_checks(subjects, trained),
        *_losses_checks(subjects, [*plain, *noisy, *trained], options),
        *_fit_checks(subjects, trained if options.fit else []),
        *_bare_checks(subjects, kept[0][0], options),
        _check("masks", [*plain, *trained], _masks_difference, subjects.tolerance),
    ]
    if options.training and options.gradients and subjects.mode != INFERENCE:
        step, remarks = step_check(subjects, kept[0][0], options.seed)
        checks, notes = [*checks, *step], [*notes, *remarks]
    outcomes = [*plain, *noisy, *trained]
    failure = _first_failure(outcomes, subjects.tolerance)
    layers: list[LayerDifference] = []
    if options.by_layer:
        shown = failure if failure and failure.completed else plain[0]
        layers, note = compared_layers(subjects, shown, any(shown is o for o in noisy))
        notes = [*notes, note]
    comparison = Comparison(
        a=a.name,
        b=b.name,
        checks=tuple(checks),
        notes=(*pairing.notes, *notes, *_outcome_notes(subjects, outcomes, failure)),
        first_difference=_located(subjects, failure) if failure else None,
        layers=tuple(layers),
    )
    logs.verify.info("%s", comparison.headline)
    for check in checks:
        logs.verify.debug("%s: %s, %s", *check.row)
    return comparison


def _losses_checks(subjects: Subjects, outcomes: list[Outcome], options: Options) -> list[Check]:
    if not _asks_losses(subjects, options):
        return []
    difference = functools.partial(_losses_difference, pairing=subjects.pairing)
    return [_check("losses", outcomes, difference, subjects.tolerance)]


def _asks_losses(subjects: Subjects, options: Options) -> bool:
    """Whether the losses have to agree.

    Where training is not asked about, a weight may be computed of others, whose regularizer it cannot have.
    """
    return options.training or not subjects.pairing.lost_regularizers


def _raises_alone(outcome: Outcome) -> bool:
    """Whether the original raises and the prepared model does not."""
    return bool(outcome.a.error and not outcome.b.error)


def _outcomes(
    subjects: Subjects, kept: list[tuple[Sample, Run]], options: Options
) -> tuple[list[Outcome], list[Outcome], list[Outcome]]:
    """Both models with their own values, with perturbed ones, and in training mode."""
    # A model that is run in training mode draws: its generators have to begin alike.
    own = subjects.alike(subjects.own_states[0]) if subjects.usual else subjects.own_states
    noisy = subjects.alike(perturbed(own[0], options.seed))
    samples = [sample for sample, _ in kept]
    return (
        [subjects.outcome(sample, own, training=subjects.usual, run_a=run_a) for sample, run_a in kept],
        [subjects.outcome(sample, noisy, training=subjects.usual) for sample in samples],
        _training_outcomes(subjects, samples, options),
    )


def _check(
    name: str,
    outcomes: Iterable[Outcome],
    difference: Callable[[Outcome, Tolerance], Difference],
    tolerance: Tolerance,
) -> Check:
    """Answers one question over several outcomes, of which none may differ."""
    found = [(outcome, difference(outcome, tolerance)) for outcome in outcomes]
    total = worst(
        replace(d, reason=f"{outcome.sample.label}: {d.reason}" if d.reason else "") for outcome, d in found
    )
    # Samples of one batch size are one thing to the reader.
    labels = dict.fromkeys(o.sample.label.partition(", sample")[0] for o, _ in found)
    return as_check(name, total, f"{len(found)} calls: {'; '.join(labels)}")


def _completed(outcome: Outcome) -> Difference | None:
    """None if both models ran; else whether raising is all they did, and did alike."""
    ours, theirs = outcome.a.error, outcome.b.error
    # What both raise need not be the same: a flat model fails elsewhere in the same call.
    if ours and theirs:
        return measure.EQUAL
    if ours or theirs:
        which = "only the original" if ours else "only the prepared model"
        return unlike(f"{which} raises {first_line(ours or theirs)}")
    return None


def _outputs_difference(outcome: Outcome, tolerance: Tolerance) -> Difference:
    raised = _completed(outcome)
    return raised or measure.structure_difference(outcome.a.outputs, outcome.b.outputs, tolerance)


def _masks_difference(outcome: Outcome, tolerance: Tolerance) -> Difference:
    ours, theirs = dict(outcome.a.masks), dict(outcome.b.masks)
    # Outputs of another structure are the business of another check.
    shared = [path for path in ours if path in theirs]
    return worst(tensor_difference(f"mask of {path}", ours[path], theirs[path], tolerance) for path in shared)


def _training_outcomes(subjects: Subjects, samples: list[Sample], options: Options) -> list[Outcome]:
    """Both models in training mode with equal weights and seeds, once for each batch size."""
    if not options.training or subjects.mode == INFERENCE:
        return []
    states = subjects.alike(subjects.own_states[0])
    # Backwards twice: the first sample of each batch size, in the order of these.
    chosen = {sample.label.partition(", sample")[0]: sample for sample in reversed(samples)}
    return [subjects.outcome(sample, states, training=True) for sample in reversed(chosen.values())]


def _inference_checks(subjects: Subjects, outcomes: list[Outcome]) -> list[Check]:
    """What a call in inference assigns, which most do not: a draw, a counter, statistics that always move."""
    assigning = [o for o in outcomes if not o.training and (o.a.assigned or o.b.assigned)]
    if not assigning:
        return []
    updates = functools.partial(_updates_difference, pairing=subjects.pairing)
    return [_check("inference updates", assigning, updates, subjects.tolerance)]


def _training_checks(subjects: Subjects, outcomes: list[Outcome]) -> list[Check]:
    if not outcomes:
        return []
    tolerance = subjects.tolerance
    updates = functools.partial(_updates_difference, pairing=subjects.pairing)
    return [
        _check("training outputs", outcomes, _outputs_difference, tolerance),
        _check("training updates", outcomes, updates, tolerance),
    ]


def _fit_checks(subjects: Subjects, trained: list[Outcome]) -> list[Check]:
    """Whether `fit` trains the same layers on the same losses: a call with `training=True` may do more."""
    are_models = isinstance(subjects.a, keras.Model) and isinstance(subjects.b, keras.Model)
    if not (trained and are_models and subjects.mode == BOTH):
        return []
    # With the states of the training checks, which begin alike.
    first = trained[0]
    outcome = subjects.outcome(first.sample, first.states, training=True, in_fit=True)
    found = worst(_all_differences(subjects, outcome))
    return [as_check("in fit", found, first.sample.label)]


def _bare_checks(subjects: Subjects, sample: Sample, options: Options) -> list[Check]:
    """Whether the models do alike where nobody says `training`, and as `predict` calls them.

    The default of `training` in some `call` then decides, and `predict` hands over less than a call context.
    (Nobody reads the losses of `predict`.)
    """
    may_train = may_train_when_bare(subjects.a, subjects.b)
    if subjects.mode != BOTH or not options.inference or not (options.bare or may_train):
        return []
    states = subjects.alike(subjects.own_states[0])
    are_models = isinstance(subjects.a, keras.Model) and isinstance(subjects.b, keras.Model)
    outcomes: dict[str, Outcome] = {}
    if options.trains_bare or not may_train:
        outcomes["model(x)"] = subjects.outcome(sample, states, training=None)
    if are_models:
        outcomes[IN_PREDICT] = subjects.outcome(sample, states, training=False, in_fit=True)
    # A `call` that requires `training` has no bare call.
    asked = {name: o for name, o in outcomes.items() if not _raises_alone(o)}
    found = [
        replace(d, reason=f"{name}: {d.reason}" if d.reason else "")
        for name, outcome in asked.items()
        for d in _all_differences(subjects, outcome, name != IN_PREDICT and _asks_losses(subjects, options))
    ]
    return [as_check("bare call", worst(found), f"{sample.label}: {', '.join(asked)}")] if found else []


def may_train_when_bare(a: keras.Layer, b: keras.Layer) -> bool:
    """Whether a layer of one of two models may train although nobody says so."""
    layers = [*all_layers(a), *all_layers(b)]
    return any(trains_by_default(x) for x in layers)


def _all_differences(subjects: Subjects, outcome: Outcome, losses: bool = True) -> list[Difference]:
    updates = functools.partial(_updates_difference, pairing=subjects.pairing)
    of_losses = functools.partial(_losses_difference, pairing=subjects.pairing)
    asked = (_outputs_difference, updates, *([of_losses] if losses else []))
    return [difference(outcome, subjects.tolerance) for difference in asked]


def _updates_difference(outcome: Outcome, tolerance: Tolerance, pairing: Pairing) -> Difference:
    """Compares the variables after a call: moving averages, counters, seeds."""
    if outcome.a.state is None or outcome.b.state is None:
        return _completed(outcome) or measure.EQUAL
    ours, theirs = outcome.a.state, outcome.b.state
    lost = _updated_alone(outcome.a, pairing)
    if lost:
        return unlike(f"only the original updates '{lost[0].path}'")
    # The states were alike before the call, where two variables have the same shape.
    assigned = outcome.a.assigned | outcome.b.assigned
    pairs = [(v, w) for v, w in pairing.variables if {id(v), id(w)} & assigned or not _are_alike(v, w)]
    computed = [c for c in pairing.computed if {id(v) for v in (c.variable, *c.originals)} & assigned]
    expected = (
        *((v.path, functools.partial(ours.value, v), w) for v, w in pairs),
        *((c.variable.path, functools.partial(computed_in, ours, c), c.variable) for c in computed),
    )
    return worst(
        tensor_difference(f"'{path}' after the call", value(), theirs.value(w), tolerance)
        for path, value, w in expected
    )


def _updated_alone(run: Run, pairing: Pairing) -> list[keras.Variable]:
    """What a call of the original assigned and nothing of the prepared model follows, such as a metric."""
    known = run.state.variables if run.state else {}
    lost = run.assigned - pairing.followed
    return [v for key, v in known.items() if key in lost]


def _are_alike(v: keras.Variable, w: keras.Variable) -> bool:
    return tuple(v.shape) == tuple(w.shape) and v.dtype == w.dtype


def _losses_difference(outcome: Outcome, tolerance: Tolerance, pairing: Pairing) -> Difference:
    """Compares the losses in ascending order: where in a model they arise is its own affair."""
    if outcome.a.error or outcome.b.error:
        return _completed(outcome) or measure.EQUAL
    # Float32 for all: losses of one model may have several dtypes.
    ours, theirs = (np.sort([_scalar(x) for x in side.losses]) for side in (outcome.a, outcome.b))
    if pairing.joins_losses:
        return tensor_difference("sum of the losses", ours.sum(), theirs.sum(), tolerance)
    if len(ours) != len(theirs):
        sums = f"their sum {ours.sum():.4g} became {theirs.sum():.4g}"
        return unlike(f"{len(ours)} losses became {len(theirs)}, {sums}")
    return tensor_difference("losses", ours, theirs, tolerance)


def _scalar(loss: object) -> np.float32:
    return np.float32(to_numpy(loss).astype("float32").sum())


def _first_failure(outcomes: Iterable[Outcome], tolerance: Tolerance) -> Outcome | None:
    return next((o for o in outcomes if not _outputs_difference(o, tolerance).within), None)


def _outcome_notes(subjects: Subjects, outcomes: Sequence[Outcome], failure: Outcome | None) -> Iterator[str]:
    raised = next((o for o in outcomes if o.a.error and o.b.error), None)
    if raised:
        mode = "training" if raised.training else "inference"
        error = first_line(raised.a.error)
        yield f"both models raise in {mode} mode on {raised.sample.label}, the original {error}"
    yield from _not_finite(o.a.outputs for o in outcomes if o.completed)
    # Only now, because it takes another run.
    if failure and failure.completed:
        yield from _non_deterministic(subjects, failure)


def _not_finite(outputs: Iterable[object]) -> Iterator[str]:
    """What to tell of outputs whose numbers say nothing, in some of the runs or in each."""
    shares: dict[str, list[float]] = {}
    for path, leaf in (found for each in outputs for found in measure.leaves(each)):
        if measure.is_tensor(leaf):
            array = to_numpy(leaf)
            is_of_floats = array.dtype.kind in "fVc"
            shares.setdefault(path, []).append(measure.finite_share(array) if is_of_floats else 1.0)
    never = [path for path, of_path in shares.items() if not max(of_path)]
    least = min((min(of_path) for path, of_path in shares.items() if path not in never), default=1.0)
    if never and len(never) == len(shares):
        yield PROVES_NOTHING
        return
    yield from (f"{path}: {NOT_FINITE}, which proves nothing of it" for path in never)
    if least < 1:
        yield f"up to {1 - least:.0%} of the outputs are NaN or infinite; they prove little"


def _non_deterministic(subjects: Subjects, outcome: Outcome) -> Iterator[str]:
    again = attempt(
        subjects.a,
        outcome.sample.inputs,
        outcome.states[0],
        training=outcome.training,
        call=subjects.pairing.call,
    )
    found = _outputs_difference(replace(outcome, b=again), subjects.tolerance)
    if not found.within:
        yield _NON_DETERMINISTIC.format(a=subjects.a.name, reason=found.reason)


def _located(subjects: Subjects, outcome: Outcome) -> str:
    """Where the outputs of an outcome part, in words."""
    if not outcome.completed:
        difference = _outputs_difference(outcome, subjects.tolerance)
        return f"on {outcome.sample.label}, {difference.reason}"
    try:
        found: object = first_of(calls_in(subjects, outcome))
    # It runs the code of the user once more, which may do something else by then.
    except Exception as error:
        found = f"unknown: run once more, a model raises {first_line(error)}"
    return f"{found}, on {outcome.sample.label}"

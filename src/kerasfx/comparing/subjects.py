"""The two models under comparison, and the inputs on which they are run."""

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np

from kerasfx.comparing.inputs import (
    LENGTHS,
    NO_INPUTS,
    NoRandomValuesError,
    Range,
    Sample,
    Slot,
    fits,
    given_samples,
    input_structure,
    padding_value,
    random_samples,
    ranges_of,
    slots_of,
)
from kerasfx.comparing.measure import Tolerance, is_tensor, leaves
from kerasfx.comparing.pairing import Pairing, aligned, state_of_metrics
from kerasfx.comparing.run import (
    Run,
    attempt,
    call_directly,
)
from kerasfx.comparing.states import State, present_state
from kerasfx.errors import NoSampleError, SizeGuardError, describe, first_line
from kerasfx.handover.provenance import provenance_of
from kerasfx.inputs import no_model
from kerasfx.ir import shown
from kerasfx.keras_api.internals import all_layers
from kerasfx.runtime.functional import Functional
from kerasfx.runtime.layers import CheckSizes, RefuseInference
from kerasfx.runtime.modes import BOTH, INFERENCE, TRAINING

ORIGINAL_RAISES = (
    "The original '{a}' raises on every input that kerasfx.compare tried, the last time with\n"
    "  {error}\n"
    "It was called with {inputs}. If these values make no sense for the model, pass others: "
    "kerasfx.compare(a, b, inputs=x), or ranges={{'{name}': (low, high)}} for integers."
)
_EMPTY = "all outputs are empty"
NOT_A_LAYER = (
    "kerasfx.compare compares two Keras models or layers, but argument `{name}` is {value} of "
    "type {type}. Pass the original first, then the prepared model: "
    "kerasfx.compare(model, prepared)."
)
NOT_BUILT = (
    "kerasfx.compare cannot compare '{model}', because it is not built: it has no weights yet, and "
    "comparing must not create them. Call it once on data, or call its build(input_shape)."
)


ALL_MODES = (INFERENCE, TRAINING)


@dataclass(frozen=True)
class Options:
    """How much is compared; see `kerasfx.compare`.

    Attributes:
        bare: Whether calls without `training` are asked about, where no layer trains in one.
        trains_bare: Whether they are asked about where a layer does, which is a question about training.
        by_layer: Whether each pair of corresponding layers is compared as well.
    """

    batch_sizes: Sequence[int] = (2, 3)
    samples: int = 2
    modes: tuple[str, ...] = ALL_MODES
    fit: bool = True
    bare: bool = True
    trains_bare: bool = True
    gradients: bool = True
    training_may_raise: bool = False
    seed: int = 0
    tolerance: float | None = None
    by_layer: bool = False

    @property
    def training(self) -> bool:
        """Whether training mode is compared."""
        return TRAINING in self.modes

    @property
    def inference(self) -> bool:
        """Whether inference is compared."""
        return INFERENCE in self.modes

    @property
    def expected_runs(self) -> int:
        """How often a model is run, about: what it turns out to be asks for more, or for less."""
        samples = len(self.batch_sizes) * self.samples
        with_own_and_noisy_weights = 4 * samples
        in_training = 2 * len(self.batch_sizes) + 2 * self.fit + 2 * self.gradients if self.training else 0
        bare = 4 if self.bare and self.inference else 0
        return with_own_and_noisy_weights + in_training + bare + 2 * self.by_layer


QUICK = Options(
    batch_sizes=(2,),
    samples=1,
    modes=(INFERENCE,),
    fit=False,
    bare=False,
    gradients=False,
    training_may_raise=True,
)


@dataclass(frozen=True)
class Outcome:
    """One sample through both models under the same conditions."""

    sample: Sample
    states: tuple[State, State]
    training: bool | None
    a: Run
    b: Run

    @property
    def completed(self) -> bool:
        """Whether neither model raised."""
        return self.a.error is None and self.b.error is None


@dataclass(frozen=True)
class Subjects:
    """The two models with everything that stays the same during a comparison."""

    a: keras.Layer
    b: keras.Layer
    pairing: Pairing
    tolerance: Tolerance
    is_for_training: bool = False
    """Whether inference is not asked about."""

    @property
    def mode(self) -> str:
        """The mode for which the prepared model was made alone, or "both"."""
        return self.b.kerasfx_mode if isinstance(self.b, Functional) else BOTH

    @functools.cached_property
    def usual(self) -> bool:
        """The `training` of calls that are not about training: of a model that refuses inference, True."""
        refuses = any(isinstance(layer, RefuseInference) for layer in all_layers(self.b))
        return self.mode == TRAINING or refuses or self.is_for_training

    @functools.cached_property
    def own_states(self) -> tuple[State, State]:
        """The present values of both models."""
        # A weight that Keras does not find, as one in a plain object, is among the pairs alone.
        ours = [*self.a.variables, *(v for v, _ in self.pairing.variables)]
        ours += [v for weight in self.pairing.computed for v in weight.originals]
        theirs = [*self.b.variables, *(w for _, w in self.pairing.variables)]
        # What a metric has counted has no pair where the prepared model has lost the metric.
        ours += state_of_metrics(self.a)
        return present_state(ours), present_state(theirs)

    def alike(self, state: State) -> tuple[State, State]:
        """A state of the original, and the same values for the prepared model."""
        return state, aligned(state, self.pairing, self.own_states[1])

    def outcome(
        self,
        sample: Sample,
        states: tuple[State, State],
        training: bool | None,
        run_a: Run | None = None,
        in_fit: bool = False,
    ) -> Outcome:
        """Runs both models, or the prepared one if the original has run already."""
        mode = {"training": training, "in_fit": in_fit}
        ours = run_a or attempt(self.a, sample.inputs, states[0], **mode, call=self.pairing.call)
        theirs = attempt(self.b, sample.inputs, states[1], **mode, call=call_directly)
        return Outcome(sample, states, training, ours, theirs)


def require_modes(modes: Sequence[str]) -> None:
    """Refuses modes that there are not.

    Raises:
        ValueError: It is one word instead of a sequence, is empty, or names something else.
    """
    if isinstance(modes, str) or not modes or not set(modes) <= set(ALL_MODES):
        raise ValueError(
            f'modes must be ("inference",), ("training",) or ("inference", "training"), not {modes!r}.'
        )


def require_built(**models: object) -> None:
    """Refuses what is not a built Keras layer; the keywords are the names of the arguments."""
    for name, model in models.items():
        if not isinstance(model, keras.Layer):
            what = NOT_A_LAYER.format(name=name, value=shown(model), type=type(model).__name__)
            raise TypeError(no_model(what, model, "compare"))
    for model in models.values():
        if isinstance(model, keras.Layer) and not model.built:
            raise ValueError(NOT_BUILT.format(model=model.name))


def tolerance_for(a: keras.Layer, relative: float | None) -> Tolerance:
    """The tolerance for a model, as coarse as the coarsest dtype that a layer of it computes in."""
    dtypes = {layer.compute_dtype for layer in all_layers(a)}
    coarse = [dtype for dtype in ("bfloat16", "float16") if dtype in dtypes]
    # With the finest as the coarsest, the dtype of each tensor decides alone.
    return Tolerance(relative, precision=coarse[0] if coarse else "float64")


def admitted(
    subjects: Subjects, options: Options, inputs: object, ranges: Mapping[str, Range] | None
) -> tuple[list[tuple[Sample, Run]], list[str]]:
    """The samples that the original accepts, with its runs on them, and notes on the others.

    They are those of the inputs given or, without any, of the examples that the model was prepared with, and
    random ones besides.
    """
    state, _ = subjects.own_states
    kept: list[tuple[Sample, Run]] = []
    tried: list[tuple[Sample, Run]] = []
    notes: list[str] = []
    try:
        for candidates in _candidates(subjects, options, inputs, ranges):
            for samples in candidates:
                tried = [(sample, _run_a(subjects, sample, state)) for sample in samples]
                admitted = [(sample, run_a) for sample, run_a in tried if run_a.error is None]
                kept += admitted
                if admitted:
                    refused = [sample.label for sample, run_a in tried if run_a.error is not None]
                    notes += [f"the original raises on {label}: left out" for label in refused]
                    break
    # What was given will do then. What the original said to it tells more.
    except NoRandomValuesError:
        if not (kept or tried):
            raise
    if not kept:
        raise _refusal(subjects, *tried[-1]) from tried[-1][1].error
    return kept, notes


def _refusal(subjects: Subjects, sample: Sample, failed: Run) -> NoSampleError:
    """The error for an original that accepts none of the samples."""
    tensors = ", ".join(f"{path} of shape {np.shape(leaf)}" for path, leaf in leaves(sample.inputs, "inputs"))
    name = next((t.name for t in keras.tree.flatten(input_structure(subjects.b))), "input")
    return NoSampleError(
        ORIGINAL_RAISES.format(a=subjects.a.name, error=first_line(failed.error), inputs=tensors, name=name)
    )


def _run_a(subjects: Subjects, sample: Sample, state: State) -> Run:
    """A run of the original; outputs without a single number count as an error."""
    call = subjects.pairing.call
    found = attempt(subjects.a, sample.inputs, state, training=subjects.usual, call=call)
    sizes = [math.prod(leaf.shape) for _, leaf in leaves(found.outputs) if is_tensor(leaf)]
    # A convolution over too short a sequence is one of these on JAX, an exception on TensorFlow.
    if sizes and not any(sizes):
        return Run(error=ValueError(_EMPTY))
    return _as_guarded(subjects, sample, found)


def _as_guarded(subjects: Subjects, sample: Sample, found: Run) -> Run:
    """`found`, or the refusal of a prepared model that was made for other sizes."""
    if not any(isinstance(layer, CheckSizes) for layer in all_layers(subjects.b)):
        return found
    theirs = attempt(subjects.b, sample.inputs, subjects.own_states[1], training=subjects.usual)
    return theirs if isinstance(theirs.error, SizeGuardError) else found


def _candidates(
    subjects: Subjects, options: Options, inputs: object, ranges: Mapping[str, Range] | None
) -> Iterator[Iterator[list[Sample]]]:
    """Kinds of samples to use; of each, lists to try in turn until the original accepts some."""
    if inputs is not None:
        yield _given(subjects, options, inputs)
        return
    examples = subjects.pairing.examples
    if examples is not None and fits(subjects.b, examples):
        yield _given(subjects, options, examples)
        # Labels and indices mean something: random ones are drawn from what the examples hold.
        ranges = {**ranges_of(subjects.b, examples), **(ranges or {})}
    yield _random(subjects, options, ranges)


def _given(subjects: Subjects, options: Options, inputs: object) -> Iterator[list[Sample]]:
    # The quick check has one batch size, so one call.
    yield given_samples(subjects.b, inputs, options.seed)[: len(options.batch_sizes)]


def _random(
    subjects: Subjects, options: Options, ranges: Mapping[str, Range] | None
) -> Iterator[list[Sample]]:
    if input_structure(subjects.b) is None:
        raise NoSampleError(_exchanged(subjects) or NO_INPUTS.format(b=subjects.b.name))
    slots = slots_of(subjects.b, ranges)
    free = any(dim is None for slot in slots for dim in slot.shape[1:])
    make = functools.partial(
        random_samples,
        subjects.b,
        batch_sizes=options.batch_sizes,
        count=options.samples,
        seed=options.seed,
        padding=padding_value(subjects.a),
    )
    for lengths in LENGTHS if free else LENGTHS[:1]:
        yield make(slots, lengths=lengths)
    # With a free batch first; a model may have been traced for one batch alone.
    for first_axis in (1, 0):
        traced = _as_traced(subjects.b, slots, first_axis)
        if traced != slots:
            yield make(traced, lengths=LENGTHS[0])


def _exchanged(subjects: Subjects) -> str:
    """What to say where the prepared model was given first."""
    record = provenance_of(subjects.a)
    if record is None or record.original is not subjects.b:
        return ""
    return describe(
        "kerasfx.compare was given the prepared model first.",
        why=f"'{subjects.a.name}' was prepared from '{subjects.b.name}'",
        hint="kerasfx.compare(model, prepared)",
    )


def _as_traced(model: keras.Layer, slots: list[Slot], first_axis: int) -> list[Slot]:
    """The slots with the sizes that the model was traced with, which may be the only ones that it takes."""
    record = provenance_of(model)
    sizes = record.sizes if record else {}
    return [
        replace(s, shape=(*s.shape[:first_axis], *sizes[s.name][first_axis:])) if s.name in sizes else s
        for s in slots
    ]

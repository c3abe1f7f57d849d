"""copy_weights: trained weights of a prepared model come home, or go the other way."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

import keras

from kerasfx.handover.correspondence import Correspondence, read_off_graphs, recorded
from kerasfx.handover.taking_over import Step, steps_between
from kerasfx.inputs import Inputs, public, require_model
from kerasfx.keras_api import internals
from kerasfx.prepare import is_flat, prepare_model


@dataclass(frozen=True)
class CopiedWeights:
    """What `copy_weights` did; `print` it.

    Attributes:
        copied: Pairs (variable of the source, variable of the target).
        merged: Pairs (layer of the source, layer of the target) whose LoRA deltas were added to the kernel.
        computed: Pairs (variables of the source, variables of the target) of which one side is a weight
            that is computed from the other side's.
        left_in_source: Variables of the source without partner: no output depends on them, or they hold
            constants.
        left_in_target: Variables of the target without partner, which keep their values.
    """

    copied: tuple[tuple[keras.Variable, keras.Variable], ...]
    merged: tuple[tuple[keras.Layer, keras.Layer], ...] = ()
    computed: tuple[tuple[tuple[keras.Variable, ...], tuple[keras.Variable, ...]], ...] = ()
    left_in_source: tuple[keras.Variable, ...] = ()
    left_in_target: tuple[keras.Variable, ...] = ()

    def __str__(self) -> str:
        lines = [f"{len(self.copied)} variables copied"]
        lines += [f"  LoRA merged: '{x.name}' into '{y.name}'" for x, y in self.merged]
        lines += [f"  computed: {_named(ours)} -> {_named(theirs)}" for ours, theirs in self.computed]
        lines += [f"  without partner, not copied: {v.path}" for v in self.left_in_source]
        lines += [f"  without partner, left as it was: {v.path}" for v in self.left_in_target]
        return "\n".join(lines)


@public
def copy_weights(source: keras.Layer, target: keras.Layer) -> CopiedWeights:
    """Give the variables of `target` the values of those of `source`.

    One is a model and the other was prepared from it, or from a model of the same code; a prepared model
    may also have been loaded from a file or cloned. Without a record of the process that prepared it, the
    original is prepared again, and the two graphs are compared call by call. Everything is checked before
    the first weight is written. Weights, statistics and the states of seeds are copied; optimizers are not.
    LoRA deltas are merged into the kernel, as Keras does when it saves. Weights that a pass has computed are
    computed again; on the way to the original the arithmetic is undone.

    Args:
        source: The model to copy from.
        target: The model to copy to.

    Returns:
        What was copied, and which variables have no partner and were left alone.

    Raises:
        UnsupportedModelError: One of them is no model or layer.
        WeightsMismatchError: The models do not belong together, or a pair of variables or layers does not
            fit (shapes, dtypes, a quantized layer and a float one), or a weight that a pass has computed does
            not say what it was computed from. Nothing was copied.
        InputRequiredError: An original has to be prepared, and its inputs are not known.
        TraceError: An original has to be prepared, and cannot be.
    """
    require_model(source, "copy_weights")
    require_model(target, "copy_weights")
    if source is target:
        return CopiedWeights(tuple((v, v) for v in source.variables))
    steps = steps_between(_correspondence(source, target))
    for step in steps:
        step.run()
    return _summary(source, target, steps)


def _summary(source: keras.Layer, target: keras.Layer, steps: list[Step]) -> CopiedWeights:
    taken = {id(v) for step in steps for v in step.sources}
    given = {id(w) for step in steps for w in step.targets}
    return CopiedWeights(
        tuple(
            (v, w)
            for step in steps
            if not (step.merges or step.is_computed)
            for v, w in zip(step.sources, step.targets, strict=True)
        ),
        tuple(pair for step in steps for pair in step.merges),
        tuple((step.sources, step.targets) for step in steps if step.is_computed),
        tuple(v for v in source.variables if id(v) not in taken),
        tuple(w for w in target.variables if id(w) not in given),
    )


def _named(variables: tuple[keras.Variable, ...]) -> str:
    return ", ".join(v.path for v in variables)


def _correspondence(a: keras.Layer, b: keras.Layer) -> Correspondence:
    # The record is exact, also where parts of a graph are alike.
    known = recorded(a, b)
    return known or read_off_graphs(a, _flat(a, b), b, _flat(b, a))


def _flat(model: keras.Layer, other: keras.Layer) -> keras.Model:
    """`model` if it is flat already, else what is prepared from it."""
    if isinstance(model, keras.Model) and is_flat(model):
        return model
    try:
        return prepare_model(model, inputs_like(model, other), verify=False)
    except Exception as error:
        error.add_note(f"kerasfx.copy_weights prepared '{model.name}' to find what '{other.name}' has of it.")
        raise


def inputs_like(model: keras.Layer, other: keras.Layer) -> object:
    """The inputs of `other`, for a `model` that does not say what it is called with."""
    struct = internals.input_structure(other)
    knows_its_own = isinstance(model, internals.Functional) or (
        isinstance(model, keras.Sequential) and model.built
    )
    if struct is None or knows_its_own:
        return None
    takes = inspect.signature(model.call).parameters
    is_by_argument = isinstance(struct, dict) and set(struct) <= set(takes)
    return Inputs(**struct) if is_by_argument else struct

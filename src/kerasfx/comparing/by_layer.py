"""How far each layer of the prepared model is from the layer of the original that it stands for."""

from __future__ import annotations

import keras

from kerasfx.comparing.locate import CallDifference, differences_of_calls
from kerasfx.comparing.measure import Difference, worst
from kerasfx.comparing.result import LayerDifference
from kerasfx.comparing.subjects import Outcome, Subjects
from kerasfx.errors import first_line
from kerasfx.tracing.where import Paths


def compared_layers(
    subjects: Subjects, outcome: Outcome, is_perturbed: bool
) -> tuple[list[LayerDifference], str]:
    """Runs both models as in `outcome` and compares each pair of corresponding layers.

    Args:
        subjects: The two models.
        outcome: What to run once more.
        is_perturbed: Whether their weights were perturbed in it.

    Returns:
        The layers in order of execution, one that is called several times where it differs first, and a note
        of what they were compared on.
    """
    mode = "training" if outcome.training else "inference"
    weights = "perturbed weights" if is_perturbed else "their own weights"
    where = f"in {mode} mode with {weights}, on {outcome.sample.label}"
    if not outcome.completed:
        error = first_line(outcome.a.error or outcome.b.error)
        return [], f"layers were not compared {where}: a model raises {error}"
    layers = _by_layer(calls_in(subjects, outcome), Paths(subjects.a))
    which = f"{len(layers)} of the {_count(subjects.b)} layers of '{subjects.b.name}' were compared"
    return layers, f"{which} with those that they stand for, {where}"


def calls_in(subjects: Subjects, outcome: Outcome) -> list[CallDifference]:
    """What differs in each call of a layer where both models run once more as in `outcome`.

    Raises:
        Exception: Whatever the models raise.
    """
    return differences_of_calls(
        subjects.a,
        subjects.b,
        outcome.sample.inputs,
        subjects.pairing.layers,
        states=outcome.states,
        training=outcome.training,
        call_a=subjects.pairing.call,
        tolerance=subjects.tolerance,
    )


def _by_layer(calls: list[CallDifference], paths: Paths) -> list[LayerDifference]:
    known = {id(layer): path for path, layer in paths.below_root()}
    # None where the original calls the layer less often, as one whose result is not used.
    compared = [(pair, difference) for pair, difference in calls if difference is not None]
    found: dict[int, tuple[keras.Layer, keras.Layer, list[Difference]]] = {}
    place: dict[int, int] = {}
    for number, ((ours, theirs), difference) in enumerate(compared):
        of_calls = found.setdefault(id(theirs), (ours, theirs, []))[2]
        # One that is called again stands where it differs first, so that the first is where it begins.
        if not of_calls or (all(x.within for x in of_calls) and not difference.within):
            place[id(theirs)] = number
        of_calls.append(difference)
    layers = [found[key] for key in sorted(found, key=place.__getitem__)]
    return [_total(x.name, known.get(id(y)), worst(of_calls)) for y, x, of_calls in layers]


def _total(layer: str, path: str | None, found: Difference) -> LayerDifference:
    return LayerDifference(
        layer, path, found.largest, found.relative, found.exact, found.within, found.reason
    )


def _count(model: keras.Layer) -> int:
    """How many layers a model calls, its inputs not among them."""
    return sum(not isinstance(x, keras.layers.InputLayer) for x in getattr(model, "layers", ()))

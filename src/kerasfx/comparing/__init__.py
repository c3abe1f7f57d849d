"""The oracle: does a prepared model do what the original does?

`compare` asks everything, `verify` the quick part. Neither writes to the models.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import keras

from kerasfx.comparing.checks import compare_models
from kerasfx.comparing.inputs import Range
from kerasfx.comparing.locate import FirstDifference, locate_first_difference
from kerasfx.comparing.pairing import Pair, Pairing, pairing_of
from kerasfx.comparing.result import Check, Comparison, LayerDifference
from kerasfx.comparing.run import Call
from kerasfx.comparing.subjects import ALL_MODES, QUICK, Options, require_built, require_modes
from kerasfx.inputs import public, require_one_of
from kerasfx.progress import CHOICES, shown
from kerasfx.runtime.modes import INFERENCE, TRAINING

__all__ = [
    "Check",
    "Comparison",
    "FirstDifference",
    "LayerDifference",
    "Options",
    "Pairing",
    "compare",
    "compare_models",
    "locate_first_difference",
    "verify",
]


@public
def compare(
    a: keras.Layer,
    b: keras.Layer,
    inputs: object = None,
    *,
    variables: Iterable[Pair] | None = None,
    ranges: Mapping[str, Range] | None = None,
    call_a: Call | None = None,
    batch_sizes: Sequence[int] = (2, 3),
    samples: int = 2,
    modes: Sequence[str] = ALL_MODES,
    gradients: bool = True,
    seed: int = 0,
    tolerance: float | None = None,
    by_layer: bool = False,
    progress: bool | None = None,
) -> Comparison:
    """Compares a model with the model prepared from it; writes to neither.

    Checks that every variable has its partner; that outputs agree on random inputs, also after
    every weight of both models was perturbed alike; that in training mode with equal seeds outputs and
    updated variables agree; that losses agree in all of these calls; that called as `fit` calls them the
    models agree as well; that masks agree; and that one step of gradient descent leaves equal weights.

    Args:
        a: The original, a built layer or model.
        b: The prepared model, built.
        inputs: Example inputs as `b` takes them, batch first; they are used as they are and once
            more with another batch size. None makes random ones from the inputs of `b`.
        variables: Pairs (variable of `a`, variable of `b`). None takes those recorded by
            `prepare_model`, or else guesses them and says so in the notes.
        ranges: Half-open ranges of integer inputs, by input name. Without one it is what the
            embeddings behind the input accept.
        call_a: Calls `a`: `call_a(a, inputs)` with inputs as `b` takes them. None takes the way
            recorded by `prepare_model`, or else `a(inputs)`.
        batch_sizes: The batch sizes of random inputs.
        samples: How many random inputs for each batch size.
        modes: `("inference",)` for models that are to agree in inference alone, which says nothing of
            training: no training mode, no step of an optimizer. `("training",)` for the opposite.
        gradients: Whether to compare an optimizer step, too, where training is compared.
        seed: Decides inputs and perturbations.
        tolerance: Largest difference that passes, relative to the largest magnitude in the
            original's tensor. None depends on the dtype: 1e-5 for float32 plus 1e-6, four units
            in the last place for float16 and bfloat16, ten times as much for gradients.
        by_layer: Whether to compare as well what corresponding layers compute, which runs each model once
            more, where their outputs differ if they do; `comparison.layers` has the differences, a note says
            which run they are of. No check depends on them.
        progress: Show how far it has come, as for `prepare_model`.

    Returns:
        A `Comparison`, which is true if the models are equivalent and prints as a table.

    Raises:
        TypeError: `a` or `b` is not a Keras layer or model.
        ValueError: A model is not built, the inputs do not fit `b`, or none can be made that `a`
            accepts; or `modes` names no mode, or `progress` is none of these.
    """
    require_modes(modes)
    require_one_of(progress=(progress, CHOICES))
    options = Options(
        batch_sizes,
        samples,
        tuple(modes),
        trains_bare=TRAINING in modes,
        gradients=gradients,
        seed=seed,
        tolerance=tolerance,
        by_layer=by_layer,
    )
    require_built(a=a, b=b)
    with shown(progress, a.name):
        pairing = pairing_of(a, b, variables, call_a)
        return compare_models(a, b, pairing, options, inputs=inputs, ranges=ranges)


def verify(
    a: keras.Layer,
    b: keras.Layer,
    inputs: object = None,
    *,
    variables: Iterable[Pair] | None = None,
    ranges: Mapping[str, Range] | None = None,
    call_a: Call | None = None,
    modes: Sequence[str] = (INFERENCE,),
    thorough: bool = False,
    bare: bool = False,
    seed: int = 0,
    tolerance: float | None = None,
) -> Comparison:
    """The quick part of `compare`: variables, outputs, perturbed outputs, losses, masks; asked for, training.

    Each model runs twice on one batch, or as in `compare` if it is to be `thorough`. Both are called without
    `training` as well if a layer trains by default, or if it is asked for (`bare`). That the original raises
    in training mode, and the other does not, is a note and no difference. Arguments, result and errors are
    those of `compare`.
    """
    require_modes(modes)
    trains_bare = not thorough or TRAINING in modes
    known = replace(Options(), training_may_raise=True) if thorough else replace(QUICK, bare=bare)
    options = replace(known, modes=tuple(modes), trains_bare=trains_bare, seed=seed, tolerance=tolerance)
    require_built(a=a, b=b)
    pairing = pairing_of(a, b, variables, call_a)
    return compare_models(a, b, pairing, options, inputs=inputs, ranges=ranges)

"""Small models, each with one difficulty: every one must be prepared faithfully.

`ALL` maps the name of a case to its builder, which returns a fresh `Case` with the same
weights at every call; `REFUSED` holds those that the backend itself cannot run. The files
follow the lists of the main issue: `structure`, `arguments`, `operators`, `masks` (with
attention and RNN), `training`, `state` and `frozen`; `control_flow`; `wrappers`; `gradients`;
`iteration`; `einops_calls`; `raw_tensorflow`, `raw_jax` and `raw_torch` only where their backend runs.

`IGNORED_WARNINGS` are those that Keras itself gives for some of these models.
"""

import keras

from zoo import (
    arguments,
    control_flow,
    einops_calls,
    frozen,
    gradients,
    iteration,
    masks,
    masks_by_hand,
    operators,
    state,
    structure,
    training,
    wrappers,
)
from zoo.case import ALL, REFUSED, Case

if keras.backend.backend() == "tensorflow":
    from zoo import raw_tensorflow, raw_tensorflow_control_flow  # noqa: F401 (registers cases)
if keras.backend.backend() == "torch":
    from zoo import raw_torch  # noqa: F401 (registers cases)
if keras.backend.backend() == "jax":
    from zoo import raw_jax, raw_jax_control_flow  # noqa: F401 (registers cases)

IGNORED_WARNINGS = (
    # A sublayer is never called, and so never built.
    r"ignore:.build\(\). was called on layer:UserWarning",
    # A mask reaches a layer that drops it, as it does for the user.
    r"ignore:Layer .* does not support masking:UserWarning",
    # Keras 3.5 on JAX hands a list of variables to `jax.numpy`.
    r"ignore:in the future the .\.dtype. attribute:DeprecationWarning",
    # PyTorch lets NumPy compute with an array, also what is no number.
    r"ignore:.*invalid value encountered in power:RuntimeWarning",
)

__all__ = [
    "ALL",
    "IGNORED_WARNINGS",
    "REFUSED",
    "Case",
    "arguments",
    "control_flow",
    "einops_calls",
    "frozen",
    "gradients",
    "iteration",
    "masks",
    "masks_by_hand",
    "operators",
    "state",
    "structure",
    "training",
    "wrappers",
]

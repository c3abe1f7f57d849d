"""Running a model on given values of its variables without leaving a trace in it."""

import contextlib
import functools
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kerasfx.comparing.gradients import without_gradients
from kerasfx.comparing.measure import leaves
from kerasfx.comparing.stand_ins import stand_ins
from kerasfx.comparing.states import Scope, State
from kerasfx.keras_api.arrays import to_numpy
from kerasfx.keras_api.internals import (
    all_layers,
    backend_random_state,
    call_context,
    generators_are_seeded,
    holding,
    mask_of,
    no_call_context,
    nothing_is_recomputed,
    requires_training,
    takes_training,
)
from kerasfx.keras_api.replacing import undone
from kerasfx.keras_api.running import (
    plain_tensorflow,
    seed_of_process,
    torch_modules_have,
    undisturbed,
)
from kerasfx.progress import step

Call = Callable[[keras.Layer, Any], Any]

_one_at_a_time = threading.RLock()
"""The random states of Python, NumPy and the backend are those of the process."""


@dataclass(frozen=True)
class Run:
    """One call of a model.

    Attributes:
        outputs: What the model returned, variables in it replaced by their values.
        masks: The Keras mask of each output (path, mask or None).
        losses: The model's scalar losses: `add_loss`, activity and weight regularizers.
        state: The values of the variables after the call; None where they were written to.
        assigned: The `id`s of the variables of the state that the call assigned.
        assigns_others: Whether the call assigned variables that are not in the state.
        error: What the call raised; everything else is empty then.
    """

    outputs: Any = None
    masks: tuple[tuple[str, Any], ...] = ()
    losses: tuple[Any, ...] = ()
    state: State | None = None
    assigned: frozenset[int] = frozenset()
    assigns_others: bool = False
    error: Exception | None = None


def call_directly(model: keras.Layer, inputs: object) -> Any:
    """The usual way to call a model: `model(inputs)`."""
    return model(inputs)


def run(
    model: keras.Layer,
    inputs: object,
    state: State,
    *,
    training: bool | None,
    call: Call = call_directly,
    differentiable: bool = False,
    in_fit: bool = False,
    stateless: bool = True,
) -> Run:
    """Calls a model as if its variables had the values of `state`; writes nothing to it.

    Args:
        model: A built layer or model.
        inputs: Nested structure of arrays, passed on as fresh tensors.
        state: A value for every variable of the model.
        training: The training mode of the call, given by Keras's call context so that a `call`
            without a `training` argument passes it on, too. None for a bare call, without context.
        call: How the model is called.
        differentiable: Whether gradients of the results are wanted.
        in_fit: Whether to call it as `fit` and `predict` do, which hand it `training` if its `call` asks.
        stateless: False if the variables hold stand-ins (`with_stand_ins`), which are written to.

    Raises:
        Exception: Whatever the model raises.
    """
    recording = contextlib.nullcontext() if differentiable else without_gradients()
    with (
        _one_at_a_time,
        recording,
        undisturbed(model),
        _equal_randomness(model) as seed,
        plain_tensorflow(),
        torch_modules_have(model, state) if stateless else contextlib.nullcontext(),
        nothing_is_recomputed(all_layers(model)),
    ):
        # The outputs may be the inputs, and Keras writes masks onto them: fresh tensors each time.
        tensors = keras.tree.map_structure(_to_tensor, inputs)
        # Also where it is not entered: it is asked below what was assigned, which then is nothing.
        scope = Scope(state)
        is_told = not in_fit and training is not None
        with scope if stateless else contextlib.nullcontext():
            with call_context(training) if is_told else no_call_context():
                called = _called(model, training, in_fit)
                outputs = keras.tree.map_structure(_value_of, call(called, tensors))
            # Inside the scope: regularizers read the weights.
            losses = tuple(keras.tree.flatten(model.losses))
        masks = tuple((path, mask_of(leaf)) for path, leaf in leaves(outputs))
    values = scope.assigned()
    # Not while gradients are taken, where nothing has a value.
    if not differentiable:
        _require_values(values.values())
    assigns_others = not scope.state_mapping.keys() <= {*state, id(seed)}
    step()
    after = state.with_values(values) if stateless else None
    return Run(outputs, masks, losses, after, frozenset(values), assigns_others)


def attempt(model: keras.Layer, inputs: object, state: State, **options: Any) -> Run:
    """Like `run`, with an exception of the model's call as the result's `error`."""
    try:
        return run(model, inputs, state, **options)
    # The code of the user may raise anything; how it compares is for the checks to say.
    except Exception as error:
        return Run(error=error)


def _require_values(tensors: Iterable[Any]) -> None:
    """Raise what JAX raises for state that was assigned inside a loop of its own and cannot leave it."""
    for tensor in tensors:
        to_numpy(tensor)


def _called(model: keras.Layer, training: bool | None, in_fit: bool) -> Any:
    """What is called: the model, or in `fit` on JAX its `call` alone, as `Layer.stateless_call` does."""
    function = model.call if in_fit and keras.backend.backend() == "jax" else model
    is_handed = takes_training(model) if in_fit else training is not None and requires_training(model)
    return functools.partial(function, training=training) if is_handed else function


def _to_tensor(value: Any) -> Any:
    return None if value is None else keras.ops.convert_to_tensor(value)


def _value_of(leaf: object) -> Any:
    return keras.ops.copy(leaf.value) if isinstance(leaf, keras.Variable) else leaf


@contextlib.contextmanager
def with_stand_ins(model: keras.Layer, state: State, trained: Iterable[keras.Variable]) -> Iterator[None]:
    """Lets the variables hold others of the backend, with the values of `state`, which may be written to.

    There are gradients by those that are `trained`, whether or not `fit` would train them.
    """
    held = stand_ins(state.values(), set(map(id, trained)))
    with torch_modules_have(model, {id(v): (v, raw) for v, raw in held}), holding(held):
        yield


@contextlib.contextmanager
def _equal_randomness(model: keras.Layer) -> Iterator[keras.Variable]:
    """Starts Python, NumPy, Keras and backend randomness alike for each run; puts it back after.

    Yields:
        The state of the generator that draws where no seed is given.
    """
    python, numpy_state = random.getstate(), np.random.get_state()
    with (
        undone(lambda: random.setstate(python)),
        undone(lambda: np.random.set_state(numpy_state)),
        backend_random_state(0),
        generators_are_seeded(all_layers(model)),
        seed_of_process(0) as seed,
    ):
        random.seed(0)
        np.random.seed(0)
        yield seed

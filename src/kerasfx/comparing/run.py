"""Running a model on given values of its variables without leaving a trace in it.

Private Keras API used here besides `keras_api.internals`, and what is relied on:

- `Layer._losses`, `Layer._loss_ids`: what `add_loss` left from earlier calls. The ids of freed
  losses can match new ones, so they are emptied before a run and put back after it.
- the global attribute `"global_seed_generator"`: the seed that random ops without one draw from.

Private API of PyTorch: `_reparametrize_module`, the inside of `torch.func.functional_call`.

Private API of TensorFlow: `_seed` and `_rng` of its context, what draws without a seed start from.
"""

import contextlib
import functools
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state

from kerasfx.comparing.gradients import without_gradients
from kerasfx.comparing.measure import leaves
from kerasfx.comparing.stand_ins import stand_ins
from kerasfx.keras_api.arrays import to_numpy
from kerasfx.keras_api.internals import (
    all_layers,
    backend_random_state,
    call_context,
    forget_losses,
    generators_are_seeded,
    holding,
    mask_of,
    module_of,
    no_call_context,
    nothing_is_recomputed,
    raw_value,
    requires_training,
    set_losses,
    takes_training,
)
from kerasfx.keras_api.replacing import Replaced, replace, undone

Call = Callable[[keras.Layer, Any], Any]
State = dict[int, tuple[keras.Variable, Any]]
"""Values (tensors of the variable's shape) by `id(variable)`, with the variable."""

_GLOBAL_SEED = "global_seed_generator"

_thread = threading.local()

_one_at_a_time = threading.RLock()
"""The random states of Python, NumPy and the backend are those of the process."""


@dataclass(frozen=True)
class Run:
    """One call of a model.

    Attributes:
        outputs: What the model returned, variables in it replaced by their values.
        masks: The Keras mask of each output (path, mask or None).
        losses: The model's scalar losses: `add_loss`, activity and weight regularizers.
        state: The values of the variables after the call.
        assigns_others: Whether the call assigned variables that are not in the state.
        error: What the call raised; everything else is empty then.
    """

    outputs: Any = None
    masks: tuple[tuple[str, Any], ...] = ()
    losses: tuple[Any, ...] = ()
    state: State | None = None
    assigns_others: bool = False
    error: Exception | None = None


def call_directly(model: keras.Layer, inputs: Any) -> Any:
    """The usual way to call a model: `model(inputs)`."""
    return model(inputs)


def present_state(variables: Sequence[keras.Variable]) -> State:
    """The present values of variables, as tensors that do not follow the variables."""
    return {id(v): (v, keras.ops.copy(v.value)) for v in variables}


def run(
    model: keras.Layer,
    inputs: Any,
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
        _torch_modules_have(model, state) if stateless else contextlib.nullcontext(),
        nothing_is_recomputed(all_layers(model)),
    ):
        # The outputs may be the inputs, and Keras writes masks onto them: fresh tensors each time.
        tensors = keras.tree.map_structure(_to_tensor, inputs)
        scope = keras.StatelessScope(list(state.values()), collect_losses=True)
        is_told = not in_fit and training is not None
        with scope if stateless else contextlib.nullcontext():
            with call_context(training) if is_told else no_call_context():
                called = _called(model, training, in_fit)
                outputs = keras.tree.map_structure(_value_of, call(called, tensors))
            losses = tuple(keras.tree.flatten(model.losses))
        masks = tuple((path, mask_of(leaf)) for path, leaf in leaves(outputs))
        now = scope.get_current_value if stateless else lambda v: keras.ops.copy(v.value)
        after = {key: (v, now(v)) for key, (v, _) in state.items()}
    if not differentiable:
        _require_values(after[key][1] for key in after if after[key][1] is not state[key][1])
    assigns_others = not scope.state_mapping.keys() <= {*state, id(seed)}
    return Run(outputs, masks, losses, after, assigns_others)


def attempt(model: keras.Layer, inputs: Any, state: State, **options: Any) -> Run:
    """Like `run`, with an exception of the model's call as the result's `error`."""
    try:
        return run(model, inputs, state, **options)
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


def _value_of(leaf: Any) -> Any:
    return keras.ops.copy(leaf.value) if isinstance(leaf, keras.Variable) else leaf


@contextlib.contextmanager
def _torch_modules_have(model: keras.Layer, state: State) -> Iterator[None]:
    """Let the modules of PyTorch inside `model` use the values of `state`: they know no StatelessScope."""
    wrappers = [x for x in all_layers(model) if isinstance(x, keras.layers.TorchModuleWrapper)]
    if not wrappers:
        yield
        return
    from torch.nn.utils.stateless import _reparametrize_module

    values = {id(raw_value(variable)): value for variable, value in state.values()}
    with contextlib.ExitStack() as stack:
        for module in (x.module for x in wrappers):
            own = {name: values[id(p)] for name, p in module.named_parameters() if id(p) in values}
            stack.enter_context(_reparametrize_module(module, own))
        yield


@contextlib.contextmanager
def undisturbed(model: keras.Layer) -> Iterator[None]:
    """Puts back every attribute of every layer that a call sets: losses, paths, user's own."""
    layers = all_layers(model)
    before = [(layer, dict(vars(layer)), list(layer._losses), set(layer._loss_ids)) for layer in layers]

    def put_back() -> None:
        for layer, attributes, losses, loss_ids in before:
            _restore(vars(layer), attributes)
            set_losses(layer, losses, loss_ids)

    with undone(put_back):
        forget_losses(model)
        yield


def _restore(now: dict[str, Any], before: dict[str, Any]) -> None:
    """Works on the dicts, past `Layer.__setattr__`, which would track what is set."""
    for name in now.keys() - before.keys():
        del now[name]
    for name, value in before.items():
        if name not in now or now[name] is not value:
            now[name] = value


@contextlib.contextmanager
def with_stand_ins(model: keras.Layer, state: State, trained: Iterable[keras.Variable]) -> Iterator[None]:
    """Lets the variables hold others of the backend, with the values of `state`, which may be written to.

    There are gradients by those that are `trained`, whether or not `fit` would train them.
    """
    held = stand_ins(state.values(), set(map(id, trained)))
    with _torch_modules_have(model, {id(v): (v, raw) for v, raw in held}), holding(held):
        yield


@contextlib.contextmanager
def _equal_randomness(model: keras.Layer) -> Iterator[keras.Variable]:
    """Starts Python, NumPy, Keras and backend randomness alike for each run; puts it back after.

    Yields:
        The state of the generator that draws where no seed is given.
    """
    python, numpy_state = random.getstate(), np.random.get_state()
    generator = global_state.get_global_attribute(_GLOBAL_SEED)
    with (
        undone(lambda: random.setstate(python)),
        undone(lambda: np.random.set_state(numpy_state)),
        undone(lambda: global_state.set_global_attribute(_GLOBAL_SEED, generator)),
        backend_random_state(0),
        generators_are_seeded(all_layers(model)),
    ):
        random.seed(0)
        np.random.seed(0)
        fresh = keras.random.SeedGenerator(0, name="kerasfx_compare_seed")
        global_state.set_global_attribute(_GLOBAL_SEED, fresh)
        yield fresh.state


@contextlib.contextmanager
def plain_tensorflow(seed: int = 0) -> Iterator[None]:
    """On TensorFlow, start its own draws from `seed`, and run the inside of each `tf.function`.

    A `tf.function` that is compiled here would keep the values of this run's variables.
    """
    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf
    from tensorflow.python.eager.context import context

    saved = {name: vars(context())[name] for name in ("_seed", "_rng") if name in vars(context())}
    before = getattr(_thread, "runs_inside", False)
    with (
        Replaced(_replace_tf_functions),
        undone(lambda: setattr(_thread, "runs_inside", before)),
        undone(lambda: vars(context()).update(saved)),
    ):
        tf.random.set_seed(seed)
        _thread.runs_inside = True
        yield


def _replace_tf_functions() -> None:
    import tensorflow as tf

    cls = type(tf.function(lambda: None))
    original = cls.__call__

    def stand_in(function: Any, *args: Any, **kwargs: Any) -> Any:
        # Not `run_functions_eagerly`, which is heard by all threads. TensorFlow's own, as that of
        # `vectorized_map`, are made anew at each call and need to be functions.
        is_own = module_of(function.python_function).startswith("tensorflow.")
        if getattr(_thread, "runs_inside", False) and not is_own:
            return function.python_function(*args, **kwargs)
        return original(function, *args, **kwargs)

    replace(cls, "__call__", stand_in)

"""What running a model reaches besides its variables: losses, and the states that draws come from.

Private API of Keras used here:

- `Layer._losses`, `Layer._loss_ids`: what `add_loss` left from earlier calls. The ids of freed
  losses can match new ones, so they are emptied before a run and put back after it.
- the global attribute `"global_seed_generator"`: the seed that random ops without one draw from.

Private API of PyTorch: `_reparametrize_module`, the inside of `torch.func.functional_call`.

Private API of TensorFlow: `_seed` and `_rng` of its context, what draws without a seed start from.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import keras
from keras.src.backend.common import global_state

from kerasfx.keras_api.internals import (
    all_layers,
    forget_losses,
    module_of,
    names_since,
    raw_value,
    set_losses,
)
from kerasfx.keras_api.kept_items import items_of, put_items_back
from kerasfx.keras_api.replacing import Replaced, replace, undone

_GLOBAL_SEED = "global_seed_generator"

_thread = threading.local()


@contextlib.contextmanager
def undisturbed(model: keras.Layer) -> Iterator[None]:
    """Puts back every attribute of every layer that a call sets: losses, paths, user's own."""
    layers = all_layers(model)
    forget_names = names_since(layers)
    before = [
        (layer, dict(vars(layer)), items_of(layer), list(layer._losses), set(layer._loss_ids))
        for layer in layers
    ]

    def put_back() -> None:
        for layer, attributes, items, losses, loss_ids in before:
            _restore(vars(layer), attributes)
            put_items_back(layer, attributes, items)
            set_losses(layer, losses, loss_ids)
        forget_names()

    with undone(put_back):
        forget_losses(model)
        yield


def _restore(now: dict[str, object], before: dict[str, object]) -> None:
    """Works on the dicts, past `Layer.__setattr__`, which would track what is set."""
    for name in now.keys() - before.keys():
        del now[name]
    for name, value in before.items():
        if name not in now or now[name] is not value:
            now[name] = value


@contextlib.contextmanager
def torch_modules_have(
    model: keras.Layer, values: Mapping[int, tuple[keras.Variable, object]]
) -> Iterator[None]:
    """Let the modules of PyTorch inside `model` use other values: they know no StatelessScope.

    Args:
        model: A layer or model.
        values: Variables, each with what takes the place of the one of the backend.
    """
    wrappers = [x for x in all_layers(model) if isinstance(x, keras.layers.TorchModuleWrapper)]
    if not wrappers:
        yield
        return
    from torch.nn.utils.stateless import _reparametrize_module

    raw = {id(raw_value(variable)): value for variable, value in values.values()}
    with contextlib.ExitStack() as stack:
        for module in (x.module for x in wrappers):
            own: dict[str, Any] = {name: raw[id(p)] for name, p in module.named_parameters() if id(p) in raw}
            stack.enter_context(_reparametrize_module(module, own))
        yield


@contextlib.contextmanager
def seed_of_process(seed: int) -> Iterator[keras.Variable]:
    """Let what draws without a seed begin at `seed`.

    Yields:
        The state of the generator that then draws.
    """
    generator = global_state.get_global_attribute(_GLOBAL_SEED)
    with undone(lambda: global_state.set_global_attribute(_GLOBAL_SEED, generator)):
        fresh = keras.random.SeedGenerator(seed, name="kerasfx_compare_seed")
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

    def stand_in(function: object, *args: object, **kwargs: object) -> object:
        # Not `run_functions_eagerly`, which is heard by all threads. TensorFlow's own, as that of
        # `vectorized_map`, are made anew at each call and need to be functions.
        inside = function.python_function  # pyright: ignore[reportAttributeAccessIssue]
        if getattr(_thread, "runs_inside", False) and not module_of(inside).startswith("tensorflow."):
            return inside(*args, **kwargs)
        return original(function, *args, **kwargs)

    replace(cls, "__call__", stand_in)


def outside_of_graphs(variable: keras.Variable) -> contextlib.AbstractContextManager[Any]:
    """A block whose tensors have values, where `variable` has its, whatever is being compiled around it."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.init_scope()
    if keras.backend.backend() == "jax":
        import jax

        return jax.ensure_compile_time_eval()
    # Keras infers shapes on a device without memory.
    return keras.device(str(raw_value(variable).device))


def is_being_compiled() -> bool:
    """Whether the code around is being compiled by TensorFlow or JAX: a new tensor has no value there."""
    try:
        keras.ops.convert_to_numpy(keras.ops.zeros(()))
    # Each backend has an error of its own for it.
    except Exception:
        return True
    return False

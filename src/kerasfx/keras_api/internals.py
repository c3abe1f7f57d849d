"""Private Keras API that several rooms need; what serves one purpose has a file of its own beside this one.

| private name | relied on for | since |
|---|---|---|
| `Operation.__call__`, `Operation.symbolic_call` | running `call` of opened layers; seeing every op | 3.0 |
| `Layer.__call__` | a frame around each layer call | 3.0 |
| `Layer._maybe_build(call_spec)` | building runs outside the trace | 3.0 |
| `Layer._set_mask_metadata` | `compute_mask` of the user's layers sees dimensions | 3.0 |
| `traceback_utils.is_traceback_filtering_enabled` | exceptions of the user's code stay theirs | 3.0 |
| `keras_tensor.any_symbolic_tensors(args, kwargs)` | ops on weights and dims take the symbolic path | 3.0 |
| `Variable.value` and its operators | a weight read while tracing is a tensor | 3.0 |
| `keras.src.backend.{core, numpy, random}` functions looked up at call time | direct backend calls | 3.0 |
| `global_state` attributes `current_call_ctx`, `object_name_uids` | nothing is left behind | 3.0 |
| `Layer._layers`, `_flatten_layers`, `_seed_generators` | walking the layers of a model | 3.0 |
| `Layer._trainable_variables`, `_non_trainable_variables` | pairing the weights of layer and copy | 3.0 |
| `torch.nn.Module._modules` | on PyTorch, attributes that are layers are kept apart from the others | 3.0 |
| `Variable._value` | on PyTorch, a weight is also reached as a `torch.nn.Parameter`; its strategy | 3.0 |
| `Variable._dtype`, `_autocast` | a weight as it is stored, and whether it is cast where it is read | 3.0 |
| `Variable._maybe_autocast(value)` | on PyTorch, the dtype of a weight where shapes are inferred | 3.0 |
| `Layer._convert_input_args` | whether a layer casts what it is called with | 3.0 |
| `Variable._layout` | on JAX, how a distribution splits a weight among devices | 3.0 |
| `Layer._called`, `_parent_path`, `_losses`, `_loss_ids`, `_tracked` | restoring a layer after calls | 3.0 |
| `backend.rnn`, `backend.lstm`, `backend.gru` | recording the loops of recurrent layers | 3.0 |
| `Layer._remat_mode`, `backend.core.remat` | what is computed again in the backward pass | 3.9 |
| `SeedGenerator._initial_seed` | on PyTorch, dropout without a seed draws elsewhere | 3.0 |
| `Layer.build`, `Layer.quantize` as attributes of the object | a copy has its own | 3.0 |
| `Layer._build_shapes_dict` | whether a `build` ended | 3.0 |
| `Layer.build._is_default` | whether a class has a `build` | 3.0 |
| `Operation._auto_config` | copying a layer whose class has no `get_config` | 3.0 |
| `Operation._inbound_nodes`, `_outbound_nodes` | a copy of a layer has no calls in other models | 3.0 |
| `Operation._inbound_nodes`, `Node.input_tensors`, `KerasTensor._keras_history` | telling masks apart | 3.0 |
| `Layer._tracker`: `config`, `stored_ids`; `DotNotTrackScope` | a copy tracks its own state | 3.0 |
| `Layer._untrack_variable`, `_tracker`: `lock`, `unlock` | a weight that two layers have | 3.0 |
| `Layer._post_track_variable`, `_post_untrack_variable` | the same for what a backend tracks | 3.0 |
| `Layer._call_has_training_arg`, `_call_has_mask_arg` | whether `call` takes `training`, `mask` | 3.0 |
| `Layer._call_signature` | what `call` takes, whatever wraps it | 3.0 |
| `Layer._call_has_context_arg` | a model to which `fit` passes no `training` | 3.11 |
| `_keras_mask` of a tensor | its mask, where Keras has no function for it | 3.0 |
| `Metric._metrics`, `Metric._tracker` | a copy of a metric has its own state | 3.0 |
| `object_registration.GLOBAL_CUSTOM_NAMES` | a class that is saved under the name of another | 3.0 |
| `Trainer._compute_loss_has_training_arg` | a prepared model with `compute_loss` of the user | 3.5 |
| `Sequential._functional` | telling the attributes of Keras and of the user apart | 3.0 |
| `Trainer._compile_config` | compiling a prepared model like its original | 3.0 |
| `Optimizer._learning_rate, _variables, _trainable_variables` | handing on the state of an optimizer | 3.0 |
| `Optimizer._use_weight_decay`, `_exclude_from_weight_decay_cache` | a copy decays the same weights | 3.0 |
| `Muon._should_use_adamw` | whether a copy steps alike for each weight | 3.10 |
| `Layer._trainable` | a model is frozen without its layers | 3.0 |
| `stateless_scope.in_stateless_scope` | where an assigned variable is read from a scope | 3.0 |
| `Functional._inputs_struct, _outputs_struct, _run_through_graph` | structure of a functional model | 3.0 |
| `Function._nodes_by_depth`, `Node.arguments.fill_in`, `is_input` | running only what a mode needs | 3.0 |
| `symbolic_scope.in_symbolic_scope` | a model of one mode is asked for its shapes in the other | 3.5 |
| `functional.operation_fn` | what a Functional model hands to the calls that it records | 3.0 |
"""

from __future__ import annotations

import copy
import functools
import inspect
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import ModuleType
from typing import Any, NamedTuple, TypeGuard

import keras
import numpy as np
from keras.src import backend
from keras.src.backend.common import global_state, keras_tensor, stateless_scope, symbolic_scope
from keras.src.backend.common import variables as common_variables
from keras.src.layers.layer import CallContext, Layer
from keras.src.models import functional
from keras.src.models.functional import Functional
from keras.src.ops.operation import Operation
from keras.src.saving import object_registration
from keras.src.utils import traceback_utils, tracking

from kerasfx.keras_api.replacing import (
    MISSING,
    Replaced,
    replace,
    undone,
)

__all__ = ["Functional", "Layer", "Operation", "backend", "functional", "keras_tensor", "traceback_utils"]

any_symbolic_tensors = keras_tensor.any_symbolic_tensors

BUILDS = "_maybe_build"
"""The method of a layer that builds it, in `Layer.__call__`; its argument is the `CallSpec`."""

COMPUTES_MASKS = "_set_mask_metadata"
"""The method of a layer that asks for the masks of what it returned, in `Layer.__call__`."""

HOLD_LAYERS = (
    "_self_",
    "_layers",
    "_tracke",
    "_functional",
    "_operations",
    "_nodes",
    "_inputs",
    "_outputs",
    "_inbound_nodes",
    "_outbound_nodes",
    "_metrics",
    "_losses",
    "_seed_generators",
    "_obj_reference",
    "_nnx",
    "_modules",
)
"""Beginnings of attributes in which Keras keeps layers itself."""


def is_module_of_keras_itself(name: str) -> bool:
    """Whether a module is one of Keras, but none of those of the running backend."""
    of_backend = f"keras.src.backend.{keras.backend.backend()}"
    return name.startswith("keras.src") and not name.startswith(of_backend)


def backend_output_spec(function: Callable[..., object], *args: object, **kwargs: object) -> Any:
    """What `function` would return, as the backend itself finds by running it on no numbers."""
    return backend.compute_output_spec(function, *args, **kwargs)


def torch_device() -> Any:
    """The device of PyTorch that Keras computes on."""
    import torch

    return torch.device(backend_module("core").get_device())


def module_of(x: object) -> str:
    """The module of a class or function; "" for code that was executed without one."""
    name = getattr(x, "__module__", None)
    return name if isinstance(name, str) else ""


def variable_classes() -> list[type]:
    """The classes of the MRO of `keras.Variable` that Keras itself defines."""
    return [c for c in keras.Variable.__mro__ if module_of(c).startswith("keras.")]


def is_variable(x: object) -> TypeGuard[keras.Variable]:
    """Whether `x` is a Keras variable of the running backend."""
    return isinstance(x, common_variables_class())


def stored_dtype(variable: keras.Variable) -> str:
    """The dtype of a variable itself, wherever autocasting gives it out in another one."""
    return variable._dtype


def is_autocast(variable: keras.Variable) -> bool:
    """Whether a variable is given out in the dtype that the layer which runs computes in."""
    return variable._autocast


def is_raw_variable(x: object) -> bool:
    """Whether `x` is a variable of the backend itself, whose value may change without Keras knowing."""
    return hasattr(x, "assign") or bool(getattr(x, "requires_grad", False))


def raw_value(variable: keras.Variable) -> Any:
    """The variable of the backend inside a Keras variable."""
    return getattr(variable, "_value", None)


@contextmanager
def holding(held: list[tuple[Any, Any]]) -> Iterator[None]:
    """Let Keras variables be other variables of the backend, of the same shape and dtype, in this thread."""
    before = getattr(_thread, "held", {})
    with Replaced(_replace_value), undone(lambda: setattr(_thread, "held", before)):
        # A dict of its own: the block may stand inside of another.
        _thread.held = {**before, **{id(v): raw for v, raw in held}}
        yield


def _replace_value() -> None:
    def get(variable: keras.Variable) -> Any:
        held = getattr(_thread, "held", {})
        if id(variable) in held:
            return held[id(variable)]
        if "_value" not in vars(variable):
            # As for any attribute that is not there: callers ask by `getattr` with a default.
            raise AttributeError("_value")
        return vars(variable)["_value"]

    def set_(variable: keras.Variable, raw: Any) -> None:
        held = getattr(_thread, "held", {})
        if id(variable) in held:
            held[id(variable)] = raw
        else:
            variable.__dict__["_value"] = raw

    replace(keras.Variable, "_value", property(get, set_))


def in_stateless_scope() -> bool:
    """Whether a `keras.StatelessScope` is open, which holds what variables are assigned."""
    return stateless_scope.in_stateless_scope()


def layout_of(variable: keras.Variable) -> Any:
    """How a distribution splits a variable among devices, or None."""
    return getattr(variable, "_layout", None)


def set_layout(variable: keras.Variable, layout: Any) -> None:
    """Let `variable` put every value that it gets from now on among devices like that."""
    variable._layout = layout


@functools.cache
def common_variables_class() -> type:
    """The backend-independent base class of variables (`KerasVariable` before Keras 3.6)."""
    return getattr(common_variables, "KerasVariable", None) or common_variables.Variable


def backend_module(name: str) -> ModuleType:
    """A module of the running backend: `"core"`, `"numpy"`, `"random"`..."""
    return getattr(backend, name)


def mask_of(tensor: object) -> Any:
    """The Keras mask attached to a tensor, or None."""
    getter = getattr(backend, "get_keras_mask", None)
    return getter(tensor) if getter else getattr(tensor, "_keras_mask", None)


def autocast_dtype() -> str | None:
    """The dtype that variables are cast to where the code runs now, or None."""
    scope = backend.get_autocast_scope()
    return None if scope is None else scope.dtype


def autocast(variable: keras.Variable, value: Any) -> Any:
    """The value of a variable in the dtype in which the code that runs now reads it."""
    return variable._maybe_autocast(value)


def uncast() -> AbstractContextManager[object]:
    """Let variables be read in the block as they are stored."""
    return backend.AutocastScope(None)


def weights_cast_for(layer: keras.Layer) -> AbstractContextManager[object]:
    """Let `call` of a layer read its weights in the block as `Layer.__call__` lets it, by the policy."""
    is_cast = layer.autocast and backend.is_float_dtype(layer.compute_dtype)
    return backend.AutocastScope(layer.compute_dtype if is_cast else None)


def casts(layer: keras.Layer, x: keras.KerasTensor) -> bool:
    """Whether `Layer.__call__` casts an argument before `call` gets it, by the policy of `layer`."""
    is_cast = layer._convert_input_args and layer.autocast
    return is_cast and x.dtype != layer.input_dtype and backend.is_float_dtype(x.dtype)


def cast_for(layer: keras.Layer, x: keras.KerasTensor) -> keras.KerasTensor:
    """An argument of `layer` as `Layer.__call__` hands it to `call`."""
    return keras.KerasTensor(x.shape, dtype=layer.input_dtype) if casts(layer, x) else x


@contextmanager
def fresh_names() -> Iterator[None]:
    """Give automatic names back: what the block makes does not shift the names of the user's layers."""
    saved = dict(global_state.get_global_attribute("object_name_uids") or {})

    def give_back() -> None:
        current = global_state.get_global_attribute("object_name_uids")
        if current is not None:
            current.clear()
            current.update(saved)

    with undone(give_back):
        yield


def call_context(training: object) -> AbstractContextManager[None]:
    """Run a block as if inside a layer that was called with `training`.

    With a context already open, the layers called inside neither clear `losses` nor reset the context.
    """
    context = CallContext(entry_layer=None)
    setattr(context, "training", training)  # noqa: B010  (an attribute made by Keras)
    return _call_context_is(context)


def is_in_call_context() -> bool:
    """Whether the code runs inside a layer that was called; on JAX `fit` runs `call` of a model outside."""
    return global_state.get_global_attribute("current_call_ctx") is not None


def is_for_shapes_alone() -> bool:
    """Whether Keras runs the code for the shapes of its results, as `fit` first does on JAX and PyTorch."""
    return symbolic_scope.in_symbolic_scope()


def no_call_context() -> AbstractContextManager[None]:
    """Run a block as if outside any layer: what it calls does not change the context outside."""
    return _call_context_is(None)


@contextmanager
def _call_context_is(context: object) -> Iterator[None]:
    saved = global_state.get_global_attribute("current_call_ctx")
    with undone(lambda: global_state.set_global_attribute("current_call_ctx", saved)):
        global_state.set_global_attribute("current_call_ctx", context)
        yield


@contextmanager
def backend_random_state(seed: int | None = None) -> Iterator[None]:
    """Give the random state of the backend itself back after the block, which starts from `seed`.

    Only PyTorch has one. There, dropout without a seed and the fallback of Keras's shape inference, which
    runs code on real tensors, draw from it.
    """
    if keras.backend.backend() != "torch":
        yield
        return
    import torch

    saved = torch.random.get_rng_state()
    with undone(lambda: torch.random.set_rng_state(saved)):
        if seed is not None:
            torch.random.manual_seed(seed)
        yield


@contextmanager
def generators_are_seeded(layers: list[Any]) -> Iterator[None]:
    """Let every seed generator of `layers` be the one that draws, as on the other backends.

    On PyTorch, dropout ignores a generator that was made without a seed and draws from the state of the
    process, which is in no variable.
    """
    made_without = unseeded(layers)

    def say(seed: int | None) -> None:
        for generator in made_without:
            generator._initial_seed = seed

    with undone(lambda: say(None)):
        say(0)
        yield


def is_recomputed(layer: keras.Layer) -> bool:
    """Whether `layer` was made in a `RematScope`."""
    return getattr(layer, "_remat_mode", None) is not None


@contextmanager
def nothing_is_recomputed(layers: list[Any]) -> Iterator[None]:
    """Let `keras.remat` and layers made in a `RematScope` keep what they compute for the backward pass.

    Recomputing changes no number, but TensorFlow's loses the gradient by weights that stand in for others.
    """
    modes = [(x, x._remat_mode) for x in layers if is_recomputed(x)]
    before = getattr(_thread, "keeps_all", False)

    def put_back() -> None:
        for layer, mode in modes:
            layer._remat_mode = mode

    with Replaced(_replace_remat), undone(put_back), undone(lambda: setattr(_thread, "keeps_all", before)):
        _thread.keeps_all = True
        for layer, _ in modes:
            layer._remat_mode = None
        yield


_thread = threading.local()


def _replace_remat() -> None:
    original = getattr(backend.core, "remat", None)

    def stand_in(function: Callable[..., Any]) -> Any:
        return function if getattr(_thread, "keeps_all", False) else original(function)  # pyright: ignore

    if original is not None:  # not in every Keras
        replace(backend.core, "remat", stand_in)


def say_seeded(generator: keras.random.SeedGenerator) -> None:
    """Let PyTorch's dropout draw by `generator`, which was made without calling its constructor."""
    generator._initial_seed = 0


def takes_training(layer: keras.Layer) -> bool:
    """Whether the `call` of `layer` has a `training` argument."""
    return bool(getattr(layer, "_call_has_training_arg", False))


def parameters_of_call(layer: keras.Layer) -> list[str]:
    """The names of the parameters of the `call` of `layer`."""
    return list(layer._call_signature.parameters)


def default_of_training(layer: keras.Layer) -> Any:
    """What the `call` of `layer` takes for `training` where nobody says anything; None for no default."""
    parameter = layer._call_signature.parameters.get("training")
    if parameter is None or parameter.default is parameter.empty:
        return None
    return parameter.default


def requires_training(layer: keras.Layer) -> bool:
    """Whether the `call` of `layer` has an argument `training` without a default."""
    parameter = layer._call_signature.parameters.get("training")
    return parameter is not None and parameter.default is parameter.empty


def trains_by_default(layer: keras.Layer) -> bool:
    """Whether the `call` of `layer` trains where nobody says whether to."""
    return bool(default_of_training(layer))


def nodes_of(model: keras.Model) -> list[Any]:
    """The calls that a functional model makes, in the order in which it makes them."""
    depths = sorted(model._nodes_by_depth, reverse=True)
    nodes = [node for depth in depths for node in model._nodes_by_depth[depth]]
    return [node for node in nodes if node.operation and not node.is_input]


def calls_of(operation: keras.Operation) -> list[Any]:
    """Keras's nodes of the calls of `operation`, in the order of the calls."""
    return operation._inbound_nodes


def input_structure(model: keras.Layer) -> Any:
    """The symbolic inputs of a Functional model in their structure; None for any other model."""
    return getattr(model, "_inputs_struct", None)


def output_structure(model: keras.Layer) -> Any:
    """The symbolic outputs of a Functional model in their structure."""
    return model._outputs_struct


def input_of_sequential(model: keras.Sequential) -> keras.KerasTensor | None:
    """The symbolic input of a Sequential model that was built."""
    inside = getattr(model, "_functional", None)
    return inside.inputs[0] if inside else None


def take_no_training(model: keras.Model) -> None:
    """Let Keras treat `model` as if its `call` had no `training` argument: `fit` does not pass it then."""
    model._call_has_training_arg = False
    model._call_has_context_arg = {**model._call_has_context_arg, "training": False}


def training_of_context() -> Any:
    """The `training` that a layer called now finds in the call context; None outside of a call."""
    context = global_state.get_global_attribute("current_call_ctx")
    return None if context is None else context.get_value("training")


def set_training_of_context(training: object) -> None:
    """Let the layers called from now on in this call context find `training` there."""
    context: Any = global_state.get_global_attribute("current_call_ctx")
    context.set_value("training", training)


def takes_mask(layer: keras.Layer) -> bool:
    """Whether the `call` of `layer` has a `mask` argument."""
    return bool(getattr(layer, "_call_has_mask_arg", False))


def all_layers(layer: keras.Layer) -> list[Any]:
    """`layer` and every layer below it that Keras tracks, each once."""
    return list(layer._flatten_layers())


def constructor_arguments(layer: keras.Layer) -> dict[str, Any] | None:
    """Copies of the arguments that `layer` was made with, as Keras keeps them; None if it does not."""
    config = getattr(layer, "_auto_config", None)
    return None if config is None else keras.saving.deserialize_keras_object(config.serialize())


def own_state(layer: keras.Layer) -> list[Any]:
    """The variables that belong to `layer` itself, in the order in which its code made them."""
    return [*layer._trainable_variables, *layer._non_trainable_variables, *seeds(layer)]


def replaced_weights(layer: keras.Layer) -> list[Any]:
    """The variables of `layer` itself to which no attribute refers: something else is in their place."""
    state = [*layer._trainable_variables, *layer._non_trainable_variables]
    # Most weights are an attribute: what lists hold is looked through for others alone.
    plain = set(map(id, vars(layer).values()))
    if all(id(v) in plain for v in state):
        return []
    # Lists of all there is to train or to store, by Keras, TensorFlow and PyTorch.
    lists = ("_trainable_variables", "_non_trainable_variables", "_tracker", "_self_", "_torch_params")
    held = {id(x) for k, v in vars(layer).items() if not k.startswith(lists) for x in _flat(v, depth=3)}
    return [v for v in state if id(v) not in held]


def _flat(value: Any, depth: int) -> Iterator[Any]:
    if depth and isinstance(value, (list, tuple, dict)):
        for x in value.values() if isinstance(value, dict) else value:
            yield from _flat(x, depth - 1)
    else:
        yield value


def seeds(layer: keras.Layer) -> list[Any]:
    """The states of the seed generators that belong to `layer` itself."""
    return [g.state for g in getattr(layer, "_seed_generators", [])]


def unseeded(layers: Iterable[Any]) -> list[Any]:
    """The seed generators of `layers` that were made without a seed, and begin with one of chance."""
    return [g for x in layers for g in getattr(x, "_seed_generators", []) if g._initial_seed is None]


def state_but_seeds(layer: keras.Layer) -> list[Any]:
    """The variables of `layer` itself that it does not train and does not draw with."""
    return list(layer._non_trainable_variables)


def attributes(layer: keras.Layer) -> dict[str, Any]:
    """The attributes of a layer by name; those that are layers, which PyTorch keeps apart, come first."""
    return {**vars(layer).get("_modules", {}), **vars(layer)}


def sublayers(layer: keras.Layer) -> list[Any]:
    """The layers that `layer` tracks directly."""
    return list(layer._layers)


def metrics_of_layers(model: keras.Model) -> list[Any]:
    """The metrics that `model` and its layers hold, without those that `compile` was given."""
    return [metric for layer in all_layers(model) for metric in layer._metrics]


def operations_but_masks(model: keras.Model) -> list[Any]:
    """The operations of a functional model, without those that only compute implicit masks."""
    reached: dict[int, Any] = {}
    seen: set[int] = set()
    waiting = list(model.outputs)
    while waiting:
        call = call_that_made(waiting.pop())
        reached[id(call.operation)] = call.operation
        if id(call.node) not in seen:
            seen.add(id(call.node))
            waiting.extend(call.inputs)
    return list(reached.values())


class SymbolicCall(NamedTuple):
    """A call in a functional model: its operation, Keras's node, which result, and the tensors given."""

    operation: Any
    node: Any
    result: int
    inputs: list[Any]


def call_that_made(tensor: Any) -> SymbolicCall:
    """The call that a symbolic tensor comes from; implicit masks are not among its inputs.

    In a model that was saved or cloned each mask that was implicit is an argument, while the tensor that it
    belongs to carries another one, made in the same way.
    """
    operation, node_index, result = tensor._keras_history
    node = operation._inbound_nodes[node_index]
    masks = [m for m in map(mask_of, node.input_tensors) if m is not None]
    inputs = [t for t in node.input_tensors if not any(is_made_alike(t, m) for m in masks)]
    return SymbolicCall(operation, node, result, inputs)


def takes_masks_away(layer: keras.Layer | None) -> bool:
    """Whether `call` of `layer` takes the masks from the tensors that it is given: Keras's attention does."""
    return getattr(type(layer), "call", None) is keras.layers.MultiHeadAttention.call


def take_masks_away(layer: keras.Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Do with the masks of the arguments of a call what `call` of `layer` would."""
    if takes_masks_away(layer):
        for tensor in (*args[:3], *(kwargs.get(name) for name in ("query", "value", "key"))):
            if tensor is not None:
                set_mask(tensor, None)


def is_made_alike(a: Any, b: Any) -> bool:
    """Whether two symbolic tensors are one, or results of the same operations, none a layer, on the same."""
    if a is b:
        return True
    (x, i, k), (y, j, n) = a._keras_history, b._keras_history
    if k != n or type(x) is not type(y) or isinstance(x, Layer):
        return False
    ours, theirs = (op._inbound_nodes[index].arguments for op, index in ((x, i), (y, j)))
    flat = [keras.tree.flatten((each.args, each.kwargs)) for each in (ours, theirs)]
    return len(flat[0]) == len(flat[1]) and all(map(_is_alike, *flat))


def _is_alike(a: Any, b: Any) -> bool:
    are_symbolic = [isinstance(x, keras.KerasTensor) for x in (a, b)]
    return is_made_alike(a, b) if all(are_symbolic) else not any(are_symbolic) and bool(np.array_equal(a, b))


def operation_behind(tensor: keras.KerasTensor) -> keras.Operation:
    """The operation that a symbolic tensor is a result of."""
    return tensor._keras_history.operation  # pyright: ignore[reportAttributeAccessIssue]


def calls_that_take(tensor: keras.KerasTensor) -> list[Any]:
    """Keras's nodes that take a symbolic tensor; each has an `operation`, `arguments` and `outputs`."""
    history: Any = tensor._keras_history  # pyright: ignore[reportAttributeAccessIssue]
    nodes = history.operation._outbound_nodes
    return [n for n in nodes if any(t is tensor for t in n.arguments.keras_tensors)]


def operations_of_keras(tensors: list[Any]) -> list[Any]:
    """The operations that symbolic tensors come from and that are no layers: Keras makes masks with them."""
    operations = [node.operation for node in _calls_behind(tensors)]
    return list({id(op): op for op in operations if not isinstance(op, Layer)}.values())


def count_calls(tensors: list[Any]) -> int:
    """How many calls symbolic tensors come from."""
    return sum(1 for _ in _calls_behind(tensors))


def _calls_behind(tensors: list[Any]) -> Iterator[Any]:
    """Keras's nodes that symbolic tensors come from, each once."""
    seen: set[int] = set()
    waiting = list(tensors)
    while waiting:
        operation, node_index, _ = waiting.pop()._keras_history
        node = operation._inbound_nodes[node_index]
        if id(node) not in seen:
            seen.add(id(node))
            waiting.extend(node.input_tensors)
            yield node


@contextmanager
def calls_forgotten(layers: Callable[[], list[Any]]) -> Iterator[None]:
    """Put back what merely calling a built layer sets on it: `_called`, `_parent_path`, losses, names."""
    present = layers()
    before = {id(x): (x, x._called, x._parent_path) for x in present if x.built}
    forget_names = names_since(present)
    losses = {key: (list(x._losses), set(x._loss_ids)) for key, (x, *_) in before.items()}

    def put_back() -> None:
        for layer, called, parent_path in before.values():
            layer._called, layer._parent_path = called, parent_path
        forget_names()
        # Asked again: a call may have made layers.
        for layer in layers():
            set_losses(layer, *losses.get(id(layer), ([], set())))

    with undone(put_back):
        yield


def names_since(layers: list[Any]) -> Callable[[], None]:
    """What takes the names away again that Keras notes of built layers from now on.

    On TensorFlow it notes one more in `_tracked` whenever `call` sets an attribute to a list, or to None.
    """
    before = [(x._tracked, len(x._tracked)) for x in layers if x.built and hasattr(x, "_tracked")]

    def forget() -> None:
        for names, count in before:
            del names[count:]

    return forget


@contextmanager
def calls_undone_if_refused(layers: list[Any]) -> Iterator[None]:
    """Forget the symbolic calls of `layers` that are made in the block, if it raises."""
    calls = [x for layer in layers for x in (layer._inbound_nodes, layer._outbound_nodes)]
    before = [(x, len(x)) for x in calls]
    try:
        yield
    except BaseException:
        for each, count in before:
            del each[count:]
        raise


def forget_losses(model: keras.Model) -> None:
    """Let no layer of `model` know of losses, nor of their `id`s, from an earlier call."""
    for layer in all_layers(model):
        set_losses(layer, [], set())


def set_losses(layer: keras.Layer, losses: list[Any], ids: set[int]) -> None:
    """Let `layer` know of these losses and `id`s of losses, and of no others."""
    layer._losses[:] = losses
    layer._loss_ids.clear()
    layer._loss_ids.update(ids)


def known_input_shapes(model: keras.Model) -> Any:
    """The shapes a built layer was built with (as `get_build_config` saves them), or None."""
    config = model.get_build_config() or {}
    if "shapes_dict" in config:
        return dict(config["shapes_dict"])
    shape = config.get("input_shape")
    return None if shape is None else {"input_shape": shape}


def standardize_dtype(dtype: Any) -> str:
    """The standard name of a dtype, such as `"float32"`."""
    return keras.backend.standardize_dtype(dtype)


def set_mask(tensor: object, mask: object) -> None:
    """Attach a Keras mask to a tensor."""
    setter = getattr(backend, "set_keras_mask", None)
    if setter:
        setter(tensor, mask)
    else:
        setattr(tensor, "_keras_mask", mask)  # noqa: B010  (an attribute made by Keras)


def alias_of(layer: keras.Layer, cls: type, name: str) -> Any:
    """Another layer object of class `cls` with the state of `layer` and a name of its own."""
    alias = object.__new__(cls)
    alias.__dict__.update(layer.__dict__)
    own = {"name": name, "_inbound_nodes": [], "_outbound_nodes": [], "_losses": [], "_loss_ids": set()}
    alias.__dict__.update(own)
    return alias


def deep_copy(layer: keras.Layer, name: str, stand_ins: dict[int, Any] | None = None) -> Any:
    """A copy of `layer` as it is, without its symbolic calls in other models.

    `copy.deepcopy` alone goes through the configs of layers, and refuses modules, which seeds refer to.

    Args:
        layer: The layer.
        name: The name of the copy.
        stand_ins: By `id`, what stands for objects inside that are copied in another way: models with a
            graph, which holds on to its own layers.
    """
    known = dict(stand_ins or {})
    originals = [x for x in all_layers(layer) if id(x) not in known]
    # By the `id` of the list, as `deepcopy` looks things up: its copy is an empty one.
    empty = {id(calls): [] for x in originals for calls in (x._inbound_nodes, x._outbound_nodes)}
    # A table of TensorFlow has no copy, and needs none: it does not change.
    tables = {id(v): v for x in originals for v in vars(x).values() if is_table(v)}
    result = _copied_with(originals, {**empty, **tables, **known})
    result.name = name
    return result


def is_table(x: object) -> bool:
    """Whether `x` is a table of TensorFlow that cannot change once it is made."""
    # By name: TensorFlow is not imported where it does not run.
    return type(x).__name__ == "StaticHashTable" and type(x).__module__.startswith("tensorflow.")


def is_value(x: object) -> bool:
    """Whether `x` is a number, a word, an array or a tensor, or a table: nothing that holds on to others."""
    if x is None or isinstance(x, (bool, int, float, complex, str, bytes, np.ndarray, np.generic)):
        return True
    if is_variable(x) or isinstance(x, keras.KerasTensor) or is_left_over(x):
        return False
    return is_table(x) or (keras.ops.is_tensor(x) and not is_raw_variable(x))


def is_left_over(x: object) -> bool:
    """Whether `x` is a tensor of a graph of TensorFlow or a trace of JAX that is over."""
    # An eager tensor of TensorFlow raises AttributeError for `graph`.
    return hasattr(x, "graph") or hasattr(x, "_trace")


def value_of_its_own(x: Any) -> Any:
    """A value (`is_value`) that does not change with `x`."""
    if isinstance(x, np.ndarray):
        return x.copy()
    return x.detach().clone() if hasattr(x, "detach") else x


LARGE = 2**18
"""Bytes from which on an array of JAX is carried, not copied: `copy` is compiled anew for each shape."""


def array_of_its_own(variable: keras.Variable) -> Any:
    """The value of a variable in an array of its own: `fit` donates those of JAX, PyTorch trains in place.

    A variable of TensorFlow takes other memory when it is assigned while somebody else has its own.
    """
    value = variable.value
    if layout_of(variable) is None:
        if keras.backend.backend() == "tensorflow":
            return keras.ops.convert_to_tensor(value)
        if keras.backend.backend() == "jax" and value.nbytes >= LARGE:
            import jax

            return jax.device_put(value, may_alias=False)
    return keras.ops.copy(value)


def attributes_of_class(layer: keras.Layer) -> dict[str, Any]:
    """The attributes of a layer or model that its class sets, without those that every layer has."""
    return own_attributes(layer) if isinstance(layer, keras.Model) else unlike_other_layers(layer)


def unlike_other_layers(layer: keras.Layer) -> dict[str, Any]:
    """The attributes of a layer without those that every layer has; of a model with those of every model."""
    of_all = _attributes_of_all_layers()
    # TensorFlow keeps its own record of what an object tracks in attributes that begin like this.
    return {k: v for k, v in vars(layer).items() if k not in of_all and not k.startswith("_self_")}


@functools.cache
def _attributes_of_all_layers() -> frozenset[str]:
    with fresh_names():
        blank = Layer()
    # What a class may say of itself, and no config holds.
    return frozenset(vars(blank)) - {"supports_masking", "autocast"}


@contextmanager
def failed_builds_forgotten(layer: keras.Layer) -> Iterator[None]:
    """Let layers without weights be built again whose `build` fails, or keeps a tensor that has no value.

    Keras has them for built as soon as their `build` has called the one of `Layer`, as that of a cell does;
    and that of a `Normalization` computes its mean where Keras infers shapes.
    """
    unbuilt = [x for x in all_layers(layer) if not x.built]
    try:
        yield
    finally:
        for x in unbuilt:
            is_whole = x._build_shapes_dict is not None and not any(map(_has_no_value, vars(x).values()))
            if x.built and not is_whole and has_own_build(x) and not x.weights:
                x.built = False


def _has_no_value(x: object) -> bool:
    return keras.ops.is_tensor(x) and (is_left_over(x) or str(getattr(x, "device", "")) == "meta")


def has_own_build(layer: keras.Layer) -> bool:
    """Whether the class of `layer` defines `build`; without it Keras runs `call` to build."""
    return not getattr(layer.build, "_is_default", False)


def has_graph(layer: keras.Layer) -> bool:
    """Whether `layer` is a Functional or Sequential model."""
    return isinstance(layer, (Functional, keras.Sequential))


def copy_of_generator(generator: keras.random.SeedGenerator) -> Any:
    """A seed generator of its own that goes on where `generator` is."""
    # `deepcopy` refuses modules, and a generator holds that of its backend.
    return copy.deepcopy(generator, {id(module): module for module in sys.modules.values()})


def own_attributes(model: keras.Model) -> dict[str, Any]:
    """The attributes that the code of a model's class has set, without those of Keras."""
    with fresh_names():
        blank = [keras.Model(), keras.Sequential([keras.Input((1,))])]
        # The original may have been compiled.
        for each in blank:
            each.compile("sgd")
    kept_by_keras = {name for each in blank for name in vars(each)} | _SET_LATER
    functional = getattr(blank[1], "_functional", None)
    kept_by_keras |= set(vars(functional)) if functional is not None else set()
    own = {k: v for k, v in attributes(model).items() if k not in kept_by_keras}
    return {k: v for k, v in own.items() if not k.startswith("_self_")}


_SET_LATER = {"history", "_torch_params", "torch_params"}
"""Attributes that Keras sets when a model is trained, or on PyTorch when its variables are counted."""


def track_besides_graph(model: keras.Model, values: list[Any]) -> None:
    """Let a functional model own layers, metrics and generators that are not in its graph.

    Keras 3.14 keeps the layers of such a model in a list of its own, to which setting an attribute adds none.
    """
    model.kept_with_class = values
    known = set(map(id, model._layers))
    model._layers.extend(x for x in values if isinstance(x, Layer) and id(x) not in known)


def exchange_weight(layer: keras.Layer, variable: keras.Variable) -> None:
    """Let `variable`, which may belong to another layer as well, be `layer.weight`."""
    if variable is layer.weight:
        return
    layer._untrack_variable(layer.weight)
    # A layer that is built refuses new weights.
    layer._tracker.unlock()
    layer.weight = variable
    layer._tracker.lock()


def put_in_place(layer: Layer, own: keras.Variable, other: keras.Variable) -> None:
    """Let `other`, which may belong to other layers as well, take the place of `own` in a built layer."""
    for part in all_layers(layer):
        for name, (_, store) in part._tracker.config.items():
            places = [i for i, x in enumerate(store) if x is own]
            if places:
                store[places[0]] = other
                # One goes out, the other comes in.
                part._tracker.stored_ids[name] ^= {id(own), id(other)}
                part._post_untrack_variable(own)
                part._post_track_variable(other)
        # Past `__setattr__`, which would track it a second time.
        vars(part).update({k: other for k, x in vars(part).items() if x is own})


def save_as(cls: type, registered: type) -> None:
    """Let Keras save objects of `cls` under the name of the class `registered`, which it loads them as."""
    if registered in object_registration.GLOBAL_CUSTOM_NAMES:
        object_registration.GLOBAL_CUSTOM_NAMES[cls] = object_registration.GLOBAL_CUSTOM_NAMES[registered]


def look_at_methods_again(model: keras.Model) -> None:
    """Let `model`, whose class has changed, see what its methods take."""
    model._compute_loss_has_training_arg = "training" in inspect.signature(model.compute_loss).parameters


def copy_of_metric(metric: keras.metrics.Metric) -> Any:
    """A copy of `metric` as it is, with state of its own; functions, losses and layers stay the same."""
    originals = [metric]
    # The list grows while it is gone through: metrics may be inside of metrics.
    for x in originals:
        originals += [y for y in x._metrics if y not in originals]
    values = [v for x in originals for v in vars(x).values()]
    shared = {id(v): v for v in values if callable(v) and not isinstance(v, keras.metrics.Metric)}
    return _copied_with(originals, shared)


_WRAPPED = ("build", "quantize")
"""Methods that Keras replaces on each layer when it is made."""


def _copied_with(originals: list[Any], known: dict[int, Any]) -> Any:
    """A copy of the first of `originals`, which are what it tracks; `known` holds what stands for what."""
    memo = {id(module): module for module in sys.modules.values()} | known
    # All of them, still empty, before the first is filled: they refer to each other.
    memo |= {id(x): type(x).__new__(type(x)) for x in originals}  # pyright: ignore[reportCallIssue]
    with tracking.DotNotTrackScope():  # what is tracked is copied, too
        for x in originals:
            # Keras wraps some methods of each layer in a function that knows the layer.
            own = {k for k in vars(memo[id(x)]) if k in _WRAPPED}
            values = {k: copy.deepcopy(v, memo) for k, v in vars(x).items() if k not in own}
            memo[id(x)].__dict__.update(values)
    for x in originals:
        # Numbers were copied as they are: these are the `id`s of what the originals track.
        tracker = memo[id(x)]._tracker
        tracker.stored_ids = {name: set(map(id, store)) for name, (_, store) in tracker.config.items()}
    return memo[id(originals[0])]


def compile_arguments(model: keras.Model) -> dict[str, Any] | None:
    """The arguments of `compile`, as they were given; None if the model has a `compile` of its own."""
    if type(model).compile is not keras.Model.compile:
        return None
    return model._compile_config.config


def freeze_as_whole(model: keras.Model) -> None:
    """Let a model train nothing, and leave `trainable` of the layers inside as it is."""
    model._trainable = False


def uses_weight_decay(optimizer: keras.optimizers.Optimizer, variable: keras.Variable) -> bool:
    """Whether an optimizer would decay a variable; it is asked without remembering the answer."""
    name = "_exclude_from_weight_decay_cache"
    own: dict[str, Any] = optimizer.__dict__
    before = own.get(name, MISSING)

    def put_back() -> None:
        if before is MISSING:
            own.pop(name, None)
        else:
            own[name] = before

    with undone(put_back):
        own[name] = {}
        return optimizer._use_weight_decay(variable)


def takes_for_no_matrix(optimizer: keras.optimizers.Optimizer, variable: keras.Variable) -> bool | None:
    """Whether Muon, which asks for the path, steps with Adam for a variable; None for other optimizers."""
    ask = getattr(optimizer, "_should_use_adamw", None)
    return None if ask is None else bool(ask(variable))


def learning_rate_schedule(optimizer: keras.optimizers.Optimizer) -> Any:
    """The learning rate of an optimizer if it is a schedule or another function of the step, or None."""
    rate = optimizer._learning_rate
    return None if is_variable(rate) else rate


def trained_by(optimizer: keras.optimizers.Optimizer) -> list[Any]:
    """The variables of the model that an optimizer was built for."""
    return list(optimizer._trainable_variables)


def optimizer_slots(optimizer: keras.optimizers.Optimizer) -> dict[str, list[Any]]:
    """The lists in which an optimizer keeps state for each variable that it trains, by attribute."""
    count = len(optimizer._trainable_variables)
    own = {id(optimizer._variables), id(optimizer._trainable_variables)}
    found = {k: v for k, v in vars(optimizer).items() if isinstance(v, list) and id(v) not in own}
    # Muon has None in the place of a variable that it keeps nothing for.
    return {k: v for k, v in found.items() if len(v) == count and all(x is None or is_variable(x) for x in v)}


@contextmanager
def output_spec_is(layer: keras.Layer, spec: object) -> Iterator[None]:
    """Let `layer` answer `spec` when Keras asks it in this thread what its results are."""
    name, thread, original = "compute_output_spec", threading.get_ident(), layer.compute_output_spec
    before = vars(layer).get(name, MISSING)

    def stand_in(*args: object, **kwargs: object) -> Any:
        return spec if threading.get_ident() == thread else original(*args, **kwargs)

    def put_back() -> None:
        if before is not MISSING:
            layer.__dict__[name] = before
        else:
            layer.__dict__.pop(name, None)

    with undone(put_back):
        # Past Keras's own `__setattr__`, which sees to what a layer tracks.
        object.__setattr__(layer, name, stand_in)
        yield

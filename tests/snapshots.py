"""Everything that preparing a model must leave as it was, written down to be compared."""

import random
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state

CALL_CONTEXT = "current_call_ctx"


def layers_of(model: keras.Layer) -> list[keras.Layer]:
    """A model and every layer below it that Keras tracks."""
    return list(model._flatten_layers())


def bits(variable: keras.Variable) -> bytes:
    """The value of a variable, to the bit."""
    return np.asarray(keras.ops.convert_to_numpy(variable.value)).tobytes()


def snapshot_of_model(model: keras.Layer, *untracked: keras.Layer) -> dict[str, Any]:
    """What Keras and the user's code hold in a model: equal snapshots, nothing happened to it.

    Args:
        model: The model.
        untracked: Layers that Keras does not find from the model.

    Returns:
        By a readable key: bits and trainability of each variable (seeds are variables), counts of
        nodes, losses, and the identity of every attribute of every layer, items of containers too.
    """
    found: dict[str, Any] = {}
    layers = [x for root in (model, *untracked) for x in layers_of(root)]
    for i, layer in enumerate(layers):
        where = f"{i} {layer.name}"
        found[f"{where}: built"] = layer.built
        found[f"{where}: called"] = layer._called
        found[f"{where}: inbound nodes"] = len(layer._inbound_nodes)
        found[f"{where}: outbound nodes"] = len(layer._outbound_nodes)
        found[f"{where}: losses"] = [id(x) for x in layer._losses]
        for name, value in vars(layer).items():
            # Cells of Keras reset a dropout mask that they have not made yet: None is as good as nothing.
            if value is not None:
                found[f"{where}: attribute {name}"] = _identity(value)
    for variable in {id(v): v for x in layers for v in x.variables}.values():
        found[f"variable {variable.path} {id(variable)}"] = bits(variable), variable.trainable
    return found


def _identity(value: Any) -> Any:
    """The object, and the objects in it if it is a container."""
    if isinstance(value, dict):
        return id(value), [(str(k), id(v)) for k, v in value.items()]
    if isinstance(value, list | tuple | set):
        return id(value), [id(v) for v in value]
    return value if isinstance(value, bool | int | float | str | None) else id(value)


def snapshot_of_process() -> dict[str, Any]:
    """Global state that user code can see: random states, counters of names, the call context."""
    python, numpy_state = random.getstate(), np.random.get_state()
    seed = global_state.get_global_attribute("global_seed_generator")
    return {
        "backend random": _backend_random_state(),
        "python random": python,
        "numpy random": (numpy_state[0], numpy_state[1].tobytes(), numpy_state[2:]),
        "keras seed": None if seed is None else (id(seed), bits(seed.state)),
        "names": dict(global_state.get_global_attribute("object_name_uids") or {}),
        "call context": global_state.get_global_attribute(CALL_CONTEXT),
        "operators": {n: id(vars(keras.Layer)[n]) for n in ("__call__", "_maybe_build")},
    }


def _backend_random_state() -> bytes:
    """The random state of the backend; only PyTorch has one."""
    if keras.backend.backend() != "torch":
        return b""
    import torch

    return torch.random.get_rng_state().numpy().tobytes()


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What two snapshots differ in, one line each."""
    missing = object()
    return [
        f"{key}: {before.get(key, 'absent')!r} became {after.get(key, 'absent')!r}"
        for key in sorted({*before, *after})
        if before.get(key, missing) != after.get(key, missing)
    ]

"""Whether Keras alone gives back what a file says of an operation or layer.

| private name | relied on for | since |
|---|---|---|
| the config of an object: `module`, `class_name`, `registered_name` | what a file names | 3.0 |
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from kerasfx.keras_api.internals import call_that_made

OF_PYTHON = ("builtins", None, "")


def why_lost(operation: keras.Operation) -> str:
    """Why a file does not give an operation back where Keras is alone; "" if it does."""
    try:
        config = keras.saving.serialize_keras_object(operation)
        needed = next(needed_besides(config), "")
        if needed:
            return f"a file of it names {needed}"
        keras.saving.deserialize_keras_object(config, safe_mode=True)
    # Of many kinds: what a constructor says, or what Keras does to an argument that is no plain value.
    except Exception as error:
        return " ".join(str(error).split())[:120] or type(error).__name__
    return ""


def needed_in(model: keras.Model) -> list[str]:
    """What a file of a Functional model names that Keras alone does not have."""
    return list(needed_besides(keras.saving.serialize_keras_object(model)))


def needed_besides(config: object) -> Iterator[str]:
    """What a config names that Keras alone does not have."""
    if isinstance(config, dict):
        if "class_name" in config and "config" in config and not _is_of_keras(config):
            yield str(config.get("registered_name") or config["class_name"])
        for x in config.values():
            yield from needed_besides(x)
    elif isinstance(config, (list, tuple)):
        for x in config:
            yield from needed_besides(x)


def _is_of_keras(config: dict[str, Any]) -> bool:
    name = str(config["class_name"])
    if name.startswith("__") and name.endswith("__"):
        # What Python has: tuples, arrays, slices, bytes; and code, which is nobody's.
        return name != "__lambda__"
    module = config.get("module")
    is_known = module in OF_PYTHON or str(module).partition(".")[0] == "keras"
    return is_known and ">" not in str(config.get("registered_name") or "")


def longest_chain(outputs: list[Any]) -> int:
    """How many calls follow one another behind symbolic tensors, at most: Keras walks them by recursion."""
    depths: dict[int, int] = {}
    waiting = [call_that_made(x) for x in outputs]
    while waiting:
        before = [call_that_made(x) for x in waiting[-1].inputs]
        missing = [call for call in before if id(call.node) not in depths]
        if missing:
            waiting += missing
        else:
            depths[id(waiting.pop().node)] = 1 + max((depths[id(call.node)] for call in before), default=0)
    return max(depths.values(), default=0)

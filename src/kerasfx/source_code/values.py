"""Values of configs as the Python that a person would write."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from kerasfx.keras_api import internals
from kerasfx.keras_api.arrays import to_numpy
from kerasfx.source_code.layout import Brackets, Expression, Text, call

MOST_NUMBERS = 1_000
"""How many numbers of an array stand in code."""

SHORT = {
    "keras.initializers": keras.initializers.get,
    "keras.regularizers": keras.regularizers.get,
    "keras.constraints": keras.constraints.get,
}
"""Where a word stands for an object with its usual arguments, and who reads it."""


class CannotBeWrittenError(ValueError):
    """Code cannot say this; the message says what."""


def word(x: str) -> Text:
    """A string, between double quotes where that needs no more escapes."""
    return Text(repr(x) if '"' in x and "'" not in x else json.dumps(x, ensure_ascii=False))


def sequence(items: list[Any] | tuple[Any, ...], write: Callable[[Any], Expression]) -> Brackets:
    """A list or a tuple."""
    pair = "[]" if isinstance(items, list) else "()"
    return Brackets(Text(""), tuple(("", write(x)) for x in items), pair)


def mapping(items: dict[Any, Any], write: Callable[[Any], Expression]) -> Brackets:
    """A dict."""
    return Brackets(Text(""), tuple((f"{literal(k)}: ", write(x)) for k, x in items.items()), "{}")


def literal(x: Any) -> Expression:
    """A number, a word, an array or a structure of them.

    Raises:
        CannotBeWrittenError: It is something else.
    """
    if isinstance(x, str):
        return word(x)
    if x is None or isinstance(x, bool) or type(x) is int:
        return Text(repr(x))
    if type(x) is float:
        return Text(repr(x)) if math.isfinite(x) else call("float", word(str(x)))
    if x is Ellipsis:
        return Text("...")
    if type(x) is complex:
        return call("complex", literal(x.real), literal(x.imag))
    if isinstance(x, (list, tuple)):
        return sequence(x, literal)
    if isinstance(x, dict):
        return mapping(x, literal)
    if isinstance(x, slice):
        return slice_of(x, literal)
    if isinstance(x, bytes):
        return Text(repr(x))
    if isinstance(x, (np.ndarray, np.generic)):
        return _array(x)
    if keras.ops.is_tensor(x):
        return _tensor(x)
    raise CannotBeWrittenError(f"a value of type {type(x).__name__}")


def slice_of(x: slice, write: Callable[[Any], Expression]) -> Expression:
    """A slice."""
    parts = (x.start, x.stop, x.step) if x.step is not None else (x.start, x.stop)
    return call("slice", *map(write, parts if parts[0] is not None or len(parts) > 2 else parts[1:]))


def _array(x: np.ndarray | np.generic) -> Expression:
    if x.dtype.kind not in "biuf":
        raise CannotBeWrittenError(f"an array of {x.dtype}")
    if isinstance(x, np.generic):
        return call(f"np.{x.dtype}", literal(x.item()))
    return call("np.array", numbers(x), dtype=word(str(x.dtype)))


def _tensor(x: Any) -> Expression:
    dtype = keras.backend.standardize_dtype(x.dtype)
    return call("keras.ops.convert_to_tensor", numbers(x), dtype=word(dtype))


def numbers(x: Any) -> Expression:
    """The numbers of an array or a tensor.

    Raises:
        CannotBeWrittenError: They are too many.
    """
    found = to_numpy(x)
    if found.size > MOST_NUMBERS:
        raise CannotBeWrittenError(f"an array of {found.size} numbers (code has at most {MOST_NUMBERS})")
    return literal(found.tolist())


def is_same(a: Any, b: Any) -> bool:
    """Whether two parts of configs are the same: times 1 and times 1.0 give different dtypes."""
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(is_same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(is_same(a[k], b[k]) for k in a)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return False
    if isinstance(a, (bool, int, float)) and isinstance(b, (bool, int, float)):
        return type(a) is type(b) and (a == b or (a != a and b != b))
    return a is b or bool(a == b)


def is_serialized(x: object) -> bool:
    """Whether a part of a config stands for an object of Keras."""
    return isinstance(x, dict) and {"class_name", "config"} <= x.keys()


def class_of(serialized: dict[str, Any]) -> type:
    """The class of a serialized object.

    Raises:
        CannotBeWrittenError: No module has it under a name that code could import.
    """
    module, name = serialized.get("module") or "", serialized["class_name"]
    if module == "builtins":
        raise CannotBeWrittenError(f"a function of the user's, {serialized['config']!r}")
    found: Any = _imported(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if isinstance(found, type):
        return found
    raise CannotBeWrittenError(f"{module or '(no module)'}.{name} cannot be imported")


def _imported(module: str) -> Any:
    if module in ("", "__main__"):
        raise CannotBeWrittenError(
            f"a class of {module or 'no module'} cannot be imported; put it into a file"
        )
    try:
        return importlib.import_module(module)
    except ImportError:
        raise CannotBeWrittenError(f"the module {module} cannot be imported") from None


def named(cls: type) -> str:
    """How code names a class, with its module.

    Raises:
        CannotBeWrittenError: Its module does not have it under its own name.
    """
    module, name = internals.module_of(cls), cls.__qualname__
    for public in PUBLIC:
        if module.startswith("keras.") and vars(public).get(name) is cls:
            return f"{public.__name__.replace('._tf_keras', '')}.{name}"
    if module == "kerasfx.runtime.layers":
        return f"kerasfx.layers.{name}"
    if "<locals>" in name or getattr(_imported(module), name.partition(".")[0], None) is None:
        raise CannotBeWrittenError(f"{name} is made inside of a function, and cannot be imported")
    return f"{module}.{name}"


PUBLIC = (
    *(keras.layers, keras.initializers, keras.regularizers, keras.constraints, keras.dtype_policies),
    *(keras.metrics, keras.losses, keras.quantizers, keras.random),
)
"""The modules that have the classes of Keras by their names."""


def shortened(serialized: dict[str, Any]) -> Expression | None:
    """The word for an initializer, regularizer or constraint with its usual arguments, or None."""
    read = SHORT.get(serialized.get("module") or "")
    if read is None:
        return None
    # As Keras names them: "GlorotUniform" is "glorot_uniform", and "L2" is "l2".
    name = "".join(f"_{c.lower()}" if c.isupper() else c for c in serialized["class_name"]).strip("_")
    for wish in (name, name.replace("_", ""), serialized["class_name"]):
        try:
            found: Any = read(wish)
        # No word of theirs, or whatever a class raises that has to be given something: no `Constant()`.
        except Exception:
            continue
        is_alike = type(found).__name__ == serialized["class_name"]
        if is_alike and is_same(found.get_config(), serialized["config"]):
            return word(wish)
    return None


def policy(serialized: dict[str, Any]) -> Expression | None:
    """The word for a dtype policy, or None where no word is enough."""
    if serialized["class_name"] != "DTypePolicy" or serialized.get("module") != "keras":
        return None
    return word(serialized["config"]["name"])

"""The JSON in configs of layers, and the arguments of ops that it stands for (`tracing/encoding.py`)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import ml_dtypes
import numpy as np

from kerasfx.ir.dims import OPERATORS
from kerasfx.ir.structure import leaves_of
from kerasfx.keras_api import internals
from kerasfx.keras_api.internals import standardize_dtype
from kerasfx.runtime import safety


class NotEncodableError(TypeError):
    """An argument is no number, string, array, slice or structure of them."""


def encode_structure(structure: object, leaf: Callable[[Any], Any] = lambda x: x) -> Any:
    """A structure as JSON that tells tuples from lists; `leaf` turns its leaves into JSON."""
    if isinstance(structure, tuple):
        return {"$tuple": [encode_structure(s, leaf) for s in structure]}
    if isinstance(structure, list):
        return [encode_structure(s, leaf) for s in structure]
    if isinstance(structure, dict):
        return {"$dict": [[k, encode_structure(s, leaf)] for k, s in structure.items()]}
    return leaf(structure)


def decode_structure(x: object, leaf: Callable[[Any], Any] = lambda x: x) -> Any:
    """The structure that `encode_structure` turned into `x`."""
    if isinstance(x, list):
        return [decode_structure(s, leaf) for s in x]
    if isinstance(x, dict) and "$tuple" in x:
        return tuple(decode_structure(s, leaf) for s in x["$tuple"])
    if isinstance(x, dict) and "$dict" in x:
        return {k: decode_structure(s, leaf) for k, s in x["$dict"]}
    return leaf(x)


def encode_plain(x: Any) -> Any:
    """A number, word, array, dtype or the like as JSON.

    Raises:
        NotEncodableError: It is none.
    """
    if x is Ellipsis:
        return {"$ellipsis": True}
    if x is None or isinstance(x, (bool, str)) or type(x) is int:
        return x
    # A float of NumPy is a `float` as well, and has a dtype to keep.
    if type(x) is float:
        return x if math.isfinite(x) else {"$float": str(x)}
    if type(x) is complex:
        return {"$complex": [encode_plain(x.real), encode_plain(x.imag)]}
    if isinstance(x, (np.ndarray, np.generic)):
        exact = np.asarray(x)
        # Floats of `ml_dtypes` are of kind V. In double all are exact, and JSON can hold them.
        wide = exact.astype("float64") if exact.dtype.kind in "fV" else exact
        items = [encode_plain(v) for v in wide.reshape(-1).tolist()]
        key = "$array" if isinstance(x, np.ndarray) else "$scalar"
        return {key: items, "shape": list(exact.shape), "dtype": str(exact.dtype)}
    # A device is one of this machine: the file says that it is the one of Keras.
    if _is_torch(x):
        return {"$torch": [type(x).__name__, "keras" if type(x).__name__ == "device" else str(x)]}
    try:
        return standardize_dtype(x)
    except (ValueError, TypeError, AttributeError):
        raise NotEncodableError(f"{x!r} of type {type(x).__name__}") from None


def decode(
    x: object,
    tensors: list[Any],
    size_of: Callable[[Any, int], Any],
    resolve: Callable[[str], Callable[..., Any]] | None = None,
) -> Any:
    """Turn `encode`'s JSON back into arguments.

    Args:
        x: The JSON, of which `safety.require_arguments` knows that `encode` may have written it.
        tensors: The tensors by slot.
        size_of: `size_of(tensor, axis)` is a size at run time.
        resolve: The function of a name, for the calls of a body.
    """

    def part(v: object) -> Any:
        return decode(v, tensors, size_of, resolve)

    if isinstance(x, list):
        return [part(v) for v in x]
    if not isinstance(x, dict):
        return x
    if "$tensor" in x:
        return safety.tensor_at(x["$tensor"], tensors)
    if "$dim" in x:
        return _decode_dim(x["$dim"], tensors, size_of)
    if "$body" in x:
        assert resolve is not None
        return _decode_body(x["$body"], tensors, size_of, resolve)
    if "$tuple" in x:
        return tuple(part(v) for v in x["$tuple"])
    if "$dict" in x:
        return {k: part(v) for k, v in x["$dict"]}
    if "$slice" in x:
        return slice(*(part(v) for v in x["$slice"]))
    return _decode_leaf(x)


def _decode_body(
    x: dict[str, Any],
    tensors: list[Any],
    size_of: Callable[[Any, int], Any],
    resolve: Callable[[str], Callable[..., Any]],
) -> Callable[..., Any]:
    captured = [safety.tensor_at(i, tensors) for i in x["captured"]]
    calls = [(resolve(name), arguments) for name, arguments in x["calls"]]

    def body(*args: object) -> Any:
        # The slots of a body: its arguments, what it captures, then each result in the order of the calls.
        known = [*(a for a in keras.tree.flatten(args) if a is not None), *captured]
        for function, arguments in calls:
            call_args, call_kwargs = decode(arguments, known, size_of, resolve)
            known += [r for r in leaves_of(function(*call_args, **call_kwargs)) if r is not None]
        return decode(x["result"], known, size_of, resolve)

    return body


def _decode_leaf(x: dict[str, Any]) -> Any:
    if "$ellipsis" in x:
        return Ellipsis
    if "$float" in x:
        return float(x["$float"])
    if "$torch" in x:
        return _decode_torch(*x["$torch"])
    if "$complex" in x:
        return complex(*map(_decode_item, x["$complex"]))
    items = x.get("$array", x.get("$scalar"))
    values = [_decode_item(v) for v in items or []]
    array = np.array(values, _dtype(x["dtype"])).reshape(x["shape"])
    # `[()]` takes the scalar out of an array without axes.
    return array if "$array" in x else array[()]


TORCH_TYPES = ("dtype", "device", "memory_format", "layout")


def _is_torch(x: object) -> bool:
    return type(x).__module__ == "torch" and type(x).__name__ in TORCH_TYPES


def without_torch(x: object) -> Any:
    """A dtype of PyTorch by its name, which every backend knows; anything else as it is."""
    return standardize_dtype(x) if _is_torch(x) and type(x).__name__ == "dtype" else x


def _decode_torch(kind: str, name: str) -> Any:
    """A constant of PyTorch; the device is the one that Keras uses."""
    import torch

    if kind == "device":
        return internals.torch_device()
    found = vars(torch).get(name.removeprefix("torch."))
    is_known = kind in TORCH_TYPES and type(found) is getattr(torch, kind)
    safety.require(is_known, f"{name} is no {kind} of PyTorch.")
    return found


def size_of(tensor: object, axis: int) -> Any:
    """A size of a tensor at run time."""
    return keras.ops.shape(tensor)[axis]  # pyright: ignore[reportOptionalSubscript]


def _decode_item(x: object) -> Any:
    return _decode_leaf(x) if isinstance(x, dict) else x


def _dtype(name: str) -> Any:
    if name == "bfloat16" or name.startswith("float8"):
        return getattr(ml_dtypes, name)
    return name


def _decode_dim(x: object, tensors: list[Any], size_of: Callable[[Any, int], Any]) -> Any:
    number = _computed(x, tensors, size_of)
    if not _is_float_tensor(number):
        return number
    # Python's floats take the precision of the tensors that they meet.
    dtypes = [standardize_dtype(t.dtype) for t in tensors if hasattr(t, "dtype")]
    return keras.ops.cast(number, next((d for d in dtypes if "float" in d), keras.config.floatx()))


def _computed(x: object, tensors: list[Any], size_of: Callable[[Any, int], Any]) -> Any:
    if not isinstance(x, list):
        return x
    op, *args = x
    if op == "axis":
        return size_of(safety.tensor_at(args[0], tensors), args[1])
    return _applied(op, [_computed(a, tensors, size_of) for a in args])


def _applied(op: str, args: list[Any]) -> Any:
    """An operator of Python, also on sizes that are tensors, as TensorFlow's are inside a graph."""
    if not any(hasattr(a, "dtype") for a in args):
        return safety.computed(op, args)
    ops = keras.ops
    if op in ("/", *ROUNDING) or any(type(a) is float or _is_float_tensor(a) for a in args):
        args = [ops.cast(a, "float64") if hasattr(a, "dtype") else float(a) for a in args]
    # int32, as sizes are in a graph of TensorFlow.
    if op in ROUNDING:
        return ops.cast(getattr(ops, op)(*args), "int32")
    return {"max": ops.maximum, "min": ops.minimum}.get(op, OPERATORS[op])(*args)


def _is_float_tensor(x: Any) -> bool:
    return hasattr(x, "dtype") and "float" in standardize_dtype(x.dtype)


ROUNDING = ("floor", "ceil", "round")

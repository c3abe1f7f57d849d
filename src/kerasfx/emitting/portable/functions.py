"""Calls of functions as operations of Keras: as they are, or in other words if it has no such one."""

from __future__ import annotations

import string
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasfx.emitting.making import static_shape
from kerasfx.emitting.portable.call import Call, Saying, asks_for_size, dtype_of, plain
from kerasfx.emitting.portable.rearranging import WITH_SIZES, get_item
from kerasfx.emitting.portable.sizes import CannotBeSaidError
from kerasfx.ir import Node, leaves_of, map_leaves
from kerasfx.runtime.functions import resolve


def say(call: Call) -> Any:
    """The results of the call on symbolic tensors.

    Raises:
        CannotBeSaidError: Keras has no operation for it, or refuses the call.
    """
    try:
        outputs = _said(call)
    except CannotBeSaidError:
        raise
    # Whatever Keras says to a call on symbolic tensors.
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        raise CannotBeSaidError(f"Keras refuses the call on symbolic tensors: {said}") from error
    taken = {id(call.tensor_of(v)) for v in call.node.inputs if not v.is_known}
    # What gives an argument back as it is would let it keep its mask.
    outputs = map_leaves(lambda x: ops.copy(x) if id(x) in taken else x, outputs)
    _require_like(call.node, [x for x in leaves_of(outputs) if x is not None])
    return outputs


def _said(call: Call) -> Any:
    name = str(call.node.target)
    if name in ALWAYS:
        return ALWAYS[name](call)
    if asks_for_size((call.node.args, call.node.kwargs)) and name in WITH_SIZES:
        return WITH_SIZES[name](call)
    if not name.startswith(("keras.ops.", "keras.activations.")):
        raise CannotBeSaidError(f"{name} is no function of keras.ops")
    args, kwargs = call.with_tensors((call.node.args, call.node.kwargs))
    # By the dtype that it meets: a number of Python takes that of the tensor.
    met = {dtype_of(x) for x in leaves_of((args, kwargs)) if isinstance(x, (keras.KerasTensor, np.ndarray))}
    args, kwargs = map_leaves(lambda x: plain(x, call.sizes, met), (args, kwargs))
    return resolve(name)(*args, **kwargs)


def _require_like(node: Node, tensors: list[Any]) -> None:
    """Refuse results that are not what the call gives in the graph."""
    wanted = [(static_shape(v), v.dtype) for v in node.results]
    found = [(tuple(x.shape), dtype_of(x)) for x in tensors]
    for (shape, dtype), (own, kind) in zip(wanted, found, strict=True):
        is_like = len(shape) == len(own) and all(
            None in (a, b) or a == b for a, b in zip(shape, own, strict=True)
        )
        # Of integers Keras foretells others than PyTorch gives.
        if not (is_like and (dtype == kind or ("int" in dtype and "int" in kind))):
            raise CannotBeSaidError(f"the operation gives {kind}{own} and not {dtype}{shape}")


def _convert_to_tensor(call: Call) -> Any:
    x = call.tensor("x")
    if not isinstance(x, (list, tuple)):
        return ops.cast(x, call.result.dtype)
    parts = [plain(part, call.sizes, set()) for part in x]
    return ops.cast(ops.stack([ops.cast(p, call.result.dtype) for p in parts]), call.result.dtype)


def _einsum(call: Call) -> Any:
    """`keras.ops.einsum`, of which the operation knows small letters alone."""
    said, *operands = call.with_tensors(call.node.args)
    letters = dict.fromkeys(c for c in said if c.isalpha())
    small = str.maketrans(dict(zip(letters, string.ascii_lowercase, strict=False)))
    if len(letters) > len(string.ascii_lowercase):
        raise CannotBeSaidError("the operation of Keras has 26 letters")
    return ops.einsum(said.translate(small), *operands, **call.with_tensors(call.node.kwargs))


def _gather(call: Call) -> Any:
    """`tf.gather`."""
    axis, batched = call.given["axis"], call.given["batch_dims"]
    x, indices = call.tensor("params"), call.tensor("indices")
    axis = batched if axis is None else axis
    if batched == 0:
        return ops.take(x, indices, axis=axis)
    if axis == batched == len(x.shape) - 1 == len(indices.shape) - 1:
        return ops.take_along_axis(x, indices, axis=axis)
    raise CannotBeSaidError("keras.ops has no tf.gather with batch_dims in front of other axes")


ALWAYS: dict[str, Saying] = {
    "keras.ops.get_item": get_item,
    "keras.ops.einsum": _einsum,
    "keras.ops.convert_to_tensor": _convert_to_tensor,
    "tf.gather": _gather,
}
"""How calls are said that no operation has."""

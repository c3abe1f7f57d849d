"""The tensor that user code sees while it is traced."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from kerasfx.errors import TensorAsPythonValueError, UnsupportedOperationError, describe
from kerasfx.ir import Value
from kerasfx.ir.dims import Dim
from kerasfx.keras_api import internals
from kerasfx.tracing.recorder import Args, Kwargs, Recorder
from kerasfx.tracing.where import source_line

BINARY = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "matmul": "matmul",
    "truediv": "true_divide",
    "floordiv": "floor_divide",
    "mod": "mod",
    "pow": "power",
}
LOGICAL = {"and": "and", "or": "or", "xor": "xor"}
COMPARISONS = {
    "eq": "equal",
    "ne": "not_equal",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
}
UNARY = {"neg": "negative", "abs": "absolute"}
OPERATOR_NAMES = [
    *(f"__{n}__" for n in (*BINARY, *LOGICAL, *COMPARISONS, *UNARY)),
    *(f"__r{n}__" for n in (*BINARY, *LOGICAL)),
    "__invert__",
    "__getitem__",
    "__round__",
    "__pos__",
]

_OF_VARIABLES = BINARY | {name: f"logical_{op}" for name, op in LOGICAL.items()}
OF_VARIABLES = {
    **{f"__{name}__": (op, False) for name, op in (_OF_VARIABLES | COMPARISONS).items()},
    **{f"__r{name}__": (op, True) for name, op in _OF_VARIABLES.items()},
}
"""The operators of a variable with another side: a function of `keras.ops`, and whether it comes second."""


class UnseenCallError(UnsupportedOperationError, TypeError):
    """A TypeError lets an operator of TensorFlow ask its other side."""


class TracedTensor(keras.KerasTensor):
    """A symbolic tensor that stands for a `Value` of the graph being traced.

    It may be changed in place: `first_value` is the Value that it stood for at first. A tensor `x[key]` knows
    the Value of `x` and the key, `taken_from`.

    Its shape holds a `Dim` in the place of each unknown size where user code looks, and None, as Keras
    expects, where Keras's own code looks.
    """

    __array_ufunc__ = None  # lets `array + tensor` reach `__radd__`

    def __init__(self, value: Value, session: Recorder):
        self.first_value = value
        self.taken_from: tuple[Any, Any] = (None, None)
        self.session = session
        static = tuple(None if isinstance(d, Dim) else d for d in value.shape)
        super().__init__(static, dtype=value.dtype, name=value.name)

    @property
    def value(self) -> Value:
        """The Value that the tensor stands for now: the last one given to it in place."""
        return self.session.effects.now(self.first_value)

    @classmethod
    def __torch_function__(
        cls, function: object, types: object, args: Args = (), kwargs: Kwargs | None = None
    ) -> Any:
        """Tells PyTorch to take such arguments; a mode of the trace sees the calls first."""
        return NotImplemented

    @property
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride]
        # `isinstance(x, tf.Tensor)` chooses the code that runs on real tensors. `type(x)` stays ours,
        # and so does what `isinstance` finds by it.
        session = vars(self)["session"]
        seen = session.dialect.tensor_class() if session.in_user_code else None
        return seen or TracedTensor

    @property
    def shape(self) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        if self.session.in_user_code:
            return self.session.dialect.shape(self.value.shape)
        return tuple(None if isinstance(d, Dim) else d for d in self.value.shape)

    @property
    def dtype(self) -> Any:
        return self.session.dialect.dtype(self.value.dtype) if self.session.in_user_code else self.value.dtype

    @dtype.setter
    def dtype(self, dtype: str) -> None:
        """Keras sets it in the constructor; the Value knows it."""

    @property
    def ndim(self) -> int:
        return len(self.value.shape)

    def __getattr__(self, name: str) -> Any:
        # Only reached for what a Keras tensor lacks: the attributes of the backend's own tensors.
        if name.startswith("_") or "session" not in vars(self) or not self.session.in_user_code:
            raise AttributeError(name)
        return self.session.dialect.attribute(self, name)

    def __hash__(self) -> int:
        # By identity, as of Keras's own: `==` is an op and says nothing about two objects.
        return id(self)

    def __pos__(self) -> TracedTensor:
        return self

    def __invert__(self) -> Any:
        op = "logical_not" if self.value.dtype == "bool" else "bitwise_not"
        return self.session.record_op(f"keras.ops.{op}", (self,), {})

    def __getitem__(self, key: object) -> Any:
        return self.session.record_op("keras.ops.get_item", (self, key), {})

    def __setitem__(self, key: object, value: object) -> None:
        if self.session.change_in_place(self, "set_item", (key, value)) is NotImplemented:
            raise TypeError("'KerasTensor' object does not support item assignment")

    def __round__(self, ndigits: int | None = None) -> Any:
        return self.session.record_op("keras.ops.round", (self,), {"decimals": ndigits or 0})

    def __divmod__(self, other: object) -> Any:
        # Tensors of JAX have it alone.
        if keras.backend.backend() != "jax":
            return NotImplemented
        return self // other, self % other

    def __rdivmod__(self, other: object) -> Any:
        if keras.backend.backend() != "jax":
            return NotImplemented
        return other // self, other % self

    def reshape(self, *newshape: Any) -> Any:
        shape = newshape[0] if len(newshape) == 1 and not isinstance(newshape[0], int) else newshape
        return self.session.record_op("keras.ops.reshape", (self, shape), {})

    def squeeze(self, axis: Any = None) -> Any:
        return self.session.record_op("keras.ops.squeeze", (self,), {"axis": axis})

    def __iter__(self) -> Iterator[Any]:
        # All at once: an unknown length is then refused in the line that iterates.
        return iter([self[i] for i in range(self.__len__())])

    def __len__(self) -> int:
        if self.value.shape and isinstance(self.value.shape[0], int):
            return self.value.shape[0]
        raise self.no_python_value(
            "len() or iteration",
            "its first dimension is not known yet",
            "use ops.map or ops.scan, or give the dimension a size in the inputs",
        )

    def __bool__(self) -> bool:
        raise self.no_python_value(
            "bool()",
            hint="use ops.where, ops.logical_and/or/not or ops.cond instead of if/and/or/not",
        )

    def __int__(self) -> int:
        raise self.no_python_value("int()")

    def __index__(self) -> int:
        raise self.no_python_value("int()")

    def __float__(self) -> float:
        raise self.no_python_value("float()")

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise self.no_array()

    def no_array(self) -> TensorAsPythonValueError:
        """The error for code that wants an array of its numbers."""
        return self.no_python_value(
            "a NumPy array", hint="use the function of the same name in keras.ops instead of NumPy's"
        )

    @property
    def __jax_array__(self) -> Any:
        # Keras raises a ValueError here; an AttributeError lets `array + tensor` reach `__radd__`.
        raise AttributeError("__jax_array__")

    def __tf_tensor__(self, dtype: object = None, name: object = None) -> Any:
        raise UnseenCallError(
            describe(
                "A function of TensorFlow that is not recorded is called on a tensor of the model.",
                where=self.session.locate(source_line()),
                why="it has a value only when the model runs",
                hint=f"call the function of keras.ops that does the same, or {self.session.keep_hint()}",
            )
        )

    def __tf_tracing_type__(self, context: object) -> Any:
        return self.__tf_tensor__()

    def no_python_value(
        self, wanted: str, why: str = "it has a value only when the model runs", hint: str = ""
    ) -> TensorAsPythonValueError:
        return TensorAsPythonValueError(
            describe(
                f"{wanted} of the tensor {self.value.name} ({self.value.dtype}, shape "
                f"{self.value.shown_shape}) is not known while tracing.",
                where=self.session.locate(source_line()),
                why=why,
                hint=hint
                or "compute with the tensor itself: ops.take for an index, ops.where for a choice; or "
                + self.session.keep_hint(),
            )
        )


def mask_value(tensor: TracedTensor) -> Value | None:
    """The mask that `tensor` carries."""
    mask = internals.mask_of(tensor)
    return mask.value if isinstance(mask, TracedTensor) else None


def _binary(op: str, reflected: bool) -> Callable[[TracedTensor, Any], Any]:
    def method(self: TracedTensor, other: object) -> Any:
        if not is_operand(other):
            return NotImplemented
        return _recorded(op, self, other, reflected)

    return method


def _logical(op: str, reflected: bool) -> Callable[[TracedTensor, Any], Any]:
    def method(self: TracedTensor, other: object) -> Any:
        if not is_operand(other):
            return NotImplemented
        name = f"logical_{op}" if self.value.dtype == "bool" else f"bitwise_{op}"
        return _recorded(name, self, other, reflected)

    return method


def _in_place(name: str) -> Callable[[TracedTensor, Any], Any]:
    return lambda self, other: self.session.change_in_place(self, name, (other,))


def _recorded(op: str, x: TracedTensor, other: object, reflected: bool) -> Any:
    other = x.session.dialect.operand(op, x.value.dtype, other)
    if isinstance(other, np.ndarray) and op != "equal" and keras.backend.backend() == "torch":
        return _recorded_as_numpy(op, x, other, reflected)
    args = (other, x) if reflected else (x, other)
    return x.session.operator(op, args)


def _recorded_as_numpy(op: str, x: TracedTensor, array: np.ndarray, reflected: bool) -> Any:
    """Record an operator in the dtypes of NumPy.

    A tensor of PyTorch knows no operator with an array but `==`. It leaves the others to NumPy, and takes
    truth values that come back for numbers.
    """
    # Of rank 2: `matmul` takes them, and NumPy 1 does not count the dtype of a lone number in full.
    ones = [np.ones((1, 1), dtype) for dtype in (x.value.dtype, array.dtype)]
    expected = getattr(np, op)(*ones).dtype
    is_truth = expected == "bool"
    common = np.result_type(*ones) if is_truth else np.result_type(*ones, expected)
    sides = keras.ops.cast(x, common.name), array.astype(common)
    args = sides[::-1] if reflected else sides
    result = x.session.record_op(f"keras.ops.{op}", args, {})
    return keras.ops.cast(result, "uint8" if is_truth else expected.name)


def _unary(op: str) -> Callable[[TracedTensor], Any]:
    return lambda self: self.session.record_op(f"keras.ops.{op}", (self,), {})


def is_operand(x: object) -> bool:
    """Whether an operator of a tensor takes `x` on its other side."""
    # Python then answers by itself, as for real tensors: `x == None` is False, `x + None` a TypeError.
    return not isinstance(x, (str, dict, type(None)))


for _python, _keras in BINARY.items():
    setattr(TracedTensor, f"__{_python}__", _binary(_keras, reflected=False))
    setattr(TracedTensor, f"__r{_python}__", _binary(_keras, reflected=True))
    setattr(TracedTensor, f"__i{_python}__", _in_place(_python))
for _python, _keras in LOGICAL.items():
    setattr(TracedTensor, f"__{_python}__", _logical(_keras, reflected=False))
    setattr(TracedTensor, f"__r{_python}__", _logical(_keras, reflected=True))
    setattr(TracedTensor, f"__i{_python}__", _in_place(_python))
for _python, _keras in COMPARISONS.items():
    setattr(TracedTensor, f"__{_python}__", _binary(_keras, reflected=False))
for _python, _keras in UNARY.items():
    setattr(TracedTensor, f"__{_python}__", _unary(_keras))

"""What a config may hold that comes from a file, which nobody has read.

The layers of this room ask here before they use anything of their config: a file names functions and
metrics by lists, holds data in the places of tensors, and no number, size or nesting without bounds.
`docs/security.md` is the user's page.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from itertools import chain
from typing import Any

import keras
import numpy as np

from kerasfx.errors import UnsafeFileError, describe
from kerasfx.ir.dims import COMPARISONS, OPERATORS
from kerasfx.keras_api import internals
from kerasfx.runtime.functions import resolve
from kerasfx.runtime.functions.torch_names import words

MAX_DEPTH = 100
"""How deep arguments and expressions may be nested."""

MAX_BITS = 1024
"""How long a whole number in a size expression may get."""

MAX_ELEMENTS = 2**36
"""How many elements a weight may have: more than any that exists, fewer than lets an address overflow."""

MAX_THRESHOLDS = 100_000
MAX_CLASSES = 4_096
"""Of a metric, whose state has a row for each, or the square of it."""

METRICS = words(
    """AUC Accuracy BinaryAccuracy BinaryCrossentropy BinaryIoU CategoricalAccuracy CategoricalCrossentropy
    CategoricalHinge ConcordanceCorrelation CosineSimilarity F1Score FBetaScore FalseNegatives FalsePositives
    Hinge IoU KLDivergence LogCoshError Mean MeanAbsoluteError MeanAbsolutePercentageError MeanIoU
    MeanSquaredError MeanSquaredLogarithmicError OneHotIoU OneHotMeanIoU PearsonCorrelation Poisson Precision
    PrecisionAtRecall R2Score Recall RecallAtPrecision RootMeanSquaredError SensitivityAtSpecificity
    SparseCategoricalAccuracy SparseCategoricalCrossentropy SparseTopKCategoricalAccuracy
    SpecificityAtSensitivity SquaredHinge Sum TopKCategoricalAccuracy TrueNegatives TruePositives"""
)
"""The metrics of Keras that compute nothing but what their class says: none that is given a function."""

_DTYPE = re.compile(
    r"bool|object|u?int(2|4|8|16|32|64)|b?float16|float(32|64)|float\d_\w{1,20}|complex(64|128)|<U\d{1,4}"
)
_ONE_OPERAND = ("neg", "abs", "floor", "ceil", "round")


def refused(what: str, why: str = "") -> UnsafeFileError:
    """The error for a config that no model of kerasfx has."""
    hint = "do not load this file unless you know who made it; prepare the model again to get a sound one"
    return UnsafeFileError(describe(what, why=why, hint=hint))


def require(holds: object, what: str, why: str = "") -> None:
    """Refuse a config that is not as `what` says, where `holds` is false.

    Raises:
        UnsafeFileError: It is false.
    """
    if not holds:
        raise refused(what, why)


def require_shallow(config: object) -> None:
    """Refuse a config that is nested too deep for whoever walks it, Keras to begin with.

    Raises:
        UnsafeFileError: It is.
    """
    # Level by level: recursion would fail on just what is to be refused.
    level = [config]
    for _ in range(2 * MAX_DEPTH):
        if not level:
            return
        level = [
            y
            for x in level
            for y in (x.values() if isinstance(x, dict) else x if isinstance(x, list) else ())
        ]
    _require_depth(2 * MAX_DEPTH)


# Arguments, as `kerasfx.tracing.encoding` encodes them


def require_arguments(x: object, depth: int = 0) -> None:
    """Refuse what `kerasfx.tracing.encoding.encode` does not write.

    Raises:
        UnsafeFileError: `x` holds something else, or is nested too deep.
    """
    _require_depth(depth)
    if isinstance(x, list):
        for item in x:
            require_arguments(item, depth + 1)
    elif isinstance(x, dict):
        _require_tagged(x, depth + 1)
    else:
        require(x is None or type(x) in (bool, int, float, str), f"{type(x).__name__} is no argument.")


def require_call(x: Any, depth: int = 0) -> None:
    """Refuse what is no pair of encoded arguments and named arguments.

    Raises:
        UnsafeFileError: It is none, or holds what is no argument.
    """
    require_arguments(x, depth)
    is_pair = isinstance(x, list) and len(x) == 2 and isinstance(x[1], dict) and "$dict" in x[1]
    is_pair = is_pair and (isinstance(x[0], list) or (isinstance(x[0], dict) and "$tuple" in x[0]))
    require(is_pair and all(isinstance(pair[0], str) for pair in x[1]["$dict"]), f"{_shown(x)} is no call.")


def _require_depth(depth: int) -> None:
    require(depth <= MAX_DEPTH, f"A config is nested more than {MAX_DEPTH} levels deep.")


def _require_tagged(x: dict[Any, Any], depth: int) -> None:
    tag = next((key for key in x if key in _FORMS), None)
    is_array = tag in ("$array", "$scalar") and x.keys() == {tag, "shape", "dtype"}
    require(tag and (is_array or len(x) == 1), f"{_shown(list(x))} is no form of an argument.")
    _FORMS[tag](x if is_array else x[tag], depth)


def _require_slot(x: object, depth: int = 0) -> None:
    require(type(x) is int and x >= 0, f"{_shown(x)} is no number of a tensor.")


def _require_list(x: object, depth: int) -> None:
    require(isinstance(x, list), f"{_shown(x)} is no list of arguments.")
    require_arguments(x, depth)


def _require_slice(x: Any, depth: int) -> None:
    _require_list(x, depth)
    require(len(x) == 3, f"{_shown(x)} is no slice.")


def _require_dict(x: object, depth: int) -> None:
    for pair in _items(x):
        _require_entry(pair)
        require_arguments(pair[1], depth + 1)


def _require_entry(pair: object) -> None:
    is_pair = isinstance(pair, list) and len(pair) == 2 and not isinstance(pair[0], (list, dict))
    require(is_pair, f"{_shown(pair)} is no entry of a dict.")


def _require_body(x: Any, depth: int) -> None:
    is_body = isinstance(x, dict) and x.keys() == {"captured", "calls", "result"}
    require(is_body, f"{_shown(x)} is no body of a loop or branch.")
    for slot in _items(x["captured"]):
        _require_slot(slot)
    for call in _items(x["calls"]):
        is_call = isinstance(call, list) and len(call) == 2 and isinstance(call[0], str)
        require(is_call, f"{_shown(call)} is no call of a function.")
        resolve(call[0])
        require_call(call[1], depth + 1)
    require_arguments(x["result"], depth + 1)


def _require_array(x: Any, depth: int) -> None:
    items, shape = x.get("$array", x.get("$scalar")), x["shape"]
    for item in _items(items):
        require(not isinstance(item, list), "An array holds lists.")
        require_arguments(item, depth + 1)
    require_shape(shape)
    require(math.prod(shape) == len(items), "An array has another size than its shape says.")
    is_dtype = isinstance(x["dtype"], str) and _DTYPE.fullmatch(x["dtype"])
    require(is_dtype, f"{_shown(x['dtype'])} is no dtype of an array.")


def _require_float(x: object, depth: int) -> None:
    require(x in ("inf", "-inf", "nan"), f"{_shown(x)} is no float.")


def _require_torch(x: object, depth: int) -> None:
    is_pair = isinstance(x, list) and [type(part) for part in x] == [str, str]
    require(is_pair, f"{_shown(x)} is no constant of PyTorch.")


def _require_dim(x: object, depth: int) -> None:
    _require_depth(depth)
    if not isinstance(x, list):
        require(type(x) in (int, float), f"{_shown(x)} is no size.")
        return
    op, *args = x or [None]
    if op == "axis":
        require(len(args) == 2 and type(args[1]) is int, f"{_shown(x)} is no axis of a tensor.")
        _require_slot(args[0])
        return
    require(isinstance(op, str) and op in OPERATORS, f"{_shown(op)} is no operator of a size expression.")
    require(len(args) == (1 if op in _ONE_OPERAND else 2), f"{op} has {len(args)} operands.")
    for arg in args:
        _require_dim(arg, depth + 1)


_FORMS: dict[Any, Callable[[Any, int], None]] = {
    "$tensor": _require_slot,
    "$dim": _require_dim,
    "$body": _require_body,
    "$tuple": _require_list,
    "$dict": _require_dict,
    "$slice": _require_slice,
    "$ellipsis": lambda x, depth: require(x is True, f"{_shown(x)} is no ellipsis."),
    "$float": _require_float,
    "$torch": _require_torch,
    "$complex": _require_list,
    "$array": _require_array,
    "$scalar": _require_array,
}


def require_structure(x: Any, leaf: Callable[[Any], None], depth: int = 0) -> None:
    """Refuse what `kerasfx.runtime.codec.encode_structure` does not write; `leaf` does so for the leaves.

    Raises:
        UnsafeFileError: `x` is something else, or nested too deep.
    """
    _require_depth(depth)
    tag = next((t for t in ("$tuple", "$dict") if isinstance(x, dict) and t in x), None)
    if tag is None and not isinstance(x, list):
        leaf(x)
        return
    tagged: Any = x
    for item in _items(tagged[tag] if tag else x):
        if tag == "$dict":
            _require_entry(item)
        require_structure(item[1] if tag == "$dict" else item, leaf, depth + 1)


def require_spec(x: Any) -> None:
    """Refuse what is neither None nor the shape and dtype of a result.

    Raises:
        UnsafeFileError: It is neither.
    """
    if x is not None:
        require(isinstance(x, dict) and x.keys() == {"shape", "dtype"}, f"{_shown(x)} is no result.")
        require_shape(x["shape"], may_be_free=True)
        require_dtype(x["dtype"])


def require_shape(shape: Any, may_be_free: bool = False) -> None:
    """Refuse what is no shape of a tensor.

    Raises:
        UnsafeFileError: It is no list of sizes, or has too many elements.
    """
    is_list = isinstance(shape, (list, tuple)) and len(shape) <= MAX_DEPTH
    require(is_list, f"{_shown(shape)} is no shape.")
    sizes: list[Any] = [n for n in shape if not (n is None and may_be_free)]
    require(all(type(n) is int and n >= 0 for n in sizes), f"{_shown(shape)} is no shape.")
    require(
        math.prod(sizes) <= MAX_ELEMENTS,
        f"A tensor of shape {_shown(shape)} has more elements than fit anywhere.",
    )


def require_dtype(name: object) -> None:
    """Refuse what is no name of a dtype that Keras knows.

    Raises:
        UnsafeFileError: It is none.
    """
    try:
        require(isinstance(name, str), f"{_shown(name)} is no dtype.")
        internals.standardize_dtype(name)
    except (ValueError, TypeError, AttributeError):
        raise refused(f"{_shown(name)} is no dtype.") from None


def _items(x: Any) -> list[Any]:
    require(isinstance(x, list), f"{_shown(x)} is no list.")
    return x


def _shown(x: object) -> str:
    """What was found, cut short: it may be as long as the file."""
    try:
        text = repr(x)
    except RecursionError:
        text = "something nested without end"
    return text if len(text) <= 60 else f"{text[:57]}..."


# Values


def require_data(inputs: list[Any]) -> None:
    """Refuse what is neither a tensor nor a number where a tensor is expected.

    Keras puts any object that it can make into the place of an argument of a layer: a string, a function, a
    layer that runs a saved program.

    Raises:
        UnsafeFileError: Something else is among `inputs`.
    """
    for x in inputs:
        is_data = x is None or isinstance(x, (int, float, complex, np.generic, np.ndarray))
        is_data = is_data or isinstance(x, keras.KerasTensor) or keras.ops.is_tensor(x)
        require(is_data or internals.is_variable(x), f"{type(x).__name__} stands in the place of a tensor.")


def tensor_at(slot: int, tensors: list[Any]) -> Any:
    """The tensor with that number.

    Raises:
        UnsafeFileError: There are not so many.
    """
    require(slot < len(tensors), f"Tensor {slot} is named, and there are {len(tensors)}.")
    return tensors[slot]


def computed(op: str, args: list[Any]) -> Any:
    """An operator of Python on numbers, whose result is a number of bounded length.

    Raises:
        UnsafeFileError: It would not be.
    """
    if any(type(a) not in (int, float) for a in args):
        return OPERATORS[op](*args)  # sizes that are neither known yet nor tensors
    # Before it is computed: the number itself would fill the memory.
    if op == "**" and type(args[0]) is int and type(args[1]) is int and args[1] > 0:
        require(args[0].bit_length() * args[1] <= MAX_BITS, "A size expression has a power without bounds.")
    try:
        result = OPERATORS[op](*args)
    except OverflowError:
        raise refused("A size expression gives a number without bounds.") from None
    except (ArithmeticError, ValueError) as error:  # by zero, or the whole part of what is no number
        raise refused(f"A size expression gives no number: {error}.") from None
    require(type(result) in (int, float), "A size expression gives no number.")
    is_bounded = type(result) is float or result.bit_length() <= MAX_BITS
    require(is_bounded, "A size expression gives a number without bounds.")
    return result


# What layers are made with


def metric_of(config: object) -> keras.metrics.Metric:
    """The metric of Keras that `config` describes, as `keras.saving.serialize_keras_object` does.

    It is made without Keras's own way from configs to objects, which would make any object inside.

    Raises:
        UnsafeFileError: It is none of `METRICS`, or is made with something besides numbers and words.
    """
    described = config if isinstance(config, dict) else {}
    name, arguments = str(described.get("class_name")), described.get("config")
    # Not every Keras has all of them.
    is_listed = name in METRICS and hasattr(keras.metrics, name)
    why = "only those metrics of Keras are updated that are made with numbers and words alone"
    require(is_listed, f"{_shown(name)} is no metric that a model may update.", why)
    if not isinstance(arguments, dict):
        raise refused(f"{_shown(arguments)} is no config of a metric.")
    for key, value in arguments.items():
        _require_setting(key, value)
    try:
        return getattr(keras.metrics, name).from_config(arguments)
    except (TypeError, ValueError) as error:
        raise refused(f"{name} cannot be made as the file says: {_shown(str(error))}") from error


def _require_setting(key: object, value: Any) -> None:
    values = value if isinstance(value, list) else [value]
    is_plain = all(x is None or type(x) in (bool, int, float, str) for x in values)
    require(is_plain and len(values) <= MAX_THRESHOLDS, f"A metric is made with {key}={_shown(value)}.")
    # The state of a metric has as many numbers as its config says.
    largest = MAX_CLASSES if key == "num_classes" else MAX_THRESHOLDS
    numbers = [x for x in values if type(x) in (int, float)]
    require(all(abs(x) <= largest for x in numbers), f"A metric is made with {key}={_shown(value)}.")


def require_metric_arguments(arguments: object) -> None:
    """Refuse arguments of `update_state` besides tensors and numbers.

    Raises:
        UnsafeFileError: A word, a function or the like is among them.
    """
    require_call(arguments)
    _require_no_words(arguments)


def _require_no_words(x: object) -> None:
    if isinstance(x, dict):
        require("$body" not in x and "$torch" not in x, "A metric is updated with a function.")
        # Arrays may be of strings, too.
        lists = (x.get(key, []) for key in ("$tuple", "$slice", "$array", "$scalar"))
        values = [*chain.from_iterable(lists), *(pair[1] for pair in x.get("$dict", []))]
    else:
        require(not isinstance(x, str), f"A metric is updated with {_shown(x)}.")
        values = x if isinstance(x, list) else []
    for value in values:
        _require_no_words(value)


def require_kind(x: object, base: type, config: object) -> Any:
    """`x`, which was made of `config`, if it is None, of the class `base` or the user's own function.

    Raises:
        UnsafeFileError: It is something else that Keras could make.
    """
    module = getattr(x, "__module__", None) or type(x).__module__
    # Keras has made `x` of a name: an object of its own must be of the right kind, a function of the
    # user's was registered by the user.
    is_users = callable(x) and not isinstance(x, keras.Operation) and not module.startswith("keras.")
    require(x is None or isinstance(x, base) or is_users, f"{_shown(config)} is no {base.__name__}.")
    return x


def require_condition(condition: Any) -> None:
    """Refuse what is no condition of `kerasfx.runtime.layers.CheckSizes`.

    Raises:
        UnsafeFileError: It is none.
    """
    keys = {"sides", "symbol", "answer", "text"}
    is_condition = isinstance(condition, dict) and condition.keys() == keys
    require(is_condition, f"{_shown(condition)} is no condition of sizes.")
    sides = _items(condition["sides"])
    require(len(sides) == 2, f"{_shown(sides)} are not two sizes.")
    for side in sides:
        require_arguments(side)
        is_size = type(side) in (int, float) or (isinstance(side, dict) and side.keys() <= {"$dim", "$float"})
        require(is_size, f"{_shown(side)} is no size.")
    symbol = condition["symbol"]
    require(isinstance(symbol, str) and symbol in COMPARISONS, f"{_shown(symbol)} is no comparison.")
    require(type(condition["answer"]) is bool, f"{_shown(condition['answer'])} is no answer.")
    require(isinstance(condition["text"], str), f"{_shown(condition['text'])} is no text.")


def require_modes(modes: object) -> None:
    """Refuse what is no list of values of `training`.

    Raises:
        UnsafeFileError: It is none.
    """
    is_list = all(mode is None or type(mode) is bool for mode in _items(modes))
    require(is_list, f"{_shown(modes)} are no modes of `training`.")

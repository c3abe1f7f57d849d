"""Arguments of ops as strict JSON and back, bit for bit."""

import cmath
import json
import math
from collections import namedtuple

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasfx.ir import Input, Value
from kerasfx.ir.dims import Dim
from kerasfx.runtime.codec import (
    NotEncodableError,
    decode,
    decode_structure,
    encode_structure,
)
from kerasfx.tracing.encoding import encode

pytestmark = pytest.mark.once

DTYPES = (
    "bool",
    "uint8",
    "uint64",
    "int8",
    "int32",
    "int64",
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
    ml_dtypes.bfloat16,
    ml_dtypes.float8_e4m3fn,
)


def through_json(x, tensors=()):
    """Encodes, writes strict JSON, reads it and decodes."""
    slots = {}
    text = json.dumps(encode(x, lambda v: slots.setdefault(v, len(slots))), allow_nan=False)
    return decode(json.loads(text), list(tensors), lambda tensor, axis: np.shape(tensor)[axis])


def alike(a, b):
    """Whether two structures are of equal types with equal bits (any NaN equals any)."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(alike(a[k], b[k]) for k in a)
    if isinstance(a, slice):
        return alike((a.start, a.stop, a.step), (b.start, b.stop, b.step))
    if isinstance(a, (np.ndarray, np.generic)):
        return a.dtype == b.dtype and a.shape == b.shape and _same_numbers(a, b)
    if isinstance(a, float):
        return (a == b and math.copysign(1, a) == math.copysign(1, b)) or (a != a and b != b)
    if isinstance(a, complex):
        return a == b or (cmath.isnan(a) and cmath.isnan(b))
    return a == b


def _same_numbers(a, b):
    a, b = (x.astype("float64") if x.dtype.kind == "V" else x for x in (a, b))
    return np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")


def array(bits, dtype, shape):
    """Any bits as an array of a dtype; a shape of None makes a scalar."""
    dtype = np.dtype(dtype)
    flat = np.frombuffer(bits, "uint8") % 2 == 1 if dtype.kind == "b" else np.frombuffer(bits, dtype)
    if shape is None:
        return flat[0]
    return flat[: math.prod(shape)].reshape(shape)


arrays = st.builds(
    array,
    st.binary(min_size=16 * 6, max_size=16 * 6),
    st.sampled_from(DTYPES),
    st.sampled_from([None, (), (0,), (3,), (2, 3), (1, 0, 2)]),
)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.just(Ellipsis),
    arrays,
)
ends = st.none() | st.integers(-9, 9)
structures = st.recursive(
    leaves | st.builds(slice, ends, ends, ends),
    lambda parts: (
        st.lists(parts, max_size=3)
        | st.lists(parts, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers(), parts, max_size=3)
    ),
    max_leaves=8,
)


@given(structures)
def test_round_trip(structure):
    assert alike(through_json(structure), structure)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, -0.0, 5e-324, 1e308])
@pytest.mark.parametrize("kind", [float, np.float32, np.float64, np.array, lambda v: [(v,)]])
def test_round_trip_of_extreme_numbers(value, kind):
    with np.errstate(over="ignore"):
        assert alike(through_json(kind(value)), kind(value))


@pytest.mark.parametrize(
    "value",
    [
        complex(math.inf, math.nan),
        complex(0, -math.inf),
        np.complex64(1 - 2j),
        np.complex128(1 - 2j),
        np.array([1j, complex(math.nan, 1)], "complex64"),
    ],
)
def test_round_trip_of_complex_numbers(value):
    assert alike(through_json(value), value)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_round_trip_of_every_dtype(dtype):
    values = np.array([[0, 1, 2], [1, 0, 1]]).astype(dtype)
    assert alike(through_json(values), values)
    assert alike(through_json(values[0, 1]), values[0, 1])
    assert alike(through_json(np.array(1).astype(dtype)), np.array(1).astype(dtype))


@pytest.mark.parametrize(
    ("dtype", "name"),
    [(np.float32, "float32"), (np.dtype("int8"), "int8"), (ml_dtypes.bfloat16, "bfloat16"), (bool, "bool")],
)
def test_a_dtype_becomes_its_name(dtype, name):
    assert through_json({"dtype": dtype}) == {"dtype": name}


def test_a_namedtuple_becomes_a_tuple():
    assert alike(through_json(namedtuple("Pair", "a b")(1, 2)), (1, 2))


def test_tensors_come_back_by_their_slots():
    a, b = (Value(n, (), "float32", Input(n)) for n in "ab")
    assert through_json(([a, b], {"x": a}), ["A", "B"]) == (["A", "B"], {"x": "A"})


def test_dims_are_computed_from_the_tensors():
    a, b = (Value(n, (), "float32", Input(n)) for n in "ab")
    rows, columns = Dim.axis(a, 0, (5, 7)), Dim.axis(b, 1, (64, 160))
    tensors = [np.zeros((2, 3)), np.zeros((4, 10))]
    assert through_json((a, b, rows * 2 - columns, slice(None, columns)), tensors)[2:] == (
        -6,
        slice(None, 10),
    )


@pytest.mark.parametrize("op", ["max", "min"])
def test_the_larger_and_the_smaller_size(op):
    a = Value("a", (), "float32", Input("a"))
    dim = Dim(op, (Dim.axis(a, 0, (5, 7)), 4), (5, 7))
    for size in (2, 6):
        expected = {"max": max, "min": min}[op](size, 4)
        assert through_json((a, dim), [np.zeros(size)])[1] == expected


class Rotary:
    def __repr__(self):
        return "<Rotary>"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Rotary(), "<Rotary> of type Rotary"),
        ({1}, r"\{1\} of type set"),
        (len, "<built-in function len> of type builtin_function_or_method"),
        (b"x", "b'x' of type bytes"),
        (np.array([Rotary()]), "<Rotary> of type Rotary"),
    ],
)
def test_anything_else_is_refused_by_name(value, message):
    for structure in (value, {"a": [value]}, slice(value)):
        with pytest.raises(NotEncodableError, match=message):
            encode(structure, lambda _: 0)


class TestStructure:
    STRUCTURE = ({"b": [1, None], "a": ()}, [2, (3,)])

    def test_round_trip(self):
        text = json.dumps(encode_structure(self.STRUCTURE))
        assert alike(decode_structure(json.loads(text)), self.STRUCTURE)

    def test_leaves_are_turned_both_ways(self):
        encoded = encode_structure(self.STRUCTURE, lambda x: {"is": x})
        assert decode_structure(encoded, lambda x: x["is"]) == self.STRUCTURE

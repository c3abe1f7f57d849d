"""Every twin computes the very bits of the function whose place it takes, whatever the arguments.

A call may have no twin, because an argument has no place in it or a result would have another dtype; the
function is recorded under its own name then. Where the trace would take the twin, all bits are compared.
"""

import inspect
import itertools

import keras
import ml_dtypes
import numpy as np
import pytest

if keras.backend.backend() != "tensorflow":
    pytest.skip("the twins of TensorFlow's functions", allow_module_level=True)

import tensorflow as tf

from kerasfx.runtime.functions import backend_functions, keras_functions
from kerasfx.tracing.native import dialect
from kerasfx.tracing.native.tensorflow_twins import TABLE
from kerasfx.tracing.native.twins import Twin

pytestmark = pytest.mark.any_keras

RNG = np.random.default_rng(0)
SHAPE = (2, 3, 4)
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 2.5, -2.5, np.inf, -np.inf, np.nan, 1e-30, 80.0, -80.0]


def numbers(shape=SHAPE, dtype="float32"):
    """Random numbers, negative ones among them where the dtype has any."""
    if dtype == "bool":
        return RNG.random(shape) < 0.5
    if dtype == "complex64":
        return (RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)).astype(dtype)
    if "int" in dtype:
        values = RNG.integers(1 if dtype == "uint8" else -7, 9, shape)
        return np.where(values == 0, 3, values).astype(dtype)
    return RNG.standard_normal(shape).astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)


def call(*args, **kwargs):
    """The arguments of a call."""
    return args, kwargs


FLOATS = ("float32", "float16", "bfloat16", "float64")
INTEGERS = ("int32", "int64", "uint8", "int8")
DTYPES = (*FLOATS, *INTEGERS, "bool", "complex64")
X = numbers()
MATRIX = numbers((2, 3, 3)) + 3 * np.eye(3, dtype="float32")
POSITIVE = np.matmul(MATRIX, np.swapaxes(MATRIX, 1, 2))
UNARY = [call(np.array(SPECIAL, "float32")), *(call(numbers(dtype=d)) for d in DTYPES)]
SHAPES = [
    ((2, 3, 4), (4,)),
    ((2, 3, 1), (3,)),
    ((1, 2, 4, 4), (2, 1, 1, 1)),
    ((2, 3), (1, 1, 3)),
    ((3,), (2, 3)),
]
BINARY = [
    *(call(numbers(dtype=d), numbers(dtype=d)) for d in DTYPES),
    *(call(numbers(a), numbers(b)) for a, b in SHAPES),
    *(call(numbers(b), numbers(a)) for a, b in SHAPES),
    *(call(numbers(dtype=d), 2) for d in DTYPES),
    *(call(3, numbers(dtype=d)) for d in DTYPES),
    *(call(a, b) for a, b in ((X, 0.5), (0.5, X), (X, np.float32(0.25)), (numbers(dtype="int32"), -2))),
    call(*np.array(list(itertools.product(SPECIAL, SPECIAL)), "float32").T),
]
REDUCTIONS = [
    *(call(numbers(dtype=d), **k) for d in DTYPES for k in ({}, {"axis": 1}, {"axis": -1, "keepdims": True})),
    *(call(X, axis=a, keepdims=k) for a in ([0, 2], (1,), [-1, 0], None, []) for k in (True, False)),
    call(X, 1, True),
    call(np.zeros((2, 0), "float32"), axis=0),
]
INDICES = np.array([[0, 2], [1, 0]], "int32")
CALLS = {
    "tf.matmul": [
        *(call(numbers((2, 3, 4), d), numbers((2, 4, 5), d)) for d in DTYPES),
        call(X, numbers((2, 4, 2)), transpose_b=False),
        call(X, numbers((2, 5, 4)), transpose_b=True),
    ],
    "tf.einsum": [
        *(call("bij,bkj->bik", numbers(dtype=d), numbers(dtype=d)) for d in ("float32", "float16", "int32")),
        call("...i->...", X),
        call("bij,jk->bik", X, numbers((4, 2)), optimize="greedy"),
    ],
    "tf.tensordot": [
        call(X, numbers((4, 5)), 1),
        call(X, numbers((4, 3, 2)), [[2, 1], [0, 1]]),
        call(X, X, axes=3),
    ],
    "tf.cumsum": [call(numbers(dtype=d), axis=a) for d in DTYPES for a in (0, 1, -1)]
    + [call(X), call(X, 1, True)],
    "tf.math.cumprod": [call(numbers(dtype=d), axis=a) for d in DTYPES for a in (0, -1)]
    + [call(X), call(X, 1, True)],
    "tf.argmax": [
        *(call(numbers(dtype=d), a, t) for d in DTYPES for a in (0, -1) for t in (tf.int32, tf.int64)),
        call(X),
        call(X, output_type=tf.int32),
        call(np.array([[1.0, np.nan, np.nan], [2.0, 2.0, 1.0]], "float32"), 1, tf.int32),
    ],
    "tf.cast": [
        call(numbers(dtype=a) * (3 if a != "bool" else 1), b)
        for a in DTYPES
        for b in (*DTYPES, tf.float32, np.int32)
    ],
    "tf.clip_by_value": [
        *(call(numbers(dtype=d), 1, 3) for d in (*FLOATS, *INTEGERS)),
        call(X, -0.5, 0.5),
        call(X, -np.ones(4, "float32"), 0.0),
        call(np.array(SPECIAL, "float32"), -1.0, 1.0),
    ],
    "tf.convert_to_tensor": [
        *UNARY,
        call(X, tf.float32),
        call([1, 2]),
        call(2.0),
        call([1.0, 2.0], "float16"),
    ],
    "tf.identity": UNARY,
    "tf.stop_gradient": UNARY,
    "tf.broadcast_to": [call(numbers((3, 1), d), [2, 3, 4]) for d in DTYPES],
    "tf.concat": [
        *(call([numbers(dtype=d), numbers(dtype=d)], a) for d in DTYPES for a in (0, 2, -1)),
        call([X], axis=1),
        call([X, numbers((2, 3, 1))], axis=-1),
    ],
    "tf.expand_dims": [call(X, a) for a in (0, 3, -1, -2)],
    "tf.squeeze": [call(numbers((1, 3, 1)), a) for a in (None, 0, -1, [0, 2], [])] + [call(numbers((1, 2)))],
    "tf.repeat": [
        call(X, 2),
        call(X, 3, axis=1),
        call(X, 2, -1),
        call(X, [1, 2, 0], axis=1),
        call(X, [2], axis=0),
    ],
    "tf.reshape": [call(X, s) for s in ([-1], (4, 6), [2, -1, 2], (24,), np.array([6, 4]))],
    "tf.reverse": [call(X, a) for a in ([0], [-1, 0], [])],
    "tf.roll": [call(X, 1, 0), call(X, -2, axis=-1), call(X, [1, 2], [0, 1])],
    "tf.stack": [call([X, X], a) for a in (0, 1, -1)]
    + [call([X, 2 * X]), call([1.0, 2.0]), call(X), call([1, 2], 0)],
    "tf.tile": [call(X, [1, 2, 3]), call(X, (2, 1, 1))],
    "tf.transpose": [
        call(X),
        call(X, [2, 0, 1]),
        call(X, perm=(0, -1, 1)),
        call(numbers(dtype="complex64"), [0, 2, 1]),
    ],
    "tf.unstack": [call(X), call(X, axis=1), call(X, 4, -1), call(X, num=2)],
    "tf.where": [
        call(X > 0),
        call(X > 0, X, -X),
        call(X > 0, 1, 0),
        call(X > 0, X, 0.0),
        call(X > 0, 1, 0.5),
        call(numbers((4,), "bool"), X, np.float32(2.0)),
        *(call(X > 0, numbers(dtype=d), numbers(dtype=d)) for d in DTYPES),
    ],
    "tf.gather": [
        *(call(numbers(dtype=d), INDICES) for d in DTYPES),
        *(call(X, INDICES, axis=a) for a in (0, 1, -1)),
        call(X, 1),
        call(X, [0, 1], batch_dims=1),
        call(X, [1, 0]),
        call(X, [[0], [1]], axis=1, batch_dims=1),
        call(np.arange(6.0, dtype="float32"), INDICES.astype("int64")),
    ],
    "tf.one_hot": [
        *(
            call(INDICES, 3, axis=a, dtype=t)
            for a in (None, 0, -1, 1)
            for t in (None, "float32", "int32", "bool")
        ),
        call(INDICES - 1, 2),
        call(INDICES.astype("int64"), depth=4),
        call(INDICES.astype("uint8"), 3),
        call(INDICES, 3, 2.0, 1.0),
        call(2, 3),
    ],
    "tf.eye": [
        call(3),
        call(2, 4),
        call(3, dtype=tf.int32),
        call(2, num_columns=3, dtype="float16"),
        call(2, batch_shape=[2]),
    ],
    "tf.fill": [call([2, 3], v) for v in (0.5, 2, True)]
    + [call((2,), X[0, 0, 0]), call([2], np.float16(1.0))],
    "tf.linspace": [
        call(0.0, 1.0, 5),
        call(-1.0, 2.0, num=7),
        call(1.0, 1.0, 1),
        call(X, 2 * X, 3, axis=1),
        call(0.0, 10.0, 33),
    ],
    "tf.ones": [call(s, *t) for s in ([2, 3], (4,), []) for t in ((), (tf.int32,), ("bool",), (tf.float16,))],
    "tf.ones_like": [
        *UNARY,
        call(X, tf.int32),
        call(X, dtype="bool"),
        call(numbers(dtype="int32"), dtype=tf.float32),
    ],
    "tf.range": [
        *(call(*a) for a in ((5,), (1, 5), (5, 1, -1), (0, 10, 3), (2.0,), (0.0, 1.0, 0.25), (0, 4.5))),
        call(start=0, limit=4, delta=1),
        call(4, dtype=tf.float32),
        call(0, 4, dtype="int64"),
        call(1, 6, 2, tf.float32),
    ],
    "tf.linalg.cholesky": [call(POSITIVE)],
    "tf.linalg.det": [call(MATRIX)],
    "tf.linalg.inv": [call(MATRIX), call(MATRIX, adjoint=True)],
    "tf.linalg.trace": [call(MATRIX), call(X), call(MATRIX[0])],
    "tf.nn.gelu": [*UNARY, call(X, True), call(X, approximate=False)],
    "tf.nn.leaky_relu": [*UNARY, call(X, 0.1), call(X, alpha=0.0)],
    "tf.nn.softmax": [*UNARY, *(call(X, a) for a in (0, 1, -1)), call(X, axis=-2)],
    "tf.nn.moments": [
        call(numbers(dtype=d), a, keepdims=k)
        for d in FLOATS
        for a in ([0], [0, 1], -1)
        for k in (True, False)
    ],
    "tf.nn.silu": [*UNARY, call(X, 1.5), call(X, beta=1.0)],
    "tf.math.top_k": [call(X), call(X, 2), call(X, k=3, sorted=False), call(numbers(dtype="int32"), 2)],
    "tf.nn.embedding_lookup": [
        call(X, INDICES - INDICES // 2),
        call([X], [0]),
        call(X, [1, 0], max_norm=1.0),
    ],
}
CALLS |= {
    "tf.argmin": CALLS["tf.argmax"],
    "tf.zeros": CALLS["tf.ones"],
    "tf.zeros_like": CALLS["tf.ones_like"],
    "tf.nn.log_softmax": CALLS["tf.nn.softmax"],
    "tf.compat.v1.nn.leaky_relu": CALLS["tf.nn.leaky_relu"],
}


def calls_of(name: str, twin: Twin):
    """The calls to compare; those of a function of one or two tensors are alike for all of them."""
    if name in CALLS:
        return CALLS[name]
    if {"axis", "keepdims"} <= set(twin.parameters):
        return REDUCTIONS
    return {1: UNARY, 2: BINARY}[len(twin.parameters)]


def tensors(structure):
    """Arrays as tensors, also in lists."""
    return keras.tree.map_structure(
        lambda x: tf.constant(x) if isinstance(x, np.ndarray) and x.ndim > 1 else x, structure
    )


def flat(result):
    """The tensors of a result as arrays."""
    return [np.asarray(x) for x in keras.tree.flatten(result)]


def is_known_to_fail(function, args, kwargs):
    """The results of a call, or None if the function refuses it."""
    try:
        return flat(function(*args, **kwargs))
    except Exception:
        return None


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal to the sign of zero; any NaN equals any other."""
    if a.dtype.kind in "fcV":
        a, b = (x.astype("complex128") for x in (a, b))
        parts = [(getattr(a, p), getattr(b, p)) for p in ("real", "imag")]
        return all(
            np.array_equal(m, n, equal_nan=True)
            and np.array_equal(np.signbit(m)[~np.isnan(m)], np.signbit(n)[~np.isnan(n)])
            for m, n in parts
        )
    return np.array_equal(a, b)


def replaced(name, args, kwargs):
    """The twin's results in the place of a call's, or None where the trace would not take them."""
    function = backend_functions.resolve(name)
    expected = is_known_to_fail(function, args, kwargs)
    said = TABLE.twins[name].call(function, args, kwargs) if expected is not None else None
    said = said and dialect().exact(said)
    results = said and is_known_to_fail(keras_functions.resolve(said.name), said.args, said.kwargs)
    if not results or len(results) != len(expected):
        return None
    if any((a.shape, a.dtype) != (b.shape, b.dtype) for a, b in zip(expected, results, strict=True)):
        return None
    return expected, results


@pytest.mark.parametrize("name", sorted(TABLE.twins))
def test_twin(name):
    """Bit by bit, on every call that the trace would say with the twin; there is one."""
    pairs = {}
    for number, (args, kwargs) in enumerate(calls_of(name, TABLE.twins[name])):
        pair = replaced(name, *tensors((args, kwargs)))
        if pair is not None:
            pairs[number] = pair
    assert pairs, "no call is said with the twin"
    unequal = [n for n, pair in pairs.items() if not all(map(same_bits, *pair))]
    shown = [calls_of(name, TABLE.twins[name])[n] for n in unequal[:3]]
    assert not unequal, f"{len(unequal)} of {len(pairs)} differ: {str(shown)[:600]}"


@pytest.mark.parametrize("name", sorted(TABLE.twins))
def test_line_of_the_table(name):
    """Its functions and all their parameters exist."""
    twin = TABLE.twins[name]
    own = inspect.signature(backend_functions.resolve(name)).parameters
    theirs = inspect.signature(keras_functions.resolve(twin.name)).parameters
    assert set(twin.parameters) <= set(own)
    assert {*twin.parameters.values(), *twin.added} <= set(theirs)
    assert twin.seen_in_result <= set(own)
    assert set(twin.instead_of_none) <= set(twin.parameters)


def test_a_function_has_one_twin():
    """No two lines of the table are about one function, unless they say the same."""
    canonical = {}
    for name, twin in TABLE.twins.items():
        assert canonical.setdefault(backend_functions.functions()[name][0], twin) == twin

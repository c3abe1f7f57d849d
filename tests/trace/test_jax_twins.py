"""Functions of JAX are said with `keras.ops` only where both compute the same numbers.

Every function with a twin is called on floats, integers, truth values, NaN and half precision, with odd
axes and options. Where the call of the twin would be recorded (results of the same shapes and dtypes),
the numbers have to be equal.
"""

import keras
import numpy as np
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("functions of JAX", allow_module_level=True)

import jax
import jax.numpy as jnp

from kerasfx.runtime.functions import backend_functions
from kerasfx.runtime.functions.keras_functions import resolve
from kerasfx.tracing.native import dialect
from kerasfx.tracing.native.jax import _with_signature
from kerasfx.tracing.native.jax_twins import TABLE

pytestmark = [pytest.mark.any_keras, pytest.mark.filterwarnings("ignore")]

F = jnp.asarray(np.random.default_rng(0).standard_normal((2, 3)) * 2, "float32")
I = jnp.asarray([[-3, 0, 5], [2, -1, 4]], "int32")  # noqa: E741
U = jnp.asarray([[200, 3, 9], [0, 1, 255]], "uint8")
B = F > 0
H = F.astype("bfloat16")
C = (F + 1j * F[::-1]).astype("complex64")
N = F.at[0, 0].set(jnp.nan).at[1, 1].set(jnp.inf)
POSITIVE = jnp.abs(F) + 0.1
SMALL = F / 10
SQUARE = F @ F.T
VECTOR = F[0]
INDICES = jnp.asarray([0, 2, 1, 2, -1, 7])


def call(*args, **kwargs):
    return args, kwargs


UNARY = [call(x) for x in (F, I, B, H, C, N, SMALL)]
PAIRS = [(F, F[::-1]), (F, I), (I, U), (I, I[::-1]), (H, F), (B, B[::-1]), (B, I), (F, VECTOR), (N, F)]
BINARY = [
    *(call(a, b) for a, b in PAIRS),
    *(call(x, number) for x, number in ((F, 2), (I, -1), (H, 2.5), (U, 2), (I, 2.5), (B, True))),
    *(call(number, x) for x, number in ((POSITIVE, 2.5), (I, 2))),
]
AXES = [
    *(call(x) for x in (F, I, B, H, N, C, U)),
    *(call(F, axis=axis) for axis in (0, -1, None, (0, 1), (-1,))),
    *(call(x, axis=1, keepdims=True) for x in (F, I, B, N)),
    *(
        call(F, **option)
        for option in ({"keepdims": True}, {"ddof": 1}, {"dtype": "int32"}, {"initial": 9.0})
    ),
]
ALONG = [
    *(call(x, **axis) for x in (F, I, B, N) for axis in ({}, {"axis": 0}, {"axis": -1})),
    call(F, axis=None),
    call(F, dtype="int32"),
    call(I, dtype=jnp.float16),
    call(F, descending=True),
]
LISTS = [*(call([a, a], **axis) for a in (F, I, B) for axis in ({}, {"axis": 1}, {"axis": -1})), call([F, I])]
WINDOW = [call(4), call(1)]
SIZES = [call((2, 3)), call(3), call((2, 3), dtype="int32"), call((2, 3), dtype=bool)]
QUANTILES = [
    *(call(F, 0.3, **o) for o in ({}, {"axis": 1}, {"axis": -1, "keepdims": True}, {"method": "nearest"})),
    call(F, jnp.asarray([0.2, 0.7]), axis=0),
]
DIAGONALS = [call(SQUARE), call(F, 1), call(F, -1), call(VECTOR), call(VECTOR, k=1), call(I)]
SPACES = [
    call(1.0, 2.0),
    call(1, 10, num=4),
    call(1.0, 2.0, num=5, endpoint=False),
    call(1, 9, num=4, dtype=int),
    call(POSITIVE, POSITIVE + 2, num=3, axis=-1),
]
PARTS = [call(jnp.zeros((4, 4, 4)) + VECTOR[0], 2), call(jnp.arange(64.0).reshape(4, 4, 4), [1, 3])]
PLAIN = [call(F), call(I), call(B)]

CALLS = {
    "all any mean sum prod max min amax amin ptp std var median argmax argmin logsumexp": AXES,
    "nanargmax nanargmin nanmax nanmean nanmedian nanmin nanprod nanstd nansum nanvar": AXES,
    "cumprod cumsum nancumprod nancumsum argsort sort count_nonzero": ALONG,
    "softmax log_softmax glu flip unstack": [*ALONG, call(jnp.zeros((2, 4)) + 1, axis=-1)],
    "concat concatenate stack hstack vstack dstack": LISTS,
    "bartlett blackman hamming hanning": WINDOW,
    "kaiser": [call(4, 5.0)],
    "ones zeros empty": SIZES,
    "ones_like zeros_like empty_like": [*PLAIN, call(F, dtype="int32")],
    "full": [call((2, 3), 1), call((2, 3), 1.5), call((2, 3), True), call((2, 3), 1.5, dtype="int32")],
    "full_like": [call(F, 2), call(I, 2.5), call(B, 1), call(I, 2.5, dtype="float32")],
    "eye tri": [call(3), call(3, 4), call(3, 4, k=1), call(3, 4, -1), call(3, dtype="int32")],
    "identity": [call(3), call(3, dtype="int32")],
    "arange": [call(3), call(2, 9, 2), call(0.0, 1.0, 0.25), call(5.0), call(3, dtype="float32")],
    "linspace logspace geomspace": SPACES,
    "quantile nanquantile percentile nanpercentile": QUANTILES,
    "diag diagflat tril triu": DIAGONALS,
    "diagonal trace": [call(SQUARE), call(F, 1), call(F, axis1=1, axis2=0), call(I, offset=-1)],
    "split array_split dsplit hsplit vsplit": PARTS,
    "allclose isclose": [
        call(F, F + 1e-7),
        call(N, N),
        call(N, N, equal_nan=True),
        call(F, F + 0.1, atol=0.2),
    ],
    "append": [call(F, F), call(F, I, axis=0), call(F, F, axis=-1)],
    "argpartition": [call(VECTOR, 1)],
    "array copy ravel ndim shape size nonzero fliplr flipud identity": PLAIN,
    "average": [call(F), call(I, axis=1), call(F, weights=POSITIVE), call(F, axis=1, weights=POSITIVE)],
    "bincount": [call(I[1] + 1), call(I[1] + 1, minlength=9), call(I[1] + 1, weights=VECTOR)],
    "broadcast_to": [call(VECTOR, (2, 3)), call(F, (4, 2, 3))],
    "clip": [
        call(F, -1, 1),
        call(I, 0, 2),
        call(F, max=1),
        call(F, 1, -1),
        call(N, 0.0, 1.0),
        call(I, 0.5, 2.5),
    ],
    "correlate": [
        call(VECTOR, VECTOR),
        call(VECTOR, VECTOR[:2], mode="same"),
        call(VECTOR, I[0], mode="full"),
    ],
    "cross": [call(F, F[::-1]), call(F, VECTOR), call(F, F, axis=-1), call(F[:, :2], F[::-1, :2])],
    "diff": [call(F), call(F, 2), call(I, axis=0), call(F, prepend=0.0)],
    "digitize": [call(F, jnp.sort(VECTOR)), call(F, jnp.sort(VECTOR), right=True)],
    "dot inner matmul outer vdot kron": [
        call(F, F.T),
        call(SQUARE, F),
        call(VECTOR, VECTOR),
        call(I, F),
        call(C, C),
    ],
    "einsum": [call("ij,kj->ik", F, F), call("ij->j", I), call("ij,ij", F, F), call("...j->...", F)],
    "expand_dims squeeze": [
        call(F, 0),
        call(F, (0, 2)),
        call(F[None]),
        call(F[None], axis=0),
        call(F, axis=-1),
    ],
    "histogram": [call(F), call(F, bins=4), call(F, bins=4, range=(-1, 1))],
    "isin": [call(I, jnp.asarray([0, 5])), call(I, jnp.asarray([0, 5]), invert=True)],
    "meshgrid": [call(VECTOR, I[0]), call(VECTOR, I[0], indexing="ij")],
    "moveaxis swapaxes": [call(F, 0, 1), call(F[None], 0, -1)],
    "nan_to_num": [call(N), call(N, nan=1.0, posinf=9.0), call(I)],
    "pad": [
        call(F, 1),
        call(F, (1, 2)),
        call(F, ((0, 1), (1, 0))),
        call(F, 1, mode="reflect"),
        call(F, 1, "edge"),
    ],
    "transpose permute_dims": [call(F), call(F, (1, 0)), call(F[None], (2, 0, 1)), call(F, axes=(-1, 0))],
    "repeat": [call(F, 2), call(F, 2, axis=1), call(F, [1, 2], axis=0), call(F, jnp.asarray([1, 2]), axis=0)],
    "reshape": [call(F, (3, 2)), call(F, -1), call(F, (-1, 1)), call(F, (3, 2), order="F")],
    "roll": [call(F, 1), call(F, 1, axis=1), call(F, (1, 2), axis=(0, 1)), call(F, -1, axis=-1)],
    "rot90": [call(F), call(F, 2), call(F[None], k=-1, axes=(1, 2))],
    "round around": [*UNARY, call(F, 1), call(F, decimals=2), call(I * 7, -1), call(F * 30, -1), call(H, 2)],
    "searchsorted": [call(jnp.sort(VECTOR), F), call(jnp.sort(VECTOR), VECTOR, side="right")],
    "select": [call([F > 0, F < -1], [F, -F]), call([B], [F], 5.0), call([B], [I], -1)],
    "tensordot": [call(F, F), call(F, F.T, axes=1), call(F, F, axes=((0,), (0,)))],
    "tile": [call(F, 2), call(F, (2, 1)), call(VECTOR, (2, 1)), call(F, (2, 1, 3))],
    "trapezoid": [call(F), call(F, dx=0.5), call(F, POSITIVE), call(F, axis=0)],
    "unique": [call(I)],
    "unravel_index": [call(jnp.asarray([1, 5]), (2, 3))],
    "vander": [call(VECTOR), call(VECTOR, 2), call(VECTOR, increasing=True)],
    "where": [call(B, F, 0.0), call(B, 0.0, 1.0), call(B, I, F), call(I, F, -F), call(B, 1, 0)],
    "celu elu": [*UNARY, call(F, 0.5), call(F, alpha=2.0)],
    "gelu": [*UNARY, call(F, False), call(H, approximate=False)],
    "leaky_relu": [*UNARY, call(F, 0.2)],
    "squareplus": [*UNARY, call(F, 2.0)],
    "one_hot": [
        call(INDICES, 4),
        call(INDICES, 4, axis=0),
        call(I, 3, dtype="int32"),
        call(INDICES, 3, axis=-1),
    ],
    "dot_product_attention": [
        call(*[jax.random.normal(jax.random.key(i), (2, 3, 2, 4)) for i in range(3)], **o)
        for o in ({}, {"is_causal": True}, {"scale": 0.3})
    ],
    "top_k": [call(F, 2), call(I, 1)],
}


def with_signature(function):
    return _with_signature(function) if isinstance(function, jnp.ufunc) else function


FUNCTIONS = {
    name: with_signature(function)
    for name, (canonical, function) in backend_functions.functions().items()
    if name == canonical
}
TWINS = {name: twin for name, function in FUNCTIONS.items() if (twin := dialect().twin(name, function))}


def calls_of(name):
    short = name.rpartition(".")[2]
    own = [calls for names, calls in CALLS.items() if short in names.split()]
    return own[0] if own else [*UNARY, *BINARY]


def compared(name):
    """How many calls of a function the twin takes over, after comparing the numbers of each."""
    function = FUNCTIONS[name]
    count = 0
    for args, kwargs in calls_of(name):
        twin = TWINS[name].call(function, args, kwargs)
        if twin is None:
            continue
        try:
            expected = jax.tree.leaves(function(*args, **kwargs))
            found = jax.tree.leaves(resolve(twin.name)(*twin.args, **twin.kwargs))
        except (TypeError, ValueError, AttributeError, NotImplementedError, AssertionError):
            continue  # such a call is not traced, or recorded under its own name
        if [spec(x) for x in expected] != [spec(x) for x in found]:
            continue
        count += 1
        for x, y in zip(expected, found, strict=True):
            assert_same(x, y, f"{name}{args}{kwargs}")
    return count


def spec(x):
    return np.shape(x), str(getattr(x, "dtype", type(x)))


def assert_same(x, y, call):
    half = str(getattr(x, "dtype", "")) == "bfloat16"
    x, y = (np.asarray(v).astype("complex64") for v in (x, y))
    np.testing.assert_allclose(x, y, rtol=1e-2 if half else 1e-5, atol=1e-6, err_msg=call)


@pytest.mark.parametrize("name", sorted(TWINS))
def test_twin_computes_the_same(name):
    assert compared(name) or name in NEVER_TAKEN


NEVER_TAKEN = frozenset(("jax.numpy.histogram",))
"""Its counts have another dtype."""


def test_every_line_belongs_to_a_function():
    """A function in the table that JAX lacks is misspelt."""
    known = backend_functions.functions()
    assert {name for name in TABLE.twins if name not in known} == set()


def test_what_is_no_twin_means_something_else():
    """An index outside: NaN here, clipped or refused there."""
    assert np.isnan(jnp.take(VECTOR, 7))
    assert TABLE.twins["jax.numpy.take"] is None
    assert "jax.numpy.take" not in TWINS

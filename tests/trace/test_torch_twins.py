"""Every twin computes the very bits of the function of PyTorch whose place it takes.

A call may have no twin, because an argument has no place in it or a result would have another dtype. Where
the trace would take the twin, all bits are compared, on one machine's CPU.
"""

import itertools

import keras
import numpy as np
import pytest

if keras.backend.backend() != "torch":
    pytest.skip("the twins of PyTorch's functions", allow_module_level=True)

import torch

from kerasfx.runtime.functions import backend_functions, resolve
from kerasfx.tracing.native import dialect
from kerasfx.tracing.native.torch_twins import TABLE

pytestmark = pytest.mark.any_keras

RNG = np.random.default_rng(0)
SHAPE = (2, 3, 4)
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 2.5, -2.5, np.inf, -np.inf, np.nan, 1e-30, 80.0, -80.0]
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
DTYPES = (*FLOATS, torch.int32, torch.int64, torch.uint8, torch.int8, torch.bool, torch.complex64)


def numbers(*shape, dtype=torch.float32):
    """Random numbers; no integer is zero."""
    shape = shape or SHAPE
    if dtype.is_floating_point or dtype.is_complex:
        return torch.tensor(RNG.standard_normal(shape)).to(dtype)
    values = RNG.integers(1, 9, shape)
    return torch.tensor(values % 2 == 0 if dtype is torch.bool else values).to(dtype)


def call(*args, **kwargs):
    """The arguments of a call."""
    return args, kwargs


X = numbers()
I = numbers(dtype=torch.int64)  # noqa: E741 (integers)
UNARY = [call(torch.tensor(SPECIAL)), *(call(numbers(dtype=d)) for d in DTYPES), call(numbers(40, 50) * 3)]
BINARY = [
    *(call(numbers(dtype=d), numbers(dtype=d)) for d in DTYPES),
    *(call(numbers(dtype=d), numbers(dtype=e)) for d, e in itertools.permutations(DTYPES[:6], 2)),
    *(call(numbers(*a), numbers(*b)) for a, b in (((2, 3, 4), (4,)), ((2, 1), (1, 3)), ((4, 4), (4, 4)))),
    *(call(numbers(2, 3, 4, dtype=d), numbers(2, 4, 5, dtype=d)) for d in DTYPES),
    call(numbers(3, 4), numbers(4, 2)),
    call(numbers(3, 4), numbers(4)),
    call(numbers(4), numbers(4)),
    *(call(numbers(dtype=d), n) for d in DTYPES for n in (2, -2, 0.5, 0.1, 3.0, 1e-9, 2.7, True)),
    *(call(n, numbers(dtype=d)) for d in DTYPES for n in (3, 0.1)),
    call(X, torch.tensor(0.1)),
    call(X, torch.tensor(0.1, dtype=torch.float64)),
    call(numbers(dtype=torch.float16), torch.tensor(0.1)),
    call(*(torch.tensor(v) for v in np.array(list(itertools.product(SPECIAL, SPECIAL)), "float32").T)),
    call(X, other=X),
    call(X, X, alpha=2),
    call(X, X, rounding_mode="floor"),
    call(X, X, rounding_mode="trunc"),
]
REDUCTIONS = [
    *(call(numbers(dtype=d), *a) for d in DTYPES for a in ((), (1,), (-1, True), ((0, 2),))),
    *(call(X, dim=d, keepdim=k) for d in (0, (1, 2), (), None, [-1]) for k in (True, False)),
    call(X, axis=1, keepdims=True),
    call(X, dim=1, dtype=torch.float64),
    *(call(numbers(70, 80, dtype=d), *a) for d in FLOATS for a in ((), (0,), (1,))),
    *(call(numbers(dtype=d), 1, unbiased=False) for d in FLOATS),
    *(call(X, dim=d, correction=0, keepdim=True) for d in (None, 1, (0, 1))),
]
SIZES = [call(*s, **k) for s in ((2, 3), ((4,),), ([2, 1],)) for k in ({}, {"dtype": torch.int32})]
LIKE = [*UNARY, call(X, dtype=torch.int32), call(I, dtype=torch.float16)]
ACTIVATION = [*UNARY, call(numbers(30, 40)), call(X, inplace=False)]
WITH_SLOPE = [*ACTIVATION, call(X, 0.3), call(X, 2.0), call(numbers(dtype=torch.float64), 0.1)]
CALLS = {
    "clamp": [
        *(call(numbers(dtype=d), 1, 3) for d in DTYPES[:-2]),
        *(call(numbers(dtype=d), -0.1, 0.1) for d in FLOATS),
        call(X, min=0.0),
        call(X, max=torch.tensor(0.5)),
        call(X, torch.zeros(4), torch.ones(4)),
        call(torch.tensor(SPECIAL), -1.0, 1.0),
    ],
    "where": [
        *(call(X > 0, numbers(dtype=d), numbers(dtype=d)) for d in DTYPES),
        *(call(X > 0, numbers(dtype=d), n) for d in DTYPES for n in (0.0, 0.1, 2, float("-inf"))),
        call(X > 0, 1.0, 0.0),
        call(X > 0, 0.1, X),
        call(X > 0, X, I),
        call(X > 0, torch.tensor(1), 2.5),
    ],
    "masked_fill": [
        *(call(numbers(dtype=d), X > 0, n) for d in DTYPES for n in (0, 1, -1e9, 0.1, float("-inf"))),
        call(numbers(2, 1, 4), X > 0, 1.0),
        call(X, X > 0, torch.tensor(2.0)),
        call(X, X[:, :1] > 0, -1e4),
    ],
    "einsum": [
        call("bij,bkj->bik", X, X),
        call("bij,bkj->bik", [X, X]),
        call("...i->...", X),
        call("ij->ji", X[0]),
    ],
    "logsumexp": [call(X, 1), call(X, (0, 1), keepdim=True), call(torch.tensor(SPECIAL), 0)],
    "max": [*UNARY, *BINARY, call(X, 1), call(X, dim=1, keepdim=True)],
    "cumsum": [
        *(call(numbers(dtype=d), 1) for d in DTYPES),
        call(X, dim=-1),
        call(X, dim=0, dtype=torch.float64),
    ],
    "view": [call(X, 6, 4), call(X, -1), call(X, (2, 12)), call(X, [3, -1]), call(X, torch.int32)],
    "view_as": [call(X, numbers(6, 4))],
    "flatten": [call(X), call(X, 1), call(X, 0, 1), call(X, start_dim=-2), call(X, 1, 1)],
    "unflatten": [call(X, -1, (2, 2)), call(X, 2, (2, -1)), call(X, dim=1, sizes=(3, 1))],
    "permute": [call(X, 2, 0, 1), call(X, (0, 2, 1)), call(X, -1, 0, 1), call(X, dims=(1, 0, 2))],
    "transpose": [call(X, 0, 1), call(X, -1, -2), call(X, dim0=1, dim1=2)],
    "t": [call(X[0]), call(X[0, 0])],
    "movedim": [call(X, 0, 2), call(X, (0, 1), (2, 0))],
    "unsqueeze": [call(X, 0), call(X, -1), call(X, dim=1)],
    "squeeze": [
        call(numbers(1, 3, 1)),
        call(numbers(1, 3, 1), 0),
        call(numbers(1, 3, 1), 1),
        call(numbers(1, 3, 1), dim=(0, 2)),
        call(numbers(1, 3, 1), -1),
    ],
    "broadcast_to": [
        call(numbers(1, 4), 3, 4),
        call(numbers(1, 4), (2, -1, 4)),
        call(numbers(3, 1), -1, 5),
        call(X, 5, -1, -1, 4),
    ],
    "expand_as": [call(numbers(1, 4), numbers(3, 4))],
    "repeat": [call(X, 2, 1, 1), call(X, (1, 2, 3)), call(X, 2, 1, 1, 2), call(numbers(3), 4)],
    "repeat_interleave": [
        call(X, 2),
        call(X, 2, 1),
        call(X, 3, dim=-1),
        call(X[0, 0], torch.tensor([1, 2, 0, 1])),
    ],
    "cat": [
        *(call([numbers(dtype=d), numbers(dtype=e)], 1) for d in DTYPES for e in DTYPES[:5]),
        call((X, X)),
        call([X, X], dim=-1),
        call(tensors=[X], dim=0),
    ],
    "stack": [*(call([numbers(dtype=d)] * 2) for d in DTYPES), call((X, X), 1), call([X, X], dim=-1)],
    "split": [
        call(X, 2, -1),
        call(X, 3, dim=2),
        call(X, [1, 3], -1),
        call(X, 1),
        call(X, 5, 1),
        call(X, [4], 2),
    ],
    "chunk": [call(X, 2), call(X, 3, -1), call(X, 2, dim=1), call(X, 5, 2), call(X, 1)],
    "unbind": [call(X), call(X, 1), call(X, dim=-1)],
    "flip": [call(X, 0), call(X, (0, 1)), call(X, 0, -1), call(X, dims=[1])],
    "roll": [call(X, 1), call(X, 1, 1), call(X, (1, -1), (0, 2)), call(X, shifts=2, dims=-1)],
    "tril": [call(X), call(X, 1), call(X, diagonal=-1), call(X > 0)],
    "diagonal": [call(X), call(X, 1, 1, 2), call(X, dim1=-2, dim2=-1), call(X, offset=-1)],
    "index_select": [
        call(X, 1, torch.tensor([0, 2, 2])),
        call(X, dim=-1, index=torch.tensor([1, 0], dtype=torch.int32)),
    ],
    "take_along_dim": [call(X, torch.argsort(X, 1), 1), call(X, torch.argsort(X, -1), dim=-1)],
    "softmax": [
        *(call(numbers(dtype=d), -1) for d in FLOATS),
        call(X, 0),
        call(X, dim=1),
        call(X, -1, dtype=torch.float64),
        call(torch.tensor(SPECIAL), 0),
        call(numbers(40, 70) * 5, -1),
    ],
    "gelu": [*ACTIVATION, call(X, approximate="tanh"), call(numbers(50, 50), approximate="tanh")],
    "softplus": [
        *ACTIVATION,
        call(X, 2.0),
        call(X, beta=1, threshold=20),
        call(torch.linspace(-40, 40, 999)),
    ],
    "glu": [call(X), call(X, -1), call(numbers(4, 3), dim=0)],
    "full": [
        call((2, 3), 0.1),
        call([2], 2),
        call((2,), 2.5, dtype=torch.float16),
        call((), 1.5),
        call((2,), 3, dtype=torch.int64),
        call((2,), 0.1, dtype=torch.float64),
    ],
    "eye": [call(3), call(3, 4), call(n=2, dtype=torch.int32), call(2, dtype=torch.bool)],
    "arange": [
        call(5),
        call(1, 5),
        call(0, 9, 2),
        call(2.5),
        call(0, 1, 0.25),
        call(5, dtype=torch.float32),
        call(start=1, end=4),
        call(4, dtype=torch.int32),
        call(5, 1, -1),
    ],
    "full_like": [
        *(call(numbers(dtype=d), n) for d in DTYPES for n in (2, 0.1, True)),
        call(X, 1, dtype=torch.int32),
    ],
    "new_zeros": [call(X, 2, 3), call(X, (2,)), call(I, 3), call(X, 2, dtype=torch.int64)],
    "round": [*UNARY, call(X, decimals=1)],
}
SAME = {
    "clip": "clamp",
    "min": "max",
    "cumprod": "cumsum",
    "reshape": "view",
    "reshape_as": "view_as",
    "swapaxes": "transpose",
    "swapdims": "transpose",
    "moveaxis": "movedim",
    "expand": "broadcast_to",
    "tile": "repeat",
    "concat": "cat",
    "concatenate": "cat",
    "triu": "tril",
    "log_softmax": "softmax",
    "new_ones": "new_zeros",
}
KINDS = {
    **dict.fromkeys(("sum", "mean", "amax", "amin", "prod", "all", "any", "var", "std"), REDUCTIONS),
    **dict.fromkeys(("zeros", "ones"), SIZES),
    **dict.fromkeys(("zeros_like", "ones_like"), LIKE),
    **dict.fromkeys(("relu", "relu6", "selu", "silu"), ACTIVATION),
    **dict.fromkeys(("elu", "celu", "leaky_relu"), WITH_SLOPE),
}


def calls_of(short):
    """The calls to compare; of most functions they are those of all functions of one or two tensors."""
    known = CALLS.get(SAME.get(short, short)) or KINDS.get(short)
    return known or [*UNARY, *BINARY]


def functions_with_twins():
    """Name and function of each, once."""
    found = dict(backend_functions.functions().values())
    return {name: f for name, f in found.items() if dialect().twin(name, f)}


def result_of(function, args, kwargs):
    """The tensors of a result, or None if the function refuses the call."""
    try:
        result = function(*args, **kwargs)
    except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError):
        return None
    flat = keras.tree.flatten(result)
    return flat if all(isinstance(x, torch.Tensor) for x in flat) else None


def specs(tensors):
    return [(tuple(x.shape), x.dtype) for x in tensors]


def bits(x):
    """An array in which equal numbers, the sign of zero included, are equal, and so are all that are none."""
    wide = x.resolve_conj().to(torch.complex128 if x.is_complex() else torch.float64).numpy()
    parts = (wide.real, wide.imag) if x.is_complex() else (wide,)
    return [y for part in parts for y in (part, np.signbit(part) & ~np.isnan(part))]


@pytest.mark.parametrize("name", sorted(functions_with_twins()))
def test_twin_computes_the_same_bits(name):
    """Wherever the trace would take it."""
    function = functions_with_twins()[name]
    taken = 0
    for args, kwargs in calls_of(name.rpartition(".")[2]):
        expected = result_of(function, args, kwargs)
        said = expected and dialect().twin(name, function).call(function, args, kwargs)
        said = said and dialect().exact(said)
        ours = said and result_of(resolve(said.name), said.args, said.kwargs)
        if not ours or specs(ours) != specs(expected):
            continue
        taken += 1
        for a, b in zip(ours, expected, strict=True):
            for x, y in zip(bits(a), bits(b), strict=True):
                np.testing.assert_array_equal(x, y, err_msg=f"{name}{args}{kwargs} as {said.name}")
    assert taken, "no call takes the twin"


def test_every_twin_belongs_to_a_function():
    """A twin whose name no function has is misspelt."""
    known = {f"torch.{name.rpartition('.')[2]}" for name in functions_with_twins()}
    assert TABLE.twins.keys() - known == set()

"""Arithmetic over weights: evaluated, taken back, and refused with a reason."""

import numpy as np
import pytest

from kerasfx.errors import GraphError, NotInvertibleError
from kerasfx.ir import Graph, Value
from kerasfx.ir.weights import concatenate, exp, reshape, rsqrt, sqrt, square, stack, transpose, weight

pytestmark = pytest.mark.once

RANDOM = np.random.default_rng(0)


class Weights:
    """Parameters of a graph and their arrays."""

    def __init__(self):
        self.graph = Graph()
        self.arrays: dict[Value, np.ndarray] = {}

    def add(self, name: str, *shape: int, dtype: str = "float32") -> Value:
        """A parameter of random numbers."""
        value = self.graph.add_parameter(object(), name, shape, dtype)
        self.arrays[value] = RANDOM.normal(size=shape).astype(dtype) + 3
        return value

    def read(self, value: Value) -> np.ndarray:
        """The array of a weight."""
        return self.arrays.get(value, value.array)  # pyright: ignore[reportReturnType]


@pytest.fixture
def w() -> Weights:
    return Weights()


def test_is_evaluated_in_double_precision_and_rounded_once(w):
    kernel, gamma, variance = w.add("kernel", 3, 3, 2, 4), w.add("gamma", 4), w.add("variance", 4)
    folded = weight(kernel) * (weight(gamma) / sqrt(weight(variance) + 1e-3))
    k, g, v = (w.arrays[x].astype("float64") for x in (kernel, gamma, variance))
    found = folded.evaluate(w.read)
    assert (found.dtype, found.shape) == (np.float32, folded.shape)
    np.testing.assert_array_equal(found, (k * (g / np.sqrt(v + 1e-3))).astype("float32"))
    assert str(folded) == "(%kernel * (%gamma / sqrt((%variance + 0.001))))"


def test_every_operator_and_function_is_that_of_numpy(w):
    a, b = w.add("a", 2, 3), w.add("b", 3)
    x, y = weight(a), weight(b)
    m, n = (w.arrays[v].astype("float64") for v in (a, b))
    expected = {
        x + y: m + n,
        x - y: m - n,
        x * y: m * n,
        x / y: m / n,
        2 - x: 2 - m,
        1 / x: 1 / m,
        -x: -m,
        3 + x * 2: 3 + m * 2,
        rsqrt(x): 1 / np.sqrt(m),
        square(x): m * m,
        exp(x): np.exp(m),
        x * np.float32([1, 2, 3]): m * [1, 2, 3],
    }
    for expression, array in expected.items():
        np.testing.assert_array_equal(expression.evaluate(w.read), array.astype("float32"), str(expression))


REARRANGEMENTS = {
    "itself": lambda a, b: weight(a),
    "reshape": lambda a, b: reshape(a, (6, -1)),
    "transpose": lambda a, b: transpose(a),
    "axes": lambda a, b: transpose(a, (0, 2, 1)),
    "concatenate": lambda a, b: concatenate([a, b], axis=-1),
    "stack": lambda a, b: stack([a, b], axis=1),
    "all": lambda a, b: reshape(transpose(concatenate([transpose(a), transpose(b)])), (4, 12)),
}


@pytest.mark.parametrize("make", REARRANGEMENTS.values(), ids=list(REARRANGEMENTS))
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_a_rearrangement_goes_there_and_back_exactly(w, make, dtype):
    a, b = w.add("a", 2, 3, 4, dtype=dtype), w.add("b", 2, 3, 4, dtype=dtype)
    expression = make(a, b)
    assert expression.is_rearrangement
    array = expression.evaluate(w.read)
    assert (array.shape, str(array.dtype)) == (expression.shape, dtype)
    found = expression.inverse(array)
    assert list(found) == expression.parameters
    for value, part in found.items():
        np.testing.assert_array_equal(part, w.arrays[value])
        assert part.dtype == w.arrays[value].dtype


INVERTIBLE = {
    "scaled": lambda a, c: weight(a) * 2.0,
    "by a constant": lambda a, c: weight(c) * transpose(a),
    "shifted": lambda a, c: weight(a) + 1.5,
    "subtracted": lambda a, c: 1.0 - weight(a),
    "divided": lambda a, c: weight(a) / 4.0,
    "divides": lambda a, c: 2.0 / weight(a),
    "several": lambda a, c: reshape((weight(c) - transpose(a)) / 2.0, (-1,)),
}


@pytest.mark.parametrize("make", INVERTIBLE.values(), ids=list(INVERTIBLE))
def test_arithmetic_with_known_numbers_goes_back(w, make):
    a, c = w.add("a", 2, 3), w.graph.add_constant(np.float32([1, 2]))
    expression = make(a, c)
    assert not expression.is_rearrangement
    found = expression.inverse(expression.evaluate(w.read))
    assert list(found) == [a]
    np.testing.assert_allclose(found[a], w.arrays[a], rtol=1e-6)


NOT_INVERTIBLE = {
    "both sides of '*' are to be found": lambda a, b: weight(a) * weight(b),
    "'a' occurs in it 2 times": lambda a, b: weight(a) + weight(a),
    "sqrt loses what its operand was": lambda a, b: sqrt(a),
    "0.0 has zeros": lambda a, b: weight(a) * 0.0,
    "%b of shape (3,) is repeated to (2, 3)": lambda a, b: weight(b) + np.zeros((2, 3)),
}


@pytest.mark.parametrize(("why", "make"), NOT_INVERTIBLE.items(), ids=list(NOT_INVERTIBLE))
def test_what_does_not_go_back_says_why(w, why, make):
    expression = make(w.add("a", 2, 3), w.add("b", 3))
    assert not expression.is_rearrangement
    with pytest.raises(NotInvertibleError) as caught:
        expression.inverse(np.ones(expression.shape, "float32"))
    assert f"{expression} cannot be taken back to its weights" in str(caught.value)
    assert why in str(caught.value)


def test_an_array_of_another_shape_is_refused(w):
    with pytest.raises(NotInvertibleError, match=r"shape \(3, 2\) instead of \(2, 3\)"):
        weight(w.add("a", 2, 3)).inverse(np.ones((3, 2)))


def test_a_weight_used_twice_is_no_rearrangement(w):
    a = w.add("a", 2, 3)
    assert not concatenate([a, a]).is_rearrangement
    assert not concatenate([a, w.graph.add_constant(np.zeros((1, 3), "float32"))]).is_rearrangement


def test_a_computed_weight_is_taken_apart_again(w):
    a = w.add("a", 2, 3)
    value = w.graph.computed(transpose(a))
    assert weight(value).parameters == [a]
    assert w.graph.computed(weight(a)) is a


REFUSED = {
    "cannot be reshaped to (5, 2)": lambda a, b: reshape(a, (5, 2)),
    "cannot be transposed by (0, 0)": lambda a, b: transpose(a, (0, 0)),
    "do not fit in '+'": lambda a, b: weight(a) + weight(b),
    "cannot be concatenated along axis 0": lambda a, b: concatenate([a, b]),
}


@pytest.mark.parametrize(("said", "make"), REFUSED.items(), ids=list(REFUSED))
def test_refuses_what_does_not_fit(w, said, make):
    with pytest.raises(GraphError) as caught:
        make(w.add("a", 2, 3), w.add("b", 5, 2))
    assert said in str(caught.value)


def test_refuses_to_mix_dtypes_and_to_take_what_a_call_gives(w):
    with pytest.raises(GraphError, match="%a of float32, %b of float16"):
        weight(w.add("a", 3)) + w.add("b", 3, dtype="float16")
    w.graph.inputs = x = w.graph.add_input("x", (2,), "float32")
    with pytest.raises(GraphError, match="'x' is no weight"):
        weight(x)


def test_an_array_in_front_makes_one_expression(w):
    found = np.full((3,), 2.0) * weight(w.add("a", 3))
    assert found.shape == (3,)
    assert np.float32(2.0) * weight(w.add("b", 3)) is not None


def test_refuses_what_is_no_weight_and_no_number(w):
    for x in (object(), [1.0, 2.0], None, "kernel"):
        with pytest.raises(GraphError, match=r"no array and no number(.|\n)*graph.weight_of"):
            weight(w.add("a", 2)) * x


def test_one_computed_weight_stays_one(w):
    value = w.graph.computed(transpose(w.add("a", 2, 3)))
    assert w.graph.computed(value) is value
    assert w.graph.computed_weights == [value]

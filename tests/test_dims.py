"""Unknown dimensions: their arithmetic is that of Python ints, here and in a saved model."""

import json
import math
import operator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasfx.ir import Input, Value
from kerasfx.ir.dims import Dim, decisions_go_to, hint
from kerasfx.runtime import codec
from kerasfx.tracing.encoding import encode

pytestmark = pytest.mark.once

VALUES = [Value(name, (), "float32", Input(name)) for name in ("x", "y")]
HINTS = [[(5, 7), (64, 160)], [(3, 11), (96, 224)]]

BINARY = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
}
UNARY = {"neg": operator.neg, "abs": abs, "pos": operator.pos}


@dataclass(frozen=True)
class Sizes:
    """A tensor, as far as `ops.shape` sees it."""

    shape: tuple[int, ...]


def axis(value: int = 0, k: int = 0) -> Dim:
    """The size of an axis of one of the values."""
    return Dim.axis(VALUES[value], k, HINTS[value][k])


def leaf(sizes, value, k):
    """An axis: as a Dim, or as its size among `sizes`."""
    return axis(value, k) if sizes is None else sizes[value].shape[k]


numbers = st.integers(-9, 9).map(lambda n: lambda sizes: n)
axes = st.builds(lambda value, k: lambda sizes: leaf(sizes, value, k), st.integers(0, 1), st.integers(0, 1))


def combined(parts):
    """Expressions one level deeper."""
    binary = st.builds(
        lambda op, a, b: lambda sizes: BINARY[op](a(sizes), b(sizes)),
        st.sampled_from(sorted(BINARY)),
        parts,
        parts,
    )
    unary = st.builds(lambda op, a: lambda sizes: UNARY[op](a(sizes)), st.sampled_from(sorted(UNARY)), parts)
    power = st.builds(lambda a, n: lambda sizes: a(sizes) ** n, axes, st.integers(0, 2))
    pair = st.builds(lambda a, b: lambda sizes: sum(divmod(a(sizes), b(sizes))), parts, parts)
    return binary | unary | power | pair


expressions = st.recursive(numbers | axes, combined, max_leaves=6)
"""Functions that compute an expression over axes, on Dims (given None) or on ints."""

tensors = st.tuples(*(st.builds(Sizes, st.tuples(*[st.integers(1, 300)] * 2)) for _ in VALUES))


def outcome(function, *args):
    """What a function returns, or the arithmetic error that it raises."""
    try:
        return function(*args)
    except ZeroDivisionError as error:
        return str(type(error))


@given(expressions)
def test_hints_are_computed_like_ints(expression):
    for which in (0, 1):
        example = [Sizes(tuple(h[which] for h in pairs)) for pairs in HINTS]
        expected = outcome(expression, example)
        # A Dim divided by one hint or the other that is zero is refused at once.
        found = outcome(expression, None)
        assert isinstance(found, str) or hint(found, which) == expected


@given(expressions, tensors)
def test_a_saved_expression_is_computed_like_ints(expression, sizes):
    dim = outcome(expression, None)
    if isinstance(dim, str):
        return
    text = json.dumps(encode(dim, VALUES.index))
    found = outcome(codec.decode, json.loads(text), list(sizes), lambda x, k: x.shape[k])
    assert found == outcome(expression, sizes)


@given(expressions)
def test_an_expression_is_the_same_as_itself_made_again(expression):
    one, other = outcome(expression, None), outcome(expression, None)
    if isinstance(one, Dim):
        assert one.same_as(other)
        assert hash(one) == hash(other)
        assert str(one) == str(other)
        assert one == other


@given(expressions)
def test_text_is_the_expression_in_python(expression):
    dim = outcome(expression, None)
    names = {v.name: Sizes(tuple(h[0] for h in pairs)) for v, pairs in zip(VALUES, HINTS, strict=True)}
    if isinstance(dim, Dim):
        assert eval(str(dim), {**names, "neg": operator.neg}) == dim.hints[0]


@given(expressions, expressions)
def test_nothing_is_decided_by_arithmetic_and_identity(left, right):
    def refuse(dim, what, answer):
        raise AssertionError(what)

    with decisions_go_to(refuse):
        one, other = outcome(left, None), outcome(right, None)
        if isinstance(one, Dim):
            one.same_as(other)
            hash(one)
            list(one.values())


@given(expressions)
def test_substitute_replaces_every_value(expression):
    dim = outcome(expression, None)
    if not isinstance(dim, Dim):
        return
    swapped = dim.substitute(lambda value: VALUES[1 - VALUES.index(value)])
    assert list(swapped.values()) == [VALUES[1 - VALUES.index(v)] for v in dim.values()]
    assert swapped.hints == dim.hints
    back = swapped.substitute(lambda value: VALUES[1 - VALUES.index(value)])
    assert back.same_as(dim)


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (lambda n: n, "x.shape[0]"),
        (lambda n: n + 1, "(x.shape[0] + 1)"),
        (lambda n: 1 - n // 2, "(1 - (x.shape[0] // 2))"),
        (lambda n: -n % 4, "(neg(x.shape[0]) % 4)"),
        (lambda n: 2**n, "(2 ** x.shape[0])"),
        (lambda n: abs(n * axis(1, 1)), "abs((x.shape[0] * y.shape[1]))"),
        (lambda n: divmod(n, 3), "((x.shape[0] // 3), (x.shape[0] % 3))"),
        (lambda n: Dim("max", (n, 4), (5, 7)), "max(x.shape[0], 4)"),
    ],
)
def test_text(expression, text):
    dim = expression(axis())
    shown = f"({', '.join(map(str, dim))})" if isinstance(dim, tuple) else str(dim)
    assert shown == text


@pytest.mark.parametrize(
    "neutral",
    [
        lambda n: n + 0,
        lambda n: 0 + n,
        lambda n: n - 0,
        lambda n: n * 1,
        lambda n: 1 * n,
        lambda n: n // 1,
        lambda n: n**1,
        lambda n: +n,
    ],
)
def test_what_changes_nothing_makes_no_expression(neutral):
    n = axis()
    assert neutral(n) is n


class TestDecisions:
    """Python asks for a fact about a size: the hook gets the question, Python the hint's answer."""

    N, M = axis(0, 0), axis(1, 0)
    QUESTIONS = (
        ("int(x.shape[0])", lambda n, m: int(n), 5),
        ("int(x.shape[0])", lambda n, m: operator.index(n), 5),
        ("float(x.shape[0])", lambda n, m: float(n), 5.0),
        ("float(x.shape[0])", lambda n, m: math.sqrt(n - 1 + 1), math.sqrt(5)),
        ("int((x.shape[0] / 2))", lambda n, m: int(n / 2), 2),
        ("int(x.shape[0])", lambda n, m: list(range(n)), [0, 1, 2, 3, 4]),
        ("int(x.shape[0])", lambda n, m: [7] * n, [7] * 5),
        ("int(x.shape[0])", lambda n, m: "abcdefg"[n], "f"),
        ("(x.shape[0] - 4) != 0", lambda n, m: bool(n - 4), True),
        ("(x.shape[0] % 5) != 0", lambda n, m: bool(n % 5), False),
        ("x.shape[0] == 5", lambda n, m: n == 5, True),
        ("x.shape[0] != 5", lambda n, m: n != 5, False),
        ("x.shape[0] == y.shape[0]", lambda n, m: n == m, False),
        ("x.shape[0] < 5", lambda n, m: n < 5, False),
        ("x.shape[0] <= 5", lambda n, m: n <= 5, True),
        ("x.shape[0] < 6", lambda n, m: n < 6, True),
        ("x.shape[0] > y.shape[0]", lambda n, m: n > m, True),
        ("x.shape[0] >= 5.5", lambda n, m: n >= 5.5, False),
    )

    @pytest.mark.parametrize(("question", "ask", "answer"), QUESTIONS)
    def test_are_reported(self, question, ask, answer):
        asked = []
        with decisions_go_to(asked.append):
            assert ask(self.N, self.M) == answer
        assert [str(q) for q in asked][:1] == [question]
        assert all(isinstance(q.dim, Dim) for q in asked)

    def test_the_hook_may_refuse(self):
        def refuse(question):
            raise LookupError(f"{question} is {question.answer}")

        with decisions_go_to(refuse), pytest.raises(LookupError, match="5 is True"):
            bool(self.N == 5)

    def test_the_hook_is_gone_after_the_block(self):
        asked = []
        with decisions_go_to(lambda *question: asked.append(question)):
            pass
        assert int(self.N) == 5
        assert asked == []

    def test_a_size_itself_is_never_zero(self):
        asked = []
        with decisions_go_to(lambda *question: asked.append(question)):
            assert self.N
        assert asked == []

    def test_equal_expressions_are_no_question(self):
        asked = []
        with decisions_go_to(lambda *question: asked.append(question)):
            assert self.N + 1 == self.N + 1
            assert self.N * 2 == self.N * 2
        assert asked == []

    def test_a_comparison_with_something_else_is_no_question(self):
        asked = []
        with decisions_go_to(lambda *question: asked.append(question)):
            assert self.N != "5"
            assert self.N is not None
            assert (self.N == None) is False  # noqa: E711
            with pytest.raises(TypeError):
                _ = self.N < "5"
        assert asked == []


def test_is_no_int():
    assert not isinstance(axis(), int)


@pytest.mark.parametrize("other", ["2", None, [1], 1j])
def test_takes_numbers_alone(other):
    with pytest.raises(TypeError):
        axis() + other


def test_different_expressions_are_not_the_same():
    n, m = axis(0, 0), axis(1, 0)
    different = [
        n,
        m,
        axis(0, 1),
        n + 1,
        2 + n,
        n + m,
        m * n,
        n + (n + 1),
        -n,
        n - 1,
        n / 1,
        n // 2,
        n % 2,
        5,
    ]
    for i, one in enumerate(different):
        for j, other in enumerate(different):
            if isinstance(one, Dim):
                assert one.same_as(other) is (i == j)

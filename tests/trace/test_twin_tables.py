"""The notation in which each backend says what its functions are in `keras.ops`."""

import pytest

from kerasfx.tracing.native.twins import Rule, Table, read
from kerasfx.tracing.public_calls import PublicCall

pytestmark = pytest.mark.once


def function(a, axis=None, exclusive=False, name=None):
    """A function of a backend."""


def said(line, *args, name="x.cumsum", rules=None, **kwargs):
    """The call that a table of one line says for a call of `function`."""
    twin = read(line, rules).twin(name, function)
    return twin and twin.call(function, args, kwargs)


def test_arguments_by_other_names():
    assert said("x.cumsum = * a:x axis", "t", 1) == PublicCall("keras.ops.cumsum", ("t",), {"axis": 1})
    assert said("x.cumsum = * a:x axis", "t") == PublicCall("keras.ops.cumsum", ("t",), {})


def test_a_parameter_that_is_not_named_has_to_have_its_default():
    line = "x.cumsum = * a:x axis"
    assert said(line, "t", exclusive=False) is not None
    assert said(line, "t", exclusive=True) is None
    assert said(line, "t", exclusive=0) is None  # 0 is not False everywhere
    assert said(line, "t", "what", "are", "these", "arguments") is None


def test_values_instead_of_none_and_added_ones():
    assert said("x.cumsum = take a:x +axis=0 axis:indices", "t", 3).kwargs == {"axis": 0}
    assert said("x.cumsum = sum a:x axis:axis=0", "t").kwargs == {"axis": 0}


def test_a_signature_for_what_python_knows_none_of():
    line = "torch.add torch.plus (input, other, *, alpha=1) = add input:x1 other:x2"
    assert said(line, "t", "u", name="torch.plus") == PublicCall("keras.ops.add", ("t", "u"), {})
    assert said(line, "t", "u", name="torch.add", alpha=1.0) is not None
    assert said(line, "t", "u", name="torch.add", alpha=2) is None
    assert said(line, "t", "u", 1, name="torch.add") is None


def test_a_rule_says_the_call_itself():
    rules = {"double": lambda a: None if a == "no" else PublicCall("keras.ops.add", (a, a), {})}
    assert said("x.cumsum = @double", "t", rules=rules).args == ("t", "t")
    assert said("x.cumsum = @double", "no", rules=rules) is None
    assert said("x.cumsum = @double", "t", axis=1, rules=rules) is None
    assert isinstance(read("x.cumsum = @double", rules).twins["x.cumsum"], Rule)


def test_namesakes_but_for_one():
    table = read("""
        x.* = *
        x.take = -     # means something else
    """)
    assert table == Table({"x.take": None}, frozenset(["x"]))
    assert table.twin("x.take", function) is None
    assert table.twin("y.cumsum", function) is None
    assert table.twin("x.cumsum", function).name == "keras.ops.cumsum"


@pytest.mark.parametrize("line", ["x.cumsum", "= cumsum", "x.cumsum =cumsum a:x"])
def test_what_is_no_line(line):
    with pytest.raises(AssertionError, match=r"cumsum"):
        read(line)

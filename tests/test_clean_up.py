"""Clean-up passes: what they make of a graph, what they leave, and that no number changes."""

import time
from dataclasses import dataclass
from typing import Any

import hypothesis
import hypothesis.strategies as st
import keras
import numpy as np
import pytest
from keras import ops

import kerasfx
from kerasfx.ir import Graph, Value
from kerasfx.ir.graph import INLINE_SIZE
from kerasfx.passes import (
    CLEAN_UP,
    DEFAULT,
    LOWERING,
    MERGE,
    any_,
    fold_constants,
    join_casts,
    op,
    rewrite,
    run,
)

BACKEND = keras.backend.backend()
COPIES_STAY = BACKEND == "torch"
"""PyTorch keeps views: a copy is left out only of what lies in order, as an input does."""


class Call(keras.Model):
    """Calls a function that may use the weight of the model."""

    def __init__(self, function):
        super().__init__(name="call")
        self.function = function
        self.table = self.add_weight(shape=(3, 4), name="table")
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False, name="count")

    def call(self, x):
        return self.function(self, x)


@dataclass(frozen=True)
class Clean:
    """A function of the model and an input, and the functions that are called after the clean-up."""

    function: Any
    after: tuple[str, ...]
    dtype: str = "float32"
    shape: tuple[int | None, ...] = (3, 4)


def half(x):
    return ops.cast(x, "float16")


def full(x):
    return ops.cast(x, "float32")


def masks(m, x):
    """The same mask, made twice, of the numbers of `x`."""
    first = full(ops.expand_dims(ops.not_equal(x, 0), -1))
    second = full(ops.expand_dims(ops.not_equal(x, 0), -1))
    return full(x)[..., None] * first + ops.tanh(full(x)[..., None] * second)


def counted(m, x):
    """What is read of a variable before and after it is assigned."""
    before = [ops.copy(m.count), ops.equal(m.count, 0.0)]
    m.count.assign_add(2.0)
    after = [ops.copy(m.count), ops.equal(m.count, 0.0)]
    return sum(x * ops.cast(y, "float32") + i for i, y in enumerate((*before, *after)))


def repeated(m, x):
    """The body of a loop computes a mask twice."""

    def body(i, h):
        mask = ops.cast(h > 0, "float32") + full(h > 0)
        return i + 1, h * mask

    return ops.while_loop(lambda i, h: i < 3, body, (0, x))[1]


SAME = "tanh(%x)"
"""What is computed of the input, when all in between was left out."""

CLEANED = {
    "axis put in and out": Clean(lambda m, x: ops.tanh(ops.squeeze(x[:, None], axis=1)), (SAME,)),
    "copy": Clean(lambda m, x: ops.tanh(ops.copy(x)), (SAME,)),
    "everything taken": Clean(lambda m, x: ops.tanh(x[:][..., :]), (SAME,)),
    "reshape to the same shape": Clean(
        lambda m, x: ops.tanh(ops.reshape(x, (-1, 3, 4))), (SAME,), shape=(3, 4)
    ),
    "reshape there and back": Clean(
        lambda m, x: ops.tanh(ops.reshape(ops.reshape(x, (-1, 12)), (-1, 3, 4))), (SAME,)
    ),
    "reshape of a reshape": Clean(
        lambda m, x: ops.tanh(ops.reshape(ops.reshape(x, (-1, 12)), (-1, 2, 6))),
        ("reshape(%x, newshape=(-1, 2, 6))", "tanh(%reshape_1)"),
    ),
    "reshape of a reshape, free length": Clean(
        lambda m, x: ops.tanh(ops.reshape(ops.expand_dims(x, 1), (ops.shape(x)[0], -1))),
        ("reshape(%x, newshape=(x.shape[0], -1))", "tanh(%reshape)"),
        shape=(None, 4),
    ),
    "transposes that undo each other": Clean(
        lambda m, x: ops.tanh(ops.transpose(ops.swapaxes(x, 1, 2), (0, 2, 1))), (SAME,)
    ),
    "transpose of a transpose": Clean(
        lambda m, x: ops.tanh(ops.moveaxis(ops.transpose(x, (0, 2, 1, 3)), -1, 1)),
        ("transpose(%x, axes=(0, 3, 2, 1))", "tanh(%moveaxis)"),
        shape=(2, 3, 4),
    ),
    "transpose in order": Clean(lambda m, x: ops.tanh(ops.transpose(x, (0, -2, -1))), (SAME,)),
    "cast to a wider dtype and back": Clean(lambda m, x: ops.tanh(half(full(x))), (SAME,), dtype="float16"),
    "cast from one half to the other": Clean(
        lambda m, x: ops.tanh(ops.cast(full(x), "bfloat16")), ("cast(%x, 'bfloat16')",), dtype="float16"
    ),
    "cast of a mask": Clean(
        lambda m, x: ops.tanh(full(ops.cast(x, "int32"))),
        ("cast(%x, 'float32')", "tanh(%cast_1)"),
        dtype="bool",
    ),
    "masks that are equal": Clean(
        masks,
        (
            "not_equal(%x, 0)",
            "expand_dims(%not_equal, axis=-1)",
            "cast(%expand_dims, 'float32')",
            "cast(%x, 'float32')",
            "get_item(%cast_2, (..., None))",
            "multiply(%get_item, %cast)",
            "tanh(%multiply)",
            "add(%multiply, %tanh)",
        ),
        dtype="int32",
    ),
    "body of a loop": Clean(repeated, ("add(%cast, %cast)",)),
    # What a body is told of free sizes does not say that those of two of its values are one.
    "in a branch": Clean(
        lambda m, x: ops.cond(
            ops.sum(x) > 0, lambda: ops.moveaxis(ops.transpose(x, (0, 2, 1, 3)), -1, 1), lambda: x
        ),
        ("transpose(%x, axes=(0, 3, 2, 1))",),
        shape=(3, 3, 3),
    ),
}

LEFT = {
    "cast that loses something": Clean(
        lambda m, x: full(half(x)), ("cast(%x, 'float16')", "cast(%cast, 'float32')")
    ),
    "cast to an integer in between": Clean(
        lambda m, x: ops.cast(ops.cast(x, "int32"), "float32"),
        ("cast(%x, 'int32')", "cast(%cast, 'float32')"),
    ),
    "addition of nothing": Clean(lambda m, x: x + 0.0, ("add(%x, 0.0)",)),
    "multiplication by one": Clean(lambda m, x: x * 1.0, ("multiply(%x, 1.0)",)),
    "branches with gradients": Clean(
        lambda m, x: ops.tanh(x) * 2.0 + ops.exp(ops.tanh(x)),
        ("tanh(%x)", "multiply(%tanh, 2.0)", "tanh(%x)"),
    ),
    "three gradients that would meet elsewhere": Clean(
        lambda m, x: ops.tanh(x) + ops.exp(x) * ops.sum(ops.copy(x)), ("copy(%x)",)
    ),
    "output that is an input": Clean(lambda m, x: ops.copy(x), ("copy(%x)",)),
    "output that is one already": Clean(
        lambda m, x: (lambda h: [h, ops.copy(h)])(ops.tanh(x)), ("tanh(%x)", "copy(%tanh)")
    ),
    "reshape that somebody else takes": Clean(
        lambda m, x: (lambda h: [ops.reshape(h, (-1, 2, 6)), ops.exp(h)])(ops.reshape(x, (-1, 12))),
        ("reshape(%x, newshape=(-1, 12))", "reshape(%reshape, newshape=(-1, 2, 6))"),
    ),
    "what is read before and after an assignment": Clean(counted, ("equal(%count, 0.0)", "add(%count, 2.0)")),
    "all up to a free size": Clean(
        lambda m, x: ops.tanh(x[:, : ops.shape(x)[1]]),
        ("get_item(%x, (:, :x.shape[1]))",),
        shape=(None, 4),
    ),
    "draws": Clean(
        lambda m, x: (
            x * keras.random.uniform((1, 4), seed=1, dtype="float32")
            + keras.random.uniform((1, 4), seed=1, dtype="float32")
        ),
        ("keras.random.uniform(shape=(1, 4), minval=0.0, maxval=1.0, dtype='float32', seed=1)",) * 2,
    ),
}

ALL = {**CLEANED, **LEFT}


def traced(case):
    return kerasfx.trace(Call(case.function), keras.Input(case.shape, dtype=case.dtype, name="x")).graph


def calls(graph):
    """What each node calls, in bodies too, without `keras.ops.`, types and comments."""
    found = [line.strip() for line in str(graph).splitlines() if line.lstrip().startswith("%")]
    texts = [line.partition(" = ")[2].partition("  #")[0] for line in found]
    return [text.removeprefix("keras.ops.") for text in texts]


def cleaned(graph):
    run(graph, [*CLEAN_UP, *MERGE])
    return calls(graph.check())


@pytest.mark.parametrize("name", CLEANED)
def test_is_cleaned(name):
    graph = traced(CLEANED[name])
    before = calls(graph)
    after = cleaned(graph)
    assert after != before
    assert [c for c in CLEANED[name].after if c not in after] == []
    if CLEANED[name].after == (SAME,):
        assert after == [SAME]
    assert not run(graph, [*CLEAN_UP, *MERGE])


@pytest.mark.parametrize("name", LEFT)
def test_is_left(name):
    after = cleaned(traced(LEFT[name]))
    assert [c for c in LEFT[name].after if after.count(c) < LEFT[name].after.count(c)] == []


@pytest.mark.parametrize("name", ALL)
def test_no_number_changes(name):
    case = ALL[name]
    model = Call(case.function)
    prepared = kerasfx.prepare_model(
        model, keras.Input(case.shape, dtype=case.dtype, name="x"), lower=False, verify=False
    )
    comparison = kerasfx.compare(model, prepared, samples=1, gradients="float" in case.dtype)
    assert comparison.exact, str(comparison)


# Constants, which a trace computes itself and a pass may write


def multiplied_by(make):
    """A pass that multiplies the argument of `exp` by what `make` computes."""

    def by_a_constant(graph):
        def times(graph, found):
            def call(name, *args, **kwargs):
                node = graph.make(f"keras.ops.{name}", *args, **kwargs)
                graph.insert_before(found.root, node)
                return node.outputs

            product = call("multiply", found["x"], make(call))
            return graph.make("keras.ops.tanh", product, like=found.root)

        return rewrite(graph, op.exp(any_("x")), times)

    return by_a_constant


FOLDED = {
    "moved": lambda call: call("flip", call("where", call("equal", call("arange", 4), 2), 3.0, 1.0), axis=0),
    "computed": lambda call: call("divide", call("sqrt", call("full", (3, 1), 2.0)), 4.0),
}
NOT_FOLDED = {
    "rounded in another way by a compiler": lambda call: call("exp", call("full", (4,), 0.3)),
    "too small": lambda call: call("multiply", call("full", (4,), 1e-30), 1e-8),
    "too many": lambda call: call("max", call("ones", (INLINE_SIZE + 1, 4)), axis=0),
    "what does not fit": lambda call: call("cast", call("cast", call("full", (4,), 3e9), "int32"), "float32"),
    "steps that are not whole": lambda call: call("arange", 0.0, 0.4, 0.1),
}


@pytest.mark.parametrize("name", [*FOLDED, *NOT_FOLDED])
def test_constants_are_folded(name):
    model = Call(lambda m, x: ops.exp(x))
    graph = kerasfx.trace(model, keras.Input((3, 4), name="x")).graph
    multiplied_by({**FOLDED, **NOT_FOLDED}[name])(graph)
    before = kerasfx.emit(graph)
    functions = [node.function for node in graph.nodes]
    fold_constants(graph)
    left = [node.function for node in graph.check().nodes]
    assert (left == ["keras.ops.multiply", "keras.ops.tanh"]) is (name in FOLDED)
    # The last of them is not, whatever becomes of what it takes.
    assert name in FOLDED or functions[-3] in left
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    np.testing.assert_array_equal(
        ops.convert_to_numpy(before(x)), ops.convert_to_numpy(kerasfx.emit(graph)(x))
    )


# Details


def test_the_first_of_equal_calls_keeps_its_name():
    graph = traced(CLEANED["masks that are equal"])
    cleaned(graph)
    assert [node.name for node in graph.nodes if node.function == "keras.ops.not_equal"] == ["not_equal"]


def test_numbers_that_are_equal_and_not_the_same_are_not_merged():
    def call(m, x):
        return [ops.where(x > 0, 0.0, 1.0), ops.tanh(ops.where(x > 0, -0.0, 1.0)), ops.where(x > 0, 0, 1)]

    graph = traced(Clean(call, ()))
    assert [c for c in cleaned(graph) if c.startswith("where")] == [
        "where(%greater, x1=0.0, x2=1.0)",
        "where(%greater, x1=-0.0, x2=1.0)",
        "where(%greater, x1=0, x2=1)",
    ]


def test_a_gradient_is_not_rounded_twice():
    def cast_twice(x):
        graph = Graph()
        graph.inputs = graph.add_input("x", (3,), x)
        value = graph.inputs
        for name, dtype in (("a", "float32"), ("b", "float64")):
            node = kerasfx.ir.Node(name, "keras.ops.cast", (value, dtype), {})
            value = node.outputs = Value(name, (3,), dtype, node)
            graph.append(node)
        graph.outputs = value
        return graph

    assert not join_casts(cast_twice("float16"))
    assert join_casts(cast_twice("uint16")) is False
    assert join_casts(cast_twice("bool"))


@pytest.mark.any_keras
def test_a_copy_of_a_view_stays_on_pytorch():
    def call(m, x):
        return ops.tanh(ops.copy(ops.transpose(x, (0, 2, 1))))

    assert ("copy(%transpose)" in cleaned(traced(Clean(call, ())))) is COPIES_STAY


def test_a_mask_that_a_function_drops_is_not_found_by_the_layer_behind():
    ids = keras.Input((6,), dtype="int32", name="ids")
    h = ops.copy(keras.layers.Embedding(11, 4, mask_zero=True)(ids))
    model = keras.Model(ids, keras.layers.SimpleRNN(3)(h))
    assert "copy(%embedding)" in cleaned(kerasfx.trace(model).graph)
    comparison = kerasfx.compare(model, kerasfx.prepare_model(model), samples=1)
    assert comparison, str(comparison)


THERE_AND_BACK = {
    "item": lambda h: h[:],
    "items": lambda h: h[..., :],
    "reshape": lambda h: ops.reshape(h, (-1, 4, 3)),
    "reshape there and back": lambda h: ops.reshape(ops.reshape(h, (-1, 3)), (-1, 4, 3)),
    "transpose": lambda h: ops.transpose(h, (0, 1, 2)),
    "transpose there and back": lambda h: ops.transpose(ops.transpose(h, (0, 2, 1)), (0, 2, 1)),
    "swapaxes": lambda h: ops.swapaxes(h, 1, -2),
    "moveaxis": lambda h: ops.moveaxis(h, (0, 1), (0, 1)),
    "no axis": lambda h: ops.expand_dims(h, ()),
    "positive": lambda h: h if BACKEND == "tensorflow" else +h,
    "flatten": lambda h: h.flatten(1, 1) if BACKEND == "torch" else h,
}


@pytest.mark.parametrize("way", THERE_AND_BACK)
@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("is_taken", [True, False])
def test_the_mask_of_what_moves_nothing_is_as_in_the_original(way, lower, is_taken):
    """Some backends give the tensor itself then, and with it the mask; others another one, without it."""
    ids = keras.Input((4,), dtype="int32")
    embedding, lstm = keras.layers.Embedding(11, 3, mask_zero=True), keras.layers.LSTM(2)

    class Net(keras.Model):
        def __init__(self):
            super().__init__(name="net")
            self.embedding, self.lstm = embedding, lstm

        def call(self, x):
            h = THERE_AND_BACK[way](self.embedding(x))
            return self.lstm(h) if is_taken else h

    model = Net()
    result = kerasfx.prepare_model(model, ids, verify=False, lower=lower)
    comparison = kerasfx.compare(
        model, result, inputs=np.array([[1, 2, 0, 0], [3, 0, 0, 0]]), gradients=False
    )
    assert comparison, str(comparison)


def test_a_mask_of_one_of_two_equal_calls_stays_with_it():
    class Masked(keras.layers.Layer):
        def __init__(self):
            super().__init__(name="masked")
            self.rnn = keras.layers.SimpleRNN(3)

        def call(self, x):
            first, second = full(x > 0), full(x > 0)
            first._keras_mask = ops.any(x > 0, axis=-1)
            return self.rnn(first) + 2.0 * self.rnn(second)

    model = Masked()
    prepared = kerasfx.prepare_model(model, keras.Input((5, 4)))
    comparison = kerasfx.compare(model, prepared, samples=1)
    assert comparison, str(comparison)


def of_one_tensor(count):
    """A graph with `count` slices of one tensor, all different, and the sum of each with the one before."""
    graph = Graph()
    graph.inputs = graph.outputs = x = graph.add_input("x", (2, count), "int32")
    for i in range(count):
        args = ((x, (slice(None), slice(i, i + 1))), (graph.outputs, x))
        for function, taken in zip(("get_item", "add"), args, strict=True):
            node = kerasfx.ir.Node(f"{function}_{i}", f"keras.ops.{function}", taken, {})
            graph.outputs = node.outputs = Value(node.name, (2, count), "int32", node)
            graph.append(node)
    return graph


def in_a_row(count):
    """A graph with `count` reshapes one after the other, of what may lie in memory in another order."""
    graph = Graph()
    graph.inputs = graph.add_input("x", (2, 3), "float32")
    steps = [("transpose", {}, (3, 2)), *[("reshape", {"newshape": (6,)}, (6,))] * count]
    graph.outputs = graph.inputs
    for i, (function, kwargs, shape) in enumerate(steps):
        node = kerasfx.ir.Node(f"step_{i}", f"keras.ops.{function}", (graph.outputs,), kwargs)
        graph.outputs = node.outputs = Value(node.name, shape, "float32", node)
        graph.append(node)
    return graph


@pytest.mark.parametrize("make", [of_one_tensor, in_a_row])
def test_three_thousand_nodes_take_no_minute(make):
    graph = make(1500 if make is of_one_tensor else 3000)
    start = time.process_time()
    for each in (*CLEAN_UP, *MERGE):
        each(graph)
    # A second, or two; what compares each node with all before takes ten times that.
    assert time.process_time() - start < 8


def test_the_order_of_the_passes():
    assert DEFAULT[: len(CLEAN_UP)] == CLEAN_UP
    assert DEFAULT.index(MERGE[0]) > DEFAULT.index(LOWERING[-1])


# Random chains


@st.composite
def chains(draw):
    """Functions that move or cast, one after the other, of a tensor of 24 numbers a row."""
    steps, shape = [], [2, 3, 4]
    for _ in range(draw(st.integers(2, 7))):
        kind = draw(st.sampled_from(("reshape", "transpose", "cast", "expand_dims", "copy")))
        if kind == "reshape":
            shape = draw(st.sampled_from(([24], [2, 12], [6, 4], [2, 3, 4], [4, 3, 2])))
            steps.append((kind, tuple(shape)))
        elif kind == "transpose":
            order = draw(st.permutations(range(len(shape))))
            shape = [shape[a] for a in order]
            steps.append((kind, tuple(order)))
        elif kind == "cast":
            steps.append((kind, draw(st.sampled_from(("float16", "float32", "bfloat16")))))
        else:
            steps.append((kind, None))
    return tuple(steps)


def moved(x, steps):
    calls = {
        "reshape": lambda h, to: ops.reshape(h, (-1, *to)),
        "transpose": lambda h, order: ops.transpose(h, (0, *(a + 1 for a in order))),
        "cast": ops.cast,
        "expand_dims": lambda h, _: ops.squeeze(ops.expand_dims(h, 1), 1),
        "copy": lambda h, _: ops.copy(h),
    }
    for kind, argument in steps:
        x = calls[kind](x, argument)
    return x


@pytest.mark.any_keras
@hypothesis.settings(max_examples=15)
@hypothesis.given(chains())
def test_random_chains(steps):
    model = Call(lambda m, x: ops.sum(ops.tanh(moved(x, steps)), axis=-1))
    graph = kerasfx.trace(model, keras.Input((2, 3, 4), name="x")).graph
    count = len(graph.nodes)
    run(graph, [*CLEAN_UP, *MERGE])
    assert len(graph.nodes) <= count
    x = np.random.default_rng(0).normal(size=(3, 2, 3, 4)).astype("float32")
    expected, found = (ops.convert_to_numpy(ops.cast(m(x), "float32")) for m in (model, kerasfx.emit(graph)))
    np.testing.assert_array_equal(found, expected)

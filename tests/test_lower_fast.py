"""The frame of lowering: weights with one place, `lower="fast"`, and what the report says of it."""

import keras
import numpy as np
import pytest
from keras import ops

import kerasfx
from kerasfx.errors import NotEquivalentError
from kerasfx.ir import LayerSpec
from kerasfx.passes import any_, op, parameter
from kerasfx.passes.lower.difference import NotMeasurableError, largest_difference
from kerasfx.passes.lower.rule import Lowering, Rule, lower, never

pytestmark = pytest.mark.any_backend


class Call(keras.Model):
    """A model whose `call` is a function; `kernel` is a weight of shape (4, 4), `scale` of (4,)."""

    def __init__(self, function, **of_kernel):
        super().__init__(name="net")
        self.function = function
        self.of_kernel = of_kernel

    def build(self, shape):
        self.kernel = self.add_weight(shape=(4, 4), name="kernel", **self.of_kernel)
        self.scale = self.add_weight(shape=(4,), name="scale")

    def call(self, x):
        return self.function(self, x)


X = keras.Input((4,), name="x")
MATMUL = op.matmul(any_("x"), parameter("kernel"))


def dense(graph, found):
    """A Dense without a bias."""
    weights = {"kernel": found["kernel"]}
    return graph.make(
        "keras.layers.Dense", found["x"], weights=weights, units=4, use_bias=False, like=found.root
    )


def tanh(graph, found):
    """A layer without weights."""
    return LayerSpec("keras.layers.Activation", {"activation": "tanh", "dtype": "float32"}, {}), found["x"]


DENSE = Rule("matmul to Dense", ("keras.ops.matmul",), MATMUL, dense)
TANH_BY_HAND = op.subtract(op.multiply(2.0, op.sigmoid(op.multiply(2.0, any_("x")))), 1.0)
TANH = Rule("sigmoid to tanh", ("keras.ops.subtract",), TANH_BY_HAND, tanh, never)
SOFTSIGN = Rule(
    "softsign to tanh, which is wrong", ("keras.ops.softsign",), op.softsign(any_("x")), tanh, never
)


def by_hand(x):
    """Tanh from sigmoid."""
    return 2.0 * ops.sigmoid(2.0 * x) - 1.0


def lowered(model, *rules, fast=False):
    """The graph after some rules, and whether they changed it."""
    graph = kerasfx.trace(model, X).graph
    graph.meta[Lowering] = Lowering(fast)
    changed = lower(graph, rules)
    graph.check()
    return graph, changed


def calls(graph):
    """What its nodes call."""
    return [
        n.spec.class_name.rpartition(".")[2] if n.spec else n.function.rpartition(".")[2] for n in graph.nodes
    ]


def prepared_with(monkeypatch, rule, model, **options):
    """Prepare a model with one more rule among those of the house."""

    def planted(graph):
        return lower(graph, [rule])

    monkeypatch.setattr(kerasfx.passes, "DEFAULT", [planted])
    monkeypatch.setattr(kerasfx.passes, "LOWERING", [planted])
    return kerasfx.prepare_model(model, X, **options)


# A weight has one place


def test_a_weight_that_is_used_once_goes_into_the_layer():
    graph, changed = lowered(Call(lambda m, x: x @ m.kernel), DENSE)
    assert changed
    assert calls(graph) == ["Dense"]


def test_calls_with_one_weight_become_one_layer():
    model = Call(lambda m, x: ops.tanh(x @ m.kernel) @ m.kernel)
    graph, _ = lowered(model, DENSE)
    assert calls(graph) == ["Dense", "tanh", "Dense"]
    first, _, last = graph.nodes
    assert last.stands_for is first.stands_for
    prepared = kerasfx.emit(graph)
    assert len(prepared.trainable_variables) == 1
    assert kerasfx.compare(model, prepared).exact


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: x @ m.kernel + ops.sum(m.kernel),
        lambda m, x: ops.tanh(x @ m.kernel) @ ops.transpose(m.kernel),
        lambda m, x: x @ m.kernel + ops.matmul(ops.reshape(x, (1, -1, 4)), m.kernel)[0],
    ],
    ids=["function", "transposed", "another layer"],
)
def test_a_weight_that_functions_need_as_well_stays_with_them(function):
    graph, changed = lowered(Call(function), DENSE)
    assert not changed or calls(graph).count("Dense") == 2


@pytest.mark.parametrize(
    ("of_kernel", "is_lowered"),
    [
        ({}, True),
        ({"regularizer": "l2"}, True),
        ({"constraint": keras.constraints.UnitNorm()}, True),
        ({"trainable": False}, True),
    ],
)
def test_what_a_weight_has_goes_with_it(of_kernel, is_lowered):
    graph, changed = lowered(Call(lambda m, x: x @ m.kernel, **of_kernel), DENSE)
    assert changed == is_lowered
    (kernel,) = kerasfx.emit(graph).weights
    assert kernel.trainable == of_kernel.get("trainable", True)
    assert (kernel.regularizer is None) == ("regularizer" not in of_kernel)


PRELU = Rule(
    "add to a layer without regularizers",
    ("keras.ops.multiply",),
    op.multiply(any_("x"), parameter("scale")),
    lambda graph, found: graph.make(
        "keras.layers.RMSNormalization", found["x"], weights={"scale": found["scale"]}, like=found.root
    ),
)


@pytest.mark.parametrize("kind", ["regularizer", "constraint"])
def test_a_layer_that_cannot_keep_a_regularizer_is_not_put_there(kind):
    model = Call(lambda m, x: x * m.kernel[0], **{})
    model.build((None, 4))
    setattr(
        model.scale,
        kind,
        {"regularizer": keras.regularizers.L2(), "constraint": keras.constraints.NonNeg()}[kind],
    )
    model.function = lambda m, x: x * m.scale
    assert not lowered(model, PRELU)[1]
    setattr(model.scale, kind, None)
    assert lowered(model, PRELU)[1]


# What is not exact


def test_a_rule_that_is_not_exact_waits_for_fast():
    model = Call(lambda m, x: by_hand(x @ m.kernel))
    assert not lowered(model, TANH)[1]
    graph, changed = lowered(model, TANH, fast=True)
    assert changed
    assert calls(graph)[-1] == "Activation"
    ((name, node, gap),) = graph.meta[Lowering].inexact
    assert (name, node.path) == ("sigmoid to tanh", "")
    assert 0 <= gap < 1e-6


def test_the_report_says_by_how_much(monkeypatch):
    model = Call(lambda m, x: by_hand(by_hand(x) + m.scale))
    prepared = prepared_with(monkeypatch, TANH, model, lower="fast")
    (finding,) = kerasfx.report(prepared).of_kind("inexact")
    assert finding.what.startswith("sigmoid to tanh, 2 times: ")
    assert finding.what.endswith(" at most on random numbers, in the model")
    assert finding.source.file.endswith("test_lower_fast.py")
    assert 'lower="fast"' in str(kerasfx.report(prepared))
    assert kerasfx.compare(model, prepared)
    assert kerasfx.report(prepared_with(monkeypatch, TANH, model)).of_kind("inexact") == []


def test_a_wrong_rule_is_caught(monkeypatch):
    model = Call(lambda m, x: ops.softsign(x @ m.kernel))
    with pytest.raises(NotEquivalentError, match="outputs            DIFFERENT"):
        prepared_with(monkeypatch, SOFTSIGN, model, lower="fast")
    prepared = prepared_with(monkeypatch, SOFTSIGN, model, lower="fast", verify=False)
    (finding,) = kerasfx.report(prepared).of_kind("inexact")
    assert float(finding.what.partition(": ")[2].partition(" ")[0]) > 0.01
    assert not kerasfx.compare(model, prepared)


def measured(rule, model, replacement=None):
    """What `largest_difference` says of the first place of a rule."""
    graph = kerasfx.trace(model, X).graph
    found = next(f for n in graph.nodes if (f := rule.pattern.match(n)))
    return largest_difference(
        graph, found, replacement(graph, found) if replacement else rule.build(graph, found)
    )


def test_the_difference_is_that_with_the_weights_as_they_are():
    model = Call(lambda m, x: x @ m.kernel)
    model.build((None, 4))
    assert measured(DENSE, model) < 1e-6
    model.kernel.assign(np.ones((4, 4)))

    def other(graph, found):
        weights = {"kernel": np.zeros((4, 4), "float32")}
        return graph.make("keras.layers.Dense", found["x"], weights=weights, units=4, use_bias=False)

    assert measured(DENSE, model, other) > 1.0


def test_the_difference_of_a_value_that_is_there():
    model = Call(lambda m, x: ops.softsign(x) @ m.kernel)
    assert 0 < measured(SOFTSIGN, model, lambda graph, found: found["x"]) < 10


def test_what_takes_something_else_is_not_measured():
    model = Call(lambda m, x: ops.softsign(ops.exp(x)))
    with pytest.raises(NotMeasurableError, match="is taken"):
        measured(SOFTSIGN, model, lambda graph, found: graph.inputs)

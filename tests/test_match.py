"""Patterns: what they find, what they leave, and why."""

import keras
import pytest
from keras import ops

import kerasfx
from kerasfx.ir import Node, Parameter
from kerasfx.passes import any_, constant, either, layer, op, parameter

pytestmark = pytest.mark.once

DENSE = op.add(op.matmul(any_("x"), parameter("kernel")), parameter("bias"))
SWISH = op.multiply(any_("x"), op.sigmoid(any_("x")))


class Call(keras.layers.Layer):
    """Calls `function(x, kernel, bias)`."""

    def __init__(self, function):
        super().__init__(name="call")
        self.function = function

    def build(self, shape):
        self.kernel = self.add_weight(shape=(4, 4), name="kernel")
        self.bias = self.add_weight(shape=(4,), name="bias")

    def call(self, x):
        return self.function(x, self.kernel, self.bias)


def graph_of(function):
    return kerasfx.trace(Call(function), keras.Input((4,), name="x")).graph


def found_in(pattern, function):
    return [found for _, found in pattern.find(graph_of(function))]


def why(pattern, function):
    """Why the pattern does not end in the last node."""
    return pattern.why_not(graph_of(function).nodes[-1])


def test_what_is_captured():
    (found,) = found_in(DENSE, lambda x, k, b: ops.matmul(x, k) + b)
    assert found["x"].name == "x"
    assert isinstance(found["kernel"].producer, Parameter)
    assert found["bias"].shape == (4,)
    assert [n.target for n in found.nodes] == ["keras.ops.add", "keras.ops.matmul"]
    assert found.root is found.nodes[0]
    assert "x" in found
    assert "y" not in found


@pytest.mark.parametrize(
    "function",
    [
        lambda x, k, b: b + x @ k,
        lambda x, k, b: ops.add(x1=ops.matmul(x1=x, x2=k), x2=b),
        lambda x, k, b: ops.add(b, x2=ops.matmul(x, x2=k)),
    ],
    ids=["other order", "by keyword", "mixed"],
)
def test_the_order_of_what_commutes_and_the_way_arguments_are_given_do_not_matter(function):
    assert len(found_in(DENSE, function)) == 1


def test_the_order_of_what_does_not_commute_matters():
    pattern = op.subtract(any_("x"), parameter())
    assert found_in(pattern, lambda x, k, b: x - b)
    assert not found_in(pattern, lambda x, k, b: b - x)


def test_an_argument_that_is_left_out_has_its_default():
    assert found_in(op.sum(any_("x")), lambda x, k, b: ops.sum(x))
    assert not found_in(op.sum(any_("x")), lambda x, k, b: ops.sum(x, axis=0))
    (found,) = found_in(op.sum(any_("x"), axis=any_("axis")), lambda x, k, b: ops.sum(x, axis=0))
    assert found["axis"] == 0


def test_what_has_one_name_is_one_thing():
    assert found_in(SWISH, lambda x, k, b: ops.sigmoid(x) * x)
    assert not found_in(SWISH, lambda x, k, b: ops.sigmoid(x) * (x + 1.0))


def test_what_others_use_is_left_unless_it_may_be_shared():
    def twice(x, k, b):
        product = x @ k
        return product + b, product

    assert not found_in(DENSE, twice)
    shared = op.add(op.matmul(any_("x"), parameter("kernel")).shared(), parameter("bias"))
    assert len(found_in(shared, twice)) == 1
    (graph,) = {id(g): g for g, _ in shared.find(graph_of(twice))}.values()
    assert DENSE.why_not(graph.nodes[-1]) == "'matmul' is used by the outputs, too"


def test_what_the_pattern_uses_twice_is_its_own():
    assert found_in(
        op.add(op.tanh(any_("x")), op.tanh(any_("x"))), lambda x, k, b: (lambda y: y + y)(ops.tanh(x))
    )


def test_the_last_way_is_found_that_leaves_nothing_used():
    """Both operands fit; the one that nobody else uses is taken."""

    def both(x, k, b):
        first, second = x @ k, ops.tanh(x) @ k
        return first + second, first

    pattern = op.add(op.matmul(any_("x"), any_()), any_("rest"))
    (found,) = found_in(pattern, both)
    assert found["rest"].name == "matmul"


def test_constants_are_near():
    half = op.multiply(any_("x"), 0.5)
    assert found_in(half, lambda x, k, b: x * 0.5)
    assert found_in(half, lambda x, k, b: ops.convert_to_tensor(0.5) * x)
    assert not found_in(half, lambda x, k, b: x * 0.4999)
    assert found_in(op.multiply(any_(), constant(0.5, rtol=1e-3)), lambda x, k, b: x * 0.4999)
    (found,) = found_in(op.multiply(any_("x"), constant(name="c")), lambda x, k, b: x * 3.0)
    assert float(found["c"]) == 3.0


def test_words_and_truth_values_are_exact():
    assert found_in(op.gelu(any_(), approximate=False), lambda x, k, b: ops.gelu(x, approximate=False))
    assert not found_in(op.gelu(any_(), approximate=False), lambda x, k, b: ops.gelu(x))


def test_lists_item_by_item():
    pattern = op.concatenate([any_("a"), op.tanh(any_("a"))], axis=any_())
    assert found_in(pattern, lambda x, k, b: ops.concatenate([x, ops.tanh(x)], axis=-1))
    assert not found_in(pattern, lambda x, k, b: ops.concatenate([x, ops.tanh(x), x], axis=-1))


def test_what_is_variadic():
    pattern = op.einsum("ab,bc->ac", any_("x"), parameter("kernel"))
    assert found_in(pattern, lambda x, k, b: ops.einsum("ab,bc->ac", x, k))
    assert not found_in(pattern, lambda x, k, b: ops.einsum("ab,cb->ac", x, k))


def test_functions_of_inner_modules():
    graph = graph_of(lambda x, k, b: ops.image.rgb_to_grayscale(ops.reshape(x, (-1, 2, 2, 1)) * ops.ones(3)))
    pattern = op.image.rgb_to_grayscale(any_("x"), data_format=any_())
    assert [found.root.target for _, found in pattern.find(graph)] == ["keras.ops.image.rgb_to_grayscale"]


def test_an_optional_part_and_alternatives():
    product = op.matmul(any_("x"), parameter("kernel"))
    pattern = op.tanh(either(op.add(product, parameter("bias")), product))
    (with_bias,) = found_in(pattern, lambda x, k, b: ops.tanh(x @ k + b))
    (without,) = found_in(pattern, lambda x, k, b: ops.tanh(x @ k))
    assert "bias" in with_bias
    assert "bias" not in without


def test_predicates():
    pattern = op.tanh(any_("x", lambda x: len(x.shape) == 3))
    assert not found_in(pattern, lambda x, k, b: ops.tanh(x))
    assert found_in(pattern, lambda x, k, b: ops.tanh(ops.expand_dims(x, 1)))


def test_a_call_has_a_name_as_a_node():
    (found,) = found_in(op.tanh(op.exp(any_("x")).named("inner")), lambda x, k, b: ops.tanh(ops.exp(x)))
    assert isinstance(found["inner"], Node)
    assert found["inner"].target == "keras.ops.exp"


def test_what_lies_in_the_bodies_of_control_flow():
    graph = graph_of(lambda x, k, b: ops.cond(ops.sum(x) > 0, lambda: x * ops.sigmoid(x), lambda: x))
    ((place, found),) = SWISH.find(graph)
    assert place is not graph
    assert found.root in place.nodes


def test_it_may_edit_what_it_walks_over():
    graph = graph_of(lambda x, k, b: ops.tanh(ops.tanh(ops.tanh(ops.tanh(x)))))
    for place, found in op.tanh(op.tanh(any_("x"))).find(graph):
        inner = found.nodes[1]
        place.replace_uses(found.root.outputs, found["x"])
        place.remove(found.root)
        place.remove(inner)
    assert [n.target for n in graph.check().nodes] == []


class TestLayers:
    def graph(self, inner, *args, **kwargs):
        class Net(keras.Model):
            def __init__(self):
                super().__init__(name="net")
                self.inner = inner

            def call(self, x):
                return ops.tanh(self.inner(x, *args, **kwargs))

        return kerasfx.trace(Net(), keras.Input((4,))).graph

    def found(self, pattern, *args, **kwargs):
        return [found for _, found in pattern.find(self.graph(*args, **kwargs))]

    def test_its_class_and_its_config(self):
        dense = keras.layers.Dense(3, activation="gelu", name="dense")
        pattern = op.tanh(
            layer(keras.layers.Dense, any_("x"), activation="gelu", units=any_("units")).named("d")
        )
        (found,) = self.found(pattern, dense)
        assert found["units"] == 3
        assert found["d"].layer is dense
        assert not self.found(pattern, keras.layers.Dense(3, activation="relu"))
        assert not self.found(pattern, keras.layers.EinsumDense("ab,bc->ac", 3, activation="gelu"))

    def test_one_to_be_made(self):
        graph = graph_of(lambda x, k, b: ops.tanh(x) + x)
        kerasfx.passes.use_standard_layers(graph)
        assert [f["a"] for _, f in layer(keras.layers.Activation, any_("a"), activation="tanh").find(graph)]

    def test_a_class_of_the_users_of_the_same_name_is_another(self):
        @keras.saving.register_keras_serializable("test_match")
        class Dense(keras.layers.Dense):
            def call(self, x):
                return super().call(x)

        assert not self.found(layer(keras.layers.Dense, any_()), Dense(3))

    def test_a_call_in_a_mode_of_its_own_is_another(self):
        pattern = layer(keras.layers.BatchNormalization, any_("x"))
        assert self.found(pattern, keras.layers.BatchNormalization())
        assert not self.found(pattern, keras.layers.BatchNormalization(), training=True)
        graph = self.graph(keras.layers.BatchNormalization(), training=True)
        assert "is called with training, too" in pattern.why_not(graph.nodes[0])


class TestReasons:
    def test_the_one_that_came_furthest_is_given(self):
        assert why(DENSE, lambda x, k, b: x @ k + 1.0) == "1.0 is not a parameter"
        assert why(DENSE, lambda x, k, b: ops.tanh(x)) == "%tanh does not come from keras.ops.add"
        assert why(SWISH, lambda x, k, b: x * ops.sigmoid(b)) == "%bias is not %x, which is 'x' as well"
        assert why(op.sum(any_()), lambda x, k, b: ops.sum(x, axis=0)) == "0 is not None"

    def test_there_is_none_where_it_fits(self):
        assert why(DENSE, lambda x, k, b: x @ k + b) == ""


def test_a_mistyped_function_or_argument_is_refused_at_once():
    with pytest.raises(AttributeError, match="gleu"):
        op.gleu(any_())
    with pytest.raises(TypeError, match="aproximate"):
        op.gelu(any_(), aproximate=False)


def test_division_in_python_is_divide():
    assert found_in(op.divide(any_("x"), parameter("k")), lambda x, k, b: x / b)


def test_a_question_for_values_does_not_fit_numbers():
    pattern = op.add(any_("x", lambda x: len(x.shape) == 2), any_())
    (found,) = found_in(pattern, lambda x, k, b: 1.0 + x)
    assert found["x"].name == "x"


def test_a_layer_whose_config_is_not_known_does_not_fit():
    class Secret(keras.layers.Layer):
        def get_config(self):
            raise ValueError("secret")

        def call(self, x):
            return x

    inputs = keras.Input((4,))
    graph = kerasfx.trace(keras.Model(inputs, Secret()(inputs)), leaves=[Secret]).graph
    pattern = layer(Secret, any_(), units=3)
    assert not list(pattern.find(graph))
    assert "secret" in pattern.why_not(graph.nodes[0])


def test_a_layer_of_an_earlier_pass_is_found_by_its_defaults():
    graph = graph_of(lambda x, k, b: ops.tanh(x))
    node = graph.make("keras.layers.LayerNormalization", *graph.nodes[0].args)
    assert layer(keras.layers.LayerNormalization, any_(), axis=any_(), scale=True).match(node)


def test_the_mode_of_the_graph_is_no_mode_of_its_own():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.BatchNormalization()(inputs))
    pattern = layer(keras.layers.BatchNormalization, any_("x"))
    for mode in ("inference", "training"):
        assert list(pattern.find(kerasfx.trace(model, mode=mode).graph)), mode

"""Layers that a pass makes have the weights that it named, with all that the original says of these."""

import gc
import weakref

import keras
import numpy as np
import pytest
from keras import ops

import kerasfx
from kerasfx.errors import GraphError, NotInPreparedModelError, NotInvertibleError, WeightsMismatchError
from kerasfx.handover.compiled import compile_like
from kerasfx.handover.keep_class import keep_class
from kerasfx.handover.provenance import provenance_of
from kerasfx.ir.weights import concatenate, sqrt, transpose, weight


def data(seed=0):
    random = np.random.default_rng(seed)
    return random.standard_normal((8, 4), "float32"), random.standard_normal((8, 3), "float32")


class Net(keras.Model):
    """`matmul + add` twice, as code that was written before there was a Dense."""

    def __init__(self, **given):
        super().__init__(name="net")
        self.given = given

    def build(self, shape):
        self.w = self.add_weight(shape=(4, 4), name="w", **self.given)
        self.b = self.add_weight(shape=(4,), name="b", initializer="ones")
        self.v = self.add_weight(shape=(4, 4), name="v")
        self.c = self.add_weight(shape=(4,), name="c", initializer="zeros")
        self.head = keras.layers.Dense(3)

    def call(self, x):
        hidden = ops.tanh(ops.matmul(x, self.w) + self.b)
        return self.head(ops.tanh(ops.matmul(hidden, self.v) + self.c))


def built(**given):
    keras.utils.set_random_seed(7)
    net = Net(**given)
    net(data()[0])
    return net


def affine(graph):
    """The nodes `matmul(x, w) + b`, with x, w and b."""
    for node in graph.nodes:
        if node.function == "keras.ops.add" and node.args[0].node is not None:
            product, bias = node.args
            if product.node.function == "keras.ops.matmul":
                yield node, *product.node.args, bias


def dense(graph, node, x, kernel, bias, **config):
    weights = {"kernel": kernel, "bias": bias}
    new = graph.make("keras.layers.Dense", x, weights=weights, like=node, units=bias.shape[0], **config)
    graph.replace(node, new)


def to_dense(graph, **config):
    """The pass: a Dense in the place of each `matmul + add`."""
    found = list(affine(graph))
    for node, x, w, b in found:
        dense(graph, node, x, w, b, **config)
    graph.prune()
    return bool(found)


def changed(net, edit=to_dense, **options):
    traced = kerasfx.trace(net, data()[0])
    edit(traced.graph)
    traced.graph.check()
    return kerasfx.emit(traced, **options)


def is_equivalent(a, b):
    return kerasfx.compare(a, b, samples=1, batch_sizes=(2,))


def failed(comparison):
    return {check.name for check in comparison.checks if not check.passed}


def numpy(x):
    return ops.convert_to_numpy(x)


def trained(model, optimizer="adam", steps=1):
    model.compile(optimizer, "mse")
    for _ in range(steps):
        model.train_on_batch(*data())
    return model


def kinds(model):
    return [type(x).__name__ for x in model.layers]


def reloaded(model, tmp_path):
    model.save(tmp_path / "model.keras")
    return keras.models.load_model(tmp_path / "model.keras")


def losses(model):
    model(data()[0])
    return np.sort([float(numpy(x)) for x in model.losses])


# A variable of the original


@pytest.mark.parametrize("weights", ["copy", "share"])
def test_the_weights_are_those_of_the_original(weights, tmp_path):
    """Through outputs, perturbed weights, a step, training, a file and a clone."""
    net = built(regularizer="l2", constraint="non_neg")
    prepared = changed(net, weights=weights)
    assert kinds(prepared) == ["InputLayer", "Dense", "Tanh", "Dense", "Tanh", "Dense"]
    comparison = is_equivalent(net, prepared)
    assert comparison, comparison
    first = prepared.layers[1]
    if weights == "share":
        assert first.kernel is net.w
        assert [id(v) for v in first.variables] == [id(net.w), id(net.b)]
    assert isinstance(first.kernel.regularizer, keras.regularizers.L2)
    assert isinstance(first.kernel.constraint, keras.constraints.NonNeg)
    assert first.bias.regularizer is None
    loaded = reloaded(prepared, tmp_path)
    np.testing.assert_array_equal(numpy(loaded(data()[0])), numpy(prepared(data()[0])))
    np.testing.assert_array_equal(losses(loaded), losses(net))
    assert isinstance(loaded.layers[1].kernel.constraint, keras.constraints.NonNeg)
    clone = keras.models.clone_model(prepared)
    assert len(kerasfx.copy_weights(prepared, clone).copied) == len(net.variables)
    np.testing.assert_array_equal(numpy(clone(data()[0])), numpy(prepared(data()[0])))


def test_training_comes_home_and_goes_back(tmp_path):
    net = built()
    prepared = trained(changed(net))
    result = kerasfx.copy_weights(prepared, net)
    assert len(result.copied) == len(net.variables)
    assert not result.left_in_source
    np.testing.assert_array_equal(numpy(net(data()[0])), numpy(prepared(data()[0])))
    net.w.assign(net.w + 1.0)
    kerasfx.copy_weights(net, prepared)
    np.testing.assert_array_equal(numpy(prepared.layers[1].kernel), numpy(net.w))
    # A file has no record; the model that was prepared like it stands between.
    net.w.assign(net.w + 1.0)
    loaded = reloaded(prepared, tmp_path)
    with pytest.raises(WeightsMismatchError, match="passes="):
        kerasfx.copy_weights(loaded, net)
    kerasfx.copy_weights(loaded, changed(net, weights="share"))
    np.testing.assert_array_equal(numpy(net.w), numpy(loaded.layers[1].kernel))


def test_the_optimizer_goes_on_with_the_right_variables():
    net = trained(built(), keras.optimizers.SGD(0.1, momentum=0.9), steps=2)
    prepared = changed(net)
    compile_like(net, prepared, provenance_of(prepared))
    for model in (net, prepared):
        model.train_on_batch(*data(1))
    for v, w in provenance_of(prepared).variables:
        np.testing.assert_allclose(numpy(v), numpy(w), rtol=1e-5, atol=1e-6)


class Tied(keras.Model):
    """One projection, applied twice."""

    def build(self, shape):
        self.w = self.add_weight(shape=(4, 4), name="w")
        self.b = self.add_weight(shape=(4,), name="b")

    def call(self, x):
        once = ops.tanh(ops.matmul(x, self.w) + self.b)
        return ops.matmul(once, self.w) + self.b


def tied():
    net = Tied()
    net(data()[0])
    return net


def test_weights_that_are_used_twice_make_one_layer():
    net = tied()
    prepared = changed(net)
    assert kinds(prepared) == ["InputLayer", "Dense", "Tanh"]
    comparison = is_equivalent(net, prepared)
    assert comparison, comparison


def test_weights_are_not_held_by_two_unlike_layers():
    """As two variables they would train apart."""

    def edit(graph):
        (first, x, w, b), (second, y, _, _) = affine(graph)
        dense(graph, first, x, w, b)
        dense(graph, second, y, w, b, activation="tanh")
        graph.prune()

    with pytest.raises(GraphError, match="the variable w is held by 'add' and by 'add_1'"):
        changed(tied(), edit)


class Attention(keras.Model):
    """Attention by hand, whose weights are those of the layer that it could have been."""

    def __init__(self):
        super().__init__()
        self.attention = keras.layers.MultiHeadAttention(2, 3)

    def call(self, x):
        return self.attention(x, x)


def test_a_layer_with_layers_inside_is_made_again():
    """Slots go by path: "query/kernel"."""
    net = Attention()
    x = np.random.default_rng(0).standard_normal((2, 5, 4)).astype("float32")
    net(x)
    traced = kerasfx.trace(net, x)
    graph = traced.graph
    node = next(n for n in graph.nodes if n.layer is net.attention)
    weights = {name: graph.weight_of(node, name) for name in node.call.weights}
    assert {"query/kernel", "attention_output/bias"} <= set(weights)
    new = graph.make("keras.layers.MultiHeadAttention", *node.args, weights=weights, num_heads=2, key_dim=3)
    graph.insert_before(node, new)
    graph.replace_uses(node.results[0], new.results[0])
    graph.remove(node)
    prepared = kerasfx.emit(traced)
    assert prepared.layers[-1] is not net.attention
    comparison = is_equivalent(net, prepared)
    assert comparison, comparison


class Half(keras.layers.Layer):
    """Float32 weights, computed with in bfloat16."""

    def build(self, shape):
        self.w = self.add_weight(shape=(4, 4), name="w")
        self.b = self.add_weight(shape=(4,), name="b")

    def call(self, x):
        return ops.matmul(x, self.w) + self.b


def test_a_mixed_policy_is_that_of_the_new_layer():
    """The weights are float32 in the original, and cast by a node each."""
    inputs = keras.Input((4,))
    net = keras.Model(inputs, Half(dtype="mixed_bfloat16")(inputs), name="half")

    def edit(graph):
        ((node, x, w, b),) = affine(graph)
        assert w.node.function == "keras.ops.cast"
        dense(graph, node, x, w.node.args[0], b.node.args[0])
        graph.prune()

    prepared = changed(net, edit)
    assert prepared.layers[-1].dtype_policy.name == "mixed_bfloat16"
    comparison = is_equivalent(net, prepared)
    assert comparison, comparison


class FirstRow(keras.regularizers.Regularizer):
    """Code of the user's."""

    def __call__(self, x):
        return 0.1 * ops.sum(ops.abs(x[0]))


def test_a_regularizer_of_the_users_is_recorded(tmp_path):
    net = built(regularizer=FirstRow())
    prepared = changed(net)
    assert type(prepared.layers[1].kernel_regularizer).__name__ == "RecordedRegularizer"
    np.testing.assert_allclose(losses(reloaded(prepared, tmp_path)), losses(net), rtol=1e-6)


def test_the_config_cannot_say_another_regularizer():
    net = built(regularizer="l2")

    def without_bias(graph):
        node, x, w, _ = next(affine(graph))
        config = {"units": 4, "use_bias": False, "kernel_regularizer": "l1"}
        new = graph.make("keras.layers.Dense", x, weights={"kernel": w}, **config)
        graph.insert_before(node.args[0].node, new)
        graph.replace_uses(node.args[0], new.results[0])
        graph.prune()

    with pytest.raises(
        GraphError, match=r"(?s)kernel_regularizer='l1'.*L2.*leave kernel_regularizer out"
    ) as caught:
        changed(net, without_bias)
    assert "Node 'dense' (Dense)" in str(caught.value)


# Trained or not


def test_what_is_frozen_stays_frozen(tmp_path):
    net = built()
    net.w.trainable = net.b.trainable = False
    prepared = changed(net)
    comparison = is_equivalent(net, prepared)
    assert comparison, comparison
    loaded = reloaded(prepared, tmp_path)
    for model in (prepared, loaded, keras.models.clone_model(prepared)):
        assert len(model.trainable_variables) == len(net.trainable_variables) == 4


def test_keras_saves_trainable_for_a_whole_layer(tmp_path):
    """Why a weight that is frozen beside a trained one is refused in one layer."""
    layer = keras.layers.Dense(2)
    model = keras.Sequential([keras.Input((3,)), layer])
    layer.bias.trainable = False
    assert len(model.trainable_variables) == 1
    assert len(reloaded(model, tmp_path).trainable_variables) == 2


def test_one_frozen_weight_of_two_is_refused():
    net = built()
    net.b.trainable = False
    with pytest.raises(GraphError) as caught:
        changed(net)
    for said in ("Node 'add' (Dense)", "net/w is trained and net/b is not", "saves `trainable`", "do:"):
        assert said in str(caught.value)


def test_the_config_cannot_freeze_what_is_trained():
    with pytest.raises(GraphError, match="its config says trainable=False, but its weights say True"):
        changed(built(), lambda graph: to_dense(graph, trainable=False))


# Constants


class Fixed(keras.Model):
    """A projection by an array."""

    def __init__(self):
        super().__init__()
        self.table = np.random.default_rng(0).standard_normal((4, 20)).astype("float32")

    def call(self, x):
        return ops.matmul(x, self.table)


def test_a_constant_is_not_trained(tmp_path):
    def edit(graph):
        node = next(n for n in graph.nodes if n.function == "keras.ops.matmul")
        kernel = {"kernel": node.args[1]}
        config = {"units": 20, "use_bias": False}
        graph.replace(
            node, graph.make("keras.layers.Dense", node.args[0], weights=kernel, like=node, **config)
        )
        graph.prune()

    net = Fixed()
    net(data()[0])
    prepared = changed(net, edit)
    assert kinds(prepared) == ["InputLayer", "Dense"]
    assert not prepared.trainable_variables
    assert not reloaded(prepared, tmp_path).trainable_variables
    comparison = is_equivalent(net, prepared)
    assert comparison, comparison


# Computed weights


class Heads(keras.Model):
    """Two projections of one input, side by side."""

    def __init__(self, **given):
        super().__init__(name="heads")
        self.given = given

    def build(self, shape):
        self.w1 = self.add_weight(shape=(4, 1), name="w1", **self.given)
        self.w2 = self.add_weight(shape=(2, 4), name="w2", **self.given)

    def call(self, x):
        return ops.concatenate([ops.matmul(x, self.w1), ops.matmul(x, ops.transpose(self.w2))], -1)


def heads(**given):
    keras.utils.set_random_seed(7)
    net = Heads(**given)
    net(data()[0])
    return net


def computing(expression):
    """A pass that puts one Dense there, whose kernel is computed from the two weights."""

    def edit(graph):
        w1, w2 = (v for v in graph.parameters if v.variable.name in ("w1", "w2"))
        last = graph.outputs.node
        kernel = {"kernel": expression(weight(w1), weight(w2))}
        x = graph.inputs
        new = graph.make("keras.layers.Dense", x, weights=kernel, like=last, units=3, use_bias=False)
        graph.replace(last, new)
        graph.prune()

    return edit


rearranged = computing(lambda w1, w2: concatenate([w1, transpose(w2)], 1))
scaled = computing(lambda w1, w2: concatenate([w1 * 2.0 * 0.5, transpose(w2)], 1))
mixed = computing(lambda w1, w2: concatenate([w1 * (w1 / w1), transpose(w2)], 1))


def test_rearranged_weights_train_alike(tmp_path):
    """The oracle perturbs what they are computed from, and compares gradients through the expression."""
    net = heads()
    prepared = changed(net, rearranged)
    assert kinds(prepared) == ["InputLayer", "Dense"]
    comparison = is_equivalent(net, prepared)
    assert comparison, comparison
    assert "0 pairs, 0 unused, 1 computed" in str(comparison)
    assert len(reloaded(prepared, tmp_path).trainable_variables) == 1


def test_rearranged_weights_come_home():
    net = heads()
    prepared = trained(changed(net, rearranged))
    kernel = numpy(prepared.layers[1].kernel)
    result = kerasfx.copy_weights(prepared, net)
    assert "computed: " in str(result)
    assert not result.left_in_source
    assert not result.left_in_target
    np.testing.assert_array_equal(numpy(net.w1), kernel[:, :1])
    np.testing.assert_array_equal(numpy(net.w2), kernel[:, 1:].T)
    net.w1.assign(net.w1 + 1.0)
    kerasfx.copy_weights(net, prepared)
    np.testing.assert_array_equal(numpy(prepared.layers[1].kernel)[:, :1], numpy(net.w1))


def test_the_state_of_the_optimizer_is_rearranged():
    net = trained(heads(), keras.optimizers.SGD(0.1, momentum=0.9), steps=2)
    prepared = changed(net, rearranged)
    compile_like(net, prepared, provenance_of(prepared))
    for model in (net, prepared):
        model.train_on_batch(*data(1))
    expected = np.concatenate([numpy(net.w1), numpy(net.w2).T], 1)
    np.testing.assert_allclose(numpy(prepared.layers[1].kernel), expected, rtol=1e-5, atol=1e-6)


def test_an_optimizer_that_keeps_state_for_rows_and_columns_is_refused():
    net = trained(heads(), "adafactor")
    prepared = changed(net, rearranged)
    with pytest.raises(ValueError, match="does not step for each element by itself"):
        compile_like(net, prepared, provenance_of(prepared))


def test_arithmetic_does_not_train_alike():
    net = heads()
    prepared = changed(net, scaled)
    comparison = is_equivalent(net, prepared)
    assert failed(comparison) == {"optimizer step"}
    assert "does not train like what it was computed from" in str(comparison)
    trained(net)
    with pytest.raises(ValueError, match="it does not train as these do"):
        compile_like(net, prepared, provenance_of(prepared))


def test_arithmetic_is_undone_on_the_way_home():
    net = heads()
    prepared = trained(changed(net, scaled))
    kerasfx.copy_weights(prepared, net)
    np.testing.assert_allclose(numpy(net.w1), numpy(prepared.layers[1].kernel)[:, :1], rtol=1e-6)


def test_what_cannot_be_undone_is_refused_before_anything_is_written():
    net = heads()
    prepared = trained(changed(net, mixed))
    before = [numpy(v).copy() for v in net.variables]
    with pytest.raises(WeightsMismatchError, match="nothing was copied") as caught:
        kerasfx.copy_weights(prepared, net)
    assert isinstance(caught.value.__cause__, NotInvertibleError)
    assert "occurs in it 3 times" in str(caught.value)
    for v, value in zip(net.variables, before, strict=True):
        np.testing.assert_array_equal(numpy(v), value)
    kerasfx.copy_weights(net, prepared)
    np.testing.assert_array_equal(numpy(prepared(data()[0])), numpy(changed(net, mixed)(data()[0])))


def test_functions_take_computed_weights(tmp_path):
    """As a weight of the graph."""
    net = heads(regularizer="l2")

    def edit(graph):
        w1, w2 = (v for v in graph.parameters if v.variable.name in ("w1", "w2"))
        kernel = graph.computed(concatenate([weight(w1), transpose(w2)], 1))
        last = graph.outputs.node
        graph.replace(last, graph.make("keras.ops.matmul", graph.inputs, kernel, like=last))
        graph.prune()

    prepared = changed(net, edit)
    assert kinds(prepared) == ["InputLayer", "Matmul"]
    comparison = is_equivalent(net, prepared)
    assert comparison, comparison
    np.testing.assert_allclose(losses(reloaded(prepared, tmp_path)).sum(), losses(net).sum(), rtol=1e-6)
    trained(prepared)
    assert kerasfx.copy_weights(prepared, net).computed
    np.testing.assert_array_equal(numpy(net.w2), numpy(prepared.layers[1].variables[0])[:, 1:].T)
    with pytest.raises(ValueError, match='weights="share" is not possible'):
        changed(net, edit, weights="share")


def test_computed_weights_are_not_shared():
    net = heads()
    with pytest.raises(ValueError, match=r'weights="share" is not possible: .*concatenate'):
        changed(net, rearranged, weights="share")
    assert kerasfx.compare(net, kerasfx.prepare_model(net, data()[0], weights="share"), samples=1)


def test_a_regularizer_of_elements_goes_along(tmp_path):
    net = heads(regularizer="l1")
    prepared = changed(net, rearranged)
    comparison = is_equivalent(net, prepared)
    assert comparison, comparison  # two losses became one, of the same sum
    loaded = reloaded(prepared, tmp_path)
    np.testing.assert_allclose(losses(loaded).sum(), losses(net).sum(), rtol=1e-6)


@pytest.mark.parametrize("given", [{"regularizer": "orthogonal_regularizer"}, {"constraint": "max_norm"}])
def test_what_depends_on_the_place_of_an_element_is_refused(given):
    with pytest.raises(GraphError, match="asks where in the weight an element lies"):
        changed(heads(**given), rearranged)


def test_a_regularizer_that_is_lost_is_reported():
    prepared = changed(heads(regularizer="l2"), scaled)
    assert "the regularizer of heads/w1 is not that of 'kernel'" in str(kerasfx.report(prepared))


def convolution():
    keras.utils.set_random_seed(7)
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.Conv2D(3, 3, kernel_regularizer="l2", bias_initializer="ones")(inputs)
    return keras.Model(inputs, keras.layers.BatchNormalization()(x), name="convolution")


def folding(graph):
    """A BatchNormalization becomes part of the convolution before it."""
    norm = next(n for n in graph.nodes if isinstance(n.layer, keras.layers.BatchNormalization))
    before = norm.args[0].node
    kernel, bias = (weight(graph.weight_of(before, name)) for name in ("kernel", "bias"))
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    gamma, beta, mean, variance = (weight(graph.weight_of(norm, name)) for name in names)
    factor = gamma / sqrt(variance + norm.layer.epsilon)
    weights = {"kernel": kernel * factor, "bias": (bias - mean) * factor + beta}
    new = graph.make(
        "keras.layers.Conv2D", *before.args, weights=weights, like=norm, filters=3, kernel_size=3
    )
    graph.replace(norm, new)
    graph.prune()


def test_what_is_right_in_inference_is_told_from_what_trains_alike():
    net = convolution()
    traced = kerasfx.trace(net)
    folding(traced.graph)
    prepared = kerasfx.emit(traced)
    assert kinds(prepared) == ["InputLayer", "Conv2D"]
    everything = is_equivalent(net, prepared)
    assert failed(everything) >= {"training outputs", "training updates", "losses", "optimizer step"}
    comparison = kerasfx.compare(net, prepared, samples=1, modes=("inference",))
    assert comparison, comparison
    assert "losses were not compared: the regularizer of 'conv2d/kernel'" in str(comparison)
    with pytest.raises(WeightsMismatchError, match="both sides of"):
        kerasfx.copy_weights(prepared, net)
    net.layers[-1].moving_mean.assign(ops.ones(3))
    assert len(kerasfx.copy_weights(net, prepared).computed) == 2
    assert kerasfx.compare(net, prepared, samples=1, modes=("inference",))


def test_the_original_may_go():
    net = heads()
    prepared = changed(net, rearranged)
    gone = weakref.ref(net)
    del net
    gc.collect()
    assert gone() is None
    assert provenance_of(prepared).computed


# keep_class


def of_class(net, edit):
    traced = kerasfx.trace(net, data()[0])
    edit(traced.graph)
    prepared = kerasfx.emit(traced)
    keep_class(net, prepared, traced.graph, provenance_of(prepared), share=False)
    return prepared


def test_attributes_are_those_of_the_new_layer():
    prepared = of_class(built(), to_dense)
    assert prepared.w is prepared.layers[1].kernel
    assert prepared.c is prepared.layers[3].bias


def test_attributes_that_were_computed_into_others_are_refused():
    prepared = of_class(heads(), rearranged)
    with pytest.raises(NotInPreparedModelError, match=r"a pass has computed .*concatenate"):
        _ = prepared.w1


def test_a_layer_that_was_replaced_is_refused_as_such():
    net = convolution()
    traced = kerasfx.trace(net)
    folding(traced.graph)
    prepared = kerasfx.emit(traced)
    net.norm = net.layers[-1]
    keep_class(net, prepared, traced.graph, provenance_of(prepared), share=False)
    with pytest.raises(NotInPreparedModelError, match=r"a pass has put Conv2D '.*' where Batch") as told:
        _ = prepared.norm
    # Kept whole it would be replaced as well.
    assert "leave out the pass" in str(told.value)
    assert "leaves=" not in str(told.value)


# Changes after that


def test_lora_of_a_new_layer_does_not_come_home_in_silence():
    net = built()
    prepared = changed(net)
    prepared.layers[1].enable_lora(1)
    with pytest.raises(WeightsMismatchError, match="other variables than when it was made"):
        kerasfx.copy_weights(prepared, net)


# Seeds


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_a_new_layer_may_draw(rate):
    """Its seed has no counterpart; what it does in training is compared all the same."""

    def edit(graph):
        node = next(n for n in graph.nodes if n.function == "keras.ops.tanh")
        drop = graph.make("keras.layers.Dropout", node.results[0], rate=rate)
        graph.insert_after(node, drop)
        graph.replace_uses(node.results[0], drop.results[0], except_=(drop,))

    net = built()
    prepared = changed(net, edit)
    assert kerasfx.compare(net, prepared, samples=1, modes=("inference",))
    assert bool(is_equivalent(net, prepared)) == (rate == 0.0)


# The oracle catches wrong passes


def swapping(graph):
    """Exchanges two weights of one shape."""
    (first, x, w, b), (second, y, v, c) = affine(graph)
    dense(graph, first, x, v, b)
    dense(graph, second, y, w, c)
    graph.prune()


def transposing(graph):
    """Takes a square kernel the other way round."""
    node, x, w, b = next(affine(graph))
    dense(graph, node, x, transpose(w), b)
    graph.prune()


def forgetting(graph):
    """Makes of a weight another one, without its regularizer."""
    node, x, w, b = next(affine(graph))
    dense(graph, node, x, weight(w) * 1.0, b)
    graph.prune()


def freezing(graph):
    """Lets no gradient reach a weight."""
    node, _, w, _ = next(affine(graph))
    frozen = graph.make("keras.ops.stop_gradient", w)
    graph.insert_before(node.args[0].node, frozen)
    graph.replace_uses(w, frozen.results[0], except_=(frozen,))


def writing_down(graph):
    """Takes the present values of two weights for constants."""
    node, x, w, b = next(affine(graph))
    dense(graph, node, x, numpy(w.variable), graph.add_constant(numpy(b.variable)))
    graph.prune()


WRONG = {
    swapping: {"outputs", "perturbed outputs"},
    transposing: {"outputs", "perturbed outputs"},
    forgetting: {"losses", "optimizer step"},
    freezing: {"optimizer step"},
    writing_down: {"perturbed outputs", "losses"},
}


@pytest.mark.parametrize("edit", WRONG, ids=lambda f: f.__name__)
def test_wrong_weights_are_found(edit):
    net = built(regularizer="l2")
    comparison = is_equivalent(net, changed(net, edit))
    assert failed(comparison) >= WRONG[edit], comparison


def wrapped(make_config):
    """A model of a Dense over time, and a pass that gives its layer to another layer."""
    inputs = keras.Input((5, 4))
    model = keras.Model(inputs, keras.layers.Dense(3)(inputs))

    def edit(graph):
        node = graph.nodes[0]
        given = {name: graph.weight_of(node, name) for name in ("kernel", "bias")}
        name, config = make_config(node.layer)
        graph.replace(node, graph.make(name, node.args[0], weights=given, like=node, **config))
        return True

    return model, edit


@pytest.mark.parametrize("weights", ["copy", "share"])
def test_a_layer_in_the_config_of_a_new_one_is_not_that_of_the_original(weights):
    model, edit = wrapped(lambda layer: ("keras.layers.TimeDistributed", {"layer": layer}))
    prepared = kerasfx.prepare_model(model, passes=[edit], weights=weights)
    assert prepared.layers[1].layer is not model.layers[1]
    shared = {id(v) for v in prepared.variables} & {id(v) for v in model.variables}
    assert len(shared) == (2 if weights == "share" else 0)
    if weights == "copy":
        before = [v.numpy() for v in model.variables]
        for variable in prepared.variables:
            variable.assign(variable + 1)
        assert all((v.numpy() == x).all() for v, x in zip(model.variables, before, strict=True))


def test_nothing_is_written_to_a_variable_of_the_original():
    class Cells(list):
        """Not seen as a list of layers to copy."""

    inputs = keras.Input((5, 4))
    cell = keras.layers.SimpleRNNCell(3)
    model = keras.Model(inputs, keras.layers.RNN([cell])(inputs))
    before = [v.numpy() for v in model.variables]

    def edit(graph):
        node = graph.nodes[0]
        names = list(node.call.weights)
        given = {name: weight(graph.weight_of(node, name)) * 2.0 for name in names}
        new = graph.make("keras.layers.RNN", node.args[0], cell=Cells([cell]), weights=given, like=node)
        graph.replace(node, new)
        return True

    with pytest.raises(GraphError, match="would change the original"):
        kerasfx.prepare_model(model, passes=[edit], verify=False)
    assert all((v.numpy() == x).all() for v, x in zip(model.variables, before, strict=True))

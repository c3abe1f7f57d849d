"""Options of `prepare_model` for tools that ask for them: what they make of a graph, and what they leave."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerasfx
from kerasfx.passes.options.use_original_names import use_original_names

RNG = np.random.default_rng(0)
X = (10 * RNG.normal(size=(3, 4))).astype("float32")


def prepared(model, inputs=(4,), **options):
    return kerasfx.prepare_model(model, keras.Input(inputs), **options)


def kinds(model):
    return [type(layer).__name__ for layer in model.layers if not isinstance(layer, layers.InputLayer)]


def calls_of_each_layer(model):
    nodes = [node for ops_at in model._nodes_by_depth.values() for node in ops_at]
    called = [node.operation.name for node in nodes]
    return [called.count(layer.name) for layer in model.layers]


def loaded(model, tmp_path):
    model.save(tmp_path / "model.keras")
    return keras.saving.load_model(tmp_path / "model.keras")


def numbers(model, x=X):
    return ops.convert_to_numpy(model(x))


# A layer for each call


class Shared(keras.Model):
    """Layers that are called twice: without state, with weights, with a seed, of the user's."""

    def __init__(self):
        super().__init__(name="shared")
        self.act = layers.Activation("tanh")
        self.limit = layers.ReLU(max_value=2.0, name="limit")
        self.proj = layers.Dense(4)
        self.drop = layers.Dropout(0.5, seed=1)

    def call(self, x):
        h = self.limit(self.act(self.proj(x)))
        return self.act(self.drop(self.limit(self.proj(self.drop(h)))))


@pytest.mark.parametrize("weights", ["copy", "share"])
def test_unshare(weights, tmp_path):
    model = Shared()
    model(X)
    one = prepared(model)
    assert kinds(one).count("Activation") == kinds(one).count("ReLU") == 1
    each = prepared(model, weights=weights, unshare=True)
    assert kinds(each).count("Activation") == kinds(each).count("ReLU") == 2
    assert {layer.name for layer in each.layers if isinstance(layer, layers.ReLU)} == {"limit", "limit_1"}
    assert kinds(each).count("Dense") == kinds(each).count("Dropout") == 1
    found = kerasfx.report(each).of_kind("shared")
    assert [f.path for f in found] == ["proj", "drop"]
    assert "Dense is called 2 times and stays one layer: it has weights" in str(found[0])
    assert "seed" in str(found[1])
    comparison = kerasfx.compare(model, each, samples=1)
    assert comparison.exact, str(comparison)
    assert np.array_equal(numbers(loaded(each, tmp_path)), numbers(model))


def test_a_layer_of_the_users_stays_one():
    @keras.saving.register_keras_serializable("test_options")
    class Remembers(layers.Layer):
        def call(self, x):
            return x + 1.0

    part, x = Remembers(), keras.Input((4,))
    model = keras.Model(x, part(part(x)))
    each = kerasfx.prepare_model(model, leaves=[Remembers], unshare=True)
    assert kinds(each) == ["Remembers"]
    (found,) = kerasfx.report(each).of_kind("shared")
    assert "class that may keep something" in str(found)


def test_unshared_it_stays_in_both_modes():
    model = Shared()
    each = prepared(model, mode="training", unshare=True)
    assert kinds(each).count("ReLU") == 2


# Names


class Block(layers.Layer):
    def __init__(self, name):
        super().__init__(name=name)
        self.first = layers.Dense(4, name=f"{name}_in")
        self.second = layers.Dense(4, name="out")

    def call(self, x):
        return self.second(self.first(x))


class Named(keras.Model):
    def __init__(self):
        super().__init__(name="named")
        self.blocks = [Block("a"), Block("b")]
        self.head = layers.Dense(2, name="logits")
        self.tail = layers.Dense(2)
        self.clash = layers.Activation("tanh", name="blocks_0_second")

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        return self.clash(self.tail(self.head(x)))


def test_names_of_the_user(tmp_path):
    model = Named()
    by_path = [layer.name for layer in prepared(model).layers[1:]]
    assert by_path == ["blocks_0_first", "blocks_0_second", "blocks_1_first", "blocks_1_second", *LAST]
    original = prepared(model, names="original")
    names = [layer.name for layer in original.layers[1:]]
    # Two are called `out`, nobody called `tail`, and the path of another is `blocks_0_second`.
    assert names == ["a_in", "blocks_0_second", "b_in", "blocks_1_second", "logits", "tail", "clash"]
    assert kerasfx.report(original).layers["logits"].path == "head"
    comparison = kerasfx.compare(model, original, samples=1)
    assert comparison.exact, str(comparison)
    assert [layer.name for layer in loaded(original, tmp_path).layers[1:]] == names


LAST = ["head", "tail", "clash"]


def test_a_name_that_is_called_twice_goes_to_the_first_call():
    x, act = keras.Input((4,)), layers.Activation("tanh", name="squash")
    graph = kerasfx.trace(keras.Model(x, act(act(x)))).graph
    assert use_original_names(graph) is False
    assert [node.name for node in graph.check().nodes] == ["squash", "squash_1"]


def test_rename_refuses_what_is_taken():
    graph = kerasfx.trace(Named(), keras.Input((4,))).graph
    head, tail = (next(n for n in graph.nodes if n.path == p) for p in ("head", "tail"))
    assert graph.rename(head, "tail") is False
    assert graph.rename(head, "top") is True
    assert (head.name, head.outputs.name) == ("top", "top")
    assert graph.rename(tail, "head") is True
    graph.check()


# Separable convolutions


def separable(rank, **config):
    cls = (layers.SeparableConv1D, layers.SeparableConv2D)[rank - 1]
    return [keras.Input((7,) * rank + (3,)), cls(4, 3, name="sep", **config)]


SPLIT = {
    "1D": separable(1, padding="same", activation="relu", depthwise_regularizer="l2"),
    "1D, strides": separable(1, strides=2, depth_multiplier=2, pointwise_regularizer="l1"),
    "2D": separable(2, activation="gelu", bias_regularizer="l2", pointwise_constraint="non_neg"),
    "2D, dilation": separable(2, dilation_rate=2, padding="same", use_bias=False),
    "2D, half": separable(2, strides=2, dtype="mixed_float16"),
}


@pytest.mark.parametrize("name", SPLIT)
def test_separable_convolutions_become_two(name, tmp_path):
    model = keras.Sequential(SPLIT[name], name="model")
    rank = SPLIT[name][1].rank
    result = kerasfx.prepare_model(model, replace_separable_conv=True)
    assert kinds(result) == [f"DepthwiseConv{rank}D", f"Conv{rank}D"]
    assert [layer.name for layer in result.layers[1:]] == ["sep_depthwise", "sep"]
    comparison = kerasfx.compare(model, result, samples=1)
    # Keras on PyTorch dilates the pointwise kernel as well: to no effect, but other code may compute it,
    # depending on the processor.
    is_rounded = keras.backend.backend() == "torch" and name == "2D, dilation"
    assert comparison if is_rounded else comparison.exact, str(comparison)
    x = RNG.normal(size=(2, *model.input_shape[1:])).astype("float32")
    again = loaded(result, tmp_path)
    assert np.array_equal(numbers(again, x), numbers(result if is_rounded else model, x))


def test_separable_convolutions_that_stay():
    model = keras.Sequential(separable(2, activity_regularizer="l2"), name="model")
    result = kerasfx.prepare_model(model, replace_separable_conv=True)
    assert kinds(result) == ["SeparableConv2D"]
    (found,) = kerasfx.report(result).of_kind("warning")
    assert "SeparableConv2D stays whole: it has an activity regularizer" in str(found)


@pytest.mark.any_keras
def test_channels_that_come_first():
    model = keras.Sequential(separable(1, data_format="channels_first"), name="model")
    # There the convolution is for GPUs alone, and an older Keras has the separable one for them alone, too.
    stays = keras.backend.backend() == "tensorflow"
    result = kerasfx.prepare_model(model, replace_separable_conv=True, verify=not stays)
    assert kinds(result) == (["SeparableConv1D"] if stays else ["DepthwiseConv1D", "Conv1D"])
    assert stays or kerasfx.compare(model, result, samples=1).exact


def test_a_separable_convolution_that_is_called_twice_stays_two_layers():
    x, conv = keras.Input((8, 8, 4)), layers.SeparableConv2D(4, 3, padding="same")
    model = keras.Model(x, conv(conv(x)))
    result = kerasfx.prepare_model(model, replace_separable_conv=True)
    assert sorted(kinds(result)) == ["Conv2D", "DepthwiseConv2D"]
    assert kerasfx.compare(model, result, samples=1)


# What changes numbers


class Limited(keras.Model):
    def __init__(self):
        super().__init__(name="limited")
        self.relu6 = layers.ReLU(max_value=6.0, negative_slope=0.1)
        self.act = layers.Activation("relu6")
        self.proj = layers.Dense(4, activation="relu6")
        self.other = layers.ReLU(max_value=5.0)

    def call(self, x):
        h = ops.relu6(x) + self.relu6(x) - self.act(-x)
        h = ops.cond(ops.sum(x) > 1e9, lambda: h, lambda: h + ops.relu6(2.0 * x))
        return ops.concatenate([self.proj(h), self.other(h)], axis=-1)


def test_relu6_becomes_relu(tmp_path):
    model = Limited()
    same = prepared(model)
    result = prepared(model, replace_relu6=True)
    assert "keras.ops.relu6" not in str(kerasfx.trace(result).graph)
    assert not any(getattr(layer, "activation", None) is keras.activations.relu6 for layer in result.layers)
    assert [layer.max_value for layer in result.layers if hasattr(layer, "max_value")].count(6) == 0
    found = kerasfx.report(result).of_kind("replaced")
    assert len(found) == 5
    assert {f.path for f in found} == {"", "relu6", "act", "proj"}
    # Below 6 nothing changes, above it does.
    assert np.array_equal(numbers(same), numbers(model))
    assert not np.array_equal(numbers(result), numbers(model))
    kernel, bias = (ops.convert_to_numpy(v) for v in model.proj.weights)
    h = np.maximum(X, 0) + np.where(X > 0, X, 0.1 * X) - np.maximum(-X, 0) + np.maximum(2 * X, 0)
    expected = np.concatenate([np.maximum(h @ kernel + bias, 0), np.clip(h, 0, 5)], axis=-1)
    np.testing.assert_allclose(numbers(result), expected, rtol=1e-5, atol=1e-5)
    assert np.array_equal(numbers(loaded(result, tmp_path)), numbers(result))


def test_what_keeps_its_relu6_is_reported():
    model = keras.Sequential([keras.Input((5, 4)), layers.LSTM(3, activation="relu6")])
    result = kerasfx.prepare_model(model, replace_relu6=True)
    (found,) = kerasfx.report(result).of_kind("warning")
    assert "LSTM keeps the ReLU6 inside of it" in str(found)
    assert kerasfx.compare(model, result, samples=1)


class Gelu(keras.Model):
    def __init__(self):
        super().__init__(name="gelu")
        self.proj = layers.Dense(4, activation="gelu")
        self.act = layers.Activation("gelu")

    def call(self, x):
        return ops.gelu(self.act(self.proj(x)), approximate=False) + ops.gelu(x)


def test_gelu_by_erf(tmp_path):
    model = Gelu()
    result = prepared(model, lower_gelu="erf")
    text = str(kerasfx.trace(model, keras.Input((4,))).graph)
    assert "erf" not in text
    found = kerasfx.report(result).of_kind("replaced")
    assert [f.path for f in found] == ["proj", "act", ""]
    np.testing.assert_allclose(numbers(result), numbers(model), rtol=1e-5, atol=1e-6)
    assert np.array_equal(numbers(loaded(result, tmp_path)), numbers(result))


@pytest.mark.parametrize("option", [{"replace_relu6": True}, {"lower_gelu": "erf"}])
def test_the_model_before_is_compared(option, monkeypatch):
    def wrong(graph):
        for node in graph.nodes:
            if node.function == "keras.ops.subtract":
                node.target = "keras.ops.add"
                return True
        return False

    monkeypatch.setattr(kerasfx.passes, "DEFAULT", [wrong])
    with pytest.raises(kerasfx.errors.NotEquivalentError):
        prepared(Limited(), **option)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"names": "mine"}, 'names must be "path" or "original"'),
        ({"lower_gelu": True}, 'lower_gelu must be None or "erf"'),
        ({"unshare": "all"}, "unshare must be True or False"),
    ],
)
def test_other_values_are_refused(option, message):
    with pytest.raises(ValueError, match=message):
        prepared(Limited(), **option)

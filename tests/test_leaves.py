"""Which layers stay whole, which are opened, and how to ask for either."""

import keras
import numpy as np
import pytest

import kerasfx
from kerasfx.ir import LayerCall
from kerasfx.keras_api.builtins import (
    builtin_class,
    is_builtin,
)
from kerasfx.tracing.layers.policy import (
    WholePolicy,
)

pytestmark = pytest.mark.any_backend


class Rotary(keras.layers.Layer):
    """A custom layer with a weight of its own."""

    def build(self, shape):
        self.angle = self.add_weight(shape=(shape[-1],), initializer="ones", name="angle")

    def call(self, x):
        return x * self.angle


class Block(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.rotary = Rotary()
        self.dense = keras.layers.Dense(4)

    def build(self, shape):
        self.rotary.build(shape)
        self.dense.build(shape)

    def call(self, x):
        return self.dense(self.rotary(x))


class Encoder(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.first, self.second = Block(), Block()

    def build(self, shape):
        self.first.build(shape)
        self.second.build(shape)

    def call(self, x):
        return self.second(self.first(x))


class Net(keras.Model):
    def __init__(self):
        super().__init__(name="net")
        self.encoder = Encoder()
        self.blocks = [Block(), Block()]

    def build(self, shape):
        for part in (self.encoder, *self.blocks):
            part.build(shape)

    def call(self, x):
        for part in (self.encoder, *self.blocks):
            x = part(x)
        return x


def whole(model=None, **kwargs):
    """Paths of the layers that are one node."""
    graph = kerasfx.trace(model or Net(), keras.Input((4,)), **kwargs).graph
    return [node.path for node in graph.nodes if isinstance(node.target, LayerCall)]


DENSES = ["encoder.first.dense", "encoder.second.dense", "blocks[0].dense", "blocks[1].dense"]


class TestLeaves:
    @pytest.mark.parametrize(
        ("selector", "expected"),
        [
            ("encoder", ["encoder", *DENSES[2:]]),
            ("encoder.first", ["encoder.first", *DENSES[1:]]),
            (
                "encoder.*.rotary",
                ["encoder.first.rotary", DENSES[0], "encoder.second.rotary", DENSES[1], *DENSES[2:]],
            ),
            ("blocks[0].*", [*DENSES[:2], "blocks[0].rotary", DENSES[2], DENSES[3]]),
            ("blocks[?]", [*DENSES[:2], "blocks[0]", "blocks[1]"]),
            ("*.rotary", None),
            (Block, ["encoder.first", "encoder.second", "blocks[0]", "blocks[1]"]),
            (keras.layers.Layer, None),
            (lambda layer: isinstance(layer, Encoder), ["encoder", *DENSES[2:]]),
        ],
        ids=str,
    )
    def test_selectors(self, selector, expected):
        everywhere = {"*.rotary": 8, keras.layers.Layer: 3}
        found = whole(leaves=[selector])
        assert len(found) == everywhere[selector] if expected is None else found == expected

    def test_several_selectors(self):
        assert whole(leaves=["encoder", Block]) == ["encoder", "blocks[0]", "blocks[1]"]

    def test_requests_are_reported_and_equivalent(self):
        model = Net()
        prepared = kerasfx.prepare_model(model, keras.Input((4,)), leaves=["encoder.*.rotary", "blocks[1]"])
        report = kerasfx.report(prepared)
        assert [(f.path, f.what) for f in report.of_kind("kept")] == [
            ("encoder.first.rotary", "Rotary stays whole on request"),
            ("encoder.second.rotary", "Rotary stays whole on request"),
            ("blocks[1]", "Block stays whole on request"),
        ]
        assert report.opaque == []
        assert "blocks[1]" not in report.opened
        assert kerasfx.compare(model, prepared)

    def test_strict_allows_requests(self):
        kerasfx.prepare_model(Net(), keras.Input((4,)), leaves=["encoder"], strict=True)

    def test_a_functional_model_that_is_flat_may_hold_a_request(self):
        x = keras.Input((4,), name="x")
        model = keras.Model(x, keras.layers.Dense(3, name="dense")(x))
        prepared = kerasfx.prepare_model(model, leaves=["dense"])
        assert [f.path for f in kerasfx.report(prepared).of_kind("kept")] == ["dense"]


def dense():
    return keras.layers.Dense(5, activation="tanh"), keras.Input((4,))


def layer_normalization():
    return keras.layers.LayerNormalization(beta_initializer="normal"), keras.Input((None, 4))


def attention():
    return keras.layers.MultiHeadAttention(2, 3), (keras.Input((None, 4)), keras.Input((6, 4)))


def embedding():
    return keras.layers.Embedding(11, 4), keras.Input((6,), dtype="int32")


def masked_embedding():
    return keras.layers.Embedding(11, 4, mask_zero=True), keras.Input((6,), dtype="int32")


def batch_of_images():
    return keras.layers.Conv2D(2, 3), keras.Input((8, 8, 3))


def activation():
    return keras.layers.LeakyReLU(), keras.Input((4,))


def group_normalization():
    return keras.layers.GroupNormalization(2), keras.Input((6, 4))


OPENED = (dense, layer_normalization, attention, embedding, activation, group_normalization, batch_of_images)


class TrainsWithMore(keras.layers.Layer):
    """Has a layer that training alone calls, and builds."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.norm = keras.layers.BatchNormalization(momentum=0.5)

    def call(self, x, training=None):
        return self.norm(x, training=True) if training else x * 2


# Keras, that there is state which it did not build.
@pytest.mark.filterwarnings("ignore:`build\\(\\)` was called on layer:UserWarning")
@pytest.mark.parametrize("weights", ["copy", "share"])
def test_what_training_alone_builds_is_there_in_a_layer_kept_whole(weights):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, TrainsWithMore(name="part")(inputs))
    assert not model.variables
    prepared = kerasfx.prepare_model(model, weights=weights, leaves=["part"])
    assert len(prepared.variables) == len(model.variables) == 4
    assert kerasfx.compare(model, prepared)


class Tinted(keras.layers.Layer):
    """Computes in half precision what the layers around it compute in full; keeps a mean in that."""

    def __init__(self, policy):
        super().__init__(dtype=policy)
        self.tint = self.add_weight(shape=(4,), name="tint")
        self.mean = self.add_weight(shape=(4,), initializer="zeros", trainable=False, name="mean")

    def call(self, x):
        self.mean.assign(self.mean * 0.5 + 0.5 * keras.ops.mean(x, axis=0))
        return keras.ops.tanh(x) * self.tint


class TintedTwice(keras.Model):
    """What it gives is of half precision as well: no layer of Keras may cast it."""

    def __init__(self, policy):
        super().__init__()
        self.tinted = Tinted(policy)

    def call(self, x):
        once = self.tinted(x)
        return once + self.tinted(keras.ops.cast(once, "float32"))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_a_layer_kept_whole_may_compute_in_another_dtype(policy):
    model, x = TintedTwice(policy), np.random.default_rng(0).random((2, 4), "float32")
    model(x)
    prepared = kerasfx.prepare_model(model, x, leaves=[Tinted], verify=False)
    assert [x.name for x in prepared.layers if isinstance(x, Tinted)] == ["tinted"]
    comparison = kerasfx.compare(model, prepared, inputs=x)
    assert comparison, str(comparison)
    assert keras.backend.standardize_dtype(prepared(x).dtype) == model.tinted.compute_dtype


class Around(keras.Model):
    """A model of one layer."""

    def __init__(self, layer):
        super().__init__(name="around")
        self.inner = layer

    def call(self, inputs):
        return self.inner(*inputs) if isinstance(inputs, (list, tuple)) else self.inner(inputs)


class TestOpened:
    @pytest.mark.parametrize("make", OPENED, ids=lambda f: f.__name__)
    def test_a_builtin_layer_is_opened_on_request(self, make):
        layer, inputs = make()
        model = Around(layer)
        prepared = kerasfx.prepare_model(model, inputs, opened=[type(layer)])
        assert type(layer).__name__ not in {type(x).__name__ for x in prepared.layers}
        assert kerasfx.report(prepared).opened["inner"] == type(layer).__name__
        comparison = kerasfx.compare(model, prepared)
        assert comparison, str(comparison)

    @pytest.mark.parametrize("selector", ["inner", lambda layer: isinstance(layer, keras.layers.Dense)])
    def test_every_kind_of_selector(self, selector):
        assert "inner" not in whole(Around(dense()[0]), opened=[selector])

    def test_the_layers_inside_an_opened_one_stay_whole(self):
        layer, inputs = attention()
        graph = kerasfx.trace(Around(layer), inputs, opened=[keras.layers.MultiHeadAttention]).graph
        kinds = {type(n.target.layer).__name__ for n in graph.nodes if isinstance(n.target, LayerCall)}
        assert "EinsumDense" in kinds

    def test_a_mask_of_an_opened_layer_reaches_the_next(self):
        class Masked(keras.Model):
            def __init__(self):
                super().__init__(name="masked")
                self.embed = masked_embedding()[0]
                self.rnn = keras.layers.SimpleRNN(3)

            def call(self, ids):
                return self.rnn(self.embed(ids))

        model, ids = Masked(), np.array([[1, 2, 3, 0, 0, 0], [4, 5, 0, 0, 0, 0]])
        given = keras.Input((6,), dtype="int32")
        prepared = kerasfx.prepare_model(model, given, opened=[keras.layers.Embedding])
        comparison = kerasfx.compare(model, prepared, inputs=ids)
        assert comparison, str(comparison)

    def test_leaves_win_over_opened(self):
        assert whole(Around(dense()[0]), opened=["inner"], leaves=["inner"]) == ["inner"]


class TestBuiltin:
    class Named(keras.layers.Dense):
        """Only a constructor and a config."""

        def __init__(self, units, note="", **kwargs):
            super().__init__(units, **kwargs)
            self.note = note

        def get_config(self):
            return {**super().get_config(), "note": self.note}

    class Scaled(keras.layers.Dense):
        """Another call."""

        def call(self, x):
            return 2 * super().call(x)

    def test_classes(self):
        assert builtin_class(keras.layers.Dense) is keras.layers.Dense
        assert builtin_class(self.Named) is keras.layers.Dense
        assert builtin_class(self.Scaled) is None
        assert builtin_class(keras.layers.Lambda) is None
        assert builtin_class(Net) is None
        assert is_builtin(keras.layers.LSTM)
        assert not is_builtin(keras.Model)

    def test_a_subclass_with_another_config_becomes_its_base(self):
        model = Around(self.Named(3, note="mine"))
        prepared = kerasfx.prepare_model(model, keras.Input((4,)))
        assert type(prepared.layers[-1]) is keras.layers.Dense
        assert kerasfx.compare(model, prepared)

    def test_a_subclass_with_another_call_is_opened(self):
        model = Around(self.Scaled(3))
        prepared = kerasfx.prepare_model(model, keras.Input((4,)))
        assert kerasfx.report(prepared).opened["inner"] == "Scaled"
        assert kerasfx.compare(model, prepared)


def test_a_layer_that_could_not_be_opened_stays_whole():
    layer, policy = keras.layers.Identity(), WholePolicy(opened=(keras.layers.Identity,))
    assert not policy.stays_whole(layer, "a")
    policy.keep(layer, "no way")
    assert policy.stays_whole(layer, "a")
    assert not policy.is_requested(layer, "a")


class Uninferable(keras.layers.Layer):
    """Raises where Keras infers shapes, for which no tensor has a value."""

    def call(self, x):
        return x * float(keras.ops.convert_to_numpy(keras.ops.max(x)))


class Inferable(Uninferable):
    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, dtype=x.dtype)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="Keras infers by real tensors there")
def test_a_leaf_that_keras_cannot_infer_is_refused_with_the_way_out():
    x = np.random.default_rng(0).random((2, 4), "float32")
    with pytest.raises(kerasfx.errors.OperationInferenceError, match=r"(.|\n)*do:.*a compute_output_spec"):
        kerasfx.prepare_model(Around(Uninferable()), x, leaves=[Uninferable])
    # As it says.
    model = Around(Inferable())
    prepared = kerasfx.prepare_model(model, x, leaves=[Inferable])
    assert kerasfx.compare(model, prepared, inputs=x)

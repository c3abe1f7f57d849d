"""`mode="inference"` and `mode="training"`: a model of one mode alone, where one graph cannot hold both."""

import keras
import numpy as np
import pytest
from fitting import WAYS_TO_MAKE_AGAIN, losses_of_fit, made_again
from keras import layers, ops

import kerasfx
from kerasfx.errors import OtherModeError, UnsupportedOperationError
from kerasfx.runtime.functional import Functional

X = np.random.default_rng(0).random((4, 6), "float32")
MODES = ("inference", "training")


class Heads(layers.Layer):
    """Two heads in training, their mean in inference, as a distilled transformer has."""

    def __init__(self):
        super().__init__()
        self.drop = layers.Dropout(0.5, seed=1)
        self.norm = layers.BatchNormalization(momentum=0.5)
        self.a, self.b = layers.Dense(3), layers.Dense(3)

    def call(self, x, training=False):
        x = self.norm(self.drop(x, training=training), training=training)
        a, b = self.a(x), self.b(x)
        return (a, b) if training else (a + b) / 2


class Direct(Heads, keras.Model):
    pass


class Moved(keras.Model):
    def __init__(self):
        super().__init__()
        self.heads = Heads()

    def call(self, x, training=False):
        return self.heads(x, training=training)


class Joined(Moved):
    """Makes one of the two again, so that both modes go together."""

    def call(self, x, training=False):
        y = self.heads(x, training=training)
        return y[0] - y[1] if training else y


def built(cls):
    model = cls()
    model(X)
    return model


def training_of(mode):
    return mode == "training"


def flat(y):
    return [ops.convert_to_numpy(t) for t in keras.tree.flatten(y)]


@pytest.mark.parametrize("cls", [Direct, Moved])
class TestUnlikeStructures:
    def test_both_are_refused_with_advice_that_works(self, cls):
        model = built(cls)
        with pytest.raises(UnsupportedOperationError) as error:
            kerasfx.prepare_model(model)
        assert "inference returns a tensor where training returns a tuple of 2" in str(error.value)
        assert 'prepare_model(..., mode="inference")' in str(error.value)
        assert 'mode="inference"' in str(kerasfx.explain(model))

    @pytest.mark.parametrize("mode", MODES)
    def test_one_is_what_the_original_is_in_it(self, cls, mode):
        model = built(cls)
        prepared = kerasfx.prepare_model(model, mode=mode)
        assert prepared.name.endswith(f"_prepared_{mode}")
        assert any(f"for {mode} alone" in f.what for f in kerasfx.report(prepared).findings)
        assert not kerasfx.report(prepared).opaque
        assert not kerasfx.explain(model, mode=mode).opaque
        comparison = kerasfx.compare(model, prepared)
        assert comparison, comparison
        assert ("training outputs" in {c.name for c in comparison.checks}) == training_of(mode)

    @pytest.mark.parametrize("mode", MODES)
    def test_the_other_is_refused(self, cls, mode):
        prepared = kerasfx.prepare_model(built(cls), mode=mode)
        for call in (lambda: prepared(X, training=not training_of(mode)), lambda: outer(prepared)(X)):
            with pytest.raises(OtherModeError, match=f"prepared for {mode} alone"):
                call()


def outer(prepared):
    """A function that calls a model inside another layer, in the other mode."""
    mode = not training_of(prepared.kerasfx_mode)
    return lambda x: keras.Sequential([prepared])(x, training=mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("way", WAYS_TO_MAKE_AGAIN)
def test_it_stays_so(mode, way, tmp_path):
    model = built(Direct)
    prepared = kerasfx.prepare_model(model, mode=mode)
    again = made_again(prepared, way, tmp_path)
    for a, b in zip(flat(again(X)), flat(prepared(X)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
    with pytest.raises(OtherModeError):
        again(X, training=not training_of(mode))


def test_predict_needs_inference_and_fit_training():
    model = built(Joined)
    alone = {mode: kerasfx.prepare_model(model, mode=mode) for mode in MODES}
    data = X, X[:, :3]
    np.testing.assert_allclose(
        alone["inference"].predict(X, verbose=0), model.predict(X, verbose=0), rtol=1e-5
    )
    np.testing.assert_allclose(losses_of_fit(alone["training"], data), losses_of_fit(model, data), rtol=1e-4)
    with pytest.raises(OtherModeError):
        alone["training"].predict(X, verbose=0)
    with pytest.raises(OtherModeError):
        losses_of_fit(alone["inference"], data)


def test_a_layer_around_unlike_structures_that_makes_them_alike_is_opened():
    model = built(Joined)
    prepared = kerasfx.prepare_model(model)
    assert not kerasfx.report(prepared).opaque
    assert kerasfx.compare(model, prepared)


@pytest.mark.parametrize("weights", ["copy", "share"])
def test_a_flat_model_of_one_mode(weights):
    inputs = keras.Input((6,))
    model = keras.Model(inputs, layers.Dropout(0.5, seed=1)(layers.Dense(3)(inputs)))
    prepared = kerasfx.prepare_model(model, mode="inference", weights=weights)
    assert isinstance(prepared, Functional)
    assert kerasfx.compare(model, prepared)


def test_with_the_class_of_the_original():
    model = built(Direct)
    prepared = kerasfx.prepare_model(model, mode="inference", keep_class=True)
    assert isinstance(prepared, Direct)
    np.testing.assert_allclose(flat(prepared(X))[0], flat(model(X))[0], rtol=1e-5)
    with pytest.raises(OtherModeError):
        prepared(X, training=True)


def test_there_is_no_other_mode():
    with pytest.raises(ValueError, match='mode must be "both" or "inference" or "training"'):
        kerasfx.prepare_model(built(Joined), mode="train")

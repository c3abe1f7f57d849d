"""Called without `training`, as users call it, the prepared model does what the original does."""

import keras
import numpy as np
import pytest
from fitting import WAYS_TO_MAKE_AGAIN, made_again
from keras import layers

import kerasfx
from kerasfx.comparing import verify
from kerasfx.errors import NotEquivalentError

pytestmark = pytest.mark.every_run

X = np.random.default_rng(0).random((4, 6), "float32")


class Opened(layers.Layer):
    """Adds `step` where it trains, which nothing but an `if` says."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def call(self, x, training=None):
        return x + self.step if training else x


class Eager(Opened):
    """Trains unless it is told not to, as the image layers of Keras do."""

    def call(self, x, training=True):
        return x + self.step if training else x


class Lazy(Opened):
    """Says False where nobody says anything, and so to the layers behind it."""

    def call(self, x, training=False):
        return x + self.step if training else x


class Around(layers.Layer):
    """Takes no `training`: what is inside finds it in the context."""

    def __init__(self, *inner):
        super().__init__()
        self.inner = list(inner)

    def call(self, x):
        for layer in self.inner:
            x = layer(x)
        return x


def noise():
    return layers.GaussianNoise(0.5, seed=1)


def graph():
    """A Functional model, for each call of which Keras wrote the default of `training` down."""
    inputs = keras.Input((6,))
    x = layers.Dropout(0.5, seed=2)(inputs, training=True)
    return keras.Model(inputs, layers.BatchNormalization()(Eager(1.0)(layers.Dropout(0.5, seed=3)(x))))


def graph_with_a_layer_between():
    """What trains by default leaves it to the next, through a layer that takes no `training`."""
    inputs = keras.Input((6,))
    return keras.Model(inputs, Opened(4.0)(layers.Reshape((6,))(Eager(1.0)(inputs))))


PARTS = {
    "a layer that trains by default": lambda: [Eager(1.0)],
    "one of Keras": lambda: [layers.Reshape((1, 2, 3)), layers.RandomFlip("horizontal", seed=1)],
    "what it leaves to the next": lambda: [Opened(1.0), Eager(2.0), Opened(4.0), layers.BatchNormalization()],
    "what another leaves to it": lambda: [Opened(1.0), Lazy(2.0), Eager(4.0)],
    "inside another layer": lambda: [Opened(1.0), Around(Eager(2.0), Opened(4.0)), noise()],
    "inside a Sequential": lambda: [keras.Sequential([Opened(1.0), Eager(2.0), Opened(4.0)]), noise()],
    "inside a Functional model": lambda: [graph(), Opened(1.0)],
    "through a layer that takes none": lambda: [graph_with_a_layer_between()],
}


class Parts(keras.Model):
    def __init__(self, parts):
        super().__init__(name="net")
        self.parts = parts
        self.head = layers.Dense(2)

    def each(self, x, **kwargs):
        for layer in self.parts:
            x = layer(x, **({} if isinstance(layer, (layers.Reshape, Around)) else kwargs))
        return self.head(x)


class TakesNone(Parts):
    def call(self, x):
        return self.each(x)


class KeepsIt(Parts):
    def call(self, x, training=None):
        return self.each(x)


class HandsOn(Parts):
    def call(self, x, training=None):
        return self.each(x, training=training)


class HandsOnFalse(Parts):
    def call(self, x, training=False):
        return self.each(x, training=training)


class HandsOnTrue(Parts):
    def call(self, x, training=True):
        return self.each(x, training=training)


MODELS = [TakesNone, KeepsIt, HandsOn, HandsOnFalse, HandsOnTrue]


def built(cls, parts="what it leaves to the next"):
    model = cls(PARTS[parts]())
    model(X, training=False) if cls is not TakesNone else model(X)
    return model


def failed(comparison):
    return [check.name for check in comparison.checks if not check.passed]


def values(y):
    return keras.ops.convert_to_numpy(y)


@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize("cls", MODELS)
def test_the_oracle_finds_no_difference(cls, parts):
    model = built(cls, parts)
    prepared = kerasfx.prepare_model(model)
    assert not kerasfx.report(prepared).opaque
    comparison = kerasfx.compare(model, prepared, inputs=X)
    assert comparison, comparison
    assert "bare call" in {check.name for check in comparison.checks}


@pytest.mark.parametrize("how", WAYS_TO_MAKE_AGAIN)
@pytest.mark.parametrize("cls", [TakesNone, HandsOnFalse, HandsOnTrue])
def test_it_stays_so(cls, how, tmp_path):
    model = cls([Opened(1.0), Eager(2.0), Opened(4.0)])
    model(X)
    again = made_again(kerasfx.prepare_model(model), how, tmp_path)
    np.testing.assert_allclose(values(again(X)), values(model(X)), rtol=1e-5)
    np.testing.assert_allclose(again.predict(X, verbose=0), model.predict(X, verbose=0), rtol=1e-5)


def test_inside_another_model_it_follows_that():
    model = built(HandsOnTrue, "a layer that trains by default")
    prepared = kerasfx.prepare_model(model)
    outer = [keras.Sequential([x]) for x in (model, prepared)]
    for training in (False, True):
        ours, theirs = (values(m(X, training=training)) for m in outer)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_features_are_taken_without_augmentation():
    prepared = kerasfx.prepare_model(built(HandsOnFalse, "one of Keras"))
    features = keras.Model(prepared.input, prepared.get_layer("parts_1").output)
    np.testing.assert_array_equal(values(features(X)).reshape(4, 6), X)


def as_keras_would():
    """A model of which Keras wrote down that it trains in a bare call, and its original, which does not."""
    model = built(HandsOnFalse, "one of Keras")
    inputs = keras.Input((6,))
    reshape, flip, dense = layers.Reshape((1, 2, 3)), layers.RandomFlip("horizontal", seed=1), layers.Dense(2)
    wrong = keras.Model(inputs, dense(flip(reshape(inputs))))
    dense.set_weights(model.head.get_weights())
    pairs = list(zip(model.head.variables, dense.variables, strict=True))
    pairs += [(model.parts[1].generator.state, flip.generator.state)]
    return model, wrong, pairs


@pytest.mark.parametrize("ask", [kerasfx.compare, verify])
def test_the_oracle_tells_a_model_that_trains_when_nobody_says_so(ask):
    model, wrong, pairs = as_keras_would()
    assert failed(ask(model, wrong, inputs=X, variables=pairs)) == ["bare call"]


class Required(Parts):
    def call(self, x, training):
        return self.each(x, training=training)


def test_training_without_a_default_is_given():
    model = Required([noise(), layers.BatchNormalization()])
    model(X, training=False)
    prepared = kerasfx.prepare_model(model, X)
    comparison = kerasfx.compare(model, prepared)
    assert comparison, comparison
    np.testing.assert_allclose(model.predict(X, verbose=0), prepared.predict(X, verbose=0), rtol=1e-5)


class FixedBefore(keras.Model):
    """What a layer before was told by hand is left to the next one, but for `fit` and `predict` on JAX."""

    def __init__(self):
        super().__init__()
        self.noise, self.norm = layers.GaussianNoise(0.3, seed=1), layers.BatchNormalization(momentum=0.5)
        self.head = layers.Dense(3)

    def call(self, x, training=None):
        return self.head(self.norm(self.noise(x, training=True)))


class FixedOnOneSide(FixedBefore):
    """The same, where it is told in training alone."""

    def call(self, x, training=None):
        if training:
            x = self.noise(x, training=True)
        return self.head(self.norm(x))


@pytest.mark.parametrize("make", [FixedBefore, FixedOnOneSide])
def test_what_a_layer_before_was_told(make, tmp_path):
    x = np.random.default_rng(0).standard_normal((8, 4)).astype("float32") * 2 + 1
    model = make()
    model(x)
    prepared = kerasfx.prepare_model(model, x)
    prepared.save(tmp_path / "prepared.keras")
    loaded = keras.models.load_model(tmp_path / "prepared.keras")
    assert kerasfx.compare(model, prepared), str(kerasfx.compare(model, prepared))
    # Files of Keras do not keep where the seeds of layers are.
    checks = {check.name: check.passed for check in kerasfx.compare(model, loaded).checks}
    assert checks["in fit"]
    assert checks["bare call"]


def test_python_that_asks_what_a_layer_before_was_told():
    class Branching(layers.Layer):
        def call(self, x, training=None):
            return x * 3.0 if training else x

    class Asking(FixedBefore):
        def call(self, x):
            return self.block(self.noise(x, training=True))

    model = Asking()
    model.block = Branching()
    x = np.ones((2, 4), "float32")
    prepared = kerasfx.prepare_model(model, x)
    told = [f for f in kerasfx.report(prepared).of_kind("warning") if "was told" in f.what]
    assert [f.path for f in told] == (["block"] if keras.backend.backend() == "jax" else [])


class DefaultInTheCode(keras.Model):
    def __init__(self, default):
        super().__init__(name="default_in_the_code")
        self.default = default
        self.dropout = layers.Dropout(0.5, seed=1)
        self.head = layers.Dense(2)

    def call(self, x, training=None):
        if training is None:
            training = self.default
        return self.head(self.dropout(x, training=training))


def test_code_that_only_a_bare_call_runs_is_asked_about():
    model = DefaultInTheCode(True)
    model(X)
    with pytest.raises(NotEquivalentError) as caught:
        kerasfx.prepare_model(model, X)
    told = str(caught.value)
    assert "NOT equivalent: bare call" in told
    assert "in a bare call alone `training` is None" in told
    assert "if training is None:" in told
    assert "def call(self, x, training=True)" in told
    harmless = DefaultInTheCode(False)
    harmless(X)
    assert kerasfx.compare(harmless, kerasfx.prepare_model(harmless, X))

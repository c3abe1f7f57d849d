"""`fit` does not tell every layer of a subclassed model that it trains; the prepared model does alike."""

import keras
import numpy as np
import pytest
from fitting import WAYS_TO_MAKE_AGAIN, losses_of_fit, made_again

import kerasfx

pytestmark = pytest.mark.every_run

EVERYWHERE_BUT_ON_JAX = keras.backend.backend() != "jax"


class Noisy(keras.layers.Layer):
    """Decides by `training`, which it finds in the context."""

    def call(self, x, training=None):
        return 2.0 * x if training else x


class Parts(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(8)
        self.norm = keras.layers.BatchNormalization()
        self.noisy = Noisy()
        self.dropout = keras.layers.Dropout(0.5, seed=1)


class WithoutArgument(Parts):
    """`fit` never passes `training`."""

    def call(self, x):
        return self.dropout(self.noisy(self.norm(self.dense(x))))


class NotHandedOn(Parts):
    """On JAX `fit` runs this `call` without the context, in which layers find `training`."""

    def call(self, x, training=None):
        return self.dropout(self.noisy(self.norm(self.dense(x))))


class PartlyHandedOn(Parts):
    """What is handed to one layer does not reach the next."""

    def call(self, x, training=None):
        return self.dropout(self.noisy(self.norm(self.dense(x), training=training)))


class HandedOn(Parts):
    """Every layer gets it."""

    def call(self, x, training=None):
        x = self.noisy(self.norm(self.dense(x), training=training), training=training)
        return self.dropout(x, training=training)


def built(cls):
    model = cls(name="net")
    model(data()[0])
    return model


def data():
    rng = np.random.default_rng(0)
    return rng.random((8, 5), "float32"), rng.random((8, 8), "float32")


def warnings(prepared):
    return [f for f in kerasfx.report(prepared).of_kind("warning") if "`fit`" in f.what]


MODELS = [WithoutArgument, NotHandedOn, PartlyHandedOn, HandedOn]


@pytest.mark.parametrize("cls", MODELS)
def test_the_oracle_finds_no_difference(cls):
    model = built(cls)
    comparison = kerasfx.compare(model, kerasfx.prepare_model(model))
    assert comparison, comparison
    assert "in fit" in {check.name for check in comparison.checks}


# PyTorch captures a model and its original for half a minute; which layers train is decided before.
COMPILED = [WithoutArgument] if keras.backend.backend() == "torch" else MODELS


@pytest.mark.parametrize(
    ("cls", "jit_compile"),
    [
        *((cls, False) for cls in MODELS),
        *(pytest.param(cls, True, marks=pytest.mark.any_keras) for cls in COMPILED),
    ],
)
def test_fit_trains_the_same_layers(cls, jit_compile):
    model = built(cls)
    prepared = kerasfx.prepare_model(model)
    ours, theirs = (losses_of_fit(m, data(), jit_compile) for m in (prepared, model))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def left_in_inference(cls):
    """Whether `fit` of such a model leaves layers in inference mode on this backend."""
    return cls is WithoutArgument or (cls is not HandedOn and not EVERYWHERE_BUT_ON_JAX)


@pytest.mark.parametrize("cls", MODELS)
def test_compare_tells_a_model_that_always_trains(cls):
    model = built(cls)
    prepared = kerasfx.prepare_model(model, training_in_fit="always")
    comparison = kerasfx.compare(model, prepared)
    failed = [check.name for check in comparison.checks if not check.passed]
    assert failed == (["in fit"] if left_in_inference(cls) else [])


@pytest.mark.parametrize("how", WAYS_TO_MAKE_AGAIN)
def test_it_stays_so(how, tmp_path):
    model = built(WithoutArgument)
    again = made_again(kerasfx.prepare_model(model), how, tmp_path)
    # Dropout, had it dropped, would give another loss at each step.
    np.testing.assert_allclose(losses_of_fit(again, data()), losses_of_fit(model, data()), rtol=1e-5)


@pytest.mark.parametrize("cls", MODELS)
def test_the_report_says_so_with_the_line_to_change(cls):
    prepared = kerasfx.prepare_model(built(cls))
    found = warnings(prepared)
    assert bool(found) == left_in_inference(cls)
    if not found:
        return
    assert len(found) == 1
    text = str(found[0])
    assert f"`fit` of the original leaves {'noisy' if cls is PartlyHandedOn else 'norm'}" in text
    assert f"because {cls.__name__}.call" in text
    assert "so does that of the result" in text
    assert "layer(x, training=training)" in text
    assert 'training_in_fit="always"' in text
    assert found[0].source.file.endswith("test_training_in_fit.py")


def test_the_report_of_the_other_choice():
    prepared = kerasfx.prepare_model(built(WithoutArgument), training_in_fit="always")
    assert "that of the result trains them" in str(warnings(prepared)[0])
    assert 'training_in_fit="as_original"' in str(warnings(prepared)[0])


class Plain(keras.Model):
    """Takes no `training`, and nobody in it wants to know."""

    def __init__(self):
        super().__init__()
        self.attention = keras.layers.MultiHeadAttention(2, 4)
        self.norm = keras.layers.LayerNormalization()
        self.rnn = keras.layers.LSTM(3)

    def call(self, x):
        return self.rnn(self.norm(self.attention(x, x)))


def test_a_model_without_noise_is_no_matter():
    prepared = kerasfx.prepare_model(Plain(), keras.Input((4, 6)))
    assert not warnings(prepared)


def test_a_mere_layer_is_never_fitted():
    class Block(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.dropout = keras.layers.Dropout(0.5)

        def call(self, x):
            return self.dropout(x)

    assert not warnings(kerasfx.prepare_model(Block(), keras.Input((4,))))


@keras.saving.register_keras_serializable("training_in_fit")
class Hides(keras.layers.Layer):
    """Stays whole, takes no `training`, and holds a layer that wants it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dropout = keras.layers.Dropout(0.5, seed=2)

    def call(self, x):
        return self.dropout(x)


class Block(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hides = Hides()

    def call(self, x, training=None):
        return self.hides(x)


class HandsToABlock(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.block, self.dense = Block(), keras.layers.Dense(8)

    def call(self, x, training=None):
        return self.dense(self.block(x, training=training))


def test_a_layer_kept_whole_is_told_for_those_inside():
    model = built(HandsToABlock)
    prepared = kerasfx.prepare_model(model, leaves=[Hides])
    comparison = kerasfx.compare(model, prepared)
    assert comparison, comparison
    np.testing.assert_allclose(losses_of_fit(prepared, data()), losses_of_fit(model, data()), rtol=1e-5)


def test_a_choice_that_does_not_exist():
    with pytest.raises(ValueError, match='training_in_fit must be "as_original" or "always"'):
        kerasfx.prepare_model(Plain(), keras.Input((4, 6)), training_in_fit="never")


class MovesInTraining(keras.layers.Layer):
    """Moves statistics in training alone."""

    def __init__(self):
        super().__init__()
        self.norm = keras.layers.BatchNormalization(momentum=0.5, center=False, scale=False)

    def call(self, x, training=None):
        return self.norm(x, training=True) if training else x


class Unused(keras.Model):
    """No output depends on what `fit` leaves in inference."""

    def __init__(self):
        super().__init__()
        self.inner, self.dense = MovesInTraining(), keras.layers.Dense(8)

    def call(self, x):
        self.inner(x)
        return self.dense(x)


class UnusedAndTold(Unused):
    """`fit` trains it."""

    def call(self, x, training=None):
        self.inner(x, training=training)
        return self.dense(x)


@pytest.mark.parametrize("cls", [Unused, UnusedAndTold])
def test_statistics_that_no_output_depends_on(cls):
    model = cls()
    model(data()[0], training=True)
    prepared = kerasfx.prepare_model(model, keras.Input((5,)))
    comparison = kerasfx.compare(model, prepared)
    assert comparison, comparison
    assert bool(warnings(prepared)) == (cls is Unused)
    for m in (model, prepared):
        losses_of_fit(m, data())
    for pair in zip(model.non_trainable_variables, prepared.non_trainable_variables, strict=True):
        np.testing.assert_allclose(*map(keras.ops.convert_to_numpy, pair), rtol=1e-5)

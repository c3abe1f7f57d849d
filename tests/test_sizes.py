"""Free sizes: they stay free, questions about them are guarded, their values are refused."""

import keras
import numpy as np
import pytest
from keras import ops
from predicting import predicted

import kerasfx
from kerasfx.errors import InputMismatchError, SizeDecisionError, SizeGuardError


class Windows(keras.layers.Layer):
    """Cuts a sequence into windows of two, with sizes computed from its length."""

    def call(self, x):
        batch, length, width = ops.shape(x)
        assert width == 4
        x = ops.reshape(x, (batch, length // 2, 2 * width))
        positions = ops.cast(ops.arange(length // 2), x.dtype) / length
        return x + ops.expand_dims(positions, -1) + ops.zeros((batch, 1, 1))


class Asking(keras.layers.Layer):
    """Takes another way for long sequences, and another for odd ones."""

    def call(self, x):
        length = x.shape[1]
        if length > 10:
            x = x * 2.0
        return x + 1.0 if length % 2 else x


class Valued(keras.layers.Layer):
    """Unrolls a loop over a free length."""

    def call(self, x):
        return sum(x[:, t] for t in range(x.shape[1]))


def sequence(length, batch=3):
    return np.random.default_rng(0).standard_normal((batch, length, 4)).astype("float32")


def subclassed(layer):
    class Around(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = layer
            self.dense = keras.layers.Dense(3)

        def call(self, x):
            return self.dense(self.inner(x))

    return Around()


@pytest.mark.parametrize(("batch", "length"), [(1, 2), (2, 8), (5, 14)])
def test_sizes_stay_free_eagerly_and_compiled(batch, length):
    layer = Windows()
    prepared = kerasfx.prepare_model(layer, keras.Input((None, 4)))
    x = sequence(length, batch)
    np.testing.assert_array_equal(predicted(prepared, x), predicted(layer, x))
    np.testing.assert_allclose(prepared.predict(x, verbose=0), predicted(layer, x), rtol=1e-6)


def test_free_sizes_are_none_in_the_result():
    prepared = kerasfx.prepare_model(Windows(), keras.Input((None, 4)))
    assert prepared.output_shape == (None, None, 8)
    assert not kerasfx.report(prepared).of_kind("guard")


def test_a_question_is_listed_with_its_line():
    prepared = kerasfx.prepare_model(subclassed(Asking()), keras.Input((None, 4), name="tokens"))
    guards = [str(f) for f in kerasfx.report(prepared).of_kind("guard")]
    assert len(guards) == 2
    assert guards[0].startswith("inner: tokens.shape[1] > 10 is True (")
    assert guards[0].endswith(f"test_sizes.py:{Asking.call.__code__.co_firstlineno + 2})")


def test_another_answer_is_refused_at_run_time():
    model = subclassed(Asking())
    prepared = kerasfx.prepare_model(model, keras.Input((None, 4), name="tokens"))
    np.testing.assert_array_equal(predicted(prepared, sequence(12)), predicted(model, sequence(12)))
    with pytest.raises(SizeGuardError, match=r"tokens\.shape\[1\] > 10 is True"):
        prepared(sequence(8))
    with pytest.raises(SizeGuardError, match=r"hints="):
        prepared(sequence(13))


def test_another_answer_is_refused_in_a_graph():
    prepared = kerasfx.prepare_model(subclassed(Asking()), keras.Input((None, 4), name="tokens"))
    with pytest.raises(Exception, match=r"tokens\.shape\[1\] > 10 is True"):
        prepared.predict(sequence(8), verbose=0)


def test_hints_choose_the_answers():
    model = subclassed(Asking())
    inputs = keras.Input((None, 4), name="tokens")
    prepared = kerasfx.prepare_model(model, inputs, hints={"tokens": (2, 7, 4)})
    np.testing.assert_array_equal(predicted(prepared, sequence(9)), predicted(model, sequence(9)))
    with pytest.raises(SizeGuardError):
        prepared(sequence(12))


def test_hints_of_another_rank_are_refused():
    with pytest.raises(InputMismatchError, match="hints for 'tokens' have 2 sizes"):
        kerasfx.prepare_model(Asking(), keras.Input((None, 4), name="tokens"), hints={"tokens": (2, 7)})


def test_guards_are_saved(tmp_path):
    prepared = kerasfx.prepare_model(subclassed(Asking()), keras.Input((None, 4), name="tokens"))
    prepared.save(tmp_path / "guarded.keras")
    loaded = keras.models.load_model(tmp_path / "guarded.keras")
    np.testing.assert_array_equal(predicted(loaded, sequence(12)), predicted(prepared, sequence(12)))
    with pytest.raises(SizeGuardError):
        loaded(sequence(8))


def test_the_oracle_leaves_out_sizes_that_are_guarded_against():
    model = subclassed(Asking())
    comparison = kerasfx.compare(model, kerasfx.prepare_model(model, keras.Input((None, 4))))
    assert comparison
    assert any("length 8" in note and "left out" in note for note in comparison.notes)


def test_the_value_of_a_free_size_keeps_the_layer_whole():
    model = subclassed(Valued())
    model(sequence(5))
    prepared = kerasfx.prepare_model(model, keras.Input((None, 4), name="tokens"), verify=False)
    (finding,) = kerasfx.report(prepared).opaque
    assert "int(tokens.shape[1])" in str(finding)
    np.testing.assert_array_equal(predicted(prepared, sequence(5)), predicted(model, sequence(5)))


def test_the_value_of_a_free_size_of_the_model_itself_is_an_error():
    with pytest.raises(SizeDecisionError, match="the size is free"):
        kerasfx.prepare_model(Valued(), keras.Input((None, 4)))


def test_a_known_size_unrolls():
    layer = Valued()
    prepared = kerasfx.prepare_model(layer, keras.Input((5, 4)))
    np.testing.assert_array_equal(predicted(prepared, sequence(5)), predicted(layer, sequence(5)))

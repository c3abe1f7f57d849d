"""Free sizes: they stay free, questions about them are guarded, their values are refused."""

import math

import keras
import numpy as np
import pytest
from keras import ops
from predicting import predicted

import kerasfx
from kerasfx.errors import InputMismatchError, SizeDecisionError, SizeGuardError

pytestmark = pytest.mark.quick


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
    assert 'hints={"tokens": (2, 128, 4)}' in str(finding)
    np.testing.assert_array_equal(predicted(prepared, sequence(5)), predicted(model, sequence(5)))


def test_the_value_of_a_free_size_of_the_model_itself_is_an_error():
    with pytest.raises(SizeDecisionError, match="the size is free") as error:
        kerasfx.prepare_model(Valued(), keras.Input((None, 4), name="tokens"))
    assert "return sum(x[:, t] for t in range(x.shape[1]))" in str(error.value)
    assert 'hints={"tokens": (2, 128, 4)}' in str(error.value)


def test_the_value_of_a_hinted_size_fixes_it():
    model = subclassed(Valued())
    prepared = kerasfx.prepare_model(
        model, keras.Input((None, 4), name="tokens"), hints={"tokens": (2, 5, 4)}
    )
    report = kerasfx.report(prepared)
    assert not report.opaque
    (finding,) = report.of_kind("fixed")
    assert "the result works for tokens.shape[1] == 5 alone" in str(finding)
    assert not report.of_kind("warning")  # it was compared, at the size that it takes
    for batch in (2, 3):
        np.testing.assert_allclose(
            predicted(prepared, sequence(5, batch)), predicted(model, sequence(5, batch)), rtol=1e-6
        )
    with pytest.raises(SizeGuardError, match=r"tokens\.shape\[1\] == 5"):
        prepared(sequence(6))


def test_sizes_as_ints_are_fixed_by_hints():
    def call(x):
        return ops.reshape(x, tuple(int(n) for n in (x.shape[0], x.shape[1] // 2, 8)))

    layer = Calling(call)
    prepared = kerasfx.prepare_model(layer, keras.Input((None, 4), name="x"), hints={"x": (2, 6, 4)})
    np.testing.assert_array_equal(predicted(prepared, sequence(6, 2)), predicted(layer, sequence(6, 2)))
    for other in (sequence(8, 2), sequence(6, 3)):
        with pytest.raises(SizeGuardError):
            prepared(other)


def test_a_float_of_a_size_needs_a_hint():
    layer = Calling(lambda x: x * math.sqrt(x.shape[1]))
    with pytest.raises(SizeDecisionError, match=r"float\(x\.shape\[1\]\).*\n.*\n.*t \*\* 0\.5"):
        kerasfx.prepare_model(layer, keras.Input((None, 4), name="x"))
    prepared = kerasfx.prepare_model(layer, keras.Input((None, 4), name="x"), hints={"x": (2, 6, 4)})
    np.testing.assert_allclose(predicted(prepared, sequence(6)), predicted(layer, sequence(6)), rtol=1e-6)
    with pytest.raises(SizeGuardError):
        prepared(sequence(7))


def test_an_example_answers_for_its_batch():
    layer = Calling(lambda x: x * 2.0 if x.shape[0] == 3 else x)
    prepared = kerasfx.prepare_model(layer, sequence(6, batch=3))
    np.testing.assert_array_equal(predicted(prepared, sequence(6, 3)), predicted(layer, sequence(6, 3)))
    with pytest.raises(SizeGuardError):
        prepared(sequence(6, 4))


class Calling(keras.layers.Layer):
    """A layer whose `call` is a function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, *inputs):
        return self.function(*inputs)


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]


def test_the_check_comes_before_everything_else():
    """An original that fails for other sizes: the check says why, and not the backend."""

    def call(x):
        assert x.shape[1] == 6
        return ops.matmul(x, ops.ones((2, 6, 4)) if x.shape[0] > 4 else ops.ones((4, 5)))

    prepared = kerasfx.prepare_model(
        Calling(call), keras.Input((None, 4), name="x"), hints={"x": (3, 6, 4)}, verify=False
    )
    assert kinds(prepared)[:2] == ["InputLayer", "CheckSizes"]
    assert kinds(prepared).count("CheckSizes") == 1
    with pytest.raises(SizeGuardError, match=r"x\.shape\[1\] == 6 is True"):
        prepared(sequence(7))
    with pytest.raises(Exception, match=r"x\.shape\[1\] == 6 is True"):
        prepared.predict(sequence(7), verbose=0)


def test_the_last_layer_keeps_its_name():
    prepared = kerasfx.prepare_model(subclassed(Asking()), keras.Input((None, 4), name="tokens"))
    assert [layer.name for layer in prepared.layers] == [
        "tokens",
        "tokens_check_sizes",
        "inner_multiply",
        "dense",
    ]


def test_the_check_passes_masks_on():
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.embed = keras.layers.Embedding(9, 4, mask_zero=True)
            self.asking = Calling(lambda x: x if x.shape[1] > 3 else x * 2.0)
            self.asking.supports_masking = True
            self.rnn = keras.layers.GRU(3)

        def call(self, x):
            return self.rnn(self.asking(self.embed(x)))

    model = Model()
    prepared = kerasfx.prepare_model(model, keras.Input((None,), dtype="int32", name="ids"))
    ids = np.array([[1, 2, 3, 0, 0], [4, 5, 0, 0, 0]])
    np.testing.assert_allclose(predicted(prepared, ids), predicted(model, ids), rtol=1e-5, atol=1e-6)
    with pytest.raises(SizeGuardError, match="> 3"):
        prepared(ids[:, :2])


def test_a_question_about_a_tensor_without_another_use_is_checked():
    class Model(keras.Model):
        def call(self, x, y):
            return x * 2.0 if y.shape[1] > 3 else x

    inputs = kerasfx.Inputs(keras.Input((None, 4)), keras.Input((None, 2)))
    prepared = kerasfx.prepare_model(Model(), inputs, verify=False)
    assert "CheckSizes" in kinds(prepared)
    x = sequence(6)
    np.testing.assert_array_equal(prepared({"x": x, "y": x[..., :2]}), x * 2)
    with pytest.raises(SizeGuardError):
        prepared({"x": x, "y": x[:, :3, :2]})


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only TensorFlow has unknown sizes")
def test_xla_does_not_drop_the_check():
    import tensorflow as tf

    prepared = kerasfx.prepare_model(subclassed(Asking()), keras.Input((None, 4), name="tokens"))
    call = tf.function(prepared, jit_compile=True, input_signature=[tf.TensorSpec([None, None, 4])])
    np.testing.assert_allclose(call(sequence(12)), prepared(sequence(12)), rtol=1e-5)
    with pytest.raises(tf.errors.InvalidArgumentError):
        call(sequence(8))


QUESTIONS_WITH_ONE_ANSWER = {
    "of a result": lambda x: x if keras.layers.Dense(4)(x).shape[1] == x.shape[1] else x * 2.0,
    "of an op": lambda x: x if ops.relu(x).shape[1] == x.shape[1] else x * 2.0,
    "of a transposed one": lambda x: x if ops.transpose(x, (0, 2, 1)).shape[2] == x.shape[1] else x * 2.0,
    "of a reduced one": lambda x: x if ops.mean(x, axis=-1).shape == x.shape[:-1] else x * 2.0,
    "of a product": lambda x: x if ops.reshape(x, (-1,)).shape[0] == x.shape[0] * x.shape[1] * 4 else -x,
    "of a matrix product": lambda x: x if ops.einsum("btd,bsd->bts", x, x).shape[2] == x.shape[1] else -x,
    "of joined ones": lambda x: x if ops.concatenate([x, x], axis=1).shape[1] == 2 * x.shape[1] else x * 2.0,
    "of a part": lambda x: x if x[:, :, 0].shape[1] == x.shape[1] else x * 2.0,
    "of a softmax": lambda x: ops.softmax(x, axis=1),
    "bounds": lambda x: x if x.shape[1] >= 0 and x.shape[1] != -1 and x.shape[1] + 1 > 0 else x * 2.0,
    "order": lambda x: x if x.shape[1] < x.shape[1] + 1 else x * 2.0,
    "multiples": lambda x: x if (4 * x.shape[1]) % 2 == 0 else x * 2.0,
}


@pytest.mark.parametrize("name", QUESTIONS_WITH_ONE_ANSWER)
def test_what_holds_for_all_sizes_is_not_guarded(name):
    layer = Calling(QUESTIONS_WITH_ONE_ANSWER[name])
    prepared = kerasfx.prepare_model(layer, keras.Input((None, 4), name="x"), verify=False)
    assert not kerasfx.report(prepared).of_kind("guard")
    np.testing.assert_allclose(predicted(prepared, sequence(7)), predicted(layer, sequence(7)), rtol=1e-6)


def test_a_cut_at_a_limit_is_another_size():
    """The examples are below the limit, and a length may be above."""
    layer = Calling(lambda x: x if x[:, :1000].shape[1] == x.shape[1] else x * 2.0)
    prepared = kerasfx.prepare_model(layer, keras.Input((None, 4), name="x"))
    assert kerasfx.report(prepared).of_kind("guard")
    with pytest.raises(SizeGuardError):
        prepared(sequence(1001))


CUT = {
    "": lambda x: ops.zeros_like(x[:, :50]) + x[:, :50].shape[1],
    "and asked about": lambda x: x[:, :50] * (2.0 if (ops.relu(x[:, :50]) + 1.0).shape[1] > 3 else 1.0),
    "from behind": lambda x: ops.ones((x[:, -20:].shape[1], 2)),
    "and met by a weight": lambda x: x[:, :50] + ops.ones((50, 4)),
}


@pytest.mark.parametrize("name", CUT)
def test_a_length_cut_at_a_limit_may_be_shorter(name):
    """The examples are longer than the limit: that the part is as long is not known."""
    layer = Calling(CUT[name])
    prepared = kerasfx.prepare_model(layer, keras.Input((None, 4), name="x"), verify=False)
    np.testing.assert_allclose(predicted(prepared, sequence(60)), predicted(layer, sequence(60)))
    try:
        expected = predicted(layer, sequence(2))
    except Exception:
        expected = None
    try:
        found = predicted(prepared, sequence(2))
    except Exception:
        return
    np.testing.assert_allclose(found, expected)


def test_sizes_reach_through_nested_models_and_masks():
    class Positions(keras.layers.Layer):
        supports_masking = True

        def call(self, x):
            return x + ops.cast(ops.arange(ops.shape(x)[1]), x.dtype)[:, None]

        def compute_mask(self, inputs, mask=None):
            return ops.broadcast_to(ops.arange(ops.shape(inputs)[1]) > 1, ops.shape(inputs)[:2])

    inside = keras.Input((None, 4))
    nested = keras.Model(inside, keras.layers.Dense(4)(inside))

    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.nested, self.positions, self.rnn = nested, Positions(), keras.layers.GRU(3)

        def call(self, x):
            h = self.rnn(self.positions(self.nested(x)))
            return ops.broadcast_to(h[:, None], (ops.shape(x)[0], ops.shape(x)[1], 3))

    model = Model()
    prepared = kerasfx.prepare_model(model, keras.Input((None, 4)))
    assert not kerasfx.report(prepared).opaque
    for batch, length in ((2, 6), (3, 9)):
        x = sequence(length, batch)
        np.testing.assert_allclose(predicted(prepared, x), predicted(model, x), rtol=1e-5, atol=1e-6)


class Losing(keras.Model):
    """Built-in layers that lose static sizes, and what follows."""

    def __init__(self):
        super().__init__()
        self.project = keras.layers.EinsumDense("btd,dhk->bthk", output_shape=(None, 2, 8))
        self.attend = keras.layers.MultiHeadAttention(2, 4)
        self.dense = keras.layers.Dense(5)

    def call(self, x):
        batch, length, _ = ops.shape(x)
        h = ops.reshape(self.project(x), (batch, length, 16))
        h = self.attend(h, h)
        h = ops.reshape(h, (batch, length, 2, 8))
        h = ops.tanh(ops.transpose(h, (0, 2, 1, 3)))
        h = ops.reshape(ops.transpose(h, (0, 2, 1, 3)), (batch, length, 16))
        return self.dense(h)


def test_known_sizes_stay_known_behind_layers_that_lose_them():
    model = Losing()
    prepared = kerasfx.prepare_model(model, keras.Input((None, 4)))
    assert kinds(prepared) == [
        *("InputLayer", "EinsumDense", "Reshape", "MultiHeadAttention", "Reshape"),
        *("Permute", "Activation", "Permute", "Reshape", "Dense"),
    ]
    shapes = [layer.output.shape for layer in prepared.layers]
    assert shapes[2:6] == [(None, None, 16), (None, None, 16), (None, None, 2, 8), (None, 2, None, 8)]
    assert prepared.output_shape == (None, None, 5)
    for batch, length in ((2, 6), (3, 9)):
        x = sequence(length, batch)
        np.testing.assert_allclose(predicted(prepared, x), predicted(model, x), rtol=1e-5, atol=1e-6)


def test_a_free_size_that_meets_a_known_one_is_fixed_and_told():
    layer = Calling(lambda x: x + ops.ones((16, 4)))
    prepared = kerasfx.prepare_model(layer, keras.Input((None, 4), name="x"))
    assert prepared.output_shape == (None, 16, 4)
    (finding,) = kerasfx.report(prepared).of_kind("fixed")
    assert "x.shape[1] is 16 in the result" in str(finding)
    assert not kerasfx.report(prepared).of_kind("warning")  # it was compared, at the size that it takes
    np.testing.assert_array_equal(predicted(prepared, sequence(16)), predicted(layer, sequence(16)))
    with pytest.raises(SizeGuardError, match=r"x\.shape\[1\] == 16"):
        prepared(sequence(15))


def test_inputs_whose_lengths_must_fit_are_found_to_fit():
    class Model(keras.Model):
        def call(self, x, mask):
            scores = ops.matmul(x, ops.transpose(x, (0, 2, 1)))
            return ops.matmul(ops.softmax(ops.where(mask, scores, -1e9)), x)

    inputs = kerasfx.Inputs(keras.Input((None, 4)), keras.Input((None, None), dtype="bool"))
    model = Model()
    prepared = kerasfx.prepare_model(model, inputs)
    assert not kerasfx.report(prepared).of_kind("guard")
    for batch, length in ((2, 6), (3, 9)):
        x, mask = sequence(length, batch), np.tril(np.ones((batch, length, length), bool))
        np.testing.assert_allclose(
            predicted(prepared, {"x": x, "mask": mask}), predicted(model, x, mask), rtol=1e-5
        )


def test_hints_that_fit_as_they_are_fix_the_sizes():
    class Model(keras.Model):
        def call(self, x, patches):
            side = ops.shape(patches)[1] // 4
            return x + ops.reshape(patches, (-1, side, 4, 4))[:, :, 0]

    inputs = kerasfx.Inputs(keras.Input((3, 4)), keras.Input((None, 4)))
    model = Model()
    prepared = kerasfx.prepare_model(model, inputs, hints={"patches": (2, 12, 4)})
    (finding,) = kerasfx.report(prepared).of_kind("fixed")
    assert "patches.shape[1] is 12 in the result" in str(finding)
    x, patches = sequence(3), sequence(12)
    np.testing.assert_array_equal(
        predicted(prepared, {"x": x, "patches": patches}), predicted(model, x, patches)
    )


def test_a_known_size_unrolls():
    layer = Valued()
    prepared = kerasfx.prepare_model(layer, keras.Input((5, 4)))
    np.testing.assert_array_equal(predicted(prepared, sequence(5)), predicted(layer, sequence(5)))

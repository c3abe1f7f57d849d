"""Free sizes that have to fit: equal, multiples, what becomes a known size behind further layers."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from predicting import predicted

import kerasfx
from kerasfx.errors import OperationInferenceError, SizeGuardError

pytestmark = pytest.mark.any_keras


class Calling(keras.layers.Layer):
    """A layer whose `call` is a function."""

    def __init__(self, function, *parts):
        super().__init__()
        self.function, self.parts = function, list(parts)

    def call(self, *inputs):
        return self.function(*self.parts, *inputs)


class Around(keras.Model):
    """A model around such a layer."""

    def __init__(self, function, *parts):
        super().__init__()
        self.inner = Calling(function, *parts)

    def call(self, x, y=None):
        return self.inner(x, y) * 2.0


def numbers(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype("float32")


def strided(kernel):
    return keras.Sequential([layers.Conv2D(4, kernel, strides=2), layers.Conv2D(4, kernel, strides=2)])


def kept_rows(y):
    return y[:, ::4]


def expect_equal(model, prepared, *arrays):
    given = arrays[0] if len(arrays) == 1 else dict(zip(("x", "y"), arrays, strict=True))
    expected = predicted(model, *arrays)
    np.testing.assert_allclose(predicted(prepared, given), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(prepared.predict(given, verbose=0), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("kernel", "side"), [(2, 16), (3, 19)])
def test_a_mask_that_must_become_as_large_as_an_image_is_fixed_and_told(kernel, side):
    model = Around(lambda embed, mask, x, y: embed(x) + mask(y), layers.Dense(4), strided(kernel))
    inputs = kerasfx.Inputs(keras.Input((4, 4, 3)), keras.Input((None, None, 1)))
    prepared = kerasfx.prepare_model(model, inputs)
    report = kerasfx.report(prepared)
    assert [str(f).split(": ")[1] for f in report.of_kind("fixed")] == [
        f"y.shape[{k}] is {side} in the result" for k in (1, 2)
    ]
    assert not report.opaque
    assert not report.of_kind("warning")
    expect_equal(model, prepared, numbers(3, 4, 4, 3), numbers(3, side, side, 1))
    with pytest.raises(SizeGuardError, match=rf"y\.shape\[1\] == {side}"):
        prepared({"x": numbers(3, 4, 4, 3), "y": numbers(3, 32, side, 1)})


LENGTHS_THAT_FIT = {
    "every fourth": lambda x, y: x + y[:, ::4],
    "groups of four": lambda x, y: x + ops.mean(ops.reshape(y, (*ops.shape(x)[:2], 4, 4)), axis=2),
    "contracted": lambda x, y: ops.matmul(ops.transpose(x, (0, 2, 1)), y[:, ::4]),
    "side by side": lambda x, y: ops.concatenate([x, y[:, ::4]], axis=2),
    "merged": lambda x, y: layers.Add()([x, y[:, ::4]]),
}


@pytest.mark.parametrize("name", LENGTHS_THAT_FIT)
def test_an_input_four_times_as_long_as_another_is_found_and_stays_free(name):
    model = Around(LENGTHS_THAT_FIT[name])
    prepared = kerasfx.prepare_model(model, kerasfx.Inputs(keras.Input((None, 4)), keras.Input((None, 4))))
    report = kerasfx.report(prepared)
    assert not report.opaque
    assert not [*report.of_kind("fixed"), *report.of_kind("warning")]
    for length in (2, 7):
        expect_equal(model, prepared, numbers(3, length, 4), numbers(3, 4 * length, 4))


def windows(x, y):
    batch, length, width = ops.shape(x)
    return ops.reshape(x, (batch, length // 7, 7 * width))


def windows_of_images(x, y):
    batch, height, width, depth = ops.shape(x)
    x = ops.reshape(x, (batch, height // 7, 7, width // 5, 5, depth))
    return ops.mean(x, axis=(2, 4))


@pytest.mark.parametrize(
    ("function", "shape"), [(windows, (14, 4)), (windows, (21, 4)), (windows_of_images, (14, 15, 4))]
)
def test_multiples_of_a_window_are_found_and_stay_free(function, shape):
    model = Around(function)
    prepared = kerasfx.prepare_model(model, keras.Input((*[None] * len(shape[:-1]), 4)))
    report = kerasfx.report(prepared)
    assert not report.opaque
    assert not [*report.of_kind("fixed"), *report.of_kind("warning")]
    expect_equal(model, prepared, numbers(2, *shape))


def test_one_clash_behind_another_is_solved_too():
    def call(x, y):
        return ops.mean(windows(x, None), axis=1) + ops.mean(windows(kept_rows(y), None)[:, :3] + 0.0, axis=1)

    def joined(x, y):
        return ops.mean(windows(x + kept_rows(y), None), axis=1)

    for function in (call, joined):
        model = Around(function)
        inputs = kerasfx.Inputs(keras.Input((None, 4)), keras.Input((None, 4)))
        prepared = kerasfx.prepare_model(model, inputs)
        assert not kerasfx.report(prepared).of_kind("fixed")
        expect_equal(model, prepared, numbers(2, 21, 4), numbers(2, 84, 4))


def test_a_reshape_to_known_sizes_fixes_the_length():
    model = Around(lambda reshape, x, y: reshape(x), layers.Reshape((4, 4, 8)))
    prepared = kerasfx.prepare_model(model, keras.Input((None, 8)))
    (finding,) = kerasfx.report(prepared).of_kind("fixed")
    assert "x.shape[1] is 16 in the result" in str(finding)
    expect_equal(model, prepared, numbers(3, 16, 8))


def times_four(x, y):
    assert ops.shape(y)[1] == 4 * ops.shape(x)[1]
    return x + ops.mean(y, axis=1, keepdims=True)


def no_rest(x, y):
    if x.shape[1] % 7:
        raise ValueError("no multiple of 7")
    return x * 2.0


@pytest.mark.parametrize(
    ("function", "lengths", "guard"),
    [
        (times_four, (5, 20), "y.shape[1] == (4 * x.shape[1]) is True"),
        (no_rest, (14,), "(x.shape[1] % 7) != 0 is False"),
    ],
)
def test_sizes_that_the_users_code_insists_on_are_found_and_guarded(function, lengths, guard):
    model = Around(function)
    inputs = [keras.Input((None, 4)) for _ in lengths]
    prepared = kerasfx.prepare_model(model, kerasfx.Inputs(*inputs))
    (found,) = kerasfx.report(prepared).of_kind("guard")
    assert guard in str(found)
    assert not kerasfx.report(prepared).of_kind("fixed")
    arrays = [numbers(3, n, 4) for n in lengths]
    given = dict(zip(("x", "y"), arrays, strict=False))
    np.testing.assert_allclose(predicted(prepared, given), predicted(model, *arrays), rtol=1e-5)
    with pytest.raises(SizeGuardError):
        prepared({**given, "x": numbers(3, lengths[0] + 1, 4)})


def test_what_never_fits_is_refused_as_before():
    model = Around(lambda x, y: ops.reshape(x, (3, 4)) + ops.reshape(x, (2, 7)))
    with pytest.raises(OperationInferenceError, match=r"keras\.ops\.reshape\(.*is refused"):
        kerasfx.prepare_model(model, keras.Input((None, 4), name="x"))


TRACES = {
    "fits at once": (lambda x, y: x * 2.0, (None, 4), 1),
    "all alike": (lambda x, y: x + ops.transpose(x, (0, 2, 1)), (None, None), 2),
    "meets a known size": (lambda x, y: x + ops.ones((16, 4)), (None, 4), 3),
    "a table": (lambda x, y: x + ops.ones((512, 4))[: ops.shape(x)[1]], (None, 4), 1),
}


@pytest.mark.parametrize("name", TRACES)
def test_what_was_found_before_is_traced_no_more_often(name):
    function, shape, traces = TRACES[name]
    # Not in the layer, whose attributes are as before when it was traced.
    calls = []
    layer = Calling(lambda x: calls.append(x) or function(x, None))
    layer.build(())
    kerasfx.prepare_model(layer, keras.Input(shape), verify=False)
    assert len(calls) == traces

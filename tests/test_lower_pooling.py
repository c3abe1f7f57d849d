"""What pools, pads, cuts or resizes places becomes a built-in layer exactly where nothing else changes."""

from contextlib import contextmanager

import keras
import numpy as np
import pytest
from keras import ops
from lowering import Call, Rule, call_with, f, fixed, lines, lowered

import kerasfx
from kerasfx.passes import to_pooling, to_resizing

pytestmark = pytest.mark.any_keras

PASSES = (to_pooling, to_resizing)

SERIES, FREE, IMAGE, BOTH = f(5, 3), f(None, 3), f(4, 6, 3), f(None, None, 3)
LAST, FIRST = "data_format='channels_last'", "data_format='channels_first'"


def resized(size, **kwargs):
    return lambda m, x: ops.image.resize(x, size, data_format="channels_last", **kwargs)


def twice(**kwargs):
    return lambda m, x: ops.image.resize(
        x, (2 * ops.shape(x)[1], 3 * ops.shape(x)[2]), data_format="channels_last", **kwargs
    )


RULES = {
    # Pooling
    "mean of a series": Rule(
        lambda m, x: ops.mean(x, axis=1), (FREE,), f"GlobalAveragePooling1D({LAST}, keepdims=False)(%x)"
    ),
    "mean of an image": Rule(
        lambda m, x: ops.mean(x, axis=(1, -2), keepdims=True),
        (BOTH,),
        f"GlobalAveragePooling2D({LAST}, keepdims=True)(%x)",
    ),
    "mean of a volume, channels first": Rule(
        lambda m, x: ops.mean(x, axis=(-3, -2, -1)),
        (f(2, 3, 2, 2),),
        f"GlobalAveragePooling3D({FIRST}, keepdims=False)(%x)",
    ),
    "max of an image": Rule(
        lambda m, x: ops.max(x, axis=[1, 2]), (IMAGE,), f"GlobalMaxPooling2D({LAST}, keepdims=False)(%x)"
    ),
    "max_pool": Rule(
        lambda m, x: ops.max_pool(x, 2, (2, 2), padding="SAME", data_format="channels_last"),
        (IMAGE,),
        f"MaxPooling2D(pool_size=(2, 2), strides=(2, 2), padding='same', {LAST})(%x)",
    ),
    "average_pool": Rule(
        lambda m, x: ops.average_pool(x, (2,), strides=1, data_format="channels_last"),
        (FREE,),
        f"AveragePooling1D(pool_size=(2,), strides=(1,), padding='valid', {LAST})(%x)",
    ),
    "adaptive_average_pool": Rule(
        lambda m, x: ops.adaptive_average_pool(x, (2, 3), data_format="channels_last"),
        (IMAGE,),
        f"AdaptiveAveragePooling2D(output_size=(2, 3), {LAST})(%x)",
    ),
    "adaptive_max_pool": Rule(
        lambda m, x: ops.adaptive_max_pool(x, 2, data_format="channels_last"),
        (SERIES,),
        f"AdaptiveMaxPooling1D(output_size=(2,), {LAST})(%x)",
    ),
    # Padding and cutting
    "pad an image": Rule(
        lambda m, x: ops.pad(x, ((0, 0), (1, 2), (0, 1), (0, 0))),
        (BOTH,),
        f"ZeroPadding2D(padding=((1, 2), (0, 1)), {LAST})(%x)",
    ),
    "pad a series": Rule(
        lambda m, x: ops.pad(x, [[0, 0], [1, 0], [0, 0]], constant_values=0.0),
        (FREE,),
        f"ZeroPadding1D(padding=(1, 0), {LAST})(%x)",
    ),
    "pad the last axes": Rule(
        lambda m, x: ops.pad(x, ((0, 0), (0, 0), (0, 0), (1, 1))),
        (IMAGE,),
        f"ZeroPadding2D(padding=((0, 0), (1, 1)), {FIRST})(%x)",
    ),
    "cut a series": Rule(lambda m, x: x[:, 1:-1], (SERIES,), "Cropping1D(cropping=(1, 1))(%x)"),
    "cut an image": Rule(
        lambda m, x: x[:, 1:, :5], (IMAGE,), f"Cropping2D(cropping=((1, 0), (0, 1)), {LAST})(%x)"
    ),
    "cut the last axis": Rule(
        lambda m, x: x[..., :2], (IMAGE,), f"Cropping2D(cropping=((0, 0), (0, 1)), {FIRST})(%x)"
    ),
    "the first of a series": Rule(
        lambda m, x: x[:, 0], (SERIES,), "Reshape(target_shape=(3,))(%get_item_cropping)"
    ),
    "the last row, and some columns": Rule(
        lambda m, x: x[:, -1, 1:],
        (IMAGE,),
        f"Cropping2D(cropping=((3, 0), (1, 0)), {LAST})(%x)",
    ),
    "a channel of free columns": Rule(
        lambda m, x: x[..., 1],
        (f(2, None, 3),),
        f"Cropping2D(cropping=((0, 0), (1, 1)), {FIRST})(%x)",
    ),
    "the only one": Rule(lambda m, x: x[:, 0], (f(1, None, 3),), "Reshape(target_shape=(-1, 3))(%x)"),
    # Repeating and resizing
    "repeat a series": Rule(lambda m, x: ops.repeat(x, 3, axis=1), (FREE,), "UpSampling1D(size=3)(%x)"),
    "repeat columns": Rule(
        lambda m, x: ops.repeat(x, 2, axis=-2), (BOTH,), f"UpSampling2D(size=(1, 2), {LAST})(%x)"
    ),
    "repeat rows and columns": Rule(
        lambda m, x: ops.repeat(ops.repeat(x, 2, axis=1), 3, axis=2),
        (IMAGE,),
        f"UpSampling2D(size=(2, 3), {LAST})(%x)",
    ),
    "repeat columns, then rows": Rule(
        lambda m, x: ops.repeat(ops.repeat(x, 2, axis=2), 3, axis=1),
        (IMAGE,),
        f"UpSampling2D(size=(3, 1), {LAST})(%repeat)",
    ),
    "resize": Rule(
        resized((3, 5)),
        (BOTH,),
        f"Resizing(interpolation='bilinear', {LAST}, height=3, width=5, antialias=False)(%x)",
    ),
    "resize to the nearest": Rule(
        resized((8, 6), interpolation="nearest"),
        (IMAGE,),
        f"Resizing(interpolation='nearest', {LAST}, height=8, width=6, antialias=False)(%x)",
    ),
    "resize free sizes": Rule(
        twice(), (BOTH,), f"UpSampling2D(size=(2, 3), interpolation='bilinear', {LAST})(%x_check_sizes)"
    ),
}

REFUSALS = {
    "mean of channels": Rule(
        lambda m, x: ops.mean(x, axis=-1), (SERIES,), "keras.ops.mean(%x, axis=-1, keepdims=False)"
    ),
    "mean of rows": Rule(
        lambda m, x: ops.mean(x, axis=1), (IMAGE,), "keras.ops.mean(%x, axis=1, keepdims=False)"
    ),
    "mean of all": Rule(
        lambda m, x: ops.mean(x, axis=(0, 1)), (SERIES,), "keras.ops.mean(%x, axis=(0, 1), keepdims=False)"
    ),
    "max from a number": Rule(
        lambda m, x: ops.max(x, axis=1, initial=0.0),
        (SERIES,),
        "keras.ops.max(%x, axis=1, keepdims=False, initial=0.0)",
    ),
    "pad by ones": Rule(
        lambda m, x: ops.pad(x, ((0, 0), (1, 1), (0, 0)), constant_values=1.0),
        (SERIES,),
        "keras.ops.pad(%x, pad_width=((0, 0), (1, 1), (0, 0)), mode='constant', constant_values=1.0)",
    ),
    "pad places and channels": Rule(
        lambda m, x: ops.pad(x, ((0, 0), (1, 1), (0, 0), (0, 1))),
        (IMAGE,),
        "keras.ops.pad(%x, pad_width=((0, 0), (1, 1), (0, 0), (0, 1)), mode='constant')",
    ),
    "pad by what is there": Rule(
        lambda m, x: ops.pad(x, ((0, 0), (1, 1), (0, 0)), mode="reflect"),
        (SERIES,),
        "keras.ops.pad(%x, pad_width=((0, 0), (1, 1), (0, 0)), mode='reflect')",
    ),
    # A layer refuses a series of one, of which nothing would be left.
    "cut a free length": Rule(lambda m, x: x[:, 1:], (FREE,), "keras.ops.get_item(%x, (:, 1:))"),
    "the first of a free length": Rule(lambda m, x: x[:, 0], (FREE,), "keras.ops.get_item(%x, (:, 0))"),
    "one channel of a series": Rule(lambda m, x: x[..., 0], (SERIES,), "keras.ops.get_item(%x, (..., 0))"),
    "the first of the batch": Rule(lambda m, x: x[0], (fixed(3, 4, 3),), "keras.ops.get_item(%x, 0)"),
    "each second": Rule(lambda m, x: x[:, 1::2], (SERIES,), "keras.ops.get_item(%x, (:, 1::2))"),
    "cut the batch": Rule(lambda m, x: x[:2], (fixed(3, 4, 3),), "keras.ops.get_item(%x, :2)"),
    "cut nothing": Rule(lambda m, x: x[:, :9] * 2.0, (SERIES,), "keras.ops.get_item(%x, (:, :9))"),
    "repeat channels": Rule(
        lambda m, x: ops.repeat(x, 2, axis=-1), (IMAGE,), "keras.ops.repeat(%x, repeats=2, axis=-1)"
    ),
    "repeat each as often as it says": Rule(
        lambda m, x: ops.repeat(x, (1, 2, 3, 0, 1), axis=1),
        (SERIES,),
        "keras.ops.repeat(%x, repeats=(1, 2, 3, 0, 1), axis=1)",
    ),
    "resize and fill": Rule(
        resized((3, 5), pad_to_aspect_ratio=True),
        (IMAGE,),
        "keras.ops.image.resize(%x, size=(3, 5), interpolation='bilinear', antialias=False, "
        "crop_to_aspect_ratio=False, pad_to_aspect_ratio=True, fill_mode='constant', fill_value=0.0, "
        "data_format='channels_last')",
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_becomes_a_layer(name):
    before, after = lowered(RULES[name], *PASSES)
    assert RULES[name].after not in before
    assert RULES[name].after in after


@pytest.mark.parametrize("name", REFUSALS)
def test_stays_a_function(name):
    before, after = lowered(REFUSALS[name], *PASSES)
    assert REFUSALS[name].after in before
    assert REFUSALS[name].after in after


@pytest.mark.parametrize("name", RULES)
def test_gives_the_same_bits(name):
    rule = RULES[name]
    model = Call(rule.function)
    prepared = kerasfx.prepare_model(model, call_with(rule.inputs), verify=False)
    comparison = kerasfx.compare(model, prepared, samples=1)
    assert comparison.exact, str(comparison)


FAST = {
    "repeat columns, then rows": f"UpSampling2D(size=(3, 2), {LAST})(%x)",
    "resize free sizes to the nearest": (
        f"UpSampling2D(size=(2, 3), interpolation='nearest', {LAST})(%x_check_sizes)"
    ),
}


@pytest.mark.parametrize("name", FAST)
def test_gradients_that_are_summed_in_another_order_are_for_the_fast(name):
    rule = RULES.get(name) or Rule(twice(interpolation="nearest"), (BOTH,), "")
    model = Call(rule.function)
    assert FAST[name] not in lowered(rule, *PASSES)[1]
    prepared = kerasfx.prepare_model(model, call_with(rule.inputs), lower="fast", verify=False)
    assert [type(layer).__name__ for layer in prepared.layers][-1:] == ["UpSampling2D"]
    assert kerasfx.compare(model, prepared, samples=1)


@contextmanager
def channels_first():
    """Another setting for how images lie, for the time of a block."""
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    try:
        yield
    finally:
        keras.config.set_image_data_format(before)


def test_the_layout_of_the_day_is_written_down():
    rule = Rule(lambda m, x: ops.average_pool(x, 2), (f(3, 4, 6),), "")
    with channels_first():
        graph = kerasfx.trace(Call(rule.function), call_with(rule.inputs)).graph
        to_pooling(graph)
    assert f"AveragePooling2D(pool_size=(2, 2), strides=(2, 2), padding='valid', {FIRST})(%x)" in lines(graph)


class Masked(keras.Model):
    """Means behind a mask: `ops.mean` does not know of it, where the layer for it would leave places out."""

    def __init__(self):
        super().__init__(name="masked")
        self.embed = keras.layers.Embedding(11, 4, mask_zero=True)
        self.dense = keras.layers.Dense(3)

    def call(self, ids):
        h = self.embed(ids)
        return self.dense(ops.concatenate([ops.mean(h, axis=1), ops.max(h[:, 1:], axis=1)], axis=-1))


def test_behind_a_mask_a_mean_is_that_of_all_places(tmp_path):
    model, x = Masked(), np.array([[1, 2, 3, 0, 0, 0], [4, 5, 6, 7, 0, 0]])
    prepared = kerasfx.prepare_model(model, keras.Input((6,), dtype="int32"))
    kinds = [type(layer).__name__ for layer in prepared.layers]
    assert {"GlobalAveragePooling1D", "GlobalMaxPooling1D", "Cropping1D"} <= set(kinds)
    assert kinds.count("DropMask") == 1
    assert kerasfx.compare(model, prepared, inputs=x, gradients=False).exact
    prepared.save(tmp_path / "masked.keras")
    loaded = keras.saving.load_model(tmp_path / "masked.keras")
    np.testing.assert_array_equal(*(ops.convert_to_numpy(m(x)) for m in (prepared, loaded)))


class Policies(keras.layers.Layer):
    """Of a half, of a float, and of ints that the policy does not cast."""

    def call(self, x, ids):
        h = ops.pad(ops.repeat(x, 2, axis=1), ((0, 0), (1, 0), (0, 0)))
        return ops.mean(h, axis=1), ops.max(ids[:, 1:], axis=1), ops.mean(ids, axis=1)


@pytest.mark.parametrize("policy", ["mixed_float16", "bfloat16"])
def test_the_policy_of_the_day_is_kept(policy):
    model = Policies(dtype=policy)
    inputs = kerasfx.Inputs(keras.Input((3, 4)), ids=keras.Input((3, 4), dtype="int32"))
    prepared = kerasfx.prepare_model(model, inputs)
    kinds = [type(layer).__name__ for layer in prepared.layers]
    assert {"ZeroPadding1D", "UpSampling1D", "Cropping1D", "GlobalMaxPooling1D"} <= set(kinds)
    assert kinds.count("GlobalAveragePooling1D") == 2
    assert kerasfx.compare(model, prepared, samples=1).exact

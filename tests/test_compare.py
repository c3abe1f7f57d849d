"""The oracle: accepts equal models, catches each way to be wrong, and writes to neither model."""

import random
import threading

import keras
import numpy as np
import pytest
from keras import layers
from keras.src.backend.common import global_state

import kerasfx
from kerasfx.comparing import (
    Check,
    Comparison,
    compare,
    locate_first_difference,
    verify,
)
from kerasfx.comparing.inputs import random_samples, slots_of
from kerasfx.comparing.locate import observed_calls
from kerasfx.comparing.measure import (
    Tolerance,
    finite_share,
    skeleton,
    structure_difference,
    tensor_difference,
)
from kerasfx.comparing.pairing import (
    Pairing,
    pair_by_structure,
    pairing_of,
)
from kerasfx.comparing.run import run
from kerasfx.comparing.states import perturbed, present_state
from kerasfx.handover.provenance import Provenance, attach
from kerasfx.prepare import prepare_model

pytestmark = pytest.mark.any_keras

KERAS = tuple(int(part) for part in keras.__version__.split(".")[:2])


class Original(keras.Model):
    """A bit of everything: shared shapes, dropout, batch statistics, a loss; two outputs."""

    def __init__(self):
        super().__init__(name="original")
        self.first = layers.Dense(4)
        self.second = layers.Dense(4)
        self.drop = layers.Dropout(0.5, seed=1)
        self.norm = layers.BatchNormalization(momentum=0.9)
        self.last = layers.Dense(2, activity_regularizer="l2", kernel_regularizer="l2")

    def call(self, x, training=None):
        h = self.second(keras.ops.tanh(self.first(x))) * 0.5
        h = self.norm(self.drop(h, training=training), training=training)
        return [self.last(h), h]


def functional(
    *,
    scale=0.5,
    rate=0.5,
    momentum=0.9,
    regularizer="l2",
    dtype=None,
    trainable=True,
    second=None,
    between=lambda x: x,
    outputs=list,
):
    """`Original` by hand; every argument is a way to get it wrong."""
    x = keras.Input((4,), name="features")
    h = layers.Activation("tanh", name="tanh")(layers.Dense(4, name="first")(x))
    second = second or layers.Dense(4, name="second", trainable=trainable)
    h = between(second(h))
    h = layers.Rescaling(scale, name="scale")(h)
    h = layers.Dropout(rate, seed=1, name="drop")(h) if rate else h
    h = layers.BatchNormalization(momentum=momentum, name="norm")(h)
    last = layers.Dense(
        2, activity_regularizer=regularizer, kernel_regularizer="l2", name="last", dtype=dtype
    )
    return keras.Model(x, outputs([last(h), h]), name="prepared")


def pairs_by_layer(a, b):
    """Pairs of variables of equally named attributes and layers."""
    found = []
    for layer in b.layers:
        ours = getattr(a, layer.name, None)
        found += zip(ours.variables, layer.variables, strict=True) if ours is not None else ()
    return found


def original():
    """A built original whose weights are all unlike each other."""
    model = Original()
    model(np.zeros((2, 4), "float32"))
    for seed, v in enumerate(model.trainable_variables):
        v.assign(keras.random.uniform(v.shape, -1, 1, seed=seed))
    model.norm.moving_variance.assign([0.5, 1, 2, 3])
    return model


def copied(a, b):
    """Copies the weights of `a` to `b`; returns the pairs."""
    pairs = pairs_by_layer(a, b)
    for v, w in pairs:
        w.assign(keras.ops.cast(v.value, w.dtype))
    return pairs


def failed(comparison):
    return {check.name for check in comparison.checks if not check.passed}


def wrong(a=None, **fault):
    """Compares an original with a prepared model that has a fault; names the failed checks."""
    a, b = a or original(), functional(**fault)
    return compare(a, b, variables=copied(a, b), samples=1)


def op(function, name="op"):
    """A layer that applies a function, keeping the shape."""
    return layers.Lambda(function, output_shape=lambda shape: shape, name=name)


# Equal models


def test_equal_models_are_equivalent_bit_for_bit():
    a, b = original(), functional()
    found = compare(a, b, variables=copied(a, b))
    assert found.exact, found
    assert found.equivalent
    assert bool(found)
    assert found.first_difference is None
    assert found.max_abs_difference == 0
    assert [check.name for check in found.checks] == [
        "variables",
        "outputs",
        "perturbed outputs",
        "training outputs",
        "training updates",
        "losses",
        "in fit",
        "bare call",
        "masks",
        "optimizer step",
    ]


def test_verify_asks_the_quick_part():
    a, b = original(), functional()
    found = verify(a, b, variables=copied(a, b))
    assert found.exact, found
    names = [check.name for check in found.checks]
    assert names == ["variables", "outputs", "perturbed outputs", "losses", "masks"]


def test_a_model_equals_itself():
    b = functional()
    assert compare(b, b, samples=1).exact


def test_training_and_gradients_can_be_left_out():
    a, b = original(), functional()
    found = compare(a, b, variables=copied(a, b), samples=1, modes=("inference",))
    assert [check.name for check in found.checks][-1] == "masks"
    found = compare(a, b, variables=copied(a, b), samples=1, gradients=False)
    assert "training outputs" in [check.name for check in found.checks]
    assert "optimizer step" not in [check.name for check in found.checks]


def test_mixed_precision_is_compared_with_the_tolerance_of_the_half_dtype():
    class Half(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = layers.Dense(3, dtype="mixed_bfloat16")

        def call(self, x):
            return self.inner(x)

    a = Half()
    a(np.zeros((2, 4), "float32"))
    x = keras.Input((4,))
    b = keras.Model(x, layers.Dense(3, name="inner", dtype="mixed_bfloat16")(x))
    found = compare(a, b, variables=copied(a, b), samples=1)
    assert found.equivalent, found


class Projected(keras.Model):
    def __init__(self):
        super().__init__(name="net")
        self.table = np.random.default_rng(0).random((4, 400), "float32")
        self.head = layers.Dense(2)

    def call(self, x):
        return self.head(keras.ops.matmul(x, self.table))


def test_constants_of_two_prepared_models_are_partners(tmp_path):
    prepared = kerasfx.prepare_model(Projected(), keras.Input((4,)), verify=False)
    prepared.save(tmp_path / "net.keras")
    loaded = keras.saving.load_model(tmp_path / "net.keras")
    found = compare(prepared, loaded, samples=1)
    assert found.exact, found
    (constant,) = (v for v in loaded.non_trainable_variables if tuple(v.shape) == (4, 400))
    constant.assign(constant + 1.0)
    assert {"variables", "outputs"} <= failed(compare(prepared, loaded, samples=1))


# Wrong models


def test_a_weight_frozen_as_a_constant_is_found_twice():
    a = original()
    kernel, bias = (keras.ops.convert_to_numpy(v) for v in a.second.variables)
    second = op(lambda h: keras.ops.matmul(h, kernel) + bias, "frozen")
    found = wrong(a, second=second)
    assert {"variables", "perturbed outputs"} <= failed(found)
    assert "outputs" not in failed(found)
    assert f"'{a.second.kernel.path}' of the original is missing" in str(found)


def test_two_swapped_weights_of_one_shape_are_found():
    a, b = original(), functional()
    pairs = copied(a, b)
    first, second = b.get_layer("first").kernel, b.get_layer("second").kernel
    first.assign(a.second.kernel)
    second.assign(a.first.kernel)
    found = verify(a, b, variables=pairs)
    # Perturbed alike, the two are equal: the pairs are right, only the values are wrong.
    assert failed(found) == {"variables", "outputs", "losses"}
    assert found.first_difference is not None
    assert "'first'" in found.first_difference


def test_two_swapped_weights_with_equal_values_are_found_by_perturbing():
    a, b = original(), functional()
    a.second.kernel.assign(a.first.kernel)
    partner = {id(v): w for v, w in copied(a, b)}
    first, second = id(a.first.kernel), id(a.second.kernel)
    partner[first], partner[second] = partner[second], partner[first]
    pairs = [(v, partner[id(v)]) for v in a.variables]
    assert failed(verify(a, b, variables=pairs)) == {"perturbed outputs", "losses"}


def test_a_weight_wrongly_called_unused_is_found():
    a, b = original(), functional()
    used = a.first.kernel
    pairs = [(v, w) for v, w in copied(a, b) if v is not used]
    remember(a, b, variables=pairs, unused=[used])
    assert "perturbed outputs" in failed(verify(a, b))


@pytest.mark.parametrize(
    ("fault", "checks"),
    [
        ({"scale": 0.25}, {"outputs", "perturbed outputs", "training outputs"}),
        ({"rate": 0.0}, {"variables", "training outputs"}),
        ({"rate": 0.3}, {"training outputs"}),
        ({"dtype": "float16"}, {"variables", "outputs"}),
        ({"outputs": lambda y: {"y": y[0], "h": y[1]}}, {"outputs"}),
        ({"outputs": tuple}, {"outputs"}),
    ],
    ids=["constant", "no dropout", "other dropout", "dtype", "dict for list", "tuple for list"],
)
def test_a_fault_is_caught_by_at_least(fault, checks):
    assert checks <= failed(wrong(**fault))


@pytest.mark.parametrize(
    ("fault", "checks"),
    [
        ({"momentum": 0.8}, {"training updates", "in fit"}),
        ({"regularizer": None}, {"losses", "in fit", "bare call", "optimizer step"}),
        ({"trainable": False}, {"variables"}),
        ({"between": op(keras.ops.stop_gradient)}, {"optimizer step"}),
    ],
    ids=["momentum", "no regularizer", "frozen", "stop_gradient"],
)
def test_a_fault_is_caught_by_nothing_but(fault, checks):
    assert failed(wrong(**fault)) == checks


def test_dropout_faults_do_not_show_in_inference():
    assert not failed(wrong(rate=0.3)) & {"variables", "outputs", "perturbed outputs", "masks"}


def test_statistics_that_do_not_move_in_inference_are_found():
    """The quick part asks about them, too: the outputs of a first call are the same."""

    class Moves(keras.Layer):
        def __init__(self, moves, **kwargs):
            super().__init__(**kwargs)
            self.norm, self.moves = layers.BatchNormalization(momentum=0.5), moves

        def build(self, shape):
            self.norm.build(shape)

        def call(self, x):
            if self.moves:
                self.norm(x, training=True)
            return x * 2.0

    a, b, c = (keras.Sequential([keras.Input((4,)), Moves(moves)]) for moves in (True, False, True))
    for other, found in ((b, {"inference updates"}), (c, set())):
        pairs = list(zip(a.variables, other.variables, strict=True))
        assert failed(verify(a, other, variables=pairs)) == found


def test_an_add_loss_that_is_missing_is_found():
    class Penalty(keras.Layer):
        def call(self, x):
            self.add_loss(keras.ops.sum(x**2))
            return x

    x = keras.Input((4,))
    found = compare(keras.Model(x, Penalty()(x)), keras.Model(x, op(lambda t: t)(x)), samples=1)
    assert failed(found) == {"losses", "in fit", "bare call"}
    assert "1 losses became 0" in str(found)


class Measured(keras.Model):
    """Counts, in a metric, what it is called with."""

    def __init__(self):
        super().__init__(name="measured")
        self.dense, self.size = layers.Dense(3), keras.metrics.Mean(name="size")

    def call(self, x):
        self.size.update_state(keras.ops.abs(x))
        return self.dense(x)


def test_a_metric_that_is_no_longer_updated_is_found(tmp_path):
    original = Measured()
    prepared = prepare_model(original, np.ones((2, 4), "float32"))
    prepared.save(tmp_path / "measured.keras")
    assert compare(original, prepared)
    assert compare(original, keras.saving.load_model(tmp_path / "measured.keras"))
    x = keras.Input((4,))
    without = keras.Model(x, original.dense(x))
    found = compare(original, without)
    assert not found
    assert "only the original updates" in str(found)
    assert "size" in str(found)


def test_a_baked_batch_size_is_found():
    found = wrong(between=op(lambda h: keras.ops.reshape(h, (2, 4))))
    assert "outputs" in failed(found)
    (check,) = [check for check in found.checks if check.name == "outputs"]
    assert "batch 3, sample 1: only the prepared model raises" in check.detail
    assert "batch 3" in (found.first_difference or "")


def test_a_baked_length_is_found():
    x = keras.Input((None, 3), name="frames")
    a = keras.Model(x, layers.GlobalAveragePooling1D()(x))
    mean = layers.Lambda(lambda t: keras.ops.sum(t, 1) / 8, output_shape=(3,))
    assert "outputs" in failed(compare(a, keras.Model(x, mean(x)), samples=1))


def test_nan_in_other_places_is_found():
    class Root(keras.Model):
        def call(self, x):
            return keras.ops.sqrt(keras.ops.abs(x))

    a = Root()
    a(np.ones((2, 4), "float32"))
    x = keras.Input((4,))
    found = verify(a, keras.Model(x, op(keras.ops.sqrt)(x)))
    assert failed(found) == {"outputs", "perturbed outputs"}
    assert "NaN or infinite in other places" in str(found)


def test_nan_in_equal_places_passes_with_a_note():
    x = keras.Input((4,))
    found = verify(*(keras.Model(x, op(keras.ops.sqrt)(x)) for _ in range(2)))
    assert found.exact
    assert any("NaN or infinite; they prove little" in note for note in found.notes)


def test_a_dropped_output_mask_is_found():
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    masked = layers.Embedding(1000, 3, mask_zero=True)
    a = keras.Model(tokens, masked(tokens))
    b = keras.Model(tokens, layers.Embedding(1000, 3, weights=[masked.get_weights()[0]])(tokens))
    found = verify(a, b)
    assert failed(found) == {"masks"}
    assert "mask of output: a tensor became None" in str(found)


def test_a_dropped_mask_that_an_lstm_reads_is_found():
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    lstm, masked = layers.LSTM(2), layers.Embedding(1000, 3, mask_zero=True)
    a = keras.Model(tokens, lstm(masked(tokens)))
    plain = layers.Embedding(1000, 3)
    b = keras.Model(tokens, lstm(plain(tokens)))
    plain.set_weights(masked.get_weights())
    pairs = [*zip(a.variables, [*plain.variables, *lstm.variables], strict=True)]
    assert failed(verify(a, b, variables=pairs)) == {"outputs", "perturbed outputs"}


def test_a_dropped_masking_layer_is_found_whatever_its_value():
    frames = keras.Input((None, 3), name="frames")
    pool = layers.GlobalAveragePooling1D()
    a = keras.Model(frames, pool(layers.Masking(-1.0)(frames)))
    assert "outputs" in failed(verify(a, keras.Model(frames, pool(frames))))


def test_a_split_shared_weight_is_found():
    x = keras.Input((4,))
    tied, one, two = layers.Dense(4), layers.Dense(4), layers.Dense(4)
    a, b = keras.Model(x, tied(tied(x))), keras.Model(x, two(one(x)))
    for copy in (one, two):
        copy.set_weights(tied.get_weights())
    pairs = [*zip(tied.variables * 2, one.variables + two.variables, strict=True)]
    found = verify(a, b, variables=pairs)
    assert failed(found) == {"variables"}
    assert "has 2 partners" in str(found)


def test_a_changed_constraint_shows_in_the_step():
    x = keras.Input((4,))
    a = keras.Model(x, layers.Dense(2, kernel_constraint="non_neg")(x))
    b = keras.Model(x, layers.Dense(2)(x))
    for model in (a, b):
        model.set_weights([-np.ones((4, 2)), np.zeros(2)])
    found = compare(a, b, samples=1)
    assert failed(found) == {"optimizer step"}, found


def test_an_original_that_is_random_by_itself_is_named():
    class Clock(keras.Model):
        ticks = 0

        def call(self, x):
            Clock.ticks += 1
            return x + Clock.ticks

    a = Clock(name="clock")
    a(np.ones((2, 4), "float32"))
    x = keras.Input((4,))
    found = verify(a, keras.Model(x, op(lambda t: t + 1.0)(x)))
    assert not found
    assert any("'clock' differs from itself" in note for note in found.notes)


def test_unseeded_random_ops_draw_alike_in_both_models():
    def noise(x):
        return x + keras.random.normal((4,)) + np.random.normal() + random.random()

    x = keras.Input((4,))
    assert verify(*(keras.Model(x, op(noise)(x)) for _ in range(2))).exact


# Calling


def test_dict_inputs_keyword_calls_and_optional_none():
    class Attend(keras.Layer):
        def call(self, x, *, context, gate=None):
            y = keras.ops.concatenate([x, context], -1)
            return {"y": y, "none": None} if gate is None else y * gate

    a = Attend()
    a(np.zeros((2, 3)), context=np.zeros((2, 5)))
    x, context = keras.Input((3,), name="x"), keras.Input((5,), name="context")
    b = keras.Model({"x": x, "context": context}, {"y": layers.Concatenate()([x, context])})

    def call(model, inputs):
        return model(inputs["x"], context=inputs["context"])

    found = verify(a, b, call_a=call)
    assert "structure {'none': None, 'y': *} became {'y': *}" in str(found)
    gated = verify(a, b, call_a=lambda m, i: {"y": call(m, i)["y"]})
    assert gated.exact, gated


def test_training_reaches_a_call_without_that_argument():
    a, b = original(), functional()
    copied(a, b)
    x = np.random.normal(size=(64, 4)).astype("float32")
    plain, trained = (run(a, x, present_state(a.variables), training=t) for t in (False, True))
    assert tensor_difference("", plain.outputs[1], trained.outputs[1], Tolerance()).largest > 0.1


def test_given_inputs_are_used_with_a_second_batch_size():
    a, b = original(), functional()
    pairs = copied(a, b)
    found = compare(a, b, np.ones((5, 4), "float32"), variables=pairs)
    assert found.exact, found
    assert "the inputs given; the inputs given, rows shuffled, batch 6" in str(found)


def test_lengths_grow_until_the_original_accepts_them():
    x = keras.Input((None, 3))
    b = keras.Model(x, layers.Conv1D(2, 20, padding="valid")(x))
    found = verify(b, b)
    assert "length 32" in str(found)


def test_inputs_that_only_the_original_refuses_are_left_out():
    class Even(keras.Model):
        def call(self, x):
            return keras.ops.reshape(x, (2, 4))

    a = Even()
    a(np.ones((2, 4)))
    x = keras.Input((4,))
    found = compare(a, keras.Model(x, op(lambda t: t * 1.0)(x)), samples=1)
    assert found.equivalent, found
    assert "the original raises on batch 3, sample 1: left out" in found.notes


# Inputs


def test_ranges_come_from_embeddings_through_ops():
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    shifted = keras.ops.flip(tokens, 1)
    both = [layers.Embedding(30, 2)(tokens), layers.Embedding(12, 2)(shifted)]
    mask = keras.Input((None,), dtype="int32", name="padding_mask")
    kind = keras.Input((), dtype="int64", name="kind")
    outputs = [layers.Add()(both), mask * 2, kind + 1]
    slots = slots_of(keras.Model([tokens, mask, kind], outputs))
    assert [slot.range for slot in slots] == [(0, 12), (0, 2), (0, 10)]


def test_ranges_come_from_embeddings_inside_layers_and_from_take():
    class Inside(keras.Layer):
        def __init__(self):
            super().__init__()
            self.table = layers.Embedding(7, 2)

        def call(self, x):
            return self.table(x)

    x = keras.Input((3,), dtype="int32", name="x")
    y = keras.Input((3,), dtype="int32", name="y")
    table = keras.Input(batch_shape=(5, 2), name="table")
    model = keras.Model([x, y, table], [Inside()(x), keras.ops.take(table, y, axis=0)])
    assert [slot.range for slot in slots_of(model)][:2] == [(0, 7), (0, 5)]


def test_given_ranges_win():
    x = keras.Input((3,), dtype="int32", name="x")
    model = keras.Model(x, layers.Embedding(7, 2)(x))
    (slot,) = slots_of(model, {"x": (2, 4)})
    (sample,) = random_samples(model, [slot], batch_sizes=(50,), lengths=(8,), count=1, seed=0)
    assert set(np.unique(sample.inputs)) == {2, 3}


def test_random_inputs_have_the_dtypes_and_shapes_of_the_model_and_padding():
    inputs = {
        "tokens": keras.Input((None,), dtype="int32", name="tokens"),
        "keep": keras.Input((None,), dtype="bool", name="keep"),
        "half": keras.Input((None, 2), dtype="bfloat16", name="half"),
        "fixed": keras.Input(batch_shape=(1, 4), name="fixed"),
    }
    model = keras.Model(inputs, [op(lambda t: t, f"{name}_out")(x) for name, x in inputs.items()])
    slots = slots_of(model)
    options = {"batch_sizes": (2, 3), "lengths": (8, 12), "count": 1, "seed": 0, "padding": 9.0}
    samples = random_samples(model, slots, **options)
    assert [s.label for s in samples] == [
        "batch 2, length 8, sample 1",
        "batch 3, length 12, sample 1",
    ]
    drawn = samples[1].inputs
    assert {name: x.shape for name, x in drawn.items()} == {
        "tokens": (3, 12),
        "keep": (3, 12),
        "half": (3, 12, 2),
        "fixed": (1, 4),
    }
    assert keras.backend.standardize_dtype(drawn["half"].dtype) == "bfloat16"
    assert not drawn["tokens"][2, 6:].any()
    assert not drawn["keep"][2, 6:].any()
    assert (drawn["half"][2, 6:] == 9).all()


# Nothing is written


def snapshot(*models):
    """Every bit of the models and of the randomness around them."""
    generator = global_state.get_global_attribute("global_seed_generator")
    found = [random.getstate(), str(np.random.get_state()), id(generator)]
    variables = [v for model in models for v in model.variables]
    variables += [] if generator is None else [generator.state]
    found += [keras.ops.convert_to_numpy(v.value).tobytes() for v in variables]
    for layer in (layer for model in models for layer in model._flatten_layers()):
        found.append({name: plain(value) for name, value in vars(layer).items()})
        found.append((len(layer._inbound_nodes), len(layer._outbound_nodes)))
        found.append(([id(x) for x in layer._losses], sorted(layer._loss_ids)))
    return found


def plain(value):
    return value if isinstance(value, int | str) else id(value)


def test_nothing_is_written_to_the_models():
    a, b, unlike = original(), functional(), functional(rate=0.2)
    pairs = copied(a, b)
    a(np.ones((2, 4), "float32"), training=True)
    keras.random.normal((1,))
    before = snapshot(a, b)
    call = keras.Layer.__call__
    compare(a, b, variables=pairs, samples=1)
    assert not verify(a, unlike)
    assert snapshot(a, b) == before
    assert keras.Layer.__call__ is call


@pytest.mark.parametrize("training", [False, True])
def test_nothing_is_written_to_a_model_that_raises(training):
    class Faulty(Original):
        def call(self, x, training=None):
            self.seen = super().call(x)
            if training is self.raises_in:
                raise RuntimeError("mine")
            return self.seen

    a, b = Faulty(), functional()
    a.raises_in = "never"
    a(np.ones((2, 4), "float32"))
    a.raises_in = training
    pairs = copied(a, b)
    before = snapshot(a, b)
    if training:
        found = compare(a, b, variables=pairs, samples=1)
        assert "only the original raises RuntimeError: mine" in str(found)
    else:
        with pytest.raises(ValueError, match="mine"):
            compare(a, b, variables=pairs, samples=1)
    assert snapshot(a, b) == before


def test_shared_variables_are_not_written():
    x = keras.Input((4,))
    dense, norm = layers.Dense(2), layers.BatchNormalization()
    a, b = keras.Model(x, norm(dense(x))), keras.Model(x, norm(dense(x)))
    before = snapshot(a, b)
    assert compare(a, b, samples=1).exact
    assert snapshot(a, b) == before


# Where models part


def test_the_first_difference_is_located():
    a, b = original(), functional()
    pairs = copied(a, b)
    b.get_layer("second").bias.assign_add(np.ones(4))
    layer_pairs = [(getattr(a, name), b.get_layer(name)) for name in ("first", "second", "norm")]
    found = locate_first_difference(a, b, np.ones((2, 4), "float32"), layer_pairs)
    assert (found.layer, found.last_equal) == ("second", "first")
    assert found.max_abs_difference == pytest.approx(1)
    assert "at layer 'second' (output: differs by 1" in str(found)
    assert "after layer 'first', the last with equal outputs" in str(found)
    assert "at layer 'second'" in (verify(a, b, variables=pairs).first_difference or "")


def test_a_difference_after_all_layers_is_told_so():
    a, b = original(), functional(outputs=lambda y: [y[0] * 2, y[1]])
    layer_pairs = [(getattr(a, name), b.get_layer(name)) for name in ("first", "last")]
    copied(a, b)
    found = locate_first_difference(a, b, np.ones((2, 4), "float32"), layer_pairs)
    assert found.layer is None
    assert str(found) == "after layer 'last', the last with equal outputs"
    nothing = locate_first_difference(a, b, np.ones((2, 4), "float32"), [])
    assert str(nothing) == "unknown: no layer of the two could be compared"


def test_calls_of_a_shared_layer_may_come_in_another_order():
    x = keras.Input((4,))
    relu = layers.ReLU(name="relu")
    half, twice = layers.Rescaling(0.5), layers.Rescaling(2.0)

    class Twice(keras.Model):
        def __init__(self):
            super().__init__()
            self.relu = relu

        def call(self, x):
            late = self.relu(twice(x))
            return self.relu(half(x)) + late

    a = Twice()
    a(np.ones((2, 4)))
    b = keras.Model(x, layers.Add(name="add")([relu(half(x)), relu(twice(x))]))
    data = np.random.normal(size=(2, 4)).astype("float32")
    assert locate_first_difference(a, b, data, [(relu, relu)]).last_equal == "relu"


def test_calls_are_observed_in_their_own_thread_only():
    layer, seen, barrier = layers.ReLU(), {}, threading.Barrier(2)
    call = keras.Layer.__call__

    def work(number):
        found = seen.setdefault(number, [])
        with observed_calls(lambda _, y: found.append(float(keras.ops.sum(y)))):
            barrier.wait()
            for _ in range(5):
                layer(np.full((1,), number, "float32"))
            barrier.wait()

    threads = [threading.Thread(target=work, args=(n,)) for n in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {1: [1.0] * 5, 2: [2.0] * 5}
    assert keras.Layer.__call__ is call


# Pairing


def remember(a, b, **known):
    """Let `b` know that it was prepared from `a`."""
    record = Provenance(call=lambda m, x: m(x), **known)
    record.remember(a)
    attach(b, record)


def test_recorded_provenance_is_used_for_its_own_original_only():
    a, b = original(), functional()
    pairs = copied(a, b)
    remember(a, b, variables=pairs)
    assert pairing_of(a, b).variables == tuple(pairs)
    assert verify(a, b).notes == ()
    assert "does not know that it was prepared" in verify(original(), b).notes[0]


def test_variables_are_paired_by_structure():
    a, b = original(), functional()
    expected = {id(v): id(w) for v, w in copied(a, b)}
    assert {id(v): id(w) for v, w in pair_by_structure(a.variables, b.variables)} == expected
    found = compare(a, b, samples=1)
    assert found.exact, found
    assert "variables were paired by path, value and position" in found.notes[0]


def test_perturbing_moves_floats_keeps_integers_and_variances():
    a = original()
    values = keras.Variable([3, 4], dtype="int32", trainable=False)
    before = present_state([*a.variables, values])
    after = perturbed(before, seed=0)
    for key, (v, value) in before.items():
        same = np.array_equal(*(keras.ops.convert_to_numpy(x) for x in (value, after[key][1])))
        assert same == ("int" in v.dtype), v.path
    assert keras.ops.min(after[id(a.norm.moving_variance)][1]) > 0
    again = perturbed(before, seed=0)
    assert structure_difference(
        [x for _, x in after.values()], [x for _, x in again.values()], Tolerance()
    ).exact


# Numbers


@pytest.mark.parametrize(
    ("dtype", "gap", "within"),
    [
        ("float32", 9e-6, True),
        ("float32", 2e-5, False),
        ("float16", 3e-3, True),
        ("float16", 8e-3, False),
        ("bfloat16", 0.02, True),
        ("bfloat16", 0.06, False),
    ],
)
def test_default_tolerance_follows_the_dtype(dtype, gap, within):
    x, y = (keras.ops.convert_to_tensor([1.0 - shift, 0.5], dtype=dtype) for shift in (0, gap))
    found = tensor_difference("x", x, y, Tolerance(precision="float64"))
    assert (found.exact, found.within) == (False, within)


def test_integers_must_be_equal_and_floats_may_be_told_to():
    one, two = np.array([1000]), np.array([1001])
    assert not tensor_difference("x", one, two, Tolerance(relative=1.0)).within
    near = np.float32([1.0]), np.float32([1.0 + 1e-6])
    assert tensor_difference("x", *near, Tolerance()).within
    assert not tensor_difference("x", *near, Tolerance(relative=0.0)).within


@pytest.mark.parametrize(
    ("x", "y", "reason"),
    [
        (np.zeros(2, "float32"), np.zeros(2, "int32"), "x: dtype float32 became int32"),
        (np.zeros(2), np.zeros((2, 1)), "x: shape (2,) became (2, 1)"),
        (np.zeros(2), None, "x: a tensor became None"),
        (1, 2, "x: 1 became 2"),
        (np.array([np.inf]), np.array([-np.inf]), "x: NaN or infinite in other places"),
        (np.array(["a"]), np.array(["b"]), "x: strings differ"),
    ],
)
def test_what_cannot_be_measured_is_told(x, y, reason):
    found = tensor_difference("x", x, y, Tolerance())
    assert (found.within, found.reason, found.largest) == (False, reason, np.inf)


def test_structures_are_shown_in_one_line():
    x = np.zeros(2)
    assert skeleton({"b": [x, None], "a": (x, 3)}) == "{'a': (*, 3), 'b': [*, None]}"
    assert finite_share(np.array([1, np.nan])) == 0.5


# Messages


def test_the_table():
    checks = (
        Check("outputs", True, True, 0.0, "4 calls"),
        Check("masks", True, False, 1.2e-7),
        Check("losses", False, False, 0.5, "differs by 0.5"),
    )
    assert str(Comparison("a", "b", checks, ("mind this",), "at layer 'x'")) == (
        "'a' and 'b' are NOT equivalent: losses\n"
        "  check    verdict         detail\n"
        "  outputs  exact           4 calls\n"
        "  masks    within 1.2e-07\n"
        "  losses   DIFFERENT       differs by 0.5\n"
        "first difference: at layer 'x'\n"
        "note: mind this"
    )
    assert str(Comparison("a", "b", checks[:2])).startswith("'a' and 'b' are equivalent within")
    assert str(Comparison("a", "b", checks[:1])).startswith("'a' and 'b' are equivalent, bit for")
    assert not Comparison("a", "b", checks[:2]).exact
    assert Comparison("a", "b", checks[:2]).equivalent


def test_messages_of_refusals():
    a, b = original(), functional()
    pairs = copied(a, b)
    with pytest.raises(TypeError, match=r"argument `b` is 3 of type int\. Pass the original first"):
        compare(a, 3)
    with pytest.raises(ValueError, match=r"'fresh', because it is not built.*Call it once on data"):
        compare(keras.Sequential([layers.Dense(2)], name="fresh"), b)
    with pytest.raises(ValueError, match=r"takes: \*\n  received:    \[\*, \*\]"):
        compare(a, b, [np.ones((2, 4))] * 2, variables=pairs)
    with pytest.raises(ValueError, match=r"input 'features' .* shape \(2, 5\), .* \(None, 4\)"):
        compare(a, b, np.ones((2, 5)), variables=pairs)
    with pytest.raises(ValueError, match=r"range for 'token', .*inputs are: features"):
        compare(a, b, ranges={"token": (0, 3)})
    with pytest.raises(ValueError, match=r"cannot make inputs for 'original'.*Pass example inputs"):
        compare(b, a)


def test_an_original_that_refuses_all_inputs_is_shown_with_what_it_got():
    class Picky(keras.Model):
        def call(self, x):
            raise RuntimeError("tokens must be sorted")

    a = Picky(name="picky")
    a.built = True
    x = keras.Input((3,), dtype="int32", name="tokens")
    b = keras.Model(x, op(lambda t: t)(x))
    with pytest.raises(ValueError, match="'picky' raises on every input") as caught:
        compare(a, b)
    assert "RuntimeError: tokens must be sorted" in str(caught.value)
    assert "inputs of shape (3, 3)" in str(caught.value)
    assert "ranges={'tokens': (low, high)}" in str(caught.value)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_pairing_keeps_what_is_given():
    a, b = original(), functional()
    pairs = tuple(copied(a, b))
    found = pairing_of(a, b, pairs, call_a=len)
    assert isinstance(found, Pairing)
    assert (found.variables, found.call, found.notes) == (pairs, len, ())


def test_random_states_of_chance_are_excused_in_models_that_were_loaded_alone(tmp_path):
    def made(seed):
        x = keras.Input((4,))
        return keras.Model(x, layers.Dense(2, name="out")(layers.Dropout(0.5, seed=seed, name="drop")(x)))

    unseeded = made(None)
    unseeded.save(tmp_path / "unseeded.keras")
    loaded = keras.models.load_model(tmp_path / "unseeded.keras")
    result = compare(unseeded, loaded, gradients=False)
    assert result.exact, result
    assert any("random states differ" in note for note in result.notes)
    # A seed that was lost is no chance.
    seeded = made(1)
    seeded.get_layer("out").set_weights(unseeded.get_layer("out").get_weights())
    assert not compare(seeded, unseeded, gradients=False)
    # What was prepared here has taken the states over.
    model = keras.Sequential([keras.Input((4,)), layers.Dropout(0.5)])
    prepared = prepare_model(model)
    assert compare(model, prepared, gradients=False)
    (state,) = [v for v in prepared.variables if "seed" in v.path]
    state.assign(state + 1)
    assert not compare(model, prepared, gradients=False)


class OfIntegers(layers.Layer):
    """JAX keeps the integers that an initializer returns, whatever the dtype of the variable."""

    def build(self, shape):
        signs = np.array([1, -1, 1], "int32")
        self.signs = self.add_weight(shape=(3,), initializer=lambda shape, dtype: signs, name="signs")

    def call(self, x):
        return x * self.signs


@pytest.mark.parametrize("wrong", [False, True])
def test_integers_in_a_variable_of_floats_are_compared_as_numbers(wrong):
    original = keras.Sequential([keras.Input((3,)), OfIntegers()])
    prepared = prepare_model(original, verify=False)
    if wrong:
        prepared.weights[0].assign([1.0, -1.0, 2.0])
    assert verify(original, prepared).equivalent is not wrong

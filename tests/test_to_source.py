"""Code of Functional models: it is run, gets the weights, and the oracle says that it is the same model."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import zoo
from keras import layers, ops

import kerasfx
from examples import models
from kerasfx.errors import SourceError
from kerasfx.source_code.checking import first_difference
from kerasfx.source_code.naming import Names

pytestmark = pytest.mark.any_backend


def run(code):
    """What `build` in code makes, run as a module of its own."""
    module = {"__name__": "written"}
    exec(code, module)
    return module["build"]()


def written(model):
    """The code of a model, after the oracle has compared what it builds."""
    code = kerasfx.to_source(model)
    made = run(code)
    made.set_weights(model.get_weights())
    # `set_weights` leaves out the states with which layers draw.
    for ours, theirs in zip(model.variables, made.variables, strict=True):
        theirs.assign(ours)
    comparison = kerasfx.compare(model, made, gradients=False)
    assert comparison.exact, str(comparison)
    return code


def prepared_case(name):
    case = zoo.ALL[name]()
    return kerasfx.prepare_model(case.model, case.inputs if case.free is None else case.free, verify=False)


# Of each kind of difficulty one that `prepare_model` leaves in its result.
CASES = (
    "class_token",
    "mask_of_two_outputs",
    "loss_added_by_a_custom_layer",
    "moving_average_of_a_custom_layer",
    "dropout_called_for_a_short_and_for_a_long_way",
    "training_fixed_to_true",
    "mixed_float16",
)


@pytest.mark.any_keras
@pytest.mark.parametrize("name", CASES)
def test_prepared_models_of_the_zoo(name):
    written(prepared_case(name))


def test_what_people_read():
    code = written(kerasfx.prepare_model(models.embedded_classifier(), keras.Input((64,), name="x")))
    assert (
        code
        == '''"""The Keras model 'embedded_classifier_prepared'; `build()` makes it, with new weights."""

import keras
import kerasfx.runtime.functional


def build() -> keras.Model:
    x = keras.Input((64,), name="x")
    # EmbeddedClassifier, models.py:60
    embed = keras.layers.Dense(16, activation="relu", name="embed")(x)
    # classifier: Functional
    classifier_dense = keras.layers.Dense(32, name="classifier_dense")(embed)
    classifier_batch_normalization = keras.layers.BatchNormalization(
        name="classifier_batch_normalization",
    )(classifier_dense)
    classifier_re_lu = keras.layers.ReLU(
        name="classifier_re_lu",
    )(classifier_batch_normalization)
    classifier_dense_1 = keras.layers.Dense(
        10,
        activation="softmax",
        name="classifier_dense_1",
    )(classifier_re_lu)
    return kerasfx.runtime.functional.Functional(
        inputs=x,
        outputs=classifier_dense_1,
        name="embedded_classifier_prepared",
        takes_training=False,
        training={"classifier_batch_normalization": [{"from_context": True}]},
    )
'''
    )


# Models by hand


def shared_layers_and_several_outputs():
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    dense = layers.Dense(4, name="list")
    x, y = dense(a), dense(b)
    z = dense(layers.Add(name="sum")([x, y]))
    return keras.Model({"a": a, "b": b}, {"z": z, "both": [x, y]}, name="shared")


def operations():
    x = keras.Input((4, 8), name="x")
    y = ops.transpose(x[:, 1:, ::2], (0, 2, 1)) * 2.0
    first, second = ops.split(ops.softmax(y, axis=1), 2, axis=1)
    parts = ops.split(first + ops.cast(second > 0, "float32"), 1, axis=-1)
    return keras.Model(x, ops.mean(parts[0], axis=(1, 2)), name="operations")


def unusual_arguments():
    x = keras.Input(batch_shape=(2, 8, 8, 3), name="x")
    y = layers.Conv2D(
        4,
        3,
        strides=2,
        padding="same",
        use_bias=False,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.5),
        kernel_regularizer=keras.regularizers.L2(0.5),
        bias_regularizer="l2",
        kernel_constraint="non_neg",
    )(x)
    y = layers.BatchNormalization(trainable=False, momentum=0.5)(y)
    y = layers.MaxPooling2D(2, dtype="float16")(y)
    y = layers.AveragePooling2D(2, strides=1, name="class")(y)
    return keras.Model(x, layers.Reshape((-1, 2), name='a "word"')(y), name="unusual")


def models_in_models():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dropout(0.5, seed=1)], name="inner")
    x = keras.Input((5, 4), name="x")
    each = layers.TimeDistributed(inner, name="each")(x)
    two = keras.Input((3,), name="two")
    head = keras.Model(two, [layers.Dense(2)(two), two], name="head")
    a, b = head(each[:, 0])
    c, _ = head(b)
    return keras.Model(x, [a, c], name="outer")


def recurrent():
    ids = keras.Input((7,), dtype="int32", name="ids")
    x = layers.Embedding(11, 4, mask_zero=True)(ids)
    x = layers.Bidirectional(layers.SimpleRNN(3, return_sequences=True), merge_mode="sum")(x)
    x, state, _ = layers.RNN(layers.LSTMCell(3), return_sequences=True, return_state=True)(x)
    y = layers.MultiHeadAttention(2, key_dim=3)(x, x, use_causal_mask=True)
    return keras.Model(ids, [layers.SimpleRNN(2)(y, initial_state=state[:, :2]), state], name="recurrent")


def arguments_of_calls():
    x = keras.Input((5, 4), name="x")
    mask = ops.any(x > 0, axis=-1)
    y = layers.MultiHeadAttention(2, key_dim=3, name="causal")(x, x, use_causal_mask=True)
    masked = layers.Masking()(y)
    y = layers.MultiHeadAttention(2, key_dim=3, name="both")(masked, masked, use_causal_mask=True)
    y = layers.Dropout(0.5, seed=1)(y, training=True)
    states = [layers.Dense(3, name="h")(y[:, 0]), layers.Dense(3, name="c")(y[:, 1])]
    y = layers.LSTM(3, return_sequences=True)(y, mask=mask, initial_state=states)
    constants = ops.matmul(y, ops.ones((3, 2))) + np.arange(2, dtype="float32")
    kernel = keras.initializers.Constant(0.5)
    return keras.Model(x, layers.Dense(2, kernel_initializer=kernel)(constants), name="arguments")


def sequential():
    return keras.Sequential([keras.Input((4,), name="x"), layers.Dense(2, activation="gelu")], name="s")


def frozen_in_part():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dense(2)], name="s")
    model.trainable = False
    model.layers[0].trainable = True
    return model


def kept_layer():
    x = keras.Input((4,), name="x")
    return keras.Model(x, Halved(3, name="kept")(x), name="kept_model")


class Times(layers.Layer):
    """A layer whose dtype its argument decides, with an array that it does not serialize."""

    def __init__(self, factor=1, table=None, **kwargs):
        super().__init__(**kwargs)
        self.factor, self.table = factor, table

    def call(self, x):
        return ops.multiply(x, self.factor)

    def get_config(self):
        return {**super().get_config(), "factor": self.factor, "table": self.table}


def numbers_that_are_equal_and_not_the_same():
    x = keras.Input((4,), dtype="int32", name="x")
    y = Times(1.0, np.arange(2), name="times")(x)
    y = layers.Dense(2, kernel_constraint=keras.constraints.MaxNorm(2.0))(y)
    return keras.Model(x, y, name="numbers")


class Halved(layers.Layer):
    """A layer of the user's that says how it is made."""

    def __init__(self, units, scale=0.5, **kwargs):
        super().__init__(**kwargs)
        self.units, self.scale = units, scale
        self.dense = layers.Dense(units)

    def build(self, shape):
        self.dense.build(shape)

    def call(self, x):
        return self.dense(x) * self.scale

    def get_config(self):
        return {**super().get_config(), "units": self.units, "scale": self.scale}


BY_HAND = (
    shared_layers_and_several_outputs,
    operations,
    unusual_arguments,
    models_in_models,
    recurrent,
    arguments_of_calls,
    sequential,
    frozen_in_part,
    kept_layer,
    numbers_that_are_equal_and_not_the_same,
)


@pytest.mark.parametrize("build", BY_HAND)
def test_models_by_hand(build):
    code = written(build())
    assert code == kerasfx.to_source(run(code)), "what the code builds has another code"


# The oldest environment has no linter.
@pytest.mark.any_keras
def test_formatters_leave_it_as_it_is(tmp_path):
    for build in BY_HAND:
        (tmp_path / f"{build.__name__}.py").write_text(kerasfx.to_source(build()))
    for name in (*CASES, "attention_written_with_ops"):
        (tmp_path / f"{name}.py").write_text(kerasfx.to_source(prepared_case(name)))
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--diff", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("build", "line"),
    [
        (shared_layers_and_several_outputs, "    list_2 = list_(a)"),
        (operations, "    get_item = x[:, 1:, ::2]"),
        (unusual_arguments, "    class_ = keras.layers.AveragePooling2D("),
        (unusual_arguments, '        bias_regularizer="l2",'),
        (kept_layer, '    kept = test_to_source.Halved(3, name="kept")(x)'),
    ],
)
def test_lines(build, line):
    assert line in kerasfx.to_source(build())


def test_a_model_that_was_loaded(tmp_path):
    prepared = prepared_case("class_token")
    prepared.save(tmp_path / "model.keras")
    written(keras.saving.load_model(tmp_path / "model.keras"))


def test_settings_that_are_not_those_of_keras_are_written():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        code = kerasfx.to_source(sequential())
    finally:
        keras.config.set_dtype_policy(before)
    assert 'dtype="mixed_float16"' in code
    assert run(code).layers[0].dtype_policy.name == "mixed_float16"


def test_another_process_builds_it_and_loads_the_weights(tmp_path):
    model = kerasfx.prepare_model(models.text_classifier(length=6, vocabulary=9))
    (tmp_path / "net.py").write_text(kerasfx.to_source(model))
    model.save_weights(tmp_path / "net.weights.h5")
    x = np.arange(12).reshape(2, 6) % 9
    np.save(tmp_path / "x.npy", x)
    code = (
        "import net, numpy as np; model = net.build(); model.load_weights('net.weights.h5'); "
        "np.save('y.npy', model.predict(np.load('x.npy'), verbose=0))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), model.predict(x, verbose=0))


def test_functions_are_called_by_hand():
    x = keras.Input((3, 4), name="x")
    scale = kerasfx.layers.HeldWeight("scale", (4,))
    y = kerasfx.layers.MultiplyOp.of(x, scale, name="scaled")
    flat = kerasfx.layers.ReshapeOp.of(
        y, (kerasfx.layers.size_of(x, 0) * 3, 4), output=keras.KerasTensor((None, 4)), name="flat"
    )
    ones = kerasfx.layers.Ones.of((4,), tied_to=x, name="ones")
    model = keras.Model(x, kerasfx.layers.AddOp.of(flat, ones, name="sum"), name="by_hand")
    assert [w.path for w in model.weights] == ["scaled/scale"]
    model.set_weights([np.full(4, 2.0)])
    rows = np.ones((2, 3, 4), "float32")
    np.testing.assert_array_equal(ops.convert_to_numpy(model(rows)), np.full((6, 4), 3.0))
    code = written(model)
    assert "(kerasfx.layers.size_of(x, 0) * 3, 4)" in code
    assert "tied_to=x" in code


def test_a_function_of_no_tensor_is_tied_to_one():
    with pytest.raises(ValueError, match=r"say which tensor it goes with: .of\(..., tied_to=x\)"):
        kerasfx.layers.Ones.of((4,), name="ones")


# What is refused


class Net(keras.Model):
    def call(self, x):
        return ops.relu(x)


def test_a_class_of_the_users_is_refused_and_prepared():
    net = Net(name="net")
    with pytest.raises(SourceError, match="no code for 'net' of class Net") as caught:
        kerasfx.to_source(net)
    assert "kerasfx.to_source(kerasfx.prepare_model(model))" in str(caught.value)
    written(kerasfx.prepare_model(net, keras.Input((4,))))


def test_a_class_that_was_kept_is_refused():
    kept = kerasfx.prepare_model(Net(), keras.Input((4,)), keep_class=True)
    with pytest.raises(SourceError, match="prepared with keep_class=True") as caught:
        kerasfx.to_source(kept)
    assert "prepare the original without keep_class" in str(caught.value)


def test_a_vocabulary_that_was_adapted_is_refused():
    ids = keras.Input((2,), dtype="int64", name="ids")
    lookup = layers.IntegerLookup(name="lookup")
    lookup.adapt(np.array([3, 4, 3]))
    with pytest.raises(SourceError, match="lookup: IntegerLookup: its vocabulary was adapted"):
        kerasfx.to_source(keras.Model(ids, lookup(ids)))
    with pytest.raises(
        SourceError, match="the vocabulary of 'lookup' was adapted, and code does not reach it"
    ):
        kerasfx.to_source(keras.Model(ids, layers.TimeDistributed(lookup)(layers.Reshape((2, 1))(ids))))
    words = layers.TextVectorization(vocabulary=["a", "b"], name="words")
    text = keras.Input((1,), dtype="string", name="text")
    assert 'vocabulary=["a", "b"],' in kerasfx.to_source(keras.Model(text, words(text)))
    known = layers.IntegerLookup(vocabulary=[3, 4], name="lookup")
    assert "vocabulary=[3, 4]" in kerasfx.to_source(keras.Model(ids, known(ids)))


def test_statistics_are_written_since_set_weights_would_not_give_them():
    rows = np.arange(8.0).reshape(2, 4)
    norm = layers.Normalization(name="norm")
    norm.adapt(rows)
    x = keras.Input((4,), name="x")
    model = keras.Model(x, keras.Sequential([keras.Input((4,)), norm], name="inner")(x), name="net")
    code = written(model)
    assert "mean=[2.0, 3.0, 4.0, 5.0]," in code
    np.testing.assert_array_equal(run(code).predict(rows, verbose=0), model.predict(rows, verbose=0))
    each = layers.TimeDistributed(norm, name="each")(layers.Reshape((1, 4))(x))
    with pytest.raises(SourceError, match="the statistics of 'norm' were adapted, and code does not reach"):
        kerasfx.to_source(keras.Model(x, each, name="net"))


def test_each_layer_that_cannot_be_written_is_named():
    class Local(layers.Layer):
        def call(self, x):
            return x

    x = keras.Input((4,))
    y = Local(name="local")(layers.Lambda(lambda x: x, name="first")(layers.Dense(2)(x)))
    with pytest.raises(SourceError) as caught:
        kerasfx.to_source(keras.Model(x, y, name="net"))
    message = str(caught.value)
    assert "2 of the layers of 'net' cannot be written as code:" in message
    assert "first: Lambda: a Lambda holds code that it does not show" in message
    assert "local: Local: " in message
    assert "is made inside of a function" in message


def test_weights_that_two_layers_share_are_refused():
    shared = layers.Dense(4, name="shared")
    x = keras.Input((3, 4))
    y = layers.TimeDistributed(shared, name="each")(x)
    model = keras.Model(x, [y, shared(y[:, 0])], name="tied")
    with pytest.raises(SourceError, match=r"'each' has a weight of 'shared'|'shared' has a weight of 'each'"):
        kerasfx.to_source(model)


def test_a_layer_of_two_models_is_refused():
    x = keras.Input((4,), name="x")
    first = layers.Dense(4, name="first")
    inner = keras.Model(x, layers.Dense(2, name="second")(first(x)), name="inner")
    with pytest.raises(SourceError, match="'first' is in 'outer' and in 'inner'"):
        kerasfx.to_source(keras.Model(x, [inner(x), first(x)], name="outer"))


def chain(units=4, activation="relu", twice=False, trainable=True):
    x = keras.Input((4,), name="x")
    first = layers.Dense(units, activation=activation, name="first", trainable=trainable)
    y = first(x)
    y = first(y) if twice else y
    return keras.Model(x, layers.Dense(2, name="second")(y), name="chain")


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"activation": "gelu"}, "layers[first].config.activation is 'gelu', and was 'relu'"),
        ({"twice": True}, "layers[first].inbound_nodes"),
        ({"trainable": False}, "layers[first].config.trainable is False, and was True"),
        ({"units": 3}, "layers[first].config.units is 3, and was 4"),
    ],
)
def test_another_model_is_told_apart(other, what):
    assert first_difference(chain(), chain()) == ""
    assert what in first_difference(chain(), chain(**other))


def test_names_of_variables():
    names = Names(("keras",))
    wishes = ("blocks.0/proj", "blocks_0_proj", "class", "sum", "keras", "0", "", "größe")
    assert [names.new(wish) for wish in wishes] == [
        *("blocks_0_proj", "blocks_0_proj_2", "class_", "sum_", "keras_2", "_0", "x", "gr__e"),
    ]

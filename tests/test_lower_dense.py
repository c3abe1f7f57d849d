"""Products and convolutions with weights, and rows taken of one, become the layers of their names."""

import keras
import numpy as np
import pytest
from keras import ops
from lowering import lines

import kerasfx
from kerasfx.passes import to_convolution, to_dense, to_einsum_dense, to_embedding
from kerasfx.passes.lower.rule import Lowering

BACKEND = keras.backend.backend()
IS_TF = BACKEND == "tensorflow"

SHAPES = {
    "w": (4, 5),
    "square": (4, 4),
    "turned": (5, 4),
    "b": (5,),
    "four": (4,),
    "row": (1, 5),
    "three": (4, 2, 5),
    "many": (3, 4, 5),
    "heads": (2, 5),
    "head": (2, 1),
    "last": (1, 5),
    "table": (7, 4),
    "image": (3, 3, 4, 5),
    "line": (3, 4, 5),
    "groups": (3, 3, 2, 6),
    "six": (6,),
    "deep": (3, 3, 4, 2),
    "eight": (8,),
    "point": (1, 1, 8, 5),
    "back": (3, 3, 5, 4),
}
"""The weights that a function may read of its model."""


class Call(keras.Model):
    """A model whose `call` is a function of it and x; it has the weights that the function reads."""

    def __init__(self, function, dtype=None, **of_matrices):
        super().__init__(name="net", dtype=dtype)
        self.function = function
        self.of_matrices = of_matrices

    def build(self, shape):
        for k, name in enumerate(n for n in self.function.__code__.co_names if n in SHAPES):
            initializer = keras.initializers.RandomUniform(-0.5, 0.5, seed=k)
            options = self.of_matrices if len(SHAPES[name]) > 1 else {}
            setattr(self, name, self.add_weight(SHAPES[name], initializer, name=name, **options))

    def call(self, x):
        return self.function(self, x)


def symbolic(model, shape, is_ids=False):
    """An input of the dtype of a model."""
    return keras.Input(batch_shape=shape, dtype="int32" if is_ids else model.compute_dtype, name="x")


def lowered(function, shape=(None, 3, 4), fast=False, dtype=None, is_ids=False, **of_matrices):
    """What each node calls after the passes, and whether they changed anything."""
    model = Call(function, dtype, **of_matrices)
    graph = kerasfx.trace(model, symbolic(model, shape, is_ids)).graph
    graph.meta[Lowering] = Lowering(fast)
    # All of them, not up to the first that does something.
    changed = [p(graph) for p in (to_embedding, to_dense, to_einsum_dense, to_convolution)]
    graph.check()
    return [c for c in lines(graph) if not c.startswith(("parameter", "computed"))], any(changed)


ROWS = {"shape": (None, 4)}
LINES = {"shape": (None, None, 4)}
IMAGES = {"shape": (None, 8, None, 4)}
IDS = {"shape": (None, 3), "is_ids": True}

EXACT = {
    "matmul": (
        lambda m, x: ops.matmul(x, m.w),
        "Dense(units=5, use_bias=False)(%x, weights={kernel: %w})",
        {},
    ),
    "matmul, free length": (
        lambda m, x: ops.add(x2=m.b, x1=ops.matmul(x, m.w)),
        "Dense(units=5)(%x, weights={kernel: %w, bias: %b})",
        LINES,
    ),
    "dot": (
        lambda m, x: ops.dot(x, m.w) + m.b,
        "Dense(units=5)(%x, weights={kernel: %w, bias: %b})",
        ROWS,
    ),
    "tensordot": (
        lambda m, x: ops.tensordot(x, m.w, axes=[[1], [0]]),
        "Dense(units=5, use_bias=False)(%x, weights={kernel: %w})",
        ROWS,
    ),
    "matmul, bias of another shape": (
        lambda m, x: ops.matmul(x, m.w) + m.row,
        "Dense(units=5, use_bias=False)(%x, weights={kernel: %w})",
        {},
    ),
    "einsum": (
        lambda m, x: ops.einsum("btd,dhk->bthk", x, m.three) + m.heads,
        "EinsumDense(equation='btd,dhk->bthk', output_shape=(3, 2, 5), bias_axes='hk')"
        "(%x, weights={kernel: %three, bias: %heads})",
        {},
    ),
    "einsum, bias of one axis": (
        lambda m, x: ops.add(ops.einsum("btd,dhk->bthk", x, m.three), m.head),
        "EinsumDense(equation='btd,dhk->bthk', output_shape=(None, 2, 5), bias_axes='h')"
        "(%x, weights={kernel: %three, bias: %head})",
        LINES,
    ),
    "einsum, ellipsis": (
        lambda m, x: ops.einsum("...d,de->...e", x, m.w),
        "EinsumDense(equation='...d,de->...e', output_shape=(5,))(%x, weights={kernel: %w})",
        {},
    ),
    "conv": (
        lambda m, x: ops.conv(x, m.image, strides=(2, 1), padding="same") + m.b,
        "Conv2D(filters=5, kernel_size=(3, 3), padding='same', data_format='channels_last', strides=(2, 1))"
        "(%x, weights={kernel: %image, bias: %b})",
        IMAGES,
    ),
    "conv, bias in its shape": (
        lambda m, x: ops.conv(x, m.image) + ops.reshape(m.b, (1, 1, 1, 5)),
        "Conv2D(filters=5, kernel_size=(3, 3), data_format='channels_last')"
        "(%x, weights={kernel: %image, bias: %b})",
        IMAGES,
    ),
    "conv, dilated": (
        lambda m, x: ops.conv(x, m.line, dilation_rate=2),
        "Conv1D(use_bias=False, filters=5, kernel_size=(3,), data_format='channels_last', "
        "dilation_rate=(2,))(%x, weights={kernel: %line})",
        LINES,
    ),
    "conv, groups": (
        lambda m, x: ops.conv(x, m.groups) + m.six,
        "Conv2D(filters=6, groups=2, kernel_size=(3, 3), data_format='channels_last')"
        "(%x, weights={kernel: %groups, bias: %six})",
        IMAGES,
    ),
    "depthwise_conv": (
        lambda m, x: ops.depthwise_conv(x, m.deep, strides=2) + m.eight,
        "DepthwiseConv2D(depth_multiplier=2, kernel_size=(3, 3), data_format='channels_last', "
        "strides=(2, 2))(%x, weights={kernel: %deep, bias: %eight})",
        IMAGES,
    ),
    "separable_conv": (
        lambda m, x: ops.separable_conv(x, m.deep, m.point) + m.b,
        "SeparableConv2D(depth_multiplier=2, filters=5, kernel_size=(3, 3), data_format='channels_last')"
        "(%x, weights={depthwise_kernel: %deep, pointwise_kernel: %point, bias: %b})",
        IMAGES,
    ),
    "conv_transpose": (
        lambda m, x: ops.conv_transpose(x, m.back, strides=2, padding="same") + m.b,
        "Conv2DTranspose(filters=5, kernel_size=(3, 3), padding='same', data_format='channels_last', "
        "strides=(2, 2))(%x, weights={kernel: %back, bias: %b})",
        IMAGES,
    ),
    "take": (
        lambda m, x: ops.take(m.table, x, axis=0),
        "Embedding(input_dim=7, output_dim=4)(%x, weights={embeddings: %table})",
        IDS,
    ),
    "one_hot, which gives zeros where an id is out of range": (
        lambda m, x: ops.matmul(ops.one_hot(x, 7), m.table),
        "Dense(units=4, use_bias=False)(%one_hot, weights={kernel: %table})",
        IDS,
    ),
}
FAST = {
    "transposed": (
        lambda m, x: x @ ops.transpose(m.turned),
        "Dense(units=5, use_bias=False)(%x, weights={kernel: %kernel})",
        {},
    ),
    "axes swapped": (
        lambda m, x: x @ ops.swapaxes(m.turned, -1, -2) + m.b,
        "Dense(units=5, use_bias=False)(%x, weights={kernel: %kernel})",
        {},
    ),
    "many": (
        lambda m, x: x @ m.many,
        "EinsumDense(equation='asmi,sio->asmo', output_shape=(3, 6, 5))(%x, weights={kernel: %many})",
        {"shape": (None, 3, 6, 4)},
    ),
}
LEFT = {
    "a constant": (lambda m, x: x @ np.ones((4, 5), "float32"), {}),
    "the weight is the first": (lambda m, x: ops.matmul(m.w, x), {"shape": (None, 5, 3)}),
    "a vector": (lambda m, x: ops.dot(x, m.four), {}),
    "the other axis": (lambda m, x: ops.tensordot(x, m.square, axes=[[2], [1]]), {}),
    "a weight that is used elsewhere": (lambda m, x: x @ m.w + ops.sum(m.w), {}),
    "no sum": (lambda m, x: ops.einsum("btd,td->btd", x, m.w), {"shape": (None, 4, 5)}),
    "a batch for each row": (lambda m, x: ops.einsum("btd,bde->bte", x, m.many), {"shape": (3, 2, 4)}),
    "another first axis": (lambda m, x: ops.einsum("btd,de->tbe", x, m.w), {}),
    "the weight stands first": (lambda m, x: ops.einsum("de,btd->bte", m.w, x), {}),
    "no tensor": (lambda m, x: ops.mean(m.turned @ m.w) * x, {}),
    "columns": (lambda m, x: ops.take(m.table, x, axis=1), IDS),
    "numbers of another dtype": (lambda m, x: ops.take(m.table, ops.cast(x, "uint8"), axis=0), IDS),
    "elements": (lambda m, x: ops.take(m.b, x, axis=0), IDS),
    "strides and dilation": (lambda m, x: ops.conv(x, m.line, dilation_rate=2, strides=2), LINES),
}


@pytest.mark.any_keras
@pytest.mark.parametrize("name", EXACT)
def test_is_replaced(name):
    function, after, given = EXACT[name]
    calls, changed = lowered(function, **given)
    assert changed
    assert after in calls


@pytest.mark.any_keras
@pytest.mark.parametrize("name", FAST)
def test_is_replaced_by_fast_alone(name):
    function, after, given = FAST[name]
    assert not lowered(function, **given)[1]
    assert after in lowered(function, fast=True, **given)[0]


@pytest.mark.any_keras
@pytest.mark.parametrize("name", LEFT)
def test_is_left(name):
    function, given = LEFT[name]
    assert not lowered(function, fast=True, **given)[1]


@pytest.mark.any_keras
def test_a_product_that_is_needed_without_its_bias():
    calls, _ = lowered(lambda m, x: (lambda y, b: ops.tanh(y) * (y + b))(x @ m.w, m.b))
    assert calls[0] == "Dense(units=5, use_bias=False)(%x, weights={kernel: %w})"
    assert "keras.ops.add(%dense, %b)" in calls


@pytest.mark.any_keras
def test_tensorflow_adds_up_the_gradient_of_a_bias_that_stands_first_in_another_order():
    calls, _ = lowered(lambda m, x: m.b + x @ m.w)
    assert ("keras.ops.add(%b, %dense)" in calls) == IS_TF
    assert lowered(lambda m, x: m.b + x @ m.w, fast=True)[0] == [
        "Dense(units=5)(%x, weights={kernel: %w, bias: %b})"
    ]


@pytest.mark.any_keras
def test_tensorflow_knows_two_ways_to_multiply_more_than_matrices():
    for function in (lambda m, x: ops.dot(x, m.w), lambda m, x: ops.tensordot(x, m.w, axes=1)):
        assert lowered(function)[1] == (not IS_TF)
        assert lowered(function, fast=True)[0] == ["Dense(units=5, use_bias=False)(%x, weights={kernel: %w})"]


@pytest.mark.any_keras
def test_keras_on_tensorflow_knows_an_equation_by_its_text():
    def function(m, x):
        return ops.einsum("btd, dhk -> bthk", x, m.three)

    assert lowered(function)[1] == (not IS_TF)
    assert lowered(function, fast=True)[0][0].startswith("EinsumDense(equation='btd,dhk->bthk', ")


@pytest.mark.any_keras
def test_a_bias_of_images_with_the_channels_first():
    def function(m, x):
        return ops.conv(x, m.image, data_format="channels_first") + ops.reshape(m.b, (1, 5, 1, 1))

    calls, _ = lowered(function, (None, 4, 8, 8))
    assert calls[0].startswith("Conv2D(filters=5, kernel_size=(3, 3), data_format='channels_first')(")


@pytest.mark.any_keras
def test_rows_by_index():
    # Out of range JAX clips where `take` gives NaN; Keras does not trace it on TensorFlow.
    if not IS_TF:
        assert lowered(lambda m, x: ops.convert_to_tensor(m.table)[x], **IDS)[1] == (BACKEND == "torch")


@pytest.mark.any_keras
def test_a_policy_that_casts():
    for dtype in ("mixed_float16", "mixed_bfloat16", "float16"):
        assert lowered(lambda m, x: x @ m.w + m.b, dtype=dtype)[0] == [
            "Dense(units=5)(%x, weights={kernel: %w, bias: %b})"
        ]
    # The layer casts what it has taken, so that gradients of one row are added in float32.
    rows = EXACT["take"][0]
    assert not lowered(rows, dtype="mixed_float16", **IDS)[1]
    assert lowered(rows, dtype="mixed_float16", fast=True, **IDS)[1]
    assert lowered(rows, dtype="float16", **IDS)[1]


def cast_once(m, x):
    """Two products with one weight that is cast once."""
    kernel = ops.convert_to_tensor(m.square)
    return ops.tanh(x @ kernel) @ kernel


@pytest.mark.any_keras
def test_a_weight_that_is_cast_once_for_two_products_is_not_cast_for_each():
    assert lowered(cast_once)[1]
    # The gradients of both are added in the half.
    assert not lowered(cast_once, dtype="mixed_float16")[1]


def tied(m, x):
    """Rows of a table, and logits by the same table."""
    return ops.matmul(ops.tanh(ops.take(m.table, x, axis=0)), ops.transpose(m.table))


@pytest.mark.any_keras
def test_a_table_that_gives_logits_as_well():
    layer = "ReversibleEmbedding(input_dim=7, output_dim=4)"
    assert lowered(tied, **IDS)[0] == [
        f"{layer}(%x, weights={{embeddings: %table}})",
        "keras.ops.tanh(%reversibleembedding)",
        f"{layer}(%tanh, reverse=True, weights={{embeddings: %table}})",
    ]
    # The layer casts rows, and the code casts the table.
    assert not lowered(tied, dtype="mixed_float16", fast=True, **IDS)[1]
    assert not lowered(lambda m, x: ops.sum(m.table) + tied(m, x), **IDS)[1]
    untied = lowered(lambda m, x: ops.matmul(ops.take(m.table, x, axis=0), ops.transpose(m.turned)), **IDS)
    assert untied[0][0] == "Embedding(input_dim=7, output_dim=4)(%x, weights={embeddings: %table})"


# The oracle


class Stack(keras.Model):
    """Each function by itself, on the same input."""

    def __init__(self, functions, dtype=None, **of_matrices):
        super().__init__(name="stack", dtype=dtype)
        self.parts = [Call(f, dtype, **of_matrices) for f in functions]

    def call(self, x):
        return [part(x) for part in self.parts]


def exact_ones(given):
    """The functions that become layers without any difference, of inputs like these."""
    return [f for f, _, own in EXACT.values() if (own or LINES) is given]


def kinds(model):
    """The classes of its layers, but for inputs."""
    return [type(layer).__name__ for layer in model.layers[1:]]


def require_equal(model, prepared, directory, x, **asked):
    """The oracle finds no difference, nor is there one when it was saved and loaded."""
    comparison = kerasfx.compare(model, prepared, **{"samples": 1, **asked})
    assert comparison.exact, str(comparison)
    prepared.save(directory / "model.keras")
    loaded = keras.saving.load_model(directory / "model.keras")
    for a, b in zip(keras.tree.flatten(loaded(x)), keras.tree.flatten(prepared(x)), strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(a), ops.convert_to_numpy(b))
    return loaded


@pytest.mark.parametrize("given", [ROWS, LINES, IMAGES, IDS], ids=["rows", "lines", "images", "ids"])
def test_means_the_same(given, tmp_path):
    model = Stack(exact_ones(given))
    prepared = kerasfx.prepare_model(model, symbolic(model, **given))
    left = [kind for kind in kinds(prepared) if kind in ("AddOp", "Matmul", "Conv", "Take")]
    # A bias of another shape than the layer's.
    assert left == (["AddOp"] if given is LINES else [])
    shape = tuple(n or 7 for n in given["shape"])
    x = np.random.default_rng(0).integers(0, 7, shape) if given is IDS else np.ones(shape, "float32")
    loaded = require_equal(model, prepared, tmp_path, x, ranges={"x": (0, 7)})
    # Home again, by names that files keep.
    other = Stack(exact_ones(given))
    other(x)
    kerasfx.copy_weights(loaded, other)
    for a, b in zip(other.weights, model.weights, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(a), ops.convert_to_numpy(b))


@pytest.mark.any_keras
def test_means_the_same_in_halves(tmp_path):
    functions = [EXACT[name][0] for name in ("matmul, free length", "einsum", "conv, dilated")]
    model = Stack(functions, "mixed_float16")
    prepared = kerasfx.prepare_model(model, symbolic(model, **LINES))
    assert kinds(prepared) == ["Dense", "EinsumDense", "Conv1D"]
    assert {v.dtype for v in prepared.weights} == {"float32"}
    require_equal(model, prepared, tmp_path, np.ones((2, 7, 4), "float16"))


@pytest.mark.any_keras
def test_means_the_same_within_rounding():
    functions = [FAST[name][0] for name in ("transposed", "axes swapped")]
    model = Stack(functions)
    prepared = kerasfx.prepare_model(model, symbolic(model, **LINES), lower="fast")
    assert kinds(prepared).count("Dense") == 2
    comparison = kerasfx.compare(model, prepared, samples=1)
    assert comparison, str(comparison)
    assert len(kerasfx.report(prepared).of_kind("inexact")) == 1
    # A weight that lies the other way round is no variable of the original.
    assert "Dense" not in kinds(
        kerasfx.prepare_model(model, symbolic(model, **LINES), lower="fast", weights="share")
    )


def twice(m, x):
    """One layer, called twice."""
    return ops.matmul(ops.tanh(ops.matmul(x, m.square) + m.four), m.square) + m.four


def test_products_with_one_weight_are_calls_of_one_layer(tmp_path):
    model = Call(twice, regularizer=keras.regularizers.L2(0.1), constraint="non_neg")
    prepared = kerasfx.prepare_model(model, symbolic(model, **LINES))
    assert kinds(prepared) == ["Dense", "Activation"]
    require_equal(model, prepared, tmp_path, np.ones((2, 3, 4), "float32"))
    (dense,) = [layer for layer in prepared.layers if isinstance(layer, keras.layers.Dense)]
    assert isinstance(dense.kernel_regularizer, keras.regularizers.L2)
    assert isinstance(dense.kernel_constraint, keras.constraints.NonNeg)
    penalties = [float(ops.convert_to_numpy(sum(m.losses))) for m in (prepared, model)]
    assert penalties[0] == penalties[1] > 0


@pytest.mark.any_backend
def test_a_frozen_layer_can_be_unfrozen_and_a_weight_that_is_never_trained_cannot():
    frozen = Call(EXACT["matmul"][0])
    frozen.build((None, 3, 4))
    frozen.trainable = False
    prepared = kerasfx.prepare_model(frozen, symbolic(frozen, **LINES))
    assert kinds(prepared) == ["Dense"]
    assert not prepared.trainable_variables
    state = Call(EXACT["matmul"][0], trainable=False)
    left = kerasfx.prepare_model(state, symbolic(state, **LINES))
    assert "Dense" not in kinds(left)
    for model in (frozen, prepared, state, left):
        model.trainable = True
    counts = [len(model.trainable_variables) for model in (frozen, prepared, state, left)]
    assert counts == [1, 1, 0, 0]


@pytest.mark.any_backend
def test_behind_a_mask():
    ids = keras.Input((5,), dtype="int32", name="ids")
    h = Call(EXACT["matmul"][0])(keras.layers.Embedding(7, 4, mask_zero=True)(ids))
    model = keras.Model(ids, keras.layers.SimpleRNN(2)(h))
    prepared = kerasfx.prepare_model(model)
    assert "Dense" in kinds(prepared)
    # Where the function drops the mask, the RNN reads all steps.
    assert kerasfx.compare(model, prepared, samples=1, gradients=False)


def test_tied_weights_stay_one_variable(tmp_path):
    model = Call(tied)
    prepared = kerasfx.prepare_model(model, symbolic(model, **IDS))
    ids = np.random.default_rng(0).integers(0, 7, (6, 3))
    loaded = require_equal(model, prepared, tmp_path, ids)
    cloned = keras.models.clone_model(prepared)
    cloned.set_weights(prepared.get_weights())
    for same in (model, prepared, loaded, cloned):
        same.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        same.train_on_batch(ids, ids)
    for same in (prepared, loaded, cloned):
        (table,), (expected,) = same.weights, model.weights
        np.testing.assert_array_equal(*map(ops.convert_to_numpy, (table, expected)))

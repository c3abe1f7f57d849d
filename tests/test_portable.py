"""`portable=True`: a file that Keras loads alone, on any backend, or an error that says what prevents it."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerasfx
from kerasfx.emitting.portable import obstacles
from kerasfx.emitting.portable.walk import LONGEST
from kerasfx.errors import NotPortableError

pytestmark = pytest.mark.every_run

RNG = np.random.default_rng(0)
TABLE = RNG.standard_normal((20, 4)).astype("float32")
BACKEND = keras.backend.backend()
OTHER = {"tensorflow": "jax", "jax": "torch", "torch": "tensorflow"}[BACKEND]
LAST_BIT = {("Masked", "jax"): {"optimizer step"}, ("Masked", "torch"): {"optimizer step"}}
"""What differs in the last bit: a gradient that comes from several places, summed in another order."""
MODELS = {}
"""Name -> a class of models, what prepare_model is told of the input, and an input."""


def model(inputs, x):
    def note(cls):
        MODELS[cls.__name__] = (cls, inputs, x)
        return cls

    return note


def floats(*shape):
    return RNG.standard_normal(shape).astype("float32")


@model(keras.Input((4,)), floats(3, 4))
class Weights(keras.Model):
    """Weights of each rank, one of them taken twice, one frozen, and constants of several kinds."""

    def build(self, shape):
        self.w = self.add_weight(shape=(4, 4), name="w")
        self.scale = self.add_weight(shape=(), name="scale", initializer="ones")
        self.cube = self.add_weight(shape=(2, 3, 4), name="cube", regularizer="l2")
        self.cold = self.add_weight(shape=(4,), name="cold", initializer="normal", trainable=False)
        self.order = self.add_weight(shape=(4,), name="order", dtype="int32", trainable=False)
        self.order.assign([2, 0, 1, 3])

    def call(self, x):
        y = ops.matmul(ops.tanh(x), self.w) * self.scale
        y = ops.cos(ops.matmul(y, self.w) + self.cold + ops.sum(self.cube, (0, 1)))
        y = ops.add(ops.take(y, self.order, axis=1), np.float32([1, 2, 3, 4]))
        y = ops.multiply(ops.where(np.arange(4) % 2 == 0, y, -y), np.float32(0.5))
        return ops.sum(ops.convert_to_tensor(TABLE) * y[:, None, :], axis=1)


@model(keras.Input((None, 8)), floats(3, 5, 8))
class Sizes(keras.Model):
    """Arithmetic on sizes that are free: heads, positions, a mask of what is before."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(24)
        self.token = self.add_weight(shape=(1, 1, 8), name="token")
        self.positions = self.add_weight(shape=(16, 8), name="positions")

    def call(self, x):
        b, t = ops.shape(x)[0], ops.shape(x)[1]
        positions = ops.convert_to_tensor(self.positions)
        x = x + ops.broadcast_to(ops.slice(positions, (0, 0), (t, 8)), (b, t, 8))
        q, k, v = ops.split(ops.reshape(self.dense(x), (b, t, 2, 12)), 3, axis=-1)
        scores = ops.einsum("BTNH,BSNH->BNTS", q, k) / ops.sqrt(ops.cast(t, "float32"))
        i = ops.arange(t, dtype="float32")
        before = ops.cast(i[:, None] >= i[None, :], "float32")
        scores = ops.softmax(scores + (1.0 - before) * -1e9)
        y = ops.reshape(ops.einsum("bnts,bsnh->btnh", scores, v), (b, -1, 8))
        y = ops.concatenate([ops.tile(self.token, (b, 1, 1)), y], axis=1)
        y = y + ops.repeat(self.token, b, axis=0) + ops.zeros((b, 1, 8)) + ops.ones((t + 1, 8))
        return ops.concatenate([y[..., None, :3], y[:, :, None, 3:6]], axis=-1), y[:, 1:] / t


@model(keras.Input((None,), dtype="int32"), np.int32([[1, 2, 3], [4, 0, 0]]))
class Tied(keras.Model):
    """Layers of Keras, and the table of the tokens taken as a weight again."""

    def __init__(self):
        super().__init__()
        self.embedding = layers.Embedding(7, 4)
        self.lstm = layers.LSTM(4, return_sequences=True)
        self.attention = layers.MultiHeadAttention(2, 2, dropout=0.1)
        self.norm = layers.LayerNormalization()
        self.drop = layers.Dropout(0.5)

    def build(self, shape):
        self.embedding.build(shape)
        self.built = True

    def call(self, ids, training=None):
        x = self.embedding(ids) * 2.0
        x = self.norm(x + self.attention(x, x, training=training))
        x = self.lstm(self.embedding(ids)) + self.drop(x, training=training)
        return {"logits": ops.matmul(x, ops.transpose(self.embedding.embeddings)), "lengths": ops.sum(ids, 1)}


@model(keras.Input((6,)), floats(4, 6))
class Several(keras.Model):
    """Results of several kinds, numbers of NumPy, and a half in between."""

    def call(self, x):
        best, where = ops.top_k(x, 2)
        half = ops.cast(x, "float16") * np.float16(0.1) + ops.cast(where[:, :1], "float16")
        parts = ops.unstack(ops.reshape(x, (-1, 2, 3)), axis=1)
        return [best, where, half, parts[0] * parts[1], keras.activations.gelu(x), x == x]


@model(keras.Input((None,), dtype="int32"), np.int32([[1, 2, 0], [3, 0, 0]]))
class Masked(keras.Model):
    """Tokens with a mask, which reaches one layer and not another."""

    def __init__(self):
        super().__init__()
        self.embedding = layers.Embedding(5, 4, mask_zero=True)
        self.lstms = [layers.LSTM(3), layers.LSTM(3)]

    def call(self, ids):
        x = self.embedding(ids)
        return self.lstms[0](x), self.lstms[1](x * 2.0), ops.softmax(ops.relu(x))


@model(keras.Input((None, None, 3)), floats(2, 4, 4, 3))
class Square(keras.Model):
    """Rows and columns joined and parted, as many of the one as of the other."""

    def call(self, x):
        b, h, w, _ = ops.shape(x)
        y = ops.cumsum(ops.reshape(x, (b, h * w, 3)), axis=1)
        columns = ops.reshape(ops.arange(w, dtype="float32"), (1, 1, -1))
        return ops.reshape(y, (b, h, w, 3)), ops.subtract(x[..., 0], columns)


@pytest.fixture(scope="module", params=MODELS)
def made(request):
    """The original, and what is made of it."""
    cls, inputs, x = MODELS[request.param]
    keras.utils.set_random_seed(1)
    original = cls()
    original(x)
    return original, kerasfx.prepare_model(original, inputs, portable=True), x


def flat(outputs):
    return [ops.convert_to_numpy(y) for y in keras.tree.flatten(outputs)]


def assert_same(a, b):
    assert len(a) == len(b)
    for ours, theirs in zip(a, b, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def test_is_exactly_the_original(made):
    """In inference and training, with other weights, after a step of an optimizer."""
    original, prepared, _ = made
    comparison = kerasfx.compare(original, prepared)
    assert comparison, comparison
    inexact = {check.name for check in comparison.checks if not check.exact}
    assert inexact <= LAST_BIT.get((type(original).__name__, BACKEND), set()), comparison


def test_is_of_keras_alone(made, tmp_path):
    _, prepared, x = made
    assert type(prepared) is type(keras.Model(i := keras.Input(()), i))
    names = [operation.name for operation in prepared.operations]
    assert len(set(names)) == len(names)
    prepared.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert [operation.name for operation in loaded.operations] == names
    assert_same(flat(loaded(x)), flat(prepared(x)))


LOADS = """
import sys
sys.modules["kerasfx"] = None
import keras, numpy as np
from keras import ops
for name in {names!r}:
    model = keras.models.load_model(f"{{name}}.keras")
    outputs = keras.tree.flatten(model(np.load(f"{{name}}.npy")))
    np.savez(f"{{name}}.npz", *[ops.convert_to_numpy(y) for y in outputs])
"""


def test_loads_without_kerasfx_on_another_backend(tmp_path):
    expected = {}
    for name, (cls, inputs, x) in MODELS.items():
        prepared = kerasfx.prepare_model(cls(), inputs, portable=True, verify=False)
        prepared.save(tmp_path / f"{name}.keras")
        np.save(tmp_path / f"{name}.npy", x)
        expected[name] = flat(prepared(x))
    command = [sys.executable, "-P", "-c", LOADS.format(names=list(MODELS))]
    env = {**os.environ, "KERAS_BACKEND": OTHER, "PYTHONPATH": ""}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name, outputs in expected.items():
        with np.load(tmp_path / f"{name}.npz") as found:
            for key, y in zip(found.files, outputs, strict=True):
                np.testing.assert_allclose(
                    found[key], y, rtol=1e-3 if y.dtype == "float16" else 1e-4, atol=1e-5
                )


@pytest.mark.any_keras
def test_weights_go_home():
    original = Tied()
    prepared = kerasfx.prepare_model(original, MODELS["Tied"][1], portable=True)
    prepared.set_weights([w + 0.25 if w.dtype == "float32" else w for w in prepared.get_weights()])
    x = MODELS["Tied"][2]
    before = flat(original(x))
    kerasfx.copy_weights(prepared, original)
    after = flat(original(x))
    assert not np.array_equal(before[-1], after[-1])
    assert_same(flat(prepared(x)), after)


@pytest.mark.any_keras
def test_leaves_the_original_alone():
    original, x = Weights(), MODELS["Weights"][2]
    before, weights = flat(original(x)), original.get_weights()
    prepared = kerasfx.prepare_model(original, keras.Input((4,)), portable=True)
    prepared.set_weights([w + 1 for w in prepared.get_weights()])
    assert_same(original.get_weights(), weights)
    assert_same(flat(original(x)), before)


@pytest.mark.any_keras
def test_what_is_not_a_number_stays_where_it_is():
    """The tables hang on tensors, and take nothing of what these hold."""
    original = Weights()
    prepared = kerasfx.prepare_model(original, keras.Input((4,)), portable=True)
    x = floats(3, 4)
    x[0, 0], x[1, 1] = np.nan, np.inf
    assert_same(flat(prepared(x)), flat(original(x)))


@pytest.mark.any_keras
def test_a_table_that_is_too_short_is_refused():
    prepared = kerasfx.prepare_model(Sizes(), keras.Input((None, 8)), portable=True)
    with pytest.raises(Exception):  # noqa: B017, PT011 (of each backend another one)
        flat(prepared(floats(1, 17, 8)))


# What prevents it


class Custom(layers.Layer):
    def call(self, x):
        return ops.sin(x)


class Draws(layers.Layer):
    def __init__(self):
        super().__init__()
        self.seed = keras.random.SeedGenerator(1)

    def call(self, x):
        return x + keras.random.normal((4,), seed=self.seed)  # <- draws


class Loss(layers.Layer):
    def call(self, x):
        self.add_loss(ops.mean(x))
        return x * 2.0


class Modes(layers.Layer):
    def __init__(self):
        super().__init__()
        self.drop, self.norm = layers.Dropout(0.5), layers.BatchNormalization()

    def call(self, x, training=None):
        x = self.norm(self.drop(x, training=training), training=training)
        return ops.sin(x) if training else ops.cos(x)


class Counts(layers.Layer):
    def build(self, shape):
        self.count = self.add_weight(shape=(), trainable=False)

    def call(self, x):
        self.count.assign(self.count + 1.0)
        return x * 2.0


class Maps(layers.Layer):
    def call(self, x):
        return ops.map(ops.sin, x)  # <- maps


class Asks(layers.Layer):
    def call(self, x):
        return ops.sin(x) if ops.shape(x)[0] > 1 else x


class Nothing(layers.Layer):
    def call(self, x):
        return ops.sin(x), None


class Halves(keras.regularizers.Regularizer):
    def __call__(self, weight):
        return ops.sum(weight) / 2.0


class Regularized(layers.Layer):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3, kernel_regularizer=Halves())

    def call(self, x):
        return self.dense(x)


class Deep(layers.Layer):
    def call(self, x):
        for _ in range(LONGEST + 10):
            x = ops.sin(x)
        return x


class Doubles(layers.Layer):
    def call(self, x):
        return ops.greater(x, np.float64(0.1))


REFUSED = [
    (Custom, ["Custom is kept whole", "do:    see kerasfx.explain"], {"leaves": [Custom]}),
    (Draws, ["a generator of the model's own draws numbers", "# <- draws", "do:"], {}),
    (Loss, ["adds a loss", 'do:    mode="inference"'], {}),
    (Modes, ["one tensor in training and another", 'do:    mode="inference"'], {}),
    (Counts, ["it changes a state", "do:    do it in train_step"], {}),
    (Maps, ["keras.ops.map has bodies", "# <- maps"], {}),
    (Asks, ["the answer about a free size", "do:    give the axes fixed sizes"], {}),
    (Nothing, ["gives no None", "do:    return the tensors alone"], {}),
    (Regularized, ["dense: a file of it names"], {}),
    (Deep, [f"more than {LONGEST} calls"], {"verify": False}),
    (Doubles, ["does not keep the dtype of a number of float64"], {}),
]


@pytest.mark.any_keras
@pytest.mark.parametrize(("cls", "words", "options"), REFUSED, ids=lambda x: getattr(x, "__name__", ""))
def test_says_what_prevents_it(cls, words, options):
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = cls()

        def call(self, x, **kwargs):
            return self.inner(x, **kwargs)

    net = Net()
    with pytest.raises(NotPortableError) as caught:
        kerasfx.prepare_model(net, keras.Input((4,)), portable=True, **options)
    lines = [each.source.text for each in caught.value.obstacles if each.source]
    assert [word for word in words if word not in f"{caught.value}{lines}"] == []


@pytest.mark.any_keras
def test_nothing_is_made_where_something_prevents_it(monkeypatch):
    def made(*args):
        raise AssertionError("a layer was made")

    net = keras.Sequential([keras.Input((4,)), layers.Dense(4), Draws()])
    monkeypatch.setattr("kerasfx.emitting.layer_calls.LayerMaker.of_original", made)
    with pytest.raises(NotPortableError):
        kerasfx.prepare_model(net, portable=True)


@pytest.mark.any_keras
def test_all_that_prevents_it_is_said_at_once():
    net = keras.Sequential([keras.Input((4,)), Draws(), Maps(), Counts()])
    with pytest.raises(NotPortableError) as caught:
        kerasfx.prepare_model(net, portable=True)
    assert {each.path for each in caught.value.obstacles} >= {"draws", "maps"}


@pytest.mark.any_keras
def test_inference_alone():
    """What differs between the modes does not prevent a model of one of them."""
    original = Modes()
    prepared = kerasfx.prepare_model(original, keras.Input((4,)), portable=True, mode="inference")
    assert type(prepared).__module__.startswith("keras.")
    assert "does not refuse to be trained" in str(kerasfx.report(prepared))
    assert "do not call `fit`" in str(kerasfx.report(prepared))
    x = floats(2, 4)
    assert_same(flat(prepared(x)), flat(original(x, training=False)))
    with pytest.raises(NotPortableError, match="is for no mode alone"):
        kerasfx.prepare_model(original, keras.Input((4,)), portable=True, mode="training")


@pytest.mark.any_keras
def test_a_flat_model_comes_back():
    net = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    prepared = kerasfx.prepare_model(net, portable=True)
    assert kerasfx.prepare_model(prepared, portable=True) is prepared
    mapped = kerasfx.prepare_model(keras.Sequential([keras.Input((4,)), Counts()]))
    with pytest.raises(NotPortableError):
        kerasfx.prepare_model(mapped, portable=True)


@pytest.mark.any_backend
def test_a_class_of_the_users_is_not_portable():
    with pytest.raises(ValueError, match="portable must be False"):
        kerasfx.prepare_model(Weights(), keras.Input((4,)), portable=True, keep_class=True)


@pytest.mark.any_backend
def test_each_reason_is_of_a_layer_that_there_is():
    assert [name for name in obstacles.OF_LAYERS if not hasattr(kerasfx.layers, name)] == []

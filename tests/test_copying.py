"""A copy of a layer has all that the layer has: state that is no variable, inner layers, functions."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from predicting import predicted, predicting

import kerasfx
from kerasfx.errors import NotCopyableError, UnsupportedOperationError

pytestmark = pytest.mark.any_backend

X = np.random.default_rng(0).random((2, 3, 4)).astype("float32")
on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tensors of words exist on TensorFlow alone"
)


class Around(keras.Model):
    """A model of one layer."""

    def __init__(self, layer):
        super().__init__(name="around")
        self.inner = layer

    def call(self, x):
        return self.inner(x)


def equal(model, prepared, x):
    np.testing.assert_array_equal(predicted(prepared, x), predicted(model, x))


# --- State that is no variable ----------------------------------------------------------------------


@pytest.mark.parametrize("weights", ["copy", "share"])
def test_an_adapted_normalization(weights, tmp_path, elsewhere):
    """It computes with tensors that were made of its variables; a loaded one makes them anew."""
    layer = layers.Normalization()
    layer.adapt(9 * X + 1)
    model = Around(layer)
    prepared = kerasfx.prepare_model(model, X, weights=weights, verify=False)
    equal(model, prepared, X)
    assert kerasfx.compare(model, prepared)
    prepared.save(tmp_path / "m.keras")
    [found] = elsewhere.run(tmp_path / "m.keras", X)
    np.testing.assert_array_equal(found, predicted(model, X))


def test_statistics_that_came_home_are_used():
    """`copy_weights` does for a Normalization what `load_weights` does."""
    ours, theirs = Around(layers.Normalization()), Around(layers.Normalization())
    ours.inner.adapt(9 * X + 1)
    theirs.inner.build(X.shape)
    kerasfx.copy_weights(kerasfx.prepare_model(ours, X), theirs)
    equal(ours, theirs, X)


def test_the_bounds_of_an_adapted_discretization(tmp_path):
    layer = layers.Discretization(num_bins=4)
    layer.adapt(X)
    model = Around(layer)
    prepared = kerasfx.prepare_model(model, X)
    equal(model, prepared, X)
    prepared.save(tmp_path / "m.keras")
    equal(model, keras.models.load_model(tmp_path / "m.keras"), X)


WORDS = [["a b"], ["c a"], ["d"]]
LOOKUPS = {
    "strings": lambda: (layers.StringLookup(), ["a b", "d"]),
    "counts": lambda: (layers.StringLookup(output_mode="count"), ["a b", "d"]),
    "inverse": lambda: (layers.IntegerLookup(num_oov_indices=2), [5, 7, 9]),
    "texts": lambda: (layers.TextVectorization(output_sequence_length=3), ["a b", "c"]),
    "bags": lambda: (layers.TextVectorization(output_mode="tf_idf"), ["a b", "c a"]),
    "given": lambda: (layers.StringLookup(vocabulary=["a b", "d"]), None),
    "hashing": lambda: (layers.Hashing(5), None),
}


@on_tensorflow
@pytest.mark.parametrize("weights", ["copy", "share"])
@pytest.mark.parametrize("kind", LOOKUPS)
def test_a_vocabulary(kind, weights, tmp_path):
    layer, data = LOOKUPS[kind]()
    if data is not None:
        layer.adapt(np.array(data))
    x = np.array([[5], [6], [9]]) if kind == "inverse" else ops.convert_to_tensor(WORDS)
    model = Around(layer)
    model(x)
    given = keras.Input((1,), dtype="int64" if kind == "inverse" else "string")
    prepared = kerasfx.prepare_model(model, given, weights=weights, verify=False)
    equal(model, prepared, x)
    prepared.save(tmp_path / "m.keras")
    equal(model, keras.models.load_model(tmp_path / "m.keras"), x)


class Remembering(layers.Layer):
    """Kept whole, and it holds what no config says."""

    def __init__(self):
        super().__init__()
        self.table = np.zeros(4, "float32")
        self.scale = 1.0
        self.seen = keras.Variable(0.0, trainable=False)

    def call(self, x):
        return x * self.scale + self.table + self.seen + 0.0 * float(np.random.random())


def test_attributes_of_a_layer_that_stays_whole():
    layer = Remembering()
    layer.table, layer.scale = np.arange(4, dtype="float32"), 3.0
    layer.seen.assign(2.0)
    model = Around(layer)
    model(X)
    prepared = kerasfx.prepare_model(model, X)
    equal(model, prepared, X)
    layer.table[0] = 7.0
    assert prepared.layers[-1].table[0] == 0.0


# --- Layers inside layers that stay whole -----------------------------------------------------------


class Kept(layers.Layer):
    """Draws from NumPy, so that it stays whole."""

    def result(self, x):
        """What it computes besides."""
        raise NotImplementedError

    def call(self, x):
        return self.result(x + 0.0 * float(np.random.random()))


class Attending(Kept):
    """Its second layer is built by the first call alone."""

    def __init__(self):
        super().__init__()
        self.first, self.second = layers.MultiHeadAttention(2, 4), layers.MultiHeadAttention(2, 4)

    def result(self, x):
        return self.second(self.first(x, x), x)


class MadeInBuild(Kept):
    def build(self, shape):
        self.parts = [layers.Dense(shape[-1], name=f"part{i}") for i in range(2)]
        for part in self.parts:
            part.build(shape)

    def result(self, x):
        return self.parts[1](self.parts[0](x))


class MadeInCall(Kept):
    """Keras allows it in the call that builds the layers of a layer."""

    def __init__(self):
        super().__init__()
        self.first, self.second = layers.Dense(4), None

    def result(self, x):
        if self.second is None:
            self.second = layers.Dense(3)
        return self.second(self.first(x))


class WithFunctional(Kept):
    """Without a config, and with graphs inside, of which one holds a layer of the user's."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps
        x = keras.Input((3, 4))
        self.graph = keras.Model(x, layers.Dense(4)(layers.LayerNormalization()(x)))
        self.chain = keras.Sequential([Attending(), layers.Dense(2)])

    def get_config(self):
        raise NotImplementedError

    def result(self, x):
        return self.chain(self.graph(x)) + self.steps[0]


WHOLE = {
    "attention": Attending,
    "made in build": MadeInBuild,
    "made in call": MadeInCall,
    "graphs": lambda: WithFunctional([object, 1.0][1:]),
    "models": lambda: keras.Sequential([Attending(), layers.Dense(2)]),
}


@pytest.mark.filterwarnings("ignore:.build..* was called on layer:UserWarning")
@pytest.mark.parametrize("weights", ["copy", "share"])
@pytest.mark.parametrize("make", WHOLE.values(), ids=WHOLE)
def test_a_layer_that_stays_whole(make, weights):
    model = Around(make())
    model(X)
    prepared = kerasfx.prepare_model(model, X, weights=weights, leaves=["inner"])
    equal(model, prepared, X)
    assert kerasfx.compare(model, prepared, samples=1)
    ours, theirs = set(map(id, model.variables)), set(map(id, prepared.variables))
    assert ours == theirs if weights == "share" else not ours & theirs


class Block(layers.Layer):
    """It takes no name, so that no config makes it again."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(4)

    def call(self, x):
        return x + self.dense(x)


class Generator(keras.Model):
    """Another method calls a layer of the model."""

    def __init__(self):
        super().__init__(name="generator")
        self.encoder, self.head = keras.Sequential([Block(), Block()]), layers.Dense(2)

    def call(self, x):
        return self.head(self.encoder(x))

    def encode(self, x):
        return self.encoder(x)


def test_the_class_calls_a_model_that_stays_whole():
    model = Generator()
    model(X)
    prepared = kerasfx.prepare_model(model, X, keep_class=True, leaves=["encoder"])
    equal(model, prepared, X)
    with predicting():
        a, b = model.encode(X), prepared.encode(X)
    np.testing.assert_array_equal(ops.convert_to_numpy(a), ops.convert_to_numpy(b))
    assert not {id(v) for v in model.variables} & {id(v) for v in prepared.encoder.variables}


class Twice(keras.Model):
    """The second call of its layer cannot be opened."""

    def __init__(self):
        super().__init__(name="twice")
        self.odd = Odd()

    def call(self, x):
        return self.odd(self.odd(x), draws=True)


class Odd(layers.Layer):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(4)

    def call(self, x, draws=False):
        return self.dense(x + 0.0 * float(np.random.random()) if draws else x)


@pytest.mark.parametrize("weights", ["copy", "share"])
def test_a_layer_of_which_one_call_cannot_be_opened_is_kept_for_all(weights):
    model = Twice()
    prepared = kerasfx.prepare_model(model, X, weights=weights)
    equal(model, prepared, X)
    assert [f.path for f in kerasfx.report(prepared).opaque] == ["odd"]


def test_a_weight_of_a_layer_that_was_asked_to_stay_whole_has_one_place():
    """There the user has to decide."""

    class Tied(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(4)

        def call(self, x):
            return ops.matmul(self.dense(x), self.dense.kernel)

    with pytest.raises(UnsupportedOperationError, match="has one place"):
        kerasfx.prepare_model(Tied(), X, leaves=["dense"])


class Closed(Kept):
    """A function in it goes on using the layers of the original."""

    def __init__(self, width, other):
        super().__init__()
        self.dense = layers.Dense(width)
        self.other = other
        self.function = lambda x: self.dense(x)

    def get_config(self):
        raise NotImplementedError("no config")

    def result(self, x):
        return self.function(x)


def test_a_copy_that_would_use_the_original_is_none():
    """The error says of each way why it failed, and names the way out that works."""
    model = Around(Closed(4, object()))
    with pytest.raises(NotCopyableError) as caught:
        kerasfx.prepare_model(model, X)
    text = str(caught.value)
    assert "from its config: no config" in text
    assert "object by object: `self.function` holds a function that refers to the original" in text
    assert 'weights="share"' in text
    equal(model, kerasfx.prepare_model(model, X, weights="share"), X)


def test_a_copy_whose_constructor_takes_a_layer_from_elsewhere_has_its_own():
    """Made again by its constructor, it would compute with the layer of the original."""
    elsewhere = {"norm": keras.layers.LayerNormalization()}

    class Borrowing(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.norm = elsewhere["norm"]

        def call(self, x):
            return self.norm(x) * np.random.uniform(1, 1)

    inputs = keras.Input((3,))
    model = keras.Model(inputs, Borrowing()(inputs))
    axis = elsewhere["norm"].axis
    prepared = kerasfx.prepare_model(model, leaves=[Borrowing])
    assert not {id(v) for v in prepared.variables} & {id(v) for v in model.variables}
    assert elsewhere["norm"].axis is axis


def test_a_copy_is_quantized_alone():
    """Keras wraps `build` and `quantize` of each layer in a function that knows it."""

    class NoConfig(layers.Dense):
        def get_config(self):
            raise NotImplementedError

        def call(self, x):
            return super().call(x) + 0.0 * float(np.random.random())

    model = Around(NoConfig(4, kernel_initializer=keras.initializers.Orthogonal()))
    model(X)
    prepared = kerasfx.prepare_model(model, X)
    prepared.layers[-1].quantize("int8", type_check=False)
    assert model.inner.quantization_mode is None


# --- Functions in a config --------------------------------------------------------------------------


def half(x):
    """An activation."""
    return 0.5 * x


ACTIVATIONS = {
    "another of that name": ops.gelu,
    "a method": layers.ReLU(max_value=0.2).call,
    "registered": keras.saving.register_keras_serializable("copying")(half),
    "a lambda": lambda x: ops.tanh(x) + 1,
}


@pytest.mark.parametrize("make", [layers.Dense, layers.GRU], ids=["last", "inside"])
@pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_a_function_that_its_name_does_not_give_back(activation, make):
    """Also if nobody compares."""
    model = Around(make(3, activation=activation))
    model(X)
    prepared = kerasfx.prepare_model(model, X, verify=False)
    np.testing.assert_allclose(predicted(prepared, X), predicted(model, X), rtol=1e-6, atol=1e-7)


class Penalty(keras.regularizers.Regularizer):
    """No config, and a number of its own."""

    def __init__(self, strength):
        self.strength = strength

    def __call__(self, x):
        return self.strength * ops.sum(x * x)


class Positive(keras.constraints.Constraint):
    def __call__(self, w):
        return ops.maximum(w, 0.0)


class Half(keras.initializers.Initializer):
    def __call__(self, shape, dtype=None, **kwargs):
        return 0.5 * ops.ones(shape, dtype)


class Penalized(keras.Model):
    """The user's functions on a built-in layer, on a weight of its own, on what a layer returns."""

    def __init__(self):
        super().__init__(name="penalized")
        self.dense = layers.Dense(
            4,
            activation=half,
            kernel_regularizer=Penalty(0.1),
            kernel_constraint=Positive(),
            kernel_initializer=Half(),
            activity_regularizer=Penalty(0.2),
        )
        self.opened = Block()
        self.opened.activity_regularizer = Penalty(0.3)

    def build(self, shape):
        self.scale = self.add_weight(
            shape=(shape[-1],), initializer=Half(), regularizer=Penalty(0.4), constraint=Positive()
        )

    def call(self, x, training=None):
        return self.opened(self.dense(x * self.scale))


@pytest.mark.parametrize("weights", ["copy", "share"])
def test_training_with_functions_of_the_user(weights, tmp_path, elsewhere):
    """The same losses and steps in `fit`, and a file that needs none of their code."""
    model = Penalized()
    model(X)
    prepared = kerasfx.prepare_model(model, X, weights=weights)
    comparison = kerasfx.compare(model, prepared)
    assert comparison, str(comparison)
    prepared.save(tmp_path / "m.keras")
    [found] = elsewhere.run(tmp_path / "m.keras", X)
    np.testing.assert_allclose(found, predicted(model, X), rtol=1e-6)
    loaded = keras.models.load_model(tmp_path / "m.keras")
    trained = [loaded, model] if weights == "share" else [loaded, prepared, model]
    losses = [fit(each) for each in trained]
    np.testing.assert_allclose(losses, losses[:1] * len(losses), rtol=1e-5)
    assert losses[0] > 0.5


def fit(model):
    model.compile(keras.optimizers.SGD(0.1), "mse")
    history = model.fit(X, 0 * X, batch_size=2, epochs=2, verbose=0, shuffle=False)
    return history.history["loss"][-1]


def test_a_frozen_weight_is_not_regularized():
    model = Penalized()
    model(X)
    prepared = kerasfx.prepare_model(model, X)
    for each in (model, prepared):
        each.trainable = False
        predicted(each, X)
    assert len(prepared.losses) == len(model.losses) == 2


def test_a_weight_that_is_frozen_in_a_layer_that_is_trained():
    model = Around(layers.Dense(4))
    model(X)
    model.inner.bias.trainable = False
    prepared = kerasfx.prepare_model(model, X)
    assert [v.name for v in prepared.trainable_variables] == ["kernel"]
    assert kerasfx.compare(model, prepared)


class Learned(keras.regularizers.Regularizer):
    """Its strength is a variable, which no file would have."""

    def __init__(self):
        self.strength = keras.Variable(0.1)

    def __call__(self, x):
        return self.strength * ops.sum(x * x)


def test_a_regularizer_that_cannot_be_recorded_is_reported():
    model = Around(layers.Dense(3, kernel_regularizer=Learned()))
    model(X)
    prepared = kerasfx.prepare_model(model, X)
    assert kerasfx.compare(model, prepared, samples=1)
    [finding] = kerasfx.report(prepared).of_kind("warning")
    assert "Dense: its regularizer Learned stays code of" in finding.what
    assert "register_keras_serializable" in finding.hint


def test_a_flat_model_with_functions_of_the_user_is_prepared():
    """It would need their code."""
    x = keras.Input((4,))
    model = keras.Model(x, layers.Dense(3, kernel_constraint=Positive())(x))
    prepared = kerasfx.prepare_model(model)
    assert type(prepared.layers[-1].kernel_constraint).__module__.startswith("kerasfx")


def test_the_functions_of_the_user_are_left_as_they_were():
    model = Penalized()
    model(X)
    before = dict(vars(model.dense)), dict(vars(model.dense.kernel_regularizer))
    for weights in ("copy", "share"):
        kerasfx.prepare_model(model, X, weights=weights)
    after = dict(vars(model.dense)), dict(vars(model.dense.kernel_regularizer))
    assert before == after

"""Functions of JAX in `call`: what may be named, what it means elsewhere, and what is refused."""

import re

import keras
import numpy as np
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("functions of JAX", allow_module_level=True)

import jax
import jax.numpy as jnp
from loaded_elsewhere import run_elsewhere
from zoo.case import floats

import kerasfx
from kerasfx.errors import UnknownFunctionError
from kerasfx.runtime.functions import backend_functions
from kerasfx.runtime.layers import Op

pytestmark = pytest.mark.any_keras

DANGEROUS = [
    "jax.numpy.save",
    "jax.numpy.load",
    "jax.numpy.fromfile",
    "jax.numpy.frombuffer",
    "jax.numpy.from_dlpack",
    "jax.numpy.vectorize",
    "jax.numpy.set_printoptions",
    "jax.numpy.ndarray",
    "jax.numpy.linalg",
    "jax.numpy.__builtins__",
    "jax.numpy.array.__globals__",
    "jax.numpy._np",
    "jax.random.__init__",
    "jax.random.key",
    "jax.lax.while_loop",
    "jax.lax.platform_dependent",
    "jax.pure_callback",
    "jax.debug.callback",
    "jax.config.update",
    "jax.Array.at.apply",
    "jax.Array.at.__init__",
    "jax.Array.at.jnp",
    "jax.Array.at.Any",
    "jax.scipy.linalg.funm",
    "jax.scipy.optimize.minimize",
    "kerasfx.runtime.functions.array_updates.set",
    "numpy.save",
    "os.system",
    "builtins.eval",
    "",
    "jax",
]


@pytest.mark.parametrize("name", DANGEROUS)
def test_a_file_cannot_name_it(name):
    with pytest.raises(UnknownFunctionError, match="is no function that a recorded call may name"):
        Op(name, [[], {"$dict": []}], {"shape": [1], "dtype": "float32"})


def test_a_manipulated_file_is_refused(tmp_path):
    x = keras.Input((3,))
    model = keras.Model(x, layer_of(lambda x: jnp.linalg.norm(x, axis=-1))(x))
    config = kerasfx.prepare_model(model).get_config()
    layer = next(layer for layer in config["layers"] if layer["class_name"] == "JaxNumpyLinalgNorm")
    layer |= {"class_name": "Op", "registered_name": "kerasfx>Op"}
    layer["config"]["op"] = "jax.numpy.save"
    with pytest.raises(Exception, match=r"jax\.numpy\.save is no function that a recorded call may name"):
        kerasfx.runtime.functional.Functional.from_config(config)


def test_another_backends_function_says_which_backend_to_use():
    with pytest.raises(UnknownFunctionError, match="KERAS_BACKEND=tensorflow"):
        Op("tf.math.cumsum", [[], {"$dict": []}], {"shape": [1], "dtype": "float32"})


def test_everything_allowed_is_of_jax():
    """What NumPy itself reads and writes files with is visible in `jax.numpy`, too."""
    for name, (_, function) in backend_functions.functions().items():
        module = getattr(function, "__module__", None) or type(function).__module__
        assert module.partition(".")[0] in ("jax", "kerasfx"), name


def layer_of(function):
    """A layer that calls `function`."""

    class Calling(keras.layers.Layer):
        def call(self, x):
            return function(x)

        def get_config(self):
            return {}

    return Calling(name="calling")


def prepared(function, shape=(None, 4)):
    x = keras.Input(shape)
    return kerasfx.prepare_model(keras.Model(x, layer_of(function)(x)))


def ops_of(model):
    return [layer.op for layer in model.layers if isinstance(layer, Op)]


def reason(function, **options):
    """Why a layer that calls `function` stays whole."""
    x = keras.Input((4,), **options)
    (finding,) = kerasfx.explain(keras.Model(x, layer_of(function)(x))).opaque
    return finding.what


def test_a_model_of_twins_runs_on_tensorflow(tmp_path):
    @jax.jit
    def helper(x):
        return jnp.where(x > 0, jax.nn.gelu(x), jnp.square(x)).astype(jnp.float16).astype("float32")

    def call(x):
        y = helper(x).swapaxes(1, 2) / jnp.sqrt(jnp.mean(x * x) + 1e-3)
        y = jnp.concatenate([y, jnp.zeros((x.shape[0], 4, 1))], axis=-1)
        return y.max(-1) + jnp.clip(x, -1, 1).sum(axis=1) + jax.nn.softmax(x[:, 0], axis=-1)

    model = prepared(call)
    assert all(op.startswith("keras.ops.") for op in ops_of(model))
    x = floats(3, 5, 4)
    model.save(tmp_path / "model.keras")
    (found,) = run_elsewhere(tmp_path / "model.keras", x, backend="tensorflow")
    np.testing.assert_allclose(model(x), found, rtol=1e-5, atol=1e-6)


def test_ops_are_named_by_keras_or_by_jax():
    model = prepared(lambda x: jnp.linalg.norm(x, axis=-1) + x.at[:, 0].set(0.0).mean(-1))
    assert set(ops_of(model)) == {"jax.numpy.linalg.norm", "jax.Array.at.set", "keras.ops.mean"}


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (
            lambda x: jax.grad(lambda y: jnp.sum(y * y))(x),
            r"A function made by jax\.grad is called on a tensor",
        ),
        (jax.custom_jvp(lambda x: x), r"has a gradient of its own \(jax\.custom_jvp\)"),
        (lambda x: jnp.where(x > 0, 1.0, 0.0) * x.astype("float16"), "made from Python numbers"),
        (
            lambda x: x + jax.random.normal(jax.random.key(0, impl="rbg"), x.shape),
            r"A random key of dtype key<rbg> cannot be held",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_stays_whole_says_why(function, says):
    if getattr(function, "defjvp", None):
        function.defjvp(lambda primals, tangents: (primals[0], tangents[0]))
    assert re.search(says, reason(function))


def test_a_constant_key_draws_as_the_original():
    x = keras.Input((4,))
    model = keras.Model(x, layer_of(lambda x: x + jax.random.normal(jax.random.key(5), x.shape))(x))
    numbers = floats(3, 4)
    np.testing.assert_array_equal(model(numbers), kerasfx.prepare_model(model)(numbers))


def test_attributes_are_put_back():
    class Holder(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.act, self.acts = jax.nn.gelu, [jnp.reshape]

        def call(self, x):
            return self.acts[0](self.act(x), (-1, 2))

    x, layer = keras.Input((4,)), Holder()
    model = keras.Model(x, layer(x))
    assert ops_of(kerasfx.prepare_model(model)) == ["keras.ops.gelu", "keras.ops.reshape"]
    assert layer.act is jax.nn.gelu
    assert layer.acts[0] is jnp.reshape


def test_array_of_jax_has_no_mask():
    """It is a copy; `jnp.asarray` gives the tensor itself, and its mask."""
    embedding, lstm = keras.layers.Embedding(5, 4, mask_zero=True), keras.layers.LSTM(3)

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding, self.lstm = embedding, lstm

        def call(self, ids):
            return self.lstm(jnp.array(self.embedding(ids))), self.lstm(jnp.asarray(self.embedding(ids)))

    model, ids = Net(), np.array([[1, 2, 0, 0], [3, 0, 0, 0]])
    result = kerasfx.prepare_model(model, keras.Input((4,), dtype="int32"))
    comparison = kerasfx.compare(model, result, inputs=ids, gradients=False)
    assert comparison, str(comparison)


IDS = jnp.array([0, 1, 0])

CALLS = {
    "segments": lambda x: jax.ops.segment_sum(x, IDS, num_segments=2),
    "largest of segments": lambda x: jax.ops.segment_max(x, jnp.arange(3) % 2, 2),
    "rows of zeros": lambda x: jnp.zeros((2, 4)).at[IDS].add(x),
    "rows by indices of the trace": lambda x: jnp.zeros(4).at[jnp.argmax(x, -1)].max(x[:, 0]),
    "rows of constants": lambda x: x + jnp.ones(4).at[0].set(3.0),
    "histogram of a matrix": lambda x: jnp.histogram(x, 4)[0],
    "rounded": lambda x: (round(x), round(x, 1)),
    "divided with rest": lambda x: (*divmod(x, 2.0), *divmod(3.0, x + 10)),
}


@pytest.mark.parametrize("what", CALLS)
def test_it_gives_what_jax_gives(what):
    layer = layer_of(lambda x: jax.tree.leaves(CALLS[what](x)))
    x = jnp.array(np.random.default_rng(0).standard_normal((3, 4)), "float32")
    model = kerasfx.prepare_model(layer, keras.Input(batch_shape=(3, 4)))
    for ours, theirs in zip(layer(x), model(x), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def test_an_attribute_that_is_not_recorded_is_refused_with_advice():
    with pytest.raises(kerasfx.errors.TraceError, match=r"aval of the tensor x is not recorded(.|\n)*do:"):
        kerasfx.prepare_model(layer_of(lambda x: jnp.vectorize(jnp.sin)(x)), keras.Input((4,)))

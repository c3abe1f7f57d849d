"""Raw JAX in `call`. Only run on that backend."""

import functools

import jax
import jax.numpy as jnp
import jax.scipy.special
import keras
import numpy as np
from jax.nn import swish as imported_swish
from jax.numpy import einsum
from keras import layers

from zoo.case import Case, around_one, case, floats, integers


def free_case(layer, example, **options):
    """A case of a layer in a Functional model whose every axis is free but the last."""
    inputs = keras.Input((None,) * (example.ndim - 2) + example.shape[-1:], dtype=example.dtype.name)
    return Case(keras.Model(inputs, layer(inputs)), example, needs_input=False, **options)


@jax.jit
def scaled_tanh(x, scale):
    return jnp.tanh(x) * scale


@functools.partial(jax.jit, static_argnames="axis")
def centered(x, axis):
    if axis is None:
        return x
    return x - x.mean(axis=axis, keepdims=True)


@jax.custom_vjp
def clipped_gradient(x):
    return x


clipped_gradient.defvjp(lambda x: (x, None), lambda _, g: (jnp.clip(g, -0.1, 0.1),))


@case
def jax_attention():
    """Attention written with `jax.numpy`: imported names, own weights, masks made of sizes."""

    class Attention(layers.Layer):
        def build(self, shape):
            self.qkv = self.add_weight(shape=(3, shape[-1], 8), name="qkv")
            self.temperature = self.add_weight(shape=(), initializer=around_one(), name="temperature")

        def call(self, x):
            assert isinstance(x, jax.Array)
            assert isinstance(x, jnp.ndarray)
            assert jnp.issubdtype(x.dtype, jnp.floating)
            assert x.dtype == jnp.float32
            batch, length, _ = x.shape
            q, k, v = jnp.einsum("btd,kdh->kbth", x, self.qkv)
            q, k, v = (y.reshape(batch, length, 2, 4).transpose(0, 2, 1, 3) for y in (q, k, v))
            scores = einsum("bhid,bhjd->bhij", q, k) / (self.temperature * jnp.sqrt(4.0))
            causal = jnp.tril(jnp.ones((length, length), dtype=bool))
            scores = jnp.where(causal[None, None], scores, jnp.finfo(scores.dtype).min)
            mixed = jax.nn.softmax(scores, axis=-1) @ v
            return mixed.swapaxes(1, 2).reshape((batch, length, -1))

    return free_case(Attention(), floats(3, 5, 8))


@case
def jax_methods_and_properties():
    """Methods of arrays are functions of `jax.numpy`."""

    class Methods(layers.Layer):
        def call(self, x):
            total = x.sum(axis=-1, keepdims=True) + x.max(0) - x.min(axis=0) + x.var(axis=1, ddof=1)[:, None]
            moved = x.T.mT.swapaxes(0, 1) if x.ndim == 3 else x
            rounded = x.round(2).clip(-1.0, 1.0).cumsum(axis=1).astype(jnp.float16).astype(float)
            flat = x.flatten().ravel().reshape(x.shape[0], -1)
            counts = (x > 0).any(axis=1).astype(jnp.int32) + x.argmax(1) + x.astype(int).prod(axis=1)
            return total, moved, rounded, flat.mean() * x.real, counts, x.dot(jnp.eye(4)).copy() / x.size

    return free_case(Methods(), floats(3, 5, 4))


@case
def jax_at():
    """`x.at[...]` with slices, ellipses, arrays and tensors as indices."""

    class At(layers.Layer):
        def call(self, x):
            first = x.at[:, 0].set(0.0).at[:, -1].add(x[:, 0], mode="drop")
            second = x.at[..., jnp.array([0, 2])].multiply(2.0).at[jnp.arange(x.shape[0]), 0].max(0.5)
            ids = jnp.clip(x[:, :, 0].astype(int), 0, 3)
            counts = jnp.zeros((x.shape[0], 4)).at[jnp.arange(x.shape[0])[:, None], ids].add(1.0)
            return first, second, counts, x.at[:, 9:].get(mode="fill", fill_value=7.0), x.at[0].divide(3.0)

    return free_case(At(), floats(3, 5, 4))


@case
def jax_jitted_helpers():
    """Jitted functions: of the module, with static arguments, methods, made in `call`, closures."""

    class Jitted(layers.Layer):
        def __init__(self):
            super().__init__()
            self.mix = layers.Dense(4, bias_initializer="random_normal")

        @functools.partial(jax.jit, static_argnums=0)
        def method(self, x):
            return x * 3.0 + self.name.count("j")

        def call(self, x):
            double = jax.jit(lambda y: y + y)
            x = self.mix(scaled_tanh(x, 2.0))
            return centered(double(x), axis=1) + self.method(x), centered(x, None), jax.checkpoint(jnp.sin)(x)

    return free_case(Jitted(), floats(3, 5, 4))


@case
def jax_functions_as_attributes():
    """Functions that a layer holds: itself, in a list, a dict, a partial; as an activation."""

    class Holder(layers.Layer):
        def __init__(self):
            super().__init__()
            self.act = jax.nn.gelu
            self.acts = [jnp.tanh, jax.nn.glu]
            self.named = {"relu": jax.nn.relu, "celu": functools.partial(jax.nn.celu, alpha=0.5)}
            self.dense = layers.Dense(6, activation=jax.nn.gelu)

        def call(self, x):
            for act in self.acts:
                x = act(x)
            x = self.dense(self.act(x)) + imported_swish(x).sum()
            return self.named["relu"](x), self.named["celu"](x), jax.nn.standardize(x)

    return free_case(Holder(), floats(3, 5, 8))


@case
def jax_constants():
    """Arrays made in `call` or held by the layer, on either side of an operator; indexed by tensors."""

    class Constants(layers.Layer):
        def __init__(self):
            super().__init__()
            self.table = np.arange(20.0, dtype="float32").reshape(5, 4)
            self.shift = jnp.array([1.0, -1.0, 0.5, 2.0])

        def call(self, x):
            y = jnp.ones(4) * x - self.shift
            looked_up = jnp.asarray(self.table)[jnp.clip(x[..., 0].astype("int32"), 0, 4)]
            return y + jnp.array(2.0), looked_up, jnp.float32(x > 0) + (jnp.array([1, 2, 3, 4]) < x)

    return free_case(Constants(), floats(3, 5, 4))


@case
def jax_sizes():
    """Free sizes through `jax.numpy`."""

    class Sizes(layers.Layer):
        def call(self, x):
            b, t = jnp.shape(x)[0], x.shape[1]
            positions = jnp.arange(t, dtype=x.dtype)[None, :, None] / t
            padded = jnp.concatenate([x, jnp.zeros((b, t, 2), x.dtype)], axis=-1)
            grid = jnp.broadcast_to(positions, jnp.broadcast_shapes(x.shape, (1, 1, 4)))
            mean = jnp.sum(x) / jnp.size(x) + x.size + jnp.size(x, 1)
            return (
                padded,
                grid,
                mean * jnp.full((b, 1), 2.0),
                jnp.reshape(x, (b, -1)),
                jnp.linspace(0.0, 1.0, 3),
            )

    return free_case(Sizes(), floats(3, 5, 4))


@case
def jax_random():
    """Draws with a constant key, a typed one, and one of Keras: split, folded, drawn from in turn."""

    class Noise(layers.Layer):
        def __init__(self):
            super().__init__()
            self.seed_generator = keras.random.SeedGenerator(3)

        def call(self, x, training=False):
            fixed = jax.random.normal(jax.random.PRNGKey(0), x.shape)
            typed = jax.random.uniform(jax.random.fold_in(jax.random.key(1), 2), x.shape)
            first, second = jax.random.split(self.seed_generator.next())
            keep = jax.random.bernoulli(first, 0.5, x.shape)
            picked = jax.random.normal(jax.random.fold_in(second, 7), x.shape[-1:])
            return x + fixed * typed, jnp.where(keep, x, 0.0) + picked, jax.random.normal(second, (2, 4))

    return free_case(Noise(), floats(3, 5, 4))


@case
def jax_lax_scipy_and_image():
    """Functions below `jax.numpy`, of `jax.scipy` and `jax.image`, and those that keras.ops lacks."""

    class Below(layers.Layer):
        def call(self, x):
            normed = x * jax.lax.rsqrt(jax.lax.square(x).mean(-1, keepdims=True) + 1e-6)
            stopped = (
                jax.lax.stop_gradient(x)
                + jax.lax.cumsum(x, axis=1)
                + jax.scipy.special.logit(jax.nn.sigmoid(x))
            )
            values, ids = jax.lax.top_k(x, 2)
            larger = jax.image.resize(x, (x.shape[0], 7, 4), method="linear")
            with jax.named_scope("distance"):
                distance = jnp.linalg.norm(x[:, :1] - x, axis=-1)
            jax.debug.print("{}", distance)
            spectrum = jnp.fft.rfft(x, axis=-1)
            return normed, stopped, values, ids, larger, distance, spectrum.real + jnp.abs(spectrum)

    return free_case(Below(), floats(3, 5, 4))


@case
def jax_half_precision():
    """Numbers keep to the dtype of the other side, NumPy's scalars do not; a cast is a cast."""

    class Half(layers.Layer):
        def call(self, x):
            h = x.astype(jnp.bfloat16)
            return h * 2.0, h * np.float32(2.0), h * jnp.asarray(2.0), jnp.asarray(h, float), h + x

    return free_case(Half(), floats(3, 5, 4))


@case
def jax_weak_type_stays_whole():
    """`jnp.where(c, 1.0, 0.0)` times a half is a half on JAX: the dtype of the tensor alone does not say."""

    @keras.saving.register_keras_serializable("zoo")
    class Weak(layers.Layer):
        def call(self, x):
            return jnp.where(x > 0, 1.0, 0.0) * x.astype(jnp.float16)

    return free_case(Weak(), floats(3, 5, 4), expect_opaque=("Weak",))


@case
def jax_custom_gradient_stays_whole():
    """A gradient of the user's own must not be lost."""

    @keras.saving.register_keras_serializable("zoo")
    class Clipped(layers.Layer):
        def call(self, x):
            return clipped_gradient(x) * 2.0

    return free_case(Clipped(), floats(3, 5, 4), expect_opaque=("Clipped",))


@case
def jax_gradients_stay_whole():
    """Gradients are not recorded; an associative scan is."""

    @keras.saving.register_keras_serializable("zoo")
    class Graded(layers.Layer):
        def call(self, x):
            return jax.grad(lambda y: jnp.sum(y**3))(x)

    @keras.saving.register_keras_serializable("zoo")
    class Scanned(layers.Layer):
        def call(self, x):
            return jax.lax.associative_scan(jnp.maximum, x, axis=2)

    model = keras.Sequential([Graded(), Scanned()])
    return free_case(model, floats(3, 5, 4), expect_opaque=("Graded",))


@case
def jax_integers():
    """Integers and truth values: divisions, shifts, promotion, one-hot and counts."""

    class Integers(layers.Layer):
        def call(self, ids):
            hot = jax.nn.one_hot(ids, 7) + jnp.equal(ids[..., None], jnp.arange(7))
            mixed = ids // 2 + ids % 3 - (ids > 2) * 2
            rest = jnp.bitwise_and(ids, 3) + jnp.take(jnp.arange(10), ids) + jnp.floor_divide(ids, 2)
            return hot, mixed / 2, rest, jnp.maximum(ids, 2.5), ~(ids > 3), jnp.mean(ids, axis=-1)

    return free_case(Integers(), integers(3, 5, below=7))

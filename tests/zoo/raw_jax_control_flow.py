"""Branches, loops and `vmap` of JAX."""

import functools

import jax
import jax.numpy as jnp
import keras

from zoo.case import Case, case, floats, functional


class Weighted(keras.layers.Layer):
    """A layer with a square matrix."""

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(4, 4), initializer="random_normal")


@case
def jax_cond_and_switch():
    """`jax.lax.cond` with operands, `jax.lax.switch`."""

    class Choose(Weighted):
        def call(self, x):
            y = jax.lax.cond(jnp.sum(x) > -1e9, lambda a: a @ self.kernel, lambda a: a, x)
            index = (jnp.sum(x) < 1e9).astype("int32")
            return jax.lax.switch(index, [lambda a, b: a - b, lambda a, b: a * b], x, y)

    return Case(functional(Choose(), floats(3, 4)), floats(3, 4), needs_input=False)


@case
def jax_while_loop_of_a_dict():
    """`jax.lax.while_loop` carries a structure."""

    class Iterate(Weighted):
        def call(self, x):
            def body(state):
                return {"i": state["i"] + 1, "y": jnp.tanh(state["y"] @ self.kernel) + x}

            return jax.lax.while_loop(lambda state: state["i"] < 3, body, {"i": 0, "y": x})["y"]

    return Case(functional(Iterate(), floats(3, 4)), floats(3, 4), needs_input=False)


@case
def jax_fori_loop_and_map():
    """A loop with a free bound, and `jax.lax.map`."""

    class Iterate(Weighted):
        def call(self, x):
            y = jax.lax.fori_loop(0, 20, lambda i, y: jnp.tanh(y @ self.kernel) + x, x)
            return jax.lax.map(lambda row: row * jnp.max(row), y)

    return Case(functional(Iterate(), floats(3, 4)), floats(3, 4), needs_input=False)


@case
def jax_scan_with_a_pair():
    """`jax.lax.scan` carries a pair and gives a pair."""

    class Recurrent(Weighted):
        def call(self, x):
            def step(carry, row):
                h, total = carry
                h = jnp.tanh(h @ self.kernel + row)
                return (h, total + h), (h, row * 2.0)

            rows = jnp.swapaxes(x, 0, 1)
            start = jnp.zeros_like(rows[0])
            (h, total), (states, doubled) = jax.lax.scan(step, (start, start), rows)
            return h + total + states.sum(0) + doubled.mean(0)

    return Case(functional(Recurrent(), floats(3, 5, 4)), floats(3, 5, 4), needs_input=False)


@case
def jax_scan_without_elements():
    """`jax.lax.scan` of a number of steps."""

    class Recurrent(Weighted):
        def call(self, x):
            return jax.lax.scan(lambda h, _: (jnp.tanh(h @ self.kernel) + x, None), x, length=3)[0]

    return Case(functional(Recurrent(), floats(3, 4)), floats(3, 4), needs_input=False)


@case
def jax_vmap():
    """`jax.vmap` of a function of two arguments that uses a weight, and one over a constant."""

    class Rows(Weighted):
        def call(self, x):
            y = jax.vmap(lambda a, b: (a @ self.kernel) * b)(x, x + 1.0)
            shifts = jax.vmap(lambda i: x * i)(jnp.arange(3.0))
            return y + shifts.sum(0)

    return Case(functional(Rows(), floats(3, 4)), floats(3, 4), needs_input=False)


MADE_BEFORE = jax.vmap(jnp.multiply, in_axes=(1, None), out_axes=1)
"""A global of the module of the layer."""


@functools.partial(jax.vmap, in_axes=(0, 0, None))
def find(edges, values, side):
    """As the spline flows of bayesflow do: a string among the arguments, not mapped over."""
    return jnp.searchsorted(edges, values, side=side)


@case
def jax_vmap_of_all_kinds():
    """`jax.vmap` with axes, nested, of functions of `jnp` and partials, made in `call` and before."""

    class Columns(Weighted):
        def __init__(self):
            super().__init__()
            self.held = jax.vmap(functools.partial(jnp.sum, axis=0), in_axes=-1)

        def call(self, x):
            y = jax.vmap(jnp.cumsum, in_axes=1, out_axes=1)(x)
            y += MADE_BEFORE(x, jnp.float32(2.0))
            y += jax.vmap(lambda row, scale: row * scale["by"], in_axes=(0, {"by": None}))(x, {"by": x[0]})
            nested = jax.vmap(jax.vmap(lambda a, b: a * b, in_axes=(0, None)), in_axes=(0, 0))(x, x[:, 0])
            first, second = jax.vmap(lambda a: (jnp.tanh(a), a @ self.kernel), out_axes=(1, 0))(x)
            edges = jnp.cumsum(jnp.abs(x), axis=1)
            found = find(edges, x, "left") + find(edges, x, "right")
            return y + nested + first.T + second + self.held(x) + found.astype("float32")

    return Case(functional(Columns(), floats(3, 4)), floats(3, 4), needs_input=False)


@case
def jax_vmap_with_a_name():
    """`jax.vmap` with a name for collectives is not recorded: the layer stays whole."""

    @keras.saving.register_keras_serializable("zoo")
    class Named(keras.layers.Layer):
        def call(self, x):
            return jax.vmap(lambda row: row * 2.0, axis_name="rows")(x)

    model = functional(Named(), floats(3, 4))
    return Case(model, floats(3, 4), needs_input=False, expect_opaque=("Named",))

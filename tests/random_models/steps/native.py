"""Functions of the backend itself, which code that is for one backend calls.

They take dtypes as they are: under a mixed policy models of users fail here.
"""

from collections.abc import Callable

from tests.random_models.values import BATCH, Value
from tests.random_models.writing import Writer

ELEMENTWISE = {
    "tensorflow": (
        *(
            "tf.nn.relu({x})",
            "tf.math.tanh({x})",
            "tf.nn.gelu({x})",
            "{x} * tf.sigmoid({x})",
            "tf.abs({x}) + 1",
        ),
        *(
            "tf.where({x} > 0, {x}, tf.zeros_like({x}))",
            "tf.clip_by_value({x}, -1.0, 1.0)",
            "tf.identity({x})",
        ),
        *(
            "tf.cast(tf.cast({x}, tf.float16), tf.float32)",
            "tf.math.softplus({x})",
            "tf.stop_gradient({x}) + {x}",
        ),
        *("tf.math.divide_no_nan({x}, tf.abs({x}) + 1.0)", "tf.nn.leaky_relu({x})", "tf.square({x}) * 0.2"),
        *(
            "tf.add_n([{x}, {x}])",
            "tf.maximum({x}, 0.1)",
            "tf.constant(0.5) * {x}",
            "tf.math.rsqrt(1.0 + {x} ** 2)",
        ),
    ),
    "jax": (
        *(
            "jax.nn.relu({x})",
            "jnp.tanh({x})",
            "jax.nn.gelu({x})",
            "{x} * jax.nn.sigmoid({x})",
            "jnp.abs({x}) + 1",
        ),
        *(
            "jnp.where({x} > 0, {x}, jnp.zeros_like({x}))",
            "jnp.clip({x}, -1.0, 1.0)",
            "jax.lax.stop_gradient({x}) + {x}",
        ),
        *(
            "{x}.astype(jnp.float16).astype(jnp.float32)",
            "jax.nn.softplus({x})",
            "jax.nn.silu({x})",
            "jnp.square({x}) * 0.2",
        ),
        *(
            "jax.lax.add({x}, {x})",
            "jnp.maximum({x}, 0.1)",
            "jnp.float32(0.5) * {x}",
            "jax.lax.rsqrt(1.0 + {x} ** 2)",
        ),
        *("jax.jit(lambda v: v * 2)({x})", "jax.nn.leaky_relu({x})", "jax.checkpoint(jnp.tanh)({x})"),
    ),
    "torch": (
        *("torch.relu({x})", "torch.tanh({x})", "F.gelu({x})", "{x} * {x}.sigmoid()", "{x}.abs() + 1"),
        *("torch.where({x} > 0, {x}, torch.zeros_like({x}))", "{x}.clamp(-1.0, 1.0)", "{x}.detach() + {x}"),
        *("{x}.half().float()", "F.softplus({x})", "F.silu({x})", "{x}.pow(2) * 0.2", "{x}.contiguous()"),
        *("torch.add({x}, {x}, alpha=0.5)", "torch.maximum({x}, {x} * 0.1)", "torch.rsqrt(1.0 + {x} ** 2)"),
        *(
            "{x}.masked_fill({x} > 1, 0.5)",
            "F.leaky_relu({x})",
            "{x}.clone().mul_(0.5)",
            "torch.tensor(0.5) * {x}",
        ),
    ),
}
ALONG = {
    "tensorflow": (
        *(
            "{x} - tf.reduce_mean({x}, axis=-1, keepdims=True)",
            "tf.nn.softmax({x})",
            "tf.concat([{x}[..., 1:], {x}[..., :1]], -1)",
        ),
        *("tf.reverse({x}, [-1])", "tf.gather({x}, {order}, axis=-1)", "tf.cumsum({x}, axis=-1) * 0.2"),
        *(
            "tf.reshape(tf.reshape({x}, [-1, {n}]), tf.shape({x}))",
            "tf.math.l2_normalize({x} + 2.0, axis=-1)",
        ),
        *(
            "tf.stack(tf.unstack({x}, axis=-1), axis=-1)",
            "tf.concat(tf.split({x}, [1, {n} - 1], axis=-1), -1)",
        ),
        *("tf.sort({x}, axis=-1)", "tf.squeeze(tf.expand_dims({x}, 1), [1])", "tf.roll({x}, 1, axis=-1)"),
        *("{x} * tf.cast(tf.range({n}), {x}.dtype)", "tf.one_hot(tf.argmax({x}, -1), {n}) * {x}"),
        *("tf.linalg.matvec(tf.eye({n}), {x}) + tf.reduce_sum({x}, -1, True)",),
    ),
    "jax": (
        *(
            "{x} - jnp.mean({x}, axis=-1, keepdims=True)",
            "jax.nn.softmax({x})",
            "jnp.concatenate([{x}[..., 1:], {x}[..., :1]], -1)",
        ),
        *(
            "jnp.flip({x}, -1)",
            "{x}[..., ::-1] + jnp.take({x}, jnp.array({order}), axis=-1)",
            "jnp.cumsum({x}, axis=-1) * 0.2",
        ),
        *(
            "{x}.reshape(-1, {n}).reshape({x}.shape)",
            "{x} / (1 + jnp.linalg.norm({x}, axis=-1, keepdims=True))",
        ),
        *(
            "jnp.stack([{x}[..., i] for i in range({n})], axis=-1)",
            "jnp.concatenate(jnp.split({x}, [1], axis=-1), -1)",
        ),
        *("jnp.sort({x}, axis=-1)", "jnp.squeeze(jnp.expand_dims({x}, 1), 1)", "jnp.roll({x}, 1, axis=-1)"),
        *(
            "{x} * jnp.arange({n})",
            "jax.nn.one_hot(jnp.argmax({x}, -1), {n}) * {x}",
            "{x}.at[..., 0].set(0.5)",
        ),
        *(
            "{x}.at[..., 1:].multiply(2.0)",
            "jnp.einsum('...i,ij->...j', {x}, jnp.eye({n}))",
            "jax.nn.standardize({x})",
        ),
        *("jax.vmap(lambda v: v - v.mean())({x})", "{x} + {x}.sum(-1, keepdims=True)"),
    ),
    "torch": (
        *(
            "{x} - {x}.mean(dim=-1, keepdim=True)",
            "F.softmax({x}, dim=-1)",
            "torch.cat([{x}[..., 1:], {x}[..., :1]], -1)",
        ),
        *(
            "torch.flip({x}, [-1])",
            "{x}.index_select(-1, torch.tensor({order}))",
            "torch.cumsum({x}, dim=-1) * 0.2",
        ),
        *(
            "{x}.reshape(-1, {n}).view({x}.shape)",
            "F.normalize({x} + 2.0, dim=-1)",
            "torch.stack({x}.unbind(-1), -1)",
        ),
        *(
            "torch.cat({x}.split([1, {n} - 1], dim=-1), -1)",
            "{x}.sort(dim=-1).values",
            "{x}.unsqueeze(1).squeeze(1)",
        ),
        *(
            "{x} * torch.arange({n})",
            "torch.roll({x}, 1, -1)",
            "F.one_hot({x}.argmax(-1), {n}) * {x}",
            "{x}.flatten(1).view({x}.size())",
        ),
        *(
            "F.layer_norm({x}, ({n},))",
            "torch.einsum('...i,ij->...j', {x}, torch.eye({n}))",
            "{x}.transpose(0, -1).transpose(-1, 0)",
        ),
    ),
}
WITH_WEIGHT = {
    "tensorflow": (
        "tf.multiply({x}, {w})",
        "{x} + tf.reduce_mean({w})",
        "tf.nn.bias_add({x}, {w})",
        "tf.tanh({w}) * {x}",
    ),
    "jax": (
        "jnp.multiply({x}, {w}.value)",
        "{x} + jnp.mean({w}.value)",
        "{x} + jnp.asarray({w})",
        "jnp.tanh({w}.value) * {x}",
    ),
    "torch": (
        "torch.mul({x}, {w}.value)",
        "{x} + {w}.value.mean()",
        "{x} * {w}.value.sigmoid()",
        "torch.tanh({w}.value) * {x}",
    ),
}
ON_SEQUENCES = {
    "tensorflow": (
        *(
            "tf.transpose({x}, [0, 2, 1])",
            "tf.reduce_mean({x}, axis=1)",
            "tf.matmul({x}, {x}, transpose_b=True)",
        ),
        *(
            "{x} + tf.cast(tf.range(tf.shape({x})[1]), tf.float32)[:, tf.newaxis]",
            "tf.pad({x}, [[0, 0], [1, 0], [0, 0]])[:, :-1]",
        ),
        *(
            "tf.map_fn(lambda row: row * 0.5, {x})",
            "tf.tile(tf.reduce_max({x}, 1, keepdims=True), [1, tf.shape({x})[1], 1])",
        ),
        *("tf.cond(tf.reduce_sum({x}) > 0, lambda: {x} * 2.0, lambda: {x})",),
        *(
            "tf.while_loop(lambda i, h: i < 2, lambda i, h: (i + 1, h * 0.5), (0, {x}))[1]",
            "tf.einsum('btd->bdt', {x})",
        ),
    ),
    "jax": (
        *("jnp.transpose({x}, (0, 2, 1))", "{x}.mean(1)", "jnp.matmul({x}, {x}.swapaxes(1, 2))"),
        *("{x} + jnp.arange({x}.shape[1])[:, None]", "jnp.pad({x}, ((0, 0), (1, 0), (0, 0)))[:, :-1]"),
        *(
            "jax.lax.map(lambda row: row * 0.5, {x})",
            "jnp.tile({x}.max(1, keepdims=True), (1, {x}.shape[1], 1))",
        ),
        *("jax.lax.cond({x}.sum() > 0, lambda v: v * 2.0, lambda v: v, {x})",),
        *("jax.lax.fori_loop(0, 2, lambda i, h: h * 0.5, {x})", "jnp.einsum('btd->bdt', {x})"),
    ),
    "torch": (
        *("{x}.permute(0, 2, 1)", "{x}.mean(1)", "torch.bmm({x}, {x}.transpose(1, 2))"),
        *("{x} + torch.arange({x}.shape[1])[:, None]", "F.pad({x}, (0, 0, 1, 0))[:, :-1]"),
        *("{x}.view({x}.size(0), -1).view_as({x})", "{x}.amax(1, keepdim=True).expand(-1, {x}.shape[1], -1)"),
        *(
            "torch.cat([{x}[:, 1:], {x}[:, :1]], dim=1)",
            "{x}.repeat(1, 2, 1)[:, :{x}.shape[1]]",
            "torch.einsum('btd->bdt', {x})",
        ),
    ),
}


def _elementwise(backend: str) -> Callable[..., Value | None]:
    def elementwise(w: Writer, x: Value, number: int) -> Value | None:
        ways = ELEMENTWISE[backend]
        if not x.is_float or w.is_mixed:
            return None
        return w.value(ways[(number + 5 * w.block.owns) % len(ways)].format(x=x), x)

    return elementwise


def _along(backend: str) -> Callable[..., Value | None]:
    def along(w: Writer, x: Value, number: int) -> Value | None:
        if not x.is_features or x.width < 2 or w.is_mixed:
            return None
        way = ALONG[backend][(number + 5 * w.block.owns) % len(ALONG[backend])]
        return w.value(way.format(x=x, n=x.width, order=[*range(1, x.width), 0]), x)

    return along


def _with_weight(backend: str) -> Callable[..., Value | None]:
    def with_weight(w: Writer, x: Value, number: int) -> Value | None:
        if not x.is_features or w.is_mixed:
            return None
        ways = WITH_WEIGHT[backend]
        return w.value(ways[number % len(ways)].format(x=x, w=w.weight((x.width,))), x)

    return with_weight


def _on_sequence(backend: str) -> Callable[..., Value | None]:
    def on_sequence(w: Writer, x: Value, number: int) -> Value | None:
        if not x.is_sequence or w.is_mixed:
            return None
        index = number % len(ON_SEQUENCES[backend])
        shapes = {
            0: (BATCH, x.width, x.shape[1]),
            1: (BATCH, x.width),
            2: (BATCH, x.shape[1], x.shape[1]),
            9: (BATCH, x.width, x.shape[1]),
        }
        return w.value(ON_SEQUENCES[backend][index].format(x=x), x.of_shape(shapes.get(index, x.shape)))

    return on_sequence


NATIVE = {
    backend: {
        "elementwise": _elementwise(backend),
        "along": _along(backend),
        "with_weight": _with_weight(backend),
        "on_sequence": _on_sequence(backend),
    }
    for backend in ("tensorflow", "jax", "torch")
}
"""Each step by its name, by backend."""

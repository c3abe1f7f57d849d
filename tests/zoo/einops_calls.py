"""einops in `call`, with free sizes. The prepared models do not need it."""

import einops
import keras
from einops.layers.keras import Rearrange
from keras import layers, ops

from zoo.case import Case, case, case_since_keras, floats, integers


@case
def einops_attention():
    """Heads split and joined by `rearrange`, scores by `einops.einsum`."""

    class Attention(layers.Layer):
        def __init__(self):
            super().__init__()
            self.qkv = layers.Dense(24)

        def call(self, x):
            qkv = einops.rearrange(self.qkv(x), "b t (kind h d) -> kind b h t d", kind=3, h=2)
            q, k, v = qkv[0], qkv[1], qkv[2]
            scores = ops.softmax(einops.einsum(q, k, "b h i d, b h j d -> b h i j") / 2.0)
            mixed = einops.einsum(scores, v, "b h i j, b h j d -> b h i d")
            return einops.rearrange(mixed, "b h t d -> b t (h d)")

    return Case(keras.Sequential([Attention()]), floats(3, 5, 8))


# Before, PyTorch's `keras.ops.any` and `prod` count axes in a tensor that has lost some.
@case_since_keras("3.15", on="torch")
def einops_patches_and_pooling():
    """Images cut into patches; every reduction; axes of length one; an ellipsis."""

    class Patches(layers.Layer):
        def call(self, x):
            patches = einops.rearrange(x, "b (h p) (w q) c -> b (h w) (p q c)", p=2, q=2)
            pooled = [
                einops.reduce(x, "b (h p) (w q) c -> b h w c", kind, p=2, q=2)
                for kind in ("max", "min", "mean", "sum", "prod")
            ]
            centred = x - einops.reduce(x, "b h w c -> b 1 1 c", "mean")
            signs = einops.reduce(x > 0, "b ... c -> b c", "any"), einops.reduce(x > 0, "b ... -> b", "all")
            custom = einops.reduce(x, "b h w c -> b c", lambda y, axes: ops.var(y, axis=axes))
            return patches, pooled, centred, signs, custom, einops.rearrange(x, "b ... c -> (b ...) c")

    return Case(keras.Sequential([Patches()]), floats(3, 4, 6, 2))


@case
def einops_repeat_and_pack():
    """New axes, also of free length; several tensors packed into one and unpacked again."""

    class Repeated(layers.Layer):
        def call(self, x):
            length = ops.shape(x)[1]
            repeated = einops.repeat(x, "b t c -> b t r c", r=3)
            tiled = einops.repeat(x[:, 0], "b c -> b t c", t=length) + einops.repeat(
                x, "b t c -> b t (c k)", k=1
            )
            packed, shapes = einops.pack([x, x[:, 0], x[:, :, None]], "b * c")
            first, second, third = einops.unpack(packed * 2.0, shapes, "b * c")
            stacked = einops.rearrange([x, x + 1.0], "k b t c -> b t (k c)")
            return repeated, tiled, packed, first, second, third, stacked

    return Case(keras.Sequential([Repeated()]), floats(3, 5, 4))


@case
def einops_layer():
    """The layer of einops for Keras is one of other code, and is opened."""
    return Case(
        keras.Sequential([Rearrange("b (t k) c -> b t (k c)", k=2), layers.Dense(3)]), floats(3, 4, 5)
    )


@case
def einops_integers():
    """The largest of some integers, and their order."""

    class Integers(layers.Layer):
        def call(self, ids):
            pairs = einops.rearrange(ids, "b (t k) -> b t k", k=2)
            return einops.reduce(pairs, "b t k -> b k", "max"), einops.repeat(ids, "b t -> (b r) t", r=2)

    return Case(keras.Sequential([Integers()]), integers(3, 6, below=7))

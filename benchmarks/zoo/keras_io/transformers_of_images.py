"""Classifiers of images that are made of attention."""

import keras
import numpy as np
from keras import layers, ops

from benchmarks.zoo.example import BATCH, LARGER_BATCH, Example, Tensor, normal, of_functional, positive


def mlp(x, widths, dropout):
    for width in widths:
        x = layers.Dense(width, activation=keras.activations.gelu)(x)
        x = layers.Dropout(dropout)(x)
    return x


def of_an_image(model) -> Example:
    """An example with pixels between 0 and 1."""
    return of_functional(model, values={model.inputs[0].name: positive(0.3)})


# Vision transformer


class Patches(layers.Layer):
    """Cuts images into squares."""

    def __init__(self, patch_size):
        super().__init__()
        self.patch_size = patch_size

    def call(self, images):
        batch, height, width, channels = ops.shape(images)
        patches = ops.image.extract_patches(images, size=self.patch_size)
        count = (height // self.patch_size) * (width // self.patch_size)
        return ops.reshape(patches, (batch, count, self.patch_size * self.patch_size * channels))

    def get_config(self):
        return {**super().get_config(), "patch_size": self.patch_size}


class PatchEncoder(layers.Layer):
    """Projects patches, and adds an embedding of their place."""

    def __init__(self, num_patches, width):
        super().__init__()
        self.num_patches = num_patches
        self.projection = layers.Dense(width)
        self.position_embedding = layers.Embedding(num_patches, width)

    def call(self, patch):
        positions = ops.expand_dims(ops.arange(0, self.num_patches, 1), axis=0)
        return self.projection(patch) + self.position_embedding(positions)

    def get_config(self):
        return {**super().get_config(), "num_patches": self.num_patches}


def kio_vision_transformer() -> Example:
    """vision/image_classification_with_vision_transformer."""
    augmentation = keras.Sequential(
        [
            layers.Normalization(mean=0.4, variance=0.1),
            layers.Resizing(18, 18),
            layers.RandomFlip("horizontal"),
            layers.RandomRotation(factor=0.02),
            layers.RandomZoom(height_factor=0.2, width_factor=0.2),
        ],
        name="data_augmentation",
    )
    inputs = keras.Input((16, 16, 3))
    encoded = PatchEncoder(9, 16)(Patches(6)(augmentation(inputs)))
    for _ in range(2):
        x1 = layers.LayerNormalization(epsilon=1e-6)(encoded)
        x2 = layers.Add()([layers.MultiHeadAttention(2, 8, dropout=0.1)(x1, x1), encoded])
        x3 = mlp(layers.LayerNormalization(epsilon=1e-6)(x2), [32, 16], 0.1)
        encoded = layers.Add()([x3, x2])
    x = layers.Flatten()(layers.LayerNormalization(epsilon=1e-6)(encoded))
    x = mlp(layers.Dropout(0.5)(x), [32, 16], 0.5)
    return of_an_image(keras.Model(inputs, layers.Dense(3)(x), name="vit"))


# Compact convolutional transformer


class ConvolutionalTokenizer(layers.Layer):
    """Tokens by convolutions; it makes the embedding of their places for whom it may concern."""

    def __init__(self, widths, **kwargs):
        super().__init__(**kwargs)
        self.stem = keras.Sequential()
        for width in widths:
            self.stem.add(layers.Conv2D(width, 3, padding="valid", use_bias=False, activation="relu"))
            self.stem.add(layers.ZeroPadding2D(1))
            self.stem.add(layers.MaxPooling2D(3, 2, padding="same"))

    def call(self, images):
        x = self.stem(images)
        return ops.reshape(x, (-1, ops.shape(x)[1] * ops.shape(x)[2], ops.shape(x)[-1]))


class PositionEmbedding(layers.Layer):
    """A weight for each place, made when the number of places is known."""

    def build(self, input_shape):
        shape = (input_shape[-2], input_shape[-1])
        self.position_embeddings = self.add_weight(
            name="embeddings", shape=shape, initializer="glorot_uniform", trainable=True
        )
        self.built = True

    def call(self, inputs, start_index=0):
        shape = ops.shape(inputs)
        length, width = shape[-2], shape[-1]
        embeddings = ops.convert_to_tensor(self.position_embeddings)
        embeddings = ops.slice(embeddings, (start_index, 0), (length, width))
        return ops.broadcast_to(embeddings, shape)


class SequencePooling(layers.Layer):
    """The mean of the tokens, weighted by what attention says of each."""

    def __init__(self):
        super().__init__()
        self.attention = layers.Dense(1)

    def call(self, x):
        weights = ops.transpose(ops.softmax(self.attention(x), axis=1), axes=(0, 2, 1))
        return ops.squeeze(ops.matmul(weights, x), axis=-2)


class StochasticDepth(layers.Layer):
    """Drops whole rows in training."""

    def __init__(self, drop_rate, **kwargs):
        super().__init__(**kwargs)
        self.drop_rate = drop_rate
        self.seed_generator = keras.random.SeedGenerator(1337)

    def call(self, x, training=None):
        if training:
            keep = 1 - self.drop_rate
            shape = (ops.shape(x)[0],) + (1,) * (len(x.shape) - 1)
            random = keep + keras.random.uniform(shape, 0, 1, seed=self.seed_generator)
            return (x / keep) * ops.floor(random)
        return x


def kio_compact_convolutional_transformer() -> Example:
    """vision/cct."""
    inputs = keras.Input((16, 16, 3))
    x = layers.RandomFlip("horizontal")(layers.Rescaling(1.0 / 255)(inputs))
    encoded = ConvolutionalTokenizer((8, 16))(x)
    encoded = encoded + PositionEmbedding()(encoded)
    for rate in np.linspace(0, 0.3, 2):
        x1 = layers.LayerNormalization(epsilon=1e-5)(encoded)
        attended = layers.MultiHeadAttention(2, 16, dropout=0.1)(x1, x1)
        x2 = layers.Add()([StochasticDepth(rate)(attended), encoded])
        x3 = mlp(layers.LayerNormalization(epsilon=1e-5)(x2), [16, 16], 0.1)
        encoded = layers.Add()([StochasticDepth(rate)(x3), x2])
    x = SequencePooling()(layers.LayerNormalization(epsilon=1e-5)(encoded))
    return of_an_image(keras.Model(inputs, layers.Dense(3)(x), name="cct"))


# Class attention in image transformers


class LayerScale(layers.Layer):
    """A factor for each channel, close to zero at first."""

    def __init__(self, initial, width, **kwargs):
        super().__init__(**kwargs)
        self.gamma = self.add_weight(
            shape=(width,), initializer=keras.initializers.Constant(initial), name="gamma"
        )

    def call(self, x, training=False):
        return x * self.gamma


class ClassAttention(layers.Layer):
    """The class token asks all tokens; the weights of its attention come out as well."""

    def __init__(self, width, heads, dropout, **kwargs):
        super().__init__(**kwargs)
        self.heads = heads
        self.scale = (width // heads) ** -0.5
        self.q, self.k, self.v = (layers.Dense(width) for _ in range(3))
        self.attention_dropout = layers.Dropout(dropout)
        self.projection = layers.Dense(width)

    def call(self, x, training=False):
        batch, count, width = ops.shape(x)[0], ops.shape(x)[1], ops.shape(x)[-1]
        q = ops.expand_dims(self.q(x[:, 0]), axis=1)
        q = ops.transpose(ops.reshape(q, (batch, 1, self.heads, width // self.heads)), (0, 2, 1, 3))
        k = ops.reshape(self.k(x), (batch, count, self.heads, width // self.heads))
        v = ops.reshape(self.v(x), (batch, count, self.heads, width // self.heads))
        k, v = ops.transpose(k, (0, 2, 3, 1)), ops.transpose(v, (0, 2, 1, 3))
        attention = ops.softmax(ops.matmul(q * self.scale, k), -1)
        attention = self.attention_dropout(attention, training=training)
        token = ops.reshape(ops.transpose(ops.matmul(attention, v), (0, 2, 1, 3)), (batch, 1, width))
        return self.projection(token), attention


class TalkingHeads(layers.Layer):
    """Attention whose heads mix their weights, before the softmax and after it."""

    def __init__(self, width, heads, **kwargs):
        super().__init__(**kwargs)
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.qkv = layers.Dense(width * 3)
        self.before, self.after = layers.Dense(heads), layers.Dense(heads)
        self.projection = layers.Dense(width)

    def call(self, x, training=False):
        batch, count, width = ops.shape(x)[0], ops.shape(x)[1], ops.shape(x)[-1]
        qkv = ops.reshape(self.qkv(x), (batch, count, 3, self.heads, width // self.heads))
        qkv = ops.transpose(qkv, (2, 0, 3, 1, 4))
        q, k, v = qkv[0] * self.scale, qkv[1], qkv[2]
        attention = ops.matmul(q, ops.transpose(k, (0, 1, 3, 2)))
        attention = self.before(ops.transpose(attention, (0, 2, 3, 1)))
        attention = ops.softmax(ops.transpose(attention, (0, 3, 1, 2)), axis=-1)
        attention = ops.transpose(self.after(ops.transpose(attention, (0, 2, 3, 1))), (0, 3, 1, 2))
        x = ops.transpose(ops.matmul(attention, v), (0, 2, 1, 3))
        return self.projection(ops.reshape(x, (batch, count, width))), attention


class CaiT(keras.Model):
    """Talking heads for the patches, then class attention; gives logits and two dicts of weights."""

    def __init__(self, width=16, heads=2, depth=2, patches=16, **kwargs):
        super().__init__(**kwargs)
        self.cut = keras.Sequential(
            [layers.Conv2D(width, 4, strides=4, padding="VALID"), layers.Reshape((-1, width))]
        )
        self.cls_token = self.add_weight(shape=(1, 1, width), initializer="normal", name="cls_token")
        self.pos_embed = self.add_weight(shape=(1, patches, width), initializer="normal", name="pos_embed")
        self.pos_drop = layers.Dropout(0.1)
        rates = [float(r) for r in np.linspace(0.0, 0.2, depth)]
        self.blocks = [self.part(TalkingHeads(width, heads), width, rate) for rate in rates]
        self.token_blocks = [self.part(ClassAttention(width, heads, 0.1), width, 0.0)]
        self.norm, self.head = layers.LayerNormalization(epsilon=1e-6), layers.Dense(3)

    def part(self, attention, width, rate):
        feed_forward = keras.Sequential([layers.Dense(2 * width, activation="gelu"), layers.Dense(width)])
        return {
            "norms": [layers.LayerNormalization(epsilon=1e-6) for _ in range(2)],
            "attention": attention,
            "mlp": feed_forward,
            "scales": [LayerScale(1e-2, width) for _ in range(2)],
            "depth": StochasticDepth(rate),
        }

    def patches_attended(self, x, part, training):
        attended, weights = part["attention"](part["norms"][0](x), training=training)
        x = x + part["depth"](part["scales"][0](attended), training=training)
        return x + part["depth"](part["scales"][1](part["mlp"](part["norms"][1](x)))), weights

    def token_attended(self, token, x, part, training):
        joined = ops.concatenate([token, x], axis=1)
        attended, weights = part["attention"](part["norms"][0](joined), training=training)
        token = token + part["scales"][0](attended)
        return token + part["scales"][1](part["mlp"](part["norms"][1](token))), weights

    def call(self, x, training=False):
        x = self.cut(x)
        token = ops.tile(self.cls_token, (ops.shape(x)[0], 1, 1))
        x = self.pos_drop(x + self.pos_embed, training=training)
        weights, token_weights = {}, {}
        for i, part in enumerate(self.blocks):
            x, weights[f"sa_ffn_{i}"] = self.patches_attended(x, part, training)
        for i, part in enumerate(self.token_blocks):
            token, token_weights[f"ca_ffn_{i}"] = self.token_attended(token, x, part, training)
        x = self.norm(ops.concatenate([token, x], axis=1))
        return self.head(x[:, 0]), weights, token_weights


def kio_cait() -> Example:
    """vision/cait."""
    return Example(CaiT(name="cait"), (Tensor((BATCH, 16, 16, 3), normal()),))


# Perceiver


class Perceiver(keras.Model):
    """A latent array asks the patches, and then itself; the same blocks in every round."""

    def __init__(self, width=16, latents=4, rounds=2):
        super().__init__()
        self.patch_encoder = PatchEncoder(16, width)
        self.latents, self.width, self.rounds = latents, width, rounds

    def build(self, input_shape):
        self.latent_array = self.add_weight(
            shape=(self.latents, self.width), initializer="random_normal", trainable=True, name="latents"
        )
        self.patcher = Patches(4)
        self.cross_attention = self.cross_attention_module()
        self.transformer = self.transformer_module()
        self.pooling, self.head = layers.GlobalAveragePooling1D(), layers.Dense(3, name="head")
        super().build(input_shape)

    def cross_attention_module(self):
        inputs = {
            "latent_array": keras.Input((self.latents, self.width), name="latent_array"),
            "data_array": keras.Input((16, self.width), name="data_array"),
        }
        latent = layers.LayerNormalization(epsilon=1e-6)(inputs["latent_array"])
        data = layers.LayerNormalization(epsilon=1e-6)(inputs["data_array"])
        query, key, value = (layers.Dense(self.width)(x) for x in (latent, data, data))
        attended = layers.Attention(use_scale=True, dropout=0.1)([query, key, value])
        x = layers.LayerNormalization(epsilon=1e-6)(layers.Add()([attended, latent]))
        return keras.Model(inputs, layers.Add()([mlp(x, [self.width], 0.1), x]))

    def transformer_module(self):
        inputs = keras.Input((self.latents, self.width))
        x0 = inputs
        for _ in range(2):
            x1 = layers.LayerNormalization(epsilon=1e-6)(x0)
            x2 = layers.Add()([layers.MultiHeadAttention(2, self.width, dropout=0.1)(x1, x1), x0])
            x3 = mlp(layers.LayerNormalization(epsilon=1e-6)(x2), [self.width], 0.1)
            x0 = layers.Add()([x3, x2])
        return keras.Model(inputs, x0)

    def call(self, inputs):
        data = self.patch_encoder(self.patcher(inputs))
        latents = ops.expand_dims(self.latent_array, 0)
        for _ in range(self.rounds):
            latents = self.cross_attention({"latent_array": latents, "data_array": data})
            latents = self.transformer(latents)
        return self.head(self.pooling(latents))


def kio_perceiver() -> Example:
    """vision/perceiver_image_classification."""
    return Example(Perceiver(), (Tensor((LARGER_BATCH, 16, 16, 3), normal()),))

"""Models of frames and of letters: video, captchas, handwriting, captions."""

import keras
import numpy as np
from keras import layers, ops

from benchmarks.zoo.example import (
    BATCH,
    LARGER_BATCH,
    Axis,
    Example,
    Tensor,
    integers,
    normal,
    of_functional,
)
from benchmarks.zoo.keras_io.generation import ON_TENSORFLOW, images

# Video vision transformer


class TubeletEmbedding(layers.Layer):
    """Blocks of space and time become tokens."""

    def __init__(self, embed_dim, patch_size, **kwargs):
        super().__init__(**kwargs)
        self.projection = layers.Conv3D(embed_dim, patch_size, strides=patch_size, padding="VALID")
        self.flatten = layers.Reshape(target_shape=(-1, embed_dim))

    def call(self, videos):
        return self.flatten(self.projection(videos))


class PositionalEncoder(layers.Layer):
    """Adds an embedding of the place of each token, which `build` counts."""

    def __init__(self, embed_dim, **kwargs):
        super().__init__(**kwargs)
        self.embed_dim = embed_dim

    def build(self, input_shape):
        _, num_tokens, _ = input_shape
        self.position_embedding = layers.Embedding(num_tokens, self.embed_dim)
        self.position_embedding.build(None)
        self.positions = ops.arange(0, num_tokens, 1)

    def call(self, encoded_tokens):
        return encoded_tokens + self.position_embedding(self.positions)


def kio_video_vision_transformer() -> Example:
    """vision/vivit."""
    inputs = keras.Input((4, 8, 8, 1))
    encoded = PositionalEncoder(8)(TubeletEmbedding(8, (2, 4, 4))(inputs))
    for _ in range(2):
        x1 = layers.LayerNormalization(epsilon=1e-6)(encoded)
        x2 = layers.Add()([layers.MultiHeadAttention(2, key_dim=4, dropout=0.1)(x1, x1), encoded])
        x3 = layers.LayerNormalization(epsilon=1e-6)(x2)
        ffn = [layers.Dense(units=16, activation=ops.gelu), layers.Dense(units=8, activation=ops.gelu)]
        encoded = layers.Add()([keras.Sequential(ffn)(x3), x2])
    x = layers.GlobalAvgPool1D()(layers.LayerNormalization(epsilon=1e-6)(encoded))
    outputs = layers.Dense(units=3, activation="softmax")(x)
    return of_functional(keras.Model(inputs, outputs, name="vivit"), batch=LARGER_BATCH)


# Frames through a CNN, then an RNN or a transformer


class FrameEmbedding(layers.Layer):
    """Adds the place of a frame, and tells which frames are there."""

    def __init__(self, sequence_length, output_dim, **kwargs):
        super().__init__(**kwargs)
        self.sequence_length, self.output_dim = sequence_length, output_dim
        self.position_embeddings = layers.Embedding(input_dim=sequence_length, output_dim=output_dim)

    def build(self, input_shape):
        self.position_embeddings.build(input_shape)

    def call(self, inputs):
        inputs = ops.cast(inputs, self.compute_dtype)
        positions = ops.arange(start=0, stop=ops.shape(inputs)[1], step=1)
        return inputs + self.position_embeddings(positions)

    def compute_mask(self, inputs, mask=None):
        return ops.any(ops.cast(inputs, "bool"), axis=-1)


class FrameEncoder(layers.Layer):
    """A block of a transformer that hands its mask to the attention."""

    def __init__(self, embed_dim, dense_dim, num_heads, **kwargs):
        super().__init__(**kwargs)
        self.attention = layers.MultiHeadAttention(num_heads, embed_dim, dropout=0.3)
        self.dense_proj = keras.Sequential(
            [layers.Dense(dense_dim, activation=keras.activations.gelu), layers.Dense(embed_dim)]
        )
        self.first, self.second = layers.LayerNormalization(), layers.LayerNormalization()
        self.supports_masking = True

    def call(self, inputs, mask=None):
        attention_mask = mask[:, None, :] if mask is not None else None
        x = self.first(inputs + self.attention(inputs, inputs, attention_mask=attention_mask))
        return self.second(x + self.dense_proj(x))


def some_frames_missing(shape):
    frames = normal()(shape)
    frames[0, -2:] = 0.0
    return frames


def kio_video_transformer() -> Example:
    """vision/video_transformers; frames of nothing but zeros are padding."""
    inputs = keras.Input((None, 6))
    x = FrameEncoder(6, 4, 2)(FrameEmbedding(12, 6)(inputs))
    x = layers.Dropout(0.5)(layers.GlobalMaxPooling1D()(x))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(x), name="video_transformer")
    frames = Tensor((LARGER_BATCH, Axis("frames", 6, others=(4, 12)), 6), some_frames_missing)
    return Example(model, (frames,), knows_inputs=True)


def kio_video_cnn_rnn() -> Example:
    """vision/video_classification, with the network of the frames inside."""
    frames = keras.Input((None, 8, 8, 3), name="frames")
    mask = keras.Input((None,), dtype="bool", name="mask")
    network = keras.Sequential([layers.Conv2D(4, 3, activation="relu"), layers.GlobalAveragePooling2D()])
    x = layers.TimeDistributed(network)(frames)
    x = layers.GRU(8, return_sequences=True)(x, mask=mask)
    x = layers.Dropout(0.4)(layers.GRU(4)(x))
    outputs = layers.Dense(3, activation="softmax")(layers.Dense(8, activation="relu")(x))
    model = keras.Model([frames, mask], outputs, name="cnn_rnn")
    time = (Axis("time", 5, others=(3, 7)),)
    return of_functional(model, {"": time}, values={"mask": lengths}, batch=LARGER_BATCH)


def lengths(shape):
    mask = np.ones(shape, "bool")
    mask[-1, -2:] = False
    return mask


# Captcha reader


class CtcLayer(layers.Layer):
    """Adds the loss of all ways to align the labels, and hands the predictions on."""

    def __init__(self, name=None):
        super().__init__(name=name)
        self.loss_fn = ops.ctc_loss

    def call(self, y_true, y_pred):
        batch_len = ops.shape(y_true)[0]
        input_length = ops.cast(ops.shape(y_pred)[1], dtype="int32")
        label_length = ops.cast(ops.shape(y_true)[1], dtype="int32")
        input_length = input_length * ops.ones(shape=(batch_len,), dtype="int32")
        label_length = label_length * ops.ones(shape=(batch_len,), dtype="int32")
        logits = ops.log(y_pred + keras.config.epsilon())
        loss = self.loss_fn(y_true, logits, label_length, input_length, mask_index=0)
        self.add_loss(ops.mean(loss))
        return y_pred


def letters(shape):
    return 1 + integers(5)(shape)


def kio_captcha_ocr() -> Example:
    """vision/captcha_ocr: a network with its own CTC layer, which `fit` needs no loss for."""
    image = keras.Input((16, 8, 1), name="image")
    labels = keras.Input((3,), name="label", dtype="int32")
    x = layers.Conv2D(4, 3, activation="relu", kernel_initializer="he_normal", padding="same")(image)
    x = layers.MaxPooling2D((2, 2))(x)
    x = layers.Dropout(0.2)(layers.Dense(8, activation="relu")(layers.Reshape((8, 16))(x)))
    x = layers.Bidirectional(layers.LSTM(8, return_sequences=True, dropout=0.25))(x)
    x = layers.Bidirectional(layers.LSTM(4, return_sequences=True, dropout=0.25))(x)
    x = layers.Dense(6 + 1, activation="softmax", name="dense2")(x)
    outputs = CtcLayer(name="ctc_loss")(labels, x)
    model = keras.Model(inputs=[image, labels], outputs=outputs, name="ocr_model")

    def own_step(model):
        model.compile(optimizer=keras.optimizers.SGD(0.01))
        pixels = images(4, 16, 1)[:, :, :8]
        return model.fit([pixels, letters((4, 3))], batch_size=2, shuffle=False, verbose=0).history

    return of_functional(model, values={"label": letters}, batch=LARGER_BATCH, own_step=own_step)


# Image captioning


class CaptionEmbedding(layers.Layer):
    """Embeds words and places, and makes the mask of the words."""

    def __init__(self, sequence_length, vocab_size, embed_dim, **kwargs):
        super().__init__(**kwargs)
        self.token_embeddings = layers.Embedding(vocab_size, embed_dim)
        self.position_embeddings = layers.Embedding(sequence_length, embed_dim)
        self.embed_scale = ops.sqrt(ops.cast(embed_dim, "float32"))

    def call(self, inputs):
        length = ops.shape(inputs)[-1]
        embedded = self.token_embeddings(inputs) * self.embed_scale
        return embedded + self.position_embeddings(ops.arange(0, length, 1))

    def compute_mask(self, inputs, mask=None):
        return ops.not_equal(inputs, 0)


class CaptionEncoder(layers.Layer):
    """A block of a transformer over the features of the image."""

    def __init__(self, embed_dim, num_heads, **kwargs):
        super().__init__(**kwargs)
        self.attention = layers.MultiHeadAttention(num_heads, embed_dim, dropout=0.0)
        self.first, self.second = layers.LayerNormalization(), layers.LayerNormalization()
        self.dense = layers.Dense(embed_dim, activation="relu")

    def call(self, inputs, training, mask=None):
        inputs = self.dense(self.first(inputs))
        attended = self.attention(
            query=inputs, value=inputs, key=inputs, attention_mask=None, training=training
        )
        return self.second(inputs + attended)


class CaptionDecoder(layers.Layer):
    """Words look back at words, then at the image; the causal mask is made by comparison of ranges."""

    def __init__(self, embed_dim, ff_dim, num_heads, vocab_size, **kwargs):
        super().__init__(**kwargs)
        self.attention_1, self.attention_2 = (
            layers.MultiHeadAttention(num_heads, embed_dim, dropout=0.1) for _ in range(2)
        )
        self.ffn_1, self.ffn_2 = layers.Dense(ff_dim, activation="relu"), layers.Dense(embed_dim)
        self.norms = [layers.LayerNormalization() for _ in range(3)]
        self.embedding = CaptionEmbedding(12, vocab_size, embed_dim)
        self.out = layers.Dense(vocab_size, activation="softmax")
        self.dropout_1, self.dropout_2 = layers.Dropout(0.3), layers.Dropout(0.5)
        self.supports_masking = True

    def call(self, inputs, encoder_outputs, training, mask=None):
        inputs = self.embedding(inputs)
        causal_mask = self.causal_attention_mask(inputs)
        combined_mask, padding_mask = causal_mask, None
        if mask is not None:
            padding_mask = ops.cast(mask[:, :, None], dtype="int32")
            combined_mask = ops.minimum(ops.cast(mask[:, None, :], dtype="int32"), causal_mask)
        attended = self.attention_1(
            query=inputs, value=inputs, key=inputs, attention_mask=combined_mask, training=training
        )
        out_1 = self.norms[0](inputs + attended)
        attended = self.attention_2(
            query=out_1,
            value=encoder_outputs,
            key=encoder_outputs,
            attention_mask=padding_mask,
            training=training,
        )
        out_2 = self.norms[1](out_1 + attended)
        ffn_out = self.ffn_2(self.dropout_1(self.ffn_1(out_2), training=training))
        ffn_out = self.norms[2](ffn_out + out_2, training=training)
        return self.out(self.dropout_2(ffn_out, training=training))

    def causal_attention_mask(self, inputs):
        batch_size, sequence_length = ops.shape(inputs)[0], ops.shape(inputs)[1]
        i = ops.arange(sequence_length)[:, None]
        j = ops.arange(sequence_length)
        mask = ops.reshape(ops.cast(i >= j, dtype="int32"), (1, sequence_length, sequence_length))
        return ops.tile(mask, [batch_size, 1, 1])


class ImageCaptioning(keras.Model):
    """Trains on the words that follow, each word of padding left out of loss and accuracy."""

    def __init__(self, cnn_model, encoder, decoder):
        super().__init__(name="captioning")
        self.cnn_model, self.encoder, self.decoder = cnn_model, encoder, decoder
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.acc_tracker = keras.metrics.Mean(name="accuracy")

    def call(self, inputs, training=None):
        images, words = inputs
        encoded = self.encoder(self.cnn_model(images), training=False)
        return self.decoder(words, encoded, training=training, mask=ops.not_equal(words, 0))

    @property
    def metrics(self):
        return [self.loss_tracker, self.acc_tracker]

    def train_step(self, data):
        import tensorflow as tf

        ((batch_img, batch_seq),) = data
        wanted = batch_seq[:, 1:]
        mask = ops.cast(ops.not_equal(wanted, 0), "float32")
        with tf.GradientTape() as tape:
            told = self([batch_img, batch_seq[:, :-1]], training=True)
            loss = self.loss(wanted, told) * mask
            loss = ops.sum(loss) / ops.sum(mask)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        right = ops.cast(ops.equal(ops.cast(wanted, "int64"), ops.argmax(told, axis=2)), "float32")
        self.loss_tracker.update_state(loss)
        self.acc_tracker.update_state(ops.sum(right * mask) / ops.sum(mask))
        return {"loss": self.loss_tracker.result(), "acc": self.acc_tracker.result()}


def words(shape):
    drawn = 1 + integers(9)(shape)
    drawn[-1, -2:] = 0
    return drawn


def kio_image_captioning() -> Example:
    """vision/image_captioning."""
    cnn = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(6, 3, strides=2), layers.Reshape((-1, 6))])
    model = ImageCaptioning(cnn, CaptionEncoder(8, 1), CaptionDecoder(8, 16, 2, 10))

    def own_step(model):
        import tensorflow as tf

        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=False, reduction=None)
        model.compile(optimizer=keras.optimizers.SGD(0.01), loss=loss)
        pairs = tf.data.Dataset.from_tensor_slices(((images(4, 8, 3), words((4, 7))),))
        return model.fit(pairs.batch(2), verbose=0).history

    given = [Tensor((BATCH, 8, 8, 3), normal()), Tensor((BATCH, Axis("words", 6, others=(4, 11))), words)]
    own = own_step if ON_TENSORFLOW else None
    return Example(model, (given,), own_step=own, has_own_step=True)


# Volumes


def kio_volumes() -> Example:
    """vision/3D_image_classification."""
    inputs = keras.Input((16, 16, 8, 1))
    x = inputs
    for width in (4, 8):
        x = layers.Conv3D(filters=width, kernel_size=3, activation="relu", padding="same")(x)
        x = layers.BatchNormalization()(layers.MaxPool3D(pool_size=2)(x))
    x = layers.Dense(units=8, activation="relu")(layers.GlobalAveragePooling3D()(x))
    outputs = layers.Dense(units=1, activation="sigmoid")(layers.Dropout(0.3)(x))
    return of_functional(keras.Model(inputs, outputs, name="volumes"))

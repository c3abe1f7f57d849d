"""Speech: what is said and who says it, from spectrograms and waves."""

from __future__ import annotations

import keras
from keras import layers, ops

from benchmarks.zoo.example import BATCH, Axis, Example, Tensor, integers, normal, of_functional
from benchmarks.zoo.keras_io.text_classification import TransformerBlock

ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
"""Where the steps of most examples work: they are written with `tf.GradientTape`."""

# audio/transformer_asr


class TokenEmbedding(layers.Layer):
    """The tokens that were said, at their positions."""

    def __init__(self, num_vocab=12, maxlen=16, num_hid=8):
        super().__init__()
        self.emb = layers.Embedding(num_vocab, num_hid)
        self.pos_emb = layers.Embedding(input_dim=maxlen, output_dim=num_hid)

    def call(self, x):
        maxlen = ops.shape(x)[-1]
        return self.emb(x) + self.pos_emb(ops.arange(0, maxlen, 1))


class SpeechFeatureEmbedding(layers.Layer):
    """Three convolutions, each of which halves the time."""

    def __init__(self, num_hid=8):
        super().__init__()
        self.conv1, self.conv2, self.conv3 = (
            layers.Conv1D(num_hid, 5, strides=2, padding="same", activation="relu") for _ in range(3)
        )

    def call(self, x):
        return self.conv3(self.conv2(self.conv1(x)))


class SpeechDecoder(layers.Layer):
    """Looks at the tokens before, then at the sounds."""

    def __init__(self, embed_dim, num_heads, feed_forward_dim, dropout_rate=0.1):
        super().__init__()
        self.layernorm1, self.layernorm2, self.layernorm3 = (
            layers.LayerNormalization(epsilon=1e-6) for _ in range(3)
        )
        self.self_att = layers.MultiHeadAttention(num_heads=num_heads, key_dim=embed_dim)
        self.enc_att = layers.MultiHeadAttention(num_heads=num_heads, key_dim=embed_dim)
        self.self_dropout = layers.Dropout(0.5)
        self.enc_dropout, self.ffn_dropout = layers.Dropout(0.1), layers.Dropout(0.1)
        self.ffn = keras.Sequential(
            [layers.Dense(feed_forward_dim, activation="relu"), layers.Dense(embed_dim)]
        )

    def causal_attention_mask(self, batch_size, n_dest, n_src, dtype):
        i, j = ops.arange(n_dest)[:, None], ops.arange(n_src)
        mask = ops.reshape(ops.cast(i >= j - n_src + n_dest, dtype), [1, n_dest, n_src])
        return ops.tile(mask, [batch_size, 1, 1])

    def call(self, enc_out, target):
        batch_size, seq_len = ops.shape(target)[0], ops.shape(target)[1]
        mask = self.causal_attention_mask(batch_size, seq_len, seq_len, "bool")
        attended = self.self_att(target, target, attention_mask=mask)
        target_norm = self.layernorm1(target + self.self_dropout(attended))
        enc_out = self.enc_att(target_norm, enc_out)
        enc_out_norm = self.layernorm2(self.enc_dropout(enc_out) + target_norm)
        ffn_out = self.ffn(enc_out_norm)
        return self.layernorm3(enc_out_norm + self.ffn_dropout(ffn_out))


class SpeechTransformer(keras.Model):
    """Its layers of the decoder are attributes set by name; its steps shift the target by one."""

    def __init__(self, num_hid=8, num_head=2, num_feed_forward=16, layers_enc=2, layers_dec=1, classes=12):
        super().__init__()
        self.loss_metric = keras.metrics.Mean(name="loss")
        self.num_layers_dec, self.num_classes = layers_dec, classes
        self.enc_input = SpeechFeatureEmbedding(num_hid)
        self.dec_input = TokenEmbedding(classes, 16, num_hid)
        self.encoder = keras.Sequential(
            [self.enc_input]
            + [TransformerBlock(num_hid, num_head, num_feed_forward) for _ in range(layers_enc)]
        )
        for i in range(layers_dec):
            setattr(self, f"dec_layer_{i}", SpeechDecoder(num_hid, num_head, num_feed_forward))
        self.classifier = layers.Dense(classes)

    def decode(self, enc_out, target):
        y = self.dec_input(target)
        for i in range(self.num_layers_dec):
            y = getattr(self, f"dec_layer_{i}")(enc_out, y)
        return y

    def call(self, inputs):
        source, target = inputs
        return self.classifier(self.decode(self.encoder(source), target))

    @property
    def metrics(self):
        return [self.loss_metric]

    def train_step(self, batch):
        import tensorflow as tf

        source, target = batch["source"], batch["target"]
        dec_input, dec_target = target[:, :-1], target[:, 1:]
        with tf.GradientTape() as tape:
            preds = self([source, dec_input])
            one_hot = ops.one_hot(dec_target, self.num_classes)
            mask = ops.logical_not(ops.equal(dec_target, 0))
            loss = self.compute_loss(None, one_hot, preds, sample_weight=mask)
        variables = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        self.loss_metric.update_state(loss)
        return {"loss": self.loss_metric.result()}


def kio_speech_transformer() -> Example:
    """audio/transformer_asr."""

    def own_step(model):
        model.compile(keras.optimizers.SGD(0.01), keras.losses.CategoricalCrossentropy(from_logits=True))
        batch = {"source": normal(3)((2, 24, 5)), "target": integers(12, 3)((2, 7))}
        return model.fit(batch, batch_size=2, verbose=0).history

    inputs = [
        Tensor((BATCH, Axis("frames", 24), 5), normal()),
        Tensor((BATCH, Axis("tokens", 6)), integers(12)),
    ]
    return Example(
        SpeechTransformer(), (inputs,), own_step=own_step if ON_TENSORFLOW else None, has_own_step=True
    )


# audio/ctc_asr


def kio_deep_speech() -> Example:
    """audio/ctc_asr."""
    spectrogram = keras.Input((None, 16), name="input")
    x = layers.Reshape((-1, 16, 1), name="expand_dim")(spectrogram)
    for number, (kernel, strides) in enumerate([((11, 7), (2, 2)), ((5, 3), (1, 2))], 1):
        x = layers.Conv2D(4, kernel, strides=strides, padding="same", use_bias=False, name=f"conv_{number}")(
            x
        )
        x = layers.BatchNormalization(name=f"conv_{number}_bn")(x)
        x = layers.ReLU(name=f"conv_{number}_relu")(x)
    x = layers.Reshape((-1, x.shape[-2] * x.shape[-1]))(x)
    for i in range(2):
        recurrent = layers.GRU(
            6,
            activation="tanh",
            recurrent_activation="sigmoid",
            use_bias=True,
            return_sequences=True,
            reset_after=True,
            name=f"gru_{i}",
        )
        x = layers.Bidirectional(recurrent, name=f"bidirectional_{i}", merge_mode="concat")(x)
        if i == 0:
            x = layers.Dropout(rate=0.5)(x)
    x = layers.Dropout(rate=0.5)(layers.ReLU(name="dense_1_relu")(layers.Dense(12, name="dense_1")(x)))
    model = keras.Model(spectrogram, layers.Dense(9, activation="softmax")(x), name="DeepSpeech_2")
    return of_functional(model, {"": (Axis("frames", 24),)})


# audio/speaker_recognition_using_cnn


def kio_speaker_recognition() -> Example:
    """audio/speaker_recognition_using_cnn."""

    def residual_block(x, filters, conv_num=3, activation="relu"):
        s = layers.Conv1D(filters, 1, padding="same")(x)
        for _ in range(conv_num - 1):
            x = layers.Conv1D(filters, 3, padding="same")(x)
            x = layers.Activation(activation)(x)
        x = layers.Conv1D(filters, 3, padding="same")(x)
        x = layers.Activation(activation)(layers.Add()([x, s]))
        return layers.MaxPool1D(pool_size=2, strides=2)(x)

    inputs = layers.Input(shape=(64, 1), name="input")
    x = inputs
    for filters, number in ((4, 2), (8, 2), (8, 3)):
        x = residual_block(x, filters, number)
    x = layers.Flatten()(layers.AveragePooling1D(pool_size=3, strides=3)(x))
    for width in (16, 8):
        x = layers.Dense(width, activation="relu")(x)
    return of_functional(keras.Model(inputs, layers.Dense(5, activation="softmax", name="output")(x)))


# audio/stft


def kio_stft_spectrogram() -> Example:
    """audio/stft."""
    sound = keras.Input((200, 1))
    x = layers.STFTSpectrogram(
        mode="log",
        frame_length=32,
        frame_step=8,
        fft_length=64,
        trainable=False,
    )(sound)
    y = layers.STFTSpectrogram(
        mode="imag", frame_length=16, frame_step=8, window="hann", expand_dims=True, trainable=True
    )(sound)
    x = layers.Conv1D(8, 5, activation="relu")(layers.Normalization()(x))
    y = layers.Conv2D(4, 3, activation="relu")(y)
    x = layers.GlobalMaxPooling1D()(layers.SpatialDropout1D(0.1)(x))
    y = layers.GlobalMaxPooling2D()(layers.MaxPooling2D()(y))
    model = keras.Model(sound, layers.Dense(4, activation="softmax")(layers.Concatenate()([x, y])))
    return of_functional(model)


# audio/uk_ireland_accent_recognition


def kio_accent_recognition() -> Example:
    """audio/uk_ireland_accent_recognition."""
    x = inputs = layers.Input(shape=(12,), name="embedding")
    for width, rate in ((16, 0.1), (12, 0.2), (8, 0.5)):
        x = layers.Dropout(rate)(layers.Dense(width, activation="relu")(x))
    return of_functional(keras.Model(inputs, layers.Dense(6, activation="softmax")(x)))

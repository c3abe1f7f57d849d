"""Networks that are taught otherwise than by labels alone: by masked parts, likeness, pairs, a teacher."""

import keras
from keras import layers, ops

from benchmarks.zoo.example import BATCH, LARGER_BATCH, Example, Tensor, integers, normal, of_functional
from benchmarks.zoo.keras_io.generation import ON_TENSORFLOW, images


def fitted(model, *data):
    """The history of two steps of an epoch."""
    return model.fit(*data, batch_size=2, shuffle=False, verbose=0).history


# Masked autoencoder


class Patches(layers.Layer):
    """Cuts images into patches, and lays each out as a row."""

    def __init__(self, patch_size, **kwargs):
        super().__init__(**kwargs)
        self.patch_size = patch_size
        self.resize = layers.Reshape((-1, patch_size * patch_size * 3))

    def call(self, images):
        return self.resize(ops.image.extract_patches(images, size=self.patch_size, padding="valid"))


class PatchEncoder(layers.Layer):
    """Chooses patches at random, in another order for each image, and puts a learned token for the others."""

    def __init__(self, patch_size, width, mask_proportion, downstream=False, **kwargs):
        super().__init__(**kwargs)
        self.width, self.mask_proportion, self.downstream = width, mask_proportion, downstream
        self.seed_generator = keras.random.SeedGenerator(42)
        self.mask_token = keras.Variable(
            keras.random.normal([1, patch_size * patch_size * 3]), trainable=True, name="mask_token"
        )

    def build(self, input_shape):
        (_, self.num_patches, self.patch_area) = input_shape
        self.projection = layers.Dense(self.width)
        self.projection.build(input_shape)
        self.position_embedding = layers.Embedding(self.num_patches, self.width)
        self.position_embedding.build((None, self.num_patches))
        self.num_mask = int(self.mask_proportion * self.num_patches)

    def call(self, patches):
        batch_size = ops.shape(patches)[0]
        positions = ops.arange(0, self.num_patches, 1)
        pos_embeddings = self.position_embedding(positions[None])
        pos_embeddings = ops.tile(pos_embeddings, [batch_size, 1, 1])
        embeddings = self.projection(patches) + pos_embeddings
        if self.downstream:
            return embeddings
        masked, unmasked = self.random_indices(batch_size)
        unmasked_embeddings = ops.take_along_axis(embeddings, unmasked[..., None], axis=1)
        unmasked_positions = ops.take_along_axis(pos_embeddings, unmasked[..., None], axis=1)
        masked_positions = ops.take_along_axis(pos_embeddings, masked[..., None], axis=1)
        tokens = ops.repeat(self.mask_token, repeats=self.num_mask, axis=0)
        tokens = ops.repeat(tokens[None], repeats=batch_size, axis=0)
        masked_embeddings = self.projection(tokens) + masked_positions
        return unmasked_embeddings, masked_embeddings, unmasked_positions, masked, unmasked

    def random_indices(self, batch_size):
        drawn = keras.random.uniform(shape=(batch_size, self.num_patches), seed=self.seed_generator)
        order = ops.argsort(drawn, axis=-1)
        return order[:, : self.num_mask], order[:, self.num_mask :]


def transformer(inputs, depth, width):
    x = inputs
    for _ in range(depth):
        x1 = layers.LayerNormalization(epsilon=1e-6)(x)
        x2 = layers.Add()([layers.MultiHeadAttention(num_heads=2, key_dim=width, dropout=0.1)(x1, x1), x])
        x3 = layers.Dense(2 * width, activation="gelu")(layers.LayerNormalization(epsilon=1e-6)(x2))
        x = layers.Add()([layers.Dropout(0.1)(layers.Dense(width)(x3)), x2])
    return layers.LayerNormalization(epsilon=1e-6)(x)


def mae_encoder():
    inputs = keras.Input((None, 16))
    return keras.Model(inputs, transformer(inputs, 2, 16), name="mae_encoder")


def mae_decoder(patches=16, side=16):
    inputs = keras.Input((patches, 16))
    x = layers.Flatten()(transformer(layers.Dense(8)(inputs), 1, 8))
    pixels = layers.Dense(side * side * 3, activation="sigmoid")(x)
    return keras.Model(inputs, layers.Reshape((side, side, 3))(pixels), name="mae_decoder")


class MaskedAutoencoder(keras.Model):
    """Sees a quarter of the patches and paints the others; learns from the painted ones alone."""

    def __init__(self, train_augment, test_augment, patch_layer, patch_encoder, encoder, decoder, **kwargs):
        super().__init__(**kwargs)
        self.train_augment, self.test_augment = train_augment, test_augment
        self.patch_layer, self.patch_encoder = patch_layer, patch_encoder
        self.encoder, self.decoder = encoder, decoder

    def call(self, images, training=False):
        augmented = self.train_augment(images) if training else self.test_augment(images)
        patches = self.patch_layer(augmented)
        unmasked, masked, positions, mask_indices, _ = self.patch_encoder(patches)
        encoded = self.encoder(unmasked, training=training) + positions
        decoded = self.decoder(ops.concatenate([encoded, masked], axis=1), training=training)
        painted = self.patch_layer(decoded)
        wanted = ops.take_along_axis(patches, mask_indices[..., None], axis=1)
        return wanted, ops.take_along_axis(painted, mask_indices[..., None], axis=1)

    def train_step(self, images):
        import tensorflow as tf

        with tf.GradientTape() as tape:
            wanted, painted = self(images, training=True)
            total_loss = self.compute_loss(y=wanted, y_pred=painted)
        gradients = tape.gradient(total_loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(total_loss)
            else:
                metric.update_state(wanted, painted)
        return {metric.name: metric.result() for metric in self.metrics}


def kio_masked_autoencoder() -> Example:
    """vision/masked_image_modeling."""
    train = [layers.Rescaling(1 / 255.0), layers.RandomCrop(16, 16), layers.RandomFlip("horizontal")]
    test = [layers.Rescaling(1 / 255.0), layers.Resizing(16, 16)]
    parts = Patches(4), PatchEncoder(4, 16, 0.75), mae_encoder(), mae_decoder()
    model = MaskedAutoencoder(keras.Sequential(train), keras.Sequential(test), *parts, name="mae")

    def own_step(model):
        model.compile(keras.optimizers.SGD(0.01), loss="mse", metrics=["mae"])
        return fitted(model, images(4, 20, 3))

    image = Tensor((LARGER_BATCH, 20, 20, 3), normal())
    own = own_step if ON_TENSORFLOW else None
    return Example(model, (image,), own_step=own, has_own_step=True)


# Supervised contrastive learning


class LikenessLoss(keras.losses.Loss):
    """Pulls images of one class together, by the logits of all pairs of a batch."""

    def __init__(self, temperature=0.5, name=None):
        super().__init__(name=name)
        self.temperature = temperature

    def call(self, labels, features):
        features = keras.utils.normalize(features, axis=1, order=2)
        logits = ops.matmul(features, ops.transpose(features)) / self.temperature
        labels = ops.reshape(labels, (-1, 1))
        same = ops.cast(ops.equal(labels, ops.transpose(labels)), logits.dtype)
        same = same / ops.sum(same, axis=1, keepdims=True)
        return -ops.sum(same * ops.log_softmax(logits, axis=1), axis=1)


def small_encoder(name="encoder"):
    return keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.RandomTranslation(0.1, 0.1),
            layers.Conv2D(8, 3, strides=2, activation="relu"),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(),
        ],
        name=name,
    )


class ProjectedEncoder(keras.Model):
    """An encoder with a head for the contrastive loss."""

    def __init__(self, encoder):
        super().__init__(name="projected_encoder")
        self.encoder, self.head = encoder, layers.Dense(8, activation="relu")

    def call(self, x, training=None):
        return self.head(self.encoder(x, training=training))


def kio_supervised_contrastive() -> Example:
    """vision/supervised-contrastive-learning."""

    def own_step(model):
        model.compile(optimizer=keras.optimizers.SGD(0.01), loss=LikenessLoss())
        return fitted(model, images(4, 12, 3), integers(2)((4,)))

    image = Tensor((LARGER_BATCH, 12, 12, 3), normal())
    return Example(ProjectedEncoder(small_encoder()), (image,), own_step=own_step)


# Barlow Twins: two views of an image, one correlation


class Augmenter(layers.Layer):
    """Brightens, darkens and drops colours, each with a chance of its own for every image."""

    def __init__(self, chance=0.5):
        super().__init__()
        self.chance = chance
        self.seed_generator = keras.random.SeedGenerator(7)

    def sometimes(self, x, changed):
        drawn = keras.random.uniform((ops.shape(x)[0], 1, 1, 1), seed=self.seed_generator)
        return ops.where(drawn < self.chance, changed, x)

    def call(self, x, training=None):
        if not training:
            return x
        factor = keras.random.uniform((), 0.8, 1.2, seed=self.seed_generator)
        x = self.sometimes(x, x * factor)
        grey = ops.mean(x, axis=-1, keepdims=True)
        x = self.sometimes(x, ops.broadcast_to(grey, ops.shape(x)))
        return ops.clip(x, -2.0, 2.0)


class BarlowTwins(keras.Model):
    """Both views go through one encoder; what they say in each unit should agree, and the units differ."""

    def __init__(self, lambd=5e-3):
        super().__init__(name="barlow_twins")
        self.lambd, self.augmenter = lambd, Augmenter()
        self.encoder = keras.Sequential(
            [layers.Conv2D(8, 3, strides=2), layers.BatchNormalization(), layers.ReLU()]
        )
        self.pool = layers.GlobalAveragePooling2D()
        self.projector = [
            layers.Dense(8, kernel_regularizer=keras.regularizers.L2(1e-3)),
            layers.BatchNormalization(),
            layers.Activation("leaky_relu"),
            layers.Dense(6),
        ]
        self.correlation_tracker = keras.metrics.Mean(name="diagonal")

    def projected(self, x, training):
        x = self.pool(self.encoder(self.augmenter(x, training=training), training=training))
        for layer in self.projector:
            x = layer(x)
        return x

    def standardized(self, z):
        return (z - ops.mean(z, axis=0)) / (ops.std(z, axis=0) + 1e-5)

    def call(self, x, training=None):
        a, b = (self.standardized(self.projected(x, training)) for _ in range(2))
        batch = ops.cast(ops.shape(a)[0], "float32")
        correlation = ops.matmul(ops.transpose(a), b) / batch
        diagonal = ops.diagonal(correlation)
        off_diagonal = correlation * (1 - ops.eye(ops.shape(correlation)[0]))
        self.add_loss(ops.sum((1 - diagonal) ** 2) + self.lambd * ops.sum(off_diagonal**2))
        self.correlation_tracker.update_state(ops.mean(diagonal))
        return correlation


def kio_barlow_twins() -> Example:
    """vision/barlow_twins."""
    return Example(BarlowTwins(), (Tensor((LARGER_BATCH, 12, 12, 3), normal()),))


# SimSiam: a predictor on one side, and no gradient on the other


class SimSiam(keras.Model):
    """Takes two views as a pair, and trains encoder and predictor in one tape."""

    def __init__(self):
        super().__init__(name="simsiam")
        self.encoder = small_encoder("views_encoder")
        self.predictor = keras.Sequential(
            [
                layers.Dense(4, use_bias=False, kernel_regularizer=keras.regularizers.l2(1e-3)),
                layers.ReLU(),
                layers.BatchNormalization(),
                layers.Dense(8),
            ],
            name="predictor",
        )
        self.loss_tracker = keras.metrics.Mean(name="loss")

    @property
    def metrics(self):
        return [self.loss_tracker]

    def call(self, views, training=None):
        z1, z2 = (self.encoder(view, training=training) for view in views)
        return (z1, z2), (self.predictor(z1, training=training), self.predictor(z2, training=training))

    def unlikeness(self, p, z):
        p, z = (keras.utils.normalize(x, axis=1, order=2) for x in (p, ops.stop_gradient(z)))
        return -ops.mean(ops.sum(p * z, axis=1))

    def train_step(self, data):
        import tensorflow as tf

        ((one, two),) = data
        with tf.GradientTape() as tape:
            (z1, z2), (p1, p2) = self([one, two], training=True)
            loss = self.unlikeness(p1, z2) / 2 + self.unlikeness(p2, z1) / 2
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        self.loss_tracker.update_state(loss)
        return {"loss": self.loss_tracker.result()}


def kio_simsiam() -> Example:
    """vision/simsiam."""

    def own_step(model):
        import tensorflow as tf

        model.compile(optimizer=keras.optimizers.SGD(0.01))
        pairs = (images(4, 12, 3), images(4, 12, 3)[::-1])
        return model.fit(tf.data.Dataset.from_tensor_slices((pairs,)).batch(2), verbose=0).history

    views = [Tensor((LARGER_BATCH, 12, 12, 3), normal(seed)) for seed in (0, 1)]
    own = own_step if ON_TENSORFLOW else None
    return Example(SimSiam(), (views,), own_step=own, has_own_step=True)


# Siamese networks and a triplet loss


class Distances(layers.Layer):
    """Squared distances from the anchor to the one that is like it, and to the other."""

    def call(self, anchor, positive, negative):
        near = ops.sum(ops.square(anchor - positive), -1)
        far = ops.sum(ops.square(anchor - negative), -1)
        return near, far


def siamese_network():
    embedding = small_encoder("embedding")
    inputs = [keras.Input((12, 12, 3), name=name) for name in ("anchor", "positive", "negative")]
    return keras.Model(inputs, Distances()(*(embedding(x) for x in inputs)), name="siamese_network")


class SiameseModel(keras.Model):
    """Keeps unlike pairs further apart than like ones, by a margin."""

    def __init__(self, siamese_network, margin=0.5):
        super().__init__(name="siamese_model")
        self.siamese_network, self.margin = siamese_network, margin
        self.loss_tracker = keras.metrics.Mean(name="loss")

    def call(self, inputs):
        return self.siamese_network(inputs)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        near, far = y_pred
        loss = ops.mean(ops.maximum(near - far + self.margin, 0.0))
        self.loss_tracker.update_state(loss)
        return loss

    @property
    def metrics(self):
        return [self.loss_tracker]


def kio_siamese_triplets() -> Example:
    """vision/siamese_network: the loss stands in `compute_loss`, which every backend has."""

    def own_step(model):
        model.compile(optimizer=keras.optimizers.SGD(0.01))
        x = images(4, 12, 3)
        return fitted(model, [x, x[::-1].copy(), -x], integers(2)((4,)))

    given = [Tensor((LARGER_BATCH, 12, 12, 3), normal(seed)) for seed in range(3)]
    return Example(SiameseModel(siamese_network()), (given,), own_step=own_step, has_own_step=True)


# Knowledge distillation


class Distiller(keras.Model):
    """A student learns from the softened answers of a frozen teacher, which lives beside it."""

    def __init__(self, student, teacher):
        super().__init__(name="distiller")
        self.teacher, self.student = teacher, student
        self.teacher.trainable = False

    def compile(self, optimizer, metrics, student_loss_fn, distillation_loss_fn, alpha=0.1, temperature=3):
        super().compile(optimizer=optimizer, metrics=metrics)
        self.student_loss_fn, self.distillation_loss_fn = student_loss_fn, distillation_loss_fn
        self.alpha, self.temperature = alpha, temperature

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        teacher_pred = self.teacher(x, training=False)
        student_loss = self.student_loss_fn(y, y_pred)
        softened = [ops.softmax(p / self.temperature, axis=1) for p in (teacher_pred, y_pred)]
        distillation_loss = self.distillation_loss_fn(*softened) * (self.temperature**2)
        return self.alpha * student_loss + (1 - self.alpha) * distillation_loss

    def call(self, x):
        return self.student(x)


def classifier(width, name):
    return keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Conv2D(width, 3, strides=2, padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
            layers.MaxPooling2D(pool_size=2, strides=1, padding="same"),
            layers.Flatten(),
            layers.Dense(3),
        ],
        name=name,
    )


def kio_knowledge_distillation() -> Example:
    """vision/knowledge_distillation."""

    def own_step(model):
        model.compile(
            keras.optimizers.SGD(0.01),
            ["sparse_categorical_accuracy"],
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            keras.losses.KLDivergence(),
        )
        return fitted(model, images(4, 12, 3), integers(3)((4,)))

    model = Distiller(classifier(4, "student"), classifier(12, "teacher"))
    model.teacher.build((None, 12, 12, 3))
    image = Tensor((BATCH, 12, 12, 3), normal())
    return Example(model, (image,), own_step=own_step, has_own_step=True)


# Metric learning


class SimilarityModel(keras.Model):
    """Classes are told by the likeness of anchors and positives, with logits that are a matrix of both."""

    def __init__(self):
        super().__init__(name="similarity")
        self.encoder = small_encoder("anchors_encoder")
        self.embeddings = layers.Dense(8)
        self.unit = layers.UnitNormalization()

    def embedded(self, x):
        return self.unit(self.embeddings(self.encoder(x)))

    def call(self, pair):
        return ops.einsum("ae,pe->ap", self.embedded(pair[0]), self.embedded(pair[1]))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        logits = y_pred / 0.2
        labels = ops.arange(ops.shape(logits)[0])
        return ops.mean(keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True))


def kio_metric_learning() -> Example:
    """vision/metric_learning."""

    def own_step(model):
        model.compile(optimizer=keras.optimizers.SGD(0.01))
        return fitted(model, [images(4, 12, 3), images(4, 12, 3)[::-1].copy()], integers(2)((4,)))

    pair = [Tensor((LARGER_BATCH, 12, 12, 3), normal(seed)) for seed in (0, 1)]
    return Example(SimilarityModel(), (pair,), own_step=own_step, has_own_step=True)


# Mixup inside the model


class MixUp(layers.Layer):
    """Mixes images with those of the turned batch, by a drawn share; in training alone."""

    def __init__(self, alpha=0.2, **kwargs):
        super().__init__(**kwargs)
        self.alpha = alpha
        self.seed_generator = keras.random.SeedGenerator(9)

    def call(self, images, training=None):
        if training:
            share = keras.random.beta(
                (ops.shape(images)[0],), self.alpha, self.alpha, seed=self.seed_generator
            )
            share = ops.reshape(share, (-1, 1, 1, 1))
            return images * share + ops.flip(images, axis=0) * (1 - share)
        return images


def kio_mixup() -> Example:
    """vision/mixup: the mixing as a layer of the model."""
    inputs = keras.Input((12, 12, 3))
    x = MixUp()(layers.RandomContrast(0.2)(inputs))
    x = layers.RandomErasing(scale=(0.1, 0.2))(x) if hasattr(layers, "RandomErasing") else x
    return of_functional(keras.Model(inputs, classifier(4, "classifier")(x), name="mixup"))

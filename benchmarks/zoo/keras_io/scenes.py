"""Models of space and of whole pictures: rays, points, maps of classes and boxes, brighter images."""

import keras
import numpy as np
from keras import layers, ops

from benchmarks.zoo.example import (
    BATCH,
    LARGER_BATCH,
    Axis,
    Example,
    Tensor,
    normal,
    of_functional,
    positive,
)

# NeRF

SAMPLES, SIDE, FREQUENCIES = 4, 4, 2


def encoded_position(x):
    positions = [x]
    for i in range(FREQUENCIES):
        for function in (ops.sin, ops.cos):
            positions.append(function(2.0**i * x))
    return ops.concatenate(positions, axis=-1)


def radiance_field():
    inputs = keras.Input((SIDE * SIDE * SAMPLES, 2 * 3 * FREQUENCIES + 3))
    x = inputs
    for i in range(3):
        x = layers.Dense(units=8, activation="relu")(x)
        if i % 2 == 0 and i > 0:
            x = layers.concatenate([x, inputs], axis=-1)
    return keras.Model(inputs, layers.Dense(units=4)(x), name="radiance_field")


class NeRF(keras.Model):
    """Renders an image and its depth: colours along each ray, weighted by what light comes through."""

    def __init__(self, field):
        super().__init__(name="nerf")
        self.field = field

    def call(self, rays):
        flat, t_vals = rays
        told = ops.reshape(self.field(encoded_position(flat)), (-1, SIDE, SIDE, SAMPLES, 4))
        rgb, sigma = ops.sigmoid(told[..., :-1]), ops.relu(told[..., -1])
        delta = t_vals[..., 1:] - t_vals[..., :-1]
        last = ops.broadcast_to([1e10], shape=(ops.shape(t_vals)[0], 1))
        delta = ops.concatenate([delta, last], axis=-1)[:, None, None, :]
        alpha = 1.0 - ops.exp(-sigma * delta)
        through = ops.cumprod(1.0 - alpha + 1e-10, axis=-1)
        # What comes through before the sample: an exclusive product.
        through = ops.roll(through, 1, axis=-1)
        first = ops.arange(SAMPLES) == 0
        weights = alpha * ops.where(first, 1.0, through)
        image = ops.sum(weights[..., None] * rgb, axis=-2)
        return image, ops.sum(weights * t_vals[:, None, None], axis=-1)


def times(shape):
    return np.sort(positive()(shape), axis=-1) + np.linspace(2, 6, shape[-1], dtype="float32")


def kio_nerf() -> Example:
    """vision/nerf."""
    rays = [Tensor((BATCH, SIDE * SIDE * SAMPLES, 3), normal()), Tensor((BATCH, SAMPLES), times)]
    return Example(NeRF(radiance_field()), (rays,))


# PointNet


class OrthogonalRegularizer(keras.regularizers.Regularizer):
    """Draws a matrix that a layer tells for each cloud towards an orthogonal one."""

    def __init__(self, num_features, l2reg=0.001):
        self.num_features, self.l2reg = num_features, l2reg
        self.eye = ops.eye(num_features)

    def __call__(self, x):
        x = ops.reshape(x, (-1, self.num_features, self.num_features))
        xxt = ops.tensordot(x, x, axes=(2, 2))
        xxt = ops.reshape(xxt, (-1, self.num_features, self.num_features))
        return ops.sum(self.l2reg * ops.square(xxt - self.eye))

    def get_config(self):
        return {"num_features": self.num_features, "l2reg": self.l2reg}


def convolved(x, filters):
    x = layers.Conv1D(filters, kernel_size=1, padding="valid")(x)
    return layers.Activation("relu")(layers.BatchNormalization(momentum=0.0)(x))


def dense_bn(x, filters):
    x = layers.Dense(filters)(x)
    return layers.Activation("relu")(layers.BatchNormalization(momentum=0.0)(x))


def tnet(inputs, num_features):
    bias = keras.initializers.Constant(np.eye(num_features).flatten())
    x = convolved(convolved(inputs, 8), 12)
    x = dense_bn(layers.GlobalMaxPooling1D()(x), 8)
    x = layers.Dense(
        num_features * num_features,
        kernel_initializer="zeros",
        bias_initializer=bias,
        activity_regularizer=OrthogonalRegularizer(num_features),
    )(x)
    feature_transform = layers.Reshape((num_features, num_features))(x)
    return layers.Dot(axes=(2, 1))([inputs, feature_transform])


def kio_pointnet() -> Example:
    """vision/pointnet."""
    points = Axis("points", 12, others=(7, 20))
    inputs = keras.Input((None, 3))
    x = convolved(tnet(inputs, 3), 8)
    x = convolved(convolved(tnet(x, 8), 8), 12)
    x = dense_bn(layers.GlobalMaxPooling1D()(x), 8)
    outputs = layers.Dense(3, activation="softmax")(layers.Dropout(0.3)(x))
    model = keras.Model(inputs, outputs, name="pointnet")
    return of_functional(model, {"": (points,)}, batch=LARGER_BATCH)


def kio_pointnet_segmentation() -> Example:
    """vision/pointnet_segmentation: the features of the cloud go back to each point."""
    inputs = keras.Input((12, 3), name="input_points")
    first = convolved(tnet(inputs, 3), 8)
    transformed = tnet(first, 8)
    last = convolved(transformed, 16)
    whole = layers.MaxPool1D(pool_size=12)(last)
    whole = ops.tile(whole, [1, 12, 1])
    x = convolved(layers.Concatenate()([first, transformed, last, whole]), 8)
    outputs = layers.Conv1D(4, kernel_size=1, activation="softmax")(x)
    return of_functional(keras.Model(inputs, outputs, name="point_parts"), batch=LARGER_BATCH)


# Zero-DCE


def colour_constancy(x):
    """Means of the three channels should not be far apart."""
    red, green, blue = (ops.mean(x[..., i], axis=(1, 2)) for i in range(3))
    return ops.sqrt((red - green) ** 4 + (red - blue) ** 4 + (blue - green) ** 4 + 1e-12)


class SpatialConsistency(keras.losses.Loss):
    """Neighbouring regions keep their contrast, which convolutions with fixed kernels measure."""

    def __init__(self):
        super().__init__(reduction="none")
        kernels = [[0, 0, 0], [-1, 1, 0], [0, 0, 0]], [[0, -1, 0], [0, 1, 0], [0, 0, 0]]
        self.kernels = [ops.convert_to_tensor(np.array(k, "float32")[:, :, None, None]) for k in kernels]

    def call(self, y_true, y_pred):
        pools = (
            ops.average_pool(ops.mean(x, 3, keepdims=True), 4, strides=4, padding="valid")
            for x in (y_true, y_pred)
        )
        before, after = pools
        contrasts = [
            ops.square(ops.conv(before, k, padding="same") - ops.conv(after, k, padding="same"))
            for k in self.kernels
        ]
        return sum(contrasts)


class ZeroDce(keras.Model):
    """Curves that brighten an image, eight times over, learned without a reference from four losses."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        inputs = keras.Input((None, None, 3))
        convs = [inputs]
        for before in ([0], [1], [2], [3, 2], [4, 1]):
            x = convs[before[0]] if len(before) == 1 else layers.Concatenate()([convs[i] for i in before])
            convs.append(layers.Conv2D(8, 3, activation="relu", padding="same")(x))
        curves = layers.Conv2D(24, 3, activation="tanh", padding="same")(convs[-1])
        self.dce_model = keras.Model(inputs, curves)
        self.spatial = SpatialConsistency()

    def get_enhanced_image(self, data, output):
        x = data
        for i in range(0, 3 * 8, 3):
            r = output[:, :, :, i : i + 3]
            x = x + r * (ops.square(x) - x)
        return x

    def call(self, data):
        output = self.dce_model(data)
        enhanced = self.get_enhanced_image(data, output)
        self.add_loss(200 * self.smoothness(output))
        self.add_loss(ops.mean(self.spatial(data, enhanced)))
        self.add_loss(5 * ops.mean(colour_constancy(enhanced)))
        self.add_loss(10 * self.exposure(enhanced))
        return enhanced

    def exposure(self, x, mean_val=0.6):
        mean = ops.average_pool(ops.mean(x, axis=3, keepdims=True), pool_size=4, strides=4, padding="valid")
        return ops.mean(ops.square(mean - mean_val))

    def smoothness(self, x):
        height, width = ops.shape(x)[1], ops.shape(x)[2]
        count_h, count_w = (width - 1) * ops.shape(x)[3], width * (ops.shape(x)[3] - 1)
        h_tv = ops.sum(ops.square(x[:, 1:, :, :] - x[:, : height - 1, :, :]))
        w_tv = ops.sum(ops.square(x[:, :, 1:, :] - x[:, :, : width - 1, :]))
        batch_size, count_h, count_w = (ops.cast(n, "float32") for n in (ops.shape(x)[0], count_h, count_w))
        return 2 * (h_tv / count_h + w_tv / count_w) / batch_size


def kio_zero_dce() -> Example:
    """vision/zero_dce: with its losses in `call`, for images of any size."""
    sides = Axis("height", 8, others=(12, 16)), Axis("width", 12, others=(8, 20))
    return Example(ZeroDce(name="zero_dce"), (Tensor((BATCH, *sides, 3), positive(0.3)),))


# DeepLabV3+


def dilated(x, filters=8, size=3, rate=1):
    x = layers.Conv2D(
        filters,
        kernel_size=size,
        dilation_rate=rate,
        padding="same",
        use_bias=False,
        kernel_initializer=keras.initializers.HeNormal(),
    )(x)
    return ops.nn.relu(layers.BatchNormalization()(x))


def pyramid(x):
    height, width = x.shape[1:3]
    pooled = dilated(layers.AveragePooling2D(pool_size=(height, width))(x), size=1)
    pooled = layers.UpSampling2D(size=(height, width), interpolation="bilinear")(pooled)
    branches = [dilated(x, size=1 if rate == 1 else 3, rate=rate) for rate in (1, 2, 3)]
    return dilated(layers.Concatenate(axis=-1)([pooled, *branches]), size=1)


def kio_deeplab_v3_plus() -> Example:
    """vision/deeplabv3_plus; a network of two stages in the place of a pretrained one."""
    inputs = keras.Input((16, 16, 3))
    low = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(inputs)
    high = layers.SeparableConv2D(12, 3, strides=2, padding="same")(low)
    a = layers.UpSampling2D(size=2, interpolation="bilinear")(pyramid(high))
    x = layers.Concatenate(axis=-1)([a, dilated(low, filters=4, size=1)])
    x = layers.UpSampling2D(size=2, interpolation="bilinear")(dilated(dilated(x)))
    outputs = layers.Conv2D(3, kernel_size=1, padding="same")(x)
    return of_functional(keras.Model(inputs, outputs, name="deeplab"))


# RetinaNet


class FeaturePyramid(layers.Layer):
    """Sums maps from the top down, each upsampled to the next."""

    def __init__(self, width=8, **kwargs):
        super().__init__(name="feature_pyramid", **kwargs)
        self.lateral = [layers.Conv2D(width, 1, 1, "same") for _ in range(3)]
        self.smooth = [layers.Conv2D(width, 3, 1, "same") for _ in range(3)]
        self.coarser = [layers.Conv2D(width, 3, 2, "same") for _ in range(2)]
        self.upsample = layers.UpSampling2D(2)

    def call(self, maps):
        p3, p4, p5 = (layer(x) for layer, x in zip(self.lateral, maps, strict=True))
        p4 = p4 + self.upsample(p5)
        p3 = p3 + self.upsample(p4)
        p3, p4, p5 = (layer(x) for layer, x in zip(self.smooth, (p3, p4, p5), strict=True))
        p6 = self.coarser[0](maps[-1])
        return p3, p4, p5, p6, self.coarser[1](ops.relu(p6))


class RetinaNet(keras.Model):
    """One head for classes and one for boxes, called on five maps; all answers in one tensor."""

    def __init__(self, num_classes=3):
        super().__init__(name="retinanet")
        self.num_classes = num_classes
        self.backbone = [layers.Conv2D(8, 3, strides=4 if i == 0 else 2, padding="same") for i in range(3)]
        self.fpn = FeaturePyramid()
        prior = keras.initializers.Constant(-np.log((1 - 0.01) / 0.01))
        self.cls_head, self.box_head = self.head(2 * num_classes, prior), self.head(2 * 4, "zeros")

    def head(self, outputs, bias):
        return keras.Sequential(
            [
                keras.Input((None, None, 8)),
                layers.Conv2D(8, 3, padding="same", activation="relu"),
                layers.Conv2D(outputs, 3, 1, padding="same", bias_initializer=bias),
            ]
        )

    def call(self, image, training=False):
        maps, x = [], image
        for stage in self.backbone:
            x = ops.relu(stage(x))
            maps.append(x)
        features = self.fpn(maps, training=training)
        batch = ops.shape(image)[0]
        cls_outputs, box_outputs = [], []
        for feature in features:
            box_outputs.append(ops.reshape(self.box_head(feature), [batch, -1, 4]))
            cls_outputs.append(ops.reshape(self.cls_head(feature), [batch, -1, self.num_classes]))
        boxes, classes = ops.concatenate(box_outputs, axis=1), ops.concatenate(cls_outputs, axis=1)
        return ops.concatenate([boxes, classes], axis=-1)


def kio_retinanet() -> Example:
    """vision/retinanet."""
    sides = Axis("height", 64, others=(32, 128)), Axis("width", 64, others=(32, 128))
    return Example(RetinaNet(), (Tensor((BATCH, *sides, 3), normal()),))


# Super-resolution


class SubPixel(layers.Layer):
    """Channels become pixels: a larger image without interpolation."""

    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x):
        batch, height, width, channels = ops.shape(x)
        inner = channels // self.factor**2
        x = ops.reshape(x, [batch, height, width, self.factor, self.factor, inner])
        x = ops.transpose(x, [0, 1, 3, 2, 4, 5])
        return ops.reshape(x, [batch, height * self.factor, width * self.factor, inner])


def kio_super_resolution() -> Example:
    """vision/super_resolution_sub_pixel."""
    inputs = keras.Input((None, None, 1))
    x = layers.Conv2D(8, 5, activation="relu", padding="same", kernel_initializer="orthogonal")(inputs)
    x = layers.Conv2D(9, 3, activation="relu", padding="same", kernel_initializer="orthogonal")(x)
    sides = Axis("height", 6), Axis("width", 8)
    return of_functional(keras.Model(inputs, SubPixel(3)(x), name="super_resolution"), {"": sides})

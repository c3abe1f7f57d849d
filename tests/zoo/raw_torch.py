"""Raw PyTorch in `call`, as people write it who come from there. Only run on that backend.

Every axis but the last is free, if nothing else is said.
"""

import math

import keras
import torch
import torch.nn.functional as F  # noqa: N812 (as everyone calls it)
from keras import layers, ops
from torch import Tensor
from torch.nn.functional import relu as imported_relu

from zoo.case import Case, booleans, case, floats, integers, positives


class Raw(layers.Layer):
    """A layer whose `call` is a function; `kernel` and `bias` if asked for."""

    def __init__(self, function, weights=False, **attributes):
        super().__init__()
        self.function = function
        self.weights_wanted = weights
        for name, value in attributes.items():
            setattr(self, name, value)

    def get_config(self):
        """What a process lacks that has never seen the function."""
        return {**keras.layers.Layer.get_config(self), "function": self.function.__name__}

    def build(self, shape):
        if self.weights_wanted:
            self.kernel = self.add_weight(
                shape=(shape[-1], shape[-1]), initializer="random_normal", name="kernel"
            )
            self.bias = self.add_weight(shape=(shape[-1],), initializer="random_normal", name="bias")

    def call(self, x):
        return self.function(self, x)


class RawTraining(Raw):
    """One that also takes `training`."""

    def call(self, x, training=None):
        return self.function(self, x, training)


def free(call, example, fixed=()):
    """A Functional model around a layer, whose every axis is free but the last and those of `fixed`."""

    def symbolic(array, name=None):
        kept = {array.ndim - 1, *fixed}
        shape = [n if k in kept else None for k, n in enumerate(array.shape)][1:]
        return keras.Input(shape, dtype=array.dtype.name, name=name)

    is_dict = isinstance(example, dict)
    inputs = {k: symbolic(v, k) for k, v in example.items()} if is_dict else symbolic(example)
    return keras.Model(inputs, call(inputs))


def raw(example, *, fixed=(), layer=Raw, opaque=False, attributes=None, **options):
    """Registers a case of one layer whose `call` is the function below."""

    def register(function):
        def builder():
            made = layer(function, **options, **(attributes() if attributes else {}))
            whole = (layer.__name__,) if opaque else ()
            return Case(free(made, example, fixed), example, needs_input=False, expect_opaque=whole)

        builder.__name__ = function.__name__
        builder.__doc__ = f"Raw PyTorch: {function.__name__.removeprefix('torch_').replace('_', ' ')}."
        case(builder)
        return function

    return register


X = floats(3, 5, 8)
IDS = integers(3, 5, below=7)
IMAGES = floats(2, 3, 8, 8)


# --- Attention and transformers ------------------------------------------------------------


@raw(X, weights=True)
def torch_attention_with_view_and_transpose(self, x):
    b, t, d = x.size()
    q = torch.matmul(x, self.kernel).view(b, t, 2, d // 2).transpose(1, 2)
    k = F.linear(x, self.kernel, self.bias).view(b, t, 2, -1).transpose(1, 2)
    scores = torch.matmul(q, k.transpose(-2, -1)) / math.sqrt(d // 2)
    weights = F.softmax(scores, dim=-1)
    return torch.matmul(weights, k).transpose(1, 2).contiguous().view(b, t, d)


@raw(X)
def torch_causal_mask_by_tril(self, x):
    t = x.size(1)
    scores = x @ x.transpose(1, 2)
    mask = torch.tril(torch.ones(t, t, device=x.device)).view(1, t, t)
    return scores.masked_fill(mask == 0, float("-inf")).softmax(dim=-1) @ x


@raw(X)
def torch_causal_mask_by_triu(self, x):
    t = x.shape[1]
    mask = torch.triu(torch.full((t, t), float("-inf"), device=x.device), diagonal=1)
    return torch.bmm(F.softmax(torch.bmm(x, x.permute(0, 2, 1)) + mask, -1), x)


@raw(X)
def torch_mask_by_arange(self, x):
    position = torch.arange(x.size(1), device=x.device)
    allowed = position[None, :] <= position[:, None]
    return torch.where(allowed, torch.einsum("btd,bsd->bts", x, x), torch.finfo(x.dtype).min)


@raw(X, weights=True)
def torch_scaled_dot_product_attention(self, x):
    q, k, v = (x @ w for w in (self.kernel, self.kernel * 2, self.kernel + self.bias))
    q, k, v = (y.unflatten(-1, (2, -1)).transpose(1, 2) for y in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)


def rotate_half(x):
    x1, x2 = x[..., : x.shape[-1] // 2], x[..., x.shape[-1] // 2 :]
    return torch.cat((-x2, x1), dim=-1)


@raw(X)
def torch_rotary_embedding(self, x):
    inverse = 1.0 / (10000 ** (torch.arange(0, x.shape[-1], 2).float() / x.shape[-1]))
    angles = torch.outer(torch.arange(x.size(1), device=x.device).float(), inverse)
    emb = torch.cat((angles, angles), dim=-1)
    return x * emb.cos() + rotate_half(x) * emb.sin()


@raw(X)
def torch_sinusoidal_positions(self, x):
    b, t, d = x.shape
    position = torch.arange(t, dtype=torch.float32).unsqueeze(1)
    rate = torch.exp(torch.arange(0, d, 2).float() * (-math.log(10000.0) / d))
    table = torch.stack([torch.sin(position * rate), torch.cos(position * rate)], dim=-1)
    return x + table.reshape(t, d)[None].expand(b, -1, -1)


@raw(X)
def torch_alibi(self, x):
    t = x.size(1)
    distance = torch.arange(t)[None, :] - torch.arange(t)[:, None]
    slopes = torch.tensor([0.5, 0.25])
    bias = slopes.view(-1, 1, 1) * distance.to(x.dtype)
    return torch.einsum("btd,bsd->bts", x, x).unsqueeze(1) + bias


@raw(X, weights=True)
def torch_class_token(self, x):
    token = ops.convert_to_tensor(self.bias).view(1, 1, -1).expand(x.shape[0], -1, -1)
    return torch.cat([token, torch.matmul(x, self.kernel)], dim=1)


@raw(X)
def torch_swiglu(self, x):
    gate, up = x.chunk(2, dim=-1)
    return F.silu(gate) * up


@raw(X)
def torch_key_value_repeat(self, x):
    b, t, d = x.shape
    k = x.view(b, t, 2, d // 2).transpose(1, 2)
    k = k[:, :, None].expand(b, 2, 3, t, d // 2).reshape(b, 6, t, d // 2)
    return k.repeat_interleave(2, dim=1)


@raw(X)
def torch_local_windows(self, x):
    padded = F.pad(x, (0, 0, 1, 1))
    return padded.unfold(1, 3, 1).mean(-1)


@raw(X, weights=True)
def torch_rms_norm(self, x):
    variance = x.to(torch.float32).pow(2).mean(-1, keepdim=True)
    return self.bias * (x * torch.rsqrt(variance + 1e-6)).to(x.dtype) @ self.kernel


@raw(X, weights=True)
def torch_layer_norm(self, x):
    return F.layer_norm(x, x.shape[-1:], weight=self.bias) @ self.kernel


@raw(X)
def torch_length_as_number(self, x):
    return x.sum(dim=1) / x.size(1) + x.shape.numel() / x.numel()


# --- Indices -------------------------------------------------------------------------------


@raw(IDS, fixed=(1,))
def torch_one_hot(self, ids):
    return F.one_hot(ids.long() % 7, num_classes=7).float()


@raw(IDS)
def torch_scatter_and_gather(self, ids):
    ids = ids.long() % 7
    counts = torch.zeros(ids.size(0), 7).scatter_add(1, ids, torch.ones_like(ids, dtype=torch.float32))
    return counts.gather(1, ids)


@raw(X)
def torch_topk(self, x):
    values, indices = torch.topk(x, k=3, dim=-1)
    return values, indices, x.gather(-1, indices)


@raw(X)
def torch_named_results(self, x):
    highest = x.max(dim=1)
    ordered = torch.sort(x, dim=-1, descending=True)
    return highest.values + ordered.values[:, 0], highest.indices, x.min(2, keepdim=True)[0]


@raw(X)
def torch_last_step(self, x):
    lengths = (x[..., 0] > -9).sum(dim=1) - 1
    index = lengths.view(-1, 1, 1).expand(-1, 1, x.size(2))
    return torch.gather(x, 1, index).squeeze(1)


@raw(X)
def torch_index_select(self, x):
    return torch.index_select(x, 2, torch.tensor([0, 2, 5])) + x[..., [1, 0, 3]]


@raw(X)
def torch_argmax_and_comparisons(self, x):
    best = x.argmax(dim=-1)
    return best, (best >= 4).float(), torch.eq(best, 2), (x > 0).all(dim=-1), (x != 0).any()


@raw(IDS, weights=False)
def torch_padding_mask(self, ids):
    mask = ids.ne(0)
    position = torch.cumsum(mask.type_as(ids), dim=1).type_as(ids) * mask
    return position.long() + 1, mask.unsqueeze(1).unsqueeze(2)


@raw(X)
def torch_take_along_dim(self, x):
    order = torch.argsort(x, dim=-1)
    return torch.take_along_dim(x, order, dim=-1).flip(-1).flip((1,)).roll(1, dims=1)


@raw(IDS, fixed=(1,))
def torch_embedding(self, ids):
    table = torch.linspace(0, 1, 28).view(7, 4)
    return F.embedding(ids % 7, table)


@raw(X)
def torch_masked_mean(self, x):
    mask = (x.abs().sum(-1, keepdim=True) > 1).float()
    return (x * mask).sum(1) / mask.sum(1).clamp(min=1.0)


# --- Images --------------------------------------------------------------------------------


@case
def torch_conv2d_with_a_weight():
    """`F.conv2d` with a weight of the layer."""

    class Conv(layers.Layer):
        def build(self, shape):
            self.filters = self.add_weight(shape=(4, shape[1], 3, 3), initializer="random_normal")

        def call(self, x):
            y = F.conv2d(x, self.filters, stride=1, padding=1)
            y = F.max_pool2d(F.relu(y), 2)
            return F.adaptive_avg_pool2d(y, 1).flatten(1), F.avg_pool2d(y, kernel_size=2)

    return Case(free(Conv(), IMAGES, (1, 2, 3)), IMAGES, needs_input=False)


@raw(IMAGES, fixed=(1, 2))
def torch_interpolate(self, x):
    up = F.interpolate(x, scale_factor=2, mode="nearest")
    return F.interpolate(up, size=(4, 4), mode="bilinear", align_corners=False)


@raw(IMAGES, fixed=(1, 2, 3))
def torch_pixel_shuffle_and_grid(self, x):
    y = F.pixel_unshuffle(x, 2)
    theta = torch.tensor([[1.0, 0.0, 0.1], [0.0, 1.0, -0.1]]).expand(x.size(0), 2, 3)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.pixel_shuffle(y, 2), F.grid_sample(x, grid, align_corners=False)


@raw(IMAGES, fixed=(1, 2, 3))
def torch_patches(self, x):
    b, c, h, w = x.shape
    patches = x.reshape(b, c, h // 4, 4, w // 4, 4)
    return torch.einsum("nchpwq->nhwpqc", patches).reshape(b, (h // 4) * (w // 4), 16 * c)


@raw(IMAGES, fixed=(1,))
def torch_channel_statistics(self, x):
    mean = x.mean(dim=(2, 3), keepdim=True)
    std = x.std(dim=(2, 3), keepdim=True, unbiased=False)
    normal = (x - mean) / (std + 1e-5)
    gram = torch.einsum("bchw,bdhw->bcd", normal, normal) / (x.size(2) * x.size(3))
    return normal.amax(dim=(2, 3)), gram, torch.var_mean(x, dim=1)[0]


@raw(IMAGES, fixed=(1, 2, 3))
def torch_unfold_and_fold(self, x):
    columns = F.unfold(x, kernel_size=3, padding=1)
    return F.fold(columns, output_size=x.shape[-2:], kernel_size=3, padding=1), F.pad(
        x, (1, 2, 0, 1), "reflect"
    )


@raw(IMAGES, fixed=(1, 2, 3))
def torch_group_norm(self, x):
    return F.group_norm(x, 3), F.normalize(x, dim=1), F.local_response_norm(x, 2)


@raw(IMAGES, fixed=(1, 2, 3))
def torch_fft(self, x):
    spectrum = torch.fft.rfft2(x)
    return torch.fft.irfft2(spectrum * 0.5, s=(8, 8)), spectrum.abs(), torch.view_as_real(spectrum)


# --- Functions -----------------------------------------------------------------------------


@raw(X)
def torch_activations(self, x):
    return (
        F.relu(x) + torch.relu(x) + imported_relu(x) + x.relu(),
        F.gelu(x) + F.gelu(x, approximate="tanh") + F.silu(x) + F.mish(x),
        F.elu(x) + F.leaky_relu(x, 0.2) + F.selu(x) + F.celu(x, 0.5) + F.softplus(x),
        torch.sigmoid(x) * x.sigmoid() + torch.tanh(x) + F.hardtanh(x) + F.hardswish(x) + F.relu6(x),
        F.log_softmax(x, -1) + x.softmax(-1) + F.softsign(x) + F.logsigmoid(x) + F.glu(x, -1).repeat(1, 1, 2),
    )


@raw(positives(3, 5, 8))
def torch_elementwise(self, x):
    return (
        x.exp() + x.log() + x.sqrt() + x.rsqrt() + x.abs() + x.neg() + x.reciprocal() + x.square(),
        torch.pow(x, 2) + x**3 + x**0.5 + 2**x + torch.pow(x, x) + x.pow(-1),
        torch.sin(x) + torch.cos(x) + torch.atan2(x, x + 1) + torch.erf(x) + x.log1p() + x.expm1(),
        x.floor() + x.ceil() + x.round() + x.trunc() + x.frac() + torch.sign(x) + x.fmod(0.3),
        torch.clamp(x, 0.7, 1.2) + x.clamp(min=0.6) + x.clip(max=1.1) + torch.lerp(x, x * 2, 0.3),
        torch.maximum(x, 1 / x) + torch.minimum(x, 2 - x) + torch.add(x, x, alpha=0.5) + x.sub(1.5).mul(2),
        torch.addcmul(x, x, x, value=0.5) + torch.logaddexp(x, x * 2) + x.div(3.0, rounding_mode="floor"),
    )


@raw(X)
def torch_reductions(self, x):
    return (
        x.sum(),
        x.mean(),
        x.max(),
        x.min(),
        x.prod(dim=1),
        x.sum((0, 1)),
        x.mean([1, 2], keepdim=True),
        x.var(-1),
        x.var(-1, unbiased=False),
        x.std(dim=1, correction=0),
        torch.logsumexp(x, dim=1),
        x.norm(dim=-1),
        x.norm(p=1, dim=1),
        torch.linalg.norm(x, dim=-1),
        x.cumsum(1),
        torch.cumprod(x, dim=-1),
        x.amax(1),
        x.amin((1, 2)),
        torch.median(x, dim=-1).values,
        x.sum(axis=1),
        x.count_nonzero(dim=1),
    )


@raw(X)
def torch_shapes(self, x):
    b, d = x.size(0), x.size(-1)
    return (
        x.reshape(b, -1),
        x.view(-1, d).view_as(x),
        x.permute(2, 0, 1).permute((1, 2, 0)),
        x.flatten(1),
        x.unsqueeze(1).squeeze(dim=1),
        x.unsqueeze(-1).squeeze(),
        x.mT,
        x.swapaxes(1, 2),
        x.movedim(2, 1),
        x[:, :1].expand_as(x),
        x.repeat(1, 2, 1),
        x.tile((2,)),
        torch.stack([x, x * 2], dim=1),
        torch.cat([x, x], -1),
        torch.hstack((x, x)),
        x.narrow(2, 1, 3),
        x.select(-1, 2),
        x[:, -1, ::2],
        torch.broadcast_to(x[:, :, :1], x.shape),
        torch.flatten(x, start_dim=0, end_dim=1),
    )


@raw(X)
def torch_splits(self, x):
    a, b, c = x.split([2, 3, 3], dim=-1)
    d, e = torch.split(x, 4, dim=2)
    f, *_ = x.unbind(-1)
    g, h, i = torch.chunk(x, 3, dim=-1)
    return a.sum() + b.sum() - c.mean(), d * e, f, g + h, i, torch.tensor_split(x, 2, dim=-1)[1]


@raw(X)
def torch_casts(self, x):
    y = x.half().float() + x.double().to(x.dtype) + x.to(torch.bfloat16).type_as(x)
    z = x.long().to(x.device) + (x > 0).int() + x.bool().to(dtype=torch.uint8) + x.type(torch.int16)
    return y, z, x.to("cpu").contiguous(), x.to(x).clone(), x.float()


@raw(X)
def torch_new_tensors(self, x):
    b, t, d = x.shape
    return (
        torch.zeros(b, t) + torch.ones(x.shape[:2]) + x.new_zeros(b, t) + x.new_ones((b, t)),
        torch.eye(d) * 2,
        torch.zeros_like(x) + torch.ones_like(x, dtype=torch.float64),
        torch.arange(t) * 2,
        torch.full((b, d), 2.5, dtype=x.dtype),
        torch.full_like(x, 3.0),
        torch.linspace(0, 1, t),
        x.new_full((t,), 1.5),
        torch.arange(1, t + 1, dtype=x.dtype),
        torch.empty(b, 2).fill_(1.0),
        torch.zeros((b, 1), device=x.device, dtype=x.dtype),
        torch.meshgrid(torch.arange(t), torch.arange(d), indexing="ij")[0],
    )


@raw(X)
def torch_operators(self, x):
    i = x.long()
    return (
        2 / (x + 9) + (1 - x) * 3 - x / 7 + 0.1 * x,
        -x + abs(x),
        x // 0.5,
        x % 0.7,
        i // 2,
        i % 3,
        i / 2,
        ~(x > 0) & (x < 1) | (x == 0),
        (x > 0) ^ (x > 1),
        i * 2,
        x @ x.mT,
        2 ** i.clamp(0, 3),
        torch.tensor(2.0) * x + torch.tensor([1.0] * 8),
        (x >= 0.5) + x,
    )


@raw(X)
def torch_linear_algebra(self, x):
    square = x.mT @ x + torch.eye(x.size(-1)) * 4
    return (
        torch.linalg.inv(square),
        torch.linalg.det(square),
        torch.trace(square[0]),
        torch.linalg.cholesky(square),
        torch.diagonal(square, dim1=-2, dim2=-1),
        torch.baddbmm(square, x.mT, x),
        torch.tensordot(x, x, dims=([1], [1])),
        torch.cdist(x, x),
        F.cosine_similarity(x, x * 2 + 1, dim=-1),
        torch.block_diag(square[0], square[1]),
    )


@raw(X)
def torch_losses(self, x):
    target = torch.softmax(x.flip(-1), -1)
    return (
        F.mse_loss(x, target),
        F.l1_loss(x, target, reduction="none"),
        F.smooth_l1_loss(x, target),
        F.binary_cross_entropy_with_logits(x, target),
        F.kl_div(F.log_softmax(x, -1), target, reduction="batchmean"),
        F.cross_entropy(x.flatten(0, 1), target.flatten(0, 1)),
        F.huber_loss(x, target),
    )


@raw(X)
def torch_named_arguments(self, x):
    y = torch.sum(input=x, dim=1, keepdim=True) + torch.mul(input=x, other=2.0)
    return torch.transpose(input=y, dim0=1, dim1=2), torch.where(condition=y > 0, input=y, other=x)


@raw(X)
def torch_isinstance_gate(self, x):
    if not isinstance(x, torch.Tensor) or not torch.is_tensor(x) or not isinstance(x, (list, Tensor)):
        raise TypeError("a tensor is expected")
    assert x.dim() == 3
    assert x.is_floating_point()
    assert not x.is_complex()
    return x * 2 if x.dtype == torch.float32 else x


@raw(X)
def torch_with_keras_ops(self, x):
    y = ops.softmax(torch.matmul(x, ops.transpose(x, (0, 2, 1))), axis=-1)
    return ops.concatenate([y @ x, torch.relu(ops.square(x))], axis=-1)


@raw(X, attributes=lambda: {"activation": F.gelu, "functions": [torch.sin, lambda y: y.cos()]})
def torch_functions_as_attributes(self, x):
    for function in self.functions:
        x = function(x)
    return self.activation(x)


@raw({"a": X, "b": booleans(3, 5)}, fixed=(1,))
def torch_two_inputs(self, inputs):
    x, keep = inputs["a"], inputs["b"]
    return x.masked_fill(~keep.unsqueeze(-1), -1e9).logsumexp(dim=1), (x * keep[..., None]).sum(1)


@raw(floats(3, 4).astype("float16"))
def torch_half_precision(self, x):
    return x * 0.1, x + 0.5, F.softmax(x, -1), x.float() * 0.1, x.sum(-1), x / 3, x.mean()


@raw(floats(3, 4).astype("float64"))
def torch_double_precision(self, x):
    return x * 0.1, x + 1e-12, 1 / x, x.clamp(-0.1, 0.1), x.abs() ** 0.3, torch.where(x > 0, x, 0.1)


@case
def torch_buffers():
    """A constant of PyTorch in an attribute, made in the constructor."""

    class Buffered(layers.Layer):
        def __init__(self):
            super().__init__()
            self.table = torch.linspace(-1.0, 1.0, 8 * 16).view(16, 8)
            self.scale = torch.tensor(0.5)

        def call(self, x):
            return x * self.scale + self.table[: x.size(1)]

    return Case(free(Buffered(), X, (1,)), X, needs_input=False)


# --- Gradients -----------------------------------------------------------------------------


@raw(X, weights=True)
def torch_straight_through(self, x):
    y = torch.tanh(x @ self.kernel + self.bias)
    return y + (y.round() - y).detach()


@raw(X, weights=True)
def torch_no_grad_block(self, x):
    with torch.no_grad():
        scale = torch.matmul(x, self.kernel).abs().mean(dim=-1, keepdim=True)
        scale = ops.maximum(scale, 0.1)
    return (x @ self.kernel + self.bias) / scale


@case
def torch_no_grad_around_layers():
    """A teacher inside `torch.no_grad()`."""

    class Distilled(keras.Model):
        def __init__(self):
            super().__init__()
            self.teacher, self.student = layers.Dense(3), layers.Dense(3)

        def call(self, x):
            with torch.no_grad():
                target = F.softmax(self.teacher(x), -1)
            return self.student(x), target - self.student(x)

    return Case(Distilled(), floats(3, 4))


@raw(X, weights=True)
def torch_inference_only_branch(self, x):
    with torch.set_grad_enabled(False):
        mask = (x @ self.kernel) > 0
        shift = x.detach().mean()
    return torch.where(mask, x, x @ self.kernel) + self.bias - shift.data


# --- Draws ---------------------------------------------------------------------------------


@raw(X)
def torch_dropout_that_is_off(self, x):
    return F.dropout(x, 0.5, training=False) * 2


@raw(X, layer=RawTraining)
def torch_dropout_by_the_flag(self, x, training):
    return F.dropout(x * 2, p=0.5, training=bool(training))


@raw(X, layer=RawTraining, weights=True)
def torch_noise_in_training(self, x, training):
    y = x @ self.kernel + self.bias
    if training:
        y = y + torch.randn_like(y) * 0.1
    return y


@raw(X, weights=True)
def torch_vae_sampling(self, x):
    mean, log_variance = (x @ self.kernel + self.bias).chunk(2, dim=-1)
    noise = torch.randn_like(log_variance)
    return mean + torch.exp(0.5 * log_variance) * noise


@raw(X)
def torch_draws_in_order(self, x):
    a = torch.rand(x.size(0), 4)
    b = torch.randn((2, 4), dtype=x.dtype, device=x.device)
    c = torch.rand_like(x[..., :4]) < 0.5
    return b.sum() * a, x[..., :4] * c, torch.randint(0, 9, (x.shape[1],)), torch.bernoulli(x.sigmoid())


@raw(X, fixed=(1,))
def torch_shuffled(self, x):
    return x[:, torch.randperm(x.shape[1])]


# --- In place ------------------------------------------------------------------------------


@raw(X, weights=True)
def torch_add_in_place(self, x):
    y = x @ self.kernel
    y += self.bias
    y.mul_(2.0).clamp_(-1.0, 1.0)
    z = y
    z -= 0.5
    return y, z * 3


@raw(X)
def torch_in_place_through_a_view_that_replaces(self, x):
    y = (x * 2).view(x.size(0), -1)
    y += 1.0
    y = F.relu(y, inplace=True)
    return y.view(x.shape)


@raw(X)
def torch_item_assignment(self, x):
    y = x.clone()
    y[:, 0] = 0.0
    y[..., 1:3] = x[..., 3:5] * 2
    y[y > 1.0] = 1.0
    return y


@raw(X, weights=True)
def torch_parts_changed_and_put_back(self, x):
    y = torch.matmul(x, self.kernel).reshape(-1, 8)
    y += self.bias
    y[:, 2:4] *= 2.0
    y[0] -= 1.0
    return y.view(x.shape)


@raw(X)
def torch_fill_an_empty_tensor(self, x):
    out = torch.zeros(x.size(0), x.size(1) + 1, 8, dtype=x.dtype)
    out[:, 1:] = x
    return out


@raw(X)
def torch_masked_fill_in_place(self, x):
    scores = torch.matmul(x, x.transpose(1, 2))
    scores.masked_fill_(scores < 0, -1e4)
    scores.div_(2.0)
    return scores


@raw(X, opaque=True)
def torch_alias_read_afterwards(self, x):
    y = x * 2
    z = y.view(x.size(0), -1)
    z += 1.0
    return y


@raw(X, opaque=True)
def torch_part_changed_in_place(self, x):
    y = x * 2
    y[0].add_(1.0)
    return y


@raw(X, opaque=True)
def torch_out_argument(self, x):
    y = torch.empty_like(x)
    torch.mul(x, 2.0, out=y)
    return y


# --- What stays whole ----------------------------------------------------------------------


class Rounded(torch.autograd.Function):
    """Rounds, and passes gradients on."""

    @staticmethod
    def forward(ctx, x):
        return x.round()

    @staticmethod
    def backward(ctx, gradient):
        return gradient


@raw(X, opaque=True)
def torch_autograd_function(self, x):
    return Rounded.apply(x * 2)


@raw(X, opaque=True)
def torch_data_dependent_size(self, x):
    return torch.zeros_like(x) + x[x > 0].sum()


@raw(X, opaque=True)
def torch_python_value(self, x):
    return x / max(1.0, x.abs().max().item())


@raw(X, opaque=True)
def torch_nonzero(self, x):
    return x + torch.nonzero(x).size(0) * 0.0

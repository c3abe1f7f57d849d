"""Raw PyTorch: what the zoo cannot ask, because it is about the trace and not about a model."""

import keras
import numpy as np
import pytest
from keras import ops

if keras.backend.backend() != "torch":
    pytest.skip("raw PyTorch", allow_module_level=True)

import torch
import torch.nn.functional as F  # noqa: N812 (as everyone calls it)
from torch.utils.checkpoint import checkpoint

import kerasfx
from kerasfx.errors import StateUpdateError, TraceError
from kerasfx.tracing.patches import patched

pytestmark = pytest.mark.any_keras

X = np.random.default_rng(0).standard_normal((3, 6, 4)).astype("float32")


def model_of(function, *layers):
    """A model whose `call` is a function of the input and of layers."""

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.own = list(layers)

        def call(self, x):
            return function(x, *self.own)

    return Net()


def layer_of(function, **attributes):
    """A layer whose `call` is a function of itself and the input, with a weight `w` of shape (4,)."""

    class Own(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            for name, make in attributes.items():
                setattr(self, name, make())
            self.w = self.add_weight(shape=(4,), initializer="random_normal", name="w")

        def call(self, x):
            return function(self, x)

    return Own()


def free():
    return keras.Input((None, 4))


def targets(function):
    """What the nodes of a trace call."""
    return [n.target for n in kerasfx.trace(model_of(function), free()).graph.nodes]


def expect_equal(original, prepared, x=X):
    """The same numbers, at two sizes."""
    with torch.no_grad():
        for example in (x, x[:2, :5]):
            ours, theirs = original(example), prepared(example)
            for a, b in zip(keras.tree.flatten(ours), keras.tree.flatten(theirs), strict=True):
                np.testing.assert_array_equal(ops.convert_to_numpy(a), ops.convert_to_numpy(b))


def prepared_of(layer):
    """A layer in a Functional model, prepared and found equivalent."""
    inputs = free()
    original = keras.Model(inputs, layer(inputs))
    prepared = kerasfx.prepare_model(original)
    expect_equal(original, prepared)
    return prepared


def is_opaque(prepared):
    return bool(kerasfx.report(prepared).opaque)


def test_nothing_is_left_behind():
    """Functions, methods and modes are PyTorch's own before and after a trace."""
    owners = (torch, torch.Tensor, torch.nn.Module, torch.autograd.Function, F, torch.random, keras.Layer)
    before = [dict(vars(owner)) for owner in owners]
    here = dict(globals())
    state = torch.random.get_rng_state()
    assert targets(lambda x: F.relu(x) + torch.randn(4))
    with pytest.raises(TraceError):
        targets(lambda x: x.item())
    assert patched() == ()
    assert torch.overrides._get_current_function_mode_stack() == []
    assert torch.is_grad_enabled()
    assert torch.equal(state, torch.random.get_rng_state())
    assert globals() == here
    for owner, attributes in zip(owners, before, strict=True):
        assert [k for k, v in attributes.items() if vars(owner).get(k) is not v] == []
        assert set(vars(owner)) == set(attributes)


# --- In place ------------------------------------------------------------------------------


def in_place(x, *others):
    x += 1.0
    return x


REPLACED = {
    "the result of an op": lambda x: in_place(x * 2),
    "a view of a result, alone": lambda x: in_place((x * 2).reshape(-1, 4)),
    "twice": lambda x: in_place(in_place(ops.exp(x))),
    "another name": lambda x: (lambda y: (in_place(y), y + 0.5))(x * 2),
    "an input": lambda x: in_place(x) * 2,
    "a view made afterwards": lambda x: in_place(x * 2).view(-1, 4).mul_(3.0),
    "a list": lambda x: [in_place(y) for y in (x * 2, x * 3)],
    "with operators": lambda x: (x * 2).add_(x).sub_(1.0).mul_(x).div_(2.0).pow_(2).clamp_(0.0, 3.0).sqrt_(),
    "by an activation": lambda x: F.leaky_relu(F.silu(x * 2, inplace=True), 0.1, True),
    "a copy": lambda x: torch.empty_like(x).copy_(x * 2).zero_().fill_(2.0) + x,
    "a cast": lambda x: in_place(x.double()).float(),
    "in another dtype": lambda x: (x * 2).add_(x.double()),
    "items": lambda x: (lambda y: (y.__setitem__((slice(None), 0), 1.0), y)[1])(x * 2),
    "a matrix product": lambda x: in_place(torch.einsum("btd,bsd->bts", x, x)),
}


@pytest.mark.parametrize("function", REPLACED.values(), ids=REPLACED)
def test_changed_in_place(function):
    """The tensor has its new value wherever it is read, and nothing stays whole."""
    net = model_of(lambda x: function(ops.copy(x)))
    prepared = kerasfx.prepare_model(net, free())
    assert not is_opaque(prepared)
    expect_equal(net, prepared)


def after(change, read):
    """Changes a view of a tensor in place and reads the tensor, or the other way round."""

    def function(x):
        y = x * 2
        return read(y, change(y))

    return function


ALIASED = {
    "view": after(lambda y: in_place(y.view(-1, 4)), lambda y, _: y * 1),
    "ops.reshape": after(lambda y: in_place(ops.reshape(y, (-1, 4))), lambda y, _: y * 1),
    "ops.transpose": after(lambda y: in_place(ops.transpose(y, (0, 2, 1))), lambda y, _: y * 1),
    "item": after(lambda y: in_place(y[:, 0]), lambda y, _: y * 1),
    "item assigned in a view": after(lambda y: y[0].__setitem__(0, 1.0), lambda y, _: y * 1),
    "expand_dims": after(lambda y: in_place(ops.expand_dims(y, 0)), lambda y, _: y * 1),
    "split": after(lambda y: in_place(ops.split(y, 2, axis=-1)[0]), lambda y, _: y * 1),
    "detach": after(lambda y: in_place(y.detach()), lambda y, _: y * 1),
    "data": after(lambda y: in_place(y.data), lambda y, _: y * 1),
    "stop_gradient": after(lambda y: in_place(ops.stop_gradient(y)), lambda y, _: y * 1),
    "a sibling": lambda x: (lambda y: (lambda a, b: (in_place(a), b * 1)[1])(y.view(-1, 4), y.view(-1, 2)))(
        x * 2
    ),
    "what it is a view of": lambda x: (lambda y: (lambda z: (in_place(y), z * 1)[1])(y.mT))(x * 2),
    "an input": lambda x: (lambda y: (in_place(y), x * 1)[1])(x.view(-1, 4)),
    "a result": after(lambda y: in_place(y.view(-1, 4)), lambda y, _: y),
    "contiguous": after(lambda y: in_place(y.contiguous()), lambda y, _: y * 1),
    "a part put back": lambda x: (lambda y, p: (in_place(p), y.__setitem__(0, p), in_place(y), p * 1)[-1])(
        *(lambda y: (y, y[0]))(x * 2)
    ),
    "a sibling of a part": lambda x: (lambda y, p, q: (in_place(p), y.__setitem__(0, p), q * 1)[-1])(
        *(lambda y: (y, y[0], y[0]))(x * 2)
    ),
    "an identity": lambda x: (lambda y: (in_place(keras.layers.Identity()(y)), y * 1)[1])(x * 2),
    "dropout": lambda x: (lambda y: (in_place(keras.layers.Dropout(0.5)(y)), y * 1)[1])(x * 2),
}


@pytest.mark.parametrize("function", ALIASED.values(), ids=ALIASED)
def test_another_name_for_changed_memory(function):
    """It is refused, and a layer stays whole."""
    with pytest.raises(TraceError, match=r"changed in place") as caught:
        kerasfx.trace(model_of(function), free())
    assert "why:   on PyTorch `x += y` and the like change everything that shares the memory" in str(
        caught.value
    )


@pytest.mark.parametrize(
    "function",
    [
        lambda self, x: in_place(self.w.value) * x,
        lambda self, x: in_place(ops.reshape(self.w, (1, 4))) * x,
        lambda self, x: self.w.value.__setitem__(0, 1.0) or x,
        lambda self, x: self.buffer.add_(1.0) * x,
        lambda self, x: self.buffer.__setitem__(0, 1.0) or x * self.buffer,
        lambda self, x: self.buffer.mul_(x.mean()) * x,
        lambda self, x: torch.mul(x, 2.0, out=torch.zeros(3, 6, 4)),
        lambda self, x: torch.zeros(4).normal_() * x,
        lambda self, x: torch.empty_like(x).uniform_() + x,
        lambda self, x: torch.zeros(4).add_(x.mean((0, 1))) * x,
    ],
)
def test_weights_constants_and_draws_in_place(function):
    """They are refused, and the constant keeps its value."""
    layer = layer_of(function, buffer=lambda: torch.ones(4))
    layer.built = True
    with pytest.raises((TraceError, StateUpdateError)):
        kerasfx.trace(layer, free())
    assert torch.equal(layer.buffer, torch.ones(4))


def test_a_constant_made_in_the_call_may_change():
    """It is no state."""

    def function(x):
        table = torch.zeros(4)
        table[1] = 2.0
        y = x + table
        table += 1.0
        return y * table

    net = model_of(function)
    expect_equal(net, kerasfx.prepare_model(net, free()))


def test_a_layer_that_changes_its_argument():
    """The layer around it sees the change; kept whole, it would change what other nodes take."""

    def outer(then):
        inner = layer_of(lambda self, x: then(in_place(x)) * self.w)

        def function(self, x):
            y = x * 2
            z = self.inner(y)
            return y + z

        return layer_of(function, inner=lambda: inner)

    fine = prepared_of(outer(lambda x: x))
    assert not is_opaque(fine)
    whole = outer(lambda x: x * x.sum().item())
    prepared = kerasfx.prepare_model(keras.Sequential([free(), whole]), verify=False)
    assert [f.path for f in kerasfx.report(prepared).opaque] == ["own"]  # as it is counted in this model


@pytest.mark.parametrize("change", [lambda x, training: x, lambda x, training: x * 2 if training else x])
def test_an_argument_changed_in_place_in_each_mode(change):
    """Whether the two modes do the same or not."""

    class Inner(keras.layers.Layer):
        def call(self, x, training=None):
            x += 1.0
            y = x * 3.0 if training else x * 2.0
            x += change(y, training)
            return y

    class Outer(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = Inner()

        def call(self, x, training=None):
            x = x * 2.0
            return self.inner(x, training=training) + x

    assert not is_opaque(prepared_of(Outer()))


def filled(x, start, step=lambda out, new: out):
    """A loop over time that writes into what it began with."""

    def body(t, state):
        total, out = state
        total = total + x[:, t]
        out[:, t] = total
        return [total, step(out, total)]

    return ops.fori_loop(0, ops.shape(x)[1], body, [ops.zeros_like(x[:, 0]), start])


def counted(x):
    def body(t, out):
        out[:, t] = x[:, t] * 2.0
        return t + 1, out

    return ops.while_loop(lambda t, out: t < 3, body, (0, ops.zeros_like(x)))[1]


@pytest.mark.parametrize(
    "function", [lambda x: filled(x, ops.zeros_like(x))[1], lambda x: filled(x, x * 2)[1], counted]
)
def test_a_loop_that_changes_what_it_begins_with(function):
    net = model_of(function)
    prepared = kerasfx.prepare_model(net, free())
    assert not is_opaque(prepared)
    expect_equal(net, prepared)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (lambda start: filled(x, start)[1] + start)(x * 2),
        lambda x: (lambda start: filled(start, start)[1])(x * 2),
        lambda x: (lambda start: filled(start[:, ::1], start)[1])(x * 2),
        lambda x: filled(x, x * 2, step=lambda out, new: ops.broadcast_to(new[:, None], ops.shape(out)))[1],
        lambda x: ops.vectorized_map(lambda row: in_place(row), x * 2),
    ],
    ids=["read later", "read inside", "a view read inside", "results that share", "a map"],
)
def test_a_loop_that_changes_what_is_read_elsewhere(function):
    with pytest.raises(TraceError, match=r"in place"):
        kerasfx.trace(model_of(function), free())


# --- Gradients -----------------------------------------------------------------------------


def gradient_of(model, x, weight):
    """The gradient of the sum of the outputs."""
    result = model(torch.tensor(x))
    total = sum(y.sum() for y in keras.tree.flatten(result))
    return torch.autograd.grad(total, weight, allow_unused=True)[0]


@pytest.mark.parametrize(
    "function",
    [
        lambda self, x: (x * self.w).detach() * self.w,
        lambda self, x: (x * self.w).data * self.w,
        lambda self, x: x * self.w.value.detach() * self.w,
        lambda self, x: in_place(x * self.w) ** 2,
        lambda self, x: checkpoint(lambda y: torch.tanh(y * self.w), x, use_reentrant=False),
    ],
)
def test_gradients_are_those_of_the_original(function):
    """What cuts them in the original cuts them in the result."""
    layer = layer_of(function)
    inputs = free()
    original = keras.Model(inputs, layer(inputs))
    prepared = kerasfx.prepare_model(original)
    assert not is_opaque(prepared)
    a = gradient_of(original, X, layer.w.value)
    b = gradient_of(prepared, X, prepared.trainable_weights[0].value)
    torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    "block", [torch.no_grad, lambda: torch.set_grad_enabled(False), torch.inference_mode], ids=str
)
def test_blocks_without_gradients(block):
    """Layers, functions of PyTorch and of Keras pass none on."""
    dense = keras.layers.Dense(4)

    def function(self, x):
        with block():
            y = self.dense(x) + ops.exp(x * self.w) - torch.sin(x * self.w)
        return y.clone() * self.w

    layer = layer_of(function, dense=lambda: dense)
    inputs = free()
    original = keras.Model(inputs, layer(inputs))
    prepared = kerasfx.prepare_model(original)
    assert not is_opaque(prepared)
    by_path = {v.path.rpartition("/")[2]: v.value for v in prepared.trainable_weights}
    torch.testing.assert_close(
        gradient_of(original, X, layer.w.value), gradient_of(prepared, X, by_path["weight"])
    )
    assert gradient_of(original, X, dense.kernel.value) is None
    assert gradient_of(prepared, X, by_path["kernel"]) is None


# --- Draws and modes -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "draw",
    [
        lambda: torch.rand(4),
        lambda: torch.randn((4,)),
        lambda: torch.randperm(4).float(),
        lambda: torch.normal(0.0, 1.0, (4,)),
        lambda: torch.bernoulli(torch.full((4,), 0.5)),
        lambda: torch.rand_like(torch.ones(4)),
        lambda: F.dropout(torch.ones(4), 0.5),
        lambda: F.gumbel_softmax(torch.ones(4)),
        lambda: torch.distributions.Normal(torch.zeros(4), 1.0).sample(),
    ],
)
def test_a_draw_is_never_frozen(draw):
    """The results of two calls differ, and are those of the original from the same state."""
    net = model_of(lambda x: x + draw())
    prepared = kerasfx.prepare_model(net, free())
    with torch.no_grad():
        torch.manual_seed(1)
        expected = [net(X), net(X)]
        torch.manual_seed(1)
        ours = [prepared(X), prepared(X)]
    assert not torch.equal(*ours)
    for a, b in zip(expected, ours, strict=True):
        assert torch.equal(a, b)


def autocast(x):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return x @ x.mT


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda x: torch.manual_seed(0) and x + torch.rand(4), "torch.manual_seed sets"),
        (lambda x: x + torch.rand(4, generator=torch.Generator()), "draws from a generator"),
        (autocast, "torch.autocast"),
        (lambda x: x[x > 0].sum(), "depends on the data"),
        (lambda x: torch.where(x > 0)[0].sum(), "depends on the data"),
        (lambda x: torch.nonzero(x), "torch.nonzero is not recorded"),
        (lambda x: F.one_hot(x.argmax(-1)), "without num_classes"),
        (lambda x: x.repeat_interleave(x[0, :, 0].long(), dim=1), "depends on the data"),
        (lambda x: x.split(2, dim=1)[0], "number is not known"),
        (lambda x: x.unbind(1)[0], "number is not known"),
        (lambda x: x * x.max().item(), "item"),
        (lambda x: x * len(x.tolist()), "tolist"),
        (lambda x: torch.tensor(x.numpy()), "numpy"),
        (lambda x: x if x.requires_grad else -x, "requires_grad"),
        (lambda x: x.register_hook(lambda g: g) and x, "register_hook"),
        (lambda x: torch.vmap(torch.sin)(x), "TracedTensor|KerasTensor"),
        (lambda x: x.to("meta"), "moved to the device"),
        (lambda x: x.sparse_mask(x), "not recorded"),
        (lambda x: x.no_such_thing, "no_such_thing"),
    ],
)
def test_what_is_refused(function, says):
    """With the reason."""
    with pytest.raises(Exception, match=says) as caught:
        kerasfx.trace(model_of(function), free())
    assert not isinstance(caught.value, AssertionError)


def doubled(x):
    return torch.relu(x) * 2


@pytest.mark.filterwarnings("ignore:.torch.jit.*is deprecated:DeprecationWarning")
def test_a_scripted_function_keeps_its_layer_whole():
    scripted = torch.jit.script(doubled)
    assert is_opaque(prepared_of(layer_of(lambda self, x: scripted(x) * self.w)))


def test_a_compiled_function_is_looked_into():
    compiled = torch.compile(lambda x, w: torch.relu(x) * w)
    net = layer_of(lambda self, x: compiled(x, self.w.value))
    graph = kerasfx.trace(model_of(lambda x, own: own(x), net), free()).graph
    assert [n.target for n in graph.nodes] == ["keras.ops.relu", "keras.ops.multiply"]


def test_the_mode_of_modules_is_not_kept():
    """`self.training` is no argument of the call."""
    layer = layer_of(lambda self, x: F.dropout(x, 0.5, self.training) * self.w)
    prepared = kerasfx.prepare_model(keras.Sequential([free(), layer]), verify=False)
    [finding] = kerasfx.report(prepared).opaque
    assert "The attribute self.training of a module of PyTorch is read." in finding.what
    assert "use the argument `training` of call" in finding.what


# --- Modules and parameters of PyTorch -------------------------------------------------------


def test_a_module_becomes_functions_and_weights(tmp_path):
    """Keras wraps it and trains its parameters; the result needs neither pickle nor the wrapper."""

    def make():
        return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.GELU(), torch.nn.LayerNorm(8))

    layer = layer_of(lambda self, x: self.block(x) * self.w.value.repeat(2), block=make)
    prepared = prepared_of(layer)
    assert not is_opaque(prepared)
    assert len(prepared.trainable_weights) == 5
    prepared.save(tmp_path / "m.keras")
    expect_equal(prepared, keras.saving.load_model(tmp_path / "m.keras"))


def test_parameters_of_a_wrapped_module_are_weights():
    """However they are reached."""

    def function(self, x):
        linear = self.linear.module
        return F.linear(x, linear.weight * 2, linear.bias.abs()) + linear.weight.T.sum() * self.w

    prepared = prepared_of(layer_of(function, linear=lambda: torch.nn.Linear(4, 4)))
    assert not is_opaque(prepared)
    assert len(prepared.trainable_weights) == 3
    assert not kerasfx.report(prepared).of_kind("fixed")


def test_a_module_with_a_state_stays_whole():
    layer = layer_of(lambda self, x: self.norm(x.mT).mT * self.w, norm=lambda: torch.nn.BatchNorm1d(4))
    inputs = free()
    prepared = kerasfx.prepare_model(keras.Model(inputs, layer(inputs)), weights="share", verify=False)
    assert not [x.op for x in prepared.layers if getattr(x, "op", "").endswith("batch_norm")]


def test_a_parameter_that_keras_does_not_train_is_reported():
    """Keras neither tracks nor saves it: the present value is used, with a line in the report."""
    layer = layer_of(
        lambda self, x: x * self.free * self.w, free=lambda: torch.nn.Parameter(torch.ones(4) * 3)
    )
    prepared = prepared_of(layer)
    [finding] = kerasfx.report(prepared).of_kind("fixed")
    assert "is no weight of the model" in finding.what


# --- Names -----------------------------------------------------------------------------------


def test_attributes_and_methods_that_give_no_tensor():
    """They are what they are on a tensor of PyTorch."""

    def gates(x):
        assert isinstance(x, torch.Tensor)
        assert isinstance(x, keras.KerasTensor)
        assert not isinstance(x, (torch.nn.Parameter, np.ndarray))
        assert torch.is_tensor(x)
        assert x.dim() == x.ndim == x.ndimension() == 3
        assert x.dtype is torch.float32
        assert x.device.type == "cpu"
        assert not x.is_cuda
        assert x.get_device() == -1
        assert x.size(-1) == x.size()[2] == x.shape[-1] == 4
        assert x.shape[1:].numel() == x.size(1) * 4
        assert x.numel() == x.nelement() == x.shape.numel()
        assert x.element_size() == x.itemsize == 4
        assert torch.numel(x) == x.numel()
        assert torch.is_floating_point(x)
        assert torch.finfo(x.dtype).bits == 32
        assert (x > 0).dtype is torch.bool
        assert x.argmax(-1).dtype == torch.int64
        assert type(x.max(1)).__name__ == "max"
        return torch.tanh(x)

    assert "keras.ops.tanh" in targets(gates)


def test_division_of_a_number_has_the_bits_of_pytorch():
    """Which multiplies by the reciprocal."""
    net = model_of(lambda x: 0.1 / x)
    expect_equal(net, kerasfx.prepare_model(net, free()), 100 * X)

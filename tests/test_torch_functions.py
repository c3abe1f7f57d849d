"""A model file names functions of PyTorch: only those on the list. What has a twin runs on every backend."""

import inspect

import keras
import numpy as np
import pytest
from loaded_elsewhere import ElsewhereError, run_elsewhere

import kerasfx
from kerasfx.errors import UnknownFunctionError
from kerasfx.runtime import codec
from kerasfx.runtime.functions import backend_functions, resolve, torch_names
from kerasfx.runtime.layers import Op
from kerasfx.tracing.encoding import encode

pytestmark = pytest.mark.any_keras

on_torch = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="functions of PyTorch are found there alone"
)

FORBIDDEN = """
    torch.load torch.save torch.hub.load torch.compile torch.jit.script torch.jit.load torch.from_file
    torch.package.PackageImporter torch.utils.cpp_extension.load torch.ops.load_library
    torch.classes.load_library torch.onnx.export torch.export.load torch.fx.symbolic_trace
    torch.multiprocessing.spawn torch.os.system torch.distributed.init_process_group
    torch.cuda.set_device torch.manual_seed torch.seed torch.set_rng_state torch.set_default_dtype
    torch.set_default_device torch.set_num_threads torch.set_grad_enabled torch.no_grad torch.autocast
    torch.vmap torch.cond torch.func.vmap torch.autograd.grad torch.Generator torch.Tensor
    torch.Tensor.numpy torch.Tensor.tolist torch.Tensor.item torch.Tensor.apply_ torch.Tensor.map_
    torch.Tensor.backward torch.Tensor.register_hook torch.Tensor.storage torch.Tensor.untyped_storage
    torch.Tensor.data_ptr torch.Tensor.share_memory_ torch.Tensor.set_ torch.Tensor.resize_
    torch.Tensor.add_ torch.Tensor.as_subclass torch.Tensor.module_load torch.Tensor.new
    torch.Tensor.__reduce_ex__ torch.Tensor.__class__ torch.Tensor.mro torch.Tensor.__init_subclass__
    torch.Tensor.as_strided torch.nn.functional.handle_torch_function
    torch.nn.functional.boolean_dispatch torch.nn.functional.__builtins__ torch.nn.functional.importlib
    torch.nn.functional.warnings torch.nn.functional.torch torch.nn.functional.relu_
    torch.nn.functional.triplet_margin_with_distance_loss torch.nn.functional.Callable torch.nn.Linear
    torch.nn.Module torch.nn.functional.relu.__globals__ torch.nn.functional.relu.__call__
    torch.linalg.LinAlgError torch.linalg.Tensor torch.linalg.sys torch.fft.Tensor torch.special.Tensor
    torch.relu_ torch._C torch._assert torch.__builtins__ torch.__dict__ torch.sys torch.os
    torch.importlib torch.threading torch.updated.Any torch.updated.annotations
    torch.updated.__builtins__ torch.updated.set_item.__globals__ torch. .torch torch..relu torch.nn.
    kerasfx.functions.torch_updates.set_item
""".split()  # noqa: SIM905


@pytest.mark.parametrize("name", FORBIDDEN)
def test_function_outside_the_list(name):
    """It is refused by its name, on every backend."""
    with pytest.raises(UnknownFunctionError) as caught:
        resolve(name)
    assert name in str(caught.value)


@on_torch
def test_every_listed_name_is_a_function_of_tensors():
    """None is missing, works in place, is a class, or speaks of files, code, memory or state."""
    suspicious = torch_names.words(
        "load save file numpy storage ptr hook compile script jit seed share set_ apply map backward"
    )
    allowed = {"torch.updated.set_item"}
    for prefix, space in backend_functions._NAMESPACES["torch"].items():
        for name in space.allowed:
            function = getattr(space.load(), name)
            assert callable(function), name
            assert not isinstance(function, type), name
            assert not name.endswith("_"), name
            assert not name.startswith("_"), name
            named = [word for word in suspicious if word in name]
            assert not named or f"{prefix}.{name}" in allowed, name


@on_torch
def test_no_listed_function_takes_code():
    """By its parameters, where Python knows them."""
    suspicious = {"fn", "func", "function", "callable", "distance_function", "path", "filename", "f"}
    for name, function in backend_functions.functions().values():
        try:
            parameters = set(inspect.signature(function).parameters)
        except (TypeError, ValueError):
            continue
        assert not parameters & suspicious, name


def test_draws_are_on_the_list():
    """What draws is a function that may be named."""
    spaces = backend_functions._NAMESPACES["torch"]
    for name in torch_names.DRAWS:
        namespace, _, function = name.rpartition(".")
        assert function in spaces[namespace].allowed, name


@on_torch
@pytest.mark.parametrize(
    "x",
    [
        ["dtype", "torch.load"],
        ["dtype", "torch.__builtins__"],
        ["dtype", "torch.Tensor"],
        ["Tensor", "torch.Tensor"],
        ["ops", "torch.ops"],
        ["memory_format", "torch.float32"],
        ["dtype", "os.system"],
        ["dtype", ""],
    ],
)
def test_constants_of_pytorch_in_a_file(x):
    """Only dtypes, layouts and memory formats by their names, and the device of Keras."""
    with pytest.raises(ValueError, match="of PyTorch"):
        codec.decode({"$torch": x}, [], lambda tensor, axis: 0)


@on_torch
def test_constants_of_pytorch_survive_the_config():
    import torch

    for x in (torch.float16, torch.bool, torch.channels_last, torch.strided, torch.device("cpu")):
        assert codec.decode(encode(x, lambda v: 0), [], lambda tensor, axis: 0) == x


class AllTwins(keras.layers.Layer):
    """Raw PyTorch, each function of which keras.ops has as well."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 6), initializer="random_normal")
        self.scale = self.add_weight(shape=(6,), initializer="ones")

    def call(self, x):
        import torch
        import torch.nn.functional as F  # noqa: N812

        b, t, _ = x.shape
        position = torch.arange(t, device=x.device).float().unsqueeze(1) / 10.0
        y = torch.matmul(x, self.kernel) + torch.sin(position)
        q, k = (z.view(b, t, 2, 3).transpose(1, 2) for z in (y, y * self.scale))
        scores = torch.matmul(q, k.transpose(-2, -1)) / 3**0.5
        causal = torch.tril(torch.ones(t, t, dtype=torch.bool, device=x.device))
        scores = scores.masked_fill(~causal, float("-inf"))
        y = torch.einsum("bhts,bhsd->bhtd", F.softmax(scores, dim=-1), q)
        y = F.gelu(y.permute(0, 2, 1, 3).contiguous().view(b, t, 6) * torch.tensor(2.0))
        y = torch.cat([y, torch.zeros(b, 1, 6, dtype=y.dtype)], dim=1)
        y += self.scale
        y.clamp_(-3.0, 3.0)
        mean = y.mean(-1, keepdim=True)
        y = (y - mean) * torch.rsqrt((y - mean).pow(2).mean(dim=-1, keepdim=True) + 1e-3)
        first, second = y.chunk(2, dim=-1)
        gate = F.silu(first) * second.detach()
        return torch.stack([y, -y], 1).amax(dim=(1, 2)), gate.flatten(1), torch.where(y > 0, y, 0.1 * y)


class NoTwin(keras.layers.Layer):
    """A function that keras.ops lacks."""

    def call(self, x):
        import torch

        return torch.lgamma(x.abs() + 1.0)


@on_torch
@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_twins_run_on_another_backend(backend, tmp_path):
    """Traced on PyTorch, the saved model names no function of it and computes the same elsewhere."""
    inputs = keras.Input((None, 4))
    prepared = kerasfx.prepare_model(keras.Model(inputs, AllTwins()(inputs)))
    assert kerasfx.report(prepared).opaque == []
    assert not [x.op for x in prepared.layers if isinstance(x, Op) and not x.op.startswith("keras.")]
    prepared.save(tmp_path / "prepared.keras")
    x = np.random.default_rng(0).standard_normal((3, 5, 4)).astype("float32")
    outputs = run_elsewhere(tmp_path / "prepared.keras", x, backend=backend)
    for ours, theirs in zip(prepared.predict_on_batch(x), outputs, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5)


@on_torch
def test_function_without_a_twin_names_its_backend(tmp_path):
    """On JAX the model is refused with the function and what to do."""
    inputs = keras.Input((4,))
    prepared = kerasfx.prepare_model(keras.Model(inputs, NoTwin()(inputs)))
    [name] = [x.op for x in prepared.layers if isinstance(x, Op) and x.op.startswith("torch.")]
    prepared.save(tmp_path / "prepared.keras")
    with pytest.raises(ElsewhereError) as caught:
        run_elsewhere(tmp_path / "prepared.keras", np.ones((2, 4), "float32"), backend="jax")
    text = str(caught.value)
    assert f"{name} is a function of another backend than the running one, jax." in text
    assert "do:    load the model with KERAS_BACKEND=torch" in text

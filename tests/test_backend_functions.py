"""A model file names functions of the backend: only those on the list, whatever else it asks for."""

import json
import os
import zipfile

import keras
import numpy as np
import pytest
from loaded_elsewhere import ElsewhereError, run_elsewhere

import kerasfx
from kerasfx.errors import UnknownFunctionError
from kerasfx.runtime.functions import resolve, tensorflow_names
from kerasfx.runtime.layers import Op

pytestmark = [pytest.mark.any_keras, pytest.mark.quick]

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="functions of TensorFlow are found there alone"
)

FORBIDDEN = """
    os.system posix.system builtins.eval builtins.exec subprocess.run keras.ops.os.system
    tf.io.write_file tf.io.read_file tf.io.gfile.remove tf.py_function tf.numpy_function
    tf.load_library tf.load_op_library tf.saved_model.load tf.saved_model.save tf.function tf.map_fn
    tf.raw_ops.WriteFile tf.raw_ops.ReadFile tf.raw_ops.PyFunc tf.raw_ops.EagerPyFunc
    tf.raw_ops.PyFuncStateless tf.raw_ops.PartitionedCall tf.raw_ops.RestoreV2 tf.raw_ops.SaveV2
    tf.raw_ops.XlaCustomCallV2 tf.raw_ops.VarHandleOp tf.compat.v1.py_func tf.compat.v1.Session
    tf.compat.v1.set_random_seed tf.random.set_seed tf.compat.v1.random.set_random_seed tf.print
    tf.random.set_global_generator tf.random.get_global_generator tf.random.fixed_unigram_candidate_sampler
    tf.nn.fixed_unigram_candidate_sampler tf.config.run_functions_eagerly tf.keras.models.load_model
    tf.experimental.numpy.experimental_enable_numpy_behavior tf.debugging.set_log_device_placement
    tf.nn.__builtins__ tf.nn.__builtins__.eval tf.math.__loader__.load_module tf.math.__spec__ tf.math._sys
    tf.strings.os.system tf.nn.relu.__globals__ tf.nn.relu.__call__ tf.__getattribute__ tf.image.ResizeMethod
    tf.Variable tf.Module tf.TensorShape tf.experimental.numpy.ndarray tf. .tf tf tf..abs tf.nn. tf.Nn.relu
    tensorflow.nn.relu tensorflow.io.write_file
""".split()  # noqa: SIM905


@pytest.fixture
def calls(monkeypatch):
    """What dangerous functions were called with."""
    called = []
    monkeypatch.setattr(os, "system", lambda *args: called.append(args))
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        monkeypatch.setattr(tf.io, "write_file", lambda *args: called.append(args))
        monkeypatch.setattr(tf, "py_function", lambda *args: called.append(args))
    return called


@pytest.mark.parametrize("name", FORBIDDEN)
def test_function_outside_the_list(name, calls):
    """It is refused by its name."""
    with pytest.raises(UnknownFunctionError) as caught:
        resolve(name)
    assert name in str(caught.value)
    assert calls == []


@pytest.mark.parametrize(
    "name", ["os.system", "tf.io.write_file", "tf.py_function", "tf.raw_ops.WriteFile", "tf.nn.__builtins__"]
)
def test_file_that_names_another_function(name, calls, tmp_path):
    """A `.keras` file whose op was changed is not loaded, and nothing is called."""
    inputs = keras.Input((4,))
    output = {"shape": [None, 4], "dtype": "float32"}
    op = Op("keras.ops.tanh", [{"$tuple": [{"$tensor": 0}]}, {"$dict": []}], output)
    keras.Model(inputs, op(inputs)).save(tmp_path / "good.keras")
    with (
        zipfile.ZipFile(tmp_path / "good.keras") as good,
        zipfile.ZipFile(tmp_path / "bad.keras", "w") as bad,
    ):
        for entry in good.namelist():
            text = good.read(entry)
            if entry == "config.json":
                assert b'"keras.ops.tanh"' in text
                text = text.replace(b'"keras.ops.tanh"', json.dumps(name).encode())
            bad.writestr(entry, text)
    assert keras.saving.load_model(tmp_path / "good.keras") is not None
    with pytest.raises(Exception, match=r"is no function that a recorded call may name|another backend"):
        keras.saving.load_model(tmp_path / "bad.keras")
    assert calls == []


@on_tensorflow
def test_raw_ops_of_the_list_are_pure():
    """None has a state, takes functions, or handles resources."""
    from tensorflow.python.framework import op_def_registry

    for name in tensorflow_names.RAW_OPS:
        definition = op_def_registry.get(name)
        assert not definition.is_stateful, name
        assert not [a for a in definition.attr if "func" in a.type], name
        arguments = [*definition.input_arg, *definition.output_arg]
        assert not [a for a in arguments if "resource" in str(a).lower() or "variant" in str(a).lower()], name


class AllTwins(keras.layers.Layer):
    """Raw TensorFlow, each function of which keras.ops has as well."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 6), initializer="random_normal")
        self.scale = self.add_weight(shape=(6,), initializer="ones")

    def call(self, x):
        import tensorflow as tf

        b, t = tf.shape(x)[0], tf.shape(x)[1]
        position = tf.cast(tf.range(t), tf.float32)[:, None] / 10.0
        y = tf.matmul(x, self.kernel) + tf.sin(position)
        scores = tf.nn.softmax(tf.einsum("bth,bsh->bts", y, y) / tf.math.sqrt(6.0), axis=-1)
        causal = tf.range(t)[:, None] >= tf.range(t)
        y = tf.einsum("bts,bsh->bth", tf.where(causal, scores, 0.0), y)
        y = tf.nn.gelu(tf.reshape(y, [b, t, 2, 3]) * tf.constant(2.0))
        y = tf.concat([tf.reshape(y, [b, t, 6]), tf.zeros([b, 1, 6])], axis=1)
        mean, variance = tf.nn.moments(y, axes=[-1], keepdims=True)
        y = (y - mean) * tf.math.rsqrt(variance + 1e-3) * self.scale
        return tf.reduce_max(tf.stack([y, -y], 1), axis=[1, 2]), tf.transpose(y, [0, 2, 1])


class NoTwin(keras.layers.Layer):
    """A function that keras.ops lacks."""

    def call(self, x):
        import tensorflow as tf

        return tf.math.lgamma(tf.abs(x) + 1.0)


@on_tensorflow
def test_twins_run_on_another_backend(tmp_path):
    """Traced on TensorFlow, the saved model names no function of it and computes the same on JAX."""
    inputs = keras.Input((None, 4))
    prepared = kerasfx.prepare_model(keras.Model(inputs, AllTwins()(inputs)))
    assert kerasfx.report(prepared).opaque == []
    assert not [x.op for x in prepared.layers if isinstance(x, Op) and not x.op.startswith("keras.")]
    prepared.save(tmp_path / "prepared.keras")
    x = np.random.default_rng(0).standard_normal((3, 5, 4)).astype("float32")
    outputs = run_elsewhere(tmp_path / "prepared.keras", x, backend="jax")
    for ours, theirs in zip(prepared(x), outputs, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5)


@on_tensorflow
def test_function_without_a_twin_names_its_backend(tmp_path):
    """On JAX the model is refused with the function and what to do."""
    inputs = keras.Input((4,))
    prepared = kerasfx.prepare_model(keras.Model(inputs, NoTwin()(inputs)))
    assert "tf.math.lgamma" in [x.op for x in prepared.layers if isinstance(x, Op)]
    prepared.save(tmp_path / "prepared.keras")
    with pytest.raises(ElsewhereError) as caught:
        run_elsewhere(tmp_path / "prepared.keras", np.ones((2, 4), "float32"), backend="jax")
    text = str(caught.value)
    assert "tf.math.lgamma is a function of another backend than the running one, jax." in text
    assert "why:   the model calls a function that keras.ops lacks" in text
    assert "do:    load the model with KERAS_BACKEND=tensorflow" in text

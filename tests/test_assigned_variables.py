"""A weight that `call` assigns and reads: the numbers and the gradients are those of each backend."""

import keras
import numpy as np
import pytest
from fitting import WAYS_TO_MAKE_AGAIN, made_again
from keras import layers, ops
from predicting import predicted

import kerasfx
from kerasfx.handover.provenance import provenance_of
from kerasfx.keras_api.internals import in_stateless_scope

IS_JAX = keras.backend.backend() == "jax"


class Averaging(keras.Model):
    """Assigns a moving mean in `call`, and reads it."""

    trains_mean = False

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3)
        self.mean = self.add_weight(shape=(3,), initializer="ones", trainable=self.trains_mean)

    def call(self, x):
        h = self.dense(x)
        self.mean.assign(0.9 * self.mean + 0.1 * ops.mean(h, axis=0))
        return h - self.mean


class TrainedMean(Averaging):
    trains_mean = True


class ReadBefore(TrainedMean):
    """On TensorFlow and PyTorch `.value` is the variable itself, which is assigned before it is used."""

    def call(self, x):
        h = self.dense(x)
        before = self.mean.value
        self.mean.assign(self.mean * 2.0 + ops.mean(h, axis=0))
        return h * before + self.mean


class UsedAsAssigned(TrainedMean):
    def call(self, x):
        h = self.dense(x)
        return h - self.mean.assign(0.9 * self.mean + ops.mean(h, axis=0))


class Accumulating(TrainedMean):
    def call(self, x):
        h = self.dense(x)
        self.mean.assign_add(ops.mean(h, axis=0))
        return h - self.mean


class InTraining(Averaging):
    def call(self, x, training=None):
        h = self.dense(x)
        if training:
            self.mean.assign(0.9 * self.mean + 0.1 * ops.mean(h, axis=0))
        return h - self.mean


class NormalizedKernel(keras.Model):
    """Assigns the kernel of a layer before it calls the layer, as spectral normalization does."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3)

    def build(self, shape):
        self.dense.build(shape)

    def call(self, x):
        kernel = self.dense.kernel
        kernel.assign(kernel / ops.sqrt(ops.sum(ops.square(kernel))))
        return self.dense(x)


class Twice(TrainedMean):
    """On PyTorch this cannot be trained: what the gradient needs was changed in place."""

    def call(self, x):
        h = self.dense(x)
        self.mean.assign(self.mean * 2.0)
        h = h * self.mean
        self.mean.assign(self.mean * ops.mean(h, axis=0))
        return h + self.mean


MODELS = [Averaging, TrainedMean, ReadBefore, UsedAsAssigned, Accumulating, InTraining, NormalizedKernel]
if keras.backend.backend() != "torch":
    MODELS.append(Twice)


def data():
    random = np.random.default_rng(0)
    return random.random((8, 4), "float32"), random.random((8, 3), "float32")


def trained(model, x, y, **options):
    model.compile(keras.optimizers.SGD(0.5), "mse", **options)
    return [model.train_on_batch(x, y) for _ in range(2)]


@pytest.mark.parametrize("cls", MODELS)
def test_a_step_trains_as_that_of_the_original(cls):
    model = cls()
    prepared = kerasfx.prepare_model(model, keras.Input((4,)))
    assert kerasfx.compare(model, prepared).exact
    losses = [trained(m, *data()) for m in (model, prepared)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
    for v, w in provenance_of(prepared).variables:
        np.testing.assert_allclose(*map(ops.convert_to_numpy, (w, v)), rtol=1e-4, atol=1e-6, err_msg=v.path)


@pytest.mark.parametrize("how", WAYS_TO_MAKE_AGAIN)
def test_a_model_made_again_trains_as_the_original(how, tmp_path):
    model = ReadBefore()
    again = made_again(kerasfx.prepare_model(model, keras.Input((4,))), how, tmp_path)
    losses = [trained(m, *data(), run_eagerly=True) for m in (model, again)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)


def test_compare_finds_a_gradient_that_passes_through_an_assignment(monkeypatch):
    """The result as it would be if reading a variable gave the tensor that it was assigned."""
    model = Averaging()
    prepared = kerasfx.prepare_model(model, keras.Input((4,)))
    monkeypatch.setattr("kerasfx.runtime.reading_variables.variables_are_places", lambda: False)
    found = kerasfx.compare(model, prepared)
    failed = [check for check in found.checks if not check.passed]
    assert [check.name for check in failed] == ([] if IS_JAX else ["optimizer step"])
    assert IS_JAX or failed[0].detail.startswith("in fit, gradient of 'averaging/dense/")


def test_comparing_writes_to_neither_model_although_both_assign():
    model = TrainedMean()
    prepared = kerasfx.prepare_model(model, keras.Input((4,)))
    variables = [*model.variables, *prepared.variables]
    before = [(id(vars(v)["_value"]), ops.convert_to_numpy(v).copy()) for v in variables]
    assert kerasfx.compare(model, prepared).exact
    for v, (place, value) in zip(variables, before, strict=True):
        assert id(vars(v)["_value"]) == place
        np.testing.assert_array_equal(ops.convert_to_numpy(v), value)


def test_an_original_that_raises_in_its_step_gets_its_variables_back():
    class Raising(Averaging):
        raises = False

        def call(self, x):
            if self.raises and not in_stateless_scope():
                self.mean.assign(ops.zeros((3,)))
                raise ArithmeticError("not in fit")
            return super().call(x)

    model = Raising()
    prepared = kerasfx.prepare_model(model, keras.Input((4,)))
    model.raises = True
    found = kerasfx.compare(model, prepared)
    assert found.equivalent
    assert any("the original raises ArithmeticError: not in fit" in n for n in found.notes) is not IS_JAX
    np.testing.assert_array_equal(ops.convert_to_numpy(model.mean), np.ones(3))


def test_a_variable_that_keras_does_not_know_is_not_written_to():
    variable = keras.Variable(np.ones(3, "float32"), trainable=False)

    class Hidden(Averaging):
        def call(self, x):
            h = self.dense(x)
            variable.assign(ops.mean(h, axis=0))
            return h

    model = Hidden()
    model(data()[0])
    before = ops.convert_to_numpy(variable)
    found = kerasfx.compare(model, kerasfx.prepare_model(Averaging(), keras.Input((4,))))
    assert any("assigns variables that Keras does not count" in note for note in found.notes) is not IS_JAX
    np.testing.assert_array_equal(ops.convert_to_numpy(variable), before)


class Counting(keras.Model):
    """Reads its state, assigns it, and then uses what it read."""

    def __init__(self, copies):
        super().__init__()
        self.copies = copies
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x):
        before = ops.copy(self.count) if self.copies else self.count.value
        self.count.assign_add(1.0)
        return [ops.negative(x), ops.exp(x) * before]


@pytest.mark.parametrize("copies", [True, False])
def test_what_was_read_before_an_assignment_is_as_in_the_original(copies, tmp_path):
    """Although nodes run in another order than the lines; `.value` is the variable itself, but on JAX."""
    model = Counting(copies)
    prepared = kerasfx.prepare_model(model, keras.Input((2,)))
    prepared.save(tmp_path / "counting.keras")
    x = np.zeros((1, 2), "float32")
    first = 0 if copies or IS_JAX else 1
    for m in (model, prepared, keras.models.load_model(tmp_path / "counting.keras")):
        assert [predicted(m, x)[1].tolist() for _ in range(2)] == [[[first] * 2], [[first + 1] * 2]]


class Remembered(keras.Model):
    """Assigns a variable that is cast where `call` runs, or one that is not."""

    def __init__(self, autocast):
        super().__init__(dtype="mixed_float16")
        self.last = self.add_weight(shape=(4,), initializer="zeros", trainable=False, autocast=autocast)

    def call(self, x):
        self.last.assign(ops.cast(ops.mean(x, axis=0), "float32") + 1.0)
        return x + ops.cast(self.last, x.dtype)


@pytest.mark.parametrize("autocast", [True, False])
def test_an_assignment_that_the_original_loses_is_told(autocast):
    """Keras on PyTorch copies into the cast value of the variable; the advice makes both alike."""
    model = Remembered(autocast)
    prepared = kerasfx.prepare_model(model, keras.Input((4,)))
    told = [f for f in kerasfx.report(prepared).of_kind("warning") if "loses what it assigns" in f.what]
    is_lost = autocast and keras.backend.backend() == "torch"
    assert bool(told) == is_lost
    x = np.ones((2, 4), "float32")
    last = [ops.convert_to_numpy(m.variables[0]).tolist() for m in (model, prepared) if m(x) is not None]
    assert (last[0] == last[1]) != is_lost

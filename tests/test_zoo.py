"""The zoo itself is right: every case runs, and exercises the weights it claims to use."""

import functools

import keras
import numpy as np
import pytest
from predicting import predicting
from zoo import ALL, IGNORED_WARNINGS, REFUSED, Case

pytestmark = [pytest.mark.any_keras, *[pytest.mark.filterwarnings(warning) for warning in IGNORED_WARNINGS]]


class Observed:
    """A case whose model was called once; later calls leave the model as it is.

    Attributes:
        case: The case.
        weights: The model's weights, those of its untracked layers included.
        inference: The outputs in inference.
        training: The outputs in training.
    """

    def __init__(self, case: Case):
        self.case = case
        with predicting():
            case.model(case.inputs, **case.call_kwargs)
        untracked = (weight for layer in case.untracked for weight in layer.weights)
        self.weights = [*case.model.weights, *untracked]
        self._compiled = compiled_once(self._run)
        self.inference = self.call(training=False)
        self.training = self.call(training=True)

    def call(self, *, training: bool, changed: int | None = None) -> list[np.ndarray]:
        """The outputs in a mode, with another value of the weight numbered `changed`."""
        values = [weight.value for weight in self.weights]
        if changed is not None:
            values[changed] = perturbed(self.weights[changed])
        with predicting():
            return [keras.ops.convert_to_numpy(leaf) for leaf in self._compiled(values, training)]

    def _run(self, values: list, training: bool) -> list:
        state = list(zip(self.weights, values, strict=True))
        with keras.StatelessScope(state_mapping=state):
            outputs = self.case.model(self.case.inputs, **self.case.call_kwargs, training=training)
        return [leaf for leaf in keras.tree.flatten(outputs) if leaf is not None]


def compiled_once(run):
    """On JAX, `run` compiled: called op by op, every RNN would be compiled at every call."""
    if keras.backend.backend() != "jax":
        return run
    import jax

    return jax.jit(run, static_argnums=1)


@functools.cache
def observe(name: str) -> Observed:
    """A case of the zoo, observed."""
    return Observed(ALL[name]())


def is_observed(name: str) -> bool:
    """Whether a case says something new about itself on this backend."""
    is_raw = ALL[name].__module__.startswith("zoo.raw_")
    return is_raw or keras.backend.backend() == "tensorflow"


OBSERVED = sorted(filter(is_observed, ALL))


@pytest.fixture(params=OBSERVED)
def observed(request) -> Observed:
    """Every case of the zoo, observed; those that all backends share on TensorFlow alone."""
    return observe(request.param)


def perturbed(weight: keras.Variable):
    """Another valid value: larger numbers, rolled indices, negated truth values."""
    value = keras.ops.convert_to_numpy(weight.value)
    if keras.backend.is_float_dtype(weight.dtype):
        shift = np.random.default_rng(0).uniform(0.5, 1.0, value.shape)
        changed = value.astype("float32") + shift.astype("float32")
    else:
        changed = ~value if value.dtype == bool else np.roll(value, 1)
    return keras.ops.convert_to_tensor(changed, dtype=weight.dtype)


def differ(left: list[np.ndarray], right: list[np.ndarray]) -> bool:
    """Whether two lists of outputs differ by more than rounding."""
    pairs = zip(left, right, strict=True)
    return any(not np.allclose(as_float(a), as_float(b), rtol=1e-3, atol=1e-4) for a, b in pairs)


def as_float(array: np.ndarray) -> np.ndarray:
    """The array in a type that NumPy compares; complex numbers become pairs."""
    if np.iscomplexobj(array):
        array = np.stack([array.real, array.imag])
    return array.astype("float64")


def influences(observed: Observed, index: int) -> bool:
    """Whether another value of a weight changes an output, in inference or in training."""
    return differ(observed.inference, observed.call(training=False, changed=index)) or differ(
        observed.training, observed.call(training=True, changed=index)
    )


def test_case_runs_and_is_finite(observed):
    """Every case runs in inference and in training, and returns finite numbers."""
    assert observed.inference
    for output in (*observed.inference, *observed.training):
        assert np.isfinite(as_float(output)).all()


def test_case_is_deterministic(observed):
    """Two calls in one state give the same bits, in inference."""
    again = observed.call(training=False)
    for left, right in zip(observed.inference, again, strict=True):
        np.testing.assert_array_equal(left, right)


def test_every_weight_influences_an_output(observed):
    """Each weight moves an output, except those that the case declares."""
    weights = enumerate(observed.weights)
    silent = [weight.path for index, weight in weights if not influences(observed, index)]
    undeclared = [path for path in silent if not path.endswith(observed.case.inert)]
    assert len(undeclared) == observed.case.unused, undeclared


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_the_backend_refuses_a_case_that_is_left_out(name):
    """A case is left out only where the user's own model does not run."""
    builder, says = REFUSED[name]
    refused = builder()
    with predicting(), pytest.raises(Exception, match=says):
        refused.model(refused.inputs, **refused.call_kwargs)


def test_building_a_case_twice_gives_equal_weights():
    """A builder returns the same weights at every call."""
    left, right = (ALL["subclassed_model_that_was_called"]().model for _ in range(2))
    for a, b in zip(left.weights, right.weights, strict=True):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (a.value, b.value)))


def test_every_case_says_its_difficulty_in_one_line():
    """There are enough cases, and each has a docstring of one line."""
    assert len(ALL) >= 100
    assert all(builder.__doc__ and "\n" not in builder.__doc__ for builder in ALL.values())

"""A chain of 3,000 nodes, where Keras's own graph walk would recurse too deep."""

import sys

import keras
import numpy as np
import pytest
from fitting import made_again
from predicting import predicted

import kerasfx
from kerasfx.comparing import verify
from kerasfx.runtime.functional import room_for

pytestmark = [pytest.mark.any_keras, pytest.mark.any_backend]

STEPS = 1000


class Chain(keras.Model):
    """`x + 1e-3 * (w * x)` many times: three nodes a step."""

    def __init__(self, steps):
        super().__init__(name="chain")
        self.steps = steps

    def build(self, shape):
        self.w = self.add_weight(shape=(shape[-1],), initializer="random_normal", name="w")

    def call(self, x):
        for _ in range(self.steps):
            x = x + 1e-3 * (self.w * x)
        return x


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).standard_normal((3, 4)).astype("float32")


@pytest.fixture(scope="module")
def chain():
    """The model and the one prepared from it, made once."""
    model = Chain(STEPS)
    limit = sys.getrecursionlimit()
    prepared = kerasfx.prepare_model(model, keras.Input((4,)), verify=False)
    assert sys.getrecursionlimit() == limit
    return model, prepared


@pytest.fixture(scope="module")
def file(chain, tmp_path_factory):
    """The prepared model, saved once."""
    path = tmp_path_factory.mktemp("chain") / "chain.keras"
    chain[1].save(path)
    return path


def test_it_is_called_and_equal(chain, x):
    """Every node is a layer, and the numbers are those of the original."""
    model, prepared = chain
    assert type(prepared).__name__ == "Functional"
    assert len(prepared.layers) == 3 * STEPS + 2  # the input and the weight
    assert len(prepared.weights) == 1
    np.testing.assert_array_equal(predicted(prepared, x), predicted(model, x))


def test_it_is_saved_and_loaded_elsewhere(chain, x, file, elsewhere):
    """A process with the usual recursion limit loads it and computes the same bits."""
    [output] = elsewhere.run(file, x)
    np.testing.assert_array_equal(output, predicted(chain[1], x))


def test_it_is_loaded_here(chain, x, file):
    """Loading puts the recursion limit back, too."""
    limit = sys.getrecursionlimit()
    loaded = keras.models.load_model(file)
    assert sys.getrecursionlimit() == limit
    np.testing.assert_array_equal(predicted(loaded, x), predicted(chain[1], x))
    assert kerasfx.prepare_model(loaded) is loaded


def test_it_is_cloned(chain, x):
    limit = sys.getrecursionlimit()
    cloned = made_again(chain[1], "cloned")
    assert sys.getrecursionlimit() == limit
    np.testing.assert_array_equal(predicted(cloned, x), predicted(chain[1], x))


def test_it_follows_its_weight(chain, x):
    """The quick part of the oracle: equal outputs with perturbed weights as well."""
    comparison = verify(*chain, inputs=x)
    assert comparison, str(comparison)


def test_keras_itself_recurses_too_deep():
    """What this file is about: should Keras learn to walk without recursion, drop the subclass."""
    x = inputs = keras.Input((4,))
    relu = keras.layers.ReLU()
    for _ in range(1200):
        x = relu(x)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)  # as Python starts; PyTorch's compiler raises it for good
    try:
        with pytest.raises(RecursionError):
            keras.Model(inputs, x)
    finally:
        sys.setrecursionlimit(limit)


def test_recursion_limit_comes_back_after_an_error():
    """Also when blocks overlap, as they do in two threads."""
    limit = sys.getrecursionlimit()
    outer, inner = room_for(3000), room_for(5000)
    outer.__enter__()
    inner.__enter__()
    assert sys.getrecursionlimit() > 20_000
    outer.__exit__(None, None, None)
    assert sys.getrecursionlimit() > 20_000
    inner.__exit__(None, None, None)
    assert sys.getrecursionlimit() == limit
    with pytest.raises(LookupError), room_for(3000):
        raise LookupError
    assert sys.getrecursionlimit() == limit

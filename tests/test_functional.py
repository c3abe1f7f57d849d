"""The Functional model for what Keras's own class cannot hold."""

import sys

import keras
import numpy as np
import pytest
from predicting import predicted

import kerasfx
from kerasfx.runtime.functional import SAFE_DEPTH, Functional, room_for

X = np.arange(12, dtype="float32").reshape(3, 4) - 5


def calls(function, name="net"):
    """A model whose `call` is a function of the model and x."""

    class Net(keras.Model):
        def __init__(self):
            super().__init__(name=name)
            self.dense = keras.layers.Dense(4)
            self.drop = keras.layers.Dropout(0.5, seed=1)
            self.norm = keras.layers.BatchNormalization(momentum=0.5)

        def call(self, x):
            return function(self, x)

    return Net()


def prepared_from(function):
    """The model prepared from one whose `call` is a function."""
    model = calls(function)
    prepared = kerasfx.prepare_model(model, keras.Input((4,)))
    assert kerasfx.compare(model, prepared)
    return prepared


def variants(model, tmp_path):
    """The model, saved and loaded, cloned, and made again from its config."""
    model.save(tmp_path / "model.keras")
    clone = keras.models.clone_model(model)
    again = type(model).from_config(model.get_config())
    for copy in (clone, again):
        copy.set_weights(model.get_weights())
    return [model, keras.models.load_model(tmp_path / "model.keras"), clone, again]


def shape_of(structure):
    """The structure with every tensor replaced by its kind."""
    return keras.tree.map_structure(lambda t: None if t is None else "tensor", structure)


@keras.saving.register_keras_serializable("functional")
class Nameless(keras.Layer):
    """Keras makes the config, of the arguments of the constructor: the name is not in it."""

    def __init__(self, rate, **kwargs):
        super().__init__(**kwargs)
        self.drop = keras.layers.Dropout(rate, seed=3)

    def call(self, x, training=None):
        return self.drop(x, training=training)


OUTPUTS = {
    "None in a tuple": (lambda m, x: (m.dense(x), None), ("tensor", None)),
    "None in a dict": (lambda m, x: {"b": None, "a": m.dense(x)}, {"b": None, "a": "tensor"}),
    "None, nested": (lambda m, x: [None, (x, {"a": None})], [None, ("tensor", {"a": None})]),
    "a list of one": (lambda m, x: [m.dense(x)], ["tensor"]),
    "a tuple of one": (lambda m, x: (m.dense(x),), ("tensor",)),
    "a list of one list": (lambda m, x: [[m.dense(x)]], [["tensor"]]),
    "a dict of one": (lambda m, x: {"a": m.dense(x)}, {"a": "tensor"}),
    "a tensor twice": (lambda m, x: [x, m.dense(x), x], ["tensor"] * 3),
    "a lone tensor": (lambda m, x: m.dense(x), "tensor"),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_outputs_keep_their_structure(name, tmp_path):
    function, expected = OUTPUTS[name]
    prepared = prepared_from(function)
    for model in variants(prepared, tmp_path):
        found = model(X)
        assert shape_of(found) == expected
        for a, b in zip(
            keras.tree.flatten(predicted(model, X)), keras.tree.flatten(predicted(prepared, X)), strict=True
        ):
            assert (a is None and b is None) or np.array_equal(a, b)


def test_the_lists_of_one_are_symbolic_lists_of_one():
    prepared = prepared_from(lambda m, x: [m.dense(x)])
    [tensor] = prepared(keras.Input((4,)))
    assert tensor.shape == (None, 4)


class TestFixedTraining:
    """A layer called with `training=` keeps it, whatever the model is called with."""

    def test_dropout_off_stays_off(self, tmp_path):
        prepared = prepared_from(lambda m, x: m.drop(m.dense(x), training=False))
        for model in variants(prepared, tmp_path):
            np.testing.assert_array_equal(
                predicted(model, X, training=True), predicted(model, X, training=False)
            )
            assert not self.zeros(model(X, training=True))

    def test_dropout_on_stays_on(self, tmp_path):
        prepared = prepared_from(lambda m, x: m.drop(m.dense(x), training=True))
        for model in variants(prepared, tmp_path):
            assert self.zeros(model(X, training=False))
            assert self.zeros(model(X))
            assert self.zeros(model.predict(X, verbose=0))

    def test_dropout_that_is_free_follows_the_model(self, tmp_path):
        prepared = prepared_from(lambda m, x: (m.drop(m.dense(x)), m.norm(x, training=False)))
        for model in variants(prepared, tmp_path):
            assert self.zeros(model(X, training=True)[0])
            assert not self.zeros(model(X, training=False)[0])
            assert not self.zeros(model(X)[0])

    def test_one_layer_both_ways(self, tmp_path):
        def both(m, x):
            x = m.dense(x)
            return m.drop(x), m.drop(x, training=True), m.drop(x, training=False)

        for model in variants(prepared_from(both), tmp_path):
            assert [self.zeros(y) for y in model(X)] == [False, True, False]
            assert [self.zeros(y) for y in model(X, training=True)] == [True, True, False]
            assert [self.zeros(y) for y in model.predict(X, verbose=0)] == [False, True, False]

    def test_statistics_that_one_caller_freezes(self, tmp_path):
        """The detector's way: one BatchNormalization, frozen for one of its callers."""
        prepared = prepared_from(lambda m, x: m.norm(m.dense(x)) + m.norm(m.dense(x * 2.0), training=False))
        for model in variants(prepared, tmp_path):
            pairs = list(zip(prepared.variables, model.variables, strict=True))
            assert kerasfx.compare(prepared, model, variables=pairs)

    def test_a_layer_that_is_named_anew_when_it_is_loaded(self, tmp_path):
        model = calls(lambda m, x: m.drop(m.own(x, training=True), training=False))
        model.own = Nameless(0.5)
        prepared = kerasfx.prepare_model(model, keras.Input((4,)), leaves=["own"])
        for each in variants(prepared, tmp_path):
            assert each.get_config()["training"].keys() == {each.layers[1].name, "drop"}
            for mode in (False, True):
                assert self.zeros(each(X, training=mode))

    def test_a_file_of_an_earlier_version(self):
        prepared = prepared_from(lambda m, x: m.drop(m.dense(x), training=False))
        config = prepared.get_config()
        assert config.pop("training") == {"drop": [{"fixed": False}]}
        again = type(prepared).from_config(
            {**config, "training_fixed_in": ["drop"], "training_from_context": [], "training_passed_to": []}
        )
        again.set_weights(prepared.get_weights())
        assert not self.zeros(again(X, training=True))
        assert again.get_config()["training"] == {"drop": [{"fixed": False}]}

    @pytest.mark.parametrize("training", [False, True])
    def test_batch_statistics_while_fitting(self, training, tmp_path):
        prepared = prepared_from(lambda m, x: m.dense(m.norm(x, training=training)))
        for model in variants(prepared, tmp_path):
            model.compile("sgd", "mse")
            before = [keras.ops.convert_to_numpy(v) for v in model.non_trainable_variables]
            model.fit(X, X, verbose=0)
            after = [keras.ops.convert_to_numpy(v) for v in model.non_trainable_variables]
            moved = any((a != b).any() for a, b in zip(before, after, strict=True))
            assert moved is training

    @staticmethod
    def zeros(tensor):
        return bool((keras.ops.convert_to_numpy(tensor) == 0).any())


def test_masks_that_are_passed_are_seen():
    class Rnn(keras.Model):
        def __init__(self):
            super().__init__(name="net")
            self.rnn = keras.layers.SimpleRNN(3)

        def call(self, x):
            return [self.rnn(x)]

    model = Rnn()
    prepared = kerasfx.prepare_model(model, keras.Input((5, 4)))
    assert type(prepared) is Functional
    x = np.ones((2, 5, 4), "float32")
    mask = keras.ops.convert_to_tensor([[True] * 2 + [False] * 3] * 2)
    np.testing.assert_allclose(
        predicted(prepared, x, mask=mask)[0], predicted(model.rnn, x, mask=mask), rtol=1e-6
    )


def test_a_plain_model_is_keras_own_class():
    prepared = prepared_from(lambda m, x: m.dense(x))
    assert type(prepared) is not Functional
    assert type(prepared).__name__ == "Functional"


class TestDepth:
    def test_a_chain_too_deep_for_keras(self, tmp_path):
        def chain(model, x):
            for _ in range(SAFE_DEPTH + 200):
                x = keras.ops.negative(x)
            return x

        prepared = kerasfx.prepare_model(calls(chain), keras.Input((4,)), verify=False)
        prepared.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(predicted(loaded, X), X)

    def test_the_recursion_limit_is_given_back(self):
        before = sys.getrecursionlimit()
        with room_for(10_000):
            with room_for(5_000):
                assert sys.getrecursionlimit() > 10_000
            assert sys.getrecursionlimit() > 10_000
        assert sys.getrecursionlimit() == before

    def test_the_recursion_limit_is_given_back_after_an_error(self):
        before = sys.getrecursionlimit()
        with pytest.raises(LookupError), room_for(10_000):
            raise LookupError
        assert sys.getrecursionlimit() == before

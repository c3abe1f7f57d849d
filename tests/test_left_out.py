"""The steps of the original that a prepared model lacks: whoever trains it without them is warned."""

import copy
import pickle
import warnings

import keras
import numpy as np
import pytest
from fitting import WAYS_TO_MAKE_AGAIN, made_again

import kerasfx

X = np.ones((4, 3), "float32")


class Plain(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(3)

    def call(self, x):
        return self.dense(x)


class OwnStep(Plain):
    def train_step(self, *args):
        return super().train_step(*args)


class OwnLoss(Plain):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return 2 * super().compute_loss(x, y, y_pred, sample_weight, training=training)


class OwnPrediction(Plain):
    def predict_step(self, *args):
        return super().predict_step(*args)


def on_instance():
    model = Plain()
    model.train_step = lambda *args: Plain.train_step(model, *args)
    return model


def prepared_from(model, **options):
    return kerasfx.prepare_model(model, keras.Input((3,)), **options)


@pytest.mark.parametrize(
    ("make", "step", "use"),
    [
        (OwnStep, "train_step", "compile"),
        (OwnLoss, "compute_loss", "compile"),
        (on_instance, "train_step", "compile"),
        (OwnPrediction, "predict_step", "predict"),
    ],
)
def test_use_without_the_steps_of_the_class_warns_once(make, step, use):
    arguments = {"compile": ("sgd", "mse"), "predict": (X,)}[use]
    prepared = prepared_from(make())
    with pytest.warns(UserWarning, match=f"does not have `{step}` of") as found:
        getattr(prepared, use)(*arguments, **({"verbose": 0} if use == "predict" else {}))
    assert found[0].filename == __file__
    assert "do:    kerasfx.prepare_model(model, keep_class=True)" in str(found[0].message)
    prepared.compile("sgd", "mse")
    prepared.fit(X, X, verbose=0)
    prepared.predict(X, verbose=0)


def test_advice_is_right():
    """With the class kept, nothing is left out."""
    prepared = prepared_from(OwnStep(), keep_class=True)
    prepared.compile("sgd", "mse")
    prepared.fit(X, X, verbose=0)
    assert isinstance(prepared, OwnStep)


def test_model_without_steps_of_its_own_does_not_warn():
    prepared = prepared_from(Plain())
    prepared.compile("sgd", "mse")
    assert not {"compile", "predict"} & vars(prepared).keys()


@pytest.mark.parametrize("how", [*WAYS_TO_MAKE_AGAIN, "pickled", "copied"])
def test_warning_is_in_no_file_and_no_copy(how, tmp_path):
    prepared = prepared_from(OwnStep())
    ways = {
        "pickled": lambda: pickle.loads(pickle.dumps(prepared)),
        "copied": lambda: copy.deepcopy(prepared),
    }
    again = ways[how]() if how in ways else made_again(prepared, how, tmp_path)
    assert type(again) is type(prepared)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again.compile("sgd", "mse")
    np.testing.assert_array_equal(again.get_weights()[0], prepared.get_weights()[0])

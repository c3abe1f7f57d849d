"""What a trace puts in the places that it sees is made once, and again when someone changed these."""

import keras
import pytest

import kerasfx
from kerasfx.keras_api import internals
from kerasfx.tracing import patches

pytestmark = pytest.mark.any_keras


class Net(keras.Model):
    """One function of Keras, called by its layer without an operation."""

    def call(self, x):
        return internals.backend_module("numpy").tanh(x)


def functions():
    """The functions that a trace of `Net` finds."""
    return [node.function for node in kerasfx.trace(Net(), keras.Input((3,))).graph.nodes]


@pytest.fixture
def traced_before():
    """Whatever is remembered is of an earlier trace."""
    assert functions() == ["keras.ops.tanh"]


def in_place():
    with patches.installed():
        return {(id(owner), name): vars(owner)[name] for owner, name, _ in patches._installed}


class TestRemembered:
    def test_two_traces_have_the_same_stand_ins(self):
        numpy = internals.backend_module("numpy")
        first, second = in_place(), in_place()
        assert first.keys() == second.keys()
        assert first[id(numpy), "tanh"] is second[id(numpy), "tanh"]

    def test_what_someone_has_changed_is_called(self, traced_before, monkeypatch):
        module = internals.backend_module("numpy")
        original = module.tanh

        def tanh(x):
            return original(x)

        tanh.__module__ = module.__name__
        monkeypatch.setattr(module, "tanh", tanh)
        with patches.installed():
            assert module.tanh.__wrapped__ is tanh
        assert module.tanh is tanh
        assert functions() == ["keras.ops.tanh"]

    def test_what_was_changed_and_is_as_before_is_seen_again(self, traced_before, monkeypatch):
        """A function of someone else's is not replaced: this must not stay so when it has gone."""
        module = internals.backend_module("numpy")
        with monkeypatch.context() as changed:
            changed.setattr(module, "tanh", lambda x: x)
            assert functions() == []
        assert functions() == ["keras.ops.tanh"]

"""Layers that are made and called without what Keras does in vain are exactly those that Keras makes."""

import inspect
import random
from contextlib import nullcontext
from functools import partialmethod

import keras
import numpy as np
import pytest
from keras import ops
from test_every_layer import CASES, made

import kerasfx
from kerasfx.handover.copying import kind_of
from kerasfx.keras_api import internals, making_layers, symbolic_calls
from kerasfx.keras_api.initial_values import Begun, begin_as, followed
from kerasfx.keras_api.making_layers import quickly

# How a graph looks is the same everywhere; so is where a variable gets its first value.
pytestmark = [pytest.mark.any_backend]

STEPS = np.ones((2, 6, 4), "float32")
MORE = [
    (keras.layers.Dropout, {"rate": 0.5}, STEPS),
    (keras.layers.Reshape, {"target_shape": (-1,)}, STEPS),
    (keras.layers.Dense, {"units": 3, "dtype": "mixed_float16"}, STEPS),
]
SINGLE = [case for case in (*MORE, *CASES) if not isinstance(case[2], tuple)]
BACKEND = keras.backend.backend()
PLAIN = (bool, int, float, str, tuple, list, type(None))


def by_keras(layer, args, kwargs):
    return layer(*args, **kwargs)


def left_behind(case, call, mask=False):
    """All that a call leaves: in its results, in Keras's node, in the layer and in its variables."""
    cls, given, x = case
    inputs = keras.tree.map_structure(lambda a: keras.Input(a.shape[1:], dtype=str(a.dtype), name="x"), x)
    if mask:
        internals.set_mask(inputs, keras.Input(inputs.shape[1:2], dtype="bool", name="mask"))
    # Ours are made as fast as can be, too.
    making = nullcontext() if call is by_keras else quickly()
    with internals.fresh_names(), making:
        # Some layers keep seeds of chance in attributes.
        random.seed(0)
        layer = made(cls, given, name="it")
        try:
            outputs = keras.tree.flatten(call(layer, (inputs,), {}))
        except Exception as error:
            return type(error)
        masks = [internals.mask_of(y) is not None for y in outputs]
    (node,) = layer._inbound_nodes
    parts = internals.all_layers(layer)
    return {
        "outputs": [(tuple(y.shape), y.dtype, y.sparse, y._keras_history[1:]) for y in outputs],
        "masks": masks,
        "node": (
            len(node.arguments.args),
            repr(node.arguments.kwargs),
            len(node.input_tensors),
            node.is_input,
        ),
        "before": [len(t._keras_history.operation._outbound_nodes) for t in node.input_tensors],
        "names": [sorted(vars(part)) for part in parts],
        "values": [{k: repr(v) for k, v in vars(part).items() if is_plain(v)} for part in parts],
        "built": [part.get_build_config() for part in parts],
        "specs": [repr(part.input_spec) for part in parts],
        "variables": [(v.path, tuple(v.shape), v.dtype, v.trainable) for v in layer.variables],
    }


def is_plain(value):
    """Whether a value looks the same in two layers that are the same."""
    items = keras.tree.flatten(value) if isinstance(value, (list, tuple)) else [value]
    return isinstance(value, PLAIN) and all(isinstance(x, PLAIN) and "0x" not in repr(x) for x in items)


@pytest.fixture(name="short")
def fixture_short(monkeypatch):
    """The classes of the layers that Keras does not call."""
    short, node = set(), symbolic_calls.Node

    def stand_in(operation, **given):
        short.add(type(operation))
        node(operation, **given)

    monkeypatch.setattr(symbolic_calls, "Node", stand_in)
    return short


def test_a_first_call(short):
    for case in SINGLE:
        if case[0].__call__ is not keras.Layer.__call__:
            continue
        found = left_behind(case, symbolic_calls.called)
        if case[0] in short:
            assert found == left_behind(case, by_keras), case[0].__name__
    L = keras.layers
    assert {L.Dense, L.Conv2D, L.LayerNormalization, L.BatchNormalization, L.Dropout, L.Reshape} <= short


def test_a_tensor_with_a_mask(short):
    assert left_behind(MORE[0], symbolic_calls.called, mask=True)["masks"] == [True]
    assert not short
    assert left_behind(MORE[0], symbolic_calls.called)["masks"] == [False]
    assert short == {keras.layers.Dropout}


def test_a_call_of_several_tensors():
    """Merging layers take a list, and say what becomes of masks."""
    for cls in (keras.layers.Add, keras.layers.Concatenate):
        case = cls, {}, [np.ones((2, 4), "float32"), np.ones((2, 4), "float32")]
        assert left_behind(case, symbolic_calls.called) == left_behind(case, by_keras), cls


class Doubled(keras.layers.Dense):
    """A class of the user's, whose `__call__` does something."""

    def __call__(self, *args, **kwargs):
        return super().__call__(*args, **kwargs) * 2


@pytest.mark.parametrize(
    ("layer", "kwargs"),
    [
        (lambda: Doubled(3), {}),
        (lambda: keras.layers.Dense(3, dtype="mixed_float16"), {}),
        (lambda: keras.layers.Dropout(0.5), {"training": True}),
    ],
)
def test_a_call_in_which_something_is_special_is_one_of_keras(layer, kwargs, monkeypatch):
    monkeypatch.setattr(symbolic_calls, "Node", None)
    x = keras.Input((4,))
    outputs = symbolic_calls.called(layer(), (x,), kwargs)
    assert keras.Model(x, outputs)(np.ones((1, 4))).shape[0] == 1


def test_an_input_that_does_not_fit_is_refused():
    layer = keras.layers.Dense(3)
    layer.build((None, 4))
    with pytest.raises(ValueError, match="incompatible with the layer"):
        symbolic_calls.called(layer, (keras.Input((5,)),), {})


# How layers are made


class Switched(keras.layers.Layer):
    """Attributes that change between what is tracked and what is not, one with a setter, one of the class."""

    # As one of ours: those of the user's are made by Keras alone.
    __module__ = "kerasfx.switched"

    kind = "plain"

    def __init__(self):
        super().__init__()
        self.part = None
        self.part = keras.layers.Dense(2)
        self.gone = keras.layers.Dense(3)
        self.gone = None
        self.next = keras.initializers.Zeros()
        self.next = keras.layers.Dense(2)
        self.function = keras.activations.relu
        self.policy = keras.dtype_policies.DTypePolicy("float32")
        self.spec = keras.layers.InputSpec(ndim=2)
        self.items = [keras.layers.Dense(4)]
        self.size = 5
        self.kind = "special"
        self.count = 1
        self.count = True

    @property
    def size(self):
        return self._size

    @size.setter
    def size(self, size):
        self._size = 2 * size

    def call(self, x):
        return self.part(x)


def test_a_layer_made_fast_tracks_the_same():
    with internals.fresh_names():
        slow = Switched()
    with internals.fresh_names(), quickly():
        fast = Switched()
    for layer in (slow, fast):
        layer(np.ones((1, 2), "float32"))
    assert sorted(vars(fast)) == sorted(vars(slow))
    assert [x.name for x in fast._flatten_layers()] == [x.name for x in slow._flatten_layers()]
    assert [x.name for x in fast._layers] == [x.name for x in slow._layers]
    assert (fast.size, fast.kind, fast.count, fast.gone) == (10, "special", True, None)
    assert [v.path for v in fast.weights] == [v.path for v in slow.weights]


def test_what_is_a_tensor_is_one_while_layers_are_made():
    values = [keras.Variable(1.0), ops.ones(2), np.ones(2), keras.Input((2,)), 1.0, [1], None, ops.ones]
    values += [keras.initializers.Zeros(), keras.layers.InputSpec(), keras.layers.Dense(1)]
    values += [keras.dtype_policies.get("float32")]
    said = [ops.is_tensor(x) for x in values]
    with quickly():
        assert [ops.is_tensor(x) for x in values] == said
        assert [keras.src.backend.is_tensor(x) for x in values] == said
    assert set(said) == {True, False}


class Wide(keras.layers.Dense):
    """Has the constructor and the `build` of Keras, and a `call` that takes something more."""

    def call(self, inputs, scale=2.0, training=None):
        return super().call(inputs, training=training) * scale


class Answering(keras.layers.Layer):
    """A class of the user's that has an answer for some attributes."""

    def __getattr__(self, name):
        raise KeyError(name) if name == "fresh" else AttributeError(name)


def test_a_class_of_the_user_is_not_asked_for_attributes():
    def is_set_at_once(layer):
        return making_layers._is_free(type(layer), "fresh") and making_layers._is_plain(layer, "fresh")

    assert is_set_at_once(keras.layers.Dense(1))
    with pytest.raises(KeyError):
        hasattr(Answering(), "fresh")
    assert not is_set_at_once(Answering())


def test_signatures_are_those_of_the_class():
    def said(x, y):
        """A wrapper of a method of Keras that says its signature itself."""

    said.__wrapped__ = keras.layers.Dense.call
    said.__signature__ = inspect.signature(lambda z: z)
    with quickly():
        assert list(making_layers.layer_module.inspect.signature(said).parameters) == ["z"]
    with quickly():
        layers = [keras.layers.Dense(2), Wide(2), keras.layers.LayerNormalization(), Wide(2)]
    names = [list(layer._call_signature.parameters) for layer in layers]
    assert names == [["inputs", "training"], ["inputs", "scale", "training"], ["inputs"], names[1]]
    with quickly():
        outputs = [layer(keras.Input((3,))) for layer in layers]
    assert [y.shape for y in outputs] == [(None, 2), (None, 2), (None, 3), (None, 2)]
    assert [layer.get_build_config() for layer in layers] == [{"input_shape": (None, 3)}] * 4


# The values that variables begin with


def by_kind(variables):
    return [(kind_of(v), v) for v in variables]


def assigned(variable):
    variable.assign(variable + 1)


def assigned_past_keras(variable):
    """In place, wherever the backend can."""
    raw = internals.raw_value(variable)
    if BACKEND == "tensorflow":
        raw[:2].assign(raw[:2] + 1)
    elif BACKEND == "torch":
        raw.data.add_(1)
    else:
        variable._value = raw.at[:2].add(1)


def stepped(variable):
    keras.optimizers.Adam(0.1).apply([ops.ones(variable.shape)], [variable])


def stepped_in_part(variable):
    """As an embedding is trained, which TensorFlow does in place."""
    gradient = ops.ones(variable.shape)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        gradient = tf.IndexedSlices(gradient[:2], [0, 1], variable.shape)
    keras.optimizers.Adam(0.1).apply([gradient], [variable])


def compiled(variable):
    if BACKEND == "tensorflow":
        import tensorflow as tf

        raw = internals.raw_value(variable)
        tf.function(lambda: raw.assign_add(tf.ones(raw.shape)), jit_compile=True)()
    elif BACKEND == "jax":
        import jax

        variable._value = jax.jit(lambda x: x + 1, donate_argnums=0)(internals.raw_value(variable))
    else:
        assigned(variable)


@pytest.mark.parametrize("change", [assigned, assigned_past_keras, stepped, stepped_in_part, compiled])
@pytest.mark.parametrize("which", ["original", "copy"])
def test_a_copy_changes_alone(which, change):
    original, copy = keras.layers.Dense(3), keras.layers.Dense(3)
    original.build((None, 4))
    with followed(), begin_as(Begun(kind_of, by_kind(original.variables))):
        copy.build((None, 4))
    before = ops.convert_to_numpy(original.kernel).copy()
    changed, other = (original, copy) if which == "original" else (copy, original)
    change(changed.kernel)
    assert not np.array_equal(ops.convert_to_numpy(changed.kernel), before)
    np.testing.assert_array_equal(ops.convert_to_numpy(other.kernel), before)


def test_a_copy_begins_as_the_original():
    original, copy = keras.layers.Dense(3), keras.layers.Dense(3, kernel_initializer=refused)
    original.build((None, 4))
    with followed(), begin_as(Begun(kind_of, by_kind(original.variables))) as begun:
        copy.build((None, 4))
    for ours, theirs in zip(original.variables, copy.variables, strict=True):
        assert begun.has_value_of(theirs, ours)
        np.testing.assert_array_equal(ops.convert_to_numpy(ours), ops.convert_to_numpy(theirs))
    assert copy.kernel_initializer is refused


def refused(shape, dtype=None):
    raise AssertionError("nobody needs this value")


def test_what_is_assigned_or_taken_for_another_is_no_copy():
    """Two weights of one name and shape may be made in another order, and a `build` may assign one."""
    variables = [keras.Variable(np.full(3, n, "float32"), name="w") for n in range(2)]
    with followed(), begin_as(Begun(kind_of, by_kind(variables))) as begun:
        first, second, third = (keras.Variable("zeros", shape=(3,), name="w") for _ in range(3))
        second.assign(np.full(3, 7, "float32"))
    assert begun.has_value_of(first, variables[0])
    assert not begun.has_value_of(first, variables[1])
    assert not begun.has_value_of(second, variables[1])
    assert not ops.convert_to_numpy(third).any()


def test_nothing_stays_replaced():
    before = vars(keras.Variable).get("assign"), keras.Variable._initialize_with_initializer
    with followed():
        assert keras.Variable._initialize_with_initializer is not before[1]
    assert (vars(keras.Variable).get("assign"), keras.Variable._initialize_with_initializer) == before
    set_, is_tensor = keras.Layer.__setattr__, keras.src.backend.is_tensor
    with quickly():
        assert keras.Layer.__setattr__ is not set_
    assert keras.Layer.__setattr__ is set_
    assert keras.src.backend.is_tensor is keras.src.backend.core.is_tensor is is_tensor
    # Outside of the block nothing begins as something else.
    with begin_as(Begun(kind_of, by_kind([keras.Variable(np.ones(3, "float32"), name="w")]))):
        assert not ops.convert_to_numpy(keras.Variable("zeros", shape=(3,), name="w")).any()


class Projection(keras.Model):
    """A weight of its own that lowering makes the kernel of a Dense."""

    def __init__(self):
        super().__init__()
        self.w = self.add_weight(shape=(4, 3), name="w_7")

    def call(self, x):
        return ops.matmul(x, self.w)


@pytest.mark.parametrize("weights", ["copy", "share"])
def test_a_layer_of_a_pass_begins_with_the_weight_that_it_is_given(weights, monkeypatch):
    monkeypatch.setattr(keras.initializers.GlorotUniform, "__call__", refused)
    monkeypatch.setattr(Projection, "add_weight", partialmethod(keras.Model.add_weight, initializer="ones"))
    model = Projection()
    x = np.ones((2, 4), "float32")
    expected = ops.convert_to_numpy(model(x))
    prepared = kerasfx.prepare_model(model, x, weights=weights, verify=False)
    dense = next(layer for layer in prepared.layers if isinstance(layer, keras.layers.Dense))
    np.testing.assert_array_equal(ops.convert_to_numpy(prepared(x)), expected)
    # What is written to the one is in the other if they share it, and else nowhere.
    prepared.weights[0].assign(np.zeros((4, 3), "float32"))
    assert (dense.kernel is model.w) == (weights == "share")
    assert ops.convert_to_numpy(model.w).any() == (weights == "copy")

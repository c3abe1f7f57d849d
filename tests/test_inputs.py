"""Every form of `input_layer`, and what is known of a model without one."""

import re
import warnings
from collections import namedtuple

import keras
import numpy as np
import pytest
from predicting import predicted

import kerasfx
from kerasfx.errors import InputMismatchError, InputRequiredError
from kerasfx.inputs import InputSpec, call_spec

pytestmark = [pytest.mark.any_backend, pytest.mark.quick]

INT64, FLOAT64 = ("int32", "float32") if keras.backend.backend() == "jax" else ("int64", "float64")
"""What the backend makes of numbers as NumPy makes them."""

Pair = namedtuple("Pair", "left right")


class Anything(keras.Model):
    """A model that takes any structure and says nothing about it."""

    def call(self, features):
        return features


class Arguments(keras.Model):
    """A model with several arguments."""

    def call(self, x, context=None, *, inverse=False, mask_value=0.0):
        return x


class Variadic(keras.Model):
    """A model with any number of arguments."""

    def call(self, *xs, **options):
        return xs[0]


class Net(keras.Model):
    """A model that can be built by shapes alone."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(3)

    def build(self, input_shape):
        self.dense.build(input_shape)
        self.built = True

    def call(self, x):
        return self.dense(x)


class TwoArguments(keras.Model):
    """A model whose two arguments have two shapes."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(3)

    def call(self, x, context):
        return self.dense(x) + context


def spec(shape, dtype="float32", name="features"):
    return InputSpec(shape, dtype, name)


def struct_of(input_layer, model=None):
    """The inputs of the prepared model."""
    return call_spec(model or Anything(), input_layer).struct


class TestOneTensor:
    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            (lambda: keras.Input((4,)), spec((None, 4))),
            (lambda: keras.Input((4, None), dtype="int32"), spec((None, 4, None), "int32")),
            (lambda: keras.Input((4,), name="tokens"), spec((None, 4), name="tokens")),
            (lambda: keras.Input((4,), name="my.tokens 0"), spec((None, 4), name="my_tokens_0")),
            (lambda: keras.Input(batch_shape=(8, 4)), spec((8, 4))),
            (lambda: keras.KerasTensor((None, 4)), spec((None, 4))),
            (lambda: keras.layers.InputLayer((4,)), spec((None, 4))),
            (lambda: keras.layers.InputLayer((4,), name="ids"), spec((None, 4), name="ids")),
            (lambda: np.zeros((8, 4), "int64"), spec((None, 4), INT64)),
            (lambda: np.zeros((8, 4), "float16"), spec((None, 4), "float16")),
            (lambda: np.zeros((8,), bool), spec((None,), "bool")),
            (lambda: keras.ops.zeros((8, 4)), spec((None, 4))),
            (lambda: np.float32(1), spec(())),
            (lambda: (8, 4), spec((None, 4))),
            (lambda: [8, 4], spec((None, 4))),
            (lambda: (None, 4, None), spec((None, 4, None))),
        ],
    )
    def test_form(self, given, expected):
        assert struct_of(given()) == expected

    def test_a_shape_takes_the_default_dtype(self):
        keras.config.set_floatx("float64")
        try:
            assert struct_of((8, 4)).dtype == "float64"
        finally:
            keras.config.set_floatx("float32")

    def test_an_input_from_a_functional_model(self):
        model = keras.Sequential([keras.Input((4,), name="x"), keras.layers.Dense(2)])
        assert struct_of(model.inputs[0]) == spec((None, 4), name="x")
        assert struct_of(model.inputs) == [spec((None, 4), name="x")]


class TestStructures:
    A, B = np.zeros((8, 4)), np.zeros((8, 2), "int32")

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ([A, B], [spec((None, 4), FLOAT64, "features_0"), spec((None, 2), "int32", "features_1")]),
            ((A,), (spec((None, 4), FLOAT64, "features"),)),
            (
                {"a": A, "b": {"c": B}},
                {"a": spec((None, 4), FLOAT64, "a"), "b": {"c": spec((None, 2), "int32", "c")}},
            ),
            (
                [A, (B, {"c": A})],
                [
                    spec((None, 4), FLOAT64, "features_0"),
                    (spec((None, 2), "int32", "features_1_0"), {"c": spec((None, 4), FLOAT64, "c")}),
                ],
            ),
            ([(8, 4), (8, 2)], [spec((None, 4), name="features_0"), spec((None, 2), name="features_1")]),
            ({"a": (8, 4)}, {"a": spec((None, 4), name="a")}),
            (
                Pair(A, B),
                Pair(spec((None, 4), FLOAT64, "features_0"), spec((None, 2), "int32", "features_1")),
            ),
        ],
    )
    def test_form(self, given, expected):
        found = struct_of(given)
        assert type(found) is type(given)
        assert found == expected

    def test_names_of_inputs_are_kept_in_structures(self):
        given = {"a": keras.Input((4,), name="tokens"), "b": keras.Input((4,))}
        found = struct_of(given)
        assert (found["a"].name, found["b"].name) == ("tokens", "b")

    @pytest.mark.parametrize(
        "given",
        [
            lambda a, b: [a, b],
            lambda a, b: {"one": a, "two": b},
            lambda a, b: (a, {"two": b}),
            lambda a, b: Pair(a, b),
        ],
        ids=["list", "dict", "nested", "namedtuple"],
    )
    def test_the_prepared_model_is_called_in_the_same_structure(self, given):
        class Total(keras.Model):
            def call(self, features):
                return sum(keras.tree.flatten(features))

        arrays = np.ones((8, 4), "float32"), np.full((8, 4), 2.0, "float32")
        prepared = kerasfx.prepare_model(Total(), given(*arrays))
        np.testing.assert_array_equal(predicted(prepared, given(*arrays)), np.full((8, 4), 3.0))

    def test_two_inputs_of_one_name_get_two(self):
        class Total(keras.Model):
            def call(self, features):
                return features[0] - features[1]["x"]

        given = [keras.Input((4,), name="x"), {"x": keras.Input((4,))}]
        prepared = kerasfx.prepare_model(Total(), given)
        names = [tensor.name for tensor in prepared.inputs]
        assert names == ["x", "x_1"]


class TestArguments:
    X, C = np.zeros((8, 4), "float32"), np.zeros((8, 2), "float32")

    @pytest.mark.parametrize(
        ("inputs", "struct"),
        [
            (kerasfx.Inputs(X), {"x": spec((None, 4), name="x")}),
            (kerasfx.Inputs(x=X), {"x": spec((None, 4), name="x")}),
            (
                kerasfx.Inputs(X, C),
                {"x": spec((None, 4), name="x"), "context": spec((None, 2), name="context")},
            ),
            (
                kerasfx.Inputs(X, context=[C, C], inverse=True),
                {
                    "x": spec((None, 4), name="x"),
                    "context": [spec((None, 2), name="context_0"), spec((None, 2), name="context_1")],
                },
            ),
            (kerasfx.Inputs((8, 4)), {"x": spec((None, 4), name="x")}),
            (kerasfx.Inputs(X, None), {"x": spec((None, 4), name="x")}),
        ],
    )
    def test_become_a_dict_by_name(self, inputs, struct):
        assert struct_of(inputs, Arguments()) == struct

    def test_the_key_is_the_name_of_an_input(self):
        given = kerasfx.Inputs(keras.Input((4,), name="tokens"))
        assert struct_of(given, Arguments())["x"].name == "x"

    def test_keep_python_values_where_they_were(self):
        found = call_spec(Arguments(), kerasfx.Inputs(self.X, None, inverse=True, mask_value=2.0))
        assert found.args == (found.struct["x"], None)
        assert found.kwargs == {"inverse": True, "mask_value": 2.0}

    def test_of_a_variadic_call(self):
        found = call_spec(Variadic(), kerasfx.Inputs(self.X, self.C, scale=self.C))
        assert list(found.struct) == ["xs_0", "xs_1", "scale"]
        assert found.args == (found.struct["xs_0"], found.struct["xs_1"])

    def test_reach_the_prepared_model(self):
        class Affine(keras.Model):
            def call(self, x, *others, context, inverse=False):
                y = x * context + others[0]
                return -y if inverse else y

        x, y, c = (np.full((2, 4), n, "float32") for n in (2, 3, 5))
        inputs = kerasfx.Inputs(x, y, context=c, inverse=True)
        prepared = kerasfx.prepare_model(Affine(), inputs)
        found = predicted(prepared, {"x": x, "others_0": y, "context": c})
        np.testing.assert_array_equal(found, np.full((2, 4), -13.0))

    def test_that_do_not_fit_the_signature_are_refused(self):
        with pytest.raises(InputMismatchError) as caught:
            struct_of(kerasfx.Inputs(self.X, contxt=self.C), Arguments())
        assert str(caught.value) == (
            "kerasfx.Inputs does not fit `Arguments.call`: got an unexpected keyword argument 'contxt'.\n"
            "  do:    its signature is call(x, context=None, *, inverse=False, mask_value=0.0)"
        )

    def test_without_a_tensor_are_refused(self):
        with pytest.raises(InputMismatchError, match="holds no tensor"):
            struct_of(kerasfx.Inputs(None, inverse=True), Arguments())


class TestRefused:
    @pytest.mark.parametrize(
        "given", ["tokens", 4, None, (), [], {}, [np.zeros(3), "x"], {"a": None}, object(), 1.5]
    )
    def test_what_is_no_input(self, given):
        error = InputRequiredError if given is None else InputMismatchError
        with pytest.raises(error):
            struct_of(given)

    def test_message_names_the_intruder(self):
        with pytest.raises(InputMismatchError) as caught:
            struct_of([np.zeros((8, 4)), "x"])
        assert str(caught.value) == (
            "input_layer holds 'x' of type str.\n"
            "  why:   an input is a keras.Input, a keras.layers.InputLayer, an example array or a shape\n"
            "  do:    for arguments that are Python values: kerasfx.Inputs(x, flag=True)"
        )


class TestAgainstAFunctionalModel:
    @pytest.fixture
    def model(self):
        a, b = keras.Input((4,), name="a"), keras.Input((2,), dtype="int32", name="b")
        return keras.Model({"a": a, "b": b}, keras.layers.Dense(3)(a), name="net")

    def test_what_fits_is_taken(self, model):
        given = {"a": np.zeros((8, 4), "float32"), "b": np.zeros((8, 2), "int64")}
        assert struct_of(given, model) == {
            "a": spec((None, 4), name="a"),
            "b": spec((None, 2), INT64, name="b"),
        }

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (np.zeros((8, 4)), "'net' takes 2 inputs, but input_layer holds 1."),
            (
                {"a": np.zeros((8, 4)), "c": np.zeros((8, 2))},
                "'net' takes the keys ['a', 'b'], but input_layer has ['a', 'c'].",
            ),
            (
                {"a": np.zeros((8, 5)), "b": np.zeros((8, 2))},
                "'net' takes an input 'a' of shape (None, 4), but input_layer has (None, 5) in its place.",
            ),
            (
                {"a": np.zeros((8, 4, 1)), "b": np.zeros((8, 2))},
                "'net' takes an input 'a' of shape (None, 4), but input_layer has (None, 4, 1) in its place.",
            ),
            (
                {"a": np.zeros((8, 4)), "b": np.zeros((8, 2))},
                f"'net' takes an input 'b' of dtype int32, but input_layer has {FLOAT64} in its place.",
            ),
        ],
    )
    def test_what_does_not_is_refused(self, model, given, message):
        with pytest.raises(InputMismatchError, match=re.escape(message)):
            struct_of(given, model)


class TestKnownInputs:
    def test_of_a_functional_model(self):
        a, b = keras.Input((4,), name="a"), keras.Input((2,), dtype="int32")
        model = keras.Model([a, b], keras.layers.Dense(3)(a))
        found = call_spec(model, None)
        assert found.struct == [spec((None, 4), name="a"), spec((None, 2), "int32", "input_1")]
        assert found.findings == ()

    def test_of_a_sequential_model(self):
        model = keras.Sequential([keras.Input((4,), name="a", dtype="float16"), keras.layers.Dense(3)])
        assert call_spec(model, None).struct == spec((None, 4), "float16", "a")

    def test_of_a_sequential_model_that_was_called(self):
        model = keras.Sequential([keras.layers.Dense(3)])
        model(np.zeros((8, 4), "float32"))
        assert call_spec(model, None).struct.shape == (None, 4)

    def test_of_a_sequential_model_that_was_not(self):
        with pytest.raises(InputRequiredError):
            call_spec(keras.Sequential([keras.layers.Dense(3)]), None)

    def test_of_a_model_that_was_built(self):
        model = Net()
        model.build((None, 4))
        found = call_spec(model, None)
        assert found.struct == spec((None, 4), name="input")
        assert len(found.findings) == 1

    def test_of_a_model_that_was_called(self):
        model = Net()
        model(np.zeros((8, 4), "float32"))
        assert call_spec(model, None).struct.shape == (None, 4)

    def test_of_a_sequential_model_with_a_known_batch(self):
        model = keras.Sequential([keras.Input(batch_shape=(8, 4), name="x"), keras.layers.Dense(3)])
        assert call_spec(model, None).struct == spec((8, 4), name="x")

    def test_the_batch_of_the_data_that_a_sequential_model_saw_is_not_baked(self):
        class Halves(keras.layers.Layer):
            def call(self, x):
                return keras.ops.reshape(x, (keras.ops.shape(x)[0] * 2, 2))

        model = keras.Sequential([keras.layers.Dense(4), Halves()])
        model(np.zeros((8, 4), "float32"))
        prepared = kerasfx.prepare_model(model)
        assert prepared(np.zeros((3, 4), "float32")).shape == (6, 2)

    def test_of_a_stateful_sequential_model_that_was_called(self):
        model = keras.Sequential([keras.layers.SimpleRNN(3, stateful=True)])
        model(np.zeros((8, 5, 4), "float32"))
        assert call_spec(model, None).struct.shape == (8, 5, 4)

    def test_of_a_model_of_whose_two_arguments_keras_kept_one(self):
        model = TwoArguments()
        model(np.zeros((8, 4), "float32"), np.zeros((8, 3), "float32"))
        with pytest.raises(InputRequiredError) as caught:
            call_spec(model, None)
        assert str(caught.value).splitlines()[1] == (
            "  why:   Keras kept the shape of one argument, and `call` takes more: "
            "missing a required argument: 'context'"
        )

    def test_of_a_model_with_two_arguments_that_was_called(self):
        class Named(TwoArguments):
            def build(self, x_shape, context_shape):
                self.dense.build(x_shape)

        model = Named()
        model(np.zeros((8, 4), "float32"), np.zeros((8, 3), "float32"))
        found = call_spec(model, None)
        assert {k: v.shape for k, v in found.kwargs.items()} == {"x": (None, 4), "context": (None, 3)}
        assert found.struct == found.kwargs

    def test_of_a_layer_that_was_built(self):
        layer = keras.layers.Dense(3)
        layer.build((None, 4))
        assert call_spec(layer, None).struct.shape == (None, 4)

    def test_the_assumed_dtype_is_in_the_report(self):
        model = Net()
        model(np.zeros((8, 4), "float32"))
        [warning] = kerasfx.report(kerasfx.prepare_model(model)).of_kind("warning")
        assert str(warning) == (
            "(the model): Keras keeps the shapes but not the dtypes of the inputs; float32 is assumed\n"
            "  do:    keras.Input(shape, dtype=...) as input_layer, or --input None,128:int32, if not so"
        )

    def test_of_no_other_model(self):
        with pytest.raises(InputRequiredError) as caught:
            call_spec(Anything(name="net"), None)
        assert str(caught.value) == (
            "The inputs of Anything 'net' are not known.\n"
            "  why:   it is no Functional or Sequential model and was not built yet\n"
            "  do:    say what it is called with, for example\n"
            "         kerasfx.prepare_model(model, keras.Input((64,)))            # one tensor\n"
            '         kerasfx.prepare_model(model, {"a": keras.Input((64,)), ...})  # a structure of them\n'
            "         kerasfx.prepare_model(model, kerasfx.Inputs(x, context=c))   # several arguments"
        )


class TestPrepared:
    """The inputs of the prepared model are those that were asked for."""

    @pytest.mark.parametrize(
        ("given", "name", "shape", "dtype"),
        [
            (lambda: keras.Input((4,), name="tokens"), "tokens", (None, 4), "float32"),
            (lambda: keras.Input((4,)), "x", (None, 4), "float32"),
            (lambda: np.zeros((8, 4), "int32"), "x", (None, 4), "int32"),
            (lambda: keras.Input(batch_shape=(8, 4)), "x", (8, 4), "float32"),
        ],
    )
    def test_name_shape_and_dtype(self, given, name, shape, dtype):
        prepared = kerasfx.prepare_model(Net(), given())
        assert (prepared.input.name, prepared.input_shape, prepared.input.dtype) == (name, shape, dtype)

    def test_any_batch_size(self):
        prepared = kerasfx.prepare_model(Net(), np.zeros((8, 4), "float32"))
        assert [prepared(np.zeros((n, 4), "float32")).shape[0] for n in (1, 8, 9)] == [1, 8, 9]


@pytest.mark.parametrize("dtype", ["int64", "float64", "uint8"])
def test_an_array_of_64_bits_brings_no_warning_of_the_backend(dtype):
    """JAX warns of an `Input` of 64 bits at each call, and of an array of the user's never."""
    x = np.array([[1, 2, 3, 4]], dtype)

    class Sums(keras.Model):
        def call(self, x):
            return x + 1, keras.ops.sum(x)

    model = Sums()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        expected = model(x)
        found = kerasfx.prepare_model(model, x)(x)
    assert [w for w in told if "requested" in str(w.message)] == []
    assert [keras.backend.standardize_dtype(t.dtype) for t in found] == [
        keras.backend.standardize_dtype(t.dtype) for t in expected
    ]

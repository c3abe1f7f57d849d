"""What a result is compared on before it is returned, and what is said where that was not possible."""

import gc
import weakref

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerasfx

pytestmark = pytest.mark.any_keras

BACKEND = keras.backend.backend()


class Segments(keras.Model):
    """Takes integers with a meaning: random ones are no segments in ascending order."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, inputs):
        x, segment = inputs
        return ops.segment_sum(self.dense(x), segment, num_segments=2)


class Picky(keras.Model):
    """Refuses all values but one, which nobody draws."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, x):
        if isinstance(x, keras.KerasTensor) or (ops.convert_to_numpy(x) == 7.0).all():
            return self.dense(x)
        raise ValueError("sevens only")


SEVENS = np.full((2, 4), 7.0, "float32")


def unverified(model, inputs, **options):
    """The report of a result that was not compared, and the warning."""
    with pytest.warns(kerasfx.UnverifiedWarning) as told:
        prepared = kerasfx.prepare_model(model, inputs, **options)
    told = [x for x in told if x.category is kerasfx.UnverifiedWarning]
    assert [x.filename for x in told] == [__file__]
    (finding,) = [f for f in kerasfx.report(prepared).findings if "not compared" in str(f)]
    assert str(finding).split(": ", 1)[1] in str(told[0].message)
    return str(told[0].message)


def segments(kind):
    x, ids = np.random.default_rng(0).random((4, 3), "float32"), np.array([0, 0, 1, 1], "int32")
    if kind == "tensors":
        return [ops.convert_to_tensor(x), ops.convert_to_tensor(ids)]
    return [x, ids]


@pytest.mark.parametrize("kind", ["arrays", "tensors"])
def test_the_examples_given_are_compared_first(kind):
    model = Segments()
    prepared = kerasfx.prepare_model(model, segments(kind))
    found = kerasfx.compare(model, prepared)
    assert found.equivalent
    assert "the inputs given" in found.checks[1].detail


def test_examples_within_arguments_are_used():
    class Scaled(Picky):
        def call(self, x, scale):
            return super().call(x) * scale["by"]

    inputs = kerasfx.Inputs(SEVENS, scale={"by": np.full((2, 1), 2.0, "float32")})
    model = Scaled()
    assert kerasfx.compare(model, kerasfx.prepare_model(model, inputs)).equivalent


def test_lists_of_numbers_are_an_example():
    model = Picky()
    prepared = kerasfx.prepare_model(model, SEVENS.tolist())
    assert prepared.input_shape == (None, 4)
    assert kerasfx.compare(model, prepared).equivalent


def test_where_every_input_is_refused_a_warning_says_how_to_pass_an_example():
    told = unverified(Picky(), keras.Input((4,)))
    assert "sevens only" in told
    assert "do:    kerasfx.prepare_model(model, x) with arrays x that the model accepts" in told
    kerasfx.prepare_model(Picky(), SEVENS)


def test_an_example_that_the_original_refuses_is_no_comparison():
    assert "sevens only" in unverified(Picky(), SEVENS + 1)


def test_without_verify_nobody_is_warned():
    assert kerasfx.prepare_model(Picky(), keras.Input((4,)), verify=False).output_shape == (None, 3)


def test_outputs_that_are_all_nan_prove_nothing():
    class Nowhere(keras.Model):
        def call(self, x):
            return ops.log(-ops.abs(x) - 1.0)

    assert "all outputs are NaN or infinite" in unverified(Nowhere(), keras.Input((4,)))
    model = Nowhere(name="net")
    prepared = kerasfx.prepare_model(model, keras.Input((4,)), verify=False)
    comparison = kerasfx.compare(model, prepared)
    assert comparison.headline == (
        "'net' and 'net_prepared' were not compared: all outputs are NaN or infinite: they prove nothing"
    )
    page = kerasfx.report(prepared).to_html(comparison=comparison)
    assert "not compared" in page
    assert "equal bit for bit" not in page


def test_of_two_outputs_one_that_is_all_nan_proves_nothing_of_itself_alone():
    class Half(keras.Model):
        def call(self, x):
            return ops.sin(x), ops.log(-ops.abs(x) - 1.0)

    prepared = kerasfx.prepare_model(Half(), keras.Input((4,)))
    (found,) = kerasfx.report(prepared).of_kind("warning")
    assert found.what == "output[1]: NaN or infinite wherever it was compared, which proves nothing of it"
    assert kerasfx.report(prepared).comparison is not None


def test_random_integers_are_drawn_from_those_of_the_example():
    class Table(keras.Model):
        def __init__(self):
            super().__init__()
            self.table = self.add_weight(shape=(3, 2))

        def call(self, x):
            if not isinstance(x, keras.KerasTensor) and ops.convert_to_numpy(x).max() > 2:
                raise IndexError("out of range")
            return ops.matmul(ops.one_hot(x, 3), self.table)

    model = Table()
    prepared = kerasfx.prepare_model(model, np.array([[0, 2, 1]], "int32"))
    found = kerasfx.compare(model, prepared)
    assert "batch 2" in found.checks[1].detail
    assert not found.notes


@pytest.mark.skipif(BACKEND != "tensorflow", reason="the other backends have no strings")
@pytest.mark.parametrize("kind", ["numpy", "list", "tensor"])
def test_strings(kind):
    import tensorflow as tf

    class Cities(keras.Model):
        def __init__(self):
            super().__init__()
            self.lookup = layers.StringLookup(vocabulary=["a", "b"])
            self.embedding = layers.Embedding(3, 2)

        def call(self, x):
            return self.embedding(self.lookup(x))

    words = ["a", "b", "c"]
    example = {"numpy": np.array(words), "list": words, "tensor": tf.constant(words)}[kind]
    model = Cities()
    prepared = kerasfx.prepare_model(model, example)
    assert kerasfx.compare(model, prepared).equivalent
    assert "dtype string" in unverified(Cities(), keras.Input((), dtype="string"))


def test_a_large_example_is_let_go():
    class Array(np.ndarray):
        """An array that can be watched."""

    example = np.zeros((3, 2**21), "float32").view(Array)
    watched = weakref.ref(example)
    prepared = kerasfx.prepare_model(Total(), example)
    del example
    gc.collect()
    assert watched() is None
    assert prepared.output_shape == (None,)


class Total(keras.Model):
    def call(self, x):
        return ops.sum(x, axis=-1)


def test_a_fault_of_the_comparison_is_not_taken_for_a_lack_of_inputs(monkeypatch):
    def broken(*models, **options):
        raise ValueError("a fault of ours")

    monkeypatch.setattr("kerasfx.prepare.verifying.quick_compare", broken)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2), layers.Lambda(lambda x: x + 1)])
    with pytest.raises(ValueError, match="a fault of ours"):
        kerasfx.prepare_model(model)


class EmbedsInSequential(keras.Model):
    """A Sequential casts the indices before its Embedding."""

    def __init__(self):
        super().__init__()
        self.tower = keras.Sequential([keras.layers.Embedding(8, 4), keras.layers.Dense(4)])

    def call(self, x):
        return self.tower(x)


class TakesRows(keras.Model):
    """Indices of the rows of another input, as the edges of a graph have."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(4)

    def call(self, x, edges):
        return self.dense(keras.ops.take(x, edges[:, 0], axis=0) - keras.ops.take(x, edges[:, 1], axis=0))


@pytest.mark.filterwarnings("error::kerasfx.UnverifiedWarning")
@pytest.mark.parametrize(
    ("make", "shapes"),
    [
        (EmbedsInSequential, {"x": ((), "int32")}),
        (TakesRows, {"x": ((4,), "float32"), "edges": ((2,), "int32")}),
    ],
)
def test_indices_are_drawn_that_the_tables_have(make, shapes):
    model = make()
    inputs = {name: keras.Input(shape, dtype=dtype) for name, (shape, dtype) in shapes.items()}
    prepared = kerasfx.prepare_model(model, inputs if len(inputs) > 1 else inputs["x"])
    assert kerasfx.report(prepared).comparison["exact"]
